/* The keyspace: the hash table of core/hashtable.h filled with the entries of core/value.h.
 *
 * Deadlines live in the entries; the table keeps lower bounds per group of buckets (HT_TIMED slots), so a key with a
 * deadline costs its 8 bytes and nothing else, and what is due is found without a list or a heap. */
#include "shards/keyspace.h"
#include "core/assert.h"
#include "core/config.h"
#include "core/fields.h"
#include "core/hashtable_inline.h"
#include "shards/ghosts.h"
#include "shards/notify.h"
#include "shards/reaper.h"
#include "shards/shard.h"

#define EXPIRE_GROUPS      64 /* group summaries looked at per call of keyspace_expire_some */
#define EXPIRE_FIELDS      64 /* fields of one hash per call */
#define TTL_SAMPLE_KEYS    20 /* as many as Redis looks at per database and cycle */
#define TTL_SAMPLE_BUCKETS 64 /* and no more buckets than this to find them */

struct keyspace {
    struct keyspace_shared *shared;
    struct hashtable *table;
    uint64_t timed;        /* keys with a deadline */
    uint64_t fields_timed; /* hashes with deadlines of fields */
    uint64_t expire_cursor;
    uint32_t number; /* of the database */
};

static uint64_t rehash_entry(void *ctx, const void *entry) {
    const struct keyspace *keyspace = ctx;
    return key_hash(keyspace->shared, entry_key(entry));
}

/* Rounded up: a key that is due by its second is really past its deadline. */
static uint32_t seconds_of(uint64_t deadline_ms) {
    return (uint32_t)MIN(deadline_ms / 1000 + (deadline_ms % 1000 != 0), (uint64_t)UINT32_MAX - 1);
}

#define TIMES (ENTRY_TIMED | ENTRY_FIELDS_TIMED) /* flags of what time alone changes; its slot has HT_TIMED */

/* Of the key, or of the first of its fields. */
static uint32_t entry_deadline_s(void *ctx, const void *at) {
    const struct entry *entry = at;
    (void)ctx;
    uint64_t key_ms = entry->flags & ENTRY_TIMED ? entry_deadline_ms(entry) : UINT64_MAX;
    uint64_t field_ms = entry->flags & ENTRY_FIELDS_TIMED ? fields_first_deadline(entry_object(entry)) : UINT64_MAX;
    return seconds_of(MIN(key_ms, field_ms));
}

static const struct hashtable_type table_type = {.rehash = rehash_entry, .deadline_s = entry_deadline_s};

static struct hashtable *table_new(struct keyspace *keyspace) {
    const struct store *store = &keyspace->shared->store;
    struct hashtable *table = hashtable_new(store->heap, store->slab, &table_type, keyspace);
    ASSERT(table);
    return table;
}

struct keyspace *keyspace_new(struct keyspace_shared *shared, uint32_t number) {
    struct keyspace *keyspace = heap_alloc_zero(shared->store.heap, MEM_INDEX, sizeof *keyspace);
    keyspace->shared = shared;
    keyspace->table = table_new(keyspace);
    keyspace->number = number;
    return keyspace;
}

void keyspace_set_number(struct keyspace *keyspace, uint32_t number) {
    keyspace->number = number;
}

static void drop_entry(void *ctx, void *entry) {
    const struct keyspace *keyspace = ctx;
    entry_delete(&keyspace->shared->store, entry);
}

void keyspace_delete(struct keyspace *keyspace) {
    hashtable_delete(keyspace->table, drop_entry);
    heap_free(keyspace->shared->store.heap, MEM_INDEX, keyspace, sizeof *keyspace);
}

const struct keyspace_shared *keyspace_shared_of(const struct keyspace *keyspace) {
    return keyspace->shared;
}

/* A function that only prefetches has no effect that gcc's analysis of whole functions knows of, so it drops the calls;
 * the empty statement is one it must keep. */
#define KEEP_CALL __asm__ volatile("")

void keyspace_prefetch_bucket(const struct keyspace *keyspace, uint64_t hash) {
    KEEP_CALL;
    ht_prefetch_bucket(keyspace->table, hash);
}

void keyspace_prefetch_entry(const struct keyspace *keyspace, uint64_t hash) {
    KEEP_CALL;
    ht_prefetch_entry(keyspace->table, hash);
}

HOT_INLINE bool key_matches(const void *entry, const void *key) {
    return slice_equal(entry_key(entry), *(const struct slice *)key);
}

static bool is_expired(const struct keyspace *keyspace, const struct entry *entry) {
    return entry->flags & ENTRY_TIMED && entry_deadline_ms(entry) <= keyspace->shared->now_ms;
}

static void count_times(struct keyspace *keyspace, uint8_t was, uint8_t is) {
    keyspace->timed += (uint64_t)((is & ENTRY_TIMED) != 0) - (uint64_t)((was & ENTRY_TIMED) != 0);
    keyspace->fields_timed += (uint64_t)((is & ENTRY_FIELDS_TIMED) != 0) - (uint64_t)((was & ENTRY_FIELDS_TIMED) != 0);
}

static COLD void tell(const struct keyspace *keyspace, const char *event, struct slice key) {
    struct shard *shard = keyspace->shared->shard;
    if (shard) notify_event(shard, keyspace->number, slice_of_cstr(event), key);
}

static COLD void expire_now(struct keyspace *keyspace, struct key_ref *ref) {
    struct slice key = ref->key;
    if (keyspace->shared->shard) shard_key_expired(keyspace->shared->shard, keyspace->number, key);
    if (UNLIKELY(keyspace->shared->notify & NOTIFY_EXPIRED)) tell(keyspace, "expired", key);
    keyspace_remove(keyspace, ref);
    keyspace->shared->expired++;
}

static void expire_first_fields(struct keyspace *keyspace, const struct key_ref *ref, uint64_t count) {
    struct keyspace_shared *shared = keyspace->shared;
    struct fields *fields = entry_object(ref->entry);
    struct slice name;
    for (; count > 0 && fields_due(fields, shared->now_ms, &name); count--) {
        if (shared->shard) shard_field_expired(shared->shard, keyspace->number, ref->key, name);
        fields_remove_first_due(&shared->store, fields);
    }
}

/* Takes out up to `max` fields whose time is over. When that is so of all that there are, they go with the key, at once
 * however many they are. */
static COLD void expire_fields(struct keyspace *keyspace, struct key_ref *ref, uint64_t max) {
    struct keyspace_shared *shared = keyspace->shared;
    const struct fields *fields = entry_object(ref->entry);
    uint64_t due = fields_due_count(fields, shared->now_ms);
    bool all = due == fields_count(fields);
    shared->expired_fields += all ? due : MIN(due, max);
    if (!all)
        expire_first_fields(keyspace, ref, max);
    else if (shared->shard)
        shard_key_expired(shared->shard, keyspace->number, ref->key);
    if (UNLIKELY(shared->notify & NOTIFY_HASH)) tell(keyspace, "hexpired", ref->key);
    if (UNLIKELY(shared->notify & NOTIFY_GENERIC) && all) tell(keyspace, "del", ref->key);
    if (all)
        keyspace_remove(keyspace, ref);
    else
        keyspace_fields_changed(keyspace, ref);
}

/* Has time changed the entry, perhaps? */
HOT_INLINE bool may_be_late(const struct keyspace *keyspace, const struct entry *entry) {
    return entry->flags & ENTRY_FIELDS_TIMED || is_expired(keyspace, entry);
}

/* What time has done to the entry of ref, which has a deadline or fields that do. */
static COLD void catch_up(struct keyspace *keyspace, struct key_ref *ref, uint64_t max) {
    const struct entry *entry = ref->entry;
    if (is_expired(keyspace, entry))
        expire_now(keyspace, ref);
    else if (UNLIKELY(entry->flags & ENTRY_FIELDS_TIMED) &&
             fields_first_deadline(entry_object(entry)) <= keyspace->shared->now_ms)
        expire_fields(keyspace, ref, max);
}

struct entry *keyspace_open(struct keyspace *keyspace, struct slice key, uint64_t hash, struct key_ref *ref) {
    ref->key = key;
    ref->hash = hash;
    ref->slot = ht_find(keyspace->table, hash, key_matches, &key);
    ref->entry = ref->slot ? ht_entry(*ref->slot) : NULL;
    if (UNLIKELY(ref->entry && ref->entry->flags & TIMES) && may_be_late(keyspace, ref->entry))
        catch_up(keyspace, ref, UINT64_MAX);
    return ref->entry;
}

struct entry *keyspace_read(struct keyspace *keyspace, struct slice key, uint64_t hash, bool no_touch,
                            struct key_ref *ref) {
    struct entry *entry = keyspace_open(keyspace, key, hash, ref);
    if (!entry) {
        keyspace->shared->misses++;
        return NULL;
    }
    keyspace->shared->hits++;
    if (!no_touch) keyspace_touch(keyspace, entry);
    return entry;
}

void keyspace_config_changed(struct keyspace_shared *shared, const struct config *config, struct prng *prng) {
    enum config_maxmemory_policy policy = config->maxmemory_policy;
    shared->use_lfu = policy == MAXMEMORY_VOLATILE_LFU || policy == MAXMEMORY_ALLKEYS_LFU;
    shared->use_lrfu = policy == MAXMEMORY_VOLATILE_LRFU || policy == MAXMEMORY_ALLKEYS_LRFU;
    shared->lfu = (struct lfu_rule){(uint32_t)config->lfu_log_factor, (uint32_t)config->lfu_decay_time};
    shared->list_rule = quicklist_rule_of(config->list_max_listpack_size);
    shared->set_rule = set_rule_of(&shared->seed, config->set_max_intset_entries);
    shared->hash_rule =
        (struct packed_rule){(uint64_t)config->hash_max_listpack_entries, config->hash_max_listpack_value};
    shared->zset_rule =
        (struct zset_rule){(uint64_t)config->zset_max_listpack_entries, (uint64_t)config->zset_max_listpack_value};
    shared->stream_rule = (struct stream_rule){config->stream_node_max_bytes, config->stream_node_max_entries};
    shared->prng = prng;
    unsigned notify = config->notify_keyspace_events;
    shared->notify = notify & (NOTIFY_KEYSPACE | NOTIFY_KEYEVENT) ? notify : 0;
}

/* Uses of a shard's keys, per key, in which a value of LRFU halves. Longer finds more hits where the load stays as it
 * is, shorter where it changes; perf/micro/evict_bench.c shows both. */
#define LRFU_HALF_LIFE 16
#define LRFU_KEYS_MIN  1024 /* a small shard does not forget faster than one of so many keys */

void keyspace_lrfu_turn(struct keyspace_shared *shared, uint64_t keys) {
    uint64_t uses = MAX(keys, (uint64_t)LRFU_KEYS_MIN) * LRFU_HALF_LIFE;
    shared->lrfu_clock += ((uint64_t)shared->lrfu_touches * LRFU_ONE << 24) / uses << 8;
    shared->lrfu_touches = 0;
    shared->access = (uint32_t)(shared->lrfu_clock >> 32) & LRFU_FIELD;
}

static uint32_t next_lrfu(struct keyspace_shared *shared, uint32_t field) {
    shared->lrfu_touches++;
    shared->chance = shared->chance * 1664525u + 1013904223u; /* Numerical Recipes; the upper bits are good enough */
    return lrfu_access(field, shared->access, shared->chance >> 24);
}

static COLD void touch_counting(struct keyspace_shared *shared, struct entry *entry) {
    if (shared->use_lrfu)
        entry->access = next_lrfu(shared, entry->access) & 0xFFFFFF;
    else
        entry->access =
            lfu_access(entry->access, keyspace_minutes(shared), &shared->lfu, prng_double(shared->prng)) & 0xFFFFFF;
}

void keyspace_touch(const struct keyspace *keyspace, struct entry *entry) {
    struct keyspace_shared *shared = keyspace->shared;
    if (UNLIKELY(shared->use_lfu | shared->use_lrfu)) touch_counting(shared, entry);
    /* Compared first: the line stays clean unless the second has changed. */
    else if (entry->access != shared->access)
        entry->access = shared->access & 0xFFFFFF;
}

/* One that was evicted not long ago goes on where it was. */
static COLD uint32_t first_lrfu(struct keyspace_shared *shared, uint64_t hash, const struct entry *old) {
    uint32_t field = shared->access - LRFU_FIELD / 2; /* worth nothing */
    if (old)
        field = old->access;
    else
        ghosts_take(shared->ghosts, hash, &field);
    return next_lrfu(shared, field);
}

/* The access field of a new entry; one that replaces another inherits its count of uses. */
static uint32_t first_access(struct keyspace_shared *shared, uint64_t hash, const struct entry *old) {
    if (LIKELY(!(shared->use_lfu | shared->use_lrfu))) return shared->access & 0xFFFFFF;
    if (shared->use_lrfu) return first_lrfu(shared, hash, old);
    return old ? old->access : lfu_field(keyspace_minutes(shared), LFU_START);
}

static ht_slot *add(struct keyspace *keyspace, struct key_ref *ref, struct entry *entry, unsigned flags) {
    if (UNLIKELY(keyspace->shared->notify & NOTIFY_NEW)) tell(keyspace, "new", ref->key);
    return hashtable_insert(keyspace->table, ref->hash, entry, flags);
}

/* Who waits for news of a stream hears that it is gone. */
HOT_INLINE void tell_gone(const struct keyspace *keyspace, const struct key_ref *ref, const struct entry *old) {
    if (UNLIKELY(old->type == TYPE_STREAM) && keyspace->shared->shard)
        shard_key_created(keyspace->shared->shard, keyspace->number, ref->key, ref->hash);
}

/* Puts the entry into the table, or in place of ref's present one (whose memory is somebody else's business), and
 * keeps counts and deadline summary right. was: the flags that the present one had. */
static void install(struct keyspace *keyspace, struct key_ref *ref, struct entry *entry, uint8_t was) {
    bool timed = entry->flags & TIMES;
    if (ref->slot)
        ht_replace(ref->slot, entry, timed ? HT_TIMED : 0);
    else
        ref->slot = add(keyspace, ref, entry, timed ? HT_TIMED : 0);
    ref->entry = entry;
    count_times(keyspace, was, entry->flags);
    if (timed) hashtable_note_deadline(keyspace->table, ref->hash, entry_deadline_s(NULL, entry));
}

void keyspace_put_string(struct keyspace *keyspace, struct key_ref *ref, struct slice value, uint64_t deadline_ms,
                         bool allow_int) {
    const struct store *store = &keyspace->shared->store;
    struct entry *old = ref->entry;
    if (LIKELY(old != NULL)) {
        uint8_t was = old->flags;
        uint32_t access = first_access(keyspace->shared, ref->hash, old);
        tell_gone(keyspace, ref, old);
        struct entry *entry = entry_set_string(store, old, value, deadline_ms, allow_int);
        entry->access = access & 0xFFFFFF;
        if (entry != old || was & TIMES || deadline_ms) install(keyspace, ref, entry, was);
        return;
    }
    struct entry *entry = entry_new_string(store, ref->key, value, deadline_ms, allow_int);
    entry->access = first_access(keyspace->shared, ref->hash, NULL) & 0xFFFFFF;
    install(keyspace, ref, entry, 0);
}

void keyspace_put_int(struct keyspace *keyspace, struct key_ref *ref, int64_t value) {
    const struct store *store = &keyspace->shared->store;
    struct entry *old = ref->entry;
    if (!old) {
        struct entry *entry = entry_new_int(store, ref->key, value, 0);
        entry->access = first_access(keyspace->shared, ref->hash, NULL) & 0xFFFFFF;
        install(keyspace, ref, entry, 0);
        return;
    }
    uint8_t was = old->flags;
    tell_gone(keyspace, ref, old);
    struct entry *entry = entry_set_int(store, old, value);
    if (entry != old) install(keyspace, ref, entry, was);
}

char *keyspace_edit_string(struct keyspace *keyspace, struct key_ref *ref, size_t new_len) {
    ASSERT(ref->entry && ref->entry->type == TYPE_STRING);
    struct entry *old = ref->entry;
    uint8_t was = old->flags;
    char *bytes;
    struct entry *entry = entry_edit_string(&keyspace->shared->store, old, new_len, &bytes);
    if (!entry) return NULL;
    if (entry != old) install(keyspace, ref, entry, was);
    return bytes;
}

void keyspace_set_deadline(struct keyspace *keyspace, struct key_ref *ref, uint64_t deadline_ms) {
    ASSERT(ref->entry);
    uint8_t was = ref->entry->flags;
    struct entry *entry = entry_set_deadline(&keyspace->shared->store, ref->entry, deadline_ms);
    install(keyspace, ref, entry, was);
}

char *keyspace_edit_packed(struct keyspace *keyspace, struct key_ref *ref, struct packed_edit edit) {
    ASSERT(ref->entry);
    struct entry *old = ref->entry;
    uint8_t was = old->flags;
    char *gap;
    struct entry *entry = entry_edit_packed(&keyspace->shared->store, old, edit, &gap);
    if (entry != old) install(keyspace, ref, entry, was);
    return gap;
}

char *keyspace_edit_intset(struct keyspace *keyspace, struct key_ref *ref, uint32_t index, bool add) {
    ASSERT(ref->entry);
    struct entry *old = ref->entry;
    uint8_t was = old->flags;
    char *gap;
    struct entry *entry = entry_edit_intset(&keyspace->shared->store, old, index, add, &gap);
    if (entry != old) install(keyspace, ref, entry, was);
    return gap;
}

void keyspace_fields_changed(struct keyspace *keyspace, struct key_ref *ref) {
    ASSERT(ref->entry->type == TYPE_HASH && ref->entry->encoding == ENC_OBJECT);
    uint8_t was = ref->entry->flags, none = was & (uint8_t)~ENTRY_FIELDS_TIMED;
    ref->entry->flags = fields_timed(entry_object(ref->entry)) > 0 ? was | ENTRY_FIELDS_TIMED : none;
    if ((was | ref->entry->flags) & ENTRY_FIELDS_TIMED) install(keyspace, ref, ref->entry, was);
}

void keyspace_set_object(struct keyspace *keyspace, struct key_ref *ref, void *object) {
    ASSERT(ref->entry);
    uint8_t was = ref->entry->flags;
    install(keyspace, ref, entry_set_object(&keyspace->shared->store, ref->entry, object), was);
}

void keyspace_put_entry(struct keyspace *keyspace, struct key_ref *ref, struct entry *entry) {
    struct entry *old = ref->entry;
    ASSERT_SLOW(slice_equal(entry_key(entry), ref->key));
    if (!entry->access) entry->access = first_access(keyspace->shared, ref->hash, old) & 0xFFFFFF;
    install(keyspace, ref, entry, old ? old->flags : 0);
    if (old) {
        tell_gone(keyspace, ref, old);
        entry_delete(&keyspace->shared->store, old);
    }
    if (entry->type != TYPE_STRING && keyspace->shared->shard)
        shard_key_created(keyspace->shared->shard, keyspace->number, ref->key, ref->hash);
}

/* The entry of ref, which becomes absent. */
static struct entry *take_out(struct keyspace *keyspace, struct key_ref *ref) {
    struct entry *entry = ref->entry;
    ASSERT(entry);
    tell_gone(keyspace, ref, entry);
    count_times(keyspace, entry->flags, 0);
    hashtable_remove(keyspace->table, ref->hash, ref->slot);
    ref->slot = NULL;
    ref->entry = NULL;
    return entry;
}

static COLD bool leave_to_pin(struct keyspace_shared *shared, const struct entry *entry) {
    for (uint32_t i = 0; i < shared->pin_count; i++) {
        if (shared->pins[i].entry != entry) continue;
        shared->pins[i].orphan = true;
        return true;
    }
    return false;
}

void keyspace_remove(struct keyspace *keyspace, struct key_ref *ref) {
    struct entry *entry = take_out(keyspace, ref);
    if (UNLIKELY(keyspace->shared->pin_count) && leave_to_pin(keyspace->shared, entry)) return;
    entry_delete(&keyspace->shared->store, entry);
}

void keyspace_put_copy(struct keyspace *keyspace, struct key_ref *ref, const struct entry *from, uint64_t deadline_ms) {
    keyspace_put_entry(keyspace, ref, entry_copy(&keyspace->shared->store, from, ref->key, deadline_ms));
}

void keyspace_move(struct keyspace *from, struct key_ref *source, struct keyspace *to, struct key_ref *target) {
    struct entry *entry = take_out(from, source);
    if (!slice_equal(entry_key(entry), target->key)) entry = entry_rename(&to->shared->store, entry, target->key);
    keyspace_open(to, target->key, target->hash, target); /* taking out may have moved its slot */
    keyspace_put_entry(to, target, entry);
}

uint64_t keyspace_count(const struct keyspace *keyspace) {
    return hashtable_count(keyspace->table);
}

uint64_t keyspace_timed_count(const struct keyspace *keyspace) {
    return keyspace->timed;
}

struct ttl_sample {
    uint64_t now_ms, count;
    double sum_ms;
};

static void sample_ttl(void *ctx, void *entry, unsigned flags) {
    struct ttl_sample *sample = ctx;
    if (!(flags & HT_TIMED) || !(((struct entry *)entry)->flags & ENTRY_TIMED)) return;
    uint64_t deadline_ms = entry_deadline_ms(entry);
    sample->count++;
    if (deadline_ms > sample->now_ms) sample->sum_ms += (double)(deadline_ms - sample->now_ms);
}

/* The start of hash order is as good a sample as any, and the same one each time keeps the figure steady. */
uint64_t keyspace_ttl_sum_ms(const struct keyspace *keyspace) {
    struct ttl_sample sample = {.now_ms = keyspace->shared->now_ms};
    uint64_t cursor = 0;
    if (keyspace->timed == 0) return 0;
    for (int i = 0; i < TTL_SAMPLE_BUCKETS && sample.count < TTL_SAMPLE_KEYS; i++) {
        cursor = hashtable_scan(keyspace->table, cursor, sample_ttl, &sample);
        if (cursor == 0) break;
    }
    return sample.count ? (uint64_t)(sample.sum_ms / (double)sample.count * (double)keyspace->timed) : 0;
}

void keyspace_expect(struct keyspace *keyspace, uint64_t count) {
    hashtable_expect(keyspace->table, count);
}

size_t keyspace_index_bytes(const struct keyspace *keyspace) {
    return hashtable_bytes(keyspace->table);
}

void keyspace_clear(struct keyspace *keyspace) {
    reaper_take_table(keyspace->shared->reaper, keyspace->table);
    keyspace->table = table_new(keyspace);
    keyspace->timed = keyspace->fields_timed = 0;
    if (keyspace->shared->shard) shard_database_emptied(keyspace->shared->shard, keyspace->number);
}

struct entry *keyspace_random(struct keyspace *keyspace, struct prng *prng) {
    for (int tries = 0; tries < 100; tries++) {
        struct entry *entry = hashtable_random(keyspace->table, prng);
        if (!entry) return NULL;
        if (!is_expired(keyspace, entry)) return entry;
        struct key_ref ref;
        struct slice key = entry_key(entry);
        keyspace_open(keyspace, key, key_hash(keyspace->shared, key), &ref); /* deletes it */
    }
    return NULL;
}

struct scan_filter {
    const struct keyspace *keyspace;
    keyspace_visit visit;
    void *ctx;
};

static void visit_live(void *ctx, void *entry, unsigned flags) {
    const struct scan_filter *filter = ctx;
    if (flags & HT_TIMED && is_expired(filter->keyspace, entry)) return;
    filter->visit(filter->ctx, entry);
}

uint64_t keyspace_scan(struct keyspace *keyspace, uint64_t cursor, keyspace_visit visit, void *ctx) {
    struct scan_filter filter = {keyspace, visit, ctx};
    return hashtable_scan(keyspace->table, cursor, visit_live, &filter);
}

static void visit_any(void *ctx, void *entry, unsigned flags) {
    const struct scan_filter *filter = ctx;
    (void)flags;
    filter->visit(filter->ctx, entry);
}

uint64_t keyspace_scan_all(struct keyspace *keyspace, uint64_t cursor, keyspace_visit visit, void *ctx) {
    struct scan_filter filter = {keyspace, visit, ctx};
    return hashtable_scan(keyspace->table, cursor, visit_any, &filter);
}

size_t keyspace_sample(struct keyspace *keyspace, uint64_t *position, bool timed, size_t want, struct entry **out,
                       size_t max) {
    size_t count = hashtable_sample(keyspace->table, position, timed, want, (void **)out, max), kept = 0;
    if (!timed || keyspace->fields_timed == 0) return count;
    for (size_t i = 0; i < count; i++) /* not those of which only fields have deadlines */
        if (out[i]->flags & ENTRY_TIMED) out[kept++] = out[i];
    return kept;
}

HOT_INLINE bool is_entry(const void *entry, const void *other) {
    return entry == other;
}

/* Of the hash the table knows some bits only, and another key may live at the same address by now: hence the second
 * look. */
bool keyspace_find_entry(struct keyspace *keyspace, const struct entry *entry, uint64_t hash, struct key_ref *ref) {
    ref->slot = ht_find(keyspace->table, hash, is_entry, entry);
    if (!ref->slot) return false;
    ref->entry = ht_entry(*ref->slot);
    ref->key = entry_key(ref->entry);
    ref->hash = key_hash(keyspace->shared, ref->key);
    return ref->hash == hash;
}

bool keyspace_is_pinned(const struct keyspace_shared *shared, const struct entry *entry) {
    for (uint32_t i = 0; i < shared->pin_count; i++)
        if (shared->pins[i].entry == entry) return true;
    return false;
}

struct moving {
    const struct keyspace_shared *shared;
    keyspace_moved moved;
    void *ctx;
};

static void *move_entry(void *ctx, void *entry) {
    const struct moving *moving = ctx;
    if (UNLIKELY(moving->shared->pin_count) && keyspace_is_pinned(moving->shared, entry)) return entry;
    struct entry *moved = entry_moved(&moving->shared->store, entry);
    moving->moved(moving->ctx, moved);
    return moved;
}

uint64_t keyspace_defrag(struct keyspace *keyspace, uint64_t cursor, keyspace_moved moved, void *ctx) {
    struct moving moving = {keyspace->shared, moved, ctx};
    return hashtable_defrag(keyspace->table, cursor, move_entry, &moving);
}

bool keyspace_expire_some(struct keyspace *keyspace, unsigned max) {
    if (keyspace->timed + keyspace->fields_timed == 0) return false;
    void *due[64];
    bool more = false;
    uint32_t now_s = (uint32_t)(keyspace->shared->now_ms / 1000);
    size_t count = hashtable_due(keyspace->table, now_s, &keyspace->expire_cursor, EXPIRE_GROUPS, due,
                                 MIN((size_t)max, ARRAY_LEN(due)), &more);
    for (size_t i = 0; i < count; i++) {
        struct key_ref ref;
        struct slice key = entry_key(due[i]);
        ref = (struct key_ref){.key = key, .hash = key_hash(keyspace->shared, key)};
        ref.slot = ht_find(keyspace->table, ref.hash, key_matches, &key);
        ref.entry = ht_entry(*ref.slot);
        catch_up(keyspace, &ref, EXPIRE_FIELDS);
        more |= ref.entry != NULL; /* a hash with many fields that are due, perhaps */
    }
    return more;
}

uint32_t keyspace_next_deadline_s(const struct keyspace *keyspace) {
    return keyspace->timed + keyspace->fields_timed ? hashtable_next_deadline(keyspace->table) : UINT32_MAX;
}

bool keyspace_resize_some(struct keyspace *keyspace, unsigned buckets) {
    return hashtable_step(keyspace->table, buckets);
}

void keyspace_table_stats(const struct keyspace *keyspace, struct hashtable_stats *out) {
    hashtable_stats(keyspace->table, out);
}

static void check_entry(void *ctx, void *entry, unsigned flags) {
    uint64_t *timed = ctx;
    uint8_t times = ((struct entry *)entry)->flags & TIMES;
    ASSERT(((flags & HT_TIMED) != 0) == (times != 0));
    ASSERT(!(times & ENTRY_FIELDS_TIMED) || fields_timed(entry_object(entry)) > 0);
    timed[0] += (times & ENTRY_TIMED) != 0;
    timed[1] += (times & ENTRY_FIELDS_TIMED) != 0;
}

void keyspace_check(const struct keyspace *keyspace) {
    hashtable_check(keyspace->table);
    uint64_t timed[2] = {0}, cursor = 0;
    if (hashtable_count(keyspace->table) == 0) return;
    struct hashtable_stats stats;
    hashtable_stats(keyspace->table, &stats);
    if (stats.resizing) return; /* a scan may see an entry twice then */
    do cursor = hashtable_scan(keyspace->table, cursor, check_entry, timed);
    while (cursor);
    ASSERT(timed[0] == keyspace->timed && timed[1] == keyspace->fields_timed);
}
