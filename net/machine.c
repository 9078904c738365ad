/* Reads /proc and the cgroup files, version 2 (one tree) and version 1 (a tree per controller). */
#include "net/machine.h"
#include <fcntl.h>
#include <numa.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

bool machine_read_file(const char *path, char *out, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t got = read(fd, out, size - 1);
    close(fd);
    if (got < 0) return false;
    out[got] = 0;
    return true;
}

/* This process's path in the hierarchy of a controller ("" for version 2). */
static bool cgroup_path(const char *controller, char *out, size_t size) {
    char text[4096];
    if (!machine_read_file("/proc/self/cgroup", text, sizeof text)) return false;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        names++;
        bool hit = controller[0] ? strstr(names, controller) != NULL : names[0] == 0;
        if (!hit) continue;
        snprintf(out, size, "%s", path);
        return true;
    }
    return false;
}

/* Walks from the process's cgroup up to the root and keeps the smallest value that `read_one` finds. */
static void walk_up(const char *root, const char *path, const char *file, void (*read_one)(void *, const char *),
                    void *ctx) {
    char at[1024], full[2200], text[256];
    snprintf(at, sizeof at, "%s", path);
    for (;;) {
        snprintf(full, sizeof full, "%s%s/%s", root, strcmp(at, "/") ? at : "", file);
        if (machine_read_file(full, text, sizeof text)) read_one(ctx, text);
        char *slash = strrchr(at, '/');
        if (!slash || at[0] == 0) return;
        *slash = 0;
    }
}

static void take_memory(void *ctx, const char *text) {
    uint64_t *limit = ctx;
    if (text[0] < '0' || text[0] > '9') return; /* "max" */
    uint64_t value = strtoull(text, NULL, 10);
    /* Version 1 says "no limit" as the largest multiple of a page. */
    if (value < UINT64_MAX / 2 - 4096 * 2 && value < *limit) *limit = value;
}

static void take_quota(void *ctx, const char *text) {
    uint32_t *cpus = ctx;
    long long quota = 0, period = 0;
    if (sscanf(text, "%lld %lld", &quota, &period) != 2 || quota <= 0 || period <= 0) return;
    uint32_t whole = (uint32_t)((quota + period - 1) / period);
    if (*cpus == 0 || whole < *cpus) *cpus = whole;
}

static void take_quota_v1(const char *path, uint32_t *cpus) {
    char full[1200], quota[64], period[64], both[160];
    snprintf(full, sizeof full, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", path);
    if (!machine_read_file(full, quota, sizeof quota)) return;
    snprintf(full, sizeof full, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", path);
    if (!machine_read_file(full, period, sizeof period)) return;
    quota[strcspn(quota, "\n")] = 0;
    snprintf(both, sizeof both, "%s %s", quota, period);
    take_quota(cpus, both);
}

uint64_t machine_memory_limit(void) {
    char path[1024];
    uint64_t limit = UINT64_MAX;
    if (cgroup_path("", path, sizeof path)) {
        walk_up("/sys/fs/cgroup", path, "memory.max", take_memory, &limit);
        walk_up("/sys/fs/cgroup", path, "memory.high", take_memory, &limit);
    }
    if (cgroup_path("memory", path, sizeof path))
        walk_up("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", take_memory, &limit);
    return limit;
}

static void read_cgroups(struct machine *out) {
    char path[1024];
    out->memory_limit = machine_memory_limit();
    if (cgroup_path("", path, sizeof path)) walk_up("/sys/fs/cgroup", path, "cpu.max", take_quota, &out->cpu_quota);
    if (cgroup_path("cpu", path, sizeof path)) take_quota_v1(path, &out->cpu_quota);
}

/* Insertion, since CPUs come in the order of their numbers, which mostly is that of nodes. */
static void add_cpu(struct machine *out, uint32_t cpu, int node) {
    uint32_t at = out->cpu_count++;
    for (; at > 0 && out->nodes[at - 1] > node; at--) {
        out->cpus[at] = out->cpus[at - 1];
        out->nodes[at] = out->nodes[at - 1];
    }
    out->cpus[at] = cpu;
    out->nodes[at] = (uint16_t)node;
}

static void read_cpus(struct machine *out) {
    cpu_set_t set;
    out->numa_nodes = numa_available() < 0 ? 1 : (uint32_t)numa_num_configured_nodes();
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        for (uint32_t i = 0; i < CPU_SETSIZE && i < MACHINE_CPUS_MAX; i++)
            if (CPU_ISSET(i, &set)) add_cpu(out, i, out->numa_nodes > 1 ? MAX(numa_node_of_cpu((int)i), 0) : 0);
    if (out->cpu_count == 0) out->cpu_count = 1;
}

static void raise_open_files(struct machine *out) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 || getrlimit(RLIMIT_NOFILE, &limit) == 0)
        out->open_files_max = limit.rlim_cur;
}

void machine_read(struct machine *out) {
    memset(out, 0, sizeof *out);
    read_cpus(out);
    read_cgroups(out);
    raise_open_files(out);
    out->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint32_t place_evenly(const struct machine *machine, uint32_t threads, uint32_t thread) {
    return (uint32_t)((uint64_t)thread * machine->cpu_count / threads);
}

uint32_t machine_place(const struct machine *machine, uint32_t threads, uint32_t thread) {
    const uint16_t *nodes = machine->nodes;
    uint32_t first = place_evenly(machine, threads, thread), count = 0, before = 0;
    uint16_t node = nodes[first];
    while (first > 0 && nodes[first - 1] == node) first--;
    while (first + count < machine->cpu_count && nodes[first + count] == node) count++;
    for (uint32_t i = 0; i < thread; i++) before += nodes[place_evenly(machine, threads, i)] == node;
    return first + before % count;
}

uint32_t machine_default_threads(const struct machine *machine, uint32_t most) {
    uint32_t threads = machine->cpu_count;
    if (machine->cpu_quota && machine->cpu_quota < threads) threads = machine->cpu_quota;
    return threads < most ? threads : most;
}

/* Counted: 9 and, with a log, 4 per thread; a snapshot has three files per thread more at times. */
uint64_t machine_own_files(uint32_t threads) {
    return 24 + 8ull * threads;
}

uint64_t machine_clients_max(const struct machine *machine, uint32_t threads) {
    uint64_t own = machine_own_files(threads);
    if (!machine->open_files_max) return UINT64_MAX;
    return machine->open_files_max > own ? machine->open_files_max - own : 1;
}

uint64_t machine_resident_bytes(void) {
    char text[256];
    unsigned long long size = 0, resident = 0;
    if (!machine_read_file("/proc/self/statm", text, sizeof text) || sscanf(text, "%llu %llu", &size, &resident) != 2)
        return 0;
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t machine_peak_resident_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}
