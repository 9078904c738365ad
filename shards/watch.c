/* Watched keys. Versions of all keys come from one counter, so that a record that was gone meanwhile never shows an old
 * one again. */
#include "shards/watch.h"
#include "core/assert.h"
#include "shards/interest.h"
#include "shards/keyspace.h"
#include "shards/shard.h"

static struct interest *find(const struct shard *shard, uint32_t db, struct slice key) {
    return interest_find(shard->interests, db, key, key_hash(&shard->shared, key));
}

static void change(struct shard *shard, struct interest *interest) {
    interest->version = ++shard->watch_version;
}

uint64_t watch_add(struct shard *shard, uint32_t db, struct slice key) {
    struct interest *interest = interest_add(shard->interests, db, key, key_hash(&shard->shared, key));
    if (interest->watchers++ == 0) change(shard, interest);
    shard->watchers++;
    return interest->version;
}

void watch_drop(struct shard *shard, uint32_t db, struct slice key) {
    struct interest *interest = find(shard, db, key);
    ASSERT(interest && interest->watchers > 0);
    interest->watchers--;
    shard->watchers--;
    interest_settle(shard->interests, interest);
}

void watch_touch(struct shard *shard, uint32_t db, struct slice key) {
    struct interest *interest = find(shard, db, key);
    if (interest) change(shard, interest);
}

bool watch_is_unchanged(struct shard *shard, uint32_t db, struct slice key, uint64_t version) {
    struct key_ref ref;
    keyspace_open(shard_db(shard, db), key, key_hash(&shard->shared, key), &ref); /* touches it when it expires */
    const struct interest *interest = find(shard, db, key);
    ASSERT(interest && interest->watchers); /* whoever asks watches it */
    return interest->version == version;
}

/* Keys watched in one database that are there, or in another one. */
struct touched {
    struct shard *shard;
    uint32_t watched, there, or_there;
};

static bool is_in(struct shard *shard, uint32_t db, const struct interest *interest) {
    struct keyspace *keys = shard_db_peek(shard, db);
    struct key_ref ref;
    return keys && keyspace_open(keys, interest_key(interest), interest->hash, &ref) != NULL;
}

static void touch(void *ctx, struct interest *interest) {
    const struct touched *touched = ctx;
    if (!interest->watchers || interest->db != touched->watched) return;
    if (is_in(touched->shard, touched->there, interest) || is_in(touched->shard, touched->or_there, interest))
        change(touched->shard, interest);
}

void watch_touch_database(struct shard *shard, uint32_t db) {
    if (shard->watchers) interests_visit(shard->interests, touch, &(struct touched){shard, db, db, db});
}

void watch_touch_swap(struct shard *shard, uint32_t a, uint32_t b) {
    if (!shard->watchers) return;
    interests_visit(shard->interests, touch, &(struct touched){shard, a, a, b});
    interests_visit(shard->interests, touch, &(struct touched){shard, b, a, b});
}
