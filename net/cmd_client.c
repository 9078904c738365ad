/* CLIENT: the subcommands about the asking connection, and the rows of all. Those that look at other connections are in
 * cmd_client_many.c, because each shard knows only its own. */
#include "core/num.h"
#include "net/cmd_conn_priv.h"
#include "shards/gather.h"
#include "shards/shard.h"

bool client_text_is_fine(struct slice text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '!' || text.ptr[i] > '~') return false;
    return true;
}

bool client_rename(struct exec *x, struct slice name) {
    if (!client_text_is_fine(name)) {
        reply_error(x, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    client_set_text(x->client, &x->client->name, name);
    return true;
}

static void cmd_client_id(struct exec *x) {
    reply_int(x, (int64_t)x->client->id);
}

static void cmd_client_getname(struct exec *x) {
    if (x->client->name)
        reply_cstr(x, x->client->name);
    else
        reply_null(x);
}

static void cmd_client_setname(struct exec *x) {
    if (client_rename(x, x->argv[2])) reply_ok(x);
}

static void cmd_client_setinfo(struct exec *x) {
    char **field;
    if (arg_is(x, 2, "lib-name")) {
        field = &x->client->lib_name;
    } else if (arg_is(x, 2, "lib-ver")) {
        field = &x->client->lib_ver;
    } else {
        reply_errorf(x, "ERR Unrecognized option '%.*s'", (int)MIN(x->argv[2].len, (size_t)128), x->argv[2].ptr);
        return;
    }
    if (!client_text_is_fine(x->argv[3])) {
        reply_errorf(x, "ERR %.*s cannot contain spaces, newlines or special characters.", (int)x->argv[2].len,
                     x->argv[2].ptr);
        return;
    }
    client_set_text(x->client, field, x->argv[3]);
    reply_ok(x);
}

static void cmd_client_info(struct exec *x) {
    struct buf text;
    buf_init(&text, x->shard->heap, MEM_CLIENT_OUT);
    client_describe(x->client, &text);
    resp_verbatim(x->out, x->resp, "txt", buf_slice(&text));
    buf_deinit(&text);
}

/* on or off; false when it was neither and that was replied. */
static bool set_flag(struct exec *x, uint32_t flag) {
    if (arg_is(x, 2, "on"))
        x->client->flags |= flag;
    else if (arg_is(x, 2, "off"))
        x->client->flags &= ~flag;
    else {
        reply_syntax_error(x);
        return false;
    }
    return true;
}

static void cmd_client_no_evict(struct exec *x) {
    if (set_flag(x, CLIENT_NO_EVICT)) reply_ok(x);
}

static void cmd_client_no_touch(struct exec *x) {
    if (set_flag(x, CLIENT_NO_TOUCH)) reply_ok(x);
}

/* OFF and SKIP are not answered; whoever runs commands drops what the flags say. */
static void cmd_client_reply(struct exec *x) {
    if (arg_is(x, 2, "on")) {
        x->client->flags &= ~(uint32_t)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT);
        reply_ok(x);
    } else if (arg_is(x, 2, "off")) {
        x->client->flags |= CLIENT_REPLY_OFF;
    } else if (arg_is(x, 2, "skip")) {
        if (!(x->client->flags & CLIENT_REPLY_OFF)) x->client->flags |= CLIENT_REPLY_SKIP_NEXT;
    } else {
        reply_syntax_error(x);
    }
}

/* --- PAUSE: every shard holds back its own clients --- */

/* A pause under way is only ever made longer and wider, as in Redis. */
static void cmd_client_pause(struct exec *x) {
    bool all = true;
    int64_t timeout;
    if (x->argc > 4) {
        reply_error(x, "ERR unknown subcommand or wrong number of arguments for 'pause'. Try CLIENT HELP.");
        return;
    }
    if (x->argc == 4 && arg_is(x, 3, "write")) {
        all = false;
    } else if (x->argc == 4 && !arg_is(x, 3, "all")) {
        reply_error(x, "ERR CLIENT PAUSE mode must be WRITE or ALL");
        return;
    }
    if (!exec_int_range(x, 2, INT64_MIN, INT64_MAX, &timeout, "ERR timeout is not an integer or out of range")) return;
    if (timeout < 0) {
        reply_error(x, "ERR timeout is negative");
        return;
    }
    struct shard *shard = x->shard;
    bool paused = shard->pause_until_ms > shard->now_ms;
    shard->pause_all = all || (paused && shard->pause_all);
    shard->pause_until_ms = MAX(shard->now_ms + (uint64_t)timeout, paused ? shard->pause_until_ms : 0);
    reply_ok(x);
}

static void cmd_client_unpause(struct exec *x) {
    shard_unpause(x->shard);
    reply_ok(x);
}

static void cmd_client_help(struct exec *x) {
    static const char *const lines[] = {
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "    * ID <client-id>",
        "      Kill connections by client id.",
        "    * MAXAGE <seconds>",
        "      Kill connections older than the specified age.",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "    * ID <client-id> [<client-id> ...]",
        "      Return clients of specified IDs only.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "SETINFO <option> <value>",
        "    Set client meta attr. Options are:",
        "    * LIB-NAME: the client lib name.",
        "    * LIB-VER: the client lib version.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
        "NO-TOUCH (ON|OFF)",
        "    Will not touch LRU/LFU stats when this mode is on.",
        NULL,
    };
    reply_help(x, lines);
}

#define ON_SELF  .acl = ACL_CONNECTION, .where = ON_CONN, .cost = "O(1)"
#define SELF     (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)
#define OVER_ALL (CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)

const struct command client_subs[] = {
    {.name = "id",
     .arity = 2,
     .flags = SELF,
     ON_SELF,
     .run = cmd_client_id,
     .since = "5.0.0",
     .doc = "Returns the id of this connection."},
    {.name = "getname",
     .arity = 2,
     .flags = SELF,
     ON_SELF,
     .run = cmd_client_getname,
     .since = "2.6.9",
     .doc = "Returns the name of this connection."},
    {.name = "setname",
     .arity = 3,
     .flags = SELF,
     ON_SELF,
     .run = cmd_client_setname,
     .args = "connection-name",
     .since = "2.6.9",
     .doc = "Names this connection."},
    {.name = "setinfo",
     .arity = 4,
     .flags = SELF,
     ON_SELF,
     .run = cmd_client_setinfo,
     .args = "<LIB-NAME libname | LIB-VER libver>",
     .since = "7.2.0",
     .doc = "Notes which library made this connection."},
    {.name = "info",
     .arity = 2,
     .flags = SELF,
     ON_SELF,
     .run = cmd_client_info,
     .since = "6.2.0",
     .doc = "Describes this connection.",
     .tips = "nondeterministic_output"},
    {.name = "list",
     .arity = -2,
     .flags = OVER_ALL,
     .acl = ACL_CONNECTION,
     .where = ON_ALL,
     .merge = MERGE_TEXT,
     .across = client_list_across,
     .run = cmd_client_list,
     .args = "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
     .since = "2.4.0",
     .cost = "O(N), N = connections",
     .doc = "Describes all connections, or those asked for.",
     .tips = "nondeterministic_output"},
    {.name = "kill",
     .arity = -3,
     .flags = OVER_ALL,
     .acl = ACL_CONNECTION,
     .where = ON_ALL,
     .across = client_kill_across,
     .args =
         "<ip:port | [ID client-id] [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] [USER username] [ADDR ip:port] "
         "[LADDR ip:port] [SKIPME <YES | NO>] [MAXAGE maxage:integer]>",
     .since = "2.4.0",
     .cost = "O(N), N = connections",
     .doc = "Closes connections."},
    {.name = "pause",
     .arity = -3,
     .flags = OVER_ALL,
     .acl = ACL_CONNECTION,
     .where = ON_ALL,
     .merge = MERGE_OK,
     .run = cmd_client_pause,
     .args = "timeout [WRITE | ALL]",
     .since = "3.0.0",
     .cost = "O(1)",
     .doc = "Holds back the commands of all connections for some milliseconds."},
    {.name = "unpause",
     .arity = 2,
     .flags = OVER_ALL | CMD_ALLOW_BUSY,
     .acl = ACL_CONNECTION,
     .where = ON_ALL,
     .merge = MERGE_OK,
     .run = cmd_client_unpause,
     .since = "6.2.0",
     .cost = "O(N), N = paused connections",
     .doc = "Ends a pause."},
    {.name = "unblock",
     .arity = -3,
     .flags = OVER_ALL,
     .acl = ACL_CONNECTION,
     .where = ON_ALL,
     .merge = MERGE_SUM,
     .run = cmd_client_unblock,
     .args = "client-id [TIMEOUT | ERROR]",
     .since = "5.0.0",
     .cost = "O(N), N = connections",
     .doc = "Ends the waiting of a connection, as if its time were over or with an error."},
    {.name = "reply",
     .arity = 3,
     .flags = SELF,
     ON_SELF,
     .run = cmd_client_reply,
     .args = "<ON | OFF | SKIP>",
     .since = "3.2.0",
     .doc = "Says whether this connection wants replies."},
    {.name = "no-evict",
     .arity = 3,
     .flags = OVER_ALL,
     ON_SELF,
     .run = cmd_client_no_evict,
     .args = "<ON | OFF>",
     .since = "7.0.0",
     .doc = "Protects this connection when client memory runs short."},
    {.name = "no-touch",
     .arity = 3,
     .flags = SELF,
     ON_SELF,
     .run = cmd_client_no_touch,
     .args = "<ON | OFF>",
     .since = "7.2.0",
     .doc = "Says whether this connection's commands count as use of their keys."},
    {.name = "help",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     ON_SELF,
     .run = cmd_client_help,
     .since = "5.0.0",
     .doc = "Explains the subcommands of CLIENT."},
    {.name = NULL},
};
