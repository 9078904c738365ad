/* The checker itself: histories written by hand, some that a single server could have produced and some that none
 * could.
 *
 * A history is text, one event a line; clients are numbers, keys the letters a to h:
 *
 *    1> mset a 1 b 1     client 1 sends; `1> { ... ; ... }` is MULTI to EXEC
 *    1< +OK              and is answered: +simple, :integer, -error up to |, nil, *nil, [elements], the rest are bulk
 *    1x                  client 1 vanished: what it had under way can have no effect from here on
 *    1!                  the same, and it was a crash that closed it
 *    @ 25                it is 25 ms
 *    ---                 nothing is under way but clients that wait
 *
 * A client with several commands under way is answered in their order. */
#include "core/num.h"
#include "tests/sim/check.h"
#include "tests/sim/model_priv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PENDING_MAX 16
#define NODES_MAX   100000

struct script {
    struct model *model;
    struct history *history;
    uint32_t now_ms;
    uint32_t watched[MODEL_CLIENTS];
    uint32_t pending[MODEL_CLIENTS][PENDING_MAX];
    uint32_t pending_count[MODEL_CLIENTS];
};

static const char *const names[MODEL_KEYS] = {"a", "b", "c", "d", "e", "f", "g", "h"};

/* --- commands --- */

struct words {
    struct slice all[MODEL_ARGC_MAX];
    uint32_t count;
};

static struct words split(struct slice text) {
    struct words words = {.count = 0};
    for (size_t at = 0; at < text.len;) {
        size_t end = at;
        while (end < text.len && text.ptr[end] != ' ') end++;
        if (end > at) words.all[words.count++] = slice_of(text.ptr + at, end - at);
        at = end + 1;
    }
    return words;
}

static uint32_t pattern_words(const char *pattern) {
    uint32_t count = *pattern != '\0';
    for (; *pattern; pattern++) count += *pattern == ' ';
    return count;
}

static bool take_key(struct model_command *command, struct slice word) {
    if (word.len != 1 || word.ptr[0] < 'a' || word.ptr[0] > 'h') return false;
    command->keys[command->key_count++] = (uint8_t)(word.ptr[0] - 'a');
    return true;
}

/* One word of the pattern against one of the text. */
static bool take_word(struct script *script, struct model_command *command, struct slice pattern, struct slice word) {
    int64_t number;
    switch (pattern.len == 1 ? pattern.ptr[0] : ' ') {
    case 'K': return take_key(command, word);
    case 'V': command->values[command->value_count++] = value_of_text(model_values(script->model), word); return true;
    case 'N':
    case 'A': return num_parse_i64(word, &command->number);
    case '#':
    case 'S': return num_parse_i64(word, &number);
    case 'F':
    case 'T': {
        bool right = slice_equal(word, SLICE("right"));
        *(pattern.ptr[0] == 'F' ? &command->from_right : &command->to_right) = right;
        return right || slice_equal(word, SLICE("left"));
    }
    default: return slice_equal(pattern, word);
    }
}

/* K*, KV* and V* take all words but those that the rest of the pattern needs. */
static bool matches(struct script *script, struct model_command *command, const struct words *words) {
    const char *pattern = model_rows[command->code].words;
    uint32_t at = 1;
    while (*pattern) {
        size_t len = strcspn(pattern, " ");
        struct slice part = slice_of(pattern, len);
        pattern += len + (pattern[len] == ' ');
        bool many = len > 1 && part.ptr[len - 1] == '*';
        uint32_t rest = pattern_words(pattern), end = at + 1;
        if (many && words->count >= rest) end = words->count - rest;
        if (end > words->count) return false;
        for (; at < end; at++) {
            struct slice one = slice_of(part.ptr, 1);
            if (slice_equal(part, SLICE("KV*")) && (at & 1) == 0) one = SLICE("V");
            if (!take_word(script, command, many ? one : part, words->all[at])) return false;
        }
    }
    return at == words->count;
}

static struct model_command parse_command(struct script *script, struct slice text) {
    struct words words = split(text);
    for (int code = 0; code < MODEL_CODES; code++) {
        struct model_command command = {.code = (uint8_t)code};
        if (!slice_equal(words.all[0], slice_of_cstr(model_rows[code].name))) continue;
        if (matches(script, &command, &words)) return command;
    }
    fail_msg("no such command: %.*s", (int)text.len, text.ptr);
    return (struct model_command){0};
}

static void note_watch(struct script *script, uint8_t client, const struct invocation *invocation) {
    const struct model_command *command = &invocation->commands[0];
    if (invocation->transaction || command->code == DO_UNWATCH || command->code == DO_DISCARD) {
        script->watched[client] = 0;
    } else if (command->code == DO_WATCH) {
        for (uint32_t i = 0; i < command->key_count; i++) script->watched[client] |= 1u << command->keys[i];
    }
}

static void send(struct script *script, uint8_t client, struct slice text) {
    struct model_command commands[MODEL_ARGS];
    struct invocation invocation = {.client = client,
                                    .commands = commands,
                                    .shard = -1,
                                    .now_ms = script->now_ms,
                                    .transaction = text.ptr[0] == '{'};
    if (invocation.transaction) {
        text = slice_of(text.ptr + 1, text.len - 2);
        invocation.watched = script->watched[client];
    }
    while (text.len) {
        const char *end = memchr(text.ptr, ';', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        if (split(slice_of(text.ptr, len)).count)
            commands[invocation.count++] = parse_command(script, slice_of(text.ptr, len));
        len += end != NULL;
        text = slice_of(text.ptr + len, text.len - len);
    }
    script->pending[client][script->pending_count[client]++] = history_invoke(script->history, &invocation);
    note_watch(script, client, &invocation);
}

/* --- replies --- */

struct reply {
    char bytes[1024];
    size_t len;
};

static void add(struct reply *reply, const char *format, ...) PRINTF_LIKE(2, 3);
static void add(struct reply *reply, const char *format, ...) {
    va_list list;
    va_start(list, format);
    reply->len += (size_t)vsnprintf(reply->bytes + reply->len, sizeof reply->bytes - reply->len, format, list);
    va_end(list);
    assert_true(reply->len < sizeof reply->bytes);
}

static const char *add_value(struct reply *reply, const char *at) {
    while (*at == ' ') at++;
    if (*at == '[') {
        size_t header = reply->len;
        uint32_t count = 0;
        add(reply, "*0\r\n");
        for (at++; *at != ']'; count++) {
            at = add_value(reply, at);
            while (*at == ' ') at++;
        }
        assert_true(count < 10);
        reply->bytes[header + 1] = (char)('0' + count);
        return at + 1;
    }
    size_t len = strcspn(at, *at == '-' ? "|\n" : " ]\n");
    struct slice word = slice_of(at, len);
    if (slice_equal(word, SLICE("nil")))
        add(reply, "$-1\r\n");
    else if (slice_equal(word, SLICE("*nil")))
        add(reply, "*-1\r\n");
    else if (strchr("+:-", *at))
        add(reply, "%.*s\r\n", (int)len, at);
    else
        add(reply, "$%zu\r\n%.*s\r\n", len, (int)len, at);
    return at + len + (at[len] == '|');
}

static uint32_t take_pending(struct script *script, uint8_t client) {
    assert_true(script->pending_count[client] > 0);
    uint32_t number = script->pending[client][0];
    uint32_t left = --script->pending_count[client];
    memmove(script->pending[client], script->pending[client] + 1, left * sizeof script->pending[client][0]);
    return number;
}

static void become_quiet(struct script *script) {
    history_mark_quiet(script->history);
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        if (!script->pending_count[i]) continue;
        uint32_t number = script->pending[i][0];
        if (history_at(script->history, number)->waits) history_waits(script->history, number);
    }
}

static void play_line(struct script *script, const char *line, size_t len) {
    char text[256];
    assert_true(len < sizeof text);
    memcpy(text, line, len);
    text[len] = '\0';
    if (text[0] == '-') {
        become_quiet(script);
    } else if (text[0] == '@') {
        script->now_ms = (uint32_t)strtoul(text + 1, NULL, 10);
    } else {
        char *rest;
        uint8_t client = (uint8_t)strtoul(text, &rest, 10);
        struct reply reply = {.len = 0};
        switch (*rest++) {
        case '>': send(script, client, slice_of_cstr(rest + strspn(rest, " "))); break;
        case '<':
            add_value(&reply, rest);
            history_answer(script->history, take_pending(script, client), slice_of(reply.bytes, reply.len),
                           script->now_ms);
            break;
        case 'x':
            while (script->pending_count[client])
                history_close(script->history, take_pending(script, client), script->now_ms);
            break;
        case '!':
            while (script->pending_count[client])
                history_lose(script->history, take_pending(script, client), script->now_ms);
            break;
        default: fail_msg("what is this: %s", text);
        }
    }
}

static void play(const char *text, enum check_verdict expected) {
    const char *whole = text;
    struct script script = {.model = model_new(names, MODEL_KEYS, 1000), .now_ms = 1};
    script.history = history_new(script.model);
    while (*text) {
        size_t len = strcspn(text, "\n");
        play_line(&script, text, len);
        text += len + (text[len] == '\n');
    }
    struct check_result result = check_history(script.history, NODES_MAX, NULL);
    if (result.verdict != expected) {
        fprintf(stderr, "%s\n", whole);
        (void)check_history(script.history, NODES_MAX, stderr);
    }
    assert_int_equal(result.verdict, expected);
    history_delete(script.history);
    model_delete(script.model);
}

#define ACCEPTED(text) play(text, CHECK_SERIALISABLE)
#define REJECTED(text) play(text, CHECK_VIOLATION)

/* --- cases --- */

static void order_of_time(void **state) {
    (void)state;
    ACCEPTED("1> set a 1\n1< +OK\n2> get a\n2< 1");
    REJECTED("1> set a 1\n1< +OK\n2> get a\n2< nil");                 /* stale */
    ACCEPTED("1> set a 1\n2> get a\n2< nil\n1< +OK\n2> get a\n2< 1"); /* they overlap: either */
    ACCEPTED("1> set a 1\n2> get a\n2< 1\n1< +OK");
    REJECTED("1> set a 1\n2> get a\n2< 1\n2> get a\n2< nil\n1< +OK"); /* back in time */
    REJECTED("1> set a 1\n2> get a\n3> get a\n2< 1\n4> get a\n4< nil\n3< nil\n1< +OK");
    REJECTED("1> get a\n1< 1\n2> set a 1\n2< +OK"); /* from the future */
    REJECTED("1> set a 1\n1< +OK\n---\n2> set a 2\n3> set a 3\n2< +OK\n3< +OK\n---\n1> get a\n1< 1");
}

static void torn_reads(void **state) {
    (void)state;
    ACCEPTED("1> mset a 1 b 1\n2> mget a b\n2< [1 1]\n1< +OK");
    ACCEPTED("1> mset a 1 b 1\n2> mget a b\n2< [nil nil]\n1< +OK");
    REJECTED("1> mset a 1 b 1\n2> mget a b\n2< [1 nil]\n1< +OK");
    REJECTED("1> mset a 1 b 1\n2> mget a b\n2< [nil 1]\n1< +OK");
    /* not torn as such, but two readers disagree on the order of two writers */
    REJECTED("1> set a 1\n2> set b 1\n3> mget a b\n4> mget a b\n3< [1 nil]\n4< [nil 1]\n1< +OK\n2< +OK");
    ACCEPTED("1> set a 1\n2> set b 1\n3> mget a b\n4> mget a b\n3< [1 nil]\n4< [1 1]\n1< +OK\n2< +OK");
    REJECTED("1> mset a 1 b 1\n2> { get a; get b }\n2< [1 nil]\n1< +OK");
    REJECTED("1> mset a 1 b 1\n1< +OK\n---\n1> del a b\n2> exists a b\n2< :1\n1< :2");
    REJECTED("1> mset a 1 b 1\n1< +OK\n1> rename a c\n2> exists a c\n2< :2\n1< +OK");
    REJECTED("1> flushall\n2> mset a 1 b 1\n1< +OK\n2< +OK\n3> dbsize\n3< :1");
}

static void lost_updates(void **state) {
    (void)state;
    ACCEPTED("1> incr a\n2> incr a\n1< :2\n2< :1\n1> get a\n1< 2");
    REJECTED("1> incr a\n2> incr a\n1< :1\n2< :1");
    REJECTED("1> incr a\n2> incr a\n1< :1\n2< :2\n1> get a\n1< 1");
    REJECTED("1> { incr a; incr b }\n2> { incr b; incr a }\n1< [:1 :2]\n2< [:1 :2]"); /* each came first */
    REJECTED("1> msetnx a 1 b 1\n2> msetnx b 2 c 2\n1< :1\n2< :1");
    REJECTED("1> msetnx a 1 b 1\n2> msetnx b 2 c 2\n1< :0\n2< :0");
    ACCEPTED("1> msetnx a 1 b 1\n2> msetnx b 2 c 2\n1< :0\n2< :1");
    REJECTED("1> rpush a x\n1< :1\n2> lmove a b left left\n3> lmove a c left left\n2< x\n3< x");
}

static void pipelines(void **state) {
    (void)state;
    /* one client's commands on different keys overlap, those on one key do not */
    ACCEPTED("1> set a 1\n1> set b 1\n2> mget a b\n2< [nil 1]\n1< +OK\n1< +OK");
    REJECTED("1> set a 1\n1> set a 2\n1< +OK\n1< +OK\n2> get a\n2< 1");
    REJECTED("1> set a 1\n1> mset a 2 b 2\n2> mget a b\n2< [1 2]\n1< +OK\n1< +OK");
    REJECTED("1> set a 1\n1> get a\n1< +OK\n1< nil");
    REJECTED("1> watch a\n1> set b 1\n1> unwatch\n1> { set b 2 }\n2> set a 5\n2< +OK\n1< +OK\n1< +OK\n1< +OK\n1< *nil");
}

static void vanished(void **state) {
    (void)state;
    ACCEPTED("1> set a 1\n1x\n2> get a\n2< 1");
    ACCEPTED("1> set a 1\n1x\n2> get a\n2< nil");
    REJECTED("1> set a 1\n1x\n2> get a\n2< nil\n2> get a\n2< 1"); /* it came too late */
    ACCEPTED("1> set a 1\n2> get a\n2< nil\n2> get a\n2< 1\n1x");
    REJECTED("1> mset a 1 b 1\n1x\n2> mget a b\n2< [1 nil]");
    REJECTED("1> set a 1\n1> set a 2\n1x\n2> get a\n2< 2\n2> get a\n2< 1");
    ACCEPTED("1> set a 1\n2> get b\n2< nil\n1x\n2> get b\n2< nil\n2> get a\n2< 1"); /* b does not push it aside */
    ACCEPTED("1> blpop a 0\n2> rpush a x y\n1x\n2< :2\n2> lrange a 0 -1\n2< [y]");
    REJECTED("1> blpop a 0\n1x\n2> rpush a x y\n2< :2\n2> lrange a 0 -1\n2< [y]"); /* it was gone before */
}

static void transactions(void **state) {
    (void)state;
    ACCEPTED("1> watch a\n1< +OK\n1> get a\n1< nil\n1> { set a 1 }\n1< [+OK]");
    REJECTED("1> watch a\n1< +OK\n1> { set a 1 }\n1< *nil"); /* for no reason */
    ACCEPTED("1> watch a\n1< +OK\n2> set a 5\n2< +OK\n1> { set a 1 }\n1< *nil");
    REJECTED("1> watch a\n1< +OK\n2> set a 5\n2< +OK\n1> { set a 1 }\n1< [+OK]"); /* it has to fail */
    REJECTED("1> watch a\n1< +OK\n2> set b 5\n2< +OK\n1> { set a 1 }\n1< *nil");  /* another key */
    ACCEPTED("1> watch a\n2> set a 5\n1< +OK\n2< +OK\n1> { set a 1 }\n1< *nil");
    ACCEPTED("1> watch a\n2> set a 5\n1< +OK\n2< +OK\n1> { set a 1 }\n1< [+OK]");
    ACCEPTED("1> watch a\n1< +OK\n1> set a 2\n1< +OK\n1> { set a 1 }\n1< *nil"); /* by its own hand */
    ACCEPTED("1> watch a\n1< +OK\n2> set a 5\n2< +OK\n1> unwatch\n1< +OK\n1> { set a 1 }\n1< [+OK]");
    REJECTED("1> watch a\n1< +OK\n2> del a\n2< :0\n1> { set a 1 }\n1< *nil"); /* there was nothing to delete */
    ACCEPTED("1> set a 1\n1< +OK\n1> watch a\n1< +OK\n2> flushall\n2< +OK\n1> { set a 1 }\n1< *nil");
    REJECTED("1> watch a\n1< +OK\n2> flushall\n2< +OK\n1> { set a 1 }\n1< *nil");
    ACCEPTED("1> { set a x; incr a; get a }\n1< [+OK -ERR value is not an integer or out of range| x]");
    /* both read 1 and both succeed */
    REJECTED("1> set a 1\n1< +OK\n1> watch a\n2> watch a\n1< +OK\n2< +OK\n1> get a\n2> get a\n1< 1\n2< 1\n"
             "1> { set a 2 }\n2> { set a 2 }\n1< [+OK]\n2< [+OK]");
    ACCEPTED("1> set a 1\n1< +OK\n1> watch a\n2> watch a\n1< +OK\n2< +OK\n1> get a\n2> get a\n1< 1\n2< 1\n"
             "1> { set a 2 }\n2> { set a 2 }\n1< [+OK]\n2< *nil");
}

static void waiting(void **state) {
    (void)state;
    ACCEPTED("1> blpop a 0\n2> rpush a x\n2< :1\n1< [a x]");
    REJECTED("1> blpop a 0\n2> rpush a x\n2< :1\n1< [a y]");
    REJECTED("1> blpop a 0\n2> blpop a 0\n3> rpush a x\n3< :1\n1< [a x]\n2< [a x]"); /* served twice */
    ACCEPTED("1> blpop a 1\n2> rpush a x\n1< *nil\n2< :1");
    REJECTED("2> rpush a x\n2< :1\n1> blpop a 1\n1< *nil"); /* it was there all the time */
    /* keys are taken in their order, unless it waited before */
    REJECTED("2> rpush a x\n2< :1\n2> rpush b y\n2< :1\n1> blpop a b 0\n1< [b y]");
    ACCEPTED("1> blpop a b 0\n2> rpush b y\n2< :1\n2> rpush a x\n2< :1\n1< [b y]");
    REJECTED("2> rpush a x\n2< :1\n1> blpop a b 0\n2> rpush b y\n2< :1\n1< [b y]");
    ACCEPTED(
        "2> rpush a x\n2< :1\n1> blpop a b 0\n3> lpop a\n3< x\n2> rpush b y\n2< :1\n2> rpush a z\n2< :1\n1< [b y]");
    /* in the order in which they came, and nobody in between */
    ACCEPTED("1> blpop a 0\n---\n2> blpop a 0\n---\n3> rpush a x\n3< :1\n1< [a x]");
    REJECTED("1> blpop a 0\n---\n2> blpop a 0\n---\n3> rpush a x\n3< :1\n2< [a x]\n---");
    ACCEPTED("1> blpop a 0\n2> blpop a 0\n---\n3> rpush a x\n3< :1\n2< [a x]");
    ACCEPTED("1> blpop a 0\n---\n2> blpop a 0\n---\n1x\n3> rpush a x\n3< :1\n2< [a x]");
    REJECTED("1> blpop a 0\n---\n3> rpush a x\n3< :1\n3> llen a\n3< :1\n1< [a x]");
    ACCEPTED("1> blpop a 1\n---\n3> rpush a x\n2> lpop a\n3< :1\n2< x\n1< *nil"); /* its time was over just before */
    REJECTED("1> blpop a 1\n---\n3> rpush a x\n2> lpop a\n3< :1\n2< x\n---\n1< *nil");
    ACCEPTED("1> blpop a 0\n3> rpush a x\n2> lpop a\n3< :1\n2< x\n1< *nil"); /* it may have come later */
    ACCEPTED(
        "1> blpop a b 0\n---\n2> blpop b 0\n---\n3> { rpush a x; rpush b y }\n3< [:1 :1]\n1< [b y]\n3> llen a\n3< :1");
    ACCEPTED("1> blpop a b 0\n---\n2> blpop b 0\n---\n3> { rpush a x; rpush b y }\n3< [:1 :1]\n1< [a x]\n2< [b y]");
    REJECTED("1> blpop a b 0\n---\n3> rpush b y\n3< :1\n3> exists b\n3< :1\n---");
    ACCEPTED("1> blmove a b left right 0\n---\n2> blpop b 0\n---\n3> rpush a x\n3< :1\n2< [b x]\n1< x");
    ACCEPTED("1> blpop a 0\n---\n3> { rpush a x; lpop a }\n3< [:1 x]\n3> exists a\n3< :0");
    ACCEPTED("1> blmove a b left right 0\n2> rpush a x\n2< :1\n1< x\n2> lrange b 0 -1\n2< [x]");
    REJECTED("1> blmove a b left right 0\n2> rpush a x\n2< :1\n3> exists a b\n3< :2\n1< x");
    ACCEPTED("1> blmpop 0 2 a b left count 2\n2> rpush b x y z\n2< :3\n1< [b [x y]]\n2> lrange b 0 -1\n2< [z]");
    ACCEPTED("1> rpush a x y z\n1< :3\n1> lmove a a left right\n1< x\n1> lrange a 0 -1\n1< [y z x]\n"
             "1> lmove a a right left\n1< x\n1> lrange a 0 -1\n1< [x y z]");
    ACCEPTED("1> { blpop a 0; blmove a b left left 0 }\n1< [*nil nil]");
}

/* What was sent later may be kept without it, on another shard. */
static void crashes(void **state) {
    (void)state;
    ACCEPTED("1> mset a 1 b 1\n1> set c 1\n1!\n2> mget a b c\n2< [nil nil 1]");
    REJECTED("1> mset a 1 b 1\n1> set c 1\n1!\n2> mget a b c\n2< [1 nil nil]");
    REJECTED("1> set a 1\n1> set a 2\n1!\n2> get a\n2< 2\n2> get a\n2< 1");
    /* Also when it is known to have waited: what served it is lost, too. */
    ACCEPTED("2> rpush b x\n2< :1\n1> blpop a 0\n---\n1> blpop b 0\n1!\n2> llen b\n2< :0");
    REJECTED("2> rpush b x y\n2< :2\n1> blpop a 0\n---\n1> blpop b 0\n1!\n2> llen b\n2< :0");
}

static void deadlines(void **state) {
    (void)state;
    ACCEPTED("1> set a 1 pxat 10\n1< +OK\n@ 9\n1> get a\n1< 1\n@ 10\n1> get a\n1< nil");
    REJECTED("1> set a 1 pxat 10\n1< +OK\n@ 9\n1> get a\n1< nil");
    REJECTED("1> set a 1 pxat 10\n1< +OK\n@ 10\n1> get a\n1< 1");
    ACCEPTED("1> set a 1 pxat 10\n1< +OK\n@ 9\n1> get a\n@ 12\n1< 1");
    ACCEPTED("1> set a 1 pxat 10\n1< +OK\n@ 9\n1> get a\n@ 12\n1< nil");
    REJECTED("1> set a 1 pxat 10\n1< +OK\n@ 9\n1> get a\n2> get a\n@ 12\n1< nil\n3> get a\n3< 1\n2< 1");
    ACCEPTED("1> set a 1 px 5\n@ 3\n1< +OK\n@ 6\n1> get a\n1< 1\n@ 9\n1> get a\n1< nil"); /* 6 to 8 */
    REJECTED("1> set a 1 px 5\n@ 3\n1< +OK\n@ 8\n1> get a\n1< 1");
    ACCEPTED("1> set a 1 pxat 10\n1< +OK\n1> watch a\n1< +OK\n@ 11\n1> { set b 1 }\n1< *nil");
    REJECTED("1> set a 1 pxat 10\n1< +OK\n1> watch a\n1< +OK\n@ 11\n1> { set b 1 }\n1< [+OK]");
    REJECTED("1> set a 1 pxat 10\n1< +OK\n@ 11\n1> watch a\n1< +OK\n1> { set b 1 }\n1< *nil"); /* it was gone before */
    ACCEPTED("1> set a 1 pxat 10\n1< +OK\n1> rename a b\n1< +OK\n1> pexpiretime b\n1< :1010\n@ 10\n1> get b\n1< nil");
    ACCEPTED("1> rpush a x\n1< :1\n1> pexpireat a 9\n1< :1\n1> lmove a a left right\n1< x\n1> pexpiretime a\n1< :1009");
    ACCEPTED("@ 5\n1> { set a 1 pxat 4; msetnx a 2 }\n1< [+OK :1]"); /* past at once */
    REJECTED("@ 5\n1> { set a 1 pxat 9; msetnx a 2 }\n1< [+OK :1]");
    ACCEPTED("@ 5\n1> { set a 1 pxat 9; msetnx a 2 }\n@ 9\n1< [+OK :1]");
    ACCEPTED("@ 5\n1> { set a 1 pxat 9; msetnx a 2 }\n@ 9\n1< [+OK :0]");
    ACCEPTED("1> set a 1 pxat 10\n1< +OK\n1> incr a\n1< :2\n1> persist a\n1< :1\n@ 10\n1> get a\n1< 2");
}

/* Everything overlaps and nothing commutes: the search gives up in time and says so. */
static void too_much_is_undecided(void **state) {
    (void)state;
    char text[4096];
    size_t len = 0;
    for (int client = 1; client <= 20; client++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%d> append a %d\n", client, client);
    for (int client = 1; client <= 20; client++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%d< :999\n", client);
    play(text, CHECK_VIOLATION); /* nobody fits: that is seen at once */
    len = 0;
    for (int client = 1; client <= 20; client++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%d> rpush a %d\n", client, client);
    for (int client = 1; client <= 20; client++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%d< :%d\n", client, client == 20 ? 21 : client);
    play(text, CHECK_VIOLATION); /* lengths leave one order only */
    len = 0;
    for (int client = 1; client <= 20; client++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%d> set a %d\n", client, client);
    for (int client = 1; client <= 20; client++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%d< +OK\n", client);
    snprintf(text + len, sizeof text - len, "1> get a\n1< 99\n");
    play(text, CHECK_UNDECIDED);
}

/* Of all that was under way the last one is kept alone: no order of many has to be tried to see that. */
static void much_is_lost(void **state) {
    (void)state;
    char text[4096];
    size_t len = 0;
    for (int client = 1; client <= 16; client++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%d> append a %d\n", client, client);
    for (int client = 1; client <= 16; client++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%d!\n", client);
    char *end = text + len;
    snprintf(end, sizeof text - len, "17> get a\n17< 16\n");
    play(text, CHECK_SERIALISABLE);
    snprintf(end, sizeof text - len, "17> get a\n17< nil\n");
    play(text, CHECK_SERIALISABLE);
    snprintf(end, sizeof text - len, "17> get a\n17< 99\n");
    play(text, CHECK_UNDECIDED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_time),
        cmocka_unit_test(torn_reads),
        cmocka_unit_test(lost_updates),
        cmocka_unit_test(pipelines),
        cmocka_unit_test(vanished),
        cmocka_unit_test(transactions),
        cmocka_unit_test(waiting),
        cmocka_unit_test(crashes),
        cmocka_unit_test(much_is_lost),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(too_much_is_undecided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
