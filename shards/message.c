/* Messages: packing and the pool. */
#include "shards/message.h"
#include "core/assert.h"
#include "shards/exec.h"
#include "shards/reaper.h"

#define POOL_MAX   64          /* messages kept per shard */
#define KEEP_BYTES (64 * 1024) /* a recycled message keeps buffers up to this */

void message_pool_init(struct message_pool *pool, struct heap *heap, struct reaper *reaper) {
    *pool = (struct message_pool){.heap = heap, .reaper = reaper};
}

static void message_free(struct message_pool *pool, struct message *message) {
    buf_deinit(&message->request);
    buf_deinit(&message->reply);
    buf_deinit(&message->notes);
    chain_deinit(&message->elements, pool->heap);
    heap_free(pool->heap, MEM_MESSAGE, message, sizeof *message);
}

void message_pool_drain(struct message_pool *pool) {
    while (pool->free) {
        struct message *message = pool->free;
        pool->free = message->next;
        message_free(pool, message);
    }
    pool->free_count = 0;
}

void message_pool_deinit(struct message_pool *pool) {
    message_pool_drain(pool);
}

struct message *message_new(struct message_pool *pool, uint32_t from, uint32_t to) {
    struct message *message = pool->free;
    if (message) {
        pool->free = message->next;
        pool->free_count--;
    } else {
        message = heap_alloc_zero(pool->heap, MEM_MESSAGE, sizeof *message);
        buf_init(&message->request, pool->heap, MEM_MESSAGE);
        buf_init(&message->reply, pool->heap, MEM_MESSAGE);
        buf_init(&message->notes, pool->heap, MEM_MESSAGE);
    }
    message->magic = MESSAGE_MAGIC;
    message->kind = MESSAGE_COMMANDS;
    message->from = (uint8_t)from;
    message->to = (uint8_t)to;
    message->alone = message->slow = message->held = message->rest = false;
    message->count = 0;
    message->event_bytes = 0;
    message->uses = 1;
    message->posted_tick = 0;
    message->next = NULL;
    return message;
}

static void message_set_heap(struct message *message, struct heap *heap) {
    buf_set_heap(&message->request, heap);
    buf_set_heap(&message->reply, heap);
    buf_set_heap(&message->notes, heap);
}

static void recycle(struct message_pool *pool, struct buf *buf) {
    if (UNLIKELY(buf->cap > KEEP_BYTES)) reaper_take_buf(pool->reaper, buf);
    buf_reset(buf, KEEP_BYTES);
}

void message_release(struct message_pool *pool, struct message *message) {
    ASSERT(message->magic == MESSAGE_MAGIC && message->uses > 0);
    if (--message->uses) return;
    ASSERT(chain_empty(&message->elements));
    message_set_heap(message, pool->heap);
    recycle(pool, &message->request);
    recycle(pool, &message->reply);
    recycle(pool, &message->notes);
    if (pool->free_count >= POOL_MAX) {
        message->magic = 0;
        message_free(pool, message);
        return;
    }
    message->next = pool->free;
    pool->free = message;
    pool->free_count++;
}

struct message *message_split(struct message_pool *pool, struct message *message, size_t at, uint32_t served) {
    ASSERT(message->kind == MESSAGE_COMMANDS && served < message->count && at < message->request.len);
    struct message *rest = message_new(pool, message->from, message->to);
    size_t notes = served * sizeof(struct message_note);
    rest->rest = true;
    rest->count = message->count - served;
    buf_append(&rest->request, message->request.data + at, message->request.len - at);
    buf_append(&rest->notes, message->notes.data + notes, message->notes.len - notes);
    message->count = served;
    message->request.len = at;
    message->notes.len = notes;
    return rest;
}

/* kind says what travels for good: replies are the owner's work, news their receiver's own. */
static size_t count_travelling(const struct message *message, struct heap *heap, int64_t sign) {
    int64_t bytes = (int64_t)buf_held(&message->reply);
    if (UNLIKELY(message->kind == MESSAGE_NEWS || message->rest))
        bytes += (int64_t)(buf_held(&message->request) + buf_held(&message->notes) + heap_block_size(sizeof *message));
    heap_count(heap, MEM_MESSAGE, sign * bytes);
    if (LIKELY(chain_empty(&message->elements))) return (size_t)bytes;
    int64_t elements = (int64_t)chain_held(&message->elements);
    heap_count(heap, MEM_CLIENT_OUT, sign * elements);
    return (size_t)(bytes + elements);
}

size_t message_leaves(const struct message *message, struct heap *sender) {
    return count_travelling(message, sender, -1);
}

size_t message_arrives(const struct message *message, struct heap *receiver) {
    return count_travelling(message, receiver, 1);
}

void message_adopt(struct message_pool *pool, struct message *message) {
    ASSERT(message->magic == MESSAGE_MAGIC && message->kind == MESSAGE_NEWS && message->uses == 1);
    message_set_heap(message, pool->heap);
}

bool message_take_reply(struct message *message, struct slice reply, struct buf *out) {
    struct buf *from = &message->reply;
    bool is_last = from->data && reply.ptr + reply.len == from->data + from->len;
    if (!is_last || message->uses > 1 || message->event_bytes) return false;
    size_t at = (size_t)(reply.ptr - from->data);
    buf_take(out, from);
    out->read = at;
    buf_compact(out); /* in its place: what is sent begins there */
    return true;
}

/* --- items --- */

static size_t padded(size_t size) {
    return (size + 7) & ~(size_t)7;
}

static size_t item_size(const struct slice *argv, uint32_t argc, uint32_t hash_count) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < argc; i++) bytes += argv[i].len;
    size_t size = padded(sizeof(struct message_item) + hash_count * sizeof(uint64_t) + argc * sizeof(uint32_t) + bytes);
    ASSERT(size <= UINT32_MAX);
    return size;
}

size_t message_item_size(const struct slice *argv, uint32_t argc) {
    return item_size(argv, argc, 0);
}

size_t message_item_size_exec(const struct exec *x) {
    return item_size(x->argv, x->argc, x->hash_count);
}

static uint32_t *lengths_of(const struct message_item *item) {
    return (uint32_t *)(uintptr_t)(message_item_hashes(item) + item->hash_count);
}

static struct message_item *write_item(void *at, size_t size, const struct slice *argv, uint32_t argc,
                                       const uint64_t *hashes, uint32_t hash_count) {
    ASSERT(hash_count <= UINT16_MAX);
    struct message_item *item = at;
    memset(item, 0, sizeof *item);
    item->argc = argc;
    item->size = (uint32_t)size;
    item->hash_count = (uint16_t)hash_count;
    if (hash_count) memcpy(item + 1, hashes, hash_count * sizeof *hashes);
    uint32_t *lengths = lengths_of(item);
    char *text = (char *)(lengths + argc);
    for (uint32_t i = 0; i < argc; i++) {
        lengths[i] = (uint32_t)argv[i].len;
        slice_copy(text, argv[i].ptr, argv[i].len);
        text += argv[i].len;
    }
    return item;
}

struct message_item *message_item_write(void *at, size_t size, const struct slice *argv, uint32_t argc) {
    return write_item(at, size, argv, argc, NULL, 0);
}

struct message_item *message_item_write_exec(void *at, size_t size, const struct exec *x) {
    struct message_item *item = write_item(at, size, x->argv, x->argc, x->hashes, x->hash_count);
    item->hash = x->hash;
    item->hash_at = (uint8_t)x->hash_at;
    item->client_id = x->client_id;
    item->number = (uint16_t)x->slot->number;
    item->flags = x->flags;
    item->db = x->db;
    item->resp = x->resp;
    item->part = x->part;
    return item;
}

/* Room for one more, and whom its reply is for. */
static char *open_item(struct message *message, struct message_note note, size_t size) {
    buf_append(&message->notes, &note, sizeof note);
    char *at = buf_reserve(&message->request, size);
    message->request.len += size;
    message->count++;
    return at;
}

struct message_item *message_add_exec(struct message *message, struct message_note note, const struct exec *x) {
    size_t size = message_item_size_exec(x);
    return message_item_write_exec(open_item(message, note, size), size, x);
}

struct message_item *message_add(struct message *message, struct message_note note, const struct slice *argv,
                                 uint32_t argc) {
    size_t size = message_item_size(argv, argc);
    struct message_item *item = message_item_write(open_item(message, note, size), size, argv, argc);
    item->part = note.gather != NULL;
    return item;
}

size_t message_news_open(struct message *message, enum item_how how, uint64_t stamp) {
    size_t at = message->request.len;
    struct slice empty = {0};
    size_t size = sizeof(struct message_item) + sizeof(uint32_t);
    struct message_item *item = message_item_write(buf_reserve(&message->request, size), size, &empty, 1);
    item->how = (uint8_t)how;
    item->stamp = stamp;
    message->request.len += size;
    message->count++;
    return at;
}

void message_news_turn(struct message *message, size_t at, enum item_how how) {
    message_item_at(message, at)->how = (uint8_t)how;
}

void message_news_close(struct message *message, size_t at) {
    size_t head = sizeof(struct message_item) + sizeof(uint32_t);
    size_t bytes = message->request.len - at - head, size = padded(head + bytes);
    ASSERT(size <= UINT32_MAX);
    buf_make_room(&message->request, size - head - bytes);
    message->request.len = at + size;
    struct message_item *item = message_item_at(message, at);
    item->size = (uint32_t)size;
    *(uint32_t *)(void *)(item + 1) = (uint32_t)bytes;
}

void message_item_argv(const struct message_item *item, struct slice *argv) {
    const uint32_t *lengths = lengths_of(item);
    const char *text = (const char *)(lengths + item->argc);
    for (uint32_t i = 0; i < item->argc; i++) {
        argv[i] = slice_of(text, lengths[i]);
        text += lengths[i];
    }
}
