/* Check: is there an order in which one server, doing one operation after the other, would have answered all clients as
 * they were? And one that keeps the order of time: what returned before another was invoked comes first.
 *
 * Exact     a search over all such orders (strict serialisability; linearisability of operations on several keys). It
 *           is exponential in how much overlaps, so histories have few clients and quiet moments, and the search is
 *           bounded: CHECK_UNDECIDED says that the history was too wild for its bound, which a test treats as its
 *           own mistake.
 * Report    on a violation: the operations from the last quiet moment on, the longest order that explains a part of
 *           them, the state it leads to, and what each possible next operation should have answered there.
 *
 * Cost      some microseconds per operation while little overlaps. */
#pragma once
#include "tests/sim/history.h"

enum check_verdict { CHECK_SERIALISABLE, CHECK_VIOLATION, CHECK_UNDECIDED };

struct check_result {
    enum check_verdict verdict;
    uint64_t nodes; /* states that were looked at */
};

/* report may be NULL. */
struct check_result check_history(const struct history *history, uint64_t nodes_max, FILE *report);
