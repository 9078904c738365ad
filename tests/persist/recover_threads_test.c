/* Recovery on real threads: the same as tests/persist/recover_test.c, but each shard on a thread of its own, as in a
 * server. It is for the thread sanitizer: that what the threads share in recovery is passed on properly. */
#include "tests/support/history.c"
#include "tests/support/machine.c"
#include <pthread.h>

struct crew {
    struct world *world;
    struct recovery *recovery;
    const struct command_registry *registry;
    const struct config *config;
    struct log *log;
    uint32_t count;
    pthread_barrier_t barrier;
    _Atomic uint64_t pending[SHARDS];
    _Atomic uint32_t wrong, keys;
};

struct hand {
    struct crew *crew;
    uint32_t id;
    pthread_t thread;
};

static void wake_none(void *ctx, uint32_t to) {
    (void)ctx, (void)to;
}
static void attend_none(void *ctx, struct client *client) {
    (void)ctx, (void)client;
}
static uint64_t tick_none(void *ctx) {
    (void)ctx;
    return 0;
}

static struct shard *own_shard(struct hand *hand) {
    struct crew *crew = hand->crew;
    struct mailbox *none[SHARDS] = {NULL};
    _Atomic uint64_t *pending[SHARDS];
    for (uint32_t i = 0; i < crew->count; i++) pending[i] = &crew->pending[i];
    return shard_new(&(struct shard_options){
        .id = hand->id,
        .count = crew->count,
        .db_count = DBS,
        .hash_seed = {1, 2},
        .random_seed = 1,
        .host = {.wake = wake_none, .attend = attend_none, .ticks = tick_none, .tick_ns = 1},
        .registry = crew->registry,
        .config = crew->config,
        .log = crew->log,
        .outbox = none,
        .inbox = none,
        .pending = pending,
    });
}

/* No assertion of cmocka's on another thread: what is wrong is counted. */
static void compare_own(struct crew *crew, struct shard *shard) {
    for (uint32_t db = 0; db < DBS; db++)
        for (uint32_t key = 0; key < KEYS; key++) {
            char text[24], scratch[ENTRY_SCRATCH];
            struct slice name = key_name(key, text), wanted = slice_of_cstr(crew->world->live.value[db][key]);
            if (shard_of_key(shard, name) != shard->id) continue;
            struct key_ref ref;
            struct entry *entry = keyspace_open(shard_db(shard, db), name, key_hash(&shard->shared, name), &ref);
            struct slice got = entry ? entry_string(entry, scratch) : slice_of("", 0);
            crew->wrong += !slice_equal(got, wanted);
            crew->keys++;
        }
}

static void *work(void *argument) {
    struct hand *hand = argument;
    struct crew *crew = hand->crew;
    assert_set_shard((int)hand->id);
    struct shard *shard = own_shard(hand);
    shard->loading = true;
    enum recovery_state state;
    do {
        state = recovery_slice(crew->recovery, hand->id, shard, 20000);
        if (state == RECOVERY_WAITING) usleep(100);
    } while (state == RECOVERY_MORE || state == RECOVERY_WAITING);
    shard->loading = false;
    if (state == RECOVERY_DONE)
        compare_own(crew, shard);
    else
        crew->wrong++;
    pthread_barrier_wait(&crew->barrier);
    shard_drop_messages(shard);
    pthread_barrier_wait(&crew->barrier);
    shard_delete(shard);
    return NULL;
}

static void recover_on_threads(struct world *world, uint32_t count) {
    struct sim *sim = sim_new(&(struct sim_options){.shards = 1, .mailbox_capacity = 16, .db_count = DBS, .seed = 1});
    struct crew crew = {.world = world,
                        .registry = sim_shard(sim, 0)->registry,
                        .config = sim_shard(sim, 0)->config,
                        .log = sim_shard(sim, 0)->log,
                        .count = count};
    struct hand hands[SHARDS];
    struct datadir dir;
    struct error error;
    assert_int_equal(datadir_open(&dir, world->path, &error), ST_OK);
    struct recovery_options options = {
        .dir = &dir, .threads = count, .journal = true, .boot = 99, .clock = clock_system(), .log = crew.log};
    if (recovery_open(&crew.recovery, &options, &error) != ST_OK) fail_msg("%s", error.text);
    pthread_barrier_init(&crew.barrier, NULL, count);
    for (uint32_t i = 0; i < count; i++) {
        hands[i] = (struct hand){.crew = &crew, .id = i};
        assert_int_equal(pthread_create(&hands[i].thread, NULL, work, &hands[i]), 0);
    }
    for (uint32_t i = 0; i < count; i++) pthread_join(hands[i].thread, NULL);
    pthread_barrier_destroy(&crew.barrier);
    assert_int_equal(crew.wrong, 0);
    assert_int_equal(crew.keys, DBS * KEYS);
    recovery_close(crew.recovery);
    datadir_close(&dir);
    sim_delete(sim);
}

static void test_threads(void **state) {
    (void)state;
    uint64_t seed = seed_or(1), rounds = seed_given() ? 1 : 12;
    for (uint64_t end = seed + rounds; seed < end; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        struct world *world = new_world(seed);
        recover(world, 1 + (uint32_t)pick(world, SHARDS));
        play(world);
        save_manifest(world);
        crash(world);
        recover_on_threads(world, 1 + (uint32_t)pick(world, SHARDS));
        delete_world(world);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
