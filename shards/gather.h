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
 * This is also the seam for transactions over shards: locking wraps around the steps without changing them. Until
 * then the parts of one command take effect one shard after the other.
 *
 * Owner     the client's home shard. argv is a copy that lives as long as the gather (SPLIT_BY_KEY has none: it is not
 *           needed after the parts were sent). At most one part per shard and step, or four, whichever is more. */
#pragma once
#include "core/chain.h"
#include "shards/command.h"

struct shard;
struct client;
struct message;
struct exec;

struct gather_part {
    uint8_t shard;
    bool done;
    struct slice reply;      /* valid during the next call of across */
    struct message *message; /* that holds it; NULL for local parts */
    struct buf local;        /* reply of a local part */
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
    uint64_t memo[4]; /* for across functions, zero at first */
    struct buf out;
    struct chain rest; /* of a long reply, behind out */
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
void gather_start_split(struct exec *x, const uint32_t *positions, const uint8_t *owners, uint32_t key_count);
void gather_start_all(struct exec *x);

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
struct buf *gather_out(struct gather *gather);
void gather_error(struct gather *gather, const char *text); /* with its code */

/* --- pieces of part replies, for across functions --- */
bool gather_reply_is_error(struct slice reply);
bool gather_reply_int(struct slice reply, int64_t *value);       /* ":n" */
bool gather_reply_bulk(struct slice reply, struct slice *bytes); /* "$n": false when null or not a bulk */
/* Cuts the elements of an array reply: *rest starts at the first, returns the count or -1. */
int64_t gather_reply_array(struct slice reply, struct slice *rest);
struct slice gather_next_element(struct slice *rest);

/* --- for the shard --- */
void gather_part_done(struct gather *gather, uint32_t part, struct slice reply, struct message *message);
void gather_client_gone(struct gather *gather);
