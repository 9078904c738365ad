/* Spool: the state machine. Whatever comes back from the disk ends in `go_on`, which does the next step when nothing is
 * under way that it has to wait for. Up to two writes, one sync and two reads are under way together. */
#include "persist/spool.h"
#include "core/assert.h"
#include "core/crc.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PIECE_BUFFERS 8u /* are synced together: as much as a journal syncs */

static_assert((SPOOL_BUFFER & (SPOOL_BLOCK - 1)) == 0, "whole blocks");

static void go_on(struct spool *spool);

static void fail(struct spool *spool, int64_t result) {
    ASSERT(result < 0);
    if (spool->state == SPOOL_FAILED) return;
    spool->state = SPOOL_FAILED;
    spool->os_errno = (int)-result;
}

static uint64_t block_up(uint64_t bytes) {
    return (bytes + SPOOL_BLOCK - 1) & ~(uint64_t)(SPOOL_BLOCK - 1);
}

static uint64_t piece_of(const struct spool *spool) {
    return (uint64_t)spool->buffer_bytes * PIECE_BUFFERS;
}

/* One CRC of so many bytes, when a read completes, takes some 50 us. */
static size_t read_bytes(const struct spool *spool) {
    return (size_t)block_up(spool->buffer_bytes / 2);
}

static void start_job(struct spool *spool, disk_work work, disk_done done) {
    spool->pending++;
    spool->disk.job(spool->disk.ctx, work, spool, done);
}

/* --- opening --- */

static int work_open(void *job) {
    struct spool *spool = job;
    int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;
    spool->direct = true;
    spool->fd = open(spool->path, flags | O_DIRECT, 0644);
    if (spool->fd < 0 && errno == EINVAL) {
        spool->direct = false;
        spool->fd = open(spool->path, flags, 0644);
    }
    return spool->fd < 0 ? -errno : 0;
}

static void opened(void *owner, int64_t result) {
    struct spool *spool = owner;
    spool->pending--;
    if (result < 0)
        fail(spool, result);
    else
        spool->state = SPOOL_WRITING;
    go_on(spool);
}

void spool_open(struct spool *spool, struct heap *heap, struct disk disk, const char *path, size_t buffer_bytes) {
    ASSERT(buffer_bytes > 0 && buffer_bytes % SPOOL_BLOCK == 0);
    *spool = (struct spool){.heap = heap, .disk = disk, .buffer_bytes = buffer_bytes, .fd = -1};
    size_t len = strlen(path);
    ASSERT(len < sizeof spool->path);
    memcpy(spool->path, path, len + 1);
    for (unsigned i = 0; i < ARRAY_LEN(spool->buffers); i++) {
        struct spool_buffer *buffer = &spool->buffers[i];
        buffer->spool = spool;
        buffer->bytes = heap_alloc_aligned(heap, MEM_MESSAGE, buffer_bytes, SPOOL_BLOCK);
    }
    for (unsigned i = 0; i < ARRAY_LEN(spool->reads); i++) {
        spool->reads[i].spool = spool;
        spool->reads[i].bytes = heap_alloc_aligned(heap, MEM_MESSAGE, read_bytes(spool), SPOOL_BLOCK);
    }
    start_job(spool, work_open, opened);
}

void spool_deinit(struct spool *spool) {
    ASSERT(spool_idle(spool) && spool->fd < 0);
    for (unsigned i = 0; i < ARRAY_LEN(spool->buffers); i++)
        heap_free(spool->heap, MEM_MESSAGE, spool->buffers[i].bytes, spool->buffer_bytes);
    for (unsigned i = 0; i < ARRAY_LEN(spool->reads); i++)
        heap_free(spool->heap, MEM_MESSAGE, spool->reads[i].bytes, read_bytes(spool));
}

bool spool_idle(const struct spool *spool) {
    return spool->pending == 0;
}

/* --- writing --- */

static void written(void *owner, int64_t result) {
    struct spool_buffer *buffer = owner;
    struct spool *spool = buffer->spool;
    size_t len = buffer->len;
    spool->pending--;
    buffer->away = false;
    buffer->len = 0;
    if (result < 0)
        fail(spool, result);
    else if ((size_t)result != len)
        fail(spool, -ENOSPC);
    go_on(spool);
}

/* The buffer that was filled goes to the disk, in whole blocks. */
static void send(struct spool *spool) {
    struct spool_buffer *buffer = &spool->buffers[spool->filling];
    size_t len = (size_t)block_up(buffer->len);
    memset(buffer->bytes + buffer->len, 0, len - buffer->len);
    buffer->len = len;
    buffer->away = true;
    buffer->offset = spool->offset;
    spool->offset += len;
    spool->filling ^= 1;
    spool->pending++;
    spool->disk.write(spool->disk.ctx, spool->fd, buffer->bytes, len, buffer->offset, false, written, buffer);
}

size_t spool_take(struct spool *spool, struct slice bytes) {
    size_t taken = 0;
    while (spool->state == SPOOL_WRITING && taken < bytes.len) {
        struct spool_buffer *buffer = &spool->buffers[spool->filling];
        if (buffer->away) break;
        size_t now = MIN(bytes.len - taken, spool->buffer_bytes - buffer->len);
        memcpy(buffer->bytes + buffer->len, bytes.ptr + taken, now);
        buffer->len += now;
        taken += now;
        if (buffer->len == spool->buffer_bytes) send(spool);
    }
    spool->crc = crc64(spool->crc, bytes.ptr, taken);
    spool->size += taken;
    return taken;
}

void spool_end(struct spool *spool) {
    if (spool->state == SPOOL_FAILED) return;
    ASSERT(spool->state == SPOOL_WRITING);
    spool->state = SPOOL_ENDING;
    struct spool_buffer *buffer = &spool->buffers[spool->filling];
    if (!buffer->away && buffer->len > 0) send(spool);
    go_on(spool);
}

/* --- synced --- */

/* Up to there all writes have completed. They may do so in any order. */
static uint64_t landed(const struct spool *spool) {
    uint64_t end = spool->offset;
    for (unsigned i = 0; i < ARRAY_LEN(spool->buffers); i++)
        if (spool->buffers[i].away) end = MIN(end, spool->buffers[i].offset);
    return end;
}

/* What is to be read is to come from the disk; and what was read is not wanted again. */
static int work_forget(void *job) {
    const struct spool *spool = job;
    if (!spool->direct) posix_fadvise(spool->fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

static int work_seal(void *job) {
    const struct spool *spool = job;
    if (ftruncate(spool->fd, (off_t)spool->size) != 0 || fsync(spool->fd) != 0) return -errno;
    return work_forget(job);
}

static void may_be_read(void *owner, int64_t result) {
    struct spool *spool = owner;
    spool->pending--;
    spool->syncing = false;
    if (result < 0)
        fail(spool, result);
    else
        spool->synced = spool->syncing_to;
    go_on(spool);
}

static void synced(void *owner, int64_t result) {
    struct spool *spool = owner;
    if (result < 0 || spool->direct) {
        may_be_read(spool, result);
        return;
    }
    spool->pending--;
    start_job(spool, work_forget, may_be_read);
}

static void sync_piece(struct spool *spool) {
    uint64_t end = landed(spool);
    if (spool->syncing || end - spool->synced < piece_of(spool)) return;
    spool->syncing = true;
    spool->syncing_to = end;
    spool->pending++;
    spool->disk.sync(spool->disk.ctx, spool->fd, synced, spool);
}

/* All writes have completed, and no sync is under way. */
static void seal(struct spool *spool) {
    spool->state = SPOOL_CHECKING;
    spool->syncing = true;
    spool->syncing_to = spool->size;
    start_job(spool, work_seal, may_be_read);
}

/* --- read back --- */

/* The CRC goes on with what has come in the file's order. */
static void check(struct spool *spool) {
    for (unsigned i = 0; i < 2 * ARRAY_LEN(spool->reads); i++) {
        struct spool_read *read = &spool->reads[i % ARRAY_LEN(spool->reads)];
        if (read->expected == 0 || read->away || read->offset != spool->checked) continue;
        spool->checked_crc = crc64(spool->checked_crc, read->bytes, read->expected);
        spool->checked += read->expected;
        read->expected = 0;
    }
}

/* A file that ends too early is EIO, as is one that does not end. */
static void read_back(void *owner, int64_t result) {
    struct spool_read *read = owner;
    struct spool *spool = read->spool;
    spool->pending--;
    read->away = false;
    if (result < 0)
        fail(spool, result);
    else if ((uint64_t)result != read->expected)
        fail(spool, -EIO);
    else
        check(spool);
    go_on(spool);
}

static void read_some(struct spool *spool) {
    for (unsigned i = 0; i < ARRAY_LEN(spool->reads) && spool->read_to < spool->synced; i++) {
        struct spool_read *read = &spool->reads[i];
        if (read->expected > 0) continue;
        read->offset = spool->read_to;
        read->expected = (size_t)MIN(spool->synced - spool->read_to, read_bytes(spool));
        read->away = true;
        spool->read_to += read->expected;
        spool->pending++;
        size_t len = (size_t)block_up(read->expected);
        spool->disk.read(spool->disk.ctx, spool->fd, read->bytes, len, read->offset, read_back, read);
    }
}

/* --- the end --- */

static int work_close(void *job) {
    struct spool *spool = job;
    work_forget(job);
    int result = close(spool->fd) == 0 ? 0 : -errno;
    spool->fd = -1;
    return result;
}

static void closed(void *owner, int64_t result) {
    struct spool *spool = owner;
    spool->pending--;
    if (result < 0)
        fail(spool, result);
    else
        spool->state = SPOOL_DONE;
    go_on(spool);
}

/* All of it was read back. */
static void finish(struct spool *spool) {
    if (spool->checked_crc != spool->crc) {
        fail(spool, -EIO);
        return;
    }
    spool->state = SPOOL_CLOSING;
    start_job(spool, work_close, closed);
}

/* --- away with it --- */

static int work_remove(void *job) {
    struct spool *spool = job;
    if (spool->fd >= 0) work_close(spool);
    return unlink(spool->path) == 0 || errno == ENOENT ? 0 : -errno;
}

static void removed(void *owner, int64_t result) {
    struct spool *spool = owner;
    (void)result; /* a file that cannot be removed now is swept at the next start */
    spool->pending--;
    spool->state = SPOOL_GONE;
}

void spool_discard(struct spool *spool) {
    spool->discarded = true;
    go_on(spool);
}

static void leave(struct spool *spool) {
    if (spool->pending > 0 || spool->state == SPOOL_LEAVING || spool->state == SPOOL_GONE) return;
    spool->state = SPOOL_LEAVING;
    start_job(spool, work_remove, removed);
}

static void go_on(struct spool *spool) {
    if (spool->discarded) {
        leave(spool);
        return;
    }
    if (spool->state == SPOOL_WRITING) sync_piece(spool);
    if (spool->state == SPOOL_ENDING && !spool->syncing && landed(spool) == spool->offset) seal(spool);
    if (spool->state >= SPOOL_WRITING && spool->state <= SPOOL_CHECKING) read_some(spool);
    if (spool->state == SPOOL_CHECKING && !spool->syncing && spool->checked == spool->size) finish(spool);
}
