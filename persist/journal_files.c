/* The files of the journal.
 *
 *      wanted --job--> ready --writes--> complete --job--> sealed --no checkpoint needs it--> spare --job--> ready
 *                                                                                     \----> removed
 *
 * Prepared  a file is there, durably with its name, before anything is written to it. Its first page is zeros, so that
 *           after a crash it reads as empty whatever a recycled file held.
 * Filled    a durable write that makes the file longer has to wait for the file system's journal; one over bytes that
 *           are there does not (100 us against 150). So where writes are durable (`always`, write_through) zeros are
 *           written ahead of the data: at least FILL_BYTES, as much again as there is, at most FILL_AHEAD_MAX; a server
 *           that writes little has small files. Otherwise nobody waits for a write, or a flush of the device takes many
 *           times as long, and zeros would only double what the disk is given: blocks are reserved ahead (fallocate).
 *           Both tell of a full disk before data meet it. Data never wait for either: when they
 *           catch up, or the disk has no time to spare (journal_set_pace), they make the file longer themselves. A
 *           recycled file needs none.
 * Sealed    cut at its end, so that Redis and its tools read it.
 * Spare     under `always` up to SPARES_MAX files that are not needed any more keep their blocks and get a new name
 *           later: a sync behind writes to blocks that were only reserved has two blocks of the file system's own to
 *           write first, one after the other, which takes as long as all else it does. Under the other policies nobody
 *           waits for new blocks, and theirs would be there beside the log when there is most on the disk. A crash
 *           leaves them under their old names, which nothing refers to.
 *
 * All but zeros is done by jobs, of each kind one at a time. */
#include "core/assert.h"
#include "persist/journal_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_of(const struct journal *journal, char out[PATH_SIZE], uint64_t number) {
    char name[DATADIR_NAME_MAX];
    datadir_segment_name(name, journal->options.shard, number);
    snprintf(out, PATH_SIZE, "%s/%s", journal->dir, name);
}

static void start_job(const struct journal *journal, disk_work work, void *job, disk_done done) {
    const struct disk *disk = &journal->options.disk;
    disk->job(disk->ctx, work, job, done);
}

/* --- prepared: on the background thread --- */

static const _Alignas(SEGMENT_PAGE) char zero_page[SEGMENT_PAGE];

/* -errno, or the number of the descriptor. */
static int open_for_writing(const struct prepare_job *job, int direct) {
    int fd;
    if (job->from[0]) {
        fd = open(job->from, O_RDWR | O_CLOEXEC | direct);
    } else {
        unlink(job->to); /* one that is there is of no use; and new blocks are wanted after an error */
        fd = open(job->to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | direct, 0644);
    }
    if (fd < 0) return -errno;
    ssize_t n = pwrite(fd, zero_page, sizeof zero_page, 0);
    if (n == (ssize_t)sizeof zero_page) return fd;
    int error = n < 0 ? errno : ENOSPC;
    close(fd);
    return -error;
}

static int sync_directory(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int error = fsync(fd) < 0 ? errno : 0;
    close(fd);
    return -error;
}

static int name_it(struct prepare_job *job) {
    struct stat facts;
    if (fdatasync(job->fd) < 0 || fstat(job->fd, &facts) < 0) return -errno;
    job->size = (uint64_t)facts.st_size;
    if (job->from[0] && rename(job->from, job->to) < 0) return -errno;
    return sync_directory(job->dir);
}

/* Somebody has a link to a spare, to read what it held (persist/live_export.h): it is theirs, and a new file is made.
 * Links are made on this thread, too, so none appears while we are at it. */
static void leave_to_readers(struct prepare_job *job) {
    struct stat facts;
    if (!job->from[0] || stat(job->from, &facts) != 0 || facts.st_nlink <= 1) return;
    unlink(job->from);
    job->from[0] = 0;
}

static int prepare_work(void *arg) {
    struct prepare_job *job = arg;
    leave_to_readers(job);
    job->fd = open_for_writing(job, O_DIRECT);
    if (job->fd == -EINVAL) job->fd = open_for_writing(job, 0); /* refused by the file system, or for its alignment */
    int result = job->fd < 0 ? job->fd : name_it(job);
    if (result == 0) return 0;
    if (job->fd >= 0) close(job->fd);
    if (job->from[0]) unlink(job->from); /* a spare is tried once: next time a new file is made */
    return result;
}

/* --- prepared: the shard's side --- */

static void prepare_done(void *owner, int64_t result) {
    struct prepare_job *job = owner;
    struct journal *journal = job->journal;
    struct journal_file *file = job->file;
    job->busy = false;
    if (result < 0) {
        file->state = FILE_WANTED;
        trouble_found(journal, &journal->prepare_trouble, (int)-result, "prepare a segment");
        return;
    }
    trouble_over(journal, &journal->prepare_trouble);
    file->state = FILE_READY;
    file->fd = job->fd;
    file->frontier = page_down(job->size);
}

static void prepare(struct journal *journal, struct journal_file *file) {
    struct prepare_job *job = &journal->prepare;
    job->busy = true;
    job->journal = journal;
    job->file = file;
    job->dir = journal->dir;
    job->from[0] = 0;
    if (journal->spare_count) path_of(journal, job->from, journal->spares[--journal->spare_count].number);
    path_of(journal, job->to, file->number);
    file->state = FILE_PREPARING;
    start_job(journal, prepare_work, job, prepare_done);
}

/* The first file that is not there; NULL: all are, up to the one behind active. */
static struct journal_file *first_wanted(const struct journal *journal) {
    struct journal_file *file = journal->head;
    while (file && file->state != FILE_WANTED) file = file->next;
    return file;
}

static void prepare_some(struct journal *journal) {
    if (journal->prepare.busy || journal->now_ns < journal->prepare_trouble.retry_ns) return;
    (void)journal_file_after(journal, journal->active);
    struct journal_file *file = first_wanted(journal);
    if (file) prepare(journal, file);
}

/* --- filled --- */

static void fill_done(struct journal *journal, int error) {
    journal->filling = false;
    if (error) {
        trouble_found(journal, &journal->prepare_trouble, error, "write ahead");
        return;
    }
    trouble_over(journal, &journal->prepare_trouble);
}

static uint64_t fill_ahead(const struct journal_file *file) {
    return MIN(MAX(file->tail.end, FILL_BYTES), FILL_AHEAD_MAX);
}

static uint64_t fill_target(const struct journal *journal) {
    const struct journal_file *file = journal->head;
    if (file != journal->active || file->state != FILE_READY || !file->header || journal->restage) return 0;
    return MIN(page_up(file->tail.end) + fill_ahead(file), journal->options.segment_bytes);
}

static bool fill_is_wanted(const struct journal *journal) {
    return !journal->fills_nothing && !journal->keeps_nothing && journal->head->frontier < fill_target(journal);
}

static void zeros_done(void *owner, int64_t result) {
    struct journal *journal = owner;
    bool whole = result == (int64_t)FILL_BYTES;
    if (whole) journal->head->frontier = MAX(journal->head->frontier, journal->fill_to);
    fill_done(journal, whole ? 0 : result < 0 ? (int)-result : EIO);
}

static void write_zeros(struct journal *journal) {
    struct journal_file *file = journal->head;
    if (!journal->zeros) {
        journal->zeros = heap_alloc_aligned(journal->options.heap, MEM_JOURNAL, FILL_BYTES, SEGMENT_PAGE);
        memset(journal->zeros, 0, FILL_BYTES);
    }
    /* Data that are close are not to wait for zeros: leave them room. */
    uint64_t near = page_up(file->tail.end) + MARK_BYTES;
    journal->fill_from = file->frontier >= near ? file->frontier : near + FILL_BYTES;
    journal->fill_to = journal->fill_from + FILL_BYTES;
    journal->filling = true;
    const struct disk *disk = &journal->options.disk;
    disk->write(disk->ctx, file->fd, journal->zeros, FILL_BYTES, journal->fill_from, journal_writes_durably(journal),
                zeros_done, journal);
}

static int reserve_work(void *arg) {
    const struct reserve_job *job = arg;
    int result;
    do result = fallocate(job->fd, 0, (off_t)job->from, (off_t)(job->to - job->from));
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static void reserve_done(void *owner, int64_t result) {
    const struct reserve_job *job = owner;
    struct journal *journal = job->journal;
    if (result == 0) journal->head->frontier = MAX(journal->head->frontier, job->to);
    journal->cannot_reserve = result == -EOPNOTSUPP || result == -ENOSYS || result == -EINVAL;
    fill_done(journal, journal->cannot_reserve ? 0 : (int)-result);
}

/* Twice as far as is wanted, so that the next time is a while away. */
static void reserve(struct journal *journal) {
    const struct journal_file *file = journal->head;
    uint64_t to = MIN(fill_target(journal) + fill_ahead(file), page_up(journal->options.segment_bytes));
    journal->reserve = (struct reserve_job){journal, file->fd, file->frontier, page_up(to)};
    journal->fill_from = journal->fill_to = 0;
    journal->filling = true;
    start_job(journal, reserve_work, &journal->reserve, reserve_done);
}

static void fill_some(struct journal *journal) {
    if (journal->filling) return;
    bool wanted = fill_is_wanted(journal), zeros = journal_writes_durably(journal) || journal->cannot_reserve;
    if (journal->zeros && !(wanted && zeros)) {
        heap_free(journal->options.heap, MEM_JOURNAL, journal->zeros, FILL_BYTES);
        journal->zeros = NULL;
    }
    if (!wanted || journal->now_ns < journal->prepare_trouble.retry_ns) return;
    if (zeros)
        write_zeros(journal);
    else
        reserve(journal);
}

/* --- sealed --- */

static void sealed_add(struct journal *journal, struct sealed_list *list, struct sealed segment) {
    if (list->first + list->count == list->cap) {
        uint32_t cap = list->count < list->cap / 2 ? list->cap : MAX(2 * list->cap, 16u);
        struct sealed *array = heap_alloc(journal->options.heap, MEM_JOURNAL, cap * sizeof *array);
        if (list->count) memcpy(array, list->array + list->first, list->count * sizeof *array);
        heap_free(journal->options.heap, MEM_JOURNAL, list->array, list->cap * sizeof *array);
        *list = (struct sealed_list){array, 0, list->count, cap};
    }
    list->array[list->first + list->count++] = segment;
}

static int seal_work(void *arg) {
    struct seal_job *job = arg;
    int error = 0;
    if (ftruncate(job->fd, (off_t)job->end) < 0 || fdatasync(job->fd) < 0) error = errno;
    close(job->fd);
    return -error;
}

/* A segment that could not be cut ends as one in use does. */
static void seal_done(void *owner, int64_t result) {
    struct seal_job *job = owner;
    struct journal *journal = job->journal;
    struct journal_file *file = job->file;
    job->busy = false;
    if (result < 0)
        log_line(journal->options.log, LOG_LEVEL_WARNING,
                 "Journal of shard %u: cannot cut segment %llu at its end: %s.", journal->options.shard,
                 (unsigned long long)file->number, strerror((int)-result));
    sealed_add(journal, &journal->sealed, (struct sealed){file->number, job->end});
    journal_file_delete(journal, file);
}

static struct journal_file *take_complete(struct journal *journal) {
    struct journal_file *file = journal->complete;
    if (!file) return NULL;
    journal->complete = file->next;
    if (!journal->complete) journal->complete_end = &journal->complete;
    file->next = NULL;
    return file;
}

static void seal_some(struct journal *journal) {
    if (journal->seal.busy) return;
    struct journal_file *file = take_complete(journal);
    if (!file) return;
    journal->seal = (struct seal_job){true, journal, file, file->fd, file->durable.offset};
    file->fd = -1;
    start_job(journal, seal_work, &journal->seal, seal_done);
}

/* --- not needed any more --- */

static int remove_work(void *arg) {
    const struct remove_job *job = arg;
    return unlink(job->path) < 0 && errno != ENOENT ? -errno : 0;
}

static void remove_done(void *owner, int64_t result) {
    struct remove_job *job = owner;
    job->busy = false;
    if (result < 0)
        log_line(job->journal->options.log, LOG_LEVEL_WARNING, "Journal of shard %u: cannot remove %s: %s.",
                 job->journal->options.shard, job->path, strerror((int)-result));
}

static bool keeps_spares(const struct journal *journal) {
    return !journal->keeps_nothing && journal->fsync == APPENDFSYNC_ALWAYS;
}

static bool is_worth_keeping(const struct journal *journal, const struct sealed *segment) {
    return keeps_spares(journal) && journal->spare_count < SPARES_MAX &&
           segment->bytes >= journal->options.segment_bytes / 2;
}

/* False: another one is being removed. */
static bool start_removing(struct journal *journal, uint64_t number) {
    if (journal->remove.busy) return false;
    journal->remove.busy = true;
    journal->remove.journal = journal;
    path_of(journal, journal->remove.path, number);
    start_job(journal, remove_work, &journal->remove, remove_done);
    return true;
}

static void drop_some(struct journal *journal) {
    struct sealed_list *list = &journal->sealed;
    uint32_t spares = journal->spare_count;
    if (!keeps_spares(journal) && spares && start_removing(journal, journal->spares[spares - 1].number))
        journal->spare_count--;
    while (list->count && list->array[list->first].number < journal->drop_before) {
        const struct sealed *segment = &list->array[list->first];
        if (is_worth_keeping(journal, segment)) {
            journal->spares[journal->spare_count++] = *segment;
        } else if (!start_removing(journal, segment->number)) {
            return;
        }
        list->first++;
        list->count--;
    }
}

/* --- the step, and the end --- */

void journal_files_step(struct journal *journal) {
    prepare_some(journal);
    fill_some(journal);
    seal_some(journal);
    drop_some(journal);
    bool wanted = first_wanted(journal) || journal->prepare.busy || fill_is_wanted(journal);
    if (!wanted) journal->prepare_trouble = (struct trouble){0}; /* what failed is of no interest any more */
}

uint64_t journal_files_wait_ns(const struct journal *journal) {
    bool failed = journal->prepare_trouble.failures > 0;
    return failed && !journal->prepare.busy && !journal->filling ? journal->prepare_trouble.retry_ns : UINT64_MAX;
}

static void remove_now(struct journal *journal, uint64_t number) {
    char path[PATH_SIZE];
    path_of(journal, path, number);
    unlink(path);
}

/* Cuts the file behind `end`, or removes it when nothing is in it. */
static void close_file(struct journal *journal, struct journal_file *file, uint64_t end) {
    if (file->state == FILE_READY && end > 0) {
        struct seal_job job = {.fd = file->fd, .end = end};
        int result = seal_work(&job);
        if (result < 0)
            log_line(journal->options.log, LOG_LEVEL_WARNING, "Journal of shard %u: cannot close its segment: %s.",
                     journal->options.shard, strerror(-result));
    } else if (file->state == FILE_READY) {
        close(file->fd);
        remove_now(journal, file->number);
    }
    file->fd = -1;
    journal_file_delete(journal, file);
}

void journal_files_close(struct journal *journal) {
    for (struct journal_file *file; (file = take_complete(journal));) close_file(journal, file, file->durable.offset);
    for (struct journal_file *next, *file = journal->head; file; file = next) {
        next = file->next;
        close_file(journal, file, file->written.offset);
    }
    for (uint32_t i = 0; i < journal->spare_count; i++) remove_now(journal, journal->spares[i].number);
    struct heap *heap = journal->options.heap;
    heap_free(heap, MEM_JOURNAL, journal->zeros, journal->zeros ? FILL_BYTES : 0);
    heap_free(heap, MEM_JOURNAL, journal->sealed.array, journal->sealed.cap * sizeof *journal->sealed.array);
}
