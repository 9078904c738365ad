/* Spikes: what took longer than latency-monitor-threshold on one shard, for LATENCY. Redis's latency monitor, per
 * shard; LATENCY joins the shards' samples (net/cmd_latency.c).
 *
 * Each event keeps its latest SPIKE_SAMPLES samples. Samples of one second are one, the longest of them, so that a
 * series covers minutes even when spikes come by the hundred.
 *
 * Ownership  memory from the heap, of an event only once it has had a spike.
 * Thread     the shard's own. Cost: nothing while nothing takes long. */
#pragma once
#include "core/alloc.h"

enum spike_event {
    SPIKE_COMMAND,      /* a command */
    SPIKE_FAST_COMMAND, /* one that Redis calls fast (CMD_FAST) */
    SPIKE_TURN,         /* a turn, without sleep: nobody on this shard was served meanwhile */
    SPIKE_SYNC,         /* a sync of the log, which is the disk's time and stops nobody by itself */
    SPIKE_CHECKPOINT,   /* a slice of a checkpoint */
    SPIKE_EVICTION,     /* making room under maxmemory, in one turn */
    SPIKE_EXPIRE,       /* deleting what has expired, in one turn */
    SPIKE_EVENTS,
};

#define SPIKE_SAMPLES 160 /* Redis's */

struct spike {
    uint32_t time_s; /* unix time */
    uint32_t ms;
};

struct spike_series {
    uint32_t count, newest; /* in the ring, and where */
    uint32_t max_ms;        /* since the start or the reset */
    struct spike ring[SPIKE_SAMPLES];
};

struct spikes {
    struct heap *heap;
    struct spike_series *series[SPIKE_EVENTS]; /* NULL: none since the start or the reset */
};

void spikes_init(struct spikes *spikes, struct heap *heap);
void spikes_deinit(struct spikes *spikes);
void spikes_add(struct spikes *spikes, enum spike_event event, uint32_t time_s, uint32_t ms);
/* True when there was something to forget. */
bool spikes_reset(struct spikes *spikes, enum spike_event event);
/* i-th sample, the oldest first; i < count. */
struct spike spike_at(const struct spike_series *series, uint32_t i);

const char *spike_name(enum spike_event event);
/* False: there is no such event. */
bool spike_find(const char *name, size_t len, enum spike_event *event);

/* Adds what another shard has seen: samples are merged by time, those of one second become the longest. */
void spike_series_merge(struct spike_series *sum, const struct spike_series *part);
