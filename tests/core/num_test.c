/* Num: that text and numbers convert as in Redis 7.0.15, at the edges of every range and for all
 * kinds of bad text, and that the fast paths agree with strtoll, strtod and printf on random input.
 * The tables of accepted and refused text were checked against redis-server 7.0.15 (SCAN, ZADD,
 * INCRBYFLOAT, CONFIG SET). */
#include "core/num.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define ROUNDS 200000

/* SHERD_SEED repeats a failure. */
static struct prng seeded(void) {
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    return prng;
}

/* The slice lies at the end of an exact heap block, so that the address sanitizer sees a read
 * beyond it. */
struct exact {
    char *bytes;
    struct slice slice;
};

static struct exact exact_of(struct slice s) {
    char *bytes = malloc(s.len ? s.len : 1);
    assert_non_null(bytes);
    if (s.len) memcpy(bytes, s.ptr, s.len);
    return (struct exact){bytes, slice_of(bytes, s.len)};
}

static bool parses_i64(struct slice s, int64_t *out) {
    struct exact e = exact_of(s);
    bool ok = num_parse_i64(e.slice, out);
    free(e.bytes);
    return ok;
}

/* --- whole numbers --- */

static void i64_accepts(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } rows[] = {
        {"0", 0},
        {"1", 1},
        {"-1", -1},
        {"9", 9},
        {"10", 10},
        {"12345678", 12345678},
        {"123456789", 123456789},
        {"-12345678", -12345678},
        {"1234567890123456", 1234567890123456},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775807", -INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = 42;
        if (!parses_i64(slice_of_cstr(rows[i].text), &value)) fail_msg("%s", rows[i].text);
        assert_int_equal(value, rows[i].value);
    }
}

static void i64_refuses(void **state) {
    (void)state;
    static const struct slice rows[] = {
        SLICE_INIT(""),
        SLICE_INIT("-"),
        SLICE_INIT("+1"),
        SLICE_INIT("-0"),
        SLICE_INIT("00"),
        SLICE_INIT("01"),
        SLICE_INIT("-01"),
        SLICE_INIT("--1"),
        SLICE_INIT(" 1"),
        SLICE_INIT("1 "),
        SLICE_INIT("1a"),
        SLICE_INIT("a1"),
        SLICE_INIT("1.0"),
        SLICE_INIT("1e3"),
        SLICE_INIT("0x1"),
        SLICE_INIT("1\0"),
        SLICE_INIT("\0"),
        SLICE_INIT("9223372036854775808"),
        SLICE_INIT("-9223372036854775809"),
        SLICE_INIT("9999999999999999999"),
        SLICE_INIT("10000000000000000000"),
        SLICE_INIT("18446744073709551616"),
        SLICE_INIT("100000000000000000000"),
        SLICE_INIT("-10000000000000000000"),
        SLICE_INIT("184467440737095516160000000"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = 42;
        if (parses_i64(rows[i], &value)) fail_msg("accepted: %.*s", (int)rows[i].len, rows[i].ptr);
        assert_int_equal(value, 42);
    }
}

/* Eight digits are checked in one word: every byte value in every place is judged by itself. */
static void i64_judges_each_byte(void **state) {
    (void)state;
    for (size_t at = 0; at < 19; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[] = "1111111111111111111";
            text[at] = (char)byte;
            bool digit = byte >= '0' && byte <= '9';
            bool good = digit && (at > 0 || byte != '0');
            if (at == 0 && byte == '-') good = true;
            int64_t value = 0;
            assert_int_equal(parses_i64(slice_of(text, 19), &value), good);
            if (good) assert_int_equal(value, strtoll(text, NULL, 10));
        }
    }
}

/* A number of a random number of bits, so that all lengths are likely. */
static uint64_t random_u64(struct prng *prng) {
    return prng_next(prng) >> prng_below(prng, 64);
}

static void whole_numbers_round_trip(void **state) {
    (void)state;
    struct prng prng = seeded();
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t u = random_u64(&prng);
        int64_t i = (int64_t)(prng_below(&prng, 2) ? u : 0 - u);
        char expected[32], out[NUM_I64_MAX];
        size_t expected_len = (size_t)snprintf(expected, sizeof expected, "%" PRId64, i);
        size_t len = num_format_i64(out, i);
        assert_int_equal(len, expected_len);
        assert_memory_equal(out, expected, len);
        int64_t back = 0;
        assert_true(parses_i64(slice_of(out, len), &back));
        assert_int_equal(back, i);

        char uout[NUM_U64_MAX];
        expected_len = (size_t)snprintf(expected, sizeof expected, "%" PRIu64, u);
        len = num_format_u64(uout, u);
        assert_int_equal(len, expected_len);
        assert_int_equal(num_digits_u64(u), expected_len);
        assert_memory_equal(uout, expected, len);
        uint64_t uback = 0;
        assert_true(num_parse_u64(slice_of(uout, len), &uback));
        assert_int_equal(uback, u);
    }
}

static void formats_around_powers_of_ten(void **state) {
    (void)state;
    uint64_t power = 1;
    for (int digits = 1; digits <= 20; digits++, power *= 10) {
        for (uint64_t v = power - 1; v != power + 2; v++) {
            char expected[32], out[NUM_U64_MAX];
            size_t len = (size_t)snprintf(expected, sizeof expected, "%" PRIu64, v);
            assert_int_equal(num_digits_u64(v), len);
            assert_int_equal(num_format_u64(out, v), len);
            assert_memory_equal(out, expected, len);
        }
    }
    char out[NUM_I64_MAX];
    assert_int_equal(num_format_i64(out, INT64_MIN), 20);
    assert_memory_equal(out, "-9223372036854775808", 20);
    assert_int_equal(num_format_u64(out, UINT64_MAX), 20);
    assert_memory_equal(out, "18446744073709551615", 20);
}

/* Short random text over the bytes that matter, judged by a twin built on strtoll and printing
 * back. */
static void i64_agrees_with_a_naive_twin(void **state) {
    (void)state;
    static const char alphabet[] = "00112233445566778899-+ .ea";
    struct prng prng = seeded();
    for (int round = 0; round < ROUNDS; round++) {
        char text[32];
        size_t len = (size_t)prng_below(&prng, 22);
        size_t letters = prng_below(&prng, 4) ? 20 : sizeof alphabet - 1;
        for (size_t i = 0; i < len; i++) text[i] = alphabet[prng_below(&prng, letters)];
        if (len && prng_below(&prng, 3) == 0) text[0] = '-';
        text[len] = 0;
        errno = 0;
        long long value = strtoll(text, NULL, 10);
        char again[32];
        snprintf(again, sizeof again, "%lld", value);
        bool good = errno == 0 && strcmp(again, text) == 0;
        int64_t out = 0;
        if (parses_i64(slice_of(text, len), &out) != good) fail_msg("%s", text);
        if (good) assert_int_equal(out, value);
    }
}

static void u64_reads_cursors_as_redis(void **state) {
    (void)state;
    static const struct {
        struct slice text;
        uint64_t value;
    } good[] = {
        {SLICE_INIT(""), 0},
        {SLICE_INIT("0"), 0},
        {SLICE_INIT("+5"), 5},
        {SLICE_INIT("-5"), 0 - (uint64_t)5},
        {SLICE_INIT("-0"), 0},
        {SLICE_INIT("007"), 7},
        {SLICE_INIT("5\0x"), 5},
        {SLICE_INIT("\0"), 0},
        {SLICE_INIT("18446744073709551615"), UINT64_MAX},
        {SLICE_INIT("-18446744073709551615"), 1},
        {SLICE_INIT("000000000000000000000000000018446744073709551615"), UINT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct exact e = exact_of(good[i].text);
        uint64_t value = 42;
        assert_true(num_parse_u64(e.slice, &value));
        assert_int_equal(value, good[i].value);
        free(e.bytes);
    }
    static const struct slice bad[] = {
        SLICE_INIT(" 5"),  SLICE_INIT("5 "),  SLICE_INIT("-"),
        SLICE_INIT("+"),   SLICE_INIT("\t1"), SLICE_INIT("0x1"),
        SLICE_INIT("+\0"), SLICE_INIT("--1"), SLICE_INIT("18446744073709551616"),
        SLICE_INIT("abc"), SLICE_INIT("1.5"), SLICE_INIT("-18446744073709551616"),
        SLICE_INIT("+ 1"), SLICE_INIT("5\n"), SLICE_INIT("99999999999999999999"),
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct exact e = exact_of(bad[i]);
        uint64_t value = 42;
        if (num_parse_u64(e.slice, &value)) fail_msg("accepted: %s", bad[i].ptr);
        assert_int_equal(value, 42);
        free(e.bytes);
    }
}

/* --- floating point --- */

static bool same_double(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static void doubles_accept(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double value;
    } rows[] = {
        {"0", 0.0},
        {"-0", -0.0},
        {"-0.000", -0.0},
        {"+1", 1},
        {"1.", 1},
        {".5", 0.5},
        {"-.5", -0.5},
        {"0.1", 0.1},
        {"007", 7},
        {"123456789012345", 123456789012345},
        {"0.00000000000001", 1e-14},
        {"1234567.89012345", 1234567.89012345},
        {"9007199254740993", 9007199254740992},
        {"3.0e3", 3000},
        {"1e308", 1e308},
        {"4e-320", 4e-320},
        {"0x1p3", 8},
        {"0x10", 16},
        {"inf", HUGE_VAL},
        {"+inf", HUGE_VAL},
        {"-INF", -HUGE_VAL},
        {"infinity", HUGE_VAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct exact e = exact_of(slice_of_cstr(rows[i].text));
        double value = 42;
        long double wide = 42;
        if (!num_parse_double(e.slice, &value)) fail_msg("%s", rows[i].text);
        if (!same_double(value, rows[i].value)) fail_msg("%s is %.17g", rows[i].text, value);
        assert_true(num_parse_long_double(e.slice, &wide));
        assert_true(wide == strtold(rows[i].text, NULL));
        free(e.bytes);
    }
}

static void doubles_refuse(void **state) {
    (void)state;
    static const struct slice rows[] = {
        SLICE_INIT(""),        SLICE_INIT(" 1"),  SLICE_INIT("1 "),   SLICE_INIT("\t1"),    SLICE_INIT("\v1"),
        SLICE_INIT("1\n"),     SLICE_INIT("1\0"), SLICE_INIT("\0"),   SLICE_INIT("."),      SLICE_INIT("-"),
        SLICE_INIT("+"),       SLICE_INIT("-."),  SLICE_INIT("1e"),   SLICE_INIT("e1"),     SLICE_INIT("1.2.3"),
        SLICE_INIT("--1"),     SLICE_INIT("nan"), SLICE_INIT("-nan"), SLICE_INIT("nan(1)"), SLICE_INIT("NaN"),
        SLICE_INIT("1e5000"),  SLICE_INIT("1,5"), SLICE_INIT("abc"),  SLICE_INIT("infin"),  SLICE_INIT("0x"),
        SLICE_INIT("1e-5000"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct exact e = exact_of(rows[i]);
        double value = 42;
        long double wide = 42;
        if (num_parse_double(e.slice, &value)) fail_msg("accepted: %s", rows[i].ptr);
        if (num_parse_long_double(e.slice, &wide)) fail_msg("accepted wide: %s", rows[i].ptr);
        assert_true(value == 42 && wide == 42);
        free(e.bytes);
    }
    double value = 42;
    long double wide = 42;
    assert_false(num_parse_double(SLICE("1e400"), &value));
    assert_false(num_parse_double(SLICE("-1e-400"), &value));
    assert_true(num_parse_long_double(SLICE("1e400"), &wide)); /* fits an 80-bit exponent */
}

static void float_text_has_a_longest_length(void **state) {
    (void)state;
    char text[NUM_FLOAT_TEXT_MAX + 1];
    memset(text, '0', sizeof text);
    double value = 42;
    long double wide = 42;
    assert_true(num_parse_double(slice_of(text, NUM_FLOAT_TEXT_MAX), &value));
    assert_true(num_parse_long_double(slice_of(text, NUM_FLOAT_TEXT_MAX), &wide));
    assert_true(value == 0 && wide == 0);
    assert_false(num_parse_double(slice_of(text, sizeof text), &value));
    assert_false(num_parse_long_double(slice_of(text, sizeof text), &wide));
}

/* Short decimals take the fast path, the others strtod: both must give what strtod gives, to the
 * last bit. */
static void doubles_agree_with_strtod(void **state) {
    (void)state;
    struct prng prng = seeded();
    for (int round = 0; round < ROUNDS; round++) {
        char text[40];
        size_t len = 0;
        if (prng_below(&prng, 3) == 0) text[len++] = '-';
        size_t digits = 1 + (size_t)prng_below(&prng, 20);
        size_t point = (size_t)prng_below(&prng, 24);
        for (size_t i = 0; i < digits; i++) {
            if (i == point) text[len++] = '.';
            text[len++] = (char)('0' + prng_below(&prng, 10));
        }
        text[len] = 0;
        double value = 42;
        assert_true(num_parse_double(slice_of(text, len), &value));
        if (!same_double(value, strtod(text, NULL))) fail_msg("%s is %.17g", text, value);
    }
}

static void assert_formats(double value, const char *expected) {
    char out[NUM_DOUBLE_MAX];
    size_t len = num_format_double(out, value);
    if (!slice_equal(slice_of(out, len), slice_of_cstr(expected))) {
        fail_msg("%.*s, expected %s", (int)len, out, expected);
    }
}

static void doubles_format_as_redis(void **state) {
    (void)state;
    assert_formats(0.0, "0");
    assert_formats(-0.0, "-0");
    assert_formats(1, "1");
    assert_formats(-3, "-3");
    assert_formats(0.1, "0.10000000000000001");
    assert_formats(1e16, "10000000000000000");
    assert_formats(99999999999999984.0, "99999999999999984");
    assert_formats(-99999999999999984.0, "-99999999999999984");
    assert_formats(1e17, "1e+17");
    assert_formats(123456789012345678.0, "1.2345678901234568e+17");
    assert_formats(5e-324, "4.9406564584124654e-324");
    assert_formats(1e-5, "1.0000000000000001e-05");
    assert_formats(-2.2250738585072014e-308, "-2.2250738585072014e-308");
    assert_formats(HUGE_VAL, "inf");
    assert_formats(-HUGE_VAL, "-inf");
    assert_formats(copysign((double)NAN, 1), "nan");
    assert_formats(copysign((double)NAN, -1), "-nan");
}

static void doubles_format_as_printf(void **state) {
    (void)state;
    struct prng prng = seeded();
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t bits = prng_next(&prng);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (prng_below(&prng, 2)) value = (double)(int64_t)random_u64(&prng); /* whole */
        char expected[64];
        snprintf(expected, sizeof expected, "%.17g", value);
        assert_formats(value, expected);
        if (isnan(value)) continue;
        double back = 0;
        assert_true(num_parse_double(slice_of_cstr(expected), &back));
        assert_true(same_double(back, value));
    }
}

static void assert_formats_human(long double value, const char *expected) {
    char *out = malloc(NUM_LONG_DOUBLE_HUMAN_MAX);
    assert_non_null(out);
    size_t len = num_format_long_double_human(out, value);
    if (!slice_equal(slice_of(out, len), slice_of_cstr(expected))) {
        fail_msg("%.*s, expected %s", (int)len, out, expected);
    }
    free(out);
}

static void long_doubles_format_for_people(void **state) {
    (void)state;
    assert_formats_human(0.0L, "0");
    assert_formats_human(-0.0L, "0");
    assert_formats_human(-1e-30L, "0");
    assert_formats_human(0.1L, "0.1");
    assert_formats_human(10.5L, "10.5");
    assert_formats_human(3000, "3000");
    assert_formats_human(-100, "-100");
    assert_formats_human(1.000000000000000001L, "1");
    assert_formats_human(1e-17L, "0.00000000000000001");
    assert_formats_human(5.0L + 2.0e2L, "205");
    assert_formats_human((long double)HUGE_VAL, "inf");
    assert_formats_human(-(long double)HUGE_VAL, "-inf");
}

/* The longest text there is must fit the size that the header promises. */
static void the_longest_long_double_fits(void **state) {
    (void)state;
    char *out = malloc(NUM_LONG_DOUBLE_HUMAN_MAX);
    assert_non_null(out);
    size_t len = num_format_long_double_human(out, -strtold("1.18973149535723176502e+4932", NULL));
    assert_in_range(len, 300, 4935);
    assert_int_equal(out[0], '-');
    long double back = 0;
    assert_true(num_parse_long_double(slice_of(out, len), &back));
    free(out);
}

/* --- memory sizes --- */

static void memory_sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"007", 7},
        {"5b", 5},
        {"5B", 5},
        {"1k", 1000},
        {"1kb", 1024},
        {"1Kb", 1024},
        {"2m", 2000000},
        {"2MB", 2097152},
        {"1g", 1000000000},
        {"1gb", 1073741824},
        {"3gB", 3221225472},
        {"18446744073709551615", UINT64_MAX},
        {"17179869183gb", 17179869183ULL << 30},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint64_t bytes = 42;
        if (!num_parse_memory(slice_of_cstr(good[i].text), &bytes)) fail_msg("%s", good[i].text);
        assert_int_equal(bytes, good[i].bytes);
    }
    static const struct slice bad[] = {
        SLICE_INIT(""),    SLICE_INIT("b"),    SLICE_INIT("gb"),
        SLICE_INIT("-1"),  SLICE_INIT("+1"),   SLICE_INIT("1t"),
        SLICE_INIT(" 1"),  SLICE_INIT("1 "),   SLICE_INIT("1 k"),
        SLICE_INIT("1.5"), SLICE_INIT("1kbb"), SLICE_INIT("18446744073709551616"),
        SLICE_INIT("1\0"), SLICE_INIT("1bk"),  SLICE_INIT("17179869184gb"),
        SLICE_INIT("1kk"), SLICE_INIT("50%"),  SLICE_INIT("99999999999999999999g"),
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct exact e = exact_of(bad[i]);
        uint64_t bytes = 42;
        if (num_parse_memory(e.slice, &bytes)) fail_msg("accepted: %s", bad[i].ptr);
        assert_int_equal(bytes, 42);
        free(e.bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(i64_accepts),
        cmocka_unit_test(i64_refuses),
        cmocka_unit_test(i64_judges_each_byte),
        cmocka_unit_test(whole_numbers_round_trip),
        cmocka_unit_test(formats_around_powers_of_ten),
        cmocka_unit_test(i64_agrees_with_a_naive_twin),
        cmocka_unit_test(u64_reads_cursors_as_redis),
        cmocka_unit_test(doubles_accept),
        cmocka_unit_test(doubles_refuse),
        cmocka_unit_test(float_text_has_a_longest_length),
        cmocka_unit_test(doubles_agree_with_strtod),
        cmocka_unit_test(doubles_format_as_redis),
        cmocka_unit_test(doubles_format_as_printf),
        cmocka_unit_test(long_doubles_format_for_people),
        cmocka_unit_test(the_longest_long_double_fits),
        cmocka_unit_test(memory_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
