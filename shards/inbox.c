/* The inbox: one pass over the mailboxes collects, and the others fetch, for a group at a time. A group has about as
 * many commands as a batch of the shard's own clients, so that what was fetched first is still in the cache when its
 * turn comes; a message that alone has as many is a group of its own. */
#include "shards/inbox.h"
#include "core/assert.h"
#include "shards/mailbox.h"
#include "shards/serve.h"
#include "shards/shard.h"
#include "shards/txn.h"
#include <stdatomic.h>

#define GROUP_ITEMS     128
#define MAILBOX_AT_ONCE 16u /* messages of one sender before the next sender's */

static_assert(sizeof(struct message) <= 4 * CACHE_LINE, "collect fetches all of it");

HOT_INLINE void prefetch_lines(const void *at, unsigned lines) {
    for (unsigned i = 0; i < lines; i++) __builtin_prefetch((const char *)at + i * CACHE_LINE);
}

/* Messages of all senders, in rounds that begin where the last turn stopped, so that busy ones do not starve the
 * others. */
static uint32_t collect(struct shard *shard, struct message **out) {
    uint64_t left = shard->inbox_more;
    uint32_t count = 0;
    for (uint64_t each = left; each; each &= each - 1) mailbox_prefetch(shard->inbox[__builtin_ctzll(each)]);
    while (left && count < INBOX_MESSAGES) {
        uint64_t later = left & ~0ull << shard->inbox_next;
        uint32_t from = (uint32_t)__builtin_ctzll(later ? later : left);
        uint32_t asked = MIN(INBOX_MESSAGES - count, MAILBOX_AT_ONCE);
        uint32_t got = mailbox_drain(shard->inbox[from], out + count, asked);
        shard->stats.queue_depth_max = MAX(shard->stats.queue_depth_max, (uint64_t)got);
        for (uint32_t i = 0; i < got; i++) prefetch_lines(out[count + i], sizeof(struct message) / CACHE_LINE + 1);
        count += got;
        if (got < asked) shard->inbox_more &= ~(1ull << from);
        left &= ~(1ull << from);
        shard->inbox_next = (from + 1) % SHARDS_MAX;
    }
    return count;
}

/* The beginning of what was written in it; the processor goes on by itself where more follows. */
HOT_INLINE void prefetch_contents(const struct message *message) {
    if (message->kind == MESSAGE_REPLIES) {
        prefetch_lines(message->notes.data, 1);
        prefetch_lines(message->reply.data, 2);
    } else {
        prefetch_lines(message->request.data, 2);
    }
}

/* When the last other shard has answered, our own part of a transaction runs. */
static void prefetch_own_parts(const struct message *message, keyspace_prefetch prefetch) {
    for (uint32_t i = 0; i < message->count; i++) {
        const struct message_note *note = message_note_at(message, i);
        if (note->kind == NOTE_LOCK) txn_prefetch(note->gather, (uint32_t)note->place, prefetch);
    }
}

static void prefetch_keys(struct shard *shard, const struct message *message, keyspace_prefetch prefetch) {
    if (message->kind == MESSAGE_COMMANDS)
        serve_prefetch(shard, message, prefetch);
    else if (message->kind == MESSAGE_REPLIES && shard->txns.count > 0) /* else none of the notes is a transaction's */
        prefetch_own_parts(message, prefetch);
}

/* Works off as many of these as are a group, at least one; returns how many. */
static uint32_t receive_group(struct shard *shard, struct message **messages, uint32_t count) {
    uint32_t group = 0, items = 0;
    while (group < count && items < GROUP_ITEMS) {
        prefetch_contents(messages[group]);
        items += messages[group++]->count;
    }
    for (uint32_t i = 0; i < group; i++) prefetch_keys(shard, messages[i], keyspace_prefetch_bucket);
    for (uint32_t i = 0; i < group; i++) prefetch_keys(shard, messages[i], keyspace_prefetch_entry);
    for (uint32_t i = 0; i < group; i++) shard_receive(shard, messages[i]);
    return group;
}

bool inbox_turn(struct shard *shard) {
    /* Relaxed look first, so that an idle word is only read; the exchange pairs with the fetch_or in post_now. */
    if (atomic_load_explicit(shard->pending[shard->id], memory_order_relaxed))
        shard->inbox_more |= atomic_exchange(shard->pending[shard->id], 0);
    struct message *messages[INBOX_MESSAGES];
    uint32_t count = collect(shard, messages);
    for (uint32_t at = 0; at < count;) at += receive_group(shard, messages + at, count - at);
    return shard->inbox_more != 0;
}
