/* See engine.h. One turn of the loop:
 *
 *     dispatch what is due (open loop) -> submit, wait for a completion -> for each completed
 * receive: count replies, record latencies, and when the batch is over encode and queue the next
 * one
 *
 * Queued sends are submitted after FLUSH_SENDS of them even in the middle of a turn, so that a fast
 * server does not run dry while we read the replies of 50 connections. A buffer being sent is only
 * rewritten after all replies to it have come, hence after the kernel has copied it: no send needs
 * a completion. */
#include "perf/engine.h"
#include "perf/connect.h"
#include "perf/reply.h"

#include <assert.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 16384, /* replies of a batch of 64 values of 64 bytes: 4.5 KiB */
    BUFFERS_MIN = 64,     /* 1 MiB cycled through: stays in a 2 MiB L2 */
    BUFFERS_MAX = 4096,
    BUFFER_GROUP = 0,
    FLUSH_SENDS = 8,
    RING_ENTRIES = 1024,
};
static const uint64_t ns_per_s = UINT64_C(1000000000);
static const uint64_t tick_ns = UINT64_C(20000000);       /* how late the end of a stalled window may be seen */
static const uint64_t silence_ns = UINT64_C(60000000000); /* a server that answers nothing so long is dead */
static const uint64_t open_grace_ns = UINT64_C(10000000000);

enum event { EVENT_RECV, EVENT_SEND, EVENT_TICK }; /* low byte of user_data; the connection's index above it */

struct conn {
    int fd;
    uint32_t index;
    uint32_t batch, left; /* requests of the batch on the wire; of these unanswered */
    uint64_t replies;     /* that are still to come for them */
    uint64_t ops;         /* in the window */
    uint64_t errors;      /* replies that were errors and were taken off `ops` */
    uint64_t started_ns;  /* closed loop */
    uint64_t first_op;    /* open loop: number of the batch's first request */
    char *out;
    size_t out_size;
    struct reply_state reply;
    uint64_t *drawn; /* verify: keys whose values are to come */
    uint32_t drawn_count, drawn_next;
    struct engine *engine;
};

struct engine {
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    char *buffer_memory;
    uint32_t buffer_count, conn_count;
    struct conn *conns;
    uint32_t *idle; /* open loop: queue of free connections */
    uint64_t idle_head, idle_tail;
    uint32_t queued; /* sends not submitted yet */
    struct __kernel_timespec tick;
    /* the phase being run */
    struct workload *workload;
    const struct engine_phase *phase;
    struct engine_result *result;
    struct histogram slice; /* latencies of the current interval; merged into the result at its end */
    uint64_t start_ns, now_ns, last_reply_ns, next_interval_ns;
    uint64_t duration_ns; /* of the window, shorter than the phase's when it was stopped */
    uint64_t cpu_start_ns;
    uint64_t issued, answered, target; /* requests; target 0: until the window ends */
    bool window_over;
    char *why;
    size_t why_size;
};

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * ns_per_s + (uint64_t)t.tv_nsec;
}

uint64_t engine_now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

static bool fail(struct engine *e, const char *text, int error) {
    (void)snprintf(e->why, e->why_size, error != 0 ? "%s: %s" : "%s", text,
                   strerror(error)); /* NOLINT(concurrency-mt-unsafe): one thread */
    return false;
}

/* --- the ring --- */

static struct io_uring_sqe *sqe_take(struct engine *e, enum event event, uint32_t index) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&e->ring);
    if (sqe == NULL) {
        (void)io_uring_submit(&e->ring);
        e->queued = 0;
        sqe = io_uring_get_sqe(&e->ring);
        assert(sqe != NULL);
    }
    sqe->user_data = (uint64_t)index << 8 | event;
    return sqe;
}

static void recv_arm(struct engine *e, const struct conn *c) {
    struct io_uring_sqe *sqe = sqe_take(e, EVENT_RECV, c->index);
    uint64_t user_data = sqe->user_data;
    io_uring_prep_recv_multishot(sqe, (int)c->index, NULL, 0, 0);
    sqe->user_data = user_data;
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
}

static void tick_arm(struct engine *e) {
    struct io_uring_sqe *sqe = sqe_take(e, EVENT_TICK, 0);
    uint64_t user_data = sqe->user_data;
    io_uring_prep_timeout(sqe, &e->tick, 0, 0);
    sqe->user_data = user_data;
}

static void flush(struct engine *e) {
    (void)io_uring_submit(&e->ring);
    e->queued = 0;
    e->result->enters++;
}

static void send_queue(struct engine *e, const struct conn *c, size_t len) {
    struct io_uring_sqe *sqe = sqe_take(e, EVENT_SEND, c->index);
    uint64_t user_data = sqe->user_data;
    io_uring_prep_send(sqe, (int)c->index, c->out, len, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->user_data = user_data;
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    if (++e->queued >= FLUSH_SENDS) flush(e);
}

static void buffer_give_back(struct engine *e, uint32_t id, int offset) {
    io_uring_buf_ring_add(e->buffers, e->buffer_memory + (size_t)id * BUFFER_BYTES, BUFFER_BYTES, (uint16_t)id,
                          io_uring_buf_ring_mask(e->buffer_count), offset);
}

/* --- batches --- */

static void conn_issue(struct engine *e, struct conn *c, uint32_t count) {
    struct workload *w = e->workload;
    if (e->phase->verify) {
        w->drawn = c->drawn;
        c->drawn_next = 0;
    }
    c->started_ns = e->now_ns;
    c->first_op = e->issued;
    c->batch = c->left = count;
    c->replies = (uint64_t)count * w->commands;
    e->issued += count;
    size_t len = workload_encode(w, c->out, count);
    c->drawn_count = w->drawn_count;
    send_queue(e, c, len);
}

/* How many requests a free connection may send now; 0: the phase is over for it. */
static uint32_t closed_share(const struct engine *e) {
    if (e->target > 0) {
        uint64_t left = e->target - e->issued;
        return left < e->phase->pipeline ? (uint32_t)left : e->phase->pipeline;
    }
    return e->window_over ? 0 : e->phase->pipeline;
}

static uint64_t due_ns(const struct engine *e, uint64_t op) {
    return e->start_ns + (uint64_t)((double)op * (double)ns_per_s / e->phase->rate);
}

/* Spreads what is due over the free connections. */
static void open_dispatch(struct engine *e) {
    uint64_t due = (uint64_t)((double)(e->now_ns - e->start_ns) * e->phase->rate / (double)ns_per_s) + 1;
    if (due > e->target) due = e->target;
    while (e->issued < due && e->idle_head != e->idle_tail) {
        uint64_t backlog = due - e->issued, free_conns = e->idle_tail - e->idle_head;
        uint64_t share = (backlog + free_conns - 1) / free_conns;
        if (share > e->phase->pipeline) share = e->phase->pipeline;
        struct conn *c = &e->conns[e->idle[e->idle_head++ % e->conn_count]];
        conn_issue(e, c, (uint32_t)share);
    }
}

static void conn_free(struct engine *e, struct conn *c) {
    if (e->phase->rate > 0) {
        e->idle[e->idle_tail++ % e->conn_count] = c->index;
        return;
    }
    uint32_t count = closed_share(e);
    if (count > 0) conn_issue(e, c, count);
}

/* --- replies --- */

static void value_seen(void *context, const char *piece, size_t len, uint64_t offset, int64_t total) {
    struct conn *c = context;
    struct engine *e = c->engine;
    if (c->drawn_next >= c->drawn_count) return; /* a value nobody predicted: another command's */
    uint64_t key = c->drawn[c->drawn_next];
    if (total >= 0 && !workload_value_matches(e->workload, key, piece, len, offset, total)) e->result->wrong++;
    if (total < 0 || offset + len == (uint64_t)total) c->drawn_next++;
}

static void latency_record(struct engine *e, const struct conn *c, uint32_t requests) {
    if (e->phase->rate <= 0) {
        histogram_record(&e->slice, e->now_ns - c->started_ns, requests);
        return;
    }
    uint64_t op = c->first_op + c->batch - c->left;
    for (uint32_t i = 0; i < requests; i++, op++) {
        uint64_t due = due_ns(e, op);
        histogram_record(&e->slice, e->now_ns > due ? e->now_ns - due : 0, 1);
    }
}

static void operations_count(struct conn *c, uint32_t requests) {
    uint64_t failed = c->reply.errors - c->errors;
    if (failed > requests) failed = requests;
    c->errors += failed;
    c->ops += requests - failed;
}

/* The last `requests` that were missing are answered. */
static void requests_end(struct engine *e, struct conn *c, uint32_t requests) {
    /* After the window an open loop still owes its latencies; a closed loop owes nothing. */
    if (!e->window_over || e->phase->rate > 0) latency_record(e, c, requests);
    if (!e->window_over) operations_count(c, requests);
    e->answered += requests;
    c->left -= requests;
    if (c->left == 0) conn_free(e, c);
}

static bool conn_received(struct engine *e, struct conn *c, const char *bytes, size_t len) {
    int64_t replies = reply_skip(&c->reply, bytes, len);
    if (replies < 0) return fail(e, "the server's answer is not RESP", 0);
    if (replies == 0) return true;
    if ((uint64_t)replies > c->replies) return fail(e, "more replies than requests", 0);
    e->now_ns = e->last_reply_ns = engine_now_ns();
    c->replies -= (uint64_t)replies;
    uint32_t commands = e->workload->commands;
    uint32_t left = (uint32_t)((c->replies + commands - 1) / commands); /* a request is open until its last reply */
    if (left < c->left) requests_end(e, c, c->left - left);
    return true;
}

static bool recv_completed(struct engine *e, const struct io_uring_cqe *cqe, struct conn *c, int *given_back) {
    bool fine = true;
    if (cqe->res > 0) {
        uint32_t id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        fine = conn_received(e, c, e->buffer_memory + (size_t)id * BUFFER_BYTES, (size_t)cqe->res);
        buffer_give_back(e, id, (*given_back)++);
    } else if (cqe->res == 0) {
        fine = fail(e, "the server closed a connection", 0);
    } else if (cqe->res != -ENOBUFS) {
        fine = fail(e, "receiving failed", -cqe->res);
    }
    if (fine && !(cqe->flags & IORING_CQE_F_MORE)) recv_arm(e, c);
    return fine;
}

static bool reap(struct engine *e) {
    unsigned head, count = 0;
    int given_back = 0;
    bool fine = true;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&e->ring, head, cqe) {
        count++;
        struct conn *c = &e->conns[cqe->user_data >> 8];
        switch ((enum event)(cqe->user_data & 0xff)) {
        case EVENT_RECV: fine = recv_completed(e, cqe, c, &given_back); break;
        case EVENT_SEND: fine = cqe->res >= 0 || fail(e, "sending failed", -cqe->res); break;
        case EVENT_TICK: tick_arm(e); break;
        }
        if (!fine) break;
    }
    io_uring_buf_ring_advance(e->buffers, given_back);
    io_uring_cq_advance(&e->ring, count);
    return fine;
}

/* --- one phase --- */

static void wait_for_events(struct engine *e) {
    const struct engine_phase *p = e->phase;
    e->result->enters++;
    e->queued = 0;
    bool more_due = p->rate > 0 && e->issued < e->target && e->idle_head != e->idle_tail;
    if (p->spin) {
        (void)io_uring_submit_and_get_events(&e->ring);
    } else if (more_due) {
        uint64_t due = due_ns(e, e->issued), now = engine_now_ns();
        uint64_t wait = due > now ? due - now : 0;
        struct __kernel_timespec timeout = {.tv_sec = (int64_t)(wait / ns_per_s),
                                            .tv_nsec = (long long)(wait % ns_per_s)};
        struct io_uring_cqe *cqe;
        if (wait == 0)
            (void)io_uring_submit_and_get_events(&e->ring);
        else
            (void)io_uring_submit_and_wait_timeout(&e->ring, &cqe, 1, &timeout, NULL);
    } else {
        uint32_t reap = p->reap < e->conn_count / 2 ? p->reap : e->conn_count / 2;
        /* Few connections may be left busy at the end of a phase; then the tick would have to end
         * each sleep. */
        bool ending = e->window_over || (e->target > 0 && e->issued == e->target);
        (void)io_uring_submit_and_wait(&e->ring, reap > 1 && !ending ? reap : 1);
    }
}

static void interval_end(struct engine *e) {
    const struct engine_phase *p = e->phase;
    if (p->interval != NULL && e->slice.total > 0)
        p->interval(p->context, (double)(e->now_ns - e->start_ns) / (double)ns_per_s, &e->slice);
    histogram_merge(&e->result->latency_ns, &e->slice);
    histogram_init(&e->slice);
    e->next_interval_ns = p->interval_ns > 0 ? e->next_interval_ns + p->interval_ns : UINT64_MAX;
}

static void window_end(struct engine *e) {
    e->window_over = true;
    e->result->seconds = (double)(e->now_ns - e->start_ns) / (double)ns_per_s;
    e->result->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - e->cpu_start_ns;
    if (e->phase->window != NULL) e->phase->window(e->phase->context, false);
}

/* Requests that an open loop owes for a window of its length. */
static uint64_t due_in_window(const struct engine *e) {
    return (uint64_t)(e->phase->rate * (double)e->duration_ns / (double)ns_per_s) + 1;
}

static void stop_window(struct engine *e) {
    e->duration_ns = e->now_ns - e->start_ns;
    if (e->phase->rate <= 0 || e->phase->requests > 0) return;
    uint64_t due = due_in_window(e);
    if (due < e->target) e->target = due > e->issued ? due : e->issued;
}

/* Looks at the clock: is the interval over, the window, the whole phase? */
static bool phase_goes_on(struct engine *e) {
    const struct engine_phase *p = e->phase;
    if (e->now_ns >= e->next_interval_ns) interval_end(e);
    if (p->stop != NULL && *p->stop && e->now_ns - e->start_ns < e->duration_ns) stop_window(e);
    bool all_answered = e->target > 0 && e->answered == e->target;
    if (!e->window_over && (all_answered || (p->requests == 0 && e->now_ns - e->start_ns >= e->duration_ns)))
        window_end(e);
    if (!e->window_over) return true;
    if (p->rate <= 0) return e->answered < e->issued;
    return !all_answered && e->now_ns < e->start_ns + e->duration_ns + open_grace_ns;
}

/* What an open loop is still owed is as old as it is: leaving it out would be the omission it
 * exists to avoid. */
static void unanswered_record(struct engine *e) {
    for (uint32_t i = 0; i < e->conn_count; i++) {
        struct conn *c = &e->conns[i];
        e->result->unanswered += c->left;
        latency_record(e, c, c->left);
    }
    for (; e->issued < e->target; e->issued++, e->result->unanswered++)
        histogram_record(&e->slice, e->now_ns - due_ns(e, e->issued), 1);
}

static void phase_begin(struct engine *e) {
    const struct engine_phase *p = e->phase;
    struct engine_result *r = e->result;
    memset(r, 0, sizeof *r);
    histogram_init(&r->latency_ns);
    histogram_init(&e->slice);
    e->issued = e->answered = e->idle_head = e->idle_tail = 0;
    e->window_over = false;
    e->target = p->requests;
    e->duration_ns = p->duration_ns;
    if (p->rate > 0 && p->requests == 0) e->target = due_in_window(e);
    size_t need = workload_bytes(e->workload, p->pipeline);
    for (uint32_t i = 0; i < e->conn_count; i++) {
        struct conn *c = &e->conns[i];
        if (c->out_size < need) {
            free(c->out);
            c->out = malloc(need);
            if (c->out == NULL) abort();
            c->out_size = need;
        }
        workload_prefill(e->workload, c->out, p->pipeline);
        reply_init(&c->reply, p->verify ? value_seen : NULL, c);
        free(c->drawn);
        c->drawn =
            p->verify ? calloc((size_t)p->pipeline * (e->workload->drawn_per_request + 1), sizeof *c->drawn) : NULL;
        c->batch = c->left = 0;
        c->replies = c->ops = c->errors = 0;
    }
    e->workload->drawn = NULL;
    if (p->window != NULL) p->window(p->context, true);
    e->cpu_start_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    e->start_ns = e->now_ns = e->last_reply_ns = engine_now_ns();
    e->next_interval_ns = p->interval_ns > 0 ? e->start_ns + p->interval_ns : UINT64_MAX;
    for (uint32_t i = 0; i < e->conn_count; i++) conn_free(e, &e->conns[i]);
}

static void results_gather(struct engine *e) {
    struct engine_result *r = e->result;
    for (uint32_t i = 0; i < e->conn_count; i++) {
        const struct reply_state *reply = &e->conns[i].reply;
        uint64_t ops = e->conns[i].ops;
        r->ops += ops;
        if (i == 0 || ops < r->conn_ops_min) r->conn_ops_min = ops;
        if (ops > r->conn_ops_max) r->conn_ops_max = ops;
        r->errors += reply->errors;
        r->nils += reply->nils;
        if (r->error_text[0] == '\0') memcpy(r->error_text, reply->error_text, sizeof r->error_text);
    }
}

bool engine_run(struct engine *e, struct workload *w, const struct engine_phase *phase, struct engine_result *result,
                char *why, size_t why_size) {
    e->workload = w;
    e->phase = phase;
    e->result = result;
    e->why = why;
    e->why_size = why_size;
    phase_begin(e);
    while (phase_goes_on(e)) {
        if (phase->rate > 0) open_dispatch(e);
        wait_for_events(e);
        if (!reap(e)) return false;
        e->now_ns = engine_now_ns();
        if (e->answered < e->issued && e->now_ns - e->last_reply_ns > silence_ns)
            return fail(e, "the server has not answered for 60 s", 0);
        if (e->answered == e->issued) e->last_reply_ns = e->now_ns;
    }
    if (phase->rate > 0) unanswered_record(e);
    interval_end(e);
    results_gather(e);
    return true;
}

/* --- opening and closing --- */

static bool ring_open(struct engine *e) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = 2 * e->conn_count + 1024,
    };
    int error = io_uring_queue_init_params(RING_ENTRIES, &e->ring, &params);
    if (error < 0) return fail(e, "io_uring (kernel 6.1 or later)", -error);
    (void)io_uring_register_ring_fd(&e->ring); /* saves a descriptor look-up per call; fine without */

    int *fds = malloc(e->conn_count * sizeof *fds);
    if (fds == NULL) abort();
    for (uint32_t i = 0; i < e->conn_count; i++) fds[i] = e->conns[i].fd;
    error = io_uring_register_files(&e->ring, fds, e->conn_count);
    free(fds);
    if (error < 0) return fail(e, "registering connections", -error);

    e->buffer_count = BUFFERS_MIN;
    while (e->buffer_count < e->conn_count && e->buffer_count < BUFFERS_MAX) e->buffer_count *= 2;
    size_t ring_bytes = e->buffer_count * sizeof(struct io_uring_buf);
    e->buffers = aligned_alloc(4096, (ring_bytes + 4095) / 4096 * 4096);
    e->buffer_memory = aligned_alloc(4096, (size_t)e->buffer_count * BUFFER_BYTES);
    if (e->buffers == NULL || e->buffer_memory == NULL) abort();
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)e->buffers, .ring_entries = e->buffer_count, .bgid = BUFFER_GROUP};
    error = io_uring_register_buf_ring(&e->ring, &reg, 0);
    if (error < 0) return fail(e, "registering buffers", -error);
    io_uring_buf_ring_init(e->buffers);
    for (uint32_t i = 0; i < e->buffer_count; i++) buffer_give_back(e, i, (int)i);
    io_uring_buf_ring_advance(e->buffers, (int)e->buffer_count);
    return true;
}

struct engine *engine_open(const struct engine_target *target, uint32_t conns, char *why, size_t why_size) {
    struct engine *e = calloc(1, sizeof *e);
    if (e == NULL) abort();
    e->ring.ring_fd = -1;
    e->why = why;
    e->why_size = why_size;
    e->tick.tv_nsec = (long long)tick_ns;
    e->conns = calloc(conns, sizeof *e->conns);
    e->idle = calloc(conns, sizeof *e->idle);
    if (e->conns == NULL || e->idle == NULL) abort();
    for (; e->conn_count < conns; e->conn_count++) {
        struct conn *c = &e->conns[e->conn_count];
        *c = (struct conn){.fd = connect_open(target, why, why_size), .index = e->conn_count, .engine = e};
        if (c->fd < 0) goto failed;
    }
    if (!ring_open(e)) goto failed;
    (void)prctl(PR_SET_TIMERSLACK, 1UL); /* an open loop sleeps to the microsecond */
    for (uint32_t i = 0; i < conns; i++) recv_arm(e, &e->conns[i]);
    tick_arm(e);
    return e;
failed:
    engine_close(e);
    return NULL;
}

void engine_close(struct engine *e) {
    if (e->ring.ring_fd >= 0) io_uring_queue_exit(&e->ring);
    for (uint32_t i = 0; i < e->conn_count; i++) {
        (void)close(e->conns[i].fd);
        free(e->conns[i].out);
        free(e->conns[i].drawn);
    }
    free(e->buffers);
    free(e->buffer_memory);
    free(e->idle);
    free(e->conns);
    free(e);
}
