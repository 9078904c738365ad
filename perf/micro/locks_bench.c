/* Locks: ns per request, entered, taken and left again, as the parts of a transaction do on one shard.
 *
 * "alone": nobody else is there; keys are drawn from a million, their hashes spread. "among": so many other requests
 * of five keys stand in the table, and the oldest leaves as a new one enters. "hot": as many requests wait for one
 * key, and it is handed on. "readers": they share the key. "late": each is older than all that wait for the key;
 * the holder is revoked and yields.
 * Usage: locks_bench [rounds] */
#include "core/assert.h"
#include "core/prng.h"
#include "shards/locks.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { KEYS = 5, OTHERS_MAX = 100000 };

struct asker {
    struct lock_request request;
    struct lock_link links[KEYS];
};

struct bench {
    struct heap *heap;
    struct locks *locks;
    struct prng prng;
    struct asker *askers;
    uint64_t stamp;
};

/* The thread's own time, so that neighbours on a shared machine count less. */
static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct lock_request *prepare(struct bench *b, uint32_t place, uint32_t keys, enum lock_mode mode) {
    struct asker *asker = &b->askers[place];
    asker->request = (struct lock_request){.stamp = ++b->stamp, .links = asker->links, .link_count = keys};
    for (uint32_t i = 0; i < keys; i++) {
        uint64_t id = prng_below(&b->prng, 1000000) * 0x9E3779B97F4A7C15ull;
        asker->links[i] = (struct lock_link){.id = id ^ id >> 29, .mode = (uint8_t)mode};
    }
    return &asker->request;
}

static struct lock_request *prepare_hot(struct bench *b, uint32_t place, enum lock_mode mode) {
    struct lock_request *request = prepare(b, place, 1, mode);
    request->links[0].id = 12345;
    return request;
}

static void take_all(struct bench *b) {
    while (locks_next_granted(b->locks)) continue;
    while (locks_next_revoked(b->locks)) continue;
}

static void leave_all(struct bench *b, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) locks_leave(b->locks, &b->askers[i].request);
}

/* What it costs to draw the keys is measured beside it and taken off. */
static double drawing(struct bench *b, uint32_t keys, uint64_t rounds) {
    double start = now_ns();
    for (uint64_t i = 0; i < rounds; i++) {
        prepare(b, 0, keys, LOCK_EXCLUSIVE);
        __asm__ volatile("" ::"r"(b->askers) : "memory");
    }
    return (now_ns() - start) / (double)rounds;
}

static double alone(struct bench *b, uint32_t keys, uint64_t rounds) {
    double start = now_ns();
    for (uint64_t i = 0; i < rounds; i++) {
        struct lock_request *request = prepare(b, 0, keys, LOCK_EXCLUSIVE);
        locks_enter(b->locks, request);
        ASSERT(locks_next_granted(b->locks) == request);
        locks_leave(b->locks, request);
    }
    return (now_ns() - start) / (double)rounds - drawing(b, keys, rounds);
}

static double among(struct bench *b, uint32_t others, uint64_t rounds) {
    for (uint32_t i = 0; i < others; i++) locks_enter(b->locks, prepare(b, i, KEYS, LOCK_EXCLUSIVE));
    take_all(b);
    double start = now_ns();
    for (uint64_t i = 0; i < rounds; i++) {
        uint32_t place = (uint32_t)(i % others);
        locks_leave(b->locks, &b->askers[place].request);
        locks_enter(b->locks, prepare(b, place, KEYS, LOCK_EXCLUSIVE));
        take_all(b);
    }
    double each = (now_ns() - start) / (double)rounds;
    leave_all(b, others);
    return each - drawing(b, KEYS, rounds);
}

static double hot(struct bench *b, uint32_t others, enum lock_mode mode, uint64_t rounds) {
    for (uint32_t i = 0; i < others; i++) locks_enter(b->locks, prepare_hot(b, i, mode));
    take_all(b);
    double start = now_ns();
    for (uint64_t i = 0; i < rounds; i++) {
        uint32_t place = (uint32_t)(i % others);
        locks_leave(b->locks, &b->askers[place].request);
        locks_enter(b->locks, prepare_hot(b, place, mode));
        take_all(b);
    }
    double each = (now_ns() - start) / (double)rounds;
    leave_all(b, others);
    return each - drawing(b, 1, rounds);
}

static double late(struct bench *b, uint32_t others, uint64_t rounds) {
    b->stamp += rounds;
    for (uint32_t i = 1; i < others; i++) locks_enter(b->locks, prepare_hot(b, i, LOCK_EXCLUSIVE));
    struct lock_request *holder = locks_next_granted(b->locks);
    uint64_t oldest = holder->stamp;
    double start = now_ns();
    for (uint64_t i = 0; i < rounds; i++) {
        struct lock_request *request = prepare_hot(b, 0, LOCK_EXCLUSIVE);
        request->stamp = --oldest;
        locks_enter(b->locks, request);
        ASSERT(locks_next_revoked(b->locks) == holder);
        locks_yield(b->locks, holder);
        ASSERT(locks_next_granted(b->locks) == request);
        locks_leave(b->locks, request);
        ASSERT(locks_next_granted(b->locks) == holder);
    }
    double each = (now_ns() - start) / (double)rounds;
    for (uint32_t i = 1; i < others; i++) locks_leave(b->locks, &b->askers[i].request);
    return each - drawing(b, 1, rounds);
}

static double refuse(struct bench *b, uint64_t rounds) {
    locks_enter(b->locks, prepare(b, 0, KEYS, LOCK_EXCLUSIVE));
    uint64_t allowed = 0;
    double start = now_ns();
    for (uint64_t i = 0; i < rounds; i++)
        allowed += locks_allow(b->locks, i * 0x9E3779B97F4A7C15ull, LOCK_EXCLUSIVE);
    double each = (now_ns() - start) / (double)rounds;
    leave_all(b, 1);
    return allowed == 1 ? 0 : each;
}

int main(int argc, char **argv) {
    uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    struct bench b = {.heap = heap_new(), .askers = calloc(OTHERS_MAX, sizeof(struct asker))};
    prng_init(&b.prng, 1);
    b.locks = locks_new(b.heap);
    for (uint32_t keys = 1; keys <= KEYS; keys += 2) printf("alone, %u keys: %5.0f ns\n", keys, alone(&b, keys, rounds));
    printf("allow, beside a request: %5.1f ns\n", refuse(&b, rounds));
    for (uint32_t others = 10; others <= OTHERS_MAX; others *= 100)
        printf("%6u others: among %5.0f, hot %5.0f, readers %5.0f, late %5.0f ns\n", others, among(&b, others, rounds),
               hot(&b, others, LOCK_EXCLUSIVE, rounds), hot(&b, others, LOCK_SHARED, rounds), late(&b, others, rounds));
    locks_delete(b.locks);
    heap_delete(b.heap);
    free(b.askers);
    return 0;
}
