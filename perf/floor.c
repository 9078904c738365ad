/* floor: the least that a server on this machine costs. It takes part in `./run bench` as a third column, so that
 * everyone sees how far sherd is from what the kernel alone asks for.
 *
 * It does for each command what no server can leave out: receive it, find where it ends, send an answer of the right
 * size. It looks no key up and keeps nothing:
 *
 *    one word     +PONG                              PING, with which the bench asks whether a server is there
 *    two words    a value of --value-len bytes       what GET would bring
 *    more         +OK                                what SET would say
 *
 * The ring is set up as sherd sets up its own (net/ring.c): one thread, SINGLE_ISSUER and DEFER_TASKRUN, multishot
 * accept and receive, provided buffers of 16 KiB, one send in flight per connection, one system call per turn. So the
 * difference between the two is sherd's own work and nothing else. A ring that is found to be quicker belongs into
 * both.
 *
 * A tool, not a server: it listens on 127.0.0.1 only, believes its clients that they send RESP, and closes a connection
 * that does not, or that leaves a mebibyte of answers unread. It stops the process when the kernel refuses what it
 * needs. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    RING_ENTRIES = 1024,
    CQ_ENTRIES = 8192,
    BUFFERS = 256, /* these five as in net/thread.c and net/ring.[ch] */
    BUFFER_BYTES = 16 * 1024,
    REAP_MAX = 512,
    VALUE_MAX = 64 * 1024,
    UNREAD_MAX = 1024 * 1024,
    HEAD_MAX = 32, /* of a line "*n" or "$n", or of an inline command */
};

enum kind { ACCEPT, RECEIVE, SEND }; /* in the lower bits of user_data, beside the peer */
#define KIND_MASK 3u

struct text {
    char *bytes;
    size_t len, cap;
};

struct peer {
    int fd;
    bool receiving, sending, closing, dirty;
    struct peer *next_dirty;
    struct text out, flight; /* what was answered; what the kernel is sending */
    size_t skip;             /* bytes of a word, with its CRLF, still to come */
    uint64_t words, missing; /* of the command under way; missing 0: none is */
    char head[HEAD_MAX];     /* a line that was cut by the end of a buffer */
    size_t head_len;
};

struct floor {
    struct io_uring uring;
    struct io_uring_buf_ring *buffers;
    char *memory;
    int given_back;
    int listener;
    struct peer *dirty; /* have something in out */
    char value[VALUE_MAX + 32];
    size_t value_len;
};

static _Noreturn void give_up(const char *what, int reason) {
    (void)fprintf(stderr, "floor: %s: %s\n", what, strerror(reason)); /* NOLINT(concurrency-mt-unsafe): one thread */
    exit(1);                                                          /* NOLINT(concurrency-mt-unsafe) */
}

/* --- answers --- */

static void text_add(struct text *text, const char *bytes, size_t len) {
    if (text->len + len > text->cap) {
        text->cap = (text->len + len) * 2;
        text->bytes = realloc(text->bytes, text->cap);
        if (text->bytes == NULL) give_up("no memory", ENOMEM);
    }
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
}

static void answer(struct floor *floor, struct peer *peer, uint64_t words) {
    if (words == 2)
        text_add(&peer->out, floor->value, floor->value_len);
    else if (words > 2)
        text_add(&peer->out, "+OK\r\n", 5);
    else
        text_add(&peer->out, "+PONG\r\n", 7);
    if (peer->out.len > UNREAD_MAX) peer->closing = true;
    if (peer->dirty) return;
    peer->dirty = true;
    peer->next_dirty = floor->dirty;
    floor->dirty = peer;
}

/* --- requests --- */

static void word_done(struct floor *floor, struct peer *peer) {
    if (--peer->missing == 0) answer(floor, peer, peer->words);
}

/* A whole line without its end. */
static void take_line(struct floor *floor, struct peer *peer, const char *line, size_t len) {
    uint64_t number = 0;
    bool header = len > 0 && (line[0] == '*' || line[0] == '$');
    for (size_t i = 1; header && i < len && line[i] != '\r'; i++) number = number * 10 + (uint64_t)(line[i] - '0');
    if (!header) {
        answer(floor, peer, 1);
    } else if (line[0] == '*') {
        peer->words = peer->missing = number;
        peer->closing |= number == 0;
    } else {
        peer->skip = number + 2;
        peer->closing |= peer->missing == 0;
    }
}

/* The header line at `bytes`, perhaps begun in an earlier buffer. Returns how many bytes of it are here. */
static size_t take_head(struct floor *floor, struct peer *peer, const char *bytes, size_t len) {
    const char *end = memchr(bytes, '\n', len < HEAD_MAX ? len : HEAD_MAX);
    size_t here = end != NULL ? (size_t)(end - bytes) + 1 : len;
    if (end != NULL && peer->head_len == 0) {
        take_line(floor, peer, bytes, here - 1);
        return here;
    }
    if (peer->head_len + here > HEAD_MAX) {
        peer->closing = true; /* no line of RESP that counts anything is as long as that */
        return len;
    }
    memcpy(peer->head + peer->head_len, bytes, here);
    peer->head_len += here;
    if (end == NULL) return here;
    take_line(floor, peer, peer->head, peer->head_len - 1);
    peer->head_len = 0;
    return here;
}

static void take_bytes(struct floor *floor, struct peer *peer, const char *bytes, size_t len) {
    size_t at = 0;
    while (at < len && !peer->closing) {
        if (peer->skip == 0) {
            at += take_head(floor, peer, bytes + at, len - at);
            continue;
        }
        size_t here = peer->skip < len - at ? peer->skip : len - at;
        peer->skip -= here;
        at += here;
        if (peer->skip == 0) word_done(floor, peer);
    }
}

/* --- the ring --- */

static struct io_uring_sqe *entry(struct floor *floor) {
    struct io_uring_sqe *sqe;
    while ((sqe = io_uring_get_sqe(&floor->uring)) == NULL) io_uring_submit(&floor->uring);
    return sqe;
}

static void tag(struct io_uring_sqe *sqe, enum kind kind, struct peer *peer) {
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)peer | kind);
}

static void accept_all(struct floor *floor) {
    struct io_uring_sqe *sqe = entry(floor);
    io_uring_prep_multishot_accept(sqe, floor->listener, NULL, NULL, SOCK_CLOEXEC);
    tag(sqe, ACCEPT, NULL);
}

static void receive(struct floor *floor, struct peer *peer) {
    struct io_uring_sqe *sqe = entry(floor);
    io_uring_prep_recv_multishot(sqe, peer->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    tag(sqe, RECEIVE, peer);
    peer->receiving = true;
}

static void send_out(struct floor *floor, struct peer *peer) {
    struct text sent = peer->flight;
    peer->flight = peer->out;
    peer->out = sent;
    peer->out.len = 0;
    struct io_uring_sqe *sqe = entry(floor);
    io_uring_prep_send(sqe, peer->fd, peer->flight.bytes, peer->flight.len, MSG_WAITALL | MSG_NOSIGNAL);
    tag(sqe, SEND, peer);
    peer->sending = true;
}

static void give_back(struct floor *floor, unsigned buffer) {
    io_uring_buf_ring_add(floor->buffers, floor->memory + (size_t)buffer * BUFFER_BYTES, BUFFER_BYTES,
                          (unsigned short)buffer, io_uring_buf_ring_mask(BUFFERS), floor->given_back++);
}

/* --- events --- */

/* Frees a peer that is to go, once the kernel has let go of it. */
static void settle(struct peer *peer) {
    if (!peer->closing || peer->dirty) return;
    (void)shutdown(peer->fd, SHUT_RDWR); /* ends what is in the kernel's hands */
    if (peer->receiving || peer->sending) return;
    (void)close(peer->fd);
    free(peer->out.bytes);
    free(peer->flight.bytes);
    free(peer);
}

static void accepted(struct floor *floor, const struct io_uring_cqe *cqe) {
    if (!(cqe->flags & IORING_CQE_F_MORE)) accept_all(floor);
    if (cqe->res < 0) return;
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) give_up("no memory", ENOMEM);
    int yes = 1;
    peer->fd = cqe->res;
    (void)setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    receive(floor, peer);
}

static void received(struct floor *floor, struct peer *peer, const struct io_uring_cqe *cqe) {
    if (!(cqe->flags & IORING_CQE_F_MORE)) peer->receiving = false;
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (cqe->res > 0) take_bytes(floor, peer, floor->memory + (size_t)buffer * BUFFER_BYTES, (size_t)cqe->res);
        give_back(floor, buffer);
    }
    if (cqe->res <= 0 && cqe->res != -ENOBUFS) peer->closing = true;
    if (!peer->receiving && !peer->closing) receive(floor, peer);
    settle(peer);
}

static void sent(struct floor *floor, struct peer *peer, const struct io_uring_cqe *cqe) {
    peer->sending = false;
    if (cqe->res < 0) peer->closing = true;
    if (!peer->closing && peer->out.len > 0 && !peer->dirty) send_out(floor, peer);
    settle(peer);
}

static void reap(struct floor *floor) {
    struct io_uring_cqe *cqe;
    for (int i = 0; i < REAP_MAX && io_uring_peek_cqe(&floor->uring, &cqe) == 0; i++) {
        struct io_uring_cqe event = *cqe;
        struct peer *peer = (struct peer *)(uintptr_t)(event.user_data & ~(uint64_t)KIND_MASK);
        io_uring_cqe_seen(&floor->uring, cqe);
        switch ((enum kind)(event.user_data & KIND_MASK)) {
        case ACCEPT: accepted(floor, &event); break;
        case RECEIVE: received(floor, peer, &event); break;
        case SEND: sent(floor, peer, &event); break;
        }
    }
}

static void flush(struct floor *floor) {
    struct peer *next;
    for (struct peer *peer = floor->dirty; peer != NULL; peer = next) {
        next = peer->next_dirty;
        peer->dirty = false;
        if (!peer->sending && !peer->closing) send_out(floor, peer);
        settle(peer);
    }
    floor->dirty = NULL;
    io_uring_buf_ring_advance(floor->buffers, floor->given_back);
    floor->given_back = 0;
}

/* --- start --- */

static void open_ring(struct floor *floor) {
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                              IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
                                     .cq_entries = CQ_ENTRIES};
    int result = io_uring_queue_init_params(RING_ENTRIES, &floor->uring, &params);
    if (result < 0) give_up("io_uring_setup", -result);
    (void)io_uring_register_ring_fd(&floor->uring);
    size_t ring_bytes = BUFFERS * sizeof(struct io_uring_buf);
    char *both = mmap(NULL, ring_bytes + (size_t)BUFFERS * BUFFER_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (both == MAP_FAILED) give_up("no memory for buffers", errno);
    floor->buffers = (struct io_uring_buf_ring *)(void *)both;
    floor->memory = both + ring_bytes;
    struct io_uring_buf_reg registration = {.ring_addr = (uint64_t)(uintptr_t)both, .ring_entries = BUFFERS};
    result = io_uring_register_buf_ring(&floor->uring, &registration, 0);
    if (result < 0) give_up("provided buffers", -result);
    io_uring_buf_ring_init(floor->buffers);
    for (unsigned i = 0; i < BUFFERS; i++) give_back(floor, i);
}

static void open_listener(struct floor *floor, int port) {
    int yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    floor->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (floor->listener < 0) give_up("socket", errno);
    (void)setsockopt(floor->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(floor->listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(floor->listener, 511) != 0)
        give_up("port", errno);
}

static void make_value(struct floor *floor, size_t len) {
    size_t head = (size_t)snprintf(floor->value, sizeof floor->value, "$%zu\r\n", len);
    memset(floor->value + head, 'x', len);
    memcpy(floor->value + head + len, "\r\n", 2);
    floor->value_len = head + len + 2;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"value-len", required_argument, NULL, 'v'}, {0}};
    int port = 6379, got;
    size_t value_len = 64;
    while ((got = getopt_long(argc, argv, "", options, NULL)) != -1) { /* NOLINT(concurrency-mt-unsafe): one thread */
        if (got == 'p') port = atoi(optarg);
        if (got == 'v') value_len = (size_t)strtoul(optarg, NULL, 10);
        if (got == '?' || port <= 0 || port > 65535 || value_len > VALUE_MAX) {
            (void)fprintf(stderr, "usage: floor [--port N] [--value-len BYTES, at most %d]\n", VALUE_MAX);
            return 2;
        }
    }
    static struct floor floor; /* 64 KiB: static rather than on the stack */
    make_value(&floor, value_len);
    open_ring(&floor);
    open_listener(&floor, port);
    accept_all(&floor);
    io_uring_buf_ring_advance(floor.buffers, floor.given_back);
    floor.given_back = 0;
    for (;;) {
        int result = io_uring_submit_and_wait(&floor.uring, 1);
        if (result < 0 && result != -EINTR && result != -EBUSY && result != -EAGAIN) give_up("io_uring_enter", -result);
        reap(&floor);
        flush(&floor);
    }
}
