/* Disk over the ring: how one thread fills persist's port (persist/disk.h). Writes, reads and syncs are operations of
 * the thread's own io_uring; jobs go to the server's background thread and come back through an event that the ring
 * polls.
 *
 * Writes    complete when all bytes are written: short writes go on, and EINTR and EAGAIN are tried again (EAGAIN a
 *           bounded number of times). On failure some of the bytes may be in the file. Any length.
 * Reads     likewise, or where the file ends; from the start of a block, whole blocks of 4 KiB.
 * Order     none between operations; jobs run in the order asked, server-wide.
 * Thread    the ring's. `done` runs in disk_ring_completed and disk_ring_collect, and may ask for more.
 * Memory    a record of 64 bytes per operation under way, kept for the next one.
 * End       disk_ring_delete wants nothing under way: the kernel reads the memory of a write until it completes, even
 *           when the ring is closed. A thread goes on with its turns until disk_ring_idle. */
#pragma once
#include "core/alloc.h"
#include "net/disk_worker.h"
#include "net/ring.h"

struct disk_ring;

/* dir: where the files will be, or near it, on the same filesystem. */
NODISCARD enum status disk_ring_new(struct disk_ring **out, struct ring *ring, struct heap *heap,
                                    struct disk_worker *worker, const char *dir, struct error *error);
void disk_ring_delete(struct disk_ring *disk); /* before its ring and its heap */
struct disk disk_ring_port(struct disk_ring *disk);
bool disk_ring_idle(const struct disk_ring *disk); /* no operation and no job is under way */

/* --- what the ring brought; event->owner tells whose it is --- */
void disk_ring_completed(const struct ring_event *event); /* RING_WRITE, RING_READ, RING_SYNC */
void disk_ring_collect(struct disk_ring *disk);           /* RING_JOBS: owner is the disk */
