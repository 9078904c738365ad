/* Keyspace: random operations against a naive map with a clock that is moved by hand. After each step the key touched
 * is compared, and every so often everything: counts, deadlines, values, a whole scan. At the end no byte is left in
 * any class but the index. SHERD_SEED and SHERD_STEPS set seed and length; a failure prints the seed. */
#include "core/config.h"
#include "core/num.h"
#include "shards/keyspace.h"
#include "shards/reaper.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define START_MS 1700000000000ull

struct world {
    struct heap *heap;
    struct keyspace_shared shared;
    struct keyspace *keyspace;
    struct prng prng;
};

static void world_init(struct world *world, uint64_t seed) {
    *world = (struct world){.heap = heap_new()};
    world->shared.store = (struct store){.heap = world->heap, .slab = slab_new(world->heap, MEM_DATA)};
    world->shared.seed = (struct hash_seed){seed, 2};
    world->shared.reaper = reaper_new(&world->shared.store);
    world->shared.store.later = reaper_port(world->shared.reaper);
    world->shared.list_rule = quicklist_rule_of(-2);
    world->shared.now_ms = START_MS;
    world->keyspace = keyspace_new(&world->shared, 0);
    prng_init(&world->prng, seed);
}

static void world_deinit(struct world *world) {
    reaper_delete(world->shared.reaper);
    world->shared.store.later = (struct store_later){0};
    keyspace_delete(world->keyspace);
    assert_int_equal(slab_used_bytes(world->shared.store.slab), 0);
    slab_delete(world->shared.store.slab);
    for (int i = 0; i < MEM_CLASSES; i++) assert_int_equal(heap_used(world->heap, (enum mem_class)i), 0);
    heap_delete(world->heap);
}

static struct entry *open_key(struct world *world, struct slice key, struct key_ref *ref) {
    return keyspace_open(world->keyspace, key, key_hash(&world->shared, key), ref);
}

static void put(struct world *world, const char *key, struct slice value, uint64_t deadline_ms) {
    struct key_ref ref;
    open_key(world, slice_of_cstr(key), &ref);
    keyspace_put_string(world->keyspace, &ref, value, deadline_ms, true);
}

/* --- the naive twin --- */

#define KEYS 700

struct twin_value {
    char *bytes; /* NULL: absent */
    size_t len;
    uint64_t deadline_ms;
};

struct twin {
    struct twin_value values[KEYS];
};

static bool is_live(const struct twin *twin, uint32_t key, uint64_t now_ms) {
    const struct twin_value *value = &twin->values[key];
    return value->bytes && (!value->deadline_ms || value->deadline_ms > now_ms);
}

static void twin_drop(struct twin *twin, uint32_t key) {
    free(twin->values[key].bytes);
    twin->values[key] = (struct twin_value){0};
}

static void twin_put(struct twin *twin, uint32_t key, struct slice bytes, uint64_t deadline_ms) {
    char *copy = malloc(bytes.len + 1);
    if (bytes.len) memcpy(copy, bytes.ptr, bytes.len);
    twin_drop(twin, key);
    twin->values[key] = (struct twin_value){copy, bytes.len, deadline_ms};
}

/* Some keys are long: beyond 255 bytes the entry has another layout. */
static struct slice key_of(uint32_t number, char out[400]) {
    size_t len = (size_t)snprintf(out, 400, "key:%u:", number);
    size_t want = number % 17 == 0 ? 260 + number % 100 : number % 5 == 0 ? 40 + number % 30 : len;
    while (len < want) out[len++] = 'k';
    return slice_of(out, len);
}

/* --- steps --- */

struct test {
    struct world world;
    struct twin twin;
    uint64_t seed;
    char *scratch;
};
#define SCRATCH (3 * 1024 * 1024)

static struct slice random_value(struct test *test) {
    struct prng *prng = &test->world.prng;
    size_t len;
    switch (prng_below(prng, 12)) {
    case 0: len = prng_below(prng, 300); break;
    case 1: len = 3900 + prng_below(prng, 300); break;                                    /* around ENTRY_EMBED_MAX */
    case 2: len = prng_below(prng, 60) ? 10 : 1000000 + prng_below(prng, 1500000); break; /* the reaper's */
    case 3: return slice_of(test->scratch, (size_t)sprintf(test->scratch, "%" PRId64, (int64_t)prng_next(prng)));
    default: len = prng_below(prng, 40); break;
    }
    memset(test->scratch, (int)('a' + prng_below(prng, 26)), len);
    return slice_of(test->scratch, len);
}

static uint64_t random_deadline(struct test *test) {
    uint64_t now_ms = test->world.shared.now_ms;
    switch (prng_below(&test->world.prng, 4)) {
    case 0: return now_ms + 1 + prng_below(&test->world.prng, 3000);
    case 1: return now_ms + 1 + prng_below(&test->world.prng, 1000000);
    default: return 0;
    }
}

static void compare_key(struct test *test, uint32_t number, const char *when) {
    char text[400], scratch[ENTRY_SCRATCH];
    struct key_ref ref;
    struct entry *entry = open_key(&test->world, key_of(number, text), &ref);
    bool live = is_live(&test->twin, number, test->world.shared.now_ms);
    const struct twin_value *want = &test->twin.values[number];
    if ((entry != NULL) != live) fail_msg("seed %" PRIu64 ", %s: key %u is there: %d", test->seed, when, number, !live);
    if (!live) {
        twin_drop(&test->twin, number); /* opening deletes what has expired */
        return;
    }
    struct slice value = entry_string(entry, scratch);
    bool same = slice_equal(value, slice_of(want->bytes, want->len)) && entry_deadline_ms(entry) == want->deadline_ms;
    if (!same || !slice_equal(entry_key(entry), ref.key))
        fail_msg("seed %" PRIu64 ", %s: key %u differs", test->seed, when, number);
}

static void step_edit(struct test *test, uint32_t number, struct key_ref *ref) {
    struct twin_value *value = &test->twin.values[number];
    size_t len = value->len + prng_below(&test->world.prng, 5) * prng_below(&test->world.prng, 2000);
    char *bytes = keyspace_edit_string(test->world.keyspace, ref, len);
    assert_non_null(bytes);
    assert_memory_equal(bytes, value->bytes, value->len);
    for (size_t i = value->len; i < len; i++) assert_int_equal(bytes[i], 0);
    value->bytes = realloc(value->bytes, len + 1);
    memset(value->bytes + value->len, 0, len - value->len);
    if (len) bytes[len - 1] = value->bytes[len - 1] = '!';
    value->len = len;
}

static void step_copy(struct test *test, uint32_t from, uint32_t to) {
    if (from == to || !is_live(&test->twin, from, test->world.shared.now_ms)) return;
    char texts[2][400];
    struct key_ref refs[2];
    open_key(&test->world, key_of(to, texts[1]), &refs[1]); /* first: it may delete */
    open_key(&test->world, key_of(from, texts[0]), &refs[0]);
    uint64_t deadline_ms = random_deadline(test);
    keyspace_put_copy(test->world.keyspace, &refs[1], refs[0].entry, deadline_ms);
    struct twin_value *value = &test->twin.values[from];
    twin_put(&test->twin, to, slice_of(value->bytes, value->len), deadline_ms);
    compare_key(test, to, "copy");
}

static void step(struct test *test) {
    struct world *world = &test->world;
    struct prng *prng = &world->prng;
    uint32_t number = (uint32_t)prng_below(prng, KEYS);
    char text[400];
    struct key_ref ref;
    struct entry *entry = open_key(world, key_of(number, text), &ref);
    if (!entry) twin_drop(&test->twin, number);
    uint64_t deadline_ms = random_deadline(test);
    switch (prng_below(prng, 12)) {
    case 0:
    case 1:
    case 2:
    case 3: {
        struct slice value = random_value(test);
        keyspace_put_string(world->keyspace, &ref, value, deadline_ms, prng_below(prng, 2));
        twin_put(&test->twin, number, value, deadline_ms);
        break;
    }
    case 4: {
        char digits[32];
        int64_t n = (int64_t)prng_next(prng);
        if (entry && test->twin.values[number].len > 100) break; /* never done to what is no number */
        keyspace_put_int(world->keyspace, &ref, n);
        size_t len = (size_t)snprintf(digits, sizeof digits, "%" PRId64, n);
        twin_put(&test->twin, number, slice_of(digits, len), test->twin.values[number].deadline_ms);
        break;
    }
    case 5:
    case 6:
        if (entry) step_edit(test, number, &ref);
        break;
    case 7:
        if (!entry) break;
        keyspace_set_deadline(world->keyspace, &ref, deadline_ms);
        test->twin.values[number].deadline_ms = deadline_ms;
        break;
    case 8:
    case 9:
        if (!entry) break;
        keyspace_remove(world->keyspace, &ref);
        assert_null(ref.entry);
        twin_drop(&test->twin, number);
        break;
    case 10: step_copy(test, number, (uint32_t)prng_below(prng, KEYS)); return;
    default: { /* a read */
        uint64_t hits = world->shared.hits, misses = world->shared.misses;
        struct slice key = key_of(number, text);
        keyspace_read(world->keyspace, key, key_hash(&world->shared, key), false, &ref);
        assert_int_equal(world->shared.hits, hits + (entry != NULL));
        assert_int_equal(world->shared.misses, misses + (entry == NULL));
    }
    }
    if (ref.entry) assert_true(slice_equal(entry_key(ref.entry), key_of(number, text))); /* kept current */
    compare_key(test, number, "step");
}

static void count_visit(void *ctx, struct entry *entry) {
    uint32_t *seen = ctx;
    int64_t number;
    struct slice key = entry_key(entry);
    const char *end = memchr(key.ptr + 4, ':', key.len - 4);
    assert_non_null(end);
    assert_true(num_parse_i64(slice_of(key.ptr + 4, (size_t)(end - key.ptr - 4)), &number));
    seen[number]++;
}

static void compare_all(struct test *test) {
    struct world *world = &test->world;
    keyspace_check(world->keyspace);
    uint32_t *seen = calloc(KEYS, sizeof *seen);
    uint64_t cursor = 0, now_ms = world->shared.now_ms;
    do cursor = keyspace_scan(world->keyspace, cursor, count_visit, seen);
    while (cursor);
    for (uint32_t key = 0; key < KEYS; key++)
        if ((seen[key] > 0) != is_live(&test->twin, key, now_ms))
            fail_msg("seed %" PRIu64 ": scan and key %u", test->seed, key);
    free(seen);
    for (uint32_t key = 0; key < KEYS; key++) compare_key(test, key, "all");
    uint64_t count = 0, timed = 0; /* nothing expired is left after all were opened */
    for (uint32_t key = 0; key < KEYS; key++) {
        count += test->twin.values[key].bytes != NULL;
        timed += test->twin.values[key].deadline_ms != 0;
    }
    assert_int_equal(keyspace_count(world->keyspace), count);
    assert_int_equal(keyspace_timed_count(world->keyspace), timed);
    struct entry *entry = keyspace_random(world->keyspace, &world->prng);
    assert_int_equal(entry != NULL, count != 0);
}

static void background(struct test *test) {
    struct world *world = &test->world;
    struct prng *prng = &world->prng;
    switch (prng_below(prng, 6)) {
    case 0: keyspace_expire_some(world->keyspace, 1 + (unsigned)prng_below(prng, 64)); break;
    case 1: keyspace_resize_some(world->keyspace, 1 + (unsigned)prng_below(prng, 64)); break;
    case 2: reaper_step(world->shared.reaper, 1 + (unsigned)prng_below(prng, 3)); break;
    case 3: world->shared.now_ms += prng_below(prng, 500); break;
    case 4: {
        struct entry *entry = keyspace_random(world->keyspace, prng);
        uint32_t *seen = calloc(KEYS, sizeof *seen);
        if (entry) count_visit(seen, entry);
        for (uint32_t key = 0; key < KEYS; key++)
            if (seen[key]) assert_true(is_live(&test->twin, key, world->shared.now_ms));
        free(seen);
        break;
    }
    default:
        if (prng_below(prng, 300)) break;
        keyspace_clear(world->keyspace);
        for (uint32_t key = 0; key < KEYS; key++) twin_drop(&test->twin, key);
        assert_int_equal(keyspace_count(world->keyspace), 0);
        assert_int_equal(keyspace_timed_count(world->keyspace), 0);
    }
}

static uint64_t setting(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void model(void **state) {
    (void)state;
    uint64_t steps = setting("SHERD_STEPS", 40000);
    struct test *test = calloc(1, sizeof *test);
    test->seed = seed_or(1);
    test->scratch = malloc(SCRATCH);
    world_init(&test->world, test->seed);
    for (uint64_t i = 0; i < steps; i++) {
        step(test);
        if (i % 4 == 0) background(test);
        if (i % 2000 == 0) compare_all(test);
    }
    compare_all(test);
    for (uint32_t key = 0; key < KEYS; key++) twin_drop(&test->twin, key);
    world_deinit(&test->world);
    free(test->scratch);
    free(test);
}

/* --- single facts --- */

static void deadlines_are_exact(void **state) {
    (void)state;
    struct world world;
    struct key_ref ref;
    world_init(&world, 1);
    put(&world, "k", SLICE("v"), START_MS + 5);
    world.shared.now_ms = START_MS + 4;
    assert_non_null(open_key(&world, SLICE("k"), &ref));
    assert_int_equal(keyspace_count(world.keyspace), 1);
    world.shared.now_ms = START_MS + 5; /* reached is passed */
    assert_null(open_key(&world, SLICE("k"), &ref));
    assert_null(ref.slot);
    assert_int_equal(world.shared.expired, 1);
    assert_int_equal(keyspace_count(world.keyspace), 0);
    put(&world, "far", SLICE("v"), UINT64_MAX); /* clamped in the summaries, not in the entry */
    assert_int_equal(entry_deadline_ms(open_key(&world, SLICE("far"), &ref)), UINT64_MAX);
    assert_false(keyspace_expire_some(world.keyspace, 10));
    assert_non_null(open_key(&world, SLICE("far"), &ref));
    world_deinit(&world);
}

/* Expired keys leave the count by expire_some alone, within a second, whatever else is in the table. */
static void expired_keys_vanish_within_a_second(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    struct world world;
    world_init(&world, 3);
    uint64_t *deadlines = calloc(COUNT, sizeof *deadlines);
    for (uint32_t i = 0; i < COUNT; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%u", i);
        deadlines[i] = i % 2 ? START_MS + 1 + prng_below(&world.prng, 20000) : 0;
        put(&world, key, SLICE("value"), deadlines[i]);
    }
    for (uint64_t ms = 100; ms <= 23000; ms += 50) {
        world.shared.now_ms = START_MS + ms;
        for (int calls = 0; calls < 100 && keyspace_expire_some(world.keyspace, 64); calls++) continue;
        uint64_t overdue = 0, left = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            bool late = deadlines[i] && deadlines[i] + 1050 <= world.shared.now_ms;
            overdue += late;
            left += !late;
        }
        assert_true(keyspace_count(world.keyspace) <= left);
        assert_true(world.shared.expired >= overdue);
    }
    assert_int_equal(keyspace_count(world.keyspace), COUNT / 2);
    assert_int_equal(keyspace_timed_count(world.keyspace), 0);
    assert_int_equal(keyspace_next_deadline_s(world.keyspace), UINT32_MAX);
    free(deadlines);
    world_deinit(&world);
}

/* A deadline that moved later is not obeyed early; one that was taken away never. */
static void moved_deadlines(void **state) {
    (void)state;
    struct world world;
    struct key_ref ref;
    world_init(&world, 4);
    put(&world, "later", SLICE("v"), START_MS + 1000);
    put(&world, "never", SLICE("v"), START_MS + 1000);
    put(&world, "sooner", SLICE("v"), START_MS + 100000);
    open_key(&world, SLICE("later"), &ref);
    keyspace_set_deadline(world.keyspace, &ref, START_MS + 50000);
    open_key(&world, SLICE("never"), &ref);
    keyspace_set_deadline(world.keyspace, &ref, 0);
    open_key(&world, SLICE("sooner"), &ref);
    keyspace_set_deadline(world.keyspace, &ref, START_MS + 2000);
    world.shared.now_ms = START_MS + 3000;
    while (keyspace_expire_some(world.keyspace, 64)) continue;
    assert_int_equal(keyspace_count(world.keyspace), 2);
    assert_int_equal(keyspace_timed_count(world.keyspace), 1);
    world.shared.now_ms = START_MS + 51000;
    while (keyspace_expire_some(world.keyspace, 64)) continue;
    assert_int_equal(keyspace_count(world.keyspace), 1);
    assert_non_null(open_key(&world, SLICE("never"), &ref));
    world_deinit(&world);
}

/* The estimate is exact when all deadlines are equal, near when they are spread, and 0 without deadlines. */
static void time_left_is_estimated(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 7);
    assert_int_equal(keyspace_ttl_sum_ms(world.keyspace), 0);
    put(&world, "never", SLICE("v"), 0);
    assert_int_equal(keyspace_ttl_sum_ms(world.keyspace), 0);
    put(&world, "once", SLICE("v"), START_MS + 5000);
    assert_int_equal(keyspace_ttl_sum_ms(world.keyspace), 5000);
    world.shared.now_ms = START_MS + 1000;
    assert_int_equal(keyspace_ttl_sum_ms(world.keyspace), 4000);
    world.shared.now_ms = START_MS + 6000; /* due and not yet deleted */
    assert_int_equal(keyspace_ttl_sum_ms(world.keyspace), 0);
    keyspace_clear(world.keyspace);
    enum { COUNT = 10000 };
    for (uint32_t i = 0; i < COUNT; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%u", i);
        put(&world, key, SLICE("v"), world.shared.now_ms + 100000 + i);
    }
    uint64_t average_ms = keyspace_ttl_sum_ms(world.keyspace) / COUNT;
    assert_true(average_ms >= 100000 && average_ms < 100000 + COUNT);
    world_deinit(&world);
}

/* Random keys are live ones, even when most have expired. */
static void random_is_never_expired(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 5);
    for (int i = 0; i < 300; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%d", i);
        put(&world, key, SLICE("v"), i % 10 ? START_MS + 10 : 0);
    }
    world.shared.now_ms = START_MS + 10;
    for (int i = 0; i < 300; i++) {
        struct entry *entry = keyspace_random(world.keyspace, &world.prng);
        if (entry) assert_int_equal(entry_deadline_ms(entry), 0);
    }
    world_deinit(&world);
}

/* Under an LFU policy reads count, a replaced value inherits, a new key starts anew; under the
 * others seconds are kept. */
static void access_follows_the_policy(void **state) {
    (void)state;
    static struct config config;
    struct world world;
    struct key_ref ref;
    world_init(&world, 8);
    config_init(&config);
    config.maxmemory_policy = MAXMEMORY_ALLKEYS_LFU;
    config.lfu_log_factor = 0; /* every access counts */
    keyspace_config_changed(&world.shared, &config, &world.prng);
    put(&world, "k", SLICE("v"), 0);
    struct slice key = SLICE("k");
    uint32_t minutes = (uint32_t)(START_MS / 60000);
    assert_int_equal(open_key(&world, key, &ref)->access, lfu_field(minutes, LFU_START));
    for (int i = 0; i < 3; i++) keyspace_read(world.keyspace, key, key_hash(&world.shared, key), false, &ref);
    keyspace_read(world.keyspace, key, key_hash(&world.shared, key), true, &ref);
    assert_int_equal(ref.entry->access, lfu_field(minutes, LFU_START + 3));
    put(&world, "k", SLICE("a longer value, which moves the entry to another block"), START_MS + 1000);
    assert_int_equal(open_key(&world, key, &ref)->access, lfu_field(minutes, LFU_START + 3));
    put(&world, "n", SLICE("1"), 0);
    open_key(&world, SLICE("m"), &ref);
    keyspace_put_int(world.keyspace, &ref, 5);
    assert_int_equal(ref.entry->access, lfu_field(minutes, LFU_START));
    config.maxmemory_policy = MAXMEMORY_ALLKEYS_LRU;
    keyspace_config_changed(&world.shared, &config, &world.prng);
    world.shared.access = 12345;
    keyspace_read(world.keyspace, key, key_hash(&world.shared, key), false, &ref);
    assert_int_equal(ref.entry->access, 12345);
    put(&world, "new", SLICE("v"), 0);
    assert_int_equal(open_key(&world, SLICE("new"), &ref)->access, 12345);
    world_deinit(&world);
}

static void large_values_go_through_the_reaper(void **state) {
    (void)state;
    enum { BYTES = 5 * 1024 * 1024 };
    struct world world;
    struct key_ref ref;
    world_init(&world, 6);
    char *bytes = calloc(1, BYTES);
    int64_t idle = heap_used(world.heap, MEM_DATA);
    put(&world, "removed", slice_of(bytes, BYTES), 0);
    put(&world, "replaced", slice_of(bytes, BYTES), 0);
    put(&world, "copied over", slice_of(bytes, BYTES), 0);
    put(&world, "expired", slice_of(bytes, BYTES), START_MS + 1);
    assert_true(heap_used(world.heap, MEM_DATA) >= idle + 4ll * BYTES);
    open_key(&world, SLICE("removed"), &ref);
    keyspace_remove(world.keyspace, &ref);
    put(&world, "replaced", SLICE("small"), 0);
    struct key_ref small;
    open_key(&world, SLICE("replaced"), &small);
    open_key(&world, SLICE("copied over"), &ref);
    keyspace_put_copy(world.keyspace, &ref, small.entry, 0);
    world.shared.now_ms = START_MS + 1;
    assert_null(open_key(&world, SLICE("expired"), &ref));
    assert_int_equal(reaper_pending(world.shared.reaper), 4);
    assert_true(heap_used(world.heap, MEM_DATA) >= idle + 4ll * BYTES); /* counted until it is reaped */
    unsigned steps = 1;
    while (reaper_step(world.shared.reaper, 1)) steps++;
    assert_true(steps >= 4 * 5); /* a MiB at a time */
    assert_int_equal(reaper_freed(world.shared.reaper), 4);
    assert_true(heap_used(world.heap, MEM_DATA) < idle + 100000);
    free(bytes);
    world_deinit(&world);
}

/* --- collections --- */

static struct quicklist *numbers(struct world *world, uint64_t count) {
    struct quicklist *list = quicklist_new(&world->shared.store);
    char text[NUM_U64_MAX];
    for (uint64_t i = 0; i < count; i++) {
        struct packed_value value = packed_value_of(slice_of(text, num_format_u64(text, i)));
        quicklist_push(&world->shared.store, list, &world->shared.list_rule, LIST_TAIL, &value);
    }
    return list;
}

static void put_small(struct world *world, const char *key, struct slice text, uint64_t deadline_ms) {
    struct key_ref ref;
    struct packed_value value = packed_value_of(text);
    char *run;
    open_key(world, slice_of_cstr(key), &ref);
    struct entry *entry =
        entry_new_packed(&world->shared.store, ref.key, TYPE_LIST, 1, packed_size(&value), deadline_ms, &run);
    packed_write(run, &value);
    keyspace_put_entry(world->keyspace, &ref, entry);
}

static void small_collections_are_edited_where_they_are(void **state) {
    (void)state;
    struct world world;
    struct key_ref ref;
    world_init(&world, 7);
    world.shared.access = 4711;
    put(&world, "list", SLICE("a string is replaced"), 0);
    put_small(&world, "list", SLICE("a"), START_MS + 1000);
    assert_int_equal(keyspace_timed_count(world.keyspace), 1);
    open_key(&world, SLICE("list"), &ref);
    assert_int_equal(ref.entry->access, 4711);
    struct packed_value value = packed_value_of(SLICE("an element that needs another block"));
    for (int i = 0; i < 50; i++)
        packed_write(
            keyspace_edit_packed(world.keyspace, &ref, (struct packed_edit){.insert = packed_size(&value), .added = 1}),
            &value);
    open_key(&world, SLICE("list"), &ref); /* the table knows where it is now */
    struct packed run = entry_packed(ref.entry);
    assert_int_equal(run.count, 51);
    assert_ptr_equal(packed_at(&run, 51), run.end);
    assert_int_equal(entry_deadline_ms(ref.entry), START_MS + 1000);
    keyspace_set_object(world.keyspace, &ref, numbers(&world, 3));
    open_key(&world, SLICE("list"), &ref);
    assert_int_equal(quicklist_count(entry_object(ref.entry)), 3);
    assert_int_equal(entry_deadline_ms(ref.entry), START_MS + 1000);
    keyspace_check(world.keyspace);
    put(&world, "list", SLICE("and back to a string"), 0);
    assert_int_equal(keyspace_timed_count(world.keyspace), 0);
    world_deinit(&world);
}

/* A move hands over what the entry owns, whatever it is, with its deadline, and takes the place of what was there. */
static void moves_do_not_copy(void **state) {
    (void)state;
    struct world world;
    struct key_ref source, target;
    world_init(&world, 8);
    struct keyspace *other = keyspace_new(&world.shared, 1);
    struct quicklist *list = numbers(&world, 100000);
    open_key(&world, SLICE("a"), &source);
    keyspace_put_entry(world.keyspace, &source, entry_new_object(&world.shared.store, SLICE("a"), TYPE_LIST, list, 0));
    keyspace_set_deadline(world.keyspace, &source, START_MS + 5);
    put(&world, "a longer name", SLICE("lost"), START_MS + 6);
    open_key(&world, SLICE("a"), &source);
    open_key(&world, SLICE("a longer name"), &target);
    keyspace_move(world.keyspace, &source, world.keyspace, &target);
    assert_null(source.entry);
    assert_null(open_key(&world, SLICE("a"), &source));
    open_key(&world, SLICE("a longer name"), &source);
    assert_ptr_equal(entry_object(source.entry), list);
    assert_int_equal(entry_deadline_ms(source.entry), START_MS + 5);
    assert_int_equal(keyspace_timed_count(world.keyspace), 1);

    keyspace_open(other, source.key, source.hash, &target);
    keyspace_move(world.keyspace, &source, other, &target);
    assert_int_equal(keyspace_count(world.keyspace), 0);
    assert_int_equal(keyspace_timed_count(world.keyspace), 0);
    assert_int_equal(keyspace_timed_count(other), 1);
    assert_ptr_equal(entry_object(target.entry), list);
    keyspace_check(other);

    put_small(&world, "small", SLICE("x"), START_MS + 7);
    open_key(&world, SLICE("small"), &source);
    open_key(&world, SLICE("s"), &target);
    keyspace_move(world.keyspace, &source, world.keyspace, &target);
    open_key(&world, SLICE("s"), &target);
    assert_int_equal(entry_packed(target.entry).count, 1);
    assert_int_equal(entry_deadline_ms(target.entry), START_MS + 7);
    keyspace_delete(other); /* frees the list */
    while (reaper_step(world.shared.reaper, 1)) continue;
    world_deinit(&world);
}

static void long_lists_go_through_the_reaper(void **state) {
    (void)state;
    struct world world;
    struct key_ref ref;
    static const char *const names[] = {"removed", "replaced", "expired", "flushed"};
    world_init(&world, 9);
    int64_t idle = heap_used(world.heap, MEM_DATA);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        open_key(&world, slice_of_cstr(names[i]), &ref);
        struct quicklist *list = numbers(&world, 500000);
        keyspace_put_entry(world.keyspace, &ref,
                           entry_new_object(&world.shared.store, ref.key, TYPE_LIST, list, i == 2 ? START_MS + 1 : 0));
    }
    int64_t full = heap_used(world.heap, MEM_DATA);
    open_key(&world, SLICE("removed"), &ref);
    keyspace_remove(world.keyspace, &ref);
    put(&world, "replaced", SLICE("small"), 0);
    world.shared.now_ms = START_MS + 1;
    assert_null(open_key(&world, SLICE("expired"), &ref));
    assert_int_equal(reaper_pending(world.shared.reaper), 3);
    keyspace_clear(world.keyspace);
    assert_true(heap_used(world.heap, MEM_DATA) > full - full / 10); /* only a few nodes went at once */
    unsigned steps = 1;
    int64_t before = heap_used(world.heap, MEM_DATA);
    while (reaper_step(world.shared.reaper, 1)) {
        int64_t after = heap_used(world.heap, MEM_DATA);
        assert_true(before - after <= 80 * 8192); /* 64 nodes and what comes with a table's piece */
        before = after;
        steps++;
    }
    assert_true(steps >= 4 * 3);
    while (slab_purge_some(world.shared.store.slab)) continue;
    assert_true(heap_used(world.heap, MEM_DATA) < idle + (int64_t)SLAB_SPARE + 100000);
    world_deinit(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadlines_are_exact),
        cmocka_unit_test(expired_keys_vanish_within_a_second),
        cmocka_unit_test(moved_deadlines),
        cmocka_unit_test(time_left_is_estimated),
        cmocka_unit_test(random_is_never_expired),
        cmocka_unit_test(access_follows_the_policy),
        cmocka_unit_test(large_values_go_through_the_reaper),
        cmocka_unit_test(small_collections_are_edited_where_they_are),
        cmocka_unit_test(moves_do_not_copy),
        cmocka_unit_test(long_lists_go_through_the_reaper),
        cmocka_unit_test(model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
