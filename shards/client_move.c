/* What ties a client to its shard, and what it takes along. */
#include "shards/client_move.h"
#include "core/assert.h"
#include "shards/multi.h"

#define FLAGS_TAKEN                                                                                                    \
    (CLIENT_NO_TOUCH | CLIENT_NO_EVICT | CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT |               \
     CLIENT_UNIX_SOCKET | CLIENT_AUTHENTICATED)
/* One that came in at its thread's own port is at home there, by its own choice. */
#define FLAGS_THAT_TIE                                                                                                 \
    (CLIENT_PUBSUB | CLIENT_PUBSUB_ONLY | CLIENT_MONITOR | CLIENT_CLOSE_NOW | CLIENT_CLOSE_AFTER_REPLY |               \
     CLIENT_ENDPOINT | CLIENT_LOADER)

void client_wish(struct shard *shard, struct client *client) {
    struct homing *homing = &client->homing;
    uint64_t patience_ns = (uint64_t)shard->config->client_homing_ms * 1000000;
    if (!homing_look(homing, client->commands, shard->now_ns, patience_ns)) return;
    if (!client->carrier || client->flags & FLAGS_THAT_TIE) return;
    homing->wish = (uint8_t)(homing->shard + 1);
    shard->host.attend(shard->host.ctx, client);
}

/* Waits that end by themselves, soon, are none that tie. */
static bool waits_long(const struct client *client) {
    switch ((enum client_wait)client->wait) {
    case WAIT_NOTHING:
    case WAIT_REPLIES:
    case WAIT_GATHER:
    case WAIT_READER: return client->blocked != NULL;
    default: return true;
    }
}

bool client_may_move(const struct client *client) {
    return !(client->flags & FLAGS_THAT_TIE) && !waits_long(client) && multi_is_idle(client) && !client->has_ticket &&
           buf_readable(&client->in) <= CLIENT_LUGGAGE_MAX && !client->home->loading;
}

bool client_is_quiet(const struct client *client) {
    return client->wait == WAIT_NOTHING && client->queued == 0 && !client->gather && !client_has_output(client) &&
           reply_queue_empty(&client->replies) && client->carried == 0 && !(client->flags & CLIENT_DIRTY_OUT);
}

static struct slice text_of(const char *text) {
    return text ? slice_of_cstr(text) : slice_of("", 0);
}

void client_pack(const struct client *client, struct client_luggage *luggage, struct slice args[CLIENT_LUGGAGE_ARGS]) {
    ASSERT(client_may_move(client) && client_is_quiet(client));
    memset(luggage, 0, sizeof *luggage); /* it travels as bytes, those between its fields included */
    luggage->id = client->id;
    luggage->created_ms = client->created_ms;
    luggage->active_ms = client->active_ms;
    luggage->commands = client->commands;
    luggage->bytes_in = client->bytes_in;
    luggage->bytes_out = client->bytes_out;
    luggage->homing = homing_after_move(&client->homing, client->home->now_ns);
    luggage->last_command = client->last_command; /* of the registry, which is one for all */
    luggage->flags = client->flags & FLAGS_TAKEN;
    luggage->reply_size = client->reply_size;
    luggage->answer_size = client->answer_size;
    luggage->gather_size = client->gather_size;
    luggage->db = client->db;
    luggage->resp = client->resp;
    args[0] = slice_of((const char *)luggage, sizeof *luggage);
    args[1] = text_of(client->name);
    args[2] = text_of(client->lib_name);
    args[3] = text_of(client->lib_ver);
    args[4] = PLANTED(client->home, PLANT_LOST_INPUT) ? slice_of("", 0) : buf_slice(&client->in);
}

static void read_luggage(const struct slice args[CLIENT_LUGGAGE_ARGS], struct client_luggage *luggage) {
    ASSERT(args[0].len == sizeof *luggage);
    memcpy(luggage, args[0].ptr, sizeof *luggage);
}

uint64_t client_packed_id(const struct slice args[CLIENT_LUGGAGE_ARGS]) {
    struct client_luggage luggage;
    read_luggage(args, &luggage);
    return luggage.id;
}

void client_unpack(struct client *client, const struct slice args[CLIENT_LUGGAGE_ARGS]) {
    struct client_luggage luggage;
    read_luggage(args, &luggage);
    ASSERT(client->id == luggage.id && client->commands == 0);
    client->created_ms = luggage.created_ms;
    client->active_ms = luggage.active_ms;
    client->commands = luggage.commands;
    client->bytes_in = luggage.bytes_in;
    client->bytes_out = luggage.bytes_out;
    client->homing = luggage.homing;
    client->last_command = luggage.last_command;
    client->flags = luggage.flags;
    client->reply_size = luggage.reply_size;
    client->answer_size = luggage.answer_size;
    client->gather_size = luggage.gather_size;
    client->db = luggage.db;
    client->resp = luggage.resp;
    client_set_text(client, &client->name, args[1]);
    client_set_text(client, &client->lib_name, args[2]);
    client_set_text(client, &client->lib_ver, args[3]);
    if (args[4].len) buf_append_slice(&client->in, args[4]);
}
