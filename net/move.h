/* Move: a connection goes to the thread whose keys it uses (shards/homing.h says when it wishes to).
 *
 *     its thread                                             the other one
 *     client.homing.wish: no more is received from it
 *     what is under way ends, and is answered
 *     move_go_on: the client becomes "sherd.arrive"   --->   the same client, with the same socket, is made anew
 *     its memory is freed, its socket stays open             and received from
 *
 * What comes meanwhile waits in the socket. The peer notices nothing, and neither does CLIENT: id, address, age, name and
 * counters go along.
 *
 * Looks     a client that is in the message is on no thread's list. Commands that look at the clients of all threads
 *           (CLIENT LIST, CLIENT KILL, INFO) must find each exactly once, wherever it is; so no client moves while one of
 *           them is under way, and it does not begin before all who are on their way have arrived: server.looks and
 *           server.moves. Both sides raise theirs and then look at the other's, both sequentially consistent, so that
 *           one of the two sees the other. Who wants to move then stays, who looks waits for some turns.
 * Bounded   moves of one client by its patience (shards/homing.h); those that leave a thread in one such time to an eighth
 *           of its connections, so that the busy shares by which a target is judged can follow.
 * Threads   each function says which. Two atomic words, touched by moves and looks only. */
#pragma once
#include "net/conn.h"
#include "shards/exec.h"

struct gather;

/* --- the connection's thread --- */
/* Of one with a wish. True: it has gone, and the memory with it. Else it waits for something of its own to end, or the
 * wish is gone. */
bool move_go_on(struct conn *conn);

/* --- the home of a command that looks at all clients, first thing in each of its steps --- */
enum move_look {
    LOOK_WAITS, /* return */
    LOOK_ASKS,  /* no client moves: send the parts */
    LOOK_DONE,  /* the parts are answered, clients may move again */
};
enum move_look move_look(struct gather *gather);

/* --- the other thread --- */
void cmd_internal_arrive(struct exec *x); /* sherd.arrive fd address luggage... */
