/* The RESP writer: every kind of reply byte for byte in both protocols, lengths around each change of a header's
 * length, and resp_skip: it finds the end of whatever the writer wrote, and never in a part of it. */
#include "core/prng.h"
#include "core/resp_write.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct heap *heap;
    struct buf out;
};

static int setup(void **state) {
    struct fixture *f = malloc(sizeof *f);
    f->heap = heap_new();
    buf_init(&f->out, f->heap, MEM_CLIENT_OUT);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    buf_deinit(&f->out);
    assert_int_equal(heap_used(f->heap, MEM_CLIENT_OUT), 0);
    heap_delete(f->heap);
    free(f);
    return 0;
}

/* What was written since the last call. */
static void expect(struct fixture *f, const char *text) {
    struct slice got = buf_slice(&f->out);
    if (!slice_equal(got, slice_of_cstr(text))) fail_msg("expected %s, got %.*s", text, (int)got.len, got.ptr);
    buf_reset(&f->out, SIZE_MAX);
}

static void writes_lines(void **state) {
    struct fixture *f = *state;
    resp_simple(&f->out, SLICE("OK"));
    expect(f, "+OK\r\n");
    resp_simple(&f->out, SLICE(""));
    expect(f, "+\r\n");
    resp_error(&f->out, SLICE("ERR no\r\nline"));
    expect(f, "-ERR no  line\r\n");
    resp_errorf(&f->out, "ERR %s %d\n", "x", 7);
    expect(f, "-ERR x 7 \r\n");
    resp_int(&f->out, 0);
    resp_int(&f->out, -1);
    resp_int(&f->out, INT64_MIN);
    resp_int(&f->out, INT64_MAX);
    expect(f, ":0\r\n:-1\r\n:-9223372036854775808\r\n:9223372036854775807\r\n");
}

static void bounds_formatted_errors(void **state) {
    struct fixture *f = *state;
    char text[5000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    resp_errorf(&f->out, "ERR %s", text);
    assert_int_equal(f->out.len, 1 + 1023 + 2);
    assert_int_equal(resp_skip(buf_slice(&f->out)), f->out.len);
}

static void writes_what_differs_between_protocols(void **state) {
    struct fixture *f = *state;
    for (int resp = 2; resp <= 3; resp++) {
        resp_null(&f->out, resp);
        resp_null_array(&f->out, resp);
        resp_map(&f->out, resp, 12);
        resp_set(&f->out, resp, 3);
        resp_push(&f->out, resp, 4);
        resp_bool(&f->out, resp, true);
        resp_bool(&f->out, resp, false);
        expect(f, resp == 2 ? "$-1\r\n*-1\r\n*24\r\n*3\r\n*4\r\n:1\r\n:0\r\n"
                            : "_\r\n_\r\n%12\r\n~3\r\n>4\r\n#t\r\n#f\r\n");
        resp_double(&f->out, resp, 0.5);
        resp_double(&f->out, resp, (double)INFINITY);
        expect(f, resp == 2 ? "$3\r\n0.5\r\n$3\r\ninf\r\n" : ",0.5\r\n,inf\r\n");
        resp_verbatim(&f->out, resp, "txt", SLICE("Some"));
        resp_verbatim(&f->out, resp, "txt", SLICE(""));
        expect(f, resp == 2 ? "$4\r\nSome\r\n$0\r\n\r\n" : "=8\r\ntxt:Some\r\n=4\r\ntxt:\r\n");
    }
}

static void writes_bulks_of_every_header_length(void **state) {
    struct fixture *f = *state;
    static const size_t lens[] = {0, 1, 2, 9, 10, 11, 98, 99, 100, 101, 999, 1000, 9999, 10000, 123456};
    char *bytes = malloc(123456);
    for (size_t i = 0; i < 123456; i++) bytes[i] = (char)(i * 7);
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        char header[32];
        size_t head = (size_t)snprintf(header, sizeof header, "$%zu\r\n", lens[i]);
        resp_bulk(&f->out, slice_of(bytes, lens[i]));
        assert_int_equal(f->out.len, head + lens[i] + 2);
        assert_memory_equal(f->out.data, header, head);
        assert_memory_equal(f->out.data + head, bytes, lens[i]);
        assert_memory_equal(f->out.data + head + lens[i], "\r\n", 2);
        assert_int_equal(resp_skip(buf_slice(&f->out)), f->out.len);
        buf_deinit(&f->out); /* a tight fit the next time */
    }
    free(bytes);
    resp_bulk(&f->out, slice_of(NULL, 0));
    expect(f, "$0\r\n\r\n");
    resp_bulk_int(&f->out, -42);
    expect(f, "$3\r\n-42\r\n");
}

static void writes_commands(void **state) {
    struct fixture *f = *state;
    struct slice argv[] = {SLICE_INIT("SET"), SLICE_INIT("k"), SLICE_INIT("")};
    resp_command(&f->out, argv, 3);
    expect(f, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
}

static void closes_arrays_of_unknown_length(void **state) {
    struct fixture *f = *state;
    resp_int(&f->out, 1);
    size_t outer = resp_array_open(&f->out);
    resp_int(&f->out, 2);
    size_t inner = resp_array_open(&f->out);
    resp_array_close(&f->out, inner, 0);
    for (int i = 0; i < 10; i++) resp_int(&f->out, i);
    resp_array_close(&f->out, outer, 12);
    expect(f, ":1\r\n*12\r\n:2\r\n*0\r\n:0\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n");
}

static void recounts(void **state) {
    struct fixture *f = *state;
    resp_int(&f->out, 1);
    size_t mark = f->out.len;
    resp_array(&f->out, 1000);
    resp_int(&f->out, 7);
    resp_recount(&f->out, mark, 1);
    expect(f, ":1\r\n*1\r\n:7\r\n");
    resp_set(&f->out, 3, 0);
    resp_recount(&f->out, 0, 1000000);
    expect(f, "~1000000\r\n");
    resp_array(&f->out, 5);
    resp_int(&f->out, 7);
    resp_recount(&f->out, 0, 12);
    expect(f, "*12\r\n:7\r\n");
}

/* A random reply, nested; returns nothing, as its end is where out ends. */
static void write_random(struct buf *out, struct prng *prng, int resp, int depth) {
    static const char bytes[] = "a\r\n$5\r\n*3\r\n:1\r\n-x\r\n";
    uint64_t count = prng_below(prng, 4);
    switch (prng_below(prng, depth > 0 ? 14 : 9)) {
    case 0: resp_int(out, (int64_t)prng_next(prng)); return;
    case 1: resp_simple(out, SLICE("simple")); return;
    case 2: resp_error(out, SLICE("ERR oh")); return;
    case 3: resp_null(out, resp); return;
    case 4: resp_null_array(out, resp); return;
    case 5: resp_double(out, resp, prng_double(prng)); return;
    case 6: resp_verbatim(out, resp, "txt", slice_of(bytes, prng_below(prng, sizeof bytes))); return;
    case 7: resp_bool(out, resp, prng_below(prng, 2)); return;
    default: resp_bulk(out, slice_of(bytes, prng_below(prng, sizeof bytes))); return;
    case 9: resp_array(out, count); break;
    case 10: resp_set(out, resp, count); break;
    case 11: resp_push(out, resp, count); break;
    case 12:
        resp_map(out, resp, count);
        count *= 2;
        break;
    case 13:
        if (resp == 3) buf_append_literal(out, "|1\r\n+key\r\n:1\r\n");
        count = 1;
        break;
    }
    while (count-- > 0) write_random(out, prng, resp, depth - 1);
}

static void skips_one_reply_and_never_a_part(void **state) {
    struct fixture *f = *state;
    struct prng prng;
    prng_init(&prng, 5);
    for (int i = 0; i < 3000; i++) {
        buf_reset(&f->out, 4096);
        write_random(&f->out, &prng, 2 + i % 2, 4);
        size_t len = f->out.len;
        for (size_t part = 0; part < len; part++) {
            size_t end = resp_skip(slice_of(f->out.data, part));
            if (end != 0) fail_msg("%zu of %zu bytes of %.*s are not a reply", part, len, (int)len, f->out.data);
        }
        write_random(&f->out, &prng, 2 + i % 2, 2);
        assert_int_equal(resp_skip(buf_slice(&f->out)), len);
    }
}

static void skip_refuses_nonsense(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "*",
                                        "*x\r\n",
                                        "$x\r\nab\r\n",
                                        "*9223372036854775807\r\n",
                                        "%9223372036854775807\r\n",
                                        "*2\r\n*9223372036854775807\r\n",
                                        "$9223372036854775807\r\n",
                                        "$99999999999999999999\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) assert_int_equal(resp_skip(slice_of_cstr(texts[i])), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(writes_lines),
        TEST(bounds_formatted_errors),
        TEST(writes_what_differs_between_protocols),
        TEST(writes_bulks_of_every_header_length),
        TEST(writes_commands),
        TEST(closes_arrays_of_unknown_length),
        TEST(recounts),
        TEST(skips_one_reply_and_never_a_part),
        TEST(skip_refuses_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
