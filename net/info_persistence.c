/* INFO's section about persistence: Redis's fields, and for each shard how far its journal and its checkpoint are. What
 * Redis does with a process of its own (fork, copy-on-write) reads as zero. */
#include "net/cmd_info_priv.h"
#include "persist/checkpoints.h"
#include "persist/guard.h"
#include "persist/live_export.h"

static const char *ok_text(bool ok) {
    return ok ? "ok" : "err";
}

/* The server saves nothing: as of a Redis that has not saved yet. */
static void read_checkpoints(const struct info *info, struct checkpoints_status *out) {
    const struct shard *home = info->totals->home;
    struct checkpoints *checkpoints = net_checkpoints(home);
    if (checkpoints) {
        checkpoints_read_status(checkpoints, home->now_ms, out);
        return;
    }
    *out = (struct checkpoints_status){.last_save_ok = true,
                                       .last_rewrite_ok = true,
                                       .last_save_time_s = (int64_t)(info->facts->started_ms / 1000),
                                       .last_save_took_s = -1,
                                       .current_save_s = -1,
                                       .last_rewrite_took_s = -1,
                                       .current_rewrite_s = -1};
}

static void info_export(const struct info *info) {
    const struct shard *home = info->totals->home;
    struct live_export *live = net_live_export(home);
    struct live_export_status status;
    if (!live) return;
    live_export_read(live, home->now_ms, &status);
    info_number(info, "export_in_progress", status.in_progress);
    info_signed(info, "export_current_time_sec", status.current_s);
    info_text(info, "export_last_status", ok_text(status.last_ok));
    info_signed(info, "export_last_time_sec", status.last_took_s);
    info_text(info, "export_last_file", status.last_name);
}

static void info_loading(const struct info *info, const struct persist_facts *facts) {
    info_number(info, "loading", facts->loading);
    info_number(info, "async_loading", 0);
    info_number(info, "current_cow_peak", 0);
    info_number(info, "current_cow_size", 0);
    info_number(info, "current_cow_size_age", 0);
}

static void info_rdb(const struct info *info, const struct persist_facts *facts,
                     const struct checkpoints_status *status) {
    double part = status->keys_total ? 100.0 * (double)status->keys / (double)status->keys_total : 0;
    buf_printf(info->out, "current_fork_perc:%.2f\r\n", MIN(part, 100.0));
    info_number(info, "current_save_keys_processed", status->keys);
    info_number(info, "current_save_keys_total", status->keys_total);
    uint64_t dirty = info->totals->sum.dirty;
    info_number(info, "rdb_changes_since_last_save", dirty - MIN(dirty, status->changes_saved));
    info_number(info, "rdb_bgsave_in_progress", status->saving);
    info_signed(info, "rdb_last_save_time", status->last_save_time_s);
    info_text(info, "rdb_last_bgsave_status", ok_text(status->last_save_ok));
    info_signed(info, "rdb_last_bgsave_time_sec", status->last_save_took_s);
    info_signed(info, "rdb_current_bgsave_time_sec", status->current_save_s);
    info_number(info, "rdb_saves", status->saves);
    info_number(info, "rdb_last_cow_size", 0);
    info_number(info, "rdb_last_load_keys_expired", facts->keys_expired_at_load);
    info_number(info, "rdb_last_load_keys_loaded", facts->keys_loaded);
}

/* After CONFIG SET appendonly the log begins or ends with a rewrite, which thread 0 asks for when it looks next. */
static bool rewrite_is_due(const struct info *info, const struct persist_facts *facts,
                           const struct checkpoints_status *status) {
    if (status->rewrite_scheduled) return true;
    if (status->shards == 0 || facts->loading || status->rewriting) return false;
    return info->totals->home->config->appendonly != facts->log_stands;
}

static void info_aof(const struct info *info, const struct persist_facts *facts,
                     const struct checkpoints_status *status) {
    info_number(info, "aof_enabled", info->totals->home->config->appendonly);
    info_number(info, "aof_rewrite_in_progress", status->rewriting);
    info_number(info, "aof_rewrite_scheduled", rewrite_is_due(info, facts, status));
    info_signed(info, "aof_last_rewrite_time_sec", status->last_rewrite_took_s);
    info_signed(info, "aof_current_rewrite_time_sec", status->current_rewrite_s);
    info_text(info, "aof_last_bgrewrite_status", ok_text(status->last_rewrite_ok));
    info_number(info, "aof_rewrites", status->rewrites);
    info_number(info, "aof_rewrites_consecutive_failures", status->rewrites_failed_in_a_row);
    info_text(info, "aof_last_write_status", ok_text(facts->journal_errno == 0));
    info_number(info, "aof_last_cow_size", 0);
    info_number(info, "module_fork_in_progress", 0);
    info_number(info, "module_fork_last_cow_size", 0);
    if (!facts->journal_on) return;
    uint64_t pending = 0;
    for (uint32_t i = 0; i < facts->shards; i++) pending += facts->shard[i].bytes_pending;
    info_number(info, "aof_current_size", status->base_bytes + status->journal_bytes);
    info_number(info, "aof_base_size", status->base_bytes);
    info_number(info, "aof_pending_rewrite", 0);
    info_number(info, "aof_buffer_length", pending);
    info_number(info, "aof_pending_bio_fsync", 0);
    info_number(info, "aof_delayed_fsync", 0);
}

static void info_loading_more(const struct info *info, const struct persist_facts *facts) {
    if (!facts->loading) return;
    uint64_t total = MAX(facts->loading_total_bytes, 1ull);
    info_number(info, "loading_start_time", facts->loading_started_s);
    info_number(info, "loading_total_bytes", facts->loading_total_bytes);
    info_number(info, "loading_loaded_bytes", facts->loading_done_bytes);
    buf_printf(info->out, "loading_loaded_perc:%.2f\r\n",
               100.0 * (double)MIN(facts->loading_done_bytes, total) / (double)total);
}

static void info_shard(const struct info *info, const struct persist_facts *facts,
                       const struct checkpoints_status *status, uint32_t i) {
    static const char *const states[] = {"idle", "saving", "ending", "saved", "failed", "overtaken", "leaving"};
    static_assert(ARRAY_LEN(states) == CHECKPOINT_LEAVING + 1, "one each");
    const struct persist_shard_facts *shard = &facts->shard[i];
    const struct checkpoints_shard_status *checkpoint = &status->shard[i];
    buf_printf(info->out,
               "persist_shard%u:written=%llu,durable=%llu,pending_bytes=%llu,staleness_ms=%llu,checkpoint=%s,"
               "checkpoint_keys=%llu,checkpoint_keys_total=%llu,checkpoint_bytes=%llu\r\n",
               i, (unsigned long long)shard->batch_written, (unsigned long long)shard->batch_durable,
               (unsigned long long)shard->bytes_pending, (unsigned long long)shard->staleness_ms,
               states[checkpoint->state], (unsigned long long)checkpoint->keys,
               (unsigned long long)checkpoint->keys_total, (unsigned long long)checkpoint->bytes);
}

/* How near the disk is to falling behind, and what is done about it. */
static void info_guard(const struct info *info) {
    static const char *const states[] = {"open", "braking", "stopped", "refusing"};
    static_assert(ARRAY_LEN(states) == GUARD_REFUSING + 1, "one each");
    struct guard_status status;
    const struct shard_stats *sum = &info->totals->sum;
    guard_read_status(net_guard(info->totals->home), &status);
    info_text(info, "guard_state", states[status.state]);
    buf_printf(info->out, "guard_level:%.3f\r\n", status.level);
    info_number(info, "guard_staleness_ms", status.limits[GUARD_STALENESS].value);
    info_number(info, "guard_staleness_max_ms", status.staleness_max_ns / 1000000);
    info_number(info, "guard_unsynced_bytes", status.limits[GUARD_UNSYNCED].value);
    info_number(info, "guard_window_bytes", status.window_bytes == UINT64_MAX ? 0 : status.window_bytes);
    const struct guard_limit *disk = &status.limits[GUARD_DISK];
    info_number(info, "guard_disk_used_bytes", disk->value);
    info_number(info, "guard_disk_budget_bytes", disk->limit);
    buf_printf(info->out, "guard_disk_level:%.3f\r\n", disk->level);
    info_number(info, "guard_disk_bytes_per_sec", status.disk_rate);
    info_number(info, "guard_allowed_bytes_per_sec", status.allowed_rate);
    info_number(info, "guard_brakes", status.brakes);
    info_number(info, "guard_stops", status.stops);
    info_text(info, "guard_reason", status.reason);
    info_number(info, "braked_clients", sum->clients_braked);
    info_number(info, "braked_writes", sum->brake_waits);
    info_number(info, "braked_writes_refused", sum->brake_refused);
    info_number(info, "braked_ms", sum->brake_wait_ns / 1000000);
}

void info_persistence(const struct info *info) {
    struct checkpoints_status status;
    struct persist_facts facts = {0};
    read_checkpoints(info, &status);
    net_persist_facts(info->totals->home, &facts);
    info_loading(info, &facts);
    info_rdb(info, &facts, &status);
    info_aof(info, &facts, &status);
    info_export(info);
    info_loading_more(info, &facts);
    info_guard(info);
    for (uint32_t i = 0; i < facts.shards && i < status.shards; i++) info_shard(info, &facts, &status, i);
}
