/* Operations in an array in order of invocation; commands and replies in memory that never moves, because operations
 * point there. */
#include "tests/sim/history.h"
#include "core/assert.h"
#include "core/resp_write.h"
#include <inttypes.h>
#include <stdlib.h>

#define BLOCK_BYTES (64 * 1024)

struct block {
    struct block *next;
    size_t used, size;
    char bytes[];
};

struct history {
    struct model *model;
    struct operation *all;
    uint32_t count, cap;
    uint64_t event;
    uint32_t *quiet; /* how many operations there were at each quiet moment */
    uint32_t quiet_count, quiet_cap;
    uint32_t latest[MODEL_CLIENTS]; /* plus 1 */
    struct block *blocks;
};

struct history *history_new(struct model *model) {
    struct history *history = calloc(1, sizeof *history);
    ASSERT(history);
    history->model = model;
    return history;
}

void history_delete(struct history *history) {
    while (history->blocks) {
        struct block *block = history->blocks;
        history->blocks = block->next;
        free(block);
    }
    free(history->all);
    free(history->quiet);
    free(history);
}

struct model *history_model(const struct history *history) {
    return history->model;
}

static void *keep(struct history *history, const void *bytes, size_t len) {
    struct block *block = history->blocks;
    size_t size = (len + 15) & ~(size_t)15;
    if (!block || block->size - block->used < size) {
        size_t room = MAX(size, (size_t)BLOCK_BYTES);
        block = malloc(sizeof *block + room);
        ASSERT(block);
        *block = (struct block){.next = history->blocks, .size = room};
        history->blocks = block;
    }
    char *kept = block->bytes + block->used;
    if (len) memcpy(kept, bytes, len);
    block->used += size;
    return kept;
}

static struct operation *add(struct history *history) {
    if (history->count == history->cap) {
        history->cap = MAX(history->cap * 2, 256u);
        history->all = realloc(history->all, history->cap * sizeof *history->all);
        ASSERT(history->all);
    }
    struct operation *operation = &history->all[history->count++];
    *operation = (struct operation){.returned = HISTORY_NEVER, .began = HISTORY_NEVER, .served_by = -1};
    return operation;
}

static bool is_session(const struct model_operation *what) {
    return what->transaction ? what->watching : model_is_session(what->commands[0].code);
}

uint32_t history_invoke(struct history *history, const struct invocation *invocation) {
    ASSERT(invocation->client < MODEL_CLIENTS && (invocation->transaction || invocation->count == 1));
    struct operation *operation = add(history);
    uint32_t number = history->count - 1;
    struct model_operation *what = &operation->what;
    *what = (struct model_operation){.client = invocation->client,
                                     .transaction = invocation->transaction,
                                     .refused = invocation->refused,
                                     .watching = invocation->transaction && invocation->watched,
                                     .count = invocation->count,
                                     .from_ms = invocation->now_ms,
                                     .to_ms = UINT32_MAX};
    what->commands = keep(history, invocation->commands, invocation->count * sizeof *invocation->commands);
    operation->invoked = ++history->event;
    operation->waits = !what->transaction && model_is_blocking(what->commands[0].code);
    operation->session = is_session(what);
    operation->barrier = invocation->barrier || operation->waits;
    operation->places = model_places(what) | invocation->watched;
    operation->shard = invocation->shard;
    operation->previous = history->latest[what->client];
    history->latest[what->client] = number + 1;
    return number;
}

/* --- replies --- */

static struct slice cut(struct slice *rest) {
    size_t size = resp_skip(*rest);
    ASSERT(size > 0);
    struct slice first = slice_of(rest->ptr, size);
    *rest = slice_of(rest->ptr + size, rest->len - size);
    return first;
}

/* Goes behind the header line of an array: its elements. */
static struct slice inside(struct slice array) {
    const char *end = memchr(array.ptr, '\n', array.len);
    ASSERT(end);
    return slice_of(end + 1, array.len - (size_t)(end + 1 - array.ptr));
}

static int compare(const void *a, const void *b) {
    return slice_compare(inside(*(const struct slice *)a), inside(*(const struct slice *)b));
}

/* The elements of an array, which are texts, in their order, where they are. */
static void sort_elements(struct slice array) {
    struct slice elements[MODEL_KEYS], rest = inside(array);
    char copy[MODEL_KEYS * 32];
    size_t count = 0, at = 0;
    char *to = (char *)(uintptr_t)rest.ptr;
    if (rest.len > sizeof copy) return; /* no model answers that: it will not match */
    while (rest.len && count < MODEL_KEYS) elements[count++] = cut(&rest);
    qsort(elements, count, sizeof *elements, compare);
    for (size_t i = 0; i < count; i++) {
        memcpy(copy + at, elements[i].ptr, elements[i].len);
        at += elements[i].len;
    }
    memcpy(to, copy, at);
}

/* What may differ without meaning anything is made the same: the order of KEYS, and how giving up is told. */
static void normalise(struct operation *operation) {
    const struct model_operation *what = &operation->what;
    if (operation->waits && slice_equal(operation->reply, SLICE("$-1\r\n"))) operation->reply = SLICE("*-1\r\n");
    if (!what->transaction) {
        if (what->commands[0].code == DO_KEYS && operation->reply.ptr[0] == '*') sort_elements(operation->reply);
        return;
    }
    if (operation->reply.ptr[0] != '*') return;
    struct slice rest = inside(operation->reply);
    for (uint32_t i = 0; i < what->count && rest.len; i++) {
        struct slice element = cut(&rest);
        if (what->commands[i].code == DO_KEYS && element.ptr[0] == '*') sort_elements(element);
    }
}

/* Which of its keys the reply names. */
static int find_server(const struct history *history, const struct operation *operation) {
    const struct model_command *command = &operation->what.commands[0];
    if (command->code == DO_BLMOVE) return 0;
    if (!operation->waits || operation->reply.len < 4 || operation->reply.ptr[1] != '2') return -1;
    struct slice rest = inside(operation->reply), name = inside(cut(&rest));
    name.len -= MIN(name.len, (size_t)2);
    for (int i = 0; i < command->key_count; i++)
        if (slice_equal(name, slice_of_cstr(model_name(history->model, command->keys[i])))) return i;
    return -1;
}

/* A command answers an error or nil when it found nothing to do. (SWAPDB answers OK, though it may have changed nothing
 * here and something elsewhere.) */
static bool changed_nothing(const struct operation *operation) {
    const struct model_operation *what = &operation->what;
    if (what->transaction || operation->waits) return false;
    return model_only_reads((enum model_code)what->commands[0].code) || operation->reply.ptr[0] == '-' ||
           slice_equal(operation->reply, SLICE("$-1\r\n")) || slice_equal(operation->reply, SLICE("*-1\r\n"));
}

void history_answer(struct history *history, uint32_t number, struct slice reply, uint32_t now_ms) {
    ASSERT(number < history->count && resp_skip(reply) == reply.len);
    struct operation *operation = &history->all[number];
    ASSERT(operation->returned == HISTORY_NEVER);
    operation->returned = ++history->event;
    operation->answered = true;
    operation->what.to_ms = now_ms;
    operation->reply = slice_of(keep(history, reply.ptr, reply.len), reply.len);
    normalise(operation);
    operation->served_by = find_server(history, operation);
    operation->harmless = changed_nothing(operation);
}

void history_waits(struct history *history, uint32_t number) {
    struct operation *operation = &history->all[number];
    ASSERT(number < history->count && operation->waits && operation->returned == HISTORY_NEVER);
    operation->waited = ++history->event;
    operation->began = MIN(operation->began, operation->waited);
}

void history_close(struct history *history, uint32_t number, uint32_t now_ms) {
    struct operation *operation = &history->all[number];
    ASSERT(number < history->count && operation->returned == HISTORY_NEVER);
    operation->returned = ++history->event;
    operation->what.to_ms = now_ms;
}

void history_mark_quiet(struct history *history) {
    if (history->quiet_count == history->quiet_cap) {
        history->quiet_cap = MAX(history->quiet_cap * 2, 16u);
        history->quiet = realloc(history->quiet, history->quiet_cap * sizeof *history->quiet);
        ASSERT(history->quiet);
    }
    history->quiet[history->quiet_count++] = history->count;
}

uint32_t history_count(const struct history *history) {
    return history->count;
}

const struct operation *history_at(const struct history *history, uint32_t number) {
    ASSERT(number < history->count);
    return &history->all[number];
}

static bool changes_nothing(const struct model_operation *what) {
    for (uint32_t i = 0; i < what->count; i++)
        if (!model_only_reads((enum model_code)what->commands[i].code)) return what->refused;
    return true;
}

/* What is in no journal ties nothing together. */
void history_lose(struct history *history, uint32_t number, uint32_t now_ms) {
    struct operation *operation = &history->all[number];
    history_close(history, number, now_ms);
    operation->lost = true;
    if (!changes_nothing(&operation->what)) return;
    operation->barrier = false;
    operation->places = 0;
    operation->shard = -1;
}

bool history_before(const struct operation *a, const struct operation *b) {
    bool barrier = (a->barrier || b->barrier) && !a->lost;
    return barrier || a->places & b->places || (a->session && b->session) || (a->shard >= 0 && a->shard == b->shard);
}

uint32_t history_window(const struct history *history, uint32_t number) {
    uint32_t from = 0;
    for (uint32_t i = 0; i < history->quiet_count && history->quiet[i] <= number; i++) from = history->quiet[i];
    return from;
}

/* --- printing --- */

static size_t print_reply(struct slice reply, FILE *out) {
    size_t size = resp_skip(reply);
    if (!size) {
        fprintf(out, "(torn) %.*s", (int)reply.len, reply.ptr);
        return reply.len;
    }
    struct slice line = slice_of(reply.ptr, (size_t)((const char *)memchr(reply.ptr, '\r', size) - reply.ptr));
    struct slice rest = inside(reply);
    if (line.ptr[1] == '-' && line.ptr[0] != ':') {
        fputs("nil", out);
    } else if (line.ptr[0] == '$') {
        fprintf(out, "\"%.*s\"", (int)(size - line.len - 4), rest.ptr);
    } else if (line.ptr[0] == '*') {
        fputc('[', out);
        for (long left = strtol(line.ptr + 1, NULL, 10); left > 0; left--) {
            size_t element = print_reply(rest, out);
            rest = slice_of(rest.ptr + element, rest.len - element);
            if (left > 1) fputs(", ", out);
        }
        fputc(']', out);
    } else {
        fprintf(out, "%.*s", (int)line.len, line.ptr);
    }
    return size;
}

void history_print_reply(struct slice reply, FILE *out) {
    (void)print_reply(reply, out);
}

static void print_end(const struct operation *operation, FILE *out) {
    if (operation->answered)
        history_print_reply(operation->reply, out);
    else
        fputs(operation->returned == HISTORY_NEVER ? "(under way)" : "(its client vanished)", out);
}

void history_print(const struct history *history, uint32_t number, FILE *out) {
    const struct operation *operation = history_at(history, number);
    const struct model_operation *what = &operation->what;
    char span[48];
    if (operation->returned == HISTORY_NEVER)
        snprintf(span, sizeof span, "%" PRIu64 "-", operation->invoked);
    else
        snprintf(span, sizeof span, "%" PRIu64 "-%" PRIu64, operation->invoked, operation->returned);
    fprintf(out, "#%-4u c%-2u %11s  ", number, what->client, span);
    if (what->transaction) fputs("MULTI { ", out);
    for (uint32_t i = 0; i < what->count; i++) {
        if (i) fputs("; ", out);
        model_print(history->model, &what->commands[i], out);
        if (!what->transaction)
            fprintf(out, " @%u",
                    what->commands[i].key_count ? what->commands[i].keys[0] / MODEL_KEYS : what->commands[i].db);
    }
    if (what->transaction) fputs(" } EXEC", out);
    fputs("  ->  ", out);
    print_end(operation, out);
    fputc('\n', out);
}
