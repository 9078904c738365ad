/* Report: what a measured window says, as a line for people or one JSON object for programs. */
#pragma once
#include "perf/load_options.h"
#include "perf/procstat.h"

enum { LOAD_SLICES_MAX = 100000 };

struct load_slice { /* one --interval */
    double at_s;
    uint64_t ops, p50_ns, p99_ns, p999_ns, max_ns;
};

struct load_report {
    const struct load_options *options;
    const struct engine_result *result;
    bool server_known; /* before and after were read */
    struct procstat before, after;
    const struct load_slice *slices;
    size_t slice_count;
};

void load_report_print(const struct load_report *r);
