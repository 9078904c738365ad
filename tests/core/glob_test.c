/* Glob: that patterns mean what they mean in Redis, byte for byte, the odd cases included, and that
 * no pattern is slow.
 *
 * The reference is written from the description in glob.h in another shape: it first reads the
 * pattern into a list of parts, each star or a table of the 256 bytes it takes, and then tries
 * every length for every star. Random patterns over an alphabet of special bytes are compared with
 * it. (glob.c was also compared with KEYS and CONFIG GET of redis-server 7.0.15.) */
#include "core/glob.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

struct row {
    struct slice pattern, text;
    bool match;
};

#define ROW(pattern, text, match)                                                                                      \
    { SLICE_INIT(pattern), SLICE_INIT(text), match }

/* The slices lie in exact heap blocks, so that the address sanitizer sees a read beyond them. */
static bool matches(struct slice pattern, struct slice text, bool nocase) {
    char *p = malloc(pattern.len + 1), *t = malloc(text.len + 1);
    assert_non_null(p);
    assert_non_null(t);
    /* Shifted by one: the block ends where the slice ends, and an empty slice is no special case.
     */
    memcpy(p + 1, pattern.ptr, pattern.len);
    memcpy(t + 1, text.ptr, text.len);
    bool match = glob_match(slice_of(p + 1, pattern.len), slice_of(t + 1, text.len), nocase);
    free(p);
    free(t);
    return match;
}

static void check_rows(const struct row *rows, size_t count, bool nocase) {
    for (size_t i = 0; i < count; i++) {
        const struct row *r = &rows[i];
        if (matches(r->pattern, r->text, nocase) != r->match) {
            fail_msg("'%.*s' and '%.*s'", (int)r->pattern.len, r->pattern.ptr, (int)r->text.len, r->text.ptr);
        }
    }
}

static void plain_and_wild(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("", "", true),
        ROW("", "a", false),
        ROW("a", "", false),
        ROW("abc", "abc", true),
        ROW("abc", "abd", false),
        ROW("abc", "ab", false),
        ROW("ab", "abc", false),
        ROW("ABC", "abc", false),
        ROW("a\0b", "a\0b", true),
        ROW("a\0b", "a\0c", false),
        ROW("?", "a", true),
        ROW("?", "\0", true),
        ROW("?", "", false),
        ROW("??", "a", false),
        ROW("*", "a", true),
        ROW("*", "abc", true),
        ROW("a*", "a", true),
        ROW("a*", "abc", true),
        ROW("*c", "abc", true),
        ROW("*c", "abcd", false),
        ROW("a*c", "ac", true),
        ROW("a*c", "abbbc", true),
        ROW("a**c", "abc", true),
        ROW("a***", "a", true),
        ROW("*a*", "bab", true),
        ROW("*aab", "aaaab", true),
        ROW("*ab*ab", "abab", true),
        ROW("*ab*ab", "aba", false),
        ROW("*?", "a", true),
        ROW("?*?", "a", false),
        ROW("*?*", "a", true),
        ROW("h?llo", "hello", true),
        ROW("h*llo", "heeeello", true),
        ROW("user:*:name", "user:1:name", true),
    };
    check_rows(rows, ARRAY_LEN(rows), false);
}

/* "*" needs a byte of text to start from: so it is in Redis. */
static void empty_text(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("*", "", false), ROW("**", "", false), ROW("[^]", "", false), ROW("[]", "", false), ROW("\\", "", false),
    };
    check_rows(rows, ARRAY_LEN(rows), false);
    assert_true(glob_match(slice_of(NULL, 0), slice_of(NULL, 0), false));
    assert_false(glob_match(SLICE("*"), slice_of(NULL, 0), false));
}

static void classes(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("[abc]", "b", true),      ROW("[abc]", "d", false),
        ROW("[a-c]", "b", true),      ROW("[a-c]", "d", false),
        ROW("[c-a]", "b", true),      ROW("[^a-c]", "b", false),
        ROW("[^a-c]", "d", true),     ROW("[a^]", "^", true),
        ROW("[a-cx-z]y", "yy", true), ROW("[]", "]", false),
        ROW("[]a]", "a]", false),     ROW("[^]a]", "xa]", true),
        ROW("[\\]]", "]", true),      ROW("[\\]", "\\", false), /* the ']' is quoted, the class is {]} and open */
        ROW("[\\]", "]", true),       ROW("[\\^a]", "^", true),
        ROW("[\\a-c]", "b", false),                                /* 'a' quoted, then '-', then 'c' */
        ROW("[\\a-c]", "-", true),    ROW("[a-\\]]", "\\]", true), /* the range ends with the backslash */
        ROW("[a-]", "]", true),                                    /* a range from 'a' to ']', and no end */
        ROW("[a-]", "_", true),       ROW("[a-]", "-", false),
        ROW("[-a]", "-", true),       ROW("[*?]", "*", true),
        ROW("[*?]", "x", false),      ROW("x[ab]*", "xbcd", true),
        ROW("*[ab]x", "zzax", true),
    };
    check_rows(rows, ARRAY_LEN(rows), false);
}

static void unfinished(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("[", "a", false),    ROW("[", "[", false),     ROW("[^", "a", true),     ROW("a[^", "ab", true),
        ROW("[abc", "c", true),  ROW("[abc", "d", false),  ROW("[a-", "a", true),    ROW("[a-", "-", true),
        ROW("[a-", "b", false),  ROW("[a-c", "b", true),   ROW("[\\", "\\", true),   ROW("[^abc", "x", true),
        ROW("\\", "\\", true),   ROW("a\\", "a\\", true),  ROW("*\\", "ab\\", true), ROW("\\*", "*", true),
        ROW("\\*", "a", false),  ROW("\\\\", "\\", true),  ROW("\\a", "a", true),    ROW("\\[a]", "[a]", true),
        ROW("[abc*", "*", true), ROW("[ab*", "ab", false),
    };
    check_rows(rows, ARRAY_LEN(rows), false);
}

static void high_bytes_are_negative_in_ranges(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("[\x80-\xff]", "\x90", true), ROW("[\x01-\x80]", "\x02", false), ROW("[\x01-\x80]", "\xff", true),
        ROW("[\x01-\x80]", "\x01", true), ROW("[\x01-\x80]", "\0", true),    ROW("\xc3?", "\xc3\xa9", true),
    };
    check_rows(rows, ARRAY_LEN(rows), false);
}

static void ignoring_case(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("MaxMemory", "maxmemory", true),
        ROW("max*", "MAXMEMORY", true),
        ROW("[A-C]", "b", true),
        ROW("[a-c]", "B", true),
        ROW("[ABC]", "b", true),
        ROW("[^ABC]", "b", false),
        ROW("\\A", "a", true),
        ROW("[\\A]", "a", false), /* quoted in a class: exact */
        ROW("[\\A]", "A", true),
        ROW("[Z-a]", "z", false), /* ordered first, folded then: z to a is empty */
        ROW("[Z-a]", "a", false),
        ROW("[@-Z]", "m", true),
        ROW("\xc4", "\xe4", false), /* ASCII only */
    };
    check_rows(rows, ARRAY_LEN(rows), true);
}

static void literals(void **state) {
    (void)state;
    assert_true(glob_is_literal(SLICE("")));
    assert_true(glob_is_literal(SLICE("user:1000")));
    assert_true(glob_is_literal(SLICE("a]b^-c")));
    assert_false(glob_is_literal(SLICE("a*")));
    assert_false(glob_is_literal(SLICE("?a")));
    assert_false(glob_is_literal(SLICE("a[b")));
    assert_false(glob_is_literal(SLICE("a\\b")));
}

/* --- the reference --- */

#define PARTS_MAX 16

struct part {
    bool star;
    bool takes[256];
};

static int lower(int c) {
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static int as_signed(uint8_t c) {
    return c < 128 ? c : c - 256;
}

static void take(struct part *part, uint8_t c, bool nocase) {
    for (int b = 0; b < 256; b++) {
        part->takes[b] |= nocase ? lower(b) == lower(c) : b == c;
    }
}

static void take_range(struct part *part, uint8_t from, uint8_t to, bool nocase) {
    int low = MIN(as_signed(from), as_signed(to)), high = MAX(as_signed(from), as_signed(to));
    if (nocase) {
        low = lower(low);
        high = lower(high);
    }
    for (int b = 0; b < 256; b++) {
        int c = as_signed((uint8_t)b);
        if (nocase) c = lower(c);
        part->takes[b] |= low <= c && c <= high;
    }
}

/* Reads the class whose '[' is before p[0]; returns how many bytes it spans. */
static size_t read_class(struct part *part, const uint8_t *p, size_t len, bool nocase) {
    size_t i = 0;
    bool inverted = len > 0 && p[0] == '^';
    if (inverted) i = 1;
    for (; i < len && p[i] != ']'; i++) {
        if (i + 1 < len && p[i] == '\\') {
            part->takes[p[++i]] = true;
        } else if (i + 2 < len && p[i + 1] == '-') {
            take_range(part, p[i], p[i + 2], nocase);
            i += 2;
        } else {
            take(part, p[i], nocase);
        }
    }
    for (int b = 0; inverted && b < 256; b++) part->takes[b] = !part->takes[b];
    return i < len ? i + 1 : len;
}

static size_t read_parts(struct slice pattern, bool nocase, struct part parts[PARTS_MAX]) {
    const uint8_t *p = (const uint8_t *)pattern.ptr;
    size_t count = 0;
    for (size_t i = 0; i < pattern.len; count++) {
        struct part *part = &parts[count];
        memset(part, 0, sizeof *part);
        uint8_t c = p[i++];
        if (c == '*') {
            part->star = true;
        } else if (c == '?') {
            memset(part->takes, true, sizeof part->takes);
        } else if (c == '[') {
            i += read_class(part, p + i, pattern.len - i, nocase);
        } else {
            if (c == '\\' && i < pattern.len) c = p[i++];
            take(part, c, nocase);
        }
    }
    return count;
}

static bool fits(const struct part *parts, size_t count, struct slice text) {
    if (count == 0) return text.len == 0;
    if (parts->star) {
        for (size_t taken = 0; taken <= text.len; taken++) {
            if (fits(parts + 1, count - 1, slice_of(text.ptr + taken, text.len - taken))) return true;
        }
        return false;
    }
    return text.len > 0 && parts->takes[(uint8_t)text.ptr[0]] &&
           fits(parts + 1, count - 1, slice_of(text.ptr + 1, text.len - 1));
}

static bool reference(struct slice pattern, struct slice text, bool nocase) {
    if (text.len == 0) return pattern.len == 0;
    struct part parts[PARTS_MAX];
    return fits(parts, read_parts(pattern, nocase, parts), text);
}

static struct slice random_text(struct prng *prng, const char *alphabet, char *out, size_t max) {
    size_t len = (size_t)prng_below(prng, max + 1);
    for (size_t i = 0; i < len; i++) out[i] = alphabet[prng_below(prng, strlen(alphabet))];
    return slice_of(out, len);
}

static void agrees_with_the_reference(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    static const char *const pattern_letters[] = {"ab*", "aAbB*?", "abcB[]^-\\*?", "a-c[]^\\\x80\xff*"};
    static const char *const text_letters[] = {"ab", "aAbB", "abcB[]^-\\*?", "abc]\x80\x90\xff"};
    size_t matched = 0;
    for (int round = 0; round < 400000; round++) {
        char pattern_bytes[PARTS_MAX], text_bytes[10];
        size_t letters = (size_t)prng_below(&prng, ARRAY_LEN(pattern_letters));
        struct slice pattern = random_text(&prng, pattern_letters[letters], pattern_bytes, sizeof pattern_bytes - 4);
        struct slice text = random_text(&prng, text_letters[letters], text_bytes, sizeof text_bytes);
        bool nocase = prng_below(&prng, 2) != 0;
        bool expected = reference(pattern, text, nocase);
        matched += expected;
        if (matches(pattern, text, nocase) != expected) {
            fail_msg("'%.*s' and '%.*s', nocase %d: expected %d", (int)pattern.len, pattern.ptr, (int)text.len,
                     text.ptr, nocase, expected);
        }
    }
    assert_true(matched > 4000); /* the comparison is not about mismatches only */
}

/* 40 stars against 20000 bytes: a search that retries every star would not end before we do. */
static void many_stars_are_not_slow(void **state) {
    (void)state;
    enum { TEXT = 20000, STARS = 40 };
    char *text = malloc(TEXT), pattern[2 * STARS + 1];
    assert_non_null(text);
    memset(text, 'a', TEXT);
    for (size_t i = 0; i < STARS; i++) memcpy(pattern + 2 * i, "a*", 2);
    pattern[2 * STARS] = 'b';
    assert_false(glob_match(slice_of(pattern, sizeof pattern), slice_of(text, TEXT), false));
    text[TEXT - 1] = 'b';
    assert_true(glob_match(slice_of(pattern, sizeof pattern), slice_of(text, TEXT), false));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_and_wild),
        cmocka_unit_test(empty_text),
        cmocka_unit_test(classes),
        cmocka_unit_test(unfinished),
        cmocka_unit_test(high_bytes_are_negative_in_ranges),
        cmocka_unit_test(ignoring_case),
        cmocka_unit_test(literals),
        cmocka_unit_test(agrees_with_the_reference),
        cmocka_unit_test(many_stars_are_not_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
