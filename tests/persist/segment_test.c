/* Segment: what is written reads back; one wrong byte anywhere, or any cut, leaves an exact prefix of the batches and
 * is called by its name; Redis's own checker takes a sealed segment for an append-only file; hostile payloads are
 * refused. */
#include "core/prng.h"
#include "persist/segment.h"
#include "tests/support/seed.h"
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define BATCHES 6

struct fixture {
    char path[64];
    char bytes[65536];
    size_t len;
    size_t starts[BATCHES + 1]; /* where each batch begins; the end */
    struct segment_header header;
};

#define GROUP                                                                                                          \
    "#T 00000000000000ac 0000000000000007\r\n*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n"            \
    "*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n*1\r\n$4\r\nEXEC\r\n"

static const char *const payloads[BATCHES] = {
    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
    "*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n",
    "#T 00000000000000ab 0000000000000003\r\n#E 00000000000000ab 0000000000000002\r\n",
    GROUP,
    "*3\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$6\r\n#B \r\n\n\r\n",
    "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n",
};

/* lag: how far durability is behind each batch. */
static void build(struct fixture *f, uint64_t lag) {
    f->header = (struct segment_header){.boot = 0xb007, .first_batch = 100, .shard = 3, .shards = 5, .db = 2};
    f->header.durable = f->header.first_batch - 1;
    f->len = segment_header_write(f->bytes, &f->header);
    uint32_t seed = segment_seed(f->header.boot, f->header.shard);
    for (uint32_t i = 0; i < BATCHES; i++) {
        f->starts[i] = f->len;
        uint64_t seq = f->header.first_batch + i;
        struct batch_header batch = {seq, seq - lag, strlen(payloads[i]), i == 0 ? 2 : 5};
        batch_line_write(f->bytes + f->len, seed, &batch, payloads[i]);
        memcpy(f->bytes + f->len + BATCH_LINE, payloads[i], batch.payload);
        f->len += BATCH_LINE + batch.payload;
    }
    f->starts[BATCHES] = f->len;
}

static void store(const struct fixture *f, const char *bytes, size_t len) {
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

/* Reads the file; every batch is compared with the one that was written. How many, and how it ended. */
static uint32_t read_all(const struct fixture *f, enum segment_end *end, uint64_t *lost) {
    struct segment_reader *reader;
    struct segment_header header;
    struct error error = {0};
    assert_int_equal(segment_open(&reader, f->path, &header, &error), ST_OK);
    struct batch_header batch;
    struct slice payload;
    uint32_t count = 0;
    while ((*end = segment_next(reader, &batch, &payload)) == SEGMENT_MORE) {
        assert_true(count < BATCHES && batch.seq == f->header.first_batch + count);
        assert_true(slice_equal(payload, slice_of_cstr(payloads[count])));
        assert_int_equal(segment_offset(reader), f->starts[++count]);
    }
    assert_int_equal(segment_next(reader, &batch, &payload), *end);
    *lost = segment_lost(reader);
    segment_close(reader);
    return count;
}

static void whole_segments(void **state) {
    struct fixture *f = *state;
    build(f, 1);
    enum segment_end end;
    uint64_t lost;
    store(f, f->bytes, f->len);
    assert_int_equal(read_all(f, &end, &lost), BATCHES);
    assert_int_equal(end, SEGMENT_SEALED);
    memset(f->bytes + f->len, 0, 8192);
    for (size_t zeros = 1; zeros < 8192; zeros += 97) {
        store(f, f->bytes, f->len + zeros);
        assert_int_equal(read_all(f, &end, &lost), BATCHES);
        assert_int_equal(end, SEGMENT_OPEN);
    }
    f->bytes[f->len + 5000] = 'x'; /* behind the page: what a recycled file held */
    store(f, f->bytes, f->len + 8192);
    assert_int_equal(read_all(f, &end, &lost), BATCHES);
    assert_int_equal(end, SEGMENT_OPEN);
    f->bytes[f->len + 50] = 'x';
    store(f, f->bytes, f->len + 8192);
    assert_int_equal(read_all(f, &end, &lost), BATCHES);
    assert_int_equal(end, SEGMENT_TORN);
}

/* The header must not open; a batch must end there. */
static void expect_broken_at(const struct fixture *f, size_t at, uint64_t lag) {
    if (at < f->starts[0]) {
        struct segment_reader *reader;
        struct segment_header header;
        struct error error = {0};
        enum status status = segment_open(&reader, f->path, &header, &error);
        assert_true(status == ST_INVALID || (at == 0 && status == ST_NOT_FOUND));
        return;
    }
    uint32_t batch = 0;
    while (at >= f->starts[batch + 1]) batch++;
    enum segment_end end;
    uint64_t lost;
    assert_int_equal(read_all(f, &end, &lost), batch);
    assert_int_equal(lost, BATCHES - 1 - batch);
    assert_int_equal(end, batch + lag < BATCHES ? SEGMENT_DAMAGED : SEGMENT_TORN);
}

static void every_byte_flipped(void **state) {
    struct fixture *f = *state;
    static const uint64_t lags[] = {1, 3, 100};
    for (size_t k = 0; k < ARRAY_LEN(lags); k++) {
        build(f, lags[k]);
        for (size_t i = 0; i < f->len; i++) {
            const char was = f->bytes[i];
            const char wrong[] = {(char)(was ^ 1), (char)(was ^ 0x20), (char)~was, 0};
            for (size_t w = 0; w < sizeof wrong; w++) {
                f->bytes[i] = wrong[w];
                store(f, f->bytes, f->len);
                expect_broken_at(f, i, lags[k]);
            }
            f->bytes[i] = was;
        }
    }
}

static void cut_at_every_length(void **state) {
    struct fixture *f = *state;
    build(f, 1);
    for (size_t len = 0; len < f->len; len++) {
        store(f, f->bytes, len);
        if (len < f->starts[0]) {
            expect_broken_at(f, len, 1);
            continue;
        }
        uint32_t whole = 0;
        while (f->starts[whole + 1] <= len) whole++;
        enum segment_end end;
        uint64_t lost;
        assert_int_equal(read_all(f, &end, &lost), whole);
        assert_int_equal(end, f->starts[whole] == len ? SEGMENT_SEALED : SEGMENT_TORN);
        assert_int_equal(lost, 0);
    }
}

/* A sector of zeros in the middle is damage like any other, also where a batch begins. */
static void zeros_in_the_middle(void **state) {
    struct fixture *f = *state;
    build(f, 1);
    for (uint32_t i = 0; i + 1 < BATCHES; i++) {
        char bytes[sizeof f->bytes];
        memcpy(bytes, f->bytes, f->len);
        memset(bytes + f->starts[i], 0, f->starts[i + 1] - f->starts[i]);
        store(f, bytes, f->len);
        expect_broken_at(f, f->starts[i], 1);
    }
}

static void damage_is_skipped(void **state) {
    struct fixture *f = *state;
    build(f, 1);
    f->bytes[f->starts[1] + BATCH_LINE + 3] ^= 1; /* batch 1's payload */
    f->bytes[f->starts[3] + 5] ^= 1;              /* batch 3's line */
    store(f, f->bytes, f->len);
    struct segment_reader *reader;
    struct segment_header header;
    struct error error = {0};
    assert_int_equal(segment_open(&reader, f->path, &header, &error), ST_OK);
    assert_false(segment_skip(reader));
    struct batch_header batch;
    struct slice payload;
    static const int whole[] = {0, 2, 4, 5};
    for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
        enum segment_end end = segment_next(reader, &batch, &payload);
        if (end == SEGMENT_DAMAGED) {
            assert_true(segment_skip(reader));
            end = segment_next(reader, &batch, &payload);
        }
        assert_int_equal(end, SEGMENT_MORE);
        assert_int_equal(batch.seq, 100 + whole[i]);
        assert_true(slice_equal(payload, slice_of_cstr(payloads[whole[i]])));
    }
    assert_int_equal(segment_next(reader, &batch, &payload), SEGMENT_SEALED);
    assert_false(segment_skip(reader));
    segment_close(reader);
}

/* Batches of another generation, or older ones of this one, are none; also at the very place where one is due. */
static void strangers(void **state) {
    struct fixture *f = *state;
    build(f, 1);
    const char *payload = payloads[0];
    for (int kind = 0; kind < 3; kind++) {
        struct batch_header batch = {f->header.first_batch + BATCHES, f->header.first_batch, strlen(payload), 0};
        if (kind == 2) batch.seq = 90, batch.durable = 80;
        uint32_t seed = segment_seed(f->header.boot + (kind == 0), f->header.shard + (kind == 1));
        batch_line_write(f->bytes + f->len, seed, &batch, payload);
        memcpy(f->bytes + f->len + BATCH_LINE, payload, batch.payload);
        store(f, f->bytes, f->len + BATCH_LINE + batch.payload);
        enum segment_end end;
        uint64_t lost;
        assert_int_equal(read_all(f, &end, &lost), BATCHES);
        assert_int_equal(end, SEGMENT_TORN);
        assert_int_equal(lost, 0);
    }
}

/* Larger than the window, and behind many small ones. */
static void large_batches(void **state) {
    struct fixture *f = *state;
    size_t size = (size_t)5 << 20;
    char *payload = malloc(size), line[BATCH_LINE];
    assert_non_null(payload);
    for (size_t i = 0; i < size; i++) payload[i] = i % 70 ? '#' : 'B';
    build(f, 1);
    uint32_t seed = segment_seed(f->header.boot, f->header.shard);
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    fwrite(f->bytes, 1, f->starts[0], file);
    for (uint32_t i = 0; i < 200; i++) {
        struct batch_header batch = {100 + i, 99, i % 50 == 49 ? size : 20000, 0};
        batch_line_write(line, seed, &batch, payload);
        fwrite(line, 1, sizeof line, file);
        fwrite(payload, 1, batch.payload, file);
    }
    assert_int_equal(fclose(file), 0);
    struct segment_reader *reader;
    struct segment_header header;
    struct error error = {0};
    assert_int_equal(segment_open(&reader, f->path, &header, &error), ST_OK);
    struct batch_header batch;
    struct slice got;
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(segment_next(reader, &batch, &got), SEGMENT_MORE);
        assert_int_equal(batch.seq, 100 + i);
        assert_int_equal(got.len, i % 50 == 49 ? size : 20000);
        assert_memory_equal(got.ptr, payload, got.len);
    }
    assert_int_equal(segment_next(reader, &batch, &got), SEGMENT_SEALED);
    segment_close(reader);
    free(payload);
}

static void files_that_are_none(void **state) {
    struct fixture *f = *state;
    struct segment_reader *reader;
    struct segment_header header;
    struct error error = {0};
    unlink(f->path);
    assert_int_equal(segment_open(&reader, f->path, &header, &error), ST_NOT_FOUND);
    assert_true(error.os_errno != 0);
    store(f, "", 0);
    error = (struct error){0};
    assert_int_equal(segment_open(&reader, f->path, &header, &error), ST_NOT_FOUND);
    assert_int_equal(error.os_errno, 0);
    assert_int_equal(segment_open(&reader, "/tmp", &header, &error), ST_INVALID);
    store(f, "REDIS0011", 9);
    assert_int_equal(segment_open(&reader, f->path, &header, &error), ST_INVALID);
}

static void lags_are_kept(void **state) {
    (void)state;
    static const struct batch_header cases[] = {
        {1, 0, 1, 0},
        {UINT64_MAX, UINT64_MAX - 1, 1, UINT16_MAX},
        {UINT64_MAX, UINT64_MAX - 0xfffffffe, 1, 0},
        {5, 3, 1, 9},
    };
    char line[BATCH_LINE];
    struct batch_header got;
    uint32_t crc;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        batch_line_write(line, 7, &cases[i], "x");
        assert_true(batch_line_read(line, 7, &got, &crc));
        assert_true(got.seq == cases[i].seq && got.durable == cases[i].durable && got.db == cases[i].db);
        assert_false(batch_line_read(line, 8, &got, &crc));
    }
    struct batch_header far = {UINT64_MAX, UINT64_MAX - 0xffffffff, 1, 0};
    batch_line_write(line, 7, &far, "x");
    assert_true(batch_line_read(line, 7, &got, &crc));
    assert_true(got.durable == 0); /* too far behind to say */
}

static void redis_check_aof_accepts_it(void **state) {
    struct fixture *f = *state;
    if (access("/usr/bin/redis-check-aof", X_OK) != 0) skip();
    build(f, 1);
    store(f, f->bytes, f->len);
    char command[256];
    snprintf(command, sizeof command, "/usr/bin/redis-check-aof %s 2>&1 >/dev/null", f->path);
    assert_int_equal(system(command), 0);
    store(f, f->bytes, f->len - 1);
    snprintf(command, sizeof command, "echo n | /usr/bin/redis-check-aof %s >/dev/null 2>&1", f->path);
    assert_int_not_equal(system(command), 0);
}

/* --- payloads --- */

static void payload_items(void **state) {
    (void)state;
    struct effect_reader reader;
    effect_reader_init(&reader, slice_of_cstr(payloads[3]));
    assert_int_equal(effect_reader_next(&reader), EFFECT_TRANSACTION);
    assert_true(reader.stamp == 0xac && reader.participants == 7);
    static const uint32_t counts[] = {1, 3, 2, 1};
    static const char *const names[] = {"MULTI", "SET", "DEL", "EXEC"};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        assert_int_equal(effect_reader_next(&reader), EFFECT_COMMAND);
        assert_int_equal(reader.argc, counts[i]);
        assert_true(slice_equal(reader.argv[0], slice_of_cstr(names[i])));
    }
    assert_int_equal(effect_reader_next(&reader), EFFECT_END);
    effect_reader_start(&reader, slice_of_cstr("#P 00000000000000ad 0000000000000001\r\n"
                                               "#E 00000000000000ae 0000000000000010\r\n"));
    assert_int_equal(effect_reader_next(&reader), EFFECT_PIECE);
    assert_true(reader.stamp == 0xad && reader.number == 1 && reader.participants == 0);
    assert_int_equal(effect_reader_next(&reader), EFFECT_PIECES_END);
    assert_true(reader.stamp == 0xae && reader.number == 16 && reader.participants == 0);
    assert_int_equal(effect_reader_next(&reader), EFFECT_END);
    effect_reader_start(&reader, slice_of_cstr(payloads[4]));
    assert_int_equal(effect_reader_next(&reader), EFFECT_COMMAND);
    assert_true(slice_equal(reader.argv[2], slice_of("#B \r\n\n", 6)));
    assert_int_equal(effect_reader_next(&reader), EFFECT_END);
    effect_reader_deinit(&reader);
}

static void payloads_that_are_broken(void **state) {
    (void)state;
    static const char *const broken[] = {
        "*",
        "*1",
        "*1\r",
        "*1\n",
        "*0\r\n",
        "*-1\r\n",
        "*1\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$3\r\nab\r\n",
        "*1\r\n$1\r\nab\r\n",
        "*1\r\n$2\r\nab\r",
        "*1\r\n$2\r\nabxx",
        "*99999999999999999999999999\r\n$1\r\na\r\n",
        "*4294967296\r\n$1\r\na\r\n",
        "*2\r\n$1\r\na\r\n",
        "*1\r\n$18446744073709551615\r\na\r\n",
        "*1\r\n$18446744073709551614\r\na\r\n",
        "PING\r\n",
        "#T 00000000000000ab 000000000000000x\r\n",
        "#T 00000000000000ab 0000000000000003\n\n",
        "#T 00000000000000ab",
        "#Q 00000000000000ab 0000000000000003\r\n",
        "#P 00000000000000ab-0000000000000003\r\n",
        "#B \r\n",
        "#",
    };
    struct effect_reader reader;
    effect_reader_init(&reader, slice_of(NULL, 0));
    assert_int_equal(effect_reader_next(&reader), EFFECT_END);
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        size_t len = strlen(broken[i]);
        char *exact = malloc(len); /* a block of its size, for AddressSanitizer */
        assert_non_null(exact);
        memcpy(exact, broken[i], len);
        effect_reader_start(&reader, slice_of(exact, len));
        assert_int_equal(effect_reader_next(&reader), EFFECT_BROKEN);
        assert_int_equal(effect_reader_next(&reader), EFFECT_BROKEN);
        assert_int_equal(reader.argc, 0);
        free(exact);
    }
    effect_reader_deinit(&reader);
}

/* Random changes of good payloads: whatever comes out lies inside, and the reader gets to an end. */
static void mutated_payloads(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    struct effect_reader reader;
    effect_reader_init(&reader, slice_of(NULL, 0));
    for (int round = 0; round < 20000; round++) {
        const char *from = payloads[prng_below(&prng, BATCHES)];
        size_t len = strlen(from);
        char *bytes = malloc(len);
        assert_non_null(bytes);
        memcpy(bytes, from, len);
        for (uint64_t n = prng_below(&prng, 4); n > 0; n--)
            bytes[prng_below(&prng, len)] = "0123456789*$#T\r\n\0z"[prng_below(&prng, 18)];
        effect_reader_start(&reader, slice_of(bytes, len));
        enum effect_item item;
        size_t items = 0;
        while ((item = effect_reader_next(&reader)) != EFFECT_END && item != EFFECT_BROKEN) {
            assert_true(++items <= len);
            for (uint32_t i = 0; i < reader.argc; i++) {
                struct slice s = reader.argv[i];
                assert_true(s.ptr >= bytes && s.ptr + s.len <= bytes + len);
            }
        }
        free(bytes);
    }
    effect_reader_deinit(&reader);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    if (!f) return -1;
    snprintf(f->path, sizeof f->path, "/tmp/sherd-segment-%d.aof", (int)getpid());
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    unlink(f->path);
    free(f);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_segments),      cmocka_unit_test(every_byte_flipped),
        cmocka_unit_test(cut_at_every_length), cmocka_unit_test(zeros_in_the_middle),
        cmocka_unit_test(damage_is_skipped),   cmocka_unit_test(strangers),
        cmocka_unit_test(large_batches),       cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(lags_are_kept),       cmocka_unit_test(redis_check_aof_accepts_it),
        cmocka_unit_test(payload_items),       cmocka_unit_test(payloads_that_are_broken),
        cmocka_unit_test(mutated_payloads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
