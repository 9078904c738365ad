/* Message: what may cross threads. A group of commands from one home shard to one owner, which comes back as the same
 * object with the composed replies in it.
 *
 *    request: | item | lengths | argument bytes | item | ... |      written by home, read by the owner
 *    reply:   | reply of item 0 | reply of item 1 | ... |           written by the owner, read by home
 *
 * Ownership home allocates, posts, gets it back and recycles it through its pool. While it is out, only the owner touches
 *           it. At home it stays alive as long as replies in it are still waiting for their place (`uses`).
 * Bounded   MESSAGE_ITEMS items and about MESSAGE_BYTES of arguments; one item may be larger than that.
 * Threads   one at a time, handed over through a mailbox (release/acquire there). */
#pragma once
#include "core/buf.h"
#include "shards/command.h"

struct client;
struct gather;
struct exec;

#define MESSAGE_MAGIC 0x4d534721u
#define MESSAGE_ITEMS 256
#define MESSAGE_BYTES (32 * 1024)

enum message_kind { MESSAGE_COMMANDS, MESSAGE_REPLIES };

struct message {
    uint32_t magic;
    uint8_t kind;
    uint8_t from, to;
    bool alone; /* holds one CMD_SLICED command and takes no other */
    uint32_t count;
    uint32_t uses; /* at home: who still reads the reply bytes */
    struct buf request, reply;
    struct message *next;
};

/* 8-byte aligned in `request`; followed by argc uint32_t lengths and the bytes, padded to 8. */
struct message_item {
    struct client *client; /* one of the two is set; home's, never followed by the owner */
    struct gather *gather;
    uint64_t place; /* in the client's reply queue, or the gather's part */
    uint64_t hash, client_id;
    uint64_t reply_len; /* written by the owner; MGET of a few large values is beyond 4 GiB */
    uint32_t hash_at;
    uint32_t number; /* command_slot.number */
    uint32_t argc;
    uint32_t size;  /* of the item with everything behind it */
    uint32_t flags; /* enum client_flag */
    uint16_t db;
    uint8_t resp;
    bool silent; /* CLIENT REPLY OFF or SKIP: the reply is dropped where it is made */
};

struct message_pool {
    struct heap *heap;
    struct message *free;
    uint32_t free_count;
};

void message_pool_init(struct message_pool *pool, struct heap *heap);
void message_pool_deinit(struct message_pool *pool);
struct message *message_new(struct message_pool *pool, uint32_t from, uint32_t to);
void message_release(struct message_pool *pool, struct message *take); /* one use less; recycles at none */

/* Appends a command. The item is valid until the next is added. */
struct message_item *message_add(struct message *message, const struct slice *argv, uint32_t argc);
HOT_INLINE bool message_full(const struct message *message) {
    return message->count >= MESSAGE_ITEMS || message->request.len >= MESSAGE_BYTES || message->alone;
}
/* Walks the items: start with at = 0; NULL at the end. */
HOT_INLINE struct message_item *message_next(const struct message *message, size_t *at) {
    if (*at >= message->request.len) return NULL;
    struct message_item *item = (struct message_item *)(void *)(message->request.data + *at);
    *at += item->size;
    return item;
}
/* The item's arguments as slices into the request; argv has room for item->argc. */
void message_item_argv(const struct message_item *item, struct slice *argv);
