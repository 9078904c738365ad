/* Commit: positions, the keys of the open window, and replies that wait. All that a durable position sets going is done
 * at the end of a turn (commit_turn_slow), a bounded piece of it at a time. */
#include "shards/commit.h"
#include "core/assert.h"
#include "shards/commit_cut.h"
#include "shards/commit_priv.h"
#include "shards/exec.h"
#include "shards/planted.h"
#include "shards/request.h"
#include "shards/shard.h"

#define FRESH_FIRST 16u
#define FORGET_MAX  4096u /* changes per turn: 50 ns each */
#define TELL_MAX    1024u /* transactions per turn */
#define CUT_MAX     4096u /* the same for the cut: 100 ns each */

static uint64_t bit(uint32_t shard) {
    return 1ull << shard;
}

void commit_init(struct shard *shard) {
    struct commit *commit = &shard->commit;
    *commit = (struct commit){.shard = shard};
    commit->peers = heap_alloc_zero(shard->heap, MEM_MESSAGE, shard->count * sizeof *commit->peers);
    idmap_init(&commit->latest, shard->heap, MEM_MESSAGE);
    if (shard->id == 0) commit->cut = commit_cut_new(shard->heap, shard->count);
}

static void free_fresh(struct commit *commit) {
    heap_free(commit->shard->heap, MEM_MESSAGE, commit->fresh, commit->fresh_cap * sizeof *commit->fresh);
    commit->fresh = NULL;
    commit->fresh_count = commit->fresh_cap = 0;
}

void commit_drop(struct shard *shard) {
    struct commit *commit = &shard->commit;
    commit->on = commit->due = false;
    commit_drop_waits(commit);
    free_fresh(commit);
}

void commit_deinit(struct shard *shard) {
    struct commit *commit = &shard->commit;
    struct heap *heap = shard->heap;
    commit_drop(shard);
    if (commit->cut) commit_cut_delete(commit->cut);
    idmap_deinit(&commit->latest);
    heap_free(heap, MEM_MESSAGE, commit->changes.ring, commit->changes.cap * sizeof *commit->changes.ring);
    heap_free(heap, MEM_MESSAGE, commit->txns.ring, commit->txns.cap * sizeof *commit->txns.ring);
    heap_free(heap, MEM_MESSAGE, commit->peers, shard->count * sizeof *commit->peers);
}

/* --- transactions in this shard's journal --- */

static struct commit_txn *txn_at(const struct commit_txns *txns, uint64_t number) {
    return &txns->ring[number & (txns->cap - 1)];
}

static void txns_grow(struct commit *commit) {
    struct commit_txns *txns = &commit->txns;
    uint32_t cap = txns->cap ? txns->cap * 2 : 16;
    struct commit_txn *ring = heap_alloc(commit->shard->heap, MEM_MESSAGE, cap * sizeof *ring);
    for (uint64_t i = txns->head; i < txns->tail; i++) ring[i & (cap - 1)] = *txn_at(txns, i);
    heap_free(commit->shard->heap, MEM_MESSAGE, txns->ring, txns->cap * sizeof *ring);
    txns->ring = ring;
    txns->cap = cap;
}

static void add_txn(struct commit *commit, uint64_t position, uint64_t stamp, uint64_t participants) {
    struct commit_txns *txns = &commit->txns;
    if (txns->tail - txns->head == txns->cap) txns_grow(commit);
    *txn_at(txns, txns->tail++) = (struct commit_txn){position, stamp, participants};
}

static void txns_are_safe(struct commit *commit, uint64_t count) {
    struct commit_txns *txns = &commit->txns;
    ASSERT(count >= txns->head && count <= txns->told);
    txns->head = count;
    commit->due = true;
    if (txns->head != txns->tail) return;
    heap_free(commit->shard->heap, MEM_MESSAGE, txns->ring, txns->cap * sizeof *txns->ring);
    txns->ring = NULL;
    txns->cap = 0;
}

void commit_start(struct shard *shard, uint64_t stamp) {
    struct commit *commit = &shard->commit;
    ASSERT(shard->effects.on && !commit->on);
    commit->on = true;
    /* What was before counts as one transaction of all shards: nothing behind it is safe before
     * all of it is durable. */
    if (stamp && shard->count > 1)
        add_txn(commit, shard->effects.position, stamp, shard->count == 64 ? UINT64_MAX : bit(shard->count) - 1);
    commit->due = true;
}

void commit_stop(struct shard *shard) {
    shard->commit.on = false;
}

/* --- keys of the open window --- */

static uint64_t name_of(uint64_t hash) {
    return hash ? hash : 1;
}

static void changes_grow(struct commit *commit) {
    struct commit_changes *changes = &commit->changes;
    uint32_t cap = changes->cap ? changes->cap * 2 : 64;
    struct commit_change *ring = heap_alloc(commit->shard->heap, MEM_MESSAGE, cap * sizeof *ring);
    for (uint64_t i = changes->head; i < changes->tail; i++)
        ring[i & (cap - 1)] = changes->ring[i & (changes->cap - 1)];
    heap_free(commit->shard->heap, MEM_MESSAGE, changes->ring, changes->cap * sizeof *ring);
    changes->ring = ring;
    changes->cap = cap;
}

static void add_change(struct commit *commit, uint64_t hash, uint64_t position) {
    struct commit_changes *changes = &commit->changes;
    if (changes->tail - changes->head == changes->cap) changes_grow(commit);
    changes->ring[changes->tail++ & (changes->cap - 1)] = (struct commit_change){hash, position};
    idmap_take(&commit->latest, name_of(hash));
    idmap_put(&commit->latest, name_of(hash), (void *)(uintptr_t)position);
}

/* Those that are confirmed, a bounded number. True when some are left. */
static bool forget_changes(struct commit *commit) {
    struct commit_changes *changes = &commit->changes;
    for (uint32_t i = 0; changes->head < changes->tail; i++, changes->head++) {
        const struct commit_change *first = &changes->ring[changes->head & (changes->cap - 1)];
        if (first->position > commit->confirmed) return false;
        if (i == FORGET_MAX) return true;
        uint64_t name = name_of(first->hash);
        if ((uintptr_t)idmap_get(&commit->latest, name) == first->position) idmap_take(&commit->latest, name);
    }
    heap_free(commit->shard->heap, MEM_MESSAGE, changes->ring, changes->cap * sizeof *changes->ring);
    changes->ring = NULL;
    changes->cap = 0;
    return false;
}

static void add_fresh(struct commit *commit, uint64_t hash) {
    if (commit->fresh_count == commit->fresh_cap) {
        uint32_t cap = commit->fresh_cap ? commit->fresh_cap * 2 : FRESH_FIRST;
        commit->fresh = heap_resize(commit->shard->heap, MEM_MESSAGE, commit->fresh,
                                    commit->fresh_cap * sizeof *commit->fresh, cap * sizeof *commit->fresh);
        commit->fresh_cap = cap;
    }
    commit->fresh[commit->fresh_count++] = hash;
}

static void note_changed(void *ctx, const struct exec *x, uint32_t at, enum lock_mode mode, bool wide) {
    struct commit *commit = ctx;
    if (mode != LOCK_EXCLUSIVE) return;
    if (wide)
        commit->fresh_all = true;
    else
        add_fresh(commit, exec_hash(x, at));
}

static void note_shown(void *ctx, const struct exec *x, uint32_t at, enum lock_mode mode, bool wide) {
    struct commit *commit = ctx;
    (void)mode;
    if (PLANTED(commit->shard, PLANT_EARLY_READ)) return;
    uint64_t position =
        wide ? commit->shard->effects.position : (uintptr_t)idmap_get(&commit->latest, name_of(exec_hash(x, at)));
    commit->seen = MAX(commit->seen, MAX(position, commit->all_changed));
}

/* A row with locks of its own is a frame for commands that speak for themselves. */
void commit_note(const struct exec *x, bool changed) {
    struct commit *commit = &x->shard->commit;
    if (x->slot->row->locks) return;
    if (changed) {
        commit->changed = true;
        request_each_lock(x, note_changed, commit);
    } else if (commit->confirmed < x->shard->effects.position) {
        request_each_lock(x, note_shown, commit);
    }
}

/* The group that has changed these keys has a position now. */
static void place_fresh(struct commit *commit, uint64_t position) {
    for (uint32_t i = 0; i < commit->fresh_count; i++) add_change(commit, commit->fresh[i], position);
    if (commit->fresh_all) commit->all_changed = position;
    commit->fresh_count = 0;
    commit->fresh_all = false;
    if (commit->fresh_cap > FRESH_FIRST) free_fresh(commit);
}

static uint64_t unless_confirmed(const struct commit *commit, uint64_t position) {
    return position > commit->confirmed ? position : 0;
}

uint64_t commit_end_slow(struct commit *commit) {
    uint64_t position = commit->shard->effects.position, waits = commit->seen;
    if (commit->changed) {
        place_fresh(commit, position);
        waits = position;
    }
    commit->changed = false;
    commit->seen = 0;
    return unless_confirmed(commit, waits);
}

uint64_t commit_end_step_slow(struct commit *commit) {
    uint64_t waits = commit->changed ? 0 : commit->seen;
    commit->changed = commit->fresh_all = false;
    commit->fresh_count = 0;
    commit->seen = 0;
    return unless_confirmed(commit, waits);
}

static bool is_several(uint64_t participants) {
    return (participants & (participants - 1)) != 0;
}

uint64_t commit_end_part_slow(struct commit *commit, uint64_t stamp, uint64_t participants) {
    uint64_t waits = commit_end_slow(commit), position = commit->shard->effects.position;
    if (!is_several(participants)) return waits;
    add_txn(commit, position, stamp, participants);
    return unless_confirmed(commit, position);
}

uint64_t commit_end_steps_slow(struct commit *commit, const struct lock_request *lock, uint64_t participants) {
    uint64_t position = commit->shard->effects.position;
    for (uint32_t i = 0; i < lock->link_count; i++)
        if (lock->links[i].mode == LOCK_EXCLUSIVE) add_change(commit, lock->links[i].id, position);
    if (lock->wide && lock->wide_mode == LOCK_EXCLUSIVE) commit->all_changed = position;
    if (is_several(participants)) add_txn(commit, position, lock->stamp, participants);
    return unless_confirmed(commit, position);
}

/* --- positions --- */

void commit_durable(struct shard *shard, uint64_t position) {
    struct commit *commit = &shard->commit;
    ASSERT(position >= commit->durable && position <= shard->effects.position);
    if (position == commit->durable) return;
    commit->durable = position;
    commit->due = true;
}

void commit_set_excuse(struct shard *shard, const char *text) {
    shard->commit.excuse = text;
    if (text && shard->commit.on) shard->commit.due = true;
}

static struct message_item *tell(struct shard *shard, uint32_t to, enum item_how how, uint64_t number) {
    struct message *message = request_news(shard, to);
    size_t at = message_news_open(message, how, number);
    message_news_close(message, at);
    return message_item_at(message, at);
}

/* Shard 0 hears of transactions that are on our disk, a bounded number. True when some are left. */
static bool tell_durable(struct commit *commit) {
    struct commit_txns *txns = &commit->txns;
    for (uint32_t i = 0; txns->told < txns->tail; i++, txns->told++) {
        const struct commit_txn *txn = txn_at(txns, txns->told);
        if (txn->position > commit->durable) return false;
        if (i == TELL_MAX) return true;
        if (commit->cut)
            commit_cut_add(commit->cut, commit->shard->id, txn->stamp, txn->participants);
        else
            tell(commit->shard, 0, NEWS_DURABLE, txn->stamp)->participants = txn->participants;
    }
    return false;
}

/* True when some are left. */
static bool tell_safe(struct commit *commit) {
    for (uint64_t left = commit_cut_advance(commit->cut, CUT_MAX); left; left &= left - 1) {
        uint32_t shard = (uint32_t)__builtin_ctzll(left);
        uint64_t count = commit_cut_safe(commit->cut, shard);
        if (shard == commit->shard->id)
            txns_are_safe(commit, count);
        else
            tell(commit->shard, shard, NEWS_SAFE, count);
    }
    return commit_cut_busy(commit->cut);
}

/* Never back: what was before commit_start may be confirmed already. */
static bool confirm(struct commit *commit) {
    const struct commit_txns *txns = &commit->txns;
    uint64_t position = commit->durable, before = commit->confirmed;
    if (txns->head < txns->tail) {
        uint64_t first = txn_at(txns, txns->head)->position;
        if (first <= position && !PLANTED(commit->shard, PLANT_UNSAFE_REPLY)) position = first ? first - 1 : 0;
    }
    commit->confirmed = MAX(before, position);
    return commit->confirmed != before;
}

static void tell_confirmed(struct commit *commit) {
    for (uint64_t left = commit->listeners; left; left &= left - 1) {
        uint32_t home = (uint32_t)__builtin_ctzll(left);
        tell(commit->shard, home, NEWS_CONFIRMED, commit->confirmed);
        if (commit->peers[home].promised <= commit->confirmed) commit->listeners &= ~bit(home);
    }
}

void commit_turn_slow(struct commit *commit) {
    uint32_t id = commit->shard->id;
    bool more = tell_durable(commit);
    if (commit->cut) more |= tell_safe(commit);
    if (confirm(commit)) {
        commit->peers[id].confirmed = commit->confirmed;
        commit->ready |= bit(id);
        tell_confirmed(commit);
    }
    more |= forget_changes(commit);
    more |= commit_release(commit);
    commit->due = more;
}

void commit_promise(struct shard *shard, uint32_t home, struct message_item *item, uint64_t position) {
    struct commit *commit = &shard->commit;
    if (position <= commit->confirmed)
        return; /* by now: a work's earlier slice said so, and home would not be told again */
    struct commit_peer *peer = &commit->peers[home];
    peer->promised = MAX(peer->promised, position);
    if (home != shard->id) commit->listeners |= bit(home);
    item->held = true;
    item->waits_for = position;
}

void commit_take_news(struct shard *shard, const struct message_item *item, uint32_t from) {
    struct commit *commit = &shard->commit;
    commit->due = true;
    if (item->how == NEWS_DURABLE) {
        ASSERT(commit->cut);
        commit_cut_add(commit->cut, from, item->stamp, item->participants);
    } else if (item->how == NEWS_SAFE) {
        txns_are_safe(commit, item->stamp);
    } else {
        ASSERT(item->how == NEWS_CONFIRMED && item->stamp >= commit->peers[from].confirmed);
        commit->peers[from].confirmed = item->stamp;
        commit->ready |= bit(from);
    }
}

void commit_check(const struct shard *shard) {
    const struct commit *commit = &shard->commit;
    const struct commit_txns *txns = &commit->txns;
    const struct commit_changes *changes = &commit->changes;
    ASSERT(commit->confirmed <= commit->durable && commit->durable <= shard->effects.position);
    ASSERT(txns->head <= txns->told && txns->told <= txns->tail && txns->tail - txns->head <= txns->cap);
    for (uint64_t i = txns->head; i + 1 < txns->tail; i++)
        ASSERT(txn_at(txns, i)->position <= txn_at(txns, i + 1)->position);
    ASSERT(changes->tail - changes->head <= changes->cap && commit->latest.count <= changes->tail - changes->head);
    idmap_check(&commit->latest);
    if (commit->cut) commit_cut_check(commit->cut);
    commit_check_waits(commit);
}
