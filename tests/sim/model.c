/* Carrying out operations, and commands as words. What single commands do is in model_commands.c. */
#include "tests/sim/model.h"
#include "core/assert.h"
#include "tests/sim/model_priv.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

struct model {
    struct values *values;
    uint64_t origin_ms;
    uint32_t keys;
    char names[MODEL_KEYS][16];
    uint8_t in_order[MODEL_KEYS];
    size_t reply_len;
    char reply[MODEL_REPLY_MAX];
};

struct model *model_new(const char *const *names, uint32_t count, uint64_t origin_ms) {
    struct model *model = calloc(1, sizeof *model);
    ASSERT(model && count <= MODEL_KEYS);
    model->values = values_new();
    model->origin_ms = origin_ms;
    model->keys = count;
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(strlen(names[i]) < sizeof model->names[i]);
        strcpy(model->names[i], names[i]);
        uint32_t at = i;
        for (; at > 0 && strcmp(model->names[model->in_order[at - 1]], names[i]) > 0; at--)
            model->in_order[at] = model->in_order[at - 1];
        model->in_order[at] = (uint8_t)i;
    }
    return model;
}

void model_delete(struct model *model) {
    values_delete(model->values);
    free(model);
}

struct values *model_values(struct model *model) {
    return model->values;
}

uint32_t model_keys(const struct model *model) {
    return model->keys;
}

const char *model_name(const struct model *model, uint32_t place) {
    return model->names[place % MODEL_KEYS];
}

struct slice model_reply(const struct model *model) {
    return slice_of(model->reply, model->reply_len);
}

/* --- commands as words --- */

const char *model_code_name(enum model_code code) {
    return model_rows[code].name;
}

bool model_only_reads(enum model_code code) {
    return model_rows[code].flags & READS;
}

bool model_is_wide(enum model_code code) {
    return model_rows[code].flags & WIDE;
}

bool model_is_blocking(enum model_code code) {
    return model_rows[code].flags & BLOCKS;
}

bool model_is_session(enum model_code code) {
    return model_rows[code].flags & SESSION;
}

uint32_t model_keys_waited_for(const struct model_command *command) {
    unsigned flags = model_rows[command->code].flags;
    return flags & SEVERAL ? command->key_count : (flags & BLOCKS) != 0;
}

/* Words being made: numbers are printed into `texts`. */
struct wording {
    const struct model *model;
    const struct model_command *command;
    struct slice *words;
    uint32_t count, next_key, next_value;
    char *texts;
    size_t room;
};

static void add_word(struct wording *w, struct slice word) {
    ASSERT(w->count < MODEL_ARGC_MAX);
    w->words[w->count++] = word;
}

static void add_number(struct wording *w, const char *format, ...) PRINTF_LIKE(2, 3);
static void add_number(struct wording *w, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int len = vsnprintf(w->texts, w->room, format, list);
    va_end(list);
    ASSERT(len > 0 && (size_t)len < w->room);
    add_word(w, slice_of(w->texts, (size_t)len));
    w->texts += len;
    w->room -= (size_t)len;
}

static void add_key(struct wording *w) {
    add_word(w, slice_of_cstr(model_name(w->model, w->command->keys[w->next_key++])));
}

static void add_value(struct wording *w) {
    add_word(w, value_text(w->model->values, w->command->values[w->next_value++]));
}

static void add_keys(struct wording *w, bool with_values) {
    while (w->next_key < w->command->key_count) {
        add_key(w);
        if (with_values) add_value(w);
    }
}

static void add_seconds(struct wording *w) {
    add_number(w, "%" PRIu32 ".%03" PRIu32, w->command->timeout_ms / 1000, w->command->timeout_ms % 1000);
}

/* One word of a row's pattern. */
static void expand(struct wording *w, struct slice word) {
    const struct model_command *command = w->command;
    if (slice_equal(word, SLICE("K")))
        add_key(w);
    else if (slice_equal(word, SLICE("K*")))
        add_keys(w, false);
    else if (slice_equal(word, SLICE("KV*")))
        add_keys(w, true);
    else if (slice_equal(word, SLICE("V")))
        add_value(w);
    else if (slice_equal(word, SLICE("V*")))
        while (w->next_value < command->value_count) add_value(w);
    else if (slice_equal(word, SLICE("#")))
        add_number(w, "%u", command->key_count);
    else if (slice_equal(word, SLICE("N")))
        add_number(w, "%" PRId64, command->number);
    else if (slice_equal(word, SLICE("A")))
        add_number(w, "%" PRIu64, w->model->origin_ms + (uint64_t)command->number);
    else if (slice_equal(word, SLICE("S")))
        add_seconds(w);
    else if (slice_equal(word, SLICE("F")))
        add_word(w, command->from_right ? SLICE("right") : SLICE("left"));
    else if (slice_equal(word, SLICE("T")))
        add_word(w, command->to_right ? SLICE("right") : SLICE("left"));
    else
        add_word(w, word);
}

uint32_t model_words(const struct model *model, const struct model_command *command, struct slice *words, char *texts,
                     size_t text_size) {
    const struct model_row *row = &model_rows[command->code];
    struct wording w = {.model = model, .command = command, .words = words, .texts = texts, .room = text_size};
    add_word(&w, slice_of_cstr(row->name));
    for (const char *at = row->words; *at;) {
        size_t len = strcspn(at, " ");
        expand(&w, slice_of(at, len));
        at += len + (at[len] == ' ');
    }
    return w.count;
}

void model_print(const struct model *model, const struct model_command *command, FILE *out) {
    struct slice words[MODEL_ARGC_MAX];
    char texts[128];
    uint32_t count = model_words(model, command, words, texts, sizeof texts);
    for (uint32_t i = 0; i < count; i++) fprintf(out, "%s%.*s", i ? " " : "", (int)words[i].len, words[i].ptr);
}

static void print_value(const struct values *values, uint32_t value, FILE *out) {
    if (!value_is_list(values, value)) {
        struct slice text = value_text(values, value);
        fprintf(out, "\"%.*s\"", (int)text.len, text.ptr);
        return;
    }
    uint32_t count;
    const uint32_t *items = value_items(values, value, &count);
    fputc('[', out);
    for (uint32_t i = 0; i < count; i++) {
        struct slice text = value_text(values, items[i]);
        fprintf(out, "%s%.*s", i ? " " : "", (int)text.len, text.ptr);
    }
    fputc(']', out);
}

static void print_clients(const char *what, uint32_t clients, FILE *out) {
    if (!clients) return;
    fprintf(out, "%s", what);
    for (uint32_t left = clients; left; left &= left - 1) fprintf(out, " c%d", __builtin_ctz(left));
}

void model_print_state(const struct model *model, const struct model_state *state, FILE *out) {
    for (uint32_t place = 0; place < MODEL_PLACES; place++) {
        if (!state->value[place] && !state->watchers[place]) continue;
        fprintf(out, "      db %u %-8s ", place / MODEL_KEYS, model_name(model, place));
        if (state->value[place])
            print_value(model->values, state->value[place], out);
        else
            fputs("absent", out);
        if (state->due_ms[place]) fprintf(out, ", until %u to %u ms", state->due_ms[place], state->due_max_ms[place]);
        print_clients(", watched by", state->watchers[place], out);
        fputc('\n', out);
    }
    if (!state->dirty && !state->queue[0]) return;
    fputs("     ", out);
    print_clients(" EXEC will fail for", (uint32_t)state->dirty, out);
    if (state->queue[0]) fputs(" in line:", out);
    for (uint32_t i = 0; i < MODEL_CLIENTS && state->queue[i]; i++) fprintf(out, " c%d", state->queue[i] - 1);
    fputc('\n', out);
}

/* --- for handlers --- */

#define WRONG_TYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

uint32_t run_key(const struct run *run, uint32_t i) {
    ASSERT(i < run->command->key_count);
    return run->command->keys[i];
}

uint32_t run_value(const struct run *run, uint32_t i) {
    return run->state->value[run_key(run, i)];
}

bool run_is_list(const struct run *run, uint32_t i) {
    return value_is_list(run->values, run_value(run, i));
}

bool run_want_text(struct run *run, uint32_t i) {
    if (run_is_list(run, i)) run_expect(run, WRONG_TYPE);
    return !run_is_list(run, i);
}

bool run_want_list(struct run *run, uint32_t i) {
    bool text = run_value(run, i) != VALUE_NONE && !run_is_list(run, i);
    if (text) run_expect(run, WRONG_TYPE);
    return !text;
}

struct slice run_key_name(const struct run *run, uint32_t place) {
    return slice_of_cstr(model_name(run->model, place));
}

uint32_t run_key_in_order(const struct run *run, uint32_t i) {
    return run->model->in_order[i];
}

void run_touch(struct run *run, uint32_t place) {
    run->changed = true;
    run->state->dirty |= run->state->watchers[place];
}

void run_set(struct run *run, uint32_t place, uint32_t value) {
    run->state->value[place] = value;
    if (!value) run->state->due_ms[place] = run->state->due_max_ms[place] = 0;
    run_touch(run, place);
}

void run_drop(struct run *run, uint32_t place) {
    if (run->state->value[place]) run_set(run, place, VALUE_NONE);
}

void run_forget_watches(struct run *run) {
    uint32_t others = ~(1u << run->operation->client);
    struct model_state *state = run->state;
    uint32_t seen = (uint32_t)state->dirty;
    for (uint32_t place = 0; place < MODEL_PLACES; place++) seen |= state->watchers[place];
    if (!(seen & ~others)) return;
    state->dirty &= others;
    for (uint32_t place = 0; place < MODEL_PLACES; place++) state->watchers[place] &= others;
    run->changed = true;
}

void run_expect(struct run *run, const char *format, ...) {
    struct model *model = run->model;
    size_t room = sizeof model->reply - model->reply_len;
    va_list list;
    va_start(list, format);
    int len = vsnprintf(model->reply + model->reply_len, room, format, list);
    va_end(list);
    ASSERT(len >= 0 && (size_t)len < room);
    model->reply_len += (size_t)len;
}

void run_expect_bulk(struct run *run, struct slice bytes) {
    run_expect(run, "$%zu\r\n%.*s\r\n", bytes.len, (int)bytes.len, bytes.ptr);
}

void run_expect_value(struct run *run, uint32_t value) {
    if (value == VALUE_NONE)
        run_expect(run, "$-1\r\n");
    else
        run_expect_bulk(run, value_text(run->values, value));
}

/* --- operations --- */

#define ALL_PLACES ((1u << MODEL_PLACES) - 1)
static_assert(MODEL_PLACES + MODEL_ARGS <= 32, "a bit for each place, and for each command of a transaction");

uint32_t model_places(const struct model_operation *operation) {
    uint32_t places = 0;
    for (uint32_t i = 0; i < operation->count; i++) {
        const struct model_command *command = &operation->commands[i];
        if (model_rows[command->code].flags & WIDE) return ALL_PLACES;
        for (uint32_t k = 0; k < command->key_count; k++) places |= 1u << command->keys[k];
    }
    return places;
}

/* Those it names, and those its client watches if it looks at them. */
static uint32_t looked_at(const struct model_state *state, const struct model_operation *operation) {
    uint32_t places = model_places(operation);
    if (!operation->watching) return places;
    for (uint32_t place = 0; place < MODEL_PLACES; place++)
        if (state->watchers[place] >> operation->client & 1) places |= 1u << place;
    return places;
}

/* May the deadline pass while the operation is under way? If it passed before, that is certain. */
static bool may_pass(const struct model_operation *operation, uint64_t due_ms, uint64_t due_max_ms) {
    return due_ms && due_ms <= operation->to_ms && due_max_ms > operation->from_ms;
}

/* The deadline that a command sets; 0: none. */
static uint32_t sets_deadline(const struct model_operation *operation, const struct model_command *command) {
    switch (command->code) {
    case DO_SET_PX: return operation->from_ms + (uint32_t)command->number;
    case DO_SET_PXAT:
    case DO_PEXPIREAT: return (uint32_t)command->number;
    default: return 0;
    }
}

uint32_t model_may_expire(const struct model_state *state, const struct model_operation *operation) {
    uint32_t places = 0;
    for (uint32_t left = looked_at(state, operation); left; left &= left - 1) {
        uint32_t place = (uint32_t)__builtin_ctz(left);
        if (may_pass(operation, state->due_ms[place], state->due_max_ms[place])) places |= 1u << place;
    }
    for (uint32_t i = 0; i + 1 < operation->count; i++) {
        const struct model_command *command = &operation->commands[i];
        uint32_t due_ms = sets_deadline(operation, command);
        if (may_pass(operation, due_ms, due_ms)) places |= MODEL_AFTER(i);
    }
    return places;
}

/* A deadline that a transaction sets itself may have passed for its next command: one of the past. */
static void expire_again(struct run *run, uint32_t i) {
    const struct model_command *command = run->command;
    if (!run->operation->transaction || !sets_deadline(run->operation, command)) return;
    uint32_t place = command->keys[0];
    uint32_t due_max_ms = run->state->due_max_ms[place];
    if (!due_max_ms) return; /* the command did nothing */
    if (due_max_ms <= run->operation->from_ms || run->choice.expired & MODEL_AFTER(i)) run_drop(run, place);
}

static void expire(struct run *run) {
    struct model_state *state = run->state;
    for (uint32_t left = looked_at(state, run->operation); left; left &= left - 1) {
        uint32_t place = (uint32_t)__builtin_ctz(left);
        if (!state->due_ms[place]) continue;
        if (state->due_max_ms[place] <= run->operation->from_ms || run->choice.expired >> place & 1)
            run_drop(run, place);
    }
}

static void run_command(struct run *run, uint32_t i) {
    run->command = &run->operation->commands[i];
    model_rows[run->command->code].run(run);
    expire_again(run, i);
}

static void exec(struct run *run) {
    const struct model_operation *operation = run->operation;
    bool dirty = operation->watching && run->state->dirty >> operation->client & 1;
    if (operation->watching) run_forget_watches(run);
    if (operation->refused) {
        run_expect(run, "-EXECABORT Transaction discarded because of previous errors.\r\n");
    } else if (dirty) {
        run_expect(run, "*-1\r\n");
    } else {
        run_expect(run, "*%u\r\n", operation->count);
        for (uint32_t i = 0; i < operation->count; i++) run_command(run, i);
    }
}

/* --- waiting --- */

/* Lists that somebody waits for. Those with a deadline may be gone, so they are nobody's. */
static uint32_t held(const struct model *model, const struct model_state *state) {
    uint32_t places = 0;
    for (uint32_t i = 0; i < MODEL_CLIENTS && state->queue[i]; i++) places |= state->waits[state->queue[i] - 1];
    for (uint32_t left = places; left; left &= left - 1) {
        uint32_t place = (uint32_t)__builtin_ctz(left);
        if (!value_is_list(model->values, state->value[place]) || state->due_ms[place]) places &= ~(1u << place);
    }
    return places;
}

static bool is_first_in_line(const struct model_state *state, uint32_t client, uint32_t place) {
    uint32_t i = 0;
    for (; i < MODEL_CLIENTS && state->queue[i]; i++)
        if (state->waits[state->queue[i] - 1] >> place & 1) break;
    ASSERT(i < MODEL_CLIENTS && state->queue[i]); /* the client itself is there */
    return state->queue[i] == client + 1;
}

static void leave_line(struct model_state *state, uint32_t client) {
    uint32_t at = 0;
    while (state->queue[at] != client + 1) at++;
    for (; at + 1 < MODEL_CLIENTS && state->queue[at]; at++) state->queue[at] = state->queue[at + 1];
    if (at + 1 == MODEL_CLIENTS) state->queue[at] = 0;
    state->waits[client] = 0;
}

static uint32_t places_waited_for(const struct model_operation *operation) {
    const struct model_command *command = &operation->commands[0];
    uint32_t places = 0;
    for (uint32_t i = 0; i < model_keys_waited_for(command); i++) places |= 1u << command->keys[i];
    return places;
}

static void join_line(struct model_state *state, const struct model_operation *operation) {
    uint32_t at = 0;
    while (state->queue[at]) at++;
    ASSERT(at < MODEL_CLIENTS);
    state->queue[at] = (uint8_t)(operation->client + 1);
    state->waits[operation->client] = places_waited_for(operation);
}

static enum model_outcome give_up(struct run *run, bool answered) {
    uint32_t client = run->operation->client;
    if (answered && held(run->model, run->state) & run->state->waits[client]) return MODEL_IMPOSSIBLE;
    leave_line(run->state, client);
    run_expect(run, "*-1\r\n");
    return MODEL_CHANGED;
}

static enum model_outcome serve(struct run *run) {
    uint32_t client = run->operation->client;
    uint32_t place = run->operation->commands[0].keys[run->choice.served_by];
    expire(run);
    if (!value_is_list(run->values, run->state->value[place])) return MODEL_IMPOSSIBLE;
    if (!is_first_in_line(run->state, client, place)) return MODEL_IMPOSSIBLE;
    leave_line(run->state, client);
    run_command(run, 0);
    return MODEL_CHANGED;
}

static enum model_outcome happen(struct run *run) {
    const struct model_operation *operation = run->operation;
    if (looked_at(run->state, operation) & held(run->model, run->state)) return MODEL_IMPOSSIBLE;
    expire(run);
    if (operation->transaction) {
        exec(run);
        return run->changed ? MODEL_CHANGED : MODEL_SAME;
    }
    run_command(run, 0);
    bool blocks = model_rows[operation->commands[0].code].flags & BLOCKS;
    bool nothing = blocks && slice_equal(model_reply(run->model), SLICE("*-1\r\n"));
    if (nothing != (run->choice.event == MODEL_BEGINS)) return MODEL_IMPOSSIBLE;
    if (nothing) join_line(run->state, operation);
    return run->changed || nothing ? MODEL_CHANGED : MODEL_SAME;
}

enum model_outcome model_apply(struct model *model, struct model_state *state, const struct model_operation *operation,
                               struct model_choice choice, bool answered) {
    struct run run = {
        .model = model, .values = model->values, .state = state, .operation = operation, .choice = choice};
    /* When both are lost in a crash, a client may be waiting with another one that it sent before. */
    uint32_t waits = state->waits[operation->client];
    bool with_this = waits && waits == places_waited_for(operation);
    model->reply_len = 0;
    switch ((enum model_event)choice.event) {
    case MODEL_HAPPENS:
    case MODEL_BEGINS: return waits ? MODEL_IMPOSSIBLE : happen(&run);
    case MODEL_SERVED: return with_this ? serve(&run) : MODEL_IMPOSSIBLE;
    case MODEL_GIVES_UP: return with_this ? give_up(&run, answered) : MODEL_IMPOSSIBLE;
    }
    return MODEL_IMPOSSIBLE;
}
