/* The line of those that wait for room. */
#include "shards/gather_room.h"
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/answer_work.h"
#include "shards/shard.h"
#include "shards/txn.h"

#define COPIES   2  /* parts, and what they are joined to */
#define LOOK_MAX 16 /* of those that wait, in a turn */

bool gather_room_for(struct shard *shard, uint64_t bytes) {
    return admit_answer(shard, bytes * COPIES);
}

static void promise(struct gather *gather, uint64_t bytes) {
    gather->promised = bytes;
    account_expect(&gather->home->account, bytes, 1);
}

void gather_room_came(struct gather *gather, uint64_t bytes) {
    uint64_t came = MIN(bytes, gather->promised);
    gather->promised -= came;
    account_expect(&gather->home->account, came, -1);
}

/* On other shards others may stand behind what it has there; of a transaction that changes keys that is assumed. */
static bool hurries(const struct gather *gather) {
    const struct locks *locks = gather->home->locks;
    return gather->hurries || locks_is_waited_for(locks, locks_find(locks, gather->stamp));
}

bool gather_room_for_steps(struct gather *gather, uint64_t bytes) {
    struct gather *whole = gather->parent ? gather->parent : gather; /* a transaction waits for so long in all */
    gather_room_came(gather, gather->promised);
    if (!whole->waits_since_ms) whole->waits_since_ms = MAX(gather->home->now_ms, (uint64_t)1);
    enum admission may =
        bytes ? admit_waiting_answer(gather->home, bytes, whole->waits_since_ms, hurries(gather)) : ADMIT_GO;
    if (may == ADMIT_WAIT) gather_let_turn_pass(gather);
    if (may == ADMIT_REFUSE) gather_error(gather, answer_refusal(gather->slot->row));
    if (may != ADMIT_GO) return false;
    if (!gather->parent) gather->waits_since_ms = 0;
    promise(gather, bytes);
    return true;
}

/* Who comes while others wait stands behind them. */
bool gather_room_take(struct gather *gather) {
    struct shard *home = gather->home;
    if (!home->roomless && admit_answer(home, gather->answers * COPIES)) {
        promise(gather, gather->answers * COPIES);
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

static enum admission admit(const struct gather *gather) {
    struct shard *home = gather->home;
    if (!is_vain(gather))
        return admit_waiting_answer(home, gather->answers * COPIES, gather->waits_since_ms, hurries(gather));
    admit_answer_ends(home, gather->waits_since_ms);
    return ADMIT_REFUSE;
}

/* The first of the line that need not wait any more, behind which others may have been looked at; NULL: there is none
 * among so many. */
static struct gather *next_ready(struct shard *home, unsigned *looks, enum admission *may) {
    struct gather *before = NULL;
    for (struct gather **link = &home->roomless; *link && *looks > 0; link = &before->next_waits, --*looks) {
        *may = admit(*link);
        if (*may != ADMIT_WAIT) return take_out(home, link, before);
        before = *link;
    }
    return NULL;
}

void gather_room_turn(struct shard *home) {
    unsigned looks = LOOK_MAX;
    enum admission may;
    struct gather *gather;
    while ((gather = next_ready(home, &looks, &may))) {
        if (may == ADMIT_REFUSE) {
            txn_drop(gather, answer_refusal(gather->slot->row));
        } else {
            promise(gather, gather->answers * COPIES);
            txn_go(gather);
        }
    }
}

void gather_room_drop(struct shard *home) {
    while (home->roomless) txn_drop(take_out(home, &home->roomless, NULL), "ERR the server is shutting down");
}
