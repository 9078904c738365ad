/* Lists: taking elements from where there are some. LMOVE and RPOPLPUSH take one from a list and put it into another;
 * LMPOP takes some from the first of several lists that is not empty.
 *
 * list_try_move and list_try_pop do that once and say whether there was anything: a command that waits until there is
 * would call the same.
 *
 * When the lists live on different shards home goes step by step, with all keys locked (shards/gather.h). LMOVE:
 *
 *      source's shard           home                 destination's shard
 *      LINDEX source 0|-1  <--- step 0
 *      [element]           ---> step 1 ----------->  LPUSH|RPUSH destination element
 *      LPOP|RPOP source    <--- step 2 <-----------  :length, or WRONGTYPE: then nothing was taken
 *      [element]           ---> step 3
 *
 * LMPOP asks for its keys in their order, those in a row that live on one shard at once, until a
 * shard has something; of that it takes a piece in each step, if it is to take very many. */
#include "core/num.h"
#include "shards/cmd_blocking_priv.h"
#include "shards/cmd_list_priv.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/gather.h"
#include "shards/shard.h"

/* --- one element from list to list --- */

bool list_try_move(struct exec *x, struct list_move move) {
    struct key_ref source, target;
    struct packed_value value;
    char scratch[PACKED_SCRATCH];
    if (!exec_open(x, 1, TYPE_LIST, &source)) return true;
    if (!source.entry) return false;
    if (!exec_open(x, 2, TYPE_LIST, &target)) return true;
    exec_open_any(x, 1, &source); /* opening may delete what has expired and so move the source */
    list_peek(source.entry, move.from, &value);
    struct slice text = packed_text(&value, scratch);
    reply_bulk(x, text);
    /* Pushing may move the element's own bytes, if both lists are one; the reply has a copy. */
    if (!value.is_int) text.ptr = x->out->data + x->out->len - 2 - text.len;
    list_push(x->keys, &target, move.to, &text, 1);
    struct slice push = move.to == LIST_HEAD ? SLICE("LPUSH") : SLICE("RPUSH");
    effect_add(x, x->db, (struct slice[]){push, x->argv[2], text}, 3);
    exec_open_any(x, 1, &source);
    list_drop(x->keys, &source, move.from, 1);
    effect_pop(x, move.from == LIST_HEAD ? "LPOP" : "RPOP", x->argv[1], 1);
    exec_changed(x, x->argv[2], 0);
    exec_changed(x, x->argv[1], 1); /* Redis counts one change for both */
    exec_event_as(x, NOTIFY_LIST, move.to == LIST_HEAD ? "lpush" : "rpush", x->argv[2]);
    list_event_popped(x, &source, move.from);
    return true;
}

static void cmd_lmove(struct exec *x) {
    struct list_move move;
    if (!list_arg_end(x, 3, &move.from) || !list_arg_end(x, 4, &move.to)) return;
    if (!list_try_move(x, move)) reply_null(x);
}

static void cmd_rpoplpush(struct exec *x) {
    if (!list_try_move(x, (struct list_move){LIST_TAIL, LIST_HEAD})) reply_null(x);
}

void list_move_across(struct gather *g, struct list_move move) {
    bool from_head = move.from == LIST_HEAD;
    struct slice args[2] = {g->argv[1], from_head ? SLICE("0") : SLICE("-1")};
    struct slice reply = g->step > 0 ? gather_reply(g, 0) : SLICE("");
    bool failed = gather_reply_is_error(reply);
    switch (g->step) {
    case 0: gather_send(g, gather_owner(g, 1), "lindex", args, 2); return;
    case 1:
        args[0] = g->argv[2];
        if (!gather_reply_bulk(reply, &args[1])) break;
        gather_send(g, gather_owner(g, 2), move.to == LIST_HEAD ? "lpush" : "rpush", args, 2);
        return;
    case 2:
        if (failed) break;
        gather_send(g, gather_owner(g, 1), from_head ? "lpop" : "rpop", args, 1);
        return;
    default: break; /* the keys are locked: it is what step 0 saw, unless the source's time is over since */
    }
    g->failed = failed;
    buf_append_slice(gather_out(g), reply);
}

bool list_parse_end(struct slice word, enum list_end *end) {
    *end = slice_is(word, "left") ? LIST_HEAD : LIST_TAIL;
    return *end == LIST_HEAD || slice_is(word, "right");
}

static void lmove_gather(struct gather *g) {
    struct list_move move;
    if (list_parse_end(g->argv[3], &move.from) && list_parse_end(g->argv[4], &move.to))
        list_move_across(g, move);
    else
        gather_error(g, "ERR syntax error");
}

static void rpoplpush_gather(struct gather *g) {
    list_move_across(g, (struct list_move){LIST_TAIL, LIST_HEAD});
}

/* --- some elements from one of several lists --- */

bool list_try_pop(struct exec *x, const struct list_pop *pop) {
    struct key_ref ref;
    for (uint32_t at = pop->first; at < pop->first + pop->keys; at++) {
        if (!exec_open(x, at, TYPE_LIST, &ref)) return true;
        if (!ref.entry) continue;
        struct list_popping popping = {at, pop->end, pop->count, .named = true};
        list_pop_many(x, &ref, popping);
        return true;
    }
    return false;
}

bool list_parse_pop(struct exec *x, uint32_t at, struct list_pop *pop) {
    int64_t keys, count = 1;
    if (!exec_int_range(x, at, 1, INT64_MAX, &keys, "ERR numkeys should be greater than 0")) return false;
    if (keys >= (int64_t)(x->argc - at - 1)) { /* no room for LEFT or RIGHT */
        reply_syntax_error(x);
        return false;
    }
    pop->first = at + 1;
    pop->keys = (uint32_t)keys;
    at += 1 + pop->keys;
    if (!list_arg_end(x, at++, &pop->end)) return false;
    for (bool seen = false; at < x->argc; at += 2, seen = true) {
        if (seen || at + 1 == x->argc || !arg_is(x, at, "count")) {
            reply_syntax_error(x);
            return false;
        }
        if (!exec_int_range(x, at + 1, 1, INT64_MAX, &count, "ERR count should be greater than 0")) return false;
    }
    pop->count = (uint64_t)count;
    return true;
}

static void cmd_lmpop(struct exec *x) {
    struct list_pop pop;
    if (list_parse_pop(x, 1, &pop) && !list_try_pop(x, &pop)) reply_null_array(x);
}

#define KEYS_AT 2    /* LMPOP numkeys key ... */
enum { MEMO_ASKED }; /* words of gather->memo: how many keys were asked for */

/* Sends the command with the next keys that live on one shard and all that stands behind the keys. */
static void ask_next_keys(struct gather *g, uint32_t keys) {
    uint32_t first = KEYS_AT + (uint32_t)g->memo[MEMO_ASKED], end = KEYS_AT + keys, last = first + 1;
    uint32_t owner = gather_owner(g, first), behind = g->argc - end;
    while (last < end && gather_owner(g, last) == owner) last++;
    size_t bytes = (1 + last - first + behind) * sizeof(struct slice);
    struct slice *args = heap_alloc(g->home->heap, MEM_MESSAGE, bytes);
    char digits[NUM_U64_MAX];
    args[0] = slice_of(digits, num_format_u64(digits, last - first));
    memcpy(args + 1, g->argv + first, (last - first) * sizeof *args);
    for (uint32_t i = 0; i < behind; i++) args[1 + last - first + i] = gather_pop_argument(g, end + i);
    gather_pop_send(g, owner, g->slot->row->name, args, 1 + last - first + behind);
    heap_free(g->home->heap, MEM_MESSAGE, args, bytes);
    g->memo[MEMO_ASKED] += last - first;
}

void mpop_gather(struct gather *g) {
    int64_t keys;
    struct slice rest, reply = g->step > 0 ? gather_reply(g, 0) : SLICE("");
    bool readable = num_parse_i64(g->argv[1], &keys);
    ASSERT(readable); /* or it would not have been routed here */
    bool nothing =
        !gather_pops(g) && (g->step == 0 || (!gather_reply_is_error(reply) && gather_reply_array(reply, &rest) < 0));
    if (nothing && g->memo[MEMO_ASKED] < (uint64_t)keys) {
        ask_next_keys(g, (uint32_t)keys);
        return;
    }
    gather_pop_go_on(g, KEYS_AT, (uint32_t)keys);
}

const struct command list_move_commands[] = {
    {.name = "lmove",
     .arity = 5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_ONE(2, KEY_RW | KEY_INSERT)},
     .where = ACROSS_OWNERS,
     .run = cmd_lmove,
     .across = lmove_gather,
     .group = "list",
     .since = "6.2.0",
     .cost = "O(1)",
     .args = "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
     .doc = "Takes an element from one end of a list, puts it to an end of another and answers it."},
    {.name = "rpoplpush",
     .arity = 3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_LIST,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_ONE(2, KEY_RW | KEY_INSERT)},
     .where = ACROSS_OWNERS,
     .run = cmd_rpoplpush,
     .across = rpoplpush_gather,
     .group = "list",
     .since = "1.2.0",
     .cost = "O(1)",
     .args = "source destination",
     .doc = "Takes the last element of a list, puts it before the first of another and answers it."},
    {.name = "lmpop",
     .arity = -4,
     .flags = CMD_WRITE,
     .acl = ACL_LIST,
     .keys = {{.count_at = 1, .access = KEY_RW | KEY_ACCESS | KEY_DELETE}},
     .where = ACROSS_OWNERS,
     .run = cmd_lmpop,
     .takes_turns = true,
     .across = mpop_gather,
     .group = "list",
     .since = "7.0.0",
     .cost = "O(N+M), N = number of keys, M = elements taken",
     .args = "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
     .doc = "Takes elements from the first of several lists that is not empty."},
    {0},
};
