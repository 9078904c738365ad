#include "persist/regroup.h"
#include "core/assert.h"
#include "core/defs.h"

/* A slower disk's rounds count as this: clients that come back at once do so within a part of it on any network. */
#define ROUND_NS_MAX 8000000ull
#define ROUND_SHIFT  3 /* the average is over about eight rounds */
#define PAUSE_MAX    3u

static uint64_t quiet_ns(const struct regroup *regroup) {
    return regroup->round_ns / 4;
}

static void learn(struct regroup *regroup, uint64_t round_ns) {
    round_ns = MIN(round_ns, ROUND_NS_MAX);
    if (regroup->round_ns == 0)
        regroup->round_ns = round_ns;
    else
        regroup->round_ns += (round_ns >> ROUND_SHIFT) - (regroup->round_ns >> ROUND_SHIFT);
}

/* It was worth it when a quarter of them came. */
static void stop_waiting(struct regroup *regroup) {
    bool in_vain = regroup->seen - regroup->from < (regroup->wanted + 3) / 4;
    regroup->waits = false;
    regroup->pause = in_vain ? MIN(2 * regroup->pause + 1, PAUSE_MAX) : 0;
    regroup->paused = 0;
}

static void begin_to_count(struct regroup *regroup, uint64_t now_ns) {
    regroup->until_ns = now_ns + quiet_ns(regroup);
    regroup->limit_ns = now_ns + regroup->round_ns;
}

void regroup_begin(struct regroup *regroup, uint64_t now_ns, uint64_t durable, uint64_t written, uint64_t round_ns) {
    ASSERT(durable >= regroup->answered && written >= durable);
    regroup->wanted = durable - regroup->answered;
    regroup->answered = durable;
    regroup->from = regroup->seen = written;
    regroup->waits = false;
    learn(regroup, round_ns);
    if (regroup->wanted == 0) return;
    if (regroup->paused++ < regroup->pause) return;
    regroup->waits = true;
    regroup->limit_ns = UINT64_MAX;
    if (written > durable) begin_to_count(regroup, now_ns);
}

void regroup_turn(struct regroup *regroup, uint64_t now_ns, uint64_t written) {
    if (!regroup->waits || (written == regroup->from && regroup->limit_ns == UINT64_MAX)) return;
    if (regroup->limit_ns == UINT64_MAX) begin_to_count(regroup, now_ns);
    if (written != regroup->seen) regroup->until_ns = now_ns + quiet_ns(regroup);
    regroup->seen = written;
    bool all = written - regroup->from >= regroup->wanted;
    if (all || now_ns >= MIN(regroup->until_ns, regroup->limit_ns)) stop_waiting(regroup);
}

uint64_t regroup_due_ns(const struct regroup *regroup) {
    return regroup->waits ? MIN(regroup->until_ns, regroup->limit_ns) : 0;
}
