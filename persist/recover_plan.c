/* Recovery, what there is: the manifest, and the segments that belong to each of its journals.
 *
 * The manifest says where a journal begins, the directory what followed; what is in a file is not known yet. So every
 * segment of the shard from the journal's first one on is taken, and whether they really follow each other is found in
 * JOIN from what they say themselves. Work is bounded by the files that are there, not by numbers in the manifest. */
#include "core/alloc.h"
#include "core/assert.h"
#include "persist/recover_priv.h"
#include "shards/effect_apply.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct listing {
    struct datadir_name *names; /* segments only */
    uint32_t count, cap;
    uint64_t highest;
    bool any, no_memory;
};

static void note_name(void *ctx, const char *name, struct datadir_name is) {
    struct listing *listing = ctx;
    (void)name;
    if (is.kind != DATADIR_CHECKPOINT && is.kind != DATADIR_SEGMENT) return;
    listing->any = true;
    listing->highest = MAX(listing->highest, is.number);
    if (is.kind == DATADIR_CHECKPOINT || listing->no_memory) return;
    if (listing->count == listing->cap) {
        uint32_t cap = MAX(64u, listing->cap * 2);
        struct datadir_name *larger = shared_alloc(cap * sizeof *larger);
        listing->no_memory = !larger;
        if (!larger) return;
        if (listing->count) memcpy(larger, listing->names, listing->count * sizeof *larger);
        shared_free(listing->names);
        listing->names = larger;
        listing->cap = cap;
    }
    listing->names[listing->count++] = is;
}

static int by_shard_and_number(const void *left, const void *right) {
    const struct datadir_name *a = left, *b = right;
    if (a->shard != b->shard) return a->shard < b->shard ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* The first in the sorted list that is not before this shard and number. */
static uint32_t lower_bound(const struct listing *listing, uint32_t shard, uint64_t number) {
    struct datadir_name wanted = {DATADIR_SEGMENT, shard, number};
    uint32_t from = 0, to = listing->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (by_shard_and_number(&listing->names[middle], &wanted) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

const struct manifest_range *recovery_range(const struct recovery *recovery, const struct recovery_chain *chain) {
    return &recovery->manifest.generations[chain->generation].ranges[chain->shard];
}

/* Which segments are the chain's. An open journal has all from its first on. */
static void find_segments(const struct recovery *recovery, const struct listing *listing, struct recovery_chain *chain,
                          uint32_t *from) {
    const struct manifest_generation *generation = &recovery->manifest.generations[chain->generation];
    const struct manifest_range *range = recovery_range(recovery, chain);
    uint64_t last = generation->over ? range->last_segment : DATADIR_NUMBER_MAX;
    *from = lower_bound(listing, chain->shard, range->first_segment);
    /* One that ended before its first batch has none: its first segment may be what was given up as damaged. */
    bool is_empty = generation->over && range->last_seq < range->first_seq && range->last_part == 0;
    chain->count = is_empty ? 0 : lower_bound(listing, chain->shard, last + 1) - *from;
}

static bool reserve(struct recovery *recovery) {
    uint64_t chains = 0;
    for (uint32_t g = 0; g < recovery->manifest.generation_count; g++)
        chains += recovery->manifest.generations[g].shards;
    recovery->chains = shared_alloc(MAX(chains, 1u) * sizeof *recovery->chains);
    return recovery->chains != NULL;
}

static uint64_t make_chains(struct recovery *recovery, const struct listing *listing) {
    uint64_t segments = 0;
    for (uint32_t g = 0; g < recovery->manifest.generation_count; g++)
        for (uint32_t shard = 0; shard < recovery->manifest.generations[g].shards; shard++) {
            struct recovery_chain *chain = &recovery->chains[recovery->chain_count++];
            uint32_t from;
            *chain = (struct recovery_chain){.generation = g, .shard = shard, .first = (uint32_t)segments};
            find_segments(recovery, listing, chain, &from);
            segments += chain->count;
        }
    return segments;
}

static bool make_segments(struct recovery *recovery, const struct listing *listing, uint64_t count) {
    if (count >= UINT32_MAX) return false;
    recovery->segments = shared_alloc(MAX(count, 1u) * sizeof *recovery->segments);
    if (!recovery->segments) return false;
    for (uint32_t c = 0; c < recovery->chain_count; c++) {
        struct recovery_chain *chain = &recovery->chains[c];
        uint32_t from;
        find_segments(recovery, listing, chain, &from);
        for (uint32_t i = 0; i < chain->count; i++) {
            struct recovery_segment *segment = &recovery->segments[recovery->segment_count++];
            segment->number = listing->names[from + i].number;
            segment->chain = c;
        }
    }
    return true;
}

static enum status no_memory(struct error *error) {
    return error_set(error, ST_NO_MEMORY, 0, "No memory to plan the recovery");
}

/* Names are known. */
static enum status plan_chains(struct recovery *recovery, struct listing *listing, struct error *error) {
    if (listing->no_memory) return no_memory(error);
    if (listing->count > 1) qsort(listing->names, listing->count, sizeof *listing->names, by_shard_and_number);
    recovery->highest = listing->highest;
    if (!recovery->found && listing->any)
        return error_set(error, ST_INVALID, 0,
                         "%s holds files of sherd's (shard-*), but no " DATADIR_MANIFEST
                         ", which says what they mean: bring it back, or move these files away to start empty",
                         recovery->options.dir->path);
    if (!reserve(recovery)) return no_memory(error);
    uint64_t segments = make_chains(recovery, listing);
    return make_segments(recovery, listing, segments) ? ST_OK : no_memory(error);
}

static enum status load_manifest(struct recovery *recovery, struct error *error) {
    enum status status = manifest_load(&recovery->manifest, recovery->options.dir, error);
    recovery->found = status == ST_OK;
    return status == ST_NOT_FOUND ? ST_OK : status;
}

/* The file as it is now: as long as there is no checkpoint, it has to be the same at each start. */
static enum status note_import(struct recovery *recovery, struct error *error) {
    char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
    struct manifest_import *import = &recovery->manifest.import;
    recovery_file_path(recovery, 0, path);
    return recovery_file_facts(path, &import->bytes, &import->crc64, error);
}

/* A file to begin with, unless there are data. */
static enum status plan_import(struct recovery *recovery, struct error *error) {
    const char *path = recovery->options.import;
    bool has_data = recovery->manifest.checkpoint.number || recovery->manifest.import.path[0] ||
                    recovery->manifest.generation_count;
    if (path && !has_data) {
        if (strlen(path) >= sizeof recovery->manifest.import.path || strchr(path, '\n'))
            return error_set(error, ST_INVALID, 0, "The name of the file to import is too long, or holds a newline");
        strcpy(recovery->manifest.import.path, path);
        recovery->imports = true;
        return note_import(recovery, error);
    }
    if (path && recovery->options.import_is_must) {
        return error_set(
            error, ST_EXISTS, 0,
            "%s holds data already: nothing can be imported into it. Choose an empty directory (option dir)",
            recovery->options.dir->path);
    }
    return ST_OK;
}

enum status recovery_plan(struct recovery *recovery, struct error *error) {
    struct listing listing = {0};
    enum status status = load_manifest(recovery, error);
    if (status == ST_OK) status = datadir_list(recovery->options.dir, note_name, &listing, error);
    if (status == ST_OK) status = plan_chains(recovery, &listing, error);
    if (status == ST_OK) status = plan_import(recovery, error);
    shared_free(listing.names);
    return status;
}

void recovery_forget_plan(struct recovery *recovery) {
    for (uint32_t i = 0; i < recovery->segment_count; i++) {
        shared_free(recovery->segments[i].parts);
        shared_free(recovery->segments[i].ends);
    }
    for (uint32_t i = 0; i < recovery->chain_count; i++) shared_free(recovery->chains[i].whole);
    shared_free(recovery->segments);
    shared_free(recovery->chains);
    manifest_deinit(&recovery->manifest);
}

void recovery_segment_path(const struct recovery *recovery, const struct recovery_segment *segment,
                           char out[CONFIG_PATH_MAX + DATADIR_NAME_MAX]) {
    char name[DATADIR_NAME_MAX];
    datadir_segment_name(name, recovery->chains[segment->chain].shard, segment->number);
    datadir_path(recovery->options.dir, name, out);
}

bool recovery_overlap(uint32_t a, uint32_t a_shards, uint32_t b, uint32_t b_shards) {
    struct slot_range left = slot_range_of(a, a_shards), right = slot_range_of(b, b_shards);
    return left.first < right.last && right.first < left.last;
}

enum status recovery_file_facts(const char *path, uint64_t *bytes, uint64_t *crc64, struct error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    uint64_t tail = 0;
    bool fine = fd >= 0 && fstat(fd, &info) == 0;
    if (fine && info.st_size >= (off_t)sizeof tail)
        fine = pread(fd, &tail, sizeof tail, info.st_size - (off_t)sizeof tail) == sizeof tail;
    int os_errno = errno;
    if (fd >= 0) close(fd);
    if (!fine) return error_set(error, ST_IO, os_errno, "Cannot read %s", path);
    *bytes = (uint64_t)info.st_size;
    *crc64 = le64toh(tail);
    return ST_OK;
}
