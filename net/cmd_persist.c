/* Commands about saving: SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, EXPORT, WAITAOF. All but the last and LASTSAVE make a
 * checkpoint of all shards (persist/checkpoints.h), and none of them stops anybody; the first three differ in when they
 * reply and in what Redis calls them. Their replies are Redis's, word for word, since scripts read them. EXPORT is our
 * own. */
#include "core/num.h"
#include "core/resp_write.h"
#include "net/cmd_tables.h"
#include "net/runtime.h"
#include "persist/checkpoints.h"
#include "persist/live_export.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/shard.h"

#define ERROR_SAVING     "ERR Background save already in progress"
#define ERROR_FAILED     "ERR Saving failed; the log says why"
#define ERROR_NO_INTEGER "ERR value is not an integer or out of range"
#define ERROR_NOWHERE    "ERR There is no data directory to save to; the log says why"

/* --- BGSAVE, BGREWRITEAOF --- */

static void cmd_bgsave(struct exec *x) {
    bool schedule = x->argc == 2 && arg_is(x, 1, "schedule");
    struct checkpoints *checkpoints = net_checkpoints(x->shard);
    if (x->argc > 1 && !schedule) {
        reply_syntax_error(x);
        return;
    }
    if (!checkpoints) {
        reply_error(x, ERROR_NOWHERE);
        return;
    }
    switch (checkpoints_ask(checkpoints, x->shard, WHY_BGSAVE, schedule, NULL)) {
    case ANSWER_STARTED: reply_simple(x, "Background saving started"); break;
    case ANSWER_SCHEDULED: reply_simple(x, "Background saving scheduled"); break;
    case ANSWER_SAVING: reply_error(x, ERROR_SAVING); break;
    case ANSWER_REWRITING:
        reply_error(
            x, "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to "
               "schedule a BGSAVE whenever possible.");
        break;
    }
}

static void cmd_bgrewriteaof(struct exec *x) {
    struct checkpoints *checkpoints = net_checkpoints(x->shard);
    if (!checkpoints) {
        reply_error(x, ERROR_NOWHERE);
        return;
    }
    switch (checkpoints_ask(checkpoints, x->shard, WHY_REWRITE, true, NULL)) {
    case ANSWER_STARTED: reply_simple(x, "Background append only file rewriting started"); break;
    case ANSWER_SAVING:
    case ANSWER_SCHEDULED: reply_simple(x, "Background append only file rewriting scheduled"); break;
    case ANSWER_REWRITING: reply_error(x, "ERR Background append only file rewriting already in progress"); break;
    }
}

/* --- SAVE: asks, and then a sliced part at home waits --- */

static void save_across(struct gather *gather) {
    if (gather->step > 0) {
        buf_append_slice(gather_out(gather), gather_reply(gather, 0));
        return;
    }
    struct checkpoints *checkpoints = net_checkpoints(gather->home);
    uint64_t ticket;
    if (!checkpoints) {
        gather_error(gather, ERROR_NOWHERE);
        return;
    }
    enum checkpoint_answer answer = checkpoints_ask(checkpoints, gather->home, WHY_SAVE, true, &ticket);
    if (answer != ANSWER_STARTED && answer != ANSWER_SCHEDULED) {
        gather_error(gather, ERROR_SAVING);
        return;
    }
    char text[NUM_U64_MAX];
    struct slice argument = slice_of(text, num_format_u64(text, ticket));
    gather_send(gather, gather->home->id, "sherd.wait-save", &argument, 1);
}

static void cmd_internal_wait_save(struct exec *x) {
    uint64_t ticket;
    bool fits = num_parse_u64(x->argv[1], &ticket);
    ASSERT(fits);
    switch (checkpoints_outcome(net_checkpoints(x->shard), ticket)) {
    case OUTCOME_PENDING: exec_continue_later(x); break;
    case OUTCOME_OK: reply_ok(x); break;
    case OUTCOME_FAILED: reply_error(x, ERROR_FAILED); break;
    }
}

/* --- WAITAOF: each shard waits until its disk has all that was added to its journal before it was asked --- */

#define FOREVER UINT64_MAX

/* Until when, 0: not at all; for replicas, of which there are none, nobody waits. Returns the error to reply, NULL when
 * it is fine. */
static const char *parse_waitaof(const struct gather *g, uint64_t *deadline_ms) {
    int64_t local, replicas, timeout_ms, end_ms;
    bool may_wait = !g->parent && !(g->flags & CLIENT_NO_BLOCK);
    if (!num_parse_i64(g->argv[1], &local)) return ERROR_NO_INTEGER;
    if (local < 0 || local > 1) return "ERR value is out of range, value must between 0 and 1";
    if (!num_parse_i64(g->argv[2], &replicas)) return ERROR_NO_INTEGER;
    if (replicas < 0) return "ERR value is out of range, must be positive";
    if (!num_parse_i64(g->argv[3], &timeout_ms)) return "ERR timeout is not an integer or out of range";
    if (timeout_ms < 0) return "ERR timeout is negative";
    if (__builtin_add_overflow(timeout_ms, (int64_t)g->home->now_ms, &end_ms)) return "ERR timeout is out of range";
    if (local && !g->home->config->appendonly)
        return "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    *deadline_ms = !local || !may_wait ? 0 : timeout_ms ? (uint64_t)end_ms : FOREVER;
    return NULL;
}

static void waitaof_across(struct gather *g) {
    uint64_t deadline_ms = 0;
    const char *error = g->step == 0 ? parse_waitaof(g, &deadline_ms) : NULL;
    if (error) {
        gather_error(g, error);
        return;
    }
    if (g->step == 0 && g->home->config->appendonly) {
        char text[NUM_U64_MAX];
        struct slice deadline = slice_of(text, num_format_u64(text, deadline_ms));
        for (uint32_t i = 0; i < gather_shards(g); i++) gather_send(g, i, "sherd.wait-disk", &deadline, 1);
        return;
    }
    int64_t all = g->step > 0, one;
    for (uint32_t i = 0; i < g->parts; i++) all &= gather_reply_int(gather_reply(g, i), &one) && one;
    resp_array(gather_out(g), 2);
    resp_int(gather_out(g), all);
    resp_int(gather_out(g), 0);
}

static void cmd_internal_wait_disk(struct exec *x) {
    const struct shard *shard = x->shard;
    uint64_t deadline_ms, *position = &x->slice[0];
    bool fits = num_parse_u64(x->argv[1], &deadline_ms);
    ASSERT(fits);
    if (*position == 0) *position = shard->effects.position + 1; /* 0 is none yet */
    bool durable = shard->commit.durable + 1 >= *position;
    if (durable || shard->now_ms >= deadline_ms || !shard->config->appendonly)
        reply_int(x, durable);
    else
        exec_continue_later(x);
}

/* --- EXPORT --- */

static bool parse_export(struct exec *x, struct live_export_order *order) {
    *order = (struct live_export_order){.name = x->argv[2], .databases = x->shard->config->databases};
    order->form = arg_is(x, 1, "rdb") ? EXPORT_RDB : EXPORT_AOF;
    order->replace = x->argc == 4;
    return (order->form == EXPORT_RDB || arg_is(x, 1, "aof")) && x->argc <= 4 &&
           (x->argc == 3 || arg_is(x, 3, "replace"));
}

static void cmd_export(struct exec *x) {
    struct live_export *live = net_live_export(x->shard);
    struct live_export_order order;
    if (!parse_export(x, &order)) {
        reply_syntax_error(x);
        return;
    }
    if (!live) {
        reply_error(x, ERROR_NOWHERE);
        return;
    }
    switch (live_export_ask(live, net_checkpoints(x->shard), x->shard, &order)) {
    case EXPORT_STARTED: reply_simple(x, "Background export started"); break;
    case EXPORT_BUSY: reply_error(x, "ERR Background export already in progress"); break;
    case EXPORT_EXISTS:
        reply_error(x, "ERR A file of that name is in the data directory already; say REPLACE, or choose another name");
        break;
    case EXPORT_BAD_NAME:
        reply_error(x, "ERR The file is a plain name in the data directory: letters, digits, '.', '-' and '_', and "
                       "none of the server's own names");
        break;
    }
}

/* --- LASTSAVE --- */

static void cmd_lastsave(struct exec *x) {
    struct checkpoints *checkpoints = net_checkpoints(x->shard);
    if (!checkpoints) {
        reply_int(x, (int64_t)(x->shard->started_ms / 1000)); /* Redis's value for "never" */
        return;
    }
    struct checkpoints_status status;
    checkpoints_read_status(checkpoints, x->shard->now_ms, &status);
    reply_int(x, status.last_save_time_s);
}

const struct command persist_commands[] = {
    {.name = "save",
     .arity = 1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING | CMD_NO_MULTI,
     .where = ON_ALL,
     .across = save_across,
     .group = "server",
     .since = "1.0.0",
     .cost = "O(N), N = keys of all databases; in slices",
     .doc = "Saves all data, and replies when they are on the disk."},
    {.name = "bgsave",
     .arity = -1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING,
     .where = ON_CONN,
     .run = cmd_bgsave,
     .group = "server",
     .args = "[SCHEDULE]",
     .since = "1.0.0",
     .cost = "O(1)",
     .doc = "Saves all data in the background."},
    {.name = "bgrewriteaof",
     .arity = 1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING,
     .where = ON_CONN,
     .run = cmd_bgrewriteaof,
     .group = "server",
     .since = "1.0.0",
     .cost = "O(1)",
     .doc = "Replaces the journal by what it has led to, in the background."},
    {.name = "lastsave",
     .arity = 1,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
     .acl = ACL_ADMIN | ACL_DANGEROUS,
     .where = ON_CONN,
     .run = cmd_lastsave,
     .group = "server",
     .since = "1.0.0",
     .cost = "O(1)",
     .doc = "Returns when data were saved last, in seconds of Unix time.",
     .tips = "nondeterministic_output"},
    {.name = "export",
     .arity = -3,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING,
     .acl = ACL_DANGEROUS,
     .where = ON_CONN,
     .run = cmd_export,
     .group = "server",
     .args = "<RDB | AOF> file [REPLACE]",
     .since = "0.4.0",
     .cost = "O(1); the work is done in slices and in a process of its own",
     .doc = "Writes all data, as of one instant, to one file that Redis reads, in the background."},
    {.name = "waitaof",
     .arity = 4,
     .flags = CMD_NOSCRIPT,
     .acl = ACL_CONNECTION,
     .where = ON_ALL,
     .across = waitaof_across,
     .group = "generic",
     .since = "7.2.0",
     .cost = "O(1)",
     .args = "numlocal numreplicas timeout",
     .tips = "request_policy:all_shards response_policy:agg_min",
     .doc = "Waits until the writes of this connection, and all before them, are in the journal on the disk."},
    {.name = "sherd.wait-disk",
     .arity = 2,
     .flags = CMD_INTERNAL | CMD_SLICED,
     .where = ON_OWNER,
     .run = cmd_internal_wait_disk},
    {.name = "sherd.wait-save",
     .arity = 2,
     .flags = CMD_INTERNAL | CMD_SLICED,
     .where = ON_OWNER,
     .run = cmd_internal_wait_save},
    {.name = NULL},
};
