/* Sparse runs are edited as Redis edits them: the run that covers the register is split around it, then up to five runs
 * from the one before it on are looked at, and neighbours of the same value that fit one run are joined. */
#include "core/hll.h"
#include "core/assert.h"
#include <math.h>
#include <string.h>

#define DENSE      0
#define SPARSE     1
#define PLACE_BITS 14
#define RANKS      (64 - PLACE_BITS) /* bits that are left for counting */
#define HASH_SEED  0xadc83b19ull
#define ZERO_MAX   64
#define VALUE_MAX  32
#define RUN_MAX    4
#define JOIN_RUNS  5

/* --- header --- */

bool hll_is_dense(struct slice value) {
    return value.ptr[4] == DENSE;
}

bool hll_is_one(struct slice value) {
    if (value.len < HLL_HEADER || memcmp(value.ptr, "HYLL", 4) != 0 || (unsigned char)value.ptr[4] > SPARSE)
        return false;
    return !hll_is_dense(value) || value.len == HLL_DENSE_BYTES;
}

bool hll_read_cached(struct slice value, uint64_t *count) {
    memcpy(count, value.ptr + 8, sizeof *count);
    return !(*count >> 63);
}

void hll_write_cached(char *value, uint64_t count) {
    memcpy(value + 8, &count, sizeof count);
}

void hll_forget_cached(char *value) {
    value[15] = (char)(value[15] | 0x80);
}

void hll_init(struct buf *value) {
    static const char empty[HLL_HEADER] = {'H', 'Y', 'L', 'L', SPARSE};
    static const char all_zero[] = {0x40 | ((HLL_REGISTERS - 1) >> 8), (char)((HLL_REGISTERS - 1) & 0xFF)};
    buf_append(value, empty, sizeof empty);
    buf_append(value, all_zero, sizeof all_zero);
}

/* --- elements --- */

/* MurmurHash64A, by Austin Appleby, in the public domain. */
static uint64_t murmur(struct slice text) {
    const uint64_t m = 0xc6a4a7935bd1e995ull;
    uint64_t hash = HASH_SEED ^ (text.len * m), word = 0;
    const char *at = text.ptr;
    for (size_t left = text.len / 8; left > 0; left--, at += 8) {
        memcpy(&word, at, sizeof word);
        word *= m;
        word ^= word >> 47;
        word *= m;
        hash = (hash ^ word) * m;
    }
    if (text.len & 7) {
        word = 0;
        memcpy(&word, at, text.len & 7);
        hash = (hash ^ word) * m;
    }
    hash = (hash ^ hash >> 47) * m;
    return hash ^ hash >> 47;
}

struct hll_place hll_place_of(struct slice element) {
    uint64_t hash = murmur(element), rest = hash >> PLACE_BITS | 1ull << RANKS;
    return (struct hll_place){(uint32_t)(hash & (HLL_REGISTERS - 1)), (uint8_t)(__builtin_ctzll(rest) + 1)};
}

/* --- dense --- */

/* Six bits, in one byte or two. The last register ends with the last byte. */
static unsigned get6(const unsigned char *registers, uint32_t at) {
    const unsigned char *byte = registers + at * 6 / 8;
    unsigned shift = at * 6 & 7, value = byte[0] >> shift;
    if (shift > 2) value |= (unsigned)byte[1] << (8 - shift);
    return value & 63;
}

static void put6(unsigned char *registers, uint32_t at, unsigned value) {
    unsigned char *byte = registers + at * 6 / 8;
    unsigned shift = at * 6 & 7;
    byte[0] = (unsigned char)((byte[0] & ~(63u << shift)) | value << shift);
    if (shift > 2) byte[1] = (unsigned char)((byte[1] & ~(63u >> (8 - shift))) | value >> (8 - shift));
}

uint8_t hll_get_dense(const char *value, uint32_t at) {
    return (uint8_t)get6((const unsigned char *)value + HLL_HEADER, at);
}

enum hll_result hll_raise_dense(char *value, struct hll_place place) {
    unsigned char *registers = (unsigned char *)value + HLL_HEADER;
    if (get6(registers, place.at) >= place.count) return HLL_SAME;
    put6(registers, place.at, place.count);
    return HLL_CHANGED;
}

/* --- sparse --- */

/* A run of registers with the same value. */
struct run {
    uint32_t len;
    uint8_t value, bytes;
};

/* Somebody may have written into the string: of a run of two bytes that is cut short the second one is zero, as Redis
 * finds it behind the string. */
static struct run run_at(const unsigned char *at, const unsigned char *end) {
    if (*at & 0x80) return (struct run){(*at & 3u) + 1, (uint8_t)((*at >> 2 & 31) + 1), 1};
    if (!(*at & 0x40)) return (struct run){(*at & 63u) + 1, 0, 1};
    unsigned second = at + 1 < end ? at[1] : 0;
    return (struct run){((*at & 63u) << 8 | second) + 1, 0, 2};
}

static size_t write_run(unsigned char *out, uint32_t len, unsigned value) {
    if (value) {
        out[0] = (unsigned char)(0x80 | (value - 1) << 2 | (len - 1));
        return 1;
    }
    if (len <= ZERO_MAX) {
        out[0] = (unsigned char)(len - 1);
        return 1;
    }
    out[0] = (unsigned char)(0x40 | (len - 1) >> 8);
    out[1] = (unsigned char)(len - 1);
    return 2;
}

static bool is_value(unsigned char byte) {
    return byte & 0x80;
}

/* Neighbours of the same value, from here on; value is cut by what that saves. */
static void join_runs(struct buf *value, size_t from) {
    unsigned char *at = (unsigned char *)value->data + from, *end = (unsigned char *)value->data + value->len;
    for (unsigned looked = 0; at < end && looked < JOIN_RUNS; looked++) {
        if (!is_value(*at)) {
            at += run_at(at, end).bytes;
            continue;
        }
        if (at + 1 < end && is_value(at[1])) {
            struct run here = run_at(at, end), next = run_at(at + 1, end);
            if (here.value == next.value && here.len + next.len <= RUN_MAX) {
                write_run(at + 1, here.len + next.len, here.value);
                memmove(at, at + 1, (size_t)(end - at - 1));
                end--;
                value->len--;
                continue; /* the joined one may fit the next, too */
            }
        }
        at++;
    }
}

/* The run that covers a register. */
struct found {
    size_t at, before; /* of it and of the one before it (or of itself) in value */
    uint32_t first;    /* register */
    struct run run;
};

static bool find_run(const struct buf *value, uint32_t place, struct found *found) {
    const unsigned char *bytes = (const unsigned char *)value->data, *end = bytes + value->len;
    *found = (struct found){.at = HLL_HEADER, .before = HLL_HEADER};
    while (bytes + found->at < end) {
        found->run = run_at(bytes + found->at, end);
        if (place < found->first + found->run.len) return true;
        found->before = found->at;
        found->at += found->run.bytes;
        found->first += found->run.len;
    }
    return false;
}

/* The run, split around the register, which gets the count. Returns the bytes written. */
static size_t split(const struct found *found, struct hll_place place, unsigned char out[5]) {
    size_t len = 0;
    uint32_t last = found->first + found->run.len - 1;
    if (place.at > found->first) len += write_run(out, place.at - found->first, found->run.value);
    len += write_run(out + len, 1, place.count);
    if (place.at < last) len += write_run(out + len, last - place.at, found->run.value);
    return len;
}

static enum hll_result raise_as_dense(struct buf *value, struct hll_place place) {
    if (hll_make_dense(value) == HLL_CORRUPT) return HLL_CORRUPT;
    return hll_raise_dense(value->data, place);
}

static enum hll_result raise_sparse(struct buf *value, struct hll_place place, size_t sparse_max) {
    struct found found;
    if (place.count > VALUE_MAX) return raise_as_dense(value, place);
    if (!find_run(value, place.at, &found)) return HLL_CORRUPT;
    if (found.run.value >= place.count) return HLL_SAME;
    unsigned char runs[5];
    size_t len = split(&found, place, runs), old = found.run.bytes;
    if (len > old && value->len + (len - old) > sparse_max) return raise_as_dense(value, place);
    buf_make_room(value, sizeof runs);
    char *at = value->data + found.at;
    if (found.at + old < value->len) memmove(at + len, at + old, value->len - found.at - old);
    memcpy(at, runs, len); /* of a run that was cut short one byte less than that counts */
    value->len = value->len + len - old;
    join_runs(value, found.before);
    return HLL_CHANGED;
}

enum hll_result hll_raise(struct buf *value, struct hll_place place, size_t sparse_max) {
    ASSERT(value->read == 0);
    return hll_is_dense(buf_slice(value)) ? hll_raise_dense(value->data, place)
                                          : raise_sparse(value, place, sparse_max);
}

/* --- all registers --- */

static bool merge_sparse(struct slice value, uint8_t registers[HLL_REGISTERS]) {
    const unsigned char *at = (const unsigned char *)value.ptr + HLL_HEADER;
    const unsigned char *end = (const unsigned char *)value.ptr + value.len;
    uint32_t first = 0;
    while (at < end) {
        struct run run = run_at(at, end);
        if (run.len > HLL_REGISTERS - first) return false;
        for (uint32_t i = 0; run.value && i < run.len; i++)
            if (registers[first + i] < run.value) registers[first + i] = run.value;
        first += run.len;
        at += run.bytes;
    }
    return first == HLL_REGISTERS;
}

bool hll_merge(struct slice value, uint8_t registers[HLL_REGISTERS]) {
    if (!hll_is_dense(value)) return merge_sparse(value, registers);
    const unsigned char *bytes = (const unsigned char *)value.ptr + HLL_HEADER;
    for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
        unsigned count = get6(bytes, i);
        if (registers[i] < count) registers[i] = (uint8_t)count;
    }
    return true;
}

enum hll_result hll_make_dense(struct buf *value) {
    ASSERT(value->read == 0);
    uint8_t registers[HLL_REGISTERS] = {0};
    if (hll_is_dense(buf_slice(value))) return HLL_SAME;
    if (!hll_merge(buf_slice(value), registers)) return HLL_CORRUPT;
    value->len = HLL_HEADER;
    char *bytes = buf_reserve(value, HLL_DENSE_BYTES - HLL_HEADER);
    memset(bytes, 0, HLL_DENSE_BYTES - HLL_HEADER);
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        if (registers[i]) put6((unsigned char *)bytes, i, registers[i]);
    value->len = HLL_DENSE_BYTES;
    value->data[4] = DENSE;
    return HLL_CHANGED;
}

/* --- the estimate --- */

static double sigma(double x) {
    if (x == 1.) return (double)INFINITY;
    double before, y = 1, z = x;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (before != z);
    return z;
}

static double tau(double x) {
    if (x == 0. || x == 1.) return 0.;
    double before, y = 1, z = 1 - x;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= pow(1 - x, 2) * y;
    } while (before != z);
    return z / 3;
}

uint64_t hll_count(const uint8_t registers[HLL_REGISTERS]) {
    const double m = HLL_REGISTERS, alpha = 0.721347520444481703680; /* 1 / (2 ln 2) */
    uint32_t with[64] = {0};
    for (uint32_t i = 0; i < HLL_REGISTERS; i++) with[registers[i] & 63]++;
    double z = m * tau((m - with[RANKS + 1]) / m);
    for (int rank = RANKS; rank >= 1; rank--) {
        z += with[rank];
        z *= 0.5;
    }
    z += m * sigma(with[0] / m);
    return (uint64_t)llroundl((long double)(alpha * m * m / z));
}
