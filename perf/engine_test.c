/* Proves that the engine counts requests, not replies: a request of several commands is one operation when its last
 * reply is there, and an error reply is none. The server is a thread that answers one-letter commands by their letter
 * and cuts every answer in two. */
#include "perf/engine.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { CONNS = 3 };

struct server {
    char path[64];
    int listener;
    pthread_t thread;
};

static const char *answer_to(char letter) {
    switch (letter) {
    case 'a': return "+OK\r\n";
    case 'e': return "-ERR no\r\n";
    case 'm': return "*2\r\n$3\r\nabc\r\n$-1\r\n";
    default: return "";
    }
}

/* Every lower-case letter of the input is a command: nothing else in it is one. */
static void answer(int fd, const char *bytes, size_t len) {
    char out[65536];
    size_t size = 0;
    for (size_t i = 0; i < len; i++) {
        const char *text = answer_to(bytes[i]);
        assert_true(size + strlen(text) < sizeof out);
        memcpy(out + size, text, strlen(text));
        size += strlen(text);
    }
    if (size == 0) return;
    assert_int_equal(send(fd, out, size / 2, MSG_NOSIGNAL), (ssize_t)(size / 2));
    assert_int_equal(send(fd, out + size / 2, size - size / 2, MSG_NOSIGNAL), (ssize_t)(size - size / 2));
}

static void *serve(void *arg) {
    struct server *server = arg;
    struct pollfd fds[CONNS];
    for (int i = 0; i < CONNS; i++)
        fds[i] = (struct pollfd){.fd = accept(server->listener, NULL, NULL), .events = POLLIN};
    for (int open = CONNS; open > 0;) {
        (void)poll(fds, CONNS, -1);
        for (int i = 0; i < CONNS; i++) {
            if (fds[i].fd < 0 || fds[i].revents == 0) continue;
            char bytes[4096];
            ssize_t got = recv(fds[i].fd, bytes, sizeof bytes, 0);
            if (got > 0) {
                answer(fds[i].fd, bytes, (size_t)got);
                continue;
            }
            (void)close(fds[i].fd);
            fds[i].fd = -1;
            open--;
        }
    }
    return NULL;
}

static void server_start(struct server *server) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(server->path, sizeof server->path, "/tmp/engine_test.%d", (int)getpid());
    memcpy(name.sun_path, server->path, strlen(server->path));
    (void)unlink(server->path);
    server->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(server->listener, CONNS), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server) {
    (void)pthread_join(server->thread, NULL);
    (void)close(server->listener);
    (void)unlink(server->path);
}

static struct engine_result result;

static void run(const char *op, const struct engine_phase *phase) {
    static const struct workload_shape shape = {.key_prefix = "k", .keys = 100, .key_len = 12, .value_len = 20};
    struct server server;
    struct workload w;
    char why[256] = "";
    const char *reason = "";
    server_start(&server);
    struct engine *e = engine_open(&(struct engine_target){.unix_path = server.path}, CONNS, why, sizeof why);
    assert_non_null(e);
    assert_true(workload_init(&w, op, &shape, "uniform", 1, &reason));
    assert_true(engine_run(e, &w, phase, &result, why, sizeof why));
    workload_deinit(&w);
    engine_close(e);
    server_stop(&server);
}

static void a_request_ends_with_its_last_reply(void **state) {
    (void)state;
    run("a & m & a", &(struct engine_phase){.pipeline = 7, .requests = 1000});
    assert_int_equal(result.ops, 1000);
    assert_int_equal(result.latency_ns.total, 1000);
    assert_int_equal(result.nils, 1000);
    assert_int_equal(result.errors, 0);
    assert_true(result.conn_ops_min <= 1000 / CONNS && result.conn_ops_max >= 1000 / CONNS);
}

static void an_error_is_no_operation(void **state) {
    (void)state;
    run("a ; e", &(struct engine_phase){.pipeline = 8, .requests = 1000});
    assert_int_equal(result.ops, 500);
    assert_int_equal(result.errors, 500);
    run("e & a & e", &(struct engine_phase){.pipeline = 8, .requests = 300});
    assert_int_equal(result.ops, 0);
    assert_int_equal(result.conn_ops_max, 0);
    assert_string_equal(result.error_text, "ERR no");
}

static void an_open_loop_records_every_request(void **state) {
    (void)state;
    run("a & m", &(struct engine_phase){.pipeline = 4, .rate = 20000, .duration_ns = 50000000});
    assert_int_equal(result.latency_ns.total, 1001);
    assert_int_equal(result.unanswered, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_ends_with_its_last_reply),
        cmocka_unit_test(an_error_is_no_operation),
        cmocka_unit_test(an_open_loop_records_every_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
