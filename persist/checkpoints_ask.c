/* Checkpoints: who wants one, and what INFO says of them. Save rules count changes and the time since the last; growth
 * compares the journal since the last cut with the files from there, as Redis compares its log with its base. */
#include "persist/checkpoints_priv.h"
#include "shards/shard.h"

/* --- asking --- */

static enum checkpoint_answer refuse(const struct checkpoints *all) {
    return why_is_rewrite(all->now.why) ? ANSWER_REWRITING : ANSWER_SAVING;
}

static enum checkpoint_answer ask(struct checkpoints *all, enum checkpoint_why why, bool schedule, uint64_t *ticket) {
    struct request_of_one *place = all->now.wanted ? &all->next : &all->now;
    bool follows = why == WHY_END || why == WHY_EXPORT;
    bool same = all->now.wanted && why_is_rewrite(all->now.why) == why_is_rewrite(why) && !follows;
    if (ticket) *ticket = all->now.ticket;
    if (same || (all->now.wanted && !schedule)) return refuse(all);
    if (!place->wanted) *place = (struct request_of_one){.wanted = true, .why = why, .ticket = ++all->tickets};
    if (ticket) *ticket = place->ticket;
    return place == &all->now ? ANSWER_STARTED : ANSWER_SCHEDULED;
}

enum checkpoint_answer checkpoints_ask(struct checkpoints *all, struct shard *from, enum checkpoint_why why,
                                       bool schedule, uint64_t *ticket) {
    pthread_mutex_lock(&all->lock);
    enum checkpoint_answer answer = ask(all, why, schedule, ticket);
    atomic_fetch_add_explicit(&all->tidings, 1, memory_order_relaxed);
    pthread_mutex_unlock(&all->lock);
    if (from->id != 0) from->host.wake(from->host.ctx, 0);
    return answer;
}

uint64_t checkpoints_ask_then(struct checkpoints *all, struct shard *from, struct checkpoint_sequel sequel) {
    uint64_t ticket;
    pthread_mutex_lock(&all->lock);
    enum checkpoint_answer answer = ask(all, WHY_EXPORT, true, &ticket);
    struct request_of_one *place = answer == ANSWER_STARTED ? &all->now : &all->next;
    ASSERT(place->ticket == ticket && !place->sequel.work);
    place->sequel = sequel;
    atomic_fetch_add_explicit(&all->tidings, 1, memory_order_relaxed);
    pthread_mutex_unlock(&all->lock);
    if (from->id != 0) from->host.wake(from->host.ctx, 0);
    return ticket;
}

enum checkpoint_outcome checkpoints_outcome(struct checkpoints *all, uint64_t ticket) {
    pthread_mutex_lock(&all->lock);
    enum checkpoint_outcome outcome = all->over < ticket ? OUTCOME_PENDING : all->over_ok ? OUTCOME_OK : OUTCOME_FAILED;
    pthread_mutex_unlock(&all->lock);
    return outcome;
}

/* --- rules --- */

uint64_t checkpoints_changes(const struct checkpoints *all) {
    uint64_t changes = 0;
    for (uint32_t i = 0; i < all->shards; i++) changes += all->seats[i].changes;
    return changes - MIN(changes, all->changes_saved);
}

static uint64_t journal_bytes(const struct checkpoints *all) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < all->shards; i++) bytes += all->seats[i].journal_bytes;
    return bytes;
}

static bool rule_fits(const struct checkpoints *all, const struct config *config, uint64_t now_ms) {
    uint64_t changes = checkpoints_changes(all), seconds = (now_ms - MIN(now_ms, all->saved_ms)) / 1000;
    const struct config_save *save = &config->save;
    /* Writes are refused since one failed: nobody else may come to end that. Not at once again: try_ns. */
    if (save->count > 0 && config->stop_writes_on_bgsave_error && !all->save_ok) return true;
    for (unsigned i = 0; i < save->count && changes > 0; i++)
        if (changes >= (uint64_t)save->rules[i].changes && seconds >= (uint64_t)save->rules[i].seconds) return true;
    return false;
}

uint64_t checkpoints_expected(const struct checkpoints *all) {
    uint64_t data = 0;
    for (uint32_t i = 0; i < all->shards; i++) data += all->seats[i].data_bytes;
    if (!all->base_data || !data) return all->base_bytes; /* loaded, and none since */
    return (uint64_t)((double)all->base_bytes * MAX(1.0, (double)data / (double)all->base_data));
}

void checkpoints_set_room(struct checkpoints *all, uint64_t left_bytes, bool tight) {
    pthread_mutex_lock(&all->lock);
    all->left_bytes = left_bytes;
    all->tight = tight;
    atomic_fetch_add_explicit(&all->tidings, tight, memory_order_relaxed);
    pthread_mutex_unlock(&all->lock);
}

static bool has_grown(const struct checkpoints *all, const struct config *config) {
    if (!config->appendonly || config->auto_aof_rewrite_percentage <= 0) return false;
    uint64_t grown = journal_bytes(all), base = MAX(all->base_bytes, 1ull);
    return base + grown > config->auto_aof_rewrite_min_size &&
           (double)grown * 100 >= (double)base * config->auto_aof_rewrite_percentage;
}

bool checkpoints_due(const struct checkpoints *all, const struct config *config, uint64_t now_ms,
                     enum checkpoint_why *why) {
    *why = WHY_RULE;
    if (rule_fits(all, config, now_ms)) return true;
    *why = WHY_GROWTH;
    if (has_grown(all, config)) return true;
    *why = WHY_SPACE;
    return config->appendonly && all->tight;
}

/* --- INFO --- */

static int64_t seconds_of(int64_t ms) {
    return ms < 0 ? -1 : ms / 1000;
}

static void read_status(const struct checkpoints *all, uint64_t now_ms, struct checkpoints_status *out) {
    bool rewrite = all->now.wanted && why_is_rewrite(all->now.why);
    bool next_rewrite = all->next.wanted && why_is_rewrite(all->next.why);
    int64_t current_s = all->phase == PHASE_IDLE ? 0 : (int64_t)(now_ms - MIN(now_ms, all->started_ms)) / 1000;
    *out = (struct checkpoints_status){
        .saving = all->now.wanted && !rewrite,
        .rewriting = rewrite,
        .save_scheduled = all->next.wanted && !next_rewrite,
        .rewrite_scheduled = next_rewrite,
        .last_save_ok = all->save_ok,
        .last_rewrite_ok = all->rewrite_ok,
        .last_save_time_s = (int64_t)(all->saved_ms / 1000),
        .last_save_took_s = seconds_of(all->save_took_ms),
        .last_rewrite_took_s = seconds_of(all->rewrite_took_ms),
        .saves = all->saves,
        .rewrites = all->rewrites,
        .rewrites_failed_in_a_row = all->rewrites_failed,
        .number = all->number,
        .changes = checkpoints_changes(all),
        .changes_saved = all->changes_saved,
        .base_bytes = all->base_bytes,
        .journal_bytes = journal_bytes(all),
        .expected_bytes = checkpoints_expected(all),
        .rate = all->base_rate,
        .seconds = all->phase == PHASE_IDLE ? 0 : (double)(now_ms - MIN(now_ms, all->started_ms)) / 1000,
        .shards = all->shards,
    };
    out->current_save_s = out->saving ? current_s : -1;
    out->current_rewrite_s = out->rewriting ? current_s : -1;
    for (uint32_t i = 0; i < all->shards; i++) {
        const struct checkpoint_facts *facts = &all->seats[i].facts;
        out->shard[i] = (struct checkpoints_shard_status){facts->state, facts->keys, facts->keys_total, facts->bytes};
        if (!all->now.wanted || all->seats[i].begun != all->number) continue; /* else they are of the one before */
        out->bytes += facts->bytes;
        out->keys += facts->keys;
        out->keys_total += facts->keys_total;
    }
}

void checkpoints_read_status(struct checkpoints *all, uint64_t now_ms, struct checkpoints_status *out) {
    pthread_mutex_lock(&all->lock);
    read_status(all, now_ms, out);
    pthread_mutex_unlock(&all->lock);
}
