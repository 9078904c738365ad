/* Compare: entry by entry, by what they hold rather than how. */
#include "tests/support/compare.h"
#include "shards/hash_value.h"
#include "shards/list.h"
#include "shards/set.h"
#include "shards/zset.h"
#include "tests/support/stream_digest.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool has_member(void *ctx, struct slice text) {
    assert_true(set_has(ctx, text));
    return true;
}

/* Whether a number stands in it as one or as text depends on the form that it is kept in. */
static bool same_text(const struct packed_value *a, const struct packed_value *b) {
    char scratch[2][PACKED_SCRATCH];
    return slice_equal(packed_text(a, scratch[0]), packed_text(b, scratch[1]));
}

static void has_field(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    struct packed_value other;
    char scratch[PACKED_SCRATCH];
    assert_true(hash_get(ctx, packed_text(field, scratch), &other));
    assert_true(same_text(value, &other));
}

struct two {
    const struct entry *a, *b;
};

static void has_deadline(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    const struct two *two = ctx;
    char scratch[PACKED_SCRATCH];
    struct slice name = packed_text(field, scratch);
    (void)value;
    assert_int_equal(hash_deadline(two->a, name), hash_deadline(two->b, name));
}

static void compare_lists(const struct entry *a, const struct entry *b) {
    struct packed_value x, y;
    struct quicklist_iter i = list_seek(a, 0), j = list_seek(b, 0);
    while (quicklist_next(&i, &x)) assert_true(quicklist_next(&j, &y) && same_text(&x, &y));
}

static void compare_scores(const struct entry *a, const struct entry *b) {
    struct zset_pair x, y;
    struct zset_iter i = zset_seek(a, 0), j = zset_seek(b, 0);
    while (zset_next(&i, &x)) assert_true(zset_next(&j, &y) && slice_equal(x.member, y.member) && x.score == y.score);
}

/* But for the count that PFCOUNT keeps in a HyperLogLog. */
static bool strings_equal(struct slice a, struct slice b) {
    enum { CACHE = 8, BEHIND = 16 };
    if (a.len != b.len || a.len < BEHIND || memcmp(a.ptr, "HYLL", 4) != 0) return slice_equal(a, b);
    return memcmp(a.ptr, b.ptr, CACHE) == 0 && memcmp(a.ptr + BEHIND, b.ptr + BEHIND, a.len - BEHIND) == 0;
}

static void compare_entries(struct entry *a, struct entry *b) {
    char scratch[2][ENTRY_SCRATCH];
    assert_int_equal(a->type, b->type);
    assert_int_equal(entry_deadline_ms(a), entry_deadline_ms(b));
    switch ((enum value_type)a->type) {
    case TYPE_STRING: assert_true(strings_equal(entry_string(a, scratch[0]), entry_string(b, scratch[1]))); break;
    case TYPE_LIST:
        assert_int_equal(list_len(a), list_len(b));
        compare_lists(a, b);
        break;
    case TYPE_SET:
        assert_int_equal(set_count(a), set_count(b));
        set_each(a, has_member, b);
        break;
    case TYPE_ZSET:
        assert_int_equal(zset_len(a), zset_len(b));
        compare_scores(a, b);
        break;
    case TYPE_HASH:
        assert_int_equal(hash_len(a), hash_len(b));
        hash_each(a, has_field, b);
        if ((a->flags | b->flags) & ENTRY_FIELDS_TIMED) hash_each(a, has_deadline, &(struct two){a, b});
        break;
    case TYPE_STREAM:
        stream_check(entry_object(b));
        assert_true(stream_digest(entry_object(a), false) == stream_digest(entry_object(b), false));
        break;
    default: fail();
    }
}

struct comparing {
    struct sim *target;
    uint32_t db;
    uint64_t keys;
};

static void compare_key(void *ctx, struct entry *entry) {
    struct comparing *comparing = ctx;
    struct slice key = entry_key(entry);
    struct shard *shard = sim_shard(comparing->target, 0);
    shard = sim_shard(comparing->target, shard_of_key(shard, key));
    struct key_ref ref;
    if (!keyspace_open(shard_db(shard, comparing->db), key, key_hash(&shard->shared, key), &ref))
        fail_msg("%.*s is not there", (int)key.len, key.ptr);
    compare_entries(entry, ref.entry);
    comparing->keys++;
}

static uint64_t count_keys(struct sim *sim, uint32_t db) {
    uint64_t keys = 0;
    for (uint32_t id = 0; id < sim_shard_count(sim); id++) {
        const struct keyspace *keyspace = shard_db_peek(sim_shard(sim, id), db);
        keys += keyspace ? keyspace_count(keyspace) : 0;
    }
    return keys;
}

static void compare_shard(struct sim *sim, uint32_t id, struct comparing *comparing) {
    struct keyspace *keys = shard_db_peek(sim_shard(sim, id), comparing->db);
    for (uint64_t cursor = 0; keys;) {
        cursor = keyspace_scan(keys, cursor, compare_key, comparing);
        if (cursor == 0) break;
    }
}

static uint64_t compare_database(struct sim *a, struct sim *b, uint32_t db) {
    struct comparing comparing = {.target = b, .db = db};
    for (uint32_t id = 0; id < sim_shard_count(a); id++) compare_shard(a, id, &comparing);
    struct comparing back = {.target = a, .db = db};
    if (count_keys(a, db) != count_keys(b, db)) /* says which one is too many */
        for (uint32_t id = 0; id < sim_shard_count(b); id++) compare_shard(b, id, &back);
    assert_int_equal(count_keys(a, db), count_keys(b, db));
    return comparing.keys;
}

uint64_t compare_machines(struct sim *a, struct sim *b, uint32_t dbs) {
    uint64_t keys = 0;
    for (uint32_t id = 0; id < sim_shard_count(a); id++) sim_shard(a, id)->shared.now_ms = 0;
    for (uint32_t id = 0; id < sim_shard_count(b); id++) sim_shard(b, id)->shared.now_ms = 0;
    for (uint32_t db = 0; db < dbs; db++) keys += compare_database(a, b, db);
    return keys;
}
