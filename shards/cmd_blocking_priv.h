/* Taking from the first of several keys that has something: what commands on lists and on sorted sets share. The steps
 * need only that a command for one of its keys alone is the same command (command_with_one_key), and that it replies
 * null when there is nothing. */
#pragma once
#include "shards/exec.h"
#include "shards/gather.h"

/* The timeout at argv[at]: seconds, a float; 0 is for ever. False: the error was replied. */
NODISCARD bool exec_timeout(struct exec *x, uint32_t at, uint64_t *ms);

/* --- in step functions of commands that wait. Their words of gather->memo; the first is each one's own. The timeout is
 * in gather->timeout_ms --- */
enum { WAIT_MEMO_OWN, WAIT_MEMO_MAY, WAIT_MEMO_TOLD };
void gather_may_wait(struct gather *g); /* in the first step: notes whether it may */
/* Nothing was found at these shards (a bit each). The reply, which says so, is taken back if the client waits instead.
 * It is another step then, after which WAIT_MEMO_TOLD is set and the function sets gather->blocks. */
void gather_wait_instead(struct gather *g, uint64_t shards);

bool gather_reply_is_null(struct slice reply); /* in either protocol */

/* --- very many elements are taken in pieces (pop_gather.c), of one key, whose owner was asked as follows --- */
/* What the first of them is asked for instead of argv[at], of a copy of the gather's arguments. */
struct slice gather_pop_argument(const struct gather *g, uint32_t at);
/* A step has found something at one of the keys argv[first .. first + keys), or is one that this has sent. Sends
 * another, or gather_out has the reply. */
void gather_pop_go_on(struct gather *g, uint32_t first, uint32_t keys);
bool gather_pops(const struct gather *g); /* it has sent some */
/* gather_send of a step that is answered with some of the elements. */
void gather_pop_send(struct gather *g, uint32_t shard, const char *name, const struct slice *args, uint32_t count);

void mpop_gather(struct gather *g);  /* name numkeys key ... (cmd_list_move.c) */
void bpop_gather(struct gather *g);  /* name key ... timeout; waits (cmd_blocking.c) */
void bmpop_gather(struct gather *g); /* name timeout numkeys key ...; waits */
