/* The step: figures of all shards in, orders for all shards out. It runs when it is due, on whichever thread has a turn
 * then: one that has something to write has turns, and when none has, nothing changes. Who finds the mutex taken leaves
 * it to the other.
 *
 * What shards tell is read a moment old and not all from one instant; the arithmetic does not mind. */
#include "persist/guard.h"
#include "core/alloc.h"
#include "core/assert.h"
#include "persist/pace.h"
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define TELL_NS       1000000ull /* how often a shard tells its figures */
#define STEP_NS       2000000ull /* between steps while writers are held back */
#define STEP_LAZY_NS  5000000ull /* and else */
#define TEXT_NS       100000000ull
#define LOG_NS        10000000000ull /* between two lines that say the same */
#define AHEAD_BYTES   (16.0 * 1024)  /* that may pass at once after a time in which nobody came */
#define AHEAD_SECONDS 0.005
#define WRITES_AGAIN  0.9 /* the level at which refusing ends */
#define BRAKES_BY_AGE 0.6 /* of max-staleness: the earliest that age alone makes writers slower (persist/pace.c) */
#define SYNC_PARTS    24  /* in a hurry: so many syncs within max-staleness */
#define SYNC_HURRY_NS 50000000ull /* and without such a limit */
#define SYNC_EVERY_NS 1000000000ull
#define CHUNK_MIN     (64ull << 10)
#define SPARE_NS      10000000000ull /* after it had none, the disk is taken to have time to spare again */
#define RATE_SECONDS  2.0

struct seat {
    /* --- written by the shard, read by all --- */
    _Alignas(CACHE_LINE) _Atomic uint64_t pending, oldest_ns, appended, durable, busy_ns, spare;
    _Atomic int error;
    /* --- the shard's --- */
    struct journal_status told; /* a journal begins at zero again */
    uint64_t next_ns;
};

struct guard {
    uint32_t shards;
    struct log *log;
    struct brake brake;
    _Alignas(CACHE_LINE) _Atomic uint64_t next_ns; /* when a step is due */
    _Atomic uint64_t version;
    _Atomic int state; /* as in status */

    /* --- under the lock --- */
    _Alignas(CACHE_LINE) pthread_mutex_t lock;
    struct pace pace;
    struct pace_output out;
    struct guard_status status;
    struct guard_orders orders;
    struct guard_space space;
    bool space_known;
    uint64_t now_ns;     /* of the latest step */
    uint64_t stopped_ns; /* since when a limit is reached; 0: it is not */
    uint64_t hurry_ns;   /* when the disk was in a hurry last; 0: never */
    uint64_t text_ns, braking_logged_ns, refusing_logged_ns;
    bool refusing_logged; /* and its end is not */

    struct seat seats[SHARDS_MAX];
};

/* Relaxed: single figures, each for itself. */
static void store(_Atomic uint64_t *at, uint64_t value) {
    atomic_store_explicit(at, value, memory_order_relaxed);
}
static uint64_t load(const _Atomic uint64_t *at) {
    return atomic_load_explicit(at, memory_order_relaxed);
}

struct guard *guard_new(uint32_t shards, struct log *log) {
    struct guard *guard = shared_alloc(sizeof *guard);
    ASSERT(shards > 0 && shards <= SHARDS_MAX);
    if (!guard) return NULL;
    guard->shards = shards;
    guard->log = log;
    guard->orders.sync_every_ns = SYNC_EVERY_NS;
    guard->orders.chunk_bytes = UINT64_MAX;
    guard->orders.spare = guard->orders.roomy = true;
    guard->orders.version = 1; /* nobody has read it yet */
    store(&guard->version, 1);
    guard->status.limits[GUARD_STALENESS] = (struct guard_limit){.name = "max-staleness", .unit = "ms"};
    guard->status.limits[GUARD_UNSYNCED] = (struct guard_limit){.name = "max-unsynced-bytes", .unit = "bytes"};
    guard->status.limits[GUARD_DISK] = (struct guard_limit){.name = "disk-budget", .unit = "bytes"};
    pthread_mutex_init(&guard->lock, NULL);
    return guard;
}

void guard_delete(struct guard *guard) {
    pthread_mutex_destroy(&guard->lock);
    shared_free(guard);
}

struct brake *guard_brake(struct guard *guard) {
    return &guard->brake;
}

/* --- what shards tell --- */

static void add(_Atomic uint64_t *at, uint64_t now, uint64_t before) {
    store(at, load(at) + (now < before ? now : now - before));
}

static void tell(struct seat *seat, const struct journal_status *journal, bool on) {
    store(&seat->pending, on ? journal->bytes_pending : 0);
    store(&seat->oldest_ns, on ? journal->oldest_pending_ns : 0);
    store(&seat->spare, on ? journal->bytes_spare : 0);
    add(&seat->appended, journal->bytes_appended, seat->told.bytes_appended);
    add(&seat->durable, journal->bytes_durable, seat->told.bytes_durable);
    add(&seat->busy_ns, journal->busy_ns, seat->told.busy_ns);
    atomic_store_explicit(&seat->error, on ? journal->error : 0, memory_order_relaxed);
    seat->told = *journal;
}

static void gather_space(const struct guard *guard, const struct config *config, struct pace_input *input) {
    const struct space_plan *plan = &guard->space.plan;
    uint64_t since = input->appended - MIN(input->appended, guard->space.durable);
    input->room = PACE_NONE;
    if (!guard->space_known || !config->appendonly) return;
    input->room = plan->room - MIN(plan->room, since);
    input->near = plan->near;
    input->room_seconds = plan->seconds;
}

static struct pace_input gather_figures(const struct guard *guard, const struct config *config, uint64_t now_ns,
                                        int *error) {
    struct pace_input input = {.now_ns = now_ns, .passed = brake_passed(&guard->brake)};
    *error = 0;
    for (uint32_t i = 0; i < guard->shards; i++) {
        const struct seat *seat = &guard->seats[i];
        uint64_t oldest_ns = load(&seat->oldest_ns);
        input.pending += load(&seat->pending);
        input.appended += load(&seat->appended);
        input.durable += load(&seat->durable);
        input.busy_ns += load(&seat->busy_ns);
        if (oldest_ns && (!input.oldest_ns || oldest_ns < input.oldest_ns)) input.oldest_ns = oldest_ns;
        if (!*error) *error = atomic_load_explicit(&seat->error, memory_order_relaxed);
    }
    bool ages = config->appendonly && config->appendfsync == APPENDFSYNC_EVERYSEC && config->max_staleness > 0;
    input.staleness_ns = ages ? (uint64_t)config->max_staleness * 1000000 : PACE_NONE;
    input.unsynced = config->max_unsynced_bytes ? config->max_unsynced_bytes : PACE_NONE;
    gather_space(guard, config, &input);
    return input;
}

/* --- limits --- */

static void set_limit(struct guard_limit *limit, uint64_t value, uint64_t bound, double seconds) {
    double grown = seconds > 0 ? ((double)value - (double)limit->value) / seconds : 0;
    limit->per_second += (grown - limit->per_second) * (1 - exp(-seconds / RATE_SECONDS));
    limit->value = value;
    limit->applies = bound != PACE_NONE;
    limit->limit = limit->applies ? bound : 0;
    limit->level = limit->applies ? (double)value / (double)bound : 0;
}

static void set_limits(struct guard *guard, const struct pace_input *input) {
    struct guard_status *status = &guard->status;
    double seconds = (double)(input->now_ns - guard->now_ns) / 1e9;
    bool ages = input->staleness_ns != PACE_NONE;
    set_limit(&status->limits[GUARD_STALENESS], guard->out.age_ns / 1000000,
              ages ? input->staleness_ns / 1000000 : PACE_NONE, seconds);
    if (ages) status->limits[GUARD_STALENESS].level = (double)guard->out.age_ns / (double)input->staleness_ns;
    set_limit(&status->limits[GUARD_UNSYNCED], input->pending, input->unsynced, seconds);
    bool space = input->room != PACE_NONE;
    set_limit(&status->limits[GUARD_DISK], guard->space.used, space ? guard->space.plan.budget : PACE_NONE, seconds);
    if (space) status->limits[GUARD_DISK].level = guard->out.room_level;
    status->level = guard->out.level;
    status->disk_rate = guard->out.disk_rate;
    status->window_bytes = guard->out.window;
    if (ages) status->staleness_max_ns = MAX(status->staleness_max_ns, guard->out.age_ns);
}

/* --- states --- */

static bool disk_is_silent(const struct guard *guard, const struct config *config) {
    return guard->out.age_ns >= (uint64_t)config->persist_timeout * 1000000;
}

static enum guard_state find_state(struct guard *guard, const struct config *config, int error) {
    const struct pace_output *out = &guard->out;
    uint64_t timeout_ns = (uint64_t)config->persist_timeout * 1000000;
    bool always = config->appendonly && config->appendfsync == APPENDFSYNC_ALWAYS;
    if (out->level < 1) guard->stopped_ns = 0;
    if (out->level >= 1 && !guard->stopped_ns) guard->stopped_ns = guard->now_ns;
    if (error || (always && disk_is_silent(guard, config))) return GUARD_REFUSING;
    if (guard->stopped_ns && guard->now_ns - guard->stopped_ns >= timeout_ns) return GUARD_REFUSING;
    if (guard->status.state == GUARD_REFUSING && out->level > WRITES_AGAIN) return GUARD_REFUSING;
    if (guard->stopped_ns) return GUARD_STOPPED;
    return out->brake ? GUARD_BRAKING : GUARD_OPEN;
}

static void move_brake(struct guard *guard, bool was_closed, double seconds) {
    const struct pace_output *out = &guard->out;
    double rate = (double)out->rate;
    if (out->brake && !was_closed) {
        brake_close(&guard->brake);
        guard->status.brakes++;
    } else if (!out->brake && was_closed) {
        brake_open(&guard->brake);
    } else if (out->brake && guard->status.state == GUARD_BRAKING) {
        brake_grant(&guard->brake, (uint64_t)(rate * seconds), (uint64_t)(AHEAD_BYTES + rate * AHEAD_SECONDS));
    } else if (out->brake) {
        brake_grant(&guard->brake, 0, 0);
    }
    guard->status.allowed_rate = guard->status.state == GUARD_BRAKING ? out->rate : 0;
}

/* --- texts --- */

static double seconds_of(uint64_t ns) {
    return (double)ns / 1e9;
}

/* What is the matter, as half a sentence. */
static void describe(const struct guard *guard, const struct pace_input *input, char out[static 256]) {
    const struct guard_limit *age = &guard->status.limits[GUARD_STALENESS];
    const struct guard_limit *bytes = &guard->status.limits[GUARD_UNSYNCED];
    const struct guard_limit *space = &guard->status.limits[GUARD_DISK];
    unsigned long long pending = input->pending;
    if (guard->status.error)
        snprintf(out, 256, "%s", strerrordesc_np(guard->status.error));
    else if (space->applies && space->level >= guard->out.level)
        snprintf(out, 256, "%s: the log may take %llu bytes more, %llu of %llu are used (disk-budget)",
                 strerrordesc_np(ENOSPC), (unsigned long long)input->room, (unsigned long long)space->value,
                 (unsigned long long)space->limit);
    else if (age->applies && age->level >= guard->out.level)
        snprintf(out, 256, "the oldest write waits for the disk since %.1f s (max-staleness %.1f s)",
                 seconds_of(guard->out.age_ns), seconds_of(input->staleness_ns));
    else if (bytes->applies && bytes->level >= guard->out.level)
        snprintf(out, 256, "%llu bytes wait for the disk (max-unsynced-bytes %llu)", pending,
                 (unsigned long long)input->unsynced);
    else if (age->applies)
        snprintf(out, 256, "%llu bytes wait for a disk that writes %llu bytes a second (max-staleness %.1f s)", pending,
                 (unsigned long long)guard->out.disk_rate, seconds_of(input->staleness_ns));
    else
        snprintf(out, 256, "the disk has not answered for %.1f s", seconds_of(guard->out.age_ns));
}

static void word_orders(struct guard *guard, const struct pace_input *input, const struct config *config) {
    struct guard_orders *orders = &guard->orders;
    char what[256];
    double timeout = (double)config->persist_timeout / 1000;
    guard->text_ns = guard->now_ns + TEXT_NS;
    describe(guard, input, what);
    snprintf(guard->status.reason, sizeof guard->status.reason, "%s", guard->status.state == GUARD_OPEN ? "" : what);
    if (guard->status.error)
        snprintf(orders->refusal, sizeof orders->refusal, "MISCONF Errors writing to the AOF file: %s", what);
    else
        snprintf(orders->refusal, sizeof orders->refusal,
                 "MISCONF The disk does not keep up: %s, for longer than persist-timeout (%.1f s). Writes are refused "
                 "until it does",
                 what, timeout);
    snprintf(orders->patience, sizeof orders->patience,
             "MISCONF The disk does not keep up: %s. The write was held back for persist-timeout (%.1f s)", what,
             timeout);
    snprintf(orders->late, sizeof orders->late,
             "MISCONF The disk has not taken this for persist-timeout (%.1f s): %s. It is done in memory, and a crash "
             "may take it back",
             timeout, what);
}

static void log_state(struct guard *guard, enum guard_state before) {
    enum guard_state now = guard->status.state;
    if (now == GUARD_BRAKING && before == GUARD_OPEN && guard->now_ns >= guard->braking_logged_ns) {
        guard->braking_logged_ns = guard->now_ns + LOG_NS;
        log_line(guard->log, LOG_LEVEL_NOTICE, "Writes are slowed down to the speed of the disk: %s",
                 guard->status.reason);
    } else if (now == GUARD_REFUSING && !guard->refusing_logged && guard->now_ns >= guard->refusing_logged_ns) {
        guard->refusing_logged_ns = guard->now_ns + LOG_NS;
        guard->refusing_logged = true;
        log_line(guard->log, LOG_LEVEL_WARNING, "Writes are refused: %s", guard->status.reason);
    } else if (now != GUARD_REFUSING && guard->refusing_logged) {
        guard->refusing_logged = false;
        log_line(guard->log, LOG_LEVEL_NOTICE, "Writes go on");
    }
}

/* --- orders --- */

static uint64_t sync_every(const struct guard *guard, const struct pace_input *input, const struct config *config) {
    bool ages = input->staleness_ns != PACE_NONE;
    if (guard->out.hurry) return ages ? input->staleness_ns / SYNC_PARTS : SYNC_HURRY_NS;
    if (config->appendfsync == APPENDFSYNC_NO) return UINT64_MAX;
    return ages ? MIN(SYNC_EVERY_NS, input->staleness_ns / 2) : SYNC_EVERY_NS;
}

/* Powers of two, so that they do not change with each step. */
static uint64_t chunk_of(const struct guard *guard) {
    if (!guard->out.hurry || guard->out.chunk == PACE_NONE) return UINT64_MAX;
    uint64_t each = guard->out.chunk / guard->shards, chunk = CHUNK_MIN;
    while (chunk <= each / 2) chunk *= 2;
    return chunk;
}

static void give_orders(struct guard *guard, const struct pace_input *input, const struct config *config) {
    struct guard_orders *orders = &guard->orders;
    bool always = config->appendonly && config->appendfsync == APPENDFSYNC_ALWAYS;
    bool refuse = guard->status.state == GUARD_REFUSING, excuse = always && disk_is_silent(guard, config);
    uint64_t every_ns = sync_every(guard, input, config), chunk = chunk_of(guard);
    bool spare = !guard->hurry_ns || guard->now_ns - guard->hurry_ns >= SPARE_NS;
    bool roomy = input->room == PACE_NONE || guard->space.plan.roomy;
    bool texts = guard->status.state != GUARD_OPEN && guard->now_ns >= guard->text_ns;
    if (refuse == orders->refuse && excuse == orders->excuse && every_ns == orders->sync_every_ns &&
        chunk == orders->chunk_bytes && spare == orders->spare && roomy == orders->roomy && !texts)
        return;
    word_orders(guard, input, config);
    orders->refuse = refuse;
    orders->excuse = excuse;
    orders->sync_every_ns = every_ns;
    orders->chunk_bytes = chunk;
    orders->spare = spare;
    orders->roomy = roomy;
    orders->version = load(&guard->version) + 1;
    store(&guard->version, orders->version);
}

static void step(struct guard *guard, uint64_t now_ns, const struct config *config) {
    int error;
    struct pace_input input = gather_figures(guard, config, now_ns, &error);
    enum guard_state before = guard->status.state;
    bool was_closed = guard->out.brake;
    double seconds = guard->now_ns ? (double)(now_ns - guard->now_ns) / 1e9 : 0;
    pace_step(&guard->pace, &input, &guard->out);
    set_limits(guard, &input);
    guard->now_ns = now_ns;
    if (guard->out.hurry) guard->hurry_ns = now_ns;
    guard->status.error = error;
    guard->status.state = find_state(guard, config, error);
    move_brake(guard, was_closed, seconds);
    if (guard->status.state != before) {
        guard->status.state_ns = now_ns;
        guard->status.stops += guard->status.state == GUARD_STOPPED;
        guard->text_ns = 0;
        atomic_store_explicit(&guard->state, (int)guard->status.state, memory_order_relaxed);
    }
    give_orders(guard, &input, config);
    if (guard->status.state != before) log_state(guard, before);
}

void guard_turn(struct guard *guard, uint32_t shard, const struct journal_status *journal, bool on, uint64_t now_ns,
                const struct config *config) {
    struct seat *seat = &guard->seats[shard];
    if (now_ns < seat->next_ns) return;
    seat->next_ns = now_ns + TELL_NS;
    tell(seat, journal, on);
    if (now_ns < load(&guard->next_ns) || pthread_mutex_trylock(&guard->lock) != 0) return;
    if (now_ns > guard->now_ns) step(guard, now_ns, config);
    bool lazy = guard->status.state == GUARD_OPEN;
    store(&guard->next_ns, now_ns + (lazy ? STEP_LAZY_NS : STEP_NS));
    pthread_mutex_unlock(&guard->lock);
}

uint64_t guard_wait_ns(const struct guard *guard, const struct journal_status *journal, const struct config *config,
                       uint64_t now_ns) {
    uint64_t oldest_ns = journal->oldest_pending_ns;
    int state = atomic_load_explicit(&guard->state, memory_order_relaxed);
    if (state != GUARD_OPEN && (oldest_ns || state != GUARD_REFUSING))
        return STEP_LAZY_NS; /* somebody may be waiting */
    if (!oldest_ns) return UINT64_MAX;
    if (!config->appendonly || config->appendfsync == APPENDFSYNC_NO) return UINT64_MAX;
    double limit_ms = config->appendfsync == APPENDFSYNC_ALWAYS ? (double)config->persist_timeout
                                                                : BRAKES_BY_AGE * (double)config->max_staleness;
    if (limit_ms <= 0) return UINT64_MAX;
    uint64_t due_ns = oldest_ns + (uint64_t)(limit_ms * 1e6);
    return due_ns > now_ns + STEP_LAZY_NS ? due_ns - now_ns : STEP_LAZY_NS;
}

void guard_set_space(struct guard *guard, const struct guard_space *space) {
    pthread_mutex_lock(&guard->lock);
    guard->space = *space;
    guard->space_known = true;
    pthread_mutex_unlock(&guard->lock);
}

uint64_t guard_durable(const struct guard *guard) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < guard->shards; i++) sum += load(&guard->seats[i].durable);
    return sum;
}

uint64_t guard_spare(const struct guard *guard) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < guard->shards; i++) sum += load(&guard->seats[i].spare);
    return sum;
}

uint64_t guard_version(const struct guard *guard) {
    return load(&guard->version);
}

void guard_read_orders(struct guard *guard, struct guard_orders *out) {
    pthread_mutex_lock(&guard->lock);
    *out = guard->orders;
    pthread_mutex_unlock(&guard->lock);
}

void guard_read_status(struct guard *guard, struct guard_status *out) {
    pthread_mutex_lock(&guard->lock);
    *out = guard->status;
    pthread_mutex_unlock(&guard->lock);
}
