/* The ledger: counting, and what follows from it. */
#include "shards/ledger.h"
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/shard.h"

#define GATHER_COPIES 3 /* of the reply of a command over several shards: parts, what they are joined to, output */
#define INPUT_PART    2 /* of the room for clients is filled with one turn */
#define GATHER_FIRST  (16 << 20) /* what the first such command may come to */
#define HUGE_ROOM     (8 << 20)  /* up to 2 MiB become resident before the slab counts them */
#define CALM_PART     16 /* there is plenty when more is free than this part of what was granted, and what may hide */

void ledger_init(struct ledger *ledger, uint32_t shards) {
    ASSERT(shards > 0 && shards <= SHARDS_MAX);
    ledger->shards = shards;
    ledger->answer_large = ADMIT_LARGE;
    atomic_store(&ledger->pool.free, LEDGER_UNBOUNDED);
    atomic_store(&ledger->quantum, 1 << 20);
    atomic_store(&ledger->client_share, LEDGER_UNBOUNDED);
    atomic_store(&ledger->headroom, LEDGER_UNBOUNDED);
    atomic_store(&ledger->room, LEDGER_UNBOUNDED);
    atomic_store(&ledger->clients_most, LEDGER_UNBOUNDED);
    atomic_store(&ledger->beyond, LEDGER_UNBOUNDED);
}

void account_open(struct shard *shard, struct ledger *ledger) {
    struct account *account = &shard->account;
    account->total = heap_total(shard->heap);
    account->trip = INT64_MAX;
    account->pass = account->gather_room = account->input_room = LEDGER_UNBOUNDED;
    account->gather_size = GATHER_FIRST;
    account->shared = ledger;
    if (!ledger) return;
    ASSERT(shard->count == ledger->shards);
    account->place = &ledger->place[shard->id];
    atomic_store(&account->place->pass, account->pass);
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

void account_config_changed(struct account *account) {
    if (!account->shared) return;
    account->trip = -1; /* whoever comes next looks at what there is now */
    tell(&account->place->spent, 0);
}

static int64_t quantum(const struct account *account) {
    return read_word(&account->shared->quantum);
}

static bool is_hard(const struct account *account) {
    return atomic_load_explicit(&account->shared->client_hard, memory_order_relaxed);
}

/* What is free for the clients of one shard. Others may use it up before it does; so it is divided again with each
 * look. */
static int64_t client_room(const struct account *account, int64_t share) {
    int64_t own = MAX(share - account->clients, (int64_t)0);
    if (is_hard(account)) return own;
    return own + MAX(credit_pool_free(account->credit.pool), (int64_t)0) / account->shared->shards;
}

/* Large replies that were let go and are not there yet are to have what is free. */
static bool is_spoken_for(const struct account *account, int64_t bytes) {
    int64_t expected = read_word(&account->shared->expected);
    return expected > 0 && credit_pool_free(account->credit.pool) < expected + bytes;
}

/* What clients have beyond their share is granted as far as it is free. While writers are braked what comes free is
 * theirs: keys went for it. */
static void cover_clients(struct account *account, int64_t share) {
    int64_t excess = MAX(account->clients - share, (int64_t)0);
    if (excess <= account->covered || is_hard(account))
        account->covered = is_hard(account) ? 0 : excess;
    else if (!account_is_braked(account) && !is_spoken_for(account, excess - account->covered) &&
             credit_take(&account->credit, account->data + account->covered, excess - account->covered,
                         quantum(account)))
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
    if (account->crowded || credit_pool_free(account->credit.pool) < 0) return -1;
    if (is_hard(account)) room = MIN(room, share - account->clients);
    return total + MAX(MIN(room, account->pass / 2), (int64_t)0);
}

/* The total does not show when blocks of the slab are used again, or what was a client's becomes data. As long as more
 * is free than that could be, a figure that is a tenth of a second old takes nothing from anybody. */
static bool is_short(const struct account *account, int64_t slack) {
    int64_t hidden = slack + account->clients + account->credit.granted / CALM_PART;
    return credit_pool_free(&account->shared->pool) <= hidden;
}

static void set_calm(struct account *account, int64_t total, int64_t slack) {
    int64_t some = quantum(account);
    bool calm = !account->crowded && account->pass > some && !is_short(account, slack);
    account->calm_from = total - some;
    account->calm_to = calm ? MIN(account->trip, total + some) : account->calm_from - 1;
}

void ledger_tell(struct ledger *ledger) {
    /* Release: what was written before. Pairs with pressure_turn. */
    atomic_fetch_add_explicit(&ledger->changes, 1, memory_order_release);
}

/* What the resident set has grown by since the last look, at the most. The slab's pages are resident as they are
 * counted. Of all else what was freed still is, and is used again; so only what has never been so much since the last
 * measurement adds to it. What clients have within their share was set aside for them (net/ceiling.c). */
static void use_pass(struct account *account, int64_t pages, int64_t others) {
    account->pass -= pages - account->pages + MAX(others - account->others, (int64_t)0);
    account->pages = pages;
    account->others = MAX(account->others, others);
}

static int64_t clients_of(const struct shard *shard) {
    return heap_used(shard->heap, MEM_CLIENT_IN) + heap_used(shard->heap, MEM_CLIENT_OUT) +
           heap_used(shard->heap, MEM_MESSAGE);
}

void account_renew_pass(struct shard *shard, int64_t bytes) {
    struct account *account = &shard->account;
    account->pages = (int64_t)slab_held_bytes(shard->slab);
    account->others = read_word(account->total) - account->pages - clients_of(shard);
    account->pass = bytes;
    slab_spare_huge(shard->slab, bytes < HUGE_ROOM);
}

void account_look(struct shard *shard) {
    struct account *account = &shard->account;
    if (!account->shared) return;
    int64_t total = read_word(account->total), share = read_word(&account->shared->client_share);
    int64_t pages = (int64_t)slab_held_bytes(shard->slab), slack = pages - (int64_t)slab_used_bytes(shard->slab);
    account->clients = clients_of(shard);
    account->data = total - account->clients - slack;
    use_pass(account, pages, total - pages - account->clients);
    cover_clients(account, share);
    int64_t used = account->data + account->covered, some = quantum(account);
    credit_settle(&account->credit, used, some);
    /* In advance: who only reads would look again and again otherwise. */
    if (account->credit.granted - used < some / 2) (void)!credit_take(&account->credit, used, some / 2, some);
    tell(&account->place->slack, slack);
    tell(&account->place->charged, used);
    tell(&account->place->clients, account->clients);
    tell(&account->place->uncovered, account->uncovered);
    tell(&account->place->pass, account->pass);
    account->crowded = account->uncovered > 0 || (is_short(account, slack) && somebody_is_uncovered(account->shared));
    account->gather_room = client_room(account, share) / GATHER_COPIES;
    account->input_room = client_room(account, share) / INPUT_PART;
    account->trip = next_trip(account, total, share);
    set_calm(account, total, slack);
}

/* Relaxed: a figure that is measured anew in some milliseconds; two that take the same room at once go a little beyond. */
int64_t account_room(const struct shard *shard) {
    const struct ledger *ledger = shard->account.shared;
    return read_word(&ledger->room) - read_word(&ledger->room_used);
}

bool account_has_room(const struct shard *shard, uint64_t bytes) {
    return account_room(shard) >= (int64_t)MIN(bytes, (uint64_t)LEDGER_UNBOUNDED);
}

void account_use_room(struct shard *shard, uint64_t bytes) {
    atomic_fetch_add_explicit(&shard->account.shared->room_used, (int64_t)bytes, memory_order_relaxed);
}

bool account_room_is_stale(const struct shard *shard) {
    return read_word(&shard->account.shared->room_used) > 0;
}

int64_t ledger_clients(const struct ledger *ledger) {
    int64_t sum = read_word(&ledger->travelling);
    for (uint32_t i = 0; i < ledger->shards; i++) sum += read_word(&ledger->place[i].clients);
    return sum;
}

int64_t ledger_charged(const struct ledger *ledger) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < ledger->shards; i++) sum += read_word(&ledger->place[i].charged);
    return sum;
}

int64_t account_most_for_answers(const struct shard *shard) {
    const struct ledger *ledger = shard->account.shared;
    int64_t share = read_word(&ledger->client_share), most = read_word(&ledger->clients_most);
    return share < LEDGER_UNBOUNDED ? MAX(most, share * ledger->shards) : most;
}

int64_t account_room_for_answers(const struct shard *shard) {
    const struct ledger *ledger = shard->account.shared;
    return account_most_for_answers(shard) - ledger_clients(ledger) - read_word(&ledger->expected);
}

int64_t account_beyond(const struct shard *shard) {
    return read_word(&shard->account.shared->beyond);
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
    uint64_t beyond = bytes - (uint64_t)MAX(room, (int64_t)0);
    return account_has_room(shard, beyond) && take(account, beyond);
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

uint32_t account_evictors(const struct shard *shard) {
    const struct ledger *ledger = shard->account.shared;
    uint32_t count = 0;
    for (uint32_t i = 0; i < ledger->shards; i++) count += read_word(&ledger->place[i].spent) == 0;
    return MAX(count, 1u);
}

void account_want(struct shard *shard, uint64_t bytes) {
    struct ledger *ledger = shard->account.shared;
    /* Relaxed and not exact: who waits says it again every turn. */
    if (read_word(&ledger->wanted) < (int64_t)bytes)
        atomic_store_explicit(&ledger->wanted, (int64_t)bytes, memory_order_relaxed);
}
