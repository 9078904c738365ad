/* When a client wishes to be on another thread: the edges of share, count and time one by one, and a property over random
 * streams: whoever wishes has, since its window began, sent nearly all its commands to that shard, and has been patient. */
#include "core/prng.h"
#include "shards/homing.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define MS       1000000ull
#define PATIENCE (1000 * MS)
#define HERE     0 /* the client's own shard, in a stream */
#define KEYLESS  UINT32_MAX

struct stream {
    struct homing homing;
    uint64_t commands, now_ns, patience_ns;
};

static struct stream begin(void) {
    return (struct stream){.now_ns = 5000 * MS, .patience_ns = PATIENCE};
}

/* One command, some time later. True: the client wishes to move. */
static bool send(struct stream *s, uint32_t shard, uint64_t later_ns) {
    s->now_ns += later_ns;
    s->commands++;
    if (shard == KEYLESS) s->homing.neutral++;
    if (shard == HERE || shard == KEYLESS) return false;
    return homing_note(&s->homing, shard, 1, s->commands, s->now_ns) &&
           homing_look(&s->homing, s->commands, s->now_ns, s->patience_ns);
}

/* Commands until it wishes to move; 0: it does not in so many. others: one command of so many is for another place. */
static uint32_t wishes_after(struct stream *s, uint32_t shard, uint32_t other, uint32_t others, uint64_t each_ns,
                             uint32_t most) {
    for (uint32_t i = 1; i <= most; i++)
        if (send(s, others && i % others == 0 ? other : shard, each_ns)) return i;
    return 0;
}

static void test_steady(void **state) {
    (void)state;
    struct stream fast = begin(), slow = begin();
    uint32_t after = wishes_after(&fast, 3, 0, 0, MS / 100, 1000000);
    assert_in_range(after, 100000, 100000 + HOMING_LOOK); /* a second */
    assert_int_equal(fast.homing.shard, 3);
    after = wishes_after(&slow, 3, 0, 0, 100 * MS, 1000000);
    assert_in_range(after, HOMING_COMMANDS, HOMING_COMMANDS + HOMING_LOOK); /* a thousand commands */
}

static void test_share(void **state) {
    (void)state;
    static const uint32_t places[] = {HERE, 2};
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        struct stream enough = begin(), less = begin(), half = begin();
        assert_int_not_equal(wishes_after(&enough, 3, places[i], 20, MS, 10000), 0); /* 95 % */
        assert_int_equal(wishes_after(&less, 3, places[i], 7, MS, 100000), 0);       /* 86 % */
        assert_int_equal(wishes_after(&half, 3, places[i], 2, MS, 100000), 0);
    }
}

static void test_keyless(void **state) {
    (void)state;
    struct stream s = begin();
    assert_int_not_equal(wishes_after(&s, 3, KEYLESS, 2, MS, 10000), 0);
}

/* A long time here, or for another shard, counts no more once that is over. */
static void test_change(void **state) {
    (void)state;
    struct stream s = begin();
    assert_int_equal(wishes_after(&s, HERE, 0, 0, MS, 1000000), 0);
    assert_in_range(wishes_after(&s, 3, 0, 0, MS, 10000), HOMING_COMMANDS, HOMING_COMMANDS + 3 * HOMING_LOOK);
    s.patience_ns = 0;
    assert_int_equal(wishes_after(&s, 3, 0, 0, MS, 100000), 0);
    s.patience_ns = PATIENCE;
    assert_in_range(wishes_after(&s, 5, 0, 0, MS, 10000), HOMING_COMMANDS, HOMING_COMMANDS + 3 * HOMING_LOOK);
    assert_int_equal(s.homing.shard, 5);
}

/* EXEC brings several at once. */
static void test_several_at_once(void **state) {
    (void)state;
    struct stream s = begin();
    bool wish = false;
    for (int i = 0; i < 300 && !wish; i++) {
        s.now_ns += 10 * MS;
        s.commands += 7; /* MULTI, five that are kept, EXEC */
        s.homing.neutral += 2;
        wish = homing_note(&s.homing, 2, 5, s.commands, s.now_ns) &&
               homing_look(&s.homing, s.commands, s.now_ns, s.patience_ns);
    }
    assert_true(wish);
}

/* Each move of late doubles what the next one takes, up to a bound; one of long ago does not. */
static void test_patience(void **state) {
    (void)state;
    struct stream s = begin();
    uint64_t wanted = PATIENCE;
    for (int i = 0; i < 10; i++) {
        uint64_t from_ns = s.now_ns;
        assert_int_not_equal(wishes_after(&s, 1 + (uint32_t)i % 2, 0, 0, MS, 200000), 0);
        assert_in_range(s.now_ns - from_ns, wanted, wanted + 3 * HOMING_LOOK * MS);
        s.homing = homing_after_move(&s.homing, s.now_ns);
        wanted = MIN(wanted * 2, PATIENCE << HOMING_DOUBLINGS);
    }
    s.now_ns += HOMING_LATELY_NS;
    uint64_t from_ns = s.now_ns;
    assert_int_not_equal(wishes_after(&s, 1, 0, 0, MS, 200000), 0);
    assert_in_range(s.now_ns - from_ns, PATIENCE, PATIENCE + 3 * HOMING_LOOK * MS);
}

static void test_off(void **state) {
    (void)state;
    struct stream s = begin();
    s.patience_ns = 0;
    assert_int_equal(wishes_after(&s, 3, 0, 0, MS, 100000), 0);
}

/* Not to where the work already is. */
static void test_welcome(void **state) {
    (void)state;
    assert_true(homing_is_welcome(0, 0));
    assert_true(homing_is_welcome(100, 500));
    assert_true(homing_is_welcome(1000, 1000));
    assert_true(homing_is_welcome(980, 1000));
    assert_false(homing_is_welcome(500, 990));
    assert_false(homing_is_welcome(0, 700));
}

#define STREAMS  60
#define COMMANDS 30000

/* Where each command went, so that a wish can be checked. */
static void check_wish(const struct stream *s, const uint32_t *went, const uint64_t *when, uint64_t window) {
    uint64_t hits = 0, keyed = 0;
    for (uint64_t i = window; i < s->commands; i++) {
        hits += went[i] == s->homing.shard;
        keyed += went[i] != KEYLESS;
    }
    assert_true(keyed >= HOMING_COMMANDS);
    assert_true(hits * 100 >= keyed * HOMING_SHARE);
    assert_true(s->now_ns - when[window] >= PATIENCE);
}

static void test_random(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    struct prng prng;
    prng_init(&prng, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    uint32_t *went = malloc(COMMANDS * sizeof *went);
    uint64_t *when = malloc(COMMANDS * sizeof *when);
    uint32_t wishes = 0;
    for (int stream = 0; stream < STREAMS; stream++) {
        struct stream s = begin();
        uint32_t favourite = 0, noise = 1;
        for (uint32_t i = 0; i < COMMANDS; i++) {
            if (prng_below(&prng, 4000) == 0) {
                favourite = (uint32_t)prng_below(&prng, 4);
                noise = (uint32_t)prng_below(&prng, 30);
            }
            went[i] = prng_below(&prng, 100) < noise ? (uint32_t)prng_below(&prng, 4) : favourite;
            if (prng_below(&prng, 10) == 0) went[i] = KEYLESS;
            uint64_t window = s.homing.hits ? s.homing.from_commands : i;
            when[i] = s.now_ns + MS;
            if (!send(&s, went[i], MS)) continue;
            check_wish(&s, went, when, window);
            wishes++;
        }
    }
    free(went);
    free(when);
    assert_true(wishes > STREAMS / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steady), cmocka_unit_test(test_share),           cmocka_unit_test(test_keyless),
        cmocka_unit_test(test_change), cmocka_unit_test(test_several_at_once), cmocka_unit_test(test_patience),
        cmocka_unit_test(test_off),    cmocka_unit_test(test_welcome),         cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
