/* Each operation under way has a record. The record's address is what the ring gives back with the completion, so
 * nothing is looked up. Records that are free form a list; there are as many as were ever under way at once, a handful
 * per thread (the journal has a few writes under way, a checkpoint two, and two reads).
 *
 * Aside     handing a write to the kernel must not take long, whatever the disk does. The filesystems of local disks
 *           promise that (what they cannot start at once goes to a thread of the kernel's); others only seem to. FUSE
 *           waits for the program behind it with the file locked, and a thread of ours stood still for as long as a
 *           sync took there (tests/promise/slow.py). So where the filesystem is not one of those, every write goes
 *           aside, as does every read: 10 us of CPU more for each.
 *
 * A completion frees its record before `done` is called: `done` usually starts the next write, and takes the same
 * record. */
#include "net/disk_ring.h"
#include "core/assert.h"
#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>

/* The kernel takes 2 GiB less a page at once. */
#define BYTES_MAX (1u << 30)
#define BLOCK     4096u
/* So often a write that would block is tried again before its owner, who waits between attempts, is told. */
#define RETRIES_MAX 100
#define XFS_MAGIC   0x58465342 /* not in linux/magic.h */

struct record {
    union {
        struct record *next_free;
        struct disk_ring *disk; /* while in use */
    };
    disk_done done;
    void *owner;
    union {
        const char *bytes; /* to be written */
        char *into;
    };
    size_t len, did;
    uint64_t offset;
    int fd;
    bool durable;
    uint8_t retries;
};
static_assert(sizeof(struct record) == 64, "as the header says");

struct disk_ring {
    struct ring *ring;
    struct heap *heap;
    struct disk_worker *worker;
    struct disk_home home;
    struct record *free_records;
    uint32_t under_way;
    bool aside; /* every write, every read */
};

/* --- records --- */

static struct record *take_record(struct disk_ring *disk, int fd, disk_done done, void *owner) {
    struct record *record = disk->free_records;
    if (record)
        disk->free_records = record->next_free;
    else
        record = heap_alloc(disk->heap, MEM_MESSAGE, sizeof *record);
    *record = (struct record){.disk = disk, .fd = fd, .done = done, .owner = owner};
    disk->under_way++;
    return record;
}

static void finish(struct record *record, int64_t result) {
    struct disk_ring *disk = record->disk;
    disk_done done = record->done;
    void *owner = record->owner;
    record->next_free = disk->free_records;
    disk->free_records = record;
    disk->under_way--;
    done(owner, result);
}

/* --- operations --- */

static void submit_write(struct record *record) {
    size_t len = MIN(record->len - record->did, (size_t)BYTES_MAX);
    ring_write(record->disk->ring, record->fd, record->bytes + record->did, (unsigned)len, record->offset + record->did,
               record->durable, record->disk->aside, record);
}

static void start_write(void *ctx, int fd, const void *bytes, size_t len, uint64_t offset, bool durable, disk_done done,
                        void *owner) {
    struct record *record = take_record(ctx, fd, done, owner);
    record->bytes = bytes;
    record->len = len;
    record->offset = offset;
    record->durable = durable;
    submit_write(record);
}

static void submit_read(struct record *record) {
    size_t len = MIN(record->len - record->did, (size_t)BYTES_MAX);
    ring_read(record->disk->ring, record->fd, record->into + record->did, (unsigned)len, record->offset + record->did,
              record->disk->aside, record);
}

static void start_read(void *ctx, int fd, void *bytes, size_t len, uint64_t offset, disk_done done, void *owner) {
    ASSERT(len % BLOCK == 0 && offset % BLOCK == 0);
    struct record *record = take_record(ctx, fd, done, owner);
    record->into = bytes;
    record->len = len;
    record->offset = offset;
    submit_read(record);
}

static void start_sync(void *ctx, int fd, disk_done done, void *owner) {
    struct record *record = take_record(ctx, fd, done, owner);
    ring_sync(record->disk->ring, fd, record);
}

static bool may_retry(struct record *record, int32_t result) {
    if (result == -EINTR) return true;
    return result == -EAGAIN && record->retries++ < RETRIES_MAX;
}

static void write_completed(struct record *record, int32_t result) {
    if (result < 0 && !may_retry(record, result)) {
        finish(record, result);
        return;
    }
    record->did += (size_t)MAX(result, 0);
    if (record->did == record->len)
        finish(record, (int64_t)record->len);
    else if (result == 0)
        finish(record, -EIO); /* a file that takes nothing and does not say why */
    else
        submit_write(record);
}

/* Within a block it ends only with the file. */
static void read_completed(struct record *record, int32_t result) {
    if (result < 0 && !may_retry(record, result)) {
        finish(record, result);
        return;
    }
    record->did += (size_t)MAX(result, 0);
    if (record->did == record->len || result == 0 || record->did % BLOCK != 0)
        finish(record, (int64_t)record->did);
    else
        submit_read(record);
}

static void sync_completed(struct record *record, int32_t result) {
    if (result < 0 && may_retry(record, result))
        ring_sync(record->disk->ring, record->fd, record);
    else
        finish(record, MIN(result, 0));
}

void disk_ring_completed(const struct ring_event *event) {
    if (event->kind == RING_WRITE)
        write_completed(event->owner, event->result);
    else if (event->kind == RING_READ)
        read_completed(event->owner, event->result);
    else
        sync_completed(event->owner, event->result);
}

/* --- jobs --- */

static void start_job(void *ctx, disk_work work, void *arg, disk_done done) {
    struct disk_ring *disk = ctx;
    struct disk_job *job = heap_alloc(disk->heap, MEM_MESSAGE, sizeof *job);
    *job = (struct disk_job){.home = &disk->home, .work = work, .arg = arg, .done = done};
    disk->under_way++;
    disk_worker_ask(disk->worker, job);
}

void disk_ring_collect(struct disk_ring *disk) {
    struct disk_job *job = disk_worker_collect(disk->worker, &disk->home);
    ring_poll(disk->ring, disk->home.event_fd, RING_JOBS, disk);
    while (job) {
        struct disk_job finished = *job;
        heap_free(disk->heap, MEM_MESSAGE, job, sizeof *job);
        disk->under_way--;
        finished.done(finished.arg, finished.result);
        job = finished.next;
    }
}

/* --- life --- */

/* Does the filesystem of this directory wait for nothing when it is handed a write? */
static bool is_prompt(const char *dir) {
    static const long prompt[] = {EXT4_SUPER_MAGIC, XFS_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC};
    struct statfs facts;
    if (statfs(dir, &facts) != 0) return false;
    for (size_t i = 0; i < ARRAY_LEN(prompt); i++)
        if ((long)facts.f_type == prompt[i]) return true;
    return false;
}

enum status disk_ring_new(struct disk_ring **out, struct ring *ring, struct heap *heap, struct disk_worker *worker,
                          const char *dir, struct error *error) {
    struct disk_ring *disk = heap_alloc_zero(heap, MEM_MESSAGE, sizeof *disk);
    disk->ring = ring;
    disk->heap = heap;
    disk->worker = worker;
    disk->aside = !is_prompt(dir);
    enum status status = disk_home_open(&disk->home, error);
    if (status != ST_OK) {
        heap_free(heap, MEM_MESSAGE, disk, sizeof *disk);
        return status;
    }
    ring_poll(ring, disk->home.event_fd, RING_JOBS, disk);
    *out = disk;
    return ST_OK;
}

void disk_ring_delete(struct disk_ring *disk) {
    struct heap *heap = disk->heap;
    ASSERT(disk_ring_idle(disk));
    for (struct record *record; (record = disk->free_records);) {
        disk->free_records = record->next_free;
        heap_free(heap, MEM_MESSAGE, record, sizeof *record);
    }
    disk_home_close(&disk->home);
    heap_free(heap, MEM_MESSAGE, disk, sizeof *disk);
}

struct disk disk_ring_port(struct disk_ring *disk) {
    return (struct disk){.ctx = disk, .write = start_write, .read = start_read, .sync = start_sync, .job = start_job};
}

bool disk_ring_idle(const struct disk_ring *disk) {
    return disk->under_way == 0;
}
