/* Joining: the replies of a gather's parts, which are RESP as their shards wrote it, taken apart and put together to
 * the reply of the whole. Nothing is checked beyond what tells the kinds of replies apart: another of our threads wrote
 * them. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/exec.h"
#include "shards/gather_priv.h"
#include "shards/message.h"
#include "shards/shard.h"

bool gather_reply_is_error(struct slice reply) {
    return reply.len > 0 && reply.ptr[0] == '-';
}

/* The number in the first line of a reply that starts with type; *after is behind that line. */
static bool header_number(struct slice reply, const char *types, int64_t *value, size_t *after) {
    if (reply.len < 4 || !strchr(types, reply.ptr[0])) return false;
    const char *cr = memchr(reply.ptr, '\r', reply.len);
    if (!cr) return false;
    *after = (size_t)(cr - reply.ptr) + 2;
    return num_parse_i64(slice_of(reply.ptr + 1, (size_t)(cr - reply.ptr) - 1), value);
}

bool gather_reply_int(struct slice reply, int64_t *value) {
    size_t after;
    return header_number(reply, ":", value, &after);
}

bool gather_reply_bulk(struct slice reply, struct slice *bytes) {
    int64_t len;
    size_t after;
    if (!header_number(reply, "$=", &len, &after) || len < 0) return false;
    size_t skip = reply.ptr[0] == '=' ? 4 : 0; /* "txt:" of a verbatim string */
    *bytes = slice_of(reply.ptr + after + skip, (size_t)len - skip);
    return true;
}

int64_t gather_reply_array(struct slice reply, struct slice *rest) {
    int64_t count;
    size_t after;
    if (!header_number(reply, "*~>", &count, &after)) return -1;
    *rest = slice_of(reply.ptr + after, reply.len - after);
    return count;
}

struct slice gather_next_element(struct slice *rest) {
    size_t size = resp_skip(*rest);
    ASSERT(size > 0);
    struct slice element = slice_of(rest->ptr, size);
    *rest = slice_of(rest->ptr + size, rest->len - size);
    return element;
}

/* The first error of any part becomes the reply. */
static bool merge_error(struct gather *gather) {
    for (uint32_t i = 0; i < gather->parts; i++) {
        if (!gather_reply_is_error(gather_reply(gather, i))) continue;
        buf_append_slice(&gather->out, gather_reply(gather, i));
        return true;
    }
    return false;
}

static void merge_sum(struct gather *gather) {
    int64_t sum = 0, value;
    for (uint32_t i = 0; i < gather->parts; i++)
        if (gather_reply_int(gather_reply(gather, i), &value)) sum += value;
    resp_int(&gather->out, sum);
}

/* Where an element ends that begins at `at`: "$5\r\n.....\r\n", as most do, or anything else. Its reply is whole. */
HOT_INLINE const char *element_end(const char *at, const char *end) {
    if (LIKELY(*at == '$')) {
        const char *digit = at + 1;
        size_t len = 0;
        for (; (unsigned char)(*digit - '0') < 10; digit++) len = len * 10 + (size_t)(*digit - '0');
        if (LIKELY(*digit == '\r')) return digit + 2 + len + 2;
    }
    struct slice rest = slice_of(at, (size_t)(end - at));
    return at + gather_next_element(&rest).len;
}

/* There is room for all of them: elements are only copied, in the order of the keys. */
static void merge_by_key(struct gather *gather) {
    struct shard *home = gather->home;
    const char *next[SHARDS_MAX], *end[SHARDS_MAX];
    size_t bytes = RESP_HEADER_MAX;
    for (uint32_t i = 0; i < gather->parts; i++) {
        struct slice rest;
        int64_t count = gather_reply_array(gather_reply(gather, i), &rest);
        ASSERT(count >= 0);
        next[i] = rest.ptr;
        end[i] = rest.ptr + rest.len;
        bytes += rest.len;
    }
    /* It is copied once more and given back in a moment, unless the disk is waited for. */
    if (bytes <= BUF_POOL_BYTES && !gather->out.data && !home->commit.on) buf_pool_lend(&home->replies, &gather->out);
    buf_make_room(&gather->out, bytes);
    resp_array(&gather->out, gather->key_count);
    char *to = gather->out.data + gather->out.len;
    for (uint32_t i = 0; i < gather->key_count; i++) {
        uint32_t part = gather->part_of_key[i];
        const char *at = next[part];
        next[part] = element_end(at, end[part]);
        ASSERT(next[part] <= end[part]);
        memcpy(to, at, (size_t)(next[part] - at));
        to += next[part] - at;
    }
    gather->out.len = (size_t)(to - gather->out.data);
}

/* Elements that came behind a reply are not copied: the client passes their blocks on one by one. A few are, so that a
 * short reply is like any other. */
static void join_elements(struct gather *gather) {
    for (uint32_t i = 0; i < gather->parts; i++)
        if (gather->answered[i].message) chain_join(&gather->rest, &gather->answered[i].message->elements);
    if (chain_len(&gather->rest) < BUF_POOL_BYTES) chain_flatten(&gather->rest, gather->home->heap, &gather->out);
}

static void merge_concat(struct gather *gather) {
    struct slice rest;
    int64_t total = 0;
    size_t bytes = RESP_HEADER_MAX;
    for (uint32_t i = 0; i < gather->parts; i++) {
        total += MAX(gather_reply_array(gather_reply(gather, i), &rest), 0);
        bytes += gather_reply(gather, i).len;
    }
    buf_make_room(&gather->out, bytes);
    resp_array(&gather->out, (uint64_t)total);
    for (uint32_t i = 0; i < gather->parts; i++)
        if (gather_reply_array(gather_reply(gather, i), &rest) > 0) buf_append_slice(&gather->out, rest);
    join_elements(gather);
}

static void merge_text(struct gather *gather) {
    struct buf text;
    buf_init(&text, gather->home->heap, MEM_MESSAGE);
    bool verbatim = false;
    for (uint32_t i = 0; i < gather->parts; i++) {
        struct slice reply = gather_reply(gather, i), bytes;
        verbatim |= reply.len > 0 && reply.ptr[0] == '=';
        if (gather_reply_bulk(reply, &bytes)) buf_append_slice(&text, bytes);
    }
    if (verbatim)
        resp_verbatim(&gather->out, gather->resp, "txt", buf_slice(&text));
    else
        resp_bulk(&gather->out, buf_slice(&text));
    buf_deinit(&text);
}

void gather_merge(struct gather *gather) {
    const struct command *row = gather->slot->row;
    if (row->merge == MERGE_CUSTOM) {
        row->merge_with(gather);
        return;
    }
    if (merge_error(gather)) return;
    switch (row->merge) {
    case MERGE_SUM: merge_sum(gather); break;
    case MERGE_BY_KEY: merge_by_key(gather); break;
    case MERGE_CONCAT: merge_concat(gather); break;
    case MERGE_TEXT: merge_text(gather); break;
    default: buf_append_slice(&gather->out, gather_reply(gather, 0)); break;
    }
}
