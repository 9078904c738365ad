/* Quicklist: a list of packed nodes, for lists that are too long to be one run.
 *
 *      quicklist -> node <-> node <-> node        node:  | links, counts | free | run of elements | free |
 *
 * A node is one block of up to rule.block_max bytes (8 KiB unless configured). Its run may start anywhere in it, so
 * that both ends of the list grow and shrink without moving what is there: a queue costs the same at either end. An
 * element that is larger than a node has a node of its own. Nodes are never empty, and neighbours that shrank are
 * joined.
 *
 * Ownership the list owns its nodes; their memory is the store's. Values are copied in; what iterators read points into
 *           nodes and is valid until the list changes.
 * Thread    the shard's owner.
 * Cost      push, pop, peek, count, bytes: O(1). Seek and trim: O(nodes) from the nearer end. Insert and replace:
 *           O(bytes of a node). What is freed in bulk goes to the store's port in O(nodes) at most. */
#pragma once
#include "core/packed.h"
#include "core/store.h"

struct quicklist;
struct quicklist_node;

enum list_end { LIST_HEAD, LIST_TAIL };

/* How large a node may become; both are at least 1. */
struct quicklist_rule {
    uint32_t block_max; /* bytes */
    uint32_t count_max; /* elements */
};
/* Redis's list-max-listpack-size: n elements in 8 KiB, or -1 .. -5 for 4 to 64 KiB. */
struct quicklist_rule quicklist_rule_of(int list_max_listpack_size);

struct quicklist *quicklist_new(const struct store *store);
void quicklist_delete(const struct store *store, struct quicklist *list); /* large ones later, see core/store.h */
bool quicklist_free_some(const struct store *store, void *list, unsigned nodes); /* a store_free_some */
uint64_t quicklist_defrag_some(const struct store *store, void *list, uint64_t position, unsigned units);
struct quicklist *quicklist_copy(const struct store *store, const struct quicklist *list); /* O(bytes) */
/* Up to so many more nodes of list come to a copy, which begins empty; true while there are more. The list stays as it
 * is meanwhile. O(nodes) to find the place, and their bytes. */
bool quicklist_copy_some(const struct store *store, struct quicklist *copy, const struct quicklist *list,
                         unsigned nodes);

uint64_t quicklist_count(const struct quicklist *list);
size_t quicklist_bytes(const struct quicklist *list); /* memory taken */
uint64_t quicklist_nodes(const struct quicklist *list);

/* --- the ends --- */
void quicklist_push(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                    enum list_end end, const struct packed_value *value);
/* All elements of a run, behind the last one. O(bytes): for conversion and loading. */
void quicklist_append_run(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                          const struct packed *run);
bool quicklist_peek(const struct quicklist *list, enum list_end end, struct packed_value *value); /* false when empty */
/* Takes out min(count, all) elements at one end. */
void quicklist_drop(const struct store *store, struct quicklist *list, enum list_end end, uint64_t count);

/* --- iterating ---
 * An iterator stands between two elements. It walks over a list node by node, or over one run that belongs to no list
 * (node NULL), so that a small list that is only a run is read by the same code. To go on later, seek again. */
struct quicklist_iter {
    const struct quicklist_node *node;
    const char *begin, *at, *end; /* of the node's run */
};
/* In front of element `index`, or at the end when it is the count. */
struct quicklist_iter quicklist_seek(const struct quicklist *list, uint64_t index);
struct quicklist_iter quicklist_iter_of_run(const struct packed *run, uint32_t index);
bool quicklist_next_node(struct quicklist_iter *iter); /* to the start of the next node; false: there is none */
bool quicklist_prev_node(struct quicklist_iter *iter); /* to the end of the node before */

/* Steps over one element and reads it; false at the end. */
HOT_INLINE bool quicklist_next(struct quicklist_iter *iter, struct packed_value *value) {
    if (UNLIKELY(iter->at == iter->end) && !quicklist_next_node(iter)) return false;
    iter->at = packed_read(iter->at, value);
    return true;
}
HOT_INLINE bool quicklist_prev(struct quicklist_iter *iter, struct packed_value *value) {
    if (UNLIKELY(iter->at == iter->begin) && !quicklist_prev_node(iter)) return false;
    iter->at = packed_prev(iter->at);
    (void)packed_read(iter->at, value);
    return true;
}

/* --- changing inside; iterators are not valid afterwards --- */
/* Inserts where the iterator stands. */
void quicklist_insert(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                      const struct quicklist_iter *at, const struct packed_value *value);
/* Replaces the element behind the iterator; there is one. */
void quicklist_replace(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                       const struct quicklist_iter *at, const struct packed_value *value);
/* Takes out up to max elements that are equal, the ones nearest to `from`, and returns how many. O(bytes passed). */
uint64_t quicklist_purge(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                         enum list_end from, const struct packed_value *sought, uint64_t max);

/* The same in several calls, each of which passes over up to so many nodes; true while there are more. Nothing else
 * changes the list meanwhile. O(nodes) to find the place. */
struct quicklist_purging {
    uint64_t max, gone;
    uint64_t passed; /* elements that stay, from `from` on; 0 at first */
};
bool quicklist_purge_some(const struct store *store, struct quicklist *list, const struct quicklist_rule *rule,
                          enum list_end from, const struct packed_value *sought, struct quicklist_purging *purging,
                          unsigned nodes);

/* --- whole nodes, for dumps: NULL starts and NULL ends; *run is its elements --- */
const struct quicklist_node *quicklist_walk(const struct quicklist *list, const struct quicklist_node *last,
                                            struct packed *run);

/* --- the list as it was, for who reads it over several turns (core/quicklist_past.c) ---
 * Nodes are given one after the other, as they were when the past began, while elements come and go at both ends; what
 * is done inside must not be done meanwhile. One at a time, which ends before the list does.
 * Memory    nodes that left the list before they were given, and at most one copy at either end of one that is in it.
 * Cost      next: O(1). Of a change at an end: a copy of a node that is met for the first time. */
struct quicklist_past;
/* From behind a node on, which was quicklist_walk's; NULL: from the first. */
struct quicklist_past *quicklist_past_new(const struct store *store, struct quicklist *list,
                                          const struct quicklist_node *after, uint64_t nodes_left);
bool quicklist_past_next(struct quicklist_past *past, struct packed *run); /* valid until the next call or change */
void quicklist_past_delete(struct quicklist_past *past);

void quicklist_check(const struct quicklist *list); /* every invariant; for tests */
