/* The reply queue: a ring of places. Invariant: when the queue is not empty, its head place has no reply yet (whoever
 * fills it moves everything that became ready to `out`). */
#include "shards/reply_queue.h"
#include "core/assert.h"
#include "shards/message.h"

#define HELD_KEEP  (16 * 1024)
#define COPY_BYTES (4 * 1024) /* one up to this waits in a block of its size, if it came in a much larger one */

void reply_queue_init(struct reply_queue *queue, struct heap *heap) {
    *queue = (struct reply_queue){0};
    buf_init(&queue->held, heap, MEM_CLIENT_OUT);
}

void reply_queue_deinit(struct reply_queue *queue) {
    ASSERT(reply_queue_empty(queue));
    heap_free(queue->held.heap, MEM_CLIENT_OUT, queue->ring, queue->cap * sizeof *queue->ring);
    queue->ring = NULL;
    queue->cap = 0;
    buf_deinit(&queue->held);
}

static struct reply_place *place_at(const struct reply_queue *queue, uint64_t place) {
    return &queue->ring[place & (queue->cap - 1)];
}

static void grow(struct reply_queue *queue) {
    uint32_t cap = queue->cap ? queue->cap * 2 : 16;
    struct reply_place *ring = heap_alloc(queue->held.heap, MEM_CLIENT_OUT, cap * sizeof *ring);
    for (uint64_t i = queue->head; i < queue->tail; i++) ring[i & (cap - 1)] = *place_at(queue, i);
    heap_free(queue->held.heap, MEM_CLIENT_OUT, queue->ring, queue->cap * sizeof *ring);
    queue->ring = ring;
    queue->cap = cap;
}

static struct reply_place *append(struct reply_queue *queue) {
    if (reply_queue_len(queue) == queue->cap) grow(queue);
    struct reply_place *place = place_at(queue, queue->tail++);
    *place = (struct reply_place){0};
    return place;
}

uint64_t reply_queue_reserve(struct reply_queue *queue) {
    append(queue);
    queue->publishes_only = false;
    return queue->tail - 1;
}

/* It keeps the memory, so that it is never copied, and what came before it moves. */
static COLD void hold_large(struct reply_queue *queue, struct reply_place *place, size_t mark) {
    struct buf all = queue->held;
    buf_init(&queue->held, all.heap, MEM_CLIENT_OUT);
    buf_append(&queue->held, all.data, mark);
    queue->held.read = all.read;
    memmove(all.data, all.data + mark, place->len);
    place->bytes = all.data;
    place->own_cap = all.cap;
    queue->own += all.cap;
}

void reply_queue_hold(struct reply_queue *queue, size_t mark) {
    ASSERT(!reply_queue_empty(queue));
    struct reply_place *place = append(queue);
    place->len = queue->held.len - mark;
    if (UNLIKELY(place->len >= MESSAGE_MOVES)) {
        hold_large(queue, place, mark);
        return;
    }
    place->held = true;
    place->bytes = (const char *)(uintptr_t)(queue->held_base + mark + 1); /* plus one, so that it is never NULL */
}

static void move_out(struct reply_queue *queue, struct reply_place *place, struct message_pool *pool, struct buf *out) {
    bool moves = place->len >= MESSAGE_MOVES && buf_readable(out) == 0;
    queue->own -= place->own_cap;
    if (place->held) {
        ASSERT((uintptr_t)place->bytes - 1 == queue->held_base + queue->held.read);
        buf_append(out, queue->held.data + queue->held.read, place->len);
        queue->held.read += place->len;
    } else if (moves && place->own_cap) {
        struct buf own;
        buf_init(&own, queue->held.heap, MEM_CLIENT_OUT);
        own.data = (char *)(uintptr_t)place->bytes;
        own.len = place->len;
        own.cap = place->own_cap;
        place->own_cap = 0;
        buf_take(out, &own);
    } else if (!moves || !place->message ||
               !message_take_reply(place->message, slice_of(place->bytes, place->len), out)) {
        buf_append(out, place->bytes, place->len);
    }
    if (place->message) message_release(pool, place->message);
    if (place->own_cap) heap_free(queue->held.heap, MEM_CLIENT_OUT, (void *)(uintptr_t)place->bytes, place->own_cap);
}

/* A queue that never empties (a client that always has something outstanding) must not hold on to what has left. */
static void trim_held(struct reply_queue *queue) {
    struct buf *held = &queue->held;
    if (reply_queue_empty(queue)) {
        buf_reset(held, HELD_KEEP);
        queue->held_base = 0;
    } else if (held->read >= HELD_KEEP && held->read >= held->len / 2) {
        queue->held_base += held->read;
        buf_compact(held);
    }
}

bool reply_queue_flush(struct reply_queue *queue, struct message_pool *pool, struct buf *out) {
    bool left = false;
    while (!reply_queue_empty(queue)) {
        struct reply_place *place = place_at(queue, queue->head);
        if (!place->bytes) break;
        bool grows = buf_readable(out) >= MESSAGE_MOVES && place->len > out->cap - out->len;
        left = (place->len >= MESSAGE_MOVES && buf_readable(out) > 0) || grows;
        if (left) break;
        move_out(queue, place, pool, out);
        queue->head++;
    }
    trim_held(queue);
    return left;
}

/* The head's reply has just gone out: so do those behind it that are there. */
static bool advance(struct reply_queue *queue, struct message_pool *pool, struct buf *out) {
    queue->head++;
    return reply_queue_flush(queue, pool, out);
}

bool reply_queue_fill_own(struct reply_queue *queue, uint64_t number, struct buf *take, struct message_pool *pool,
                          struct buf *out) {
    ASSERT(number >= queue->head && number < queue->tail);
    struct reply_place *place = place_at(queue, number);
    ASSERT(!place->bytes && take->read == 0);
    if (number == queue->head) {
        if (take->len >= MESSAGE_MOVES && buf_readable(out) == 0) {
            struct buf spare = *out;
            *out = *take;
            *take = spare;
        } else {
            buf_append_slice(out, buf_slice(take));
        }
        return advance(queue, pool, out);
    }
    place->len = take->len;
    if (take->len > 0 && take->len <= COPY_BYTES && take->cap > 2 * take->len) {
        char *own = heap_alloc(queue->held.heap, MEM_CLIENT_OUT, take->len);
        memcpy(own, take->data, take->len);
        place->bytes = own;
        place->own_cap = take->len;
        queue->own += take->len;
        return false;
    }
    place->bytes = take->data ? take->data : "";
    place->own_cap = take->cap;
    queue->own += take->cap;
    take->data = NULL;
    take->len = take->cap = 0;
    return false;
}

bool reply_queue_fill(struct reply_queue *queue, uint64_t number, struct slice bytes, struct message *message,
                      struct message_pool *pool, struct buf *out) {
    ASSERT(number >= queue->head && number < queue->tail);
    struct reply_place *place = place_at(queue, number);
    ASSERT(!place->bytes);
    if (number != queue->head) {
        place->bytes = bytes.ptr ? bytes.ptr : ""; /* an empty reply (CLIENT REPLY OFF) is a reply, too */
        place->len = bytes.len;
        place->message = message;
        message->uses++;
        return false;
    }
    bool moves = bytes.len >= MESSAGE_MOVES && buf_readable(out) == 0;
    if (!moves || !message_take_reply(message, bytes, out)) buf_append_slice(out, bytes);
    return advance(queue, pool, out);
}
