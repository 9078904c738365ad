/* The cut of journals: what it calls safe is what recovery would keep, however far each disk is.
 *
 * Proves   nothing is safe before all that it stands behind, in chains and in circles; everything is safe as soon as it
 *          can be; records are freed. The model takes the journals that are on the disks and drops, to a fixed point,
 *          what recovery drops. SHERD_SEED sets the seed; a failure prints it. */
#include "core/prng.h"
#include "shards/commit_cut.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SHARDS 6
#define TXNS   400

static struct heap *heap;

/* To the end, in pieces of this size. */
static uint64_t advance(struct commit_cut *cut, uint32_t budget) {
    uint64_t changed = commit_cut_advance(cut, budget);
    while (commit_cut_busy(cut)) changed |= commit_cut_advance(cut, budget);
    return changed;
}

static void waits_for_all_participants(void **state) {
    (void)state;
    struct commit_cut *cut = commit_cut_new(heap, 3);
    commit_cut_add(cut, 0, 7, 5);
    assert_int_equal(advance(cut, UINT32_MAX), 0);
    commit_cut_add(cut, 2, 7, 5);
    assert_int_equal(advance(cut, UINT32_MAX), 5);
    assert_int_equal(commit_cut_safe(cut, 0), 1);
    assert_int_equal(commit_cut_safe(cut, 1), 0);
    assert_int_equal(commit_cut_safe(cut, 2), 1);
    assert_int_equal(commit_cut_open(cut), 0);
    commit_cut_delete(cut);
}

/* The drawing in shards/commit_cut.h. */
static void waits_for_what_stands_before_it_elsewhere(void **state) {
    (void)state;
    struct commit_cut *cut = commit_cut_new(heap, 3);
    commit_cut_add(cut, 0, 1, 3);
    commit_cut_add(cut, 1, 9, 6);
    commit_cut_add(cut, 1, 1, 3);
    assert_int_equal(advance(cut, UINT32_MAX), 0);
    commit_cut_add(cut, 2, 9, 6);
    assert_int_equal(advance(cut, UINT32_MAX), 7);
    assert_int_equal(commit_cut_safe(cut, 1), 2);
    commit_cut_delete(cut);
}

/* Each stands before the next at one shard and behind the one before it at another. */
static void circles_are_safe_together(void **state) {
    (void)state;
    struct commit_cut *cut = commit_cut_new(heap, 3);
    commit_cut_add(cut, 0, 1, 3), commit_cut_add(cut, 0, 3, 5);
    commit_cut_add(cut, 1, 2, 6), commit_cut_add(cut, 1, 1, 3);
    assert_int_equal(advance(cut, UINT32_MAX), 0);
    commit_cut_add(cut, 2, 3, 5);
    assert_int_equal(advance(cut, UINT32_MAX), 0);
    commit_cut_add(cut, 2, 2, 6);
    assert_int_equal(advance(cut, UINT32_MAX), 7);
    assert_int_equal(commit_cut_open(cut), 0);
    commit_cut_delete(cut);
}

/* --- the model --- */

struct journals {
    uint32_t txns[SHARDS][TXNS], count[SHARDS], durable[SHARDS];
    uint64_t participants[TXNS];
};

/* Transactions in a random order that differs a little between shards, as it does when they overlap. */
static void write_journals(struct prng *prng, struct journals *all, uint32_t shards) {
    *all = (struct journals){0};
    for (uint32_t txn = 0; txn < TXNS; txn++) {
        while (__builtin_popcountll(all->participants[txn]) < 2)
            all->participants[txn] |= 1ull << prng_below(prng, shards);
        for (uint32_t shard = 0; shard < shards; shard++)
            if (all->participants[txn] >> shard & 1) all->txns[shard][all->count[shard]++] = txn;
    }
    for (uint32_t shard = 0; shard < shards; shard++) {
        for (uint32_t i = 0; i + 1 < all->count[shard]; i++) {
            uint32_t other = i + (uint32_t)prng_below(prng, MIN(3u, all->count[shard] - i));
            uint32_t txn = all->txns[shard][i];
            all->txns[shard][i] = all->txns[shard][other];
            all->txns[shard][other] = txn;
        }
    }
}

static uint32_t place_of(const struct journals *all, uint32_t shard, uint32_t txn) {
    uint32_t at = 0;
    while (all->txns[shard][at] != txn) at++;
    return at;
}

static bool is_kept(const struct journals *all, const uint32_t *kept, uint32_t shards, uint32_t txn) {
    for (uint32_t shard = 0; shard < shards; shard++)
        if (all->participants[txn] >> shard & 1 && place_of(all, shard, txn) >= kept[shard]) return false;
    return true;
}

static void recover(const struct journals *all, uint32_t shards, uint32_t *kept) {
    memcpy(kept, all->durable, sizeof all->durable);
    bool again = true;
    while (again) {
        again = false;
        for (uint32_t shard = 0; shard < shards; shard++) {
            for (uint32_t i = 0; i < kept[shard]; i++) {
                if (is_kept(all, kept, shards, all->txns[shard][i])) continue;
                kept[shard] = i;
                again = true;
            }
        }
    }
}

static void play(struct prng *prng) {
    static struct journals all;
    uint32_t shards = 2 + (uint32_t)prng_below(prng, SHARDS - 1), left = 0;
    struct commit_cut *cut = commit_cut_new(heap, shards);
    write_journals(prng, &all, shards);
    for (uint32_t shard = 0; shard < shards; shard++) left += all.count[shard];
    while (left) {
        uint32_t shard = (uint32_t)prng_below(prng, shards);
        uint32_t burst = (uint32_t)prng_below(prng, prng_below(prng, 8) ? 4 : 60);
        for (; burst && all.durable[shard] < all.count[shard]; burst--, left--) {
            uint32_t txn = all.txns[shard][all.durable[shard]++];
            commit_cut_add(cut, shard, txn + 1, all.participants[txn]);
        }
        uint32_t kept[SHARDS], before[SHARDS];
        if (prng_below(prng, 3) == 0) { /* more is added while a set is looked at */
            (void)commit_cut_advance(cut, 1 + (uint32_t)prng_below(prng, 4));
            commit_cut_check(cut);
            continue;
        }
        for (uint32_t i = 0; i < shards; i++) before[i] = (uint32_t)commit_cut_safe(cut, i);
        uint64_t changed = advance(cut, 1 + (uint32_t)prng_below(prng, prng_below(prng, 2) ? 5 : 5000));
        commit_cut_check(cut);
        recover(&all, shards, kept);
        for (uint32_t i = 0; i < shards; i++) {
            assert_int_equal(commit_cut_safe(cut, i), kept[i]);
            assert_int_equal(changed >> i & 1, kept[i] != before[i]);
        }
        if (prng_below(prng, 2000) == 0) break; /* the server ends in the middle */
    }
    if (!left) {
        (void)advance(cut, 100);
        assert_int_equal(commit_cut_open(cut), 0);
    }
    commit_cut_delete(cut);
}

static void keeps_what_recovery_keeps(void **state) {
    (void)state;
    uint64_t seed = seed_or(20261127), rounds = seed_given() ? 1 : 60;
    for (uint64_t i = 0; i < rounds; i++) {
        printf("seed %" PRIu64 "\n", seed + i);
        struct prng prng;
        prng_init(&prng, seed + i);
        play(&prng);
    }
}

static void leaves_nothing(void **state) {
    (void)state;
    assert_int_equal(heap_used(heap, MEM_MESSAGE), 0);
}

int main(void) {
    heap = heap_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_all_participants),
        cmocka_unit_test(waits_for_what_stands_before_it_elsewhere),
        cmocka_unit_test(circles_are_safe_together),
        cmocka_unit_test(keeps_what_recovery_keeps),
        cmocka_unit_test(leaves_nothing),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    heap_delete(heap);
    return failed;
}
