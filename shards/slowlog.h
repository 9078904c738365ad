/* Slow log: the slowest commands of one shard, newest first, a bounded ring.
 *
 * Entries keep copies of at most 32 arguments of 128 bytes, as Redis shows them. SLOWLOG GET joins the shards' rings
 * by time. Thread: the shard's owner. Cost: nothing unless a command was slow. */
#pragma once
#include "core/alloc.h"
#include "core/slice.h"

struct slow_entry {
    uint64_t id, time_s, micros;
    uint64_t time_us; /* slowlog.now_us when it was added: orders the entries of several logs */
    uint32_t argc;
    struct slice *argv; /* one block with the bytes */
    size_t block_size;
    char client[64], name[32];
};

struct slowlog {
    struct heap *heap;
    struct slow_entry *ring;
    uint32_t cap, count, newest;
    uint64_t next_id;
    uint64_t now_us; /* a clock that all shards share, set by the owner at the start of each turn */
};

#define SLOWLOG_ARGS 32
#define SLOWLOG_TEXT 128

void slowlog_init(struct slowlog *log, struct heap *heap);
void slowlog_deinit(struct slowlog *log);
/* max is slowlog-max-len; entries beyond it are dropped, oldest first. */
void slowlog_add(struct slowlog *log, uint32_t max, uint64_t time_s, uint64_t micros, const struct slice *argv,
                 uint32_t argc, const char *client, const char *name);
void slowlog_reset(struct slowlog *log);
/* i-th newest; NULL past the end. */
const struct slow_entry *slowlog_at(const struct slowlog *log, uint32_t i);
