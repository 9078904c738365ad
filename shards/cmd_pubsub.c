/* Pub/sub commands. What they do is in shards/pubsub.h; here is how they travel.
 *
 * SUBSCRIBE runs at home. Where there are other shards it is a gather: "sherd.topics" tells them what is wanted, and
 * when all have answered the client is put on the list and gets its acknowledgements. These are messages like those
 * that follow them and not replies, so they come even when CLIENT REPLY is off. Very many names are done some at a
 * time, in steps of a gather; all acknowledgements come at the end, and messages behind them. UNSUBSCRIBE likewise:
 * what was published to a channel before its turn came still arrives, before the acknowledgements.
 *
 * PUBLISH runs at home when only its own clients want the message. Else it is a gather whose reply has a place:
 * "sherd.deliver" to each shard that wants it. It starts when all earlier commands of its client are done, so that
 * whoever is told sees what they have done; but one PUBLISH does not wait for another, as they arrive in their order
 * anyway. */
#include "core/assert.h"
#include "core/glob.h"
#include "shards/cmd_tables.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/multi.h"
#include "shards/pubsub_priv.h"
#include "shards/route.h"
#include "shards/shard.h"

#define AT_ONCE 2048u /* names: two milliseconds */
#define PIECE   1024u /* and those of a step */

/* --- SUBSCRIBE and its like --- */

static void cmd_internal_topics(struct exec *x) {
    struct topics_head head;
    ASSERT(x->argv[1].len == sizeof head);
    memcpy(&head, x->argv[1].ptr, sizeof head);
    bool wanted = head.sign == '+';
    if (head.kind == TOPIC_PATTERN) {
        for (uint32_t i = 2; i < x->argc; i++) pubsub_note_pattern(x->shard, x->argv[i], head.home, wanted);
    } else {
        for (size_t at = 0; at < x->argv[2].len; at += sizeof(uint64_t)) {
            uint64_t hash;
            memcpy(&hash, x->argv[2].ptr + at, sizeof hash);
            pubsub_note_hash(x->shard, (enum topic_kind)head.kind, hash, head.home, wanted);
        }
    }
    reply_ok(x);
}

/* Acknowledgements to a client that wants no replies go the way of messages. */
static void push_acks(struct client *client, struct buf *acks) {
    pubsub_push_later(client->home, client, buf_slice(acks));
    buf_deinit(acks);
}

static void ask_others(struct gather *g, enum topic_kind kind, const struct buf *ask) {
    struct topics_head head = {'+', (uint8_t)kind, (uint8_t)g->home->id};
    struct slice hashes[2] = {slice_of((const char *)&head, sizeof head), buf_slice(ask)};
    uint32_t patterns = (uint32_t)(ask->len / sizeof(struct slice)), count = kind == TOPIC_PATTERN ? patterns + 1 : 2;
    struct slice *args = hashes;
    if (kind == TOPIC_PATTERN) {
        args = heap_alloc(g->home->heap, MEM_MESSAGE, count * sizeof *args);
        args[0] = hashes[0];
        memcpy(args + 1, ask->data, patterns * sizeof *args);
    }
    for (uint32_t i = 0; i < gather_shards(g); i++)
        if (i != g->home->id) gather_send(g, i, "sherd.topics", args, count);
    if (args != hashes) heap_free(g->home->heap, MEM_MESSAGE, args, count * sizeof *args);
}

bool pubsub_tell_others(struct gather *g, enum topic_kind kind, const struct slice *names, uint32_t count) {
    struct buf ask;
    buf_init(&ask, g->home->heap, MEM_MESSAGE);
    bool tell = pubsub_prepare(g->home, kind, names, count, &ask);
    if (tell) ask_others(g, kind, &ask);
    buf_deinit(&ask);
    return tell;
}

/* Of very many names each step does some; in EXEC all, at one instant. */
enum { MEMO_DONE, MEMO_ASKED }; /* words of gather->memo: names that are subscribed to; that all who have to know do */

static struct client *client_of(const struct gather *g) {
    return g->parent ? g->parent->client : g->client;
}

static uint32_t end_of_piece(const struct gather *g, uint32_t from) {
    uint32_t left = g->argc - 1 - from;
    return from + (g->parent ? left : MIN(left, PIECE));
}

/* The acknowledgements are all there, as the reply, or as messages to a client that wants no replies. */
static void acknowledge_all(struct gather *g) {
    struct client *client = client_of(g);
    if (!client || g->parent || !(g->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP))) return;
    pubsub_push_later(g->home, client, buf_slice(gather_out(g)));
    gather_out(g)->len = 0;
    pubsub_flush_later(g->home);
}

/* The names up to memo[MEMO_ASKED]. */
static void subscribe_asked(struct gather *g, enum topic_kind kind) {
    uint32_t done = (uint32_t)g->memo[MEMO_DONE], count = (uint32_t)g->memo[MEMO_ASKED] - done;
    g->memo[MEMO_DONE] += count;
    if (count == g->argc - 1)
        pubsub_subscribe(g->home, client_of(g), kind, g->argv + 1, count, gather_out(g));
    else
        pubsub_subscribe_some(g->home, client_of(g), kind, g->argv + 1 + done, count, gather_out(g));
}

/* True: others are being told of the next names, or a turn is to pass. */
static bool ask_more(struct gather *g, enum topic_kind kind) {
    uint32_t done = (uint32_t)g->memo[MEMO_DONE], asked = end_of_piece(g, done);
    g->memo[MEMO_ASKED] = asked;
    if (asked == done) return false;
    bool told = pubsub_tell_others(g, kind, g->argv + 1 + done, asked - done);
    if (told || asked == g->argc - 1) return told;
    gather_let_turn_pass(g);
    return true;
}

static void subscribe_step(struct gather *g, enum topic_kind kind) {
    if (g->step > 0) subscribe_asked(g, kind);
    if (ask_more(g, kind)) return;
    if (g->memo[MEMO_DONE] < g->memo[MEMO_ASKED]) subscribe_asked(g, kind);
    if (client_of(g)) pubsub_subscribed_all(client_of(g));
    acknowledge_all(g);
}

static void subscribe_across(struct gather *g) {
    subscribe_step(g, TOPIC_CHANNEL);
}

static void ssubscribe_across(struct gather *g) {
    subscribe_step(g, TOPIC_SHARD);
}

static void psubscribe_across(struct gather *g) {
    subscribe_step(g, TOPIC_PATTERN);
}

void pubsub_route_subscribe(const struct shard *shard, const struct client *client, struct queued *q) {
    (void)client;
    if (shard->count > 1 || q->argc > AT_ONCE) q->fate = FATE_ALL;
}

/* How many subscriptions there are is not known before the batch has run. */
static void route_unsubscribe(const struct shard *shard, const struct client *client, struct queued *q) {
    (void)shard, (void)client;
    if (q->argc == 1 || q->argc > AT_ONCE) q->fate = FATE_ALL;
}

static void unsubscribe_step(struct gather *g, enum topic_kind kind) {
    struct client *client = client_of(g);
    bool more = false;
    if (client && g->argc == 1) {
        more = pubsub_unsubscribe_any(client, kind, g->parent ? UINT32_MAX : PIECE, gather_out(g));
    } else if (client) {
        uint32_t done = (uint32_t)g->memo[MEMO_DONE], end = end_of_piece(g, done);
        pubsub_unsubscribe(client, kind, g->argv + 1 + done, end - done, gather_out(g));
        g->memo[MEMO_DONE] = end;
        more = end < g->argc - 1;
    }
    if (more)
        gather_let_turn_pass(g);
    else
        acknowledge_all(g);
}

static void unsubscribe_across(struct gather *g) {
    unsubscribe_step(g, TOPIC_CHANNEL);
}

static void sunsubscribe_across(struct gather *g) {
    unsubscribe_step(g, TOPIC_SHARD);
}

static void punsubscribe_across(struct gather *g) {
    unsubscribe_step(g, TOPIC_PATTERN);
}

static bool is_silent(const struct exec *x) {
    return x->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP) && !(x->flags & CLIENT_NO_BLOCK);
}

/* One shard: nobody else has to know. */
static void subscribe_here(struct exec *x, enum topic_kind kind) {
    struct buf apart;
    buf_init(&apart, x->shard->heap, MEM_CLIENT_OUT);
    bool tell = pubsub_prepare(x->shard, kind, x->argv + 1, x->argc - 1, &apart);
    ASSERT(!tell);
    pubsub_subscribe(x->shard, x->client, kind, x->argv + 1, x->argc - 1, is_silent(x) ? &apart : x->out);
    if (is_silent(x)) push_acks(x->client, &apart);
}

static void cmd_subscribe(struct exec *x) {
    subscribe_here(x, TOPIC_CHANNEL);
}

static void cmd_ssubscribe(struct exec *x) {
    subscribe_here(x, TOPIC_SHARD);
}

static void cmd_psubscribe(struct exec *x) {
    subscribe_here(x, TOPIC_PATTERN);
}

static void unsubscribe_here(struct exec *x, enum topic_kind kind) {
    struct buf apart;
    buf_init(&apart, x->shard->heap, MEM_CLIENT_OUT);
    pubsub_unsubscribe(x->client, kind, x->argv + 1, x->argc - 1, is_silent(x) ? &apart : x->out);
    if (is_silent(x)) push_acks(x->client, &apart);
}

static void cmd_unsubscribe(struct exec *x) {
    unsubscribe_here(x, TOPIC_CHANNEL);
}

static void cmd_sunsubscribe(struct exec *x) {
    unsubscribe_here(x, TOPIC_SHARD);
}

static void cmd_punsubscribe(struct exec *x) {
    unsubscribe_here(x, TOPIC_PATTERN);
}

/* --- PUBLISH --- */

/* Only other PUBLISHes are under way, and nothing in the batch leaves before it. */
static bool follows_publishes(const struct client *client) {
    return client->replies.publishes_only && !reply_queue_empty(&client->replies) && client->queued_remote == 0;
}

static void route_kind(const struct shard *shard, const struct client *client, struct queued *q, enum topic_kind kind) {
    q->fate = FATE_LOCAL;
    q->leaves = false;
    q->barrier = !follows_publishes(client);
    if (shard->count == 1) return;
    if (multi_is_open_ahead(client)) {
        q->fate = FATE_ALL; /* who wants it is asked when EXEC comes */
    } else if (pubsub_homes(shard, kind, q->argv[1])) {
        q->fate = FATE_SPLIT;
        q->leaves = true;
    }
}

static void route_publish(const struct shard *shard, const struct client *client, struct queued *q) {
    route_kind(shard, client, q, TOPIC_CHANNEL);
}

static void route_spublish(const struct shard *shard, const struct client *client, struct queued *q) {
    route_kind(shard, client, q, TOPIC_SHARD);
}

/* It is run where it came in. */
static uint32_t here(const struct exec *x) {
    return x->shard->id;
}

/* What a client publishes to itself comes before the reply, but neither in the middle of EXEC's nor where replies are
 * dropped. */
static void publish_here(struct exec *x, enum topic_kind kind) {
    bool apart = x->flags & (CLIENT_NO_BLOCK | CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
    reply_int(x, pubsub_deliver(x->shard, kind, x->argv[1], x->argv[2], apart ? x->client : NULL));
}

static void cmd_publish(struct exec *x) {
    publish_here(x, TOPIC_CHANNEL);
}

static void cmd_spublish(struct exec *x) {
    publish_here(x, TOPIC_SHARD);
}

static void cmd_internal_deliver(struct exec *x) {
    enum topic_kind kind = (enum topic_kind)x->argv[1].ptr[0];
    if (kind == TOPIC_MONITOR)
        pubsub_deliver_line(x->shard, x->argv[3]);
    else
        reply_int(x, pubsub_deliver(x->shard, kind, x->argv[2], x->argv[3], NULL));
}

/* This shard first. memo counts who was reached here. */
static void deliver_all(struct gather *g, enum topic_kind kind, struct slice channel, struct slice payload) {
    g->memo[0] = pubsub_deliver(g->home, kind, channel, payload, NULL);
    struct slice args[3] = {slice_of(&(char){(char)kind}, 1), channel, payload};
    for (uint64_t left = pubsub_homes(g->home, kind, channel); left; left &= left - 1)
        gather_send(g, (uint32_t)__builtin_ctzll(left), "sherd.deliver", args, 3);
}

static void sum_receivers(struct gather *g) {
    int64_t sum = (int64_t)g->memo[0], part;
    for (uint32_t i = 0; i < g->parts; i++)
        if (gather_reply_int(gather_reply(g, i), &part)) sum += part;
    resp_int(gather_out(g), sum);
}

static void split(struct exec *x, enum topic_kind kind) {
    struct client *client = x->client;
    bool only = client->replies.publishes_only || reply_queue_empty(&client->replies);
    struct gather *g = gather_new_placed(x, sum_receivers, x->shard->count, 0);
    client->replies.publishes_only = only;
    if (x->argv[2].len > PUBLISH_FLOW_BYTES && client->wait == WAIT_NOTHING) client->wait = WAIT_REPLIES;
    deliver_all(g, kind, x->argv[1], x->argv[2]);
    gather_go_on(g);
}

static void split_publish(struct exec *x) {
    split(x, TOPIC_CHANNEL);
}

static void split_spublish(struct exec *x) {
    split(x, TOPIC_SHARD);
}

static void publish_across(struct gather *g) {
    if (g->step == 0) deliver_all(g, TOPIC_CHANNEL, g->argv[1], g->argv[2]);
    if (g->step > 0 || g->sent == 0) sum_receivers(g);
}

static void spublish_across(struct gather *g) {
    if (g->step == 0) deliver_all(g, TOPIC_SHARD, g->argv[1], g->argv[2]);
    if (g->step > 0 || g->sent == 0) sum_receivers(g);
}

/* --- PUBSUB --- */

static void names(struct exec *x, enum topic_kind kind) {
    if (x->argc > 3) {
        reply_errorf(x, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try PUBSUB HELP.",
                     (int)MIN(x->argv[1].len, (size_t)128), x->argv[1].ptr);
        return;
    }
    size_t mark = resp_array_open(x->out);
    uint64_t count = 0;
    for (const struct topic *each = x->shard->pubsub.local[kind].first; each; each = each->next) {
        if (!each->count || (x->argc == 3 && !glob_match(x->argv[2], topic_text(each), false))) continue;
        reply_bulk(x, topic_text(each));
        count++;
    }
    resp_array_close(x->out, mark, count);
}

static void cmd_channels(struct exec *x) {
    names(x, TOPIC_CHANNEL);
}

static void cmd_shardchannels(struct exec *x) {
    names(x, TOPIC_SHARD);
}

static bool forward_error(struct gather *g) {
    if (!gather_reply_is_error(gather_reply(g, 0))) return false;
    buf_append_slice(gather_out(g), gather_reply(g, 0));
    return true;
}

/* A channel may have subscribers on several shards; it is named once. Seen ones are known by their hash. */
static void merge_names(struct gather *g) {
    if (forward_error(g)) return;
    struct idmap seen;
    idmap_init(&seen, g->home->heap, MEM_MESSAGE);
    struct buf *out = gather_out(g);
    size_t mark = resp_array_open(out);
    for (uint32_t i = 0; i < g->parts; i++) {
        struct slice rest;
        int64_t count = gather_reply_array(gather_reply(g, i), &rest);
        for (; count > 0; count--) {
            struct slice name = gather_next_element(&rest);
            uint64_t hash = pubsub_hash(g->home, name);
            if (idmap_get(&seen, hash)) continue;
            idmap_put(&seen, hash, g);
            buf_append_slice(out, name);
        }
    }
    resp_array_close(out, mark, seen.count);
    idmap_deinit(&seen);
}

static void counts(struct exec *x, enum topic_kind kind) {
    reply_array(x, x->argc - 2);
    for (uint32_t i = 2; i < x->argc; i++) {
        const struct topic *topic =
            topics_find(&x->shard->pubsub.local[kind], pubsub_hash(x->shard, x->argv[i]), x->argv[i]);
        reply_int(x, topic ? topic->count : 0);
    }
}

static void cmd_numsub(struct exec *x) {
    counts(x, TOPIC_CHANNEL);
}

static void cmd_shardnumsub(struct exec *x) {
    counts(x, TOPIC_SHARD);
}

static void merge_counts(struct gather *g) {
    struct slice rest[SHARDS_MAX];
    for (uint32_t i = 0; i < g->parts; i++) (void)gather_reply_array(gather_reply(g, i), &rest[i]);
    resp_array(gather_out(g), 2 * (uint64_t)(g->argc - 2));
    for (uint32_t at = 2; at < g->argc; at++) {
        int64_t sum = 0, part;
        for (uint32_t i = 0; i < g->parts; i++)
            if (gather_reply_int(gather_next_element(&rest[i]), &part)) sum += part;
        resp_bulk(gather_out(g), g->argv[at]);
        resp_int(gather_out(g), sum);
    }
}

static void cmd_numpat(struct exec *x) {
    reply_int(x, x->shard->pubsub.joint[TOPIC_PATTERN]);
}

static void cmd_help(struct exec *x) {
    static const char *const lines[] = {
        "CHANNELS [<pattern>]",
        "    Return the currently active channels matching a <pattern> (default: '*').",
        "NUMPAT",
        "    Return number of subscriptions to patterns.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers for the specified channels, excluding",
        "    pattern subscriptions(default: no channels).",
        "SHARDCHANNELS [<pattern>]",
        "    Return the currently active shard level channels matching a <pattern> (default: '*').",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Return the number of subscribers for the specified shard level channel(s)",
        NULL,
    };
    reply_help(x, lines);
}

/* --- rows --- */

#define GROUP      .acl = ACL_PUBSUB, .group = "pubsub"
#define LISTENING  (CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_IN_PUBSUB)
#define PUBLISHING (CMD_PUBSUB | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ROUTED | CMD_MAY_REPLICATE)
#define LOOKING    (CMD_PUBSUB | CMD_LOADING | CMD_STALE)
#define OVER_ALL   .where = ON_ALL, .merge = MERGE_CUSTOM

static const struct command pubsub_subs[] = {
    {.name = "channels",
     .arity = -2,
     .flags = LOOKING,
     .acl = ACL_PUBSUB,
     OVER_ALL,
     .merge_with = merge_names,
     .run = cmd_channels,
     .args = "[pattern]",
     .since = "2.8.0",
     .cost = "O(N), N = channels with subscribers",
     .doc = "Lists channels that have subscribers."},
    {.name = "numsub",
     .arity = -2,
     .flags = LOOKING,
     .acl = ACL_PUBSUB,
     OVER_ALL,
     .merge_with = merge_counts,
     .run = cmd_numsub,
     .args = "[channel [channel ...]]",
     .since = "2.8.0",
     .cost = "O(N), N = channels asked for",
     .doc = "Counts the subscribers of channels."},
    {.name = "numpat",
     .arity = 2,
     .flags = LOOKING,
     .acl = ACL_PUBSUB,
     .where = ON_CONN,
     .run = cmd_numpat,
     .since = "2.8.0",
     .cost = "O(1)",
     .doc = "Counts the patterns that somebody subscribes to."},
    {.name = "shardchannels",
     .arity = -2,
     .flags = LOOKING,
     .acl = ACL_PUBSUB,
     OVER_ALL,
     .merge_with = merge_names,
     .run = cmd_shardchannels,
     .args = "[pattern]",
     .since = "7.0.0",
     .cost = "O(N), N = shard channels with subscribers",
     .doc = "Lists shard channels that have subscribers."},
    {.name = "shardnumsub",
     .arity = -2,
     .flags = LOOKING,
     .acl = ACL_PUBSUB,
     OVER_ALL,
     .merge_with = merge_counts,
     .run = cmd_shardnumsub,
     .args = "[shardchannel [shardchannel ...]]",
     .since = "7.0.0",
     .cost = "O(N), N = shard channels asked for",
     .doc = "Counts the subscribers of shard channels."},
    {.name = "help",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .where = ON_CONN,
     .run = cmd_help,
     .since = "6.2.0",
     .cost = "O(1)",
     .doc = "Explains the subcommands of PUBSUB."},
    {.name = NULL},
};

const struct command pubsub_commands[] = {
    {.name = "subscribe",
     .arity = -2,
     .flags = LISTENING | CMD_ROUTED,
     GROUP,
     .where = ON_CONN,
     .route = pubsub_route_subscribe,
     .across = subscribe_across,
     .run = cmd_subscribe,
     .args = "channel [channel ...]",
     .since = "2.0.0",
     .cost = "O(N), N = channels",
     .doc = "Listens to channels."},
    {.name = "psubscribe",
     .arity = -2,
     .flags = LISTENING | CMD_ROUTED,
     GROUP,
     .where = ON_CONN,
     .route = pubsub_route_subscribe,
     .across = psubscribe_across,
     .run = cmd_psubscribe,
     .args = "pattern [pattern ...]",
     .since = "2.0.0",
     .cost = "O(N), N = patterns",
     .doc = "Listens to all channels that match patterns."},
    {.name = "ssubscribe",
     .arity = -2,
     .flags = LISTENING | CMD_ROUTED,
     GROUP,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_NOT_KEY)},
     .where = ON_CONN,
     .route = pubsub_route_subscribe,
     .across = ssubscribe_across,
     .run = cmd_ssubscribe,
     .args = "shardchannel [shardchannel ...]",
     .since = "7.0.0",
     .cost = "O(N), N = shard channels",
     .doc = "Listens to shard channels."},
    {.name = "unsubscribe",
     .arity = -1,
     .flags = LISTENING | CMD_ROUTED,
     GROUP,
     .where = ON_CONN,
     .route = route_unsubscribe,
     .across = unsubscribe_across,
     .run = cmd_unsubscribe,
     .args = "[channel [channel ...]]",
     .since = "2.0.0",
     .cost = "O(N), N = channels",
     .doc = "Stops listening to channels, or to all of them."},
    {.name = "punsubscribe",
     .arity = -1,
     .flags = LISTENING | CMD_ROUTED,
     GROUP,
     .where = ON_CONN,
     .route = route_unsubscribe,
     .across = punsubscribe_across,
     .run = cmd_punsubscribe,
     .args = "[pattern [pattern ...]]",
     .since = "2.0.0",
     .cost = "O(N), N = patterns",
     .doc = "Stops listening to patterns, or to all of them."},
    {.name = "sunsubscribe",
     .arity = -1,
     .flags = LISTENING | CMD_NO_MANDATORY_KEYS | CMD_ROUTED,
     GROUP,
     .keys = {KEYS_RANGE(1, -1, 1, KEY_NOT_KEY)},
     .where = ON_CONN,
     .route = route_unsubscribe,
     .across = sunsubscribe_across,
     .run = cmd_sunsubscribe,
     .args = "[shardchannel [shardchannel ...]]",
     .since = "7.0.0",
     .cost = "O(N), N = shard channels",
     .doc = "Stops listening to shard channels, or to all of them."},
    {.name = "publish",
     .arity = 3,
     .flags = PUBLISHING,
     GROUP,
     .where = ON_OWNER,
     .owner = here,
     .route = route_publish,
     .split = split_publish,
     .across = publish_across,
     .run = cmd_publish,
     .args = "channel message",
     .since = "2.0.0",
     .cost = "O(N+M), N = subscribers of the channel, M = patterns",
     .doc = "Sends a message to all who listen to a channel."},
    {.name = "spublish",
     .arity = 3,
     .flags = PUBLISHING,
     GROUP,
     .keys = {KEYS_ONE(1, KEY_NOT_KEY)},
     .where = ON_OWNER,
     .owner = here,
     .route = route_spublish,
     .split = split_spublish,
     .across = spublish_across,
     .run = cmd_spublish,
     .args = "shardchannel message",
     .since = "7.0.0",
     .cost = "O(N), N = subscribers of the shard channel",
     .doc = "Sends a message to all who listen to a shard channel."},
    {.name = "pubsub",
     .arity = -2,
     .where = ON_CONN,
     .subs = pubsub_subs,
     .group = "pubsub",
     .since = "2.8.0",
     .doc = "Holds the commands that tell who listens to what."},
    {.name = "sherd.topics", .arity = -3, .flags = CMD_INTERNAL, .where = ON_OWNER, .run = cmd_internal_topics},
    {.name = "sherd.deliver",
     .arity = 4,
     .flags = CMD_INTERNAL,
     .where = ON_OWNER,
     .run = cmd_internal_deliver,
     .delivers = true},
    {.name = NULL},
};
