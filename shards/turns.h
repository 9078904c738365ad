/* Turns: where the time of a shard's turns goes, how much is done in one, and which were the slowest. INFO turns shows
 * it, `./run profile` draws it.
 *
 * A stopwatch. Whoever drives the shard (net/thread.c) says which phase begins; what has passed since the last word is
 * the phase's before:
 *
 *    turns_begin(...)                      waiting is over
 *    turns_pass(&turns, SPENT_EXECUTE, now) ...
 *    turns_end(&turns, now, ...)           the turn is over; what comes next is the next one's wait
 *
 * Every turn is timed like that, at six places: without it the slowest ones could not be told. One turn in
 * TURNS_SAMPLE_EVERY is a *sample*: it alone is also timed inside (shard_enter, for each piece of input and each
 * batch), and its wait is divided into the kernel's work for this thread and sleep. The sums per phase are of the
 * samples.
 *
 * Cost      per turn some 135 instructions and six readings of the time stamp counter, per batch, message and piece of
 *           input about five instructions. perf/README.md has what that comes to.
 * Thread    the shard's own. Times are ticks of its host (shard_host.ticks) unless they say otherwise. */
#pragma once
#include "core/defs.h"

enum turn_phase {
    SPENT_WAIT,     /* asleep: nothing to do. In a turn that is no sample also the kernel's work around it */
    SPENT_KERNEL,   /* submitting and collecting: the kernel sends and receives in there */
    SPENT_RECEIVE,  /* completions; in a turn that is no sample also parsing */
    SPENT_PARSE,    /* input into commands, and each of them to its shard */
    SPENT_EXECUTE,  /* batches of commands, with their replies' bytes */
    SPENT_MESSAGES, /* what other shards asked and answered; slices of long work: expiry, eviction, freeing */
    SPENT_JOURNAL,  /* effects to the log, a slice of a checkpoint */
    SPENT_REPLY,    /* replies to their sends; what is left */
    TURNS_PHASES,
};

#define TURNS_SAMPLE_EVERY 64 /* a power of two */
#define TURNS_BUCKETS      40 /* bucket i: [2^i, 2^(i+1)); the last takes the rest */
#define TURNS_SLOWEST      8  /* turns that are kept */

/* What a slow turn did. All words, so that it travels. */
struct slow_turn {
    uint64_t length;   /* without SPENT_WAIT; 0: there is none */
    uint64_t began_ms; /* unix time */
    uint64_t phase[TURNS_PHASES];
    uint64_t sample;             /* 1: it was one, so its phases are divided finely */
    uint64_t commands, messages; /* run; taken from other shards, those of commands */
    uint64_t bytes_in;
    uint64_t longest, longest_number; /* the command that took longest, if that was long (shard.watch_ticks); or 0 */
};

/* All words likewise. */
struct turn_stats {
    uint64_t turns, samples;
    uint64_t phase[TURNS_PHASES]; /* of the samples */
    uint64_t sample_commands;
    uint64_t length[TURNS_BUCKETS]; /* turns by ticks without SPENT_WAIT */
    uint64_t batch[TURNS_BUCKETS];  /* batches by commands */
    uint64_t hop[TURNS_BUCKETS];    /* messages with commands that came from other shards, by how many are in one */
    uint64_t trip[TURNS_BUCKETS];   /* the same at home: from the batch that sent one to its replies, ticks */
    struct slow_turn slowest[TURNS_SLOWEST]; /* in no order */
};

/* What a turn is told by, besides its time: counters of the shard when it began. */
struct turn_counts {
    uint64_t commands, messages, bytes_in;
};

struct turns {
    bool sampling; /* this turn is a sample */
    uint8_t phase; /* enum turn_phase: since mark */
    uint64_t mark;
    uint64_t passed[TURNS_PHASES]; /* of this turn */
    uint64_t began_ms;
    struct turn_counts before;
    uint64_t longest, longest_number; /* of this turn */
    uint64_t slow_from;               /* a turn that took longer is one of the slowest */
    uint64_t number;                  /* of this turn; goes on when the statistics are reset */
    struct turn_stats stats;
};

void turns_reset(struct turns *turns); /* the statistics; the turn under way goes on */

HOT_INLINE void turns_pass(struct turns *turns, enum turn_phase next, uint64_t now) {
    turns->passed[turns->phase] += now - turns->mark;
    turns->mark = now;
    turns->phase = (uint8_t)next;
}

/* Waiting is over. kernel: how much of a sample's wait was work of the kernel's for this thread. */
void turns_begin(struct turns *turns, uint64_t now, uint64_t kernel, uint64_t now_ms, const struct turn_counts *counts);
/* Returns the turn's length without SPENT_WAIT. */
uint64_t turns_end(struct turns *turns, uint64_t now, const struct turn_counts *counts);

HOT_INLINE unsigned turns_bucket(uint64_t value) {
    unsigned power = 63u - (unsigned)__builtin_clzll(value | 1);
    return power < TURNS_BUCKETS ? power : TURNS_BUCKETS - 1;
}

/* A command took long (its time in this turn, ticks). */
void turns_note_command(struct turns *turns, uint64_t ticks, uint64_t number);

void turn_stats_add(struct turn_stats *sum, const struct turn_stats *part); /* all but slowest */
