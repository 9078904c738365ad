/* Taking from the first of several keys that has something: what commands on lists and on sorted sets share. The steps
 * need only that a command for one of its keys alone is the same command (command_with_one_key), and that it replies
 * null when there is nothing. */
#pragma once
#include "shards/exec.h"
#include "shards/gather.h"

/* The timeout at argv[at]: seconds, a float; 0 is for ever. False: the error was replied. */
NODISCARD bool exec_timeout(struct exec *x, uint32_t at, uint64_t *ms);

void mpop_gather(struct gather *g);  /* name numkeys key ... (cmd_list_move.c) */
void bpop_gather(struct gather *g);  /* name key ... timeout; waits (cmd_blocking.c) */
void bmpop_gather(struct gather *g); /* name timeout numkeys key ...; waits */
