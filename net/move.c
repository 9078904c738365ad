/* One connection from thread to thread: the last thing that happens here is a message, the first thing there is a
 * client as if it had always been there. */
#include "net/move.h"
#include "core/assert.h"
#include "net/thread.h"
#include "shards/client_move.h"
#include "shards/gather.h"
#include "shards/pipeline.h"

#define ARRIVE_ARGS   (3 + CLIENT_LUGGAGE_ARGS) /* the name, the descriptor, the address */
#define MOVES_PART    8                         /* of a thread's connections, those that may leave in one time */
#define LOOK_WORD     11                        /* of gather.memo */
#define LOOK_HAS_SENT 2

/* --- may it go? --- */

/* How many may still leave in this time. */
static bool may_one_leave(struct thread *thread) {
    uint64_t now_ns = thread->shard->now_ns;
    if (now_ns >= thread->moves_until_ns) {
        thread->moves_until_ns = now_ns + (uint64_t)thread->config.client_homing_ms * 1000000;
        thread->moves_left = 1 + thread->conn_count / MOVES_PART;
    }
    return thread->moves_left > 0;
}

static uint32_t busy_of(const struct thread *thread) {
    return atomic_load_explicit(&thread->busy_permille, memory_order_relaxed);
}

/* Is the wish still a good one, and nothing in its way that may last? */
static bool may_go(const struct conn *conn, const struct thread *target) {
    struct thread *thread = conn->thread;
    return thread->config.client_homing_ms > 0 && !conn->peer_done && !thread->stop_by_ns && !thread->ending &&
           client_may_move(&conn->client) && may_one_leave(thread) &&
           homing_is_welcome(busy_of(thread), busy_of(target));
}

static bool is_quiet(const struct conn *conn) {
    return !conn->receiving && !conn->starving && !conn->attending && !conn->sending_now &&
           client_is_quiet(&conn->client);
}

/* --- going --- */

/* Sequentially consistent: raise ours, look at theirs. Its partner is in move_look. */
static bool nobody_looks(struct server *server) {
    atomic_fetch_add(&server->moves, 1);
    if (atomic_load(&server->looks) == 0) return true;
    atomic_fetch_sub(&server->moves, 1);
    return false;
}

static void send_off(struct conn *conn, struct thread *target) {
    struct shard *shard = conn->thread->shard;
    struct client_luggage luggage;
    struct slice argv[ARRIVE_ARGS] = {SLICE("sherd.arrive"), slice_of((const char *)&conn->fd, sizeof conn->fd),
                                      slice_of(conn->address, conn->address_len)};
    client_pack(&conn->client, &luggage, argv + 3);
    struct message *message = pipeline_outgoing(shard, target->id, false);
    struct message_item *item = message_add(message, (struct message_note){0}, argv, ARRIVE_ARGS);
    item->how = ITEM_UNDER; /* it touches no keys, and waits for nobody's */
    item->number = (uint16_t)command_find(shard->registry, argv[0])->number;
    item->silent = item->part = true; /* nobody waits for an answer, and it is no command of a client */
}

static void go(struct conn *conn, struct thread *target) {
    struct thread *thread = conn->thread;
    log_line(&thread->server->log, LOG_LEVEL_DEBUG,
             "Client id=%llu moves from thread %u to thread %u, whose keys it uses",
             (unsigned long long)conn->client.id, thread->id, target->id);
    send_off(conn, target);
    thread->moves_left--;
    thread->shard->stats.moved_out++;
    atomic_fetch_add_explicit(&target->load, 1, memory_order_relaxed);
    conn_delete(conn);
}

bool move_go_on(struct conn *conn) {
    struct homing *homing = &conn->client.homing;
    struct thread *target = &conn->thread->server->threads[homing->wish - 1];
    if (may_go(conn, target)) {
        if (!is_quiet(conn)) return false;
        if (nobody_looks(conn->thread->server)) {
            go(conn, target);
            return true;
        }
    }
    homing->wish = 0; /* another time */
    return false;
}

/* --- arriving --- */

void cmd_internal_arrive(struct exec *x) {
    struct thread *thread = thread_of(x->shard);
    const struct slice *luggage = x->argv + 3;
    int fd;
    ASSERT(x->argc == ARRIVE_ARGS && x->argv[1].len == sizeof fd);
    memcpy(&fd, x->argv[1].ptr, sizeof fd);
    struct conn *conn = conn_new(thread, fd, client_packed_id(luggage), x->argv[2]);
    client_unpack(&conn->client, luggage);
    conn->peer_done = thread->stop_by_ns > 0; /* like those who were here when the stop began */
    x->shard->stats.moved_in++;
    thread_attend(thread, conn); /* where it is parsed on and its receive begins */
    /* After it has joined the list: whoever looks at all clients from now on finds it here. */
    atomic_fetch_sub(&thread->server->moves, 1);
}

/* --- looking --- */

enum move_look move_look(struct gather *gather) {
    struct server *server = thread_of(gather->home)->server;
    uint64_t *state = &gather->memo[LOOK_WORD];
    if (*state == LOOK_HAS_SENT) {
        atomic_fetch_sub(&server->looks, 1);
        *state = 0;
        return LOOK_DONE;
    }
    /* Sequentially consistent: raise ours, look at theirs. Its partner is in nobody_looks. */
    if (gather->step == 0) atomic_fetch_add(&server->looks, 1);
    if (atomic_load(&server->moves) > 0) { /* they arrive within a turn or two of their new thread */
        gather_let_turn_pass(gather);
        return LOOK_WAITS;
    }
    *state = LOOK_HAS_SENT;
    return LOOK_ASKS;
}
