/* The runtime's side of net/runtime.h: what command handlers may ask of the process. */
#include "net/runtime.h"
#include "net/config_file.h"
#include "net/thread.h"
#include "persist/persist.h"
#include "shards/exec.h"
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

bool net_client_is_local(const struct client *client) {
    if (!client || !client->carrier || client->flags & CLIENT_UNIX_SOCKET) return true;
    char address[128];
    client->carrier->address(client, false, address, sizeof address);
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0 ||
           strncmp(address, "[::ffff:127.", 12) == 0;
}

enum status net_config_set(struct exec *x, const struct slice *pairs, uint32_t count, struct error *error) {
    struct thread *thread = thread_of(x->shard);
    size_t bytes = count * sizeof(struct config_pair);
    struct config_pair *list = heap_alloc(x->shard->heap, MEM_STATS, bytes);
    for (uint32_t i = 0; i < count; i++) list[i] = (struct config_pair){pairs[2 * i], pairs[2 * i + 1]};
    enum status status = server_config_set(thread->server, list, count, net_client_is_local(x->client), error);
    heap_free(x->shard->heap, MEM_STATS, list, bytes);
    if (status != ST_OK) return status;
    thread->config_version = server_config_read(thread->server, thread->config_version, &thread->config);
    shard_config_changed(x->shard);
    return ST_OK;
}

enum status net_config_rewrite(struct exec *x, struct error *error) {
    struct server *server = thread_of(x->shard)->server;
    return config_file_rewrite(&thread_of(x->shard)->config, server->config_path, error);
}

void net_shutdown(struct exec *x, unsigned how) {
    struct server *server = thread_of(x->shard)->server;
    log_line(&server->log, LOG_LEVEL_WARNING, "User requested shutdown...");
    thread_wait_for_end(thread_of(x->shard), x->client);
    /* One that is saving already is not to be hurried by the same wish once more. */
    if (persist_end_state(server->persist) == END_SAVING && !(how & SHUTDOWN_NOSAVE)) return;
    atomic_store(&server->end_how, how & SHUTDOWN_NOSAVE ? END_NOSAVE : how & SHUTDOWN_SAVE ? END_SAVE : END_DEFAULT);
    kill(getpid(), SIGTERM); /* the main thread takes it from there */
}

bool net_shutdown_abort(struct exec *x) {
    (void)x;
    return false; /* it cannot be called back */
}

static uint64_t micros(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static void fill_cpu(struct runtime_facts *out) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    out->cpu_user_us = micros(usage.ru_utime);
    out->cpu_system_us = micros(usage.ru_stime);
    getrusage(RUSAGE_THREAD, &usage);
    out->cpu_user_thread_us = micros(usage.ru_utime);
    out->cpu_system_thread_us = micros(usage.ru_stime);
}

static void fill_rates(const struct server *server, struct runtime_facts *out) {
    for (uint32_t i = 0; i < server->thread_count; i++) {
        const struct thread *thread = &server->threads[i];
        /* Relaxed: single figures, a moment old. Written by publish() in thread.c. */
        out->ops_per_second += (double)atomic_load_explicit(&thread->ops_per_second, memory_order_relaxed);
        out->input_kbps += (double)atomic_load_explicit(&thread->in_per_second, memory_order_relaxed) / 1024;
        out->output_kbps += (double)atomic_load_explicit(&thread->out_per_second, memory_order_relaxed) / 1024;
    }
}

uint64_t server_used_bytes(const struct server *server) {
    int64_t used = 0;
    if (!server->threads) return 0; /* the ceiling is chosen before they are there */
    for (uint32_t i = 0; i < server->thread_count; i++)
        used += atomic_load_explicit(heap_total(server->threads[i].shard->heap), memory_order_relaxed);
    return (uint64_t)MAX(used, 0);
}

void net_runtime_facts(struct shard *shard, struct runtime_facts *out) {
    struct thread *thread = thread_of(shard);
    struct server *server = thread->server;
    *out = (struct runtime_facts){.pid = getpid(),
                                  .port = thread->config.port,
                                  .clients_max = server_clients_max(server, &thread->config),
                                  .threads = (int)server->thread_count,
                                  .hz = thread->config.hz,
                                  .run_id = server->run_id,
                                  .os = server->os,
                                  .executable = server->executable,
                                  .config_file = server->config_path,
                                  .supervisor = "no",
                                  .event_api = "io_uring",
                                  .started_ms = server->started_ms,
                                  .uptime_s = (shard->now_ms - MIN(shard->now_ms, server->started_ms)) / 1000,
                                  .rss = machine_resident_bytes(),
                                  .rss_peak = machine_peak_resident_bytes(),
                                  .used_startup = server->used_startup,
                                  .total_system_memory = server->machine.memory_bytes};
    for (uint32_t i = 0; i < server->thread_count; i++) out->node[i] = server->threads[i].node;
    if (server->machine.memory_limit != UINT64_MAX) out->memory_limit = server->machine.memory_limit;
    uint64_t used = server_used_bytes(server), peak = atomic_load_explicit(&server->used_peak, memory_order_relaxed);
    out->used_peak = MAX(used, peak);
    atomic_store_explicit(&server->used_peak, out->used_peak,
                          memory_order_relaxed); /* an estimate: races lose little */
    ceiling_read(server, &out->memory);
    alloc_name(out->allocator);
    fill_cpu(out);
    fill_rates(server, out);
}
