/* Queues: lists that clients push to, pop from, move between and wait for; checked by what became of each element.
 *
 *   every element is pushed once and has a number; in the end it was popped once or is still in a list
 *   what is missing was popped for a client that vanished: at most what its last command asked for
 *   who waits for a key is served in the order in which they began to wait; a client that vanished before is passed
 *   over, and takes nothing
 *
 * Three kinds of rounds: a crowd that does all of it at once, queues of waiting clients that are served one push after
 * the other, and lists whose elements go round by BLMOVE in both directions. */
#pragma once
#include "tests/sim/round.h"

struct round_result queues_round(const struct round *round);
