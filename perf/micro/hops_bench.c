/* Hops: what a command costs of which a part, or all, runs on another shard, without threads and without a kernel.
 *
 * All shards live in this one thread and have their turns one after the other; a client sends its next pipeline when it
 * has the replies to the last. So it counts the instructions of the message path (under callgrind; they are the same
 * on a busy machine), and of the times those that are not for lines that move between caches.
 * Usage: hops_bench [get|set|mget|mset] [shards] [rounds] [clients of a shard] [pipeline] */
#include "core/assert.h"
#include "core/clock.h"
#include "core/prng.h"
#include "shards/client.h"
#include "shards/cmd_tables.h"
#include "shards/gather.h"
#include "shards/mailbox.h"
#include "shards/pipeline.h"
#include "shards/shard.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS_MAX = 16, CLIENTS_MAX = 64, KEYS = 20000, KEYS_OF_MANY = 10, VALUE_BYTES = 64, TABLES_MAX = 64 };

struct visitor {
    struct client client; /* first: a client is cast back to its visitor */
    struct buf input;
    bool attending;
};

struct place {
    struct bench *bench;
    struct shard *shard;
    struct visitor visitors[CLIENTS_MAX];
    bool attend;
    _Atomic uint64_t pending;
};

struct bench {
    const char *op;
    uint32_t shards, clients, pipeline;
    struct place places[THREADS_MAX];
    struct mailbox *mailboxes[THREADS_MAX * THREADS_MAX];
    struct command_registry *registry;
    struct config config;
    struct log log;
    struct heap *heap;
    struct prng prng;
    uint64_t now_ns, commands;
};

/* --- host --- */

static void wake(void *ctx, uint32_t to) {
    (void)ctx, (void)to; /* all have their turn in any case */
}

static void attend(void *ctx, struct client *client) {
    ((struct visitor *)client)->attending = true;
    ((struct place *)ctx)->attend = true;
}

static uint64_t ticks(void *ctx) {
    return ((struct place *)ctx)->bench->now_ns;
}

static void address(const struct client *client, bool local, char *out, size_t out_size) {
    (void)client, (void)local;
    snprintf(out, out_size, "bench");
}

static int descriptor(const struct client *client) {
    (void)client;
    return -1;
}

static void no_line(void *ctx, const char *line, size_t len) {
    (void)ctx, (void)line, (void)len;
}

static const struct client_carrier carrier = {.address = address, .descriptor = descriptor};

/* --- birth --- */

static void make_registry(struct bench *b) {
    static const struct command *const own[] = {SHARD_COMMAND_TABLES};
    const struct command *tables[TABLES_MAX];
    static_assert(ARRAY_LEN(own) < TABLES_MAX, "room for the end");
    memcpy(tables, own, sizeof own);
    tables[ARRAY_LEN(own)] = NULL;
    b->registry = command_registry_new(b->heap, tables);
}

static void make_place(struct bench *b, uint32_t id) {
    struct place *place = &b->places[id];
    struct mailbox *out[SHARDS_MAX], *in[SHARDS_MAX];
    _Atomic uint64_t *pending[SHARDS_MAX];
    for (uint32_t i = 0; i < b->shards; i++) {
        out[i] = b->mailboxes[id * b->shards + i];
        in[i] = b->mailboxes[i * b->shards + id];
        pending[i] = &b->places[i].pending;
    }
    place->bench = b;
    struct shard_options options = {
        .id = id,
        .count = b->shards,
        .db_count = 1,
        .hash_seed = {1, 2},
        .random_seed = id,
        .host = {.ctx = place, .wake = wake, .attend = attend, .ticks = ticks, .tick_ns = 1},
        .registry = b->registry,
        .config = &b->config,
        .log = &b->log,
        .outbox = out,
        .inbox = in,
        .pending = pending,
    };
    assert_set_shard((int)id);
    place->shard = shard_new(&options);
    for (uint32_t i = 0; i < b->clients; i++) {
        struct visitor *visitor = &place->visitors[i];
        client_init(&visitor->client, place->shard, &carrier, id * CLIENTS_MAX + i + 1);
        buf_init(&visitor->input, b->heap, MEM_CLIENT_IN);
    }
    assert_set_shard(-1);
}

static void make(struct bench *b, struct clock_manual *clock) {
    b->heap = heap_new();
    clock_manual_init(clock, 1000000000, 1700000000ull * 1000000);
    config_init(&b->config);
    log_init(&b->log, no_line, NULL, clock_manual_port(clock), LOG_LEVEL_NOTHING, 'M');
    make_registry(b);
    for (uint32_t i = 0; i < b->shards * b->shards; i++)
        if (i / b->shards != i % b->shards) b->mailboxes[i] = mailbox_new(1024);
    for (uint32_t i = 0; i < b->shards; i++) make_place(b, i);
}

/* --- the turn --- */

static void add_word(struct buf *out, const char *text, size_t len) {
    char header[32];
    int size = snprintf(header, sizeof header, "$%zu\r\n", len);
    buf_append(out, header, (size_t)size);
    buf_append(out, text, len);
    buf_append(out, "\r\n", 2);
}

static void add_command(struct bench *b, struct buf *out, const char *op, uint32_t keys, uint32_t first_key) {
    static const char value[VALUE_BYTES] = "some value or other";
    bool writes = op[strlen(op) - 3] == 's'; /* set, mset */
    char text[32];
    int size = snprintf(text, sizeof text, "*%u\r\n", 1 + keys * (writes ? 2 : 1));
    buf_append(out, text, (size_t)size);
    add_word(out, op, strlen(op));
    for (uint32_t i = 0; i < keys; i++) {
        uint32_t key = first_key == UINT32_MAX ? (uint32_t)prng_below(&b->prng, KEYS) : first_key + i;
        size = snprintf(text, sizeof text, "key:%012u", key);
        add_word(out, text, (size_t)size);
        if (writes) add_word(out, value, sizeof value);
    }
}

static bool is_done(const struct visitor *visitor) {
    const struct client *client = &visitor->client;
    return client->wait == WAIT_NOTHING && reply_queue_empty(&client->replies) && buf_readable(&client->in) == 0;
}

static void feed(struct bench *b, struct visitor *visitor) {
    struct client *client = &visitor->client;
    struct slice bytes = buf_slice(&visitor->input);
    size_t taken = pipeline_feed(client->home, client, bytes);
    client_keep_input(client->home, client, slice_of(bytes.ptr + taken, bytes.len - taken));
    b->commands += b->pipeline;
}

static void write_inputs(struct bench *b, struct place *place) {
    for (uint32_t i = 0; i < b->clients; i++) {
        struct visitor *visitor = &place->visitors[i];
        if (!is_done(visitor)) continue;
        visitor->input.len = visitor->input.read = 0;
        for (uint32_t n = 0; n < b->pipeline; n++)
            add_command(b, &visitor->input, b->op, b->op[0] == 'm' ? KEYS_OF_MANY : 1, UINT32_MAX);
    }
}

static void attend_all(struct bench *b, struct place *place) {
    place->attend = false;
    for (uint32_t i = 0; i < b->clients; i++) {
        struct visitor *visitor = &place->visitors[i];
        if (!visitor->attending) continue;
        visitor->attending = false;
        pipeline_feed_kept(place->shard, &visitor->client);
    }
    pipeline_run(place->shard);
}

static void turn(struct bench *b, uint32_t id, bool feeds) {
    struct place *place = &b->places[id];
    struct shard *shard = place->shard;
    assert_set_shard((int)id);
    b->now_ns += 20000;
    shard_turn_begin(shard, b->now_ns, b->now_ns / 1000000);
    for (uint32_t i = 0; feeds && i < b->clients; i++)
        if (is_done(&place->visitors[i])) feed(b, &place->visitors[i]);
    pipeline_run(shard);
    if (place->attend) attend_all(b, place);
    (void)shard_turn(shard);
    for (struct client *client; (client = shard_next_dirty(shard));)
        if (reply_queue_empty(&client->replies)) buf_reset(&client->out, 16 * 1024);
    assert_set_shard(-1);
}

static void load(struct bench *b) {
    struct visitor *visitor = &b->places[0].visitors[0];
    for (uint32_t key = 0; key < KEYS; key += KEYS_OF_MANY) {
        visitor->input.len = visitor->input.read = 0;
        add_command(b, &visitor->input, "mset", KEYS_OF_MANY, key);
        assert_set_shard(0);
        feed(b, visitor);
        do
            for (uint32_t i = 0; i < b->shards; i++) turn(b, i, false);
        while (!is_done(visitor));
    }
    b->commands = 0;
}

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* What is measured (callgrind: --toggle-collect=play). */
NOINLINE void play(struct bench *b);
NOINLINE void play(struct bench *b) {
    for (uint32_t i = 0; i < b->shards; i++) turn(b, i, true);
}

int main(int argc, char **argv) {
    static struct bench b;
    struct clock_manual clock;
    b.op = argc > 1 ? argv[1] : "mget";
    b.shards = argc > 2 ? (uint32_t)atoi(argv[2]) : 2;
    uint64_t rounds = argc > 3 ? strtoull(argv[3], NULL, 10) : 2000;
    b.clients = argc > 4 ? (uint32_t)atoi(argv[4]) : MAX(50 / MAX(b.shards, 1u), 1u);
    b.pipeline = argc > 5 ? (uint32_t)atoi(argv[5]) : 16;
    ASSERT(b.shards > 0 && b.shards <= THREADS_MAX && b.clients > 0 && b.clients <= CLIENTS_MAX && b.pipeline > 0);
    prng_init(&b.prng, 1);
    make(&b, &clock);
    load(&b);
    double spent = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < b.shards; i++) write_inputs(&b, &b.places[i]);
        double start = now_ns();
        play(&b);
        spent += now_ns() - start;
    }
    printf("%s, %u shards: %.0f ns, %llu commands\n", b.op, b.shards, spent / (double)b.commands,
           (unsigned long long)b.commands);
    return 0;
}
