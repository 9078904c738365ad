/* Searches whose result goes to another shard. The source's owner searches; when it passes over many members it does so
 * in steps that are short (shards/gather.h), and home has what was found on its way:
 *
 *      source's shard                              home                     destination's shard
 *      sherd.geosearch key command ...       <---  step 0
 *      [body count], :0                      --->  step 1 --------------->  sherd.put; sherd.drop if nothing was found
 *                                                  its reply  <-----------
 *      [keep enough order]: a long one       --->  step 1
 *      sherd.geowalk key range rank ...      <---  ...
 *      [range rank more hits]                --->  ...    --------------->  sherd.aside key piece
 *                                                  ...    --------------->  sherd.put-aside, sherd.tell ...
 *
 * With COUNT, unless any will do, home keeps as many as are asked for until all was searched: a sorted set in which the
 * score is the distance, and the member
 *
 *      | number 8, big-endian | what is to be stored 8 | text |           number: they were found in this order
 *
 * When the source's time is over before all was searched nothing was found.
 *
 * Owner     the gather. Thread: home. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/aside.h"
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_geo_search_priv.h"
#include "shards/piece.h"
#include "shards/shard.h"
#include <endian.h>
#include <stdio.h>

#define SOME (PIECE_ELEMENTS / 4) /* hits that are sent on at once: put into a tree, in no order perhaps */

enum asked { ASKED_WALK, ASKED_ROOM, ASKED_PAUSE, ASKED_LAST, ASKED_PUT };

struct geo_run {
    uint32_t key_at, store_at;
    struct heap *heap;
    enum asked asked;   /* by the step under way */
    uint32_t walk_part; /* which of its parts answers */
    bool begun;         /* something is at the destination */
    bool more;          /* to be searched */
    struct wanted wanted;
    struct geo_walk walk;
    uint64_t found;
    struct sorted *nearest; /* or those farthest away; NULL: all that is found is stored */
    struct buf member;      /* scratch */
    uint64_t count;         /* hits that were sent on */
    uint64_t waits_since;   /* for memory, ms; 0: it does not */
    struct buf piece;       /* that is to be sent on */
};

static struct geo_run *run_of(const struct gather *g) {
    return (struct geo_run *)(uintptr_t)g->memo[0];
}

static void end_run(struct gather *g) {
    struct geo_run *run = run_of(g);
    if (run->nearest) sorted_delete(&g->home->shared.store, run->nearest);
    buf_deinit(&run->member);
    buf_deinit(&run->piece);
    heap_free(run->heap, MEM_MESSAGE, run, sizeof *run);
}

/* --- asking --- */

/* name, source, then `count` numbers and the command as it came. */
static void send_search(struct gather *g, uint32_t key_at, const char *name, const uint64_t *numbers, uint32_t count) {
    char digits[3][NUM_U64_MAX];
    size_t bytes = (g->argc + 1 + count) * sizeof(struct slice);
    struct slice *args = heap_alloc(g->home->heap, MEM_MESSAGE, bytes);
    ASSERT(count <= ARRAY_LEN(digits));
    args[0] = g->argv[key_at];
    for (uint32_t i = 0; i < count; i++) args[1 + i] = slice_of(digits[i], num_format_u64(digits[i], numbers[i]));
    memcpy(args + 1 + count, g->argv, g->argc * sizeof *args);
    gather_send(g, gather_owner(g, key_at), name, args, g->argc + 1 + count);
    heap_free(g->home->heap, MEM_MESSAGE, args, bytes);
}

static void ask_for_hits(struct gather *g, struct geo_run *run) {
    uint64_t numbers[3] = {run->walk.range, run->walk.rank, run->wanted.enough - run->found};
    run->asked = ASKED_WALK;
    run->walk_part = g->sent;
    send_search(g, run->key_at, "sherd.geowalk", numbers, ARRAY_LEN(numbers));
}

static void begin_run(struct gather *g, uint32_t key_at, uint32_t store_at, struct slice rest) {
    struct heap *heap = g->home->heap;
    struct geo_run *run = heap_alloc_zero(heap, MEM_MESSAGE, sizeof *run);
    int64_t words[GEO_HEAD];
    for (size_t i = 0; i < GEO_HEAD; i++) {
        bool is_int = gather_reply_int(gather_next_element(&rest), &words[i]);
        ASSERT(is_int);
    }
    run->key_at = key_at;
    run->store_at = store_at;
    run->heap = heap;
    run->wanted = (struct wanted){(enum order)words[2], (uint64_t)words[1], (uint64_t)words[0]};
    bool chooses = run->wanted.keep != (uint64_t)INT64_MAX && run->wanted.enough == (uint64_t)INT64_MAX;
    if (chooses) run->nearest = sorted_new(&g->home->shared.store, &g->home->shared.seed);
    buf_init(&run->member, heap, MEM_MESSAGE);
    buf_init(&run->piece, heap, MEM_MESSAGE);
    g->memo[0] = (uint64_t)(uintptr_t)run;
    g->end = end_run;
    ask_for_hits(g, run);
}

/* --- what was found --- */

static void add_to_piece(struct geo_run *run, struct slice member, double stored) {
    piece_add(&run->piece, member);
    piece_add_score(&run->piece, stored);
    run->count++;
}

/* Of equal distances those that were found first come first, in both orders. */
static void keep(struct gather *g, struct geo_run *run, struct slice member, double distance, double stored) {
    const struct store *store = &g->home->shared.store;
    double score = run->wanted.order == FARTHEST_FIRST ? -distance : distance;
    uint64_t count = sorted_count(run->nearest), number = htobe64(run->found);
    if (count == run->wanted.keep) {
        struct sorted_element *last = sorted_at(run->nearest, count - 1);
        if (score >= last->score) return;
        sorted_remove(store, run->nearest, last);
    }
    run->member.len = 0;
    buf_append(&run->member, &number, sizeof number);
    buf_append(&run->member, &stored, sizeof stored);
    buf_append_slice(&run->member, member);
    sorted_insert(store, run->nearest, buf_slice(&run->member), score);
}

static void take_hits(struct gather *g, struct geo_run *run, struct slice piece) {
    run->piece.len = 0;
    for (; piece.len; run->found++) {
        struct slice member = piece_next(&piece);
        double distance = piece_next_score(&piece), stored = piece_next_score(&piece);
        if (run->nearest)
            keep(g, run, member, distance, stored);
        else
            add_to_piece(run, member, stored);
    }
}

/* Nothing was found, after all. */
static void forget_hits(struct gather *g, struct geo_run *run) {
    if (run->nearest) sorted_delete(&g->home->shared.store, run->nearest);
    run->nearest = NULL;
    run->count = run->piece.len = 0;
}

static void take_walk(struct gather *g, struct geo_run *run) {
    struct geo_walked walked = {0};
    struct slice bytes;
    if (gather_reply_bulk(gather_reply(g, run->walk_part), &bytes)) {
        piece_take(&bytes, &walked, sizeof walked);
        take_hits(g, run, bytes);
    } else { /* its time is over */
        forget_hits(g, run);
    }
    run->walk = walked.walk;
    run->more = walked.more;
}

static uint64_t kept(const struct geo_run *run) {
    return run->nearest ? sorted_count(run->nearest) : 0;
}

static void take_kept(struct geo_run *run) {
    const struct sorted_element *element;
    struct sorted_iter iter = sorted_seek(run->nearest, run->count);
    run->piece.len = 0;
    for (uint32_t i = 0; i < SOME && (element = sorted_next(&iter)); i++) {
        struct slice member = sorted_member(element);
        uint64_t number;
        double stored;
        piece_take(&member, &number, sizeof number);
        piece_take(&member, &stored, sizeof stored);
        add_to_piece(run, member, stored);
    }
}

/* --- where it goes --- */

static struct aside_at store_of(const struct gather *g, const struct geo_run *run) {
    return (struct aside_at){run->store_at, g->db};
}

/* False: there is no memory for it yet, and the step is over; or there will be none, and that was replied. */
static bool send_piece(struct gather *g, struct geo_run *run) {
    if (run->piece.len == 0) return true;
    run->asked = ASKED_ROOM;
    if (!aside_has_room(g, run->piece.len, &run->waits_since)) return false;
    aside_send(g, store_of(g, run),
               &(struct aside_piece){
                   .type = TYPE_ZSET, .first = !run->begun, .expects = kept(run), .bytes = buf_slice(&run->piece)});
    run->begun = true;
    return true;
}

static void put(struct gather *g, struct geo_run *run) {
    char event[32];
    snprintf(event, sizeof event, "%c%s", EVENT_ZSET, command_event(g->slot->row));
    run->asked = ASKED_PUT;
    if (run->count > 0)
        aside_put(g, store_of(g, run), &(struct aside_put){.form = ASIDE_BY_RULE, .event = event});
    else
        gather_send(g, gather_owner(g, run->store_at), "sherd.drop",
                    (struct slice[]){g->argv[run->store_at], SLICE("gdel")}, 2);
}

static void take_put(struct gather *g, struct geo_run *run) {
    int64_t answer;
    if (run->count > 0 && gather_reply_int(gather_reply(g, 0), &answer) && answer == ASIDE_TELLS)
        aside_tell(g, store_of(g, run));
    else
        resp_int(gather_out(g), (int64_t)run->count);
}

/* --- steps --- */

/* Sends on what is there and asks for what comes next. */
static void deliver(struct gather *g, struct geo_run *run) {
    if (!send_piece(g, run)) return;
    if (run->more) {
        ask_for_hits(g, run);
        return;
    }
    run->asked = run->count < kept(run) ? ASKED_PAUSE : ASKED_LAST;
    if (run->asked == ASKED_PAUSE) gather_let_turn_pass(g);
    if (!g->sent) put(g, run);
}

static void step(struct gather *g, struct geo_run *run) {
    switch (run->asked) {
    case ASKED_WALK:
        take_walk(g, run);
        deliver(g, run);
        return;
    case ASKED_ROOM: deliver(g, run); return;
    case ASKED_PAUSE:
        take_kept(run);
        deliver(g, run);
        return;
    case ASKED_LAST: put(g, run); return;
    case ASKED_PUT: take_put(g, run); return;
    }
}

void geo_store_across(struct gather *g, uint32_t key_at, uint32_t store_at) {
    struct slice rest;
    if (g->end == end_run) {
        step(g, run_of(g));
        if (g->sent) gather_let_turn_pass(g);
        return;
    }
    switch (g->step) {
    case 0: send_search(g, key_at, "sherd.geosearch", NULL, 0); return;
    case 1:
        if (gather_reply_array(gather_reply(g, 0), &rest) == GEO_HEAD)
            begin_run(g, key_at, store_at, rest);
        else
            zset_put_result(g, store_at);
        return;
    default: zset_end_result(g);
    }
}
