/* Recovery, LOAD, the journals: generation by generation, and in each the shards' one after the other. They have no key
 * in common, and what is about whole databases (FLUSHALL and its like) is done to the slots of the journal's shard
 * only.
 *
 * A checkpoint went on for a while, during which its journal did, too. So an effect of that journal counts only when
 * its batch is behind the frontier of its key.
 *
 * Effects are applied in groups, since a key's bucket and entry are far from the cache:
 *
 *      read 16   the bucket of each one's key is asked for
 *      then      the entries, for by now the buckets are there
 *      then      all are applied, in their order
 *
 * A piece of a group counts when the group's end does (persist/recover_pieces.c); what it says is passed over else.
 *
 * An effect with more arguments than there is room for is the last of its group and stays where the reader has it.
 *
 * What is read here is what VERIFY has read: a file that begins as another one by now, or ends sooner, has been changed
 * or cannot be read, and there is no going on with a part of it. */
#include "core/assert.h"
#include "persist/recover_priv.h"
#include "shards/effect_apply.h"
#include "shards/shard.h"
#include <inttypes.h>
#include <string.h>

static const struct recovery_chain *chain_of(const struct recovery *recovery, const struct recovery_thread *thread) {
    return &recovery->chains[thread->chain];
}

static uint32_t shards_of(const struct recovery *recovery, const struct recovery_chain *chain) {
    return recovery->manifest.generations[chain->generation].shards;
}

bool recovery_chain_is_wanted(const struct recovery *recovery, const struct recovery_chain *chain, uint32_t id) {
    return recovery_overlap(chain->shard, shards_of(recovery, chain), id, recovery->options.threads);
}

/* Frontiers that decide about the effects of this chain; NULL: all count. */
static const struct frontiers *frontiers_of(const struct recovery *recovery, const struct recovery_thread *thread) {
    const struct recovery_chain *chain = chain_of(recovery, thread);
    const struct manifest_checkpoint *checkpoint = &recovery->manifest.checkpoint;
    uint64_t boot = recovery->manifest.generations[chain->generation].boot;
    if (!checkpoint->number || checkpoint->boot != boot || chain->shard >= thread->frontier_count) return NULL;
    const struct frontiers *frontiers = &thread->frontiers[chain->shard];
    return thread->batch.seq <= frontiers->last ? frontiers : NULL;
}

static bool counts(const struct recovery *recovery, struct recovery_thread *thread, uint32_t key_at) {
    if (key_at == 0) return true; /* about whole databases: none is in a checkpoint's journal before its last batch */
    struct slice key = thread->effects.argv[key_at];
    if (!recovery_owns(thread, thread->db, key)) return false;
    const struct frontiers *frontiers = frontiers_of(recovery, thread);
    return !frontiers || thread->batch.seq > frontiers_find(frontiers, thread->db, key);
}

/* Database of a SELECT, checked when something is done in it. */
static uint32_t selected(struct slice text) {
    uint64_t db = 0;
    for (size_t i = 0; i < MIN(text.len, 9u); i++) db = db * 10 + (uint64_t)(text.ptr[i] - '0');
    return (uint32_t)db;
}

/* --- groups --- */

static void report_effect(struct recovery *recovery, const struct recovery_thread *thread,
                          const struct recovery_effect *effect, const char *why) {
    const struct recovery_segment *segment = &recovery->segments[thread->segment];
    char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
    recovery_segment_path(recovery, segment, path);
    recovery_damage_at(recovery, path, segment_offset(thread->reader) - effect->rest, why);
}

static void apply(struct recovery *recovery, struct recovery_thread *thread, const struct recovery_effect *effect) {
    struct error error = {0};
    const struct recovery_chain *chain = chain_of(recovery, thread);
    struct slot_range from = slot_range_of(chain->shard, shards_of(recovery, chain));
    if (effect_apply_from(thread->shard, effect->db, effect->argv, effect->argc, from, &error))
        thread->applied++;
    else
        report_effect(recovery, thread, effect, error.text);
}

/* False: it is full with this one. */
static bool add_to_group(struct recovery_thread *thread, uint32_t key_at) {
    struct recovery_group *group = &thread->group;
    struct recovery_effect *effect = &group->effects[group->count++];
    *effect = (struct recovery_effect){
        .argv = thread->effects.argv, .argc = thread->effects.argc, .db = thread->db, .rest = thread->effects.rest.len};
    if (key_at && thread->db < thread->shard->db_used && shard_db_peek(thread->shard, thread->db)) {
        effect->keyspace = shard_db_peek(thread->shard, thread->db);
        effect->hash = key_hash(&thread->shard->shared, effect->argv[key_at]);
        keyspace_prefetch_bucket(effect->keyspace, effect->hash);
    }
    if (effect->argc > RECOVERY_GROUP_ARGS - group->arg_count) return false;
    memcpy(group->args + group->arg_count, effect->argv, effect->argc * sizeof *effect->argv);
    effect->argv = group->args + group->arg_count;
    group->arg_count += effect->argc;
    return group->count < RECOVERY_GROUP;
}

/* A command is read. False: the group is full. */
static bool take_command(const struct recovery *recovery, struct recovery_thread *thread) {
    const struct slice *argv = thread->effects.argv;
    uint32_t argc = thread->effects.argc;
    bool ends = slice_is(argv[0], "exec");
    if (ends) thread->in_vain = false;
    if (ends || slice_is(argv[0], "multi")) return true;
    if (slice_is(argv[0], "select")) {
        if (argc > 1) thread->db = selected(argv[1]);
        return true;
    }
    if (thread->in_vain) return true;
    uint32_t key_at = effect_key_at(thread->shard, argv, argc);
    return !counts(recovery, thread, key_at) || add_to_group(thread, key_at);
}

/* Bytes of the batch's payload that count. */
static uint64_t counted_payload(const struct recovery_chain *chain, const struct recovery_thread *thread) {
    if (thread->batch.seq <= chain->end_seq) return thread->payload.len;
    return thread->batch.seq == chain->end_seq + 1 ? MIN(chain->end_part, thread->payload.len) : 0;
}

/* False: the group is full, or the payload is over. */
static bool read_effect(const struct recovery *recovery, struct recovery_thread *thread) {
    uint64_t offset = thread->payload.len - thread->effects.rest.len;
    thread->in_batch = false;
    if (offset >= counted_payload(chain_of(recovery, thread), thread)) return false;
    enum effect_item item = effect_reader_next(&thread->effects);
    if (item == EFFECT_END || item == EFFECT_BROKEN) return false; /* VERIFY has told */
    thread->in_batch = true;
    if (item == EFFECT_COMMAND) return take_command(recovery, thread);
    if (item == EFFECT_PIECE) thread->in_vain = !recovery_is_whole(chain_of(recovery, thread), thread->effects.stamp);
    return true;
}

/* The next group, as far as it gets with so many effects read: those of others do not count. */
static void read_group(const struct recovery *recovery, struct recovery_thread *thread) {
    struct recovery_group *group = &thread->group;
    group->count = group->next = group->arg_count = 0;
    for (unsigned i = 0; i < 4 * RECOVERY_GROUP && read_effect(recovery, thread); i++) continue;
    for (uint32_t i = 0; i < group->count; i++)
        if (group->effects[i].keyspace) keyspace_prefetch_entry(group->effects[i].keyspace, group->effects[i].hash);
}

/* --- batches, segments, chains --- */

static void next_segment(struct recovery *recovery, struct recovery_thread *thread) {
    if (thread->reader) {
        recovery_count_bytes(thread, recovery->segments[thread->segment].end_offset);
        segment_close(thread->reader);
    }
    thread->reader = NULL;
    thread->segment++;
}

static void changed_since(struct recovery *recovery, const struct recovery_segment *segment) {
    char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
    struct error error = {0};
    recovery_segment_path(recovery, segment, path);
    (void)error_set(&error, ST_INVALID, 0, "%.200s is not what it was a moment ago: somebody else changes it", path);
    recovery_fail(recovery, &error);
}

/* No batch follows. */
static void end_segment(struct recovery *recovery, struct recovery_thread *thread, enum segment_end end) {
    const struct recovery_segment *segment = &recovery->segments[thread->segment];
    bool is_short = segment_offset(thread->reader) < segment->end_offset;
    if (is_short && end == SEGMENT_UNREADABLE)
        recovery_fail(recovery, segment_error(thread->reader));
    else if (is_short)
        changed_since(recovery, segment);
    next_segment(recovery, thread);
}

/* The next batch; those that an earlier segment had are passed over. */
static void read_batch(struct recovery *recovery, struct recovery_thread *thread) {
    const struct recovery_chain *chain = chain_of(recovery, thread);
    uint64_t before = thread->batch.seq;
    enum segment_end end = segment_next(thread->reader, &thread->batch, &thread->payload);
    if (end == SEGMENT_DAMAGED && recovery->options.damage == DAMAGE_SKIP && segment_skip(thread->reader)) return;
    if (end != SEGMENT_MORE || thread->batch.seq > chain->end_seq + 1) {
        thread->batch.seq = before;
        if (end != SEGMENT_MORE)
            end_segment(recovery, thread, end);
        else
            next_segment(recovery, thread);
        return;
    }
    recovery_count_bytes(thread, segment_offset(thread->reader));
    if (thread->batch.seq <= before) {
        thread->batch.seq = before;
        return;
    }
    thread->db = thread->batch.db;
    thread->in_batch = true;
    thread->in_vain = false;
    effect_reader_start(&thread->effects, thread->payload);
}

static void open_segment(struct recovery *recovery, struct recovery_thread *thread) {
    const struct recovery_segment *segment = &recovery->segments[thread->segment];
    char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
    struct segment_header header;
    const struct segment_header *verified = &segment->header;
    struct error error = {0};
    thread->counted = 0;
    if (segment->opened != ST_OK) {
        next_segment(recovery, thread);
        return;
    }
    recovery_segment_path(recovery, segment, path);
    if (segment_open(&thread->reader, path, &header, &error) != ST_OK) {
        thread->reader = NULL;
        recovery_fail(recovery, &error); /* it could be opened before */
    } else if (header.boot != verified->boot || header.shard != verified->shard ||
               header.first_batch != verified->first_batch) {
        changed_since(recovery, segment);
    }
}

static void next_chain(struct recovery *recovery, struct recovery_thread *thread) {
    thread->chain++;
    if (thread->chain == recovery->chain_count) return;
    thread->segment = chain_of(recovery, thread)->first;
    thread->batch.seq = recovery_range(recovery, chain_of(recovery, thread))->first_seq - 1;
}

bool recovery_effects_step(struct recovery *recovery, struct recovery_thread *thread) {
    if (thread->chain == recovery->chain_count) return false;
    const struct recovery_chain *chain = chain_of(recovery, thread);
    bool chain_is_over = chain->count == 0 || thread->segment > chain->end_segment;
    if (thread->group.next < thread->group.count)
        apply(recovery, thread, &thread->group.effects[thread->group.next++]);
    else if (thread->in_batch)
        read_group(recovery, thread);
    else if (thread->reader)
        read_batch(recovery, thread);
    else if (chain_is_over || !recovery_chain_is_wanted(recovery, chain, thread->id))
        next_chain(recovery, thread);
    else
        open_segment(recovery, thread);
    return true;
}
