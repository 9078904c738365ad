/* Status: how the world answered. Our own bugs are assertions (core/assert.h) and a client's mistakes are
 * error replies; only what the world does to us (memory, files, peers, bad input from outside) is a status. */
#pragma once
#include "core/defs.h"

/* One list: code, text for people. */
#define STATUS_LIST(X)                                                                                                 \
    X(ST_OK, "ok")                                                                                                     \
    X(ST_FULL, "full, try again later")                                                                                \
    X(ST_NOT_FOUND, "not found")                                                                                       \
    X(ST_EXISTS, "exists already")                                                                                     \
    X(ST_INVALID, "invalid")                                                                                           \
    X(ST_TOO_LARGE, "too large")                                                                                       \
    X(ST_NO_MEMORY, "out of memory")                                                                                   \
    X(ST_IO, "input/output error")                                                                                     \
    X(ST_UNSUPPORTED, "not supported on this machine")

enum status {
#define STATUS_ENUM(code, text) code,
    STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
};

const char *status_text(enum status status);

/* What a person will read when start-up or a tool fails. Filled by whoever found the problem; text is a whole
 * sentence that says what to do. Empty (text[0] == 0) when nothing went wrong. */
struct error {
    enum status status;
    int os_errno; /* 0 when the operating system had no part in it */
    char text[512];
};

/* Fills error and returns status, so that a failure is one line: return error_set(e, ST_IO, errno, "..."); */
enum status error_set(struct error *error, enum status status, int os_errno, const char *format, ...) PRINTF_LIKE(4, 5);
