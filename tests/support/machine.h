/* Machine: N shards in one process and thread, with scripted clients and a seeded scheduler. The seed of the simulator.
 *
 * The shards and their mailboxes are the real ones; what is played is everything around them: the clock, the carrier of
 * a client's bytes (net/conn.c in production), and who has a turn when. A shard has a turn only when something in
 * production would wake it: a note from another shard, bytes, a finished send, or its own timer. So a lost wake-up is a
 * hang, and a hang is a failure with a seed.
 *
 * A peer is one scripted client: its bytes are cut at random and each piece lives in a block of its own that is freed
 * when the turn ends, so that the sanitizer sees whoever keeps a slice too long. It can stop reading and it can vanish.
 *
 * A gated machine has a disk per shard, of which the played part is when: what a turn has added to the journal is
 * durable some turns later, on each shard at its own pace. Replies wait for it as with `appendfsync always`
 * (shards/commit.h). A crash is a look at what the disks have.
 *
 * Thread    one. Ownership: sim_delete frees everything, peers included, and checks that nothing is left anywhere. */
#pragma once
#include "core/clock.h"
#include "core/prng.h"
#include "shards/shard.h"

#define SIM_SHARDS_MAX 16

struct sim;

struct sim_options {
    uint32_t shards;
    uint32_t mailbox_capacity; /* a power of two; small ones exercise `unsent` */
    uint32_t db_count;
    uint64_t seed;
    bool gated;                          /* replies wait for disks */
    bool pieces;                         /* and each step of a command is a piece of its group in the journal */
    bool braked;                         /* writes wait for a brake that is closed and opened at random */
    bool cramped;                        /* there is room for what is answered only now and then */
    bool moves;                          /* clients move to other shards at random moments (shards/client_move.h) */
    const struct command *const *tables; /* NULL-ended, beside those of shards/cmd_tables.h; NULL: none */
};

/* What a peer has received so far is in `got`, what it will send in `script` (see sim_say). */
struct peer {
    struct client client; /* first: a client is cast back to its peer */
    struct sim *sim;
    struct peer *next;
    struct peer *next_attend;
    uint32_t number;
    struct buf script; /* all it will send; script.read is how far it is */
    struct buf got;
    struct buf sending; /* in the "kernel" */
    size_t sent;
    bool uncut;       /* what there is to say comes in one piece */
    size_t piece_max; /* else: longest piece its bytes are cut into; 0: no limit */
    bool sending_now, attending, closing, gone;
    bool stalled;  /* does not read: sends do not finish */
    bool hung_up;  /* sends no more */
    bool closed;   /* by the server */
    bool deaf;     /* its shard receives nothing more, for it is to move; */
    bool travels;  /* it is on its way, in a message: there is no client; */
    bool vanished; /* and has been closed meanwhile */
};

/* What persist does at the end of a shard's turn; true: there is more to do right away. */
typedef bool (*sim_turn_end)(void *ctx, struct shard *shard);

struct sim *sim_new(const struct sim_options *options);
void sim_delete(struct sim *sim); /* panics when something is left over */

void sim_set_turn_end(struct sim *sim, sim_turn_end turn_end, void *ctx);

uint32_t sim_shard_count(const struct sim *sim);
uint64_t sim_moves(const struct sim *sim);    /* how many clients have arrived elsewhere */
struct heap *sim_heap(const struct sim *sim); /* for buffers of tests: they are given back before the end */
/* The journal of a shard of a gated machine: all effects since the start, and how many bytes the disk has. */
struct sim_journal {
    struct buf bytes;
    size_t durable;
    /* --- private --- */
    struct sim_batch {
        uint64_t position;
        size_t end;
    } * batches; /* of turns */
    uint32_t count, cap, synced;
    uint32_t pace; /* it syncs in one of so many turns */
};
const struct sim_journal *sim_journal(const struct sim *sim, uint32_t shard);
/* The disk of this shard does nothing until it is told to go on. */
void sim_stall_disk(struct sim *sim, uint32_t shard, bool stalled);

struct shard *sim_shard(struct sim *sim, uint32_t id);
struct prng *sim_prng(struct sim *sim);
uint64_t sim_now_ms(const struct sim *sim);

struct peer *sim_connect(struct sim *sim, uint32_t shard);
void sim_say(struct peer *peer, const void *bytes, size_t len); /* appends to the script */
void sim_vanish(struct peer *peer);          /* resets the connection: freed when nobody names it any more */
bool sim_peer_busy(const struct peer *peer); /* bytes to send, or commands or replies under way */

/* One turn of one shard, chosen among those that have a reason; the clock moves on. */
void sim_step(struct sim *sim);
/* Shards of this mask (a bit each) have only one in eight of the turns they would have, as long as others can have one:
 * what is to happen on several shards at once is drawn out. */
void sim_set_lazy(struct sim *sim, uint64_t mask);
/* No shard has a reason for a turn but its timer: no messages, no bytes, no finished sends. */
bool sim_quiet(const struct sim *sim);
/* Steps until no peer is busy (stalled ones aside) and no shard has work; false after too many
 * steps: something hangs. */
bool sim_settle(struct sim *sim, uint64_t steps_max);
void sim_advance_ms(struct sim *sim, uint64_t ms); /* moves the clock, with turns in between */
/* Every invariant that holds between turns. */
void sim_check(const struct sim *sim);
/* And those that hold when nothing is under way: no gathers, no jobs, no messages out. */
void sim_check_idle(struct sim *sim);
/* Prints why every peer is not done, to standard error. */
void sim_explain(const struct sim *sim);
