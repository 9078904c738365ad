/* Checkpoints: members and phases. A member tells what it is through its seat and obeys the order; shard 0's looks at
 * all seats and decides. What is decided under the lock is carried out after it was given back, since a cut may run at
 * once and comes here again. */
#include "core/num.h"
#include "persist/checkpoints_priv.h"
#include "shards/gather.h"
#include "shards/shard.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS     1000000000ull  /* how often a member tells its figures when nothing happens */
#define SAVING_NS   50000000ull    /* and while it saves: how far it is says how much space it still needs */
#define GROWN_BYTES (1ull << 20)   /* or when the journal has grown so much: with it the data may have */
#define BUSY_NS     2000000ull     /* and when something does, or is waited for */
#define PROGRESS_NS 5000000000ull  /* between lines in the log */
#define SPACE_NS    200000000ull   /* space may be there a moment later: files are being removed */
#define REFUSED_NS  60000000000ull /* between two lines about one that has no room */
#define PUT_OFF_NS  10000000000ull /* so long a cut may be put off */
#define PATIENCE_NS 3000000000ull  /* with a journal that cannot be written */

struct checkpoints *checkpoints_new(const struct checkpoints_options *options) {
    struct checkpoints *all = shared_alloc(sizeof *all);
    ASSERT(all && options->shards > 0 && options->shards <= SHARDS_MAX);
    all->shards = options->shards;
    all->boot = options->boot;
    all->dir = options->dir;
    all->log = options->log;
    all->manifest = options->manifest;
    all->number = options->manifest->checkpoint.number;
    all->save_ok = all->rewrite_ok = true;
    all->left_bytes = UINT64_MAX;
    all->saved_ms = options->now_ms;
    all->save_took_ms = all->rewrite_took_ms = -1;
    for (uint32_t i = 0; i < options->manifest->checkpoint.shards; i++)
        all->base_bytes += options->manifest->checkpoint.files[i].bytes;
    pthread_mutex_init(&all->lock, NULL);
    return all;
}

void checkpoints_delete(struct checkpoints *all) {
    pthread_mutex_destroy(&all->lock);
    shared_free(all);
}

/* --- cuts, as a member sees them --- */

static uint64_t data_bytes(const struct checkpoints_member *self) {
    return (uint64_t)MAX(heap_used(self->shard->heap, MEM_DATA), 0);
}

static void begin(struct checkpoints_member *self, const struct checkpoint_cut_order *order) {
    self->begin = self->journal.cut(self->journal.ctx, order);
    self->number = order->number;
    self->closed = self->durable = self->broken = false;
    self->changes_at_cut = self->shard->shared.dirty;
    self->data_at_cut = data_bytes(self);
    self->well_ns = self->shard->now_ns;
    checkpoint_begin(self->checkpoint, order->number, self->begin.log);
}

/* An order as the one number that travels with it. */
enum { ORDER_END = 1, ORDER_LOGS = 2, ORDER_GATES = 4 };

static void on_cut(void *ctx, uint64_t kind, uint64_t number) {
    struct checkpoints_member *self = ctx;
    struct checkpoint_cut_order order = {.kind = kind & ORDER_END ? CUT_END : CUT_BEGIN,
                                         .number = number,
                                         .logs = kind & ORDER_LOGS,
                                         .gates = kind & ORDER_GATES};
    if (self->stopped) return;
    if (order.kind == CUT_BEGIN) {
        begin(self, &order);
    } else if (self->number == number) {
        self->end = self->journal.cut(self->journal.ctx, &order);
        self->closed = true;
    }
    self->news = true;
}

static void start_cut(const struct checkpoints_member *self, enum checkpoint_cut_kind kind, uint64_t number) {
    const struct config *config = self->shard->config;
    bool gates = config->appendonly && config->appendfsync == APPENDFSYNC_ALWAYS;
    unsigned order =
        (kind == CUT_END ? ORDER_END : 0u) | (config->appendonly ? ORDER_LOGS : 0u) | (gates ? ORDER_GATES : 0u);
    char order_text[NUM_U64_MAX], number_text[NUM_U64_MAX];
    struct slice argv[] = {SLICE("sherd.cut"), slice_of(order_text, num_format_u64(order_text, order)),
                           slice_of(number_text, num_format_u64(number_text, number))};
    gather_start_own(self->shard, argv, ARRAY_LEN(argv));
}

/* --- birth and death of a member --- */

struct checkpoints_member *checkpoints_join(struct checkpoints *all, const struct checkpoints_member_options *options) {
    struct shard *shard = options->file.shard;
    ASSERT(shard->count == all->shards);
    struct checkpoints_member *self = heap_alloc_zero(shard->heap, MEM_STATS, sizeof *self);
    self->all = all;
    self->shard = shard;
    self->journal = options->journal;
    self->checkpoint = checkpoint_new(&options->file);
    self->save_ok = true;
    shard->cutter = (struct shard_cutter){.ctx = self, .cut = on_cut};
    return self;
}

void checkpoints_leave(struct checkpoints_member *self) {
    ASSERT(checkpoints_idle(self));
    struct shard *shard = self->shard;
    shard->cutter = (struct shard_cutter){0};
    checkpoint_delete(self->checkpoint);
    heap_free(shard->heap, MEM_STATS, self, sizeof *self);
}

/* Of shard 0's, on the background thread. */
static bool has_job(const struct checkpoints *all) {
    return all->phase == PHASE_PREPARING || all->phase == PHASE_PUBLISHING;
}

bool checkpoints_idle(const struct checkpoints_member *self) {
    struct checkpoint_facts facts;
    checkpoint_read_facts(self->checkpoint, &facts);
    return facts.state == CHECKPOINT_IDLE && (self->shard->id != 0 || !has_job(self->all));
}

static void remove_file(struct checkpoints_member *self) {
    checkpoint_drop(self->checkpoint);
    if (self->number) self->journal.gave_up(self->journal.ctx);
    self->number = 0;
}

void checkpoints_stop(struct checkpoints_member *self) {
    struct checkpoints *all = self->all;
    self->stopped = true;
    pthread_mutex_lock(&all->lock);
    all->stopping = true;
    bool publishing = all->phase == PHASE_PUBLISHING || all->phase == PHASE_ENDING;
    pthread_mutex_unlock(&all->lock);
    if (!publishing) remove_file(self);
}

/* --- telling and obeying --- */

static void wake_others(const struct checkpoints_member *self) {
    const struct shard *shard = self->shard;
    for (uint32_t i = 0; i < shard->count; i++)
        if (i != shard->id) shard->host.wake(shard->host.ctx, i);
}

static void tell(struct checkpoints_member *self, const struct checkpoints_turn *turn, struct seat *seat) {
    checkpoint_read_facts(self->checkpoint, &seat->facts);
    seat->begun = self->number;
    seat->closed = self->closed;
    seat->durable = self->durable;
    seat->broken = self->broken;
    seat->begin = self->begin;
    seat->end = self->end;
    seat->changes = self->shard->shared.dirty;
    seat->changes_at_cut = self->changes_at_cut;
    seat->journal_bytes = turn->journal_bytes;
    seat->works = turn->works;
    seat->data_bytes = data_bytes(self);
    seat->data_at_cut = self->data_at_cut;
    self->told = seat->facts.state;
    self->told_bytes = turn->journal_bytes;
    self->news = false;
}

static void obey(struct checkpoints_member *self, enum order order) {
    if (self->number == 0 || order == ORDER_NONE) return;
    if (order == ORDER_REMOVE) {
        remove_file(self);
    } else {
        checkpoint_keep(self->checkpoint);
        if (order == ORDER_KEEP)
            self->journal.drop_before(self->journal.ctx, self->begin.segment);
        else
            self->journal.leave(self->journal.ctx);
        self->number = 0;
    }
    self->news = true;
}

static void look(struct checkpoints_member *self, const struct checkpoints_turn *turn) {
    struct checkpoints *all = self->all;
    bool news = self->news;
    pthread_mutex_lock(&all->lock);
    tell(self, turn, &all->seats[self->shard->id]);
    self->seen_orders = atomic_load_explicit(&all->orders, memory_order_relaxed);
    self->seen_tidings = atomic_load_explicit(&all->tidings, memory_order_relaxed) + news;
    atomic_fetch_add_explicit(&all->tidings, news, memory_order_relaxed);
    self->save_ok = all->save_ok;
    enum order order = all->number == self->number ? all->order : ORDER_NONE;
    pthread_mutex_unlock(&all->lock);
    self->look_ns = turn->now_ns + (self->number ? SAVING_NS : LOOK_NS);
    obey(self, order);
    if (news && self->shard->id != 0) self->shard->host.wake(self->shard->host.ctx, 0);
}

/* --- phases: under the lock, on shard 0 --- */

static bool every(const struct checkpoints *all, bool (*is)(const struct checkpoints *all, const struct seat *seat)) {
    for (uint32_t i = 0; i < all->shards; i++)
        if (!is(all, &all->seats[i])) return false;
    return true;
}
static bool any_in(const struct checkpoints *all, enum checkpoint_state state) {
    for (uint32_t i = 0; i < all->shards; i++)
        if (all->seats[i].begun == all->number && all->seats[i].facts.state == state) return true;
    return false;
}
static bool any_broken(const struct checkpoints *all) {
    for (uint32_t i = 0; i < all->shards; i++)
        if (all->seats[i].broken) return true;
    return false;
}
static bool has_begun(const struct checkpoints *all, const struct seat *seat) {
    return seat->begun == all->number;
}
static bool is_settled(const struct checkpoints *all, const struct seat *seat) {
    enum checkpoint_state state = seat->facts.state;
    return has_begun(all, seat) && (state == CHECKPOINT_ENDING || state == CHECKPOINT_SAVED);
}
static bool is_saved(const struct checkpoints *all, const struct seat *seat) {
    return has_begun(all, seat) && seat->facts.state == CHECKPOINT_SAVED;
}
static bool is_durable(const struct checkpoints *all, const struct seat *seat) {
    return is_saved(all, seat) && seat->closed && seat->durable;
}
static bool is_out(const struct checkpoints *all, const struct seat *seat) {
    (void)all;
    return seat->begun == 0 && seat->facts.state == CHECKPOINT_IDLE;
}

static const char *why_text(enum checkpoint_why why) {
    static const char *const texts[] = {"SAVE",
                                        "BGSAVE",
                                        "BGREWRITEAOF",
                                        "a save rule",
                                        "the journal has grown",
                                        "the disk is nearly full",
                                        "the server ends",
                                        "EXPORT"};
    return texts[why];
}

static void start(struct checkpoints *all, const struct checkpoints_member *self) {
    all->number = MAX(all->number + 1, all->manifest->next);
    all->phase = PHASE_PREPARING;
    all->order = ORDER_NONE;
    all->tight = false; /* it has been heard */
    if (!all->again) all->started_ms = self->shard->now_ms;
    all->again = false;
    all->progress_ns = self->now_ns + PROGRESS_NS;
    log_line(all->log, LOG_LEVEL_NOTICE, "Checkpoint %llu starts (%s)", (unsigned long long)all->number,
             why_text(all->now.why));
}

static void sum_facts(const struct checkpoints *all, uint64_t *keys, uint64_t *total, uint64_t *bytes) {
    *keys = *total = *bytes = 0;
    for (uint32_t i = 0; i < all->shards; i++) {
        const struct seat *seat = &all->seats[i];
        *keys += seat->facts.keys;
        *total += seat->facts.keys_total;
        *bytes += seat->facts.bytes;
    }
}

static void undo(struct checkpoints *all, bool again) {
    all->again = again;
    all->phase = PHASE_UNDOING;
    all->order = ORDER_REMOVE;
}

/* A failure is told with the first reason that a shard has. */
static void fail(struct checkpoints *all) {
    int os_errno = 0;
    uint32_t shard = 0;
    for (uint32_t i = 0; i < all->shards && !os_errno; i++)
        if (all->seats[i].facts.state == CHECKPOINT_FAILED) os_errno = all->seats[i].facts.os_errno, shard = i;
    char reason[128] = "its journal cannot be written";
    if (os_errno) snprintf(reason, sizeof reason, "%s", strerrordesc_np(os_errno));
    log_line(all->log, LOG_LEVEL_WARNING, "Checkpoint %llu failed on shard %u: %s. Its files are removed",
             (unsigned long long)all->number, shard, reason);
    undo(all, false);
}

static void log_progress(struct checkpoints *all, uint64_t now_ns) {
    if (now_ns < all->progress_ns) return;
    all->progress_ns = now_ns + PROGRESS_NS;
    uint64_t keys, total, bytes;
    sum_facts(all, &keys, &total, &bytes);
    log_line(all->log, LOG_LEVEL_NOTICE, "Checkpoint %llu: %llu of about %llu keys, %llu bytes",
             (unsigned long long)all->number, (unsigned long long)keys, (unsigned long long)MAX(total, keys),
             (unsigned long long)bytes);
}

/* The one that was under way is decided. */
static void decide(struct checkpoints *all, const struct checkpoints_member *self, bool ok) {
    int64_t took_ms = (int64_t)(self->shard->now_ms - all->started_ms);
    bool rewrite = why_is_rewrite(all->now.why);
    *(rewrite ? &all->rewrite_ok : &all->save_ok) = ok;
    *(rewrite ? &all->rewrite_took_ms : &all->save_took_ms) = took_ms;
    if (rewrite) all->rewrites_failed = ok ? 0 : all->rewrites_failed + 1;
    if (ok) *(rewrite ? &all->rewrites : &all->saves) += 1;
    all->over = all->now.ticket;
    all->over_ok = ok;
    all->now = all->next;
    all->next = (struct request_of_one){0};
    if (!ok) all->try_ns = self->now_ns + CHECKPOINT_RETRY_NS;
}

static void complete(struct checkpoints *all, const struct checkpoints_member *self) {
    uint64_t keys, total, bytes, changes = 0, data = 0;
    sum_facts(all, &keys, &total, &bytes);
    for (uint32_t i = 0; i < all->shards; i++) {
        const struct seat *seat = &all->seats[i];
        changes += seat->changes_at_cut;
        data += seat->data_at_cut / 2 + seat->data_bytes / 2; /* its keys were seen one by one in between */
    }
    all->changes_saved = changes;
    all->base_bytes = bytes;
    all->base_data = data;
    all->base_rate = (double)bytes * 1000 /
                     (double)MAX((uint64_t)1, self->shard->now_ms - MIN(self->shard->now_ms, all->started_ms));
    all->saved_ms = self->shard->now_ms;
    log_line(all->log, LOG_LEVEL_NOTICE, "Checkpoint %llu is complete: %llu keys, %llu bytes, %.1f seconds",
             (unsigned long long)all->number, (unsigned long long)keys, (unsigned long long)bytes,
             (double)(all->saved_ms - all->started_ms) / 1000);
}

static void published(void *ctx, bool ok, const struct error *error) {
    struct checkpoints_member *self = ctx;
    struct checkpoints *all = self->all;
    pthread_mutex_lock(&all->lock);
    if (ok)
        complete(all, self);
    else
        log_line(all->log, LOG_LEVEL_WARNING, "Checkpoint %llu: %s", (unsigned long long)all->number, error->text);
    all->order = ok ? ORDER_KEEP : ORDER_LEAVE;
    all->phase = PHASE_ENDING;
    atomic_fetch_add_explicit(&all->orders, 1, memory_order_relaxed);
    decide(all, self, ok);
    pthread_mutex_unlock(&all->lock);
    wake_others(self);
}

static void prepared(void *ctx, bool ok, const struct error *error) {
    struct checkpoints_member *self = ctx;
    struct checkpoints *all = self->all;
    pthread_mutex_lock(&all->lock);
    bool goes_on = ok && !all->stopping;
    if (!ok) log_line(all->log, LOG_LEVEL_WARNING, "Checkpoint %llu: %s", (unsigned long long)all->number, error->text);
    if (!goes_on) decide(all, self, false);
    all->phase = goes_on ? PHASE_CUTTING : PHASE_IDLE;
    uint64_t number = all->number;
    pthread_mutex_unlock(&all->lock);
    if (goes_on) start_cut(self, CUT_BEGIN, number);
}

enum action { ACT_NOTHING, ACT_PREPARE, ACT_CUT_END, ACT_PUBLISH };

/* It would not come to its end, and what it had written until then would be missing elsewhere. The last save of a
 * server is tried all the same. */
static bool refuse(struct checkpoints *all, const struct checkpoints_member *self, enum checkpoint_why why) {
    uint64_t expected = checkpoints_expected(all);
    bool asked = all->now.wanted;
    if (why == WHY_END || expected <= all->left_bytes) return false;
    if (asked || !all->refused_ns || self->now_ns - all->refused_ns >= REFUSED_NS) {
        all->refused_ns = self->now_ns;
        log_line(all->log, LOG_LEVEL_WARNING,
                 "No checkpoint is begun (%s): %s. It would take about %llu bytes, and may have %llu (disk-budget)",
                 why_text(why), strerrordesc_np(ENOSPC), (unsigned long long)expected,
                 (unsigned long long)all->left_bytes);
    }
    if (asked)
        decide(all, self, false);
    else
        all->try_ns = self->now_ns + (why == WHY_SPACE ? SPACE_NS : CHECKPOINT_RETRY_NS);
    return true;
}

/* A cut waits for commands that keep their keys for a while, and everybody else waits for the cut. So it is better put
 * off until there are none, though not for ever. */
static bool puts_off(struct checkpoints *all, const struct checkpoints_member *self) {
    bool works = false;
    for (uint32_t i = 0; i < all->shards; i++) works |= all->seats[i].works;
    if (works && !all->put_off_ns) all->put_off_ns = self->now_ns;
    if (works && self->now_ns - all->put_off_ns < PUT_OFF_NS) return true;
    all->put_off_ns = 0;
    return false;
}

static enum action while_idle(struct checkpoints *all, const struct checkpoints_member *self) {
    enum checkpoint_why why;
    if (all->stopping) return ACT_NOTHING;
    if (!all->now.wanted && self->now_ns >= all->try_ns &&
        checkpoints_due(all, self->shard->config, self->shard->now_ms, &why) &&
        (why == WHY_SPACE || !puts_off(all, self)) && !refuse(all, self, why))
        all->now = (struct request_of_one){.wanted = true, .why = why, .ticket = ++all->tickets};
    if (!all->now.wanted || refuse(all, self, all->now.why)) return ACT_NOTHING;
    start(all, self);
    return ACT_PREPARE;
}

static enum action while_saving(struct checkpoints *all, const struct checkpoints_member *self) {
    log_progress(all, self->now_ns);
    if (!every(all, has_begun)) return ACT_NOTHING; /* the cut is under way: it cannot be called back */
    if (any_in(all, CHECKPOINT_OVERTAKEN)) {
        log_line(all->log, LOG_LEVEL_NOTICE, "Checkpoint %llu begins anew: a whole database was emptied or exchanged",
                 (unsigned long long)all->number);
        undo(all, true);
    } else if (any_in(all, CHECKPOINT_FAILED) || any_broken(all)) {
        fail(all);
    } else if (every(all, is_settled)) {
        if (puts_off(all, self)) return ACT_NOTHING;
        all->phase = PHASE_CLOSING;
        return ACT_CUT_END;
    } else {
        all->phase = PHASE_SAVING;
    }
    return ACT_NOTHING;
}

static bool is_closed(const struct checkpoints *all, const struct seat *seat) {
    return has_begun(all, seat) && seat->closed;
}

static enum action while_closing(struct checkpoints *all) {
    if (all->stopping) return ACT_NOTHING; /* a member that left has removed its file */
    if (every(all, is_durable)) {
        all->phase = PHASE_PUBLISHING;
        return ACT_PUBLISH;
    }
    if (!every(all, is_closed)) return ACT_NOTHING; /* the cut is under way: it cannot be called back */
    if (any_in(all, CHECKPOINT_FAILED) || any_broken(all)) fail(all);
    return ACT_NOTHING;
}

static void while_undoing(struct checkpoints *all, const struct checkpoints_member *self) {
    if (!every(all, is_out)) return;
    if (!all->again) decide(all, self, false);
    all->phase = PHASE_IDLE;
}

static enum action next_action(struct checkpoints *all, const struct checkpoints_member *self) {
    switch (all->phase) {
    case PHASE_IDLE: return while_idle(all, self);
    case PHASE_CUTTING:
    case PHASE_SAVING: return while_saving(all, self);
    case PHASE_CLOSING: return while_closing(all);
    case PHASE_PREPARING:
    case PHASE_PUBLISHING: return ACT_NOTHING;
    case PHASE_ENDING:
        if (every(all, is_out)) all->phase = PHASE_IDLE;
        return ACT_NOTHING;
    case PHASE_UNDOING: while_undoing(all, self); return ACT_NOTHING;
    }
    return ACT_NOTHING;
}

/* True: something was started that goes on with the next turn. */
static bool lead(struct checkpoints_member *self) {
    struct checkpoints *all = self->all;
    pthread_mutex_lock(&all->lock);
    enum order order = all->order;
    enum phase phase = all->phase;
    enum action action = next_action(all, self);
    uint64_t number = all->number;
    bool moved = all->phase != phase || all->order != order;
    if (moved) atomic_fetch_add_explicit(&all->orders, 1, memory_order_relaxed);
    pthread_mutex_unlock(&all->lock);
    if (moved) wake_others(self);
    switch (action) {
    case ACT_NOTHING: return moved;
    case ACT_PREPARE: checkpoints_prepare(self, prepared); return false;
    case ACT_CUT_END: start_cut(self, CUT_END, number); return true;
    case ACT_PUBLISH: checkpoints_publish(self, published); return false;
    }
    return moved;
}

/* --- the turn --- */

/* A journal that cannot be written may want the very space that the new files take; and one that is there for this
 * checkpoint alone is nobody else's business. */
static void follow_journal(struct checkpoints_member *self, const struct checkpoints_turn *turn) {
    if (self->durable || self->broken) return;
    if (self->closed && turn->batch_durable >= self->end.batch) {
        self->durable = self->news = true;
        return;
    }
    if (!turn->journal_errno) self->well_ns = turn->now_ns;
    if (turn->now_ns - self->well_ns < PATIENCE_NS) return;
    self->broken = self->news = true;
}

/* Relaxed: who was called by them was woken, too, and what they stand for is read under the lock. */
static bool is_called(const struct checkpoints_member *self) {
    const struct checkpoints *all = self->all;
    return atomic_load_explicit(&all->orders, memory_order_relaxed) != self->seen_orders ||
           (self->shard->id == 0 && atomic_load_explicit(&all->tidings, memory_order_relaxed) != self->seen_tidings);
}

bool checkpoints_turn(struct checkpoints_member *self, const struct checkpoints_turn *turn) {
    self->now_ns = turn->now_ns;
    struct checkpoint_turn own = {.batch = turn->batch, .log = turn->journal_bytes, .busy = turn->busy};
    bool more = checkpoint_turn(self->checkpoint, &own);
    if (UNLIKELY(self->number != 0)) follow_journal(self, turn);
    self->news |= checkpoint_state(self->checkpoint) != self->told;
    bool quiet = turn->now_ns < self->look_ns && turn->journal_bytes - self->told_bytes < GROWN_BYTES;
    if (LIKELY(!self->news && !is_called(self) && quiet)) return more;
    look(self, turn);
    if (self->shard->id == 0) more |= lead(self);
    return more;
}

bool checkpoints_save_ok(const struct checkpoints_member *self) {
    return self->save_ok;
}

uint64_t checkpoints_wait_ns(const struct checkpoints_member *self, uint64_t now_ns) {
    if (self->news) return 0;
    if (self->number != 0 || self->told != CHECKPOINT_IDLE) return BUSY_NS;
    return self->look_ns - MIN(self->look_ns, now_ns);
}
