/* COPY of a large value, over many turns of its shard (shards/work.h): what it consists of is put into a new object bit
 * by bit, which is put under the new name at the end. When the source's time is over meanwhile there was nothing to
 * copy.
 *
 * Fields of a hash whose time is over meanwhile leave the source. Those that were copied by then have their deadline in
 * the copy, too, and leave it when it is first looked at. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/cmd_generic_priv.h"
#include "shards/effect_add.h"
#include "shards/hash_value.h"
#include "shards/set.h"
#include "shards/shard.h"
#include "shards/work.h"
#include "shards/zset.h"

#define STRING_AT_ONCE (1024u * 1024) /* bytes */
#define STRING_SLICE   (512u * 1024)
#define STREAM_AT_ONCE (256u * 1024)     /* bytes of memory */
#define FIELD_STEPS    (WORK_SLICE / 16) /* through a table of fields: each answers a few of them */
#define BLOCKS         (WORK_SLICE / 8)  /* of a stream, or ids that are pending: an entry of two trees */
#define NODES          (WORK_SLICE / 16) /* of a list */

struct copy_work {
    struct work work; /* first: it is cast back */
    const struct store *store;
    uint16_t db;
    uint8_t type; /* enum value_type of the source */
    void *object; /* the copy, of a string its entry; NULL: it is in its place */
    uint64_t at;  /* where copying goes on: a cursor, a rank, or bytes */
    struct stream_copying stream;
    bool copied, put;
    const struct entry *timed; /* while elements are copied: the source, if it is a hash whose fields have deadlines */
    uint64_t deadline_ms;
    struct effect_tale tale;
};

bool copy_takes_long(const struct entry *entry) {
    if (entry->type == TYPE_STRING) return entry->encoding == ENC_EXTERNAL && entry_bigstr(entry)->len > STRING_AT_ONCE;
    if (entry->encoding != ENC_OBJECT) return false;
    const void *object = entry_object(entry);
    switch ((enum value_type)entry->type) {
    case TYPE_SET: return set_count(entry) > WORK_AT_ONCE;
    case TYPE_ZSET: return zset_len(entry) > WORK_AT_ONCE;
    case TYPE_HASH: return hash_len(entry) > WORK_AT_ONCE;
    case TYPE_LIST: return quicklist_nodes(object) > NODES;
    default: return stream_bytes(object) > STREAM_AT_ONCE;
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
    if (!work->timed) return;
    uint64_t deadline_ms = hash_deadline(work->timed, name);
    if (!deadline_ms) return;
    fields_set_deadline(work->store, work->object, name, deadline_ms);
    if (fields_timed(work->object) == 1) fields_expect_timed(work->object, fields_timed(entry_object(work->timed)));
}

static uint64_t copy_fields(struct copy_work *work, const struct entry *from) {
    uint64_t at = work->at;
    work->timed = from->flags & ENTRY_FIELDS_TIMED ? from : NULL;
    for (unsigned steps = 0; steps < FIELD_STEPS; steps++)
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

static uint64_t copy_bytes(struct copy_work *work, const struct entry *from) {
    const struct bigstr *source = entry_bigstr(from);
    uint64_t end = MIN(work->at + STRING_SLICE, source->len);
    memcpy(entry_bigstr(work->object)->bytes + work->at, source->bytes + work->at, end - work->at);
    return end < source->len ? end : 0;
}

/* True while there is more. */
static bool copy_some(struct copy_work *work, const struct entry *from) {
    const void *object = from->encoding == ENC_OBJECT ? entry_object(from) : NULL;
    switch ((enum value_type)work->type) {
    case TYPE_STRING: work->at = copy_bytes(work, from); break;
    case TYPE_LIST: work->at = quicklist_copy_some(work->store, work->object, object, NODES); break;
    case TYPE_SET: work->at = set_scan(from, work->at, WORK_SLICE, add_member, work); break;
    case TYPE_ZSET: work->at = copy_scores(work, from); break;
    case TYPE_STREAM: work->at = stream_copy_some(work->store, &work->stream, object, BLOCKS); break;
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
    if (!work->object) return;
    switch ((enum value_type)work->type) {
    case TYPE_STRING: entry_delete(work->store, work->object); break;
    case TYPE_LIST: quicklist_delete(work->store, work->object); break;
    case TYPE_SET: members_delete(work->store, work->object); break;
    case TYPE_ZSET: sorted_delete(work->store, work->object); break;
    case TYPE_STREAM: stream_delete(work->store, work->object); break;
    default: fields_delete(work->store, work->object);
    }
    work->object = NULL;
}

/* --- its place --- */

/* Its entry, without a deadline. */
static struct entry *entry_of(struct exec *x, struct copy_work *work, const struct entry *from) {
    struct entry *fresh = work->object;
    if (work->type != TYPE_STRING)
        fresh = entry_new_object(work->store, x->argv[2], (enum value_type)work->type, work->object, 0);
    fresh->access = from->access;
    fresh->flags |= from->flags & ENTRY_SHOWN;
    if (work->type == TYPE_HASH && fields_timed(work->object) > 0) fresh->flags |= ENTRY_FIELDS_TIMED;
    work->object = NULL;
    return fresh;
}

static void put(struct exec *x, struct copy_work *work, const struct entry *from, struct key_ref *target) {
    struct keyspace *dst = shard_db(x->shard, work->db);
    work->deadline_ms = entry_deadline_ms(from);
    mark_like(work, from);
    struct entry *fresh = entry_of(x, work, from);
    work->put = true;
    if (target->entry) exec_event_in(x, work->db, NOTIFY_NEW, "new", x->argv[2]);
    keyspace_put_entry(dst, target, fresh);
    /* What is being told of must stay: it gets its deadline afterwards. */
    if (!work->work.tells && work->deadline_ms) keyspace_set_deadline(dst, target, work->deadline_ms);
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
    (void)shard;
    struct copy_work *work = (struct copy_work *)of;
    drop_object(work);
}

/* As long as the source, whose bytes are to come. */
static struct entry *new_string(const struct exec *x, const struct entry *from) {
    const struct store *store = &x->shared->store;
    char *bytes;
    struct entry *entry = entry_new_string(store, x->argv[2], SLICE(""), 0, false);
    entry = entry_edit_string(store, entry, entry_bigstr(from)->len, &bytes);
    ASSERT(entry);
    return entry;
}

struct work *copy_work_new(const struct exec *x, uint16_t db, const struct entry *from) {
    struct copy_work *work = work_new(x, sizeof *work, (struct work){.some = copy_work_some, .end = copy_work_end});
    work->store = &x->shared->store;
    work->db = db;
    work->type = from->type;
    switch ((enum value_type)from->type) {
    case TYPE_STRING: work->object = new_string(x, from); break;
    case TYPE_LIST: work->object = quicklist_new(work->store); break;
    case TYPE_SET:
        work->object = members_new(work->store, &x->shared->set_rule.seed);
        members_expect(work->object, set_count(from)); /* they come in the order of their hashes */
        break;
    case TYPE_ZSET: work->object = sorted_new(work->store, &x->shared->seed); break;
    case TYPE_STREAM:
        stream_copy_begin(work->store, &work->stream, entry_object(from));
        work->object = work->stream.copy;
        break;
    default:
        work->object = fields_new(work->store, &x->shared->seed);
        fields_expect(work->object, hash_len(from)); /* as members of a set */
    }
    return &work->work;
}
