/* What request.c (standing in line) and request_work.c (commands that hold their keys over several turns) share. */
#pragma once
#include "core/assert.h"
#include "shards/request.h"

enum request_kind {
    REQUEST_COMMAND, /* runs when it is granted */
    REQUEST_PART,    /* tells its home and waits for what that says */
    REQUEST_SERVE,   /* the same, for a blocked client */
    REQUEST_GUARD,   /* does nothing but stand there */
    REQUEST_HOLD,    /* the same, and gives nothing back before it is through */
};

struct request {
    struct lock_request lock; /* first: a lock request is cast back */
    uint8_t kind;
    uint8_t home;
    bool silent;
    struct message_note note; /* of a command whose client lives here */
    size_t bytes;             /* of this block */
    struct message_item *item;
    struct effect_group *effects; /* of its steps so far; NULL: none */

    /* --- of a command that works over several turns (shards/work.h) --- */
    uint64_t work[1];          /* the struct work, as exec.slice has it, also of a part (shards/aside.h); 0: none */
    uint64_t ticks, position;  /* what its slices took; what its reply waits for so far */
    struct request *next_work; /* in shard.works */
};

/* argv of an item: on the caller's stack when it is short. It points into the item. */
struct arguments {
    struct slice few[32], *all;
    size_t bytes;
};

HOT_INLINE const struct slice *open_arguments(struct shard *shard, struct arguments *arguments,
                                              const struct message_item *item) {
    arguments->bytes = item->argc > ARRAY_LEN(arguments->few) ? item->argc * sizeof(struct slice) : 0;
    arguments->all = arguments->bytes ? heap_alloc(shard->heap, MEM_MESSAGE, arguments->bytes) : arguments->few;
    message_item_argv(item, arguments->all);
    return arguments->all;
}

HOT_INLINE void close_arguments(struct shard *shard, struct arguments *arguments) {
    if (arguments->bytes) heap_free(shard->heap, MEM_MESSAGE, arguments->all, arguments->bytes);
}

/* An exec for what is kept, whose arguments argv are. */
struct exec request_exec(struct shard *shard, const struct message_item *item, const struct slice *argv,
                         struct buf *out);
/* Adds what its steps did to the journal, at which position; 0 for nothing. */
uint64_t request_add_effects(struct shard *shard, struct request *request, uint64_t participants);
/* Out of the line and freed. The caller settles. */
void request_take_out(struct shard *shard, struct request *request);

/* Ends what it does over several turns, or what its steps keep aside, if anything. */
void work_drop(struct shard *shard, struct request *request);
/* A command that was granted has begun to work: it keeps its keys. */
void request_keep_working(struct shard *shard, struct request *request);
/* What its handler has replied already is the beginning of what the work does. */
void work_take_reply(struct request *request, struct buf *take);
/* Its reply goes home. */
void request_answer(struct shard *shard, const struct request *request, struct buf *take, uint64_t position);
