/* Keyspace events as messages. The channel is put together in a buffer of the shard's own, since a key may be long. */
#include "shards/notify.h"
#include "shards/shard.h"

#define KEEP_CHANNEL 4096

static void publish(struct shard *shard, const char *kind, uint32_t db, struct slice about, struct slice payload) {
    struct buf *channel = &shard->pubsub.channel;
    buf_reset(channel, KEEP_CHANNEL);
    buf_printf(channel, "__%s@%u__:", kind, db);
    buf_append_slice(channel, about);
    pubsub_deliver(shard, TOPIC_CHANNEL, buf_slice(channel), payload, shard->pubsub.running);
    for (uint64_t left = pubsub_homes(shard, TOPIC_CHANNEL, buf_slice(channel)); left; left &= left - 1)
        pubsub_send(shard, (uint32_t)__builtin_ctzll(left), TOPIC_CHANNEL, buf_slice(channel), payload);
}

static bool was_told(struct notify_told *told, struct slice name) {
    for (unsigned i = 0; i < told->count; i++)
        if (slice_equal(told->names[i], name)) return true;
    if (told->count < NOTIFY_TOLD_MAX) told->names[told->count++] = name;
    return false;
}

void notify_event(struct shard *shard, uint32_t db, struct slice name, struct slice key) {
    if (pubsub_is_idle(&shard->pubsub) || shard->loading) return;
    if (shard->told && was_told(shard->told, name)) return;
    unsigned wanted = shard->shared.notify;
    if (wanted & NOTIFY_KEYSPACE) publish(shard, "keyspace", db, key, name);
    if (wanted & NOTIFY_KEYEVENT) publish(shard, "keyevent", db, name, key);
}
