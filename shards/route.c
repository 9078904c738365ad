/* Routing is derived from the command row alone (where, keys, owner); nothing here knows a command by its name. */
#include "shards/route.h"
#include "core/assert.h"
#include "shards/exec.h"
#include "shards/multi.h"
#include "shards/shard.h"

static COLD void reject(struct queued *q, enum reject why) {
    q->fate = FATE_REJECT;
    q->reject = (uint8_t)why;
    q->plain = false;
}

void route_refuse(struct queued *q, enum reject why) {
    reject(q, why);
    q->barrier = q->leaves = false;
}

/* Where the keys of a several-key command live: the one owner, or -1 when there are several. 0 keys: here. */
static int common_owner(const struct shard *shard, const struct queued *q, const uint32_t *positions, int count) {
    if (count <= 0) return (int)shard->id;
    uint32_t owner = shard_of_key(shard, q->argv[positions[0]]);
    for (int i = 1; i < count; i++)
        if (shard_of_key(shard, q->argv[positions[i]]) != owner) return -1;
    return (int)owner;
}

void route_keys_find(const struct shard *shard, const struct command *row, const struct slice *argv, uint32_t argc,
                     struct route_keys *keys) {
    keys->heap_bytes = 0;
    keys->positions = keys->on_stack;
    keys->count = command_keys(row, argv, argc, keys->on_stack, ROUTE_KEYS_ON_STACK);
    if (keys->count < ROUTE_KEYS_ON_STACK) return;
    keys->heap_bytes = argc * sizeof(uint32_t);
    keys->positions = heap_alloc(shard->heap, MEM_MESSAGE, keys->heap_bytes);
    keys->count = command_keys(row, argv, argc, keys->positions, (int)argc);
}

void route_keys_free(const struct shard *shard, struct route_keys *keys) {
    if (keys->heap_bytes) heap_free(shard->heap, MEM_MESSAGE, keys->positions, keys->heap_bytes);
}

static void route_several_keys(const struct shard *shard, struct queued *q) {
    const struct key_spec *spec = &q->slot->row->keys[0];
    if (spec->step > 1 && !spec->count_at &&
        (q->argc - (uint32_t)(uint16_t)spec->first) % (uint32_t)(uint16_t)spec->step) {
        q->fate = FATE_LOCAL; /* a key without its value (MSET): the handler words the error */
        return;
    }
    struct route_keys keys;
    route_keys_find(shard, q->slot->row, q->argv, q->argc, &keys);
    int owner = common_owner(shard, q, keys.positions, keys.count);
    route_keys_free(shard, &keys);
    if (owner < 0) {
        q->fate = q->slot->row->where == SPLIT_BY_KEY ? FATE_SPLIT : FATE_ACROSS;
        return;
    }
    q->owner = (uint8_t)owner;
    q->fate = q->owner == shard->id ? FATE_LOCAL : FATE_REMOTE;
}

/* Several shards: decides where the command runs. */
static void route_over_shards(const struct shard *shard, const struct client *client, struct queued *q) {
    const struct command *row = q->slot->row;
    q->fate = FATE_LOCAL;
    switch (row->where) {
    case ON_CONN: return;
    case ON_ALL:
        if (!(row->per_node && client->flags & CLIENT_ENDPOINT)) q->fate = FATE_ALL;
        return;
    case ON_OWNER:
        if (row->owner) {
            struct exec x = {.shard = (struct shard *)(uintptr_t)shard, .argv = q->argv, .argc = q->argc};
            q->owner = (uint8_t)row->owner(&x);
        } else if (q->hash_at) {
            q->owner = (uint8_t)shard_of_key(shard, q->argv[q->hash_at]);
        } else {
            return;
        }
        if (q->owner != shard->id) q->fate = FATE_REMOTE;
        return;
    case SPLIT_BY_KEY:
    case ACROSS_OWNERS: route_several_keys(shard, q); return;
    }
}

/* Pipelines repeat themselves: the same name as the command before, and not one of a family of subcommands. */
HOT_INLINE bool is_same_command(const struct queued *q, const struct queued *before) {
    return before && before->slot && before->slot->repeats && slice_equal(q->argv[0], before->argv[0]);
}

/* Inside MULTI it is kept, unless it is one of those that say something about the transaction itself. */
static COLD void keep_for_exec(struct queued *q) {
    const struct command *row = q->slot->row;
    if (row->flags & CMD_IN_MULTI) return;
    if (row->flags & CMD_NO_MULTI) {
        reject(q, REJECT_NO_MULTI);
    } else {
        q->fate_in_exec = q->fate;
        q->fate = FATE_QUEUE;
    }
    q->barrier = q->leaves = false;
}

/* What a command that is known and allowed becomes. */
HOT_INLINE void find_fate(struct shard *shard, const struct client *client, struct queued *q) {
    const struct command_slot *slot = q->slot;
    q->barrier = slot->barrier;
    if (shard->count == 1) {
        /* Everything is local, but what runs in slices or joins parts goes the gather's way. */
        q->fate = UNLIKELY(slot->gathers) ? FATE_ALL : FATE_LOCAL;
    } else {
        route_over_shards(shard, client, q);
        if (UNLIKELY(slot->row->flags & CMD_SLICED)) q->fate = FATE_ALL;
        q->leaves = q->fate == FATE_REMOTE || q->fate == FATE_SPLIT;
    }
    if (UNLIKELY(slot->row->flags & CMD_ROUTED)) slot->row->route(shard, client, q);
    if (UNLIKELY(multi_is_open_ahead(client))) keep_for_exec(q);
}

static COLD bool is_refused_now(const struct shard *shard, const struct client *client, struct queued *q) {
    uint32_t flags = q->slot->row->flags;
    if (client->flags & CLIENT_LOADER) return false;
    if (shard->loading && !(flags & CMD_LOADING)) {
        reject(q, REJECT_LOADING);
        return true;
    }
    if (flags & CMD_ROUTED) flags |= multi_flags_ahead(client);
    if (shard->no_writes && flags & CMD_WRITE) {
        reject(q, REJECT_NO_WRITES);
        return true;
    }
    return false;
}

/* By what the client is: not authenticated, in RESP2 with subscriptions, or monitoring. */
static COLD bool is_refused_to(const struct client *client, struct queued *q) {
    uint32_t flags = q->slot->row->flags;
    if (!(client->flags & CLIENT_AUTHENTICATED) && !(flags & CMD_NO_AUTH)) {
        reject(q, REJECT_NOAUTH);
        return true;
    }
    if (client->flags & CLIENT_PUBSUB_ONLY && !(flags & CMD_IN_PUBSUB)) {
        reject(q, REJECT_PUBSUB);
        return true;
    }
    if (client->flags & CLIENT_MONITOR && flags & (CMD_READ | CMD_WRITE | CMD_MAY_REPLICATE)) {
        reject(q, REJECT_MONITOR);
        return true;
    }
    return false;
}

/* By what may come in any order and touches no key but its own, to clients of whom nothing else is known. */
HOT_INLINE bool is_plain(const struct shard *shard, const struct client *client, const struct queued *q) {
    const uint32_t asked = CLIENT_AUTHENTICATED | CLIENT_PUBSUB_ONLY | CLIENT_MONITOR;
    return q->slot && q->slot->plain_key && command_arity_fits(q->slot->row, q->argc) &&
           (client->flags & asked) == CLIENT_AUTHENTICATED && !client->multi && !shard->loading && !shard->no_writes;
}

HOT_INLINE void prefetch_bucket(const struct shard *shard, const struct client *client, const struct queued *q) {
    struct keyspace *keys = shard_db_peek(shard, client->db);
    if (LIKELY(keys != NULL)) keyspace_prefetch_bucket(keys, q->hash);
}

HOT_INLINE void find_hash(const struct shard *shard, struct queued *q, uint32_t key_at) {
    q->hash_at = key_at;
    q->hash = key_hash(&shard->shared, q->argv[key_at]);
}

/* All others. */
static NOINLINE void route_special(struct shard *shard, const struct client *client, struct queued *q) {
    const struct command_slot *slot = q->slot;
    q->hash_at = 0;
    q->plain = q->barrier = q->leaves = false;
    q->owner = (uint8_t)shard->id;
    if (UNLIKELY(!slot || slot->row->flags & CMD_INTERNAL)) {
        q->slot = NULL;
        reject(q, REJECT_UNKNOWN);
        return;
    }
    const struct command *row = slot->row;
    if (UNLIKELY(!command_arity_fits(row, q->argc))) {
        reject(q, REJECT_ARITY);
        return;
    }
    if (UNLIKELY(row->subs && (q->argc > 1 || !row->run))) {
        reject(q, REJECT_UNKNOWN_SUB);
        return;
    }
    if (is_refused_to(client, q)) return;
    if (UNLIKELY(shard->loading || shard->no_writes) && is_refused_now(shard, client, q)) return;
    if (row->keys[0].first > 0 && (uint32_t)row->keys[0].first < q->argc)
        find_hash(shard, q, (uint32_t)row->keys[0].first);
    find_fate(shard, client, q);
    if (route_runs_here(q) && q->hash_at) prefetch_bucket(shard, client, q);
}

void route_command(struct shard *shard, const struct client *client, struct queued *q, const struct queued *before) {
    q->slot = is_same_command(q, before) ? before->slot : command_resolve(shard->registry, q->argv, q->argc);
    if (UNLIKELY(!is_plain(shard, client, q))) {
        route_special(shard, client, q);
        return;
    }
    uint32_t key_at = q->slot->plain_key;
    find_hash(shard, q, key_at);
    q->plain = true;
    q->barrier = false;
    q->owner = (uint8_t)shard_of_key(shard, q->argv[key_at]);
    q->leaves = q->owner != shard->id;
    q->fate = q->leaves ? FATE_REMOTE : FATE_LOCAL;
    if (!q->leaves) prefetch_bucket(shard, client, q);
}
