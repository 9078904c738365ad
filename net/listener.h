/* Listener: where connections come from, and which thread gets them.
 *
 * Sockets are opened and bound by the main thread at start (listener_open_all), so that a bad address is an error at
 * start-up. The first thread accepts for all and hands each socket to the thread with the fewest connections: 8
 * connections on 8 threads are one each. The hand-over is one ring message; nothing is locked.
 *
 * Endpoints (option cluster-ports) are a port for each thread, behind the plain one. A thread accepts at its own by
 * itself and keeps what comes: the client has chosen it, because it owns the keys (net/cluster.h). */
#pragma once
#include "net/ring.h"
#include "net/server.h"

struct thread;

/* --- main thread --- */
NODISCARD enum status listener_open_all(struct server *server, struct error *error);
void listener_close_all(struct server *server); /* removes the unix socket, too */

/* The port of thread number `thread`, where the plain one is `port`. */
HOT_INLINE int listener_endpoint_port(int port, uint32_t thread) {
    return port + 1 + (int)thread;
}

/* --- threads --- */
void listener_start(struct thread *thread); /* accepts: the first thread for all, each at its own port */
void listener_stop(struct thread *thread);
void listener_accepted(struct thread *thread, const struct ring_event *event);
/* Once thread.accept_again_ns is set: accepts again when that time has come. */
void listener_after_rest(struct thread *thread);
void listener_hand_over_failed(struct thread *thread, int64_t note); /* the note of RING_HANDED */
