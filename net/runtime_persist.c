/* The runtime's side of persistence: what net/runtime.h says about it, as the server's data directory has it. */
#include "net/runtime.h"
#include "net/thread.h"
#include "persist/persist.h"

static struct persist *persist_of(const struct shard *shard) {
    return thread_of(shard)->server->persist;
}

struct checkpoints *net_checkpoints(const struct shard *shard) {
    return persist_checkpoints(persist_of(shard));
}

struct live_export *net_live_export(const struct shard *shard) {
    return persist_live_export(persist_of(shard));
}

struct guard *net_guard(const struct shard *shard) {
    return persist_guard(persist_of(shard));
}

static struct persist_shard_facts facts_of(const struct journal_status *journal, uint64_t now_ns) {
    uint64_t oldest_ns = journal->oldest_pending_ns;
    return (struct persist_shard_facts){.batch_written = journal->batch_written,
                                        .batch_durable = journal->batch_durable,
                                        .bytes_pending = journal->bytes_pending,
                                        .staleness_ms =
                                            oldest_ns && now_ns > oldest_ns ? (now_ns - oldest_ns) / 1000000 : 0};
}

void net_persist_facts(const struct shard *shard, struct persist_facts *out) {
    struct persist_status status;
    persist_read_status(persist_of(shard), &status);
    *out = (struct persist_facts){.loading = status.loading,
                                  .loading_started_s = status.loading_started_ms / 1000,
                                  .loading_total_bytes = status.progress.bytes_total,
                                  .loading_done_bytes = status.progress.bytes,
                                  .keys_loaded = status.loading ? status.progress.keys : status.loaded.keys,
                                  .log_stands = status.log_stands,
                                  .shards = status.shards};
    for (uint32_t i = 0; i < status.shards; i++) {
        const struct persist_shard_status *part = &status.shard[i];
        out->journal_on |= part->journal_on;
        if (part->journal.error) out->journal_errno = part->journal.error;
        out->shard[i] = facts_of(&part->journal, shard->now_ns);
    }
}
