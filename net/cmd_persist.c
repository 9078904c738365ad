/* Commands about saving: SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, EXPORT. All but LASTSAVE make a checkpoint of all shards
 * (persist/checkpoints.h), and none of them stops anybody; the first three differ in when they reply and in what Redis
 * calls them. Their replies are Redis's, word for word, since scripts read them. EXPORT is our own. */
#include "core/num.h"
#include "net/cmd_tables.h"
#include "net/runtime.h"
#include "persist/checkpoints.h"
#include "persist/live_export.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/shard.h"

#define ERROR_SAVING  "ERR Background save already in progress"
#define ERROR_FAILED  "ERR Saving failed; the log says why"
#define ERROR_NOWHERE "ERR There is no data directory to save to; the log says why"

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
    {.name = "sherd.wait-save",
     .arity = 2,
     .flags = CMD_INTERNAL | CMD_SLICED,
     .where = ON_OWNER,
     .run = cmd_internal_wait_save},
    {.name = NULL},
};
