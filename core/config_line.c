/* Config lines: the grammar of redis.conf, which is that of redis-cli too.
 *
 * A word ends at a blank. A quote opens only where a word stands or inside one, and after a closing
 * quote a blank or the end must follow, so "a"b is an error rather than ab. There are no comments
 * after a value: '#' is one only as the first byte of a line. Unescaping never makes a text longer,
 * so one buffer of the line's length holds all. */
#include "core/config_priv.h"

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

struct slice line_trim(struct slice line) {
    while (line.len > 0 && is_blank(line.ptr[0])) line = slice_of(line.ptr + 1, line.len - 1);
    while (line.len > 0 && is_blank(line.ptr[line.len - 1])) line.len--;
    return line;
}

bool line_is_blank(struct slice trimmed) {
    return trimmed.len == 0 || trimmed.ptr[0] == '#';
}

bool line_next(struct slice *rest, struct slice *line) {
    if (rest->len == 0) return false;
    const char *end = memchr(rest->ptr, '\n', rest->len);
    size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
    *line = slice_of(rest->ptr, len);
    size_t skip = end ? len + 1 : len;
    *rest = slice_of(rest->ptr + skip, rest->len - skip);
    return true;
}

/* The byte that an escape inside "..." stands for; advances past it. *p is the backslash and p + 1
 * is inside. */
static char unescape(const char **p, const char *end) {
    const char *at = *p;
    if (end - at >= 4 && at[1] == 'x' && hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0) {
        *p = at + 4;
        return (char)(hex_digit(at[2]) * 16 + hex_digit(at[3]));
    }
    *p = at + 2;
    switch (at[1]) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return at[1];
    }
}

/* Copies the quoted part that starts at *p, the byte after the opening quote; false when it never
 * closes. */
static bool copy_quoted(const char **p, const char *end, char quote, char **out) {
    const char *at = *p;
    while (at < end && *at != quote) {
        if (quote == '"' && *at == '\\' && at + 1 < end) {
            *(*out)++ = unescape(&at, end);
        } else if (quote == '\'' && *at == '\\' && at + 1 < end && at[1] == '\'') {
            *(*out)++ = '\'';
            at += 2;
        } else {
            *(*out)++ = *at++;
        }
    }
    if (at == end) return false;
    *p = at + 1;
    return true;
}

const char *line_split(struct slice line, struct line_words *out) {
    const char *p = line.ptr, *end = line.ptr + line.len;
    char *to = out->bytes;
    out->count = 0;
    if (line.len > sizeof(out->bytes)) return "the line is longer than 16384 bytes";
    for (;;) {
        while (p < end && is_blank(*p)) p++;
        if (p == end) return NULL;
        if (out->count == LINE_WORDS_MAX) return "the line has more than 512 words";
        char *word = to;
        while (p < end && !is_blank(*p)) {
            char c = *p++;
            if (c != '"' && c != '\'') {
                *to++ = c;
                continue;
            }
            if (!copy_quoted(&p, end, c, &to)) return "Unbalanced quotes in configuration line";
            if (p < end && !is_blank(*p)) return "Unbalanced quotes in configuration line";
        }
        out->words[out->count++] = slice_of(word, (size_t)(to - word));
    }
}

static bool needs_quotes(struct slice word) {
    if (word.len == 0 || word.ptr[0] == '#') return true;
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '\'' || c == '\\') return true;
    }
    return false;
}

static size_t escape(char c, char out[static 4]) {
    static const char plain[] = "\n\r\t\b\a\"\\", letters[] = "nrtba\"\\";
    const char *found = c ? strchr(plain, c) : NULL;
    if (found) {
        out[0] = '\\';
        out[1] = letters[found - plain];
        return 2;
    }
    if (c >= ' ' && c <= '~') {
        out[0] = c;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = "0123456789abcdef"[(unsigned char)c >> 4];
    out[3] = "0123456789abcdef"[(unsigned char)c & 15];
    return 4;
}

void line_emit_word(struct slice word, bool always, config_emit *emit, void *ctx) {
    if (!always && !needs_quotes(word)) {
        emit(ctx, word);
        return;
    }
    emit(ctx, SLICE("\""));
    for (size_t i = 0; i < word.len; i++) {
        char text[4];
        emit(ctx, slice_of(text, escape(word.ptr[i], text)));
    }
    emit(ctx, SLICE("\""));
}
