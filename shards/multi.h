/* Multi: what a client's transaction is made of, from MULTI to EXEC, and the keys that it watches.
 *
 * Commands behind MULTI are routed as always and then kept. EXEC looks at where they would have gone:
 *
 *    all to this shard             they run at once, one behind the other
 *    all to one other shard        one message there and back (EXEC itself, laid out as in shards/part.h)
 *    single keys of several        one part per shard, all locked first (shards/txn.h); replies are put in order here
 *    anything else                 commands on several shards, on all of them, on the connection, in any mixture: all
 *                                  keys are locked, then home runs one command after the other, each with what it needs
 *
 * WATCH notes a version at each key's owner (shards/watch.h). EXEC compares it there, when the key is locked.
 *
 * Ahead     MULTI, its commands and EXEC are routed before the first of them runs, so that a pipeline of transactions
 *           is one batch, prefetched as a whole. So what they will have done by then is kept beside what is. It needs
 *           no undoing: commands that are put back are all of their client's, and without commands in the batch what is
 *           counts. Whatever depends on more than the commands themselves (an EXEC with watched keys, DISCARD, RESET)
 *           is routed when the batch before it has run.
 * Owner     the client; lives on its home. Freed with it. What is kept counts as the client's memory and is limited
 *           like its input (client-query-buffer-limit).
 * Cost      O(1) per kept command and per watched key; EXEC is O(arguments * shards it touches) besides what runs. */
#pragma once
#include "shards/client.h"
#include "shards/exec.h"

struct multi;
struct queued;

struct multi *multi_of(struct client *client); /* creates it */
bool multi_is_open_slow(const struct client *client);
/* Between MULTI and EXEC. */
HOT_INLINE bool multi_is_open(const struct client *client) {
    return UNLIKELY(client->multi != NULL) && multi_is_open_slow(client);
}
/* Neither that nor a watched key. */
bool multi_is_idle(const struct client *client);
uint32_t multi_count(const struct client *client); /* commands kept */
size_t multi_memory(const struct client *client);

void multi_open(struct client *client);
void multi_queue(struct client *client, const struct queued *q);
void multi_spoil(struct client *client);   /* a command was refused: EXEC will be, too. Nothing outside of MULTI */
void multi_abandon(struct client *client); /* forgets commands and watched keys: DISCARD, RESET */
void multi_delete(struct client *client);

/* A watcher of the key was added at its owner: notes it, or takes it back when the key is watched already. */
void multi_note_watch(struct client *client, uint32_t db, struct slice key, uint64_t version);
void multi_unwatch(struct client *client);
/* Takes one watcher back at the key's owner. */
void multi_drop_watch(struct shard *home, uint32_t db, struct slice key);

/* --- while the batch is collected: the state behind all commands of the client that were taken --- */
bool multi_is_open_ahead_slow(const struct client *client);
HOT_INLINE bool multi_is_open_ahead(const struct client *client) {
    return UNLIKELY(client->multi != NULL) && multi_is_open_ahead_slow(client);
}
uint32_t multi_flags_ahead(const struct client *client); /* enum command_flag of all commands kept by then */
bool multi_grows_ahead(const struct client *client);     /* the row of one says how much it may need (command.grows) */
/* What these say of keys that are here, when all commands that were kept have run. O(arguments). */
uint64_t multi_grows(struct shard *home, const struct client *client);
/* The command is about to join the batch. Every command of a client that has a multi, and what is
 * routed (CMD_ROUTED). */
void multi_look_ahead(struct client *client, const struct queued *q);
void multi_route_multi(const struct shard *shard, const struct client *client, struct queued *q);
/* Fills what find_fate would. fate_in_exec is FATE_LOCAL when all is here. */
void multi_route_exec(const struct shard *shard, const struct client *client, struct queued *q);
/* EXEC of FATE_LOCAL: replies to x->out. False: its keys are held, the reply comes later to a place it has reserved. */
bool multi_exec_here(struct exec *x);
/* Any other. */
void multi_exec(struct exec *x);
