/* Evict: a walk, a pool, and what each policy says about an entry.
 *
 *    hash space of a database      ...|----- seen -----|-- sample --|----- to come -----|...
 *                                                            |
 *                                                            v  those that are better than the worst
 *                                  pool   | 16 entries by merit, best last |  -->  the best goes
 *
 * The pool is Redis's idea: a sample of five finds a poor victim, the best of many samples a good one. Entries stay in
 * the pool between calls as an address and a hash. When one comes to be the best, it is looked up again: it may be
 * gone, and when it was used meanwhile it has less merit now and is dropped.
 *
 * Redis draws its samples at random. A walk is better, because between two visits to an entry there is always one
 * round, and cheaper (core/hashtable_sample.c).
 *
 * Databases take turns. Each turn is a number of victims in proportion to the keys that may go, so that all of them
 * are sampled as if they were one table. */
#include "shards/evict.h"
#include "core/assert.h"
#include "core/lfu.h"
#include "shards/ghosts.h"
#include "shards/locks.h"
#include "shards/shard.h"

#define POOL_MAX   16u   /* as Redis's */
#define SAMPLE_MAX 64u   /* keys looked at per victim, whatever maxmemory-samples says */
#define ROUNDS_MAX 64u   /* samples without a victim, until a call gives up */
#define TURN_SHARE 1024  /* a database has a turn of a victim for so many keys, and one more */
#define SKIP_MAX   1024u /* databases without keys that are passed over at once */

struct candidate {
    const struct entry *entry; /* perhaps gone */
    uint64_t hash, merit;      /* for being evicted, when it was seen */
    uint32_t db;
};

struct evictor {
    uint64_t position; /* of the walk, in hash space */
    uint64_t turn;     /* victims still to be taken in this database */
    uint32_t db;
    uint32_t count;
    struct candidate pool[POOL_MAX]; /* by merit, ascending */
};

struct evictor *evictor_new(struct heap *heap) {
    return heap_alloc_zero(heap, MEM_STATS, sizeof(struct evictor));
}

void evictor_delete(struct evictor *evictor, struct heap *heap) {
    heap_free(heap, MEM_STATS, evictor, sizeof *evictor);
}

void evictor_config_changed(struct evictor *evictor) {
    evictor->count = 0;
}

/* --- policies --- */

static bool only_timed(enum config_maxmemory_policy policy) {
    return policy < MAXMEMORY_ALLKEYS_LRU;
}
static_assert(MAXMEMORY_VOLATILE_LRU == 0 && MAXMEMORY_VOLATILE_LRFU + 1 == MAXMEMORY_ALLKEYS_LRU,
              "the volatile ones come first");

/* How much an entry deserves to go; the highest goes first. */
static uint64_t merit_of(const struct shard *shard, const struct entry *entry) {
    const struct keyspace_shared *shared = &shard->shared;
    switch (shard->config->maxmemory_policy) {
    case MAXMEMORY_VOLATILE_LRU:
    case MAXMEMORY_ALLKEYS_LRU: return (shared->access - entry->access) & 0xFFFFFF;
    case MAXMEMORY_VOLATILE_LFU:
    case MAXMEMORY_ALLKEYS_LFU: return 255 - lfu_counter(entry->access, keyspace_minutes(shared), &shared->lfu);
    case MAXMEMORY_VOLATILE_LRFU:
    case MAXMEMORY_ALLKEYS_LRFU: return (uint64_t)((int64_t)LRFU_FIELD - lrfu_log(entry->access, shared->access));
    case MAXMEMORY_VOLATILE_TTL: return UINT64_MAX - entry_deadline_ms(entry);
    case MAXMEMORY_VOLATILE_RANDOM:
    case MAXMEMORY_ALLKEYS_RANDOM: return prng_next(shared->prng);
    case MAXMEMORY_NOEVICTION: break;
    }
    return 0;
}

/* --- the walk --- */

static uint64_t evictable(const struct shard *shard, uint32_t db, bool timed) {
    const struct keyspace *keys = shard_db_peek(shard, db);
    if (!keys) return 0;
    return timed ? keyspace_timed_count(keys) : keyspace_count(keys);
}

/* When a database's turn begins: its keys stand for all there are. */
static void fit_ghosts(struct shard *shard, uint64_t keys) {
    struct keyspace_shared *shared = &shard->shared;
    shared->ghosts = ghosts_fit(shared->ghosts, shared->store.heap, keys);
}

/* The database to look at now; NULL when none has keys that may go (or not within SKIP_MAX). */
static struct keyspace *walk_database(struct evictor *evictor, struct shard *shard, bool timed) {
    if (evictor->turn && evictable(shard, evictor->db, timed)) return shard_db_peek(shard, evictor->db);
    for (uint32_t i = 0; i < MIN(shard->db_used, SKIP_MAX); i++) {
        evictor->db = evictor->db + 1 < shard->db_used ? evictor->db + 1 : 0;
        uint64_t keys = evictable(shard, evictor->db, timed);
        if (keys == 0) continue;
        evictor->turn = 1 + keys / TURN_SHARE;
        if (shard->shared.use_lrfu) fit_ghosts(shard, keys);
        return shard_db_peek(shard, evictor->db);
    }
    evictor->turn = 0;
    return NULL;
}

static void pool_add(struct evictor *evictor, struct candidate candidate) {
    uint32_t at = evictor->count;
    if (at == POOL_MAX) {
        if (candidate.merit <= evictor->pool[0].merit) return;
        memmove(evictor->pool, evictor->pool + 1, --at * sizeof candidate);
    } else {
        evictor->count++;
    }
    for (; at > 0 && evictor->pool[at - 1].merit > candidate.merit; at--) evictor->pool[at] = evictor->pool[at - 1];
    evictor->pool[at] = candidate;
}

static bool pool_has(const struct evictor *evictor, const struct entry *entry) {
    for (uint32_t i = 0; i < evictor->count; i++)
        if (evictor->pool[i].entry == entry) return true;
    return false;
}

/* Looks at some entries more. False: there is nothing to look at. */
static bool sample(struct evictor *evictor, struct shard *shard) {
    bool timed = only_timed(shard->config->maxmemory_policy);
    struct keyspace *keys = walk_database(evictor, shard, timed);
    if (!keys) return false;
    struct entry *seen[SAMPLE_MAX];
    size_t want = MIN((size_t)shard->config->maxmemory_samples, (size_t)SAMPLE_MAX);
    size_t count = keyspace_sample(keys, &evictor->position, timed, want, seen, SAMPLE_MAX);
    for (size_t i = 0; i < count; i++) {
        if (timed && !(seen[i]->flags & ENTRY_TIMED)) continue; /* only fields of it have a deadline */
        uint64_t merit = merit_of(shard, seen[i]);
        bool full = evictor->count == POOL_MAX;
        if ((full && merit <= evictor->pool[0].merit) || pool_has(evictor, seen[i])) continue;
        uint64_t hash = key_hash(&shard->shared, entry_key(seen[i]));
        pool_add(evictor, (struct candidate){.entry = seen[i], .hash = hash, .merit = merit, .db = evictor->db});
    }
    return true;
}

/* --- the victim --- */

static bool is_random(enum config_maxmemory_policy policy) {
    return policy == MAXMEMORY_ALLKEYS_RANDOM || policy == MAXMEMORY_VOLATILE_RANDOM;
}

/* Is it there, as good as it was, and nobody's? */
static bool may_go(const struct shard *shard, const struct candidate *candidate, struct key_ref *ref) {
    struct keyspace *keys = shard_db_peek(shard, candidate->db);
    enum config_maxmemory_policy policy = shard->config->maxmemory_policy;
    if (!keys || !keyspace_find_entry(keys, candidate->entry, candidate->hash, ref)) return false;
    if (only_timed(policy) && !(ref->entry->flags & ENTRY_TIMED)) return false;
    if (!is_random(policy) && merit_of(shard, ref->entry) < candidate->merit) return false;
    return locks_idle(shard->locks) ||
           locks_allow(shard->locks, lock_id(candidate->db, candidate->hash), LOCK_EXCLUSIVE);
}

/* Takes it out of its keyspace; returns the bytes it took. */
static size_t evict_entry(struct shard *shard, const struct candidate *candidate, struct key_ref *ref) {
    size_t bytes = entry_bytes(ref->entry);
    if (shard->shared.use_lrfu) ghosts_put(shard->shared.ghosts, candidate->hash, ref->entry->access);
    shard_key_evicted(shard, candidate->db, ref->key);
    keyspace_remove(shard_db_peek(shard, candidate->db), ref);
    return bytes;
}

/* Evicts one key; returns its bytes, 0 when none could be found. */
static size_t evict_one(struct evictor *evictor, struct shard *shard) {
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        if (!sample(evictor, shard)) return 0;
        while (evictor->count > 0) {
            struct candidate candidate = evictor->pool[--evictor->count];
            struct key_ref ref;
            if (!may_go(shard, &candidate, &ref)) continue;
            if (evictor->turn) evictor->turn--;
            return evict_entry(shard, &candidate, &ref);
        }
    }
    return 0;
}

bool evict_is_paused(const struct shard *shard) {
    return shard->pause_until_ms || shard->hold_writes;
}

size_t evict_some(struct shard *shard, size_t want_bytes, unsigned max_keys) {
    size_t freed = 0;
    if (shard->loading || shard->config->maxmemory_policy == MAXMEMORY_NOEVICTION) return 0;
    ASSERT(shard->effects.depth == 0);
    for (unsigned i = 0; i < max_keys && freed < want_bytes; i++) {
        size_t bytes = evict_one(shard->evictor, shard);
        if (bytes == 0) break;
        freed += bytes;
    }
    return freed;
}
