/* Log file: where log lines go, standard output or a file.
 *
 * The sink does one write(2) per line; the file is open for appending, so lines of several threads
 * (and processes) never mix. A line that cannot be written is lost and counted: logging never stops
 * the server.
 *
 * Threads  log_file_write from any; open, reopen and close from one, reopen while others write. */
#pragma once
#include "core/config.h"

struct log_file {
    int fd;                     /* the number stays until close; reopen changes what is behind it */
    _Atomic uint64_t lost;      /* lines */
    char path[CONFIG_PATH_MAX]; /* "": standard output */
};

/* path "" is standard output. A file is created with mode 0644 less the umask. */
NODISCARD enum status log_file_open(struct log_file *file, const char *path, struct error *error);

/* After the file was renamed (logrotate): opens path again. On failure the old one stays in use. */
NODISCARD enum status log_file_reopen(struct log_file *file, struct error *error);
void log_file_close(struct log_file *file);

/* The sink: log_init(&log, log_file_write, &file, ...). */
void log_file_write(void *ctx, const char *line, size_t len);
