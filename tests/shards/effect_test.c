/* Effects: how they are framed in groups, and what cannot be applied. What the shards say of real commands is in
 * effect_play_test.c. */
#include "shards/dump.h"
#include "shards/effect.h"
#include "shards/effect_apply.h"
#include "shards/effect_payload.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DBS 3

/* --- how they are framed --- */

struct framing {
    struct heap *heap;
    struct effects effects;
};

static void add(struct framing *framing, uint32_t db, const char *name) {
    effects_add(&framing->effects, db, (struct slice[]){slice_of_cstr(name)}, 1);
}

static void expect(struct framing *framing, uint32_t db, uint64_t position, const char *text) {
    struct buf out;
    uint32_t begins;
    buf_init(&out, framing->heap, MEM_MESSAGE);
    effects_take(&framing->effects, &out, &begins);
    assert_true(slice_equal(buf_slice(&out), slice_of_cstr(text)));
    assert_int_equal(begins, db);
    assert_int_equal(framing->effects.position, position);
    buf_deinit(&out);
}

static struct framing framing_open(void) {
    struct framing framing = {.heap = heap_new()};
    effects_init(&framing.effects, framing.heap);
    framing.effects.on = true;
    return framing;
}

static void framing_close(struct framing *framing) {
    effects_deinit(&framing->effects);
    assert_int_equal(heap_used(framing->heap, MEM_MESSAGE), 0);
    heap_delete(framing->heap);
}

#define MULTI      "*1\r\n$5\r\nMULTI\r\n"
#define EXEC       "*1\r\n$4\r\nEXEC\r\n"
#define ONE(name)  "*1\r\n$1\r\n" name "\r\n"
#define SELECT(db) "*2\r\n$6\r\nSELECT\r\n$1\r\n" db "\r\n"
#define LINE       "#T 4000000000000001 0000000000000006\r\n"
#define PIECE(n)   "#P 4000000000000001 000000000000000" n "\r\n"
#define END(n)     "#E 4000000000000001 000000000000000" n "\r\n"

/* One effect stands alone, several between MULTI and EXEC, nothing is nothing; SELECT where the database changes. */
static void groups_are_framed(void **state) {
    (void)state;
    struct framing framing = framing_open();
    struct effects *effects = &framing.effects;
    effects_open(effects, 0, 0);
    effects_close(effects);
    expect(&framing, 0, 0, "");
    effects_open(effects, 0, 0);
    add(&framing, 0, "A");
    effects_close(effects);
    effects_open(effects, 0, 0); /* commands inside of a command */
    effects_open(effects, 0, 0);
    add(&framing, 2, "B");
    effects_close(effects);
    effects_open(effects, 0, 0);
    add(&framing, 1, "C");
    effects_close(effects);
    effects_close(effects);
    expect(&framing, 0, 2, ONE("A") SELECT("2") MULTI ONE("B") SELECT("1") ONE("C") EXEC);
    effects_add_removed(effects, 1, SLICE("k"));
    expect(&framing, 1, 3, "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n");
    framing_close(&framing);
}

/* A transaction of several shards has its line, also where it has done nothing; one of a single shard has none. */
static void transactions_have_a_line(void **state) {
    (void)state;
    struct framing framing = framing_open();
    struct effects *effects = &framing.effects;
    effects_open(effects, 0x4000000000000001, 6);
    add(&framing, 0, "A");
    effects_close(effects);
    effects_open(effects, 0x4000000000000001, 6);
    effects_close(effects);
    effects_open(effects, 0x4000000000000001, 4);
    effects_close(effects);
    expect(&framing, 0, 2, LINE ONE("A") LINE);
    framing_close(&framing);
}

/* What a transaction does step by step comes at its end, whatever else was done meanwhile. */
static void kept_groups_come_at_the_end(void **state) {
    (void)state;
    struct framing framing = framing_open();
    struct effects *effects = &framing.effects;
    struct effect_group *group = effect_group_new(framing.heap);
    for (uint32_t db = 0; db < 2; db++) {
        effects_keep(effects, group);
        effects_open(effects, 0, 0);
        add(&framing, db, db ? "C" : "A");
        effects_close(effects);
        effects_keep(effects, NULL);
        effects_open(effects, 0, 0);
        add(&framing, 1, "B");
        effects_close(effects);
    }
    effects_add_group(effects, framing.heap, group, 0x4000000000000001, 6);
    effects_add_group(effects, framing.heap, NULL, 0x4000000000000001, 6);
    effects_add_group(effects, framing.heap, effect_group_new(framing.heap), 0, 0);
    expect(&framing, 0, 4,
           SELECT("1") ONE("B") ONE("B") LINE SELECT("0") MULTI ONE("A") SELECT("1") ONE("C") EXEC LINE);
    framing_close(&framing);
}

/* What has become long is written before the end, each piece framed; the rest as a group that says so. */
static void long_groups_come_in_pieces(void **state) {
    (void)state;
    struct framing framing = framing_open();
    struct effects *effects = &framing.effects;
    struct effect_group *group = effect_group_new(framing.heap);
    effects->piece_bytes = 2 * strlen(ONE("A"));
    for (uint32_t i = 0; i < 6; i++) {
        effects_keep(effects, group);
        effects_open(effects, 0, 0);
        add(&framing, i < 3 ? 1 : 2, (const char *[]){"A", "B", "C", "D", "E", "F"}[i]);
        effects_close(effects);
        effects_keep(effects, NULL);
        effects_add_piece(effects, group, 0x4000000000000001);
        if (i == 4) effects->piece_bytes = 1;
    }
    expect(&framing, 0, 0,
           PIECE("1") SELECT("1") MULTI ONE("A") ONE("B") EXEC PIECE("2") MULTI ONE("C") SELECT("2") ONE("D")
               EXEC PIECE("3") MULTI ONE("E") ONE("F") EXEC);
    effects_add_group(effects, framing.heap, group, 0x4000000000000001, 6);
    expect(&framing, 2, 1, LINE END("3"));
    group = effect_group_new(framing.heap);
    for (uint32_t i = 0; i < 2; i++) {
        effects_keep(effects, group);
        effects_open(effects, 0, 0);
        add(&framing, 2, i ? "B" : "A");
        effects_close(effects);
        effects_keep(effects, NULL);
        if (i == 0) effects_add_piece(effects, group, 0x4000000000000001);
    }
    effects_add_group(effects, framing.heap, group, 0x4000000000000001, 0);
    expect(&framing, 2, 2, PIECE("1") MULTI ONE("A") EXEC END("1") ONE("B"));
    framing_close(&framing);
}

/* --- what cannot be applied --- */

static void mistakes_are_told(void **state) {
    (void)state;
    static const char *const lines[] = {"get s",         "nonsense s",  "sherd.drop s", "set s",     "setex s 0 v",
                                        "pexpireat s x", "flushdb now", "swapdb 0 99",  "eval x 1 s"};
    struct sim *sim = sim_new(&(struct sim_options){.shards = 2, .mailbox_capacity = 8, .db_count = DBS, .seed = 1});
    struct shard *shard = sim_shard(sim, 0);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct slice argv[4];
        uint32_t argc = 0;
        struct error error = {0};
        for (const char *at = lines[i]; *at; at += argv[argc - 1].len + (at[argv[argc - 1].len] == ' '))
            argv[argc] = slice_of(at, strcspn(at, " ")), argc++;
        assert_false(effect_apply(shard, 0, argv, argc, &error));
        assert_int_equal(error.status, ST_INVALID);
        char name[16] = {0};
        memcpy(name, argv[0].ptr, argv[0].len);
        assert_non_null(strstr(error.text, name));
        assert_false(effect_apply_from(shard, DBS, argv, argc, slot_range_of(0, 1), &error));
    }
    sim_delete(sim);
}

/* --- a payload in pieces --- */

static bool applies(struct shard *shard, uint32_t argc, const struct slice *argv) {
    struct error error = {0};
    return effect_apply(shard, 0, argv, argc, &error);
}

#define APPLIES(...)  applies(shard, ARRAY_LEN(((struct slice[]){__VA_ARGS__})), (struct slice[]){__VA_ARGS__})
#define BECOMES_VALUE APPLIES(SLICE("EVAL"), SLICE(EFFECT_PAYLOAD_SCRIPT), SLICE("1"), SLICE("s"))

static const struct entry *entry_of(struct shard *shard) {
    struct key_ref ref;
    return keyspace_open(shard_db(shard, 0), SLICE("s"), key_hash(&shard->shared, SLICE("s")), &ref) ? ref.entry : NULL;
}

/* What a stream's payload was appended to becomes that stream; anything else does not. */
static void payloads_become_values(void **state) {
    (void)state;
    struct sim *sim = sim_new(&(struct sim_options){.shards = 1, .mailbox_capacity = 8, .db_count = DBS, .seed = 1});
    struct shard *shard = sim_shard(sim, 0);
    struct buf payload, again;
    buf_init(&payload, shard->heap, MEM_MESSAGE);
    buf_init(&again, shard->heap, MEM_MESSAGE);
    assert_true(APPLIES(SLICE("XADD"), SLICE("s"), SLICE("1-1"), SLICE("f"), SLICE("v")));
    assert_true(APPLIES(SLICE("XADD"), SLICE("s"), SLICE("2-1"), SLICE("g"), SLICE("w")));
    dump_write(&payload, entry_of(shard));
    struct slice bytes = buf_slice(&payload);
    assert_false(BECOMES_VALUE); /* it is no string */
    assert_true(APPLIES(SLICE("DEL"), SLICE("s")));
    assert_false(BECOMES_VALUE); /* there is nothing */
    assert_true(APPLIES(SLICE("APPEND"), SLICE("s"), slice_of(bytes.ptr, 20)));
    assert_false(BECOMES_VALUE); /* that is not all of it */
    assert_true(APPLIES(SLICE("APPEND"), SLICE("s"), slice_of(bytes.ptr + 20, bytes.len - 20)));
    assert_true(BECOMES_VALUE);
    assert_int_equal(entry_of(shard)->type, TYPE_STREAM);
    dump_write(&again, entry_of(shard));
    assert_true(slice_equal(buf_slice(&again), bytes));
    buf_deinit(&payload);
    buf_deinit(&again);
    sim_delete(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_framed),           cmocka_unit_test(transactions_have_a_line),
        cmocka_unit_test(kept_groups_come_at_the_end), cmocka_unit_test(long_groups_come_in_pieces),
        cmocka_unit_test(mistakes_are_told),           cmocka_unit_test(payloads_become_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
