/* Parts: writing and reading the layout of shards/part.h. */
#include "shards/part.h"
#include "core/assert.h"
#include "shards/answer_work.h"
#include "shards/pipeline.h"
#include "shards/request.h"
#include "shards/shard.h"
#include "shards/watch.h"

#define NAME "sherd.part"

/* --- building --- */

void part_init(struct part *part, struct heap *heap, uint32_t arguments) {
    part->heap = heap;
    part->cap = arguments + 2;
    part->argc = 2;
    part->hash_count = 0;
    part->head = (struct part_head){0};
    part->argv = heap_alloc(heap, MEM_MESSAGE, part->cap * sizeof *part->argv);
    part->argv[0] = SLICE(NAME);
}

void part_deinit(struct part *part) {
    heap_free(part->heap, MEM_MESSAGE, part->argv, part->cap * sizeof *part->argv);
    part->argv = NULL;
}

static void add(struct part *part, struct slice bytes) {
    ASSERT(part->argc < part->cap);
    part->argv[part->argc++] = bytes;
}

void part_add_watch(struct part *part, struct slice key, const struct part_watch *watch) {
    ASSERT(part->head.locks == 0 && part->head.commands == 0);
    add(part, key);
    add(part, slice_of((const char *)watch, sizeof *watch));
    part->head.watches++;
}

void part_add_locks(struct part *part, struct slice modes) {
    ASSERT(part->head.locks == 0 && part->head.commands == 0 && modes.len > 0);
    part->head.locks = (uint32_t)modes.len;
    add(part, modes);
}

void part_add_locked_key(struct part *part, struct slice key) {
    add(part, key);
}

void part_add_command(struct part *part, const struct part_command *command, const struct slice *argv) {
    add(part, slice_of((const char *)command, sizeof *command));
    for (uint32_t i = 0; i < command->argc; i++) add(part, argv[i]);
    part->head.commands++;
    if (command->hash_at && part->hash_count < PART_HASHES) part->hashes[part->hash_count++] = command->hash;
}

struct exec part_exec(const struct part *part, struct shard *shard) {
    part->argv[1] = slice_of((const char *)&part->head, sizeof part->head);
    const struct command_slot *slot = command_find(shard->registry, SLICE(NAME));
    ASSERT(slot);
    return (struct exec){.shard = shard,
                         .shared = &shard->shared,
                         .slot = slot,
                         .argv = part->argv,
                         .argc = part->argc,
                         .resp = 2,
                         .hashes = part->hashes,
                         .hash_count = part->hash_count};
}

/* --- reading: a cursor over the arguments, which lie unaligned in a message --- */

struct reader {
    const struct exec *x;
    uint32_t at;
    struct part_head head;
};

static void read_bytes(struct slice from, void *to, size_t size) {
    ASSERT(from.len == size); /* another of our threads wrote it */
    memcpy(to, from.ptr, size);
}

static struct reader open(const struct exec *x) {
    struct reader reader = {.x = x, .at = 2};
    read_bytes(x->argv[1], &reader.head, sizeof reader.head);
    return reader;
}

/* The next command as an exec without what running it needs. */
static struct exec next_command(struct reader *reader, struct part_command *command) {
    const struct exec *x = reader->x;
    read_bytes(x->argv[reader->at++], command, sizeof *command);
    struct exec sub = {.shard = x->shard,
                       .shared = x->shared,
                       .slot = command_at(x->shard->registry, command->number),
                       .argv = x->argv + reader->at,
                       .argc = command->argc,
                       .db = command->db,
                       .hash = command->hash,
                       .hash_at = command->hash_at};
    reader->at += command->argc;
    ASSERT(reader->at <= x->argc);
    return sub;
}

/* --- the row's functions --- */

void part_locks(const struct exec *x, command_lock_visit visit, void *ctx) {
    struct reader reader = open(x);
    if (reader.head.wide) visit(ctx, x, 0, reader.head.wide_writes ? LOCK_EXCLUSIVE : LOCK_SHARED, true);
    for (uint32_t i = 0; i < reader.head.watches; i++, reader.at += 2) visit(ctx, x, reader.at, LOCK_SHARED, false);
    if (reader.head.locks) {
        struct slice modes = x->argv[reader.at++];
        for (uint32_t i = 0; i < reader.head.locks; i++)
            visit(ctx, x, reader.at++, modes.ptr[i] == 'w' ? LOCK_EXCLUSIVE : LOCK_SHARED, false);
    }
    for (uint32_t i = 0; i < reader.head.commands && !reader.head.tells; i++) {
        struct part_command command;
        struct exec sub = next_command(&reader, &command);
        request_each_lock(&sub, visit, ctx);
    }
}

static bool part_clean(struct exec *x) {
    struct reader reader = open(x);
    for (uint32_t i = 0; i < reader.head.watches; i++) {
        struct slice key = x->argv[reader.at++];
        struct part_watch watch;
        read_bytes(x->argv[reader.at++], &watch, sizeof watch);
        if (!watch_is_unchanged(x->shard, watch.db, key, watch.version)) return false;
    }
    return true;
}

void part_run_command(struct shard *shard, const struct part_command *command, const struct slice *argv,
                      uint64_t client_id, struct client *client, struct buf *out) {
    struct exec sub = {.slot = command_at(shard->registry, command->number),
                       .argv = argv,
                       .argc = command->argc,
                       .db = command->db,
                       .resp = command->resp,
                       .flags = command->flags | CLIENT_NO_BLOCK,
                       .hash = command->hash,
                       .hash_at = command->hash_at,
                       .out = out,
                       .client = client,
                       .client_id = client_id};
    if (admit_inside(shard, &sub))
        pipeline_execute(shard, &sub);
    else
        pipeline_refuse(shard, &sub);
}

/* The replies of its commands, one behind the other, without a header: home knows how many there are. */
static void part_run(struct exec *x) {
    struct reader reader = open(x);
    reader.at += 2 * reader.head.watches + (reader.head.locks ? 1 + reader.head.locks : 0);
    for (uint32_t i = 0; i < reader.head.commands; i++) {
        struct part_command command;
        struct exec sub = next_command(&reader, &command);
        part_run_command(x->shard, &command, sub.argv, x->client_id, NULL, x->out);
    }
}

static void drop_watches(struct exec *x) {
    struct reader reader = open(x);
    for (uint32_t i = 0; i < reader.head.watches; i++) {
        struct slice key = x->argv[reader.at++];
        struct part_watch watch;
        read_bytes(x->argv[reader.at++], &watch, sizeof watch);
        watch_drop(x->shard, watch.db, key);
    }
}

/* The sum of what rows say of its commands. */
static uint64_t sum_of(const struct exec *x, bool grows) {
    struct reader reader = open(x);
    uint64_t bytes = 0;
    reader.at += 2 * reader.head.watches + (reader.head.locks ? 1 + reader.head.locks : 0);
    for (uint32_t i = 0; i < reader.head.commands; i++) {
        struct part_command command;
        struct exec sub = next_command(&reader, &command);
        const struct command *row = sub.slot->row;
        if (grows) sub.keys = shard_db(x->shard, sub.db);
        if (grows && row->grows) bytes += row->grows(&sub);
        if (!grows && row->answers) bytes += row->answers(&sub);
    }
    return bytes;
}

void part_run_whole(struct exec *x) {
    if (answer_waits(x)) return;
    bool clean = part_clean(x);
    drop_watches(x);
    if (!clean) {
        reply_null_array(x);
        return;
    }
    if (!admit_has_plenty(x->shard, 0) && !admit_transaction(x->shard, sum_of(x, true))) {
        reply_error(x, "EXECABORT Transaction discarded because of: " OOM_ERROR);
        return;
    }
    reply_array(x, open(x).head.commands);
    part_run(x);
}

uint64_t part_answers(const struct exec *x) {
    return sum_of(x, false);
}

uint64_t part_whole_answers(const struct exec *x) {
    return part_answers(x) * ANSWER_COPIES;
}

const struct command part_commands[] = {
    {.name = NAME,
     .arity = -2,
     .flags = CMD_INTERNAL | CMD_SKIP_SLOWLOG,
     .where = ON_OWNER,
     .run = part_run,
     .locks = part_locks,
     .clean = part_clean,
     .answers = part_answers,
     .group = "transactions",
     .since = "0.2.0",
     .cost = "O(N), N = arguments",
     .args = "head [argument ...]",
     .doc = "Runs a shard's part of a transaction."},
    {0},
};
