/* What each command does to a state and what it answers: Redis's behaviour, as naively as possible.
 * Replies are RESP2. */
#include "core/assert.h"
#include "core/num.h"
#include "tests/sim/model_priv.h"
#include <inttypes.h>

static void set_deadline(struct run *run, uint32_t place, uint32_t from_ms, uint32_t to_ms) {
    run->state->due_ms[place] = from_ms;
    run->state->due_max_ms[place] = to_ms;
}

/* --- strings --- */

static void do_get(struct run *run) {
    if (run_want_text(run, 0)) run_expect_value(run, run_value(run, 0));
}

static void put(struct run *run, uint32_t i, uint32_t value) {
    set_deadline(run, run_key(run, i), 0, 0);
    run_set(run, run_key(run, i), value);
}

static void do_set(struct run *run) {
    put(run, 0, run->command->values[0]);
    run_expect(run, "+OK\r\n");
}

static void do_set_nx(struct run *run) {
    if (run_value(run, 0) == VALUE_NONE)
        do_set(run);
    else
        run_expect(run, "$-1\r\n");
}

static void do_set_px(struct run *run) {
    uint32_t ms = (uint32_t)run->command->number;
    do_set(run);
    set_deadline(run, run_key(run, 0), run->operation->from_ms + ms, run->operation->to_ms + ms);
}

static void do_set_pxat(struct run *run) {
    uint32_t ms = (uint32_t)run->command->number;
    do_set(run);
    set_deadline(run, run_key(run, 0), ms, ms);
}

static void do_getdel(struct run *run) {
    if (!run_want_text(run, 0)) return;
    run_expect_value(run, run_value(run, 0));
    run_drop(run, run_key(run, 0));
}

static void do_append(struct run *run) {
    if (!run_want_text(run, 0)) return;
    char text[MODEL_REPLY_MAX / 4];
    struct slice old = run_value(run, 0) ? value_text(run->values, run_value(run, 0)) : SLICE("");
    struct slice more = value_text(run->values, run->command->values[0]);
    ASSERT(old.len + more.len <= sizeof text);
    memcpy(text, old.ptr, old.len);
    memcpy(text + old.len, more.ptr, more.len);
    run_set(run, run_key(run, 0), value_of_text(run->values, slice_of(text, old.len + more.len)));
    run_expect(run, ":%zu\r\n", old.len + more.len);
}

static void do_strlen(struct run *run) {
    if (!run_want_text(run, 0)) return;
    run_expect(run, ":%zu\r\n", run_value(run, 0) ? value_text(run->values, run_value(run, 0)).len : 0);
}

static void add(struct run *run, int64_t number) {
    if (!run_want_text(run, 0)) return;
    int64_t value = 0;
    if (run_value(run, 0) && !num_parse_i64(value_text(run->values, run_value(run, 0)), &value)) {
        run_expect(run, "-ERR value is not an integer or out of range\r\n");
        return;
    }
    run_set(run, run_key(run, 0), value_of_int(run->values, value + number));
    run_expect(run, ":%" PRId64 "\r\n", value + number);
}

static void do_incr(struct run *run) {
    add(run, 1);
}

static void do_incrby(struct run *run) {
    add(run, run->command->number);
}

static void do_decrby(struct run *run) {
    add(run, -run->command->number);
}

/* --- any type --- */

static void do_pexpireat(struct run *run) {
    uint32_t ms = (uint32_t)run->command->number;
    run_expect(run, ":%d\r\n", run_value(run, 0) != VALUE_NONE);
    if (run_value(run, 0) == VALUE_NONE) return;
    set_deadline(run, run_key(run, 0), ms, ms);
    run_touch(run, run_key(run, 0));
}

static void do_persist(struct run *run) {
    bool timed = run->state->due_ms[run_key(run, 0)] != 0;
    run_expect(run, ":%d\r\n", timed);
    if (!timed) return;
    set_deadline(run, run_key(run, 0), 0, 0);
    run_touch(run, run_key(run, 0));
}

/* Only asked for deadlines that are known exactly. */
static void do_pexpiretime(struct run *run) {
    struct slice words[MODEL_ARGC_MAX];
    char texts[128];
    uint32_t due_ms = run->state->due_ms[run_key(run, 0)];
    if (run_value(run, 0) == VALUE_NONE || due_ms == 0) {
        run_expect(run, run_value(run, 0) == VALUE_NONE ? ":-2\r\n" : ":-1\r\n");
        return;
    }
    struct model_command at = *run->command;
    at.code = DO_PEXPIREAT;
    at.number = due_ms;
    (void)model_words(run->model, &at, words, texts, sizeof texts); /* as Unix time */
    run_expect(run, ":%.*s\r\n", (int)words[2].len, words[2].ptr);
}

static void do_type(struct run *run) {
    run_expect(run, run_value(run, 0) == VALUE_NONE ? "+none\r\n" : run_is_list(run, 0) ? "+list\r\n" : "+string\r\n");
}

static void do_mget(struct run *run) {
    run_expect(run, "*%u\r\n", run->command->key_count);
    for (uint32_t i = 0; i < run->command->key_count; i++)
        run_expect_value(run, run_is_list(run, i) ? VALUE_NONE : run_value(run, i));
}

static void do_mset(struct run *run) {
    for (uint32_t i = 0; i < run->command->key_count; i++) put(run, i, run->command->values[i]);
    run_expect(run, "+OK\r\n");
}

static uint32_t count_present(const struct run *run) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->command->key_count; i++) count += run_value(run, i) != VALUE_NONE;
    return count;
}

static void do_msetnx(struct run *run) {
    bool free = count_present(run) == 0;
    for (uint32_t i = 0; free && i < run->command->key_count; i++) put(run, i, run->command->values[i]);
    run_expect(run, ":%d\r\n", free);
}

static void do_del(struct run *run) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->command->key_count; i++) {
        count += run_value(run, i) != VALUE_NONE;
        run_drop(run, run_key(run, i));
    }
    run_expect(run, ":%u\r\n", count);
}

static void do_exists(struct run *run) {
    run_expect(run, ":%u\r\n", count_present(run));
}

/* The second key becomes what the first is. */
static void copy(struct run *run) {
    uint32_t from = run_key(run, 0), to = run_key(run, 1);
    set_deadline(run, to, run->state->due_ms[from], run->state->due_max_ms[from]);
    run_set(run, to, run_value(run, 0));
}

static void rename_to(struct run *run, bool only_if_free) {
    if (run_value(run, 0) == VALUE_NONE) {
        run_expect(run, "-ERR no such key\r\n");
        return;
    }
    bool same = run_key(run, 0) == run_key(run, 1);
    bool refused = only_if_free && run_value(run, 1) != VALUE_NONE;
    if (!same && !refused) {
        copy(run);
        run_drop(run, run_key(run, 0));
    }
    if (only_if_free)
        run_expect(run, ":%d\r\n", !refused);
    else
        run_expect(run, "+OK\r\n");
}

static void do_rename(struct run *run) {
    rename_to(run, false);
}

static void do_renamenx(struct run *run) {
    rename_to(run, true);
}

static void copy_to(struct run *run, bool replace) {
    if (run_key(run, 0) == run_key(run, 1)) {
        run_expect(run, "-ERR source and destination objects are the same\r\n");
        return;
    }
    bool done = run_value(run, 0) != VALUE_NONE && (replace || run_value(run, 1) == VALUE_NONE);
    if (done) copy(run);
    run_expect(run, ":%d\r\n", done);
}

static void do_copy(struct run *run) {
    copy_to(run, false);
}

static void do_copy_replace(struct run *run) {
    copy_to(run, true);
}

/* --- whole databases --- */

static uint32_t first_place(const struct run *run) {
    return run->command->db * (uint32_t)MODEL_KEYS;
}

static uint32_t count_keys(const struct run *run) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < MODEL_KEYS; i++) count += run->state->value[first_place(run) + i] != VALUE_NONE;
    return count;
}

static void do_dbsize(struct run *run) {
    run_expect(run, ":%u\r\n", count_keys(run));
}

static void do_keys(struct run *run) {
    run_expect(run, "*%u\r\n", count_keys(run));
    for (uint32_t i = 0; i < model_keys(run->model); i++) {
        uint32_t place = first_place(run) + run_key_in_order(run, i);
        if (run->state->value[place]) run_expect_bulk(run, run_key_name(run, place));
    }
}

static void flush(struct run *run, uint32_t from, uint32_t to) {
    for (uint32_t place = from; place < to; place++) run_drop(run, place);
    run_expect(run, "+OK\r\n");
}

static void do_flushdb(struct run *run) {
    flush(run, first_place(run), first_place(run) + MODEL_KEYS);
}

static void do_flushall(struct run *run) {
    flush(run, 0, MODEL_PLACES);
}

static void swap(uint32_t *a, uint32_t *b) {
    uint32_t was = *a;
    *a = *b;
    *b = was;
}

/* A watched key counts as modified when it is there before or after. */
static void do_swapdb(struct run *run) {
    struct model_state *state = run->state;
    for (uint32_t a = 0, b = MODEL_KEYS; a < MODEL_KEYS; a++, b++) {
        if (!state->value[a] && !state->value[b]) continue;
        swap(&state->value[a], &state->value[b]);
        swap(&state->due_ms[a], &state->due_ms[b]);
        swap(&state->due_max_ms[a], &state->due_max_ms[b]);
        run_touch(run, a);
        run_touch(run, b);
    }
    run_expect(run, "+OK\r\n");
}

/* --- the client --- */

static void do_watch(struct run *run) {
    uint32_t client = 1u << run->operation->client;
    for (uint32_t i = 0; i < run->command->key_count; i++) {
        uint32_t *watchers = &run->state->watchers[run_key(run, i)];
        run->changed |= !(*watchers & client);
        *watchers |= client;
    }
    run_expect(run, "+OK\r\n");
}

static void do_unwatch(struct run *run) {
    run_forget_watches(run);
    run_expect(run, "+OK\r\n");
}

/* It is refused before it gets here. */
static void do_unknown(struct run *run) {
    run_expect(run, "-ERR unknown command 'nosuch', with args beginning with: \r\n");
}

const struct model_row model_rows[MODEL_CODES] = {
    [DO_GET] = {"get", "K", do_get, READS},
    [DO_SET] = {"set", "K V", do_set, 0},
    [DO_SET_NX] = {"set", "K V nx", do_set_nx, 0},
    [DO_SET_PX] = {"set", "K V px N", do_set_px, 0},
    [DO_SET_PXAT] = {"set", "K V pxat A", do_set_pxat, 0},
    [DO_GETDEL] = {"getdel", "K", do_getdel, 0},
    [DO_APPEND] = {"append", "K V", do_append, 0},
    [DO_STRLEN] = {"strlen", "K", do_strlen, READS},
    [DO_INCR] = {"incr", "K", do_incr, 0},
    [DO_INCRBY] = {"incrby", "K N", do_incrby, 0},
    [DO_DECRBY] = {"decrby", "K N", do_decrby, 0},
    [DO_PEXPIREAT] = {"pexpireat", "K A", do_pexpireat, 0},
    [DO_PERSIST] = {"persist", "K", do_persist, 0},
    [DO_PEXPIRETIME] = {"pexpiretime", "K", do_pexpiretime, READS},
    [DO_TYPE] = {"type", "K", do_type, READS},
    [DO_MGET] = {"mget", "K*", do_mget, READS},
    [DO_MSET] = {"mset", "KV*", do_mset, 0},
    [DO_MSETNX] = {"msetnx", "KV*", do_msetnx, 0},
    [DO_DEL] = {"del", "K*", do_del, 0},
    [DO_EXISTS] = {"exists", "K*", do_exists, READS},
    [DO_RENAME] = {"rename", "K K", do_rename, 0},
    [DO_RENAMENX] = {"renamenx", "K K", do_renamenx, 0},
    [DO_COPY] = {"copy", "K K", do_copy, 0},
    [DO_COPY_REPLACE] = {"copy", "K K replace", do_copy_replace, 0},
    [DO_LPUSH] = {"lpush", "K V*", run_push_left, 0},
    [DO_RPUSH] = {"rpush", "K V*", run_push_right, 0},
    [DO_RPUSHX] = {"rpushx", "K V*", run_push_if_there, 0},
    [DO_LPOP] = {"lpop", "K", run_pop_left, 0},
    [DO_RPOP] = {"rpop", "K", run_pop_right, 0},
    [DO_LLEN] = {"llen", "K", run_list_length, READS},
    [DO_LRANGE] = {"lrange", "K 0 -1", run_list_range, READS},
    [DO_LREM] = {"lrem", "K 0 V", run_list_remove, 0},
    [DO_LMOVE] = {"lmove", "K K F T", run_move, 0},
    [DO_LMPOP] = {"lmpop", "# K* F count N", run_pop_first_many, 0},
    [DO_BLPOP] = {"blpop", "K* S", run_pop_first_left, BLOCKS | SEVERAL},
    [DO_BRPOP] = {"brpop", "K* S", run_pop_first_right, BLOCKS | SEVERAL},
    [DO_BLMOVE] = {"blmove", "K K F T S", run_move_waiting, BLOCKS},
    [DO_BLMPOP] = {"blmpop", "S # K* F count N", run_pop_first_many, BLOCKS | SEVERAL},
    [DO_DBSIZE] = {"dbsize", "", do_dbsize, READS | WIDE},
    [DO_KEYS] = {"keys", "*", do_keys, READS | WIDE},
    [DO_FLUSHDB] = {"flushdb", "", do_flushdb, WIDE},
    [DO_FLUSHALL] = {"flushall", "", do_flushall, WIDE},
    [DO_SWAPDB] = {"swapdb", "0 1", do_swapdb, WIDE},
    [DO_WATCH] = {"watch", "K*", do_watch, SESSION},
    [DO_UNWATCH] = {"unwatch", "", do_unwatch, SESSION},
    [DO_DISCARD] = {"discard", "", do_unwatch, SESSION},
    [DO_UNKNOWN] = {"nosuch", "", do_unknown, 0},
};
