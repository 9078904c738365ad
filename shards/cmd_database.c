/* Whole databases: counting, emptying, exchanging them. Every shard does it to its own part.
 *
 * Emptying is O(1) per shard, the memory comes back in slices (shards/reaper.h); so SYNC and ASYNC mean the same here:
 * the keys are gone when the reply is sent. */
#include "core/num.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/exec.h"
#include "shards/shard.h"
#include "shards/watch.h"

static void cmd_dbsize(struct exec *x) {
    reply_int(x, (int64_t)keyspace_count(x->keys));
}

/* --- FLUSHDB, FLUSHALL --- */

static bool parse_flush_mode(struct exec *x) {
    bool fits = x->argc == 1 || (x->argc == 2 && (arg_is(x, 1, "sync") || arg_is(x, 1, "async")));
    if (!fits) reply_syntax_error(x);
    return fits;
}

/* How many keys there were. */
static uint64_t clear(struct shard *shard, uint32_t db) {
    struct keyspace *keyspace = shard_db_peek(shard, db);
    uint64_t count = keyspace ? keyspace_count(keyspace) : 0;
    if (count == 0) return 0;
    watch_touch_database(shard, db);
    keyspace_clear(keyspace);
    shard->database_changes++;
    return count;
}

static void cmd_flushdb(struct exec *x) {
    if (!parse_flush_mode(x)) return;
    x->shared->dirty += clear(x->shard, x->db);
    reply_ok(x);
}

static void cmd_flushall(struct exec *x) {
    if (!parse_flush_mode(x)) return;
    uint64_t removed = 0;
    for (uint32_t db = 0; db < x->shard->db_count; db++) removed += clear(x->shard, db);
    x->shared->dirty += removed;
    reply_ok(x);
}

/* --- SWAPDB --- */

static bool swap_index(struct exec *x, uint32_t at, int64_t *db, const char *error) {
    return exec_int_range(x, at, INT32_MIN, INT32_MAX, db, error);
}

static void cmd_swapdb(struct exec *x) {
    int64_t a, b;
    if (!swap_index(x, 1, &a, "ERR invalid first DB index")) return;
    if (!swap_index(x, 2, &b, "ERR invalid second DB index")) return;
    int64_t count = x->shard->db_count;
    if (a < 0 || a >= count || b < 0 || b >= count) {
        reply_error(x, "ERR DB index is out of range");
        return;
    }
    if (a != b) {
        watch_touch_swap(x->shard, (uint32_t)a, (uint32_t)b);
        shard_swap_databases(x->shard, (uint32_t)a, (uint32_t)b);
    }
    effect_same(x);
    x->shared->dirty += x->shard->id == 0; /* one change, however many shards carry it out */
    reply_ok(x);
}

const struct command database_commands[] = {
    {.name = "dbsize",
     .arity = 1,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .where = ON_ALL,
     .wide = true,
     .per_node = true,
     .merge = MERGE_SUM,
     .run = cmd_dbsize,
     .group = "server",
     .since = "1.0.0",
     .cost = "O(1)",
     .tips = "request_policy:all_shards response_policy:agg_sum",
     .doc = "Counts the keys of the database."},
    {.name = "flushdb",
     .arity = -1,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .where = ON_ALL,
     .wide = true,
     .merge = MERGE_OK,
     .run = cmd_flushdb,
     .replays = true,
     .group = "server",
     .since = "1.0.0",
     .cost = "O(1); memory is freed in slices afterwards",
     .args = "[ASYNC | SYNC]",
     .tips = "request_policy:all_shards response_policy:all_succeeded",
     .doc = "Empties the database."},
    {.name = "flushall",
     .arity = -1,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .where = ON_ALL,
     .wide = true,
     .merge = MERGE_OK,
     .run = cmd_flushall,
     .replays = true,
     .group = "server",
     .since = "1.0.0",
     .cost = "O(D), D = number of databases; memory is freed in slices afterwards",
     .args = "[ASYNC | SYNC]",
     .tips = "request_policy:all_shards response_policy:all_succeeded",
     .doc = "Empties all databases."},
    {.name = "swapdb",
     .arity = 3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .where = ON_ALL,
     .wide = true,
     .merge = MERGE_OK,
     .run = cmd_swapdb,
     .group = "server",
     .since = "4.0.0",
     .cost = "O(1)",
     .args = "index1 index2",
     .doc = "Exchanges the contents of two databases."},
    {0},
};
