/* Carry: a large value, or a range of one, from its shard to another one under another name, piece by piece (COPY,
 * RENAME, ZRANGESTORE), in steps that are short. Home asks for a piece, and sends it on while the next one comes:
 *
 *      source's shard                 home                       destination's shard
 *      sherd.piece key cursor     <-- ...                    --> sherd.aside key piece
 *                                     ...                    --> sherd.put-aside, sherd.tell ...
 *
 * Its command holds both keys meanwhile; when the source's time is over before all was read there was no source.
 *
 * Owner     the gather, whose memo it takes. Thread: home. Cost: a message each way per thousand elements. */
#pragma once
#include "shards/gather.h"

enum carry_state { CARRY_GOES_ON, CARRY_NO_SOURCE, CARRY_TAKEN, CARRY_NO_MEMORY, CARRY_DONE };

struct carry {
    uint32_t source, target; /* positions of the keys */
    uint16_t db;             /* of the target */
    bool replace;
    bool admits;       /* what it sends has to be admitted (shards/admit.h) */
    const char *event; /* with its class (cmd_generic_priv.h) */
};

/* Was it begun in an earlier step? */
bool carry_is_on(const struct gather *gather);
/* What sherd.fetch has answered is the head of a large value, which has so many numbers: that is to be carried. */
#define CARRY_HEAD 5
bool carry_is_head(struct slice reply);
enum carry_state carry_begin(struct gather *gather, const struct carry *carry, struct slice head);
/* The same of the elements of these ranks, not that of `to`, of a sorted set. */
enum carry_state carry_begin_range(struct gather *gather, const struct carry *carry, uint64_t from, uint64_t to);
enum carry_state carry_step(struct gather *gather, const struct carry *carry);
uint64_t carry_count(const struct gather *gather); /* elements of what is carried */
