/* Options of sherd-load: one table in load_options.c says name, default and meaning; --help prints
 * it. */
#pragma once
#include "perf/engine.h"

struct load_options {
    struct engine_target target;
    uint32_t conns, pipeline, preload_pipeline, reap;
    struct workload_shape shape;
    const char *op, *dist, *preload_op;
    double time_s, warmup_s, rate, interval_s;
    uint64_t requests, seed;
    int pid, cpu;
    bool ctx, preload, verify, spin, json;
    bool measure; /* false: only preload */
};

/* Fills *o from the command line. Prints what is wrong, or the help, and exits. */
void load_options_parse(struct load_options *o, int argc, char **argv);
