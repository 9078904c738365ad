/* Ceiling: how much memory the process may use, and whether it does.
 *
 * `maxmemory` that nobody has set is 80% of what the cgroup allows, or of the machine's memory: the rest is for what is
 * charged beside the process (its sockets' buffers, page tables, files in the page cache) and for the moment in which
 * something is noticed. The cgroup is asked again every second, so that a container may be resized. `maxmemory 0` in
 * so many words means no ceiling, as in Redis.
 *
 * The main thread, which has nothing else to do, measures the resident set and gives the shards the budget that follows
 * (ceiling.c has the drawing; shards/ledger.h what they do with it): ten times a second, and every few milliseconds
 * while the ceiling is near and anything moves. A sample for the shards, which do things once per sample, is every
 * tenth of a second all the same.
 *
 * Threads   ceiling_open before the threads start; ceiling_watch is the main thread's; ceiling_changed whoever holds
 *           the options' lock; ceiling_read anybody. A mutex orders the first three; none is on the hot path. */
#pragma once
#include "core/config.h"
#include "net/machine.h"
#include "shards/ledger.h"
#include <pthread.h>

#define CEILING_WHY_MAX 160

struct server;

/* The least, or the most, of the last seconds: that of this stretch of some and of the one before. */
struct recent {
    int64_t bytes, before;
    uint64_t began_ns;
};

struct ceiling {
    struct ledger ledger; /* what the shards share */
    /* --- under the mutex --- */
    pthread_mutex_t lock;
    uint64_t maxmemory; /* the option */
    bool given;         /* somebody set it */
    int64_t clients;    /* maxmemory-clients, as in struct config */
    uint64_t limit;     /* of the cgroup; UINT64_MAX: none */
    uint64_t looked_ns, purged_ns, rated_ns, sampled_ns, moved_ns;
    int64_t budget;                /* as the shards know it */
    struct recent floor;           /* the least that was in no block */
    struct recent swing;           /* the most that clients had of their share, and heaps beyond the floor */
    int64_t overhead_least;        /* code, stacks, receive buffers: what is resident besides the heaps at least */
    bool at_once;                  /* heaps give back at once what they free */
    int64_t below_aim;             /* so much may become resident until nothing is free */
    int64_t journal, journal_seen; /* bytes of all journals, and when they were noted last */
    uint64_t drained_ns;           /* when they were found to have become less */
    unsigned beyond;               /* samples in a row that found more resident than should be */
    uint64_t rated_used;
    uint64_t held; /* ledger_place.held of all shards, with the last sample */
    /* --- what came of it; relaxed, for ceiling_read --- */
    _Alignas(CACHE_LINE) _Atomic uint64_t bytes; /* the ceiling; 0: none */
    _Atomic uint64_t share;                      /* of clients, all shards together; 0: none */
    _Atomic uint64_t resident, used;
    _Atomic uint64_t resident_peak_permille; /* the largest resident set seen, by the ceiling of that time */
    _Atomic bool braked;                     /* writers are slowed down beyond ordinary eviction */
    _Atomic int64_t per_second;              /* how fast `used` grows */
};

void ceiling_open(struct server *server);
void ceiling_close(struct server *server);
/* Reads the resident set and adjusts the budget; asks the cgroup once a second. Logs a ceiling that moved. Returns
 * after how many milliseconds it wants to be called again. */
NODISCARD unsigned ceiling_watch(struct server *server);
/* Options changed: they apply when this returns. The caller holds the options' lock. */
void ceiling_changed(struct server *server);
/* What was chosen and why, for a person. */
void ceiling_explain(const struct server *server, char out[CEILING_WHY_MAX]);

/* --- how it stands, for INFO, MEMORY DOCTOR and whoever guards the server --- */
struct ceiling_facts {
    uint64_t ceiling;                /* bytes; 0: none */
    uint64_t used;                   /* all heaps */
    uint64_t resident;               /* of the process, a sample old */
    int64_t overhead;                /* resident beyond what heaps count */
    int64_t free;                    /* of the budget: what may still be used for data; negative: too much is */
    uint64_t client_share;           /* of all clients; 0: not bounded */
    uint64_t clients;                /* bytes of replies, input and messages */
    uint64_t uncovered;              /* of these, what they may not have */
    uint64_t slack;                  /* free blocks in pages of small entries */
    int64_t per_second;              /* how fast used grows, bytes */
    uint64_t refused;                /* commands answered -OOM, */
    uint64_t waited;                 /* that waited for room, */
    uint64_t evicted_bytes;          /* of keys that went for it, */
    uint64_t dropped;                /* clients closed for what they held: since the start */
    uint64_t resident_peak_permille; /* the largest resident set seen, by the ceiling of that time */
    bool braked;                     /* more is resident than the ceiling allows, and writers are slowed down for it */
};
void ceiling_read(const struct server *server, struct ceiling_facts *out);
/* Seconds until the ceiling is reached at the present rate; UINT64_MAX: never. */
uint64_t ceiling_seconds_left(const struct ceiling_facts *facts);
