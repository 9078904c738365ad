/* Buildings: a value put together of pieces (shards/piece.h). Each type has its adder; what becomes of the object at
 * the end is what its type's own module makes of such an object. */
#include "core/assert.h"
#include "core/fields.h"
#include "core/quicklist.h"
#include "shards/cmd_zset_priv.h"
#include "shards/list.h"
#include "shards/piece.h"
#include "shards/piece_stream.h"
#include "shards/set.h"

void building_begin(struct building *building, const struct keyspace_shared *shared, enum value_type type,
                    uint64_t how) {
    *building = (struct building){.shared = shared, .type = (uint8_t)type, .how = how};
    switch (type) {
    case TYPE_SET: building->object = members_new(&shared->store, &shared->set_rule.seed); break;
    case TYPE_ZSET: building->object = sorted_new(&shared->store, &shared->seed); break;
    case TYPE_HASH: building->object = fields_new(&shared->store, &shared->seed); break;
    case TYPE_STREAM: building->object = stream_new(&shared->store); break;
    default: ASSERT(type == TYPE_LIST); building->object = quicklist_new(&shared->store);
    }
}

bool building_begin_string(struct building *building, const struct keyspace_shared *shared, struct slice key,
                           uint64_t length) {
    const struct store *store = &shared->store;
    char *bytes;
    ASSERT(length > ENTRY_EMBED_MAX);
    struct entry *entry = entry_new_string(store, key, SLICE(""), 0, false);
    *building = (struct building){.shared = shared, .type = TYPE_STRING};
    building->object = entry_edit_string(store, entry, length, &bytes);
    if (!building->object) entry_delete(store, entry);
    return building->object != NULL;
}

void building_expect(struct building *building, uint64_t count) {
    if (building->type == TYPE_SET) members_expect(building->object, count);
    if (building->type == TYPE_ZSET) sorted_expect(building->object, count);
    if (building->type == TYPE_HASH) fields_expect(building->object, count);
}

void building_drop(struct building *building) {
    const struct store *store = &building->shared->store;
    if (!building->object) return;
    switch ((enum value_type)building->type) {
    case TYPE_SET: members_delete(store, building->object); break;
    case TYPE_ZSET: sorted_delete(store, building->object); break;
    case TYPE_HASH: fields_delete(store, building->object); break;
    case TYPE_STRING: entry_delete(store, building->object); break;
    case TYPE_STREAM: stream_delete(store, building->object); break;
    default: quicklist_delete(store, building->object);
    }
    building->object = NULL;
}

uint64_t building_count(const struct building *building) {
    switch ((enum value_type)building->type) {
    case TYPE_SET: return members_count(building->object);
    case TYPE_ZSET: return sorted_count(building->object);
    case TYPE_HASH: return fields_count(building->object);
    case TYPE_STRING: return building->at;
    case TYPE_STREAM: return ((const struct stream *)building->object)->length;
    default: return quicklist_count(building->object);
    }
}

static void add_score(struct building *building, struct slice member, double score) {
    const struct store *store = &building->shared->store;
    struct sorted_element *element = sorted_find(building->object, member);
    if (element)
        sorted_move(store, building->object, element, zset_aggregate((unsigned)building->how, element->score, score));
    else
        sorted_insert(store, building->object, member, score);
}

static void add_field(struct building *building, struct slice name, struct slice *piece) {
    const struct store *store = &building->shared->store;
    struct slice value = piece_next(piece);
    uint64_t deadline_ms;
    piece_take(piece, &deadline_ms, sizeof deadline_ms);
    (void)fields_put(store, building->object, name, value);
    if (!deadline_ms) return;
    fields_set_deadline(store, building->object, name, deadline_ms);
    if (fields_timed(building->object) == 1) fields_expect_timed(building->object, building->how);
}

static void add_bytes(struct building *building, struct slice piece) {
    struct bigstr *big = entry_bigstr(building->object);
    ASSERT(piece.len <= big->len - building->at);
    memcpy(big->bytes + building->at, piece.ptr, piece.len);
    building->at += piece.len;
}

void building_add(struct building *building, struct slice piece) {
    const struct store *store = &building->shared->store;
    if (building->type == TYPE_STRING) {
        add_bytes(building, piece);
        return;
    }
    if (building->type == TYPE_STREAM) {
        piece_add_to_stream(store, building->object, piece);
        return;
    }
    while (piece.len) {
        struct slice text = piece_next(&piece);
        struct packed_value value;
        switch ((enum value_type)building->type) {
        case TYPE_SET: (void)members_add(store, building->object, text); break;
        case TYPE_ZSET: add_score(building, text, piece_next_score(&piece)); break;
        case TYPE_HASH: add_field(building, text, &piece); break;
        default:
            value = packed_value_of(text);
            quicklist_push(store, building->object, &building->shared->list_rule, LIST_TAIL, &value);
        }
    }
}

/* A copy of a large value is an object, and shown as that one was, whatever the configuration would make of it. */
static struct entry *end_like(struct building *building, struct slice key, uint8_t form) {
    const struct store *store = &building->shared->store;
    void *object = building->object;
    if (building->type == TYPE_STRING) return object;
    if (building->type == TYPE_LIST) return list_new_entry(store, key, object, 0);
    if (building->type == TYPE_SET) members_set_numbers(object, form);
    if (building->type == TYPE_ZSET) sorted_set_compact(object, form);
    struct entry *entry = entry_new_object(store, key, (enum value_type)building->type, object, 0);
    if (building->type == TYPE_HASH && form) entry->flags |= ENTRY_SHOWN;
    if (building->type == TYPE_HASH && fields_timed(object) > 0) entry->flags |= ENTRY_FIELDS_TIMED;
    return entry;
}

struct entry *building_end(struct building *building, struct slice key, bool like, uint8_t form) {
    const struct keyspace_shared *shared = building->shared;
    struct entry *entry;
    if (building_count(building) == 0 && building->type != TYPE_STREAM) {
        building_drop(building);
        return NULL;
    }
    if (like) {
        entry = end_like(building, key, form);
    } else if (building->type == TYPE_SET) {
        entry = set_new_entry(&shared->store, &shared->set_rule, key, building->object, form, 0);
    } else {
        ASSERT(building->type == TYPE_ZSET);
        entry = zset_new_result(shared, key, building->object);
    }
    building->object = NULL;
    return entry;
}
