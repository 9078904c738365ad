/* The lines a person reads first. */
#include "net/start_report.h"
#include "net/listener.h"
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DISK_TIMES 2 /* the data: a snapshot and the one that replaces it; and a log, which may be short */

static void warn(void *ctx, struct slice text) {
    log_line(ctx, LOG_LEVEL_WARNING, "%.*s", (int)text.len, text.ptr);
}

static void report_threads(struct server *server) {
    const struct machine *machine = &server->machine;
    struct log *log = &server->log;
    if (server->config.threads) {
        log_line(log, LOG_LEVEL_NOTICE, "Threads: %u, as asked for (option threads); this process may use %u CPUs",
                 server->thread_count, machine->cpu_count);
        if (server->thread_count > machine->cpu_count)
            log_line(log, LOG_LEVEL_WARNING, "More threads than CPUs: they are not pinned and will take turns");
    } else if (machine->cpu_quota && machine->cpu_quota < machine->cpu_count) {
        log_line(log, LOG_LEVEL_NOTICE, "Threads: %u, one per CPU that the cgroup's quota grants (%u CPUs are visible)",
                 server->thread_count, machine->cpu_count);
    } else {
        log_line(log, LOG_LEVEL_NOTICE, "Threads: %u, one per CPU this process may use", server->thread_count);
    }
}

static void report_memory(struct server *server) {
    const struct machine *machine = &server->machine;
    unsigned long long limit = machine->memory_limit, ram = machine->memory_bytes;
    uint64_t ceiling = server->ceiling.bytes, most = MIN(machine->memory_limit, machine->memory_bytes);
    char why[CEILING_WHY_MAX];
    ceiling_explain(server, why);
    if (machine->memory_limit != UINT64_MAX)
        log_line(&server->log, LOG_LEVEL_NOTICE, "Memory: the cgroup allows %llu MiB of %llu MiB RAM; %s", limit >> 20,
                 ram >> 20, why);
    else
        log_line(&server->log, LOG_LEVEL_NOTICE, "Memory: %llu MiB RAM, no cgroup limit; %s", ram >> 20, why);
    if (ceiling == 0)
        log_line(&server->log, LOG_LEVEL_WARNING,
                 "maxmemory is 0: nothing keeps this process from being killed when memory runs out");
    else if (ceiling > most)
        log_line(&server->log, LOG_LEVEL_WARNING,
                 "maxmemory is more than the %llu MiB that there are: this process will be killed before it is reached",
                 (unsigned long long)most >> 20);
}

static void report_limits(struct server *server) {
    uint64_t need = (uint64_t)server->config.maxclients + machine_own_files(server->thread_count);
    if (server->machine.open_files_max && server->machine.open_files_max < need)
        log_line(&server->log, LOG_LEVEL_WARNING,
                 "maxclients is %lld, but this process may open %llu files only, which is enough for %llu clients: "
                 "raise the limit to %llu (ulimit -n, LimitNOFILE=)",
                 (long long)server->config.maxclients, (unsigned long long)server->machine.open_files_max,
                 (unsigned long long)server->clients_max, (unsigned long long)need);
}

static void report_durability(struct server *server) {
    static const char *const risk[] = {[APPENDFSYNC_ALWAYS] = "nothing that was acknowledged is lost in a crash",
                                       [APPENDFSYNC_EVERYSEC] =
                                           "a crash of the machine may cost the last second or two",
                                       [APPENDFSYNC_NO] = "a crash of the machine may cost the last half minute or so"};
    const struct config *config = &server->config;
    if (config->appendonly)
        log_line(&server->log, LOG_LEVEL_NOTICE, "Durability: every write is logged; %s", risk[config->appendfsync]);
    else if (config->save.count > 0)
        log_line(&server->log, LOG_LEVEL_NOTICE,
                 "Durability: snapshots only (option save); a crash costs what was written since the last one");
    else
        log_line(&server->log, LOG_LEVEL_NOTICE,
                 "Durability: none asked for (save '', appendonly no); data are gone at exit, unless saved by command");
}

/* A directory that cannot keep what is asked of it. (`sherd doctor` looks closer.) */
static void report_disk(struct server *server) {
    const struct config *config = &server->config;
    struct statfs facts;
    uint64_t budget = config->disk_budget, data = server->ceiling.bytes;
    if (!config->appendonly && config->save.count == 0) return;
    if (statfs(config->dir, &facts) == 0 && (facts.f_type == TMPFS_MAGIC || facts.f_type == RAMFS_MAGIC))
        log_line(
            &server->log, LOG_LEVEL_WARNING,
            "The directory %s is in memory (tmpfs): what is kept there counts against the same memory, and is gone "
            "after a restart of the machine (option dir)",
            config->dir);
    if (budget && data && budget / DISK_TIMES < data)
        log_line(&server->log, LOG_LEVEL_WARNING,
                 "disk-budget is %llu MiB, but data of the size of maxmemory (%llu MiB) may take %llu MiB on the disk, "
                 "as a snapshot replaces another only when it is whole: long before that, writes would be refused",
                 (unsigned long long)budget >> 20, (unsigned long long)data >> 20,
                 (unsigned long long)(data * DISK_TIMES) >> 20);
}

void start_report_before(struct server *server) {
    log_line(&server->log, LOG_LEVEL_NOTICE, "sherd %s starts, pid %d, directory %s, %s%s", SHERD_VERSION, getpid(),
             server->config.dir, server->config_path[0] ? "configuration " : "no configuration file, defaults",
             server->config_path);
    report_threads(server);
    report_memory(server);
    report_durability(server);
    report_disk(server);
    report_limits(server);
    config_warnings(&server->config, warn, &server->log);
}

void start_report_ready(struct server *server, const struct config *config) {
    if (config->port) log_line(&server->log, LOG_LEVEL_NOTICE, "Ready to accept connections on port %d", config->port);
    if (config->cluster_ports)
        log_line(&server->log, LOG_LEVEL_NOTICE, "Ready for cluster clients on ports %d to %d, one for each thread",
                 listener_endpoint_port(config->port, 0),
                 listener_endpoint_port(config->port, server->thread_count - 1));
    if (config->unixsocket[0])
        log_line(&server->log, LOG_LEVEL_NOTICE, "Ready to accept connections at %s", config->unixsocket);
}
