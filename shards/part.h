/* Part: what a shard is given of a transaction that is more than one command: keys to lock, watched keys to compare,
 * and commands to run, all as arguments of one internal command, so that it travels and stands in line like any other:
 *
 *    sherd.part | head | watched key, version | ... | modes | locked key | ... | command, its arguments | ...
 *
 * EXEC on one shard has this layout, too, under its own name. EXEC over several shards sends a part to each. A command
 * of several steps (RENAME) locks its keys with parts that have no commands, or some that only tell how much they will
 * answer.
 *
 * Thread    built at home and run at the owner. Cost: O(arguments). */
#pragma once
#include "shards/exec.h"

/* --- layout, shared by both ends of one process --- */
struct part_head {
    uint32_t watches, locks, commands;
    bool wide; /* the whole shard */
    bool wide_writes;
    bool tells; /* its commands do not run here: they tell how much they will answer, and lock nothing */
};
struct part_watch {
    uint64_t version;
    uint16_t db;
};
struct part_command {
    uint64_t hash; /* of argv[hash_at] */
    uint32_t argc, flags;
    uint16_t number, db;
    uint8_t hash_at, resp;
};

/* --- building: slices into what the caller keeps until the part was sent --- */
#define PART_HASHES 64 /* as many commands' keys are fetched in advance by who gets the part */

struct part {
    struct heap *heap;
    struct slice *argv;
    uint32_t argc, cap, hash_count;
    uint64_t hashes[PART_HASHES];
    struct part_head head;
};
/* Room for this many arguments beyond name and head. */
void part_init(struct part *part, struct heap *heap, uint32_t arguments);
void part_deinit(struct part *part);
/* In this order: watches, locks (modes first: 'r' or 'w' per key), commands. */
void part_add_watch(struct part *part, struct slice key, const struct part_watch *watch);
void part_add_locks(struct part *part, struct slice modes);
void part_add_locked_key(struct part *part, struct slice key);
void part_add_command(struct part *part, const struct part_command *command, const struct slice *argv);
/* An exec to be sent; it borrows part. Only shard, client and its like are still to be set. */
struct exec part_exec(const struct part *part, struct shard *shard);

/* Runs one command of a transaction here and now; its keys are held or it is alone. Writes its reply to out. */
void part_run_command(struct shard *shard, const struct part_command *command, const struct slice *argv,
                      uint64_t client_id, struct client *client, struct buf *out);

/* A row's locks and run for a part that is a whole transaction (EXEC on one shard): it compares and drops the watched
 * keys, and its reply has a header. */
void part_locks(const struct exec *x, command_lock_visit visit, void *ctx);
void part_run_whole(struct exec *x);
uint64_t part_answers(const struct exec *x);       /* a row's .answers: of a part; O(commands) */
uint64_t part_whole_answers(const struct exec *x); /* and of a whole, whose reply is copied behind those before it */

extern const struct command part_commands[];
