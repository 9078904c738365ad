/* Procstat: what a process has used so far, read from /proc.
 *
 * CPU time is the sum of run times of all its threads in /proc/PID/task/N/schedstat (nanoseconds)
 * where the kernel has it, else utime + stime of /proc/PID/stat (10 ms ticks). Both are the same
 * account; the first is only finer. The run time of a thread that is running at this instant may be
 * one timer tick (4 ms) old; a thread that has ended takes its time with it (a server's threads do
 * not). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct procstat {
    uint64_t cpu_ns;
    uint64_t tick_ns;  /* utime + stime of the process, in 10 ms steps, kept beside it as a check */
    bool cpu_is_ticks; /* no schedstat: cpu_ns is tick_ns */
    uint64_t switches_voluntary, switches_involuntary;
    uint32_t threads;
    uint64_t rss_bytes;
};

/* False when there is no such process, or it may not be read. */
bool procstat_read(int pid, struct procstat *out);
