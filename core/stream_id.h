/* Stream id: what an entry of a stream is called, a time in milliseconds and a number within it; and their order.
 *
 * Pure functions, in no time. */
#pragma once
#include "core/defs.h"

struct stream_id {
    uint64_t ms, seq;
};

#define STREAM_ID_MIN ((struct stream_id){0, 0})
#define STREAM_ID_MAX ((struct stream_id){UINT64_MAX, UINT64_MAX})

HOT_INLINE int stream_id_compare(struct stream_id a, struct stream_id b) {
    if (a.ms != b.ms) return a.ms < b.ms ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}
HOT_INLINE bool stream_id_equal(struct stream_id a, struct stream_id b) {
    return a.ms == b.ms && a.seq == b.seq;
}
HOT_INLINE bool stream_id_is_zero(struct stream_id id) {
    return (id.ms | id.seq) == 0;
}
/* The one behind, or before; false, and id wraps around, when there is none. */
HOT_INLINE bool stream_id_step(struct stream_id *id) {
    if (++id->seq != 0) return true;
    return ++id->ms != 0;
}
HOT_INLINE bool stream_id_step_back(struct stream_id *id) {
    if (id->seq-- != 0) return true;
    return id->ms-- != 0;
}
