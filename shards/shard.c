/* The shard's turn: messages in and out, sliced commands, and what it does for itself (shards/background.h).
 *
 * A message goes home -> owner -> home as one object. What does not fit into a mailbox waits in `unsent` in order, so a
 * sender never blocks and never reorders; the amount is bounded by the clients' own limits (pipeline.h). */
#include "shards/shard.h"
#include "core/probe.h"
#include "shards/admit.h"
#include "shards/background.h"
#include "shards/blocked.h"
#include "shards/client_limits.h"
#include "shards/defrag.h"
#include "shards/evict.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/gather_room.h"
#include "shards/ghosts.h"
#include "shards/inbox.h"
#include "shards/interest.h"
#include "shards/mailbox.h"
#include "shards/pipeline.h"
#include "shards/pressure.h"
#include "shards/reaper.h"
#include "shards/request.h"
#include "shards/serve.h"
#include "shards/txn.h"
#include "shards/waiters.h"
#include "shards/watch.h"
#include "shards/work.h"
#include <stdatomic.h>

#define TURN_SLICES 4                  /* per turn, of all sliced commands together */
#define REST_NS     (200 * 1000000ull) /* large replies wait for memory at home for so long, then one goes */
#define TAKEN_NS    (100 * 1000ull)    /* and are looked at so often until home has taken the last one */
#define LONG_NS     100000.0 /* a command that took as long is told with its turn, if that is one of the slowest */

/* One CMD_SLICED command under way. */
struct job {
    struct job *next;
    struct message *message;
    uint64_t slice[4];
    size_t mark; /* where its reply begins */
};

struct shard *shard_new(const struct shard_options *options) {
    struct heap *heap = heap_new();
    if (!heap) return NULL;
    struct shard *shard = heap_alloc_zero(heap, MEM_STATS, sizeof *shard);
    shard->id = options->id;
    shard->count = options->count;
    shard->heap = heap;
    shard->slab = slab_new(heap, MEM_DATA);
    shard->host = options->host;
    shard->registry = options->registry;
    shard->config = options->config;
    shard->log = options->log;
    shard->braked.brake = options->brake;
    shard->db_count = options->db_count;
    shard->db = heap_alloc_zero(heap, MEM_INDEX, shard->db_count * sizeof *shard->db);
    prng_init(&shard->prng, options->random_seed);
    shard->shared.store = (struct store){.heap = heap, .slab = shard->slab};
    shard->shared.seed = options->hash_seed;
    shard->shared.shard = shard;
    shard->shared.reaper = reaper_new(&shard->shared.store);
    shard->shared.store.later = reaper_port(shard->shared.reaper);
    for (uint32_t i = 0; i < shard->count; i++) {
        shard->outbox[i] = options->outbox[i];
        shard->inbox[i] = options->inbox[i];
        shard->pending[i] = options->pending[i];
    }
    shard->evictor = evictor_new(heap);
    shard->defrag = defrag_new(heap);
    message_pool_init(&shard->messages, heap, shard->shared.reaper);
    buf_pool_init(&shard->replies, heap, MEM_CLIENT_OUT);
    shard->pipeline = pipeline_new(heap);
    shard->locks = locks_new(heap);
    shard->interests = interests_new(heap);
    idmap_init(&shard->waiters, heap, MEM_MESSAGE);
    idmap_init(&shard->blocked, heap, MEM_MESSAGE);
    deadlines_init(&shard->deadlines, heap);
    idmap_init(&shard->txns, heap, MEM_MESSAGE);
    idmap_init(&shard->late, heap, MEM_MESSAGE);
    shard->command_stats =
        heap_alloc_zero(heap, MEM_STATS, command_registry_count(shard->registry) * sizeof *shard->command_stats);
    slowlog_init(&shard->slowlog, heap);
    spikes_init(&shard->spikes, heap);
    effects_init(&shard->effects, heap);
    account_open(shard, options->ledger);
    commit_init(shard);
    pubsub_init(shard);
    shard_config_changed(shard);
    return shard;
}

static void delete_databases(struct shard *shard) {
    for (uint32_t i = 0; i < shard->db_count; i++)
        if (shard->db[i]) keyspace_delete(shard->db[i]);
    heap_free(shard->heap, MEM_INDEX, shard->db, shard->db_count * sizeof *shard->db);
}

static void delete_statistics(struct shard *shard) {
    uint32_t count = command_registry_count(shard->registry);
    for (uint32_t i = 0; i < count; i++)
        heap_free(shard->heap, MEM_STATS, shard->command_stats[i].histogram, HISTOGRAM_BUCKETS * sizeof(uint64_t));
    heap_free(shard->heap, MEM_STATS, shard->command_stats, count * sizeof *shard->command_stats);
    slowlog_deinit(&shard->slowlog);
    spikes_deinit(&shard->spikes);
}

void shard_drop_messages(struct shard *shard) {
    ASSERT(!shard->clients_first);
    commit_drop(shard);
    message_pool_deinit(&shard->messages);
    while (reaper_step(shard->shared.reaper, 1000)) continue;
    locks_trim(shard->locks);
}

void shard_delete(struct shard *shard) {
    ASSERT(!shard->clients_first);
    struct heap *heap = shard->heap;
    works_drop(shard);
    reaper_delete(shard->shared.reaper); /* first: flushed tables still name their keyspace */
    shard->shared.store.later = (struct store_later){0};
    delete_databases(shard);
    evictor_delete(shard->evictor, heap);
    defrag_delete(shard->defrag, heap);
    ghosts_delete(shard->shared.ghosts, heap);
    pipeline_delete(shard->pipeline, heap);
    waiters_drop(shard);
    interests_delete(shard->interests);
    /* Left over only when clients were dropped in the middle of something; then it goes away with the heap. */
    if (locks_idle(shard->locks)) locks_delete(shard->locks);
    idmap_deinit(&shard->waiters);
    idmap_deinit(&shard->blocked);
    deadlines_deinit(&shard->deadlines);
    idmap_deinit(&shard->txns);
    idmap_deinit(&shard->late);
    message_pool_deinit(&shard->messages);
    pubsub_deinit(shard);
    buf_pool_deinit(&shard->replies);
    commit_deinit(shard);
    effects_deinit(&shard->effects);
    delete_statistics(shard);
    slab_delete(shard->slab);
    heap_free(heap, MEM_STATS, shard, sizeof *shard);
    heap_delete(heap);
}

void shard_config_changed(struct shard *shard) {
    keyspace_config_changed(&shard->shared, shard->config, &shard->prng);
    evictor_config_changed(shard->evictor);
    int64_t micros = shard->config->slowlog_log_slower_than;
    client_limits_config_changed(shard);
    account_config_changed(&shard->account);
    shard->slow_ticks = micros < 0 ? UINT64_MAX : (uint64_t)((double)micros * 1000 / shard->host.tick_ns);
    int64_t millis = MIN(shard->config->latency_monitor_threshold, INT64_MAX / 2000000);
    shard->spike_ticks = millis ? (uint64_t)((double)millis * 1000000 / shard->host.tick_ns) : UINT64_MAX;
    shard->watch_ticks = MIN(shard->slow_ticks, (uint64_t)(LONG_NS / shard->host.tick_ns));
    shard->watch_ticks = MIN(shard->watch_ticks, shard->spike_ticks);
}

void shard_note_ns(struct shard *shard, enum spike_event event, uint64_t ns) {
    int64_t least_ms = shard->config->latency_monitor_threshold;
    uint64_t ms = ns / 1000000;
    if (least_ms == 0 || ms < (uint64_t)least_ms) return;
    spikes_add(&shard->spikes, event, (uint32_t)(shard->now_ms / 1000), (uint32_t)MIN(ms, (uint64_t)UINT32_MAX));
}

struct keyspace *shard_db_new(struct shard *shard, uint32_t db) {
    shard->db_used = MAX(shard->db_used, db + 1);
    return shard->db[db] = keyspace_new(&shard->shared, db);
}

void shard_swap_databases(struct shard *shard, uint32_t a, uint32_t b) {
    shard->database_changes++;
    struct keyspace *in_a = shard_db(shard, a), *in_b = shard_db(shard, b);
    shard->db[a] = in_b;
    shard->db[b] = in_a;
    keyspace_set_number(in_a, b);
    keyspace_set_number(in_b, a);
    waiters_databases_changed(shard, a, b);
}

void shard_key_created(struct shard *shard, uint32_t db, struct slice key, uint64_t hash) {
    if (shard->waiters.count) waiters_key_created(shard, db, key, hash);
}

void shard_database_emptied(struct shard *shard, uint32_t db) {
    if (shard->waiters.count) waiters_databases_changed(shard, db, db);
}

void shard_key_expired(struct shard *shard, uint32_t db, struct slice key) {
    if (shard->watchers) watch_touch(shard, db, key);
    if (shard->effects.on) request_key_expired(shard, db, key);
}

void shard_field_expired(struct shard *shard, uint32_t db, struct slice key, struct slice field) {
    if (shard->watchers) watch_touch(shard, db, key);
    if (shard->effects.on) request_field_expired(shard, db, key, field);
}

void shard_key_evicted(struct shard *shard, uint32_t db, struct slice key) {
    shard->stats.evicted++;
    if (shard->watchers) watch_touch(shard, db, key);
    if (shard->effects.on) effects_add_removed(&shard->effects, db, key);
    if (UNLIKELY(shard->shared.notify & NOTIFY_EVICTED)) notify_event(shard, db, SLICE("evicted"), key);
}

static uint64_t count_keys(const struct shard *shard) {
    uint64_t keys = 0;
    for (uint32_t i = 0; i < shard->db_used; i++)
        if (shard->db[i]) keys += keyspace_count(shard->db[i]);
    return keys;
}

/* Not for each use: the keys of all databases are counted for it. */
static COLD void lrfu_turn(struct shard *shard) {
    struct keyspace_shared *shared = &shard->shared;
    if (shared->lrfu_touches >= 64 + shard->db_used) keyspace_lrfu_turn(shared, count_keys(shard));
    shared->access = (uint32_t)(shared->lrfu_clock >> 32) & LRFU_FIELD; /* also when the policy was another just now */
}

void shard_turn_begin(struct shard *shard, uint64_t now_ns, uint64_t now_ms) {
    shard->now_ns = now_ns;
    shard->now_ms = now_ms;
    shard->slowlog.now_us = now_ns / 1000;
    shard->shared.now_ms = shard->loading ? 0 : now_ms;
    if (UNLIKELY(shard->shared.use_lrfu))
        lrfu_turn(shard);
    else
        shard->shared.access = (uint32_t)(now_ms / 1000) & 0xFFFFFF;
    if (!shard->started_ms) shard->started_ms = now_ms;
    shard->stats.turns++;
    brake_look(shard);
}

void shard_loaded(struct shard *shard) {
    shard->loading = false;
    shard->shared.now_ms = shard->now_ms;
}

/* --- clients with something to send --- */

void shard_mark_dirty(struct shard *shard, struct client *client) {
    if (client->flags & CLIENT_DIRTY_OUT) return;
    client->flags |= CLIENT_DIRTY_OUT;
    client->next_dirty = shard->dirty;
    shard->dirty = client;
}

struct client *shard_next_dirty(struct shard *shard) {
    struct client *client = shard->dirty;
    if (!client) return NULL;
    shard->dirty = client->next_dirty;
    client->next_dirty = NULL;
    client->flags &= ~(uint32_t)CLIENT_DIRTY_OUT;
    return client;
}

/* --- messages --- */

static void post_now(struct shard *shard, uint32_t to) {
    /* The bit first makes the receiver look, so it comes after the post. Sequentially consistent: it is also one half
     * of the sleep protocol; the receiver publishes "asleep" and then reads this word (net/thread.c). */
    atomic_fetch_or(shard->pending[to], 1ull << shard->id);
    shard->to_wake |= 1ull << to;
}

void shard_post(struct shard *shard, struct message *message) {
    uint32_t to = message->kind == MESSAGE_REPLIES ? message->from : message->to;
    if (message->kind == MESSAGE_COMMANDS) {
        shard->stats.hop_messages_sent++;
        message->posted_tick = shard->last_tick;
        PROBE3(hop_sent, shard->id, to, message->count);
    }
    ledger_note_travelling(shard->account.shared, message_leaves(message, shard->heap), 1);
    if (!shard->unsent[to] && mailbox_post(shard->outbox[to], &message) == ST_OK) {
        shard->to_wake |= 1ull << to;
        return;
    }
    message->next = NULL;
    shard->to_send |= 1ull << to;
    if (shard->unsent[to])
        shard->unsent_last[to]->next = message;
    else
        shard->unsent[to] = message;
    shard->unsent_last[to] = message;
}

/* Posts what this turn collected and wakes the receivers, once each. */
static void send_all(struct shard *shard) {
    uint64_t full = 0;
    for (uint64_t left = shard->to_send; left; left &= left - 1) {
        uint32_t to = (uint32_t)__builtin_ctzll(left);
        if (shard->outgoing[to]) {
            struct message *message = shard->outgoing[to];
            shard->outgoing[to] = NULL;
            shard_post(shard, message);
        }
        while (UNLIKELY(shard->news[to] != NULL)) {
            struct message *message = shard->news[to];
            shard->news[to] = message->next;
            if (!message->next) shard->news_last[to] = NULL;
            shard_post(shard, message);
        }
        while (UNLIKELY(shard->unsent[to] != NULL)) {
            struct message *message = shard->unsent[to], *next = message->next;
            if (mailbox_post(shard->outbox[to], &message) != ST_OK) break;
            shard->unsent[to] = next;
            shard->to_wake |= 1ull << to;
        }
        if (UNLIKELY(shard->unsent[to] != NULL)) full |= 1ull << to;
    }
    shard->to_send = full;
    for (uint64_t left = shard->to_wake; left; left &= left - 1) {
        uint32_t to = (uint32_t)__builtin_ctzll(left);
        post_now(shard, to);
        shard->host.wake(shard->host.ctx, to);
    }
    shard->to_wake = 0;
}

/* position: what it waits for, of the shard where its command ran; or 0. */
static void give_reply(struct shard *shard, const struct message_note *note, struct slice reply,
                       struct message *message, uint64_t position) {
    uint32_t owner = message->from == shard->id ? message->to : message->from;
    if (note->gather) {
        commit_gather_waits(note->gather, owner, position);
        gather_part_done(note->gather, (uint32_t)note->place, reply, message);
        return;
    }
    struct client *client = note->client;
    if (!client) return; /* nobody asked for one */
    if (UNLIKELY(position) && commit_hold(shard, owner, position, *note, reply)) return;
    client_fill(client, note->place, reply, message);
    client_note_answer(client, reply.len);
    shard_mark_dirty(shard, client);
    if (reply_queue_empty(&client->replies)) pipeline_resume(shard, client);
}

static void block_client(const struct message_note *note, uint64_t stamp, uint32_t owner, struct slice timeout,
                         bool silent) {
    uint64_t timeout_ms;
    ASSERT(note->client && timeout.len >= sizeof timeout_ms);
    memcpy(&timeout_ms, timeout.ptr, sizeof timeout_ms);
    blocked_add(note->client, stamp, note->place, 1ull << owner, timeout_ms, silent);
}

/* A blocked client was told to go on, and this is its reply. */
static void take_served(struct shard *shard, uint64_t stamp, struct slice reply, struct message *message,
                        uint64_t position) {
    struct message_note note;
    if (!blocked_over(shard, stamp, 0, &note)) reply.len = 0;
    give_reply(shard, &note, reply, message, position);
}

/* There is no reply yet: it comes as news that name the command by its stamp. */
static COLD void expect_news(struct shard *shard, const struct message *message, uint32_t number, uint64_t instead,
                             struct slice timeout) {
    const struct message_note *note = message_note_at(message, number);
    size_t at = 0;
    const struct message_item *item = NULL;
    for (uint32_t i = 0; i <= number; i++) item = message_next(message, &at);
    if (instead == REPLY_BLOCKED && note->kind == NOTE_SERVE) {
        blocked_not_served(shard, note->place);
        return;
    }
    if (instead == REPLY_BLOCKED) {
        block_client(note, item->stamp, message->to, timeout, item->silent);
        return;
    }
    struct message_note *kept = heap_alloc(shard->heap, MEM_MESSAGE, sizeof *kept);
    *kept = *note;
    idmap_put(&shard->late, item->stamp, kept);
}

static void take_lock_reply(const struct message_note *note, bool later, struct slice reply, struct message *message,
                            uint64_t position) {
    uint32_t owner = (uint32_t)note->place;
    commit_gather_waits(note->gather, owner, position);
    txn_lock_reply(note->gather, owner, later, reply, message);
}

static void take_left(const struct message_note *note, uint32_t owner, uint64_t position) {
    if (note->gather) commit_gather_left(note->gather, owner, position);
}

/* A message came back: its replies go to their clients and gathers. */
static void deliver(struct shard *shard, struct message *message) {
    ASSERT(message->magic == MESSAGE_MAGIC && message->from == shard->id);
    buf_set_heap(&message->reply, shard->heap);
    shard->last_tick = shard->host.ticks(shard->host.ctx);
    PROBE3(hop_done, shard->id, message->to, message->count);
    if (LIKELY(message->posted_tick)) shard->turns.stats.trip[turns_bucket(shard->last_tick - message->posted_tick)]++;
    if (UNLIKELY(message->slow)) pipeline_log_slow(shard, message);
    size_t at = 0, item_at = 0;
    for (uint32_t i = 0; i < message->count; i++) {
        const struct message_note *note = message_note_at(message, i);
        struct slice reply;
        uint64_t len = message_reply_next(message, &at, &reply);
        uint64_t position = UNLIKELY(message->held) ? commit_position_of(message_next(message, &item_at)) : 0;
        bool here = len < REPLY_BLOCKED;
        if (UNLIKELY(note->kind == NOTE_LOCK))
            take_lock_reply(note, !here, reply, message, position);
        else if (UNLIKELY(note->kind == NOTE_SERVE) && here)
            take_served(shard, note->place, reply, message, position);
        else if (UNLIKELY(note->kind == NOTE_LEFT))
            take_left(note, message->to, position);
        else if (LIKELY(here))
            give_reply(shard, note, reply, message, position);
        else
            expect_news(shard, message, i, len, reply);
    }
    if (UNLIKELY(message->event_bytes)) pubsub_arrived(shard, message);
    message_release(&shard->messages, message);
}

/* Of a command that stood in line. */
static void take_late(struct shard *shard, const struct message_item *item, struct slice bytes,
                      struct message *message) {
    struct message_note *note = idmap_take(&shard->late, item->stamp);
    ASSERT(note);
    if (message->alone) bytes = buf_slice(&message->reply);
    if (item->how == NEWS_BLOCKED)
        block_client(note, item->stamp, message->from, bytes, bytes.ptr[bytes.len - 1]);
    else if (note->kind == NOTE_SERVE)
        take_served(shard, note->place, bytes, message, commit_position_of(item));
    else
        give_reply(shard, note, bytes, message, commit_position_of(item));
    heap_free(shard->heap, MEM_MESSAGE, note, sizeof *note);
}

/* The command, if there is one, lies unaligned in the news. */
static void take_ready(struct shard *shard, uint64_t stamp, uint32_t from, struct slice bytes) {
    if (bytes.len == 0) {
        blocked_ready(shard, stamp, from, NULL);
        return;
    }
    struct message_item *args = heap_alloc(shard->heap, MEM_MESSAGE, bytes.len);
    memcpy(args, bytes.ptr, bytes.len);
    blocked_ready(shard, stamp, from, args);
    heap_free(shard->heap, MEM_MESSAGE, args, bytes.len);
}

static void take_news(struct shard *shard, struct message *message) {
    ASSERT(message->magic == MESSAGE_MAGIC && message->to == shard->id);
    message_adopt(&shard->messages, message);
    size_t at = 0;
    const struct message_item *item;
    while ((item = message_next(message, &at))) {
        struct slice bytes;
        message_item_argv(item, &bytes);
        switch ((enum item_how)item->how) {
        case NEWS_GRANT: txn_granted(shard, item->stamp, message->from, grant_read(bytes)); break;
        case NEWS_REVOKE: txn_revoked(shard, item->stamp, message->from); break;
        case NEWS_READY: take_ready(shard, item->stamp, message->from, bytes); break;
        case NEWS_REPLY:
        case NEWS_BLOCKED: take_late(shard, item, bytes, message); break;
        case NEWS_DURABLE:
        case NEWS_SAFE:
        case NEWS_CONFIRMED: commit_take_news(shard, item, message->from); break;
        default: ASSERT(false);
        }
    }
    message_release(&shard->messages, message);
}

static void send_back(struct shard *shard, struct message *message) {
    message->kind = MESSAGE_REPLIES;
    if (message->from == shard->id)
        deliver(shard, message);
    else
        shard_post(shard, message);
}

static void receive_commands(struct shard *shard, struct message *message) {
    if (message->alone) {
        shard_start_job(shard, message);
    } else {
        serve_message(shard, message);
        send_back(shard, message);
    }
}

/* What its home sent before comes first. */
static COLD void queue_behind(struct shard *shard, struct message *message) {
    uint32_t home = message->from;
    message->next = NULL;
    if (shard->rest[home])
        shard->rest_last[home]->next = message;
    else
        shard->rest[home] = message;
    shard->rest_last[home] = message;
}

static bool delivers(const struct shard *shard, const struct message *message) {
    size_t at = 0;
    const struct message_item *item;
    while ((item = message_next(message, &at)))
        if (item->how <= ITEM_LOCK && command_at(shard->registry, item->number)->row->delivers) return true;
    return false;
}

/* May it not be served yet? It has messages for clients of this shard, who hold too much already. */
static bool has_to_wait(struct shard *shard, const struct message *message) {
    if (LIKELY(!pubsub_has_listeners(&shard->pubsub)) || LIKELY(!account_trips(&shard->account, 0))) return false;
    return delivers(shard, message) && !admit_delivery(shard);
}

void shard_receive(struct shard *shard, struct message *message) {
    ledger_note_travelling(shard->account.shared, message_arrives(message, shard->heap), -1);
    if (message->kind == MESSAGE_REPLIES) {
        deliver(shard, message);
    } else if (message->kind == MESSAGE_NEWS) {
        take_news(shard, message);
    } else if (UNLIKELY(shard->rests >> message->from & 1) || has_to_wait(shard, message)) {
        shard->rests |= 1ull << message->from;
        queue_behind(shard, message);
    } else {
        receive_commands(shard, message);
    }
}

/* A home whose clients hold more than they may gets no more replies for some time, when there is no room for small ones
 * either. */
static bool home_has_room(const struct shard *shard, uint32_t home) {
    const struct ledger *ledger = shard->account.shared;
    if (!ledger || shard->now_ns >= shard->rests_until_ns) return true;
    return atomic_load_explicit(&ledger->place[home].uncovered, memory_order_relaxed) <= 0 || admit_small_reply(shard);
}

/* What waits for one home, up to the next large reply. None is made before home has taken the last one: in a mailbox it
 * counts for nobody, and a hundred of them fit there. */
static uint32_t serve_rests_of(struct shard *shard, uint32_t home, uint32_t budget) {
    uint64_t bit = 1ull << home;
    if (shard->unsent[home] || !mailbox_empty(shard->outbox[home])) return budget;
    shard->rests &= ~bit;
    while (shard->rest[home] && budget && !(shard->rests & bit)) {
        struct message *message = shard->rest[home];
        if ((message->rest && !home_has_room(shard, home)) || has_to_wait(shard, message)) break;
        shard->rest[home] = message->next;
        message->next = NULL;
        serve_prefetch(shard, message, keyspace_prefetch_bucket);
        serve_prefetch(shard, message, keyspace_prefetch_entry);
        receive_commands(shard, message);
        budget--;
    }
    if (shard->rest[home]) shard->rests |= bit;
    return budget;
}

static COLD void serve_rests(struct shard *shard) {
    uint32_t budget = INBOX_MESSAGES;
    for (uint64_t left = shard->rests; left; left &= left - 1)
        budget = serve_rests_of(shard, (uint32_t)__builtin_ctzll(left), budget);
    if (shard->now_ns >= shard->rests_until_ns) shard->rests_until_ns = shard->now_ns + REST_NS;
}

/* --- sliced commands --- */

static void append_job(struct shard *shard, struct job *job) {
    job->next = NULL;
    if (shard->jobs)
        shard->jobs_last->next = job;
    else
        shard->jobs = job;
    shard->jobs_last = job;
}

void shard_start_job(struct shard *shard, struct message *message) {
    struct job *job = heap_alloc_zero(shard->heap, MEM_MESSAGE, sizeof *job);
    job->message = message;
    buf_set_heap(&message->reply, shard->heap);
    job->mark = message_reply_open(message);
    append_job(shard, job);
    shard->jobs_busy = true;
}

enum progress { SLICE_DONE, SLICE_AGAIN, SLICE_SLEEPING };

static enum progress run_slice(struct shard *shard, struct job *job) {
    struct message *message = job->message;
    size_t at = 0;
    struct message_item *item = message_next(message, &at);
    struct slice few[32], *argv = few;
    size_t heap_bytes = item->argc > ARRAY_LEN(few) ? item->argc * sizeof *argv : 0;
    if (heap_bytes) argv = heap_alloc(shard->heap, MEM_MESSAGE, heap_bytes);
    message_item_argv(item, argv);
    buf_set_heap(&message->reply, shard->heap);
    struct exec x = {.slot = command_at(shard->registry, item->number),
                     .argv = argv,
                     .argc = item->argc,
                     .db = item->db,
                     .resp = item->resp,
                     .flags = item->flags,
                     .hash = item->hash,
                     .hash_at = item->hash_at,
                     .out = &message->reply,
                     .part = true,
                     .client_id = item->client_id,
                     .slice = job->slice,
                     .elements = &message->elements};
    shard->last_tick = shard->host.ticks(shard->host.ctx);
    pipeline_execute(shard, &x);
    uint64_t position = commit_end(&shard->commit);
    if (UNLIKELY(position) && !x.again) {
        commit_promise(shard, message->from, item, position);
        message->held = true;
    }
    if (!x.again) message_reply_close(message, job->mark);
    if (heap_bytes) heap_free(shard->heap, MEM_MESSAGE, argv, heap_bytes);
    if (!x.again) return SLICE_DONE;
    return x.sleeping ? SLICE_SLEEPING : SLICE_AGAIN;
}

/* A slice of some jobs, each at most once; who is not done goes to the end, so that all get on. One that only waits for
 * a time (DEBUG SLEEP) does not count, but costs a call per turn. */
static void run_jobs(struct shard *shard) {
    const struct job *last = shard->jobs_last;
    bool more = true;
    shard->jobs_busy = false;
    for (uint32_t slices = 0; more && slices < TURN_SLICES;) {
        struct job *job = shard->jobs;
        shard->jobs = job->next;
        more = job != last;
        enum progress progress = run_slice(shard, job);
        slices += progress != SLICE_SLEEPING;
        shard->jobs_busy |= progress == SLICE_AGAIN;
        if (progress != SLICE_DONE) {
            append_job(shard, job);
            continue;
        }
        struct message *message = job->message;
        heap_free(shard->heap, MEM_MESSAGE, job, sizeof *job);
        send_back(shard, message);
    }
    shard->jobs_busy |= more;
}

/* --- the turn --- */

bool shard_turn(struct shard *shard) {
    if (UNLIKELY(shard->braked.first != NULL)) brake_turn_slow(shard);
    if (UNLIKELY(shard->rests)) serve_rests(shard);
    bool more = inbox_turn(shard);
    if (UNLIKELY(shard->settle_more)) requests_settle(shard);
    if (UNLIKELY(shard->jobs != NULL)) run_jobs(shard);
    if (UNLIKELY(shard->works != NULL)) works_turn(shard);
    if (UNLIKELY(shard->roomless != NULL)) gather_room_turn(shard);
    if (UNLIKELY(blocked_next_deadline_ns(shard) <= shard->now_ns)) blocked_expire(shard);
    more |= background_turn(shard);
    client_limits_turn(shard);
    more |= pressure_turn(shard);
    commit_turn(&shard->commit);
    if (shard->to_send | shard->to_wake) send_all(shard);
    return more || shard->settle_more;
}

/* Homes take replies in no time; memory may take long. */
static uint64_t rests_wait_ns(const struct shard *shard) {
    if (shard->account.delivers_since_ms) return 1000000;
    for (uint64_t left = shard->rests; left; left &= left - 1)
        if (home_has_room(shard, (uint32_t)__builtin_ctzll(left))) return TAKEN_NS;
    return 1000000;
}

uint64_t shard_wait_ns(const struct shard *shard) {
    uint64_t blocked_ns = blocked_next_deadline_ns(shard);
    if (shard->inbox_more || shard->settle_more || (shard->works && !shard->works_wait) || shard->commit.due ||
        !reaper_idle(shard->shared.reaper) || shard->expire_more || shard->pubsub.gone || defrag_is_running(shard))
        return 0;
    if (shard->rests) return rests_wait_ns(shard);
    if (shard->jobs) return shard->jobs_busy ? 0 : 1000000;
    if (shard->works || shard->roomless) return 1000000;
    if (blocked_ns <= shard->now_ns) return 0;
    return MIN(MIN(background_wait_ns(shard), pressure_wait_ns(shard)), blocked_ns - shard->now_ns);
}

void shard_stats_read(struct shard *shard, struct shard_stats *out) {
    *out = shard->stats;
    out->clients = shard->client_count;
    out->clients_blocked = shard->blocked.count + shard_clients_paused(shard);
    out->clients_braked = shard->braked.count;
    out->brake_waits = shard->braked.waits;
    out->brake_refused = shard->braked.refused;
    out->brake_wait_ns = shard->braked.wait_ns;
    out->expired = shard->shared.expired;
    out->expired_fields = shard->shared.expired_fields;
    out->hits = shard->shared.hits;
    out->misses = shard->shared.misses;
    out->dirty = shard->shared.dirty;
    out->events_dropped = shard->pubsub.events_dropped;
    out->pubsub_clients = shard->pubsub.clients;
    const uint32_t *joint = shard->pubsub.joint;
    out->pubsub_channels = shard->id == 0 ? joint[TOPIC_CHANNEL] : 0;
    out->pubsub_shard_channels = shard->id == 0 ? joint[TOPIC_SHARD] : 0;
    out->pubsub_patterns = shard->id == 0 ? joint[TOPIC_PATTERN] : 0;
    out->reap_pending = reaper_pending(shard->shared.reaper);
    out->reaped = reaper_freed(shard->shared.reaper);
    out->blocks_moved = slab_moves(shard->slab);
    out->defragging = defrag_is_running(shard);
    for (int i = 0; i < MEM_CLASSES; i++) out->memory[i] = (uint64_t)heap_used(shard->heap, (enum mem_class)i);
}

void shard_check(const struct shard *shard) {
    slab_check(shard->slab);
    for (uint32_t i = 0; i < shard->db_count; i++)
        if (shard->db[i]) keyspace_check(shard->db[i]);
    uint32_t clients = 0;
    for (const struct client *client = shard->clients_first; client; client = client->next) clients++;
    ASSERT(clients == shard->client_count);
    pubsub_check(shard);
    brake_check(shard);
    shard_check_transactions(shard);
}

void shard_check_transactions(const struct shard *shard) {
    locks_check(shard->locks);
    interests_check(shard->interests);
    idmap_check(&shard->waiters);
    idmap_check(&shard->blocked);
    waiters_check(shard);
    commit_check(shard);
    idmap_check(&shard->txns);
    idmap_check(&shard->late);
}
