/* A window of the file; whole commands in it are found with the parser that reads clients' input, and passed on in
 * runs: up to a line that begins with #, which is a note to tools. */
#include "persist/aof_replay.h"
#include "core/assert.h"
#include "core/log.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/multi.h"
#include "shards/pipeline.h"
#include "shards/shard.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGS_AT_ONCE 1024
#define RUN_MAX      256  /* commands passed to the pipeline at once */
#define NOTE_MAX     1024 /* bytes of a line that begins with # */

struct aof_replay {
    struct client client;
    struct shard *shard;
    int fd;
    bool at_end; /* of the file: nothing more to read */
    bool truncated_ok;
    uint64_t size;
    uint64_t read_to; /* of the file, up to the end of the window */
    uint64_t commands, errors;
    struct buf window;         /* read: what the pipeline has taken */
    struct resp_parser parser; /* to find where commands end */
    char first_error[256];
    char path[CONFIG_PATH_MAX];
};

enum status aof_replay_open(struct aof_replay **out, struct shard *shard, const char *path, uint64_t offset,
                            bool truncated_ok, struct error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts;
    if (fd < 0 || fstat(fd, &facts) != 0) {
        enum status status = error_set(error, ST_IO, errno, "Cannot read the log '%s'", path);
        if (fd >= 0) close(fd);
        return status;
    }
    struct aof_replay *replay = heap_alloc_zero(shard->heap, MEM_CLIENT_IN, sizeof *replay);
    *out = replay;
    replay->shard = shard;
    replay->fd = fd;
    replay->truncated_ok = truncated_ok;
    replay->size = (uint64_t)facts.st_size;
    replay->read_to = offset;
    snprintf(replay->path, sizeof replay->path, "%s", path);
    buf_init(&replay->window, shard->heap, MEM_CLIENT_IN);
    resp_parser_init(&replay->parser, shard->heap);
    client_init(&replay->client, shard, NULL, 0);
    replay->client.flags |= CLIENT_AUTHENTICATED | CLIENT_LOADER | CLIENT_NO_BLOCK;
    return ST_OK;
}

void aof_replay_close(struct aof_replay *replay) {
    struct shard *shard = replay->shard;
    struct reply_queue *replies = &replay->client.replies;
    replies->head = replies->tail; /* the messages belong to heaps that go away as a whole */
    close(replay->fd);
    client_deinit(&replay->client);
    resp_parser_reset(&replay->parser);
    buf_deinit(&replay->window);
    heap_free(shard->heap, MEM_CLIENT_IN, replay, sizeof *replay);
}

bool aof_replay_is_quiet(const struct aof_replay *replay) {
    const struct client *client = &replay->client;
    return client->queued == 0 && !client->gather && reply_queue_empty(&client->replies);
}

uint64_t aof_replay_offset(const struct aof_replay *replay) {
    return replay->read_to - buf_readable(&replay->window);
}
uint64_t aof_replay_size(const struct aof_replay *replay) {
    return replay->size;
}
uint64_t aof_replay_commands(const struct aof_replay *replay) {
    return replay->commands;
}

static enum aof_step fail(const struct aof_replay *replay, struct error *error, const char *what) {
    error_set(error, ST_INVALID, 0,
              "%s in '%s' at offset %llu. Repair it with `redis-check-aof --fix`, or remove it, and start again", what,
              replay->path, (unsigned long long)aof_replay_offset(replay));
    return AOF_FAILED;
}

/* More of the file into the window, so that it holds `needed` bytes if the file does. False: the disk says no. */
static bool fill(struct aof_replay *replay, size_t needed) {
    size_t kept = buf_readable(&replay->window);
    buf_compact(&replay->window);
    size_t missing =
        MIN(needed > kept ? needed - kept : 0, (size_t)(replay->size - MIN(replay->size, replay->read_to)));
    size_t want = MAX(missing, (size_t)AOF_WINDOW);
    ssize_t got = pread(replay->fd, buf_reserve(&replay->window, want), want, (off_t)replay->read_to);
    if (got < 0) return errno == EINTR;
    replay->at_end = got == 0;
    replay->window.len += (size_t)got;
    replay->read_to += (uint64_t)got;
    return true;
}

/* --- replies --- */

/* Errors are counted and the first one is kept. True: a command is not known here. */
static bool drop_replies(struct aof_replay *replay) {
    struct client *client = &replay->client;
    bool unknown = false;
    struct buf out;
    buf_init(&out, replay->shard->heap, MEM_CLIENT_OUT);
    while (client_has_output(client)) {
        client_take_output(client, &out);
        client_output_sent(client, buf_readable(&out));
        struct slice rest = buf_slice(&out);
        while (rest.len > 0) {
            struct slice reply = gather_next_element(&rest);
            if (reply.ptr[0] != '-') continue;
            if (replay->errors++ == 0)
                snprintf(replay->first_error, sizeof replay->first_error, "%.*s", (int)MIN(reply.len - 3, (size_t)200),
                         reply.ptr + 1);
            unknown |= reply.len > 20 && memcmp(reply.ptr, "-ERR unknown command", 20) == 0;
        }
        buf_deinit(&out);
    }
    if (client->wait == WAIT_READER) pipeline_resume(replay->shard, client);
    return unknown;
}

/* --- commands --- */

enum found { FOUND_COMMANDS, FOUND_NOTE, FOUND_PART, FOUND_GARBAGE };

/* How many bytes of whole commands these begin with; FOUND_PART: how many are needed for the first to be whole. */
static enum found find_run(struct aof_replay *replay, struct slice bytes, size_t *size) {
    struct slice argv[ARGS_AT_ONCE];
    struct parse_limits limits = {.bulk_max = (uint64_t)replay->shard->config->proto_max_bulk_len};
    *size = 0;
    for (unsigned commands = 0; commands < RUN_MAX && *size < bytes.len; commands++) {
        struct slice rest = slice_of(bytes.ptr + *size, bytes.len - *size);
        struct parsed_command command;
        enum found found = FOUND_COMMANDS;
        if (rest.ptr[0] != '*') {
            found = rest.ptr[0] == '#' ? FOUND_NOTE : FOUND_GARBAGE;
        } else {
            enum parse_result result = resp_parse(&replay->parser, rest, &limits, argv, ARGS_AT_ONCE, &command);
            if (result == PARSE_ARGV) result = resp_parse(&replay->parser, rest, &limits, NULL, 0, &command);
            resp_parser_reset(&replay->parser); /* the next call may see these bytes elsewhere */
            if (result == PARSE_MORE) found = FOUND_PART;
            if (result == PARSE_ERROR) found = FOUND_GARBAGE;
        }
        if (found != FOUND_COMMANDS) {
            if (*size > 0) return FOUND_COMMANDS; /* those before it first */
            if (found == FOUND_PART) *size = command.need;
            return found;
        }
        *size += command.size;
        replay->commands++;
    }
    return FOUND_COMMANDS;
}

/* --- slices --- */

static enum aof_step finish(struct aof_replay *replay, struct error *error) {
    uint64_t cut = buf_readable(&replay->window);
    bool in_multi = multi_is_open(&replay->client);
    if ((cut > 0 || in_multi) && !replay->truncated_ok)
        return fail(replay, error, "The log ends in the middle of a command or transaction (aof-load-truncated is no)");
    if (cut > 0 || in_multi)
        error_set(error, ST_INVALID, 0, "'%s' ends in the middle of a %s: left out, with %llu bytes at the end",
                  replay->path, in_multi ? "transaction" : "command", (unsigned long long)cut);
    else if (replay->errors > 0)
        error_set(error, ST_INVALID, 0, "'%s': %llu commands were answered with an error, the first with: %s",
                  replay->path, (unsigned long long)replay->errors, replay->first_error);
    return AOF_DONE;
}

static enum aof_step feed(struct aof_replay *replay, struct slice run) {
    struct client *client = &replay->client;
    replay->window.read += pipeline_feed(replay->shard, client, run);
    pipeline_run(replay->shard);
    return client->wait == WAIT_NOTHING ? AOF_MORE : AOF_WAITING;
}

static enum aof_step more_bytes(struct aof_replay *replay, size_t needed, struct error *error) {
    if (replay->at_end) return reply_queue_empty(&replay->client.replies) ? finish(replay, error) : AOF_WAITING;
    if (!fill(replay, needed)) {
        error_set(error, ST_IO, errno, "Cannot read the log '%s'", replay->path);
        return AOF_FAILED;
    }
    return AOF_MORE;
}

enum aof_step aof_replay_slice(struct aof_replay *replay, struct error *error) {
    struct client *client = &replay->client;
    error->text[0] = 0;
    if (drop_replies(replay)) {
        error_set(error, ST_UNSUPPORTED, 0, "'%s' near offset %llu holds a command that sherd does not have: %s",
                  replay->path, (unsigned long long)aof_replay_offset(replay), replay->first_error);
        return AOF_FAILED;
    }
    if (client->wait != WAIT_NOTHING) return AOF_WAITING;
    if (buf_readable(&client->in) > 0) { /* what had to wait before */
        pipeline_feed_kept(replay->shard, client);
        pipeline_run(replay->shard);
        return client->wait == WAIT_NOTHING ? AOF_MORE : AOF_WAITING;
    }
    struct slice bytes = buf_slice(&replay->window);
    size_t size;
    const char *end;
    if (bytes.len == 0) return more_bytes(replay, 0, error);
    switch (find_run(replay, bytes, &size)) {
    case FOUND_COMMANDS: return feed(replay, slice_of(bytes.ptr, size));
    case FOUND_PART: return more_bytes(replay, size, error);
    case FOUND_GARBAGE: break;
    case FOUND_NOTE:
        end = memchr(bytes.ptr, '\n', bytes.len);
        if (!end && bytes.len < NOTE_MAX) return more_bytes(replay, 0, error);
        if (!end) break;
        replay->window.read += (size_t)(end + 1 - bytes.ptr);
        return AOF_MORE;
    }
    return fail(replay, error, "This is no command of a log");
}
