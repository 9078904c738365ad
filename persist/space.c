/* The arithmetic errs on the side of the disk: what is not known is taken to be as large as it can be, but for the size
 * of a checkpoint when there has been none, which is tried, and given up when it finds no room. */
#include "persist/space.h"
#include "core/defs.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define MB            (1ull << 20)
#define MARGIN_MAX    (64 * MB)
#define MARGIN_PART   32 /* of the disk */
#define NEAR_MAX      (64 * MB)
#define NEAR_PART     32 /* of the budget */
#define NEAR_MIN      (1 * MB)
#define EARLY_PART    4  /* of a checkpoint: so much more room is to be there when it begins, if there ever is */
#define ROOMY_PARTS   32 /* of the space at whose end writes become slower: with less the log takes nothing in advance */
#define ROOMY_TIMES   4  /* a checkpoint; nor with less than that to share with two of them */
#define WORTH_PART    50        /* of a checkpoint: a log that is longer is worth another one, when space is scarce */
#define WORTH_MIN     (MB / 16) /* so is one, however scarce it is */
#define GRACE_PART    8         /* of a checkpoint: by so much its estimate may be too high */
#define RATE_AT_FIRST 50e6      /* bytes a second, until a checkpoint has shown its speed */
#define SLOWER        1.5       /* it is read back at the end */
#define AROUND        0.3 /* seconds that it takes whatever its size: its cuts, the manifest, and to be measured again */
#define FASTEST       4e9 /* bytes a second: no disk takes more */
#define AGAIN_MIN     0.1 /* seconds; persist/pace.c counts on it */
#define AGAIN_MAX     2.0

/* --- measuring --- */

struct sum {
    const struct datadir *dir;
    uint64_t base, fresh;
    struct space space;
};

static void add_file(void *ctx, const char *name, struct datadir_name is) {
    struct sum *sum = ctx;
    struct stat facts;
    if (is.kind == DATADIR_OTHER || fstatat(sum->dir->fd, name, &facts, AT_SYMLINK_NOFOLLOW) < 0) return;
    uint64_t bytes = (uint64_t)facts.st_blocks * 512;
    sum->space.used += bytes;
    if (is.kind != DATADIR_CHECKPOINT || is.number == 0) return;
    if (is.number == sum->base) sum->space.base += bytes;
    if (is.number == sum->fresh) sum->space.fresh += bytes;
}

int space_measure(const struct datadir *dir, uint64_t base, uint64_t fresh, struct space *out) {
    struct statvfs facts;
    struct sum sum = {.dir = dir, .base = base, .fresh = fresh};
    struct error error = {0};
    if (fstatvfs(dir->fd, &facts) < 0) return -errno;
    if (datadir_list(dir, add_file, &sum, &error) != ST_OK) return error.os_errno ? -error.os_errno : -EIO;
    *out = sum.space;
    out->free = (uint64_t)facts.f_bavail * facts.f_frsize;
    out->total = (uint64_t)facts.f_blocks * facts.f_frsize;
    return 0;
}

/* --- planning --- */

static uint64_t less(uint64_t a, uint64_t b) {
    return a - MIN(a, b);
}

/* What is spare is filled before anything else is taken, or given back when space is short. */
static uint64_t needed(const struct space_input *input) {
    return less(input->space.used, input->spare);
}

/* What the disk has for us, but for a margin. */
static uint64_t possible_of(const struct space_input *input) {
    uint64_t margin = MIN(MARGIN_MAX, input->space.total / MARGIN_PART);
    return less(input->space.used + input->space.free, margin);
}

/* What the checkpoint under way will come to: more than was expected, if its keys so far say so. They are believed as
 * far as they go. */
static uint64_t whole_of(const struct space_input *input) {
    uint64_t least = MAX(input->expected, input->saved);
    if (!input->keys || !input->keys_total) return least;
    double saved = (double)input->saved, part = MIN(1.0, (double)input->keys / (double)input->keys_total);
    double by_keys = saved / part, other = input->expected ? (double)input->expected : by_keys;
    return MAX(least, (uint64_t)(saved + (1 - part) * (part * by_keys + (1 - part) * other)));
}

/* What is still to be written of the one under way, or of the next, beyond what it may have in exchange. */
static uint64_t rest_of(const struct space_input *input) {
    return less(input->saving ? whole_of(input) : input->expected, input->space.fresh);
}

/* Two checkpoints, the one that is there and another one, are too much by themselves. */
static bool is_hopeless(const struct space_input *input, uint64_t budget) {
    return input->space.base + input->expected - input->expected / GRACE_PART > budget;
}

static double seconds_for(const struct space_input *input, uint64_t rest) {
    double rate = input->rate > 0 ? input->rate : RATE_AT_FIRST;
    if (input->saving && input->seconds > 1 && input->saved) rate = (double)input->saved / input->seconds;
    return AROUND + SLOWER * (double)rest / rate;
}

/* Beside two checkpoints the log has what is left: a half before the next one begins, the other half meanwhile. */
static uint64_t early_of(const struct space_input *input, uint64_t budget) {
    return MIN(input->expected / EARLY_PART, less(budget, 2 * input->expected) / 2);
}

/* A log that is not worth the writing of everything is left; where there is hardly room for one, a half of that is. */
static bool is_worth_it(const struct space_input *input, uint64_t budget) {
    uint64_t log = less(needed(input), input->space.base + input->space.fresh);
    uint64_t most = less(budget, input->space.base + input->expected);
    uint64_t usual = MAX(NEAR_MIN, input->expected / WORTH_PART);
    return log > (most > 0 ? MAX(WORTH_MIN, MIN(usual, most / 2)) : usual);
}

/* Nothing is to be done before `slack` bytes are gone. */
static double again_after(uint64_t slack) {
    return MAX(AGAIN_MIN, MIN(AGAIN_MAX, (double)slack / FASTEST));
}

void space_plan(const struct space_input *input, struct space_plan *out) {
    uint64_t possible = possible_of(input), budget = input->budget ? MIN(input->budget, possible) : possible;
    uint64_t left = less(budget, needed(input)), rest = rest_of(input);
    uint64_t near = MAX(NEAR_MIN, MIN(NEAR_MAX, budget / NEAR_PART));
    uint64_t wanted = input->expected + early_of(input, budget);
    bool hopeless = is_hopeless(input, budget);
    uint64_t kept = hopeless && !input->saving ? 0 : rest;
    uint64_t then = input->saving ? less(needed(input) + rest, input->space.base) : needed(input);
    uint64_t soon = left + (input->saving ? 0 : input->space.fresh);
    bool tight = !input->saving && input->expected && soon < wanted && is_worth_it(input, budget);
    *out = (struct space_plan){.budget = budget,
                               .room = less(left, kept),
                               .near = near,
                               .seconds = input->saving || tight ? seconds_for(input, rest) : 0,
                               .most = less(hopeless ? budget : possible, then) + near,
                               .roomy = less(left, kept) / ROOMY_PARTS > near && budget / ROOMY_TIMES > input->expected,
                               .tight = tight,
                               .again = again_after(less(left, MAX(kept, wanted)))};
}
