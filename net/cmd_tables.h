/* The command tables of this floor. */
#pragma once
#include "shards/command.h"

extern const struct command conn_commands[];    /* cmd_conn.c: HELLO, AUTH, CLIENT, SELECT, PING ... */
extern const struct command server_commands[];  /* cmd_server.c: CONFIG, DEBUG, SLOWLOG, SHUTDOWN ... */
extern const struct command persist_commands[]; /* cmd_persist.c: SAVE, BGSAVE, LASTSAVE */
extern const struct command cluster_commands[]; /* cmd_cluster.c: CLUSTER, READONLY ... */
extern const struct command info_commands[];    /* cmd_info.c: INFO, LATENCY, MEMORY */
