/* SORT and SORT_RO, and what their steps (shards/sort_gather.c) ask of the owners of keys. */
#include "core/num.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/hash_value.h"
#include "shards/list.h"
#include "shards/request.h"
#include "shards/route.h"
#include "shards/set.h"
#include "shards/shard.h"
#include "shards/sort_gather.h"
#include "shards/sort_words.h"
#include "shards/zset.h"

/* --- the commands --- */

static uint32_t find_store(const struct slice *argv, uint32_t argc) {
    return sort_words_of(argv, argc, false, NULL).store;
}

/* What patterns name stands in no argument; COMMAND says that there is such a thing. */
static uint32_t find_nothing(const struct slice *argv, uint32_t argc) {
    (void)argv, (void)argc;
    return 0;
}

/* Patterns name keys that nobody knows before the elements are read. */
static void sort_locks(const struct exec *x, command_lock_visit visit, void *ctx) {
    bool read_only = !(x->slot->row->flags & CMD_WRITE);
    struct sort_words words = sort_words_of(x->argv, x->argc, read_only, NULL);
    visit(ctx, x, 1, LOCK_SHARED, false);
    if (words.store) visit(ctx, x, words.store, LOCK_EXCLUSIVE, false);
    if (words.elsewhere) visit(ctx, x, 0, LOCK_SHARED, true);
}

/* In steps, wherever its keys are. */
static void sort_route(const struct shard *shard, const struct client *client, struct queued *q) {
    (void)shard, (void)client;
    q->fate = FATE_ACROSS;
    q->leaves = false;
}

/* --- at the owner of the sorted key --- */

static uint64_t length_of(const struct entry *entry) {
    switch (entry->type) {
    case TYPE_LIST: return list_len(entry);
    case TYPE_SET: return set_count(entry);
    default: return zset_len(entry);
    }
}

static void cmd_head(struct exec *x) {
    struct key_ref ref;
    const struct entry *entry = exec_read_any(x, 1, &ref);
    if (entry && entry->type != TYPE_LIST && entry->type != TYPE_SET && entry->type != TYPE_ZSET) {
        reply_wrong_type(x);
        return;
    }
    reply_array(x, 3);
    reply_cstr(x, entry ? value_type_name(entry->type) : "none");
    reply_int(x, entry ? (int64_t)length_of(entry) : 0);
    reply_int(x, entry ? (int64_t)entry_bytes(entry) : 0);
}

#define CHUNK_BYTES (256u << 10) /* of reply, and one element */

struct chunk {
    struct exec *x;
    size_t mark;
    uint64_t count, max;
};

static bool may_add(const struct chunk *chunk) {
    return chunk->count < chunk->max && chunk->x->out->len - chunk->mark < CHUNK_BYTES;
}

static void add(struct chunk *chunk, struct slice text) {
    reply_bulk(chunk->x, text);
    chunk->count++;
}

static bool add_member(void *ctx, struct slice text) {
    add(ctx, text);
    return true;
}

static void add_of_list(struct chunk *chunk, const struct entry *entry, uint64_t from, bool backwards) {
    struct packed_value value;
    char scratch[PACKED_SCRATCH];
    uint64_t len = list_len(entry);
    struct quicklist_iter iter = list_seek(entry, backwards ? len - from : from);
    while (may_add(chunk) && list_step(&iter, backwards ? LIST_TAIL : LIST_HEAD, &value))
        add(chunk, packed_text(&value, scratch));
}

static void add_of_zset(struct chunk *chunk, const struct entry *entry, uint64_t from, bool backwards) {
    struct zset_pair pair;
    uint64_t len = zset_len(entry);
    struct zset_iter iter = zset_seek(entry, backwards ? len - from : from);
    while (may_add(chunk) && zset_step(&iter, backwards, &pair)) add(chunk, pair.member);
}

/* A step through a table is bounded by the number of its members alone: of large ones it takes fewer. */
static uint64_t set_max(const struct entry *entry, uint64_t max) {
    if (entry->encoding != ENC_OBJECT) return max;
    const struct members *members = entry_object(entry);
    uint64_t each = members_bytes(members) / members_count(members);
    return MIN(max, CHUNK_BYTES / MAX(each, 1u) + 1);
}

/* An empty array: the key is not there (any more). Else first where the next chunk begins, 0 at the end. */
static void cmd_read(struct exec *x) {
    struct key_ref ref;
    uint64_t from, max;
    bool backwards = arg_is(x, 4, "desc");
    const struct entry *entry = exec_open_any(x, 1, &ref);
    if (!num_parse_u64(x->argv[2], &from) || !num_parse_u64(x->argv[3], &max) || !entry) {
        reply_array(x, 0);
        return;
    }
    struct buf elements, *out = x->out;
    buf_init(&elements, x->shard->heap, MEM_MESSAGE);
    x->out = &elements;
    struct chunk chunk = {.x = x, .max = max};
    uint64_t next;
    if (entry->type == TYPE_SET) {
        next = set_scan(entry, from, set_max(entry, max), add_member, &chunk);
    } else {
        if (entry->type == TYPE_LIST)
            add_of_list(&chunk, entry, from, backwards);
        else
            add_of_zset(&chunk, entry, from, backwards);
        next = from + chunk.count < length_of(entry) ? from + chunk.count : 0;
    }
    x->out = out;
    reply_array(x, chunk.count + 1);
    reply_int(x, (int64_t)next);
    buf_append_slice(out, buf_slice(&elements));
    buf_deinit(&elements);
}

/* --- at the owners of what patterns name --- */

static void reply_value(struct exec *x, const struct entry *entry, struct slice field) {
    struct packed_value value;
    if (entry && field.len && entry->type == TYPE_HASH && hash_get(entry, field, &value))
        reply_packed(x, &value);
    else if (entry && !field.len && entry->type == TYPE_STRING)
        reply_entry(x, entry);
    else
        reply_null(x);
}

static void cmd_look(struct exec *x) {
    struct key_ref ref;
    reply_array(x, (x->argc - 1) / 2);
    for (uint32_t at = 1; at + 1 < x->argc; at += 2) reply_value(x, exec_read_any(x, at, &ref), x->argv[at + 1]);
}

/* --- at the owner of the destination --- */

/* In place of what is there: the key is not gone in between, and nobody is told of a new one. */
static void replace(struct exec *x, struct key_ref *ref, const struct slice *texts, uint32_t count) {
    const struct store *store = &x->shared->store;
    struct quicklist *list = quicklist_new(store);
    for (uint32_t i = 0; i < count; i++) {
        struct packed_value value = packed_value_of(texts[i]);
        quicklist_push(store, list, &x->shared->list_rule, LIST_TAIL, &value);
    }
    keyspace_put_entry(x->keys, ref, list_new_entry(store, ref->key, list, 0));
}

static void cmd_push(struct exec *x) {
    struct key_ref ref;
    const struct slice *texts = x->argv + 3;
    uint32_t count = x->argc - 3;
    bool replaces = arg_is(x, 2, "replace"), deleted = exec_open_any(x, 1, &ref) && replaces;
    if (deleted) effect_del(x, x->db, x->argv[1]);
    if (deleted && !count) keyspace_remove(x->keys, &ref);
    if (count) {
        struct effect_run run;
        if (deleted)
            replace(x, &ref, texts, count);
        else
            list_push(x->keys, &ref, LIST_TAIL, texts, count);
        effect_run_begin(&run, x, x->db, "RPUSH", x->argv[1]);
        for (uint32_t i = 0; i < count; i++) effect_run_add(&run, &texts[i], 1);
        effect_run_end(&run);
    }
    if (count || deleted) exec_changed(x, x->argv[1], MAX(count, 1u));
    if (count && replaces)
        exec_event_as(x, NOTIFY_LIST, "sortstore", x->argv[1]);
    else if (deleted)
        exec_event_as(x, NOTIFY_GENERIC, "del", x->argv[1]);
    reply_ok(x);
}

/* The end of a slice that does nothing: a turn has gone by. */
static void cmd_pause(struct exec *x) {
    if (x->slice[0]++ == 0)
        exec_continue(x);
    else
        reply_ok(x);
}

#define SORT_COST "O(N+M*log(M)), N = elements, M = elements that are ordered"
#define INTERNAL  .where = ON_OWNER, .group = "generic", .since = "0.4.0", .cost = "O(N), N = arguments or elements"

const struct command sort_commands[] = {
    {.name = "sort",
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM | CMD_ROUTED,
     .acl = ACL_SET | ACL_SORTEDSET | ACL_LIST | ACL_DANGEROUS,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS), KEYS_AFTER(NULL, 1, find_nothing, KEY_RO | KEY_ACCESS),
              KEYS_AFTER(NULL, 1, find_store, KEY_OW | KEY_UPDATE)},
     .where = ACROSS_OWNERS,
     .across = sort_gather,
     .locks = sort_locks,
     .route = sort_route,
     .group = "generic",
     .since = "1.0.0",
     .cost = SORT_COST,
     .args = "key [BY by-pattern] [LIMIT offset count] [GET get-pattern [GET get-pattern ...]] [ASC | DESC] [ALPHA] "
             "[STORE destination]",
     .doc = "Answers or stores the elements of a list, set or sorted set in order, or what belongs to them."},
    {.name = "sort_ro",
     .arity = -2,
     .flags = CMD_READ | CMD_ROUTED,
     .acl = ACL_SET | ACL_SORTEDSET | ACL_LIST | ACL_DANGEROUS,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS), KEYS_AFTER(NULL, 1, find_nothing, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .across = sort_gather,
     .locks = sort_locks,
     .route = sort_route,
     .group = "generic",
     .since = "7.0.0",
     .cost = SORT_COST,
     .args = "key [BY by-pattern] [LIMIT offset count] [GET get-pattern [GET get-pattern ...]] [ASC | DESC] [ALPHA]",
     .doc = "Answers the elements of a list, set or sorted set in order, or what belongs to them."},
    {.name = "sherd.sort.head",
     .arity = 2,
     .flags = CMD_READ | CMD_INTERNAL,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     INTERNAL,
     .run = cmd_head,
     .args = "key",
     .doc = "Answers type, length and memory of what is to be sorted."},
    {.name = "sherd.sort.read",
     .arity = 5,
     .flags = CMD_READ | CMD_INTERNAL,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     INTERNAL,
     .run = cmd_read,
     .args = "key from max <ASC | DESC>",
     .doc = "Answers a chunk of its elements, and before them where the next one begins."},
    {.name = "sherd.sort.look",
     .arity = -3,
     .flags = CMD_READ | CMD_INTERNAL,
     .keys = {KEYS_RANGE(1, -2, 2, KEY_RO | KEY_ACCESS)},
     INTERNAL,
     .run = cmd_look,
     .args = "key field [key field ...]",
     .doc = "Answers strings, and fields of hashes where the field is not empty."},
    {.name = "sherd.sort.push",
     .arity = -3,
     .flags = CMD_WRITE | CMD_INTERNAL,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE)},
     INTERNAL,
     .run = cmd_push,
     .args = "key <REPLACE | APPEND> [element ...]",
     .doc = "Stores a piece of the result."},
    {.name = "sherd.pause",
     .arity = 1,
     .flags = CMD_INTERNAL | CMD_SLICED,
     .where = ON_ALL,
     .merge = MERGE_OK,
     .run = cmd_pause,
     .group = "generic",
     .since = "0.4.0",
     .cost = "O(1)",
     .doc = "Lets a turn go by."},
    {0},
};
