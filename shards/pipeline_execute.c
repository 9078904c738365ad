/* One command, wherever it came from: with what it writes to the journal, counted, timed, and into the slow log. */
#include "core/assert.h"
#include "core/probe.h"
#include "shards/answer_work.h"
#include "shards/gather.h"
#include "shards/message.h"
#include "shards/pipeline_priv.h"
#include "shards/shard.h"

static void log_slow(struct shard *shard, const struct client *client, const struct slice *argv, uint32_t argc,
                     uint64_t micros) {
    char address[64] = "";
    if (client && client->carrier) client->carrier->address(client, false, address, sizeof address);
    slowlog_add(&shard->slowlog, (uint32_t)shard->config->slowlog_max_len, shard->now_ms / 1000, micros, argv, argc,
                address, client && client->name ? client->name : "");
}

static COLD void count_slow(struct shard *shard, struct exec *x, uint64_t micros) {
    if (x->blocks || x->slot->row->flags & CMD_SKIP_SLOWLOG) return; /* one that waits is slow when it is served */
    if (x->slow_us)
        *x->slow_us = micros;
    else
        log_slow(shard, x->client, x->argv, x->argc, micros);
}

void pipeline_log_slow(struct shard *shard, const struct message *message) {
    size_t at = 0;
    const struct message_item *item;
    for (uint32_t i = 0; (item = message_next(message, &at)); i++) {
        if (!item->slow) continue;
        size_t bytes = item->argc * sizeof(struct slice);
        struct slice *argv = heap_alloc(shard->heap, MEM_MESSAGE, bytes);
        message_item_argv(item, argv);
        log_slow(shard, message_note_at(message, i)->client, argv, item->argc, item->slow_us);
        heap_free(shard->heap, MEM_MESSAGE, argv, bytes);
    }
}

/* What it took and how it ended. */
HOT_INLINE void count_end(struct shard *shard, struct exec *x, struct command_stats *stats, uint64_t ticks) {
    stats->ticks += ticks;
    if (UNLIKELY(x->failed)) {
        stats->failed++;
        shard->stats.errors++;
    }
    if (LIKELY(shard->config->latency_tracking)) {
        if (UNLIKELY(!stats->histogram))
            stats->histogram = heap_alloc_zero(shard->heap, MEM_STATS, HISTOGRAM_BUCKETS * sizeof(uint64_t));
        /* Signed, as processors convert them: without a sign to look at it takes one instruction each way. */
        uint64_t ns = (uint64_t)(int64_t)((double)(int64_t)ticks * shard->host.tick_ns) | 1;
        unsigned bucket = 63u - (unsigned)__builtin_clzll(ns);
        stats->histogram[MIN(bucket, HISTOGRAM_BUCKETS - 1u)]++;
    }
}

/* One of the few that took as long as somebody wants to hear of: the slow log, LATENCY, or whoever asks what a slow
 * turn did. */
static COLD void took_long(struct shard *shard, struct exec *x, uint64_t ticks) {
    shard_note_ticks(shard, x->slot->row->flags & CMD_FAST ? SPIKE_FAST_COMMAND : SPIKE_COMMAND, ticks);
    if (ticks >= shard->slow_ticks) count_slow(shard, x, (uint64_t)((double)ticks * shard->host.tick_ns / 1000));
}

HOT_INLINE void count_command(struct shard *shard, struct exec *x, uint64_t ticks) {
    struct command_stats *stats = &shard->command_stats[x->slot->number];
    stats->calls++;
    shard->stats.commands++;
    count_end(shard, x, stats, ticks);
}

void pipeline_count(struct shard *shard, struct exec *x, uint64_t ticks) {
    count_command(shard, x, ticks);
    if (UNLIKELY(ticks >= shard->watch_ticks)) took_long(shard, x, ticks);
}

void pipeline_count_served(struct shard *shard, struct exec *x, uint64_t ticks) {
    count_end(shard, x, &shard->command_stats[x->slot->number], ticks);
    if (UNLIKELY(ticks >= shard->watch_ticks)) took_long(shard, x, ticks);
}

/* Commands inside of it (EXEC) have effects of their own. */
static void run_with_effect(struct shard *shard, struct exec *x) {
    struct effects *effects = &shard->effects;
    const struct command *row = x->slot->row;
    uint64_t dirty = shard->shared.dirty, added = effects->added;
    effects_open(effects, 0, 0);
    row->run(x);
    bool changed = shard->shared.dirty != dirty;
    if (changed && effects->added == added && !x->tells) {
        ASSERT(row->replays);
        effects_add(effects, x->db, x->argv, x->argc);
    }
    /* Not counted as changes: the second half of what is counted elsewhere. */
    ASSERT_SLOW(changed || effects->added == added || row->flags & CMD_INTERNAL || row->wide);
    effects_close(effects);
}

static bool may_change_keys(const struct command *row) {
    return row->flags & CMD_WRITE || row->locks != NULL; /* or holds commands that do */
}

/* While there is a journal: with what it writes, and what the reply waits for. */
static NOINLINE void run_and_note(struct shard *shard, struct exec *x) {
    uint64_t added = shard->effects.added;
    if (may_change_keys(x->slot->row))
        run_with_effect(shard, x);
    else
        x->slot->row->run(x);
    if (shard->commit.on) commit_note(x, shard->effects.added != added);
}

void pipeline_execute(struct shard *shard, struct exec *x) {
    x->shard = shard;
    x->shared = &shard->shared;
    x->keys = shard_db(shard, x->db);
    uint64_t start = shard->last_tick;
    PROBE4(command_start, shard->id, x->client_id, x->slot->row->name, x->argc);
    if (shard->effects.on)
        run_and_note(shard, x);
    else
        x->slot->row->run(x);
    uint64_t end = shard->host.ticks(shard->host.ctx);
    shard->last_tick = end;
    if (UNLIKELY(x->out->len > ADMIT_LARGE)) answer_may_be_large(x);
    PROBE4(command_end, shard->id, x->client_id, x->slot->row->name, x->failed);
    uint64_t ticks = end - start;
    bool whole = !x->again && !x->part;
    if (LIKELY(whole)) count_command(shard, x, ticks);
    if (LIKELY(ticks < shard->watch_ticks)) return;
    turns_note_command(&shard->turns, ticks, x->slot->number);
    if (whole) took_long(shard, x, ticks);
}

void pipeline_count_gather(struct shard *shard, const struct gather *gather, bool failed) {
    struct exec x = {.slot = gather->slot,
                     .argv = gather->argv,
                     .argc = gather->argc,
                     .client = gather->client,
                     .blocks = gather->blocks,
                     .failed = failed};
    struct slice name;
    if (!x.argv) { /* a split command: its name is all there is for the slow log */
        name = slice_of_cstr(gather->slot->row->name);
        x.argv = &name;
        x.argc = 1;
    }
    uint64_t now = shard->host.ticks(shard->host.ctx);
    if (gather->again)
        pipeline_count_served(shard, &x, now - gather->started_tick);
    else
        pipeline_count(shard, &x, now - gather->started_tick);
}
