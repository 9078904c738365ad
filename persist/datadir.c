/* The data directory: names, lock, sweeping.
 *
 * The lock is flock's: it belongs to the open file, so it goes when the process goes, however it dies, and a file left
 * behind locks nothing. The process id inside is for the message only. It is written after the lock is taken, so for a
 * moment a second server may read an old one or none. */
#include "persist/datadir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define RESERVE_BYTES (256 * 1024) /* a manifest, and the directory's own needs */

/* --- open and close --- */

static void read_holder(int fd, char out[32]) {
    ssize_t got = pread(fd, out, 31, 0);
    out[MAX(got, 0)] = 0;
    out[strspn(out, "0123456789")] = 0;
}

static enum status refuse_locked(const struct datadir *dir, int os_errno, struct error *error) {
    char holder[32];
    if (os_errno != EWOULDBLOCK) return error_set(error, ST_IO, os_errno, "Cannot lock %s/" DATADIR_LOCK, dir->path);
    read_holder(dir->lock_fd, holder);
    return error_set(error, ST_EXISTS, 0,
                     "The data directory %s is in use by process %s (%s/" DATADIR_LOCK
                     " is locked): stop it, or choose another directory with the option dir",
                     dir->path, holder[0] ? holder : "(unknown)", dir->path);
}

static enum status take_lock(struct datadir *dir, struct error *error) {
    dir->lock_fd = openat(dir->fd, DATADIR_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (dir->lock_fd < 0) return error_set(error, ST_IO, errno, "Cannot create %s/" DATADIR_LOCK, dir->path);
    if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) != 0) return refuse_locked(dir, errno, error);
    char text[32];
    int len = snprintf(text, sizeof text, "%d\n", getpid());
    if (ftruncate(dir->lock_fd, 0) != 0 || pwrite(dir->lock_fd, text, (size_t)len, 0) != len)
        return error_set(error, ST_IO, errno, "Cannot write %s/" DATADIR_LOCK, dir->path);
    return ST_OK;
}

enum status datadir_open(struct datadir *dir, const char *path, struct error *error) {
    *dir = (struct datadir){.fd = -1, .lock_fd = -1};
    if (strlen(path) >= sizeof dir->path)
        return error_set(error, ST_TOO_LARGE, 0, "The path of the data directory is too long");
    strcpy(dir->path, path);
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return error_set(error, ST_IO, errno, "Cannot create the data directory %s", path);
    dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->fd < 0) return error_set(error, ST_IO, errno, "Cannot open the data directory %s", path);
    enum status status = take_lock(dir, error);
    if (status != ST_OK) datadir_close(dir);
    return status;
}

void datadir_close(struct datadir *dir) {
    if (dir->lock_fd >= 0) close(dir->lock_fd);
    if (dir->fd >= 0) close(dir->fd);
    dir->fd = dir->lock_fd = -1;
}

void datadir_keep_reserve(const struct datadir *dir) {
    int fd = openat(dir->fd, DATADIR_RESERVE, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return;
    if (posix_fallocate(fd, 0, RESERVE_BYTES) != 0) unlinkat(dir->fd, DATADIR_RESERVE, 0);
    close(fd);
}

enum status datadir_sync(const struct datadir *dir, struct error *error) {
    if (fsync(dir->fd) == 0) return ST_OK;
    return error_set(error, ST_IO, errno, "Cannot sync the data directory %s", dir->path);
}

/* --- the device --- */

/* A file of one short line about a device; partitions have it at their disk. */
static bool device_says(dev_t device, const char *file, const char *word) {
    static const char *const places[] = {"", "../"};
    char path[96], line[32];
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%squeue/%s", major(device), minor(device), places[i], file);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
        if (fd >= 0) close(fd);
        if (got > 0) return (size_t)got >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
    }
    return false;
}

bool datadir_writes_through(const struct datadir *dir) {
    struct stat facts;
    if (fstat(dir->fd, &facts) < 0) return false;
    return device_says(facts.st_dev, "fua", "1") || device_says(facts.st_dev, "write_cache", "write through");
}

/* --- names --- */

static void write_name(char out[DATADIR_NAME_MAX], uint32_t shard, uint64_t number, const char *ending) {
    snprintf(out, DATADIR_NAME_MAX, "shard-%03" PRIu32 ".%06" PRIu64 ".%s", shard, number, ending);
}

void datadir_checkpoint_name(char out[DATADIR_NAME_MAX], uint32_t shard, uint64_t number) {
    write_name(out, shard, number, "rdb");
}

void datadir_segment_name(char out[DATADIR_NAME_MAX], uint32_t shard, uint64_t number) {
    write_name(out, shard, number, "aof");
}

void datadir_path(const struct datadir *dir, const char *name, char out[CONFIG_PATH_MAX + DATADIR_NAME_MAX]) {
    snprintf(out, CONFIG_PATH_MAX + DATADIR_NAME_MAX, "%s/%s", dir->path, name);
}

static bool take_prefix(struct slice *rest, struct slice prefix) {
    if (rest->len < prefix.len || memcmp(rest->ptr, prefix.ptr, prefix.len) != 0) return false;
    *rest = slice_of(rest->ptr + prefix.len, rest->len - prefix.len);
    return true;
}

/* At most 18 digits, so that it cannot overflow. */
static bool take_digits(struct slice *rest, uint64_t *value) {
    size_t len = 0;
    for (*value = 0; len < rest->len && len < 18 && rest->ptr[len] >= '0' && rest->ptr[len] <= '9'; len++)
        *value = *value * 10 + (uint64_t)(rest->ptr[len] - '0');
    *rest = slice_of(rest->ptr + len, rest->len - len);
    return len > 0;
}

/* shard-003.000018.rdb or .aof, and nothing behind it. */
static struct datadir_name parse_shard_name(struct slice name) {
    struct slice rest = name;
    uint64_t shard, number;
    struct datadir_name is = {.kind = DATADIR_OTHER};
    if (!take_prefix(&rest, SLICE("shard-")) || !take_digits(&rest, &shard) || shard >= SHARDS_MAX) return is;
    if (!take_prefix(&rest, SLICE(".")) || !take_digits(&rest, &number)) return is;
    bool rdb = slice_equal(rest, SLICE(".rdb"));
    if (!rdb && !slice_equal(rest, SLICE(".aof"))) return is;
    char again[DATADIR_NAME_MAX];
    write_name(again, (uint32_t)shard, number, rdb ? "rdb" : "aof");
    if (!slice_equal(slice_of_cstr(again), name)) return is;
    return (struct datadir_name){rdb ? DATADIR_CHECKPOINT : DATADIR_SEGMENT, (uint32_t)shard, number};
}

struct datadir_name datadir_parse_name(struct slice name) {
    struct slice ending = SLICE(DATADIR_TEMPORARY);
    struct datadir_name is = parse_shard_name(name);
    if (is.kind != DATADIR_OTHER || name.len <= ending.len) return is;
    struct slice stem = slice_of(name.ptr, name.len - ending.len);
    if (!slice_equal(slice_of(name.ptr + stem.len, ending.len), ending)) return is;
    if (slice_equal(stem, SLICE(DATADIR_MANIFEST)) || parse_shard_name(stem).kind != DATADIR_OTHER)
        is.kind = DATADIR_TEMPORARY_FILE;
    return is;
}

/* --- the files --- */

enum status datadir_list(const struct datadir *dir, datadir_visit *visit, void *ctx, struct error *error) {
    /* A descriptor of its own: reading moves the position of an open directory. */
    int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries) {
        int os_errno = errno;
        if (fd >= 0) close(fd);
        return error_set(error, ST_IO, os_errno, "Cannot read the data directory %s", dir->path);
    }
    struct dirent *entry;
    for (errno = 0; (entry = readdir(entries)) != NULL; errno = 0)
        visit(ctx, entry->d_name, datadir_parse_name(slice_of_cstr(entry->d_name)));
    int os_errno = errno;
    closedir(entries);
    if (os_errno == 0) return ST_OK;
    return error_set(error, ST_IO, os_errno, "Cannot read the data directory %s", dir->path);
}

struct sweep {
    const struct datadir *dir;
    datadir_keep *keep;
    void *ctx;
    uint64_t removed;
    enum status status;
    struct error *error;
};

static void sweep_one(void *ctx, const char *name, struct datadir_name is) {
    struct sweep *sweep = ctx;
    if (is.kind == DATADIR_OTHER || sweep->keep(sweep->ctx, is)) return;
    if (unlinkat(sweep->dir->fd, name, 0) == 0) {
        sweep->removed++;
    } else if (errno != ENOENT) {
        sweep->status = error_set(sweep->error, ST_IO, errno, "Cannot remove %s/%s", sweep->dir->path, name);
    }
}

enum status datadir_sweep(const struct datadir *dir, datadir_keep *keep, void *ctx, uint64_t *removed,
                          struct error *error) {
    struct sweep sweep = {.dir = dir, .keep = keep, .ctx = ctx, .status = ST_OK, .error = error};
    enum status status = datadir_list(dir, sweep_one, &sweep, error);
    *removed = sweep.removed;
    return status == ST_OK ? sweep.status : status;
}
