/* MEMORY: what a key takes, and what the server takes and for whom. "Allocated" is the sum over all heaps, by class of
 * owner; it is exact, because every allocation is counted (core/alloc.h). */
#include "core/num.h"
#include "net/cmd_info_priv.h"
#include "shards/exec.h"
#include "shards/pressure.h"
#include <stdio.h>

/* --- USAGE --- */

/* A key's share of the index: the table's bytes over its keys, but no more than a bucket in a table that is nearly
 * empty. */
static int64_t index_share(const struct keyspace *keys) {
    uint64_t count = keyspace_count(keys);
    return count ? (int64_t)MIN(keyspace_index_bytes(keys) / count, (uint64_t)CACHE_LINE) : 0;
}

/* SAMPLES is read and checked; entries know their exact size, so nothing is sampled. */
static void cmd_memory_usage(struct exec *x) {
    struct key_ref ref;
    for (uint32_t i = 3; i < x->argc; i += 2) {
        int64_t samples;
        if (!arg_is(x, i, "samples") || i + 1 == x->argc) {
            reply_syntax_error(x);
            return;
        }
        if (!exec_int(x, i + 1, &samples)) return;
        if (samples < 0) {
            reply_syntax_error(x);
            return;
        }
    }
    const struct entry *entry = exec_open_any(x, 2, &ref);
    if (entry)
        reply_int(x, (int64_t)entry_bytes(entry) + index_share(x->keys));
    else
        reply_null(x);
}

/* --- STATS --- */

struct stats {
    struct buf *out;
    int resp;
    uint64_t pairs;
};

static void stat_int(struct stats *s, const char *name, int64_t value) {
    resp_bulk(s->out, slice_of_cstr(name));
    resp_int(s->out, value);
    s->pairs++;
}

static void stat_double(struct stats *s, const char *name, double value) {
    resp_bulk(s->out, slice_of_cstr(name));
    resp_double(s->out, s->resp, value);
    s->pairs++;
}

static void stat_databases(struct stats *s, const struct totals *totals) {
    for (uint32_t i = 0; i < totals->db_count; i++) {
        const struct db_totals *db = &totals->db[i];
        char name[32];
        if (db->keys == 0) continue;
        snprintf(name, sizeof name, "db.%u", i);
        resp_bulk(s->out, slice_of_cstr(name));
        resp_map(s->out, s->resp, 3);
        s->pairs++;
        struct stats inner = {s->out, s->resp, 0};
        stat_int(&inner, "overhead.hashtable.main", (int64_t)db->index_bytes);
        stat_int(&inner, "overhead.hashtable.expires", 0); /* deadlines are in the entries */
        stat_int(&inner, "overhead.hashtable.slot-to-keys", 0);
    }
}

static void stat_allocator(struct stats *s, uint64_t used, uint64_t rss) {
    stat_int(s, "allocator.allocated", (int64_t)used);
    stat_int(s, "allocator.active", (int64_t)used);
    stat_int(s, "allocator.resident", (int64_t)used);
    stat_double(s, "allocator-fragmentation.ratio", 1);
    stat_int(s, "allocator-fragmentation.bytes", 0);
    stat_double(s, "allocator-rss.ratio", 1);
    stat_int(s, "allocator-rss.bytes", 0);
    stat_double(s, "rss-overhead.ratio", ratio(rss, used));
    stat_int(s, "rss-overhead.bytes", (int64_t)(rss - used));
    stat_double(s, "fragmentation", ratio(rss, used));
    stat_int(s, "fragmentation.bytes", (int64_t)(rss - used));
}

static void write_stats(struct stats *s, const struct totals *totals, const struct runtime_facts *facts) {
    uint64_t used = totals_used_memory(totals), data = totals_memory(totals, MEM_DATA);
    uint64_t peak = MAX(facts->used_peak, used), base = MIN(facts->used_startup, used), keys = totals_keys(totals);
    stat_int(s, "peak.allocated", (int64_t)peak);
    stat_int(s, "total.allocated", (int64_t)used);
    stat_int(s, "startup.allocated", (int64_t)base);
    stat_int(s, "replication.backlog", 0);
    stat_int(s, "clients.slaves", 0);
    stat_int(s, "clients.normal",
             (int64_t)(totals_memory(totals, MEM_CLIENT_IN) + totals_memory(totals, MEM_CLIENT_OUT)));
    stat_int(s, "cluster.links", 0);
    stat_int(s, "aof.buffer", (int64_t)totals_memory(totals, MEM_JOURNAL));
    stat_int(s, "lua.caches", 0);
    stat_int(s, "functions.caches", 0);
    stat_databases(s, totals);
    stat_int(s, "overhead.total", (int64_t)(used - data));
    stat_int(s, "keys.count", (int64_t)keys);
    stat_int(s, "keys.bytes-per-key", (int64_t)(keys ? (used - base) / keys : 0));
    stat_int(s, "dataset.bytes", (int64_t)data);
    stat_double(s, "dataset.percentage", ratio(data, used - base) * 100);
    stat_double(s, "peak.percentage", ratio(used, peak) * 100);
    for (int m = 0; m < MEM_CLASSES; m++) {
        char name[64];
        snprintf(name, sizeof name, "class.%s", mem_class_name((enum mem_class)m));
        stat_int(s, name, (int64_t)totals_memory(totals, (enum mem_class)m));
    }
    stat_int(s, "ceiling.bytes", (int64_t)facts->memory.ceiling);
    stat_int(s, "ceiling.free", facts->memory.ceiling ? facts->memory.free : 0);
    stat_int(s, "clients.share", (int64_t)facts->memory.client_share);
    stat_allocator(s, used, facts->rss);
}

static void stats_across(struct gather *gather) {
    if (gather->step == 0) {
        totals_request(gather, 0);
        return;
    }
    struct totals *totals = totals_new(gather);
    struct runtime_facts facts = {0};
    struct buf body;
    buf_init(&body, gather->home->heap, MEM_MESSAGE);
    struct stats s = {&body, gather->resp, 0};
    net_runtime_facts(gather->home, &facts);
    write_stats(&s, totals, &facts);
    resp_map(gather_out(gather), gather->resp, s.pairs);
    buf_append_slice(gather_out(gather), buf_slice(&body));
    buf_deinit(&body);
    totals_delete(totals);
}

/* --- DOCTOR, MALLOC-STATS: texts --- */

/* How near the ceiling is, and what is being done about it. */
static void write_ceiling(struct buf *text, const struct ceiling_facts *memory) {
    uint64_t left = ceiling_seconds_left(memory);
    if (!memory->ceiling)
        buf_append_literal(text,
                           " * Ceiling: there is none (maxmemory 0); nothing keeps the process from being killed when "
                           "memory runs out.\n");
    else if (memory->braked)
        buf_printf(
            text,
            " * Ceiling: %llu MiB are resident, more than the %llu MiB of maxmemory; writers are slowed down until "
            "pages have emptied.\n",
            (unsigned long long)memory->resident >> 20, (unsigned long long)memory->ceiling >> 20);
    else if (memory->free < (int64_t)(memory->ceiling / 64))
        buf_printf(
            text,
            " * Ceiling: maxmemory (%llu MiB) is reached; %llu commands were refused so far, %llu waited, and %llu "
            "MiB of keys were evicted.\n",
            (unsigned long long)memory->ceiling >> 20, (unsigned long long)memory->refused,
            (unsigned long long)memory->waited, (unsigned long long)memory->evicted_bytes >> 20);
    else if (left < 3600)
        buf_printf(text, " * Ceiling: at the present rate maxmemory is reached in %llu seconds.\n",
                   (unsigned long long)left);
    if (memory->uncovered > 0)
        buf_printf(text,
                   " * Clients: they hold %llu KiB more than they may; the fattest are closed if that lasts "
                   "(maxmemory-clients).\n",
                   (unsigned long long)memory->uncovered / 1024);
}

/* Judges only what an operator can do something about; small instances have no story to tell. */
static void write_diagnosis(struct buf *text, const struct totals *totals, const struct runtime_facts *facts) {
    uint64_t used = totals_used_memory(totals), peak = MAX(facts->used_peak, used);
    uint64_t replies = totals_memory(totals, MEM_CLIENT_OUT), clients = MAX(totals->sum.clients, (uint64_t)1);
    size_t start = text->len;
    write_ceiling(text, &facts->memory);
    if (used < 5 * 1024 * 1024 && text->len == start) {
        buf_append_literal(text, "Hi Sam, there is hardly anything in memory, so there is nothing to judge yet.\n");
        return;
    }
    if (peak > used + used / 2 && peak > 5 * 1024 * 1024)
        buf_printf(text,
                   " * Peak: memory once was %llu%% of what it is now; the resident set may not have shrunk with "
                   "it. MEMORY PURGE returns free pages.\n",
                   (unsigned long long)(peak * 100 / used));
    if (facts->rss > used + used / 4 + 10 * 1024 * 1024)
        buf_printf(text, " * Resident: the process holds %.2f times what is allocated.\n", ratio(facts->rss, used));
    if (replies / clients > 200 * 1024)
        buf_printf(text, " * Replies: clients have %llu KiB each waiting to be read; some of them read too slowly.\n",
                   (unsigned long long)(replies / clients / 1024));
    if (text->len == start) buf_append_literal(text, "Hi Sam, I can't find any memory issue in this instance.\n");
}

static void write_classes(struct buf *text, const struct totals *totals, const struct runtime_facts *facts) {
    buf_printf(text, "allocator %s\nresident %llu\nresident peak %llu\n\n%-8s", facts->allocator,
               (unsigned long long)facts->rss, (unsigned long long)facts->rss_peak, "shard");
    for (int m = 0; m < MEM_CLASSES; m++) buf_printf(text, " %14s", mem_class_name((enum mem_class)m));
    for (uint32_t i = 0; i < totals->shard_count; i++) {
        buf_printf(text, "\n%-8u", i);
        for (int m = 0; m < MEM_CLASSES; m++) buf_printf(text, " %14lld", (long long)totals->shard[i].stats.memory[m]);
    }
    buf_printf(text, "\n%-8s", "all");
    for (int m = 0; m < MEM_CLASSES; m++)
        buf_printf(text, " %14llu", (unsigned long long)totals_memory(totals, (enum mem_class)m));
    buf_append_literal(text, "\n");
}

typedef void (*write_text)(struct buf *text, const struct totals *totals, const struct runtime_facts *facts);

static void text_across(struct gather *gather, write_text write) {
    if (gather->step == 0) {
        totals_request(gather, 0);
        return;
    }
    struct totals *totals = totals_new(gather);
    struct runtime_facts facts = {0};
    struct buf text;
    buf_init(&text, gather->home->heap, MEM_MESSAGE);
    net_runtime_facts(gather->home, &facts);
    write(&text, totals, &facts);
    resp_verbatim(gather_out(gather), gather->resp, "txt", buf_slice(&text));
    buf_deinit(&text);
    totals_delete(totals);
}

static void doctor_across(struct gather *gather) {
    text_across(gather, write_diagnosis);
}

static void malloc_stats_across(struct gather *gather) {
    text_across(gather, write_classes);
}

static void cmd_memory_purge(struct exec *x) {
    pressure_purge(x->shard);
    reply_ok(x);
}

static void cmd_memory_help(struct exec *x) {
    static const char *const lines[] = {
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
        NULL,
    };
    reply_help(x, lines);
}

#define TIPS "nondeterministic_output request_policy:all_shards response_policy:special"

const struct command memory_subs[] = {
    {.name = "usage",
     .arity = -3,
     .flags = CMD_READ,
     .keys = {KEYS_ONE(2, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_memory_usage,
     .args = "key [SAMPLES count]",
     .since = "4.0.0",
     .cost = "O(1)",
     .doc = "Returns the bytes that a key and its value take."},
    {.name = "stats",
     .arity = 2,
     .where = ON_ALL,
     .across = stats_across,
     .since = "4.0.0",
     .cost = "O(N), N = shards",
     .doc = "Returns what memory is used for.",
     .tips = TIPS},
    {.name = "doctor",
     .arity = 2,
     .where = ON_ALL,
     .across = doctor_across,
     .since = "4.0.0",
     .cost = "O(N), N = shards",
     .doc = "Judges how memory is used.",
     .tips = TIPS},
    {.name = "malloc-stats",
     .arity = 2,
     .where = ON_ALL,
     .across = malloc_stats_across,
     .since = "4.0.0",
     .cost = "O(N), N = shards",
     .doc = "Returns the allocator's figures per shard.",
     .tips = TIPS},
    {.name = "purge",
     .arity = 2,
     .where = ON_ALL,
     .merge = MERGE_OK,
     .run = cmd_memory_purge,
     .since = "4.0.0",
     .cost = "O(N), N = pages held",
     .doc = "Returns free memory to the system.",
     .tips = "request_policy:all_shards response_policy:all_succeeded"},
    {.name = "help",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .where = ON_CONN,
     .run = cmd_memory_help,
     .since = "4.0.0",
     .cost = "O(1)",
     .doc = "Explains the subcommands of MEMORY."},
    {.name = NULL},
};
