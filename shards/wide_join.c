/* Wide joins, step by step. Each step takes what the one before has asked for and asks for the next; where all of it is
 * at home, a turn goes by between them. */
#include "shards/wide_join.h"
#include "core/assert.h"
#include "core/num.h"
#include "core/resp_write.h"
#include "shards/admit.h"
#include "shards/answer_work.h"
#include "shards/aside.h"
#include "shards/cmd_generic_priv.h"
#include "shards/gather_room.h"
#include "shards/piece.h"
#include "shards/reaper.h"
#include "shards/shard.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SCORED_ELEMENTS (PIECE_ELEMENTS / 8) /* put into a tree in no order, they cost ten cache misses each */
#define WRONG_TYPE      "WRONGTYPE Operation against a key holding the wrong kind of value"

struct wide_source {
    uint64_t len; /* 0: the key is absent */
    uint64_t bytes;
    double weight;
    uint32_t place; /* among the keys */
    uint8_t owner;
    uint8_t type; /* enum value_type */
};

enum asked {
    ASKED_SIZES,
    ASKED_START, /* room for the reply */
    ASKED_PIECE,
    ASKED_LOOKS,
    ASKED_COUNT,
    ASKED_ROOM,
    ASKED_PUT,
    ASKED_PAUSE
};

struct wide_run {
    struct wide_join join;
    struct heap *heap;
    enum asked asked;           /* by the step under way */
    bool adds;                  /* and its first part went to the destination */
    uint32_t piece_part;        /* which of its parts is the piece */
    bool begun;                 /* something is at the destination */
    uint32_t at;                /* the source that is walked over */
    struct piece_cursor cursor; /* in it */
    uint64_t count;             /* of the result, so far */
    uint64_t waits_since;       /* for memory, ms; 0: it does not */
    uint64_t answered;          /* elements of a sorted set that stand in the reply */
    struct buf walked;          /* a piece of the source */
    struct buf passed;          /* what is left of it */
    struct building built;      /* at home: the sorted set to be answered, or what a union of sets has met */
    struct wide_source sources[];
};

static struct wide_run *run_of(const struct gather *g) {
    return (struct wide_run *)(uintptr_t)g->memo[0];
}

static size_t run_bytes(uint32_t keys) {
    return sizeof(struct wide_run) + keys * sizeof(struct wide_source);
}

static void end_run(struct gather *g) {
    struct wide_run *run = run_of(g);
    building_drop(&run->built);
    buf_deinit(&run->walked);
    buf_deinit(&run->passed);
    heap_free(run->heap, MEM_MESSAGE, run, run_bytes(run->join.keys));
}

/* --- sources --- */

static void ask_for_sizes(struct gather *g, struct wide_run *run) {
    const struct wide_join *join = &run->join;
    size_t bytes = join->keys * sizeof(struct slice);
    struct slice *args = heap_alloc(run->heap, MEM_MESSAGE, bytes);
    for (uint32_t shard = 0; shard < gather_shards(g); shard++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < join->keys; i++)
            if (gather_owner(g, join->first + i) == shard) args[count++] = g->argv[join->first + i];
        if (count) gather_send(g, shard, "sherd.sizes", args, count);
    }
    heap_free(run->heap, MEM_MESSAGE, args, bytes);
    run->asked = ASKED_SIZES;
}

static int compare_sources(const void *a, const void *b) {
    const struct wide_source *left = a, *right = b;
    if (left->len != right->len) return left->len < right->len ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

/* Of gather_let_turn_pass. */
static bool is_pause(const struct gather *g, uint32_t part) {
    return gather_reply(g, part).ptr[0] == '+';
}

/* False: one of them is neither a set nor, where that may be, a sorted set. */
static bool take_sizes(struct gather *g, struct wide_run *run) {
    const struct wide_join *join = &run->join;
    struct slice sizes[SHARDS_MAX] = {0};
    for (uint32_t i = 0; i < g->parts; i++) {
        struct slice *of = &sizes[g->answered[i].shard];
        if (is_pause(g, i)) continue;
        bool is_bulk = gather_reply_bulk(gather_reply(g, i), of);
        ASSERT(is_bulk);
    }
    for (uint32_t i = 0; i < join->keys; i++) {
        uint32_t owner = gather_owner(g, join->first + i);
        struct wide_source *source = &run->sources[i];
        struct piece_size size;
        piece_take(&sizes[owner], &size, sizeof size);
        if (size.type != TYPE_COUNT && size.type != TYPE_SET && !(join->scored && size.type == TYPE_ZSET)) return false;
        *source = (struct wide_source){.len = size.len,
                                       .bytes = size.bytes,
                                       .weight = 1,
                                       .place = i,
                                       .owner = (uint8_t)owner,
                                       .type = (uint8_t)size.type};
        if (join->weights_at && !num_parse_double(g->argv[join->weights_at + i], &source->weight))
            ASSERT(false); /* whoever began it has read it */
    }
    if (join->operation != JOIN_DIFF) qsort(run->sources, join->keys, sizeof *run->sources, compare_sources);
    return true;
}

/* Of the keys that are walked over; what is found is there, and in the reply. */
static uint64_t answer_bytes(const struct wide_run *run) {
    const struct wide_join *join = &run->join;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < join->keys && (i == 0 || join->operation == JOIN_UNION); i++)
        bytes += run->sources[i].bytes;
    return join->form == JOIN_ANSWERS ? bytes * ANSWER_COPIES : 0;
}

static void begin_result(struct gather *g, struct wide_run *run) {
    const struct wide_join *join = &run->join;
    building_drop(&run->built);
    reaper_take_chain(g->home->shared.reaper, &g->rest);
    run->begun = run->adds = false;
    run->at = 0;
    run->cursor = (struct piece_cursor){0};
    run->count = run->answered = 0;
    bool builds = join->form == JOIN_ANSWERS && (join->scored || join->operation == JOIN_UNION);
    enum value_type type = join->scored ? TYPE_ZSET : TYPE_SET;
    if (builds) building_begin(&run->built, &g->home->shared, type, (uint8_t)join->aggregate);
}

/* --- walking --- */

static const struct wide_source *walked_source(const struct wide_run *run) {
    return &run->sources[run->at];
}

static bool has_enough(const struct wide_run *run) {
    return run->join.limit && run->count == run->join.limit;
}

/* Is there anything left to be walked over? An intersection and a difference walk over one source only. */
static bool finds_source(struct wide_run *run) {
    const struct wide_join *join = &run->join;
    while (run->at < join->keys && walked_source(run)->len == 0) run->at++;
    return !has_enough(run) && run->at < join->keys && (join->operation == JOIN_UNION || run->at == 0);
}

static void ask_for_piece(struct gather *g, struct wide_run *run) {
    const struct wide_source *source = walked_source(run);
    char max[NUM_U64_MAX];
    uint32_t looks = run->join.operation == JOIN_UNION ? 1 : run->join.keys;
    uint32_t elements = (run->join.scored ? SCORED_ELEMENTS : PIECE_ELEMENTS) / looks + 1;
    struct slice args[3] = {g->argv[run->join.first + source->place]};
    piece_ask(args + 1, &run->cursor, elements, max);
    run->piece_part = g->sent;
    run->asked = ASKED_PIECE;
    gather_send(g, source->owner, "sherd.piece", args, ARRAY_LEN(args));
}

/* False: its time is over. */
static bool take_piece(struct gather *g, struct wide_run *run) {
    struct slice bytes;
    if (!gather_reply_bulk(gather_reply(g, run->piece_part), &bytes)) return false;
    piece_take(&bytes, &run->cursor, sizeof run->cursor);
    run->walked.len = 0;
    buf_append_slice(&run->walked, bytes);
    return true;
}

/* --- which of them are in the result --- */

/* The other sources that there are on one shard, with what they are to be asked. args has room for all. */
static void send_looks_to(struct gather *g, struct wide_run *run, uint32_t shard, struct slice *args) {
    char digits[NUM_U64_MAX];
    uint32_t count = 0;
    for (uint32_t i = 1; i < run->join.keys; i++) {
        const struct wide_source *source = &run->sources[i];
        if (source->owner == shard && source->len) args[++count] = g->argv[run->join.first + source->place];
    }
    if (!count) return;
    args[0] = slice_of(digits, num_format_u64(digits, count));
    args[count + 1] = walked_source(run)->type == TYPE_ZSET ? SLICE("zset") : SLICE("set");
    args[count + 2] = buf_slice(&run->walked);
    gather_send(g, shard, "sherd.look", args, count + 3);
}

/* False: there is no need to. */
static bool ask_for_looks(struct gather *g, struct wide_run *run) {
    if (run->join.operation == JOIN_UNION) return false;
    size_t bytes = (run->join.keys + 2) * sizeof(struct slice);
    struct slice *args = heap_alloc(run->heap, MEM_MESSAGE, bytes);
    for (uint32_t shard = 0; shard < gather_shards(g); shard++) send_looks_to(g, run, shard, args);
    heap_free(run->heap, MEM_MESSAGE, args, bytes);
    run->asked = ASKED_LOOKS;
    return g->sent > 0;
}

struct looks {
    struct slice of[SHARDS_MAX]; /* by owner: what is found of each member in each of its keys, in the sources' order */
};

/* False: one's time is over. */
static bool take_looks(struct gather *g, const struct wide_run *run, struct looks *looks) {
    uint64_t missing = 0;
    for (uint32_t i = 1; i < run->join.keys; i++) missing += run->sources[i].len > 0;
    for (uint32_t i = 0; i < g->parts; i++) {
        struct slice *of = &looks->of[g->answered[i].shard];
        uint64_t present;
        if (is_pause(g, i)) continue;
        bool is_bulk = gather_reply_bulk(gather_reply(g, i), of);
        ASSERT(is_bulk);
        piece_take(of, &present, sizeof present);
        missing -= present;
    }
    return missing == 0;
}

/* Is this member of the source that is walked over in the result? Its score there. */
static bool passes(const struct wide_run *run, struct looks *looks, double *score) {
    const struct wide_join *join = &run->join;
    bool in_all = true, in_none = true;
    for (uint32_t i = 1; i < join->keys; i++) {
        const struct wide_source *source = &run->sources[i];
        struct piece_found found = {0};
        if (source->len) piece_take(&looks->of[source->owner], &found, sizeof found);
        if (found.is && join->operation == JOIN_INTER)
            *score = zset_aggregate(join->aggregate, *score, source->weight * found.score);
        in_all &= found.is;
        in_none &= !found.is;
    }
    return join->operation == JOIN_INTER ? in_all : in_none;
}

/* What was walked over becomes what is left of it. */
static void filter(struct wide_run *run, struct looks *looks) {
    const struct wide_join *join = &run->join;
    const struct wide_source *source = walked_source(run);
    run->passed.len = 0;
    for (struct slice piece = buf_slice(&run->walked); piece.len && !has_enough(run);) {
        struct slice member = piece_next(&piece);
        double score = source->type == TYPE_ZSET ? piece_next_score(&piece) : 1;
        score = zset_score_or_0(source->weight * score);
        if (looks && !passes(run, looks, &score)) continue;
        piece_add(&run->passed, member);
        if (join->scored) piece_add_score(&run->passed, score);
        if (join->form == JOIN_COUNTS) run->count++;
    }
    if (!run->cursor.at) run->at++;
}

/* --- where it goes --- */

static struct aside_at target_of(const struct gather *g, const struct wide_run *run) {
    return (struct aside_at){run->join.target, g->db};
}

/* What is made has as many members at least. */
static uint64_t expected(const struct wide_run *run) {
    return run->join.operation == JOIN_UNION ? run->sources[run->join.keys - 1].len : 0;
}

/* False: there is no memory for it yet, and the step is over; or there will be none, and that was replied. */
static bool send_to_target(struct gather *g, struct wide_run *run) {
    const struct wide_join *join = &run->join;
    if (run->passed.len == 0) return true;
    run->asked = ASKED_ROOM;
    if (!aside_has_room(g, run->passed.len, &run->waits_since)) return false;
    run->adds = true;
    aside_send(g, target_of(g, run),
               &(struct aside_piece){.type = join->scored ? TYPE_ZSET : TYPE_SET,
                                     .how = join->aggregate,
                                     .first = !run->begun,
                                     .expects = expected(run),
                                     .bytes = buf_slice(&run->passed)});
    run->begun = true;
    return true;
}

static void take_count(struct gather *g, struct wide_run *run) {
    int64_t count;
    bool is_int = gather_reply_int(gather_reply(g, 0), &count);
    ASSERT(is_int);
    run->count = (uint64_t)count;
}

static struct buf *rest_of(struct gather *g) {
    return chain_tail(&g->rest, g->home->heap, MEM_CLIENT_OUT);
}

static void answer_members(struct gather *g, struct wide_run *run) {
    const struct store *store = &g->home->shared.store;
    for (struct slice piece = buf_slice(&run->passed); piece.len;) {
        struct slice member = piece_next(&piece);
        if (run->built.object && !members_add(store, run->built.object, member)) continue;
        resp_bulk(rest_of(g), member);
        run->count++;
    }
}

static void deliver_at_home(struct gather *g, struct wide_run *run) {
    if (run->join.form == JOIN_COUNTS) return;
    if (run->join.scored)
        building_add(&run->built, buf_slice(&run->passed));
    else
        answer_members(g, run);
}

/* --- the end --- */

static void put(struct gather *g, struct wide_run *run) {
    const struct wide_join *join = &run->join;
    const struct command *row = g->slot->row;
    struct slice key = g->argv[join->target];
    uint32_t owner = gather_owner(g, join->target);
    char event[32];
    snprintf(event, sizeof event, "%c%s", join->scored ? EVENT_ZSET : EVENT_SET, command_event(row));
    struct aside_put how = {.form = join->as_table ? ASIDE_TABLE : ASIDE_BY_RULE, .event = event};
    run->asked = ASKED_PUT;
    if (run->count > 0)
        aside_put(g, target_of(g, run), &how);
    else if (join->scored)
        gather_send(g, owner, "sherd.drop", (struct slice[]){key, SLICE("gdel")}, 2);
    else
        gather_send(g, owner, "sherd.set-store",
                    (struct slice[]){key, SLICE("table"), SLICE(""), slice_of_cstr(row->name)}, 4);
}

static void take_put(struct gather *g, struct wide_run *run) {
    int64_t answer;
    if (gather_reply_int(gather_reply(g, 0), &answer) && answer == ASIDE_TELLS)
        aside_tell(g, target_of(g, run));
    else
        resp_int(gather_out(g), (int64_t)run->count);
}

/* A piece of the reply, from the sorted set that was built. */
static void answer_some(struct gather *g, struct wide_run *run) {
    const struct sorted *set = run->built.object;
    bool with_scores = run->join.with_scores;
    struct sorted_iter iter = sorted_seek(set, run->answered);
    const struct sorted_element *element;
    for (uint32_t i = 0; i < PIECE_ELEMENTS && (element = sorted_next(&iter)); i++, run->answered++) {
        struct buf *out = rest_of(g);
        if (with_scores && g->resp > 2) resp_array(out, 2);
        resp_bulk(out, sorted_member(element));
        if (with_scores) resp_double(out, g->resp, element->score);
    }
    run->asked = ASKED_PAUSE;
    if (run->answered < sorted_count(set))
        gather_let_turn_pass(g);
    else
        resp_array(gather_out(g), run->answered * (with_scores && g->resp == 2 ? 2 : 1));
}

static void finish(struct gather *g, struct wide_run *run) {
    if (run->join.form == JOIN_STORES)
        put(g, run);
    else if (run->join.form == JOIN_COUNTS)
        resp_int(gather_out(g), (int64_t)run->count);
    else if (run->join.scored)
        answer_some(g, run);
    else
        resp_set(gather_out(g), g->resp, run->count);
}

/* --- steps --- */

static void walk_on(struct gather *g, struct wide_run *run) {
    if (finds_source(run))
        ask_for_piece(g, run);
    else if (run->adds)
        run->asked = ASKED_COUNT;
    else
        finish(g, run);
}

static void deliver(struct gather *g, struct wide_run *run) {
    if (run->join.form != JOIN_STORES)
        deliver_at_home(g, run);
    else if (!send_to_target(g, run))
        return;
    walk_on(g, run);
}

static void start(struct gather *g, struct wide_run *run) {
    run->asked = ASKED_START;
    if (gather_room_for_steps(g, answer_bytes(run))) walk_on(g, run);
}

static void step(struct gather *g, struct wide_run *run) {
    struct looks looks;
    bool adds = run->adds;
    run->adds = false;
    if (adds) take_count(g, run);
    switch (run->asked) {
    case ASKED_SIZES:
        if (!take_sizes(g, run)) {
            gather_error(g, WRONG_TYPE);
            return;
        }
        begin_result(g, run);
        start(g, run);
        return;
    case ASKED_START: start(g, run); return;
    case ASKED_PIECE:
        if (!take_piece(g, run)) {
            ask_for_sizes(g, run);
        } else if (!ask_for_looks(g, run)) {
            filter(run, NULL);
            deliver(g, run);
        }
        return;
    case ASKED_LOOKS:
        if (!take_looks(g, run, &looks)) {
            ask_for_sizes(g, run);
        } else {
            filter(run, &looks);
            deliver(g, run);
        }
        return;
    case ASKED_ROOM: deliver(g, run); return;
    case ASKED_COUNT: finish(g, run); return;
    case ASKED_PUT: take_put(g, run); return;
    case ASKED_PAUSE: answer_some(g, run); return;
    }
}

bool wide_join_goes_on(struct gather *g) {
    if (g->end != end_run) return false;
    step(g, run_of(g));
    if (g->sent) gather_let_turn_pass(g);
    return true;
}

void wide_join_begin(struct gather *g, const struct wide_join *join) {
    struct heap *heap = g->home->heap;
    struct wide_run *run = heap_alloc_zero(heap, MEM_MESSAGE, run_bytes(join->keys));
    run->join = *join;
    run->heap = heap;
    run->built.shared = &g->home->shared;
    buf_init(&run->walked, heap, MEM_MESSAGE);
    buf_init(&run->passed, heap, MEM_MESSAGE);
    g->memo[0] = (uint64_t)(uintptr_t)run;
    g->end = end_run;
    ask_for_sizes(g, run);
}
