/* Exporting: recover into a shard that has no clients, write what it holds.
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

#define FLUSH_BYTES (1u << 20) /* of output kept before it is written */
#define SLICE_NS    100000000ull

struct exporting {
    const struct export_options *options;
    struct shard *shard;
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

static struct shard *make_shard(const struct export_options *options) {
    struct mailbox *none[1] = {NULL};
    _Atomic uint64_t *pending[1] = {NULL};
    struct shard_options shard = {
        .count = 1,
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

static enum status load(struct exporting *exporting, const struct datadir *dir, struct error *error) {
    const struct export_options *options = exporting->options;
    struct recovery *recovery;
    struct recovery_options how = {.dir = dir,
                                   .threads = 1,
                                   .damage = options->config->recovery_damage,
                                   .boot = 1,
                                   .only_look = true,
                                   .clock = options->clock,
                                   .log = options->log};
    enum status status = recovery_open(&recovery, &how, error);
    if (status != ST_OK) return status;
    if (!recovery_has_data(recovery)) {
        recovery_close(recovery);
        return error_set(error, ST_NOT_FOUND, 0, "%s holds no data of sherd's", options->dir);
    }
    enum recovery_state state;
    exporting->shard->loading = true;
    do state = recovery_slice(recovery, 0, exporting->shard, SLICE_NS);
    while (state == RECOVERY_MORE || state == RECOVERY_WAITING);
    if (state == RECOVERY_FAILED) {
        *error = *recovery_error(recovery);
        status = error->status;
    }
    recovery_close(recovery);
    return status;
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

static void write_all(struct exporting *exporting) {
    struct shard *shard = exporting->shard;
    shard->shared.now_ms = 0;
    if (exporting->options->form == EXPORT_RDB) {
        rdb_write_header(&exporting->out);
        rdb_write_aux(&exporting->out, SLICE("sherd-ver"), slice_of_cstr(SHERD_VERSION));
        write_databases(exporting);
        flush(exporting, 0);
        /* The checksum covers the byte before it, which rdb_write_end counts in. */
        rdb_write_end(&exporting->out, exporting->crc);
    } else {
        shard->effects.on = true;
        shard->effects.db = UINT32_MAX; /* so that the first key selects its database */
        write_databases(exporting);
        take_effects(exporting, 0);
        shard->effects.on = false;
    }
    flush(exporting, 0);
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
    write_all(exporting);
    if (!exporting->os_errno && fsync(exporting->fd) != 0) exporting->os_errno = errno;
    if (close(exporting->fd) != 0 && !exporting->os_errno) exporting->os_errno = errno;
    if (!exporting->os_errno && rename(beside, path) != 0) exporting->os_errno = errno;
    if (!exporting->os_errno) return ST_OK;
    unlink(beside);
    return fail("write", path, exporting->os_errno, error);
}

static enum status export_open(struct exporting *exporting, const struct datadir *dir, struct error *error) {
    exporting->shard = make_shard(exporting->options);
    if (!exporting->shard) return error_set(error, ST_NO_MEMORY, 0, "No memory");
    int before = assert_shard();
    assert_set_shard(0);
    buf_init(&exporting->out, exporting->shard->heap, MEM_STATS);
    enum status status = load(exporting, dir, error);
    if (status == ST_OK) status = write_file(exporting, error);
    buf_deinit(&exporting->out);
    shard_drop_messages(exporting->shard);
    shard_delete(exporting->shard);
    assert_set_shard(before);
    return status;
}

enum status export_directory(const struct export_options *options, struct export_result *result, struct error *error) {
    struct exporting exporting = {.options = options};
    struct datadir dir;
    struct stat info;
    if (stat(options->dir, &info) != 0 || !S_ISDIR(info.st_mode))
        return error_set(error, ST_NOT_FOUND, 0, "%s is not a directory", options->dir);
    if (access(options->file, F_OK) == 0)
        return error_set(error, ST_EXISTS, 0, "%s is there already: choose another name, or remove it", options->file);
    enum status status = datadir_open(&dir, options->dir, error);
    if (status != ST_OK) return status;
    status = export_open(&exporting, &dir, error);
    datadir_close(&dir);
    *result = exporting.result;
    return status;
}
