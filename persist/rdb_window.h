/* RDB window: a file read from front to end through one stretch of memory, with a checksum of what was passed.
 *
 *      file     |  passed  | at ... end |  not read yet  |
 *      memory        | old |  readable  | free |
 *
 * Whoever needs more bytes at once than are there asks for them (rdb_window_fill); the memory doubles as long as that
 * takes, never beyond what is left of the file. It shrinks again when it is not needed any more.
 *
 * Threads   one. Cost: a read of a window's size per window, and moving what was not passed yet to the front. */
#pragma once
#include "core/alloc.h"
#include "core/slice.h"
#include "core/status.h"

#define RDB_WINDOW (256u * 1024) /* bytes: reading costs 1% of using them, and they stay in the cache meanwhile */

struct rdb_window {
    struct heap *heap;
    int fd;
    char *bytes;
    size_t cap, at, end; /* of bytes: readable are [at, end) */
    size_t summed;       /* up to here they are in crc */
    uint64_t base;       /* offset in the file of bytes[0] */
    uint64_t size;       /* of the file when it was opened */
    uint64_t crc;
};

enum rdb_filled { RDB_FILLED, RDB_FILE_ENDS, RDB_NO_MEMORY, RDB_READ_FAILED /* errno says why */ };

NODISCARD enum status rdb_window_open(struct rdb_window *window, const char *path, struct heap *heap,
                                      struct error *error);
void rdb_window_close(struct rdb_window *window);

HOT_INLINE struct slice rdb_window_rest(const struct rdb_window *window) {
    return slice_of(window->bytes + window->at, window->end - window->at);
}
HOT_INLINE void rdb_window_pass(struct rdb_window *window, size_t len) {
    window->at += len;
}
HOT_INLINE uint64_t rdb_window_offset(const struct rdb_window *window) {
    return window->base + window->at;
}
HOT_INLINE uint64_t rdb_window_left(const struct rdb_window *window) { /* of the file, behind at */
    return window->size - rdb_window_offset(window);
}
/* Reads on until at least `need` bytes are readable, or all that are left. FILE_ENDS: nothing came. What was borrowed
 * from the window is not valid any more. */
enum rdb_filled rdb_window_fill(struct rdb_window *window, uint64_t need);
uint64_t rdb_window_crc(struct rdb_window *window); /* of all that was passed */
