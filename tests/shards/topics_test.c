/* Topics: a table of topics and subscribers answers like a naive matrix beside it, whose lists are searched from the
 * front. Hashes are few, so that topics of one hash are the rule. Random operations from a printed seed (SHERD_SEED
 * repeats one). */
#include "core/prng.h"
#include "shards/topics.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TOPICS      60
#define SUBSCRIBERS 12
#define HASHES      17

struct twin {
    struct heap *heap;
    struct topics topics;
    struct subscriber who[SUBSCRIBERS];
    uint64_t since[SUBSCRIBERS][TOPICS]; /* when; 0: does not subscribe */
    uint32_t holds[TOPICS];              /* by the test */
    uint64_t clock;
    struct prng prng;
};

static enum topic_kind kind_of(uint32_t topic) {
    return (enum topic_kind)(topic % TOPIC_KINDS);
}

static struct slice text_of(uint32_t topic, char out[16]) {
    return slice_of(out, (size_t)snprintf(out, 16, "t%u", topic));
}

static struct topic *find(struct twin *twin, uint32_t topic) {
    char text[16];
    return topics_find(&twin->topics, topic % HASHES + 1, text_of(topic, text));
}

static struct topic *hold(struct twin *twin, uint32_t topic) {
    char text[16];
    return topics_hold(&twin->topics, kind_of(topic), topic % HASHES + 1, text_of(topic, text));
}

static uint32_t subscribers_of(const struct twin *twin, uint32_t topic) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < SUBSCRIBERS; i++) count += twin->since[i][topic] != 0;
    return count;
}

static void look(struct twin *twin, uint32_t topic) {
    const struct topic *found = find(twin, topic);
    uint32_t count = subscribers_of(twin, topic);
    assert_int_equal(found != NULL, count > 0 || twin->holds[topic] > 0);
    if (!found) return;
    assert_int_equal(found->count, count);
    uint64_t before = 0;
    for (const struct subscription *each = found->first; each; each = each->next_in_topic) {
        uint64_t since = twin->since[each->who - twin->who][topic];
        assert_true(since > before); /* in the order in which they came */
        before = since;
    }
}

static void change(struct twin *twin, uint32_t who, uint32_t topic) {
    struct topic *held = hold(twin, topic);
    struct subscription *there = subscriber_find(&twin->who[who], held);
    assert_int_equal(there != NULL, twin->since[who][topic] != 0);
    if (there) {
        subscriber_remove(there);
        twin->since[who][topic] = 0;
    } else {
        subscriber_add(&twin->who[who], held);
        twin->since[who][topic] = ++twin->clock;
    }
    bool gone = topics_let_go(&twin->topics, held);
    assert_int_equal(gone, subscribers_of(twin, topic) == 0 && twin->holds[topic] == 0);
}

static void check(struct twin *twin) {
    topics_check(&twin->topics);
    uint32_t there = 0;
    for (uint32_t topic = 0; topic < TOPICS; topic++) {
        look(twin, topic);
        there += find(twin, topic) != NULL;
    }
    assert_int_equal(twin->topics.count, there);
    for (uint32_t i = 0; i < SUBSCRIBERS; i++) subscriber_check(&twin->who[i]);
}

static void step(struct twin *twin, uint32_t bias) {
    uint32_t topic = (uint32_t)prng_below(&twin->prng, TOPICS), who = (uint32_t)prng_below(&twin->prng, SUBSCRIBERS);
    bool there = twin->since[who][topic] != 0;
    if (prng_below(&twin->prng, 10) == 0) {
        hold(twin, topic);
        twin->holds[topic]++;
    } else if (twin->holds[topic] && prng_below(&twin->prng, 3) == 0) {
        twin->holds[topic]--;
        topics_let_go(&twin->topics, find(twin, topic));
    } else if (prng_below(&twin->prng, 4) < (there ? 4 - bias : bias)) {
        change(twin, who, topic);
    }
}

static void empty(struct twin *twin) {
    for (uint32_t topic = 0; topic < TOPICS; topic++) {
        for (uint32_t who = 0; who < SUBSCRIBERS; who++)
            if (twin->since[who][topic]) change(twin, who, topic);
        for (; twin->holds[topic]; twin->holds[topic]--) topics_let_go(&twin->topics, find(twin, topic));
    }
}

static void answers_like_a_matrix(void **state) {
    (void)state;
    static struct twin twin;
    uint64_t seed = seed_or(20261127);
    printf("seed %llu\n", (unsigned long long)seed);
    prng_init(&twin.prng, seed);
    twin.heap = heap_new();
    topics_init(&twin.topics, twin.heap);
    for (uint32_t i = 0; i < SUBSCRIBERS; i++) subscriber_init(&twin.who[i], twin.heap, NULL);
    for (uint32_t i = 0; i < 100000; i++) {
        step(&twin, i % 20000 < 10000 ? 3 : 1); /* many, and few */
        if (i % 500 == 0) check(&twin);
    }
    empty(&twin);
    check(&twin);
    assert_int_equal(twin.topics.count, 0);
    for (uint32_t i = 0; i < SUBSCRIBERS; i++) subscriber_deinit(&twin.who[i]);
    topics_deinit(&twin.topics);
    assert_int_equal(heap_used(twin.heap, MEM_PUBSUB), 0);
    heap_delete(twin.heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_like_a_matrix)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
