/* Transactions at home: masks of shards, a bit each, say who was asked and who has granted. */
#include "shards/txn.h"
#include "core/assert.h"
#include "shards/gather_room.h"
#include "shards/message.h"
#include "shards/pipeline.h"
#include "shards/planted.h"
#include "shards/request.h"
#include "shards/shard.h"

#define STAMP_STEP SHARDS_MAX /* the low bits of a stamp are the shard */
static_assert((STAMP_STEP & (STAMP_STEP - 1)) == 0, "a stamp's low bits are a shard");

/* Nanoseconds of the turn, so that stamps of different shards are about in order of time and
 * whoever waits grows old. */
uint64_t txn_stamp(struct shard *shard) {
    uint64_t now = shard->now_ns & ~(uint64_t)(STAMP_STEP - 1);
    shard->stamp = MAX(shard->stamp + STAMP_STEP, STAMP_OTHER | now | shard->id);
    return shard->stamp;
}

static uint64_t bit(uint32_t shard) {
    return 1ull << shard;
}

/* --- asking --- */

/* A word about a part that stands there in line. */
static struct message_item *send_word(struct gather *gather, uint32_t to, enum item_how how, struct message_note note) {
    struct message_item *item = message_add(pipeline_outgoing(gather->home, to, false), note, NULL, 0);
    item->how = (uint8_t)how;
    item->stamp = gather->stamp;
    gather->home->stats.hops_sent++;
    return item;
}

uint64_t txn_participants(const struct gather *gather) {
    return gather->writes && !gather->dirty && !gather->blocks ? gather->asked : 0;
}

void txn_begin(struct gather *gather, uint64_t shards) {
    txn_begin_again(gather, shards, txn_stamp(gather->home), 0);
}

void txn_begin_again(struct gather *gather, uint64_t shards, uint64_t stamp, uint64_t granted) {
    ASSERT(gather->phase == TXN_FREE && shards && (granted & ~shards) == 0);
    gather->stamp = stamp;
    gather->phase = TXN_LOCKING;
    gather->asked = shards;
    gather->granted = granted;
    idmap_put(&gather->home->txns, stamp, gather);
}

static uint32_t part_of(const struct gather *gather, uint32_t shard) {
    uint32_t part = 0;
    while (gather->sending[part].shard != shard) part++;
    return part;
}

/* Where a shard's grant is noted: before the first of several steps there are no parts, but there is room for them. */
static struct gather_part *granted_part(const struct gather *gather, uint32_t shard) {
    return &gather->sending[gather->stepped ? shard : part_of(gather, shard)];
}

static void take_grant(struct gather *gather, uint32_t shard, struct grant grant) {
    ASSERT(!(gather->granted & bit(shard)));
    gather->granted |= bit(shard);
    gather->dirty |= !grant.clean;
    if (LIKELY(!grant.answers)) return;
    granted_part(gather, shard)->answers = grant.answers;
    gather->answers += grant.answers;
}

static void return_grant(struct gather *gather, uint32_t shard) {
    gather->granted &= ~bit(shard);
    if (LIKELY(!gather->answers)) return;
    struct gather_part *part = granted_part(gather, shard);
    gather->answers -= part->answers;
    part->answers = 0;
}

/* Two shards and one of them is home, whose locks are there already, and whose own part replies little: when the other
 * one has run there is no way back. */
static bool may_try(const struct gather *gather) {
    uint64_t here = bit(gather->home->id);
    return gather->granted == here && !gather->dirty && !gather->answers && __builtin_popcountll(gather->asked) == 2;
}

void txn_ask(struct gather *gather, uint32_t to, const struct exec *x) {
    struct shard *home = gather->home;
    ASSERT(gather->phase == TXN_LOCKING && gather->asked & bit(to));
    if (to == home->id) {
        if (!request_line_up(x, gather->stamp, home->id)) return;
        take_grant(gather, to, request_grant(x));
        return;
    }
    enum item_how how = ITEM_LOCK;
    if (!gather->stepped && may_try(gather)) {
        how = ITEM_TRY;
        gather->phase = TXN_TRYING;
    }
    struct message_note note = {.gather = gather, .place = to, .kind = NOTE_LOCK};
    struct message_item *item = message_add_exec(pipeline_outgoing(home, to, false), note, x);
    item->how = (uint8_t)how;
    item->stamp = gather->stamp;
    item->part = true;
    item->writes = gather->writes;
    home->stats.hops_sent++;
}

/* --- all locks are held --- */

static void run_here(struct gather *gather) {
    struct shard *home = gather->home;
    struct buf out;
    buf_init(&out, home->heap, MEM_CLIENT_OUT);
    buf_pool_lend(&home->replies, &out); /* it is joined and given back in a moment */
    uint64_t position;
    enum request_went went = request_go(home, gather->stamp, txn_participants(gather), &out, &position);
    ASSERT(went == REQUEST_RAN);
    commit_gather_waits(gather, home->id, position);
    gather_part_done_own(gather, part_of(gather, home->id), &out);
}

/* Home's own part comes last: when it is the last one the gather ends here. */
static void run_parts(struct gather *gather) {
    bool here = false;
    for (uint32_t i = 0; i < gather->sent; i++) {
        const struct gather_part *part = &gather->sending[i];
        if (part->done) continue; /* the try has run */
        if (part->shard == gather->home->id)
            here = true;
        else
            send_word(gather, part->shard, ITEM_GO, (struct message_note){.gather = gather, .place = i})->participants =
                txn_participants(gather);
    }
    if (here) run_here(gather);
}

/* answers: says where the transaction stands in its journal. */
static void send_leave(struct gather *gather, uint32_t to, bool answers) {
    struct message_note note = {.kind = NOTE_LEFT};
    if (answers) note.gather = gather;
    struct message_item *item = send_word(gather, to, ITEM_LEAVE, note);
    item->participants = txn_participants(gather);
    item->silent = !answers;
    gather->owed += answers;
}

/* When the reply waits for the disk, one shard that says where is enough; home needs not be asked. */
static void leave_everywhere(struct gather *gather, uint64_t shards) {
    struct shard *home = gather->home;
    uint64_t participants = txn_participants(gather);
    bool ask = gather->holds_txn && !(shards & bit(home->id));
    for (uint64_t left = shards & ~bit(home->id); left; left &= left - 1, ask = false)
        send_leave(gather, (uint32_t)__builtin_ctzll(left), ask);
    if (!(shards & bit(home->id))) return;
    uint64_t position = request_leave(home, gather->stamp, participants);
    if (gather->holds_txn) commit_gather_waits(gather, home->id, position);
}

/* Nothing runs. error: why; NULL: a watched key was changed. in_line are the shards where a part stands. */
static void give_up(struct gather *gather, uint64_t in_line, const char *error) {
    gather->phase = TXN_HELD;
    gather->dirty = true;
    leave_everywhere(gather, in_line);
    gather->in_line = 0;
    gather_drop(gather, error);
}

static void held(struct gather *gather) {
    if (gather->dirty) {
        give_up(gather, gather->asked, NULL);
        return;
    }
    gather->phase = TXN_HELD;
    if (LIKELY(!gather->answers) || gather_room_take(gather)) txn_go(gather);
}

void txn_go(struct gather *gather) {
    if (gather->stepped) {
        gather->in_line = gather->asked;
        gather_go_on(gather);
    } else {
        run_parts(gather);
    }
}

void txn_drop(struct gather *gather, const char *error) {
    give_up(gather, gather->asked, error);
}

void txn_prefetch(const struct gather *gather, uint32_t shard, keyspace_prefetch prefetch) {
    uint64_t missing = gather->asked & ~gather->granted;
    bool last = gather->phase == TXN_TRYING || (gather->phase == TXN_LOCKING && missing == bit(shard));
    if (last && gather->granted & bit(gather->home->id)) request_prefetch(gather->home, gather->stamp, prefetch);
}

void txn_asked_all(struct gather *gather) {
    if (PLANTED(gather->home, PLANT_EARLY_UNLOCK) && gather->phase == TXN_TRYING) run_here(gather);
    if (gather->phase == TXN_LOCKING && gather->granted == gather->asked) held(gather);
}

void txn_end(struct gather *gather) {
    if (gather->borrowed) return;
    uint64_t in_line = gather->in_line;
    gather->in_line = 0;
    idmap_take(&gather->home->txns, gather->stamp); /* before: a blocked client may be served under the same stamp */
    leave_everywhere(gather, in_line);
}

/* --- what comes back --- */

static void note_grant(struct gather *gather, uint32_t shard, struct grant grant) {
    ASSERT(gather->phase == TXN_LOCKING);
    take_grant(gather, shard, grant);
    txn_asked_all(gather);
}

static void give_way(struct gather *gather, uint32_t shard) {
    struct shard *home = gather->home;
    return_grant(gather, shard);
    if (shard == home->id)
        request_yield(home, gather->stamp);
    else
        send_word(gather, shard, ITEM_YIELD, (struct message_note){0});
}

static void tried(struct gather *gather, uint32_t shard, struct slice reply, struct message *message) {
    if (reply.len == 1 && reply.ptr[0] == GRANT_DIRTY) {
        give_up(gather, bit(gather->home->id), NULL);
        return;
    }
    gather->phase = TXN_HELD;
    gather_part_done(gather, part_of(gather, shard), reply, message);
    run_parts(gather);
}

void txn_lock_reply(struct gather *gather, uint32_t shard, bool later, struct slice reply, struct message *message) {
    if (gather->phase == TXN_TRYING) {
        if (!later) {
            tried(gather, shard, reply, message);
            return;
        }
        gather->phase = TXN_LOCKING;
        if (gather->asked_back) give_way(gather, gather->home->id);
        gather->asked_back = false;
        return;
    }
    if (!later) note_grant(gather, shard, grant_read(reply));
}

void txn_granted(struct shard *home, uint64_t stamp, uint32_t shard, struct grant grant) {
    struct gather *gather = idmap_get(&home->txns, stamp);
    ASSERT(gather);
    note_grant(gather, shard, grant);
}

void txn_revoked(struct shard *home, uint64_t stamp, uint32_t shard) {
    struct gather *gather = idmap_get(&home->txns, stamp);
    if (!gather) return; /* it ended meanwhile */
    if (gather->phase == TXN_TRYING)
        gather->asked_back = true; /* until the try is answered nothing can be given back */
    else if (gather->phase == TXN_LOCKING && gather->granted & bit(shard))
        give_way(gather, shard);
    else if (PLANTED(home, PLANT_EARLY_YIELD) && gather->waits_since_ms && gather->sent == gather->pending)
        give_way(gather, shard);
}
