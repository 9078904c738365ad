/* What is saved so far tells how large it will be, and which part of the log it may have cost by now. */
#include "persist/haste.h"
#include "core/defs.h"

#define LOG_ALL   1.5  /* of a checkpoint, by its end */
#define LOG_LEAST 0.25 /* since the cut, however much there was before it */
#define EASY      0.75 /* of what it may have cost: up to here there is no haste */
#define SLACK     (1024.0 * 1024)

double haste_of(const struct haste_input *input) {
    uint64_t keys = MAX(input->keys, 1ull);
    double part = MIN(1.0, (double)keys / (double)MAX(input->keys_total, keys));
    double whole = (double)input->saved / part;
    double allowed = MAX(LOG_LEAST * whole, LOG_ALL * whole - (double)input->log_before);
    double late = (double)input->log / (allowed * part + SLACK);
    double haste = MAX(0.0, MIN(1.0, (late - EASY) / (1 - EASY)));
    return HASTE_LEAST + (HASTE_MOST - HASTE_LEAST) * haste;
}
