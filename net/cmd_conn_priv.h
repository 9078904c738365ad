/* What the files of the connection commands share: cmd_conn.c, cmd_client.c, cmd_client_many.c. */
#pragma once
#include "shards/command.h"
#include "shards/exec.h"

extern const struct command client_subs[]; /* cmd_client.c */

/* Printable and without blanks, so that CLIENT LIST stays a list of words. */
bool client_text_is_fine(struct slice text);
/* Sets or, when empty, unsets the name; false when it was refused and the error replied. */
NODISCARD bool client_rename(struct exec *x, struct slice name);

/* cmd_client_many.c */
void cmd_client_list(struct exec *x);
void client_list_across(struct gather *gather);
void cmd_client_unblock(struct exec *x);
void client_kill_across(struct gather *gather);
void cmd_internal_kill(struct exec *x);
