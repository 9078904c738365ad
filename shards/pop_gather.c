/* Pop gather: LMPOP, ZMPOP and those of them that wait take very many elements out of a key while their keys live on
 * several shards, all of them locked. What is asked for at first is a piece; when there was a whole one, and more is
 * wanted, the key's owner goes on to be asked:
 *
 *      home                             owner
 *      LMPOP 1 key LEFT COUNT 1024 ---> a piece: the reply begins with it
 *      LLEN key                    ---> says how many the reply will have
 *      LMPOP 1 key LEFT COUNT 1024 ---> another piece, and so on
 *
 * Each piece tells its watchers and the journal, where all are one group; the keyspace event is told with the last one.
 * The key's time may be over between two of them: then the reply is what was taken by then, as on one shard. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/cmd_blocking_priv.h"
#include "shards/shard.h"
#include "shards/work.h"

#define PIECE WORK_SLICE

/* Words of gather->memo, behind those of commands that wait. */
enum {
    MEMO_AT = WAIT_MEMO_TOLD + 1, /* of the key in argv; 0: none has been found yet */
    MEMO_COUNTED,                 /* the reply's header is right */
    MEMO_MARK,                    /* where that is in gather_out */
    MEMO_TAKEN,
    MEMO_LEFT,
    MEMO_WANTED,
};

/* What COUNT says, if that is very many; else 0. What is wrong with the arguments the owner says. */
static uint64_t wanted(const struct gather *g) {
    int64_t count;
    bool many =
        slice_is(g->argv[g->argc - 2], "count") && num_parse_i64(g->argv[g->argc - 1], &count) && count > WORK_AT_ONCE;
    return many ? (uint64_t)count : 0;
}

bool gather_pops(const struct gather *g) {
    return g->memo[MEMO_AT] != 0;
}

struct slice gather_pop_argument(const struct gather *g, uint32_t at) {
    static_assert(PIECE == 1024, "as it is written here");
    return at == g->argc - 1 && wanted(g) ? SLICE("1024") : g->argv[at];
}

void gather_pop_send(struct gather *g, uint32_t shard, const char *name, const struct slice *args, uint32_t count) {
    bool more = gather_pops(g) ? g->memo[MEMO_LEFT] > PIECE : wanted(g) > 0;
    if (more) g->flags |= CLIENT_MORE;
    gather_send(g, shard, name, args, count);
    g->flags &= ~(uint32_t)CLIENT_MORE;
}

static const char *name_of_pop(const struct gather *g) {
    const char *name = g->slot->row->name;
    return *name == 'b' ? name + 1 : name; /* of BLMPOP, what does not wait */
}

static void ask_length(struct gather *g) {
    uint32_t at = (uint32_t)g->memo[MEMO_AT];
    gather_send(g, gather_owner(g, at), *name_of_pop(g) == 'l' ? "llen" : "zcard", &g->argv[at], 1);
}

static void ask_piece(struct gather *g) {
    uint32_t at = (uint32_t)g->memo[MEMO_AT];
    char digits[NUM_U64_MAX];
    g->memo[MEMO_WANTED] = MIN(g->memo[MEMO_LEFT], (uint64_t)PIECE);
    struct slice args[] = {SLICE("1"), g->argv[at], g->argv[g->argc - 3], SLICE("COUNT"),
                           slice_of(digits, num_format_u64(digits, g->memo[MEMO_WANTED]))};
    gather_pop_send(g, gather_owner(g, at), name_of_pop(g), args, ARRAY_LEN(args));
    gather_let_turn_pass(g);
}

/* Cuts [key, [elements ...]]; returns how many elements there are. */
static uint64_t cut(struct slice reply, struct slice *key, struct slice *elements) {
    struct slice rest;
    int64_t parts = gather_reply_array(reply, &rest);
    ASSERT(parts == 2);
    bool named = gather_reply_bulk(gather_next_element(&rest), key);
    int64_t count = gather_reply_array(rest, elements);
    ASSERT(named && count > 0);
    return (uint64_t)count;
}

static uint32_t find_key(const struct gather *g, struct slice key, uint32_t first, uint32_t keys) {
    uint32_t at = first;
    while (at < first + keys && !slice_equal(g->argv[at], key)) at++;
    ASSERT(at < first + keys);
    return at;
}

/* True: there may be more than this first piece. */
static bool begin(struct gather *g, struct slice reply, uint32_t first, uint32_t keys) {
    struct slice key, elements;
    uint64_t count = wanted(g);
    if (count == 0 || gather_reply_is_error(reply) || gather_reply_is_null(reply)) return false;
    uint64_t taken = cut(reply, &key, &elements);
    if (taken < PIECE) return false;
    struct buf *out = gather_out(g);
    resp_array(out, 2);
    resp_bulk(out, key);
    g->memo[MEMO_AT] = find_key(g, key, first, keys);
    g->memo[MEMO_MARK] = out->len;
    g->memo[MEMO_TAKEN] = taken;
    g->memo[MEMO_LEFT] = count - taken;
    resp_array(out, taken);
    buf_append_slice(out, elements);
    ask_length(g);
    return true;
}

/* How many are left. */
static void take_length(struct gather *g, struct slice reply) {
    int64_t len;
    bool counted = gather_reply_int(reply, &len);
    ASSERT(counted);
    g->memo[MEMO_COUNTED] = true;
    g->memo[MEMO_LEFT] = MIN(g->memo[MEMO_LEFT], (uint64_t)len);
    if (g->memo[MEMO_LEFT] == 0) return;
    resp_recount(gather_out(g), g->memo[MEMO_MARK], g->memo[MEMO_TAKEN] + g->memo[MEMO_LEFT]);
    ask_piece(g);
}

static void take_piece(struct gather *g, struct slice reply) {
    struct slice key, elements;
    if (gather_reply_is_null(reply)) { /* its time is over: that was all */
        resp_recount(gather_out(g), g->memo[MEMO_MARK], g->memo[MEMO_TAKEN]);
        return;
    }
    uint64_t taken = cut(reply, &key, &elements);
    ASSERT(taken == g->memo[MEMO_WANTED]);
    buf_append_slice(gather_out(g), elements);
    g->memo[MEMO_TAKEN] += taken;
    g->memo[MEMO_LEFT] -= taken;
    if (g->memo[MEMO_LEFT] > 0) ask_piece(g);
}

void gather_pop_go_on(struct gather *g, uint32_t first, uint32_t keys) {
    struct slice reply = gather_reply(g, 0);
    if (gather_pops(g) && g->memo[MEMO_COUNTED]) {
        take_piece(g, reply);
    } else if (gather_pops(g)) {
        take_length(g, reply);
    } else if (!begin(g, reply, first, keys)) {
        g->failed = gather_reply_is_error(reply);
        buf_append_slice(gather_out(g), reply);
    }
}
