/* Totals: the counters of all shards, collected for INFO, LATENCY and MEMORY.
 *
 *    step 0   totals_request(gather, what)          asks every shard for its numbers ("sherd.totals")
 *    step 1   totals = totals_new(gather)           adds them up
 *             ... write the reply ...
 *             totals_delete(totals)
 *
 * A shard answers with one block of 64-bit words, so that nothing is formatted and parsed on the way. The parts are not
 * of one instant: each shard answers when it gets to it.
 *
 * Thread    the home of the client that asked. Cost: O(shards * (databases + commands)). */
#pragma once
#include "shards/gather.h"
#include "shards/shard.h"

enum totals_what {
    TOTALS_COMMANDS = 1 << 0,   /* calls and times per command */
    TOTALS_HISTOGRAMS = 1 << 1, /* with their histograms */
    TOTALS_TURNS = 1 << 2,      /* where the time of turns went */
    TOTALS_PLACES = 1 << 3,     /* on which memory nodes pages are: stats.pages_seen */
};

struct db_totals {
    uint64_t keys, expires, ttl_sum_ms, index_bytes;
};

struct command_totals {
    uint64_t calls, ticks, rejected, failed;
    uint64_t histogram[HISTOGRAM_BUCKETS];
};

struct totals {
    struct shard *home;
    struct shard_stats sum;    /* of the fields that end in max: the largest */
    struct error_stats errors; /* of all shards, sorted */
    uint32_t shard_count;
    struct {
        struct shard_stats stats;
        uint64_t keys, expires;
    } shard[SHARDS_MAX];
    uint32_t db_count;
    struct db_totals *db;
    uint32_t command_count;
    struct command_totals *command; /* by command_slot.number; NULL unless asked for */
    struct turn_stats *turns;       /* by shard; NULL unless asked for */
};

void totals_request(struct gather *gather, unsigned what); /* enum totals_what bits */
struct totals *totals_new(const struct gather *gather);    /* with the what of the request */
void totals_delete(struct totals *totals);

uint64_t totals_memory(const struct totals *totals, enum mem_class owner); /* bytes, never negative */
uint64_t totals_used_memory(const struct totals *totals);
uint64_t totals_keys(const struct totals *totals);
double totals_ns(const struct totals *totals, uint64_t ticks);

/* The row "sherd.totals what". */
void cmd_internal_totals(struct exec *x);
