/* Keydist: which key comes next. A seeded stream of key numbers in [0, count).
 *
 * uniform    every key equally likely.
 * zipf:S     the key of rank r (1 = hottest) with probability proportional to 1 / r^S, exactly, by
 * Walker's alias table: 12 bytes per key, one random number and one table line per draw whatever S
 * is. (Formulas with pow() cost 40 ns a draw, as much as the whole budget per request at pipeline
 * 64; a recorded sequence that repeats would flatter an LRU.) Ranks are scattered over the key
 * numbers, so that hot keys are not also the ones that were loaded first. seq        0, 1, 2 ...
 * count - 1, 0, ...
 *
 * One owner, no threads. The same seed gives the same stream. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { KEYDIST_AHEAD = 16 }; /* cache misses in flight */

enum keydist_kind { KEYDIST_UNIFORM, KEYDIST_ZIPF, KEYDIST_SEQ };

struct keydist_column { /* one line of the alias table: answer id[0] below the threshold, else id[1]
                         */
    uint32_t threshold, id[2];
};

struct keydist {
    enum keydist_kind kind;
    uint64_t count;
    uint64_t state; /* of the random generator */
    uint64_t next;  /* seq */
    struct keydist_column *columns;
    uint64_t ahead[KEYDIST_AHEAD]; /* zipf: random numbers whose columns are being fetched */
    uint32_t ahead_at;
};

/* `spec` is "uniform", "zipf:0.99" or "seq". False, with a sentence in *why, when it is not, or
 * memory is out. */
bool keydist_init(struct keydist *d, const char *spec, uint64_t count, uint64_t seed, const char **why);
void keydist_deinit(struct keydist *d);

/* wyrand: one multiplication, passes BigCrush, and two lines. */
static inline uint64_t keydist_random(struct keydist *d) {
    d->state += UINT64_C(0xa0761d6478bd642f);
    unsigned __int128 product = (unsigned __int128)d->state * (d->state ^ UINT64_C(0xe7037ed1a0b428db));
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

/* A random number below `limit`. The bias of the multiplication is at most limit / 2^64: nothing
 * here. */
static inline uint64_t keydist_below(struct keydist *d, uint64_t limit) {
    return (uint64_t)(((unsigned __int128)keydist_random(d) * limit) >> 64);
}

static inline uint64_t keydist_next(struct keydist *d) {
    if (d->kind == KEYDIST_UNIFORM) return keydist_below(d, d->count);
    if (d->kind == KEYDIST_SEQ) {
        uint64_t key = d->next++;
        if (d->next == d->count) d->next = 0;
        return key;
    }
    /* High half of the product picks the column, low half is the coin: both from one random number.
     * A number is used KEYDIST_AHEAD draws after it was made and its column prefetched: a miss
     * costs 100 ns otherwise. */
    uint64_t *slot = &d->ahead[d->ahead_at++ % KEYDIST_AHEAD];
    unsigned __int128 product = (unsigned __int128)*slot * d->count;
    *slot = keydist_random(d);
    __builtin_prefetch(&d->columns[(uint64_t)(((unsigned __int128)*slot * d->count) >> 64)]);
    const struct keydist_column *column = &d->columns[(uint64_t)(product >> 64)];
    uint32_t coin = (uint32_t)((uint64_t)product >> 32);
    return column->id[coin >= column->threshold]; /* an index, not a branch: it would be mispredicted */
}
