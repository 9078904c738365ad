/* RDB window: see the header. The checksum is taken window by window, just before what was passed makes room. */
#include "persist/rdb_window.h"
#include "core/assert.h"
#include "core/crc.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum status rdb_window_open(struct rdb_window *window, const char *path, struct heap *heap, struct error *error) {
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        enum status status = errno == ENOENT ? ST_NOT_FOUND : ST_IO;
        return error_set(error, status, errno, "%s: cannot be opened", path);
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return error_set(error, ST_IO, 0, "%s: is not a regular file.", path);
    }
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint: whether it is taken does not matter */
    *window = (struct rdb_window){.heap = heap, .fd = fd, .size = (uint64_t)info.st_size};
    window->bytes = heap_alloc(heap, MEM_MESSAGE, RDB_WINDOW);
    window->cap = RDB_WINDOW;
    return ST_OK;
}

void rdb_window_close(struct rdb_window *window) {
    heap_free(window->heap, MEM_MESSAGE, window->bytes, window->cap);
    close(window->fd);
}

uint64_t rdb_window_crc(struct rdb_window *window) {
    window->crc = crc64(window->crc, window->bytes + window->summed, window->at - window->summed);
    window->summed = window->at;
    return window->crc;
}

/* The readable bytes move to the front, of a larger or smaller block when that suits better. False: no memory. */
static bool make_room(struct rdb_window *window, size_t need) {
    size_t readable = window->end - window->at, cap = window->cap;
    while (cap < need) cap *= 2;
    if (cap > RDB_WINDOW && need <= RDB_WINDOW / 2) cap = RDB_WINDOW;
    (void)rdb_window_crc(window);
    if (cap == window->cap) {
        memmove(window->bytes, window->bytes + window->at, readable);
    } else {
        char *bytes = heap_try_alloc(window->heap, MEM_MESSAGE, cap);
        if (!bytes) return false;
        memcpy(bytes, window->bytes + window->at, readable);
        heap_free(window->heap, MEM_MESSAGE, window->bytes, window->cap);
        window->bytes = bytes;
        window->cap = cap;
    }
    window->base += window->at;
    window->at = window->summed = 0;
    window->end = readable;
    return true;
}

enum rdb_filled rdb_window_fill(struct rdb_window *window, uint64_t need) {
    size_t before = window->end - window->at;
    uint64_t left = rdb_window_left(window);
    need = MAX(MIN(need, left), (uint64_t)before);
    if (left == before) return RDB_FILE_ENDS;
    if (!make_room(window, need)) return RDB_NO_MEMORY;
    /* A large window is there for one value; what follows it can wait. */
    uint64_t until = MIN(left, MAX(need, (uint64_t)RDB_WINDOW));
    while (window->end < need || window->end == before) {
        size_t room = until - window->end;
        ssize_t got = pread(window->fd, window->bytes + window->end, room, (off_t)(window->base + window->end));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return RDB_READ_FAILED;
        if (got == 0) { /* somebody cut it short while we read */
            window->size = window->base + window->end;
            return window->end == before ? RDB_FILE_ENDS : RDB_FILLED;
        }
        window->end += (size_t)got;
    }
    return RDB_FILLED;
}
