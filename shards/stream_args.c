/* Stream args: ids and options are read with Redis's leniency: its numbers may have spaces and a sign in front, unless
 * they are such as it writes itself, and a NUL byte ends them. */
#include "shards/stream_args.h"
#include "core/assert.h"
#include "core/num.h"
#include "shards/shard.h"

#define ID_TEXT_MAX     127 /* Redis reads no longer id */
#define BAD_ID          "ERR Invalid stream ID specified as stream command argument"
#define LIMIT_DEFAULT   10000
#define LIMIT_AUTO_MAX  1000000
#define LIMIT_PER_NODES 100

/* --- ids --- */

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* What strtoull reads, all of it. */
static bool parse_lenient(struct slice text, uint64_t *out) {
    uint64_t value = 0;
    size_t at = 0;
    while (at < text.len && is_space(text.ptr[at])) at++;
    bool negative = at < text.len && text.ptr[at] == '-';
    if (at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+')) at++;
    if (at == text.len) return false;
    for (; at < text.len; at++) {
        if (text.ptr[at] < '0' || text.ptr[at] > '9') return false;
        if (__builtin_mul_overflow(value, 10u, &value)) return false;
        if (__builtin_add_overflow(value, (uint64_t)(text.ptr[at] - '0'), &value)) return false;
    }
    *out = negative ? -value : value;
    return true;
}

static bool parse_number(struct slice text, uint64_t *out) {
    int64_t number;
    if (!num_parse_i64(text, &number)) return parse_lenient(text, out);
    *out = (uint64_t)number;
    return number >= 0;
}

/* "-" and "+" as well, and "ms-*" if any_seq is there to say so. */
static bool parse_any(struct slice text, uint64_t missing, struct stream_id *id, bool *any_seq) {
    if (text.len > ID_TEXT_MAX) return false;
    text.len = strnlen(text.ptr, text.len);
    bool one = text.len == 1;
    if (one && (*text.ptr == '-' || *text.ptr == '+')) {
        *id = *text.ptr == '-' ? STREAM_ID_MIN : STREAM_ID_MAX;
        return true;
    }
    const char *dash = text.len ? memchr(text.ptr, '-', text.len) : NULL;
    *id = (struct stream_id){0, missing};
    if (!dash) return parse_number(text, &id->ms);
    struct slice seq = slice_of(dash + 1, (size_t)(text.ptr + text.len - dash - 1));
    if (!parse_number(slice_of(text.ptr, (size_t)(dash - text.ptr)), &id->ms)) return false;
    if (!any_seq || seq.len != 1 || *seq.ptr != '*') return parse_number(seq, &id->seq);
    *any_seq = true;
    id->seq = 0;
    return true;
}

static bool parse_strict(struct slice text, uint64_t missing, struct stream_id *id, bool *any_seq) {
    bool sign = text.len == 1 && (*text.ptr == '-' || *text.ptr == '+');
    return !sign && parse_any(text, missing, id, any_seq);
}

bool stream_parse_id(struct slice text, uint64_t missing, struct stream_id *id) {
    return parse_strict(text, missing, id, NULL);
}

static bool check_id(struct exec *x, bool sound) {
    if (!sound) reply_error(x, BAD_ID);
    return sound;
}

bool stream_arg_id(struct exec *x, uint32_t at, uint64_t missing, struct stream_id *id) {
    return check_id(x, parse_strict(x->argv[at], missing, id, NULL));
}

bool stream_arg_any_id(struct exec *x, uint32_t at, struct stream_id *id) {
    return check_id(x, parse_any(x->argv[at], 0, id, NULL));
}

bool stream_arg_end(struct exec *x, uint32_t at, uint64_t missing, struct stream_id *id, bool *open) {
    struct slice text = x->argv[at];
    *open = text.len > 1 && *text.ptr == '(';
    if (*open) return check_id(x, parse_strict(slice_of(text.ptr + 1, text.len - 1), missing, id, NULL));
    return check_id(x, parse_any(text, missing, id, NULL));
}

bool stream_arg_interval(struct exec *x, uint32_t from, uint32_t to, struct stream_id *first, struct stream_id *last) {
    bool open;
    if (!stream_arg_end(x, from, 0, first, &open)) return false;
    if (open && !stream_id_step(first)) {
        reply_error(x, "ERR invalid start ID for the interval");
        return false;
    }
    if (!stream_arg_end(x, to, UINT64_MAX, last, &open)) return false;
    if (open && !stream_id_step_back(last)) {
        reply_error(x, "ERR invalid end ID for the interval");
        return false;
    }
    return true;
}

/* --- options of XADD and XTRIM --- */

static bool not_negative(struct exec *x, uint32_t at, uint64_t *out, const char *error) {
    int64_t value;
    if (!exec_int(x, at, &value)) return false;
    *out = (uint64_t)value;
    if (value < 0) reply_error(x, error);
    return value >= 0;
}

/* MAXLEN or MINID at argv[*at], which moves to what it is about. */
static bool parse_strategy(struct exec *x, uint32_t *at, bool by_id, struct stream_options *options) {
    struct stream_trim *trim = &options->trim;
    if (options->trims) {
        reply_error(x, "ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
        return false;
    }
    options->trims = true;
    trim->by_id = by_id;
    trim->exact = true;
    if (++*at + 1 < x->argc && (slice_equal(x->argv[*at], SLICE("~")) || slice_equal(x->argv[*at], SLICE("=")))) {
        trim->exact = *x->argv[*at].ptr == '=';
        ++*at;
    }
    if (by_id) return stream_arg_id(x, *at, 0, &trim->id);
    return not_negative(x, *at, &trim->max, "ERR The MAXLEN argument must be >= 0.");
}

/* What LIMIT is about: with "~" alone, and there by default. */
static bool settle_limit(struct exec *x, bool xadd, bool limited, struct stream_options *options) {
    struct stream_trim *trim = &options->trim;
    const char *error = NULL;
    if (trim->limit && !options->trims)
        error = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
    else if (!xadd && !options->trims)
        error = "ERR syntax error, XTRIM must be called with a trimming strategy";
    else if (limited && (!options->trims || trim->exact))
        error = "ERR syntax error, LIMIT cannot be used without the special ~ option";
    if (error) {
        reply_error(x, error);
        return false;
    }
    if (limited || !options->trims || trim->exact) return true;
    int64_t limit;
    if (__builtin_mul_overflow(x->shared->stream_rule.block_entries, LIMIT_PER_NODES, &limit) || limit <= 0)
        limit = LIMIT_DEFAULT;
    trim->limit = (uint64_t)MIN(limit, (int64_t)LIMIT_AUTO_MAX);
    return true;
}

bool stream_arg_options(struct exec *x, bool xadd, struct stream_options *options) {
    bool limited = false;
    uint32_t at = 2;
    *options = (struct stream_options){0};
    for (; at < x->argc; at++) {
        bool more = at + 1 < x->argc;
        if (xadd && slice_equal(x->argv[at], SLICE("*"))) break;
        if (more && arg_is(x, at, "maxlen")) {
            if (!parse_strategy(x, &at, false, options)) return false;
        } else if (more && arg_is(x, at, "minid")) {
            if (!parse_strategy(x, &at, true, options)) return false;
        } else if (more && arg_is(x, at, "limit")) {
            if (!not_negative(x, ++at, &options->trim.limit, "ERR The LIMIT argument must be >= 0.")) return false;
            limited = true;
        } else if (xadd && arg_is(x, at, "nomkstream")) {
            options->no_create = true;
        } else if (xadd) {
            options->given = true;
            if (!check_id(x, parse_strict(x->argv[at], 0, &options->id, &options->any_seq))) return false;
            break;
        } else {
            reply_syntax_error(x);
            return false;
        }
    }
    options->id_at = at;
    return settle_limit(x, xadd, limited, options);
}

/* --- the key --- */

bool stream_open(struct exec *x, uint32_t at, struct key_ref *ref, struct stream **stream) {
    if (!exec_open(x, at, TYPE_STREAM, ref)) return false;
    *stream = ref->entry ? entry_object(ref->entry) : NULL;
    return true;
}

bool stream_look(struct exec *x, uint32_t at, struct key_ref *ref, struct stream **stream) {
    if (!exec_read(x, at, TYPE_STREAM, ref)) return false;
    *stream = ref->entry ? entry_object(ref->entry) : NULL;
    return true;
}

bool stream_read(struct exec *x, uint32_t at, struct key_ref *ref, const struct stream **stream) {
    if (!exec_read(x, at, TYPE_STREAM, ref)) return false;
    *stream = ref->entry ? entry_object(ref->entry) : NULL;
    return true;
}

struct stream *stream_create(struct exec *x, struct key_ref *ref) {
    struct stream *stream = stream_new(&x->shared->store);
    ASSERT(!ref->entry);
    keyspace_put_entry(x->keys, ref, entry_new_object(&x->shared->store, ref->key, TYPE_STREAM, stream, 0));
    return stream;
}

void stream_wake(struct exec *x, const struct key_ref *ref) {
    shard_key_created(x->shard, x->db, ref->key, ref->hash);
}

/* --- replies --- */

/* Names may have any length, and end where a NUL byte is. */
void reply_about(struct exec *x, const char *before, struct slice one, const char *between, struct slice two,
                 const char *behind) {
    struct buf text;
    buf_init(&text, x->shard->heap, MEM_MESSAGE);
    buf_append(&text, before, strlen(before));
    buf_append(&text, one.ptr, strnlen(one.ptr, one.len));
    buf_append(&text, between, strlen(between));
    buf_append(&text, two.ptr, strnlen(two.ptr, two.len));
    buf_append(&text, behind, strlen(behind) + 1);
    reply_error(x, text.data);
    buf_deinit(&text);
}

void reply_no_such_group(struct exec *x, struct slice key, struct slice group) {
    reply_about(x, "NOGROUP No such consumer group '", group, "' for key name '", key, "'");
}

void reply_no_key_or_group(struct exec *x, struct slice key, struct slice group) {
    reply_about(x, "NOGROUP No such key '", key, "' or consumer group '", group, "'");
}

struct slice stream_id_text(struct stream_id id, char out[STREAM_ID_TEXT_MAX]) {
    size_t len = num_format_u64(out, id.ms);
    out[len++] = '-';
    return slice_of(out, len + num_format_u64(out + len, id.seq));
}

void reply_stream_id(struct exec *x, struct stream_id id) {
    char text[STREAM_ID_TEXT_MAX];
    reply_bulk(x, stream_id_text(id, text));
}

void reply_stream_entry(struct exec *x, const struct stream_entry *entry) {
    struct stream_entry walk = *entry;
    struct packed_value name, value;
    reply_array(x, 2);
    reply_stream_id(x, walk.id);
    reply_array(x, 2 * walk.fields);
    for (uint64_t i = 0; i < walk.fields; i++) {
        stream_entry_field(&walk, &name, &value);
        reply_packed(x, &name);
        reply_packed(x, &value);
    }
}

uint64_t reply_stream_range(struct exec *x, const struct stream *stream, struct stream_id from, struct stream_id to,
                            bool backwards, uint64_t count) {
    struct stream_entry entry;
    struct stream_iter iter = stream_seek(stream, from, to, backwards);
    size_t mark = resp_array_open(x->out);
    uint64_t done = 0;
    for (; (count == 0 || done < count) && stream_next(&iter, &entry); done++) reply_stream_entry(x, &entry);
    resp_array_close(x->out, mark, done);
    return done;
}
