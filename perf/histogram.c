/* The bucket of a value v with its highest bit at position e (e >= 7) is made of e and the 7 bits
 * below that bit:
 *
 *     v = 1 mmmmmmm xxxxx      shift = e - 7 bits x are forgotten
 *     bucket = (shift + 1) * 128 + mmmmmmm
 *
 * Values below 128 fall out of the same numbering as row 0, so the buckets are contiguous and
 * ordered. */
#include "perf/histogram.h"

#include <string.h>

enum { SUB_COUNT = 1 << HISTOGRAM_SUB_BITS };

void histogram_init(struct histogram *h) {
    memset(h, 0, sizeof *h);
    h->min = UINT64_MAX;
}

size_t histogram_bucket(uint64_t value) {
    if (value < SUB_COUNT) return (size_t)value;
    if (value >> HISTOGRAM_MAX_BITS) return HISTOGRAM_BUCKETS - 1;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return ((size_t)(shift + 1) << HISTOGRAM_SUB_BITS) + (size_t)((value >> shift) - SUB_COUNT);
}

uint64_t histogram_bucket_top(size_t bucket) {
    if (bucket < SUB_COUNT) return bucket;
    size_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t mantissa = (bucket & (SUB_COUNT - 1)) + SUB_COUNT;
    return ((mantissa + 1) << shift) - 1;
}

void histogram_record(struct histogram *h, uint64_t value, uint64_t times) {
    h->counts[histogram_bucket(value)] += times;
    h->total += times;
    h->sum += (double)value * (double)times;
    if (value < h->min) h->min = value;
    if (value > h->max) h->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from) {
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) into->counts[i] += from->counts[i];
    into->total += from->total;
    into->sum += from->sum;
    if (from->min < into->min) into->min = from->min;
    if (from->max > into->max) into->max = from->max;
}

uint64_t histogram_percentile(const struct histogram *h, double percentile) {
    if (h->total == 0) return 0;
    /* The rank-th smallest value, counting from 1: the first at which `percentile` of all are no
     * larger. */
    double exact = percentile / 100.0 * (double)h->total;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0) rank++;
    if (rank > h->total) rank = h->total;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen < rank) continue;
        uint64_t top = histogram_bucket_top(i);
        /* The last bucket also holds what was too large for any: its top is not a bound, the
         * maximum is. */
        return top < h->max && i != HISTOGRAM_BUCKETS - 1 ? top : h->max;
    }
    return h->max;
}

double histogram_mean(const struct histogram *h) {
    return h->total == 0 ? 0.0 : h->sum / (double)h->total;
}
