/* Check: is everything in a data directory as it should be? What `sherd check DIR` does.
 *
 * Reads the manifest, every batch of the journals and every checkpoint file to its checksum, and judges them as
 * recovery would (persist/recover.h), but changes nothing and goes on behind what is damaged, so that all of it is
 * told. What a crash leaves (a torn end, transactions that did not reach all journals) is told, too, and is not damage.
 *
 * The directory is locked meanwhile: a server that writes would make nonsense of what is read.
 *
 * Threads   one; blocks on the disk for as long as reading everything takes. Memory: as recovery, without the data. */
#pragma once
#include "core/clock.h"
#include "core/status.h"

/* A line for people, without newline. */
typedef void check_print(void *ctx, const char *line);

struct check_options {
    const char *path;
    check_print *print;    /* what was found */
    check_print *progress; /* about once a second while it goes on; NULL: nobody wants to know */
    void *ctx;
    struct clock clock;
};
/* ST_OK: nothing is wrong. Else error says what kept it from looking, or (ST_INVALID) how many damages there are. */
NODISCARD enum status check_directory(const struct check_options *options, struct error *error);
