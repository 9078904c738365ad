/* Members: the blocks; all else is the hash table's. */
#include "core/members.h"
#include "core/assert.h"
#include "core/hashtable_inline.h"

#define LONG_MARK 255u
#define DRAIN_MAX 64u /* members freed in one go */

struct members {
    struct hashtable *table;
    struct hash_seed seed;
    size_t bytes;      /* of the members' blocks */
    uint64_t position; /* of freeing */
    bool numbers;
    const struct table_watch *watch;
};

/* --- a member --- */

static size_t block_size(size_t len) {
    return len + (len < LONG_MARK ? 1 : 5);
}

static struct slice member_text(const void *member) {
    const char *at = member;
    size_t len = (unsigned char)*at;
    if (LIKELY(len < LONG_MARK)) return slice_of(at + 1, len);
    uint32_t long_len;
    memcpy(&long_len, at + 1, sizeof long_len);
    return slice_of(at + 5, long_len);
}

static void *member_new(const struct store *store, struct slice text) {
    ASSERT(text.len <= MEMBER_MAX);
    char *member = store_alloc(store, block_size(text.len)), *at = member;
    *at++ = (char)MIN(text.len, (size_t)LONG_MARK);
    if (UNLIKELY(text.len >= LONG_MARK)) {
        uint32_t len = (uint32_t)text.len;
        memcpy(at, &len, sizeof len);
        at += sizeof len;
    }
    slice_copy(at, text.ptr, text.len);
    return member;
}

static bool member_matches(const void *member, const void *text) {
    return slice_equal(member_text(member), *(const struct slice *)text);
}

static uint64_t hash_of(const struct members *members, struct slice text) {
    return hash_bytes(&members->seed, text.ptr, text.len);
}

static uint64_t rehash(void *ctx, const void *member) {
    return hash_of(ctx, member_text(member));
}

/* --- the set --- */

#define INTSET_MAX (1 << 30) /* Redis's own limit, whatever the option says */

struct set_rule set_rule_of(const struct hash_seed *seed, int64_t max_entries) {
    return (struct set_rule){*seed, (uint64_t)MIN(max_entries, (int64_t)INTSET_MAX)};
}

struct members *members_new(const struct store *store, const struct hash_seed *seed) {
    static const struct hashtable_type type = {.rehash = rehash};
    struct members *members = store_alloc(store, sizeof *members);
    *members = (struct members){.seed = *seed};
    members->table = hashtable_new(store->heap, store->slab, &type, members);
    return members;
}

bool members_free_some(const struct store *store, void *object, unsigned units) {
    struct members *members = object;
    void *out[DRAIN_MAX];
    ASSERT(!members->watch);
    size_t count = hashtable_drain(members->table, &members->position, out, MIN(units, DRAIN_MAX));
    for (size_t i = 0; i < count; i++) __builtin_prefetch(out[i]);
    for (size_t i = 0; i < count; i++) store_free(store, out[i], block_size(member_text(out[i]).len));
    if (hashtable_count(members->table) > 0) return true;
    hashtable_delete(members->table, NULL);
    store_free(store, members, sizeof *members);
    return false;
}

static void *move_member(void *ctx, void *member) {
    return store_moved(ctx, member, block_size(member_text(member).len));
}

/* A store_defrag_some; a unit is a bucket. */
uint64_t members_defrag_some(const struct store *store, void *object, uint64_t position, unsigned units) {
    struct members *members = object;
    while (units-- > 0) {
        position = hashtable_defrag(members->table, position, move_member, (void *)(uintptr_t)store);
        if (position == 0) break;
    }
    return position;
}

void members_delete(const struct store *store, struct members *members) {
    store_free_object(store, members_free_some, members);
}

uint64_t members_count(const struct members *members) {
    return hashtable_count(members->table);
}

size_t members_bytes(const struct members *members) {
    return members->bytes + hashtable_bytes(members->table) + store_block_size(sizeof *members);
}

bool members_has(const struct members *members, struct slice text) {
    return ht_find(members->table, hash_of(members, text), member_matches, &text) != NULL;
}

static void tell(const struct members *members, struct slice text, bool present) {
    if (UNLIKELY(members->watch)) members->watch->before(members->watch->ctx, text, present, SLICE(""));
}

bool members_add(const struct store *store, struct members *members, struct slice text) {
    uint64_t hash = hash_of(members, text);
    if (ht_find(members->table, hash, member_matches, &text)) return false;
    tell(members, text, false);
    hashtable_insert(members->table, hash, member_new(store, text), 0);
    members->bytes += store_block_size(block_size(text.len));
    return true;
}

bool members_remove(const struct store *store, struct members *members, struct slice text) {
    uint64_t hash = hash_of(members, text);
    ht_slot *slot = ht_find(members->table, hash, member_matches, &text);
    if (!slot) return false;
    void *member = ht_entry(*slot);
    size_t size = block_size(text.len);
    tell(members, text, true);
    hashtable_remove(members->table, hash, slot);
    store_free(store, member, size);
    members->bytes -= store_block_size(size);
    return true;
}

void members_expect(struct members *members, uint64_t count) {
    hashtable_expect(members->table, count);
}

bool members_numbers(const struct members *members) {
    return members->numbers;
}

void members_set_numbers(struct members *members, bool numbers) {
    members->numbers = numbers;
}

/* --- visiting --- */

struct text_visit {
    members_visit visit;
    void *ctx;
};

static void visit_text(void *ctx, void *member, unsigned flags) {
    const struct text_visit *inner = ctx;
    (void)flags;
    inner->visit(inner->ctx, member_text(member));
}

uint64_t members_scan(const struct members *members, uint64_t cursor, members_visit visit, void *ctx) {
    struct text_visit inner = {visit, ctx};
    return hashtable_scan(members->table, cursor, visit_text, &inner);
}

uint64_t members_position(const struct members *members, struct slice text) {
    return hash_of(members, text) >> (64 - HT_CURSOR_BITS);
}

void members_watch(struct members *members, const struct table_watch *watch) {
    ASSERT(!watch || !members->watch);
    members->watch = watch;
}

struct slice members_random(const struct members *members, struct prng *prng) {
    void *member = hashtable_random(members->table, prng);
    ASSERT(member);
    return member_text(member);
}

struct copying {
    const struct store *store;
    struct members *to;
};

static void copy_text(void *ctx, struct slice text) {
    struct copying *copying = ctx;
    struct members *to = copying->to;
    hashtable_insert(to->table, hash_of(to, text), member_new(copying->store, text), 0);
    to->bytes += store_block_size(block_size(text.len));
}

struct members *members_copy(const struct store *store, const struct members *members) {
    struct copying copying = {store, members_new(store, &members->seed)};
    members_expect(copying.to, members_count(members));
    uint64_t cursor = 0;
    do cursor = members_scan(members, cursor, copy_text, &copying);
    while (cursor);
    copying.to->numbers = members->numbers;
    ASSERT(members_count(copying.to) == members_count(members));
    return copying.to;
}

static void add_size(void *ctx, struct slice text) {
    *(size_t *)ctx += store_block_size(block_size(text.len));
}

void members_check(const struct members *members) {
    size_t bytes = 0;
    uint64_t cursor = 0;
    hashtable_check(members->table);
    do cursor = members_scan(members, cursor, add_size, &bytes);
    while (cursor);
    ASSERT(bytes == members->bytes);
}
