/* Panic and crash reports: only write(2) and backtrace(3), because they run in signal handlers and with a heap
 * that may be broken. The thread-local shard number is the one mutable file-level variable in the product: a crash
 * handler has no argument through which it could be handed the context. tests/house knows it by name. */
#include "core/assert.h"
#include <execinfo.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local int current_shard = -1;

void assert_set_shard(int shard_id) {
    current_shard = shard_id;
}

int assert_shard(void) {
    return current_shard;
}

static void put(const char *text) {
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

static void put_int(int value) {
    char digits[16];
    size_t at = sizeof digits;
    unsigned rest = value < 0 ? 0U - (unsigned)value : (unsigned)value;
    digits[--at] = 0;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0) digits[--at] = '-';
    put(digits + at);
}

void crash_report_prepare(void) {
    void *frame[1];
    (void)backtrace(frame, 1);
}

void crash_report(const char *what) {
    put("\n=== sherd crash report ===\n");
    put(what);
    put("\nshard: ");
    put_int(current_shard);
    put(current_shard < 0 ? " (this thread owns no shard)\n" : "\n");
    put("stack trace (addr2line -e <binary> <address> gives file and line):\n");
    void *frames[64];
    int count = backtrace(frames, (int)ARRAY_LEN(frames));
    backtrace_symbols_fd(frames, count, STDERR_FILENO);
    put("=== end of crash report; please send all of it with a bug report ===\n");
}

void panic(const char *file, int line, const char *what) {
    put("\nsherd: assertion failed: ");
    put(what);
    put(" at ");
    put(file);
    put(":");
    put_int(line);
    put("\n");
    crash_report("assertion failed");
    abort();
}
