/* Carrying, step by step; what is to be known between them is in the gather's memo. */
#include "shards/carry.h"
#include "core/assert.h"
#include "core/num.h"
#include "shards/admit.h"
#include "shards/aside.h"
#include "shards/piece.h"
#include "shards/shard.h"

#define DIGITS 24 /* room for a number */

enum {
    MEMO_PHASE,
    MEMO_VALUE,
    MEMO_DEADLINE,
    MEMO_CURSOR,
    MEMO_LENGTH,
    MEMO_WAITS,
    MEMO_END
}; /* words of gather->memo */
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
    return gather_reply_array(reply, &rest) == 4;
}

/* Where the cursor begins. */
static uint64_t begin_of(const struct gather *g) {
    return g->memo[MEMO_END] ? g->memo[MEMO_END] - g->memo[MEMO_LENGTH] : 0;
}

static void ask_for_piece(struct gather *g, const struct carry *carry) {
    char cursor[DIGITS], max[DIGITS];
    uint64_t left = g->memo[MEMO_END] ? g->memo[MEMO_END] - g->memo[MEMO_CURSOR] : PIECE_ELEMENTS;
    struct slice args[3] = {g->argv[carry->source], slice_of(cursor, num_format_u64(cursor, g->memo[MEMO_CURSOR])),
                            slice_of(max, num_format_u64(max, MIN(left, (uint64_t)PIECE_ELEMENTS)))};
    gather_send(g, gather_owner(g, carry->source), "sherd.piece", args, ARRAY_LEN(args));
}

enum carry_state carry_begin(struct gather *g, const struct carry *carry, struct slice head) {
    struct slice rest;
    int64_t words[4];
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
    g->memo[MEMO_CURSOR] = 0;
    ask_for_piece(g, carry);
    return CARRY_GOES_ON;
}

enum carry_state carry_begin_range(struct gather *g, const struct carry *carry, uint64_t from, uint64_t to) {
    ASSERT(from < to);
    g->memo[MEMO_PHASE] = PHASE_ALONE;
    g->memo[MEMO_VALUE] = type_and_form(TYPE_ZSET, ASIDE_FORM_BY_RULE);
    g->memo[MEMO_DEADLINE] = 0;
    g->memo[MEMO_CURSOR] = from;
    g->memo[MEMO_LENGTH] = to - from;
    g->memo[MEMO_END] = to;
    ask_for_piece(g, carry);
    gather_let_turn_pass(g);
    return CARRY_GOES_ON;
}

uint64_t carry_count(const struct gather *g) {
    return g->memo[MEMO_LENGTH];
}

static void send_piece(struct gather *g, const struct carry *carry, struct slice piece) {
    char type[DIGITS], expects[DIGITS];
    bool first = g->memo[MEMO_CURSOR] == begin_of(g);
    struct slice args[5] = {
        g->argv[carry->target], slice_of(type, num_format_u64(type, g->memo[MEMO_VALUE] >> 8)), SLICE("0"),
        first ? slice_of(expects, num_format_u64(expects, g->memo[MEMO_LENGTH])) : SLICE("more"), piece};
    gather_send_db(g, gather_owner(g, carry->target), carry->db, "sherd.aside", args, ARRAY_LEN(args));
}

/* The piece came last: before it, but for the first one, the answer to the one that was sent on. */
static enum carry_state pass_on(struct gather *g, const struct carry *carry) {
    struct slice piece;
    uint64_t next;
    enum admission admission = ADMIT_GO;
    if (!gather_reply_bulk(gather_reply(g, g->memo[MEMO_PHASE] == PHASE_MORE), &piece)) return CARRY_NO_SOURCE;
    piece_take(&piece, &next, sizeof next);
    if (g->memo[MEMO_END] && next == g->memo[MEMO_END]) next = 0;
    if (carry->admits) admission = admit_piece(g->home, piece.len, &g->memo[MEMO_WAITS]);
    if (admission == ADMIT_REFUSE) return CARRY_NO_MEMORY;
    if (admission == ADMIT_WAIT) {
        g->memo[MEMO_PHASE] = PHASE_ALONE;
    } else {
        send_piece(g, carry, piece);
        g->memo[MEMO_CURSOR] = next;
        g->memo[MEMO_PHASE] = next ? PHASE_MORE : PHASE_LAST;
    }
    if (g->memo[MEMO_PHASE] != PHASE_LAST) ask_for_piece(g, carry);
    return CARRY_GOES_ON;
}

static void put(struct gather *g, const struct carry *carry) {
    char deadline[DIGITS], form[DIGITS];
    struct slice args[5] = {g->argv[carry->target],
                            slice_of(deadline, num_format_u64(deadline, g->memo[MEMO_DEADLINE])),
                            slice_of(form, num_format_u64(form, g->memo[MEMO_VALUE] & 0xFF)),
                            carry->replace ? SLICE("replace") : SLICE("nx"), slice_of_cstr(carry->event)};
    gather_send_db(g, gather_owner(g, carry->target), carry->db, "sherd.put-aside", args, ARRAY_LEN(args));
    g->memo[MEMO_PHASE] = PHASE_PUT;
}

static enum carry_state take_put(struct gather *g, const struct carry *carry) {
    int64_t answer;
    bool is_int = gather_reply_int(gather_reply(g, 0), &answer);
    ASSERT(is_int);
    if (answer == ASIDE_TAKEN) return CARRY_TAKEN;
    if (answer == ASIDE_DONE) return CARRY_DONE;
    gather_send_db(g, gather_owner(g, carry->target), carry->db, "sherd.tell", &g->argv[carry->target], 1);
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
