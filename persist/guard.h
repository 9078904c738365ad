/* Guard: keeps writers from running ahead of the disk, and says how near they are to that. One for the server, as there
 * is one data directory.
 *
 *      shards  --tell-->  figures  --pace-->  level  --brake-->  writers           every 2 ms while it matters
 *
 *      OPEN       writes come as they like
 *      BRAKING    they come as fast as persist/pace.h says: the disk's speed, in the long run
 *      STOPPED    a limit is reached: they wait
 *      REFUSING   it stayed reached for persist-timeout, or the disk fails: they are refused (-MISCONF), and what is
 *                 asked is answered from memory as ever
 *
 * and back, by itself, as soon as the disk goes on. Limits that do not apply to the policy in force do not count: with
 * `appendfsync always` nothing is acknowledged before it is on the disk, so nothing is stale, and with `no` nothing is
 * promised; the limit on bytes, which is one on memory, holds for all of them. Under `always` a write that waits for
 * the disk longer than persist-timeout is answered with -MISCONF too (commit.h, excuse).
 *
 * Space on the disk is kept for the checkpoint under way and for the log alike (persist/space.h): it is a limit like
 * the others, where there is a log.
 *
 * Threads   any, as said. What shards tell and what they are told is behind atomics; a mutex guards the arithmetic,
 *           which is done by whichever thread comes by when it is due, and the texts. A turn costs two comparisons. */
#pragma once
#include "core/config.h"
#include "core/log.h"
#include "persist/journal.h"
#include "persist/space.h"
#include "shards/brake.h"

struct guard;

enum guard_state { GUARD_OPEN, GUARD_BRAKING, GUARD_STOPPED, GUARD_REFUSING };

/* One thing that is not to grow beyond a limit. */
struct guard_limit {
    const char *name; /* of the option, for people */
    const char *unit; /* of value and limit: "ms" or "bytes" */
    uint64_t value, limit;
    bool applies;      /* else there is no limit, or not under the present policy */
    double level;      /* 1: reached */
    double per_second; /* how fast value has grown of late, smoothed; negative: it shrinks */
};
enum { GUARD_STALENESS, GUARD_UNSYNCED, GUARD_DISK, GUARD_LIMITS };

struct guard_status {
    enum guard_state state;
    struct guard_limit limits[GUARD_LIMITS];
    double level;              /* of the nearest, also of what the disk is trusted with at its present speed */
    uint64_t allowed_rate;     /* BRAKING: bytes of commands a second; 0: nothing, or without limit */
    uint64_t disk_rate;        /* what the disk does, in bytes a second; 0: not known */
    uint64_t window_bytes;     /* what may wait at that speed; UINT64_MAX: without limit */
    uint64_t state_ns;         /* since when it is in this state; monotonic */
    uint64_t brakes, stops;    /* how often it began to brake, and stopped */
    uint64_t staleness_max_ns; /* the highest so far while limited */
    int error;                 /* errno of the disk; 0: fine */
    char reason[256];          /* one sentence for people: what is the matter; "": nothing */
};

struct guard *guard_new(uint32_t shards, struct log *log);
void guard_delete(struct guard *guard);
struct brake *guard_brake(struct guard *guard); /* lives as long */

/* --- a shard, in its turn --- */
/* What its journal says; on: what it does not have counts. Cheap; the rest is O(shards), when it is due. */
void guard_turn(struct guard *guard, uint32_t shard, const struct journal_status *journal, bool on, uint64_t now_ns,
                const struct config *config);
/* How long this shard may sleep before the guard wants to see to its limits. */
uint64_t guard_wait_ns(const struct guard *guard, const struct journal_status *journal, const struct config *config,
                       uint64_t now_ns);

/* What a shard is told. Its version moves when something in it changes. */
struct guard_orders {
    uint64_t version;
    bool refuse;                         /* writes are answered with `refusal` */
    bool excuse;                         /* what waits for the disk (always) is answered with `late` */
    char refusal[480], late[480];        /* replies with their code */
    char patience[480];                  /* to a write that was held back for too long */
    uint64_t sync_every_ns, chunk_bytes; /* for journal_set_pace */
    bool spare;
    bool roomy; /* for journal_set_room */
};
/* What space there is, as of when so many bytes of all journals were on the disk (guard_durable, before it was
 * measured). */
struct guard_space {
    struct space_plan plan;
    uint64_t used, durable;
};
void guard_set_space(struct guard *guard, const struct guard_space *space);
uint64_t guard_durable(const struct guard *guard);
uint64_t guard_spare(const struct guard *guard); /* journal_status.bytes_spare of all */
uint64_t guard_version(const struct guard *guard);
void guard_read_orders(struct guard *guard, struct guard_orders *out);

/* --- any thread --- */
void guard_read_status(struct guard *guard, struct guard_status *out);
