/* The manifest in memory, and its text.
 *
 * A line is a fixed sequence of words with one space between them, so reading is a list of expectations: each takes
 * what it wants from the line or says what is missing, and the first that fails ends it. Names of files are read by the
 * one function that knows them, so no name leads out of the directory. */
#include "persist/manifest.h"
#include "core/alloc.h"
#include "core/assert.h"
#include "core/crc.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* --- in memory --- */

void manifest_init(struct manifest *manifest) {
    *manifest = (struct manifest){.next = 1};
}

void manifest_deinit(struct manifest *manifest) {
    shared_free(manifest->generations);
    manifest_init(manifest);
}

static bool reserve(struct manifest *manifest, uint32_t count) {
    if (count <= manifest->generation_cap) return true;
    uint32_t cap = MAX(count, manifest->generation_cap * 2);
    struct manifest_generation *larger = shared_alloc(cap * sizeof *larger);
    if (!larger) return false;
    size_t used = manifest->generation_count * sizeof *larger;
    if (used) memcpy(larger, manifest->generations, used);
    shared_free(manifest->generations);
    manifest->generations = larger;
    manifest->generation_cap = cap;
    return true;
}

bool manifest_copy(struct manifest *to, const struct manifest *from) {
    if (!reserve(to, from->generation_count)) return false;
    to->next = from->next;
    to->checkpoint = from->checkpoint;
    to->import = from->import;
    to->generation_count = from->generation_count;
    size_t used = from->generation_count * sizeof *from->generations;
    if (used) memcpy(to->generations, from->generations, used);
    return true;
}

struct manifest_generation *manifest_add_generation(struct manifest *manifest) {
    uint32_t count = manifest->generation_count;
    if (count == MANIFEST_GENERATIONS_MAX || !reserve(manifest, count + 1)) return NULL;
    struct manifest_generation *generation = &manifest->generations[manifest->generation_count++];
    *generation = (struct manifest_generation){0};
    return generation;
}

void manifest_remove_generation(struct manifest *manifest, uint32_t at) {
    ASSERT(at < manifest->generation_count);
    struct manifest_generation *generation = &manifest->generations[at];
    manifest->generation_count--;
    memmove(generation, generation + 1, (manifest->generation_count - at) * sizeof *generation);
}

bool manifest_names(const struct manifest *manifest, struct datadir_name is) {
    const struct manifest_checkpoint *checkpoint = &manifest->checkpoint;
    if (is.kind == DATADIR_CHECKPOINT)
        return checkpoint->number && is.number == checkpoint->number && is.shard < checkpoint->shards;
    if (is.kind != DATADIR_SEGMENT) return false;
    for (uint32_t g = 0; g < manifest->generation_count; g++) {
        const struct manifest_generation *generation = &manifest->generations[g];
        if (is.shard >= generation->shards) continue;
        const struct manifest_range *range = &generation->ranges[is.shard];
        if (is.number >= range->first_segment && (!generation->over || is.number <= range->last_segment)) return true;
    }
    return false;
}

/* What is wrong with a generation that has been read to its end; NULL: nothing. */
static const char *generation_flaw(const struct manifest *manifest, uint32_t at) {
    const struct manifest_generation *generation = &manifest->generations[at];
    if (!generation->over && at + 1 < manifest->generation_count) return "only the last journal may be open";
    for (uint32_t i = 0; i < generation->shards; i++) {
        const struct manifest_range *range = &generation->ranges[i];
        if (range->first_segment == 0 || range->first_seq == 0) return "numbers begin at 1";
        if (!generation->over) continue;
        if (range->last_segment < range->first_segment) return "the last segment is before the first";
        if (range->last_seq + 1 < range->first_seq) return "the last batch is before the first";
    }
    return NULL;
}

static const char *flaw(const struct manifest *manifest) {
    for (uint32_t g = 0; g < manifest->generation_count; g++) {
        const char *found = generation_flaw(manifest, g);
        if (found) return found;
        if (g > 0 && manifest->checkpoint.number && manifest->generations[g].boot == manifest->checkpoint.boot)
            return "the checkpoint's journal is not the first";
    }
    if (manifest->checkpoint.number && manifest->import.path[0]) return "both a checkpoint and an import";
    return manifest->next == 0 ? "numbers begin at 1" : NULL;
}

void manifest_check(const struct manifest *manifest) {
    ASSERT(flaw(manifest) == NULL);
    ASSERT(!strchr(manifest->import.path, '\n'));
    ASSERT(manifest->checkpoint.shards <= SHARDS_MAX);
    for (uint32_t g = 0; g < manifest->generation_count; g++) {
        uint32_t shards = manifest->generations[g].shards;
        ASSERT(shards > 0 && shards <= SHARDS_MAX);
    }
}

/* --- writing --- */

struct text_writer {
    config_emit *emit;
    void *ctx;
    uint64_t crc;
};

static void emit_line(struct text_writer *writer, const char *format, ...) PRINTF_LIKE(2, 3);
static void emit_line(struct text_writer *writer, const char *format, ...) {
    char line[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    ASSERT(len > 0 && (size_t)len < sizeof line);
    writer->crc = crc64(writer->crc, line, (size_t)len);
    writer->emit(writer->ctx, slice_of(line, (size_t)len));
}

static void write_checkpoint(struct text_writer *writer, const struct manifest_checkpoint *checkpoint) {
    char name[DATADIR_NAME_MAX];
    emit_line(writer, "checkpoint %" PRIu64 " shards %" PRIu32 " boot %016" PRIx64 "\n", checkpoint->number,
              checkpoint->shards, checkpoint->boot);
    for (uint32_t i = 0; i < checkpoint->shards; i++) {
        const struct manifest_file *file = &checkpoint->files[i];
        datadir_checkpoint_name(name, i, checkpoint->number);
        emit_line(writer,
                  "file %s bytes %" PRIu64 " crc64 %016" PRIx64 " last %" PRIu64 " seed %016" PRIx64 "%016" PRIx64 "\n",
                  name, file->bytes, file->crc64, file->last, file->seed.k0, file->seed.k1);
    }
}

static void write_generation(struct text_writer *writer, const struct manifest_generation *generation) {
    char first[DATADIR_NAME_MAX], last[DATADIR_NAME_MAX];
    emit_line(writer, "journal boot %016" PRIx64 " shards %" PRIu32 "%s\n", generation->boot, generation->shards,
              generation->over ? " over" : "");
    for (uint32_t i = 0; i < generation->shards; i++) {
        const struct manifest_range *range = &generation->ranges[i];
        datadir_segment_name(first, i, range->first_segment);
        datadir_segment_name(last, i, range->last_segment);
        if (generation->over)
            emit_line(writer, "log %s seq %" PRIu64 " to %s seq %" PRIu64 " part %" PRIu64 "\n", first,
                      range->first_seq, last, range->last_seq, range->last_part);
        else
            emit_line(writer, "log %s seq %" PRIu64 "\n", first, range->first_seq);
    }
}

static void write_import(struct text_writer *writer, const struct manifest_import *import) {
    struct slice path = slice_of_cstr(import->path);
    emit_line(writer, "import bytes %" PRIu64 " crc64 %016" PRIx64 " ", import->bytes, import->crc64);
    writer->crc = crc64(writer->crc, path.ptr, path.len);
    writer->emit(writer->ctx, path);
    emit_line(writer, "\n");
}

void manifest_write(const struct manifest *manifest, config_emit *emit, void *ctx) {
    struct text_writer writer = {emit, ctx, 0};
    manifest_check(manifest);
    emit_line(&writer, "sherd-manifest 1\n");
    emit_line(&writer, "next %" PRIu64 "\n", manifest->next);
    if (manifest->checkpoint.number) write_checkpoint(&writer, &manifest->checkpoint);
    if (manifest->import.path[0]) write_import(&writer, &manifest->import);
    for (uint32_t g = 0; g < manifest->generation_count; g++) write_generation(&writer, &manifest->generations[g]);
    emit_line(&writer, "checksum %016" PRIx64 "\n", writer.crc);
}

/* --- reading --- */

struct text_reader {
    struct slice rest; /* of the text */
    struct slice line; /* what is left of this line */
    uint32_t number;   /* of this line, from 1 */
    const char *wrong; /* what the first failed expectation wanted; NULL: all is well */
};

/* The next line without its newline; false at the end of the text. */
static bool next_line(struct text_reader *reader) {
    if (reader->rest.len == 0) return false;
    const char *end = memchr(reader->rest.ptr, '\n', reader->rest.len);
    reader->number++;
    if (!end) {
        reader->wrong = "a newline at the end of the line";
        return false;
    }
    size_t len = (size_t)(end - reader->rest.ptr);
    reader->line = slice_of(reader->rest.ptr, len);
    reader->rest = slice_of(end + 1, reader->rest.len - len - 1);
    /* take_word takes the space behind a word; so one at the end would go unseen. */
    if (len > 0 && end[-1] == ' ') reader->wrong = "no space at the end of the line";
    return !reader->wrong;
}

static bool miss(struct text_reader *reader, const char *wanted) {
    if (!reader->wrong) reader->wrong = wanted;
    return false;
}

static struct slice take_word(struct text_reader *reader) {
    const char *space = reader->line.len ? memchr(reader->line.ptr, ' ', reader->line.len) : NULL;
    struct slice word = space ? slice_of(reader->line.ptr, (size_t)(space - reader->line.ptr)) : reader->line;
    size_t taken = word.len + (space != NULL);
    reader->line = slice_of(reader->line.ptr + taken, reader->line.len - taken);
    return word;
}

static bool is_next(const struct text_reader *reader, const char *text) {
    struct slice word = slice_of_cstr(text);
    return reader->line.len >= word.len && memcmp(reader->line.ptr, word.ptr, word.len) == 0 &&
           (reader->line.len == word.len || reader->line.ptr[word.len] == ' ');
}

static bool expect(struct text_reader *reader, const char *text) {
    if (!is_next(reader, text)) return miss(reader, text);
    take_word(reader);
    return true;
}

static bool expect_end(struct text_reader *reader) {
    return reader->line.len == 0 || miss(reader, "the end of the line");
}

/* Decimal, at most DATADIR_NUMBER_MAX, spelled in one way only. */
static bool expect_number(struct text_reader *reader, uint64_t max, uint64_t *out) {
    struct slice word = take_word(reader);
    uint64_t value = 0;
    if (word.len == 0 || word.len > 18 || (word.len > 1 && word.ptr[0] == '0')) return miss(reader, "a number");
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] < '0' || word.ptr[i] > '9') return miss(reader, "a number");
        value = value * 10 + (uint64_t)(word.ptr[i] - '0');
    }
    *out = value;
    return value <= max || miss(reader, "a smaller number");
}

static bool expect_count(struct text_reader *reader, uint32_t *out) {
    uint64_t value = 0;
    if (!expect_number(reader, SHARDS_MAX, &value)) return false;
    *out = (uint32_t)value;
    return value > 0 || miss(reader, "a number of shards above 0");
}

static bool hex_digits(struct slice digits, uint64_t *out) {
    *out = 0;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.ptr[i];
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value < 0) return false;
        *out = *out << 4 | (uint64_t)value;
    }
    return true;
}

static bool expect_hex(struct text_reader *reader, uint64_t *out) {
    struct slice word = take_word(reader);
    return (word.len == 16 && hex_digits(word, out)) || miss(reader, "16 hexadecimal digits");
}

static bool expect_seed(struct text_reader *reader, struct hash_seed *out) {
    struct slice word = take_word(reader);
    return (word.len == 32 && hex_digits(slice_of(word.ptr, 16), &out->k0) &&
            hex_digits(slice_of(word.ptr + 16, 16), &out->k1)) ||
           miss(reader, "32 hexadecimal digits");
}

static bool expect_name(struct text_reader *reader, enum datadir_kind kind, uint32_t shard, uint64_t *number) {
    struct datadir_name is = datadir_parse_name(take_word(reader));
    if (is.kind != kind) return miss(reader, kind == DATADIR_SEGMENT ? "a segment's name" : "a checkpoint file's name");
    if (is.shard != shard) return miss(reader, "a file of the shard that comes next");
    *number = is.number;
    return true;
}

static bool read_file_line(struct text_reader *reader, const struct manifest_checkpoint *checkpoint, uint32_t shard,
                           struct manifest_file *file) {
    uint64_t number = 0;
    bool fits = next_line(reader) && expect(reader, "file") &&
                expect_name(reader, DATADIR_CHECKPOINT, shard, &number) && expect(reader, "bytes") &&
                expect_number(reader, DATADIR_NUMBER_MAX, &file->bytes) && expect(reader, "crc64") &&
                expect_hex(reader, &file->crc64) && expect(reader, "last") &&
                expect_number(reader, DATADIR_NUMBER_MAX, &file->last) && expect(reader, "seed") &&
                expect_seed(reader, &file->seed) && expect_end(reader);
    if (!fits) return miss(reader, "a file line for each shard");
    return number == checkpoint->number || miss(reader, "the checkpoint's number in the name");
}

static bool read_checkpoint(struct text_reader *reader, struct manifest_checkpoint *checkpoint) {
    if (!expect(reader, "checkpoint") || !expect_number(reader, DATADIR_NUMBER_MAX, &checkpoint->number)) return false;
    if (checkpoint->number == 0) return miss(reader, "a number above 0");
    if (!expect(reader, "shards") || !expect_count(reader, &checkpoint->shards)) return false;
    if (!expect(reader, "boot") || !expect_hex(reader, &checkpoint->boot) || !expect_end(reader)) return false;
    for (uint32_t i = 0; i < checkpoint->shards; i++)
        if (!read_file_line(reader, checkpoint, i, &checkpoint->files[i])) return false;
    return true;
}

static bool read_import(struct text_reader *reader, struct manifest_import *import) {
    if (!expect(reader, "import") || !expect(reader, "bytes")) return false;
    if (!expect_number(reader, DATADIR_NUMBER_MAX, &import->bytes)) return false;
    if (!expect(reader, "crc64") || !expect_hex(reader, &import->crc64)) return false;
    struct slice path = reader->line;
    if (path.len == 0 || path.len >= sizeof import->path || memchr(path.ptr, 0, path.len))
        return miss(reader, "a path");
    memcpy(import->path, path.ptr, path.len);
    import->path[path.len] = 0;
    return true;
}

static bool read_end(struct text_reader *reader, uint32_t shard, struct manifest_range *range) {
    return expect(reader, "to") && expect_name(reader, DATADIR_SEGMENT, shard, &range->last_segment) &&
           expect(reader, "seq") && expect_number(reader, DATADIR_NUMBER_MAX, &range->last_seq) &&
           expect(reader, "part") && expect_number(reader, DATADIR_NUMBER_MAX, &range->last_part);
}

static bool read_log_line(struct text_reader *reader, bool over, uint32_t shard, struct manifest_range *range) {
    if (!next_line(reader)) return miss(reader, "a log line for each shard");
    return expect(reader, "log") && expect_name(reader, DATADIR_SEGMENT, shard, &range->first_segment) &&
           expect(reader, "seq") && expect_number(reader, DATADIR_NUMBER_MAX, &range->first_seq) &&
           (!over || read_end(reader, shard, range)) && expect_end(reader);
}

static bool read_generation(struct text_reader *reader, struct manifest *manifest) {
    struct manifest_generation *generation = manifest_add_generation(manifest);
    if (!generation) return miss(reader, "fewer journals");
    if (!expect(reader, "journal") || !expect(reader, "boot") || !expect_hex(reader, &generation->boot)) return false;
    if (!expect(reader, "shards") || !expect_count(reader, &generation->shards)) return false;
    generation->over = reader->line.len > 0;
    if (generation->over && (!expect(reader, "over") || !expect_end(reader))) return false;
    for (uint32_t i = 0; i < generation->shards; i++)
        if (!read_log_line(reader, generation->over, i, &generation->ranges[i])) return false;
    return true;
}

/* All but the checksum, which the caller has read. */
static bool read_lines(struct text_reader *reader, struct manifest *manifest) {
    if (!next_line(reader) || !expect(reader, "sherd-manifest") || !expect(reader, "1") || !expect_end(reader))
        return miss(reader, "sherd-manifest 1");
    if (!next_line(reader) || !expect(reader, "next") || !expect_number(reader, DATADIR_NUMBER_MAX, &manifest->next) ||
        !expect_end(reader))
        return miss(reader, "next");
    while (next_line(reader)) {
        bool first = !manifest->checkpoint.number && !manifest->import.path[0] && manifest->generation_count == 0;
        if (first && is_next(reader, "checkpoint")) {
            if (!read_checkpoint(reader, &manifest->checkpoint)) return false;
        } else if (first && is_next(reader, "import")) {
            if (!read_import(reader, &manifest->import)) return false;
        } else if (!read_generation(reader, manifest)) {
            return false;
        }
    }
    return !reader->wrong;
}

#define CHECKSUM_LINE (sizeof "checksum 0123456789abcdef\n" - 1)

/* Cuts the last line off text and compares it with the rest. */
static bool take_checksum(struct slice *text) {
    if (text->len < CHECKSUM_LINE) return false;
    size_t len = text->len - CHECKSUM_LINE;
    const char *line = text->ptr + len;
    uint64_t crc;
    if (memcmp(line, "checksum ", 9) != 0 || line[CHECKSUM_LINE - 1] != '\n') return false;
    if (!hex_digits(slice_of(line + 9, 16), &crc)) return false;
    *text = slice_of(text->ptr, len);
    return crc == crc64(0, text->ptr, len);
}

enum status manifest_parse(struct manifest *manifest, struct slice text, const char *file, struct error *error) {
    struct text_reader reader = {.rest = text};
    if (!take_checksum(&reader.rest))
        return error_set(error, ST_INVALID, 0,
                         "%s: the checksum on its last line is missing or wrong: the file is damaged or was edited",
                         file);
    if (!read_lines(&reader, manifest)) {
        manifest_deinit(manifest);
        return error_set(error, ST_INVALID, 0, "%s:%" PRIu32 ": expected %s", file, reader.number, reader.wrong);
    }
    const char *found = flaw(manifest);
    if (!found) return ST_OK;
    manifest_deinit(manifest);
    return error_set(error, ST_INVALID, 0, "%s: contradicts itself: %s", file, found);
}
