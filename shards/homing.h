/* Homing: does a client belong on another thread, because nearly all its commands go to that one's keys?
 *
 * A client counts in *windows*. One begins with a command that hops to some shard, the candidate, and ends when the
 * candidate got less than HOMING_SHARE percent of the client's commands, or when it is long enough: then the client
 * wishes to move there. Long enough is HOMING_COMMANDS commands and a time (option client-homing-ms), which doubles with
 * each move that the client has made of late, so that one whose keys change does not travel all the time.
 *
 * Counted are hops only; what runs here is known from the client's count of commands, so a command whose key is here
 * costs nothing. Commands without keys (PING, MULTI) are for no shard and are left out.
 *
 * Whether the wish is granted is for the client's carrier: it knows what else has to be looked at (shards/client_move.h,
 * net/move.h).
 *
 * Owner     the client. Thread: its home. Cost: some eight instructions per hop, none per command that does not. */
#pragma once
#include "core/defs.h"

#define HOMING_COMMANDS  1000            /* a window's least */
#define HOMING_SHARE     90              /* percent of the window's commands that go to the candidate */
#define HOMING_LOOK      64              /* hops to the candidate between two looks; a power of two */
#define HOMING_DOUBLINGS 6               /* of the time, at most */
#define HOMING_LATELY_NS 120000000000ull /* longer ago a client's last move does not count any more */

struct homing {
    uint64_t from_commands, from_ns; /* where the window began: client.commands, and the time */
    uint64_t moved_ns;               /* of the latest move; 0: never */
    uint32_t hits;                   /* commands for the candidate; 0: no window is open */
    uint32_t neutral;                /* without keys, in this window */
    uint8_t shard;                   /* the candidate */
    uint8_t votes;                   /* for it, against the others: a majority vote */
    uint8_t moves;                   /* of late */
    uint8_t wish;                    /* the shard to go to, plus one; 0: stays */
};

/* A window begins with so many commands that hop to this shard. commands: of the client, with these. */
HOT_INLINE void homing_begin(struct homing *homing, uint32_t shard, uint32_t count, uint64_t commands,
                             uint64_t now_ns) {
    homing->shard = (uint8_t)shard;
    homing->hits = count;
    homing->votes = 1;
    homing->neutral = 0;
    homing->from_commands = commands - count;
    homing->from_ns = now_ns;
}

/* So many commands of the client have hopped to this shard. True: it is time for homing_look. */
HOT_INLINE bool homing_note(struct homing *homing, uint32_t shard, uint32_t count, uint64_t commands, uint64_t now_ns) {
    if (LIKELY(homing->hits && homing->shard == shard)) {
        uint32_t before = homing->hits;
        homing->hits += count;
        if (homing->votes < HOMING_LOOK) homing->votes++;
        return UNLIKELY((before ^ homing->hits) >= HOMING_LOOK);
    }
    if (homing->hits && --homing->votes) return false;
    homing_begin(homing, shard, count, commands, now_ns);
    return false;
}

/* A look at the window. True: it was long and clear enough, the client wishes to be on homing->shard; either way
 * another window has begun unless this one goes on. patience_ns: of a client that has not moved; 0: nobody moves. */
bool homing_look(struct homing *homing, uint64_t commands, uint64_t now_ns, uint64_t patience_ns);

/* It has moved: what it takes along. */
struct homing homing_after_move(const struct homing *homing, uint64_t now_ns);

/* Is it good for the server that a client comes to a thread? busy: permille of the last second or so that each worked.
 * A thread that is nearly always busy, and busier than the client's own, gets none: there the hop is cheap parallelism,
 * as the client's bytes are received, parsed and sent by a thread that has the time. */
bool homing_is_welcome(uint32_t busy_here, uint32_t busy_there);
