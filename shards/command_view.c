/* The views are loops over small tables of names, in the order in which Redis lists them. */
#include "shards/command_view.h"
#include "core/resp_write.h"
#include "shards/command_docs.h"

struct bit_name {
    uint32_t bit;
    const char *name;
};

static const struct bit_name flag_names[] = {
    {CMD_WRITE, "write"},
    {CMD_READ, "readonly"},
    {CMD_DENYOOM, "denyoom"},
    {CMD_ADMIN, "admin"},
    {CMD_PUBSUB, "pubsub"},
    {CMD_NOSCRIPT, "noscript"},
    {CMD_BLOCKING, "blocking"},
    {CMD_LOADING, "loading"},
    {CMD_STALE, "stale"},
    {CMD_SKIP_MONITOR, "skip_monitor"},
    {CMD_SKIP_SLOWLOG, "skip_slowlog"},
    {CMD_FAST, "fast"},
    {CMD_NO_AUTH, "no_auth"},
    {CMD_NO_MANDATORY_KEYS, "no_mandatory_keys"}, /* "protected" and "may_replicate" are not shown */
    {CMD_NO_ASYNC_LOADING, "no_async_loading"},
    {CMD_NO_MULTI, "no_multi"},
    {CMD_MOVABLE_KEYS, "movablekeys"},
    {CMD_ALLOW_BUSY, "allow_busy"},
};

static const struct bit_name acl_names[] = {
    {ACL_KEYSPACE, "@keyspace"},
    {ACL_READ, "@read"},
    {ACL_WRITE, "@write"},
    {ACL_SET, "@set"},
    {ACL_SORTEDSET, "@sortedset"},
    {ACL_LIST, "@list"},
    {ACL_HASH, "@hash"},
    {ACL_STRING, "@string"},
    {ACL_BITMAP, "@bitmap"},
    {ACL_HYPERLOGLOG, "@hyperloglog"},
    {ACL_GEO, "@geo"},
    {ACL_STREAM, "@stream"},
    {ACL_PUBSUB, "@pubsub"},
    {ACL_ADMIN, "@admin"},
    {ACL_FAST, "@fast"},
    {ACL_SLOW, "@slow"},
    {ACL_BLOCKING, "@blocking"},
    {ACL_DANGEROUS, "@dangerous"},
    {ACL_CONNECTION, "@connection"},
    {ACL_TRANSACTION, "@transaction"},
    {ACL_SCRIPTING, "@scripting"},
};

static const struct bit_name access_names[] = {
    {KEY_RO, "RO"},
    {KEY_RW, "RW"},
    {KEY_OW, "OW"},
    {KEY_RM, "RM"},
    {KEY_ACCESS, "access"},
    {KEY_UPDATE, "update"},
    {KEY_INSERT, "insert"},
    {KEY_DELETE, "delete"},
    {KEY_NOT_KEY, "not_key"},
    {KEY_INCOMPLETE, "incomplete"},
    {KEY_VARIABLE, "variable_flags"},
};

static void write_bits(struct buf *out, int resp, uint32_t bits, const struct bit_name *names, size_t count) {
    uint32_t known = 0;
    for (size_t i = 0; i < count; i++) known |= names[i].bit;
    resp_set(out, resp, (uint64_t)__builtin_popcount(bits & known));
    for (size_t i = 0; i < count; i++)
        if (bits & names[i].bit) resp_simple(out, slice_of_cstr(names[i].name));
}

void command_write_key_flags(struct buf *out, int resp, uint32_t access) {
    write_bits(out, resp, access, access_names, ARRAY_LEN(access_names));
}

uint32_t command_acl_category(struct slice name) {
    for (size_t i = 0; i < ARRAY_LEN(acl_names); i++)
        if (slice_equal_nocase(name, slice_of_cstr(acl_names[i].name + 1))) return acl_names[i].bit;
    return 0;
}

const struct command_slot *command_find_full(const struct command_registry *registry, struct slice name) {
    const char *bar = name.len ? memchr(name.ptr, '|', name.len) : NULL;
    size_t head = bar ? (size_t)(bar - name.ptr) : name.len;
    const struct command_slot *slot = command_find(registry, slice_of(name.ptr, head));
    if (slot && bar) slot = command_find_sub(registry, slot, slice_of(bar + 1, name.len - head - 1));
    return slot && command_is_public(slot, true) ? slot : NULL;
}

static uint32_t count_specs(const struct command *row) {
    uint32_t count = 0;
    while (count < KEYS_MAX && key_spec_is_used(&row->keys[count])) count++;
    return count;
}

static uint32_t count_subs(const struct command *row) {
    uint32_t count = 0;
    for (const struct command *sub = row->subs; sub && sub->name; sub++) count += !(sub->flags & CMD_INTERNAL);
    return count;
}

static void write_text(struct buf *out, const char *text) {
    resp_bulk(out, slice_of_cstr(text));
}

static void write_number(struct buf *out, const char *name, int64_t value) {
    write_text(out, name);
    resp_int(out, value);
}

static void write_name(struct buf *out, const struct command_slot *slot) {
    char name[64];
    write_text(out, command_full_name(slot, name));
}

/* --- COMMAND INFO --- */

/* The one range that old clients know: all ranges together, numkeys left out. Redis joins them the same way. */
static void write_legacy_range(struct buf *out, const struct command *row) {
    int first = 0, last = 0, step = 0;
    for (uint32_t i = 0; i < count_specs(row); i++) {
        const struct key_spec *spec = &row->keys[i];
        if (spec->count_at > 0 || spec->find || spec->halves) continue;
        if (first == 0) {
            first = spec->first;
            last = spec->last;
            step = spec->step;
        } else if (last >= 0 && spec->first == last + 1) {
            last = spec->last;
        }
    }
    resp_int(out, first);
    resp_int(out, last);
    resp_int(out, step);
}

static void write_begin(struct buf *out, int resp, int64_t index) {
    write_text(out, "begin_search");
    resp_map(out, resp, 2);
    write_text(out, "type");
    write_text(out, "index");
    write_text(out, "spec");
    resp_map(out, resp, 1);
    write_number(out, "index", index);
}

static void write_begin_keyword(struct buf *out, int resp, const struct key_spec *spec) {
    write_text(out, "begin_search");
    resp_map(out, resp, 2);
    write_text(out, "type");
    write_text(out, "keyword");
    write_text(out, "spec");
    resp_map(out, resp, 2);
    write_text(out, "keyword");
    write_text(out, spec->keyword);
    write_number(out, "startfrom", spec->halves ? spec->halves_from : spec->first);
}

/* A key of which only its command knows where it is. */
static void write_unknown(struct buf *out, int resp) {
    static const char *const both[] = {"begin_search", "find_keys"};
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        write_text(out, both[i]);
        resp_map(out, resp, 2);
        write_text(out, "type");
        write_text(out, "unknown");
        write_text(out, "spec");
        resp_map(out, resp, 0);
    }
}

static void write_key_spec(struct buf *out, int resp, const struct key_spec *spec) {
    bool counted = spec->count_at > 0;
    resp_map(out, resp, 3);
    write_text(out, "flags");
    command_write_key_flags(out, resp, spec->access);
    if (spec->find && !spec->keyword) {
        write_unknown(out, resp);
        return;
    }
    if (spec->keyword)
        write_begin_keyword(out, resp, spec);
    else
        write_begin(out, resp, counted ? spec->count_at : spec->first);
    write_text(out, "find_keys");
    resp_map(out, resp, 2);
    write_text(out, "type");
    write_text(out, counted ? "keynum" : "range");
    write_text(out, "spec");
    resp_map(out, resp, 3);
    if (counted) { /* relative to numkeys */
        write_number(out, "keynumidx", 0);
        write_number(out, "firstkey", 1);
        write_number(out, "keystep", MAX(spec->step, 1));
    } else if (spec->halves) { /* the first half of what follows */
        write_number(out, "lastkey", -1);
        write_number(out, "keystep", 1);
        write_number(out, "limit", 2);
    } else { /* lastkey is relative to the first when it counts from the front */
        write_number(out, "lastkey", spec->last < 0 ? spec->last : spec->last - spec->first);
        write_number(out, "keystep", spec->step);
        write_number(out, "limit", 0);
    }
}

static void write_tips(struct buf *out, int resp, const char *tips) {
    struct slice word[16];
    uint64_t count = 0;
    for (const char *at = tips; at && *at && count < ARRAY_LEN(word);) {
        size_t len = strcspn(at, " ");
        word[count++] = slice_of(at, len);
        at += len + strspn(at + len, " ");
    }
    resp_set(out, resp, count);
    for (uint64_t i = 0; i < count; i++) resp_bulk(out, word[i]);
}

static uint32_t flags_of(const struct command *row) {
    uint32_t flags = row->flags;
    for (uint32_t i = 0; i < count_specs(row); i++)
        if (row->keys[i].count_at > 0 || row->keys[i].find || row->keys[i].halves ||
            row->keys[i].access & KEY_INCOMPLETE)
            flags |= CMD_MOVABLE_KEYS;
    return flags;
}

typedef void (*write_row)(struct buf *out, int resp, const struct command_registry *registry,
                          const struct command_slot *slot);

static void write_subs(struct buf *out, int resp, const struct command_registry *registry,
                       const struct command_slot *slot, write_row write) {
    for (const struct command *sub = slot->row->subs; sub && sub->name; sub++) {
        if (sub->flags & CMD_INTERNAL) continue;
        write(out, resp, registry, command_find_sub(registry, slot, slice_of_cstr(sub->name)));
    }
}

void command_write_info(struct buf *out, int resp, const struct command_registry *registry,
                        const struct command_slot *slot) {
    const struct command *row = slot->row;
    uint32_t specs = count_specs(row);
    resp_array(out, 10);
    write_name(out, slot);
    resp_int(out, row->arity);
    write_bits(out, resp, flags_of(row), flag_names, ARRAY_LEN(flag_names));
    write_legacy_range(out, row);
    write_bits(out, resp, slot->acl, acl_names, ARRAY_LEN(acl_names));
    write_tips(out, resp, row->tips);
    resp_set(out, resp, specs);
    for (uint32_t i = 0; i < specs; i++) write_key_spec(out, resp, &row->keys[i]);
    resp_set(out, resp, count_subs(row));
    write_subs(out, resp, registry, slot, command_write_info);
}

/* --- COMMAND DOCS --- */

void command_write_docs(struct buf *out, int resp, const struct command_registry *registry,
                        const struct command_slot *slot) {
    const struct command *row = slot->row;
    const char *group = row->group ? row->group : slot->parent ? slot->parent->group : NULL;
    uint32_t subs = count_subs(row);
    struct docs_tree tree;
    bool args = row->args && docs_parse(slice_of_cstr(row->args), &tree) && tree.first >= 0;

    write_name(out, slot);
    resp_map(out, resp, 3u + (row->cost != NULL) + args + (subs > 0));
    write_text(out, "summary");
    write_text(out, row->doc ? row->doc : "");
    write_text(out, "since");
    write_text(out, row->since ? row->since : "");
    write_text(out, "group");
    write_text(out, group ? group : "generic");
    if (row->cost) {
        write_text(out, "complexity");
        write_text(out, row->cost);
    }
    if (args) {
        write_text(out, "arguments");
        docs_write(out, resp, &tree, count_specs(row));
    }
    if (subs) {
        write_text(out, "subcommands");
        resp_map(out, resp, subs);
        write_subs(out, resp, registry, slot, command_write_docs);
    }
}
