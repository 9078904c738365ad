/* Replies that wait, at home: per shard a binary heap by position. It is not a queue, since a read waits for the
 * position of the key it shows, which may be long before that of the write that came just before it. */
#include "core/assert.h"
#include "core/resp_write.h"
#include "shards/commit_priv.h"
#include "shards/gather.h"
#include "shards/pipeline.h"
#include "shards/shard.h"
#include "shards/txn.h"

#define RELEASE_MAX    2048u /* replies per turn */
#define WAITS_FIRST    16u
#define TOGETHER_MAX   16u   /* replies that wait as one: what that saves is saved by then */
#define TOGETHER_BYTES 1024u /* of them, so that they are no more than a place in the queue may be expected to hold */

static uint64_t bit(uint32_t shard) {
    return 1ull << shard;
}

/* --- the heap --- */

static void sift_up(struct commit_peer *peer, uint32_t at, struct held_wait wait) {
    for (; at > 0 && peer->waits[(at - 1) / 2].position > wait.position; at = (at - 1) / 2)
        peer->waits[at] = peer->waits[(at - 1) / 2];
    peer->waits[at] = wait;
}

static void sift_down(struct commit_peer *peer, uint32_t at, struct held_wait wait) {
    for (uint32_t child; (child = 2 * at + 1) < peer->count; at = child) {
        child += child + 1 < peer->count && peer->waits[child + 1].position < peer->waits[child].position;
        if (peer->waits[child].position >= wait.position) break;
        peer->waits[at] = peer->waits[child];
    }
    peer->waits[at] = wait;
}

static void free_heap(struct commit *commit, struct commit_peer *peer) {
    heap_free(commit->shard->heap, MEM_MESSAGE, peer->waits, peer->cap * sizeof *peer->waits);
    peer->waits = NULL;
    peer->count = peer->cap = 0;
}

static void push(struct commit *commit, struct commit_peer *peer, struct held_wait wait) {
    if (peer->count == peer->cap) {
        uint32_t cap = peer->cap ? peer->cap * 2 : WAITS_FIRST;
        peer->waits = heap_resize(commit->shard->heap, MEM_MESSAGE, peer->waits, peer->cap * sizeof *peer->waits,
                                  cap * sizeof *peer->waits);
        peer->cap = cap;
    }
    sift_up(peer, peer->count++, wait);
}

static struct held_reply *pop(struct commit *commit, struct commit_peer *peer) {
    struct held_reply *first = peer->waits[0].reply;
    if (--peer->count > 0)
        sift_down(peer, 0, peer->waits[peer->count]);
    else if (peer->cap > WAITS_FIRST)
        free_heap(commit, peer); /* what a burst needed is not kept */
    return first;
}

/* --- holding --- */

static struct held_reply *keep(struct commit *commit, uint32_t owner, uint64_t position, struct message_note note) {
    struct held_reply *held = heap_alloc(commit->shard->heap, MEM_MESSAGE, sizeof *held);
    held->note = note;
    held->position = position;
    held->count = 1;
    buf_init(&held->bytes, commit->shard->heap, MEM_CLIENT_OUT);
    push(commit, &commit->peers[owner], (struct held_wait){position, held});
    if (UNLIKELY(commit->excuse != NULL)) commit->due = true;
    return held;
}

static void held_free(struct commit *commit, struct held_reply *held) {
    buf_deinit(&held->bytes);
    heap_free(commit->shard->heap, MEM_MESSAGE, held, sizeof *held);
}

bool commit_hold(struct shard *shard, uint32_t owner, uint64_t position, struct message_note note, struct slice reply) {
    if (position <= shard->commit.peers[owner].confirmed || reply.len == 0) return false;
    buf_append_slice(&keep(&shard->commit, owner, position, note)->bytes, reply);
    return true;
}

/* May the client's reply be added to the one that was kept last? Nothing of the client's came between, and that is not
 * to leave before what this batch changes is durable. */
static bool follows_latest(const struct commit *commit, const struct client *client, struct slice reply) {
    const struct held_reply *latest = commit->latest_held;
    return latest && latest->note.client == client && latest->note.place + 1 == client->replies.tail &&
           latest->position > commit->batch_from && latest->count < TOGETHER_MAX &&
           latest->bytes.len + reply.len <= TOGETHER_BYTES;
}

void commit_hold_own(struct shard *shard, struct client *client, uint64_t position, struct slice reply) {
    struct commit *commit = &shard->commit;
    ASSERT(position > commit->confirmed && reply.len > 0);
    if (follows_latest(commit, client, reply)) {
        commit->latest_held->position = MAX(commit->latest_held->position, position);
        commit->latest_held->count++;
    } else {
        struct message_note note = {.client = client, .place = reply_queue_reserve(&client->replies)};
        commit->latest_held = keep(commit, shard->id, position, note);
    }
    buf_append_slice(&commit->latest_held->bytes, reply);
}

void commit_deliver_own(struct shard *shard, struct message_note note, struct buf *take, uint64_t position) {
    if (note.gather)
        commit_gather_waits(note.gather, shard->id, position);
    else if (commit_hold(shard, shard->id, position, note, buf_slice(take)))
        return;
    pipeline_deliver_own(shard, note, take);
}

static void owe_less(struct gather *gather) {
    ASSERT(gather->owed > 0);
    if (--gather->owed == 0) gather_confirmed(gather);
}

static void let_go(struct commit *commit, struct held_reply *held) {
    if (held->note.gather)
        owe_less(held->note.gather);
    else
        pipeline_deliver_own(commit->shard, held->note, &held->bytes);
    held_free(commit, held);
}

/* An error that nobody has worded as one: in place of each reply. */
static void replace_reply(struct commit *commit, struct held_reply *held) {
    struct shard *shard = commit->shard;
    if (held->note.gather)
        gather_excuse(held->note.gather, commit->excuse);
    else
        buf_reset(&held->bytes, 0);
    for (uint32_t i = 0; i < held->count; i++) {
        if (!held->note.gather) resp_errorf(&held->bytes, "%s", commit->excuse);
        error_stats_count(&shard->errors, SLICE("MISCONF"));
        shard->stats.errors++;
    }
}

/* True when some are left. */
static bool release_excused(struct commit *commit) {
    uint32_t budget = RELEASE_MAX;
    for (uint32_t i = 0; i < commit->shard->count; i++) {
        struct commit_peer *peer = &commit->peers[i];
        for (; peer->count > 0; budget--) {
            if (budget == 0) return true;
            struct held_reply *held = pop(commit, peer);
            replace_reply(commit, held);
            let_go(commit, held);
        }
    }
    return false;
}

/* Takes out one whose position is confirmed; NULL: there is none. One that others have joined since goes back among
 * those that wait. */
static struct held_reply *next_confirmed(struct commit *commit, struct commit_peer *peer) {
    while (peer->count > 0 && peer->waits[0].position <= peer->confirmed) {
        struct held_reply *held = peer->waits[0].reply;
        if (held->position <= peer->confirmed) return pop(commit, peer);
        sift_down(peer, 0, (struct held_wait){held->position, held});
    }
    return NULL;
}

bool commit_release(struct commit *commit) {
    ASSERT(!commit->latest_held);
    for (uint32_t budget = RELEASE_MAX; commit->ready; commit->ready &= commit->ready - 1) {
        struct commit_peer *peer = &commit->peers[(uint32_t)__builtin_ctzll(commit->ready)];
        for (; peer->count > 0 && peer->waits[0].position <= peer->confirmed; budget--) {
            if (budget == 0) return true;
            struct held_reply *held = next_confirmed(commit, peer);
            if (held) let_go(commit, held);
        }
    }
    return commit->excuse && release_excused(commit);
}

static void drop(struct commit *commit, struct held_reply *held) {
    struct gather *gather = held->note.gather;
    if (gather && --gather->owed == 0) gather_abandon(gather);
    held_free(commit, held);
}

void commit_drop_waits(struct commit *commit) {
    for (uint32_t i = 0; i < commit->shard->count; i++) {
        struct commit_peer *peer = &commit->peers[i];
        for (uint32_t k = 0; k < peer->count; k++) drop(commit, peer->waits[k].reply);
        free_heap(commit, peer);
    }
    commit->ready = commit->listeners = 0;
}

void commit_check_waits(const struct commit *commit) {
    for (uint32_t i = 0; i < commit->shard->count; i++) {
        const struct commit_peer *peer = &commit->peers[i];
        ASSERT(peer->count <= peer->cap);
        for (uint32_t k = 1; k < peer->count; k++) ASSERT(peer->waits[(k - 1) / 2].position <= peer->waits[k].position);
        for (uint32_t k = 0; k < peer->count; k++) ASSERT(peer->waits[k].position <= peer->waits[k].reply->position);
        ASSERT(peer->count == 0 || peer->waits[0].position > peer->confirmed || commit->ready & bit(i));
    }
}

/* --- gathers --- */

void commit_gather_waits(struct gather *gather, uint32_t owner, uint64_t position) {
    if (LIKELY(!position)) return;
    while (gather->parent) gather = gather->parent;
    if (!gather->waits_for)
        gather->waits_for =
            heap_alloc_zero(gather->home->heap, MEM_MESSAGE, gather->home->count * sizeof *gather->waits_for);
    gather->waits_for[owner] = MAX(gather->waits_for[owner], position);
}

void commit_gather_free(struct gather *gather) {
    if (!gather->waits_for) return;
    heap_free(gather->home->heap, MEM_MESSAGE, gather->waits_for, gather->home->count * sizeof *gather->waits_for);
    gather->waits_for = NULL;
}

static bool wait_for(struct gather *gather, uint32_t owner, uint64_t position) {
    struct commit *commit = &gather->home->commit;
    if (position <= commit->peers[owner].confirmed) return false;
    keep(commit, owner, position, (struct message_note){.gather = gather});
    gather->owed++;
    return true;
}

/* A transaction is safe everywhere when one participant has confirmed it: home, if it is one, has no message to wait
 * for. Else what each part has shown is waited for. */
bool commit_gather_holds(struct gather *gather) {
    const struct shard *home = gather->home;
    if (!gather->waits_for) return gather->owed > 0;
    bool here = wait_for(gather, home->id, gather->waits_for[home->id]);
    for (uint32_t i = 0; i < home->count && !(gather->holds_txn && here); i++)
        if (i != home->id) here |= wait_for(gather, i, gather->waits_for[i]);
    return gather->owed > 0;
}

void commit_gather_left(struct gather *gather, uint32_t owner, uint64_t position) {
    (void)wait_for(gather, owner, position);
    owe_less(gather);
}
