/* The shard's side of the journal: batches and cuts.
 *
 *      effects --journal_turn--> batch --> active->tail ~~> disk          positions and numbers
 *                                  \-> active->marks     ~~> status       come back by the marks
 *
 * A batch is copied into the tail of the active segment behind its line, and from then on the disk's side
 * (persist/journal_write.c) works on bytes and offsets only. Marks say which batch ends where. Small batches that no
 * write covers yet share a mark, so there are about as many marks as writes.
 *
 * A cut and a full segment differ in one thing: after a cut the next batch goes to the next segment even when its file
 * is not there yet, and waits in memory until it is. A full segment rather grows a little longer. */
#include "persist/journal.h"
#include "core/assert.h"
#include "persist/journal_priv.h"
#include "shards/effect.h"
#include <string.h>

#define TAKEN_KEEP ((size_t)64 << 10) /* the buffer that effects are given back */

/* --- files in the list --- */

static struct journal_file *file_new(struct journal *journal, uint64_t number) {
    struct journal_file *file = heap_alloc_zero(journal->options.heap, MEM_JOURNAL, sizeof *file);
    file->number = number;
    file->fd = -1;
    tail_init(&file->tail, journal->options.heap);
    marks_init(&file->marks, journal->options.heap);
    return file;
}

void journal_file_delete(struct journal *journal, struct journal_file *file) {
    ASSERT(file->fd < 0);
    tail_deinit(&file->tail);
    marks_deinit(&file->marks);
    heap_free(journal->options.heap, MEM_JOURNAL, file, sizeof *file);
}

struct journal_file *journal_file_after(struct journal *journal, struct journal_file *file) {
    if (!file->next) file->next = file_new(journal, file->number + 1);
    return file->next;
}

void journal_file_begin(struct journal *journal, struct journal_file *file, uint64_t first_batch, uint32_t db) {
    ASSERT(file->header == 0 && file->tail.end == 0);
    struct segment_header header = {
        .boot = journal->options.boot,
        .first_batch = first_batch,
        .durable = journal->durable.seq,
        .shard = journal->options.shard,
        .shards = journal->options.shards,
        .db = db,
    };
    char text[SEGMENT_HEADER_MAX];
    file->header = segment_header_write(text, &header);
    tail_append(&file->tail, text, file->header);
}

/* --- batches --- */

static void add_mark(struct journal_file *file, const struct mark *mark) {
    struct mark *last = file->marks.count ? marks_at(&file->marks, file->marks.count - 1) : NULL;
    if (last && last->begin >= file->issued && mark->end.offset - last->begin <= MARK_BYTES)
        last->end = mark->end;
    else
        marks_add(&file->marks, mark);
}

static void append_batch(struct journal *journal, struct slice payload, uint32_t db) {
    struct journal_file *file = journal->active;
    struct batch_header header = {journal->batch, journal->durable.seq, payload.len, db};
    if (!file->header) journal_file_begin(journal, file, header.seq, db);
    char line[BATCH_LINE];
    batch_line_write(line, journal->seed, &header, payload.ptr);
    struct mark mark = {.begin = file->tail.end, .closed_ns = journal->now_ns};
    tail_append(&file->tail, line, sizeof line);
    tail_append(&file->tail, payload.ptr, payload.len);
    mark.end = (struct point){file->tail.end, journal->batch, journal->position};
    add_mark(file, &mark);
    journal->bytes_since_cut += sizeof line + payload.len;
    journal->bytes_appended += sizeof line + payload.len;
}

static void close_batch(struct journal *journal) {
    struct effects *effects = journal->options.effects;
    if (buf_readable(&effects->bytes) == 0) return;
    uint32_t db;
    effects_take(effects, &journal->taken, &db);
    journal->batch++;
    journal->position = effects->position;
    append_batch(journal, buf_slice(&journal->taken), db);
    buf_reset(&journal->taken, TAKEN_KEEP);
}

/* A full segment: goes on in the next one if that is there. */
static void rotate(struct journal *journal) {
    const struct journal_file *active = journal->active;
    if (active->tail.end < journal->options.segment_bytes || !active->next || active->next->state != FILE_READY) return;
    journal->active = active->next;
}

uint64_t journal_turn(struct journal *journal, uint64_t now_ns, enum config_appendfsync fsync) {
    if (journal->was_busy) journal->busy_ns += now_ns - journal->now_ns;
    journal->now_ns = now_ns;
    journal->fsync = fsync;
    close_batch(journal);
    rotate(journal);
    journal_write_step(journal);
    journal_files_step(journal); /* last: seals and prepares what the others are done with or want */
    journal->was_busy = journal->in_flight > 0 || journal->syncing;
    return journal->batch;
}

void journal_set_pace(struct journal *journal, uint64_t sync_every_ns, uint64_t chunk_bytes, bool spare) {
    ASSERT(sync_every_ns > 0 && chunk_bytes > 0);
    journal->sync_every_ns = sync_every_ns;
    journal->chunk_bytes = chunk_bytes;
    journal->fills_nothing = !spare;
}

void journal_set_room(struct journal *journal, bool roomy) {
    journal->keeps_nothing = !roomy;
}

uint64_t journal_cut(struct journal *journal) {
    ASSERT(buf_readable(&journal->options.effects->bytes) == 0);
    journal->bytes_since_cut = 0;
    if (journal->active->header) journal->active = journal_file_after(journal, journal->active);
    return journal->active->number;
}

void journal_drop_before(struct journal *journal, uint64_t segment) {
    ASSERT(segment <= journal->active->number);
    journal->drop_before = MAX(journal->drop_before, segment);
}

void journal_flush(struct journal *journal) {
    journal->flush_batch = journal->batch;
}

/* --- what it says of itself --- */

void trouble_found(struct journal *journal, struct trouble *trouble, int error, const char *what) {
    if (trouble->error != error)
        log_line(journal->options.log, LOG_LEVEL_WARNING, "Journal of shard %u: cannot %s: %s. It is tried again.",
                 journal->options.shard, what, strerror(error));
    uint64_t wait = trouble->failures < 6 ? RETRY_NS_FIRST << trouble->failures : RETRY_NS_MAX;
    trouble->error = error;
    trouble->failures++;
    trouble->retry_ns = journal->now_ns + MIN(wait, RETRY_NS_MAX);
}

void trouble_over(struct journal *journal, struct trouble *trouble) {
    if (trouble->failures)
        log_line(journal->options.log, LOG_LEVEL_NOTICE, "Journal of shard %u: after %u failures (%s) it goes on.",
                 journal->options.shard, trouble->failures, strerror(trouble->error));
    *trouble = (struct trouble){0};
}

static int first_error(const struct journal *journal) {
    if (journal->write_trouble.error) return journal->write_trouble.error;
    if (journal->sync_trouble.error) return journal->sync_trouble.error;
    return journal->head->state != FILE_READY ? journal->prepare_trouble.error : 0;
}

/* O(marks that became durable since the last turn). */
static uint64_t oldest_after(const struct journal_file *file, uint64_t offset) {
    for (uint32_t i = 0; i < file->marks.count; i++) {
        const struct mark *mark = marks_at(&file->marks, i);
        if (mark->end.offset > offset) return mark->closed_ns;
    }
    return 0;
}

static uint64_t spare_bytes(const struct journal *journal) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < journal->spare_count; i++) bytes += journal->spares[i].bytes;
    for (const struct journal_file *file = journal->head; file; file = file->next)
        bytes += file->frontier - MIN(file->frontier, page_up(file->issued));
    return bytes;
}

void journal_read_status(const struct journal *journal, struct journal_status *out) {
    *out = (struct journal_status){
        .batch_written = journal->batch,
        .batch_durable = journal->durable.seq,
        .position_written = journal->position,
        .position_durable = journal->durable.position,
        .bytes_written = journal->bytes_written,
        .bytes_appended = journal->bytes_appended,
        .bytes_durable = journal->bytes_durable,
        .busy_ns = journal->busy_ns,
        .segment = journal->active->number,
        .segment_bytes = journal->active->tail.end,
        .bytes_since_cut = journal->bytes_since_cut,
        .bytes_spare = spare_bytes(journal),
        .error = first_error(journal),
        .prepare_error = journal->prepare_trouble.error,
        .writes = journal->writes,
        .syncs = journal->syncs,
        .sync_ns_max = journal->sync_ns_max,
        .syncs_ended = journal->syncs_ended,
        .sync_ns_last = journal->sync_ns_last,
    };
    for (const struct journal_file *file = journal->head; file; file = file->next) {
        out->bytes_pending += file->tail.end - file->durable.offset;
        if (out->oldest_pending_ns == 0) out->oldest_pending_ns = oldest_after(file, file->durable.offset);
    }
}

uint64_t journal_wait_ns(const struct journal *journal, uint64_t now_ns) {
    uint64_t at = MIN(journal_write_wait_ns(journal), journal_files_wait_ns(journal));
    if (at == UINT64_MAX) return at;
    return at > now_ns ? at - now_ns : 0;
}

bool journal_idle(const struct journal *journal) {
    return journal->in_flight == 0 && !journal->syncing && !journal->filling && !journal->prepare.busy &&
           !journal->seal.busy && !journal->remove.busy;
}

/* --- life --- */

enum status journal_open(struct journal **out, const struct journal_options *options, struct error *error) {
    ASSERT(options->first_batch > 0 && options->shard < options->shards);
    if (strlen(options->dir) >= CONFIG_PATH_MAX)
        return error_set(error, ST_TOO_LARGE, 0, "the path of the data directory is too long");
    struct journal *journal = heap_alloc_zero(options->heap, MEM_JOURNAL, sizeof *journal);
    journal->options = *options;
    if (options->segment_bytes == 0) journal->options.segment_bytes = SEGMENT_BYTES;
    memcpy(journal->dir, options->dir, strlen(options->dir) + 1);
    journal->options.dir = journal->dir;
    journal->seed = segment_seed(options->boot, options->shard);
    journal->batch = journal->durable.seq = options->first_batch - 1;
    journal->position = journal->durable.position = options->effects->position;
    journal->regroup.answered = journal->position;
    journal->complete_end = &journal->complete;
    journal->bounce = heap_alloc_aligned(options->heap, MEM_JOURNAL, BOUNCE_BYTES, SEGMENT_PAGE);
    buf_init(&journal->taken, options->heap, MEM_JOURNAL);
    journal->head = journal->active = file_new(journal, options->first_segment);
    options->effects->on = true;
    journal_files_step(journal);
    *out = journal;
    return ST_OK;
}

void journal_close(struct journal *journal) {
    ASSERT(journal_idle(journal));
    struct heap *heap = journal->options.heap;
    journal->options.effects->on = false;
    journal_files_close(journal);
    buf_deinit(&journal->taken);
    heap_free(heap, MEM_JOURNAL, journal->bounce, BOUNCE_BYTES);
    heap_free(heap, MEM_JOURNAL, journal, sizeof *journal);
}
