/* Locks: single lines by hand, then two models.
 * Twin      random operations on the table and on a naive twin, which keeps nothing but the requests and recomputes
 *           from the definition who is ahead of whom, who is blocked and who was revoked; compared after each step.
 * Liveness  transactions over several tables, with messages that take their time and clocks that differ: all of them
 *           complete, and no two that collide hold their keys at once.
 * When a model fails its seed is printed; SHERD_SEED=n repeats it. */
#include "core/assert.h"
#include "core/prng.h"
#include "shards/locks.h"
#include "tests/support/seed.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { LINKS = 5 };

/* A request and its links. */
struct asker {
    struct lock_request request;
    struct lock_link links[LINKS];
};

static void add_key(struct asker *a, uint64_t id, enum lock_mode mode) {
    assert_true(a->request.link_count < LINKS);
    a->links[a->request.link_count++] = (struct lock_link){.id = id, .mode = (uint8_t)mode};
}

/* That of its owner, which is set already. */
static uint64_t line_of(uint64_t owner) {
    return ~owner;
}

static void add_line(struct asker *a) {
    add_key(a, line_of(a->request.owner), LOCK_EXCLUSIVE);
    a->links[a->request.link_count - 1].line = true;
}

static struct lock_request *asks(struct asker *a, uint64_t stamp) {
    memset(a, 0xA5, sizeof *a); /* enter relies on nothing but what is filled in here */
    a->request.stamp = stamp;
    a->request.owner = 0;
    a->request.links = a->links;
    a->request.link_count = 0;
    a->request.wide = false;
    a->request.wide_mode = LOCK_SHARED;
    a->request.lets_pass = false;
    return &a->request;
}

static struct lock_request *asks_key(struct asker *a, uint64_t stamp, uint64_t id, enum lock_mode mode) {
    asks(a, stamp);
    add_key(a, id, mode);
    return &a->request;
}

static struct lock_request *asks_all(struct asker *a, uint64_t stamp, enum lock_mode mode) {
    asks(a, stamp);
    a->request.wide = true;
    a->request.wide_mode = (uint8_t)mode;
    return &a->request;
}

/* --- by hand --- */

struct hand {
    struct heap *heap;
    struct locks *locks;
    struct asker a, b, c, d;
};

static void hand_init(struct hand *h) {
    *h = (struct hand){.heap = heap_new()};
    h->locks = locks_new(h->heap);
}

static void hand_deinit(struct hand *h) {
    assert_true(locks_idle(h->locks));
    locks_check(h->locks);
    locks_delete(h->locks);
    assert_int_equal(heap_used(h->heap, MEM_MESSAGE), 0);
    heap_delete(h->heap);
}

static void expect_granted(struct hand *h, const struct lock_request *expected) {
    locks_check(h->locks);
    assert_ptr_equal(locks_next_granted(h->locks), expected);
}
static void expect_revoked(struct hand *h, const struct lock_request *expected) {
    locks_check(h->locks);
    assert_ptr_equal(locks_next_revoked(h->locks), expected);
}

static void one_after_the_other(void **state) {
    (void)state;
    struct hand h;
    hand_init(&h);
    struct lock_request *first = asks_key(&h.a, 1, 7, LOCK_EXCLUSIVE), *second = asks_key(&h.b, 2, 7, LOCK_EXCLUSIVE);
    assert_true(locks_allow(h.locks, 7, LOCK_EXCLUSIVE));
    locks_enter(h.locks, first);
    locks_enter(h.locks, second);
    assert_int_equal(locks_count(h.locks), 2);
    assert_ptr_equal(locks_find(h.locks, 2), second);
    assert_null(locks_find(h.locks, 3));
    assert_false(locks_allow(h.locks, 7, LOCK_SHARED));
    assert_true(locks_allow(h.locks, 8, LOCK_EXCLUSIVE));
    expect_granted(&h, first);
    expect_granted(&h, NULL);
    expect_revoked(&h, NULL); /* the older one holds it */
    locks_leave(h.locks, first);
    assert_int_equal(first->state, LOCK_OUT);
    expect_granted(&h, second);
    locks_leave(h.locks, second);
    hand_deinit(&h);
}

static void shared_beside_shared(void **state) {
    (void)state;
    struct hand h;
    hand_init(&h);
    struct lock_request *r1 = asks_key(&h.a, 1, 7, LOCK_SHARED), *r2 = asks_key(&h.b, 2, 7, LOCK_SHARED);
    struct lock_request *w3 = asks_key(&h.c, 3, 7, LOCK_EXCLUSIVE), *r4 = asks_key(&h.d, 4, 7, LOCK_SHARED);
    locks_enter(h.locks, r1);
    assert_true(locks_allow(h.locks, 7, LOCK_SHARED));
    assert_false(locks_allow(h.locks, 7, LOCK_EXCLUSIVE));
    assert_true(locks_allow_wide(h.locks, LOCK_SHARED));
    assert_false(locks_allow_wide(h.locks, LOCK_EXCLUSIVE));
    locks_enter(h.locks, w3);
    assert_false(locks_allow(h.locks, 7, LOCK_SHARED)); /* a writer waits */
    assert_false(locks_allow_wide(h.locks, LOCK_SHARED));
    locks_enter(h.locks, r4);
    locks_enter(h.locks, r2); /* older than the writer: beside the first */
    expect_granted(&h, r1);
    expect_granted(&h, r2);
    expect_granted(&h, NULL);
    locks_leave(h.locks, w3); /* those behind it move up */
    expect_granted(&h, r4);
    locks_leave(h.locks, r1);
    locks_leave(h.locks, r2);
    locks_leave(h.locks, r4);
    hand_deinit(&h);
}

/* A waiting writer between a granted younger reader and an older one: the reader is revoked when the writer comes. */
static void readers_pass_waiting_writers(void **state) {
    (void)state;
    struct hand h;
    hand_init(&h);
    struct lock_request *r1 = asks_key(&h.a, 1, 7, LOCK_SHARED), *w2 = asks_key(&h.b, 2, 7, LOCK_EXCLUSIVE);
    r1->lets_pass = true;
    locks_enter(h.locks, r1);
    locks_enter(h.locks, w2);
    assert_false(locks_allow(h.locks, 7, LOCK_SHARED)); /* it is not granted */
    expect_granted(&h, r1);
    assert_true(locks_allow(h.locks, 7, LOCK_SHARED));
    assert_false(locks_allow(h.locks, 7, LOCK_EXCLUSIVE));
    assert_non_null(locks_next(h.locks, locks_next(h.locks, NULL)));
    locks_leave(h.locks, r1);
    assert_ptr_equal(locks_next(h.locks, NULL), w2);
    assert_null(locks_next(h.locks, w2));
    expect_granted(&h, w2);
    assert_false(locks_allow(h.locks, 7, LOCK_SHARED));
    locks_leave(h.locks, w2);
    hand_deinit(&h);
}

static bool is_any(void *ctx, const struct lock_request *request) {
    (void)request;
    (*(unsigned *)ctx)++;
    return true;
}

/* Beside one that lets pass a writer may run that it does not mind; but not when somebody else reads, too. */
static void writers_beside_one_that_lets_pass(void **state) {
    (void)state;
    struct hand h;
    unsigned asked = 0;
    hand_init(&h);
    struct lock_request *save = asks_key(&h.a, 1, 7, LOCK_SHARED), *w2 = asks_key(&h.b, 2, 7, LOCK_EXCLUSIVE);
    struct lock_request *r0 = asks_key(&h.c, 0, 7, LOCK_SHARED);
    save->lets_pass = true;
    w2->owner = 5;
    locks_enter(h.locks, save);
    expect_granted(&h, save);
    locks_enter(h.locks, w2);
    assert_true(locks_allow_beside(h.locks, 7, 4));
    assert_false(locks_allow_beside(h.locks, 7, 5)); /* its own command waits */
    assert_ptr_equal(locks_find_beside(h.locks, 7, is_any, &asked), w2);
    assert_int_equal(asked, 1);
    assert_null(locks_find_beside(h.locks, 8, is_any, &asked));
    locks_enter(h.locks, r0); /* older than the writer: it reads, too */
    expect_granted(&h, r0);
    assert_false(locks_allow_beside(h.locks, 7, 4));
    assert_null(locks_find_beside(h.locks, 7, is_any, &asked));
    locks_leave(h.locks, r0);
    assert_true(locks_allow_beside(h.locks, 7, 4));
    locks_leave(h.locks, save);
    expect_granted(&h, w2);
    assert_false(locks_allow_beside(h.locks, 7, 4));
    locks_leave(h.locks, w2);
    assert_true(locks_allow_beside(h.locks, 7, 4));
    hand_deinit(&h);
}

static void older_revokes_younger(void **state) {
    (void)state;
    struct hand h;
    hand_init(&h);
    struct lock_request *young = asks_key(&h.a, 9, 7, LOCK_SHARED), *writer = asks_key(&h.b, 7, 7, LOCK_EXCLUSIVE);
    struct lock_request *reader = asks_key(&h.c, 8, 7, LOCK_SHARED);
    locks_enter(h.locks, young);
    expect_granted(&h, young);
    locks_enter(h.locks, writer);
    expect_revoked(&h, young);
    locks_enter(h.locks, reader);
    expect_revoked(&h, NULL); /* told once */
    expect_granted(&h, NULL);
    locks_yield(h.locks, young);
    expect_granted(&h, writer);
    expect_granted(&h, NULL);
    locks_leave(h.locks, writer);
    expect_granted(&h, reader); /* now they stand by stamp */
    expect_granted(&h, young);
    locks_leave(h.locks, young);
    locks_leave(h.locks, reader);
    hand_deinit(&h);
}

static void grantable_until_an_older_one_comes(void **state) {
    (void)state;
    struct hand h;
    hand_init(&h);
    struct lock_request *young = asks_key(&h.a, 9, 7, LOCK_EXCLUSIVE), *old = asks_key(&h.b, 7, 7, LOCK_EXCLUSIVE);
    locks_enter(h.locks, young);
    locks_enter(h.locks, old);
    expect_granted(&h, old);
    expect_granted(&h, NULL);
    expect_revoked(&h, NULL);
    locks_leave(h.locks, old);
    locks_leave(h.locks, young); /* in the queue */
    expect_granted(&h, NULL);
    hand_deinit(&h);
}

static void same_key_twice(void **state) {
    (void)state;
    struct hand h;
    hand_init(&h);
    struct lock_request *twice = asks_key(&h.a, 5, 7, LOCK_SHARED);
    add_key(&h.a, 7, LOCK_EXCLUSIVE);
    add_key(&h.a, 7, LOCK_SHARED);
    struct lock_request *young = asks_key(&h.b, 6, 7, LOCK_SHARED), *granted = asks_key(&h.c, 9, 7, LOCK_SHARED);
    locks_enter(h.locks, granted);
    expect_granted(&h, granted);
    locks_enter(h.locks, young); /* not taken */
    locks_enter(h.locks, twice);
    assert_int_equal(twice->blocked, 1);
    assert_int_equal(young->blocked, 1);
    expect_granted(&h, NULL);
    expect_revoked(&h, granted); /* by the second mention only */
    locks_leave(h.locks, granted);
    expect_granted(&h, twice);
    locks_yield(h.locks, twice);
    expect_granted(&h, twice);
    locks_leave(h.locks, twice);
    expect_granted(&h, young);
    locks_leave(h.locks, young);
    hand_deinit(&h);
}

static void wide_and_narrow(void **state) {
    (void)state;
    struct hand h;
    hand_init(&h);
    struct lock_request *key = asks_key(&h.a, 9, 7, LOCK_EXCLUSIVE), *reader = asks_key(&h.b, 10, 8, LOCK_SHARED);
    struct lock_request *cut = asks_all(&h.c, 5, LOCK_SHARED), *flush = asks_all(&h.d, 6, LOCK_EXCLUSIVE);
    locks_enter(h.locks, key);
    expect_granted(&h, key);
    locks_enter(h.locks, cut);
    expect_revoked(&h, key);
    locks_enter(h.locks, reader);
    assert_true(locks_allow(h.locks, 1, LOCK_SHARED));
    assert_false(locks_allow(h.locks, 1, LOCK_EXCLUSIVE));
    expect_granted(&h, reader);
    locks_enter(h.locks, flush);
    assert_false(locks_allow(h.locks, 1, LOCK_SHARED));
    expect_revoked(&h, reader);
    expect_revoked(&h, NULL);
    locks_yield(h.locks, reader);
    locks_yield(h.locks, key);
    expect_granted(&h, cut);
    expect_granted(&h, NULL);
    locks_leave(h.locks, cut);
    expect_granted(&h, flush);
    locks_leave(h.locks, flush);
    expect_granted(&h, key);
    expect_granted(&h, reader);
    locks_leave(h.locks, key);
    locks_leave(h.locks, reader);
    hand_deinit(&h);
}

/* Readers of everything and of single keys go together, though each stands in its client's line, but for the client's
 * own; and so does what makes no request. */
static void wide_readers_and_lines(void **state) {
    (void)state;
    struct hand h;
    hand_init(&h);
    struct lock_request *scan = asks_all(&h.a, 1, LOCK_SHARED), *own = asks_key(&h.b, 2, 7, LOCK_SHARED);
    struct lock_request *other = asks_key(&h.c, 3, 7, LOCK_SHARED), *next = asks_all(&h.d, 4, LOCK_SHARED);
    scan->owner = own->owner = next->owner = 5;
    other->owner = 6;
    add_line(&h.a), add_line(&h.b), add_line(&h.c), add_line(&h.d);
    locks_enter(h.locks, scan);
    expect_granted(&h, scan);
    assert_false(locks_allow_line(h.locks, line_of(5), 5));
    assert_true(locks_allow_line(h.locks, line_of(6), 6));
    assert_true(locks_allow(h.locks, 7, LOCK_SHARED));
    assert_true(locks_allow_wide(h.locks, LOCK_SHARED));
    assert_null(locks_holder(h.locks, 7));
    locks_enter(h.locks, own);
    locks_enter(h.locks, other);
    locks_enter(h.locks, next);
    expect_granted(&h, other);
    expect_granted(&h, NULL);
    assert_false(locks_allow_line(h.locks, line_of(6), 6));
    locks_leave(h.locks, scan);
    expect_granted(&h, own);
    expect_granted(&h, NULL);
    locks_leave(h.locks, own);
    expect_granted(&h, next);
    expect_revoked(&h, NULL);
    locks_leave(h.locks, other);
    locks_leave(h.locks, next);
    hand_deinit(&h);
}

static void no_keys_at_all(void **state) {
    (void)state;
    struct hand h;
    hand_init(&h);
    struct lock_request *nothing = asks(&h.a, 0);
    locks_enter(h.locks, nothing);
    expect_granted(&h, nothing);
    locks_leave(h.locks, nothing);
    hand_deinit(&h);
}

/* Many requests on one key and many keys; the memory goes back when they have left. */
static void memory_comes_back(void **state) {
    (void)state;
    enum { COUNT = 50000 };
    struct hand h;
    hand_init(&h);
    int64_t before = heap_used(h.heap, MEM_MESSAGE);
    struct asker *askers = test_calloc(COUNT, sizeof *askers);
    for (uint32_t i = 0; i < COUNT; i++) {
        asks_key(&askers[i], i, 1, LOCK_SHARED);
        for (uint64_t k = 1; k < LINKS; k++) add_key(&askers[i], lock_id((uint32_t)k, i * 7919ull), LOCK_EXCLUSIVE);
        locks_enter(h.locks, &askers[i].request);
        if (i % 2) assert_non_null(locks_next_granted(h.locks));
    }
    locks_check(h.locks);
    assert_true(heap_used(h.heap, MEM_MESSAGE) > before + COUNT * 200);
    for (uint32_t i = 0; i < COUNT; i++) locks_leave(h.locks, &askers[i].request);
    assert_true(heap_used(h.heap, MEM_MESSAGE) < before + 512 * 1024); /* the spare keys: 4096 blocks */
    locks_trim(h.locks);
    assert_true(heap_used(h.heap, MEM_MESSAGE) < before + 16 * 1024);
    test_free(askers);
    hand_deinit(&h);
}

/* --- against the twin --- */

enum { ASKERS = 14, IDS = 5, OWNERS = 3 };

struct one {
    struct asker asker;
    enum lock_state state; /* what the twin thinks */
    bool revoked;
    uint8_t modes[IDS];            /* 0: not asked for; 1 + mode, the stronger */
    bool wide, exclusive, in_line; /* of its owner, the request's */
    uint64_t grantable_since;      /* step; 0: is not */
};

struct world {
    struct prng prng;
    struct heap *heap;
    struct locks *locks;
    struct one ones[ASKERS];
    uint64_t step, clock;
    unsigned wide_percent, exclusive_percent, jitter;
};

static uint64_t id_of(unsigned i) {
    return i * 0x1234567890ABCDEFull; /* 0, too */
}

/* From the definition. */
static bool same_owner(const struct one *a, const struct one *b) {
    return a->asker.request.owner && a->asker.request.owner == b->asker.request.owner;
}
static bool collide(const struct one *a, const struct one *b) {
    if (a->wide || b->wide) return a->exclusive || b->exclusive || same_owner(a, b);
    if (a->in_line && b->in_line && same_owner(a, b)) return true;
    for (unsigned i = 0; i < IDS; i++)
        if (a->modes[i] && b->modes[i] && MAX(a->modes[i], b->modes[i]) == 1 + LOCK_EXCLUSIVE) return true;
    return false;
}
static bool is_ahead(const struct one *a, const struct one *of) {
    if (a->state == LOCK_GRANTED || of->state == LOCK_GRANTED) return a->state == LOCK_GRANTED;
    return a->asker.request.stamp < of->asker.request.stamp;
}
static bool is_grantable(const struct world *w, const struct one *one) {
    if (one->state != LOCK_WAITING) return false;
    for (unsigned i = 0; i < ASKERS; i++) {
        const struct one *other = &w->ones[i];
        if (other != one && other->state != LOCK_OUT && collide(other, one) && is_ahead(other, one)) return false;
    }
    return true;
}
static bool older_waits(const struct world *w, const struct one *granted) {
    for (unsigned i = 0; i < ASKERS; i++) {
        const struct one *other = &w->ones[i];
        if (other->state == LOCK_WAITING && other->asker.request.stamp < granted->asker.request.stamp &&
            collide(other, granted))
            return true;
    }
    return false;
}
static const struct lock_request *expect_holder(const struct world *w, unsigned id) {
    for (unsigned i = 0; i < ASKERS; i++) {
        const struct one *one = &w->ones[i];
        bool has = one->wide ? one->exclusive : one->modes[id] == 1 + LOCK_EXCLUSIVE;
        if (one->state == LOCK_GRANTED && has) return &one->asker.request;
    }
    return NULL;
}
static bool expect_allow(const struct world *w, unsigned id, enum lock_mode mode) {
    for (unsigned i = 0; i < ASKERS; i++) {
        const struct one *one = &w->ones[i];
        if (one->state == LOCK_OUT) continue;
        if (one->wide && (mode == LOCK_EXCLUSIVE || one->exclusive)) return false;
        if (one->modes[id] && (mode == LOCK_EXCLUSIVE || one->modes[id] == 1 + LOCK_EXCLUSIVE)) return false;
    }
    return true;
}
/* By somebody who stands behind it, or for the whole shard. */
static bool expect_waited_for(const struct world *w, const struct one *one) {
    for (unsigned i = 0; i < ASKERS; i++) {
        const struct one *other = &w->ones[i];
        if (other == one || other->state == LOCK_OUT) continue;
        if (one->wide || (other->wide && other->state == LOCK_WAITING)) return true;
        if (other->state == LOCK_WAITING && !same_owner(one, other) && collide(one, other)) return true;
    }
    return false;
}
static bool expect_allow_line(const struct world *w, uint64_t owner) {
    for (unsigned i = 0; i < ASKERS; i++) {
        const struct one *one = &w->ones[i];
        if (one->state != LOCK_OUT && one->asker.request.owner == owner && (one->wide || one->in_line)) return false;
    }
    return true;
}

/* It comes into line: what another one of its owner has there already it wants for itself. */
static void come_behind_own(const struct world *w, struct one *one) {
    for (unsigned i = 0; i < ASKERS && !one->wide; i++) {
        const struct one *other = &w->ones[i];
        if (other == one || other->state == LOCK_OUT || other->wide || !same_owner(other, one)) continue;
        for (unsigned id = 0; id < IDS; id++)
            if (one->modes[id] && other->modes[id]) one->modes[id] = 1 + LOCK_EXCLUSIVE;
    }
}

static void enter(struct world *w, struct one *one) {
    uint64_t stamp;
    do stamp = ++w->clock + prng_below(&w->prng, w->jitter);
    while (locks_find(w->locks, stamp));
    asks(&one->asker, stamp);
    *one = (struct one){.asker = one->asker, .state = LOCK_WAITING};
    one->asker.request.links = one->asker.links;
    one->asker.request.owner = prng_below(&w->prng, 1 + OWNERS);
    one->wide = prng_below(&w->prng, 100) < w->wide_percent;
    if (one->wide) {
        one->asker.request.wide = true;
        one->asker.request.wide_mode = prng_below(&w->prng, 100) < w->exclusive_percent;
        one->exclusive = one->asker.request.wide_mode == LOCK_EXCLUSIVE;
    }
    uint64_t links = prng_below(&w->prng, LINKS + (one->wide ? 1 : 0)) + (one->wide ? 0 : 1);
    for (uint64_t i = 0; i < links; i++) {
        unsigned id = (unsigned)prng_below(&w->prng, IDS);
        enum lock_mode mode = prng_below(&w->prng, 100) < w->exclusive_percent ? LOCK_EXCLUSIVE : LOCK_SHARED;
        add_key(&one->asker, id_of(id), mode);
        one->modes[id] = (uint8_t)MAX(one->modes[id], (uint8_t)(1 + mode));
        one->exclusive |= mode == LOCK_EXCLUSIVE;
    }
    one->in_line = one->asker.request.owner && one->asker.request.link_count < LINKS && prng_below(&w->prng, 2);
    if (one->in_line) add_line(&one->asker);
    come_behind_own(w, one);
    locks_enter(w->locks, &one->asker.request);
}

/* The one that has been grantable for longest comes first. */
static void take_granted(struct world *w) {
    struct one *oldest = NULL;
    for (unsigned i = 0; i < ASKERS; i++) {
        struct one *one = &w->ones[i];
        if (one->grantable_since && (!oldest || one->grantable_since < oldest->grantable_since)) oldest = one;
    }
    struct lock_request *request = locks_next_granted(w->locks);
    assert_int_equal(request != NULL, oldest != NULL);
    if (!request) return;
    struct one *one = CONTAINER_OF(request, struct one, asker.request);
    assert_true(is_grantable(w, one));
    assert_int_equal(one->grantable_since, oldest->grantable_since);
    one->state = LOCK_GRANTED;
}

static void take_revoked(struct world *w) {
    struct lock_request *request = locks_next_revoked(w->locks);
    if (request) {
        assert_true(CONTAINER_OF(request, struct one, asker.request)->revoked);
        return;
    }
    for (unsigned i = 0; i < ASKERS; i++)
        if (w->ones[i].state != LOCK_OUT) assert_null(w->ones[i].asker.request.in_revoked.next);
}

static void act(struct world *w) {
    struct one *one = &w->ones[prng_below(&w->prng, ASKERS)];
    uint64_t dice = prng_below(&w->prng, 10);
    if (dice == 0) {
        take_revoked(w);
    } else if (dice <= 3) {
        take_granted(w);
    } else if (one->state == LOCK_OUT) {
        enter(w, one);
    } else if (one->state == LOCK_GRANTED && dice <= 7) {
        one->state = LOCK_WAITING;
        one->revoked = false;
        come_behind_own(w, one);
        locks_yield(w->locks, &one->asker.request);
    } else if (dice >= 8) {
        one->state = LOCK_OUT;
        one->revoked = false;
        locks_leave(w->locks, &one->asker.request);
    }
}

static void compare(struct world *w) {
    bool exclusive = false;
    uint32_t count = 0;
    for (unsigned i = 0; i < ASKERS; i++) {
        struct one *one = &w->ones[i];
        if (one->state == LOCK_GRANTED && older_waits(w, one)) one->revoked = true;
        if (!is_grantable(w, one)) one->grantable_since = 0;
        if (is_grantable(w, one) && !one->grantable_since) one->grantable_since = w->step;
        if (one->state == LOCK_OUT) continue;
        const struct lock_request *request = &one->asker.request;
        assert_int_equal(request->state, one->state);
        assert_int_equal(request->revoked, one->revoked);
        assert_int_equal(request->blocked == 0, one->state == LOCK_GRANTED || one->grantable_since != 0);
        assert_ptr_equal(locks_find(w->locks, request->stamp), request);
        if (one->state == LOCK_GRANTED && expect_waited_for(w, one))
            assert_true(locks_is_waited_for(w->locks, request));
        exclusive |= one->exclusive;
        count++;
    }
    for (unsigned id = 0; id < IDS; id++) {
        for (unsigned mode = 0; mode < 2; mode++)
            assert_int_equal(locks_allow(w->locks, id_of(id), mode), expect_allow(w, id, mode));
        assert_ptr_equal(locks_holder(w->locks, id_of(id)), expect_holder(w, id));
    }
    for (uint64_t owner = 1; owner <= OWNERS; owner++)
        assert_int_equal(locks_allow_line(w->locks, line_of(owner), owner), expect_allow_line(w, owner));
    assert_int_equal(locks_allow_wide(w->locks, LOCK_EXCLUSIVE), count == 0);
    assert_int_equal(locks_allow_wide(w->locks, LOCK_SHARED), !exclusive);
    assert_int_equal(locks_count(w->locks), count);
    assert_int_equal(locks_idle(w->locks), count == 0);
    locks_check(w->locks);
}

static void twin_model(uint64_t seed, unsigned steps) {
    struct world w = {.heap = heap_new()};
    prng_init(&w.prng, seed);
    w.locks = locks_new(w.heap);
    static const unsigned wides[] = {0, 5, 30}, exclusives[] = {20, 50, 80}, jitters[] = {1, 5, 40};
    w.wide_percent = wides[seed % 3];
    w.exclusive_percent = exclusives[seed / 3 % 3];
    w.jitter = jitters[seed / 9 % 3];
    for (w.step = 1; w.step <= steps; w.step++) {
        act(&w);
        compare(&w);
    }
    for (unsigned i = 0; i < ASKERS; i++)
        if (w.ones[i].state != LOCK_OUT) locks_leave(w.locks, &w.ones[i].asker.request);
    locks_check(w.locks);
    locks_delete(w.locks);
    assert_int_equal(heap_used(w.heap, MEM_MESSAGE), 0);
    heap_delete(w.heap);
}

static uint64_t running; /* the seed of the model that runs; 0: none */

static int say_seed(void **state) {
    (void)state;
    if (running) printf("failed at SHERD_SEED=%llu\n", (unsigned long long)running);
    fflush(stdout);
    running = 0;
    return 0;
}
static void say_seed_and_die(int number) {
    (void)number;
    say_seed(NULL);
}

static void for_seeds(uint64_t seeds, void (*model)(uint64_t, unsigned), unsigned steps) {
    uint64_t first = seed_or(1), last = seed_given() ? first : seeds;
    signal(SIGABRT, say_seed_and_die); /* a failed ASSERT */
    for (running = first; running <= last; running++) model(running, steps);
    running = 0;
}

static void twin(void **state) {
    (void)state;
    for_seeds(4000, twin_model, 300);
}

/* --- liveness --- */

enum { SHARDS = 3, CLIENTS = 10, KEYS = 2, PIPE = 64 };
enum kind { ENTER, YIELD, LEAVE, GRANTED, REVOKED };

struct note {
    enum kind kind;
    uint32_t txn;
};

/* From one thread to another: first in, first out. */
struct pipe {
    struct note notes[PIPE];
    uint32_t head, tail;
};

struct txn {
    struct asker askers[SHARDS];
    bool asked[SHARDS], granted[SHARDS]; /* as its home knows */
    bool holds[SHARDS];                  /* complete, and the shard has not heard of its end */
    bool complete;
    uint64_t began;
};

/* Each client is a home of its own and runs one transaction after the other. */
struct net {
    struct prng prng;
    struct heap *heap;
    struct locks *locks[SHARDS];
    struct pipe to_shard[CLIENTS][SHARDS], to_home[CLIENTS][SHARDS];
    struct txn txns[CLIENTS];
    uint64_t clock, step, longest, completed, yields;
    unsigned exclusive_percent, wide_percent, skew;
};

static void post(struct pipe *pipe, enum kind kind, unsigned client) {
    assert_true(pipe->tail - pipe->head < PIPE);
    pipe->notes[pipe->tail++ % PIPE] = (struct note){kind, client};
}

static void begin(struct net *n, unsigned client) {
    struct txn *txn = &n->txns[client];
    *txn = (struct txn){.began = n->step};
    uint64_t time = ++n->clock + prng_below(&n->prng, n->skew); /* homes' clocks differ */
    uint64_t stamp = time * CLIENTS + client;
    bool wide = prng_below(&n->prng, 100) < n->wide_percent;
    enum lock_mode wide_mode = prng_below(&n->prng, 100) < n->exclusive_percent;
    for (unsigned s = 0; s < SHARDS; s++) {
        asks(&txn->askers[s], stamp);
        if (wide) asks_all(&txn->askers[s], stamp, wide_mode);
        uint64_t links = wide ? 0 : prng_below(&n->prng, KEYS + 2);
        for (uint64_t i = 0; i < links; i++)
            add_key(&txn->askers[s], id_of((unsigned)prng_below(&n->prng, KEYS)),
                    prng_below(&n->prng, 100) < n->exclusive_percent ? LOCK_EXCLUSIVE : LOCK_SHARED);
        txn->asked[s] = wide || links != 0;
        if (txn->asked[s]) post(&n->to_shard[client][s], ENTER, client);
    }
}

static bool askers_collide(const struct asker *a, const struct asker *b) {
    if (a->request.wide || b->request.wide) return a->request.exclusive || b->request.exclusive;
    for (unsigned i = 0; i < a->request.link_count; i++)
        for (unsigned k = 0; k < b->request.link_count; k++)
            if (a->links[i].id == b->links[k].id && MAX(a->links[i].mode, b->links[k].mode) == LOCK_EXCLUSIVE)
                return true;
    return false;
}

/* It holds all its keys at this instant, and nobody else does. */
static void complete(struct net *n, unsigned client) {
    struct txn *txn = &n->txns[client];
    for (unsigned s = 0; s < SHARDS; s++)
        for (unsigned other = 0; txn->asked[s] && other < CLIENTS; other++)
            if (other != client && n->txns[other].holds[s])
                assert_false(askers_collide(&txn->askers[s], &n->txns[other].askers[s]));
    for (unsigned s = 0; s < SHARDS; s++) {
        txn->holds[s] = txn->asked[s];
        if (txn->asked[s]) post(&n->to_shard[client][s], LEAVE, client);
    }
    txn->complete = true;
    n->completed++;
    n->longest = MAX(n->longest, n->step - txn->began);
}

static void home_hears(struct net *n, unsigned client, unsigned s, enum kind kind) {
    struct txn *txn = &n->txns[client];
    if (txn->complete) return; /* a revocation that crossed its end */
    if (kind == REVOKED) {
        assert_true(txn->granted[s]);
        txn->granted[s] = false;
        n->yields++;
        post(&n->to_shard[client][s], YIELD, client);
        return;
    }
    assert_false(txn->granted[s]);
    txn->granted[s] = true;
    for (unsigned i = 0; i < SHARDS; i++)
        if (txn->asked[i] && !txn->granted[i]) return;
    complete(n, client);
}

static unsigned client_of(struct net *n, unsigned s, const struct lock_request *request) {
    for (unsigned client = 0; client < CLIENTS; client++)
        if (&n->txns[client].askers[s].request == request) return client;
    fail();
    return 0;
}

static void shard_hears(struct net *n, unsigned client, unsigned s, enum kind kind) {
    struct txn *txn = &n->txns[client];
    struct lock_request *request = &txn->askers[s].request;
    if (kind == ENTER) locks_enter(n->locks[s], request);
    if (kind == YIELD) locks_yield(n->locks[s], request);
    if (kind == LEAVE) {
        txn->holds[s] = false;
        locks_leave(n->locks[s], request);
    }
    locks_check(n->locks[s]);
    while ((request = locks_next_granted(n->locks[s]))) {
        unsigned home = client_of(n, s, request);
        post(&n->to_home[home][s], GRANTED, home);
    }
    while ((request = locks_next_revoked(n->locks[s]))) {
        unsigned home = client_of(n, s, request);
        post(&n->to_home[home][s], REVOKED, home);
    }
}

/* Delivers one message of a pipe chosen at random; false when it is empty. */
static bool deliver(struct net *n) {
    unsigned client = (unsigned)prng_below(&n->prng, CLIENTS), s = (unsigned)prng_below(&n->prng, SHARDS);
    bool home = prng_below(&n->prng, 2);
    struct pipe *pipe = home ? &n->to_home[client][s] : &n->to_shard[client][s];
    if (pipe->head == pipe->tail) return false;
    struct note note = pipe->notes[pipe->head++ % PIPE];
    if (home)
        home_hears(n, client, s, note.kind);
    else
        shard_hears(n, client, s, note.kind);
    return true;
}

/* Nothing of the client's last transaction is under way any more. */
static bool is_quiet(const struct net *n, unsigned client) {
    for (unsigned s = 0; s < SHARDS; s++) {
        const struct pipe *out = &n->to_shard[client][s], *in = &n->to_home[client][s];
        if (out->head != out->tail || in->head != in->tail) return false;
    }
    return n->txns[client].complete;
}

/* A client that began waits for at most the CLIENTS - 1 others that were older, a few messages each, while messages of
 * CLIENTS * SHARDS * 2 pipes are chosen at random. The bound is five times the longest of 600 seeds. */
#define LONGEST 40000

static void live_model(uint64_t seed, unsigned txns) {
    struct net *n = test_calloc(1, sizeof *n);
    n->heap = heap_new();
    prng_init(&n->prng, seed);
    static const unsigned exclusives[] = {10, 50, 100}, wides[] = {0, 3, 20}, skews[] = {1, 10, 50};
    n->exclusive_percent = exclusives[seed % 3];
    n->wide_percent = wides[seed / 3 % 3];
    n->skew = skews[seed / 9 % 3];
    for (unsigned s = 0; s < SHARDS; s++) n->locks[s] = locks_new(n->heap);
    for (unsigned client = 0; client < CLIENTS; client++) n->txns[client].complete = true;
    uint64_t begun = 0;
    for (n->step = 0; n->completed < txns; n->step++) {
        deliver(n);
        unsigned client = (unsigned)prng_below(&n->prng, CLIENTS);
        if (begun < txns && is_quiet(n, client)) {
            begin(n, client);
            unsigned asked = 0;
            for (unsigned s = 0; s < SHARDS; s++) asked += n->txns[client].asked[s];
            if (asked)
                begun++;
            else
                n->txns[client].complete = true; /* no key at all: draw again */
        }
        for (client = 0; n->step % 64 == 0 && client < CLIENTS; client++)
            if (!n->txns[client].complete) assert_true(n->step - n->txns[client].began < LONGEST);
    }
    for (unsigned s = 0; s < SHARDS; s++)
        while (!locks_idle(n->locks[s])) deliver(n);
    if (seed_given() || seed % 100 == 0)
        printf("seed %llu: %llu transactions, %llu yields, longest %llu steps\n", (unsigned long long)seed,
               (unsigned long long)n->completed, (unsigned long long)n->yields, (unsigned long long)n->longest);
    for (unsigned s = 0; s < SHARDS; s++) locks_delete(n->locks[s]);
    assert_int_equal(heap_used(n->heap, MEM_MESSAGE), 0);
    heap_delete(n->heap);
    test_free(n);
}

static void liveness(void **state) {
    (void)state;
    for_seeds(600, live_model, 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(shared_beside_shared),
        cmocka_unit_test(writers_beside_one_that_lets_pass),
        cmocka_unit_test(older_revokes_younger),
        cmocka_unit_test(grantable_until_an_older_one_comes),
        cmocka_unit_test(same_key_twice),
        cmocka_unit_test(wide_and_narrow),
        cmocka_unit_test(wide_readers_and_lines),
        cmocka_unit_test(readers_pass_waiting_writers),
        cmocka_unit_test(no_keys_at_all),
        cmocka_unit_test(memory_comes_back),
        cmocka_unit_test_teardown(twin, say_seed),
        cmocka_unit_test_teardown(liveness, say_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
