/* Exporting: recover into shards that have no clients, write what they hold, one after the other.
 *
 * The recovery thinks that it serves as many threads as there are parts. All parts verify the journal, which ends when
 * the last one has arrived; from then on each can load by itself. So a part is loaded, written and freed before the
 * next one is loaded:
 *
 *      begin    0 | 1 | 2 ...... last       verify, arrive; the last one joins, and loads its own
 *      then     last: write, free | 0: load, write, free | 1: load, write, free ...
 *
 * Time stands still at 0 for that shard, so keys whose time is over are exported with their deadlines: whoever loads
 * the file removes them. */
#include "persist/export.h"
#include "core/assert.h"
#include "core/crc.h"
#include "persist/rdb_write.h"
#include "persist/recover.h"
#include "shards/effect_add.h"
#include "shards/shard.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLUSH_BYTES (1u << 20)  /* of output kept before it is written */
#define PART_BYTES  (64u << 20) /* of files that become one part, if there may be so many */
#define SLICE_NS    100000000ull

struct exporting {
    const struct export_options *options;
    struct recovery *recovery;
    uint32_t parts;
    struct shard *shards[SHARDS_MAX]; /* NULL: written and freed */
    struct shard *shard;              /* being loaded or written */
    struct heap *heap;                /* of the output */
    int fd;
    int os_errno; /* of the first write that failed; 0: none */
    struct buf out;
    uint64_t crc;
    uint32_t db; /* being written */
    struct export_result result;
};

/* --- a shard of our own --- */

static void wake_nobody(void *ctx, uint32_t to) {
    (void)ctx, (void)to;
}
static void attend_nobody(void *ctx, struct client *client) {
    (void)ctx, (void)client;
}
static uint64_t no_ticks(void *ctx) {
    (void)ctx;
    return 0;
}

static struct shard *make_shard(const struct exporting *exporting, uint32_t id) {
    const struct export_options *options = exporting->options;
    static struct mailbox *const none[SHARDS_MAX];
    static _Atomic uint64_t *const pending[SHARDS_MAX];
    struct shard_options shard = {
        .id = id,
        .count = exporting->parts,
        .db_count = (uint32_t)options->config->databases,
        .hash_seed = {clock_real_us(&options->clock), 1}, /* nobody chooses keys against it */
        .random_seed = 1,
        .host = {.wake = wake_nobody, .attend = attend_nobody, .ticks = no_ticks, .tick_ns = 1},
        .registry = options->registry,
        .config = options->config,
        .log = options->log,
        .outbox = none,
        .inbox = none,
        .pending = pending,
    };
    return shard_new(&shard);
}

static enum status make_shards(struct exporting *exporting, struct error *error) {
    for (uint32_t i = 0; i < exporting->parts; i++) {
        assert_set_shard((int)i);
        exporting->shards[i] = make_shard(exporting, i);
        if (!exporting->shards[i]) return error_set(error, ST_NO_MEMORY, 0, "No memory");
        exporting->shards[i]->loading = true;
    }
    return ST_OK;
}

static void drop_shard(struct exporting *exporting, uint32_t i) {
    if (!exporting->shards[i]) return;
    assert_set_shard((int)i);
    if (exporting->recovery) recovery_leave(exporting->recovery, i);
    shard_drop_messages(exporting->shards[i]);
    shard_delete(exporting->shards[i]);
    exporting->shards[i] = NULL;
}

/* --- in how many parts --- */

struct sizes {
    const struct datadir *dir;
    uint64_t bytes;
};

static void add_size(void *ctx, const char *name, struct datadir_name is) {
    struct sizes *sizes = ctx;
    struct stat facts;
    if (is.kind != DATADIR_CHECKPOINT && is.kind != DATADIR_SEGMENT) return;
    if (fstatat(sizes->dir->fd, name, &facts, 0) == 0) sizes->bytes += (uint64_t)facts.st_size;
}

static uint32_t parts_for(const struct export_options *options, const struct datadir *dir) {
    struct sizes sizes = {.dir = dir};
    struct manifest manifest;
    struct error error = {0};
    if (options->parts) return options->parts;
    manifest_init(&manifest);
    if (manifest_load(&manifest, dir, &error) == ST_OK) sizes.bytes = manifest.import.bytes;
    manifest_deinit(&manifest);
    if (datadir_list(dir, add_size, &sizes, &error) != ST_OK) sizes.bytes = 0; /* recovery will say why */
    return (uint32_t)MIN(sizes.bytes / PART_BYTES + 1, (uint64_t)SHARDS_MAX);
}

/* --- loading --- */

static enum status open_recovery(struct exporting *exporting, const struct datadir *dir, struct error *error) {
    const struct export_options *options = exporting->options;
    struct recovery_options how = {.dir = dir,
                                   .threads = exporting->parts,
                                   .damage = options->config->recovery_damage,
                                   .boot = 1,
                                   .only_look = true,
                                   .clock = options->clock,
                                   .log = options->log};
    enum status status = recovery_open(&exporting->recovery, &how, error);
    if (status != ST_OK || recovery_has_data(exporting->recovery)) return status;
    return error_set(error, ST_NOT_FOUND, 0, "%s holds no data of sherd's", options->dir);
}

/* As far as this part can go without the others. */
static enum status load(struct exporting *exporting, uint32_t i, struct error *error) {
    enum recovery_state state;
    assert_set_shard((int)i);
    do state = recovery_slice(exporting->recovery, i, exporting->shards[i], SLICE_NS);
    while (state == RECOVERY_MORE);
    if (state != RECOVERY_FAILED) return ST_OK;
    *error = *recovery_error(exporting->recovery);
    return error->status;
}

/* --- output --- */

static void flush(struct exporting *exporting, size_t keep) {
    struct buf *out = &exporting->out;
    if (buf_readable(out) <= keep) return;
    exporting->crc = crc64(exporting->crc, out->data, out->len);
    exporting->result.bytes += out->len;
    for (size_t done = 0; done < out->len && !exporting->os_errno;) {
        ssize_t n = write(exporting->fd, out->data + done, out->len - done);
        if (n < 0 && errno != EINTR) exporting->os_errno = errno;
        if (n > 0) done += (size_t)n;
    }
    buf_reset(out, 4 * FLUSH_BYTES);
}

/* --- as RDB --- */

static void write_large(struct exporting *exporting, const struct entry *entry, const struct rdb_style *style) {
    struct rdb_writer writer;
    rdb_writer_begin(&writer, entry, style);
    while (rdb_writer_next(&writer, &exporting->out, FLUSH_BYTES)) flush(exporting, FLUSH_BYTES);
    rdb_writer_end(&writer);
}

static void write_key_rdb(void *ctx, struct entry *entry) {
    struct exporting *exporting = ctx;
    struct rdb_style style = {.compress = true};
    if (rdb_is_large(entry))
        write_large(exporting, entry, &style);
    else
        rdb_write_entry(&exporting->out, entry, &style);
    exporting->result.keys++;
    flush(exporting, FLUSH_BYTES);
}

/* --- as AOF --- */

/* What effects have piled up, when it is worth it. */
static void take_effects(struct exporting *exporting, size_t keep) {
    if (buf_readable(&exporting->shard->effects.bytes) <= keep) return;
    struct buf bytes;
    uint32_t db;
    buf_init(&bytes, exporting->shard->heap, MEM_STATS);
    effects_take(&exporting->shard->effects, &bytes, &db);
    buf_append_slice(&exporting->out, buf_slice(&bytes));
    buf_deinit(&bytes);
    flush(exporting, FLUSH_BYTES);
}

static void write_key_aof(void *ctx, struct entry *entry) {
    struct exporting *exporting = ctx;
    struct shard *shard = exporting->shard;
    struct exec x = {.shard = shard,
                     .shared = &shard->shared,
                     .keys = shard_db(shard, exporting->db),
                     .db = (uint16_t)exporting->db};
    effects_open(&shard->effects, 0, 0);
    effect_value(&x, exporting->db, entry);
    effects_close(&shard->effects);
    exporting->result.keys++;
    take_effects(exporting, FLUSH_BYTES);
}

/* --- the whole --- */

static void write_databases(struct exporting *exporting) {
    bool rdb = exporting->options->form == EXPORT_RDB;
    struct shard *shard = exporting->shard;
    for (uint32_t db = 0; db < shard->db_used; db++) {
        struct keyspace *keyspace = shard_db_peek(shard, db);
        if (!keyspace || keyspace_count(keyspace) == 0) continue;
        exporting->db = db;
        if (rdb) rdb_write_database(&exporting->out, db, keyspace_count(keyspace), keyspace_timed_count(keyspace));
        uint64_t cursor = 0;
        do cursor = keyspace_scan(keyspace, cursor, rdb ? write_key_rdb : write_key_aof, exporting);
        while (cursor && !exporting->os_errno);
    }
}

/* Loads what of it is not loaded yet, and writes it. */
static enum status write_part(struct exporting *exporting, uint32_t i, struct error *error) {
    enum status status = load(exporting, i, error);
    if (status != ST_OK) return status;
    struct shard *shard = exporting->shard = exporting->shards[i];
    shard->shared.now_ms = 0;
    shard->effects.on = exporting->options->form == EXPORT_AOF;
    shard->effects.db = UINT32_MAX; /* so that the first key selects its database */
    write_databases(exporting);
    take_effects(exporting, 0);
    shard->effects.on = false;
    drop_shard(exporting, i);
    return ST_OK;
}

static enum status write_parts(struct exporting *exporting, struct error *error) {
    uint32_t last = exporting->parts - 1;
    enum status status = write_part(exporting, last, error); /* the others have arrived */
    for (uint32_t i = 0; i < last && status == ST_OK && !exporting->os_errno; i++)
        status = write_part(exporting, i, error);
    return status;
}

static enum status write_all(struct exporting *exporting, struct error *error) {
    bool rdb = exporting->options->form == EXPORT_RDB;
    if (rdb) {
        rdb_write_header(&exporting->out);
        rdb_write_aux(&exporting->out, SLICE("sherd-ver"), slice_of_cstr(SHERD_VERSION));
    }
    enum status status = write_parts(exporting, error);
    flush(exporting, 0);
    /* The checksum covers the byte before it, which rdb_write_end counts in. */
    if (rdb) rdb_write_end(&exporting->out, exporting->crc);
    flush(exporting, 0);
    return status;
}

static enum status fail(const char *what, const char *path, int os_errno, struct error *error) {
    return error_set(error, ST_IO, os_errno, "Cannot %s %s", what, path);
}

/* Beside its name first. */
static enum status write_file(struct exporting *exporting, struct error *error) {
    const char *path = exporting->options->file;
    char beside[CONFIG_PATH_MAX];
    if ((size_t)snprintf(beside, sizeof beside, "%s.tmp", path) >= sizeof beside)
        return error_set(error, ST_TOO_LARGE, 0, "The name of the file is too long");
    exporting->fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (exporting->fd < 0) return fail("create", beside, errno, error);
    enum status status = write_all(exporting, error);
    if (!exporting->os_errno && fsync(exporting->fd) != 0) exporting->os_errno = errno;
    if (close(exporting->fd) != 0 && !exporting->os_errno) exporting->os_errno = errno;
    if (status == ST_OK && !exporting->os_errno && rename(beside, path) != 0) exporting->os_errno = errno;
    if (status == ST_OK && !exporting->os_errno) return ST_OK;
    unlink(beside);
    return status != ST_OK ? status : fail("write", path, exporting->os_errno, error);
}

/* All parts verify before any of them loads; each shares the work with those that come after it. */
static enum status verify_and_write(struct exporting *exporting, struct error *error) {
    enum status status = ST_OK;
    for (uint32_t i = 0; i + 1 < exporting->parts && status == ST_OK; i++) status = load(exporting, i, error);
    return status == ST_OK ? write_file(exporting, error) : status;
}

static enum status export_open(struct exporting *exporting, const struct datadir *dir, struct error *error) {
    exporting->heap = heap_new();
    if (!exporting->heap) return error_set(error, ST_NO_MEMORY, 0, "No memory");
    exporting->parts = parts_for(exporting->options, dir);
    buf_init(&exporting->out, exporting->heap, MEM_STATS);
    enum status status = open_recovery(exporting, dir, error);
    if (status == ST_OK) status = make_shards(exporting, error);
    if (status == ST_OK) status = verify_and_write(exporting, error);
    for (uint32_t i = 0; i < exporting->parts; i++) drop_shard(exporting, i);
    if (exporting->recovery) recovery_close(exporting->recovery);
    buf_deinit(&exporting->out);
    heap_delete(exporting->heap);
    return status;
}

enum status export_directory(const struct export_options *options, struct export_result *result, struct error *error) {
    struct exporting exporting = {.options = options};
    struct datadir dir;
    struct stat info;
    ASSERT(options->parts <= SHARDS_MAX);
    if (stat(options->dir, &info) != 0 || !S_ISDIR(info.st_mode))
        return error_set(error, ST_NOT_FOUND, 0, "%s is not a directory", options->dir);
    if (access(options->file, F_OK) == 0)
        return error_set(error, ST_EXISTS, 0, "%s is there already: choose another name, or remove it", options->file);
    enum status status = datadir_open(&dir, options->dir, error);
    if (status != ST_OK) return status;
    int before = assert_shard();
    status = export_open(&exporting, &dir, error);
    assert_set_shard(before);
    datadir_close(&dir);
    *result = exporting.result;
    return status;
}
