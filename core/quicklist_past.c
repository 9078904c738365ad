/* Quicklist, the past: the nodes that there were, while the list goes on as a queue.
 *
 *      list       | new | given | given | first | . | . | last | met | new |
 *      front                    | k | k |                                        kept: left the list at its head, or copies
 *      back                                              | k | k | k |          the same at its tail
 *
 * Those from first to last are in the list as they were. A change at an end meets one of the two when it reaches them:
 * a node that loses or gets elements is copied and the copy kept, one that leaves the list is kept itself, and a chain
 * that is cut off is kept from first on, or up to last, in O(1), for which it is known how many nodes lie before and
 * behind. So what is to be given is at any time: front, first .. last, back.
 *
 * A node that was copied stays in the list and leaves it sometime, so what is kept takes no more memory than what went,
 * but for a node at either end. */
#include "core/assert.h"
#include "core/quicklist_priv.h"

struct chain {
    struct quicklist_node *first, *last;
};

struct quicklist_past {
    const struct store *store;
    struct quicklist *list;
    struct quicklist_node *first, *last; /* NULL: there are none */
    uint64_t nodes, before, behind;      /* in the list: from first to last, and the others while there are such */
    struct chain front, back;
    struct quicklist_node *given; /* last, and ours; NULL: it is in the list */
};

struct quicklist_past *quicklist_past_new(const struct store *store, struct quicklist *list,
                                          const struct quicklist_node *after, uint64_t nodes_left) {
    struct quicklist_past *past = store_alloc(store, sizeof *past);
    ASSERT(!list->past && nodes_left <= list->nodes);
    *past = (struct quicklist_past){.store = store, .list = list, .nodes = nodes_left};
    past->before = list->nodes - nodes_left;
    if (nodes_left > 0) {
        past->first = after ? after->next : list->head;
        past->last = list->tail;
    }
    list->past = past;
    return past;
}

void quicklist_past_delete(struct quicklist_past *past) {
    const struct store *store = past->store;
    past->list->past = NULL;
    node_delete_all(store, past->given, past->given);
    node_delete_all(store, past->front.first, past->front.last);
    node_delete_all(store, past->back.first, past->back.last);
    store_free(store, past, sizeof *past);
}

/* --- what is kept --- */

static void append(struct chain *chain, struct quicklist_node *first, struct quicklist_node *last) {
    first->prev = chain->last;
    last->next = NULL;
    *(chain->last ? &chain->last->next : &chain->first) = first;
    chain->last = last;
}

static void prepend(struct chain *chain, struct quicklist_node *first, struct quicklist_node *last) {
    first->prev = NULL;
    last->next = chain->first;
    *(chain->first ? &chain->first->prev : &chain->last) = last;
    chain->first = first;
}

static struct quicklist_node *take_first(struct chain *chain) {
    struct quicklist_node *node = chain->first;
    if (!node) return NULL;
    chain->first = node->next;
    *(chain->first ? &chain->first->prev : &chain->last) = NULL;
    node->next = NULL;
    return node;
}

/* --- first and last --- */

/* What is next to the one that is not to be given from the list any more. */
static void set_first(struct quicklist_past *past, struct quicklist_node *next) {
    past->first = --past->nodes ? next : NULL;
    if (!past->first) past->last = NULL;
}

static void set_last(struct quicklist_past *past, struct quicklist_node *prev) {
    past->last = --past->nodes ? prev : NULL;
    if (!past->last) past->first = NULL;
}

bool quicklist_past_next(struct quicklist_past *past, struct packed *run) {
    struct quicklist_node *node = take_first(&past->front);
    node_delete_all(past->store, past->given, past->given);
    if (!node && past->first) {
        past->given = NULL;
        *run = node_run(past->first);
        set_first(past, past->first->next);
        past->before++;
        return true;
    }
    past->given = node ? node : take_first(&past->back);
    if (past->given) *run = node_run(past->given);
    return past->given != NULL;
}

/* --- what is told --- */

void quicklist_past_changes(struct quicklist_past *past, const struct quicklist_node *node) {
    if (node != past->first && node != past->last) return;
    struct quicklist_node *copy = node_copy(past->store, node);
    if (node == past->first) {
        append(&past->front, copy, copy);
        set_first(past, node->next);
        past->before++;
    } else {
        prepend(&past->back, copy, copy);
        set_last(past, node->prev);
        past->behind++;
    }
}

void quicklist_past_grows(struct quicklist_past *past, enum list_end end) {
    ++*(end == LIST_HEAD ? &past->before : &past->behind);
}

bool quicklist_past_goes(struct quicklist_past *past, struct quicklist_node *node) {
    struct quicklist_node *prev = node->prev, *next = node->next;
    if (!past->first) return false;
    if (node == past->first) {
        append(&past->front, node, node);
        set_first(past, next);
        return true;
    }
    if (node == past->last) {
        prepend(&past->back, node, node);
        set_last(past, prev);
        return true;
    }
    --*(prev ? &past->behind : &past->before);
    return false;
}

/* Takes from .. to out of a chain. */
static void take_out(struct quicklist_node *from, struct quicklist_node *to, struct quicklist_node **first,
                     struct quicklist_node **last) {
    *(from->prev ? &from->prev->next : first) = to->next;
    *(to->next ? &to->next->prev : last) = from->prev;
}

void quicklist_past_cut(struct quicklist_past *past, enum list_end end, struct quicklist_node **first,
                        struct quicklist_node **last, uint64_t many) {
    uint64_t *others = end == LIST_HEAD ? &past->before : &past->behind;
    if (!past->first) return;
    if (many <= *others) {
        *others -= many;
        return;
    }
    uint64_t taken = MIN(many - *others, past->nodes);
    bool all = taken == past->nodes;
    struct quicklist_node *from = end == LIST_HEAD || all ? past->first : *first;
    struct quicklist_node *to = end == LIST_TAIL || all ? past->last : *last;
    take_out(from, to, first, last);
    if (end == LIST_HEAD)
        append(&past->front, from, to);
    else
        prepend(&past->back, from, to);
    *others = 0;
    past->nodes -= taken;
    if (end == LIST_HEAD)
        past->first = past->list->head;
    else
        past->last = past->list->tail;
    if (all) past->first = past->last = NULL;
}
