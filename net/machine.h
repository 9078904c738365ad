/* Machine: what this process may use of the computer, read once at start. Linux only: /proc, cgroups, affinity.
 *
 * No threads involved; every call reads files and takes well under a millisecond. */
#pragma once
#include "core/status.h"

#define MACHINE_CPUS_MAX 1024

struct machine {
    uint32_t cpus[MACHINE_CPUS_MAX];  /* numbers of the CPUs in the affinity mask, node after node */
    uint16_t nodes[MACHINE_CPUS_MAX]; /* the memory node of each of them */
    uint32_t cpu_count;
    uint32_t cpu_quota;    /* whole CPUs the cgroup grants, rounded up; 0: no quota */
    uint64_t memory_bytes; /* RAM */
    uint64_t memory_limit; /* the cgroup's limit, UINT64_MAX: none */
    uint32_t numa_nodes;
    uint64_t open_files_max; /* RLIMIT_NOFILE after raising it to the hard limit */
};

void machine_read(struct machine *out);
/* Where in cpus the CPU is for one of so many threads: neighbours share a node, each node gets as many as its share of
 * the CPUs is, and within a node they go round. O(threads). */
uint32_t machine_place(const struct machine *machine, uint32_t threads, uint32_t thread);
uint32_t machine_default_threads(const struct machine *machine, uint32_t most);
/* Descriptors that a server of so many threads keeps for itself: rings, sockets to listen on, logs, snapshots. */
uint64_t machine_own_files(uint32_t threads);
/* How many clients there are descriptors for beside those; at least 1. */
uint64_t machine_clients_max(const struct machine *machine, uint32_t threads);
/* The first bytes of a file of /proc or /sys as a string; false when it cannot be read. */
bool machine_read_file(const char *path, char *out, size_t size);
uint64_t machine_memory_limit(void); /* the cgroup's, now; UINT64_MAX: none */
/* Resident set of this process; 0 when unknown. */
uint64_t machine_resident_bytes(void);
uint64_t machine_peak_resident_bytes(void);
