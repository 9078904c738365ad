/* See reply.h. Little-endian, like the machines sherd runs on: a header of up to 8 bytes is one
 * word. */
#include "perf/reply.h"

#include <assert.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "shape_head is compared as a little-endian word");

void reply_init(struct reply_state *s, reply_value_fn *value_fn, void *value_context) {
    *s = (struct reply_state){.value_fn = value_fn, .value_context = value_context};
}

/* Returns how many replies that ended: 1 when this was the last element of one, else 0. */
static inline int64_t element_end(struct reply_state *s) {
    if (--s->pending != 0) return 0;
    return s->push ? 0 : 1;
}

static void shape_learn(struct reply_state *s, uint64_t bulk_len) {
    char head[24];
    size_t digits = 1;
    for (uint64_t rest = bulk_len; rest >= 10; rest /= 10) digits++;
    if (s->value_fn != NULL || s->type != '$' || digits + 3 > sizeof(uint64_t)) return;
    head[0] = '$';
    uint64_t rest = bulk_len;
    for (size_t i = digits; i > 0; i--, rest /= 10) head[i] = (char)('0' + rest % 10);
    memcpy(head + 1 + digits, "\r\n", 2);
    s->shape_mask = digits + 3 == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * (digits + 3))) - 1;
    s->shape_head = 0;
    memcpy(&s->shape_head, head, digits + 3);
    s->shape_size = digits + 3 + bulk_len + 2;
}

static inline bool shape_matches(const struct reply_state *s, const char *p, size_t left) {
    if (left < s->shape_size || left < sizeof(uint64_t) || s->shape_size == 0) return false;
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return (word & s->shape_mask) == s->shape_head && p[s->shape_size - 2] == '\r' && p[s->shape_size - 1] == '\n';
}

static int64_t nil_end(struct reply_state *s) {
    s->nils++;
    if (s->value_fn != NULL) s->value_fn(s->value_context, NULL, 0, 0, -1);
    return element_end(s);
}

/* A header line is complete: what does it say about what follows? -1: not RESP. */
static int64_t line_end(struct reply_state *s) {
    uint64_t n = s->number;
    bool counted = !s->malformed && n <= INT32_MAX * UINT64_C(2);
    switch (s->type) {
    case '-': s->errors++; return element_end(s);
    case '+':
    case ':':
    case '#':
    case ',':
    case '(': return element_end(s);
    case '_': return nil_end(s);
    case '!': s->errors++; /* fall through */
    case '$':
    case '=':
        if (!counted) return -1;
        if (s->negative) return nil_end(s);
        s->bulk_size = n;
        s->skip = n + 2;
        shape_learn(s, n);
        return 0;
    case '>': s->push = s->pending == 1; /* fall through */
    case '*':
    case '~':
        if (!counted) return -1;
        if (s->negative) return nil_end(s);
        s->pending += n;
        return element_end(s);
    case '%':
        if (!counted || s->negative) return -1;
        s->pending += 2 * n;
        return element_end(s);
    case '|':
        if (!counted || s->negative) return -1;
        s->pending += 2 * n; /* and the element it belongs to is still to come */
        return 0;
    default: return -1;
    }
}

static void error_keep(struct reply_state *s, char c) {
    size_t len = strlen(s->error_text);
    if (s->errors == 0 && len + 1 < sizeof s->error_text && c != '\r') s->error_text[len] = c;
}

/* Reads up to the end of the line; returns where it stopped. *whole: the line is complete. */
static const char *line_read(struct reply_state *s, const char *p, const char *end, bool *whole) {
    while (p < end) {
        char c = *p++;
        if (c == '\n') {
            *whole = true;
            s->in_line = false;
            return p;
        }
        if (c >= '0' && c <= '9')
            s->number = s->number * 10 + (uint64_t)(c - '0');
        else if (c == '-')
            s->negative = true;
        else if (c != '\r')
            s->malformed = true; /* only matters where a count is expected */
        if (s->type == '-') error_keep(s, c);
    }
    *whole = false;
    return p;
}

static const char *bulk_read(struct reply_state *s, const char *p, const char *end) {
    size_t take = (uint64_t)(end - p) < s->skip ? (size_t)(end - p) : (size_t)s->skip;
    if (s->value_fn != NULL) {
        uint64_t offset = s->bulk_size + 2 - s->skip;
        uint64_t left = offset < s->bulk_size ? s->bulk_size - offset : 0;
        size_t piece = left < take ? (size_t)left : take;
        if (piece > 0 || s->bulk_size == 0) s->value_fn(s->value_context, p, piece, offset, (int64_t)s->bulk_size);
    }
    s->skip -= take;
    return p + take;
}

int64_t reply_skip(struct reply_state *s, const char *bytes, size_t len) {
    const char *p = bytes, *end = bytes + len;
    int64_t replies = 0;
    while (p < end) {
        if (s->skip > 0) {
            p = bulk_read(s, p, end);
            if (s->skip > 0) break;
            replies += element_end(s);
            continue;
        }
        if (!s->in_line) {
            if (s->pending == 0) {
                s->pending = 1;
                s->push = false;
            }
            if (shape_matches(s, p, (size_t)(end - p))) {
                p += s->shape_size;
                replies += element_end(s);
                continue;
            }
            if (end - p >= 5 && memcmp(p, "+OK\r\n", 5) == 0) {
                p += 5;
                replies += element_end(s);
                continue;
            }
            s->type = *p++;
            s->in_line = true;
            s->negative = s->malformed = false;
            s->number = 0;
        }
        bool whole;
        p = line_read(s, p, end, &whole);
        if (!whole) break;
        int64_t ended = line_end(s);
        if (ended < 0) return -1;
        replies += ended;
    }
    return replies;
}
