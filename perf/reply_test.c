/* Proves that the skipper counts every reply type once, however the bytes are cut (each stream is
 * fed whole, byte by byte and cut in two at every place), and refuses what is not RESP. */
#include "perf/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct expectation {
    const char *bytes;
    int64_t replies;
    uint64_t errors, nils;
};

static const struct expectation streams[] = {
    {"+OK\r\n+PONG\r\n+OK\r\n", 3, 0, 0},
    {":1\r\n:-23\r\n:0\r\n", 3, 0, 0},
    {"$3\r\nabc\r\n$3\r\nabd\r\n$4\r\nabcd\r\n$0\r\n\r\n$0\r\n\r\n", 5, 0, 0},
    {"$5\r\n$3\r\na\r\n$10\r\n+OK\r\n+OK\r\n\r\n", 2, 0, 0}, /* values that look like replies */
    {"$-1\r\n*-1\r\n_\r\n", 3, 0, 3},
    {"*0\r\n*2\r\n$1\r\na\r\n$-1\r\n*1\r\n*1\r\n*2\r\n:1\r\n:2\r\n", 3, 0, 1},
    {"-ERR unknown\r\n+OK\r\n-WRONGTYPE x\r\n", 3, 2, 0},
    {"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n~1\r\n,1.5\r\n#t\r\n(123456789012345678901234567890\r\n", 4, 0, 0},
    {"=7\r\ntxt:abc\r\n!5\r\nERR x\r\n", 2, 1, 0},
    {">2\r\n+invalidate\r\n$1\r\na\r\n+OK\r\n", 1, 0, 0}, /* a push is not a reply */
    {"|1\r\n+ttl\r\n:5\r\n$1\r\na\r\n", 1, 0, 0},         /* an attribute belongs to what follows */
};

static void check(const struct expectation *want, size_t first, size_t step) {
    struct reply_state s;
    reply_init(&s, NULL, NULL);
    int64_t replies = 0;
    size_t len = strlen(want->bytes);
    for (size_t at = 0; at < len;) {
        size_t piece = at == 0 ? first : step;
        if (piece > len - at) piece = len - at;
        int64_t got = reply_skip(&s, want->bytes + at, piece);
        assert_true(got >= 0);
        replies += got;
        at += piece;
    }
    assert_int_equal(replies, want->replies);
    assert_int_equal(s.errors, want->errors);
    assert_int_equal(s.nils, want->nils);
    assert_int_equal(s.pending, 0);
}

static void counts_however_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        size_t len = strlen(streams[i].bytes);
        check(&streams[i], len, len);
        check(&streams[i], 1, 1);
        for (size_t cut = 1; cut < len; cut++) check(&streams[i], cut, len);
    }
}

static void keeps_the_first_error(void **state) {
    (void)state;
    struct reply_state s;
    reply_init(&s, NULL, NULL);
    static const char bytes[] = "+OK\r\n-ERR first\r\n-ERR second\r\n";
    assert_int_equal(reply_skip(&s, bytes, sizeof bytes - 1), 3);
    assert_string_equal(s.error_text, "ERR first");
}

static void refuses_nonsense(void **state) {
    (void)state;
    static const char *const bad[] = {"HTTP/1.1 200\r\n", "$x\r\n", "*9999999999\r\n", "\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct reply_state s;
        reply_init(&s, NULL, NULL);
        assert_int_equal(reply_skip(&s, bad[i], strlen(bad[i])), -1);
    }
}

static char seen[64];

static void collect(void *context, const char *piece, size_t len, uint64_t offset, int64_t total) {
    (void)context;
    (void)offset;
    if (total < 0)
        strcat(seen, "nil"); /* NOLINT */
    else
        strncat(seen, piece, len);
    if (total < 0 || offset + len == (uint64_t)total) strcat(seen, ","); /* NOLINT */
}

static void shows_values(void **state) {
    (void)state;
    static const char bytes[] = "*4\r\n$3\r\nabc\r\n$-1\r\n$0\r\n\r\n$2\r\nde\r\n$3\r\nabc\r\n";
    for (size_t step = 1; step < sizeof bytes; step++) {
        struct reply_state s;
        reply_init(&s, collect, NULL);
        seen[0] = '\0';
        for (size_t at = 0; at < sizeof bytes - 1; at += step)
            (void)reply_skip(&s, bytes + at, sizeof bytes - 1 - at < step ? sizeof bytes - 1 - at : step);
        assert_string_equal(seen, "abc,nil,,de,abc,");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_however_cut),
        cmocka_unit_test(keeps_the_first_error),
        cmocka_unit_test(refuses_nonsense),
        cmocka_unit_test(shows_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
