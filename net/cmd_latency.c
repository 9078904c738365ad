/* LATENCY. HISTOGRAM shows how long commands took, from the shards' histograms; the rest is Redis's latency monitor,
 * which samples events of a single-threaded server (fork, slow expiry cycles). Nothing here raises such events yet, so
 * its answers are those of a monitor that has seen nothing. */
#include "net/cmd_info_priv.h"
#include "shards/command_view.h"
#include "shards/exec.h"

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

/* --- the monitor --- */

static void cmd_latency_none(struct exec *x) {
    reply_array(x, 0);
}

static void cmd_latency_reset(struct exec *x) {
    reply_int(x, 0);
}

static void cmd_latency_graph(struct exec *x) {
    reply_errorf(x, "ERR No samples available for event '%.*s'", (int)MIN(x->argv[2].len, (size_t)512), x->argv[2].ptr);
}

static void cmd_latency_doctor(struct exec *x) {
    struct slice text = x->shard->config->latency_monitor_threshold == 0
                            ? SLICE("Dave, latency monitoring is switched off. CONFIG SET latency-monitor-threshold "
                                    "<milliseconds> switches "
                                    "it on; LATENCY HISTOGRAM works without it.\n")
                            : SLICE("Dave, no latency spike was observed since the start or the last LATENCY RESET. "
                                    "LATENCY HISTOGRAM shows "
                                    "how long commands take.\n");
    resp_verbatim(x->out, x->resp, "txt", text);
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
     .where = ON_CONN,
     .run = cmd_latency_none,
     .since = "2.8.13",
     .cost = "O(1)",
     .doc = "Returns the latest latency spikes.",
     .tips = TIPS},
    {.name = "history",
     .arity = 3,
     .flags = ADMIN,
     .where = ON_CONN,
     .run = cmd_latency_none,
     .args = "event",
     .since = "2.8.13",
     .cost = "O(1)",
     .doc = "Returns the latency spikes of an event.",
     .tips = TIPS},
    {.name = "reset",
     .arity = -2,
     .flags = ADMIN,
     .where = ON_CONN,
     .run = cmd_latency_reset,
     .args = "[event [event ...]]",
     .since = "2.8.13",
     .cost = "O(1)",
     .doc = "Forgets latency spikes.",
     .tips = "request_policy:all_nodes response_policy:all_succeeded"},
    {.name = "graph",
     .arity = 3,
     .flags = ADMIN,
     .where = ON_CONN,
     .run = cmd_latency_graph,
     .args = "event",
     .since = "2.8.13",
     .cost = "O(1)",
     .doc = "Draws the latency spikes of an event.",
     .tips = TIPS},
    {.name = "doctor",
     .arity = 2,
     .flags = ADMIN,
     .where = ON_CONN,
     .run = cmd_latency_doctor,
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
