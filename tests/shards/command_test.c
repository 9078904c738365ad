/* Command: that the registry finds every name in every case and nothing else, that it adds what rows imply, and that
 * keys are where Redis says they are. (The rows of the server itself are walked by tests/net/tables_test.c; here are
 * small tables whose answers are known by heart.) */
#include "core/alloc.h"
#include "core/prng.h"
#include "shards/command.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void nothing(struct exec *x) {
    (void)x;
}

static void nothing_across(struct gather *gather) {
    (void)gather;
}

#define DOCS .group = "string", .since = "1.0.0", .cost = "O(1)", .doc = "Says nothing."

static const struct command keyed[] = {
    {.name = "get",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = nothing,
     .args = "key",
     DOCS},
    {.name = "mset",
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_STRING,
     .keys = {KEYS_RANGE(1, -1, 2, KEY_OW)},
     .where = SPLIT_BY_KEY,
     .merge = MERGE_OK,
     .run = nothing,
     .args = "key value [key value ...]",
     DOCS},
    {.name = "rename",
     .arity = 3,
     .flags = CMD_WRITE,
     .acl = ACL_KEYSPACE,
     .keys = {KEYS_ONE(1, KEY_RW), KEYS_ONE(2, KEY_OW)},
     .where = ACROSS_OWNERS,
     .run = nothing,
     .across = nothing_across,
     .args = "key newkey",
     DOCS},
    {.name = "eval_ro",
     .arity = -3,
     .flags = CMD_READ | CMD_NO_MANDATORY_KEYS,
     .acl = ACL_SCRIPTING,
     .keys = {{.count_at = 2, .access = KEY_RO}},
     .where = ACROSS_OWNERS,
     .run = nothing,
     .across = nothing_across,
     .args = "script numkeys [key [key ...]]",
     DOCS},
    {.name = "georadiusbymember_ro24by",
     .arity = 2,
     .flags = CMD_READ,
     .acl = ACL_GEO,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = nothing,
     .args = "key",
     DOCS},
    {.name = "georadius_ro",
     .arity = 2,
     .flags = CMD_READ,
     .acl = ACL_GEO,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = nothing,
     .args = "key",
     DOCS},
    {.name = NULL},
};

static const struct command config_subs[] = {
    {.name = "get", .arity = -3, .flags = CMD_ADMIN, .where = ON_CONN, .run = nothing, .args = "pattern", DOCS},
    {.name = "help", .arity = 2, .where = ON_CONN, .run = nothing, .args = "", DOCS},
    {.name = NULL},
};

static const struct command other[] = {
    {.name = "config", .arity = -2, .subs = config_subs, .group = "server", .since = "2.0.0", .doc = "Holds others."},
    {.name = "ping",
     .arity = -1,
     .flags = CMD_FAST | CMD_NO_WAIT,
     .acl = ACL_CONNECTION,
     .where = ON_CONN,
     .run = nothing,
     .args = "[message]",
     DOCS},
    {.name = "select",
     .arity = 2,
     .flags = CMD_FAST,
     .acl = ACL_CONNECTION,
     .where = ON_CONN,
     .run = nothing,
     .args = "index",
     DOCS},
    {.name = "keys",
     .arity = 2,
     .flags = CMD_READ,
     .acl = ACL_DANGEROUS,
     .where = ON_ALL,
     .merge = MERGE_CONCAT,
     .run = nothing,
     .args = "pattern",
     DOCS},
    {.name = "sherd.stats", .arity = 1, .flags = CMD_INTERNAL, .where = ON_OWNER, .run = nothing},
    {.name = NULL},
};

static const struct command *const tables[] = {keyed, other, NULL};

struct fixture {
    struct heap *heap;
    struct command_registry *registry;
};

static int setup(void **state) {
    struct fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    f->heap = heap_new();
    f->registry = command_registry_new(f->heap, tables);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    command_registry_delete(f->registry, f->heap);
    assert_int_equal(heap_used(f->heap, MEM_STATS), 0);
    heap_delete(f->heap);
    free(f);
    return 0;
}

/* In an exact block, so that the address sanitizer sees a read outside the name. */
static const struct command_slot *find(const struct fixture *f, const char *ptr, size_t len) {
    char *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy + 1, ptr, len);
    const struct command_slot *slot = command_find(f->registry, slice_of(copy + 1, len));
    free(copy);
    return slot;
}

static void finds_every_name_in_every_case(void **state) {
    const struct fixture *f = *state;
    struct prng prng;
    prng_init(&prng, 1);
    uint32_t seen = 0;
    for (uint32_t n = 0; n < command_registry_count(f->registry); n++) {
        const struct command_slot *slot = command_at(f->registry, n);
        assert_int_equal(slot->number, n);
        if (slot->parent) continue;
        seen++;
        for (int round = 0; round < 100; round++) {
            char name[32];
            size_t len = strlen(slot->row->name);
            memcpy(name, slot->row->name, len);
            for (size_t i = 0; i < len; i++)
                if (name[i] >= 'a' && name[i] <= 'z' && prng_below(&prng, 2)) name[i] = (char)(name[i] - 32);
            assert_ptr_equal(find(f, name, len), slot);
        }
    }
    assert_int_equal(seen, 11);
    assert_int_equal(command_registry_count(f->registry), 13);
}

static void finds_nothing_else(void **state) {
    const struct fixture *f = *state;
    static const char *const strangers[] = {"ge",
                                            "gett",
                                            "g",
                                            "geu",
                                            "config|get",
                                            "help",
                                            "selec",
                                            "selects",
                                            "georadiusbymember_ro24bx",
                                            "georadiusbymember_ro24b",
                                            "georadiusbymember_ro24byy",
                                            "georadius_rp",
                                            "georadius_",
                                            "GE\x14",
                                            "g\xe5t",
                                            "\307et",
                                            "g`t",
                                            "rena\r\n",
                                            "ping ",
                                            " ping",
                                            "[get"};
    for (size_t i = 0; i < ARRAY_LEN(strangers); i++) assert_null(find(f, strangers[i], strlen(strangers[i])));
    assert_null(command_find(f->registry, slice_of(NULL, 0)));
    assert_null(find(f, "get\0", 4));
    assert_null(find(f, "get\0\0\0\0\0", 8));
    char longer[300];
    memset(longer, 'a', sizeof longer);
    assert_null(find(f, longer, sizeof longer));
}

static void single_bytes_do_not_fold_wrongly(void **state) {
    const struct fixture *f = *state;
    for (unsigned b = 0; b < 256; b++) { /* every byte in every place of an 8-byte word and its tail */
        for (size_t at = 0; at < 12; at++) {
            char name[13] = "georadius_ro";
            name[at] = (char)b;
            bool same = (char)b == "georadius_ro"[at] || (char)b == "GEORADIUS_RO"[at];
            assert_int_equal(find(f, name, 12) != NULL, same);
        }
    }
}

static void resolves_subcommands(void **state) {
    const struct fixture *f = *state;
    const struct slice get[] = {SLICE_INIT("CONFIG"), SLICE_INIT("Get"), SLICE_INIT("x")};
    const struct slice bad[] = {SLICE_INIT("config"), SLICE_INIT("select")};
    const struct slice key[] = {SLICE_INIT("get"), SLICE_INIT("help")};
    char name[64];
    const struct command_slot *slot = command_resolve(f->registry, get, 3);
    assert_ptr_equal(slot->row, &config_subs[0]);
    assert_ptr_equal(slot->parent, &other[0]);
    assert_string_equal(command_full_name(slot, name), "config|get");
    slot = command_resolve(f->registry, bad, 2);
    assert_ptr_equal(slot->row, &other[0]); /* unknown: the container */
    assert_null(command_find_sub(f->registry, slot, SLICE("ge")));
    assert_ptr_equal(command_find_sub(f->registry, slot, SLICE("HELP"))->row, &config_subs[1]);
    assert_ptr_equal(command_resolve(f->registry, get, 1)->row, &other[0]);
    slot = command_resolve(f->registry, key, 2);
    assert_ptr_equal(slot->row, &keyed[0]);
    assert_string_equal(command_full_name(slot, name), "get");
    assert_null(command_find_sub(f->registry, slot, SLICE("help")));
}

static void adds_what_flags_imply(void **state) {
    const struct fixture *f = *state;
    assert_int_equal(find(f, "get", 3)->acl, ACL_STRING | ACL_READ | ACL_FAST);
    assert_int_equal(find(f, "mset", 4)->acl, ACL_STRING | ACL_WRITE | ACL_SLOW);
    assert_int_equal(find(f, "eval_ro", 7)->acl, ACL_SCRIPTING | ACL_SLOW); /* not a reader */
    const struct slice config[] = {SLICE_INIT("config"), SLICE_INIT("get")};
    assert_int_equal(command_resolve(f->registry, config, 2)->acl, ACL_ADMIN | ACL_DANGEROUS | ACL_SLOW);
}

static void knows_plain_commands(void **state) {
    const struct fixture *f = *state;
    assert_int_equal(find(f, "get", 3)->plain_key, 1);
    assert_int_equal(find(f, "ping", 4)->plain_key, 0);    /* no key */
    assert_int_equal(find(f, "mset", 4)->plain_key, 0);    /* several */
    assert_int_equal(find(f, "rename", 6)->plain_key, 0);  /* two */
    assert_int_equal(find(f, "eval_ro", 7)->plain_key, 0); /* anywhere */
    assert_int_equal(find(f, "keys", 4)->plain_key, 0);    /* all */
    assert_int_equal(find(f, "config", 6)->plain_key, 0);  /* subcommands */
}

static void knows_barriers(void **state) {
    const struct fixture *f = *state;
    assert_false(find(f, "get", 3)->barrier);
    assert_false(find(f, "ping", 4)->barrier);
    assert_false(find(f, "mset", 4)->barrier);
    assert_true(find(f, "rename", 6)->barrier);
    assert_true(find(f, "eval_ro", 7)->barrier);
    assert_true(find(f, "select", 6)->barrier);
    assert_true(find(f, "keys", 4)->barrier);
    assert_true(find(f, "config", 6)->barrier);
}

struct keys_case {
    const char *line;
    int count;
    uint32_t positions[4];
};

static void finds_keys(void **state) {
    const struct fixture *f = *state;
    static const struct keys_case cases[] = {
        {"get k", 1, {1}},
        {"mset a 1 b 2", 2, {1, 3}},
        {"mset a 1 b", 2, {1, 3}}, /* MSET itself refuses that later */
        {"rename a b", 2, {1, 2}},
        {"rename a", -1, {0}},
        {"eval_ro s 0 x", 0, {0}},
        {"eval_ro s 2 a b x", 2, {3, 4}},
        {"eval_ro s 3 a b", -1, {0}},
        {"eval_ro s -1 a b", -1, {0}},
        {"eval_ro s x a b", -1, {0}},
        {"eval_ro s 99999999999999999999 a", -1, {0}},
        {"eval_ro s 9223372036854775807 a", -1, {0}},
        {"eval_ro s", -1, {0}},
        {"ping a", 0, {0}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char line[64];
        struct slice argv[8];
        uint32_t argc = 0, positions[8] = {0};
        snprintf(line, sizeof line, "%s", cases[i].line);
        for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) argv[argc++] = slice_of_cstr(word);
        int count = command_keys(command_find(f->registry, argv[0])->row, argv, argc, positions, 8);
        assert_int_equal(count, cases[i].count);
        for (int k = 0; k < count; k++) assert_int_equal(positions[k], cases[i].positions[k]);
        if (count > 1) /* room for one: the count stops there */
            assert_int_equal(command_keys(command_find(f->registry, argv[0])->row, argv, argc, positions, 1), 1);
    }
}

static void checks_arity(void **state) {
    (void)state;
    assert_true(command_arity_fits(&keyed[0], 2));
    assert_false(command_arity_fits(&keyed[0], 1));
    assert_false(command_arity_fits(&keyed[0], 3));
    assert_false(command_arity_fits(&keyed[1], 2));
    assert_true(command_arity_fits(&keyed[1], 3));
    assert_true(command_arity_fits(&keyed[1], 1000000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_every_name_in_every_case, setup, teardown),
        cmocka_unit_test_setup_teardown(finds_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(single_bytes_do_not_fold_wrongly, setup, teardown),
        cmocka_unit_test_setup_teardown(resolves_subcommands, setup, teardown),
        cmocka_unit_test_setup_teardown(adds_what_flags_imply, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_plain_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_barriers, setup, teardown),
        cmocka_unit_test_setup_teardown(finds_keys, setup, teardown),
        cmocka_unit_test(checks_arity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
