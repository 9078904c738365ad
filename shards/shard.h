/* Shard: one core's share of the keys, the clients that live on its thread, and its turn. A pure machine: no system
 * calls, no clock of its own, no unseeded randomness. What it needs from above comes through shard_host.
 *
 * A turn, driven by the thread (net/thread.c) or by a simulator:
 *
 *    shard_turn_begin(shard, now)          the time of this turn
 *    pipeline_feed(shard, client, bytes)   for each client with input     (shards/pipeline.h)
 *    pipeline_run(shard)                   the collected batch
 *    shard_turn(shard)                     mailboxes, sliced work, expiry; posts messages, wakes their receivers
 *    shard_next_dirty(shard)               clients whose `out` has something to send
 *    shard_wait_ns(shard)                  how long the thread may sleep
 *
 * Thread    every function is for the shard's own thread unless it says otherwise.
 * Bounded   a turn executes at most TURN_MESSAGES messages and TURN_SLICES slices of background work. */
#pragma once
#include "core/assert.h"
#include "core/buf_pool.h"
#include "core/config.h"
#include "core/idmap.h"
#include "core/log.h"
#include "shards/blocked.h"
#include "shards/brake.h"
#include "shards/client.h"
#include "shards/command.h"
#include "shards/commit.h"
#include "shards/effect.h"
#include "shards/error_stats.h"
#include "shards/keyspace.h"
#include "shards/ledger.h"
#include "shards/message.h"
#include "shards/planted.h"
#include "shards/pubsub.h"
#include "shards/slowlog.h"
#include "shards/spikes.h"
#include "shards/tell.h"
#include "shards/turns.h"

struct defrag;
struct evictor;
struct locks;
struct mailbox;
struct interests;
struct pipeline;
struct job;
struct request;

/* What a shard asks of whoever drives it. */
struct shard_host {
    void *ctx; /* struct thread in production */
    /* Makes sure that shard `to` has a turn soon; called once per turn and receiver, after posting. */
    void (*wake)(void *ctx, uint32_t to);
    /* The client has CLIENT_CLOSE_NOW, or CLIENT_CLOSE_AFTER_REPLY and nothing queued, or may be parsed again. */
    void (*attend)(void *ctx, struct client *client);
    /* Monotonic time for measuring commands, in units of tick_ns. Cheap: called once per command. */
    uint64_t (*ticks)(void *ctx);
    double tick_ns;
};

/* Told by "sherd.cut", which runs on all shards at one instant, when no command over several shards is under way: what
 * was done before it is in the effects by now, what comes later is not. kind and number are whose asked for it. */
struct shard_cutter {
    void *ctx;
    void (*cut)(void *ctx, uint64_t kind, uint64_t number); /* NULL: nobody listens */
};

/* Per command and shard; indexed by command_slot.number. */
struct command_stats {
    uint64_t calls, ticks, rejected, failed;
    uint64_t *histogram; /* HISTOGRAM_BUCKETS counts by powers of two of ns; NULL until first used */
};
#define HISTOGRAM_BUCKETS 40 /* bucket i: [2^i, 2^(i+1)) ns; the last takes the rest (9 minutes and more) */

/* Counters of one shard that INFO sums over all shards. All are uint64_t, so that they travel as one blob. */
struct shard_stats {
    uint64_t commands, connections, clients, clients_blocked, rejected_connections;
    uint64_t bytes_in, bytes_out, reads, writes, errors, expired, expired_fields, evicted, hits, misses, dirty;
    uint64_t hops_sent, hop_messages_sent, hops_served, hop_messages_served, queue_depth_max;
    uint64_t parked; /* commands that had to stand in line for a key */
    uint64_t clients_braked, brake_waits, brake_refused, brake_wait_ns; /* writes that waited for the disk */
    uint64_t turns;
    uint64_t busy_ns, idle_ns; /* the thread's CPU time, and the rest; filled by who drives the shard */
    uint64_t input_buffer_max, output_buffer_max;
    uint64_t pubsub_clients, events_dropped;
    uint64_t pubsub_channels, pubsub_shard_channels,
        pubsub_patterns; /* of the whole server: shard 0 alone tells them */
    uint64_t reap_pending, reaped;
    uint64_t blocks_moved, defragging; /* out of sparse pages; 1 while a round goes on */
    uint64_t output_limit_closed;      /* clients that did not read (shards/client_limits.h) */
    uint64_t moved_in, moved_out;      /* clients from and to other threads (shards/client_move.h) */
    uint64_t pages_seen, pages_local;  /* of a sample of its memory, those on its own node; filled when asked for */
    uint64_t memory[MEM_CLASSES];
};

struct shard {
    uint32_t id, count; /* this shard and how many there are */
    struct heap *heap;
    struct slab *slab;
    struct account account; /* what of the memory of all it uses and may use */
    struct shard_host host;
    const struct command_registry *registry;
    const struct config *config; /* this thread's copy of the options */
    struct log *log;

    /* data */
    struct keyspace_shared shared;
    struct keyspace **db; /* db_count of them, created when first used */
    uint32_t db_count;
    uint32_t db_used; /* databases from here on were never used: what every turn looks at ends here */
    struct prng prng;
    uint64_t database_changes; /* how often a whole database was emptied or exchanged */
    struct shard_cutter cutter;
    struct evictor *evictor; /* shards/evict.h */
    struct defrag *defrag;   /* shards/defrag.h */

    struct effects effects; /* what commands did, for the journal */
    struct commit commit;   /* replies that wait for it */

    /* time of this turn */
    uint64_t now_ns; /* monotonic */
    uint64_t now_ms; /* unix time, milliseconds (also shared.now_ms) */

    /* what clients may not do now; set by whoever keeps the data on disk */
    bool loading;          /* data are still being read: only what needs none is answered, and nothing expires */
    const char *no_writes; /* why writes are refused, as the reply's text with its code; NULL: they are not */

    /* clients */
    struct client *clients_first, *clients_last;
    struct client *dirty;    /* have something in `out` */
    struct buf_pool replies; /* buffers for client.out; the carrier gives them back when they are sent */
    uint32_t client_count;
    uint64_t pause_until_ms; /* CLIENT PAUSE; 0: none */
    bool pause_all;          /* else writes only */
    bool hold_writes;        /* the same for writes, by whoever saves everything before the end */
    uint64_t output_limit;   /* bytes of output from which on a client is looked at; UINT64_MAX: none has a limit */
    uint64_t next_limits_ns; /* of client_limits_turn */
    bool over_soft;          /* some client may be over its soft limit */
    struct braked braked;    /* writes that wait for the disk */

    /* other shards */
    struct mailbox *outbox[SHARDS_MAX], *inbox[SHARDS_MAX]; /* NULL at its own place */
    _Atomic uint64_t *pending[SHARDS_MAX]; /* per shard: its inboxes that have something, one bit each */
    struct message *outgoing[SHARDS_MAX];  /* being filled in this turn */
    struct message *unsent[SHARDS_MAX], *unsent_last[SHARDS_MAX]; /* the mailbox was full: next turn, in order */
    struct message *news[SHARDS_MAX], *news_last[SHARDS_MAX];     /* of this turn: posted at its end */
    struct message *rest[SHARDS_MAX],
        *rest_last[SHARDS_MAX]; /* of each home: commands that wait because replies are large */
    uint64_t rests;             /* homes that have some, or have not been seen to take a large reply */
    uint64_t rests_until_ns;    /* when one goes whatever memory its home has */
    struct message_pool messages;
    uint64_t to_send;    /* shards with something in outgoing, news or unsent */
    uint64_t to_wake;    /* shards that were posted to in this turn */
    uint64_t inbox_more; /* inboxes that were not drained to the end */
    uint32_t inbox_next; /* where draining goes on */
    struct pipeline *pipeline;
    struct job *jobs, *jobs_last;       /* sliced commands under way */
    struct request *works, *works_last; /* commands that keep keys over several turns (shards/work.h) */
    bool works_wait;                    /* all of them, for the disk (effects.crowded) or for room */
    struct telling telling;             /* of the command that runs */
    struct gather *roomless,
        *roomless_last; /* commands over several shards that wait for room (shards/gather_room.h) */
    bool jobs_busy;     /* one of them has work to do now, rather than to wait for its time */

    /* several keys at one instant */
    struct locks *locks;         /* held and wanted keys of this shard */
    uint32_t parked;             /* single commands that stand in line */
    bool settling;               /* requests_settle is running */
    bool settle_more;            /* it stopped at its bound */
    uint64_t stamp;              /* the latest given out (txn_stamp) */
    uint64_t guards;             /* requests of that kind so far */
    struct idmap txns;           /* gathers of this home that hold or want locks, by stamp */
    struct idmap late;           /* notes (struct message_note) of commands that stand in line elsewhere, by stamp */
    struct interests *interests; /* keys of this shard that clients watch or wait for */
    uint32_t watchers;           /* of all of them */
    uint64_t watch_version;      /* the latest given out */
    struct idmap waiters;        /* who waits for keys of this shard (struct waiter), by stamp */
    struct interest *ready, *ready_last;             /* keys to look at: there may be something for their waiters */
    struct interest *ready_later, *ready_later_last; /* those that are looked at when another key has served */
    struct idmap blocked;                            /* clients of this home that wait for keys, by stamp */
    struct deadlines deadlines;                      /* of those that do not wait for ever */

    struct pubsub pubsub;
    struct notify_told *told; /* which events a command in parts has told of; NULL: there is none (shards/notify.h) */

    /* statistics */
    struct shard_stats stats;
    struct command_stats *command_stats;
    struct slowlog slowlog;
    struct spikes spikes;
    struct turns turns;
    uint64_t slow_ticks;  /* slowlog-log-slower-than */
    uint64_t spike_ticks; /* latency-monitor-threshold */
    uint64_t watch_ticks; /* the least of what makes a command one that took long, in whatever eyes */
    uint64_t last_tick;   /* when the latest command ended */
    uint64_t started_ms;
    uint64_t next_cron_ns;
    bool expire_more;          /* expired keys are waiting */
    uint64_t seen_at_cron;     /* commands and messages until the latest look at deadlines */
    uint64_t expire_at_ms;     /* when the next key expires, if nothing comes before; 0: not known */
    bool expire_off;           /* DEBUG SET-ACTIVE-EXPIRE 0 */
    struct error_stats errors; /* replies by code */

#ifdef SHERD_PLANTED
    enum planted_bug planted; /* shards/planted.h: never in a server */
#endif
};

struct shard_options {
    uint32_t id, count, db_count;
    struct hash_seed hash_seed; /* the same for all shards */
    uint64_t random_seed;
    struct shard_host host;
    const struct command_registry *registry;
    const struct config *config;
    struct log *log;
    struct brake *brake;                          /* of the whole server; NULL: none */
    struct ledger *ledger;                        /* of all shards; NULL: memory is not bounded */
    struct mailbox *const *outbox, *const *inbox; /* arrays of count */
    _Atomic uint64_t *const *pending;             /* array of count */
};
/* On the thread that will own it; NULL when out of memory. */
struct shard *shard_new(const struct shard_options *options);
/* Frees what may come from the other shards' heaps, which is spare messages and what waits in the reaper: all shards do
 * so before the first of them is deleted. All its clients are gone by then. */
void shard_drop_messages(struct shard *shard);
void shard_delete(struct shard *shard);

#define ASSERT_ON_SHARD(s) ASSERT(assert_shard() == (int)(s)->id)

/* contiguous slot ranges */
HOT_INLINE uint32_t shard_of_slot(uint32_t slot, uint32_t shard_count) {
    return (slot * shard_count) / HASH_SLOTS;
}
/* The first slot of a shard; of number shard_count: one behind the last of all. */
HOT_INLINE uint32_t shard_first_slot(uint32_t shard, uint32_t shard_count) {
    return (shard * HASH_SLOTS + shard_count - 1) / shard_count;
}
HOT_INLINE uint32_t shard_of_key(const struct shard *shard, struct slice key) {
    return shard->count == 1 ? 0 : shard_of_slot(hash_slot(key), shard->count);
}
HOT_INLINE struct keyspace *shard_db_peek(const struct shard *shard, uint32_t db) { /* NULL when never used */
    return shard->db[db];
}
COLD struct keyspace *shard_db_new(struct shard *shard, uint32_t db);
HOT_INLINE struct keyspace *shard_db(struct shard *shard, uint32_t db) { /* creates it when first used; db < db_count */
    ASSERT(db < shard->db_count);
    struct keyspace *keys = shard->db[db];
    return LIKELY(keys != NULL) ? keys : shard_db_new(shard, db);
}
/* What an item's command uses. */
HOT_INLINE void shard_prefetch_item(const struct shard *shard, const struct message_item *item,
                                    keyspace_prefetch prefetch) {
    if (!item->hash_at && !item->hash_count) return;
    const struct keyspace *keys = shard_db_peek(shard, item->db);
    if (!keys) return;
    if (LIKELY(!item->hash_count)) prefetch(keys, item->hash);
    const uint64_t *hashes = message_item_hashes(item);
    for (uint32_t i = 0; i < item->hash_count; i++) prefetch(keys, hashes[i]);
}
void shard_swap_databases(struct shard *shard, uint32_t a, uint32_t b);

/* by keyspace: a key that holds a collection came into being, or one that held a stream is gone */
void shard_key_created(struct shard *shard, uint32_t db, struct slice key, uint64_t hash);
void shard_database_emptied(struct shard *shard, uint32_t db);
/* by keyspace: its time is over, or that of all its fields */
void shard_key_expired(struct shard *shard, uint32_t db, struct slice key);
void shard_field_expired(struct shard *shard, uint32_t db, struct slice key,
                         struct slice field); /* of a hash: likewise */
/* By evict, before it removes a key that nobody holds: all who are told of evicted keys are told here. */
void shard_key_evicted(struct shard *shard, uint32_t db, struct slice key);

/* The options changed (shard.config points at new values): what is derived from them is computed again. */
void shard_config_changed(struct shard *shard);
/* Takes in a message that was in a mailbox; what it needs was fetched (shards/inbox.h). */
void shard_receive(struct shard *shard, struct message *take);
/* Hands a message to its mailbox, or keeps it for the next turn when that is full. */
void shard_post(struct shard *shard, struct message *take);
/* Runs the one CMD_SLICED command of a message over as many turns as it takes. */
void shard_start_job(struct shard *shard, struct message *take);

void shard_unpause(struct shard *shard); /* CLIENT UNPAUSE, or its time is over */
/* Clients that CLIENT PAUSE holds up. O(clients) during a pause, else O(1). */
uint64_t shard_clients_paused(const struct shard *shard);
void shard_hold_writes(struct shard *shard, bool on);

/* In a turn that is a sample, `phase` begins. Returns the phase before, with which to end it. A load
 * and a branch else. */
HOT_INLINE enum turn_phase shard_enter(struct shard *shard, enum turn_phase phase) {
    enum turn_phase before = (enum turn_phase)shard->turns.phase;
    if (UNLIKELY(shard->turns.sampling)) turns_pass(&shard->turns, phase, shard->host.ticks(shard->host.ctx));
    return before;
}

/* It took so long: a spike, if latency-monitor-threshold says so. */
void shard_note_ns(struct shard *shard, enum spike_event event, uint64_t ns);
HOT_INLINE void shard_note_ticks(struct shard *shard, enum spike_event event, uint64_t ticks) {
    if (UNLIKELY(ticks >= shard->spike_ticks))
        shard_note_ns(shard, event, (uint64_t)((double)ticks * shard->host.tick_ns));
}

void shard_turn_begin(struct shard *shard, uint64_t now_ns, uint64_t now_ms);
/* All data are read, and `loading` is over, for what comes in this turn, too. */
void shard_loaded(struct shard *shard);
bool shard_turn(struct shard *shard);                 /* true when it has more to do right away */
struct client *shard_next_dirty(struct shard *shard); /* takes it off the list; NULL when none */
void shard_mark_dirty(struct shard *shard, struct client *client);

/* Of clients and of other shards, so far: whoever finds it as it was knows that nothing has changed meanwhile. */
HOT_INLINE uint64_t shard_commands_seen(const struct shard *shard) {
    return shard->stats.commands + shard->stats.hop_messages_served;
}
/* 0: do not sleep; UINT64_MAX: until something happens. */
uint64_t shard_wait_ns(const struct shard *shard);
void shard_stats_read(struct shard *shard, struct shard_stats *out); /* with the parts that are computed on demand */
void shard_check(const struct shard *shard);
void shard_check_transactions(const struct shard *shard); /* the part about locks, watched keys and waiters */
