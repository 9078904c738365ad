/* Work: a command on large values that takes its time over many turns, while all other keys go on.
 *
 * Its handler looks at what it was asked for. While that is little it does it, as ever. When it is more than
 * WORK_AT_ONCE elements it asks to take turns:
 *
 *    static void cmd_count_all(struct exec *x) {
 *        ... arguments, entries, all errors ...
 *        if (elements > WORK_AT_ONCE && work_takes_turns(x)) {
 *            if (work_begins(x)) work_begin(x, begin_counting(x));
 *            return;                                                   // without a reply
 *        }
 *        ... all of it now: it is little, or it is inside of EXEC ...
 *    }
 *
 * The command is then kept as one that stands in line for its keys (shards/request.h), and its handler is called once
 * more when it has them; that is when work_begins. From then on nobody else changes what it reads, nobody sees what it
 * writes, and each turn of the shard does a slice of one such command (`some`), a thousand elements or so, in whatever
 * order they came. A blocked client's command that finds so much has its key already (shards/waiters.h), and begins
 * when its handler is called.
 *
 *    What may happen between two slices: time. A key may expire, a source as well as the target, and entries move in
 *    memory (the objects of collections do not). So a slice opens its keys again. A source that is gone before all of
 *    it was read was not there: start again.
 *    What may not: a client that changes these keys, FLUSHALL, SWAPDB, eviction of them. They wait.
 *
 * The result is made aside and put in its place at once, at the end, which is when clients, watchers and the journal
 * learn of it. A result so large that telling the journal takes long, too, is put in its place first; then `tells`
 * makes what the slices from the next one on tell one group, as that of a transaction, which is written in pieces and
 * counts with its last one (shards/effect.h).
 *
 *    With pieces a slice waits while the disk is behind (effects.crowded), so what is told does not pile up in memory.
 *
 * A command that changes its key in place says `tells` from its first slice on. When the time of that key is over in
 * the middle, its end follows in the journal what was done to it.
 *
 * Only rows for which work_is_possible may ask. Four kinds of work are written once for many commands: very many
 * arguments for one key (shards/args_work.h), very many elements taken out of it (shards/pop_work.h), telling the
 * journal of what was done at once (shards/tell_work.h), and waiting for room for a reply (shards/answer_work.h).
 *
 * Owner     the request owns the work from work_begin on, calls `end` once and frees it, after the last slice or when
 *           the shard goes. The client may be gone by then: the work is done all the same.
 * Thread    the shard's. Cost: nothing for commands that do not ask. */
#pragma once
#include "shards/exec.h"

#define WORK_AT_ONCE 4096u /* elements that are worked off at once: a millisecond or two */
#define WORK_SLICE   1024u /* and those of a slice */

struct work {
    /* Does some more. False: that was all, and the reply was written. What a slice writes to x->out stays there. */
    bool (*some)(struct exec *x, struct work *work);
    void (*end)(struct shard *shard, struct work *work); /* gives back what it has besides; NULL: nothing */
    bool tells;                                          /* and waits while the disk is behind */
    /* What its reply and what it makes aside for it may come to, in bytes: it begins when there is room for that, or is
     * refused (admit_waiting_answer). 0: at once. */
    uint64_t expects;
    const struct command_slot *counts_as; /* in statistics and the slow log; NULL: itself */
    uint64_t ticks;                       /* that were spent on it before, and count */
    uint64_t since_ms;                    /* when it was made: since then it waits, if it does; by work_new */
    /* private */
    size_t size;        /* of its own memory */
    uint64_t expected;  /* what it expects, from then on that it has begun */
    struct buf out;     /* the reply so far */
    struct slice *argv; /* of its request, which are many sometimes */
    uint32_t argc;
};

/* May commands of this row become work: they say so, or may have to wait for room for their reply
 * (shards/answer_work.h)? */
HOT_INLINE bool work_is_possible(const struct command *row) {
    return row->takes_turns || row->answers || row->flags & CMD_READ;
}
/* May this command take turns? No: it is inside of a transaction, all at one instant, or runs beside a checkpoint. */
NODISCARD bool work_takes_turns(struct exec *x);
/* It may, and has its keys. No: it will have them when its handler is called again. */
HOT_INLINE bool work_begins(const struct exec *x) {
    return x->slice != NULL;
}
/* So many zeroed bytes, at whose beginning a work stands as given: some, end and tells. */
NODISCARD void *work_new(const struct exec *x, size_t size, struct work work);
void work_begin(struct exec *x, struct work *take);

/* --- for the shard --- */
void work_delete(struct shard *shard, struct work *work); /* with its end */
void works_turn(struct shard *shard);                     /* a slice of one */
void works_drop(struct shard *shard);                     /* before the shard goes: all, wherever they are */
