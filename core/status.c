/* Texts of the status codes, and the one way to fill a struct error. */
#include "core/status.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *status_text(enum status status) {
    static const char *const texts[] = {
#define STATUS_TEXT(code, text) text,
        STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    };
    return (size_t)status < ARRAY_LEN(texts) ? texts[status] : "unknown status";
}

enum status error_set(struct error *error, enum status status, int os_errno, const char *format, ...) {
    if (!error) return status;
    error->status = status;
    error->os_errno = os_errno;
    va_list args;
    va_start(args, format);
    int used = vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    if (os_errno != 0 && used >= 0 && (size_t)used + 2 < sizeof error->text) {
        char reason[128];
        snprintf(error->text + used, sizeof error->text - (size_t)used, ": %s",
                 strerror_r(os_errno, reason, sizeof reason));
    }
    return status;
}
