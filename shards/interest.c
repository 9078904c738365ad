/* A chained hash table of records, named by database and key; doubles when full, back to its first size when empty. */
#include "shards/interest.h"
#include "core/alloc.h"
#include "core/assert.h"

#define BUCKETS_FIRST 64u

struct interests {
    struct heap *heap;
    uint32_t count, bucket_count;
    struct interest **buckets;
};

static void set_buckets(struct interests *interests, uint32_t count) {
    interests->buckets = heap_alloc_zero(interests->heap, MEM_MESSAGE, count * sizeof *interests->buckets);
    interests->bucket_count = count;
}

struct interests *interests_new(struct heap *heap) {
    struct interests *interests = heap_alloc_zero(heap, MEM_MESSAGE, sizeof *interests);
    interests->heap = heap;
    set_buckets(interests, BUCKETS_FIRST);
    return interests;
}

void interests_delete(struct interests *interests) {
    for (uint32_t i = 0; i < interests->bucket_count; i++) {
        while (interests->buckets[i]) {
            struct interest *interest = interests->buckets[i];
            interests->buckets[i] = interest->next;
            heap_free(interests->heap, MEM_MESSAGE, interest, sizeof *interest + interest->key_len);
        }
    }
    heap_free(interests->heap, MEM_MESSAGE, interests->buckets, interests->bucket_count * sizeof *interests->buckets);
    heap_free(interests->heap, MEM_MESSAGE, interests, sizeof *interests);
}

uint32_t interests_count(const struct interests *interests) {
    return interests->count;
}

/* The same key in several databases shares a chain: few are. */
static struct interest **chain_of(const struct interests *interests, uint64_t hash) {
    return &interests->buckets[hash & (interests->bucket_count - 1)];
}

struct interest *interest_find(const struct interests *interests, uint32_t db, struct slice key, uint64_t hash) {
    struct interest *interest = *chain_of(interests, hash);
    while (interest && !(interest->hash == hash && interest->db == db && slice_equal(interest_key(interest), key)))
        interest = interest->next;
    return interest;
}

static void resize(struct interests *interests, uint32_t count) {
    struct interest **old = interests->buckets;
    uint32_t old_count = interests->bucket_count;
    set_buckets(interests, count);
    for (uint32_t i = 0; i < old_count; i++) {
        while (old[i]) {
            struct interest *interest = old[i], **chain = chain_of(interests, interest->hash);
            old[i] = interest->next;
            interest->next = *chain;
            *chain = interest;
        }
    }
    heap_free(interests->heap, MEM_MESSAGE, old, old_count * sizeof *old);
}

struct interest *interest_add(struct interests *interests, uint32_t db, struct slice key, uint64_t hash) {
    struct interest *interest = interest_find(interests, db, key, hash);
    if (interest) return interest;
    if (interests->count == interests->bucket_count) resize(interests, interests->bucket_count * 2);
    interest = heap_alloc(interests->heap, MEM_MESSAGE, sizeof *interest + key.len);
    *interest = (struct interest){.hash = hash, .db = db, .key_len = (uint32_t)key.len};
    slice_copy(interest->key, key.ptr, key.len);
    struct interest **chain = chain_of(interests, hash);
    interest->next = *chain;
    *chain = interest;
    interests->count++;
    return interest;
}

void interest_settle(struct interests *interests, struct interest *interest) {
    if (interest->pins || interest->watchers || interest->first || interest->ready || interest->serving) return;
    struct interest **link = chain_of(interests, interest->hash);
    while (*link != interest) link = &(*link)->next;
    *link = interest->next;
    heap_free(interests->heap, MEM_MESSAGE, interest, sizeof *interest + interest->key_len);
    if (--interests->count == 0 && interests->bucket_count > BUCKETS_FIRST) resize(interests, BUCKETS_FIRST);
}

void interests_visit(const struct interests *interests, void (*visit)(void *ctx, struct interest *interest),
                     void *ctx) {
    for (uint32_t i = 0; i < interests->bucket_count && interests->count; i++)
        for (struct interest *interest = interests->buckets[i]; interest; interest = interest->next)
            visit(ctx, interest);
}

static void check(void *ctx, struct interest *interest) {
    ASSERT(interest->watchers || interest->first || interest->ready || interest->serving);
    ASSERT(interest->pins == 0 && (!interest->guard || interest->ready));
    ASSERT(!interest->first == !interest->last);
    ++*(uint32_t *)ctx;
}

void interests_check(const struct interests *interests) {
    uint32_t count = 0;
    interests_visit(interests, check, &count);
    ASSERT(count == interests->count);
}
