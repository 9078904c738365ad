/* The stopwatch and its sums. A turn belongs to the wait before it: the kernel's work in there is what the turn before
 * queued and what this one finds.
 *
 * Of the slowest turns the TURNS_SLOWEST longest since the reset are kept, in any order, and the length of the shortest
 * of them beside (slow_from), so that all other turns pay one comparison. */
#include "shards/turns.h"
#include <string.h>

void turns_reset(struct turns *turns) {
    turns->stats = (struct turn_stats){0};
    turns->slow_from = 0;
}

void turns_begin(struct turns *turns, uint64_t now, uint64_t kernel, uint64_t now_ms,
                 const struct turn_counts *counts) {
    turns_pass(turns, SPENT_RECEIVE, now);
    if (UNLIKELY(turns->sampling)) {
        uint64_t both = turns->passed[SPENT_WAIT] + turns->passed[SPENT_KERNEL];
        turns->passed[SPENT_KERNEL] = MIN(kernel, both);
        turns->passed[SPENT_WAIT] = both - MIN(kernel, both);
    }
    turns->began_ms = now_ms;
    turns->before = *counts;
}

static COLD void keep_slow(struct turns *turns, uint64_t length, const struct turn_counts *counts) {
    struct slow_turn *slowest = turns->stats.slowest, *least = slowest;
    for (struct slow_turn *turn = slowest + 1; turn < slowest + TURNS_SLOWEST; turn++)
        if (turn->length < least->length) least = turn;
    *least = (struct slow_turn){.length = length,
                                .began_ms = turns->began_ms,
                                .sample = turns->sampling,
                                .commands = counts->commands - turns->before.commands,
                                .messages = counts->messages - turns->before.messages,
                                .bytes_in = counts->bytes_in - turns->before.bytes_in,
                                .longest = turns->longest,
                                .longest_number = turns->longest_number};
    memcpy(least->phase, turns->passed, sizeof least->phase);
    turns->slow_from = UINT64_MAX;
    for (const struct slow_turn *turn = slowest; turn < slowest + TURNS_SLOWEST; turn++)
        turns->slow_from = MIN(turns->slow_from, turn->length);
}

static void add_sample(struct turns *turns, const struct turn_counts *counts) {
    turns->stats.samples++;
    turns->stats.sample_commands += counts->commands - turns->before.commands;
    for (int i = 0; i < TURNS_PHASES; i++) turns->stats.phase[i] += turns->passed[i];
}

uint64_t turns_end(struct turns *turns, uint64_t now, const struct turn_counts *counts) {
    turns_pass(turns, SPENT_KERNEL, now);
    uint64_t length = 0;
    for (int i = SPENT_WAIT + 1; i < TURNS_PHASES; i++) length += turns->passed[i];
    /* CONFIG RESETSTAT in this very turn: it counts from now on. */
    bool whole = counts->commands >= turns->before.commands && counts->messages >= turns->before.messages &&
                 counts->bytes_in >= turns->before.bytes_in;
    if (LIKELY(whole)) {
        turns->stats.turns++;
        turns->stats.length[turns_bucket(length)]++;
        if (UNLIKELY(length > turns->slow_from)) keep_slow(turns, length, counts);
        if (UNLIKELY(turns->sampling)) add_sample(turns, counts);
    }
    memset(turns->passed, 0, sizeof turns->passed);
    turns->longest = 0;
    turns->sampling = ++turns->number % TURNS_SAMPLE_EVERY == 0;
    return length;
}

void turns_note_command(struct turns *turns, uint64_t ticks, uint64_t number) {
    if (ticks <= turns->longest) return;
    turns->longest = ticks;
    turns->longest_number = number;
}

void turn_stats_add(struct turn_stats *sum, const struct turn_stats *part) {
    sum->turns += part->turns;
    sum->samples += part->samples;
    sum->sample_commands += part->sample_commands;
    for (int i = 0; i < TURNS_PHASES; i++) sum->phase[i] += part->phase[i];
    for (int i = 0; i < TURNS_BUCKETS; i++) {
        sum->length[i] += part->length[i];
        sum->batch[i] += part->batch[i];
        sum->hop[i] += part->hop[i];
        sum->trip[i] += part->trip[i];
    }
}
