/* Recovery, JOIN: from what each segment says to where each journal ends.
 *
 * Segments of a journal follow each other by the numbers of their batches: each goes on where the one before ended, or
 * repeats some of it. Where nothing goes on, the journal ends. Whether that is a crash's doing or damage is told by
 * what is known to have been durable: by lines within the segment (persist/segment.h), by the header of a later
 * segment, by the checkpoint, which was not done before the journal was durable up to it, and by the manifest for a
 * journal that is over.
 *
 * Then the transactions of the generation's journals are brought in agreement (persist/cut.h). One generation after the
 * other: no transaction is in two. */
#include "core/alloc.h"
#include "core/assert.h"
#include "persist/recover_priv.h"
#include <inttypes.h>
#include <stdio.h>

#define CUT_PARTS 4096 /* per step: about a millisecond */

#define WHAT_MAX 320 /* a sentence about damage, with a name in it */

static const struct manifest_generation *generation_of(const struct recovery *recovery,
                                                       const struct recovery_chain *chain) {
    return &recovery->manifest.generations[chain->generation];
}

/* Batches of this chain up to here are in the checkpoint. */
static uint64_t checkpoint_last(const struct recovery *recovery, const struct recovery_chain *chain) {
    const struct manifest_checkpoint *checkpoint = &recovery->manifest.checkpoint;
    bool is_its = checkpoint->number && checkpoint->boot == generation_of(recovery, chain)->boot;
    return is_its && chain->shard < checkpoint->shards ? checkpoint->files[chain->shard].last : 0;
}

/* --- one journal --- */

static bool is_damaged(struct recovery *recovery, struct recovery_chain *chain, const char *what) {
    chain->damaged = true;
    return recovery_may_go_on(recovery, what);
}

static void name_segment(const struct recovery *recovery, const struct recovery_segment *segment,
                         char out[DATADIR_NAME_MAX]) {
    datadir_segment_name(out, recovery->chains[segment->chain].shard, segment->number);
}

/* It could not be opened. False: failed. */
static bool judge_unopened(struct recovery *recovery, struct recovery_chain *chain,
                           const struct recovery_segment *segment) {
    char name[DATADIR_NAME_MAX], what[WHAT_MAX];
    name_segment(recovery, segment, name);
    if (segment->opened == ST_INVALID)
        snprintf(what, sizeof what, "%s does not begin (at byte 0) as a segment of the journal", name);
    else
        snprintf(what, sizeof what, "%s cannot be read: %s", name,
                 segment->os_errno ? strerror(segment->os_errno) : status_text(segment->opened));
    return is_damaged(recovery, chain, what);
}

/* Its first batch is not the one that has to follow. True: it goes on nevertheless (skip). */
static bool judge_gap(struct recovery *recovery, struct recovery_chain *chain, const struct recovery_segment *segment,
                      uint64_t expected) {
    char name[DATADIR_NAME_MAX], what[WHAT_MAX];
    if (segment->header.durable < expected) return false; /* a crash: nobody was promised that it is there */
    name_segment(recovery, segment, name);
    snprintf(what, sizeof what,
             "batches %" PRIu64 " to %" PRIu64 " of shard %" PRIu32 ", which were durable, are missing before %s",
             expected, segment->header.first_batch - 1, chain->shard, name);
    return is_damaged(recovery, chain, what) && recovery->options.damage == DAMAGE_SKIP;
}

/* How it ends. True: the journal may go on behind it. */
static bool judge_end(struct recovery *recovery, struct recovery_chain *chain, const struct recovery_segment *segment) {
    char name[DATADIR_NAME_MAX], what[WHAT_MAX];
    name_segment(recovery, segment, name);
    if (segment->skipped) {
        snprintf(what, sizeof what, "%s is damaged in %" PRIu64 " places before byte %" PRIu64, name, segment->skipped,
                 segment->skipped_until);
        if (!is_damaged(recovery, chain, what)) return false;
    }
    if (segment->end != SEGMENT_DAMAGED && segment->end != SEGMENT_UNREADABLE) return true;
    snprintf(what, sizeof what, "%s is damaged at byte %" PRIu64 " (%s)", name, segment->end_offset,
             segment->broken_seq                  ? "the batch holds no commands"
             : segment->end == SEGMENT_UNREADABLE ? "it cannot be read"
                                                  : "a batch that was durable is broken");
    return is_damaged(recovery, chain, what) && recovery->options.damage == DAMAGE_SKIP;
}

static void report_torn(struct recovery *recovery, const struct recovery_segment *segment) {
    char name[DATADIR_NAME_MAX];
    if (segment->end != SEGMENT_TORN) return;
    name_segment(recovery, segment, name);
    log_line(recovery->options.log, LOG_LEVEL_NOTICE,
             "%s ends at byte %" PRIu64 " inside of a write that a crash interrupted; the journal ends there", name,
             segment->end_offset);
}

/* The parts of a segment that count: those of batches that no segment before it had. */
static void add_run(struct recovery *recovery, uint32_t index, uint64_t from_seq) {
    const struct recovery_segment *segment = &recovery->segments[index];
    uint32_t first = 0;
    while (first < segment->part_count && segment->parts[first].seq < from_seq) first++;
    if (first == segment->part_count) return;
    recovery->run_segments[recovery->run_count] = index;
    recovery->runs[recovery->run_count++] =
        (struct cut_run){segment->parts + first, segment->part_count - first, recovery->chains[segment->chain].shard};
}

/* One segment, with batch `expected` to follow; returns what has to follow then, or 0: the journal ends. */
static uint64_t follow(struct recovery *recovery, struct recovery_chain *chain, uint32_t index, uint64_t expected) {
    const struct recovery_segment *segment = &recovery->segments[index];
    if (segment->opened == ST_NOT_FOUND) return expected;
    if (segment->opened != ST_OK)
        return judge_unopened(recovery, chain, segment) && recovery->options.damage == DAMAGE_SKIP ? expected : 0;
    if (segment->header.first_batch > expected) {
        if (!judge_gap(recovery, chain, segment, expected)) return 0;
        expected = segment->header.first_batch;
    }
    if (segment->last_seq >= expected) {
        add_run(recovery, index, expected);
        chain->end_segment = index;
        chain->end_seq = segment->last_seq;
    }
    return judge_end(recovery, chain, segment) ? MAX(expected, segment->last_seq + 1) : 0;
}

/* What was durable for certain is there? */
static void judge_reach(struct recovery *recovery, struct recovery_chain *chain) {
    const struct manifest_range *range = recovery_range(recovery, chain);
    bool over = generation_of(recovery, chain)->over;
    uint64_t needed = over ? range->last_seq + (range->last_part > 0) : 0;
    needed = MAX(needed, checkpoint_last(recovery, chain));
    if (chain->end_seq < needed && !chain->damaged) {
        char what[WHAT_MAX];
        snprintf(what, sizeof what,
                 "the journal of shard %" PRIu32 " from segment %" PRIu64 " on ends with batch %" PRIu64
                 ", but had been durable to batch %" PRIu64,
                 chain->shard, range->first_segment, chain->end_seq, needed);
        (void)is_damaged(recovery, chain, what);
    } else if (over && chain->end_seq >= needed) {
        chain->end_seq = range->last_seq;
        chain->end_part = range->last_part;
    }
}

static void join_chain(struct recovery *recovery, struct recovery_chain *chain) {
    uint64_t expected = recovery_range(recovery, chain)->first_seq;
    uint32_t at = 0;
    chain->end_seq = expected - 1;
    chain->end_segment = chain->first;
    for (; at < chain->count; at++) {
        uint64_t next = follow(recovery, chain, chain->first + at, expected);
        if (!next) break;
        expected = next;
    }
    if (chain->count && !chain->damaged) report_torn(recovery, &recovery->segments[chain->end_segment]);
    judge_reach(recovery, chain);
}

/* --- one generation --- */

static uint32_t chain_end(const struct recovery *recovery) {
    return recovery->join_chain + recovery->manifest.generations[recovery->join_generation].shards;
}

static bool reserve_runs(struct recovery *recovery) {
    const struct recovery_chain *first = &recovery->chains[recovery->join_chain];
    const struct recovery_chain *last = &recovery->chains[chain_end(recovery) - 1];
    uint32_t count = last->first + last->count - first->first;
    recovery->runs = shared_alloc(MAX(count, 1u) * sizeof *recovery->runs);
    recovery->run_segments = shared_alloc(MAX(count, 1u) * sizeof *recovery->run_segments);
    recovery->run_count = 0;
    return recovery->runs && recovery->run_segments;
}

static void fail_for_memory(struct recovery *recovery) {
    struct error error = {0};
    (void)error_set(&error, ST_NO_MEMORY, 0, "No memory to recover: too many transactions since the last checkpoint");
    recovery_fail(recovery, &error);
}

static void begin_generation(struct recovery *recovery) {
    uint64_t forgiven = 0;
    if (!reserve_runs(recovery)) {
        fail_for_memory(recovery);
        return;
    }
    for (uint32_t c = recovery->join_chain; c < chain_end(recovery); c++) {
        join_chain(recovery, &recovery->chains[c]);
        if (recovery->chains[c].damaged && recovery->options.damage == DAMAGE_SKIP)
            forgiven |= 1ull << recovery->chains[c].shard;
    }
    recovery->cut = cut_new(recovery->runs, recovery->run_count, forgiven);
    if (!recovery->cut) fail_for_memory(recovery);
}

/* Ends a journal before a part, and counts what that costs. */
static void take_back(struct recovery *recovery, struct recovery_chain *chain, const struct cut_part *part,
                      uint32_t index) {
    struct recovery_result *result = &recovery->result;
    uint32_t last = chain->end_segment;
    for (uint32_t i = index; i <= last; i++) {
        const struct recovery_segment *segment = &recovery->segments[i];
        if (segment->opened != ST_OK) continue;
        result->lost_bytes += segment->end_offset - (i == index ? part->at : 0);
        result->lost_writes += segment->writes - (i == index ? part->writes : 0);
    }
    chain->end_segment = index;
    chain->end_seq = part->seq - 1;
    chain->end_part = part->offset;
    if (chain->end_seq >= checkpoint_last(recovery, chain)) return;
    char what[WHAT_MAX];
    snprintf(what, sizeof what,
             "the checkpoint of shard %" PRIu32 " has batch %" PRIu64 ", whose transaction %016" PRIx64
             " is missing in another shard's journal",
             chain->shard, part->seq, part->stamp);
    (void)is_damaged(recovery, chain, what);
}

static void end_generation(struct recovery *recovery) {
    bool damaged = false;
    for (uint32_t c = recovery->join_chain; c < chain_end(recovery); c++) {
        struct recovery_chain *chain = &recovery->chains[c];
        uint32_t run;
        const struct cut_part *part = cut_end(recovery->cut, chain->shard, &run);
        if (part) take_back(recovery, chain, part, recovery->run_segments[run]);
        if (!recovery_join_ends(recovery, chain)) fail_for_memory(recovery);
        damaged |= chain->damaged;
    }
    recovery->result.lost_transactions += cut_transactions(recovery->cut);
    recovery->join_chain = chain_end(recovery);
    recovery->join_generation++;
    if (damaged && recovery->options.damage == DAMAGE_TRUNCATE) { /* what came later built on what is lost */
        recovery->manifest.generation_count = recovery->join_generation;
        recovery->chain_count = recovery->join_chain;
    }
    cut_delete(recovery->cut);
    shared_free(recovery->runs);
    shared_free(recovery->run_segments);
    recovery->cut = NULL;
    recovery->runs = NULL;
    recovery->run_segments = NULL;
}

static void report_loss(const struct recovery *recovery) {
    const struct recovery_result *result = &recovery->result;
    if (result->lost_transactions == 0) return;
    log_line(recovery->options.log, LOG_LEVEL_WARNING,
             "%" PRIu64 " transactions over several shards did not reach all of their journals before the crash; taken "
             "back with what stood behind them: %" PRIu64 " writes, %" PRIu64 " bytes",
             result->lost_transactions, result->lost_writes, result->lost_bytes);
}

bool recovery_join_step(struct recovery *recovery) {
    if (recovery->cut) {
        if (!cut_step(recovery->cut, CUT_PARTS)) end_generation(recovery);
        return true;
    }
    if (recovery->join_generation < recovery->manifest.generation_count) {
        begin_generation(recovery);
        return true;
    }
    report_loss(recovery);
    return false;
}
