/* The RESP writer. Formats: https://redis.io/docs/latest/develop/reference/protocol-spec/ */
#include "core/resp_write.h"
#include "core/assert.h"
#include "core/num.h"
#include <stdarg.h>
#include <stdio.h>

size_t resp_header(char *out, char type, int64_t value) {
    out[0] = type;
    size_t len = 1 + num_format_i64(out + 1, value);
    out[len] = '\r';
    out[len + 1] = '\n';
    return len + 2;
}

static void put_header(struct buf *out, char type, int64_t value) {
    out->len += resp_header(buf_reserve(out, RESP_HEADER_MAX), type, value);
}

static void put_line(struct buf *out, char type, struct slice text) {
    char *p = buf_reserve(out, text.len + 3);
    *p++ = type;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        *p++ = c == '\r' || c == '\n' ? ' ' : c;
    }
    *p++ = '\r';
    *p = '\n';
    out->len += text.len + 3;
}

void resp_simple(struct buf *out, struct slice text) {
    put_line(out, '+', text);
}

void resp_error(struct buf *out, struct slice text) {
    put_line(out, '-', text);
}

void resp_errorf(struct buf *out, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ASSERT(len >= 0);
    put_line(out, '-', slice_of(text, MIN((size_t)len, sizeof text - 1)));
}

void resp_int_long(struct buf *out, int64_t value) {
    put_header(out, ':', value);
}

void resp_bulk_cold(struct buf *out, struct slice bytes) {
    char *p = buf_reserve(out, bytes.len + RESP_HEADER_MAX + 2);
    size_t at = resp_header(p, '$', (int64_t)bytes.len);
    if (bytes.len) memcpy(p + at, bytes.ptr, bytes.len);
    at += bytes.len;
    p[at] = '\r';
    p[at + 1] = '\n';
    out->len += at + 2;
}

void resp_array(struct buf *out, uint64_t count) {
    put_header(out, '*', (int64_t)count);
}

void resp_map(struct buf *out, int resp, uint64_t pairs) {
    if (resp == 2)
        put_header(out, '*', (int64_t)(pairs * 2));
    else
        put_header(out, '%', (int64_t)pairs);
}

void resp_set(struct buf *out, int resp, uint64_t count) {
    put_header(out, resp == 2 ? '*' : '~', (int64_t)count);
}

void resp_push(struct buf *out, int resp, uint64_t count) {
    put_header(out, resp == 2 ? '*' : '>', (int64_t)count);
}

void resp_null(struct buf *out, int resp) {
    if (resp == 2)
        buf_append_literal(out, "$-1\r\n");
    else
        buf_append_literal(out, "_\r\n");
}

void resp_null_array(struct buf *out, int resp) {
    if (resp == 2)
        buf_append_literal(out, "*-1\r\n");
    else
        buf_append_literal(out, "_\r\n");
}

void resp_bool(struct buf *out, int resp, bool value) {
    if (resp == 2)
        resp_int(out, value);
    else
        buf_append(out, value ? "#t\r\n" : "#f\r\n", 4);
}

void resp_double(struct buf *out, int resp, double value) {
    char text[NUM_DOUBLE_MAX];
    size_t len = num_format_double(text, value);
    if (resp == 2) {
        resp_bulk(out, slice_of(text, len));
        return;
    }
    buf_append_literal(out, ",");
    buf_append(out, text, len);
    buf_append_literal(out, "\r\n");
}

void resp_verbatim(struct buf *out, int resp, const char type[3], struct slice text) {
    if (resp == 2) {
        resp_bulk(out, text);
        return;
    }
    put_header(out, '=', (int64_t)text.len + 4);
    buf_append(out, type, 3);
    buf_append_literal(out, ":");
    buf_append_slice(out, text);
    buf_append_literal(out, "\r\n");
}

void resp_bulk_int(struct buf *out, int64_t value) {
    char text[NUM_I64_MAX];
    resp_bulk(out, slice_of(text, num_format_i64(text, value)));
}

void resp_command(struct buf *out, const struct slice *argv, size_t argc) {
    if (LIKELY(argc < 10))
        buf_append(out, (char[]){'*', (char)('0' + argc), '\r', '\n'}, 4);
    else
        resp_array(out, argc);
    for (size_t i = 0; i < argc; i++) resp_bulk(out, argv[i]);
}

size_t resp_array_open(const struct buf *out) {
    return out->len;
}

static void close_with(struct buf *out, size_t mark, char type, uint64_t count) {
    char header[RESP_HEADER_MAX];
    size_t head = resp_header(header, type, (int64_t)count);
    buf_make_room(out, head);
    memmove(out->data + mark + head, out->data + mark, out->len - mark);
    memcpy(out->data + mark, header, head);
    out->len += head;
}

void resp_array_close(struct buf *out, size_t mark, uint64_t count) {
    close_with(out, mark, '*', count);
}

void resp_map_close(struct buf *out, size_t mark, uint64_t pairs) {
    close_with(out, mark, '%', pairs);
}

void resp_recount(struct buf *out, size_t mark, uint64_t count) {
    char header[RESP_HEADER_MAX];
    const char *end = memchr(out->data + mark, '\n', out->len - mark);
    ASSERT(end);
    size_t head = resp_header(header, out->data[mark], (int64_t)count), was = (size_t)(end + 1 - out->data) - mark;
    size_t behind = out->len - mark - was;
    if (head > was) buf_make_room(out, head - was);
    memmove(out->data + mark + head, out->data + mark + was, behind);
    memcpy(out->data + mark, header, head);
    out->len = mark + head + behind;
}

/* Parses the integer line that starts at `at`; returns the position after CR LF or 0. */
static size_t skip_line(struct slice bytes, size_t at, int64_t *number) {
    const char *eol = at < bytes.len ? memchr(bytes.ptr + at, '\r', bytes.len - at) : NULL;
    if (!eol || eol + 1 >= bytes.ptr + bytes.len) return 0;
    if (number && !num_parse_i64(slice_of(bytes.ptr + at, (size_t)(eol - bytes.ptr) - at), number)) return 0;
    return (size_t)(eol - bytes.ptr) + 2;
}

/* Elements that follow the header of an aggregate, -1 when the type is not an aggregate. */
static int64_t elements_of(char type, int64_t number) {
    switch (type) {
    case '*':
    case '~':
    case '>': return MAX(number, 0);
    case '%': return number * 2;
    case '|': return number * 2 + 1; /* an attribute stands before the reply it belongs to */
    default: return -1;
    }
}

/* "$5\r\n.....\r\n": nine digits at most, no sign. 0: not so, or not whole. Most elements of most
 * arrays are like that. */
static size_t skip_plain_bulk(struct slice bytes) {
    size_t at = 1, len = 0;
    if (bytes.len < 6 || bytes.ptr[0] != '$') return 0;
    for (; at < 10 && at < bytes.len && (unsigned char)(bytes.ptr[at] - '0') < 10; at++)
        len = len * 10 + (size_t)(bytes.ptr[at] - '0');
    size_t size = at + 2 + len + 2;
    return at > 1 && size <= bytes.len && bytes.ptr[at] == '\r' ? size : 0;
}

size_t resp_skip(struct slice bytes) {
    size_t at = skip_plain_bulk(bytes);
    if (at > 0) return at;
    /* One counter for all open aggregates is enough: a reply ends when nothing is owed any more. */
    int64_t owed = 1;
    while (owed > 0) {
        if (at >= bytes.len) return 0;
        char type = bytes.ptr[at];
        int64_t number = 0;
        bool counted = memchr("*~>%|$=!", type, 8) != NULL;
        at = skip_line(bytes, at + 1, counted ? &number : NULL);
        /* Each element and each byte announced takes at least one byte here: also keeps the sums from overflowing. */
        if (at == 0 || number > (int64_t)bytes.len) return 0;
        owed--;
        int64_t elements = counted ? elements_of(type, number) : -1;
        if (elements >= 0) {
            owed += elements;
        } else if (counted && number >= 0) {
            at += (size_t)number + 2;
            if (at > bytes.len) return 0;
        }
    }
    return at;
}
