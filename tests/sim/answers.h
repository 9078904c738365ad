/* Answers: what workloads read out of RESP replies. False, 0 or an empty slice for anything else than what is asked
 * for. */
#pragma once
#include "core/num.h"
#include "core/resp_write.h"

/* Behind the first line: the bytes of a bulk string, the elements of an array. */
static inline struct slice answer_body(struct slice reply) {
    const char *end = reply.len ? memchr(reply.ptr, '\n', reply.len) : NULL;
    return end ? slice_of(end + 1, reply.len - (size_t)(end + 1 - reply.ptr)) : SLICE("");
}

static inline bool answer_is_nil(struct slice reply) {
    return reply.len > 2 && reply.ptr[0] != ':' && reply.ptr[1] == '-';
}

static inline bool answer_is_array(struct slice reply) {
    return reply.len > 0 && reply.ptr[0] == '*' && !answer_is_nil(reply);
}

/* A bulk string, without its line end. */
static inline bool answer_text(struct slice reply, struct slice *text) {
    if (reply.len == 0 || reply.ptr[0] != '$' || answer_is_nil(reply)) return false;
    struct slice body = answer_body(reply);
    if (body.len < 2) return false;
    *text = slice_of(body.ptr, body.len - 2);
    return true;
}

/* An integer, or a bulk string that is one. */
static inline bool answer_int(struct slice reply, int64_t *number) {
    struct slice text;
    if (answer_text(reply, &text)) return num_parse_i64(text, number);
    if (reply.len < 4 || reply.ptr[0] != ':') return false;
    return num_parse_i64(slice_of(reply.ptr + 1, reply.len - 3), number);
}

/* The elements of an array; at most max. */
static inline uint32_t answer_elements(struct slice reply, struct slice *elements, uint32_t max) {
    if (!answer_is_array(reply)) return 0;
    struct slice rest = answer_body(reply);
    uint32_t count = 0;
    while (rest.len && count < max) {
        size_t size = resp_skip(rest);
        if (!size) return 0;
        elements[count++] = slice_of(rest.ptr, size);
        rest = slice_of(rest.ptr + size, rest.len - size);
    }
    return count;
}
