/* Eviction: hit ratios of the policies, and what a victim costs, on one shard without a network.
 *
 * A shard of the real thing is used as a cache of so many keys: a GET; after a miss a SET, and an eviction when there
 * are too many. The loads:
 *
 *    zipf     zipfian 0.99 over a million keys
 *    scan     every other request is for a key that was never asked for and never will be again
 *    loop     every other request goes round and round over half as many keys again as there is room for
 *    change   zipf, but every 2 million requests half of the keys exchange their popularity
 *
 * The best that a fixed set of keys can do on zipf is printed beside it. Time is the thread's own CPU time per
 * eviction: at the end of zipf, a tenth of the keys go one by one. Usage: evict_bench [keys that
 * have room] [requests] */
#include "core/num.h"
#include "shards/cmd_tables.h"
#include "shards/evict.h"
#include "shards/mailbox.h"
#include "shards/shard.h"
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define KEYS 1000000u

enum load { LOAD_ZIPF, LOAD_SCAN, LOAD_LOOP, LOAD_CHANGE, LOADS };
static const char *const load_names[LOADS] = {"zipf", "scan", "loop", "change"};

struct policy {
    const char *name;
    enum config_maxmemory_policy policy;
};
static const struct policy policies[] = {
    {"allkeys-random", MAXMEMORY_ALLKEYS_RANDOM},
    {"allkeys-lru", MAXMEMORY_ALLKEYS_LRU},
    {"allkeys-lfu", MAXMEMORY_ALLKEYS_LFU},
    {"allkeys-lrfu", MAXMEMORY_ALLKEYS_LRFU},
};

struct bench {
    struct config config;
    struct heap *heap; /* of the bench itself */
    struct shard *shard;
    struct command_registry *registry;
    struct log log;
    struct prng prng;
    double *cumulated; /* probability that a rank is at most this one */
    uint32_t *names;   /* of ranks */
    uint64_t room, requests, now_ns, fresh;
};

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void make_zipf(struct bench *bench) {
    double sum = 0;
    bench->cumulated = malloc(KEYS * sizeof *bench->cumulated);
    bench->names = malloc(KEYS * sizeof *bench->names);
    for (uint32_t i = 0; i < KEYS; i++) {
        bench->cumulated[i] = sum += pow(i + 1, -0.99);
        bench->names[i] = i;
    }
    for (uint32_t i = 0; i < KEYS; i++) bench->cumulated[i] /= sum;
}

static uint32_t draw(struct bench *bench) {
    double chance = prng_double(&bench->prng);
    uint32_t from = 0, to = KEYS - 1;
    while (from < to) {
        uint32_t middle = (from + to) / 2;
        if (bench->cumulated[middle] < chance)
            from = middle + 1;
        else
            to = middle;
    }
    return bench->names[from];
}

static uint64_t next_key(struct bench *bench, enum load load, uint64_t i) {
    if (load == LOAD_SCAN && i % 2) return KEYS + bench->fresh++;
    if (load == LOAD_LOOP && i % 2) return KEYS + bench->fresh++ % (bench->room * 3 / 2);
    if (load == LOAD_CHANGE && i % 2000000 == 1999999)
        for (uint32_t k = 0; k < KEYS / 2; k++) {
            uint32_t other = (uint32_t)prng_below(&bench->prng, KEYS), name = bench->names[other];
            bench->names[other] = bench->names[k * 2];
            bench->names[k * 2] = name;
        }
    return draw(bench);
}

/* --- the shard --- */

static void ignore_wake(void *ctx, uint32_t to) {
    (void)ctx;
    (void)to;
}
static void ignore_attend(void *ctx, struct client *client) {
    (void)ctx;
    (void)client;
}
static uint64_t no_ticks(void *ctx) {
    (void)ctx;
    return 0;
}

static void open_shard(struct bench *bench, enum config_maxmemory_policy policy) {
    static const struct command *const tables[] = {string_commands, NULL};
    config_init(&bench->config);
    bench->config.maxmemory_policy = policy;
    bench->registry = command_registry_new(bench->heap, tables);
    struct shard_options options = {
        .count = 1,
        .db_count = 1,
        .hash_seed = {1, 2},
        .random_seed = 3,
        .host = {.wake = ignore_wake, .attend = ignore_attend, .ticks = no_ticks, .tick_ns = 1},
        .registry = bench->registry,
        .config = &bench->config,
        .log = &bench->log,
        .outbox = (struct mailbox *[]){NULL},
        .inbox = (struct mailbox *[]){NULL},
        .pending = (_Atomic uint64_t *[]){NULL},
    };
    bench->shard = shard_new(&options);
    bench->now_ns = bench->fresh = 0;
    prng_init(&bench->prng, 1);
}

static void close_shard(struct bench *bench) {
    shard_drop_messages(bench->shard);
    shard_delete(bench->shard);
    command_registry_delete(bench->registry, bench->heap);
}

struct result {
    uint64_t hits, counted;
    double evict_ns;
};

/* True: it was there. */
static bool request(struct bench *bench, uint64_t number) {
    static const char value[64];
    char name[24];
    struct slice key = slice_of(name, num_format_u64(name, number));
    struct keyspace *keys = shard_db(bench->shard, 0);
    struct key_ref ref;
    uint64_t hash = key_hash(&bench->shard->shared, key);
    if (keyspace_read(keys, key, hash, false, &ref)) return true;
    if (keyspace_count(keys) >= bench->room) evict_some(bench->shard, 1, 1);
    keyspace_open(keys, key, hash, &ref);
    keyspace_put_string(keys, &ref, slice_of(value, sizeof value), 0, false);
    return false;
}

static struct result play(struct bench *bench, enum load load) {
    struct result result = {0};
    for (uint64_t i = 0; i < bench->requests; i++) {
        if (i % 128 == 0) {
            bench->now_ns += 128 * 1000000ull / 200; /* 200,000 requests a second */
            shard_turn_begin(bench->shard, bench->now_ns, 1700000000000ull + bench->now_ns / 1000000);
        }
        bool hit = request(bench, next_key(bench, load, i));
        if (i < bench->requests / 2) continue;
        result.counted++;
        result.hits += hit;
    }
    double start = cpu_ns();
    for (uint64_t i = 0; i < bench->room / 10; i++) evict_some(bench->shard, 1, 1);
    result.evict_ns = (cpu_ns() - start) / (double)(bench->room / 10);
    return result;
}

int main(int argc, char **argv) {
    struct bench *bench = calloc(1, sizeof *bench);
    bench->room = argc > 1 ? strtoull(argv[1], NULL, 10) : 240000;
    bench->requests = argc > 2 ? strtoull(argv[2], NULL, 10) : 8000000;
    bench->heap = heap_new();
    make_zipf(bench);
    printf("%llu keys; the best that a fixed set of them does on zipf is %.4f\n", (unsigned long long)bench->room,
           bench->cumulated[MIN(bench->room, (uint64_t)KEYS) - 1]);
    for (unsigned p = 0; p < ARRAY_LEN(policies); p++) {
        printf("%-16s", policies[p].name);
        for (enum load load = 0; load < LOADS; load++) {
            open_shard(bench, policies[p].policy);
            struct result r = play(bench, load);
            printf("%s %.4f  ", load_names[load], (double)r.hits / (double)r.counted);
            if (load == LOAD_ZIPF) printf("(%.0f ns per eviction)  ", r.evict_ns);
            fflush(stdout);
            close_shard(bench);
        }
        printf("\n");
    }
    return 0;
}
