/* Watched keys: a chained hash table of records, named by database and key. */
#include "shards/watch.h"
#include "core/assert.h"
#include "shards/keyspace.h"
#include "shards/shard.h"

#define BUCKETS_FIRST 64u

struct record {
    struct record *next;
    uint64_t hash; /* of the key, and the database mixed in */
    uint64_t version;
    uint32_t watchers, db, key_len;
    char key[];
};

struct watches {
    struct heap *heap;
    uint32_t count, bucket_count;
    uint64_t version; /* the latest given out */
    struct record **buckets;
};

static void set_buckets(struct watches *watches, uint32_t count) {
    watches->buckets = heap_alloc_zero(watches->heap, MEM_MESSAGE, count * sizeof *watches->buckets);
    watches->bucket_count = count;
}

struct watches *watches_new(struct heap *heap) {
    struct watches *watches = heap_alloc_zero(heap, MEM_MESSAGE, sizeof *watches);
    watches->heap = heap;
    set_buckets(watches, BUCKETS_FIRST);
    return watches;
}

void watches_delete(struct watches *watches) {
    ASSERT(watches->count == 0);
    heap_free(watches->heap, MEM_MESSAGE, watches->buckets, watches->bucket_count * sizeof *watches->buckets);
    heap_free(watches->heap, MEM_MESSAGE, watches, sizeof *watches);
}

uint32_t watches_count(const struct watches *watches) {
    return watches->count;
}

static uint64_t hash_of(const struct shard *shard, uint32_t db, struct slice key) {
    return lock_id(db, key_hash(&shard->shared, key));
}

/* The link that points at the record, or the end of its chain. */
static struct record **find(struct watches *watches, uint64_t hash, uint32_t db, struct slice key) {
    struct record **link = &watches->buckets[hash & (watches->bucket_count - 1)];
    while (*link && !((*link)->hash == hash && (*link)->db == db &&
                      slice_equal(slice_of((*link)->key, (*link)->key_len), key)))
        link = &(*link)->next;
    return link;
}

static void resize(struct watches *watches, uint32_t count) {
    struct record **old = watches->buckets;
    uint32_t old_count = watches->bucket_count;
    set_buckets(watches, count);
    for (uint32_t i = 0; i < old_count; i++) {
        while (old[i]) {
            struct record *record = old[i], **bucket = &watches->buckets[record->hash & (count - 1)];
            old[i] = record->next;
            record->next = *bucket;
            *bucket = record;
        }
    }
    heap_free(watches->heap, MEM_MESSAGE, old, old_count * sizeof(struct record *));
}

uint64_t watch_add(struct shard *shard, uint32_t db, struct slice key) {
    struct watches *watches = shard->watches;
    if (watches->count == watches->bucket_count) resize(watches, watches->bucket_count * 2);
    uint64_t hash = hash_of(shard, db, key);
    struct record **link = find(watches, hash, db, key);
    if (!*link) {
        struct record *record = heap_alloc(watches->heap, MEM_MESSAGE, sizeof *record + key.len);
        *record = (struct record){.hash = hash, .db = db, .key_len = (uint32_t)key.len, .version = ++watches->version};
        slice_copy(record->key, key.ptr, key.len);
        *link = record;
        watches->count++;
    }
    (*link)->watchers++;
    return (*link)->version;
}

void watch_drop(struct shard *shard, uint32_t db, struct slice key) {
    struct watches *watches = shard->watches;
    struct record **link = find(watches, hash_of(shard, db, key), db, key), *record = *link;
    ASSERT(record && record->watchers > 0);
    if (--record->watchers) return;
    *link = record->next;
    heap_free(watches->heap, MEM_MESSAGE, record, sizeof *record + record->key_len);
    if (--watches->count == 0 && watches->bucket_count > BUCKETS_FIRST) resize(watches, BUCKETS_FIRST);
}

void watch_touch(struct shard *shard, uint32_t db, struct slice key) {
    struct watches *watches = shard->watches;
    struct record *record = *find(watches, hash_of(shard, db, key), db, key);
    if (record) record->version = ++watches->version;
}

bool watch_is_unchanged(struct shard *shard, uint32_t db, struct slice key, uint64_t version) {
    struct key_ref ref;
    keyspace_open(shard_db(shard, db), key, key_hash(&shard->shared, key), &ref); /* touches it when it expires */
    struct watches *watches = shard->watches;
    const struct record *record = *find(watches, hash_of(shard, db, key), db, key);
    ASSERT(record); /* its watcher is waiting for this answer */
    return record->version == version;
}

static bool is_there(struct shard *shard, uint32_t db, const struct record *record) {
    struct keyspace *keys = shard_db_peek(shard, db);
    struct slice key = slice_of(record->key, record->key_len);
    struct key_ref ref;
    return keys && keyspace_open(keys, key, key_hash(&shard->shared, key), &ref) != NULL;
}

static void touch_where(struct shard *shard, uint32_t watched, uint32_t there, uint32_t or_there) {
    struct watches *watches = shard->watches;
    if (watches->count == 0) return;
    for (uint32_t i = 0; i < watches->bucket_count; i++) {
        for (struct record *record = watches->buckets[i]; record; record = record->next) {
            if (record->db != watched) continue;
            if (is_there(shard, there, record) || is_there(shard, or_there, record))
                record->version = ++watches->version;
        }
    }
}

void watch_touch_database(struct shard *shard, uint32_t db) {
    touch_where(shard, db, db, db);
}

void watch_touch_swap(struct shard *shard, uint32_t a, uint32_t b) {
    touch_where(shard, a, a, b);
    touch_where(shard, b, a, b);
}

void watches_check(const struct watches *watches) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < watches->bucket_count; i++) {
        for (const struct record *record = watches->buckets[i]; record; record = record->next) {
            ASSERT(record->watchers > 0 && record->version <= watches->version);
            ASSERT((record->hash & (watches->bucket_count - 1)) == i);
            count++;
        }
    }
    ASSERT(count == watches->count);
}
