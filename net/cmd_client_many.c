/* CLIENT LIST and KILL: each shard looks through its own connections.
 *
 * LIST runs on all shards and the texts are joined. Meanwhile no connection moves from one to another (net/move.h); UNBLOCK
 * need not see to that, as one that waits for keys does not move. KILL has two answers, a number for the filter form and OK or an
 * error for the old "KILL ip:port"; so the home shard reads the arguments first and sends every shard the same
 * filters as "sherd.kill asker-id old-form filter..." whose replies are the numbers of clients killed. */
#include "core/num.h"
#include "net/cmd_conn_priv.h"
#include "net/move.h"
#include "shards/blocked.h"
#include "shards/gather.h"
#include "shards/shard.h"
#include <stdio.h>

enum client_type { TYPE_ANY, TYPE_NORMAL, TYPE_REPLICA, TYPE_PUBSUB, TYPE_MASTER };

struct filter {
    enum client_type type;
    int64_t id, maxage;             /* 0: any */
    struct slice addr, laddr, user; /* ptr NULL: any */
    bool skip_me;
};

/* Until there are replicas there are two. */
static enum client_type type_of(const struct client *client) {
    return client->flags & CLIENT_PUBSUB ? TYPE_PUBSUB : TYPE_NORMAL;
}

static bool read_type(struct slice word, enum client_type *type) {
    if (slice_is(word, "normal"))
        *type = TYPE_NORMAL;
    else if (slice_is(word, "slave") || slice_is(word, "replica"))
        *type = TYPE_REPLICA;
    else if (slice_is(word, "pubsub"))
        *type = TYPE_PUBSUB;
    else if (slice_is(word, "master"))
        *type = TYPE_MASTER;
    else
        return false;
    return true;
}

/* --- LIST --- */

/* A killed one is as good as gone, though its socket may take a moment to close. */
static bool is_listed(const struct client *client) {
    return !(client->flags & CLIENT_CLOSE_NOW);
}

static void reply_lines(struct exec *x, struct buf *lines) {
    resp_verbatim(x->out, x->resp, "txt", buf_slice(lines));
    buf_deinit(lines);
}

static void list_type(struct exec *x, enum client_type type) {
    struct buf lines;
    buf_init(&lines, x->shard->heap, MEM_CLIENT_OUT);
    for (const struct client *client = x->shard->clients_first; client; client = client->next)
        if (is_listed(client) && (type == TYPE_ANY || type_of(client) == type)) client_describe(client, &lines);
    reply_lines(x, &lines);
}

static void list_ids(struct exec *x) {
    int64_t id;
    for (uint32_t i = 3; i < x->argc; i++) {
        if (num_parse_i64(x->argv[i], &id)) continue;
        reply_error(x, "ERR Invalid client ID");
        return;
    }
    struct buf lines;
    buf_init(&lines, x->shard->heap, MEM_CLIENT_OUT);
    for (uint32_t i = 3; i < x->argc; i++) {
        if (!num_parse_i64(x->argv[i], &id)) continue;
        for (const struct client *client = x->shard->clients_first; client; client = client->next)
            if (is_listed(client) && client->id == (uint64_t)id) client_describe(client, &lines);
    }
    reply_lines(x, &lines);
}

void cmd_client_list(struct exec *x) {
    enum client_type type = TYPE_ANY;
    if (x->argc == 2) {
        list_type(x, type);
    } else if (x->argc == 4 && arg_is(x, 2, "type")) {
        if (read_type(x->argv[3], &type))
            list_type(x, type);
        else
            reply_errorf(x, "ERR Unknown client type '%.*s'", (int)MIN(x->argv[3].len, (size_t)512), x->argv[3].ptr);
    } else if (x->argc > 3 && arg_is(x, 2, "id")) {
        list_ids(x);
    } else {
        reply_syntax_error(x);
    }
}

void client_list_across(struct gather *gather) {
    switch (move_look(gather)) {
    case LOOK_WAITS: return;
    case LOOK_ASKS:
        for (uint32_t i = 0; i < gather_shards(gather); i++)
            gather_send(gather, i, "client", gather->argv + 1, gather->argc - 1);
        return;
    case LOOK_DONE: gather_merge(gather); return;
    }
}

/* --- KILL --- */

struct refusal {
    char text[640];
};

static bool refuse(struct refusal *refusal, const char *text) {
    snprintf(refusal->text, sizeof refusal->text, "%s", text);
    return false;
}

/* The same with the word that is wrong in quotes behind it. */
static bool refuse_word(struct refusal *refusal, const char *text, struct slice word) {
    snprintf(refusal->text, sizeof refusal->text, "%s '%.*s'", text, (int)MIN(word.len, (size_t)512),
             word.len ? word.ptr : "");
    return false;
}

/* One option and its value. */
static bool read_option(struct slice option, struct slice value, struct filter *filter, struct refusal *refusal) {
    if (slice_is(option, "id")) {
        if (num_parse_i64(value, &filter->id) && filter->id >= 1) return true;
        return refuse(refusal, "ERR client-id should be greater than 0");
    }
    if (slice_is(option, "maxage")) {
        if (!num_parse_i64(value, &filter->maxage))
            return refuse(refusal, "ERR maxage is not an integer or out of range");
        return filter->maxage >= 1 || refuse(refusal, "ERR maxage should be greater than 0");
    }
    if (slice_is(option, "type"))
        return read_type(value, &filter->type) || refuse_word(refusal, "ERR Unknown client type", value);
    if (slice_is(option, "user")) {
        filter->user = value;
        return slice_equal(value, SLICE("default")) || refuse_word(refusal, "ERR No such user", value);
    }
    if (slice_is(option, "addr")) {
        filter->addr = value;
    } else if (slice_is(option, "laddr")) {
        filter->laddr = value;
    } else if (slice_is(option, "skipme") && (slice_is(value, "yes") || slice_is(value, "no"))) {
        filter->skip_me = slice_is(value, "yes");
    } else {
        return refuse(refusal, "ERR syntax error");
    }
    return true;
}

/* args: what follows KILL. One argument is the old form, an address, with which one may kill oneself. */
static bool read_filter(const struct slice *args, uint32_t count, struct filter *filter, struct refusal *refusal) {
    *filter = (struct filter){.skip_me = count > 1};
    if (count == 1) {
        filter->addr = args[0];
        return true;
    }
    for (uint32_t i = 0; i < count; i += 2) {
        if (i + 1 == count) return refuse(refusal, "ERR syntax error");
        if (!read_option(args[i], args[i + 1], filter, refusal)) return false;
    }
    return true;
}

static bool has_address(const struct client *client, bool local, struct slice wanted) {
    char address[128] = "";
    if (wanted.ptr == NULL) return true;
    if (client->carrier) client->carrier->address(client, local, address, sizeof address);
    return slice_equal(wanted, slice_of_cstr(address));
}

static bool is_meant(const struct client *client, const struct filter *filter, uint64_t asker) {
    if (client->flags & CLIENT_CLOSE_NOW) return false; /* on its way out */
    if (filter->skip_me && client->id == asker) return false;
    if (filter->id && client->id != (uint64_t)filter->id) return false;
    if (filter->type != TYPE_ANY && type_of(client) != filter->type) return false;
    if (filter->user.ptr && !slice_equal(filter->user, slice_of_cstr(client->user))) return false;
    if (filter->maxage) {
        uint64_t now = client->home->now_ms;
        if ((now - MIN(now, client->created_ms)) / 1000 < (uint64_t)filter->maxage) return false;
    }
    return has_address(client, false, filter->addr) && has_address(client, true, filter->laddr);
}

void cmd_client_unblock(struct exec *x) {
    int64_t id;
    bool error = x->argc == 4 && arg_is(x, 3, "error");
    if (x->argc > 4) {
        reply_errorf(x, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT HELP.",
                     (int)MIN(x->argv[1].len, (size_t)128), x->argv[1].ptr);
        return;
    }
    if (x->argc == 4 && !error && !arg_is(x, 3, "timeout")) {
        reply_error(x, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    if (!exec_int(x, 2, &id)) return;
    struct client *client = x->shard->clients_first;
    while (client && client->id != (uint64_t)id) client = client->next;
    struct slice nothing = client && client->resp == 3 ? SLICE("_\r\n") : SLICE("*-1\r\n");
    struct slice reply = error ? SLICE("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n") : nothing;
    bool ended = client && blocked_end(client, reply);
    if (ended && error) {
        error_stats_count(&x->shard->errors, SLICE("UNBLOCKED"));
        x->shard->stats.errors++;
    }
    /* Nothing is taken behind a command that waits. It failed also when it is told that its time is over, as in Redis. */
    if (ended) x->shard->command_stats[client->last_command->number].failed++;
    reply_int(x, ended);
}

/* sherd.kill asker-id filter...: kills on this shard and answers how many. */
void cmd_internal_kill(struct exec *x) {
    int64_t asker, killed = 0;
    struct filter filter;
    struct refusal refusal;
    ASSERT(num_parse_i64(x->argv[1], &asker));
    ASSERT(read_filter(x->argv + 3, x->argc - 3, &filter, &refusal)); /* home has checked it */
    for (struct client *client = x->shard->clients_first, *next; client; client = next) {
        next = client->next;
        if (!is_meant(client, &filter, (uint64_t)asker)) continue;
        killed++;
        if (client->id == (uint64_t)asker) { /* gets its answer first; the carrier looks when that is written */
            client->flags |= CLIENT_CLOSE_AFTER_REPLY;
            continue;
        }
        client->flags |= CLIENT_CLOSE_NOW;
        x->shard->host.attend(x->shard->host.ctx, client);
    }
    reply_int(x, killed);
}

static void kill_send(struct gather *gather) {
    size_t bytes = gather->argc * sizeof(struct slice);
    struct slice *args = heap_alloc(gather->home->heap, MEM_MESSAGE, bytes);
    char asker[NUM_U64_MAX];
    args[0] = slice_of(asker, num_format_u64(asker, gather->client->id));
    args[1] = gather->argc == 3 ? SLICE("old") : SLICE("new");
    memcpy(args + 2, gather->argv + 2, (gather->argc - 2) * sizeof(struct slice));
    for (uint32_t i = 0; i < gather_shards(gather); i++) gather_send(gather, i, "sherd.kill", args, gather->argc);
    heap_free(gather->home->heap, MEM_MESSAGE, args, bytes);
}

static void kill_reply(struct gather *gather) {
    int64_t killed = 0, part;
    for (uint32_t i = 0; i < gather->parts; i++)
        if (gather_reply_int(gather_reply(gather, i), &part)) killed += part;
    if (gather->argc > 3)
        resp_int(gather_out(gather), killed);
    else if (killed)
        resp_simple(gather_out(gather), SLICE("OK"));
    else
        gather_error(gather, "ERR No such client");
}

void client_kill_across(struct gather *gather) {
    struct filter filter;
    struct refusal refusal;
    if (gather->step == 0 && !read_filter(gather->argv + 2, gather->argc - 2, &filter, &refusal)) {
        gather_error(gather, refusal.text);
        return;
    }
    switch (move_look(gather)) {
    case LOOK_WAITS: return;
    case LOOK_ASKS: kill_send(gather); return;
    case LOOK_DONE: kill_reply(gather); return;
    }
}
