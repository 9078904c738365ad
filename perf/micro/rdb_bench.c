/* What one core writes to RDB files and reads from them, MB of file per second, by size and kind of value. Written to
 * memory, read from a file in memory (memfd), so no disk is in it; a read builds every entry, or takes none.
 *
 *    rdb_bench [megabytes]        default: 512 of each */
#include "core/assert.h"
#include "core/crc.h"
#include "core/prng.h"
#include "persist/rdb_read.h"
#include "persist/rdb_write.h"
#include "shards/hash_value.h"
#include "shards/zset.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct bench {
    struct heap *heap;
    struct store store;
    struct prng prng;
    struct buf file;
    uint64_t crc;
    int fd;
    char path[64];
};

static const struct quicklist_rule list_rule = {8192, UINT32_MAX};
static const struct set_rule set_rule = {{1, 2}, 512};
static const struct packed_rule hash_rule = {128, 64};
static const struct zset_rule zset_rule = {128, 64};
static const struct hash_seed seed = {3, 4};

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- values --- */

static struct entry *make_string(struct bench *bench, struct slice key, size_t size, bool noise) {
    char bytes[65536];
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t word = noise ? prng_next(&bench->prng) : 0x6161616161616161u + prng_below(&bench->prng, 4);
        memcpy(bytes + at, &word, sizeof word);
    }
    return entry_new_string(&bench->store, key, slice_of(bytes, size), 0, true);
}

static struct entry *make_hash(struct bench *bench, struct slice key, size_t fields) {
    struct hash_loading loading;
    hash_load_begin(&loading, &bench->store, &hash_rule, &seed);
    for (size_t i = 0; i < fields; i++) {
        char name[32], text[32];
        struct packed_value field = packed_value_of(slice_of(name, (size_t)sprintf(name, "field:%zu", i))),
                            value = packed_value_of(slice_of(
                                text, (size_t)sprintf(text, "value:%u", (unsigned)prng_below(&bench->prng, 100000))));
        bool fresh = hash_load(&loading, &field, &value, true);
        ASSERT(fresh);
    }
    return hash_load_end(&loading, key, 0);
}

static struct entry *make_zset(struct bench *bench, struct slice key, size_t members) {
    struct sorted *set = sorted_new(&bench->store, &seed);
    for (size_t i = 0; i < members; i++) {
        char name[32];
        sorted_insert(&bench->store, set, slice_of(name, (size_t)sprintf(name, "member:%zu", i)),
                      (double)prng_below(&bench->prng, 1000000));
    }
    zset_mark(&zset_rule, set);
    return zset_new_entry(&bench->store, key, set, 0);
}

enum kind { TEXT, NOISE, HASH, ZSET };

static struct entry *make(struct bench *bench, enum kind kind, size_t size, uint64_t number) {
    char key[32];
    struct slice name = slice_of(key, (size_t)sprintf(key, "key:%012llu", (unsigned long long)number));
    switch (kind) {
    case HASH: return make_hash(bench, name, size);
    case ZSET: return make_zset(bench, name, size);
    case TEXT:
    case NOISE: break;
    }
    return make_string(bench, name, size, kind == NOISE);
}

/* --- writing and reading --- */

static void flush(struct bench *bench) {
    bench->crc = crc64(bench->crc, bench->file.data, bench->file.len);
    ssize_t put = write(bench->fd, bench->file.data, bench->file.len);
    ASSERT(put == (ssize_t)bench->file.len);
    bench->file.len = 0;
}

/* Copies of one batch of entries until that makes so many bytes; what writing took. */
static double write_file(struct bench *bench, struct entry **batch, size_t count, size_t bytes, bool compress) {
    struct rdb_thrift thrift = {0};
    struct rdb_style style = {.compress = compress, .thrift = &thrift};
    bench->crc = 0;
    ASSERT(ftruncate(bench->fd, 0) == 0 && lseek(bench->fd, 0, SEEK_SET) == 0);
    double start = now_s();
    rdb_write_header(&bench->file);
    for (size_t written = 0, i = 0; written < bytes; i = (i + 1) % count) {
        size_t before = bench->file.len;
        struct rdb_writer writer;
        if (rdb_is_large(batch[i])) {
            rdb_writer_begin(&writer, batch[i], &style);
            while (rdb_writer_next(&writer, &bench->file, 65536)) {
            }
            rdb_writer_end(&writer);
        } else {
            rdb_write_entry(&bench->file, batch[i], &style);
        }
        written += bench->file.len - before;
        if (bench->file.len >= 1 << 20) flush(bench);
    }
    flush(bench);
    rdb_write_end(&bench->file, bench->crc);
    flush(bench);
    return now_s() - start;
}

static bool takes_none(void *ctx, uint32_t db, struct slice key) {
    (void)ctx, (void)db, (void)key;
    return false;
}

static double read_file(struct bench *bench, bool take, uint64_t *bytes) {
    struct buf scratch, entries;
    struct rdb_reader *reader;
    struct rdb_event event;
    struct error error;
    enum rdb_item item;
    buf_init(&scratch, bench->heap, MEM_MESSAGE);
    buf_init(&entries, bench->heap, MEM_MESSAGE);
    struct rdb_reader_options options = {.path = bench->path,
                                         .build = true,
                                         .takes = take ? NULL : takes_none,
                                         .target = {.store = &bench->store,
                                                    .list_rule = &list_rule,
                                                    .set_rule = &set_rule,
                                                    .hash_rule = &hash_rule,
                                                    .zset_rule = &zset_rule,
                                                    .seed = &seed,
                                                    .allow_int = true}};
    double start = now_s();
    ASSERT(rdb_open(&reader, &options, &error) == ST_OK);
    while ((item = rdb_next(reader, &event, &error)) != RDB_END) {
        ASSERT(item != RDB_BROKEN);
        if (event.entry) buf_append(&entries, &event.entry, sizeof event.entry);
    }
    double took = now_s() - start;
    *bytes = rdb_size(reader);
    rdb_close(reader);
    for (size_t at = 0; at < entries.len; at += sizeof(struct entry *)) {
        struct entry *entry;
        memcpy(&entry, entries.data + at, sizeof entry);
        entry_delete(&bench->store, entry);
    }
    buf_deinit(&entries);
    buf_deinit(&scratch);
    return took;
}

static void measure(struct bench *bench, const char *name, enum kind kind, size_t size, size_t megabytes) {
    struct entry *batch[64];
    for (size_t i = 0; i < ARRAY_LEN(batch); i++) batch[i] = make(bench, kind, size, i);
    for (int compress = 0; compress < 2; compress++) {
        uint64_t bytes;
        double wrote = write_file(bench, batch, ARRAY_LEN(batch), megabytes << 20, compress);
        (void)read_file(bench, true, &bytes); /* the heap has its pages now */
        double took = read_file(bench, true, &bytes), passed = read_file(bench, false, &bytes);
        double mb = (double)bytes / 1e6;
        printf("%-24s %-10s write %6.0f  read %6.0f  pass over %6.0f MB/s\n", name, compress ? "compressed" : "plain",
               mb / wrote, mb / took, mb / passed);
    }
    for (size_t i = 0; i < ARRAY_LEN(batch); i++) entry_delete(&bench->store, batch[i]);
}

int main(int argc, char **argv) {
    size_t megabytes = argc > 1 ? strtoull(argv[1], NULL, 10) : 512;
    struct bench bench = {.heap = heap_new(), .fd = memfd_create("rdb", MFD_CLOEXEC)};
    ASSERT(bench.heap && bench.fd >= 0);
    bench.store = (struct store){.heap = bench.heap, .slab = slab_new(bench.heap, MEM_DATA)};
    snprintf(bench.path, sizeof bench.path, "/proc/self/fd/%d", bench.fd);
    prng_init(&bench.prng, 1);
    buf_init(&bench.file, bench.heap, MEM_MESSAGE);
    measure(&bench, "strings, 64 bytes", NOISE, 64, megabytes / 4);
    measure(&bench, "strings, 1 KiB", NOISE, 1024, megabytes);
    measure(&bench, "the same, compressible", TEXT, 1024, megabytes);
    measure(&bench, "strings, 64 KiB", NOISE, 65536, megabytes);
    measure(&bench, "hashes, 10 fields", HASH, 10, megabytes / 4);
    measure(&bench, "hashes, 10000 fields", HASH, 10000, megabytes / 4);
    measure(&bench, "sorted sets, 10000", ZSET, 10000, megabytes / 4);
    buf_deinit(&bench.file);
    close(bench.fd);
    return 0;
}
