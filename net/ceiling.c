/* The ceiling: what is chosen, what is measured, and the budget that follows.
 *
 *       0                                                    aim                      brim    ceiling
 *       |---- what is resident ----|------ free to use -------|-- kept for clients -----|-margin-|
 *
 * What is kept is the share of clients that they do not have, less what heaps have free: that they would use first.
 * So it does not matter for the aim whether a client's input is there at the moment or was just run. But they do not
 * find there what has another size, so both together come to more than the share, and how much is learnt: the most of
 * the last seconds is kept. A turn that takes in a few values of 100 KB does that under any ceiling, so it matters
 * under small ones.
 *
 * With each sample the budget is what the data have now and what is free up to the aim. Beyond the aim nothing is free
 * but what may be reused: entries that went have left room in pages that are resident anyway, how much nobody knows, so
 * a little growth is allowed, less and less, and the next sample shows whether the resident set has grown. What was
 * used without being granted is not forgiven there. When what is kept reaches beyond the ceiling, or what is resident
 * beyond the brim, the data have to shrink, a quarter of what is too much at a time; in the latter case not before
 * heaps were asked for what they do not use.
 *
 * What is evicted for a command is not room before its pages are empty. That shows in the resident set, which near the
 * ceiling is measured every few milliseconds. Until the next look shards add no more pages than are left up to the
 * ceiling, and then a few 100 KiB per sample, whatever goes for them; what is written where others went adds none. A
 * little below the brim clients get no more than they have.
 *
 * Why not simply "ceiling less what is resident and not counted"? Because evicting an entry makes it smaller in the
 * count and not in the resident set, which would look like still more that is not counted, and more had to go: at a
 * resident set a few pages above the limit all data would be evicted, slowly.
 *
 * Memory that is counted but was not touched yet (a table just made larger, a buffer for an announced argument) counts
 * as if it were resident. */
#include "net/ceiling.h"
#include "core/assert.h"
#include "net/thread.h"
#include <stdio.h>

#define DEFAULT_PERCENT 80
#define SHARE_PART      32 /* of the ceiling is the clients' share, unless maxmemory-clients says more or less */
#define SHARE_MIN       (512 * 1024) /* per shard */
#define SWING_PART      12           /* of the ceiling may be kept for them instead, if they were seen to need it, */
#define SWING_BYTES     (8 << 20)    /* and no more than that */
#define MARGIN_PART     100          /* of the ceiling lies between it and the brim: what happens between two samples */
#define BRAKE_PART      40           /* of the ceiling is left when clients get no more than they have */
#define REUSE_PART      128          /* of the ceiling may be used per sample in the hope that it is reused, */
#define REUSE_UP_TO     4            /* up to this part of the way from the aim to the brim */
#define DEBT_PART       4            /* of what is resident beyond the brim goes with each sample */
#define PATIENCE        3            /* samples beyond the brim before data go: what heaps do not use goes first */
#define SAMPLE_MS       100          /* the shards take a sample so often */
#define NEAR_MS         5 /* and the resident set is measured so often while it is near the ceiling and moves: */
#define NEAR_PART       8 /* nearer than this part of it, or than */
#define NEAR_BYTES      (64ull << 20)
#define MOVES_PART      4096          /* by more than this part */
#define STILL_NS        1000000000ull /* it does not move when it has not for so long */
#define PURGE_NS        1000000000ull
#define PURGE_AGAIN_NS  5000000000ull
#define SETTLE_NS       400000000ull
#define SHORT_PART      64            /* memory is short when less than this part of the ceiling is free, */
#define UNUSED_PART     32            /* and heaps hold much that they do not use when it is more than this part */
#define DRAIN_NS        1500000000ull /* a journal that shrinks goes on doing so: it is synced once a second */
#define DRAIN_BYTES     (256 * 1024)
#define JOURNAL_LEAST   (2 * 1024 * 1024) /* per shard: what a journal has when nothing waits for the disk */
#define LIMIT_NS        1000000000ull
#define FLOOR_NS        2000000000ull /* the least is that of two such stretches, */
#define SWING_NS        4000000000ull /* and the most of these */
#define TRIES           3             /* measurements, of which none may have taken so long that heaps grew by */
#define MEANWHILE       (256 * 1024)
#define RATE_NS         2000000000ull
#define QUANTUM_PART    256 /* of the ceiling, all shards together: what shards may hold without using it is twice that */
#define QUANTUM_MIN     (64 * 1024)
#define QUANTUM_MAX     (4 * 1024 * 1024)
#define BEYOND_PART     2 /* of what the machine, or the cgroup, has beyond the ceiling, for a command that must go there */
#define THREAD_OVERHEAD (5 * 1024 * 1024) /* receive buffers, stack, first pages: what a thread has beside its heap */

/* Relaxed: single figures for people. */
static void tell(_Atomic uint64_t *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_relaxed);
}
static uint64_t told(const _Atomic uint64_t *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}
static int64_t told_signed(const _Atomic int64_t *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint64_t mono_ns(void) {
    struct clock clock = clock_system();
    return clock_mono_ns(&clock);
}

/* --- what is chosen --- */

static uint64_t default_bytes(const struct server *server) {
    uint64_t most = MIN(server->ceiling.limit, server->machine.memory_bytes);
    return most / 100 * DEFAULT_PERCENT;
}

static uint64_t ceiling_bytes(const struct server *server) {
    return server->ceiling.given ? server->ceiling.maxmemory : default_bytes(server);
}

/* 0: not bounded. */
static uint64_t share_bytes(const struct server *server, uint64_t bytes) {
    int64_t clients = server->ceiling.clients;
    if (clients > 0) return (uint64_t)clients;
    if (clients < 0) return bytes / 100 * (uint64_t)-clients;
    return bytes ? MAX(bytes / SHARE_PART, (uint64_t)SHARE_MIN * server->thread_count) : 0;
}

/* --- the budget --- */

/* All shards together. */
struct sums {
    uint64_t measured;      /* what is resident, */
    int64_t used, resident; /* what heaps count; what is resident, or will be when it is touched */
    int64_t charged;        /* on the side of the data */
    int64_t kept;           /* of the share of clients, what they do not have and would have to be made resident */
    int64_t clients;        /* what they hold */
    int64_t journal;        /* what waits for the disk, and what journals have besides */
};

static void begin_stretch(struct recent *recent, int64_t bytes, uint64_t length_ns, uint64_t now_ns) {
    if (now_ns < recent->began_ns + length_ns) return;
    *recent = (struct recent){.bytes = bytes, .before = recent->bytes, .began_ns = now_ns};
}

/* What is resident and in no block: the least of the last seconds. What it is more at times is what heaps keep of
 * blocks that were freed, a client's before all. */
static int64_t floor_of(struct ceiling *ceiling, int64_t unused, uint64_t now_ns) {
    struct recent *floor = &ceiling->floor;
    begin_stretch(floor, unused, FLOOR_NS, now_ns);
    floor->bytes = MIN(floor->bytes, unused);
    return MIN(floor->bytes, floor->before);
}

/* What is to be kept for clients and for what heaps keep of their blocks, of which they have `swing` at the moment. */
static int64_t room_to_swing(struct ceiling *ceiling, int64_t swing, int64_t share, int64_t bytes, uint64_t now_ns) {
    struct recent *most = &ceiling->swing;
    int64_t bound = MIN(bytes / SWING_PART, (int64_t)SWING_BYTES);
    begin_stretch(most, swing, SWING_NS, now_ns);
    most->bytes = MAX(most->bytes, swing);
    return MAX(share, MIN(MAX(most->bytes, most->before), bound));
}

/* Both at one time, as far as nobody allocates very much meanwhile. */
static int64_t measure(const struct server *server, int64_t *used) {
    uint64_t resident;
    int64_t before;
    for (unsigned tries = 0; tries < TRIES; tries++) {
        before = (int64_t)server_used_bytes(server);
        resident = machine_resident_bytes();
        *used = (int64_t)server_used_bytes(server);
        if (*used < before + MEANWHILE && before < *used + MEANWHILE) break;
    }
    return (int64_t)resident;
}

static struct sums sum_up(struct server *server, int64_t bytes, int64_t share, uint64_t now_ns) {
    const struct ledger *ledger = &server->ceiling.ledger;
    struct sums sums = {.clients = ledger_clients(ledger)};
    for (uint32_t i = 0; i < server->thread_count; i++) sums.charged += told_signed(&ledger->place[i].charged);
    int64_t resident = measure(server, &sums.used), each = told_signed(&ledger->client_share), swing = 0;
    for (uint32_t i = 0; i < server->thread_count; i++) {
        swing += MIN(told_signed(&ledger->place[i].clients), each);
        sums.journal += server->threads ? heap_used(server->threads[i].shard->heap, MEM_JOURNAL) : 0;
    }
    sums.measured = (uint64_t)resident;
    sums.resident = MAX(resident, sums.used + server->ceiling.overhead_least);
    int64_t unused = sums.resident - sums.used;
    swing += unused - floor_of(&server->ceiling, unused, now_ns);
    sums.kept = MAX(room_to_swing(&server->ceiling, swing, share, bytes, now_ns) - swing, (int64_t)0);
    return sums;
}

static int64_t brim_of(int64_t bytes) {
    return bytes - bytes / MARGIN_PART;
}

static int64_t aim_of(const struct sums *sums, int64_t bytes) {
    return brim_of(bytes) - sums->kept;
}

/* What the data may have, as the drawing above says. With each sample. */
static int64_t budget_for(struct ceiling *ceiling, const struct sums *sums, int64_t bytes) {
    int64_t brim = brim_of(bytes), aim = aim_of(sums, bytes);
    int64_t reuse = (aim + (brim - aim) / REUSE_UP_TO - sums->resident) / 2;
    ceiling->beyond = sums->resident > brim ? ceiling->beyond + 1 : 0;
    if (sums->resident <= aim) return sums->charged + aim - sums->resident;
    int64_t most = MIN(ceiling->budget, sums->charged), over = sums->resident + sums->kept - bytes;
    if (ceiling->beyond > PATIENCE) over = MAX(over, sums->resident - brim);
    return over > 0 ? most - over / DEBT_PART : most + MAX(MIN(bytes / REUSE_PART, reuse), (int64_t)0);
}

/* Between two samples: what is free up to the aim is given; at the brim it is little, and what was given and not used
 * is taken back. */
static int64_t budget_meanwhile(const struct ceiling *ceiling, const struct sums *sums, int64_t bytes) {
    if (sums->resident <= brim_of(bytes))
        return MAX(ceiling->budget, sums->charged + aim_of(sums, bytes) - sums->resident);
    return MIN(ceiling->budget, sums->charged + bytes / REUSE_PART);
}

/* Measures and tells the shards. sample: the budget is reckoned anew. Under the lock. */
static void apply(struct server *server, bool sample, uint64_t now_ns) {
    struct ceiling *ceiling = &server->ceiling;
    struct ledger *ledger = &ceiling->ledger;
    uint64_t bytes = ceiling_bytes(server), share = share_bytes(server, bytes), shards = server->thread_count;
    uint64_t some = bytes / QUANTUM_PART / shards;
    int64_t quantum = bytes ? (int64_t)MAX(MIN(some, (uint64_t)QUANTUM_MAX), (uint64_t)QUANTUM_MIN) : QUANTUM_MAX;
    int64_t limit = (int64_t)MIN(bytes, (uint64_t)LEDGER_UNBOUNDED);
    struct sums sums = sum_up(server, limit, (int64_t)MIN(share, bytes / 2), now_ns);
    int64_t budget = LEDGER_UNBOUNDED;
    if (bytes) budget = sample ? budget_for(ceiling, &sums, limit) : budget_meanwhile(ceiling, &sums, limit);
    atomic_store_explicit(&ledger->quantum, quantum, memory_order_relaxed);
    atomic_store_explicit(&ledger->client_share, share ? (int64_t)(share / shards) : LEDGER_UNBOUNDED,
                          memory_order_relaxed);
    atomic_store_explicit(&ledger->client_hard, ceiling->clients != 0 && share != 0, memory_order_relaxed);
    int64_t headroom = MAX(limit - sums.resident - sums.kept, (int64_t)0) / (int64_t)shards;
    int64_t room = aim_of(&sums, limit) - sums.resident;
    int64_t clients_most = sums.clients + brim_of(limit) - sums.resident;
    atomic_store_explicit(&ledger->room, bytes ? room : LEDGER_UNBOUNDED, memory_order_relaxed);
    atomic_store_explicit(&ledger->room_used, 0, memory_order_relaxed);
    atomic_store_explicit(&ledger->clients_most, bytes ? clients_most : LEDGER_UNBOUNDED, memory_order_relaxed);
    int64_t beyond = MAX((int64_t)MIN(ceiling->limit, server->machine.memory_bytes) - limit, (int64_t)0) / BEYOND_PART;
    atomic_store_explicit(&ledger->beyond, bytes ? beyond : LEDGER_UNBOUNDED, memory_order_relaxed);
    atomic_store_explicit(&ledger->headroom, bytes ? headroom : LEDGER_UNBOUNDED, memory_order_relaxed);
    atomic_store_explicit(&ledger->braked, bytes && sums.resident > limit - limit / BRAKE_PART, memory_order_relaxed);
    ledger_add_budget(ledger, budget - ceiling->budget);
    ceiling->budget = budget;
    ceiling->below_aim = room;
    ceiling->journal = sums.journal;
    tell(&ceiling->bytes, bytes);
    tell(&ceiling->share, share);
    tell(&ceiling->resident, sums.measured);
    tell(&ceiling->used, (uint64_t)sums.used);
    if (bytes)
        tell(&ceiling->resident_peak_permille,
             MAX(told(&ceiling->resident_peak_permille), sums.measured * 1000 / bytes));
}

static void take_options(struct ceiling *ceiling, const struct config *config) {
    ceiling->maxmemory = config->maxmemory;
    ceiling->given = config_is_given(config, SLICE("maxmemory"));
    ceiling->clients = config->maxmemory_clients;
}

void ceiling_open(struct server *server) {
    struct ceiling *ceiling = &server->ceiling;
    pthread_mutex_init(&ceiling->lock, NULL);
    ledger_init(&ceiling->ledger, server->thread_count);
    ceiling->limit = server->machine.memory_limit;
    ceiling->budget = LEDGER_UNBOUNDED;
    ceiling->floor = (struct recent){.bytes = LEDGER_UNBOUNDED, .before = LEDGER_UNBOUNDED};
    ceiling->overhead_least = (int64_t)(machine_resident_bytes() + server->thread_count * (uint64_t)THREAD_OVERHEAD);
    take_options(ceiling, &server->config);
    apply(server, true, mono_ns());
    ceiling->resident_peak_permille = 0;
}

void ceiling_close(struct server *server) {
    pthread_mutex_destroy(&server->ceiling.lock);
}

void ceiling_changed(struct server *server) {
    struct ceiling *ceiling = &server->ceiling;
    pthread_mutex_lock(&ceiling->lock);
    take_options(ceiling, &server->config);
    apply(server, true, mono_ns());
    ledger_tell(&ceiling->ledger);
    pthread_mutex_unlock(&ceiling->lock);
}

/* --- what is measured --- */

static void note_rate(struct ceiling *ceiling, uint64_t used, uint64_t now_ns) {
    if (now_ns < ceiling->rated_ns + RATE_NS) return;
    int64_t grown = (int64_t)(used - ceiling->rated_used), ms = (int64_t)((now_ns - ceiling->rated_ns) / 1000000);
    if (ceiling->rated_ns) atomic_store_explicit(&ceiling->per_second, grown * 1000 / ms, memory_order_relaxed);
    ceiling->rated_ns = now_ns;
    ceiling->rated_used = used;
}

/* Is there room in a moment, without anybody's doing? Heaps were asked for what they do not use; or there is room up to
 * the aim, which is given with the next look; or journals hold much, and less than they did: as long as the disk takes
 * it, it comes free. */
static bool settles(struct ceiling *ceiling, uint64_t now_ns) {
    int64_t some = (int64_t)told(&ceiling->bytes) / SHORT_PART, shards = ceiling->ledger.shards;
    bool drained = ceiling->journal < ceiling->journal_seen - DRAIN_BYTES;
    if (drained) ceiling->drained_ns = now_ns;
    ceiling->journal_seen = drained ? ceiling->journal : MAX(ceiling->journal_seen, ceiling->journal);
    bool drains = ceiling->journal > shards * JOURNAL_LEAST + some / 2 && now_ns < ceiling->drained_ns + DRAIN_NS;
    bool given = ceiling->below_aim > MAX(some, 4 * shards * told_signed(&ceiling->ledger.quantum));
    return drains || given || (ceiling->purged_ns && now_ns < ceiling->purged_ns + SETTLE_NS);
}

/* What heaps hold and do not use goes back first: when too much is resident, and when memory is short though heaps hold
 * more than their blocks (a great deal was freed). Until that has shown in the resident set nobody is refused. */
static void ask_for_purge(struct ceiling *ceiling, uint64_t now_ns) {
    int64_t bytes = (int64_t)told(&ceiling->bytes), resident = (int64_t)told(&ceiling->resident);
    int64_t unused = resident - (int64_t)told(&ceiling->used) - ceiling->overhead_least;
    bool is_short = bytes && credit_pool_free(&ceiling->ledger.pool) < bytes / SHORT_PART;
    bool is_due = (ceiling->beyond && now_ns >= ceiling->purged_ns + PURGE_NS) ||
                  (is_short && unused > bytes / UNUSED_PART && now_ns >= ceiling->purged_ns + PURGE_AGAIN_NS);
    if (is_due) {
        ceiling->purged_ns = now_ns;
        atomic_fetch_add_explicit(&ceiling->ledger.purges, 1, memory_order_relaxed);
    }
    bool at_once = ceiling->beyond || (is_short && unused > bytes / UNUSED_PART);
    if (at_once != ceiling->at_once) heap_return_at_once(at_once);
    ceiling->at_once = at_once;
    bool soon = settles(ceiling, now_ns);
    atomic_store_explicit(&ceiling->ledger.settles, is_short && soon, memory_order_relaxed);
}

static void ask_cgroup(struct server *server, uint64_t now_ns) {
    struct ceiling *ceiling = &server->ceiling;
    if (now_ns < ceiling->looked_ns + LIMIT_NS) return;
    ceiling->looked_ns = now_ns;
    uint64_t before = ceiling->limit;
    ceiling->limit = machine_memory_limit();
    if (ceiling->limit == before || ceiling->given) return;
    log_line(&server->log, LOG_LEVEL_NOTICE, "Memory: the cgroup's limit has changed, the ceiling is %llu MiB now",
             (unsigned long long)ceiling_bytes(server) >> 20);
}

/* Has a tenth of a second passed? */
static bool sample_is_due(const struct ceiling *ceiling, uint64_t now_ns) {
    return now_ns >= ceiling->sampled_ns + SAMPLE_MS * 1000000ull - NEAR_MS * 500000ull;
}

/* Has the brake kept anybody waiting since the last sample, while more was resident than the ceiling allows? Below it
 * one waits for the next look at most, which is part of ordinary eviction. */
static void note_held(struct ceiling *ceiling) {
    uint64_t held = 0;
    for (uint32_t i = 0; i < ceiling->ledger.shards; i++) held += told(&ceiling->ledger.place[i].held);
    bool over = told(&ceiling->resident) > told(&ceiling->bytes);
    atomic_store_explicit(&ceiling->braked, over && held != ceiling->held, memory_order_relaxed);
    ceiling->held = held;
}

static void give_sample(struct ceiling *ceiling, uint64_t now_ns) {
    struct ledger *ledger = &ceiling->ledger;
    ceiling->sampled_ns = now_ns;
    note_held(ceiling);
    note_rate(ceiling, told(&ceiling->used), now_ns);
    atomic_store_explicit(&ledger->wanted, 0, memory_order_relaxed);
    atomic_store_explicit(&ledger->answers, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&ledger->samples, 1, memory_order_relaxed);
}

/* Near is what may be reached before the next sample, at some 500 MB/s. A server that does nothing is left asleep. */
static unsigned next_look_ms(struct ceiling *ceiling, uint64_t resident_before, uint64_t used_before, uint64_t now_ns) {
    uint64_t bytes = told(&ceiling->bytes), resident = told(&ceiling->resident), used = told(&ceiling->used);
    uint64_t some = bytes / MOVES_PART;
    bool is_near = bytes && MAX(resident, used) + MAX(bytes / NEAR_PART, NEAR_BYTES) > bytes;
    bool moves = resident > resident_before + some || resident_before > resident + some || used > used_before + some ||
                 used_before > used + some;
    if (moves) ceiling->moved_ns = now_ns;
    return is_near && now_ns < ceiling->moved_ns + STILL_NS ? NEAR_MS : SAMPLE_MS;
}

unsigned ceiling_watch(struct server *server) {
    struct ceiling *ceiling = &server->ceiling;
    uint64_t now_ns = mono_ns();
    pthread_mutex_lock(&ceiling->lock);
    uint64_t resident = told(&ceiling->resident), used = told(&ceiling->used);
    ask_cgroup(server, now_ns);
    bool sample = sample_is_due(ceiling, now_ns);
    apply(server, sample, now_ns);
    ask_for_purge(ceiling, now_ns);
    if (sample) give_sample(ceiling, now_ns);
    unsigned next_ms = next_look_ms(ceiling, resident, used, now_ns);
    pthread_mutex_unlock(&ceiling->lock);
    ledger_tell(&ceiling->ledger);
    return next_ms;
}

/* --- what is told --- */

void ceiling_explain(const struct server *server, char out[CEILING_WHY_MAX]) {
    const struct ceiling *ceiling = &server->ceiling;
    unsigned long long bytes = told(&ceiling->bytes) >> 20;
    if (ceiling->given && ceiling->maxmemory)
        snprintf(out, CEILING_WHY_MAX, "the ceiling is %llu MiB, as asked for (option maxmemory)", bytes);
    else if (ceiling->given)
        snprintf(out, CEILING_WHY_MAX, "there is no ceiling, as asked for (option maxmemory)");
    else
        snprintf(out, CEILING_WHY_MAX, "the ceiling is %llu MiB, %d%% of %s (option maxmemory)", bytes, DEFAULT_PERCENT,
                 ceiling->limit < server->machine.memory_bytes ? "what the cgroup allows" : "the machine's memory");
}

void ceiling_read(const struct server *server, struct ceiling_facts *out) {
    const struct ceiling *ceiling = &server->ceiling;
    *out = (struct ceiling_facts){.ceiling = told(&ceiling->bytes),
                                  .used = told(&ceiling->used),
                                  .resident = told(&ceiling->resident),
                                  .client_share = told(&ceiling->share),
                                  .free = credit_pool_free(&ceiling->ledger.pool),
                                  .per_second = told_signed(&ceiling->per_second),
                                  .resident_peak_permille = told(&ceiling->resident_peak_permille)};
    out->overhead = (int64_t)(out->resident - out->used);
    out->braked = atomic_load_explicit(&ceiling->braked, memory_order_relaxed);
    for (uint32_t i = 0; i < server->thread_count; i++) {
        const struct ledger_place *place = &ceiling->ledger.place[i];
        out->clients += (uint64_t)MAX(told_signed(&place->clients), (int64_t)0);
        out->uncovered += (uint64_t)MAX(told_signed(&place->uncovered), (int64_t)0);
        out->slack += (uint64_t)MAX(told_signed(&place->slack), (int64_t)0);
        out->refused += told(&place->refused);
        out->waited += told(&place->waited);
        out->dropped += told(&place->dropped);
        out->evicted_bytes += told(&place->evicted_bytes);
    }
}

uint64_t ceiling_seconds_left(const struct ceiling_facts *facts) {
    if (!facts->ceiling || facts->per_second <= 0) return UINT64_MAX;
    return facts->free > 0 ? (uint64_t)(facts->free / facts->per_second) : 0;
}
