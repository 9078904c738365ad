/* Proves that buckets tile the number line in order, that a percentile is within 1/128 of the true
 * one (against a sorted array), and that merging equals recording together. */
#include "perf/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct histogram a, b, both;

static void buckets_tile_the_line(void **state) {
    (void)state;
    for (size_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        uint64_t top = histogram_bucket_top(i);
        assert_int_equal(histogram_bucket(top), i);
        assert_int_equal(histogram_bucket(top + 1), i + 1);
    }
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static int compare(const void *x, const void *y) {
    uint64_t left = *(const uint64_t *)x, right = *(const uint64_t *)y;
    return left < right ? -1 : left > right;
}

static void percentiles_are_close(void **state) {
    (void)state;
    enum { COUNT = 100001 };
    static uint64_t values[COUNT];
    uint64_t random = 7;
    histogram_init(&a);
    for (size_t i = 0; i < COUNT; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        values[i] = (random >> 33) >> (random % 31); /* all magnitudes */
        histogram_record(&a, values[i], 1);
    }
    qsort(values, COUNT, sizeof *values, compare);
    static const double points[] = {0, 1, 50, 90, 99, 99.9, 99.99, 100};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        size_t rank = (size_t)(points[i] / 100 * COUNT);
        if ((double)rank < points[i] / 100 * COUNT || rank == 0) rank++;
        uint64_t exact = values[rank - 1], got = histogram_percentile(&a, points[i]);
        assert_true(got >= exact);
        assert_true(got <= exact + exact / 128 + 1);
    }
    assert_int_equal(a.max, values[COUNT - 1]);
    assert_int_equal(a.min, values[0]);
}

static void merging_is_recording_together(void **state) {
    (void)state;
    histogram_init(&a);
    histogram_init(&b);
    histogram_init(&both);
    for (uint64_t i = 1; i < 1000; i++) {
        histogram_record(i % 3 == 0 ? &a : &b, i * i, i);
        histogram_record(&both, i * i, i);
    }
    histogram_merge(&a, &b);
    assert_memory_equal(a.counts, both.counts, sizeof a.counts);
    assert_int_equal(a.total, both.total);
    assert_int_equal(a.max, both.max);
    assert_int_equal(a.min, both.min);
}

static void edges(void **state) {
    (void)state;
    histogram_init(&a);
    assert_int_equal(histogram_percentile(&a, 99), 0);
    histogram_record(&a, UINT64_C(1) << 50, 1); /* too large for any bucket: the maximum stays exact */
    assert_int_equal(histogram_percentile(&a, 100), UINT64_C(1) << 50);
    histogram_record(&a, 5, 99);
    assert_int_equal(histogram_percentile(&a, 50), 5);
    assert_int_equal(histogram_percentile(&a, 99), 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_tile_the_line),
        cmocka_unit_test(percentiles_are_close),
        cmocka_unit_test(merging_is_recording_together),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
