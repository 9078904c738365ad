/* Carrying, step by step; what is to be known between them is in the gather's memo. */
#include "shards/carry.h"
#include "core/assert.h"
#include "core/num.h"
#include "shards/admit.h"
#include "shards/aside.h"
#include "shards/piece.h"
#include "shards/shard.h"

enum {
    MEMO_PHASE,
    MEMO_VALUE,
    MEMO_DEADLINE,
    MEMO_LENGTH,
    MEMO_TIMED, /* fields */
    MEMO_WAITS,
    MEMO_END,
    MEMO_CURSOR /* and those behind it */
};              /* words of gather->memo */
enum {
    PHASE_NONE,
    PHASE_ALONE, /* a piece was asked for: the first one, or one for which there was no memory */
    PHASE_MORE,  /* a piece was sent on, and then one asked for */
    PHASE_LAST,  /* the last one was sent on */
    PHASE_PUT,
    PHASE_OVER,
};

static uint64_t type_and_form(uint64_t type, uint64_t form) {
    return type << 8 | form;
}

bool carry_is_on(const struct gather *g) {
    return g->memo[MEMO_PHASE] != PHASE_NONE && g->memo[MEMO_PHASE] != PHASE_OVER;
}

bool carry_is_head(struct slice reply) {
    struct slice rest;
    return gather_reply_array(reply, &rest) == CARRY_HEAD;
}

static struct piece_cursor *read_from(struct gather *g) {
    static_assert(sizeof(struct piece_cursor) <= sizeof g->memo - MEMO_CURSOR * sizeof g->memo[0], "it has its words");
    return (struct piece_cursor *)(void *)&g->memo[MEMO_CURSOR];
}

/* Where the cursor begins. */
static uint64_t begin_of(const struct gather *g) {
    return g->memo[MEMO_END] ? g->memo[MEMO_END] - g->memo[MEMO_LENGTH] : 0;
}

static void ask_for_piece(struct gather *g, const struct carry *carry) {
    const struct piece_cursor *cursor = read_from(g);
    char max[NUM_U64_MAX];
    uint64_t left = g->memo[MEMO_END] ? g->memo[MEMO_END] - cursor->at : PIECE_ELEMENTS;
    struct slice args[3] = {g->argv[carry->source]};
    piece_ask(args + 1, cursor, (uint32_t)MIN(left, (uint64_t)PIECE_ELEMENTS), max);
    gather_send(g, gather_owner(g, carry->source), "sherd.piece", args, ARRAY_LEN(args));
}

enum carry_state carry_begin(struct gather *g, const struct carry *carry, struct slice head) {
    struct slice rest;
    int64_t words[CARRY_HEAD];
    ASSERT(gather_owner(g, carry->source) != gather_owner(g, carry->target));
    (void)gather_reply_array(head, &rest);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        bool is_int = gather_reply_int(gather_next_element(&rest), &words[i]);
        ASSERT(is_int);
    }
    g->memo[MEMO_PHASE] = PHASE_ALONE;
    g->memo[MEMO_LENGTH] = (uint64_t)words[0];
    g->memo[MEMO_VALUE] = type_and_form((uint64_t)words[1], (uint64_t)words[3]);
    g->memo[MEMO_DEADLINE] = (uint64_t)words[2];
    g->memo[MEMO_TIMED] = (uint64_t)words[4];
    *read_from(g) = (struct piece_cursor){0};
    ask_for_piece(g, carry);
    return CARRY_GOES_ON;
}

enum carry_state carry_begin_range(struct gather *g, const struct carry *carry, uint64_t from, uint64_t to) {
    ASSERT(from < to);
    g->memo[MEMO_PHASE] = PHASE_ALONE;
    g->memo[MEMO_VALUE] = type_and_form(TYPE_ZSET, ASIDE_BY_RULE);
    g->memo[MEMO_DEADLINE] = 0;
    *read_from(g) = (struct piece_cursor){.at = from};
    g->memo[MEMO_LENGTH] = to - from;
    g->memo[MEMO_END] = to;
    ask_for_piece(g, carry);
    gather_let_turn_pass(g);
    return CARRY_GOES_ON;
}

uint64_t carry_count(const struct gather *g) {
    return g->memo[MEMO_LENGTH];
}

static bool is_first(struct gather *g) {
    return read_from(g)->at == begin_of(g);
}

/* What it takes of the destination's memory, of a string all at once. */
static uint64_t growth(struct gather *g, struct slice piece) {
    if (g->memo[MEMO_VALUE] >> 8 != TYPE_STRING) return piece.len;
    return is_first(g) ? g->memo[MEMO_LENGTH] : 0;
}

static struct aside_at target_of(const struct carry *carry) {
    return (struct aside_at){carry->target, carry->db};
}

static void send_piece(struct gather *g, const struct carry *carry, struct slice piece) {
    aside_send(g, target_of(carry),
               &(struct aside_piece){.type = g->memo[MEMO_VALUE] >> 8,
                                     .how = g->memo[MEMO_TIMED],
                                     .first = is_first(g),
                                     .expects = g->memo[MEMO_LENGTH],
                                     .bytes = piece});
}

/* The piece came last: before it, but for the first one, the answer to the one that was sent on. */
static enum carry_state pass_on(struct gather *g, const struct carry *carry) {
    struct slice piece;
    struct piece_cursor next;
    enum admission admission = ADMIT_GO;
    bool more = g->memo[MEMO_PHASE] == PHASE_MORE;
    if (more && gather_reply_is_error(gather_reply(g, 0))) return CARRY_NO_MEMORY;
    if (!gather_reply_bulk(gather_reply(g, more), &piece)) return CARRY_NO_SOURCE;
    piece_take(&piece, &next, sizeof next);
    if (g->memo[MEMO_END] && next.at == g->memo[MEMO_END]) next.at = 0;
    uint64_t bytes = growth(g, piece);
    if (carry->admits && bytes) admission = admit_piece(g->home, bytes, &g->memo[MEMO_WAITS]);
    if (admission == ADMIT_REFUSE) return CARRY_NO_MEMORY;
    if (admission == ADMIT_WAIT) {
        g->memo[MEMO_PHASE] = PHASE_ALONE;
    } else {
        send_piece(g, carry, piece);
        *read_from(g) = next;
        g->memo[MEMO_PHASE] = next.at ? PHASE_MORE : PHASE_LAST;
    }
    if (g->memo[MEMO_PHASE] != PHASE_LAST) ask_for_piece(g, carry);
    return CARRY_GOES_ON;
}

static void put(struct gather *g, const struct carry *carry) {
    aside_put(g, target_of(carry),
              &(struct aside_put){.deadline_ms = g->memo[MEMO_DEADLINE],
                                  .form = g->memo[MEMO_VALUE] & 0xFF,
                                  .unless_taken = !carry->replace,
                                  .event = carry->event});
    g->memo[MEMO_PHASE] = PHASE_PUT;
}

static enum carry_state take_put(struct gather *g, const struct carry *carry) {
    int64_t answer;
    bool is_int = gather_reply_int(gather_reply(g, 0), &answer);
    ASSERT(is_int);
    if (answer == ASIDE_TAKEN) return CARRY_TAKEN;
    if (answer == ASIDE_DONE) return CARRY_DONE;
    aside_tell(g, target_of(carry));
    return CARRY_GOES_ON;
}

enum carry_state carry_step(struct gather *g, const struct carry *carry) {
    enum carry_state state = CARRY_GOES_ON;
    switch (g->memo[MEMO_PHASE]) {
    case PHASE_ALONE:
    case PHASE_MORE: state = pass_on(g, carry); break;
    case PHASE_LAST: put(g, carry); break;
    default: state = take_put(g, carry);
    }
    if (state == CARRY_GOES_ON)
        gather_let_turn_pass(g);
    else
        g->memo[MEMO_PHASE] = PHASE_OVER;
    return state;
}
