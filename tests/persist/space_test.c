/* What there is room for.
 *
 * Proves   the budget is what was asked for, or less when the disk has less; the rest of a checkpoint under way is
 *          never the log's; one begins only when it fits, and early while it does; what is measured is what our files
 *          take. */
#include "core/defs.h"
#include "persist/space.h"
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
    input.space.used = 270 * MB; /* it does not fit: the log has what is left */
    plan = plan_of(input);
    assert_true(plan.most < input.expected);
    assert_int_equal(plan.room, 50 * MB);
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
    input.saved = 20 * MB;
    input.seconds = 2;
    plan = plan_of(input);
    assert_int_equal(plan.room, 100 * MB);
    assert_true(plan.seconds > 8 && plan.seconds < 20);
    input.saved = 150 * MB; /* it came to more than was thought */
    assert_int_equal(plan_of(input).room, 180 * MB);
    /* The first: by the keys. */
    input.expected = 0;
    input.saved = 20 * MB;
    input.keys = 1000;
    input.keys_total = 4000;
    plan = plan_of(input);
    assert_int_equal(plan.room, 120 * MB);
    assert_false(plan.tight);
}

static void measuring(void **state) {
    (void)state;
    char path[] = "/tmp/sherd-space-XXXXXX", name[64];
    struct datadir dir;
    struct error error;
    struct space space;
    assert_non_null(mkdtemp(path));
    assert_int_equal(datadir_open(&dir, path, &error), ST_OK);
    assert_int_equal(space_measure(&dir, &space), 0);
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
    assert_int_equal(space_measure(&dir, &space), 0);
    assert_true(space.used >= 2 * MB && space.used < 2 * MB + 65536);
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
        cmocka_unit_test(measuring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
