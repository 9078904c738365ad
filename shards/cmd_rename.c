/* A value under another name or in another database: RENAME, RENAMENX, COPY, MOVE.
 *
 * When both names live on one shard the value is moved or copied there and that is all. When they do not, the client's
 * home shard carries it across in steps (shards/gather.h):
 *
 *      source's shard           home                 destination's shard
 *      sherd.fetch key     <--- step 0
 *      [body deadline form] --> step 1 ----------->  sherd.put key body deadline form nx|replace event
 *      sherd.drop key event <-- step 2 <-----------  :1 put, :0 the name is taken
 *      :1                  ---> step 3, RENAME only
 *
 * A body is an RDB object without compression (shards/dump.h); form keeps what it does not say, how a string was
 * or a set of integers was encoded, because OBJECT ENCODING shows it. */
#include "core/num.h"
#include "shards/admit.h"
#include "shards/carry.h"
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_tables.h"
#include "shards/dump.h"
#include "shards/effect_add.h"
#include "shards/gather.h"
#include "shards/piece.h"
#include "shards/set.h"
#include "shards/shard.h"
#include "shards/tell_work.h"
#include "shards/work.h"

#define NO_SUCH_KEY "ERR no such key"
#define SAME_OBJECT "ERR source and destination objects are the same"

/* --- on one shard --- */

/* The value is another key's now, or in another database: what the journal hears of that. */
static void tell_moved(struct exec *x, struct key_ref *target, const struct tell *tell) {
    if (tell_takes_turns(x, target, tell)) return;
    effect_value(x, tell->db, target->entry);
    effect_del(x, tell->drop_db, x->argv[tell->drop_at]);
}

/* Opens argv[1] in x->keys and key `to` in `dst`, both valid together. False: the source is absent. */
static bool open_pair(struct exec *x, struct key_ref *source, struct keyspace *dst, uint32_t to,
                      struct key_ref *target) {
    if (!exec_open_any(x, 1, source)) return false;
    keyspace_open(dst, x->argv[to], exec_hash(x, to), target); /* may delete what has expired and so move the source */
    return exec_open_any(x, 1, source);
}

static void rename_generic(struct exec *x, bool only_if_free) {
    struct key_ref source, target;
    if (!open_pair(x, &source, x->keys, 2, &target)) {
        reply_error(x, NO_SUCH_KEY);
        return;
    }
    bool same = slice_equal(x->argv[1], x->argv[2]);
    if (only_if_free && (same || target.entry)) {
        reply_int(x, 0);
        return;
    }
    if (!same) {
        if (target.entry) exec_event_as(x, NOTIFY_NEW, "new", x->argv[2]); /* the old one is deleted first */
        keyspace_move(x->keys, &source, x->keys, &target);
        exec_changed(x, x->argv[1], 0); /* Redis counts one change for both keys */
        exec_changed(x, x->argv[2], 1);
        exec_event_as(x, NOTIFY_GENERIC, "rename_from", x->argv[1]);
        exec_event_as(x, NOTIFY_GENERIC, "rename_to", x->argv[2]);
        tell_moved(x, &target, &(struct tell){.key_at = 2, .drop_at = 1, .db = x->db, .drop_db = x->db});
    }
    if (only_if_free)
        reply_int(x, 1);
    else
        reply_ok(x);
}

static void cmd_rename(struct exec *x) {
    rename_generic(x, false);
}
static void cmd_renamenx(struct exec *x) {
    rename_generic(x, true);
}

struct copy_options {
    uint16_t db;
    bool replace;
};

/* argv[3 ..] of COPY. Returns the error to reply, NULL when it is fine. */
static const char *parse_copy(const struct slice *argv, uint32_t argc, uint32_t db_count, struct copy_options *out) {
    for (uint32_t at = 3; at < argc; at++) {
        if (slice_is(argv[at], "replace")) {
            out->replace = true;
        } else if (slice_is(argv[at], "db") && at + 1 < argc) {
            const char *error = exec_parse_db(argv[++at], db_count, &out->db);
            if (error) return error;
        } else {
            return "ERR syntax error";
        }
    }
    return NULL;
}

static void cmd_copy(struct exec *x) {
    struct copy_options options = {.db = x->db};
    const char *error = parse_copy(x->argv, x->argc, x->shard->db_count, &options);
    if (!error && options.db == x->db && slice_equal(x->argv[1], x->argv[2])) error = SAME_OBJECT;
    if (error) {
        reply_error(x, error);
        return;
    }
    struct key_ref source, target;
    struct keyspace *dst = shard_db(x->shard, options.db);
    (void)exec_read_any(x, 1, &source); /* counts */
    if (!open_pair(x, &source, dst, 2, &target) || (target.entry && !options.replace)) {
        reply_int(x, 0);
        return;
    }
    if (copy_takes_long(source.entry) && work_takes_turns(x)) {
        if (work_begins(x)) work_begin(x, copy_work_new(x, options.db, source.entry));
        return;
    }
    if (target.entry) exec_event_in(x, options.db, NOTIFY_NEW, "new", x->argv[2]);
    keyspace_put_copy(dst, &target, source.entry, entry_deadline_ms(source.entry));
    effect_value(x, options.db, target.entry);
    exec_changed_in(x, options.db, x->argv[2], 1);
    exec_event_in(x, options.db, NOTIFY_GENERIC, "copy_to", x->argv[2]);
    reply_int(x, 1);
}

static uint64_t copy_grows(const struct exec *x) {
    return admit_key_bytes(x, 1);
}

/* The same key in another database has the same slot, so it stays on this shard. */
static void cmd_move(struct exec *x) {
    uint16_t db;
    const char *error = exec_parse_db(x->argv[2], x->shard->db_count, &db);
    if (!error && db == x->db) error = SAME_OBJECT;
    if (error) {
        reply_error(x, error);
        return;
    }
    struct key_ref source, target;
    struct keyspace *dst = shard_db(x->shard, db);
    if (!open_pair(x, &source, dst, 1, &target) || target.entry) {
        reply_int(x, 0);
        return;
    }
    keyspace_move(x->keys, &source, dst, &target);
    exec_changed(x, x->argv[1], 1);
    exec_changed_in(x, db, x->argv[1], 0);
    exec_event_as(x, NOTIFY_GENERIC, "move_from", x->argv[1]);
    exec_event_in(x, db, NOTIFY_GENERIC, "move_to", x->argv[1]);
    tell_moved(x, &target, &(struct tell){.key_at = 1, .drop_at = 1, .db = db, .drop_db = x->db});
    reply_int(x, 1);
}

/* --- what the steps ask of other shards --- */

enum form { FORM_TEXT, FORM_INT, FORM_RAW };

/* sherd.fetch key [read] */
static void cmd_fetch(struct exec *x) {
    struct key_ref ref;
    const struct entry *entry = x->argc > 2 ? exec_read_any(x, 1, &ref) : exec_open_any(x, 1, &ref);
    if (!entry) {
        reply_null_array(x);
        return;
    }
    if (piece_takes_long(entry)) {
        reply_array(x, CARRY_HEAD);
        reply_int(x, (int64_t)piece_len(entry));
        reply_int(x, entry->type);
        reply_int(x, (int64_t)entry_deadline_ms(entry));
        reply_int(x, piece_form(entry));
        reply_int(x, (int64_t)piece_timed(entry));
        return;
    }
    reply_array(x, 3);
    size_t mark = x->out->len;
    dump_write_body(x->out, entry, false);
    char head[RESP_HEADER_MAX];
    buf_insert(x->out, mark, slice_of(head, resp_header(head, '$', (int64_t)(x->out->len - mark))));
    buf_append_literal(x->out, "\r\n");
    resp_bulk_int(x->out, (int64_t)entry_deadline_ms(entry));
    bool is_int = entry->type == TYPE_SET ? set_is_intset(entry) : entry->encoding == ENC_INT;
    resp_bulk_int(x->out, is_int ? FORM_INT : entry->flags & ENTRY_SHOWN ? FORM_RAW : FORM_TEXT);
}

void exec_event_told(struct exec *x, struct slice event) {
    unsigned class = event.ptr[0] == EVENT_GENERIC  ? NOTIFY_GENERIC
                     : event.ptr[0] == EVENT_SET    ? NOTIFY_SET
                     : event.ptr[0] == EVENT_STRING ? NOTIFY_STRING
                                                    : NOTIFY_ZSET;
    if (UNLIKELY(x->shared->notify & class))
        notify_event(x->shard, x->db, slice_of(event.ptr + 1, event.len - 1), x->argv[1]);
}

static void cmd_put(struct exec *x) {
    /* It stays what it is, whatever the configuration would make of it today. */
    static const struct packed_rule large = {0}, packed = {UINT64_MAX, SIZE_MAX};
    int64_t deadline_ms, form;
    if (!exec_int(x, 3, &deadline_ms) || !exec_int(x, 4, &form)) return;
    struct key_ref ref;
    if (exec_open_any(x, 1, &ref) && arg_is(x, 5, "nx")) {
        reply_int(x, 0);
        return;
    }
    struct buf scratch;
    buf_init(&scratch, x->shard->heap, MEM_MESSAGE);
    struct slice body = x->argv[2];
    struct set_rule set_rule = x->shared->set_rule;
    if (form == FORM_INT) set_rule.intset_max = UINT64_MAX; /* it stays one though the limit was lowered */
    struct entry *entry = dump_read_entry(&body, &(struct dump_target){.store = &x->shared->store,
                                                                       .list_rule = &x->shared->list_rule,
                                                                       .set_rule = &set_rule,
                                                                       .hash_rule = form == FORM_RAW ? &large : &packed,
                                                                       .zset_rule = &x->shared->zset_rule,
                                                                       .seed = &x->shared->seed,
                                                                       .scratch = &scratch,
                                                                       .key = x->argv[1],
                                                                       .deadline_ms = (uint64_t)deadline_ms,
                                                                       .allow_int = form == FORM_INT,
                                                                       .as_it_was = true});
    ASSERT(entry); /* another of our threads wrote it */
    if (form == FORM_RAW) entry->flags |= ENTRY_SHOWN;
    bool deletes_old = x->argv[6].ptr[0] == EVENT_GENERIC;
    if (ref.entry && deletes_old) exec_event_as(x, NOTIFY_NEW, "new", x->argv[1]);
    keyspace_put_entry(x->keys, &ref, entry);
    effect_value(x, x->db, entry);
    buf_deinit(&scratch);
    exec_changed(x, x->argv[1], 1);
    exec_event_told(x, x->argv[6]);
    reply_int(x, 1);
}

static void cmd_drop(struct exec *x) {
    struct key_ref ref;
    bool present = exec_open_any(x, 1, &ref);
    if (present) {
        keyspace_remove(x->keys, &ref);
        exec_changed(x, x->argv[1], 0); /* counted where it was put */
        exec_event_told(x, x->argv[2]);
        effect_del(x, x->db, x->argv[1]);
    }
    reply_int(x, present);
}

/* --- across shards --- */

static void fetch_source(struct gather *g, bool reads) {
    struct slice args[2] = {g->argv[1], SLICE("read")};
    gather_send(g, gather_owner(g, 1), "sherd.fetch", args, reads ? 2 : 1);
}

/* What fetch answered goes to argv[2]'s owner. False: there is no source. */
static bool put_at_target(struct gather *g, uint16_t db, bool replace, struct slice event) {
    struct slice rest, args[6];
    if (gather_reply_array(gather_reply(g, 0), &rest) != 3) return false;
    args[0] = g->argv[2];
    for (int i = 1; i <= 3; i++) {
        bool is_bulk = gather_reply_bulk(gather_next_element(&rest), &args[i]);
        ASSERT(is_bulk);
    }
    args[4] = replace ? SLICE("replace") : SLICE("nx");
    args[5] = event;
    gather_send_db(g, gather_owner(g, 2), db, "sherd.put", args, ARRAY_LEN(args));
    return true;
}

/* The reply of the step that just finished, an error perhaps, is the client's. */
static void forward_reply(struct gather *g) {
    struct slice reply = gather_reply(g, 0);
    if (gather_reply_is_error(reply)) g->failed = true;
    buf_append_slice(gather_out(g), reply);
}

static void drop_source(struct gather *g) {
    gather_send(g, gather_owner(g, 1), "sherd.drop", (struct slice[]){g->argv[1], SLICE("grename_from")}, 2);
}

/* A large value, piece by piece. */
static void rename_carries(struct gather *g, bool only_if_free) {
    const struct carry carry = {.source = 1, .target = 2, .db = g->db, .replace = !only_if_free, .event = "grename_to"};
    switch (carry_is_on(g) ? carry_step(g, &carry) : carry_begin(g, &carry, gather_reply(g, 0))) {
    case CARRY_NO_SOURCE: gather_error(g, NO_SUCH_KEY); return;
    case CARRY_NO_MEMORY: gather_error(g, OOM_ERROR); return;
    case CARRY_TAKEN: resp_int(gather_out(g), 0); return;
    case CARRY_DONE: drop_source(g); return;
    default: return;
    }
}

static void rename_across(struct gather *g, bool only_if_free) {
    int64_t was_put;
    if (carry_is_on(g)) {
        rename_carries(g, only_if_free);
        return;
    }
    switch (g->step) {
    case 0: fetch_source(g, false); return;
    case 1:
        if (gather_reply_is_error(gather_reply(g, 0)))
            forward_reply(g);
        else if (carry_is_head(gather_reply(g, 0)))
            rename_carries(g, only_if_free);
        else if (!put_at_target(g, g->db, !only_if_free, SLICE("grename_to")))
            gather_error(g, NO_SUCH_KEY);
        return;
    case 2:
        if (!gather_reply_int(gather_reply(g, 0), &was_put) || !was_put)
            forward_reply(g);
        else
            drop_source(g);
        return;
    default:
        if (only_if_free)
            resp_int(gather_out(g), 1);
        else
            resp_simple(gather_out(g), SLICE("OK"));
    }
}

static void rename_gather(struct gather *g) {
    rename_across(g, false);
}
static void renamenx_gather(struct gather *g) {
    rename_across(g, true);
}

static void copy_carries(struct gather *g, const struct copy_options *options) {
    const struct carry carry = {
        .source = 1, .target = 2, .db = options->db, .replace = options->replace, .admits = true, .event = "gcopy_to"};
    enum carry_state state = carry_is_on(g) ? carry_step(g, &carry) : carry_begin(g, &carry, gather_reply(g, 0));
    if (state == CARRY_NO_MEMORY)
        gather_error(g, OOM_ERROR);
    else if (state != CARRY_GOES_ON)
        resp_int(gather_out(g), state == CARRY_DONE);
}

static void copy_gather(struct gather *g) {
    struct copy_options options = {.db = g->db};
    const char *error = parse_copy(g->argv, g->argc, g->home->db_count, &options);
    if (carry_is_on(g)) {
        copy_carries(g, &options);
        return;
    }
    switch (g->step) {
    case 0:
        if (error)
            gather_error(g, error);
        else
            fetch_source(g, true);
        return;
    case 1:
        if (gather_reply_is_error(gather_reply(g, 0)))
            forward_reply(g);
        else if (carry_is_head(gather_reply(g, 0)))
            copy_carries(g, &options);
        else if (!admit_step(g->home, gather_reply(g, 0).len))
            gather_error(g, OOM_ERROR);
        else if (!put_at_target(g, options.db, options.replace, SLICE("gcopy_to")))
            resp_int(gather_out(g), 0);
        return;
    default: forward_reply(g);
    }
}

const struct command rename_commands[] = {
    {.name = "rename",
     .arity = 3,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_ONE(2, KEY_OW | KEY_UPDATE)},
     .where = ACROSS_OWNERS,
     .run = cmd_rename,
     .takes_turns = true,
     .across = rename_gather,
     .group = "generic",
     .since = "1.0.0",
     .cost = "O(N), N = length of the value",
     .args = "key newkey",
     .doc = "Gives a value another name; a value that had that name is lost."},
    {.name = "renamenx",
     .arity = 3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE), KEYS_ONE(2, KEY_OW | KEY_INSERT)},
     .where = ACROSS_OWNERS,
     .run = cmd_renamenx,
     .takes_turns = true,
     .across = renamenx_gather,
     .group = "generic",
     .since = "1.0.0",
     .cost = "O(N), N = length of the value",
     .args = "key newkey",
     .doc = "Gives a value another name unless that name is taken."},
    {.name = "copy",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS), KEYS_ONE(2, KEY_OW | KEY_UPDATE)},
     .where = ACROSS_OWNERS,
     .run = cmd_copy,
     .takes_turns = true,
     .grows = copy_grows,
     .across = copy_gather,
     .group = "generic",
     .since = "6.2.0",
     .cost = "O(N), N = length of the value",
     .args = "source destination [DB destination-db] [REPLACE]",
     .doc = "Copies a value and its deadline to another key, also in another database."},
    {.name = "move",
     .arity = 3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_move,
     .takes_turns = true,
     .group = "generic",
     .since = "1.0.0",
     .cost = "O(N), N = length of the value",
     .args = "key db",
     .doc = "Moves a key to another database unless it is there already."},
    {.name = "sherd.fetch",
     .arity = -2,
     .flags = CMD_READ | CMD_INTERNAL,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_fetch,
     .group = "generic",
     .since = "0.1.0",
     .cost = "O(N), N = length of the value",
     .args = "key [READ]",
     .doc = "Answers body, deadline and form of a value, or null."},
    {.name = "sherd.put",
     .arity = 7,
     .flags = CMD_WRITE | CMD_INTERNAL,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_put,
     .group = "generic",
     .since = "0.1.0",
     .cost = "O(N), N = length of the value",
     .args = "key body deadline form <NX | REPLACE> event",
     .doc = "Stores what sherd.fetch answered under another key."},
    {.name = "sherd.drop",
     .arity = 3,
     .flags = CMD_WRITE | CMD_INTERNAL,
     .keys = {KEYS_ONE(1, KEY_RM | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_drop,
     .group = "generic",
     .since = "0.1.0",
     .cost = "O(1)",
     .args = "key event",
     .doc = "Deletes the old name of a value that was put elsewhere."},
    {0},
};
