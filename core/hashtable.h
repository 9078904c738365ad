/* Hash table: pointers to entries, found by a 64-bit hash with one cache miss, grown a little at a time.
 *
 * Order     buckets are in hash order: bucket i of n holds the hashes h with floor(u * n / 2^48) == i, where u is the
 *           upper 48 bits of h (so that every border between buckets is a scan cursor). Because this mapping is
 *           monotone, a table grows to any size (a quarter at a time, not double) by moving a frontier T through the
 *           hash space: hashes below T live in the new array, the others in the old. A look-up makes one comparison and
 *           reads one array. Both arrays are directories of segments that are allocated as the frontier enters them and
 *           freed as it leaves them, so there is no pause and no moment of double memory.
 *
 * Bucket    one cache line:  | 7 tag bytes | meta byte | 7 slots of 8 bytes |
 *           A slot is a pointer (bits 47..3), 16 more hash bits (63..48) and three flag bits of the user (2..0). The 24
 *           stored hash bits are a window of the hash that starts where the bits that chose the bucket end, or up to
 *           12 bits before, so moving an entry to a new array hardly ever reads the entry, and a look-up reads a
 *           wrong entry once in 2^12 to 2^24 comparisons.
 *           When the 8th entry arrives the last slot becomes a pointer to an overflow bucket (meta bit CHAINED).
 *
 * Scan      a cursor is a position in hash space, so it survives every resize: what is in the table from the first
 *           call to the last is visited at least once (exactly once if the table did not resize meanwhile).
 *
 * Deadlines an entry whose slot carries HT_TIMED has a deadline in whole seconds that the user can compute. The table
 *           keeps a lower bound of the earliest deadline per group of 4 buckets and per segment, so that what is due
 *           is found in deadline order at second granularity for 0.2 bytes per key and no list.
 *
 * Owner     one thread. The table owns its arrays, never the entries. Keys are never looked at: the caller's match
 *           function does that, and `rehash` is asked only in the rare case that stored hash bits run out.
 * Cost      find: 1 miss for the bucket (+1 for an overflow bucket, about 1 in 10), 1 for the entry. insert and
 *           remove: the same and a bounded step of resize. Memory: about 13 to 14 bytes per entry. */
#pragma once
#include "core/alloc.h"
#include "core/prng.h"
#include "core/slab.h"

#define HT_TIMED 1u /* slot flag: the entry has a deadline */
#define HT_FLAGS 7u /* all user flag bits of a slot; 2 and 4 are free for the user */

typedef uint64_t ht_slot; /* 0 is empty */

struct hashtable;

struct hashtable_type {
    /* The full hash of an entry; called only when a move cannot be decided from stored bits, and by check. */
    uint64_t (*rehash)(void *ctx, const void *entry);
    /* Deadline of an entry whose slot is HT_TIMED, in whole seconds, rounded as the user likes.
     * NULL when never used. */
    uint32_t (*deadline_s)(void *ctx, const void *entry);
};

/* slab may be NULL: buckets then come from the heap. */
struct hashtable *hashtable_new(struct heap *heap, struct slab *slab, const struct hashtable_type *type, void *ctx);
/* Frees the arrays. drop (may be NULL) is called with every entry. O(n): to free a large table in slices, drain it. */
void hashtable_delete(struct hashtable *table, void (*drop)(void *ctx, void *entry));

uint64_t hashtable_count(const struct hashtable *table);
size_t hashtable_bytes(const struct hashtable *table);

/* --- look-up (hot parts are inline in core/hashtable_inline.h) ---
 * The slot pointer is valid until the next insert, remove, step or drain. */
typedef bool (*hashtable_match)(const void *entry, const void *key);

HOT_INLINE void *ht_entry(ht_slot slot) {
    return (void *)(uintptr_t)(slot & 0x0000FFFFFFFFFFF8ull);
}
HOT_INLINE unsigned ht_flags(ht_slot slot) {
    return (unsigned)(slot & HT_FLAGS);
}
/* Points the slot at another entry of the same hash; flags replace the old ones. */
HOT_INLINE void ht_replace(ht_slot *slot, const void *entry, unsigned flags) {
    *slot = (*slot & 0xFFFF000000000000ull) | (uint64_t)(uintptr_t)entry | flags;
}

/* Out-of-line form of ht_find. NULL when absent. */
ht_slot *hashtable_find(struct hashtable *table, uint64_t hash, hashtable_match match, const void *key);

/* --- change --- */
/* The caller knows that no equal key is present. entry is 8-byte aligned. Returns its slot. */
ht_slot *hashtable_insert(struct hashtable *table, uint64_t hash, void *entry, unsigned flags);
void hashtable_remove(struct hashtable *table, uint64_t hash, ht_slot *slot);
/* Moves at most `buckets` buckets of a resize that is under way; false when there is none. Insert and remove do
 * a few by themselves; an idle thread may do more. */
bool hashtable_step(struct hashtable *table, unsigned buckets);
/* A hint before many inserts (loading): the table aims at this count at least, from now on and until it gets there;
 * it does not shrink meanwhile. Memory is still taken as entries arrive. 0 takes the hint back. */
void hashtable_expect(struct hashtable *table, uint64_t count);

/* --- visiting --- */
typedef void (*hashtable_visit)(void *ctx, void *entry, unsigned flags);
/* Visits every entry of the bucket at cursor (any number is a valid cursor) and returns the next cursor; 0 starts and 0
 * ends. Cursors are below 2^HT_CURSOR_BITS. The visitor must not change the table. O(entries in one bucket); empty
 * buckets are passed over, at most 64 in one call. */
#define HT_CURSOR_BITS 48
uint64_t hashtable_scan(struct hashtable *table, uint64_t cursor, hashtable_visit visit, void *ctx);
/* Like a scan, for who moves entries: `relocate` answers where the entry is now, and its slot points there. Buckets in
 * sparse pages of the slab are moved as well. */
typedef void *(*hashtable_relocate)(void *ctx, void *entry);
uint64_t hashtable_defrag(struct hashtable *table, uint64_t cursor, hashtable_relocate relocate, void *ctx);
/* An entry chosen fairly (within a few percent) at random; NULL when empty. Bounded: falls back to the nearest
 * non-empty bucket after 64 tries. */
void *hashtable_random(struct hashtable *table, struct prng *prng);
/* Some entries that lie together, from *position on (any hash; round and round) in steps of whole buckets until there
 * are `want` of them; `timed`: only such as have HT_TIMED. Entries beyond max in the last bucket are passed over. Each
 * is prefetched, and *position moves on, so that successive calls go round the table: every entry that is in it for a
 * whole round comes by. Bounded: fewer, perhaps none, when they are few and far between. */
size_t hashtable_sample(struct hashtable *table, uint64_t *position, bool timed, size_t want, void **out, size_t max);
/* Takes out up to max entries in hash order, for freeing in slices; 0 when the table is empty. *position is a
 * scan cursor that starts at 0 and is kept by the caller. Segments are freed as they empty. Not mixed with inserts. */
size_t hashtable_drain(struct hashtable *table, uint64_t *position, void **out, size_t max);

/* --- deadlines --- */
/* Tells the table that the entry of this hash now has this deadline (its slot has HT_TIMED): after each insert of a
 * timed entry and after each change to an earlier deadline. O(1). */
void hashtable_note_deadline(struct hashtable *table, uint64_t hash, uint32_t when_s);
/* Collects up to max entries with deadline_s(entry) <= now_s; *cursor (kept by the caller, any value) makes successive
 * calls go round the table fairly. Looks at no more than `groups` group summaries that are due (skipping whole segments
 * that are not costs one word each). Returns how many; *more is set when the call stopped at a limit rather than
 * at the end of a full round. The caller removes or re-dates every entry it was given before the next call. */
size_t hashtable_due(struct hashtable *table, uint32_t now_s, uint64_t *cursor, unsigned groups, void **out, size_t max,
                     bool *more);
/* A lower bound of the earliest deadline in the table, UINT32_MAX when there is none. O(segments). */
uint32_t hashtable_next_deadline(const struct hashtable *table);

/* Buckets in use, entries in overflow buckets, longest chain, resize progress: for DEBUG HTSTATS and tests. */
struct hashtable_stats {
    uint64_t buckets, overflow_buckets, overflow_entries, longest_chain;
    bool resizing;
};
void hashtable_stats(const struct hashtable *table, struct hashtable_stats *out); /* O(n) */
void hashtable_check(const struct hashtable *table); /* every invariant; for tests and the simulator */
