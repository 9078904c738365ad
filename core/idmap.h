/* Idmap: from a 64-bit number that is not 0 to a pointer. For things that other threads name by number because they may
 * be gone when the name arrives: transactions, commands that wait, blocked clients.
 *
 * Owner     one thread; the map owns its array, never what the pointers name.
 * Memory    1 KiB when empty; grows by doubling, shrinks to its first size when it becomes empty.
 * Cost      O(1): one cache line usually. Numbers may be close together; they are mixed first. */
#pragma once
#include "core/alloc.h"

struct idmap_slot {
    uint64_t id; /* 0: empty */
    void *value;
};

struct idmap {
    struct heap *heap;
    enum mem_class owner;
    uint32_t count, cap; /* cap is a power of two */
    struct idmap_slot *slots;
};

void idmap_init(struct idmap *map, struct heap *heap, enum mem_class owner);
void idmap_deinit(struct idmap *map);
void idmap_put(struct idmap *map, uint64_t id, void *value);  /* id is not in it; value is not NULL */
void *idmap_get(const struct idmap *map, uint64_t id);        /* NULL: not there */
void *idmap_take(struct idmap *map, uint64_t id);             /* the same, and removes it */
void idmap_check(const struct idmap *map);
