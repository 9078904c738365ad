/* The arithmetic of the header. Everything old is forgotten at a rate of its own: the disk's speed after so much of its
 * working time or so many lumps of the size that is usual of late, whichever comes first. Time alone would keep the
 * figures of an hour of tiny writes, which say little of what it can do, through the first second of a rush: its first
 * lump is worth many of them. */
#include "persist/pace.h"
#include "core/assert.h"
#include <math.h>

#define BRAKE_ON      0.6
#define BRAKE_OFF     0.5
#define RATE_MAX      2.0           /* times the disk's, while it brakes */
#define FILL_SECONDS  0.05          /* in which the level may rise to BRAKE_ON from below: the estimate may be low */
#define CALM_NS       1000000000ull /* below BRAKE_OFF, until it no longer does */
#define SLOPE         5.0           /* rate / disk rate: 2 where it begins, 1 at 0.8, 0 at 1 */
#define SETTLED       0.8           /* of the window: where writes come as fast as the disk */
#define GENTLE_SLOPE  2.0
#define GENTLE_MIN    0.1
#define HURRY         0.25 /* of the window */
#define DISK_SECONDS  1.0
#define DISK_LUMPS    16.0
#define DISK_BYTES    (1024.0 * 1024) /* at least */
#define LUMP_PART     0.25            /* of what is known of them: the latest */
#define CHUNK_SECONDS 24.0            /* a part of the limit on age */
#define CHUNK_MIN     (64.0 * 1024)
#define WINDOW_SHARE  0.56            /* of the limit on age: the rest is for a disk that gets slower */
#define WINDOW_MIN    (1024.0 * 1024) /* less is no disk, or nothing was learnt about it yet */
#define WINDOW_MAX    (1024.0 * 1024 * 1024)
#define RATE_MIN      (64.0 * 1024) /* as long as the limit is not reached */
#define RATIO_SECONDS 1.0
#define BURST_SECONDS 0.05 /* what comes now, as against what comes in the long run */
#define REACT_SECONDS 0.25 /* until space that is nearly gone has been measured anew, and something came of it */
#define RATIO_MAX     8.0
#define ESTIMATE_MAX  0.95 /* too much, or too fast, by what is only an estimate: not yet at an end */

static void learn_disk(struct pace *pace, double bytes, double seconds) {
    double keep = exp(-(seconds / DISK_SECONDS + bytes / MAX(DISK_BYTES, DISK_LUMPS * pace->lump)));
    pace->bytes = pace->bytes * keep + bytes;
    pace->seconds = pace->seconds * keep + seconds;
}

/* At best all that is on its way becomes durable now. */
static double disk_rate(const struct pace *pace, double pending) {
    if (pace->seconds <= 0) return 0;
    double known = pace->bytes / pace->seconds;
    double now = (pace->bytes + MIN(pending, pace->on_its_way)) / (pace->seconds + pace->open_seconds);
    return MIN(known, now);
}

static void learn_ratio(struct pace *pace, const struct pace_input *input, double seconds) {
    double keep = exp(-seconds / RATIO_SECONDS);
    pace->grown = pace->grown * keep + (double)(input->appended - pace->appended);
    pace->let_in = pace->let_in * keep + (double)(input->passed - pace->passed);
}

/* Bytes of the journal for each byte of a write. */
static double ratio(const struct pace *pace) {
    if (pace->let_in < WINDOW_MIN / 16) return 1;
    return MAX(1 / RATIO_MAX, MIN(pace->grown / pace->let_in, RATIO_MAX));
}

static void learn(struct pace *pace, const struct pace_input *input) {
    double seconds = (double)(input->now_ns - pace->now_ns) / 1e9;
    double busy = MIN(seconds, (double)(input->busy_ns - pace->busy_ns) / 1e9);
    pace->open_seconds += busy;
    double appended = (double)(input->appended - pace->appended) / MAX(seconds, 1e-6);
    pace->append_rate += (appended - pace->append_rate) * (1 - exp(-seconds / RATIO_SECONDS));
    pace->burst_rate += (appended - pace->burst_rate) * (1 - exp(-seconds / BURST_SECONDS));
    if (input->durable != pace->durable) {
        double lump = (double)(input->durable - pace->durable);
        learn_disk(pace, lump, pace->open_seconds);
        pace->lump += (lump - pace->lump) * LUMP_PART;
        pace->open_seconds = 0;
    } else if (input->pending == 0) {
        pace->open_seconds = 0;
    }
    if (pace->brake) learn_ratio(pace, input, seconds);
}

/* What is not durable, less what the disk has probably done of the lump that becomes so next: pending falls by a lump
 * at a time, and writes are not to follow each of them. A lump that is late is not done any further. */
static double undone(const struct pace *pace, const struct pace_input *input, double rate) {
    double done = MIN(rate * pace->open_seconds, pace->lump);
    return MAX(0.0, (double)input->pending - done);
}

static double window_of(const struct pace_input *input, double rate) {
    double unsynced = input->unsynced == PACE_NONE ? INFINITY : (double)input->unsynced;
    if (input->staleness_ns == PACE_NONE) return unsynced;
    return MIN(unsynced, MAX(WINDOW_MIN, WINDOW_SHARE * rate * (double)input->staleness_ns / 1e9));
}

static uint64_t chunk_of(const struct pace_input *input, double rate) {
    if (input->staleness_ns == PACE_NONE) return PACE_NONE;
    return (uint64_t)MAX(CHUNK_MIN, rate * (double)input->staleness_ns / 1e9 / CHUNK_SECONDS);
}

/* How near the end of the space is. */
static double edge_of(const struct pace_input *input) {
    if (input->room >= input->near) return 0;
    return 1 - (double)input->room / (double)input->near;
}

/* At the present rate, which part of the room would be gone before it is over; or, at the rate of this moment, before
 * anybody could do something about it. */
static double drain_of(const struct pace *pace, const struct pace_input *input) {
    if (input->room == PACE_NONE) return 0;
    double gone = MAX(pace->append_rate * input->room_seconds, pace->burst_rate * REACT_SECONDS);
    return gone / MAX(1.0, (double)input->room);
}

static double allowed_by_room(const struct pace *pace, const struct pace_input *input, double disk) {
    double edge = edge_of(input), rate = INFINITY;
    if (edge >= 1) return 0;
    if (edge > 0) rate = MAX(RATE_MIN, disk * MIN(RATE_MAX, SLOPE * (1 - edge)));
    if (input->room != PACE_NONE) rate = MIN(rate, MAX(RATE_MIN, (double)input->room / REACT_SECONDS));
    if (input->room != PACE_NONE && input->room_seconds > 0)
        rate = MIN(rate, (double)input->room / input->room_seconds);
    return rate / ratio(pace);
}

/* limits: the level by what is known; bytes: by the window, which is an estimate, and may be above 1. */
static double allowed_rate(const struct pace *pace, double limits, double bytes, double disk, double window) {
    double gently = MAX(GENTLE_MIN, 1 + GENTLE_SLOPE * (SETTLED - bytes));
    double follows = disk * MIN(RATE_MAX, MIN(gently, SLOPE * (1 - limits)));
    double level = MAX(limits, bytes);
    double fills = level < BRAKE_ON ? (BRAKE_ON - level) * MIN(window, WINDOW_MAX) / FILL_SECONDS : 0;
    return MAX(RATE_MIN, MAX(follows, fills) / ratio(pace));
}

/* What becomes durable does so in lumps, and the level falls with each: that is not the end of it. */
static void follow(struct pace *pace, double level) {
    if (level >= BRAKE_OFF) pace->pressed_ns = pace->now_ns;
    pace->brake = level >= BRAKE_ON || (pace->brake && pace->now_ns - pace->pressed_ns < CALM_NS);
}

void pace_step(struct pace *pace, const struct pace_input *input, struct pace_output *out) {
    ASSERT(input->now_ns >= pace->now_ns && input->durable >= pace->durable && input->appended >= pace->appended);
    if (pace->now_ns) learn(pace, input);
    pace->now_ns = input->now_ns;
    pace->appended = input->appended;
    pace->durable = input->durable;
    pace->busy_ns = input->busy_ns;
    pace->passed = input->passed;

    double rate = disk_rate(pace, (double)input->pending), window = window_of(input, rate);
    uint64_t age_ns = input->oldest_ns && input->now_ns > input->oldest_ns ? input->now_ns - input->oldest_ns : 0;
    double by_age = input->staleness_ns == PACE_NONE ? 0 : (double)age_ns / (double)input->staleness_ns;
    double by_unsynced = input->unsynced == PACE_NONE ? 0 : (double)input->pending / (double)input->unsynced;
    double by_bytes = undone(pace, input, rate) / window, limits = MAX(by_age, by_unsynced);
    double level = MAX(limits, MIN(by_bytes, ESTIMATE_MAX)), edge = edge_of(input);
    double by_room = MAX(edge, MIN(drain_of(pace, input), ESTIMATE_MAX));
    double allowed = level >= 1 ? 0 : allowed_rate(pace, limits, by_bytes, rate, window);
    allowed = MIN(allowed, allowed_by_room(pace, input, rate));
    level = MAX(level, by_room);
    follow(pace, level);
    bool hurry = (double)input->pending >= HURRY * window || pace->brake;
    uint64_t chunk = chunk_of(input, rate);
    pace->on_its_way = hurry && chunk != PACE_NONE ? 2.0 * (double)chunk : INFINITY;
    *out = (struct pace_output){.level = level,
                                .brake = pace->brake,
                                .rate = (uint64_t)allowed,
                                .hurry = hurry,
                                .disk_rate = (uint64_t)rate,
                                .chunk = chunk,
                                .window = isinf(window) ? PACE_NONE : (uint64_t)window,
                                .age_ns = age_ns,
                                .room_level = by_room};
}
