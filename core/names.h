/* Names: a few things that have one, in the order of their names.
 *
 * Each is a block that begins with a struct slice, its name, whose bytes stand behind it. The order is bytewise, as
 * that of Redis's radix trees, and shows in replies.
 *
 * Ownership the array owns the blocks; their memory is the store's. Thread: the shard's owner.
 * Cost      finding O(log n). Adding and dropping: O(n) words moved, 50 us for a hundred thousand. */
#pragma once
#include "core/slice.h"
#include "core/store.h"

struct names { /* all zero: empty */
    struct slice **items;
    uint32_t count, cap;
    size_t bytes; /* of the array and all blocks */
};

struct slice *names_find(const struct names *names, struct slice name); /* NULL: there is none */
/* A block of `size` bytes, zero but for its name, which is not there yet. */
void *names_add(const struct store *store, struct names *names, size_t size, struct slice name);
void names_drop(const struct store *store, struct names *names, size_t size, struct slice *take); /* frees it */

void names_check(const struct names *names, size_t size);
