/* The formulas of Redis's evict.c: LFULogIncr and LFUDecrAndReturn. */
#include "core/lfu.h"

uint32_t lfu_counter(uint32_t field, uint32_t now_minutes, const struct lfu_rule *rule) {
    uint32_t counter = field & 255, idle_minutes = (now_minutes - (field >> 8)) & 0xFFFF;
    uint32_t lost = rule->decay_minutes ? idle_minutes / rule->decay_minutes : 0;
    return lost > counter ? 0 : counter - lost;
}

uint32_t lfu_access(uint32_t field, uint32_t now_minutes, const struct lfu_rule *rule, double chance) {
    uint32_t counter = lfu_counter(field, now_minutes, rule);
    double height = counter > LFU_START ? counter - LFU_START : 0;
    if (counter < 255 && chance < 1 / (height * rule->log_factor + 1)) counter++;
    return lfu_field(now_minutes, counter);
}
