/* Thread: one pinned thread with its ring, its shard and its connections, and the turn that drives them:
 *
 *    wait -> reap completions and parse -> run the batch -> mailboxes, slices, timers -> flush replies -> (submit with
 *    the next wait)
 *
 * Every thread is equal; the first also accepts and hands each socket to the thread that has the fewest. Threads share
 * nothing but mailboxes and the words under "seen by others".
 *
 * Owner     the thread itself, except where said. */
#pragma once
#include "net/conn.h"
#include "net/disk_ring.h"
#include "net/ring.h"
#include "net/server.h"
#include "shards/shard.h"

struct thread {
    struct server *server;
    struct shard *shard;
    struct ring *ring;
    struct disk_ring *disk;
    struct config config; /* this thread's copy */
    uint64_t config_version;
    struct clock clock;
    uint32_t id;
    uint32_t cpu;
    uint16_t node; /* of memory, that of the CPU */
    pthread_t handle;

    struct conn *attend, **attend_end;   /* may be parsed again, or are to be closed */
    struct conn *starved, **starved_end; /* to be received from when there are buffers, in order */
    uint16_t buffers[4096]; /* receive buffers of this turn, given back after the batch ran, or when there is room */
    uint32_t buffer_count;
    uint32_t conn_count;
    uint64_t next_timeout_ns; /* next look for idle connections */
    uint64_t started_ns;
    uint64_t published_ns, published_ops, published_in, published_out, published_busy_ns;
    uint64_t stop_by_ns; /* stopping: 0 while running */
    struct persist_part *persist;
    bool ending;       /* the server is to stop, when persist/ lets it */
    bool asked_end;    /* some client has WAIT_END */
    uint64_t refusals; /* of the server, by then */
    bool listening;    /* listener_start was called: see listen_when_loaded */
    bool accepting, drained;
    uint64_t accept_again_ns; /* there were no descriptors, and nothing is accepted until then; 0: all goes on */
    uint64_t accept_told_ns;  /* when that may be logged again */
    bool crowded;             /* there are more threads than CPUs */
    bool busy;                /* something came in since this thread last let the others run */
    uint64_t moves_until_ns;  /* until then so many clients may still move away (net/move.c) */
    uint32_t moves_left;

    /* --- seen by others --- */
    /* On one line, because a sender writes the first and then reads the second. */
    _Alignas(CACHE_LINE) _Atomic uint64_t pending; /* mailboxes that have something; written by senders */
    _Atomic bool asleep;                           /* set by this thread, cleared by whoever wakes it */
    _Alignas(CACHE_LINE) _Atomic uint32_t load;    /* connections here or on their way; written by the acceptor, too */
    _Atomic int ring_fd;
    _Atomic uint64_t ops_per_second, in_per_second, out_per_second; /* over the last second or so */
    _Atomic uint32_t busy_permille; /* of it, this thread's CPU time; stays what it was while the thread sleeps */
};

/* Runs until the server stops. arg is the struct thread, filled by the server but for what the thread makes itself. */
void *thread_main(void *arg);

/* --- for conn and listener, on the thread --- */
HOT_INLINE struct thread *thread_of(const struct shard *shard) {
    return shard->host.ctx;
}
/* The client waits (WAIT_END) until the server ends, or does not. */
void thread_wait_for_end(struct thread *thread, struct client *client);
void thread_attend(struct thread *thread, struct conn *conn);
/* Its receive found no buffer, and ended: it is attended when there are some. */
void thread_starve(struct thread *thread, struct conn *conn);
