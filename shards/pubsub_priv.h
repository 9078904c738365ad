/* What the files of shards/pubsub.h share. */
#pragma once
#include "shards/pubsub.h"

/* A name as the tables know it; never 0. */
uint64_t pubsub_hash(const struct shard *shard, struct slice text);
/* First argument of "sherd.topics"; behind it hashes in one argument, or patterns. */
struct topics_head {
    char sign; /* + or -: wanted, or not any more */
    uint8_t kind, home;
};
/* Another shard wants what has this hash, or matches this pattern, or does not any more. */
void pubsub_note_hash(struct shard *shard, enum topic_kind kind, uint64_t hash, uint32_t home, bool wanted);
void pubsub_note_pattern(struct shard *shard, struct slice text, uint32_t home, bool wanted);
