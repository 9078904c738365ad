/* Disk: what persist/ asks of the system, as a port. net/ fills it with io_uring and one background thread; tests fill
 * it with a disk that tears, loses and fails.
 *
 * Operations of a file that is open are asynchronous and complete on the thread that asked, in any order and never
 * inside the call. Jobs are for what may block for long and has no asynchronous form worth its complexity (create,
 * verify, rename, unlink, sync of a directory): they run one after the other on the background thread and their `done`
 * runs on the thread that asked.
 *
 * Thread    one struct disk per thread. Memory given with an operation stays as it is until it completes. */
#pragma once
#include "core/status.h"
#include <stddef.h>
#include <stdint.h>

/* result: bytes, or 0 for a sync; -errno on failure. For a job, owner is the job and result what its work returned. */
typedef void (*disk_done)(void *owner, int64_t result);
/* On the background thread; must touch nothing of the shard. Returns 0 or -errno. */
typedef int (*disk_work)(void *job);

struct disk {
    void *ctx;
    /* durable: the write is on the disk when it completes (RWF_DSYNC). */
    void (*write)(void *ctx, int fd, const void *bytes, size_t len, uint64_t offset, bool durable, disk_done done,
                  void *owner);
    /* Whole blocks of 4 KiB from the start of one; fewer bytes only where the file ends. */
    void (*read)(void *ctx, int fd, void *bytes, size_t len, uint64_t offset, disk_done done, void *owner);
    void (*sync)(void *ctx, int fd, disk_done done, void *owner); /* fdatasync: what was written before the call */
    void (*job)(void *ctx, disk_work work, void *job, disk_done done);
};
