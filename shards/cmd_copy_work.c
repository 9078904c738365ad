/* COPY of a large set, sorted set or hash, over many turns of its shard (shards/work.h): its elements are put into a
 * new object one by one, which is put under the new name at the end. When the source's time is over meanwhile there was
 * nothing to copy.
 *
 * Not lists, whose nodes are copied whole and fast; streams, whose groups name entries of each other; and hashes with
 * deadlines of fields, which may be over in the middle. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/cmd_generic_priv.h"
#include "shards/effect_add.h"
#include "shards/hash_value.h"
#include "shards/set.h"
#include "shards/shard.h"
#include "shards/work.h"
#include "shards/zset.h"

struct copy_work {
    struct work work; /* first: it is cast back */
    const struct store *store;
    uint16_t db;
    uint8_t type; /* enum value_type of the source */
    void *object; /* the copy; NULL: it is in its place */
    uint64_t at;  /* where copying goes on: a cursor, or a rank */
    bool copied, put;
    uint64_t deadline_ms;
    struct effect_tale tale;
};

bool copy_takes_long(const struct entry *entry) {
    if (entry->encoding != ENC_OBJECT) return false;
    switch ((enum value_type)entry->type) {
    case TYPE_SET: return set_count(entry) > WORK_AT_ONCE;
    case TYPE_ZSET: return zset_len(entry) > WORK_AT_ONCE;
    case TYPE_HASH: return hash_len(entry) > WORK_AT_ONCE && !(entry->flags & ENTRY_FIELDS_TIMED);
    default: return false;
    }
}

/* --- elements --- */

static bool add_member(void *ctx, struct slice text) {
    const struct copy_work *work = ctx;
    (void)members_add(work->store, work->object, text);
    return true;
}

static void add_field(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    const struct copy_work *work = ctx;
    char scratch[2][PACKED_SCRATCH];
    struct slice name = packed_text(field, scratch[0]);
    (void)fields_put(work->store, work->object, name, packed_text(value, scratch[1]));
}

static uint64_t copy_fields(struct copy_work *work, const struct entry *from) {
    uint64_t at = work->at;
    for (unsigned steps = 0; steps < WORK_SLICE; steps++)
        if (!(at = hash_scan(from, at, add_field, work))) break;
    return at;
}

static uint64_t copy_scores(struct copy_work *work, const struct entry *from) {
    struct zset_pair pair;
    uint64_t at = work->at;
    struct zset_iter iter = zset_seek(from, at);
    for (unsigned i = 0; i < WORK_SLICE && zset_next(&iter, &pair); i++, at++)
        sorted_insert(work->store, work->object, pair.member, pair.score);
    return at < zset_len(from) ? at : 0;
}

/* True while there is more. */
static bool copy_some(struct copy_work *work, const struct entry *from) {
    switch ((enum value_type)work->type) {
    case TYPE_SET: work->at = set_scan(from, work->at, WORK_SLICE, add_member, work); break;
    case TYPE_ZSET: work->at = copy_scores(work, from); break;
    default: work->at = copy_fields(work, from);
    }
    work->copied = work->at == 0;
    return !work->copied;
}

static void mark_like(const struct copy_work *work, const struct entry *from) {
    if (work->type == TYPE_SET) members_set_numbers(work->object, members_numbers(entry_object(from)));
    if (work->type == TYPE_ZSET) sorted_set_compact(work->object, sorted_compact(entry_object(from)));
}

static void drop_object(struct copy_work *work) {
    if (work->object && work->type == TYPE_SET) members_delete(work->store, work->object);
    if (work->object && work->type == TYPE_ZSET) sorted_delete(work->store, work->object);
    if (work->object && work->type == TYPE_HASH) fields_delete(work->store, work->object);
    work->object = NULL;
}

/* --- its place --- */

static void put(struct exec *x, struct copy_work *work, const struct entry *from, struct key_ref *target) {
    uint64_t deadline_ms = work->work.tells ? 0 : entry_deadline_ms(from); /* what is being told of must stay */
    mark_like(work, from);
    struct entry *fresh =
        entry_new_object(work->store, x->argv[2], (enum value_type)work->type, work->object, deadline_ms);
    fresh->access = from->access;
    fresh->flags |= from->flags & ENTRY_OF_VALUE;
    work->deadline_ms = entry_deadline_ms(from);
    work->object = NULL;
    work->put = true;
    if (target->entry) exec_event_in(x, work->db, NOTIFY_NEW, "new", x->argv[2]);
    keyspace_put_entry(shard_db(x->shard, work->db), target, fresh);
    exec_changed_in(x, work->db, x->argv[2], 1);
    exec_event_in(x, work->db, NOTIFY_GENERIC, "copy_to", x->argv[2]);
}

/* True while there is more to tell. */
static bool tell_some(struct exec *x, struct copy_work *work, struct key_ref *target) {
    char digits[NUM_U64_MAX];
    if (!work->work.tells) {
        effect_value(x, work->db, target->entry);
        return false;
    }
    if (effect_tell_some(&work->tale, x, work->db, target->entry)) return true;
    if (!work->deadline_ms) return false;
    struct slice at = slice_of(digits, num_format_u64(digits, work->deadline_ms));
    effect_add(x, work->db, (struct slice[]){SLICE("PEXPIREAT"), x->argv[2], at}, 3);
    keyspace_set_deadline(shard_db(x->shard, work->db), target, work->deadline_ms);
    return false;
}

static bool copy_work_some(struct exec *x, struct work *of) {
    struct copy_work *work = (struct copy_work *)of;
    struct keyspace *dst = shard_db(x->shard, work->db);
    struct key_ref source = {0}, target;
    if (!work->put) {
        keyspace_open(dst, x->argv[2], exec_hash(x, 2), &target);
        if (!exec_open_any(x, 1, &source)) { /* its time is over */
            reply_int(x, 0);
            return false;
        }
        if (!work->copied && copy_some(work, source.entry)) return true;
        if (x->shard->effects.on && !work->work.tells) return work->work.tells = true;
        keyspace_open(dst, x->argv[2], exec_hash(x, 2), &target);
        put(x, work, source.entry, &target);
    }
    keyspace_open(dst, x->argv[2], exec_hash(x, 2), &target);
    if (target.entry && tell_some(x, work, &target)) return true;
    reply_int(x, 1);
    return false;
}

static void copy_work_end(struct shard *shard, struct work *of) {
    struct copy_work *work = (struct copy_work *)of;
    drop_object(work);
    heap_free(shard->heap, MEM_MESSAGE, work, sizeof *work);
}

struct work *copy_work_new(const struct exec *x, uint16_t db, const struct entry *from) {
    struct copy_work *work = heap_alloc_zero(x->shard->heap, MEM_MESSAGE, sizeof *work);
    work->work = (struct work){.some = copy_work_some, .end = copy_work_end};
    work->store = &x->shared->store;
    work->db = db;
    work->type = from->type;
    switch ((enum value_type)from->type) {
    case TYPE_SET: work->object = members_new(work->store, &x->shared->set_rule.seed); break;
    case TYPE_ZSET: work->object = sorted_new(work->store, &x->shared->seed); break;
    default: work->object = fields_new(work->store, &x->shared->seed);
    }
    return &work->work;
}
