/* Message: what may cross threads. Mostly a group of commands from one home shard to one owner, which comes back as the
 * same object with the composed replies in it. News go the other way, from an owner to a home, and do not come back: a
 * reply that had to wait for a key, a lock that was granted or is asked back.
 *
 *    request: | item | hashes | lengths | argument bytes | item | ... |      written by home, read by the owner
 *    reply:   | length | reply of item 0 | length | reply of item 1 | ...     written by the owner, read by home
 *    elements: follow the reply of a command that is alone and answers much (x->elements in exec.h)
 *    notes:   whom each reply is for; stays at home
 *
 * Ownership home allocates, posts, gets it back and recycles it through its pool. While it is out, only the owner
 * touches
 *           it. At home it stays alive as long as replies in it are still waiting for their place (`uses`). News become
 *           their receiver's own (message_adopt).
 * Bounded   MESSAGE_ITEMS items and about MESSAGE_BYTES of arguments; one item may be larger than that.
 * Threads   one at a time, handed over through a mailbox (release/acquire there). */
#pragma once
#include "core/chain.h"
#include "shards/command.h"

struct client;
struct gather;
struct exec;
struct reaper;

#define MESSAGE_MAGIC 0x4d534721u
#define MESSAGE_ITEMS 256
#define MESSAGE_BYTES (32 * 1024)
#define MESSAGE_MOVES (64 * 1024) /* bytes of a reply that is passed on with its memory, instead of being copied */

enum message_kind { MESSAGE_COMMANDS, MESSAGE_REPLIES, MESSAGE_NEWS };

/* What an item asks of its receiver. The first group goes from home to owner, the second is news (shards/request.h has
 * the protocol). */
enum item_how {
    ITEM_RUN,    /* a command: it runs when its keys are free, and until then stands in line for them */
    ITEM_UNDER,  /* a command of a transaction that holds what it needs: it runs at once */
    ITEM_TRY,    /* a transaction holds all its other locks: run this part if its keys are free, else as ITEM_LOCK */
    ITEM_LOCK,   /* keep this part of a transaction and stand in line for its keys */
    ITEM_GO,     /* run the part kept under this stamp and give back its locks */
    ITEM_LEAVE,  /* give them back without running it; unless silent, the answer says by waits_for where it stands in
                  * the journal */
    ITEM_YIELD,  /* an older one may go first; not answered */
    ITEM_CANCEL, /* the client does not wait any more (shards/waiters.h); not answered */

    NEWS_REPLY,  /* argv[0] is the reply of a command that stood in line */
    NEWS_GRANT,  /* the part has its locks; argv[0] as the reply of ITEM_LOCK */
    NEWS_REVOKE, /* an older one waits for what the part holds */
    NEWS_BLOCKED, /* a command that stood in line found nothing and waits; argv[0] is its timeout (8 bytes, ms), and whether
                   * its reply is dropped (1 byte) */
    NEWS_DURABLE,   /* to shard 0: a transaction is on this shard's disk (shards/commit.h) */
    NEWS_SAFE,      /* from shard 0: so many (stamp) of this shard's transactions cannot be taken back by a crash */
    NEWS_CONFIRMED, /* replies of the sender that wait for positions up to this one (stamp) may leave */
    NEWS_READY, /* there is something for a waiter, and the key is held for it; argv[0] is the command if home runs it */
};

/* What an item's reply may be instead of bytes. */
#define REPLY_LATER   UINT64_MAX       /* it stands in line: NEWS_REPLY or NEWS_GRANT follow */
#define REPLY_BLOCKED (UINT64_MAX - 1) /* it waits for a key, for so many ms (8 bytes): NEWS_READY follows */

/* The reply of ITEM_LOCK and NEWS_GRANT, and of ITEM_TRY when a watched key was changed: no reply of RESP begins so. If
 * the part is going to reply much, how much follows. */
#define GRANT_CLEAN 'g'
#define GRANT_DIRTY 'd' /* a watched key was changed: the transaction must not run */
struct grant {
    bool clean;
    uint32_t answers; /* bytes, at most UINT32_MAX; 0: little, or memory is plenty */
};

struct message {
    uint32_t magic;
    uint8_t kind;
    uint8_t from, to;
    bool alone; /* takes no other item: a CMD_SLICED command, or news of a large reply, which is in `reply` */
    bool slow;  /* has an item that is slow */
    bool held;  /* has an item that is held */
    bool rest;  /* made by the owner, of the commands of another whose replies were large (message_split) */
    uint32_t count;
    uint32_t event_bytes; /* of items that nobody waits for (pubsub_send) */
    uint32_t uses;        /* at home: who still reads the reply bytes */
    struct buf request, reply;
    struct buf notes;      /* struct message_note per item; home only */
    struct chain elements; /* MEM_CLIENT_OUT; home takes them before it releases the message */
    uint64_t posted_tick;  /* at home: about when it left; 0: not with commands of home's own */
    struct message *next;
};

/* What the owner needs to know; followed by hash_count hashes of keys (exec.hashes), argc uint32_t lengths and the
 * bytes, padded to 8. Small, because every line
 * of it moves from one core's cache to another's. */
struct message_item {
    union {
        uint64_t hash;         /* of argv[hash_at] */
        uint64_t participants; /* of the transaction that ends here, a bit each (ITEM_GO, ITEM_LEAVE, ITEM_CANCEL,
                                * NEWS_DURABLE) */
        uint64_t slow_us;      /* of one that came back `slow`: how long it took */
    };
    union {
        uint64_t client_id;
        uint64_t waits_for; /* of one that came back `held`: a position of the owner (shards/commit.h) */
    };
    uint64_t stamp; /* place in line, see shards/locks.h; names the transaction or the command in news */
    uint32_t size;  /* of the item with everything behind it */
    uint32_t argc;
    uint32_t flags;  /* enum client_flag */
    uint16_t number; /* command_slot.number */
    uint16_t db;
    uint8_t hash_at;
    uint8_t resp;
    bool silent;       /* CLIENT REPLY OFF or SKIP: the reply is dropped where it is made */
    bool part;         /* of a gather */
    uint8_t how;       /* enum item_how */
    bool writes : 1;   /* ITEM_TRY: some part of the transaction may change keys */
    bool held : 1;     /* the reply is not to leave before the owner has confirmed waits_for */
    bool admitted : 1; /* home has granted the memory that it needs (shards/admit.h) */
    bool slow : 1;     /* the owner found it slow; home, which knows the client, puts it into its slow log */
    uint16_t hash_count;
};
static_assert(sizeof(struct message_item) == 48, "small");

/* What home needs to know when the reply comes: it stays there. One of the pointers is set, or none when there is no
 * reply. */
enum note_kind {
    NOTE_REPLY,
    NOTE_LEFT,  /* where the gather's transaction stands in a shard's journal (ITEM_LEAVE that is not silent) */
    NOTE_LOCK,  /* the reply tells of a gather's locks (ITEM_LOCK, ITEM_TRY); place is the shard */
    NOTE_SERVE, /* of a blocked client that was told to go on; place is its stamp */
};
struct message_note {
    struct client *client;
    struct gather *gather;
    uint64_t place; /* in the client's reply queue, or the gather's part */
    uint32_t kind;  /* enum note_kind */
};

struct message_pool {
    struct heap *heap;
    struct reaper *reaper; /* large buffers go back through it */
    struct message *free;
    uint32_t free_count;
};

void message_pool_init(struct message_pool *pool, struct heap *heap, struct reaper *reaper);
void message_pool_deinit(struct message_pool *pool);
void message_pool_drain(struct message_pool *pool); /* frees the spare ones */
struct message *message_new(struct message_pool *pool, uint32_t from, uint32_t to);
void message_release(struct message_pool *pool, struct message *take); /* one use less; recycles at none */
/* Takes the items from the one at offset `at` of the request on, whose number is `served`, into a message of their own
 * from this pool. It goes back to the same home, as that one does. */
struct message *message_split(struct message_pool *pool, struct message *message, size_t at, uint32_t served);
/* What of the message's memory the receiver may free, or make larger, counts for it from now on, and no longer for the
 * sender: so that each heap's count is what its shard really has. To be called around each post. They return how
 * many bytes that is. */
size_t message_leaves(const struct message *message, struct heap *sender);
size_t message_arrives(const struct message *message, struct heap *receiver);
/* News from another shard's pool belong to this one from now on. */
void message_adopt(struct message_pool *pool, struct message *message);

/* An item outside of a message, for a command that stands in line: its size, and the item written to memory of that
 * size. */
size_t message_item_size(const struct slice *argv, uint32_t argc);
struct message_item *message_item_write(void *at, size_t size, const struct slice *argv, uint32_t argc);
size_t message_item_size_exec(const struct exec *x);
struct message_item *message_item_write_exec(void *at, size_t size, const struct exec *x);

/* News whose one argument is written behind the item, straight into message->request: opens it and returns where it
 * stands. The message takes nothing else until it is closed. */
size_t message_news_open(struct message *message, enum item_how how, uint64_t stamp);
void message_news_close(struct message *message, size_t at);
HOT_INLINE struct message_item *message_item_at(struct message *message, size_t at) {
    return (struct message_item *)(void *)(message->request.data + at);
}
void message_news_turn(struct message *message, size_t at, enum item_how how); /* it tells something else after all */

HOT_INLINE void grant_write(struct buf *out, struct grant grant) {
    buf_append(out, &(char){grant.clean ? GRANT_CLEAN : GRANT_DIRTY}, 1);
    if (UNLIKELY(grant.answers)) buf_append(out, &grant.answers, sizeof grant.answers);
}
HOT_INLINE struct grant grant_read(struct slice reply) {
    struct grant grant = {.clean = reply.ptr[0] == GRANT_CLEAN};
    if (UNLIKELY(reply.len > sizeof grant.answers)) memcpy(&grant.answers, reply.ptr + 1, sizeof grant.answers);
    return grant;
}

/* Appends a command. The item is valid until the next is added. */
struct message_item *message_add(struct message *message, struct message_note note, const struct slice *argv,
                                 uint32_t argc);
HOT_INLINE const uint64_t *message_item_hashes(const struct message_item *item) {
    return (const uint64_t *)(const void *)(item + 1);
}
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
/* The same with all that the owner needs to know of the command; only how and stamp are left to be set. */
struct message_item *message_add_exec(struct message *message, struct message_note note, const struct exec *x);
/* The item's arguments as slices into the request; argv has room for item->argc. */
void message_item_argv(const struct message_item *item, struct slice *argv);

/* --- replies: the owner opens one per item, in order, and closes it; home walks them --- */
HOT_INLINE size_t message_reply_open(struct message *message) {
    buf_make_room(&message->reply, sizeof(uint64_t));
    message->reply.len += sizeof(uint64_t);
    return message->reply.len;
}
HOT_INLINE void message_reply_close(struct message *message, size_t mark) {
    uint64_t len = message->reply.len - mark;
    memcpy(message->reply.data + mark - sizeof len, &len, sizeof len);
}
/* At home: takes the memory of a reply that is the last in its message and that nobody else looks at; out is empty.
 * False: it is to be copied. */
NODISCARD bool message_take_reply(struct message *message, struct slice reply, struct buf *out);
/* Instead of a reply: REPLY_LATER. */
HOT_INLINE void message_reply_later(struct message *message, size_t mark) {
    uint64_t len = REPLY_LATER;
    message->reply.len = mark;
    memcpy(message->reply.data + mark - sizeof len, &len, sizeof len);
}
/* Or REPLY_BLOCKED. */
HOT_INLINE void message_reply_blocked(struct message *message, size_t mark, uint64_t timeout_ms) {
    uint64_t len = REPLY_BLOCKED;
    message->reply.len = mark;
    memcpy(message->reply.data + mark - sizeof len, &len, sizeof len);
    buf_append(&message->reply, &timeout_ms, sizeof timeout_ms);
}
/* The reply's length, or what is there instead; with REPLY_BLOCKED reply is the timeout's bytes. */
HOT_INLINE uint64_t message_reply_next(const struct message *message, size_t *at, struct slice *reply) {
    uint64_t len;
    memcpy(&len, message->reply.data + *at, sizeof len);
    *at += sizeof len;
    size_t bytes = LIKELY(len < REPLY_BLOCKED) ? (size_t)len : len == REPLY_BLOCKED ? sizeof(uint64_t) : 0;
    *reply = slice_of(message->reply.data + *at, bytes);
    *at += bytes;
    return len;
}
HOT_INLINE const struct message_note *message_note_at(const struct message *message, uint32_t i) {
    return (const struct message_note *)(const void *)message->notes.data + i;
}
