/* COMMAND and its subcommands: what the registry says about itself. All run on the connection's own thread, since the
 * registry is constant. Internal rows do not exist for clients. */
#include "core/glob.h"
#include "shards/cmd_tables.h"
#include "shards/command_view.h"
#include "shards/exec.h"
#include "shards/shard.h"

static const struct command_registry *registry_of(const struct exec *x) {
    return x->shard->registry;
}

static uint32_t count_public(const struct command_registry *registry) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < command_registry_count(registry); i++)
        count += command_is_public(command_at(registry, i), false);
    return count;
}

/* COMMAND INFO and DOCS without names. */
static void write_all(struct exec *x,
                      void (*write)(struct buf *, int, const struct command_registry *, const struct command_slot *)) {
    const struct command_registry *registry = registry_of(x);
    for (uint32_t i = 0; i < command_registry_count(registry); i++) {
        const struct command_slot *slot = command_at(registry, i);
        if (command_is_public(slot, false)) write(x->out, x->resp, registry, slot);
    }
}

static void cmd_command(struct exec *x) {
    if (x->argc > 1) {
        reply_unknown_sub(x);
        return;
    }
    reply_array(x, count_public(registry_of(x)));
    write_all(x, command_write_info);
}

static void cmd_command_count(struct exec *x) {
    reply_int(x, count_public(registry_of(x)));
}

static void cmd_command_info(struct exec *x) {
    if (x->argc == 2) {
        reply_array(x, count_public(registry_of(x)));
        write_all(x, command_write_info);
        return;
    }
    reply_array(x, x->argc - 2);
    for (uint32_t i = 2; i < x->argc; i++) {
        const struct command_slot *slot = command_find_full(registry_of(x), x->argv[i]);
        if (slot)
            command_write_info(x->out, x->resp, registry_of(x), slot);
        else
            reply_null(x);
    }
}

static void cmd_command_docs(struct exec *x) {
    if (x->argc == 2) {
        reply_map(x, count_public(registry_of(x)));
        write_all(x, command_write_docs);
        return;
    }
    uint64_t known = 0;
    for (uint32_t i = 2; i < x->argc; i++) known += command_find_full(registry_of(x), x->argv[i]) != NULL;
    reply_map(x, known);
    for (uint32_t i = 2; i < x->argc; i++) {
        const struct command_slot *slot = command_find_full(registry_of(x), x->argv[i]);
        if (slot) command_write_docs(x->out, x->resp, registry_of(x), slot);
    }
}

/* --- LIST --- */

enum list_filter { LIST_ALL, LIST_MODULE, LIST_ACLCAT, LIST_PATTERN };

static bool list_takes(enum list_filter filter, struct slice argument, const struct command_slot *slot,
                       struct slice name) {
    switch (filter) {
    case LIST_MODULE: return false; /* there are none */
    case LIST_ACLCAT: return (slot->acl & command_acl_category(argument)) != 0;
    case LIST_PATTERN: return glob_match(argument, name, true);
    default: return true;
    }
}

static void cmd_command_list(struct exec *x) {
    enum list_filter filter = LIST_ALL;
    struct slice argument = {0};
    if (x->argc == 5 && arg_is(x, 2, "filterby")) {
        filter = arg_is(x, 3, "module")    ? LIST_MODULE
                 : arg_is(x, 3, "aclcat")  ? LIST_ACLCAT
                 : arg_is(x, 3, "pattern") ? LIST_PATTERN
                                           : LIST_ALL;
        argument = x->argv[4];
    }
    if (x->argc != 2 && filter == LIST_ALL) {
        reply_syntax_error(x);
        return;
    }
    size_t mark = resp_array_open(x->out);
    uint64_t count = 0;
    for (uint32_t i = 0; i < command_registry_count(registry_of(x)); i++) {
        const struct command_slot *slot = command_at(registry_of(x), i);
        char full[64];
        struct slice name = slice_of_cstr(command_full_name(slot, full));
        if (!command_is_public(slot, true) || !list_takes(filter, argument, slot, name)) continue;
        reply_bulk(x, name);
        count++;
    }
    resp_array_close(x->out, mark, count);
}

/* --- GETKEYS --- */

/* The command behind GETKEYS, checked; NULL when an error was replied. */
static const struct command *command_behind(struct exec *x, const struct slice *argv, uint32_t argc) {
    const struct command_slot *slot = command_resolve(registry_of(x), argv, argc);
    if (slot && (!command_is_public(slot, true) || (slot->row->subs && argc > 1))) slot = NULL;
    if (!slot) {
        reply_error(x, "ERR Invalid command specified");
        return NULL;
    }
    const struct command *row = slot->row;
    if (!key_spec_is_used(&row->keys[0])) {
        reply_error(x, "ERR The command has no key arguments");
        return NULL;
    }
    if (!command_arity_fits(row, argc)) {
        reply_error(x, "ERR Invalid number of arguments specified for command");
        return NULL;
    }
    return row;
}

/* positions has room for all of argv. */
static void reply_keys_of_spec(struct exec *x, const struct command *row, uint32_t spec, const struct slice *argv,
                               uint32_t argc, uint32_t *positions, bool flags, uint64_t *total) {
    struct command one = *row;
    memset(one.keys, 0, sizeof one.keys);
    one.keys[0] = row->keys[spec];
    int count = command_keys(&one, argv, argc, positions, (int)argc);
    uint32_t access = one.keys[0].access_in ? one.keys[0].access_in(argv, argc) : one.keys[0].access;
    for (int i = 0; i < count; i++) {
        if (flags) reply_array(x, 2);
        reply_bulk(x, argv[positions[i]]);
        if (flags) command_write_key_flags(x->out, x->resp, access);
    }
    *total += count > 0 ? (uint64_t)count : 0;
}

static void reply_keys(struct exec *x, bool flags) {
    const struct slice *argv = x->argv + 2;
    uint32_t argc = x->argc - 2;
    const struct command *row = command_behind(x, argv, argc);
    if (!row) return;
    size_t bytes = argc * sizeof(uint32_t);
    uint32_t *positions = heap_alloc(x->shard->heap, MEM_MESSAGE, bytes);
    bool optional = row->flags & CMD_NO_MANDATORY_KEYS;
    int count = command_keys(row, argv, argc, positions, (int)argc);
    if (count <= 0 && !optional) {
        reply_error(x, "ERR Invalid arguments specified for command");
    } else {
        uint64_t total = 0;
        size_t mark = resp_array_open(x->out);
        for (uint32_t spec = 0; spec < KEYS_MAX && count > 0; spec++)
            reply_keys_of_spec(x, row, spec, argv, argc, positions, flags, &total);
        resp_array_close(x->out, mark, total);
    }
    heap_free(x->shard->heap, MEM_MESSAGE, positions, bytes);
}

static void cmd_command_getkeys(struct exec *x) {
    reply_keys(x, false);
}

static void cmd_command_getkeysandflags(struct exec *x) {
    reply_keys(x, true);
}

static void cmd_command_help(struct exec *x) {
    static const char *const lines[] = {
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
        NULL,
    };
    reply_help(x, lines);
}

#define ON_SELF .flags = CMD_LOADING | CMD_STALE, .acl = ACL_CONNECTION, .where = ON_CONN

static const struct command command_subs[] = {
    {.name = "count",
     .arity = 2,
     ON_SELF,
     .run = cmd_command_count,
     .since = "2.8.13",
     .cost = "O(1)",
     .doc = "Counts the commands this server knows."},
    {.name = "docs",
     .arity = -2,
     ON_SELF,
     .run = cmd_command_docs,
     .args = "[command-name [command-name ...]]",
     .since = "7.0.0",
     .cost = "O(N), N = commands asked for",
     .doc = "Describes commands for people and clients.",
     .tips = "nondeterministic_output_order"},
    {.name = "getkeys",
     .arity = -4,
     ON_SELF,
     .run = cmd_command_getkeys,
     .args = "command [arg [arg ...]]",
     .since = "2.8.13",
     .cost = "O(N), N = arguments",
     .doc = "Finds the keys in a whole command."},
    {.name = "getkeysandflags",
     .arity = -4,
     ON_SELF,
     .run = cmd_command_getkeysandflags,
     .args = "command [arg [arg ...]]",
     .since = "7.0.0",
     .cost = "O(N), N = arguments",
     .doc = "Finds the keys in a whole command and how it uses them."},
    {.name = "help",
     .arity = 2,
     ON_SELF,
     .run = cmd_command_help,
     .since = "5.0.0",
     .cost = "O(1)",
     .doc = "Explains the subcommands of COMMAND."},
    {.name = "info",
     .arity = -2,
     ON_SELF,
     .run = cmd_command_info,
     .args = "[command-name [command-name ...]]",
     .since = "2.8.13",
     .cost = "O(N), N = commands asked for",
     .doc = "Returns arity, flags and key positions of commands.",
     .tips = "nondeterministic_output_order"},
    {.name = "list",
     .arity = -2,
     ON_SELF,
     .run = cmd_command_list,
     .args = "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
     .since = "7.0.0",
     .cost = "O(N), N = commands",
     .doc = "Lists the names of commands, all or those that match.",
     .tips = "nondeterministic_output_order"},
    {.name = NULL},
};

const struct command command_commands[] = {
    {.name = "command",
     .arity = -1,
     ON_SELF,
     .run = cmd_command,
     .subs = command_subs,
     .group = "server",
     .since = "2.8.13",
     .cost = "O(N), N = commands",
     .doc = "Returns arity, flags and key positions of all commands.",
     .tips = "nondeterministic_output_order"},
    {.name = NULL},
};
