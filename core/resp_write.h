/* RESP writer: replies and commands as bytes, RESP2 and RESP3, into a buf. Pure functions, no state.
 *
 * Where the two protocols differ the function takes the version (2 or 3); where they agree it does not.
 * Cost: one capacity check and one pass over the bytes per call. */
#pragma once
#include "core/buf.h"

#define RESP_HEADER_MAX 24 /* a type byte, 20 digits, CR LF, and one to spare */

/* Writes type, number, CR LF at out and returns its length. out has room for RESP_HEADER_MAX. */
size_t resp_header(char *out, char type, int64_t value);

void resp_simple(struct buf *out, struct slice text); /* +text; no CR or LF inside */
void resp_error(struct buf *out, struct slice text);  /* -text; CR and LF inside become spaces */
void resp_errorf(struct buf *out, const char *format, ...)
    PRINTF_LIKE(2, 3);                              /* the same, formatted; bounded to 1 KiB */
void resp_int_long(struct buf *out, int64_t value); /* of any length */
void resp_bulk_cold(struct buf *out, struct slice bytes);
void resp_array(struct buf *out, uint64_t count); /* count elements follow */
void resp_map(struct buf *out, int resp, uint64_t pairs);
void resp_set(struct buf *out, int resp, uint64_t count);
void resp_push(struct buf *out, int resp, uint64_t count);
void resp_null(struct buf *out, int resp);             /* $-1 or _ */
void resp_null_array(struct buf *out, int resp);       /* *-1 or _ */
void resp_bool(struct buf *out, int resp, bool value); /* :1 :0 or #t #f */
void resp_double(struct buf *out, int resp, double value);
void resp_verbatim(struct buf *out, int resp, const char type[3], struct slice text); /* bulk in RESP2 */
void resp_bulk_int(struct buf *out, int64_t value);                                   /* the number as a bulk string */
void resp_command(struct buf *out, const struct slice *argv, size_t argc);            /* array of bulks */

/* An integer. What most commands that change something reply has one digit. */
HOT_INLINE void resp_int(struct buf *out, int64_t value) {
    if (UNLIKELY((uint64_t)value > 9)) {
        resp_int_long(out, value);
        return;
    }
    char text[4] = {':', (char)('0' + value), '\r', '\n'};
    buf_append(out, text, sizeof text);
}

/* A bulk string. Short ones, the common reply, are written inline. */
HOT_INLINE void resp_bulk(struct buf *out, struct slice bytes) {
    if (UNLIKELY(bytes.len > 99 || bytes.len < 1)) {
        resp_bulk_cold(out, bytes);
        return;
    }
    char *p = buf_reserve(out, bytes.len + 8);
    char *start = p;
    *p++ = '$';
    if (bytes.len >= 10) *p++ = (char)('0' + bytes.len / 10);
    *p++ = (char)('0' + bytes.len % 10);
    *p++ = '\r';
    *p++ = '\n';
    slice_copy(p, bytes.ptr, bytes.len);
    p += bytes.len;
    *p++ = '\r';
    *p++ = '\n';
    out->len += (size_t)(p - start);
}

/* An array whose length is known only at the end: remember the mark, write elements, then close. Closing moves
 * what was written since by the length of the header. */
size_t resp_array_open(const struct buf *out);
void resp_array_close(struct buf *out, size_t mark, uint64_t count);
/* The header of an array or a set at `mark` says another count from now on. O(bytes behind it). */
void resp_recount(struct buf *out, size_t mark, uint64_t count);
void resp_map_close(struct buf *out, size_t mark, uint64_t pairs); /* as a map of RESP3 */

/* Length of the one complete reply at the start of bytes, 0 when it is not complete or not RESP.
 * Used to cut composed replies into elements; O(elements), any nesting. */
size_t resp_skip(struct slice bytes);
