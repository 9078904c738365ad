/* The io_uring filling. user_data is the owner's pointer with the kind in the top byte (user-space pointers have 47
 * bits). */
#include "net/ring.h"
#include "core/alloc.h"
#include "core/assert.h"
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIND_SHIFT   56
#define OWNER_MASK   ((1ull << KIND_SHIFT) - 1)
#define BUFFER_GROUP 0
#define CQ_ENTRIES   8192u

struct ring {
    struct io_uring uring;
    struct io_uring_buf_ring *buffers;
    char *memory;
    unsigned buffer_count, given_back;
    size_t memory_bytes, ring_bytes;
};

static uint64_t tag(enum ring_kind kind, const void *owner) {
    return (uint64_t)kind << KIND_SHIFT | (uint64_t)(uintptr_t)owner;
}

/* Says which of the usual reasons it is, and what to do. */
static enum status explain(struct error *error, int reason) {
    char state[8] = "";
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = read(fd, state, sizeof state - 1);
        (void)got;
        close(fd);
    }
    if (reason == ENOSYS)
        return error_set(
            error, ST_UNSUPPORTED, reason,
            "This kernel has no io_uring (or a seccomp profile hides it). sherd needs Linux 6.1 or newer; in a "
            "container allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile");
    if (reason == EPERM && (state[0] == '1' || state[0] == '2'))
        return error_set(error, ST_UNSUPPORTED, reason,
                         "io_uring is switched off: kernel.io_uring_disabled is %c. Allow it with "
                         "'sysctl kernel.io_uring_disabled=0'",
                         state[0]);
    if (reason == EPERM)
        return error_set(error, ST_UNSUPPORTED, reason,
                         "io_uring is forbidden, most likely by the container's seccomp profile. Allow io_uring_setup, "
                         "io_uring_enter and io_uring_register there (docker: --security-opt seccomp=PROFILE)");
    if (reason == EINVAL)
        return error_set(
            error, ST_UNSUPPORTED, reason,
            "This kernel's io_uring is too old: sherd needs Linux 6.1 or newer (SINGLE_ISSUER, DEFER_TASKRUN)");
    if (reason == ENOMEM)
        return error_set(error, ST_NO_MEMORY, reason,
                         "No memory for an io_uring; raise the locked-memory limit (ulimit -l) or use fewer threads");
    return error_set(error, ST_IO, reason, "io_uring_setup failed");
}

static int open_uring(struct ring *ring, unsigned entries) {
    struct io_uring_params params = {0};
    params.flags =
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
    params.cq_entries = CQ_ENTRIES;
    return -io_uring_queue_init_params(entries, &ring->uring, &params);
}

static enum status open_buffers(struct ring *ring, struct error *error) {
    ring->ring_bytes = ring->buffer_count * sizeof(struct io_uring_buf);
    ring->memory_bytes = (size_t)ring->buffer_count * RING_BUFFER_BYTES;
    void *both =
        mmap(NULL, ring->ring_bytes + ring->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (both == MAP_FAILED) return error_set(error, ST_NO_MEMORY, errno, "No memory for receive buffers");
    ring->buffers = both;
    ring->memory = (char *)both + ring->ring_bytes;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)both, .ring_entries = ring->buffer_count, .bgid = BUFFER_GROUP};
    int result = io_uring_register_buf_ring(&ring->uring, &registration, 0);
    if (result < 0)
        return error_set(error, ST_UNSUPPORTED, -result, "io_uring refuses provided buffers; Linux 6.1 is needed");
    io_uring_buf_ring_init(ring->buffers);
    for (unsigned i = 0; i < ring->buffer_count; i++) ring_give_back(ring, (uint16_t)i);
    ring_flush_buffers(ring);
    return ST_OK;
}

enum status ring_open(struct ring **out, unsigned entries, unsigned buffers, struct error *error) {
    struct ring *ring = shared_alloc(sizeof *ring);
    if (!ring) return error_set(error, ST_NO_MEMORY, 0, "No memory for a ring");
    ring->buffer_count = buffers;
    int reason = open_uring(ring, entries);
    if (reason) {
        shared_free(ring);
        return explain(error, reason);
    }
    io_uring_register_ring_fd(&ring->uring); /* saves a descriptor look-up per call; fine without */
    enum status status = open_buffers(ring, error);
    if (status != ST_OK) {
        ring_close(ring);
        return status;
    }
    *out = ring;
    return ST_OK;
}

void ring_close(struct ring *ring) {
    io_uring_queue_exit(&ring->uring);
    if (ring->buffers) munmap(ring->buffers, ring->ring_bytes + ring->memory_bytes);
    shared_free(ring);
}

const void *ring_memory(const struct ring *ring, size_t *bytes) {
    *bytes = ring->memory_bytes;
    return ring->memory;
}

int ring_wake_target(const struct ring *ring) {
    return ring->uring.ring_fd;
}

/* A free submission entry; when the queue is full what is in it goes to the kernel first. */
static struct io_uring_sqe *entry(struct ring *ring, enum ring_kind kind, const void *owner) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    while (UNLIKELY(!sqe)) {
        io_uring_submit(&ring->uring);
        sqe = io_uring_get_sqe(&ring->uring);
    }
    sqe->user_data = tag(kind, owner);
    return sqe;
}

/* The prep functions of liburing clear user_data, so it is set after them. */
#define PREPARE(ring, kind, owner, prep, ...)                                                                          \
    do {                                                                                                               \
        struct io_uring_sqe *sqe_ = entry(ring, kind, owner);                                                          \
        prep(sqe_, __VA_ARGS__);                                                                                       \
        sqe_->user_data = tag(kind, owner);                                                                            \
    } while (0)

void ring_accept(struct ring *ring, int listener, void *owner) {
    PREPARE(ring, RING_ACCEPT, owner, io_uring_prep_multishot_accept, listener, NULL, NULL, SOCK_CLOEXEC);
}

void ring_recv(struct ring *ring, int fd, void *owner) {
    struct io_uring_sqe *sqe = entry(ring, RING_RECV, owner);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    sqe->user_data = tag(RING_RECV, owner);
}

void ring_send(struct ring *ring, int fd, const void *bytes, size_t len, void *owner) {
    PREPARE(ring, RING_SEND, owner, io_uring_prep_send, fd, bytes, len, MSG_WAITALL | MSG_NOSIGNAL);
}

void ring_cancel_recv(struct ring *ring, void *owner) {
    PREPARE(ring, RING_CANCEL, NULL, io_uring_prep_cancel64, tag(RING_RECV, owner), 0);
}

void ring_close_fd(struct ring *ring, int fd) {
    PREPARE(ring, RING_CLOSE, NULL, io_uring_prep_close, fd);
}

void ring_poll(struct ring *ring, int fd, enum ring_kind kind, void *owner) {
    PREPARE(ring, kind, owner, io_uring_prep_poll_add, fd, POLLIN);
}

void ring_wake(struct ring *ring, int target) {
    struct io_uring_sqe *sqe = entry(ring, RING_WAKE, NULL);
    io_uring_prep_msg_ring(sqe, target, 0, tag(RING_WAKE, NULL), 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = tag(RING_WAKE, NULL);
}

void ring_hand_over(struct ring *ring, int target, int fd, uint64_t note) {
    ASSERT(note <= OWNER_MASK);
    struct io_uring_sqe *sqe = entry(ring, RING_HANDED, NULL);
    io_uring_prep_msg_ring(sqe, target, (unsigned)fd, tag(RING_ADOPT, NULL), 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = tag(RING_HANDED, (void *)(uintptr_t)note);
}

/* A direct write is started by the submission and completes by itself. A durable one through the page cache may not be
 * started like that: some filesystems (XFS) take the bytes at once and then wait for the disk right there, in our
 * system call. It goes to one of the kernel's worker threads. */
void ring_write(struct ring *ring, int fd, const void *bytes, unsigned len, uint64_t offset, bool durable, bool aside,
                void *owner) {
    struct io_uring_sqe *sqe = entry(ring, RING_WRITE, owner);
    io_uring_prep_write(sqe, fd, bytes, len, offset);
    if (aside) sqe->flags |= IOSQE_ASYNC;
    if (durable) {
        sqe->rw_flags = RWF_DSYNC;
        if (!(fcntl(fd, F_GETFL) & O_DIRECT)) sqe->flags |= IOSQE_ASYNC;
    }
    sqe->user_data = tag(RING_WRITE, owner);
}

void ring_read(struct ring *ring, int fd, void *bytes, unsigned len, uint64_t offset, bool aside, void *owner) {
    struct io_uring_sqe *sqe = entry(ring, RING_READ, owner);
    io_uring_prep_read(sqe, fd, bytes, len, offset);
    if (aside) sqe->flags |= IOSQE_ASYNC;
    sqe->user_data = tag(RING_READ, owner);
}

void ring_sync(struct ring *ring, int fd, void *owner) {
    PREPARE(ring, RING_SYNC, owner, io_uring_prep_fsync, fd, IORING_FSYNC_DATASYNC);
}

void ring_wait(struct ring *ring, uint64_t timeout_ns) {
    int result;
    if (timeout_ns == 0) {
        result = io_uring_submit_and_get_events(&ring->uring);
    } else if (timeout_ns == UINT64_MAX) {
        result = io_uring_submit_and_wait(&ring->uring, 1);
    } else {
        struct __kernel_timespec time = {.tv_sec = (int64_t)(timeout_ns / 1000000000),
                                         .tv_nsec = (int64_t)(timeout_ns % 1000000000)};
        struct io_uring_cqe *cqe;
        result = io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1, &time, NULL);
    }
    /* Timed out, interrupted, or the completion queue is full: all are looked at again after reaping. */
    ASSERT(result >= 0 || result == -ETIME || result == -EINTR || result == -EBUSY || result == -EAGAIN);
}

bool ring_has_event(const struct ring *ring) {
    return io_uring_cq_ready(&ring->uring) > 0;
}

bool ring_next(struct ring *ring, struct ring_event *out) {
    struct io_uring_cqe *cqe;
    if (io_uring_peek_cqe(&ring->uring, &cqe) != 0) return false;
    out->kind = (uint8_t)(cqe->user_data >> KIND_SHIFT);
    out->owner = (void *)(uintptr_t)(cqe->user_data & OWNER_MASK);
    out->result = cqe->res;
    out->more = cqe->flags & IORING_CQE_F_MORE;
    out->data = NULL;
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        out->buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        out->data = ring->memory + (size_t)out->buffer * RING_BUFFER_BYTES;
    }
    io_uring_cqe_seen(&ring->uring, cqe);
    return true;
}

void ring_give_back(struct ring *ring, uint16_t buffer) {
    io_uring_buf_ring_add(ring->buffers, ring->memory + (size_t)buffer * RING_BUFFER_BYTES, RING_BUFFER_BYTES, buffer,
                          io_uring_buf_ring_mask(ring->buffer_count), (int)ring->given_back);
    ring->given_back++;
}

void ring_flush_buffers(struct ring *ring) {
    if (ring->given_back == 0) return;
    io_uring_buf_ring_advance(ring->buffers, (int)ring->given_back);
    ring->given_back = 0;
}
