/* Fuzz: RDB files. Proves that no bytes make the reader step outside its input or keep memory, that reading without
 * building, and passing over what nobody takes, find the same items as building does, and that what ends well did so at
 * the same place each time. Values themselves are dump_fuzz's affair.
 *
 * With libFuzzer (SHERD_FUZZ, clang) this is a target; without it main plays mutations of good files:
 *
 *    rdb_fuzz [seconds [seed]]        default: 2 seconds of seed 1; `smoke` in ctest */
#include "core/assert.h"
#include "core/crc.h"
#include "persist/rdb_read.h"
#include "persist/rdb_write.h"
#include "tests/support/entries.h"
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    struct entries entries;
    int fd; /* of a file in memory */
    char path[64];
};

/* One heap and one file for all inputs of the process; a fuzzer has one thread. */
static struct fuzz *fuzz_get(void) {
    static struct fuzz fuzz;
    if (fuzz.fd > 0) return &fuzz;
    entries_init(&fuzz.entries, 1);
    fuzz.fd = memfd_create("rdb", MFD_CLOEXEC);
    ASSERT(fuzz.fd > 0);
    snprintf(fuzz.path, sizeof fuzz.path, "/proc/self/fd/%d", fuzz.fd);
    return &fuzz;
}

static bool takes_none(void *ctx, uint32_t db, struct slice key) {
    (void)ctx, (void)db, (void)key;
    return false;
}

struct outcome {
    bool opened;
    enum rdb_item end;
    uint64_t items, offset;
};

static struct outcome read_file(struct fuzz *fuzz, bool build,
                                bool (*takes)(void *ctx, uint32_t db, struct slice key)) {
    struct outcome outcome = {.end = RDB_BROKEN};
    struct rdb_reader *reader;
    struct rdb_event event;
    struct error error;
    int64_t before = heap_used(fuzz->entries.heap, MEM_MESSAGE);
    struct rdb_reader_options options = {.path = fuzz->path,
                                         .heap = fuzz->entries.heap,
                                         .takes = takes,
                                         .build = build,
                                         .target = entries_target(&fuzz->entries)};
    if (rdb_open(&reader, &options, &error) != ST_OK) return outcome;
    outcome.opened = true;
    do {
        error.text[0] = '\0';
        outcome.end = rdb_next(reader, &event, &error);
        outcome.items++;
        ASSERT((outcome.end == RDB_BROKEN) == (error.text[0] != '\0'));
        ASSERT(event.entry == NULL || (outcome.end == RDB_KEY && build));
        if (event.entry) entry_delete(&fuzz->entries.store, event.entry);
        ASSERT(event.offset < rdb_size(reader) || outcome.end == RDB_BROKEN);
    } while (outcome.end != RDB_END && outcome.end != RDB_BROKEN);
    outcome.offset = rdb_offset(reader);
    ASSERT(outcome.offset <= rdb_size(reader));
    rdb_close(reader);
    ASSERT(heap_used(fuzz->entries.heap, MEM_MESSAGE) == before);
    ASSERT(heap_used(fuzz->entries.heap, MEM_INDEX) == 0);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz *fuzz = fuzz_get();
    ASSERT(ftruncate(fuzz->fd, 0) == 0 && pwrite(fuzz->fd, data, size, 0) == (ssize_t)size);
    struct outcome built = read_file(fuzz, true, NULL), seen = read_file(fuzz, false, NULL),
                   passed = read_file(fuzz, true, takes_none);
    ASSERT(built.opened == seen.opened && built.opened == passed.opened);
    ASSERT(seen.end == passed.end && seen.items == passed.items && seen.offset == passed.offset);
    if (built.end == RDB_END) ASSERT(seen.end == RDB_END && seen.items == built.items && seen.offset == built.offset);
    return 0;
}

#ifndef SHERD_LIBFUZZER

#define INPUT_MAX 65536

static void put_random_thing(struct fuzz *fuzz, struct buf *out) {
    static const struct slice things[] = {
        SLICE_INIT("\xfa\x02"
                   "ab\xc1\x00\x01"),
        SLICE_INIT("\xf5\x03"
                   "abc"),
        SLICE_INIT("\xf7\x05\x02\x02\x05\x03"
                   "abc\x04"
                   "12345678\x00"),
        SLICE_INIT("\xf4\x05\x01\x00"),
        SLICE_INIT("\xfd\x05\x01\x00\x00"),
        SLICE_INIT("\x0f\x01k\x01\x01k\x02lp\x05\x01\x02\x01\x01g\x03\x04\x01"
                   "0123456789abcdef"
                   "12345678"
                   "\x01\x01\x01"
                   "c"
                   "12345678"
                   "\x01"
                   "0123456789abcdef"),
        SLICE_INIT("\x18\x01k"
                   "12345678\x01\x05\x01"
                   "f\xc1"
                   "xy"),
        SLICE_INIT("\x09\x01k\x07\x01\x01"
                   "a\x01\x00"
                   "1\xff"),
        SLICE_INIT("\x0d\x01k\x10\x10\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01"
                   "a\x03\xf2\xff"),
    };
    buf_append_slice(out, things[prng_below(&fuzz->entries.prng, ARRAY_LEN(things))]);
}

static void put_random_key(struct fuzz *fuzz, struct buf *out) {
    struct prng *prng = &fuzz->entries.prng;
    enum value_type type = (enum value_type)prng_below(prng, TYPE_COUNT);
    uint64_t deadline_ms = prng_below(prng, 2) ? prng_next(prng) >> 20 : 0;
    struct entry *entry =
        entries_make(&fuzz->entries, type, SLICE("some key"), 1 + prng_below(prng, 20), 50, deadline_ms);
    struct rdb_style style = {
        .compress = prng_below(prng, 2), .usage = (enum rdb_usage)prng_below(prng, 3), .clock = 7, .lfu = {1, 1}};
    rdb_write_entry(out, entry, &style);
    entry_delete(&fuzz->entries.store, entry);
}

static void put_good_file(struct fuzz *fuzz, struct buf *out) {
    char head[16];
    snprintf(head, sizeof head, "REDIS%04u", 1 + (unsigned)prng_below(&fuzz->entries.prng, 12));
    buf_append(out, head, 9);
    rdb_write_database(out, 3, 4, 5);
    for (uint64_t things = prng_below(&fuzz->entries.prng, 10); things > 0; things--) {
        if (prng_below(&fuzz->entries.prng, 3) == 0)
            put_random_thing(fuzz, out);
        else
            put_random_key(fuzz, out);
    }
    buf_append_literal(out, "\xff\0\0\0\0\0\0\0\0"); /* no checksum: it would end every mutation at once */
}

static size_t mutate(struct prng *prng, char *bytes, size_t len) {
    for (uint64_t changes = prng_below(prng, 5); changes > 0 && len > 10; changes--) {
        size_t at = prng_below(prng, 20) ? 9 + prng_below(prng, len - 9) : prng_below(prng, len);
        switch (prng_below(prng, 5)) {
        case 0: bytes[at] = (char)prng_next(prng); break;
        case 1: bytes[at] = (char)((unsigned char)bytes[at] ^ 1u << prng_below(prng, 8)); break;
        case 2: len = prng_below(prng, 4) ? len : at + 1; break;
        case 3: /* a head that starts another form */
            bytes[at] = "\x00\x05\x12\x80\x81\xc0\xc3\xf4\xf7\xf8\xfa\xfc\xfd\xfe\xff"[prng_below(prng, 15)];
            break;
        default: /* one byte fewer */ memmove(bytes + at, bytes + at + 1, len - at - 1); len--;
        }
    }
    return len;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct fuzz *fuzz = fuzz_get();
    prng_init(&fuzz->entries.prng, seed);
    struct buf input;
    buf_init(&input, fuzz->entries.heap, MEM_STATS);
    uint64_t rounds = 0;
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    for (; clock() < end; rounds++) {
        input.len = 0;
        put_good_file(fuzz, &input);
        if (input.len > INPUT_MAX) continue;
        size_t len = mutate(&fuzz->entries.prng, input.data, input.len);
        (void)LLVMFuzzerTestOneInput((const uint8_t *)input.data, len);
    }
    buf_deinit(&input);
    printf("%llu files of seed %llu\n", (unsigned long long)rounds, (unsigned long long)seed);
    return 0;
}

#endif
