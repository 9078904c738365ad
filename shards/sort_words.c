/* Redis handles patterns as C strings where it looks for '*', '#' and "->", and by their length where it copies them;
 * so does this. */
#include "shards/sort_words.h"
#include "core/num.h"

struct sort_pattern sort_pattern_of(struct slice word) {
    struct sort_pattern pattern = {.kind = PATTERN_NOTHING};
    size_t len = word.len ? strnlen(word.ptr, word.len) : 0; /* a NUL ends what is looked through */
    const char *star = len ? memchr(word.ptr, '*', len) : NULL;
    if (len == 1 && word.ptr[0] == '#') pattern.kind = PATTERN_ELEMENT;
    if (!star) return pattern;
    const char *end = word.ptr + word.len;
    const char *arrow = memmem(star + 1, (size_t)(word.ptr + len - star) - 1, "->", 2);
    bool has_field = arrow && arrow + 2 < word.ptr + len;
    pattern.kind = has_field ? PATTERN_FIELD : PATTERN_STRING;
    pattern.before = slice_of(word.ptr, (size_t)(star - word.ptr));
    pattern.behind = slice_of(star + 1, (size_t)((has_field ? arrow : end) - star) - 1);
    if (has_field) pattern.field = slice_of(arrow + 2, (size_t)(end - arrow) - 2);
    return pattern;
}

struct slice sort_pattern_key(const struct sort_pattern *pattern, struct slice element, struct buf *out) {
    out->len = 0;
    buf_append_slice(out, pattern->before);
    buf_append_slice(out, element);
    buf_append_slice(out, pattern->behind);
    return buf_slice(out);
}

static bool names_keys(struct slice word) {
    return sort_pattern_of(word).kind >= PATTERN_STRING;
}

static void take_limit(struct sort_words *words, struct slice skip, struct slice count) {
    if (!num_parse_i64(skip, &words->skip) || !num_parse_i64(count, &words->count))
        words->error = "ERR value is not an integer or out of range";
}

static void take_by(struct sort_words *words, struct slice word) {
    words->by = word;
    words->elsewhere |= names_keys(word);
    words->unsorted |= !names_keys(word); /* and stays so, whatever another BY says */
}

static void take_get(struct sort_words *words, const struct slice *argv, uint32_t at, uint32_t *gets) {
    if (gets) gets[words->gets] = at;
    words->gets++;
    words->elsewhere |= names_keys(argv[at]);
}

struct sort_words sort_words_of(const struct slice *argv, uint32_t argc, bool read_only, uint32_t *gets) {
    struct sort_words words = {.count = -1};
    for (uint32_t at = 2; at < argc && !words.error; at++) {
        uint32_t behind = argc - at - 1;
        if (slice_is(argv[at], "asc")) {
            words.descending = false;
        } else if (slice_is(argv[at], "desc")) {
            words.descending = true;
        } else if (slice_is(argv[at], "alpha")) {
            words.alpha = true;
        } else if (behind >= 2 && slice_is(argv[at], "limit")) {
            take_limit(&words, argv[at + 1], argv[at + 2]);
            at += 2;
        } else if (!read_only && behind >= 1 && slice_is(argv[at], "store")) {
            words.store = ++at;
        } else if (behind >= 1 && slice_is(argv[at], "by")) {
            take_by(&words, argv[++at]);
        } else if (behind >= 1 && slice_is(argv[at], "get")) {
            take_get(&words, argv, ++at, gets);
        } else {
            words.error = "ERR syntax error";
        }
    }
    return words;
}
