/* Notify: keyspace events. What happens to keys is published to whoever subscribes to channels named after the key or
 * the event (notify-keyspace-events):
 *
 *      K   __keyspace@0__:key    set          what happened to this key
 *      E   __keyevent@0__:set    key          to which key this happened
 *
 * Who says it  handlers, by exec_event and its like, where they have changed something: the names and their order are
 * Redis's.
 *           The keyspace itself says "expired" and "new", the shard "evicted".
 * Order     what happened to one key is told by its owner, and arrives at each subscriber in that order.
 * Way       clients of this thread get it at once, or after the reply of the command that runs for them. To other
 *           threads it goes one way, and nobody waits for it. So that a thread that is behind cannot make others
 *           remember without end, an event is dropped where NOTIFY_BEHIND_MAX bytes of events are on their way there
 *           (INFO says how many were).
 * Cost      a load and a branch where something changes, while the option is off; with it on and no subscriber
 *           anywhere, little more. Else two PUBLISHes.
 * Once      while shard.told is set, the events are of one command on one key that is done in parts: each is told once.
 * Thread    the shard's own. */
#pragma once
#include "core/config.h"
#include "core/slice.h"

struct shard;

#define NOTIFY_BEHIND_MAX (32 * 1024 * 1024) /* as much as client-output-buffer-limit lets a subscriber be behind */

/* HSETEX may tell of hset, hexpire, hdel, del, new, and of what has ended by itself. What is beyond is told again. */
#define NOTIFY_TOLD_MAX 8

struct notify_told {
    struct slice names[NOTIFY_TOLD_MAX]; /* of events, which are constants */
    unsigned count;
};

/* The option asks for its class; that was looked at. */
COLD void notify_event(struct shard *shard, uint32_t db, struct slice name, struct slice key);
