/* Config file: reading is plain; rewriting must never leave half a file, whatever fails, because a
 * server that cannot read its configuration does not start again. So the new text goes to a file of
 * its own, is forced to disk, and takes the old one's name in one step. */
#include "net/config_file.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- reading --- */

/* All of fd into pages; ST_TOO_LARGE when it does not fit. The caller unmaps out->ptr when it is
 * not NULL. */
static enum status read_all(int fd, struct slice *out) {
    char *pages = mmap(NULL, CONFIG_FILE_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *out = slice_of(NULL, 0);
    if (pages == MAP_FAILED) return ST_NO_MEMORY;
    out->ptr = pages;
    while (out->len < CONFIG_FILE_BYTES_MAX) {
        ssize_t n = read(fd, pages + out->len, CONFIG_FILE_BYTES_MAX - out->len);
        if (n == 0) return ST_OK;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ST_IO;
        out->len += (size_t)n;
    }
    return ST_TOO_LARGE;
}

static void release(struct slice text) {
    if (text.ptr) munmap((void *)(uintptr_t)text.ptr, CONFIG_FILE_BYTES_MAX);
}

static enum status read_failed(struct error *error, enum status status, int os_errno, const char *path) {
    if (status == ST_TOO_LARGE)
        return error_set(error, status, 0, "configuration file '%.256s' is larger than %d bytes", path,
                         CONFIG_FILE_BYTES_MAX);
    bool is_word = os_errno == ENOENT && !strpbrk(path, "/.");
    return error_set(error, status, os_errno, "can't read configuration file '%.256s'%s", path,
                     is_word ? " (and the commands are check, export and doctor; --help tells more)" : "");
}

static enum status include_files(void *ctx, struct config *config, const char *pattern, int depth, struct error *error);

static enum status read_depth(struct config *config, const char *path, int depth, struct error *error) {
    bool standard_input = strcmp(path, "-") == 0 && depth == 0;
    int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return read_failed(error, errno == ENOENT ? ST_NOT_FOUND : ST_IO, errno, path);
    struct slice text;
    errno = 0;
    enum status status = read_all(fd, &text);
    int os_errno = errno;
    if (!standard_input) close(fd);
    if (status == ST_OK) {
        struct config_source source = {
            .file = standard_input ? "standard input" : path, .depth = depth, .include = include_files};
        status = config_parse_text(config, text, &source, error);
    } else {
        read_failed(error, status, os_errno, path);
    }
    release(text);
    return status;
}

/* In alphabetical order, as glob gives them. A pattern that matches nothing is fine (an empty
 * conf.d), a plain name that is not there is an error. */
static enum status include_files(void *ctx, struct config *config, const char *pattern, int depth,
                                 struct error *error) {
    (void)ctx;
    if (!strpbrk(pattern, "*?[")) return read_depth(config, pattern, depth, error);
    glob_t found;
    enum status status = ST_OK;
    int result = glob(pattern, 0, NULL, &found);
    if (result == GLOB_NOMATCH) return ST_OK;
    if (result != 0) return error_set(error, ST_IO, errno, "can't list included files '%.256s'", pattern);
    for (size_t i = 0; i < found.gl_pathc && status == ST_OK; i++)
        status = read_depth(config, found.gl_pathv[i], depth, error);
    globfree(&found);
    return status;
}

enum status config_file_read(struct config *config, const char *path, struct error *error) {
    return read_depth(config, path, 0, error);
}

enum status config_load(struct config *config, int argc, char *const argv[], enum config_action *action,
                        char path[static CONFIG_PATH_MAX], struct error *error) {
    struct config_arguments arguments;
    config_init(config);
    path[0] = 0;
    enum status status = config_scan_arguments(argc, argv, &arguments, error);
    if (status != ST_OK) return status;
    *action = arguments.action;
    if (arguments.action != CONFIG_RUN) return ST_OK;
    if (arguments.file) status = config_file_read(config, arguments.file, error);
    if (status != ST_OK) return status;
    if (arguments.file && strcmp(arguments.file, "-") != 0 && !realpath(arguments.file, path))
        return read_failed(error, ST_IO, errno, arguments.file);
    return config_parse_arguments(config, argc, argv, arguments.options_begin, error);
}

/* --- rewriting --- */

/* Collects small pieces into large writes; the first failure is kept and the rest is skipped. */
struct writer {
    int fd;
    int os_errno;
    size_t len;
    char bytes[8192];
};

static void writer_flush(struct writer *w) {
    for (size_t done = 0; done < w->len && w->os_errno == 0;) {
        ssize_t n = write(w->fd, w->bytes + done, w->len - done);
        if (n > 0) done += (size_t)n;
        if (n < 0 && errno != EINTR) w->os_errno = errno;
    }
    w->len = 0;
}

static void writer_add(void *ctx, struct slice text) {
    struct writer *w = ctx;
    while (text.len > 0) {
        size_t n = MIN(text.len, sizeof(w->bytes) - w->len);
        memcpy(w->bytes + w->len, text.ptr, n);
        w->len += n;
        text = slice_of(text.ptr + n, text.len - n);
        if (w->len == sizeof(w->bytes)) writer_flush(w);
    }
}

static int sync_directory(const char *path) {
    char dir[CONFIG_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    snprintf(dir, sizeof(dir), "%.*s", len ? (int)len : 1, len ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = fsync(fd);
    close(fd);
    return result;
}

/* The new text, on disk, with the old file's mode and owner. Sets errno when it fails. */
static bool write_new(const struct config *config, struct slice old, const struct stat *like, int fd) {
    struct writer w = {.fd = fd};
    config_rewrite_text(config, old, writer_add, &w);
    writer_flush(&w);
    errno = w.os_errno;
    if (w.os_errno) return false;
    if (like && fchmod(fd, like->st_mode & 07777) != 0) return false;
    if (like && fchown(fd, like->st_uid, like->st_gid) != 0 && errno != EPERM) return false;
    return fsync(fd) == 0;
}

static enum status rewrite_failed(struct error *error, int os_errno, const char *what, const char *path) {
    return error_set(error, ST_IO, os_errno, "Rewriting config file: %s '%.256s'", what, path);
}

static enum status replace(const struct config *config, const char *path, struct slice old, const struct stat *like,
                           struct error *error) {
    char temporary[CONFIG_PATH_MAX];
    int n = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof(temporary)) return rewrite_failed(error, ENAMETOOLONG, "can't name", path);
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600: the file may hold a password */
    if (fd < 0) return rewrite_failed(error, errno, "can't create", temporary);
    bool ok = write_new(config, old, like, fd);
    int os_errno = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        os_errno = errno;
    }
    if (ok && rename(temporary, path) != 0) {
        ok = false;
        os_errno = errno;
    }
    if (!ok) {
        unlink(temporary);
        return rewrite_failed(error, os_errno, "can't write", path);
    }
    if (sync_directory(path) != 0) return rewrite_failed(error, errno, "can't sync the directory of", path);
    return ST_OK;
}

enum status config_file_rewrite(const struct config *config, const char *path, struct error *error) {
    if (path[0] == 0) return error_set(error, ST_NOT_FOUND, 0, "The server is running without a config file");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) return rewrite_failed(error, errno, "can't read", path);
    if (fd < 0) return replace(config, path, SLICE(""), NULL, error);
    struct stat like;
    struct slice old = {NULL, 0};
    errno = 0;
    enum status status = fstat(fd, &like) == 0 ? read_all(fd, &old) : ST_IO;
    int os_errno = errno;
    close(fd);
    if (status == ST_OK)
        status = replace(config, path, old, &like, error);
    else
        read_failed(error, status, os_errno, path);
    release(old);
    return status;
}
