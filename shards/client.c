/* Client: birth, death and description of one. Everything here is rare: the hot path touches the fields directly.
 *
 * The line of CLIENT LIST keeps the fields of Redis 7.0 in their order, since tools cut it by position as often as by
 * name, and ends with 7.2's lib-name and lib-ver. What has no meaning here (argv-mem) says 0. */
#include "shards/client.h"
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/brake.h"
#include "shards/gather.h"
#include "shards/multi.h"
#include "shards/pipeline.h"
#include "shards/reaper.h"
#include "shards/shard.h"

#define CLIENT_MAGIC 0x434c4921u

static void join_list(struct client *client, struct shard *home) {
    client->prev = home->clients_last;
    if (home->clients_last)
        home->clients_last->next = client;
    else
        home->clients_first = client;
    home->clients_last = client;
    home->client_count++;
}

static void leave_list(struct client *client, struct shard *home) {
    if (client->prev)
        client->prev->next = client->next;
    else
        home->clients_first = client->next;
    if (client->next)
        client->next->prev = client->prev;
    else
        home->clients_last = client->prev;
    client->next = client->prev = NULL;
    home->client_count--;
}

/* O(dirty clients), and only for one that goes away with replies unsent. */
static void leave_dirty(struct client *client, struct shard *home) {
    if (!(client->flags & CLIENT_DIRTY_OUT)) return;
    struct client **link = &home->dirty;
    while (*link && *link != client) link = &(*link)->next_dirty;
    if (*link) *link = client->next_dirty;
    client->flags &= ~(uint32_t)CLIENT_DIRTY_OUT;
}

void client_init(struct client *client, struct shard *home, const struct client_carrier *carrier, uint64_t id) {
    ASSERT_ON_SHARD(home);
    *client = (struct client){.magic = CLIENT_MAGIC, .id = id, .home = home, .carrier = carrier};
    client->created_ms = client->active_ms = home->now_ms;
    client->reply_size = 16 * 1024;
    client->answer_size = ANSWER_UNKNOWN;
    buf_init(&client->in, home->heap, MEM_CLIENT_IN);
    buf_init(&client->out, home->heap, MEM_CLIENT_OUT);
    resp_parser_init(&client->parser, home->heap);
    reply_queue_init(&client->replies, home->heap);
    client_reset_session(client);
    if (carrier) join_list(client, home); /* the server's own are nobody's business */
}

void client_deinit(struct client *client) {
    struct shard *home = client->home;
    ASSERT(client->magic == CLIENT_MAGIC);
    ASSERT_ON_SHARD(home);
    ASSERT(client->queued == 0); /* their arguments point into input that goes away now */
    ASSERT(!client->blocked && !client->lent);
    if (client->wait == WAIT_BRAKE) brake_leave(client);
    if (client->gather) gather_client_gone(client->gather);
    client->gather = NULL;
    multi_delete(client);
    pubsub_client_gone(client);
    leave_dirty(client, home);
    admit_forget(client);
    if (client->carrier) leave_list(client, home);
    client_set_text(client, &client->name, (struct slice){0});
    client_set_text(client, &client->lib_name, (struct slice){0});
    client_set_text(client, &client->lib_ver, (struct slice){0});
    reply_queue_deinit(&client->replies);
    resp_parser_reset(&client->parser);
    buf_deinit(&client->in);
    reaper_take_buf(home->shared.reaper, &client->out);
    reaper_take_chain(home->shared.reaper, &client->rest);
    client->magic = 0;
}

void client_append_reply(struct client *client, struct buf *reply, struct chain *tail) {
    struct shard *home = client->home;
    ASSERT(chain_empty(&client->rest));
    if (reply->len >= MESSAGE_MOVES && buf_readable(&client->out) > 0) {
        chain_take_buf(&client->rest, home->heap, MEM_CLIENT_OUT, reply);
    } else if (reply->len >= BUF_POOL_BYTES && buf_readable(&client->out) == 0) {
        buf_pool_give_back(&home->replies, &client->out);
        buf_take(&client->out, reply);
    } else {
        buf_append_slice(&client->out, buf_slice(reply));
    }
    chain_join(&client->rest, tail);
    if (!chain_empty(&client->rest)) client->wait = WAIT_READER;
}

bool client_fold_rest(struct client *client) {
    if (buf_readable(&client->out) + chain_len(&client->rest) >= OUT_PAUSE) return false;
    if (buf_readable(&client->in) == 0) return false; /* it has none that wait */
    chain_flatten(&client->rest, client->home->heap, &client->out);
    return true;
}

/* Where a large reply would be copied it is put behind, as it is. */
HOT_INLINE bool goes_behind(const struct client *client, size_t bytes) {
    if (UNLIKELY(!chain_empty(&client->rest))) return true;
    return UNLIKELY(bytes >= MESSAGE_MOVES) && buf_readable(&client->out) > 0 && client_takes_rest(client);
}

/* Where a reply of so many bytes is to be written: `out`, or behind, which is made empty. */
HOT_INLINE struct buf *end_of_output(struct client *client, size_t bytes, struct buf *behind) {
    if (LIKELY(!goes_behind(client, bytes))) return &client->out;
    buf_init(behind, client->home->heap, MEM_CLIENT_OUT);
    return behind;
}

/* Behind what is there already, though `out` be empty: nothing overtakes. */
static COLD void put_at_end(struct client *client, struct buf *take) {
    if (buf_readable(take) == 0) return; /* it is not its turn yet */
    if (!chain_empty(&client->rest) || client_takes_rest(client)) {
        chain_take_buf(&client->rest, client->home->heap, MEM_CLIENT_OUT, take);
        client_note_rest(client);
    } else {
        buf_append_slice(&client->out, buf_slice(take));
        buf_deinit(take);
    }
}

/* Large replies that were there before those in front of them. */
static COLD void flush_left(struct client *client) {
    for (bool left = true; left;) {
        struct buf next;
        buf_init(&next, client->home->heap, MEM_CLIENT_OUT);
        left = reply_queue_flush(&client->replies, &client->home->messages, &next);
        put_at_end(client, &next);
    }
}

/* It was written to `to`; left: others that are there were not. */
HOT_INLINE void end_fill(struct client *client, struct buf *to, bool left) {
    if (UNLIKELY(to != &client->out)) put_at_end(client, to);
    if (UNLIKELY(left)) flush_left(client);
}

void client_fill(struct client *client, uint64_t place, struct slice bytes, struct message *message) {
    struct buf behind, *to = end_of_output(client, bytes.len, &behind);
    bool left = reply_queue_fill(&client->replies, place, bytes, message, &client->home->messages, to);
    end_fill(client, to, left);
}

void client_fill_own(struct client *client, uint64_t place, struct buf *take) {
    struct buf behind, *to = end_of_output(client, take->len, &behind);
    bool left = reply_queue_fill_own(&client->replies, place, take, &client->home->messages, to);
    end_fill(client, to, left);
}

void client_take_output(struct client *client, struct buf *sending) {
    ASSERT(buf_readable(sending) == 0);
    if (LIKELY(buf_readable(&client->out) > 0)) {
        struct buf empty = *sending;
        *sending = client->out;
        client->out = empty;
    } else {
        buf_pool_give_back(&client->home->replies, sending);
        client->lent = chain_take_first(&client->rest, client->home->heap, sending);
    }
    client->carried = buf_readable(sending);
    client->went_on_ms = client->home->now_ms;
}

bool client_give_back_lent(struct client *client, struct buf *sending) {
    struct shared_bytes *lent = client->lent;
    ASSERT(sending->cap == 0);
    buf_init(sending, sending->heap, sending->owner);
    client->lent = NULL;
    reaper_take_shared(client->home->shared.reaper, lent);
    return true;
}

void client_output_sent(struct client *client, size_t bytes) {
    ASSERT(bytes <= client->carried);
    client->carried -= bytes;
    client->went_on_ms = client->home->now_ms;
    if (client->carried == 0) client->over_soft_since_ms = 0;
    client->bytes_out += bytes;
    client->home->stats.bytes_out += bytes;
}

void client_set_text(struct client *client, char **field, struct slice text) {
    struct heap *heap = client->home->heap;
    if (*field) heap_free(heap, MEM_CLIENT_IN, *field, strlen(*field) + 1);
    *field = NULL;
    if (text.len == 0) return;
    ASSERT(memchr(text.ptr, 0, text.len) == NULL); /* the size to free is found by strlen */
    *field = heap_alloc(heap, MEM_CLIENT_IN, text.len + 1);
    memcpy(*field, text.ptr, text.len);
    (*field)[text.len] = 0;
}

void client_reset_session(struct client *client) {
    pubsub_client_gone(client); /* which counts by the flags */
    uint32_t kept =
        CLIENT_UNIX_SOCKET | CLIENT_DIRTY_OUT | CLIENT_CLOSE_AFTER_REPLY | CLIENT_CLOSE_NOW | CLIENT_ENDPOINT;
    client->flags &= kept;
    if (client->home->config->requirepass[0] == 0) client->flags |= CLIENT_AUTHENTICATED;
    multi_abandon(client);
    client->user = "default";
    client->db = 0;
    client->resp = 2;
    client_set_text(client, &client->name, (struct slice){0});
}

/* --- description --- */

static bool is_waiting(const struct client *client) {
    return client->wait == WAIT_PAUSE || client->wait == WAIT_BRAKE || client->blocked;
}

/* Redis's letters in Redis's order. */
static const char *flag_letters(const struct client *client, char out[16]) {
    size_t n = 0;
    if (client->flags & CLIENT_MONITOR) out[n++] = 'O';
    if (client->flags & CLIENT_PUBSUB) out[n++] = 'P';
    if (is_waiting(client)) out[n++] = 'b';
    if (multi_is_open(client)) out[n++] = 'x';
    if (client->flags & CLIENT_CLOSE_AFTER_REPLY) out[n++] = 'c';
    if (client->flags & CLIENT_CLOSE_NOW) out[n++] = 'A';
    if (client->flags & CLIENT_UNIX_SOCKET) out[n++] = 'U';
    if (client->flags & CLIENT_NO_EVICT) out[n++] = 'e';
    if (client->flags & CLIENT_NO_TOUCH) out[n++] = 'T';
    if (n == 0) out[n++] = 'N';
    out[n] = 0;
    return out;
}

static void address_of(const struct client *client, bool local, char out[128]) {
    out[0] = 0;
    if (client->carrier) client->carrier->address(client, local, out, 128);
}

static const char *text_of(const char *text) {
    return text ? text : "";
}

size_t client_memory(const struct client *client) {
    size_t texts = (client->name ? strlen(client->name) + 1 : 0) +
                   (client->lib_name ? strlen(client->lib_name) + 1 : 0) +
                   (client->lib_ver ? strlen(client->lib_ver) + 1 : 0);
    return sizeof *client + texts + client->in.cap + client->out.cap + chain_len(&client->rest) + client->carried +
           client->replies.held.cap + client->replies.own + client->replies.cap * sizeof(struct reply_place) +
           multi_memory(client) + pubsub_memory(client);
}

size_t client_weight(const struct client *client) {
    size_t lent = client->lent ? client->carried - client->carried / client->lent->uses : 0;
    return client_memory(client) - chain_len(&client->rest) + chain_held(&client->rest) - lent;
}

void client_describe(const struct client *client, struct buf *out) {
    char peer[128], local[128], letters[16], command[64] = "NULL";
    uint64_t now = client->home->now_ms;
    size_t waiting = buf_readable(&client->out) + chain_len(&client->rest) + client->carried;
    address_of(client, false, peer);
    address_of(client, true, local);
    if (client->last_command) command_full_name(client->last_command, command);
    buf_printf(
        out, "id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=%s db=%u sub=%u psub=%u ssub=%u multi=%d",
        (unsigned long long)client->id, peer, local, client->carrier ? client->carrier->descriptor(client) : -1,
        text_of(client->name), (unsigned long long)(now - MIN(now, client->created_ms)) / 1000,
        (unsigned long long)(now - MIN(now, client->active_ms)) / 1000, flag_letters(client, letters), client->db,
        pubsub_count(client, TOPIC_CHANNEL), pubsub_count(client, TOPIC_PATTERN), pubsub_count(client, TOPIC_SHARD),
        multi_is_open(client) ? (int)MIN(multi_count(client), (uint32_t)INT32_MAX) : -1);
    buf_printf(
        out, " qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu rbs=%zu rbp=%zu obl=%zu oll=%u omem=%zu tot-mem=%zu",
        buf_readable(&client->in), client->in.cap - client->in.len, multi_memory(client), client->out.cap,
        client->out.len, waiting, reply_queue_len(&client->replies), client->replies.held.cap, client_memory(client));
    buf_printf(out, " events=%s cmd=%s user=%s redir=-1 resp=%u lib-name=%s lib-ver=%s\n", waiting ? "rw" : "r",
               command, client->user, client->resp, text_of(client->lib_name), text_of(client->lib_ver));
}
