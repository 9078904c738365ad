/* Effect add: how a handler says what it did (shards/effect.h), where its command as it came does not say it.
 *
 * Said after the change and before the handler returns, in the order in which it happened to each key. Arguments are
 * copied. While nobody writes effects down all of this does nothing.
 *
 * Cost      O(bytes of the arguments); of a whole value its bytes. */
#pragma once
#include "shards/effect_payload.h"
#include "shards/exec.h"

void effect_same(struct exec *x); /* the command as it came */
void effect_add(struct exec *x, uint32_t db, const struct slice *argv, uint32_t argc);
void effect_del(struct exec *x, uint32_t db, struct slice key);
/* A string; 0: for ever. Not one that is told of over turns (shards/tell_work.h). */
void effect_set(struct exec *x, struct slice key, struct slice value, uint64_t deadline_ms);
void effect_deadline(struct exec *x, struct slice key, uint64_t deadline_ms);                 /* 0: none any more */
void effect_deadline_in(struct exec *x, uint32_t db, struct slice key, uint64_t deadline_ms); /* which is not 0 */
void effect_field_deadline(struct exec *x, struct slice key, struct slice field, uint64_t deadline_ms); /* of a hash */
/* count elements were taken from an end: the command is LPOP or the like. */
void effect_pop(struct exec *x, const char *name, struct slice key, uint64_t count);

/* The entry is what its key holds now, whatever was there before. A large one becomes many commands. */
void effect_value(struct exec *x, uint32_t db, const struct entry *entry);

/* The same of a large value, over several slices of a work that keeps it unchanged and without a deadline (zero-filled
 * at first). True while there is more to tell. */
struct effect_tale {
    uint64_t at; /* where it goes on */
    bool begun;
    struct effect_payload payload; /* of a stream */
};
/* Does that take more than one slice? */
bool effect_takes_slices(const struct exec *x, const struct entry *entry);
bool effect_tell_some(struct effect_tale *tale, struct exec *x, uint32_t db, const struct entry *entry);
/* Some of the bytes [at, end) of a long string, which were written to it. Returns where it goes on; end: nowhere. The
 * last byte is told first, so that whoever does it again makes room once. */
uint64_t effect_tell_bytes(struct exec *x, uint32_t db, const struct entry *entry, uint64_t from, uint64_t at,
                           uint64_t end);

/* name key element ..., in as many effects as keep each of them short. */
struct effect_run {
    struct exec *x;
    uint32_t db;
    const char *name;
    struct slice key;
    struct buf args; /* of the effect that grows */
    uint32_t argc;
};
void effect_run_begin(struct effect_run *run, struct exec *x, uint32_t db, const char *name, struct slice key);
void effect_run_add(struct effect_run *run, const struct slice *texts, uint32_t count); /* that belong together */
void effect_run_end(struct effect_run *run);
