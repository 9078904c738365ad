/* DEBUG: what tests and the curious need. One command with across, because its subcommands run in different places: on
 * the owner of a key, on all shards, or nowhere. Whether it is allowed at all (enable-debug-command) is asked once,
 * at home.
 *
 * SLEEP delays the reply of this connection and nothing else: no thread sleeps, since that would stop clients that
 * have nothing to do with the test. */
#include "core/glob.h"
#include "core/num.h"
#include "net/cmd_server_priv.h"
#include "net/runtime.h"
#include "shards/gather.h"
#include "shards/list.h"
#include "shards/shard.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- the parts --- */

/* sherd.sleep seconds: done when the shard's clock has passed the deadline in slice[0]. */
void cmd_internal_sleep(struct exec *x) {
    if (x->slice[0] == 0) {
        double seconds = 0;
        if (!num_parse_double(x->argv[1], &seconds) || !(seconds > 0)) seconds = 0;
        x->slice[0] = x->shard->now_ms + (uint64_t)(MIN(seconds, 1e9) * 1000);
    }
    if (x->shard->now_ms < x->slice[0])
        exec_continue_later(x);
    else
        reply_ok(x);
}

/* Bytes that Redis would write for the value, without compression; for a list they are about that. */
static size_t serialized_length(const struct entry *entry) {
    if (entry->type == TYPE_LIST) {
        struct list_shape shape = list_shape_of(entry);
        return shape.bytes + 1 + 10 * shape.nodes; /* a listpack, its length and kind */
    }
    if (entry->type != TYPE_STRING) return entry_bytes(entry);
    if (entry->encoding == ENC_INT) {
        int64_t value = entry_int(entry);
        if (value >= INT8_MIN && value <= INT8_MAX) return 2;
        if (value >= INT16_MIN && value <= INT16_MAX) return 3;
        if (value >= INT32_MIN && value <= INT32_MAX) return 5;
    }
    size_t len = entry_string_len(entry);
    return len + (len < 64 ? 1 : len < 16384 ? 2 : 5);
}

/* What Redis adds for lists. Nothing is compressed here. */
static void describe_list(struct exec *x, const struct entry *entry, char *text, size_t room) {
    struct list_shape shape = list_shape_of(entry);
    snprintf(text, room, " ql_nodes:%llu ql_avg_node:%.2f ql_listpack_max:%d ql_compressed:0 ql_uncompressed_size:%llu",
             (unsigned long long)shape.nodes, (double)list_len(entry) / (double)shape.nodes,
             x->shard->config->list_max_listpack_size, (unsigned long long)(shape.bytes + 7 * shape.nodes));
}

/* sherd.debug-object key */
void cmd_internal_debug_object(struct exec *x) {
    struct key_ref ref;
    const struct entry *entry = exec_open_any(x, 1, &ref);
    if (!entry) {
        reply_error(x, "ERR no such key");
        return;
    }
    char text[512], more[256] = "";
    uint32_t idle = (x->shared->access - entry->access) & 0xFFFFFF;
    if (entry->type == TYPE_LIST) describe_list(x, entry, more, sizeof more);
    snprintf(text, sizeof text, "Value at:%p refcount:1 encoding:%s serializedlength:%zu lru:%u lru_seconds_idle:%u%s",
             (const void *)entry, entry_encoding_name(entry), serialized_length(entry), entry->access, idle, more);
    reply_simple(x, text);
}

/* sherd.active-expire 0|1 */
void cmd_internal_active_expire(struct exec *x) {
    x->shard->expire_off = slice_equal(x->argv[1], SLICE("0"));
    reply_ok(x);
}

/* sherd.htstats db: this shard's tables. Walks them: as slow as in Redis. */
void cmd_internal_htstats(struct exec *x) {
    int64_t db;
    struct hashtable_stats stats = {0};
    ASSERT(num_parse_i64(x->argv[1], &db));
    const struct keyspace *keys = shard_db_peek(x->shard, (uint32_t)db);
    if (keys) keyspace_table_stats(keys, &stats);
    struct buf text;
    buf_init(&text, x->shard->heap, MEM_MESSAGE);
    buf_printf(&text, "[Dictionary HT] shard %u\n", x->shard->id);
    if (!keys || keyspace_count(keys) == 0) {
        buf_append_literal(&text, "No stats available for empty dictionaries\n");
    } else {
        buf_printf(&text,
                   " table size: %llu\n number of elements: %llu\n overflow buckets: %llu\n overflow elements: %llu\n"
                   " max chain length: %llu\n index bytes: %zu\n resizing: %s\n",
                   (unsigned long long)stats.buckets, (unsigned long long)keyspace_count(keys),
                   (unsigned long long)stats.overflow_buckets, (unsigned long long)stats.overflow_entries,
                   (unsigned long long)stats.longest_chain, keyspace_index_bytes(keys), stats.resizing ? "yes" : "no");
        buf_printf(&text, "[Expires HT] shard %u\n number of elements: %llu\n", x->shard->id,
                   (unsigned long long)keyspace_timed_count(keys));
    }
    resp_verbatim(x->out, x->resp, "txt", buf_slice(&text));
    buf_deinit(&text);
}

/* sherd.txn: what this shard holds of commands over several keys. Checks it all first. */
void cmd_internal_txn(struct exec *x) {
    const struct shard *shard = x->shard;
    shard_check_transactions(shard);
    reply_array(x, 5);
    reply_int(x, locks_count(shard->locks) - shard->parked);
    reply_int(x, shard->parked);
    reply_int(x, shard->waiters.count);
    reply_int(x, shard->watchers);
    reply_int(x, shard->txns.count);
}

/* --- at home --- */

static bool is_allowed(const struct gather *gather) {
    enum config_permission permission = gather->home->config->enable_debug_command;
    return permission == PERMIT_YES || (permission == PERMIT_LOCAL && net_client_is_local(gather->client));
}

static void debug_ok(struct gather *gather) {
    resp_simple(gather_out(gather), SLICE("OK"));
}

static void send_all(struct gather *gather, const char *name, const struct slice *argument) {
    for (uint32_t i = 0; i < gather_shards(gather); i++) gather_send(gather, i, name, argument, 1);
}

/* A map of numbers to whether they are one; an array or a set of the numbers. */
static void write_numbers(struct buf *out, int resp, bool booleans) {
    for (int i = 0; i < 3; i++) {
        resp_int(out, i);
        if (booleans) resp_bool(out, resp, i == 1);
    }
}

static void write_aggregate(struct buf *out, int resp, struct slice name) {
    bool map = slice_is(name, "map");
    if (map)
        resp_map(out, resp, 3);
    else if (slice_is(name, "set"))
        resp_set(out, resp, 3);
    else
        resp_array(out, 3);
    write_numbers(out, resp, map);
}

/* What comes in front of a reply, and the reply. */
static void write_attribute(struct buf *out, int resp) {
    if (resp > 2) {
        buf_append_literal(out, "|1\r\n");
        resp_bulk(out, SLICE("key-popularity"));
        resp_array(out, 2);
        resp_bulk(out, SLICE("key:123"));
        resp_int(out, 90);
    }
    resp_bulk(out, SLICE("Some real reply following the attribute"));
}

static void write_push(struct buf *out, int resp) {
    resp_push(out, resp, 2);
    resp_bulk(out, SLICE("server-cpu-usage"));
    resp_int(out, 42);
    resp_bulk(out, SLICE("Some real reply following the push reply"));
}

static void write_big_number(struct buf *out, int resp) {
    static const struct slice digits = SLICE_INIT("1234567999999999999999999999999999999");
    if (resp == 2) {
        resp_bulk(out, digits);
        return;
    }
    buf_append_literal(out, "(");
    buf_append_slice(out, digits);
    buf_append_literal(out, "\r\n");
}

/* One of each kind of reply, for who tests a client. */
static void debug_protocol(struct gather *gather) {
    struct buf *out = gather_out(gather);
    struct slice name = gather->argv[2];
    int resp = gather->resp;
    if (slice_is(name, "string"))
        resp_bulk(out, SLICE("Hello World"));
    else if (slice_is(name, "integer"))
        resp_int(out, 12345);
    else if (slice_is(name, "double"))
        resp_double(out, resp, 3.141);
    else if (slice_is(name, "null"))
        resp_null(out, resp);
    else if (slice_is(name, "array") || slice_is(name, "set") || slice_is(name, "map"))
        write_aggregate(out, resp, name);
    else if (slice_is(name, "attrib"))
        write_attribute(out, resp);
    else if (slice_is(name, "push") && resp > 2)
        write_push(out, resp);
    else if (slice_is(name, "push"))
        gather_error(gather, "ERR RESP2 is not supported by this command");
    else if (slice_is(name, "verbatim"))
        resp_verbatim(out, resp, "txt", SLICE("This is a verbatim\nstring"));
    else if (slice_is(name, "true") || slice_is(name, "false"))
        resp_bool(out, resp, slice_is(name, "true"));
    else if (slice_is(name, "bignum"))
        write_big_number(out, resp);
    else
        gather_error(gather, "ERR Wrong protocol type name. Please use one of the following: "
                             "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false");
}

static void debug_sleep(struct gather *gather) {
    gather_send(gather, gather->home->id, "sherd.sleep", &gather->argv[2], 1);
}

static void debug_object(struct gather *gather) {
    gather_send(gather, gather_owner(gather, 2), "sherd.debug-object", &gather->argv[2], 1);
}

static void debug_active_expire(struct gather *gather) {
    char digits[NUM_I64_MAX + 1] = "";
    memcpy(digits, gather->argv[2].ptr, MIN(gather->argv[2].len, sizeof digits - 1));
    struct slice argument = atoi(digits) == 0 ? SLICE("0") : SLICE("1"); /* atoi as Redis: anything else is 0 */
    send_all(gather, "sherd.active-expire", &argument);
}

static void debug_htstats(struct gather *gather) {
    int64_t db;
    if (!num_parse_i64(gather->argv[2], &db))
        gather_error(gather, "ERR value is not an integer or out of range");
    else if (db < 0 || db >= (int64_t)gather->home->db_count)
        gather_error(gather, "ERR Out of range database");
    else
        send_all(gather, "sherd.htstats", &gather->argv[2]);
}

static void debug_txn(struct gather *gather) {
    for (uint32_t i = 0; i < gather_shards(gather); i++) gather_send(gather, i, "sherd.txn", NULL, 0);
}

static void debug_stringmatch(struct gather *gather) {
    resp_int(gather_out(gather), glob_match(gather->argv[2], gather->argv[3], false));
}

static void debug_packed_threshold(struct gather *gather) {
    uint64_t bytes;
    if (num_parse_memory(gather->argv[2], &bytes) && bytes <= UINT32_MAX)
        debug_ok(gather); /* nothing to set here */
    else
        gather_error(gather, "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
}

/* The text up to a line end becomes the error, code included. */
static void debug_error(struct gather *gather) {
    resp_errorf(gather_out(gather), "%.*s", (int)MIN(gather->argv[2].len, (size_t)512), gather->argv[2].ptr);
}

static void debug_log(struct gather *gather) {
    log_line(gather->home->log, LOG_LEVEL_WARNING, "DEBUG LOG: %.*s", (int)MIN(gather->argv[2].len, (size_t)512),
             gather->argv[2].ptr);
    debug_ok(gather);
}

static void debug_reload(struct gather *gather) {
    gather_error(gather, "ERR DEBUG RELOAD is not possible: a server loads when it starts, and not while it serves");
}

static const char *const help_lines[] = {
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CHANGE-REPL-ID",
    "    Accepted; there is no replication to change.",
    "ERROR <string>",
    "    Return a Redis protocol error with <string> as message. Useful for clients",
    "    unit tests to simulate Redis errors.",
    "HTSTATS <dbid>",
    "    Return hash table statistics of the specified database, shard by shard.",
    "JMAP",
    "    Accepted; does nothing.",
    "LOG <message>",
    "    Write <message> to the server log.",
    "OBJECT <key>",
    "    Show low level info about `key` and associated value.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    Accepted; does nothing.",
    "RELOAD",
    "    Not possible.",
    "PROTOCOL <type>",
    "    Reply with one of the kind: string, integer, double, bignum, null, array, set,",
    "    map, attrib, push, verbatim, true, false.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Setting it to 0 disables expiring keys in background when they are not",
    "    accessed (otherwise the Redis behavior). Setting it to 1 reenables back the",
    "    default.",
    "SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    Accepted; does nothing.",
    "SLEEP <seconds>",
    "    Delay the reply of this connection for <seconds>. Decimals allowed. Other",
    "    connections are served meanwhile.",
    "STRINGMATCH-LEN <pattern> <string>",
    "    Return 1 if the glob-like <pattern> matches <string>.",
    "TXN",
    "    Check locks, waiting and watched keys of all shards, and count them.",
    "HELP",
    "    Prints this help.",
};

static void debug_help(struct gather *gather) {
    resp_array(gather_out(gather), ARRAY_LEN(help_lines));
    for (size_t i = 0; i < ARRAY_LEN(help_lines); i++) resp_simple(gather_out(gather), slice_of_cstr(help_lines[i]));
}

/* argc 0: any from 2 on. */
static const struct {
    const char *name;
    uint32_t argc;
    void (*start)(struct gather *gather);
} subs[] = {
    {"sleep", 3, debug_sleep},
    {"object", 3, debug_object},
    {"set-active-expire", 3, debug_active_expire},
    {"htstats", 3, debug_htstats},
    {"stringmatch-len", 4, debug_stringmatch},
    {"txn", 2, debug_txn},
    {"jmap", 2, debug_ok},
    {"change-repl-id", 2, debug_ok},
    {"quicklist-packed-threshold", 3, debug_packed_threshold},
    {"set-disable-deny-scripts", 3, debug_ok},
    {"error", 3, debug_error},
    {"protocol", 3, debug_protocol},
    {"log", 3, debug_log},
    {"reload", 0, debug_reload},
    {"help", 2, debug_help},
};

static void debug_start(struct gather *gather) {
    struct slice name = gather->argv[1];
    for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
        bool fits = subs[i].argc == 0 || subs[i].argc == gather->argc;
        if (!fits || !slice_equal_nocase(name, slice_of_cstr(subs[i].name))) continue;
        subs[i].start(gather);
        return;
    }
    char text[320];
    snprintf(text, sizeof text, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG HELP.",
             (int)MIN(name.len, (size_t)128), name.ptr);
    gather_error(gather, text);
}

static const char *const txn_names[] = {"locks", "requests", "waiters", "watched", "gathers"};

/* Sums of what the shards counted. */
static void debug_finish_txn(struct gather *gather) {
    int64_t sums[ARRAY_LEN(txn_names)] = {0}, one;
    struct buf text;
    for (uint32_t part = 0; part < gather->parts; part++) {
        struct slice rest;
        int64_t count = gather_reply_array(gather_reply(gather, part), &rest);
        for (int64_t i = 0; i < count; i++)
            if (gather_reply_int(gather_next_element(&rest), &one)) sums[i] += one;
    }
    buf_init(&text, gather->home->heap, MEM_MESSAGE);
    for (size_t i = 0; i < ARRAY_LEN(sums); i++) buf_printf(&text, "%s:%lld\n", txn_names[i], (long long)sums[i]);
    resp_verbatim(gather_out(gather), gather->resp, "txt", buf_slice(&text));
    buf_deinit(&text);
}

/* All parts' texts together, or the first part's reply: they are all the same. */
static void debug_finish(struct gather *gather) {
    struct slice text;
    if (gather_reply_array(gather_reply(gather, 0), &text) == ARRAY_LEN(txn_names)) {
        debug_finish_txn(gather);
        return;
    }
    if (!gather_reply_bulk(gather_reply(gather, 0), &text)) {
        buf_append_slice(gather_out(gather), gather_reply(gather, 0));
        return;
    }
    struct buf all;
    buf_init(&all, gather->home->heap, MEM_MESSAGE);
    for (uint32_t i = 0; i < gather->parts; i++)
        if (gather_reply_bulk(gather_reply(gather, i), &text)) buf_append_slice(&all, text);
    resp_verbatim(gather_out(gather), gather->resp, "txt", buf_slice(&all));
    buf_deinit(&all);
}

void debug_across(struct gather *gather) {
    if (gather->step > 0) {
        debug_finish(gather);
    } else if (!is_allowed(gather)) {
        gather_error(gather,
                     "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you "
                     "can run it from a local connection, otherwise you need to set this option in the "
                     "configuration file, and then restart the server.");
    } else {
        debug_start(gather);
    }
}
