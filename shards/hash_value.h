/* Hash: one value of type hash, whichever form it has.
 *
 *    run      | field | value | field | value | ...    in the entry, in the order in which fields came (core/packed.h)
 *    table    core/fields.h
 *
 * Redis shows a hash as "listpack" until it has more fields, or a longer text, than the configuration allows, and as
 * "hashtable" from then on; ENTRY_LARGE says so. What clients can see of a listpack (its order, that HSCAN answers all
 * of it) holds here, so one that is shown as such is a run, however long. One that is shown as a hashtable is a table,
 * unless it is so small that a run takes less time and a fraction of the memory: a few fields of which one is long.
 *
 * A hash with deadlines of fields is a table, and shown as one.
 *
 * A hash is never empty: what takes out the last field removes the key, and ref->entry is NULL then.
 *
 * Thread    the shard's owner. Refs as in shards/keyspace.h. What is read is valid until the hash changes; texts that
 *           are put in do not point into it.
 * Cost      of a run: O(bytes), which the rule bounds. Of a table: O(1) for a field, O(n) for all. */
#pragma once
#include "core/buf.h"
#include "core/fields.h"
#include "shards/keyspace.h"

/* A run of a hash that is shown as a hashtable has at most these bytes and pairs. */
#define HASH_RUN_MAX   1000u
#define HASH_PAIRS_MAX 64u

/* --- reading; the entry is a hash --- */
uint64_t hash_len(const struct entry *entry);
bool hash_get(const struct entry *entry, struct slice field, struct packed_value *value); /* false: absent */
typedef void (*hash_visit)(void *ctx, const struct packed_value *field, const struct packed_value *value);
void hash_each(const struct entry *entry, hash_visit visit, void *ctx); /* a run in its order */
/* A run whole, or a table as hashtable_scan does. */
uint64_t hash_scan(const struct entry *entry, uint64_t cursor, hash_visit visit, void *ctx);
void hash_random(const struct entry *entry, struct prng *prng, struct packed_value *field, struct packed_value *value);

/* --- changing; ref names a hash, or for set also an absent key --- */
/* pairs[0 .. 2 * count), one after the other; how many fields are new. count is at least 1. */
uint32_t hash_set(struct keyspace *keys, struct key_ref *ref, const struct slice *pairs, uint32_t count);
bool hash_remove(struct keyspace *keys, struct key_ref *ref, struct slice field); /* false: absent */

/* --- deadlines of fields: unix time in milliseconds, 0: none. A field that is set has none --- */
uint64_t hash_deadline(const struct entry *entry, struct slice field); /* 0 also when it is absent */
void hash_set_deadline(struct keyspace *keys, struct key_ref *ref, struct slice field,
                       uint64_t deadline_ms); /* present */

/* --- loading: fields one by one, into whichever form suits them (hash_load.c) --- */
struct hash_loading {
    const struct store *store;
    const struct packed_rule *rule;
    const struct hash_seed *seed;
    struct buf run;        /* the fields so far, while it may be what they become */
    struct fields *fields; /* likewise; NULL while there are few */
    uint64_t pairs, expected;
    bool large, only_table, timed;
};
void hash_load_begin(struct hash_loading *loading, const struct store *store, const struct packed_rule *rule,
                     const struct hash_seed *seed);
void hash_load_expect(struct hash_loading *loading, uint64_t pairs); /* a hint, before the first */
/* False: the field is there already. Lengths of texts count if `judged` (Redis takes runs as they are). */
NODISCARD bool hash_load(struct hash_loading *loading, const struct packed_value *field,
                         const struct packed_value *value, bool judged);
/* Said before the first field: fields have deadlines, which hash_load_deadline tells of the one that came last. */
void hash_load_timed(struct hash_loading *loading);
void hash_load_deadline(struct hash_loading *loading, const struct packed_value *field, uint64_t deadline_ms);
/* The entry; NULL when nothing was loaded. Either of these ends it. */
struct entry *hash_load_end(struct hash_loading *loading, struct slice key, uint64_t deadline_ms);
void hash_load_drop(struct hash_loading *loading);

void hash_check(const struct entry *entry); /* every invariant; for tests */
