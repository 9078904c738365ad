/* log2(2^x + 1) is max(x, 0) + log2(1 + 2^-|x|). The second term is what a use adds at most: with C at 1000 a third of
 * a clock unit, hence the rounding by chance. Powers and logarithms are parabolas, right to one percent, which is less
 * than what a random sum of uses is off. */
#include "core/lrfu.h"
#include <math.h>

#define FORGOTTEN (10 * (int32_t)LRFU_ONE) /* of the smaller of two summands no more than 1/1000 is left */
#define SATURATED (17 * (int32_t)LRFU_ONE)

/* 256 * 256 * log2(1 + 2^(-distance/256)); distance is not negative and at most SATURATED. */
static uint32_t added(int32_t distance) {
    float part = (float)(distance & 255) / 256;
    float power = (1 - part * (0.665F - 0.165F * part)) / (float)(1u << (distance >> 8));
    return (uint32_t)(65536 * power * (1.4427F - power * (0.6F - 0.1573F * power)));
}

uint32_t lrfu_access(uint32_t field, uint32_t clock, uint32_t chance) {
    int32_t log = lrfu_log(field, clock);
    if (log < -FORGOTTEN) return clock & LRFU_FIELD;
    int32_t distance = log < 0 ? -log : log;
    if (distance > SATURATED) return field;
    return (clock + (uint32_t)MAX(log, 0) + ((added(distance) + (chance & 255)) >> 8)) & LRFU_FIELD;
}

uint32_t lrfu_uses(uint32_t field, uint32_t clock) {
    int32_t log = lrfu_log(field, clock);
    if (log < -FORGOTTEN) return 0;
    return log >= 8 * (int32_t)LRFU_ONE ? 255 : (uint32_t)lrint(exp2((double)log / LRFU_ONE));
}

uint32_t lrfu_field(uint32_t clock, uint32_t uses) {
    if (uses == 0) return (clock - FORGOTTEN) & LRFU_FIELD;
    return (clock + (uint32_t)lrint(log2((double)uses) * LRFU_ONE)) & LRFU_FIELD;
}
