/* The block of words: shard_stats, error_stats, then counted lists of databases and commands:
 *
 *    | stats | errors | n | db keys expires ttl_sum index | ... | m | number calls ticks rejected failed [histogram] |
 *    ... | turn_stats |
 *
 * What was asked for is remembered in gather->memo[0], because it decides how the block is read. */
#include "net/totals.h"
#include "core/num.h"
#include "net/placement.h"
#include "net/thread.h"
#include "shards/exec.h"

static_assert(sizeof(struct shard_stats) % sizeof(uint64_t) == 0, "travels as words");
static_assert(sizeof(struct error_stats) % sizeof(uint64_t) == 0, "travels as words");
static_assert(sizeof(struct turn_stats) % sizeof(uint64_t) == 0, "travels as words");
#define STATS_WORDS (sizeof(struct shard_stats) / sizeof(uint64_t))

/* --- on each shard --- */

static void put(struct buf *block, uint64_t word) {
    buf_append(block, &word, sizeof word);
}

static void put_databases(struct buf *block, const struct shard *shard) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < shard->db_count; i++) count += shard_db_peek(shard, i) != NULL;
    put(block, count);
    for (uint32_t i = 0; i < shard->db_count; i++) {
        const struct keyspace *keys = shard_db_peek(shard, i);
        if (!keys) continue;
        put(block, i);
        put(block, keyspace_count(keys));
        put(block, keyspace_timed_count(keys));
        put(block, keyspace_ttl_sum_ms(keys));
        put(block, keyspace_index_bytes(keys));
    }
}

static bool was_used(const struct command_stats *stats) {
    return stats->calls || stats->rejected || stats->failed;
}

static void put_commands(struct buf *block, const struct shard *shard, bool histograms) {
    static const uint64_t none[HISTOGRAM_BUCKETS];
    uint32_t rows = command_registry_count(shard->registry);
    uint64_t count = 0;
    for (uint32_t i = 0; i < rows; i++) count += was_used(&shard->command_stats[i]);
    put(block, count);
    for (uint32_t i = 0; i < rows; i++) {
        const struct command_stats *stats = &shard->command_stats[i];
        if (!was_used(stats)) continue;
        put(block, i);
        put(block, stats->calls);
        put(block, stats->ticks);
        put(block, stats->rejected);
        put(block, stats->failed);
        if (histograms) buf_append(block, stats->histogram ? stats->histogram : none, sizeof none);
    }
}

/* They are still there and no longer connected. O(clients), as CLIENT LIST is. */
static uint64_t closing_clients(const struct shard *shard) {
    uint64_t count = 0;
    for (const struct client *client = shard->clients_first; client; client = client->next)
        count += (client->flags & CLIENT_CLOSE_NOW) != 0;
    return count;
}

void cmd_internal_totals(struct exec *x) {
    int64_t what;
    struct shard_stats stats;
    struct buf block;
    ASSERT(num_parse_i64(x->argv[1], &what));
    buf_init(&block, x->shard->heap, MEM_MESSAGE);
    shard_stats_read(x->shard, &stats);
    stats.clients -= closing_clients(x->shard);
    if (what & TOTALS_PLACES) placement_look(thread_of(x->shard), &stats.pages_seen, &stats.pages_local);
    buf_append(&block, &stats, sizeof stats);
    buf_append(&block, &x->shard->errors, sizeof x->shard->errors);
    put_databases(&block, x->shard);
    if (what & TOTALS_COMMANDS) put_commands(&block, x->shard, what & TOTALS_HISTOGRAMS);
    if (what & TOTALS_TURNS) buf_append(&block, &x->shard->turns.stats, sizeof x->shard->turns.stats);
    reply_bulk(x, buf_slice(&block));
    buf_deinit(&block);
}

/* --- at home --- */

void totals_request(struct gather *gather, unsigned what) {
    char digits[NUM_U64_MAX];
    struct slice argument = slice_of(digits, num_format_u64(digits, what));
    gather->memo[0] = what;
    for (uint32_t i = 0; i < gather_shards(gather); i++) gather_send(gather, i, "sherd.totals", &argument, 1);
}

static void take_bytes(struct slice *block, void *out, size_t size) {
    ASSERT(block->len >= size);
    memcpy(out, block->ptr, size);
    block->ptr += size;
    block->len -= size;
}

static uint64_t take(struct slice *block) {
    uint64_t word;
    take_bytes(block, &word, sizeof word);
    return word;
}

static void add_stats(struct shard_stats *sum, const struct shard_stats *part) {
    struct shard_stats before = *sum;
    uint64_t a[STATS_WORDS], b[STATS_WORDS];
    memcpy(a, sum, sizeof a);
    memcpy(b, part, sizeof b);
    for (size_t i = 0; i < STATS_WORDS; i++) a[i] += b[i];
    memcpy(sum, a, sizeof a);
    sum->queue_depth_max = MAX(before.queue_depth_max, part->queue_depth_max);
    sum->input_buffer_max = MAX(before.input_buffer_max, part->input_buffer_max);
    sum->output_buffer_max = MAX(before.output_buffer_max, part->output_buffer_max);
}

static void take_databases(struct totals *totals, uint32_t shard, struct slice *block) {
    for (uint64_t left = take(block); left > 0; left--) {
        uint64_t i = take(block);
        ASSERT(i < totals->db_count);
        struct db_totals part = {.keys = take(block)};
        part.expires = take(block);
        part.ttl_sum_ms = take(block);
        part.index_bytes = take(block);
        struct db_totals *db = &totals->db[i];
        db->keys += part.keys;
        db->expires += part.expires;
        db->ttl_sum_ms += part.ttl_sum_ms;
        db->index_bytes += part.index_bytes;
        totals->shard[shard].keys += part.keys;
        totals->shard[shard].expires += part.expires;
    }
}

static void take_commands(struct totals *totals, struct slice *block, bool histograms) {
    for (uint64_t left = take(block); left > 0; left--) {
        uint64_t number = take(block);
        ASSERT(number < totals->command_count);
        struct command_totals *command = &totals->command[number];
        command->calls += take(block);
        command->ticks += take(block);
        command->rejected += take(block);
        command->failed += take(block);
        for (int i = 0; histograms && i < HISTOGRAM_BUCKETS; i++) command->histogram[i] += take(block);
    }
}

static void take_part(struct totals *totals, uint32_t shard, struct slice block, unsigned what) {
    struct shard_stats *stats = &totals->shard[shard].stats;
    struct error_stats errors;
    take_bytes(&block, stats, sizeof *stats);
    take_bytes(&block, &errors, sizeof errors);
    add_stats(&totals->sum, stats);
    for (uint64_t i = 0; i < errors.used; i++) error_stats_add(&totals->errors, &errors.codes[i]);
    take_databases(totals, shard, &block);
    if (what & TOTALS_COMMANDS) take_commands(totals, &block, what & TOTALS_HISTOGRAMS);
    if (what & TOTALS_TURNS) take_bytes(&block, &totals->turns[shard], sizeof *totals->turns);
    ASSERT(block.len == 0);
}

struct totals *totals_new(const struct gather *gather) {
    struct shard *home = gather->home;
    unsigned what = (unsigned)gather->memo[0];
    struct totals *totals = heap_alloc_zero(home->heap, MEM_STATS, sizeof *totals);
    totals->home = home;
    totals->shard_count = gather->parts;
    totals->db_count = home->db_count;
    totals->db = heap_alloc_zero(home->heap, MEM_STATS, totals->db_count * sizeof *totals->db);
    totals->command_count = command_registry_count(home->registry);
    if (what & TOTALS_COMMANDS)
        totals->command = heap_alloc_zero(home->heap, MEM_STATS, totals->command_count * sizeof *totals->command);
    if (what & TOTALS_TURNS)
        totals->turns = heap_alloc_zero(home->heap, MEM_STATS, totals->shard_count * sizeof *totals->turns);
    for (uint32_t i = 0; i < gather->parts; i++) {
        struct slice block;
        ASSERT(gather_reply_bulk(gather_reply(gather, i), &block));
        take_part(totals, i, block, what);
    }
    error_stats_sort(&totals->errors);
    return totals;
}

void totals_delete(struct totals *totals) {
    struct heap *heap = totals->home->heap;
    if (totals->command) heap_free(heap, MEM_STATS, totals->command, totals->command_count * sizeof *totals->command);
    if (totals->turns) heap_free(heap, MEM_STATS, totals->turns, totals->shard_count * sizeof *totals->turns);
    heap_free(heap, MEM_STATS, totals->db, totals->db_count * sizeof *totals->db);
    heap_free(heap, MEM_STATS, totals, sizeof *totals);
}

uint64_t totals_memory(const struct totals *totals, enum mem_class owner) {
    int64_t bytes = (int64_t)totals->sum.memory[owner]; /* parts may be negative, their sum should not */
    return bytes > 0 ? (uint64_t)bytes : 0;
}

uint64_t totals_used_memory(const struct totals *totals) {
    uint64_t sum = 0;
    for (int i = 0; i < MEM_CLASSES; i++) sum += totals_memory(totals, (enum mem_class)i);
    return sum;
}

uint64_t totals_keys(const struct totals *totals) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < totals->db_count; i++) sum += totals->db[i].keys;
    return sum;
}

double totals_ns(const struct totals *totals, uint64_t ticks) {
    return (double)ticks * totals->home->host.tick_ns;
}
