/* Mixed: random commands of every kind on a few keys, checked exactly.
 *
 * A round has a few quiet moments. Between them up to ten clients send commands, pipelines and transactions, wait,
 * stall and vanish. At each all keys are read, so that the state is in the history and the search for an order does not
 * have to look far. Which kinds of commands there are, and how often, differs by seed ("swarm testing"): bugs hide
 * where everything happens all the time. */
#pragma once
#include "tests/sim/round.h"

struct round_result mixed_round(const struct round *round);
