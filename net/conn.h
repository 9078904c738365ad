/* Conn: one connection's bytes, in and out, around a client.
 *
 * In        a multishot receive into the thread's provided buffers. Complete commands are parsed where they lie; only a
 *           rest that cannot be taken yet is copied to client.in. When that grows while the client has to wait for
 *           replies, the receive is cancelled, so that TCP pushes back on the sender (IN_PAUSE).
 * Out       replies collect in client.out; at the end of the turn, or when those that come from other shards are there,
 *           the buffer moves to `sending` and goes out as one send, at most one at a time. Buffers are on loan from the
 *           thread, so that an idle connection has none.
 * Move      a client that belongs elsewhere (client.homing.wish) is not read from any more; when nothing of it is under way
 *           its socket goes to the other thread (net/move.h).
 * Life      conn_adopt .. conn_close (stops input, drops output) .. freed when the kernel has answered every operation
 *           and no other shard still works for it.
 * Thread    its own. */
#pragma once
#include "net/ring.h"
#include "shards/client.h"

struct thread;

#define CONN_SEND_MAX (512 * 1024) /* bytes of one send: about 100 us of copying */
#define CONN_HOLD_MAX (16 * 1024)  /* bytes of replies beyond which they do not wait for others */
#define CONN_LEND_MIN 8            /* outstanding replies for which a buffer is borrowed in advance */

struct conn {
    struct client client; /* first: a client is cast back to its connection */
    struct thread *thread;
    int fd;
    bool receiving;  /* a receive is armed */
    bool cancelling; /* and being cancelled */
    bool sending_now;
    bool closing;
    bool attending; /* on the thread's attend list, */
    bool starving;  /* and on that of those whose receive found no buffer */
    bool peer_done; /* the other end sends no more */
    uint8_t address_len;
    struct conn *next_attend, *next_starved;
    struct buf sending; /* in the kernel's hands while sending_now */
    size_t sent;
    uint64_t held_for; /* the place (client.replies) up to which replies are awaited before any is sent; 0: none */
    char *address;     /* "ip:port" of the peer, heap string; local address is looked up when asked for */
};

void conn_adopt(struct thread *thread, int fd, bool endpoint); /* endpoint: it came in at the thread's own port */
/* For net/move.c: makes one whose socket was set up before, and does not receive yet; frees one and leaves its socket
 * open. Both count connections of the thread, not those of the server. */
struct conn *conn_new(struct thread *thread, int fd, uint64_t id, struct slice address);
void conn_delete(struct conn *conn);
void conn_received(struct conn *conn, const struct ring_event *event);
void conn_sent(struct conn *conn, const struct ring_event *event);
/* Lets the connection go on (client.wait ended), or be closed when that was asked for. */
void conn_attend(struct conn *conn);
void conn_flush(struct conn *conn);
void conn_close(struct conn *conn);
void conn_abandon(
    struct conn *conn); /* frees it although others may still name it: the ring is closed, the thread ends */
HOT_INLINE struct conn *conn_of(struct client *client) {
    return CONTAINER_OF(client, struct conn, client);
}
