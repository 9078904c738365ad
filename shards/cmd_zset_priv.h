/* What the files of sorted set commands share: cmd_zset.c has members and their scores, cmd_zset_range.c what lies
 * between two places, cmd_zset_pop.c the ends, cmd_zset_join.c several sets. */
#pragma once
#include "shards/exec.h"
#include "shards/zset.h"

/* Replies an array header and then elements, as RESP2 and RESP3 have them when scores are asked for: a flat array of
 * bulk strings, or pairs with doubles. `nested` asks for pairs in RESP2, too. */
void zset_reply_head(struct exec *x, uint64_t count, bool with_scores, bool nested);
void zset_reply_pair(struct exec *x, const struct zset_pair *pair, bool with_scores, bool nested);

/* What a command made becomes the value of argv[at], or an empty set nothing, whatever was there. Replies its length.
 * The set is taken. */
void zset_store(struct exec *x, uint32_t at, struct sorted *take);
/* The same as an entry without a key for dump_write_body; NULL when it is empty. */
struct entry *zset_new_result(const struct keyspace_shared *shared, struct slice key, struct sorted *take);
