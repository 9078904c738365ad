/* Layout of a client's transaction, for multi.c and multi_exec.c. */
#pragma once
#include "core/buf.h"
#include "core/idmap.h"
#include "shards/message.h"
#include "shards/multi.h"

struct multi_state {
    bool open, spoiled;
    bool mixed;      /* holds a command that is not on keys of one shard */
    uint32_t flags;  /* enum command_flag of all commands */
    uint64_t owners; /* of their keys, a bit each */
    bool grows;      /* the row of one says how much it may need (command.grows) */
};

struct multi {
    struct multi_state now;
    struct multi_state ahead; /* when the client's commands in the batch have run; while there are none: now */
    uint32_t count;           /* commands */
    uint32_t arguments;
    struct buf queue; /* | struct kept | message_item | ... */
    uint32_t watch_count;
    uint64_t watch_owners;
    struct buf watches;       /* | struct watched | key, padded to 8 | ... */
    struct idmap watch_index; /* of many: from a key's hash to its offset in watches, plus one */
};

/* Before each command. */
struct kept {
    uint8_t fate, owner; /* as routed when it was kept */
    uint8_t unused[6];
};
static_assert(sizeof(struct kept) == 8, "the item behind it is aligned");

/* What routing goes by: the state behind all commands of the client that were taken. */
HOT_INLINE const struct multi_state *multi_ahead(const struct client *client) {
    return client->queued ? &client->multi->ahead : &client->multi->now;
}

struct watched {
    uint64_t version;
    uint32_t db, owner, key_len, unused;
};
static_assert(sizeof(struct watched) % 8 == 0, "the next one is aligned");

/* Walk them: at starts at 0; NULL at the end. */
HOT_INLINE const struct kept *kept_next(const struct buf *queue, size_t *at) {
    if (*at >= queue->len) return NULL;
    const struct kept *kept = (const struct kept *)(const void *)(queue->data + *at);
    *at += sizeof *kept + ((const struct message_item *)(const void *)(kept + 1))->size;
    return kept;
}
HOT_INLINE const struct message_item *kept_item(const struct kept *kept) {
    return (const struct message_item *)(const void *)(kept + 1);
}
HOT_INLINE struct slice watched_key(const struct watched *watched) {
    return slice_of((const char *)(watched + 1), watched->key_len);
}
HOT_INLINE const struct watched *watched_next(const struct buf *watches, size_t *at) {
    if (*at >= watches->len) return NULL;
    const struct watched *watched = (const struct watched *)(const void *)(watches->data + *at);
    *at += sizeof *watched + ((watched->key_len + 7u) & ~7u);
    return watched;
}

void multi_close(struct client *client);        /* no commands and not open; watched keys stay */
void multi_forget_watches(struct multi *multi); /* their watchers are taken back by somebody else */
void multi_drop_watches(struct shard *home, const struct buf *watches);
