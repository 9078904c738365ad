#include "perf/load_report.h"

#include <inttypes.h>
#include <stdio.h>

static double us(uint64_t ns) {
    return (double)ns / 1000.0;
}

static double per_op(const struct load_report *r, uint64_t amount) {
    return r->result->ops > 0 ? (double)amount / (double)r->result->ops : 0.0;
}

static double share(const struct load_report *r, uint64_t ns) {
    return r->result->seconds > 0 ? (double)ns / 1e9 / r->result->seconds : 0.0;
}

static double throughput(const struct load_report *r) {
    return r->result->seconds > 0 ? (double)r->result->ops / r->result->seconds : 0.0;
}

static double latency_us(const struct load_report *r, double percentile) {
    return us(histogram_percentile(&r->result->latency_ns, percentile));
}

static void print_text(const char *text) { /* as a JSON string; the rest of Unicode passes as it is */
    (void)putchar('"');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') (void)putchar('\\');
        (void)putchar((unsigned char)*p < 0x20 ? ' ' : *p);
    }
    (void)putchar('"');
}

static void print_json(const struct load_report *r) {
    const struct load_options *o = r->options;
    const struct engine_result *result = r->result;
    (void)printf("{\"op\": ");
    print_text(o->op);
    (void)printf(", \"dist\": ");
    print_text(o->dist);
    (void)printf(", \"conns\": %u, \"pipeline\": %u, \"keys\": %" PRIu64 ", \"key_len\": %u, \"value_len\": %u"
                 ", \"rate\": %.1f",
                 o->conns, o->pipeline, o->shape.keys, o->shape.key_len, o->shape.value_len, o->rate);
    (void)printf(", \"seconds\": %.6f, \"ops\": %" PRIu64 ", \"ops_per_s\": %.1f, \"errors\": %" PRIu64
                 ", \"nils\": %" PRIu64 ", \"wrong\": %" PRIu64 ", \"unanswered\": %" PRIu64 ", \"error_text\": ",
                 result->seconds, result->ops, throughput(r), result->errors, result->nils, result->wrong,
                 result->unanswered);
    print_text(result->error_text);
    (void)printf(", \"conn_ops\": {\"min\": %" PRIu64 ", \"max\": %" PRIu64 "}", result->conn_ops_min,
                 result->conn_ops_max);
    (void)printf(", \"latency_us\": {\"mean\": %.2f, \"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, "
                 "\"p99.9\": %.2f, \"max\": %.2f}",
                 histogram_mean(&result->latency_ns) / 1000.0, latency_us(r, 50), latency_us(r, 90), latency_us(r, 99),
                 latency_us(r, 99.9), us(result->latency_ns.max));
    (void)printf(", \"generator\": {\"cpu_us_per_op\": %.4f, \"cpu_share\": %.4f, \"enters_per_op\": %.5f}",
                 us(result->cpu_ns) / (result->ops > 0 ? (double)result->ops : 1.0), share(r, result->cpu_ns),
                 per_op(r, result->enters));
    if (r->server_known) {
        const struct procstat *a = &r->before, *b = &r->after;
        (void)printf(", \"server\": {\"cpu_us_per_op\": %.4f, \"tick_us_per_op\": %.4f, "
                     "\"cpu_share\": %.4f, "
                     "\"source\": \"%s\", \"threads\": %u, \"voluntary_per_op\": %.6f, "
                     "\"involuntary_per_op\": %.6f, "
                     "\"rss_before\": %" PRIu64 ", \"rss_after\": %" PRIu64 "}",
                     per_op(r, b->cpu_ns - a->cpu_ns) / 1000.0, per_op(r, b->tick_ns - a->tick_ns) / 1000.0,
                     share(r, b->cpu_ns - a->cpu_ns), b->cpu_is_ticks ? "stat" : "schedstat", b->threads,
                     per_op(r, b->switches_voluntary - a->switches_voluntary),
                     per_op(r, b->switches_involuntary - a->switches_involuntary), a->rss_bytes, b->rss_bytes);
    }
    for (size_t i = 0; i < r->slice_count; i++) {
        const struct load_slice *s = &r->slices[i];
        (void)printf("%s{\"at_s\": %.3f, \"ops\": %" PRIu64
                     ", \"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"max\": %.1f}",
                     i == 0 ? ", \"slices\": [" : ", ", s->at_s, s->ops, us(s->p50_ns), us(s->p99_ns), us(s->p999_ns),
                     us(s->max_ns));
    }
    (void)printf("%s}\n", r->slice_count > 0 ? "]" : "");
}

static void print_line(const struct load_report *r) {
    const struct load_options *o = r->options;
    const struct engine_result *result = r->result;
    for (size_t i = 0; i < r->slice_count; i++) {
        const struct load_slice *s = &r->slices[i];
        (void)printf("%9.3f s %9" PRIu64 " ops  p50 %.1f p99 %.1f p99.9 %.1f max %.1f us\n", s->at_s, s->ops,
                     us(s->p50_ns), us(s->p99_ns), us(s->p999_ns), us(s->max_ns));
    }
    (void)printf("%s P%u: %.0f ops/s", o->op, o->pipeline, throughput(r));
    if (r->server_known) {
        const struct procstat *a = &r->before, *b = &r->after;
        (void)printf(", server %.3f us/op (%.0f %% CPU)", per_op(r, b->cpu_ns - a->cpu_ns) / 1000.0,
                     100 * share(r, b->cpu_ns - a->cpu_ns));
        if (o->ctx)
            (void)printf(" %.4f voluntary %.4f involuntary switches/op",
                         per_op(r, b->switches_voluntary - a->switches_voluntary),
                         per_op(r, b->switches_involuntary - a->switches_involuntary));
    }
    (void)printf(", generator %.3f us/op (%.0f %%), latency us: p50 %.1f p90 %.1f p99 %.1f p99.9 "
                 "%.1f max %.1f",
                 per_op(r, result->cpu_ns) / 1000.0, 100 * share(r, result->cpu_ns), latency_us(r, 50),
                 latency_us(r, 90), latency_us(r, 99), latency_us(r, 99.9), us(result->latency_ns.max));
    if (result->nils > 0) (void)printf(", %" PRIu64 " nil", result->nils);
    if (result->unanswered > 0) (void)printf(", %" PRIu64 " UNANSWERED", result->unanswered);
    if (result->wrong > 0) (void)printf(", %" PRIu64 " WRONG VALUES", result->wrong);
    if (result->errors > 0) (void)printf(", %" PRIu64 " ERRORS (%s)", result->errors, result->error_text);
    (void)printf("\n");
}

void load_report_print(const struct load_report *r) {
    if (r->options->json)
        print_json(r);
    else
        print_line(r);
}
