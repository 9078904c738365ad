/* Dump in pieces, watched: the value changes between the pieces, and what is written is what there was at the beginning.
 *
 * Tables. What is behind the cursor was written. An element ahead is written when it is about to change for the first
 * time, out of turn, and remembered, as is one that is new; the cursor passes over both. The order of a table means
 * nothing, so the file has exactly what there was at the beginning.
 *
 * Sorted sets. The same in the order of scores, from the largest on, so that who reads the file puts most elements where
 * it has put the one before. The cursor is a rank: so many elements lie ahead. An element may change its place, too: who
 * comes from ahead for the first time is written out of turn, and who is ahead now without being written is remembered
 * until the cursor passes over it or it goes.
 *
 *      0 ... | old | new | old | changed | ... rank | written, or new, or changed | ...
 *                    \___________\_____ passed                                      the order of scores -->
 *
 * At any time `left` elements ahead are not remembered: those that are still to be written.
 *
 * Lists (core/quicklist_past.c) and streams (dump_stream_watch.c) have an order that the file must have, too: what of them
 * is about to change or go is kept until it is its turn. */
#include "core/assert.h"
#include "core/fields.h"
#include "shards/dump_pieces_priv.h"

static bool is_set(const struct dump_pieces *pieces) {
    return pieces->entry->type == TYPE_SET;
}

static void put_all_of_rest(struct dump_pieces *pieces) {
    while (pieces->rest.len > 0) dump_pieces_put_rest(pieces, pieces->out, pieces->rest.len);
}

/* --- tables --- */

static void put_whole(struct dump_pieces *pieces, struct slice text) {
    dump_pieces_put_text(pieces, pieces->out, text);
    put_all_of_rest(pieces);
    pieces->left--;
}

static void before_change(void *ctx, struct slice name, bool present, struct slice value) {
    struct dump_pieces *pieces = ctx;
    if (pieces->left == 0 || dump_pieces_position(pieces, name) < pieces->cursor) return;
    ASSERT(pieces->rest.len == 0 && pieces->next == pieces->texts.len);
    if (!members_add(pieces->store, pieces->passed, name) || !present) return;
    put_whole(pieces, name);
    if (!is_set(pieces)) put_whole(pieces, value);
}

/* --- sorted sets --- */

static uint64_t rank_of(const struct dump_pieces *pieces, struct slice member, double score) {
    return zset_count_before(pieces->entry,
                             &(struct sorted_bound){.by = SORTED_BY_BOTH, .score = score, .member = member});
}

static void before_move(void *ctx, struct slice member, const double *from, const double *to) {
    struct dump_pieces *pieces = ctx;
    if (pieces->left == 0) return;
    ASSERT(pieces->rest.len == 0);
    bool leaves = from && rank_of(pieces, member, *from) < pieces->rank, comes = false;
    if (to) { /* its rank when it is not where it was any more */
        uint64_t rank = rank_of(pieces, member, *to) - (from && *from < *to);
        comes = rank < pieces->rank - leaves;
    }
    bool known = leaves && members_has(pieces->passed, member);
    if (leaves && !known) {
        dump_pieces_put_pair(pieces, pieces->out, member, *from);
        put_all_of_rest(pieces);
        pieces->left--;
    }
    if (comes)
        members_add(pieces->store, pieces->passed, member);
    else if (known)
        members_remove(pieces->store, pieces->passed, member);
    pieces->rank = pieces->rank - leaves + comes;
    pieces->moved = true;
}

/* --- all of them --- */

static void watch_names(struct dump_pieces *pieces, bool watch) {
    void *object = entry_object(pieces->entry);
    pieces->watch = (struct table_watch){before_change, pieces};
    pieces->score_watch = (struct score_watch){before_move, pieces};
    if (pieces->entry->type == TYPE_ZSET)
        sorted_watch(object, watch ? &pieces->score_watch : NULL);
    else if (is_set(pieces))
        members_watch(object, watch ? &pieces->watch : NULL);
    else
        fields_watch(object, watch ? &pieces->watch : NULL);
}

bool dump_pieces_watch(struct dump_pieces *pieces, const struct store *store, const struct hash_seed *seed,
                       struct buf *out) {
    if (dump_pieces_writes_list(pieces)) {
        pieces->past = quicklist_past_new(store, entry_object(pieces->entry), pieces->node, pieces->left);
    } else if (dump_pieces_writes_stream(pieces)) {
        if (!dump_stream_watch(&pieces->stream, store, out->heap, pieces->compress)) return false;
    } else if (dump_pieces_writes_table(pieces) || dump_pieces_writes_zset(pieces)) {
        pieces->passed = members_new(store, seed);
        watch_names(pieces, true);
    } else {
        return false;
    }
    pieces->store = store;
    pieces->out = out;
    return true;
}

bool dump_pieces_ready(const struct dump_pieces *pieces) {
    if (!pieces->store || pieces->rest.len > 0) return false;
    if (pieces->entry->type == TYPE_LIST) return true;
    if (pieces->entry->type == TYPE_STREAM) return dump_stream_ready(&pieces->stream);
    return pieces->next == pieces->texts.len && members_bytes(pieces->passed) < DUMP_PASSED_MAX;
}

bool dump_pieces_groups_may_change(const struct dump_pieces *pieces) {
    return pieces->entry->type == TYPE_STREAM && dump_stream_groups_may_change(&pieces->stream);
}

void dump_pieces_unwatch(struct dump_pieces *pieces) {
    if (pieces->entry->type == TYPE_LIST) {
        quicklist_past_delete(pieces->past);
        pieces->past = NULL;
    } else if (pieces->entry->type == TYPE_STREAM) {
        dump_stream_unwatch(&pieces->stream);
    } else {
        watch_names(pieces, false);
        members_delete(pieces->store, pieces->passed);
    }
    pieces->store = NULL;
}
