/* Walk: the cursor, the frontiers behind it, and what stands in its way. */
#include "persist/checkpoint_walk.h"
#include "persist/frontier.h"
#include "shards/request.h"
#include <stdlib.h>

#define STRETCH_KEYS   32           /* when the owner has no other wish */
#define STRETCH_SCANS  16           /* a stretch ends after as many calls that found less */
#define STRETCH_BYTES  (64 * 1024)  /* after one that gave more, the next is one bucket */
#define PREFETCH_BYTES 2048u        /* of a value */
#define PIECE_BYTES    (64 * 1024)  /* of a large value, per step */
#define OUT_MAX        (256 * 1024) /* with so many that the disk has not taken, writers wait */
#define UNWRITTEN_MAX  4096         /* keys in somebody's hand; with more, there is no slice in this turn */
#define WAIT_SLICES    4            /* so long a key in somebody's hand is only waited for; then it is held */

/* --- lists --- */

static void add_hash(struct walk *walk, struct walk_hashes *list, uint64_t hash) {
    if (list->count == list->cap) {
        uint32_t cap = MAX(64u, list->cap * 2);
        list->items = heap_resize(walk->shard->heap, MEM_MESSAGE, list->items, list->cap * sizeof *list->items,
                                  cap * sizeof *list->items);
        list->cap = cap;
    }
    list->items[list->count++] = hash;
}

static void add_entry(struct walk *walk, struct walk_entries *list, struct entry *entry) {
    if (list->count == list->cap) {
        uint32_t cap = MAX(64u, list->cap * 2);
        list->items = heap_resize(walk->shard->heap, MEM_MESSAGE, list->items, list->cap * sizeof(struct entry *),
                                  cap * sizeof(struct entry *));
        list->cap = cap;
    }
    list->items[list->count++] = entry;
}

static bool has_hash(const struct walk_hashes *list, uint64_t hash) {
    for (uint32_t i = 0; i < list->count; i++)
        if (list->items[i] == hash) return true;
    return false;
}

static void free_hashes(struct walk *walk, struct walk_hashes *list) {
    heap_free(walk->shard->heap, MEM_MESSAGE, list->items, list->cap * sizeof *list->items);
    *list = (struct walk_hashes){0};
}

/* --- birth and death --- */

static struct rdb_style style_of(const struct shard *shard) {
    const struct keyspace_shared *shared = &shard->shared;
    enum config_maxmemory_policy policy = shard->config->maxmemory_policy;
    bool lru = policy == MAXMEMORY_VOLATILE_LRU || policy == MAXMEMORY_ALLKEYS_LRU;
    return (struct rdb_style){.compress = shard->config->rdbcompression,
                              .usage = shared->use_lfu ? RDB_USAGE_FREQ
                                       : lru           ? RDB_USAGE_IDLE
                                                       : RDB_USAGE_NONE,
                              .clock = shared->use_lfu ? keyspace_minutes(shared) : shared->access,
                              .lfu = shared->lfu};
}

void walk_begin(struct walk *walk, struct shard *shard, uint32_t stretch_keys) {
    ASSERT(!shard->shared.pins);
    *walk = (struct walk){.shard = shard,
                          .style = style_of(shard),
                          .stretch_keys = stretch_keys ? stretch_keys : STRETCH_KEYS,
                          .database_changes = shard->database_changes};
    walk->style.thrift = &walk->thrift;
    buf_init(&walk->out, shard->heap, MEM_MESSAGE);
}

static bool may_change(const void *ctx) {
    const struct walk *walk = ctx;
    return rdb_writer_ready(&walk->writer) && buf_readable(&walk->out) < OUT_MAX;
}

static void watch_pin(struct walk *walk) {
    struct keyspace_shared *shared = &walk->shard->shared;
    if (shared->pin_watch || !rdb_writer_watch(&walk->writer, &shared->store, &shared->seed, &walk->out)) return;
    walk->watch = (struct pin_watch){.entry = walk->pins[walk->pin_at].entry,
                                     .db = walk->db,
                                     .groups = rdb_writer_groups_may_change(&walk->writer),
                                     .ready = may_change,
                                     .ctx = walk};
    shared->pin_watch = &walk->watch;
}

static void end_writer(struct walk *walk) {
    walk->shard->shared.pin_watch = NULL;
    rdb_writer_end(&walk->writer);
}

/* Forgets what was pinned from the one under way on; what left its table meanwhile has nobody else to free it. */
static void drop_pins(struct walk *walk) {
    struct keyspace_shared *shared = &walk->shard->shared;
    if (walk->pin_at < walk->pin_count) end_writer(walk);
    for (uint32_t i = 0; i < walk->pin_count; i++)
        if (walk->pins[i].orphan) entry_delete(&shared->store, walk->pins[i].entry);
    heap_free(walk->shard->heap, MEM_MESSAGE, walk->pins, walk->pin_count * sizeof *walk->pins);
    walk->pins = shared->pins = NULL;
    walk->pin_count = shared->pin_count = walk->pin_at = 0;
}

static void let_go(struct walk *walk) {
    if (walk->held) request_let_go(walk->shard, walk->held);
    walk->held = NULL;
    walk->wanted.count = 0;
}

void walk_end(struct walk *walk) {
    if (walk->pins) drop_pins(walk);
    let_go(walk);
    free_hashes(walk, &walk->hashes);
    free_hashes(walk, &walk->unwritten);
    free_hashes(walk, &walk->wanted);
    heap_free(walk->shard->heap, MEM_MESSAGE, walk->found.items, walk->found.cap * sizeof(struct entry *));
    walk->found = (struct walk_entries){0};
    buf_deinit(&walk->out);
}

/* --- frontiers: what lies before the cursor, and after the frontier before, is as of the batch --- */

static void write_frontier(struct walk *walk, uint64_t batch) {
    char text[FRONTIER_TEXT_MAX];
    struct frontier frontier = {.db = walk->db, .position = walk->at, .n = batch};
    size_t len = frontier_write(text, &frontier);
    rdb_write_aux(&walk->out, SLICE(FRONTIER_AUX), slice_of(text, len));
    walk->moved = false;
}

static void move_to(struct walk *walk, uint64_t position) {
    walk->at = position;
    walk->moved = true;
    walk->moved_batch = walk->batch;
}

/* --- the slice --- */

static void add_unwritten(void *ctx, uint64_t hash) {
    struct walk *walk = ctx;
    add_hash(walk, &walk->unwritten, hash);
}

static int compare_hashes(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

bool walk_slice(struct walk *walk, uint64_t batch) {
    const struct shard *shard = walk->shard;
    walk->batch = batch;
    if (walk->pins) return true; /* nobody can have these in hand */
    if (walk->moved && walk->moved_batch != batch) write_frontier(walk, walk->moved_batch);
    walk->unwritten.count = 0;
    if (locks_idle(shard->locks)) return true;
    if (!request_each_unwritten(shard, UNWRITTEN_MAX, add_unwritten, walk)) return false;
    if (walk->unwritten.count > 1)
        qsort(walk->unwritten.items, walk->unwritten.count, sizeof(uint64_t), compare_hashes);
    return true;
}

/* --- a stretch is found --- */

static void found(void *ctx, struct entry *entry) {
    struct walk *walk = ctx;
    __builtin_prefetch(entry);
    __builtin_prefetch((const char *)entry + CACHE_LINE);
    add_entry(walk, &walk->found, entry);
}

/* Of what is embedded, the lines behind those that are on their way already: by the time all names of the stretch are
 * known they have arrived. Of what is longer the processor fetches the rest itself. */
static void prefetch_value(const struct entry *entry) {
    if (entry->encoding != ENC_EMBEDDED) return;
    const char *value = entry_payload(entry), *end = value + MIN(entry->value_len, PREFETCH_BYTES);
    for (const char *at = (const char *)entry + 2 * CACHE_LINE; at < end; at += CACHE_LINE) __builtin_prefetch(at);
}

/* Those that lie before the cursor were saved in the bucket that they were in when it passed. */
static void name_found(struct walk *walk) {
    uint32_t kept = 0;
    walk->hashes.count = 0;
    for (uint32_t i = 0; i < walk->found.count; i++) {
        struct entry *entry = walk->found.items[i];
        uint64_t hash = key_hash(&walk->shard->shared, entry_key(entry));
        if (cursor_of(hash) < walk->at) continue;
        prefetch_value(entry);
        walk->found.items[kept++] = entry;
        add_hash(walk, &walk->hashes, hash);
    }
    walk->found.count = kept;
}

/* Returns where it ends. */
static uint64_t find_stretch(struct walk *walk, struct keyspace *keyspace) {
    uint64_t cursor = walk->at;
    uint32_t keys = walk->one_bucket ? 1 : walk->stretch_keys;
    walk->found.count = 0;
    for (unsigned i = 0; i < STRETCH_SCANS && walk->found.count < keys; i++) {
        cursor = keyspace_scan_all(keyspace, cursor, found, walk);
        if (cursor == 0) break;
    }
    name_found(walk);
    return cursor ? cursor : FRONTIER_DONE;
}

/* --- what stands in its way --- */

/* The first of the unwritten keys at or behind the cursor. */
static uint32_t first_unwritten(const struct walk *walk) {
    uint32_t from = 0, to = walk->unwritten.count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (cursor_of(walk->unwritten.items[middle]) < walk->at)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Keys in somebody's hand, also such as are not there at the moment. What we hold is in nobody else's. */
static bool meets_unwritten(const struct walk *walk, uint64_t end) {
    uint32_t i = first_unwritten(walk);
    return i < walk->unwritten.count && cursor_of(walk->unwritten.items[i]) < end;
}

/* Is there a large one? all_held: are they all held? */
static bool has_large(const struct walk *walk, bool *all_held) {
    bool any = false;
    bool held = walk->held && request_is_held(walk->held);
    *all_held = true;
    for (uint32_t i = 0; i < walk->found.count; i++) {
        if (!rdb_is_large(walk->found.items[i])) continue;
        any = true;
        *all_held = *all_held && held && has_hash(&walk->wanted, walk->hashes.items[i]);
    }
    return any;
}

/* Stands in line for all that is in the way up to end. What we had in hand comes along. */
static void hold_stretch(struct walk *walk, uint64_t end) {
    let_go(walk);
    for (uint32_t i = 0; i < walk->found.count; i++)
        if (rdb_is_large(walk->found.items[i])) add_hash(walk, &walk->wanted, walk->hashes.items[i]);
    for (uint32_t i = first_unwritten(walk); i < walk->unwritten.count; i++) {
        if (cursor_of(walk->unwritten.items[i]) >= end) break;
        add_hash(walk, &walk->wanted, walk->unwritten.items[i]);
    }
    walk->held = request_hold(walk->shard, walk->wanted.items, walk->wanted.count);
    walk->waited = 0;
}

/* --- it is written --- */

static void open_database(struct walk *walk, const struct keyspace *keyspace) {
    if (walk->db_open || walk->found.count == 0) return;
    rdb_write_database(&walk->out, walk->db, keyspace_count(keyspace), keyspace_timed_count(keyspace));
    walk->db_open = true;
}

static void write_small(struct walk *walk) {
    for (uint32_t i = 0; i < walk->found.count; i++) {
        if (rdb_is_large(walk->found.items[i])) continue;
        rdb_write_entry(&walk->out, walk->found.items[i], &walk->style);
        walk->keys++;
    }
}

/* Its large values are ours from here on; a frontier cannot stand between their pieces, so it comes first. */
static void pin_large(struct walk *walk) {
    struct keyspace_shared *shared = &walk->shard->shared;
    write_frontier(walk, walk->batch);
    uint32_t count = 0;
    for (uint32_t i = 0; i < walk->found.count; i++) count += rdb_is_large(walk->found.items[i]);
    walk->pins = heap_alloc_zero(walk->shard->heap, MEM_MESSAGE, count * sizeof *walk->pins);
    for (uint32_t i = 0; i < walk->found.count; i++)
        if (rdb_is_large(walk->found.items[i])) walk->pins[walk->pin_count++].entry = walk->found.items[i];
    shared->pins = walk->pins;
    shared->pin_count = walk->pin_count;
    rdb_writer_begin(&walk->writer, walk->pins[0].entry, &walk->style);
}

static enum walk_step write_piece(struct walk *walk) {
    if (rdb_writer_next(&walk->writer, &walk->out, PIECE_BYTES)) {
        watch_pin(walk);
        if (walk->shard->parked) walk->shard->settle_more = true; /* writers may be among them */
        return WALK_MORE;
    }
    end_writer(walk);
    walk->keys++;
    if (++walk->pin_at < walk->pin_count) {
        rdb_writer_begin(&walk->writer, walk->pins[walk->pin_at].entry, &walk->style);
        return WALK_MORE;
    }
    drop_pins(walk);
    let_go(walk);
    return WALK_YIELD;
}

static enum walk_step write_stretch(struct walk *walk, const struct keyspace *keyspace, uint64_t end, bool large) {
    size_t before = walk->out.len;
    open_database(walk, keyspace);
    write_small(walk);
    walk->one_bucket = walk->out.len - before > STRETCH_BYTES;
    walk->waited = 0;
    move_to(walk, end);
    if (large) {
        pin_large(walk);
        return WALK_MORE;
    }
    if (!walk->held) return WALK_MORE;
    let_go(walk);
    return WALK_YIELD;
}

/* --- the step --- */

static enum walk_step save_stretch(struct walk *walk, struct keyspace *keyspace) {
    bool all_held;
    uint64_t end = find_stretch(walk, keyspace);
    bool unwritten = meets_unwritten(walk, end), large = has_large(walk, &all_held);
    if (!unwritten && all_held) return write_stretch(walk, keyspace, end, large);
    if (!walk->one_bucket) {
        walk->one_bucket = true;
        return WALK_MORE;
    }
    if (!all_held || walk->waited++ == WAIT_SLICES) hold_stretch(walk, end);
    return WALK_WAITING;
}

static void next_database(struct walk *walk) {
    walk->db++;
    walk->db_open = false;
    move_to(walk, 0);
}

enum walk_step walk_step(struct walk *walk) {
    const struct shard *shard = walk->shard;
    if (walk->pins) return write_piece(walk); /* before all else: whoever empties the database waits for us */
    if (shard->database_changes != walk->database_changes) return WALK_OVERTAKEN;
    if (walk->db >= shard->db_used) {
        if (walk->moved) write_frontier(walk, walk->batch);
        let_go(walk);
        return WALK_END;
    }
    if (walk->held && !request_is_held(walk->held)) return WALK_WAITING;
    struct keyspace *keyspace = shard_db_peek(shard, walk->db);
    if (!keyspace || keyspace_count(keyspace) == 0 || walk->at == FRONTIER_DONE) {
        next_database(walk);
        return WALK_MORE;
    }
    return save_stretch(walk, keyspace);
}
