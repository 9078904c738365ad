/* Asking each keeper of a limit, and saying it in the same words. */
#include "net/guard_view.h"
#include "net/ceiling.h"
#include "net/runtime.h"
#include "net/thread.h"
#include "persist/guard.h"
#include <inttypes.h>
#include <stdio.h>

#define NEAR_PART  10  /* with no more than this part of a limit left it is near */
#define FULL_PART  200 /* so small a part of the ceiling is as good as nothing: one large command's share */
#define LEFT_MAX_S (1000ull * 365 * 86400)

const char *guard_view_state_name(enum guard_view_state state) {
    static const char *const names[] = {"ok", "near", "braking", "refusing"};
    return names[state];
}

static int64_t seconds_left(uint64_t value, uint64_t limit, double per_second) {
    if (value >= limit) return 0;
    double left = per_second > 0 ? (double)(limit - value) / per_second : (double)LEFT_MAX_S;
    return left < (double)LEFT_MAX_S ? (int64_t)left : -1;
}

/* NULL: it has no limit. The caller fills in what is done about it. */
static struct guard_view_limit *add(struct guard_view *view, struct guard_view_limit limit) {
    if (limit.limit == 0) return NULL;
    static_assert(3 + GUARD_LIMITS <= GUARD_VIEW_MAX, "memory, clients' memory, connections, and the disk's");
    ASSERT(view->count < GUARD_VIEW_MAX);
    struct guard_view_limit *place = &view->limits[view->count++];
    *place = limit;
    place->seconds_left = seconds_left(limit.value, limit.limit, limit.per_second);
    place->state = limit.value >= limit.limit - limit.limit / NEAR_PART ? GUARD_VIEW_NEAR : GUARD_VIEW_OK;
    return place;
}

/* --- memory --- */

/* What is done at the ceiling: as maxmemory-policy says. */
static void explain_full(struct guard_view_limit *limit, const struct ceiling_facts *facts, bool evicts) {
    limit->state = evicts ? GUARD_VIEW_BRAKING : GUARD_VIEW_REFUSING;
    snprintf(limit->reason, sizeof limit->reason,
             evicts ? "keys are evicted to make room: %" PRIu64 " bytes so far; %" PRIu64 " commands waited for it"
                    : "commands that need memory are refused (-OOM): %" PRIu64 " so far; %" PRIu64 " waited for room",
             evicts ? facts->evicted_bytes : facts->refused, facts->waited);
}

/* Shown is what is resident, as everybody else sees it; what is near follows from what is free for data, for the budget
 * keeps a part of the ceiling for what comes at once (ceiling.c). */
static void add_memory(struct guard_view *view, const struct ceiling_facts *facts, const struct config *config) {
    struct guard_view_limit *limit = add(view, (struct guard_view_limit){.name = "memory",
                                                                         .option = "maxmemory",
                                                                         .unit = "bytes",
                                                                         .value = MAX(facts->used, facts->resident),
                                                                         .limit = facts->ceiling,
                                                                         .per_second = (double)facts->per_second});
    if (!limit) return;
    limit->seconds_left = seconds_left(0, (uint64_t)MAX(facts->free, (int64_t)0), limit->per_second);
    if (facts->free <= (int64_t)(facts->ceiling / NEAR_PART)) limit->state = GUARD_VIEW_NEAR;
    if (facts->free <= (int64_t)(facts->ceiling / FULL_PART))
        explain_full(limit, facts, config->maxmemory_policy != MAXMEMORY_NOEVICTION);
    if (!facts->braked || limit->state == GUARD_VIEW_REFUSING) return;
    limit->state = GUARD_VIEW_BRAKING;
    snprintf(limit->reason, sizeof limit->reason,
             "%" PRIu64 " bytes are resident, more than the ceiling allows, so writers are slowed down",
             facts->resident);
}

static void add_clients_memory(struct guard_view *view, const struct ceiling_facts *facts) {
    struct guard_view_limit *limit = add(view, (struct guard_view_limit){.name = "client-memory",
                                                                         .option = "maxmemory-clients",
                                                                         .unit = "bytes",
                                                                         .value = facts->clients,
                                                                         .limit = facts->client_share});
    if (!limit || facts->uncovered == 0) return;
    limit->state = GUARD_VIEW_BRAKING;
    snprintf(limit->reason, sizeof limit->reason,
             "replies and input of clients take %" PRIu64
             " bytes more than there is for them: replies wait, and the fattest clients go (%" PRIu64 " so far)",
             facts->uncovered, facts->dropped);
}

/* --- clients --- */

static void add_connections(struct guard_view *view, const struct shard *home) {
    const struct server *server = thread_of(home)->server;
    /* Relaxed: a count for people. */
    uint64_t count = atomic_load_explicit(&server->client_count, memory_order_relaxed);
    struct guard_view_limit *limit =
        add(view, (struct guard_view_limit){.name = "connections",
                                            .option = "maxclients",
                                            .unit = "clients",
                                            .value = count,
                                            .limit = server_clients_max(server, home->config)});
    if (!limit || limit->value < limit->limit) return;
    limit->state = GUARD_VIEW_REFUSING;
    snprintf(limit->reason, sizeof limit->reason, "new connections are turned away");
}

/* --- disk --- */

static enum guard_view_state state_of_disk(enum guard_state state) {
    static const enum guard_view_state states[] = {[GUARD_OPEN] = GUARD_VIEW_OK,
                                                   [GUARD_BRAKING] = GUARD_VIEW_BRAKING,
                                                   [GUARD_STOPPED] = GUARD_VIEW_BRAKING,
                                                   [GUARD_REFUSING] = GUARD_VIEW_REFUSING};
    return states[state];
}

/* The guard brakes for whichever of its limits is nearest; the others are just shown. */
static void add_disk(struct guard_view *view, const struct guard_status *status) {
    struct guard_view_limit *nearest = NULL;
    double level = -1;
    for (unsigned i = 0; i < GUARD_LIMITS; i++) {
        const struct guard_limit *from = &status->limits[i];
        if (!from->applies) continue;
        struct guard_view_limit *limit = add(view, (struct guard_view_limit){.name = from->name,
                                                                             .option = from->name,
                                                                             .unit = from->unit,
                                                                             .value = from->value,
                                                                             .limit = from->limit,
                                                                             .per_second = from->per_second});
        if (!limit || from->level <= level) continue;
        nearest = limit;
        level = from->level;
    }
    if (!nearest || status->state == GUARD_OPEN) return;
    nearest->state = state_of_disk(status->state);
    snprintf(nearest->reason, sizeof nearest->reason, "%s", status->reason);
}

void guard_view_read(const struct shard *home, struct guard_view *out) {
    struct ceiling_facts memory;
    struct guard_status disk;
    *out = (struct guard_view){0};
    ceiling_read(thread_of(home)->server, &memory);
    guard_read_status(net_guard(home), &disk);
    add_memory(out, &memory, home->config);
    add_clients_memory(out, &memory);
    add_connections(out, home);
    add_disk(out, &disk);
    for (unsigned i = 0; i < out->count; i++) out->state = MAX(out->state, out->limits[i].state);
}
