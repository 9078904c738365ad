/* Log file: see the header. Reopening puts the new file under the old descriptor's number with
 * dup3, which is one step for the kernel: a thread that writes at that moment writes to one or the
 * other, never to a closed number. */
#include "net/log_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int open_path(const char *path) {
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

static enum status open_failed(struct error *error, const char *path) {
    return error_set(error, ST_IO, errno, "can't open log file '%.256s'", path);
}

enum status log_file_open(struct log_file *file, const char *path, struct error *error) {
    atomic_init(&file->lost, 0);
    file->fd = STDOUT_FILENO;
    int n = snprintf(file->path, sizeof(file->path), "%s", path);
    if (n < 0 || (size_t)n >= sizeof(file->path)) {
        file->path[0] = 0;
        errno = ENAMETOOLONG;
        return open_failed(error, path);
    }
    if (path[0] == 0) return ST_OK;
    int fd = open_path(path);
    if (fd < 0) return open_failed(error, path);
    file->fd = fd;
    return ST_OK;
}

enum status log_file_reopen(struct log_file *file, struct error *error) {
    if (file->path[0] == 0) return ST_OK;
    int fd = open_path(file->path);
    if (fd < 0) return open_failed(error, file->path);
    int result = dup3(fd, file->fd, O_CLOEXEC);
    enum status status = result < 0 ? open_failed(error, file->path) : ST_OK;
    close(fd);
    return status;
}

void log_file_close(struct log_file *file) {
    if (file->path[0] == 0) return;
    close(file->fd);
    file->fd = -1;
}

void log_file_write(void *ctx, const char *line, size_t len) {
    struct log_file *file = ctx;
    ssize_t n;
    do n = write(file->fd, line, len);
    while (n < 0 && errno == EINTR);
    /* Relaxed: a statistic. */
    if (n != (ssize_t)len) atomic_fetch_add_explicit(&file->lost, 1, memory_order_relaxed);
}
