/* Locks: which keys of this shard are held by commands over several shards, and who waits for them.
 *
 * A command over several shards (a transaction) asks all its shards at once. Each shard makes a request of the keys
 * that live there; when every shard has granted its request, all locks are held at one instant, which is the
 * instant of the transaction. Single commands hold nothing: they run when nobody holds or is ahead on their keys.
 *
 * Order     every request has a stamp, unique in the server; older is smaller. Behind a key requests stand by stamp,
 *           but a request that was granted stays ahead of everybody, older ones too, until it leaves or yields.
 *
 *              key K:  [granted 7 X] [waiting 5 X] [waiting 9 S] [waiting 12 S]
 *                           |  revoke: an older one waits for it
 *                           v
 *              yield:  [granted 5 X] [waiting 7 X] ...
 *
 *           A request is granted when on each of its keys everything ahead of it is compatible (shared beside shared).
 *           When an older request has to wait behind a granted younger one, the younger is reported as revoked once;
 *           its owner either leaves soon (it is complete and only has to finish) or yields and is granted again later.
 * No deadlock, no starvation: a request waits for older ones, or for a granted one that leaves or yields by itself
 *           without waiting for anybody. So the oldest request of the server is never stuck, and stamps grow with time.
 * Own       requests of one owner (a connection) stand behind each other on a key even where both only read: the later
 *           one is not to see what is older. There a link becomes exclusive, which only makes others wait longer.
 * Wide      a request for the whole shard (FLUSHALL, a cut) is compared with every other request in the same way; with
 *           those of its owner it is never compatible.
 * Owner     one shard. The caller owns requests and their links (struct lock_request is embedded in its object); the
 *           table owns its index. A key is named by 64 bits (lock_id); two keys with the same name only wait for
 *           each other without need.
 * Results   enter, leave and yield never call back. Who became granted or revoked by them is read from two queues:
 *           locks_next_granted, locks_next_revoked. Both are to be emptied before the turn goes on.
 * Cost      enter and leave are O(keys) while requests arrive about in order of their stamps; per key O(1) plus the
 *           requests that are granted by it. With wide requests present O(requests).                              */
#pragma once
#include "core/alloc.h"

struct locks;
struct lock_key; /* private */
struct lock_request;

enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE };
enum lock_state { LOCK_OUT, LOCK_WAITING, LOCK_GRANTED };

struct lock_hook { /* private: a place in a list; next is NULL outside of it */
    struct lock_hook *next, *prev;
};
struct lock_node { /* private: a place in an index */
    uint64_t name;
    struct lock_node *next;
};

/* One key of a request. Filled by the caller: id, mode and line; the rest is private. */
struct lock_link {
    uint64_t id;
    uint8_t mode; /* enum lock_mode; a second mention of the key may make it stronger */
    bool line;    /* no key but the owner's line: who shares it goes one after the other, and nobody else minds */
    bool blocked; /* something incompatible is ahead */
    struct lock_request *request;
    struct lock_key *key; /* NULL: a second mention of a key, merged into the first; or the request is wide */
    struct lock_link *next, *prev;
};

/* Filled by the caller before locks_enter: stamp, owner, links, link_count, wide, wide_mode. Enter
 * sets all the rest. */
struct lock_request {
    uint64_t stamp;
    uint64_t owner; /* whose it is; 0: nobody's */
    struct lock_link *links;
    uint32_t link_count;
    bool wide; /* the whole shard, and links may be empty */
    uint8_t wide_mode;
    bool lets_pass; /* while it is granted, single readers need not stand behind writers that wait for it */
    /* --- private --- */
    uint8_t state;    /* enum lock_state */
    bool revoked;     /* was reported since it was granted */
    bool exclusive;   /* holds or wants at least one key, or the shard, exclusively; a line does not count */
    uint32_t blocked; /* its blocked links, and the incompatible requests ahead where one of the two is wide */
    struct lock_node by_stamp;
    struct lock_hook in_all, in_granted, in_revoked;
};

struct locks *locks_new(struct heap *heap); /* memory counts as MEM_MESSAGE */
void locks_delete(struct locks *locks);     /* no request is left by then */
void locks_trim(struct locks *locks);       /* frees what it keeps for later */

/* Nobody holds or waits: the one question on the hot path. */
bool locks_idle(const struct locks *locks);
uint32_t locks_count(const struct locks *locks); /* requests */

HOT_INLINE uint64_t lock_id(uint32_t db, uint64_t key_hash) {
    return key_hash + db * 0x9E3779B97F4A7C15ull;
}

/* May a command that makes no request touch this key now? True when nothing incompatible is held or waits on it, and no
 * incompatible wide request is there. O(1). */
bool locks_allow(const struct locks *locks, uint64_t id, enum lock_mode mode);
/* The same for a command of this owner: not when a request of that owner holds or wants the key, in whatever mode. When
 * very many do, one of them may be taken for its. */
bool locks_allow_owner(const struct locks *locks, uint64_t id, enum lock_mode mode, uint64_t owner);
/* The same for a command of this owner that changes the key while a request that lets pass reads it, which does not
 * mind: when nobody else has been granted the key. Who waits for it may be passed. */
bool locks_allow_beside(const struct locks *locks, uint64_t id, uint64_t owner);
/* The first request that waits for nothing but this key, which locks_allow_beside would allow, and is one of those that
 * `is` knows; NULL: none. Looks at some that wait longest. It is in line until it leaves. */
struct lock_request *locks_find_beside(const struct locks *locks, uint64_t id,
                                       bool (*is)(void *ctx, const struct lock_request *request), void *ctx);
/* Has the owner nothing in this line of its, and no wide request? When there are very many of these, one may be taken for
 * its. O(wide requests), and of those a few. */
bool locks_allow_line(const struct locks *locks, uint64_t id, uint64_t owner);
/* The same as locks_allow for a command that touches the whole shard. O(1). */
bool locks_allow_wide(const struct locks *locks, enum lock_mode mode);

/* The granted request that has this key, or the shard, to itself; NULL: nobody. O(wide requests). */
struct lock_request *locks_holder(const struct locks *locks, uint64_t id);

/* Does somebody else stand behind this granted request, or wait for the whole shard? NULL: the latter. Looks at some of
 * its keys. O(wide requests). */
bool locks_is_waited_for(const struct locks *locks, const struct lock_request *request);

/* Puts the request in line. It may be granted at once: then it is in the granted queue. */
void locks_enter(struct locks *locks, struct lock_request *request);
/* Takes it out, waiting or granted; those behind it may become granted. */
void locks_leave(struct locks *locks, struct lock_request *request);
/* A granted request goes back in line at the place of its stamp; it is granted again later, perhaps at once. */
void locks_yield(struct locks *locks, struct lock_request *request);
/* The requests one after the other, in no order; NULL starts and ends. */
struct lock_request *locks_next(const struct locks *locks, const struct lock_request *after);
/* By its stamp; NULL when no such request is here. O(1). */
struct lock_request *locks_find(const struct locks *locks, uint64_t stamp);

/* Takes the next request that became granted (in the order in which they did); NULL when there is none. A request that
 * left or was blocked again meanwhile does not come. */
struct lock_request *locks_next_granted(struct locks *locks);
/* Takes the next granted request that an older one now waits for; each is told once per grant. */
struct lock_request *locks_next_revoked(struct locks *locks);

void locks_check(const struct locks *locks); /* every invariant; O(everything) */
