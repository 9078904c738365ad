/* Log: see the header. The line is composed on the stack and leaves in one piece, so threads need
 * no lock of ours; localtime_r takes one inside the C library, for a few hundred nanoseconds, which
 * a log line can afford and which follows daylight saving time by itself. */
#include "core/log.h"
#include "core/assert.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void log_init(struct log *log, log_sink *sink, void *ctx, struct clock clock, enum log_level level, char role) {
    ASSERT(sink);
    *log = (struct log){.sink = sink, .ctx = ctx, .clock = clock, .pid = (int)getpid()};
    log_set_level(log, level);
    log_set_role(log, role);
    tzset();
}

/* Relaxed, here and where they are read: level and role guard no other memory, a line more or less
 * is no harm. */
void log_set_level(struct log *log, enum log_level level) {
    atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
}

void log_set_role(struct log *log, char role) {
    atomic_store_explicit(&log->role, role, memory_order_relaxed);
}

bool log_wants(const struct log *log, enum log_level level) {
    return (int)level >= atomic_load_explicit(&log->level, memory_order_relaxed);
}

static size_t put_prefix(const struct log *log, enum log_level level, char out[static LOG_LINE_MAX]) {
    static const char marks[] = ".-*#", months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    uint64_t real_us = clock_real_us(&log->clock);
    time_t seconds = (time_t)(real_us / 1000000);
    struct tm tm;
    memset(&tm, 0, sizeof(tm));
    localtime_r(&seconds, &tm);
    char role = atomic_load_explicit(&log->role, memory_order_relaxed);
    int n = snprintf(out, LOG_LINE_MAX, "%d:%c %02d %s %04d %02d:%02d:%02d.%03u %c ", log->pid, role, tm.tm_mday,
                     months[tm.tm_mon], 1900 + tm.tm_year, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     (unsigned)(real_us / 1000 % 1000), marks[level]);
    ASSERT(n > 0 && n < LOG_LINE_MAX / 2);
    return (size_t)n;
}

static void hide_controls(char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 127) text[i] = '?';
}

void log_line(struct log *log, enum log_level level, const char *format, ...) {
    ASSERT(level < LOG_LEVEL_NOTHING);
    if (!log_wants(log, level)) return;
    char line[LOG_LINE_MAX];
    size_t begin = put_prefix(log, level, line), room = LOG_LINE_MAX - begin;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + begin, room, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : MIN((size_t)n, room - 1);
    if (n >= 0 && (size_t)n > len) memcpy(line + begin + len - 3, "...", 3);
    hide_controls(line + begin, len);
    line[begin + len] = '\n';
    log->sink(log->ctx, line, begin + len + 1);
}
