/* Background: see background.h. */
#include "shards/background.h"
#include "shards/defrag.h"
#include "shards/pipeline.h"
#include "shards/reaper.h"
#include "shards/shard.h"
#include "shards/waiters.h"

#define EXPIRE_BATCH    64 /* keys per call */
#define EXPIRE_CALLS    16 /* calls per turn and database while expired keys are plenty */
#define REAP_UNITS      2  /* pieces of 1 MiB or 256 entries per turn */
#define RESIZE_BUCKETS  64 /* per turn, beyond what inserts do by themselves */
#define CRON_NS         (100 * 1000000ull)
#define LONGEST_WAIT_NS 1000000000ull

static bool expire(struct shard *shard) {
    bool more = false;
    if (shard->expire_off || shard->loading) return false;
    for (uint32_t i = 0; i < shard->db_used; i++) {
        if (!shard->db[i]) continue;
        bool due = true;
        for (int call = 0; due && call < EXPIRE_CALLS; call++) due = keyspace_expire_some(shard->db[i], EXPIRE_BATCH);
        more |= due;
    }
    waiters_serve(shard); /* a stream that has expired ends the waiting of those who read it in a group */
    return more;
}

/* Nothing has come since the last time: then it is worth looking when to look again. O(segments of tables), too much to
 * do while commands come. */
static void look_ahead(struct shard *shard) {
    bool calm = shard_commands_seen(shard) == shard->seen_at_cron && !shard->expire_more;
    shard->seen_at_cron = shard_commands_seen(shard);
    shard->expire_at_ms = 0;
    if (!calm) return;
    uint32_t next_s = UINT32_MAX;
    for (uint32_t i = 0; i < shard->db_used; i++)
        if (shard->db[i]) next_s = MIN(next_s, keyspace_next_deadline_s(shard->db[i]));
    shard->expire_at_ms = next_s * 1000ull;
}

static void end_pause(struct shard *shard) {
    if (!shard->pause_until_ms || shard->now_ms < shard->pause_until_ms) return;
    shard_unpause(shard);
}

/* Who has to wait all the same finds out when its command is parsed again. */
static void resume_paused(struct shard *shard) {
    for (struct client *client = shard->clients_first; client; client = client->next)
        if (client->wait == WAIT_PAUSE) pipeline_resume(shard, client);
}

void shard_unpause(struct shard *shard) {
    shard->pause_until_ms = 0;
    resume_paused(shard);
}

uint64_t shard_clients_paused(const struct shard *shard) {
    if (!shard->pause_until_ms) return 0;
    uint64_t paused = 0;
    for (const struct client *client = shard->clients_first; client; client = client->next)
        paused += client->wait == WAIT_PAUSE;
    return paused;
}

void shard_hold_writes(struct shard *shard, bool on) {
    shard->hold_writes = on;
    if (!on) resume_paused(shard);
}

bool background_turn(struct shard *shard) {
    end_pause(shard);
    bool more = reaper_step(shard->shared.reaper, REAP_UNITS);
    more |= defrag_some(shard);
    more |= defrag_has_time(shard) ? slab_purge_rest(shard->slab) : slab_purge_some(shard->slab);
    more |= pubsub_forget_some(shard);
    if (shard->now_ns < shard->next_cron_ns && !shard->expire_more) return more;
    shard->next_cron_ns = shard->now_ns + CRON_NS;
    uint64_t began = shard->host.ticks(shard->host.ctx);
    shard->expire_more = expire(shard);
    shard_note_ticks(shard, SPIKE_EXPIRE, shard->host.ticks(shard->host.ctx) - began);
    look_ahead(shard);
    defrag_cron(shard);
    for (uint32_t i = 0; i < shard->db_used; i++)
        if (shard->db[i]) keyspace_resize_some(shard->db[i], RESIZE_BUCKETS);
    return more || shard->expire_more;
}

/* --- until when it may sleep --- */

static bool has_deadlines(const struct shard *shard) {
    for (uint32_t i = 0; i < shard->db_used; i++)
        if (shard->db[i] && keyspace_timed_count(shard->db[i])) return true;
    return false;
}

/* Until the next look at deadlines. An idle shard knows when something expires, and sleeps until then. */
static uint64_t wait_for_deadlines(const struct shard *shard) {
    bool known = shard_commands_seen(shard) == shard->seen_at_cron && shard->expire_at_ms > shard->now_ms;
    return known ? (shard->expire_at_ms - shard->now_ms) * 1000000 : CRON_NS;
}

uint64_t background_wait_ns(const struct shard *shard) {
    if (shard->pause_until_ms || shard->to_send || shard->braked.first) return 1000000;
    if (!defrag_is_done(shard)) return CRON_NS;
    return has_deadlines(shard) ? MIN(wait_for_deadlines(shard), LONGEST_WAIT_NS) : LONGEST_WAIT_NS;
}
