/* Gathers: sending parts and counting them in. Joining their replies is in gather_merge.c, locking keys in
 * gather_lock.c.
 *
 * One block holds the gather, its copy of argv and two arrays of parts: the step under way and the step before, whose
 * replies the across function reads while it sends the next. One that is made of parts has one step,
 * so one array does. */
#include "shards/gather.h"
#include "core/assert.h"
#include "shards/admit.h"
#include "shards/blocked.h"
#include "shards/exec.h"
#include "shards/gather_priv.h"
#include "shards/gather_room.h"
#include "shards/message.h"
#include "shards/pipeline.h"
#include "shards/reaper.h"
#include "shards/request.h"
#include "shards/route.h"
#include "shards/shard.h"
#include "shards/txn.h"

#define GATHER_LEAST   (1u << 20) /* what is expected of one whose client had none before, at the least */
#define STEP_PARTS_MIN 4u         /* of a gather of several steps, where there are fewer shards */

/* One part for each shard, and another that sends on what they have answered before. */
static uint32_t step_parts(const struct shard *home) {
    return MAX(home->count + 1, STEP_PARTS_MIN);
}

/* It counts as large as admit.h says. */
static void expect(struct gather *gather, const struct exec *x) {
    struct account *account = &gather->home->account;
    gather->expects = admit_gather_size(gather->home, gather->client, x->slot->row, x->db);
    account->gathered_size += gather->expects;
    account->gathers++;
}

static uint32_t decayed(uint32_t before, size_t size) {
    return MAX((uint32_t)MIN(size, (size_t)INT32_MAX), before - before / 16);
}

/* It is over: what it has held is expected of the next ones. */
static void learn(struct gather *gather) {
    struct account *account = &gather->home->account;
    struct client *client = gather->client;
    account->gathered_size -= gather->expects;
    account->gathers--;
    if (!client || gather->parent) return; /* inside of EXEC the whole counts; its client may be gone */
    bool first = !client->gather_size;
    client->gather_size = MAX(decayed(client->gather_size, gather->held), 1u);
    if (gather->slot->row->merge == MERGE_CONCAT) return; /* what lists keys has an estimate of its own */
    if (first || gather->held > (size_t)account->gather_size)
        account->gather_size = MAX(decayed((uint32_t)account->gather_size, gather->held), GATHER_LEAST);
}

/* steps: it may have several, and a copy of argv for them. cap: parts of one step at most. keys: of part_of_key. */
static struct gather *gather_new(const struct exec *x, command_across run, bool steps, uint32_t cap, uint32_t keys) {
    struct shard *home = x->shard;
    size_t text = 0;
    for (uint32_t i = 0; steps && i < x->argc; i++) text += x->argv[i].len;
    size_t argv_bytes = steps ? x->argc * sizeof(struct slice) : 0;
    size_t part_bytes = (steps ? 2 : 1) * cap * sizeof(struct gather_part);
    size_t size = sizeof(struct gather) + part_bytes + argv_bytes + text + keys;
    struct gather *gather = heap_alloc(home->heap, MEM_MESSAGE, size);
    memset(gather, 0, size - text - argv_bytes - keys);
    gather->part_of_key = (uint8_t *)gather + size - keys;
    gather->key_count = keys;
    gather->block_bytes = size;
    gather->home = home;
    gather->client = x->client;
    gather->slot = x->slot;
    gather->run = run;
    gather->writes = x->slot->row->flags & CMD_WRITE;
    gather->flags = x->flags;
    gather->db = x->db;
    gather->resp = x->resp;
    gather->part_cap = cap;
    gather->sending = (struct gather_part *)(gather + 1);
    gather->answered = steps ? gather->sending + cap : gather->sending;
    gather->started_tick = home->last_tick;
    expect(gather, x);
    buf_init(&gather->out, home->heap, MEM_CLIENT_OUT);
    if (!steps) return gather;
    gather->argc = x->argc;
    gather->argv = (struct slice *)(gather->answered + cap);
    char *at = (char *)(gather->argv + x->argc);
    for (uint32_t i = 0; i < x->argc; i++) {
        if (x->argv[i].len) memcpy(at, x->argv[i].ptr, x->argv[i].len);
        gather->argv[i] = slice_of(at, x->argv[i].len);
        at += x->argv[i].len;
    }
    return gather;
}

static void drop_parts(struct gather *gather, struct gather_part *parts, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].message) {
            reaper_take_chain(gather->home->shared.reaper, &parts[i].message->elements);
            message_release(&gather->home->messages, parts[i].message);
        }
        if (parts[i].local.data) buf_pool_give_back(&gather->home->replies, &parts[i].local);
    }
    memset(parts, 0, count * sizeof *parts);
}

static void drop_answered(struct gather *gather) {
    drop_parts(gather, gather->answered, gather->parts);
    gather->parts = 0;
}

static void gather_free(struct gather *gather) {
    struct shard *home = gather->home;
    learn(gather);
    drop_answered(gather);
    if (gather->out.data) buf_pool_give_back(&home->replies, &gather->out);
    commit_gather_free(gather);
    reaper_take_chain(home->shared.reaper, &gather->rest);
    heap_free(home->heap, MEM_MESSAGE, gather, gather->block_bytes);
}

/* It found nothing, and every shard where it has keys knows that its client waits. */
static void gather_wait(struct gather *gather) {
    struct shard *home = gather->home;
    struct client *client = gather->client;
    uint64_t stamp = gather->stamp, shards = gather->waits_at, timeout_ms = gather->timeout_ms;
    bool silent = gather->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP), again = gather->again;
    if (!again) pipeline_count_gather(home, gather, false);
    if (!again && client) { /* before its locks are given back: who stood behind them may serve it at once */
        client->gather = NULL;
        client->flags &= ~(uint32_t)CLIENT_REPLY_SKIP;
        client->wait = WAIT_REPLIES;
        blocked_add(client, stamp, reply_queue_reserve(&client->replies), shards, timeout_ms, silent);
    }
    txn_end(gather);
    gather_free(gather);
    if (again)
        blocked_not_served(home, stamp);
    else if (!client)
        blocked_cancel(home, stamp, shards, 0);
}

/* The client is served. Its waiter, and with it the key that was held for it, is taken away like those elsewhere. */
static void served_again(struct gather *gather) {
    struct message_note note;
    if (!blocked_over(gather->home, gather->stamp, txn_participants(gather), &note)) gather->flags |= CLIENT_REPLY_SKIP;
    gather->client = note.client;
    gather->place = note.place;
    gather->placed = true;
}

static void tell_parent(struct gather *gather) {
    struct shard *home = gather->home;
    struct gather *parent = gather->parent;
    uint32_t part = gather->parent_part;
    chain_flatten(&gather->rest, home->heap, &gather->out);
    struct buf out = gather->out;
    buf_init(&gather->out, home->heap, MEM_CLIENT_OUT);
    gather_free(gather);
    gather_part_done_own(parent, part, &out);
}

void gather_excuse(struct gather *gather, const char *text) {
    buf_reset(&gather->out, 0);
    reaper_take_chain(gather->home->shared.reaper, &gather->rest);
    resp_errorf(&gather->out, "%s", text);
}

void gather_confirmed(struct gather *gather) {
    struct shard *home = gather->home;
    struct client *client = gather->client;
    drop_answered(gather); /* before it is copied */
    if (gather->placed) {
        if (gather->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP))
            gather->out.len = 0;
        else
            client_note_answer(client, gather->out.len);
        client_fill_own(client, gather->place, &gather->out);
        shard_mark_dirty(home, client);
    } else if (client) {
        ASSERT(client->gather == gather || !client->gather);
        if (!(gather->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP))) {
            client_note_answer(client, gather->out.len + chain_len(&gather->rest));
            client_append_reply(client, &gather->out, &gather->rest);
        }
        client->flags &= ~(uint32_t)CLIENT_REPLY_SKIP;
        client->gather = NULL;
        shard_mark_dirty(home, client);
    }
    gather_free(gather);
    if (client) pipeline_resume(home, client);
}

void gather_abandon(struct gather *gather) {
    gather_free(gather);
}

/* Does the reply wait for the disk? An error has changed nothing; what steps have shown does not matter when their
 * transaction is waited for. */
static void find_hold(struct gather *gather, bool failed) {
    bool silent = gather->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
    gather->holds = gather->home->commit.on && !silent && !gather->parent;
    gather->holds_txn = gather->holds && !failed && txn_participants(gather);
    if (!gather->holds || (gather->stepped && gather->holds_txn)) commit_gather_free(gather);
}

static void gather_finish(struct gather *gather) {
    struct shard *home = gather->home;
    if (gather->blocks) {
        gather_wait(gather);
        return;
    }
    struct slice reply = buf_slice(&gather->out);
    if (UNLIKELY(gather->promised)) gather_room_came(gather, gather->promised);
    gather->held = MAX(gather->held, reply.len + chain_len(&gather->rest));
    bool failed = gather_reply_is_error(reply);
    if (failed) error_stats_count(&home->errors, slice_of(reply.ptr + 1, reply.len - 1));
    pipeline_count_gather(home, gather, failed);
    find_hold(gather, failed);
    if (gather->again) gather->in_line &= ~gather->waits_at;
    if (gather->phase != TXN_FREE) txn_end(gather);
    if (gather->again) served_again(gather);
    if (gather->end) gather->end(gather);
    if (gather->parent)
        tell_parent(gather);
    else if (LIKELY(!gather->holds) || !commit_gather_holds(gather))
        gather_confirmed(gather);
}

/* The replies of a step are all there. */
static void note_held(struct gather *gather) {
    size_t held = 0;
    for (uint32_t i = 0; i < gather->parts; i++) {
        const struct gather_part *part = &gather->answered[i];
        held += part->reply.len + (part->message ? chain_len(&part->message->elements) : 0);
    }
    gather->held = MAX(gather->held, held);
}

/* Runs steps as long as all their parts are answered at once. */
static void gather_advance(struct gather *gather) {
    while (gather->pending == 0) {
        drop_answered(gather);
        struct gather_part *empty = gather->answered;
        gather->answered = gather->sending;
        gather->sending = empty;
        gather->parts = gather->sent;
        gather->sent = 0;
        note_held(gather);
        gather->stepping = true;
        gather->run(gather);
        gather->stepping = false;
        gather->step++;
        if (gather->sent == 0) {
            gather_finish(gather);
            return;
        }
    }
}

void gather_go_on(struct gather *gather) {
    if (!gather->stepping) gather_advance(gather);
}

void gather_drop(struct gather *gather, const char *error) {
    drop_parts(gather, gather->sending, gather->sent);
    gather->sent = gather->pending = 0;
    if (error)
        gather_error(gather, error);
    else
        resp_null_array(&gather->out, gather->resp);
    gather_finish(gather);
}

struct gather *gather_new_waiting(struct exec *x, command_across run) {
    struct client *client = x->client;
    ASSERT(client && !client->gather);
    struct gather *gather = gather_new(x, run, true, step_parts(x->shard), 0);
    client->gather = gather;
    client->wait = WAIT_GATHER;
    return gather;
}

struct gather *gather_new_placed(struct exec *x, command_across run, uint32_t parts, uint32_t keys) {
    struct gather *gather = gather_new(x, run, false, parts, keys);
    gather->placed = true;
    gather->place = reply_queue_reserve(&gather->client->replies);
    return gather;
}

void gather_start_free(struct exec *x, command_across run) {
    gather_advance(gather_new_waiting(x, run));
}

void gather_start(struct exec *x, command_across run) {
    struct gather *gather = gather_new_waiting(x, run);
    gather_lock_keys(gather);
}

static struct gather_part *part_new(struct gather *gather, uint32_t shard) {
    ASSERT(gather->sent < gather->part_cap);
    struct gather_part *part = &gather->sending[gather->sent++];
    part->shard = (uint8_t)shard;
    gather->pending++;
    return part;
}

/* An exec for a part; without the hash of its key. */
static struct exec exec_of_part(const struct gather *gather, const struct command_slot *slot, uint16_t db,
                                const struct slice *argv, uint32_t argc) {
    struct shard *home = gather->home;
    uint32_t first = (uint32_t)slot->row->keys[0].first;
    uint32_t hash_at = first > 0 && first < argc ? first : 0;
    bool step = slot != gather->slot && gather->slot->row->flags & CMD_WRITE && !(slot->row->flags & CMD_INTERNAL);
    return (struct exec){.shard = home,
                         .shared = &home->shared,
                         .slot = slot,
                         .argv = argv,
                         .argc = argc,
                         .db = db,
                         .resp = gather->resp,
                         .flags = gather->flags | (step ? (uint32_t)CLIENT_STEP : 0),
                         .hash_at = hash_at,
                         .part = true,
                         .client_id = gather->client ? gather->client->id : 0};
}

static struct exec exec_here(const struct gather *gather, const struct command_slot *slot, uint16_t db,
                             const struct slice *argv, uint32_t argc) {
    struct exec x = exec_of_part(gather, slot, db, argv, argc);
    if (x.hash_at) x.hash = key_hash(&gather->home->shared, argv[x.hash_at]);
    return x;
}

static void part_done(struct gather *gather, struct gather_part *part, struct slice reply) {
    if (UNLIKELY(gather->answers)) gather_room_came(gather, reply.len);
    part->done = true;
    part->reply = reply;
    gather->pending--;
}

/* A part whose keys are ours. Without locks of its own it may have to stand in line like any command. */
static void run_here(struct gather *gather, struct gather_part *part, struct exec *x) {
    struct shard *home = gather->home;
    if (gather->phase == TXN_FREE && !request_may_run(x)) {
        struct message_note note = {.gather = gather, .place = (uint64_t)(part - gather->sending)};
        request_park(x, txn_stamp(home), home->id, note, false);
        return;
    }
    buf_init(&part->local, home->heap, MEM_CLIENT_OUT);
    buf_pool_lend(&home->replies, &part->local);
    x->out = &part->local;
    uint64_t position;
    if (gather->phase == TXN_FREE) {
        pipeline_execute(home, x);
        position = commit_end(&home->commit);
    } else {
        position = request_run_step(x, gather->stamp);
    }
    commit_gather_waits(gather, home->id, position);
    part_done(gather, part, buf_slice(&part->local));
}

/* One part to one shard. argv includes the name. */
static void send_part(struct gather *gather, uint32_t to, const struct command_slot *slot, uint16_t db,
                      const struct slice *argv, uint32_t argc) {
    struct shard *home = gather->home;
    struct gather_part *part = part_new(gather, to);
    struct exec x = exec_here(gather, slot, db, argv, argc);
    bool sliced = slot->row->flags & CMD_SLICED;
    if (to == home->id && !sliced) {
        run_here(gather, part, &x);
        return;
    }
    struct message *message =
        to == home->id ? message_new(&home->messages, to, to) : pipeline_outgoing(home, to, sliced);
    struct message_note note = {.gather = gather, .place = (uint64_t)(part - gather->sending)};
    struct message_item *item = message_add_exec(message, note, &x);
    item->how = gather->phase == TXN_FREE ? ITEM_RUN : ITEM_UNDER;
    item->stamp = gather->phase == TXN_FREE ? txn_stamp(home) : gather->stamp;
    home->stats.hops_sent++;
    if (to == home->id) shard_start_job(home, message);
}

void gather_add_part(struct gather *gather, uint32_t shard, const struct command_slot *slot, uint16_t db,
                     const struct slice *argv, uint32_t argc) {
    part_new(gather, shard);
    struct exec x = exec_here(gather, slot, db, argv, argc);
    txn_ask(gather, shard, &x);
}

uint32_t gather_owner(const struct gather *gather, uint32_t argv_at) {
    return shard_of_key(gather->home, gather->argv[argv_at]);
}

uint32_t gather_shards(const struct gather *gather) {
    return gather->home->count;
}

void gather_send_db(struct gather *gather, uint32_t shard, uint16_t db, const char *name, const struct slice *args,
                    uint32_t arg_count) {
    struct slice few[16], *argv = few;
    size_t heap_bytes = arg_count + 1 > ARRAY_LEN(few) ? (arg_count + 1) * sizeof *argv : 0;
    if (heap_bytes) argv = heap_alloc(gather->home->heap, MEM_MESSAGE, heap_bytes);
    argv[0] = slice_of_cstr(name);
    if (arg_count) memcpy(argv + 1, args, arg_count * sizeof *args);
    const struct command_slot *slot = command_resolve(gather->home->registry, argv, arg_count + 1);
    ASSERT(slot);
    send_part(gather, shard, slot, db, argv, arg_count + 1);
    if (heap_bytes) heap_free(gather->home->heap, MEM_MESSAGE, argv, heap_bytes);
}

void gather_send(struct gather *gather, uint32_t shard, const char *name, const struct slice *args,
                 uint32_t arg_count) {
    gather_send_db(gather, shard, gather->db, name, args, arg_count);
}

void gather_let_turn_pass(struct gather *gather) {
    if (gather->pending == 0) gather_send(gather, gather->home->id, "sherd.pause", NULL, 0);
}

struct buf *gather_out(struct gather *gather) {
    return &gather->out;
}

void gather_error(struct gather *gather, const char *text) {
    gather->failed = true;
    resp_error(&gather->out, slice_of_cstr(text));
}

void gather_start_again(struct client *client, const struct message_item *command, uint64_t stamp, uint64_t place,
                        uint32_t from) {
    struct shard *home = client->home;
    struct slice *argv = heap_alloc(home->heap, MEM_MESSAGE, command->argc * sizeof *argv);
    message_item_argv(command, argv);
    const struct command_slot *slot = command_at(home->registry, command->number);
    struct exec x = {.shard = home,
                     .slot = slot,
                     .argv = argv,
                     .argc = command->argc,
                     .db = command->db,
                     .resp = command->resp,
                     .flags = command->flags,
                     .client = client};
    struct gather *gather = gather_new(&x, slot->row->across, true, step_parts(home), 0);
    heap_free(home->heap, MEM_MESSAGE, argv, command->argc * sizeof *argv);
    gather->again = true;
    gather->waits_at = 1ull << from;
    gather->place = place;
    gather_lock_keys_again(gather, stamp, 1ull << from);
}

#define NO_KEY UINT32_MAX

/* The keys of a command that is the sum of its keys, as a list for each owner, in their order. The hashes of few are
 * kept, for whoever locks, fetches or looks up the key. */
struct key_owners {
    struct route_keys keys;
    const uint32_t *positions;
    uint32_t count;
    uint64_t present;           /* the owners, a bit each */
    uint32_t first[SHARDS_MAX]; /* key of each owner that is present */
    uint32_t few[ROUTE_KEYS_ON_STACK], *next;
    bool hashed;
    uint64_t hashes[ROUTE_KEYS_ON_STACK];
};

static void key_owners_find(const struct exec *x, struct key_owners *found) {
    struct shard *home = x->shard;
    route_keys_find(home, x->slot->row, x->argv, x->argc, &found->keys);
    ASSERT(found->keys.count > 0);
    found->positions = found->keys.positions;
    found->count = (uint32_t)found->keys.count;
    found->next = found->count > ARRAY_LEN(found->few)
                      ? heap_alloc(home->heap, MEM_MESSAGE, found->count * sizeof *found->next)
                      : found->few;
    found->present = 0;
    for (uint32_t i = found->count; i-- > 0;) {
        uint32_t owner = shard_of_key(home, x->argv[found->positions[i]]);
        found->next[i] = found->present >> owner & 1 ? found->first[owner] : NO_KEY;
        found->first[owner] = i;
        found->present |= 1ull << owner;
    }
    found->hashed = found->count <= ROUTE_KEYS_ON_STACK;
    if (!found->hashed) return;
    bool routed = x->hash_at == found->positions[0]; /* which has found the first one's */
    if (routed) found->hashes[0] = x->hash;
    for (uint32_t i = routed; i < found->count; i++)
        found->hashes[i] = key_hash(&home->shared, x->argv[found->positions[i]]);
}

static void key_owners_free(const struct exec *x, struct key_owners *found) {
    if (found->next != found->few)
        heap_free(x->shard->heap, MEM_MESSAGE, found->next, found->count * sizeof *found->next);
    route_keys_free(x->shard, &found->keys);
}

/* The owner's keys of a command that is the sum of its keys, with what belongs to each, as a command. */
static void add_split_part(struct gather *gather, const struct exec *x, const struct key_owners *keys, uint8_t owner,
                           struct slice *argv) {
    uint32_t step = (uint32_t)x->slot->row->keys[0].step, argc = 1, hash_count = 0;
    uint64_t hashes[ROUTE_KEYS_ON_STACK];
    argv[0] = x->argv[0];
    for (uint32_t i = keys->first[owner]; i != NO_KEY; i = keys->next[i]) {
        gather->part_of_key[i] = (uint8_t)gather->sent;
        if (keys->hashed) hashes[hash_count++] = keys->hashes[i];
        const struct slice *key = &x->argv[keys->positions[i]];
        argv[argc++] = *key;
        for (uint32_t j = 1; j < step; j++) argv[argc++] = key[j];
    }
    if (gather->borrowed) {
        send_part(gather, owner, x->slot, x->db, argv, argc);
        return;
    }
    part_new(gather, owner);
    struct exec part = exec_of_part(gather, x->slot, x->db, argv, argc);
    part.hash = keys->hashed ? hashes[0] : key_hash(&gather->home->shared, argv[part.hash_at]);
    part.hashes = keys->hashed ? hashes : NULL;
    part.hash_count = hash_count;
    txn_ask(gather, owner, &part);
}

static void split(struct gather *gather, struct exec *x, const struct key_owners *keys) {
    struct shard *home = x->shard;
    ASSERT(gather->key_count == keys->count);
    struct slice few[64], *argv = few;
    size_t heap_bytes = x->argc > ARRAY_LEN(few) ? x->argc * sizeof *argv : 0;
    if (heap_bytes) argv = heap_alloc(home->heap, MEM_MESSAGE, heap_bytes);
    if (!gather->borrowed) txn_begin(gather, keys->present);
    uint64_t here = keys->present & 1ull << home->id;
    if (here) add_split_part(gather, x, keys, (uint8_t)home->id, argv);
    for (uint64_t left = keys->present & ~here; left; left &= left - 1)
        add_split_part(gather, x, keys, (uint8_t)__builtin_ctzll(left), argv);
    if (heap_bytes) heap_free(home->heap, MEM_MESSAGE, argv, heap_bytes);
}

void gather_start_split(struct exec *x) {
    struct key_owners keys;
    key_owners_find(x, &keys);
    struct gather *gather =
        gather_new_placed(x, gather_merge, (uint32_t)__builtin_popcountll(keys.present), keys.count);
    split(gather, x, &keys);
    key_owners_free(x, &keys);
    txn_asked_all(gather);
}

static void send_to_all(struct gather *gather, const struct exec *x) {
    const struct command *row = x->slot->row;
    if (row->where == ON_CONN ||
        (row->per_node && x->flags & CLIENT_ENDPOINT)) { /* sliced, or it would be FATE_LOCAL */
        send_part(gather, x->shard->id, x->slot, x->db, x->argv, x->argc);
        return;
    }
    for (uint32_t i = 0; i < x->shard->count; i++) send_part(gather, i, x->slot, x->db, x->argv, x->argc);
}

/* Every shard runs it, all at one instant. */
static void start_wide(struct gather *gather, const struct exec *x) {
    struct shard *home = x->shard;
    txn_begin(gather, home->count == 64 ? UINT64_MAX : (1ull << home->count) - 1);
    gather_add_part(gather, home->id, x->slot, x->db, x->argv, x->argc);
    for (uint32_t i = 0; i < home->count; i++)
        if (i != home->id) gather_add_part(gather, i, x->slot, x->db, x->argv, x->argc);
    txn_asked_all(gather);
}

void gather_start_all(struct exec *x) {
    const struct command *row = x->slot->row;
    if (row->across) {
        gather_start_free(x, row->across);
        return;
    }
    if (row->wide) {
        start_wide(gather_new_waiting(x, gather_merge), x);
        return;
    }
    struct gather *gather = gather_new_waiting(x, gather_merge);
    send_to_all(gather, x);
    gather_go_on(gather);
}

void gather_start_own(struct shard *home, const struct slice *argv, uint32_t argc) {
    const struct command_slot *slot = command_resolve(home->registry, argv, argc);
    ASSERT(slot && slot->row->where == ON_ALL && slot->row->wide);
    struct exec x = {.shard = home, .slot = slot, .argv = argv, .argc = argc, .resp = 2};
    start_wide(gather_new(&x, gather_merge, true, home->count, 0), &x);
}

/* All of it was on one shard: its reply is the reply. */
static void forward(struct gather *gather) {
    buf_append_slice(&gather->out, gather_reply(gather, 0));
}

/* The child's one part of its parent's step stands for all it does. */
void gather_start_inside(struct gather *parent, struct exec *x, unsigned fate, uint32_t owner) {
    const struct command *row = x->slot->row;
    bool steps = row->across && (fate == FATE_ACROSS || fate == FATE_ALL);
    struct key_owners keys = {.count = 0};
    if (fate == FATE_SPLIT) key_owners_find(x, &keys);
    struct gather *child = gather_new(x,
                                      steps                 ? row->across
                                      : fate == FATE_REMOTE ? forward
                                                            : gather_merge,
                                      true, step_parts(x->shard), keys.count);
    child->phase = TXN_HELD;
    child->borrowed = true;
    child->hurries = parent->hurries;
    child->stamp = parent->stamp;
    child->parent = parent;
    child->parent_part = parent->sent;
    part_new(parent, parent->home->id);
    if (fate == FATE_SPLIT) {
        split(child, x, &keys);
        key_owners_free(x, &keys);
    } else if (fate == FATE_REMOTE) {
        send_part(child, owner, x->slot, x->db, x->argv, x->argc);
    } else if (!steps) {
        send_to_all(child, x);
    }
    gather_go_on(child);
}

void gather_part_done(struct gather *gather, uint32_t number, struct slice reply, struct message *message) {
    ASSERT(number < gather->sent && !gather->sending[number].done);
    struct gather_part *part = &gather->sending[number];
    part->message = message;
    message->uses++;
    part_done(gather, part, reply);
    gather_go_on(gather);
}

void gather_part_done_own(struct gather *gather, uint32_t number, struct buf *take) {
    ASSERT(number < gather->sent && !gather->sending[number].done);
    struct gather_part *part = &gather->sending[number];
    part->local = *take;
    *take = (struct buf){.heap = take->heap, .owner = take->owner};
    part_done(gather, part, buf_slice(&part->local));
    gather_go_on(gather);
}

void gather_client_gone(struct gather *gather) {
    gather->client = NULL;
}
