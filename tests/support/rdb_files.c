#include "tests/support/rdb_files.h"
#include "core/assert.h"
#include "core/crc.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];

const char *rdb_files_dir(void) {
    if (dir[0]) return dir;
    strcpy(dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/sherd-rdb-XXXXXX" : "/tmp/sherd-rdb-XXXXXX");
    ASSERT(mkdtemp(dir));
    return dir;
}

const char *rdb_files_path(const char *name) {
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", rdb_files_dir(), name);
    return path;
}

void rdb_files_remove(void) {
    char command[128];
    if (!dir[0]) return;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ASSERT(system(command) == 0);
    dir[0] = '\0';
}

void rdb_file_put(const char *path, struct slice bytes) {
    FILE *file = fopen(path, "w");
    ASSERT(file && fwrite(bytes.ptr, 1, bytes.len, file) == bytes.len);
    ASSERT(fclose(file) == 0);
}

void rdb_finish(struct buf *file) {
    rdb_write_end(file, crc64(0, file->data, file->len));
}

uint64_t rdb_key_digest(uint32_t db, const struct entry *entry) {
    static const struct hash_seed seed = {21, 22};
    struct slice key = entry_key(entry);
    uint64_t digest = entries_digest(entry) + hash_bytes(&seed, key.ptr, key.len) * 3;
    return (digest ^ entry_deadline_ms(entry)) * (2 * db + 1) * 0x9E3779B97F4A7C15u;
}

struct rdb_content rdb_file_read(struct entries *entries, const struct rdb_reader_options *options) {
    struct rdb_content content = {.end = RDB_BROKEN};
    struct rdb_reader_options own = *options;
    struct rdb_reader *reader;
    struct rdb_event event;
    own.heap = entries->heap;
    own.target = entries_target(entries);
    if (rdb_open(&reader, &own, &content.error) != ST_OK) return content;
    do {
        content.end = rdb_next(reader, &event, &content.error);
        content.keys += content.end == RDB_KEY;
        content.skipped += content.end == RDB_SKIPPED;
        content.aux += content.end == RDB_AUX;
        content.timed += content.end == RDB_KEY && event.deadline_ms;
        if (content.end != RDB_KEY || !event.entry) continue;
        content.digest += rdb_key_digest(event.db, event.entry);
        entry_delete(&entries->store, event.entry);
    } while (content.end != RDB_END && content.end != RDB_BROKEN);
    rdb_close(reader);
    return content;
}
