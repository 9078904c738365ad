/* A single-producer single-consumer ring of pointers (Lamport 1977, with each side's copy of the other's index, so
 * that the shared lines are read only when the ring looks full or empty).
 *
 *    | sender's line: tail, seen head, mask | receiver's line: head, seen tail, mask | slots ... |
 *
 * Each side has the mask in its own line, so that it touches no third one. */
#include "shards/mailbox.h"
#include "core/assert.h"
#include <stdatomic.h>

struct mailbox {
    /* --- written by the sender --- */
    _Alignas(CACHE_LINE) _Atomic uint32_t tail;
    uint32_t seen_head, sender_mask;
    /* --- written by the receiver --- */
    _Alignas(CACHE_LINE) _Atomic uint32_t head;
    uint32_t seen_tail, receiver_mask;
    /* --- */
    _Alignas(CACHE_LINE) struct message *slots[];
};

struct mailbox *mailbox_new(uint32_t capacity) {
    ASSERT(capacity && (capacity & (capacity - 1)) == 0);
    size_t size = sizeof(struct mailbox) + capacity * sizeof(struct message *);
    struct mailbox *box = shared_alloc(size);
    if (!box) return NULL;
    box->sender_mask = box->receiver_mask = capacity - 1;
    return box;
}

void mailbox_delete(struct mailbox *box) {
    shared_free(box);
}

enum status mailbox_post(struct mailbox *box, struct message **take) {
    uint32_t tail = atomic_load_explicit(&box->tail, memory_order_relaxed); /* own index */
    if (tail - box->seen_head > box->sender_mask) {
        /* Acquire: slots the receiver has read may be written again. Pairs with the release in drain. */
        box->seen_head = atomic_load_explicit(&box->head, memory_order_acquire);
        if (tail - box->seen_head > box->sender_mask) return ST_FULL;
    }
    box->slots[tail & box->sender_mask] = *take;
    *take = NULL;
    /* Release: the slot and the message must be visible before the new tail. Pairs with the acquire in drain. */
    atomic_store_explicit(&box->tail, tail + 1, memory_order_release);
    return ST_OK;
}

void mailbox_prefetch(const struct mailbox *box) {
    __asm__ volatile(""); /* else gcc sees no effect in it and drops the calls */
    __builtin_prefetch(&box->tail);
    uint32_t head = atomic_load_explicit(&box->head, memory_order_relaxed); /* own index, in a line that is ours */
    __builtin_prefetch(&box->slots[head & box->receiver_mask]);
}

uint32_t mailbox_drain(struct mailbox *box, struct message **out, uint32_t out_count) {
    uint32_t head = atomic_load_explicit(&box->head, memory_order_relaxed); /* own index */
    if (box->seen_tail - head < out_count) {
        /* Acquire: what the sender wrote before this tail. Pairs with the release in post. */
        box->seen_tail = atomic_load_explicit(&box->tail, memory_order_acquire);
    }
    uint32_t count = MIN(box->seen_tail - head, out_count);
    for (uint32_t i = 0; i < count; i++) out[i] = box->slots[(head + i) & box->receiver_mask];
    /* Release: the slots were read before they are given up. Pairs with the acquire in post. */
    if (count) atomic_store_explicit(&box->head, head + count, memory_order_release);
    return count;
}

bool mailbox_empty(const struct mailbox *box) {
    /* Acquire: pairs with the release in post, so that "not empty" implies a readable slot. */
    return atomic_load_explicit(&box->tail, memory_order_acquire) ==
           atomic_load_explicit(&box->head, memory_order_relaxed);
}
