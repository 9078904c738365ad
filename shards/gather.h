/* Gather: one command that needs several shards, seen from its client's home.
 *
 * It sends parts (ordinary commands, also CMD_INTERNAL ones) to shards, waits until all replies are there, and then
 * either joins them into the client's reply or, for commands of several steps, sends the next parts:
 *
 *    static void rename_across(struct gather *g) {
 *        switch (g->step) {
 *        case 0: gather_send(g, gather_owner(g, 1), "sherd.dump", &g->argv[1], 1); return;
 *        case 1: if (...) { gather_error(g, "ERR no such key"); return; } ... gather_send(...); return;
 *        case 2: resp_simple(gather_out(g), SLICE("OK")); return;
 *    }
 *
 * After a call that sent nothing the gather is finished; what was written to gather_out is the reply.
 *
 * A command on keys that belong together is a transaction (shards/txn.h): before its first step the keys of all shards
 * are locked, and after its last they are given back, so the steps are one atomic whole. So are the parts of a command
 * that is the sum of its keys (MGET): each is kept at its shard until all shards have locked their keys.
 *
 * Owner     the client's home shard. argv is a copy that lives as long as the gather (SPLIT_BY_KEY has none: it is not
 *           needed after the parts were sent). At most one part per shard and one more in a step, or four, whichever
 *           is more. */
#pragma once
#include "core/chain.h"
#include "shards/command.h"

struct shard;
struct client;
struct message;
struct message_item;
struct exec;

struct gather_part {
    uint8_t shard;
    bool done;
    uint32_t answers;        /* bytes that its shard says it will reply (struct grant) */
    struct slice reply;      /* valid during the next call of across */
    struct message *message; /* that holds it; NULL for local parts */
    struct buf local;        /* reply of a local part: MEM_CLIENT_OUT, perhaps from the home's pool */
};

struct gather {
    struct shard *home;
    struct client *client; /* NULL when the client went away: the parts still run to their end */
    const struct command_slot *slot;
    command_across run; /* called after each step */
    struct slice *argv;
    uint32_t argc;
    uint32_t flags;
    uint16_t db;
    uint8_t resp;
    uint8_t *part_of_key; /* SPLIT_BY_KEY: which part answers key i */
    uint32_t key_count;
    uint32_t step;  /* 0 at the first call */
    uint32_t parts; /* of the step that just finished */
    bool placed;    /* SPLIT_BY_KEY: its reply has a place in the client's queue; the client does not wait */
    uint64_t place;
    uint64_t memo[12]; /* for across functions, zero at first */
    uint32_t expects;  /* bytes that were thought of for it (shards/admit.h) */
    size_t held;       /* the most that it held, so far */
    struct buf out;
    struct chain rest; /* of a long reply, behind out */
    /* --- its locks, for shards/txn.c --- */
    uint8_t phase;   /* enum txn_phase */
    bool stepped;    /* it holds keys over several steps; else every part runs when all are locked */
    bool borrowed;   /* it is a command inside of EXEC and holds what that one holds */
    bool dirty;      /* a watched key was changed */
    bool writes;     /* it may change keys */
    bool hurries;    /* many others may need what it holds: it does not wait for long (admit_waiting_answer) */
    bool asked_back; /* home's own part should yield, but a try is under way */
    bool again;      /* of a blocked client that may be served now: the keys it waited for are held already */
    bool blocks;     /* it found nothing: instead of a reply the client waits, timeout_ms long (shards/blocked.h) */
    uint64_t timeout_ms;
    uint64_t waits_at; /* shards that know its client as a waiter, a bit each */
    uint64_t stamp;
    uint64_t asked, granted, in_line; /* shards, a bit each */
    struct gather *parent;            /* of a command inside of EXEC: told instead of the client */
    uint32_t parent_part;
    /* --- for shards/gather_room.c --- */
    uint64_t answers;          /* bytes that its parts will reply, as far as their shards have said */
    uint64_t promised;         /* and what of it is still to come, since it was let go */
    uint64_t waits_since_ms;   /* for room */
    struct gather *next_waits; /* of those that do */
    /* --- for shards/commit_hold.c --- */
    bool holds;          /* its reply waits for the disk: */
    bool holds_txn;      /* for its transaction, not just for what its parts have shown */
    uint32_t owed;       /* what the complete reply still waits for */
    uint64_t *waits_for; /* positions by shard; NULL: none */
    /* --- */
    void (*end)(struct gather *gather); /* frees what memo names; NULL: nothing */
    /* --- private --- */
    uint32_t sent, pending, part_cap;
    struct gather_part *sending;  /* the step under way */
    struct gather_part *answered; /* the step before */
    size_t argv_bytes, block_bytes;
    uint64_t started_tick;
    bool failed, stepping;
};

/* Starts and, when nothing had to be sent elsewhere, finishes at once. The client waits (WAIT_GATHER). */
void gather_start(struct exec *x, command_across run);
/* The generic ones: where/merge columns of the row. */
void gather_start_split(struct exec *x);
void gather_start_all(struct exec *x);
/* A command of the server itself, whose row is ON_ALL and wide: on every shard at one instant. Nobody is told. */
void gather_start_own(struct shard *home, const struct slice *argv, uint32_t argc);
/* A step function without locks, whatever its keys (WATCH, DEBUG). */
void gather_start_free(struct exec *x, command_across run);

/* --- for commands that are made of parts (shards/multi.c) --- */
/* A gather without parts yet; there will be at most so many, and part_of_key has room for keys. Its reply has a place
 * in the client's queue, and the client goes on. */
struct gather *gather_new_placed(struct exec *x, command_across run, uint32_t parts, uint32_t keys);
/* One that its client waits for, with a copy of argv; it begins with gather_go_on or when its locks are there. */
struct gather *gather_new_waiting(struct exec *x, command_across run);
/* Asks for the part's locks; it runs when all parts have theirs. txn_begin comes before, txn_asked_all after. */
void gather_add_part(struct gather *gather, uint32_t shard, const struct command_slot *slot, uint16_t db,
                     const struct slice *argv, uint32_t argc);
/* A blocked client's command, which has keys on several shards, once more: `from`, where it waits, holds its key for it
 * under this stamp. Its reply has a place. */
void gather_start_again(struct client *client, const struct message_item *command, uint64_t stamp, uint64_t place,
                        uint32_t from);
/* Locks the keys of the row in argv for the steps to come. */
void gather_lock_keys(struct gather *gather);
/* Inside of EXEC, whose gather holds the locks: runs one command, whatever its fate (enum fate), as the next step.
 * owner: of FATE_REMOTE. */
void gather_start_inside(struct gather *parent, struct exec *x, unsigned fate, uint32_t owner);

/* --- inside an across function --- */
uint32_t gather_owner(const struct gather *gather, uint32_t argv_at); /* shard that owns the key argv[argv_at] */
uint32_t gather_shards(const struct gather *gather);                  /* how many shards there are */
/* Sends name with its arguments (argv without the name) to a shard, in database db. Arguments are copied. */
void gather_send_db(struct gather *gather, uint32_t shard, uint16_t db, const char *name, const struct slice *args,
                    uint32_t arg_count);
void gather_send(struct gather *gather, uint32_t shard, const char *name, const struct slice *args, uint32_t arg_count);
HOT_INLINE struct slice gather_reply(const struct gather *gather, uint32_t part) {
    return gather->answered[part].reply;
}
/* All that was sent in this step was answered here and now: the next one comes after a turn of the thread, for steps
 * that are long by themselves. */
void gather_let_turn_pass(struct gather *gather);
struct buf *gather_out(struct gather *gather);
void gather_error(struct gather *gather, const char *text); /* with its code */

/* --- pieces of part replies, for across functions --- */
bool gather_reply_is_error(struct slice reply);
bool gather_reply_int(struct slice reply, int64_t *value);       /* ":n" */
bool gather_reply_bulk(struct slice reply, struct slice *bytes); /* "$n": false when null or not a bulk */
/* Cuts the elements of an array reply: *rest starts at the first, returns the count or -1. */
int64_t gather_reply_array(struct slice reply, struct slice *rest);
struct slice gather_next_element(struct slice *rest);

/* Joins the replies of the step as the row's merge says. The one step of the generic gathers: their parts are sent
 * before it, so it already has all replies. O(bytes of the replies), but for elements that came in a chain. */
void gather_merge(struct gather *gather);

/* --- for the shard --- */
void gather_part_done(struct gather *gather, uint32_t part, struct slice reply, struct message *message);
/* The same for a part that ran here: takes out's memory. */
void gather_part_done_own(struct gather *gather, uint32_t part, struct buf *take);
void gather_client_gone(struct gather *gather);
/* All replies are there, or the locks for the first step: goes on with the next step. */
void gather_go_on(struct gather *gather);
/* Its reply, which is complete, becomes this error. */
void gather_excuse(struct gather *gather, const char *text);
/* The disk has what its reply tells: it leaves. */
void gather_confirmed(struct gather *gather);
void gather_abandon(struct gather *gather); /* or its client is gone, and the server ends */
/* Nothing may run: the reply is an error or, where a watched key was changed (NULL), null. */
void gather_drop(struct gather *gather, const char *error);
