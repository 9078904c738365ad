/* Runtime: what the commands of this floor ask of the running server (net/server.c, net/thread.c fill this in).
 *
 * The command files know shards, clients and replies; they do not know threads, sockets, files or the process. The
 * few things they need from there are these functions. All are called on the connection's own thread. */
#pragma once
#include "core/alloc.h"
#include "core/slice.h"
#include "core/status.h"
#include "net/ceiling.h"

struct exec;
struct gather;
struct client;
struct shard;

/* The Redis whose behaviour clients may expect: what HELLO, INFO and LOLWUT say. Libraries compare it (Sidekiq wants
 * 7.2, rueidis decides by it), so it is a statement about commands, not about this program; that is SHERD_VERSION. */
#define SPOKEN_REDIS_VERSION "7.2.4"
#ifndef SHERD_VERSION
#define SHERD_VERSION "0.0.0"
#endif

/* CONFIG SET: pairs holds 2 * count slices, name and value in turn; all are set or none. On failure error->text is the
 * reply without "-ERR ". The thread that asked sees the new values when this returns. Protected
 * options require a client that net_client_is_local. */
NODISCARD enum status net_config_set(struct exec *x, const struct slice *pairs, uint32_t count, struct error *error);
/* On this machine: loopback or a unix socket. A client without a carrier, or none at all, is the server itself. */
bool net_client_is_local(const struct client *client);
/* CONFIG REWRITE. On failure error->text is the reply without "-ERR "; "The server is running without a config file"
 * when there is none. */
NODISCARD enum status net_config_rewrite(struct exec *x, struct error *error);

enum shutdown_how {
    SHUTDOWN_NOSAVE = 1 << 0,
    SHUTDOWN_SAVE = 1 << 1,
    SHUTDOWN_NOW = 1 << 2,
    SHUTDOWN_FORCE = 1 << 3,
};
/* Starts an orderly shutdown; returns at once and nothing is replied. x->client waits until the server closes it, or is
 * told that its last save has failed. */
void net_shutdown(struct exec *x, unsigned how); /* enum shutdown_how bits */
/* SHUTDOWN ABORT: false when none is in progress. */
bool net_shutdown_abort(struct exec *x);

/* Facts about the process. Strings are borrowed and live as long as the server. Numbers may be a moment old; one that
 * is not known is 0. */
struct runtime_facts {
    /* who */
    int pid, port, threads, hz;
    const char *run_id;      /* 40 hexadecimal digits, drawn at start */
    const char *os;          /* uname: "Linux 6.18.44 x86_64" */
    const char *executable;  /* absolute path */
    const char *config_file; /* absolute path, "" for none */
    const char *supervisor;  /* "no", "systemd", "upstart" */
    const char *event_api;   /* "io_uring" */
    char allocator[ALLOC_NAME_MAX];
    uint64_t clients_max; /* maxclients, or fewer for want of descriptors */
    uint64_t started_ms;  /* unix time */
    uint64_t uptime_s;

    /* memory, bytes */
    uint64_t rss, rss_peak; /* of the process: VmRSS, VmHWM */
    uint64_t used_peak;     /* largest sum over all heaps that was seen */
    uint64_t used_startup;  /* sum over all heaps once everything had started */
    uint64_t total_system_memory;
    uint64_t memory_limit; /* of the cgroup; 0: none */
    struct ceiling_facts memory;

    /* cpu, microseconds since the start */
    uint64_t cpu_user_us, cpu_system_us;               /* process */
    uint64_t cpu_user_thread_us, cpu_system_thread_us; /* this thread */

    /* rates over about the last second, all threads together */
    double ops_per_second, input_kbps, output_kbps; /* kilobytes per second */

    uint16_t node[SHARDS_MAX]; /* of memory, by shard */
};
/* shard is the asking thread's. Reads a few files of /proc: about 50 us. */
void net_runtime_facts(struct shard *shard, struct runtime_facts *out);

/* --- persistence --- */
struct checkpoints;
struct guard;
/* Behind SAVE and its like (persist/checkpoints.h); NULL: the server has no data directory and saves nothing. */
struct checkpoints *net_checkpoints(const struct shard *shard);
struct guard *net_guard(const struct shard *shard); /* persist/guard.h */
struct live_export;
struct live_export *net_live_export(const struct shard *shard); /* NULL as above */

/* A moment old. */
struct persist_shard_facts {
    uint64_t batch_written, batch_durable; /* of its journal: closed, and on the disk */
    uint64_t bytes_pending;                /* closed, and not as safe yet as appendfsync asks */
    uint64_t staleness_ms;                 /* how long the oldest of them has been waiting */
};
struct persist_facts {
    bool loading;
    uint64_t loading_started_s, loading_total_bytes, loading_done_bytes;
    uint64_t keys_loaded, keys_expired_at_load;
    bool journal_on;
    bool log_stands;   /* and a restart would find it */
    int journal_errno; /* what keeps some shard's journal from going on; 0: nothing */
    uint32_t shards;
    struct persist_shard_facts shard[SHARDS_MAX];
};
void net_persist_facts(const struct shard *shard, struct persist_facts *out);
