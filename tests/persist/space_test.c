/* What there is room for.
 *
 * Proves   the budget is what was asked for, or less when the disk has less; the rest of a checkpoint under way, or of
 *          the next, is never the log's; one begins early, and as long as two fit at all it begins; what is measured
 *          is what our files take. And in random worlds, where figures come late and estimates err, the log goes on
 *          for ever and the budget is exceeded by little. */
#include "core/defs.h"
#include "core/prng.h"
#include "persist/space.h"
#include "tests/support/seed.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MB (1ull << 20)

static struct space_plan plan_of(struct space_input input) {
    struct space_plan plan;
    space_plan(&input, &plan);
    return plan;
}

static void the_budget(void **state) {
    (void)state;
    struct space_input input = {.space = {.used = 100 * MB, .free = 1000 * MB, .total = 4096 * MB}};
    struct space_plan plan = plan_of(input);
    assert_int_equal(plan.budget, (1100 - 64) * MB); /* but for the margin */
    assert_int_equal(plan.room, (1000 - 64) * MB);
    assert_true(!plan.tight && plan.seconds == 0); /* nothing is known of a checkpoint */
    assert_true(plan.again > 0.2 && plan.again < 0.3);
    input.budget = 300 * MB;
    assert_int_equal(plan_of(input).room, 200 * MB);
    input.budget = 5000 * MB; /* more than there is */
    assert_int_equal(plan_of(input).budget, (1100 - 64) * MB);
    input.budget = 50 * MB; /* less than there is in it */
    plan = plan_of(input);
    assert_true(plan.room == 0 && plan.near > 0);
    input = (struct space_input){.space = {.used = 10 * MB, .free = 1 * MB, .total = 320 * MB}};
    plan = plan_of(input); /* the margin is gone already */
    assert_true(plan.budget == 1 * MB && plan.room == 0);
}

static void checkpoints(void **state) {
    (void)state;
    struct space_input input = {
        .space = {.used = 120 * MB, .free = 10000 * MB, .total = 20000 * MB}, .budget = 320 * MB, .expected = 100 * MB};
    struct space_plan plan = plan_of(input);
    input.space.base = 100 * MB;
    plan = plan_of(input);
    assert_true(plan.most >= 200 * MB && !plan.tight);
    assert_true(plan.again <= 0.1);
    assert_int_equal(plan.room, 100 * MB); /* the rest is kept for the next one */
    input.budget = 200000 * MB;
    input.space.total = input.space.free = 300000 * MB;
    assert_true(plan_of(input).again >= 2); /* plenty */
    input.budget = 320 * MB;
    input.space.used = 200 * MB;
    plan = plan_of(input);
    assert_true(plan.most >= input.expected && plan.tight);
    assert_int_equal(plan.room, 20 * MB);
    input.space.used = 221 * MB; /* a little too late */
    plan = plan_of(input);
    assert_true(plan.most >= input.expected && plan.tight && plan.room == 0);
    input.space.used = 270 * MB; /* much too late: writers wait, and it takes more for its time, if the disk has that */
    plan = plan_of(input);
    assert_true(plan.most >= input.expected && plan.tight && plan.room == 0);
    input.space.free = 0; /* it does not */
    input.budget = 0;
    assert_true(plan_of(input).most < input.expected);
    assert_int_equal(plan_of(input).room, 0);
    input.space.free = 10000 * MB;
    input.budget = 180 * MB; /* two of them are too much: the log has what is left */
    input.space.used = 120 * MB;
    plan = plan_of(input);
    assert_true(plan.most < input.expected);
    assert_int_equal(plan.room, 60 * MB);
    input.budget = 190 * MB; /* perhaps they are not */
    assert_int_equal(plan_of(input).room, 0);
    input.budget = 150 * MB;
    input.space.used = 101 * MB;
    assert_false(plan_of(input).tight); /* there is hardly a log */
    input.budget = 320 * MB;
    input.space.used = 236 * MB; /* but for blocks of the log that hold nothing */
    input.spare = 40 * MB;
    plan = plan_of(input);
    assert_true(plan.most >= input.expected && plan.tight && !plan.roomy);
    assert_int_equal(plan.room, 24 * MB);
    input.spare = 0;
    input.budget = 220 * MB; /* two of them and a little: half of that before the next one begins */
    input.space.used = 109 * MB;
    assert_false(plan_of(input).tight);
    input.space.used = 111 * MB;
    plan = plan_of(input);
    assert_true(plan.tight && plan.most >= input.expected);
    assert_int_equal(plan.room, 9 * MB);
    input.rate = 200 * (double)MB;
    assert_true(plan_of(input).seconds > 0.5 && plan_of(input).seconds < 2);
    input.rate = 0;
    /* Under way: its rest is spoken for, and the room has to last. */
    input.budget = 320 * MB;
    input.space.used = 140 * MB;
    input.saving = true;
    input.saved = input.space.fresh = 20 * MB;
    input.seconds = 2;
    plan = plan_of(input);
    assert_int_equal(plan.room, 100 * MB);
    assert_true(plan.seconds > 8 && plan.seconds < 20);
    input.keys = 100; /* it will come to more than was thought, by its keys: one in four says so */
    input.keys_total = 400;
    plan = plan_of(input);
    assert_int_equal(plan.room, 100 * MB);
    input.keys = 50;
    plan = plan_of(input);
    assert_true(plan.room < 95 * MB && plan.room > 80 * MB);
    input.keys = input.keys_total = 0;
    input.saved = input.space.fresh = 130 * MB; /* it has */
    assert_int_equal(plan_of(input).room, 180 * MB);
    input.saving = false; /* it is complete, and what it replaces is about to go */
    plan = plan_of(input);
    assert_true(plan.room == 180 * MB && plan.most >= input.expected && !plan.tight);
    input.saving = true;
    /* The first: by the keys. */
    input.expected = 0;
    input.saved = input.space.fresh = 20 * MB;
    input.keys = 1000;
    input.keys_total = 4000;
    plan = plan_of(input);
    assert_int_equal(plan.room, 120 * MB);
    assert_false(plan.tight);
}

/* --- worlds --- */

#define STEP  0.005 /* seconds */
#define REACT 0.25  /* as persist/pace.c */

/* A server that overwrites, as the plan lets it, on a disk of a certain speed. Bytes and seconds. */
struct world {
    struct prng *prng;
    double budget, disk, data;    /* budget 0: none */
    double asked, speed;          /* what writers ask for, what a checkpoint does, a second */
    double jitter, late, over;    /* of estimates; of measurements; written without leave after each of them */
    double base, fresh, old, log; /* of files; old: of the log, from before the cut */
    double whole;                 /* the one under way comes to */
    double gone;                  /* files that are not removed yet */
    bool saving;
    double now, began, measured_at, due;
    struct space measured; /* as of then, and known from `due` on */
    double from, since;    /* written before it was taken; and before the one that is planned by */
    bool measuring;
    struct space_plan plan;
    double most, written, waited, waited_most;
    unsigned checkpoints;
};

static double draw(struct world *world, double from, double to) {
    return from + (to - from) * prng_double(world->prng);
}

static double used_of(const struct world *world) {
    return world->base + world->fresh + world->old + world->log + world->gone;
}

static double expected_of(struct world *world) {
    return world->data * draw(world, 1 - world->jitter, 1 + world->jitter);
}

static void look_at(struct world *world) {
    world->measuring = true;
    world->due = world->now + draw(world, 0, world->late);
    world->from = world->written;
    world->measured = (struct space){.used = (uint64_t)used_of(world),
                                     .base = (uint64_t)world->base,
                                     .fresh = (uint64_t)world->fresh,
                                     .free = (uint64_t)(world->disk - used_of(world)),
                                     .total = (uint64_t)world->disk};
}

static void plan_in(struct world *world) {
    struct space_input input = {.space = world->measured,
                                .budget = (uint64_t)world->budget,
                                .expected = (uint64_t)expected_of(world),
                                .rate = world->speed * draw(world, 0.7, 1.3),
                                .saving = world->saving};
    if (world->saving) {
        input.saved = (uint64_t)world->fresh;
        input.keys_total = 1000;
        input.keys = (uint64_t)(1000 * world->fresh / world->whole);
        input.seconds = world->now - world->began;
    }
    space_plan(&input, &world->plan);
    world->measuring = false;
    world->since = world->from;
    world->measured_at = world->now;
    if (world->plan.room > 0) world->log += draw(world, 0, world->over);
}

static void write_some(struct world *world) {
    double room = (double)world->plan.room - (world->written - world->since), bytes = world->asked * STEP;
    if (room < (double)world->plan.near) bytes *= room > 0 ? room / (double)world->plan.near : 0;
    bytes = MIN(bytes, MAX(0, room) / REACT * STEP);
    if (world->plan.seconds > 0) bytes = MIN(bytes, MAX(0, room) / world->plan.seconds * STEP);
    world->log += bytes;
    world->written += bytes;
    world->waited = bytes > 0 ? 0 : world->waited + STEP;
    world->waited_most = MAX(world->waited_most, world->waited);
}

static void save_some(struct world *world) {
    if (!world->saving) {
        bool wants = world->plan.tight || world->log + world->old > world->data;
        if (!wants || expected_of(world) > (double)world->plan.most) return;
        world->saving = true;
        world->began = world->now;
        world->whole = world->data * draw(world, 1 - world->jitter, 1 + world->jitter);
        world->old += world->log;
        world->log = 0;
        return;
    }
    world->fresh = MIN(world->whole, world->fresh + world->speed * STEP * draw(world, 0, 2));
    if (world->fresh < world->whole) return;
    world->gone += world->base + world->old;
    world->base = world->fresh;
    world->fresh = world->old = 0;
    world->saving = false;
    world->checkpoints++;
}

static void live(struct world *world, double seconds) {
    double end = world->now + seconds;
    for (; world->now < end; world->now += STEP) {
        if (!world->measuring && world->now >= world->measured_at + world->plan.again) look_at(world);
        if (world->measuring && world->now >= world->due) plan_in(world);
        write_some(world);
        save_some(world);
        world->gone *= draw(world, 0.5, 1); /* files are removed one by one */
        world->most = MAX(world->most, used_of(world));
    }
}

static struct world make_world(struct prng *prng) {
    struct world world = {.prng = prng};
    world.data = draw(&world, 5, 500) * (double)MB;
    world.base = world.data;
    world.speed = world.data / draw(&world, 0.2, 10);
    world.asked = world.speed * draw(&world, 0.1, 10);
    world.jitter = draw(&world, 0, 0.06);
    world.late = draw(&world, 0, 0.5);
    world.over = draw(&world, 0, 1) * (double)MB;
    bool limited = draw(&world, 0, 1) < 0.7;
    world.budget = limited ? world.data * draw(&world, 2.1, 4) + 4 * (double)MB : 0;
    world.disk = world.data * draw(&world, limited ? 4.5 : 2.4, 10) + 80 * (double)MB;
    return world;
}

/* One checkpoint after the other, and writers that never wait much longer than it takes; the budget is exceeded by no
 * more than estimates err and is written without leave. Then it is made as small as two checkpoints and a little, with
 * a log that is too long for that: all goes on as soon as there is another checkpoint. */
static void worlds(void **state) {
    (void)state;
    struct prng prng = {0};
    uint64_t seed = seed_or(20261128);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    prng_init(&prng, seed);
    for (int i = 0; i < 300; i++) {
        struct world world = make_world(&prng);
        double duration = world.data / world.speed, bound = 2 * world.jitter * world.data + 4 * world.over + 2 * MB;
        live(&world, 20 * duration + 20);
        double budget = world.budget > 0 ? world.budget : world.disk;
        if (world.most > budget + bound || world.waited_most > 2 * duration + 3 || world.checkpoints < 2)
            fail_msg(
                "world %d: %.0f of %.0f used (data %.0f, bound %.0f), waited %.1f s (%.1f a checkpoint), %u of them", i,
                world.most, budget, world.data, bound, world.waited_most, duration, world.checkpoints);
        if (world.budget == 0) continue;
        world.budget = 2.1 * world.data + 4 * (double)MB;
        live(&world, 10 * duration + 10);
        world.waited_most = world.most = 0;
        live(&world, 10 * duration + 10);
        if (world.waited_most > 2 * duration + 3 || world.most > world.budget + bound)
            fail_msg("world %d: with a smaller budget waited %.1f s, %.0f of %.0f used (data %.0f, bound %.0f)", i,
                     world.waited_most, world.most, world.budget, world.data, bound);
    }
}

static void measuring(void **state) {
    (void)state;
    char path[] = "/tmp/sherd-space-XXXXXX", name[64];
    struct datadir dir;
    struct error error;
    struct space space;
    assert_non_null(mkdtemp(path));
    assert_int_equal(datadir_open(&dir, path, &error), ST_OK);
    assert_int_equal(space_measure(&dir, 0, 2, &space), 0);
    assert_true(space.used == 0 && space.free > 0 && space.total >= space.free);
    static const char *const names[] = {"shard-000.000001.aof", "shard-000.000002.rdb", "somebody.else"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(name, sizeof name, "%s/%s", path, names[i]);
        int fd = open(name, O_CREAT | O_WRONLY, 0644);
        assert_true(fd >= 0);
        for (int k = 0; k < 16; k++) assert_int_equal(write(fd, name, 64), 64);
        assert_int_equal(posix_fallocate(fd, 0, 1 << 20), 0);
        close(fd);
    }
    assert_int_equal(space_measure(&dir, 0, 2, &space), 0);
    assert_true(space.used >= 2 * MB && space.used < 2 * MB + 65536);
    assert_true(space.fresh >= MB && space.fresh < MB + 65536 && space.base == 0);
    assert_int_equal(space_measure(&dir, 2, 3, &space), 0);
    assert_true(space.base >= MB && space.base < MB + 65536 && space.fresh == 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(name, sizeof name, "%s/%s", path, names[i]);
        unlink(name);
    }
    datadir_close(&dir);
    snprintf(name, sizeof name, "%s/sherd.lock", path);
    unlink(name);
    rmdir(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_budget),
        cmocka_unit_test(checkpoints),
        cmocka_unit_test(worlds),
        cmocka_unit_test(measuring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
