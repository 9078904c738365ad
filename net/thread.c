/* The thread's life and its turn. Order within a turn and its bounds are what keep latency flat: at most REAP_MAX
 * completions, one batch run per BATCH_MAX commands, a bounded number of messages and slices (shards/shard.h), one
 * submission.
 *
 * Sleep     before blocking, a thread publishes `asleep` and then looks at `pending` once more; a sender sets its bit
 *           in `pending` and then looks at `asleep`. Both are sequentially consistent, so one of the two sees the
 *           other.
 * Crowded   with more threads than CPUs, a thread that has nothing left to do lets the others run once before it
 *           sleeps: they bring it messages, so that one turn does what would take several, and nobody has to be woken.
 *           (16 threads on 2 CPUs: half the CPU time per GET, half the turns.) Sleep follows when that brought nothing,
 *           so an idle server stays idle. With a CPU for each thread there is nobody to let run. */
#include "net/thread.h"
#include "core/assert.h"
#include "core/probe.h"
#include "core/resp_write.h"
#include "net/listener.h"
#include "net/placement.h"
#include "persist/persist.h"
#include "shards/gather_room.h"
#include "shards/mailbox.h"
#include "shards/pipeline.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#define RING_ENTRIES    1024
#define RING_BUFFERS    256 /* of 16 KiB: 4 MiB per thread, touched as far as they are used */
#define BUFFERS_LEAST   1   /* of these the kernel has, however short memory is */
#define REAP_MAX        512
#define STOP_NS         2000000000ull /* how long a stopping server waits for replies to leave */
#define TIMEOUT_LOOK_NS 1000000000ull

/* --- host functions of the shard --- */

static uint64_t ticks(void *ctx) {
    (void)ctx;
#if defined(__x86_64__)
    return __rdtsc();
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
#endif
}

static void wake(void *ctx, uint32_t to) {
    struct thread *thread = ctx, *other = &thread->server->threads[to];
    /* Sequentially consistent: the second half of the sleep protocol. The exchange lets one sender wake, not all. */
    if (atomic_load(&other->asleep) && atomic_exchange(&other->asleep, false))
        ring_wake(thread->ring, atomic_load_explicit(&other->ring_fd, memory_order_relaxed));
}

/* Clients of the server's own have no connection. */
static void attend(void *ctx, struct client *client) {
    if (LIKELY(client->carrier != NULL)) thread_attend(ctx, conn_of(client));
}

void thread_attend(struct thread *thread, struct conn *conn) {
    if (conn->attending) return;
    conn->attending = true;
    conn->next_attend = NULL;
    *thread->attend_end = conn;
    thread->attend_end = &conn->next_attend;
}

void thread_starve(struct thread *thread, struct conn *conn) {
    ASSERT(!conn->starving);
    conn->starving = true;
    conn->next_starved = NULL;
    *thread->starved_end = conn;
    thread->starved_end = &conn->next_starved;
}

/* --- start --- */

static struct shard *make_shard(struct thread *thread) {
    struct server *server = thread->server;
    uint32_t count = server->thread_count;
    struct mailbox *out[SHARDS_MAX], *in[SHARDS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        out[i] = server->mailboxes[thread->id * count + i];
        in[i] = server->mailboxes[i * count + thread->id];
    }
    _Atomic uint64_t *pending[SHARDS_MAX];
    for (uint32_t i = 0; i < count; i++) pending[i] = &server->threads[i].pending;
    struct shard_options options = {
        .id = thread->id,
        .count = count,
        .db_count = (uint32_t)thread->config.databases,
        .hash_seed = server->hash_seed,
        .random_seed = server->random_seed + thread->id,
        .host = {.ctx = thread, .wake = wake, .attend = attend, .ticks = ticks, .tick_ns = server->tick_ns},
        .registry = server->registry,
        .config = &thread->config,
        .log = &server->log,
        .brake = guard_brake(persist_guard(server->persist)),
        .outbox = out,
        .inbox = in,
        .pending = pending,
        .ledger = &server->ceiling.ledger,
    };
    return shard_new(&options);
}

static enum status join_disk(struct thread *thread, struct error *error) {
    struct shard *shard = thread->shard;
    enum status status =
        disk_ring_new(&thread->disk, thread->ring, shard->heap, thread->server->disk_worker, thread->config.dir, error);
    if (status != ST_OK) return status;
    return persist_join(&thread->persist, thread->server->persist, shard, disk_ring_port(thread->disk), error);
}

static enum status start(struct thread *thread, struct error *error) {
    assert_set_shard((int)thread->id);
    thread->config_version = server_config_read(thread->server, 0, &thread->config);
    placement_settle(thread);
    thread->attend_end = &thread->attend;
    thread->starved_end = &thread->starved;
    thread->clock = clock_system();
    enum status status = ring_open(&thread->ring, RING_ENTRIES, RING_BUFFERS, error);
    if (status != ST_OK) return status;
    atomic_store(&thread->ring_fd, ring_wake_target(thread->ring));
    thread->shard = make_shard(thread);
    if (!thread->shard) return error_set(error, ST_NO_MEMORY, 0, "No memory for a shard");
    ring_poll(thread->ring, thread->server->stop_fd, RING_STOP, thread);
    return join_disk(thread, error);
}

/* Every thread waits here until all have started, so that messages find their receivers. */
static bool start_together(struct thread *thread) {
    struct server *server = thread->server;
    struct error error = {0};
    if (start(thread, &error) != ST_OK) {
        pthread_mutex_lock(&server->config_lock);
        if (!server->start_error.text[0]) server->start_error = error;
        pthread_mutex_unlock(&server->config_lock);
        atomic_fetch_add(&server->failed, 1);
    }
    atomic_fetch_add(&server->ready, 1);
    while (atomic_load(&server->ready) < server->thread_count) sched_yield();
    return atomic_load(&server->failed) == 0;
}

/* --- the turn --- */

static void stop_begins(struct thread *thread) {
    if (thread->stop_by_ns) return;
    thread->stop_by_ns = thread->shard->now_ns + STOP_NS;
    for (struct client *client = thread->shard->clients_first; client; client = client->next) {
        conn_of(client)->peer_done = true; /* nothing more is read; what was read is answered */
        if (client->wait == WAIT_END) client->flags |= CLIENT_CLOSE_AFTER_REPLY;
    }
    for (struct client *client = thread->shard->clients_first; client; client = client->next)
        thread_attend(thread, conn_of(client));
}

void thread_wait_for_end(struct thread *thread, struct client *client) {
    ASSERT(client->wait == WAIT_NOTHING);
    client->wait = WAIT_END;
    if (thread->asked_end) return;
    thread->asked_end = true;
    thread->refusals = atomic_load_explicit(&thread->server->refusals, memory_order_relaxed);
}

/* Word for those who asked: there is no end. */
static void look_at_refusals(struct thread *thread) {
    struct shard *shard = thread->shard;
    if (atomic_load_explicit(&thread->server->refusals, memory_order_relaxed) == thread->refusals) return;
    thread->asked_end = false;
    for (struct client *client = shard->clients_first; client; client = client->next) {
        if (client->wait != WAIT_END) continue;
        client->wait = WAIT_NOTHING;
        resp_errorf(&client->out, "ERR Errors trying to SHUTDOWN. Check logs.");
        error_stats_count(&shard->errors, SLICE("ERR"));
        shard_mark_dirty(shard, client);
        thread_attend(thread, conn_of(client));
    }
}

/* The server was asked to stop. Perhaps all is to be saved before; and when that fails all goes on. */
static void look_at_end(struct thread *thread) {
    enum persist_end_state state = persist_end_state(thread->server->persist);
    thread->ending = state == END_SAVING || state == END_REFUSED;
    if (state == END_READY) stop_begins(thread);
    if (state == END_NONE) ring_poll(thread->ring, thread->server->stop_fd, RING_STOP, thread);
}

static void handle(struct thread *thread, const struct ring_event *event) {
    thread->busy = true;
    switch ((enum ring_kind)event->kind) {
    case RING_RECV:
        conn_received(event->owner, event);
        if (event->data) thread->buffers[thread->buffer_count++] = event->buffer;
        break;
    case RING_SEND: conn_sent(event->owner, event); break;
    case RING_ACCEPT: listener_accepted(thread, event); break;
    case RING_ADOPT: conn_adopt(thread, event->result, false); break;
    case RING_HANDED: listener_hand_over_failed(thread, (intptr_t)event->owner); break;
    case RING_STOP: thread->ending = true; break;
    case RING_JOBS: disk_ring_collect(event->owner); break;
    case RING_WRITE:
    case RING_READ:
    case RING_SYNC: disk_ring_completed(event); break;
    case RING_CANCEL:
    case RING_CLOSE:
    case RING_WAKE: break;
    }
}

/* True when the bound was reached and more events are there. */
static bool reap(struct thread *thread) {
    struct ring_event event;
    for (unsigned i = 0; i < REAP_MAX; i++) {
        if (!ring_next(thread->ring, &event)) return false;
        handle(thread, &event);
    }
    return true;
}

/* Everybody who was on the list when we started; who joins meanwhile waits for the next turn. */
static void attend_all(struct thread *thread) {
    struct conn *conn = thread->attend;
    thread->attend = NULL;
    thread->attend_end = &thread->attend;
    while (conn) {
        struct conn *next = conn->next_attend;
        conn->attending = false;
        conn_attend(conn);
        conn = next;
    }
    pipeline_run(thread->shard);
}

/* As many of those who found no buffer as there are buffers. */
static void attend_starved(struct thread *thread) {
    uint32_t buffers = RING_BUFFERS - thread->buffer_count;
    for (struct conn *conn; (conn = thread->starved) != NULL && buffers > 0; buffers--) {
        thread->starved = conn->next_starved;
        if (!thread->starved) thread->starved_end = &thread->starved;
        conn->starving = false;
        thread_attend(thread, conn);
    }
}

/* The kernel gets as many as it may fill: what comes in with one turn may have to be kept, if all writers have to wait
 * for memory. */
static void give_back_buffers(struct thread *thread) {
    int64_t may_fill = thread->shard->account.input_room / RING_BUFFER_BYTES;
    uint32_t held = RING_BUFFERS - (uint32_t)MAX(MIN(may_fill, (int64_t)RING_BUFFERS), (int64_t)BUFFERS_LEAST);
    while (thread->buffer_count > held) ring_give_back(thread->ring, thread->buffers[--thread->buffer_count]);
    ring_flush_buffers(thread->ring);
    if (UNLIKELY(thread->starved != NULL)) attend_starved(thread);
}

static void flush_all(struct thread *thread) {
    struct client *client;
    while ((client = shard_next_dirty(thread->shard)))
        if (LIKELY(client->carrier != NULL)) conn_flush(conn_of(client));
}

/* Connections idle for longer than `timeout`. O(connections), once a second, and only when the option is set. */
static void close_idle(struct thread *thread) {
    struct shard *shard = thread->shard;
    if (thread->config.timeout <= 0 || shard->now_ns < thread->next_timeout_ns) return;
    thread->next_timeout_ns = shard->now_ns + TIMEOUT_LOOK_NS;
    uint64_t limit_ms = (uint64_t)thread->config.timeout * 1000;
    for (struct client *client = shard->clients_first; client; client = client->next)
        if (shard->now_ms > client->active_ms + limit_ms && client->wait == WAIT_NOTHING &&
            !(client->flags & (CLIENT_PUBSUB | CLIENT_MONITOR)))
            conn_close(conn_of(client));
}

/* A counter that shrank was set to zero by CONFIG RESETSTAT. */
static uint64_t rate(uint64_t now, uint64_t *before, uint64_t span_ns) {
    uint64_t delta = now < *before ? now : now - *before;
    *before = now;
    return delta * 1000 / MAX(span_ns / 1000000, 1ull);
}

/* CPU time of this thread. */
static uint64_t cpu_ns(void) {
    struct timespec cpu;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    return (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
}

/* Once a second: this thread's rates for INFO. Relaxed: single figures, a moment old. */
static void publish(struct thread *thread) {
    struct shard *shard = thread->shard;
    uint64_t span_ns = shard->now_ns - thread->published_ns;
    if (LIKELY(span_ns < 1000000000)) return;
    thread->published_ns = shard->now_ns;
    shard->stats.busy_ns = cpu_ns();
    atomic_store_explicit(&thread->busy_permille,
                          (uint32_t)((shard->stats.busy_ns - thread->published_busy_ns) * 1000 / span_ns),
                          memory_order_relaxed);
    thread->published_busy_ns = shard->stats.busy_ns;
    shard->stats.idle_ns = shard->now_ns - MIN(shard->now_ns, thread->started_ns + shard->stats.busy_ns);
    atomic_store_explicit(&thread->ops_per_second, rate(shard->stats.commands, &thread->published_ops, span_ns),
                          memory_order_relaxed);
    atomic_store_explicit(&thread->in_per_second, rate(shard->stats.bytes_in, &thread->published_in, span_ns),
                          memory_order_relaxed);
    atomic_store_explicit(&thread->out_per_second, rate(shard->stats.bytes_out, &thread->published_out, span_ns),
                          memory_order_relaxed);
}

static void follow_config(struct thread *thread) {
    struct server *server = thread->server;
    if (LIKELY(atomic_load_explicit(&server->config_version, memory_order_relaxed) == thread->config_version)) return;
    thread->config_version = server_config_read(server, thread->config_version, &thread->config);
    shard_config_changed(thread->shard);
}

/* True when this thread and, as far as it can see, all others have nothing left to answer, and its disk is idle. */
static bool may_leave(struct thread *thread) {
    struct server *server = thread->server;
    if (!thread->stop_by_ns) return false;
    bool answered = persist_leave_off(thread->persist) && thread->conn_count == 0;
    if (!thread->drained && (answered || thread->shard->now_ns > thread->stop_by_ns)) {
        thread->drained = true;
        atomic_fetch_add(&server->drained, 1);
    }
    if (atomic_load(&server->drained) < server->thread_count) return false;
    persist_stop(thread->persist);
    return persist_is_idle(thread->persist) && disk_ring_idle(thread->disk);
}

static uint64_t sleep_time(struct thread *thread, bool more) {
    if (more || thread->attend || thread->starved || thread->shard->dirty) return 0;
    uint64_t wait_ns = MIN(shard_wait_ns(thread->shard), persist_wait_ns(thread->persist));
    if (thread->stop_by_ns || thread->ending || thread->asked_end || !thread->listening || thread->accept_again_ns)
        wait_ns = MIN(wait_ns, 1000000ull);
    return wait_ns;
}

/* Submits, and unless that brought events lets the other threads run. True when there is something to do now. */
static bool let_others_run(struct thread *thread) {
    ring_wait(thread->ring, 0);
    if (ring_has_event(thread->ring)) return true;
    sched_yield();
    /* Relaxed: whoever finds nothing here looks again, properly, before it sleeps. */
    thread->busy = atomic_load_explicit(&thread->pending, memory_order_relaxed) != 0;
    return thread->busy;
}

static void sleep_until_event(struct thread *thread, uint64_t wait_ns) {
    if (wait_ns == 0) {
        ring_wait(thread->ring, 0);
        return;
    }
    if (thread->crowded && thread->busy && let_others_run(thread)) return;
    /* Sequentially consistent both: publish, then look. See the top of the file and wake(). */
    atomic_store(&thread->asleep, true);
    if (atomic_load(&thread->pending)) wait_ns = 0;
    ring_wait(thread->ring, wait_ns);
    atomic_store_explicit(&thread->asleep, false, memory_order_relaxed);
}

/* Of the turn that begins with it. Returns how many ticks of it this thread worked in the kernel; 0
 * where nobody asks. */
static uint64_t wait_for_turn(struct thread *thread, bool more) {
    struct turns *turns = &thread->shard->turns;
    uint64_t wait_ns = sleep_time(thread, more);
    if (wait_ns) turns->phase = SPENT_WAIT;
    if (LIKELY(!turns->sampling)) {
        sleep_until_event(thread, wait_ns);
        return 0;
    }
    uint64_t before_ns = cpu_ns();
    sleep_until_event(thread, wait_ns);
    return (uint64_t)((double)(cpu_ns() - before_ns) / thread->shard->host.tick_ns);
}

HOT_INLINE struct turn_counts counts_of(const struct shard *shard) {
    return (struct turn_counts){shard->stats.commands, shard->stats.hop_messages_served, shard->stats.bytes_in};
}

static void end_turn(struct shard *shard) {
    struct turn_counts counts = counts_of(shard);
    uint64_t commands = counts.commands - shard->turns.before.commands;
    uint64_t length = turns_end(&shard->turns, ticks(NULL), &counts);
    PROBE3(turn, shard->id, (uint64_t)((double)length * shard->host.tick_ns), commands);
    shard_note_ticks(shard, SPIKE_TURN, length);
}

/* Who connects while little data are loaded waits for it, and is not refused with -LOADING, which Redis says only where
 * loading takes a while. After LISTEN_BY_NS it is better to say it: a client waits for an answer for some seconds. */
#define LISTEN_BY_NS 1000000000ull
static void listen_when_loaded(struct thread *thread) {
    if (thread->stop_by_ns) return;
    bool early = thread->shard->now_ns < thread->started_ns + LISTEN_BY_NS;
    if (early && !persist_all_loaded(thread->server->persist)) return;
    thread->listening = true;
    listener_start(thread);
}

static void run(struct thread *thread) {
    struct shard *shard = thread->shard;
    struct turns *turns = &shard->turns;
    bool more = true;
    thread->started_ns = clock_mono_ns(&thread->clock);
    turns->mark = ticks(NULL);
    while (!may_leave(thread)) {
        uint64_t kernel = wait_for_turn(thread, more);
        follow_config(thread);
        struct turn_counts before = counts_of(shard);
        shard_turn_begin(shard, clock_mono_ns(&thread->clock), clock_real_us(&thread->clock) / 1000);
        turns_begin(turns, ticks(NULL), kernel, shard->now_ms, &before);
        more = reap(thread);
        turns_pass(turns, SPENT_EXECUTE, ticks(NULL));
        pipeline_run(shard);
        if (thread->attend) attend_all(thread);
        turns_pass(turns, SPENT_MESSAGES, ticks(NULL));
        more |= shard_turn(shard);
        turns_pass(turns, SPENT_JOURNAL, ticks(NULL));
        more |= persist_turn(thread->persist, shard->stats.commands != before.commands);
        turns_pass(turns, SPENT_REPLY, ticks(NULL));
        if (UNLIKELY(!thread->listening)) listen_when_loaded(thread);
        if (UNLIKELY(thread->accept_again_ns)) listener_after_rest(thread);
        if (UNLIKELY(thread->ending)) look_at_end(thread);
        if (UNLIKELY(thread->asked_end)) look_at_refusals(thread);
        close_idle(thread);
        publish(thread);
        flush_all(thread);
        give_back_buffers(thread);
        end_turn(shard);
    }
}

/* --- end --- */

/* Waits until all threads are here. */
static void meet(const struct server *server, _Atomic uint32_t *arrived) {
    atomic_fetch_add(arrived, 1);
    while (atomic_load(arrived) < server->thread_count) sched_yield();
}

/* What other threads said in their last turns (a client that watched or waited for keys here is gone), and then their
 * answers. It ends: nobody has anything new to say. */
static void hear_last_words(struct thread *thread) {
    struct server *server = thread->server;
    gather_room_drop(thread->shard);
    (void)shard_turn(thread->shard); /* tells it, so that what comes of it is among the last words */
    meet(server, &server->left);
    while (shard_turn(thread->shard) && thread->shard->inbox_more) continue;
    meet(server, &server->heard);
    while (shard_turn(thread->shard) && thread->shard->inbox_more) continue;
}

/* Lets go of the sockets and of what came in messages. */
static void empty(struct thread *thread) {
    struct shard *shard = thread->shard;
    listener_stop(thread);
    if (shard->client_count > 0)
        log_line(&thread->server->log, LOG_LEVEL_WARNING,
                 "%u connections did not take their replies in time and were dropped", shard->client_count);
    persist_leave(thread->persist);
    disk_ring_delete(thread->disk);
    ring_close(thread->ring); /* ends every operation; nothing is in the kernel's hands any more */
    while (shard->clients_first) conn_abandon(conn_of(shard->clients_first));
    shard_drop_messages(shard);
}

void *thread_main(void *arg) {
    struct thread *thread = arg;
    if (!start_together(thread)) return NULL;
    struct server *server = thread->server;
    run(thread);
    hear_last_words(thread);
    empty(thread);
    meet(server, &server->emptied);
    shard_delete(thread->shard);
    return NULL;
}
