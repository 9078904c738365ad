/* Manifest: which files of the data directory are the truth.
 *
 *      sherd-manifest 1
 *      next 22
 *      checkpoint 18 shards 2 boot 00c0ffee00c0ffee
 *      file shard-000.000018.rdb bytes 1234 crc64 0123456789abcdef last 57 seed 000102030405060708090a0b0c0d0e0f
 *      file shard-001.000018.rdb bytes ...
 *      journal boot 00c0ffee00c0ffee shards 2 over
 *      log shard-000.000019.aof seq 41 to shard-000.000020.aof seq 99 part 0
 *      log shard-001.000019.aof seq 30 to shard-001.000019.aof seq 71 part 120
 *      journal boot 0badcafe0badcafe shards 1
 *      log shard-000.000021.aof seq 1
 *      checksum 0123456789abcdef
 *
 * It is text, so that a person can read what a directory holds, and its last line is the CRC64 of all before it. It is
 * replaced as a whole: written beside, synced, renamed, directory synced; so there is always one that is whole.
 *
 * Generations  each boot with a journal begins a new one, as sequence numbers and the number of shards are its own.
 *              Segments of a shard follow by number from its first one. One that is over says where: batches up to
 *              `seq` count, and of the batch after it the first `part` bytes of payload (a transaction that did not
 *              survive may have begun in its middle). `to` names the segment in which that is. The last generation may
 *              be open: its end is what recovery finds. Generations apply in their order.
 * Checkpoint   of the generation with the same boot; that generation, when it is there, is the first, and begins at the
 *              checkpoint's cut. `last` is the batch after which the file's last keys were saved, `seed` that of the
 *              hash by which it went through them (persist/frontier.h).
 * Import       `import bytes 1234 crc64 0123456789abcdef dump.rdb` stands in the checkpoint's place while the data come
 *              from a file of somebody else's, until the first checkpoint is done. The path goes to the end of the
 *              line.
 * Numbers      all files have numbers below `next`, but for segments that an open generation created since.
 *
 * Ownership    manifest_init ... manifest_deinit; generations come from shared_alloc. Thread: one at a time. */
#pragma once
#include "core/hash.h"
#include "persist/datadir.h"

#define MANIFEST_GENERATIONS_MAX 4096        /* boots without a checkpoint in between that got as far as a write */
#define MANIFEST_BYTES_MAX       (64u << 20) /* more than the longest that is allowed */

struct manifest_file {
    uint64_t bytes, crc64; /* of the whole file; crc64 as it stands at the file's end */
    uint64_t last;
    struct hash_seed seed;
};
struct manifest_checkpoint {
    uint64_t number; /* 0: there is none */
    uint64_t boot;
    uint32_t shards;
    struct manifest_file files[SHARDS_MAX];
};
struct manifest_import {
    char path[CONFIG_PATH_MAX]; /* "": none; else there is no checkpoint. From the data directory, or absolute */
    uint64_t bytes, crc64;      /* as above; crc64 is 0 when the file has none */
};
struct manifest_range {
    uint64_t first_segment, first_seq;
    uint64_t last_segment, last_seq; /* from here on only when the generation is over */
    uint64_t last_part;              /* bytes of payload of batch last_seq + 1 */
};
struct manifest_generation {
    uint64_t boot;
    uint32_t shards;
    bool over;
    struct manifest_range ranges[SHARDS_MAX];
};
struct manifest {
    uint64_t next; /* number of the next file, at least 1 */
    struct manifest_checkpoint checkpoint;
    struct manifest_import import;
    struct manifest_generation *generations;
    uint32_t generation_count, generation_cap;
};

void manifest_init(struct manifest *manifest); /* empty: no checkpoint, no generations, next is 1 */
void manifest_deinit(struct manifest *manifest);
NODISCARD bool manifest_copy(struct manifest *to, const struct manifest *from); /* to is empty; false: no memory */
/* A zeroed one at the end, valid until the next call; NULL: too many, or no memory. */
NODISCARD struct manifest_generation *manifest_add_generation(struct manifest *manifest);
void manifest_remove_generation(struct manifest *manifest, uint32_t at);
/* Does it name this file? Segments of an open generation from the first one on count as named. O(generations). */
bool manifest_names(const struct manifest *manifest, struct datadir_name is);
void manifest_check(const struct manifest *manifest); /* what parsing refuses cannot be there */

/* --- text; hostile input is refused with the line and what was expected --- */
NODISCARD enum status manifest_parse(struct manifest *manifest, struct slice text, const char *file,
                                     struct error *error);
/* Calls emit with pieces of text. */
void manifest_write(const struct manifest *manifest, config_emit *emit, void *ctx);

/* --- the file --- */
/* ST_NOT_FOUND when there is none (error is set, too). manifest is empty before, and after a failure. */
NODISCARD enum status manifest_load(struct manifest *manifest, const struct datadir *dir, struct error *error);
/* Durable when it returns ST_OK. After a failure the old one or the new one is in place, whole. */
NODISCARD enum status manifest_save(const struct manifest *manifest, const struct datadir *dir, struct error *error);
