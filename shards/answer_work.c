/* A reply that is there already is what clients hold, so whether there is room for it is whether they hold too much. */
#include "shards/answer_work.h"
#include "shards/admit.h"
#include "shards/work.h"

struct answer_work {
    struct work work; /* first: it is cast back */
    uint64_t bytes, since_ms;
    bool again; /* it has run before, and counted */
};

static bool is_ready(struct shard *shard, const struct work *of) {
    const struct answer_work *work = (const struct answer_work *)of;
    return admit_answer(shard, work->bytes, work->since_ms);
}

static bool answer(struct exec *x, struct work *of) {
    const struct answer_work *work = (const struct answer_work *)of;
    uint64_t hits = x->shard->shared.hits, misses = x->shard->shared.misses;
    command_at(x->shard->registry, x->slot->number)->row->run(x);
    if (work->again) x->shard->shared.hits = hits;
    if (work->again) x->shard->shared.misses = misses;
    return false;
}

/* again: its handler has run. */
static bool begin(struct exec *x, uint64_t bytes, bool again) {
    uint32_t flags = x->flags;
    if (!work_takes_turns(x)) return false;
    if (!again) x->flags = flags;
    if (!work_begins(x)) return true;
    struct answer_work *made = work_new(x, sizeof *made, (struct work){.some = answer, .ready = is_ready});
    made->bytes = bytes;
    made->since_ms = MAX(x->shard->now_ms, (uint64_t)1);
    made->again = again;
    work_begin(x, &made->work);
    return true;
}

/* On a client's behalf, all of it here; what a blocked client is served with is its own. */
static bool may_wait(const struct exec *x) {
    const struct command *row = x->slot->row;
    bool served = x->slice && !(x->flags & CLIENT_STEP) && row->flags & CMD_BLOCKING;
    bool own = x->client && !x->client->carrier;
    bool whole = !(row->flags & (CMD_INTERNAL | CMD_SLICED)) && !x->elements;
    return whole && !served && !own && !(x->flags & CLIENT_LOADER);
}

uint64_t answer_string_bytes(const struct exec *x) {
    struct key_ref ref;
    struct keyspace *keys = x->hash_at ? shard_db_peek(x->shard, x->db) : NULL;
    const struct entry *entry = keys ? keyspace_open(keys, x->argv[x->hash_at], x->hash, &ref) : NULL;
    return entry && entry->type == TYPE_STRING ? entry_string_len(entry) : 0;
}

bool answer_waits_slow(struct exec *x) {
    const struct command *row = x->slot->row;
    if (!row->answers || !may_wait(x)) return false;
    uint64_t bytes = row->answers(x);
    return bytes > ADMIT_LARGE && !admit_answer(x->shard, bytes, 0) && begin(x, bytes, false);
}

void answer_may_be_large(struct exec *x) {
    uint64_t bytes = x->out->len - x->mark;
    const struct command *row = x->slot->row;
    bool done = !x->again && !x->blocks && !x->failed, only_reads = row->flags & CMD_READ && row->where != ON_CONN;
    if (bytes <= ADMIT_LARGE || !done || !only_reads || !may_wait(x)) return;
    if (!admit_answer(x->shard, 0, 0) && begin(x, bytes, true)) buf_cut(x->out, x->mark);
}
