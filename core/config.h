/* Config: every option of the server as plain typed fields, described by one table
 * (config_table.c).
 *
 * The server reads fields (cfg->port); everything else is a loop over the table: the file, the
 * command line, CONFIG GET, SET and REWRITE, --help, the warnings at start. A row says how far
 * sherd honours an option:
 *
 *   live    works in this version
 *   later   typed and remembered, because scripts for Redis set it, but the feature is not here yet
 *   unused  a word that Redis or Valkey know and sherd has no use for: the text is remembered for CONFIG GET
 *
 * config_warnings says, one line per option, which of the given ones ask for something and do
 * nothing; one that says the default is passed over. Other words are errors that suggest the
 * nearest name.
 *
 * Ownership  A struct config holds no pointers: it is copied by assignment and never freed. It takes about 32 KiB.
 * Threads    One thread writes a struct config. The server keeps a master copy behind a mutex and each thread a copy of
 *            its own (net/server.h), so a reader never sees a half-changed one.
 * Files      This module does text only; net/config_file.h reads, includes and writes files. */
#pragma once
#include "core/log.h"
#include "core/slice.h"
#include "core/status.h"

enum {
    CONFIG_PATH_MAX = 4096, /* PATH_MAX of Linux, with the terminator */
    CONFIG_NAME_MAX = 256,  /* a file name, a host name; NAME_MAX + 1 */
    CONFIG_BIND_MAX = 16,   /* as Redis's CONFIG_BINDADDR_MAX */
    CONFIG_SAVE_MAX = 32,   /* `save` rules; nobody writes more than five */
    CONFIG_PERCENTILES_MAX = 16,
    CONFIG_OPTIONS_MAX = 320, /* rows of both tables; checked by config_check */
    CONFIG_UNUSED_BYTES = 8192,
    CONFIG_VALUE_MAX = 8320,   /* any option's value as text, with the terminator */
    CONFIG_TEXT_MAX = 400,     /* a warning or the reason of a refusal, with the terminator */
    CONFIG_INCLUDE_DEPTH = 16, /* files that include each other stop here */
};

enum config_maxmemory_policy {
    MAXMEMORY_VOLATILE_LRU,
    MAXMEMORY_VOLATILE_LFU,
    MAXMEMORY_VOLATILE_RANDOM,
    MAXMEMORY_VOLATILE_TTL,
    MAXMEMORY_VOLATILE_LRFU, /* sherd's own */
    MAXMEMORY_ALLKEYS_LRU,
    MAXMEMORY_ALLKEYS_LFU,
    MAXMEMORY_ALLKEYS_RANDOM,
    MAXMEMORY_ALLKEYS_LRFU,
    MAXMEMORY_NOEVICTION,
};
enum config_appendfsync { APPENDFSYNC_EVERYSEC, APPENDFSYNC_ALWAYS, APPENDFSYNC_NO };
enum config_recovery_damage { DAMAGE_REFUSE, DAMAGE_TRUNCATE, DAMAGE_SKIP };
enum config_supervised { SUPERVISED_NO, SUPERVISED_UPSTART, SUPERVISED_SYSTEMD, SUPERVISED_AUTO };
enum config_numa { NUMA_ON, NUMA_OFF };
enum config_permission { PERMIT_NO, PERMIT_YES, PERMIT_LOCAL }; /* local: loopback and unix-socket clients */

/* Bits of notify_keyspace_events, with Redis's letters. */
enum config_notify {
    NOTIFY_KEYSPACE = 1 << 0,  /* K */
    NOTIFY_KEYEVENT = 1 << 1,  /* E */
    NOTIFY_GENERIC = 1 << 2,   /* g */
    NOTIFY_STRING = 1 << 3,    /* $ */
    NOTIFY_LIST = 1 << 4,      /* l */
    NOTIFY_SET = 1 << 5,       /* s */
    NOTIFY_HASH = 1 << 6,      /* h */
    NOTIFY_ZSET = 1 << 7,      /* z */
    NOTIFY_EXPIRED = 1 << 8,   /* x */
    NOTIFY_EVICTED = 1 << 9,   /* e */
    NOTIFY_STREAM = 1 << 10,   /* t */
    NOTIFY_KEY_MISS = 1 << 11, /* m */
    NOTIFY_MODULE = 1 << 13,   /* d */
    NOTIFY_NEW = 1 << 14,      /* n */
    NOTIFY_ALL = NOTIFY_GENERIC | NOTIFY_STRING | NOTIFY_LIST | NOTIFY_SET | NOTIFY_HASH | NOTIFY_ZSET |
                 NOTIFY_EXPIRED | NOTIFY_EVICTED | NOTIFY_STREAM | NOTIFY_MODULE, /* A */
};

struct config_bind {
    unsigned count; /* 0: no TCP listener */
    struct {
        bool optional;                 /* written -address: failing to bind it is no error */
        char address[CONFIG_NAME_MAX]; /* a host name or address; "*" and "::*" mean any */
    } entries[CONFIG_BIND_MAX];
};

struct config_save {
    unsigned count;
    struct {
        int64_t seconds, changes;
    } rules[CONFIG_SAVE_MAX];
};

enum config_client_class { CLIENT_CLASS_NORMAL, CLIENT_CLASS_REPLICA, CLIENT_CLASS_PUBSUB, CLIENT_CLASS_COUNT };

struct config_output_limits {
    struct {
        uint64_t hard_bytes, soft_bytes; /* 0: no limit */
        int64_t soft_seconds;
    } classes[CLIENT_CLASS_COUNT];
};

struct config_percentiles {
    unsigned count;
    double percent[CONFIG_PERCENTILES_MAX];
};

/* Values of unused options that somebody set: name\0value\0... */
struct config_unused {
    unsigned used_bytes;
    char text[CONFIG_UNUSED_BYTES];
};

struct config {
    /* network */
    struct config_bind bind;
    int port; /* 0: no TCP */
    int tcp_backlog;
    int tcp_keepalive;    /* seconds; 0: off */
    int timeout;          /* seconds a client may idle; 0: for ever */
    char unixsocket[108]; /* sun_path; "": none */
    int unixsocketperm;   /* mode bits; 0: leave to umask */
    bool protected_mode;
    int64_t maxclients;
    int64_t client_homing_ms;           /* 0: connections stay where they are */
    uint64_t proto_max_bulk_len;        /* bytes */
    uint64_t client_query_buffer_limit; /* bytes */
    struct config_output_limits client_output_buffer_limit;

    /* general */
    int threads; /* 0: as many as this process may use */
    enum config_numa numa;
    int databases;
    int hz;
    bool daemonize;                    /* later */
    enum config_supervised supervised; /* later */
    char pidfile[CONFIG_PATH_MAX];
    enum log_level loglevel;
    char logfile[CONFIG_PATH_MAX]; /* "": standard output */
    bool always_show_logo, set_proc_title, crash_log_enabled;
    char dir[CONFIG_PATH_MAX]; /* as given; the owner of the process turns it into an absolute path
                                */

    /* security */
    char requirepass[512]; /* "": none */
    enum config_permission enable_debug_command, enable_protected_configs;

    /* observation */
    int64_t slowlog_log_slower_than; /* microseconds; -1: off, 0: everything */
    int64_t slowlog_max_len;
    bool latency_tracking;
    struct config_percentiles latency_tracking_info_percentiles;
    int64_t latency_monitor_threshold; /* milliseconds; 0: off */
    unsigned notify_keyspace_events;   /* enum config_notify */

    /* memory */
    uint64_t maxmemory; /* later; bytes, 0: no limit */
    enum config_maxmemory_policy maxmemory_policy;
    int maxmemory_samples;
    int64_t maxmemory_clients; /* later; bytes, or a percentage of maxmemory when negative; 0: no
                                  limit */
    bool lazyfree_lazy_user_del, lazyfree_lazy_user_flush, lazyfree_lazy_expire;
    bool lazyfree_lazy_eviction, lazyfree_lazy_server_del;
    int active_expire_effort;
    bool activedefrag;                  /* later */
    int lfu_log_factor, lfu_decay_time; /* decay in minutes */

    /* encodings */
    int64_t hash_max_listpack_entries;
    uint64_t hash_max_listpack_value;
    int list_max_listpack_size; /* entries, or -1..-5 for 4, 8, 16, 32, 64 KiB */
    int list_compress_depth;
    int64_t set_max_intset_entries, set_max_listpack_entries;
    uint64_t set_max_listpack_value;
    int64_t zset_max_listpack_entries;
    uint64_t zset_max_listpack_value;
    uint64_t hll_sparse_max_bytes;
    uint64_t stream_node_max_bytes;
    int64_t stream_node_max_entries;

    /* scripts, replication, cluster: later, but for cluster_ports and cluster_announce_ip */
    int64_t busy_reply_threshold; /* milliseconds; lua-time-limit */
    bool replica_read_only, replica_serve_stale_data;
    int min_replicas_to_write, min_replicas_max_lag; /* lag in seconds */
    bool cluster_enabled;
    bool cluster_ports;
    char cluster_announce_ip[CONFIG_NAME_MAX]; /* "": the address that the client has connected to */

    /* persistence: later */
    struct config_save save;
    char dbfilename[CONFIG_NAME_MAX];
    bool appendonly;
    enum config_appendfsync appendfsync;
    enum config_recovery_damage recovery_damage;
    char import[CONFIG_PATH_MAX]; /* "": none */
    char appendfilename[CONFIG_NAME_MAX], appenddirname[CONFIG_NAME_MAX];
    bool no_appendfsync_on_rewrite, stop_writes_on_bgsave_error, rdbcompression;
    int64_t max_staleness;       /* milliseconds; 0: no limit */
    uint64_t max_unsynced_bytes; /* 0: no limit */
    int64_t persist_timeout;     /* milliseconds */
    uint64_t disk_budget;        /* bytes; 0: what is free */
    int auto_aof_rewrite_percentage;
    uint64_t auto_aof_rewrite_min_size;
    bool aof_load_truncated, aof_use_rdb_preamble, aof_timestamp_enabled;

    /* how it got here: only config*.c looks inside */
    struct config_unused unused;
    uint64_t given[CONFIG_OPTIONS_MAX / 64]; /* bit per row: somebody set it */
};

/* Pieces of text on their way to a file, a terminal or a buffer; called many times, in order. */
typedef void config_emit(void *ctx, struct slice text);

/* --- before the server starts --- */
void config_init(struct config *config); /* all defaults */

/* Applies one file's text. `file` names it in errors ("sherd.conf:12: unknown option ..."). An
 * `include` line calls `include` with depth + 1; it reads the files, calls config_parse_text for
 * each and reports like a parser. NULL: include lines are errors. Stops at the first error; what
 * came before it stays applied. */
struct config_source {
    const char *file;
    int depth; /* 0 for the first file */
    enum status (*include)(void *ctx, struct config *config, const char *pattern, int depth, struct error *error);
    void *ctx;
};
NODISCARD enum status config_parse_text(struct config *config, struct slice text, const struct config_source *source,
                                        struct error *error);

/* The command line: sherd [FILE|-] [--name value ...] | --help | --version. scan looks, parse
 * applies the options. */
enum config_action { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION };
struct config_arguments {
    enum config_action action;
    const char *file;  /* borrowed from argv; NULL: none, "-": standard input */
    int options_begin; /* index in argv of the first --name */
};
NODISCARD enum status config_scan_arguments(int argc, char *const argv[], struct config_arguments *out,
                                            struct error *error);
NODISCARD enum status config_parse_arguments(struct config *config, int argc, char *const argv[], int options_begin,
                                             struct error *error);

/* One line per given option that asks for something and has no effect in this version. emit gets
 * the line without a newline. */
void config_warnings(const struct config *config, config_emit *emit, void *ctx);

/* The same for one option, e.g. after CONFIG SET. False: nothing to say. */
bool config_warning(const struct config *config, struct slice name, char out[static CONFIG_TEXT_MAX]);

/* The whole --help, from the table. */
void config_help(config_emit *emit, void *ctx);

/* --- while it runs --- */
struct config_pair {
    struct slice name, value;
};

/* CONFIG SET: all pairs or none. On failure `error` holds the reply as Redis words it, without
 * "-ERR ". The client is local when it came over loopback or a unix socket: some options are
 * protected. Costs two copies of the config. */
NODISCARD enum status config_set_many(struct config *config, const struct config_pair *pairs, unsigned count,
                                      bool client_is_local, struct error *error);
NODISCARD enum status config_set(struct config *config, struct slice name, struct slice value, struct error *error);

/* CONFIG GET: calls emit once per name that matches any of the patterns, in table order, and
 * returns how many. emit may be NULL, to count first (a RESP3 map starts with its size). A literal
 * pattern is answered as the client wrote it, as Redis does. */
typedef void config_get_emit(void *ctx, struct slice name, struct slice value);
unsigned config_get(const struct config *config, const struct slice *patterns, unsigned count, config_get_emit *emit,
                    void *ctx);

/* CONFIG REWRITE: old_text with changed directives replaced where they stand and new ones at the
 * end. Lines that still say the truth are kept byte for byte. */
void config_rewrite_text(const struct config *config, struct slice old_text, config_emit *emit, void *ctx);

/* The known name nearest to a misspelt one, NULL when none is near. O(names * length^2). */
const char *config_suggest(struct slice name);

/* Did a file, the command line or CONFIG SET give this option a value, be it the default? name is in the table. */
bool config_is_given(const struct config *config, struct slice name);

/* Walks the invariants: the tables (names unique, defaults parse, in range) and this config. For
 * tests and start-up. */
void config_check(const struct config *config);
