/* Idtree: slots of one size in the order of the stream id that each begins with.
 *
 *      inner      | up to 42 children, each with the least id that may be below it |
 *      leaf       | slot | slot | ... |            slot:  | id 16 | whatever its owner keeps, in words of 8 bytes |
 *
 * A B+ tree with nodes of about 1 KiB. It carries the blocks of a stream (core/stream.h) and what consumers have not
 * acknowledged yet (core/stream_group.h), which both grow at the end: a node that is full and whose successor begins
 * with the new id stays full. A tree of one leaf takes only what it needs.
 *
 * Ownership the tree owns its nodes; what slots point at is their owner's. All memory is the store's.
 * Slots     are read and changed where they are, but for the id. A pointer to one is valid until a slot comes or goes.
 * Thread    the shard's owner. Cost: O(log n), stepping O(1); freeing goes in slices. */
#pragma once
#include "core/store.h"
#include "core/stream_id.h"

#define IDTREE_LEVELS_MAX 16

struct idtree_node;

struct idtree {
    struct idtree_node *root; /* NULL when empty */
    uint64_t count;
    size_t bytes;       /* of nodes */
    uint32_t slot_size; /* 16 and a multiple of 8; below 128 */
};

void idtree_init(struct idtree *tree, size_t slot_size); /* takes no memory */

/* --- one slot; they begin with a struct stream_id --- */
void *idtree_find(const struct idtree *tree, struct stream_id id); /* NULL: absent */
/* A new slot, which is absent so far; all but the id is the caller's to fill. */
void *idtree_insert(const struct store *store, struct idtree *tree, struct stream_id id);
void idtree_remove(const struct store *store, struct idtree *tree, struct stream_id id); /* present */
void *idtree_last(const struct idtree *tree);                                            /* NULL when empty */
/* The last slot goes, without putting nodes together: for taking a tree apart. */
void idtree_drop_last(const struct store *store, struct idtree *tree);

/* --- iterating: an iterator stands between two slots and is valid until a slot comes or goes --- */
struct idtree_iter {
    struct idtree_node *nodes[IDTREE_LEVELS_MAX]; /* from the leaf up */
    uint16_t at[IDTREE_LEVELS_MAX];
    uint32_t top, slot_size;
};
struct idtree_iter idtree_seek(const struct idtree *tree,
                               struct stream_id id); /* before the first slot that is >= id */
struct idtree_iter idtree_begin(const struct idtree *tree);
struct idtree_iter idtree_end(const struct idtree *tree);
void *idtree_next(struct idtree_iter *iter); /* steps over a slot and returns it; NULL at the end */
void *idtree_prev(struct idtree_iter *iter);

/* --- many slots --- */
/* All slots before the iterator, `count` of them, move to `front`, which is uninitialised. O(inner nodes). */
void idtree_cut(const struct store *store, struct idtree *tree, const struct idtree_iter *at, uint64_t count,
                struct idtree *front);
/* Frees up to so many nodes, whatever is in them; true while there are more. */
bool idtree_free_some(const struct store *store, struct idtree *tree, unsigned *nodes);

void idtree_check(const struct idtree *tree); /* every invariant; for tests */
