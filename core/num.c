/* Number text. Three ideas carry the fast paths; the rest is left to the C library, on a terminated
 * copy.
 *
 * 1. Eight digits at once. Eight ASCII digits in a word are checked and summed with a few
 *    operations that work on all bytes in parallel (Mula; Lemire, "Quickly parsing eight digits",
 *    2018).
 * 2. Two digits at once. Formatting divides by 100 and copies a pair: half as many divisions.
 * 3. Exact small decimals. A mantissa of at most 2^53 and a power of ten of at most 10^22 are both
 *    exact as doubles, so their quotient is rounded only once, and hence correctly (Clinger, "How
 *    to Read Floating Point Numbers Accurately", 1990). */
#include "core/num.h"
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static_assert(FLT_EVAL_METHOD == 0, "idea 3 needs doubles that are rounded to double after each operation");
static_assert(NUM_LONG_DOUBLE_HUMAN_MAX >= LDBL_MAX_10_EXP + 1 + 1 + 17 + 1 + 1, "the longest text fits");

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* --- whole numbers --- */

#define DIGITS_SAFE 19 /* 19 nines are below 2^64: that many digits add up without a check */

static bool parse_eight_digits(const char *p, uint64_t *sum) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    word = le64toh(word);
    /* A digit is 0x30-0x39: its high half is 3, and stays 3 when 6 is added. A byte of 0xfa and up
     * carries into the next one, but fails by its own high half already. */
    uint64_t high_halves = word & 0xf0f0f0f0f0f0f0f0ULL;
    uint64_t six_more = (word + 0x0606060606060606ULL) & 0xf0f0f0f0f0f0f0f0ULL;
    if (high_halves != 0x3030303030303030ULL || six_more != 0x3030303030303030ULL) return false;
    word -= 0x3030303030303030ULL;
    word = word * 10 + (word >> 8); /* pairs, in every second byte */
    uint64_t quads = (word & 0x000000ff000000ffULL) * (100 + (1000000ULL << 32)) +
                     (word >> 16 & 0x000000ff000000ffULL) * (1 + (10000ULL << 32));
    *sum = quads >> 32;
    return true;
}

/* count of at most DIGITS_SAFE; false when one is not a digit. */
static bool parse_digits(const char *p, size_t count, uint64_t *out) {
    uint64_t value = 0;
    for (uint64_t eight; count >= 8; p += 8, count -= 8) {
        if (!parse_eight_digits(p, &eight)) return false;
        value = value * 100000000 + eight;
    }
    for (; count > 0; p++, count--) {
        if (!is_digit(*p)) return false;
        value = value * 10 + (uint64_t)(*p - '0');
    }
    *out = value;
    return true;
}

bool num_parse_i64_likely(struct slice s, int64_t *out) {
    bool negative = s.ptr[0] == '-';
    const char *digits = s.ptr + negative;
    size_t count = s.len - negative;
    if (count == 0 || count > DIGITS_SAFE) return false;
    if (*digits == '0') {
        if (s.len != 1) return false; /* "-0", "007" */
        *out = 0;
        return true;
    }
    uint64_t magnitude;
    if (!parse_digits(digits, count, &magnitude)) return false;
    if (magnitude > (uint64_t)INT64_MAX + negative) return false;
    *out = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

/* value * 10 + digit, or false when 64 bits do not hold it. */
static bool push_digit(uint64_t *value, char digit) {
    return !__builtin_mul_overflow(*value, 10, value) &&
           !__builtin_add_overflow(*value, (uint64_t)(digit - '0'), value);
}

bool num_parse_u64(struct slice s, uint64_t *out) {
    size_t i = 0;
    bool negative = s.len > 0 && s.ptr[0] == '-';
    if (negative || (s.len > 0 && s.ptr[0] == '+')) i++;
    size_t sign = i;
    uint64_t value = 0;
    for (; i < s.len && is_digit(s.ptr[i]); i++) {
        if (!push_digit(&value, s.ptr[i])) return false;
    }
    if (sign > 0 && i == sign) return false; /* a sign alone */
    if (i < s.len && s.ptr[i] != 0) return false;
    *out = negative ? 0 - value : value;
    return true;
}

#define FOUR_POWERS(first) (first), (first)*10, (first)*100, (first)*1000

unsigned num_digits_u64(uint64_t value) {
    /* The smallest value of each number of digits, but for 0, which has one as well. */
    static const uint64_t smallest[] = {
        0,
        0,
        FOUR_POWERS(10ULL),
        FOUR_POWERS(100000ULL),
        FOUR_POWERS(1000000000ULL),
        FOUR_POWERS(10000000000000ULL),
        FOUR_POWERS(100000000000000000ULL),
    };
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    unsigned guess = (bits * 1233 >> 12) + 1; /* 1233/4096 is log10(2): right, or one too many */
    return guess - (value < smallest[guess]);
}

size_t num_format_u64(char *out, uint64_t value) {
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    unsigned count = num_digits_u64(value);
    char *end = out + count;
    for (; value >= 100; value /= 100) {
        end -= 2;
        memcpy(end, pairs + value % 100 * 2, 2);
    }
    if (value >= 10) {
        memcpy(end - 2, pairs + value * 2, 2);
    } else {
        end[-1] = (char)('0' + value);
    }
    return count;
}

size_t num_format_i64(char *out, int64_t value) {
    if (value >= 0) return num_format_u64(out, (uint64_t)value);
    *out = '-';
    return 1 + num_format_u64(out + 1, 0 - (uint64_t)value);
}

/* --- floating point --- */

/* Idea 3: [-]digits[.digits], up to 15 digits, which is surely below 2^53. False: ask strtod. */
static bool parse_short_decimal(struct slice s, double *out) {
    static const double power_of_ten[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                          1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    if (s.len == 0 || s.len > 15 + 2) return false;
    bool negative = s.ptr[0] == '-';
    size_t digits = 0, fraction = 0;
    bool point = false;
    uint64_t mantissa = 0;
    for (size_t i = negative; i < s.len; i++) {
        if (s.ptr[i] == '.' && !point) {
            point = true;
        } else if (is_digit(s.ptr[i])) {
            mantissa = mantissa * 10 + (uint64_t)(s.ptr[i] - '0');
            digits++;
            fraction += point;
        } else {
            return false;
        }
    }
    if (digits == 0 || digits > 15) return false;
    double value = (double)mantissa / power_of_ten[fraction];
    *out = negative ? -value : value; /* "-0" is negative zero, as strtod has it */
    return true;
}

/* A terminated copy for the C library; false when the length or first byte rules it out. */
static bool copy_float_text(struct slice s, char copy[NUM_FLOAT_TEXT_MAX + 1]) {
    if (s.len == 0 || s.len > NUM_FLOAT_TEXT_MAX) return false;
    char first = s.ptr[0];
    if (first == ' ' || (first >= '\t' && first <= '\r')) return false; /* strtod would skip it */
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = 0;
    return true;
}

bool num_parse_double(struct slice s, double *out) {
    if (parse_short_decimal(s, out)) return true;
    char copy[NUM_FLOAT_TEXT_MAX + 1];
    if (!copy_float_text(s, copy)) return false;
    char *end;
    errno = 0;
    double value = strtod(copy, &end);
    if ((size_t)(end - copy) != s.len || isnan(value)) return false;
    if (errno == ERANGE && (isinf(value) || value == 0)) return false; /* denormals pass */
    *out = value;
    return true;
}

bool num_parse_long_double(struct slice s, long double *out) {
    char copy[NUM_FLOAT_TEXT_MAX + 1];
    if (!copy_float_text(s, copy)) return false;
    char *end;
    errno = 0;
    long double value = strtold(copy, &end);
    if ((size_t)(end - copy) != s.len || isnan(value)) return false;
    if (errno == ERANGE && (isinf(value) || value == 0)) return false;
    *out = value;
    return true;
}

size_t num_format_double(char *out, double value) {
    /* "%.17g" writes a whole number of up to 17 digits as such; "-0" is the exception that an
     * integer cannot say. */
    if (fabs(value) < 1e17 && value == trunc(value) && (value != 0 || !signbit(value))) {
        return num_format_i64(out, (int64_t)value);
    }
    return (size_t)snprintf(out, NUM_DOUBLE_MAX, "%.17g", value);
}

size_t num_format_long_double_human(char *out, long double value) {
    size_t len = (size_t)snprintf(out, NUM_LONG_DOUBLE_HUMAN_MAX, "%.17Lf", value);
    if (!isfinite(value)) return len;  /* "inf": nothing to trim */
    while (out[len - 1] == '0') len--; /* stops at the point at the latest */
    if (out[len - 1] == '.') len--;
    if (len == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        return 1;
    }
    return len;
}

/* --- memory sizes in options --- */

bool num_parse_memory(struct slice s, uint64_t *bytes) {
    static const struct {
        struct slice name;
        uint64_t factor;
    } units[] = {
        {SLICE_INIT(""), 1},           {SLICE_INIT("b"), 1},
        {SLICE_INIT("k"), 1000},       {SLICE_INIT("kb"), 1ULL << 10},
        {SLICE_INIT("m"), 1000000},    {SLICE_INIT("mb"), 1ULL << 20},
        {SLICE_INIT("g"), 1000000000}, {SLICE_INIT("gb"), 1ULL << 30},
    };
    uint64_t value = 0;
    size_t digits = 0;
    for (; digits < s.len && is_digit(s.ptr[digits]); digits++) {
        if (!push_digit(&value, s.ptr[digits])) return false;
    }
    if (digits == 0) return false;
    struct slice unit = slice_of(s.ptr + digits, s.len - digits);
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!slice_equal_nocase(unit, units[i].name)) continue;
        if (value > UINT64_MAX / units[i].factor) return false;
        *bytes = value * units[i].factor;
        return true;
    }
    return false;
}
