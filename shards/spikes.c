#include "shards/spikes.h"
#include "core/assert.h"
#include <string.h>

/* Redis's names where Redis has the event, so that its tools and habits fit. */
static const char *const names[SPIKE_EVENTS] = {
    [SPIKE_COMMAND] = "command",     [SPIKE_FAST_COMMAND] = "fast-command",   [SPIKE_TURN] = "turn",
    [SPIKE_SYNC] = "aof-fsync",      [SPIKE_CHECKPOINT] = "checkpoint-slice", [SPIKE_EVICTION] = "eviction-cycle",
    [SPIKE_EXPIRE] = "expire-cycle",
};

const char *spike_name(enum spike_event event) {
    ASSERT(event < SPIKE_EVENTS);
    return names[event];
}

bool spike_find(const char *name, size_t len, enum spike_event *event) {
    for (int i = 0; i < SPIKE_EVENTS; i++) {
        if (strlen(names[i]) != len || memcmp(names[i], name, len) != 0) continue;
        *event = (enum spike_event)i;
        return true;
    }
    return false;
}

void spikes_init(struct spikes *spikes, struct heap *heap) {
    *spikes = (struct spikes){.heap = heap};
}

void spikes_deinit(struct spikes *spikes) {
    for (int i = 0; i < SPIKE_EVENTS; i++) spikes_reset(spikes, (enum spike_event)i);
}

bool spikes_reset(struct spikes *spikes, enum spike_event event) {
    struct spike_series *series = spikes->series[event];
    if (!series) return false;
    heap_free(spikes->heap, MEM_STATS, series, sizeof *series);
    spikes->series[event] = NULL;
    return true;
}

/* Not older than the newest one. */
static void append(struct spike_series *series, struct spike spike) {
    struct spike *newest = &series->ring[series->newest];
    if (series->count > 0 && newest->time_s == spike.time_s) {
        newest->ms = MAX(newest->ms, spike.ms);
        return;
    }
    series->newest = series->count == 0 ? 0 : (series->newest + 1) % SPIKE_SAMPLES;
    series->count = MIN(series->count + 1, (uint32_t)SPIKE_SAMPLES);
    series->ring[series->newest] = spike;
}

void spikes_add(struct spikes *spikes, enum spike_event event, uint32_t time_s, uint32_t ms) {
    struct spike_series *series = spikes->series[event];
    if (!series) series = spikes->series[event] = heap_alloc_zero(spikes->heap, MEM_STATS, sizeof *series);
    series->max_ms = MAX(series->max_ms, ms);
    /* The clock was set back: what was a second ago is said to be now, and the series stays in order. */
    if (series->count > 0) time_s = MAX(time_s, series->ring[series->newest].time_s);
    append(series, (struct spike){time_s, ms});
}

struct spike spike_at(const struct spike_series *series, uint32_t i) {
    ASSERT(i < series->count);
    return series->ring[(series->newest + SPIKE_SAMPLES - (series->count - 1) + i) % SPIKE_SAMPLES];
}

void spike_series_merge(struct spike_series *sum, const struct spike_series *part) {
    struct spike_series merged = {.max_ms = MAX(sum->max_ms, part->max_ms)};
    uint32_t i = 0, k = 0;
    while (i < sum->count || k < part->count) {
        bool first = k == part->count || (i < sum->count && spike_at(sum, i).time_s <= spike_at(part, k).time_s);
        append(&merged, first ? spike_at(sum, i++) : spike_at(part, k++));
    }
    *sum = merged;
}
