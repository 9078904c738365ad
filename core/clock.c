/* The two fillings of the time port: clock_gettime, and two numbers. */
#include "core/clock.h"
#include "core/assert.h"
#include <time.h>

#define NS_PER_S  1000000000ULL
#define NS_PER_US 1000ULL

/* Cannot fail for these two clocks, and a server without time must not guess: hence the assertion.
 */
static uint64_t read_ns(clockid_t id) {
    struct timespec now;
    ASSERT(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t system_mono_ns(void *context) {
    (void)context;
    return read_ns(CLOCK_MONOTONIC);
}

static uint64_t system_real_us(void *context) {
    (void)context;
    return read_ns(CLOCK_REALTIME) / NS_PER_US;
}

struct clock clock_system(void) {
    return (struct clock){.mono_ns = system_mono_ns, .real_us = system_real_us};
}

static uint64_t manual_mono_ns(void *context) {
    const struct clock_manual *manual = context;
    return manual->mono_ns;
}

static uint64_t manual_real_us(void *context) {
    const struct clock_manual *manual = context;
    return manual->real_ns / NS_PER_US;
}

void clock_manual_init(struct clock_manual *manual, uint64_t mono_ns, uint64_t real_us) {
    manual->mono_ns = mono_ns;
    clock_manual_set_real_us(manual, real_us);
}

struct clock clock_manual_port(struct clock_manual *manual) {
    return (struct clock){.mono_ns = manual_mono_ns, .real_us = manual_real_us, .context = manual};
}

void clock_manual_advance_ns(struct clock_manual *manual, uint64_t step_ns) {
    ASSERT(step_ns <= UINT64_MAX - manual->mono_ns && step_ns <= UINT64_MAX - manual->real_ns);
    manual->mono_ns += step_ns;
    manual->real_ns += step_ns;
}

void clock_manual_set_mono_ns(struct clock_manual *manual, uint64_t mono_ns) {
    ASSERT(mono_ns >= manual->mono_ns);
    manual->mono_ns = mono_ns;
}

void clock_manual_set_real_us(struct clock_manual *manual, uint64_t real_us) {
    ASSERT(real_us <= UINT64_MAX / NS_PER_US);
    manual->real_ns = real_us * NS_PER_US;
}
