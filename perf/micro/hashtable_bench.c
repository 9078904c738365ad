/* Hash table: ns per find, insert and remove, and bytes per entry as a table grows.
 *
 * Entries are 40 bytes from the slab and found by a 64-bit key in them, as a shard's keys are. "dependent": the next
 * key is known only when the last entry has been read; "batch 16": prefetch buckets, then entries, then find.
 * Usage: hashtable_bench [largest count] */
#include "core/hashtable_inline.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct entry {
    uint64_t key;
    char value[32];
};

/* The thread's own time, so that neighbours on a shared machine count less. */
static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* murmur3's finaliser: good bits for 2 ns, so that the table is measured and not the hash */
static uint64_t hash_of(uint64_t key) {
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdull;
    key ^= key >> 33;
    key *= 0xc4ceb9fe1a85ec53ull;
    return key ^ key >> 33;
}
static uint64_t rehash(void *ctx, const void *entry) {
    (void)ctx;
    return hash_of(((const struct entry *)entry)->key);
}
static const struct hashtable_type type = {.rehash = rehash};

HOT_INLINE bool same(const void *entry, const void *key) {
    return ((const struct entry *)entry)->key == *(const uint64_t *)key;
}

struct bench {
    struct heap *heap;
    struct slab *slab;
    struct hashtable *table;
    struct prng prng;
    uint64_t count;
};

static void insert(struct bench *b, uint64_t key) {
    struct entry *entry = slab_alloc(b->slab, sizeof *entry);
    entry->key = key;
    hashtable_insert(b->table, hash_of(key), entry, 0);
}

static double find_dependent(struct bench *b, uint64_t finds) {
    uint64_t carry = 0;
    double start = now_ns();
    for (uint64_t i = 0; i < finds; i++) {
        uint64_t key = prng_below(&b->prng, b->count) + carry;
        const struct entry *entry = ht_entry(*ht_find(b->table, hash_of(key), same, &key));
        carry = entry->key >> 63; /* always 0, but the processor does not know */
    }
    return (now_ns() - start) / (double)finds;
}

static double find_batched(struct bench *b, uint64_t finds) {
    uint64_t keys[16], hashes[16], sum = 0;
    double start = now_ns();
    for (uint64_t i = 0; i < finds; i += 16) {
        for (unsigned k = 0; k < 16; k++) {
            keys[k] = prng_below(&b->prng, b->count);
            hashes[k] = hash_of(keys[k]);
            ht_prefetch_bucket(b->table, hashes[k]);
        }
        for (unsigned k = 0; k < 16; k++) ht_prefetch_entry(b->table, hashes[k]);
        for (unsigned k = 0; k < 16; k++)
            sum += ((const struct entry *)ht_entry(*ht_find(b->table, hashes[k], same, &keys[k])))->key;
    }
    double each = (now_ns() - start) / (double)finds;
    return sum == 1 ? 0 : each;
}

static double find_absent(struct bench *b, uint64_t finds) {
    uint64_t found = 0;
    double start = now_ns();
    for (uint64_t i = 0; i < finds; i++) {
        uint64_t key = b->count + 1 + prng_below(&b->prng, 1u << 30) + found;
        found += ht_find(b->table, hash_of(key), same, &key) != NULL;
    }
    return found != 0 ? -1 : (now_ns() - start) / (double)finds;
}

static void run(uint64_t count) {
    struct bench b = {.heap = heap_new(), .count = count};
    prng_init(&b.prng, 1);
    b.slab = slab_new(b.heap, MEM_DATA);
    struct slab *overflow = slab_new(b.heap, MEM_INDEX); /* its own, so that its pages are counted below */
    b.table = hashtable_new(b.heap, overflow, &type, NULL);
    double start = now_ns();
    for (uint64_t key = 0; key < count; key++) insert(&b, key);
    double insert_ns = (now_ns() - start) / (double)count;
    uint64_t finds = count < 100000 ? 2000000 : 4000000;
    double dependent = find_dependent(&b, finds), batched = find_batched(&b, finds), absent = find_absent(&b, finds);
    struct hashtable_stats stats;
    hashtable_stats(b.table, &stats);
    double load = (double)count / (double)stats.buckets;
    double bytes =
        (double)(hashtable_bytes(b.table) + slab_held_bytes(overflow) - slab_used_bytes(overflow)) / (double)count;

    start = now_ns();
    for (uint64_t key = 0; key < count; key++) { /* insertion order, which is random in the table */
        ht_slot *slot = ht_find(b.table, hash_of(key), same, &key);
        struct entry *entry = ht_entry(*slot);
        hashtable_remove(b.table, hash_of(key), slot);
        slab_free(b.slab, entry, sizeof *entry);
    }
    double remove_ns = (now_ns() - start) / (double)count;
    printf("%9llu: find %5.0f, batch of 16 %4.0f, absent %4.0f; insert %4.0f, remove %4.0f ns; "
           "%.2f B/entry, load %.2f, %.1f%% in overflow\n",
           (unsigned long long)count, dependent, batched, absent, insert_ns, remove_ns, bytes, load,
           100 * (double)stats.overflow_entries / (double)count);
    hashtable_delete(b.table, NULL);
    slab_delete(overflow);
    slab_delete(b.slab);
    heap_delete(b.heap);
}

/* Entries that do not exist: the address is the key. */
static uint64_t rehash_address(void *ctx, const void *entry) {
    (void)ctx;
    return hash_of((uint64_t)(uintptr_t)entry / 8 - 1);
}
static const struct hashtable_type by_address = {.rehash = rehash_address};

/* The average and the worst over all sizes in a growing table, read at every half percent. */
static void bytes_over_sizes(uint64_t largest) {
    struct bench b = {.heap = heap_new()};
    struct slab *overflow = slab_new(b.heap, MEM_INDEX);
    b.table = hashtable_new(b.heap, overflow, &by_address, NULL);
    uint64_t next = 100000;
    double sum = 0, worst = 0, best = 1e9;
    unsigned reads = 0;
    for (uint64_t key = 0; key < largest; key++) {
        hashtable_insert(b.table, hash_of(key), (void *)(uintptr_t)(8 + key * 8), 0);
        if (key + 1 != next) continue;
        double bytes =
            (double)(hashtable_bytes(b.table) + slab_held_bytes(overflow) - slab_used_bytes(overflow)) / (double)next;
        sum += bytes, reads++;
        worst = MAX(worst, bytes), best = MIN(best, bytes);
        next += next / 200;
    }
    printf("bytes per entry from 100k to %lluk: mean %.2f, best %.2f, worst %.2f\n", (unsigned long long)largest / 1000,
           sum / reads, best, worst);
    hashtable_delete(b.table, NULL);
    slab_delete(overflow);
    heap_delete(b.heap);
}

int main(int argc, char **argv) {
    uint64_t largest = argc > 1 ? strtoull(argv[1], NULL, 10) : 4000000;
    for (uint64_t count = 1000; count < largest; count = count < 1000000 ? count * 1000 : largest) run(count);
    run(largest);
    bytes_over_sizes(MIN(largest, 4000000ull));
    return 0;
}
