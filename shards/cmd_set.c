/* Sets: commands on one set (shards/set.h), and SMOVE.
 *
 * SMOVE between shards goes step by step, with both keys locked (shards/gather.h):
 *
 *      source's shard                    home                 destination's shard
 *      sherd.set-or-none source     <--- step 0
 *      :1, :0 or WRONGTYPE          ---> step 1 ----------->  sherd.set-or-none destination
 *      SREM source member           <--- step 2 <-----------  :1, :0, or WRONGTYPE: then nothing is moved
 *      :1, or :0: it was not there  ---> step 3 ----------->  SADD destination member
 *                                        step 4 <-----------  :1, :0
 *
 * If the source is absent nobody looks at the destination, as in Redis. */
#include "core/glob.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/args_work.h"
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_set_priv.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/gather.h"

bool reply_member(void *exec, struct slice text) {
    resp_bulk(((struct exec *)exec)->out, text);
    return true;
}

/* --- members --- */

static void cmd_sadd(struct exec *x) {
    struct key_ref ref;
    if (!exec_open(x, 1, TYPE_SET, &ref)) return;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_ADD_UP})) return;
    uint64_t added = 0;
    for (uint32_t at = 2; at < x->argc; at++) added += set_add(x->keys, &ref, x->argv[at]);
    if (added) {
        exec_changed(x, x->argv[1], added);
        exec_event(x, NOTIFY_SET, x->argv[1]);
    }
    reply_int(x, (int64_t)added);
}

static void cmd_srem(struct exec *x) {
    struct key_ref ref;
    if (!exec_open(x, 1, TYPE_SET, &ref)) return;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_ADD_UP})) return;
    uint64_t removed = 0;
    for (uint32_t at = 2; at < x->argc && ref.entry; at++) removed += set_remove(x->keys, &ref, x->argv[at]);
    if (removed) {
        exec_changed(x, x->argv[1], removed);
        exec_event_taken(x, NOTIFY_SET, "srem", &ref);
    }
    reply_int(x, (int64_t)removed);
}

static void cmd_scard(struct exec *x) {
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_SET, &ref)) return;
    reply_int(x, ref.entry ? (int64_t)set_count(ref.entry) : 0);
}

static void cmd_sismember(struct exec *x) {
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_SET, &ref)) return;
    reply_int(x, ref.entry && set_has(ref.entry, x->argv[2]));
}

static void cmd_smismember(struct exec *x) {
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_SET, &ref)) return;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_LIST})) return;
    reply_array(x, x->argc - 2);
    for (uint32_t at = 2; at < x->argc; at++) reply_int(x, ref.entry && set_has(ref.entry, x->argv[at]));
}

static void cmd_smembers(struct exec *x) {
    struct key_ref ref;
    if (!exec_read(x, 1, TYPE_SET, &ref) || answer_waits_for_some(x, ref.entry, 1, 1)) return;
    reply_set(x, ref.entry ? set_count(ref.entry) : 0);
    if (ref.entry) set_each(ref.entry, reply_member, x);
}

/* --- SSCAN --- */

struct scan {
    struct exec *x;
    struct scan_options options;
    uint64_t found;
};

static bool reply_match(void *ctx, struct slice text) {
    struct scan *scan = ctx;
    if (!scan->options.all && !glob_match(scan->options.pattern, text, false)) return true;
    resp_bulk(scan->x->out, text);
    scan->found++;
    return true;
}

static void cmd_sscan(struct exec *x) {
    struct scan scan = {.x = x};
    struct key_ref ref;
    uint64_t cursor;
    size_t mark = x->out->len;
    if (!num_parse_u64(x->argv[2], &cursor)) {
        reply_error(x, "ERR invalid cursor");
        return;
    }
    if (!exec_read(x, 1, TYPE_SET, &ref)) return;
    if (!ref.entry) {
        scan_reply_head(x, mark, 0, 0);
        return;
    }
    if (!scan_parse(x, 3, &scan.options)) return;
    uint64_t max = MIN((uint64_t)scan.options.count, SCAN_VISIT_MAX);
    cursor = set_scan(ref.entry, cursor & ((1ull << HT_CURSOR_BITS) - 1), max, reply_match, &scan);
    scan_reply_head(x, mark, cursor, scan.found);
}

/* --- SMOVE --- */

static void cmd_smove(struct exec *x) {
    struct key_ref source, target;
    struct slice member = x->argv[3];
    if (!exec_open(x, 1, TYPE_SET, &source)) return;
    if (!source.entry) {
        reply_int(x, 0);
        return;
    }
    if (!exec_open(x, 2, TYPE_SET, &target)) return;
    exec_open_any(x, 1, &source); /* opening may delete what has expired and so move the source */
    if (slice_equal(x->argv[1], x->argv[2])) {
        reply_int(x, set_has(source.entry, member));
        return;
    }
    if (!set_remove(x->keys, &source, member)) {
        reply_int(x, 0);
        return;
    }
    exec_changed(x, x->argv[1], 1);
    exec_event_taken(x, NOTIFY_SET, "srem", &source);
    effect_add(x, x->db, (struct slice[]){SLICE("SREM"), x->argv[1], member}, 3);
    exec_open_any(x, 2, &target);
    if (set_add(x->keys, &target, member)) {
        exec_changed(x, x->argv[2], 1);
        exec_event_as(x, NOTIFY_SET, "sadd", x->argv[2]);
        effect_add(x, x->db, (struct slice[]){SLICE("SADD"), x->argv[2], member}, 3);
    }
    reply_int(x, 1);
}

/* sherd.set-or-none key: an error when it holds something else. */
static void cmd_set_or_none(struct exec *x) {
    struct key_ref ref;
    if (exec_open(x, 1, TYPE_SET, &ref)) reply_int(x, ref.entry != NULL);
}

static void smove_gather(struct gather *g) {
    struct slice source[2] = {g->argv[1], g->argv[3]}, target[2] = {g->argv[2], g->argv[3]};
    uint32_t from = gather_owner(g, 1), to = gather_owner(g, 2);
    int64_t number = 0;
    if (g->step > 0 && !gather_reply_int(gather_reply(g, 0), &number)) {
        g->failed = true;
        buf_append_slice(gather_out(g), gather_reply(g, 0));
        return;
    }
    bool nothing = number == 0; /* step 1: no source, step 3: no such member */
    switch (g->step) {
    case 0: gather_send(g, from, "sherd.set-or-none", source, 1); return;
    case 1:
        if (nothing) break;
        gather_send(g, to, "sherd.set-or-none", target, 1);
        return;
    case 2: gather_send(g, from, "srem", source, 2); return;
    case 3:
        if (nothing) break;
        gather_send(g, to, "sadd", target, 2);
        return;
    default: nothing = false; /* it was moved, whether or not the destination had it already */
    }
    resp_int(gather_out(g), !nothing);
}

const struct command set_commands[] = {
    {.name = "sadd",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_INSERT)},
     .where = ON_OWNER,
     .run = cmd_sadd,
     .takes_turns = true,
     .replays = true,
     .beside_save = BESIDE_ELEMENTS,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(1) for each member",
     .args = "key member [member ...]",
     .doc = "Adds members to a set and answers how many are new."},
    {.name = "srem",
     .arity = -3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_srem,
     .takes_turns = true,
     .replays = true,
     .beside_save = BESIDE_ELEMENTS,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(1) for each member",
     .args = "key member [member ...]",
     .doc = "Takes members out of a set and answers how many were there."},
    {.name = "scard",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_scard,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Answers how many members a set has."},
    {.name = "sismember",
     .arity = 3,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_sismember,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "key member",
     .doc = "Says whether a set has a member."},
    {.name = "smismember",
     .arity = -3,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_smismember,
     .takes_turns = true,
     .group = "set",
     .since = "6.2.0",
     .cost = "O(N), N = number of members asked for",
     .args = "key member [member ...]",
     .doc = "Says of each of several members whether a set has it."},
    {.name = "smembers",
     .arity = 2,
     .flags = CMD_READ,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_smembers,
     .answers = answer_key_bytes,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(N), N = number of members",
     .args = "key",
     .tips = "nondeterministic_output_order",
     .doc = "Answers all members of a set."},
    {.name = "sscan",
     .arity = -3,
     .flags = CMD_READ,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_sscan,
     .group = "set",
     .since = "2.8.0",
     .cost = "O(COUNT) for a call, O(N) for all, N = number of members",
     .args = "key cursor [MATCH pattern] [COUNT count]",
     .tips = "nondeterministic_output",
     .doc = "Lists some of a set's members and a cursor to go on with; a whole round lists every member that was there "
            "all the time."},
    {.name = "smove",
     .arity = 4,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_SET,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_ONE(2, KEY_RW | KEY_INSERT)},
     .where = ACROSS_OWNERS,
     .run = cmd_smove,
     .across = smove_gather,
     .group = "set",
     .since = "1.0.0",
     .cost = "O(1)",
     .args = "source destination member",
     .doc = "Moves a member from one set to another."},
    {.name = "sherd.set-or-none",
     .arity = 2,
     .flags = CMD_READ | CMD_INTERNAL,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_set_or_none,
     .group = "set",
     .since = "0.1.0",
     .cost = "O(1)",
     .args = "key",
     .doc = "Says whether a key is there, and refuses one that holds something else than a set."},
    {0},
};
