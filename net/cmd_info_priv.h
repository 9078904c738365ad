/* What the files of INFO, LATENCY and MEMORY share.
 *
 *   cmd_info.c       the command: which sections      info_sections.c  what they say about the process and the data
 *   info_traffic.c   ... about commands and shards    cmd_latency.c    LATENCY         cmd_memory.c    MEMORY
 *   info_persistence.c  ... about what is on the disk     info_turns.c     ... about where the threads' time goes */
#pragma once
#include "net/runtime.h"
#include "net/totals.h"

extern const struct command latency_subs[];
void cmd_internal_spikes(struct exec *x); /* "sherd.spikes" */
extern const struct command memory_subs[];
extern const struct command guard_subs[];

/* All that a section is written from. */
struct info {
    const struct totals *totals;
    const struct runtime_facts *facts;
    const struct config *config;
    const struct command_registry *registry;
    struct buf *out;
    const struct client *client; /* who asks; NULL: nobody any more */
};

/* At a thread's own port it is told of a node of a cluster. */
HOT_INLINE bool info_of_node(const struct info *info) {
    return info->client && info->client->flags & CLIENT_ENDPOINT;
}

/* One "name:value" line each. */
void info_number(const struct info *info, const char *name, uint64_t value);
void info_signed(const struct info *info, const char *name, int64_t value);
void info_text(const struct info *info, const char *name, const char *value);
/* Fields of features that are not here. */
void info_zeros(const struct info *info, const char *const *names, size_t count);
double ratio(uint64_t a, uint64_t b); /* 0 where there is no b */
/* Bytes as Redis rounds them for people: "894.92K". */
const char *bytes_human(uint64_t bytes, char out[32]);
/* The value of an option as CONFIG GET shows it, cut to out. */
void option_text(const struct config *config, const char *name, char *out, size_t out_size);

/* info_sections.c */
void info_server(const struct info *info);
void info_clients(const struct info *info);
void info_memory(const struct info *info);
void info_replication(const struct info *info);
void info_cpu(const struct info *info);
void info_cluster(const struct info *info);
void info_keyspace(const struct info *info);
/* info_persistence.c */
void info_persistence(const struct info *info);
/* cmd_guard.c */
void info_limits(const struct info *info);
/* info_traffic.c */
void info_stats(const struct info *info);
void info_commandstats(const struct info *info);
void info_errorstats(const struct info *info);
void info_latencystats(const struct info *info);
void info_shards(const struct info *info);
/* info_turns.c */
void info_turns(const struct info *info);
