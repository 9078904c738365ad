/* The machine as the doctor sees it: kernel, processors, memory, network, options. One function per question. */
#include "net/doctor.h"
#include "core/num.h"
#include "net/machine.h"
#include "net/ring.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LINE_MAX_BYTES 700

void doctor_say(struct doctor *doctor, enum doctor_verdict verdict, const char *format, ...) {
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    doctor->count[verdict]++;
    doctor->print(doctor->ctx, verdict, line);
}

static bool read_line(const char *path, char *out, size_t size) {
    if (!machine_read_file(path, out, size)) return false;
    out[strcspn(out, "\n")] = 0;
    return true;
}

static bool read_number(const char *path, long long *out) {
    char text[64];
    char *end;
    if (!read_line(path, text, sizeof text)) return false;
    *out = strtoll(text, &end, 10);
    return end != text;
}

static unsigned long long mib(uint64_t bytes) {
    return bytes >> 20;
}

/* --- kernel --- */

static void look_at_ring(struct doctor *doctor) {
    struct utsname name;
    struct ring *ring;
    struct error error = {0};
    uname(&name);
    if (ring_open(&ring, 64, 16, &error) != ST_OK) {
        doctor_say(doctor, DOCTOR_BAD, "io_uring: %s", error.text);
        return;
    }
    ring_close(ring);
    doctor_say(doctor, DOCTOR_OK, "io_uring: works on Linux %s", name.release);
}

static void look_at_clock(struct doctor *doctor) {
    char source[64];
    if (!read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", source, sizeof source)) return;
    bool quick = strcmp(source, "tsc") == 0 || strcmp(source, "kvm-clock") == 0 || strncmp(source, "arch_", 5) == 0 ||
                 strncmp(source, "hyperv", 6) == 0;
    if (quick)
        doctor_say(doctor, DOCTOR_OK, "clock: %s", source);
    else
        doctor_say(
            doctor, DOCTOR_WARN,
            "clock: %s, which takes a system call for each look. If the processor's counter is stable, boot with "
            "clocksource=tsc",
            source);
}

static void look_at_pages(struct doctor *doctor) {
    char mode[128];
    long long overcommit = 0;
    if (read_line("/sys/kernel/mm/transparent_hugepage/enabled", mode, sizeof mode)) {
        if (strstr(mode, "[always]"))
            doctor_say(doctor, DOCTOR_WARN,
                       "huge pages: given to everybody, which makes memory that was freed in part stay resident. sherd "
                       "asks for them where they help: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
        else if (strstr(mode, "[never]"))
            doctor_say(doctor, DOCTOR_WARN,
                       "huge pages: off; tables of many GiB are a tenth slower: echo madvise > "
                       "/sys/kernel/mm/transparent_hugepage/enabled");
        else
            doctor_say(doctor, DOCTOR_OK, "huge pages: where the server asks for them");
    }
    if (!read_number("/proc/sys/vm/overcommit_memory", &overcommit)) return;
    if (overcommit == 2)
        doctor_say(doctor, DOCTOR_WARN,
                   "overcommit: strict, so memory may be refused long before it is used up: sysctl "
                   "vm.overcommit_memory=0 (nothing is forked here, 0 is enough)");
    else
        doctor_say(doctor, DOCTOR_OK, "overcommit: mode %lld; nothing is forked, so it does not matter", overcommit);
}

/* --- processors --- */

static void look_at_cpus(struct doctor *doctor, const struct machine *machine) {
    const struct config *config = doctor->config;
    uint32_t threads = config->threads ? (uint32_t)config->threads : machine_default_threads(machine, SHARDS_MAX);
    uint32_t grants = machine->cpu_quota ? MIN(machine->cpu_quota, machine->cpu_count) : machine->cpu_count;
    if (threads > grants)
        doctor_say(doctor, DOCTOR_WARN,
                   "processors: %u threads, but %u CPUs%s: threads take turns, and each waits for the others. Choose "
                   "--threads %u",
                   threads, grants, machine->cpu_quota && grants < machine->cpu_count ? " by the cgroup's quota" : "",
                   grants);
    else
        doctor_say(doctor, DOCTOR_OK, "processors: %u threads on %u CPUs", threads, grants);
    long long balancing = 0;
    if (machine->numa_nodes < 2) return;
    if (read_number("/proc/sys/kernel/numa_balancing", &balancing) && balancing != 0)
        doctor_say(doctor, DOCTOR_WARN,
                   "nodes: %u, and the kernel moves pages between them, which stalls threads that placed their memory "
                   "already: sysctl kernel.numa_balancing=0",
                   machine->numa_nodes);
    else
        doctor_say(doctor, DOCTOR_OK, "nodes: %u, each thread keeps its memory on its own", machine->numa_nodes);
}

/* --- memory --- */

static uint64_t memory_there_is(const struct machine *machine) {
    return MIN(machine->memory_bytes, machine->memory_limit);
}

static void look_at_memory(struct doctor *doctor, const struct machine *machine, uint64_t ceiling) {
    uint64_t there_is = memory_there_is(machine);
    const char *whose = machine->memory_limit < machine->memory_bytes ? "the cgroup allows" : "this machine has";
    if (ceiling > there_is)
        doctor_say(doctor, DOCTOR_BAD,
                   "memory: maxmemory is %llu MiB, but %s %llu MiB: the kernel would kill the server. Choose at most "
                   "--maxmemory %llumb",
                   mib(ceiling), whose, mib(there_is), mib(there_is / 10 * 8));
    else if (ceiling > there_is / 10 * 9)
        doctor_say(doctor, DOCTOR_WARN,
                   "memory: maxmemory is %llu MiB of the %llu MiB that %s: little is left for the kernel's buffers of "
                   "sockets and files. Four fifths are a good choice",
                   mib(ceiling), mib(there_is), whose);
    else
        doctor_say(doctor, DOCTOR_OK, "memory: %llu MiB for the server of the %llu MiB that %s", mib(ceiling),
                   mib(there_is), whose);
}

static void look_at_swap(struct doctor *doctor) {
    char text[4096];
    if (!machine_read_file("/proc/meminfo", text, sizeof text)) return;
    unsigned long long total = 0;
    const char *line = strstr(text, "SwapTotal:");
    if (line && sscanf(line, "SwapTotal: %llu kB", &total) == 1 && total > 0)
        doctor_say(doctor, DOCTOR_WARN,
                   "swap: %llu MiB; a key that was swapped out takes milliseconds to read. Keep the server out of it: "
                   "memory.swap.max=0 in its cgroup, or swapoff",
                   total >> 10);
    else
        doctor_say(doctor, DOCTOR_OK, "swap: none");
}

/* --- network --- */

static void look_at_files(struct doctor *doctor, const struct machine *machine) {
    const struct config *config = doctor->config;
    uint32_t threads = config->threads ? (uint32_t)config->threads : machine_default_threads(machine, SHARDS_MAX);
    uint64_t need = (uint64_t)config->maxclients + machine_own_files(threads);
    if (machine->open_files_max && machine->open_files_max < need)
        doctor_say(doctor, DOCTOR_BAD,
                   "clients: maxclients is %lld, but a process may open %llu files only: ulimit -n %llu, or "
                   "LimitNOFILE=%llu in the unit",
                   (long long)doctor->config->maxclients, (unsigned long long)machine->open_files_max,
                   (unsigned long long)need, (unsigned long long)need);
    else
        doctor_say(doctor, DOCTOR_OK, "clients: up to %lld, and %llu files may be open",
                   (long long)doctor->config->maxclients, (unsigned long long)machine->open_files_max);
}

static void look_at_backlog(struct doctor *doctor) {
    long long somaxconn = 0;
    int backlog = doctor->config->tcp_backlog;
    if (!read_number("/proc/sys/net/core/somaxconn", &somaxconn)) return;
    if (somaxconn < backlog)
        doctor_say(
            doctor, DOCTOR_WARN,
            "backlog: tcp-backlog is %d, but the kernel cuts it to %lld; when thousands connect at once some are "
            "turned away: sysctl net.core.somaxconn=%d",
            backlog, somaxconn, backlog);
    else
        doctor_say(doctor, DOCTOR_OK, "backlog: %d connections may wait to be accepted", backlog);
}

static bool is_local(const char *address) {
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 || strcmp(address, "localhost") == 0;
}

static void look_at_doors(struct doctor *doctor) {
    const struct config *config = doctor->config;
    bool open_to_all = false;
    for (unsigned i = 0; config->port && i < config->bind.count; i++)
        open_to_all |= !is_local(config->bind.entries[i].address);
    if (!open_to_all || config->requirepass[0])
        doctor_say(doctor, DOCTOR_OK, "doors: %s", open_to_all ? "open to the network, with a password" : "local only");
    else if (config->protected_mode)
        doctor_say(doctor, DOCTOR_WARN,
                   "doors: open to the network without a password, so protected mode turns all but local clients away: "
                   "set requirepass");
    else
        doctor_say(
            doctor, DOCTOR_BAD,
            "doors: open to the network, without a password and without protected mode: whoever reaches the port "
            "owns the data. Set requirepass");
}

/* --- options --- */

static void warn_of_option(void *ctx, struct slice text) {
    doctor_say(ctx, DOCTOR_WARN, "option: %.*s", (int)text.len, text.ptr);
}

void doctor_look(struct doctor *doctor) {
    struct machine *machine = malloc(sizeof *machine);
    if (!machine) {
        doctor_say(doctor, DOCTOR_BAD, "memory: not even for this");
        return;
    }
    machine_read(machine);
    uint64_t ceiling = doctor->config->maxmemory ? doctor->config->maxmemory : memory_there_is(machine) / 10 * 8;
    look_at_ring(doctor);
    look_at_clock(doctor);
    look_at_cpus(doctor, machine);
    look_at_memory(doctor, machine, ceiling);
    look_at_swap(doctor);
    look_at_pages(doctor);
    look_at_files(doctor, machine);
    look_at_backlog(doctor);
    look_at_doors(doctor);
    doctor_look_at_disk(doctor, ceiling);
    config_warnings(doctor->config, warn_of_option, doctor);
    free(machine);
}
