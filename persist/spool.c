/* Spool: the state machine. Whatever comes back from the disk ends in `go_on`, which does the next step when nothing is
 * under way that it has to wait for. */
#include "persist/spool.h"
#include "core/assert.h"
#include "core/crc.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SYNC_BYTES  (32u * 1024 * 1024) /* of a file that goes through the page cache */
#define CHECK_BYTES (16u * 1024 * 1024) /* read back by one job, so that the jobs of others get their turn between */

static_assert((SPOOL_BUFFER & (SPOOL_BLOCK - 1)) == 0, "whole blocks");

static void go_on(struct spool *spool);

static void fail(struct spool *spool, int64_t result) {
    ASSERT(result < 0);
    if (spool->state == SPOOL_FAILED) return;
    spool->state = SPOOL_FAILED;
    spool->os_errno = (int)-result;
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
    start_job(spool, work_open, opened);
}

void spool_deinit(struct spool *spool) {
    ASSERT(spool_idle(spool) && spool->fd < 0);
    for (unsigned i = 0; i < ARRAY_LEN(spool->buffers); i++)
        heap_free(spool->heap, MEM_MESSAGE, spool->buffers[i].bytes, spool->buffer_bytes);
}

bool spool_idle(const struct spool *spool) {
    return spool->pending == 0;
}

/* --- writing --- */

static void synced(void *owner, int64_t result) {
    struct spool *spool = owner;
    spool->pending--;
    spool->syncing = false;
    if (result < 0) fail(spool, result);
    go_on(spool);
}

static void sync_sometimes(struct spool *spool, size_t written) {
    spool->unsynced += written;
    if (spool->direct || spool->syncing || spool->unsynced < SYNC_BYTES || spool->state != SPOOL_WRITING) return;
    spool->unsynced = 0;
    spool->syncing = true;
    spool->pending++;
    spool->disk.sync(spool->disk.ctx, spool->fd, synced, spool);
}

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
    else
        sync_sometimes(spool, len);
    go_on(spool);
}

/* The buffer that was filled goes to the disk, in whole blocks. */
static void send(struct spool *spool) {
    struct spool_buffer *buffer = &spool->buffers[spool->filling];
    size_t len = (buffer->len + SPOOL_BLOCK - 1) & ~(size_t)(SPOOL_BLOCK - 1);
    memset(buffer->bytes + buffer->len, 0, len - buffer->len);
    buffer->len = len;
    buffer->away = true;
    spool->filling ^= 1;
    spool->pending++;
    uint64_t offset = spool->offset;
    spool->offset += len;
    spool->disk.write(spool->disk.ctx, spool->fd, buffer->bytes, len, offset, false, written, buffer);
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

/* --- the end: cut, sync, read back --- */

static int work_seal(void *job) {
    struct spool *spool = job;
    if (ftruncate(spool->fd, (off_t)spool->size) != 0 || fsync(spool->fd) != 0) return -errno;
    /* From the disk, not from the cache, is what is to be read. */
    posix_fadvise(spool->fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

static int work_close(struct spool *spool) {
    int result = close(spool->fd) == 0 ? 0 : -errno;
    spool->fd = -1;
    return result;
}

/* Reads some of the file into a buffer that nobody needs any more. What it read is EIO when it is
 * not what was written. */
static int work_check(void *job) {
    struct spool *spool = job;
    for (size_t read = 0; read < CHECK_BYTES && spool->checked < spool->size;) {
        ssize_t got = pread(spool->fd, spool->buffers[0].bytes, spool->buffer_bytes, (off_t)spool->checked);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got < 0 ? -errno : -EIO;
        spool->checked_crc = crc64(spool->checked_crc, spool->buffers[0].bytes, (size_t)got);
        spool->checked += (uint64_t)got;
        read += (size_t)got;
    }
    if (spool->checked < spool->size) return 0;
    posix_fadvise(spool->fd, 0, 0, POSIX_FADV_DONTNEED);
    if (spool->checked > spool->size || spool->checked_crc != spool->crc) return -EIO;
    return work_close(spool);
}

static void checked(void *owner, int64_t result) {
    struct spool *spool = owner;
    spool->pending--;
    if (result < 0)
        fail(spool, result);
    else if (spool->fd < 0)
        spool->state = SPOOL_DONE;
    else if (!spool->discarded)
        start_job(spool, work_check, checked);
    go_on(spool);
}

static void sealed(void *owner, int64_t result) {
    struct spool *spool = owner;
    spool->pending--;
    if (result < 0)
        fail(spool, result);
    else if (!spool->discarded)
        start_job(spool, work_check, checked);
    go_on(spool);
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

static void go_on(struct spool *spool) {
    if (spool->pending > 0) return;
    if (spool->discarded) {
        if (spool->state == SPOOL_LEAVING || spool->state == SPOOL_GONE) return;
        spool->state = SPOOL_LEAVING;
        start_job(spool, work_remove, removed);
    } else if (spool->state == SPOOL_ENDING) {
        spool->state = SPOOL_CHECKING;
        start_job(spool, work_seal, sealed);
    }
}
