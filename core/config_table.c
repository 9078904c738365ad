/* Config table: the options that sherd knows by type, in the order of --help within each group.
 * Data only.
 *
 * FIELD takes type, place and size from the struct itself. Names, defaults, ranges, the order of
 * enum names and what may change at run time are Redis 7.0's, except where the doc line says so:
 *   threads, recovery-damage, import, max-staleness, max-unsynced-bytes, persist-timeout, disk-budget,
 *   cluster-ports, numa, client-homing-ms   sherd's own
 *   enable-debug-command    local here, no in Redis: a DEBUG from the same machine is how people test
 *   port, bind              fixed while running, until the listeners can be moved
 *   loglevel nothing        from Redis 7.2, as are set-max-listpack-* */
#include "core/config_priv.h"
#include <assert.h>
#include <limits.h>

#define FIELD_TYPE(field)                                                                                              \
    _Generic(((struct config *)0)->field,                                                          \
        bool: OPTION_BOOL,                                                                         \
        int: OPTION_INT,                                                                           \
        int64_t: OPTION_I64,                                                                       \
        uint64_t: OPTION_MEMORY,                                                                   \
        char *: OPTION_STRING,                                                                     \
        struct config_bind: OPTION_BIND,                                                           \
        struct config_save: OPTION_SAVE,                                                           \
        struct config_output_limits: OPTION_LIMITS,                                                \
        struct config_percentiles: OPTION_PERCENTILES,                                             \
        unsigned: OPTION_ENUM)
#define PLACE(field) .offset = offsetof(struct config, field), .size = sizeof(((struct config *)0)->field)
#define FIELD(field) .type = FIELD_TYPE(field), PLACE(field)

#define LIVE(when)    .status = OPTION_LIVE, .change = CHANGE_##when
#define LATER(when)   .status = OPTION_LATER, .change = CHANGE_##when
#define RANGE(lo, hi) .min = (lo), .max = (hi)
#define ENUM(list)    .names = (list)
/* Later: a value other than the default gets a warning. Without it none does: the option depends on another that warns,
 * or asks for what happens anyway. */
#define NEEDS(what) .missing = (what)

static_assert(sizeof(enum config_maxmemory_policy) == sizeof(unsigned), "enums are read as unsigned");

static const struct option_name loglevel_names[] = {
    {"debug", LOG_LEVEL_DEBUG},     {"verbose", LOG_LEVEL_VERBOSE}, {"notice", LOG_LEVEL_NOTICE},
    {"warning", LOG_LEVEL_WARNING}, {"nothing", LOG_LEVEL_NOTHING}, {NULL, 0},
};
static const struct option_name supervised_names[] = {
    {"upstart", SUPERVISED_UPSTART},
    {"systemd", SUPERVISED_SYSTEMD},
    {"auto", SUPERVISED_AUTO},
    {"no", SUPERVISED_NO},
    {NULL, 0},
};
static const struct option_name numa_names[] = {
    {"on", NUMA_ON},
    {"off", NUMA_OFF},
    {NULL, 0},
};
static const struct option_name permission_names[] = {
    {"no", PERMIT_NO},
    {"yes", PERMIT_YES},
    {"local", PERMIT_LOCAL},
    {NULL, 0},
};
static const struct option_name appendfsync_names[] = {
    {"everysec", APPENDFSYNC_EVERYSEC},
    {"always", APPENDFSYNC_ALWAYS},
    {"no", APPENDFSYNC_NO},
    {NULL, 0},
};
static const struct option_name damage_names[] = {
    {"refuse", DAMAGE_REFUSE},
    {"truncate", DAMAGE_TRUNCATE},
    {"skip", DAMAGE_SKIP},
    {NULL, 0},
};
static const struct option_name policy_names[] = {
    {"volatile-lru", MAXMEMORY_VOLATILE_LRU},       {"volatile-lfu", MAXMEMORY_VOLATILE_LFU},
    {"volatile-random", MAXMEMORY_VOLATILE_RANDOM}, {"volatile-ttl", MAXMEMORY_VOLATILE_TTL},
    {"allkeys-lru", MAXMEMORY_ALLKEYS_LRU},         {"allkeys-lfu", MAXMEMORY_ALLKEYS_LFU},
    {"allkeys-random", MAXMEMORY_ALLKEYS_RANDOM},   {"noeviction", MAXMEMORY_NOEVICTION},
    {"allkeys-lrfu", MAXMEMORY_ALLKEYS_LRFU}, /* sherd's own, as the next */
    {"volatile-lrfu", MAXMEMORY_VOLATILE_LRFU},     {NULL, 0},
};

static bool is_path(const void *field) {
    return strchr(field, '/') != NULL;
}
static const char *refuse_dbfilename(const void *field) {
    return is_path(field) ? "dbfilename can't be a path, just a filename" : NULL;
}
static const char *refuse_appendfilename(const void *field) {
    return is_path(field) ? "appendfilename can't be a path, just a filename" : NULL;
}
static const char *refuse_appenddirname(const void *field) {
    return is_path(field) ? "appenddirname can't be a path, just a dirname" : NULL;
}
static const char *refuse_cluster(const void *field) {
    return *(const bool *)field ? "argument must be 'no': this version has no cluster mode" : NULL;
}

/* clang-format off */
const struct config_option config_options[] = {
    /* --- network --- */
    {.name = "bind", FIELD(bind), .preset = "* -::*", LIVE(AT_START), .group = GROUP_NETWORK,
     .doc = "Addresses to listen on; one with a minus sign in front may be missing on this machine."},
    {.name = "port", FIELD(port), .preset = "6379", RANGE(0, 65535), LIVE(AT_START), .group = GROUP_NETWORK,
     .doc = "TCP port; 0 means no TCP at all."},
    {.name = "tcp-backlog", FIELD(tcp_backlog), .preset = "511", RANGE(0, INT_MAX), LIVE(AT_START),
     .group = GROUP_NETWORK, .doc = "Connections the kernel may hold before the server accepts them."},
    {.name = "tcp-keepalive", FIELD(tcp_keepalive), .preset = "300", RANGE(0, INT_MAX), .unit = "seconds",
     LIVE(ANY_TIME), .group = GROUP_NETWORK, .doc = "Probes a silent peer this often; 0 never does."},
    {.name = "timeout", FIELD(timeout), .preset = "0", RANGE(0, INT_MAX), .unit = "seconds", LIVE(ANY_TIME),
     .group = GROUP_NETWORK, .doc = "Closes a client that was idle for so long; 0 never does."},
    {.name = "unixsocket", FIELD(unixsocket), .preset = "", LIVE(AT_START), .group = GROUP_NETWORK,
     .doc = "Path of a unix socket to listen on; empty means none."},
    {.name = "unixsocketperm", .type = OPTION_OCTAL, PLACE(unixsocketperm), .preset = "0", RANGE(0, 0777),
     .unit = "octal mode", LIVE(AT_START), .group = GROUP_NETWORK,
     .doc = "Permissions of the unix socket; 0 leaves them to the umask."},
    {.name = "protected-mode", FIELD(protected_mode), .preset = "yes", LIVE(ANY_TIME), .group = GROUP_NETWORK,
     .doc = "Refuses clients of other machines while there is no password."},
    {.name = "maxclients", FIELD(maxclients), .preset = "10000", RANGE(1, UINT_MAX), LIVE(ANY_TIME),
     .group = GROUP_NETWORK, .doc = "Clients at the same time; more are refused."},
    {.name = "client-homing-ms", .type = OPTION_TIME, PLACE(client_homing_ms), .preset = "1000", RANGE(0, 3600000),
     .unit = "milliseconds, or with ms, s or m", LIVE(ANY_TIME), .group = GROUP_NETWORK,
     .doc = "A connection that for so long sends nearly all its commands to keys of one other thread moves there; 0 "
            "never does."},
    {.name = "proto-max-bulk-len", FIELD(proto_max_bulk_len), .preset = "512mb", RANGE(1 << 20, 512 << 20),
     .unit = "bytes", LIVE(ANY_TIME), .group = GROUP_NETWORK,
     .doc = "The longest single argument of a command; sherd takes none above 512 MB."},
    {.name = "client-query-buffer-limit", FIELD(client_query_buffer_limit), .preset = "1gb",
     RANGE(1 << 20, 3ll << 30), .unit = "bytes", LIVE(ANY_TIME), .group = GROUP_NETWORK,
     .doc = "Closes a client whose unfinished command is larger; at most 3 GB, which sizes in messages can hold."},
    {.name = "client-output-buffer-limit", FIELD(client_output_buffer_limit), .unit = "class hard soft seconds",
     .preset = "normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60", LIVE(ANY_TIME), .group = GROUP_NETWORK,
     .doc = "Closes a normal, replica or pubsub client with hard bytes of replies unread, or soft bytes for so many "
            "seconds."},

    /* --- general --- */
    {.name = "threads", FIELD(threads), .preset = "0", RANGE(0, SHARDS_MAX), LIVE(AT_START), .group = GROUP_GENERAL,
     .doc = "Threads, each with its share of the keys; 0 means one per processor this process may use."},
    {.name = "numa", FIELD(numa), .preset = "on", ENUM(numa_names), LIVE(AT_START), .group = GROUP_GENERAL,
     .doc = "On a machine with several memory nodes: on keeps each thread and its memory on one, off spreads all memory over them."},
    {.name = "databases", FIELD(databases), .preset = "16", RANGE(1, 65536), LIVE(AT_START),
     .group = GROUP_GENERAL, .doc = "Databases that SELECT can choose; sherd has at most 65536."},
    {.name = "hz", FIELD(hz), .preset = "10", RANGE(1, 500), .clamp = true, .unit = "per second", LATER(ANY_TIME),
     NEEDS("background jobs get a turn ten times a second, and more often when there is work"),
     .group = GROUP_GENERAL, .doc = "How often background jobs get a turn."},
    {.name = "dir", FIELD(dir), .preset = ".", LIVE(PROTECTED), .group = GROUP_GENERAL,
     .doc = "Working directory: where data files are."},
    {.name = "daemonize", FIELD(daemonize), .preset = "no", LATER(AT_START), .group = GROUP_GENERAL,
     NEEDS("sherd stays in the foreground"), .doc = "Detaches from the terminal."},
    {.name = "supervised", .type = OPTION_ENUM, PLACE(supervised), .preset = "no", ENUM(supervised_names),
     LATER(AT_START), NEEDS("sherd does not signal readiness, use Type=simple"), .group = GROUP_GENERAL,
     .doc = "Tells a service manager when the server is ready."},
    {.name = "pidfile", FIELD(pidfile), .preset = "", LIVE(AT_START), .group = GROUP_GENERAL,
     .doc = "File with the process id; empty means none."},
    {.name = "loglevel", FIELD(loglevel), .preset = "notice", ENUM(loglevel_names), LIVE(ANY_TIME),
     .group = GROUP_GENERAL, .doc = "The least important message to log."},
    {.name = "logfile", FIELD(logfile), .preset = "", LIVE(AT_START), .group = GROUP_GENERAL,
     .doc = "File to log to; empty means standard output."},
    {.name = "always-show-logo", FIELD(always_show_logo), .preset = "no", LATER(AT_START), NEEDS("there is no logo"),
     .group = GROUP_GENERAL, .doc = "Greets with a drawing."},
    {.name = "set-proc-title", FIELD(set_proc_title), .preset = "yes", LATER(AT_START), .group = GROUP_GENERAL,
     .doc = "Shows address and port in the process list, which this version never does."},
    {.name = "crash-log-enabled", FIELD(crash_log_enabled), .preset = "yes", LIVE(AT_START), .group = GROUP_GENERAL,
     .doc = "Prints a stack trace when the server crashes."},

    /* --- security --- */
    {.name = "requirepass", FIELD(requirepass), .preset = "", LIVE(ANY_TIME), .group = GROUP_SECURITY,
     .doc = "Password of the default user; empty means none."},
    {.name = "enable-debug-command", FIELD(enable_debug_command), .preset = "local", ENUM(permission_names),
     LIVE(AT_START), .group = GROUP_SECURITY,
     .doc = "Who may use DEBUG: nobody, everybody, or clients on this machine (Redis's default is no)."},
    {.name = "enable-protected-configs", FIELD(enable_protected_configs), .preset = "no", ENUM(permission_names),
     LIVE(AT_START), .group = GROUP_SECURITY, .doc = "Who may change dir and dbfilename with CONFIG SET."},

    /* --- observation --- */
    {.name = "slowlog-log-slower-than", FIELD(slowlog_log_slower_than), .preset = "10000", RANGE(-1, INT64_MAX),
     .unit = "microseconds", LIVE(ANY_TIME), .group = GROUP_OBSERVATION,
     .doc = "Commands that took longer go to the slow log; -1 turns it off, 0 logs all."},
    {.name = "slowlog-max-len", FIELD(slowlog_max_len), .preset = "128", RANGE(0, INT64_MAX), .unit = "entries",
     LIVE(ANY_TIME), .group = GROUP_OBSERVATION, .doc = "Length of the slow log."},
    {.name = "latency-tracking", FIELD(latency_tracking), .preset = "yes", LIVE(ANY_TIME),
     .group = GROUP_OBSERVATION, .doc = "Keeps a latency histogram per command."},
    {.name = "latency-tracking-info-percentiles", FIELD(latency_tracking_info_percentiles), .preset = "50 99 99.9",
     .unit = "percent", LIVE(ANY_TIME), .group = GROUP_OBSERVATION,
     .doc = "Percentiles that INFO latencystats shows, each from 0 to 100."},
    {.name = "latency-monitor-threshold", FIELD(latency_monitor_threshold), .preset = "0", RANGE(0, INT64_MAX),
     .unit = "milliseconds", LIVE(ANY_TIME), .group = GROUP_OBSERVATION,
     .doc = "What takes as long or longer is an event for LATENCY; 0 turns it off."},
    {.name = "notify-keyspace-events", .type = OPTION_EVENTS, PLACE(notify_keyspace_events), .preset = "",
     .unit = "out of Ag$lshzxeKEtmdn", LIVE(ANY_TIME), .group = GROUP_OBSERVATION,
     .doc = "Which changes of keys are published to subscribers."},

    /* --- memory, expiry and eviction --- */
    {.name = "maxmemory", FIELD(maxmemory), .preset = "0", RANGE(0, INT64_MAX), .unit = "bytes", LIVE(ANY_TIME),
     .group = GROUP_MEMORY,
     .doc = "Memory that the whole process stays within. When nobody sets it, 80% of what the cgroup or the machine "
            "has; 0, set, means no limit."},
    {.name = "maxmemory-policy", FIELD(maxmemory_policy), .preset = "noeviction", ENUM(policy_names),
     LATER(ANY_TIME), .group = GROUP_MEMORY,
     .doc = "Which keys go when memory is needed. lrfu is sherd's own: by how often and how recently together."},
    {.name = "maxmemory-samples", FIELD(maxmemory_samples), .preset = "5", RANGE(1, INT_MAX), .unit = "keys",
     LATER(ANY_TIME), .group = GROUP_MEMORY, .doc = "Keys looked at to find one to evict."},
    {.name = "maxmemory-clients", .type = OPTION_MEMORY_OR_PERCENT, PLACE(maxmemory_clients), .preset = "0",
     .unit = "bytes or %", LIVE(ANY_TIME), .group = GROUP_MEMORY,
     .doc = "Memory of all clients together, or a share of maxmemory: beyond it the fattest is closed. 0: a 32nd is "
            "kept for them, and more is theirs while it is free."},
    {.name = "lazyfree-lazy-user-del", FIELD(lazyfree_lazy_user_del), .preset = "no", LATER(ANY_TIME),
     .group = GROUP_MEMORY, .doc = "DEL frees large values in the background, which sherd always does."},
    {.name = "lazyfree-lazy-user-flush", FIELD(lazyfree_lazy_user_flush), .preset = "no", LATER(ANY_TIME),
     .group = GROUP_MEMORY, .doc = "FLUSHALL and FLUSHDB free in the background, which sherd always does."},
    {.name = "lazyfree-lazy-expire", FIELD(lazyfree_lazy_expire), .preset = "no", LATER(ANY_TIME),
     .group = GROUP_MEMORY, .doc = "Expired values are freed in the background, which sherd always does."},
    {.name = "lazyfree-lazy-eviction", FIELD(lazyfree_lazy_eviction), .preset = "no", LATER(ANY_TIME),
     .group = GROUP_MEMORY, .doc = "Evicted values are freed in the background, which sherd always does."},
    {.name = "lazyfree-lazy-server-del", FIELD(lazyfree_lazy_server_del), .preset = "no", LATER(ANY_TIME),
     .group = GROUP_MEMORY, .doc = "Overwritten values are freed in the background, which sherd always does."},
    {.name = "active-expire-effort", FIELD(active_expire_effort), .preset = "1", RANGE(1, 10), LATER(ANY_TIME),
     NEEDS("expired keys go within about a second of their time, however many there are"),
     .group = GROUP_MEMORY, .doc = "How hard to look for expired keys that nobody reads."},
    {.name = "activedefrag", FIELD(activedefrag), .preset = "yes", LIVE(ANY_TIME), .group = GROUP_MEMORY,
     .doc = "Moves values out of sparse pages, so that free memory goes back to the system; Redis's default is no."},
    {.name = "lfu-log-factor", FIELD(lfu_log_factor), .preset = "10", RANGE(0, INT_MAX), LIVE(ANY_TIME),
     .group = GROUP_MEMORY, .doc = "How slowly the access counter of LFU saturates."},
    {.name = "lfu-decay-time", FIELD(lfu_decay_time), .preset = "1", RANGE(0, INT_MAX), .unit = "minutes",
     LIVE(ANY_TIME), .group = GROUP_MEMORY, .doc = "After so long without access the counter of LFU goes down by one."},

    /* --- encodings --- */
    {.name = "hash-max-listpack-entries", .alias = "hash-max-ziplist-entries", FIELD(hash_max_listpack_entries),
     .preset = "512", RANGE(0, INT64_MAX), .unit = "fields", LATER(ANY_TIME),
     NEEDS("there are no hashes yet"), .group = GROUP_ENCODING,
     .doc = "A hash with more fields is no longer packed."},
    {.name = "hash-max-listpack-value", .alias = "hash-max-ziplist-value", FIELD(hash_max_listpack_value),
     .preset = "64", RANGE(0, INT64_MAX), .unit = "bytes", LATER(ANY_TIME),
     NEEDS("there are no hashes yet"), .group = GROUP_ENCODING,
     .doc = "A hash with a longer field or value is no longer packed."},
    {.name = "list-max-listpack-size", .alias = "list-max-ziplist-size", FIELD(list_max_listpack_size),
     .preset = "-2", RANGE(INT_MIN, INT_MAX), LIVE(ANY_TIME), .group = GROUP_ENCODING,
     .doc = "Entries per node of a list, or -1 to -5 for nodes of 4, 8, 16, 32 or 64 KiB."},
    {.name = "list-compress-depth", FIELD(list_compress_depth), .preset = "0", RANGE(0, INT_MAX), .unit = "nodes",
     LATER(ANY_TIME), NEEDS("lists are not compressed"), .group = GROUP_ENCODING,
     .doc = "List nodes farther from both ends are compressed; 0 compresses none."},
    {.name = "set-max-intset-entries", FIELD(set_max_intset_entries), .preset = "512", RANGE(0, INT64_MAX),
     .unit = "members", LATER(ANY_TIME),
     NEEDS("there are no sets yet"), .group = GROUP_ENCODING,
     .doc = "A set of integers with more members is no longer a sorted array."},
    {.name = "set-max-listpack-entries", FIELD(set_max_listpack_entries), .preset = "128", RANGE(0, INT64_MAX),
     .unit = "members", LATER(ANY_TIME),
     NEEDS("there are no sets yet"), .group = GROUP_ENCODING,
     .doc = "A set with more members is no longer packed."},
    {.name = "set-max-listpack-value", FIELD(set_max_listpack_value), .preset = "64", RANGE(0, INT64_MAX),
     .unit = "bytes", LATER(ANY_TIME),
     NEEDS("there are no sets yet"), .group = GROUP_ENCODING,
     .doc = "A set with a longer member is no longer packed."},
    {.name = "zset-max-listpack-entries", .alias = "zset-max-ziplist-entries", FIELD(zset_max_listpack_entries),
     .preset = "128", RANGE(0, INT64_MAX), .unit = "members", LATER(ANY_TIME),
     NEEDS("there are no sorted sets yet"), .group = GROUP_ENCODING,
     .doc = "A sorted set with more members is no longer packed."},
    {.name = "zset-max-listpack-value", .alias = "zset-max-ziplist-value", FIELD(zset_max_listpack_value),
     .preset = "64", RANGE(0, INT64_MAX), .unit = "bytes", LATER(ANY_TIME),
     NEEDS("there are no sorted sets yet"), .group = GROUP_ENCODING,
     .doc = "A sorted set with a longer member is no longer packed."},
    {.name = "hll-sparse-max-bytes", FIELD(hll_sparse_max_bytes), .preset = "3000", RANGE(0, INT64_MAX),
     .unit = "bytes", LIVE(ANY_TIME), .group = GROUP_ENCODING,
     .doc = "A larger HyperLogLog becomes dense."},
    {.name = "stream-node-max-bytes", FIELD(stream_node_max_bytes), .preset = "4096", RANGE(0, INT64_MAX),
     .unit = "bytes", LIVE(ANY_TIME),
     .group = GROUP_ENCODING, .doc = "Size of a node of a stream; 0 means no limit."},
    {.name = "stream-node-max-entries", FIELD(stream_node_max_entries), .preset = "100", RANGE(0, INT64_MAX),
     .unit = "entries", LIVE(ANY_TIME), .group = GROUP_ENCODING,
     .doc = "Entries in a node of a stream; 0 means no limit."},

    /* --- persistence --- */
    {.name = "save", FIELD(save), .preset = "3600 1 300 100 60 10000", .unit = "seconds changes", LIVE(ANY_TIME),
     .group = GROUP_PERSISTENCE,
     .doc = "Writes a snapshot after so many seconds if there were so many changes; several rules may stand."},
    {.name = "dbfilename", FIELD(dbfilename), .preset = "dump.rdb", .refuse = refuse_dbfilename, LIVE(PROTECTED),
     .group = GROUP_PERSISTENCE, .doc = "Name of a snapshot that Redis left in dir: it is imported at the first start."},
    {.name = "appendonly", FIELD(appendonly), .preset = "no", LIVE(ANY_TIME),
     .group = GROUP_PERSISTENCE,
     .doc = "Logs every write to disk."},
    {.name = "appendfsync", FIELD(appendfsync), .preset = "everysec", ENUM(appendfsync_names), LIVE(ANY_TIME),
     .group = GROUP_PERSISTENCE, .doc = "When a logged write is forced to disk."},
    {.name = "appendfilename", FIELD(appendfilename), .preset = "appendonly.aof", .refuse = refuse_appendfilename,
     LIVE(AT_START), .group = GROUP_PERSISTENCE, .doc = "Name of a log that Redis left in dir: it is imported at the first start."},
    {.name = "appenddirname", FIELD(appenddirname), .preset = "appendonlydir", .refuse = refuse_appenddirname,
     LIVE(AT_START), .group = GROUP_PERSISTENCE, .doc = "Directory inside dir in which Redis 7 left its log."},
    {.name = "no-appendfsync-on-rewrite", FIELD(no_appendfsync_on_rewrite), .preset = "no", LATER(ANY_TIME),
     .group = GROUP_PERSISTENCE, .doc = "Does not force writes to disk while the log is rewritten."},
    {.name = "auto-aof-rewrite-percentage", FIELD(auto_aof_rewrite_percentage), .preset = "100", RANGE(0, INT_MAX),
     .unit = "percent", LIVE(ANY_TIME), .group = GROUP_PERSISTENCE,
     .doc = "Rewrites the log when it grew by so much; 0 never does."},
    {.name = "auto-aof-rewrite-min-size", FIELD(auto_aof_rewrite_min_size), .preset = "64mb", RANGE(0, INT64_MAX),
     .unit = "bytes", LIVE(ANY_TIME), .group = GROUP_PERSISTENCE,
     .doc = "Does not rewrite a smaller log by itself."},
    {.name = "aof-load-truncated", FIELD(aof_load_truncated), .preset = "yes", LIVE(ANY_TIME),
     .group = GROUP_PERSISTENCE, .doc = "Imports a log of Redis although its end is torn."},
    {.name = "recovery-damage", FIELD(recovery_damage), .preset = "refuse", ENUM(damage_names), LIVE(AT_START),
     .group = GROUP_PERSISTENCE,
     .doc = "When files are damaged (not merely torn by a crash): does not start, gives up what follows, or only what is damaged."},
    {.name = "import", FIELD(import), .preset = "", LIVE(AT_START), .group = GROUP_PERSISTENCE,
     .doc = "What to begin with while dir holds no data of sherd's: an RDB file (NAME.rdb), or a log (a file, or its "
            "directory)."},
    {.name = "aof-use-rdb-preamble", FIELD(aof_use_rdb_preamble), .preset = "yes", LATER(ANY_TIME),
     .group = GROUP_PERSISTENCE, .doc = "A rewritten log starts with a snapshot."},
    {.name = "stop-writes-on-bgsave-error", FIELD(stop_writes_on_bgsave_error), .preset = "yes", LIVE(ANY_TIME),
     .group = GROUP_PERSISTENCE, .doc = "Refuses writes when the last snapshot failed and save has rules."},
    {.name = "rdbcompression", FIELD(rdbcompression), .preset = "yes", LIVE(ANY_TIME), .group = GROUP_PERSISTENCE,
     .doc = "Compresses values in snapshots, unless that is in vain."},
    {.name = "max-staleness", .type = OPTION_TIME, PLACE(max_staleness), .preset = "2000", RANGE(0, 86400000),
     .unit = "milliseconds, or with ms, s or m", LIVE(ANY_TIME), .group = GROUP_PERSISTENCE,
     .doc = "With appendfsync everysec no write is acknowledged while an older one waits for the disk longer than "
            "this: writes are slowed down as it comes near, then wait; 0 means no limit."},
    {.name = "max-unsynced-bytes", FIELD(max_unsynced_bytes), .preset = "128mb", RANGE(0, INT64_MAX), .unit = "bytes",
     LIVE(ANY_TIME), .group = GROUP_PERSISTENCE,
     .doc = "Writes are slowed down, then wait, as so much of the log comes to wait for the disk; 0 means no limit."},
    {.name = "persist-timeout", .type = OPTION_TIME, PLACE(persist_timeout), .preset = "10000", RANGE(100, 86400000),
     .unit = "milliseconds, or with ms, s or m", LIVE(ANY_TIME), .group = GROUP_PERSISTENCE,
     .doc = "A write that has waited for the disk for so long is answered with an error; while the disk stands still, "
            "those that follow are at once."},
    {.name = "disk-budget", FIELD(disk_budget), .preset = "0", RANGE(0, INT64_MAX), .unit = "bytes", LIVE(ANY_TIME),
     .group = GROUP_PERSISTENCE,
     .doc = "What the files of the server may take on disk; 0 means what is free there, but for a margin."},
    {.name = "aof-timestamp-enabled", FIELD(aof_timestamp_enabled), .preset = "no", LATER(ANY_TIME),
     .group = GROUP_PERSISTENCE, .doc = "Writes the time into the log now and then."},

    /* --- replication, cluster and scripts --- */
    {.name = "replica-read-only", .alias = "slave-read-only", FIELD(replica_read_only), .preset = "yes",
     LATER(ANY_TIME), .group = GROUP_REPLICATION, .doc = "A replica refuses writes of clients."},
    {.name = "replica-serve-stale-data", .alias = "slave-serve-stale-data", FIELD(replica_serve_stale_data),
     .preset = "yes", LATER(ANY_TIME), .group = GROUP_REPLICATION,
     .doc = "A replica answers although it lost its primary."},
    {.name = "min-replicas-to-write", .alias = "min-slaves-to-write", FIELD(min_replicas_to_write), .preset = "0",
     RANGE(0, INT_MAX), LATER(ANY_TIME), NEEDS("there is no replication yet"), .group = GROUP_REPLICATION,
     .doc = "Refuses writes with fewer replicas; 0 turns it off."},
    {.name = "min-replicas-max-lag", .alias = "min-slaves-max-lag", FIELD(min_replicas_max_lag), .preset = "10",
     RANGE(0, INT_MAX), .unit = "seconds", LATER(ANY_TIME), .group = GROUP_REPLICATION,
     .doc = "A replica farther behind does not count."},
    {.name = "cluster-enabled", FIELD(cluster_enabled), .preset = "no", .refuse = refuse_cluster, LATER(AT_START),
     .group = GROUP_REPLICATION, .doc = "Only no is possible in this version; but see cluster-ports."},
    {.name = "cluster-ports", FIELD(cluster_ports), .preset = "no", LIVE(AT_START), .group = GROUP_REPLICATION,
     .doc = "Each thread listens on a port of its own, too, from port + 1 on, and CLUSTER describes the threads as nodes: a "
            "cluster client then sends each command to the thread that has its key."},
    {.name = "cluster-announce-ip", FIELD(cluster_announce_ip), .preset = "", LIVE(ANY_TIME), .group = GROUP_REPLICATION,
     .doc = "Address that CLUSTER tells clients, with cluster-ports; empty: the one that the client has connected to."},
    {.name = "busy-reply-threshold", .alias = "lua-time-limit", FIELD(busy_reply_threshold), .preset = "5000",
     RANGE(0, INT64_MAX), .unit = "milliseconds", LATER(ANY_TIME), .group = GROUP_REPLICATION,
     .doc = "A script that runs longer makes other clients get BUSY."},
};
/* clang-format on */

const unsigned config_options_count = ARRAY_LEN(config_options);
