#include "tests/support/entries.h"
#include "core/assert.h"
#include "core/num.h"
#include "shards/hash_value.h"
#include "shards/list.h"
#include "shards/set.h"
#include "shards/zset.h"
#include "tests/support/stream_digest.h"

void entries_init(struct entries *entries, uint64_t seed) {
    *entries = (struct entries){.heap = heap_new(), .seed = {seed, 8}};
    ASSERT(entries->heap);
    entries->store = (struct store){.heap = entries->heap, .slab = slab_new(entries->heap, MEM_DATA)};
    prng_init(&entries->prng, seed);
    entries->list_rule = quicklist_rule_of(-2);
    entries->set_rule = set_rule_of(&entries->seed, 512);
    entries->hash_rule = (struct packed_rule){128, 64};
    entries->zset_rule = (struct zset_rule){128, 64};
    buf_init(&entries->scratch, entries->heap, MEM_MESSAGE);
}

void entries_deinit(struct entries *entries) {
    buf_deinit(&entries->scratch);
    slab_delete(entries->store.slab);
    ASSERT(heap_used(entries->heap, MEM_DATA) == 0);
    heap_delete(entries->heap);
}

struct dump_target entries_target(struct entries *entries) {
    return (struct dump_target){.store = &entries->store,
                                .list_rule = &entries->list_rule,
                                .set_rule = &entries->set_rule,
                                .hash_rule = &entries->hash_rule,
                                .zset_rule = &entries->zset_rule,
                                .seed = &entries->seed,
                                .scratch = &entries->scratch,
                                .key = SLICE("key"),
                                .allow_int = true};
}

/* --- making --- */

/* Valid until the next one. */
static struct slice random_text(struct entries *entries, size_t max) {
    struct prng *prng = &entries->prng;
    struct buf *scratch = &entries->scratch;
    scratch->len = 0;
    if (prng_below(prng, 4) == 0) {
        char *text = buf_reserve(scratch, NUM_I64_MAX);
        return slice_of(text, num_format_i64(text, (int64_t)prng_next(prng) >> prng_below(prng, 64)));
    }
    size_t len = prng_below(prng, prng_below(prng, 8) ? MIN(max, (size_t)40) + 1 : max + 1);
    uint64_t alphabet = 1ull << prng_below(prng, 9);
    char *text = buf_reserve(scratch, len + 1);
    for (size_t i = 0; i < len; i++) text[i] = (char)('0' + (prng_next(prng) & (alphabet - 1)));
    return slice_of(text, len);
}

static struct entry *make_string(struct entries *entries, struct slice key, size_t len, uint64_t deadline_ms) {
    struct slice text = random_text(entries, len);
    if (len > 1000) { /* that long */
        uint64_t alphabet = prng_below(&entries->prng, 2) ? 256 : 3;
        char *bytes = buf_reserve(&entries->scratch, len);
        for (size_t i = 0; i < len; i++) bytes[i] = (char)prng_below(&entries->prng, alphabet);
        text = slice_of(bytes, len);
    }
    return entry_new_string(&entries->store, key, text, deadline_ms, true);
}

static struct entry *make_list(struct entries *entries, struct slice key, uint64_t count, size_t text_max,
                               uint64_t deadline_ms) {
    struct quicklist *list = quicklist_new(&entries->store);
    for (; count > 0; count--) {
        struct packed_value value = packed_value_of(random_text(entries, text_max));
        quicklist_push(&entries->store, list, &entries->list_rule, LIST_TAIL, &value);
    }
    return list_new_entry(&entries->store, key, list, deadline_ms);
}

static struct entry *make_set(struct entries *entries, struct slice key, uint64_t count, size_t text_max,
                              uint64_t deadline_ms) {
    struct members *members = members_new(&entries->store, &entries->seed);
    bool numbers = prng_below(&entries->prng, 4) == 0;
    while (members_count(members) < count) {
        char text[NUM_I64_MAX];
        struct slice member = random_text(entries, MAX(text_max, (size_t)20));
        if (numbers)
            member = slice_of(
                text, num_format_i64(text, (int64_t)prng_next(&entries->prng) >> (prng_below(&entries->prng, 4) * 8)));
        members_add(&entries->store, members, member);
    }
    return set_new_entry(&entries->store, &entries->set_rule, key, members, true, deadline_ms);
}

static struct entry *make_hash(struct entries *entries, struct slice key, uint64_t count, size_t text_max,
                               uint64_t deadline_ms) {
    struct hash_loading loading;
    struct buf kept;
    buf_init(&kept, entries->heap, MEM_MESSAGE);
    hash_load_begin(&loading, &entries->store, &entries->hash_rule, &entries->seed);
    while (loading.pairs < count) {
        kept.len = 0;
        buf_append_slice(&kept, random_text(entries, MAX(text_max, (size_t)20)));
        struct packed_value field = packed_value_of(buf_slice(&kept)),
                            value = packed_value_of(random_text(entries, text_max));
        (void)!hash_load(&loading, &field, &value, true);
    }
    buf_deinit(&kept);
    return hash_load_end(&loading, key, deadline_ms);
}

static struct entry *make_zset(struct entries *entries, struct slice key, uint64_t count, size_t text_max,
                               uint64_t deadline_ms) {
    struct sorted *set = sorted_new(&entries->store, &entries->seed);
    while (sorted_count(set) < count) {
        struct slice member = random_text(entries, MAX(text_max, (size_t)20));
        if (sorted_find(set, member)) continue;
        double score = (double)(int64_t)prng_next(&entries->prng) / (double)(1 + prng_below(&entries->prng, 1000));
        sorted_insert(&entries->store, set, member, prng_below(&entries->prng, 3) ? score : (double)(int64_t)score);
    }
    zset_mark(&entries->zset_rule, set);
    return zset_new_entry(&entries->store, key, set, deadline_ms);
}

/* A few groups have been given some of it. */
static void add_groups(struct entries *entries, struct stream *stream) {
    for (uint64_t i = 0, groups = prng_below(&entries->prng, 3); i < groups; i++) {
        struct stream_group *group = stream_group_add(&entries->store, stream, i ? SLICE("workers") : SLICE("readers"),
                                                      stream->last, (int64_t)prng_below(&entries->prng, 5) - 1);
        for (uint64_t k = 0, consumers = prng_below(&entries->prng, 4); k < consumers; k++) {
            static const struct slice names[] = {SLICE_INIT("one"), SLICE_INIT("two"), SLICE_INIT("")};
            struct stream_consumer *consumer =
                stream_consumer_add(&entries->store, stream, group, names[k], prng_below(&entries->prng, 1ull << 42));
            for (uint64_t left = prng_below(&entries->prng, 1200); left > 0; left--) {
                struct stream_id id = {prng_below(&entries->prng, stream->last.ms + 2), prng_below(&entries->prng, 2)};
                struct pending *pending = stream_pending_give(&entries->store, stream, group, id, consumer);
                pending->delivered_ms = prng_below(&entries->prng, 1ull << 42);
                pending->deliveries = prng_below(&entries->prng, 1000);
            }
        }
    }
}

static struct entry *make_stream(struct entries *entries, struct slice key, uint64_t count, size_t text_max,
                                 uint64_t deadline_ms) {
    static const struct stream_rule rule = {4096, 100};
    struct stream *stream = stream_new(&entries->store);
    struct stream_id id = {0, 0};
    for (; count > 0; count--) {
        id.ms += 1 + prng_below(&entries->prng, 3);
        struct slice pairs[] = {SLICE("field"), random_text(entries, text_max)};
        stream_append(&entries->store, stream, &rule, id, pairs, 1);
        if (prng_below(&entries->prng, 9) == 0 && stream_remove(&entries->store, stream, id)) stream->max_deleted = id;
    }
    stream->first = stream_find_first(stream);
    add_groups(entries, stream);
    return entry_new_object(&entries->store, key, TYPE_STREAM, stream, deadline_ms);
}

struct entry *entries_make(struct entries *entries, enum value_type type, struct slice key, uint64_t count,
                           size_t text_max, uint64_t deadline_ms) {
    switch (type) {
    case TYPE_STRING: return make_string(entries, key, text_max, deadline_ms);
    case TYPE_LIST: return make_list(entries, key, count, text_max, deadline_ms);
    case TYPE_SET: return make_set(entries, key, count, text_max, deadline_ms);
    case TYPE_HASH: return make_hash(entries, key, count, text_max, deadline_ms);
    case TYPE_STREAM: return make_stream(entries, key, count, text_max, deadline_ms);
    default: return make_zset(entries, key, count, text_max, deadline_ms);
    }
}

/* --- comparing --- */

static uint64_t mix(uint64_t digest, struct slice text) {
    static const struct hash_seed seed = {11, 12};
    return digest * 0x9E3779B97F4A7C15u + hash_bytes(&seed, text.ptr, text.len);
}

static uint64_t mix_value(uint64_t digest, const struct packed_value *value) {
    char text[PACKED_SCRATCH];
    return mix(digest, packed_text(value, text));
}

static bool add_member(void *ctx, struct slice text) {
    *(uint64_t *)ctx += mix(1, text); /* in any order */
    return true;
}

static void add_field(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    *(uint64_t *)ctx += mix_value(mix_value(1, field), value);
}

static uint64_t list_digest(const struct entry *entry) {
    uint64_t digest = 1;
    struct packed_value value;
    struct quicklist_iter iter = list_seek(entry, 0);
    while (list_step(&iter, LIST_HEAD, &value)) digest = mix_value(digest, &value);
    return digest;
}

static uint64_t zset_digest(const struct entry *entry) {
    uint64_t digest = 1;
    struct zset_pair pair;
    struct zset_iter iter = zset_seek(entry, 0);
    while (zset_next(&iter, &pair)) {
        double score = pair.score == 0 ? 0 : pair.score;
        digest = mix(mix(digest, pair.member), slice_of((const char *)&score, sizeof score));
    }
    return digest;
}

uint64_t entries_digest(const struct entry *entry) {
    uint64_t digest = 0;
    char scratch[ENTRY_SCRATCH];
    switch ((enum value_type)entry->type) {
    case TYPE_STRING: digest = mix(1, entry_string(entry, scratch)); break;
    case TYPE_LIST: digest = list_digest(entry); break;
    case TYPE_SET: set_each(entry, add_member, &digest); break;
    case TYPE_HASH: hash_each(entry, add_field, &digest); break;
    case TYPE_ZSET: digest = zset_digest(entry); break;
    case TYPE_STREAM: digest = stream_digest(entry_object(entry), true); break;
    case TYPE_COUNT: break;
    }
    return digest * TYPE_COUNT + entry->type;
}
