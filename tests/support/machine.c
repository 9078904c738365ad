/* The played surroundings of shards. The carrier below follows net/conn.c in what it asks of the pipeline and when. */
#include "tests/support/machine.h"
#include "shards/blocked.h"
#include "shards/client_move.h"
#include "shards/cmd_tables.h"
#include "shards/gather.h"
#include "shards/mailbox.h"
#include "shards/pipeline.h"
#include "shards/reaper.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECES_MAX  64
#define TABLES_MAX  64
#define REPLY_SLACK (4 * 1024 * 1024) /* one reply, and what was outstanding when the limit was reached */

struct thread_sim {
    struct sim *sim;
    struct shard *shard;
    uint32_t id;
    bool awake;
    uint64_t due_ns;
    struct peer *attend, **attend_end;
    _Atomic uint64_t pending;
    char *pieces[PIECES_MAX]; /* input of this turn */
    uint32_t piece_count;
    struct sim_journal journal;
    bool stalled; /* its disk */
};

struct sim {
    uint32_t count;
    struct thread_sim threads[SIM_SHARDS_MAX];
    struct mailbox *mailboxes[SIM_SHARDS_MAX * SIM_SHARDS_MAX];
    struct peer *peers;
    uint32_t peer_count;
    struct prng prng;
    uint64_t lazy; /* shards that are slow */
    sim_turn_end turn_end;
    void *turn_end_ctx;
    bool gated, pieces, braked, moves;
    struct ledger *ledger; /* of a cramped one */
    uint64_t moved;
    struct brake brake;
    struct clock_manual clock;
    struct heap *heap; /* of the registry and the peers' own buffers */
    struct command_registry *registry;
    struct config config;
    struct log log;
    int64_t idle[MEM_CLASSES]; /* bytes of all shards together before anything happened */
};

/* --- host --- */

static void wake(void *ctx, uint32_t to) {
    ((struct thread_sim *)ctx)->sim->threads[to].awake = true;
}

static void attend_peer(struct thread_sim *thread, struct peer *peer) {
    if (peer->attending) return;
    peer->attending = true;
    peer->next_attend = NULL;
    *thread->attend_end = peer;
    thread->attend_end = &peer->next_attend;
}

static void attend(void *ctx, struct client *client) {
    if (!client->carrier) return; /* one of the server's own */
    attend_peer(ctx, (struct peer *)client);
}

static uint64_t ticks(void *ctx) {
    struct clock_manual *clock = &((struct thread_sim *)ctx)->sim->clock;
    return clock->mono_ns;
}

static void no_line(void *ctx, const char *line, size_t len) {
    (void)ctx, (void)line, (void)len;
}

/* --- birth and death --- */

static void cmd_arrive(struct exec *x);
static const struct command moving_commands[] = {
    {.name = "sherd.arrive",
     .arity = 2 + CLIENT_LUGGAGE_ARGS,
     .flags = CMD_INTERNAL,
     .where = ON_CONN,
     .run = cmd_arrive},
    {.name = NULL},
};

static void make_registry(struct sim *sim, const struct command *const *more) {
    static const struct command *const own[] = {SHARD_COMMAND_TABLES};
    const struct command *tables[TABLES_MAX];
    uint32_t count = ARRAY_LEN(own);
    static_assert(ARRAY_LEN(own) < TABLES_MAX, "room for a test's own tables");
    memcpy(tables, own, sizeof own);
    tables[count++] = moving_commands;
    for (; more && *more && count < TABLES_MAX - 1; more++) tables[count++] = *more;
    tables[count] = NULL;
    sim->registry = command_registry_new(sim->heap, tables);
}

static void make_shard(struct sim *sim, uint32_t id, const struct sim_options *options) {
    struct mailbox *out[SHARDS_MAX], *in[SHARDS_MAX];
    _Atomic uint64_t *pending[SHARDS_MAX];
    for (uint32_t i = 0; i < sim->count; i++) {
        out[i] = sim->mailboxes[id * sim->count + i];
        in[i] = sim->mailboxes[i * sim->count + id];
        pending[i] = &sim->threads[i].pending;
    }
    struct thread_sim *thread = &sim->threads[id];
    thread->sim = sim;
    thread->id = id;
    thread->awake = true;
    thread->attend_end = &thread->attend;
    struct shard_options shard = {
        .id = id,
        .count = sim->count,
        .db_count = options->db_count,
        .hash_seed = {1, 2},
        .random_seed = prng_next(&sim->prng),
        .host = {.ctx = thread, .wake = wake, .attend = attend, .ticks = ticks, .tick_ns = 1},
        .registry = sim->registry,
        .config = &sim->config,
        .log = &sim->log,
        .brake = sim->braked ? &sim->brake : NULL,
        .ledger = sim->ledger,
        .outbox = out,
        .inbox = in,
        .pending = pending,
    };
    assert_set_shard((int)id);
    thread->shard = shard_new(&shard);
    if (sim->gated) {
        thread->shard->effects.on = true;
        struct effects *effects = &thread->shard->effects;
        if (sim->pieces) effects->piece_bytes = 1;
        if (sim->pieces) effects->payload_bytes = effects->tell_bytes = 0; /* what can be told over turns is */
        commit_start(thread->shard, 0);
        thread->journal.pace = 1 + (uint32_t)prng_below(&sim->prng, 6);
        buf_init(&thread->journal.bytes, sim->heap, MEM_STATS);
    }
    assert_set_shard(-1);
}

static int64_t used(const struct sim *sim, enum mem_class owner) {
    int64_t sum = 0; /* single heaps may be negative: messages travel */
    for (uint32_t i = 0; i < sim->count; i++) sum += heap_used(sim->threads[i].shard->heap, owner);
    return sum;
}

/* Data and clients may have as much as they like, but whoever asks whether there is room for a reply is told that there
 * is none for any, until play_room says otherwise. */
static struct ledger *new_ledger(uint32_t shards) {
    struct ledger *ledger = aligned_alloc(_Alignof(struct ledger), sizeof *ledger);
    ASSERT(ledger);
    memset(ledger, 0, sizeof *ledger);
    ledger_init(ledger, shards);
    ledger->answer_large = 0;
    atomic_store(&ledger->room, 1 << 30); /* less than plenty */
    atomic_store(&ledger->client_share, 0);
    atomic_store(&ledger->clients_most, 0);
    return ledger;
}

struct sim *sim_new(const struct sim_options *options) {
    struct sim *sim = calloc(1, sizeof *sim);
    ASSERT(sim && options->shards > 0 && options->shards <= SIM_SHARDS_MAX);
    sim->count = options->shards;
    sim->gated = options->gated;
    sim->pieces = options->pieces;
    sim->braked = options->braked;
    sim->moves = options->moves && options->shards > 1;
    if (options->cramped) sim->ledger = new_ledger(sim->count);
    sim->heap = heap_new();
    prng_init(&sim->prng, options->seed);
    clock_manual_init(&sim->clock, 1000000000, 1700000000ull * 1000000);
    config_init(&sim->config);
    sim->config.client_homing_ms = sim->moves; /* where they do not, none has the wish */
    log_init(&sim->log, no_line, NULL, clock_manual_port(&sim->clock), LOG_LEVEL_NOTHING, 'M');
    make_registry(sim, options->tables);
    for (uint32_t i = 0; i < sim->count * sim->count; i++)
        if (i / sim->count != i % sim->count) sim->mailboxes[i] = mailbox_new(options->mailbox_capacity);
    for (uint32_t i = 0; i < sim->count; i++) make_shard(sim, i, options);
    for (int i = 0; i < MEM_CLASSES; i++) sim->idle[i] = used(sim, (enum mem_class)i);
    return sim;
}

static void free_peer(struct peer *peer) {
    buf_deinit(&peer->script);
    buf_deinit(&peer->got);
    free(peer);
}

static void release(struct peer *peer) {
    struct client *client = &peer->client;
    struct buf_pool *pool = &client->home->replies;
    if (!client_give_back(client, &peer->sending)) buf_pool_give_back(pool, &peer->sending);
    buf_pool_give_back(pool, &client->out);
    client_deinit(client);
    peer->gone = true;
}

static void delete_peers(struct sim *sim) {
    while (sim->peers) {
        struct peer *peer = sim->peers;
        sim->peers = peer->next;
        ASSERT(peer->gone);
        free_peer(peer);
    }
}

/* Nothing may be left: every message, buffer and place went back to where it came from. */
static void check_memory(struct sim *sim) {
    for (uint32_t i = 0; i < sim->count; i++) {
        shard_drop_messages(sim->threads[i].shard);
        buf_pool_deinit(&sim->threads[i].shard->replies);
    }
    ASSERT(used(sim, MEM_MESSAGE) == sim->idle[MEM_MESSAGE]);
    ASSERT(used(sim, MEM_CLIENT_OUT) == sim->idle[MEM_CLIENT_OUT]);
    ASSERT(used(sim, MEM_CLIENT_IN) == sim->idle[MEM_CLIENT_IN]);
}

void sim_delete(struct sim *sim) {
    for (struct peer *peer = sim->peers; peer; peer = peer->next)
        if (!peer->gone) sim_vanish(peer);
    ASSERT(sim_settle(sim, 10000000));
    sim_check_idle(sim);
    delete_peers(sim);
    check_memory(sim);
    for (uint32_t i = 0; i < sim->count; i++) {
        assert_set_shard((int)i);
        shard_delete(sim->threads[i].shard);
    }
    assert_set_shard(-1);
    for (uint32_t i = 0; i < sim->count && sim->gated; i++) {
        buf_deinit(&sim->threads[i].journal.bytes);
        free(sim->threads[i].journal.batches);
    }
    for (uint32_t i = 0; i < sim->count * sim->count; i++)
        if (sim->mailboxes[i]) mailbox_delete(sim->mailboxes[i]);
    free(sim->ledger);
    command_registry_delete(sim->registry, sim->heap);
    ASSERT(heap_used(sim->heap, MEM_CLIENT_IN) == 0 && heap_used(sim->heap, MEM_CLIENT_OUT) == 0);
    heap_delete(sim->heap);
    free(sim);
}

void sim_set_turn_end(struct sim *sim, sim_turn_end turn_end, void *ctx) {
    sim->turn_end = turn_end;
    sim->turn_end_ctx = ctx;
}

uint32_t sim_shard_count(const struct sim *sim) {
    return sim->count;
}

uint64_t sim_moves(const struct sim *sim) {
    return sim->moved;
}

struct heap *sim_heap(const struct sim *sim) {
    return sim->heap;
}

struct shard *sim_shard(struct sim *sim, uint32_t id) {
    return sim->threads[id].shard;
}

struct prng *sim_prng(struct sim *sim) {
    return &sim->prng;
}

uint64_t sim_now_ms(const struct sim *sim) {
    return sim->clock.real_ns / 1000000;
}

/* --- the carrier --- */

static void address(const struct client *client, bool local, char *out, size_t out_size) {
    snprintf(out, out_size, "%s:%u", local ? "here" : "peer", ((const struct peer *)client)->number);
}

static int descriptor(const struct client *client) {
    (void)client;
    return -1;
}

static const struct client_carrier carrier = {.address = address, .descriptor = descriptor};

struct peer *sim_connect(struct sim *sim, uint32_t shard) {
    struct peer *peer = calloc(1, sizeof *peer), **end = &sim->peers;
    ASSERT(peer);
    while (*end) end = &(*end)->next;
    *end = peer;
    peer->sim = sim;
    peer->number = ++sim->peer_count;
    assert_set_shard((int)shard);
    client_init(&peer->client, sim->threads[shard].shard, &carrier, peer->number);
    assert_set_shard(-1);
    buf_init(&peer->sending, sim->threads[shard].shard->heap, MEM_CLIENT_OUT);
    buf_init(&peer->script, sim->heap, MEM_CLIENT_IN);
    buf_init(&peer->got, sim->heap, MEM_CLIENT_OUT);
    return peer;
}

void sim_say(struct peer *peer, const void *bytes, size_t len) {
    buf_append(&peer->script, bytes, len);
}

static struct thread_sim *thread_of(const struct peer *peer) {
    return &peer->sim->threads[peer->client.home->id];
}

static void close_peer(struct peer *peer) {
    if (!peer->closing) {
        peer->closing = true;
        peer->client.flags |= CLIENT_CLOSE_NOW;
        int before = assert_shard(); /* it may vanish between turns */
        assert_set_shard((int)peer->client.home->id);
        blocked_client_gone(&peer->client);
        assert_set_shard(before);
        peer->sending_now = false; /* the kernel gives everything back */
    }
    attend_peer(thread_of(peer), peer);
}

void sim_vanish(struct peer *peer) {
    if (peer->gone) return;
    if (peer->travels) {
        peer->vanished = true;
        return;
    }
    close_peer(peer);
}

static void try_free(struct peer *peer) {
    const struct client *client = &peer->client;
    if (peer->attending || peer->sending_now || client->queued || client->gather ||
        !reply_queue_empty(&client->replies) || client->flags & CLIENT_DIRTY_OUT)
        return;
    release(peer);
}

static bool all_done(const struct peer *peer) {
    const struct client *client = &peer->client;
    return client->queued == 0 && !client->gather && reply_queue_empty(&client->replies) && !peer->sending_now &&
           !client_has_output(client);
}

static bool wants_input(const struct peer *peer) {
    const struct client *client = &peer->client;
    if (peer->gone || peer->closing || peer->deaf || client->flags & (CLIENT_CLOSE_NOW | CLIENT_CLOSE_AFTER_REPLY))
        return false;
    return client->wait == WAIT_NOTHING || buf_readable(&client->in) <= IN_PAUSE;
}

static bool has_input(const struct peer *peer) {
    return wants_input(peer) && buf_readable(&peer->script) > 0;
}

/* --- moving: as net/move.c does --- */

static void cmd_arrive(struct exec *x) {
    struct peer *peer;
    memcpy(&peer, x->argv[1].ptr, sizeof peer);
    const struct slice *luggage = x->argv + 2;
    ASSERT(peer->travels && !peer->gone && !peer->attending);
    client_init(&peer->client, x->shard, &carrier, client_packed_id(luggage));
    client_unpack(&peer->client, luggage);
    buf_init(&peer->sending, x->shard->heap, MEM_CLIENT_OUT);
    peer->travels = peer->deaf = false;
    peer->sim->moved++;
    attend_peer(thread_of(peer), peer);
    if (peer->vanished) close_peer(peer);
}

static void send_off(struct peer *peer) {
    struct client *client = &peer->client;
    struct shard *home = client->home;
    struct client_luggage luggage;
    struct slice argv[2 + CLIENT_LUGGAGE_ARGS] = {SLICE("sherd.arrive"), slice_of((const char *)&peer, sizeof peer)};
    client_pack(client, &luggage, argv + 2);
    struct message *message = pipeline_outgoing(home, client->homing.wish - 1u, false);
    struct message_item *item = message_add(message, (struct message_note){0}, argv, ARRAY_LEN(argv));
    item->how = ITEM_UNDER;
    item->number = (uint16_t)command_find(home->registry, argv[0])->number;
    item->silent = item->part = true;
    buf_pool_give_back(&home->replies, &peer->sending);
    buf_pool_give_back(&home->replies, &client->out);
    client_deinit(client);
    peer->travels = true;
}

/* True: it has gone. */
static bool move_peer(struct peer *peer) {
    if (!client_may_move(&peer->client) || peer->hung_up) {
        peer->client.homing.wish = 0;
        peer->deaf = false;
        return false;
    }
    if (!peer->deaf || peer->attending || peer->sending_now || !client_is_quiet(&peer->client)) return false;
    send_off(peer);
    return true;
}

/* A client is told to move, or, a moment later, no more is received from it. */
static void play_moves(struct peer *peer) {
    struct sim *sim = peer->sim;
    struct homing *homing = &peer->client.homing;
    uint32_t here = peer->client.home->id;
    if (peer->closing || peer->deaf) return;
    if (homing->wish && prng_below(&sim->prng, 2)) {
        peer->deaf = true;
    } else if (!homing->wish && prng_below(&sim->prng, 30) == 0 && (has_input(peer) || peer->sending_now)) {
        homing->wish = (uint8_t)(1 + (here + 1 + prng_below(&sim->prng, sim->count - 1)) % sim->count);
    } else {
        return;
    }
    attend_peer(thread_of(peer), peer);
}

static void settle_peer(struct peer *peer) {
    struct client *client = &peer->client;
    if (peer->closing) {
        try_free(peer);
        return;
    }
    bool ends = client->flags & CLIENT_CLOSE_AFTER_REPLY || (peer->hung_up && client->wait == WAIT_NOTHING);
    bool waits_in_vain = peer->hung_up && client->blocked;
    if (client->flags & CLIENT_CLOSE_NOW || waits_in_vain || (ends && all_done(peer))) {
        peer->closed = true;
        close_peer(peer);
        return;
    }
    if (client->homing.wish) (void)move_peer(peer);
}

static void take_input(struct peer *peer, struct slice bytes) {
    struct client *client = &peer->client;
    struct shard *shard = client->home;
    if (buf_readable(&client->in) == 0 && client->wait == WAIT_NOTHING) {
        size_t taken = pipeline_feed(shard, client, bytes);
        ASSERT(taken <= bytes.len);
        client_keep_input(shard, client, slice_of(bytes.ptr + taken, bytes.len - taken));
    } else if (client_keep_input(shard, client, bytes)) {
        pipeline_feed_kept(shard, client);
    }
    if (client->wait != WAIT_NOTHING || client->flags & CLIENT_CLOSE_NOW) attend_peer(thread_of(peer), peer);
}

/* The next piece of the script, in a block of exactly its size. */
static void feed(struct peer *peer) {
    struct sim *sim = peer->sim;
    struct thread_sim *thread = thread_of(peer);
    struct slice rest = buf_slice(&peer->script);
    size_t max = peer->piece_max ? MIN(peer->piece_max, rest.len) : rest.len;
    max = MIN(max, (size_t)16 * 1024); /* a receive buffer */
    size_t len = max;
    if (peer->piece_max != 1 && !peer->uncut && prng_below(&sim->prng, 4))
        len = 1 + (size_t)prng_below(&sim->prng, max);
    char *piece = malloc(len);
    ASSERT(piece);
    memcpy(piece, rest.ptr, len);
    thread->pieces[thread->piece_count++] = piece;
    peer->script.read += len;
    take_input(peer, slice_of(piece, len));
}

static bool is_leaving(const struct peer *peer) {
    const struct client *client = &peer->client;
    return client->flags & CLIENT_CLOSE_AFTER_REPLY || peer->hung_up || client->homing.wish;
}

static void flush_peer(struct peer *peer) {
    struct client *client = &peer->client;
    if (peer->closing) {
        attend_peer(thread_of(peer), peer);
        return;
    }
    if (peer->sending_now) return;
    if (!client_has_output(client)) {
        buf_pool_give_back(&client->home->replies, &client->out);
        if (is_leaving(peer)) attend_peer(thread_of(peer), peer);
        return;
    }
    client_take_output(client, &peer->sending);
    peer->sent = 0;
    peer->sending_now = true;
}

/* The kernel took some of what is being sent, or all. */
static void sent(struct peer *peer) {
    struct client *client = &peer->client;
    struct prng *prng = &peer->sim->prng;
    size_t rest = peer->sending.len - peer->sent;
    size_t now = prng_below(prng, 3) ? rest : 1 + (size_t)prng_below(prng, rest);
    buf_append(&peer->got, peer->sending.data + peer->sent, now);
    peer->sent += now;
    client_output_sent(client, now);
    if (now < rest) return;
    peer->sending_now = false;
    if (!client_give_back(client, &peer->sending)) buf_pool_give_back(&client->home->replies, &peer->sending);
    if (client_has_output(client)) flush_peer(peer);
    if (client->wait == WAIT_READER) pipeline_resume(client->home, client);
    if (is_leaving(peer)) attend_peer(thread_of(peer), peer);
}

/* --- the disk --- */

/* The end of a turn: what it has added is one batch. */
static void close_batch(struct thread_sim *thread) {
    struct sim_journal *journal = &thread->journal;
    struct buf out;
    uint32_t db;
    buf_init(&out, thread->shard->heap, MEM_MESSAGE);
    effects_take(&thread->shard->effects, &out, &db);
    if (buf_readable(&out) > 0) {
        if (journal->count == journal->cap) {
            journal->cap = journal->cap ? journal->cap * 2 : 64;
            journal->batches = realloc(journal->batches, journal->cap * sizeof *journal->batches);
            ASSERT(journal->batches);
        }
        buf_append_slice(&journal->bytes, buf_slice(&out));
        journal->batches[journal->count++] = (struct sim_batch){thread->shard->effects.position, journal->bytes.len};
    }
    buf_deinit(&out);
}

/* Some batches have reached the disk. */
static void sync_some(struct thread_sim *thread) {
    struct sim_journal *journal = &thread->journal;
    if (journal->synced == journal->count || thread->stalled || prng_below(&thread->sim->prng, journal->pace)) return;
    journal->synced += 1 + (uint32_t)prng_below(&thread->sim->prng, journal->count - journal->synced);
    const struct sim_batch *last = &journal->batches[journal->synced - 1];
    journal->durable = last->end;
    commit_durable(thread->shard, last->position);
}

const struct sim_journal *sim_journal(const struct sim *sim, uint32_t shard) {
    return &sim->threads[shard].journal;
}

void sim_stall_disk(struct sim *sim, uint32_t shard, bool stalled) {
    sim->threads[shard].stalled = stalled;
}

static bool disk_busy(const struct thread_sim *thread) {
    return thread->journal.synced < thread->journal.count && !thread->stalled;
}

/* Whoever knows the disk says what comes to its mind: most of the time little may pass. */
static void play_brake(struct sim *sim) {
    struct brake *brake = &sim->brake;
    bool closed = atomic_load(&brake->closed);
    if (!closed && prng_below(&sim->prng, 8) == 0)
        brake_close(brake);
    else if (closed && prng_below(&sim->prng, 30) == 0)
        brake_open(brake);
    else if (closed && prng_below(&sim->prng, 2))
        brake_grant(brake, prng_below(&sim->prng, 2000), prng_below(&sim->prng, 1000));
}

/* Most of the time there is no room. */
static void play_room(struct sim *sim) {
    _Atomic int64_t *most = &sim->ledger->clients_most;
    bool room = atomic_load(most) > 0;
    if (prng_below(&sim->prng, room ? 4 : 30) == 0) atomic_store(most, room ? 0 : LEDGER_UNBOUNDED);
}

/* --- the turn --- */

static void attend_all(struct thread_sim *thread) {
    struct peer *peer = thread->attend;
    thread->attend = NULL;
    thread->attend_end = &thread->attend;
    while (peer) {
        struct peer *next = peer->next_attend;
        peer->attending = false;
        if (!peer->closing && !(peer->client.flags & CLIENT_CLOSE_NOW))
            pipeline_feed_kept(peer->client.home, &peer->client);
        settle_peer(peer);
        peer = next;
    }
    pipeline_run(thread->shard);
}

static bool is_home(const struct peer *peer, const struct thread_sim *thread) {
    return !peer->gone && !peer->travels && peer->client.home == thread->shard;
}

static void reap(struct thread_sim *thread) {
    struct sim *sim = thread->sim;
    for (struct peer *peer = sim->peers; peer; peer = peer->next) {
        if (!is_home(peer, thread)) continue;
        if (sim->moves) play_moves(peer);
        if (peer->sending_now && !peer->stalled && prng_below(&sim->prng, 4)) sent(peer);
        for (int i = 0; i < 4 && has_input(peer) && thread->piece_count < PIECES_MAX; i++)
            if (prng_below(&sim->prng, 3)) feed(peer);
    }
}

static void free_pieces(struct thread_sim *thread) {
    while (thread->piece_count) free(thread->pieces[--thread->piece_count]);
}

static bool has_events(const struct thread_sim *thread) {
    if (thread->attend || thread->shard->dirty || disk_busy(thread)) return true;
    for (const struct peer *peer = thread->sim->peers; peer; peer = peer->next)
        if (is_home(peer, thread) && (has_input(peer) || (peer->sending_now && !peer->stalled))) return true;
    return false;
}

static void turn(struct thread_sim *thread) {
    struct sim *sim = thread->sim;
    struct shard *shard = thread->shard;
    assert_set_shard((int)thread->id);
    thread->awake = false;
    shard_turn_begin(shard, sim->clock.mono_ns, sim->clock.real_ns / 1000000);
    if (sim->gated) sync_some(thread);
    if (sim->braked) play_brake(sim);
    if (sim->ledger) play_room(sim);
    reap(thread);
    pipeline_run(shard);
    if (thread->attend) attend_all(thread);
    bool more = shard_turn(shard);
    if (sim->turn_end) more |= sim->turn_end(sim->turn_end_ctx, shard);
    if (sim->gated) close_batch(thread);
    struct client *client;
    while ((client = shard_next_dirty(shard)))
        if (client->carrier) flush_peer((struct peer *)client);
    free_pieces(thread);
    uint64_t wait_ns = more ? 0 : shard_wait_ns(shard);
    thread->due_ns = wait_ns == UINT64_MAX ? UINT64_MAX : sim->clock.mono_ns + wait_ns;
    assert_set_shard(-1);
}

/* A thread does not sleep while `pending` is set (net/thread.c looks at it before it blocks). */
static bool is_called(const struct thread_sim *thread) {
    return thread->awake || atomic_load(&thread->pending) || has_events(thread);
}

static bool may_run(const struct thread_sim *thread) {
    return thread->due_ns <= thread->sim->clock.mono_ns || is_called(thread);
}

static void advance_to_next_timer(struct sim *sim) {
    uint64_t due = UINT64_MAX;
    for (uint32_t i = 0; i < sim->count; i++) due = MIN(due, sim->threads[i].due_ns);
    ASSERT(due != UINT64_MAX && due > sim->clock.mono_ns);
    clock_manual_advance_ns(&sim->clock, due - sim->clock.mono_ns);
}

/* NULL: nobody has anything to do before its timer. */
static struct thread_sim *choose(struct sim *sim) {
    uint32_t start = (uint32_t)prng_below(&sim->prng, sim->count);
    struct thread_sim *passed_over = NULL;
    for (uint32_t i = 0; i < sim->count; i++) {
        struct thread_sim *thread = &sim->threads[(start + i) % sim->count];
        if (!may_run(thread)) continue;
        if (!(sim->lazy >> thread->id & 1) || prng_below(&sim->prng, 8) == 0) return thread;
        passed_over = thread;
    }
    return passed_over;
}

void sim_step(struct sim *sim) {
    struct thread_sim *thread = choose(sim);
    if (!thread) {
        advance_to_next_timer(sim);
        return;
    }
    turn(thread);
    clock_manual_advance_ns(&sim->clock, prng_below(&sim->prng, 50000));
}

void sim_set_lazy(struct sim *sim, uint64_t mask) {
    sim->lazy = mask;
}

bool sim_peer_busy(const struct peer *peer) {
    const struct client *client = &peer->client;
    if (peer->gone) return false;
    if (peer->travels || peer->closing || peer->attending) return true;
    bool deaf = client->flags & CLIENT_CLOSE_AFTER_REPLY;
    bool output = !peer->stalled && (peer->sending_now || client_has_output(client));
    if (output || client->queued || client->gather || !reply_queue_empty(&client->replies)) return true;
    if (peer->stalled && (client->wait == WAIT_READER || deaf)) return false; /* nothing happens until it reads */
    return client->wait != WAIT_NOTHING || deaf || buf_readable(&peer->script) > 0;
}

static bool shard_busy(const struct thread_sim *thread) {
    const struct shard *shard = thread->shard;
    if (shard->jobs || shard->dirty || thread->attend || shard->inbox_more) return true;
    if (disk_busy(thread) || shard->commit.due || shard->braked.count) return true;
    if (!reaper_idle(shard->shared.reaper)) return true;
    for (uint32_t i = 0; i < shard->count; i++) {
        if (shard->unsent[i] || shard->outgoing[i]) return true;
        if (i != shard->id && !mailbox_empty(shard->inbox[i])) return true;
    }
    return false;
}

static bool all_idle(const struct sim *sim) {
    for (const struct peer *peer = sim->peers; peer; peer = peer->next)
        if (sim_peer_busy(peer)) return false;
    for (uint32_t i = 0; i < sim->count; i++)
        if (shard_busy(&sim->threads[i])) return false;
    return true;
}

bool sim_quiet(const struct sim *sim) {
    for (uint32_t i = 0; i < sim->count; i++)
        if (is_called(&sim->threads[i]) || shard_busy(&sim->threads[i])) return false;
    return true;
}

bool sim_settle(struct sim *sim, uint64_t steps_max) {
    for (uint64_t i = 0; i < steps_max; i++) {
        if (all_idle(sim)) return true;
        sim_step(sim);
        if (i % 64 == 0) sim_check(sim);
    }
    return all_idle(sim);
}

void sim_advance_ms(struct sim *sim, uint64_t ms) {
    uint64_t until = sim->clock.mono_ns + ms * 1000000;
    while (sim->clock.mono_ns < until) sim_step(sim);
}

/* --- invariants --- */

static void check_peer(const struct peer *peer) {
    const struct client *client = &peer->client;
    if (peer->gone || peer->travels) return;
    ASSERT(client->queued == 0 && client->queued_remote == 0); /* between turns the batch is empty */
    ASSERT(reply_queue_len(&client->replies) <= REPLY_QUEUE_MAX);
    ASSERT((client->wait == WAIT_GATHER) == (client->gather != NULL));
    ASSERT(client->wait != WAIT_REPLIES || !reply_queue_empty(&client->replies));
    ASSERT(client->wait != WAIT_READER || client_has_output(client) || peer->sending_now || peer->attending);
    ASSERT(chain_empty(&client->rest) || (client->wait != WAIT_NOTHING && client_takes_rest(client)));
    chain_check(&client->rest);
    ASSERT(!reply_queue_empty(&client->replies) || reply_queue_kept(&client->replies) == 0);
    ASSERT(buf_readable(&client->out) <= OUT_PAUSE + REPLY_SLACK);
    ASSERT(buf_readable(&client->replies.held) <= REPLY_SLACK); /* one that is large is a block of its own */
    ASSERT(buf_readable(&client->in) <= IN_PAUSE + REPLY_SLACK);
    ASSERT(!client_has_output(client) || peer->sending_now || client->flags & CLIENT_DIRTY_OUT || peer->closing);
}

void sim_check(const struct sim *sim) {
    for (const struct peer *peer = sim->peers; peer; peer = peer->next) check_peer(peer);
}

void sim_check_idle(struct sim *sim) {
    sim_check(sim);
    ASSERT(!sim->ledger || atomic_load(&sim->ledger->expected) == 0);
    for (uint32_t i = 0; i < sim->count; i++) {
        ASSERT(!shard_busy(&sim->threads[i]) && !sim->threads[i].shard->roomless);
        assert_set_shard((int)i);
        shard_check(sim->threads[i].shard);
        assert_set_shard(-1);
    }
    for (const struct peer *peer = sim->peers; peer; peer = peer->next) {
        if (peer->gone) continue;
        ASSERT(!peer->client.gather && reply_queue_empty(&peer->client.replies));
    }
}

void sim_explain(const struct sim *sim) {
    for (const struct peer *peer = sim->peers; peer; peer = peer->next) {
        const struct client *client = &peer->client;
        if (peer->gone) continue;
        fprintf(stderr,
                "peer %u on shard %u: wait %u, flags %x, %zu unsent of script, in %zu (need %zu), out %zu, replies %u, "
                "gather %d, sending %d, attending %d, closing %d, stalled %d\n",
                peer->number, client->home->id, client->wait, client->flags, buf_readable(&peer->script),
                buf_readable(&client->in), client->need, buf_readable(&client->out), reply_queue_len(&client->replies),
                client->gather != NULL, peer->sending_now, peer->attending, peer->closing, peer->stalled);
    }
    for (uint32_t i = 0; i < sim->count; i++) {
        const struct thread_sim *thread = &sim->threads[i];
        fprintf(stderr, "shard %u: busy %d, pending %llx, inbox_more %llx, due in %lld ns\n", i, shard_busy(thread),
                (unsigned long long)atomic_load(&thread->pending), (unsigned long long)thread->shard->inbox_more,
                (long long)(thread->due_ns - sim->clock.mono_ns));
    }
}
