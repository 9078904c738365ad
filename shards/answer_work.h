/* Answers that wait: a read whose reply turned out to be large while clients hold more than they may.
 *
 * How large a reply is nobody knows before it is there. Its client's earlier ones tell much, and home lets those with
 * large ones wait (shards/admit.h); but a thousand new clients may each ask for a large value, and the shard that owns
 * it has never heard of them. So there the question is asked: by the handler, which knows how much it is about to write
 * and has written nothing yet (answer_waits_for); and where it does not know that, when its reply has become large. If
 * there is no room the reply is given up again, and the command, which has changed nothing, becomes a work that waits
 * (shards/work.h): it holds its keys for reading, its client's later commands stand behind it, everybody else goes on.
 * When there is room it runs again; when there will be none, or none comes, it is refused with -OOM.
 *
 * So of replies that nobody expected (many large members of a small set) each shard has one too many, for a moment.
 *
 * What writes asks before it has changed anything, by what its row tells (.answers): HGETEX, XREADGROUP, XCLAIM and
 * XAUTOCLAIM. So does what a blocked client reads of a stream: one entry may be for a thousand of them. A transaction
 * asks for the sum of what its commands' rows tell, on one shard or over several; a command over several shards waits as
 * a whole, at home, too (shards/gather_room.h). A command that takes turns for its reply says beforehand what that may
 * come to (work.expects); inside of EXEC over several shards it asks when its turn has come, and is refused alone.
 *
 * Thread    the shard's. Cost: a comparison per command. */
#pragma once
#include "shards/admit.h"
#include "shards/join.h"
#include "shards/work.h"

/* From what on a reply is large: ADMIT_LARGE, and ADMIT_SMALL while clients hold more than they may (account.crowded), so
 * that a thousand of 60 KiB do not go where none of a MiB may, and those that are small go on.
 *
 * A handler is about to write so many bytes, and has neither changed nor written anything else. True: there is no room
 * for them; x asks for turns or has begun to wait, the handler returns, and is called again when there is. */
COLD bool answer_waits_for_slow(struct exec *x, uint64_t bytes);
HOT_INLINE bool answer_waits_for(struct exec *x, uint64_t bytes) {
    return UNLIKELY(bytes > ADMIT_SMALL) && answer_waits_for_slow(x, bytes);
}
/* The same for so many of all elements of a collection, or NULL; some come more than once, perhaps. */
COLD bool answer_waits_for_some_slow(struct exec *x, const struct entry *entry, uint64_t some, uint64_t all);
HOT_INLINE bool answer_waits_for_some(struct exec *x, const struct entry *entry, uint64_t some, uint64_t all) {
    return entry && (entry->encoding >= ENC_EXTERNAL || some > WORK_AT_ONCE) &&
           answer_waits_for_some_slow(x, entry, some, all);
}
/* The same for one that writes, by what its row tells (.answers): before it has looked at anything. */
COLD bool answer_waits_slow(struct exec *x);
HOT_INLINE bool answer_waits(struct exec *x) {
    return !admit_has_plenty(x->shard, 0) && answer_waits_slow(x);
}
/* A part of a command over several shards has its keys: how many bytes it will reply, as far as they tell, for its home
 * to find room for them (shards/gather_room.h); 0: little, or memory is plenty and nobody need know. */
COLD uint32_t answer_of_part_slow(const struct exec *x);
HOT_INLINE uint32_t answer_of_part(const struct exec *x) {
    return LIKELY(!x->slot->row->answers) || LIKELY(admit_has_plenty(x->shard, 0)) ? 0 : answer_of_part_slow(x);
}
/* The error for one that is refused, for there will be no room for it (admit_waiting_answer). */
const char *answer_refusal(const struct command *row);
/* For rows' .answers: what is at argv[at], which is a key of this shard; NULL: nothing of that type. */
const struct entry *answer_peek(const struct exec *x, uint32_t at, enum value_type type);
/* x with a place for the errors of arguments that are wrong, which nobody will see. */
struct exec answer_asked(const struct exec *x, struct buf *unseen);
uint64_t answer_string_bytes(const struct exec *x); /* the length of the string at its key, if it is one */
uint64_t answer_some_bytes(const struct entry *entry, uint64_t some, uint64_t all); /* so many of all its elements */
uint64_t answer_key_bytes(const struct exec *x);                     /* the memory of what is at its key */
uint64_t answer_strings_bytes(const struct exec *x, uint32_t first); /* of those at all keys from argv[first] on */
uint64_t answer_fields_bytes(const struct exec *x); /* of a hash, those that argv[2..] name: all that are fields */
/* As many elements as argv[2] says, negative: as often as it says, some more than once; one, without argv[2]. */
uint64_t answer_drawn_bytes(const struct exec *x, enum value_type type, uint64_t (*len)(const struct entry *));
#define ANSWER_DRAWN_MAX 10000000 /* elements of one reply with repetition: Redis has no limit but its memory */
#define ANSWER_COPIES    2        /* of what is found and told: it is there, and in the reply */
/* What comes of joining the keys argv[first .. first + count), of those that are of this shard, at most. */
uint64_t answer_join_bytes(const struct exec *x, enum join_operation operation, uint32_t first, uint32_t count);
/* A command has just run, and there are more than ADMIT_LARGE bytes of replies, its own or those before it. It may have
 * to wait: then its reply is gone, and x asks for turns. */
COLD void answer_may_be_large(struct exec *x);
