/* Pop work: elements are taken out of a collection and replied, at once or, if they are very many, some of them in each
 * turn (shards/work.h): LPOP, LMPOP, SPOP, ZPOPMIN, ZMPOP and their like.
 *
 *      header, elements, elements, ...        or, if it is named:  [key, [elements ...]]
 *
 * A pop is told to the journal and to watchers as a whole. When the time of the key is over in the middle, what was
 * taken by then is the reply. A blocked client's command that finds very many takes turns, too (shards/waiters.h). One
 * over several shards goes in steps of some elements each (shards/pop_gather.c).
 *
 * Owner     the request, as of any work; the caller's pop is copied. Thread: the key's owner. Memory: the reply so far.
 * Cost      of the elements; one that takes turns opens its key in each of them. */
#pragma once
#include "shards/exec.h"

struct pop;

/* What is different from type to type. ref names the collection, which has so many elements. */
struct pop_kind {
    uint32_t piece;                                                                           /* elements of a turn */
    void (*take)(struct exec *x, struct key_ref *ref, const struct pop *pop, uint64_t count); /* and reply */
    void (*say)(struct exec *x, const struct key_ref *ref, const struct pop *pop); /* what watchers and journal hear */
    void (*finish)(struct exec *x, struct key_ref *ref, const struct pop *pop); /* ref->entry is NULL if all are gone;
                                                                                 * the keyspace event */
};

struct pop {
    const struct pop_kind *kind;
    uint64_t count;  /* that many there are, one at least */
    uint32_t key_at; /* in argv */
    uint8_t end;     /* which end, as the kind has it */
    uint8_t words;   /* elements of the reply for each that is taken */
    bool named;
    bool as_set; /* in RESP3 the reply is a set */
};

/* Does it. There is no reply yet if it takes turns. */
void pop_elements(struct exec *x, struct key_ref *ref, const struct pop *pop);
