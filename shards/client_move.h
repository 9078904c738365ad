/* Client move: a client goes from one shard to another, and nobody who talks to it notices.
 *
 *    client_wish(shard, client)           the shard: it would be better off elsewhere (shards/homing.h)
 *    client_may_move(client)              the carrier, again and again: is there nothing that ties it to this shard?
 *    client_is_quiet(client)              and nothing of it under way?
 *    client_pack(client, &luggage, args)  its session as arguments of a message; client_deinit
 *    client_unpack(client, args)          on the other shard, after client_init
 *
 * A client that is quiet is known to no shard but its home: all its commands have taken effect and were answered. So the
 * first command that it runs from its new home comes after all before it, on every shard.
 *
 * Thread    the client's home; the arguments travel in a message. */
#pragma once
#include "shards/shard.h"

#define CLIENT_LUGGAGE_ARGS 5
#define CLIENT_LUGGAGE_MAX  (64 * 1024) /* bytes of input that it may take along: part of a command */

/* What of it has a fixed size. */
struct client_luggage {
    uint64_t id, created_ms, active_ms, commands, bytes_in, bytes_out;
    struct homing homing;
    const struct command_slot *last_command;
    uint32_t flags, reply_size, answer_size, gather_size;
    uint16_t db;
    uint8_t resp;
};

/* Some commands of it hopped to one shard: when it has had enough of that its carrier is told, once, and client.homing
 * has the wish. */
COLD void client_wish(struct shard *shard, struct client *client);
HOT_INLINE void client_note_hops(struct shard *shard, struct client *client, uint32_t to, uint32_t count) {
    if (UNLIKELY(homing_note(&client->homing, to, count, client->commands, shard->now_ns))) client_wish(shard, client);
}
/* False: it subscribes, watches, is in a transaction, waits for a key, is about to be closed ... and stays. */
bool client_may_move(const struct client *client);
/* No command, no reply and no byte of it is under way. Its carrier has its own part of that to look at. */
bool client_is_quiet(const struct client *client);
/* Fills args with what it is; they point into client and luggage. */
void client_pack(const struct client *client, struct client_luggage *luggage, struct slice args[CLIENT_LUGGAGE_ARGS]);
/* The client was made by client_init with client_packed_id. Its input has still to be looked at (pipeline_feed_kept). */
uint64_t client_packed_id(const struct slice args[CLIENT_LUGGAGE_ARGS]);
void client_unpack(struct client *client, const struct slice args[CLIENT_LUGGAGE_ARGS]);
