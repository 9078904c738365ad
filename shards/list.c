/* Lists: what is done to a small one is an edit of its entry's run; all else is the quicklist's. */
#include "shards/list.h"
#include "core/assert.h"

#define BATCH 16 /* values encoded at a time */

static bool is_small(const struct entry *entry) {
    ASSERT(entry->type == TYPE_LIST);
    return entry->encoding == ENC_EMBEDDED;
}

static size_t run_len(const struct packed *run) {
    return (size_t)(run->end - run->begin);
}

/* --- reading --- */

uint64_t list_len(const struct entry *entry) {
    return is_small(entry) ? entry_packed(entry).count : quicklist_count(entry_object(entry));
}

void list_peek(const struct entry *entry, enum list_end end, struct packed_value *value) {
    if (!is_small(entry)) {
        bool found = quicklist_peek(entry_object(entry), end, value);
        ASSERT(found);
        return;
    }
    struct packed run = entry_packed(entry);
    (void)packed_read(end == LIST_HEAD ? run.begin : packed_prev(run.end), value);
}

struct quicklist_iter list_seek(const struct entry *entry, uint64_t index) {
    if (!is_small(entry)) return quicklist_seek(entry_object(entry), index);
    struct packed run = entry_packed(entry);
    return quicklist_iter_of_run(&run, (uint32_t)index);
}

struct list_shape list_shape_of(const struct entry *entry) {
    struct list_shape shape = {.nodes = 1};
    struct packed run;
    if (is_small(entry)) {
        run = entry_packed(entry);
        shape.bytes = run_len(&run);
        return shape;
    }
    const struct quicklist *list = entry_object(entry);
    shape.nodes = quicklist_nodes(list);
    for (const struct quicklist_node *node = NULL; (node = quicklist_walk(list, node, &run));)
        shape.bytes += run_len(&run);
    return shape;
}

/* --- pushing --- */

/* Makes the list a quicklist; an absent one is created, and empty until its caller pushes. */
static struct quicklist *make_large(struct keyspace *keys, struct key_ref *ref) {
    const struct keyspace_shared *shared = keyspace_shared_of(keys);
    struct quicklist *list = quicklist_new(&shared->store);
    if (ref->entry) {
        struct packed run = entry_packed(ref->entry);
        quicklist_append_run(&shared->store, list, &shared->list_rule, &run);
        keyspace_set_object(keys, ref, list);
    } else {
        keyspace_put_entry(keys, ref, entry_new_object(&shared->store, ref->key, TYPE_LIST, list, 0));
    }
    return list;
}

/* Encodes the first of the texts, as many as fit into a small list of `used` bytes. */
static uint32_t encode(const struct slice *texts, uint32_t count, size_t used, struct packed_value values[BATCH],
                       size_t *len) {
    uint32_t fit = 0;
    *len = 0;
    for (; fit < count && fit < BATCH; fit++) {
        values[fit] = packed_value_of(texts[fit]);
        size_t size = packed_size(&values[fit]);
        if (used + *len + size > LIST_EMBED_MAX) break;
        *len += size;
    }
    return fit;
}

/* Puts values, `len` bytes in all, at one end of a list that is or becomes small. */
static void push_small(struct keyspace *keys, struct key_ref *ref, enum list_end end, const struct packed_value *values,
                       uint32_t count, size_t len) {
    char *at;
    struct entry *fresh = NULL;
    if (ref->entry) {
        struct packed run = entry_packed(ref->entry);
        at = keyspace_edit_packed(
            keys, ref,
            (struct packed_edit){.at = end == LIST_HEAD ? 0 : run_len(&run), .insert = len, .added = (int32_t)count});
    } else {
        fresh = entry_new_packed(&keyspace_shared_of(keys)->store, ref->key, TYPE_LIST, count, len, 0, &at);
    }
    for (uint32_t i = 0; i < count; i++) at = packed_write(at, &values[end == LIST_HEAD ? count - 1 - i : i]);
    if (fresh) keyspace_put_entry(keys, ref, fresh);
}

void list_push(struct keyspace *keys, struct key_ref *ref, enum list_end end, const struct slice *texts,
               uint32_t count) {
    const struct keyspace_shared *shared = keyspace_shared_of(keys);
    uint32_t done = 0;
    while (done < count && (!ref->entry || is_small(ref->entry))) {
        struct packed_value values[BATCH];
        size_t len, used = 0;
        if (ref->entry) {
            struct packed run = entry_packed(ref->entry);
            used = run_len(&run);
        }
        uint32_t fit = encode(texts + done, count - done, used, values, &len);
        if (fit == 0) break;
        push_small(keys, ref, end, values, fit, len);
        done += fit;
    }
    if (done == count) return;
    struct quicklist *list = ref->entry && !is_small(ref->entry) ? entry_object(ref->entry) : make_large(keys, ref);
    for (; done < count; done++) {
        struct packed_value value = packed_value_of(texts[done]);
        quicklist_push(&shared->store, list, &shared->list_rule, end, &value);
    }
}

/* --- other changes --- */

void list_drop(struct keyspace *keys, struct key_ref *ref, enum list_end end, uint64_t count) {
    if (count >= list_len(ref->entry)) {
        keyspace_remove(keys, ref);
    } else if (!is_small(ref->entry)) {
        quicklist_drop(&keyspace_shared_of(keys)->store, entry_object(ref->entry), end, count);
    } else if (count > 0) {
        struct packed run = entry_packed(ref->entry);
        uint32_t cut = end == LIST_HEAD ? (uint32_t)count : run.count - (uint32_t)count;
        size_t at = (size_t)(packed_at(&run, cut) - run.begin);
        struct packed_edit edit = {.at = end == LIST_HEAD ? 0 : at,
                                   .remove = end == LIST_HEAD ? at : run_len(&run) - at,
                                   .added = -(int32_t)count};
        keyspace_edit_packed(keys, ref, edit);
    }
}

/* Puts a value between two elements of a small list, in place of `remove` bytes; false when it would not be small. */
static bool edit_small(struct keyspace *keys, struct key_ref *ref, uint64_t index, bool replace,
                       const struct packed_value *value) {
    struct packed run = entry_packed(ref->entry);
    const char *at = packed_at(&run, (uint32_t)index);
    struct packed_edit edit = {.at = (size_t)(at - run.begin),
                               .remove = replace ? (size_t)(packed_next(at) - at) : 0,
                               .insert = packed_size(value),
                               .added = !replace};
    if (run_len(&run) - edit.remove + edit.insert > LIST_EMBED_MAX) return false;
    packed_write(keyspace_edit_packed(keys, ref, edit), value);
    return true;
}

void list_insert(struct keyspace *keys, struct key_ref *ref, uint64_t before, struct slice text) {
    const struct keyspace_shared *shared = keyspace_shared_of(keys);
    struct packed_value value = packed_value_of(text);
    bool small = is_small(ref->entry);
    if (small && edit_small(keys, ref, before, false, &value)) return;
    struct quicklist *list = small ? make_large(keys, ref) : entry_object(ref->entry);
    struct quicklist_iter at = quicklist_seek(list, before);
    quicklist_insert(&shared->store, list, &shared->list_rule, &at, &value);
}

void list_replace(struct keyspace *keys, struct key_ref *ref, uint64_t index, struct slice text) {
    const struct keyspace_shared *shared = keyspace_shared_of(keys);
    struct packed_value value = packed_value_of(text);
    bool small = is_small(ref->entry);
    if (small && edit_small(keys, ref, index, true, &value)) return;
    struct quicklist *list = small ? make_large(keys, ref) : entry_object(ref->entry);
    struct quicklist_iter at = quicklist_seek(list, index);
    quicklist_replace(&shared->store, list, &shared->list_rule, &at, &value);
}

static uint32_t purge_small(struct keyspace *keys, struct key_ref *ref, enum list_end from,
                            const struct packed_value *sought, uint64_t max) {
    struct packed run = entry_packed(ref->entry);
    uint32_t skip = 0, gone;
    if (from == LIST_TAIL) {
        uint32_t equal = packed_count_equal(&run, sought);
        skip = equal > max ? equal - (uint32_t)max : 0;
    }
    char left[ENTRY_PACKED_MAX];
    memcpy(left, run.begin, run_len(&run));
    size_t len = (size_t)(packed_purge(left, left + run_len(&run), sought, skip, max, &gone) - left);
    if (gone == 0) return 0;
    struct packed_edit edit = {.remove = run_len(&run), .insert = len, .added = -(int32_t)gone};
    memcpy(keyspace_edit_packed(keys, ref, edit), left, len);
    return gone;
}

bool list_purge_some(struct keyspace *keys, struct key_ref *ref, enum list_end from, struct slice text,
                     struct quicklist_purging *purging, unsigned nodes) {
    const struct keyspace_shared *shared = keyspace_shared_of(keys);
    struct packed_value sought = packed_value_of(text);
    bool more = false;
    if (is_small(ref->entry))
        purging->gone = purge_small(keys, ref, from, &sought, purging->max);
    else
        more = quicklist_purge_some(&shared->store, entry_object(ref->entry), &shared->list_rule, from, &sought,
                                    purging, nodes);
    if (list_len(ref->entry) == 0) keyspace_remove(keys, ref);
    return more;
}

uint64_t list_purge(struct keyspace *keys, struct key_ref *ref, enum list_end from, struct slice text, uint64_t max) {
    struct quicklist_purging purging = {.max = max};
    while (list_purge_some(keys, ref, from, text, &purging, UINT32_MAX)) continue;
    return purging.gone;
}

/* --- loading --- */

struct entry *list_new_entry(const struct store *store, struct slice key, struct quicklist *list,
                             uint64_t deadline_ms) {
    struct packed run;
    char *at;
    ASSERT(quicklist_count(list) > 0);
    (void)quicklist_walk(list, NULL, &run);
    if (quicklist_nodes(list) > 1 || run_len(&run) > LIST_EMBED_MAX)
        return entry_new_object(store, key, TYPE_LIST, list, deadline_ms);
    struct entry *entry = entry_new_packed(store, key, TYPE_LIST, run.count, run_len(&run), deadline_ms, &at);
    memcpy(at, run.begin, run_len(&run));
    quicklist_delete(store, list);
    return entry;
}
