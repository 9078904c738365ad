/* Chatter: commands made from templates. */
#include "tests/support/chatter.h"
#include "shards/dump.h"
#include "shards/exec.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KEYS 5 /* of each type */
#define MANY 1500
#define DBS  CHATTER_DBS

/* --- the connection's command, which lives in net/ in production --- */

static void cmd_select(struct exec *x) {
    int64_t db;
    if (!exec_int_range(x, 1, 0, x->shard->db_count - 1, &db, NULL)) return;
    x->client->db = (uint16_t)db;
    reply_ok(x);
}

const struct command chatter_commands[] = {
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
/* Words of one letter stand for something: s l e z h y a key that usually holds a string, list, set, sorted set, hash,
 * HyperLogLog; x a stream, N an id of an entry or near one; k any key; V value, M member, I integer, F float, T
 * milliseconds, A Unix seconds, Q Unix milliseconds, D database, P payload, X index. "*M" many members, "*V" many
 * values, "*S" many scores with members, "*P" many pairs. */
static const char *const templates[] = {"SET s V",
                                        "SET s V",
                                        "SET s I",
                                        "SET s V EX 1",
                                        "SET s V PX T",
                                        "SET s V PXAT Q",
                                        "SET s V EXAT A",
                                        "SET s V KEEPTTL",
                                        "SET s V NX",
                                        "SET s V XX GET",
                                        "SET s V NX PX T",
                                        "SET s V IFEQ V",
                                        "SET s I IFEQ I PX T",
                                        "BITOP DIFF s s s s",
                                        "BITOP ONE s s s s s",
                                        "SETNX s V",
                                        "MSETEX 3 s V s V s V PX T",
                                        "MSETEX 2 s V s V NX EX 1",
                                        "MSETEX 2 s V k V XX KEEPTTL",
                                        "MSETEX 1 s V PXAT Q",
                                        "SETEX s 1 V",
                                        "PSETEX s T V",
                                        "GETSET s V",
                                        "GETDEL s",
                                        "GETEX s PX T",
                                        "GETEX s EX 1",
                                        "GETEX s PXAT Q",
                                        "GETEX s PERSIST",
                                        "GETEX s",
                                        "SET s V IFNE V EX 1",
                                        "SET s V IFDNE 0123456789abcdef",
                                        "DELIFEQ s V",
                                        "DELEX s IFNE V",
                                        "DELEX s",
                                        "APPEND s V",
                                        "SETRANGE s X V",
                                        "SETRANGE s 70000 V",
                                        "INCR s",
                                        "DECR s",
                                        "INCRBY s I",
                                        "DECRBY s I",
                                        "INCRBYFLOAT s F",
                                        "MSET s V s V s V",
                                        "MSET s V k V",
                                        "MSETNX s V s V",
                                        "GET s",
                                        "MGET s s s s",
                                        "STRLEN s",
                                        "SETBIT s I 1",
                                        "SETBIT s X 0",
                                        "SETBIT s 300 1",
                                        "BITFIELD s SET u8 X I INCRBY i5 X 7",
                                        "BITFIELD s OVERFLOW FAIL INCRBY u2 100 1",
                                        "BITFIELD k GET u4 0",
                                        "BITOP AND s s s",
                                        "BITOP NOT s s",
                                        "BITOP XOR s s k",
                                        "PFADD p1 V V",
                                        "PFADD p2 I",
                                        "PFADD p3 M M",
                                        "PFMERGE p1 p2 p3",
                                        "PFMERGE p4 p1",
                                        "PFDEBUG TODENSE p2",
                                        "PFCOUNT p1 p2",
                                        "RPUSH l V V",
                                        "LPUSH l V",
                                        "RPUSHX l V",
                                        "LPUSHX l V V",
                                        "LPOP l",
                                        "RPOP l",
                                        "LPOP l X",
                                        "RPOP l X",
                                        "LSET l X V",
                                        "LINSERT l BEFORE V V",
                                        "LREM l X V",
                                        "LTRIM l X -1",
                                        "LTRIM l 0 X",
                                        "RPUSH l *V",
                                        "LMOVE l l LEFT RIGHT",
                                        "LMOVE l l RIGHT RIGHT",
                                        "RPOPLPUSH l l",
                                        "LMPOP 2 l l LEFT COUNT X",
                                        "LMPOP 3 l l l RIGHT",
                                        "BLPOP l l 1",
                                        "BRPOP l 1",
                                        "BLMPOP 0.03 2 l l LEFT COUNT 2",
                                        "BLMOVE l l LEFT LEFT 2",
                                        "BLMOVE l l RIGHT LEFT 0.5",
                                        "LTRIM l 1 0",
                                        "DEL l l",
                                        "ZREMRANGEBYRANK z 0 -1",
                                        "BRPOPLPUSH l l 3",
                                        "LRANGE l 0 -1",
                                        "SADD e M M",
                                        "SADD e I I I",
                                        "SADD e M",
                                        "SREM e M M",
                                        "SREM e I",
                                        "SPOP e",
                                        "SPOP e X",
                                        "SPOP e 900",
                                        "SMOVE e e M",
                                        "SMOVE e e I",
                                        "SADD e *M",
                                        "SINTERSTORE e e e",
                                        "SUNIONSTORE e e e e",
                                        "SDIFFSTORE e e e",
                                        "SUNIONSTORE e k",
                                        "SMEMBERS e",
                                        "ZADD z F M F M",
                                        "ZADD z I M",
                                        "ZADD z GT CH F M",
                                        "ZADD z NX F M",
                                        "ZADD z XX INCR F M",
                                        "ZINCRBY z F M",
                                        "ZREM z M M",
                                        "ZADD z -0 M",
                                        "ZADD z inf M",
                                        "ZREMRANGEBYRANK z X X",
                                        "ZREMRANGEBYSCORE z -1 F",
                                        "ZREMRANGEBYLEX z - [m5",
                                        "ZPOPMIN z",
                                        "ZPOPMAX z X",
                                        "ZMPOP 2 z z MIN COUNT X",
                                        "BZPOPMIN z z 1",
                                        "BZPOPMAX z 0.02",
                                        "BZMPOP 0.02 2 z z MAX",
                                        "ZADD z *S",
                                        "ZUNIONSTORE z 2 z e",
                                        "ZUNIONSTORE z 3 z z z WEIGHTS 1 F 0.5 AGGREGATE MAX",
                                        "ZINTERSTORE z 2 z z",
                                        "ZDIFFSTORE z 2 z z",
                                        "ZRANGESTORE z z 0 X",
                                        "ZRANGESTORE z z -inf F BYSCORE",
                                        "ZRANGE z 0 -1",
                                        "GEOADD z X X M",
                                        "GEOADD z CH 13.361389 38.115556 M 15.087269 37.502669 M",
                                        "GEOADD z NX X X M X X M",
                                        "GEOSEARCHSTORE z z FROMLONLAT X X BYRADIUS 3000 km",
                                        "GEOSEARCHSTORE z z FROMMEMBER M BYBOX 3000 3000 km STOREDIST",
                                        "GEORADIUS z X X 40000 km STORE z",
                                        "GEORADIUS z X X 1 km STOREDIST k",
                                        "GEORADIUSBYMEMBER z M 40000 km COUNT 3 ANY STOREDIST z",
                                        "HSET h M V M V",
                                        "HSET h M I",
                                        "HMSET h M V",
                                        "HSETNX h M V",
                                        "HDEL h M M",
                                        "HINCRBY h M I",
                                        "HINCRBYFLOAT h M F",
                                        "HSET h *P",
                                        "HEXPIRE h 1 FIELDS 2 M M",
                                        "HPEXPIRE h T FIELDS 3 M M M",
                                        "HPEXPIRE h T NX FIELDS 1 M",
                                        "HEXPIREAT h A FIELDS 1 M",
                                        "HPEXPIREAT h Q LT FIELDS 2 M M",
                                        "HPEXPIREAT h 1 FIELDS 2 M M",
                                        "HPERSIST h FIELDS 2 M M",
                                        "HGETEX h PX T FIELDS 2 M M",
                                        "HGETEX h PERSIST FIELDS 2 M M",
                                        "HGETEX h PXAT 1 FIELDS 1 M",
                                        "HSETEX h PX T FIELDS 2 M V M V",
                                        "HSETEX h FNX KEEPTTL FIELDS 1 M V",
                                        "HSETEX h KEEPTTL FIELDS 1 M V",
                                        "HSETEX h EXAT 1 FIELDS 1 M V",
                                        "HGETDEL h FIELDS 2 M M",
                                        "HGETALL h",
                                        "PFADD y M M",
                                        "PFADD y I",
                                        "PFADD y *M",
                                        "PFMERGE y y y",
                                        "PFMERGE y s",
                                        "PFCOUNT y",
                                        "PFCOUNT y y",
                                        "PFDEBUG TODENSE y",
                                        "DEL k",
                                        "DEL k k k",
                                        "UNLINK k k",
                                        "EXPIRE k 1",
                                        "PEXPIRE k T",
                                        "EXPIREAT k A",
                                        "PEXPIREAT k Q",
                                        "PEXPIRE k T NX",
                                        "PEXPIRE k T GT",
                                        "PERSIST k",
                                        "EXPIRE k -1",
                                        "RENAME k k",
                                        "RENAMENX k k",
                                        "RENAME s s",
                                        "RENAME l l",
                                        "RENAME z z",
                                        "COPY k k",
                                        "COPY k k REPLACE",
                                        "COPY k k DB D REPLACE",
                                        "COPY h h REPLACE",
                                        "MOVE k D",
                                        "RESTORE k 0 P",
                                        "RESTORE k T P REPLACE",
                                        "RESTORE k Q P REPLACE ABSTTL",
                                        "SORT l ALPHA STORE l",
                                        "SORT e ALPHA DESC LIMIT X X STORE k",
                                        "SORT l BY s* GET # GET h*->M ALPHA STORE l",
                                        "SORT z BY nosort DESC STORE l",
                                        "SORT_RO k ALPHA BY s*",
                                        "TOUCH k",
                                        "RANDOMKEY",
                                        "DBSIZE",
                                        "EXISTS k k",
                                        "XADD x * f V",
                                        "XADD x * f V g M",
                                        "XADD x * f V",
                                        "XADD x MAXLEN ~ X * f V g V",
                                        "XADD x MAXLEN 5 * f V",
                                        "XADD x MINID ~ N * f V",
                                        "XADD x NOMKSTREAM MINID = N * f V",
                                        "XADD x 1-* f V",
                                        "XADD x MAXLEN ~ 3 LIMIT 0 * f V",
                                        "XDEL x N N N",
                                        "XTRIM x MAXLEN X",
                                        "XTRIM x MAXLEN ~ X",
                                        "XTRIM x MINID ~ N",
                                        "XSETID x 9000-1 ENTRIESADDED 300 MAXDELETEDID 2",
                                        "XSETID x 99999999999999-1",
                                        "XGROUP CREATE x one 0 MKSTREAM",
                                        "XGROUP CREATE x two $ ENTRIESREAD 3",
                                        "XGROUP SETID x one N",
                                        "XGROUP DESTROY x two",
                                        "XGROUP CREATECONSUMER x one M",
                                        "XGROUP CREATE x one 0 MKSTREAM",
                                        "XGROUP CREATE x one 0 MKSTREAM",
                                        "XGROUP DELCONSUMER x one M",
                                        "XGROUP DELCONSUMER x one M",
                                        "XREADGROUP GROUP one M COUNT X STREAMS x >",
                                        "XREADGROUP GROUP one M STREAMS x 0",
                                        "XREADGROUP GROUP one M NOACK COUNT 2 STREAMS x >",
                                        "XREADGROUP GROUP one M COUNT 2 STREAMS x x > >",
                                        "XREADGROUP GROUP one M BLOCK 100 COUNT 3 STREAMS x x > >",
                                        "XREADGROUP GROUP two M BLOCK 200 STREAMS x >",
                                        "XREAD COUNT 2 BLOCK 100 STREAMS x x $ N",
                                        "XREAD STREAMS x x x 0 N N",
                                        "XACK x one N N N",
                                        "XCLAIM x one M 0 N N N",
                                        "XCLAIM x one M T N N FORCE",
                                        "XCLAIM x one M 0 N FORCE RETRYCOUNT X JUSTID LASTID N",
                                        "XAUTOCLAIM x one M 0 0 COUNT 3",
                                        "XAUTOCLAIM x one M T N JUSTID",
                                        "XPENDING x one",
                                        "XINFO STREAM x FULL",
                                        "XRANGE x - +",
                                        "XLEN x",
                                        "RENAME x x",
                                        "COPY x x REPLACE",
                                        "MOVE x D",
                                        "DEL x",
                                        "KEYS *"};
static const char *const rare[] = {"FLUSHDB", "FLUSHDB ASYNC", "FLUSHALL", "SWAPDB 0 1", "SWAPDB D D", "SWAPDB 1 2"};

static uint64_t below(struct chatter *chatter, uint64_t n) {
    return prng_below(&chatter->prng, n);
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
static void add_payload(struct chatter *chatter, struct buf *args, uint32_t *count) {
    struct shard *shard = sim_shard(chatter->sim, (uint32_t)below(chatter, sim_shard_count(chatter->sim)));
    const struct keyspace *keys = shard_db_peek(shard, (uint32_t)below(chatter, DBS));
    struct entry *entry = keys ? keyspace_random((struct keyspace *)(uintptr_t)keys, &chatter->prng) : NULL;
    struct buf payload;
    buf_init(&payload, sim_heap(chatter->sim), MEM_CLIENT_IN);
    if (entry)
        dump_write(&payload, entry);
    else
        buf_append_literal(&payload, "broken");
    add_arg(args, count, buf_slice(&payload));
    buf_deinit(&payload);
}

static void add_many(struct chatter *chatter, struct buf *args, uint32_t *count, char what) {
    uint64_t n = 1 + below(chatter, MANY);
    bool numbers = below(chatter, 3) == 0;
    for (uint64_t i = 0; i < n; i++) {
        if (what == 'S') add_argf(args, count, "%" PRIu64 ".25", below(chatter, 1000));
        if (numbers)
            add_argf(args, count, "%" PRIu64, below(chatter, 100000));
        else
            add_argf(args, count, "member-of-some-length-%" PRIu64, below(chatter, 100000));
        if (what == 'P') add_argf(args, count, "value %" PRIu64, below(chatter, 100));
    }
}

static void add_value(struct chatter *chatter, struct buf *args, uint32_t *count) {
    if (below(chatter, 3) > 0) {
        add_argf(args, count, "v%" PRIu64, below(chatter, 6));
        return;
    }
    char bytes[3000];
    size_t len = (size_t)below(chatter, below(chatter, 8) ? 60 : sizeof bytes);
    for (size_t i = 0; i < len; i++) bytes[i] = (char)below(chatter, 256);
    add_arg(args, count, slice_of(bytes, len));
}

static void add_word(struct chatter *chatter, struct buf *args, uint32_t *count, const char *word, size_t len) {
    static const char families[] = "slezhyx";
    uint64_t now_ms = sim_now_ms(chatter->sim);
    if (len == 2 && word[0] == '*') {
        add_many(chatter, args, count, word[1]);
        return;
    }
    char what = len == 1 ? word[0] : 0;
    if (what == 'k' || (what && strchr(families, what) && below(chatter, 30) == 0)) what = families[below(chatter, 7)];
    if (what && strchr(families, what)) {
        add_argf(args, count, "%c%" PRIu64, what, below(chatter, KEYS));
        return;
    }
    switch (what) {
    case 'V': add_value(chatter, args, count); break;
    case 'M': add_argf(args, count, "m%" PRIu64, below(chatter, 12)); break;
    case 'I': add_argf(args, count, "%d", (int)below(chatter, 40) - 20); break;
    case 'F':
        add_argf(args, count, "%.17g", (double)((int)below(chatter, 4000) - 2000) / (double)(1 + below(chatter, 9)));
        break;
    case 'T': add_argf(args, count, "%" PRIu64, 1 + below(chatter, 400)); break;
    case 'A': add_argf(args, count, "%" PRIu64, now_ms / 1000 + below(chatter, 3)); break;
    case 'Q': add_argf(args, count, "%" PRIu64, now_ms + below(chatter, 400) - 50); break;
    case 'D': add_argf(args, count, "%" PRIu64, below(chatter, DBS)); break;
    case 'X': add_argf(args, count, "%" PRIu64, below(chatter, 8)); break;
    case 'N':
        add_argf(args, count, "%" PRIu64 "-%" PRIu64,
                 below(chatter, 2) ? now_ms - below(chatter, MIN(now_ms, (uint64_t)3000) + 1) : 1, below(chatter, 6));
        break;
    case 'P': add_payload(chatter, args, count); break;
    default: add_arg(args, count, slice_of(word, len)); break;
    }
}

static void say_template(struct chatter *chatter, uint32_t peer, const char *template) {
    struct buf args, command;
    uint32_t count = 0;
    buf_init(&args, sim_heap(chatter->sim), MEM_CLIENT_IN);
    buf_init(&command, sim_heap(chatter->sim), MEM_CLIENT_IN);
    while (*template) {
        size_t len = strcspn(template, " ");
        add_word(chatter, &args, &count, template, len);
        template += len + (template[len] == ' ');
    }
    resp_array(&command, count);
    buf_append_slice(&command, buf_slice(&args));
    sim_say(chatter->peers[peer], command.data, command.len);
    buf_deinit(&args);
    buf_deinit(&command);
}

static const char *random_template(struct chatter *chatter) {
    if (below(chatter, chatter->rare) == 0) return rare[below(chatter, ARRAY_LEN(rare))];
    if (below(chatter, 25) == 0) return "SELECT D";
    /* What makes values large is half as frequent. */
    const char *template = templates[below(chatter, ARRAY_LEN(templates))];
    return strchr(template, '*') && below(chatter, 2) ? "SET s V" : template;
}

void chatter_say_something(struct chatter *chatter, uint32_t peer) {
    if (chatter->in_multi[peer]) {
        bool ends = below(chatter, 4) == 0;
        say_template(chatter, peer, !ends ? random_template(chatter) : below(chatter, 12) ? "EXEC" : "DISCARD");
        chatter->in_multi[peer] = !ends;
        return;
    }
    if (below(chatter, 12) == 0) say_template(chatter, peer, below(chatter, 6) ? "WATCH k k" : "UNWATCH");
    chatter->in_multi[peer] = below(chatter, 7) == 0;
    say_template(chatter, peer, chatter->in_multi[peer] ? "MULTI" : random_template(chatter));
}

void chatter_init(struct chatter *chatter, struct sim *sim, uint64_t seed) {
    *chatter = (struct chatter){.sim = sim, .rare = 150};
    prng_init(&chatter->prng, seed);
    for (uint32_t i = 0; i < CHATTER_PEERS; i++)
        chatter->peers[i] = sim_connect(sim, (uint32_t)below(chatter, sim_shard_count(sim)));
}

void chatter_end_transactions(struct chatter *chatter) {
    for (uint32_t i = 0; i < CHATTER_PEERS; i++) {
        if (chatter->in_multi[i]) say_template(chatter, i, "EXEC");
        chatter->in_multi[i] = false;
    }
}
