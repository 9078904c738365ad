/* Checkpoints, inside: what the members share, and how checkpoints*.c divide the work: checkpoints.c moves the phases,
 * checkpoints_ask.c says when one is due and what has become of it, checkpoints_publish.c replaces the manifest. */
#pragma once
#include "core/assert.h"
#include "persist/checkpoints.h"
#include <pthread.h>
#include <stdatomic.h>

enum phase {
    PHASE_IDLE,
    PHASE_PREPARING,
    PHASE_CUTTING,
    PHASE_SAVING,
    PHASE_CLOSING,
    PHASE_PUBLISHING,
    PHASE_ENDING,
    PHASE_UNDOING
};
enum order {
    ORDER_NONE,
    ORDER_KEEP,   /* it is the truth: what it replaces may go */
    ORDER_LEAVE,  /* perhaps it is: nothing goes, neither old nor new */
    ORDER_REMOVE, /* it is worth nothing */
};

/* What a member tells. */
struct seat {
    struct checkpoint_facts facts;
    uint64_t begun; /* number of the cut that it took part in */
    bool closed;    /* and in the second one */
    bool durable;   /* its journal is on the disk up to there */
    bool broken;    /* its journal cannot be written for long */
    struct checkpoint_cut begin, end;
    uint64_t changes, changes_at_cut; /* since start; as Redis counts them */
    uint64_t journal_bytes;
    bool works;                       /* a command has been at it for several turns */
    uint64_t data_bytes, data_at_cut; /* of memory: what a checkpoint comes to goes with it */
};

struct request_of_one { /* a checkpoint that somebody wants */
    bool wanted;
    enum checkpoint_why why;
    uint64_t ticket;
    struct checkpoint_sequel sequel;
};

struct checkpoints {
    /* --- constant --- */
    uint32_t shards;
    uint64_t boot;
    const struct datadir *dir;
    struct log *log;

    /* --- seen by all; moved under the lock --- */
    _Alignas(CACHE_LINE) _Atomic uint64_t orders; /* how often there was something new for the members */
    _Atomic uint64_t tidings;                     /* and for shard 0 */

    /* --- under the lock --- */
    pthread_mutex_t lock;
    enum phase phase;
    enum order order;
    uint64_t number; /* of the one under way, or the last one */
    bool stopping;
    bool again; /* it was overtaken: UNDOING is followed by another one */
    struct request_of_one now, next;
    uint64_t tickets; /* given out */
    uint64_t over;    /* the latest ticket that is decided */
    bool over_ok;
    uint64_t started_ms; /* unix time; of the one under way */
    bool save_ok, rewrite_ok;
    uint64_t saved_ms; /* LASTSAVE */
    int64_t save_took_ms, rewrite_took_ms;
    uint64_t saves, rewrites, rewrites_failed;
    uint64_t changes_saved;         /* of all shards, at the cut of the last one */
    uint64_t base_bytes, base_data; /* of its files; and data_bytes of all seats meanwhile, 0: not known */
    double base_rate;               /* at which it was written, bytes a second; 0: not known */
    uint64_t left_bytes;            /* that a new one may take; UINT64_MAX: as much as it likes */
    bool tight;                     /* it is time for one, before there is no room */
    uint64_t refused_ns;            /* when one was refused last that nobody asked for */
    struct seat seats[SHARDS_MAX];

    /* --- shard 0's --- */
    struct manifest *manifest;
    uint64_t try_ns;      /* after a failure: not before */
    uint64_t put_off_ns;  /* since when a cut is put off; 0: it is not */
    uint64_t progress_ns; /* when the next line is due */
};

struct checkpoints_member {
    struct checkpoints *all;
    struct shard *shard;
    struct checkpoint *checkpoint;
    struct checkpoint_journal journal;
    uint64_t number; /* it takes part in this one; 0: in none */
    bool closed, durable, broken, stopped;
    bool save_ok; /* as of the last look */
    struct checkpoint_cut begin, end;
    uint64_t changes_at_cut, data_at_cut;
    uint64_t well_ns; /* when its journal had no error last */
    /* what the others know */
    enum checkpoint_state told;
    uint64_t told_bytes; /* of the journal */
    bool news;
    uint64_t seen_orders, seen_tidings;
    uint64_t look_ns;
    uint64_t now_ns;
};

#define CHECKPOINT_RETRY_NS 5000000000ull

HOT_INLINE bool why_is_rewrite(enum checkpoint_why why) {
    return why == WHY_REWRITE || why == WHY_GROWTH || why == WHY_SPACE;
}

/* Under the lock: is one due by itself? config is shard 0's copy. */
bool checkpoints_due(const struct checkpoints *all, const struct config *config, uint64_t now_ms,
                     enum checkpoint_why *why);
uint64_t checkpoints_expected(const struct checkpoints *all); /* bytes of one that begins now; 0: not known */
uint64_t checkpoints_changes(const struct checkpoints *all);  /* since the last one */

/* Shard 0: the manifest that names this checkpoint is written, by a job; done says whether it is (true) the truth. */
typedef void (*publish_done)(void *ctx, bool ok, const struct error *error);
void checkpoints_publish(struct checkpoints_member *member, publish_done done);
/* Shard 0, before the first file: there is a manifest, if there was none, of what the server began with. */
void checkpoints_prepare(struct checkpoints_member *member, publish_done done);
