/* Ring: this thread's io_uring as a small set of typed operations and one stream of completions.
 *
 * A port: conn, listener and thread know only this header, so that another filling (epoll) can stand in for it.
 *
 * Set-up    SINGLE_ISSUER | DEFER_TASKRUN, the ring descriptor registered, multishot accept and receive, a ring of
 *           provided buffers: an idle connection pins no buffer. See DESIGN.md section 10 for what each is worth.
 * Thread    the one that called ring_open. ring_wake_target's number may be given to other threads' rings.
 * Buffers   a RING_RECV event lends a buffer; it is given back with ring_give_back, at the latest in the next turn.
 * Submit    operations are queued and go to the kernel together in ring_wait: one system call per turn. */
#pragma once
#include "core/status.h"
#include <sys/socket.h>

struct ring;

enum ring_kind {
    RING_ACCEPT, /* result: descriptor */
    RING_RECV,   /* result: bytes, 0 at the end, or -errno; data and buffer when bytes > 0 */
    RING_SEND,   /* result: bytes or -errno */
    RING_CANCEL,
    RING_CLOSE,
    RING_WAKE,   /* somebody woke this thread */
    RING_ADOPT,  /* result: a descriptor handed over by another thread */
    RING_HANDED, /* the hand-over failed; owner is the note, as a number */
    RING_STOP,   /* the server's stop signal became readable */
    RING_JOBS,   /* the background thread's event became readable */
    RING_WRITE,  /* result: bytes, perhaps fewer than asked for, or -errno */
    RING_READ,   /* the same, of a file */
    RING_SYNC,   /* result: 0 or -errno */
};

struct ring_event {
    void *owner; /* what was given with the operation */
    int32_t result;
    uint8_t kind; /* enum ring_kind */
    bool more;    /* multishot: further events will come */
    uint16_t buffer;
    char *data;
};

#define RING_BUFFER_BYTES (16 * 1024)

/* Buffers is a power of two. Fills error with what is missing and how to allow it. */
NODISCARD enum status ring_open(struct ring **out, unsigned entries, unsigned buffers, struct error *error);
void ring_close(struct ring *ring);
int ring_wake_target(const struct ring *ring);
/* The receive buffers. */
const void *ring_memory(const struct ring *ring, size_t *bytes);

/* --- operations --- */
void ring_accept(struct ring *ring, int listener, void *owner); /* multishot */
void ring_recv(struct ring *ring, int fd, void *owner);         /* multishot, into provided buffers */
void ring_send(struct ring *ring, int fd, const void *bytes, size_t len, void *owner); /* all of it */
void ring_cancel_recv(struct ring *ring, void *owner);
void ring_close_fd(struct ring *ring, int fd);
void ring_poll(struct ring *ring, int fd, enum ring_kind kind, void *owner); /* one shot: RING_STOP or RING_JOBS */
void ring_wake(struct ring *ring, int target);                               /* RING_WAKE there */
/* RING_ADOPT there, or RING_HANDED with the note (below 2^56) here. */
void ring_hand_over(struct ring *ring, int target, int fd, uint64_t note);
/* To a file. Durable: on the disk when it completes (RWF_DSYNC); costs a system call more when fd is not O_DIRECT.
 * Aside: on a thread of the kernel's from the start, as the filesystem may wait for its disk while a write is handed to
 * it. */
void ring_write(struct ring *ring, int fd, const void *bytes, unsigned len, uint64_t offset, bool durable, bool aside,
                void *owner);
void ring_read(struct ring *ring, int fd, void *bytes, unsigned len, uint64_t offset, bool aside, void *owner);
void ring_sync(struct ring *ring, int fd, void *owner); /* fdatasync */

/* Submits what is queued and waits until there is an event or the time is over (0: just looks;
 * UINT64_MAX: no limit). */
void ring_wait(struct ring *ring, uint64_t timeout_ns);
/* Has ring_wait brought an event that ring_next has not given yet? */
bool ring_has_event(const struct ring *ring);
/* The next event that is there; false when none. */
bool ring_next(struct ring *ring, struct ring_event *out);
void ring_give_back(struct ring *ring, uint16_t buffer); /* takes effect at the next ring_flush_buffers */
void ring_flush_buffers(struct ring *ring);
