/* Stream: appending and removing, trimming, freeing. A slot of the tree repeats how many live entries its block has and
 * what memory it takes, so that trimming need not touch blocks that go as a whole: they are cut off with the part of
 * the tree that leads to them, and freed as an object of their own (struct stream_scrap).
 *
 * A block whose entries are all deleted goes with the last of them; only exact trimming may leave such a one behind,
 * when what is deleted at its end has higher ids than what was to go. Redis does so, and counts blocks. */
#include "core/stream.h"
#include "core/assert.h"
#include "core/stream_group.h"

struct stream *stream_new(const struct store *store) {
    struct stream *stream = store_alloc(store, sizeof *stream);
    *stream = (struct stream){0};
    idtree_init(&stream->blocks, sizeof(struct block_slot));
    return stream;
}

size_t stream_bytes(const struct stream *stream) {
    return store_block_size(sizeof *stream) + stream->blocks.bytes + stream->block_bytes + stream->group_bytes;
}

/* The slot's block is this one now. */
static void tell_slot(struct stream *stream, struct block_slot *slot, struct block *block) {
    uint32_t bytes = (uint32_t)store_block_size(block_size(block));
    stream->block_bytes += bytes;
    stream->block_bytes -= slot->bytes;
    slot->block = block;
    slot->live = block->live;
    slot->bytes = bytes;
}

static struct block_slot *add_slot(const struct store *store, struct stream *stream, struct stream_id base,
                                   struct block *block) {
    struct block_slot *slot = idtree_insert(store, &stream->blocks, base);
    slot->bytes = 0;
    tell_slot(stream, slot, block);
    return slot;
}

static void drop_block(const struct store *store, struct stream *stream, const struct block_slot *slot) {
    struct stream_id base = slot->base;
    stream->block_bytes -= slot->bytes;
    if (!stream->watch || !stream->watch->goes(stream->watch->ctx, slot))
        store_free(store, slot->block, block_size(slot->block));
    idtree_remove(store, &stream->blocks, base);
}

static void tell_change(const struct stream *stream, const struct block_slot *slot) {
    if (UNLIKELY(stream->watch != NULL)) stream->watch->changes(stream->watch->ctx, slot);
}

/* --- appending --- */

static uint64_t text_bytes(const struct slice *pairs, uint32_t fields) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 2 * fields; i++) bytes += pairs[i].len;
    return bytes;
}

void stream_append(const struct store *store, struct stream *stream, const struct stream_rule *rule,
                   struct stream_id id, const struct slice *pairs, uint32_t fields) {
    struct block_slot *slot = idtree_last(&stream->blocks);
    ASSERT(stream_id_compare(id, stream->last) > 0);
    if (!slot || UNLIKELY(block_is_full(slot->block, rule, text_bytes(pairs, fields)))) {
        if (UNLIKELY(stream->watch != NULL)) stream->watch->grows(stream->watch->ctx, slot);
        if (slot) tell_slot(stream, slot, block_shrink(store, slot->block));
        slot = add_slot(store, stream, id, block_new(store, pairs, fields));
    } else {
        tell_change(stream, slot);
    }
    struct block *block = block_append(store, slot->block, slot->base, id, pairs, fields);
    if (LIKELY(block == slot->block))
        slot->live++;
    else
        tell_slot(stream, slot, block);
    stream->added++;
    stream->last = id;
    if (stream->length++ == 0) stream->first = id;
}

/* --- iterating --- */

#define TRY_BACK 8 /* entries from the end of a block: who reads what is new begins there */

/* Where the first entry that is >= from begins, from the end of the block if it is near. */
static const char *seek_in_block(const struct block_slot *slot, struct stream_id from) {
    struct stream_entry entry;
    const char *at = block_end(slot->block);
    for (int i = 0; i < TRY_BACK && at > block_begin(slot->block); i++) {
        const char *before = block_prev(slot->block, slot->base, at, &entry);
        if (stream_id_compare(entry.id, from) < 0) return at;
        at = before;
    }
    const char *near = at;
    for (at = block_begin(slot->block); at < near;) {
        const char *next = block_next(slot->block, slot->base, at, &entry);
        if (stream_id_compare(entry.id, from) >= 0) break;
        at = next;
    }
    return at;
}

/* The first block that may hold an id: the last one that begins there or before. */
static struct block_slot *block_of(struct idtree_iter *iter, const struct idtree *blocks, struct stream_id id) {
    *iter = idtree_seek(blocks, id);
    struct idtree_iter ahead = *iter;
    struct block_slot *slot = idtree_next(&ahead);
    if (slot && stream_id_equal(slot->base, id)) {
        *iter = ahead;
        return slot;
    }
    ahead = *iter;
    slot = idtree_prev(&ahead);
    return slot ? slot : idtree_next(iter);
}

struct stream_iter stream_seek(const struct stream *stream, struct stream_id from, struct stream_id to,
                               bool backwards) {
    struct stream_iter iter = {.from = from, .to = to, .backwards = backwards};
    if (!backwards) {
        iter.slot = block_of(&iter.blocks, &stream->blocks, from);
        if (iter.slot) iter.at = seek_in_block(iter.slot, from);
        return iter;
    }
    struct stream_id behind = to;
    iter.blocks = stream_id_step(&behind) ? idtree_seek(&stream->blocks, behind) : idtree_end(&stream->blocks);
    iter.slot = idtree_prev(&iter.blocks);
    if (iter.slot) iter.at = block_end(iter.slot->block);
    return iter;
}

static bool next_block(struct stream_iter *iter) {
    iter->slot = iter->backwards ? idtree_prev(&iter->blocks) : idtree_next(&iter->blocks);
    if (!iter->slot) return false;
    iter->at = iter->backwards ? block_end(iter->slot->block) : block_begin(iter->slot->block);
    return true;
}

size_t stream_bytes_between(const struct stream *stream, struct stream_id from, struct stream_id to, bool backwards,
                            uint64_t count) {
    struct stream_iter iter = stream_seek(stream, from, to, backwards);
    size_t bytes = 0;
    uint64_t seen = 0; /* how many entries of the first block are in the range is not known */
    for (bool first = true; iter.slot && (count == 0 || seen < count); first = false) {
        if (!backwards && stream_id_compare(iter.slot->base, to) > 0) break;
        bytes += iter.slot->bytes;
        if (!first) seen += iter.slot->live;
        if ((backwards && stream_id_compare(iter.slot->base, from) <= 0) || !next_block(&iter)) break;
    }
    return bytes;
}

bool stream_next(struct stream_iter *iter, struct stream_entry *entry) {
    while (iter->slot) {
        const struct block *block = iter->slot->block;
        if (iter->at == (iter->backwards ? block_begin(block) : block_end(block))) {
            next_block(iter);
            continue;
        }
        iter->at = iter->backwards ? block_prev(block, iter->slot->base, iter->at, entry)
                                   : block_next(block, iter->slot->base, iter->at, entry);
        bool low = stream_id_compare(entry->id, iter->from) < 0;
        bool high = stream_id_compare(entry->id, iter->to) > 0;
        if (iter->backwards ? low : high) iter->slot = NULL;
        if (!low && !high && !stream_entry_is_deleted(entry)) return true;
    }
    return false;
}

bool stream_has(const struct stream *stream, struct stream_id id) {
    struct stream_entry entry;
    struct stream_iter iter = stream_seek(stream, id, id, false);
    return stream_next(&iter, &entry);
}

struct stream_id stream_last_valid(const struct stream *stream) {
    struct stream_entry entry;
    struct stream_iter iter = stream_seek(stream, STREAM_ID_MIN, STREAM_ID_MAX, true);
    return stream->length > 0 && stream_next(&iter, &entry) ? entry.id : STREAM_ID_MIN;
}

struct stream_id stream_find_first(const struct stream *stream) {
    struct stream_entry entry;
    struct stream_iter iter = stream_seek(stream, STREAM_ID_MIN, STREAM_ID_MAX, false);
    return stream->length > 0 && stream_next(&iter, &entry) ? entry.id : STREAM_ID_MIN;
}

/* --- removing --- */

bool stream_remove(const struct store *store, struct stream *stream, struct stream_id id) {
    struct stream_entry entry;
    struct stream_iter iter = stream_seek(stream, id, id, false);
    const struct block_slot *slot = iter.slot;
    if (!stream_next(&iter, &entry)) return false;
    if (slot->block->live == 1) {
        drop_block(store, stream, slot);
    } else {
        tell_change(stream, slot);
        block_mark_deleted(slot->block, &entry);
        ((struct block_slot *)(uintptr_t)slot)->live--;
    }
    stream->length--;
    return true;
}

/* --- trimming --- */

static bool drop_blocks(const struct store *store, struct idtree *blocks, unsigned *units) {
    struct block_slot *slot;
    for (; *units > 0 && (slot = idtree_last(blocks)); --*units) {
        store_free(store, slot->block, block_size(slot->block));
        idtree_drop_last(store, blocks);
    }
    return blocks->root != NULL;
}

static bool scrap_free_some(const struct store *store, void *object, unsigned units) {
    struct stream_scrap *scrap = object;
    if (drop_blocks(store, &scrap->blocks, &units)) return true;
    store_free(store, scrap, sizeof *scrap);
    return false;
}

void stream_scrap_delete(const struct store *store, struct stream_scrap *scrap) {
    store_free_object(store, scrap_free_some, scrap);
}

/* Is every entry of the block below id? `next` is the block behind it, which may be none. */
static bool is_below(const struct block_slot *slot, const struct block_slot *next, struct stream_id id) {
    struct stream_entry entry;
    if (next && stream_id_compare(next->base, id) <= 0) return true;
    if (stream_id_compare(slot->base, id) >= 0) return false;
    (void)block_prev(slot->block, slot->base, block_end(slot->block), &entry);
    return stream_id_compare(entry.id, id) < 0;
}

/* Whole blocks in front; how many entries went with them. *stopped: the limit was reached. */
static uint64_t trim_blocks(const struct store *store, struct stream *stream, const struct stream_trim *trim,
                            bool *stopped) {
    struct idtree_iter iter = idtree_begin(&stream->blocks), last = iter;
    uint64_t gone = 0, blocks = 0;
    size_t bytes = 0;
    const struct block_slot *slot = idtree_next(&iter), *next;
    for (; slot; slot = next) {
        struct idtree_iter behind = iter;
        next = idtree_next(&iter);
        if (!trim->by_id && stream->length - gone <= trim->max) break;
        *stopped = trim->limit && gone + slot->live > trim->limit;
        if (*stopped) break;
        bool goes = trim->by_id ? is_below(slot, next, trim->id) : stream->length - gone >= trim->max + slot->live;
        if (!goes) break;
        gone += slot->live;
        bytes += slot->bytes;
        blocks++;
        last = behind;
    }
    if (blocks == 0) return 0;
    struct stream_scrap *scrap = store_alloc(store, sizeof *scrap);
    scrap->next = NULL;
    idtree_cut(store, &stream->blocks, &last, blocks, &scrap->blocks);
    stream->block_bytes -= bytes;
    stream->length -= gone;
    if (!stream->watch || !stream->watch->cut(stream->watch->ctx, scrap)) stream_scrap_delete(store, scrap);
    return gone;
}

/* Entries of the first block, of which some stay. */
static uint64_t trim_entries(struct stream *stream, const struct stream_trim *trim) {
    struct idtree_iter iter = idtree_begin(&stream->blocks);
    struct block_slot *slot = idtree_next(&iter);
    struct stream_entry entry;
    uint64_t gone = 0;
    if (!slot) return 0;
    for (const char *at = block_begin(slot->block); at < block_end(slot->block);) {
        at = block_next(slot->block, slot->base, at, &entry);
        if (trim->by_id ? stream_id_compare(entry.id, trim->id) >= 0 : stream->length <= trim->max) break;
        if (stream_entry_is_deleted(&entry)) continue;
        tell_change(stream, slot);
        block_mark_deleted(slot->block, &entry);
        slot->live--;
        stream->length--;
        gone++;
    }
    return gone;
}

uint64_t stream_trim(const struct store *store, struct stream *stream, const struct stream_trim *trim) {
    bool stopped = false;
    if (!trim->by_id && stream->length <= trim->max) return 0;
    uint64_t gone = trim_blocks(store, stream, trim, &stopped);
    if (trim->exact && !stopped) gone += trim_entries(stream, trim);
    if (stream->length == 0)
        stream->first = STREAM_ID_MIN;
    else if (gone > 0)
        stream->first = stream_find_first(stream);
    return gone;
}

/* --- guessing how many entries lie before an id --- */

bool stream_has_holes(const struct stream *stream, struct stream_id from) {
    if (stream->length == 0 || stream_id_is_zero(stream->max_deleted)) return false;
    if (stream_id_compare(stream->first, stream->max_deleted) > 0) return false; /* it lies before all that is there */
    return stream_id_compare(from, stream->max_deleted) <= 0;
}

int64_t stream_count_to(const struct stream *stream, struct stream_id id) {
    int64_t added = (int64_t)stream->added;
    int order = stream_id_compare(id, stream->last);
    if (added == 0) return 0;
    if (stream->length == 0 && order < 1) return added;
    if (order == 0) return added;
    if (order > 0) return -1;
    bool holes = !stream_id_is_zero(stream->max_deleted) && stream_id_compare(stream->max_deleted, stream->first) >= 0;
    int to_first = stream_id_compare(id, stream->first);
    if (holes || to_first > 0) return -1;
    return (int64_t)(stream->added - stream->length + (to_first == 0));
}

/* --- the whole --- */

/* Of the entries that were taken out at its end ids may be above those of the next block: XSETID went back. The base,
 * when there is none. */
static struct stream_id last_live_id(const struct block_slot *slot) {
    struct stream_entry entry;
    for (const char *at = block_end(slot->block); at > block_begin(slot->block);) {
        at = block_prev(slot->block, slot->base, at, &entry);
        if (!stream_entry_is_deleted(&entry)) return entry.id;
    }
    return slot->base;
}

bool stream_load_block(const struct store *store, struct stream *stream, struct stream_id base, struct block *block) {
    const struct block_slot *last = idtree_last(&stream->blocks);
    if (last && stream_id_compare(base, last_live_id(last)) <= 0) return false;
    stream->length += block->live;
    (void)add_slot(store, stream, base, block);
    return true;
}

void stream_copy_begin(const struct store *store, struct stream_copying *copying, const struct stream *stream) {
    struct stream *copy = store_alloc(store, sizeof *copy);
    *copying = (struct stream_copying){.copy = copy};
    *copy = *stream;
    copy->block_bytes = copy->group_bytes = 0;
    copy->groups = (struct names){0};
    copy->watch = NULL;
    idtree_init(&copy->blocks, sizeof(struct block_slot));
}

static bool copy_blocks(const struct store *store, struct stream_copying *copying, const struct stream *stream,
                        unsigned *units) {
    struct idtree_iter iter = idtree_seek(&stream->blocks, copying->at);
    const struct block_slot *slot;
    for (; (slot = idtree_next(&iter)); --*units) {
        copying->at = slot->base;
        if (*units == 0) return true;
        (void)add_slot(store, copying->copy, slot->base, block_copy(store, slot->block));
    }
    copying->at = STREAM_ID_MIN;
    return false;
}

bool stream_copy_some(const struct store *store, struct stream_copying *copying, const struct stream *stream,
                      unsigned units) {
    if (!copying->has_blocks && copy_blocks(store, copying, stream, &units)) return true;
    copying->has_blocks = true;
    return stream_groups_copy_some(store, copying, stream, &units);
}

struct stream *stream_copy(const struct store *store, const struct stream *stream) {
    struct stream_copying copying;
    stream_copy_begin(store, &copying, stream);
    while (stream_copy_some(store, &copying, stream, UINT32_MAX)) continue;
    return copying.copy;
}

void stream_delete(const struct store *store, struct stream *stream) {
    store_free_object(store, stream_free_some, stream);
}

bool stream_free_some(const struct store *store, void *object, unsigned units) {
    struct stream *stream = object;
    ASSERT(!stream->watch);
    if (drop_blocks(store, &stream->blocks, &units) || stream_groups_free_some(store, stream, &units)) return true;
    store_free(store, stream, sizeof *stream);
    return false;
}

void stream_check(const struct stream *stream) {
    struct idtree_iter iter = idtree_begin(&stream->blocks);
    const struct block_slot *slot;
    uint64_t length = 0;
    size_t bytes = 0;
    idtree_check(&stream->blocks);
    while ((slot = idtree_next(&iter))) {
        block_check(slot->block, slot->base);
        ASSERT(slot->live == slot->block->live && slot->bytes == store_block_size(block_size(slot->block)));
        length += slot->live;
        bytes += slot->bytes;
    }
    ASSERT(length == stream->length && bytes == stream->block_bytes);
    ASSERT(stream_id_equal(stream->first, stream_find_first(stream)));
    stream_groups_check(stream);
}
