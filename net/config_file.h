/* Config file: where core/config meets the disk. Reads files, follows `include`, and rewrites a
 * file safely.
 *
 * Threads    start-up, and later the thread that owns the struct config. All calls block on the
 * disk: a rewrite does an fsync of the file and one of its directory. Memory     a file is read
 * whole, up to 1 MiB, into pages that are gone when the call returns. */
#pragma once
#include "core/config.h"

enum { CONFIG_FILE_BYTES_MAX = 1 << 20 };

/* Everything between main's arguments and a filled config: defaults, then the file, then the
 * options. path receives the file's absolute path for CONFIG REWRITE, "" when there is none (no
 * file, or standard input). When *action is not CONFIG_RUN the config holds the defaults and main
 * prints what was asked for. */
NODISCARD enum status config_load(struct config *config, int argc, char *const argv[], enum config_action *action,
                                  char path[static CONFIG_PATH_MAX], struct error *error);

/* One file on top of what config holds; "-" is standard input. */
NODISCARD enum status config_file_read(struct config *config, const char *path, struct error *error);

/* CONFIG REWRITE: a temporary file beside path, fsync, rename, fsync of the directory; mode and,
 * where allowed, owner stay. On failure path is untouched. path "" fails with Redis's text. A
 * missing file is created. */
NODISCARD enum status config_file_rewrite(const struct config *config, const char *path, struct error *error);
