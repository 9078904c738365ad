/* Checkpoints: when the shards save themselves, and when what they saved becomes the truth.
 *
 *      IDLE -> PREPARING -> CUTTING -> SAVING -> CLOSING -> PUBLISHING -> ENDING -> IDLE
 *                              |          |         |            |           ^
 *                              '----------'---------'----------- UNDOING ----'    FLUSHALL and its like: again
 *
 * PREPARING   where there is no manifest yet, one is written, of what the server began with: files that a crash left
 *             without one would keep the next server from starting.
 * CUTTING     a transaction over all shards ("sherd.cut"): each begins a new segment of its journal, and its file.
 * SAVING      each for itself (persist/checkpoint.h), until what all files say is settled.
 * CLOSING     a second one: whatever is in a file belongs to a transaction that is over on all its shards by now. When
 *             each journal is durable up to here, nothing that is in a file can be lost elsewhere. With `appendonly no`
 *             the journal has been on since the first cut and is off from here on. Meanwhile the files' ends reach the
 *             disk and are read back.
 * PUBLISHING  the manifest is replaced. Then the segments from before the first cut, and the files of the checkpoint
 *             before, are no longer needed.
 *
 * Threads   one struct checkpoints for the server, in which each thread has a member. A member calls its turn; the one
 *           of shard 0 also decides. They share what is under one mutex, which is taken when something changes and
 *           about once a second; in between a turn costs two comparisons. Whoever has news for another wakes it. */
#pragma once
#include "core/config.h"
#include "core/log.h"
#include "persist/checkpoint.h"
#include "persist/manifest.h"

struct checkpoints;
struct checkpoints_member;

struct checkpoints_options {
    uint32_t shards;
    uint64_t boot; /* of the journal's generation */
    const struct datadir *dir;
    struct manifest *manifest; /* borrowed; shard 0's from start on, and always what the file says */
    struct log *log;
    uint64_t now_ms; /* LASTSAVE says so until the first one */
};
/* Before the threads start, and after they ended. */
struct checkpoints *checkpoints_new(const struct checkpoints_options *options);
void checkpoints_delete(struct checkpoints *checkpoints);

/* --- a member: its thread only --- */

/* A cut as the journal of the shard has it. */
struct checkpoint_cut {
    uint64_t batch;   /* the latest that is closed: all before the cut, and nothing else */
    uint64_t segment; /* that is written from here on */
    bool on;          /* the journal goes on */
    uint64_t log;     /* bytes between the cut before and this one */
};
enum checkpoint_cut_kind { CUT_BEGIN, CUT_END };
/* Decided once, by shard 0, and the same for all: their copies of the options may differ for a moment. */
struct checkpoint_cut_order {
    enum checkpoint_cut_kind kind;
    uint64_t number; /* of the checkpoint */
    bool logs;       /* appendonly: the journal stays on after END */
    bool gates;      /* appendfsync always, too: replies wait for the disk from here on */
};
/* What the member asks of the journal. */
struct checkpoint_journal {
    void *ctx;
    /* In the middle of a turn, at the instant of the cut: closes the batch. BEGIN: a new segment begins, and the
     * journal is on from here. END: it is off from here if appendonly says so; all there is goes to the disk now. */
    struct checkpoint_cut (*cut)(void *ctx, const struct checkpoint_cut_order *order);
    void (*drop_before)(void *ctx, uint64_t segment); /* the manifest names those from here on, and no others */
    void (*leave)(void *ctx);                         /* perhaps it names them: all segments stay */
    void (*gave_up)(void *ctx); /* it does not: off, if appendonly says so, and those of the checkpoint alone go */
};
struct checkpoints_member_options {
    struct checkpoint_options file; /* of this shard */
    struct checkpoint_journal journal;
};
/* Also makes itself the shard's cutter. */
struct checkpoints_member *checkpoints_join(struct checkpoints *checkpoints,
                                            const struct checkpoints_member_options *options);
void checkpoints_leave(struct checkpoints_member *member); /* idle */

struct checkpoints_turn {
    uint64_t now_ns;
    uint64_t batch, batch_durable; /* of the journal: closed, and on the disk */
    uint64_t journal_bytes;        /* since the latest cut */
    int journal_errno;             /* what keeps it from going on; 0: fine */
    bool busy;                     /* the turn had commands to run */
    bool works;                    /* a command keeps its keys over several turns (shards/work.h) */
};
/* At the end of the turn, after its batch was closed. True: there is more to do right now. */
bool checkpoints_turn(struct checkpoints_member *member, const struct checkpoints_turn *turn);
bool checkpoints_save_ok(const struct checkpoints_member *member); /* the last save went well, or there was none */
uint64_t checkpoints_wait_ns(const struct checkpoints_member *member, uint64_t now_ns); /* when it wants a turn */
/* The server stops: what is under way is given up. Turns go on until it is idle. */
void checkpoints_stop(struct checkpoints_member *member);
bool checkpoints_idle(const struct checkpoints_member *member); /* nothing of it is at the disk */

/* --- any thread --- */
enum checkpoint_why { WHY_SAVE, WHY_BGSAVE, WHY_REWRITE, WHY_RULE, WHY_GROWTH, WHY_SPACE, WHY_END, WHY_EXPORT };
enum checkpoint_answer {
    ANSWER_STARTED,
    ANSWER_SCHEDULED, /* one of the other kind is under way; this one follows */
    ANSWER_SAVING,    /* a save is under way or asked for */
    ANSWER_REWRITING, /* a rewrite is */
};
/* Asks for one. schedule: should one of the other kind be under way, this one follows it. WHY_END, the last save of a
 * server, follows whatever is under way, so that it begins after it was asked for. ticket (may be NULL) names it for
 * checkpoints_outcome; when it is refused, the one that is in its way. from: the shard of the thread that asks; shard 0
 * is woken. */
enum checkpoint_answer checkpoints_ask(struct checkpoints *checkpoints, struct shard *from, enum checkpoint_why why,
                                       bool schedule, uint64_t *ticket);
/* What is done with a checkpoint that has become the truth, before anything that it needs can be replaced. manifest
 * names it and its journal up to its second cut, and nothing later. On the background thread. */
struct checkpoint_sequel {
    void (*work)(void *ctx, const struct manifest *manifest); /* NULL: nothing */
    void *ctx;
};
/* Asks for one that begins after now, as WHY_END does, and for its sequel; returns the ticket. One at a time. */
uint64_t checkpoints_ask_then(struct checkpoints *checkpoints, struct shard *from, struct checkpoint_sequel sequel);
enum checkpoint_outcome { OUTCOME_PENDING, OUTCOME_OK, OUTCOME_FAILED };
enum checkpoint_outcome checkpoints_outcome(struct checkpoints *checkpoints, uint64_t ticket);

/* What there is room for: a new one may take so many bytes, else it is not begun (and who asked for it has an error);
 * tight: one is due, before that is so. */
void checkpoints_set_room(struct checkpoints *checkpoints, uint64_t left_bytes, bool tight);

/* What INFO says. Times in seconds of unix time, durations in seconds; -1: never, or not now. */
struct checkpoints_shard_status {
    enum checkpoint_state state;
    uint64_t keys, keys_total, bytes;
};
struct checkpoints_status {
    bool saving, rewriting, save_scheduled, rewrite_scheduled;
    bool last_save_ok, last_rewrite_ok;
    int64_t last_save_time_s, last_save_took_s, current_save_s, last_rewrite_took_s, current_rewrite_s;
    uint64_t saves, rewrites, rewrites_failed_in_a_row; /* since start; successful ones */
    uint64_t changes;                                   /* since the last one, a moment old */
    uint64_t changes_saved;                             /* before it: what shared.dirty of all shards was then */
    uint64_t number;                                    /* of the one under way, or of the last one */
    uint64_t keys, keys_total;                          /* of the one under way */
    uint64_t base_bytes, journal_bytes;                 /* of the last one; since its cut, a moment old */
    uint64_t expected_bytes;                            /* of one that begins now; 0: not known */
    double rate;                                        /* of the last one, bytes a second; 0: not known */
    uint64_t bytes;                                     /* of the one under way, so far */
    double seconds;                                     /* since it began */
    uint32_t shards;
    struct checkpoints_shard_status shard[SHARDS_MAX];
};
void checkpoints_read_status(struct checkpoints *checkpoints, uint64_t now_ms, struct checkpoints_status *out);
