/* Credit: what several shards are granted never exceeds the budget together; model: random takers beside a twin that
 * keeps plain sums, with budgets that shrink and grow; and real threads, each at full speed. */
#include "core/assert.h"
#include "core/prng.h"
#include "shards/credit.h"
#include "tests/support/seed.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SHARDS  5
#define QUANTUM 1000

static void grants_what_there_is(void **state) {
    (void)state;
    struct credit_pool pool = {10000};
    struct credit a = {.pool = &pool}, b = {.pool = &pool};
    assert_true(credit_take(&a, 0, 10, QUANTUM)); /* a whole quantum: it comes back seldom */
    assert_int_equal(a.granted, QUANTUM);
    assert_true(credit_take(&a, 10, 990, QUANTUM));
    assert_int_equal(credit_pool_free(&pool), 9000);
    assert_true(credit_take(&b, 0, 8500, QUANTUM));
    assert_false(credit_take(&a, 1000, 501, QUANTUM)); /* 500 are left */
    assert_int_equal(a.granted, 1000);
    assert_true(credit_take(&a, 1000, 500, QUANTUM)); /* less than a quantum: what there is */
    assert_int_equal(credit_pool_free(&pool), 0);
    assert_false(credit_take(&b, 8500, 1, QUANTUM));
}

static void settles(void **state) {
    (void)state;
    struct credit_pool pool = {10000};
    struct credit a = {.pool = &pool};
    assert_true(credit_take(&a, 0, 9000, QUANTUM));
    credit_settle(&a, 7000, QUANTUM);
    assert_int_equal(a.granted, 9000); /* two quanta are kept */
    credit_settle(&a, 6999, QUANTUM);
    assert_int_equal(a.granted, 7999);
    assert_int_equal(credit_pool_free(&pool), 2001);
    credit_settle(&a, 12000, QUANTUM); /* it could not be refused */
    assert_int_equal(credit_pool_free(&pool), -2000);
    assert_false(credit_take(&a, 12000, 1, QUANTUM));
    credit_settle(&a, 11000, QUANTUM); /* a debt: nothing is kept in reserve */
    assert_int_equal(a.granted, 11000);
    assert_int_equal(credit_pool_free(&pool), -1000);
    credit_pool_add(&pool, 5000);
    assert_true(credit_take(&a, 11000, 4000, QUANTUM));
}

static void freed_what_others_allocated(void **state) {
    (void)state;
    struct credit_pool pool = {1000};
    struct credit a = {.pool = &pool};
    credit_settle(&a, -5000, QUANTUM); /* its count fell below nothing: somebody else's rose */
    assert_int_equal(a.granted, -4000);
    assert_int_equal(credit_pool_free(&pool), 5000);
    assert_true(credit_take(&a, -5000, 1000, QUANTUM));
}

/* --- beside a twin --- */

static void check(const struct credit_pool *pool, const struct credit *credits, int64_t budget) {
    int64_t sum = credit_pool_free(pool);
    for (int i = 0; i < SHARDS; i++) sum += credits[i].granted;
    assert_int_equal(sum, budget);
}

static void never_more_than_the_budget(void **state) {
    (void)state;
    uint64_t seed = seed_or(20261127);
    printf("seed %llu\n", (unsigned long long)seed);
    struct prng prng;
    prng_init(&prng, seed);
    int64_t budget = 100000, used[SHARDS] = {0}, sum = 0;
    struct credit_pool pool = {budget};
    struct credit credits[SHARDS];
    for (int i = 0; i < SHARDS; i++) credits[i] = (struct credit){.pool = &pool};
    for (int step = 0; step < 300000; step++) {
        int i = (int)prng_below(&prng, SHARDS);
        int64_t bytes = (int64_t)prng_below(&prng, prng_below(&prng, 20) ? 300 : 30000);
        switch (prng_below(&prng, 8)) {
        case 0:
        case 1:
        case 2:
            if (!credit_take(&credits[i], used[i], bytes, QUANTUM)) { /* only when there really is too little */
                assert_true(used[i] + bytes > credits[i].granted + credit_pool_free(&pool));
                break;
            }
            used[i] += bytes;
            sum += bytes;
            assert_true(used[i] <= credits[i].granted);
            break;
        case 3: /* cannot be refused, as now and then a table's growth */
            if (prng_below(&prng, 4)) break;
            used[i] += bytes;
            sum += bytes;
            credit_settle(&credits[i], used[i], QUANTUM);
            break;
        case 4: {
            int64_t change = (int64_t)prng_below(&prng, 2001) - 1000;
            if (prng_below(&prng, 10)) break;
            credit_pool_add(&pool, change);
            budget += change;
            break;
        }
        default:
            bytes = MIN(bytes, used[i]);
            used[i] -= bytes;
            sum -= bytes;
            credit_settle(&credits[i], used[i], QUANTUM);
            assert_true(credits[i].granted >= used[i]);
            assert_true(credits[i].granted - used[i] <= 2 * QUANTUM);
        }
        check(&pool, credits, budget);
    }
    /* Everybody settles: what is used, and what is free, is the budget. */
    for (int i = 0; i < SHARDS; i++) credit_settle(&credits[i], used[i], QUANTUM);
    assert_true(sum + credit_pool_free(&pool) <= budget);
    assert_true(sum + credit_pool_free(&pool) >= budget - 2 * QUANTUM * SHARDS);
}

/* --- threads --- */

struct taker {
    struct credit credit;
    int64_t used;
    uint64_t seed;
};

static void *take_and_give(void *arg) {
    struct taker *taker = arg;
    struct prng prng;
    prng_init(&prng, taker->seed);
    for (int step = 0; step < 200000; step++) {
        int64_t bytes = (int64_t)prng_below(&prng, 400);
        if (prng_below(&prng, 2)) {
            if (credit_take(&taker->credit, taker->used, bytes, QUANTUM)) taker->used += bytes;
            ASSERT(taker->used <= taker->credit.granted);
        } else {
            taker->used -= MIN(bytes, taker->used);
            credit_settle(&taker->credit, taker->used, QUANTUM);
        }
    }
    return NULL;
}

static void threads_lose_nothing(void **state) {
    (void)state;
    enum { TAKERS = 4 };
    struct credit_pool pool = {20000};
    struct taker takers[TAKERS];
    pthread_t threads[TAKERS];
    for (unsigned i = 0; i < TAKERS; i++) takers[i] = (struct taker){.credit = {.pool = &pool}, .seed = seed_or(7) + i};
    for (unsigned i = 0; i < TAKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &takers[i]), 0);
    int64_t sum = 0;
    for (unsigned i = 0; i < TAKERS; i++) {
        pthread_join(threads[i], NULL);
        sum += takers[i].credit.granted;
    }
    assert_int_equal(sum + credit_pool_free(&pool), 20000);
    assert_true(credit_pool_free(&pool) >= 0); /* nobody took what could not be refused */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_what_there_is),        cmocka_unit_test(settles),
        cmocka_unit_test(freed_what_others_allocated), cmocka_unit_test(never_more_than_the_budget),
        cmocka_unit_test(threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
