/* Stream claim: how the journal is told what groups and their consumers were given. All ids that one command gave to
 * one consumer, in the same way, are one XCLAIM, or a few of bounded length. */
#pragma once
#include "shards/stream_args.h"

struct claim_words {
    uint64_t time_ms;
    enum { CLAIM_COUNT, CLAIM_KEEP, CLAIM_SET } how; /* one delivery more, the same, or so many */
    uint64_t deliveries;
    bool force; /* also what was pending for nobody */
};

struct claim_effect {
    struct exec *x;
    struct slice key;
    const struct stream_group *group;
    struct slice consumer;
    struct claim_words words;
    struct buf ids; /* struct stream_id */
};
void claim_effect_begin(struct claim_effect *effect, struct exec *x, struct slice key, const struct stream_group *group,
                        struct slice consumer, const struct claim_words *words);
void claim_effect_add(struct claim_effect *effect, struct stream_id id);
void claim_effect_end(struct claim_effect *effect);

/* Where a group is: XGROUP SETID. */
void effect_group_place(struct exec *x, struct slice key, const struct stream_group *group);
/* Ids that are no longer pending: XACK. */
void effect_forget(struct exec *x, struct slice key, const struct stream_group *group, const struct buf *ids);
