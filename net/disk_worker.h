/* Disk worker: the server's one background thread, for work at the disk that may block and that io_uring has no good
 * form of: creating and preallocating files, checking them, renaming, removing, syncing a directory.
 *
 * A job travels: its thread fills it and asks, the worker runs it, and it lies in its home's list of results until the
 * thread collects it. Jobs run in the order in which they were asked for, one at a time: they are rare (a few per
 * segment of 64 MiB), and who renames after creating relies on the order.
 *
 * Threads    disk_worker_start and _stop on the main thread, before the threads start and after they ended. Everything
 *            else on the thread whose home it is.
 * Ownership  a job is the asking thread's memory all the time; it leaves it alone from ask to collect.
 * Cost       a mutex and at most two system calls per job. The mutex is never held while a job runs. */
#pragma once
#include "persist/disk.h"

struct disk_worker;

struct disk_job {
    struct disk_job *next;
    struct disk_home *home;
    disk_work work;
    void *arg;
    disk_done done; /* carried along for the asking thread; the worker does not call it */
    int result;     /* after collect */
};

/* One thread's side. event_fd is readable when there are results. */
struct disk_home {
    int event_fd;
    struct disk_job *first, **end; /* results; guarded by the worker's lock */
};

/* --- main thread --- */
NODISCARD enum status disk_worker_start(struct disk_worker **out, struct error *error);
void disk_worker_stop(
    struct disk_worker *worker); /* nobody asks any more; what was asked for is done before it returns */

/* --- a thread --- */
NODISCARD enum status disk_home_open(struct disk_home *home, struct error *error);
void disk_home_close(struct disk_home *home); /* all its jobs have been collected */
void disk_worker_ask(struct disk_worker *worker, struct disk_job *job);
/* All that is done, oldest first, or NULL. Resets event_fd. */
struct disk_job *disk_worker_collect(struct disk_worker *worker, struct disk_home *home);
