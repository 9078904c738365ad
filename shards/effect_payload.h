/* Effect payload: a value as the bytes that RESTORE takes, told to the journal in pieces. For values that no run of
 * commands puts together as they are: a stream's blocks end where they end, and what is pending in it may be about
 * entries that are gone.
 *
 *      DEL key
 *      APPEND key <piece> ...        the payload grows as a string under the key itself
 *      EVAL <script> 1 key           and becomes the value that it describes
 *
 * To Redis that is what it says. Recovery knows this one script, and no other (row eval of shards/cmd_dump.c, which no
 * client can reach). All of it belongs to one group that is kept, so that the string is never seen.
 *
 * Thread    the shard's, between whose slices the value stays as it is. Cost: a call O(EFFECT_PAYLOAD_PIECE), for
 *           compressing and a checksum too. */
#pragma once
#include "shards/dump_stream.h"
#include "shards/exec.h"

#define EFFECT_PAYLOAD_PIECE  ((size_t)64 << 10)
#define EFFECT_PAYLOAD_SCRIPT "redis.call('RESTORE',KEYS[1],0,redis.call('GET',KEYS[1]),'REPLACE')"

struct effect_payload { /* zero-filled at first */
    struct dump_stream dump;
    uint64_t crc; /* of what was told */
    bool begun;
};

/* The next piece of a stream that was deleted before the first. True while there is more. */
bool effect_payload_some(struct effect_payload *payload, struct exec *x, uint32_t db, const struct entry *entry);
