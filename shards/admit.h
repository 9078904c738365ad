/* Admit: may a command run, as far as memory goes? Asked before anything of it has happened.
 *
 *    ADMIT_GO      it fits: what it may need is granted to this shard, be it after some keys were evicted for it
 *    ADMIT_WAIT    room is being made: its client has WAIT_MEMORY, and goes on when there is some. What is large
 *                  (ADMIT_LARGE) goes when the resident set has room for it
 *    ADMIT_REFUSE  "-OOM command not allowed when used memory > 'maxmemory'."
 *
 * Only rows with CMD_DENYOOM are refused, and what is kept for EXEC. Everything else runs, whatever the memory; except
 * that replies wait while clients together hold more than they may (shards/ledger.h).
 *
 * Where     Home asks when the command is parsed. What it grants counts for all shards, since the budget is one: a
 *           command over several shards is admitted as a whole or not at all, and its parts are asked nothing. The
 *           owner of one key elsewhere asks again, because only it can evict, and see how large a value is; it never
 *           waits.
 * Need      the bytes of the command with what allocators round up, and what its row says beyond (`grows`).
 * Cost      admit_trips is a comparison per command. All else is off the hot path until memory is short. */
#pragma once
#include "shards/exec.h"
#include "shards/message.h"
#include "shards/shard.h"

struct queued;

#define OOM_ERROR "OOM command not allowed when used memory > 'maxmemory'."

enum admission { ADMIT_GO, ADMIT_WAIT, ADMIT_REFUSE };

/* --- at home --- */
/* At the parsing of a command. ahead: bytes of the commands of the batch that have not run yet. With ADMIT_WAIT nobody
 * waits yet: see admit_wait. */
COLD enum admission admit_command(struct shard *shard, const struct client *client, const struct queued *q,
                                  uint64_t ahead);
/* Before a command runs: may its client be answered now? */
COLD bool admit_reply(struct shard *shard, const struct client *client, const struct queued *q);
COLD bool admit_gather_slow(struct shard *shard, const struct client *client, const struct queued *q);
/* What a command over several shards is expected to hold: as much as its client's last ones, or the most that a client
 * began with of late (NULL: nobody's); one that lists the keys, besides, as much as if it listed them all. O(1). */
uint32_t admit_gather_size(struct shard *shard, const struct client *client, const struct command *row, uint32_t db);
/* The same for a command over several shards. Nobody knows how much it holds before it is all there, so there are only
 * as many under way as fit if each becomes as large as is expected. all: it is FATE_ALL. */
HOT_INLINE bool admit_gather(struct shard *shard, const struct client *client, const struct queued *q, bool all) {
    const struct account *account = &shard->account;
    int64_t size = client->gather_size ? (int64_t)client->gather_size : account->gather_size;
    bool fits = account->gathered_size + size <= account->gather_room;
    return (LIKELY(fits) && LIKELY(!all)) || admit_gather_slow(shard, client, q);
}
/* Before so many bytes are set aside for the input of a client whose command is not complete. ADMIT_REFUSE: they will
 * not come free. Room is made for little more than has arrived, whatever was announced. */
enum admission admit_input(struct shard *shard, const struct client *client, uint64_t bytes, uint64_t arrived);

/* --- replies that are small --- */
#define ADMIT_SMALL (16 * 1024) /* bytes; a client whose latest one was larger waits while clients hold too much */

/* May small ones still be added to what clients hold, though that is more than they may? Until there is no room on the
 * machine either. O(shards). */
bool admit_small_reply(const struct shard *shard);

/* --- what grows without its arguments being large --- */
#define ADMIT_LARGE (64 * 1024) /* bytes; less than this is lost among what shards may go into debt for */

/* For a row's .grows: a string at argv[at] that is written to up to new_len. 0 where that is not allowed. */
uint64_t admit_grown_string(const struct exec *x, uint32_t at, uint64_t new_len);
/* For a row's .grows: the bytes of the key at argv[at], 0 when it is not here. */
uint64_t admit_key_bytes(const struct exec *x, uint32_t at);
COLD bool admit_edit_slow(struct exec *x, const struct entry *entry, size_t new_len);
/* A handler is about to lengthen a string, or make one (NULL). False: there is no room, -OOM was replied. Nothing is
 * evicted here, since a key is open: that is what .grows is for. */
HOT_INLINE bool admit_edit(struct exec *x, const struct entry *entry, size_t new_len) {
    return LIKELY(new_len < ADMIT_LARGE) || admit_edit_slow(x, entry, new_len);
}
/* A transaction is about to run on this shard, or a command of one that holds its locks, so that none of its keys goes
 * for it: so many bytes it may grow by, as rows say, and what the journal is told besides. False: there is no room. */
COLD bool admit_transaction(struct shard *shard, uint64_t bytes);
/* A command inside of a transaction is about to run. What its keys hold is known only now; EXEC has asked for what they
 * held at home. False: there is no room, it is to be refused. Without locks nothing goes for it. */
COLD bool admit_inside_slow(struct shard *shard, struct exec *x);
HOT_INLINE bool admit_inside(struct shard *shard, struct exec *x) {
    return LIKELY(!x->slot->grows) || admit_inside_slow(shard, x);
}
/* A step of a command over several shards is about to send so many bytes to be stored. False: it must not. */
bool admit_step(struct shard *home, uint64_t bytes);
/* The same for the next piece of a value that is stored piece by piece, over many turns: a command that has begun waits
 * some turns while room is being made, with its keys held, a second at most. *since_ms is the caller's, 0 at first. */
enum admission admit_piece(struct shard *shard, uint64_t bytes, uint64_t *since_ms);

/* --- waiting --- */
/* Its command has waited for so long that it waits no more. */
bool admit_is_in_vain(const struct client *client);
/* The same where nobody knows how much its reply will be, and it is not refused: one of them goes at a time. */
bool admit_goes_in_vain(struct shard *shard, const struct client *client);
void admit_wait(struct client *client);                 /* gives it WAIT_MEMORY and a place in line */
void admit_forget(struct client *client);               /* it goes away */
void admit_resume(struct shard *shard, unsigned count); /* that many of those who have waited longest go on */

/* --- at the owner --- */
#define ANSWER_PLENTY (2ull << 30) /* bytes; more than replies can add before the resident set is measured again */
/* Is there so much room, with what is expected and so many bytes more, and do clients hold so little, that nobody asks
 * how large a reply will be? */
HOT_INLINE bool admit_has_plenty(const struct shard *shard, uint64_t bytes) {
    const struct account *account = &shard->account;
    if (!account->shared || shard->loading) return true;
    int64_t expected = atomic_load_explicit(&account->shared->expected, memory_order_relaxed);
    return !account->crowded && account_has_room(shard, ANSWER_PLENTY + bytes + (uint64_t)expected);
}
/* May a large reply be kept now (shards/answer_work.h), of which so many bytes are still to come? */
bool admit_answer(struct shard *shard, uint64_t bytes);
/* The same for one that has waited since then: by what clients may have, and later by what lies beyond the ceiling, too
 * (ledger.beyond). The oldest of those that are late is the next. ADMIT_REFUSE: it does not fit into that, though all
 * clients had read, or it has waited for ten seconds; for one, where it hurries: others stand behind what it
 * holds. Who asks no more before that says that it ends. */
enum admission admit_waiting_answer(struct shard *shard, uint64_t bytes, uint64_t since_ms, bool hurries);
void admit_answer_ends(struct shard *shard, uint64_t since_ms);
/* May messages of channels be handed out to the clients of this shard, as far as memory goes? Else whoever has some
 * waits; but for two seconds at the most while there is no room. */
COLD bool admit_delivery(struct shard *shard);
/* May one client's output grow by so many bytes for one? The last means, where nobody waited. */
COLD bool admit_message(struct shard *shard, uint64_t bytes);
COLD bool admit_here_slow(struct exec *x, uint64_t bytes);
/* A command of another home is about to run. Is there nothing to ask? */
HOT_INLINE bool admit_is_clear_here(const struct exec *x, const struct message_item *item) {
    return LIKELY(!account_trips(&x->shard->account, item->size)) && LIKELY(!x->slot->grows);
}
/* Else: false: it is to be refused. */
HOT_INLINE bool admit_here(struct exec *x, const struct message_item *item) {
    return item->admitted || admit_here_slow(x, item->size);
}
/* Does home grant what a command that leaves for one owner needs, because it is large? */
bool admit_grants_whole(const struct queued *q);
