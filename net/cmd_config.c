/* CONFIG: a view of the thread's copy of the options (core/config.h); changes go to the runtime, which hands them to all
 * threads. RESETSTAT sets back what INFO counts: per shard, hence on all of them. */
#include "core/config.h"
#include "net/cmd_server_priv.h"
#include "net/runtime.h"
#include "shards/shard.h"

static void emit_pair(void *ctx, struct slice name, struct slice value) {
    struct exec *x = ctx;
    reply_bulk(x, name);
    reply_bulk(x, value);
}

static void cmd_config_get(struct exec *x) {
    const struct config *config = x->shard->config;
    unsigned patterns = x->argc - 2;
    reply_map(x, config_get(config, x->argv + 2, patterns, NULL, NULL));
    config_get(config, x->argv + 2, patterns, emit_pair, x);
}

static void reply_refused(struct exec *x, const struct error *error) {
    reply_errorf(x, "ERR %s", error->text);
}

static void cmd_config_set(struct exec *x) {
    struct error error = {0};
    if (x->argc % 2 != 0) {
        reply_syntax_error(x);
        return;
    }
    if (net_config_set(x, x->argv + 2, (x->argc - 2) / 2, &error) == ST_OK)
        reply_ok(x);
    else
        reply_refused(x, &error);
}

static void cmd_config_rewrite(struct exec *x) {
    struct error error = {0};
    if (net_config_rewrite(x, &error) == ST_OK)
        reply_ok(x);
    else
        reply_refused(x, &error);
}

/* What says how things are now (clients, memory) is not a counter and stays. */
static void reset_counters(struct shard *shard) {
    struct shard_stats *stats = &shard->stats;
    struct shard_stats kept = *stats;
    *stats = (struct shard_stats){.clients = kept.clients, .clients_blocked = kept.clients_blocked};
    turns_reset(&shard->turns);
    shard->errors = (struct error_stats){0};
    shard->shared.expired = shard->shared.expired_fields = shard->shared.hits = shard->shared.misses = 0;
    for (uint32_t i = 0; i < command_registry_count(shard->registry); i++) {
        struct command_stats *command = &shard->command_stats[i];
        if (command->histogram) memset(command->histogram, 0, HISTOGRAM_BUCKETS * sizeof *command->histogram);
        *command = (struct command_stats){.histogram = command->histogram};
    }
}

static void cmd_config_resetstat(struct exec *x) {
    reset_counters(x->shard);
    reply_ok(x);
}

static void cmd_config_help(struct exec *x) {
    static const char *const lines[] = {
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        NULL,
    };
    reply_help(x, lines);
}

#define ADMIN (CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)

const struct command config_subs[] = {
    {.name = "get",
     .arity = -3,
     .flags = ADMIN,
     .where = ON_CONN,
     .run = cmd_config_get,
     .args = "parameter [parameter ...]",
     .since = "2.0.0",
     .cost = "O(N), N = options times patterns",
     .doc = "Returns the options whose names match."},
    {.name = "set",
     .arity = -4,
     .flags = ADMIN | CMD_SKIP_SLOWLOG,
     .where = ON_CONN,
     .run = cmd_config_set,
     .args = "parameter value [parameter value ...]",
     .since = "2.0.0",
     .cost = "O(N), N = options given",
     .doc = "Changes options, all or none.",
     .tips = "request_policy:all_nodes response_policy:all_succeeded"},
    {.name = "resetstat",
     .arity = 2,
     .flags = ADMIN,
     .where = ON_ALL,
     .merge = MERGE_OK,
     .run = cmd_config_resetstat,
     .since = "2.0.0",
     .cost = "O(1)",
     .doc = "Sets the counters of INFO to zero."},
    {.name = "rewrite",
     .arity = 2,
     .flags = ADMIN,
     .where = ON_CONN,
     .run = cmd_config_rewrite,
     .since = "2.8.0",
     .cost = "O(1)",
     .doc = "Writes the options in force into the configuration file."},
    {.name = "help",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .where = ON_CONN,
     .run = cmd_config_help,
     .since = "5.0.0",
     .cost = "O(1)",
     .doc = "Explains the subcommands of CONFIG."},
    {.name = NULL},
};
