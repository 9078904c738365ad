/* Control: what the test that started the filesystem says to it, a line at a time; each is answered by one line that
 * begins with "ok" or "error".
 *
 *     cut SEED [drop|keep|torn]      the power goes: of what is not durable nothing, all or parts are left (default
 *     torn) off | on                       what waits since then fails, and whatever comes; power comes back
 *     delay DEEDS MS [MORE_MS]       each takes so long; DEEDS: read, write, sync, name, several with commas, or all
 *     rate BYTES                     so many bytes per second at most, read and written; 0: any
 *     fail DEEDS ERROR PERMILLE [N]  ERROR: EIO, ENOSPC or none; the first N that are drawn, or all
 *     stick DEEDS | free DEEDS       they do not end until they are set free
 *     space BYTES                    what all files together may have; 0: any
 *     lie yes|no                     syncs answer and do nothing: a test that is content with such a disk tests nothing
 *     status                         counts of each kind of deed, and what is not durable
 *
 * seed is that of all other choices: of what fails, and of what the system writes by itself. */
#pragma once
#include "tests/support/powerfs/faults.h"
#include "tests/support/powerfs/names.h"

struct medium { /* all there is; faults.lock guards it */
    struct names names;
    struct faults faults;
    uint64_t space; /* 0: no limit */
    bool lies;
};

#define CONTROL_ANSWER_MAX 1024
/* Does what one line says, and answers without a newline. Takes the lock. */
void control_line(struct medium *medium, char *line, char answer[CONTROL_ANSWER_MAX]);
