/* Reading journals twice: first their transactions, for the cut, and where groups in pieces end; then the effects
 * before it, without the pieces whose end is not there. */
#include "tests/sim/crash.h"
#include "core/num.h"
#include "shards/effect_apply.h"
#include <stdlib.h>
#include <string.h>

#define ARGS_MAX 4096
#define LINE     (sizeof "#T 0123456789abcdef 0123456789abcdef\r\n" - 1)

/* A line in a journal: 'T' of a transaction, 'P' of a piece of a group, 'E' of the end of one. */
struct line {
    char kind;
    uint32_t shard;
    size_t at;
    uint64_t stamp, participants;
};

struct crash {
    const struct sim *sim;
    uint32_t shards;
    size_t cut[SIM_SHARDS_MAX]; /* bytes of each journal that are kept */
    struct line *lines;
    uint32_t count, cap;
};

static struct slice durable_part(const struct sim *sim, uint32_t shard) {
    const struct sim_journal *journal = sim_journal(sim, shard);
    return slice_of(journal->bytes.data, journal->durable);
}

/* --- the format --- */

static uint32_t read_number(struct slice *rest, char kind) {
    ASSERT(rest->len > 0 && rest->ptr[0] == kind);
    const char *end = memchr(rest->ptr, '\r', rest->len);
    int64_t number;
    ASSERT(end && num_parse_i64(slice_of(rest->ptr + 1, (size_t)(end - rest->ptr) - 1), &number) && number >= 0);
    *rest = slice_of(end + 2, rest->len - (size_t)(end + 2 - rest->ptr));
    return (uint32_t)number;
}

static uint32_t read_command(struct slice *rest, struct slice *argv) {
    uint32_t argc = read_number(rest, '*');
    ASSERT(argc <= ARGS_MAX);
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t len = read_number(rest, '$');
        argv[i] = slice_of(rest->ptr, len);
        *rest = slice_of(rest->ptr + len + 2, rest->len - len - 2);
    }
    return argc;
}

static struct line read_line(struct slice rest) {
    char text[LINE + 1];
    memcpy(text, rest.ptr, LINE);
    text[LINE] = 0;
    unsigned long long stamp, participants;
    char kind;
    int fields = sscanf(text, "#%c %16llx %16llx\r\n", &kind, &stamp, &participants);
    ASSERT(fields == 3 && strchr("TPE", kind));
    return (struct line){.kind = kind, .stamp = stamp, .participants = participants};
}

/* --- the cut --- */

static void add_line(struct crash *crash, struct line line) {
    if (crash->count == crash->cap) {
        crash->cap = crash->cap ? crash->cap * 2 : 64;
        crash->lines = realloc(crash->lines, crash->cap * sizeof *crash->lines);
        ASSERT(crash->lines);
    }
    crash->lines[crash->count++] = line;
}

static void find_lines(struct crash *crash, uint32_t shard) {
    static struct slice argv[ARGS_MAX];
    struct slice all = durable_part(crash->sim, shard), rest = all;
    crash->cut[shard] = all.len;
    while (rest.len > 0) {
        if (rest.ptr[0] != '#') {
            read_command(&rest, argv);
            continue;
        }
        struct line line = read_line(rest);
        line.shard = shard;
        line.at = all.len - rest.len;
        add_line(crash, line);
        rest = slice_of(rest.ptr + LINE, rest.len - LINE);
    }
}

/* Who has it, a bit each. */
static uint64_t kept_by(const struct crash *crash, uint64_t stamp) {
    uint64_t kept = 0;
    for (uint32_t i = 0; i < crash->count; i++) {
        const struct line *line = &crash->lines[i];
        if (line->kind == 'T' && line->stamp == stamp && line->at < crash->cut[line->shard])
            kept |= 1ull << line->shard;
    }
    return kept;
}

static void find_cut(struct crash *crash) {
    for (uint32_t shard = 0; shard < crash->shards; shard++) find_lines(crash, shard);
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = 0; i < crash->count; i++) {
            const struct line *line = &crash->lines[i];
            if (line->kind != 'T' || line->at >= crash->cut[line->shard]) continue;
            if (kept_by(crash, line->stamp) == line->participants) continue;
            crash->cut[line->shard] = line->at;
            again = true;
        }
    }
}

/* --- recovery --- */

static bool has_end(const struct crash *crash, uint32_t shard, uint64_t stamp) {
    for (uint32_t i = 0; i < crash->count; i++) {
        const struct line *line = &crash->lines[i];
        if (line->kind == 'E' && line->shard == shard && line->stamp == stamp) return line->at < crash->cut[shard];
    }
    return false;
}

static void apply_one(struct shard *shard, uint32_t db, const struct slice *argv, uint32_t argc) {
    struct error error;
    bool applied = effect_apply(shard, db, argv, argc, &error);
    ASSERT(applied);
}

static void apply(const struct crash *crash, struct shard *shard, struct slice rest) {
    static struct slice argv[ARGS_MAX];
    uint32_t db = 0;
    bool in_vain = false; /* in a piece without an end */
    while (rest.len > 0) {
        int64_t number;
        if (rest.ptr[0] == '#') {
            struct line line = read_line(rest);
            in_vain = line.kind == 'P' && !has_end(crash, shard->id, line.stamp);
            rest = slice_of(rest.ptr + LINE, rest.len - LINE);
            continue;
        }
        uint32_t argc = read_command(&rest, argv);
        if (slice_is(argv[0], "multi")) continue;
        if (slice_is(argv[0], "exec")) {
            in_vain = false;
        } else if (slice_is(argv[0], "select")) {
            bool valid = num_parse_i64(argv[1], &number);
            ASSERT(valid);
            db = (uint32_t)number;
        } else if (!in_vain) {
            apply_one(shard, db, argv, argc);
        }
    }
}

static struct sim *recover(struct crash *crash) {
    struct sim_options options = {
        .shards = crash->shards, .mailbox_capacity = 4, .db_count = MODEL_DBS, .seed = crash->shards};
    struct sim *sim = sim_new(&options);
    for (uint32_t shard = 0; shard < crash->shards; shard++) {
        assert_set_shard((int)shard);
        apply(crash, sim_shard(sim, shard), slice_of(durable_part(crash->sim, shard).ptr, crash->cut[shard]));
        assert_set_shard(-1);
    }
    return sim;
}

static void disconnect(struct actor *actor) {
    struct clients *clients = actor->clients;
    actor->leaving = actor->left = true;
    for (; actor->count; actor->count--, actor->first++) {
        const struct pending *pending = &actor->pending[actor->first % ACTOR_PENDING];
        if (pending->expected == EXPECT_RESULT)
            history_lose(clients->history, pending->operation, clients_now_ms(clients));
    }
}

void clients_crash(struct clients *clients) {
    ASSERT(!clients->crashed);
    struct crash crash = {.sim = clients->sim, .shards = clients->shards};
    for (uint32_t i = 0; i < clients->actor_count; i++) disconnect(&clients->actors[i]);
    find_cut(&crash);
    struct sim *sim = recover(&crash);
    free(crash.lines);
    sim_advance_ms(sim, sim_now_ms(clients->sim) - sim_now_ms(sim));
    clients->crashed = clients->sim;
    clients->sim = sim;
}
