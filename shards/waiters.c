/* Waiters: one block each, with a link per key and the command as a message item:
 *
 *    | struct waiter | link | link | ... | message_item with its arguments |
 */
#include "shards/waiters.h"
#include "core/assert.h"
#include "shards/blocked.h"
#include "shards/gather.h"
#include "shards/interest.h"
#include "shards/pipeline.h"
#include "shards/planted.h"
#include "shards/request.h"
#include "shards/shard.h"
#include "shards/txn.h"

struct waiter {
    uint64_t stamp;
    uint8_t home;
    bool told;                /* home knows of the request that stands in line */
    bool across;              /* the command has keys on other shards, too: home runs it */
    struct interest *serving; /* the key whose turn it may be; NULL while no request stands in line */
    struct wait_link *link;   /* and which of its keys that is */
    uint32_t link_count;
    size_t bytes;
    uint32_t number; /* of the command that its client sent; the item may be another one in its place */
    struct message_item *item;
    struct wait_link links[];
};

static struct waiter *find(const struct shard *shard, uint64_t stamp) {
    return idmap_get(&shard->waiters, stamp);
}

/* --- ready keys: a queue in order of coming into being --- */

static void mark_ready(struct shard *shard, struct interest *interest) {
    if (interest->ready || !interest->first) return;
    if (PLANTED(shard, PLANT_LOST_WAKEUP)) return;
    interest->ready = true;
    interest->next_ready = NULL;
    if (shard->ready)
        shard->ready_last->next_ready = interest;
    else
        shard->ready = interest;
    shard->ready_last = interest;
}

/* One that has served: it and those that waited for that are looked at before all others. */
static void mark_ready_again(struct shard *shard, struct interest *interest) {
    struct interest *rest = shard->ready;
    if (shard->ready_later) {
        shard->ready_later_last->next_ready = rest;
        if (!rest) shard->ready_last = shard->ready_later_last;
        rest = shard->ready_later;
        shard->ready_later = NULL;
    }
    shard->ready = rest;
    if (interest->ready || !interest->first) return;
    interest->ready = true;
    interest->next_ready = rest;
    if (!rest) shard->ready_last = interest;
    shard->ready = interest;
}

void waiters_key_created(struct shard *shard, uint32_t db, struct slice key, uint64_t hash) {
    struct interest *interest = interest_find(shard->interests, db, key, hash);
    if (interest) mark_ready(shard, interest);
}

struct changed {
    struct shard *shard;
    uint32_t a, b;
};

static void mark_changed(void *ctx, struct interest *interest) {
    const struct changed *changed = ctx;
    if (interest->db == changed->a || interest->db == changed->b) mark_ready(changed->shard, interest);
}

void waiters_databases_changed(struct shard *shard, uint32_t a, uint32_t b) {
    interests_visit(shard->interests, mark_changed, &(struct changed){shard, a, b});
}

/* --- birth and death --- */

struct key_count {
    const struct exec *x;
    uint32_t here, elsewhere;
};

static bool is_here(const struct exec *x, uint32_t position) {
    return shard_of_key(x->shard, x->argv[position]) == x->shard->id;
}

static void count_key(void *ctx, uint32_t position, bool writes) {
    struct key_count *count = ctx;
    (void)writes;
    if (is_here(count->x, position))
        count->here++;
    else
        count->elsewhere++;
}

struct key_adder {
    const struct exec *x;
    struct waiter *waiter;
};

static void add_key(void *ctx, uint32_t position, bool writes) {
    const struct key_adder *adder = ctx;
    const struct exec *x = adder->x;
    (void)writes;
    if (!is_here(x, position)) return;
    struct interest *interest = interest_add(x->shard->interests, x->db, x->argv[position], exec_hash(x, position));
    struct wait_link *link = &adder->waiter->links[adder->waiter->link_count++];
    *link = (struct wait_link){.waiter = adder->waiter, .interest = interest, .position = position};
    link->prev = interest->last;
    if (interest->last)
        interest->last->next = link;
    else
        interest->first = link;
    interest->last = link;
}

/* The row's first specification alone: the keys it waits for. BLMOVE's target is not one. */
static struct command waited_for(const struct command *row) {
    struct command only = *row;
    only.keys[1] = (struct key_spec){0};
    return only;
}

static struct waiter *keep(const struct exec *x, uint64_t stamp, uint32_t home) {
    struct shard *shard = x->shard;
    struct command only = waited_for(x->slot->row);
    struct key_count all = {.x = x}, waited = {.x = x};
    command_each_key(x->slot->row, x->argv, x->argc, count_key, &all);
    command_each_key(&only, x->argv, x->argc, count_key, &waited);
    ASSERT(waited.here > 0);
    size_t item_size = message_item_size(x->argv, x->argc);
    size_t bytes = sizeof(struct waiter) + waited.here * sizeof(struct wait_link) + item_size;
    struct waiter *waiter = heap_alloc(shard->heap, MEM_MESSAGE, bytes);
    *waiter = (struct waiter){.stamp = txn_waiting_stamp(stamp), .home = (uint8_t)home, .bytes = bytes};
    waiter->across = all.elsewhere > waited.elsewhere;
    command_each_key(&only, x->argv, x->argc, add_key, &(struct key_adder){x, waiter});
    waiter->item = message_item_write(waiter->links + waited.here, item_size, x->argv, x->argc);
    waiter->item->number = (uint16_t)x->slot->number;
    waiter->item->flags = x->flags;
    waiter->item->db = x->db;
    waiter->item->resp = x->resp;
    waiter->item->client_id = x->client_id;
    idmap_put(&shard->waiters, waiter->stamp, waiter);
    return waiter;
}

void waiter_add(const struct exec *x, uint64_t stamp, uint32_t home) {
    const struct command *row = x->slot->row;
    struct waiting as = {.x = *x};
    if (!row->waits_as) {
        keep(x, stamp, home)->number = x->slot->number;
        return;
    }
    row->waits_as(x, &as);
    as.x.hash_at = as.x.hash_count = 0;
    as.x.hashes = NULL;
    struct waiter *waiter = keep(&as.x, stamp, home);
    waiter->number = x->slot->number;
    for (uint32_t i = 0; as.ready && i < waiter->link_count; i++) mark_ready(x->shard, waiter->links[i].interest);
    heap_free(x->shard->heap, MEM_MESSAGE, as.memory, as.bytes);
}

static void unlink_key(struct shard *shard, struct wait_link *link) {
    struct interest *interest = link->interest;
    *(link->prev ? &link->prev->next : &interest->first) = link->next;
    *(link->next ? &link->next->prev : &interest->last) = link->prev;
    interest_settle(shard->interests, interest);
}

static void waiter_free(struct shard *shard, struct waiter *waiter) {
    idmap_take(&shard->waiters, waiter->stamp);
    for (uint32_t i = 0; i < waiter->link_count; i++) unlink_key(shard, &waiter->links[i]);
    heap_free(shard->heap, MEM_MESSAGE, waiter, waiter->bytes);
}

void waiter_cancel(struct shard *shard, uint64_t stamp, uint64_t participants) {
    struct waiter *waiter = find(shard, stamp);
    if (!waiter) return;
    if (waiter->serving) {
        request_leave_served(shard, stamp, participants);
        return;
    }
    waiter_free(shard, waiter);
}

void waiters_drop(struct shard *shard) {
    for (uint32_t i = 0; i < shard->waiters.cap; i++) {
        struct waiter *waiter = shard->waiters.slots[i].value;
        if (waiter) heap_free(shard->heap, MEM_MESSAGE, waiter, waiter->bytes);
    }
}

/* --- serving --- */

#define ARGS_FEW 16

/* The waiter's command for this key alone. */
struct alone {
    struct exec x;
    struct slice few[2 * ARGS_FEW];
    struct slice *many;
    size_t bytes;
};

static void alone_open(struct alone *alone, struct shard *shard, const struct wait_link *link) {
    const struct message_item *item = link->waiter->item;
    alone->bytes = item->argc > ARGS_FEW ? 2 * item->argc * sizeof(struct slice) : 0;
    alone->many = alone->bytes ? heap_alloc(shard->heap, MEM_MESSAGE, alone->bytes) : alone->few;
    struct slice *argv = alone->many, *one = argv + item->argc;
    message_item_argv(item, argv);
    const struct command_slot *slot = command_at(shard->registry, item->number);
    uint32_t argc = command_with_one_key(slot->row, argv, item->argc, link->position, one);
    alone->x = (struct exec){.shard = shard,
                             .shared = &shard->shared,
                             .keys = shard_db(shard, item->db),
                             .slot = slot,
                             .argv = one,
                             .argc = argc,
                             .db = item->db,
                             .resp = item->resp,
                             .flags = item->flags,
                             .part = true,
                             .client_id = item->client_id};
}

static void alone_close(struct alone *alone, struct shard *shard) {
    if (alone->bytes) heap_free(shard->heap, MEM_MESSAGE, alone->many, alone->bytes);
}

/* entry: what the link's key holds, or NULL. */
static bool fits(struct shard *shard, const struct wait_link *link, const struct entry *entry) {
    const struct command *row = command_at(shard->registry, link->waiter->item->number)->row;
    if (!row->wakes) return entry && row->waits_for == entry->type;
    struct alone alone;
    alone_open(&alone, shard, link);
    bool wakes = row->wakes(&alone.x);
    alone_close(&alone, shard);
    return wakes;
}

static struct entry *entry_of(struct shard *shard, const struct interest *interest) {
    struct keyspace *keys = shard_db_peek(shard, interest->db);
    struct key_ref ref;
    return keys ? keyspace_open(keys, interest_key(interest), interest->hash, &ref) : NULL;
}

/* The waiter's command for this key alone stands in line, before all but other waiters. */
static void line_up(struct shard *shard, struct wait_link *link) {
    struct waiter *waiter = link->waiter;
    struct alone alone;
    alone_open(&alone, shard, link);
    waiter->serving = link->interest;
    waiter->link = link;
    waiter->told = false;
    link->interest->serving = true;
    request_serve(&alone.x, waiter->stamp, waiter->home);
    alone_close(&alone, shard);
}

/* Another key, ready before, may have something for this waiter, too: all that key can serve are served first. */
static bool may_be_served_elsewhere(const struct waiter *waiter) {
    for (uint32_t i = 0; i < waiter->link_count; i++)
        if (waiter->links[i].interest->serving) return true;
    return false;
}

/* The first who waits for such a value. False: it is to be looked at again when another key has served. */
static bool serve_key(struct shard *shard, struct interest *interest) {
    if (interest->serving || !interest->first) return true; /* who is served looks again at its end */
    const struct entry *entry = entry_of(shard, interest);
    struct wait_link *link = interest->first;
    while (link && !fits(shard, link, entry)) link = link->next;
    if (!link) return true;
    if (may_be_served_elsewhere(link->waiter)) return false;
    line_up(shard, link);
    return true;
}

/* At once, not at the end of a round: the waiter may be done while the next keys are looked at, and then this is the
 * list that is looked through. */
static void look_later(struct shard *shard, struct interest *interest) {
    interest->ready = true;
    interest->next_ready = NULL;
    if (shard->ready_later)
        shard->ready_later_last->next_ready = interest;
    else
        shard->ready_later = interest;
    shard->ready_later_last = interest;
}

/* Nobody may have what is in the key before it is looked at again. */
static void guard(struct shard *shard, struct interest *interest) {
    if (!interest->guard) interest->guard = request_guard(shard, interest->hash);
}

static void unguard(struct shard *shard, struct interest *interest) {
    if (!interest->guard) return;
    request_unguard(shard, interest->guard);
    interest->guard = NULL;
}

/* A key that has served comes back to the front of the queue (waiter_leaves), so it goes on until it is empty. */
void waiters_serve_slow(struct shard *shard) {
    struct interest *interest;
    while ((interest = shard->ready)) {
        shard->ready = interest->next_ready;
        interest->ready = false;
        interest->pins++; /* who is served at once may be the last who was interested */
        if (serve_key(shard, interest)) {
            unguard(shard, interest);
        } else {
            look_later(shard, interest);
            guard(shard, interest);
        }
        interest->pins--;
        interest_settle(shard->interests, interest);
    }
    requests_settle(shard);
}

bool waiter_granted(struct shard *shard, uint64_t stamp) {
    struct waiter *waiter = find(shard, stamp);
    ASSERT(waiter && waiter->serving);
    if (!waiter->told && !fits(shard, waiter->link, entry_of(shard, waiter->serving))) return false;
    waiter->told = true;
    const struct message_item *args = waiter->across ? waiter->item : NULL;
    if (waiter->home == shard->id) {
        blocked_ready(shard, stamp, shard->id, args);
        return true;
    }
    struct message *message = request_news(shard, waiter->home);
    size_t at = message_news_open(message, NEWS_READY, stamp);
    if (args) buf_append(&message->request, args, args->size);
    message_news_close(message, at);
    return true;
}

/* Another home's client has no address here, and what stands in place of a command is not what its client sent. */
void waiter_count(struct shard *shard, uint64_t stamp, uint64_t ticks, struct slice reply) {
    const struct waiter *waiter = find(shard, stamp);
    const struct command_slot *slot = command_at(shard->registry, waiter->number);
    struct slice name = slice_of_cstr(slot->row->name), *argv = &name;
    struct exec x = {.shard = shard, .slot = slot, .argc = 1, .failed = gather_reply_is_error(reply)};
    size_t bytes = 0;
    if (!slot->row->waits_as) {
        x.argc = waiter->item->argc;
        bytes = x.argc * sizeof *argv;
        argv = heap_alloc(shard->heap, MEM_MESSAGE, bytes);
        message_item_argv(waiter->item, argv);
    }
    x.argv = argv;
    if (waiter->home == shard->id) x.client = blocked_client(shard, stamp);
    if (x.failed) error_stats_count(&shard->errors, slice_of(reply.ptr + 1, reply.len - 1));
    pipeline_count_served(shard, &x, ticks);
    if (bytes) heap_free(shard->heap, MEM_MESSAGE, argv, bytes);
}

void waiter_leaves(struct shard *shard, uint64_t stamp, bool served) {
    struct waiter *waiter = find(shard, stamp);
    struct interest *interest = waiter->serving;
    ASSERT(interest && interest->serving);
    waiter->serving = NULL;
    interest->serving = false;
    interest->pins++;
    if (served) waiter_free(shard, waiter);
    interest->pins--;
    mark_ready_again(shard, interest);
    interest_settle(shard->interests, interest);
}

void waiters_check(const struct shard *shard) {
    ASSERT(!shard->ready);
    for (const struct interest *later = shard->ready_later; later; later = later->next_ready) ASSERT(later->ready);
    for (uint32_t i = 0; i < shard->waiters.cap; i++) {
        const struct waiter *waiter = shard->waiters.slots[i].value;
        if (!waiter) continue;
        ASSERT(waiter->stamp == shard->waiters.slots[i].id && waiter->link_count > 0);
        ASSERT(!waiter->serving || waiter->serving->serving);
        for (uint32_t k = 0; k < waiter->link_count; k++) ASSERT(waiter->links[k].waiter == waiter);
    }
}
