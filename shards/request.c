/* Requests: one block each, with the locks' links and the item behind it:
 *
 *    | struct request | link | link | ... | message_item with its arguments |
 */
#include "core/assert.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/blocked.h"
#include "shards/pipeline.h"
#include "shards/planted.h"
#include "shards/request_priv.h"
#include "shards/txn.h"
#include "shards/waiters.h"
#include "shards/work.h"

#define SETTLE_MAX   512           /* commands run per call: what waited for a popular key runs in several turns */
#define SETTLE_BYTES (1024 * 1024) /* and so much memory used, about, by replies, data or the journal */

/* --- what a command touches --- */

struct key_walk {
    const struct exec *x;
    command_lock_visit visit;
    void *ctx;
};

static void visit_key(void *ctx, uint32_t at, bool writes) {
    const struct key_walk *walk = ctx;
    walk->visit(walk->ctx, walk->x, at, writes ? LOCK_EXCLUSIVE : LOCK_SHARED, false);
}

void request_each_lock(const struct exec *x, command_lock_visit visit, void *ctx) {
    const struct command *row = x->slot->row;
    if (row->locks) {
        row->locks(x, visit, ctx);
    } else if (key_spec_is_used(&row->keys[0])) {
        struct key_walk walk = {x, visit, ctx};
        command_each_key(row, x->argv, x->argc, visit_key, &walk);
    } else if (row->flags & (CMD_READ | CMD_WRITE)) { /* SCAN, FLUSHALL: no keys, but data */
        visit(ctx, x, 0, row->flags & CMD_WRITE ? LOCK_EXCLUSIVE : LOCK_SHARED, true);
    }
}

/* A client with a command in line, as something to lock: its later commands here stand behind it. */
static uint64_t line_of_client(uint64_t client_id) {
    return (client_id + 1) * 0xD1B54A32D192ED03ull;
}

/* A command that is the sum of its keys touches them all in the same way. Their hashes, which name their locks, came
 * with it: nothing has to be looked for in its arguments. */
HOT_INLINE bool knows_hashes(const struct exec *x) {
    return x->hashes && x->hash_at;
}

HOT_INLINE enum lock_mode mode_of_keys(const struct exec *x) {
    return x->slot->row->keys[0].access & KEY_RO ? LOCK_SHARED : LOCK_EXCLUSIVE;
}

struct permission {
    const struct locks *locks;
    uint64_t owner;
    bool granted;
};

static void ask(void *ctx, const struct exec *x, uint32_t at, enum lock_mode mode, bool wide) {
    struct permission *permission = ctx;
    if (!permission->granted) return;
    if (wide) {
        permission->granted = locks_allow_wide(permission->locks, mode);
        return;
    }
    permission->granted = locks_allow_owner(permission->locks, exec_hash(x, at), mode, permission->owner);
}

/* The place of its one key; 0: it has none, or several. */
static uint32_t only_key(const struct exec *x) {
    uint32_t at[2];
    return command_keys(x->slot->row, x->argv, x->argc, at, 2) == 1 ? at[0] : 0;
}

/* Is it little? What is more than that takes turns (shards/work.h), for which it has to have its key to itself. */
static bool changes_few(const struct exec *x, const struct entry *entry) {
    const struct command *row = x->slot->row;
    int64_t count;
    if (x->argc > WORK_AT_ONCE) return false;
    if (row->beside_few) return row->beside_few(x, entry);
    bool counted = row->beside_save == BESIDE_COUNT && x->argc > 2;
    return !counted || (num_parse_i64(x->argv[2], &count) && count <= WORK_AT_ONCE);
}

/* Does it change elements of what a checkpoint reads, which is ready for that? */
COLD bool request_runs_beside_save(const struct exec *x) {
    const struct pin_watch *watch = x->shared->pin_watch;
    enum command_beside beside = x->slot->row->beside_save;
    if (beside == BESIDE_NOT || x->db != watch->db || (beside == BESIDE_GROUPS && !watch->groups)) return false;
    uint32_t at = only_key(x);
    return at && slice_equal(x->argv[at], entry_key(watch->entry)) && changes_few(x, watch->entry) &&
           watch->ready(watch->ctx);
}

bool request_may_run_slow(const struct exec *x) {
    const struct shard *shard = x->shard;
    if (shard->parked && x->client_id && !locks_allow_line(shard->locks, line_of_client(x->client_id), x->client_id))
        return false;
    if (x->shared->pin_watch && request_runs_beside_save(x))
        return locks_allow_beside(shard->locks, exec_hash(x, only_key(x)), x->client_id);
    if (knows_hashes(x)) {
        enum lock_mode mode = mode_of_keys(x);
        for (uint32_t i = 0; i < x->hash_count; i++)
            if (!locks_allow_owner(shard->locks, x->hashes[i], mode, x->client_id)) return false;
        return true;
    }
    struct permission permission = {shard->locks, x->client_id, true};
    request_each_lock(x, ask, &permission);
    return permission.granted;
}

/* --- birth and death --- */

static void count_lock(void *ctx, const struct exec *x, uint32_t at, enum lock_mode mode, bool wide) {
    (void)x, (void)at, (void)mode;
    *(uint32_t *)ctx += !wide;
}

static void add_link(struct lock_request *lock, uint64_t id, enum lock_mode mode) {
    struct lock_link *link = &lock->links[lock->link_count++]; /* locks_enter sets all the rest */
    link->id = id;
    link->mode = (uint8_t)mode;
    link->line = false;
}

static void add_line(struct lock_request *lock, uint64_t client_id) {
    add_link(lock, line_of_client(client_id), LOCK_EXCLUSIVE);
    lock->links[lock->link_count - 1].line = true;
}

static void add_lock(void *ctx, const struct exec *x, uint32_t at, enum lock_mode mode, bool wide) {
    struct lock_request *lock = ctx;
    if (!wide) {
        add_link(lock, exec_hash(x, at), mode);
        return;
    }
    lock->wide_mode = lock->wide && lock->wide_mode == LOCK_EXCLUSIVE ? LOCK_EXCLUSIVE : (uint8_t)mode;
    lock->wide = true;
}

static struct request *request_new(const struct exec *x, enum request_kind kind, uint64_t stamp, uint32_t home) {
    uint32_t links = kind == REQUEST_COMMAND;
    if (knows_hashes(x))
        links += x->hash_count;
    else
        request_each_lock(x, count_lock, &links);
    size_t item_size = message_item_size_exec(x);
    size_t bytes = sizeof(struct request) + links * sizeof(struct lock_link) + item_size;
    struct request *request = heap_alloc(x->shard->heap, MEM_MESSAGE, bytes);
    *request = (struct request){.kind = (uint8_t)kind, .home = (uint8_t)home, .bytes = bytes};
    request->lock.stamp = stamp;
    request->lock.links = (struct lock_link *)(request + 1);
    request->lock.owner = x->client_id;
    if (knows_hashes(x))
        for (uint32_t i = 0; i < x->hash_count; i++) add_link(&request->lock, x->hashes[i], mode_of_keys(x));
    else
        request_each_lock(x, add_lock, &request->lock);
    if (kind == REQUEST_COMMAND) add_line(&request->lock, x->client_id);
    ASSERT(request->lock.link_count <= links);
    request->item = message_item_write_exec(request->lock.links + links, item_size, x);
    return request;
}

static void request_free(struct shard *shard, struct request *request) {
    ASSERT(!request->effects);
    work_drop(shard, request);
    heap_free(shard->heap, MEM_MESSAGE, request, request->bytes);
}

static struct request *find(struct shard *shard, uint64_t stamp) {
    struct lock_request *lock = locks_find(shard->locks, stamp);
    ASSERT(lock);
    return (struct request *)lock;
}

/* --- standing in line --- */

void request_park(const struct exec *x, uint64_t stamp, uint32_t home, struct message_note note, bool silent) {
    struct request *request = request_new(x, REQUEST_COMMAND, stamp, home);
    request->silent = silent;
    request->note = note;
    x->shard->parked++;
    x->shard->stats.parked++;
    locks_enter(x->shard->locks, &request->lock);
    requests_settle(x->shard);
}

bool request_line_up(const struct exec *x, uint64_t stamp, uint32_t home) {
    struct shard *shard = x->shard;
    requests_settle(shard); /* so that whoever comes out of the queue next is this one */
    struct request *request = request_new(x, REQUEST_PART, stamp, home);
    locks_enter(shard->locks, &request->lock);
    if (shard->settling || shard->settle_more) return false;
    struct lock_request *granted = locks_next_granted(shard->locks);
    ASSERT(!granted || granted == &request->lock);
    requests_settle(shard); /* tells those that it wants to yield */
    return granted != NULL;
}

/* Who waits for what it left behind gets in line before anybody else can have it. */
void request_take_out(struct shard *shard, struct request *request) {
    waiters_serve(shard);
    locks_leave(shard->locks, &request->lock);
    request_free(shard, request);
}

uint64_t request_add_effects(struct shard *shard, struct request *request, uint64_t participants) {
    struct effect_group *group = request->effects;
    uint64_t before = shard->effects.position;
    request->effects = NULL;
    if (group || participants)
        effects_add_group(&shard->effects, shard->heap, group, request->lock.stamp, participants);
    bool added = shard->effects.position != before;
    return added ? commit_end_steps(&shard->commit, &request->lock, participants) : 0;
}

static uint64_t leave(struct shard *shard, struct request *request, bool served, uint64_t participants) {
    uint64_t position = request_add_effects(shard, request, participants);
    if (request->kind == REQUEST_SERVE) waiter_leaves(shard, request->lock.stamp, served);
    if (request->kind == REQUEST_SERVE && !served) {
        /* It changed nothing, so nobody waits for what it left behind; but it may get in line
         * again, for another key. */
        locks_leave(shard->locks, &request->lock);
        request_free(shard, request);
        waiters_serve(shard);
    } else {
        request_take_out(shard, request);
    }
    requests_settle(shard);
    return position;
}

uint64_t request_leave(struct shard *shard, uint64_t stamp, uint64_t participants) {
    return leave(shard, find(shard, stamp), false, participants);
}

void request_leave_served(struct shard *shard, uint64_t stamp, uint64_t participants) {
    leave(shard, find(shard, stamp), true, participants);
}

void request_serve(const struct exec *x, uint64_t stamp, uint32_t home) {
    struct request *request = request_new(x, REQUEST_SERVE, stamp, home);
    locks_enter(x->shard->locks, &request->lock);
    requests_settle(x->shard);
}

struct request *request_guard(struct shard *shard, uint64_t key_hash) {
    size_t bytes = sizeof(struct request) + sizeof(struct lock_link);
    struct request *request = heap_alloc(shard->heap, MEM_MESSAGE, bytes);
    *request = (struct request){.kind = REQUEST_GUARD, .home = (uint8_t)shard->id, .bytes = bytes};
    request->lock.stamp = STAMP_GUARD | ++shard->guards;
    request->lock.links = (struct lock_link *)(request + 1);
    add_link(&request->lock, key_hash, LOCK_EXCLUSIVE);
    locks_enter(shard->locks, &request->lock);
    return request;
}

void request_unguard(struct shard *shard, struct request *request) {
    ASSERT(request->kind == REQUEST_GUARD);
    locks_leave(shard->locks, &request->lock);
    request_free(shard, request);
}

struct request *request_hold(struct shard *shard, const uint64_t *key_hashes, uint32_t count) {
    size_t bytes = sizeof(struct request) + count * sizeof(struct lock_link);
    struct request *request = heap_alloc(shard->heap, MEM_MESSAGE, bytes);
    *request = (struct request){.kind = REQUEST_HOLD, .home = (uint8_t)shard->id, .bytes = bytes};
    request->lock.stamp = STAMP_GUARD | ++shard->guards;
    request->lock.links = (struct lock_link *)(request + 1);
    request->lock.lets_pass = true;
    for (uint32_t i = 0; i < count; i++) add_link(&request->lock, key_hashes[i], LOCK_SHARED);
    locks_enter(shard->locks, &request->lock);
    shard->settle_more = true;
    return request;
}

bool request_is_held(const struct request *request) {
    return request->lock.state == LOCK_GRANTED;
}

void request_let_go(struct shard *shard, struct request *request) {
    ASSERT(request->kind == REQUEST_HOLD);
    locks_leave(shard->locks, &request->lock);
    request_free(shard, request);
    shard->settle_more = true;
}

bool request_each_unwritten(const struct shard *shard, uint32_t max, request_hash_visit visit, void *ctx) {
    uint32_t visited = 0;
    for (const struct lock_request *lock = NULL; (lock = locks_next(shard->locks, lock));) {
        if (!((const struct request *)lock)->effects) continue; /* it has not begun, or its end is here */
        if (lock->wide && lock->wide_mode == LOCK_EXCLUSIVE) return false;
        for (uint32_t i = 0; i < lock->link_count; i++) {
            if (lock->links[i].mode != LOCK_EXCLUSIVE) continue;
            if (visited++ == max) return false;
            visit(ctx, lock->links[i].id);
        }
    }
    return true;
}

void request_yield(struct shard *shard, uint64_t stamp) {
    if (PLANTED(shard, PLANT_WRONG_ORDER)) return;
    locks_yield(shard->locks, &find(shard, stamp)->lock);
    requests_settle(shard);
}

/* --- running --- */

struct exec request_exec(struct shard *shard, const struct message_item *item, const struct slice *argv,
                         struct buf *out) {
    return (struct exec){.shard = shard,
                         .shared = &shard->shared,
                         .slot = command_at(shard->registry, item->number),
                         .argv = argv,
                         .argc = item->argc,
                         .db = item->db,
                         .resp = item->resp,
                         .part = item->part,
                         .flags = item->flags,
                         .hash = item->hash,
                         .hash_at = item->hash_at,
                         .hashes = item->hash_count ? message_item_hashes(item) : NULL,
                         .hash_count = item->hash_count,
                         .out = out,
                         .mark = out ? out->len : 0,
                         .client_id = item->client_id};
}

/* False: there was nothing, and the command waits or is to wait for it, *timeout_ms long. */
static bool run(struct shard *shard, struct request *request, struct buf *out, uint64_t *timeout_ms) {
    struct arguments arguments;
    const struct slice *argv = open_arguments(shard, &arguments, request->item);
    struct exec x = request_exec(shard, request->item, argv, out);
    size_t mark = out->len;
    uint64_t start = shard->last_tick;
    bool whole = request->kind == REQUEST_COMMAND || request->kind == REQUEST_SERVE;
    if (whole) x.slice = request->work;
    bool has_run = !x.part && x.flags & CLIENT_STEP; /* until it asked for turns: it has counted */
    uint64_t hits = shard->shared.hits, misses = shard->shared.misses;
    pipeline_execute(shard, &x);
    if (has_run) shard->shared.hits = hits;
    if (has_run) shard->shared.misses = misses;
    if (request->kind == REQUEST_SERVE && !x.blocks && !request->work[0])
        waiter_count(shard, request->lock.stamp, shard->last_tick - start, slice_of(out->data + mark, out->len - mark));
    if (request->silent) out->len = mark;
    if (x.blocks && request->kind == REQUEST_COMMAND) waiter_add(&x, request->lock.stamp, request->home);
    *timeout_ms = x.timeout_ms;
    close_arguments(shard, &arguments);
    return !x.blocks;
}

enum request_went request_go(struct shard *shard, uint64_t stamp, uint64_t participants, struct buf *out,
                             uint64_t *position) {
    struct request *request = find(shard, stamp);
    uint64_t timeout_ms;
    ASSERT(request->kind != REQUEST_COMMAND && request->lock.state == LOCK_GRANTED);
    effects_open(&shard->effects, stamp, participants);
    bool ran = run(shard, request, out, &timeout_ms);
    effects_close(&shard->effects);
    *position = commit_end_part(&shard->commit, stamp, participants);
    if (request->kind == REQUEST_SERVE && request->work[0]) {
        request->position = *position;
        request_keep_working(shard, request);
        return REQUEST_WORKS;
    }
    leave(shard, request, ran, 0);
    return ran ? REQUEST_RAN : REQUEST_WAITS;
}

uint64_t request_run_step(struct exec *x, uint64_t stamp) {
    struct shard *shard = x->shard;
    bool keeps_aside = x->slot->row->keeps_aside, asks = shard->effects.on || keeps_aside;
    struct request *request = asks ? (struct request *)locks_find(shard->locks, stamp) : NULL;
    if (request && shard->effects.on) { /* without one nothing is locked here, and it changes nothing */
        if (!request->effects) request->effects = effect_group_new(shard->heap);
        effects_keep(&shard->effects, request->effects);
    }
    if (keeps_aside) x->slice = request->work;
    if (admit_inside(shard, x))
        pipeline_execute(shard, x);
    else
        pipeline_refuse(shard, x);
    effects_keep(&shard->effects, NULL);
    if (request && request->effects) effects_add_piece(&shard->effects, request->effects, stamp);
    return commit_end_step(&shard->commit);
}

/* Where the effect of what time does to the key goes; what to give back to effects_keep afterwards. */
static struct effect_group *keep_with_holder(struct shard *shard, struct slice key) {
    struct effect_group *kept = shard->effects.kept;
    if (!kept && !locks_idle(shard->locks)) {
        struct lock_request *holder = locks_holder(shard->locks, key_hash(&shard->shared, key));
        if (holder) effects_keep(&shard->effects, ((struct request *)holder)->effects);
    }
    return kept;
}

void request_key_expired(struct shard *shard, uint32_t db, struct slice key) {
    struct effect_group *kept = keep_with_holder(shard, key);
    effects_add_removed(&shard->effects, db, key);
    effects_keep(&shard->effects, kept);
}

void request_field_expired(struct shard *shard, uint32_t db, struct slice key, struct slice field) {
    struct effect_group *kept = keep_with_holder(shard, key);
    effects_add_field_removed(&shard->effects, db, key, field);
    effects_keep(&shard->effects, kept);
}

struct grant request_grant(const struct exec *x) {
    const struct command *row = x->slot->row;
    struct exec copy;
    if (row->clean) copy = *x;
    bool clean = !row->clean || row->clean(&copy);
    return (struct grant){.clean = clean, .answers = clean ? answer_of_part(x) : 0};
}

/* Of one that is kept. */
static struct grant grant_of(struct shard *shard, const struct request *request) {
    const struct command *row = command_at(shard->registry, request->item->number)->row;
    bool says = row->answers && !admit_has_plenty(shard, 0); /* how much it will reply */
    if (!row->clean && !says) return (struct grant){.clean = true};
    struct arguments arguments;
    const struct slice *argv = open_arguments(shard, &arguments, request->item);
    struct exec x = request_exec(shard, request->item, argv, NULL);
    struct grant grant = request_grant(&x);
    close_arguments(shard, &arguments);
    return grant;
}

void request_prefetch(struct shard *shard, uint64_t stamp, keyspace_prefetch prefetch) {
    const struct request *request = (const struct request *)locks_find(shard->locks, stamp);
    if (request) shard_prefetch_item(shard, request->item, prefetch);
}

/* --- what became possible --- */

static struct message *append_news(struct shard *shard, uint32_t to) {
    struct message *last = shard->news_last[to];
    struct message *message = message_new(&shard->messages, shard->id, to);
    message->kind = MESSAGE_NEWS;
    if (last)
        last->next = message;
    else
        shard->news[to] = message;
    shard->news_last[to] = message;
    shard->to_send |= 1ull << to;
    return message;
}

struct message *request_news(struct shard *shard, uint32_t to) {
    struct message *last = shard->news_last[to];
    return last && !message_full(last) ? last : append_news(shard, to);
}

static void tell_revoked(struct shard *shard, const struct request *request) {
    struct message *message = request_news(shard, request->home);
    message_news_close(message, message_news_open(message, NEWS_REVOKE, request->lock.stamp));
}

void request_tell_grant(struct shard *shard, uint32_t home, uint64_t stamp, struct grant grant) {
    struct message *message = request_news(shard, home);
    size_t at = message_news_open(message, NEWS_GRANT, stamp);
    grant_write(&message->request, grant);
    message_news_close(message, at);
}

void request_answer(struct shard *shard, const struct request *request, struct buf *out, uint64_t position) {
    if (request->home == shard->id) {
        if (request->kind == REQUEST_SERVE)
            blocked_served_here(shard, request->lock.stamp, out, position);
        else
            commit_deliver_own(shard, request->note, out, position);
        return;
    }
    bool is_large = out->len >= MESSAGE_MOVES; /* then it travels without being copied, in a message of its own */
    struct message *message = is_large ? append_news(shard, request->home) : request_news(shard, request->home);
    size_t at = message_news_open(message, NEWS_REPLY, request->lock.stamp);
    message->alone = is_large;
    if (is_large)
        buf_take(&message->reply, out);
    else
        buf_append_slice(&message->request, buf_slice(out));
    message_news_close(message, at);
    if (UNLIKELY(position)) commit_promise(shard, request->home, message_item_at(message, at), position);
}

static void add_blocked(struct message *message, const struct request *request, uint64_t timeout_ms) {
    buf_append(&message->request, &timeout_ms, sizeof timeout_ms);
    buf_append(&message->request, &(char){request->silent}, 1);
}

static void tell_blocked(struct shard *shard, const struct request *request, uint64_t timeout_ms) {
    struct message *message = request_news(shard, request->home);
    size_t at = message_news_open(message, NEWS_BLOCKED, request->lock.stamp);
    add_blocked(message, request, timeout_ms);
    message_news_close(message, at);
}

/* One whose reply goes to a client of this shard, or which may take turns or wait for room: there is no reply then. */
static void run_aside(struct shard *shard, struct request *request) {
    struct buf out;
    uint64_t timeout_ms;
    buf_init(&out, shard->heap, MEM_CLIENT_OUT);
    bool ran = run(shard, request, &out, &timeout_ms);
    uint64_t position = commit_end(&shard->commit);
    if (request->work[0]) {
        request->position = position;
        work_take_reply(request, &out);
        request_keep_working(shard, request);
    } else {
        struct request copy = *request; /* of what is to be known afterwards */
        request_take_out(shard, request);
        shard->parked--;
        if (ran)
            request_answer(shard, &copy, &out, position);
        else if (copy.home == shard->id)
            blocked_add(copy.note.client, copy.lock.stamp, copy.note.place, 1ull << shard->id, timeout_ms, copy.silent);
        else
            tell_blocked(shard, &copy, timeout_ms);
    }
    buf_deinit(&out);
}

/* A command's turn has come: it runs, and its reply goes home. */
static void run_command(struct shard *shard, struct request *request) {
    if (request->home == shard->id || work_is_possible(command_at(shard->registry, request->item->number)->row)) {
        run_aside(shard, request);
        return;
    }
    uint64_t timeout_ms;
    shard->parked--;
    struct message *message = request_news(shard, request->home);
    size_t at = message_news_open(message, NEWS_REPLY, request->lock.stamp);
    if (!run(shard, request, &message->request, &timeout_ms)) {
        message_news_turn(message, at, NEWS_BLOCKED);
        add_blocked(message, request, timeout_ms);
    }
    message_news_close(message, at);
    uint64_t position = commit_end(&shard->commit);
    if (UNLIKELY(position)) commit_promise(shard, request->home, message_item_at(message, at), position);
    request_take_out(shard, request);
}

static bool is_beside(void *ctx, const struct lock_request *lock) {
    struct shard *shard = ctx;
    const struct request *request = (const struct request *)lock;
    if (request->kind != REQUEST_COMMAND) return false;
    struct arguments arguments;
    const struct slice *argv = open_arguments(shard, &arguments, request->item);
    struct exec x = request_exec(shard, request->item, argv, NULL);
    bool answer = request_runs_beside_save(&x);
    close_arguments(shard, &arguments);
    return answer;
}

/* It came before what a checkpoint reads was ready for changes. */
static struct request *next_beside(struct shard *shard) {
    const struct pin_watch *watch = shard->shared.pin_watch;
    if (LIKELY(!watch) || !watch->ready(watch->ctx)) return NULL;
    uint64_t id = key_hash(&shard->shared, entry_key(watch->entry));
    return (struct request *)locks_find_beside(shard->locks, id, is_beside, shard);
}

static void granted(struct shard *shard, struct request *request) {
    if (request->kind == REQUEST_GUARD || request->kind == REQUEST_HOLD) return;
    if (request->kind == REQUEST_COMMAND) {
        run_command(shard, request);
        return;
    }
    if (request->kind == REQUEST_SERVE) {
        if (!waiter_granted(shard, request->lock.stamp)) leave(shard, request, false, 0);
        return;
    }
    if (PLANTED(shard, PLANT_LOST_WAKEUP)) return;
    struct grant grant = grant_of(shard, request);
    if (request->home == shard->id)
        txn_granted(shard, request->lock.stamp, shard->id, grant);
    else
        request_tell_grant(shard, request->home, request->lock.stamp, grant);
}

static void revoked(struct shard *shard, struct request *request) {
    /* They are through some time, without waiting for anybody. */
    if (request->kind == REQUEST_HOLD || request->kind == REQUEST_COMMAND) return;
    if (request->kind == REQUEST_GUARD)
        locks_yield(shard->locks, &request->lock);
    else if (request->home == shard->id)
        txn_revoked(shard, request->lock.stamp, shard->id);
    else
        tell_revoked(shard, request);
}

static int64_t heap_now(const struct shard *shard) {
    return atomic_load_explicit(shard->account.total, memory_order_relaxed);
}

/* A thousand who stood in line for one key may each be answered 64 KiB, or store a MiB that the journal is told of. */
static bool may_settle_more(struct shard *shard, int64_t most) {
    if (UNLIKELY(account_trips(&shard->account, 0))) account_look(shard); /* from then on replies ask for room */
    return heap_now(shard) < most;
}

void requests_settle(struct shard *shard) {
    if (shard->settling) return; /* the loop below goes on with what was added */
    shard->settling = true;
    struct lock_request *lock = NULL;
    struct request *beside;
    unsigned budget = SETTLE_MAX;
    int64_t most = heap_now(shard) + SETTLE_BYTES;
    while (budget > 0) {
        if ((lock = locks_next_revoked(shard->locks))) {
            revoked(shard, (struct request *)lock);
        } else if ((lock = locks_next_granted(shard->locks))) {
            granted(shard, (struct request *)lock);
            budget = may_settle_more(shard, most) ? budget - 1 : 0;
        } else if ((beside = next_beside(shard))) {
            run_command(shard, beside);
            budget = may_settle_more(shard, most) ? budget - 1 : 0;
        } else {
            break;
        }
    }
    shard->settle_more = budget == 0;
    shard->settling = false;
}
