/* Pub/sub over several shards, each turn where a seeded scheduler puts it, with small mailboxes
 * (tests/support/machine.h).
 *
 * Proves   with everybody at once: all replies of PUBLISH together are the number of messages that all subscribers got;
 *          what one publisher sent comes in its order; a client gets nothing outside of its acknowledgements; when all
 *          is quiet, a PUBLISH reaches exactly those who subscribe; what the shards know of each other is true when
 *          nobody subscribes any more, and nothing is left. Large messages, which subscribers share, come whole and in
 *          their place among small ones; what a RESP3 subscriber asks meanwhile is answered in order.
 * How      subscribers and publishers get random scripts, which run together; their streams are read afterwards.
 *
 * Also     what goes one way to a thread that is far behind is dropped and counted, and what comes later arrives.
 *
 * SHERD_SEED runs one seed only, SHERD_ROUNDS says how many; a failure prints the seed. */
#include "core/num.h"
#include "shards/exec.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SUBSCRIBERS 6
#define PUBLISHERS  4
#define CHANNELS    6
#define PATTERNS    4
#define MIB         ((size_t)1 << 20)

static const char *const patterns[PATTERNS] = {"c*", "c[0-2]", "nosuch", "c5"};

struct round {
    struct sim *sim;
    struct prng prng;
    struct peer *subscriber[SUBSCRIBERS], *publisher[PUBLISHERS];
    size_t read[SUBSCRIBERS + PUBLISHERS]; /* of what a peer has got */
    uint64_t sent[PUBLISHERS];             /* numbers its messages */
    uint64_t received, replied;
    /* of each subscriber, as its acknowledgements say */
    bool channel[SUBSCRIBERS][CHANNELS], pattern[SUBSCRIBERS][PATTERNS];
    uint64_t latest[SUBSCRIBERS][PUBLISHERS];
    uint64_t counted[SUBSCRIBERS]; /* by the subscriber's own commands, as their replies say */
};

static uint64_t below(struct round *round, uint64_t bound) {
    return prng_below(&round->prng, bound);
}

static void say(struct peer *peer, const char *first, const char *second, const char *third) {
    struct slice argv[3] = {slice_of_cstr(first), slice_of_cstr(second), slice_of_cstr(third ? third : "")};
    struct buf bytes;
    buf_init(&bytes, sim_heap(peer->sim), MEM_CLIENT_OUT);
    resp_command(&bytes, argv, third ? 3 : 2);
    sim_say(peer, bytes.data, bytes.len);
    buf_deinit(&bytes);
}

/* --- reading what they got --- */

static uint32_t number_in(struct slice name) {
    return (uint32_t)(name.ptr[name.len - 1] - '0');
}

static uint32_t pattern_in(struct slice name) {
    for (uint32_t i = 0; i < PATTERNS; i++)
        if (slice_equal(name, slice_of_cstr(patterns[i]))) return i;
    assert_true(false);
    return 0;
}

static struct slice text_in(struct slice *rest) {
    struct slice element = *rest, text;
    size_t size = resp_skip(element);
    assert_true(size > 0 && element.ptr[0] == '$');
    const char *end = memchr(element.ptr, '\n', size);
    text = slice_of(end + 1, size - (size_t)(end + 1 - element.ptr) - 2);
    *rest = slice_of(rest->ptr + size, rest->len - size);
    return text;
}

#define PAYLOAD_MAX 70000

static char letter_of(uint64_t number) {
    return (char)('a' + number % 26);
}

/* "publisher:number:" and letters of the number. Overlapping subscriptions bring a message several times in a row. */
static void take_message(struct round *round, uint32_t who, struct slice payload) {
    uint32_t from = (uint32_t)(payload.ptr[0] - '0');
    char *end;
    uint64_t number = strtoull(payload.ptr + 2, &end, 10);
    assert_int_equal(*end, ':');
    while (++end < payload.ptr + payload.len) assert_int_equal(*end, letter_of(number));
    assert_true(number >= round->latest[who][from]);
    round->latest[who][from] = number;
    round->received++;
}

static void take_frame(struct round *round, uint32_t who, struct slice frame) {
    if (frame.ptr[0] == ':') {
        assert_int_equal(strtoull(frame.ptr + 1, NULL, 10), ++round->counted[who]);
        return;
    }
    assert_int_equal(frame.ptr[0], round->subscriber[who]->client.resp == 3 ? '>' : '*');
    struct slice rest = slice_of(frame.ptr + 4, frame.len - 4);
    struct slice what = text_in(&rest), name = text_in(&rest);
    if (slice_is(what, "message")) {
        assert_true(round->channel[who][number_in(name)]);
        take_message(round, who, text_in(&rest));
    } else if (slice_is(what, "pmessage")) {
        assert_true(round->pattern[who][pattern_in(name)]);
        (void)text_in(&rest);
        take_message(round, who, text_in(&rest));
    } else {
        bool by_pattern = what.ptr[0] == 'p';
        bool *which = by_pattern ? &round->pattern[who][pattern_in(name)] : &round->channel[who][number_in(name)];
        *which = what.ptr[by_pattern] == 's';
    }
}

static void read_all(struct round *round) {
    for (uint32_t i = 0; i < SUBSCRIBERS + PUBLISHERS; i++) {
        const struct peer *peer = i < SUBSCRIBERS ? round->subscriber[i] : round->publisher[i - SUBSCRIBERS];
        if (!peer) continue;
        while (round->read[i] < peer->got.len) {
            struct slice rest = slice_of(peer->got.data + round->read[i], peer->got.len - round->read[i]);
            size_t size = resp_skip(rest);
            assert_true(size > 0);
            if (i < SUBSCRIBERS)
                take_frame(round, i, slice_of(rest.ptr, size));
            else
                round->replied += strtoull(rest.ptr + 1, NULL, 10);
            round->read[i] += size;
        }
    }
}

/* --- what they do --- */

static void subscribe_at_random(struct round *round, uint32_t who) {
    static const char *const verbs[2][2] = {{"UNSUBSCRIBE", "SUBSCRIBE"}, {"PUNSUBSCRIBE", "PSUBSCRIBE"}};
    char channel[] = {'c', (char)('0' + below(round, CHANNELS)), 0};
    bool by_pattern = below(round, 3) == 0;
    const char *name = by_pattern ? patterns[below(round, PATTERNS)] : channel;
    say(round->subscriber[who], verbs[by_pattern][below(round, 2)], name, NULL);
}

static void publish(struct round *round, uint32_t who, const char *channel) {
    static char payload[PAYLOAD_MAX + 40];
    uint64_t number = ++round->sent[who];
    size_t letters = (size_t)below(round, below(round, 12) ? 100 : PAYLOAD_MAX);
    int head = snprintf(payload, sizeof payload, "%u:%" PRIu64 ":", who, number);
    memset(payload + head, letter_of(number), letters);
    payload[(size_t)head + letters] = 0;
    say(round->publisher[who], "PUBLISH", channel, payload);
}

static void publish_at_random(struct round *round, uint32_t who) {
    char channel[] = {'c', (char)('0' + below(round, CHANNELS)), 0};
    publish(round, who, channel);
}

/* Something that is done elsewhere, mostly, so that it is outstanding while messages come. */
static void count_at_random(struct round *round, uint32_t who) {
    char key[] = {'n', (char)('0' + who), 0};
    if (round->subscriber[who]->client.resp == 3) say(round->subscriber[who], "INCR", key, NULL);
}

/* Some do not read for a while. */
static void stall_at_random(struct round *round) {
    for (uint32_t i = 0; i < SUBSCRIBERS; i++) round->subscriber[i]->stalled = below(round, 3) == 0;
    for (uint64_t n = below(round, 400); n > 0; n--) sim_step(round->sim);
    sim_check(round->sim);
    for (uint32_t i = 0; i < SUBSCRIBERS; i++) round->subscriber[i]->stalled = false;
}

static void everybody_at_once(struct round *round) {
    for (uint32_t i = 0; i < SUBSCRIBERS; i++)
        for (uint64_t n = below(round, 30); n > 0; n--) {
            subscribe_at_random(round, i);
            count_at_random(round, i);
        }
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        for (uint64_t n = below(round, 60); n > 0; n--) publish_at_random(round, i);
    stall_at_random(round);
    assert_true(sim_settle(round->sim, 1000000));
    sim_check(round->sim);
    read_all(round);
    assert_int_equal(round->received, round->replied);
}

/* Nothing is under way: it reaches whoever said so. */
static void one_after_the_other(struct round *round) {
    for (uint32_t n = 0; n < 10; n++) {
        char channel[] = {'c', (char)('0' + below(round, CHANNELS)), 0};
        uint32_t who = (uint32_t)below(round, PUBLISHERS);
        uint64_t wanted = round->received;
        for (uint32_t i = 0; i < SUBSCRIBERS; i++) {
            wanted += round->channel[i][channel[1] - '0'] + round->pattern[i][0];
            wanted += round->pattern[i][1] && channel[1] < '3';
            wanted += round->pattern[i][3] && channel[1] == '5';
        }
        publish(round, who, channel);
        assert_true(sim_settle(round->sim, 1000000));
        read_all(round);
        assert_int_equal(round->received, wanted);
        assert_int_equal(round->received, round->replied);
    }
}

/* Subscribers vanish while messages are on their way to them; all is forgotten. */
static void everybody_leaves(struct round *round) {
    for (uint32_t i = 0; i < SUBSCRIBERS; i++) {
        subscribe_at_random(round, i);
        for (uint32_t who = 0; who < PUBLISHERS; who++) publish_at_random(round, who);
        for (uint64_t n = below(round, 20); n > 0; n--) sim_step(round->sim);
        sim_vanish(round->subscriber[i]);
        round->subscriber[i] = NULL;
    }
    assert_true(sim_settle(round->sim, 1000000));
    sim_check_idle(round->sim);
    for (uint32_t i = 0; i < sim_shard_count(round->sim); i++)
        assert_true(pubsub_is_idle(&sim_shard(round->sim, i)->pubsub));
}

static void play(uint64_t seed) {
    struct round round = {0};
    prng_init(&round.prng, seed);
    struct sim_options options = {.shards = 1 + (uint32_t)below(&round, 8),
                                  .mailbox_capacity = 2u << below(&round, 4),
                                  .db_count = 1,
                                  .seed = seed,
                                  .gated = below(&round, 4) == 0};
    round.sim = sim_new(&options);
    for (uint32_t i = 0; i < SUBSCRIBERS; i++) {
        round.subscriber[i] = sim_connect(round.sim, (uint32_t)below(&round, options.shards));
        if (below(&round, 2)) round.subscriber[i]->client.resp = 3;
    }
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        round.publisher[i] = sim_connect(round.sim, (uint32_t)below(&round, options.shards));
    sim_set_lazy(round.sim, below(&round, 1ull << options.shards));
    for (uint32_t n = 0; n < 4; n++) {
        everybody_at_once(&round);
        one_after_the_other(&round);
    }
    everybody_leaves(&round);
    sim_delete(round.sim);
}

static void subscribers_get_what_is_published(void **state) {
    (void)state;
    const char *text = getenv("SHERD_ROUNDS");
    uint64_t rounds = seed_given() ? 1 : text ? strtoull(text, NULL, 10) : 150;
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t seed = seed_or(20261127 + i);
        printf("\rseed %" PRIu64 " ", seed);
        fflush(stdout);
        play(seed);
    }
    printf("\n");
}

static void a_thread_that_is_behind_is_sent_no_more(void **state) {
    (void)state;
    struct sim *sim = sim_new(&(struct sim_options){.shards = 2, .mailbox_capacity = 4, .db_count = 1, .seed = 1});
    struct pubsub *pubsub = &sim_shard(sim, 0)->pubsub;
    struct peer *listener = sim_connect(sim, 1);
    say(listener, "SUBSCRIBE", "c0", NULL);
    assert_true(sim_settle(sim, 1000000));
    struct slice large = slice_of(calloc(1, MIB), MIB);
    for (uint32_t n = 0; n < NOTIFY_BEHIND_MAX / MIB + 8; n++)
        pubsub_send(sim_shard(sim, 0), 1, TOPIC_CHANNEL, SLICE("c1"), large);
    free((void *)(uintptr_t)large.ptr);
    assert_int_equal(pubsub->events_dropped, 8);
    assert_in_range(pubsub->behind[1], NOTIFY_BEHIND_MAX, NOTIFY_BEHIND_MAX + MIB);
    assert_true(sim_settle(sim, 1000000));
    assert_int_equal(pubsub->behind[1], 0);
    size_t before = listener->got.len;
    pubsub_send(sim_shard(sim, 0), 1, TOPIC_CHANNEL, SLICE("c0"), SLICE("later"));
    assert_true(sim_settle(sim, 1000000));
    assert_true(listener->got.len > before);
    assert_int_equal(pubsub->events_dropped, 8);
    sim_vanish(listener);
    assert_true(sim_settle(sim, 1000000));
    sim_delete(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(subscribers_get_what_is_published),
                                       cmocka_unit_test(a_thread_that_is_behind_is_sent_no_more)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
