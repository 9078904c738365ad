/* What runs inside of the guest of tests/numa, as its first and only process (or, for a look, on any machine):
 *
 *     for numa on and numa off: start the server, load data, print INFO shards, stop it
 *
 * It judges nothing; tests/numa/run.py reads what it prints. Statically linked and without any other program, so that
 * the guest's whole system is this, the server and its libraries.
 *
 * Environment (the kernel passes on what it does not know from its command line): SHERD_MB, megabytes to load;
 * SHERD_THREADS; SHERD_PORT. The argument is the server's binary. */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TRIES 3000 /* of 10 ms: half a minute, since all may be emulated */
#define BATCH       100  /* commands sent before their replies are read */

static void power_off(void) {
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
    reboot(RB_AUTOBOOT); /* QEMU ends then, too (-no-reboot) */
}

static void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("=== failed: ");
    vprintf(format, args);
    printf(": %s\n", strerror(errno));
    va_end(args);
    fflush(stdout);
    if (getpid() == 1) power_off();
    exit(1);
}

static const char *setting(const char *name, const char *preset) {
    const char *value = getenv(name);
    return value ? value : preset;
}

/* --- the guest's system --- */

static void mount_at(const char *type, const char *path) {
    mkdir(path, 0755);
    if (mount(type, path, type, 0, NULL) != 0 && errno != EBUSY) fail("cannot mount %s", path);
}

static void loopback_up(void) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) fail("cannot bring up the loopback device");
    close(fd);
}

static void set_up(void) {
    mount_at("proc", "/proc");
    mount_at("sysfs", "/sys");
    mount_at("tmpfs", "/tmp");
    loopback_up();
}

/* --- the server --- */

static pid_t start_server(const char *binary, const char *numa) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) fail("cannot fork");
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it is not left over when something fails here */
    execl(binary, "sherd", "--port", setting("SHERD_PORT", "6379"), "--bind", "127.0.0.1", "--threads",
          setting("SHERD_THREADS", "4"), "--numa", numa, "--dir", "/tmp", "--save", "", "--appendonly", "no",
          "--loglevel", "warning", (char *)NULL);
    fail("cannot start %s", binary);
    return -1;
}

static int connect_to_server(pid_t server) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(setting("SHERD_PORT", "6379"))),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timespec pause = {.tv_nsec = 10000000};
    for (int i = 0; i < START_TRIES; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
        close(fd);
        if (waitpid(server, NULL, WNOHANG) == server) fail("the server has ended at start");
        nanosleep(&pause, NULL);
    }
    fail("the server does not listen");
    return -1;
}

static void send_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0) fail("the connection is gone");
        bytes += sent;
        len -= (size_t)sent;
    }
}

/* Each reply is "+OK\r\n". */
static void read_oks(int fd, unsigned count) {
    static const char ok[] = "+OK\r\n";
    char bytes[4096];
    for (size_t seen = 0; seen < count * 5u;) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0) fail("the connection is gone");
        for (ssize_t i = 0; i < got; i++, seen++)
            if (bytes[i] != ok[seen % 5]) fail("not OK: %.*s", (int)(got < 100 ? got : 100), bytes);
    }
}

/* It answers -LOADING at first. */
static void wait_until_ready(int fd) {
    struct timespec pause = {.tv_nsec = 10000000};
    char reply[256];
    for (int i = 0; i < START_TRIES; i++) {
        send_all(fd, "PING\r\n", 6);
        ssize_t len = 0, got;
        do {
            got = recv(fd, reply + len, sizeof reply - (size_t)len, 0);
            if (got <= 0) fail("the connection is gone");
            len += got;
        } while (reply[len - 1] != '\n');
        if (len >= 5 && memcmp(reply, "+PONG", 5) == 0) return;
        nanosleep(&pause, NULL);
    }
    fail("the server does not get ready");
}

/* Values of 100 bytes, 2 KiB and 20 KiB: in the slab, and in the heap; from four connections, whose threads are the
 * homes of what is sent. */
static void load(const int *fds, unsigned fd_count, size_t bytes) {
    static const size_t sizes[] = {100, 2048, 20480};
    static char value[20480], batch[BATCH * (20480 + 64)];
    memset(value, 'v', sizeof value);
    unsigned number = 0;
    for (size_t done = 0, round = 0; done < bytes; round++) {
        size_t len = 0, size = sizes[round % 3];
        for (unsigned i = 0; i < BATCH; i++, done += size) {
            len += (size_t)snprintf(batch + len, 64, "*3\r\n$3\r\nSET\r\n$9\r\nk%08u\r\n$%zu\r\n", number++, size);
            memcpy(batch + len, value, size);
            memcpy(batch + len + size, "\r\n", 2);
            len += size + 2;
        }
        send_all(fds[round % fd_count], batch, len);
        read_oks(fds[round % fd_count], BATCH);
    }
}

/* A bulk: its length, then so many bytes. */
static void print_info(int fd) {
    static char text[1 << 16];
    size_t len = 0, wanted = sizeof text - 1;
    send_all(fd, "INFO shards\r\n", 13);
    while (len < wanted) {
        ssize_t got = recv(fd, text + len, sizeof text - 1 - len, 0);
        if (got <= 0) fail("no INFO");
        len += (size_t)got;
        text[len] = 0;
        const char *body = strstr(text, "\r\n");
        if (body) wanted = (size_t)(body + 2 - text) + (size_t)atoi(text + 1) + 2;
        if (wanted > sizeof text - 1) fail("INFO is too long");
    }
    printf("%s\n", strstr(text, "\r\n") + 2);
}

static void run_once(const char *binary, const char *numa) {
    int fds[4];
    pid_t server = start_server(binary, numa);
    for (unsigned i = 0; i < 4; i++) fds[i] = connect_to_server(server);
    wait_until_ready(fds[0]);
    load(fds, 4, (size_t)atoi(setting("SHERD_MB", "128")) << 20);
    printf("=== numa %s\n", numa);
    print_info(fds[0]);
    printf("=== end\n");
    send_all(fds[0], "SHUTDOWN NOSAVE\r\n", 17);
    int status = 0;
    if (waitpid(server, &status, 0) != server || status != 0) fail("the server ended with status %d", status);
    for (unsigned i = 0; i < 4; i++) close(fds[i]);
}

int main(int argc, char **argv) {
    const char *binary = argc > 1 ? argv[1] : "/sherd";
    if (getpid() == 1) set_up();
    run_once(binary, "on");
    run_once(binary, "off");
    printf("=== done\n");
    if (getpid() == 1) power_off();
    return 0;
}
