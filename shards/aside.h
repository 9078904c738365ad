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
 * Thread    the owner's. Cost: O(elements of a piece). */
#pragma once

/* What becomes of it: forms 0 and 1 are those of piece_form, of a value that this one is a copy of. */
#define ASIDE_TABLE        "2" /* what the configuration says, but no intset */
#define ASIDE_BY_RULE      "3"
#define ASIDE_FORM_BY_RULE 3u /* the same */

/* The answers of putting and telling. */
enum aside_answer { ASIDE_TAKEN, ASIDE_DONE, ASIDE_TELLS };
