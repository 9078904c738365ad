/* Client limits: how much output may wait for a client that does not read (client-output-buffer-limit).
 *
 * Redis's classes and their meaning: over the hard limit the client is closed at once, over the soft one when that has
 * lasted for so many seconds without a break. What counts is all that the server holds for it: replies in order, those
 * behind an earlier one, and what its carrier has not been able to send (client.carried).
 *
 * Who uses it  a carrier asks client_output_allowed after replies were written to a client and before it sends, which
 * is
 *              once per turn and client. Whoever writes much to a client outside of commands (messages of channels)
 *              asks after each piece, so that one turn's flood is bounded, too, and writes no more when the answer is
 *              no.
 * Thread       the client's home. Cost: O(1), a few loads; client_limits_turn is O(clients) once a second while
 *              somebody is over a soft limit. */
#pragma once
#include "shards/shard.h"

/* The class whose limits a client has: pubsub while it subscribes or monitors. */
HOT_INLINE enum config_client_class client_class(const struct client *client) {
    return client->flags & (CLIENT_PUBSUB | CLIENT_MONITOR) ? CLIENT_CLASS_PUBSUB : CLIENT_CLASS_NORMAL;
}

/* Bytes that wait for it to read. */
HOT_INLINE size_t client_output_bytes(const struct client *client) {
    return buf_readable(&client->out) + chain_len(&client->rest) + reply_queue_kept(&client->replies) + client->carried;
}

COLD bool client_output_allowed_slow(struct client *client, size_t bytes);
/* False: it was over its limit; that was logged, it has CLIENT_CLOSE_NOW, and its carrier was told. kept: bytes that
 * are still elsewhere, until its command is done. */
HOT_INLINE bool client_output_allowed_with(struct client *client, size_t kept) {
    size_t bytes = client_output_bytes(client) + kept;
    return LIKELY(bytes < client->home->output_limit) || client_output_allowed_slow(client, bytes);
}
HOT_INLINE bool client_output_allowed(struct client *client) {
    return client_output_allowed_with(client, 0);
}

/* It gets CLIENT_CLOSE_NOW, its carrier is told, and the log says why. */
COLD void client_close_for(struct client *client, const char *format, ...) PRINTF_LIKE(2, 3);
void client_limits_config_changed(struct shard *shard);
void client_limits_turn(struct shard *shard); /* by the shard: who has been over a soft limit for too long */
