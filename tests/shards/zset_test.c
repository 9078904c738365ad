/* Zset: random additions, new scores, removals and removed ranges through a keyspace, around the borders where a run
 * becomes a tree and where Redis would make a skiplist, against a plain sorted array. The key is there exactly as long
 * as something is in the set, keeps its deadline, has the encoding that Redis's rule gives it, and gives back every
 * byte. */
#include "core/prng.h"
#include "shards/reaper.h"
#include "shards/zset.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define MEMBERS  900
#define TEXT_MAX 80

static struct heap *heap;
static struct keyspace_shared shared;
static struct keyspace *keys;

static struct key_ref open_zset(void) {
    struct key_ref ref;
    (void)keyspace_open(keys, SLICE("zset"), key_hash(&shared, SLICE("zset")), &ref);
    return ref;
}

/* --- the model --- */

struct model {
    struct prng prng;
    bool there[MEMBERS];
    double scores[MEMBERS];
    uint32_t count, target;
    bool skiplist; /* by Redis's rule */
};

static struct slice text_of(uint32_t member, char text[TEXT_MAX]) {
    int width = member % 50 == 0 ? 70 : member % 5 == 0 ? 30 : 1; /* some are longer than the rule allows */
    return slice_of(text, (size_t)snprintf(text, TEXT_MAX, "%0*u", width, member));
}

static bool model_before(const struct model *m, uint32_t member, const struct sorted_bound *bound) {
    char text[TEXT_MAX];
    return sorted_is_before(m->scores[member], text_of(member, text), bound);
}

static uint64_t model_count_before(const struct model *m, const struct sorted_bound *bound) {
    uint64_t before = 0;
    for (uint32_t i = 0; i < MEMBERS; i++) before += m->there[i] && model_before(m, i, bound);
    return before;
}

static double random_score(struct prng *prng) {
    double score = (double)prng_below(prng, 30) - 10;
    return prng_below(prng, 4) ? score : score / 7;
}

static void compare(struct model *m) {
    char text[TEXT_MAX];
    struct key_ref ref = open_zset();
    struct zset_pair pair;
    assert_int_equal(ref.entry != NULL, m->count > 0);
    if (!ref.entry) return;
    assert_int_equal(zset_len(ref.entry), m->count);
    assert_string_equal(entry_encoding_name(ref.entry), m->skiplist ? "skiplist" : "listpack");
    uint32_t some = (uint32_t)prng_below(&m->prng, MEMBERS);
    struct sorted_bound bound = {.by = SORTED_BY_BOTH, .score = m->scores[some], .member = text_of(some, text)};
    uint64_t rank;
    double score;
    assert_int_equal(zset_rank(ref.entry, bound.member, &rank), m->there[some]);
    assert_int_equal(zset_score(ref.entry, bound.member, &score), m->there[some]);
    if (m->there[some]) {
        assert_true(score == m->scores[some]);
        assert_int_equal(rank, model_count_before(m, &bound));
        struct zset_iter iter = zset_seek(ref.entry, rank);
        assert_true(zset_next(&iter, &pair) && slice_equal(pair.member, bound.member) && pair.score == score);
        assert_true(zset_prev(&iter, &pair) && slice_equal(pair.member, bound.member));
        assert_int_equal(zset_prev(&iter, &pair), rank > 0);
    }
    bound.by = SORTED_BY_SCORE;
    bound.inclusive = prng_below(&m->prng, 2);
    assert_int_equal(zset_count_before(ref.entry, &bound), model_count_before(m, &bound));
}

static void put(struct model *m, uint32_t member) {
    char text[TEXT_MAX];
    struct key_ref ref = open_zset();
    double score = random_score(&m->prng);
    struct slice name = text_of(member, text);
    if (!m->there[member]) {
        if (!ref.entry) m->skiplist = false;
        m->count++;
        m->skiplist |= name.len > shared.zset_rule.value_max || m->count > shared.zset_rule.entries_max;
    }
    zset_put(keys, &ref, name, score);
    m->there[member] = true;
    m->scores[member] = score;
}

static void remove_ranks(struct model *m) {
    struct key_ref ref = open_zset();
    if (!ref.entry) return;
    char text[TEXT_MAX];
    uint64_t from = prng_below(&m->prng, m->count), many = 1 + prng_below(&m->prng, 20);
    uint64_t to = MIN(from + many, m->count);
    bool gone[MEMBERS] = {false};
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct sorted_bound bound = {.by = SORTED_BY_BOTH, .score = m->scores[i], .member = text_of(i, text)};
        uint64_t rank = model_count_before(m, &bound);
        gone[i] = m->there[i] && rank >= from && rank < to;
    }
    zset_remove_ranks(keys, &ref, from, to);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        m->count -= gone[i];
        m->there[i] &= !gone[i];
    }
}

static void step(struct model *m) {
    char text[TEXT_MAX];
    uint32_t member = (uint32_t)prng_below(&m->prng, MEMBERS);
    bool grow = prng_below(&m->prng, 10) < (m->count < m->target ? 8 : 3);
    if (grow) {
        put(m, member);
    } else if (prng_below(&m->prng, 100) == 0) {
        remove_ranks(m);
    } else {
        struct key_ref ref = open_zset();
        if (!ref.entry) return;
        assert_int_equal(zset_remove(keys, &ref, text_of(member, text)), m->there[member]);
        m->count -= m->there[member];
        m->there[member] = false;
    }
}

static void agrees_with_an_array(void **state) {
    static const uint32_t targets[] = {10, 60, 0, 130, 0, 400, 0, 90, 0};
    uint64_t number = seed_or((uint64_t)time(NULL));
    (void)state;
    print_message("SHERD_SEED=%" PRIu64 "\n", number);
    struct model *m = calloc(1, sizeof *m);
    prng_init(&m->prng, number);
    for (size_t phase = 0; phase < ARRAY_LEN(targets); phase++) {
        m->target = targets[phase];
        for (unsigned i = 0; i < 4000; i++) {
            step(m);
            compare(m);
        }
        struct key_ref ref = open_zset();
        if (ref.entry && m->target == 0) {
            zset_remove_ranks(keys, &ref, 0, m->count);
            assert_null(ref.entry);
            memset(m->there, 0, sizeof m->there);
            m->count = 0;
        }
    }
    free(m);
}

/* --- forms --- */

static void a_deadline_stays(void **state) {
    char text[TEXT_MAX];
    (void)state;
    struct key_ref ref = open_zset();
    zset_put(keys, &ref, SLICE("first"), 1);
    assert_int_equal(ref.entry->encoding, ENC_EMBEDDED);
    keyspace_set_deadline(keys, &ref, 5000);
    for (uint32_t i = 0; i < 300; i++) {
        ref = open_zset();
        zset_put(keys, &ref, text_of(i, text), i);
    }
    assert_int_equal(ref.entry->encoding, ENC_OBJECT);
    assert_int_equal(entry_deadline_ms(ref.entry), 5000);
}

/* Long members fill a run before Redis would leave its listpack: the name is Redis's, whatever the form. */
static void the_name_is_redis_s(void **state) {
    char text[TEXT_MAX];
    (void)state;
    struct key_ref ref = open_zset();
    for (unsigned i = 0; i < 128; i++) {
        zset_put(keys, &ref, slice_of(text, (size_t)snprintf(text, sizeof text, "%064u", i)), 0.1);
        assert_string_equal(entry_encoding_name(ref.entry), "listpack");
    }
    assert_int_equal(ref.entry->encoding, ENC_OBJECT);
    zset_put(keys, &ref, SLICE("one more"), -0.0);
    assert_string_equal(entry_encoding_name(ref.entry), "skiplist");
}

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    shared = (struct keyspace_shared){.now_ms = 1000, .zset_rule = {128, 64}};
    shared.store = (struct store){.heap = heap, .slab = slab_new(heap, MEM_DATA)};
    keys = keyspace_new(&shared, 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    keyspace_delete(keys);
    int left = (int)slab_used_bytes(shared.store.slab);
    slab_delete(shared.store.slab);
    for (int i = 0; i < MEM_CLASSES; i++) left |= (int)heap_used(heap, (enum mem_class)i);
    heap_delete(heap);
    return left == 0 ? 0 : -1;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(agrees_with_an_array), TEST(a_deadline_stays), TEST(the_name_is_redis_s)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
