/* The cut: one instant that all shards have in common, for whoever lives on the floor above (persist/checkpoints.h).
 *
 * It is a command over all shards that locks them whole, as FLUSHALL does. So while it runs no transaction is under
 * way: each has been carried out everywhere, and its effects have been handed over, or it has not begun anywhere. */
#include "core/num.h"
#include "shards/cmd_tables.h"
#include "shards/exec.h"
#include "shards/shard.h"

static void cmd_cut(struct exec *x) {
    uint64_t kind, number;
    bool fits = num_parse_u64(x->argv[1], &kind) && num_parse_u64(x->argv[2], &number);
    ASSERT(fits);
    const struct shard_cutter *cutter = &x->shard->cutter;
    if (cutter->cut) cutter->cut(cutter->ctx, kind, number);
    reply_ok(x);
}

/* Not a write, as far as anybody but the locks is concerned. */
static void cut_locks(const struct exec *x, command_lock_visit visit, void *ctx) {
    visit(ctx, x, 0, LOCK_EXCLUSIVE, true);
}

const struct command cut_commands[] = {
    {.name = "sherd.cut",
     .arity = 3,
     .flags = CMD_INTERNAL | CMD_SKIP_SLOWLOG,
     .where = ON_ALL,
     .wide = true,
     .merge = MERGE_OK,
     .run = cmd_cut,
     .locks = cut_locks,
     .group = "server",
     .since = "0.2.0",
     .cost = "O(1)",
     .args = "kind number",
     .doc = "Tells every shard of one instant."},
    {0},
};
