/* Ledger: what all shards together may use of memory, and what this shard has used of it.
 *
 * The ceiling (net/ceiling.h) is a promise about the whole process. What the heaps do not count, code, stacks, receive
 * buffers, pages that are not full, is measured now and then and taken off; the rest is a budget on two sides:
 *
 *      ceiling | not counted | clients' share |               budget of the data                    |
 *                            | replies, input | keys, tables, journal ... and what clients have     |
 *                            |  and messages  | beyond their share, as long as nobody else needs it |
 *
 * Clients never push data out: their share is kept free for them, and beyond it they get only what is free. What of
 * their excess was not granted is `uncovered`: then replies wait and the fattest clients go (shards/pressure.h).
 *
 * Shards share the budget as credit (shards/credit.h). A shard keeps one number, `trip`: the total of its heap at which
 * somebody has to look closer. So a command costs one comparison, and account_look, some hundred instructions, is
 * called when it trips, and once a turn unless all is calm: there is plenty, the total has hardly changed, and whoever
 * watches the process has said nothing new.
 *
 * Blocks that are free in pages of the slab are room for entries and do not count as used, although their pages are
 * resident. So evicting small entries makes room at once, although no page has gone back. For what is large that is no
 * room: `room` is what may become resident.
 *
 * Threads   struct ledger is shared, its parts say by whom they are written; everything else belongs to the shard. */
#pragma once
#include "core/alloc.h"
#include "shards/credit.h"

struct client;
struct shard;

/* What a shard tells those who sum up. Relaxed: single figures, a turn old. */
struct ledger_place {
    _Alignas(CACHE_LINE) _Atomic int64_t slack; /* free blocks in the slab's resident pages */
    _Atomic int64_t clients;                    /* bytes of replies, input and messages */
    _Atomic int64_t uncovered;
    _Atomic int64_t charged;                   /* to the budget: data, and what clients have beyond their share */
    _Atomic int64_t spent;                     /* ms, since when it finds nothing that it may evict; 0: it does */
    _Atomic uint64_t refused, waited, dropped; /* since the start: commands with -OOM, that waited; clients closed */
    _Atomic uint64_t held;                     /* how often a command was found to be too early for the brake */
    _Atomic uint64_t evicted_bytes;
    _Atomic int64_t pass; /* account.pass, for those whose commands it runs */
};

struct ledger {
    struct credit_pool pool;
    /* --- by whoever watches the process, rarely --- */
    _Alignas(CACHE_LINE) _Atomic int64_t quantum;
    _Atomic int64_t client_share; /* of each shard */
    _Atomic bool client_hard;     /* maxmemory-clients: nothing beyond the share, though memory be free */
    _Atomic int64_t headroom;     /* what each shard may add to it before the resident set is measured again */
    _Atomic int64_t clients_most; /* what clients may have, in all, before the resident set is measured again */
    _Atomic int64_t beyond;       /* what replies may take beyond the ceiling, where they must */
    _Atomic int64_t room;         /* what may become resident of all of them; what is large takes its part of it */
    _Atomic bool braked;          /* as good as all is resident that the ceiling allows, whatever the counts say */
    _Atomic bool settles;         /* memory is on its way back, or about to be granted: there is room in a moment */
    _Atomic uint64_t samples;     /* how often it has looked: about ten times a second */
    _Atomic uint64_t purges;      /* what heaps hold unused is to go back: how often that was asked for */
    _Atomic uint64_t changes;     /* raised after any of these, or the budget, was written: ledger_tell */
    uint32_t shards;
    uint32_t answer_large; /* bytes of a part's reply from which on a command over several shards looks for room */
    /* --- by shards --- */
    _Alignas(CACHE_LINE) _Atomic int64_t wanted; /* the most that a waiting command needs at once; 0 with each sample */
    _Atomic int64_t answers;                     /* the most that a waiting reply needs, likewise */
    _Atomic int64_t room_used; /* of `room`, since it was measured; much of that is not resident in the end */
    /* Not looked at in every turn, as the two above are. When a command went that had waited in vain for room for its
     * reply, */
    _Alignas(CACHE_LINE) _Atomic uint64_t vain_ms;
    _Atomic uint64_t vain_id;      /* and whose it was */
    _Atomic uint64_t answered;     /* how many replies went that had waited */
    _Atomic int64_t travelling;    /* bytes of large replies on their way between shards, which count for nobody */
    _Atomic int64_t expected;      /* bytes of replies that were let go and are not there yet */
    _Atomic uint64_t answer_since; /* ms since when that reply has waited for room that is to go next; 0: any */
    struct ledger_place place[SHARDS_MAX];
};

#define LEDGER_UNBOUNDED (INT64_MAX / 4) /* a budget or a share that is none */
#define LEDGER_TRAVELS   (256 * 1024)    /* messages that are worth being counted between two shards */

/* A shard's own. */
struct account {
    struct ledger *shared; /* NULL: nothing is bounded (tests, tools) */
    struct ledger_place *place;
    const _Atomic int64_t *total; /* of its heap */
    int64_t trip;
    int64_t calm_from, calm_to; /* totals between which nobody has to look at the end of a turn */
    uint64_t changes;           /* of the ledger's, as of the last turn that was not calm */
    struct credit credit;
    int64_t data;               /* used on the side of the data, when it was looked last */
    int64_t clients;            /* and by clients */
    int64_t covered, uncovered; /* clients' excess over their share: granted, and not */
    int64_t input_room;         /* bytes that may come in with one turn */
    bool crowded;               /* clients of some shard have more than they may */
    uint64_t samples, purges;   /* seen of the ledger's */
    int64_t pages, others;      /* of the slab, when it was looked last; of all else, the most since it was measured */
    int64_t pass;  /* bytes by which these may still grow, whatever goes for them, before it is measured again */
    int64_t saved; /* evicted for a command that waits, and not used by one yet; at most its need */
    int64_t owed;  /* what this shard has still to evict of what the last sample found too much */
    struct client *waiting, *waiting_last; /* clients with WAIT_MEMORY in order of arrival (shards/admit.h) */
    uint32_t waiting_count;
    /* --- commands over several shards, which hold replies of others before they have their own
     * (shards/gather.h) --- */
    uint32_t gathers;      /* under way */
    int64_t gathered_size; /* what they may come to hold */
    int64_t gather_room;   /* how much that may be, as of the last look */
    int64_t gather_size;   /* of one whose client had none before: the most of late */
    uint32_t squeezed;     /* samples in a row that found clients over what they may have */
    uint64_t answered;     /* the ledger's, as of the last sample */
    int64_t answers;       /* the most that a reply was seen to wait for since the last sample */
    bool refused;          /* a command was refused since the last sample */
    /* Since when messages of channels wait for room here (shards/admit.h), 0: they do not; and when that was asked last. */
    uint64_t delivers_since_ms, delivers_tried_ms;
};

void ledger_init(struct ledger *ledger, uint32_t shards); /* unbounded; before the threads start */
void account_open(struct shard *shard, struct ledger *ledger);
void account_config_changed(struct account *account);

/* The budget of the data became larger or smaller by so much. Whoever watches. */
HOT_INLINE void ledger_add_budget(struct ledger *ledger, int64_t bytes) {
    credit_pool_add(&ledger->pool, bytes);
}

/* What was written for shards is to be seen by them in their next turn. Whoever watches. */
void ledger_tell(struct ledger *ledger);

/* Has the shard come to the point where somebody must look before so many bytes more are used? */
HOT_INLINE bool account_trips(const struct account *account, uint64_t bytes) {
    int64_t total = atomic_load_explicit(account->total, memory_order_relaxed);
    return UNLIKELY(total + (int64_t)bytes > account->trip);
}

/* Is there nothing that account_look would find? Whoever waits or owes is for the caller to know. */
HOT_INLINE bool account_is_calm(const struct account *account) {
    int64_t total = atomic_load_explicit(account->total, memory_order_relaxed);
    return total >= account->calm_from && total <= account->calm_to &&
           atomic_load_explicit(&account->shared->changes, memory_order_relaxed) == account->changes;
}

/* Is as good as all resident that the ceiling allows? */
HOT_INLINE bool account_is_braked(const struct account *account) {
    return account->shared && atomic_load_explicit(&account->shared->braked, memory_order_relaxed);
}

/* The resident set was measured: by so many bytes this shard may make it larger until the next time. */
void account_renew_pass(struct shard *shard, int64_t bytes);
/* Counts what the shard uses, settles its credit, tells it, and sets trip anew. O(1). */
void account_look(struct shard *shard);
/* What may become resident, less what was taken of it since it was measured. */
int64_t account_room(const struct shard *shard);
/* Has the resident set room for something large? What keys left in pages is none. Where there is a ledger; any shard. */
bool account_has_room(const struct shard *shard, uint64_t bytes);
/* So many bytes are about to become resident: others do not take the same room before it is measured again. */
void account_use_room(struct shard *shard, uint64_t bytes);
/* Has somebody taken room since it was measured? Then there may be more of it with the next measurement. */
bool account_room_is_stale(const struct shard *shard);
/* May so many bytes more be used for data? After account_look. True: they are granted. */
NODISCARD bool account_take(struct shard *shard, uint64_t bytes);
/* The same for clients; what is beyond their share, as far as the resident set has room for it. */
NODISCARD bool account_take_for_clients(struct shard *shard, uint64_t bytes);
/* What clients of all shards may hold together: their share, or what may be resident; and what is left of it, with what
 * is expected, which may be less than nothing. O(shards). */
int64_t account_most_for_answers(const struct shard *shard);
int64_t account_room_for_answers(const struct shard *shard);
/* What replies may take beyond the ceiling, all together, where they must. */
int64_t account_beyond(const struct shard *shard);
/* What clients hold, as was told last, and what is on its way to them. O(shards). */
int64_t ledger_clients(const struct ledger *ledger);
/* What is charged to the budget. O(shards). */
int64_t ledger_charged(const struct ledger *ledger);
/* A message with that much sets out (sign 1) or has arrived (-1). */
HOT_INLINE void ledger_note_travelling(struct ledger *ledger, size_t bytes, int64_t sign) {
    if (LIKELY(bytes < LEDGER_TRAVELS) || !ledger) return;
    atomic_fetch_add_explicit(&ledger->travelling, sign * (int64_t)bytes, memory_order_relaxed);
}
/* A reply was let go that may come to so many bytes (sign 1), or is there (-1). */
HOT_INLINE void account_expect(struct account *account, uint64_t bytes, int64_t sign) {
    if (LIKELY(!bytes) || !account->shared) return;
    atomic_fetch_add_explicit(&account->shared->expected, sign * (int64_t)bytes, memory_order_relaxed);
}
/* This shard was asked to evict and has done so, or found nothing. needed: by one command; no more than that is saved
 * up for the next one, however long somebody waits. */
void account_note_evicted(struct shard *shard, size_t bytes, uint64_t needed);
/* May a small command run in debt, which is paid back in a moment? Together no more than a quantum does. */
bool account_may_owe(const struct shard *shard);
/* Has no shard found anything to evict for so long? */
bool account_all_spent(const struct shard *shard, unsigned ms);
/* How many shards have keys that may go, as far as is known: at least one. O(shards). */
uint32_t account_evictors(const struct shard *shard);
/* A command waits until so many bytes are free: all shards make room. */
void account_want(struct shard *shard, uint64_t bytes);
