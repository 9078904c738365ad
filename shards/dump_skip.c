/* Dump, passed over: the layout of each type as a program of one letter per thing, and the machine that runs it.
 *
 *      s   a string, in whichever encoding           l   a length
 *      1, 4, 8, w   so many bytes (w: 16)            t   a score as text: a byte of length, or of 253 to 255 alone
 *      ( ... )   a length, and so many times what stands between
 *      m   what a module wrote: pairs of a kind and a value, up to kind 0
 *
 * All that the machine remembers is its place in the program, how often its loops go round yet, and how many bytes it
 * is still to pass. So it can stop wherever the input does. A loop takes at least a byte a round, so that a large count
 * costs no more than there is input. */
#include "shards/dump_skip.h"
#include "core/assert.h"
#include "shards/dump_priv.h"

enum { SCORE_SPECIAL = 253 };
enum { MODULE_EOF, MODULE_SIGNED, MODULE_UNSIGNED, MODULE_FLOAT, MODULE_DOUBLE, MODULE_STRING };

/* Types that are only passed over. */
enum {
    MODULE_OLD = 6,
    MODULE = 7,
};

static const struct layout {
    const char *name, *program;
} layouts[] = {
    [RDB_STRING] = {"string", "s"},
    [RDB_LIST] = {"list", "(s)"},
    [RDB_SET] = {"set", "(s)"},
    [RDB_ZSET] = {"sorted set", "(st)"},
    [RDB_HASH] = {"hash", "(ss)"},
    [RDB_ZSET_2] = {"sorted set", "(s8)"},
    [MODULE_OLD] = {"module value of a Redis before 4.0", NULL},
    [MODULE] = {"module value", "lm"},
    [RDB_HASH_ZIPMAP] = {"hash", "s"},
    [RDB_LIST_ZIPLIST] = {"list", "s"},
    [RDB_SET_INTSET] = {"set", "s"},
    [RDB_ZSET_ZIPLIST] = {"sorted set", "s"},
    [RDB_HASH_ZIPLIST] = {"hash", "s"},
    [RDB_LIST_QUICKLIST] = {"list", "(s)"},
    /* Nodes; length, last id; groups: name, last id, pending entries, consumers with theirs. */
    [RDB_STREAM] = {"stream", "(ss)lll(sll(w8l)(s8(w)))"},
    [RDB_HASH_LISTPACK] = {"hash", "s"},
    [RDB_ZSET_LISTPACK] = {"sorted set", "s"},
    [RDB_LIST_QUICKLIST_2] = {"list", "(ls)"},
    /* Besides: first id, largest id deleted, entries ever added; entries read by each group. */
    [RDB_STREAM_2] = {"stream", "(ss)llllllll(slll(w8l)(s8(w)))"},
    [RDB_SET_LISTPACK] = {"set", "s"},
    [RDB_STREAM_3] = {"stream", "(ss)llllllll(slll(w8l)(s88(w)))"}, /* and when a consumer was last active */
    [RDB_HASH_TIMED_OLD] = {"hash with deadlines of fields", "(lss)"},
    [RDB_HASH_LISTPACK_TIMED_OLD] = {"hash with deadlines of fields", "s"},
    [RDB_HASH_TIMED] = {"hash with deadlines of fields", "8(lss)"},
    [RDB_HASH_LISTPACK_TIMED] = {"hash with deadlines of fields", "8s"},
};

const char *dump_type_name(unsigned type) {
    return type < ARRAY_LEN(layouts) ? layouts[type].name : NULL;
}

bool dump_type_is_counted(unsigned type) {
    return dump_type_is_built(type) && layouts[type].program[0] == '(';
}

bool dump_type_is_built(unsigned type) {
    return type != MODULE_OLD && type != MODULE && dump_type_name(type) != NULL;
}

void dump_skip_program(struct dump_skip *skip, const char *program) {
    *skip = (struct dump_skip){.at = program};
}

bool dump_skip_object(struct dump_skip *skip, unsigned type) {
    if (type >= ARRAY_LEN(layouts) || !layouts[type].program) return false;
    dump_skip_program(skip, layouts[type].program);
    return true;
}

/* --- one thing ---
 * Each takes it from rest, or, when it is cut short, says MORE and takes nothing. */

static enum dump_skipped take_length(struct slice *rest, uint64_t *len) {
    struct slice ahead = *rest;
    if (dump_read_length(&ahead, len)) {
        *rest = ahead;
        return DUMP_SKIP_DONE;
    }
    /* A length is cut short when it lacks bytes, and no length when it has them. */
    if (rest->len == 0) return DUMP_SKIP_MORE;
    unsigned first = (unsigned char)rest->ptr[0];
    bool cut = first < 0x80 || first == 0x80 || first == 0x81;
    return cut ? DUMP_SKIP_MORE : DUMP_SKIP_BROKEN;
}

/* A string: its bytes are still to be passed. */
static enum dump_skipped take_string(struct dump_skip *skip, struct slice *rest) {
    uint64_t packed, len;
    if (rest->len == 0) return DUMP_SKIP_MORE;
    int special = dump_string_special((unsigned char)rest->ptr[0]);
    if (special == DUMP_STRING_PLAIN) return take_length(rest, &skip->pass);
    if (special != DUMP_STRING_LZF) {
        *rest = slice_of(rest->ptr + 1, rest->len - 1);
        skip->pass = (uint64_t)special;
        return DUMP_SKIP_DONE;
    }
    struct slice ahead = slice_of(rest->ptr + 1, rest->len - 1);
    enum dump_skipped head = take_length(&ahead, &packed);
    if (head == DUMP_SKIP_DONE) head = take_length(&ahead, &len);
    if (head != DUMP_SKIP_DONE) return head;
    *rest = ahead;
    skip->pass = packed;
    return DUMP_SKIP_DONE;
}

static enum dump_skipped take_score(struct dump_skip *skip, struct slice *rest) {
    unsigned len;
    if (!dump_take_byte(rest, &len)) return DUMP_SKIP_MORE;
    skip->pass = len >= SCORE_SPECIAL ? 0 : len;
    return DUMP_SKIP_DONE;
}

/* A kind and its value; *ended: it was the last kind, which has none. */
static enum dump_skipped take_module(struct dump_skip *skip, struct slice *rest, bool *ended) {
    struct slice ahead = *rest;
    uint64_t kind, number;
    enum dump_skipped result = take_length(&ahead, &kind);
    if (result != DUMP_SKIP_DONE) return result;
    *ended = kind == MODULE_EOF;
    switch (kind) {
    case MODULE_EOF: break;
    case MODULE_SIGNED:
    case MODULE_UNSIGNED: result = take_length(&ahead, &number); break;
    case MODULE_FLOAT: skip->pass = 4; break;
    case MODULE_DOUBLE: skip->pass = 8; break;
    case MODULE_STRING: result = take_string(skip, &ahead); break;
    default: return DUMP_SKIP_BROKEN;
    }
    if (result == DUMP_SKIP_DONE) *rest = ahead;
    return result;
}

/* --- the program --- */

/* Behind the loop that begins here. Loops nest, so brackets are counted. */
static const char *behind_loop(const char *at) {
    unsigned depth = 1;
    for (; depth > 0; at++) depth = *at == '(' ? depth + 1 : *at == ')' ? depth - 1 : depth;
    return at;
}

static enum dump_skipped enter_loop(struct dump_skip *skip, struct slice *rest) {
    uint64_t count;
    enum dump_skipped result = take_length(rest, &count);
    if (result != DUMP_SKIP_DONE) return result;
    if (count == 0) {
        skip->at = behind_loop(skip->at + 1);
        return result;
    }
    ASSERT(skip->loops < DUMP_SKIP_LOOPS);
    skip->at++;
    skip->loop[skip->loops].begin = skip->at;
    skip->loop[skip->loops++].left = count;
    return result;
}

static void close_loop(struct dump_skip *skip) {
    if (--skip->loop[skip->loops - 1].left > 0) {
        skip->at = skip->loop[skip->loops - 1].begin;
    } else {
        skip->loops--;
        skip->at++;
    }
}

/* One letter. */
static enum dump_skipped take_one(struct dump_skip *skip, struct slice *rest) {
    uint64_t number;
    bool passed = true; /* the letter */
    enum dump_skipped result = DUMP_SKIP_DONE;
    switch (*skip->at) {
    case 's': result = take_string(skip, rest); break;
    case 'l': result = take_length(rest, &number); break;
    case 't': result = take_score(skip, rest); break;
    case 'm': result = take_module(skip, rest, &passed); break;
    case 'w': skip->pass = 16; break;
    case '(': return enter_loop(skip, rest);
    case ')': close_loop(skip); return result;
    default: skip->pass = (uint64_t)(*skip->at - '0'); break;
    }
    if (result == DUMP_SKIP_DONE && passed) skip->at++;
    return result;
}

enum dump_skipped dump_skip_some(struct dump_skip *skip, struct slice *rest) {
    for (;;) {
        size_t len = MIN(skip->pass, (uint64_t)rest->len);
        if (len > 0) *rest = slice_of(rest->ptr + len, rest->len - len);
        skip->pass -= len;
        if (skip->pass > 0) return DUMP_SKIP_MORE;
        if (*skip->at == '\0') return DUMP_SKIP_DONE;
        enum dump_skipped result = take_one(skip, rest);
        if (result != DUMP_SKIP_DONE) return result;
    }
}
