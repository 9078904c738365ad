/* Streams: XREAD and XREADGROUP, also waiting. With keys on several shards, which are all locked, home asks in two
 * rounds:
 *
 *    sherd.xlook      may these keys be read from these ids: for each OK or the error. The first error is the reply
 *    sherd.xread...   for each of them null, or its name and entries
 *
 * A client that finds nothing waits as sherd.xwake..., which says the ids where XREAD says "$", and does what Redis
 * does for clients that were blocked: one key is answered alone, and reading goes on from the last id ever given out,
 * so that entries that were taken out again make an empty answer. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/cmd_blocking_priv.h"
#include "shards/cmd_tables.h"
#include "shards/shard.h"
#include "shards/stream_read.h"
#include "shards/waiters.h"

#define WOKEN_COUNT 1000 /* entries for a client that waited and did not say how many: Redis's number */

/* --- on one shard --- */

static struct slice id_of(const struct exec *x, const struct read_args *args, uint32_t i) {
    return x->argv[args->first + args->keys + i];
}

/* Writes what each key has; how many had something. */
static uint64_t read_keys(struct exec *x, const struct read_args *args) {
    uint64_t served = 0;
    size_t mark = resp_array_open(x->out);
    for (uint32_t i = 0; i < args->keys; i++) {
        struct read_from from;
        bool sound = stream_read_place(x, args->first + i, id_of(x, args, i), args, &from);
        ASSERT(sound);
        served += stream_read_key(x, args->first + i, from, args);
    }
    if (served == 0) return 0;
    if (x->resp == 2)
        resp_array_close(x->out, mark, served);
    else
        resp_map_close(x->out, mark, served);
    return served;
}

static void read_or_wait(struct exec *x, bool grouped) {
    struct read_args args;
    struct read_from from;
    if (answer_waits(x)) return;
    if (!stream_parse_read(x->argv, x->argc, grouped, x->shard->now_ms, &args)) {
        reply_error(x, args.error);
        return;
    }
    for (uint32_t i = 0; i < args.keys; i++)
        if (!stream_read_place(x, args.first + i, id_of(x, &args, i), &args, &from)) return;
    if (read_keys(x, &args) > 0 || (args.blocks && exec_block(x, args.timeout_ms))) return;
    reply_null_array(x);
}

static void cmd_xread(struct exec *x) {
    read_or_wait(x, false);
}
static void cmd_xreadgroup(struct exec *x) {
    read_or_wait(x, true);
}

/* What a group's consumer will be given of one key, or has been given from an id on. */
static uint64_t given_bytes(const struct exec *x, uint32_t key_at, struct slice id, const struct read_args *args) {
    const struct entry *entry = answer_peek(x, key_at, TYPE_STREAM);
    const struct stream *stream = entry ? entry_object(entry) : NULL;
    const struct stream_group *group = stream ? stream_group_find(stream, args->group) : NULL;
    if (!group) return 0;
    struct stream_id from = group->last;
    uint64_t count = args->count;
    if (stream_parse_id(id, 0, &from)) { /* not ">" */
        if (group->pending.count == 0) return 0;
        count = count ? MIN(count, group->pending.count) : group->pending.count;
    } else if (stream_id_compare(stream->last, from) <= 0) {
        return 0;
    }
    return stream_bytes_between(stream, from, STREAM_ID_MAX, false, count);
}

/* And what one without a group reads behind an id; "$" and "+" are one entry at most. */
static uint64_t read_bytes(const struct exec *x, uint32_t key_at, struct slice id, const struct read_args *args) {
    const struct entry *entry = answer_peek(x, key_at, TYPE_STREAM);
    const struct stream *stream = entry ? entry_object(entry) : NULL;
    struct stream_id from;
    bool many = stream && stream_parse_id(id, 0, &from) && stream_id_compare(stream->last, from) > 0;
    return many ? stream_bytes_between(stream, from, STREAM_ID_MAX, false, args->count) : 0;
}

static uint64_t read_answers(const struct exec *x) {
    bool grouped = x->slot->row->flags & CMD_WRITE;
    struct read_args args;
    uint64_t bytes = 0;
    if (!stream_parse_read(x->argv, x->argc, grouped, 0, &args)) return 0;
    for (uint32_t i = 0; i < args.keys; i++)
        bytes += (grouped ? given_bytes : read_bytes)(x, args.first + i, id_of(x, &args, i), &args);
    return bytes;
}

/* --- once more, after the keys were looked at --- */

/* They are locked since then, so only time can take one away: a key that has expired has nothing for the reader, and
 * its group is no error any more, for other keys may have been read already. False: so it is. */
static bool place_again(struct exec *x, uint32_t key_at, struct slice id, const struct read_args *args,
                        struct read_from *from) {
    size_t mark = x->out->len;
    if (stream_read_place(x, key_at, id, args, from)) return true;
    x->out->len = mark;
    x->failed = false;
    return false;
}

/* --- waiting --- */

/* sherd.xwake count group consumer noack key id [key id ...] */
enum { WAKE_COUNT = 1, WAKE_GROUP, WAKE_CONSUMER, WAKE_NOACK, WAKE_KEY, WAKE_ID };

/* The command in x as the one that waits, for its keys that are here. One of them may have expired: then it is served
 * at once, which tells its client. */
static void waits_as(const struct exec *x, struct waiting *as) {
    struct read_args args;
    bool grouped = x->slot->row->flags & CMD_WRITE;
    bool sound = stream_parse_read(x->argv, x->argc, grouped, 0, &args); /* the timeout was found to be in bounds */
    ASSERT(sound);
    size_t words = WAKE_KEY + 2 * (size_t)args.keys, texts = args.keys * STREAM_ID_TEXT_MAX;
    as->bytes = words * sizeof(struct slice) + NUM_U64_MAX + texts;
    as->memory = heap_alloc(x->shard->heap, MEM_MESSAGE, as->bytes);
    struct slice *argv = as->memory;
    char *text = (char *)(argv + words);
    argv[0] = grouped ? SLICE("sherd.xwakegroup") : SLICE("sherd.xwake");
    argv[WAKE_COUNT] = slice_of(text, num_format_u64(text, args.count ? args.count : WOKEN_COUNT));
    argv[WAKE_GROUP] = args.group;
    argv[WAKE_CONSUMER] = args.consumer;
    argv[WAKE_NOACK] = args.noack ? SLICE("1") : SLICE("0");
    text += NUM_U64_MAX;
    uint32_t argc = WAKE_KEY;
    for (uint32_t i = 0; i < args.keys; i++, text += STREAM_ID_TEXT_MAX) {
        struct read_from from;
        struct exec reader = *x;
        if (shard_of_key(x->shard, x->argv[args.first + i]) != x->shard->id) continue;
        reader.keys = shard_db(x->shard, x->db);
        as->ready |= !place_again(&reader, args.first + i, id_of(x, &args, i), &args, &from);
        argv[argc++] = x->argv[args.first + i];
        argv[argc++] = stream_id_text(from.id, text);
    }
    as->x.argv = argv;
    as->x.argc = argc;
    as->x.slot = command_find(x->shard->registry, argv[0]);
}

static void wake_args(const struct exec *x, struct read_args *args, struct read_from *from) {
    int64_t count = 0;
    bool sound = num_parse_i64(x->argv[WAKE_COUNT], &count) && stream_parse_id(x->argv[WAKE_ID], 0, &from->id);
    ASSERT(sound && x->argc == WAKE_ID + 1);
    *args = (struct read_args){.group = x->argv[WAKE_GROUP],
                               .consumer = x->argv[WAKE_CONSUMER],
                               .noack = slice_equal(x->argv[WAKE_NOACK], SLICE("1")),
                               .count = (uint64_t)count};
}

/* The stream, unless something else or nothing is in its place. */
static struct stream *stream_there(struct exec *x, struct key_ref *ref) {
    const struct entry *entry = keyspace_open(x->keys, x->argv[WAKE_KEY], exec_hash(x, WAKE_KEY), ref);
    return entry && entry->type == TYPE_STREAM ? entry_object(entry) : NULL;
}

static bool wakes_reader(struct exec *x) {
    struct key_ref ref;
    struct read_args args;
    struct read_from from;
    const struct stream *stream = stream_there(x, &ref);
    wake_args(x, &args, &from);
    return stream && stream_id_compare(stream->last, from.id) > 0;
}

/* A reply about this key alone; its entries follow. */
static void open_only(struct exec *x, struct slice key) {
    if (x->resp == 2) reply_array(x, 1);
    if (x->resp == 2)
        reply_array(x, 2);
    else
        reply_map(x, 1);
    reply_bulk(x, key);
}

static void cmd_xwake(struct exec *x) {
    struct key_ref ref;
    struct read_args args;
    struct read_from from;
    const struct stream *stream = stream_there(x, &ref);
    wake_args(x, &args, &from);
    if (!stream || stream_id_compare(stream->last, from.id) <= 0) {
        if (!exec_block(x, 0)) reply_null_array(x);
        return;
    }
    (void)stream_id_step(&from.id);
    if (answer_waits_for(x, stream_bytes_between(stream, from.id, STREAM_ID_MAX, false, args.count))) return;
    open_only(x, ref.key);
    reply_stream_range(x, stream, from.id, STREAM_ID_MAX, false, args.count);
}

/* Also told: that there is no group any more. */
static bool wakes_consumer(struct exec *x) {
    struct key_ref ref;
    const struct stream *stream = stream_there(x, &ref);
    const struct stream_group *group = stream ? stream_group_find(stream, x->argv[WAKE_GROUP]) : NULL;
    return !group || stream_id_compare(stream->last, group->last) > 0;
}

static void cmd_xwakegroup(struct exec *x) {
    struct key_ref ref;
    if (answer_waits(x)) return;
    struct read_args args;
    struct read_from from;
    struct stream *stream = stream_there(x, &ref);
    wake_args(x, &args, &from);
    struct stream_group *group = stream ? stream_group_find(stream, args.group) : NULL;
    if (!stream) {
        reply_error(x, "UNBLOCKED the stream key no longer exists");
    } else if (!group) {
        reply_error(x, "NOGROUP the consumer group this client was blocked on no longer exists");
    } else if (stream_id_compare(stream->last, group->last) > 0) {
        struct stream_consumer *consumer = stream_take_consumer(x, &ref, group, args.consumer);
        open_only(x, ref.key);
        stream_give(x, &ref, group, consumer, &args);
    } else if (!exec_block(x, 0)) {
        reply_null_array(x);
    }
}

static uint64_t woken_answers(const struct exec *x) {
    struct read_args args;
    struct read_from from;
    wake_args(x, &args, &from);
    return given_bytes(x, WAKE_KEY, SLICE(">"), &args);
}

/* --- on several shards --- */

/* What the owners are told besides keys and ids. */
struct part_head {
    uint64_t count;
    bool grouped, noack;
};

/* head group consumer key id ... */
enum { PART_HEAD = 1, PART_GROUP, PART_CONSUMER, PART_KEY };

static void part_args(const struct exec *x, struct read_args *args) {
    struct part_head head;
    ASSERT(x->argv[PART_HEAD].len == sizeof head);
    memcpy(&head, x->argv[PART_HEAD].ptr, sizeof head);
    *args = (struct read_args){.grouped = head.grouped,
                               .noack = head.noack,
                               .count = head.count,
                               .group = x->argv[PART_GROUP],
                               .consumer = x->argv[PART_CONSUMER]};
}

static void cmd_xlook(struct exec *x) {
    struct read_args args;
    struct read_from from;
    part_args(x, &args);
    reply_array(x, (x->argc - PART_KEY) / 2);
    for (uint32_t at = PART_KEY; at < x->argc; at += 2)
        if (stream_read_place(x, at, x->argv[at + 1], &args, &from)) reply_ok(x);
}

static void cmd_xread_part(struct exec *x) {
    struct read_args args;
    uint64_t elements = 0;
    part_args(x, &args);
    size_t mark = resp_array_open(x->out);
    for (uint32_t at = PART_KEY; at < x->argc; at += 2) {
        struct read_from from;
        bool served = place_again(x, at, x->argv[at + 1], &args, &from) && stream_read_key(x, at, from, &args);
        if (!served) reply_null(x);
        elements += served && x->resp == 3 ? 2 : 1;
    }
    resp_array_close(x->out, mark, elements);
}

/* Each shard is told of its keys. */
static void ask(struct gather *g, const char *name, const struct read_args *args) {
    struct part_head head = {args->count, args->grouped, args->noack};
    size_t bytes = (PART_KEY + 2 * (size_t)args->keys) * sizeof(struct slice);
    struct slice *words = heap_alloc(g->home->heap, MEM_MESSAGE, bytes);
    words[PART_HEAD - 1] = slice_of((const char *)&head, sizeof head);
    words[PART_GROUP - 1] = args->group;
    words[PART_CONSUMER - 1] = args->consumer;
    for (uint32_t shard = 0; shard < gather_shards(g); shard++) {
        uint32_t count = PART_KEY - 1;
        for (uint32_t i = 0; i < args->keys; i++) {
            if (gather_owner(g, args->first + i) != shard) continue;
            words[count++] = g->argv[args->first + i];
            words[count++] = g->argv[args->first + args->keys + i];
        }
        if (count >= PART_KEY) gather_send(g, shard, name, words, count);
    }
    heap_free(g->home->heap, MEM_MESSAGE, words, bytes);
}

/* What the shards answered, key by key. */
struct answers {
    struct slice rest[SHARDS_MAX];
};

static void open_answers(const struct gather *g, struct answers *answers) {
    for (uint32_t i = 0; i < g->parts; i++) {
        int64_t count = gather_reply_array(gather_reply(g, i), &answers->rest[g->answered[i].shard]);
        ASSERT(count >= 0);
    }
}

/* True: they may be read. Else the first error is the reply. */
static bool all_may_be_read(struct gather *g, const struct read_args *args) {
    struct answers answers;
    open_answers(g, &answers);
    for (uint32_t i = 0; i < args->keys; i++) {
        struct slice answer = gather_next_element(&answers.rest[gather_owner(g, args->first + i)]);
        if (!gather_reply_is_error(answer)) continue;
        g->failed = true;
        buf_append_slice(gather_out(g), answer);
        return false;
    }
    return true;
}

/* Puts together what they have, in the order of the keys. False: there was nothing. */
static bool join(struct gather *g, const struct read_args *args) {
    struct buf *out = gather_out(g);
    struct answers answers;
    uint64_t served = 0;
    size_t mark = resp_array_open(out);
    open_answers(g, &answers);
    for (uint32_t i = 0; i < args->keys; i++) {
        struct slice *rest = &answers.rest[gather_owner(g, args->first + i)];
        struct slice answer = gather_next_element(rest);
        if (gather_reply_is_null(answer)) continue;
        buf_append_slice(out, answer);
        if (g->resp == 3) buf_append_slice(out, gather_next_element(rest));
        served++;
    }
    if (served == 0) return false;
    if (g->resp == 2)
        resp_array_close(out, mark, served);
    else
        resp_map_close(out, mark, served);
    return true;
}

static void find_nothing(struct gather *g, const struct read_args *args) {
    uint64_t shards = 0;
    resp_null_array(gather_out(g), g->resp);
    if (!args->blocks) return;
    for (uint32_t i = 0; i < args->keys; i++) shards |= 1ull << gather_owner(g, args->first + i);
    g->timeout_ms = args->timeout_ms;
    gather_wait_instead(g, shards);
}

enum { LOOKING, READING };

static void read_across(struct gather *g, bool grouped) {
    struct read_args args;
    if (g->memo[WAIT_MEMO_TOLD]) {
        g->blocks = true;
        return;
    }
    uint64_t now_ms = g->step > 0 ? 0 : g->home->now_ms; /* a timeout that was in bounds stays so as time goes by */
    if (!stream_parse_read(g->argv, g->argc, grouped, now_ms, &args)) {
        gather_error(g, args.error);
        return;
    }
    gather_may_wait(g);
    if (g->step == 0) {
        ask(g, "sherd.xlook", &args);
    } else if (g->memo[WAIT_MEMO_OWN] == LOOKING) {
        if (!all_may_be_read(g, &args)) return;
        g->memo[WAIT_MEMO_OWN] = READING;
        ask(g, grouped ? "sherd.xreadgroup" : "sherd.xread", &args);
    } else if (!join(g, &args)) {
        find_nothing(g, &args);
    }
}

static void xread_gather(struct gather *g) {
    read_across(g, false);
}
static void xreadgroup_gather(struct gather *g) {
    read_across(g, true);
}

#define INTERNAL                                                                                                       \
    .where = ON_OWNER, .group = "stream", .since = "0.4.0", .cost = "as the command it is a part of",                  \
    .args = "head argument [argument ...]", .doc = "A part of XREAD or XREADGROUP."

const struct command stream_read_commands[] = {
    {.name = "xread",
     .arity = -4,
     .flags = CMD_READ | CMD_BLOCKING,
     .acl = ACL_STREAM,
     .keys = {{.halves = stream_find_keys, .keyword = "STREAMS", .halves_from = 1, .access = KEY_RO | KEY_ACCESS}},
     .where = ACROSS_OWNERS,
     .run = cmd_xread,
     .answers = read_answers,
     .across = xread_gather,
     .waits_for = TYPE_STREAM,
     .waits_as = waits_as,
     .group = "stream",
     .since = "5.0.0",
     .cost = "O(log(N)+M) for each stream, M = number of entries answered",
     .args = "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
     .doc = "Answers the entries of several streams behind given ids; may wait for some."},
    {.name = "xreadgroup",
     .arity = -7,
     .flags = CMD_WRITE | CMD_BLOCKING,
     .acl = ACL_STREAM,
     .keys = {{.halves = stream_find_keys, .keyword = "STREAMS", .halves_from = 4, .access = KEY_RW | KEY_ACCESS}},
     .where = ACROSS_OWNERS,
     .run = cmd_xreadgroup,
     .answers = read_answers,
     .beside_save = BESIDE_GROUPS,
     .across = xreadgroup_gather,
     .waits_for = TYPE_STREAM,
     .waits_as = waits_as,
     .group = "stream",
     .since = "5.0.0",
     .cost = "O(log(N)+M) for each stream, M = number of entries answered",
     .args = "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]",
     .doc = "Gives entries of several streams to a consumer of a group; may wait for some."},
    {.name = "sherd.xlook", .arity = -4, .flags = CMD_INTERNAL | CMD_READ, INTERNAL, .run = cmd_xlook},
    {.name = "sherd.xread", .arity = -4, .flags = CMD_INTERNAL | CMD_READ, INTERNAL, .run = cmd_xread_part},
    {.name = "sherd.xreadgroup", .arity = -4, .flags = CMD_INTERNAL | CMD_WRITE, INTERNAL, .run = cmd_xread_part},
    {.name = "sherd.xwake",
     .arity = -7,
     .flags = CMD_INTERNAL | CMD_READ | CMD_BLOCKING,
     .keys = {KEYS_RANGE(WAKE_KEY, -2, 2, KEY_RO)},
     .waits_for = TYPE_STREAM,
     .wakes = wakes_reader,
     INTERNAL,
     .run = cmd_xwake},
    {.name = "sherd.xwakegroup",
     .arity = -7,
     .flags = CMD_INTERNAL | CMD_WRITE | CMD_BLOCKING,
     .keys = {KEYS_RANGE(WAKE_KEY, -2, 2, KEY_RW)},
     .waits_for = TYPE_STREAM,
     .wakes = wakes_consumer,
     .answers = woken_answers,
     INTERNAL,
     .run = cmd_xwakegroup},
    {0},
};
