/* Error stats: how many error replies there were, by code, for INFO errorstats.
 *
 * The code is the first word of the reply ("ERR", "WRONGTYPE"). Scripts and DEBUG ERROR may reply with any word, so the
 * table is bounded: a code keeps its first ERROR_CODE_MAX bytes, and the codes that come after the first
 * ERROR_CODES_MAX are counted together as "OTHER".
 *
 * Thread    its owner's: one per shard, and one that INFO adds them up in. No memory of its own; all zero is empty.
 * Cost      O(codes seen), a few. Only replies that are errors pay. */
#pragma once
#include "core/slice.h"

#define ERROR_CODE_MAX  16
#define ERROR_CODES_MAX 32

struct error_count {
    char code[ERROR_CODE_MAX]; /* padded with zeros; no terminator when it is full */
    uint64_t count;
};

struct error_stats {
    uint64_t used;
    struct error_count codes[ERROR_CODES_MAX + 1]; /* the last is OTHER's */
};

/* Counts one reply, given with its code and without the leading "-": "ERR syntax error". */
void error_stats_count(struct error_stats *stats, struct slice text);
/* Adds what another table counted under this code. */
void error_stats_add(struct error_stats *stats, const struct error_count *count);
/* By code, as Redis lists them. */
void error_stats_sort(struct error_stats *stats);
