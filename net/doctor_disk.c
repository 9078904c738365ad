/* The disk as the doctor sees it: whose it is, how much is free, and how quickly it keeps what it is given.
 *
 * Two measurements with one file of our own. A stretch of some MiB with one sync at its end: what the log and snapshots
 * can reach. And single pages over what is there by then, each durable before the next (O_DIRECT and RWF_DSYNC): what
 * `appendfsync always` waits for, as the journal writes. Both stop early on a disk that crawls. */
#include "core/clock.h"
#include "net/doctor.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PAGE         4096u
#define PAGES        64u
#define STRETCH      (32u << 20)
#define PIECE        (1u << 20)
#define PATIENCE_NS  20000000000ull
#define SLOW_WAIT_NS 10000000ull /* a durable page from here on is slow */
#define SLOW_RATE    (50ull << 20)
#define NFS_MAGIC    0x6969
#define XFS_MAGIC    0x58465342

struct trial {
    struct clock clock;
    char *bytes; /* PIECE of them, aligned to a page */
    int fd;
    bool direct;
};

/* --- whose --- */

static const char *filesystem_name(long type) {
    static const struct {
        long type;
        const char *name;
    } known[] = {{EXT4_SUPER_MAGIC, "ext4"},      {XFS_MAGIC, "xfs"},         {BTRFS_SUPER_MAGIC, "btrfs"},
                 {TMPFS_MAGIC, "tmpfs"},          {NFS_MAGIC, "NFS"},         {OVERLAYFS_SUPER_MAGIC, "overlay"},
                 {F2FS_SUPER_MAGIC, "f2fs"},      {FUSE_SUPER_MAGIC, "FUSE"}, {RAMFS_MAGIC, "ramfs"},
                 {REISERFS_SUPER_MAGIC, "reiser"}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].type == type) return known[i].name;
    return "a filesystem of a kind not known here";
}

static void look_at_filesystem(struct doctor *doctor, const char *dir, const struct statfs *facts) {
    const char *name = filesystem_name((long)facts->f_type);
    if (facts->f_type == TMPFS_MAGIC || facts->f_type == RAMFS_MAGIC)
        doctor_say(doctor, DOCTOR_WARN,
                   "disk: %s is %s, which is memory: it counts against the same limit, and is empty after a restart of "
                   "the machine. Choose another --dir",
                   dir, name);
    else if (facts->f_type == NFS_MAGIC)
        doctor_say(doctor, DOCTOR_WARN,
                   "disk: %s is on NFS, where a lost network looks like a slow disk, and locks may not hold. A local "
                   "disk is better",
                   dir);
    else
        doctor_say(doctor, DOCTOR_OK, "disk: %s is on %s", dir, name);
}

/* What stays after a full overwrite: the snapshot, the one that replaces it, and the log in between. */
static void look_at_space(struct doctor *doctor, const struct statfs *facts, uint64_t memory) {
    uint64_t available = (uint64_t)facts->f_bavail * (uint64_t)facts->f_bsize;
    uint64_t total = (uint64_t)facts->f_blocks * (uint64_t)facts->f_bsize;
    uint64_t need = memory / 10 * 22;
    unsigned long long available_mib = available >> 20, need_mib = need >> 20, total_mib = total >> 20;
    if (total < need)
        doctor_say(doctor, DOCTOR_WARN,
                   "space: %llu MiB in all, but data of the size of maxmemory (%llu MiB) take up to %llu MiB on the "
                   "disk. Long before that, writes would be refused: use a larger disk, or a smaller --maxmemory",
                   total_mib, (unsigned long long)memory >> 20, need_mib);
    else if (available < need)
        doctor_say(doctor, DOCTOR_WARN,
                   "space: %llu MiB free; data of the size of maxmemory take up to %llu MiB, should it come to that",
                   available_mib, need_mib);
    else
        doctor_say(doctor, DOCTOR_OK, "space: %llu MiB free, of which the largest data need %llu MiB", available_mib,
                   need_mib);
}

/* --- how quick --- */

static bool open_trial(struct trial *trial, const char *dir) {
    char path[CONFIG_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/sherd.doctor-XXXXXX", dir);
    trial->fd = mkstemp(path);
    if (trial->fd < 0) return false;
    unlink(path); /* it goes when we do */
    trial->direct = fcntl(trial->fd, F_SETFL, O_DIRECT) == 0;
    return true;
}

static bool write_piece(const struct trial *trial, size_t len, uint64_t offset, int flags) {
    struct iovec piece = {trial->bytes, len};
    return pwritev2(trial->fd, &piece, 1, (off_t)offset, flags) == (ssize_t)len;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void look_at_waits(struct doctor *doctor, const struct trial *trial) {
    uint64_t took[PAGES], begun = clock_mono_ns(&trial->clock), before = begun;
    unsigned count = 0;
    while (count < PAGES && before - begun < PATIENCE_NS) {
        if (!write_piece(trial, PAGE, (uint64_t)count * PAGE, RWF_DSYNC)) break;
        uint64_t now = clock_mono_ns(&trial->clock);
        took[count++] = now - before;
        before = now;
    }
    if (count == 0) {
        doctor_say(doctor, DOCTOR_BAD, "durable writes: refused: %s", strerrordesc_np(errno));
        return;
    }
    qsort(took, count, sizeof *took, by_value);
    double middle_ms = (double)took[count / 2] / 1e6, worst_ms = (double)took[count - 1] / 1e6;
    bool matters = doctor->config->appendonly && doctor->config->appendfsync == APPENDFSYNC_ALWAYS;
    if (took[count / 2] > SLOW_WAIT_NS)
        doctor_say(doctor, matters ? DOCTOR_WARN : DOCTOR_OK,
                   "durable writes: %.2f ms each, %.2f ms at worst; with appendfsync always each write waits as long",
                   middle_ms, worst_ms);
    else
        doctor_say(doctor, DOCTOR_OK, "durable writes: %.3f ms each, %.3f ms at worst%s", middle_ms, worst_ms,
                   trial->direct ? "" : " (through the page cache: this filesystem refuses O_DIRECT)");
}

static void look_at_rate(struct doctor *doctor, const struct trial *trial) {
    uint64_t begun = clock_mono_ns(&trial->clock), done = 0, now = begun;
    while (done < STRETCH && now - begun < PATIENCE_NS && write_piece(trial, PIECE, done, 0)) {
        done += PIECE;
        now = clock_mono_ns(&trial->clock);
    }
    if (done == 0 || fdatasync(trial->fd) != 0) {
        doctor_say(doctor, DOCTOR_BAD, "rate: the disk did not take %u MiB: %s", STRETCH >> 20, strerrordesc_np(errno));
        return;
    }
    uint64_t took = clock_mono_ns(&trial->clock) - begun;
    uint64_t rate = (uint64_t)((double)done * 1e9 / (double)MAX(took, 1ull));
    if (rate < SLOW_RATE)
        doctor_say(doctor, doctor->config->appendonly ? DOCTOR_WARN : DOCTOR_OK,
                   "rate: %llu MiB/s; clients that write more than that are slowed down to it (option max-staleness)",
                   (unsigned long long)rate >> 20);
    else
        doctor_say(doctor, DOCTOR_OK, "rate: %llu MiB/s", (unsigned long long)rate >> 20);
}

static void try_it(struct doctor *doctor, const char *dir) {
    struct trial trial = {.clock = clock_system(), .bytes = aligned_alloc(PAGE, PIECE)};
    if (!trial.bytes) return;
    memset(trial.bytes, 'x', PIECE);
    if (open_trial(&trial, dir)) {
        look_at_rate(doctor, &trial);
        look_at_waits(doctor, &trial);
        close(trial.fd);
    } else {
        doctor_say(doctor, DOCTOR_BAD, "disk: nothing can be written to %s: %s", dir, strerrordesc_np(errno));
    }
    free(trial.bytes);
}

void doctor_look_at_disk(struct doctor *doctor, uint64_t memory) {
    const struct config *config = doctor->config;
    struct statfs facts;
    if (!config->appendonly && config->save.count == 0) {
        doctor_say(doctor, DOCTOR_OK, "disk: not used (appendonly no, save '')");
        return;
    }
    if (statfs(config->dir, &facts) != 0) {
        doctor_say(doctor, DOCTOR_BAD, "disk: %s: %s (option dir)", config->dir, strerrordesc_np(errno));
        return;
    }
    look_at_filesystem(doctor, config->dir, &facts);
    look_at_space(doctor, &facts, memory);
    try_it(doctor, config->dir);
}
