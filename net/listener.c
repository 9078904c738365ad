/* Sockets to listen on: TCP over IPv4 and IPv6, a unix socket, and the threads' own ports. */
#include "net/listener.h"
#include "core/assert.h"
#include "net/thread.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A killed server's ring keeps its port for up to 11 ms (measured), so the bind is tried for a while. */
#define BIND_TRIES    40
#define BIND_PAUSE_NS (25 * 1000000)

static void add(struct server *server, struct listener listener) {
    ASSERT(server->listener_count < server->listener_cap);
    server->listeners[server->listener_count++] = listener;
}

static int bind_patiently(int fd, const struct sockaddr *address, socklen_t len) {
    for (int i = 0;; i++) {
        if (bind(fd, address, len) == 0) return 0;
        if (errno != EADDRINUSE || i == BIND_TRIES) return -1;
        struct timespec pause = {.tv_nsec = BIND_PAUSE_NS};
        nanosleep(&pause, NULL);
    }
}

/* Opens one address; returns the descriptor or -1 with errno. */
static int open_tcp(const struct addrinfo *info, int backlog) {
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (info->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    if (bind_patiently(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, backlog) == 0) return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

/* Redis's spellings of "any". */
static const char *host_of(const char *address, int *family) {
    *family = AF_UNSPEC;
    if (strcmp(address, "*") == 0) {
        *family = AF_INET;
        return NULL;
    }
    if (strcmp(address, "::*") == 0) {
        *family = AF_INET6;
        return NULL;
    }
    return address;
}

/* Of the option bind; endpoint: the thread whose own port it is, or NULL. */
static enum status open_address(struct server *server, unsigned entry, int number, struct thread *endpoint,
                                struct error *error) {
    const char *address = server->config.bind.entries[entry].address;
    bool optional = server->config.bind.entries[entry].optional;
    int family;
    const char *host = host_of(address, &family);
    char port[16];
    snprintf(port, sizeof port, "%d", number);
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(host, port, &hints, &found);
    if (result != 0) {
        if (optional) return ST_OK;
        return error_set(error, ST_INVALID, 0, "Cannot resolve the bind address '%s': %s", address,
                         gai_strerror(result));
    }
    int fd = open_tcp(found, server->config.tcp_backlog), reason = errno;
    freeaddrinfo(found);
    if (fd >= 0) {
        add(server, (struct listener){.fd = fd, .endpoint = endpoint});
        return ST_OK;
    }
    /* As Redis: an address family or address that this machine lacks is no reason to stop, if marked optional. */
    if (optional && (reason == EADDRNOTAVAIL || reason == EAFNOSUPPORT || reason == EPROTONOSUPPORT)) return ST_OK;
    return error_set(error, ST_IO, reason,
                     reason == EADDRINUSE
                         ? "Port %d on %s is in use by another process; stop it or choose another --port"
                         : "Cannot listen on port %d of %s",
                     number, address);
}

static enum status open_unix(struct server *server, struct error *error) {
    const struct config *config = &server->config;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof name.sun_path, "%s", config->unixsocket);
    unlink(name.sun_path); /* left over from a server that was killed, as Redis does */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) != 0 || listen(fd, config->tcp_backlog) != 0) {
        int reason = errno;
        if (fd >= 0) close(fd);
        return error_set(error, ST_IO, reason, "Cannot listen on the unix socket %s", config->unixsocket);
    }
    if (config->unixsocketperm) chmod(name.sun_path, (mode_t)config->unixsocketperm);
    add(server, (struct listener){.fd = fd, .is_unix = true});
    return ST_OK;
}

static enum status open_port(struct server *server, int number, struct thread *endpoint, struct error *error) {
    for (unsigned i = 0; i < server->config.bind.count; i++) {
        enum status status = open_address(server, i, number, endpoint, error);
        if (status != ST_OK) return status;
    }
    return ST_OK;
}

static enum status open_endpoints(struct server *server, struct error *error) {
    int port = server->config.port;
    if (port == 0) return error_set(error, ST_INVALID, 0, "cluster-ports needs a TCP port (option port)");
    if (port + (int)server->thread_count > UINT16_MAX)
        return error_set(error, ST_INVALID, 0,
                         "cluster-ports needs the %u ports behind port %d, and there are not so many",
                         server->thread_count, port);
    for (uint32_t i = 0; i < server->thread_count; i++) {
        enum status status = open_port(server, listener_endpoint_port(port, i), &server->threads[i], error);
        if (status != ST_OK) return status;
    }
    return ST_OK;
}

enum status listener_open_all(struct server *server, struct error *error) {
    const struct config *config = &server->config;
    server->listener_cap = config->bind.count * (1 + (config->cluster_ports ? server->thread_count : 0)) + 1;
    server->listeners = shared_alloc(server->listener_cap * sizeof *server->listeners);
    if (!server->listeners) return error_set(error, ST_NO_MEMORY, 0, "No memory for listeners");
    if (config->port) {
        enum status status = open_port(server, config->port, NULL, error);
        if (status != ST_OK) return status;
    }
    if (config->cluster_ports) {
        enum status status = open_endpoints(server, error);
        if (status != ST_OK) return status;
    }
    if (config->unixsocket[0]) {
        enum status status = open_unix(server, error);
        if (status != ST_OK) return status;
    }
    if (server->listener_count == 0)
        return error_set(error, ST_INVALID, 0,
                         "Nothing to listen on: port is 0 or no bind address works, and there is no unixsocket");
    return ST_OK;
}

void listener_close_all(struct server *server) {
    for (uint32_t i = 0; i < server->listener_count; i++) {
        close(server->listeners[i].fd);
        if (server->listeners[i].is_unix) unlink(server->config.unixsocket);
    }
    server->listener_count = 0;
    shared_free(server->listeners);
    server->listeners = NULL;
}

static bool accepts_at(const struct thread *thread, const struct listener *listener) {
    return thread == (listener->endpoint ? listener->endpoint : &thread->server->threads[0]);
}

void listener_start(struct thread *thread) {
    struct server *server = thread->server;
    thread->accepting = true;
    for (uint32_t i = 0; i < server->listener_count; i++) {
        struct listener *listener = &server->listeners[i];
        if (accepts_at(thread, listener)) ring_accept(thread->ring, listener->fd, listener);
    }
}

void listener_stop(struct thread *thread) {
    thread->accepting = false;
}

/* The thread with the fewest connections; ties go round, so that a few connections do not pile up on the first. */
static struct thread *emptiest(struct thread *thread) {
    struct server *server = thread->server;
    struct thread *best = NULL;
    uint32_t best_load = UINT32_MAX;
    for (uint32_t i = 0; i < server->thread_count; i++) {
        struct thread *other = &server->threads[i];
        uint32_t load = atomic_load_explicit(&other->load, memory_order_relaxed);
        if (load < best_load) {
            best = other;
            best_load = load;
        }
    }
    return best;
}

/* What comes back when a hand-over fails: whom it was meant for, and the descriptor. */
static uint64_t hand_over_note(const struct thread *target, int fd) {
    return (uint64_t)target->id << 32 | (uint32_t)fd;
}

static void place(struct thread *thread, const struct listener *listener, int fd) {
    struct thread *target = listener->endpoint ? thread : emptiest(thread);
    atomic_fetch_add_explicit(&target->load, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&thread->server->client_count, 1, memory_order_relaxed);
    if (target == thread) {
        conn_adopt(thread, fd, listener->endpoint);
        return;
    }
    int ring_fd = atomic_load_explicit(&target->ring_fd, memory_order_relaxed);
    ring_hand_over(thread->ring, ring_fd, fd, hand_over_note(target, fd));
}

/* To ask again at once would fail again at once, and who connects waits in the backlog just as well. */
#define REST_NS       100000000ull
#define TELL_AGAIN_NS 10000000000ull
static void rest(struct thread *thread, struct listener *listener) {
    uint64_t now_ns = thread->shard->now_ns;
    listener->resting = true;
    thread->accept_again_ns = now_ns + REST_NS;
    if (now_ns < thread->accept_told_ns) return;
    thread->accept_told_ns = now_ns + TELL_AGAIN_NS;
    log_line(&thread->server->log, LOG_LEVEL_WARNING,
             "Accepting a connection failed: out of file descriptors (ulimit -n); new clients wait");
}

void listener_after_rest(struct thread *thread) {
    if (thread->shard->now_ns < thread->accept_again_ns) return;
    thread->accept_again_ns = 0;
    for (uint32_t i = 0; i < thread->server->listener_count; i++) {
        struct listener *listener = &thread->server->listeners[i];
        if (!accepts_at(thread, listener) || !listener->resting) continue;
        listener->resting = false;
        if (thread->accepting && !thread->stop_by_ns) ring_accept(thread->ring, listener->fd, listener);
    }
}

void listener_accepted(struct thread *thread, const struct ring_event *event) {
    struct listener *listener = event->owner;
    if (event->result >= 0) place(thread, listener, event->result);
    if (event->more || !thread->accepting || thread->stop_by_ns) return;
    if (event->result == -EMFILE || event->result == -ENFILE)
        rest(thread, listener);
    else
        ring_accept(thread->ring, listener->fd, listener);
}

/* The target's completion queue was full or its ring is gone: serve the connection here, and count it here. */
void listener_hand_over_failed(struct thread *thread, int64_t note) {
    struct thread *target = &thread->server->threads[note >> 32];
    atomic_fetch_sub_explicit(&target->load, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&thread->load, 1, memory_order_relaxed);
    conn_adopt(thread, (int)(note & INT32_MAX), false);
}
