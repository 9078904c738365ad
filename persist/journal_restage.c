/* Restaging: what is not durable is written once more, to another segment.
 *
 *      segment 7   | header | durable ...... | not durable .... |          is cut behind what is durable
 *      segment 8   | header | not durable .... | what was in it already |
 *
 * Why not to the same place? After a sync that failed, the pages it was about may be marked as written though they are
 * not, and they may lie where the disk cannot write. Written to new blocks, through a descriptor that has seen no
 * error, their next sync says the truth about them. Batches go over as they are, since their checksums begin with the
 * generation, not with the segment. Should the cut get lost, both segments have the same batches (persist/segment.h,
 * Chain).
 *
 * Segment 8 may have been promised to a cut: everything after the cut goes to it, or behind. That stays true; whoever
 * reads from the cut on finds a few batches from before it, and tells by their numbers.
 *
 * A segment of which nothing is durable is replaced by a new file of the same name instead, or a disk that fails for an
 * hour would leave a trail of empty ones. */
#include "core/assert.h"
#include "persist/journal_priv.h"
#include <unistd.h>

bool journal_can_restage(const struct journal *journal) {
    const struct journal_file *file = journal->head;
    if (file->durable.offset == file->tail.end) return false;
    return file->durable.offset == 0 || journal->sync_trouble.failures > 0 ||
           (file->next && file->next->state == FILE_READY);
}

/* Nothing durable is in the file, and what was written to it is of no use: closing it waits for nothing. */
static void start_over(struct journal_file *file) {
    close(file->fd);
    file->fd = -1;
    file->state = FILE_WANTED;
    file->issued = file->landed = file->frontier = 0;
    file->written = (struct point){0};
    file->marks.written = 0;
    file->dirty = false;
}

/* Bytes and marks of `from` behind its offset `begin` move to the end of `to`. O(bytes). */
static void move_tail(struct journal_file *to, struct tail *from, struct marks *marks, uint64_t begin) {
    uint64_t up = to->tail.end - begin; /* wraps around when it is down: sums come out right */
    for (uint64_t at = begin; at < from->end;) {
        size_t len;
        const char *bytes = tail_at(from, at, &len);
        tail_append(&to->tail, bytes, len);
        at += len;
        tail_release(from, at);
    }
    for (uint32_t i = 0; i < marks->count; i++) {
        struct mark mark = *marks_at(marks, i);
        if (mark.begin < begin) continue;
        mark.begin += up;
        mark.end.offset += up;
        marks_add(&to->marks, &mark);
    }
    tail_deinit(from);
    marks_deinit(marks);
}

static struct batch_header first_batch_at(const struct journal *journal, uint64_t offset) {
    char line[BATCH_LINE];
    struct batch_header header;
    uint32_t crc;
    tail_copy(&journal->head->tail, offset, line, sizeof line);
    bool whole = batch_line_read(line, journal->seed, &header, &crc);
    ASSERT(whole && header.seq == journal->durable.seq + 1);
    return header;
}

static void move_to_next(struct journal *journal) {
    struct journal_file *file = journal->head, *next = journal_file_after(journal, file);
    ASSERT(next->issued == 0);
    struct batch_header first = first_batch_at(journal, file->durable.offset);
    struct tail tail = next->tail;
    struct marks marks = next->marks;
    uint64_t header = next->header;
    tail_init(&next->tail, journal->options.heap);
    marks_init(&next->marks, journal->options.heap);
    next->header = 0;
    journal_file_begin(journal, next, first.seq, first.db);
    move_tail(next, &file->tail, &file->marks, file->durable.offset);
    move_tail(next, &tail, &marks, header);
    if (journal->active == file) journal->active = next;
    journal_head_complete(journal);
}

void journal_restage(struct journal *journal) {
    ASSERT(journal->slots_count == 0);
    struct journal_file *file = journal->head;
    journal->restage = false;
    journal->flush_batch = journal->batch; /* it was to be durable already: its sync does not wait for another second */
    if (file->durable.offset == 0)
        start_over(file);
    else if (file->durable.offset < file->tail.end) /* else what was under way has done it */
        move_to_next(journal);
}
