/* powerfs: a filesystem for tests, whose power can be cut.
 *
 *     powerfs DIR [SEED]      mounts itself at DIR, says "ready", and does what standard input says
 *                             (tests/support/powerfs/control.h) until that ends; then it unmounts itself
 *
 * kill -9 ends a server and leaves what it wrote: the page cache is the kernel's. When the power goes, only what was
 * synced is sure to be there. This filesystem keeps the two apart, and it is as pessimistic as one may be that keeps
 * the promises of POSIX and Linux:
 *
 *     bytes   durable when fsync, fdatasync or a write with O_DSYNC, O_SYNC or RWF_DSYNC has ended; not by O_DIRECT
 *     alone,
 *             since disks have caches. Of all others any sectors may be left (tests/support/powerfs/image.h).
 *     names   durable when their directory was synced, and not with the file (tests/support/powerfs/names.h).
 *
 * All is in memory and in one mount: what is left after the cut is what the next server finds. Files are opened for
 * direct I/O, so each read and write comes here as it was asked for, the flag of a durable one included, and the kernel
 * keeps nothing; mapping a file to share it does not work. Names and attributes are asked for each time.
 *
 * One lock guards everything, and answers are sent under it: when "cut" has been answered, nobody is told any more that
 * something is durable. Whoever has to wait gives the lock back meanwhile. */
#define FUSE_USE_VERSION 312
#include "core/assert.h"
#include "tests/support/powerfs/control.h"
#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 64
#define BLOCK_BYTES 4096
#define NO_LIMIT    ((uint64_t)1 << 40) /* of space, to whoever asks */
#define EXIT_SKIP   77

struct handle { /* an open file or directory */
    struct node *node;
    uint32_t life;
    bool is_durable; /* O_DSYNC */
    char *list;      /* of a directory: its entries, as they were when it was opened */
    size_t list_len;
};

static struct medium *medium_of(fuse_req_t req) {
    return fuse_req_userdata(req);
}

static struct node *node_of(struct medium *medium, fuse_ino_t number) {
    return number == FUSE_ROOT_ID ? medium->names.root : (struct node *)(uintptr_t)number;
}

static fuse_ino_t number_of(const struct medium *medium, const struct node *node) {
    return node == medium->names.root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;
}

static struct handle *handle_of(const struct fuse_file_info *info) {
    return (struct handle *)(uintptr_t)info->fh;
}

/* Takes the lock, and waits while the power is cut. NULL: it is off, and that was the answer. */
static struct medium *enter(fuse_req_t req, const struct handle *handle) {
    struct medium *medium = medium_of(req);
    pthread_mutex_lock(&medium->faults.lock);
    if (faults_begin(&medium->faults, handle ? handle->life : medium->faults.life)) return medium;
    fuse_reply_err(req, EIO);
    pthread_mutex_unlock(&medium->faults.lock);
    return NULL;
}

static void leave(struct medium *medium) {
    pthread_mutex_unlock(&medium->faults.lock);
}

/* --- attributes --- */

static struct stat facts_of(const struct medium *medium, const struct node *node) {
    uint64_t size = node->image.size;
    return (struct stat){.st_ino = number_of(medium, node),
                         .st_mode = (node->is_directory ? S_IFDIR : S_IFREG) | node->mode,
                         .st_nlink = node->is_directory ? 2 : 1,
                         .st_uid = getuid(),
                         .st_gid = getgid(),
                         .st_size = (off_t)size,
                         .st_blksize = BLOCK_BYTES,
                         .st_blocks = (blkcnt_t)((size + SECTOR - 1) / SECTOR),
                         .st_mtim = {.tv_sec = node->changed},
                         .st_ctim = {.tv_sec = node->changed},
                         .st_atim = {.tv_sec = node->changed}};
}

/* The kernel holds what it was told of. */
static struct fuse_entry_param told(const struct medium *medium, struct node *node) {
    node_hold(node);
    return (struct fuse_entry_param){.ino = number_of(medium, node), .attr = facts_of(medium, node)};
}

static uint64_t room(const struct medium *medium) {
    uint64_t used = names_bytes(&medium->names), space = medium->space ? medium->space : NO_LIMIT;
    return space > used ? space - used : 0;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name) {
    struct medium *medium = enter(req, NULL);
    if (!medium) return;
    struct node *node = names_find(node_of(medium, parent), name);
    if (node) {
        struct fuse_entry_param entry = told(medium, node);
        fuse_reply_entry(req, &entry);
    } else {
        fuse_reply_err(req, ENOENT);
    }
    leave(medium);
}

static void on_forget(fuse_req_t req, fuse_ino_t number, uint64_t count) {
    struct medium *medium = medium_of(req);
    pthread_mutex_lock(&medium->faults.lock);
    if (number != FUSE_ROOT_ID) node_release(node_of(medium, number), count);
    fuse_reply_none(req);
    leave(medium);
}

static void on_getattr(fuse_req_t req, fuse_ino_t number, struct fuse_file_info *info) {
    (void)info;
    struct medium *medium = enter(req, NULL);
    if (!medium) return;
    struct stat facts = facts_of(medium, node_of(medium, number));
    fuse_reply_attr(req, &facts, 0);
    leave(medium);
}

/* Its length and its permissions; times are not kept. */
static int set_attributes(struct medium *medium, struct node *node, const struct stat *wanted, int which) {
    if (which & FUSE_SET_ATTR_MODE) node->mode = wanted->st_mode & 07777;
    if (!(which & FUSE_SET_ATTR_SIZE)) return 0;
    uint64_t size = (uint64_t)wanted->st_size;
    if (size > node->image.size && size - node->image.size > room(medium)) return ENOSPC;
    image_resize(&node->image, size);
    node->changed = time(NULL);
    return 0;
}

static void on_setattr(fuse_req_t req, fuse_ino_t number, struct stat *wanted, int which, struct fuse_file_info *info) {
    struct medium *medium = enter(req, info ? handle_of(info) : NULL);
    if (!medium) return;
    struct node *node = node_of(medium, number);
    int error = set_attributes(medium, node, wanted, which);
    struct stat facts = facts_of(medium, node);
    if (error)
        fuse_reply_err(req, error);
    else
        fuse_reply_attr(req, &facts, 0);
    leave(medium);
}

static void on_statfs(fuse_req_t req, fuse_ino_t number) {
    (void)number;
    struct medium *medium = enter(req, NULL);
    if (!medium) return;
    uint64_t space = medium->space ? medium->space : NO_LIMIT, free_blocks = room(medium) / BLOCK_BYTES;
    struct statvfs facts = {.f_bsize = BLOCK_BYTES,
                            .f_frsize = BLOCK_BYTES,
                            .f_blocks = space / BLOCK_BYTES,
                            .f_bfree = free_blocks,
                            .f_bavail = free_blocks,
                            .f_files = 1 << 20,
                            .f_ffree = 1 << 20,
                            .f_namemax = 255};
    fuse_reply_statfs(req, &facts);
    leave(medium);
}

/* --- names --- */

/* Waits as long as it takes, and whether it fails. */
static int name_deed(struct medium *medium) {
    if (!faults_wait(&medium->faults, DEED_NAME, 0)) return EIO;
    return faults_draw(&medium->faults, DEED_NAME);
}

static struct handle *handle_new(const struct medium *medium, struct node *node, int flags) {
    struct handle *handle = calloc(1, sizeof *handle);
    ASSERT(handle);
    *handle = (struct handle){.node = node, .life = medium->faults.life, .is_durable = (flags & O_DSYNC) != 0};
    node_hold(node);
    return handle;
}

static void handle_delete(struct medium *medium, struct handle *handle) {
    node_release(handle->node, 1);
    free(handle->list);
    free(handle);
    leave(medium);
}

static void file_info(struct fuse_file_info *info, struct handle *handle) {
    info->fh = (uint64_t)(uintptr_t)handle;
    info->direct_io = 1;
}

static void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *info) {
    struct medium *medium = enter(req, NULL);
    if (!medium) return;
    struct node *node = NULL;
    int error = name_deed(medium);
    if (!error) error = -names_create(&medium->names, node_of(medium, parent), name, false, mode, &node);
    if (error) {
        fuse_reply_err(req, error);
    } else {
        struct fuse_entry_param entry = told(medium, node);
        file_info(info, handle_new(medium, node, info->flags));
        fuse_reply_create(req, &entry, info);
    }
    leave(medium);
}

static void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode) {
    struct medium *medium = enter(req, NULL);
    if (!medium) return;
    struct node *node = NULL;
    int error = name_deed(medium);
    if (!error) error = -names_create(&medium->names, node_of(medium, parent), name, true, mode, &node);
    if (error) {
        fuse_reply_err(req, error);
    } else {
        struct fuse_entry_param entry = told(medium, node);
        fuse_reply_entry(req, &entry);
    }
    leave(medium);
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, bool is_directory) {
    struct medium *medium = enter(req, NULL);
    if (!medium) return;
    int error = name_deed(medium);
    if (!error) error = -names_remove(&medium->names, node_of(medium, parent), name, is_directory);
    fuse_reply_err(req, error);
    leave(medium);
}

static void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name) {
    remove_name(req, parent, name, false);
}

static void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name) {
    remove_name(req, parent, name, true);
}

static void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
                      unsigned flags) {
    struct medium *medium = enter(req, NULL);
    if (!medium) return;
    int error = flags & ~(unsigned)RENAME_NOREPLACE ? EINVAL : name_deed(medium);
    if (!error)
        error = -names_rename(&medium->names, node_of(medium, parent), name, node_of(medium, new_parent), new_name,
                              !(flags & RENAME_NOREPLACE));
    fuse_reply_err(req, error);
    leave(medium);
}

/* --- directories --- */

static void list_add(fuse_req_t req, struct handle *handle, const char *name, const struct stat *facts) {
    size_t len = fuse_add_direntry(req, NULL, 0, name, NULL, 0);
    handle->list = realloc(handle->list, handle->list_len + len);
    ASSERT(handle->list);
    fuse_add_direntry(req, handle->list + handle->list_len, len, name, facts, (off_t)(handle->list_len + len));
    handle->list_len += len;
}

static void on_opendir(fuse_req_t req, fuse_ino_t number, struct fuse_file_info *info) {
    struct medium *medium = enter(req, NULL);
    if (!medium) return;
    struct node *node = node_of(medium, number);
    struct handle *handle = handle_new(medium, node, 0);
    struct stat facts = facts_of(medium, node);
    list_add(req, handle, ".", &facts);
    list_add(req, handle, "..", &facts);
    for (const struct entry *entry = node->entries; entry; entry = entry->next) {
        if (!entry->seen) continue;
        facts = facts_of(medium, entry->seen);
        list_add(req, handle, entry->name, &facts);
    }
    info->fh = (uint64_t)(uintptr_t)handle;
    fuse_reply_open(req, info);
    leave(medium);
}

static void on_readdir(fuse_req_t req, fuse_ino_t number, size_t len, off_t offset, struct fuse_file_info *info) {
    (void)number;
    const struct handle *handle = handle_of(info);
    struct medium *medium = enter(req, handle);
    if (!medium) return;
    size_t from = MIN((size_t)offset, handle->list_len);
    fuse_reply_buf(req, handle->list + from, MIN(len, handle->list_len - from));
    leave(medium);
}

static void on_release(fuse_req_t req, fuse_ino_t number, struct fuse_file_info *info) {
    (void)number;
    struct medium *medium = medium_of(req);
    pthread_mutex_lock(&medium->faults.lock);
    fuse_reply_err(req, 0);
    handle_delete(medium, handle_of(info));
}

static void on_fsyncdir(fuse_req_t req, fuse_ino_t number, int datasync, struct fuse_file_info *info) {
    (void)datasync;
    struct medium *medium = enter(req, handle_of(info));
    if (!medium) return;
    int error = faults_wait(&medium->faults, DEED_SYNC, 0) ? faults_draw(&medium->faults, DEED_SYNC) : EIO;
    if (!error && !medium->lies) names_sync(&medium->names, node_of(medium, number));
    fuse_reply_err(req, error);
    leave(medium);
}

/* --- bytes --- */

static void on_open(fuse_req_t req, fuse_ino_t number, struct fuse_file_info *info) {
    struct medium *medium = enter(req, NULL);
    if (!medium) return;
    struct node *node = node_of(medium, number);
    if (info->flags & O_TRUNC) image_resize(&node->image, 0);
    file_info(info, handle_new(medium, node, info->flags));
    fuse_reply_open(req, info);
    leave(medium);
}

static void on_read(fuse_req_t req, fuse_ino_t number, size_t len, off_t offset, struct fuse_file_info *info) {
    (void)number;
    const struct handle *handle = handle_of(info);
    struct medium *medium = enter(req, handle);
    if (!medium) return;
    char *bytes = malloc(len + 1);
    ASSERT(bytes);
    len = image_read(&handle->node->image, bytes, len, (uint64_t)offset);
    int error = faults_wait(&medium->faults, DEED_READ, len) ? faults_draw(&medium->faults, DEED_READ) : EIO;
    if (error)
        fuse_reply_err(req, error);
    else
        fuse_reply_buf(req, bytes, len);
    leave(medium);
    free(bytes);
}

/* As many of the bytes as there is room for. */
static size_t fitting(const struct medium *medium, const struct node *node, size_t len, uint64_t offset) {
    uint64_t size = node->image.size, left = room(medium);
    if (offset + len <= size || offset + len - size <= left) return len;
    return size + left > offset ? (size_t)(size + left - offset) : 0;
}

/* A write that fails may have written a part of it. */
static int fail_write(struct medium *medium, struct node *node, const char *bytes, size_t len, uint64_t offset) {
    int error = faults_draw(&medium->faults, DEED_WRITE);
    if (!error) return 0;
    struct prng *prng = &medium->faults.prng;
    size_t part = error == ENOSPC ? 0 : (size_t)(prng_below(prng, len / SECTOR + 1) * SECTOR);
    image_write(&node->image, bytes, part, offset, prng);
    return error;
}

/* The bytes are seen at once; when it is a durable write, they are durable when it has taken its time. */
static int write_some(struct medium *medium, struct node *node, const char *bytes, size_t *len, uint64_t offset,
                      bool durable) {
    *len = fitting(medium, node, *len, offset);
    if (*len == 0) return ENOSPC;
    int error = fail_write(medium, node, bytes, *len, offset);
    if (error) return faults_wait(&medium->faults, DEED_WRITE, 0) ? error : EIO;
    image_write(&node->image, bytes, *len, offset, &medium->faults.prng);
    node->changed = time(NULL);
    uint64_t end = offset + *len;
    struct snapshot *snapshot = durable ? image_snapshot(&node->image, offset, end, end) : NULL;
    bool done = faults_wait(&medium->faults, DEED_WRITE, *len);
    if (done && snapshot && !medium->lies) image_commit(&node->image, snapshot);
    snapshot_delete(snapshot);
    return done ? 0 : EIO;
}

static void on_write(fuse_req_t req, fuse_ino_t number, const char *bytes, size_t len, off_t offset,
                     struct fuse_file_info *info) {
    (void)number;
    const struct handle *handle = handle_of(info);
    struct medium *medium = enter(req, handle);
    if (!medium) return;
    /* The kernel sets the flag for RWF_DSYNC, too. */
    bool durable = handle->is_durable || (info->flags & O_DSYNC);
    int error = len ? write_some(medium, handle->node, bytes, &len, (uint64_t)offset, durable) : 0;
    if (error)
        fuse_reply_err(req, error);
    else
        fuse_reply_write(req, len);
    leave(medium);
}

/* What was written before it began. One that fails has lost what it was to sync, and says so only this once, as Linux
 * does. */
static int sync_file(struct medium *medium, struct image *image) {
    struct snapshot *snapshot = image_snapshot_all(image);
    int error = faults_wait(&medium->faults, DEED_SYNC, 0) ? faults_draw(&medium->faults, DEED_SYNC) : -1;
    if (error == 0 && !medium->lies) image_commit(image, snapshot);
    if (error > 0) image_lose(image, snapshot, &medium->faults.prng);
    snapshot_delete(snapshot);
    return error < 0 ? EIO : error;
}

static void on_fsync(fuse_req_t req, fuse_ino_t number, int datasync, struct fuse_file_info *info) {
    (void)number, (void)datasync;
    const struct handle *handle = handle_of(info);
    struct medium *medium = enter(req, handle);
    if (!medium) return;
    fuse_reply_err(req, sync_file(medium, &handle->node->image));
    leave(medium);
}

static void on_init(void *medium, struct fuse_conn_info *connection) {
    (void)medium;
    connection->max_background = THREADS_MAX;
    connection->congestion_threshold = THREADS_MAX;
}

static const struct fuse_lowlevel_ops operations = {
    .init = on_init,
    .lookup = on_lookup,
    .forget = on_forget,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .statfs = on_statfs,
    .create = on_create,
    .mkdir = on_mkdir,
    .unlink = on_unlink,
    .rmdir = on_rmdir,
    .rename = on_rename,
    .opendir = on_opendir,
    .readdir = on_readdir,
    .releasedir = on_release,
    .fsyncdir = on_fsyncdir,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .fsync = on_fsync,
    .release = on_release,
};

/* --- the program --- */

struct program {
    struct medium medium;
    struct fuse_session *session;
};

/* Its end is the end of the program: whoever still waits is told by the kernel. Unmounting ends the loop of the other
 * threads before it is done itself. */
static void *listen_to_test(void *arg) {
    struct program *program = arg;
    char line[256], answer[CONTROL_ANSWER_MAX];
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        control_line(&program->medium, line, answer);
        printf("%s\n", answer);
        fflush(stdout);
    }
    fuse_session_unmount(program->session);
    _exit(0);
}

static struct fuse_session *mount_at(struct medium *medium, char *name, const char *dir) {
    char options[] = "-ofsname=powerfs";
    char *words[] = {name, options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, words);
    struct fuse_session *session = fuse_session_new(&args, &operations, sizeof operations, medium);
    if (session && fuse_session_mount(session, dir) == 0) return session;
    if (session) fuse_session_destroy(session);
    return NULL;
}

int main(int argc, char **argv) {
    struct program program = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: powerfs DIR [SEED]\n");
        return 2;
    }
    names_init(&program.medium.names);
    faults_init(&program.medium.faults, argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    program.session = mount_at(&program.medium, argv[0], argv[1]);
    if (!program.session) return EXIT_SKIP; /* which has been explained */
    pthread_t listener;
    if (pthread_create(&listener, NULL, listen_to_test, &program) != 0) return 1;
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
    fuse_loop_cfg_set_idle_threads(config, THREADS_MAX);
    fuse_session_loop_mt(program.session, config);
    pthread_join(listener, NULL);
    return 0;
}
