/* Lists: commands that wait until there is something to take: BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH. How a client
 * waits and is served is in shards/waiters.h and shards/blocked.h; here is what they take, and what home does when
 * their keys live on several shards, all of them locked:
 *
 *    BLPOP ...     asks for one key after the other, in their order, until there is something; else tells each of the
 *                  shards that the client waits (sherd.wait)
 *    BLMOVE        moves as LMOVE does (shards/cmd_list_move.c); else tells the source's shard
 *
 * A handler that finds nothing calls exec_block. It is run again for the key that there may be something in. */
#include "core/num.h"
#include "shards/cmd_blocking_priv.h"
#include "shards/cmd_list_priv.h"
#include "shards/cmd_tables.h"
#include "shards/gather.h"
#include "shards/shard.h"
#include "shards/waiters.h"
#include <math.h>

/* --- the timeout: seconds, a float; 0 is for ever --- */

/* NULL, or the error to reply. Redis computes in long double and finds numbers beyond 64 bits negative. */
static const char *parse_timeout(const struct shard *shard, struct slice text, uint64_t *ms) {
    long double seconds;
    if (!num_parse_long_double(text, &seconds)) return "ERR timeout is not a float or out of range";
    long double wait = ceill(seconds * 1000);
    if (wait <= -1 || wait >= 0x1p63L) return "ERR timeout is negative";
    if (wait > (long double)(INT64_MAX - (int64_t)shard->now_ms)) return "ERR timeout is out of range";
    *ms = (uint64_t)wait;
    return NULL;
}

bool exec_timeout(struct exec *x, uint32_t at, uint64_t *ms) {
    const char *error = parse_timeout(x->shard, x->argv[at], ms);
    if (error) reply_error(x, error);
    return !error;
}

/* --- on one shard --- */

static bool try_keys(struct exec *x, enum list_end end) {
    struct key_ref ref;
    for (uint32_t at = 1; at + 1 < x->argc; at++) {
        if (!exec_open(x, at, TYPE_LIST, &ref)) return true;
        if (!ref.entry) continue;
        reply_array(x, 2);
        reply_bulk(x, x->argv[at]);
        list_pop_one(x, &ref, end);
        return true;
    }
    return false;
}

static void pop_or_wait(struct exec *x, enum list_end end) {
    uint64_t ms;
    if (!exec_timeout(x, x->argc - 1, &ms) || try_keys(x, end) || exec_block(x, ms)) return;
    reply_null_array(x);
}

static void cmd_blpop(struct exec *x) {
    pop_or_wait(x, LIST_HEAD);
}
static void cmd_brpop(struct exec *x) {
    pop_or_wait(x, LIST_TAIL);
}

static void cmd_blmpop(struct exec *x) {
    uint64_t ms;
    struct list_pop pop;
    if (!list_parse_pop(x, 2, &pop) || !exec_timeout(x, 1, &ms)) return;
    if (list_try_pop(x, &pop) || exec_block(x, ms)) return;
    reply_null_array(x);
}

static void move_or_wait(struct exec *x, struct list_move move, uint32_t timeout_at) {
    uint64_t ms;
    if (!exec_timeout(x, timeout_at, &ms) || list_try_move(x, move) || exec_block(x, ms)) return;
    reply_null(x);
}

static void cmd_blmove(struct exec *x) {
    struct list_move move;
    if (!list_arg_end(x, 3, &move.from) || !list_arg_end(x, 4, &move.to)) return;
    move_or_wait(x, move, 5);
}

static void cmd_brpoplpush(struct exec *x) {
    move_or_wait(x, (struct list_move){LIST_TAIL, LIST_HEAD}, 3);
}

/* --- on several shards --- */

/* What sherd.wait is told besides the command. */
struct wait_head {
    uint64_t stamp;
    uint32_t home;
};

/* sherd.wait head command...: its client waits for those of its keys that are here. */
static void cmd_internal_wait(struct exec *x) {
    struct wait_head head;
    ASSERT(x->argv[1].len == sizeof head);
    memcpy(&head, x->argv[1].ptr, sizeof head);
    struct exec command = *x;
    command.argv = x->argv + 2;
    command.argc = x->argc - 2;
    command.hash_at = 0;
    command.slot = command_resolve(x->shard->registry, command.argv, command.argc);
    command.flags &= ~(uint32_t)CLIENT_NO_BLOCK;
    waiter_add(&command, head.stamp, head.home);
    reply_ok(x);
}

static void tell_waiting(struct gather *g, uint64_t shards) {
    struct wait_head head = {.stamp = g->stamp, .home = g->home->id};
    size_t bytes = (1 + g->argc) * sizeof(struct slice);
    struct slice *args = heap_alloc(g->home->heap, MEM_MESSAGE, bytes);
    args[0] = slice_of((const char *)&head, sizeof head);
    memcpy(args + 1, g->argv, g->argc * sizeof *args);
    g->waits_at = shards;
    for (uint64_t left = shards; left; left &= left - 1)
        gather_send(g, (uint32_t)__builtin_ctzll(left), "sherd.wait", args, 1 + g->argc);
    heap_free(g->home->heap, MEM_MESSAGE, args, bytes);
}

bool gather_reply_is_null(struct slice reply) {
    return slice_equal(reply, SLICE("*-1\r\n")) || slice_equal(reply, SLICE("$-1\r\n")) ||
           slice_equal(reply, SLICE("_\r\n"));
}

void gather_may_wait(struct gather *g) {
    if (g->step > 0) return;
    g->memo[WAIT_MEMO_MAY] = !(g->flags & CLIENT_NO_BLOCK);
    g->flags |= CLIENT_NO_BLOCK; /* of what is sent to the shards */
}

/* The first step of all: may it wait, and how long. NULL, or what is wrong with the timeout. */
static const char *begin(struct gather *g, uint32_t timeout_at) {
    if (g->step > 0) return NULL;
    gather_may_wait(g);
    return parse_timeout(g->home, g->argv[timeout_at], &g->timeout_ms);
}

void gather_wait_instead(struct gather *g, uint64_t shards) {
    if (!g->memo[WAIT_MEMO_MAY]) return;
    gather_out(g)->len = 0;
    if (g->again) {
        g->blocks = true;
        return;
    }
    g->memo[WAIT_MEMO_TOLD] = 1;
    tell_waiting(g, shards);
}

/* Of keys from `first` on the next one is asked for alone. */
static void ask_next(struct gather *g, uint32_t first, bool counts) {
    uint32_t at = first + (uint32_t)g->memo[WAIT_MEMO_OWN]++;
    size_t bytes = g->argc * sizeof(struct slice);
    struct slice *argv = heap_alloc(g->home->heap, MEM_MESSAGE, bytes);
    uint32_t argc = command_with_one_key(g->slot->row, g->argv, g->argc, at, argv);
    if (counts) {
        argv[argc - 1] = gather_pop_argument(g, g->argc - 1);
        gather_pop_send(g, gather_owner(g, at), g->slot->row->name, argv + 1, argc - 1);
    } else {
        gather_send(g, gather_owner(g, at), g->slot->row->name, argv + 1, argc - 1);
    }
    heap_free(g->home->heap, MEM_MESSAGE, argv, bytes);
}

/* counts: it may say how many elements are to be taken. */
static void pop_across(struct gather *g, uint32_t timeout_at, uint32_t first, uint32_t count, bool counts) {
    begin(g, timeout_at); /* what is wrong with it the first owner says, unless it finds another mistake before */
    if (g->memo[WAIT_MEMO_TOLD]) {
        g->blocks = true;
        return;
    }
    struct slice reply = g->step > 0 ? gather_reply(g, 0) : SLICE("_\r\n");
    bool nothing = gather_reply_is_null(reply);
    if (counts && (!nothing || gather_pops(g))) {
        gather_pop_go_on(g, first, count);
        return;
    }
    if (nothing && g->memo[WAIT_MEMO_OWN] < count) {
        ask_next(g, first, counts);
        return;
    }
    g->failed = gather_reply_is_error(reply);
    buf_append_slice(gather_out(g), reply);
    if (!nothing) return;
    uint64_t shards = 0;
    for (uint32_t at = first; at < first + count; at++) shards |= 1ull << gather_owner(g, at);
    gather_wait_instead(g, shards);
}

void bpop_gather(struct gather *g) {
    pop_across(g, g->argc - 1, 1, g->argc - 2, false);
}

void bmpop_gather(struct gather *g) {
    int64_t keys;
    bool readable = num_parse_i64(g->argv[2], &keys);
    ASSERT(readable); /* or it would not have been routed here */
    pop_across(g, 1, 3, (uint32_t)keys, true);
}

static void move_across(struct gather *g, struct list_move move, uint32_t timeout_at) {
    const char *error = begin(g, timeout_at);
    if (error) {
        gather_error(g, error);
        return;
    }
    if (g->memo[WAIT_MEMO_TOLD]) {
        g->blocks = true;
        return;
    }
    list_move_across(g, move);
    if (g->sent == 0 && gather_reply_is_null(buf_slice(gather_out(g))))
        gather_wait_instead(g, 1ull << gather_owner(g, 1));
}

static void blmove_gather(struct gather *g) {
    struct list_move move;
    if (list_parse_end(g->argv[3], &move.from) && list_parse_end(g->argv[4], &move.to))
        move_across(g, move, 5);
    else
        gather_error(g, "ERR syntax error");
}

static void brpoplpush_gather(struct gather *g) {
    move_across(g, (struct list_move){LIST_TAIL, LIST_HEAD}, 3);
}

#define BLOCKING .acl = ACL_LIST, .where = ACROSS_OWNERS, .group = "list", .waits_for = TYPE_LIST

const struct command blocking_commands[] = {
    {.name = "blpop",
     .arity = -3,
     .flags = CMD_WRITE | CMD_NOSCRIPT | CMD_BLOCKING,
     BLOCKING,
     .keys = {KEYS_RANGE(1, -2, 1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .run = cmd_blpop,
     .beside_save = BESIDE_ELEMENTS,
     .across = bpop_gather,
     .since = "2.0.0",
     .cost = "O(N), N = number of keys",
     .args = "key [key ...] timeout",
     .doc = "Takes the first element of the first list that has one; waits until there is one."},
    {.name = "brpop",
     .arity = -3,
     .flags = CMD_WRITE | CMD_NOSCRIPT | CMD_BLOCKING,
     BLOCKING,
     .keys = {KEYS_RANGE(1, -2, 1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .run = cmd_brpop,
     .beside_save = BESIDE_ELEMENTS,
     .across = bpop_gather,
     .since = "2.0.0",
     .cost = "O(N), N = number of keys",
     .args = "key [key ...] timeout",
     .doc = "Takes the last element of the first list that has one; waits until there is one."},
    {.name = "blmpop",
     .arity = -5,
     .flags = CMD_WRITE | CMD_BLOCKING,
     BLOCKING,
     .keys = {{.count_at = 2, .access = KEY_RW | KEY_ACCESS | KEY_DELETE}},
     .run = cmd_blmpop,
     .takes_turns = true,
     .across = bmpop_gather,
     .since = "7.0.0",
     .cost = "O(N+M), N = number of keys, M = elements taken",
     .args = "timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
     .doc = "Takes elements from the first of several lists that is not empty; waits until one is not."},
    {.name = "blmove",
     .arity = 6,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_NOSCRIPT | CMD_BLOCKING,
     BLOCKING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_ONE(2, KEY_RW | KEY_INSERT)},
     .run = cmd_blmove,
     .across = blmove_gather,
     .since = "6.2.0",
     .cost = "O(1)",
     .args = "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout",
     .doc = "Takes an element from one list and puts it to another; waits until there is one."},
    {.name = "brpoplpush",
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_NOSCRIPT | CMD_BLOCKING,
     BLOCKING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_ONE(2, KEY_RW | KEY_INSERT)},
     .run = cmd_brpoplpush,
     .across = brpoplpush_gather,
     .since = "2.2.0",
     .cost = "O(1)",
     .args = "source destination timeout",
     .doc = "Takes the last element of a list and puts it before the first of another; waits until there is one."},
    {.name = "sherd.wait",
     .arity = -4,
     .flags = CMD_INTERNAL,
     .where = ON_OWNER,
     .run = cmd_internal_wait,
     .group = "list",
     .since = "0.2.0",
     .cost = "O(N), N = number of keys",
     .args = "head command [argument ...]",
     .doc = "A client waits for the keys of a command that are here."},
    {0},
};
