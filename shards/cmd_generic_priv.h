/* What the handlers of keys of any type (cmd_generic, cmd_expire, cmd_rename, cmd_scan, cmd_dump) share. */
#pragma once
#include "shards/exec.h"

/* For reads that say nothing about use (TTL, TYPE, OBJECT ...): counts hits and misses, leaves the access clock. */
struct entry *exec_peek_any(struct exec *x, uint32_t at, struct key_ref *ref);

/* The number of a database as COPY and MOVE take it. Returns the error to reply, NULL when it is fine. */
const char *parse_database(struct slice text, uint32_t db_count, uint16_t *db);

/* Puts bytes at mark and moves behind them what was written since. For replies whose head is known last. */
void buf_insert(struct buf *out, size_t mark, struct slice bytes);

/* The 24 bits that say when an entry was last used (LRU) or how often (LFU). */
bool access_is_lfu(const struct exec *x);
uint32_t access_idle_s(const struct exec *x, const struct entry *entry);
uint32_t access_freq(const struct exec *x, const struct entry *entry);
uint32_t access_of_idle(const struct exec *x, uint64_t idle_s);
uint32_t access_of_freq(const struct exec *x, uint32_t freq);
