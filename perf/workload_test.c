/* Proves that requests are encoded as written, keys stay in range and shape, values verify against
 * their keys, and that each distribution is what it says (zipf against its formula). */
#include "perf/workload.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct workload_shape shape = {.key_prefix = "key:", .keys = 1000, .key_len = 12, .value_len = 20};
static char buf[4096];

static void encode(const char *op, uint32_t count) {
    struct workload w;
    const char *why = "";
    assert_true(workload_init(&w, op, &shape, "seq", 1, &why));
    assert_true(workload_bytes(&w, count) < sizeof buf);
    workload_prefill(&w, buf, count);
    for (int round = 0; round < 2; round++) buf[workload_encode(&w, buf, count)] = '\0';
    workload_deinit(&w);
}

static void encodes_as_written(void **state) {
    (void)state;
    encode("get", 2); /* the second round of a sequence: keys 2 and 3 */
    assert_string_equal(buf, "*2\r\n$3\r\nGET\r\n$12\r\nkey:00000002\r\n*2\r\n$3\r\nGET\r\n$12\r\nkey:00000003\r\n");
    encode("set", 1);
    assert_string_equal(buf, "*3\r\n$3\r\nSET\r\n$12\r\nkey:00000001\r\n$20\r\nkey:00000001mnopqrst\r\n");
    encode("mget:2", 1);
    assert_string_equal(buf, "*3\r\n$4\r\nMGET\r\n$12\r\nkey:00000002\r\n$12\r\nkey:00000003\r\n");
    encode("lpush l \"a b\" ; lpop l", 2);
    assert_string_equal(buf, "*3\r\n$5\r\nlpush\r\n$1\r\nl\r\n$3\r\na b\r\n*2\r\n$4\r\nlpop\r\n$1\r\nl\r\n");
    encode("sadd s m:__rand:1__", 1);
    assert_string_equal(buf, "*3\r\n$4\r\nsadd\r\n$1\r\ns\r\n$3\r\nm:0\r\n");
    encode("set x \"\"", 1);
    assert_string_equal(buf, "*3\r\n$3\r\nset\r\n$1\r\nx\r\n$0\r\n\r\n");
}

static void refuses_nonsense(void **state) {
    (void)state;
    static const char *const bad[] = {"",         ";",        "mget:",   "mget:0",  "mget:x",
                                      "setget:2", "setget:x", "get a &", "& get a", "get a ; get b & get c"};
    struct workload w;
    const char *why = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(workload_init(&w, bad[i], &shape, "seq", 1, &why));
        assert_non_null(why);
        workload_deinit(&w);
    }
    struct workload_shape narrow = shape;
    narrow.key_len = 6;
    assert_false(workload_init(&w, "get", &narrow, "seq", 1, &why));
    workload_deinit(&w);
}

/* Commands joined by '&' are one request, and __same__ is the key before it, wherever the joints are. */
static void joins_commands(void **state) {
    (void)state;
    encode("set {__key__}s __value__ & get {__same__}s & incr \"a&b\"", 1);
    assert_string_equal(buf, "*3\r\n$3\r\nset\r\n$15\r\n{key:00000001}s\r\n$20\r\nkey:00000001mnopqrst\r\n"
                             "*2\r\n$3\r\nget\r\n$15\r\n{key:00000001}s\r\n*2\r\n$4\r\nincr\r\n$3\r\na&b\r\n");
    struct workload w;
    const char *why = "";
    assert_true(workload_init(&w, "multi & get __key__ & exec ; multi & get x & exec", &shape, "seq", 1, &why));
    assert_int_equal(w.commands, 3);
    assert_int_equal(w.template_count, 2);
    workload_deinit(&w);
}

/* Keys are predicted for GET and MGET only, in the order of the replies. */
static void predicts_what_is_read(void **state) {
    (void)state;
    struct workload w;
    const char *why = "";
    uint64_t drawn[8];
    static const char op[] = "set __key__ __value__ & mget __same__ __key__ & get __key__";
    assert_true(workload_init(&w, op, &shape, "seq", 1, &why));
    assert_int_equal(w.drawn_per_request, 3);
    w.drawn = drawn;
    workload_prefill(&w, buf, 2);
    (void)workload_encode(&w, buf, 2);
    static const uint64_t want[] = {0, 1, 2, 3, 4, 5};
    assert_int_equal(w.drawn_count, 6);
    assert_memory_equal(drawn, want, sizeof want);
    workload_deinit(&w);
}

static void values_verify(void **state) {
    (void)state;
    struct workload w;
    const char *why = "";
    assert_true(workload_init(&w, "get", &shape, "seq", 1, &why));
    const char *value = "key:00000042mnopqrst";
    for (size_t cut = 1; cut < 20; cut++) {
        assert_true(workload_value_matches(&w, 42, value, cut, 0, 20));
        assert_true(workload_value_matches(&w, 42, value + cut, 20 - cut, cut, 20));
        assert_false(workload_value_matches(&w, 43, value, 20, 0, 20));
    }
    assert_false(workload_value_matches(&w, 42, value, 19, 0, 19));
    workload_deinit(&w);
}

static void mixes_by_share(void **state) {
    (void)state;
    struct workload w;
    const char *why = "";
    assert_true(workload_init(&w, "setget:0.25", &shape, "uniform", 1, &why));
    uint32_t sets = 0;
    for (int i = 0; i < 100000; i++) {
        (void)workload_encode(&w, buf, 1);
        sets += strncmp(buf + 8, "SET", 3) == 0;
    }
    assert_in_range(sets, 24000, 26000);
    workload_deinit(&w);
}

static int descending(const void *x, const void *y) {
    uint32_t left = *(const uint32_t *)x, right = *(const uint32_t *)y;
    return left > right ? -1 : left < right;
}

static void zipf_follows_its_formula(void **state) {
    (void)state;
    enum { KEYS = 1000, DRAWS = 4000000 };
    struct keydist d;
    const char *why = "";
    assert_true(keydist_init(&d, "zipf:0.99", KEYS, 3, &why));
    static uint32_t counts[KEYS];
    for (int i = 0; i < DRAWS; i++) counts[keydist_next(&d)]++;
    keydist_deinit(&d);
    qsort(counts, KEYS, sizeof *counts, descending);
    double sum = 0;
    for (int i = 1; i <= KEYS; i++) sum += pow(i, -0.99);
    static const int ranks[] = {1, 2, 3, 10, 100, 500, 900};
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        double want = pow(ranks[i], -0.99) / sum * DRAWS;
        assert_true(fabs(counts[ranks[i] - 1] - want) < 6 * sqrt(want) + 1);
    }
}

static void uniform_stays_in_range(void **state) {
    (void)state;
    struct keydist d;
    const char *why = "";
    assert_true(keydist_init(&d, "uniform", 7, 3, &why));
    uint32_t counts[7] = {0};
    for (int i = 0; i < 70000; i++) counts[keydist_next(&d)]++;
    for (int i = 0; i < 7; i++) assert_in_range(counts[i], 9500, 10500);
}

/* Nothing for a compressor: hardly a pair of bytes comes twice. The reader expects the same. */
static void noise_is_noise(void **state) {
    (void)state;
    struct workload_shape noisy = shape;
    struct workload w;
    const char *why = "";
    bool seen[65536] = {false};
    unsigned twice = 0;
    noisy.noise = true;
    noisy.value_len = 1024;
    assert_true(workload_init(&w, "set key:00000042 __value__", &noisy, "seq", 1, &why));
    workload_prefill(&w, buf, 1);
    (void)workload_encode(&w, buf, 1);
    const unsigned char *value = (const unsigned char *)strstr(buf, "$1024\r\n") + 7;
    for (unsigned i = 0; i + 1 < noisy.value_len; i++) {
        unsigned pair = value[i] * 256u + value[i + 1];
        twice += seen[pair];
        seen[pair] = true;
    }
    assert_true(twice < 32);
    workload_deinit(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_as_written),     cmocka_unit_test(refuses_nonsense),
        cmocka_unit_test(joins_commands),         cmocka_unit_test(predicts_what_is_read),
        cmocka_unit_test(values_verify),          cmocka_unit_test(noise_is_noise),
        cmocka_unit_test(mixes_by_share),         cmocka_unit_test(zipf_follows_its_formula),
        cmocka_unit_test(uniform_stays_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
