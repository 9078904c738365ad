/* The ledger: counting, and what follows from it. */
#include "shards/ledger.h"
#include "core/assert.h"
#include "shards/shard.h"

#define TIGHT_QUANTA  4 /* braked, who may write less than so much before the next measurement is looked at each time */
#define GATHER_COPIES 3 /* of the reply of a command over several shards: parts, what they are joined to, output */
#define GATHER_FIRST  (16 << 20) /* what the first such command may come to */
#define CALM_PART     16 /* there is plenty when more is free than this part of what was granted, and what may hide */

void ledger_init(struct ledger *ledger, uint32_t shards) {
    ASSERT(shards > 0 && shards <= SHARDS_MAX);
    ledger->shards = shards;
    atomic_store(&ledger->pool.free, LEDGER_UNBOUNDED);
    atomic_store(&ledger->quantum, 1 << 20);
    atomic_store(&ledger->client_share, LEDGER_UNBOUNDED);
    atomic_store(&ledger->headroom, LEDGER_UNBOUNDED);
}

void account_open(struct shard *shard, struct ledger *ledger) {
    struct account *account = &shard->account;
    account->total = heap_total(shard->heap);
    account->trip = INT64_MAX;
    account->pass = account->gather_room = LEDGER_UNBOUNDED;
    account->gather_size = GATHER_FIRST;
    account->shared = ledger;
    if (!ledger) return;
    ASSERT(shard->count == ledger->shards);
    account->place = &ledger->place[shard->id];
    account->credit.pool = &ledger->pool;
    account->trip = -1; /* the first command has it looked at */
    account->calm_to = -1;
}

/* Relaxed, here and below: see struct ledger_place. */
static int64_t read_word(const _Atomic int64_t *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void tell(_Atomic int64_t *word, int64_t value) {
    if (read_word(word) != value) atomic_store_explicit(word, value, memory_order_relaxed);
}

static int64_t quantum(const struct account *account) {
    return read_word(&account->shared->quantum);
}

static int64_t slack_of(const struct shard *shard) {
    return (int64_t)(slab_held_bytes(shard->slab) - slab_used_bytes(shard->slab));
}

static bool is_hard(const struct account *account) {
    return atomic_load_explicit(&account->shared->client_hard, memory_order_relaxed);
}

/* What is free for the clients of one shard. Others may use it up before it does; so it is divided again with each
 * look, and a copy of all is made twice on its way to the client. */
static int64_t gather_room(const struct account *account, int64_t share) {
    if (is_hard(account)) return MAX(share - account->clients, (int64_t)0) / GATHER_COPIES;
    int64_t free = MAX(credit_pool_free(account->credit.pool), (int64_t)0) / account->shared->shards;
    return (MAX(share - account->clients, (int64_t)0) + free) / GATHER_COPIES;
}

/* What clients have beyond their share is granted as far as it is free. While writers are braked what comes free is
 * theirs: keys went for it. */
static void cover_clients(struct account *account, int64_t share) {
    int64_t excess = MAX(account->clients - share, (int64_t)0);
    if (excess <= account->covered || is_hard(account))
        account->covered = is_hard(account) ? 0 : excess;
    else if (!account_is_braked(account) && credit_take(&account->credit, account->data + account->covered,
                                                        excess - account->covered, quantum(account)))
        account->covered = excess;
    account->uncovered = excess - account->covered;
}

/* Only while memory is short. O(shards). */
static bool somebody_is_uncovered(const struct ledger *ledger) {
    for (uint32_t i = 0; i < ledger->shards; i++)
        if (read_word(&ledger->place[i].uncovered) > 0) return true;
    return false;
}

/* Whoever uses up what is granted, nobody has to look before that, unless the resident set is near the ceiling. */
static int64_t next_trip(const struct account *account, int64_t total, int64_t share) {
    int64_t room = account->credit.granted - account->data - account->covered;
    /* In debt what comes free pays it back first, and is no room for the next command of the same turn. */
    bool tight = account_is_braked(account) && account->pass < TIGHT_QUANTA * quantum(account);
    if (account->crowded || tight || credit_pool_free(account->credit.pool) < 0) return -1;
    if (is_hard(account)) room = MIN(room, share - account->clients);
    return total + MAX(room, (int64_t)0);
}

/* The total does not show when blocks of the slab are used again, or what was a client's becomes data. As long as more
 * is free than that could be, a figure that is a tenth of a second old takes nothing from anybody. */
static bool is_short(const struct account *account, int64_t slack) {
    int64_t hidden = slack + account->clients + account->credit.granted / CALM_PART;
    return credit_pool_free(&account->shared->pool) <= hidden;
}

static void set_calm(struct account *account, int64_t total, int64_t slack) {
    int64_t some = quantum(account);
    bool calm = !account->crowded && !is_short(account, slack);
    account->calm_from = total - some;
    account->calm_to = calm ? MIN(account->trip, total + some) : account->calm_from - 1;
}

void ledger_tell(struct ledger *ledger) {
    /* Release: what was written before. Pairs with pressure_turn. */
    atomic_fetch_add_explicit(&ledger->changes, 1, memory_order_release);
}

void account_look(struct shard *shard) {
    struct account *account = &shard->account;
    if (!account->shared) return;
    int64_t total = read_word(account->total), slack = slack_of(shard),
            share = read_word(&account->shared->client_share);
    account->pass -=
        MAX(total - account->looked, (int64_t)0); /* gross: what became free between two looks is no more */
    account->looked = total;
    account->clients = heap_used(shard->heap, MEM_CLIENT_IN) + heap_used(shard->heap, MEM_CLIENT_OUT) +
                       heap_used(shard->heap, MEM_MESSAGE);
    account->data = total - account->clients - slack;
    cover_clients(account, share);
    int64_t used = account->data + account->covered, some = quantum(account);
    credit_settle(&account->credit, used, some);
    /* In advance: who only reads would look again and again otherwise. */
    if (account->credit.granted - used < some / 2) (void)!credit_take(&account->credit, used, some / 2, some);
    tell(&account->place->slack, slack);
    tell(&account->place->charged, used);
    tell(&account->place->clients, account->clients);
    tell(&account->place->uncovered, account->uncovered);
    account->crowded = account->uncovered > 0 || (is_short(account, slack) && somebody_is_uncovered(account->shared));
    account->gather_room = gather_room(account, share);
    account->trip = next_trip(account, total, share);
    set_calm(account, total, slack);
}

static bool take(struct account *account, uint64_t bytes) {
    if (bytes > (uint64_t)LEDGER_UNBOUNDED) return false;
    return credit_take(&account->credit, account->data + account->covered, (int64_t)bytes, quantum(account));
}

bool account_take(struct shard *shard, uint64_t bytes) {
    struct account *account = &shard->account;
    if (!account->shared) return true;
    if (!take(account, bytes)) return false;
    account->trip = next_trip(account, read_word(account->total), read_word(&account->shared->client_share));
    return true;
}

bool account_take_for_clients(struct shard *shard, uint64_t bytes) {
    struct account *account = &shard->account;
    if (!account->shared) return true;
    int64_t room = read_word(&account->shared->client_share) + account->covered - account->clients;
    if (room >= 0 && bytes <= (uint64_t)room) return true;
    if (is_hard(account)) return false;
    return take(account, bytes - (uint64_t)MAX(room, (int64_t)0));
}

void account_note_evicted(struct shard *shard, size_t bytes, uint64_t needed) {
    struct account *account = &shard->account;
    if (bytes == 0) {
        if (!read_word(&account->place->spent)) tell(&account->place->spent, (int64_t)MAX(shard->now_ms, (uint64_t)1));
        return;
    }
    tell(&account->place->spent, 0);
    int64_t saved = account->saved + (int64_t)bytes, most = (int64_t)MIN(needed, (uint64_t)LEDGER_UNBOUNDED);
    account->saved = MAX(account->saved, MIN(saved, most));
    atomic_fetch_add_explicit(&account->place->evicted_bytes, bytes, memory_order_relaxed);
}

bool account_may_owe(const struct shard *shard) {
    const struct account *account = &shard->account;
    return credit_pool_free(&account->shared->pool) > -quantum(account);
}

bool account_all_spent(const struct shard *shard, unsigned ms) {
    const struct ledger *ledger = shard->account.shared;
    for (uint32_t i = 0; i < ledger->shards; i++) {
        int64_t since_ms = read_word(&ledger->place[i].spent);
        if (!since_ms || (int64_t)shard->now_ms < since_ms + ms) return false;
    }
    return true;
}

void account_want(struct shard *shard, uint64_t bytes) {
    struct ledger *ledger = shard->account.shared;
    /* Relaxed and not exact: who waits says it again every turn. */
    if (read_word(&ledger->wanted) < (int64_t)bytes)
        atomic_store_explicit(&ledger->wanted, (int64_t)bytes, memory_order_relaxed);
}
