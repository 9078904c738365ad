/* What the files of sorted set commands share: cmd_zset.c has members and their scores, cmd_zset_range.c what lies
 * between two places, cmd_zset_pop.c the ends, cmd_zset_join.c several sets. */
#pragma once
#include "shards/effect_add.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/work.h"
#include "shards/zset.h"

/* Replies an array header and then elements, as RESP2 and RESP3 have them when scores are asked for: a flat array of
 * bulk strings, or pairs with doubles. `nested` asks for pairs in RESP2, too. */
void zset_reply_head(struct exec *x, uint64_t count, bool with_scores, bool nested);
void zset_reply_pair(struct exec *x, const struct zset_pair *pair, bool with_scores, bool nested);

/* What a command made becomes the value of argv[at], or an empty set nothing, whatever was there. Replies its length.
 * The set is taken. */
void zset_store(struct exec *x, uint32_t at, struct sorted *take);
/* The same without a reply, and the journal does not hear of the new value, which is returned; NULL: there is none. */
struct entry *zset_store_untold(struct exec *x, uint32_t at, struct sorted *take);
/* The end of a work whose result becomes the value of argv[at] (shards/work.h): it is put there, and the journal is
 * told of it in slices if it is large. Called until it answers false; count is then the length. The set is taken. */
struct zset_storing {
    uint32_t at;
    struct sorted *set; /* NULL: it is in its place */
    uint64_t count;
    bool put;
    struct effect_tale tale;
};
bool zset_store_some(struct exec *x, struct work *work, struct zset_storing *storing);

/* The two of cmd_zset_range.c that may take turns. All is known of them: ranks [from, to) of their source, argv[2] or
 * argv[1]. compact: see collect in cmd_zset_range.c. */
struct work *zrangestore_work_new(const struct exec *x, uint64_t from, uint64_t to, bool backwards, bool compact);
struct work *zremrange_work_new(const struct exec *x, uint64_t from, uint64_t to, bool by_member);
/* What ZRANGESTORE puts into its result as the next element. */
void zrangestore_add(struct exec *x, struct sorted *set, bool *compact, const struct zset_pair *pair);
/* What ZREMRANGE* says of what it has removed, but for the removal's event; its reply. */
void zremrange_say(struct exec *x, uint64_t from, uint64_t to, bool by_member);

/* The same as an entry without a key for dump_write_body; NULL when it is empty. */
struct entry *zset_new_result(const struct keyspace_shared *shared, struct slice key, struct sorted *take);

/* The same where the destination is on another shard: the source's owner replies the result to a gather, whose next
 * step puts it to argv[at] or takes that away, and whose last step replies its length. An error becomes the reply. */
void zset_reply_result(struct exec *x, struct sorted *take);
void zset_put_result(struct gather *g, uint32_t at);
void zset_send_put(struct gather *g, uint32_t at, struct slice body); /* the value that body dumps */
void zset_end_result(struct gather *g);

/* Adding members, for ZADD and GEOADD: the options, and what came of it so far. */
struct zset_add {
    bool nx, xx, gt, lt, count_changes, increment;
    uint64_t added, changed;
};
bool zset_add_option(const struct exec *x, uint32_t at, struct zset_add *add); /* false: neither NX nor XX nor CH */
enum zset_outcome { ZSET_NOTHING, ZSET_SAME, ZSET_CHANGED, ZSET_ADDED, ZSET_NOT_A_NUMBER };
/* One member. *score is what is given, and then what the member has. */
enum zset_outcome zset_add_one(struct exec *x, struct key_ref *ref, struct zset_add *add, struct slice member,
                               double *score);
/* Says what changed and replies how many. */
void zset_add_end(struct exec *x, const struct zset_add *add);
