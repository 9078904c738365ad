/* Each actor has a role and goes on when it has all answers; the round ends when all together have done enough. */
#include "tests/sim/accounts.h"
#include "tests/sim/answers.h"
#include "tests/sim/clients.h"
#include <inttypes.h>

#define COUNTERS     4 /* keys 0 to 3 of database 0 */
#define EPOCH_FIRST  4 /* keys 4 to 7 of database 0 */
#define EPOCH_KEYS   4
#define ACCOUNT_KEYS MODEL_KEYS /* all keys of database 1 */
#define OPENING      100        /* in each account */
#define ACTORS_MAX   12

enum role { COUNTER, EPOCH_WRITER, EPOCH_READER, PAYER, WATCHING_PAYER, AUDITOR, ROLES };

struct accounts {
    struct clients *clients;
    int64_t added[COUNTERS];   /* acknowledged */
    int64_t perhaps[COUNTERS]; /* by clients that vanished */
    int64_t epoch;
    uint8_t roles[MODEL_CLIENTS];
    uint64_t done, wanted;
    uint64_t paid, refused; /* EXEC of watching payers */
};

static uint32_t below(struct accounts *accounts, uint32_t n) {
    return clients_below(accounts->clients, n);
}

/* --- counters --- */

static struct model_command increment(struct accounts *accounts, const struct actor *actor) {
    uint8_t key = (uint8_t)below(accounts, COUNTERS);
    struct model_command command = command_on(DO_INCRBY, actor, &key, 1);
    command.number = 1 + below(accounts, 9);
    return command;
}

static void count(struct accounts *accounts, struct actor *actor) {
    struct model_command commands[3];
    uint32_t count = 1 + below(accounts, ARRAY_LEN(commands));
    for (uint32_t i = 0; i < count; i++) commands[i] = increment(accounts, actor);
    if (below(accounts, 2)) {
        actor_transact(actor, commands, count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) actor_send(actor, &commands[i]);
}

/* --- epochs --- */

static const uint8_t epoch_keys[EPOCH_KEYS] = {EPOCH_FIRST, EPOCH_FIRST + 1, EPOCH_FIRST + 2, EPOCH_FIRST + 3};

static void write_epoch(struct accounts *accounts, struct actor *actor) {
    struct clients *clients = accounts->clients;
    int64_t epoch = ++accounts->epoch;
    if (below(accounts, 2)) {
        struct model_command commands[EPOCH_KEYS];
        for (uint32_t i = 0; i < EPOCH_KEYS; i++) {
            commands[i] = command_on(DO_SET, actor, &epoch_keys[i], 1);
            command_add_int(clients, &commands[i], epoch);
        }
        actor_transact(actor, commands, EPOCH_KEYS);
        return;
    }
    struct model_command all = command_on(DO_MSET, actor, epoch_keys, EPOCH_KEYS);
    for (uint32_t i = 0; i < EPOCH_KEYS; i++) command_add_int(clients, &all, epoch);
    actor_send(actor, &all);
}

/* Reads some keys, with one MGET or a GET each in a transaction. */
static void read_keys(struct accounts *accounts, struct actor *actor, const uint8_t *keys, uint32_t count) {
    if (below(accounts, 2)) {
        struct model_command commands[MODEL_KEYS];
        for (uint32_t i = 0; i < count; i++) commands[i] = command_on(DO_GET, actor, &keys[i], 1);
        actor_transact(actor, commands, count);
        return;
    }
    struct model_command all = command_on(DO_MGET, actor, keys, count);
    actor_send(actor, &all);
}

static void check_epoch(struct accounts *accounts, const struct operation *operation) {
    struct slice elements[EPOCH_KEYS];
    uint32_t count = answer_elements(operation->reply, elements, EPOCH_KEYS);
    if (count != EPOCH_KEYS) clients_trouble(accounts->clients, "reading epochs was answered with %u values", count);
    for (uint32_t i = 1; i < count; i++)
        if (!slice_equal(elements[i], elements[0]))
            clients_trouble(accounts->clients, "client %u read two epochs at once: %.*s", operation->what.client,
                            (int)MIN(operation->reply.len, (size_t)120), operation->reply.ptr);
}

/* --- accounts --- */

static void check_sum(struct accounts *accounts, const struct operation *operation) {
    struct slice elements[ACCOUNT_KEYS];
    uint32_t count = answer_elements(operation->reply, elements, ACCOUNT_KEYS);
    int64_t sum = 0, value;
    for (uint32_t i = 0; i < count; i++)
        if (answer_int(elements[i], &value)) sum += value;
    if (sum != ACCOUNT_KEYS * OPENING)
        clients_trouble(accounts->clients, "client %u counted %" PRId64 " instead of %d in %u accounts",
                        operation->what.client, sum, ACCOUNT_KEYS * OPENING, count);
}

static void pick_two(struct accounts *accounts, uint8_t *keys) {
    keys[0] = (uint8_t)below(accounts, ACCOUNT_KEYS);
    keys[1] = (uint8_t)((keys[0] + 1 + below(accounts, ACCOUNT_KEYS - 1)) % ACCOUNT_KEYS);
}

static void pay(struct accounts *accounts, struct actor *actor) {
    uint8_t keys[2];
    pick_two(accounts, keys);
    struct model_command commands[2] = {command_on(DO_DECRBY, actor, &keys[0], 1),
                                        command_on(DO_INCRBY, actor, &keys[1], 1)};
    commands[0].number = commands[1].number = 1 + below(accounts, 50);
    actor_transact(actor, commands, 2);
}

static void watch_two(struct accounts *accounts, struct actor *actor) {
    uint8_t keys[2];
    pick_two(accounts, keys);
    struct model_command watch = command_on(DO_WATCH, actor, keys, 2), read = command_on(DO_MGET, actor, keys, 2);
    actor_send(actor, &watch);
    actor_send(actor, &read);
}

/* The latest answer is the balances of the two accounts. */
static void pay_from_balances(struct accounts *accounts, struct actor *actor) {
    struct clients *clients = accounts->clients;
    const struct operation *read = actor_latest(actor);
    const uint8_t *places = read->what.commands[0].keys;
    struct slice elements[2];
    int64_t balances[2], amount = below(accounts, 50);
    if (answer_elements(read->reply, elements, 2) != 2 || !answer_int(elements[0], &balances[0]) ||
        !answer_int(elements[1], &balances[1])) {
        clients_trouble(clients, "an account is not there");
        return;
    }
    struct model_command sets[2];
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t key = places[i] % MODEL_KEYS;
        sets[i] = command_on(DO_SET, actor, &key, 1);
        command_add_int(clients, &sets[i], balances[i] + (i ? amount : -amount));
    }
    actor_transact(actor, sets, 2);
}

/* WATCH both, read both, write both. */
static void watch_and_pay(struct accounts *accounts, struct actor *actor) {
    if (actor->stage == 2) *(answer_is_nil(actor_latest(actor)->reply) ? &accounts->refused : &accounts->paid) += 1;
    if (actor->stage == 1)
        pay_from_balances(accounts, actor);
    else
        watch_two(accounts, actor);
    actor->stage = actor->stage == 1 ? 2 : 1;
}

static void audit(struct accounts *accounts, struct actor *actor) {
    uint8_t all[ACCOUNT_KEYS];
    for (uint8_t i = 0; i < ACCOUNT_KEYS; i++) all[i] = i;
    read_keys(accounts, actor, all, ACCOUNT_KEYS);
}

/* --- the round --- */

static void look(struct accounts *accounts, const struct actor *actor) {
    if (!actor->stage) return; /* it has asked nothing yet */
    if (accounts->roles[actor->number] == EPOCH_READER) check_epoch(accounts, actor_latest(actor));
    if (accounts->roles[actor->number] == AUDITOR) check_sum(accounts, actor_latest(actor));
}

/* It has all answers. */
static void act(struct accounts *accounts, struct actor *actor) {
    enum role role = (enum role)accounts->roles[actor->number];
    look(accounts, actor);
    accounts->done++;
    switch (role) {
    case COUNTER: count(accounts, actor); break;
    case EPOCH_WRITER: write_epoch(accounts, actor); break;
    case EPOCH_READER: read_keys(accounts, actor, epoch_keys, EPOCH_KEYS); break;
    case PAYER: pay(accounts, actor); break;
    case WATCHING_PAYER: watch_and_pay(accounts, actor); return;
    case AUDITOR: audit(accounts, actor); break;
    case ROLES: break;
    }
    actor->stage = 1;
}

static void join(struct accounts *accounts) {
    enum role role = (enum role)below(accounts, ROLES);
    struct actor *actor = clients_join_anywhere(accounts->clients, role >= PAYER);
    if (actor) accounts->roles[actor->number] = (uint8_t)role;
}

static void open_accounts(struct accounts *accounts) {
    struct clients *clients = accounts->clients;
    struct actor *first = clients_join(clients, 0, 0), *second = clients_join(clients, 0, 1);
    struct model_command epoch = command_on(DO_MSET, first, epoch_keys, EPOCH_KEYS);
    for (uint32_t i = 0; i < EPOCH_KEYS; i++) command_add_int(clients, &epoch, 0);
    actor_send(first, &epoch);
    for (uint8_t i = 0; i < ACCOUNT_KEYS; i++) {
        struct model_command open = command_on(DO_SET, second, &i, 1);
        command_add_int(clients, &open, OPENING);
        actor_send(second, &open);
    }
    clients_settle(clients, true);
}

static void disturb(struct accounts *accounts) {
    struct clients *clients = accounts->clients;
    struct actor *actor = &clients->actors[2 + below(accounts, clients->actor_count - 2)];
    actor->peer->stalled = below(accounts, 4) == 0;
    if (below(accounts, 60) || actor->leaving || clients->actor_count == MODEL_CLIENTS) return;
    actor_vanish(actor);
    join(accounts);
}

static void play(struct accounts *accounts) {
    struct clients *clients = accounts->clients;
    open_accounts(accounts);
    uint32_t actors = 2 + below(accounts, ACTORS_MAX - 1);
    bool disturbed = below(accounts, 2);
    for (uint32_t i = 0; i < actors; i++) join(accounts);
    if (below(accounts, 2)) sim_set_lazy(clients->sim, prng_next(&clients->prng));
    while (accounts->done < accounts->wanted && clients_ok(clients)) {
        struct actor *actor = &clients->actors[2 + below(accounts, clients->actor_count - 2)];
        if (actor_idle(actor)) act(accounts, actor);
        if (disturbed && below(accounts, 20) == 0) disturb(accounts);
        if (below(accounts, 3)) clients_step(clients);
    }
    clients_settle(clients, true);
}

static void sum_up(struct accounts *accounts) {
    const struct history *history = accounts->clients->history;
    for (uint32_t i = 0; i < history_count(history); i++) {
        const struct operation *operation = history_at(history, i);
        for (uint32_t c = 0; c < operation->what.count; c++) {
            const struct model_command *command = &operation->what.commands[c];
            if (command->code != DO_INCRBY || command->keys[0] >= COUNTERS) continue;
            int64_t *sum = operation->answered ? accounts->added : accounts->perhaps;
            sum[command->keys[0]] += command->number;
        }
    }
}

/* What is there at the end. */
static void check_end(struct accounts *accounts) {
    struct clients *clients = accounts->clients;
    struct actor *first = &clients->actors[0], *second = &clients->actors[1];
    uint8_t counters[COUNTERS] = {0, 1, 2, 3};
    struct slice elements[COUNTERS];
    sum_up(accounts);
    struct model_command read = command_on(DO_MGET, first, counters, COUNTERS);
    actor_send(first, &read);
    audit(accounts, second);
    if (!clients_settle(clients, true)) return;
    check_sum(accounts, actor_latest(second));
    uint32_t count = answer_elements(actor_latest(first)->reply, elements, COUNTERS);
    for (uint32_t i = 0; i < count; i++) {
        int64_t value = 0;
        (void)answer_int(elements[i], &value);
        if (value < accounts->added[i] || value > accounts->added[i] + accounts->perhaps[i])
            clients_trouble(clients, "counter %u is %" PRId64 ", but %" PRId64 " was added, and %" PRId64 " perhaps", i,
                            value, accounts->added[i], accounts->perhaps[i]);
    }
}

struct round_result accounts_round(const struct round *round) {
    static const uint32_t shards[] = {1, 2, 3, 4, 8}, mailboxes[] = {1, 2, 4, 256};
    struct prng prng;
    prng_init(&prng, round->seed);
    struct clients_options options = {.seed = round->seed, .planted = round->planted, .keys = MODEL_KEYS};
    options.shards = shards[prng_below(&prng, ARRAY_LEN(shards))];
    options.mailbox = mailboxes[prng_below(&prng, ARRAY_LEN(mailboxes))];
    options.gated = prng_below(&prng, 4) == 0;
    options.braked = prng_below(&prng, 3) == 0;
    options.moves = prng_below(&prng, 2) == 0;
    options.cramped = prng_below(&prng, 3) == 0;
    struct accounts accounts = {.clients = clients_new(&options), .wanted = 20 + prng_below(&prng, 200)};
    struct clients *clients = accounts.clients;
    play(&accounts);
    if (clients_ok(clients)) check_end(&accounts);
    struct round_result result = {
        .failed = !clients_ok(clients), .steps = clients->steps, .operations = history_count(clients->history)};
    if (!result.failed) {
        clients_delete(clients);
        return result;
    }
    fprintf(round->report, "accounts, seed %" PRIu64 ": %u shards, mailboxes of %u\n%s\n", round->seed, options.shards,
            options.mailbox, clients->trouble);
    uint32_t count = history_count(clients->history);
    for (uint32_t i = count > 40 ? count - 40 : 0; i < count; i++) {
        fputs("    ", round->report);
        history_print(clients->history, i, round->report);
    }
    clients_abandon(clients);
    return result;
}
