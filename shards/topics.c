/* Topics and subscriptions: two doubly linked lists through each subscription, so that either side can let go in O(1).
 *
 * Whether a client subscribes to a topic already is asked for each name of each SUBSCRIBE. With few topics its list is
 * looked through, with more of them an index answers, keyed by the topic's address: that is unique while the topic
 * lives, and the subscription keeps it alive. */
#include "shards/topics.h"
#include "core/assert.h"

void topics_init(struct topics *topics, struct heap *heap) {
    *topics = (struct topics){.heap = heap};
    idmap_init(&topics->by_hash, heap, MEM_PUBSUB);
}

void topics_deinit(struct topics *topics) {
    ASSERT(topics->count == 0);
    idmap_deinit(&topics->by_hash);
}

static struct topic *first_of(const struct topics *topics, uint64_t hash) {
    return idmap_get(&topics->by_hash, hash);
}

bool topics_have_hash(const struct topics *topics, uint64_t hash) {
    return first_of(topics, hash) != NULL;
}

struct topic *topics_find(const struct topics *topics, uint64_t hash, struct slice text) {
    struct topic *topic = first_of(topics, hash);
    while (topic && !slice_equal(topic_text(topic), text)) topic = topic->next_same;
    return topic;
}

static size_t size_of_topic(size_t len) {
    return sizeof(struct topic) + len;
}

static void append(struct topics *topics, struct topic *topic) {
    topic->prev = topics->last;
    if (topics->last)
        topics->last->next = topic;
    else
        topics->first = topic;
    topics->last = topic;
    topics->count++;
}

struct topic *topics_hold(struct topics *topics, enum topic_kind kind, uint64_t hash, struct slice text) {
    ASSERT(hash != 0);
    struct topic *topic = topics_find(topics, hash, text);
    if (!topic) {
        topic = heap_alloc(topics->heap, MEM_PUBSUB, size_of_topic(text.len));
        *topic = (struct topic){.hash = hash, .kind = (uint8_t)kind, .len = text.len};
        slice_copy(topic->text, text.ptr, text.len);
        topic->next_same = idmap_take(&topics->by_hash, hash);
        idmap_put(&topics->by_hash, hash, topic);
        append(topics, topic);
    }
    topic->holds++;
    return topic;
}

/* Out of the chain of its hash, which is one long but for accidents. */
static void leave_hash(struct topics *topics, struct topic *topic) {
    struct topic *first = idmap_take(&topics->by_hash, topic->hash), **link = &first;
    while (*link != topic) link = &(*link)->next_same;
    *link = topic->next_same;
    if (first) idmap_put(&topics->by_hash, topic->hash, first);
}

bool topics_let_go(struct topics *topics, struct topic *topic) {
    ASSERT(topic->holds > 0);
    if (--topic->holds || topic->count) return false;
    leave_hash(topics, topic);
    *(topic->prev ? &topic->prev->next : &topics->first) = topic->next;
    *(topic->next ? &topic->next->prev : &topics->last) = topic->prev;
    topics->count--;
    heap_free(topics->heap, MEM_PUBSUB, topic, size_of_topic(topic->len));
    return true;
}

/* --- subscriptions --- */

void subscriber_init(struct subscriber *who, struct heap *heap, struct client *client) {
    *who = (struct subscriber){.heap = heap, .client = client};
}

void subscriber_deinit(struct subscriber *who) {
    ASSERT(subscriber_total(who) == 0);
    if (who->index.slots) idmap_deinit(&who->index);
    subscriber_show(who);
}

uint32_t subscriber_total(const struct subscriber *who) {
    uint32_t total = 0;
    for (int kind = 0; kind < TOPIC_KINDS; kind++) total += who->count[kind];
    return total;
}

static uint64_t id_of(const struct topic *topic) {
    return (uint64_t)(uintptr_t)topic;
}

struct subscription *subscriber_find(const struct subscriber *who, const struct topic *topic) {
    if (who->index.slots) return idmap_get(&who->index, id_of(topic));
    struct subscription *found = who->first[topic->kind];
    while (found && found->topic != topic) found = found->next_of_who;
    return found;
}

static void index_all(struct subscriber *who) {
    idmap_init(&who->index, who->heap, MEM_PUBSUB);
    for (int kind = 0; kind < TOPIC_KINDS; kind++)
        for (struct subscription *each = who->first[kind]; each; each = each->next_of_who)
            idmap_put(&who->index, id_of(each->topic), each);
}

void subscriber_add(struct subscriber *who, struct topic *topic) {
    ASSERT_SLOW(!subscriber_find(who, topic));
    struct subscription *new = heap_alloc(who->heap, MEM_PUBSUB, sizeof *new);
    struct subscription **last = &who->last[topic->kind];
    *new = (struct subscription){.topic = topic, .who = who, .prev_in_topic = topic->last, .prev_of_who = *last};
    *(topic->last ? &topic->last->next_in_topic : &topic->first) = new;
    *(*last ? &(*last)->next_of_who : &who->first[topic->kind]) = new;
    topic->last = *last = new;
    topic->count++;
    who->count[topic->kind]++;
    if (who->index.slots)
        idmap_put(&who->index, id_of(topic), new);
    else if (subscriber_total(who) > FEW_TOPICS)
        index_all(who);
}

void subscriber_hide(struct subscriber *who, const struct topic *topic) {
    struct subscription *subscription = subscriber_find(who, topic);
    ASSERT(subscription);
    if (!who->fresh.slots) idmap_init(&who->fresh, who->heap, MEM_PUBSUB);
    idmap_put(&who->fresh, id_of(topic), subscription);
}

void subscriber_show(struct subscriber *who) {
    if (who->fresh.slots) idmap_deinit(&who->fresh);
    ASSERT(!who->fresh.slots);
}

void subscriber_remove(struct subscription *gone) {
    struct topic *topic = gone->topic;
    struct subscriber *who = gone->who;
    ASSERT(topic->holds > 0);
    *(gone->prev_in_topic ? &gone->prev_in_topic->next_in_topic : &topic->first) = gone->next_in_topic;
    *(gone->next_in_topic ? &gone->next_in_topic->prev_in_topic : &topic->last) = gone->prev_in_topic;
    *(gone->prev_of_who ? &gone->prev_of_who->next_of_who : &who->first[topic->kind]) = gone->next_of_who;
    *(gone->next_of_who ? &gone->next_of_who->prev_of_who : &who->last[topic->kind]) = gone->prev_of_who;
    topic->count--;
    who->count[topic->kind]--;
    if (who->index.slots) {
        idmap_take(&who->index, id_of(topic));
        if (subscriber_total(who) == 0) idmap_deinit(&who->index);
    }
    heap_free(who->heap, MEM_PUBSUB, gone, sizeof *gone);
}

/* --- invariants --- */

static void check_topic(const struct topic *topic) {
    uint32_t count = 0;
    const struct subscription *before = NULL;
    for (const struct subscription *each = topic->first; each; each = each->next_in_topic) {
        ASSERT(each->topic == topic && each->prev_in_topic == before);
        ASSERT(subscriber_find(each->who, topic) == each);
        before = each;
        count++;
    }
    ASSERT(topic->last == before && count == topic->count);
    ASSERT(topic->holds > 0 || count > 0);
}

void topics_check(const struct topics *topics) {
    uint32_t count = 0;
    const struct topic *before = NULL;
    idmap_check(&topics->by_hash);
    for (const struct topic *topic = topics->first; topic; topic = topic->next) {
        ASSERT(topic->prev == before);
        ASSERT(topics_find(topics, topic->hash, topic_text(topic)) == topic);
        check_topic(topic);
        before = topic;
        count++;
    }
    ASSERT(topics->last == before && count == topics->count);
}

void subscriber_check(const struct subscriber *who) {
    for (int kind = 0; kind < TOPIC_KINDS; kind++) {
        uint32_t count = 0;
        const struct subscription *before = NULL;
        for (const struct subscription *each = who->first[kind]; each; each = each->next_of_who) {
            ASSERT(each->who == who && each->topic->kind == kind && each->prev_of_who == before);
            ASSERT(subscriber_find(who, each->topic) == each);
            before = each;
            count++;
        }
        ASSERT(who->last[kind] == before && count == who->count[kind]);
    }
    ASSERT(!who->index.slots || who->index.count == subscriber_total(who));
}
