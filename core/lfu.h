/* LFU: how often something is used, in the 24 bits of an entry's access field, as Redis keeps it.
 *
 *    | minutes of the last access, 16 | counter, 8 |
 *
 * The counter is logarithmic: the n-th access raises it with a probability that falls with its height, so that with the
 * default factor of 10 it takes about a million accesses to reach 255. It loses one for every decay_minutes without
 * access, reckoned when the entry is looked at next. New entries start at LFU_START, so that they are not the first
 * to go before they had a chance.
 *
 * Pure functions; the random number is an argument. The clock of minutes wraps after 45 days; an entry that was not
 * looked at for longer seems younger than it is, as in Redis. */
#pragma once
#include "core/defs.h"

#define LFU_START 5u

struct lfu_rule {
    uint32_t log_factor;    /* lfu-log-factor: 0 counts every access up to 255 */
    uint32_t decay_minutes; /* lfu-decay-time: 0 never decays */
};

/* The field of an entry with this counter (at most 255) that is used now. */
HOT_INLINE uint32_t lfu_field(uint32_t now_minutes, uint32_t counter) {
    return (now_minutes & 0xFFFF) << 8 | counter;
}
/* The counter as it is now, decay included: what OBJECT FREQ shows. */
uint32_t lfu_counter(uint32_t field, uint32_t now_minutes, const struct lfu_rule *rule);
/* The field after one more access. chance is uniform in [0, 1). */
uint32_t lfu_access(uint32_t field, uint32_t now_minutes, const struct lfu_rule *rule, double chance);
