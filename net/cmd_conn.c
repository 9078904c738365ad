/* The connection's own commands: who it is (AUTH, HELLO), what it speaks and where it points (SELECT), is it there.
 *
 * All run on the connection's thread and, except for PING and ECHO, as barriers: what they change must be seen by the
 * commands behind them and not by those before. Passwords are compared in time that does not depend on where they
 * differ, and these commands stay out of the slow log. */
#include "core/num.h"
#include "net/cmd_conn_priv.h"
#include "net/cmd_tables.h"
#include "net/move.h"
#include "net/runtime.h"
#include "shards/client_move.h"
#include "shards/shard.h"

#define WRONGPASS "WRONGPASS invalid username-password pair or user is disabled."

/* --- authentication --- */

/* Cost depends on the length that was sent, never on how much of it is right. */
static bool password_is_right(const struct shard *shard, struct slice given) {
    const char *password = shard->config->requirepass;
    size_t len = strlen(password);
    unsigned differs = len != given.len;
    for (size_t i = 0; i < given.len; i++)
        differs |= (unsigned)((unsigned char)given.ptr[i] ^ (unsigned char)(len ? password[i % len] : 0));
    return differs == 0;
}

/* The default user is the only one; without a password any will do for it, as in Redis. */
static bool authenticate(struct exec *x, struct slice user, struct slice password) {
    bool open = x->shard->config->requirepass[0] == 0;
    if (!slice_equal(user, SLICE("default")) || !(open || password_is_right(x->shard, password))) {
        reply_error(x, WRONGPASS);
        return false;
    }
    x->client->flags |= CLIENT_AUTHENTICATED;
    x->client->user = "default";
    return true;
}

static void cmd_auth(struct exec *x) {
    if (x->argc > 3) {
        reply_syntax_error(x);
        return;
    }
    if (x->argc == 2 && x->shard->config->requirepass[0] == 0) {
        reply_error(x, "ERR AUTH <password> called without any password configured for the default user. Are you sure "
                       "your configuration is correct?");
        return;
    }
    struct slice user = x->argc == 3 ? x->argv[1] : SLICE("default");
    if (authenticate(x, user, x->argv[x->argc - 1])) reply_ok(x);
}

/* --- HELLO --- */

static void reply_hello(struct exec *x) {
    reply_map(x, 7);
    reply_cstr(x, "server");
    reply_cstr(x, "redis");
    reply_cstr(x, "version");
    reply_cstr(x, SPOKEN_REDIS_VERSION);
    reply_cstr(x, "proto");
    reply_int(x, x->client->resp);
    reply_cstr(x, "id");
    reply_int(x, (int64_t)x->client->id);
    reply_cstr(x, "mode");
    reply_cstr(x, x->client->flags & CLIENT_ENDPOINT ? "cluster" : "standalone");
    reply_cstr(x, "role");
    reply_cstr(x, "master");
    reply_cstr(x, "modules");
    reply_array(x, 0);
}

/* 0 when no version was named; false when an error was replied. */
static bool hello_version(struct exec *x, int64_t *version) {
    *version = 0;
    if (x->argc < 2) return true;
    if (!num_parse_i64(x->argv[1], version)) {
        reply_error(x, "ERR Protocol version is not an integer or out of range");
        return false;
    }
    if (*version == 2 || *version == 3) return true;
    reply_error(x, "NOPROTO unsupported protocol version");
    return false;
}

/* Options act as they come: an AUTH that succeeded stays, though a later option is wrong. */
static bool hello_options(struct exec *x) {
    for (uint32_t i = 2; i < x->argc; i++) {
        uint32_t more = x->argc - 1 - i;
        if (arg_is(x, i, "auth") && more >= 2) {
            if (!authenticate(x, x->argv[i + 1], x->argv[i + 2])) return false;
            i += 2;
        } else if (arg_is(x, i, "setname") && more >= 1) {
            if (!client_rename(x, x->argv[i + 1])) return false;
            i++;
        } else {
            reply_errorf(x, "ERR Syntax error in HELLO option '%.*s'", (int)MIN(x->argv[i].len, (size_t)512),
                         x->argv[i].ptr);
            return false;
        }
    }
    return true;
}

static void cmd_hello(struct exec *x) {
    int64_t version;
    if (!hello_version(x, &version) || !hello_options(x)) return;
    if (!(x->client->flags & CLIENT_AUTHENTICATED)) {
        reply_error(x, "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
                       "AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol "
                       "version at the same time");
        return;
    }
    if (version) x->client->resp = x->resp = (uint8_t)version;
    pubsub_settle(x->client);
    reply_hello(x);
}

/* --- the rest --- */

/* In RESP2 a client with subscriptions expects arrays only. */
static void reply_pong_as_message(struct exec *x) {
    reply_array(x, 2);
    reply_cstr(x, "pong");
    reply_bulk(x, x->argc == 2 ? x->argv[1] : slice_of("", 0));
}

static void cmd_ping(struct exec *x) {
    if (x->argc > 2)
        reply_wrong_arity(x);
    else if (x->client && x->client->flags & CLIENT_PUBSUB_ONLY)
        reply_pong_as_message(x);
    else if (x->argc == 2)
        reply_bulk(x, x->argv[1]);
    else
        reply_simple(x, "PONG");
}

static void cmd_echo(struct exec *x) {
    reply_bulk(x, x->argv[1]);
}

static void cmd_select(struct exec *x) {
    const char *error = exec_parse_db(x->argv[1], x->shard->db_count, &x->client->db);
    if (error)
        reply_error(x, error);
    else
        reply_ok(x);
}

static void cmd_reset(struct exec *x) {
    client_reset_session(x->client);
    x->resp = x->client->resp;
    reply_simple(x, "RESET");
}

static void cmd_quit(struct exec *x) {
    x->client->flags |= CLIENT_CLOSE_AFTER_REPLY;
    reply_ok(x);
}

#define CONNECTION .acl = ACL_CONNECTION, .where = ON_CONN, .group = "connection"
#define ANYTIME    (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST)

const struct command conn_commands[] = {
    {.name = "auth",
     .arity = -2,
     .flags = ANYTIME | CMD_NO_AUTH | CMD_SKIP_SLOWLOG | CMD_ALLOW_BUSY,
     CONNECTION,
     .run = cmd_auth,
     .secrets = SECRETS_ALL,
     .args = "[username] password",
     .since = "1.0.0",
     .cost = "O(N), N = length of the password",
     .doc = "Authenticates this connection."},
    {.name = "hello",
     .arity = -1,
     .flags = ANYTIME | CMD_NO_AUTH | CMD_SKIP_SLOWLOG | CMD_ALLOW_BUSY,
     CONNECTION,
     .run = cmd_hello,
     .secrets = SECRETS_OF_AUTH,
     .args = "[protover [AUTH username password] [SETNAME clientname]]",
     .since = "6.0.0",
     .cost = "O(1)",
     .doc = "Agrees on the protocol version and introduces both sides."},
    {.name = "ping",
     .arity = -1,
     .flags = CMD_FAST | CMD_NO_WAIT | CMD_IN_PUBSUB,
     CONNECTION,
     .run = cmd_ping,
     .args = "[message]",
     .since = "1.0.0",
     .cost = "O(1)",
     .doc = "Answers, to show that the server is there.",
     .tips = "request_policy:all_shards response_policy:all_succeeded"},
    {.name = "echo",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_WAIT,
     CONNECTION,
     .run = cmd_echo,
     .args = "message",
     .since = "1.0.0",
     .cost = "O(N), N = length of the message",
     .doc = "Returns the message."},
    {.name = "select",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
     CONNECTION,
     .run = cmd_select,
     .args = "index",
     .since = "1.0.0",
     .cost = "O(1)",
     .doc = "Chooses the database of this connection."},
    {.name = "reset",
     .arity = 1,
     .flags = ANYTIME | CMD_NO_AUTH | CMD_ALLOW_BUSY | CMD_IN_MULTI | CMD_IN_PUBSUB,
     CONNECTION,
     .run = cmd_reset,
     .since = "6.2.0",
     .cost = "O(1)",
     .doc = "Puts this connection into the state of a new one."},
    {.name = "quit",
     .arity = -1,
     .flags = ANYTIME | CMD_NO_AUTH | CMD_ALLOW_BUSY | CMD_IN_MULTI | CMD_IN_PUBSUB,
     CONNECTION,
     .run = cmd_quit,
     .args = "",
     .since = "1.0.0",
     .cost = "O(1)",
     .doc = "Closes the connection once all replies are sent."},
    {.name = "client",
     .arity = -2,
     .where = ON_CONN,
     .subs = client_subs,
     .group = "connection",
     .since = "2.4.0",
     .doc = "Holds the commands about connections."},
    {.name = "sherd.arrive",
     .arity = 3 + CLIENT_LUGGAGE_ARGS,
     .flags = CMD_INTERNAL,
     .where = ON_CONN,
     .run = cmd_internal_arrive},
    {.name = "sherd.kill",
     .arity = -4,
     .flags = CMD_INTERNAL,
     .where = ON_ALL,
     .merge = MERGE_SUM,
     .run = cmd_internal_kill},
    {.name = NULL},
};
