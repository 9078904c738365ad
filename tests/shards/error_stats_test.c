/* Error stats: replies are counted by their first word, hostile words do no harm, and no more than a fixed number of
 * words is told apart, whether replies are counted or tables added up. */
#include "shards/error_stats.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t count_of(const struct error_stats *stats, const char *code) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < stats->used; i++)
        if (strncmp(stats->codes[i].code, code, ERROR_CODE_MAX) == 0) count += stats->codes[i].count;
    return count;
}

static void count(struct error_stats *stats, const char *text) {
    error_stats_count(stats, slice_of_cstr(text));
}

static void by_first_word(void **state) {
    (void)state;
    struct error_stats stats = {0};
    count(&stats, "ERR syntax error");
    count(&stats, "ERR");
    count(&stats, "WRONGTYPE Operation against a key\r\n");
    count(&stats, "NOAUTH\r\n");
    count(&stats, "ERR again");
    assert_int_equal(stats.used, 3);
    assert_int_equal(count_of(&stats, "ERR"), 3);
    assert_int_equal(count_of(&stats, "WRONGTYPE"), 1);
    assert_int_equal(count_of(&stats, "NOAUTH"), 1);
}

static void odd_words(void **state) {
    (void)state;
    struct error_stats stats = {0};
    count(&stats, "");
    count(&stats, " x");
    assert_int_equal(count_of(&stats, "ERR"), 2);
    count(&stats, "a:b#c=d\te x");
    assert_int_equal(count_of(&stats, "a_b_c_d_e"), 1);
    error_stats_count(&stats, SLICE("z\0z x")); /* a zero byte ends the word where it is shown, too */
    assert_int_equal(count_of(&stats, "z_z"), 1);
    count(&stats, "ABCDEFGHIJKLMNOPQRSTUVWXYZ x"); /* cut */
    count(&stats, "ABCDEFGHIJKLMNOP");
    assert_int_equal(count_of(&stats, "ABCDEFGHIJKLMNOP"), 2);
    assert_int_equal(stats.used, 4);
}

static void the_rest_is_other(void **state) {
    (void)state;
    struct error_stats stats = {0}, sum = {0};
    char text[32];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < ERROR_CODES_MAX + 10; i++) {
            snprintf(text, sizeof text, "CODE%d text", i);
            count(&stats, text);
        }
    }
    assert_int_equal(stats.used, ERROR_CODES_MAX + 1);
    assert_int_equal(count_of(&stats, "CODE0"), 2);
    assert_int_equal(count_of(&stats, "CODE31"), 2);
    assert_int_equal(count_of(&stats, "CODE32"), 0);
    assert_int_equal(count_of(&stats, "OTHER"), 20);
    /* A sum has the same bound, though its parts knew different codes. */
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "X%d", i);
        count(&sum, text);
    }
    for (uint64_t i = 0; i < stats.used; i++) error_stats_add(&sum, &stats.codes[i]);
    assert_int_equal(sum.used, ERROR_CODES_MAX + 1);
    assert_int_equal(count_of(&sum, "OTHER"), 8 + 2 * (ERROR_CODES_MAX + 10));
    /* OTHER, as a code like any other, takes no second place. */
    struct error_stats early = {0};
    count(&early, "OTHER reason");
    for (uint64_t i = 0; i < stats.used; i++) error_stats_add(&early, &stats.codes[i]);
    assert_true(early.used <= ERROR_CODES_MAX + 1);
    assert_int_equal(count_of(&early, "OTHER"), 1 + 20 + 2); /* CODE31 found no place */
}

static void sorted_by_code(void **state) {
    (void)state;
    struct error_stats stats = {0};
    count(&stats, "WRONGTYPE");
    count(&stats, "ERR");
    count(&stats, "ERRATIC");
    count(&stats, "BUSY");
    error_stats_sort(&stats);
    static const char *const order[] = {"BUSY", "ERR", "ERRATIC", "WRONGTYPE"};
    for (size_t i = 0; i < ARRAY_LEN(order); i++) assert_string_equal(stats.codes[i].code, order[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_first_word),
        cmocka_unit_test(odd_words),
        cmocka_unit_test(the_rest_is_other),
        cmocka_unit_test(sorted_by_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
