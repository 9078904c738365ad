/* Config, unused: words that Redis 7 and 8 and Valkey 8 know and sherd has no use for. Data only.
 *
 * They are accepted, so that a configuration written for those servers starts this one; each that
 * is given another value than its default gets one warning line. Their text is remembered for CONFIG GET, SET and REWRITE and looked at by
 * nobody. The defaults are Redis 7.0's where it has the option. */
#include "core/config_priv.h"

#define NO_TLS         "this version has no TLS"
#define NO_REPLICATION "this version has no replication, it serves its own data"
#define NO_CLUSTER     "this version has no cluster mode"
#define NO_PERSISTENCE "this version writes no data to disk, or decides this by itself"
#define NO_FORK        "sherd never forks and leaves this to the operator"
#define NO_CPULIST     "sherd pins each thread to a processor of its affinity mask, use taskset"
#define OWN_THREADS    "sherd's threads do input, output and commands alike, see 'threads'"
#define OWN_ALLOCATOR  "sherd's allocator and tables work differently"
#define NO_ACL_FILE    "this version has no users but the default one"
#define NO_MODULES     "sherd loads no modules and has its own script engine"
#define NO_SYSLOG      "sherd logs in one format to standard output or to 'logfile'"
#define NO_TESTING     "it only serves tests of Redis"
#define NO_NEED        "sherd has nothing that this would change"

#define UNUSED(name_, alias_, preset_, change_, why)                                                                   \
    {                                                                                                                  \
        .name = (name_), .alias = (alias_), .preset = (preset_), .doc = (why), .type = OPTION_UNUSED,                  \
        .status = OPTION_IGNORED, .change = CHANGE_##change_                                                           \
    }
/* Lines of a file that are no parameters. */
#define DIRECTIVE(name_, why)                                                                                          \
    { .name = (name_), .preset = "", .doc = (why), .type = OPTION_DIRECTIVE, .status = OPTION_IGNORED }

/* clang-format off */
const struct config_option config_unused_options[] = {
    /* --- TLS --- */
    UNUSED("tls-port", NULL, "0", ANY_TIME, NO_TLS),
    UNUSED("tls-cert-file", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-key-file", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-key-file-pass", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-client-cert-file", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-client-key-file", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-client-key-file-pass", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-dh-params-file", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-ca-cert-file", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-ca-cert-dir", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-protocols", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-ciphers", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-ciphersuites", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-auth-clients-user", NULL, "", ANY_TIME, NO_TLS),
    UNUSED("tls-auth-clients", NULL, "yes", ANY_TIME, NO_TLS),
    UNUSED("tls-replication", NULL, "no", ANY_TIME, NO_TLS),
    UNUSED("tls-cluster", NULL, "no", ANY_TIME, NO_TLS),
    UNUSED("tls-prefer-server-ciphers", NULL, "no", ANY_TIME, NO_TLS),
    UNUSED("tls-session-caching", NULL, "yes", ANY_TIME, NO_TLS),
    UNUSED("tls-session-cache-size", NULL, "20480", ANY_TIME, NO_TLS),
    UNUSED("tls-session-cache-timeout", NULL, "300", ANY_TIME, NO_TLS),
    UNUSED("tls-auto-reload-interval", NULL, "0", ANY_TIME, NO_TLS),
    UNUSED("max-new-tls-connections-per-cycle", NULL, "1", ANY_TIME, NO_TLS),
    /* --- replication --- */
    UNUSED("replicaof", "slaveof", "", AT_START, NO_REPLICATION),
    UNUSED("masterauth", "primaryauth", "", ANY_TIME, NO_REPLICATION),
    UNUSED("masteruser", "primaryuser", "", ANY_TIME, NO_REPLICATION),
    UNUSED("repl-timeout", NULL, "60", ANY_TIME, NO_REPLICATION),
    UNUSED("repl-ping-replica-period", "repl-ping-slave-period", "10", ANY_TIME, NO_REPLICATION),
    UNUSED("repl-backlog-size", NULL, "1048576", ANY_TIME, NO_REPLICATION),
    UNUSED("repl-backlog-ttl", NULL, "3600", ANY_TIME, NO_REPLICATION),
    UNUSED("repl-diskless-sync", NULL, "yes", ANY_TIME, NO_REPLICATION),
    UNUSED("repl-diskless-sync-delay", NULL, "5", ANY_TIME, NO_REPLICATION),
    UNUSED("repl-diskless-sync-max-replicas", NULL, "0", ANY_TIME, NO_REPLICATION),
    UNUSED("repl-diskless-load", NULL, "disabled", ANY_TIME, NO_REPLICATION),
    UNUSED("repl-disable-tcp-nodelay", NULL, "no", ANY_TIME, NO_REPLICATION),
    UNUSED("repl-rdb-channel", NULL, "no", ANY_TIME, NO_REPLICATION),
    UNUSED("repl-mptcp", NULL, "no", ANY_TIME, NO_REPLICATION),
    UNUSED("dual-channel-replication-enabled", NULL, "no", ANY_TIME, NO_REPLICATION),
    UNUSED("replica-full-sync-buffer-limit", NULL, "0", ANY_TIME, NO_REPLICATION),
    UNUSED("replica-priority", "slave-priority", "100", ANY_TIME, NO_REPLICATION),
    UNUSED("replica-announced", NULL, "yes", ANY_TIME, NO_REPLICATION),
    UNUSED("replica-announce-ip", "slave-announce-ip", "", ANY_TIME, NO_REPLICATION),
    UNUSED("replica-announce-port", "slave-announce-port", "0", ANY_TIME, NO_REPLICATION),
    UNUSED("replica-lazy-flush", "slave-lazy-flush", "no", ANY_TIME, NO_REPLICATION),
    UNUSED("replica-ignore-maxmemory", "slave-ignore-maxmemory", "yes", ANY_TIME, NO_REPLICATION),
    UNUSED("replica-ignore-disk-write-errors", NULL, "no", ANY_TIME, NO_REPLICATION),
    UNUSED("propagation-error-behavior", NULL, "ignore", ANY_TIME, NO_REPLICATION),
    UNUSED("import-mode", NULL, "no", ANY_TIME, NO_REPLICATION),
    /* --- cluster --- */
    UNUSED("cluster-config-file", NULL, "nodes.conf", AT_START, NO_CLUSTER),
    UNUSED("cluster-node-timeout", NULL, "15000", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-port", NULL, "0", AT_START, NO_CLUSTER),
    UNUSED("cluster-migration-barrier", NULL, "1", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-allow-replica-migration", NULL, "yes", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-require-full-coverage", NULL, "yes", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-allow-reads-when-down", NULL, "no", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-allow-pubsubshard-when-down", NULL, "yes", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-announce-port", NULL, "0", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-announce-tls-port", NULL, "0", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-announce-bus-port", NULL, "0", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-announce-hostname", NULL, "", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-announce-human-nodename", NULL, "", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-announce-client-ipv4", NULL, "", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-announce-client-ipv6", NULL, "", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-preferred-endpoint-type", NULL, "ip", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-link-sendbuf-limit", NULL, "0", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-ping-interval", NULL, "1000", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-blacklist-ttl", NULL, "60", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-manual-failover-timeout", NULL, "5000", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-slot-stats-enabled", NULL, "no", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-compatibility-sample-ratio", NULL, "0", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-message-gossip-perc", NULL, "10", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-databases", NULL, "1", AT_START, NO_CLUSTER),
    UNUSED("cluster-slot-migration-log-max-len", NULL, "1000", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-slot-migration-handoff-max-lag-bytes", NULL, "1048576", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-slot-migration-write-pause-timeout", NULL, "10000", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-replica-validity-factor", "cluster-slave-validity-factor", "10", ANY_TIME, NO_CLUSTER),
    UNUSED("cluster-replica-no-failover", "cluster-slave-no-failover", "no", ANY_TIME, NO_CLUSTER),
    UNUSED("slot-migration-max-failover-repl-bytes", NULL, "0", ANY_TIME, NO_CLUSTER),
    UNUSED("availability-zone", NULL, "", ANY_TIME, NO_CLUSTER),
    /* --- snapshots and logs on disk --- */
    UNUSED("rdbchecksum", NULL, "yes", AT_START, NO_PERSISTENCE),
    UNUSED("rdb-del-sync-files", NULL, "no", ANY_TIME, NO_PERSISTENCE),
    UNUSED("rdb-save-incremental-fsync", NULL, "yes", ANY_TIME, NO_PERSISTENCE),
    UNUSED("rdb-key-save-delay", NULL, "0", ANY_TIME, NO_PERSISTENCE),
    UNUSED("rdb-version-check", NULL, "strict", ANY_TIME, NO_PERSISTENCE),
    UNUSED("aof-rewrite-incremental-fsync", NULL, "yes", ANY_TIME, NO_PERSISTENCE),
    UNUSED("aof-disable-auto-gc", NULL, "no", ANY_TIME, NO_PERSISTENCE),
    UNUSED("aof-load-corrupt-tail-max-size", NULL, "0", ANY_TIME, NO_PERSISTENCE),
    UNUSED("sanitize-dump-payload", NULL, "no", ANY_TIME, NO_PERSISTENCE),
    UNUSED("key-load-delay", NULL, "0", ANY_TIME, NO_PERSISTENCE),
    UNUSED("loading-process-events-interval-bytes", NULL, "2097152", AT_START, NO_PERSISTENCE),
    /* --- children and processors --- */
    UNUSED("oom-score-adj", NULL, "no", ANY_TIME, NO_FORK),
    UNUSED("oom-score-adj-values", NULL, "0 200 800", ANY_TIME, NO_FORK),
    UNUSED("disable-thp", NULL, "yes", AT_START, NO_FORK),
    UNUSED("server-cpulist", "server_cpulist", "", AT_START, NO_CPULIST),
    UNUSED("bio-cpulist", "bio_cpulist", "", AT_START, NO_CPULIST),
    UNUSED("aof-rewrite-cpulist", "aof_rewrite_cpulist", "", AT_START, NO_CPULIST),
    UNUSED("bgsave-cpulist", "bgsave_cpulist", "", AT_START, NO_CPULIST),
    UNUSED("io-threads", NULL, "1", AT_START, OWN_THREADS),
    UNUSED("io-threads-do-reads", NULL, "no", AT_START, OWN_THREADS),
    UNUSED("io-threads-always-active", NULL, "no", ANY_TIME, OWN_THREADS),
    UNUSED("events-per-io-thread", NULL, "2", ANY_TIME, OWN_THREADS),
    UNUSED("prefetch-batch-max-size", NULL, "16", ANY_TIME, OWN_THREADS),
    UNUSED("lookahead", NULL, "16", ANY_TIME, OWN_THREADS),
    UNUSED("min-io-threads-avoid-copy-reply", NULL, "7", ANY_TIME, OWN_THREADS),
    UNUSED("min-string-size-avoid-copy-reply", NULL, "16384", ANY_TIME, OWN_THREADS),
    UNUSED("min-string-size-avoid-copy-reply-threaded", NULL, "65536", ANY_TIME, OWN_THREADS),
    UNUSED("max-new-connections-per-cycle", NULL, "10", ANY_TIME, OWN_THREADS),
    UNUSED("dynamic-hz", NULL, "yes", ANY_TIME, OWN_THREADS),
    /* --- memory --- */
    UNUSED("activerehashing", NULL, "yes", ANY_TIME, OWN_ALLOCATOR),
    UNUSED("jemalloc-bg-thread", NULL, "yes", ANY_TIME, OWN_ALLOCATOR),
    UNUSED("active-defrag-ignore-bytes", NULL, "104857600", ANY_TIME, OWN_ALLOCATOR),
    UNUSED("active-defrag-threshold-lower", NULL, "10", ANY_TIME, OWN_ALLOCATOR),
    UNUSED("active-defrag-threshold-upper", NULL, "100", ANY_TIME, OWN_ALLOCATOR),
    UNUSED("active-defrag-cycle-min", NULL, "1", ANY_TIME, OWN_ALLOCATOR),
    UNUSED("active-defrag-cycle-max", NULL, "25", ANY_TIME, OWN_ALLOCATOR),
    UNUSED("active-defrag-cycle-us", NULL, "500", ANY_TIME, OWN_ALLOCATOR),
    UNUSED("active-defrag-max-scan-fields", NULL, "1000", ANY_TIME, OWN_ALLOCATOR),
    UNUSED("maxmemory-eviction-tenacity", NULL, "10", ANY_TIME, OWN_ALLOCATOR),
    /* --- access --- */
    UNUSED("aclfile", NULL, "", AT_START, NO_ACL_FILE),
    UNUSED("acllog-max-len", NULL, "128", ANY_TIME, NO_ACL_FILE),
    UNUSED("acl-pubsub-default", NULL, "resetchannels", ANY_TIME, NO_ACL_FILE),
    /* --- modules --- */
    UNUSED("enable-module-command", NULL, "no", AT_START, NO_MODULES),
    UNUSED("vset-force-single-threaded-execution", NULL, "no", ANY_TIME, NO_MODULES),
    UNUSED("lua-enable-deprecated-api", NULL, "no", AT_START, NO_MODULES),
    UNUSED("lua-enable-insecure-api", NULL, "no", AT_START, NO_MODULES),
    /* --- log --- */
    UNUSED("syslog-enabled", NULL, "no", AT_START, NO_SYSLOG),
    UNUSED("syslog-ident", NULL, "redis", AT_START, NO_SYSLOG),
    UNUSED("syslog-facility", NULL, "local0", AT_START, NO_SYSLOG),
    UNUSED("log-format", NULL, "legacy", ANY_TIME, NO_SYSLOG),
    UNUSED("log-timestamp-format", NULL, "legacy", ANY_TIME, NO_SYSLOG),
    UNUSED("hide-user-data-from-log", NULL, "no", ANY_TIME, NO_SYSLOG),
    UNUSED("crash-memcheck-enabled", NULL, "yes", ANY_TIME, NO_SYSLOG),
    UNUSED("commandlog-execution-slower-than", NULL, "10000", ANY_TIME, NO_NEED),
    UNUSED("commandlog-slow-execution-max-len", NULL, "128", ANY_TIME, NO_NEED),
    UNUSED("commandlog-request-larger-than", NULL, "1048576", ANY_TIME, NO_NEED),
    UNUSED("commandlog-large-request-max-len", NULL, "128", ANY_TIME, NO_NEED),
    UNUSED("commandlog-reply-larger-than", NULL, "1048576", ANY_TIME, NO_NEED),
    UNUSED("commandlog-large-reply-max-len", NULL, "128", ANY_TIME, NO_NEED),
    UNUSED("key-memory-histograms", NULL, "no", AT_START, NO_NEED),
    UNUSED("proc-title-template", NULL, "{title} {listen-addr} {server-mode}", ANY_TIME, NO_NEED),
    UNUSED("ignore-warnings", NULL, "", ANY_TIME, NO_NEED),
    UNUSED("locale-collate", NULL, "", ANY_TIME, NO_NEED),
    UNUSED("shutdown-timeout", NULL, "10", ANY_TIME, NO_NEED),
    UNUSED("shutdown-on-sigint", NULL, "default", ANY_TIME, NO_NEED),
    UNUSED("shutdown-on-sigterm", NULL, "default", ANY_TIME, NO_NEED),
    UNUSED("tracking-table-max-keys", NULL, "1000000", ANY_TIME, NO_NEED),
    UNUSED("client-default-resp", NULL, "2", ANY_TIME, NO_NEED),
    UNUSED("extended-redis-compatibility", NULL, "no", ANY_TIME, NO_NEED),
    UNUSED("bind-source-addr", NULL, "", ANY_TIME, NO_NEED),
    UNUSED("socket-mark-id", NULL, "0", AT_START, NO_NEED),
    UNUSED("unixsocketgroup", NULL, "", AT_START, NO_NEED),
    UNUSED("mptcp", NULL, "no", AT_START, NO_NEED),
    UNUSED("rdma-bind", NULL, "", AT_START, NO_NEED),
    UNUSED("rdma-port", NULL, "0", AT_START, NO_NEED),
    UNUSED("rdma-rx-size", NULL, "1048576", AT_START, NO_NEED),
    UNUSED("rdma-completion-vector", NULL, "-1", AT_START, NO_NEED),
    UNUSED("hash-seed", NULL, "", AT_START, NO_NEED),
    UNUSED("stream-idmp-duration", NULL, "100", ANY_TIME, NO_NEED),
    UNUSED("stream-idmp-maxsize", NULL, "100", ANY_TIME, NO_NEED),
    /* --- for Redis's own tests --- */
    UNUSED("use-exit-on-panic", NULL, "no", ANY_TIME, NO_TESTING),
    UNUSED("watchdog-period", NULL, "0", ANY_TIME, NO_TESTING),
    UNUSED("req-res-logfile", NULL, "", AT_START, NO_TESTING),
    UNUSED("enable-debug-assert", NULL, "no", AT_START, NO_TESTING),
    UNUSED("debug-context", NULL, "", ANY_TIME, NO_TESTING),

    /* --- lines that are no parameters --- */
    DIRECTIVE("list-max-ziplist-entries", NO_NEED),
    DIRECTIVE("list-max-ziplist-value", NO_NEED),
    DIRECTIVE("hash-max-zipmap-entries", NO_NEED),
    DIRECTIVE("hash-max-zipmap-value", NO_NEED),
    DIRECTIVE("user", "this version has no users but the default one: set 'requirepass', or nobody needs a password"),
    DIRECTIVE("rename-command", "commands keep their names: what you renamed to hide it can be called"),
    DIRECTIVE("loadmodule", "sherd loads no modules: the module's commands will be unknown"),
    DIRECTIVE("loadmodule-ex", "sherd loads no modules: the module's commands will be unknown"),
};
/* clang-format on */

const unsigned config_unused_options_count = ARRAY_LEN(config_unused_options);
