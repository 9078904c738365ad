/* Client limits. The least limit of all classes is kept in the shard, so that a client below it, which is nearly every
 * one, costs a comparison; the rest is rare. A client that came over its soft limit is found again by going through all
 * of them once a second; `over_soft` says whether there is one. */
#include "shards/client_limits.h"
#include "core/assert.h"
#include <stdarg.h>
#include <stdio.h>

#define LOOK_NS 1000000000ull

static const char *class_name(enum config_client_class class) {
    static const char *const names[CLIENT_CLASS_COUNT] = {"normal", "replica", "pubsub"};
    return names[class];
}

void client_close_for(struct client *client, const char *format, ...) {
    struct shard *shard = client->home;
    char address[128] = "", why[256];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    if (client->carrier) client->carrier->address(client, false, address, sizeof address);
    log_line(shard->log, LOG_LEVEL_WARNING, "Closing client id=%llu addr=%s: %s", (unsigned long long)client->id,
             address, why);
    client->flags |= CLIENT_CLOSE_NOW;
    shard->host.attend(shard->host.ctx, client);
}

static void close_over_limit(struct client *client, size_t bytes, const char *which, uint64_t limit) {
    client->home->stats.output_limit_closed++;
    client_close_for(client,
                     "%zu bytes of output wait for it, over the %s limit of %llu of the class %s "
                     "(client-output-buffer-limit)",
                     bytes, which, (unsigned long long)limit, class_name(client_class(client)));
}

bool client_output_allowed_slow(struct client *client, size_t bytes) {
    struct shard *shard = client->home;
    enum config_client_class class = client_class(client);
    uint64_t hard = shard->config->client_output_buffer_limit.classes[class].hard_bytes;
    uint64_t soft = shard->config->client_output_buffer_limit.classes[class].soft_bytes;
    int64_t seconds = shard->config->client_output_buffer_limit.classes[class].soft_seconds;
    if (client->flags & CLIENT_CLOSE_NOW) return false;
    if (!client->carrier) return true; /* the server's own */
    if (hard && bytes >= hard) {
        close_over_limit(client, bytes, "hard", hard);
        return false;
    }
    if (!soft || bytes < soft) {
        client->over_soft_since_ms = 0;
        return true;
    }
    if (!client->over_soft_since_ms) client->over_soft_since_ms = MAX(shard->now_ms, (uint64_t)1);
    shard->over_soft = true;
    if (shard->now_ms <= client->over_soft_since_ms + (uint64_t)seconds * 1000) return true;
    close_over_limit(client, bytes, "soft", soft);
    return false;
}

void client_limits_config_changed(struct shard *shard) {
    uint64_t least = UINT64_MAX;
    for (int class = 0; class < CLIENT_CLASS_COUNT; class ++) {
        uint64_t hard = shard->config->client_output_buffer_limit.classes[class].hard_bytes;
        uint64_t soft = shard->config->client_output_buffer_limit.classes[class].soft_bytes;
        if (hard) least = MIN(least, hard);
        if (soft) least = MIN(least, soft);
    }
    shard->output_limit = least;
    shard->over_soft = true; /* limits apply to whoever is over them already */
}

void client_limits_turn(struct shard *shard) {
    if (LIKELY(!shard->over_soft) || shard->now_ns < shard->next_limits_ns) return;
    shard->next_limits_ns = shard->now_ns + LOOK_NS;
    shard->over_soft = false;
    for (struct client *client = shard->clients_first; client; client = client->next)
        if (client_output_allowed(client) && client_output_bytes(client) < shard->output_limit)
            client->over_soft_since_ms = 0;
}
