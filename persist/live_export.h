/* Live export: one file that Redis reads, from a server that goes on serving. What the command EXPORT does.
 *
 *      WAITING   for a checkpoint that begins after the command (persist/checkpoints.h)
 *      RUNNING   its files are linked into sherd.exporting/, with a manifest that ends at the checkpoint's second cut;
 *                there `sherd export` reads them, a process of its own with the lowest priority
 *      MOVING    the file gets its name, sherd.exporting/ goes
 *
 * Moment    the file holds the whole server as of one instant, the second cut: no command, no transaction is half in
 *           it, and all that was answered before EXPORT is.
 * Cost      no copy of the data here: links keep files alive that the server replaces meanwhile, and the process needs
 *           the memory of a part of the keys (persist/export.h). On the disk there is room for the file, and for what
 *           is linked, until it is over.
 * Failure   is told in the log and in INFO; a file that was there is left as it is. What a crash leaves is removed by
 *           the next start.
 * Threads   as said at each function. One export at a time. */
#pragma once
#include "core/log.h"
#include "persist/checkpoints.h"
#include "persist/export.h"

struct live_export;

/* --- before the threads start, and after they ended --- */
struct live_export *live_export_new(const struct datadir *dir, struct log *log); /* NULL: no memory */
void live_export_delete(struct live_export *live); /* ends the process, if it still runs, and clears up */

/* --- any thread --- */
#define EXPORT_NAME_MAX 128
struct live_export_order {
    enum export_form form;
    struct slice name; /* of a file in the data directory */
    bool replace;      /* a file of that name may be there */
    int64_t databases;
};
enum live_export_answer { EXPORT_STARTED, EXPORT_BUSY, EXPORT_BAD_NAME, EXPORT_EXISTS };
/* from: the shard of the thread that asks; shard 0 is woken. */
enum live_export_answer live_export_ask(struct live_export *live, struct checkpoints *checkpoints, struct shard *from,
                                        const struct live_export_order *order);

struct live_export_status {
    bool in_progress, last_ok;       /* last_ok is true before the first one */
    int64_t current_s, last_took_s;  /* -1: none */
    char last_name[EXPORT_NAME_MAX]; /* "": none yet */
};
void live_export_read(struct live_export *live, uint64_t now_ms, struct live_export_status *out);

/* --- shard 0's thread --- */
/* A few times a second. True while an export is under way. */
bool live_export_turn(struct live_export *live, struct checkpoints *checkpoints, const struct disk *disk,
                      uint64_t now_ms);
