#include "net/spike_report.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the graph --- */

#define COLUMNS    80
#define ROWS       4
#define ROW_STEPS  3 /* marks that fit into one row, from low to high */
#define STEPS      (ROWS * ROW_STEPS)
#define LABEL_SIZE 16

static const char marks[ROW_STEPS + 1] = "_o#";

static void write_label(char out[LABEL_SIZE], uint32_t age_s) {
    if (age_s < 60)
        snprintf(out, LABEL_SIZE, "%us", age_s);
    else if (age_s < 3600)
        snprintf(out, LABEL_SIZE, "%um", age_s / 60);
    else if (age_s < 24 * 3600)
        snprintf(out, LABEL_SIZE, "%uh", age_s / 3600);
    else
        snprintf(out, LABEL_SIZE, "%ud", age_s / (24 * 3600));
}

/* How high a sample stands, in steps: the smallest at 0, the largest at STEPS - 1. */
static unsigned height_of(uint32_t ms, uint32_t low, uint32_t high) {
    if (high == low) return 0;
    return MIN((unsigned)((uint64_t)(ms - low) * STEPS / (high - low)), (unsigned)STEPS - 1);
}

static void write_bars(struct buf *out, const unsigned *heights, uint32_t count) {
    char line[COLUMNS + 1];
    for (unsigned row = ROWS; row-- > 0;) {
        for (uint32_t i = 0; i < count; i++) {
            unsigned top = heights[i] / ROW_STEPS;
            line[i] = ' ';
            if (row < top) line[i] = '|';
            if (row == top) line[i] = marks[heights[i] % ROW_STEPS];
        }
        line[count] = '\n';
        buf_append(out, line, count + 1);
    }
    memset(line, ' ', count); /* and its end is still there */
    buf_append(out, line, count + 1);
}

static void write_labels(struct buf *out, char labels[][LABEL_SIZE], uint32_t count) {
    size_t lines = 0;
    for (uint32_t i = 0; i < count; i++) lines = MAX(lines, strlen(labels[i]));
    for (size_t line = 0; line < lines; line++) {
        char text[COLUMNS + 1];
        for (uint32_t i = 0; i < count; i++) text[i] = ' ';
        for (uint32_t i = 0; i < count; i++)
            if (line < strlen(labels[i])) text[i] = labels[i][line];
        text[count] = '\n';
        buf_append(out, text, count + 1);
    }
}

/* COLUMNS samples from the given one on, or what is left. */
static void write_stretch(struct buf *out, const struct spike_series *series, uint32_t from, uint32_t low,
                          uint32_t high, uint32_t now_s) {
    unsigned heights[COLUMNS];
    char labels[COLUMNS][LABEL_SIZE];
    uint32_t count = MIN(series->count - from, (uint32_t)COLUMNS);
    for (uint32_t i = 0; i < count; i++) {
        struct spike spike = spike_at(series, from + i);
        heights[i] = height_of(spike.ms, low, high);
        write_label(labels[i], now_s > spike.time_s ? now_s - spike.time_s : 0);
    }
    write_bars(out, heights, count);
    write_labels(out, labels, count);
}

void spike_graph(struct buf *out, enum spike_event event, const struct spike_series *series, uint32_t now_s) {
    uint32_t low = UINT32_MAX, high = 0;
    char ruler[COLUMNS + 1];
    for (uint32_t i = 0; i < series->count; i++) {
        low = MIN(low, spike_at(series, i).ms);
        high = MAX(high, spike_at(series, i).ms);
    }
    memset(ruler, '-', COLUMNS);
    ruler[COLUMNS] = '\n';
    buf_printf(out, "%s - high %u ms, low %u ms (all time high %u ms)\n", spike_name(event), high, low, series->max_ms);
    buf_append(out, ruler, sizeof ruler);
    for (uint32_t from = 0; from < series->count; from += COLUMNS) {
        if (from > 0) buf_append_literal(out, "\n");
        write_stretch(out, series, from, low, high, now_s);
    }
}

/* --- the doctor --- */

/* What helps against each. */
static const char *const advice[SPIKE_EVENTS] = {
    [SPIKE_COMMAND] =
        "SLOWLOG GET shows which commands take long, with their arguments. A command on very many keys or one "
        "that copies a very large value runs in one go: ask for less at a time.",
    [SPIKE_FAST_COMMAND] =
        "Commands that do little took long, so something else had the processor or the memory: other "
        "programs on these CPUs, more threads than CPUs, swap. `sherd doctor` looks for such things.",
    [SPIKE_TURN] =
        "INFO turns shows the longest turns, which phase of them took long, and what they did. One whose phases "
        "are all long was interrupted by another program.",
    [SPIKE_SYNC] =
        "The disk takes long to sync. That delays replies under appendfsync always only; `sherd doctor` measures "
        "the disk.",
    [SPIKE_CHECKPOINT] =
        "A slice of a snapshot took longer than it should: a value that cannot be written in pieces is very "
        "large, or something else had the processor.",
    [SPIKE_EVICTION] =
        "Making room took long: keys with large values are evicted, or maxmemory is too small for what is "
        "written.",
    [SPIKE_EXPIRE] = "Many keys expired at once. Give them deadlines that are not all the same.",
};

struct summary {
    double average_ms, deviation_ms, period_s;
};

static struct summary sum_up(const struct spike_series *series, uint32_t now_s) {
    struct summary summary = {0};
    uint32_t first_s = spike_at(series, 0).time_s;
    for (uint32_t i = 0; i < series->count; i++) summary.average_ms += spike_at(series, i).ms;
    summary.average_ms /= series->count;
    for (uint32_t i = 0; i < series->count; i++) {
        double off = (double)spike_at(series, i).ms - summary.average_ms;
        summary.deviation_ms += off < 0 ? -off : off;
    }
    summary.deviation_ms /= series->count;
    summary.period_s = (double)(now_s > first_s ? now_s - first_s : 0) / series->count;
    return summary;
}

static void list_event(struct buf *out, unsigned place, enum spike_event event, const struct spike_series *series,
                       uint32_t now_s) {
    struct summary summary = sum_up(series, now_s);
    buf_printf(out,
               "%u. %s: %u latency spikes (average %.0fms, mean deviation %.0fms, period %.2f sec). Longest of all "
               "%ums.\n",
               place, spike_name(event), series->count, summary.average_ms, summary.deviation_ms, summary.period_s,
               series->max_ms);
}

static void advise_about_slowlog(struct buf *out, const struct config *config) {
    int64_t wanted_us = MIN(config->latency_monitor_threshold, INT64_MAX / 1000) * 1000;
    if (config->slowlog_log_slower_than >= 0 && config->slowlog_log_slower_than <= wanted_us) return;
    buf_printf(out,
               "- The slow log does not have all of them: CONFIG SET slowlog-log-slower-than %lld makes it log what "
               "is watched here.\n",
               (long long)wanted_us);
}

void spike_doctor(struct buf *out, const struct spike_series *series, const struct config *config, uint32_t now_s) {
    unsigned events = 0;
    for (int i = 0; i < SPIKE_EVENTS; i++) events += series[i].count > 0;
    if (events == 0 && config->latency_monitor_threshold == 0) {
        buf_append_literal(out, "Dave, latency monitoring is switched off. CONFIG SET latency-monitor-threshold "
                                "<milliseconds> switches it on; LATENCY HISTOGRAM and INFO turns work without it.\n");
        return;
    }
    if (events == 0) {
        buf_append_literal(out,
                           "Dave, no latency spike was observed since the start or the last LATENCY RESET. LATENCY "
                           "HISTOGRAM shows how long commands take.\n");
        return;
    }
    buf_append_literal(out, "Dave, some things took longer than you wanted to allow.\n\n");
    unsigned place = 0;
    for (int i = 0; i < SPIKE_EVENTS; i++)
        if (series[i].count) list_event(out, ++place, (enum spike_event)i, &series[i], now_s);
    buf_append_literal(out, "\nWhat can be done:\n\n");
    for (int i = 0; i < SPIKE_EVENTS; i++)
        if (series[i].count) buf_printf(out, "- %s\n", advice[i]);
    if (series[SPIKE_COMMAND].count || series[SPIKE_FAST_COMMAND].count) advise_about_slowlog(out, config);
}
