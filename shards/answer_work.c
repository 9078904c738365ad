/* A reply that is there already is what clients hold, so whether there is room for it is whether they hold too much. */
#include "shards/answer_work.h"
#include "core/num.h"
#include "shards/admit.h"
#include "shards/hash_value.h"
#include "shards/work.h"

#define NO_ROOM "OOM no room for so large a reply under 'maxmemory': ask for less of it at once."

struct answer_work {
    struct work work; /* first: it is cast back */
    bool again;       /* it has run before, and counted */
};

static bool answer(struct exec *x, struct work *of) {
    const struct answer_work *work = (const struct answer_work *)of;
    uint64_t hits = x->shard->shared.hits, misses = x->shard->shared.misses;
    x->flags |= CLIENT_NO_BLOCK; /* a key whose time is over meanwhile is not waited for again */
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
    struct answer_work *made = work_new(x, sizeof *made, (struct work){.some = answer, .expects = bytes});
    made->again = again;
    work_begin(x, &made->work);
    return true;
}

static bool is_large(const struct exec *x, uint64_t bytes) {
    return bytes > (x->shard->account.crowded ? ADMIT_SMALL : ADMIT_LARGE);
}

/* On a client's behalf, all of it here. What a blocked client is served with is its own, unless it is a stream's. */
static bool may_wait(const struct exec *x) {
    const struct command *row = x->slot->row;
    bool blocking = row->flags & CMD_BLOCKING, stays = row->flags & CMD_READ || row->answers;
    bool served = x->slice && !(x->flags & CLIENT_STEP) && blocking && !stays;
    bool own = x->client && !x->client->carrier;
    bool internal = row->flags & CMD_INTERNAL && !blocking; /* a part, not a blocked client's */
    bool whole = !internal && !(row->flags & CMD_SLICED) && !x->elements;
    return whole && !served && !own && !(x->flags & (CLIENT_LOADER | CLIENT_NO_BLOCK));
}

static const struct entry *peek(const struct exec *x, uint32_t at) {
    struct key_ref ref;
    struct keyspace *keys = at < x->argc ? shard_db_peek(x->shard, x->db) : NULL;
    return keys ? keyspace_open(keys, x->argv[at], exec_hash(x, at), &ref) : NULL;
}

const struct entry *answer_peek(const struct exec *x, uint32_t at, enum value_type type) {
    const struct entry *entry = peek(x, at);
    return entry && entry->type == type ? entry : NULL;
}

struct exec answer_asked(const struct exec *x, struct buf *unseen) {
    struct exec asked = *x;
    buf_init(unseen, x->shard->heap, MEM_MESSAGE);
    asked.out = unseen;
    asked.part = true; /* errors are not counted */
    return asked;
}

static uint64_t string_bytes(const struct exec *x, uint32_t at) {
    const struct entry *entry = answer_peek(x, at, TYPE_STRING);
    return entry ? entry_string_len(entry) : 0;
}

uint64_t answer_string_bytes(const struct exec *x) {
    return x->hash_at ? string_bytes(x, x->hash_at) : 0;
}

static uint64_t key_bytes(const struct exec *x, uint32_t at) {
    const struct entry *entry = peek(x, at);
    return entry ? entry_bytes(entry) : 0;
}

uint64_t answer_key_bytes(const struct exec *x) {
    return x->hash_at ? key_bytes(x, x->hash_at) : 0;
}

uint64_t answer_strings_bytes(const struct exec *x, uint32_t first) {
    uint64_t bytes = 0;
    for (uint32_t at = first; at < x->argc; at++) bytes += string_bytes(x, at);
    return bytes;
}

uint64_t answer_fields_bytes(const struct exec *x) {
    const struct entry *entry = answer_peek(x, 1, TYPE_HASH);
    struct packed_value value;
    uint64_t bytes = 0;
    for (uint32_t at = 2; entry && at < x->argc; at++)
        if (hash_get(entry, x->argv[at], &value) && !value.is_int) bytes += value.text.len;
    return bytes;
}

uint64_t answer_drawn_bytes(const struct exec *x, enum value_type type, uint64_t (*len)(const struct entry *)) {
    const struct entry *entry = answer_peek(x, 1, type);
    int64_t count = 1;
    if (!entry || (x->argc > 2 && (!num_parse_i64(x->argv[2], &count) || count < -ANSWER_DRAWN_MAX))) return 0;
    uint64_t all = len(entry);
    return answer_some_bytes(entry, count < 0 ? (uint64_t)-count : MIN((uint64_t)count, all), all);
}

uint64_t answer_join_bytes(const struct exec *x, enum join_operation operation, uint32_t first, uint32_t count) {
    uint64_t bytes = key_bytes(x, first);
    for (uint32_t at = first + 1; at < first + count && operation != JOIN_DIFF; at++) {
        uint64_t more = key_bytes(x, at);
        bytes = operation == JOIN_UNION ? bytes + more : MIN(bytes, more);
    }
    return bytes;
}

const char *answer_refusal(const struct command *row) {
    return row->flags & CMD_ENDS_MULTI ? "EXECABORT Transaction discarded because of: " NO_ROOM : NO_ROOM;
}

uint32_t answer_of_part_slow(const struct exec *x) {
    const struct ledger *ledger = x->shard->account.shared;
    uint64_t bytes = x->slot->row->answers(x);
    return bytes > ledger->answer_large ? (uint32_t)MIN(bytes, (uint64_t)UINT32_MAX) : 0;
}

bool answer_waits_slow(struct exec *x) {
    if (!may_wait(x)) return false;
    uint64_t bytes = x->slot->row->answers(x);
    return is_large(x, bytes) && !admit_answer(x->shard, bytes) && begin(x, bytes, false);
}

bool answer_waits_for_slow(struct exec *x, uint64_t bytes) {
    if (!is_large(x, bytes) || !may_wait(x) || admit_answer(x->shard, bytes) || !begin(x, bytes, true)) return false;
    buf_cut(x->out, x->mark);
    return true;
}

uint64_t answer_some_bytes(const struct entry *entry, uint64_t some, uint64_t all) {
    return (uint64_t)((double)entry_bytes(entry) * (double)some / (double)MAX(all, 1u));
}

bool answer_waits_for_some_slow(struct exec *x, const struct entry *entry, uint64_t some, uint64_t all) {
    return answer_waits_for(x, answer_some_bytes(entry, some, all));
}

void answer_may_be_large(struct exec *x) {
    uint64_t bytes = x->out->len - x->mark;
    const struct command *row = x->slot->row;
    bool done = !x->again && !x->blocks && !x->failed, only_reads = row->flags & CMD_READ && row->where != ON_CONN;
    if (bytes <= ADMIT_LARGE || !done || !only_reads || !may_wait(x)) return;
    if (!admit_answer(x->shard, 0) && begin(x, bytes, true)) buf_cut(x->out, x->mark);
}
