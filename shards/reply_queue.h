/* Reply queue: puts replies of one client back in the order of its commands.
 *
 * While every command of a client runs on its own thread the queue is empty and replies go straight to client.out.
 * A command sent to another shard leaves a place here; replies of later commands queue up behind it, and all move
 * to `out` as soon as those before them are there.
 *
 * Owner     one client. Replies of local commands are kept in `held`; replies from other shards stay in the message
 *           they came in, which is counted until they have been copied out once.
 * Bounded   REPLY_QUEUE_MAX places; a client with that many outstanding is not parsed further. */
#pragma once
#include "core/buf.h"

struct message;
struct message_pool;

#define REPLY_QUEUE_MAX 1024

struct reply_place {
    const char *bytes; /* NULL until the reply is there; for held replies an offset (see held_base) plus one */
    size_t len;
    bool held;
    size_t own_cap;          /* not 0: bytes is a block of this size, which belongs to the place */
    struct message *message; /* whose memory bytes points into */
};

struct reply_queue {
    struct reply_place *ring; /* REPLY_QUEUE_MAX places at most, grown by doubling; NULL while unused */
    uint32_t cap;
    uint64_t head, tail; /* place numbers; tail - head are queued */
    bool publishes_only; /* all places are of PUBLISH: what follows them may be told before they are answered */
    struct buf held;     /* read: what has moved to out */
    uint64_t held_base;  /* bytes that ever left the front of held: offsets of places count from the very first byte */
    size_t own;          /* bytes of the blocks that belong to places */
};

void reply_queue_init(struct reply_queue *queue, struct heap *heap);
void reply_queue_deinit(struct reply_queue *queue); /* empty by then: a client outlives its outstanding commands */
HOT_INLINE bool reply_queue_empty(const struct reply_queue *queue) {
    return queue->head == queue->tail;
}
HOT_INLINE uint32_t reply_queue_len(const struct reply_queue *queue) {
    return (uint32_t)(queue->tail - queue->head);
}
/* Bytes of replies that are kept here behind earlier ones, but for those in messages. */
HOT_INLINE size_t reply_queue_kept(const struct reply_queue *queue) {
    return buf_readable(&queue->held) + queue->own;
}
/* A place for a reply that comes later; its number is given back with it. */
uint64_t reply_queue_reserve(struct reply_queue *queue);
/* A reply that was just written to queue->held from mark on. */
void reply_queue_hold(struct reply_queue *queue, size_t mark);
/* Moves to out what is there and next. What is large takes its memory with it, so it only goes where nothing else is, and
 * what does not fit behind it does not make it grow. True: some are left, for a call with a buf that is empty. */
NODISCARD bool reply_queue_flush(struct reply_queue *queue, struct message_pool *pool, struct buf *out);
/* The reply for a place. The bytes are copied to out at once if everything before is there, and others follow as with
 * reply_queue_flush, whose result it has; else message is retained. */
NODISCARD bool reply_queue_fill(struct reply_queue *queue, uint64_t place, struct slice bytes, struct message *message,
                                struct message_pool *pool, struct buf *out);
/* The same for a reply that was composed at home: takes the memory of `take` when it has to wait. */
NODISCARD bool reply_queue_fill_own(struct reply_queue *queue, uint64_t place, struct buf *take,
                                    struct message_pool *pool, struct buf *out);
