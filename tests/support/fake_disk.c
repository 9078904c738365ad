/* A file's durable state is kept in memory, and the writes that no sync covers as a list, each with a flag per sector
 * that says whether it still counts: a durable write over the same sectors takes it away. What programs see is kept
 * too: after each job the files are compared with it, and where they differ, the job has cut them or written and synced
 * them. */
#include "tests/support/fake_disk.h"
#include "core/assert.h"
#include "core/crc.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR ((size_t)512)

struct image {
    char *bytes;
    size_t size, cap;
};

struct loose { /* written, not synced */
    struct loose *next;
    uint64_t offset;
    size_t len;
    char *bytes;
    bool *counts; /* per sector */
    uint64_t order;
};

struct file {
    struct file *next;
    ino_t inode;
    int fd;                     /* our own, through the cache */
    struct image durable, seen; /* seen: by programs */
    struct loose *loose, **loose_end;
};

struct operation {
    struct operation *next;
    enum fake_kind kind;
    struct file *file;
    const char *bytes;
    char *into; /* of a read */
    size_t len;
    uint64_t offset, order;
    uint32_t crc;
    bool durable;
    disk_work work;
    disk_done done;
    void *owner;
};

struct fake_disk {
    char dir[256];
    struct prng prng;
    struct file *files;
    struct operation *first, **end;
    uint32_t count;
    uint64_t order;
    unsigned fail_kinds, fail_permille;
    int fail_error;
};

static void *must(void *block) {
    ASSERT(block);
    return block;
}

/* --- images --- */

static void image_put(struct image *image, uint64_t offset, const char *bytes, size_t len) {
    if (offset + len > image->size) {
        if (offset + len > image->cap) {
            image->cap = 2 * (offset + len);
            image->bytes = must(realloc(image->bytes, image->cap));
        }
        memset(image->bytes + image->size, 0, offset + len - image->size);
        image->size = offset + len;
    }
    memcpy(image->bytes + offset, bytes, len);
}

static struct image image_read(int fd) {
    struct stat facts;
    ASSERT(fstat(fd, &facts) == 0);
    size_t size = (size_t)facts.st_size;
    struct image image = {must(malloc(size + 1)), size, size + 1};
    for (size_t at = 0; at < image.size;) {
        ssize_t n = pread(fd, image.bytes + at, image.size - at, (off_t)at);
        ASSERT(n > 0);
        at += (size_t)n;
    }
    return image;
}

static struct image image_copy(const struct image *from) {
    struct image image = {must(malloc(from->size + 1)), from->size, from->size + 1};
    if (from->size) memcpy(image.bytes, from->bytes, from->size);
    return image;
}

static void write_all(int fd, uint64_t offset, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = pwrite(fd, bytes, len, (off_t)offset);
        ASSERT(n > 0);
        offset += (uint64_t)n;
        bytes += n;
        len -= (size_t)n;
    }
}

/* --- what is loose --- */

static size_t sectors_of(size_t len) {
    return (len + SECTOR - 1) / SECTOR;
}

static void loose_free(struct loose *loose) {
    free(loose->bytes);
    free(loose->counts);
    free(loose);
}

static void loose_forget_all(struct file *file) {
    for (struct loose *next, *loose = file->loose; loose; loose = next) {
        next = loose->next;
        loose_free(loose);
    }
    file->loose = NULL;
    file->loose_end = &file->loose;
}

static void loose_add(struct fake_disk *disk, struct file *file, uint64_t offset, const char *bytes, size_t len) {
    struct loose *loose = must(calloc(1, sizeof *loose));
    *loose = (struct loose){.offset = offset, .len = len, .order = disk->order++};
    loose->bytes = must(malloc(len));
    memcpy(loose->bytes, bytes, len);
    loose->counts = must(malloc(sectors_of(len)));
    memset(loose->counts, true, sectors_of(len));
    *file->loose_end = loose;
    file->loose_end = &loose->next;
}

/* The sectors [offset, offset + len) are settled: what was loose there counts no more. */
static void loose_settle(struct file *file, uint64_t offset, size_t len) {
    for (struct loose *loose = file->loose; loose; loose = loose->next)
        for (size_t i = 0; i < sectors_of(loose->len); i++) {
            uint64_t at = loose->offset + i * SECTOR;
            if (at + SECTOR > offset && at < offset + len) loose->counts[i] = false;
        }
}

/* Puts sectors into the image, each with this probability. */
static void put_sectors(struct fake_disk *disk, struct image *image, uint64_t offset, const char *bytes, size_t len,
                        const bool *counts, uint64_t permille) {
    for (size_t i = 0; i < sectors_of(len); i++) {
        size_t at = i * SECTOR;
        if (counts && !counts[i]) continue;
        if (prng_below(&disk->prng, 1000) < permille) image_put(image, offset + at, bytes + at, MIN(SECTOR, len - at));
    }
}

/* --- files --- */

static struct file *file_of(struct fake_disk *disk, int fd) {
    struct stat facts;
    ASSERT(fstat(fd, &facts) == 0);
    for (struct file *file = disk->files; file; file = file->next)
        if (file->inode == facts.st_ino) return file;
    struct file *file = must(calloc(1, sizeof *file));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    *file = (struct file){.next = disk->files, .inode = facts.st_ino, .fd = open(path, O_RDWR | O_CLOEXEC)};
    ASSERT(file->fd >= 0);
    file->durable = image_read(file->fd);
    file->seen = image_copy(&file->durable);
    file->loose_end = &file->loose;
    disk->files = file;
    return file;
}

static void file_free(struct file *file) {
    loose_forget_all(file);
    free(file->durable.bytes);
    free(file->seen.bytes);
    close(file->fd);
    free(file);
}

static bool in_use(const struct fake_disk *disk, const struct file *file) {
    for (const struct operation *o = disk->first; o; o = o->next)
        if (o->file == file) return true;
    return false;
}

/* Cut at size, durably. */
static void cut(struct file *file, size_t size) {
    file->durable.size = MIN(file->durable.size, size);
    file->seen.size = size;
    for (struct loose *loose = file->loose; loose; loose = loose->next)
        loose->len = loose->offset >= size ? 0 : MIN(loose->len, size - (size_t)loose->offset);
}

/* Does the file begin with all of its bytes as they were seen last? */
static bool is_as_seen(const struct file *file, size_t size) {
    char part[16384];
    for (size_t at = 0, len; at < size; at += len) {
        len = MIN(sizeof part, size - at);
        ASSERT(pread(file->fd, part, len, (off_t)at) == (ssize_t)len);
        if (memcmp(part, file->seen.bytes + at, len) != 0) return false;
    }
    return true;
}

/* What a job may have done to it. */
static void look_at(struct file *file, size_t size) {
    if (size <= file->seen.size && is_as_seen(file, size)) {
        if (size < file->seen.size) cut(file, size);
        return;
    }
    loose_forget_all(file);
    free(file->durable.bytes);
    free(file->seen.bytes);
    file->durable = image_read(file->fd);
    file->seen = image_copy(&file->durable);
}

static void look_after_job(struct fake_disk *disk) {
    for (struct file **at = &disk->files, *file; (file = *at);) {
        struct stat facts;
        ASSERT(fstat(file->fd, &facts) == 0);
        if (facts.st_nlink == 0 && !in_use(disk, file)) {
            *at = file->next;
            file_free(file);
            continue;
        }
        at = &file->next;
        look_at(file, (size_t)facts.st_size);
    }
}

/* --- the port --- */

static struct operation *add(struct fake_disk *disk, enum fake_kind kind, disk_done done, void *owner) {
    struct operation *o = must(calloc(1, sizeof *o));
    *o = (struct operation){.kind = kind, .done = done, .owner = owner, .order = disk->order++};
    *disk->end = o;
    disk->end = &o->next;
    disk->count++;
    return o;
}

static void check_write(const struct fake_disk *disk, int fd, const struct file *file, const void *bytes, size_t len,
                        uint64_t offset) {
    if (fcntl(fd, F_GETFL) & O_DIRECT) ASSERT((uintptr_t)bytes % 4096 == 0 && len % 4096 == 0 && offset % 4096 == 0);
    ASSERT(len > 0);
    for (const struct operation *o = disk->first; o; o = o->next) {
        if (o->kind != FAKE_WRITE || o->file != file) continue;
        ASSERT(o->offset / SECTOR >= (offset + len + SECTOR - 1) / SECTOR ||
               offset / SECTOR >= (o->offset + o->len + SECTOR - 1) / SECTOR);
    }
}

static void port_write(void *ctx, int fd, const void *bytes, size_t len, uint64_t offset, bool durable, disk_done done,
                       void *owner) {
    struct fake_disk *disk = ctx;
    struct file *file = file_of(disk, fd);
    check_write(disk, fd, file, bytes, len, offset);
    struct operation *o = add(disk, FAKE_WRITE, done, owner);
    o->file = file;
    o->bytes = bytes;
    o->len = len;
    o->offset = offset;
    o->durable = durable;
    o->crc = crc32c(0, bytes, len);
}

static void port_read(void *ctx, int fd, void *bytes, size_t len, uint64_t offset, disk_done done, void *owner) {
    struct fake_disk *disk = ctx;
    struct file *file = file_of(disk, fd);
    if (fcntl(fd, F_GETFL) & O_DIRECT) ASSERT((uintptr_t)bytes % 4096 == 0 && len % 4096 == 0 && offset % 4096 == 0);
    struct operation *o = add(disk, FAKE_READ, done, owner);
    o->file = file;
    o->into = bytes;
    o->len = len;
    o->offset = offset;
}

static void port_sync(void *ctx, int fd, disk_done done, void *owner) {
    struct fake_disk *disk = ctx;
    struct file *file = file_of(disk, fd);
    add(disk, FAKE_SYNC, done, owner)->file = file;
}

static void port_job(void *ctx, disk_work work, void *job, disk_done done) {
    add(ctx, FAKE_JOB, done, job)->work = work;
}

struct disk fake_disk_port(struct fake_disk *disk) {
    return (struct disk){.ctx = disk, .write = port_write, .read = port_read, .sync = port_sync, .job = port_job};
}

/* --- completion --- */

static bool fails(struct fake_disk *disk, const struct operation *o) {
    return (disk->fail_kinds & o->kind) && prng_below(&disk->prng, 1000) < disk->fail_permille;
}

static void write_seen(struct file *file, uint64_t offset, const char *bytes, size_t len) {
    write_all(file->fd, offset, bytes, len);
    image_put(&file->seen, offset, bytes, len);
}

/* Any sectors of it, as the cache may have them when a write fails. */
static void write_some(struct fake_disk *disk, const struct operation *o) {
    for (size_t i = 0; i < sectors_of(o->len); i++) {
        size_t at = i * SECTOR, len = MIN(SECTOR, o->len - at);
        if (prng_below(&disk->prng, 2)) continue;
        write_seen(o->file, o->offset + at, o->bytes + at, len);
        loose_add(disk, o->file, o->offset + at, o->bytes + at, len);
    }
}

static int64_t complete_write(struct fake_disk *disk, const struct operation *o) {
    ASSERT(o->crc == crc32c(0, o->bytes, o->len));
    if (fails(disk, o)) {
        write_some(disk, o);
        return -disk->fail_error;
    }
    write_seen(o->file, o->offset, o->bytes, o->len);
    if (o->durable) {
        loose_settle(o->file, o->offset, o->len);
        image_put(&o->file->durable, o->offset, o->bytes, o->len);
    } else {
        loose_add(disk, o->file, o->offset, o->bytes, o->len);
    }
    return (int64_t)o->len;
}

static int64_t complete_read(struct fake_disk *disk, const struct operation *o) {
    if (fails(disk, o)) return -disk->fail_error;
    size_t size = o->file->seen.size, len = o->offset < size ? MIN(o->len, size - (size_t)o->offset) : 0;
    if (len > 0) memcpy(o->into, o->file->seen.bytes + o->offset, len);
    return (int64_t)len;
}

/* Settles what was loose when the sync was asked for; on failure only some of it, and the rest will never be. */
static int64_t complete_sync(struct fake_disk *disk, const struct operation *o) {
    bool failed = fails(disk, o);
    struct file *file = o->file;
    struct loose **at = &file->loose;
    while (*at && (*at)->order < o->order) {
        struct loose *loose = *at;
        put_sectors(disk, &file->durable, loose->offset, loose->bytes, loose->len, loose->counts, failed ? 500 : 1000);
        *at = loose->next;
        loose_free(loose);
    }
    if (!file->loose) file->loose_end = &file->loose;
    return failed ? -disk->fail_error : 0;
}

static int64_t complete_job(struct fake_disk *disk, const struct operation *o) {
    if (fails(disk, o)) return -disk->fail_error;
    int result = o->work(o->owner);
    look_after_job(disk);
    return result;
}

/* The i-th operation; of jobs only the oldest may be. */
static struct operation *take(struct fake_disk *disk, uint64_t i) {
    struct operation **at = &disk->first;
    while (i-- > 0) at = &(*at)->next;
    if ((*at)->kind == FAKE_JOB)
        for (at = &disk->first; (*at)->kind != FAKE_JOB;) at = &(*at)->next;
    struct operation *o = *at;
    *at = o->next;
    if (!o->next) disk->end = at;
    disk->count--;
    return o;
}

bool fake_disk_step(struct fake_disk *disk) {
    if (disk->count == 0) return false;
    struct operation *o = take(disk, prng_below(&disk->prng, disk->count));
    int64_t result;
    switch (o->kind) {
    case FAKE_WRITE: result = complete_write(disk, o); break;
    case FAKE_READ: result = complete_read(disk, o); break;
    case FAKE_SYNC: result = complete_sync(disk, o); break;
    default: result = complete_job(disk, o); break;
    }
    o->done(o->owner, result);
    free(o);
    return true;
}

void fake_disk_fail(struct fake_disk *disk, unsigned kinds, int error, unsigned permille) {
    disk->fail_kinds = kinds;
    disk->fail_error = error;
    disk->fail_permille = permille;
}

/* --- crashes --- */

static struct image image_after_crash(struct fake_disk *disk, const struct file *file) {
    struct image image = image_copy(&file->durable);
    uint64_t permille = prng_below(&disk->prng, 4) * 333; /* all lost, and more or less so */
    for (const struct loose *loose = file->loose; loose; loose = loose->next)
        put_sectors(disk, &image, loose->offset, loose->bytes, loose->len, loose->counts, permille);
    for (const struct operation *o = disk->first; o; o = o->next)
        if (o->kind == FAKE_WRITE && o->file == file)
            put_sectors(disk, &image, o->offset, o->bytes, o->len, NULL, permille);
    return image;
}

static void save(const char *dir, const char *name, const struct image *image) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ASSERT(fd >= 0);
    write_all(fd, 0, image->bytes, image->size);
    close(fd);
}

static void crash_one(struct fake_disk *disk, const char *name, const char *to) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", disk->dir, name);
    struct stat facts;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ASSERT(fd >= 0 && fstat(fd, &facts) == 0);
    if (S_ISREG(facts.st_mode)) {
        const struct file *file = disk->files;
        while (file && file->inode != facts.st_ino) file = file->next;
        struct image image = file ? image_after_crash(disk, file) : image_read(fd);
        save(to, name, &image);
        free(image.bytes);
    }
    close(fd);
}

void fake_disk_crash(struct fake_disk *disk, const char *to) {
    DIR *dir = must(opendir(disk->dir));
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') crash_one(disk, entry->d_name, to);
    closedir(dir);
}

/* --- life --- */

struct fake_disk *fake_disk_new(const char *dir, uint64_t seed) {
    struct fake_disk *disk = must(calloc(1, sizeof *disk));
    snprintf(disk->dir, sizeof disk->dir, "%s", dir);
    prng_init(&disk->prng, seed);
    disk->end = &disk->first;
    return disk;
}

void fake_disk_delete(struct fake_disk *disk) {
    ASSERT(disk->count == 0);
    while (disk->files) {
        struct file *file = disk->files;
        disk->files = file->next;
        file_free(file);
    }
    free(disk);
}
