/* Stream read: arguments; a place in a stream; giving entries to a reader or to a consumer. */
#include "shards/stream_read.h"
#include "core/assert.h"
#include "core/num.h"
#include "shards/effect_add.h"
#include "shards/shard.h"
#include "shards/stream_claim.h"

/* --- arguments --- */

uint32_t stream_find_keys(const struct slice *argv, uint32_t argc) {
    for (uint32_t at = 1; at + 1 < argc; at++) {
        if (slice_is(argv[at], "streams")) return at + 1;
        if (slice_is(argv[at], "group")) at += 2;
        if (slice_is(argv[at], "count") || slice_is(argv[at], "block")) at++;
    }
    return 0;
}

static const char *parse_block(struct slice text, uint64_t now_ms, struct read_args *args) {
    int64_t ms;
    if (!num_parse_i64(text, &ms)) return "ERR timeout is not an integer or out of range";
    if (ms < 0) return "ERR timeout is negative";
    if (ms > INT64_MAX - (int64_t)now_ms) return "ERR timeout is out of range";
    args->blocks = true;
    args->timeout_ms = (uint64_t)ms;
    return NULL;
}

static const char *parse_count(struct slice text, struct read_args *args) {
    int64_t count;
    if (!num_parse_i64(text, &count)) return "ERR value is not an integer or out of range";
    args->count = count > 0 ? (uint64_t)count : 0;
    return NULL;
}

#define UNBALANCED "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified."

static const char *parse_keys(uint32_t argc, uint32_t first, struct read_args *args) {
    args->first = first;
    args->keys = (argc - first) / 2;
    if ((argc - first) % 2 == 0) return NULL;
    return UNBALANCED;
}

/* One option at argv[*at], which moves to its last word. NULL, or what is wrong with it. */
static const char *parse_option(const struct slice *argv, uint32_t argc, uint32_t *at, bool grouped, uint64_t now_ms,
                                struct read_args *args) {
    uint32_t more = argc - *at - 1;
    struct slice word = argv[*at];
    if (more >= 1 && slice_is(word, "block")) return parse_block(argv[++*at], now_ms, args);
    if (more >= 1 && slice_is(word, "count")) return parse_count(argv[++*at], args);
    if (more >= 2 && slice_is(word, "group")) {
        if (!grouped) return "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.";
        args->group = argv[*at + 1];
        args->consumer = argv[*at + 2];
        args->grouped = true;
        *at += 2;
        return NULL;
    }
    if (!slice_is(word, "noack")) return "ERR syntax error";
    args->noack = true;
    return grouped ? NULL : "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.";
}

bool stream_parse_read(const struct slice *argv, uint32_t argc, bool grouped, uint64_t now_ms, struct read_args *args) {
    *args = (struct read_args){0};
    for (uint32_t at = 1; at < argc && !args->error && !args->first; at++) {
        if (at + 1 < argc && slice_is(argv[at], "streams"))
            args->error = parse_keys(argc, at + 1, args);
        else
            args->error = parse_option(argv, argc, &at, grouped, now_ms, args);
    }
    if (!args->error && !args->first) args->error = "ERR syntax error";
    if (!args->error && grouped && !args->grouped) args->error = "ERR Missing GROUP option for XREADGROUP";
    return !args->error;
}

/* --- places --- */

bool stream_read_place(struct exec *x, uint32_t key_at, struct slice id, const struct read_args *args,
                       struct read_from *from) {
    struct key_ref ref;
    struct stream *stream;
    *from = (struct read_from){.id = STREAM_ID_MIN};
    if (!stream_look(x, key_at, &ref, &stream)) return false;
    if (args->grouped && (!stream || !stream_group_find(stream, args->group))) {
        reply_about(x, "NOGROUP No such key '", ref.key, "' or consumer group '", args->group,
                    "' in XREADGROUP with GROUP option");
        return false;
    }
    if (slice_equal(id, SLICE("$"))) {
        if (!args->grouped) {
            if (stream) from->id = stream->last;
            return true;
        }
        reply_error(x, "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this "
                       "consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just "
                       "return an empty result set.");
        return false;
    }
    if (slice_equal(id, SLICE(">"))) {
        from->fresh = args->grouped;
        if (!args->grouped)
            reply_error(x, "ERR The > ID can be specified only when calling XREADGROUP using the GROUP "
                           "<group> <consumer> option.");
        return args->grouped;
    }
    if (stream_parse_id(id, 0, &from->id)) {
        from->fresh = args->grouped && stream_id_equal(from->id, STREAM_ID_MAX); /* what Redis makes of ">" */
        return true;
    }
    reply_error(x, "ERR Invalid stream ID specified as stream command argument");
    return false;
}

/* --- giving to a group --- */

/* The group comes to this entry, which is behind all it was given. */
static void advance(const struct stream *stream, struct stream_group *group, struct stream_id id) {
    if (group->read != GROUP_READ_UNKNOWN && !stream_has_holes(stream, id))
        group->read =
            (int64_t)((uint64_t)group->read + 1); /* XGROUP SETID takes the largest there is, and Redis wraps */
    else if (stream->added > 0)
        group->read = stream_count_to(stream, id);
    group->last = id;
}

void stream_give(struct exec *x, struct key_ref *ref, struct stream_group *group, struct stream_consumer *consumer,
                 const struct read_args *args) {
    struct stream *stream = entry_object(ref->entry);
    struct stream_id from = group->last;
    struct stream_entry entry;
    struct claim_effect effect;
    uint64_t done = 0, now_ms = x->shard->now_ms;
    (void)stream_id_step(&from);
    size_t mark = resp_array_open(x->out);
    struct stream_iter iter = stream_seek(stream, from, STREAM_ID_MAX, false);
    claim_effect_begin(&effect, x, ref->key, group, consumer->name, &(struct claim_words){now_ms, CLAIM_SET, 1, true});
    for (; (args->count == 0 || done < args->count) && stream_next(&iter, &entry); done++) {
        reply_stream_entry(x, &entry);
        advance(stream, group, entry.id);
        if (args->noack) continue;
        struct pending *pending = stream_pending_give(&x->shared->store, stream, group, entry.id, consumer);
        pending->delivered_ms = now_ms;
        pending->deliveries = 1;
        claim_effect_add(&effect, entry.id);
    }
    claim_effect_end(&effect);
    resp_array_close(x->out, mark, done);
    if (done == 0) return;
    stream_changed_unseen(x, 1);
    effect_group_place(x, ref->key, group);
}

/* --- giving once more --- */

/* What the consumer has after an id, whether it is still there or not. */
static void give_again(struct exec *x, struct key_ref *ref, struct stream_group *group,
                       struct stream_consumer *consumer, struct stream_id after, uint64_t count) {
    struct stream *stream = entry_object(ref->entry);
    struct claim_effect effect;
    uint64_t done = 0, delivered = 0, now_ms = x->shard->now_ms;
    (void)stream_id_step(&after);
    struct idtree_iter iter = idtree_seek(&consumer->pending, after);
    const struct stream_id *id;
    size_t mark = resp_array_open(x->out);
    claim_effect_begin(&effect, x, ref->key, group, consumer->name,
                       &(struct claim_words){now_ms, CLAIM_COUNT, 0, false});
    for (; (count == 0 || done < count) && (id = idtree_next(&iter)); done++) {
        struct stream_entry entry;
        struct stream_iter at = stream_seek(stream, *id, *id, false);
        if (!stream_next(&at, &entry)) {
            reply_array(x, 2);
            reply_stream_id(x, *id);
            reply_null_array(x);
            continue;
        }
        struct pending *pending = stream_pending_find(group, *id);
        pending->delivered_ms = now_ms;
        pending->deliveries++;
        reply_stream_entry(x, &entry);
        claim_effect_add(&effect, *id);
        delivered++;
    }
    claim_effect_end(&effect);
    resp_array_close(x->out, mark, done);
    if (delivered > 0) stream_changed_unseen(x, 1);
}

struct stream_consumer *stream_take_consumer(struct exec *x, struct key_ref *ref, struct stream_group *group,
                                             struct slice name) {
    struct stream_consumer *consumer = stream_consumer_find(group, name);
    if (consumer) {
        consumer->seen_ms = x->shard->now_ms;
        return consumer;
    }
    consumer = stream_consumer_add(&x->shared->store, entry_object(ref->entry), group, name, x->shard->now_ms);
    stream_changed_unseen(x, 1);
    exec_event_as(x, NOTIFY_STREAM, "xgroup-createconsumer", ref->key);
    effect_add(x, x->db, (struct slice[]){SLICE("XGROUP"), SLICE("CREATECONSUMER"), ref->key, group->name, name}, 5);
    return consumer;
}

/* --- one key --- */

static void open_pair(struct exec *x, struct slice key) {
    if (x->resp == 2) reply_array(x, 2);
    reply_bulk(x, key);
}

static bool read_group(struct exec *x, struct key_ref *ref, struct read_from from, const struct read_args *args) {
    struct stream *stream = entry_object(ref->entry);
    struct stream_group *group = stream_group_find(stream, args->group);
    ASSERT(group);
    bool some = !from.fresh || (stream->length > 0 && stream_id_compare(stream_last_valid(stream), group->last) > 0);
    if (!some) return false;
    struct stream_consumer *consumer = stream_take_consumer(x, ref, group, args->consumer);
    open_pair(x, ref->key);
    if (from.fresh)
        stream_give(x, ref, group, consumer, args);
    else
        give_again(x, ref, group, consumer, from.id, args->count);
    return true;
}

bool stream_read_key(struct exec *x, uint32_t key_at, struct read_from from, const struct read_args *args) {
    struct key_ref ref;
    struct stream *stream;
    bool fits = stream_open(x, key_at, &ref, &stream);
    ASSERT(fits);
    if (!stream) return false;
    if (args->grouped) return read_group(x, &ref, from, args);
    if (stream->length == 0 || stream_id_compare(stream_last_valid(stream), from.id) <= 0) return false;
    (void)stream_id_step(&from.id);
    open_pair(x, ref.key);
    reply_stream_range(x, stream, from.id, STREAM_ID_MAX, false, args->count);
    return true;
}
