/* Building and tearing down a server, and the master copy of its options. */
#include "net/server.h"
#include "core/assert.h"
#include "net/cmd_tables.h"
#include "net/config_file.h"
#include "net/disk_worker.h"
#include "net/listener.h"
#include "net/runtime.h"
#include "net/thread.h"
#include "persist/persist.h"
#include "shards/cmd_tables.h"
#include "shards/mailbox.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* Slots of a mailbox. A sender posts a few messages per turn, so this is several turns' worth; beyond it, it waits. */
#define MAILBOX_SLOTS 128

const struct command *const *server_command_tables(void) {
    static const struct command *const tables[] = {
        SHARD_COMMAND_TABLES, conn_commands, server_commands, cluster_commands, persist_commands, info_commands, NULL};
    return tables;
}

/* Nanoseconds per tick of the time-stamp counter, measured against the monotonic clock for 10 ms. */
static double measure_tick_ns(void) {
#if defined(__x86_64__)
    struct clock clock = clock_system();
    uint64_t start_ns = clock_mono_ns(&clock), start = __rdtsc(), now_ns;
    do now_ns = clock_mono_ns(&clock);
    while (now_ns - start_ns < 10000000);
    return (double)(now_ns - start_ns) / (double)(__rdtsc() - start);
#else
    return 1;
#endif
}

static enum status draw_seeds(struct server *server, struct error *error) {
    unsigned char id[20];
    if (getrandom(&server->hash_seed, sizeof server->hash_seed, 0) != sizeof server->hash_seed ||
        getrandom(&server->random_seed, sizeof server->random_seed, 0) != sizeof server->random_seed ||
        getrandom(id, sizeof id, 0) != sizeof id)
        return error_set(error, ST_IO, errno, "The kernel gives no random numbers");
    for (size_t i = 0; i < sizeof id; i++) snprintf(server->run_id + 2 * i, 3, "%02x", id[i]);
    return ST_OK;
}

static enum status make_mailboxes(struct server *server, struct error *error) {
    uint32_t count = server->thread_count;
    server->mailboxes = shared_alloc(count * count * sizeof *server->mailboxes);
    if (!server->mailboxes) return error_set(error, ST_NO_MEMORY, 0, "No memory for mailboxes");
    for (uint32_t i = 0; i < count * count; i++) {
        if (i / count == i % count) continue;
        server->mailboxes[i] = mailbox_new(MAILBOX_SLOTS);
        if (!server->mailboxes[i]) return error_set(error, ST_NO_MEMORY, 0, "No memory for mailboxes");
    }
    return ST_OK;
}

static enum status make_threads(struct server *server, struct error *error) {
    server->threads = shared_alloc(server->thread_count * sizeof *server->threads);
    if (!server->threads) return error_set(error, ST_NO_MEMORY, 0, "No memory for threads");
    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct thread *thread = &server->threads[i];
        thread->server = server;
        thread->id = i;
        uint32_t place = machine_place(&server->machine, server->thread_count, i);
        thread->cpu = server->machine.cpus[place];
        thread->node = server->machine.nodes[place];
    }
    return ST_OK;
}

static void find_self(struct server *server) {
    struct utsname name;
    if (uname(&name) == 0)
        snprintf(server->os, sizeof server->os, "%.64s %.64s %.64s", name.sysname, name.release, name.machine);
    ssize_t len = readlink("/proc/self/exe", server->executable, sizeof server->executable - 1);
    server->executable[MAX(len, 0)] = 0;
}

static enum status open_persist(struct server *server, struct error *error) {
    struct persist_options options = {.config = &server->config,
                                      .shards = server->thread_count,
                                      .log = &server->log,
                                      .clock = clock_system(),
                                      .boot = server->random_seed | 1,
                                      .redis_version = SPOKEN_REDIS_VERSION};
    return persist_open(&server->persist, &options, error);
}

enum status server_new(struct server **out, const struct config *config, const char *config_path, struct error *error) {
    struct server *server = shared_alloc(sizeof *server);
    if (!server) return error_set(error, ST_NO_MEMORY, 0, "No memory for the server");
    *out = server;
    server->config = *config;
    atomic_store(&server->config_version, 1);
    pthread_mutex_init(&server->config_lock, NULL);
    snprintf(server->config_path, sizeof server->config_path, "%s", config_path);
    find_self(server);
    machine_read(&server->machine);
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->stop_fd < 0) return error_set(error, ST_IO, errno, "No event descriptor");
    enum status status = log_file_open(&server->log_file, config->logfile, error);
    if (status != ST_OK) return status;
    log_init(&server->log, log_file_write, &server->log_file, clock_system(), config->loglevel, 'M');
    server->thread_count =
        config->threads ? (uint32_t)config->threads : machine_default_threads(&server->machine, SHARDS_MAX);
    server->clients_max = machine_clients_max(&server->machine, server->thread_count);
    ceiling_open(server);
    server->tick_ns = measure_tick_ns();
    struct clock clock = clock_system();
    server->started_ms = clock_real_us(&clock) / 1000;
    server->start_heap = heap_new();
    if (!server->start_heap) return error_set(error, ST_NO_MEMORY, 0, "No memory for the command table");
    server->registry = command_registry_new(server->start_heap, server_command_tables());
    if ((status = draw_seeds(server, error)) != ST_OK) return status;
    if ((status = make_mailboxes(server, error)) != ST_OK) return status;
    if ((status = open_persist(server, error)) != ST_OK) return status;
    return make_threads(server, error);
}

enum status server_start(struct server *server, struct error *error) {
    enum status status = listener_open_all(server, error);
    if (status != ST_OK) return status;
    if ((status = disk_worker_start(&server->disk_worker, error)) != ST_OK) return status;
    uint32_t started = 0;
    for (; started < server->thread_count; started++) {
        int reason = pthread_create(&server->threads[started].handle, NULL, thread_main, &server->threads[started]);
        if (reason == 0) continue;
        /* The ones that run wait for all; count the missing as there and failed. */
        atomic_fetch_add(&server->failed, 1);
        atomic_fetch_add(&server->ready, server->thread_count - started);
        error_set(&server->start_error, ST_IO, reason, "Cannot start thread %u of %u", started + 1,
                  server->thread_count);
        break;
    }
    while (atomic_load(&server->ready) < server->thread_count) sched_yield();
    if (atomic_load(&server->failed) == 0) {
        server->used_startup = server_used_bytes(server);
        return ST_OK;
    }
    for (uint32_t i = 0; i < started; i++) pthread_join(server->threads[i].handle, NULL);
    *error = server->start_error;
    return error->status;
}

uint64_t server_clients_max(const struct server *server, const struct config *config) {
    return MIN((uint64_t)config->maxclients, server->clients_max);
}

enum server_loaded server_loaded(const struct server *server) {
    enum persist_state state = persist_state(server->persist);
    return state == PERSIST_LOADING ? SERVER_LOADING : state == PERSIST_RUNNING ? SERVER_LOADED : SERVER_NOT_LOADED;
}

void server_stop(struct server *server, bool now) {
    persist_end(server->persist,
                now ? END_NOSAVE : (enum persist_end_how)atomic_exchange(&server->end_how, END_DEFAULT));
    uint64_t one = 1;
    ssize_t ignored = write(server->stop_fd, &one, sizeof one);
    (void)ignored;
}

enum status server_may_stop(struct server *server) {
    enum persist_end_state state = persist_end_state(server->persist);
    if (state != END_REFUSED) return state == END_READY ? ST_OK : ST_FULL;
    uint64_t ones; /* the descriptor is quiet before the threads look at it again */
    ssize_t ignored = read(server->stop_fd, &ones, sizeof ones);
    (void)ignored;
    persist_end_cancel(server->persist);
    atomic_fetch_add_explicit(&server->refusals, 1, memory_order_relaxed);
    return ST_IO;
}

void server_join(struct server *server) {
    for (uint32_t i = 0; i < server->thread_count; i++) pthread_join(server->threads[i].handle, NULL);
}

void server_delete(struct server *server) {
    listener_close_all(server);
    if (server->disk_worker) disk_worker_stop(server->disk_worker);
    if (server->persist) persist_close(server->persist);
    uint32_t boxes = server->mailboxes ? server->thread_count * server->thread_count : 0;
    for (uint32_t i = 0; i < boxes; i++)
        if (server->mailboxes[i]) mailbox_delete(server->mailboxes[i]);
    shared_free(server->mailboxes);
    shared_free(server->threads);
    if (server->registry) command_registry_delete(server->registry, server->start_heap);
    if (server->start_heap) heap_delete(server->start_heap);
    if (server->stop_fd >= 0) close(server->stop_fd);
    log_file_close(&server->log_file);
    ceiling_close(server);
    pthread_mutex_destroy(&server->config_lock);
    shared_free(server);
}

/* --- options at run time --- */

enum status server_config_set(struct server *server, const struct config_pair *pairs, unsigned count,
                              bool client_is_local, struct error *error) {
    pthread_mutex_lock(&server->config_lock);
    enum status status = config_set_many(&server->config, pairs, count, client_is_local, error);
    if (status == ST_OK) {
        log_set_level(&server->log, server->config.loglevel);
        ceiling_changed(server);
        /* Release: the options before the version; the lock orders the copy itself. Pairs with follow_config's look. */
        atomic_fetch_add_explicit(&server->config_version, 1, memory_order_release);
    }
    pthread_mutex_unlock(&server->config_lock);
    return status;
}

uint64_t server_config_read(struct server *server, uint64_t version, struct config *out) {
    pthread_mutex_lock(&server->config_lock);
    uint64_t current = atomic_load_explicit(&server->config_version, memory_order_relaxed);
    if (current != version) *out = server->config;
    pthread_mutex_unlock(&server->config_lock);
    return current;
}
