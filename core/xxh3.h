/* Xxh3: the 64-bit XXH3 of some bytes, without a seed and with the secret that everybody has. It is what DIGEST tells
 * and IFDEQ compares, so it has to be bit for bit the one that clients compute; it is fast and stops nobody who wants
 * two values with one digest.
 *
 * Source    Collet, "xxHash fast digest algorithm" (github.com/Cyan4973/xxHash, doc/xxhash_spec.md).
 * Thread    any. Cost: O(bytes), several bytes per cycle. */
#pragma once
#include "core/slice.h"

uint64_t xxh3_64(struct slice bytes);
