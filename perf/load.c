/* sherd-load: wiring. Options, connections, preload, warm-up, the measured window, report. See
 * README.md for what the figures mean and engine.h for how the load is made.
 *
 * SIGINT or SIGTERM ends the window early; what was measured until then is reported.
 *
 * Exit code: 0; 1 when the server failed us; 2 for the command line; 3 when replies were errors or
 * values wrong. */
#include "perf/load_report.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t stopped; /* by SIGINT or SIGTERM: the window ends, and is reported */

static void stop(int number) {
    (void)number;
    stopped = 1;
}

struct run { /* what the engine's callbacks need */
    struct load_report report;
    struct load_slice *slices;
};

static void window_edge(void *context, bool begins) {
    struct load_report *r = &((struct run *)context)->report;
    if (r->options->pid == 0) return;
    r->server_known = procstat_read(r->options->pid, begins ? &r->before : &r->after);
}

static void interval_edge(void *context, double at_s, const struct histogram *h) {
    struct run *run = context;
    if (run->report.slice_count == LOAD_SLICES_MAX) return;
    run->slices[run->report.slice_count++] = (struct load_slice){
        .at_s = at_s,
        .ops = h->total,
        .p50_ns = histogram_percentile(h, 50),
        .p99_ns = histogram_percentile(h, 99),
        .p999_ns = histogram_percentile(h, 99.9),
        .max_ns = h->max,
    };
}

static int refuse(const char *why) {
    (void)fprintf(stderr, "sherd-load: %s\n", why);
    return 1;
}

static int preload(const struct load_options *o, struct engine *e) {
    static struct engine_result result; /* 35 KiB: static rather than on the stack */
    char why[256] = "";
    struct workload w;
    const char *reason = NULL;
    struct engine_phase phase = {.pipeline = o->preload_pipeline, .requests = o->shape.keys, .spin = o->spin};
    if (!workload_init(&w, o->preload_op, &o->shape, "seq", o->seed, &reason)) {
        (void)snprintf(why, sizeof why, "--preload-op: %s", reason);
        workload_deinit(&w);
        return refuse(why);
    }
    bool fine = engine_run(e, &w, &phase, &result, why, sizeof why);
    workload_deinit(&w);
    if (!fine) return refuse(why);
    if (result.errors > 0) {
        (void)refuse(result.error_text);
        return 3;
    }
    if (!o->json && !o->measure)
        (void)printf("loaded %llu keys in %.2f s\n", (unsigned long long)o->shape.keys, result.seconds);
    return 0;
}

static int measure(const struct load_options *o, struct engine *e, struct workload *w) {
    static struct engine_result result; /* 35 KiB: static rather than on the stack */
    char why[256];
    struct run run = {.report = {.options = o, .result = &result}};
    struct engine_phase phase = {
        .pipeline = o->pipeline, .rate = o->rate, .spin = o->spin, .reap = o->reap, .verify = o->verify};
    if (o->warmup_s > 0) {
        phase.duration_ns = (uint64_t)(o->warmup_s * 1e9);
        if (!engine_run(e, w, &phase, &result, why, sizeof why)) return refuse(why);
    }
    phase.requests = o->requests;
    phase.duration_ns = (uint64_t)(o->time_s * 1e9);
    phase.stop = &stopped;
    phase.window = window_edge;
    phase.context = &run;
    if (o->interval_s > 0) {
        phase.interval_ns = (uint64_t)(o->interval_s * 1e9);
        phase.interval = interval_edge;
        run.slices = calloc(LOAD_SLICES_MAX, sizeof *run.slices);
        if (run.slices == NULL) return refuse("out of memory");
        run.report.slices = run.slices;
    }
    bool fine = engine_run(e, w, &phase, &result, why, sizeof why);
    if (fine) load_report_print(&run.report);
    free(run.slices);
    if (!fine) return refuse(why);
    return result.errors > 0 || result.wrong > 0 ? 3 : 0;
}

int main(int argc, char **argv) {
    struct load_options o;
    load_options_parse(&o, argc, argv);
    struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND}; /* a second one ends us */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    if (o.cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)o.cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set) != 0) return refuse("--cpu: there is no such CPU for us");
    }
    struct workload w;
    const char *reason = NULL;
    if (!workload_init(&w, o.op, &o.shape, o.dist, o.seed, &reason)) {
        (void)refuse(reason);
        workload_deinit(&w);
        return 2;
    }
    char why[256] = "";
    struct engine *e = engine_open(&o.target, o.conns, why, sizeof why);
    int code = e == NULL ? refuse(why) : 0;
    if (code == 0 && o.preload) code = preload(&o, e);
    if (code == 0 && o.measure) code = measure(&o, e, &w);
    if (e != NULL) engine_close(e);
    workload_deinit(&w);
    return code;
}
