/* Doctor: is this machine, with these options, one on which the server can keep its promises? What `sherd doctor` does.
 *
 * Takes the words that a server would be started with. Starts none: looks at the kernel, the limits of this process and
 * of its cgroups, and tries the disk in the data directory with a few files of its own, which it removes.
 *
 *      ok      as it should be
 *      warn    works, but something will be slower or less safe than it could be
 *      BAD     the server would not start, or could not keep a promise
 *
 * Each line says what was found, and if it is not ok what to do about it.
 *
 * Main thread, before there is any other. Blocks on the disk: about a second, a minute on one that crawls. */
#pragma once
#include "core/config.h"

enum doctor_verdict { DOCTOR_OK, DOCTOR_WARN, DOCTOR_BAD, DOCTOR_VERDICTS };

struct doctor {
    const struct config *config;
    void (*print)(void *ctx, enum doctor_verdict verdict, const char *line);
    void *ctx;
    unsigned count[DOCTOR_VERDICTS]; /* of lines with that verdict */
};

/* config.dir is absolute, or relative to where we are. Fills count. */
void doctor_look(struct doctor *doctor);

/* --- inside: net/doctor_disk.c --- */
void doctor_say(struct doctor *doctor, enum doctor_verdict verdict, const char *format, ...) PRINTF_LIKE(3, 4);
void doctor_look_at_disk(struct doctor *doctor, uint64_t memory); /* memory: that the data may take, bytes */
