/* Locks, inside: the layout, and the rules that say who has to wait. For locks.c, its check and its test. */
#pragma once
#include "core/assert.h"
#include "shards/locks.h"

/* The initial size of an index, to which it also returns: 2 KiB. */
#define INDEX_BITS 8
/* Unused lock_keys that are kept, 224 KiB at most: as many as fifty clients with sixteen commands of five keys here
 * need. */
#define SPARE_KEYS 4096

/* Links of a key whose owners are compared; a key that more have hold of counts as everybody's. */
#define OWNERS_LOOKED_AT 64
#define WAITED_LOOKED_AT 64u /* keys of a request behind which somebody may stand */
#define BESIDE_LOOKED_AT 64  /* that wait for a key that is read while it changes */

/* Chains of nodes by name. Names are unique within an index. */
struct lock_index {
    struct lock_node **chains; /* 1 << bits */
    uint32_t count;
    uint32_t bits;
};

/* A key that somebody holds or waits for; without a link it does not exist. */
struct lock_key {
    struct lock_node node; /* name: the id; links the spare ones, too */
    struct lock_link *first, *last;
    uint64_t youngest;   /* no granted request in this list that is not revoked has a larger stamp */
    uint32_t exclusives; /* exclusive links, held or waiting */
};

struct locks {
    struct heap *heap;
    struct lock_index keys, stamps;
    struct lock_hook all; /* every request; wide ones come first */
    struct lock_hook granted, revoked;
    uint32_t wide, wide_exclusive, exclusive; /* requests that are so */
    uint32_t spare_count;
    struct lock_node *spares;
};

HOT_INLINE struct lock_node **lock_index_chain(const struct lock_index *index, uint64_t name) {
    return &index->chains[name * 0x9E3779B97F4A7C15ull >> (64 - index->bits)];
}

HOT_INLINE bool lock_is_granted(const struct lock_request *request) {
    return request->state == LOCK_GRANTED;
}

/* Of two requests that are incompatible: does the first come before the other? */
HOT_INLINE bool lock_is_ahead(const struct lock_request *request, const struct lock_request *of) {
    return lock_is_granted(request) || (!lock_is_granted(of) && request->stamp < of->stamp);
}

/* Is something incompatible ahead of this link? When its predecessor waits, one of the two has to be exclusive: the
 * predecessor, or one ahead of that. So the predecessor knows enough. */
HOT_INLINE bool lock_must_wait(const struct lock_link *link) {
    const struct lock_link *prev = link->prev;
    return prev && (prev->blocked || prev->mode == LOCK_EXCLUSIVE || link->mode == LOCK_EXCLUSIVE);
}

/* Of two requests at least one of which is wide: may both be granted at once? */
HOT_INLINE bool lock_go_together(const struct lock_request *a, const struct lock_request *b) {
    return !a->exclusive && !b->exclusive && !(a->owner && a->owner == b->owner);
}
