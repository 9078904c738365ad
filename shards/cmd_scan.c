/* Walks over all keys: KEYS, SCAN, RANDOMKEY.
 *
 * A position in a shard's table is a place in hash space (core/hashtable.h), so it survives every resize. A client's
 * SCAN cursor adds the shard:
 *
 *      | 0 (10) | position (48) | shard (6) |
 *
 * Shard 0 at position 0 is where a scan starts; a shard that is finished hands over to the next one at position 0, and
 * behind the last one comes cursor 0, the end. A call goes on to the next shard itself while it has not looked at as
 * many keys as COUNT says, so that few keys come in one call, as people expect who have few.
 *
 * A client at a thread's own port (CLIENT_ENDPOINT) walks over that shard alone: its scan starts there, with the same
 * cursor 0, and hands over to nobody.
 *
 * When a table was resized between two calls the position may lie inside a bucket whose first part was visited already.
 * That part is passed over by its hashes (see `walk`), so that a resize makes nothing appear twice. */
#include "core/glob.h"
#include "core/num.h"
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_tables.h"
#include "shards/gather.h"
#include "shards/shard.h"

#define KEYS_SLICE     2000         /* entries looked at per turn of KEYS: some 100 us */
#define WALK_BYTES     (512 * 1024) /* of keys found, after which a SCAN or a slice of KEYS ends all the same */
#define SCAN_TYPE_ANY  (-1)
#define SCAN_TYPE_NONE (-2) /* a type that does not exist: nothing matches */

#define SHARD_BITS 6
static_assert(SHARDS_MAX <= 1 << SHARD_BITS, "a cursor has room for every shard");
static_assert(HT_CURSOR_BITS + SHARD_BITS <= 64, "a cursor is a 64-bit number");

/* --- the walk --- */

struct walk {
    struct exec *x;
    bool chained; /* keys go to x->elements, else to x->out */
    bool counts;  /* they go nowhere */
    struct slice pattern;
    bool all;            /* everything matches */
    int type;            /* enum value_type, or SCAN_TYPE_... */
    uint64_t resumed_at; /* hashes before this were visited in an earlier call; 0: look at none */
    int slot;            /* the only one whose keys match; -1: any */
    uint64_t wanted;     /* no more than so many */
    uint64_t visited, found;
    size_t bytes; /* of the keys found */
};

static void walk_init(struct walk *walk, struct exec *x, struct slice pattern) {
    *walk = (struct walk){.x = x, .pattern = pattern, .type = SCAN_TYPE_ANY, .slot = -1, .wanted = UINT64_MAX};
    walk->all = slice_equal(pattern, SLICE("*"));
}

static bool matches(const struct walk *walk, const struct entry *entry, struct slice key) {
    if (walk->resumed_at) {
        uint64_t position = key_hash(walk->x->shared, key) >> (64 - HT_CURSOR_BITS);
        if (position < walk->resumed_at) return false;
    }
    if (walk->type != SCAN_TYPE_ANY && entry->type != walk->type) return false;
    if (walk->slot >= 0 && (unsigned)walk->slot != hash_slot(key)) return false;
    return (walk->all || glob_match(walk->pattern, key, false)) && walk->found < walk->wanted;
}

static void visit(void *ctx, struct entry *entry) {
    struct walk *walk = ctx;
    walk->visited++;
    struct slice key = entry_key(entry);
    if (!matches(walk, entry, key)) return;
    if (!walk->counts) resp_bulk(walk->chained ? exec_elements(walk->x) : walk->x->out, key);
    walk->found++;
    walk->bytes += key.len;
}

/* Goes on at position until `max` entries were visited, very long keys were found or the end (0) is reached; returns
 * the new position. */
static uint64_t walk(struct walk *walk, uint64_t position, uint64_t max) {
    walk->resumed_at = position;
    /* A step passes over up to 64 empty buckets, so an almost empty table is bounded by the steps. */
    for (uint64_t steps = 0; steps < max; steps++) {
        position = keyspace_scan(walk->x->keys, position, visit, walk);
        walk->resumed_at = 0; /* later buckets lie behind it */
        if (position == 0 || walk->visited >= max || walk->bytes >= WALK_BYTES) break;
    }
    return position;
}

/* --- KEYS --- */

enum { KEYS_POSITION, KEYS_FOUND }; /* words of x->slice */

static void cmd_keys(struct exec *x) {
    struct slice pattern = x->argv[1];
    if (glob_is_literal(pattern)) { /* on the shards that do not own such a key it is absent */
        struct key_ref ref;
        bool present = exec_open_any(x, 1, &ref);
        reply_array(x, present);
        if (present) reply_bulk(x, pattern);
        return;
    }
    uint64_t *slice = x->slice;
    struct walk keys;
    walk_init(&keys, x, pattern);
    keys.chained = true;
    slice[KEYS_POSITION] = walk(&keys, slice[KEYS_POSITION], KEYS_SLICE);
    slice[KEYS_FOUND] += keys.found;
    if (slice[KEYS_POSITION])
        exec_continue(x);
    else
        reply_array(x, slice[KEYS_FOUND]);
}

/* --- SCAN --- */

static uint32_t cursor_shard(uint64_t cursor) {
    return (uint32_t)cursor & ((1u << SHARD_BITS) - 1);
}

static uint64_t cursor_position(uint64_t cursor) {
    return cursor >> SHARD_BITS & ((1ull << HT_CURSOR_BITS) - 1);
}

/* Where the client goes on. */
static uint64_t cursor_after(const struct exec *x, uint64_t position) {
    const struct shard *shard = x->shard;
    if (position) return position << SHARD_BITS | shard->id;
    bool is_last = x->flags & CLIENT_ENDPOINT || shard->id + 1 == shard->count;
    return is_last ? 0 : shard->id + 1;
}

/* Else it was never given out, and nothing is left to scan. */
static bool cursor_is_ours(const struct exec *x, uint64_t cursor) {
    return cursor_shard(cursor) == x->shard->id || (cursor == 0 && x->flags & CLIENT_ENDPOINT);
}

static int type_named(struct slice name) {
    for (int type = 0; type < TYPE_COUNT; type++) {
        if (slice_equal_nocase(name, slice_of_cstr(value_type_name((enum value_type)type)))) return type;
    }
    return SCAN_TYPE_NONE;
}

static bool parse_options(struct exec *x, uint32_t at, bool of_keys, struct scan_options *options) {
    *options = (struct scan_options){.pattern = SLICE("*"), .type = SCAN_TYPE_ANY, .count = 10};
    for (; at < x->argc; at += 2) {
        bool has_value = at + 1 < x->argc;
        if (has_value && arg_is(x, at, "count")) {
            if (!exec_int(x, at + 1, &options->count)) return false;
            if (options->count >= 1) continue;
        } else if (has_value && arg_is(x, at, "match")) {
            options->pattern = x->argv[at + 1];
            continue;
        } else if (has_value && of_keys && arg_is(x, at, "type")) {
            options->type = type_named(x->argv[at + 1]);
            continue;
        }
        reply_syntax_error(x);
        return false;
    }
    options->all = slice_equal(options->pattern, SLICE("*"));
    return true;
}

bool scan_parse(struct exec *x, uint32_t at, struct scan_options *options) {
    return parse_options(x, at, false, options); /* a collection's members have no types */
}

static void put_head(struct buf *out, size_t mark, uint64_t cursor, uint64_t found) {
    char head[16 + RESP_HEADER_MAX + NUM_U64_MAX], digits[NUM_U64_MAX];
    size_t digit_count = num_format_u64(digits, cursor), len = 0;
    memcpy(head, "*2\r\n", 4);
    len = 4 + resp_header(head + 4, '$', (int64_t)digit_count);
    memcpy(head + len, digits, digit_count);
    len += digit_count;
    memcpy(head + len, "\r\n", 2);
    len += 2;
    char header[RESP_HEADER_MAX];
    size_t header_len = resp_header(header, '*', (int64_t)found);
    buf_insert(out, mark, slice_of(header, header_len));
    buf_insert(out, mark, slice_of(head, len));
}

void scan_reply_head(struct exec *x, size_t mark, uint64_t cursor, uint64_t found) {
    put_head(x->out, mark, cursor, found);
}

/* The cursor and the options from argv[at] on: replies with the keys of this shard, but for their head. left: how many
 * keys the call may still look at, 0 when it has just begun; afterwards what is left for the next shard, of which there
 * is one. False: the error was replied. */
static bool scan_shard(struct exec *x, uint32_t at, uint64_t *left, uint64_t *next, uint64_t *found) {
    uint64_t cursor;
    if (!num_parse_u64(x->argv[at], &cursor)) {
        reply_error(x, "ERR invalid cursor");
        return false;
    }
    struct walk scan;
    struct scan_options options;
    if (!parse_options(x, at + 1, true, &options)) return false;
    walk_init(&scan, x, options.pattern);
    scan.type = options.type;
    uint64_t most = *left ? *left : MIN((uint64_t)options.count, SCAN_VISIT_MAX), position = 0;
    *left = *next = 0;
    if (cursor_is_ours(x, cursor)) {
        position = walk(&scan, cursor_position(cursor), most);
        *next = cursor_after(x, position);
    }
    *found = scan.found;
    if (position == 0 && *next && scan.visited < most) *left = most - scan.visited;
    return true;
}

static void cmd_scan(struct exec *x) {
    size_t mark = x->out->len;
    uint64_t left = 0, next, found;
    if (scan_shard(x, 1, &left, &next, &found)) scan_reply_head(x, mark, next, found);
}

/* sherd.scan left cursor [options]: what is left for the next shard, and a reply as SCAN's. */
static void cmd_internal_scan(struct exec *x) {
    size_t mark = x->out->len;
    uint64_t left, next, found;
    bool number = num_parse_u64(x->argv[1], &left);
    ASSERT(number);
    if (!scan_shard(x, 2, &left, &next, &found)) return;
    scan_reply_head(x, mark, next, found);
    char head[2 * RESP_HEADER_MAX];
    size_t len = resp_header(head, '*', 2);
    len += resp_header(head + len, ':', (int64_t)left);
    buf_insert(x->out, mark, slice_of(head, len));
}

enum { SCAN_FOUND }; /* words of gather->memo */

/* Cursors that nobody gave out go anywhere; the handler finds out. */
static uint32_t cursor_owner(const struct gather *g, uint64_t cursor) {
    uint32_t shard = cursor_shard(cursor);
    return shard < gather_shards(g) ? shard : 0;
}

static void scan_from(struct gather *g, uint64_t left, uint64_t cursor) {
    char left_text[NUM_U64_MAX], cursor_text[NUM_U64_MAX];
    size_t bytes = (g->argc + 1) * sizeof(struct slice);
    struct slice *args = heap_alloc(g->home->heap, MEM_MESSAGE, bytes);
    args[0] = slice_of(left_text, num_format_u64(left_text, left));
    memcpy(args + 1, g->argv + 1, (g->argc - 1) * sizeof *args);
    if (left) args[1] = slice_of(cursor_text, num_format_u64(cursor_text, cursor));
    gather_send(g, cursor_owner(g, cursor), "sherd.scan", args, g->argc);
    heap_free(g->home->heap, MEM_MESSAGE, args, bytes);
}

/* One shard after the other, until enough was looked at. */
static void scan_gather(struct gather *g) {
    uint64_t cursor = 0;
    if (g->step == 0) {
        bool is_number = num_parse_u64(g->argv[1], &cursor);
        scan_from(g, 0, is_number ? cursor : 0); /* or the handler says so */
        return;
    }
    struct slice reply = gather_reply(g, 0), rest, scanned, text;
    if (gather_reply_is_error(reply)) {
        buf_append_slice(gather_out(g), reply);
        return;
    }
    int64_t left = 0;
    bool whole = gather_reply_array(reply, &rest) == 2 && gather_reply_int(gather_next_element(&rest), &left) &&
                 gather_reply_array(rest, &scanned) == 2 && gather_reply_bulk(gather_next_element(&scanned), &text) &&
                 num_parse_u64(text, &cursor);
    int64_t found = whole ? gather_reply_array(scanned, &rest) : -1;
    ASSERT(found >= 0);
    g->memo[SCAN_FOUND] += (uint64_t)found;
    buf_append_slice(gather_out(g), rest);
    if (left > 0 && gather_out(g)->len < WALK_BYTES)
        scan_from(g, (uint64_t)left, cursor);
    else
        put_head(gather_out(g), 0, cursor, g->memo[SCAN_FOUND]);
}

/* --- the keys of one slot (CLUSTER COUNTKEYSINSLOT, GETKEYSINSLOT) --- */

enum { SLOT_POSITION, SLOT_FOUND, SLOT_MARK }; /* words of x->slice */

/* sherd.slot-keys slot most: an array of their names, or how many they are where most is "count". There is no index by
 * slot, so this looks at all keys of the shard, in slices; the two commands are for people and for tools that move
 * slots, which here do not move. */
static void cmd_internal_slot_keys(struct exec *x) {
    uint64_t *slice = x->slice;
    int64_t slot;
    struct walk keys;
    walk_init(&keys, x, SLICE("*"));
    keys.counts = arg_is(x, 2, "count");
    bool numbers = num_parse_i64(x->argv[1], &slot) && (keys.counts || num_parse_u64(x->argv[2], &keys.wanted));
    ASSERT(numbers);
    keys.slot = (int)slot;
    keys.wanted = keys.counts ? UINT64_MAX : keys.wanted - slice[SLOT_FOUND];
    if (slice[SLOT_POSITION] == 0) slice[SLOT_MARK] = x->out->len;
    uint64_t position = keys.wanted ? walk(&keys, slice[SLOT_POSITION], KEYS_SLICE) : 0;
    slice[SLOT_POSITION] = keys.found < keys.wanted ? position : 0;
    slice[SLOT_FOUND] += keys.found;
    if (slice[SLOT_POSITION]) {
        exec_continue(x);
    } else if (keys.counts) {
        reply_int(x, (int64_t)slice[SLOT_FOUND]);
    } else {
        char header[RESP_HEADER_MAX];
        size_t header_len = resp_header(header, '*', (int64_t)slice[SLOT_FOUND]);
        buf_insert(x->out, slice[SLOT_MARK], slice_of(header, header_len));
    }
}

/* --- RANDOMKEY --- */

static void cmd_randomkey(struct exec *x) {
    const struct entry *entry = keyspace_random(x->keys, &x->shard->prng);
    if (entry)
        reply_bulk(x, entry_key(entry));
    else
        reply_null(x);
}

#define RANDOM_TRIES 4

static void ask_counts(struct gather *g) {
    for (uint32_t shard = 0; shard < gather_shards(g); shard++) gather_send(g, shard, "dbsize", NULL, 0);
}

/* A shard, each with the probability of its share of the keys. False: there are no keys. */
static bool choose_shard(struct gather *g, uint32_t *chosen) {
    int64_t counts[SHARDS_MAX], total = 0;
    for (uint32_t part = 0; part < g->parts; part++) {
        if (!gather_reply_int(gather_reply(g, part), &counts[part])) counts[part] = 0;
        total += counts[part];
    }
    if (total == 0) return false;
    int64_t at = (int64_t)prng_below(&g->home->prng, (uint64_t)total);
    uint32_t part = 0;
    while (at >= counts[part]) at -= counts[part++];
    *chosen = g->answered[part].shard;
    return true;
}

/* Even steps ask all shards how many keys they have, odd ones ask one of them for a key. A shard that has only expired
 * keys answers null; then we ask again. */
static void randomkey_gather(struct gather *g) {
    uint32_t shard;
    if (g->step % 2 == 1) {
        if (choose_shard(g, &shard))
            gather_send(g, shard, "randomkey", NULL, 0);
        else
            resp_null(gather_out(g), g->resp);
        return;
    }
    struct slice key;
    if (g->step > 0 && (gather_reply_bulk(gather_reply(g, 0), &key) || g->step / 2 == RANDOM_TRIES)) {
        buf_append_slice(gather_out(g), gather_reply(g, 0));
        return;
    }
    ask_counts(g);
}

const struct command scan_commands[] = {
    {.name = "keys",
     .arity = 2,
     .flags = CMD_READ | CMD_SLICED,
     .acl = ACL_KEYSPACE | ACL_DANGEROUS,
     .where = ON_ALL,
     .per_node = true,
     .merge = MERGE_CONCAT,
     .run = cmd_keys,
     .group = "generic",
     .since = "1.0.0",
     .cost = "O(N), N = number of keys in the database, in slices; O(1) for a pattern without special characters",
     .args = "pattern",
     .tips = "request_policy:all_shards nondeterministic_output_order",
     .doc = "Lists all keys that match a pattern."},
    {.name = "scan",
     .arity = -2,
     .flags = CMD_READ,
     .acl = ACL_KEYSPACE,
     .where = ON_ALL,
     .per_node = true,
     .run = cmd_scan,
     .across = scan_gather,
     .group = "generic",
     .since = "2.8.0",
     .cost = "O(COUNT) for a call, O(N) for all, N = number of keys in the database",
     .args = "cursor [MATCH pattern] [COUNT count] [TYPE type]",
     .tips = "nondeterministic_output request_policy:special",
     .doc = "Lists some of the keys and a cursor to go on with; a whole round lists every key that was there all the "
            "time."},
    {.name = "sherd.scan", .arity = -3, .flags = CMD_INTERNAL | CMD_READ, .where = ON_OWNER, .run = cmd_internal_scan},
    {.name = "randomkey",
     .arity = 1,
     .flags = CMD_READ,
     .acl = ACL_KEYSPACE,
     .where = ON_ALL,
     .per_node = true,
     .run = cmd_randomkey,
     .across = randomkey_gather,
     .group = "generic",
     .since = "1.0.0",
     .cost = "O(S), S = number of shards",
     .tips = "request_policy:all_shards nondeterministic_output",
     .doc = "Names a key chosen at random."},
    {.name = "sherd.slot-keys",
     .arity = 3,
     .flags = CMD_INTERNAL | CMD_READ | CMD_SLICED,
     .where = ON_OWNER,
     .run = cmd_internal_slot_keys},
    {0},
};
