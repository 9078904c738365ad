/* Locks, checked: every invariant of locks.c, and marks recomputed from the definition. O(requests * wide ones). */
#include "shards/locks_priv.h"

static void check_request(const struct locks *locks, const struct lock_request *request) {
    uint32_t blocked = 0;
    for (uint32_t i = 0; i < request->link_count; i++) {
        const struct lock_link *link = &request->links[i];
        if (!link->key) continue;
        ASSERT(!request->wide && link->request == request && link->key->node.name == link->id);
        blocked += link->blocked;
    }
    for (const struct lock_hook *at = locks->all.next; at != &locks->all; at = at->next) {
        const struct lock_request *other = CONTAINER_OF(at, struct lock_request, in_all);
        if (!request->wide && !other->wide) break;
        if (other == request || lock_go_together(request, other) || !lock_is_ahead(other, request)) continue;
        ASSERT(!lock_is_granted(request));
        if (lock_is_granted(other) && other->stamp > request->stamp) ASSERT(other->revoked);
        blocked++;
    }
    ASSERT(request->blocked == blocked);
    ASSERT(request->state == LOCK_WAITING || (lock_is_granted(request) && blocked == 0));
    ASSERT((request->in_granted.next != NULL) == (request->state == LOCK_WAITING && blocked == 0));
    ASSERT(!request->revoked || lock_is_granted(request));
    ASSERT(!request->in_revoked.next || request->revoked);
}

static void check_requests(const struct locks *locks) {
    uint32_t count = 0, wide = 0, wide_exclusive = 0, exclusive = 0;
    bool narrow = false;
    for (const struct lock_hook *at = locks->all.next; at != &locks->all; at = at->next) {
        const struct lock_request *request = CONTAINER_OF(at, struct lock_request, in_all);
        ASSERT(at->next->prev == at && !(narrow && request->wide));
        ASSERT(locks_find(locks, request->stamp) == request);
        check_request(locks, request);
        narrow |= !request->wide;
        count++;
        wide += request->wide;
        wide_exclusive += request->wide && request->exclusive;
        exclusive += request->exclusive;
    }
    ASSERT(count == locks->stamps.count && wide == locks->wide);
    ASSERT(wide_exclusive == locks->wide_exclusive && exclusive == locks->exclusive);
}

static void check_queue(const struct lock_hook *queue, uint32_t max) {
    uint32_t count = 0;
    for (const struct lock_hook *at = queue->next; at != queue; at = at->next) {
        ASSERT(at->next->prev == at && ++count <= max);
    }
}

/* Order, modes and marks of one line. */
static void check_key(const struct lock_key *key) {
    const struct lock_link *prev = NULL;
    uint32_t shared = 0, exclusive = 0; /* ahead of the link that is looked at */
    uint64_t youngest = 0;              /* of the granted ones that are not revoked */
    bool granted_exclusive = false;
    ASSERT(key->first && !key->first->blocked);
    for (const struct lock_link *link = key->first; link; prev = link, link = link->next) {
        const struct lock_request *request = link->request;
        ASSERT(link->key == key && link->prev == prev);
        bool incompatible = exclusive || (shared && link->mode == LOCK_EXCLUSIVE);
        ASSERT(link->blocked == incompatible && link->blocked == lock_must_wait(link));
        if (lock_is_granted(request)) {
            ASSERT(!link->blocked && (!prev || lock_is_granted(prev->request)));
            granted_exclusive |= link->mode == LOCK_EXCLUSIVE;
            if (!request->revoked) youngest = MAX(youngest, request->stamp);
        } else {
            ASSERT(!prev || lock_is_granted(prev->request) || prev->request->stamp < request->stamp);
            if (granted_exclusive || link->mode == LOCK_EXCLUSIVE) ASSERT(youngest < request->stamp);
        }
        shared += link->mode == LOCK_SHARED;
        exclusive += link->mode == LOCK_EXCLUSIVE;
    }
    ASSERT(key->last == prev && key->exclusives == exclusive && youngest <= key->youngest);
}

static void check_keys(const struct locks *locks) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < 1u << locks->keys.bits; i++) {
        for (struct lock_node *node = locks->keys.chains[i]; node; node = node->next) {
            ASSERT(lock_index_chain(&locks->keys, node->name) == &locks->keys.chains[i]);
            check_key(CONTAINER_OF(node, struct lock_key, node));
            count++;
        }
    }
    ASSERT(count == locks->keys.count);
}

void locks_check(const struct locks *locks) {
    check_requests(locks);
    check_keys(locks);
    check_queue(&locks->granted, locks->stamps.count);
    check_queue(&locks->revoked, locks->stamps.count);
    uint32_t spares = 0;
    for (const struct lock_node *node = locks->spares; node; node = node->next) spares++;
    ASSERT(spares == locks->spare_count && spares <= SPARE_KEYS);
    if (locks_idle(locks)) ASSERT(locks->keys.bits == INDEX_BITS && locks->stamps.bits == INDEX_BITS);
}
