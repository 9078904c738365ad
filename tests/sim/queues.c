/* Elements are numbers from 1, in the order in which they were sent. */
#include "tests/sim/queues.h"
#include "tests/sim/answers.h"
#include "tests/sim/clients.h"
#include <inttypes.h>
#include <stdlib.h>

#define ELEMENTS_MAX 2048
#define ACTORS_MAX   12
#define WAITERS_MAX  16
#define TIMEOUT_MS   8
#define TOKENS_MAX   8
#define LOOK_MAX     600 /* elements of one list that are read back */

struct queues {
    struct clients *clients;
    struct actor *first; /* fills and looks; never vanishes */
    uint32_t keys;
    uint32_t pushed; /* numbers given out */
    uint8_t popped[ELEMENTS_MAX + 1], left[ELEMENTS_MAX + 1];
    bool sure[ELEMENTS_MAX + 1]; /* its push was acknowledged */
    bool lossless;               /* nobody vanished while something was pushed */
    uint64_t may_be_lost;        /* asked for by clients that vanished */
};

static uint32_t below(struct queues *queues, uint32_t n) {
    return clients_below(queues->clients, n);
}

static uint8_t pick_key(struct queues *queues) {
    return (uint8_t)below(queues, queues->keys);
}

/* --- commands --- */

static struct model_command push(struct queues *queues, const struct actor *actor, uint8_t key, uint32_t count) {
    struct model_command command = command_on(below(queues, 2) ? DO_RPUSH : DO_LPUSH, actor, &key, 1);
    ASSERT(queues->pushed + count <= ELEMENTS_MAX);
    for (uint32_t i = 0; i < count; i++) command_add_int(queues->clients, &command, ++queues->pushed);
    return command;
}

static struct model_command several(struct queues *queues, const struct actor *actor, enum model_code code,
                                    uint32_t timeout_ms) {
    uint8_t keys[3];
    uint32_t count = 1 + below(queues, ARRAY_LEN(keys));
    for (uint32_t i = 0; i < count; i++) keys[i] = pick_key(queues);
    struct model_command command = command_on(code, actor, keys, count);
    command.number = 1 + below(queues, 3);
    command.from_right = below(queues, 2);
    command.timeout_ms = timeout_ms;
    return command;
}

static struct model_command move(struct queues *queues, const struct actor *actor, enum model_code code, uint8_t from,
                                 uint8_t to, uint32_t timeout_ms) {
    struct model_command command = command_on(code, actor, (uint8_t[]){from, to}, 2);
    command.from_right = below(queues, 2);
    command.to_right = below(queues, 2);
    command.timeout_ms = timeout_ms;
    return command;
}

/* --- what became of each element --- */

static void note(struct queues *queues, uint8_t *counts, struct slice element) {
    int64_t number;
    if (!answer_int(element, &number) || number < 1 || number > queues->pushed) {
        clients_trouble(queues->clients, "an element that nobody pushed: %.*s", (int)MIN(element.len, (size_t)40),
                        element.ptr);
        return;
    }
    if (counts[number] < UINT8_MAX) counts[number]++;
}

static void note_all(struct queues *queues, uint8_t *counts, struct slice array) {
    struct slice elements[LOOK_MAX];
    uint32_t count = answer_elements(array, elements, LOOK_MAX);
    for (uint32_t i = 0; i < count; i++) note(queues, counts, elements[i]);
}

/* The reply of a command that pops. */
static void note_popped(struct queues *queues, const struct model_command *command, struct slice reply) {
    struct slice elements[2];
    switch (command->code) {
    case DO_LPOP:
    case DO_RPOP:
        if (!answer_is_nil(reply)) note(queues, queues->popped, reply);
        break;
    case DO_BLPOP:
    case DO_BRPOP:
        if (answer_elements(reply, elements, 2) == 2) note(queues, queues->popped, elements[1]);
        break;
    case DO_LMPOP:
    case DO_BLMPOP:
        if (answer_elements(reply, elements, 2) == 2) note_all(queues, queues->popped, elements[1]);
        break;
    default: break;
    }
}

static uint64_t asked_for(const struct model_command *command) {
    switch (command->code) {
    case DO_LPOP:
    case DO_RPOP:
    case DO_BLPOP:
    case DO_BRPOP: return 1;
    case DO_LMPOP:
    case DO_BLMPOP: return (uint64_t)command->number;
    default: return 0;
    }
}

static void note_pushed(struct queues *queues, const struct model_command *command) {
    int64_t number;
    if (command->code != DO_RPUSH && command->code != DO_LPUSH) return;
    for (uint32_t i = 0; i < command->value_count; i++)
        if (num_parse_i64(value_text(model_values(queues->clients->model), command->values[i]), &number))
            queues->sure[number] = true;
}

static void note_operation(struct queues *queues, const struct operation *operation) {
    struct slice elements[MODEL_ARGS];
    const struct model_operation *what = &operation->what;
    uint32_t replies = answer_elements(operation->reply, elements, MODEL_ARGS);
    for (uint32_t i = 0; i < what->count; i++) {
        const struct model_command *command = &what->commands[i];
        if (!operation->answered) {
            if (!queues->lossless) queues->may_be_lost += asked_for(command);
            continue;
        }
        if (what->transaction && i >= replies) continue;
        note_pushed(queues, command);
        note_popped(queues, command, what->transaction ? elements[i] : operation->reply);
    }
}

static void check_elements(struct queues *queues) {
    uint64_t missing = 0;
    for (uint32_t i = 1; i <= queues->pushed; i++) {
        if (queues->popped[i] + queues->left[i] > 1)
            clients_trouble(queues->clients, "element %u was popped %u times and is in lists %u times", i,
                            queues->popped[i], queues->left[i]);
        missing += queues->sure[i] && !queues->popped[i] && !queues->left[i];
    }
    if (missing > queues->may_be_lost)
        clients_trouble(queues->clients,
                        "%" PRIu64 " elements are lost, and vanished clients asked for %" PRIu64 " only", missing,
                        queues->may_be_lost);
}

/* Everything is quiet: where is each element? */
static void account(struct queues *queues) {
    struct clients *clients = queues->clients;
    uint32_t lists[MODEL_KEYS];
    for (uint8_t key = 0; key < queues->keys; key++) {
        struct model_command range = command_on(DO_LRANGE, queues->first, &key, 1);
        lists[key] = actor_send(queues->first, &range);
    }
    if (!clients_settle(clients, true)) return;
    for (uint32_t i = 0; i < history_count(clients->history); i++)
        note_operation(queues, history_at(clients->history, i));
    for (uint32_t key = 0; key < queues->keys; key++)
        note_all(queues, queues->left, history_at(clients->history, lists[key])->reply);
    check_elements(queues);
}

static void all_leave(struct queues *queues) {
    struct clients *clients = queues->clients;
    for (uint32_t i = 1; i < clients->actor_count; i++)
        if (!clients->actors[i].leaving) actor_vanish(&clients->actors[i]);
    clients_settle(clients, true);
}

/* --- a crowd --- */

static void act(struct queues *queues, struct actor *actor) {
    static const enum model_code waits[] = {DO_BLPOP, DO_BRPOP, DO_BLMPOP};
    uint32_t timeout_ms = below(queues, 3) ? 1 + below(queues, TIMEOUT_MS) : 0;
    struct model_command command, both[2];
    uint8_t key = pick_key(queues);
    switch (below(queues, 9)) {
    case 0:
    case 1:
    case 2: command = push(queues, actor, key, 1 + below(queues, 3)); break;
    case 3: command = command_on(below(queues, 2) ? DO_LPOP : DO_RPOP, actor, &key, 1); break;
    case 4: command = several(queues, actor, DO_LMPOP, 0); break;
    case 5: command = move(queues, actor, DO_LMOVE, key, pick_key(queues), 0); break;
    case 6: command = move(queues, actor, DO_BLMOVE, key, pick_key(queues), timeout_ms); break;
    case 7: command = several(queues, actor, waits[below(queues, ARRAY_LEN(waits))], timeout_ms); break;
    default:
        both[0] = push(queues, actor, key, 2);
        both[1] = below(queues, 2) ? push(queues, actor, pick_key(queues), 1) : several(queues, actor, DO_LMPOP, 0);
        actor_transact(actor, both, 2);
        return;
    }
    actor_send(actor, &command);
}

static void play_crowd(struct queues *queues) {
    struct clients *clients = queues->clients;
    uint32_t actors = 3 + below(queues, ACTORS_MAX - 2), wanted = 20 + below(queues, 150);
    bool vanish = below(queues, 2);
    for (uint32_t i = 0; i < actors; i++) clients_join_anywhere(clients, 0);
    if (below(queues, 2)) sim_set_lazy(clients->sim, prng_next(&clients->prng));
    for (uint32_t tick = 0; tick < wanted * 3 && clients_ok(clients); tick++) {
        struct actor *actor = &clients->actors[1 + below(queues, clients->actor_count - 1)];
        if (actor_idle(actor))
            act(queues, actor);
        else if (vanish && !actor->leaving && below(queues, 30) == 0 && clients_join_anywhere(clients, 0))
            actor_vanish(actor);
        actor->peer->stalled = below(queues, 8) == 0;
        for (uint32_t steps = below(queues, 4); steps; steps--) clients_step(clients);
    }
    if (!clients_settle(clients, false) || !clients_look(clients, &queues->first, 1)) return;
    all_leave(queues);
}

/* --- clients that stand in line --- */

struct waiter {
    struct actor *actor;
    uint32_t keys; /* a bit each */
};

static struct actor *begin_to_wait(struct queues *queues, uint32_t *keys) {
    struct actor *actor = clients_join_anywhere(queues->clients, 0);
    if (!actor) return NULL;
    struct model_command command = several(queues, actor, below(queues, 2) ? DO_BLPOP : DO_BRPOP, 0);
    *keys = 0;
    for (uint32_t i = 0; i < command.key_count; i++) *keys |= 1u << command.keys[i];
    actor_send(actor, &command);
    return clients_settle(queues->clients, false) ? actor : NULL;
}

/* Some leave, before anything is pushed. They are taken off the line. */
static uint32_t let_some_leave(struct queues *queues, struct waiter *line, uint32_t count) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (below(queues, 4) == 0)
            actor_vanish(line[i].actor);
        else
            line[kept++] = line[i];
    }
    clients_settle(queues->clients, false);
    return kept;
}

/* One push to one key: the first in line for that key gets its element, and nobody else anything. */
static uint32_t serve_one(struct queues *queues, struct waiter *line, uint32_t count) {
    struct clients *clients = queues->clients;
    uint8_t key = pick_key(queues);
    struct model_command command = push(queues, queues->first, key, 1);
    actor_send(queues->first, &command);
    if (!clients_settle(clients, false)) return count;
    bool due = true;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool served = line[i].actor->count == 0, expected = due && line[i].keys >> key & 1;
        if (expected) due = false;
        if (served != expected)
            clients_trouble(clients, "client %u %s, but an earlier one waits for %s", line[i].actor->number,
                            served ? "was served" : "was not served", model_name(clients->model, key));
        if (!served) line[kept++] = line[i];
    }
    return kept;
}

static void play_line(struct queues *queues) {
    struct clients *clients = queues->clients;
    struct waiter line[WAITERS_MAX];
    uint32_t count = 0, wanted = 2 + below(queues, WAITERS_MAX - 2);
    while (count < wanted && clients_ok(clients)) {
        struct waiter *waiter = &line[count];
        waiter->actor = begin_to_wait(queues, &waiter->keys);
        count += waiter->actor != NULL;
    }
    if (below(queues, 2)) count = let_some_leave(queues, line, count);
    for (uint32_t i = 0; i < 2 * wanted && clients_ok(clients); i++) count = serve_one(queues, line, count);
    queues->lossless = true;
    all_leave(queues);
}

/* --- a burst: everybody pushes at once to one key that a line waits for --- */

static void play_burst(struct queues *queues) {
    struct clients *clients = queues->clients;
    struct actor *line[WAITERS_MAX], *pushers[4];
    uint8_t key = pick_key(queues);
    uint32_t waiters = 1 + below(queues, WAITERS_MAX), pushes = below(queues, 2 * WAITERS_MAX), served = 0;
    for (uint32_t i = 0; i < ARRAY_LEN(pushers); i++) pushers[i] = clients_join_anywhere(clients, 0);
    for (uint32_t i = 0; i < waiters; i++) {
        line[i] = clients_join_anywhere(clients, 0);
        ASSERT(line[i]);
        struct model_command wait = command_on(DO_BLPOP, line[i], &key, 1);
        actor_send(line[i], &wait);
        if (!clients_settle(clients, false)) return;
    }
    for (uint32_t i = 0; i < pushes; i++) {
        struct actor *pusher = pushers[below(queues, ARRAY_LEN(pushers))];
        struct model_command command = push(queues, pusher, key, 1);
        actor_send(pusher, &command);
        if (below(queues, 2)) clients_step(clients);
    }
    if (!clients_settle(clients, false)) return;
    for (uint32_t i = 0; i < waiters; i++) {
        bool is_served = line[i]->count == 0;
        served += is_served;
        if (is_served != (i < pushes))
            clients_trouble(clients, "client %u, in place %u of the line, was %sserved after %u pushes",
                            line[i]->number, i, is_served ? "" : "not ", pushes);
    }
    if (served != MIN(waiters, pushes)) clients_trouble(clients, "%u pushes served %u of %u", pushes, served, waiters);
    queues->lossless = true;
    all_leave(queues);
}

/* --- round and round --- */

static void play_circle(struct queues *queues) {
    struct clients *clients = queues->clients;
    uint32_t tokens = 1 + below(queues, TOKENS_MAX), movers = 2 + below(queues, ACTORS_MAX - 2), moves = 0;
    struct model_command fill = push(queues, queues->first, 0, tokens);
    actor_send(queues->first, &fill);
    for (uint32_t i = 0; i < movers; i++) clients_join_anywhere(clients, 0);
    for (uint32_t tick = 0; tick < 300 && clients_ok(clients); tick++) {
        struct actor *actor = &clients->actors[1 + below(queues, clients->actor_count - 1)];
        if (actor_idle(actor)) {
            uint8_t from = actor->number % 2, to = (uint8_t)(1 - from);
            struct model_command command = move(queues, actor, DO_BLMOVE, from, to, below(queues, 2) ? 0 : TIMEOUT_MS);
            actor_send(actor, &command);
            moves++;
        }
        clients_step(clients);
    }
    if (!clients_settle(clients, false) || !clients_look(clients, &queues->first, 1)) return;
    all_leave(queues);
}

/* --- the round --- */

static void report(const struct queues *queues, const struct round *round) {
    const struct clients *clients = queues->clients;
    fprintf(round->report, "queues, seed %" PRIu64 ": %u shards, keys and shards:", round->seed, clients->shards);
    for (uint32_t key = 0; key < queues->keys; key++)
        fprintf(round->report, " %s %u", model_name(clients->model, key), clients->shard_of[key]);
    fprintf(round->report, "\n%s\n", clients->trouble);
    uint32_t count = history_count(clients->history);
    for (uint32_t i = count > 60 ? count - 60 : 0; i < count; i++) {
        fputs("    ", round->report);
        history_print(clients->history, i, round->report);
    }
    clients_explain(clients, round->report);
}

struct round_result queues_round(const struct round *round) {
    static const uint32_t shards[] = {1, 2, 3, 4, 8}, mailboxes[] = {1, 2, 4, 256};
    static void (*const kinds[])(struct queues *) = {play_crowd, play_crowd, play_crowd,
                                                     play_line,  play_burst, play_circle};
    struct prng prng;
    prng_init(&prng, round->seed);
    struct clients_options options = {.seed = round->seed, .planted = round->planted};
    options.shards = shards[prng_below(&prng, ARRAY_LEN(shards))];
    options.mailbox = mailboxes[prng_below(&prng, ARRAY_LEN(mailboxes))];
    options.keys = 2 + (uint32_t)prng_below(&prng, MODEL_KEYS - 1);
    options.gated = prng_below(&prng, 4) == 0;
    options.moves = prng_below(&prng, 2) == 0;
    struct queues *queues = calloc(1, sizeof *queues);
    ASSERT(queues);
    struct clients *clients = queues->clients = clients_new(&options);
    queues->keys = options.keys;
    queues->first = clients_join(clients, 0, 0);
    kinds[below(queues, ARRAY_LEN(kinds))](queues);
    if (clients_ok(clients)) account(queues);
    struct round_result result = {
        .failed = !clients_ok(clients), .steps = clients->steps, .operations = history_count(clients->history)};
    if (result.failed) {
        report(queues, round);
        clients_abandon(clients);
    } else {
        clients_delete(clients);
    }
    free(queues);
    return result;
}
