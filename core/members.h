/* Members: a large set of strings, a hash table of small blocks.
 *
 *      | length 1 | bytes |             a member of less than 255 bytes
 *      | 255 | length 4 | bytes |       a longer one
 *
 * A member costs its block, which is 1 to 8 bytes over its text as the slab rounds up to 8, and 14 bytes or so of table
 * (core/hashtable.h); nothing links members to each other. There is no order. An integer is a string like any other
 * here; but the set remembers whether it still counts as one of integers only, because clients can ask for that.
 *
 * Ownership the set owns its members; texts that are put in are copied. Memory is the store's; what is large is freed
 *           in slices (members_free_some is a store_free_some).
 * Thread    the shard's owner.
 * Cost      has, add, remove: O(1), two or three cache misses, and a bounded step of a resize. */
#pragma once
#include "core/hash.h"
#include "core/prng.h"
#include "core/slice.h"
#include "core/store.h"
#include "core/table_watch.h"

#define MEMBER_MAX (512u * 1024 * 1024) /* bytes of one */

struct members;

/* What all sets of a server have in common. */
struct set_rule {
    struct hash_seed seed;
    uint64_t intset_max; /* integers; a set of more no longer counts as one of integers only */
};
struct set_rule set_rule_of(const struct hash_seed *seed, int64_t max_entries); /* set-max-intset-entries */

/* seed is copied; it should be secret where texts come from clients. */
struct members *members_new(const struct store *store, const struct hash_seed *seed);
void members_delete(const struct store *store, struct members *members); /* some now, the rest later */
uint64_t members_defrag_some(const struct store *store, void *members, uint64_t position, unsigned units);
bool members_free_some(const struct store *store, void *members, unsigned units);
struct members *members_copy(const struct store *store, const struct members *members);

uint64_t members_count(const struct members *members);
size_t members_bytes(const struct members *members); /* memory taken by all of it */

bool members_has(const struct members *members, struct slice text);
bool members_add(const struct store *store, struct members *members, struct slice text);    /* false: it was there */
bool members_remove(const struct store *store, struct members *members, struct slice text); /* false: it was not */
void members_expect(struct members *members, uint64_t count); /* a hint before many are added */

/* "Integers only", as its owner sees it; false at first. */
bool members_numbers(const struct members *members);
void members_set_numbers(struct members *members, bool numbers);

/* --- visiting; texts are valid until the set changes --- */
/* Visits those at the cursor and returns the next one, see hashtable_scan. */
typedef void (*members_visit)(void *ctx, struct slice text);
uint64_t members_scan(const struct members *members, uint64_t cursor, members_visit visit, void *ctx);
/* The cursor below which a scan has passed this text: its place in hash space. */
uint64_t members_position(const struct members *members, struct slice text);
/* Members that are added or removed are told from now on; NULL ends it. One watch at a time. */
void members_watch(struct members *members, const struct table_watch *watch);
struct slice members_random(const struct members *members, struct prng *prng); /* one at random; the set is not empty */

void members_check(const struct members *members); /* every invariant; for tests */
