/* INFO's sections about the process and the data. Fields that belong to features which are not here say what Redis says
 * when they are switched off; a field is never left out because of that, since tools fail on missing ones. */
#include "net/cmd_info_priv.h"
#include "net/listener.h"
#include <stdio.h>

static void human(const struct info *info, const char *name, uint64_t bytes) {
    char text[32];
    info_text(info, name, bytes_human(bytes, text));
}

void info_server(const struct info *info) {
    const struct runtime_facts *facts = info->facts;
    const struct shard *home = info->totals->home;
    info_text(info, "redis_version", SPOKEN_REDIS_VERSION);
    info_text(info, "redis_git_sha1", "00000000");
    info_text(info, "redis_git_dirty", "0");
    info_text(info, "redis_build_id", "0");
    info_text(info, "redis_mode", info_of_node(info) ? "cluster" : "standalone");
    info_text(info, "os", facts->os);
    info_number(info, "arch_bits", sizeof(void *) * 8);
    info_text(info, "monotonic_clock", "POSIX clock_gettime");
    info_text(info, "multiplexing_api", facts->event_api);
    info_text(info, "atomicvar_api", "c11-builtin");
    info_text(info, "gcc_version", __VERSION__);
    info_number(info, "process_id", (uint64_t)facts->pid);
    info_text(info, "process_supervised", facts->supervisor ? facts->supervisor : "no");
    info_text(info, "run_id", facts->run_id);
    int port = info_of_node(info) ? listener_endpoint_port(facts->port, home->id) : facts->port;
    info_number(info, "tcp_port", (uint64_t)port);
    info_number(info, "server_time_usec", home->now_ms * 1000);
    info_number(info, "uptime_in_seconds", facts->uptime_s);
    info_number(info, "uptime_in_days", facts->uptime_s / 86400);
    info_number(info, "hz", (uint64_t)(facts->hz ? facts->hz : info->config->hz));
    info_number(info, "configured_hz", (uint64_t)info->config->hz);
    info_number(info, "lru_clock", home->shared.access & 0xFFFFFF);
    info_text(info, "executable", facts->executable);
    info_text(info, "config_file", facts->config_file);
    info_number(info, "io_threads_active", 0);
    info_text(info, "sherd_version", SHERD_VERSION);
    info_number(info, "sherd_threads", info->totals->shard_count);
}

void info_clients(const struct info *info) {
    const struct shard_stats *sum = &info->totals->sum;
    info_number(info, "connected_clients", sum->clients);
    info_number(info, "cluster_connections", 0);
    info_number(info, "maxclients", info->facts->clients_max);
    info_number(info, "client_recent_max_input_buffer", sum->input_buffer_max);
    info_number(info, "client_recent_max_output_buffer", sum->output_buffer_max);
    info_number(info, "blocked_clients", sum->clients_blocked);
    info_number(info, "tracking_clients", 0);
    info_number(info, "pubsub_clients", sum->pubsub_clients);
    info_number(info, "clients_in_timeout_table", 0);
    info_number(info, "clients_moved", sum->moved_in);
}

static void info_scripts_memory(const struct info *info) {
    static const char *const names[] = {
        "used_memory_lua",
        "used_memory_vm_eval",
    };
    static const char *const more[] = {
        "used_memory_scripts_eval", "number_of_cached_scripts", "number_of_functions",
        "number_of_libraries",      "used_memory_vm_functions", "used_memory_vm_total",
    };
    info_zeros(info, names, ARRAY_LEN(names));
    info_text(info, "used_memory_lua_human", "0B");
    info_zeros(info, more, ARRAY_LEN(more));
    info_text(info, "used_memory_vm_total_human", "0B");
    info_number(info, "used_memory_functions", 0);
    info_number(info, "used_memory_scripts", 0);
    info_text(info, "used_memory_scripts_human", "0B");
}

static void info_fragmentation(const struct info *info, uint64_t used) {
    uint64_t rss = info->facts->rss;
    buf_printf(info->out, "allocator_frag_ratio:1.00\r\nallocator_frag_bytes:0\r\n");
    buf_printf(info->out, "allocator_rss_ratio:1.00\r\nallocator_rss_bytes:0\r\n");
    buf_printf(info->out, "rss_overhead_ratio:%.2f\r\nrss_overhead_bytes:%lld\r\n", ratio(rss, used),
               (long long)rss - (long long)used);
    buf_printf(info->out, "mem_fragmentation_ratio:%.2f\r\nmem_fragmentation_bytes:%lld\r\n", ratio(rss, used),
               (long long)rss - (long long)used);
}

/* What is done about the ceiling (net/ceiling.h, shards/pressure.h). */
static void info_ledger(const struct info *info) {
    const struct ceiling_facts *memory = &info->facts->memory;
    info_number(info, "memory_overhead_resident", (uint64_t)MAX(memory->overhead, (int64_t)0));
    info_number(info, "memory_slack", memory->slack);
    info_signed(info, "memory_free_to_use", memory->ceiling ? memory->free : 0);
    info_signed(info, "memory_growth_per_sec", memory->per_second);
    info_number(info, "memory_clients", memory->clients);
    info_number(info, "memory_clients_share", memory->client_share);
    info_number(info, "memory_clients_over", memory->uncovered);
    info_number(info, "memory_commands_refused", memory->refused);
    info_number(info, "memory_commands_waited", memory->waited);
    info_number(info, "memory_evicted_bytes", memory->evicted_bytes);
    info_number(info, "memory_braked", memory->braked);
    info_number(info, "resident_peak_permille", memory->resident_peak_permille);
}

/* "used" is every byte that the heaps hold, by whatever owner; "dataset" is keys, values and nothing else. */
void info_memory(const struct info *info) {
    const struct totals *totals = info->totals;
    const struct runtime_facts *facts = info->facts;
    uint64_t used = totals_used_memory(totals), data = totals_memory(totals, MEM_DATA);
    uint64_t peak = MAX(facts->used_peak, used);
    uint64_t base = MIN(facts->used_startup, used);
    char policy[64];
    info_number(info, "used_memory", used);
    human(info, "used_memory_human", used);
    info_number(info, "used_memory_rss", facts->rss);
    human(info, "used_memory_rss_human", facts->rss);
    info_number(info, "used_memory_peak", peak);
    human(info, "used_memory_peak_human", peak);
    buf_printf(info->out, "used_memory_peak_perc:%.2f%%\r\n", ratio(used, peak) * 100);
    info_number(info, "used_memory_overhead", used - data);
    info_number(info, "used_memory_startup", base);
    info_number(info, "used_memory_dataset", data);
    buf_printf(info->out, "used_memory_dataset_perc:%.2f%%\r\n", ratio(data, used - base) * 100);
    info_number(info, "allocator_allocated", used);
    info_number(info, "allocator_active", used);
    info_number(info, "allocator_resident", used);
    info_number(info, "total_system_memory", facts->total_system_memory);
    human(info, "total_system_memory_human", facts->total_system_memory);
    info_scripts_memory(info);
    option_text(info->config, "maxmemory-policy", policy, sizeof policy);
    info_number(info, "maxmemory", facts->memory.ceiling);
    human(info, "maxmemory_human", facts->memory.ceiling);
    info_text(info, "maxmemory_policy", policy);
    info_fragmentation(info, used);
    info_number(info, "mem_not_counted_for_evict", MIN(facts->memory.clients, facts->memory.client_share));
    static const char *const none[] = {
        "mem_replication_backlog",
        "mem_total_replication_buffers",
        "mem_clients_slaves",
    };
    info_zeros(info, none, ARRAY_LEN(none));
    info_number(info, "mem_clients_normal",
                totals_memory(totals, MEM_CLIENT_IN) + totals_memory(totals, MEM_CLIENT_OUT));
    info_number(info, "mem_cluster_links", 0);
    info_number(info, "mem_aof_buffer", totals_memory(totals, MEM_JOURNAL));
    info_text(info, "mem_allocator", facts->allocator);
    info_number(info, "active_defrag_running", totals->sum.defragging);
    info_number(info, "lazyfree_pending_objects", totals->sum.reap_pending);
    info_number(info, "lazyfreed_objects", totals->sum.reaped);
    info_ledger(info);
    info_number(info, "used_memory_rss_peak", facts->rss_peak);
    info_number(info, "cgroup_memory_limit", facts->memory_limit);
    for (int i = 0; i < MEM_CLASSES; i++)
        buf_printf(info->out, "used_memory_class_%s:%llu\r\n", mem_class_name((enum mem_class)i),
                   (unsigned long long)totals_memory(totals, (enum mem_class)i));
}

void info_replication(const struct info *info) {
    info_text(info, "role", "master");
    info_number(info, "connected_slaves", 0);
    info_text(info, "master_failover_state", "no-failover");
    info_text(info, "master_replid", info->facts->run_id);
    info_text(info, "master_replid2", "0000000000000000000000000000000000000000");
    info_number(info, "master_repl_offset", 0);
    info_text(info, "second_repl_offset", "-1");
    info_number(info, "repl_backlog_active", 0);
    info_number(info, "repl_backlog_size", 1048576);
    info_number(info, "repl_backlog_first_byte_offset", 0);
    info_number(info, "repl_backlog_histlen", 0);
}

static void seconds(const struct info *info, const char *name, uint64_t micros) {
    buf_printf(info->out, "%s:%llu.%06llu\r\n", name, (unsigned long long)(micros / 1000000),
               (unsigned long long)(micros % 1000000));
}

void info_cpu(const struct info *info) {
    const struct runtime_facts *facts = info->facts;
    seconds(info, "used_cpu_sys", facts->cpu_system_us);
    seconds(info, "used_cpu_user", facts->cpu_user_us);
    seconds(info, "used_cpu_sys_children", 0);
    seconds(info, "used_cpu_user_children", 0);
    seconds(info, "used_cpu_sys_main_thread", facts->cpu_system_thread_us);
    seconds(info, "used_cpu_user_main_thread", facts->cpu_user_thread_us);
}

void info_cluster(const struct info *info) {
    info_number(info, "cluster_enabled", info->config->cluster_ports);
}

void info_keyspace(const struct info *info) {
    for (uint32_t i = 0; i < info->totals->db_count; i++) {
        const struct db_totals *db = &info->totals->db[i];
        if (db->keys == 0) continue;
        buf_printf(info->out, "db%u:keys=%llu,expires=%llu,avg_ttl=%llu\r\n", i, (unsigned long long)db->keys,
                   (unsigned long long)db->expires,
                   (unsigned long long)(db->expires ? db->ttl_sum_ms / db->expires : 0));
    }
}
