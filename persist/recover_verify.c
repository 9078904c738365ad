/* Recovery, VERIFY: every batch of every segment is read once; what is learnt is where whole batches end and which
 * transactions have a part here.
 *
 * Threads take segments from one list, so the work is even whatever the sizes of shards. What a segment says is judged
 * later, in JOIN, with its neighbours: here damage is only written down, or with recovery-damage skip passed over. */
#include "core/alloc.h"
#include "core/assert.h"
#include "persist/recover_priv.h"

void *recovery_make_room(void *list, uint32_t count, uint32_t *cap, size_t size) {
    if (count < *cap) return list;
    uint32_t more = MAX(64u, *cap * 2);
    void *larger = more > *cap ? shared_alloc(more * size) : NULL;
    if (!larger) return NULL;
    if (count) memcpy(larger, list, count * size);
    shared_free(list);
    *cap = more;
    return larger;
}

static bool add_part(struct recovery_segment *segment, const struct cut_part *part) {
    struct cut_part *parts =
        recovery_make_room(segment->parts, segment->part_count, &segment->part_cap, sizeof *segment->parts);
    if (!parts) return false;
    segment->parts = parts;
    parts[segment->part_count++] = *part;
    return true;
}

static void stop_for_memory(struct recovery *recovery) {
    struct error error = {0};
    (void)error_set(&error, ST_NO_MEMORY, 0, "No memory to recover: too many transactions since the last checkpoint");
    recovery_fail(recovery, &error);
}

/* --- a payload --- */

/* What frames effects; it is none itself. */
static bool is_frame(const struct effect_reader *effects) {
    struct slice name = effects->argv[0];
    return slice_is(name, "select") || slice_is(name, "multi") || slice_is(name, "exec");
}

/* Bytes of the payload that count: all, unless the journal is over and ends in this batch. */
static uint64_t counted_payload(const struct recovery *recovery, const struct recovery_segment *segment, uint64_t seq,
                                uint64_t payload) {
    const struct recovery_chain *chain = &recovery->chains[segment->chain];
    const struct manifest_range *range = recovery_range(recovery, chain);
    if (!recovery->manifest.generations[chain->generation].over || seq <= range->last_seq) return payload;
    return seq == range->last_seq + 1 ? MIN(range->last_part, payload) : 0;
}

/* False: its content is no effects. */
static bool read_payload(struct recovery *recovery, struct recovery_thread *thread, struct recovery_segment *segment) {
    uint64_t counted = counted_payload(recovery, segment, thread->batch.seq, thread->payload.len);
    uint64_t payload_at = segment_offset(thread->reader) - thread->payload.len;
    effect_reader_start(&thread->effects, thread->payload);
    for (;;) {
        uint64_t offset = thread->payload.len - thread->effects.rest.len;
        if (offset >= counted) return true;
        struct cut_part part = {
            .seq = thread->batch.seq, .at = payload_at + offset, .offset = offset, .writes = segment->writes};
        switch (effect_reader_next(&thread->effects)) {
        case EFFECT_END: return true;
        case EFFECT_BROKEN: return false;
        case EFFECT_COMMAND: segment->writes += !is_frame(&thread->effects); break;
        case EFFECT_TRANSACTION:
            part.stamp = thread->effects.stamp;
            part.participants = thread->effects.participants;
            if (!add_part(segment, &part)) stop_for_memory(recovery);
            break;
        case EFFECT_PIECE: break;
        case EFFECT_PIECES_END:
            if (!recovery_note_end(segment, &(struct recovery_end){thread->effects.stamp, part.seq, offset}))
                stop_for_memory(recovery);
            break;
        }
    }
}

/* --- a segment --- */

static void close_segment(struct recovery *recovery, struct recovery_thread *thread) {
    recovery_count_bytes(thread, recovery->segments[thread->segment].size);
    segment_close(thread->reader);
    thread->reader = NULL;
}

/* A file of another journal's, by its header: it was recycled, and nothing was written to it since. */
static bool is_others(const struct recovery *recovery, const struct recovery_segment *segment) {
    const struct recovery_chain *chain = &recovery->chains[segment->chain];
    return segment->header.boot != recovery->manifest.generations[chain->generation].boot ||
           segment->header.shard != chain->shard;
}

static void open_segment(struct recovery *recovery, struct recovery_thread *thread) {
    struct recovery_segment *segment = &recovery->segments[thread->segment];
    char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
    struct error error = {0};
    thread->counted = 0;
    recovery_segment_path(recovery, segment, path);
    segment->opened = segment_open(&thread->reader, path, &segment->header, &error);
    segment->os_errno = error.os_errno;
    if (segment->opened != ST_OK) {
        thread->reader = NULL;
        return;
    }
    segment->size = segment_size(thread->reader);
    segment->end_offset = segment_offset(thread->reader);
    if (!is_others(recovery, segment)) return;
    segment->opened = ST_NOT_FOUND;
    close_segment(recovery, thread);
}

/* Is the journal over before this batch? What follows was given up long ago, and may be anything. */
static bool is_behind_end(const struct recovery *recovery, const struct recovery_segment *segment, uint64_t seq) {
    const struct recovery_chain *chain = &recovery->chains[segment->chain];
    const struct manifest_range *range = recovery_range(recovery, chain);
    return recovery->manifest.generations[chain->generation].over && seq > range->last_seq + (range->last_part > 0);
}

static void end_segment(struct recovery *recovery, struct recovery_thread *thread, enum segment_end end) {
    struct recovery_segment *segment = &recovery->segments[thread->segment];
    segment->end = end;
    close_segment(recovery, thread);
}

/* Damage inside: over it, when that is wanted and something follows. */
static bool pass_over(struct recovery *recovery, struct recovery_thread *thread) {
    struct recovery_segment *segment = &recovery->segments[thread->segment];
    if (recovery->options.damage != DAMAGE_SKIP || !segment_skip(thread->reader)) return false;
    segment->skipped++;
    segment->skipped_until = segment_offset(thread->reader);
    return true;
}

static void read_batch(struct recovery *recovery, struct recovery_thread *thread) {
    struct recovery_segment *segment = &recovery->segments[thread->segment];
    uint64_t expected = segment->last_seq ? segment->last_seq + 1 : segment->header.first_batch;
    if (is_behind_end(recovery, segment, expected)) {
        end_segment(recovery, thread, SEGMENT_SEALED);
        return;
    }
    enum segment_end end = segment_next(thread->reader, &thread->batch, &thread->payload);
    if (end == SEGMENT_DAMAGED && pass_over(recovery, thread)) return;
    if (end != SEGMENT_MORE) {
        end_segment(recovery, thread, end);
        return;
    }
    if (!read_payload(recovery, thread, segment)) {
        if (recovery->options.damage != DAMAGE_SKIP) {
            segment->broken_seq = thread->batch.seq;
            end_segment(recovery, thread, SEGMENT_DAMAGED);
            return;
        }
        segment->skipped++;
        segment->skipped_until = segment_offset(thread->reader);
    }
    segment->end_offset = segment_offset(thread->reader);
    segment->last_seq = thread->batch.seq;
    recovery_count_bytes(thread, segment->end_offset);
}

bool recovery_verify_step(struct recovery *recovery, struct recovery_thread *thread) {
    if (thread->reader) {
        read_batch(recovery, thread);
        return true;
    }
    /* Relaxed: only the number matters; what stands there is constant. */
    uint32_t next = atomic_fetch_add_explicit(&recovery->next_segment, 1, memory_order_relaxed);
    if (next >= recovery->segment_count) return false;
    thread->segment = next;
    open_segment(recovery, thread);
    return true;
}

void recovery_verify_stop(struct recovery_thread *thread) {
    if (thread->reader) segment_close(thread->reader);
    thread->reader = NULL;
}
