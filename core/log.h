/* Log: a line for people, in the shape Redis's lines have:
 *
 *   4711:M 22 Nov 2026 21:25:03.607 * Ready to accept connections
 *   pid, role, local time, level mark (. debug, - verbose, * notice, # warning), message
 *
 * One call makes one line and one call of the sink. A line is at most LOG_LINE_MAX bytes; a longer
 * message ends with
 * "...". Bytes that would break the line or a terminal (controls, newlines) are shown as '?': a
 * message may quote what a client sent. To log is rare; it costs about a microsecond and the sink's
 * write.
 *
 * Ownership  the caller's memory; no heap. The sink's context outlives the log.
 * Threads    any thread may log when the sink takes whole lines from any thread (a write(2) to an
 * O_APPEND file does). Level and role may be set at any time by any thread and take effect soon. */
#pragma once
#include "core/clock.h"
#include <stdatomic.h>

enum { LOG_LINE_MAX = 1024 };

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_VERBOSE,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_NOTHING, /* as a threshold only: silence */
};

/* Gets one whole line with its newline. */
typedef void log_sink(void *ctx, const char *line, size_t len);

struct log {
    log_sink *sink;
    void *ctx;
    struct clock clock;
    int pid;
    _Atomic int level; /* enum log_level */
    _Atomic char role; /* M serves, S replica, C not serving yet */
};

void log_init(struct log *log, log_sink *sink, void *ctx, struct clock clock, enum log_level level, char role);
void log_set_level(struct log *log, enum log_level level);
void log_set_role(struct log *log, char role);

/* Worth composing the arguments? */
bool log_wants(const struct log *log, enum log_level level);

void log_line(struct log *log, enum log_level level, const char *format, ...) PRINTF_LIKE(3, 4);
