/* The RESP parser: every command comes out the same whether its bytes arrive at once or cut at any place; `need` is
 * the least that helps; inline quoting and all protocol errors are Redis's, word for word.
 *
 * Each call gets its bytes in a block of exactly their size, at a new address, so that a sanitizer sees any byte read
 * too many and any pointer kept too long. */
#include "core/buf.h"
#include "core/prng.h"
#include "core/resp_parse.h"
#include "core/resp_write.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ARGV_CAP 64

struct session {
    struct heap *heap;
    struct resp_parser parser;
    struct parse_limits limits;
    struct buf in;   /* not yet consumed */
    struct buf seen; /* commands, as RESP again */
    size_t need;
    unsigned empty, kept;
    enum parse_result last;
    char error[64];
};

static void session_init(struct session *s) {
    *s = (struct session){.heap = heap_new(), .limits = {.bulk_max = 512u * 1024 * 1024}, .last = PARSE_MORE};
    resp_parser_init(&s->parser, s->heap);
    buf_init(&s->in, s->heap, MEM_MESSAGE);
    buf_init(&s->seen, s->heap, MEM_MESSAGE);
}

static void session_deinit(struct session *s) {
    resp_parser_reset(&s->parser);
    assert_int_equal(heap_used(s->heap, MEM_CLIENT_IN), 0);
    buf_deinit(&s->in);
    buf_deinit(&s->seen);
    heap_delete(s->heap);
}

static enum parse_result parse_once(struct session *s, struct parsed_command *command) {
    struct slice argv[ARGV_CAP];
    size_t len = buf_readable(&s->in);
    char *moved = malloc(len);
    if (len) memcpy(moved, s->in.data + s->in.read, len);
    *command = (struct parsed_command){0};
    enum parse_result result = resp_parse(&s->parser, slice_of(moved, len), &s->limits, argv, ARGV_CAP, command);
    assert_true(result != PARSE_ARGV);
    if (result == PARSE_MORE) {
        assert_true(command->need > len);
        assert_true(command->need >= s->need || len >= s->need);
        s->need = command->need;
    } else {
        assert_true(len >= s->need); /* less than was asked for never helps */
        s->need = 0;
    }
    if (result == PARSE_OK) {
        resp_command(&s->seen, command->argv, command->argc);
        s->kept += command->kept;
    }
    free(moved);
    return result;
}

/* Adds bytes and parses all that is complete. */
static void feed(struct session *s, struct slice bytes) {
    buf_append_slice(&s->in, bytes);
    struct parsed_command command;
    while (s->last != PARSE_ERROR) {
        s->last = parse_once(s, &command);
        if (s->last == PARSE_MORE) return;
        if (s->last == PARSE_ERROR) {
            memcpy(s->error, command.error, sizeof s->error);
            return;
        }
        s->empty += s->last == PARSE_EMPTY;
        assert_true(command.size > 0 && command.size <= buf_readable(&s->in));
        s->in.read += command.size;
        buf_compact(&s->in);
    }
}

/* The commands in text, as RESP; an error's text instead when there is one. */
static void expect_of(struct slice text, const char *expected, struct parse_limits limits) {
    for (size_t cut = 0; cut <= text.len; cut++) { /* the last round is uncut */
        struct session s;
        session_init(&s);
        s.limits = limits;
        feed(&s, slice_of(text.ptr, cut));
        feed(&s, slice_of(text.ptr + cut, text.len - cut));
        struct slice got = s.last == PARSE_ERROR ? slice_of_cstr(s.error) : buf_slice(&s.seen);
        if (!slice_equal(got, slice_of_cstr(expected)))
            fail_msg("cut at %zu: expected %s, got %.*s", cut, expected, (int)got.len, got.ptr);
        session_deinit(&s);
    }
}

static const struct parse_limits usual = {.bulk_max = 512u * 1024 * 1024};
static const struct parse_limits stranger = {.bulk_max = 512u * 1024 * 1024, .unauthenticated = true};

static void expect(const char *text, const char *expected) {
    expect_of(slice_of_cstr(text), expected, usual);
}

static void reads_multibulk(void **state) {
    (void)state;
    expect("*1\r\n$4\r\nPING\r\n", "*1\r\n$4\r\nPING\r\n");
    expect("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n*1\r\n$1\r\nx\r\n",
           "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n*1\r\n$1\r\nx\r\n");
    expect("*2\r\n$6\r\na\r\nb\r\n\r\n$3\r\n$1\r\r\n", "*2\r\n$6\r\na\r\nb\r\n\r\n$3\r\n$1\r\r\n");
}

static void keeps_zero_bytes(void **state) {
    (void)state;
    struct session s;
    session_init(&s);
    struct slice text = slice_of("*1\r\n$3\r\na\0b\r\n", 13);
    feed(&s, text);
    assert_true(slice_equal(buf_slice(&s.seen), text));
    session_deinit(&s);
}

static void passes_over_empty_commands(void **state) {
    (void)state;
    expect("*0\r\n*-1\r\n*-7\r\n\r\n\n   \r\n*1\r\n$1\r\nx\r\n", "*1\r\n$1\r\nx\r\n");
    struct session s;
    session_init(&s);
    feed(&s, SLICE("*0\r\n*-1\r\n\r\n\n  \n"));
    assert_int_equal(s.empty, 5);
    session_deinit(&s);
}

/* As in Redis, the two bytes behind a bulk and the one behind CR may be anything. */
static void does_not_check_line_ends(void **state) {
    (void)state;
    expect("*1\rX$1\rXxYZ*1\r\n$1\r\ny\r\n", "*1\r\n$1\r\nx\r\n*1\r\n$1\r\ny\r\n");
}

static void reads_inline(void **state) {
    (void)state;
    expect("PING\r\n", "*1\r\n$4\r\nPING\r\n");
    expect("PING\n", "*1\r\n$4\r\nPING\r\n");
    expect("  SET \t k   v \r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n");
    expect("a b c d e\n", "*5\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n");
    expect("a\vb\f c\n", "*2\r\n$4\r\na\vb\f\r\n$1\r\nc\r\n");
    expect("$5\r\n", "*1\r\n$2\r\n$5\r\n");
}

static void unquotes_inline(void **state) {
    (void)state;
    expect("a \"b c\" 'd e'\n", "*3\r\n$1\r\na\r\n$3\r\nb c\r\n$3\r\nd e\r\n");
    expect("\"\" ''\n", "*2\r\n$0\r\n\r\n$0\r\n\r\n");
    expect("\"\\n\\r\\t\\b\\a\\q\\\\\\\"\"\n", "*1\r\n$8\r\n\n\r\t\b\aq\\\"\r\n");
    expect("\"\\x41\\x6a\\x6B\\x4g\\x\"\n", "*1\r\n$7\r\nAjkx4gx\r\n");
    expect("'\\n\\'x'\n", "*1\r\n$4\r\n\\n'x\r\n");
    expect("ab\"c d\"\n", "*1\r\n$5\r\nabc d\r\n");
    expect("\"a\"\vb\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    expect("'\"' \"'\"\n", "*2\r\n$1\r\n\"\r\n$1\r\n'\r\n");
    expect("a\\nb\n", "*1\r\n$4\r\na\\nb\r\n"); /* outside quotes a backslash is a byte like others */
}

static void refuses_unbalanced_quotes(void **state) {
    (void)state;
    static const char *const texts[] = {"\"\n",      "'\n",    "a \"b\n", "\"a\"b\n",    "'a'b\n",
                                        "\"a\\\"\n", "\"\\\n", "'\\'\n",  "\"a\"\"b\"\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) expect(texts[i], "Protocol error: unbalanced quotes in request");
}

static void refuses_bad_counts_and_lengths(void **state) {
    (void)state;
    static const char *const counts[] = {"*\r\n",   "*x\r\n",          "*1x\r\n",
                                         "*+1\r\n", "* 1\r\n",         "*01\r\n",
                                         "*-0\r\n", "*2147483648\r\n", "*99999999999999999999\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) expect(counts[i], "Protocol error: invalid multibulk length");
    static const char *const lengths[] = {"*1\r\n$\r\n",
                                          "*1\r\n$-1\r\n",
                                          "*1\r\n$x\r\n",
                                          "*1\r\n$1 \r\n",
                                          "*1\r\n$01\r\n",
                                          "*1\r\n$536870913\r\n",
                                          "*1\r\n$99999999999999999999\r\n",
                                          "*2\r\n$1\r\na\r\n$-2\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) expect(lengths[i], "Protocol error: invalid bulk length");
    expect("*1\r\n:1\r\n", "Protocol error: expected '$', got ':'");
    expect("*1\r\n\r\n", "Protocol error: expected '$', got '\r'");
}

static void refuses_strangers_much(void **state) {
    (void)state;
    expect_of(SLICE("*11\r\n"), "Protocol error: unauthenticated multibulk length", stranger);
    expect_of(SLICE("*1\r\n$16385\r\n"), "Protocol error: unauthenticated bulk length", stranger);
    expect_of(SLICE("*1\r\n$1\r\nx\r\n"), "*1\r\n$1\r\nx\r\n", stranger);
    struct parsed_command command;
    struct session s;
    session_init(&s);
    s.limits = stranger;
    buf_append_literal(&s.in, "*10\r\n$16384\r\n");
    assert_int_equal(parse_once(&s, &command), PARSE_MORE);
    assert_int_equal(command.need, 13 + 16384 + 2);
    session_deinit(&s);
}

/* A line that does not end: 64 KiB, type byte included, are waited for, one more is too much. */
static void refuses_endless_lines(void **state) {
    (void)state;
    static const struct {
        const char *start, *error;
    } cases[] = {{"*", "Protocol error: too big mbulk count string"},
                 {"*1\r\n$", "Protocol error: too big bulk count string"},
                 {"*1\r\n:", "Protocol error: too big bulk count string"},
                 {"a", "Protocol error: too big inline request"}};
    char *text = malloc(PARSE_LINE_MAX + 16);
    memset(text, '1', PARSE_LINE_MAX + 16);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t head = strlen(cases[i].start);
        struct session s;
        session_init(&s);
        feed(&s, slice_of_cstr(cases[i].start));
        feed(&s, slice_of(text, PARSE_LINE_MAX - 1));
        if (s.last != PARSE_MORE) fail_msg("%s: %s after %d", cases[i].start, s.error, PARSE_LINE_MAX);
        feed(&s, slice_of(text, 1));
        assert_int_equal(s.last, PARSE_ERROR);
        assert_string_equal(s.error, cases[i].error);
        assert_true(head > 0);
        session_deinit(&s);
    }
    free(text);
}

static void asks_for_what_is_missing(void **state) {
    (void)state;
    struct session s;
    session_init(&s);
    struct parsed_command command;
    buf_append_literal(&s.in, "*2\r\n$3\r\nGET\r\n$1000\r\nabc");
    assert_int_equal(parse_once(&s, &command), PARSE_MORE);
    assert_int_equal(command.need, 13 + 7 + 1000 + 2);
    session_deinit(&s);
}

static void asks_for_room(void **state) {
    (void)state;
    struct session s;
    session_init(&s);
    struct slice argv[2], text = SLICE("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    struct parsed_command command = {0};
    assert_int_equal(resp_parse(&s.parser, text, &s.limits, argv, 2, &command), PARSE_ARGV);
    session_deinit(&s);
}

static void write_command(struct buf *out, struct prng *prng, uint32_t argc) {
    resp_array(out, argc);
    for (uint32_t i = 0; i < argc; i++) {
        char text[40];
        size_t len = prng_below(prng, sizeof text);
        for (size_t k = 0; k < len; k++) text[k] = "a\r\n$*5\0:"[prng_below(prng, 8)];
        resp_bulk(out, slice_of(text, len));
    }
}

/* Commands with more arguments than the caller has room for, cut at each byte, and among others. */
static void reads_many_arguments(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 3);
    static const uint32_t counts[] = {63, 64, 65, 66, 127, 300};
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        struct session s;
        session_init(&s);
        struct buf text;
        buf_init(&text, s.heap, MEM_MESSAGE);
        write_command(&text, &prng, 2);
        write_command(&text, &prng, counts[c]);
        write_command(&text, &prng, counts[c]);
        write_command(&text, &prng, 3);
        for (size_t cut = 0; cut <= text.len; cut++) {
            buf_reset(&s.seen, SIZE_MAX);
            feed(&s, slice_of(text.data, cut));
            feed(&s, slice_of(text.data + cut, text.len - cut));
            assert_int_equal(s.last, PARSE_MORE);
            assert_true(slice_equal(buf_slice(&s.seen), buf_slice(&text)));
        }
        assert_int_equal(s.kept > 0, counts[c] > ARGV_CAP);
        buf_deinit(&text);
        session_deinit(&s);
    }
}

/* Byte by byte, a long command is not parsed from its start each time: this would take minutes. */
static void keeps_progress(void **state) {
    (void)state;
    struct session s;
    session_init(&s);
    struct parsed_command command;
    enum { COUNT = 200000 };
    struct buf text;
    buf_init(&text, s.heap, MEM_MESSAGE);
    resp_array(&text, COUNT);
    for (int i = 0; i < COUNT; i++) resp_bulk(&text, SLICE("x"));
    struct slice argv[ARGV_CAP];
    for (size_t len = 1; len < text.len; len++) {
        enum parse_result result = resp_parse(&s.parser, slice_of(text.data, len), &s.limits, argv, ARGV_CAP, &command);
        assert_int_equal(result, PARSE_MORE);
    }
    assert_int_equal(resp_parse(&s.parser, buf_slice(&text), &s.limits, argv, ARGV_CAP, &command), PARSE_OK);
    assert_int_equal(command.argc, COUNT);
    assert_true(command.kept);
    assert_int_equal(command.size, text.len);
    buf_deinit(&text);
    session_deinit(&s);
}

/* A count of two billion announces nothing yet: memory grows with what arrives. */
static void trusts_no_announcement(void **state) {
    (void)state;
    struct session s;
    session_init(&s);
    feed(&s, SLICE("*2147483647\r\n$1\r\nx\r\n"));
    assert_int_equal(s.last, PARSE_MORE);
    assert_true(heap_used(s.heap, MEM_CLIENT_IN) < 64 * 1024);
    session_deinit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_multibulk),
        cmocka_unit_test(keeps_zero_bytes),
        cmocka_unit_test(passes_over_empty_commands),
        cmocka_unit_test(does_not_check_line_ends),
        cmocka_unit_test(reads_inline),
        cmocka_unit_test(unquotes_inline),
        cmocka_unit_test(refuses_unbalanced_quotes),
        cmocka_unit_test(refuses_bad_counts_and_lengths),
        cmocka_unit_test(refuses_strangers_much),
        cmocka_unit_test(refuses_endless_lines),
        cmocka_unit_test(asks_for_what_is_missing),
        cmocka_unit_test(asks_for_room),
        cmocka_unit_test(reads_many_arguments),
        cmocka_unit_test(keeps_progress),
        cmocka_unit_test(trusts_no_announcement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
