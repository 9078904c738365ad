/* Stream group: who reads a stream together, and what was given to whom and is not acknowledged yet.
 *
 *      group -> pending: idtree of id, consumer, when and how often it was delivered
 *            -> consumers by name, each -> pending: idtree of ids
 *
 * An id that is pending stands in both trees, so that a group and a consumer can each be walked in order. An entry may
 * be deleted while it is pending.
 *
 * Ownership groups belong to their stream and consumers to their group; bytes are counted in stream->group_bytes. What
 *           is found is valid until it is removed, a struct pending until one of its group comes or goes.
 * Thread    the shard's owner.
 * Cost      by name O(log n), a new name O(n) words moved; pending O(log n). Removing a consumer goes in calls that
 *           say how many of its ids. A group is freed in slices. */
#pragma once
#include "core/slice.h"
#include "core/stream.h"

#define GROUP_READ_UNKNOWN (-1)

struct stream_consumer {
    struct slice name;     /* its own bytes; first, as in a group */
    uint64_t seen_ms;      /* when it last asked for something */
    struct idtree pending; /* ids alone */
};

struct stream_group {
    struct slice name;
    struct stream_id last;  /* delivered */
    int64_t read;           /* entries up to there, or GROUP_READ_UNKNOWN */
    struct idtree pending;  /* struct pending */
    struct names consumers; /* struct stream_consumer */
};

struct pending {
    struct stream_id id;
    struct stream_consumer *consumer;
    uint64_t delivered_ms;
    uint64_t deliveries;
};

/* --- groups --- */
HOT_INLINE struct stream_group *stream_group_at(const struct stream *stream, uint32_t i) { /* in the order of names */
    return (struct stream_group *)(void *)stream->groups.items[i];
}
struct stream_group *stream_group_find(const struct stream *stream, struct slice name); /* NULL: there is none */
struct stream_group *stream_group_add(const struct store *store, struct stream *stream, struct slice name,
                                      struct stream_id last, int64_t read); /* absent so far */
void stream_group_remove(const struct store *store, struct stream *stream, struct stream_group *group);

/* --- consumers --- */
HOT_INLINE struct stream_consumer *stream_consumer_at(const struct stream_group *group, uint32_t i) {
    return (struct stream_consumer *)(void *)group->consumers.items[i];
}
struct stream_consumer *stream_consumer_find(const struct stream_group *group, struct slice name);
struct stream_consumer *stream_consumer_add(const struct store *store, struct stream *stream,
                                            struct stream_group *group, struct slice name, uint64_t seen_ms);
/* What is pending for it is forgotten, up to so many ids. True: there is more; false: the consumer is gone. */
bool stream_consumer_remove_some(const struct store *store, struct stream *stream, struct stream_group *group,
                                 struct stream_consumer *consumer, unsigned ids);

/* --- pending --- */
HOT_INLINE struct pending *stream_pending_find(const struct stream_group *group, struct stream_id id) {
    return idtree_find(&group->pending, id);
}
/* It is with this consumer from now on, wherever it was; when and how often is the caller's to say. */
struct pending *stream_pending_give(const struct store *store, struct stream *stream, struct stream_group *group,
                                    struct stream_id id, struct stream_consumer *consumer);
void stream_pending_remove(const struct store *store, struct stream *stream, struct stream_group *group,
                           struct stream_id id); /* present */

/* --- loading --- */
/* What is pending, without a consumer yet; NULL: it is there already. */
struct pending *stream_pending_load(const struct store *store, struct stream *stream, struct stream_group *group,
                                    struct stream_id id);
/* It gets its consumer; false: it is not there, or has one. */
bool stream_pending_claim(const struct store *store, struct stream *stream, struct stream_group *group,
                          struct stream_id id, struct stream_consumer *consumer);

/* --- for core/stream.c --- */
/* Behind the blocks. A group, a consumer or an id that is pending is a unit. */
bool stream_groups_copy_some(const struct store *store, struct stream_copying *copying, const struct stream *stream,
                             unsigned *units);
bool stream_groups_free_some(const struct store *store, struct stream *stream, unsigned *units);
void stream_groups_check(const struct stream *stream);
