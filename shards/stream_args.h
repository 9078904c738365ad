/* Stream args: what commands on streams read and write alike: ids, trimming, entries as replies.
 *
 * Ids are "ms-number" or "ms" alone; where an interval is meant also "-", "+" and "(id". Whoever reads one says what
 * the number is when it is not there. */
#pragma once
#include "core/stream.h"
#include "core/stream_group.h"
#include "shards/exec.h"

/* --- reading arguments. False: the error was replied --- */
NODISCARD bool stream_parse_id(struct slice text, uint64_t missing, struct stream_id *id);         /* replies nothing */
NODISCARD bool stream_arg_id(struct exec *x, uint32_t at, uint64_t missing, struct stream_id *id); /* no "-" and "+" */
NODISCARD bool stream_arg_any_id(struct exec *x, uint32_t at, struct stream_id *id); /* "-" and "+", too */
/* An end of an interval; *open: without the id itself. */
NODISCARD bool stream_arg_end(struct exec *x, uint32_t at, uint64_t missing, struct stream_id *id, bool *open);
/* An interval from argv[from] to argv[to]: open ends are moved, so that both belong to it. */
NODISCARD bool stream_arg_interval(struct exec *x, uint32_t from, uint32_t to, struct stream_id *first,
                                   struct stream_id *last);

/* What XADD and XTRIM have in front. */
struct stream_options {
    struct stream_trim trim;
    bool trims, no_create;
    bool given;     /* XADD: an id, not "*" */
    bool any_seq;   /* with "*" for its number */
    uint32_t id_at; /* XADD */
    struct stream_id id;
};
NODISCARD bool stream_arg_options(struct exec *x, bool xadd, struct stream_options *options);

/* --- the key --- */
/* Opens for writing or reading; *stream is NULL when there is none. False: another type, which was replied. */
NODISCARD bool stream_open(struct exec *x, uint32_t at, struct key_ref *ref, struct stream **stream);
/* Opens for writing, and counts and tells a miss as reading does: Redis looks so where groups are concerned. */
NODISCARD bool stream_look(struct exec *x, uint32_t at, struct key_ref *ref, struct stream **stream);
NODISCARD bool stream_read(struct exec *x, uint32_t at, struct key_ref *ref, const struct stream **stream);
/* An empty one under this key, which is absent. */
struct stream *stream_create(struct exec *x, struct key_ref *ref);
/* A change that WATCH does not see, as in Redis: all that is done to groups, and XSETID. */
HOT_INLINE void stream_changed_unseen(struct exec *x, uint64_t n) {
    x->shared->dirty += n;
}
/* Entries came, or a group went: those who wait for the key look again. */
void stream_wake(struct exec *x, const struct key_ref *ref);

/* --- replies --- */
/* An error with two names in it. */
void reply_about(struct exec *x, const char *before, struct slice one, const char *between, struct slice two,
                 const char *behind);
void reply_no_such_group(struct exec *x, struct slice key, struct slice group); /* the key is there */
void reply_no_key_or_group(struct exec *x, struct slice key, struct slice group);
#define STREAM_ID_TEXT_MAX 44
struct slice stream_id_text(struct stream_id id, char out[STREAM_ID_TEXT_MAX]);
void reply_stream_id(struct exec *x, struct stream_id id);
void reply_stream_entry(struct exec *x, const struct stream_entry *entry); /* its id, and its fields and values */
/* All entries of an interval, `count` at most, as an array; count 0: all. Returns how many. */
uint64_t reply_stream_range(struct exec *x, const struct stream *stream, struct stream_id from, struct stream_id to,
                            bool backwards, uint64_t count);
