/* Server: N threads, what they share before and after they run, and nothing else.
 *
 * Life      server_new(config) -> server_start -> (signals) -> server_stop -> server_join -> server_delete, all on the
 *           main thread. Between start and join the main thread only waits for signals.
 * Shared    constant after start: options of start-up, the registry, mailboxes, seeds. The one thing that changes is
 *           the master copy of the options: a mutex guards it, and each thread copies it when its version moves
 *           (server_config_version is one read-only cache line per turn). */
#pragma once
#include "core/config.h"
#include "core/hash.h"
#include "core/log.h"
#include "net/ceiling.h"
#include "net/log_file.h"
#include "net/machine.h"
#include "shards/command.h"
#include <pthread.h>
#include <stdatomic.h>

struct thread;
struct mailbox;
struct persist;
struct disk_worker;

struct listener {
    int fd;
    bool is_unix;
    bool resting;            /* of its thread: there were no descriptors */
    struct thread *endpoint; /* whose own port it is (option cluster-ports); NULL: it is for any thread */
};

struct server {
    /* --- constant while threads run --- */
    uint32_t thread_count;
    struct thread *threads; /* thread_count of them */
    uint64_t clients_max;   /* for which there are descriptors, whatever maxclients says */
    struct command_registry *registry;
    struct heap *start_heap;         /* the main thread's: registry */
    struct mailbox **mailboxes;      /* [from * thread_count + to] */
    struct disk_worker *disk_worker; /* the background thread; from start to delete */
    struct hash_seed hash_seed;
    uint64_t random_seed;
    struct machine machine;
    struct listener *listeners;
    uint32_t listener_count, listener_cap;
    struct log log;
    struct log_file log_file;
    struct persist *persist;
    char config_path[CONFIG_PATH_MAX];
    char executable[CONFIG_PATH_MAX];
    char run_id[41];
    uint64_t started_ms; /* unix time */
    double tick_ns;
    int stop_fd;  /* eventfd; readable when the server stops */
    char os[256]; /* uname: "Linux 6.18.44 x86_64" */

    struct ceiling ceiling;

    /* --- options --- */
    pthread_mutex_t config_lock;
    struct config config; /* the master copy, under config_lock */
    _Alignas(CACHE_LINE) _Atomic uint64_t config_version;

    /* --- changed by several threads, rarely --- */
    _Alignas(CACHE_LINE) _Atomic uint64_t client_count;
    _Atomic uint64_t next_client_id;
    _Atomic uint32_t moves;        /* clients on their way between threads, or about to be (net/move.h) */
    _Atomic uint32_t looks;        /* commands that look at all clients, and want none to be on its way */
    _Atomic uint64_t used_startup; /* bytes in all heaps once everything had started */
    _Atomic uint64_t used_peak;    /* largest sum over all heaps seen */
    _Atomic uint32_t ready;        /* threads that finished starting */
    _Atomic uint32_t failed;       /* of them, those that could not */
    _Atomic uint32_t drained;      /* threads with nothing outstanding while stopping */
    _Atomic uint32_t left;         /* threads that run no more turns and so name no other thread's ring */
    _Atomic uint32_t heard;        /* threads that have read what the others posted before they left */
    _Atomic uint32_t emptied;      /* threads that hold nothing of another's heap any more and look at none */
    _Atomic uint64_t refusals;     /* how often the end was called off, as the last save had failed */
    _Atomic int end_how;           /* enum persist_end_how: what SHUTDOWN asked for */
    struct error start_error;      /* of the first that failed, under config_lock */
};

/* Fills everything that needs no thread. config is copied. After a failure *out is to be deleted, too, unless NULL. */
NODISCARD enum status server_new(struct server **out, const struct config *config, const char *config_path,
                                 struct error *error);
NODISCARD enum status server_start(struct server *server, struct error *error);
/* How many clients may be connected: maxclients, or fewer for want of descriptors. */
uint64_t server_clients_max(const struct server *server, const struct config *config);
enum server_loaded { SERVER_LOADING, SERVER_LOADED, SERVER_NOT_LOADED };
enum server_loaded server_loaded(const struct server *server);
/* Asks for the end, and again and again server_may_stop: ST_FULL: not yet, it is saving; ST_IO: that failed, the server
 * goes on; ST_OK: it stops, join it. now: without saving. */
void server_stop(struct server *server, bool now);
enum status server_may_stop(struct server *server);
void server_join(struct server *server);
void server_delete(struct server *server);

/* --- any thread --- */
const struct command *const *server_command_tables(void); /* of all floors, ended by NULL */
/* All or nothing; text of the error as Redis words it. Threads follow in their next turn. */
NODISCARD enum status server_config_set(struct server *server, const struct config_pair *pairs, unsigned count,
                                        bool client_is_local, struct error *error);
/* Bytes in all heaps. O(threads). */
uint64_t server_used_bytes(const struct server *server);
/* Copies the master options if version is not current; returns the current version. */
uint64_t server_config_read(struct server *server, uint64_t version, struct config *out);
