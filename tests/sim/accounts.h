/* Accounts: larger rounds, checked by what must hold whatever the order is.
 *
 *   counters   what was added is there: each acknowledged INCRBY once, each one whose client vanished at most once
 *   epochs     MSET, or a transaction, sets all keys of a group to one number: nobody reads two numbers
 *   accounts   money is moved, but the sum stays: by WATCH, GET, MULTI, SET, EXEC, which is right only if EXEC sees
 *              every change, and by MULTI, DECRBY, INCRBY, EXEC
 *
 * All at once on the same shards. */
#pragma once
#include "tests/sim/round.h"

struct round_result accounts_round(const struct round *round);
