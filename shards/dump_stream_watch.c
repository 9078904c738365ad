/* Dump of a stream, watched: entries are added, taken out and trimmed between the parts, and what is written is what there
 * was at the beginning.
 *
 *          written     to be written              new
 *      | b | b | b | b | b | b | b | b | b | b | b | b |        blocks of the stream, by the ids of their first entries
 *                at^       kept: b'          ^to
 *
 * Blocks are written in the order of their ids. What is behind `at` was written, what comes behind `to` is new, so XADD
 * costs nothing but a copy of the last block as it was. A block between them that changes is copied first, and the copy
 * is written in its place; one that goes as a whole, and those that trimming cuts off, which is done in O(1) however
 * many they are, are not freed but kept until they are written. They are memory that was there before.
 *
 * Ids may come again: when what had the highest ones was taken out, XSETID can go back. A block that comes then lies
 * before `to`, and so `to` goes back to the block before it: all others that there were have left the stream.
 *
 * Groups come last. If they are few they are written aside at the beginning, which may take some calls before anything
 * may change, and then may change; else they must not.
 * What is told of the whole stands in dump->then. */
#include "core/assert.h"
#include "core/stream_group.h"
#include "shards/dump_stream_priv.h"

#define STAGED_AT_ONCE (256u * 1024) /* about half a millisecond */
#define PUT_AT_ONCE    (64u * 1024)

struct dump_stream_watched {
    const struct store *store;
    struct stream *stream;
    const struct dump_stream *dump;
    struct stream_watch watch;
    struct stream_id to;                /* of what is in the stream; the least id: none of it */
    struct idtree kept;                 /* struct block_slot, live: it is a copy. All ahead but the one written last */
    size_t copied;                      /* bytes of those that are copies */
    struct stream_scrap *scraps, *last; /* what was cut off, in its order */
    struct buf staged;
    struct dump_stream groups; /* what is still to be staged */
    bool stages, has_staged;
};

/* --- what is told --- */

static bool is_ahead(const struct dump_stream_watched *watched, const struct block_slot *slot, struct stream_id to) {
    return stream_id_compare(slot->base, watched->dump->at) > 0 && stream_id_compare(slot->base, to) <= 0;
}

/* Of the stream. Is it still to be written from there? */
static bool is_wanted(const struct dump_stream_watched *watched, const struct block_slot *slot) {
    return is_ahead(watched, slot, watched->to) && !idtree_find(&watched->kept, slot->base);
}

static void keep(struct dump_stream_watched *watched, struct stream_id base, struct block *block, bool copy) {
    struct block_slot *kept = idtree_insert(watched->store, &watched->kept, base);
    kept->block = block;
    kept->live = copy;
    kept->bytes = (uint32_t)store_block_size(block_size(block));
    if (copy) watched->copied += kept->bytes;
}

static void changes(void *ctx, const struct block_slot *slot) {
    struct dump_stream_watched *watched = ctx;
    if (!is_wanted(watched, slot)) return;
    keep(watched, slot->base, block_copy(watched->store, slot->block), true);
}

static bool goes(void *ctx, const struct block_slot *slot) {
    struct dump_stream_watched *watched = ctx;
    if (!is_wanted(watched, slot)) return false;
    keep(watched, slot->base, slot->block, false);
    return true;
}

static bool cut(void *ctx, struct stream_scrap *scrap) {
    struct dump_stream_watched *watched = ctx;
    struct idtree_iter iter = idtree_begin(&scrap->blocks);
    const struct block_slot *first = idtree_next(&iter), *last = idtree_last(&scrap->blocks);
    if (stream_id_compare(last->base, watched->dump->at) <= 0 || stream_id_compare(first->base, watched->to) > 0)
        return false;
    scrap->to = watched->to;
    *(watched->scraps ? &watched->last->next : &watched->scraps) = scrap;
    watched->last = scrap;
    return true;
}

static void grows(void *ctx, const struct block_slot *last) {
    struct dump_stream_watched *watched = ctx;
    struct stream_id before = last ? last->base : STREAM_ID_MIN;
    if (stream_id_compare(before, watched->to) < 0) watched->to = before;
}

/* --- what is written --- */

/* The first behind the one written last; NULL: there is none up to `to`. */
static const struct block_slot *first_in(const struct dump_stream_watched *watched, const struct idtree *blocks,
                                         struct stream_id to) {
    struct stream_id from = watched->dump->at;
    if (!stream_id_step(&from)) return NULL;
    struct idtree_iter iter = idtree_seek(blocks, from);
    const struct block_slot *slot = idtree_next(&iter);
    return slot && stream_id_compare(slot->base, to) <= 0 ? slot : NULL;
}

static const struct block_slot *lesser(const struct block_slot *a, const struct block_slot *b) {
    if (!a || !b) return a ? a : b;
    return stream_id_compare(a->base, b->base) <= 0 ? a : b;
}

static void free_written(struct dump_stream_watched *watched) {
    struct idtree_iter iter = idtree_begin(&watched->kept);
    const struct block_slot *slot = idtree_next(&iter);
    if (!slot || stream_id_compare(slot->base, watched->dump->at) > 0) return;
    if (slot->live) watched->copied -= slot->bytes;
    store_free(watched->store, slot->block, block_size(slot->block));
    idtree_remove(watched->store, &watched->kept, slot->base);
}

/* Of what was cut off. What was passed is freed. */
static const struct block_slot *first_cut(struct dump_stream_watched *watched) {
    while (watched->scraps) {
        struct stream_scrap *scrap = watched->scraps;
        const struct block_slot *slot = first_in(watched, &scrap->blocks, scrap->to);
        if (slot) return slot;
        watched->scraps = scrap->next;
        stream_scrap_delete(watched->store, scrap);
    }
    return NULL;
}

const struct block_slot *dump_stream_watched_block(struct dump_stream *dump) {
    struct dump_stream_watched *watched = dump->watched;
    free_written(watched);
    const struct block_slot *kept = first_in(watched, &watched->kept, STREAM_ID_MAX);
    const struct block_slot *in_stream = first_in(watched, &watched->stream->blocks, watched->to);
    return lesser(kept, lesser(first_cut(watched), in_stream)); /* of equal ones the one that was kept */
}

bool dump_stream_has_staged(const struct dump_stream *dump) {
    return dump->watched->has_staged;
}

bool dump_stream_put_staged(struct dump_stream *dump, struct buf *out) {
    struct buf *staged = &dump->watched->staged;
    struct slice some = buf_slice(staged);
    some.len = MIN(some.len, (size_t)PUT_AT_ONCE);
    buf_append_slice(out, some);
    staged->read += some.len;
    return buf_readable(staged) > 0;
}

/* --- begin and end --- */

static struct dump_stream_watched *begin(struct dump_stream *dump, const struct store *store, struct heap *heap) {
    struct dump_stream_watched *watched = store_alloc(store, sizeof *watched);
    struct stream *stream = (struct stream *)(uintptr_t)dump->stream;
    const struct block_slot *last = idtree_last(&stream->blocks);
    ASSERT(dump->part != DUMP_NODE_COUNT);
    *watched = (struct dump_stream_watched){.store = store, .stream = stream, .dump = dump};
    watched->watch = (struct stream_watch){changes, goes, cut, grows, watched};
    watched->to = last ? last->base : STREAM_ID_MIN;
    idtree_init(&watched->kept, sizeof(struct block_slot));
    buf_init(&watched->staged, heap, MEM_MESSAGE);
    watched->stages = stream->group_bytes <= DUMP_GROUPS_MAX;
    watched->groups = dump_stream_groups(dump);
    return watched;
}

/* True while there is more. When it is their turn it is too late. */
static bool stage_some(struct dump_stream_watched *watched, bool compress) {
    size_t start = watched->staged.len;
    if (watched->dump->part != DUMP_NODES) watched->stages = false;
    while (watched->stages && watched->staged.len - start < STAGED_AT_ONCE) {
        watched->stages = dump_stream_next(&watched->groups, &watched->staged, compress);
        watched->has_staged = !watched->stages;
    }
    return watched->stages;
}

bool dump_stream_watch(struct dump_stream *dump, const struct store *store, struct heap *heap, bool compress) {
    if (!dump->watched) dump->watched = begin(dump, store, heap);
    struct dump_stream_watched *watched = dump->watched;
    if (stage_some(watched, compress)) return false;
    ASSERT(!watched->stream->watch);
    watched->stream->watch = &watched->watch;
    return true;
}

/* The last block may be copied, others are of the usual size or go as a whole: who takes out an entry that is large has
 * taken out a block. */
bool dump_stream_ready(const struct dump_stream *dump) {
    const struct dump_stream_watched *watched = dump->watched;
    const struct block_slot *last = idtree_last(&watched->stream->blocks);
    if (watched->copied >= DUMP_KEPT_MAX) return false;
    return !last || last->bytes < DUMP_KEPT_MAX || !is_wanted(watched, last);
}

bool dump_stream_groups_may_change(const struct dump_stream *dump) {
    return dump->watched->has_staged;
}

void dump_stream_unwatch(struct dump_stream *dump) {
    struct dump_stream_watched *watched = dump->watched;
    const struct store *store = watched->store;
    if (watched->stream->watch == &watched->watch) watched->stream->watch = NULL;
    while (watched->scraps) {
        struct stream_scrap *scrap = watched->scraps;
        watched->scraps = scrap->next;
        stream_scrap_delete(store, scrap);
    }
    struct stream_scrap *kept = store_alloc(store, sizeof *kept);
    *kept = (struct stream_scrap){.blocks = watched->kept};
    stream_scrap_delete(store, kept);
    buf_deinit(&watched->staged);
    store_free(store, watched, sizeof *watched);
    dump->watched = NULL;
}
