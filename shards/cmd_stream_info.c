/* Streams: what is known about one: XINFO STREAM, GROUPS, CONSUMERS.
 *
 * Redis tells of the radix tree that it keeps its nodes in. We have another tree, but the same nodes; so what is told
 * is how many nodes of a radix tree their ids would make (radix_nodes), which takes a walk over the blocks. */
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/cmd_tables.h"
#include "shards/shard.h"
#include "shards/stream_args.h"
#include <endian.h>

#define FULL_COUNT 10 /* entries, and of what is pending, if nobody says how many */

/* --- the radix tree that there would be --- */

#define ID_BYTES 16u

static unsigned common_bytes(struct stream_id a, struct stream_id b) {
    if (a.ms != b.ms) return (unsigned)__builtin_clzll(a.ms ^ b.ms) / 8;
    return 8 + (a.seq == b.seq ? 8 : (unsigned)__builtin_clzll(a.seq ^ b.seq) / 8);
}

/* The way from a node with several children, or the root, down to the next one or to a key: the first byte is the
 * parent's, the others are a node of their own. */
static uint64_t nodes_between(unsigned parent, unsigned child) {
    return child > parent + 1;
}

/* Keys come in order, so the nodes with several children that the next key may still have in common with this one are a
 * stack of depths. */
static uint64_t radix_nodes(const struct idtree *blocks) {
    struct idtree_iter iter = idtree_begin(blocks);
    const struct block_slot *slot = idtree_next(&iter);
    unsigned stack[ID_BYTES + 1], height = 0, child = ID_BYTES;
    if (!slot) return 1;
    struct stream_id last = slot->base;
    uint64_t nodes = blocks->count;
    while ((slot = idtree_next(&iter))) {
        unsigned depth = common_bytes(last, slot->base);
        child = ID_BYTES;
        for (; height > 0 && stack[height - 1] > depth; child = stack[--height])
            nodes += nodes_between(stack[height - 1], child);
        if (height == 0 || stack[height - 1] < depth) {
            stack[height++] = depth;
            nodes++;
        }
        nodes += nodes_between(depth, child);
        last = slot->base;
    }
    child = ID_BYTES;
    for (; height > 0; child = stack[--height]) nodes += nodes_between(stack[height - 1], child);
    return nodes + (child > 0);
}

/* --- pieces of replies --- */

static void put_name(struct exec *x, const char *name) {
    reply_cstr(x, name);
}
static void put_int(struct exec *x, const char *name, uint64_t value) {
    put_name(x, name);
    reply_int(x, (int64_t)value);
}
static void put_id(struct exec *x, const char *name, struct stream_id id) {
    put_name(x, name);
    reply_stream_id(x, id);
}

static void put_read(struct exec *x, const struct stream_group *group) {
    put_name(x, "entries-read");
    if (group->read == GROUP_READ_UNKNOWN)
        reply_null(x);
    else
        reply_int(x, group->read);
}

/* How many entries the group has not been given; null where nobody knows. */
static void put_lag(struct exec *x, const struct stream *stream, const struct stream_group *group) {
    int64_t read = 0;
    if (stream->added > 0) {
        bool known = group->read != GROUP_READ_UNKNOWN && !stream_has_holes(stream, group->last);
        read = known ? group->read : stream_count_to(stream, group->last);
    }
    put_name(x, "lag");
    if (stream->added > 0 && read == GROUP_READ_UNKNOWN)
        reply_null(x);
    else
        reply_int(x, (int64_t)(stream->added - (uint64_t)read)); /* either may be anything */
}

static void put_edge(struct exec *x, const char *name, const struct stream *stream, bool last) {
    struct stream_entry entry;
    struct stream_iter iter = stream_seek(stream, STREAM_ID_MIN, STREAM_ID_MAX, last);
    put_name(x, name);
    if (stream_next(&iter, &entry))
        reply_stream_entry(x, &entry);
    else
        reply_null(x);
}

static void put_facts(struct exec *x, const struct stream *stream) {
    put_int(x, "length", stream->length);
    put_int(x, "radix-tree-keys", stream->blocks.count);
    put_int(x, "radix-tree-nodes", radix_nodes(&stream->blocks));
    put_id(x, "last-generated-id", stream->last);
    put_id(x, "max-deleted-entry-id", stream->max_deleted);
    put_int(x, "entries-added", stream->added);
    put_id(x, "recorded-first-entry-id", stream->first);
}

/* --- XINFO STREAM key FULL --- */

static void put_group_pending(struct exec *x, const struct stream_group *group, uint64_t count) {
    struct idtree_iter iter = idtree_begin(&group->pending);
    uint64_t left = count ? MIN(count, group->pending.count) : group->pending.count;
    put_name(x, "pending");
    reply_array(x, left);
    for (; left > 0; left--) {
        const struct pending *pending = idtree_next(&iter);
        reply_array(x, 4);
        reply_stream_id(x, pending->id);
        reply_bulk(x, pending->consumer->name);
        reply_int(x, (int64_t)pending->delivered_ms);
        reply_int(x, (int64_t)pending->deliveries);
    }
}

static void put_consumer(struct exec *x, const struct stream_group *group, const struct stream_consumer *consumer,
                         uint64_t count) {
    struct idtree_iter iter = idtree_begin(&consumer->pending);
    uint64_t left = count ? MIN(count, consumer->pending.count) : consumer->pending.count;
    reply_map(x, 4);
    put_name(x, "name");
    reply_bulk(x, consumer->name);
    put_int(x, "seen-time", consumer->seen_ms);
    put_int(x, "pel-count", consumer->pending.count);
    put_name(x, "pending");
    reply_array(x, left);
    for (; left > 0; left--) {
        const struct stream_id *id = idtree_next(&iter);
        const struct pending *pending = stream_pending_find(group, *id);
        reply_array(x, 3);
        reply_stream_id(x, *id);
        reply_int(x, (int64_t)pending->delivered_ms);
        reply_int(x, (int64_t)pending->deliveries);
    }
}

static void put_full_group(struct exec *x, const struct stream *stream, const struct stream_group *group,
                           uint64_t count) {
    reply_map(x, 7);
    put_name(x, "name");
    reply_bulk(x, group->name);
    put_id(x, "last-delivered-id", group->last);
    put_read(x, group);
    put_lag(x, stream, group);
    put_int(x, "pel-count", group->pending.count);
    put_group_pending(x, group, count);
    put_name(x, "consumers");
    reply_array(x, group->consumers.count);
    for (uint32_t i = 0; i < group->consumers.count; i++) put_consumer(x, group, stream_consumer_at(group, i), count);
}

static void reply_full(struct exec *x, const struct stream *stream, uint64_t count) {
    reply_map(x, 9);
    put_facts(x, stream);
    put_name(x, "entries");
    reply_stream_range(x, stream, STREAM_ID_MIN, STREAM_ID_MAX, false, count);
    put_name(x, "groups");
    reply_array(x, stream->groups.count);
    for (uint32_t i = 0; i < stream->groups.count; i++) put_full_group(x, stream, stream_group_at(stream, i), count);
}

/* --- commands --- */

/* The stream at argv[2], which is to be there. */
static const struct stream *open_present(struct exec *x) {
    struct key_ref ref;
    const struct stream *stream;
    if (!stream_read(x, 2, &ref, &stream)) return NULL;
    if (!stream) reply_error(x, "ERR no such key");
    return stream;
}

static void cmd_stream(struct exec *x) {
    int64_t count = FULL_COUNT;
    const struct stream *stream = open_present(x);
    if (!stream) return;
    if (x->argc == 3) {
        reply_map(x, 10);
        put_facts(x, stream);
        put_int(x, "groups", stream->groups.count);
        put_edge(x, "first-entry", stream, false);
        put_edge(x, "last-entry", stream, true);
        return;
    }
    if ((x->argc != 4 && x->argc != 6) || !arg_is(x, 3, "full") || (x->argc == 6 && !arg_is(x, 4, "count"))) {
        reply_bad_sub(x);
        return;
    }
    if (x->argc == 6 && !exec_int(x, 5, &count)) return;
    uint64_t most = count < 0 ? FULL_COUNT : (uint64_t)count;
    uint64_t bytes = stream_bytes_between(stream, STREAM_ID_MIN, STREAM_ID_MAX, false, most);
    if (!answer_waits_for(x, bytes + (most ? 0 : stream->group_bytes))) reply_full(x, stream, most);
}

static void cmd_groups(struct exec *x) {
    const struct stream *stream = open_present(x);
    if (!stream) return;
    reply_array(x, stream->groups.count);
    for (uint32_t i = 0; i < stream->groups.count; i++) {
        const struct stream_group *group = stream_group_at(stream, i);
        reply_map(x, 6);
        put_name(x, "name");
        reply_bulk(x, group->name);
        put_int(x, "consumers", group->consumers.count);
        put_int(x, "pending", group->pending.count);
        put_id(x, "last-delivered-id", group->last);
        put_read(x, group);
        put_lag(x, stream, group);
    }
}

static void cmd_consumers(struct exec *x) {
    const struct stream *stream = open_present(x);
    if (!stream) return;
    const struct stream_group *group = stream_group_find(stream, x->argv[3]);
    if (!group) {
        reply_no_such_group(x, x->argv[2], x->argv[3]);
        return;
    }
    reply_array(x, group->consumers.count);
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        const struct stream_consumer *consumer = stream_consumer_at(group, i);
        uint64_t now_ms = x->shard->now_ms;
        reply_map(x, 3);
        put_name(x, "name");
        reply_bulk(x, consumer->name);
        put_int(x, "pending", consumer->pending.count);
        put_int(x, "idle", now_ms > consumer->seen_ms ? now_ms - consumer->seen_ms : 0);
    }
}

static void cmd_xinfo_help(struct exec *x) {
    static const char *const lines[] = {"CONSUMERS <key> <groupname>",
                                        "    Show consumers of <groupname>.",
                                        "GROUPS <key>",
                                        "    Show the stream consumer groups.",
                                        "STREAM <key> [FULL [COUNT <count>]",
                                        "    Show information about the stream.",
                                        NULL};
    reply_help(x, lines);
}

#define INFO .flags = CMD_READ, .acl = ACL_STREAM, .where = ON_OWNER, .keys = {KEYS_ONE(2, KEY_RO | KEY_ACCESS)}

static const struct command xinfo_subs[] = {
    {.name = "consumers",
     .arity = 4,
     INFO,
     .run = cmd_consumers,
     .since = "5.0.0",
     .cost = "O(N), N = number of consumers",
     .args = "key group",
     .doc = "Tells of the consumers of a group.",
     .tips = "nondeterministic_output"},
    {.name = "groups",
     .arity = 3,
     INFO,
     .run = cmd_groups,
     .since = "5.0.0",
     .cost = "O(N), N = number of groups",
     .args = "key",
     .doc = "Tells of the groups of a stream."},
    {.name = "help",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_STREAM,
     .where = ON_CONN,
     .run = cmd_xinfo_help,
     .since = "5.0.0",
     .cost = "O(1)",
     .doc = "Describes the subcommands."},
    {.name = "stream",
     .arity = -3,
     INFO,
     .run = cmd_stream,
     .since = "5.0.0",
     .cost = "O(N), N = a hundredth of its entries, and those that are answered",
     .args = "key [FULL [COUNT count]]",
     .doc = "Tells of a stream."},
    {0},
};

const struct command stream_info_commands[] = {
    {.name = "xinfo",
     .arity = -2,
     .acl = ACL_STREAM,
     .subs = xinfo_subs,
     .group = "stream",
     .since = "5.0.0",
     .doc = "What is known about streams."},
    {0},
};
