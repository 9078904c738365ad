/* Data directory: the names of its files, its lock, and what is thrown away.
 *
 *      sherd.reserve              blocks without a use, so that a start finds room for a manifest on a full disk
 *      sherd.lock                 flocked by the server that uses the directory; holds its process id as text
 *      sherd.manifest             which of the other files are the truth (persist/manifest.h)
 *      shard-003.000018.rdb       shard 3's file of checkpoint 18
 *      shard-003.000019.aof       segment 19 of shard 3's journal
 *      sherd.importing            a log of Redis is being imported: what files of ours there are is worth nothing yet
 *      *.tmp behind any of these  being written; means nothing after a crash
 *
 * Only names of exactly these shapes are ours. Whatever else lies in the directory is never touched.
 *
 * Thread    datadir_open and datadir_close before the threads start and after they ended; the rest from any thread, as
 *           the directory's descriptor does not change. All calls block on the disk. */
#pragma once
#include "core/config.h"
#include "core/slice.h"
#include "core/status.h"

#define DATADIR_NAME_MAX   48                    /* any of our names, with the terminator */
#define DATADIR_NUMBER_MAX 999999999999999999ull /* of checkpoints and segments */
#define DATADIR_LOCK       "sherd.lock"
#define DATADIR_MANIFEST   "sherd.manifest"
#define DATADIR_IMPORTING  "sherd.importing"
#define DATADIR_RESERVE    "sherd.reserve"
#define DATADIR_TEMPORARY  ".tmp" /* behind a name */

struct datadir {
    int fd;      /* of the directory, for openat and fsync */
    int lock_fd; /* holds the lock as long as it is open */
    char path[CONFIG_PATH_MAX];
};

/* Creates the directory when it is not there (its parent has to be), and locks it. When a process holds the lock, the
 * error names it. */
NODISCARD enum status datadir_open(struct datadir *dir, const char *path, struct error *error);
void datadir_close(struct datadir *dir); /* gives the lock back; the lock file stays */
/* Makes the reserve, if it is not there and there is room. */
void datadir_keep_reserve(const struct datadir *dir);
NODISCARD enum status datadir_sync(const struct datadir *dir, struct error *error); /* names are durable then */

/* Does the device below keep a write for good without a flush of all that it holds: because it takes single writes past
 * its cache (FUA), or has no cache that loses anything? False also where nothing is known about it. */
bool datadir_writes_through(const struct datadir *dir);

/* --- names --- */
enum datadir_kind { DATADIR_OTHER, DATADIR_CHECKPOINT, DATADIR_SEGMENT, DATADIR_TEMPORARY_FILE };
struct datadir_name { /* facts of a name; shard and number only for checkpoints and segments */
    enum datadir_kind kind;
    uint32_t shard;
    uint64_t number;
};
void datadir_checkpoint_name(char out[DATADIR_NAME_MAX], uint32_t shard, uint64_t number);
void datadir_segment_name(char out[DATADIR_NAME_MAX], uint32_t shard, uint64_t number);
/* The whole path: for functions that take one. */
void datadir_path(const struct datadir *dir, const char *name, char out[CONFIG_PATH_MAX + DATADIR_NAME_MAX]);
/* What a name is; only the spelling that the functions above write counts, so nobody else's file is taken for ours. */
struct datadir_name datadir_parse_name(struct slice name);

/* --- the files --- */
typedef void datadir_visit(void *ctx, const char *name, struct datadir_name is);
/* Every entry of the directory, ours or not, in no order. O(entries). */
NODISCARD enum status datadir_list(const struct datadir *dir, datadir_visit *visit, void *ctx, struct error *error);
/* Removes our files (and temporary ones) that keep does not want. *removed counts them, what cannot be removed is left
 * and reported as an error when all others are gone. O(entries). */
typedef bool datadir_keep(void *ctx, struct datadir_name is);
NODISCARD enum status datadir_sweep(const struct datadir *dir, datadir_keep *keep, void *ctx, uint64_t *removed,
                                    struct error *error);
