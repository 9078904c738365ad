/* Streams: entries come and go: XADD, XDEL, XTRIM, XLEN, XSETID, XRANGE, XREVRANGE.
 *
 * What the journal is told: an entry with the id that it was given, and of approximate trimming the length that it came
 * to. Exact trimming to that length takes away the same blocks, since what goes without "~" are whole blocks first,
 * too. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/args_work.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/shard.h"
#include "shards/stream_args.h"

/* --- XADD --- */

/* False: there is no such id above the last. */
static bool choose_id(const struct exec *x, const struct stream_options *options, struct stream_id last,
                      struct stream_id *id) {
    *id = options->id;
    if (!options->given) {
        *id = (struct stream_id){x->shard->now_ms, 0};
        if (id->ms <= last.ms) {
            *id = last;
            return stream_id_step(id);
        }
    } else if (options->any_seq && id->ms == last.ms) {
        *id = last;
        return ++id->seq != 0;
    }
    return stream_id_compare(*id, last) > 0;
}

static bool too_large(const struct exec *x, uint32_t first) {
    uint64_t bytes = 0;
    for (uint32_t i = first; i < x->argc; i++) bytes += x->argv[i].len;
    return bytes > BLOCK_BYTES_MAX;
}

/* Why an entry with this id cannot be added; NULL when it can. */
static const char *refusal(const struct exec *x, const struct stream_options *options, struct stream_id last,
                           struct stream_id *id) {
    if (stream_id_equal(last, STREAM_ID_MAX))
        return "ERR The stream has exhausted the last possible ID, unable to add more items";
    if (!choose_id(x, options, last, id))
        return "ERR The ID specified in XADD is equal or smaller than the target stream top item";
    if (too_large(x, options->id_at + 1)) return "ERR Elements are too large to be stored";
    return NULL;
}

static void add_effect(struct exec *x, const struct stream_options *options, struct stream_id id,
                       const struct stream *stream) {
    char text[STREAM_ID_TEXT_MAX], digits[NUM_U64_MAX];
    if (!x->shard->effects.on) return;
    bool exact = !options->trims || options->trim.exact;
    if (exact && options->given && !options->any_seq) {
        effect_same(x);
        return;
    }
    size_t bytes = (x->argc + 3) * sizeof(struct slice);
    struct slice *argv = heap_alloc(x->shard->heap, MEM_MESSAGE, bytes);
    uint32_t argc = 0;
    argv[argc++] = SLICE("XADD");
    argv[argc++] = x->argv[1];
    if (!exact) {
        argv[argc++] = SLICE("MAXLEN");
        argv[argc++] = SLICE("=");
        argv[argc++] = slice_of(digits, num_format_u64(digits, stream->length));
    } else {
        for (uint32_t at = 2; at < options->id_at; at++) argv[argc++] = x->argv[at];
    }
    argv[argc++] = stream_id_text(id, text);
    for (uint32_t at = options->id_at + 1; at < x->argc; at++) argv[argc++] = x->argv[at];
    effect_add(x, x->db, argv, argc);
    heap_free(x->shard->heap, MEM_MESSAGE, argv, bytes);
}

static void cmd_xadd(struct exec *x) {
    struct stream_options options;
    struct key_ref ref;
    struct stream *stream;
    struct stream_id id;
    if (!stream_arg_options(x, true, &options)) return;
    uint32_t first = options.id_at + 1, texts = x->argc - MIN(first, x->argc);
    if (texts < 2 || texts % 2 == 1) {
        reply_wrong_arity(x);
        return;
    }
    if (options.given && !options.any_seq && stream_id_is_zero(options.id)) {
        reply_error(x, "ERR The ID specified in XADD must be greater than 0-0");
        return;
    }
    if (!stream_open(x, 1, &ref, &stream)) return;
    if (!stream && options.no_create) {
        reply_null(x);
        return;
    }
    const char *error = refusal(x, &options, stream ? stream->last : STREAM_ID_MIN, &id);
    if (error) {
        reply_error(x, error);
        return;
    }
    if (!stream) stream = stream_create(x, &ref);
    stream_append(&x->shared->store, stream, &x->shared->stream_rule, id, x->argv + first, texts / 2);
    reply_stream_id(x, id);
    exec_changed(x, ref.key, 1);
    exec_event_as(x, NOTIFY_STREAM, "xadd", ref.key);
    if (options.trims && stream_trim(&x->shared->store, stream, &options.trim) > 0)
        exec_event_as(x, NOTIFY_STREAM, "xtrim", ref.key);
    add_effect(x, &options, id, stream);
    stream_wake(x, &ref);
}

/* --- XDEL, XTRIM, XSETID --- */

static void cmd_xdel(struct exec *x) {
    struct key_ref ref;
    struct stream *stream;
    struct stream_id id;
    int64_t gone = 0;
    if (!stream_open(x, 1, &ref, &stream)) return;
    if (!stream) {
        reply_int(x, 0);
        return;
    }
    for (uint32_t at = 2; at < x->argc; at++)
        if (!stream_arg_id(x, at, 0, &id)) return;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_ADD_UP})) return;
    for (uint32_t at = 2; at < x->argc; at++) {
        bool sound = stream_parse_id(x->argv[at], 0, &id);
        ASSERT(sound);
        if (!stream_remove(&x->shared->store, stream, id)) continue;
        if (stream_id_compare(id, stream->max_deleted) > 0) stream->max_deleted = id;
        gone++;
    }
    reply_int(x, gone);
    if (gone == 0) return;
    stream->first = stream_find_first(stream);
    exec_changed(x, ref.key, (uint64_t)gone);
    exec_event_as(x, NOTIFY_STREAM, "xdel", ref.key);
    effect_same(x);
}

static void cmd_xtrim(struct exec *x) {
    struct stream_options options;
    struct key_ref ref;
    struct stream *stream;
    char digits[NUM_U64_MAX];
    if (!stream_arg_options(x, false, &options) || !stream_open(x, 1, &ref, &stream)) return;
    uint64_t gone = stream ? stream_trim(&x->shared->store, stream, &options.trim) : 0;
    reply_int(x, (int64_t)gone);
    if (gone == 0) return;
    exec_changed(x, ref.key, gone);
    exec_event_as(x, NOTIFY_STREAM, "xtrim", ref.key);
    if (options.trim.exact) {
        effect_same(x);
        return;
    }
    struct slice len = slice_of(digits, num_format_u64(digits, stream->length));
    effect_add(x, x->db, (struct slice[]){SLICE("XTRIM"), ref.key, SLICE("MAXLEN"), SLICE("="), len}, 5);
}

struct setid {
    struct stream_id last, max_deleted;
    int64_t added; /* -1: not given */
    bool deleted;
};

static bool parse_setid(struct exec *x, struct setid *out) {
    *out = (struct setid){.added = -1};
    if (!stream_arg_id(x, 2, 0, &out->last)) return false;
    for (uint32_t at = 3; at < x->argc; at++) {
        bool more = at + 1 < x->argc;
        if (more && arg_is(x, at, "entriesadded")) {
            if (!exec_int(x, ++at, &out->added)) return false;
            if (out->added < 0) {
                reply_error(x, "ERR entries_added must be positive");
                return false;
            }
        } else if (more && arg_is(x, at, "maxdeletedid")) {
            if (!stream_arg_id(x, ++at, 0, &out->max_deleted)) return false;
            out->deleted = true;
            if (stream_id_compare(out->last, out->max_deleted) < 0) {
                reply_error(x, "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
                return false;
            }
        } else {
            reply_syntax_error(x);
            return false;
        }
    }
    return true;
}

static const char *setid_refusal(const struct stream *stream, const struct setid *setid) {
    if (!stream) return "ERR no such key";
    if (stream->length == 0) return NULL;
    if (stream_id_compare(setid->last, stream_last_valid(stream)) < 0)
        return "ERR The ID specified in XSETID is smaller than the target stream top item";
    if (setid->added != -1 && (int64_t)stream->length > setid->added)
        return "ERR The entries_added specified in XSETID is smaller than the target stream length";
    return NULL;
}

static void cmd_xsetid(struct exec *x) {
    struct setid setid;
    struct key_ref ref;
    struct stream *stream;
    if (!parse_setid(x, &setid) || !stream_open(x, 1, &ref, &stream)) return;
    const char *error = setid_refusal(stream, &setid);
    if (error) {
        reply_error(x, error);
        return;
    }
    stream->last = setid.last;
    if (setid.added != -1) stream->added = (uint64_t)setid.added;
    if (setid.deleted && !stream_id_is_zero(setid.max_deleted)) stream->max_deleted = setid.max_deleted;
    reply_ok(x);
    stream_changed_unseen(x, 1);
    exec_event_as(x, NOTIFY_STREAM, "xsetid", ref.key);
}

/* --- reading --- */

static void cmd_xlen(struct exec *x) {
    struct key_ref ref;
    const struct stream *stream;
    if (stream_read(x, 1, &ref, &stream)) reply_int(x, stream ? (int64_t)stream->length : 0);
}

struct range {
    struct stream_id from, to;
    int64_t count; /* -1: not given */
    bool backwards;
};

/* False: the error was replied. */
static bool parse_range(struct exec *x, struct range *range) {
    bool backwards = range->backwards;
    range->count = -1;
    if (!stream_arg_interval(x, backwards ? 3 : 2, backwards ? 2 : 3, &range->from, &range->to)) return false;
    for (uint32_t at = 4; at < x->argc; at++) {
        if (at + 1 == x->argc || !arg_is(x, at, "count")) {
            reply_syntax_error(x);
            return false;
        }
        if (!exec_int(x, ++at, &range->count)) return false;
        range->count = MAX(range->count, (int64_t)0);
    }
    return true;
}

static uint64_t most_of(const struct range *range) {
    return range->count < 0 ? 0 : (uint64_t)range->count;
}

static uint64_t range_bytes(const struct stream *stream, const struct range *range) {
    return stream_bytes_between(stream, range->from, range->to, range->backwards, most_of(range));
}

static void reply_range(struct exec *x, struct range range) {
    struct key_ref ref;
    const struct stream *stream;
    if (!parse_range(x, &range) || !stream_read(x, 1, &ref, &stream)) return;
    if (!stream)
        reply_array(x, 0);
    else if (range.count == 0)
        reply_null_array(x);
    else if (!answer_waits_for(x, range_bytes(stream, &range)))
        reply_stream_range(x, stream, range.from, range.to, range.backwards, most_of(&range));
}

static uint64_t range_answers(const struct exec *x, struct range range) {
    const struct entry *entry = answer_peek(x, 1, TYPE_STREAM);
    struct buf unseen;
    struct exec asked = answer_asked(x, &unseen);
    bool readable = entry && parse_range(&asked, &range) && range.count != 0;
    buf_deinit(&unseen);
    return readable ? range_bytes(entry_object(entry), &range) : 0;
}

static void cmd_xrange(struct exec *x) {
    reply_range(x, (struct range){0});
}
static void cmd_xrevrange(struct exec *x) {
    reply_range(x, (struct range){.backwards = true});
}
static uint64_t xrange_answers(const struct exec *x) {
    return range_answers(x, (struct range){0});
}
static uint64_t xrevrange_answers(const struct exec *x) {
    return range_answers(x, (struct range){.backwards = true});
}

#define STREAM .acl = ACL_STREAM, .where = ON_OWNER, .group = "stream"

const struct command stream_commands[] = {
    {.name = "xadd",
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     STREAM,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .run = cmd_xadd,
     .beside_save = BESIDE_ELEMENTS,
     .since = "5.0.0",
     .cost = "O(1), with trimming O(N), N = number of entries that go",
     .args =
         "key [NOMKSTREAM] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
     .doc = "Appends an entry to a stream, and answers its id.",
     .tips = "nondeterministic_output"},
    {.name = "xlen",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     STREAM,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .run = cmd_xlen,
     .since = "5.0.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Counts the entries of a stream."},
    {.name = "xrange",
     .arity = -4,
     .flags = CMD_READ,
     STREAM,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .run = cmd_xrange,
     .answers = xrange_answers,
     .since = "5.0.0",
     .cost = "O(log(N)+M), M = number of entries answered",
     .args = "key start end [COUNT count]",
     .doc = "Answers the entries between two ids."},
    {.name = "xrevrange",
     .arity = -4,
     .flags = CMD_READ,
     STREAM,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .run = cmd_xrevrange,
     .answers = xrevrange_answers,
     .since = "5.0.0",
     .cost = "O(log(N)+M), M = number of entries answered",
     .args = "key end start [COUNT count]",
     .doc = "Answers the entries between two ids, the latest first."},
    {.name = "xdel",
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     STREAM,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .run = cmd_xdel,
     .beside_save = BESIDE_ELEMENTS,
     .takes_turns = true,
     .since = "5.0.0",
     .cost = "O(log(N)) for each id",
     .args = "key id [id ...]",
     .doc = "Takes entries out of a stream by their ids."},
    {.name = "xtrim",
     .arity = -4,
     .flags = CMD_WRITE,
     STREAM,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .run = cmd_xtrim,
     .beside_save = BESIDE_ELEMENTS,
     .since = "5.0.0",
     .cost = "O(N), N = number of entries that go, with a small constant",
     .args = "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count]",
     .doc = "Takes the oldest entries out of a stream.",
     .tips = "nondeterministic_output"},
    {.name = "xsetid",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     STREAM,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .run = cmd_xsetid,
     .beside_save = BESIDE_ELEMENTS,
     .replays = true,
     .since = "5.0.0",
     .cost = "O(1)",
     .args = "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
     .doc = "Sets the id that the next one has to exceed."},
    {0},
};
