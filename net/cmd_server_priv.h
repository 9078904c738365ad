/* What the files of the server commands share: subcommand tables and the functions behind them.
 *
 *   cmd_server.c  the table, and the small ones     cmd_config.c  CONFIG        cmd_debug.c   DEBUG
 *   cmd_slowlog.c SLOWLOG                           cmd_lolwut.c  LOLWUT */
#pragma once
#include "shards/command.h"
#include "shards/exec.h"

extern const struct command config_subs[];  /* cmd_config.c */
extern const struct command slowlog_subs[]; /* cmd_slowlog.c */

void debug_across(struct gather *gather); /* cmd_debug.c */
void cmd_internal_sleep(struct exec *x);
void cmd_internal_debug_object(struct exec *x);
void cmd_internal_active_expire(struct exec *x);
void cmd_internal_htstats(struct exec *x);
void cmd_internal_txn(struct exec *x);

void cmd_lolwut(struct exec *x); /* cmd_lolwut.c */
