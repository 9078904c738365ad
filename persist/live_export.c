/* Live export. The links and the start of the process are the sequel of a checkpoint, on the background thread, which
 * is also the only one that removes files of the server: so what the manifest names is there. The rest is waiting.
 *
 * The process is this program once more (/proc/self/exe), started without a copy of our memory (posix_spawn), and all
 * descriptors but its output are closed in it. What it says goes to a file; the last line of that is our reason when it
 * fails. */
#include "persist/live_export.h"
#include "core/alloc.h"
#include "core/assert.h"
#include "shards/shard.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACE         "sherd.exporting"
#define OUTPUT        PLACE "/output.log"
#define PATH_MAX_HERE (CONFIG_PATH_MAX + EXPORT_NAME_MAX + sizeof PLACE + 8)

enum export_phase { EXPORT_IDLE, EXPORT_WAITING, EXPORT_RUNNING, EXPORT_MOVING };

struct live_export {
    const struct datadir *dir;
    struct log *log;

    /* --- under the lock --- */
    pthread_mutex_t lock;
    enum export_phase phase;
    bool last_ok;
    uint64_t started_ms;
    int64_t last_took_ms; /* -1: none */
    char last_name[EXPORT_NAME_MAX];

    /* --- of the one under way: written by who asks for it, then the background thread's and shard 0's in turn --- */
    enum export_form form;
    char name[EXPORT_NAME_MAX];
    bool replace;
    int64_t databases;
    uint64_t ticket;
    bool linked; /* the checkpoint was made, and this is its sequel */
    pid_t child; /* 0: none */
    struct error error;
};

/* --- the place --- */

/* Removes it with all that is in it; it is fine when it is not there. */
static void clear_place(const struct datadir *dir) {
    int fd = openat(dir->fd, PLACE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (!entries) {
        if (fd >= 0) close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(entries));) unlinkat(fd, entry->d_name, 0); /* not . and .. */
    closedir(entries);
    unlinkat(dir->fd, PLACE, AT_REMOVEDIR);
}

struct linking {
    const struct datadir *dir;
    const struct manifest *manifest;
    int to;
    int os_errno; /* of the first that failed */
};

static void link_one(void *ctx, const char *name, struct datadir_name is) {
    struct linking *linking = ctx;
    if ((is.kind != DATADIR_CHECKPOINT && is.kind != DATADIR_SEGMENT) || !manifest_names(linking->manifest, is)) return;
    if (linkat(linking->dir->fd, name, linking->to, name, 0) != 0 && !linking->os_errno) linking->os_errno = errno;
}

/* Links what the manifest names, and writes it beside them. */
static enum status fill_place(struct live_export *live, const struct manifest *manifest, struct error *error) {
    struct datadir place;
    char path[CONFIG_PATH_MAX];
    clear_place(live->dir);
    if ((size_t)snprintf(path, sizeof path, "%s/" PLACE, live->dir->path) >= sizeof path)
        return error_set(error, ST_TOO_LARGE, 0, "The path of the data directory is too long");
    enum status status = datadir_open(&place, path, error);
    if (status != ST_OK) return status;
    struct linking linking = {.dir = live->dir, .manifest = manifest, .to = place.fd};
    status = datadir_list(live->dir, link_one, &linking, error);
    if (status == ST_OK && linking.os_errno)
        status = error_set(error, ST_IO, linking.os_errno, "Cannot link the checkpoint's files into %s", path);
    if (status == ST_OK) status = manifest_save(manifest, &place, error);
    datadir_close(&place);
    return status;
}

/* --- the process --- */

static enum status start_child(struct live_export *live, struct error *error) {
    char place[PATH_MAX_HERE], file[PATH_MAX_HERE], output[PATH_MAX_HERE], databases[24];
    snprintf(place, sizeof place, "%s/" PLACE, live->dir->path);
    snprintf(file, sizeof file, "%s/" PLACE "/%s", live->dir->path, live->name);
    snprintf(output, sizeof output, "%s/" OUTPUT, live->dir->path);
    snprintf(databases, sizeof databases, "%lld", (long long)live->databases);
    char *const words[] = {(char[]){"sherd"},
                           (char[]){"export"},
                           live->form == EXPORT_RDB ? (char[]){"--rdb"} : (char[]){"--aof"},
                           file,
                           (char[]){"--databases"},
                           databases,
                           (char[]){"--background"},
                           (char[]){"yes"},
                           place,
                           NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none); /* ours are blocked, for sigwait */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int failed = posix_spawn(&live->child, "/proc/self/exe", &actions, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (!failed) return ST_OK;
    live->child = 0;
    return error_set(error, ST_IO, failed, "Cannot start the process that exports");
}

/* The sequel of the checkpoint, on the background thread. */
static void link_and_start(void *ctx, const struct manifest *manifest) {
    struct live_export *live = ctx;
    live->linked = true;
    enum status status = fill_place(live, manifest, &live->error);
    if (status == ST_OK) (void)start_child(live, &live->error);
}

/* --- the end of it --- */

/* The last line of what the process said. */
static void read_reason(const struct live_export *live, struct error *error) {
    char text[1024];
    ssize_t len = 0;
    int fd = openat(live->dir->fd, OUTPUT, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        off_t size = lseek(fd, 0, SEEK_END);
        off_t from = MAX(size - (off_t)sizeof text + 1, (off_t)0);
        len = pread(fd, text, sizeof text - 1, from);
        close(fd);
    }
    while (len > 0 && text[len - 1] == '\n') len--;
    text[MAX(len, (ssize_t)0)] = 0;
    const char *line = strrchr(text, '\n');
    (void)error_set(error, ST_INVALID, 0, "%.200s", line ? line + 1 : text[0] ? text : "the process died");
}

/* A job: the file gets its name. */
static int move(void *job) {
    struct live_export *live = job;
    const struct datadir *dir = live->dir;
    char from[EXPORT_NAME_MAX + sizeof PLACE + 1];
    snprintf(from, sizeof from, PLACE "/%s", live->name);
    if (!live->replace && faccessat(dir->fd, live->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        (void)error_set(&live->error, ST_EXISTS, 0, "%s is there by now", live->name);
    else if (renameat(dir->fd, from, dir->fd, live->name) != 0)
        (void)error_set(&live->error, ST_IO, errno, "Cannot rename it to %s", live->name);
    else
        live->error.status = datadir_sync(dir, &live->error);
    clear_place(dir);
    return 0;
}

/* A job: nothing came of it. */
static int clear(void *job) {
    struct live_export *live = job;
    clear_place(live->dir);
    return 0;
}

static void finished(void *owner, int64_t result) {
    struct live_export *live = owner;
    (void)result;
    pthread_mutex_lock(&live->lock);
    live->phase = EXPORT_IDLE;
    live->last_ok = live->error.status == ST_OK;
    snprintf(live->last_name, sizeof live->last_name, "%s", live->name);
    pthread_mutex_unlock(&live->lock);
    if (live->error.status == ST_OK)
        log_line(live->log, LOG_LEVEL_NOTICE, "Exported to %s", live->name);
    else
        log_line(live->log, LOG_LEVEL_WARNING, "The export to %s failed: %s", live->name, live->error.text);
}

/* --- shard 0 --- */

static void set_phase(struct live_export *live, enum export_phase phase) {
    pthread_mutex_lock(&live->lock);
    live->phase = phase;
    pthread_mutex_unlock(&live->lock);
}

static void end_child(struct live_export *live) {
    if (!live->child) return;
    kill(live->child, SIGKILL);
    while (waitpid(live->child, NULL, 0) < 0 && errno == EINTR) continue;
    live->child = 0;
}

static void wind_up(struct live_export *live, const struct disk *disk, uint64_t now_ms) {
    end_child(live);
    pthread_mutex_lock(&live->lock);
    live->phase = EXPORT_MOVING;
    live->last_took_ms = (int64_t)(now_ms - MIN(now_ms, live->started_ms));
    pthread_mutex_unlock(&live->lock);
    disk->job(disk->ctx, live->error.status == ST_OK ? move : clear, live, finished);
}

static void look_at_checkpoint(struct live_export *live, struct checkpoints *checkpoints, const struct disk *disk,
                               uint64_t now_ms) {
    enum checkpoint_outcome outcome = checkpoints_outcome(checkpoints, live->ticket);
    if (outcome == OUTCOME_PENDING) return;
    if (!live->linked) /* and not what the outcome says: a later checkpoint may be over by now */
        (void)error_set(&live->error, ST_IO, 0, "its checkpoint failed, see the lines before");
    if (live->error.status == ST_OK)
        set_phase(live, EXPORT_RUNNING);
    else
        wind_up(live, disk, now_ms);
}

static void look_at_child(struct live_export *live, const struct disk *disk, uint64_t now_ms) {
    int status;
    pid_t pid = waitpid(live->child, &status, WNOHANG);
    if (pid == 0 || (pid < 0 && errno == EINTR)) return;
    live->child = 0;
    if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) read_reason(live, &live->error);
    wind_up(live, disk, now_ms);
}

bool live_export_turn(struct live_export *live, struct checkpoints *checkpoints, const struct disk *disk,
                      uint64_t now_ms) {
    pthread_mutex_lock(&live->lock);
    enum export_phase phase = live->phase;
    pthread_mutex_unlock(&live->lock);
    if (phase == EXPORT_WAITING) look_at_checkpoint(live, checkpoints, disk, now_ms);
    if (phase == EXPORT_RUNNING) look_at_child(live, disk, now_ms);
    return phase != EXPORT_IDLE;
}

/* --- any thread --- */

/* A plain name, none that means something to us, and none that a shell or a server would take for something else. */
static bool is_good_name(struct slice name) {
    if (name.len == 0 || name.len >= EXPORT_NAME_MAX - sizeof ".tmp" || name.ptr[0] == '.' || name.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                     c == '-' || c == '_';
        if (!plain) return false;
    }
    bool is_ours = name.len >= 6 && memcmp(name.ptr, "sherd.", 6) == 0;
    return !is_ours && datadir_parse_name(name).kind == DATADIR_OTHER;
}

static bool is_there(const struct live_export *live, const char *name) {
    return faccessat(live->dir->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static enum live_export_answer take_order(struct live_export *live, const struct live_export_order *order,
                                          uint64_t now_ms) {
    char name[EXPORT_NAME_MAX];
    if (live->phase != EXPORT_IDLE) return EXPORT_BUSY;
    if (!is_good_name(order->name)) return EXPORT_BAD_NAME;
    snprintf(name, sizeof name, "%.*s", (int)order->name.len, order->name.ptr);
    if (!order->replace && is_there(live, name)) return EXPORT_EXISTS;
    memcpy(live->name, name, sizeof name);
    live->form = order->form;
    live->replace = order->replace;
    live->databases = order->databases;
    live->error = (struct error){0};
    live->linked = false;
    live->phase = EXPORT_WAITING;
    live->started_ms = now_ms;
    return EXPORT_STARTED;
}

enum live_export_answer live_export_ask(struct live_export *live, struct checkpoints *checkpoints, struct shard *from,
                                        const struct live_export_order *order) {
    pthread_mutex_lock(&live->lock);
    enum live_export_answer answer = take_order(live, order, from->now_ms);
    if (answer == EXPORT_STARTED)
        live->ticket =
            checkpoints_ask_then(checkpoints, from, (struct checkpoint_sequel){.work = link_and_start, .ctx = live});
    pthread_mutex_unlock(&live->lock);
    return answer;
}

void live_export_read(struct live_export *live, uint64_t now_ms, struct live_export_status *out) {
    pthread_mutex_lock(&live->lock);
    *out = (struct live_export_status){.in_progress = live->phase != EXPORT_IDLE,
                                       .last_ok = live->last_ok,
                                       .current_s = -1,
                                       .last_took_s = live->last_took_ms < 0 ? -1 : live->last_took_ms / 1000};
    if (out->in_progress) out->current_s = (int64_t)(now_ms - MIN(now_ms, live->started_ms)) / 1000;
    memcpy(out->last_name, live->last_name, sizeof out->last_name);
    pthread_mutex_unlock(&live->lock);
}

/* --- life --- */

struct live_export *live_export_new(const struct datadir *dir, struct log *log) {
    struct live_export *live = shared_alloc(sizeof *live);
    if (!live) return NULL;
    live->dir = dir;
    live->log = log;
    live->last_ok = true;
    live->last_took_ms = -1;
    pthread_mutex_init(&live->lock, NULL);
    clear_place(dir);
    return live;
}

void live_export_delete(struct live_export *live) {
    end_child(live);
    if (live->phase != EXPORT_IDLE) {
        log_line(live->log, LOG_LEVEL_WARNING, "The export to %s is given up, as the server ends", live->name);
        clear_place(live->dir);
    }
    pthread_mutex_destroy(&live->lock);
    shared_free(live);
}
