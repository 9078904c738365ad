/* Num: numbers from text and back, with the strictness of Redis 7.0. What parses here is what Redis
 * accepts as a command's argument, and what is formatted here is what it replies.
 *
 * Parsing borrows a slice, needs no terminator, reads all of it or fails, and on failure leaves
 * *out alone. It says only yes or no: the wording of the error belongs to the command. No parser
 * takes spaces, before or after.
 *
 * Formatting writes at the start of the caller's buffer, of the size the macro says, and returns
 * the length. It does NOT terminate the text; the bytes behind the length may be scratched.
 *
 * Locale: the process must stay in the "C" locale for numbers (LC_NUMERIC), which is how every C
 * program starts. All functions are pure, and safe on any thread. */
#pragma once
#include "core/slice.h"

#define NUM_I64_MAX               21   /* buffer for a whole number: "-9223372036854775808" is 20 */
#define NUM_U64_MAX               21   /* "18446744073709551615" is 20 */
#define NUM_DOUBLE_MAX            32   /* "-2.2250738585072014e-308" is 24, and the NUL of snprintf */
#define NUM_LONG_DOUBLE_HUMAN_MAX 5120 /* 4933 digits, '.', 17 digits, sign and NUL are 4953 */
#define NUM_FLOAT_TEXT_MAX        5119 /* longest text read as a float; Redis: 5 KB with the NUL */

/* --- whole numbers --- */

/* The one spelling of each value: optional '-', no '+', no leading zeros, no "-0". Hence a text
 * that parses can be stored as an integer and formats back to the same bytes. Redis: string2ll.
 * About 15 ns for any length; most text that is no number fails on its length or first byte. */
bool num_parse_i64_likely(struct slice s, int64_t *out); /* what has a number's length and first byte, or nearly */
HOT_INLINE bool num_parse_i64(struct slice s, int64_t *out) {
    /* '.' and '/' lie between '-' and '0': one comparison for all of them, the rest is told later. */
    bool likely = s.len - 1 < NUM_I64_MAX - 1 && (unsigned char)(s.ptr[0] - '-') <= '9' - '-';
    return likely && num_parse_i64_likely(s, out);
}

/* For SCAN cursors, and as lenient as Redis is with those (strtoul, base 10): "" is 0, '+' and
 * leading zeros are allowed, "-1" is 2^64 - 1, and a NUL byte ends the text. Overflow and spaces
 * are refused. For anything else num_parse_i64 is the better reader. */
bool num_parse_u64(struct slice s, uint64_t *out);

size_t num_format_i64(char *out, int64_t value);  /* out: NUM_I64_MAX bytes */
size_t num_format_u64(char *out, uint64_t value); /* out: NUM_U64_MAX bytes */
unsigned num_digits_u64(uint64_t value);          /* decimal digits: 1 for 0, at most 20 */

/* --- floating point --- */

/* All that strtod reads, hexadecimal and "inf" too; not NaN, not what overflows or underflows to
 * zero. Redis: string2d, except that text longer than NUM_FLOAT_TEXT_MAX is refused here.
 * 15-35 ns for a plain decimal of up to 15 digits, else what strtod takes. */
bool num_parse_double(struct slice s, double *out);

/* The same for INCRBYFLOAT and HINCRBYFLOAT. Redis: string2ld, with the same limit. */
bool num_parse_long_double(struct slice s, long double *out);

/* "%.17g", also "inf", "-inf", "nan", "-nan": a double in a reply. Integers below 1e17 cost as
 * num_format_i64, the rest is one snprintf. out: NUM_DOUBLE_MAX bytes. */
size_t num_format_double(char *out, double value);

/* "%.17Lf" without trailing zeros, and "0" for what rounds to "-0": the value INCRBYFLOAT stores.
 * Redis: ld2string with LD_STR_HUMAN. out: NUM_LONG_DOUBLE_HUMAN_MAX bytes, few of them used. */
size_t num_format_long_double_human(char *out, long double value);

/* --- memory sizes in options --- */

/* Digits and a unit in any case: none or b, k (1000), kb (1024), m, mb, g, gb. Two things that
 * Redis lets pass are refused, because a typing error must not lift a limit: no digits at all
 * ("gb"), and more than 64 bits hold. */
bool num_parse_memory(struct slice s, uint64_t *bytes);
