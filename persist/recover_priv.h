/* Recovery's insides, shared by its stages: recover_plan.c (what is there), recover_verify.c, recover_join.c,
 * recover_pieces.c, recover_load.c, and recover.c, which leads the threads through them. */
#pragma once
#include "core/log.h"
#include "persist/cut.h"
#include "persist/frontier.h"
#include "persist/recover.h"
#include "persist/segment.h"
#include <stdatomic.h>

/* Where a group of effects that was written in pieces ends (persist/recover_pieces.c). */
struct recovery_end {
    uint64_t stamp, seq, offset; /* batch, and where in its payload */
};

/* A file of the journal, and what VERIFY found in it. */
struct recovery_segment {
    uint64_t number;
    uint32_t chain;

    /* --- written by the thread that verified it --- */
    enum status opened; /* ST_NOT_FOUND: nothing was written to it, or it was recycled and holds another journal's */
    int os_errno;
    struct segment_header header;
    uint64_t size, end_offset; /* of the file; behind its last whole batch */
    uint64_t last_seq;         /* 0: it has no batch */
    enum segment_end end;
    uint64_t broken_seq;    /* a whole batch whose content is none: number; 0: none. end_offset lies before it */
    uint64_t skipped;       /* places passed over (skip) */
    uint64_t skipped_until; /* offset behind the last of them */
    uint64_t writes;        /* effects in it */
    struct cut_part *parts; /* from shared_alloc */
    uint32_t part_count, part_cap;
    struct recovery_end *ends; /* from shared_alloc */
    uint32_t end_count, end_cap;
};

/* The journal of one shard in one generation: a range of segments, and (JOIN) where it ends. */
struct recovery_chain {
    uint32_t generation, shard;
    uint32_t first, count; /* segments */
    uint64_t end_seq, end_part;
    uint32_t end_segment; /* index; none of its batches need count */
    bool damaged;
    uint64_t *whole; /* from shared_alloc: stamps of the groups whose pieces count, in order */
    uint32_t whole_count;
};

/* Keys on their way into the table, all of one database; their entries are ours (persist/recover_files.c). */
#define RECOVERY_PENDING 32
struct recovery_pending {
    uint32_t db, count;
    uint64_t hashes[RECOVERY_PENDING];
    struct entry *entries[RECOVERY_PENDING];
};

/* Effects that are applied together (persist/recover_effects.c). */
#define RECOVERY_GROUP      16
#define RECOVERY_GROUP_ARGS 128
struct recovery_effect {
    const struct slice *argv; /* in the group's args, or (a long one, the last) the reader's */
    uint32_t argc, db;
    uint64_t rest;             /* of the payload, behind it */
    struct keyspace *keyspace; /* of its key, when there is one already */
    uint64_t hash;
};
struct recovery_group {
    uint32_t count, next, arg_count;
    struct recovery_effect effects[RECOVERY_GROUP];
    struct slice args[RECOVERY_GROUP_ARGS];
};

enum recovery_stage { STAGE_VERIFY, STAGE_JOIN, STAGE_LOAD, STAGE_FINISH, STAGE_DONE };

/* --- what one thread is at; only it looks inside --- */
enum load_stage { LOAD_BEGIN, LOAD_FILES, LOAD_EFFECTS, LOAD_OVER };
struct recovery_thread {
    uint32_t id;
    bool arrived; /* at the end of the stage */
    enum recovery_stage stage;

    uint32_t segment; /* VERIFY and LOAD: the one being read */
    struct segment_reader *reader;
    struct effect_reader effects;
    struct batch_header batch;
    struct slice payload;
    bool in_batch;
    bool in_vain; /* LOAD: in a piece of a group without an end */
    uint32_t db;

    enum load_stage load;
    uint32_t file;                                 /* of the checkpoint */
    char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX]; /* of it; the reader borrows it */
    struct rdb_reader *rdb;
    struct recovery_pending pending;
    struct recovery_group group;
    struct frontiers *frontiers; /* one per file of the checkpoint */
    uint32_t frontier_count;
    struct shard *shard;
    uint32_t chain;
    uint64_t counted;              /* bytes of the current file that progress knows about */
    uint64_t bytes, keys, applied; /* of this slice; progress gets them at its end */
};

struct recovery {
    /* --- constant from recovery_open on; generations and chains until JOIN --- */
    struct recovery_options options;
    char import[CONFIG_PATH_MAX];
    struct manifest manifest;
    bool found; /* a manifest */
    bool imports;
    struct recovery_segment *segments; /* those of a chain together and in order */
    uint32_t segment_count;
    struct recovery_chain *chains; /* generation by generation, shard by shard */
    uint32_t chain_count;
    uint64_t highest; /* number of any file of ours */
    uint64_t started_ns;
    struct recovery_thread *threads;

    /* --- JOIN's, on one thread at a time --- */
    uint32_t join_generation;
    uint32_t join_chain; /* the first of that generation */
    struct cut *cut;
    struct cut_run *runs;
    uint32_t *run_segments; /* per run */
    uint32_t run_count;
    struct recovery_result result;

    /* --- shared; relaxed unless said otherwise where it is used --- */
    _Atomic uint32_t stage;        /* enum recovery_stage */
    _Atomic uint32_t arrivals;     /* threads at the end of this stage */
    _Atomic uint32_t next_segment; /* to be verified */
    _Atomic uint32_t failing;      /* somebody writes error */
    _Atomic uint32_t failed;       /* error is there */
    struct error error;
    _Atomic uint64_t bytes, bytes_total, keys, effects, damages;
    _Atomic uint64_t import_end;  /* as in the result; all threads find the same */
    _Atomic uint64_t keys_held;   /* added up as threads end LOAD */
    _Atomic uint64_t reported_ns; /* when progress was logged last */
};

/* --- recover_plan.c --- */
NODISCARD enum status recovery_plan(struct recovery *recovery, struct error *error);
void recovery_forget_plan(struct recovery *recovery);
void recovery_segment_path(const struct recovery *recovery, const struct recovery_segment *segment,
                           char out[CONFIG_PATH_MAX + DATADIR_NAME_MAX]);
const struct manifest_range *recovery_range(const struct recovery *recovery, const struct recovery_chain *chain);
/* Do slots of shard a of so many and of shard b of so many overlap? */
bool recovery_overlap(uint32_t a, uint32_t a_shards, uint32_t b, uint32_t b_shards);

/* Size of a file and its last eight bytes, which are an RDB file's checksum. */
NODISCARD enum status recovery_file_facts(const char *path, uint64_t *bytes, uint64_t *crc64, struct error *error);

/* --- the stages; each does one small step. True: call again --- */
bool recovery_verify_step(struct recovery *recovery, struct recovery_thread *thread);
bool recovery_join_step(struct recovery *recovery);
bool recovery_load_step(struct recovery *recovery, struct recovery_thread *thread);
/* Where a file of the checkpoint is, or (number 0) the one that is imported. */
void recovery_file_path(const struct recovery *recovery, uint32_t file, char out[CONFIG_PATH_MAX + DATADIR_NAME_MAX]);
/* Bytes that all threads together will read in LOAD. O(threads * files). */
uint64_t recovery_load_bytes(const struct recovery *recovery);
void recovery_verify_stop(struct recovery_thread *thread); /* frees what it is at */
void recovery_load_stop(struct recovery_thread *thread);   /* on its own thread */

/* --- recover_verify.c: the list, from shared_alloc, with room for one more; NULL: no memory, and it stays --- */
NODISCARD void *recovery_make_room(void *list, uint32_t count, uint32_t *cap, size_t size);

/* --- recover_pieces.c; false: no memory --- */
NODISCARD bool recovery_note_end(struct recovery_segment *segment, const struct recovery_end *end);
NODISCARD bool recovery_join_ends(const struct recovery *recovery, struct recovery_chain *chain); /* its end is known */
bool recovery_is_whole(const struct recovery_chain *chain, uint64_t stamp);                       /* O(log groups) */

/* --- LOAD's parts, one small step each. False: it is over --- */
bool recovery_files_step(struct recovery *recovery, struct recovery_thread *thread);
bool recovery_effects_step(struct recovery *recovery, struct recovery_thread *thread);
void recovery_drop_pending(struct recovery_thread *thread);
uint32_t recovery_file_count(const struct recovery *recovery);
bool recovery_file_is_wanted(const struct recovery *recovery, uint32_t id, uint32_t file);
bool recovery_chain_is_wanted(const struct recovery *recovery, const struct recovery_chain *chain, uint32_t id);
/* ctx: a thread. Is the key its shard's? */
bool recovery_owns(void *ctx, uint32_t db, struct slice key);
/* Says what is damaged; the recovery has failed then, or goes on. */
void recovery_damage_at(struct recovery *recovery, const char *file, uint64_t offset, const char *why);

/* --- recover.c --- */
/* The first one to fail says why; all threads end. */
void recovery_fail(struct recovery *recovery, const struct error *error);
/* What recovery-damage says about a damage that `what` (a sentence without its end) tells. False: it failed. */
bool recovery_may_go_on(struct recovery *recovery, const char *what);
void recovery_count_bytes(struct recovery_thread *thread, uint64_t offset);
