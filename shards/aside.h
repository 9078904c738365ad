/* Aside: a value that the steps of a transaction (shards/gather.h) build at its owner, piece by piece, before it is put
 * in its place at once. Until then nobody sees it, and what the key held is still there.
 *
 *      sherd.aside key type how expects|more piece      :elements so far; expects: at the first piece, a hint, but
 *                                                       of a string its length
 *      sherd.put-aside key deadline form nx|replace event
 *                                                       :0 the key is taken, :1 done, :2 done, and to be told of
 *      sherd.tell key                                   :1 told, :2 there is more to tell
 *
 * Telling the journal of a large value takes long, too: it is done in slices, as part of the same transaction, with the
 * key held to the end.
 *
 * One transaction has one value aside on a shard at a time. It is kept with the transaction's request there
 * (request_run_step), and is freed with it when the steps end before it was put.
 * Thread    the owner's, but for what home asks (below). Cost: O(elements of a piece). */
#pragma once
#include "core/defs.h"
#include "core/slice.h"

struct gather;

/* What becomes of it: forms 0 and 1 are those of piece_form, of a value that this one is a copy of. */
#define ASIDE_TABLE   2u /* what the configuration says, but no intset */
#define ASIDE_BY_RULE 3u /* what it says */

/* The answers of putting and telling. */
enum aside_answer { ASIDE_TAKEN, ASIDE_DONE, ASIDE_TELLS };

/* --- home: each asks the owner of a key, as a part of the step under way --- */

struct aside_at {
    uint32_t key_at; /* position of the key */
    uint16_t db;
};
struct aside_piece {
    uint64_t type, how; /* enum value_type; building_begin's */
    bool first;
    uint64_t expects; /* with the first piece */
    struct slice bytes;
};
struct aside_put {
    uint64_t deadline_ms; /* 0: none */
    uint64_t form;
    bool unless_taken;
    const char *event; /* with its class before it (cmd_generic_priv.h) */
};
/* May a piece of so many bytes be sent? False: not yet, and the step is over, or never, and that was replied.
 * since_ms: since when it has to wait, kept by the caller, 0 at first. */
NODISCARD bool aside_has_room(struct gather *gather, uint64_t bytes, uint64_t *since_ms);
void aside_send(struct gather *gather, struct aside_at at, const struct aside_piece *piece);
void aside_put(struct gather *gather, struct aside_at at, const struct aside_put *how);
void aside_tell(struct gather *gather, struct aside_at at);
