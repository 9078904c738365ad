/* MULTI, EXEC, DISCARD, WATCH, UNWATCH. What they do is in shards/multi.h and shards/watch.h. */
#include "shards/cmd_tables.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/multi.h"
#include "shards/part.h"
#include "shards/shard.h"
#include "shards/watch.h"

static void cmd_multi(struct exec *x) {
    if (multi_is_open(x->client)) {
        reply_error(x, "ERR MULTI calls can not be nested");
        return;
    }
    multi_open(x->client);
    reply_ok(x);
}

static void cmd_discard(struct exec *x) {
    if (!multi_is_open(x->client)) {
        reply_error(x, "ERR DISCARD without MULTI");
        return;
    }
    multi_abandon(x->client);
    reply_ok(x);
}

static void cmd_unwatch(struct exec *x) {
    if (x->client) multi_unwatch(x->client);
    reply_ok(x);
}

/* --- WATCH: each owner counts one watcher more and answers the versions of its keys --- */

static void cmd_internal_watch(struct exec *x) {
    reply_array(x, x->argc - 1);
    for (uint32_t at = 1; at < x->argc; at++) {
        struct key_ref ref;
        exec_open_any(x, at, &ref); /* one whose time is over is absent from the start */
        reply_int(x, (int64_t)watch_add(x->shard, x->db, x->argv[at]));
    }
}

static void cmd_internal_unwatch(struct exec *x) {
    watch_drop(x->shard, x->db, x->argv[1]);
}

static void send_watches(struct gather *g) {
    struct heap *heap = g->home->heap;
    struct slice *keys = heap_alloc(heap, MEM_MESSAGE, g->argc * sizeof *keys);
    for (uint32_t shard = 0; shard < gather_shards(g); shard++) {
        uint32_t count = 0;
        for (uint32_t at = 1; at < g->argc; at++)
            if (gather_owner(g, at) == shard) keys[count++] = g->argv[at];
        if (count) gather_send(g, shard, "sherd.watch", keys, count);
    }
    heap_free(heap, MEM_MESSAGE, keys, g->argc * sizeof *keys);
}

static void note_versions(struct gather *g, uint32_t part) {
    struct slice rest;
    int64_t count = gather_reply_array(gather_reply(g, part), &rest), version;
    for (uint32_t at = 1; at < g->argc; at++) {
        if (gather_owner(g, at) != g->answered[part].shard) continue;
        bool is_number = count-- > 0 && gather_reply_int(gather_next_element(&rest), &version);
        ASSERT(is_number);
        if (g->client)
            multi_note_watch(g->client, g->db, g->argv[at], (uint64_t)version);
        else
            multi_drop_watch(g->home, g->db, g->argv[at]);
    }
}

static void watch_gather(struct gather *g) {
    if (g->step == 0) {
        if (multi_is_open(g->client))
            gather_error(g, "ERR WATCH inside MULTI is not allowed");
        else
            send_watches(g);
        return;
    }
    for (uint32_t part = 0; part < g->parts; part++) note_versions(g, part);
    resp_simple(gather_out(g), SLICE("OK"));
}

#define TRANSACTION .acl = ACL_TRANSACTION, .group = "transactions"
#define ANYTIME     (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST)

const struct command transaction_commands[] = {
    {.name = "multi",
     .arity = 1,
     .flags = ANYTIME | CMD_ALLOW_BUSY | CMD_IN_MULTI | CMD_NO_WAIT | CMD_ROUTED,
     TRANSACTION,
     .where = ON_CONN,
     .route = multi_route_multi,
     .run = cmd_multi,
     .since = "1.2.0",
     .cost = "O(1)",
     .doc = "Starts a transaction: commands are kept until EXEC."},
    {.name = "exec",
     .arity = 1,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SKIP_SLOWLOG | CMD_IN_MULTI | CMD_ROUTED | CMD_ENDS_MULTI,
     TRANSACTION,
     .where = ON_CONN,
     .route = multi_route_exec,
     .run = part_run_whole,
     .locks = part_locks,
     .answers = part_whole_answers,
     .since = "1.2.0",
     .cost = "O(N), N = cost of the commands",
     .doc = "Runs the commands of a transaction as one."},
    {.name = "discard",
     .arity = 1,
     .flags = ANYTIME | CMD_ALLOW_BUSY | CMD_IN_MULTI | CMD_NO_WAIT,
     TRANSACTION,
     .where = ON_CONN,
     .run = cmd_discard,
     .since = "2.0.0",
     .cost = "O(N), N = commands kept",
     .doc = "Forgets a transaction."},
    {.name = "watch",
     .arity = -2,
     .flags = ANYTIME | CMD_ALLOW_BUSY | CMD_IN_MULTI,
     TRANSACTION,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RO)},
     .where = ON_ALL,
     .across = watch_gather,
     .run = cmd_internal_watch,
     .args = "key [key ...]",
     .since = "2.2.0",
     .cost = "O(N), N = number of keys",
     .doc = "Watches keys: the next EXEC runs only if nobody changed them."},
    {.name = "unwatch",
     .arity = 1,
     .flags = ANYTIME | CMD_ALLOW_BUSY | CMD_NO_WAIT,
     TRANSACTION,
     .where = ON_CONN,
     .run = cmd_unwatch,
     .since = "2.2.0",
     .cost = "O(N), N = number of watched keys",
     .doc = "Watches no key any more."},
    {.name = "sherd.watch",
     .arity = -2,
     .flags = CMD_INTERNAL,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_internal_watch,
     .group = "transactions",
     .since = "0.2.0",
     .cost = "O(N), N = number of keys",
     .args = "key [key ...]",
     .doc = "Counts a watcher for each key and answers their versions."},
    {.name = "sherd.unwatch",
     .arity = 2,
     .flags = CMD_INTERNAL,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_internal_unwatch,
     .group = "transactions",
     .since = "0.2.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Counts a watcher less."},
    {0},
};
