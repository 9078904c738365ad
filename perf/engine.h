/* Engine: the connections, and the loop that keeps them busy. One thread, one io_uring.
 *
 * Every connection has at most one batch of up to `pipeline` requests on the wire; when all its
 * replies have come, it is free for the next batch. That is the whole protocol, for both ways of
 * driving:
 *
 *   closed loop   a free connection sends a full batch at once. Latency counts from that moment.
 * This asks "how much can it do"; its percentiles describe a client that politely stops asking
 * while the server is slow. open loop     (rate > 0) request i is due at start + i / rate, whatever
 * the server does. A free connection takes what is due (up to `pipeline`); latency counts from when
 * the request was due, so the time a request waits because every connection is stuck behind a stall
 * is part of it. At the end of the window whatever was due is still sent and waited for, at most
 * `grace`; what is then unanswered is counted at the age it has, and reported.
 *
 * Cost per request is what the design is about (0.1 us at pipeline 64, or the generator would be
 * measured instead of the server): one send and one receive per batch, submitted in groups by one
 * system call; multishot receive into provided buffers; a completion for sends only if they fail;
 * replies skipped by their shape. */
#pragma once
#include "perf/histogram.h"
#include "perf/workload.h"
#include <signal.h>

struct engine_target {
    const char *host; /* name or address */
    int port;
    const char *unix_path; /* instead of host and port, if not NULL */
    const char *password;  /* NULL: no AUTH */
    int database;
    bool resp3;
};

struct engine_phase {
    uint32_t pipeline;
    uint64_t requests;                 /* end after so many; 0: by time */
    uint64_t duration_ns;              /* if requests is 0 */
    double rate;                       /* requests per second, open loop; 0: closed loop */
    bool verify;                       /* compare values of GET and MGET with what SET wrote */
    uint32_t reap;                     /* closed loop: sleep until so many completions, at most conns / 2; 0 means 1 */
    bool spin;                         /* never sleep: no wake-ups to be paid for by the server */
    uint64_t interval_ns;              /* call `interval` so often; 0: never */
    const volatile sig_atomic_t *stop; /* the window ends when it is set, as if its time were over; NULL: never */
    /* Called around the measured window, from inside the loop; may be NULL. */
    void (*window)(void *context, bool begins);
    void (*interval)(void *context, double at_s, const struct histogram *latency_ns);
    void *context;
};

struct engine_result {
    double seconds;  /* of the window */
    uint64_t ops;    /* requests answered in the window; an error reply is no operation: it takes one away */
    uint64_t errors; /* error replies, all */
    uint64_t conn_ops_min, conn_ops_max; /* of `ops`, those of the slowest and of the fastest connection */
    uint64_t nils;
    uint64_t wrong;      /* values that differ (verify) */
    uint64_t unanswered; /* open loop: due in the window, unanswered after grace */
    uint64_t enters;     /* system calls made */
    uint64_t cpu_ns;     /* this thread's, in the window */
    char error_text[120];
    struct histogram latency_ns;
};

struct engine;

/* Connects `conns` connections. NULL, with a sentence in why[0..why_size), on failure. */
struct engine *engine_open(const struct engine_target *target, uint32_t conns, char *why, size_t why_size);
void engine_close(struct engine *e);

/* Runs one phase to its end; no request is on the wire before and after. False with a sentence in
 * `why` (of engine_open's size or more) when the server went away, stopped answering or does not
 * speak RESP. */
bool engine_run(struct engine *e, struct workload *w, const struct engine_phase *phase, struct engine_result *result,
                char *why, size_t why_size);

uint64_t engine_now_ns(void); /* CLOCK_MONOTONIC */
