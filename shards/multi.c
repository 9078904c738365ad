/* A client's transaction. Commands are kept as message items (shards/message.h), the form in which they may have to
 * travel, each behind a head that says where it would go. */
#include "shards/multi.h"
#include "core/assert.h"
#include "shards/multi_priv.h"
#include "shards/pipeline.h"
#include "shards/route.h"
#include "shards/shard.h"
#include "shards/watch.h"

#define KEEP_BYTES  1024 /* of a queue that is empty again */
#define FEW_WATCHES 16   /* are looked through one by one */

struct multi *multi_of(struct client *client) {
    if (client->multi) return client->multi;
    struct heap *heap = client->home->heap;
    client->multi = heap_alloc_zero(heap, MEM_CLIENT_IN, sizeof *client->multi);
    buf_init(&client->multi->queue, heap, MEM_CLIENT_IN);
    buf_init(&client->multi->watches, heap, MEM_CLIENT_IN);
    return client->multi;
}

bool multi_is_open_slow(const struct client *client) {
    return client->multi->now.open;
}

bool multi_is_open_ahead_slow(const struct client *client) {
    return multi_ahead(client)->open;
}

bool multi_is_idle(const struct client *client) {
    const struct multi *multi = client->multi;
    return !multi || (!multi->now.open && multi->count == 0 && multi->watch_count == 0);
}

uint32_t multi_count(const struct client *client) {
    return client->multi ? client->multi->count : 0;
}

uint32_t multi_flags_ahead(const struct client *client) {
    return client->multi ? multi_ahead(client)->flags : 0;
}

bool multi_grows_ahead(const struct client *client) {
    return client->multi && multi_ahead(client)->grows;
}

size_t multi_memory(const struct client *client) {
    const struct multi *multi = client->multi;
    return multi ? sizeof *multi + multi->queue.cap + multi->watches.cap +
                       multi->watch_index.cap * sizeof(struct idmap_slot)
                 : 0;
}

void multi_open(struct client *client) {
    multi_of(client)->now.open = true;
}

void multi_spoil(struct client *client) {
    if (multi_is_open(client)) client->multi->now.spoiled = true;
}

/* What is kept is input that has not run, so it has the same limit; below it, it fits into one message. */
static void limit_kept(struct client *client) {
    struct shard *home = client->home;
    size_t kept = client->multi->queue.len + client->multi->watches.len;
    if (LIKELY(kept <= home->config->client_query_buffer_limit)) return;
    log_line(home->log, LOG_LEVEL_WARNING,
             "Closing client id=%llu: %zu bytes of its transaction are over client-query-buffer-limit",
             (unsigned long long)client->id, kept);
    client->flags |= CLIENT_CLOSE_NOW;
    home->host.attend(home->host.ctx, client);
}

/* --- commands --- */

static void note_command(struct multi_state *state, const struct shard *home, const struct queued *q) {
    const struct command *row = q->slot->row;
    state->flags |= row->flags;
    state->grows |= q->slot->grows;
    switch ((enum fate)q->fate_in_exec) {
    case FATE_LOCAL: /* what is about the connection needs it, even when EXEC has to stand in line */
        if (row->where == ON_CONN || (home->count > 1 && !q->hash_at)) state->mixed = true;
        state->owners |= 1ull << home->id;
        break;
    case FATE_REMOTE:
        if (!q->hash_at) state->mixed = true;
        state->owners |= 1ull << q->owner;
        break;
    default: state->mixed = true;
    }
}

void multi_queue(struct client *client, const struct queued *q) {
    struct multi *multi = client->multi;
    size_t size = message_item_size(q->argv, q->argc);
    struct kept *kept = (struct kept *)(void *)buf_reserve(&multi->queue, sizeof *kept + size);
    *kept = (struct kept){.fate = q->fate_in_exec, .owner = q->owner};
    struct message_item *item = message_item_write(kept + 1, size, q->argv, q->argc);
    item->hash = q->hash;
    item->hash_at = (uint8_t)q->hash_at;
    item->number = (uint16_t)q->slot->number;
    multi->queue.len += sizeof *kept + size;
    multi->count++;
    multi->arguments += q->argc;
    note_command(&multi->now, client->home, q);
    limit_kept(client);
}

void multi_look_ahead(struct client *client, const struct queued *q) {
    struct multi *multi = multi_of(client);
    if (client->queued == 0) multi->ahead = multi->now;
    switch ((enum fate)q->fate) {
    case FATE_MULTI: multi->ahead.open = true; break;
    case FATE_QUEUE: note_command(&multi->ahead, client->home, q); break;
    case FATE_REJECT: multi->ahead.spoiled = multi->ahead.open; break;
    case FATE_EXEC: multi->ahead = (struct multi_state){0}; break;
    default: break;
    }
}

/* --- watched keys --- */

static uint64_t watch_id(const struct shard *home, uint32_t db, struct slice key) {
    return (key_hash(&home->shared, key) + db * 0x9E3779B97F4A7C15ull) | 1;
}

static bool is_watched_at(const struct multi *multi, size_t at, uint32_t db, struct slice key) {
    const struct watched *watched = watched_next(&multi->watches, &at);
    return watched && watched->db == db && slice_equal(watched_key(watched), key);
}

/* The index answers at once; only two keys of one hash make it necessary to look through all. */
static bool watches(const struct shard *home, const struct multi *multi, uint32_t db, struct slice key) {
    if (multi->watch_count > FEW_WATCHES) {
        size_t found = (size_t)(uintptr_t)idmap_get(&multi->watch_index, watch_id(home, db, key));
        if (found == 0) return false;
        if (is_watched_at(multi, found - 1, db, key)) return true;
    }
    size_t at = 0;
    const struct watched *watched;
    while ((watched = watched_next(&multi->watches, &at)))
        if (watched->db == db && slice_equal(watched_key(watched), key)) return true;
    return false;
}

/* at: where the one begins that was added last. */
static void index_watch(const struct shard *home, struct multi *multi, size_t at) {
    if (multi->watch_count <= FEW_WATCHES) return;
    if (multi->watch_count == FEW_WATCHES + 1) {
        idmap_init(&multi->watch_index, home->heap, MEM_CLIENT_IN);
        at = 0; /* those before it, too */
    }
    for (size_t next = at; at < multi->watches.len; at = next) {
        const struct watched *watched = watched_next(&multi->watches, &next);
        uint64_t id = watch_id(home, watched->db, watched_key(watched));
        if (!idmap_get(&multi->watch_index, id)) idmap_put(&multi->watch_index, id, (void *)(uintptr_t)(at + 1));
    }
}

void multi_note_watch(struct client *client, uint32_t db, struct slice key, uint64_t version) {
    struct multi *multi = multi_of(client);
    if (watches(client->home, multi, db, key)) {
        multi_drop_watch(client->home, db, key);
        return;
    }
    size_t at = multi->watches.len;
    struct watched watched = {.version = version, .db = db, .key_len = (uint32_t)key.len};
    watched.owner = shard_of_key(client->home, key);
    size_t padding = -key.len & 7;
    buf_append(&multi->watches, &watched, sizeof watched);
    buf_append_slice(&multi->watches, key);
    buf_append(&multi->watches, "\0\0\0\0\0\0\0", padding);
    multi->watch_count++;
    multi->watch_owners |= 1ull << watched.owner;
    index_watch(client->home, multi, at);
    limit_kept(client);
}

void multi_drop_watch(struct shard *home, uint32_t db, struct slice key) {
    uint32_t owner = shard_of_key(home, key);
    if (owner == home->id) {
        watch_drop(home, db, key);
        return;
    }
    struct slice argv[2] = {SLICE("sherd.unwatch"), key};
    struct message *message = pipeline_outgoing(home, owner, false);
    struct message_item *item = message_add(message, (struct message_note){0}, argv, 2);
    item->how = ITEM_UNDER; /* it changes nothing that is locked */
    item->number = (uint16_t)command_find(home->registry, argv[0])->number;
    item->db = (uint16_t)db;
    item->silent = item->part = true;
}

void multi_drop_watches(struct shard *home, const struct buf *all) {
    size_t at = 0;
    const struct watched *watched;
    while ((watched = watched_next(all, &at))) multi_drop_watch(home, watched->db, watched_key(watched));
}

void multi_forget_watches(struct multi *multi) {
    buf_reset(&multi->watches, 0);
    if (multi->watch_index.slots) idmap_deinit(&multi->watch_index);
    multi->watch_count = 0;
    multi->watch_owners = 0;
}

void multi_unwatch(struct client *client) {
    if (!client->multi) return;
    multi_drop_watches(client->home, &client->multi->watches);
    multi_forget_watches(client->multi);
}

/* --- the end --- */

void multi_close(struct client *client) {
    struct multi *multi = client->multi;
    buf_reset(&multi->queue, KEEP_BYTES);
    multi->count = multi->arguments = 0;
    multi->now = (struct multi_state){0};
}

void multi_abandon(struct client *client) {
    if (!client->multi) return;
    multi_unwatch(client);
    multi_close(client);
}

void multi_delete(struct client *client) {
    struct multi *multi = client->multi;
    if (!multi) return;
    multi_abandon(client);
    buf_deinit(&multi->queue);
    buf_deinit(&multi->watches);
    heap_free(client->home->heap, MEM_CLIENT_IN, multi, sizeof *multi);
    client->multi = NULL;
}
