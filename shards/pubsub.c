/* Pub/sub at one shard: the topics of its own clients, and what it knows of the other shards' (shards/pubsub.h says how
 * they agree).
 *
 * What is known of the others' channels is a hash and a set of shards, without the name: 64 bits of a seeded hash.
 * Two names of one hash cost a message that nobody wants, and no more, since each home counts and delivers by name; and
 * a home takes a hash back only when it has no other channel of it. Patterns are known by their text, as they are
 * compared.
 *
 * "wanted" travels before "not wanted any more" and the other way round in the order in which home said so, since both
 * go through the same mailboxes. A topic is held while a SUBSCRIBE waits for the answers, so what one client gives
 * up meanwhile is not taken back under the other's feet.
 *
 * One message to many subscribers must not take many times its memory at once. A large one is kept once per protocol,
 * and each subscriber's output has a use of it (core/shared_bytes.h), which its carrier sends from where it lies. Small
 * ones are copied; where memory would not do otherwise into small blocks that do not grow: clients that do not read fall
 * behind together, and buffers that double would all double with the same message. So one message adds SHARE_SPREAD at
 * the most, or SHARE_LEAST for each subscriber. Between messages publishers are asked to wait (shards/admit.h), and who
 * needs memory when there is none left in spite of that is closed. */
#include "shards/pubsub.h"
#include "core/assert.h"
#include "core/glob.h"
#include "shards/admit.h"
#include "shards/client_limits.h"
#include "shards/command.h"
#include "shards/exec.h"
#include "shards/pipeline.h"
#include "shards/pubsub_priv.h"
#include "shards/reaper.h"
#include "shards/shard.h"

#define KEEP_FRAME (64 * 1024)
#define OUT_MOST   (256 * 1024) /* of messages that are sent together, as one buffer or a block behind it */
#define OUT_SHORT  (32 * 1024)  /* where memory would not do if every subscriber had as much */
/* A payload is shared from here on. A message of its own is a send of its own, too, which small ones are not worth. */
#define SHARE_MIN    (16 * 1024)
#define SHARE_LEAST  (2 * 1024)        /* and from here on where all copies together */
#define SHARE_SPREAD (8 * 1024 * 1024) /* would come to more than this */
#define FORGET_SOME  512               /* subscriptions of clients that are gone, per turn: about 100 us */

void pubsub_init(struct shard *shard) {
    struct pubsub *pubsub = &shard->pubsub;
    for (int kind = 0; kind < TOPIC_KINDS; kind++) topics_init(&pubsub->local[kind], shard->heap);
    topics_init(&pubsub->patterns_elsewhere, shard->heap);
    for (int kind = 0; kind < (int)ARRAY_LEN(pubsub->elsewhere); kind++)
        idmap_init(&pubsub->elsewhere[kind], shard->heap, MEM_PUBSUB);
    buf_init(&pubsub->frame, shard->heap, MEM_PUBSUB);
    buf_init(&pubsub->channel, shard->heap, MEM_PUBSUB);
    buf_init(&pubsub->later, shard->heap, MEM_PUBSUB);
}

/* Other shards may have been told less than all when the server ends, so there may be patterns left. */
static void drop_elsewhere(struct pubsub *pubsub) {
    struct topic *topic;
    while ((topic = pubsub->patterns_elsewhere.first)) topics_let_go(&pubsub->patterns_elsewhere, topic);
    topics_deinit(&pubsub->patterns_elsewhere);
    for (int kind = 0; kind < (int)ARRAY_LEN(pubsub->elsewhere); kind++) idmap_deinit(&pubsub->elsewhere[kind]);
}

/* A SUBSCRIBE whose answers never came has left its topics held. */
static void drop_local(struct topics *topics) {
    struct topic *topic;
    while ((topic = topics->first)) {
        ASSERT(topic->count == 0);
        while (!topics_let_go(topics, topic)) continue;
    }
    topics_deinit(topics);
}

void pubsub_deinit(struct shard *shard) {
    struct pubsub *pubsub = &shard->pubsub;
    while (pubsub_forget_some(shard)) continue;
    for (int kind = 0; kind < TOPIC_KINDS; kind++) drop_local(&pubsub->local[kind]);
    drop_elsewhere(pubsub);
    buf_deinit(&pubsub->frame);
    buf_deinit(&pubsub->channel);
    buf_deinit(&pubsub->later);
}

uint64_t pubsub_hash(const struct shard *shard, struct slice text) {
    uint64_t hash = key_hash(&shard->shared, text);
    return hash ? hash : 1;
}

/* --- what the other shards want --- */

static uint64_t homes_of_hash(const struct pubsub *pubsub, enum topic_kind kind, uint64_t hash) {
    return (uint64_t)(uintptr_t)idmap_get(&pubsub->elsewhere[kind], hash);
}

static uint64_t homes_of_patterns(const struct pubsub *pubsub, struct slice channel) {
    uint64_t homes = 0;
    for (const struct topic *each = pubsub->patterns_elsewhere.first; each; each = each->next)
        if ((each->homes & ~homes) && glob_match(topic_text(each), channel, false)) homes |= each->homes;
    return homes;
}

uint64_t pubsub_homes(const struct shard *shard, enum topic_kind kind, struct slice channel) {
    const struct pubsub *pubsub = &shard->pubsub;
    uint64_t homes = 0;
    if (pubsub->elsewhere[kind].count) homes = homes_of_hash(pubsub, kind, pubsub_hash(shard, channel));
    if (kind == TOPIC_CHANNEL && pubsub->patterns_elsewhere.count) homes |= homes_of_patterns(pubsub, channel);
    return homes;
}

void pubsub_note_hash(struct shard *shard, enum topic_kind kind, uint64_t hash, uint32_t home, bool wanted) {
    struct pubsub *pubsub = &shard->pubsub;
    struct idmap *map = &pubsub->elsewhere[kind];
    uint64_t before = (uint64_t)(uintptr_t)idmap_take(map, hash);
    uint64_t after = wanted ? before | 1ull << home : before & ~(1ull << home);
    if (after) idmap_put(map, hash, (void *)(uintptr_t)after);
    if (topics_have_hash(&pubsub->local[kind], hash)) return;
    pubsub->joint[kind] += (after != 0);
    pubsub->joint[kind] -= (before != 0);
}

void pubsub_note_pattern(struct shard *shard, struct slice text, uint32_t home, bool wanted) {
    struct pubsub *pubsub = &shard->pubsub;
    struct topics *far = &pubsub->patterns_elsewhere;
    uint64_t hash = pubsub_hash(shard, text);
    bool here = topics_find(&pubsub->local[TOPIC_PATTERN], hash, text) != NULL;
    struct topic *topic = topics_hold(far, TOPIC_PATTERN, hash, text);
    uint64_t before = topic->homes;
    topic->homes = wanted ? before | 1ull << home : before & ~(1ull << home);
    if (topic->homes && !before) topic->holds++; /* lives on */
    if (!topic->homes && before) topic->holds--;
    if (!here) {
        pubsub->joint[TOPIC_PATTERN] += (topic->homes != 0);
        pubsub->joint[TOPIC_PATTERN] -= (before != 0);
    }
    topics_let_go(far, topic);
}

/* --- what this home wants --- */

static bool is_elsewhere(const struct shard *shard, const struct topic *topic) {
    const struct pubsub *pubsub = &shard->pubsub;
    if (topic->kind == TOPIC_PATTERN)
        return topics_find(&pubsub->patterns_elsewhere, topic->hash, topic_text(topic)) != NULL;
    return homes_of_hash(pubsub, topic->kind, topic->hash) != 0;
}

/* There is no other of its hash, or the others would know them apart. */
static bool is_alone(const struct shard *shard, const struct topic *topic) {
    const struct topics *topics = &shard->pubsub.local[topic->kind];
    if (topic->kind == TOPIC_PATTERN) return true;
    return idmap_get(&topics->by_hash, topic->hash) == topic && !topic->next_same;
}

/* Is it one of those that only this home wants? Channels of one hash count once, as they do for the others. */
static bool counts(const struct shard *shard, const struct topic *topic) {
    return is_alone(shard, topic) && !is_elsewhere(shard, topic);
}

static struct topic *hold(struct shard *shard, enum topic_kind kind, struct slice text) {
    struct topic *topic = topics_hold(&shard->pubsub.local[kind], kind, pubsub_hash(shard, text), text);
    if (topic->holds == 1 && topic->count == 0 && counts(shard, topic)) shard->pubsub.joint[kind]++;
    return topic;
}

/* One way: the answer is dropped, and nobody waits for it. */
static struct message_item *send_one_way(struct shard *shard, struct message *message, const struct slice *argv,
                                         uint32_t argc) {
    struct message_item *item = message_add(message, (struct message_note){0}, argv, argc);
    item->how = ITEM_UNDER; /* it touches no keys */
    item->number = (uint16_t)command_find(shard->registry, argv[0])->number;
    item->silent = item->part = true;
    return item;
}

static void tell_not_wanted(struct shard *shard, const struct topic *topic) {
    struct topics_head head = {'-', topic->kind, (uint8_t)shard->id};
    struct slice hash = slice_of((const char *)&topic->hash, sizeof topic->hash);
    struct slice argv[3] = {SLICE("sherd.topics"), slice_of((const char *)&head, sizeof head),
                            topic->kind == TOPIC_PATTERN ? topic_text(topic) : hash};
    for (uint32_t i = 0; i < shard->count; i++)
        if (i != shard->id) send_one_way(shard, pipeline_outgoing(shard, i, false), argv, 3);
}

static void let_go(struct shard *shard, struct topic *topic) {
    if (topic->holds == 1 && topic->count == 0) {
        if (counts(shard, topic)) shard->pubsub.joint[topic->kind]--;
        if (is_alone(shard, topic)) tell_not_wanted(shard, topic);
    }
    topics_let_go(&shard->pubsub.local[topic->kind], topic);
}

bool pubsub_prepare(struct shard *shard, enum topic_kind kind, const struct slice *names, uint32_t count,
                    struct buf *ask) {
    for (uint32_t i = 0; i < count; i++) {
        const struct topic *topic = hold(shard, kind, names[i]);
        if (topic->known || shard->count == 1) continue;
        if (kind == TOPIC_PATTERN)
            buf_append(ask, &names[i], sizeof names[i]);
        else
            buf_append(ask, &topic->hash, sizeof topic->hash);
    }
    return ask->len > 0;
}

/* --- clients --- */

void pubsub_settle(struct client *client) {
    bool listens =
        pubsub_count(client, TOPIC_CHANNEL) || pubsub_count(client, TOPIC_SHARD) || pubsub_count(client, TOPIC_PATTERN);
    uint32_t flags = listens ? CLIENT_PUBSUB : 0;
    if (listens && client->resp == 2) flags |= CLIENT_PUBSUB_ONLY;
    if (pubsub_count(client, TOPIC_MONITOR)) flags |= CLIENT_MONITOR;
    client->home->pubsub.clients += (flags & CLIENT_PUBSUB) && !(client->flags & CLIENT_PUBSUB);
    client->home->pubsub.clients -= !(flags & CLIENT_PUBSUB) && client->flags & CLIENT_PUBSUB;
    client->flags = (client->flags & ~(uint32_t)(CLIENT_PUBSUB | CLIENT_PUBSUB_ONLY | CLIENT_MONITOR)) | flags;
}

uint32_t pubsub_count(const struct client *client, enum topic_kind kind) {
    return client->subscriber ? client->subscriber->count[kind] : 0;
}

size_t pubsub_memory(const struct client *client) {
    const struct subscriber *who = client->subscriber;
    if (!who) return 0;
    return sizeof *who + subscriber_total(who) * sizeof(struct subscription) +
           (who->index.cap + who->fresh.cap) * sizeof(struct idmap_slot);
}

static struct subscriber *subscriber_of(struct client *client) {
    if (!client->subscriber) {
        client->subscriber = heap_alloc(client->home->heap, MEM_PUBSUB, sizeof *client->subscriber);
        subscriber_init(client->subscriber, client->home->heap, client);
    }
    return client->subscriber;
}

/* One acknowledgement: the verb, the name or null, and how many subscriptions there are now. Those of shard channels
 * are counted by themselves. */
static void acknowledge(const struct client *client, enum topic_kind kind, bool on, const struct slice *name,
                        struct buf *acks) {
    static const char *const verbs[TOPIC_KINDS][2] = {[TOPIC_CHANNEL] = {"unsubscribe", "subscribe"},
                                                      [TOPIC_SHARD] = {"sunsubscribe", "ssubscribe"},
                                                      [TOPIC_PATTERN] = {"punsubscribe", "psubscribe"}};
    if (kind == TOPIC_MONITOR) {
        resp_simple(acks, SLICE("OK"));
        return;
    }
    uint32_t count = kind == TOPIC_SHARD ? pubsub_count(client, TOPIC_SHARD)
                                         : pubsub_count(client, TOPIC_CHANNEL) + pubsub_count(client, TOPIC_PATTERN);
    resp_push(acks, client->resp, 3);
    resp_bulk(acks, slice_of_cstr(verbs[kind][on]));
    if (name)
        resp_bulk(acks, *name);
    else
        resp_null(acks, client->resp);
    resp_int(acks, count);
}

static void subscribe(struct subscriber *who, struct topic *topic, bool hides) {
    if (subscriber_find(who, topic)) return;
    subscriber_add(who, topic);
    if (hides) subscriber_hide(who, topic);
}

static void subscribe_each(struct shard *shard, struct client *client, enum topic_kind kind, const struct slice *names,
                           uint32_t count, bool hides, struct buf *acks) {
    for (uint32_t i = 0; i < count; i++) {
        struct topic *topic = topics_find(&shard->pubsub.local[kind], pubsub_hash(shard, names[i]), names[i]);
        ASSERT(topic && topic->holds > 0);
        topic->known = true;
        if (client) {
            subscribe(subscriber_of(client), topic, hides);
            acknowledge(client, kind, true, &names[i], acks);
        }
        let_go(shard, topic);
    }
}

void pubsub_subscribe(struct shard *shard, struct client *client, enum topic_kind kind, const struct slice *names,
                      uint32_t count, struct buf *acks) {
    subscribe_each(shard, client, kind, names, count, false, acks);
    if (client) pubsub_settle(client);
}

void pubsub_subscribe_some(struct shard *shard, struct client *client, enum topic_kind kind, const struct slice *names,
                           uint32_t count, struct buf *acks) {
    subscribe_each(shard, client, kind, names, count, true, acks);
}

void pubsub_subscribed_all(struct client *client) {
    subscriber_show(subscriber_of(client));
    pubsub_settle(client);
}

/* The topic stays held. */
static struct topic *take_off(struct subscription *gone) {
    struct topic *topic = gone->topic;
    topic->holds++;
    subscriber_remove(gone);
    return topic;
}

bool pubsub_unsubscribe_any(struct client *client, enum topic_kind kind, uint32_t max, struct buf *acks) {
    if (pubsub_count(client, kind) == 0) acknowledge(client, kind, false, NULL, acks);
    for (; max > 0 && pubsub_count(client, kind); max--) {
        struct topic *topic = take_off(client->subscriber->first[kind]);
        struct slice name = topic_text(topic);
        acknowledge(client, kind, false, &name, acks);
        let_go(client->home, topic);
    }
    pubsub_settle(client);
    return pubsub_count(client, kind) > 0;
}

void pubsub_unsubscribe(struct client *client, enum topic_kind kind, const struct slice *names, uint32_t count,
                        struct buf *acks) {
    struct shard *shard = client->home;
    struct subscriber *who = client->subscriber;
    for (uint32_t i = 0; i < count; i++) {
        const struct topic *topic = topics_find(&shard->pubsub.local[kind], pubsub_hash(shard, names[i]), names[i]);
        struct subscription *gone = who && topic ? subscriber_find(who, topic) : NULL;
        if (gone) let_go(shard, take_off(gone));
        acknowledge(client, kind, false, &names[i], acks);
    }
    pubsub_settle(client);
}

/* --- going away --- */

bool pubsub_forget_some(struct shard *shard) {
    struct subscriber *who = shard->pubsub.gone;
    if (LIKELY(!who)) return false;
    for (unsigned budget = FORGET_SOME; budget; budget--) {
        struct subscription *each = NULL;
        for (int kind = 0; kind < TOPIC_KINDS && !each; kind++) each = who->first[kind];
        if (!each) {
            shard->pubsub.gone = who->next_gone;
            subscriber_deinit(who);
            heap_free(shard->heap, MEM_PUBSUB, who, sizeof *who);
            break;
        }
        let_go(shard, take_off(each));
    }
    return shard->pubsub.gone != NULL;
}

void pubsub_client_gone(struct client *client) {
    struct shard *shard = client->home;
    struct pubsub *pubsub = &shard->pubsub;
    if (pubsub->running == client) pubsub->running = NULL;
    if (UNLIKELY(pubsub->later_for == client)) {
        pubsub->later_for = NULL;
        pubsub->later.len = 0;
    }
    struct subscriber *who = client->subscriber;
    if (LIKELY(!who)) return;
    who->client = NULL;
    who->next_gone = pubsub->gone;
    pubsub->gone = who;
    client->subscriber = NULL;
    pubsub_settle(client);
    (void)pubsub_forget_some(shard); /* all of it, usually */
}

/* --- messages --- */

/* Nothing of it is written in the middle of its command, and no command before the message. */
static bool takes_rest(const struct shard *shard, const struct client *client) {
    return client_takes_rest(client) && client != shard->pubsub.running;
}

/* It needs more memory. Is there some? Else it is closed. */
static COLD bool finds_room(struct client *client, size_t bytes) {
    if (!client->carrier || admit_message(client->home, bytes)) return true;
    atomic_fetch_add_explicit(&client->home->account.place->dropped, 1, memory_order_relaxed);
    client_close_for(client,
                     "%zu bytes of output wait for it, and there is no memory left for the next message (maxmemory)",
                     client_output_bytes(client));
    return false;
}

/* Those that do not read fall behind together. */
static size_t out_most(const struct shard *shard) {
    uint64_t all = (uint64_t)shard->pubsub.clients * shard->count * OUT_MOST;
    return !shard->account.shared || account_has_room(shard, all) ? OUT_MOST : OUT_SHORT;
}

/* Its buffer is full, or it has none: gets one on loan, or more memory, or a block. False: it was closed. */
static NOINLINE bool push_to_more(struct shard *shard, struct client *client, struct slice bytes) {
    size_t most = out_most(shard);
    bool in_out = chain_empty(&client->rest) && (client->out.len + bytes.len <= most || !takes_rest(shard, client));
    if (in_out && client->out.cap == 0) buf_pool_lend(&shard->replies, &client->out);
    bool fits = in_out ? client->out.cap - client->out.len >= bytes.len : chain_has_room(&client->rest, bytes.len);
    if (!fits && !finds_room(client, bytes.len)) return false;
    if (in_out) {
        buf_append_slice(&client->out, bytes);
        return true;
    }
    client_note_rest(client);
    buf_append_slice(chain_tail_sized(&client->rest, shard->heap, MEM_CLIENT_OUT, bytes.len, most), bytes);
    return true;
}

static bool takes_messages(const struct client *client) {
    return client && !(client->flags & (CLIENT_CLOSE_NOW | CLIENT_CLOSE_AFTER_REPLY));
}

/* Something was added to its output: does it still read? Else it is closed, and gets no more. */
static void note_added(struct shard *shard, struct client *client) {
    if (!(client->flags & CLIENT_DIRTY_OUT)) shard_mark_dirty(shard, client);
    (void)client_output_allowed(client);
}

/* Behind all complete replies: those that are written directly are, and one that is still being sent in blocks ends in
 * the last of them. */
HOT_INLINE void push(struct shard *shard, struct client *client, struct slice bytes) {
    if (LIKELY(chain_empty(&client->rest) && client->out.cap - client->out.len >= bytes.len))
        buf_append_slice(&client->out, bytes);
    else if (!push_to_more(shard, client, bytes))
        return;
    note_added(shard, client);
}

void pubsub_flush_later(struct shard *shard) {
    struct pubsub *pubsub = &shard->pubsub;
    struct client *client = pubsub->later_for;
    if (!client) return;
    pubsub->later_for = NULL;
    if (takes_messages(client)) push(shard, client, buf_slice(&pubsub->later));
    buf_reset(&pubsub->later, KEEP_FRAME);
}

void pubsub_push_later(struct shard *shard, struct client *client, struct slice bytes) {
    struct pubsub *pubsub = &shard->pubsub;
    if (pubsub->later_for != client) pubsub_flush_later(shard);
    pubsub->later_for = client;
    buf_append_slice(&pubsub->later, bytes);
    (void)client_output_allowed_with(client, pubsub->later.len); /* one command may tell a million things */
}

/* running: one that has a command running and may not be written to in the middle of it; NULL: none. */
static void push_to(struct shard *shard, struct client *client, struct slice bytes, const struct client *running) {
    if (UNLIKELY(client == running))
        pubsub_push_later(shard, client, bytes);
    else
        push(shard, client, bytes);
}

static bool gets(const struct subscription *each) {
    return takes_messages(each->who->client) && !subscription_is_hidden(each);
}

/* To each subscriber of the topic the frame, which is the same for all but for its first byte. */
static uint32_t send_frame(struct shard *shard, const struct topic *topic, struct client *running) {
    struct buf *frame = &shard->pubsub.frame;
    uint32_t sent = 0;
    for (const struct subscription *each = topic->first; each; each = each->next_in_topic) {
        struct client *client = each->who->client;
        if (!gets(each)) continue;
        frame->data[0] = client->resp == 3 ? '>' : '*';
        push_to(shard, client, buf_slice(frame), running);
        sent++;
    }
    return sent;
}

/* The frame whose beginning is in pubsub.frame. */
static struct shared_bytes *share_frame(struct shard *shard, struct slice payload, int resp) {
    struct slice head = buf_slice(&shard->pubsub.frame);
    struct shared_bytes *shared = shared_bytes_new(shard->heap, MEM_CLIENT_OUT, head.len + payload.len + 2);
    memcpy(shared->data, head.ptr, head.len);
    memcpy(shared->data + head.len, payload.ptr, payload.len);
    memcpy(shared->data + head.len + payload.len, "\r\n", 2);
    shared->data[0] = resp == 3 ? '>' : '*';
    return shared;
}

static void push_shared(struct shard *shard, struct client *client, struct shared_bytes *shared,
                        const struct client *running) {
    if (UNLIKELY(client == running || !takes_rest(shard, client))) {
        push_to(shard, client, slice_of(shared->data, shared->len), running);
        return;
    }
    chain_add_shared(&client->rest, shard->heap, shared);
    client_note_rest(client);
    note_added(shard, client);
}

/* The same for a large payload, of which there is one copy for each of the protocols that somebody speaks. */
static uint32_t send_shared(struct shard *shard, const struct topic *topic, struct slice payload,
                            struct client *running) {
    struct shared_bytes *frames[2] = {NULL, NULL};
    uint32_t sent = 0;
    for (const struct subscription *each = topic->first; each; each = each->next_in_topic) {
        struct client *client = each->who->client;
        if (!gets(each)) continue;
        struct shared_bytes **frame = &frames[client->resp == 3];
        if (!*frame) *frame = share_frame(shard, payload, client->resp);
        push_shared(shard, client, *frame, running);
        sent++;
    }
    for (int i = 0; i < 2; i++)
        if (frames[i]) reaper_take_shared(shard->shared.reaper, frames[i]);
    return sent;
}

static bool is_worth_sharing(size_t bytes, uint32_t copies) {
    return bytes >= SHARE_MIN || (bytes >= SHARE_LEAST && (uint64_t)bytes * copies >= SHARE_SPREAD);
}

/* To all subscribers of the topic. */
static uint32_t send_message(struct shard *shard, const char *what, const struct topic *topic, struct slice channel,
                             struct slice payload, struct client *running) {
    struct buf *frame = &shard->pubsub.frame;
    bool pattern = topic->kind == TOPIC_PATTERN;
    buf_reset(frame, KEEP_FRAME);
    resp_array(frame, pattern ? 4 : 3);
    resp_bulk(frame, slice_of_cstr(what));
    if (pattern) resp_bulk(frame, topic_text(topic));
    resp_bulk(frame, channel);
    if (UNLIKELY(is_worth_sharing(payload.len, topic->count))) {
        char head[RESP_HEADER_MAX];
        buf_append(frame, head, resp_header(head, '$', (int64_t)payload.len));
        return send_shared(shard, topic, payload, running);
    }
    resp_bulk(frame, payload);
    return send_frame(shard, topic, running);
}

uint32_t pubsub_deliver(struct shard *shard, enum topic_kind kind, struct slice channel, struct slice payload,
                        struct client *running) {
    const struct pubsub *pubsub = &shard->pubsub;
    uint32_t sent = 0;
    if (pubsub->local[kind].count) {
        const struct topic *topic = topics_find(&pubsub->local[kind], pubsub_hash(shard, channel), channel);
        if (topic && topic->count)
            sent += send_message(shard, kind == TOPIC_SHARD ? "smessage" : "message", topic, channel, payload, running);
    }
    if (kind == TOPIC_SHARD) return sent;
    for (const struct topic *each = pubsub->local[TOPIC_PATTERN].first; each; each = each->next) {
        if (!each->count || !glob_match(topic_text(each), channel, false)) continue;
        sent += send_message(shard, "pmessage", each, channel, payload, running);
    }
    return sent;
}

void pubsub_deliver_line(struct shard *shard, struct slice line) {
    const struct topic *topic =
        topics_find(&shard->pubsub.local[TOPIC_MONITOR], pubsub_hash(shard, MONITOR_TOPIC), MONITOR_TOPIC);
    for (const struct subscription *each = topic ? topic->first : NULL; each; each = each->next_in_topic) {
        struct client *client = each->who->client;
        if (takes_messages(client) && !(client->flags & CLIENT_REPLY_OFF))
            push_to(shard, client, line, shard->pubsub.running);
    }
}

/* --- events --- */

void pubsub_send(struct shard *shard, uint32_t home, enum topic_kind kind, struct slice channel, struct slice payload) {
    struct pubsub *pubsub = &shard->pubsub;
    if (UNLIKELY(pubsub->behind[home] >= NOTIFY_BEHIND_MAX)) {
        pubsub->events_dropped++;
        return;
    }
    struct slice argv[4] = {SLICE("sherd.deliver"), slice_of(&(char){(char)kind}, 1), channel, payload};
    struct message *message = pipeline_outgoing(shard, home, false);
    uint32_t size = send_one_way(shard, message, argv, 4)->size;
    message->event_bytes += size;
    pubsub->behind[home] += size;
}

void pubsub_arrived(struct shard *shard, const struct message *message) {
    uint64_t *behind = &shard->pubsub.behind[message->to];
    ASSERT(*behind >= message->event_bytes);
    *behind -= message->event_bytes;
}

/* --- invariants --- */

void pubsub_check(const struct shard *shard) {
    const struct pubsub *pubsub = &shard->pubsub;
    for (int kind = 0; kind < TOPIC_KINDS; kind++) topics_check(&pubsub->local[kind]);
    topics_check(&pubsub->patterns_elsewhere);
    for (int kind = 0; kind < (int)ARRAY_LEN(pubsub->elsewhere); kind++) {
        const struct idmap *map = &pubsub->elsewhere[kind];
        idmap_check(map);
        uint32_t joint = pubsub->local[kind].by_hash.count;
        for (uint32_t i = 0; i < map->cap; i++)
            joint += map->slots[i].id && !topics_have_hash(&pubsub->local[kind], map->slots[i].id);
        ASSERT(joint == pubsub->joint[kind]);
    }
    uint32_t patterns = pubsub->local[TOPIC_PATTERN].count;
    for (const struct topic *each = pubsub->patterns_elsewhere.first; each; each = each->next) {
        ASSERT(each->homes && !(each->homes & 1ull << shard->id));
        patterns += !topics_find(&pubsub->local[TOPIC_PATTERN], each->hash, topic_text(each));
    }
    ASSERT(patterns == pubsub->joint[TOPIC_PATTERN]);
    for (const struct client *client = shard->clients_first; client; client = client->next)
        if (client->subscriber) subscriber_check(client->subscriber);
}
