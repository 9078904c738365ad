/* Effects: what shards write down about random commands makes the same keys again on another number of shards.
 *
 * Proves   the effects of all families of commands, of transactions over several shards, of blocked clients and of keys
 *          that expire say all that happened: applied to empty shards they make every key, value and deadline. The
 *          stream is RESP, in groups; a transaction of several shards has its line once in each of them.
 * How      clients of a simulated machine (tests/support/machine.h) send commands made from the templates below to few
 *          keys. What the shards write is taken at random times, applied to a machine with other shards, and all
 *          entries are compared. What a command changes and does not say stops the shard by itself (shards/pipeline.c).
 *
 * SHERD_SEED runs one seed only, SHERD_ROUNDS says how many; a failure prints the seed. */
#include "core/num.h"
#include "shards/dump.h"
#include "shards/effect_apply.h"
#include "shards/exec.h"
#include "shards/hash_value.h"
#include "shards/list.h"
#include "shards/set.h"
#include "shards/zset.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DBS           3
#define PEERS         5
#define KEYS          5 /* of each type */
#define MANY          1500
#define STAMPS        8192
#define ROUND_OPS     400
#define ROWS_MAX      512
#define TEMPLATES_MAX 512

/* --- the connection's command, which lives in net/ in production --- */

static void cmd_select(struct exec *x) {
    int64_t db;
    if (!exec_int_range(x, 1, 0, x->shard->db_count - 1, &db, NULL)) return;
    x->client->db = (uint16_t)db;
    reply_ok(x);
}

static const struct command test_commands[] = {
    {.name = "select",
     .arity = 2,
     .where = ON_CONN,
     .run = cmd_select,
     .acl = ACL_CONNECTION,
     .group = "connection",
     .since = "0.1.0",
     .cost = "O(1)",
     .doc = "For the test.",
     .args = "index"},
    {.name = NULL},
};
static const struct command *const test_tables[] = {test_commands, NULL};

/* --- commands --- */

/* Words of one letter stand for something: s l e z h a key that usually holds a string, list, set, sorted set, hash; k
 * any key; V value, M member, I integer, F float, T milliseconds, A Unix seconds, Q Unix milliseconds, D database, P
 * payload, X index. "*M" many members, "*V" many values, "*S" many scores with members, "*P" many pairs. */
static const char templates[] =
    "SET s V|SET s V|SET s I|SET s V EX 1|SET s V PX T|SET s V PXAT Q|SET s V EXAT A|SET s V KEEPTTL|"
    "SET s V NX|SET s V XX GET|SET s V NX PX T|SET s V IFEQ V|SET s I IFEQ I PX T|SETNX s V|SETEX s 1 V|"
    "PSETEX s T V|GETSET s V|GETDEL s|GETEX s PX T|GETEX s EX 1|GETEX s PXAT Q|GETEX s PERSIST|GETEX s|"
    "DELIFEQ s V|APPEND s V|SETRANGE s X V|SETRANGE s 70000 V|INCR s|DECR s|INCRBY s I|DECRBY s I|"
    "INCRBYFLOAT s F|MSET s V s V s V|MSET s V k V|MSETNX s V s V|GET s|MGET s s s s|STRLEN s|SETBIT s I 1|"
    "SETBIT s X 0|SETBIT s 300 1|BITFIELD s SET u8 X I INCRBY i5 X 7|"
    "BITFIELD s OVERFLOW FAIL INCRBY u2 100 1|BITFIELD k GET u4 0|BITOP AND s s s|BITOP NOT s s|"
    "BITOP XOR s s k|PFADD p1 V V|PFADD p2 I|PFADD p3 M M|PFMERGE p1 p2 p3|PFMERGE p4 p1|PFDEBUG TODENSE p2|"
    "PFCOUNT p1 p2|RPUSH l V V|LPUSH l V|RPUSHX l V|LPUSHX l V V|LPOP l|RPOP l|LPOP l X|RPOP l X|LSET l X V|"
    "LINSERT l BEFORE V V|LREM l X V|LTRIM l X -1|LTRIM l 0 X|RPUSH l *V|LMOVE l l LEFT RIGHT|"
    "LMOVE l l RIGHT RIGHT|RPOPLPUSH l l|LMPOP 2 l l LEFT COUNT X|LMPOP 3 l l l RIGHT|BLPOP l l 1|BRPOP l 1|"
    "BLMPOP 0.03 2 l l LEFT COUNT 2|BLMOVE l l LEFT LEFT 2|BLMOVE l l RIGHT LEFT 0.5|LTRIM l 1 0|DEL l l|"
    "ZREMRANGEBYRANK z 0 -1|BRPOPLPUSH l l 3|LRANGE l 0 -1|SADD e M M|SADD e I I I|SADD e M|SREM e M M|"
    "SREM e I|SPOP e|SPOP e X|SPOP e 900|SMOVE e e M|SMOVE e e I|SADD e *M|SINTERSTORE e e e|"
    "SUNIONSTORE e e e e|SDIFFSTORE e e e|SUNIONSTORE e k|SMEMBERS e|ZADD z F M F M|ZADD z I M|"
    "ZADD z GT CH F M|ZADD z NX F M|ZADD z XX INCR F M|ZINCRBY z F M|ZREM z M M|ZADD z -0 M|ZADD z inf M|"
    "ZREMRANGEBYRANK z X X|ZREMRANGEBYSCORE z -1 F|ZREMRANGEBYLEX z - [m5|ZPOPMIN z|ZPOPMAX z X|"
    "ZMPOP 2 z z MIN COUNT X|BZPOPMIN z z 1|BZPOPMAX z 0.02|BZMPOP 0.02 2 z z MAX|ZADD z *S|"
    "ZUNIONSTORE z 2 z e|ZUNIONSTORE z 3 z z z WEIGHTS 1 F 0.5 AGGREGATE MAX|ZINTERSTORE z 2 z z|"
    "ZDIFFSTORE z 2 z z|ZRANGESTORE z z 0 X|ZRANGESTORE z z -inf F BYSCORE|ZRANGE z 0 -1|HSET h M V M V|"
    "HSET h M I|HMSET h M V|HSETNX h M V|HDEL h M M|HINCRBY h M I|HINCRBYFLOAT h M F|HSET h *P|HGETALL h|"
    "DEL k|DEL k k k|UNLINK k k|EXPIRE k 1|PEXPIRE k T|EXPIREAT k A|PEXPIREAT k Q|PEXPIRE k T NX|"
    "PEXPIRE k T GT|PERSIST k|EXPIRE k -1|RENAME k k|RENAMENX k k|RENAME s s|RENAME l l|RENAME z z|COPY k k|"
    "COPY k k REPLACE|COPY k k DB D REPLACE|COPY h h REPLACE|MOVE k D|RESTORE k 0 P|RESTORE k T P REPLACE|"
    "RESTORE k Q P REPLACE ABSTTL|TOUCH k|RANDOMKEY|DBSIZE|EXISTS k k|KEYS *";
static const char *const rare[] = {"FLUSHDB", "FLUSHDB ASYNC", "FLUSHALL", "SWAPDB 0 1", "SWAPDB D D", "SWAPDB 1 2"};

/* Of all rounds: that something happened at all. */
struct totals {
    uint64_t commands, effects, transactions, keys;
    uint64_t done[ROWS_MAX]; /* per command, without errors */
};

struct play {
    struct sim *sim;
    struct prng prng;
    uint32_t shards;
    uint64_t seed;
    struct peer *peers[PEERS];
    struct buf log[SIM_SHARDS_MAX]; /* what each shard wrote */
    uint32_t db[SIM_SHARDS_MAX];    /* selected at its end */
    bool in_multi[PEERS];
    struct totals *totals;
    struct slice templates[TEMPLATES_MAX];
    uint32_t template_count;
};

static uint64_t below(struct play *play, uint64_t n) {
    return prng_below(&play->prng, n);
}

static void add_arg(struct buf *args, uint32_t *count, struct slice text) {
    resp_bulk(args, text);
    ++*count;
}

static void add_argf(struct buf *args, uint32_t *count, const char *format, ...) PRINTF_LIKE(3, 4);
static void add_argf(struct buf *args, uint32_t *count, const char *format, ...) {
    char text[64];
    va_list list;
    va_start(list, format);
    int len = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    add_arg(args, count, slice_of(text, (size_t)len));
}

/* What DUMP would say of some key. */
static void add_payload(struct play *play, struct buf *args, uint32_t *count) {
    struct shard *shard = sim_shard(play->sim, (uint32_t)below(play, play->shards));
    const struct keyspace *keys = shard_db_peek(shard, (uint32_t)below(play, DBS));
    struct entry *entry = keys ? keyspace_random((struct keyspace *)(uintptr_t)keys, &play->prng) : NULL;
    struct buf payload;
    buf_init(&payload, play->sim->heap, MEM_CLIENT_IN);
    if (entry)
        dump_write(&payload, entry);
    else
        buf_append_literal(&payload, "broken");
    add_arg(args, count, buf_slice(&payload));
    buf_deinit(&payload);
}

static void add_many(struct play *play, struct buf *args, uint32_t *count, char what) {
    uint64_t n = 1 + below(play, MANY);
    bool numbers = below(play, 3) == 0;
    for (uint64_t i = 0; i < n; i++) {
        if (what == 'S') add_argf(args, count, "%" PRIu64 ".25", below(play, 1000));
        if (numbers)
            add_argf(args, count, "%" PRIu64, below(play, 100000));
        else
            add_argf(args, count, "member-of-some-length-%" PRIu64, below(play, 100000));
        if (what == 'P') add_argf(args, count, "value %" PRIu64, below(play, 100));
    }
}

static void add_value(struct play *play, struct buf *args, uint32_t *count) {
    if (below(play, 3) > 0) {
        add_argf(args, count, "v%" PRIu64, below(play, 6));
        return;
    }
    char bytes[3000];
    size_t len = (size_t)below(play, below(play, 8) ? 60 : sizeof bytes);
    for (size_t i = 0; i < len; i++) bytes[i] = (char)below(play, 256);
    add_arg(args, count, slice_of(bytes, len));
}

static void add_word(struct play *play, struct buf *args, uint32_t *count, const char *word, size_t len) {
    static const char families[] = "slezh";
    uint64_t now_ms = sim_now_ms(play->sim);
    if (len == 2 && word[0] == '*') {
        add_many(play, args, count, word[1]);
        return;
    }
    char what = len == 1 ? word[0] : 0;
    if (what == 'k' || (what && strchr(families, what) && below(play, 30) == 0)) what = families[below(play, 5)];
    if (what && strchr(families, what)) {
        add_argf(args, count, "%c%" PRIu64, what, below(play, KEYS));
        return;
    }
    switch (what) {
    case 'V': add_value(play, args, count); break;
    case 'M': add_argf(args, count, "m%" PRIu64, below(play, 12)); break;
    case 'I': add_argf(args, count, "%d", (int)below(play, 40) - 20); break;
    case 'F':
        add_argf(args, count, "%.17g", (double)((int)below(play, 4000) - 2000) / (double)(1 + below(play, 9)));
        break;
    case 'T': add_argf(args, count, "%" PRIu64, 1 + below(play, 400)); break;
    case 'A': add_argf(args, count, "%" PRIu64, now_ms / 1000 + below(play, 3)); break;
    case 'Q': add_argf(args, count, "%" PRIu64, now_ms + below(play, 400) - 50); break;
    case 'D': add_argf(args, count, "%" PRIu64, below(play, DBS)); break;
    case 'X': add_argf(args, count, "%" PRIu64, below(play, 8)); break;
    case 'P': add_payload(play, args, count); break;
    default: add_arg(args, count, slice_of(word, len)); break;
    }
}

static void say_template(struct play *play, uint32_t peer, struct slice template) {
    struct buf args, command;
    uint32_t count = 0;
    buf_init(&args, play->sim->heap, MEM_CLIENT_IN);
    buf_init(&command, play->sim->heap, MEM_CLIENT_IN);
    for (const char *at = template.ptr, *end = at + template.len; at < end;) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        size_t len = (size_t)((space ? space : end) - at);
        add_word(play, &args, &count, at, len);
        at += len + 1;
    }
    resp_array(&command, count);
    buf_append_slice(&command, buf_slice(&args));
    sim_say(play->peers[peer], command.data, command.len);
    buf_deinit(&args);
    buf_deinit(&command);
}

static void find_templates(struct play *play) {
    for (const char *at = templates; *at;) {
        size_t len = strcspn(at, "|");
        assert_true(play->template_count < TEMPLATES_MAX);
        play->templates[play->template_count++] = slice_of(at, len);
        at += len + (at[len] == '|');
    }
}

static struct slice random_template(struct play *play) {
    if (below(play, 150) == 0) return slice_of_cstr(rare[below(play, ARRAY_LEN(rare))]);
    if (below(play, 25) == 0) return SLICE("SELECT D");
    /* What makes values large is half as frequent. */
    struct slice template = play->templates[below(play, play->template_count)];
    return memchr(template.ptr, '*', template.len) && below(play, 2) ? SLICE("SET s V") : template;
}

static void say_something(struct play *play, uint32_t peer) {
    if (play->in_multi[peer]) {
        bool ends = below(play, 4) == 0;
        say_template(play, peer, !ends ? random_template(play) : below(play, 12) ? SLICE("EXEC") : SLICE("DISCARD"));
        play->in_multi[peer] = !ends;
        return;
    }
    if (below(play, 12) == 0) say_template(play, peer, below(play, 6) ? SLICE("WATCH k k") : SLICE("UNWATCH"));
    play->in_multi[peer] = below(play, 7) == 0;
    say_template(play, peer, play->in_multi[peer] ? SLICE("MULTI") : random_template(play));
}

/* --- what they wrote --- */

static void take(struct play *play, uint32_t id) {
    struct shard *shard = sim_shard(play->sim, id);
    struct buf bytes;
    uint32_t db;
    buf_init(&bytes, shard->heap, MEM_MESSAGE);
    effects_take(&shard->effects, &bytes, &db);
    assert_int_equal(db, play->db[id]);
    play->db[id] = shard->effects.db;
    buf_append_slice(&play->log[id], buf_slice(&bytes));
    buf_deinit(&bytes);
}

/* One transaction of several shards. */
struct seen {
    uint64_t stamp, participants, told;
};

struct reading {
    struct play *play;
    struct sim *target;
    struct seen *seen;
    uint32_t seen_count;
    uint32_t shard; /* whose log */
    struct slice rest;
    uint32_t db, in_group;
    bool multi;
    uint64_t groups, lines, effects;
};

static struct slice line_of(struct slice *rest) {
    const char *end = memchr(rest->ptr, '\n', rest->len);
    assert_non_null(end);
    size_t len = (size_t)(end - rest->ptr);
    assert_true(len > 0 && rest->ptr[len - 1] == '\r');
    struct slice line = slice_of(rest->ptr, len - 1);
    *rest = slice_of(end + 1, rest->len - len - 1);
    return line;
}

static uint32_t number_of(struct slice line, char type) {
    int64_t number;
    assert_true(line.len > 1 && line.ptr[0] == type);
    assert_true(num_parse_i64(slice_of(line.ptr + 1, line.len - 1), &number) && number >= 0);
    return (uint32_t)number;
}

static uint32_t read_command(struct reading *reading, struct slice *argv, uint32_t max) {
    uint32_t argc = number_of(line_of(&reading->rest), '*');
    assert_true(argc > 0 && argc <= max);
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t len = number_of(line_of(&reading->rest), '$');
        assert_true(reading->rest.len >= len + 2u && memcmp(reading->rest.ptr + len, "\r\n", 2) == 0);
        argv[i] = slice_of(reading->rest.ptr, len);
        reading->rest = slice_of(reading->rest.ptr + len + 2, reading->rest.len - len - 2);
    }
    return argc;
}

static void note_line(struct reading *reading, struct slice line) {
    unsigned long long stamp, participants;
    char text[64];
    assert_int_equal(line.len, 3 + 16 + 1 + 16);
    memcpy(text, line.ptr, line.len);
    text[line.len] = 0;
    assert_int_equal(sscanf(text, "#T %16llx %16llx", &stamp, &participants), 2);
    assert_true(__builtin_popcountll(participants) > 1 && participants >> reading->play->shards == 0);
    uint32_t i = 0;
    while (i < reading->seen_count && reading->seen[i].stamp != stamp) i++;
    if (i == reading->seen_count) {
        assert_true(i < STAMPS);
        reading->seen[reading->seen_count++] = (struct seen){stamp, participants, 0};
    }
    assert_int_equal(reading->seen[i].participants, participants);
    assert_true(participants >> reading->shard & 1 && !(reading->seen[i].told >> reading->shard & 1));
    reading->seen[i].told |= 1ull << reading->shard;
}

static void apply(struct reading *reading, const struct slice *argv, uint32_t argc) {
    struct sim *target = reading->target;
    uint32_t key_at = effect_key_at(sim_shard(target, 0), argv, argc);
    struct slot_range from = slot_range_of(reading->shard, reading->play->shards);
    for (uint32_t id = 0; id < target->count; id++) {
        struct shard *shard = sim_shard(target, id);
        struct error error = {0};
        if (key_at && shard_of_key(shard, argv[key_at]) != id) continue;
        bool done = effect_apply_from(shard, reading->db, argv, argc, from, &error);
        if (!done) fail_msg("%s", error.text);
    }
}

static void read_log(struct reading *reading) {
    static struct slice argv[8192];
    reading->rest = buf_slice(&reading->play->log[reading->shard]);
    reading->db = 0;
    while (reading->rest.len > 0) {
        if (reading->rest.ptr[0] == '#') {
            assert_false(reading->multi);
            note_line(reading, line_of(&reading->rest));
            reading->lines++;
            continue;
        }
        uint32_t argc = read_command(reading, argv, ARRAY_LEN(argv));
        if (slice_is(argv[0], "select")) {
            int64_t db = -1;
            assert_true(argc == 2 && num_parse_i64(argv[1], &db) && db >= 0 && db < DBS && db != reading->db);
            reading->db = (uint32_t)db;
        } else if (slice_is(argv[0], "multi")) {
            assert_false(reading->multi);
            reading->multi = true;
            reading->in_group = 0;
        } else if (slice_is(argv[0], "exec")) {
            assert_true(reading->multi && reading->in_group > 1);
            reading->multi = false;
            reading->groups++;
        } else {
            apply(reading, argv, argc);
            reading->effects++;
            reading->in_group++;
            reading->groups += !reading->multi;
        }
    }
    assert_false(reading->multi);
}

/* --- comparing --- */

static bool has_member(void *ctx, struct slice text) {
    assert_true(set_has(ctx, text));
    return true;
}

static void has_field(void *ctx, const struct packed_value *field, const struct packed_value *value) {
    struct packed_value other;
    char scratch[PACKED_SCRATCH];
    assert_true(hash_get(ctx, packed_text(field, scratch), &other));
    assert_true(packed_equal(value, &other));
}

static void compare_lists(const struct entry *a, const struct entry *b) {
    struct packed_value x, y;
    struct quicklist_iter i = list_seek(a, 0), j = list_seek(b, 0);
    while (quicklist_next(&i, &x)) assert_true(quicklist_next(&j, &y) && packed_equal(&x, &y));
}

static void compare_scores(const struct entry *a, const struct entry *b) {
    struct zset_pair x, y;
    struct zset_iter i = zset_seek(a, 0), j = zset_seek(b, 0);
    while (zset_next(&i, &x)) assert_true(zset_next(&j, &y) && slice_equal(x.member, y.member) && x.score == y.score);
}

static void compare_entries(struct entry *a, struct entry *b) {
    char scratch[2][ENTRY_SCRATCH];
    assert_int_equal(a->type, b->type);
    assert_int_equal(entry_deadline_ms(a), entry_deadline_ms(b));
    switch ((enum value_type)a->type) {
    case TYPE_STRING: assert_true(slice_equal(entry_string(a, scratch[0]), entry_string(b, scratch[1]))); break;
    case TYPE_LIST:
        assert_int_equal(list_len(a), list_len(b));
        compare_lists(a, b);
        break;
    case TYPE_SET:
        assert_int_equal(set_count(a), set_count(b));
        set_each(a, has_member, b);
        break;
    case TYPE_ZSET:
        assert_int_equal(zset_len(a), zset_len(b));
        compare_scores(a, b);
        break;
    case TYPE_HASH:
        assert_int_equal(hash_len(a), hash_len(b));
        hash_each(a, has_field, b);
        break;
    default: fail();
    }
}

struct comparing {
    struct sim *target;
    uint32_t db;
    uint64_t keys;
};

static void compare_key(void *ctx, struct entry *entry) {
    struct comparing *comparing = ctx;
    struct slice key = entry_key(entry);
    struct shard *shard = sim_shard(comparing->target, 0);
    shard = sim_shard(comparing->target, shard_of_key(shard, key));
    struct key_ref ref;
    if (!keyspace_open(shard_db(shard, comparing->db), key, key_hash(&shard->shared, key), &ref))
        fail_msg("%.*s is not there", (int)key.len, key.ptr);
    compare_entries(entry, ref.entry);
    comparing->keys++;
}

static uint64_t count_keys(struct sim *sim, uint32_t db) {
    uint64_t keys = 0;
    for (uint32_t id = 0; id < sim->count; id++) {
        const struct keyspace *keyspace = shard_db_peek(sim_shard(sim, id), db);
        keys += keyspace ? keyspace_count(keyspace) : 0;
    }
    return keys;
}

/* What has expired and was not met since is compared, too: time stands still. */
static void stop_time(struct sim *sim) {
    for (uint32_t id = 0; id < sim->count; id++) sim_shard(sim, id)->shared.now_ms = 0;
}

static void compare(struct play *play, struct sim *target) {
    stop_time(play->sim);
    stop_time(target);
    for (uint32_t db = 0; db < DBS; db++) {
        struct comparing comparing = {.target = target, .db = db};
        for (uint32_t id = 0; id < play->shards; id++) {
            struct keyspace *keys = shard_db_peek(sim_shard(play->sim, id), db);
            for (uint64_t cursor = 0; keys;) {
                cursor = keyspace_scan(keys, cursor, compare_key, &comparing);
                if (cursor == 0) break;
            }
        }
        assert_int_equal(count_keys(play->sim, db), count_keys(target, db));
        play->totals->keys += comparing.keys;
    }
}

static void replay(struct play *play, uint32_t shards) {
    struct sim *target = sim_new(&(struct sim_options){
        .shards = shards, .mailbox_capacity = 8, .db_count = DBS, .seed = play->seed, .tables = test_tables});
    struct reading reading = {.play = play, .target = target, .seen = calloc(STAMPS, sizeof *reading.seen)};
    for (reading.shard = 0; reading.shard < play->shards; reading.shard++) {
        uint64_t groups = reading.groups, lines = reading.lines, position;
        read_log(&reading);
        position = sim_shard(play->sim, reading.shard)->effects.position;
        groups = reading.groups - groups;
        lines = reading.lines - lines;
        assert_true(position >= MAX(groups, lines) && position <= groups + lines);
    }
    for (uint32_t i = 0; i < reading.seen_count; i++)
        assert_int_equal(reading.seen[i].told, reading.seen[i].participants);
    free(reading.seen);
    play->totals->effects += reading.effects;
    play->totals->transactions += reading.seen_count;
    compare(play, target);
    for (uint32_t id = 0; id < shards; id++)
        for (uint32_t db = 0; db < DBS; db++)
            if (shard_db_peek(sim_shard(target, id), db)) keyspace_check(shard_db_peek(sim_shard(target, id), db));
    for (uint32_t id = 0; id < shards; id++) shard_turn_begin(sim_shard(target, id), 0, 0);
    sim_delete(target);
}

static void count_commands(struct play *play) {
    uint32_t rows = command_registry_count(play->sim->registry);
    assert_true(rows <= ROWS_MAX);
    for (uint32_t id = 0; id < play->shards; id++) {
        const struct shard *shard = sim_shard(play->sim, id);
        play->totals->commands += shard->stats.commands;
        for (uint32_t i = 0; i < rows; i++)
            play->totals->done[i] += shard->command_stats[i].calls - shard->command_stats[i].failed;
    }
}

/* Whoever adds a command that writes adds a template for it. */
static void check_all_done(const struct totals *totals) {
    struct sim *sim = sim_new(
        &(struct sim_options){.shards = 1, .mailbox_capacity = 8, .db_count = DBS, .seed = 1, .tables = test_tables});
    for (uint32_t i = 0; i < command_registry_count(sim->registry); i++) {
        const struct command *row = command_at(sim->registry, i)->row;
        bool expected = row->flags & CMD_WRITE && !(row->flags & CMD_INTERNAL);
        if (expected && !totals->done[i]) fail_msg("%s was never done", row->name);
    }
    sim_delete(sim);
}

static void play_round(uint64_t seed, struct totals *totals) {
    struct play play = {.seed = seed, .totals = totals};
    prng_init(&play.prng, seed);
    find_templates(&play);
    play.shards = 1 + (uint32_t)below(&play, 7);
    play.sim = sim_new(&(struct sim_options){
        .shards = play.shards, .mailbox_capacity = 8, .db_count = DBS, .seed = seed, .tables = test_tables});
    for (uint32_t id = 0; id < play.shards; id++) {
        sim_shard(play.sim, id)->effects.on = true;
        buf_init(&play.log[id], play.sim->heap, MEM_CLIENT_IN);
    }
    for (uint32_t i = 0; i < PEERS; i++) play.peers[i] = sim_connect(play.sim, (uint32_t)below(&play, play.shards));
    for (uint32_t i = 0; i < ROUND_OPS; i++) {
        for (uint32_t peer = 0; peer < PEERS; peer++)
            if (below(&play, 2)) say_something(&play, peer);
        for (uint64_t steps = below(&play, 30); steps > 0; steps--) sim_step(play.sim);
        if (below(&play, 40) == 0) sim_advance_ms(play.sim, below(&play, 200));
        take(&play, (uint32_t)below(&play, play.shards));
    }
    for (uint32_t i = 0; i < PEERS; i++)
        if (play.in_multi[i]) say_template(&play, i, SLICE("EXEC"));
    if (!sim_settle(play.sim, 10000000)) {
        sim_explain(play.sim);
        fail_msg("it hangs");
    }
    for (uint32_t id = 0; id < play.shards; id++) take(&play, id);
    uint32_t shards = 1 + (uint32_t)below(&play, 7);
    count_commands(&play);
    replay(&play, shards == play.shards ? shards + 1 : shards);
    for (uint32_t id = 0; id < play.shards; id++) buf_deinit(&play.log[id]);
    for (uint32_t id = 0; id < play.shards; id++) sim_shard(play.sim, id)->effects.on = false;
    sim_delete(play.sim);
}

static void effects_say_all(void **state) {
    (void)state;
    uint64_t rounds = 30, seed = seed_or(1);
    struct totals totals = {0};
    const char *text = getenv("SHERD_ROUNDS");
    if (text) rounds = strtoull(text, NULL, 0);
    if (seed_given()) rounds = 1;
    for (uint64_t i = 0; i < rounds; i++) {
        fprintf(stderr, "seed %" PRIu64 "\r", seed + i);
        play_round(seed + i, &totals);
    }
    fprintf(stderr,
            "%" PRIu64 " seeds: %" PRIu64 " commands, %" PRIu64 " effects, %" PRIu64 " transactions, %" PRIu64
            " keys\n",
            rounds, totals.commands, totals.effects, totals.transactions, totals.keys);
    if (rounds >= 20) check_all_done(&totals);
    assert_true(totals.effects > 100 * rounds && totals.keys > 5 * rounds);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(effects_say_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
