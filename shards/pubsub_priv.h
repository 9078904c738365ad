/* What the files of shards/pubsub.h share. */
#pragma once
#include "shards/pubsub.h"

struct gather;
struct queued;

/* A name as the tables know it; never 0. */
uint64_t pubsub_hash(const struct shard *shard, struct slice text);
#define MONITOR_TOPIC SLICE("monitor")

/* The gather sends "sherd.topics" to all others, if it has to: true. The names are held. */
bool pubsub_tell_others(struct gather *g, enum topic_kind kind, const struct slice *names, uint32_t count);
void pubsub_route_subscribe(const struct shard *shard, const struct client *client, struct queued *q);
/* First argument of "sherd.topics"; behind it hashes in one argument, or patterns. */
struct topics_head {
    char sign; /* + or -: wanted, or not any more */
    uint8_t kind, home;
};
/* Another shard wants what has this hash, or matches this pattern, or does not any more. */
void pubsub_note_hash(struct shard *shard, enum topic_kind kind, uint64_t hash, uint32_t home, bool wanted);
void pubsub_note_pattern(struct shard *shard, struct slice text, uint32_t home, bool wanted);
