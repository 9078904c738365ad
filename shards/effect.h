/* Effects: what commands did to this shard's keys, as Redis commands that do the same again. What the journal writes.
 *
 * An effect changes one key (or is FLUSHDB, FLUSHALL, SWAPDB), names absolute times and leaves nothing to chance, so
 * that whoever applies a key's effects in order, on any number of shards, gets the same value. A command whose row says
 * `replays` is its own effect whenever it changed something; the other handlers say what happened
 * (shards/effect_add.h).
 *
 * Groups    the effects of one command, or of one transaction's part on this shard, belong together: MULTI and EXEC
 *           stand around them when there are several. A transaction over several shards keeps its effects with its
 *           request until its locks are given back; then they are added with a line before them that names it:
 *
 *               #T <stamp, 16 hex digits> <participants, a bit each, 16 hex digits>\r\n
 *
 *           in each shard that took part, also where it did nothing. What follows the line is, in this order and each
 *           only when needed: SELECT, MULTI, effects (with SELECT between those of different databases), EXEC.
 * Pieces    a group that is kept and gets long is written while it grows, so that nobody has to hold all of it or move
 *           it in one go. Each piece has a line before it, and so has what is left at the end (behind the #T line, if
 *           there is one):
 *
 *               #P <stamp, 16 hex digits> <its number, from 1, 16 hex digits>\r\n    SELECT if needed, MULTI, ..., EXEC
 *               #E <stamp, 16 hex digits> <pieces before it, 16 hex digits>\r\n      what is left: nothing, or a group
 *
 *           Other groups stand between them, about other keys: those of the group are held until its end. A piece
 *           counts when the end of its group is there and counts. Who looks at none of these lines has done the same
 *           in the end, unless the end is missing.
 * Owner     the shard. Whoever writes the journal takes the bytes once a turn (effects_take), between commands, or in
 *           one that does nothing itself (sherd.cut).
 * Cost      while the journal is off: one comparison per command. */
#pragma once
#include "core/buf.h"
#include "core/slice.h"

struct exec;
struct shard;

/* The effects of a transaction under way, kept until its end. */
struct effect_group {
    struct buf bytes;
    uint32_t count;        /* in bytes */
    uint32_t first_db, db; /* to be selected before the first; selected after the last */
    uint64_t pieces;       /* that were written before */
};

struct effects {
    bool on;           /* somebody writes them down */
    uint32_t db;       /* selected at the end of bytes */
    uint64_t position; /* groups added so far, since start */
    struct buf bytes;  /* RESP of whole groups, and lines that begin with # */
    bool crowded;      /* the disk is behind: who can tell in pieces is to wait with the next one */
    /* bytes of memory of a value */
    size_t payload_bytes; /* up to so many it is told as RESTORE's payload, in one effect */
    size_t tell_bytes; /* above so many a command that makes one tells of it over several turns (shards/tell_work.h) */

    /* --- private --- */
    uint32_t begin_db;         /* selected where bytes begin */
    uint32_t depth;            /* of commands inside of commands; 0: no group is open */
    uint32_t count;            /* effects of the open group */
    bool named;                /* it has a line */
    size_t mark;               /* in bytes: where its first effect begins */
    uint64_t added;            /* effects ever, but for keys that expired */
    struct effect_group *kept; /* where effects go instead of bytes; NULL: nowhere */
    size_t piece_bytes;        /* a kept group that has so many is written so far */
};

void effects_init(struct effects *effects, struct heap *heap);
void effects_deinit(struct effects *effects);
/* What was added since the last call moves to out, which is empty; *db is the database selected where it begins. */
void effects_take(struct effects *effects, struct buf *out, uint32_t *db);

/* --- for whoever runs commands --- */
/* Groups: what is added between open and close is one. Calls nest, the outermost ones count. participants: of the
 * transaction with this stamp, a bit each; one or none: it needs no line. */
void effects_open(struct effects *effects, uint64_t stamp, uint64_t participants);
void effects_close(struct effects *effects);
/* A command as its own effect, or what it did. The arguments are copied. */
void effects_add(struct effects *effects, uint32_t db, const struct slice *argv, uint32_t argc);
/* The same, its arguments as RESP writes them already. */
void effects_add_resp(struct effects *effects, uint32_t db, struct slice arguments, uint32_t argc);
/* The DEL of a key that no command removed: its time was over, or its memory was needed. */
void effects_add_field_removed(struct effects *effects, uint32_t db, struct slice key, struct slice field);
void effects_add_removed(struct effects *effects, uint32_t db, struct slice key);

/* Effects go to `group` from here on, or (NULL) where they belong. */
HOT_INLINE void effects_keep(struct effects *effects, struct effect_group *group) {
    effects->kept = group;
}
struct effect_group *effect_group_new(struct heap *heap);
/* Between two steps of the command with this stamp: when its group has become long, what it has becomes a piece. */
void effects_add_piece_slow(struct effects *effects, struct effect_group *group, uint64_t stamp);
HOT_INLINE void effects_add_piece(struct effects *effects, struct effect_group *group, uint64_t stamp) {
    if (UNLIKELY(buf_readable(&group->bytes) >= effects->piece_bytes)) effects_add_piece_slow(effects, group, stamp);
}
void effect_group_delete(struct heap *heap, struct effect_group *group);
/* The end of a transaction: adds its group, NULL when it has done nothing here. Takes it. */
void effects_add_group(struct effects *effects, struct heap *heap, struct effect_group *take, uint64_t stamp,
                       uint64_t participants);
