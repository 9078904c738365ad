/* Effects: what shards write down about random commands makes the same keys again on another number of shards.
 *
 * Proves   the effects of all families of commands, of transactions over several shards, of blocked clients and of keys
 *          that expire say all that happened: applied to empty shards they make every key, value and deadline. The
 *          stream is RESP, in groups; a transaction of several shards has its line once in each of them.
 * How      clients of a simulated machine (tests/support/machine.h) send commands made from templates to few
 *          keys. What the shards write is taken at random times, applied to a machine with other shards, and all
 *          entries are compared. What a command changes and does not say stops the shard by itself (shards/pipeline.c).
 *
 * SHERD_SEED runs one seed only, SHERD_ROUNDS says how many; a failure prints the seed. */
#include "core/num.h"
#include "shards/effect_apply.h"
#include "shards/exec.h"
#include "tests/support/chatter.c"
#include "tests/support/compare.c"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DBS       CHATTER_DBS
#define STAMPS    8192
#define ROUND_OPS 400
#define ROWS_MAX  512

static const struct command *const test_tables[] = {chatter_commands, NULL};

/* Of all rounds: that something happened at all. */
struct totals {
    uint64_t commands, effects, transactions, pieces, keys;
    uint64_t done[ROWS_MAX]; /* per command, without errors */
};

struct play {
    struct sim *sim;
    struct prng prng;
    uint32_t shards;
    uint64_t seed;
    struct chatter chatter;
    struct buf log[SIM_SHARDS_MAX]; /* what each shard wrote */
    uint32_t db[SIM_SHARDS_MAX];    /* selected at its end */
    struct totals *totals;
};

static uint64_t pick(struct play *play, uint64_t n) {
    return prng_below(&play->prng, n);
}

/* --- what they wrote --- */

static void take(struct play *play, uint32_t id) {
    struct shard *shard = sim_shard(play->sim, id);
    struct buf bytes;
    uint32_t db;
    buf_init(&bytes, shard->heap, MEM_MESSAGE);
    effects_take(&shard->effects, &bytes, &db);
    assert_int_equal(db, play->db[id]);
    play->db[id] = shard->effects.db;
    buf_append_slice(&play->log[id], buf_slice(&bytes));
    buf_deinit(&bytes);
}

/* A transaction of several shards, or a command whose effects were written in pieces. */
struct seen {
    uint64_t stamp, participants, told;
    uint64_t in_pieces, ended; /* a bit per shard: it has pieces there, and their end */
    uint64_t pieces;           /* in the shard that is read */
};

struct reading {
    struct play *play;
    struct sim *target;
    struct seen *seen;
    uint32_t seen_count;
    uint32_t shard; /* whose log */
    struct slice rest;
    uint32_t db, in_group;
    bool multi, piece; /* in a piece, or just before it */
    uint64_t groups, lines, ends, effects;
};

static struct slice line_of(struct slice *rest) {
    const char *end = memchr(rest->ptr, '\n', rest->len);
    assert_non_null(end);
    size_t len = (size_t)(end - rest->ptr);
    assert_true(len > 0 && rest->ptr[len - 1] == '\r');
    struct slice line = slice_of(rest->ptr, len - 1);
    *rest = slice_of(end + 1, rest->len - len - 1);
    return line;
}

static uint32_t number_of(struct slice line, char type) {
    int64_t number;
    assert_true(line.len > 1 && line.ptr[0] == type);
    assert_true(num_parse_i64(slice_of(line.ptr + 1, line.len - 1), &number) && number >= 0);
    return (uint32_t)number;
}

static uint32_t read_command(struct reading *reading, struct slice *argv, uint32_t max) {
    uint32_t argc = number_of(line_of(&reading->rest), '*');
    assert_true(argc > 0 && argc <= max);
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t len = number_of(line_of(&reading->rest), '$');
        assert_true(reading->rest.len >= len + 2u && memcmp(reading->rest.ptr + len, "\r\n", 2) == 0);
        argv[i] = slice_of(reading->rest.ptr, len);
        reading->rest = slice_of(reading->rest.ptr + len + 2, reading->rest.len - len - 2);
    }
    return argc;
}

static struct seen *seen_of(struct reading *reading, uint64_t stamp) {
    uint32_t i = 0;
    while (i < reading->seen_count && reading->seen[i].stamp != stamp) i++;
    if (i == reading->seen_count) {
        assert_true(i < STAMPS);
        reading->seen[reading->seen_count++] = (struct seen){.stamp = stamp};
    }
    return &reading->seen[i];
}

/* They are numbered without a gap, and none comes behind the end. */
static void note_piece(struct reading *reading, struct seen *seen, uint64_t number) {
    if (!(seen->in_pieces >> reading->shard & 1)) seen->pieces = 0;
    seen->in_pieces |= 1ull << reading->shard;
    assert_true(number == ++seen->pieces && !(seen->ended >> reading->shard & 1));
    reading->piece = true;
    reading->play->totals->pieces++;
}

static void note_end(struct reading *reading, struct seen *seen, uint64_t number) {
    assert_true(number == seen->pieces && seen->in_pieces >> reading->shard & 1);
    assert_false(seen->ended >> reading->shard & 1);
    seen->ended |= 1ull << reading->shard;
    reading->ends++;
}

static void note_transaction(struct reading *reading, struct seen *seen, uint64_t participants) {
    assert_true(__builtin_popcountll(participants) > 1 && participants >> reading->play->shards == 0);
    if (!seen->participants) seen->participants = participants;
    assert_int_equal(seen->participants, participants);
    assert_true(participants >> reading->shard & 1 && !(seen->told >> reading->shard & 1));
    seen->told |= 1ull << reading->shard;
    reading->lines++;
}

static void note_line(struct reading *reading, struct slice line) {
    unsigned long long stamp, number;
    char text[64], kind;
    assert_int_equal(line.len, 3 + 16 + 1 + 16);
    memcpy(text, line.ptr, line.len);
    text[line.len] = 0;
    assert_int_equal(sscanf(text, "#%c %16llx %16llx", &kind, &stamp, &number), 3);
    struct seen *seen = seen_of(reading, stamp);
    switch (kind) {
    case 'T': note_transaction(reading, seen, number); break;
    case 'P': note_piece(reading, seen, number); break;
    case 'E': note_end(reading, seen, number); break;
    default: fail_msg("what is #%c?", kind);
    }
}

static void apply(struct reading *reading, const struct slice *argv, uint32_t argc) {
    struct sim *target = reading->target;
    uint32_t key_at = effect_key_at(sim_shard(target, 0), argv, argc);
    struct slot_range from = slot_range_of(reading->shard, reading->play->shards);
    for (uint32_t id = 0; id < target->count; id++) {
        struct shard *shard = sim_shard(target, id);
        struct error error = {0};
        if (key_at && shard_of_key(shard, argv[key_at]) != id) continue;
        bool done = effect_apply_from(shard, reading->db, argv, argc, from, &error);
        if (!done) fail_msg("%s", error.text);
    }
}

static void read_log(struct reading *reading) {
    static struct slice argv[8192];
    reading->rest = buf_slice(&reading->play->log[reading->shard]);
    reading->db = 0;
    while (reading->rest.len > 0) {
        if (reading->rest.ptr[0] == '#') {
            assert_false(reading->multi);
            note_line(reading, line_of(&reading->rest));
            continue;
        }
        uint32_t argc = read_command(reading, argv, ARRAY_LEN(argv));
        if (slice_is(argv[0], "select")) {
            int64_t db = -1;
            assert_true(argc == 2 && num_parse_i64(argv[1], &db) && db >= 0 && db < DBS && db != reading->db);
            reading->db = (uint32_t)db;
        } else if (slice_is(argv[0], "multi")) {
            assert_false(reading->multi);
            reading->multi = true;
            reading->in_group = 0;
        } else if (slice_is(argv[0], "exec")) {
            assert_true(reading->multi && reading->in_group > !reading->piece);
            reading->groups += !reading->piece;
            reading->multi = reading->piece = false;
        } else {
            apply(reading, argv, argc);
            reading->effects++;
            reading->in_group++;
            reading->groups += !reading->multi;
        }
    }
    assert_false(reading->multi);
}

static void replay(struct play *play, uint32_t shards) {
    struct sim *target = sim_new(&(struct sim_options){
        .shards = shards, .mailbox_capacity = 8, .db_count = DBS, .seed = play->seed, .tables = test_tables});
    struct reading reading = {.play = play, .target = target, .seen = calloc(STAMPS, sizeof *reading.seen)};
    for (reading.shard = 0; reading.shard < play->shards; reading.shard++) {
        uint64_t groups = reading.groups, lines = reading.lines, ends = reading.ends, position;
        read_log(&reading);
        position = sim_shard(play->sim, reading.shard)->effects.position;
        groups = reading.groups - groups;
        lines = reading.lines - lines;
        ends = reading.ends - ends;
        assert_true(position >= MAX(groups, lines) && position <= groups + lines + ends);
    }
    for (uint32_t i = 0; i < reading.seen_count; i++) {
        assert_int_equal(reading.seen[i].told, reading.seen[i].participants);
        assert_int_equal(reading.seen[i].ended, reading.seen[i].in_pieces);
    }
    free(reading.seen);
    play->totals->effects += reading.effects;
    play->totals->transactions += reading.seen_count;
    play->totals->keys += compare_machines(play->sim, target, DBS);
    for (uint32_t id = 0; id < shards; id++)
        for (uint32_t db = 0; db < DBS; db++)
            if (shard_db_peek(sim_shard(target, id), db)) keyspace_check(shard_db_peek(sim_shard(target, id), db));
    for (uint32_t id = 0; id < shards; id++) shard_turn_begin(sim_shard(target, id), 0, 0);
    sim_delete(target);
}

static void count_commands(struct play *play) {
    uint32_t rows = command_registry_count(play->sim->registry);
    assert_true(rows <= ROWS_MAX);
    for (uint32_t id = 0; id < play->shards; id++) {
        const struct shard *shard = sim_shard(play->sim, id);
        play->totals->commands += shard->stats.commands;
        for (uint32_t i = 0; i < rows; i++)
            play->totals->done[i] += shard->command_stats[i].calls - shard->command_stats[i].failed;
    }
}

/* Whoever adds a command that writes adds a template for it. */
static void check_all_done(const struct totals *totals) {
    struct sim *sim = sim_new(
        &(struct sim_options){.shards = 1, .mailbox_capacity = 8, .db_count = DBS, .seed = 1, .tables = test_tables});
    for (uint32_t i = 0; i < command_registry_count(sim->registry); i++) {
        const struct command *row = command_at(sim->registry, i)->row;
        bool expected = row->flags & CMD_WRITE && !(row->flags & CMD_INTERNAL);
        if (expected && !totals->done[i]) fail_msg("%s was never done", row->name);
    }
    sim_delete(sim);
}

static void play_round(uint64_t seed, struct totals *totals) {
    struct play play = {.seed = seed, .totals = totals};
    prng_init(&play.prng, seed);
    play.shards = 1 + (uint32_t)pick(&play, 7);
    play.sim = sim_new(&(struct sim_options){
        .shards = play.shards, .mailbox_capacity = 8, .db_count = DBS, .seed = seed, .tables = test_tables});
    for (uint32_t id = 0; id < play.shards; id++) {
        sim_shard(play.sim, id)->effects.on = true;
        struct effects *effects = &sim_shard(play.sim, id)->effects;
        if (seed & 1) effects->piece_bytes = 1;                         /* each step of a command is a piece */
        if (seed & 2) effects->payload_bytes = effects->tell_bytes = 0; /* what can be told over turns is */
        buf_init(&play.log[id], play.sim->heap, MEM_CLIENT_IN);
    }
    chatter_init(&play.chatter, play.sim, seed);
    for (uint32_t i = 0; i < ROUND_OPS; i++) {
        for (uint32_t peer = 0; peer < CHATTER_PEERS; peer++)
            if (pick(&play, 2)) chatter_say_something(&play.chatter, peer);
        for (uint64_t steps = pick(&play, 30); steps > 0; steps--) sim_step(play.sim);
        if (pick(&play, 40) == 0) sim_advance_ms(play.sim, pick(&play, 200));
        take(&play, (uint32_t)pick(&play, play.shards));
    }
    chatter_end_transactions(&play.chatter);
    if (!sim_settle(play.sim, 10000000)) {
        sim_explain(play.sim);
        fail_msg("it hangs");
    }
    for (uint32_t id = 0; id < play.shards; id++) take(&play, id);
    uint32_t shards = 1 + (uint32_t)pick(&play, 7);
    count_commands(&play);
    replay(&play, shards == play.shards ? shards + 1 : shards);
    for (uint32_t id = 0; id < play.shards; id++) buf_deinit(&play.log[id]);
    for (uint32_t id = 0; id < play.shards; id++) sim_shard(play.sim, id)->effects.on = false;
    sim_delete(play.sim);
}

static void effects_say_all(void **state) {
    (void)state;
    uint64_t rounds = 30, seed = seed_or(1);
    struct totals totals = {0};
    const char *text = getenv("SHERD_ROUNDS");
    if (text) rounds = strtoull(text, NULL, 0);
    if (seed_given()) rounds = 1;
    for (uint64_t i = 0; i < rounds; i++) {
        fprintf(stderr, "seed %" PRIu64 "\r", seed + i);
        play_round(seed + i, &totals);
    }
    fprintf(stderr,
            "%" PRIu64 " seeds: %" PRIu64 " commands, %" PRIu64 " effects, %" PRIu64 " transactions, %" PRIu64
            " keys\n",
            rounds, totals.commands, totals.effects, totals.transactions, totals.keys);
    if (rounds >= 20) check_all_done(&totals);
    assert_true(totals.effects > 100 * rounds && totals.keys > 5 * rounds);
    assert_true(rounds < 2 || totals.pieces > 5 * rounds);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(effects_say_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
