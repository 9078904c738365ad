/* The slow log's ring. `newest` is the place of the newest entry, older ones lie before it, round the end. An entry is
 * one block: the slices, then the bytes they point to. The ring itself grows to slowlog-max-len and no further. */
#include "shards/slowlog.h"
#include "core/assert.h"
#include <stdio.h>

void slowlog_init(struct slowlog *log, struct heap *heap) {
    *log = (struct slowlog){.heap = heap};
}

static void entry_free(struct slowlog *log, struct slow_entry *entry) {
    heap_free(log->heap, MEM_STATS, entry->argv, entry->block_size);
    entry->argv = NULL;
}

/* The place of the i-th newest. */
static uint32_t place_of(const struct slowlog *log, uint32_t i) {
    return log->newest >= i ? log->newest - i : log->newest + log->cap - i;
}

void slowlog_reset(struct slowlog *log) {
    for (uint32_t i = 0; i < log->count; i++) entry_free(log, &log->ring[place_of(log, i)]);
    heap_free(log->heap, MEM_STATS, log->ring, log->cap * sizeof *log->ring);
    log->ring = NULL;
    log->cap = log->count = log->newest = 0; /* ids go on */
}

void slowlog_deinit(struct slowlog *log) {
    slowlog_reset(log);
}

static void drop_oldest(struct slowlog *log, uint32_t keep) {
    while (log->count > keep) entry_free(log, &log->ring[place_of(log, --log->count)]);
}

/* Room for one more; entries move to the front of the new ring, oldest first. */
static void grow(struct slowlog *log, uint32_t max) {
    uint32_t cap = MIN(MAX(log->cap * 2, 16u), max);
    struct slow_entry *ring = heap_alloc(log->heap, MEM_STATS, cap * sizeof *ring);
    for (uint32_t i = 0; i < log->count; i++) ring[log->count - 1 - i] = log->ring[place_of(log, i)];
    heap_free(log->heap, MEM_STATS, log->ring, log->cap * sizeof *ring);
    log->ring = ring;
    log->cap = cap;
    log->newest = log->count ? log->count - 1 : cap - 1;
}

/* What is shown of argument i, in text if it is not the argument itself. Redis's limits and words. */
static struct slice shown(const struct slice *argv, uint32_t argc, uint32_t i, char text[SLOWLOG_TEXT + 64]) {
    if (argc > SLOWLOG_ARGS && i == SLOWLOG_ARGS - 1) {
        snprintf(text, SLOWLOG_TEXT + 64, "... (%u more arguments)", argc - SLOWLOG_ARGS + 1);
        return slice_of_cstr(text);
    }
    struct slice arg = argv[i];
    if (arg.len <= SLOWLOG_TEXT) return arg;
    memcpy(text, arg.ptr, SLOWLOG_TEXT);
    int more = snprintf(text + SLOWLOG_TEXT, 64, "... (%zu more bytes)", arg.len - SLOWLOG_TEXT);
    return slice_of(text, SLOWLOG_TEXT + (size_t)more);
}

static void copy_args(struct slowlog *log, struct slow_entry *entry, const struct slice *argv, uint32_t argc) {
    char text[SLOWLOG_TEXT + 64];
    entry->argc = MIN(argc, (uint32_t)SLOWLOG_ARGS);
    size_t bytes = 0;
    for (uint32_t i = 0; i < entry->argc; i++) bytes += shown(argv, argc, i, text).len;
    entry->block_size = entry->argc * sizeof(struct slice) + bytes;
    entry->argv = heap_alloc(log->heap, MEM_STATS, entry->block_size);
    char *at = (char *)(entry->argv + entry->argc);
    for (uint32_t i = 0; i < entry->argc; i++) {
        struct slice arg = shown(argv, argc, i, text);
        if (arg.len) memcpy(at, arg.ptr, arg.len);
        entry->argv[i] = slice_of(at, arg.len);
        at += arg.len;
    }
}

void slowlog_add(struct slowlog *log, uint32_t max, uint64_t time_s, uint64_t micros, const struct slice *argv,
                 uint32_t argc, const char *client, const char *name) {
    if (max == 0) {
        drop_oldest(log, 0);
        return;
    }
    drop_oldest(log, max - 1);
    if (log->count == log->cap) grow(log, max);
    log->newest = log->newest + 1 == log->cap ? 0 : log->newest + 1;
    log->count++;
    struct slow_entry *entry = &log->ring[log->newest];
    *entry = (struct slow_entry){.id = log->next_id++, .time_s = time_s, .micros = micros, .time_us = log->now_us};
    copy_args(log, entry, argv, argc);
    snprintf(entry->client, sizeof entry->client, "%s", client);
    snprintf(entry->name, sizeof entry->name, "%s", name);
}

const struct slow_entry *slowlog_at(const struct slowlog *log, uint32_t i) {
    return i < log->count ? &log->ring[place_of(log, i)] : NULL;
}
