/* Pace, on disks that are played: figures in, figures out, in steps of 2 ms.
 *
 * Proves   with more asked for than the disk can do, writes settle at its speed, evenly, with no standstill, and
 *          nothing is ever older than the limit, on disks of any speed, written past the cache or through it, with slow
 *          syncs, at any ratio of what a write says to what it adds; a load that the disk can take is not held back; a
 *          disk that slows down is followed; one that stands still stops all writes at the limit, and one that comes
 *          back is used again.
 * How      the disk has a rate, a time that a sync takes, and a cache or none. Writers want everything they can get. */
#include "core/defs.h"
#include "core/prng.h"
#include "persist/pace.h"
#include "tests/support/seed.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STEP_NS 2000000ull
#define STEP    0.002
#define AHEAD   16384.0
#define MARKS   65536u
#define MB      (1024.0 * 1024)
#define SYNC_NS 1000000000ull

struct mark {
    double end;
    uint64_t born_ns;
};

struct disk {
    /* what it is */
    double rate, sync_seconds; /* bytes a second */
    bool cached;               /* writes cost nothing, syncs all */
    bool uneven;               /* one sync in three takes twice its time, the others half of it */
    /* what it does */
    double appended, landed, durable, point;
    uint64_t busy_ns, sync_began_ns, sync_ends_ns;
    bool syncing;
    uint32_t syncs;
    struct mark marks[MARKS];
    uint32_t first, last;
};

struct play {
    struct disk disk;
    struct pace pace;
    struct pace_output out;
    uint64_t now_ns, staleness_ns, unsynced;
    uint64_t room; /* at the start */
    double room_seconds;
    double demand, ratio; /* bytes a second, as writes say themselves; bytes of the journal for each */
    double passed, credit;
    uint64_t age_max_ns; /* since it was last set to 0 */
};

static struct play play; /* one at a time: it is large */

static void begin(double rate, double sync_seconds, bool cached, double demand) {
    memset(&play, 0, sizeof play);
    play.now_ns = 1;
    play.staleness_ns = 2 * SYNC_NS;
    play.unsynced = (uint64_t)(128 * MB);
    play.room = PACE_NONE;
    play.disk.rate = rate;
    play.disk.sync_seconds = sync_seconds;
    play.disk.cached = cached;
    play.demand = demand;
    play.ratio = 1;
}

/* --- the disk --- */

static void append(struct disk *disk, double bytes, uint64_t now_ns) {
    if (bytes <= 0) return;
    disk->appended += bytes;
    disk->marks[disk->last++ % MARKS] = (struct mark){disk->appended, now_ns};
    assert_true(disk->last - disk->first < MARKS);
}

static uint64_t oldest(const struct disk *disk) {
    return disk->first == disk->last ? 0 : disk->marks[disk->first % MARKS].born_ns;
}

static void begin_sync(struct disk *disk, uint64_t now_ns) {
    double bytes = disk->cached ? disk->landed - disk->durable : 0;
    disk->syncing = true;
    disk->point = disk->landed;
    disk->sync_began_ns = now_ns;
    double factor = !disk->uneven ? 1 : disk->syncs++ % 3 ? 0.5 : 2;
    double seconds = (disk->sync_seconds + bytes / disk->rate) * factor;
    disk->sync_ends_ns = disk->rate > 0 ? now_ns + (uint64_t)(seconds * 1e9) : UINT64_MAX;
}

/* As the journal does: in a hurry, no more than two chunks are on their way. */
static void work(struct disk *disk, uint64_t now_ns, uint64_t sync_every_ns, double chunk) {
    bool busy = disk->syncing || disk->landed < disk->appended;
    double most = MIN(disk->appended, disk->durable + 2 * chunk);
    disk->landed = MAX(disk->landed, disk->cached ? most : MIN(most, disk->landed + disk->rate * STEP));
    if (disk->syncing && now_ns >= disk->sync_ends_ns) {
        disk->syncing = false;
        disk->durable = disk->point;
        while (disk->first != disk->last && disk->marks[disk->first % MARKS].end <= disk->durable) disk->first++;
    }
    bool due = now_ns >= disk->sync_began_ns + sync_every_ns || disk->landed - disk->durable >= MIN(chunk, 32 * MB);
    if (!disk->syncing && disk->landed > disk->durable && due) begin_sync(disk, now_ns);
    if (busy) disk->busy_ns += STEP_NS;
}

/* --- a step of everything; returns the bytes that were let in --- */

static double step(void) {
    struct disk *disk = &play.disk;
    play.now_ns += STEP_NS;
    double wanted = play.demand * STEP;
    if (play.out.brake) {
        play.credit = MIN(play.credit + (double)play.out.rate * STEP, AHEAD + (double)play.out.rate * 0.005);
        if (play.out.level >= 1) play.credit = 0;
        wanted = MIN(wanted, play.credit);
        play.credit -= wanted;
        play.passed += wanted;
    } else {
        play.credit = 0;
    }
    append(disk, wanted * play.ratio, play.now_ns);
    work(disk, play.now_ns, play.out.hurry ? play.staleness_ns / 16 : MIN(SYNC_NS, play.staleness_ns / 2),
         play.out.hurry ? (double)play.out.chunk : INFINITY);
    struct pace_input input = {.now_ns = play.now_ns,
                               .pending = (uint64_t)(disk->appended - disk->durable),
                               .oldest_ns = oldest(disk),
                               .appended = (uint64_t)disk->appended,
                               .durable = (uint64_t)disk->durable,
                               .busy_ns = disk->busy_ns,
                               .passed = (uint64_t)play.passed,
                               .staleness_ns = play.staleness_ns,
                               .unsynced = play.unsynced,
                               .room = play.room == PACE_NONE ? PACE_NONE
                                                              : play.room - MIN(play.room, (uint64_t)disk->appended),
                               .near = (uint64_t)(8 * MB),
                               .room_seconds = play.room_seconds};
    pace_step(&play.pace, &input, &play.out);
    play.age_max_ns = MAX(play.age_max_ns, play.out.age_ns);
    return wanted;
}

static double run(double seconds) {
    double bytes = 0;
    for (uint32_t i = 0; i < (uint32_t)(seconds / STEP); i++) bytes += step();
    return bytes;
}

struct figures {
    double rate, lowest, highest; /* of all, and of spans of 50 ms: bytes a second */
    double age;                   /* highest, seconds */
};

static struct figures measure(double seconds) {
    struct figures figures = {.lowest = INFINITY};
    play.age_max_ns = 0;
    uint32_t spans = (uint32_t)(seconds / 0.05);
    for (uint32_t i = 0; i < spans; i++) {
        double rate = run(0.05) / 0.05;
        figures.rate += rate / spans;
        figures.lowest = MIN(figures.lowest, rate);
        figures.highest = MAX(figures.highest, rate);
    }
    figures.age = (double)play.age_max_ns / 1e9;
    return figures;
}

/* --- tests --- */

static void writes_settle_at_the_speed_of_the_disk(void **state) {
    (void)state;
    static const double rates[] = {1, 5, 20, 50};
    static const double syncs[] = {0.0005, 0.005, 0.03};
    for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
        for (size_t s = 0; s < ARRAY_LEN(syncs); s++) {
            for (int cached = 0; cached < 2; cached++) {
                for (int factor = 2; factor <= 20; factor *= 10) {
                    double rate = rates[r] * MB;
                    begin(rate, syncs[s], cached, rate * factor);
                    play.age_max_ns = 0;
                    run(8);
                    double early = (double)play.age_max_ns / 1e9;
                    struct figures f = measure(10);
                    char what[200];
                    snprintf(what, sizeof what,
                             "disk %.0f MB/s, sync %.1f ms, %s, demand %dx: %.2f of the disk, spans %.2f to %.2f, age "
                             "%.2f s, at first %.2f s",
                             rates[r], syncs[s] * 1e3, cached ? "cached" : "direct", factor, f.rate / rate,
                             f.lowest / f.rate, f.highest / f.rate, f.age, early);
                    if (getenv("PACE_PRINT")) printf("%s\n", what);
                    double least = cached ? 0.75 : 0.9;
                    bool good = f.rate > least * rate && f.rate < 1.1 * rate && f.lowest > 0.6 * f.rate &&
                                f.highest < 1.4 * f.rate && f.age < 2 && early < 2;
                    if (!good) fail_msg("%s", what);
                }
            }
        }
    }
}

/* Some lumps take four times as long as others; whoever writes hardly feels them. */
static void an_uneven_disk_is_evened_out(void **state) {
    (void)state;
    static const double rates[] = {1, 4, 50};
    for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
        begin(rates[r] * MB, 0.002, true, rates[r] * 10 * MB);
        play.disk.uneven = true;
        run(8);
        struct figures f = measure(20);
        char what[200];
        snprintf(what, sizeof what, "disk %.0f MB/s, uneven: %.2f of the disk, spans %.2f to %.2f, age %.2f s",
                 rates[r], f.rate / rates[r] / MB, f.lowest / f.rate, f.highest / f.rate, f.age);
        if (getenv("PACE_PRINT")) printf("%s\n", what);
        bool good = f.rate > 0.75 * rates[r] * MB && f.lowest > 0.3 * f.rate && f.highest < 1.7 * f.rate && f.age < 2;
        if (!good) fail_msg("%s", what);
    }
}

/* What a write says of its size is not what the journal gets. */
static void the_ratio_is_learnt(void **state) {
    (void)state;
    static const double ratios[] = {0.25, 0.5, 3, 6};
    for (size_t i = 0; i < ARRAY_LEN(ratios); i++) {
        begin(10 * MB, 0.002, i % 2, 200 * MB);
        play.ratio = ratios[i];
        play.unsynced = PACE_NONE;
        run(8);
        struct figures f = measure(5);
        bool good = f.rate * ratios[i] > 9 * MB && f.rate * ratios[i] < 11 * MB && f.age < 2;
        if (!good) fail_msg("ratio %.2f: %.1f MB/s, age %.2f s", ratios[i], f.rate * ratios[i] / MB, f.age);
    }
}

static void what_the_disk_can_take_is_not_held_back(void **state) {
    (void)state;
    for (int cached = 0; cached < 2; cached++) {
        for (int part = 1; part <= 9; part += 2) {
            begin(100 * MB, 0.003, cached, part * 10 * MB);
            run(3);
            struct figures f = measure(10);
            if (f.lowest < 0.99 * play.demand) fail_msg("%d tenths: held back to %.1f MB/s", part, f.lowest / MB);
            assert_true(f.age < 1.2); /* a sync a second */
        }
    }
}

/* Tiny writes for an hour say little of the disk: a rush after them is held back for a fifth of a second at most. */
static void a_rush_after_little(void **state) {
    (void)state;
    for (int cached = 0; cached < 2; cached++) {
        begin(400 * MB, 0.002, cached, 20000);
        run(60);
        play.demand = 150 * MB;
        run(0.2);
        struct figures f = measure(5);
        if (f.lowest < 0.9 * play.demand) fail_msg("held back to %.1f MB/s", f.lowest / MB);
    }
}

static void a_disk_that_slows_down_is_followed(void **state) {
    (void)state;
    for (int cached = 0; cached < 2; cached++) {
        begin(40 * MB, 0.002, cached, 100 * MB);
        run(5);
        play.disk.rate = 24 * MB;
        play.age_max_ns = 0;
        run(3);
        assert_true(play.age_max_ns < play.staleness_ns); /* though what was let in takes twice as long */
        struct figures f = measure(5);
        assert_true(f.rate > 21 * MB && f.rate < 27 * MB && f.age < 2);
        play.disk.rate = 80 * MB;
        run(5);
        f = measure(5);
        assert_true(f.rate > 72 * MB && f.rate < 88 * MB && f.age < 2);
    }
}

/* No write is let in while an older one has waited for longer than the limit; and all goes on by itself. */
static void a_disk_that_stands_still(void **state) {
    (void)state;
    static const double demands[] = {0.01, 5, 100};
    for (size_t i = 0; i < ARRAY_LEN(demands); i++) {
        begin(20 * MB, 0.002, i % 2, demands[i] * MB);
        run(5);
        play.disk.rate = 0;
        play.disk.sync_ends_ns = UINT64_MAX;
        run(1); /* something waits by now */
        for (uint32_t k = 0; k < 5000; k++) {
            bool old = oldest(&play.disk) && play.now_ns - oldest(&play.disk) >= play.staleness_ns;
            double let_in = step();
            assert_true(!old || let_in == 0);
        }
        assert_true(play.out.level >= 1 && play.out.brake);
        play.disk.rate = 20 * MB;
        play.disk.sync_ends_ns = play.now_ns;
        run(5);
        struct figures f = measure(5);
        assert_true(f.rate > 0.9 * MIN(20 * MB, play.demand) && f.age < 2);
    }
}

/* appendfsync always and no: age does not count. */
static void the_limit_on_bytes_alone(void **state) {
    (void)state;
    begin(10 * MB, 0.002, false, 100 * MB);
    play.staleness_ns = PACE_NONE;
    play.unsynced = (uint64_t)(8 * MB);
    run(5);
    for (uint32_t i = 0; i < 2000; i++) {
        step();
        assert_true(play.disk.appended - play.disk.durable < 8.5 * MB);
    }
    begin(10 * MB, 0.002, false, 100 * MB);
    play.staleness_ns = play.unsynced = PACE_NONE;
    run(1);
    assert_false(play.out.brake);
    assert_true(play.out.window == PACE_NONE && play.out.chunk == PACE_NONE);
}

/* The log never takes more than there is, and stops smoothly; and what has to last does. */
static void room_on_the_disk(void **state) {
    (void)state;
    begin(40 * MB, 0.002, false, 100 * MB);
    play.room = (uint64_t)(200 * MB);
    run(30);
    assert_true(play.disk.appended <= 201 * MB && play.disk.appended > 190 * MB && play.out.level >= 0.97);
    begin(40 * MB, 0.002, true, 100 * MB);
    play.room = (uint64_t)(200 * MB);
    for (uint32_t i = 20; i > 0; i--) {
        play.room_seconds = i; /* of a checkpoint that is done in 20 s */
        run(1);
    }
    assert_true(play.disk.appended < 200 * MB && play.disk.appended > 120 * MB);
    play.room = PACE_NONE;
    play.room_seconds = 0;
    run(5);
    struct figures f = measure(5);
    assert_true(f.rate > 35 * MB);
    /* A rush, where nobody was in a hurry: it is not through all of it before anybody has looked. */
    for (int factor = 1; factor <= 100; factor *= 10) {
        begin(2000 * MB, 0.002, true, (double)factor * 20 * MB);
        play.room = (uint64_t)(40 * MB);
        run(0.1);
        if (play.disk.appended > 36 * MB) fail_msg("%d: %.1f MB in 0.1 s", factor, play.disk.appended / MB);
    }
}

/* Rates, syncs and demands that change at random every now and then. */
static void anything(void **state) {
    (void)state;
    uint64_t seed = seed_or(7);
    struct prng prng;
    prng_init(&prng, seed);
    begin(20 * MB, 0.002, false, 100 * MB);
    for (uint32_t i = 0; i < 40000; i++) {
        if (prng_below(&prng, 500) == 0) play.disk.rate = (double)prng_below(&prng, 100) * MB;
        if (prng_below(&prng, 500) == 0) play.demand = (double)prng_below(&prng, 1000) * MB / 4;
        if (prng_below(&prng, 500) == 0) play.disk.sync_seconds = (double)prng_below(&prng, 50) / 1000;
        if (prng_below(&prng, 500) == 0) play.disk.cached = prng_below(&prng, 2);
        if (prng_below(&prng, 500) == 0) play.ratio = (double)(1 + prng_below(&prng, 40)) / 10;
        if (play.disk.rate > 0 && play.disk.syncing)
            play.disk.sync_ends_ns = MIN(play.disk.sync_ends_ns, play.now_ns + SYNC_NS);
        bool old = oldest(&play.disk) && play.now_ns - oldest(&play.disk) >= play.staleness_ns;
        double let_in = step();
        if ((old && let_in > 0) || !(play.out.level >= 0))
            fail_msg("SHERD_SEED=%llu step %u", (unsigned long long)seed, i);
        if (play.out.level < 1) assert_true(play.out.rate > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_settle_at_the_speed_of_the_disk),
        cmocka_unit_test(an_uneven_disk_is_evened_out),
        cmocka_unit_test(the_ratio_is_learnt),
        cmocka_unit_test(what_the_disk_can_take_is_not_held_back),
        cmocka_unit_test(a_rush_after_little),
        cmocka_unit_test(a_disk_that_slows_down_is_followed),
        cmocka_unit_test(a_disk_that_stands_still),
        cmocka_unit_test(the_limit_on_bytes_alone),
        cmocka_unit_test(room_on_the_disk),
        cmocka_unit_test(anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
