/* Disk over the ring: against real files in a directory of its own under /tmp.
 *
 * What was written is there, byte for byte, whatever the order of completion, however many are under way at once and
 * whether through the page cache or not; errors come as -errno and keep nothing under way; jobs of several threads run
 * on another thread, in the order asked, and their `done` runs at home; `done` may ask for more. */
#include "core/assert.h"
#include "core/prng.h"
#include "net/disk_ring.h"
#include "tests/support/seed.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BLOCK 4096u

static char home[64];

static int enter(void **state) {
    (void)state;
    snprintf(home, sizeof home, "/tmp/sherd-disk-XXXXXX");
    return mkdtemp(home) && chdir(home) == 0 ? 0 : -1;
}

static int leave(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", home);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

/* A thread as the disk sees it: ring, heap, events. */
struct bench {
    struct ring *ring;
    struct heap *heap;
    struct disk_ring *disk;
    struct disk port;
};

static void bench_open(struct bench *bench, struct disk_worker *worker) {
    struct error error = {0};
    assert_int_equal(ring_open(&bench->ring, 64, 8, &error), ST_OK);
    bench->heap = heap_new();
    assert_int_equal(disk_ring_new(&bench->disk, bench->ring, bench->heap, worker, "/tmp", &error), ST_OK);
    bench->port = disk_ring_port(bench->disk);
}

static void bench_close(struct bench *bench) {
    assert_true(disk_ring_idle(bench->disk));
    disk_ring_delete(bench->disk);
    ring_close(bench->ring);
    heap_delete(bench->heap);
}

static void bench_turn(struct bench *bench) {
    struct ring_event event;
    ring_wait(bench->ring, 1000000000);
    while (ring_next(bench->ring, &event)) {
        if (event.kind == RING_JOBS)
            disk_ring_collect(event.owner);
        else
            disk_ring_completed(&event);
    }
}

static void bench_settle(struct bench *bench) {
    while (!disk_ring_idle(bench->disk)) bench_turn(bench);
}

static struct disk_worker *worker_start(void) {
    struct disk_worker *worker;
    struct error error = {0};
    assert_int_equal(disk_worker_start(&worker, &error), ST_OK);
    return worker;
}

/* --- one operation --- */

struct outcome {
    int64_t result;
    unsigned times;
};

static void note(void *owner, int64_t result) {
    struct outcome *outcome = owner;
    outcome->result = result;
    outcome->times++;
}

static int64_t write_now(struct bench *bench, int fd, const void *bytes, size_t len, uint64_t offset, bool durable) {
    struct outcome outcome = {0};
    bench->port.write(bench->port.ctx, fd, bytes, len, offset, durable, note, &outcome);
    assert_false(disk_ring_idle(bench->disk));
    bench_settle(bench);
    assert_int_equal(outcome.times, 1);
    return outcome.result;
}

static int64_t sync_now(struct bench *bench, int fd) {
    struct outcome outcome = {0};
    bench->port.sync(bench->port.ctx, fd, note, &outcome);
    bench_settle(bench);
    assert_int_equal(outcome.times, 1);
    return outcome.result;
}

static void one_at_a_time(void **state) {
    (void)state;
    struct disk_worker *worker = worker_start();
    struct bench bench;
    char back[16] = "";
    bench_open(&bench, worker);
    int fd = open("plain", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write_now(&bench, fd, "world", 5, 6, true), 5);
    assert_int_equal(write_now(&bench, fd, "hello ", 6, 0, false), 6);
    assert_int_equal(write_now(&bench, fd, "", 0, 3, false), 0);
    assert_int_equal(sync_now(&bench, fd), 0);
    assert_int_equal(pread(fd, back, sizeof back, 0), 11);
    assert_string_equal(back, "hello world");
    close(fd);
    bench_close(&bench);
    disk_worker_stop(worker);
}

static int64_t read_now(struct bench *bench, int fd, void *bytes, size_t len, uint64_t offset) {
    struct outcome outcome = {0};
    bench->port.read(bench->port.ctx, fd, bytes, len, offset, note, &outcome);
    assert_false(disk_ring_idle(bench->disk));
    bench_settle(bench);
    assert_int_equal(outcome.times, 1);
    return outcome.result;
}

/* Through the page cache and, where there is such a thing, past it. */
static void reads_end_with_the_file(void **state) {
    (void)state;
    static const int flags[] = {0, O_DIRECT};
    struct disk_worker *worker = worker_start();
    struct bench bench;
    char *bytes = aligned_alloc(BLOCK, 3 * BLOCK), *back = aligned_alloc(BLOCK, 4 * BLOCK);
    for (size_t i = 0; i < 3 * BLOCK; i++) bytes[i] = (char)(i * 7 + i / 1000);
    bench_open(&bench, worker);
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        int fd = open("long", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | flags[i], 0600);
        if (fd < 0 && errno == EINVAL) continue;
        assert_int_equal(write_now(&bench, fd, bytes, 3 * BLOCK, 0, false), 3 * BLOCK);
        assert_int_equal(read_now(&bench, fd, back, 2 * BLOCK, BLOCK), 2 * BLOCK);
        assert_memory_equal(back, bytes + BLOCK, 2 * BLOCK);
        assert_int_equal(ftruncate(fd, 2 * BLOCK + 100), 0);
        assert_int_equal(read_now(&bench, fd, back, 4 * BLOCK, 0), 2 * BLOCK + 100);
        assert_memory_equal(back, bytes, 2 * BLOCK + 100);
        assert_int_equal(read_now(&bench, fd, back, BLOCK, 3 * BLOCK), 0);
        close(fd);
        assert_int_equal(read_now(&bench, fd, back, BLOCK, 0), -EBADF);
    }
    free(bytes);
    free(back);
    bench_close(&bench);
    disk_worker_stop(worker);
}

static void errors_come_as_numbers(void **state) {
    (void)state;
    struct disk_worker *worker = worker_start();
    struct bench bench;
    bench_open(&bench, worker);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), fd = open("plain", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write_now(&bench, full, "x", 1, 0, false), -ENOSPC);
    assert_int_equal(write_now(&bench, full, "x", 1, 0, true), -ENOSPC);
    assert_int_equal(write_now(&bench, fd, "x", 1, 0, false), -EBADF);
    assert_int_equal(write_now(&bench, -1, "x", 1, 0, true), -EBADF);
    assert_int_equal(sync_now(&bench, -1), -EBADF);
    assert_int_equal(sync_now(&bench, full), -EINVAL); /* a device that has nothing to sync */
    close(full);
    close(fd);
    bench_close(&bench);
    disk_worker_stop(worker);
}

/* A pipe takes what fits; the rest is written when somebody reads. The kernel's writes to it are short, and go on. */
static void *read_slowly(void *arg) {
    int fd = *(int *)arg;
    static char chunk[1000];
    uintptr_t sum = 0;
    for (ssize_t got; (got = read(fd, chunk, sizeof chunk)) > 0;)
        for (ssize_t i = 0; i < got; i++) sum = sum * 31 + (unsigned char)chunk[i];
    return (void *)sum;
}

static void short_writes_go_on(void **state) {
    (void)state;
    struct disk_worker *worker = worker_start();
    struct bench bench;
    int ends[2];
    pthread_t reader;
    void *sum;
    uintptr_t expected = 0;
    size_t len = 1 << 20;
    char *bytes = malloc(len);
    bench_open(&bench, worker);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (char)(i * 7 + i / 1000);
        expected = expected * 31 + (unsigned char)bytes[i];
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_slowly, &ends[0]), 0);
    assert_int_equal(write_now(&bench, ends[1], bytes, len, 0, false), len);
    close(ends[1]);
    pthread_join(reader, &sum);
    assert_true((uintptr_t)sum == expected);
    close(ends[0]);
    free(bytes);
    bench_close(&bench);
    disk_worker_stop(worker);
}

/* The same pipe, and nobody reads: some bytes fit, and then its reading end is closed. */
static void short_write_then_error(void **state) {
    (void)state;
    struct disk_worker *worker = worker_start();
    struct bench bench;
    struct outcome outcome = {0};
    int ends[2];
    size_t len = 1 << 20;
    char *bytes = calloc(1, len);
    bench_open(&bench, worker);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    bench.port.write(bench.port.ctx, ends[1], bytes, len, 0, false, note, &outcome);
    bench_turn(&bench);
    assert_int_equal(outcome.times, 0);
    close(ends[0]);
    bench_settle(&bench);
    assert_int_equal(outcome.result, -EPIPE);
    close(ends[1]);
    free(bytes);
    bench_close(&bench);
    disk_worker_stop(worker);
}

/* --- many under way --- */

struct flood {
    struct bench bench;
    int fd;
    char *bytes;
    uint32_t blocks, next, completed; /* next: not asked for yet */
    uint32_t *order;
    bool durable;
};

static void flood_more(void *owner, int64_t result) {
    struct flood *flood = owner;
    assert_int_equal(result, BLOCK);
    flood->completed++;
    if (flood->next == flood->blocks) return;
    uint64_t at = (uint64_t)flood->order[flood->next++] * BLOCK;
    flood->bench.port.write(flood->bench.port.ctx, flood->fd, flood->bytes + at, BLOCK, at, flood->durable, flood_more,
                            flood);
}

/* Blocks in random order, `width` under way at once: more than the ring has entries. Each `done` starts the next. */
static void flood_file(struct disk_worker *worker, struct prng *prng, int flags, bool durable, uint32_t blocks,
                       uint32_t width) {
    struct flood flood = {.blocks = blocks, .durable = durable, .order = malloc(blocks * sizeof(uint32_t))};
    size_t len = (size_t)blocks * BLOCK;
    bench_open(&flood.bench, worker);
    flood.fd = open("flood", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0600);
    assert_true(flood.fd >= 0);
    flood.bytes = aligned_alloc(BLOCK, len);
    char *back = malloc(len);
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = prng_next(prng);
        memcpy(flood.bytes + i, &word, sizeof word);
    }
    for (uint32_t i = 0; i < blocks; i++) {
        uint32_t at = (uint32_t)prng_below(prng, i + 1);
        flood.order[i] = flood.order[at];
        flood.order[at] = i;
    }
    for (uint32_t i = 0; i < width; i++) {
        uint64_t at = (uint64_t)flood.order[flood.next++] * BLOCK;
        flood.bench.port.write(flood.bench.port.ctx, flood.fd, flood.bytes + at, BLOCK, at, durable, flood_more,
                               &flood);
    }
    bench_settle(&flood.bench);
    assert_int_equal(flood.completed, blocks);
    int fd = open("flood", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, back, len, 0), len);
    assert_memory_equal(back, flood.bytes, len);
    close(fd);
    close(flood.fd);
    free(back);
    free(flood.bytes);
    free(flood.order);
    bench_close(&flood.bench);
}

static void many_under_way(void **state) {
    (void)state;
    struct disk_worker *worker = worker_start();
    struct prng prng;
    prng_init(&prng, seed_or(1));
    flood_file(worker, &prng, 0, false, 1024, 300);
    flood_file(worker, &prng, 0, true, 64, 16);
    int fd = open("flood", O_RDWR | O_DIRECT | O_CLOEXEC);
    if (fd >= 0) { /* not every filesystem has it (tmpfs before 6.6) */
        close(fd);
        flood_file(worker, &prng, O_DIRECT, false, 512, 200);
        flood_file(worker, &prng, O_DIRECT, true, 64, 16);
    }
    disk_worker_stop(worker);
}

/* --- jobs: several threads ask, so what they find is asserted rather than reported --- */

#define JOBS 200

struct task {
    struct asker *asker;
    uint32_t number;
    pthread_t ran_on;
};

struct asker {
    struct bench bench;
    struct disk_worker *worker;
    struct task tasks[JOBS];
    uint32_t ran, done; /* ran: written by the worker alone */
    pthread_t self;
    pthread_barrier_t *end; /* nobody closes its ring before all have opened theirs: addresses would be used again, and
                               the thread sanitizer does not see how the kernel hands them out */
};

static int run_task(void *arg) {
    struct task *task = arg;
    ASSERT(task->number == task->asker->ran++); /* in the order asked */
    task->ran_on = pthread_self();
    return task->number % 3 ? 0 : -(int)task->number;
}

static void ask(struct asker *asker, uint32_t number);

static void task_done(void *arg, int64_t result) {
    struct task *task = arg;
    struct asker *asker = task->asker;
    ASSERT(pthread_equal(pthread_self(), asker->self));
    ASSERT(!pthread_equal(task->ran_on, asker->self));
    ASSERT(task->number == asker->done++);
    ASSERT(result == (task->number % 3 ? 0 : -(int)task->number));
    if (task->number + JOBS / 2 < JOBS) ask(asker, task->number + JOBS / 2);
}

static void ask(struct asker *asker, uint32_t number) {
    struct task *task = &asker->tasks[number];
    *task = (struct task){.asker = asker, .number = number};
    asker->bench.port.job(asker->bench.port.ctx, run_task, task, task_done);
}

static void *ask_many(void *arg) {
    struct asker *asker = arg;
    asker->self = pthread_self();
    bench_open(&asker->bench, asker->worker);
    for (uint32_t i = 0; i < JOBS / 2; i++) ask(asker, i);
    bench_settle(&asker->bench);
    ASSERT(asker->done == JOBS);
    pthread_barrier_wait(asker->end);
    bench_close(&asker->bench);
    return NULL;
}

static void jobs_come_home(void **state) {
    (void)state;
    static struct asker askers[3];
    pthread_t threads[ARRAY_LEN(askers)];
    pthread_barrier_t end;
    struct disk_worker *worker = worker_start();
    pthread_barrier_init(&end, NULL, ARRAY_LEN(askers));
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        askers[i].worker = worker;
        askers[i].end = &end;
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &askers[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&end);
    disk_worker_stop(worker);
}

/* What the journal does: a file is created on the worker, written by the ring, renamed on the worker. */
struct story {
    struct bench bench;
    int fd;
    bool over;
};

static int create_file(void *arg) {
    struct story *story = arg;
    story->fd = open("new.tmp", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return story->fd < 0 ? -errno : 0;
}

static int publish_file(void *arg) {
    struct story *story = arg;
    close(story->fd);
    return rename("new.tmp", "new") == 0 ? 0 : -errno;
}

static void published(void *arg, int64_t result) {
    struct story *story = arg;
    assert_int_equal(result, 0);
    story->over = true;
}

static void written(void *arg, int64_t result) {
    struct story *story = arg;
    assert_int_equal(result, 5);
    story->bench.port.job(story->bench.port.ctx, publish_file, story, published);
}

static void created(void *arg, int64_t result) {
    struct story *story = arg;
    assert_int_equal(result, 0);
    story->bench.port.write(story->bench.port.ctx, story->fd, "story", 5, 0, true, written, story);
}

static void one_leads_to_the_next(void **state) {
    (void)state;
    struct disk_worker *worker = worker_start();
    struct story story = {.fd = -1};
    struct stat info;
    bench_open(&story.bench, worker);
    story.bench.port.job(story.bench.port.ctx, create_file, &story, created);
    bench_settle(&story.bench);
    assert_true(story.over);
    assert_int_equal(stat("new", &info), 0);
    assert_int_equal(info.st_size, 5);
    bench_close(&story.bench);
    disk_worker_stop(worker);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time),          cmocka_unit_test(reads_end_with_the_file),
        cmocka_unit_test(errors_come_as_numbers), cmocka_unit_test(short_writes_go_on),
        cmocka_unit_test(short_write_then_error), cmocka_unit_test(many_under_way),
        cmocka_unit_test(jobs_come_home),         cmocka_unit_test(one_leads_to_the_next),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
