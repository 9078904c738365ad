/* Topics: what one can subscribe to (channels, shard channels, patterns), and who has. A pure structure: subscribers
 * are whoever embeds one, and nothing is delivered here.
 *
 *      table ---- topic ---- topic             each topic and each subscriber has a list of its subscriptions;
 *                   |          |               a subscription is in both
 *    subscriber - [sub] ---- [sub]
 *    subscriber - [sub]
 *
 * Owner     one shard. A table owns its topics, a topic lives while somebody holds it (topic_hold) or subscribes.
 * Order     a topic's subscribers and a subscriber's topics are visited in the order in which they came.
 * Cost      O(1) per call beyond the text. A subscription takes 48 bytes, a topic about 100 and its text; a subscriber
 *           of more than FEW_TOPICS also an index. Memory is of class MEM_PUBSUB. */
#pragma once
#include "core/idmap.h"
#include "core/slice.h"

enum topic_kind {
    TOPIC_CHANNEL,
    TOPIC_SHARD,   /* shard channels */
    TOPIC_MONITOR, /* of MONITOR; one of them */
    TOPIC_PATTERN,
    TOPIC_KINDS
};

#define FEW_TOPICS 8 /* of one subscriber: looked through one by one */

struct client;
struct subscriber;

struct subscription {
    struct topic *topic;
    struct subscriber *who;
    struct subscription *next_in_topic, *prev_in_topic;
    struct subscription *next_of_who, *prev_of_who;
};

struct topic {
    struct topic *next_same;   /* of the same hash */
    struct topic *next, *prev; /* all of the table */
    uint64_t hash;             /* not 0 */
    uint64_t homes;            /* for the table's user (shards/pubsub.c): other shards that have subscribers */
    uint32_t holds;            /* reasons to keep it beside subscriptions */
    uint32_t count;            /* subscriptions */
    uint8_t kind;              /* enum topic_kind */
    bool known;                /* for the table's user: the other shards know that it is wanted here */
    struct subscription *first, *last;
    size_t len;
    char text[];
};

struct topics {
    struct heap *heap;
    struct idmap by_hash; /* the first of each hash */
    struct topic *first, *last;
    uint32_t count;
};

struct subscriber {
    struct heap *heap;
    struct client *client; /* NULL: it is gone, and its subscriptions are taken away little by little */
    struct subscriber *next_gone;
    struct subscription *first[TOPIC_KINDS], *last[TOPIC_KINDS];
    uint32_t count[TOPIC_KINDS];
    struct idmap index; /* subscriptions by their topic's address, once they are more than FEW_TOPICS */
    struct idmap fresh; /* those that are still hidden, likewise; without slots: none */
};

void topics_init(struct topics *topics, struct heap *heap);
void topics_deinit(struct topics *topics); /* empty by then */
HOT_INLINE struct slice topic_text(const struct topic *topic) {
    return slice_of(topic->text, topic->len);
}
struct topic *topics_find(const struct topics *topics, uint64_t hash, struct slice text); /* NULL: not there */
/* Finds it or makes it, and holds it. */
struct topic *topics_hold(struct topics *topics, enum topic_kind kind, uint64_t hash, struct slice text);
/* One reason less; frees it when that was the last and nobody subscribes: true. */
bool topics_let_go(struct topics *topics, struct topic *topic);
bool topics_have_hash(const struct topics *topics, uint64_t hash); /* any topic of this hash */

void subscriber_init(struct subscriber *who, struct heap *heap, struct client *client);
void subscriber_deinit(struct subscriber *who); /* without subscriptions */
struct subscription *subscriber_find(const struct subscriber *who, const struct topic *topic); /* NULL: none */
void subscriber_add(struct subscriber *who, struct topic *topic);                              /* it has none yet */
/* Takes the subscription away; its topic stays until somebody lets it go: so hold it first. */
void subscriber_remove(struct subscription *subscription);
uint32_t subscriber_total(const struct subscriber *who);
/* A subscription to this topic, which was just added, does not count for deliveries until all are shown. */
void subscriber_hide(struct subscriber *who, const struct topic *topic);
void subscriber_show(struct subscriber *who);
HOT_INLINE bool subscription_is_hidden(const struct subscription *subscription) {
    const struct idmap *fresh = &subscription->who->fresh;
    return UNLIKELY(fresh->slots != NULL) && idmap_get(fresh, (uint64_t)(uintptr_t)subscription->topic);
}

void topics_check(const struct topics *topics);
void subscriber_check(const struct subscriber *who);
