/* One connection. Three rules keep it simple: at most one receive and one send are in the kernel's hands; whatever may
 * change what the connection wants next ends in conn_settle; and it is freed in one place (try_free), when nobody
 * can name it any more. */
#include "net/conn.h"
#include "core/assert.h"
#include "net/move.h"
#include "net/thread.h"
#include "shards/blocked.h"
#include "shards/client_limits.h"
#include "shards/pipeline.h"
#include "shards/reaper.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* --- addresses --- */

static void format_address(const struct sockaddr_storage *from, const struct config *config, char *out, size_t size) {
    char ip[INET6_ADDRSTRLEN] = "?";
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)from;
        inet_ntop(AF_INET, &in4->sin_addr, ip, sizeof ip);
        snprintf(out, size, "%s:%u", ip, (unsigned)ntohs(in4->sin_port));
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip);
        snprintf(out, size, "[%s]:%u", ip, (unsigned)ntohs(in6->sin6_port));
    } else {
        snprintf(out, size, "%s:0", config->unixsocket);
    }
}

static bool is_loopback(const struct sockaddr_storage *from) {
    if (from->ss_family == AF_UNIX) return true;
    if (from->ss_family == AF_INET) return ntohl(((const struct sockaddr_in *)from)->sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)from)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(in6) || (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127);
}

static void describe_address(const struct client *client, bool local, char *out, size_t size) {
    const struct conn *conn = (const struct conn *)client;
    if (!local) {
        snprintf(out, size, "%s", conn->address);
        return;
    }
    struct sockaddr_storage name = {0};
    socklen_t len = sizeof name;
    getsockname(conn->fd, (struct sockaddr *)&name, &len);
    format_address(&name, &conn->thread->config, out, size);
}

static int descriptor(const struct client *client) {
    return ((const struct conn *)client)->fd;
}

static const struct client_carrier carrier = {.address = describe_address, .descriptor = descriptor};

/* --- birth --- */

static void set_options(int fd, int family, const struct config *config) {
    if (family == AF_UNIX) return;
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (config->tcp_keepalive <= 0) return;
    int idle = config->tcp_keepalive, interval = MAX(idle / 3, 1), probes = 3; /* as Redis sets them */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/* Why a new connection is turned away; NULL when it is welcome. */
static const char *refusal(const struct thread *thread, const struct sockaddr_storage *peer) {
    const struct config *config = &thread->config;
    uint64_t most = server_clients_max(thread->server, config);
    if (atomic_load_explicit(&thread->server->client_count, memory_order_relaxed) > most)
        return "-ERR max number of clients reached\r\n";
    if (config->protected_mode && !config->requirepass[0] && !is_loopback(peer))
        return "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set "
               "for the "
               "default user. In this mode connections are only accepted from the loopback interface. To allow others: "
               "set a "
               "password (requirepass), or bind only to addresses you trust and start with --protected-mode no.\r\n";
    return NULL;
}

static void turn_away(struct thread *thread, int fd, const char *why) {
    ssize_t ignored = send(fd, why, strlen(why), MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)ignored;
    thread->shard->stats.rejected_connections++;
    close(fd); /* not over the ring: nothing of it is there, and the thread sanitizer sees this */
    atomic_fetch_sub_explicit(&thread->server->client_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&thread->load, 1, memory_order_relaxed);
}

struct conn *conn_new(struct thread *thread, int fd, uint64_t id, struct slice address) {
    struct shard *shard = thread->shard;
    struct conn *conn = heap_alloc_zero(shard->heap, MEM_CLIENT_IN, sizeof *conn);
    client_init(&conn->client, shard, &carrier, id);
    conn->thread = thread;
    conn->fd = fd;
    buf_init(&conn->sending, shard->heap, MEM_CLIENT_OUT);
    conn->address_len = (uint8_t)address.len;
    conn->address = heap_alloc(shard->heap, MEM_CLIENT_IN, address.len + 1);
    memcpy(conn->address, address.ptr, address.len);
    conn->address[address.len] = 0;
    thread->conn_count++;
    return conn;
}

void conn_adopt(struct thread *thread, int fd, bool endpoint) {
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    getpeername(fd, (struct sockaddr *)&peer, &len);
    const char *why = refusal(thread, &peer);
    if (why || thread->stop_by_ns) {
        turn_away(thread, fd, why ? why : "-ERR server is shutting down\r\n");
        return;
    }
    set_options(fd, peer.ss_family, &thread->config);
    char address[160];
    format_address(&peer, &thread->config, address, sizeof address);
    uint64_t id = atomic_fetch_add(&thread->server->next_client_id, 1) + 1;
    struct conn *conn = conn_new(thread, fd, id, slice_of_cstr(address));
    if (peer.ss_family == AF_UNIX) conn->client.flags |= CLIENT_UNIX_SOCKET;
    if (endpoint) conn->client.flags |= CLIENT_ENDPOINT;
    thread->shard->stats.connections++;
    conn->receiving = true;
    ring_recv(thread->ring, fd, conn);
}

/* --- death --- */

/* Memory of replies that were sent or are not wanted: what has the size of a loan goes to the next borrower, and large
 * memory goes back in slices. */
static void drop_replies(struct shard *shard, struct buf *buf) {
    if (LIKELY(buf->cap < REAP_BLOCK_MIN))
        buf_pool_give_back(&shard->replies, buf);
    else
        reaper_take_buf(shard->shared.reaper, buf);
}

/* Nobody will get it. */
static void drop_output(struct conn *conn) {
    struct client *client = &conn->client;
    struct shard *shard = conn->thread->shard;
    if (!client_give_back(client, &conn->sending)) drop_replies(shard, &conn->sending);
    drop_replies(shard, &client->out);
    reaper_take_chain(shard->shared.reaper, &client->rest);
    client->carried = 0;
}

void conn_delete(struct conn *conn) {
    struct client *client = &conn->client;
    struct thread *thread = conn->thread;
    struct heap *heap = thread->shard->heap;
    drop_output(conn);
    client_deinit(client);
    heap_free(heap, MEM_CLIENT_IN, conn->address, conn->address_len + 1u);
    heap_free(heap, MEM_CLIENT_IN, conn, sizeof *conn);
    thread->conn_count--;
    atomic_fetch_sub_explicit(&thread->load, 1, memory_order_relaxed);
}

static void release(struct conn *conn) {
    struct server *server = conn->thread->server;
    conn_delete(conn);
    atomic_fetch_sub_explicit(&server->client_count, 1, memory_order_relaxed);
}

/* Frees the connection once the kernel and the other shards have let go of it. */
static void try_free(struct conn *conn) {
    const struct client *client = &conn->client;
    if (!conn->sending_now) drop_output(conn); /* however long its last command waits */
    if (conn->receiving || conn->sending_now || conn->attending || conn->starving || client->queued || client->gather ||
        !reply_queue_empty(&client->replies) || client->flags & CLIENT_DIRTY_OUT)
        return;
    ring_close_fd(conn->thread->ring, conn->fd);
    release(conn);
}

void conn_abandon(struct conn *conn) {
    struct reply_queue *replies = &conn->client.replies;
    blocked_abandon(&conn->client);
    replies->head = replies->tail; /* the messages belong to heaps that go away as a whole */
    close(conn->fd);
    release(conn);
}

void conn_close(struct conn *conn) {
    if (!conn->closing) {
        conn->closing = true;
        conn->client.flags |= CLIENT_CLOSE_NOW;
        blocked_client_gone(&conn->client);
        pubsub_client_gone(&conn->client);
        shutdown(conn->fd, SHUT_RDWR); /* ends the receive and the send that may be in the kernel */
    }
    thread_attend(conn->thread, conn);
}

/* --- what the connection wants next --- */

static bool all_done(const struct conn *conn) {
    const struct client *client = &conn->client;
    return client->queued == 0 && !client->gather && reply_queue_empty(&client->replies) && !conn->sending_now &&
           !client_has_output(client);
}

/* A blocked client is read on, up to client-query-buffer-limit: only so is it seen that its peer has hung up, and
 * nothing is taken for it. */
static bool wants_input(const struct conn *conn) {
    const struct client *client = &conn->client;
    if (conn->peer_done || client->homing.wish || client->flags & (CLIENT_CLOSE_NOW | CLIENT_CLOSE_AFTER_REPLY))
        return false;
    /* While clients together hold more than they may, who waits is not read from. */
    size_t pause = client->home->account.uncovered > 0 || client->wait == WAIT_MEMORY ? 0 : IN_PAUSE;
    return client->wait == WAIT_NOTHING || client->blocked || buf_readable(&client->in) <= pause;
}

static void conn_settle(struct conn *conn) {
    struct client *client = &conn->client;
    if (conn->closing) {
        try_free(conn);
        return;
    }
    bool ends = client->flags & CLIENT_CLOSE_AFTER_REPLY || (conn->peer_done && client->wait == WAIT_NOTHING);
    bool waits_in_vain = conn->peer_done && client->blocked;
    if (client->flags & CLIENT_CLOSE_NOW || waits_in_vain || (ends && all_done(conn))) {
        conn_close(conn);
        return;
    }
    if (UNLIKELY(client->homing.wish) && move_go_on(conn)) return;
    bool wants = wants_input(conn);
    if (wants && !conn->receiving && !conn->starving) {
        conn->receiving = true;
        ring_recv(conn->thread->ring, conn->fd, conn);
    } else if (!wants && conn->receiving && !conn->cancelling) {
        conn->cancelling = true;
        ring_cancel_recv(conn->thread->ring, conn);
    }
}

void conn_attend(struct conn *conn) {
    struct client *client = &conn->client;
    enum turn_phase before = shard_enter(client->home, SPENT_PARSE);
    if (!conn->closing && !(client->flags & CLIENT_CLOSE_NOW)) pipeline_feed_kept(client->home, client);
    shard_enter(client->home, before);
    conn_settle(conn);
}

/* --- in --- */

/* Parses what arrived. The bytes stay where they are until the batch has run (thread.c gives the buffer back then). */
static void take_input(struct conn *conn, struct slice bytes) {
    struct client *client = &conn->client;
    struct shard *shard = client->home;
    client->bytes_in += bytes.len;
    shard->stats.bytes_in += bytes.len;
    shard->stats.reads++;
    client->active_ms = shard->now_ms;
    if (LIKELY(buf_readable(&client->in) == 0 && client->wait == WAIT_NOTHING)) {
        size_t used = pipeline_feed(shard, client, bytes);
        if (UNLIKELY(used < bytes.len)) client_keep_input(shard, client, slice_of(bytes.ptr + used, bytes.len - used));
        return;
    }
    if (client_keep_input(shard, client, bytes)) pipeline_feed_kept(shard, client);
}

void conn_received(struct conn *conn, const struct ring_event *event) {
    if (!event->more) conn->receiving = conn->cancelling = false;
    if (LIKELY(event->result > 0)) {
        enum turn_phase before = shard_enter(conn->client.home, SPENT_PARSE);
        if (!conn->closing) take_input(conn, slice_of(event->data, (size_t)event->result));
        shard_enter(conn->client.home, before);
    } else if (event->result == 0) {
        conn->peer_done = true;
    } else if (event->result == -ENOBUFS) {
        thread_starve(conn->thread, conn);
    } else if (event->result != -ECANCELED && !conn->closing) {
        conn_close(conn);
        return;
    }
    /* The common case, everything taken and the receive still armed, needs nothing more. */
    if (LIKELY(event->more && conn->client.wait == WAIT_NOTHING && !(conn->client.flags & CLIENT_CLOSE_NOW))) return;
    thread_attend(conn->thread, conn);
}

/* --- out --- */

/* Sends the next piece of `sending`; a large reply goes out in pieces, so that copying it does not hold the turn. */
static void send_piece(struct conn *conn) {
    conn->sending_now = true;
    ring_send(conn->thread->ring, conn->fd, conn->sending.data + conn->sent,
              MIN(conn->sending.len - conn->sent, (size_t)CONN_SEND_MAX), conn);
}

/* A send costs as much as ten commands, so the first replies of a pipeline wait for the others that are on their way
 * from other shards at the same time: for one hop. What the client asked for later is not waited for, so that a client
 * who always has something outstanding gets its replies all the same; nor is anything while the client itself has to
 * wait for something that may take long. */
static bool holds(struct conn *conn) {
    const struct client *client = &conn->client;
    const struct reply_queue *replies = &client->replies;
    bool waits = client->blocked || (client->wait != WAIT_NOTHING && client->wait != WAIT_REPLIES);
    bool now = waits || reply_queue_empty(replies) || buf_readable(&client->out) >= CONN_HOLD_MAX;
    if (!now && !conn->held_for) conn->held_for = replies->tail;
    if (!now && replies->head < conn->held_for) return true;
    conn->held_for = 0;
    return false;
}

/* When all is sent it is to be looked at: it closes, or moves to another thread. */
static bool is_leaving(const struct conn *conn) {
    const struct client *client = &conn->client;
    return client->flags & CLIENT_CLOSE_AFTER_REPLY || conn->peer_done || client->homing.wish;
}

void conn_flush(struct conn *conn) {
    struct client *client = &conn->client;
    if (UNLIKELY(conn->closing || !client_output_allowed(client))) {
        thread_attend(conn->thread, conn);
        return;
    }
    if (conn->sending_now) return; /* its completion comes back here */
    if (holds(conn)) {             /* the next reply comes back here; several find room, a single one makes its own */
        if (client->out.cap == 0 && reply_queue_len(&client->replies) >= CONN_LEND_MIN)
            buf_pool_lend(&client->home->replies, &client->out);
        return;
    }
    if (UNLIKELY(!client_has_output(client))) {
        buf_pool_give_back(&client->home->replies, &client->out);
        if (is_leaving(conn)) thread_attend(conn->thread, conn);
        return;
    }
    client_take_output(client, &conn->sending);
    conn->sent = 0;
    uint64_t output = conn->sending.len + chain_len(&client->rest);
    client->home->stats.output_buffer_max = MAX(client->home->stats.output_buffer_max, output);
    send_piece(conn);
}

void conn_sent(struct conn *conn, const struct ring_event *event) {
    struct client *client = &conn->client;
    conn->sending_now = false;
    if (UNLIKELY(event->result < 0 || conn->closing)) {
        conn_close(conn);
        return;
    }
    client_output_sent(client, (size_t)event->result);
    client->home->stats.writes++;
    conn->sent += (size_t)event->result;
    if (UNLIKELY(conn->sent < conn->sending.len)) {
        send_piece(conn);
        return;
    }
    if (!client_give_back(client, &conn->sending)) drop_replies(client->home, &conn->sending);
    if (UNLIKELY(client_has_output(client))) conn_flush(conn);
    if (UNLIKELY(client->wait == WAIT_READER)) pipeline_resume(client->home, client);
    if (UNLIKELY(is_leaving(conn))) thread_attend(conn->thread, conn);
}
