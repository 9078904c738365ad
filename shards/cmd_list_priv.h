/* What the files of list commands share: cmd_list.c has one key and looks at or changes one list, cmd_list_move.c takes
 * elements from where there are some. */
#pragma once
#include "shards/exec.h"
#include "shards/list.h"

/* LEFT or RIGHT at argv[at]; false: a syntax error was replied. */
NODISCARD bool list_arg_end(struct exec *x, uint32_t at, enum list_end *end);
void reply_packed(struct exec *x, const struct packed_value *value); /* as a bulk string */
/* Replies an array of up to count elements from one end, and takes them out. ref names a list. */
void list_pop_many(struct exec *x, struct key_ref *ref, enum list_end end, uint64_t count);
