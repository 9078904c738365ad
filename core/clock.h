/* Clock: time as a port. Who needs the time is given a struct clock, or better, is given the time.
 *
 * Two times, never mixed. Monotonic time (nanoseconds since some start) measures: deadlines,
 * timeouts, latency. It never goes back. Real time (microseconds since 1970, UTC) dates: expiry,
 * TIME, stamps on disk. An administrator or NTP may set it to anything, also backwards.
 *
 * A thread reads its clock once a turn and passes it on as `now`: shards/ never asks. Tests and the
 * simulator fill the port with a manual clock, which moves only when told.
 *
 * Ownership  a struct clock is two functions and a borrowed context: copy it freely. A manual clock
 *            outlives its ports.
 * Threads    the system clock: any. A manual clock: one at a time.
 * Cost       about 25 ns for the system's (vDSO, no system call). */
#pragma once
#include "core/defs.h"

struct clock {
    uint64_t (*mono_ns)(void *context);
    uint64_t (*real_us)(void *context);
    void *context;
};

HOT_INLINE uint64_t clock_mono_ns(const struct clock *clock) {
    return clock->mono_ns(clock->context);
}

HOT_INLINE uint64_t clock_real_us(const struct clock *clock) {
    return clock->real_us(clock->context);
}

/* --- the machine's --- */

struct clock clock_system(void);

/* --- one that stands still, for tests and the simulator --- */

struct clock_manual {
    uint64_t mono_ns;
    uint64_t real_ns; /* finer than it is read, so that many small steps add up */
};

void clock_manual_init(struct clock_manual *manual, uint64_t mono_ns, uint64_t real_us);
struct clock clock_manual_port(struct clock_manual *manual); /* borrows manual */

/* As time passes: both advance. */
void clock_manual_advance_ns(struct clock_manual *manual, uint64_t step_ns);

/* Monotonic time must not go back (assertion); real time may, and that is a case to test. */
void clock_manual_set_mono_ns(struct clock_manual *manual, uint64_t mono_ns);
void clock_manual_set_real_us(struct clock_manual *manual, uint64_t real_us);
