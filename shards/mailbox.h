/* Mailbox: how one shard thread hands a message to another.
 *
 * There is one mailbox per ordered pair of threads, so each has exactly one sender and one receiver. It never blocks:
 * a full mailbox answers ST_FULL and the sender keeps the message for its next turn.
 *
 * Ownership  post takes the message on ST_OK and leaves it to the caller otherwise. The receiver uses it and sends it
 *            back: memory is freed on the thread that allocated it.
 * Order      messages of one sender arrive in order; between senders there is no order.
 * Cost       O(1); one cache line written per eight messages on either side, plus the message itself. */
#pragma once
#include "core/alloc.h"
#include "core/status.h"

struct mailbox; /* layout in mailbox.c, capacity fixed at creation */
struct message;

/* --- before the threads start, after they ended --- */
struct mailbox *mailbox_new(uint32_t capacity); /* a power of two; NULL when out of memory */
void mailbox_delete(struct mailbox *box);       /* empty by then */

/* --- sender thread --- */
NODISCARD enum status mailbox_post(struct mailbox *box, struct message **take);

/* --- receiver thread --- */
void mailbox_prefetch(const struct mailbox *box); /* before drain, where there are several mailboxes */
uint32_t mailbox_drain(struct mailbox *box, struct message **out, uint32_t out_count); /* O(out_count) */

/* --- either; the sender learns whether all was taken --- */
bool mailbox_empty(const struct mailbox *box);
