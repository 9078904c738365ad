/* The RESP parser.
 *
 *    *3\r\n $3\r\nSET\r\n $1\r\nk\r\n $1\r\nv\r\n       multibulk: what clients send
 *    SET k "v 1"\r\n                                     inline: what people type
 *
 * Three readers share the header line: parse_fast (complete command, caller's argv), parse_slow (many arguments or
 * an argv too small: keeps offsets, so that bytes may move between calls) and parse_inline. Like Redis, the two bytes
 * behind a bulk and the byte after CR are skipped, not checked. */
#include "core/resp_parse.h"
#include "core/assert.h"
#include "core/num.h"
#include <limits.h>
#include <stdio.h>

#define SLOW_ARGS 64 /* an incomplete command with more arguments than this keeps its progress */

struct resp_slow {
    struct slice *args; /* while incomplete: ptr is an offset from the start of the command */
    uint32_t count, cap, want;
    size_t at;  /* offset of the next argument's header; 0 when no command is in progress */
    char *text; /* unquoted bytes of an inline command */
    size_t text_size;
};

void resp_parser_init(struct resp_parser *parser, struct heap *heap) {
    parser->heap = heap;
    parser->slow = NULL;
}

void resp_parser_reset(struct resp_parser *parser) {
    struct resp_slow *slow = parser->slow;
    if (!slow) return;
    heap_free(parser->heap, MEM_CLIENT_IN, slow->args, slow->cap * sizeof *slow->args);
    heap_free(parser->heap, MEM_CLIENT_IN, slow->text, slow->text_size);
    heap_free(parser->heap, MEM_CLIENT_IN, slow, sizeof *slow);
    parser->slow = NULL;
}

static struct resp_slow *slow_of(struct resp_parser *parser) {
    if (!parser->slow) parser->slow = heap_alloc_zero(parser->heap, MEM_CLIENT_IN, sizeof *parser->slow);
    return parser->slow;
}

static enum parse_result fail(struct parsed_command *out, const char *text) {
    snprintf(out->error, sizeof out->error, "Protocol error: %s", text);
    return PARSE_ERROR;
}

static enum parse_result more(struct parsed_command *out, size_t need) {
    out->need = need;
    return PARSE_MORE;
}

enum line { LINE_OK, LINE_MORE, LINE_BAD, LINE_LONG };

/* Reads the number between at and CR; at ends behind CR LF. Up to two digits are the fast path. */
HOT_INLINE enum line read_number(struct slice bytes, size_t *at, int64_t *value);

static COLD enum line read_number_slow(struct slice bytes, size_t *at, int64_t *value) {
    const char *start = bytes.ptr + *at;
    size_t rest = bytes.len - *at;
    const char *cr = memchr(start, '\r', rest);
    if (!cr) return rest + 1 > PARSE_LINE_MAX ? LINE_LONG : LINE_MORE; /* the type byte counts, too */
    if ((size_t)(cr - start) + 1 >= rest) return LINE_MORE;
    if (!num_parse_i64(slice_of(start, (size_t)(cr - start)), value)) return LINE_BAD;
    *at += (size_t)(cr - start) + 2;
    return LINE_OK;
}

HOT_INLINE bool is_digit(char c) {
    return (unsigned char)(c - '0') <= 9;
}

HOT_INLINE enum line read_number(struct slice bytes, size_t *at, int64_t *value) {
    const char *p = bytes.ptr + *at;
    /* Nearly every number in nearly every command has one or two digits. */
    if (LIKELY(bytes.len - *at >= 4 && is_digit(p[0]))) {
        if (p[1] == '\r') {
            *value = p[0] - '0';
            *at += 3;
            return LINE_OK;
        }
        if (p[2] == '\r' && is_digit(p[1]) && p[0] != '0') {
            *value = (p[0] - '0') * 10 + (p[1] - '0');
            *at += 4;
            return LINE_OK;
        }
    }
    return read_number_slow(bytes, at, value);
}

/* Nearly every bulk of nearly every command: its length has one or two digits, so no limit is near, and all of it is
 * there. False: it is another, or none at all, and read_bulk has a look. */
HOT_INLINE bool read_short_bulk(struct slice bytes, size_t *at, struct slice *arg) {
    const char *p = bytes.ptr + *at;
    size_t rest = bytes.len - *at, header = sizeof "$1\r\n" - 1;
    if (UNLIKELY(rest < sizeof "$0\r\n\r\n" - 1 || p[0] != '$' || !is_digit(p[1]))) return false;
    size_t len = (size_t)(p[1] - '0');
    if (p[2] != '\r') {
        if (UNLIKELY(!is_digit(p[2]) || p[3] != '\r' || len == 0)) return false;
        len = len * 10 + (size_t)(p[2] - '0');
        header++;
    }
    if (UNLIKELY(rest < header + len + 2)) return false;
    *arg = slice_of(p + header, len);
    *at += header + len + 2;
    return true;
}

/* The header of one bulk and its bounds. On PARSE_OK *at is behind the bulk and its CR LF. */
static enum parse_result read_bulk(struct slice bytes, const struct parse_limits *limits, size_t *at, struct slice *arg,
                                   struct parsed_command *out) {
    size_t i = *at;
    if (UNLIKELY(i >= bytes.len)) return more(out, i + 1);
    if (UNLIKELY(bytes.ptr[i] != '$')) {
        /* Redis waits for the end of the line before it judges the first byte. */
        if (!memchr(bytes.ptr + i, '\r', bytes.len - i)) {
            if (bytes.len - i > PARSE_LINE_MAX) return fail(out, "too big bulk count string");
            return more(out, bytes.len + 1);
        }
        char text[32];
        snprintf(text, sizeof text, "expected '$', got '%c'", bytes.ptr[i]);
        return fail(out, text);
    }
    i++;
    int64_t len = 0;
    switch (read_number(bytes, &i, &len)) {
    case LINE_OK: break;
    case LINE_MORE: return more(out, bytes.len + 1);
    case LINE_BAD: return fail(out, "invalid bulk length");
    case LINE_LONG: return fail(out, "too big bulk count string");
    }
    if (UNLIKELY(len < 0 || (uint64_t)len > limits->bulk_max)) return fail(out, "invalid bulk length");
    if (UNLIKELY(len > 16384 && limits->unauthenticated)) return fail(out, "unauthenticated bulk length");
    if (UNLIKELY(bytes.len - i < (size_t)len + 2)) return more(out, i + (size_t)len + 2);
    *arg = slice_of(bytes.ptr + i, (size_t)len);
    *at = i + (size_t)len + 2;
    return PARSE_OK;
}

/* Continues a command whose progress is kept as offsets. */
static enum parse_result parse_slow(struct resp_parser *parser, struct slice bytes, const struct parse_limits *limits,
                                    struct parsed_command *out) {
    struct resp_slow *slow = parser->slow;
    while (slow->count < slow->want) {
        if (slow->count == slow->cap) {
            /* Grows with what has really arrived, never with what was announced. */
            uint32_t cap = slow->cap ? slow->cap * 2 : SLOW_ARGS * 4;
            slow->args = heap_resize(parser->heap, MEM_CLIENT_IN, slow->args, slow->cap * sizeof *slow->args,
                                     cap * sizeof *slow->args);
            slow->cap = cap;
        }
        struct slice arg = {0};
        enum parse_result result = read_bulk(bytes, limits, &slow->at, &arg, out);
        if (result != PARSE_OK) return result;
        slow->args[slow->count++] = slice_of((const char *)(arg.ptr - bytes.ptr), arg.len);
    }
    for (uint32_t i = 0; i < slow->count; i++) slow->args[i].ptr = bytes.ptr + (uintptr_t)slow->args[i].ptr;
    out->argv = slow->args;
    out->argc = slow->count;
    out->size = slow->at;
    out->kept = true;
    slow->at = 0;
    return PARSE_OK;
}

static enum parse_result start_slow(struct resp_parser *parser, struct slice bytes, const struct parse_limits *limits,
                                    size_t at, uint32_t want, struct parsed_command *out) {
    struct resp_slow *slow = slow_of(parser);
    slow->count = 0;
    slow->want = want;
    slow->at = at;
    return parse_slow(parser, bytes, limits, out);
}

static enum parse_result parse_multibulk(struct resp_parser *parser, struct slice bytes,
                                         const struct parse_limits *limits, struct slice *argv, uint32_t argv_cap,
                                         struct parsed_command *out) {
    size_t at = 1;
    int64_t count = 0;
    switch (read_number(bytes, &at, &count)) {
    case LINE_OK: break;
    case LINE_MORE: return more(out, bytes.len + 1);
    case LINE_BAD: return fail(out, "invalid multibulk length");
    case LINE_LONG: return fail(out, "too big mbulk count string");
    }
    if (UNLIKELY(count > INT_MAX)) return fail(out, "invalid multibulk length");
    if (UNLIKELY(count > 10 && limits->unauthenticated)) return fail(out, "unauthenticated multibulk length");
    if (UNLIKELY(count <= 0)) {
        out->size = at;
        return PARSE_EMPTY;
    }
    if (UNLIKELY(count > SLOW_ARGS && (uint64_t)count > argv_cap))
        return start_slow(parser, bytes, limits, at, (uint32_t)count, out);
    if (UNLIKELY((uint64_t)count > argv_cap)) return PARSE_ARGV;
    size_t first = at;
    for (uint32_t i = 0; i < (uint32_t)count; i++) {
        if (LIKELY(read_short_bulk(bytes, &at, &argv[i]))) continue;
        enum parse_result result = read_bulk(bytes, limits, &at, &argv[i], out);
        if (UNLIKELY(result != PARSE_OK)) {
            if (result == PARSE_MORE && i > SLOW_ARGS)
                return start_slow(parser, bytes, limits, first, (uint32_t)count, out);
            return result;
        }
    }
    out->argv = argv;
    out->argc = (uint32_t)count;
    out->size = at;
    out->kept = false;
    return PARSE_OK;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Like Redis: vertical tab and form feed are skipped between words, but do not end one. */
static bool ends_word(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* One escape inside double quotes; returns the byte and moves *at behind it. */
static char read_escape(struct slice line, size_t *at) {
    size_t i = *at + 1;
    char c = line.ptr[i];
    if (c == 'x' && i + 2 < line.len && hex_value(line.ptr[i + 1]) >= 0 && hex_value(line.ptr[i + 2]) >= 0) {
        *at = i + 3;
        return (char)(hex_value(line.ptr[i + 1]) * 16 + hex_value(line.ptr[i + 2]));
    }
    *at = i + 1;
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
    }
}

/* Copies one argument to text; false when quotes are unbalanced or run into the next word. */
static bool read_word(struct slice line, size_t *at, char *text, size_t *len) {
    size_t i = *at, n = 0;
    char quote = 0;
    while (i < line.len) {
        char c = line.ptr[i];
        if (quote == '"' && c == '\\' && i + 1 < line.len) {
            text[n++] = read_escape(line, &i);
            continue;
        }
        if (quote == '\'' && c == '\\' && i + 1 < line.len && line.ptr[i + 1] == '\'') {
            text[n++] = '\'';
            i += 2;
            continue;
        }
        i++;
        if (quote && c == quote) {
            if (i < line.len && !is_space(line.ptr[i])) return false;
            quote = 0;
            break;
        }
        if (!quote && ends_word(c)) break;
        if (!quote && (c == '"' || c == '\'')) {
            quote = c;
            continue;
        }
        text[n++] = c;
    }
    *at = i;
    *len = n;
    return quote == 0;
}

static enum parse_result parse_inline(struct resp_parser *parser, struct slice bytes, struct parsed_command *out) {
    const char *newline = memchr(bytes.ptr, '\n', bytes.len);
    if (!newline) {
        if (bytes.len > PARSE_LINE_MAX) return fail(out, "too big inline request");
        return more(out, bytes.len + 1);
    }
    struct slice line = slice_of(bytes.ptr, (size_t)(newline - bytes.ptr));
    out->size = line.len + 1;
    if (line.len && line.ptr[line.len - 1] == '\r') line.len--;
    struct resp_slow *slow = slow_of(parser);
    slow->count = 0;
    slow->at = 0;
    if (slow->text_size < line.len + 1) {
        slow->text = heap_resize(parser->heap, MEM_CLIENT_IN, slow->text, slow->text_size, line.len + 1);
        slow->text_size = line.len + 1;
    }
    /* Every word takes at least two bytes of the line, its separator included. */
    uint32_t words_max = (uint32_t)(line.len / 2 + 1);
    if (slow->cap < words_max) {
        slow->args = heap_resize(parser->heap, MEM_CLIENT_IN, slow->args, slow->cap * sizeof *slow->args,
                                 words_max * sizeof *slow->args);
        slow->cap = words_max;
    }
    size_t at = 0, used = 0;
    for (;;) {
        while (at < line.len && is_space(line.ptr[at])) at++;
        if (at >= line.len) break;
        size_t len = 0;
        if (!read_word(line, &at, slow->text + used, &len)) return fail(out, "unbalanced quotes in request");
        slow->args[slow->count++] = slice_of(slow->text + used, len);
        used += len;
    }
    if (slow->count == 0) return PARSE_EMPTY;
    out->argv = slow->args;
    out->argc = slow->count;
    out->kept = true;
    return PARSE_OK;
}

enum parse_result resp_parse(struct resp_parser *parser, struct slice bytes, const struct parse_limits *limits,
                             struct slice *argv, uint32_t argv_cap, struct parsed_command *out) {
    if (UNLIKELY(bytes.len == 0)) return more(out, 1);
    if (UNLIKELY(parser->slow && parser->slow->at)) return parse_slow(parser, bytes, limits, out);
    if (LIKELY(bytes.ptr[0] == '*')) return parse_multibulk(parser, bytes, limits, argv, argv_cap, out);
    return parse_inline(parser, bytes, out);
}
