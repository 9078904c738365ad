/* Stream claim: XCLAIM key group consumer 0 id ... TIME t [RETRYCOUNT n] [JUSTID] [FORCE]. */
#include "shards/stream_claim.h"
#include "core/num.h"
#include "shards/effect_add.h"
#include "shards/shard.h"

#define IDS_MAX 256u /* in one effect */
#define WORDS   12u

static struct stream_id id_at(const struct buf *ids, size_t i) {
    struct stream_id id;
    memcpy(&id, ids->data + i * sizeof id, sizeof id);
    return id;
}

/* Adds head, ids and tail as one effect; there are IDS_MAX ids at most. */
static void add_with_ids(struct exec *x, const struct slice *head, uint32_t head_count, const struct buf *ids,
                         size_t first, size_t count, const struct slice *tail, uint32_t tail_count) {
    struct slice argv[WORDS + IDS_MAX];
    char text[IDS_MAX][STREAM_ID_TEXT_MAX];
    uint32_t argc = 0;
    for (uint32_t i = 0; i < head_count; i++) argv[argc++] = head[i];
    for (size_t i = 0; i < count; i++) argv[argc++] = stream_id_text(id_at(ids, first + i), text[i]);
    for (uint32_t i = 0; i < tail_count; i++) argv[argc++] = tail[i];
    effect_add(x, x->db, argv, argc);
}

void claim_effect_begin(struct claim_effect *effect, struct exec *x, struct slice key, const struct stream_group *group,
                        struct slice consumer, const struct claim_words *words) {
    *effect = (struct claim_effect){.x = x, .key = key, .group = group, .consumer = consumer, .words = *words};
    buf_init(&effect->ids, x->shard->heap, MEM_MESSAGE);
}

static void flush(struct claim_effect *effect) {
    char time[NUM_U64_MAX], deliveries[NUM_U64_MAX];
    const struct claim_words *words = &effect->words;
    struct slice head[] = {SLICE("XCLAIM"), effect->key, effect->group->name, effect->consumer, SLICE("0")};
    struct slice tail[6] = {SLICE("TIME"), slice_of(time, num_format_u64(time, words->time_ms))};
    uint32_t tail_count = 2;
    if (words->how == CLAIM_SET) {
        tail[tail_count++] = SLICE("RETRYCOUNT");
        tail[tail_count++] = slice_of(deliveries, num_format_u64(deliveries, words->deliveries));
    }
    if (words->how != CLAIM_COUNT) tail[tail_count++] = SLICE("JUSTID");
    if (words->force) tail[tail_count++] = SLICE("FORCE");
    add_with_ids(effect->x, head, ARRAY_LEN(head), &effect->ids, 0, effect->ids.len / sizeof(struct stream_id), tail,
                 tail_count);
    effect->ids.len = 0;
}

void claim_effect_add(struct claim_effect *effect, struct stream_id id) {
    if (!effect->x->shard->effects.on) return;
    buf_append(&effect->ids, &id, sizeof id);
    if (effect->ids.len >= IDS_MAX * sizeof id) flush(effect);
}

void claim_effect_end(struct claim_effect *effect) {
    if (effect->ids.len > 0) flush(effect);
    buf_deinit(&effect->ids);
}

void effect_group_place(struct exec *x, struct slice key, const struct stream_group *group) {
    char id[STREAM_ID_TEXT_MAX], read[NUM_I64_MAX];
    if (!x->shard->effects.on) return;
    struct slice argv[] = {SLICE("XGROUP"),
                           SLICE("SETID"),
                           key,
                           group->name,
                           stream_id_text(group->last, id),
                           SLICE("ENTRIESREAD"),
                           slice_of(read, num_format_i64(read, group->read))};
    effect_add(x, x->db, argv, ARRAY_LEN(argv));
}

void effect_forget(struct exec *x, struct slice key, const struct stream_group *group, const struct buf *ids) {
    struct slice head[] = {SLICE("XACK"), key, group->name};
    size_t count = ids->len / sizeof(struct stream_id);
    if (!x->shard->effects.on) return;
    for (size_t first = 0; first < count; first += IDS_MAX)
        add_with_ids(x, head, ARRAY_LEN(head), ids, first, MIN(count - first, (size_t)IDS_MAX), NULL, 0);
}
