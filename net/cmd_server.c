/* The server's commands: the table, and those that are too small for a file of their own. What asks for features that
 * are not here (modules, replicas) answers as a Redis does that has them switched off. */
#include "core/clock.h"
#include "core/num.h"
#include "net/cmd_server_priv.h"
#include "net/cmd_tables.h"
#include "net/runtime.h"
#include "shards/shard.h"
#include <stdlib.h>

static void cmd_time(struct exec *x) {
    struct clock clock = clock_system(); /* not the turn's time: who asks wants microseconds */
    uint64_t now = clock_real_us(&clock);
    reply_array(x, 2);
    resp_bulk_int(x->out, (int64_t)(now / 1000000));
    resp_bulk_int(x->out, (int64_t)(now % 1000000));
}

/* --- SHUTDOWN --- */

static bool shutdown_words(struct exec *x, unsigned *how, bool *abort_it) {
    for (uint32_t i = 1; i < x->argc; i++) {
        if (arg_is(x, i, "nosave"))
            *how |= SHUTDOWN_NOSAVE;
        else if (arg_is(x, i, "save"))
            *how |= SHUTDOWN_SAVE;
        else if (arg_is(x, i, "now"))
            *how |= SHUTDOWN_NOW;
        else if (arg_is(x, i, "force"))
            *how |= SHUTDOWN_FORCE;
        else if (arg_is(x, i, "abort"))
            *abort_it = true;
        else
            return false;
    }
    bool both = *how & SHUTDOWN_SAVE && *how & SHUTDOWN_NOSAVE;
    return !both && !(*abort_it && *how);
}

static void cmd_shutdown(struct exec *x) {
    unsigned how = 0;
    bool abort_it = false;
    if (!shutdown_words(x, &how, &abort_it)) {
        reply_syntax_error(x);
    } else if (abort_it) {
        if (net_shutdown_abort(x))
            reply_ok(x);
        else
            reply_error(x, "ERR No shutdown in progress.");
    } else {
        net_shutdown(x, how);
    }
}

/* --- replication: a master without replicas --- */

static void cmd_role(struct exec *x) {
    reply_array(x, 3);
    reply_cstr(x, "master");
    reply_int(x, 0);
    reply_array(x, 0);
}

static void cmd_replicaof(struct exec *x) {
    int64_t port;
    if (arg_is(x, 1, "no") && arg_is(x, 2, "one"))
        reply_ok(x);
    else if (!num_parse_i64(x->argv[2], &port) || port < 0 || port > 65535)
        reply_error(x, "ERR Invalid master port");
    else
        reply_error(x, "ERR This version of sherd cannot be a replica yet");
}

/* --- features that are off --- */

static void cmd_acl_whoami(struct exec *x) {
    reply_cstr(x, x->client->user);
}

static void cmd_acl_help(struct exec *x) {
    static const char *const lines[] = {"WHOAMI", "    Return the current connection username.", NULL};
    reply_help(x, lines);
}

static void cmd_module_list(struct exec *x) {
    reply_array(x, 0);
}

static void cmd_module_help(struct exec *x) {
    static const char *const lines[] = {"LIST", "    Return a list of loaded modules.", NULL};
    reply_help(x, lines);
}

#define ANYTIME (CMD_LOADING | CMD_STALE)
#define ADMIN   (CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)

static const struct command acl_subs[] = {
    {.name = "whoami",
     .arity = 2,
     .flags = CMD_NOSCRIPT | ANYTIME,
     .where = ON_CONN,
     .run = cmd_acl_whoami,
     .since = "6.0.0",
     .cost = "O(1)",
     .doc = "Returns the user of this connection."},
    {.name = "help",
     .arity = 2,
     .flags = ANYTIME,
     .where = ON_CONN,
     .run = cmd_acl_help,
     .since = "6.0.0",
     .cost = "O(1)",
     .doc = "Explains the subcommands of ACL."},
    {.name = NULL},
};

static const struct command module_subs[] = {
    {.name = "list",
     .arity = 2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT,
     .where = ON_CONN,
     .run = cmd_module_list,
     .since = "4.0.0",
     .cost = "O(1)",
     .doc = "Lists modules; there are none.",
     .tips = "nondeterministic_output_order"},
    {.name = "help",
     .arity = 2,
     .flags = ANYTIME,
     .where = ON_CONN,
     .run = cmd_module_help,
     .since = "5.0.0",
     .cost = "O(1)",
     .doc = "Explains the subcommands of MODULE."},
    {.name = NULL},
};

#define SERVER .where = ON_CONN, .group = "server"

const struct command server_commands[] = {
    {.name = "config",
     .arity = -2,
     .where = ON_CONN,
     .subs = config_subs,
     .group = "server",
     .since = "2.0.0",
     .doc = "Holds the commands about options."},
    {.name = "slowlog",
     .arity = -2,
     .where = ON_CONN,
     .subs = slowlog_subs,
     .group = "server",
     .since = "2.2.12",
     .doc = "Holds the commands about slow commands."},
    {.name = "debug",
     .arity = -2,
     .flags = ADMIN | CMD_PROTECTED,
     .where = ON_ALL,
     .across = debug_across,
     .group = "server",
     .args = "subcommand [arg ...]",
     .since = "1.0.0",
     .cost = "Depends on the subcommand",
     .doc = "Helps with tests and looks inside."},
    {.name = "time",
     .arity = 1,
     .flags = ANYTIME | CMD_FAST,
     SERVER,
     .run = cmd_time,
     .since = "2.6.0",
     .cost = "O(1)",
     .doc = "Returns the server's time in seconds and microseconds.",
     .tips = "nondeterministic_output"},
    {.name = "shutdown",
     .arity = -1,
     .flags = ADMIN | CMD_NO_MULTI | CMD_ALLOW_BUSY,
     SERVER,
     .run = cmd_shutdown,
     .args = "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
     .since = "1.0.0",
     .cost = "O(1)",
     .doc = "Stops the server."},
    {.name = "lolwut",
     .arity = -1,
     .flags = CMD_READ | CMD_FAST,
     SERVER,
     .run = cmd_lolwut,
     .args = "[VERSION version [pieces:integer]]",
     .since = "5.0.0",
     .cost = "O(N), N = pieces",
     .doc = "Draws."},
    {.name = "role",
     .arity = 1,
     .flags = CMD_NOSCRIPT | ANYTIME | CMD_FAST,
     .acl = ACL_ADMIN | ACL_DANGEROUS,
     SERVER,
     .run = cmd_role,
     .since = "2.8.12",
     .cost = "O(1)",
     .doc = "Says whether this is a master or a replica."},
    {.name = "replicaof",
     .arity = 3,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_STALE | CMD_NO_ASYNC_LOADING,
     SERVER,
     .run = cmd_replicaof,
     .args = "<host port:integer | NO ONE>",
     .since = "5.0.0",
     .cost = "O(1)",
     .doc = "Makes this server a replica or a master."},
    {.name = "slaveof",
     .arity = 3,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_STALE | CMD_NO_ASYNC_LOADING,
     SERVER,
     .run = cmd_replicaof,
     .args = "<host port:integer | NO ONE>",
     .since = "1.0.0",
     .cost = "O(1)",
     .doc = "The old name of REPLICAOF."},
    {.name = "acl",
     .arity = -2,
     .where = ON_CONN,
     .subs = acl_subs,
     .group = "server",
     .since = "6.0.0",
     .doc = "Holds the commands about users."},
    {.name = "module",
     .arity = -2,
     .where = ON_CONN,
     .subs = module_subs,
     .group = "server",
     .since = "4.0.0",
     .doc = "Holds the commands about modules."},
    /* sent by DEBUG to where its subcommands run */
    {.name = "sherd.sleep",
     .arity = 2,
     .flags = CMD_INTERNAL | CMD_SLICED,
     .where = ON_OWNER,
     .run = cmd_internal_sleep},
    {.name = "sherd.debug-object",
     .arity = 2,
     .flags = CMD_INTERNAL | CMD_READ,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_internal_debug_object},
    {.name = "sherd.active-expire",
     .arity = 2,
     .flags = CMD_INTERNAL,
     .where = ON_ALL,
     .merge = MERGE_OK,
     .run = cmd_internal_active_expire},
    {.name = "sherd.htstats",
     .arity = 2,
     .flags = CMD_INTERNAL,
     .where = ON_ALL,
     .merge = MERGE_TEXT,
     .run = cmd_internal_htstats},
    {.name = "sherd.txn",
     .arity = 1,
     .flags = CMD_INTERNAL,
     .where = ON_ALL,
     .merge = MERGE_CONCAT,
     .run = cmd_internal_txn},
    {.name = NULL},
};
