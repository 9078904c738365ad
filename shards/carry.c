/* Carrying, step by step; what is to be known between them is in the gather's memo. */
#include "shards/carry.h"
#include "core/assert.h"
#include "core/num.h"
#include "shards/admit.h"
#include "shards/aside.h"
#include "shards/piece.h"
#include "shards/shard.h"

#define DIGITS 24 /* room for a number */

enum { MEMO_PHASE, MEMO_VALUE, MEMO_DEADLINE, MEMO_CURSOR }; /* words of gather->memo */
enum { PHASE_NONE, PHASE_FIRST, PHASE_MORE, PHASE_LAST, PHASE_PUT, PHASE_OVER };

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

static void ask_for_piece(struct gather *g, const struct carry *carry) {
    char cursor[DIGITS], max[DIGITS];
    struct slice args[3] = {g->argv[carry->source], slice_of(cursor, num_format_u64(cursor, g->memo[MEMO_CURSOR])),
                            slice_of(max, num_format_u64(max, PIECE_ELEMENTS))};
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
    g->memo[MEMO_PHASE] = PHASE_FIRST;
    g->memo[MEMO_VALUE] = type_and_form((uint64_t)words[1], (uint64_t)words[3]);
    g->memo[MEMO_DEADLINE] = (uint64_t)words[2];
    g->memo[MEMO_CURSOR] = 0;
    ask_for_piece(g, carry);
    return CARRY_GOES_ON;
}

static void send_piece(struct gather *g, const struct carry *carry, struct slice piece) {
    char type[DIGITS];
    struct slice args[5] = {g->argv[carry->target], slice_of(type, num_format_u64(type, g->memo[MEMO_VALUE] >> 8)),
                            SLICE("0"), g->memo[MEMO_PHASE] == PHASE_FIRST ? SLICE("begin") : SLICE("more"), piece};
    gather_send_db(g, gather_owner(g, carry->target), carry->db, "sherd.aside", args, ARRAY_LEN(args));
}

/* The piece came last: before it, but for the first one, the answer to the one that was sent on. */
static enum carry_state pass_on(struct gather *g, const struct carry *carry) {
    uint32_t part = g->memo[MEMO_PHASE] == PHASE_FIRST ? 0 : 1;
    struct slice piece;
    if (!gather_reply_bulk(gather_reply(g, part), &piece)) return CARRY_NO_SOURCE;
    piece_take(&piece, &g->memo[MEMO_CURSOR], sizeof g->memo[MEMO_CURSOR]);
    if (carry->admits && !admit_step(g->home, piece.len)) return CARRY_NO_MEMORY;
    send_piece(g, carry, piece);
    g->memo[MEMO_PHASE] = g->memo[MEMO_CURSOR] ? PHASE_MORE : PHASE_LAST;
    if (g->memo[MEMO_CURSOR]) ask_for_piece(g, carry);
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
    case PHASE_FIRST:
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
