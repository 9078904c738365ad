/* Export: a data directory as one file that Redis reads. What `sherd export` does.
 *
 * A checkpoint's files hold keys as of different instants, and only with the journal do they make sense; so they are
 * recovered, and then written: one part of the keys after the other, so that a large directory does not need the memory
 * that its server needs. Each part reads the files that may hold keys of it, so more parts take longer.
 *
 *      RDB   version 10, as Redis 7.0 and later read it (a dump.rdb)
 *      AOF   commands that make the same keys, readable by Redis 7.0 and later (an appendonly.aof)
 *
 * The directory is locked and not changed. The file is written beside its name, synced and renamed, so it is whole or
 * not there; one that exists already is not replaced.
 *
 * Threads   one; blocks on the disk. */
#pragma once
#include "core/clock.h"
#include "core/config.h"
#include "core/log.h"
#include "core/status.h"
#include "shards/command.h"

enum export_form { EXPORT_RDB, EXPORT_AOF };
struct export_options {
    const char *dir;
    const char *file;
    enum export_form form;
    uint32_t parts;              /* at most SHARDS_MAX; 0: by the size of the files, about 64 MiB of them for each */
    const struct config *config; /* databases, encodings, recovery-damage */
    const struct command_registry *registry;
    struct clock clock;
    struct log *log; /* progress, and what recovery has to say */
};
struct export_result {
    uint64_t keys, bytes;
};
NODISCARD enum status export_directory(const struct export_options *options, struct export_result *result,
                                       struct error *error);
