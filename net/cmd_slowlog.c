/* SLOWLOG: each shard keeps its own ring (shards/slowlog.h); GET asks all of them and puts the newest first.
 *
 * What a shard answers to GET are pairs: the moment in microseconds, by which the entries are sorted at home, and the
 * entry as the client will see it.
 *
 * Ids are unique over the server, id * shards + shard, and grow with time within a shard. slowlog-max-len is a promise
 * for the server as a whole, so what is more than that over all rings is not shown. */
#include "core/num.h"
#include "net/cmd_server_priv.h"
#include "shards/gather.h"
#include "shards/shard.h"
#include <stdlib.h>

#define COUNT_DEFAULT 10

static uint32_t limit_of(const struct shard *shard) {
    int64_t max = shard->config->slowlog_max_len;
    return max < 0 || max > UINT32_MAX ? UINT32_MAX : (uint32_t)max;
}

/* How many entries GET asks for. False: not a count. */
static bool count_of(const struct slice *argv, uint32_t argc, uint32_t *count) {
    int64_t value = COUNT_DEFAULT;
    if (argc == 3 && (!num_parse_i64(argv[2], &value) || value < -1)) return false;
    *count = value < 0 || value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
    return true;
}

static void write_entry(struct exec *x, const struct slow_entry *entry) {
    reply_int(x, (int64_t)entry->time_us);
    reply_array(x, 6);
    reply_int(x, (int64_t)(entry->id * x->shard->count + x->shard->id));
    reply_int(x, (int64_t)entry->time_s);
    reply_int(x, (int64_t)entry->micros);
    reply_array(x, entry->argc);
    for (uint32_t i = 0; i < entry->argc; i++) reply_bulk(x, entry->argv[i]);
    reply_cstr(x, entry->client);
    reply_cstr(x, entry->name);
}

static void cmd_slowlog_get(struct exec *x) {
    const struct slowlog *log = &x->shard->slowlog;
    uint32_t count;
    if (x->argc > 3) {
        reply_error(x, "ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.");
        return;
    }
    if (!count_of(x->argv, x->argc, &count)) {
        reply_error(x, "ERR count should be greater than or equal to -1");
        return;
    }
    count = MIN(count, log->count);
    reply_array(x, 2 * (uint64_t)count);
    for (uint32_t i = 0; i < count; i++) write_entry(x, slowlog_at(log, i));
}

/* --- joining: an entry of a part, and what it is sorted by --- */

struct dated {
    int64_t time_us, time_s, id;
    struct slice bytes;
};

static int newest_first(const void *a, const void *b) {
    const struct dated *x = a, *y = b;
    if (x->time_us != y->time_us) return x->time_us > y->time_us ? -1 : 1;
    if (x->time_s != y->time_s) return x->time_s > y->time_s ? -1 : 1;
    return x->id > y->id ? -1 : x->id < y->id;
}

static struct dated next_dated(struct slice *rest) {
    struct dated dated;
    struct slice fields;
    ASSERT(gather_reply_int(gather_next_element(rest), &dated.time_us));
    dated.bytes = gather_next_element(rest);
    ASSERT(gather_reply_array(dated.bytes, &fields) >= 2);
    ASSERT(gather_reply_int(gather_next_element(&fields), &dated.id));
    ASSERT(gather_reply_int(gather_next_element(&fields), &dated.time_s));
    return dated;
}

static void merge_slowlog_get(struct gather *gather) {
    struct slice rest;
    uint32_t total = 0, count = COUNT_DEFAULT, n = 0;
    for (uint32_t i = 0; i < gather->parts; i++) {
        if (gather_reply_is_error(gather_reply(gather, i))) {
            buf_append_slice(gather_out(gather), gather_reply(gather, i));
            return;
        }
        total += (uint32_t)gather_reply_array(gather_reply(gather, i), &rest) / 2;
    }
    ASSERT(count_of(gather->argv, gather->argc, &count));
    size_t bytes = MAX(total, 1u) * sizeof(struct dated);
    struct dated *entries = heap_alloc(gather->home->heap, MEM_MESSAGE, bytes);
    for (uint32_t i = 0; i < gather->parts; i++) {
        int64_t left = gather_reply_array(gather_reply(gather, i), &rest);
        for (; left > 0; left -= 2) entries[n++] = next_dated(&rest);
    }
    ASSERT(n == total);
    qsort(entries, total, sizeof *entries, newest_first);
    count = MIN(MIN(count, total), limit_of(gather->home));
    resp_array(gather_out(gather), count);
    for (uint32_t i = 0; i < count; i++) buf_append_slice(gather_out(gather), entries[i].bytes);
    heap_free(gather->home->heap, MEM_MESSAGE, entries, bytes);
}

static void cmd_slowlog_len(struct exec *x) {
    reply_int(x, x->shard->slowlog.count);
}

static void merge_slowlog_len(struct gather *gather) {
    int64_t sum = 0, part;
    for (uint32_t i = 0; i < gather->parts; i++)
        if (gather_reply_int(gather_reply(gather, i), &part)) sum += part;
    resp_int(gather_out(gather), MIN(sum, (int64_t)limit_of(gather->home)));
}

static void cmd_slowlog_reset(struct exec *x) {
    slowlog_reset(&x->shard->slowlog);
    reply_ok(x);
}

static void cmd_slowlog_help(struct exec *x) {
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        NULL,
    };
    reply_help(x, lines);
}

#define ADMIN (CMD_ADMIN | CMD_LOADING | CMD_STALE)

const struct command slowlog_subs[] = {
    {.name = "get",
     .arity = -2,
     .flags = ADMIN,
     .where = ON_ALL,
     .merge = MERGE_CUSTOM,
     .run = cmd_slowlog_get,
     .merge_with = merge_slowlog_get,
     .args = "[count]",
     .since = "2.2.12",
     .cost = "O(N), N = entries returned",
     .doc = "Returns the latest slow commands.",
     .tips = "request_policy:all_nodes nondeterministic_output"},
    {.name = "len",
     .arity = 2,
     .flags = ADMIN,
     .where = ON_ALL,
     .merge = MERGE_CUSTOM,
     .run = cmd_slowlog_len,
     .merge_with = merge_slowlog_len,
     .since = "2.2.12",
     .cost = "O(1)",
     .doc = "Counts the entries of the slow log.",
     .tips = "request_policy:all_nodes response_policy:agg_sum nondeterministic_output"},
    {.name = "reset",
     .arity = 2,
     .flags = ADMIN,
     .where = ON_ALL,
     .merge = MERGE_OK,
     .run = cmd_slowlog_reset,
     .since = "2.2.12",
     .cost = "O(N), N = entries",
     .doc = "Empties the slow log.",
     .tips = "request_policy:all_nodes response_policy:all_succeeded"},
    {.name = "help",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .where = ON_CONN,
     .run = cmd_slowlog_help,
     .since = "6.2.0",
     .cost = "O(1)",
     .doc = "Explains the subcommands of SLOWLOG."},
    {.name = NULL},
};
