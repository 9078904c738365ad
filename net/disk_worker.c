/* The background thread: see the header.
 *
 *    thread 0 --ask-->  +-------+             +-- results of home 0 --collect--> thread 0
 *    thread 1 --ask-->  | queue | --worker--> |
 *                       +-------+             +-- results of home 1 --collect--> thread 1
 *
 * One mutex guards the queue and all results. A home's event is written under it, too: so once a thread has collected
 * its last result, the worker does not touch its home again, and the thread may close it. */
#include "net/disk_worker.h"
#include "core/alloc.h"
#include "core/assert.h"
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct disk_worker {
    pthread_t handle;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    /* --- guarded by lock --- */
    struct disk_job *first, **end;
    bool stopping;
};

/* --- the worker's thread; called and left with the lock held --- */

/* The next job, or NULL when the queue is empty and nobody will ask any more. */
static struct disk_job *next_job(struct disk_worker *worker) {
    while (!worker->first && !worker->stopping) pthread_cond_wait(&worker->asked, &worker->lock);
    struct disk_job *job = worker->first;
    if (!job) return NULL;
    worker->first = job->next;
    if (!worker->first) worker->end = &worker->first;
    return job;
}

static void send_home(struct disk_job *job) {
    struct disk_home *home = job->home;
    uint64_t one = 1;
    job->next = NULL;
    *home->end = job;
    home->end = &job->next;
    ssize_t sent = write(home->event_fd, &one, sizeof one); /* fails only when it counts to 2^64 */
    ASSERT(sent == sizeof one);
}

static void *worker_main(void *arg) {
    struct disk_worker *worker = arg;
    struct disk_job *job;
    pthread_mutex_lock(&worker->lock);
    while ((job = next_job(worker))) {
        pthread_mutex_unlock(&worker->lock);
        job->result = job->work(job->arg);
        pthread_mutex_lock(&worker->lock);
        send_home(job);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* --- main thread --- */

enum status disk_worker_start(struct disk_worker **out, struct error *error) {
    struct disk_worker *worker = shared_alloc(sizeof *worker);
    if (!worker) return error_set(error, ST_NO_MEMORY, 0, "No memory for the background thread");
    worker->end = &worker->first;
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->asked, NULL);
    int reason = pthread_create(&worker->handle, NULL, worker_main, worker);
    if (reason) {
        shared_free(worker);
        return error_set(error, ST_IO, reason, "Cannot start the background thread");
    }
    *out = worker;
    return ST_OK;
}

void disk_worker_stop(struct disk_worker *worker) {
    pthread_mutex_lock(&worker->lock);
    worker->stopping = true;
    pthread_cond_signal(&worker->asked);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->handle, NULL);
    pthread_cond_destroy(&worker->asked);
    pthread_mutex_destroy(&worker->lock);
    shared_free(worker);
}

/* --- a thread --- */

enum status disk_home_open(struct disk_home *home, struct error *error) {
    home->first = NULL;
    home->end = &home->first;
    home->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (home->event_fd < 0) return error_set(error, ST_IO, errno, "No event descriptor");
    return ST_OK;
}

void disk_home_close(struct disk_home *home) {
    ASSERT(!home->first);
    close(home->event_fd);
}

void disk_worker_ask(struct disk_worker *worker, struct disk_job *job) {
    job->next = NULL;
    pthread_mutex_lock(&worker->lock);
    ASSERT(!worker->stopping);
    *worker->end = job;
    worker->end = &job->next;
    pthread_cond_signal(&worker->asked);
    pthread_mutex_unlock(&worker->lock);
}

struct disk_job *disk_worker_collect(struct disk_worker *worker, struct disk_home *home) {
    uint64_t ignored;
    pthread_mutex_lock(&worker->lock);
    struct disk_job *jobs = home->first;
    home->first = NULL;
    home->end = &home->first;
    /* Under the lock: a result that comes later finds the event reset and sets it again. */
    ssize_t got = read(home->event_fd, &ignored, sizeof ignored);
    pthread_mutex_unlock(&worker->lock);
    (void)got; /* nothing to read: collected without having been told */
    return jobs;
}
