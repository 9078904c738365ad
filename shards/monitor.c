/* MONITOR: the line of a command, and the command itself. The time is that of the turn, in milliseconds. */
#include "shards/monitor.h"
#include "shards/cmd_tables.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/pubsub_priv.h"
#include "shards/route.h"
#include "shards/shard.h"
#include <stdio.h>

#define KEEP_LINE 4096
/* Bytes of a command's arguments, about. What is longer is cut: a turn has to end, and a line may be four times as long
 * as what it shows. */
#define SHOWN_MAX (1024 * 1024)

static bool is_plain(char c) {
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

static void quote_byte(struct buf *out, char c) {
    static const char named[] = "\n\r\t\a\b\\\"", names[] = "nrtab\\\"";
    const char *found = c ? strchr(named, c) : NULL;
    if (found)
        buf_printf(out, "\\%c", names[found - named]);
    else
        buf_printf(out, "\\x%02x", (unsigned)(unsigned char)c);
}

/* In double quotes, as redis-cli would read it. */
static void quote(struct buf *out, struct slice text) {
    buf_append_literal(out, "\"");
    for (size_t at = 0; at < text.len;) {
        size_t plain = 0;
        while (at + plain < text.len && is_plain(text.ptr[at + plain])) plain++;
        buf_append(out, text.ptr + at, plain);
        at += plain;
        if (at < text.len) quote_byte(out, text.ptr[at++]);
    }
    buf_append_literal(out, "\"");
}

/* How many of the arguments from here on are secret. */
static uint32_t secrets_at(const struct command *row, const struct slice *argv, uint32_t argc, uint32_t at) {
    switch ((enum command_secrets)row->secrets) {
    case SECRETS_ALL: return argc - at;
    case SECRETS_OF_AUTH: return slice_is(argv[at - 1], "auth") ? MIN(argc - at, 2u) : 0;
    default: return 0;
    }
}

/* Cut as the slow log cuts. */
static void write_arguments(struct buf *line, const struct command *row, const struct slice *argv, uint32_t argc) {
    uint32_t secret = 0;
    size_t left = SHOWN_MAX;
    for (uint32_t i = 0; i < argc; i++) {
        if (left == 0) {
            buf_printf(line, " ... (%u more arguments)", argc - i);
            return;
        }
        if (i > 0 && secret == 0) secret = secrets_at(row, argv, argc, i);
        struct slice text = secret ? SLICE("(redacted)") : argv[i];
        size_t shown = MIN(text.len, left);
        buf_append_literal(line, " ");
        quote(line, slice_of(text.ptr, shown));
        if (shown < text.len) buf_printf(line, "... (%zu more bytes)", text.len - shown);
        left -= MIN(shown + 1, left);
        secret -= secret > 0;
    }
}

static void write_line(struct buf *line, const struct client *client, const struct command *row,
                       const struct slice *argv, uint32_t argc) {
    uint64_t now_ms = client->home->now_ms;
    char address[128] = "";
    client->carrier->address(client, false, address, sizeof address);
    if (client->flags & CLIENT_UNIX_SOCKET)
        snprintf(address, sizeof address, "unix:%s", client->home->config->unixsocket);
    buf_printf(line, "+%llu.%06u [%u %s]", (unsigned long long)(now_ms / 1000), (unsigned)(now_ms % 1000) * 1000,
               client->db, address);
    write_arguments(line, row, argv, argc);
    buf_append_literal(line, "\r\n");
}

void monitor_show(struct client *client, const struct command_slot *slot, const struct slice *argv, uint32_t argc) {
    struct shard *shard = client->home;
    struct buf *line = &shard->pubsub.channel;
    if (!client->carrier || slot->row->flags & (CMD_ADMIN | CMD_SKIP_MONITOR)) return;
    buf_reset(line, KEEP_LINE);
    write_line(line, client, slot->row, argv, argc);
    pubsub_deliver_line(shard, buf_slice(line));
    for (uint64_t left = pubsub_homes(shard, TOPIC_MONITOR, MONITOR_TOPIC); left; left &= left - 1)
        pubsub_send(shard, (uint32_t)__builtin_ctzll(left), TOPIC_MONITOR, MONITOR_TOPIC, buf_slice(line));
}

/* --- MONITOR --- */

#define NOT_INSIDE "ERR MONITOR isn't allowed for DENY BLOCKING client"

static void monitor_across(struct gather *g) {
    static const struct slice name = MONITOR_TOPIC;
    if (g->parent) {
        gather_error(g, NOT_INSIDE);
        return;
    }
    if (g->step == 0) {
        if (g->flags & CLIENT_MONITOR || pubsub_tell_others(g, TOPIC_MONITOR, &name, 1)) return;
    }
    pubsub_subscribe(g->home, g->client, TOPIC_MONITOR, &name, 1, gather_out(g));
}

static void cmd_monitor(struct exec *x) {
    static const struct slice name = MONITOR_TOPIC;
    if (x->flags & CLIENT_NO_BLOCK) {
        reply_error(x, NOT_INSIDE);
    } else if (!(x->flags & CLIENT_MONITOR)) { /* else it is not even answered */
        struct buf ask = {0};
        (void)pubsub_prepare(x->shard, TOPIC_MONITOR, &name, 1, &ask);
        pubsub_subscribe(x->shard, x->client, TOPIC_MONITOR, &name, 1, x->out);
    }
}

const struct command monitor_commands[] = {
    {.name = "monitor",
     .arity = 1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_ROUTED,
     .where = ON_CONN,
     .route = pubsub_route_subscribe,
     .across = monitor_across,
     .run = cmd_monitor,
     .group = "server",
     .since = "1.0.0",
     .cost = "O(1)",
     .doc = "Shows all commands that the server runs, until RESET or the connection's end."},
    {.name = NULL},
};
