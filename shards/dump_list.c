/* Dump: lists, in the four forms that Redis ever wrote. We write the last one: nodes that are listpacks. */
#include "core/assert.h"
#include "shards/dump_priv.h"
#include "shards/list.h"

enum { CONTAINER_PLAIN = 1, CONTAINER_PACKED = 2 }; /* of a node: an element, or a listpack of some */

/* A listpack with an element of about DUMP_STRING_MAX would be longer than a string may be. */
#define PLAIN_MIN (DUMP_STRING_MAX - 1024)

void dump_write_list_plain(struct buf *out) {
    dump_write_length(out, CONTAINER_PLAIN);
}

void dump_write_list_node(struct buf *out, const struct packed *run, bool compress) {
    struct packed_value value;
    (void)packed_read(run->begin, &value);
    if (UNLIKELY(!value.is_int && value.text.len >= PLAIN_MIN)) { /* it has a node of its own */
        dump_write_list_plain(out);
        dump_write_string(out, value.text, compress);
        return;
    }
    dump_write_length(out, CONTAINER_PACKED);
    dump_write_listpack(out, run, compress);
}

void dump_write_list(struct buf *out, const struct entry *entry, bool compress) {
    struct packed run;
    if (entry->encoding == ENC_EMBEDDED) {
        run = entry_packed(entry);
        dump_write_length(out, 1);
        dump_write_list_node(out, &run, compress);
        return;
    }
    const struct quicklist *list = entry_object(entry);
    dump_write_length(out, quicklist_nodes(list));
    for (const struct quicklist_node *node = NULL; (node = quicklist_walk(list, node, &run));)
        dump_write_list_node(out, &run, compress);
}

/* --- reading --- */

/* Reads one node, or one element, and appends what it holds. */
typedef bool (*read_some)(struct slice *rest, const struct dump_target *target, struct quicklist *list);

static void append(const struct dump_target *target, struct quicklist *list, const struct packed_value *value) {
    quicklist_push(target->store, list, target->list_rule, LIST_TAIL, value);
}

static bool read_element(struct slice *rest, const struct dump_target *target, struct quicklist *list) {
    struct slice text;
    if (!dump_read_string(rest, target->scratch, &text)) return false;
    struct packed_value value = packed_value_of(text);
    append(target, list, &value);
    return true;
}

static bool read_ziplist(struct slice *rest, const struct dump_target *target, struct quicklist *list) {
    struct slice bytes;
    struct ziplist_walk walk;
    struct packed_value value;
    if (!dump_read_string(rest, target->scratch, &bytes) || !dump_open_ziplist(bytes, &walk)) return false;
    while (dump_next_in_ziplist(&walk, &value)) append(target, list, &value);
    return walk.sound;
}

static bool read_node(struct slice *rest, const struct dump_target *target, struct quicklist *list) {
    uint64_t container;
    struct slice bytes;
    struct packed run;
    if (!dump_read_length(rest, &container)) return false;
    if (container == CONTAINER_PLAIN) return read_element(rest, target, list);
    if (container != CONTAINER_PACKED || !dump_read_string(rest, target->scratch, &bytes)) return false;
    if (!dump_open_listpack(bytes, &run)) return false;
    quicklist_append_run(target->store, list, target->list_rule, &run);
    return true;
}

/* `count` times some. What is read takes memory in proportion to what is there, whatever count says. */
static struct entry *read_all(struct slice *rest, const struct dump_target *target, uint64_t count, read_some read) {
    struct quicklist *list = quicklist_new(target->store);
    bool sound = true;
    for (; sound && count > 0; count--) sound = read(rest, target, list);
    if (sound && quicklist_count(list) > 0)
        return list_new_entry(target->store, target->key, list, target->deadline_ms);
    quicklist_delete(target->store, list);
    return NULL;
}

struct entry *dump_read_list(struct slice *rest, const struct dump_target *target) {
    uint64_t count;
    return dump_read_length(rest, &count) ? read_all(rest, target, count, read_element) : NULL;
}

struct entry *dump_read_list_ziplist(struct slice *rest, const struct dump_target *target) {
    return read_all(rest, target, 1, read_ziplist);
}

struct entry *dump_read_list_quicklist(struct slice *rest, const struct dump_target *target) {
    uint64_t count;
    return dump_read_length(rest, &count) ? read_all(rest, target, count, read_ziplist) : NULL;
}

struct entry *dump_read_list_quicklist_2(struct slice *rest, const struct dump_target *target) {
    uint64_t count;
    return dump_read_length(rest, &count) ? read_all(rest, target, count, read_node) : NULL;
}
