/* Blocked clients. While one is being served (claimed) other news of it wait; what ends it meanwhile (its deadline, a
 * hang-up) is remembered and happens if there turns out to be nothing for it. */
#include "shards/blocked.h"
#include "core/assert.h"
#include "shards/gather.h"
#include "shards/pipeline.h"
#include "shards/request.h"
#include "shards/shard.h"
#include "shards/txn.h"
#include "shards/waiters.h"

#define EXPIRE_MAX 256 /* clients per turn */
#define NOWHERE    UINT32_MAX

struct blocked {
    struct client *client;
    uint64_t stamp, place;
    uint64_t deadline_ns; /* 0: none */
    uint64_t shards;      /* where it waits, a bit each */
    uint64_t ready;       /* that have something for it, besides the one that serves it */
    uint32_t claimed_by;  /* NOWHERE: nobody */
    uint32_t heap_at;     /* its place in deadlines */
    bool silent, overdue, gone;
};

static struct blocked *find(const struct shard *home, uint64_t stamp) {
    return idmap_get(&home->blocked, stamp);
}

struct client *blocked_client(struct shard *home, uint64_t stamp) {
    const struct blocked *blocked = find(home, stamp);
    return blocked ? blocked->client : NULL;
}

/* --- deadlines --- */

void deadlines_init(struct deadlines *deadlines, struct heap *heap) {
    *deadlines = (struct deadlines){.heap = heap};
}

void deadlines_deinit(struct deadlines *deadlines) {
    heap_free(deadlines->heap, MEM_MESSAGE, deadlines->items, deadlines->cap * sizeof *deadlines->items);
    *deadlines = (struct deadlines){.heap = deadlines->heap};
}

static void place_at(struct deadlines *deadlines, uint32_t at, struct blocked *blocked) {
    deadlines->items[at] = blocked;
    blocked->heap_at = at;
}

static void sift_up(struct deadlines *deadlines, uint32_t at, struct blocked *blocked) {
    while (at > 0 && deadlines->items[(at - 1) / 2]->deadline_ns > blocked->deadline_ns) {
        place_at(deadlines, at, deadlines->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place_at(deadlines, at, blocked);
}

static void sift_down(struct deadlines *deadlines, uint32_t at, struct blocked *blocked) {
    for (uint32_t child; (child = 2 * at + 1) < deadlines->count; at = child) {
        if (child + 1 < deadlines->count &&
            deadlines->items[child + 1]->deadline_ns < deadlines->items[child]->deadline_ns)
            child++;
        if (deadlines->items[child]->deadline_ns >= blocked->deadline_ns) break;
        place_at(deadlines, at, deadlines->items[child]);
    }
    place_at(deadlines, at, blocked);
}

static void deadlines_add(struct deadlines *deadlines, struct blocked *blocked) {
    if (deadlines->count == deadlines->cap) {
        uint32_t cap = deadlines->cap ? deadlines->cap * 2 : 16;
        deadlines->items = heap_resize(deadlines->heap, MEM_MESSAGE, deadlines->items,
                                       deadlines->cap * sizeof *deadlines->items, cap * sizeof *deadlines->items);
        deadlines->cap = cap;
    }
    sift_up(deadlines, deadlines->count++, blocked);
}

static void deadlines_remove(struct deadlines *deadlines, struct blocked *blocked) {
    uint32_t at = blocked->heap_at;
    struct blocked *last = deadlines->items[--deadlines->count];
    if (deadlines->count == 0) {
        deadlines_deinit(deadlines);
    } else if (last != blocked) {
        sift_up(deadlines, at, last);
        sift_down(deadlines, last->heap_at, last);
    }
}

uint64_t blocked_next_deadline_ns(const struct shard *home) {
    return home->deadlines.count ? home->deadlines.items[0]->deadline_ns : UINT64_MAX;
}

/* --- birth and death --- */

void blocked_add(struct client *client, uint64_t stamp, uint64_t place, uint64_t shards, uint64_t timeout_ms,
                 bool silent) {
    struct shard *home = client->home;
    stamp = txn_waiting_stamp(stamp);
    ASSERT(!client->blocked && shards);
    struct blocked *blocked = heap_alloc_zero(home->heap, MEM_MESSAGE, sizeof *blocked);
    *blocked = (struct blocked){
        .client = client, .stamp = stamp, .place = place, .shards = shards, .claimed_by = NOWHERE, .silent = silent};
    client->blocked = blocked;
    idmap_put(&home->blocked, stamp, blocked);
    if (timeout_ms) {
        blocked->deadline_ns = home->now_ns + MIN(timeout_ms, UINT64_MAX / 4000000) * 1000000;
        deadlines_add(&home->deadlines, blocked);
    }
    shard_mark_dirty(home, client); /* replies of its earlier commands are not to wait with it */
    /* Its carrier looks again: who hung up while the command was under way waits in vain. */
    home->host.attend(home->host.ctx, client);
    if (client->flags & CLIENT_CLOSE_NOW) blocked_client_gone(client);
}

void blocked_cancel(struct shard *home, uint64_t stamp, uint64_t shards, uint64_t participants) {
    stamp = txn_waiting_stamp(stamp);
    for (uint64_t left = shards & ~(1ull << home->id); left; left &= left - 1) {
        struct message *message = pipeline_outgoing(home, (uint32_t)__builtin_ctzll(left), false);
        struct message_item *item = message_add(message, (struct message_note){0}, NULL, 0);
        item->how = ITEM_CANCEL;
        item->participants = participants;
        item->stamp = stamp;
    }
    if (shards & 1ull << home->id) waiter_cancel(home, stamp, participants);
}

/* It waits nowhere any more. Its client and place are what remains. */
static struct message_note leave(struct shard *home, struct blocked *blocked, uint64_t participants) {
    struct message_note note = {.client = blocked->client, .place = blocked->place};
    uint64_t stamp = blocked->stamp, shards = blocked->shards;
    idmap_take(&home->blocked, stamp);
    if (blocked->deadline_ns) deadlines_remove(&home->deadlines, blocked);
    note.client->blocked = NULL;
    heap_free(home->heap, MEM_MESSAGE, blocked, sizeof *blocked);
    blocked_cancel(home, stamp, shards, participants);
    return note;
}

static void finish(struct shard *home, struct blocked *blocked, struct slice reply) {
    struct buf out;
    buf_init(&out, home->heap, MEM_CLIENT_OUT);
    if (!blocked->silent) buf_append_slice(&out, reply);
    pipeline_deliver_own(home, leave(home, blocked, 0), &out);
}

static void finish_with_nothing(struct shard *home, struct blocked *blocked) {
    finish(home, blocked, blocked->client->resp == 3 ? SLICE("_\r\n") : SLICE("*-1\r\n"));
}

bool blocked_end(struct client *client, struct slice reply) {
    struct blocked *blocked = client->blocked;
    if (!blocked || blocked->claimed_by != NOWHERE) return false;
    finish(client->home, blocked, reply);
    return true;
}

void blocked_client_gone(struct client *client) {
    struct blocked *blocked = client->blocked;
    if (!blocked) return;
    if (blocked->claimed_by != NOWHERE)
        blocked->gone = true;
    else
        finish(client->home, blocked, (struct slice){0});
}

void blocked_abandon(struct client *client) {
    if (!client->blocked) return;
    client->blocked->shards = 0;
    leave(client->home, client->blocked, 0);
}

void blocked_expire(struct shard *home) {
    for (int i = 0; i < EXPIRE_MAX && blocked_next_deadline_ns(home) <= home->now_ns; i++) {
        struct blocked *blocked = home->deadlines.items[0];
        if (blocked->claimed_by == NOWHERE) {
            finish_with_nothing(home, blocked);
            continue;
        }
        deadlines_remove(&home->deadlines, blocked);
        blocked->deadline_ns = 0;
        blocked->overdue = true;
    }
}

/* --- being served --- */

void blocked_served_here(struct shard *home, uint64_t stamp, struct buf *reply, uint64_t position) {
    struct message_note note;
    if (!blocked_over(home, stamp, 0, &note)) reply->len = 0;
    commit_deliver_own(home, note, reply, position);
}

static void serve_here(struct shard *home, struct blocked *blocked) {
    struct buf out;
    uint64_t stamp = blocked->stamp, position;
    buf_init(&out, home->heap, MEM_CLIENT_OUT);
    switch (request_go(home, stamp, 0, &out, &position)) {
    case REQUEST_RAN: blocked_served_here(home, stamp, &out, position); break;
    case REQUEST_WAITS: blocked_not_served(home, stamp); break;
    case REQUEST_WORKS: break; /* it says so itself when it is done */
    }
    buf_deinit(&out);
}

static void serve_there(struct shard *home, const struct blocked *blocked, uint32_t owner) {
    struct message_note note = {.client = blocked->client, .place = blocked->stamp, .kind = NOTE_SERVE};
    struct message_item *item = message_add(pipeline_outgoing(home, owner, false), note, NULL, 0);
    item->how = ITEM_GO;
    item->stamp = blocked->stamp;
}

static void serve(struct shard *home, struct blocked *blocked, uint32_t from, const struct message_item *args) {
    blocked->claimed_by = from;
    if (args)
        gather_start_again(blocked->client, args, blocked->stamp, blocked->place, from);
    else if (from == home->id)
        serve_here(home, blocked);
    else
        serve_there(home, blocked, from);
}

void blocked_ready(struct shard *home, uint64_t stamp, uint32_t from, const struct message_item *args) {
    struct blocked *blocked = find(home, stamp);
    if (!blocked) return; /* it is told that nobody waits any more */
    if (blocked->claimed_by == NOWHERE)
        serve(home, blocked, from, args);
    else if (args)
        txn_granted(home, stamp, from, (struct grant){.clean = true}); /* it had yielded */
    else
        blocked->ready |= 1ull << from;
}

bool blocked_over(struct shard *home, uint64_t stamp, uint64_t participants, struct message_note *note) {
    struct blocked *blocked = find(home, stamp);
    ASSERT(blocked && blocked->claimed_by != NOWHERE);
    bool silent = blocked->silent;
    *note = leave(home, blocked, participants);
    return !silent;
}

void blocked_not_served(struct shard *home, uint64_t stamp) {
    struct blocked *blocked = find(home, stamp);
    ASSERT(blocked && blocked->claimed_by != NOWHERE);
    blocked->claimed_by = NOWHERE;
    if (blocked->gone) {
        finish(home, blocked, (struct slice){0});
    } else if (blocked->overdue) {
        finish_with_nothing(home, blocked);
    } else if (blocked->ready) {
        uint32_t from = (uint32_t)__builtin_ctzll(blocked->ready);
        blocked->ready &= blocked->ready - 1;
        serve(home, blocked, from, NULL);
    }
}
