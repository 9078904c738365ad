/* Fuzz: RESTORE payloads. Proves that no bytes make the reader step outside its input or reserve out of proportion, and
 * that whatever it accepts, string, list, set, hash or sorted set, is written and read back as the same value.
 *
 * With libFuzzer (SHERD_FUZZ, clang) this is a target; without it main plays mutations of good payloads:
 *
 *    dump_fuzz [seconds [seed]]        default: 2 seconds of seed 1; `smoke` in ctest */
#include "core/assert.h"
#include "core/crc.h"
#include "core/prng.h"
#include "core/stream_group.h"
#include "shards/dump.h"
#include "shards/hash_value.h"
#include "shards/list.h"
#include "shards/set.h"
#include "shards/zset.h"
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    struct heap *heap;
    struct store store;
    struct quicklist_rule list_rule;
    struct set_rule set_rule;
    struct packed_rule hash_rule;
    struct zset_rule zset_rule;
    struct hash_seed seed;
    struct buf scratch, out, again;
};

/* One heap for all inputs of the process; a fuzzer has one thread. */
static struct fuzz *fuzz_get(void) {
    static struct fuzz fuzz;
    if (fuzz.heap) return &fuzz;
    fuzz.heap = heap_new();
    ASSERT(fuzz.heap);
    fuzz.store = (struct store){.heap = fuzz.heap, .slab = slab_new(fuzz.heap, MEM_DATA)};
    fuzz.list_rule = quicklist_rule_of(-1);
    fuzz.set_rule = set_rule_of(&(struct hash_seed){1, 2}, 16);
    fuzz.hash_rule = (struct packed_rule){128, 64};
    fuzz.zset_rule = (struct zset_rule){20, 30};
    fuzz.seed = (struct hash_seed){7, 8};
    buf_init(&fuzz.scratch, fuzz.heap, MEM_MESSAGE);
    buf_init(&fuzz.out, fuzz.heap, MEM_MESSAGE);
    buf_init(&fuzz.again, fuzz.heap, MEM_MESSAGE);
    return &fuzz;
}

static struct entry *read_entry(struct fuzz *fuzz, struct slice *rest, struct buf *scratch) {
    return dump_read_entry(rest, &(struct dump_target){.store = &fuzz->store,
                                                       .list_rule = &fuzz->list_rule,
                                                       .set_rule = &fuzz->set_rule,
                                                       .hash_rule = &fuzz->hash_rule,
                                                       .zset_rule = &fuzz->zset_rule,
                                                       .seed = &fuzz->seed,
                                                       .scratch = scratch,
                                                       .key = SLICE("key"),
                                                       .allow_int = true});
}

static bool assert_is_in(void *ctx, struct slice text) {
    ASSERT(set_has(ctx, text));
    return true;
}

static void find_in_other(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    struct packed_value found;
    char text[3][PACKED_SCRATCH];
    bool there = hash_get(ctx, packed_text(field, text[0]), &found);
    ASSERT(there && slice_equal(packed_text(value, text[1]), packed_text(&found, text[2])));
}

static void assert_same_hash(const struct entry *a, struct entry *b) {
    hash_check(a);
    ASSERT(hash_len(a) == hash_len(b));
    ASSERT((a->flags & ENTRY_FIELDS_TIMED) == (b->flags & ENTRY_FIELDS_TIMED));
    hash_each(a, find_in_other, b);
}

static void assert_same_zset(const struct entry *a, const struct entry *b) {
    struct zset_iter at_a = zset_seek(a, 0), at_b = zset_seek(b, 0);
    struct zset_pair pair_a, pair_b;
    ASSERT(zset_len(a) == zset_len(b) && zset_len(a) > 0);
    if (!entry_is_packed(a)) sorted_check(entry_object(a));
    while (zset_next(&at_a, &pair_a)) {
        bool more = zset_next(&at_b, &pair_b);
        ASSERT(more && pair_a.score == pair_b.score && slice_equal(pair_a.member, pair_b.member));
    }
}

static void assert_same_stream(struct fuzz *fuzz, const struct entry *a, const struct entry *b) {
    struct buf bytes;
    stream_check(entry_object(a));
    buf_init(&bytes, fuzz->heap, MEM_MESSAGE);
    dump_write_body(&bytes, a, false);
    size_t len = bytes.len;
    dump_write_body(&bytes, b, false);
    ASSERT(bytes.len == 2 * len && memcmp(bytes.data, bytes.data + len, len) == 0);
    buf_deinit(&bytes);
}

static void assert_same_value(const struct entry *a, struct entry *b) {
    ASSERT(a->type == b->type);
    if (a->type == TYPE_STREAM) {
        assert_same_stream(fuzz_get(), a, b);
        return;
    }
    if (a->type == TYPE_STRING) {
        char text[2][ENTRY_SCRATCH];
        ASSERT(slice_equal(entry_string(a, text[0]), entry_string(b, text[1])));
        return;
    }
    if (a->type == TYPE_SET) {
        ASSERT(set_count(a) == set_count(b) && set_is_intset(a) == set_is_intset(b));
        set_each(a, assert_is_in, b);
        return;
    }
    if (a->type == TYPE_HASH) {
        assert_same_hash(a, b);
        return;
    }
    if (a->type == TYPE_ZSET) {
        assert_same_zset(a, b);
        return;
    }
    struct quicklist_iter at_a = list_seek(a, 0), at_b = list_seek(b, 0);
    struct packed_value value_a, value_b;
    ASSERT(list_len(a) == list_len(b) && list_len(a) > 0);
    while (list_step(&at_a, LIST_HEAD, &value_a)) {
        char text[2][PACKED_SCRATCH];
        bool more = list_step(&at_b, LIST_HEAD, &value_b);
        ASSERT(more && slice_equal(packed_text(&value_a, text[0]), packed_text(&value_b, text[1])));
    }
}

static void write_and_read_back(struct fuzz *fuzz, const struct entry *entry, bool compress) {
    fuzz->out.len = 0;
    dump_write_body(&fuzz->out, entry, compress);
    struct slice rest = buf_slice(&fuzz->out);
    struct entry *back = read_entry(fuzz, &rest, &fuzz->again);
    ASSERT(back && rest.len == 0);
    assert_same_value(entry, back);
    entry_delete(&fuzz->store, back);
}

static void read_body(struct fuzz *fuzz, struct slice bytes) {
    struct slice rest = bytes;
    int64_t before = heap_used(fuzz->heap, MEM_DATA);
    struct entry *entry = read_entry(fuzz, &rest, &fuzz->scratch);
    /* LZF unpacks to 88 times its size at most; bufs double, and so do nodes, which are a KiB at least; and each of the
     * 32 sizes of the slab may need a page. */
    ASSERT(fuzz->scratch.cap <= 128 * bytes.len + 4096);
    ASSERT(heap_used(fuzz->heap, MEM_DATA) - before <= 256 * (int64_t)bytes.len + 32 * 16384);
    if (!entry) return;
    ASSERT(rest.len < bytes.len && rest.ptr + rest.len == bytes.ptr + bytes.len);
    write_and_read_back(fuzz, entry, false);
    write_and_read_back(fuzz, entry, true);
    entry_delete(&fuzz->store, entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz *fuzz = fuzz_get();
    struct slice bytes = slice_of((const char *)data, size);
    (void)dump_footer_fits(bytes);
    read_body(fuzz, bytes);
    uint64_t len;
    struct slice rest = bytes;
    if (dump_read_length(&rest, &len)) ASSERT(rest.len < size);
    buf_reset(&fuzz->scratch, 0); /* so that its size says what this input asked for */
    return 0;
}

#ifndef SHERD_LIBFUZZER

#define INPUT_MAX 8192

/* A list in one of the forms of RDB, of a few short elements. */
static size_t good_list(struct prng *prng, struct fuzz *fuzz, char *out) {
    static const struct slice old_forms[] = {
        SLICE_INIT("\x01\x03\x01\x61\xc0\x85\x00"),
        SLICE_INIT("\x0a\x19\x19\x00\x00\x00\x16\x00\x00\x00\x05\x00\x00\x01\x61\x03\xf1\x02\xfe\x80\x03\xc0\x00\x80"
                   "\x04\xf3\xff"),
        SLICE_INIT("\x0e\x02\x11\x11\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\xd0\x00\x00\x00\x80\xff"
                   "\x15\x15\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\xe0\x00\x00\x00\x00\x00\x00\x00\x40\xff"),
        SLICE_INIT("\x12\x02\x02\x0c\x0c\x00\x00\x00\x02\x00\x81\x61\x02\x05\x01\xff\x01\x05plain"),
    };
    uint64_t which = prng_below(prng, 2 * ARRAY_LEN(old_forms));
    if (which < ARRAY_LEN(old_forms)) {
        memcpy(out, old_forms[which].ptr, old_forms[which].len);
        return old_forms[which].len;
    }
    struct quicklist_rule rule = {128, UINT32_MAX};
    struct quicklist *list = quicklist_new(&fuzz->store);
    for (uint64_t left = 1 + prng_below(prng, 40); left > 0; left--) {
        char text[80];
        size_t len = prng_below(prng, prng_below(prng, 4) ? 5 : sizeof text);
        memset(text, 'x', len);
        if (prng_below(prng, 2)) {
            len = (size_t)snprintf(text, sizeof text, "%lld", (long long)prng_next(prng) >> prng_below(prng, 64));
        }
        struct packed_value value = packed_value_of(slice_of(text, len));
        quicklist_push(&fuzz->store, list, &rule, LIST_TAIL, &value);
    }
    struct entry *entry = list_new_entry(&fuzz->store, SLICE("key"), list, 0);
    fuzz->out.len = 0;
    dump_write_body(&fuzz->out, entry, prng_below(prng, 2));
    entry_delete(&fuzz->store, entry);
    ASSERT(fuzz->out.len <= INPUT_MAX);
    memcpy(out, fuzz->out.data, fuzz->out.len);
    return fuzz->out.len;
}

/* A set in one of the forms of RDB, of a few short members; sometimes with one twice, which is none. */
static size_t good_set(struct prng *prng, struct fuzz *fuzz, char *out) {
    static const struct slice old_form = SLICE_INIT("\x14\x0c\x0c\x00\x00\x00\x02\x00\x81\x61\x02\x05\x01\xff");
    if (prng_below(prng, 4) == 0) {
        memcpy(out, old_form.ptr, old_form.len);
        return old_form.len;
    }
    struct members *members = members_new(&fuzz->store, &fuzz->set_rule.seed);
    uint64_t numbers = prng_below(prng, 3); /* of 2 */
    for (uint64_t left = 1 + prng_below(prng, 40); left > 0; left--) {
        char text[80];
        size_t len = prng_below(prng, sizeof text);
        memset(text, 'x', len);
        if (prng_below(prng, 2) < numbers)
            len = (size_t)snprintf(text, sizeof text, "%lld", (long long)prng_next(prng) >> prng_below(prng, 64));
        members_add(&fuzz->store, members, slice_of(text, len));
    }
    struct entry *entry = set_new_entry(&fuzz->store, &fuzz->set_rule, SLICE("key"), members, true, 0);
    fuzz->out.len = 0;
    dump_write_body(&fuzz->out, entry, prng_below(prng, 2));
    entry_delete(&fuzz->store, entry);
    ASSERT(fuzz->out.len <= INPUT_MAX);
    memcpy(out, fuzz->out.data, fuzz->out.len);
    return fuzz->out.len;
}

/* A hash in one of the forms of RDB, of a few short texts. */
static size_t good_hash(struct prng *prng, struct fuzz *fuzz, char *out) {
    static const struct slice old_forms[] = {
        SLICE_INIT("\x04\x02\x01\x61\xc0\x01\xc1\x80\x00\x05hello"),
        SLICE_INIT("\x09\x14\x02\x01\x61\x01\x02\x31\x00\x00\x03\x31\x32\x38\x05\x00hello\xff"),
        SLICE_INIT("\x0d\x1b\x1b\x00\x00\x00\x13\x00\x00\x00\x04\x00\x00\x01\x61\x03\xf2\x02\xc0\x80\x00\x04\x05hello"
                   "\xff"),
        SLICE_INIT("\x10\x19\x19\x00\x00\x00\x04\x00\x81\x61\x02\x81\x31\x02\x83\x31\x32\x38\x04\x85hello\x06\xff"),
        /* fields with deadlines */
        SLICE_INIT("\x16\x02\x00\x01\x61\xc0\x01\x43\xe8\x01\x62\xc0\x02"),
        SLICE_INIT("\x17\x16\x16\x00\x00\x00\x06\x00\x81\x62\x02\x02\x01\xc3\xe8\x02\x81\x61\x02\x01\x01\x00\x01\xff"),
        SLICE_INIT("\x18\xe8\x03\0\0\0\0\0\0\x02\x00\x01\x61\xc0\x01\x01\x01\x62\xc0\x02"),
    };
    uint64_t which = prng_below(prng, 2 * ARRAY_LEN(old_forms));
    if (which < ARRAY_LEN(old_forms)) {
        memcpy(out, old_forms[which].ptr, old_forms[which].len);
        return old_forms[which].len;
    }
    struct hash_loading loading;
    struct packed_rule rule = {prng_below(prng, 200), prng_below(prng, 80)};
    hash_load_begin(&loading, &fuzz->store, &rule, &fuzz->seed);
    for (uint64_t left = 1 + prng_below(prng, prng_below(prng, 2) ? 10 : 150); left > 0; left--) {
        char text[40];
        size_t len = (size_t)snprintf(text, sizeof text, "%llu%s", (unsigned long long)left, left % 2 ? "field" : "");
        struct packed_value field = packed_value_of(slice_of(text, len));
        struct packed_value value = packed_value_of(slice_of(text, prng_below(prng, len)));
        bool fresh = hash_load(&loading, &field, &value, true);
        ASSERT(fresh);
    }
    struct entry *entry = hash_load_end(&loading, SLICE("key"), 0);
    fuzz->out.len = 0;
    dump_write_body(&fuzz->out, entry, prng_below(prng, 2));
    entry_delete(&fuzz->store, entry);
    ASSERT(fuzz->out.len <= INPUT_MAX);
    memcpy(out, fuzz->out.data, fuzz->out.len);
    return fuzz->out.len;
}

/* A sorted set in one of the forms of RDB. */
static size_t good_zset(struct prng *prng, struct fuzz *fuzz, char *out) {
    static const struct slice old_forms[] = {
        SLICE_INIT("\x03\x03\x01\x61\xff\x02xy\x03\x31.5\xc0\x07\xfe"),
        SLICE_INIT("\x0c\x18\x18\x00\x00\x00\x12\x00\x00\x00\x04\x00\x00\x01\x61\x03\xf2\x02\x01\x62\x03\x03"
                   "\x32.5\xff"),
    };
    uint64_t which = prng_below(prng, 2 * ARRAY_LEN(old_forms));
    if (which < ARRAY_LEN(old_forms)) {
        memcpy(out, old_forms[which].ptr, old_forms[which].len);
        return old_forms[which].len;
    }
    struct sorted *set = sorted_new(&fuzz->store, &fuzz->seed);
    for (uint64_t left = 1 + prng_below(prng, 40); left > 0; left--) {
        char text[40];
        struct slice member = slice_of(text, (size_t)snprintf(text, sizeof text, "%*llx", (int)prng_below(prng, 33),
                                                              (unsigned long long)prng_below(prng, 99)));
        double score = (double)prng_below(prng, 9) / (prng_below(prng, 2) ? 1 : 7);
        if (!sorted_find(set, member)) sorted_insert(&fuzz->store, set, member, score);
    }
    zset_mark(&fuzz->zset_rule, set);
    struct entry *entry = zset_new_entry(&fuzz->store, SLICE("key"), set, 0);
    fuzz->out.len = 0;
    dump_write_body(&fuzz->out, entry, prng_below(prng, 2));
    entry_delete(&fuzz->store, entry);
    ASSERT(fuzz->out.len <= INPUT_MAX);
    memcpy(out, fuzz->out.data, fuzz->out.len);
    return fuzz->out.len;
}

/* A stream with a group, in one of the forms of RDB: the first lacks what stands in the second, the third has a time
 * more. */
static size_t good_stream(struct prng *prng, struct fuzz *fuzz, char *out) {
    struct stream *stream = stream_new(&fuzz->store);
    struct stream_id id = {0, 1};
    for (uint64_t left = prng_below(prng, 30); left > 0; left--) {
        struct slice pairs[] = {prng_below(prng, 4) ? SLICE("f") : SLICE("g"),
                                prng_below(prng, 2) ? SLICE("12") : SLICE("text")};
        id.ms += 1 + prng_below(prng, 300);
        stream_append(&fuzz->store, stream, &(struct stream_rule){200, 10}, id, pairs, 1);
        if (prng_below(prng, 5) == 0 && stream_remove(&fuzz->store, stream, id)) stream->max_deleted = id;
    }
    stream->first = stream_find_first(stream);
    if (prng_below(prng, 3)) {
        struct stream_group *group =
            stream_group_add(&fuzz->store, stream, SLICE("group"), id, (int64_t)prng_below(prng, 3) - 1);
        struct stream_consumer *consumer = stream_consumer_add(&fuzz->store, stream, group, SLICE("c"), 7);
        for (uint64_t left = prng_below(prng, 9); left > 0; left--)
            stream_pending_give(&fuzz->store, stream, group, (struct stream_id){left, 1}, consumer)->deliveries = left;
    }
    struct entry *entry = entry_new_object(&fuzz->store, SLICE("key"), TYPE_STREAM, stream, 0);
    fuzz->out.len = 0;
    dump_write_body(&fuzz->out, entry, prng_below(prng, 2));
    entry_delete(&fuzz->store, entry);
    ASSERT(fuzz->out.len <= INPUT_MAX);
    memcpy(out, fuzz->out.data, fuzz->out.len);
    if (prng_below(prng, 4) == 0) *out = prng_below(prng, 2) ? 15 : 21; /* says that it is another form */
    return fuzz->out.len;
}

/* A string between one repeated byte and noise, or a number, in one of the forms of RDB. */
static size_t good_string(struct prng *prng, struct fuzz *fuzz, char *out) {
    char text[INPUT_MAX / 4];
    size_t len = prng_below(prng, prng_below(prng, 4) ? 64 : sizeof text);
    uint64_t alphabet = 1ull << prng_below(prng, 9);
    for (size_t i = 0; i < len; i++) text[i] = (char)('0' + prng_below(prng, alphabet));
    if (prng_below(prng, 4) == 0) {
        len = (size_t)snprintf(text, sizeof text, "%lld", (long long)prng_next(prng) >> prng_below(prng, 64));
    }
    fuzz->out.len = 0;
    buf_append_literal(&fuzz->out, "\0");
    dump_write_string(&fuzz->out, slice_of(text, len), prng_below(prng, 4) != 0);
    memcpy(out, fuzz->out.data, fuzz->out.len);
    return fuzz->out.len;
}

static size_t mutate(struct prng *prng, char *bytes, size_t len) {
    for (uint64_t changes = prng_below(prng, 5); changes > 0 && len > 1; changes--) {
        size_t at = prng_below(prng, prng_below(prng, 2) ? len : MIN(len, (size_t)8));
        switch (prng_below(prng, 5)) {
        case 0: bytes[at] = (char)prng_next(prng); break;
        case 1: bytes[at] = (char)((unsigned char)bytes[at] ^ 1u << prng_below(prng, 8)); break;
        case 2: len = at + 1; break;
        case 3: /* a head that starts another form */
            bytes[at] = "\x3f\x7f\x80\x81\xc0\xc1\xc2\xc3\xc4\xe0\xff"[prng_below(prng, 11)];
            break;
        default: /* one byte fewer */ memmove(bytes + at, bytes + at + 1, len - at - 1); len--;
        }
    }
    return len;
}

static void play_round(struct prng *prng) {
    char bytes[INPUT_MAX];
    static size_t (*const makers[])(struct prng *, struct fuzz *, char *) = {good_string, good_list, good_set,
                                                                             good_hash, good_zset, good_stream};
    size_t good = makers[prng_below(prng, ARRAY_LEN(makers))](prng, fuzz_get(), bytes);
    size_t len = mutate(prng, bytes, good);
    bool with_footer = prng_below(prng, 2);
    size_t size = len + (with_footer ? DUMP_FOOTER : 0);
    uint8_t *exact = malloc(size); /* a block of its size, for AddressSanitizer */
    ASSERT(exact);
    memcpy(exact, bytes, len);
    if (with_footer) {
        uint16_t version = htole16((uint16_t)prng_below(prng, 16));
        memcpy(exact + len, &version, 2);
        uint64_t crc = htole64(crc64(0, exact, len + 2));
        memcpy(exact + len + 2, &crc, 8);
    }
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct prng prng;
    prng_init(&prng, seed);
    uint64_t rounds = 0;
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    for (; clock() < end; rounds++) play_round(&prng);
    printf("%llu payloads of seed %llu\n", (unsigned long long)rounds, (unsigned long long)seed);
    return 0;
}

#endif
