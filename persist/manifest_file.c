/* The manifest's file: read whole, replaced whole.
 *
 * Replacing: the new text goes to a file beside, which is synced; a rename puts it in place, and syncing the directory
 * makes that durable. A crash at any point leaves the old or the new text, never a mixture. */
#include "core/alloc.h"
#include "persist/manifest.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY DATADIR_MANIFEST DATADIR_TEMPORARY

static enum status fail(const struct datadir *dir, const char *what, const char *name, struct error *error) {
    int os_errno = errno;
    return error_set(error, os_errno == ENOENT ? ST_NOT_FOUND : ST_IO, os_errno, "Cannot %s %s/%s", what, dir->path,
                     name);
}

/* --- load --- */

static bool read_all(int fd, char *out, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t got = read(fd, out + done, len - done);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = EIO; /* it became shorter under our eyes */
        if (got <= 0) return false;
        done += (size_t)got;
    }
    return true;
}

static enum status load_from(int fd, struct manifest *manifest, const struct datadir *dir, struct error *error) {
    struct stat info;
    if (fstat(fd, &info) != 0) return fail(dir, "read", DATADIR_MANIFEST, error);
    if (info.st_size <= 0 || info.st_size > MANIFEST_BYTES_MAX)
        return error_set(error, ST_INVALID, 0, "%s/" DATADIR_MANIFEST " has %lld bytes: it is damaged", dir->path,
                         (long long)info.st_size);
    size_t len = (size_t)info.st_size;
    char *text = shared_alloc(len);
    if (!text) return error_set(error, ST_NO_MEMORY, 0, "No memory to read %s/" DATADIR_MANIFEST, dir->path);
    enum status status = ST_OK;
    if (read_all(fd, text, len)) {
        char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
        datadir_path(dir, DATADIR_MANIFEST, path);
        status = manifest_parse(manifest, slice_of(text, len), path, error);
    } else {
        status = fail(dir, "read", DATADIR_MANIFEST, error);
    }
    shared_free(text);
    return status;
}

enum status manifest_load(struct manifest *manifest, const struct datadir *dir, struct error *error) {
    int fd = openat(dir->fd, DATADIR_MANIFEST, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(dir, "open", DATADIR_MANIFEST, error);
    enum status status = load_from(fd, manifest, dir, error);
    close(fd);
    return status;
}

/* --- save --- */

struct file_writer {
    FILE *file;
    bool failed;
};

static void write_piece(void *ctx, struct slice text) {
    struct file_writer *writer = ctx;
    if (fwrite(text.ptr, 1, text.len, writer->file) != text.len) writer->failed = true;
}

/* Closes the file in any case. */
static bool write_synced(FILE *file, const struct manifest *manifest) {
    struct file_writer writer = {.file = file};
    manifest_write(manifest, write_piece, &writer);
    bool fine = !writer.failed && fflush(file) == 0 && fsync(fileno(file)) == 0;
    int os_errno = errno;
    bool closed = fclose(file) == 0;
    if (!fine) errno = os_errno;
    return fine && closed;
}

enum status manifest_save(const struct manifest *manifest, const struct datadir *dir, struct error *error) {
    int fd = openat(dir->fd, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file) {
        enum status status = fail(dir, "create", TEMPORARY, error);
        if (fd >= 0) close(fd);
        return status == ST_NOT_FOUND ? ST_IO : status;
    }
    if (!write_synced(file, manifest)) return fail(dir, "write", TEMPORARY, error);
    if (renameat(dir->fd, TEMPORARY, dir->fd, DATADIR_MANIFEST) != 0) return fail(dir, "rename", TEMPORARY, error);
    return datadir_sync(dir, error);
}
