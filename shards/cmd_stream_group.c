/* Streams: groups and consumers come and go: XGROUP, XACK. A consumer that has much goes over several turns. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/args_work.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/shard.h"
#include "shards/stream_read.h"

#define NO_KEY                                                                                                         \
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM "      \
    "option to create an empty stream automatically."

struct group_options {
    bool create; /* MKSTREAM */
    int64_t read;
};

static bool parse_options(struct exec *x, bool create, struct group_options *options) {
    *options = (struct group_options){.read = GROUP_READ_UNKNOWN};
    for (uint32_t at = 5; at < x->argc; at++) {
        if (create && arg_is(x, at, "mkstream")) {
            options->create = true;
        } else if (at + 1 < x->argc && arg_is(x, at, "entriesread")) {
            if (!exec_int(x, ++at, &options->read)) return false;
            if (options->read < GROUP_READ_UNKNOWN && !(x->flags & CLIENT_LOADER)) {
                reply_error(x, "ERR value for ENTRIESREAD must be positive or -1");
                return false;
            }
        } else {
            reply_bad_sub(x);
            return false;
        }
    }
    return true;
}

/* The stream at argv[2], which is to be there. */
static bool open_present(struct exec *x, struct key_ref *ref, struct stream **stream) {
    if (!stream_open(x, 2, ref, stream)) return false;
    if (!*stream) reply_error(x, NO_KEY);
    return *stream != NULL;
}

/* And the group at argv[3]. */
static bool open_group(struct exec *x, struct key_ref *ref, struct stream **stream, struct stream_group **group) {
    if (!open_present(x, ref, stream)) return false;
    *group = stream_group_find(*stream, x->argv[3]);
    if (!*group) reply_no_such_group(x, x->argv[2], x->argv[3]);
    return *group != NULL;
}

static void cmd_create(struct exec *x) {
    struct group_options options;
    struct key_ref ref;
    struct stream *stream;
    struct stream_id id;
    if (!parse_options(x, true, &options)) return;
    if (!(options.create ? stream_open(x, 2, &ref, &stream) : open_present(x, &ref, &stream))) return;
    if (x->argc > 8) { /* an option twice */
        reply_bad_sub(x);
        return;
    }
    if (slice_equal(x->argv[4], SLICE("$")))
        id = stream ? stream->last : STREAM_ID_MIN;
    else if (!stream_arg_id(x, 4, 0, &id))
        return;
    if (!stream) {
        stream = stream_create(x, &ref);
        exec_changed(x, ref.key, 0);
    }
    if (stream_group_find(stream, x->argv[3])) {
        reply_error(x, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    stream_group_add(&x->shared->store, stream, x->argv[3], id, options.read);
    reply_ok(x);
    stream_changed_unseen(x, 1);
    exec_event_as(x, NOTIFY_STREAM, "xgroup-create", ref.key);
}

static void cmd_setid(struct exec *x) {
    struct group_options options;
    struct key_ref ref;
    struct stream *stream;
    struct stream_group *group;
    struct stream_id id;
    if (!parse_options(x, false, &options) || !open_group(x, &ref, &stream, &group)) return;
    if (x->argc != 5 && x->argc != 7) {
        reply_bad_sub(x);
        return;
    }
    if (slice_equal(x->argv[4], SLICE("$")))
        id = stream->last;
    else if (!stream_arg_any_id(x, 4, &id))
        return;
    group->last = id;
    group->read = options.read;
    reply_ok(x);
    stream_changed_unseen(x, 1);
    exec_event_as(x, NOTIFY_STREAM, "xgroup-setid", ref.key);
}

static void cmd_destroy(struct exec *x) {
    struct key_ref ref;
    struct stream *stream;
    if (!open_present(x, &ref, &stream)) return;
    struct stream_group *group = stream_group_find(stream, x->argv[3]);
    reply_int(x, group != NULL);
    if (!group) return;
    stream_group_remove(&x->shared->store, stream, group);
    stream_changed_unseen(x, 1);
    exec_event_as(x, NOTIFY_STREAM, "xgroup-destroy", ref.key);
    stream_wake(x, &ref);
}

static void cmd_createconsumer(struct exec *x) {
    struct key_ref ref;
    struct stream *stream;
    struct stream_group *group;
    if (!open_group(x, &ref, &stream, &group)) return;
    bool absent = !stream_consumer_find(group, x->argv[4]);
    if (absent) {
        stream_consumer_add(&x->shared->store, stream, group, x->argv[4], x->shard->now_ms);
        stream_changed_unseen(x, 1);
        exec_event_as(x, NOTIFY_STREAM, "xgroup-createconsumer", ref.key);
    }
    reply_int(x, absent);
}

/* The consumer at argv[4] loses up to so many ids; true while it has more. */
static bool delete_some(struct exec *x, unsigned ids) {
    struct key_ref ref;
    struct stream *stream = exec_open_any(x, 2, &ref) ? entry_object(ref.entry) : NULL;
    if (!stream) return false;
    struct stream_group *group = stream_group_find(stream, x->argv[3]);
    struct stream_consumer *consumer = stream_consumer_find(group, x->argv[4]);
    if (stream_consumer_remove_some(&x->shared->store, stream, group, consumer, ids)) return true;
    exec_event_as(x, NOTIFY_STREAM, "xgroup-delconsumer", ref.key);
    return false;
}

/* Over several turns. The journal is told in the first. */
struct deletion {
    struct work work; /* first: it is cast back */
    uint64_t pending;
    bool begun;
};

static bool deletion_some(struct exec *x, struct work *of) {
    struct deletion *deletion = (struct deletion *)of;
    if (!deletion->begun) stream_changed_unseen(x, 1);
    deletion->begun = true;
    if (delete_some(x, WORK_SLICE)) return true;
    reply_int(x, (int64_t)deletion->pending);
    return false;
}

static struct work *deletion_new(const struct exec *x, uint64_t pending) {
    struct deletion *deletion = work_new(x, sizeof *deletion, (struct work){.some = deletion_some, .tells = true});
    deletion->pending = pending;
    return &deletion->work;
}

static void cmd_delconsumer(struct exec *x) {
    struct key_ref ref;
    struct stream *stream;
    struct stream_group *group;
    if (!open_group(x, &ref, &stream, &group)) return;
    struct stream_consumer *consumer = stream_consumer_find(group, x->argv[4]);
    uint64_t pending = consumer ? consumer->pending.count : 0;
    if (pending > WORK_AT_ONCE && work_takes_turns(x)) {
        if (work_begins(x)) work_begin(x, deletion_new(x, pending));
        return;
    }
    reply_int(x, (int64_t)pending);
    if (!consumer) return;
    (void)delete_some(x, UINT32_MAX); /* it has no more */
    stream_changed_unseen(x, 1);
}

static void cmd_xgroup_help(struct exec *x) {
    static const char *const lines[] = {"CREATE <key> <groupname> <id|$> [option]",
                                        "    Create a new consumer group. Options are:",
                                        "    * MKSTREAM",
                                        "      Create the empty stream if it does not exist.",
                                        "    * ENTRIESREAD entries_read",
                                        "      Set the group's entries_read counter (internal use).",
                                        "CREATECONSUMER <key> <groupname> <consumer>",
                                        "    Create a new consumer in the specified group.",
                                        "DELCONSUMER <key> <groupname> <consumer>",
                                        "    Remove the specified consumer.",
                                        "DESTROY <key> <groupname>",
                                        "    Remove the specified group.",
                                        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
                                        "    Set the current group ID and entries_read counter.",
                                        NULL};
    reply_help(x, lines);
}

static void cmd_xack(struct exec *x) {
    struct key_ref ref;
    struct stream *stream;
    struct stream_id id;
    int64_t gone = 0;
    if (!stream_look(x, 1, &ref, &stream)) return;
    struct stream_group *group = stream ? stream_group_find(stream, x->argv[2]) : NULL;
    if (!group) {
        reply_int(x, 0);
        return;
    }
    for (uint32_t at = 3; at < x->argc; at++)
        if (!stream_arg_id(x, at, 0, &id)) return;
    if (args_take_turns(x, (struct args_parts){.first = 3, .step = 1, .reply = ARGS_ADD_UP})) return;
    for (uint32_t at = 3; at < x->argc; at++) {
        bool sound = stream_parse_id(x->argv[at], 0, &id);
        ASSERT(sound);
        if (!stream_pending_find(group, id)) continue;
        stream_pending_remove(&x->shared->store, stream, group, id);
        gone++;
    }
    reply_int(x, gone);
    stream_changed_unseen(x, (uint64_t)gone);
}

#define GROUP .acl = ACL_STREAM, .where = ON_OWNER, .cost = "O(1)", .replays = true

static const struct command xgroup_subs[] = {
    {.name = "create",
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     GROUP,
     .keys = {KEYS_ONE(2, KEY_RW | KEY_INSERT)},
     .run = cmd_create,
     .beside_save = BESIDE_GROUPS,
     .since = "5.0.0",
     .args = "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
     .doc = "Makes a group of consumers."},
    {.name = "createconsumer",
     .arity = 5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     GROUP,
     .keys = {KEYS_ONE(2, KEY_RW | KEY_INSERT)},
     .run = cmd_createconsumer,
     .beside_save = BESIDE_GROUPS,
     .since = "6.2.0",
     .args = "key group consumer",
     .doc = "Makes a consumer in a group."},
    {.name = "delconsumer",
     .arity = 5,
     .flags = CMD_WRITE,
     GROUP,
     .keys = {KEYS_ONE(2, KEY_RW | KEY_DELETE)},
     .run = cmd_delconsumer,
     .beside_save = BESIDE_GROUPS,
     .takes_turns = true,
     .since = "5.0.0",
     .args = "key group consumer",
     .doc = "Removes a consumer, and answers how many entries were pending for it."},
    {.name = "destroy",
     .arity = 4,
     .flags = CMD_WRITE,
     GROUP,
     .keys = {KEYS_ONE(2, KEY_RW | KEY_DELETE)},
     .run = cmd_destroy,
     .beside_save = BESIDE_GROUPS,
     .since = "5.0.0",
     .args = "key group",
     .doc = "Removes a group of consumers."},
    {.name = "help",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .acl = ACL_STREAM,
     .where = ON_CONN,
     .run = cmd_xgroup_help,
     .since = "5.0.0",
     .cost = "O(1)",
     .doc = "Describes the subcommands."},
    {.name = "setid",
     .arity = -5,
     .flags = CMD_WRITE,
     GROUP,
     .keys = {KEYS_ONE(2, KEY_RW | KEY_UPDATE)},
     .run = cmd_setid,
     .beside_save = BESIDE_GROUPS,
     .since = "5.0.0",
     .args = "key group <id | $> [ENTRIESREAD entries-read]",
     .doc = "Sets from where on a group reads."},
    {0},
};

const struct command stream_group_commands[] = {
    {.name = "xgroup",
     .arity = -2,
     .acl = ACL_STREAM,
     .subs = xgroup_subs,
     .group = "stream",
     .since = "5.0.0",
     .doc = "Groups of consumers of streams."},
    {.name = "xack",
     .arity = -4,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_STREAM,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_xack,
     .beside_save = BESIDE_GROUPS,
     .takes_turns = true,
     .replays = true,
     .group = "stream",
     .since = "5.0.0",
     .cost = "O(log(N)) for each id",
     .args = "key group id [id ...]",
     .doc = "Says that entries were processed: they are no longer pending."},
    {0},
};
