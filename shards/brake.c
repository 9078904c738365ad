/* The gate. A ticket is kept with its client until the write has passed, so a command that is parsed several times, as
 * the batch before it has to run first or its bytes were not all there, draws one. */
#include "shards/brake.h"
#include "core/assert.h"
#include "shards/multi.h"
#include "shards/pipeline.h"
#include "shards/route.h"
#include "shards/shard.h"

/* What the journal adds to a command, about, so that many small ones are not taken for nothing. */
#define COMMAND_BYTES 64u

/* --- whoever knows the disk --- */

/* Relaxed throughout: the figures stand for themselves. A shard that sees them late lets writes pass, or wait, for a
 * turn longer. */

void brake_close(struct brake *brake) {
    uint64_t taken = atomic_load_explicit(&brake->taken, memory_order_relaxed);
    atomic_store_explicit(&brake->granted, taken, memory_order_relaxed);
    atomic_store_explicit(&brake->closed, true, memory_order_relaxed);
}

void brake_open(struct brake *brake) {
    atomic_store_explicit(&brake->closed, false, memory_order_relaxed);
}

void brake_grant(struct brake *brake, uint64_t bytes, uint64_t ahead) {
    uint64_t taken = atomic_load_explicit(&brake->taken, memory_order_relaxed);
    uint64_t granted = atomic_load_explicit(&brake->granted, memory_order_relaxed);
    atomic_store_explicit(&brake->granted, MIN(granted + bytes, taken + ahead), memory_order_relaxed);
}

uint64_t brake_passed(const struct brake *brake) {
    uint64_t taken = atomic_load_explicit(&brake->taken, memory_order_relaxed);
    uint64_t granted = atomic_load_explicit(&brake->granted, memory_order_relaxed);
    return MIN(taken, granted);
}

/* --- a shard --- */

static bool is_due(const struct shard *shard, const struct client *client) {
    const struct brake *brake = shard->braked.brake;
    return client->ticket < atomic_load_explicit(&brake->granted, memory_order_relaxed);
}

static bool is_too_late(const struct shard *shard, const struct client *client) {
    uint64_t patience_ns = (uint64_t)shard->config->persist_timeout * 1000000;
    return shard->braked.reason && client->braked_ns && shard->now_ns - client->braked_ns >= patience_ns;
}

/* What it asks for: about the bytes that it adds to the journal. */
static uint64_t size_of(const struct queued *q) {
    uint64_t bytes = q->fate == FATE_EXEC ? multi_memory(q->client) : q->raw_len;
    return bytes + COMMAND_BYTES;
}

static bool writes(const struct queued *q) {
    if (!q->slot || q->fate == FATE_REJECT || q->fate == FATE_QUEUE) return false;
    uint32_t flags = q->fate == FATE_EXEC ? multi_flags_ahead(q->client) : q->slot->row->flags;
    return flags & CMD_WRITE && !(q->client->flags & CLIENT_LOADER);
}

static void refuse(struct shard *shard, struct queued *q) {
    q->fate = FATE_REJECT;
    q->reject = REJECT_TOO_LATE;
    q->barrier = q->leaves = false;
    shard->braked.refused++;
}

static void forget_ticket(struct client *client) {
    client->has_ticket = false;
    client->braked_ns = 0;
}

bool brake_lets_pass(struct shard *shard, struct client *client, struct queued *q) {
    ASSERT(shard->braked.closed);
    if (!writes(q)) return true;
    if (!client->has_ticket) {
        uint64_t size = size_of(q);
        client->ticket = atomic_fetch_add_explicit(&shard->braked.brake->taken, size, memory_order_relaxed);
        client->has_ticket = true;
    }
    if (!is_due(shard, client)) {
        if (!is_too_late(shard, client)) return false;
        refuse(shard, q);
    }
    forget_ticket(client);
    return true;
}

void brake_wait(struct shard *shard, struct client *client) {
    struct braked *braked = &shard->braked;
    ASSERT(client->wait == WAIT_NOTHING);
    client->wait = WAIT_BRAKE;
    if (!client->braked_ns) {
        client->braked_ns = shard->now_ns;
        braked->waits++;
    }
    client->braked_next = NULL;
    client->braked_prev = braked->last;
    *(braked->last ? &braked->last->braked_next : &braked->first) = client;
    braked->last = client;
    braked->count++;
}

void brake_leave(struct client *client) {
    struct braked *braked = &client->home->braked;
    ASSERT(client->wait == WAIT_BRAKE && braked->count > 0);
    *(client->braked_prev ? &client->braked_prev->braked_next : &braked->first) = client->braked_next;
    *(client->braked_next ? &client->braked_next->braked_prev : &braked->last) = client->braked_prev;
    client_wait_over(client);
    braked->wait_ns += client->home->now_ns - client->braked_ns;
    braked->count--;
}

void brake_look(struct shard *shard) {
    struct braked *braked = &shard->braked;
    braked->closed = braked->brake && atomic_load_explicit(&braked->brake->closed, memory_order_relaxed);
}

/* Tickets of one home grow, and so do their times: who comes first is due first. A client that ran its batch before it
 * waits may have drawn its ticket a little earlier than the one ahead of it; that one is due soon, too. */
void brake_turn_slow(struct shard *shard) {
    struct braked *braked = &shard->braked;
    bool all = !braked->closed || shard->no_writes;
    for (struct client *client; (client = braked->first) != NULL;) {
        if (!all && !is_due(shard, client) && !is_too_late(shard, client)) return;
        brake_leave(client);
        if (all) forget_ticket(client);
        shard->host.attend(shard->host.ctx, client);
    }
}

void brake_check(const struct shard *shard) {
    const struct braked *braked = &shard->braked;
    const struct client *before = NULL;
    uint32_t count = 0;
    for (const struct client *client = braked->first; client; client = client->braked_next, count++) {
        ASSERT(client->wait == WAIT_BRAKE && client->braked_prev == before && client->has_ticket && client->braked_ns);
        before = client;
    }
    ASSERT(count == braked->count && braked->last == before);
}
