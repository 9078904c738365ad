/* Histogram: how often each latency occurred, in constant memory and with a known relative error.
 *
 * Log-linear buckets, the layout HdrHistogram made popular: values below 128 ns have a bucket each;
 * above, every power of two is cut into 128 equal buckets. So a percentile is right within 1/128
 * (0.8 %), from nanoseconds to 18 minutes, and recording is a shift and an increment. The maximum,
 * minimum and mean are kept exactly.
 *
 * Unit       the caller's; sherd-load uses nanoseconds.
 * Threads    none: one owner.
 * Memory     35 KiB each, plain struct: copy, zero and embed as you like. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 7,  /* 128 buckets per power of two */
    HISTOGRAM_MAX_BITS = 40, /* larger values count as 2^40 - 1 */
    HISTOGRAM_BUCKETS = (HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t total;
    uint64_t min, max; /* exact; min is UINT64_MAX while empty */
    double sum;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *h);
void histogram_record(struct histogram *h, uint64_t value, uint64_t times); /* O(1) */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The largest value the bucket of that rank can hold, never above the exact maximum; 0 when empty.
 * 0 <= percentile <= 100. */
uint64_t histogram_percentile(const struct histogram *h, double percentile);
double histogram_mean(const struct histogram *h);

/* For the tests: where a value is counted, and the largest value counted there. */
size_t histogram_bucket(uint64_t value);
uint64_t histogram_bucket_top(size_t bucket);
