/* Every part of a pattern but '*' takes exactly one byte of text. So a pattern is runs of such
 * parts separated by stars, and after a star it is enough to find the *first* place where the next
 * run fits: if a later place leads to a match, the first one does too, because the star behind the
 * run can take up the difference. Only the latest star is ever retried, which turns the exponential
 * search of the obvious recursion into two nested loops. */
#include "core/glob.h"

static int fold(signed char c, bool nocase) {
    return nocase && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static bool same(char a, char b, bool nocase) {
    return fold((signed char)a, nocase) == fold((signed char)b, nocase);
}

/* Redis orders the ends before it folds them: with nocase, [Z-a] is z to a, which is empty. */
static bool in_range(char a, char b, char c, bool nocase) {
    signed char low = (signed char)a, high = (signed char)b;
    if (low > high) {
        low = (signed char)b;
        high = (signed char)a;
    }
    int folded = fold((signed char)c, nocase);
    return folded >= fold(low, nocase) && folded <= fold(high, nocase);
}

/* at: behind the '[', moved behind the ']' or to the end. */
static bool class_matches(struct slice pattern, size_t *at, char c, bool nocase) {
    const char *p = pattern.ptr;
    size_t i = *at;
    bool inverted = i < pattern.len && p[i] == '^';
    if (inverted) i++;
    bool found = false;
    while (i < pattern.len && p[i] != ']') {
        size_t left = pattern.len - i;
        if (p[i] == '\\' && left >= 2) {
            found |= p[i + 1] == c;
            i += 2;
        } else if (left >= 3 && p[i + 1] == '-') {
            found |= in_range(p[i], p[i + 2], c, nocase);
            i += 3;
        } else {
            found |= same(p[i], c, nocase);
            i++;
        }
    }
    *at = MIN(i + 1, pattern.len);
    return found != inverted;
}

/* Does the one part at *at, which is not a star, take c? Moves *at behind the part. */
static bool part_matches(struct slice pattern, size_t *at, char c, bool nocase) {
    char first = pattern.ptr[(*at)++];
    if (first == '?') return true;
    if (first == '[') return class_matches(pattern, at, c, nocase);
    if (first == '\\' && *at < pattern.len) first = pattern.ptr[(*at)++];
    return same(first, c, nocase);
}

static size_t skip_stars(struct slice pattern, size_t at) {
    while (at < pattern.len && pattern.ptr[at] == '*') at++;
    return at;
}

/* Where from on the run can fit first. One that begins with an ordinary byte can only begin at that
 * byte, and memchr goes there faster than we do. */
static size_t first_start(struct slice pattern, size_t run, struct slice text, size_t from, bool nocase) {
    char first = pattern.ptr[run];
    if (nocase || first == '?' || first == '[' || first == '\\') return from;
    const char *found = memchr(text.ptr + from, first, text.len - from);
    return found ? (size_t)(found - text.ptr) : text.len;
}

bool glob_match(struct slice pattern, struct slice text, bool nocase) {
    if (text.len == 0) return pattern.len == 0;
    size_t p = 0, t = 0;
    bool starred = false;
    size_t run = 0, run_text = 0; /* after the latest star: its run, and where we try it in text */
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            p = skip_stars(pattern, p);
            if (p == pattern.len) return true;
            starred = true;
            run = p;
            t = run_text = first_start(pattern, run, text, t, nocase);
        } else if (p < pattern.len && part_matches(pattern, &p, text.ptr[t], nocase)) {
            t++;
        } else if (starred) {
            p = run;
            t = run_text = first_start(pattern, run, text, run_text + 1, nocase);
        } else {
            return false;
        }
    }
    return skip_stars(pattern, p) == pattern.len;
}

bool glob_is_literal(struct slice pattern) {
    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.ptr[i];
        if (c == '*' || c == '?' || c == '[' || c == '\\') return false;
    }
    return true;
}
