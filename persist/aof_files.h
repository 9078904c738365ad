/* Aof files: what a Redis or Valkey log consists of, for whoever imports one.
 *
 * Two forms: a directory with a manifest (Redis 7), which names a base file and increments in order; or one file
 * (before Redis 7). A base may be an RDB file, and a log in AOF form may begin with one (aof-use-rdb-preamble): then
 * the part is both, and where the RDB ends the commands begin.
 *
 * Hostile input: names with a slash are refused, lines and parts are bounded. Thread: any; blocking reads. */
#pragma once
#include "core/config.h"
#include "core/status.h"
#include <stdbool.h>
#include <stdint.h>

#define AOF_PARTS_MAX 1024

struct aof_part {
    char path[CONFIG_PATH_MAX];
    bool has_rdb; /* it begins with an RDB file, or is one: the first part only */
};

struct aof_files {
    struct aof_part *parts; /* malloc */
    uint32_t count;
};

/* path: a directory that holds NAME.manifest, or a single log. The parts in the order in which they are to be read. */
NODISCARD enum status aof_files_find(struct aof_files *out, const char *path, struct error *error);
void aof_files_free(struct aof_files *files);
/* The path of the only "*.manifest" in the directory; false when there is none. */
bool aof_files_manifest(const char *dir, char out[CONFIG_PATH_MAX]);
