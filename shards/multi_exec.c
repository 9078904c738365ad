/* EXEC: the four ways of shards/multi.h. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/client_move.h"
#include "shards/gather.h"
#include "shards/monitor.h"
#include "shards/multi_priv.h"
#include "shards/part.h"
#include "shards/pipeline.h"
#include "shards/request.h"
#include "shards/route.h"
#include "shards/shard.h"
#include "shards/txn.h"
#include "shards/watch.h"

static bool is_one_shard(uint64_t shards) {
    return (shards & (shards - 1)) == 0;
}

/* Where all of it is: its keys and its watched keys. Nothing at all is here. */
static uint64_t places(const struct shard *home, const struct multi *multi, const struct multi_state *state) {
    uint64_t shards = state->owners | multi->watch_owners;
    return shards ? shards : 1ull << home->id;
}

void multi_route_multi(const struct shard *shard, const struct client *client, struct queued *q) {
    (void)shard;
    if (!multi_is_open_ahead(client)) q->fate = FATE_MULTI;
}

void multi_route_exec(const struct shard *shard, const struct client *client, struct queued *q) {
    const struct multi *multi = client->multi;
    q->fate = FATE_EXEC;
    q->fate_in_exec = FATE_LOCAL;
    q->leaves = q->barrier = false;
    if (!multi) return; /* an error, told here */
    const struct multi_state *state = multi_ahead(client);
    if (!state->open || state->spoiled) return; /* the same */
    q->barrier = state->mixed || multi->watch_count > 0;
    if (state->mixed) {
        q->fate_in_exec = FATE_ALL;
        return;
    }
    uint64_t shards = places(shard, multi, state);
    if (shards == 1ull << shard->id) return;
    q->leaves = true;
    q->fate_in_exec = is_one_shard(shards) ? FATE_REMOTE : FATE_SPLIT;
}

/* --- parts --- */

/* The arguments of all kept commands, and a head for each: what slices of a part point to. */
struct kept_commands {
    struct slice *argv;
    struct part_command *heads;
    struct part_watch *watches;
    uint32_t arguments, count, watch_count;
    size_t bytes; /* of the block at heads, which holds all three */
};

/* The database of what comes after it: SELECT is kept like everything else. */
static uint16_t db_after(const struct shard *home, uint16_t db, const struct message_item *item,
                         const struct slice *argv) {
    const struct command *row = command_at(home->registry, item->number)->row;
    uint16_t chosen;
    if (LIKELY(row->where != ON_CONN) || strcmp(row->name, "select") != 0 || item->argc != 2) return db;
    return exec_parse_db(argv[1], home->db_count, &chosen) ? db : chosen;
}

static void kept_open(struct shard *home, const struct multi *multi, const struct exec *x, struct kept_commands *all) {
    *all =
        (struct kept_commands){.arguments = multi->arguments, .count = multi->count, .watch_count = multi->watch_count};
    size_t heads = all->count * sizeof *all->heads, watches = all->watch_count * sizeof *all->watches;
    all->bytes = MAX(heads + watches + all->arguments * sizeof *all->argv, 1u);
    all->heads = heap_alloc_zero(home->heap, MEM_MESSAGE, all->bytes);
    all->watches = (struct part_watch *)(void *)((char *)all->heads + heads);
    all->argv = (struct slice *)(void *)((char *)all->watches + watches);
    size_t at = 0;
    uint32_t i = 0, argument = 0;
    uint16_t db = x->client->db;
    const struct kept *kept;
    while ((kept = kept_next(&multi->queue, &at))) {
        const struct message_item *item = kept_item(kept);
        all->heads[i++] = (struct part_command){.hash = item->hash,
                                                .argc = item->argc,
                                                .flags = x->flags & CLIENT_FLAGS_INSIDE,
                                                .number = item->number,
                                                .db = db,
                                                .hash_at = item->hash_at,
                                                .resp = x->client->resp};
        message_item_argv(item, all->argv + argument);
        db = db_after(home, db, item, all->argv + argument);
        argument += item->argc;
    }
    at = i = 0;
    const struct watched *watched;
    while ((watched = watched_next(&multi->watches, &at)))
        all->watches[i++] = (struct part_watch){.version = watched->version, .db = (uint16_t)watched->db};
}

static void kept_close(struct shard *home, struct kept_commands *all) {
    heap_free(home->heap, MEM_MESSAGE, all->heads, all->bytes);
}

static void add_watches(struct part *part, const struct multi *multi, const struct kept_commands *all, uint32_t owner) {
    size_t at = 0;
    uint32_t i = 0;
    const struct watched *watched;
    for (; (watched = watched_next(&multi->watches, &at)); i++)
        if (watched->owner == owner) part_add_watch(part, watched_key(watched), &all->watches[i]);
}

/* What one shard has to do of it. part_of[i], when wanted, is set to `number` for its commands. */
static void fill_part(struct part *part, struct shard *home, const struct multi *multi, const struct kept_commands *all,
                      uint32_t owner, uint8_t *part_of, uint8_t number) {
    part_init(part, home->heap, all->arguments + all->count + 2 * all->watch_count);
    add_watches(part, multi, all, owner);
    size_t at = 0;
    uint32_t argument = 0, i = 0;
    const struct kept *kept;
    for (; (kept = kept_next(&multi->queue, &at)); i++) {
        uint32_t where = kept->fate == FATE_REMOTE ? kept->owner : home->id;
        if (where == owner) {
            part_add_command(part, &all->heads[i], all->argv + argument);
            if (part_of) part_of[i] = number;
        }
        argument += all->heads[i].argc;
    }
}

/* --- on this shard --- */

typedef void (*kept_visit)(void *ctx, struct exec *x, const struct message_item *item, const struct slice *argv);

static void each_kept(struct exec *x, const struct multi *multi, kept_visit visit, void *ctx) {
    size_t at = 0;
    const struct kept *kept;
    while ((kept = kept_next(&multi->queue, &at))) {
        const struct message_item *item = kept_item(kept);
        struct slice few[32], *argv = few;
        size_t heap_bytes = item->argc > ARRAY_LEN(few) ? item->argc * sizeof *argv : 0;
        if (heap_bytes) argv = heap_alloc(x->shard->heap, MEM_MESSAGE, heap_bytes);
        message_item_argv(item, argv);
        visit(ctx, x, item, argv);
        if (heap_bytes) heap_free(x->shard->heap, MEM_MESSAGE, argv, heap_bytes);
    }
}

static void run_one(void *ctx, struct exec *x, const struct message_item *item, const struct slice *argv) {
    struct client *client = ctx;
    struct part_command head = {.hash = item->hash,
                                .argc = item->argc,
                                .flags = x->flags & CLIENT_FLAGS_INSIDE,
                                .number = item->number,
                                .db = client->db,
                                .hash_at = item->hash_at,
                                .resp = client->resp};
    part_run_command(x->shard, &head, argv, client->id, client, x->out);
    if (UNLIKELY(monitor_is_on(&x->shard->pubsub)))
        monitor_show(client, command_at(x->shard->registry, head.number), argv, head.argc);
}

static void run_all(struct exec *x, const struct multi *multi) {
    reply_array(x, multi->count);
    each_kept(x, multi, run_one, x->client);
}

/* What rows say of its commands, one after the other. */
struct sums {
    uint64_t answers, grows;
    bool wants_grows;
    uint16_t db;
};

static void add_up(void *ctx, struct exec *x, const struct message_item *item, const struct slice *argv) {
    struct sums *sums = ctx;
    struct exec sub = {.shard = x->shard,
                       .shared = &x->shard->shared,
                       .slot = command_at(x->shard->registry, item->number),
                       .argv = argv,
                       .argc = item->argc,
                       .db = sums->db,
                       .hash = item->hash,
                       .hash_at = item->hash_at};
    const struct command *row = sub.slot->row;
    if (sums->wants_grows && row->grows) {
        sub.keys = shard_db(x->shard, sums->db);
        sums->grows += row->grows(&sub);
    } else if (!sums->wants_grows && row->answers) {
        sums->answers += row->answers(&sub);
    }
    sums->db = db_after(x->shard, sums->db, item, argv);
}

uint64_t multi_grows(struct shard *home, const struct client *client) {
    struct sums sums = {.db = client->db, .wants_grows = true};
    struct exec x = {.shard = home};
    each_kept(&x, client->multi, add_up, &sums);
    return sums.grows;
}

/* Its reply will be large, and there is no room for it now. */
static COLD bool has_no_room(struct exec *x, const struct multi *multi) {
    struct sums sums = {.db = x->client->db};
    if (!multi->now.open || multi->now.spoiled) return false;
    each_kept(x, multi, add_up, &sums);
    return sums.answers > ADMIT_LARGE && !admit_answer(x->shard, sums.answers * ANSWER_COPIES);
}

static bool watches_are_clean(struct shard *shard, const struct multi *multi) {
    size_t at = 0;
    const struct watched *watched;
    while ((watched = watched_next(&multi->watches, &at)))
        if (!watch_is_unchanged(shard, watched->db, watched_key(watched), watched->version)) return false;
    return true;
}

/* What it asks for, and that it runs as one command. */
static struct exec whole(const struct part *part, const struct exec *x) {
    struct exec all = part_exec(part, x->shard);
    part->argv[0] = SLICE("exec");
    all.slot = x->slot;
    all.db = x->client->db;
    all.resp = x->client->resp;
    all.flags = x->flags;
    all.client_id = x->client->id;
    return all;
}

/* False: it stands in line now. */
static bool may_run_here(struct exec *x, struct multi *multi) {
    struct shard *home = x->shard;
    struct client *client = x->client;
    bool waits = !admit_has_plenty(home, 0) && has_no_room(x, multi);
    if (LIKELY(locks_idle(home->locks)) && LIKELY(!waits)) return true;
    struct kept_commands all;
    struct part part;
    kept_open(home, multi, x, &all);
    fill_part(&part, home, multi, &all, home->id, NULL, 0);
    struct exec together = whole(&part, x);
    bool free = !waits && request_may_run(&together);
    if (!free) {
        struct message_note note = {.client = client, .place = reply_queue_reserve(&client->replies)};
        request_park(&together, txn_stamp(home), home->id, note,
                     client->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP));
        multi_forget_watches(multi); /* it drops them itself */
    }
    part_deinit(&part);
    kept_close(home, &all);
    return free;
}

bool multi_exec_here(struct exec *x) {
    struct client *client = x->client;
    struct multi *multi = client->multi;
    bool ran = true;
    if (!multi || !multi->now.open) {
        reply_error(x, "ERR EXEC without MULTI");
        return true;
    }
    if (multi->now.spoiled) {
        reply_error(x, "EXECABORT Transaction discarded because of previous errors.");
    } else if (!(ran = may_run_here(x, multi))) {
        /* its reply has a place */
    } else if (watches_are_clean(x->shard, multi)) {
        multi->now.open = false; /* its commands are no longer kept but run */
        effects_open(&x->shard->effects, 0, 0);
        run_all(x, multi);
        effects_close(&x->shard->effects);
    } else {
        reply_null_array(x);
    }
    multi_abandon(client);
    return ran;
}

/* --- on one other shard --- */

static void exec_there(struct exec *x, struct multi *multi, uint32_t owner) {
    struct shard *home = x->shard;
    struct client *client = x->client;
    struct kept_commands all;
    struct part part;
    kept_open(home, multi, x, &all);
    fill_part(&part, home, multi, &all, owner, NULL, 0);
    struct exec together = whole(&part, x);
    struct message_note note = {.client = client, .place = reply_queue_reserve(&client->replies)};
    struct message_item *item = message_add_exec(pipeline_outgoing(home, owner, false), note, &together);
    item->stamp = txn_stamp(home);
    item->silent = x->flags & CLIENT_REPLY_SKIP;
    home->stats.hops_sent++;
    client_note_hops(home, client, owner, multi->count);
    part_deinit(&part);
    kept_close(home, &all);
    multi_forget_watches(multi); /* the owner drops them when it has compared them, be that later */
}

/* --- what a gather carries along --- */

struct exec_run {
    struct buf watches; /* dropped at the end: parts compare them as often as they are granted */
    struct buf queue;   /* commands that home runs one after the other */
    size_t at;
    uint32_t count;
};

static struct exec_run *run_of(const struct gather *gather) {
    return (struct exec_run *)(uintptr_t)gather->memo[0];
}

static void end_run(struct gather *gather) {
    struct exec_run *run = run_of(gather);
    multi_drop_watches(gather->home, &run->watches);
    buf_deinit(&run->watches);
    buf_deinit(&run->queue);
    heap_free(gather->home->heap, MEM_MESSAGE, run, sizeof *run);
}

static void begin_run(struct gather *gather, struct multi *multi) {
    struct shard *home = gather->home;
    struct exec_run *run = heap_alloc_zero(home->heap, MEM_MESSAGE, sizeof *run);
    run->count = multi->count;
    run->watches = multi->watches;
    run->queue = multi->queue;
    buf_init(&multi->watches, home->heap, MEM_CLIENT_IN);
    buf_init(&multi->queue, home->heap, MEM_CLIENT_IN);
    multi_forget_watches(multi);
    gather->memo[0] = (uintptr_t)run;
    gather->end = end_run;
}

/* --- on several shards, each command on one --- */

static void join_replies(struct gather *gather) {
    struct slice rest[SHARDS_MAX];
    for (uint32_t i = 0; i < gather->parts; i++) rest[i] = gather_reply(gather, i);
    resp_array(gather_out(gather), gather->key_count);
    for (uint32_t i = 0; i < gather->key_count; i++)
        buf_append_slice(gather_out(gather), gather_next_element(&rest[gather->part_of_key[i]]));
}

static void exec_parts(struct exec *x, struct multi *multi, uint64_t shards) {
    struct shard *home = x->shard;
    struct gather *gather = gather_new_placed(x, join_replies, (uint32_t)__builtin_popcountll(shards), multi->count);
    gather->writes = gather->hurries = multi->now.flags & CMD_WRITE;
    struct kept_commands all;
    kept_open(home, multi, x, &all);
    txn_begin(gather, shards);
    uint64_t here = shards & 1ull << home->id, left = shards;
    while (left) { /* home first */
        uint32_t owner = left & here ? home->id : (uint32_t)__builtin_ctzll(left);
        struct part part;
        fill_part(&part, home, multi, &all, owner, gather->part_of_key, (uint8_t)gather->sent);
        struct exec one = part_exec(&part, home);
        gather_add_part(gather, owner, one.slot, x->db, one.argv, one.argc);
        part_deinit(&part);
        left &= ~(1ull << owner);
    }
    kept_close(home, &all);
    begin_run(gather, multi);
    txn_asked_all(gather);
}

/* --- anything else: home runs one command after the other under locks --- */

/* A connection's command; without its client it has nothing to say. */
static void run_on_conn(struct gather *gather, struct exec *x) {
    struct client *client = gather->client;
    if (!client) {
        reply_null(x);
        return;
    }
    struct part_command head = {.argc = x->argc, .number = (uint16_t)x->slot->number, .db = client->db};
    head.resp = client->resp;
    part_run_command(x->shard, &head, x->argv, client->id, client, x->out);
    commit_gather_waits(gather, x->shard->id, commit_end(&x->shard->commit));
}

static void start_next(struct gather *gather, const struct kept *kept) {
    struct shard *home = gather->home;
    const struct message_item *item = kept_item(kept);
    struct slice *argv = heap_alloc(home->heap, MEM_MESSAGE, item->argc * sizeof *argv);
    message_item_argv(item, argv);
    struct client *client = gather->client;
    struct exec x = {.shard = home,
                     .shared = &home->shared,
                     .slot = command_at(home->registry, item->number),
                     .argv = argv,
                     .argc = item->argc,
                     .db = client ? client->db : gather->db,
                     .resp = client ? client->resp : gather->resp,
                     .flags = (gather->flags & CLIENT_FLAGS_INSIDE) | CLIENT_NO_BLOCK,
                     .hash = item->hash,
                     .hash_at = item->hash_at,
                     .client = client,
                     .client_id = client ? client->id : 0};
    if (kept->fate == FATE_LOCAL && x.slot->row->where == ON_CONN) {
        x.out = gather_out(gather);
        run_on_conn(gather, &x);
    } else if (kept->fate == FATE_LOCAL) {
        gather_start_inside(gather, &x, FATE_REMOTE, home->id);
    } else {
        gather_start_inside(gather, &x, kept->fate, kept->owner);
    }
    heap_free(home->heap, MEM_MESSAGE, argv, item->argc * sizeof *argv);
}

/* A step is one command that other shards have a part in; those of the connection run on the way. */
static void exec_step(struct gather *gather) {
    struct exec_run *run = run_of(gather);
    if (gather->step == 0) resp_array(gather_out(gather), run->count);
    if (gather->parts) buf_append_slice(gather_out(gather), gather_reply(gather, 0));
    const struct kept *kept;
    while (gather->sent == 0 && (kept = kept_next(&run->queue, &run->at))) start_next(gather, kept);
}

/* What the transaction touches: keys and how, and whether a command needs all shards whole. */
struct needs {
    struct heap *heap;
    struct slice *keys;
    char *modes;
    uint8_t *owners;
    uint32_t count, cap;
    bool wide, wide_writes;
    const struct shard *home;
};

static void need(void *ctx, const struct exec *x, uint32_t position, enum lock_mode mode, bool wide) {
    struct needs *needs = ctx;
    if (wide) {
        needs->wide = true;
        needs->wide_writes |= mode == LOCK_EXCLUSIVE;
        return;
    }
    ASSERT(needs->count < needs->cap);
    needs->keys[needs->count] = x->argv[position];
    needs->modes[needs->count] = mode == LOCK_EXCLUSIVE ? 'w' : 'r';
    needs->owners[needs->count++] = (uint8_t)shard_of_key(needs->home, x->argv[position]);
}

static void needs_find(struct needs *needs, const struct multi *multi, const struct kept_commands *all) {
    size_t at = 0;
    uint32_t argument = 0, i = 0;
    const struct kept *kept;
    for (; (kept = kept_next(&multi->queue, &at)); i++) {
        const struct exec x = {.slot = command_at(needs->home->registry, all->heads[i].number),
                               .argv = all->argv + argument,
                               .argc = all->heads[i].argc};
        argument += x.argc;
        request_each_lock(&x, need, needs);
    }
}

static void needs_open(struct needs *needs, struct shard *home, uint32_t cap) {
    *needs = (struct needs){.heap = home->heap, .home = home, .cap = MAX(cap, 1u)};
    needs->keys = heap_alloc(needs->heap, MEM_MESSAGE, needs->cap * sizeof *needs->keys);
    needs->modes = heap_alloc(needs->heap, MEM_MESSAGE, 2 * (size_t)needs->cap); /* the second half is scratch */
    needs->owners = heap_alloc(needs->heap, MEM_MESSAGE, needs->cap);
}

static void needs_close(struct needs *needs) {
    heap_free(needs->heap, MEM_MESSAGE, needs->keys, needs->cap * sizeof *needs->keys);
    heap_free(needs->heap, MEM_MESSAGE, needs->modes, 2 * (size_t)needs->cap);
    heap_free(needs->heap, MEM_MESSAGE, needs->owners, needs->cap);
}

/* For an owner to tell how much they will answer; what takes turns asks for room itself. */
static void add_telling(struct part *part, const struct shard *home, const struct multi *multi,
                        const struct kept_commands *all, uint32_t owner) {
    size_t at = 0;
    uint32_t argument = 0, i = 0;
    const struct kept *kept;
    part->head.tells = true;
    for (; (kept = kept_next(&multi->queue, &at)); argument += all->heads[i++].argc) {
        const struct command *row = command_at(home->registry, all->heads[i].number)->row;
        uint32_t where = kept->fate == FATE_REMOTE ? kept->owner : kept->fate == FATE_LOCAL ? home->id : owner;
        bool asks_itself = kept->fate == FATE_ACROSS && row->takes_turns;
        if (row->answers && !asks_itself && where == owner)
            part_add_command(part, &all->heads[i], all->argv + argument);
    }
}

static void ask_for_needs(struct gather *gather, const struct multi *multi, const struct kept_commands *all,
                          const struct needs *needs, uint32_t owner) {
    struct part part;
    bool tells = !admit_has_plenty(gather->home, 0);
    part_init(&part, gather->home->heap,
              needs->count + 1 + 2 * all->watch_count + (tells ? all->arguments + all->count : 0));
    add_watches(&part, multi, all, owner);
    char *modes = needs->modes + needs->cap;
    size_t count = 0;
    for (uint32_t i = 0; i < needs->count; i++)
        if (needs->owners[i] == owner) modes[count++] = needs->modes[i];
    if (count) part_add_locks(&part, slice_of(modes, count));
    for (uint32_t i = 0; count && i < needs->count; i++)
        if (needs->owners[i] == owner) part_add_locked_key(&part, needs->keys[i]);
    if (tells) add_telling(&part, gather->home, multi, all, owner);
    part.head.wide = needs->wide;
    part.head.wide_writes = needs->wide_writes;
    struct exec x = part_exec(&part, gather->home);
    txn_ask(gather, owner, &x);
    part_deinit(&part);
}

static void exec_steps(struct exec *x, struct multi *multi) {
    struct shard *home = x->shard;
    struct gather *gather = gather_new_waiting(x, exec_step);
    gather->stepped = true;
    gather->writes = gather->hurries = multi->now.flags & CMD_WRITE;
    struct kept_commands all;
    struct needs needs;
    kept_open(home, multi, x, &all);
    needs_open(&needs, home, multi->arguments);
    needs_find(&needs, multi, &all);
    uint64_t shards = multi->watch_owners | 1ull << home->id;
    for (uint32_t i = 0; i < needs.count; i++) shards |= 1ull << needs.owners[i];
    if (needs.wide) shards = home->count == 64 ? UINT64_MAX : (1ull << home->count) - 1;
    gather->hurries |= needs.wide;
    txn_begin(gather, shards);
    ask_for_needs(gather, multi, &all, &needs, home->id);
    for (uint64_t left = shards & ~(1ull << home->id); left; left &= left - 1)
        ask_for_needs(gather, multi, &all, &needs, (uint32_t)__builtin_ctzll(left));
    needs_close(&needs);
    kept_close(home, &all);
    begin_run(gather, multi);
    txn_asked_all(gather);
}

/* Its commands, which will run elsewhere or step by step: before EXEC itself is shown. */
static COLD void show_all(const struct exec *x, const struct multi *multi) {
    size_t at = 0;
    const struct kept *kept;
    while ((kept = kept_next(&multi->queue, &at))) {
        const struct message_item *item = kept_item(kept);
        size_t bytes = item->argc * sizeof(struct slice);
        struct slice *argv = heap_alloc(x->shard->heap, MEM_MESSAGE, bytes);
        message_item_argv(item, argv);
        monitor_show(x->client, command_at(x->shard->registry, item->number), argv, item->argc);
        heap_free(x->shard->heap, MEM_MESSAGE, argv, bytes);
    }
}

void multi_exec(struct exec *x) {
    struct client *client = x->client;
    struct multi *multi = client->multi;
    uint64_t shards = places(x->shard, multi, &multi->now);
    if (UNLIKELY(monitor_is_on(&x->shard->pubsub))) show_all(x, multi);
    multi->now.open = false; /* its commands are no longer kept but run */
    if (multi->now.mixed)
        exec_steps(x, multi);
    else if (is_one_shard(shards))
        exec_there(x, multi, (uint32_t)__builtin_ctzll(shards));
    else
        exec_parts(x, multi, shards);
    multi_close(client);
}
