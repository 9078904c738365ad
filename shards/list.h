/* List: one value of type list, whichever of its two forms it has.
 *
 * A short list is a packed run inside its entry: no pointer, no second miss. One whose run would be longer than
 * LIST_EMBED_MAX is a quicklist, and stays one. Nobody outside of list.c and dump.c asks which of them it is: they
 * push, drop, seek and read with the same iterator.
 *
 * A list is never empty: what takes out the last element removes the key, and ref->entry is NULL then.
 *
 * Thread    the shard's owner. Refs and iterators as in shards/keyspace.h and core/quicklist.h. Texts that are put in
 *           do not point into this list. */
#pragma once
#include "core/quicklist.h"
#include "shards/keyspace.h"

#define LIST_EMBED_MAX 1000 /* bytes of run: moving them costs about as much as one allocation */

/* --- reading; the entry is a list --- */
uint64_t list_len(const struct entry *entry);
void list_peek(const struct entry *entry, enum list_end end, struct packed_value *value);
/* In front of element index, which is at most the length. */
struct quicklist_iter list_seek(const struct entry *entry, uint64_t index);
/* How it is divided, as DEBUG OBJECT shows it. O(nodes). */
struct list_shape {
    uint64_t nodes, bytes; /* of all runs */
};
struct list_shape list_shape_of(const struct entry *entry);
HOT_INLINE bool list_step(struct quicklist_iter *iter, enum list_end from, struct packed_value *value) {
    return from == LIST_HEAD ? quicklist_next(iter, value) : quicklist_prev(iter, value);
}

/* --- changing; ref names a list, and for push also an absent key --- */
/* One after the other: the last text is the outermost then. */
void list_push(struct keyspace *keys, struct key_ref *ref, enum list_end end, const struct slice *texts,
               uint32_t count);
void list_drop(struct keyspace *keys, struct key_ref *ref, enum list_end end, uint64_t count);
void list_insert(struct keyspace *keys, struct key_ref *ref, uint64_t before, struct slice text); /* before <= length */
void list_replace(struct keyspace *keys, struct key_ref *ref, uint64_t index, struct slice text);
/* Takes out up to max elements that are equal to text, the ones nearest to `from`; how many. */
uint64_t list_purge(struct keyspace *keys, struct key_ref *ref, enum list_end from, struct slice text, uint64_t max);

/* The same in several calls (quicklist_purge_some); true while there is more. */
bool list_purge_some(struct keyspace *keys, struct key_ref *ref, enum list_end from, struct slice text,
                     struct quicklist_purging *purging, unsigned nodes);

/* --- loading --- */
/* An entry of this key with these elements, at least one, in the form that suits them. */
struct entry *list_new_entry(const struct store *store, struct slice key, struct quicklist *take, uint64_t deadline_ms);
