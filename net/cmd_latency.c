/* LATENCY. HISTOGRAM shows how long commands took, from the shards' histograms; the rest is about spikes: what took
 * longer than latency-monitor-threshold, of which each shard keeps its own (shards/spikes.h) and home tells the sum. */
#include "core/assert.h"
#include "net/cmd_info_priv.h"
#include "net/spike_report.h"
#include "shards/command_view.h"
#include "shards/exec.h"
#include <stdio.h>

/* --- HISTOGRAM --- */

/* Labels of the cumulative counts as Redis prints them, in microseconds: its histograms are exact to 1 in 128, so the
 * bound of 2^k ns is reported as 2^k + 2^(k-7) - 1. The first one takes everything below 1024 ns. */
static int64_t bucket_label_us(int power) {
    return ((1ll << power) + (1ll << (power - 7)) - 1) / 1000;
}
#define FIRST_POWER 10

static uint64_t count_below(const struct command_totals *command, int power) {
    uint64_t sum = 0;
    for (int i = 0; i < MIN(power, HISTOGRAM_BUCKETS); i++) sum += command->histogram[i];
    return sum;
}

static bool bound_is_shown(const struct command_totals *command, int power) {
    uint64_t before = power == FIRST_POWER ? 0 : count_below(command, power - 1);
    return count_below(command, power) > before;
}

static void write_histogram(struct buf *out, int resp, const struct command_totals *command) {
    uint64_t shown = 0;
    for (int power = FIRST_POWER; power <= HISTOGRAM_BUCKETS; power++) shown += bound_is_shown(command, power);
    resp_map(out, resp, 2);
    resp_bulk(out, SLICE("calls"));
    resp_int(out, (int64_t)count_below(command, HISTOGRAM_BUCKETS));
    resp_bulk(out, SLICE("histogram_usec"));
    resp_map(out, resp, shown);
    for (int power = FIRST_POWER; power <= HISTOGRAM_BUCKETS; power++) {
        if (!bound_is_shown(command, power)) continue;
        resp_int(out, bucket_label_us(power));
        resp_int(out, (int64_t)count_below(command, power));
    }
}

struct histograms {
    const struct totals *totals;
    const struct command_registry *registry;
    struct buf *out;
    int resp;
    uint64_t written;
};

static void add_command(struct histograms *h, const struct command_slot *slot) {
    const struct command_totals *command = &h->totals->command[slot->number];
    char name[64];
    if (!command_is_public(slot, true) || count_below(command, HISTOGRAM_BUCKETS) == 0) return;
    resp_bulk(h->out, slice_of_cstr(command_full_name(slot, name)));
    write_histogram(h->out, h->resp, command);
    h->written++;
}

/* A container stands for all its subcommands. */
static void add_named(struct histograms *h, struct slice name) {
    const struct command_slot *slot = command_find_full(h->registry, name);
    if (!slot) return;
    add_command(h, slot);
    for (const struct command *sub = slot->row->subs; sub && sub->name; sub++)
        add_command(h, command_find_sub(h->registry, slot, slice_of_cstr(sub->name)));
}

static void histogram_across(struct gather *gather) {
    if (gather->step == 0) {
        totals_request(gather, TOTALS_COMMANDS | TOTALS_HISTOGRAMS);
        return;
    }
    struct totals *totals = totals_new(gather);
    struct buf body;
    buf_init(&body, gather->home->heap, MEM_MESSAGE);
    struct histograms h = {totals, gather->home->registry, &body, gather->resp, 0};
    for (uint32_t i = 2; i < gather->argc; i++) add_named(&h, gather->argv[i]);
    for (uint32_t i = 0; gather->argc == 2 && i < totals->command_count; i++)
        add_command(&h, command_at(h.registry, i));
    resp_map(gather_out(gather), gather->resp, h.written);
    buf_append_slice(gather_out(gather), buf_slice(&body));
    buf_deinit(&body);
    totals_delete(totals);
}

/* --- spikes ---
 *
 * Step 0 asks all shards for what they have seen ("sherd.spikes"), step 1 merges it and answers. A shard says it in
 * bytes: number and series of each event that it has. */

void cmd_internal_spikes(struct exec *x) {
    struct buf block;
    buf_init(&block, x->shard->heap, MEM_MESSAGE);
    for (uint64_t event = 0; event < SPIKE_EVENTS; event++) {
        const struct spike_series *series = x->shard->spikes.series[event];
        if (!series) continue;
        buf_append(&block, &event, sizeof event);
        buf_append(&block, series, sizeof *series);
    }
    reply_bulk(x, buf_slice(&block));
    buf_deinit(&block);
}

static void ask_for_spikes(struct gather *gather) {
    for (uint32_t i = 0; i < gather_shards(gather); i++) gather_send(gather, i, "sherd.spikes", NULL, 0);
}

static void merge_block(struct spike_series *sums, struct slice block) {
    struct spike_series series;
    uint64_t event;
    for (; block.len > 0;
         block = slice_of(block.ptr + sizeof event + sizeof series, block.len - sizeof event - sizeof series)) {
        ASSERT(block.len >= sizeof event + sizeof series);
        memcpy(&event, block.ptr, sizeof event);
        memcpy(&series, block.ptr + sizeof event, sizeof series);
        ASSERT(event < SPIKE_EVENTS);
        spike_series_merge(&sums[event], &series);
    }
}

#define SERIES_BYTES (SPIKE_EVENTS * sizeof(struct spike_series))

/* Of all shards, SPIKE_EVENTS series; to be freed with free_spikes. */
static struct spike_series *take_spikes(struct gather *gather) {
    struct spike_series *sums = heap_alloc_zero(gather->home->heap, MEM_STATS, SERIES_BYTES);
    for (uint32_t i = 0; i < gather->parts; i++) {
        struct slice block;
        ASSERT(gather_reply_bulk(gather_reply(gather, i), &block));
        merge_block(sums, block);
    }
    return sums;
}

static void free_spikes(struct gather *gather, struct spike_series *sums) {
    heap_free(gather->home->heap, MEM_STATS, sums, SERIES_BYTES);
}

static uint32_t now_s(const struct gather *gather) {
    return (uint32_t)(gather->home->now_ms / 1000);
}

static void latest_across(struct gather *gather) {
    if (gather->step == 0) {
        ask_for_spikes(gather);
        return;
    }
    struct spike_series *sums = take_spikes(gather);
    struct buf *out = gather_out(gather);
    uint64_t seen = 0;
    for (int i = 0; i < SPIKE_EVENTS; i++) seen += sums[i].count > 0;
    resp_array(out, seen);
    for (int i = 0; i < SPIKE_EVENTS; i++) {
        if (!sums[i].count) continue;
        struct spike latest = spike_at(&sums[i], sums[i].count - 1);
        resp_array(out, 4);
        resp_bulk(out, slice_of_cstr(spike_name((enum spike_event)i)));
        resp_int(out, latest.time_s);
        resp_int(out, latest.ms);
        resp_int(out, sums[i].max_ms);
    }
    free_spikes(gather, sums);
}

static void history_across(struct gather *gather) {
    enum spike_event event;
    if (gather->step == 0) {
        ask_for_spikes(gather);
        return;
    }
    struct spike_series *sums = take_spikes(gather);
    struct buf *out = gather_out(gather);
    bool known = spike_find(gather->argv[2].ptr, gather->argv[2].len, &event);
    resp_array(out, known ? sums[event].count : 0);
    for (uint32_t i = 0; known && i < sums[event].count; i++) {
        struct spike spike = spike_at(&sums[event], i);
        resp_array(out, 2);
        resp_int(out, spike.time_s);
        resp_int(out, spike.ms);
    }
    free_spikes(gather, sums);
}

static void graph_across(struct gather *gather) {
    enum spike_event event;
    struct slice name = gather->argv[2];
    if (gather->step == 0) {
        ask_for_spikes(gather);
        return;
    }
    struct spike_series *sums = take_spikes(gather);
    if (spike_find(name.ptr, name.len, &event) && sums[event].count > 0) {
        struct buf text;
        buf_init(&text, gather->home->heap, MEM_MESSAGE);
        spike_graph(&text, event, &sums[event], now_s(gather));
        resp_verbatim(gather_out(gather), gather->resp, "txt", buf_slice(&text));
        buf_deinit(&text);
    } else {
        char error[600];
        snprintf(error, sizeof error, "ERR No samples available for event '%.*s'", (int)MIN(name.len, (size_t)512),
                 name.ptr);
        gather_error(gather, error);
    }
    free_spikes(gather, sums);
}

static void doctor_across(struct gather *gather) {
    if (gather->step == 0) {
        ask_for_spikes(gather);
        return;
    }
    struct spike_series *sums = take_spikes(gather);
    struct buf text;
    buf_init(&text, gather->home->heap, MEM_MESSAGE);
    spike_doctor(&text, sums, gather->home->config, now_s(gather));
    resp_verbatim(gather_out(gather), gather->resp, "txt", buf_slice(&text));
    buf_deinit(&text);
    free_spikes(gather, sums);
}

/* Answers which it forgot, a bit each: the client hears how many these are over all shards. */
static void cmd_latency_reset(struct exec *x) {
    uint64_t forgot = 0;
    enum spike_event event;
    for (uint32_t i = 2; i < x->argc; i++)
        if (spike_find(x->argv[i].ptr, x->argv[i].len, &event) && spikes_reset(&x->shard->spikes, event))
            forgot |= 1ull << event;
    for (int i = 0; x->argc == 2 && i < SPIKE_EVENTS; i++)
        if (spikes_reset(&x->shard->spikes, (enum spike_event)i)) forgot |= 1ull << i;
    reply_int(x, (int64_t)forgot);
}

static void merge_latency_reset(struct gather *gather) {
    int64_t all = 0, part;
    for (uint32_t i = 0; i < gather->parts; i++)
        if (gather_reply_int(gather_reply(gather, i), &part)) all |= part;
    resp_int(gather_out(gather), __builtin_popcountll((unsigned long long)all));
}

static void cmd_latency_help(struct exec *x) {
    static const char *const lines[] = {
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the specified command "
        "names.",
        "    If no commands are specified then all histograms are replied.",
        NULL,
    };
    reply_help(x, lines);
}

#define ADMIN (CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)
#define TIPS  "nondeterministic_output request_policy:all_nodes response_policy:special"

const struct command latency_subs[] = {
    {.name = "histogram",
     .arity = -2,
     .flags = ADMIN,
     .where = ON_ALL,
     .across = histogram_across,
     .args = "[command [command ...]]",
     .since = "7.0.0",
     .cost = "O(N), N = commands",
     .doc = "Returns how long commands took, as cumulative counts.",
     .tips = TIPS},
    {.name = "latest",
     .arity = 2,
     .flags = ADMIN,
     .where = ON_ALL,
     .across = latest_across,
     .since = "2.8.13",
     .cost = "O(1)",
     .doc = "Returns the latest latency spikes.",
     .tips = TIPS},
    {.name = "history",
     .arity = 3,
     .flags = ADMIN,
     .where = ON_ALL,
     .across = history_across,
     .args = "event",
     .since = "2.8.13",
     .cost = "O(1)",
     .doc = "Returns the latency spikes of an event.",
     .tips = TIPS},
    {.name = "reset",
     .arity = -2,
     .flags = ADMIN,
     .where = ON_ALL,
     .merge = MERGE_CUSTOM,
     .merge_with = merge_latency_reset,
     .run = cmd_latency_reset,
     .args = "[event [event ...]]",
     .since = "2.8.13",
     .cost = "O(1)",
     .doc = "Forgets latency spikes.",
     .tips = "request_policy:all_nodes response_policy:all_succeeded"},
    {.name = "graph",
     .arity = 3,
     .flags = ADMIN,
     .where = ON_ALL,
     .across = graph_across,
     .args = "event",
     .since = "2.8.13",
     .cost = "O(1)",
     .doc = "Draws the latency spikes of an event.",
     .tips = TIPS},
    {.name = "doctor",
     .arity = 2,
     .flags = ADMIN,
     .where = ON_ALL,
     .across = doctor_across,
     .since = "2.8.13",
     .cost = "O(1)",
     .doc = "Explains latency spikes.",
     .tips = TIPS},
    {.name = "help",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .where = ON_CONN,
     .run = cmd_latency_help,
     .since = "2.8.13",
     .cost = "O(1)",
     .doc = "Explains the subcommands of LATENCY."},
    {.name = NULL},
};
