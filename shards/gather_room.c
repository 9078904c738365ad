/* The line of those that wait for room. */
#include "shards/gather_room.h"
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/shard.h"
#include "shards/txn.h"

#define COPIES   2  /* parts, and what they are joined to */
#define LOOK_MAX 16 /* of those that wait, in a turn */

bool gather_room_for(struct shard *shard, uint64_t bytes) {
    return admit_answer(shard, bytes * COPIES, 0);
}

static bool has_room(struct gather *gather) {
    return admit_answer(gather->home, gather->answers * COPIES, gather->waits_since_ms);
}

static void promise(struct gather *gather) {
    gather->promised = gather->answers * COPIES;
    account_expect(&gather->home->account, gather->promised, 1);
}

void gather_room_came(struct gather *gather, uint64_t bytes) {
    uint64_t came = MIN(bytes, gather->promised);
    gather->promised -= came;
    account_expect(&gather->home->account, came, -1);
}

/* Who comes while others wait stands behind them. */
bool gather_room_take(struct gather *gather) {
    struct shard *home = gather->home;
    if (!home->roomless && has_room(gather)) {
        promise(gather);
        return true;
    }
    gather->waits_since_ms = MAX(home->now_ms, (uint64_t)1);
    gather->next_waits = NULL;
    if (home->roomless)
        home->roomless_last->next_waits = gather;
    else
        home->roomless = gather;
    home->roomless_last = gather;
    return false;
}

/* Nobody will read its reply, and it has nothing else to do. */
static bool is_vain(const struct gather *gather) {
    return !gather->writes && (!gather->client || gather->client->flags & CLIENT_CLOSE_NOW);
}

static struct gather *take_out(struct shard *home, struct gather **link, struct gather *before) {
    struct gather *gather = *link;
    *link = gather->next_waits;
    if (home->roomless_last == gather) home->roomless_last = before;
    gather->next_waits = NULL;
    return gather;
}

/* The first of the line that need not wait any more, before those that were looked at already; NULL: there is none. */
static struct gather *next_ready(struct shard *home, unsigned *looks) {
    struct gather *before = NULL;
    for (struct gather **link = &home->roomless; *link && *looks > 0; link = &before->next_waits, --*looks) {
        if (is_vain(*link) || has_room(*link)) return take_out(home, link, before);
        before = *link;
    }
    return NULL;
}

void gather_room_turn(struct shard *home) {
    unsigned looks = LOOK_MAX;
    struct gather *gather;
    while ((gather = next_ready(home, &looks))) {
        if (is_vain(gather)) {
            txn_drop(gather);
        } else {
            promise(gather);
            txn_go(gather);
        }
    }
}

void gather_room_drop(struct shard *home) {
    while (home->roomless) txn_drop(take_out(home, &home->roomless, NULL));
}
