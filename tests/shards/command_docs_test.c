/* Command docs: that the syntax notation is read as Redis's command tables mean it. Each tree is shown as text,
 *
 *      name:type  =TOKEN  ?optional  *multiple  +multiple_token  (children)
 *
 * and compared; broken notation is refused with a reason; random text never does anything worse than that. */
#include "core/prng.h"
#include "shards/command_docs.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void show_list(const struct docs_tree *tree, int16_t first, char *out, size_t size);

static void show(const struct docs_tree *tree, const struct docs_node *node, char *out, size_t size) {
    size_t n = strlen(out);
    n += (size_t)snprintf(out + n, size - n, "%.*s:%s", (int)node->name.len, node->name.ptr ? node->name.ptr : "",
                          docs_type_name((enum docs_type)node->type));
    if (node->token.len) n += (size_t)snprintf(out + n, size - n, "=%.*s", (int)node->token.len, node->token.ptr);
    snprintf(out + n, size - n, "%s%s%s", node->flags & DOCS_OPTIONAL ? "?" : "",
             node->flags & DOCS_MULTIPLE ? "*" : "", node->flags & DOCS_MULTIPLE_TOKEN ? "+" : "");
    if (node->first < 0) return;
    strncat(out, "(", size - strlen(out) - 1);
    show_list(tree, node->first, out, size);
    strncat(out, ")", size - strlen(out) - 1);
}

static void show_list(const struct docs_tree *tree, int16_t first, char *out, size_t size) {
    for (int16_t i = first; i >= 0; i = tree->node[i].next) {
        if (i != first) strncat(out, " ", size - strlen(out) - 1);
        show(tree, &tree->node[i], out, size);
    }
}

static void reads_the_notation(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"key", "key:key"},
        {"key value", "key:key value:string"},
        {"key increment:double", "key:key increment:double"},
        {"ip:port", "ip:port:string"},
        {"[message]", "message:string?"},
        {"key [key ...]", "key:key*"},
        {"[key ...]", "key:key?*"},
        {"[command-name [command-name ...]]", "command-name:string?*"},
        {"key value [key value ...]", ":block*(key:key value:string)"},
        {"key score member [score member ...]", "key:key :block*(score:double member:string)"},
        {"NOSAVE", ":pure-token=NOSAVE"},
        {"NO ONE", ":pure-token=NO :pure-token=ONE"},
        {"<host port | NO ONE>", ":oneof(:block(host:string port:string) :block(:pure-token=NO :pure-token=ONE))"},
        {"key value [NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL]",
         "key:key value:string :oneof?(:pure-token=NX :pure-token=XX) :pure-token=GET? "
         ":oneof?(seconds:integer=EX milliseconds:integer=PX :pure-token=KEEPTTL)"},
        {"cursor [MATCH pattern] [COUNT count]", "cursor:integer pattern:pattern=MATCH? count:integer=COUNT?"},
        {"key [LIMIT offset count]", "key:key :block=LIMIT?(offset:integer count:integer)"},
        {"key [GET pattern [GET pattern ...]]", "key:key pattern:pattern=GET?*+"},
        {"[TYPE <NORMAL | PUBSUB>] [ID client-id [client-id ...]]",
         ":oneof=TYPE?(:pure-token=NORMAL :pure-token=PUBSUB) client-id:integer=ID?*"},
        {"[protover [AUTH username password] [SETNAME clientname]]",
         ":block?(protover:integer :block=AUTH?(username:string password:string) clientname:string=SETNAME?)"},
        {"STREAMS key [key ...] id [id ...]", ":block=STREAMS(key:key* id:string*)"},
        {"<ON | OFF>", ":oneof(:pure-token=ON :pure-token=OFF)"},
        {"numkeys key [key ...] [WEIGHTS weight [weight ...]]", "numkeys:integer key:key* weight:string=WEIGHTS?*"},
        {"<* | id> field value [field value ...]",
         ":oneof(:pure-token=* id:string) :block*(field:string value:string)"},
    };
    struct docs_tree tree;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[1024] = "";
        bool fine = docs_parse(slice_of_cstr(cases[i][0]), &tree);
        if (!fine) fail_msg("%s: %s", cases[i][0], tree.error);
        show_list(&tree, tree.first, text, sizeof text);
        assert_string_equal(text, cases[i][1]);
    }
}

static void refuses_broken_notation(void **state) {
    (void)state;
    static const char *const cases[] = {"[key",
                                        "key]",
                                        "<a | b]",
                                        "[]",
                                        "[a |]",
                                        "a | | b",
                                        "...",
                                        "[...]",
                                        "key [key ... x]",
                                        "[[[[[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]]]]",
                                        ">",
                                        "<"};
    struct docs_tree tree;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_false(docs_parse(slice_of_cstr(cases[i]), &tree));
        assert_non_null(tree.error);
    }
}

static void survives_random_text(void **state) {
    (void)state;
    static const char *const words[] = {"key", "value", "NX", "[", "]", "<", ">", "|", "...", "EX", " "};
    struct docs_tree tree;
    struct prng prng;
    prng_init(&prng, 7);
    struct heap *heap = heap_new();
    for (int round = 0; round < 20000; round++) {
        char text[512] = "";
        uint64_t count = prng_below(&prng, 40);
        for (uint64_t i = 0; i < count; i++) {
            strncat(text, words[prng_below(&prng, ARRAY_LEN(words))], sizeof text - strlen(text) - 1);
            if (prng_below(&prng, 2)) strncat(text, " ", sizeof text - strlen(text) - 1);
        }
        if (!docs_parse(slice_of_cstr(text), &tree)) continue;
        struct buf out;
        buf_init(&out, heap, MEM_STATS);
        docs_write(&out, 2 + (int)prng_below(&prng, 2), &tree, 1);
        buf_deinit(&out);
    }
    heap_delete(heap);
}

static void writes_maps(void **state) {
    (void)state;
    struct heap *heap = heap_new();
    struct docs_tree tree;
    struct buf out;
    buf_init(&out, heap, MEM_STATS);
    assert_true(docs_parse(SLICE("key [NX | XX]"), &tree));
    docs_write(&out, 3, &tree, 1);
    static const char expected[] =
        "*2\r\n"
        "%3\r\n$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n$14\r\nkey_spec_index\r\n:0\r\n"
        "%4\r\n$4\r\nname\r\n$8\r\nnx-or-xx\r\n$4\r\ntype\r\n$5\r\noneof\r\n$5\r\nflags\r\n~1\r\n+optional\r\n"
        "$9\r\narguments\r\n*2\r\n"
        "%3\r\n$4\r\nname\r\n$2\r\nnx\r\n$4\r\ntype\r\n$10\r\npure-token\r\n$5\r\ntoken\r\n$2\r\nNX\r\n"
        "%3\r\n$4\r\nname\r\n$2\r\nxx\r\n$4\r\ntype\r\n$10\r\npure-token\r\n$5\r\ntoken\r\n$2\r\nXX\r\n";
    assert_int_equal(buf_readable(&out), sizeof expected - 1);
    assert_memory_equal(out.data, expected, sizeof expected - 1);
    buf_deinit(&out);
    heap_delete(heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_notation),
        cmocka_unit_test(refuses_broken_notation),
        cmocka_unit_test(survives_random_text),
        cmocka_unit_test(writes_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
