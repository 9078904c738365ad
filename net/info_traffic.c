/* INFO's sections about traffic: counters of the whole server, of every command and of every shard. */
#include "net/cmd_info_priv.h"

void info_stats(const struct info *info) {
    const struct shard_stats *sum = &info->totals->sum;
    const struct runtime_facts *facts = info->facts;
    static const char *const expiry[] = {"expired_time_cap_reached_count", "expire_cycle_cpu_milliseconds"};
    static const char *const eviction[] = {"total_eviction_exceeded_time", "current_eviction_exceeded_time"};
    static const char *const features[] = {
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
    };
    static const char *const more_features[] = {
        "active_defrag_misses",     "active_defrag_key_hits",     "active_defrag_key_misses",
        "total_active_defrag_time", "current_active_defrag_time", "tracking_total_keys",
        "tracking_total_items",     "tracking_total_prefixes",    "unexpected_error_replies",
    };
    static const char *const threads[] = {
        "io_threaded_reads_processed",
        "io_threaded_writes_processed",
        "reply_buffer_shrinks",
        "reply_buffer_expands",
    };
    info_number(info, "total_connections_received", sum->connections);
    info_number(info, "total_commands_processed", sum->commands);
    info_number(info, "instantaneous_ops_per_sec", (uint64_t)facts->ops_per_second);
    info_number(info, "total_net_input_bytes", sum->bytes_in);
    info_number(info, "total_net_output_bytes", sum->bytes_out);
    info_number(info, "total_net_repl_input_bytes", 0);
    info_number(info, "total_net_repl_output_bytes", 0);
    buf_printf(info->out, "instantaneous_input_kbps:%.2f\r\ninstantaneous_output_kbps:%.2f\r\n", facts->input_kbps,
               facts->output_kbps);
    info_text(info, "instantaneous_input_repl_kbps", "0.00");
    info_text(info, "instantaneous_output_repl_kbps", "0.00");
    info_number(info, "rejected_connections", sum->rejected_connections);
    info_number(info, "sync_full", 0);
    info_number(info, "sync_partial_ok", 0);
    info_number(info, "sync_partial_err", 0);
    info_number(info, "expired_keys", sum->expired);
    info_number(info, "expired_subkeys", sum->expired_fields); /* Redis 7.4 */
    info_text(info, "expired_stale_perc", "0.00");
    info_zeros(info, expiry, ARRAY_LEN(expiry));
    info_number(info, "evicted_keys", sum->evicted);
    info_number(info, "evicted_clients", facts->memory.dropped);
    info_zeros(info, eviction, ARRAY_LEN(eviction));
    info_number(info, "keyspace_hits", sum->hits);
    info_number(info, "keyspace_misses", sum->misses);
    info_number(info, "pubsub_channels", sum->pubsub_channels);
    info_number(info, "pubsub_patterns", sum->pubsub_patterns);
    info_number(info, "pubsubshard_channels", sum->pubsub_shard_channels);
    info_number(info, "keyspace_events_dropped", sum->events_dropped);
    info_zeros(info, features, ARRAY_LEN(features));
    info_number(info, "active_defrag_hits", sum->blocks_moved);
    info_zeros(info, more_features, ARRAY_LEN(more_features));
    info_number(info, "total_error_replies", sum->errors);
    info_number(info, "dump_payload_sanitizations", 0);
    info_number(info, "total_reads_processed", sum->reads);
    info_number(info, "total_writes_processed", sum->writes);
    info_zeros(info, threads, ARRAY_LEN(threads));
    info_number(info, "client_output_buffer_limit_disconnections", sum->output_limit_closed);
}

/* --- per command --- */

static bool is_shown(const struct info *info, uint32_t number) {
    const struct command_slot *slot = command_at(info->registry, number);
    return !(slot->row->flags & CMD_INTERNAL);
}

void info_commandstats(const struct info *info) {
    for (uint32_t i = 0; i < info->totals->command_count; i++) {
        const struct command_totals *command = &info->totals->command[i];
        if (!is_shown(info, i) || !(command->calls || command->rejected || command->failed)) continue;
        char name[64];
        double micros = totals_ns(info->totals, command->ticks) / 1000;
        buf_printf(info->out,
                   "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu\r\n",
                   command_full_name(command_at(info->registry, i), name), (unsigned long long)command->calls,
                   (unsigned long long)micros, command->calls ? micros / (double)command->calls : 0,
                   (unsigned long long)command->rejected, (unsigned long long)command->failed);
    }
}

void info_errorstats(const struct info *info) {
    const struct error_stats *errors = &info->totals->errors;
    for (uint64_t i = 0; i < errors->used; i++)
        buf_printf(info->out, "errorstat_%.*s:count=%llu\r\n", ERROR_CODE_MAX, errors->codes[i].code,
                   (unsigned long long)errors->codes[i].count);
}

/* The time in microseconds below which this percentage of the calls stayed: linear inside a bucket. */
static double percentile_us(const struct command_totals *command, double percent) {
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) total += command->histogram[i];
    double wanted = (double)total * percent / 100;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t here = command->histogram[i];
        if (here == 0) continue;
        if ((double)(seen + here) >= wanted) {
            double inside = (wanted - (double)seen) / (double)here;
            return (double)(1ull << i) * (1 + MAX(inside, 0.0)) / 1000;
        }
        seen += here;
    }
    return 0;
}

void info_latencystats(const struct info *info) {
    const struct config_percentiles *wanted = &info->config->latency_tracking_info_percentiles;
    for (uint32_t i = 0; i < info->totals->command_count; i++) {
        const struct command_totals *command = &info->totals->command[i];
        uint64_t timed = 0;
        for (int b = 0; b < HISTOGRAM_BUCKETS; b++) timed += command->histogram[b];
        if (!is_shown(info, i) || timed == 0) continue;
        char name[64];
        buf_printf(info->out, "latency_percentiles_usec_%s:", command_full_name(command_at(info->registry, i), name));
        for (unsigned p = 0; p < wanted->count; p++)
            buf_printf(info->out, "%sp%.8g=%.3f", p ? "," : "", wanted->percent[p],
                       percentile_us(command, wanted->percent[p]));
        buf_append_literal(info->out, "\r\n");
    }
}

/* --- per shard --- */

/* Of the pages that were looked at; where there is one node none are, and all are local. */
static uint64_t local_permille(const struct shard_stats *stats) {
    return stats->pages_seen ? stats->pages_local * 1000 / stats->pages_seen : 1000;
}

void info_shards(const struct info *info) {
    const struct totals *totals = info->totals;
    info_number(info, "shards", totals->shard_count);
    buf_printf(info->out, "hops_per_command:%.4f\r\n", ratio(totals->sum.hops_sent, totals->sum.commands));
    for (uint32_t i = 0; i < totals->shard_count; i++) {
        const struct shard_stats *stats = &totals->shard[i].stats;
        buf_printf(info->out, "shard%u:keys=%llu,expires=%llu,clients=%llu,commands=%llu", i,
                   (unsigned long long)totals->shard[i].keys, (unsigned long long)totals->shard[i].expires,
                   (unsigned long long)stats->clients, (unsigned long long)stats->commands);
        buf_printf(info->out,
                   ",hops_sent=%llu,hops_served=%llu,messages_sent=%llu,messages_served=%llu,queue_depth_max=%llu",
                   (unsigned long long)stats->hops_sent, (unsigned long long)stats->hops_served,
                   (unsigned long long)stats->hop_messages_sent, (unsigned long long)stats->hop_messages_served,
                   (unsigned long long)stats->queue_depth_max);
        buf_printf(info->out, ",messages_per_hop=%.3f,turns=%llu,busy_share=%.3f",
                   ratio(stats->hop_messages_sent, stats->hops_sent), (unsigned long long)stats->turns,
                   ratio(stats->busy_ns, stats->busy_ns + stats->idle_ns));
        buf_printf(info->out, ",clients_in=%llu,clients_out=%llu", (unsigned long long)stats->moved_in,
                   (unsigned long long)stats->moved_out);
        buf_printf(info->out, ",node=%u,local_pages_permille=%llu", info->facts->node[i],
                   (unsigned long long)local_permille(stats));
        for (int m = 0; m < MEM_CLASSES; m++) /* signed: a shard may have freed what another allocated */
            buf_printf(info->out, ",mem_%s=%lld", mem_class_name((enum mem_class)m), (long long)stats->memory[m]);
        buf_append_literal(info->out, "\r\n");
    }
    info_number(info, "local_pages_permille", local_permille(&totals->sum));
    info_number(info, "local_pages_looked_at", totals->sum.pages_seen);
}
