/* Assertions: our own bugs, checked in production too.
 *
 * ASSERT stops the process after saying what, where and on which shard. ASSERT_SLOW is for checks that production
 * cannot afford; it exists only in builds with SHERD_SLOW_ASSERTS (dev, asan, tsan, fuzz).
 *
 * panic writes to standard error with write(2) only, prints a stack trace and aborts, so it is safe in a signal
 * handler. The shard comes from a thread-local that thread start-up sets (assert_set_shard); -1 means no shard. */
#pragma once
#include "core/defs.h"

#define ASSERT(x)                                                                                                      \
    do {                                                                                                               \
        if (UNLIKELY(!(x))) panic(__FILE__, __LINE__, #x);                                                             \
    } while (0)

#ifdef SHERD_SLOW_ASSERTS
#define ASSERT_SLOW(x) ASSERT(x)
#else
#define ASSERT_SLOW(x) ((void)sizeof(x))
#endif

COLD NORETURN void panic(const char *file, int line, const char *what);

/* Called once by each thread before it touches its shard; names the shard in later panics and crash reports. */
void assert_set_shard(int shard_id);
int assert_shard(void); /* -1 when this thread owns none */

/* Prints "what", the shard and a stack trace to standard error. Async-signal-safe once crash_report_prepare ran. */
void crash_report(const char *what);
void crash_report_prepare(void); /* loads the unwinder, which may allocate, before it is needed in a handler */
