/* Answers that wait: a read whose reply turned out to be large while clients hold more than they may.
 *
 * How large a reply is nobody knows before it is there. Its client's earlier ones tell much, and home lets those with
 * large ones wait (shards/admit.h); but a thousand new clients may each ask for a large value, and the shard that owns
 * it has never heard of them. So there the question is asked before a large string is copied (a row's .answers), and
 * when the reply to any other read has become large. If there is no room the reply is given up again, and the command,
 * which has changed nothing, becomes a work that waits (shards/work.h): it holds its keys for reading, its client's
 * later commands stand behind it, everybody else goes on. When there is room it runs again.
 *
 * So of replies that nobody expected (a large hash, a large field) each shard has one too many, for a moment.
 *
 * What writes can wait before it runs alone, if its row tells: HGETEX, XREADGROUP, XCLAIM and XAUTOCLAIM, and a
 * transaction on one other shard, by what the strings that it GETs come to. So does what a blocked client reads of a
 * stream: one entry may be for a thousand of them. What is taken out of the data (GETDEL, LPOP) adds nothing and does
 * not wait. Commands over several shards wait as a whole, at home, for the strings that all parts will answer; for what
 * else they answer they are bound by what such commands held before (admit_gather). A command that takes turns for its
 * reply says beforehand what that may come to (work.expects).
 *
 * Thread    the shard's. Cost: a comparison per command. */
#pragma once
#include "shards/admit.h"
#include "shards/join.h"

/* A command is about to run. True: its reply will be large, as far as its key tells, and has to wait: it must not run,
 * and x asks for turns or has begun to wait. */
COLD bool answer_waits_slow(struct exec *x);
HOT_INLINE bool answer_waits(struct exec *x) {
    return account_trips(&x->shard->account, 0) && answer_waits_slow(x);
}
/* A part of a command over several shards has its keys: how many bytes it will reply, as far as they tell, for its home
 * to find room for them (shards/gather_room.h); 0: little, or memory is plenty and nobody need know. */
COLD uint32_t answer_of_part_slow(const struct exec *x);
HOT_INLINE uint32_t answer_of_part(const struct exec *x) {
    return LIKELY(!x->slot->row->answers) || LIKELY(admit_has_plenty(x->shard, 0)) ? 0 : answer_of_part_slow(x);
}
/* For rows' .answers: what is at argv[at], which is a key of this shard; NULL: nothing of that type. */
const struct entry *answer_peek(const struct exec *x, uint32_t at, enum value_type type);
uint64_t answer_string_bytes(const struct exec *x); /* the length of the string at its key, if it is one */
uint64_t answer_strings_bytes(const struct exec *x, uint32_t first); /* of those at all keys from argv[first] on */
/* For a work's .expects: the result of joining the keys argv[first .. first + count), all of this shard, and the reply
 * that tells it. */
uint64_t answer_join_bytes(const struct exec *x, enum join_operation operation, uint32_t first, uint32_t count);
/* A command has just run, and there are more than ADMIT_LARGE bytes of replies, its own or those before it. It may have
 * to wait: then its reply is gone, and x asks for turns. */
COLD void answer_may_be_large(struct exec *x);
