/* Stream group: names, and the two trees that say the same of what is pending. A group is freed from its end: consumer
 * by consumer, then what is pending.
 *
 * What a call has added to the memory of the groups, or taken from it, is seen by what it did to the bytes of one tree
 * or one array of names. */
#include "core/stream_group.h"
#include "core/assert.h"

/* A new block of this size with this name. */
static void *add_name(const struct store *store, struct stream *stream, struct names *names, size_t size,
                      struct slice name) {
    size_t before = names->bytes;
    void *block = names_add(store, names, size, name);
    stream->group_bytes += names->bytes - before;
    return block;
}

static void drop_name(const struct store *store, struct stream *stream, struct names *names, size_t size,
                      struct slice *block) {
    size_t before = names->bytes;
    names_drop(store, names, size, block);
    stream->group_bytes -= before - names->bytes;
}

/* --- groups --- */

struct stream_group *stream_group_find(const struct stream *stream, struct slice name) {
    return (struct stream_group *)(void *)names_find(&stream->groups, name);
}

struct stream_group *stream_group_add(const struct store *store, struct stream *stream, struct slice name,
                                      struct stream_id last, int64_t read) {
    struct stream_group *group = add_name(store, stream, &stream->groups, sizeof *group, name);
    group->last = last;
    group->read = read;
    idtree_init(&group->pending, sizeof(struct pending));
    return group;
}

/* --- consumers --- */

struct stream_consumer *stream_consumer_find(const struct stream_group *group, struct slice name) {
    return (struct stream_consumer *)(void *)names_find(&group->consumers, name);
}

struct stream_consumer *stream_consumer_add(const struct store *store, struct stream *stream,
                                            struct stream_group *group, struct slice name, uint64_t seen_ms) {
    struct stream_consumer *consumer = add_name(store, stream, &group->consumers, sizeof *consumer, name);
    consumer->seen_ms = seen_ms;
    idtree_init(&consumer->pending, sizeof(struct stream_id));
    return consumer;
}

static bool free_pending(const struct store *store, struct stream *stream, struct idtree *pending, unsigned *units) {
    size_t before = pending->bytes;
    bool more = idtree_free_some(store, pending, units);
    stream->group_bytes -= before - pending->bytes;
    return more;
}

static void drop_consumer(const struct store *store, struct stream *stream, struct stream_group *group,
                          struct stream_consumer *consumer) {
    drop_name(store, stream, &group->consumers, sizeof *consumer, &consumer->name);
}

bool stream_consumer_remove_some(const struct store *store, struct stream *stream, struct stream_group *group,
                                 struct stream_consumer *consumer, unsigned ids) {
    size_t before = group->pending.bytes + consumer->pending.bytes;
    const struct stream_id *id;
    for (; ids > 0 && (id = idtree_last(&consumer->pending)); ids--) {
        idtree_remove(store, &group->pending, *id);
        idtree_drop_last(store, &consumer->pending);
    }
    stream->group_bytes -= before - group->pending.bytes - consumer->pending.bytes;
    if (consumer->pending.count > 0) return true;
    drop_consumer(store, stream, group, consumer);
    return false;
}

/* --- pending --- */

static void note_id(const struct store *store, struct stream *stream, struct idtree *tree, struct stream_id id) {
    size_t before = tree->bytes;
    (void)idtree_insert(store, tree, id);
    stream->group_bytes += tree->bytes - before;
}

static void forget_id(const struct store *store, struct stream *stream, struct idtree *tree, struct stream_id id) {
    size_t before = tree->bytes;
    idtree_remove(store, tree, id);
    stream->group_bytes -= before - tree->bytes;
}

struct pending *stream_pending_give(const struct store *store, struct stream *stream, struct stream_group *group,
                                    struct stream_id id, struct stream_consumer *consumer) {
    struct pending *pending = stream_pending_find(group, id);
    if (pending && pending->consumer == consumer) return pending;
    if (pending) {
        forget_id(store, stream, &pending->consumer->pending, id);
    } else {
        note_id(store, stream, &group->pending, id);
        pending = stream_pending_find(group, id);
        pending->delivered_ms = pending->deliveries = 0;
    }
    pending->consumer = consumer;
    note_id(store, stream, &consumer->pending, id);
    return pending;
}

void stream_pending_remove(const struct store *store, struct stream *stream, struct stream_group *group,
                           struct stream_id id) {
    const struct pending *pending = stream_pending_find(group, id);
    ASSERT(pending);
    forget_id(store, stream, &pending->consumer->pending, id);
    forget_id(store, stream, &group->pending, id);
}

/* --- loading --- */

struct pending *stream_pending_load(const struct store *store, struct stream *stream, struct stream_group *group,
                                    struct stream_id id) {
    if (stream_pending_find(group, id)) return NULL;
    note_id(store, stream, &group->pending, id);
    struct pending *pending = stream_pending_find(group, id);
    *pending = (struct pending){.id = id};
    return pending;
}

bool stream_pending_claim(const struct store *store, struct stream *stream, struct stream_group *group,
                          struct stream_id id, struct stream_consumer *consumer) {
    struct pending *pending = stream_pending_find(group, id);
    if (!pending || pending->consumer) return false;
    pending->consumer = consumer;
    note_id(store, stream, &consumer->pending, id);
    return true;
}

/* --- freeing --- */

static bool empty_group(const struct store *store, struct stream *stream, struct stream_group *group, unsigned *units) {
    while (group->consumers.count > 0) {
        struct stream_consumer *last = stream_consumer_at(group, group->consumers.count - 1);
        if (*units == 0 || free_pending(store, stream, &last->pending, units)) return true;
        drop_consumer(store, stream, group, last);
        if (*units > 0) --*units;
    }
    return free_pending(store, stream, &group->pending, units);
}

bool stream_groups_free_some(const struct store *store, struct stream *stream, unsigned *units) {
    while (stream->groups.count > 0) {
        struct stream_group *last = stream_group_at(stream, stream->groups.count - 1);
        if (*units == 0 || empty_group(store, stream, last, units)) return true;
        drop_name(store, stream, &stream->groups, sizeof *last, &last->name);
    }
    return false;
}

/* A stream that has nothing but the group, to be freed like any other. */
void stream_group_remove(const struct store *store, struct stream *stream, struct stream_group *group) {
    struct stream *grave = stream_new(store);
    struct stream_group *moved = stream_group_add(store, grave, group->name, group->last, group->read);
    moved->pending = group->pending;
    moved->consumers = group->consumers;
    drop_name(store, stream, &stream->groups, sizeof *group, &group->name);
    size_t bytes = moved->pending.bytes + moved->consumers.bytes;
    for (uint32_t i = 0; i < moved->consumers.count; i++) bytes += stream_consumer_at(moved, i)->pending.bytes;
    stream->group_bytes -= bytes;
    grave->group_bytes += bytes;
    stream_delete(store, grave);
}

/* --- copying --- */

/* Ids that are pending for the consumer at copying->consumer, from copying->at on. */
static bool copy_pending(const struct store *store, struct stream_copying *copying, struct stream_group *group,
                         const struct stream_group *from_group, unsigned *units) {
    const struct stream_consumer *from = stream_consumer_at(from_group, copying->consumer);
    struct stream_consumer *consumer = stream_consumer_at(group, copying->consumer);
    struct idtree_iter iter = idtree_seek(&from->pending, copying->at);
    const struct stream_id *id;
    for (; (id = idtree_next(&iter)); --*units) {
        copying->at = *id;
        if (*units == 0) return true;
        const struct pending *old = stream_pending_find(from_group, *id);
        struct pending *pending = stream_pending_give(store, copying->copy, group, *id, consumer);
        pending->delivered_ms = old->delivered_ms;
        pending->deliveries = old->deliveries;
    }
    return false;
}

/* The copy's names come in the order of the original's, so they have the same places. */
static bool copy_consumers(const struct store *store, struct stream_copying *copying, struct stream_group *group,
                           const struct stream_group *from_group, unsigned *units) {
    for (; copying->consumer < from_group->consumers.count; copying->consumer++) {
        const struct stream_consumer *from = stream_consumer_at(from_group, copying->consumer);
        if (*units == 0) return true;
        if (copying->consumer == group->consumers.count) {
            stream_consumer_add(store, copying->copy, group, from->name, from->seen_ms);
            --*units;
        }
        if (copy_pending(store, copying, group, from_group, units)) return true;
        copying->at = STREAM_ID_MIN;
    }
    return false;
}

bool stream_groups_copy_some(const struct store *store, struct stream_copying *copying, const struct stream *stream,
                             unsigned *units) {
    struct stream *copy = copying->copy;
    for (; copying->group < stream->groups.count; copying->group++) {
        const struct stream_group *from = stream_group_at(stream, copying->group);
        if (*units == 0) return true;
        if (copying->group == copy->groups.count) {
            stream_group_add(store, copy, from->name, from->last, from->read);
            --*units;
        }
        if (copy_consumers(store, copying, stream_group_at(copy, copying->group), from, units)) return true;
        copying->consumer = 0;
    }
    return false;
}

/* --- checking --- */

static size_t check_consumers(const struct stream_group *group) {
    size_t bytes = 0;
    uint64_t pending = 0;
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        const struct stream_consumer *consumer = stream_consumer_at(group, i);
        struct idtree_iter iter = idtree_begin(&consumer->pending);
        const struct stream_id *id;
        idtree_check(&consumer->pending);
        while ((id = idtree_next(&iter))) {
            const struct pending *there = stream_pending_find(group, *id);
            ASSERT(there && there->consumer == consumer);
        }
        pending += consumer->pending.count;
        bytes += consumer->pending.bytes;
    }
    ASSERT(pending == group->pending.count);
    return bytes;
}

void stream_groups_check(const struct stream *stream) {
    size_t bytes = stream->groups.bytes;
    for (uint32_t i = 0; i < stream->groups.count; i++) {
        const struct stream_group *group = stream_group_at(stream, i);
        idtree_check(&group->pending);
        names_check(&group->consumers, sizeof(struct stream_consumer));
        bytes += check_consumers(group) + group->pending.bytes + group->consumers.bytes;
    }
    names_check(&stream->groups, sizeof(struct stream_group));
    ASSERT(bytes == stream->group_bytes);
}
