/* The disk's side of the journal: the tail of the oldest segment that is not complete, written and synced.
 *
 * Whole pages are written, as O_DIRECT wants. The last page is usually not full: it is written with zeros behind the
 * data, and once more when there is more.
 *
 *      page    |  A A A A  |  A B B 0  |              first write: A and the beginning of B
 *              |  A A A A  |  A B B B  |  B 0 0 0  |  second write: two pages, the first of them for the second time
 *
 * Is it safe to write over bytes that are durable? A disk writes sectors (512 bytes or more) whole or not at all, and
 * the bytes of A are the same in both versions of the page: whatever sectors of the second write get there, A is there.
 * A drive that loses a sector when its power goes while it writes it can lose the end of any file that grows, since
 * appending through the page cache writes the last page again in just the same way.
 *
 * Two writes that are under way never share a page, or the older version could come last. So a write that ends within a
 * page is waited for before the next one begins, and batches gather meanwhile: group commit, without a timer. A backlog
 * is written in blocks of whole pages, up to WRITES_MAX of them at once, as they lie in the tail. The last part is
 * copied (bounce), so that the memory stays as it is while batches are appended behind it.
 *
 * Completions come in any order; `landed` is the end of what is written without a gap. What is durable follows from it:
 *
 *      durable writes       landed is durable, unless something before it was written plainly (dirty)
 *      a sync               what had landed when it began, when it ends well; and dirty is forgotten
 *      a sync that fails    nothing, for good: the system may have dropped what it could not write and will not say so
 *                           again. All bytes that are not durable are still here, and go to another segment
 *                           (persist/journal_restage.c).
 *
 * A write that fails is repeated at its place; nothing is lost by it.
 *
 * Under `always` replies wait for all this. A device with a volatile cache needs a flush after each write, which takes
 * longer than the write. The kernel can do both for one call (RWF_DSYNC), but then the flush is begun by a kernel
 * thread that is bound to the CPU of the device's interrupts and may have to wait for it, and the next write, which
 * shares a page, waits for the flush too. So on such a device the writes are plain and each is followed by a sync;
 * while that is under way, batches gather, and a write is a small part of what a sync takes. (Written meanwhile, a
 * batch at a time, 50 clients came to half the throughput and half as many bytes again.) Two syncs at once are no
 * quicker (measured), and of two only one would be told of an error that both are about. When a sync has ended, those
 * whose replies it lets go are waited for a little, so that the next one is about all of them (persist/regroup.h). */
#include "core/assert.h"
#include "persist/journal_priv.h"
#include <errno.h>
#include <string.h>

static bool resting(const struct journal *journal, const struct trouble *trouble) {
    return journal->now_ns < trouble->retry_ns;
}

static bool in_a_hurry(const struct journal *journal) {
    return journal->durable.seq < journal->flush_batch;
}

/* --- what has landed --- */

static void set_durable(struct journal *journal, const struct point *point) {
    if (point->offset <= journal->head->durable.offset) return;
    journal->bytes_durable += point->offset - journal->head->durable.offset;
    journal->head->durable = *point;
    journal->durable = *point;
    trouble_over(journal, &journal->sync_trouble);
}

static void go_back(struct journal *journal) {
    journal->slots_first = journal->slots_count = 0;
    journal->head->issued = journal->head->landed;
    journal->rewind = false;
}

static void land(struct journal *journal) {
    struct journal_file *file = journal->head;
    uint64_t before = file->landed;
    while (journal->slots_count && journal->slots[journal->slots_first].done) {
        file->landed = journal->slots[journal->slots_first].end;
        journal->slots_first = (journal->slots_first + 1) % WRITES_MAX;
        journal->slots_count--;
    }
    journal->bytes_written += file->landed - before;
    marks_advance(&file->marks, file->landed, &file->written);
    if (!file->dirty && !journal->syncing) set_durable(journal, &file->written);
}

static void write_done(void *owner, int64_t result) {
    struct write_slot *slot = owner;
    struct journal *journal = slot->journal;
    journal->in_flight--;
    slot->done = true;
    if (result != (int64_t)(slot->to - slot->from)) {
        trouble_found(journal, &journal->write_trouble, result < 0 ? (int)-result : EIO, "write");
        journal->rewind = true;
        /* Perhaps the place is bad. */
        if (journal->write_trouble.failures % RETRIES_IN_PLACE == 0) journal->restage |= journal_can_restage(journal);
    } else if (!journal->rewind) {
        trouble_over(journal, &journal->write_trouble);
        if (!slot->durable) journal->head->dirty = true;
        land(journal);
    }
    if (journal->rewind && journal->in_flight == 0) go_back(journal);
}

/* --- writes --- */

static struct write_slot *next_slot(struct journal *journal) {
    return &journal->slots[(journal->slots_first + journal->slots_count) % WRITES_MAX];
}

/* Does the write share pages with one that is under way? The last slot reaches farthest. */
static bool overlaps(const struct journal *journal, uint64_t from, uint64_t to) {
    if (journal->filling && from < journal->fill_to && to > journal->fill_from) return true;
    if (journal->slots_count == 0) return false;
    return journal->slots[(journal->slots_first + journal->slots_count - 1) % WRITES_MAX].to > from;
}

/* The end of the data from `from` on, with zeros up to the end of a page: at least one, so that an end can be told. */
static const char *bounce_end(struct journal *journal, uint64_t from, uint64_t to) {
    const struct tail *tail = &journal->head->tail;
    size_t data = (size_t)(tail->end - from);
    tail_copy(tail, from, journal->bounce, data);
    memset(journal->bounce + data, 0, (size_t)(to - tail->end));
    return journal->bounce;
}

static uint64_t chunk_bytes(const struct journal *journal) {
    return journal->chunk_bytes ? MIN(journal->chunk_bytes, SYNC_BYTES) : SYNC_BYTES;
}

/* False: it has to wait for one that is under way. */
static bool issue_write(struct journal *journal) {
    struct journal_file *file = journal->head;
    uint64_t left = file->tail.end - file->issued, from = page_down(file->issued), to = page_up(file->tail.end + 1);
    bool last = to - from <= BOUNCE_BYTES;
    size_t together = 0;
    const char *bytes = last ? NULL : tail_at(&file->tail, from, &together);
    /* The end comes with zeros, see bounce_end. */
    if (!last) to = MIN(from + MIN(together, page_up(chunk_bytes(journal))), page_down(file->tail.end - 1));
    if (overlaps(journal, from, to)) return false;
    if (last) bytes = bounce_end(journal, from, to);
    struct write_slot *slot = next_slot(journal);
    *slot = (struct write_slot){.journal = journal, .from = from, .to = to, .end = last ? file->tail.end : to};
    slot->durable = journal_writes_durably(journal) && left <= DURABLE_BYTES;
    journal->slots_count++;
    journal->in_flight++;
    journal->writes++;
    journal->write_began_ns = journal->now_ns;
    file->issued = slot->end;
    file->frontier = MAX(file->frontier, to);
    const struct disk *disk = &journal->options.disk;
    disk->write(disk->ctx, file->fd, bytes, (size_t)(to - from), from, slot->durable, write_done, slot);
    return true;
}

/* When the oldest batch that no write covers was closed. Few marks are written to a part: those under way. */
static uint64_t oldest_unissued_ns(const struct journal_file *file) {
    for (uint32_t i = file->marks.written; i < file->marks.count; i++) {
        const struct mark *mark = marks_at(&file->marks, i);
        if (mark->end.offset > file->issued) return mark->closed_ns;
    }
    return 0;
}

/* What comes while a sync is under way, or about to be, is written when that has ended, in one piece: several pieces
 * would each write the last page once more, and none would be durable any sooner. What is long goes on its way. */
static bool gathers_for_sync(const struct journal *journal) {
    const struct journal_file *file = journal->head;
    return journal->fsync == APPENDFSYNC_ALWAYS && !journal->options.write_through && file == journal->active &&
           !in_a_hurry(journal) && file->tail.end - file->issued < BOUNCE_BYTES;
}

static bool has_to_sync(const struct journal *journal) {
    const struct journal_file *file = journal->head;
    return journal->syncing || journal->in_flight > 0 || file->written.offset > file->durable.offset;
}

/* When what is there is to be written. */
static uint64_t write_due_ns(const struct journal *journal) {
    const struct journal_file *file = journal->head;
    if (file->tail.end == file->issued) return UINT64_MAX;
    if (gathers_for_sync(journal)) return has_to_sync(journal) ? UINT64_MAX : regroup_due_ns(&journal->regroup);
    if (journal->fsync == APPENDFSYNC_ALWAYS || file != journal->active || in_a_hurry(journal)) return 0;
    if (file->tail.end - file->issued >= GATHER_BYTES) return 0;
    return oldest_unissued_ns(file) + GATHER_NS;
}

/* Enough is on its way, and a sync is due for a part of it: its end goes on. (A batch may be longer than that, and is
 * written to its end.) */
static bool is_enough_for_now(const struct journal *journal) {
    const struct journal_file *file = journal->head;
    uint64_t chunk = chunk_bytes(journal);
    return journal->chunk_bytes && file->issued - file->durable.offset >= 2 * chunk &&
           (journal->in_flight > 0 || file->written.offset - file->durable.offset >= chunk);
}

static void issue_writes(struct journal *journal) {
    if (journal->head->state != FILE_READY || journal->rewind || journal->restage) return;
    if (resting(journal, &journal->write_trouble)) return;
    while (journal->slots_count < WRITES_MAX && !is_enough_for_now(journal) &&
           write_due_ns(journal) <= journal->now_ns && issue_write(journal))
        continue;
}

/* --- syncs --- */

static void sync_done(void *owner, int64_t result) {
    struct journal *journal = owner;
    struct journal_file *file = journal->head;
    journal->syncing = false;
    journal->sync_ended = true;
    if (result < 0) {
        file->dirty = true;
        trouble_found(journal, &journal->sync_trouble, (int)-result, "sync");
        journal->restage = journal_can_restage(journal);
        return;
    }
    set_durable(journal, file->dirty ? &journal->sync_point : &file->written);
}

/* When what is written is to be synced. */
static uint64_t sync_due_ns(const struct journal *journal) {
    const struct journal_file *file = journal->head;
    if (file->written.offset <= file->durable.offset) return UINT64_MAX;
    /* What is being written is waited for: its end comes long before that of a sync. */
    if (journal->fsync == APPENDFSYNC_ALWAYS) return journal->in_flight && gathers_for_sync(journal) ? UINT64_MAX : 0;
    if (in_a_hurry(journal) && file->written.seq >= journal->flush_batch) return 0;
    if (file != journal->active && file->written.offset == file->tail.end) return 0;
    if (file->written.offset - file->durable.offset >= chunk_bytes(journal)) return 0;
    uint64_t every_ns = journal->fsync == APPENDFSYNC_EVERYSEC ? SYNC_NS : UINT64_MAX;
    if (journal->sync_every_ns) every_ns = journal->sync_every_ns;
    return every_ns == UINT64_MAX ? every_ns : journal->sync_began_ns + every_ns;
}

static void issue_sync(struct journal *journal) {
    if (journal->syncing || journal->restage || resting(journal, &journal->sync_trouble)) return;
    if (sync_due_ns(journal) > journal->now_ns) return;
    journal->syncing = true;
    journal->sync_began_ns = journal->now_ns;
    journal->sync_point = journal->head->written;
    journal->head->dirty = false;
    journal->syncs++;
    const struct disk *disk = &journal->options.disk;
    disk->sync(disk->ctx, journal->head->fd, sync_done, journal);
}

/* --- the step --- */

static bool busy(const struct journal *journal) {
    return journal->in_flight > 0 || journal->syncing || journal->filling;
}

void journal_head_complete(struct journal *journal) {
    struct journal_file *file = journal->head;
    ASSERT(file != journal->active && file->next && !busy(journal) && journal->slots_count == 0);
    journal->head = file->next;
    file->next = NULL;
    *journal->complete_end = file;
    journal->complete_end = &file->next;
}

static bool head_is_complete(const struct journal *journal) {
    const struct journal_file *file = journal->head;
    return file != journal->active && file->durable.offset == file->tail.end && !busy(journal);
}

static void release(struct journal *journal) {
    struct journal_file *file = journal->head;
    marks_drop(&file->marks, file->durable.offset);
    tail_release(&file->tail, file->durable.offset);
}

static void note_sync(struct journal *journal) {
    uint64_t now_ns = journal->now_ns, round_ns = now_ns - journal->write_began_ns;
    journal->sync_ns_last = now_ns - journal->sync_began_ns;
    journal->sync_ns_max = MAX(journal->sync_ns_max, journal->sync_ns_last);
    journal->syncs_ended++;
    journal->sync_ended = false;
    regroup_begin(&journal->regroup, now_ns, journal->durable.position, journal->position, round_ns);
}

void journal_write_step(struct journal *journal) {
    if (journal->sync_ended) note_sync(journal);
    regroup_turn(&journal->regroup, journal->now_ns, journal->position);
    bool rest = resting(journal, &journal->write_trouble) || resting(journal, &journal->sync_trouble);
    if (journal->restage && !rest && !busy(journal)) journal_restage(journal);
    release(journal);
    while (head_is_complete(journal)) journal_head_complete(journal);
    issue_writes(journal);
    issue_sync(journal);
}

uint64_t journal_write_wait_ns(const struct journal *journal) {
    if (journal->head->state != FILE_READY) return UINT64_MAX; /* the job's end is the next event */
    uint64_t write = write_due_ns(journal), sync = sync_due_ns(journal);
    if (journal->restage) write = 0;
    if (is_enough_for_now(journal)) write = UINT64_MAX;
    if (busy(journal) && write <= journal->now_ns) write = UINT64_MAX; /* so is a completion */
    if (journal->syncing || journal->restage) sync = UINT64_MAX;
    if (write != UINT64_MAX) write = MAX(write, journal->write_trouble.retry_ns);
    if (sync != UINT64_MAX) sync = MAX(sync, journal->sync_trouble.retry_ns);
    if (journal->restage && write != UINT64_MAX) write = MAX(write, journal->sync_trouble.retry_ns);
    return MIN(write, sync);
}
