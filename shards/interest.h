/* Interest: what clients want to know about single keys of this shard: that they change (WATCH, shards/watch.h) or that
 * there is something in them (BLPOP, shards/waiters.h). A key in which nobody is interested costs nothing.
 *
 * Owner     the shard. A record lives while it has watchers or waiters; whoever takes the last away calls
 *           interest_settle. Bounded by what clients watch and wait for.
 * Cost      O(1) per key; visiting all is O(records). */
#pragma once
#include "core/slice.h"

struct shard;
struct heap;
struct interests;
struct request;
struct wait_link;

struct interest {
    struct interest *next;       /* private */
    struct interest *next_ready; /* shards/waiters.c */
    uint64_t hash;               /* of the key */
    uint64_t version;            /* grows with every change while somebody watches */
    uint32_t db, key_len, watchers;
    uint32_t pins;                  /* callers that still need the record, whatever happens meanwhile */
    bool ready;                     /* waits to be looked at by waiters_serve */
    bool serving;                   /* one of its waiters stands in line for the key */
    struct wait_link *first, *last; /* waiters, in order of waiting */
    struct request *guard;          /* keeps others away while another key serves; NULL: none */
    char key[];
};

struct interests *interests_new(struct heap *heap);
void interests_delete(struct interests *interests); /* with the records that are left */
uint32_t interests_count(const struct interests *interests);

/* NULL: nobody is interested. hash is the key's. */
struct interest *interest_find(const struct interests *interests, uint32_t db, struct slice key, uint64_t hash);
struct interest *interest_add(struct interests *interests, uint32_t db, struct slice key,
                              uint64_t hash); /* or finds it */
/* Frees the record if nobody is interested any more. */
void interest_settle(struct interests *interests, struct interest *interest);
/* visit may not add or settle records. */
void interests_visit(const struct interests *interests, void (*visit)(void *ctx, struct interest *interest), void *ctx);
void interests_check(const struct interests *interests);

static inline struct slice interest_key(const struct interest *interest) {
    return slice_of(interest->key, interest->key_len);
}
