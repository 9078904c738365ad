/* RDB, read. Everything in a file is a byte that says what follows, an opcode or the type of a value, and then that.
 *
 * What follows is first measured by a machine that passes over it (shards/dump_skip.h) and can stop where the window
 * ends, and only then read. So whoever reads has the whole thing before it and can trust its frame; a value that
 * nobody takes is never held at all, however large it is.
 *
 * Deadline, idle time and frequency stand in front of the key they belong to and are kept until it comes. */
#include "persist/rdb_read.h"
#include "core/assert.h"
#include "core/num.h"
#include "persist/rdb_opcodes.h"
#include "persist/rdb_window.h"
#include "shards/dump_skip.h"
#include <endian.h>
#include <errno.h>
#include <stdio.h>

#define HEADER_LEN       9u /* "REDIS0010" */
#define VERSION_CHECKSUM 5u /* the first with one */
#define SHOWN_KEY        48 /* bytes of a key in an error */

struct rdb_reader {
    struct rdb_reader_options options;
    struct rdb_window window;
    struct buf key_bytes, name_bytes, scratch; /* the key; what stays while something else is unpacked; values */
    uint32_t version, db;
    uint64_t offset; /* of the item that is being read */
    uint64_t deadline_ms;
    int64_t idle_s;
    int freq;
    bool over;
};

/* --- errors --- */

/* Readable, and marked when it goes on. */
static void show_key(struct slice key, char out[4 * SHOWN_KEY + 4]) {
    size_t len = MIN(key.len, (size_t)SHOWN_KEY);
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)key.ptr[i];
        bool plain = byte > ' ' && byte < 127 && byte != '\\' && byte != '"';
        out += sprintf(out, plain ? "%c" : "\\x%02x", byte);
    }
    strcpy(out, key.len > len ? "..." : "");
}

/* key: what is broken belongs to it; ptr NULL: to none. */
static enum rdb_item broken(struct rdb_reader *reader, struct error *error, enum status status, struct slice key,
                            const char *what) {
    char shown[4 * SHOWN_KEY + 4];
    show_key(key, shown);
    reader->over = true;
    error_set(error, status, 0, "%s: at offset %llu%s%s%s: %s", reader->options.path,
              (unsigned long long)reader->offset, key.ptr ? ", key \"" : "", shown, key.ptr ? "\"" : "", what);
    return RDB_BROKEN;
}

static const struct slice no_key = {NULL, 0};

static enum rdb_item malformed(struct rdb_reader *reader, struct error *error, struct slice key, const char *what) {
    return broken(reader, error, ST_INVALID, key, what);
}

/* --- measuring --- */

enum measured { MEASURED, ENDS_EARLY, NO_FRAME, TOO_LARGE, CANNOT_READ };

static enum rdb_item not_measured(struct rdb_reader *reader, struct error *error, enum measured result,
                                  struct slice key) {
    switch (result) {
    case ENDS_EARLY: return malformed(reader, error, key, "the file ends in the middle of this.");
    case TOO_LARGE: return broken(reader, error, ST_NO_MEMORY, key, "there is no memory for a value this large.");
    case CANNOT_READ: return broken(reader, error, ST_IO, key, strerror(errno));
    case MEASURED:
    case NO_FRAME: break;
    }
    return malformed(reader, error, key, "this is damaged: it contains lengths that cannot be.");
}

/* Everything that `skip` describes, from the window's place on. Hold: it is all readable then, *len bytes of it. Else
 * it is passed. */
static enum measured measure(struct rdb_reader *reader, struct dump_skip *skip, bool hold, size_t *len) {
    struct rdb_window *window = &reader->window;
    size_t ahead = 0; /* of the window's place */
    for (;;) {
        struct slice rest = rdb_window_rest(window), more = slice_of(rest.ptr + ahead, rest.len - ahead);
        enum dump_skipped skipped = dump_skip_some(skip, &more);
        ahead = rest.len - more.len;
        if (skipped == DUMP_SKIP_BROKEN) return NO_FRAME;
        if (!hold) {
            rdb_window_pass(window, ahead);
            ahead = 0;
        }
        *len = ahead;
        if (skipped == DUMP_SKIP_DONE) return MEASURED;
        uint64_t left = rdb_window_left(window) - ahead;
        if (skip->pass > left) return ENDS_EARLY; /* before anything is reserved for it */
        uint64_t need = hold ? ahead + skip->pass + DUMP_SKIP_HEAD_MAX : DUMP_SKIP_HEAD_MAX;
        switch (rdb_window_fill(window, need)) {
        case RDB_FILLED: break;
        case RDB_FILE_ENDS: return ENDS_EARLY;
        case RDB_NO_MEMORY: return TOO_LARGE;
        case RDB_READ_FAILED: return CANNOT_READ;
        }
    }
}

/* What the program describes, as bytes that stay valid until something else is measured; they are passed. */
static enum measured hold(struct rdb_reader *reader, const char *program, struct slice *bytes) {
    struct dump_skip skip;
    size_t len;
    dump_skip_program(&skip, program);
    enum measured result = measure(reader, &skip, true, &len);
    if (result != MEASURED) return result;
    *bytes = slice_of(rdb_window_rest(&reader->window).ptr, len);
    rdb_window_pass(&reader->window, len);
    return result;
}

static enum measured pass_over(struct rdb_reader *reader, const char *program) {
    struct dump_skip skip;
    size_t len;
    dump_skip_program(&skip, program);
    return measure(reader, &skip, false, &len);
}

/* --- keys --- */

/* The string is copied: the window moves on. False: it cannot be unpacked. */
static bool keep_string(struct slice *rest, struct buf *kept, struct buf *scratch, struct slice *text) {
    struct slice read;
    if (!dump_read_string(rest, scratch, &read)) return false;
    kept->len = 0;
    buf_append_slice(kept, read);
    *text = kept->data ? slice_of(kept->data, read.len) : SLICE("");
    return true;
}

/* A collection without elements: old versions left some behind. Redis loads none of them either. */
static bool is_empty(unsigned type, struct slice body) {
    return dump_type_is_counted(type) && body.len == 1 && body.ptr[0] == 0;
}

static enum rdb_item build_value(struct rdb_reader *reader, unsigned type, struct dump_skip *skip,
                                 struct rdb_event *event, struct error *error) {
    size_t len;
    if (!dump_type_is_built(type)) {
        char what[128];
        snprintf(what, sizeof what, "a %s, a type that this version does not have.", dump_type_name(type));
        return broken(reader, error, ST_UNSUPPORTED, event->key, what);
    }
    enum measured measured = measure(reader, skip, true, &len);
    if (measured != MEASURED) return not_measured(reader, error, measured, event->key);
    struct slice body = slice_of(rdb_window_rest(&reader->window).ptr, len), rest = body;
    reader->options.target.key = event->key;
    reader->options.target.deadline_ms = event->deadline_ms;
    event->entry = dump_read_object(type, &rest, &reader->options.target);
    bool empty = is_empty(type, body), all = rest.len == 0;
    rdb_window_pass(&reader->window, len);
    buf_reset(&reader->scratch, RDB_WINDOW); /* one large string must not keep memory for all that follow */
    if (event->entry && all) return RDB_KEY;
    if (event->entry) entry_delete(reader->options.target.store, event->entry);
    event->entry = NULL;
    if (empty) return RDB_SKIPPED;
    return malformed(reader, error, event->key, "its value is damaged.");
}

static enum rdb_item read_value(struct rdb_reader *reader, unsigned type, struct rdb_event *event,
                                struct error *error) {
    struct dump_skip skip;
    size_t len;
    const struct rdb_reader_options *options = &reader->options;
    bool known = dump_skip_object(&skip, type),
         taken = !options->takes || options->takes(options->ctx, reader->db, event->key);
    if (!known)
        return broken(reader, error, ST_UNSUPPORTED, event->key, "a module's value in a form that cannot be read.");
    if (taken && options->build) return build_value(reader, type, &skip, event, error);
    enum measured measured = measure(reader, &skip, false, &len);
    if (measured != MEASURED) return not_measured(reader, error, measured, event->key);
    return taken ? RDB_KEY : RDB_SKIPPED;
}

static enum rdb_item read_key(struct rdb_reader *reader, unsigned type, struct rdb_event *event, struct error *error) {
    struct slice bytes;
    if (!dump_type_name(type)) return broken(reader, error, ST_UNSUPPORTED, no_key, "something of an unknown type.");
    enum measured measured = hold(reader, "s", &bytes);
    if (measured != MEASURED) return not_measured(reader, error, measured, no_key);
    if (!keep_string(&bytes, &reader->key_bytes, &reader->scratch, &event->key))
        return malformed(reader, error, no_key, "a key is damaged.");
    event->deadline_ms = reader->deadline_ms;
    event->idle_s = reader->idle_s;
    event->freq = reader->freq;
    reader->deadline_ms = 0;
    reader->idle_s = reader->freq = -1;
    return read_value(reader, type, event, error);
}

/* --- what is no key --- */

static enum rdb_item read_aux(struct rdb_reader *reader, struct rdb_event *event, struct error *error) {
    struct slice bytes;
    enum measured measured = hold(reader, "ss", &bytes);
    if (measured != MEASURED) return not_measured(reader, error, measured, no_key);
    if (keep_string(&bytes, &reader->name_bytes, &reader->scratch, &event->key) &&
        dump_read_string(&bytes, &reader->scratch, &event->value))
        return RDB_AUX;
    return malformed(reader, error, no_key, "a field about the file is damaged.");
}

static enum rdb_item read_database(struct rdb_reader *reader, struct rdb_event *event, struct error *error) {
    struct slice bytes;
    uint64_t db;
    enum measured measured = hold(reader, "l", &bytes);
    if (measured != MEASURED) return not_measured(reader, error, measured, no_key);
    if (!dump_read_length(&bytes, &db) || db > UINT32_MAX)
        return malformed(reader, error, no_key, "there is no database of this number.");
    event->db = reader->db = (uint32_t)db;
    return RDB_DATABASE;
}

static enum rdb_item read_resize(struct rdb_reader *reader, struct rdb_event *event, struct error *error) {
    struct slice bytes;
    enum measured measured = hold(reader, "ll", &bytes);
    if (measured != MEASURED) return not_measured(reader, error, measured, no_key);
    bool sound = dump_read_length(&bytes, &event->keys) && dump_read_length(&bytes, &event->timed);
    ASSERT(sound); /* as it was measured */
    return RDB_RESIZE;
}

static enum rdb_item skip_one(struct rdb_reader *reader, const char *program, struct error *error) {
    enum measured measured = pass_over(reader, program);
    return measured == MEASURED ? RDB_SKIPPED : not_measured(reader, error, measured, no_key);
}

static uint64_t little_endian(struct slice bytes) {
    uint64_t number = 0;
    memcpy(&number, bytes.ptr, bytes.len);
    return le64toh(number);
}

static enum rdb_item read_end(struct rdb_reader *reader, struct error *error) {
    struct slice bytes;
    reader->over = true;
    if (reader->version < VERSION_CHECKSUM) return RDB_END;
    uint64_t crc = rdb_window_crc(&reader->window);
    enum measured measured = hold(reader, "8", &bytes);
    if (measured != MEASURED) return not_measured(reader, error, measured, no_key);
    uint64_t said = little_endian(bytes);
    if (said == 0 || said == crc) return RDB_END; /* 0: rdbchecksum no */
    return malformed(reader, error, no_key, "the checksum is wrong: bytes of this file were changed.");
}

/* One of the year 1970 or before is as good as any in the past; 0 would be none. */
static uint64_t as_deadline(uint64_t unix_ms) {
    return (int64_t)unix_ms > 0 ? unix_ms : 1;
}

/* What belongs to the next key; true when it was such a thing. *measured: whether it is all there. */
static bool read_attribute(struct rdb_reader *reader, unsigned opcode, enum measured *measured) {
    struct slice bytes;
    uint64_t number = 0;
    switch (opcode) {
    case RDB_OP_EXPIRETIME_MS:
        *measured = hold(reader, "8", &bytes);
        if (*measured == MEASURED) reader->deadline_ms = as_deadline(little_endian(bytes));
        return true;
    case RDB_OP_EXPIRETIME:
        *measured = hold(reader, "4", &bytes);
        if (*measured == MEASURED) reader->deadline_ms = as_deadline(little_endian(bytes) * 1000);
        return true;
    case RDB_OP_FREQ:
        *measured = hold(reader, "1", &bytes);
        if (*measured == MEASURED) reader->freq = (int)little_endian(bytes);
        return true;
    case RDB_OP_IDLE:
        *measured = hold(reader, "l", &bytes);
        if (*measured == MEASURED && dump_read_length(&bytes, &number))
            reader->idle_s = (int64_t)MIN(number, (uint64_t)INT64_MAX);
        return true;
    case RDB_OP_SLOT_INFO: *measured = pass_over(reader, "lll"); return true; /* of nothing that we have */
    default: return false;
    }
}

static enum rdb_item read_item(struct rdb_reader *reader, unsigned opcode, struct rdb_event *event,
                               struct error *error) {
    switch (opcode) {
    case RDB_OP_EOF: return read_end(reader, error);
    case RDB_OP_AUX: return read_aux(reader, event, error);
    case RDB_OP_SELECTDB: return read_database(reader, event, error);
    case RDB_OP_RESIZEDB: return read_resize(reader, event, error);
    case RDB_OP_FUNCTION: return skip_one(reader, "s", error);
    case RDB_OP_MODULE_AUX:
        return skip_one(reader, "lm", error); /* that it says when it is to be read is a pair, too */
    case RDB_OP_FUNCTION_OLD:
        return broken(reader, error, ST_UNSUPPORTED, no_key, "a function of a release candidate of Redis 7.0.");
    default: return read_key(reader, opcode, event, error);
    }
}

enum rdb_item rdb_next(struct rdb_reader *reader, struct rdb_event *event, struct error *error) {
    enum measured measured;
    struct slice bytes;
    unsigned opcode;
    ASSERT(!reader->over);
    reader->offset = rdb_window_offset(&reader->window);
    *event = (struct rdb_event){.db = reader->db, .offset = reader->offset, .idle_s = -1, .freq = -1};
    do { /* each round passes some bytes */
        measured = hold(reader, "1", &bytes);
        if (measured != MEASURED) return not_measured(reader, error, measured, no_key);
        opcode = (unsigned char)bytes.ptr[0];
        if (!read_attribute(reader, opcode, &measured)) return read_item(reader, opcode, event, error);
    } while (measured == MEASURED);
    return not_measured(reader, error, measured, no_key);
}

/* --- open and close --- */

static enum status read_header(struct rdb_reader *reader, struct error *error) {
    struct slice header, digits;
    int64_t version = 0;
    const char *path = reader->options.path;
    if (hold(reader, "81", &header) != MEASURED)
        return error_set(error, ST_INVALID, 0, "%s: is no RDB file: it is shorter than the head of one.", path);
    if (slice_equal(slice_of(header.ptr, 6), SLICE("VALKEY")))
        return error_set(error, ST_UNSUPPORTED, 0,
                         "%s: was written by Valkey 9 or later, whose format is not known here.", path);
    digits = slice_of(header.ptr + 5, 4);
    for (size_t i = 0; i < digits.len; i++)
        version =
            digits.ptr[i] >= '0' && digits.ptr[i] <= '9' && version >= 0 ? version * 10 + (digits.ptr[i] - '0') : -1;
    if (!slice_equal(slice_of(header.ptr, 5), SLICE("REDIS")) || version < 1)
        return error_set(error, ST_INVALID, 0, "%s: is no RDB file: it does not begin with REDIS and a version.", path);
    if (version > RDB_VERSION_MAX)
        return error_set(error, ST_UNSUPPORTED, 0, "%s: has RDB version %lld; versions 1 to %u can be read.", path,
                         (long long)version, RDB_VERSION_MAX);
    reader->version = (uint32_t)version;
    return ST_OK;
}

enum status rdb_open(struct rdb_reader **out, const struct rdb_reader_options *options, struct error *error) {
    ASSERT(options->path && (options->heap || options->target.store) && (!options->build || options->target.store));
    struct heap *heap = options->heap ? options->heap : options->target.store->heap;
    struct rdb_reader *reader = heap_alloc_zero(heap, MEM_MESSAGE, sizeof *reader);
    reader->options = *options;
    reader->options.target.scratch = &reader->scratch;
    reader->idle_s = reader->freq = -1;
    buf_init(&reader->key_bytes, heap, MEM_MESSAGE);
    buf_init(&reader->name_bytes, heap, MEM_MESSAGE);
    buf_init(&reader->scratch, heap, MEM_MESSAGE);
    enum status status = rdb_window_open(&reader->window, options->path, heap, error);
    if (status != ST_OK) {
        heap_free(heap, MEM_MESSAGE, reader, sizeof *reader);
        return status;
    }
    status = read_header(reader, error);
    if (status == ST_OK)
        *out = reader;
    else
        rdb_close(reader);
    return status;
}

void rdb_close(struct rdb_reader *reader) {
    struct heap *heap = reader->window.heap;
    buf_deinit(&reader->key_bytes);
    buf_deinit(&reader->name_bytes);
    buf_deinit(&reader->scratch);
    rdb_window_close(&reader->window);
    heap_free(heap, MEM_MESSAGE, reader, sizeof *reader);
}

uint64_t rdb_offset(const struct rdb_reader *reader) {
    return rdb_window_offset(&reader->window);
}

uint64_t rdb_size(const struct rdb_reader *reader) {
    return reader->window.size;
}

uint32_t rdb_version(const struct rdb_reader *reader) {
    return reader->version;
}
