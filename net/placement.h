/* Placement: on which node of memory a thread works and its memory is.
 *
 * On a machine with several nodes (NUMA) a miss that goes to another node takes about twice as long, and all go over
 * one link. So each thread is bound to a CPU, or where there are more threads than CPUs to the CPUs of one node, before
 * it allocates anything; from then on the kernel gives it pages of that node. Whatever a thread has is therefore local:
 * the ring (whose memory the kernel takes on its behalf) and its buffers, the heap with tables and journal, the slab.
 * Not so what several threads touch anyway (mailboxes, the struct thread), and what the main thread has built before.
 *
 * With `numa off` memory is spread page by page over all nodes, whoever asks for it.
 *
 * Whether it is so is asked of the kernel (move_pages, which moves nothing when not told where to). */
#pragma once
#include "core/slab.h"

struct thread;

/* The thread itself, first of all. */
void placement_settle(struct thread *thread);

/* Of a sample of the thread's pages: how many the kernel has told the place of, and how many of these are on its node.
 * None where there is one node, or where it may not be asked. On the thread itself; about a millisecond. */
void placement_look(struct thread *thread, uint64_t *seen, uint64_t *local);

/* The same for any areas. each is called twice, and calls visit for all of them until it says false. */
struct placement_source {
    void (*each)(void *ctx, heap_area_visit visit, void *visit_ctx);
    void *ctx;
};
void placement_look_at(const struct placement_source *sources, unsigned count, int node, uint64_t *seen,
                       uint64_t *local);
