/* Monitor: MONITOR, which shows every command of every client as it runs, to whoever asked for it.
 *
 *      +1795815145.305000 [0 127.0.0.1:43084] "set" "k" "v"
 *
 * A monitoring client is a subscriber of a topic of a kind of its own (TOPIC_MONITOR), so that who has to know that
 * somebody looks, and how lines come to him, is that of channels (shards/pubsub.h). The home of the client whose
 * command it is writes the line, once, when it has run it or sent it away.
 *
 * Shown     as Redis does: what is run, also inside of EXEC, but nothing administrative, and no passwords.
 * Order     the commands of one client in their order; those of clients on different threads in any.
 * Bounded   as events are (NOTIFY_BEHIND_MAX towards another thread), and each monitoring client by
 *           client-output-buffer-limit of class pubsub. Of a command about 1 MiB is shown, about 10 ms of work.
 * Cost      a load per command while nobody monitors (pubsub_to_tell). */
#pragma once
#include "shards/client.h"
#include "shards/pubsub.h"

HOT_INLINE bool monitor_is_on(const struct pubsub *pubsub) {
    return pubsub->joint[TOPIC_MONITOR] != 0;
}
COLD void monitor_show(struct client *client, const struct command_slot *slot, const struct slice *argv, uint32_t argc);
