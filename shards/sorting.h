/* Sorting: the elements of one SORT, put in order so that no call is long, however many they are.
 *
 *      add, add, ... seal      add, add, ... seal            next, next, ...
 *      | chunk, sorted |       | chunk, sorted |   ...   --> a heap of chunks by their first elements
 *
 * Elements come one by one into the open chunk, which is sorted when it is sealed; what has been sealed is then merged
 * as it is asked for. So the sort is spread over the reading and the replying, and SORT with LIMIT never orders what it
 * does not answer.
 *
 * Order     numbers by value, where equal ones stand in the order of their elements' bytes; or texts bytewise, up to
 *           their first NUL unless the result is stored (as strcoll in the C locale, and as Redis compares what it
 *           stores). Texts that are equal keep the order in which they came, also where the order is descending.
 * Owner     the gather of its SORT. Memory comes from the heap, as messages. Texts are copied; what is handed out is
 *           valid until the next call.
 * Cost      seal: O(n log n) of its chunk. next: O(log chunks). */
#pragma once
#include "core/alloc.h"
#include "core/slice.h"

#define SORTING_CHUNK 4096u /* elements that make a good chunk: sorting them takes about half a millisecond */

struct sorting;
struct sort_order {
    bool as_came; /* no order */
    bool alpha;   /* texts, else numbers */
    bool descending;
    bool weighed; /* by weights, else by the elements */
    bool whole;   /* texts are compared behind a NUL, too */
};

struct sorting *sorting_new(struct heap *heap, const struct sort_order *order);
void sorting_delete(struct sorting *sorting); /* O(chunks) */
void sorting_clear(struct sorting *sorting);  /* takes out all elements */
uint64_t sorting_count(const struct sorting *sorting);

/* --- filling --- */
void sorting_add(struct sorting *sorting, struct slice text); /* to the open chunk, or a new one */
uint32_t sorting_open_count(const struct sorting *sorting);   /* elements of the open chunk */
struct slice sorting_open_text(const struct sorting *sorting, uint32_t at);
/* What an element of the open chunk is sorted by; without one it comes first, as a number 0. False: it is no number. */
NODISCARD bool sorting_weigh(struct sorting *sorting, uint32_t at, struct slice weight);
/* Sorts the open chunk; the next element opens another. False: an element is to be sorted as a number and is none. */
NODISCARD bool sorting_seal(struct sorting *sorting);

/* --- reading, when all is sealed --- */
bool sorting_next(struct sorting *sorting, struct slice *text);
