/* Table watch: who reads a table of elements over several turns hears of each one before it changes.
 *
 * The table asks one pointer per change. The callback may read the table and must not change it.
 * Owner     the reader has the watch, and takes it off the table before one of them goes away.
 * Thread    the table's. */
#pragma once
#include "core/slice.h"
#include <stdbool.h>

struct table_watch {
    /* About to be overwritten or removed (present), or to be inserted. value: what it maps to, empty in a set. */
    void (*before)(void *ctx, struct slice name, bool present, struct slice value);
    void *ctx;
};

/* The same for elements with a score, which have an order (core/sorted.h): what changes may also be where one stands. */
struct score_watch {
    /* from: its score so far, NULL: it is to be inserted. to: the one it is to have, NULL: it is to be removed. */
    void (*before)(void *ctx, struct slice member, const double *from, const double *to);
    void *ctx;
};
