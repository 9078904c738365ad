/* Admission. The order of means: what is granted already, what is free, what the reaper and the slab have to give back,
 * keys that the policy may evict. Only then somebody waits or is refused. */
#include "shards/admit.h"
#include "core/assert.h"
#include "shards/client_limits.h"
#include "shards/defrag.h"
#include "shards/evict.h"
#include "shards/exec.h"
#include "shards/multi.h"
#include "shards/reaper.h"
#include "shards/route.h"
#include "shards/set.h"
#include "shards/work.h"
#include "shards/zset.h"

#define PIECE_WAIT_MS 1000           /* a piece of a value under way waits for room */
#define AHEAD_BYTES   (16 * 1024)    /* evicted beyond what is asked for, so that the next ones need not ask */
#define STRING_LIMIT  (512ull << 20) /* no string is longer; who asks for more is told so when it runs */
#define EVICT_KEYS    64             /* per round */
#define EVICT_TRIES   4              /* rounds for one command */
#define REAP_UNITS    4              /* before anybody is refused */
#define UNSEEN_BYTES  (1024 * 1024)  /* evicted at the most for what was announced and has not come */
#define SMALL_PART    4   /* small replies may take so much more than large ones beyond the ceiling: a part of it */
#define TOLD_COPIES   3   /* of what is told at once: as arguments, as a group, which may move, and in the journal */
#define SHORT_COMMAND 128 /* bytes of one that is little beside its reply, whatever that is */
#define LISTED_KEY    32  /* bytes of a key in a reply, about, with what buffers have to spare */
#define SMALL_GATHERS 64  /* commands over several shards whose clients' last ones were small; so many may go wrong */
#define VAIN_MS       500 /* between two that have waited in vain for room for what they are answered and go all the same */
#define ANSWER_MS     300   /* a large reply waits so long until it may go beyond what clients may have, */
#define CROWDED_MS    5000  /* or, as long as they hold more than that, so long */
#define WAIT_MAX_MS   10000 /* a command that waited for so long is refused: no room can be made for it */
#define HURRY_MS      1000  /* or for so long, where it holds meanwhile what many others need */
#define SETTLE_MS     500   /* after the last key went its pages have been given back, and that was measured */
#define DELIVERY_MS   2000  /* messages for clients that do not read wait so long until the fattest are closed */
#define OWE_MS        3000  /* what is large waits so long until what was evicted for it shows, then it goes */
#define TRY_MAX_MS    1000  /* who went on and is back within that has tried in vain */

/* What the allocator makes of it: size classes lie an eighth apart, and an entry has a head. */
static uint64_t with_overhead(uint64_t bytes) {
    return bytes + bytes / 8 + 64;
}

bool admit_grants_whole(const struct queued *q) {
    return q->raw_len >= ADMIT_LARGE;
}

/* As much was evicted for it as it needs; but that was found to be no room for anything large, because pages have not
 * emptied yet. It goes all the same: the budget is in debt then, and the brake is on while more is resident than
 * should. */
static bool take_saved(struct shard *shard, uint64_t bytes) {
    struct account *account = &shard->account;
    if (account->saved < (int64_t)bytes) return false;
    account->saved -= (int64_t)bytes;
    return true;
}

/* Or did so until that long ago. */
static bool somebody_evicts(const struct shard *shard, unsigned ms) {
    return shard->config->maxmemory_policy != MAXMEMORY_NOEVICTION && !account_all_spent(shard, ms);
}

/* From another shard, which is asked when this one waits, or from pages that have not gone back yet, or it is there and
 * was not measured. */
static bool room_may_come(const struct shard *shard) {
    return somebody_evicts(shard, SETTLE_MS) || account_room_is_stale(shard) ||
           atomic_load_explicit(&shard->account.shared->settles, memory_order_relaxed);
}

/* Has this shard done its part for something large, so that it only has to show in the resident set? Pages are being
 * emptied, or so much went since that was measured. All shards are asked for their part (account_want). */
static bool has_done_its_part(struct shard *shard, uint64_t bytes) {
    uint64_t part = bytes / account_evictors(shard);
    if (bytes < ADMIT_LARGE) return false;
    if (shard->account.saved >= (int64_t)part) return true;
    return !account_has_room(shard, bytes) && defrag_reclaim(shard) >= part;
}

/* Makes room for `bytes`, as far as this shard can. True: it is granted. *progress: room is being made.
 * fits: into what may become resident, or it goes all the same. */
static bool make_room(struct shard *shard, uint64_t bytes, bool fits, bool *progress) {
    *progress = false;
    if (fits && account_take(shard, bytes)) return true;
    if (!reaper_idle(shard->shared.reaper)) {
        reaper_step(shard->shared.reaper, REAP_UNITS);
        *progress = true;
        account_look(shard);
        if (fits && account_take(shard, bytes)) return true;
    }
    if (evict_is_paused(shard)) *progress = true; /* afterwards */
    for (int tries = 0; tries < EVICT_TRIES && !evict_is_paused(shard); tries++) {
        if (has_done_its_part(shard, bytes)) {
            *progress = true;
            break;
        }
        size_t freed = evict_some(shard, bytes + AHEAD_BYTES, EVICT_KEYS);
        account_note_evicted(shard, freed, bytes);
        if (freed == 0) break;
        *progress = true;
        account_look(shard);
        if (fits && account_take(shard, bytes)) {
            shard->account.saved = MAX(shard->account.saved - (int64_t)bytes, (int64_t)0);
            return true;
        }
    }
    if (room_may_come(shard)) *progress = true;
    return fits && take_saved(shard, bytes);
}

static enum admission refuse(struct shard *shard) {
    shard->account.refused = true;
    atomic_fetch_add_explicit(&shard->account.place->refused, 1, memory_order_relaxed);
    return ADMIT_REFUSE;
}

/* What was evicted for a command is not room for it yet, as long as its pages do not empty. So while the resident set
 * is at the ceiling, only so much is written until it is measured again as there was found to be, and a little where
 * there is none. Otherwise what is evicted is room at once: a cache that is full goes on at full speed. */
static bool passes(const struct account *account, int64_t pass, uint64_t ahead) {
    if (pass > (int64_t)ahead) return true;
    atomic_fetch_add_explicit(&account->place->held, 1, memory_order_relaxed);
    return false;
}

/* Where the key is, as of the end of that shard's last turn. */
static bool owner_passes(const struct account *account, const struct queued *q, uint64_t ahead) {
    return passes(account, atomic_load_explicit(&account->shared->place[q->owner].pass, memory_order_relaxed), ahead);
}

/* False: an owner elsewhere would have to refuse now, though there may be room in a moment. */
static bool owner_has_room(const struct shard *shard) {
    return somebody_evicts(shard, 0) || account_may_owe(shard) || !room_may_come(shard);
}

/* Is the command that the client is at the one that it has waited with? */
static bool is_same_wait(const struct client *client) {
    return client->waits_since_ms && client->waits_number == client->commands &&
           client->home->now_ms <= client->tried_ms + TRY_MAX_MS;
}

bool admit_is_in_vain(const struct client *client) {
    const struct shard *shard = client->home;
    return is_same_wait(client) && !evict_is_paused(shard) && shard->now_ms > client->waits_since_ms + WAIT_MAX_MS;
}

/* It may add as much as the fattest client holds, so one goes at a time; more than one place may ask about it. */
bool admit_goes_in_vain(struct shard *shard, const struct client *client) {
    struct ledger *ledger = shard->account.shared;
    if (!admit_is_in_vain(client)) return false;
    uint64_t last_ms = atomic_load_explicit(&ledger->vain_ms, memory_order_relaxed);
    uint64_t last_id = atomic_load_explicit(&ledger->vain_id, memory_order_relaxed);
    if (last_id == client->id && last_ms == shard->now_ms) return true;
    if (shard->now_ms < last_ms + VAIN_MS) return false;
    atomic_store_explicit(&ledger->vain_ms, shard->now_ms, memory_order_relaxed);
    atomic_store_explicit(&ledger->vain_id, client->id, memory_order_relaxed);
    return true;
}

/* What is large goes when the resident set has room for it, which what keys left in pages is not, or when it has waited
 * long enough for that. */
static bool fits(const struct client *client, uint64_t bytes) {
    if (bytes < ADMIT_LARGE || account_has_room(client->home, bytes)) return true;
    return is_same_wait(client) && client->home->now_ms > client->waits_since_ms + OWE_MS;
}

/* ahead: of the bytes, those of commands before it. */
static enum admission admit_growth(struct shard *shard, const struct client *client, uint64_t bytes, uint64_t ahead) {
    bool progress;
    if (!account_trips(&shard->account, bytes)) return ADMIT_GO;
    account_look(shard);
    bool made = make_room(shard, bytes, fits(client, bytes), &progress);
    if (made && passes(&shard->account, shard->account.pass, ahead)) {
        if (bytes >= ADMIT_LARGE) account_use_room(shard, bytes);
        return ADMIT_GO;
    }
    if (!(made || progress) || admit_is_in_vain(client)) return refuse(shard);
    if (!made) account_want(shard, bytes);
    return ADMIT_WAIT;
}

/* For what its row says of keys that may be here. */
static struct exec exec_of(struct shard *shard, const struct client *client, const struct queued *q) {
    return (struct exec){.shard = shard,
                         .shared = &shard->shared,
                         .slot = q->slot,
                         .argv = q->argv,
                         .argc = q->argc,
                         .db = client->db,
                         .hash = q->hash,
                         .hash_at = q->hash_at,
                         .keys = q->fate == FATE_LOCAL ? shard_db(shard, client->db) : NULL};
}

/* Of a command inside of a transaction: the journal is told at once of all that it makes. */
static uint64_t grows_inside(const struct shard *shard, uint64_t bytes) {
    return shard->effects.on ? bytes + bytes * TOLD_COPIES : bytes;
}

struct sources {
    struct exec *x;
    bool many; /* elements of one */
};

static void look_at_source(void *ctx, uint32_t at, bool writes) {
    struct sources *sources = ctx;
    struct exec *x = sources->x;
    struct key_ref ref;
    const struct entry *entry = writes ? NULL : keyspace_open(x->keys, x->argv[at], exec_hash(x, at), &ref);
    uint64_t count = UINT64_MAX; /* of other types what is large takes turns by its bytes */
    if (entry && entry->type == TYPE_SET) count = set_count(entry);
    if (entry && entry->type == TYPE_ZSET) count = zset_len(entry);
    sources->many |= entry && count > WORK_AT_ONCE;
}

/* The journal is told at once, too, of what is made of few elements, however large they are; else in turns. */
static uint64_t grows_by(struct exec *x) {
    const struct command *row = x->slot->row;
    uint64_t bytes = row->grows(x);
    if (bytes < ADMIT_LARGE || !row->across || !x->keys || !x->shard->effects.on) return bytes;
    struct sources sources = {.x = x};
    command_each_key(row, x->argv, x->argc, look_at_source, &sources);
    return sources.many ? bytes : grows_inside(x->shard, bytes);
}

static uint64_t grows(struct shard *shard, const struct client *client, const struct queued *q) {
    struct exec x = exec_of(shard, client, q);
    return grows_by(&x);
}

static uint64_t need_of(struct shard *shard, const struct client *client, const struct queued *q) {
    uint64_t bytes = q->raw_len;
    if (q->fate == FATE_EXEC) {
        bytes = multi_memory(client);
        if (multi_grows_ahead(client)) bytes += grows_inside(shard, multi_grows(shard, client));
    }
    if (q->slot->grows) bytes += grows(shard, client, q);
    if (q->fate != FATE_LOCAL) bytes += q->raw_len; /* a message, or what is kept */
    return with_overhead(bytes);
}

/* It adds to what clients hold too much of, rather than taking away from it: a pipeline of large values to be stored is
 * held as long as it is not run. */
static bool is_heavy(const struct client *client, const struct queued *q) {
    if (client->reply_size > ADMIT_SMALL) return true;
    return client_output_bytes(client) > 0 && q->raw_len <= (uint64_t)client->reply_size + SHORT_COMMAND;
}

static bool is_free_to_run(const struct client *client, const struct queued *q) {
    return !q->slot || q->fate == FATE_REJECT || client->flags & CLIENT_LOADER || !client->carrier;
}

enum admission admit_command(struct shard *shard, const struct client *client, const struct queued *q, uint64_t ahead) {
    struct account *account = &shard->account;
    if (!account->shared || shard->loading || is_free_to_run(client, q)) return ADMIT_GO;
    uint32_t flags = q->fate == FATE_EXEC ? multi_flags_ahead(client) : q->slot->row->flags;
    if (q->slot->row->flags & CMD_ADMIN) return ADMIT_GO;
    if (account->uncovered > 0 && is_heavy(client, q)) {
        account_look(shard);
        if (account->uncovered > 0 && !admit_goes_in_vain(shard, client)) return ADMIT_WAIT;
    }
    if (!(flags & CMD_DENYOOM) && q->fate != FATE_QUEUE) return ADMIT_GO;
    if (q->fate == FATE_REMOTE && !admit_grants_whole(q)) { /* its owner decides, but cannot let it wait */
        bool may = owner_passes(account, q, ahead) && owner_has_room(shard);
        return may || admit_is_in_vain(client) ? ADMIT_GO : ADMIT_WAIT;
    }
    return admit_growth(shard, client, need_of(shard, client, q) + ahead, ahead);
}

/* A client that is new asks for a large string: what no earlier reply tells, the key does. */
static bool reads_large(struct shard *shard, const struct client *client, const struct queued *q) {
    if (q->fate != FATE_LOCAL || !q->slot->row->answers) return false;
    struct exec x = exec_of(shard, client, q);
    return q->slot->row->answers(&x) > ADMIT_SMALL;
}

bool admit_reply(struct shard *shard, const struct client *client, const struct queued *q) {
    if (!client->carrier) return true;
    account_look(shard);
    if (shard->account.uncovered <= 0) return true;
    return (!is_heavy(client, q) && !reads_large(shard, client, q)) || admit_goes_in_vain(shard, client);
}

/* What is large has asked for room (shards/answer_work.h), and may be one that a slow reader takes long for. */
bool admit_small_reply(const struct shard *shard) {
    const struct ledger *ledger = shard->account.shared;
    if (!ledger) return true;
    if (atomic_load_explicit(&ledger->client_hard, memory_order_relaxed)) return false;
    int64_t beyond = account_beyond(shard);
    return account_room_for_answers(shard) >= -(beyond + beyond / SMALL_PART);
}

/* What writes, deletes or tells of the server holds little, and is not to wait. */
static bool may_hold_much(const struct queued *q) {
    const struct command *row = q->slot->row;
    bool steps = q->fate == FATE_ACROSS || (q->fate == FATE_ALL && row->keys[0].first > 0);
    return q->fate == FATE_EXEC || steps || row->flags & CMD_READ;
}

uint32_t admit_gather_size(struct shard *shard, const struct client *client, const struct command *row, uint32_t db) {
    uint64_t size = client && client->gather_size ? client->gather_size : (uint64_t)shard->account.gather_size;
    const struct keyspace *keys = row->merge == MERGE_CONCAT && row->flags & CMD_READ ? shard_db_peek(shard, db) : NULL;
    if (keys) size = MAX(size, keyspace_count(keys) * shard->count * LISTED_KEY);
    return (uint32_t)MIN(size, (uint64_t)INT32_MAX);
}

bool admit_gather_slow(struct shard *shard, const struct client *client, const struct queued *q) {
    struct account *account = &shard->account;
    if (!client->carrier || client->flags & CLIENT_LOADER || !may_hold_much(q)) return true;
    account_look(shard);
    int64_t size = admit_gather_size(shard, client, q->slot->row, client->db);
    if (account->gathered_size + size <= account->gather_room) return true;
    if (size <= ADMIT_SMALL && account->gathers < SMALL_GATHERS) return true;
    if (account->gathers == 0 && account->uncovered <= 0) return true;
    /* One may be under way for as long as its client likes (WAIT), so in the end it goes all the same. */
    return admit_goes_in_vain(shard, client);
}

enum admission admit_input(struct shard *shard, const struct client *client, uint64_t bytes, uint64_t arrived) {
    if (!shard->account.shared || !client->carrier) return ADMIT_GO;
    account_look(shard);
    if (account_take_for_clients(shard, bytes)) return ADMIT_GO;
    if (fits(client, bytes) && take_saved(shard, bytes)) return ADMIT_GO;
    bool vain = !evict_is_paused(shard) && !room_may_come(shard) && reaper_idle(shard->shared.reaper);
    if (vain || admit_is_in_vain(client)) return refuse(shard);
    account_want(shard, MIN(bytes, MAX(arrived + arrived / 2, (uint64_t)UNSEEN_BYTES)));
    return ADMIT_WAIT;
}

/* --- what grows without its arguments being large --- */

uint64_t admit_key_bytes(const struct exec *x, uint32_t at) {
    struct key_ref ref;
    if (!x->keys || (x->shard->count > 1 && shard_of_key(x->shard, x->argv[at]) != x->shard->id)) return 0;
    const struct entry *entry = keyspace_open(x->keys, x->argv[at], key_hash(x->shared, x->argv[at]), &ref);
    return entry ? entry_bytes(entry) : 0;
}

uint64_t admit_grown_string(const struct exec *x, uint32_t at, uint64_t new_len) {
    struct key_ref ref;
    if (new_len < ADMIT_LARGE || new_len > STRING_LIMIT) return 0;
    const struct entry *entry = NULL;
    if (x->keys) entry = keyspace_open(x->keys, x->argv[at], key_hash(x->shared, x->argv[at]), &ref);
    if (entry && (entry->type != TYPE_STRING || entry_string_len(entry) >= new_len)) return 0;
    return entry_edit_bytes(entry, (size_t)new_len);
}

bool admit_edit_slow(struct exec *x, const struct entry *entry, size_t new_len) {
    struct shard *shard = x->shard;
    size_t bytes = entry_edit_bytes(entry, new_len);
    if (!shard->account.shared || x->flags & CLIENT_LOADER || shard->loading || bytes == 0) return true;
    if (!account_trips(&shard->account, bytes)) return true;
    account_look(shard);
    if (account_take(shard, bytes)) return true;
    refuse(shard);
    reply_error(x, OOM_ERROR);
    return false;
}

/* What is less is lost among what shards may go into debt for. */
static bool asks_inside(struct shard *shard, uint64_t *bytes) {
    bool large = *bytes >= ADMIT_LARGE;
    *bytes = with_overhead(grows_inside(shard, *bytes));
    if (!large || !shard->account.shared || shard->loading || !account_trips(&shard->account, *bytes)) return false;
    account_look(shard);
    return true;
}

bool admit_transaction(struct shard *shard, uint64_t bytes) {
    bool progress;
    return !asks_inside(shard, &bytes) || make_room(shard, bytes, true, &progress) || refuse(shard) == ADMIT_GO;
}

bool admit_inside_slow(struct shard *shard, struct exec *x) {
    const struct command *row = x->slot->row;
    if (x->flags & CLIENT_LOADER || !(row->flags & CMD_DENYOOM)) return true;
    x->shard = shard;
    x->shared = &shard->shared;
    x->keys = shard_db(shard, x->db);
    uint64_t bytes = row->grows(x);
    if (!locks_idle(shard->locks)) return admit_transaction(shard, bytes);
    return !asks_inside(shard, &bytes) || account_take(shard, bytes) || refuse(shard) == ADMIT_GO;
}

bool admit_step(struct shard *home, uint64_t bytes) {
    bool progress;
    if (!home->account.shared || home->loading) return true;
    bytes = 2 * with_overhead(bytes); /* the message that carries it, too */
    if (!account_trips(&home->account, bytes)) return true;
    account_look(home);
    if (make_room(home, bytes, true, &progress)) return true;
    refuse(home);
    return false;
}

enum admission admit_piece(struct shard *shard, uint64_t bytes, uint64_t *since_ms) {
    bool progress = false;
    bytes = with_overhead(bytes);
    if (!shard->account.shared || shard->loading || !account_trips(&shard->account, bytes)) return ADMIT_GO;
    account_look(shard);
    if (make_room(shard, bytes, true, &progress)) {
        *since_ms = 0;
        return ADMIT_GO;
    }
    if (!*since_ms) *since_ms = MAX(shard->now_ms, (uint64_t)1);
    return progress && shard->now_ms < *since_ms + PIECE_WAIT_MS ? ADMIT_WAIT : refuse(shard);
}

/* --- waiting --- */

void admit_wait(struct client *client) {
    struct account *account = &client->home->account;
    ASSERT(client->wait != WAIT_MEMORY);
    if (!is_same_wait(client)) {
        client->waits_since_ms = MAX(client->home->now_ms, (uint64_t)1);
        client->waits_number = client->commands;
        atomic_fetch_add_explicit(&account->place->waited, 1, memory_order_relaxed);
    }
    client->wait = WAIT_MEMORY;
    client->next_waiting = NULL;
    if (account->waiting)
        account->waiting_last->next_waiting = client;
    else
        account->waiting = client;
    account->waiting_last = client;
    account->waiting_count++;
}

/* O(clients that wait), for one that goes away meanwhile. */
void admit_forget(struct client *client) {
    struct account *account = &client->home->account;
    if (client->wait != WAIT_MEMORY) return;
    struct client **link = &account->waiting, *before = NULL;
    while (*link != client) {
        before = *link;
        link = &before->next_waiting;
    }
    *link = client->next_waiting;
    if (account->waiting_last == client) account->waiting_last = before;
    account->waiting_count--;
    client_wait_over(client);
}

void admit_resume(struct shard *shard, unsigned count) {
    struct account *account = &shard->account;
    for (; count > 0 && account->waiting; count--) {
        struct client *client = account->waiting;
        if (client->tried_ms == shard->now_ms) return; /* and all behind it: what has changed since is little */
        admit_forget(client);
        client->tried_ms = shard->now_ms;
        shard->host.attend(shard->host.ctx, client);
    }
}

/* --- at the owner --- */

/* The fattest clients are to go for it, in the end. */
static void note_answer_waits(struct ledger *ledger, uint64_t bytes) {
    int64_t need = (int64_t)MAX(bytes, (uint64_t)ADMIT_LARGE);
    if (atomic_load_explicit(&ledger->answers, memory_order_relaxed) < need)
        atomic_store_explicit(&ledger->answers, need, memory_order_relaxed);
}

bool admit_answer(struct shard *shard, uint64_t bytes) {
    if (admit_has_plenty(shard, bytes)) return true;
    account_look(shard);
    if (!shard->account.crowded && account_room_for_answers(shard) >= (int64_t)bytes) return true;
    note_answer_waits(shard->account.shared, bytes);
    return false;
}

/* Among those that wait for long the oldest is the next, or small ones would keep a large one waiting for ever. */
static bool is_its_turn(struct ledger *ledger, uint64_t since_ms, bool late) {
    uint64_t next_ms = atomic_load_explicit(&ledger->answer_since, memory_order_relaxed);
    if (next_ms && next_ms < since_ms) return false;
    if (late && next_ms != since_ms) atomic_store_explicit(&ledger->answer_since, since_ms, memory_order_relaxed);
    return true;
}

void admit_answer_ends(struct shard *shard, uint64_t since_ms) {
    if (!shard->account.shared) return;
    atomic_compare_exchange_strong_explicit(&shard->account.shared->answer_since, &since_ms, 0, memory_order_relaxed,
                                            memory_order_relaxed);
}

/* Keys go for one that fits nowhere else, so that what can be stored can be read; not most of them, though. */
static bool keys_go_for_answer(struct shard *shard, int64_t missing) {
    const struct ledger *ledger = shard->account.shared;
    if (!somebody_evicts(shard, SETTLE_MS) || missing > ledger_charged(ledger) / 2) return false;
    account_want(shard, (uint64_t)(missing + MAX(account_room(shard), (int64_t)0)));
    return true;
}

static enum admission admit_late_answer(struct shard *shard, uint64_t bytes, uint64_t since_ms, bool hurries) {
    struct ledger *ledger = shard->account.shared;
    account_look(shard);
    bool crowded = shard->account.crowded; /* it may be held elsewhere */
    bool late = shard->now_ms > since_ms + (crowded && !hurries ? CROWDED_MS : ANSWER_MS);
    bool over = shard->now_ms > since_ms + (hurries ? HURRY_MS : WAIT_MAX_MS);
    if (!is_its_turn(ledger, since_ms, late)) return hurries && over ? ADMIT_REFUSE : ADMIT_WAIT;
    int64_t need = (int64_t)bytes, room = account_room_for_answers(shard), beyond = account_beyond(shard);
    if ((!crowded && need <= room) || (late && need <= room + beyond)) {
        atomic_fetch_add_explicit(&ledger->answered, 1, memory_order_relaxed);
        return ADMIT_GO;
    }
    int64_t missing = need - account_most_for_answers(shard) - beyond; /* though all clients had read */
    if (missing <= 0) note_answer_waits(ledger, bytes);
    if (!late) return ADMIT_WAIT;
    bool comes = missing <= 0 || keys_go_for_answer(shard, missing);
    return comes && !over ? ADMIT_WAIT : ADMIT_REFUSE;
}

enum admission admit_waiting_answer(struct shard *shard, uint64_t bytes, uint64_t since_ms, bool hurries) {
    enum admission may = admit_has_plenty(shard, bytes) ? ADMIT_GO : admit_late_answer(shard, bytes, since_ms, hurries);
    if (may == ADMIT_WAIT) return may;
    admit_answer_ends(shard, since_ms);
    if (may == ADMIT_REFUSE) /* which is not what writers are refused for, account.refused */
        atomic_fetch_add_explicit(&shard->account.place->refused, 1, memory_order_relaxed);
    return may;
}

bool admit_delivery(struct shard *shard) {
    struct account *account = &shard->account;
    if (!account->shared || shard->loading) return true;
    if (shard->now_ms > account->delivers_tried_ms + TRY_MAX_MS) account->delivers_since_ms = 0;
    account->delivers_tried_ms = shard->now_ms;
    account_look(shard);
    if (!account->crowded && account_room_for_answers(shard) >= 0) {
        account->delivers_since_ms = 0;
        return true;
    }
    note_answer_waits(account->shared, ADMIT_LARGE);
    if (!account->delivers_since_ms) account->delivers_since_ms = MAX(shard->now_ms, (uint64_t)1);
    return shard->now_ms > account->delivers_since_ms + DELIVERY_MS;
}

bool admit_message(struct shard *shard, uint64_t bytes) {
    if (!shard->account.shared || shard->loading || !account_trips(&shard->account, bytes)) return true;
    account_look(shard);
    return account_room_for_answers(shard) >= (int64_t)bytes;
}

bool admit_here_slow(struct exec *x, uint64_t bytes) {
    struct shard *shard = x->shard;
    bool progress;
    if (!shard->account.shared || shard->loading || !(x->slot->row->flags & CMD_DENYOOM)) return true;
    x->keys = shard_db(shard, x->db);
    if (x->slot->grows) bytes += grows_by(x);
    account_look(shard);
    if (make_room(shard, with_overhead(bytes), true, &progress)) return true;
    /* What is small may go into debt: as far as others evict, or a little, where room is only hoped for. */
    if (progress && bytes < ADMIT_LARGE && (somebody_evicts(shard, 0) || account_may_owe(shard))) return true;
    refuse(shard);
    return false;
}
