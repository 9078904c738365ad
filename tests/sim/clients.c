/* Actors, their replies, and quiet moments. Everything that is sent goes through `say`, everything that comes through
 * `receive_reply`. */
#include "tests/sim/clients.h"
#include "core/hash.h"
#include "core/resp_write.h"
#include <stdarg.h>
#include <stdlib.h>

#define SETTLE_STEPS 50000 /* a settled machine needs some hundred */
#define WORDS_TEXT   256

/* --- birth and death --- */

/* Names that fall on known shards: one for each shard first. Every third of the others shares a slot
 * with one of those. */
static void name_keys(struct clients *clients, uint32_t keys, char names[][16]) {
    uint32_t tried = 0, numbers[MODEL_KEYS];
    for (uint32_t i = 0; i < keys; i++) {
        uint32_t shard = i < clients->shards ? i : clients_below(clients, clients->shards);
        clients->shard_of[i] = (uint8_t)shard;
        if (i >= clients->shards && clients_below(clients, 3) == 0) {
            numbers[i] = numbers[shard];
            snprintf(names[i], sizeof names[i], "{k%u}%u", numbers[i], i);
            continue;
        }
        do {
            numbers[i] = tried++;
            snprintf(names[i], sizeof names[i], "k%u", numbers[i]);
        } while (shard_of_slot(hash_slot(slice_of_cstr(names[i])), clients->shards) != shard);
    }
}

static void plant(struct clients *clients, int bug) {
#ifdef SHERD_PLANTED
    for (uint32_t i = 0; i < clients->shards; i++) sim_shard(clients->sim, i)->planted = (enum planted_bug)bug;
#else
    ASSERT(bug == PLANT_NOTHING);
    (void)clients;
#endif
}

struct clients *clients_new(const struct clients_options *options) {
    struct clients *clients = calloc(1, sizeof *clients);
    ASSERT(clients && options->keys <= MODEL_KEYS);
    struct sim_options sim = {.shards = options->shards,
                              .mailbox_capacity = options->mailbox,
                              .db_count = MODEL_DBS,
                              .gated = options->gated,
                              .pieces = options->seed & 1,
                              .braked = options->braked,
                              .cramped = options->cramped,
                              .moves = options->moves,
                              .seed = options->seed,
                              .tables = options->tables};
    clients->sim = sim_new(&sim);
    clients->shards = options->shards;
    plant(clients, options->planted);
    prng_init(&clients->prng, ~options->seed);
    clients->heap = heap_new();
    clients->origin_ms = sim_now_ms(clients->sim) - 1; /* the model's 0 means no deadline */
    char names[MODEL_KEYS][16];
    const char *pointers[MODEL_KEYS];
    name_keys(clients, options->keys, names);
    for (uint32_t i = 0; i < options->keys; i++) pointers[i] = names[i];
    clients->model = model_new(pointers, options->keys, clients->origin_ms);
    clients->history = history_new(clients->model);
    return clients;
}

void clients_abandon(struct clients *clients) {
    heap_delete(clients->heap);
    history_delete(clients->history);
    model_delete(clients->model);
    free(clients);
}

void clients_delete(struct clients *clients) {
    sim_delete(clients->sim);
    if (clients->crashed) sim_delete(clients->crashed);
    clients_abandon(clients);
}

struct actor *clients_join(struct clients *clients, uint32_t shard, uint8_t db) {
    static const size_t pieces[] = {1, 7, 100, 0, 0, 0};
    if (clients->actor_count == MODEL_CLIENTS) return NULL;
    struct actor *actor = &clients->actors[clients->actor_count];
    *actor = (struct actor){.clients = clients, .number = (uint8_t)clients->actor_count++, .db = db};
    actor->peer = sim_connect(clients->sim, shard);
    actor->peer->client.db = db;
    actor->peer->piece_max = pieces[clients_below(clients, ARRAY_LEN(pieces))];
    return actor;
}

struct actor *clients_join_anywhere(struct clients *clients, uint8_t db) {
    return clients_join(clients, clients_below(clients, clients->shards), db);
}

bool clients_ok(const struct clients *clients) {
    return clients->trouble[0] == '\0';
}

void clients_trouble(struct clients *clients, const char *format, ...) {
    if (!clients_ok(clients)) return;
    va_list list;
    va_start(list, format);
    vsnprintf(clients->trouble, sizeof clients->trouble, format, list);
    va_end(list);
}

void clients_explain(const struct clients *clients, FILE *out) {
    fputs("  under way:\n", out);
    for (uint32_t i = 0; i < history_count(clients->history); i++) {
        if (history_at(clients->history, i)->returned != HISTORY_NEVER) continue;
        fputs("    ", out);
        history_print(clients->history, i, out);
    }
    sim_explain(clients->sim);
}

uint32_t clients_below(struct clients *clients, uint32_t n) {
    return (uint32_t)prng_below(&clients->prng, n);
}

uint32_t clients_now_ms(const struct clients *clients) {
    return (uint32_t)(sim_now_ms(clients->sim) - clients->origin_ms);
}

/* --- commands --- */

struct model_command command_on(enum model_code code, const struct actor *actor, const uint8_t *keys, uint32_t count) {
    ASSERT(count <= MODEL_ARGS);
    struct model_command command = {.code = (uint8_t)code, .db = actor->db, .key_count = (uint8_t)count};
    for (uint32_t i = 0; i < count; i++) command.keys[i] = (uint8_t)(actor->db * MODEL_KEYS + keys[i]);
    return command;
}

void command_add_text(struct clients *clients, struct model_command *command, const char *text) {
    ASSERT(command->value_count < MODEL_ARGS);
    command->values[command->value_count++] = value_of_text(model_values(clients->model), slice_of_cstr(text));
}

void command_add_int(struct clients *clients, struct model_command *command, int64_t value) {
    ASSERT(command->value_count < MODEL_ARGS);
    command->values[command->value_count++] = value_of_int(model_values(clients->model), value);
}

/* --- sending --- */

static void say(struct actor *actor, const struct model_command *command) {
    struct clients *clients = actor->clients;
    struct slice words[MODEL_ARGC_MAX];
    char texts[WORDS_TEXT];
    uint32_t count = model_words(clients->model, command, words, texts, sizeof texts);
    struct buf bytes;
    buf_init(&bytes, clients->heap, MEM_CLIENT_IN);
    resp_command(&bytes, words, count);
    sim_say(actor->peer, bytes.data, bytes.len);
    buf_deinit(&bytes);
}

static void say_text(struct actor *actor, const char *text) {
    sim_say(actor->peer, text, strlen(text));
}

static void expect(struct actor *actor, enum expected expected, uint32_t operation) {
    ASSERT(actor->count < ACTOR_PENDING);
    actor->pending[(actor->first + actor->count++) % ACTOR_PENDING] =
        (struct pending){.expected = (uint8_t)expected, .operation = operation};
}

/* The one shard of all its keys, those it watches included; -1 when there is none such. */
static int shard_of(const struct actor *actor, const struct invocation *invocation) {
    struct model_operation what = {.count = invocation->count, .commands = invocation->commands};
    uint32_t places = model_places(&what) | invocation->watched;
    int shard = -1;
    for (uint32_t i = 0; i < what.count; i++)
        if (model_is_wide((enum model_code)what.commands[i].code)) return -1;
    for (; places; places &= places - 1) {
        int owner = actor->clients->shard_of[(uint32_t)__builtin_ctz(places) % MODEL_KEYS];
        if (shard >= 0 && shard != owner) return -1;
        shard = owner;
    }
    return shard;
}

/* As the README says: what is not the sum of its keys, on whatever shards; EXEC when it watches or contains a command
 * over several shards. */
static bool is_barrier(const struct actor *actor, const struct invocation *invocation) {
    const struct command_registry *registry = sim_shard(actor->clients->sim, 0)->registry;
    if (!invocation->transaction) {
        const char *name = model_code_name((enum model_code)invocation->commands[0].code);
        const struct command_slot *slot = command_find(registry, slice_of_cstr(name));
        return slot && slot->barrier;
    }
    if (invocation->watched) return true;
    for (uint32_t i = 0; i < invocation->count; i++) {
        struct invocation alone = {.commands = &invocation->commands[i], .count = 1};
        if (shard_of(actor, &alone) < 0) return true;
    }
    return false;
}

static uint32_t invoke(struct actor *actor, struct invocation invocation) {
    struct clients *clients = actor->clients;
    ASSERT(!actor->leaving);
    invocation.client = actor->number;
    invocation.now_ms = clients_now_ms(clients);
    invocation.shard = shard_of(actor, &invocation);
    invocation.barrier = is_barrier(actor, &invocation);
    actor->latest = history_invoke(clients->history, &invocation);
    return actor->latest;
}

static bool forgets_watches(enum model_code code) {
    return code == DO_UNWATCH || code == DO_DISCARD;
}

uint32_t actor_send(struct actor *actor, const struct model_command *command) {
    ASSERT(!actor->in_multi);
    bool forgets = forgets_watches((enum model_code)command->code);
    struct invocation invocation = {.commands = command, .count = 1, .watched = forgets ? actor->watched : 0};
    uint32_t number = invoke(actor, invocation);
    if (forgets) actor->watched = 0;
    if (command->code == DO_WATCH)
        for (uint32_t i = 0; i < command->key_count; i++) actor->watched |= 1u << command->keys[i];
    say(actor, command);
    expect(actor, EXPECT_RESULT, number);
    return number;
}

void actor_begin(struct actor *actor, const struct model_command *commands, uint32_t count) {
    ASSERT(!actor->in_multi && !actor->leaving && count <= MODEL_ARGS);
    actor->in_multi = true;
    actor->refused = false;
    actor->open_count = 0;
    say_text(actor, "*1\r\n$5\r\nMULTI\r\n");
    expect(actor, EXPECT_OK, 0);
    for (uint32_t i = 0; i < count; i++) {
        bool refused = commands[i].code == DO_UNKNOWN;
        say(actor, &commands[i]);
        expect(actor, refused ? EXPECT_REFUSED : EXPECT_QUEUED, 0);
        actor->refused |= refused;
        if (!refused) actor->open[actor->open_count++] = commands[i];
    }
}

uint32_t actor_exec(struct actor *actor) {
    ASSERT(actor->in_multi);
    struct invocation invocation = {.transaction = true,
                                    .refused = actor->refused,
                                    .commands = actor->open,
                                    .count = actor->open_count,
                                    .watched = actor->watched};
    uint32_t number = invoke(actor, invocation);
    actor->in_multi = false;
    actor->watched = 0;
    say_text(actor, "*1\r\n$4\r\nEXEC\r\n");
    expect(actor, EXPECT_RESULT, number);
    return number;
}

uint32_t actor_discard(struct actor *actor) {
    ASSERT(actor->in_multi);
    struct model_command discard = {.code = DO_DISCARD};
    actor->in_multi = false;
    return actor_send(actor, &discard);
}

uint32_t actor_transact(struct actor *actor, const struct model_command *commands, uint32_t count) {
    actor_begin(actor, commands, count);
    return actor_exec(actor);
}

void actor_vanish(struct actor *actor) {
    actor->leaving = true;
    sim_vanish(actor->peer);
}

/* --- receiving --- */

bool actor_idle(const struct actor *actor) {
    return actor->count == 0 && !actor->leaving;
}

const struct operation *actor_latest(const struct actor *actor) {
    return history_at(actor->clients->history, actor->latest);
}

static const struct pending *front(const struct actor *actor) {
    return &actor->pending[actor->first % ACTOR_PENDING];
}

bool actor_waits(const struct actor *actor) {
    return actor->count > 0 && !actor->leaving && front(actor)->expected == EXPECT_RESULT &&
           history_at(actor->clients->history, front(actor)->operation)->waits;
}

static bool is_expected(enum expected expected, struct slice reply) {
    switch (expected) {
    case EXPECT_OK: return slice_equal(reply, SLICE("+OK\r\n"));
    case EXPECT_QUEUED: return slice_equal(reply, SLICE("+QUEUED\r\n"));
    case EXPECT_REFUSED: return reply.ptr[0] == '-';
    case EXPECT_RESULT: return true;
    case EXPECT_NOTHING: break;
    }
    return false;
}

/* Giving up before the time is over, or without one. A millisecond is what a clock of milliseconds may lose. */
static void check_patience(struct actor *actor, const struct operation *operation) {
    const struct model_operation *what = &operation->what;
    uint32_t timeout_ms = what->commands[0].timeout_ms;
    if (!operation->waits || !slice_equal(operation->reply, SLICE("*-1\r\n"))) return;
    if (timeout_ms && what->to_ms - what->from_ms + 1 >= timeout_ms) return;
    clients_trouble(actor->clients, "client %u gave up after %u ms instead of %u", actor->number,
                    what->to_ms - what->from_ms, timeout_ms);
}

static void receive_reply(struct actor *actor, struct slice reply) {
    struct clients *clients = actor->clients;
    const struct pending *pending = front(actor);
    enum expected expected = actor->count ? (enum expected)pending->expected : EXPECT_NOTHING;
    if (!is_expected(expected, reply)) {
        static const char *const texts[] = {"OK", "QUEUED", "an error", "a result", "nothing"};
        clients_trouble(clients, "client %u got %.*s instead of %s", actor->number, (int)MIN(reply.len, (size_t)80),
                        reply.ptr, texts[expected]);
        return;
    }
    actor->first++;
    actor->count--;
    if (expected != EXPECT_RESULT) return;
    history_answer(clients->history, pending->operation, reply, clients_now_ms(clients));
    check_patience(actor, history_at(clients->history, pending->operation));
}

static void receive(struct actor *actor) {
    struct buf *got = &actor->peer->got;
    while (buf_readable(got) > 0 && clients_ok(actor->clients)) {
        struct slice bytes = buf_slice(got);
        size_t size = resp_skip(bytes);
        if (!size) return;
        receive_reply(actor, slice_of(bytes.ptr, size));
        got->read += size;
    }
    if (buf_readable(got) == 0) buf_reset(got, SIZE_MAX);
}

/* Its connection is gone: a wait that was not served by now never will be. What else it had under way may still be in a
 * mailbox, so that is closed at the next quiet moment. */
static void say_goodbye(struct actor *actor) {
    struct clients *clients = actor->clients;
    actor->left = true;
    actor->left_at = clients->steps;
    for (uint32_t i = 0; i < actor->count; i++) {
        struct pending *pending = &actor->pending[(actor->first + i) % ACTOR_PENDING];
        if (pending->expected != EXPECT_RESULT || !history_at(clients->history, pending->operation)->waits) continue;
        history_close(clients->history, pending->operation, clients_now_ms(clients));
        pending->expected = EXPECT_NOTHING;
    }
}

static void close_pending(struct actor *actor) {
    struct clients *clients = actor->clients;
    for (; actor->count; actor->count--, actor->first++)
        if (front(actor)->expected == EXPECT_RESULT)
            history_close(clients->history, front(actor)->operation, clients_now_ms(clients));
}

void clients_step(struct clients *clients) {
    sim_step(clients->sim);
    clients->steps++;
    for (uint32_t i = 0; i < clients->actor_count; i++) {
        struct actor *actor = &clients->actors[i];
        if (buf_readable(&actor->peer->got) > 0) receive(actor);
        if (actor->leaving && !actor->left && actor->peer->gone) say_goodbye(actor);
        if (actor->peer->closed && !actor->leaving)
            clients_trouble(clients, "client %u was disconnected", actor->number);
    }
}

/* --- quiet moments --- */

static bool is_settled(const struct actor *actor, bool timed) {
    if (actor->leaving) return actor->left;
    if (actor->count == 0) return true;
    if (!actor_waits(actor)) return false;
    const struct operation *operation = history_at(actor->clients->history, front(actor)->operation);
    return !timed || operation->what.commands[0].timeout_ms == 0;
}

static bool all_settled(const struct clients *clients, bool timed) {
    for (uint32_t i = 0; i < clients->actor_count; i++)
        if (!is_settled(&clients->actors[i], timed)) return false;
    return sim_quiet(clients->sim);
}

static void report_hang(struct clients *clients) {
    char who[256] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < clients->actor_count && len + 16 < sizeof who; i++)
        if (!is_settled(&clients->actors[i], true))
            len += (size_t)snprintf(who + len, sizeof who - len, " c%u", clients->actors[i].number);
    clients_trouble(clients, "it hangs: no answer for%s", len ? who : " nobody, but shards are busy for ever");
}

bool clients_settle(struct clients *clients, bool timed) {
    for (uint32_t i = 0; i < clients->actor_count; i++) clients->actors[i].peer->stalled = false;
    uint64_t end = clients->steps + SETTLE_STEPS;
    while (!all_settled(clients, timed) && clients_ok(clients) && clients->steps < end) {
        clients_step(clients);
        if (clients->steps % 64 == 0) sim_check(clients->sim);
    }
    if (clients_ok(clients) && !all_settled(clients, timed)) report_hang(clients);
    for (uint32_t i = 0; i < clients->actor_count; i++) {
        struct actor *actor = &clients->actors[i];
        if (actor->left) close_pending(actor);
        if (clients_ok(clients) && actor_waits(actor)) history_waits(clients->history, front(actor)->operation);
    }
    return clients_ok(clients);
}

/* Keys that the actor waits for, as places. */
static uint32_t waits_for(const struct actor *actor) {
    if (!actor_waits(actor)) return 0;
    const struct model_command *command =
        &history_at(actor->clients->history, front(actor)->operation)->what.commands[0];
    uint32_t places = 0, keys = command->code == DO_BLMOVE ? 1 : command->key_count;
    for (uint32_t i = 0; i < keys; i++) places |= 1u << command->keys[i];
    return places;
}

static uint64_t waits_with(const struct actor *actor) {
    return actor_waits(actor) ? front(actor)->operation + UINT64_C(1) : 0;
}

/* Not those who gave up what they waited with and now wait with the next one: that may have taken elements since. */
static void check_waiters(struct clients *clients, uint32_t with_elements) {
    for (uint32_t i = 0; i < clients->actor_count; i++) {
        const struct actor *actor = &clients->actors[i];
        uint32_t missed = waits_for(actor) & with_elements;
        if (!missed || waits_with(actor) != actor->waited) continue;
        uint32_t place = (uint32_t)__builtin_ctz(missed);
        clients_trouble(clients, "client %u waits for %s in database %u, which has elements", actor->number,
                        model_name(clients->model, place), place / MODEL_KEYS);
    }
}

bool clients_look(struct clients *clients, struct actor *const *watchers, uint32_t dbs) {
    uint32_t reads[MODEL_PLACES], with_elements = 0, keys = model_keys(clients->model);
    for (uint32_t i = 0; i < clients->actor_count; i++) clients->actors[i].waited = waits_with(&clients->actors[i]);
    for (uint32_t db = 0; db < dbs; db++) {
        for (uint8_t key = 0; key < keys; key++) {
            struct model_command get = command_on(DO_GET, watchers[db], &key, 1);
            struct model_command range = command_on(DO_LRANGE, watchers[db], &key, 1);
            actor_send(watchers[db], &get);
            reads[db * MODEL_KEYS + key] = actor_send(watchers[db], &range);
        }
    }
    if (!clients_settle(clients, false)) return false;
    for (uint32_t place = 0; place < dbs * MODEL_KEYS; place++) {
        if (place % MODEL_KEYS >= keys) continue;
        struct slice reply = history_at(clients->history, reads[place])->reply;
        if (reply.ptr[0] == '*' && reply.ptr[1] != '0') with_elements |= 1u << place;
    }
    check_waiters(clients, with_elements);
    return clients_ok(clients);
}
