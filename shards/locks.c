/* Locks: a line of links per key, and counters that say how many lines still hold a request up.
 *
 *    index by id -> key -> [ unblocked: one exclusive link, or a run of shared ones ][ blocked: the rest ]
 *                          [ granted ][ not granted, by stamp                                            ]
 *
 * Blocked   whether a link is blocked follows from the link before it (lock_must_wait). So a change at one place is
 *           settled by walking on from there and stopping at the first link whose mark is right already: all behind
 *           it depend on it only. What is walked is what changes. request->blocked counts the blocked links; when it
 *           falls to 0 the request joins the granted queue, and when it rises again before it was taken, it leaves it.
 * Granted   becomes what is taken from that queue, and only then its links move ahead of those that are not granted.
 *           They were in the unblocked run, all of which is shared (or they were alone in it), so nobody's mark
 *           changes by the move. Until then an older request may still step in front.
 * Place     a new link belongs behind the last link that is granted or older. It is sought from both ends at once:
 *           those that arrive in order stand at the end, one that yields or was late stands near the front.
 *
 * Revoked   wanted: no request R waits directly behind an incompatible, granted, younger G that was not told.
 *           It suffices to look when R comes into line (enter and yield). Could G become granted while an older R
 *           waits behind it? While neither is granted they stand by stamp, R ahead of G, and then R blocks G.
 *           It suffices to look at granted ones that are incompatible with R itself. If R waits behind W, which only
 *           waits, then W is older than R. A granted one that holds up W was told when it is younger than W; otherwise
 *           it is older than R, too, and R waits for it rightly.
 *           A report is not taken back when the older one leaves: the owner yields once without need.
 *           A key that many read has many granted links. `youngest` bounds the stamps of those not yet told, so that
 *           requests which arrive in order do not walk over them, and no walk is made twice.
 *
 * Wide      a wide request is compared with all others as a whole, so its own links need no line: two requests whose
 *           keys collide are incompatible as a whole already. In a pair of incompatible requests the one behind counts
 *           the other in `blocked`. Becoming granted changes no pair, since nothing incompatible was ahead. Wide
 *           requests stand at the front of the list of all, where the others find them.
 *
 * Memory    a key exists while it has links. Its index doubles when it is full, in one go: it holds the keys of
 *           commands under way, so a size it has reached was paid for by as many. Empty, it is small again. */
#include "shards/locks_priv.h"

/* --- lists --- */

static void hook_insert(struct lock_hook *hook, struct lock_hook *before) {
    hook->next = before;
    hook->prev = before->prev;
    hook->prev->next = hook;
    before->prev = hook;
}

static void hook_remove(struct lock_hook *hook) {
    if (!hook->next) return;
    hook->prev->next = hook->next;
    hook->next->prev = hook->prev;
    hook->next = NULL;
}

/* --- index --- */

static struct lock_node **chains_new(struct locks *locks, uint32_t bits) {
    return heap_alloc_zero(locks->heap, MEM_MESSAGE, sizeof(struct lock_node *) << bits);
}

static void index_free(struct locks *locks, struct lock_index *index) {
    heap_free(locks->heap, MEM_MESSAGE, index->chains, sizeof(struct lock_node *) << index->bits);
}

static void index_init(struct locks *locks, struct lock_index *index) {
    *index = (struct lock_index){.chains = chains_new(locks, INDEX_BITS), .bits = INDEX_BITS};
}

/* Memory that a moment of many requests took does not stay. */
static void index_shrink(struct locks *locks, struct lock_index *index) {
    ASSERT(index->count == 0);
    if (index->bits == INDEX_BITS) return;
    index_free(locks, index);
    index_init(locks, index);
}

static void index_grow(struct locks *locks, struct lock_index *index) {
    struct lock_index old = *index;
    ASSERT(old.bits < 31);
    index->bits++;
    index->chains = chains_new(locks, index->bits);
    for (uint32_t i = 0; i < 1u << old.bits; i++) {
        for (struct lock_node *node = old.chains[i], *next; node; node = next) {
            next = node->next;
            struct lock_node **chain = lock_index_chain(index, node->name);
            node->next = *chain;
            *chain = node;
        }
    }
    index_free(locks, &old);
}

static struct lock_node *index_find(const struct lock_index *index, uint64_t name) {
    struct lock_node *node = *lock_index_chain(index, name);
    while (node && node->name != name) node = node->next;
    return node;
}

static void index_add(struct locks *locks, struct lock_index *index, struct lock_node *node) {
    if (index->count >> index->bits) index_grow(locks, index);
    struct lock_node **chain = lock_index_chain(index, node->name);
    node->next = *chain;
    *chain = node;
    index->count++;
}

static void index_remove(struct lock_index *index, struct lock_node *node) {
    struct lock_node **at = lock_index_chain(index, node->name);
    while (*at != node) at = &(*at)->next;
    *at = node->next;
    index->count--;
}

/* --- keys --- */

static struct lock_key *key_find(const struct locks *locks, uint64_t id) {
    struct lock_node *node = index_find(&locks->keys, id);
    return node ? CONTAINER_OF(node, struct lock_key, node) : NULL;
}

/* A key that was free until now: this link has it alone. */
static void key_new(struct locks *locks, struct lock_link *link) {
    struct lock_key *key;
    if (locks->spares) {
        key = CONTAINER_OF(locks->spares, struct lock_key, node);
        locks->spares = key->node.next;
        locks->spare_count--;
    } else {
        key = heap_alloc(locks->heap, MEM_MESSAGE, sizeof *key);
    }
    *key = (struct lock_key){
        .node.name = link->id, .first = link, .last = link, .exclusives = link->mode == LOCK_EXCLUSIVE};
    index_add(locks, &locks->keys, &key->node);
    link->key = key;
    link->next = link->prev = NULL;
}

static void key_free(struct locks *locks, struct lock_key *key) {
    index_remove(&locks->keys, &key->node);
    if (locks->spare_count == SPARE_KEYS) {
        heap_free(locks->heap, MEM_MESSAGE, key, sizeof *key);
        return;
    }
    key->node.next = locks->spares;
    locks->spares = &key->node;
    locks->spare_count++;
}

/* --- the table --- */

struct locks *locks_new(struct heap *heap) {
    struct locks *locks = heap_alloc_zero(heap, MEM_MESSAGE, sizeof *locks);
    locks->heap = heap;
    index_init(locks, &locks->keys);
    index_init(locks, &locks->stamps);
    locks->all = (struct lock_hook){&locks->all, &locks->all};
    locks->granted = (struct lock_hook){&locks->granted, &locks->granted};
    locks->revoked = (struct lock_hook){&locks->revoked, &locks->revoked};
    return locks;
}

void locks_trim(struct locks *locks) {
    while (locks->spares) {
        struct lock_key *key = CONTAINER_OF(locks->spares, struct lock_key, node);
        locks->spares = key->node.next;
        heap_free(locks->heap, MEM_MESSAGE, key, sizeof *key);
    }
    locks->spare_count = 0;
}

void locks_delete(struct locks *locks) {
    ASSERT(locks_idle(locks) && locks->keys.count == 0);
    locks_trim(locks);
    index_free(locks, &locks->keys);
    index_free(locks, &locks->stamps);
    heap_free(locks->heap, MEM_MESSAGE, locks, sizeof *locks);
}

bool locks_idle(const struct locks *locks) {
    return locks->stamps.count == 0;
}

uint32_t locks_count(const struct locks *locks) {
    return locks->stamps.count;
}

/* What is wide aside. */
static bool allows(const struct lock_key *key, enum lock_mode mode) {
    if (!key) return true;
    if (mode == LOCK_EXCLUSIVE) return false;
    const struct lock_request *first = key->first->request; /* granted and sharing: so are all that are granted */
    return key->exclusives == 0 || (first->lets_pass && lock_is_granted(first) && key->first->mode == LOCK_SHARED);
}

static bool wide_allows(const struct locks *locks, enum lock_mode mode) {
    return !locks->wide || (mode == LOCK_SHARED && !locks->wide_exclusive);
}

/* except: a request that does not count. */
static bool has_owner(const struct lock_key *key, uint64_t owner, const struct lock_request *except) {
    if (!owner) return false;
    const struct lock_link *link = key->last;
    for (unsigned looked = 0; link && looked < OWNERS_LOOKED_AT; looked++, link = link->prev)
        if (link->request->owner == owner && link->request != except) return true;
    return link != NULL;
}

bool locks_allow(const struct locks *locks, uint64_t id, enum lock_mode mode) {
    return wide_allows(locks, mode) && allows(key_find(locks, id), mode);
}

/* Granted ones come first. */
static bool only_lets_pass(const struct lock_key *key) {
    const struct lock_link *first = key->first;
    return first->request->lets_pass && lock_is_granted(first->request) && first->mode == LOCK_SHARED &&
           (!first->next || !lock_is_granted(first->next->request));
}

bool locks_allow_beside(const struct locks *locks, uint64_t id, uint64_t owner) {
    if (!wide_allows(locks, LOCK_EXCLUSIVE)) return false;
    const struct lock_key *key = key_find(locks, id);
    return !key || (only_lets_pass(key) && !has_owner(key, owner, NULL));
}

struct lock_request *locks_find_beside(const struct locks *locks, uint64_t id,
                                       bool (*is)(void *ctx, const struct lock_request *request), void *ctx) {
    const struct lock_key *key = key_find(locks, id);
    if (!key || !wide_allows(locks, LOCK_EXCLUSIVE) || !only_lets_pass(key)) return NULL;
    const struct lock_link *link = key->first->next;
    for (unsigned looked = 0; link && looked < BESIDE_LOOKED_AT; looked++, link = link->next) {
        struct lock_request *request = link->request;
        if (request->blocked == 1 && link->blocked && is(ctx, request) && !has_owner(key, request->owner, request))
            return request;
    }
    return NULL;
}

bool locks_allow_owner(const struct locks *locks, uint64_t id, enum lock_mode mode, uint64_t owner) {
    if (!wide_allows(locks, mode)) return false;
    const struct lock_key *key = key_find(locks, id);
    return LIKELY(!key) || (allows(key, mode) && !has_owner(key, owner, NULL));
}

bool locks_allow_line(const struct locks *locks, uint64_t id, uint64_t owner) {
    if (key_find(locks, id) || locks->wide > OWNERS_LOOKED_AT) return false;
    const struct lock_hook *hook = locks->all.next;
    for (uint32_t left = locks->wide; left > 0; left--, hook = hook->next)
        if (CONTAINER_OF(hook, struct lock_request, in_all)->owner == owner) return false;
    return true;
}

bool locks_allow_wide(const struct locks *locks, enum lock_mode mode) {
    return mode == LOCK_EXCLUSIVE ? locks_idle(locks) : locks->exclusive == 0;
}

struct lock_request *locks_next(const struct locks *locks, const struct lock_request *after) {
    struct lock_hook *next = after ? after->in_all.next : locks->all.next;
    return next == &locks->all ? NULL : CONTAINER_OF(next, struct lock_request, in_all);
}

struct lock_request *locks_holder(const struct locks *locks, uint64_t id) {
    const struct lock_hook *hook = locks->all.next;
    for (uint32_t left = locks->wide; left > 0; left--, hook = hook->next) {
        struct lock_request *request = CONTAINER_OF(hook, struct lock_request, in_all);
        if (lock_is_granted(request) && request->exclusive) return request;
    }
    const struct lock_key *key = key_find(locks, id);
    const struct lock_link *first = key ? key->first : NULL;
    return first && first->mode == LOCK_EXCLUSIVE && lock_is_granted(first->request) ? first->request : NULL;
}

/* Does anybody but its owner stand behind it there? */
static bool others_wait(const struct lock_link *of) {
    if (of->line || !of->key) return false;
    const struct lock_link *link = of->key->last;
    uint64_t owner = of->request->owner;
    for (unsigned looked = 0; link->blocked && owner && link->request->owner == owner; link = link->prev)
        if (looked++ == OWNERS_LOOKED_AT) return true;
    return link->blocked;
}

bool locks_is_waited_for(const struct locks *locks, const struct lock_request *request) {
    const struct lock_hook *hook = locks->all.next;
    for (uint32_t left = locks->wide; left > 0; left--, hook = hook->next)
        if (!lock_is_granted(CONTAINER_OF(hook, struct lock_request, in_all))) return true;
    if (!request) return false;
    if (request->wide) return locks_count(locks) > 1;
    for (uint32_t i = 0; i < MIN(request->link_count, WAITED_LOOKED_AT); i++)
        if (others_wait(&request->links[i])) return true;
    return false;
}

struct lock_request *locks_find(const struct locks *locks, uint64_t stamp) {
    struct lock_node *node = index_find(&locks->stamps, stamp);
    return node ? CONTAINER_OF(node, struct lock_request, by_stamp) : NULL;
}

/* --- who waits --- */

static void block(struct lock_request *request) {
    ASSERT_SLOW(!lock_is_granted(request));
    request->blocked++;
    hook_remove(&request->in_granted);
}

static void unblock(struct locks *locks, struct lock_request *request) {
    ASSERT(request->blocked != 0);
    if (--request->blocked == 0) hook_insert(&request->in_granted, &locks->granted);
}

static void revoke(struct locks *locks, struct lock_request *granted) {
    if (granted->revoked) return;
    granted->revoked = true;
    hook_insert(&granted->in_revoked, &locks->revoked);
}

/* Corrects the marks from this link on; see Blocked above. */
static void settle(struct locks *locks, struct lock_link *link) {
    for (; link && link->blocked != lock_must_wait(link); link = link->next) {
        link->blocked = !link->blocked;
        if (link->blocked)
            block(link->request);
        else
            unblock(locks, link->request);
    }
}

/* Tells the granted ones that this link, which just came into line, waits for. They are all of one mode. When they are
 * as shared as the link itself, it waits for an older exclusive one between, which has told all that are younger. */
static void revoke_younger(struct locks *locks, const struct lock_link *link) {
    struct lock_key *key = link->key;
    uint64_t stamp = link->request->stamp;
    if (!link->blocked || key->youngest <= stamp) return;
    for (struct lock_link *at = key->first; at && lock_is_granted(at->request); at = at->next)
        if (at->request->stamp > stamp) revoke(locks, at->request);
    key->youngest = stamp;
}

/* --- one link --- */

/* Does this link stand behind a newcomer with that stamp? */
static bool is_behind(const struct lock_link *link, uint64_t stamp) {
    return !lock_is_granted(link->request) && link->request->stamp > stamp;
}

/* The link that a newcomer with that stamp follows; NULL: it is the first. */
static struct lock_link *find_place(const struct lock_key *key, uint64_t stamp) {
    struct lock_link *front = key->first, *back = key->last;
    for (;;) {
        if (!back || !is_behind(back, stamp)) return back;
        back = back->prev;
        if (is_behind(front, stamp)) return front->prev;
        front = front->next;
    }
}

static void link_insert(struct lock_key *key, struct lock_link *link, struct lock_link *prev) {
    struct lock_link *next = prev ? prev->next : key->first;
    link->prev = prev;
    link->next = next;
    *(prev ? &prev->next : &key->first) = link;
    *(next ? &next->prev : &key->last) = link;
}

static void link_remove(struct lock_key *key, struct lock_link *link) {
    *(link->prev ? &link->prev->next : &key->first) = link->next;
    *(link->next ? &link->next->prev : &key->last) = link->prev;
}

/* A second mention of a key asks for more than the first did. */
static void link_upgrade(struct locks *locks, struct lock_link *link) {
    link->mode = LOCK_EXCLUSIVE;
    link->key->exclusives++;
    settle(locks, link);
    settle(locks, link->next); /* even when its own mark was right */
    revoke_younger(locks, link);
}

static void link_enter(struct locks *locks, struct lock_request *request, struct lock_link *link) {
    link->request = request;
    link->blocked = false;
    struct lock_key *key = key_find(locks, link->id);
    if (LIKELY(!key)) {
        key_new(locks, link);
        return;
    }
    if (link->mode == LOCK_SHARED && has_owner(key, request->owner, request)) link->mode = LOCK_EXCLUSIVE;
    struct lock_link *prev = find_place(key, request->stamp);
    if (prev && prev->request == request) { /* nothing lies between equal stamps */
        link->key = NULL;
        if (link->mode > prev->mode) link_upgrade(locks, prev);
        return;
    }
    link->key = key;
    key->exclusives += link->mode == LOCK_EXCLUSIVE;
    link_insert(key, link, prev);
    settle(locks, link);
    settle(locks, link->next);
    revoke_younger(locks, link);
}

static void link_leave(struct locks *locks, struct lock_link *link) {
    struct lock_key *key = link->key;
    link->key = NULL;
    if (LIKELY(key->first == key->last)) {
        key_free(locks, key);
        return;
    }
    key->exclusives -= link->mode == LOCK_EXCLUSIVE;
    link_remove(key, link);
    settle(locks, link->next);
}

static void link_granted(struct lock_link *link, uint64_t stamp) {
    struct lock_key *key = link->key;
    key->youngest = MAX(key->youngest, stamp);
    ASSERT_SLOW(!link->blocked);
    if (!link->prev || lock_is_granted(link->prev->request)) return;
    link_remove(key, link);
    link_insert(key, link, NULL);
}

/* --- wide requests --- */

/* The next request that this one cannot be granted together with because one of the two is wide. NULL: no more. */
static struct lock_request *next_rival(const struct locks *locks, const struct lock_request *request,
                                       const struct lock_request *after) {
    if (!locks->wide) return NULL;
    for (struct lock_hook *at = after ? after->in_all.next : locks->all.next; at != &locks->all; at = at->next) {
        struct lock_request *other = CONTAINER_OF(at, struct lock_request, in_all);
        if (!request->wide && !other->wide) return NULL;
        if (other != request && !lock_go_together(request, other)) return other;
    }
    return NULL;
}

static void meet_rivals(struct locks *locks, struct lock_request *request) {
    for (struct lock_request *rival = NULL; (rival = next_rival(locks, request, rival));) {
        if (!lock_is_ahead(rival, request)) {
            block(rival);
            continue;
        }
        block(request);
        if (rival->stamp > request->stamp) revoke(locks, rival); /* ahead and younger, so it is granted */
    }
}

static void part_from_rivals(struct locks *locks, const struct lock_request *request) {
    for (struct lock_request *rival = NULL; (rival = next_rival(locks, request, rival));)
        if (lock_is_ahead(request, rival)) unblock(locks, rival);
}

/* --- requests --- */

static bool wants_exclusive(const struct lock_request *request) {
    if (request->wide && request->wide_mode == LOCK_EXCLUSIVE) return true;
    for (uint32_t i = 0; i < request->link_count; i++)
        if (request->links[i].mode == LOCK_EXCLUSIVE && !request->links[i].line) return true;
    return false;
}

/* Where a request that is not granted belongs by its stamp. */
static void come_into_line(struct locks *locks, struct lock_request *request) {
    request->state = LOCK_WAITING;
    request->revoked = false;
    request->blocked = 0;
    meet_rivals(locks, request);
    for (uint32_t i = 0; i < request->link_count; i++) {
        request->links[i].key = NULL;
        if (!request->wide) link_enter(locks, request, &request->links[i]);
    }
    if (request->blocked == 0) hook_insert(&request->in_granted, &locks->granted);
}

static void go_out_of_line(struct locks *locks, struct lock_request *request) {
    hook_remove(&request->in_granted);
    hook_remove(&request->in_revoked);
    part_from_rivals(locks, request);
    for (uint32_t i = 0; i < request->link_count; i++)
        if (request->links[i].key) link_leave(locks, &request->links[i]);
}

void locks_enter(struct locks *locks, struct lock_request *request) {
    ASSERT(request->link_count == 0 || request->links);
    ASSERT(!locks_find(locks, request->stamp));
    request->in_granted.next = request->in_revoked.next = NULL;
    request->exclusive = wants_exclusive(request);
    request->by_stamp.name = request->stamp;
    index_add(locks, &locks->stamps, &request->by_stamp);
    hook_insert(&request->in_all, request->wide ? locks->all.next : &locks->all);
    locks->wide += request->wide;
    locks->wide_exclusive += request->wide && request->exclusive;
    locks->exclusive += request->exclusive;
    come_into_line(locks, request);
}

void locks_leave(struct locks *locks, struct lock_request *request) {
    ASSERT(request->state != LOCK_OUT && locks_find(locks, request->stamp) == request);
    go_out_of_line(locks, request);
    locks->wide -= request->wide;
    locks->wide_exclusive -= request->wide && request->exclusive;
    locks->exclusive -= request->exclusive;
    hook_remove(&request->in_all);
    index_remove(&locks->stamps, &request->by_stamp);
    request->state = LOCK_OUT;
    request->revoked = false;
    if (!locks_idle(locks)) return;
    index_shrink(locks, &locks->keys);
    index_shrink(locks, &locks->stamps);
}

void locks_yield(struct locks *locks, struct lock_request *request) {
    ASSERT(lock_is_granted(request) && locks_find(locks, request->stamp) == request);
    go_out_of_line(locks, request);
    come_into_line(locks, request);
}

struct lock_request *locks_next_granted(struct locks *locks) {
    struct lock_hook *hook = locks->granted.next;
    if (hook == &locks->granted) return NULL;
    struct lock_request *request = CONTAINER_OF(hook, struct lock_request, in_granted);
    ASSERT(request->state == LOCK_WAITING && request->blocked == 0);
    hook_remove(hook);
    request->state = LOCK_GRANTED;
    for (uint32_t i = 0; i < request->link_count; i++)
        if (request->links[i].key) link_granted(&request->links[i], request->stamp);
    return request;
}

struct lock_request *locks_next_revoked(struct locks *locks) {
    struct lock_hook *hook = locks->revoked.next;
    if (hook == &locks->revoked) return NULL;
    hook_remove(hook);
    return CONTAINER_OF(hook, struct lock_request, in_revoked);
}
