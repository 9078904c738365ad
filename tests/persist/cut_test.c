/* Cut: that it is consistent, and that it is the largest.
 *
 * A naive twin repeats "find any transaction that is in one journal's beginning and not in all, and end those journals
 * before it" until there is none. Journals are random: transactions with random participants in one order for all
 * (as the machine makes them), then tails are torn off; some rounds tear in the middle of the order, so that
 * chains of consequences form. */
#include "core/prng.h"
#include "persist/cut.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SHARDS 8
#define PARTS  400

struct journal {
    struct cut_part parts[PARTS];
    uint32_t count;
    uint32_t kept; /* by the twin */
};

struct round {
    struct journal journals[SHARDS];
    uint32_t shards;
    uint64_t forgiven;
};

static bool has(const struct journal *journal, uint32_t count, uint64_t stamp, uint32_t *at) {
    for (*at = 0; *at < count; (*at)++)
        if (journal->parts[*at].stamp == stamp) return true;
    return false;
}

/* Ends all journals before the transaction when a part is missing. */
static bool drop_if_incomplete(struct round *round, const struct cut_part *part) {
    bool missing = false;
    uint32_t at;
    for (uint32_t s = 0; s < round->shards; s++) {
        const struct journal *journal = &round->journals[s];
        if (!(part->participants & 1ull << s) || has(journal, journal->kept, part->stamp, &at)) continue;
        /* What was never there is forgiven, what had to go is not. */
        missing |= !(round->forgiven & 1ull << s) || has(journal, journal->count, part->stamp, &at);
    }
    if (!missing) return false;
    for (uint32_t s = 0; s < round->shards; s++)
        if (has(&round->journals[s], round->journals[s].kept, part->stamp, &at)) round->journals[s].kept = at;
    return true;
}

static void cut_naively(struct round *round) {
    for (uint32_t s = 0; s < round->shards; s++) round->journals[s].kept = round->journals[s].count;
again:
    for (uint32_t s = 0; s < round->shards; s++)
        for (uint32_t i = 0; i < round->journals[s].kept; i++)
            if (drop_if_incomplete(round, &round->journals[s].parts[i])) goto again;
}

/* Runs of random lengths, some of them empty. */
static uint32_t make_runs(const struct round *round, struct prng *prng, struct cut_run *runs, uint32_t max) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < round->shards; s++) {
        const struct journal *journal = &round->journals[s];
        uint32_t at = 0;
        do {
            uint32_t len = (uint32_t)prng_below(prng, 1 + journal->count - at);
            if (prng_below(prng, 3) == 0 || count + 2 * SHARDS > max) len = journal->count - at;
            runs[count++] = (struct cut_run){journal->parts + at, len, s};
            at += len;
        } while (at < journal->count);
    }
    return count;
}

static uint64_t dropped(const struct round *round) {
    uint64_t stamps = 0;
    for (uint32_t s = 0; s < round->shards; s++) {
        const struct journal *journal = &round->journals[s];
        for (uint32_t i = journal->kept; i < journal->count; i++) {
            bool earlier = false; /* was it counted at a shard before? */
            for (uint32_t t = 0; t < s && !earlier; t++)
                for (uint32_t k = round->journals[t].kept; k < round->journals[t].count; k++)
                    if (round->journals[t].parts[k].stamp == journal->parts[i].stamp) earlier = true;
            stamps += !earlier;
        }
    }
    return stamps;
}

static void compare(struct round *round, struct prng *prng) {
    struct cut_run runs[256];
    uint32_t count = make_runs(round, prng, runs, ARRAY_LEN(runs));
    struct cut *cut = cut_new(runs, count, round->forgiven);
    assert_non_null(cut);
    while (cut_step(cut, 1 + (uint32_t)prng_below(prng, 50))) continue;
    cut_naively(round);
    for (uint32_t s = 0; s < round->shards; s++) {
        const struct journal *journal = &round->journals[s];
        uint32_t run = 0;
        const struct cut_part *end = cut_end(cut, s, &run);
        if (journal->kept == journal->count) {
            assert_null(end);
        } else {
            assert_ptr_equal(end, &journal->parts[journal->kept]);
            assert_int_equal(runs[run].shard, s);
            assert_true(end >= runs[run].parts && end < runs[run].parts + runs[run].count);
        }
    }
    if (!round->forgiven) assert_int_equal(cut_transactions(cut), dropped(round));
    cut_delete(cut);
}

static void fill(struct round *round, struct prng *prng) {
    *round = (struct round){.shards = 1 + (uint32_t)prng_below(prng, SHARDS)};
    uint64_t all = (1ull << round->shards) - 1;
    for (uint64_t count = prng_below(prng, PARTS), t = 1; t <= count; t++) {
        uint64_t mask = prng_next(prng) & prng_next(prng) & all;
        if (!mask) mask = 1;
        for (uint32_t s = 0; s < round->shards; s++) {
            struct journal *journal = &round->journals[s];
            if (mask & 1ull << s)
                journal->parts[journal->count++] = (struct cut_part){.stamp = t << 6, .participants = mask};
        }
    }
    for (uint32_t s = 0; s < round->shards; s++) {
        struct journal *journal = &round->journals[s];
        uint64_t torn = prng_below(prng, 3) == 0 ? prng_below(prng, 1 + MIN(journal->count, 20u)) : 0;
        journal->count -= (uint32_t)torn;
        if (prng_below(prng, 8) == 0) round->forgiven |= 1ull << s;
    }
    if (prng_below(prng, 2) == 0) round->forgiven = 0;
}

static void test_model(void **state) {
    (void)state;
    uint64_t seed = seed_or(1);
    static struct round round;
    print_message("seeds from %" PRIu64 "\n", seed);
    for (unsigned i = 0; i < 300; i++, seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        fill(&round, &prng);
        compare(&round, &prng);
    }
}

static void test_drawing(void **state) { /* the one in the header */
    (void)state;
    const struct cut_part zero[] = {
        {.stamp = 1, .participants = 3}, {.stamp = 2, .participants = 3}, {.stamp = 3, .participants = 5}};
    const struct cut_part one[] = {{.stamp = 1, .participants = 3}};
    const struct cut_part two[] = {{.stamp = 3, .participants = 5}};
    const struct cut_run runs[] = {{zero, 3, 0}, {one, 1, 1}, {two, 1, 2}};
    struct cut *cut = cut_new(runs, 3, 0);
    while (cut_step(cut, 1)) continue;
    uint32_t run;
    assert_ptr_equal(cut_end(cut, 0, &run), &zero[1]);
    assert_null(cut_end(cut, 1, &run));
    assert_ptr_equal(cut_end(cut, 2, &run), &two[0]);
    assert_int_equal(run, 2);
    assert_null(cut_end(cut, 3, &run));
    assert_int_equal(cut_transactions(cut), 2);
    cut_delete(cut);
}

static void test_nothing(void **state) {
    (void)state;
    struct cut *cut = cut_new(NULL, 0, 0);
    uint32_t run;
    while (cut_step(cut, 10)) continue;
    assert_null(cut_end(cut, 0, &run));
    assert_int_equal(cut_transactions(cut), 0);
    cut_delete(cut);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_drawing), cmocka_unit_test(test_nothing),
                                       cmocka_unit_test(test_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
