/* BITOP over several shards, in steps that are short (shards/gather.h): each shard with sources sends what a stretch of
 * its own come to, and home joins that.
 *
 *      sources' shards                                home           destination's shard
 *      sherd.bit-part op ... at length key ...   <--- ...
 *      [longest present a b]                     ---> ...
 *                                                     a short one    sherd.bit-store key result
 *                                                     a stretch ---> sherd.aside key piece
 *                                                     ...            sherd.put-aside, sherd.tell ...
 *
 * Of AND, OR, XOR and NOT the second string is empty. When a source's time is over before all was read it was not
 * there: it begins again with the others.
 *
 * Owner     the gather, whose memo it takes. Thread: home. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/admit.h"
#include "shards/aside.h"
#include "shards/cmd_bitop_priv.h"
#include "shards/cmd_generic_priv.h"
#include "shards/shard.h"

enum {
    MEMO_PHASE,
    MEMO_LONGEST, /* struct bit_sources */
    MEMO_PRESENT,
    MEMO_AT, /* where the stretch begins that was asked for */
    MEMO_WAITS
}; /* words of gather->memo */
enum {
    PHASE_NONE,
    PHASE_FIRST, /* a stretch was asked for, and nobody knows how long the strings are */
    PHASE_ALONE, /* a stretch was asked for */
    PHASE_MORE,  /* one was sent on, and then another one asked for */
    PHASE_LAST,  /* the last one was sent on */
    PHASE_PUT,
    PHASE_STORED, /* all of it was short */
};

static void ask(struct gather *g, uint64_t phase) {
    char at[NUM_U64_MAX], len[NUM_U64_MAX];
    size_t bytes = (g->argc + BIT_PART_KEYS) * sizeof(struct slice);
    struct slice *args = heap_alloc(g->home->heap, MEM_MESSAGE, bytes);
    uint32_t keys = BIT_PART_KEYS - 1; /* the name is no argument here */
    args[0] = g->argv[1];
    args[2] = phase == PHASE_FIRST ? SLICE("read") : SLICE("again");
    args[3] = slice_of(at, num_format_u64(at, g->memo[MEMO_AT]));
    args[4] = slice_of(len, num_format_u64(len, bitop_stretch(g->argc - 3)));
    for (uint32_t shard = 0; shard < gather_shards(g); shard++) {
        uint32_t count = keys;
        args[1] = gather_owner(g, 3) == shard ? SLICE("first") : SLICE("rest");
        for (uint32_t i = 3; i < g->argc; i++)
            if (gather_owner(g, i) == shard) args[count++] = g->argv[i];
        if (count > keys) gather_send(g, shard, "sherd.bit-part", args, count);
    }
    heap_free(g->home->heap, MEM_MESSAGE, args, bytes);
    g->memo[MEMO_PHASE] = phase;
}

static void pass_error(struct gather *g, struct slice reply) {
    g->failed = true;
    buf_append_slice(gather_out(g), reply);
}

/* --- what the shards have answered --- */

struct answers {
    struct slice a[SHARDS_MAX], b[SHARDS_MAX];
    uint32_t count;
    struct bit_sources sources;
};

static void take_answer(struct answers *answers, struct slice reply) {
    struct slice rest;
    int64_t longest, present;
    bool readable = gather_reply_array(reply, &rest) == 4 && gather_reply_int(gather_next_element(&rest), &longest) &&
                    gather_reply_int(gather_next_element(&rest), &present) &&
                    gather_reply_bulk(gather_next_element(&rest), &answers->a[answers->count]) &&
                    gather_reply_bulk(gather_next_element(&rest), &answers->b[answers->count]);
    ASSERT(readable); /* one of us wrote it */
    answers->sources.longest = MAX(answers->sources.longest, (size_t)longest);
    answers->sources.present += (uint32_t)present;
    answers->count++;
}

/* From this part of the step on. False: one of them is an error, and that is the reply. */
static bool take_answers(struct gather *g, uint32_t from, struct answers *answers) {
    *answers = (struct answers){.count = 0};
    for (uint32_t i = 0; i < g->parts; i++) {
        struct slice reply = gather_reply(g, i);
        if (gather_reply_is_error(reply)) {
            pass_error(g, reply);
            return false;
        }
        if (i >= from && reply.ptr[0] != '+') take_answer(answers, reply); /* +: of gather_let_turn_pass */
    }
    return true;
}

/* The stretch of the result. */
static void join(struct gather *g, enum bit_operation operation, const struct answers *answers, struct buf *out) {
    struct bit_pair pair;
    if (operation < BIT_PAIRS) {
        bitop_combine(operation, answers->a, answers->count, out);
        if (operation == BIT_NOT) bitop_invert(out);
        return;
    }
    bit_pair_init(&pair, g->home->heap);
    for (uint32_t i = 0; i < answers->count; i++) bit_pair_join(&pair, operation, answers->a[i], answers->b[i]);
    bit_pair_finish(&pair, operation);
    buf_append_slice(out, buf_slice(&pair.a));
    bit_pair_deinit(&pair);
}

/* --- where it goes --- */

static void store(struct gather *g, struct slice result) {
    g->memo[MEMO_PHASE] = PHASE_STORED;
    if (admit_step(g->home, result.len))
        gather_send(g, gather_owner(g, 2), "sherd.bit-store", (struct slice[]){g->argv[2], result}, 2);
    else
        gather_error(g, OOM_ERROR);
}

static struct aside_at target_of(const struct gather *g) {
    return (struct aside_at){2, g->db};
}

static void send_stretch(struct gather *g, struct slice stretch) {
    aside_send(
        g, target_of(g),
        &(struct aside_piece){
            .type = TYPE_STRING, .first = g->memo[MEMO_AT] == 0, .expects = g->memo[MEMO_LONGEST], .bytes = stretch});
    g->memo[MEMO_AT] += stretch.len;
}

/* The memory of all of it is taken with the first stretch. */
static void pass_on(struct gather *g, struct slice stretch) {
    enum admission admission = ADMIT_GO;
    if (g->memo[MEMO_AT] == 0) admission = admit_piece(g->home, g->memo[MEMO_LONGEST], &g->memo[MEMO_WAITS]);
    if (admission == ADMIT_REFUSE) {
        gather_error(g, OOM_ERROR);
        return;
    }
    if (admission == ADMIT_WAIT) {
        ask(g, PHASE_ALONE);
        return;
    }
    send_stretch(g, stretch);
    if (g->memo[MEMO_AT] < g->memo[MEMO_LONGEST])
        ask(g, PHASE_MORE);
    else
        g->memo[MEMO_PHASE] = PHASE_LAST;
}

static void take_stretch(struct gather *g, enum bit_operation operation) {
    struct answers answers;
    struct buf stretch;
    bool first = g->memo[MEMO_PHASE] == PHASE_FIRST;
    if (!take_answers(g, g->memo[MEMO_PHASE] == PHASE_MORE, &answers)) return;
    bool same = answers.sources.longest == g->memo[MEMO_LONGEST] && answers.sources.present == g->memo[MEMO_PRESENT];
    g->memo[MEMO_LONGEST] = answers.sources.longest;
    g->memo[MEMO_PRESENT] = answers.sources.present;
    if (!first && !same) {
        g->memo[MEMO_AT] = 0;
        ask(g, PHASE_ALONE);
        return;
    }
    buf_init(&stretch, g->home->heap, MEM_MESSAGE);
    join(g, operation, &answers, &stretch);
    if (answers.sources.longest <= bitop_stretch(g->argc - 3))
        store(g, buf_slice(&stretch));
    else
        pass_on(g, buf_slice(&stretch));
    buf_deinit(&stretch);
}

static void put(struct gather *g) {
    if (gather_reply_is_error(gather_reply(g, 0))) {
        pass_error(g, gather_reply(g, 0));
        return;
    }
    static_assert(EVENT_STRING == 't', "the event");
    aside_put(g, target_of(g), &(struct aside_put){.event = "tset"});
    g->memo[MEMO_PHASE] = PHASE_PUT;
}

static void take_put(struct gather *g) {
    int64_t answer;
    if (gather_reply_int(gather_reply(g, 0), &answer) && answer == ASIDE_TELLS)
        aside_tell(g, target_of(g));
    else
        resp_int(gather_out(g), (int64_t)g->memo[MEMO_LONGEST]);
}

void bitop_gather(struct gather *g) {
    enum bit_operation operation;
    const char *error = bitop_parse(g->argv, g->argc, &operation);
    bool begins = g->memo[MEMO_PHASE] == PHASE_NONE;
    switch (g->memo[MEMO_PHASE]) {
    case PHASE_NONE:
        if (error)
            gather_error(g, error);
        else
            ask(g, PHASE_FIRST);
        break;
    case PHASE_FIRST:
    case PHASE_ALONE:
    case PHASE_MORE: take_stretch(g, operation); break;
    case PHASE_LAST: put(g); break;
    case PHASE_PUT: take_put(g); break;
    default: buf_append_slice(gather_out(g), gather_reply(g, 0));
    }
    if (!begins && g->sent) gather_let_turn_pass(g);
}
