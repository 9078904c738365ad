/* INFO: chooses sections, asks all shards for their numbers, writes. The names and the order of sections and fields are
 * Redis 7.0's, because they are an API that every tool parses; sherd's own fields come after them. */
#include "core/num.h"
#include "net/cmd_info_priv.h"
#include "net/cmd_tables.h"
#include "net/move.h"
#include "shards/exec.h"
#include <stdio.h>

static void info_modules(const struct info *info) {
    (void)info; /* the heading alone says that there are none */
}

static const struct section {
    const char *name, *title;
    bool by_default;
    unsigned needs; /* enum totals_what */
    void (*write)(const struct info *info);
} sections[] = {
    {"server", "Server", true, 0, info_server},
    {"clients", "Clients", true, 0, info_clients},
    {"memory", "Memory", true, 0, info_memory},
    {"persistence", "Persistence", true, 0, info_persistence},
    {"stats", "Stats", true, 0, info_stats},
    {"replication", "Replication", true, 0, info_replication},
    {"cpu", "CPU", true, 0, info_cpu},
    {"modules", "Modules", true, 0, info_modules},
    {"commandstats", "Commandstats", false, TOTALS_COMMANDS, info_commandstats},
    {"errorstats", "Errorstats", true, 0, info_errorstats},
    {"latencystats", "Latencystats", false, TOTALS_COMMANDS | TOTALS_HISTOGRAMS, info_latencystats},
    {"cluster", "Cluster", true, 0, info_cluster},
    {"keyspace", "Keyspace", true, 0, info_keyspace},
    {"guard", "Guard", true, 0, info_limits},
    {"shards", "Shards", true, TOTALS_PLACES, info_shards},
    {"turns", "Turns", false, TOTALS_TURNS, info_turns},
};
static_assert(ARRAY_LEN(sections) < 32, "a bit each");

#define ALL_SECTIONS ((1u << ARRAY_LEN(sections)) - 1)

static uint32_t default_sections(void) {
    uint32_t bits = 0;
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) bits |= (uint32_t)sections[i].by_default << i;
    return bits;
}

/* Words that are no section choose nothing, as in Redis. */
static uint32_t chosen_sections(const struct gather *gather) {
    uint32_t bits = gather->argc == 1 ? default_sections() : 0;
    for (uint32_t word = 1; word < gather->argc; word++) {
        struct slice name = gather->argv[word];
        if (slice_is(name, "default")) bits |= default_sections();
        if (slice_is(name, "all") || slice_is(name, "everything")) bits |= ALL_SECTIONS;
        for (size_t i = 0; i < ARRAY_LEN(sections); i++)
            if (slice_equal_nocase(name, slice_of_cstr(sections[i].name))) bits |= 1u << i;
    }
    return bits;
}

static unsigned needs_of(uint32_t chosen) {
    unsigned what = 0;
    for (size_t i = 0; i < ARRAY_LEN(sections); i++)
        if (chosen >> i & 1) what |= sections[i].needs;
    return what;
}

static void write_sections(const struct info *info, uint32_t chosen) {
    bool first = true;
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        if (!(chosen >> i & 1)) continue;
        buf_printf(info->out, "%s# %s\r\n", first ? "" : "\r\n", sections[i].title);
        sections[i].write(info);
        first = false;
    }
}

static void info_across(struct gather *gather) {
    uint32_t chosen = chosen_sections(gather);
    switch (move_look(gather)) { /* connected_clients counts each client once */
    case LOOK_WAITS: return;
    case LOOK_ASKS: totals_request(gather, needs_of(chosen)); return;
    case LOOK_DONE: break;
    }
    struct totals *totals = totals_new(gather);
    struct runtime_facts facts = {0};
    struct buf text;
    buf_init(&text, gather->home->heap, MEM_MESSAGE);
    net_runtime_facts(gather->home, &facts);
    struct info info = {totals, &facts, gather->home->config, gather->home->registry, &text, gather->client};
    write_sections(&info, chosen);
    resp_verbatim(gather_out(gather), gather->resp, "txt", buf_slice(&text));
    buf_deinit(&text);
    totals_delete(totals);
}

/* --- helpers of the sections --- */

void info_number(const struct info *info, const char *name, uint64_t value) {
    buf_printf(info->out, "%s:%llu\r\n", name, (unsigned long long)value);
}

void info_signed(const struct info *info, const char *name, int64_t value) {
    buf_printf(info->out, "%s:%lld\r\n", name, (long long)value);
}

void info_text(const struct info *info, const char *name, const char *value) {
    buf_printf(info->out, "%s:%s\r\n", name, value ? value : "");
}

void info_zeros(const struct info *info, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++) info_number(info, names[i], 0);
}

double ratio(uint64_t a, uint64_t b) {
    return b ? (double)a / (double)b : 0;
}

const char *bytes_human(uint64_t bytes, char out[32]) {
    static const char units[] = "KMGTPE";
    double value = (double)bytes;
    if (bytes < 1024) {
        snprintf(out, 32, "%lluB", (unsigned long long)bytes);
        return out;
    }
    int unit = -1;
    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 32, "%.2f%c", value, units[unit]);
    return out;
}

struct option_copy {
    char *out;
    size_t size;
};

static void copy_value(void *ctx, struct slice name, struct slice value) {
    struct option_copy *copy = ctx;
    (void)name;
    snprintf(copy->out, copy->size, "%.*s", (int)value.len, value.ptr);
}

void option_text(const struct config *config, const char *name, char *out, size_t out_size) {
    struct option_copy copy = {out, out_size};
    struct slice pattern = slice_of_cstr(name);
    out[0] = 0;
    config_get(config, &pattern, 1, copy_value, &copy);
}

const struct command info_commands[] = {
    {.name = "info",
     .arity = -1,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_DANGEROUS,
     .where = ON_ALL,
     .across = info_across,
     .group = "server",
     .args = "[section [section ...]]",
     .since = "1.0.0",
     .cost = "O(N), N = shards",
     .doc = "Describes the server in numbers.",
     .tips = "nondeterministic_output request_policy:all_shards response_policy:special"},
    {.name = "latency",
     .arity = -2,
     .where = ON_CONN,
     .subs = latency_subs,
     .group = "server",
     .since = "2.8.13",
     .doc = "Holds the commands about latency."},
    {.name = "memory",
     .arity = -2,
     .where = ON_CONN,
     .subs = memory_subs,
     .group = "server",
     .since = "4.0.0",
     .doc = "Holds the commands about memory."},
    {.name = "guard",
     .arity = -2,
     .where = ON_CONN,
     .subs = guard_subs,
     .group = "server",
     .since = "0.4.0",
     .doc = "Holds the commands about the limits that the server keeps."},
    {.name = "sherd.totals",
     .arity = 2,
     .flags = CMD_INTERNAL | CMD_LOADING | CMD_STALE,
     .where = ON_ALL,
     .merge = MERGE_CONCAT,
     .run = cmd_internal_totals},
    {.name = "sherd.spikes",
     .arity = 1,
     .flags = CMD_INTERNAL | CMD_LOADING | CMD_STALE,
     .where = ON_ALL,
     .merge = MERGE_CONCAT,
     .run = cmd_internal_spikes},
    {.name = NULL},
};
