/* Gathers: sending parts, counting them in, joining replies.
 *
 * One block holds the gather, its copy of argv and two arrays of parts: the step under way and the step before, whose
 * replies the across function reads while it sends the next. */
#include "shards/gather.h"
#include "core/assert.h"
#include "core/num.h"
#include "shards/exec.h"
#include "shards/message.h"
#include "shards/pipeline.h"
#include "shards/reaper.h"
#include "shards/shard.h"
#include <stdio.h>

static struct gather *gather_new(const struct exec *x, command_across run, bool copy_argv) {
    struct shard *home = x->shard;
    uint32_t cap = MAX(home->count, 4u);
    size_t text = 0;
    for (uint32_t i = 0; copy_argv && i < x->argc; i++) text += x->argv[i].len;
    size_t argv_bytes = copy_argv ? x->argc * sizeof(struct slice) : 0;
    size_t size = sizeof(struct gather) + 2 * cap * sizeof(struct gather_part) + argv_bytes + text;
    struct gather *gather = heap_alloc(home->heap, MEM_MESSAGE, size);
    memset(gather, 0, size - text - argv_bytes);
    gather->block_bytes = size;
    gather->home = home;
    gather->client = x->client;
    gather->slot = x->slot;
    gather->run = run;
    gather->flags = x->flags;
    gather->db = x->db;
    gather->resp = x->resp;
    gather->part_cap = cap;
    gather->sending = (struct gather_part *)(gather + 1);
    gather->answered = gather->sending + cap;
    gather->started_tick = home->last_tick;
    buf_init(&gather->out, home->heap, MEM_CLIENT_OUT);
    if (!copy_argv) return gather;
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
        if (parts[i].local.data) buf_deinit(&parts[i].local);
    }
    memset(parts, 0, count * sizeof *parts);
}

/* A large reply is not copied again when nothing stands before it. */
static void hand_over(struct shard *home, struct buf *from, struct buf *to) {
    if (buf_readable(to) > 0 || from->len < BUF_POOL_BYTES) {
        buf_append_slice(to, buf_slice(from));
        return;
    }
    buf_pool_give_back(&home->replies, to);
    struct buf empty = *to;
    *to = *from;
    *from = empty;
}

static void gather_finish(struct gather *gather) {
    struct shard *home = gather->home;
    struct client *client = gather->client;
    struct slice reply = buf_slice(&gather->out);
    bool failed = gather_reply_is_error(reply);
    if (failed) error_stats_count(&home->errors, slice_of(reply.ptr + 1, reply.len - 1));
    pipeline_count_gather(home, gather, failed);
    if (gather->placed) {
        if (gather->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP))
            gather->out.len = 0;
        else
            client->reply_size = (uint32_t)MIN(gather->out.len, (size_t)UINT32_MAX);
        reply_queue_fill_own(&client->replies, gather->place, &gather->out, &home->messages, &client->out);
        shard_mark_dirty(home, client);
    } else if (client) {
        ASSERT(client->gather == gather || !client->gather);
        if (!(gather->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP))) {
            client->reply_size = (uint32_t)MIN(gather->out.len + chain_len(&gather->rest), (size_t)UINT32_MAX);
            hand_over(home, &gather->out, &client->out);
            client_append_rest(client, &gather->rest);
        }
        client->flags &= ~(uint32_t)CLIENT_REPLY_SKIP;
        client->gather = NULL;
        shard_mark_dirty(home, client);
    }
    drop_parts(gather, gather->answered, gather->parts);
    buf_deinit(&gather->out);
    reaper_take_chain(home->shared.reaper, &gather->rest);
    heap_free(home->heap, MEM_MESSAGE, gather->part_of_key, gather->key_count);
    heap_free(home->heap, MEM_MESSAGE, gather, gather->block_bytes);
    if (client) pipeline_resume(home, client);
}

/* Runs steps as long as all their parts are answered at once. */
static void gather_advance(struct gather *gather) {
    while (gather->pending == 0) {
        drop_parts(gather, gather->answered, gather->parts);
        struct gather_part *empty = gather->answered;
        gather->answered = gather->sending;
        gather->sending = empty;
        gather->parts = gather->sent;
        gather->sent = 0;
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

/* Puts the client to wait, then takes the first step (parts may have been sent already). */
static void gather_begin(struct gather *gather) {
    struct client *client = gather->client;
    ASSERT(client && !client->gather);
    client->gather = gather;
    client->wait = WAIT_GATHER;
    gather_advance(gather);
}

void gather_start(struct exec *x, command_across run) {
    gather_begin(gather_new(x, run, true));
}

static struct gather_part *part_new(struct gather *gather, uint32_t shard) {
    ASSERT(gather->sent < gather->part_cap);
    struct gather_part *part = &gather->sending[gather->sent++];
    part->shard = (uint8_t)shard;
    gather->pending++;
    return part;
}

static void run_here(struct gather *gather, struct gather_part *part, const struct command_slot *slot, uint16_t db,
                     const struct slice *argv, uint32_t argc, uint32_t hash_at, uint64_t hash) {
    struct shard *home = gather->home;
    buf_init(&part->local, home->heap, MEM_MESSAGE);
    struct exec x = {.slot = slot,
                     .argv = argv,
                     .argc = argc,
                     .db = db,
                     .resp = gather->resp,
                     .flags = gather->flags,
                     .hash = hash,
                     .hash_at = hash_at,
                     .out = &part->local,
                     .part = true,
                     .client_id = gather->client ? gather->client->id : 0};
    pipeline_execute(home, &x);
    part->reply = buf_slice(&part->local);
    part->done = true;
    gather->pending--;
}

/* One part to one shard. argv includes the name. */
static void send_part(struct gather *gather, uint32_t to, const struct command_slot *slot, uint16_t db,
                      const struct slice *argv, uint32_t argc) {
    struct shard *home = gather->home;
    struct gather_part *part = part_new(gather, to);
    uint32_t first = (uint32_t)slot->row->keys[0].first;
    uint32_t hash_at = first > 0 && first < argc ? first : 0;
    uint64_t hash = hash_at ? key_hash(&home->shared, argv[hash_at]) : 0;
    bool sliced = slot->row->flags & CMD_SLICED;
    if (to == home->id && !sliced) {
        run_here(gather, part, slot, db, argv, argc, hash_at, hash);
        return;
    }
    struct message *message =
        to == home->id ? message_new(&home->messages, to, to) : pipeline_outgoing(home, to, sliced);
    struct message_item *item = message_add(
        message, (struct message_note){.gather = gather, .place = (uint64_t)(part - gather->sending)}, argv, argc);
    item->hash = hash;
    item->hash_at = (uint8_t)hash_at;
    item->client_id = gather->client ? gather->client->id : 0;
    item->number = (uint16_t)slot->number;
    item->flags = gather->flags;
    item->db = db;
    item->resp = gather->resp;
    home->stats.hops_sent++;
    if (to == home->id) shard_start_job(home, message);
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

struct buf *gather_out(struct gather *gather) {
    return &gather->out;
}

void gather_error(struct gather *gather, const char *text) {
    gather->failed = true;
    resp_error(&gather->out, slice_of_cstr(text));
}

/* --- joining ------------------------------------------------------------------------------------------------- */

bool gather_reply_is_error(struct slice reply) {
    return reply.len > 0 && reply.ptr[0] == '-';
}

/* The number in the first line of a reply that starts with type; *after is behind that line. */
static bool header_number(struct slice reply, const char *types, int64_t *value, size_t *after) {
    if (reply.len < 4 || !strchr(types, reply.ptr[0])) return false;
    const char *cr = memchr(reply.ptr, '\r', reply.len);
    if (!cr) return false;
    *after = (size_t)(cr - reply.ptr) + 2;
    return num_parse_i64(slice_of(reply.ptr + 1, (size_t)(cr - reply.ptr) - 1), value);
}

bool gather_reply_int(struct slice reply, int64_t *value) {
    size_t after;
    return header_number(reply, ":", value, &after);
}

bool gather_reply_bulk(struct slice reply, struct slice *bytes) {
    int64_t len;
    size_t after;
    if (!header_number(reply, "$=", &len, &after) || len < 0) return false;
    size_t skip = reply.ptr[0] == '=' ? 4 : 0; /* "txt:" of a verbatim string */
    *bytes = slice_of(reply.ptr + after + skip, (size_t)len - skip);
    return true;
}

int64_t gather_reply_array(struct slice reply, struct slice *rest) {
    int64_t count;
    size_t after;
    if (!header_number(reply, "*~>", &count, &after)) return -1;
    *rest = slice_of(reply.ptr + after, reply.len - after);
    return count;
}

struct slice gather_next_element(struct slice *rest) {
    size_t size = resp_skip(*rest);
    ASSERT(size > 0);
    struct slice element = slice_of(rest->ptr, size);
    *rest = slice_of(rest->ptr + size, rest->len - size);
    return element;
}

/* The first error of any part becomes the reply. */
static bool merge_error(struct gather *gather) {
    for (uint32_t i = 0; i < gather->parts; i++) {
        if (!gather_reply_is_error(gather_reply(gather, i))) continue;
        buf_append_slice(&gather->out, gather_reply(gather, i));
        return true;
    }
    return false;
}

static void merge_sum(struct gather *gather) {
    int64_t sum = 0, value;
    for (uint32_t i = 0; i < gather->parts; i++)
        if (gather_reply_int(gather_reply(gather, i), &value)) sum += value;
    resp_int(&gather->out, sum);
}

static void merge_by_key(struct gather *gather) {
    struct slice rest[SHARDS_MAX];
    size_t bytes = RESP_HEADER_MAX;
    for (uint32_t i = 0; i < gather->parts; i++) {
        int64_t count = gather_reply_array(gather_reply(gather, i), &rest[i]);
        ASSERT(count >= 0);
        bytes += rest[i].len;
    }
    (void)buf_reserve(&gather->out, bytes);
    resp_array(&gather->out, gather->key_count);
    for (uint32_t i = 0; i < gather->key_count; i++)
        buf_append_slice(&gather->out, gather_next_element(&rest[gather->part_of_key[i]]));
}

/* Elements that came behind a reply are not copied: the client passes their blocks on one by one. A few are, so that a
 * short reply is like any other. */
static void join_elements(struct gather *gather) {
    for (uint32_t i = 0; i < gather->parts; i++)
        if (gather->answered[i].message) chain_join(&gather->rest, &gather->answered[i].message->elements);
    if (chain_len(&gather->rest) < BUF_POOL_BYTES) chain_flatten(&gather->rest, gather->home->heap, &gather->out);
}

static void merge_concat(struct gather *gather) {
    struct slice rest;
    int64_t total = 0;
    size_t bytes = RESP_HEADER_MAX;
    for (uint32_t i = 0; i < gather->parts; i++) {
        total += MAX(gather_reply_array(gather_reply(gather, i), &rest), 0);
        bytes += gather_reply(gather, i).len;
    }
    (void)buf_reserve(&gather->out, bytes);
    resp_array(&gather->out, (uint64_t)total);
    for (uint32_t i = 0; i < gather->parts; i++)
        if (gather_reply_array(gather_reply(gather, i), &rest) > 0) buf_append_slice(&gather->out, rest);
    join_elements(gather);
}

static void merge_text(struct gather *gather) {
    struct buf text;
    buf_init(&text, gather->home->heap, MEM_MESSAGE);
    bool verbatim = false;
    for (uint32_t i = 0; i < gather->parts; i++) {
        struct slice reply = gather_reply(gather, i), bytes;
        verbatim |= reply.len > 0 && reply.ptr[0] == '=';
        if (gather_reply_bulk(reply, &bytes)) buf_append_slice(&text, bytes);
    }
    if (verbatim)
        resp_verbatim(&gather->out, gather->resp, "txt", buf_slice(&text));
    else
        resp_bulk(&gather->out, buf_slice(&text));
    buf_deinit(&text);
}

/* The one step of the generic gathers: their parts are sent before it, so it already has all replies. */
static void merge(struct gather *gather) {
    const struct command *row = gather->slot->row;
    if (row->merge == MERGE_CUSTOM) {
        row->merge_with(gather);
        return;
    }
    if (merge_error(gather)) return;
    switch (row->merge) {
    case MERGE_SUM: merge_sum(gather); break;
    case MERGE_BY_KEY: merge_by_key(gather); break;
    case MERGE_CONCAT: merge_concat(gather); break;
    case MERGE_TEXT: merge_text(gather); break;
    default: buf_append_slice(&gather->out, gather_reply(gather, 0)); break;
    }
}

void gather_start_split(struct exec *x, const uint32_t *positions, const uint8_t *owners, uint32_t key_count) {
    struct shard *home = x->shard;
    struct gather *gather = gather_new(x, merge, false);
    gather->key_count = key_count;
    gather->part_of_key = heap_alloc(home->heap, MEM_MESSAGE, key_count);
    uint32_t step = (uint32_t)x->slot->row->keys[0].step;
    struct slice few[64], *argv = few;
    size_t heap_bytes = x->argc > ARRAY_LEN(few) ? x->argc * sizeof *argv : 0;
    if (heap_bytes) argv = heap_alloc(home->heap, MEM_MESSAGE, heap_bytes);
    argv[0] = x->argv[0];
    uint64_t present = 0;
    for (uint32_t i = 0; i < key_count; i++) present |= 1ull << owners[i];
    for (uint64_t left = present; left; left &= left - 1) {
        uint8_t owner = (uint8_t)__builtin_ctzll(left);
        uint32_t argc = 1;
        for (uint32_t i = 0; i < key_count; i++) {
            if (owners[i] != owner) continue;
            gather->part_of_key[i] = (uint8_t)gather->sent;
            for (uint32_t j = 0; j < step; j++) argv[argc++] = x->argv[positions[i] + j];
        }
        send_part(gather, owner, x->slot, x->db, argv, argc);
    }
    if (heap_bytes) heap_free(home->heap, MEM_MESSAGE, argv, heap_bytes);
    gather->placed = true;
    gather->place = reply_queue_reserve(&gather->client->replies);
    gather_advance(gather);
}

void gather_start_all(struct exec *x) {
    const struct command *row = x->slot->row;
    if (row->across) {
        gather_start(x, row->across);
        return;
    }
    struct gather *gather = gather_new(x, merge, true);
    if (row->where == ON_CONN) {
        send_part(gather, x->shard->id, x->slot, x->db, x->argv, x->argc);
    } else {
        for (uint32_t i = 0; i < x->shard->count; i++) send_part(gather, i, x->slot, x->db, x->argv, x->argc);
    }
    gather_begin(gather);
}

void gather_part_done(struct gather *gather, uint32_t number, struct slice reply, struct message *message) {
    ASSERT(number < gather->sent && !gather->sending[number].done);
    struct gather_part *part = &gather->sending[number];
    part->done = true;
    part->reply = reply;
    part->message = message;
    message->uses++;
    gather->pending--;
    if (!gather->stepping) gather_advance(gather);
}

void gather_client_gone(struct gather *gather) {
    gather->client = NULL;
}
