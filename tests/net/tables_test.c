/* All command tables together: that they form a registry (which checks each row's consistency), that every syntax
 * string can be read, and that COMMAND INFO and DOCS of every row are well-formed replies in both protocols. */
#include "core/resp_write.h"
#include "net/server.h"
#include "shards/command_docs.h"
#include "shards/command_view.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct heap *heap;
static struct command_registry *registry;

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    registry = command_registry_new(heap, server_command_tables());
    return 0;
}

static int teardown(void **state) {
    (void)state;
    command_registry_delete(registry, heap);
    heap_delete(heap);
    return 0;
}

static void every_name_is_found(void **state) {
    (void)state;
    for (uint32_t i = 0; i < command_registry_count(registry); i++) {
        const struct command_slot *slot = command_at(registry, i);
        char name[64];
        command_full_name(slot, name);
        const struct command_slot *found = command_find_full(registry, slice_of_cstr(name));
        if (command_is_public(slot, true))
            assert_ptr_equal(found, slot);
        else
            assert_null(found);
    }
}

static void every_syntax_is_read(void **state) {
    (void)state;
    for (uint32_t i = 0; i < command_registry_count(registry); i++) {
        const struct command *row = command_at(registry, i)->row;
        struct docs_tree tree;
        if (row->args && !docs_parse(slice_of_cstr(row->args), &tree))
            fail_msg("%s: \"%s\": %s", row->name, row->args, tree.error);
    }
}

/* What an arity asks for is what the syntax shows: as many arguments at least, no more when it is exact. */
static uint32_t least_words(const struct docs_tree *tree, int16_t first);

static uint32_t least_of_node(const struct docs_tree *tree, const struct docs_node *node) {
    uint32_t token = node->token.len > 0 ? 1 : 0;
    if (node->flags & DOCS_OPTIONAL) return 0;
    if (node->type == DOCS_PURE_TOKEN) return 1;
    if (node->type == DOCS_BLOCK) return token + least_words(tree, node->first);
    if (node->type != DOCS_ONEOF) return token + 1;
    uint32_t least = UINT32_MAX;
    for (int16_t i = node->first; i >= 0; i = tree->node[i].next)
        least = MIN(least, least_of_node(tree, &tree->node[i]));
    return token + least;
}

static uint32_t least_words(const struct docs_tree *tree, int16_t first) {
    uint32_t sum = 0;
    for (int16_t i = first; i >= 0; i = tree->node[i].next) sum += least_of_node(tree, &tree->node[i]);
    return sum;
}

static void syntax_and_arity_agree(void **state) {
    (void)state;
    for (uint32_t i = 0; i < command_registry_count(registry); i++) {
        const struct command_slot *slot = command_at(registry, i);
        const struct command *row = slot->row;
        struct docs_tree tree;
        if (row->flags & CMD_INTERNAL || row->subs || !row->args) continue;
        assert_true(docs_parse(slice_of_cstr(row->args), &tree));
        uint32_t words = (slot->parent ? 2 : 1) + least_words(&tree, tree.first);
        /* CLIENT KILL, COMMAND GETKEYS and the like ask for more than their syntax can say. */
        if (words > (uint32_t)abs(row->arity))
            fail_msg("%s: arity %d, syntax \"%s\"", row->name, row->arity, row->args);
        if (row->arity > 0 && words != (uint32_t)row->arity)
            fail_msg("%s: arity %d, syntax \"%s\"", row->name, row->arity, row->args);
    }
}

static void every_view_is_one_reply(void **state) {
    (void)state;
    for (uint32_t i = 0; i < command_registry_count(registry); i++) {
        for (int resp = 2; resp <= 3; resp++) {
            struct buf out;
            buf_init(&out, heap, MEM_STATS);
            command_write_info(&out, resp, registry, command_at(registry, i));
            assert_int_equal(resp_skip(buf_slice(&out)), buf_readable(&out));
            buf_deinit(&out);
            buf_init(&out, heap, MEM_STATS);
            resp_map(&out, resp, 1);
            command_write_docs(&out, resp, registry, command_at(registry, i));
            assert_int_equal(resp_skip(buf_slice(&out)), buf_readable(&out));
            buf_deinit(&out);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_found),
        cmocka_unit_test(every_syntax_is_read),
        cmocka_unit_test(syntax_and_arity_agree),
        cmocka_unit_test(every_view_is_one_reply),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
