/* Set: one value of type set, whichever of its three forms it has.
 *
 *      ENC_INT        integers only, sorted, inside the entry                    core/intset.h
 *      ENC_EMBEDDED   a packed run inside the entry, up to SET_EMBED_MAX bytes   core/packed.h
 *      ENC_OBJECT     a table of members                                         core/members.h
 *
 * A set starts as the first or second of these and becomes one that stands further down when what it has does not fit;
 * it never goes back by itself. Clients see two forms, Redis 7.0's, in OBJECT ENCODING: "intset" as long as there were
 * only integers and never more than set-max-intset-entries of them, "hashtable" otherwise. A table remembers which it
 * is. Nobody outside of set.c and dump_set.c asks for the form.
 *
 * A set is never empty: what takes out the last member removes the key, and ref->entry is NULL then.
 *
 * Thread    the shard's owner. Refs as in shards/keyspace.h. Texts that are put in or taken out do not point into this
 *           set. Texts that are handed out are valid until it changes, or, if they are numbers, until the next one. */
#pragma once
#include "core/members.h"
#include "shards/keyspace.h"

#define SET_EMBED_MAX 512 /* bytes of run: walking all of them costs about as much as two cache misses */

/* --- reading; the entry is a set --- */
uint64_t set_count(const struct entry *entry);
bool set_has(const struct entry *entry, struct slice text);
bool set_is_intset(const struct entry *entry); /* as OBJECT ENCODING says */

/* Calls visit with every member until it answers false. O(n); the set must not change meanwhile. */
typedef bool (*set_visit)(void *ctx, struct slice text);
void set_each(const struct entry *entry, set_visit visit, void *ctx);
/* The same for about `max` of them, from a cursor on; returns the next cursor, 0 at the end. A set that is not a table
 * is visited as a whole. What is there all the time is visited at least once in a round. */
uint64_t set_scan(const struct entry *entry, uint64_t cursor, uint64_t max, set_visit visit, void *ctx);

#define SET_SCRATCH PACKED_SCRATCH
/* A member at random, each with the same probability. */
struct slice set_random(const struct entry *entry, struct prng *prng, char scratch[SET_SCRATCH]);

/* --- changing; ref names a set, and for add also an absent key --- */
bool set_add(struct keyspace *keys, struct key_ref *ref, struct slice text);    /* false: it was there */
bool set_remove(struct keyspace *keys, struct key_ref *ref, struct slice text); /* false: it was not */
/* Gives a set the form that one with its members would start with: after most of it was taken out. O(n). */
void set_reform(struct keyspace *keys, struct key_ref *ref);

/* --- building --- */
/* An entry of this key with these members, at least one, in the form that suits them; which is an intset, if they are
 * integers and few, only where that is allowed. */
struct entry *set_new_entry(const struct store *store, const struct set_rule *rule, struct slice key,
                            struct members *take, bool allow_intset, uint64_t deadline_ms);
