/* Client: what the server knows of one connection, without its socket.
 *
 * It lives on its home thread's shard, from client_init to client_deinit, embedded in whatever carries the bytes (a
 * connection in net/, a scripted client in tests). Replies are written, in order, to `out`; the carrier sends them.
 * While `rest` holds something no command of the client runs (WAIT_READER, be it after what it waits for already), and
 * replies that come late go behind it (client_fill), so nobody writes to `out` meanwhile.
 *
 * Thread    home only. Other threads name a client by id. */
#pragma once
#include "core/chain.h"
#include "core/resp_parse.h"
#include "shards/homing.h"
#include "shards/reply_queue.h"

struct shard;
struct gather;
struct multi;
struct blocked;
struct subscriber;
struct command_slot;

enum client_flag {
    CLIENT_NO_TOUCH = 1 << 0,
    CLIENT_NO_EVICT = 1 << 1,
    CLIENT_REPLY_OFF = 1 << 2,
    CLIENT_REPLY_SKIP = 1 << 3,        /* the command that runs now is not answered */
    CLIENT_REPLY_SKIP_NEXT = 1 << 4,   /* nor the next */
    CLIENT_CLOSE_AFTER_REPLY = 1 << 5, /* QUIT, protocol errors: no more input is taken */
    CLIENT_CLOSE_NOW = 1 << 6,         /* killed: the carrier drops it at the end of the turn */
    CLIENT_UNIX_SOCKET = 1 << 7,
    CLIENT_AUTHENTICATED = 1 << 8,
    CLIENT_NO_BLOCK = 1 << 10,    /* of a command: it is inside of a transaction and does not wait for keys */
    CLIENT_LOADER = 1 << 11,      /* the server's own, which loads data */
    CLIENT_PUBSUB = 1 << 12,      /* has subscriptions: its output has the limits of the class pubsub */
    CLIENT_PUBSUB_ONLY = 1 << 13, /* and speaks RESP2, where only the commands about them are allowed (CMD_IN_PUBSUB) */
    CLIENT_MONITOR = 1 << 15,     /* is shown all commands; has the limits of the class pubsub, too */
    CLIENT_STEP = 1 << 14,        /* of a command: a step of another one, which writes */
    CLIENT_DIRTY_OUT = 1 << 9,    /* is on the shard's list of clients with something to send */
    CLIENT_MORE = 1 << 17,        /* of a command: a step that takes some of what is there, and more follow unless that
                                   * was all: the keyspace event is the last one's */
    CLIENT_ENDPOINT = 1 << 16,    /* came in at its thread's own port, which it takes for a node of a cluster */
};

#define CLIENT_FLAGS_INSIDE (CLIENT_NO_TOUCH | CLIENT_ENDPOINT) /* those that commands inside of EXEC see */

enum client_wait { /* why its next command may not start */
                   WAIT_NOTHING,
                   WAIT_REPLIES, /* a barrier waits for commands on other shards */
                   WAIT_GATHER,  /* its command over several shards is under way */
                   WAIT_PAUSE,   /* CLIENT PAUSE */
                   WAIT_BRAKE,   /* its write waits until the disk takes more (shards/brake.h) */
                   WAIT_END,     /* SHUTDOWN: for the end of the server, or word that there is none */
                   WAIT_MEMORY,  /* room is being made for its command, or for the reply (shards/admit.h) */
                   WAIT_READER,  /* it does not read its replies, or `rest` is still to be sent */
};

struct client {
    uint32_t magic;
    uint32_t flags; /* enum client_flag */
    uint64_t id;
    struct shard *home;
    struct client *next, *prev; /* the shard's list, in order of arrival */
    uint16_t db;
    uint8_t resp;    /* 2 or 3 */
    uint8_t wait;    /* enum client_wait */
    uint32_t queued; /* commands of this client in the batch being collected; their arguments point into its input */
    uint32_t queued_remote;                   /* of them, those that will leave for other shards */
    uint32_t reply_size;                      /* of its latest reply */
    uint32_t answer_size;                     /* how much an outstanding command may come to: see client_note_answer */
    uint32_t gather_size;                     /* what its next command over several shards may hold; 0: unknown */
    struct gather *gather;                    /* WAIT_GATHER */
    struct blocked *blocked;                  /* waits for keys (shards/blocked.h); else NULL */
    struct multi *multi;                      /* what MULTI keeps and WATCH notes; NULL until one of them is used */
    struct subscriber *subscriber;            /* what it subscribes to; NULL: never did */
    uint64_t ticket;                          /* of its write that is braked, if it has one (shards/brake.h) */
    uint64_t braked_ns;                       /* since when it waits; 0: it does not */
    struct client *braked_next, *braked_prev; /* WAIT_BRAKE */
    bool has_ticket;

    struct buf in; /* input not yet parsed (part of a command, or behind a barrier) */
    struct resp_parser parser;
    size_t need; /* bytes of `in` before parsing it again can help */

    struct buf out;              /* replies in order, waiting for the carrier */
    struct chain rest;           /* of a reply too long for one turn, and messages of channels; comes behind `out`
                                  * (MEM_CLIENT_OUT) */
    struct shared_bytes *lent;   /* what the carrier is sending belongs to these; NULL: to itself */
    struct reply_queue replies;  /* replies that wait for earlier ones */
    size_t carried;              /* of `out` and `rest`: taken by the carrier and not sent yet */
    uint64_t over_soft_since_ms; /* shards/client_limits.h; 0: it is not */
    uint64_t went_on_ms;         /* when the carrier last took output, or sent some */

    struct client *next_dirty;
    struct client *next_waiting; /* WAIT_MEMORY: the next in line */
    uint64_t waits_since_ms;     /* since when its command has waited for memory, with its tries between; 0: never */
    uint64_t waits_number;       /* which command that is, by `commands` */
    uint64_t tried_ms;           /* when it went on to try again */
    const struct command_slot *last_command;
    uint64_t created_ms, active_ms;
    uint64_t commands, bytes_in, bytes_out;
    struct homing homing;            /* on which thread it would be best off */
    char *name, *lib_name, *lib_ver; /* heap strings of MEM_CLIENT_IN with terminator, NULL when unset */
    const char *user;
    const struct client_carrier *carrier; /* NULL: one of the server's own, driven by its maker and on no list */
};

/* What the carrier does for the client. */
struct client_carrier {
    /* "127.0.0.1:6379", written to out with terminator; local is this server's end. */
    void (*address)(const struct client *client, bool local, char *out, size_t out_size);
    int (*descriptor)(const struct client *client); /* CLIENT LIST's fd; -1 when there is none */
};

#define ANSWER_UNKNOWN UINT32_MAX   /* no outstanding command was answered yet: one at a time */
#define ANSWER_FIRST   (64 * 1024u) /* what the first answer leaves to be expected at least */
/* A command that was outstanding got a reply of this size. One that is large is expected again for the next few dozens,
 * so that a mixture of small and large ones has no more outstanding than fits. */
HOT_INLINE void client_note_answer(struct client *client, size_t bytes) {
    uint32_t size = (uint32_t)MIN(bytes, (size_t)UINT32_MAX - 1), before = client->answer_size;
    client->reply_size = size;
    client->answer_size = LIKELY(before != ANSWER_UNKNOWN) ? MAX(size, before - before / 16) : MAX(size, ANSWER_FIRST);
}

void client_init(struct client *client, struct shard *home, const struct client_carrier *carrier, uint64_t id);
void client_deinit(struct client *client); /* leaves the shard; replies still to come are dropped when they arrive */
/* The reply of a command that it waited for (WAIT_GATHER): to the end of its output, and tail, which is emptied, behind it;
 * with that, or when it is large behind a small one, the client waits until all is sent. What is large is not copied. */
void client_append_reply(struct client *client, struct buf *reply, struct chain *tail);
/* May it be given something behind its output in `rest`? Not where commands of it may run before all is sent, nor in the
 * middle of one. */
HOT_INLINE bool client_takes_rest(const struct client *client) {
    return client->wait != WAIT_GATHER && client->wait != WAIT_END;
}
/* It was given something there. Who waits for something else waits for its reader afterwards (client_wait_over). */
HOT_INLINE void client_note_rest(struct client *client) {
    if (client->wait == WAIT_NOTHING) client->wait = WAIT_READER;
}
/* What it waited for is there. */
HOT_INLINE void client_wait_over(struct client *client) {
    client->wait = LIKELY(chain_empty(&client->rest)) ? WAIT_NOTHING : WAIT_READER;
}
/* Its commands are to go on. True: `rest` was so short that all of it is in `out` now. */
COLD bool client_fold_rest(struct client *client);
/* A reply that was outstanding: reply_queue_fill and reply_queue_fill_own to the end of its output. */
void client_fill(struct client *client, uint64_t place, struct slice bytes, struct message *message);
void client_fill_own(struct client *client, uint64_t place, struct buf *take);
HOT_INLINE bool client_has_output(const struct client *client) {
    return buf_readable(&client->out) > 0 || UNLIKELY(!chain_empty(&client->rest));
}
/* Moves what is to be sent next to `sending`, which is empty: all of `out`, or a block of `rest`, whose memory may be
 * shared with others (`lent`). There is something. */
void client_take_output(struct client *client, struct buf *sending);
void client_output_sent(struct client *client, size_t bytes); /* of what was taken */
/* The carrier is done with `sending`, be it that nobody wants it any more. True: it was lent, and is given back. False:
 * its memory is the carrier's to free. */
COLD bool client_give_back_lent(struct client *client, struct buf *sending);
HOT_INLINE bool client_give_back(struct client *client, struct buf *sending) {
    return UNLIKELY(client->lent != NULL) && client_give_back_lent(client, sending);
}
void client_set_text(struct client *client, char **field, struct slice text); /* empty: unset */
/* One line as CLIENT LIST shows it, newline included. */
void client_describe(const struct client *client, struct buf *out);
size_t client_memory(const struct client *client);
/* The same, but of what it shares with others a part only: about what would come free without it. O(blocks). */
size_t client_weight(const struct client *client);
/* The state that RESET and a new connection have in common. */
void client_reset_session(struct client *client);
