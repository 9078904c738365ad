/* What the files of list commands share: cmd_list.c has one key and looks at or changes one list, cmd_list_move.c takes
 * elements from where there are some. */
#pragma once
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/list.h"

struct list_popping {
    uint32_t key_at;
    enum list_end end;
    uint64_t count;
    bool named;
};

/* LEFT or RIGHT at argv[at]; false: a syntax error was replied. */
NODISCARD bool list_arg_end(struct exec *x, uint32_t at, enum list_end *end);
/* Elements of an end were taken: the keyspace event. */
void list_event_popped(struct exec *x, const struct key_ref *ref, enum list_end end);
/* Replies an array of up to count elements from one end, and takes them out, which it says. ref names the list at
 * argv[key_at]. named: the reply is its key and that array. If they are many it may take turns (shards/work.h), and
 * then there is no reply yet. */
void list_pop_many(struct exec *x, struct key_ref *ref, struct list_popping popping);
/* --- over several turns (cmd_list_work.c). True: it takes turns, and there is no reply yet --- */
#define LIST_AT_ONCE 65536u /* elements that are passed over at once: half a millisecond */

/* LPOS of argv[2]. */
struct list_search {
    enum list_end from;
    uint64_t skip, most, maxlen; /* matches still to pass over, and to find; elements to look at */
    uint64_t passed, found;
    bool many; /* an array is replied */
};
/* Looks at up to `max` elements and replies the places of matches; true while there is more. */
bool list_search_some(struct exec *x, const struct entry *entry, struct list_search *search, uint64_t max);
void list_search_end(struct exec *x, const struct list_search *search, size_t mark);
bool list_search_takes_turns(struct exec *x, const struct list_search *search);
/* LINSERT: moves *index to the first element that equals text, if it is among the next `max`. True: it is not, and
 * there are more. */
bool list_find_some(const struct entry *entry, struct slice text, uint64_t *index, uint64_t max, bool *found);
void list_insert_at(struct exec *x, struct key_ref *ref, uint64_t index);
bool list_insert_takes_turns(struct exec *x);
/* LREM. */
void list_say_purged(struct exec *x, const struct key_ref *ref, uint64_t gone);
bool list_purge_takes_turns(struct exec *x, enum list_end from, uint64_t most);
/* Replies one element from that end and takes it out. ref names a list. */
void list_pop_one(struct exec *x, struct key_ref *ref, enum list_end end);

struct list_move {
    enum list_end from, to;
};
/* Moves an element between the lists at argv[1] and argv[2], which may be one. False, and no reply, when there is no
 * source. */
bool list_try_move(struct exec *x, struct list_move move);
/* The same over several shards, step by step (shards/gather.h); the reply is null when there is no source. */
void list_move_across(struct gather *g, struct list_move move);
bool list_parse_end(struct slice word, enum list_end *end);

struct list_pop {
    uint32_t first, keys; /* argv[first .. first + keys) */
    enum list_end end;
    uint64_t count;
};
/* numkeys key ... LEFT|RIGHT [COUNT count], from argv[at] on. False: the error was replied. */
NODISCARD bool list_parse_pop(struct exec *x, uint32_t at, struct list_pop *pop);
/* Takes from the first of the lists that is there and replies its key and what was taken. False, and no reply, when
 * none is. It may take turns, and then there is no reply either. */
bool list_try_pop(struct exec *x, const struct list_pop *pop);
