/* Keyspace: one database of one shard; keys to entries, deadlines, counts.
 *
 * Everything a handler does to a key starts with keyspace_open, which finds it and deletes it first if its deadline
 * has passed; so nobody ever sees an expired key, and there is one look-up per key and command. The ref it fills
 * then names the key in the other calls and is kept current by them.
 *
 * Thread    the shard's owner only. A ref is valid until another key of the keyspace changes (open them all, then
 *           change one; after a change open the others again).
 * Deadlines absolute unix time in milliseconds; 0 is none.
 * Memory    what is large, and whole tables, are handed to the reaper and freed in slices, so every call here is
 *           bounded by the bytes of the value it reads or writes. */
#pragma once
#include "core/hash.h"
#include "core/hashtable.h"
#include "core/lfu.h"
#include "core/lrfu.h"
#include "core/members.h"
#include "core/quicklist.h"
#include "core/sorted.h"
#include "core/stream.h"
#include "core/value.h"

struct config;
struct ghosts;
struct keyspace;
struct reaper;
struct shard;

/* An entry that somebody reads over several turns, while no command may change it (but see struct pin_watch). Only its
 * time may be over: then it is taken out of the table, and whoever pinned it deletes it. */
struct pin {
    struct entry *entry;
    bool orphan; /* no longer in the table */
};

/* One of them whose elements may change meanwhile, when it is ready for that: its reader hears of each (core/
 * table_watch.h). */
struct pin_watch {
    const struct entry *entry;
    uint32_t db;
    bool groups; /* of a stream, its groups, too */
    bool (*ready)(const void *ctx);
    const void *ctx;
};

/* What all keyspaces of a shard share. */
struct keyspace_shared {
    struct store store;
    struct hash_seed seed; /* one for the whole server, so that a hash may travel with its key */
    struct reaper *reaper;
    struct shard *shard; /* told of keys that expire */
    uint64_t now_ms;     /* set at the start of each turn */
    uint32_t access;     /* what a touched entry's access field becomes: LRU clock, seconds, 24 bits like the field */
    unsigned notify;     /* enum config_notify: which events somebody may want; 0 when they have nowhere to go */
    bool use_lfu;        /* an LFU policy is chosen: access fields are those of core/lfu.h */
    bool use_lrfu;       /* the same for core/lrfu.h: access is then its clock */
    struct lfu_rule lfu;
    uint64_t lrfu_clock;   /* access, with 32 bits of fraction */
    uint32_t lrfu_touches; /* that the clock has not counted yet */
    uint32_t chance;       /* for rounding, changes with every use of it */
    struct ghosts *ghosts; /* of evicted keys, for LRFU; NULL: none */
    struct quicklist_rule list_rule;
    struct set_rule set_rule;
    struct packed_rule hash_rule;
    struct zset_rule zset_rule;
    struct stream_rule stream_rule;
    struct prng *prng; /* chances of LFU */
    uint64_t expired;  /* keys deleted because their deadline passed */
    uint64_t expired_fields;
    uint64_t dirty; /* changes since start: what Redis's rdb_changes_since_last_save counts */
    uint64_t hits, misses;
    struct pin *pins; /* whose they are: persist/checkpoint_walk.c */
    uint32_t pin_count;
    const struct pin_watch *pin_watch; /* of one of them; NULL: of none */
};

struct key_ref {
    struct slice key;
    uint64_t hash;
    ht_slot *slot;       /* NULL when absent */
    struct entry *entry; /* NULL when absent */
};

/* Whether access fields say when or how often follows maxmemory-policy. Entries keep what they have: as Redis says, it
 * takes some time to adjust. */
void keyspace_config_changed(struct keyspace_shared *shared, const struct config *config, struct prng *prng);

struct keyspace *keyspace_new(struct keyspace_shared *shared, uint32_t number); /* number: the database's */
void keyspace_set_number(struct keyspace *keyspace, uint32_t number);           /* SWAPDB */
void keyspace_delete(struct keyspace *keyspace);
const struct keyspace_shared *keyspace_shared_of(const struct keyspace *keyspace);

HOT_INLINE uint32_t keyspace_minutes(const struct keyspace_shared *shared) { /* the clock of LFU */
    return (uint32_t)(shared->now_ms / 60000);
}
HOT_INLINE uint64_t key_hash(const struct keyspace_shared *shared, struct slice key) {
    return hash_bytes(&shared->seed, key.ptr, key.len);
}

/* --- the prefetching batch: call the first for all keys, then the second for all, then run --- */
typedef void (*keyspace_prefetch)(const struct keyspace *keyspace, uint64_t hash);
void keyspace_prefetch_bucket(const struct keyspace *keyspace, uint64_t hash);
void keyspace_prefetch_entry(const struct keyspace *keyspace, uint64_t hash);

/* --- one key --- */
/* Finds; deletes first what has expired. Returns ref->entry. */
struct entry *keyspace_open(struct keyspace *keyspace, struct slice key, uint64_t hash, struct key_ref *ref);
/* For reads: the same, counts a hit or a miss, and touches the access clock unless no_touch. */
struct entry *keyspace_read(struct keyspace *keyspace, struct slice key, uint64_t hash, bool no_touch,
                            struct key_ref *ref);

void keyspace_touch(const struct keyspace *keyspace, struct entry *entry); /* it is used now */
/* LRFU: moves the clock on by what was touched since, in a shard of so many keys. */
void keyspace_lrfu_turn(struct keyspace_shared *shared, uint64_t keys);

/* Creates or replaces, whatever type was there. */
void keyspace_put_string(struct keyspace *keyspace, struct key_ref *ref, struct slice value, uint64_t deadline_ms,
                         bool allow_int);
void keyspace_put_int(struct keyspace *keyspace, struct key_ref *ref, int64_t value); /* keeps the deadline */
/* Makes a present string writable with new_len >= its length, zero-filled behind the old end; NULL: no memory. */
char *keyspace_edit_string(struct keyspace *keyspace, struct key_ref *ref, size_t new_len);
void keyspace_set_deadline(struct keyspace *keyspace, struct key_ref *ref, uint64_t deadline_ms); /* present only */
void keyspace_remove(struct keyspace *keyspace, struct key_ref *ref);                             /* present only */

/* --- collections --- */
/* Puts an entry of this key, replacing what is there. This is the one place where a key that holds a collection comes
 * into being: commands that create one, RENAME, COPY, MOVE and RESTORE all end here. An entry that was never used
 * (access 0) is used now. */
void keyspace_put_entry(struct keyspace *keyspace, struct key_ref *ref, struct entry *take);
/* Changes the run of a small collection in place, see entry_edit_packed; returns the gap. */
char *keyspace_edit_packed(struct keyspace *keyspace, struct key_ref *ref, struct packed_edit edit);
/* The same for a small set of integers, see entry_edit_intset. */
char *keyspace_edit_intset(struct keyspace *keyspace, struct key_ref *ref, uint32_t index, bool add);
void keyspace_set_object(struct keyspace *keyspace, struct key_ref *ref, void *take_object); /* it is no longer small */

/* Deadlines of the hash's fields have changed, or fields that had one: to be called before ref is used otherwise. Every
 * look-up takes out fields whose time is over, so nobody sees them (but for who is told of a pinned entry: hashes with
 * such deadlines are never read over several turns). */
void keyspace_fields_changed(struct keyspace *keyspace, struct key_ref *ref);

/* --- other names --- */
/* Puts a copy of `from` (an entry of any keyspace of this shard) under ref's key, replacing what is there. O(bytes). */
void keyspace_put_copy(struct keyspace *keyspace, struct key_ref *ref, const struct entry *from, uint64_t deadline_ms);
/* Moves the value of source, which is present, to target, replacing what is there. Both keyspaces are of this shard and
 * may be one; the keys differ then. O(1) but for what is embedded in an entry. */
void keyspace_move(struct keyspace *from, struct key_ref *source, struct keyspace *to, struct key_ref *target);

/* --- the whole --- */
uint64_t keyspace_count(const struct keyspace *keyspace);
uint64_t keyspace_timed_count(const struct keyspace *keyspace); /* keys with a deadline */
/* Time left of all keys with a deadline together, estimated from the first 20 or so: behind INFO's avg_ttl. 0 when none
 * was found in the first buckets. */
uint64_t keyspace_ttl_sum_ms(const struct keyspace *keyspace);
size_t keyspace_index_bytes(const struct keyspace *keyspace);
/* A hint before many keys are put: so many there will be (hashtable_expect); 0 takes it back. */
void keyspace_expect(struct keyspace *keyspace, uint64_t count);
void keyspace_clear(struct keyspace *keyspace); /* O(1); entries go to the reaper */
/* An unexpired key at random; NULL when there is none (bounded tries). */
struct entry *keyspace_random(struct keyspace *keyspace, struct prng *prng);
/* Visits some entries and returns the next cursor, 0 at the end; HT_CURSOR_BITS wide. Expired entries are passed
 * over. See hashtable_scan for the guarantee and the cost. */
typedef void (*keyspace_visit)(void *ctx, struct entry *entry);
uint64_t keyspace_scan(struct keyspace *keyspace, uint64_t cursor, keyspace_visit visit, void *ctx);
/* The same for who saves: expired entries come, too, no entry is read, and where the table was resized since the last
 * call some come that lie before the cursor (cursor_of(key_hash) says so). */
uint64_t keyspace_scan_all(struct keyspace *keyspace, uint64_t cursor, keyspace_visit visit, void *ctx);
HOT_INLINE uint64_t cursor_of(uint64_t hash) {
    return hash >> (64 - HT_CURSOR_BITS);
}

/* --- eviction (shards/evict.h) --- */
/* Some entries that lie together, see hashtable_sample. Expired ones come, too. */
size_t keyspace_sample(struct keyspace *keyspace, uint64_t *position, bool timed, size_t want, struct entry **out,
                       size_t max);
/* Is this entry, which was seen earlier and may be gone by now, still the one of a key with this hash? Then ref is as
 * after keyspace_open, though the key may have expired, and its name is the entry's. */
bool keyspace_find_entry(struct keyspace *keyspace, const struct entry *entry, uint64_t hash, struct key_ref *ref);

/* --- moving (shards/defrag.h) --- */
/* Moves the entries of a bucket out of sparse pages, but for those that are pinned, and tells of each where it is. Goes
 * as a scan does. */
typedef void (*keyspace_moved)(void *ctx, struct entry *entry);
uint64_t keyspace_defrag(struct keyspace *keyspace, uint64_t cursor, keyspace_moved moved, void *ctx);
bool keyspace_is_pinned(const struct keyspace_shared *shared, const struct entry *entry);

/* --- background, in slices --- */
/* Deletes keys whose deadline passed, at most max; true when there may be more that are due now. */
bool keyspace_expire_some(struct keyspace *keyspace, unsigned max);
/* Earliest deadline, rounded up to seconds, UINT32_MAX when none: when expire_some is worth calling next. */
uint32_t keyspace_next_deadline_s(const struct keyspace *keyspace);
bool keyspace_resize_some(struct keyspace *keyspace, unsigned buckets); /* true while a resize goes on */
void keyspace_table_stats(const struct keyspace *keyspace, struct hashtable_stats *out); /* O(n) */
void keyspace_check(const struct keyspace *keyspace);
