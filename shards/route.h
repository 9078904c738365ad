/* Route: what a parsed command is, whether it may run at all, and on which shard or shards.
 *
 * Thread    the client's home. Cost: one look-up in the registry, one hash of the first key; with several shards one
 *           CRC16 per key. Prefetches the bucket of a local key, so that a batch finds it in the cache. */
#pragma once
#include "shards/command.h"

struct client;
struct shard;

/* What becomes of a command. */
enum fate {
    FATE_LOCAL,
    FATE_MULTI,  /* begins a transaction; runs like any local command */
    FATE_QUEUE,  /* inside MULTI: kept for EXEC, answered QUEUED */
    FATE_REJECT, /* queued.reject is the reply */
    FATE_REMOTE,
    FATE_SPLIT,  /* keys on several shards, SPLIT_BY_KEY */
    FATE_ACROSS, /* keys on several shards, ACROSS_OWNERS */
    FATE_ALL,    /* every shard, or sliced here */
    FATE_EXEC,   /* runs what MULTI kept, wherever its keys are (shards/multi.h) */
};

/* One command in the batch. */
struct queued {
    struct client *client;
    const struct command_slot *slot;
    const struct slice *argv;
    const char *raw; /* where its bytes start, for putting it back */
    uint32_t raw_len;
    uint32_t argc;
    uint64_t hash;
    uint32_t hash_at;
    uint8_t fate;
    uint8_t
        fate_in_exec; /* FATE_QUEUE: what it would be without MULTI; FATE_EXEC: what all its commands are together */
    uint8_t owner;
    uint8_t reject;
    bool barrier; /* starts when all earlier commands of its client are done, and holds back later ones */
    bool plain;   /* nothing of all this but FATE_LOCAL or FATE_REMOTE, and no MULTI anywhere near */
    bool leaves;  /* its reply comes later, to a place in the client's queue, and the client goes on meanwhile */
};

/* Its keys are here, and are used now or by the EXEC that follows. */
HOT_INLINE bool route_runs_here(const struct queued *q) {
    return q->fate == FATE_LOCAL || (q->fate == FATE_QUEUE && q->fate_in_exec == FATE_LOCAL);
}

enum reject {
    REJECT_UNKNOWN,
    REJECT_UNKNOWN_SUB,
    REJECT_ARITY,
    REJECT_NOAUTH,
    REJECT_PUBSUB,
    REJECT_MONITOR,
    REJECT_NO_MULTI,
    REJECT_LOADING,
    REJECT_NO_WRITES,
    REJECT_TOO_LATE,
    REJECT_OOM,
};

/* Fills slot, fate, owner, reject, hash and hash_at from client, argv and argc. before is the command ahead of it in
 * the batch, or NULL: a pipeline of one command is looked up once. */
void route_command(struct shard *shard, const struct client *client, struct queued *q, const struct queued *before);

/* It was routed, and is refused all the same. */
void route_refuse(struct queued *q, enum reject why);

#define ROUTE_KEYS_ON_STACK 64 /* keys of a several-key command; more of them take memory from the heap */

/* All key positions; on the stack when few, else from the heap (freed with route_keys_free). */
struct route_keys {
    uint32_t on_stack[ROUTE_KEYS_ON_STACK];
    uint32_t *positions;
    int count;
    size_t heap_bytes;
};
void route_keys_find(const struct shard *shard, const struct command *row, const struct slice *argv, uint32_t argc,
                     struct route_keys *keys);
void route_keys_free(const struct shard *shard, struct route_keys *keys);
