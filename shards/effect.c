/* Effects: an open group is written where it stays, behind the bytes of those before. That there are several effects is
 * known with the second one: MULTI is put before the first then, which moves that one's bytes once. */
#include "shards/effect.h"
#include "core/assert.h"
#include "core/resp_write.h"

#define PIECE_BYTES   ((size_t)64 << 10)
#define PAYLOAD_BYTES ((size_t)64 << 10)
#define TELL_BYTES    ((size_t)256 << 10) /* below it takes less than half a millisecond in one go */

void effects_init(struct effects *effects, struct heap *heap) {
    *effects = (struct effects){.piece_bytes = PIECE_BYTES, .payload_bytes = PAYLOAD_BYTES, .tell_bytes = TELL_BYTES};
    buf_init(&effects->bytes, heap, MEM_MESSAGE);
}

void effects_deinit(struct effects *effects) {
    buf_deinit(&effects->bytes);
}

void effects_take(struct effects *effects, struct buf *out, uint32_t *db) {
    ASSERT((effects->depth == 0 || (effects->count == 0 && !effects->named)) && buf_readable(out) == 0);
    struct buf empty = *out;
    *out = effects->bytes;
    *db = effects->begin_db;
    effects->bytes = empty;
    effects->bytes.len = effects->bytes.read = 0;
    effects->begin_db = effects->db;
}

static void write_select(struct buf *out, uint32_t db) {
    resp_array(out, 2);
    buf_append_literal(out, "$6\r\nSELECT\r\n");
    resp_bulk_int(out, db);
}

static void select_db(struct effects *effects, uint32_t db) {
    if (LIKELY(effects->db == db)) return;
    write_select(&effects->bytes, db);
    effects->db = db;
}

#define MULTI "*1\r\n$5\r\nMULTI\r\n"
#define EXEC  "*1\r\n$4\r\nEXEC\r\n"

/* A transaction of several shards; else there is nothing that could be torn apart. */
static bool needs_line(const struct effects *effects, uint64_t participants) {
    return effects->on && (participants & (participants - 1)) != 0;
}

static void write_line(struct effects *effects, char kind, uint64_t stamp, uint64_t number) {
    buf_printf(&effects->bytes, "#%c %016llx %016llx\r\n", kind, (unsigned long long)stamp, (unsigned long long)number);
}

/* --- the open group --- */

void effects_open(struct effects *effects, uint64_t stamp, uint64_t participants) {
    if (effects->depth++ > 0) return;
    effects->count = 0;
    effects->named = needs_line(effects, participants);
    if (effects->named) write_line(effects, 'T', stamp, participants);
}

void effects_close(struct effects *effects) {
    ASSERT(effects->depth > 0);
    if (--effects->depth > 0) return;
    if (effects->count > 1) buf_append_literal(&effects->bytes, EXEC);
    effects->position += effects->count > 0 || effects->named;
}

static struct buf *next_in_open(struct effects *effects, uint32_t db) {
    struct buf *out = &effects->bytes;
    if (effects->count == 1) buf_insert(out, effects->mark, SLICE(MULTI));
    select_db(effects, db);
    if (effects->count++ == 0) effects->mark = out->len;
    return out;
}

static struct buf *next_in_kept(struct effect_group *group, uint32_t db) {
    if (group->count++ == 0)
        group->first_db = db;
    else if (group->db != db)
        write_select(&group->bytes, db);
    group->db = db;
    return &group->bytes;
}

static struct buf *next_effect(struct effects *effects, uint32_t db) {
    ASSERT(effects->on && effects->depth > 0);
    return effects->kept ? next_in_kept(effects->kept, db) : next_in_open(effects, db);
}

void effects_add(struct effects *effects, uint32_t db, const struct slice *argv, uint32_t argc) {
    effects->added++;
    resp_command(next_effect(effects, db), argv, argc);
}

void effects_add_resp(struct effects *effects, uint32_t db, struct slice arguments, uint32_t argc) {
    effects->added++;
    struct buf *out = next_effect(effects, db);
    resp_array(out, argc);
    buf_append_slice(out, arguments);
}

void effects_add_removed(struct effects *effects, uint32_t db, struct slice key) {
    effects_open(effects, 0, 0);
    resp_command(next_effect(effects, db), (struct slice[]){SLICE("DEL"), key}, 2);
    effects_close(effects);
}

void effects_add_field_removed(struct effects *effects, uint32_t db, struct slice key, struct slice field) {
    effects_open(effects, 0, 0);
    resp_command(next_effect(effects, db), (struct slice[]){SLICE("HDEL"), key, field}, 3);
    effects_close(effects);
}

/* --- kept groups --- */

struct effect_group *effect_group_new(struct heap *heap) {
    struct effect_group *group = heap_alloc_zero(heap, MEM_MESSAGE, sizeof *group);
    buf_init(&group->bytes, heap, MEM_MESSAGE);
    return group;
}

void effect_group_delete(struct heap *heap, struct effect_group *group) {
    if (!group) return;
    buf_deinit(&group->bytes);
    heap_free(heap, MEM_MESSAGE, group, sizeof *group);
}

static void add_kept(struct effects *effects, const struct effect_group *group, bool framed) {
    select_db(effects, group->first_db);
    if (framed) buf_append_literal(&effects->bytes, MULTI);
    buf_append_slice(&effects->bytes, buf_slice(&group->bytes));
    if (framed) buf_append_literal(&effects->bytes, EXEC);
    effects->db = group->db;
}

void effects_add_piece_slow(struct effects *effects, struct effect_group *group, uint64_t stamp) {
    ASSERT(effects->on && effects->depth == 0 && !effects->kept && group->count > 0);
    write_line(effects, 'P', stamp, ++group->pieces);
    add_kept(effects, group, true); /* also a single one: where it ends shows where the piece does */
    group->bytes.len = 0;
    group->count = 0;
}

void effects_add_group(struct effects *effects, struct heap *heap, struct effect_group *group, uint64_t stamp,
                       uint64_t participants) {
    ASSERT(effects->depth == 0);
    bool named = needs_line(effects, participants), any = effects->on && group && group->count > 0;
    bool ends = effects->on && group && group->pieces > 0;
    if (named) write_line(effects, 'T', stamp, participants);
    if (ends) write_line(effects, 'E', stamp, group->pieces);
    if (any) add_kept(effects, group, group->count > 1);
    effects->position += named || ends || any;
    effect_group_delete(heap, group);
}
