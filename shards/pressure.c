/* Pressure: the turn of a shard that is short of memory. */
#include "shards/pressure.h"
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/client_limits.h"
#include "shards/defrag.h"
#include "shards/evict.h"
#include "shards/reaper.h"
#include "shards/shard.h"

#define TURN_EVICTS   128          /* keys per turn */
#define TURN_REAPS    8            /* pieces per turn, instead of the usual few */
#define TURN_RESUMES  16           /* clients that try again per turn */
#define PASS_BYTES    (256 * 1024) /* that a shard may write per sample in any case; a large one uses up several */
#define GRACE_SAMPLES 10           /* clients are over what they may have for so long before one is dropped: a second */
#define READS_SAMPLES 50           /* and for so long before one is that reads: five */
#define DROPS_MAX     8            /* clients per sample */
#define SHARED_ROUNDS 8            /* so many times that where most of what they hold is shared with others */
#define STUCK_MS      1000         /* who was sent nothing for so long does not read */
#define LEAN_BYTES    (64 * 1024)  /* who holds less is not dropped, unless by maxmemory-clients */
#define NEAR_SHARE    16           /* memory is short when less than this share of what was granted is free */

/* --- clients --- */

static bool is_hard(const struct account *account) {
    return atomic_load_explicit(&account->shared->client_hard, memory_order_relaxed);
}

struct fat {
    struct client *client;
    size_t bytes;
};

/* Of what a client holds, the input that waits because the server does not take it. With maxmemory-clients that counts,
 * too; else it is nobody's fault: writers who are held back while room is made have it. */
static size_t held_back(const struct client *client) {
    bool waits = client->wait != WAIT_NOTHING && !client->blocked;
    return waits && !is_hard(&client->home->account) ? client->in.cap : 0;
}

static void keep_fattest(struct fat top[DROPS_MAX], struct client *client) {
    struct fat one = {client, client_memory(client) - held_back(client)};
    if (one.bytes < LEAN_BYTES && !is_hard(&client->home->account)) return;
    for (int i = 0; i < DROPS_MAX; i++) {
        if (top[i].bytes >= one.bytes) continue;
        struct fat moved = top[i];
        top[i] = one;
        one = moved;
    }
}

static void drop_client(struct shard *shard, const struct fat *fat) {
    atomic_fetch_add_explicit(&shard->account.place->dropped, 1, memory_order_relaxed);
    client_close_for(fat->client,
                     "it holds %zu bytes, the most of all, and clients together hold %lld bytes more than they may "
                     "(maxmemory-clients, maxmemory)",
                     fat->bytes, (long long)(shard->account.uncovered + shard->account.covered));
}

/* It takes what it is sent, or was answered just now, so that nothing is on its way to it yet. */
static bool reads(const struct client *client) {
    if (client->carried == 0 && client_has_output(client)) return true;
    return client->home->now_ms < client->went_on_ms + STUCK_MS;
}

/* Until about so many bytes are free; all: also of those that read. True: there were some. O(clients); a few times where
 * they share what they hold, so that it goes with the last of them. */
static bool drop_some(struct shard *shard, int64_t bytes, bool all) {
    bool shared = true, some = false;
    for (int round = 0; round < SHARED_ROUNDS && shared && bytes > 0; round++) {
        struct fat top[DROPS_MAX] = {0};
        for (struct client *client = shard->clients_first; client; client = client->next)
            if (!(client->flags & (CLIENT_NO_EVICT | CLIENT_CLOSE_NOW)) && (all || !reads(client)))
                keep_fattest(top, client);
        shared = false;
        for (int i = 0; i < DROPS_MAX && top[i].client && bytes > 0; i++) {
            size_t weight = client_weight(top[i].client);
            shared |= weight < top[i].bytes / 2;
            bytes -= (int64_t)MIN(weight, top[i].bytes);
            drop_client(shard, &top[i]);
            some = true;
        }
    }
    return some;
}

/* Bytes of all clients of a shard. */
struct held {
    int64_t stays; /* with those that stay, */
    int64_t goes;  /* and with those that are being closed */
    int64_t back;  /* of both, what is held_back */
};

/* O(clients). */
static struct held sum_up(const struct shard *shard) {
    struct held sum = {0};
    for (const struct client *client = shard->clients_first; client; client = client->next) {
        *(client->flags & CLIENT_CLOSE_NOW ? &sum.goes : &sum.stays) += (int64_t)client_memory(client);
        sum.back += (int64_t)held_back(client);
    }
    return sum;
}

/* Those that do not read go first; who reads, though slowly, may soon be done. maxmemory-clients knows no difference. */
static void drop_fattest(struct shard *shard, int64_t bytes) {
    bool hard = is_hard(&shard->account), late = shard->account.squeezed >= READS_SAMPLES;
    if (!drop_some(shard, bytes, hard) && !hard && late) (void)drop_some(shard, bytes, true);
}

/* What is to go for large replies that wait, none of which went since the last sample. */
static int64_t wanted_for_answers(struct account *account) {
    uint64_t answered = atomic_load_explicit(&account->shared->answered, memory_order_relaxed);
    int64_t wanted = answered == account->answered ? account->answers * DROPS_MAX : 0;
    account->answered = answered;
    account->answers = 0;
    return MIN(wanted, account->covered + account->uncovered);
}

/* Clients have more than they may, or hold what writers are refused for, or what replies of others wait for. */
static void squeeze_clients(struct shard *shard) {
    struct account *account = &shard->account;
    int64_t excess = account->uncovered + (account->refused ? account->covered : 0);
    int64_t wanted = wanted_for_answers(account);
    struct held held = {0};
    account->refused = false;
    if (excess > 0 || wanted > 0) held = sum_up(shard);
    excess = MAX(excess - held.back, wanted);
    if (excess <= 0) {
        account->squeezed = 0;
        return;
    }
    if (++account->squeezed < GRACE_SAMPLES && !is_hard(account)) return;
    /* maxmemory-clients is about what clients have, not about what is on its way to them or being freed. */
    int64_t share = atomic_load_explicit(&account->shared->client_share, memory_order_relaxed);
    excess = is_hard(account) ? MIN(excess, held.stays - share) : excess - held.goes;
    if (excess > 0) drop_fattest(shard, excess);
}

/* --- the turn --- */

static int64_t debt_of(const struct account *account) {
    return -MIN(credit_pool_free(&account->shared->pool), (int64_t)0);
}

/* Somebody has looked at the whole process: what follows for this shard. */
static void take_sample(struct shard *shard, uint64_t samples) {
    struct account *account = &shard->account;
    account->samples = samples;
    account->owed = debt_of(account) / shard->count;
    if (account->pass < PASS_BYTES) account->pass = MIN(account->pass + PASS_BYTES, (int64_t)PASS_BYTES);
    account->saved = account->waiting ? account->saved / 2 : 0; /* who still waits needs more than went for it */
    squeeze_clients(shard);
}

/* This shard's part of what a command waits for. What is large needs room in the resident set, which is not what keys
 * left in pages: so much is evicted for it as it needs, once per sample, and no more than moving does not give back. */
static int64_t to_evict_for_waiting(struct shard *shard) {
    const struct account *account = &shard->account;
    int64_t wanted = atomic_load_explicit(&account->shared->wanted, memory_order_relaxed);
    int64_t free = credit_pool_free(&account->shared->pool);
    if (wanted <= 0) return 0;
    if (wanted < ADMIT_LARGE) return (wanted - free) / shard->count;
    int64_t room = account_room(shard);
    int64_t bytes = (wanted - MIN(free, room)) / shard->count - account->saved;
    return bytes > 0 && room < wanted ? bytes - (int64_t)defrag_reclaim(shard) : bytes;
}

/* This shard's part of what is missing. */
static int64_t to_evict(struct shard *shard) {
    const struct account *account = &shard->account;
    int64_t owed = MIN(account->owed, debt_of(account)); /* it may have been paid in other ways meanwhile */
    if (owed >= ADMIT_LARGE) owed -= (int64_t)defrag_reclaim(shard);
    return MAX(owed, to_evict_for_waiting(shard));
}

/* True: it goes on at once. */
static bool make_room(struct shard *shard) {
    struct account *account = &shard->account;
    int64_t bytes = to_evict(shard);
    if (bytes <= 0) return false;
    bool more = reaper_step(shard->shared.reaper, TURN_REAPS);
    uint64_t began = shard->host.ticks(shard->host.ctx);
    size_t freed = evict_some(shard, (size_t)bytes, TURN_EVICTS);
    shard_note_ticks(shard, SPIKE_EVICTION, shard->host.ticks(shard->host.ctx) - began);
    account_note_evicted(shard, freed, (uint64_t)atomic_load_explicit(&account->shared->wanted, memory_order_relaxed));
    if (freed == 0) account->owed = 0; /* nothing more to do about it before the next sample */
    if (freed > 0) {
        account->owed = MAX(account->owed - (int64_t)freed, (int64_t)0);
        account_look(shard);
    }
    return more || freed > 0;
}

static bool is_calm(const struct account *account) {
    return account_is_calm(account) && !account->waiting && account->owed <= 0 &&
           atomic_load_explicit(&account->shared->wanted, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&account->shared->answers, memory_order_relaxed) == 0;
}

void pressure_purge(struct shard *shard) {
    message_pool_drain(&shard->messages);
    buf_pool_drain(&shard->replies);
    heap_purge(shard->heap);
}

bool pressure_turn(struct shard *shard) {
    struct account *account = &shard->account;
    if (!account->shared || LIKELY(is_calm(account))) return false;
    uint64_t changes = atomic_load_explicit(&account->shared->changes, memory_order_acquire); /* see ledger_tell */
    bool changed = changes != account->changes;
    account->changes = changes;
    int64_t headroom = atomic_load_explicit(&account->shared->headroom, memory_order_relaxed);
    if (headroom > 0 && changed) account_renew_pass(shard, headroom);
    account_look(shard);
    account->answers = MAX(account->answers, atomic_load_explicit(&account->shared->answers, memory_order_relaxed));
    uint64_t samples = atomic_load_explicit(&account->shared->samples, memory_order_relaxed);
    if (UNLIKELY(samples != account->samples)) take_sample(shard, samples);
    uint64_t purges = atomic_load_explicit(&account->shared->purges, memory_order_relaxed);
    if (UNLIKELY(purges != account->purges)) {
        account->purges = purges;
        pressure_purge(shard);
    }
    bool more = !shard->loading && !evict_is_paused(shard) && make_room(shard);
    if (UNLIKELY(account->waiting != NULL)) admit_resume(shard, TURN_RESUMES);
    return more;
}

uint64_t pressure_wait_ns(const struct shard *shard) {
    const struct account *account = &shard->account;
    if (!account->shared) return UINT64_MAX;
    if (account->waiting) return 1000000;
    int64_t free = credit_pool_free(&account->shared->pool);
    return free < account->credit.granted / NEAR_SHARE || account->uncovered > 0 ? 100000000 : UINT64_MAX;
}
