/* Zset: one value of type sorted set, whichever of its two forms it has.
 *
 * A short one is a packed run inside its entry: member, score, member, score ... in order. One whose run would be
 * longer than ZSET_EMBED_MAX, or that Redis would not keep as a listpack, is a tree and a table (core/sorted.h), and
 * stays one. Nobody outside of zset.c and dump_zset.c asks which of them it is. What OBJECT ENCODING answers follows
 * Redis's rule (zset-max-listpack-*) and not the form.
 *
 * A sorted set is never empty: what takes out the last element removes the key, and ref->entry is NULL then.
 *
 * Thread    the shard's owner. Refs as in shards/keyspace.h; iterators are valid until the set changes. Members that
 *           are put in do not point into this set; scores are never NaN.
 * Cost      of a short one O(its bytes), else as core/sorted.h says. */
#pragma once
#include "core/num.h"
#include "core/packed.h"
#include "core/sorted.h"
#include "shards/keyspace.h"

#define ZSET_EMBED_MAX 2000 /* bytes of run: searching it costs as much as the few cache misses of a tree */

/* --- reading; the entry is a sorted set --- */
uint64_t zset_len(const struct entry *entry);
bool zset_score(const struct entry *entry, struct slice member, double *score);
bool zset_rank(const struct entry *entry, struct slice member, uint64_t *rank);
/* The rank of the first element that does not lie before the bound. */
uint64_t zset_count_before(const struct entry *entry, const struct sorted_bound *bound);

/* An element that was read. member may point into text, so it must not be copied. */
struct zset_pair {
    struct slice member;
    double score;
    char text[PACKED_SCRATCH];
};
struct zset_iter {
    bool small;
    struct packed run;
    const char *at; /* in the run */
    struct sorted_iter tree;
};
struct zset_iter zset_seek(const struct entry *entry, uint64_t rank); /* before that element; at the end: the length */
bool zset_next(struct zset_iter *iter, struct zset_pair *pair);       /* steps over one; false at the end */
bool zset_prev(struct zset_iter *iter, struct zset_pair *pair);
HOT_INLINE bool zset_step(struct zset_iter *iter, bool backwards, struct zset_pair *pair) {
    return backwards ? zset_prev(iter, pair) : zset_next(iter, pair);
}
/* A piece of all elements, each at least once if it is there from the first call to the last; the next cursor, 0 at the
 * end. A short one is visited whole. */
typedef void (*zset_visit)(void *ctx, struct slice member, double score);
uint64_t zset_scan(const struct entry *entry, uint64_t cursor, zset_visit visit, void *ctx);

/* Would Redis keep it as a listpack? There a score has a text of its own, and minus zero is zero. */
bool zset_is_compact(const struct entry *entry);
struct packed_value zset_compact_score(double score, char digits[NUM_DOUBLE_MAX]);

/* --- the scores that several sets have for one member (ZUNION) --- */
HOT_INLINE double zset_score_or_0(double score) { /* inf * 0 and inf - inf are 0 */
    return score == score ? score : 0;
}
enum zset_aggregate { ZSET_SUM, ZSET_MIN, ZSET_MAX };
double zset_aggregate(enum zset_aggregate how, double score, double other);

/* --- changing --- */
/* Adds the member or gives it this score. ref names a sorted set or an absent key. */
void zset_put(struct keyspace *keys, struct key_ref *ref, struct slice member, double score);
bool zset_remove(struct keyspace *keys, struct key_ref *ref, struct slice member); /* false: it was not there */
/* Takes out the elements of these ranks, not that of `to`. */
void zset_remove_ranks(struct keyspace *keys, struct key_ref *ref, uint64_t from, uint64_t to);

/* --- making; the rule decides what Redis would keep as a listpack --- */
/* An entry of this key with these elements, at least one, in the form that suits them. */
struct entry *zset_new_entry(const struct store *store, struct slice key, struct sorted *take, uint64_t deadline_ms);
/* Marks a set that was made at once and not element by element as Redis would (core/sorted.h: compact). */
void zset_mark(const struct zset_rule *rule, struct sorted *set);
void zset_mark_compact(struct sorted *set);
