/* Spools on a real file system, with a disk that does everything when it is told to.
 *
 * Proves   the file holds exactly what was given, whatever its length and the pieces it came in; nothing more is taken
 *          while both buffers are at the disk; a disk that is full, that writes less, or that gives back something else
 *          than was written is found out; a discarded file is gone at any stage. Nothing is read back before a sync has
 *          covered it, whatever the order in which the disk does what it is told, and little is left for the end. */
#include "core/crc.h"
#include "core/prng.h"
#include "persist/spool.h"
#include "tests/support/seed.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define BUFFER  (2 * SPOOL_BLOCK)
#define OPS_MAX 8

struct op {
    int fd;
    const void *bytes;
    void *into;
    size_t len;
    uint64_t offset;
    disk_done done;
    void *owner;
    disk_work work;
};

struct fixture {
    struct heap *heap;
    struct op ops[OPS_MAX];
    unsigned count;
    int64_t write_result;     /* instead of writing; 1: it writes */
    unsigned hoarded, covers; /* writes that have completed; and those that the sync under way covers */
    char dir[32], path[64];
};

static void add(struct fixture *f, struct op op) {
    assert_true(f->count < OPS_MAX);
    f->ops[f->count++] = op;
}

static void disk_write(void *ctx, int fd, const void *bytes, size_t len, uint64_t offset, bool durable, disk_done done,
                       void *owner) {
    (void)durable;
    assert_true(len % SPOOL_BLOCK == 0 && offset % SPOOL_BLOCK == 0 && (uintptr_t)bytes % SPOOL_BLOCK == 0);
    add(ctx, (struct op){.fd = fd, .bytes = bytes, .len = len, .offset = offset, .done = done, .owner = owner});
}

static void disk_read(void *ctx, int fd, void *bytes, size_t len, uint64_t offset, disk_done done, void *owner) {
    assert_true(len % SPOOL_BLOCK == 0 && offset % SPOOL_BLOCK == 0 && (uintptr_t)bytes % SPOOL_BLOCK == 0);
    add(ctx, (struct op){.fd = fd, .into = bytes, .len = len, .offset = offset, .done = done, .owner = owner});
}

static void disk_sync(void *ctx, int fd, disk_done done, void *owner) {
    struct fixture *f = ctx;
    f->covers = f->hoarded;
    add(ctx, (struct op){.fd = fd, .done = done, .owner = owner});
}

static void disk_job(void *ctx, disk_work work, void *job, disk_done done) {
    add(ctx, (struct op){.work = work, .owner = job, .done = done});
}

static void serve(struct fixture *f) {
    struct op op = f->ops[0];
    int64_t result = 0;
    f->count--;
    memmove(f->ops, f->ops + 1, f->count * sizeof *f->ops);
    if (op.work)
        result = op.work(op.owner);
    else if (op.bytes)
        result = f->write_result != 1 ? f->write_result : pwrite(op.fd, op.bytes, op.len, (off_t)op.offset);
    else if (op.into)
        result = pread(op.fd, op.into, op.len, (off_t)op.offset);
    op.done(op.owner, result);
}

static void serve_all(struct fixture *f) {
    while (f->count > 0) serve(f);
}

static void set_up(struct fixture *f, struct spool *spool) {
    *f = (struct fixture){.heap = heap_new(), .write_result = 1};
    snprintf(f->dir, sizeof f->dir, "/tmp/sherd-spool-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/file", f->dir);
    struct disk disk = {.ctx = f, .write = disk_write, .read = disk_read, .sync = disk_sync, .job = disk_job};
    spool_open(spool, f->heap, disk, f->path, BUFFER);
}

static void tear_down(struct fixture *f, struct spool *spool) {
    spool_deinit(spool);
    assert_int_equal(heap_used(f->heap, MEM_MESSAGE), 0);
    heap_delete(f->heap);
    unlink(f->path);
    assert_int_equal(rmdir(f->dir), 0);
}

/* All of it, serving the disk when nothing more is taken. */
static void give(struct fixture *f, struct spool *spool, struct slice bytes) {
    while (bytes.len > 0) {
        size_t taken = spool_take(spool, bytes);
        bytes = slice_of(bytes.ptr + taken, bytes.len - taken);
        if (bytes.len > 0) serve(f);
    }
}

static char *random_bytes(struct prng *prng, size_t len) {
    char *bytes = malloc(len + 1);
    for (size_t i = 0; i < len; i++) bytes[i] = (char)prng_next(prng);
    return bytes;
}

static void expect_content(const char *path, const char *bytes, size_t len) {
    char *got = malloc(len + 1);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, got, len + 1), (ssize_t)len);
    if (len > 0) assert_memory_equal(got, bytes, len);
    close(fd);
    free(got);
}

static void the_file_holds_what_was_given(void **state) {
    (void)state;
    static const size_t lengths[] = {0, 1, SPOOL_BLOCK, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER, 5 * BUFFER + 77};
    struct prng prng;
    prng_init(&prng, 1);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct fixture f;
        struct spool spool;
        size_t len = lengths[i];
        char *bytes = random_bytes(&prng, len);
        set_up(&f, &spool);
        for (size_t at = 0; at < len;) {
            size_t piece = 1 + (size_t)prng_below(&prng, 3 * SPOOL_BLOCK);
            piece = MIN(piece, len - at);
            give(&f, &spool, slice_of(bytes + at, piece));
            at += piece;
        }
        while (spool.state == SPOOL_OPENING) serve(&f);
        spool_end(&spool);
        serve_all(&f);
        assert_int_equal(spool.state, SPOOL_DONE);
        assert_int_equal(spool.size, len);
        assert_int_equal(spool.crc, crc64(0, bytes, len));
        expect_content(f.path, bytes, len);
        tear_down(&f, &spool);
        free(bytes);
    }
}

static void two_buffers_and_no_more(void **state) {
    (void)state;
    struct fixture f;
    struct spool spool;
    struct prng prng;
    prng_init(&prng, 2);
    char *bytes = random_bytes(&prng, 4 * BUFFER);
    set_up(&f, &spool);
    assert_int_equal(spool_take(&spool, slice_of(bytes, BUFFER)), 0); /* it is not open */
    serve(&f);
    assert_int_equal(spool_take(&spool, slice_of(bytes, 4 * BUFFER)), 2 * BUFFER);
    assert_int_equal(spool_take(&spool, slice_of(bytes, 1)), 0);
    serve(&f);
    assert_int_equal(spool_take(&spool, slice_of(bytes, 4 * BUFFER)), BUFFER);
    spool_discard(&spool);
    serve_all(&f);
    assert_int_equal(spool.state, SPOOL_GONE);
    assert_int_equal(access(f.path, F_OK), -1);
    tear_down(&f, &spool);
    free(bytes);
}

static void a_disk_that_fails_is_found_out(void **state) {
    (void)state;
    static const struct {
        int64_t result;
        int os_errno;
    } cases[] = {{-EIO, EIO}, {-ENOSPC, ENOSPC}, {SPOOL_BLOCK, ENOSPC}};
    char *bytes = calloc(1, BUFFER);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        struct spool spool;
        set_up(&f, &spool);
        serve(&f);
        f.write_result = cases[i].result;
        assert_int_equal(spool_take(&spool, slice_of(bytes, BUFFER)), BUFFER);
        serve_all(&f);
        assert_int_equal(spool.state, SPOOL_FAILED);
        assert_int_equal(spool.os_errno, cases[i].os_errno);
        assert_int_equal(spool_take(&spool, slice_of(bytes, 1)), 0);
        spool_end(&spool);
        assert_int_equal(spool.state, SPOOL_FAILED);
        spool_discard(&spool);
        serve_all(&f);
        assert_int_equal(access(f.path, F_OK), -1);
        tear_down(&f, &spool);
    }
    free(bytes);
}

static void what_the_disk_changes_is_found_out(void **state) {
    (void)state;
    struct fixture f;
    struct spool spool;
    char *bytes = calloc(1, 3 * BUFFER);
    set_up(&f, &spool);
    give(&f, &spool, slice_of(bytes, 3 * BUFFER));
    while (spool.state == SPOOL_OPENING) serve(&f);
    spool_end(&spool);
    while (spool.state != SPOOL_CHECKING) serve(&f);
    serve(&f); /* cut and synced */
    int fd = open(f.path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, BUFFER + 5), 1);
    fsync(fd);
    close(fd);
    serve_all(&f);
    assert_int_equal(spool.state, SPOOL_FAILED);
    assert_int_equal(spool.os_errno, EIO);
    spool_discard(&spool);
    serve_all(&f);
    tear_down(&f, &spool);
    free(bytes);
}

/* --- a disk that keeps what was not synced to itself, and does things in any order --- */

#define LONG_FILE (60 * BUFFER + 777)

/* The writes that have completed, the first `given` of which the file has. */
struct hoard {
    struct fixture *f;
    struct op kept[LONG_FILE / BUFFER + 1];
    unsigned given;
};

static void hoard_write(struct hoard *hoard, struct op op) {
    struct fixture *f = hoard->f;
    void *copy = aligned_alloc(SPOOL_BLOCK, op.len);
    memcpy(copy, op.bytes, op.len);
    assert_true(f->hoarded < ARRAY_LEN(hoard->kept));
    hoard->kept[f->hoarded] = op;
    hoard->kept[f->hoarded++].bytes = copy;
    op.done(op.owner, (int64_t)op.len);
}

static void hoard_give_up(struct hoard *hoard, unsigned to) {
    for (; hoard->given < to; hoard->given++) {
        const struct op *op = &hoard->kept[hoard->given];
        assert_int_equal(pwrite(op->fd, op->bytes, op->len, (off_t)op->offset), op->len);
        free((void *)(uintptr_t)op->bytes);
    }
}

/* One operation, any; of jobs the first. One sync is under way at a time; the job that ends the file is another. */
static void hoard_serve(struct hoard *hoard, struct prng *prng, const struct spool *spool) {
    struct fixture *f = hoard->f;
    unsigned i = (unsigned)prng_below(prng, f->count);
    struct op op = f->ops[i];
    f->ops[i] = f->ops[0];
    f->ops[0] = op;
    if (op.bytes) {
        f->count--;
        memmove(f->ops, f->ops + 1, f->count * sizeof *f->ops);
        hoard_write(hoard, op);
        return;
    }
    if (!op.work && !op.into) hoard_give_up(hoard, f->covers);
    if (op.work && spool->state == SPOOL_CHECKING) hoard_give_up(hoard, f->hoarded);
    serve(f);
}

static void play_with_hoard(uint64_t seed) {
    struct prng prng;
    struct fixture f;
    struct spool spool;
    struct hoard hoard = {.f = &f};
    uint64_t early = 0;
    prng_init(&prng, seed);
    char *bytes = random_bytes(&prng, LONG_FILE);
    set_up(&f, &spool);
    for (size_t at = 0; at < LONG_FILE || f.count > 0;) {
        size_t piece = 1 + (size_t)prng_below(&prng, 2 * BUFFER);
        piece = MIN(piece, LONG_FILE - at);
        if (at < LONG_FILE) at += spool_take(&spool, slice_of(bytes + at, piece));
        if (at == LONG_FILE && spool.state == SPOOL_WRITING) {
            early = spool.checked;
            spool_end(&spool);
        }
        if (f.count > 0) hoard_serve(&hoard, &prng, &spool);
        if (spool.state == SPOOL_FAILED) fail_msg("SHERD_SEED=%llu", (unsigned long long)seed);
    }
    assert_int_equal(spool.state, SPOOL_DONE);
    assert_true(early > 0 && hoard.given == f.hoarded);
    expect_content(f.path, bytes, LONG_FILE);
    tear_down(&f, &spool);
    free(bytes);
}

static void only_what_is_synced_is_read_back(void **state) {
    (void)state;
    uint64_t seed = seed_or(1);
    for (unsigned round = 0; round < 40; round++) play_with_hoard(seed + round);
}

/* When the disk keeps up, what is left is the last piece and what was under way. */
static void the_end_costs_little(void **state) {
    (void)state;
    struct prng prng;
    struct fixture f;
    struct spool spool;
    prng_init(&prng, 3);
    char *bytes = random_bytes(&prng, 100 * BUFFER);
    set_up(&f, &spool);
    for (size_t at = 0; at < 100 * BUFFER; at += BUFFER) {
        give(&f, &spool, slice_of(bytes + at, BUFFER));
        serve_all(&f);
    }
    assert_true(spool.checked >= 100 * BUFFER - 9 * BUFFER);
    spool_discard(&spool);
    serve_all(&f);
    tear_down(&f, &spool);
    free(bytes);
}

static void a_path_that_is_not_there(void **state) {
    (void)state;
    struct fixture f;
    struct spool spool, missing;
    set_up(&f, &spool);
    struct disk disk = {.ctx = &f, .write = disk_write, .read = disk_read, .sync = disk_sync, .job = disk_job};
    spool_open(&missing, f.heap, disk, "/tmp/sherd-spool-none/file", BUFFER);
    serve_all(&f);
    assert_int_equal(missing.state, SPOOL_FAILED);
    assert_int_equal(missing.os_errno, ENOENT);
    spool_discard(&missing);
    spool_discard(&spool);
    serve_all(&f);
    spool_deinit(&missing);
    tear_down(&f, &spool);
}

/* After any number of completions. */
static void it_goes_at_any_stage(void **state) {
    (void)state;
    char *bytes = calloc(1, 2 * BUFFER);
    for (unsigned served = 0; served < 6; served++) {
        struct fixture f;
        struct spool spool;
        set_up(&f, &spool);
        bool given = false;
        for (unsigned i = 0; i < served && f.count > 0; i++) {
            serve(&f);
            if (spool.state != SPOOL_WRITING || given) continue;
            given = true;
            assert_int_equal(spool_take(&spool, slice_of(bytes, 2 * BUFFER)), 2 * BUFFER);
            spool_end(&spool);
        }
        spool_discard(&spool);
        spool_discard(&spool);
        serve_all(&f);
        assert_int_equal(spool.state, SPOOL_GONE);
        assert_int_equal(access(f.path, F_OK), -1);
        tear_down(&f, &spool);
    }
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_holds_what_was_given),      cmocka_unit_test(two_buffers_and_no_more),
        cmocka_unit_test(a_disk_that_fails_is_found_out),     cmocka_unit_test(a_path_that_is_not_there),
        cmocka_unit_test(what_the_disk_changes_is_found_out), cmocka_unit_test(it_goes_at_any_stage),
        cmocka_unit_test(only_what_is_synced_is_read_back),   cmocka_unit_test(the_end_costs_little)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
