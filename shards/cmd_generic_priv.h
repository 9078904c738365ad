/* What the handlers of keys of any type (cmd_generic, cmd_expire, cmd_rename, cmd_scan, cmd_dump) share,
 * and the scans of collections. */
#pragma once
#include "shards/exec.h"

/* For reads that say nothing about use (TTL, TYPE, OBJECT ...): counts hits and misses, leaves the access clock. */
struct entry *exec_peek_any(struct exec *x, uint32_t at, struct key_ref *ref);

/* The keyspace event of a command whose steps are here, as its home says it: a letter for its class, and its name. */
#define EVENT_GENERIC 'g'
#define EVENT_SET     's'
#define EVENT_ZSET    'z'
#define EVENT_STRING  't'
void exec_event_told(struct exec *x, struct slice event);

/* COPY of a value that takes longer than a turn should, over many of them (cmd_copy_work.c). */
bool copy_takes_long(const struct entry *entry);
struct work *copy_work_new(const struct exec *x, uint16_t db, const struct entry *from);

/* What SCAN and its like for the members of a collection have in common. */
#define SCAN_VISIT_MAX 20000u /* entries looked at per call, whatever COUNT says: about 1 ms */
struct scan_options {
    struct slice pattern;
    bool all; /* everything matches */
    int type; /* enum value_type, negative: see cmd_scan.c */
    int64_t count;
};
/* The options from argv[at] on: 2 for SCAN, 3 for a collection's. False: the error was replied. */
NODISCARD bool scan_parse(struct exec *x, uint32_t at, struct scan_options *options);
/* What stands before the elements and is known when they are written, from mark on: the pair, the next cursor, how
 * many. */
void scan_reply_head(struct exec *x, size_t mark, uint64_t cursor, uint64_t found);

/* The 24 bits that say when an entry was last used (LRU) or how often (LFU). */
bool access_is_lfu(const struct exec *x);
uint32_t access_idle_s(const struct exec *x, const struct entry *entry);
uint32_t access_freq(const struct exec *x, const struct entry *entry);
uint32_t access_of_idle(const struct exec *x, uint64_t idle_s);
uint32_t access_of_freq(const struct exec *x, uint32_t freq);
