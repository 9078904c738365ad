/* Dump: that payloads are Redis's, byte for byte where Redis has no choice, and that nothing from outside does harm.
 *
 * The expected payloads come from redis-server 7.0.15 (SET, then DUMP). Hostile inputs are made from good ones: cut at
 * every byte, every byte changed to every other, with the checksum left alone and with it made right. Each is read from
 * a heap block of exactly its size, so that a build with AddressSanitizer sees a step too far. */
#include "core/crc.h"
#include "core/prng.h"
#include "shards/dump.h"
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct heap *heap;
static struct slab *slab;
static struct store store;
static const struct zset_rule zset_rule = {128, 64};
static const struct hash_seed table_seed = {1, 2};

static struct entry *entry_of(struct slice value) {
    return entry_new_string(&store, SLICE("key"), value, 0, true);
}

static void write_payload(struct buf *out, struct slice value) {
    struct entry *entry = entry_of(value);
    dump_write(out, entry);
    entry_delete(&store, entry);
}

static struct entry *last; /* that was read */

/* The string that a body is, which lives until the next call; false when it is none. */
static bool read_body(struct slice *body, struct buf *scratch, struct slice *value) {
    static char text[ENTRY_SCRATCH];
    struct entry *entry = dump_read_entry(
        body, &(struct dump_target){.store = &store,
                                    .zset_rule = &zset_rule,
                                    .seed = &table_seed,
                                    .scratch = scratch,
                                    .key = SLICE("key"),
                                    .allow_int = true});
    if (last) entry_delete(&store, last);
    last = entry;
    if (!entry) return false;
    *value = entry_string(entry, text);
    return true;
}

/* Footer and body as RESTORE reads them. */
static bool restores(struct slice payload, struct buf *scratch, struct slice *value) {
    return dump_footer_fits(payload) && read_body(&payload, scratch, value);
}

static void assert_value(struct slice value, struct slice expected) {
    assert_int_equal(value.len, expected.len);
    if (value.len) assert_memory_equal(value.ptr, expected.ptr, value.len);
}

/* --- the same as Redis --- */

struct known {
    struct slice value, payload;
};
#define KNOWN(value, payload)                                                                                          \
    { SLICE_INIT(value), SLICE_INIT(payload) }

static const struct known known[] = {
    KNOWN("", "\x00\x00\x0a\x00\x5d\x9b\x5c\x40\x0f\x7f\xa2\xda"),
    KNOWN("x", "\x00\x01\x78\x0a\x00\x22\x80\x86\x5f\xbd\xe8\x48\xd0"),
    KNOWN("hello", "\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a"),
    KNOWN("0", "\x00\xc0\x00\x0a\x00\x98\x40\xa7\x78\xf8\x50\x03\x08"),
    KNOWN("127", "\x00\xc0\x7f\x0a\x00\x0d\xb5\xeb\x31\x52\x54\xc5\x14"),
    KNOWN("-128", "\x00\xc0\x80\x0a\x00\x99\x66\x32\x6d\x2f\x0c\x5b\xd9"),
    KNOWN("128", "\x00\xc1\x80\x00\x0a\x00\xeb\x7a\xb3\xb5\x10\xcf\x4b\x65"),
    KNOWN("-32768", "\x00\xc1\x00\x80\x0a\x00\xb5\x40\x06\x47\x53\xbb\x1a\xce"),
    KNOWN("32768", "\x00\xc2\x00\x80\x00\x00\x0a\x00\x45\xd8\x2e\xed\xd5\xbd\xa9\x10"),
    KNOWN("-2147483648", "\x00\xc2\x00\x00\x00\x80\x0a\x00\xc7\x4f\x87\x3e\x33\x55\x81\x87"),
    KNOWN("2147483647", "\x00\xc2\xff\xff\xff\x7f\x0a\x00\x2c\x74\xe5\x9e\xe0\x2e\xad\xa1"),
    KNOWN("2147483648", "\x00\x0a\x32\x31\x34\x37\x34\x38\x33\x36\x34\x38\x0a\x00\xe7\xb1\x29\xa3\x4c\x1d\x76\xee"),
    KNOWN("-9223372036854775808", "\x00\x14\x2d\x39\x32\x32\x33\x33\x37\x32\x30\x33\x36\x38\x35\x34\x37\x37\x35\x38\x30"
                                  "\x38\x0a\x00\xed\xe2\xb9\x56\xeb\x70\x9e\x81"),
    KNOWN("007", "\x00\x03\x30\x30\x37\x0a\x00\x72\x58\xe2\x7b\x4c\x69\xba\xd9"),
    KNOWN("aaaaaaaaaaaaaaaaaaaa", "\x00\x14\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61"
                                  "\x61\x0a\x00\x83\xb4\x6b\x5e\x1b\x11\xac\xf1"),
    KNOWN("aaaaaaaaaaaaaaaaaaaaa", "\x00\xc3\x06\x15\x01\x61\x61\xe0\x0a\x00\x0a\x00\xfd\x0c\xb3\x68\x07\x41\x3f\x68"),
    KNOWN("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15"
          "\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x20\x21\x22\x23\x24\x25\x26\x27\x28\x29\x2a\x2b"
          "\x2c\x2d\x2e\x2f\x30\x31\x32\x33\x34\x35\x36\x37\x38\x39\x3a\x3b\x3c\x3d\x3e\x3f",
          "\x00\x40\x40\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12"
          "\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x20\x21\x22\x23\x24\x25\x26\x27\x28"
          "\x29\x2a\x2b\x2c\x2d\x2e\x2f\x30\x31\x32\x33\x34\x35\x36\x37\x38\x39\x3a\x3b\x3c\x3d\x3e"
          "\x3f\x0a\x00\x8c\x0c\x07\xac\xf5\x08\xb4\x45"),
};

static void writes_what_redis_writes(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct buf out;
        buf_init(&out, heap, MEM_DATA);
        write_payload(&out, known[i].value);
        assert_value(buf_slice(&out), known[i].payload);
        buf_deinit(&out);
    }
}

static void reads_what_redis_writes(void **state) {
    (void)state;
    struct buf scratch;
    buf_init(&scratch, heap, MEM_DATA);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct slice value;
        assert_true(restores(known[i].payload, &scratch, &value));
        assert_value(value, known[i].value);
    }
    buf_deinit(&scratch);
}

/* --- there and back --- */

static void assert_round_trip(struct slice value) {
    struct buf out, scratch;
    buf_init(&out, heap, MEM_DATA);
    buf_init(&scratch, heap, MEM_DATA);
    buf_append_literal(&out, "before"); /* a payload need not stand at the start of its buf */
    write_payload(&out, value);
    struct slice payload = slice_of(out.data + 6, out.len - 6), back;
    assert_true(restores(payload, &scratch, &back));
    assert_value(back, value);

    out.len = 0;
    struct entry *entry = entry_of(value);
    dump_write_body(&out, entry, false);
    entry_delete(&store, entry);
    struct slice body = buf_slice(&out);
    assert_true(read_body(&body, &scratch, &back));
    assert_value(back, value);
    assert_int_equal(body.len, 0);
    buf_deinit(&out);
    buf_deinit(&scratch);
}

static void round_trips_all_sizes(void **state) {
    (void)state;
    static const size_t sizes[] = {0,    1,     19,    20,    21,     63,     64,      100,    4000,
                                   4001, 16383, 16384, 16385, 262143, 262144, 1 << 20, 3 << 20};
    struct prng prng;
    prng_init(&prng, 7);
    char *bytes = malloc(3 << 20);
    assert_non_null(bytes);
    for (unsigned alphabet = 1; alphabet <= 256; alphabet *= 4) { /* from one repeated byte to noise */
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            for (size_t at = 0; at < sizes[i]; at++) bytes[at] = (char)('a' + prng_below(&prng, alphabet));
            assert_round_trip(slice_of(bytes, sizes[i]));
        }
    }
    free(bytes);
}

static void round_trips_integers(void **state) {
    (void)state;
    for (int shift = 0; shift < 64; shift++) {
        for (int64_t delta = -1; delta <= 1; delta++) {
            int64_t value = (int64_t)((1ull << shift) + (uint64_t)delta);
            char text[2][32];
            snprintf(text[0], sizeof text[0], "%lld", (long long)value);
            snprintf(text[1], sizeof text[1], "-%llu", (unsigned long long)value);
            assert_round_trip(slice_of_cstr(text[0]));
            assert_round_trip(slice_of_cstr(text[1]));
        }
    }
}

static void compresses(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, heap, MEM_DATA);
    size_t size = 1 << 20;
    char *bytes = calloc(1, size);
    assert_non_null(bytes);
    write_payload(&out, slice_of(bytes, size));
    assert_in_range(out.len, 10, size / 80);
    struct prng prng;
    prng_init(&prng, 3);
    for (size_t at = 0; at < size; at++) bytes[at] = (char)prng_next(&prng);
    out.len = 0;
    write_payload(&out, slice_of(bytes, size));
    assert_int_equal(out.len, 1 + 5 + size + DUMP_FOOTER); /* noise stays as it is */
    free(bytes);
    buf_deinit(&out);
}

/* --- lengths --- */

static void lengths_take_the_shortest_form(void **state) {
    (void)state;
    static const struct {
        uint64_t len;
        size_t bytes;
    } forms[] = {{0, 1},         {63, 1},         {64, 2},         {16383, 2},
                 {16384, 5},     {UINT32_MAX, 5}, {1ull << 32, 9}, {UINT64_MAX - 1, 9},
                 {UINT64_MAX, 9}};
    struct buf out;
    buf_init(&out, heap, MEM_DATA);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        out.len = 0;
        dump_write_length(&out, forms[i].len);
        assert_int_equal(out.len, forms[i].bytes);
        struct slice rest = buf_slice(&out);
        uint64_t len = 1;
        assert_true(dump_read_length(&rest, &len));
        assert_int_equal(len, forms[i].len);
        assert_int_equal(rest.len, 0);
        for (size_t cut = 0; cut < out.len; cut++) {
            rest = slice_of(out.data, cut);
            assert_false(dump_read_length(&rest, &len));
        }
    }
    buf_deinit(&out);
}

static void refuses_lengths_that_are_none(void **state) {
    (void)state;
    for (unsigned first = 0x82; first < 0x100; first++) {
        char bytes[16] = {(char)first};
        struct slice rest = slice_of(bytes, sizeof bytes);
        uint64_t len;
        assert_false(dump_read_length(&rest, &len));
    }
}

/* --- hostile --- */

/* Makes the last ten bytes a right footer. */
static void seal(char *payload, size_t len, uint16_t version) {
    version = htole16(version);
    memcpy(payload + len - DUMP_FOOTER, &version, 2);
    uint64_t crc = htole64(crc64(0, payload, len - 8));
    memcpy(payload + len - 8, &crc, 8);
}

/* Reads a copy in a block of exactly its size; the value, when there is one, is touched to its end. */
static bool try_payload(const char *bytes, size_t len) {
    char *copy = malloc(len);
    struct buf scratch;
    buf_init(&scratch, heap, MEM_DATA);
    if (len) memcpy(copy, bytes, len);
    struct slice value;
    bool fits = restores(slice_of(copy, len), &scratch, &value);
    unsigned sum = 0;
    for (size_t i = 0; fits && i < value.len; i++) sum += (unsigned char)value.ptr[i];
    assert_true(sum < UINT32_MAX);
    buf_deinit(&scratch);
    free(copy);
    return fits;
}

/* Good ones of every form, made here where Redis would have made another. */
static size_t sample(size_t which, char out[512]) {
    static const struct slice bodies[] = {
        SLICE_INIT("\x00\x05hello"),
        SLICE_INIT("\x00\xc0\x85"),
        SLICE_INIT("\x00\xc1\x85\x01"),
        SLICE_INIT("\x00\xc2\x85\x01\x01\x90"),
        SLICE_INIT("\x00\x40\x05hello"),
        SLICE_INIT("\x00\x80\x00\x00\x00\x05hello"),
        SLICE_INIT("\x00\x81\x00\x00\x00\x00\x00\x00\x00\x05hello"),
        SLICE_INIT("\x00\xc3\x06\x15\x01\x61\x61\xe0\x0a\x00"),
        SLICE_INIT("\x00\xc3\x13\x43\xe8\x02\x61\x62\x61\xe0\xff\x01\xe0\xff\x01\xe0\xff\x01\xe0\xc2\x01\x01\x61\x62"),
    };
    if (which == ARRAY_LEN(bodies)) return 0;
    memcpy(out, bodies[which].ptr, bodies[which].len);
    size_t len = bodies[which].len + DUMP_FOOTER;
    seal(out, len, DUMP_VERSION);
    return len;
}

static void survives_every_cut(void **state) {
    (void)state;
    char good[512];
    size_t len;
    for (size_t which = 0; (len = sample(which, good)); which++) {
        assert_true(try_payload(good, len));
        for (size_t cut = 0; cut < len; cut++) {
            assert_false(try_payload(good, cut)); /* the checksum sees to that */
            char sealed[512];
            memcpy(sealed, good, cut);
            if (cut >= DUMP_FOOTER) seal(sealed, cut, DUMP_VERSION);
            (void)try_payload(sealed, cut); /* here the reader has to */
        }
    }
}

static void survives_every_changed_byte(void **state) {
    (void)state;
    char good[512];
    size_t len;
    for (size_t which = 0; (len = sample(which, good)); which++) {
        for (size_t at = 0; at < len; at++) {
            for (unsigned change = 1; change < 256; change++) {
                char bad[512];
                memcpy(bad, good, len);
                bad[at] = (char)((unsigned char)bad[at] ^ change);
                assert_false(try_payload(bad, len));
                seal(bad, len, DUMP_VERSION);
                if (at > 0) (void)try_payload(bad, len); /* other types are in dump_list_test.c */
            }
        }
    }
}

static void checks_the_version(void **state) {
    (void)state;
    char bytes[512];
    size_t len = sample(0, bytes);
    for (unsigned version = 0; version < 65536; version += version < 20 ? 1 : 1000) {
        seal(bytes, len, (uint16_t)version);
        assert_int_equal(try_payload(bytes, len), version <= DUMP_VERSION_MAX);
    }
}

/* A few bytes that promise a lot must not make us reserve it. */
static void refuses_promises(void **state) {
    (void)state;
    static const struct slice bodies[] = {
        SLICE_INIT("\x00\xc3\x05\x80\x10\x00\x00\x00\x00\x61\xe0\xff\x00"),
        SLICE_INIT("\x00\xc3\x05\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00\x61\xe0\xff\x00"),
        SLICE_INIT("\x00\xc3\x81\xff\xff\xff\xff\xff\xff\xff\xff\x05\x00\x61\xe0\xff\x00"),
        SLICE_INIT("\x00\xc3\x00\x00"),
        SLICE_INIT("\x00\xc3\x00\x05"),
        SLICE_INIT("\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff"),
        SLICE_INIT("\x00\x80\xff\xff\xff\xff"),
        SLICE_INIT("\x00\x7f\xff"),
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        char bytes[64];
        memcpy(bytes, bodies[i].ptr, bodies[i].len);
        seal(bytes, bodies[i].len + DUMP_FOOTER, DUMP_VERSION);
        int64_t before = heap_used(heap, MEM_DATA);
        struct slice payload = slice_of(bytes, bodies[i].len + DUMP_FOOTER), value = SLICE("");
        struct buf scratch;
        buf_init(&scratch, heap, MEM_DATA);
        assert_false(restores(payload, &scratch, &value));
        assert_true(heap_used(heap, MEM_DATA) - before < 65536);
        buf_deinit(&scratch);
    }
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    slab = slab_new(heap, MEM_DATA);
    store = (struct store){.heap = heap, .slab = slab};
    return heap && slab ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    if (last) entry_delete(&store, last);
    slab_delete(slab);
    heap_delete(heap);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_redis_writes),
        cmocka_unit_test(reads_what_redis_writes),
        cmocka_unit_test(round_trips_all_sizes),
        cmocka_unit_test(round_trips_integers),
        cmocka_unit_test(compresses),
        cmocka_unit_test(lengths_take_the_shortest_form),
        cmocka_unit_test(refuses_lengths_that_are_none),
        cmocka_unit_test(survives_every_cut),
        cmocka_unit_test(survives_every_changed_byte),
        cmocka_unit_test(checks_the_version),
        cmocka_unit_test(refuses_promises),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
