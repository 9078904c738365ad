#include "perf/connect.h"
#include "perf/reply.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int open_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    if (fd >= 0) (void)close(fd);
    return -1;
}

static int open_tcp(const char *host, int port) {
    char service[16];
    (void)snprintf(service, sizeof service, "%d", port);
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(host, service, &hints, &list) != 0) {
        errno = EHOSTUNREACH;
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0 || connect(fd, a->ai_addr, a->ai_addrlen) == 0) continue;
        int saved = errno;
        (void)close(fd);
        errno = saved;
        fd = -1;
    }
    freeaddrinfo(list);
    int on = 1;
    if (fd >= 0) (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* Sends one command and waits for its reply, which must not be an error. */
static bool ask(int fd, const char *command, char *why, size_t why_size) {
    struct reply_state state;
    reply_init(&state, NULL, NULL);
    if (send(fd, command, strlen(command), MSG_NOSIGNAL) < 0) {
        (void)snprintf(why, why_size, "cannot greet the server: %s",
                       strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
        return false;
    }
    char bytes[4096];
    for (int64_t replies = 0; replies == 0;) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0 || (replies = reply_skip(&state, bytes, (size_t)got)) < 0) {
            (void)snprintf(why, why_size, "no sensible answer to: %.40s", command);
            return false;
        }
    }
    if (state.errors == 0) return true;
    (void)snprintf(why, why_size, "greeting refused: %s", state.error_text);
    return false;
}

int connect_open(const struct engine_target *target, char *why, size_t why_size) {
    int fd = target->unix_path != NULL ? open_unix(target->unix_path) : open_tcp(target->host, target->port);
    if (fd < 0) {
        (void)snprintf(why, why_size, "cannot connect: %s", strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
        return -1;
    }
    char command[512];
    bool fine = true;
    if (target->password != NULL) {
        (void)snprintf(command, sizeof command, "*2\r\n$4\r\nAUTH\r\n$%zu\r\n%.400s\r\n", strlen(target->password),
                       target->password);
        fine = ask(fd, command, why, why_size);
    }
    if (fine && target->resp3) fine = ask(fd, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", why, why_size);
    if (fine && target->database != 0) {
        (void)snprintf(command, sizeof command, "SELECT %d\r\n", target->database);
        fine = ask(fd, command, why, why_size);
    }
    if (fine) return fd;
    (void)close(fd);
    return -1;
}
