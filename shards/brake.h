/* Brake: the gate that all writes of the server pass, for whoever has to hold them to what the disk can take.
 *
 * Open, it costs a comparison per command. Closed, each write draws a ticket, which says how many bytes were asked for
 * before it, by whichever thread, and runs when so many are granted:
 *
 *      taken     ....|..t1..|.t2.|.......t3......|      each home adds the size of the write it has read
 *      granted   .............>                         moved on by whoever knows the disk, as fast as it takes them
 *
 * So writes pass in the order in which they came, evenly over all threads, however they are paced; and a large one is
 * paid for by those behind it, not refused for its size.
 *
 * Where     at home, before the command joins the batch: a client whose write has to wait is not parsed further
 *           (WAIT_BRAKE). Its order is kept, its bytes stay in its socket, and nobody else waits. An EXEC waits if what
 *           it runs writes; the commands that MULTI keeps do not. What was let in is not stopped again, so a
 *           transaction over several shards never holds locks while it waits here.
 * Patience  a write that has waited for persist-timeout is refused, with the reason that brake_set_reason gave.
 * Thread    struct brake is shared. brake_close, brake_open and brake_grant are one thread's at a time; the rest is for
 *           each shard's own thread. */
#pragma once
#include "core/defs.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct client;
struct queued;
struct shard;

struct brake {
    _Alignas(CACHE_LINE) _Atomic uint64_t taken; /* bytes of all tickets */
    _Alignas(CACHE_LINE) _Atomic uint64_t granted;
    _Atomic bool closed;
};

/* A shard's side. */
struct braked {
    struct brake *brake;         /* NULL: there is none, and nothing waits */
    bool closed;                 /* as of this turn */
    const char *reason;          /* the reply to who has waited too long, with its code; NULL: nobody is refused */
    struct client *first, *last; /* who waits, in order of arrival */
    uint32_t count;
    uint64_t waits, refused, wait_ns; /* so far: writes that had to wait, that waited too long, and all their time */
};

/* --- whoever knows the disk --- */
void brake_close(struct brake *brake); /* nothing is granted at first */
void brake_open(struct brake *brake);  /* who waits goes on with the next turn of its shard */
/* More may pass, but no more than `ahead` beyond what was asked for: what nobody wants is not saved up. (0, 0): nothing
 * passes that was not let in before. */
void brake_grant(struct brake *brake, uint64_t bytes, uint64_t ahead);
uint64_t brake_passed(const struct brake *brake); /* bytes of all writes that were granted so far */

/* --- a shard --- */
/* The beginning of a turn: follows the brake. */
void brake_look(struct shard *shard);
/* After the batch has run: who may go on, or has waited too long, is attended to. O(those). */
void brake_turn_slow(struct shard *shard);
/* May the command that was just parsed run now? Closed only. A write that waited too long becomes a refusal, which may.
 */
bool brake_lets_pass(struct shard *shard, struct client *client, struct queued *q);
void brake_wait(struct shard *shard, struct client *client); /* it has WAIT_BRAKE from now on */
void brake_leave(struct client *client);                     /* of WAIT_BRAKE: it goes on, or is gone */
void brake_check(const struct shard *shard);
