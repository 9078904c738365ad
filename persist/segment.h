/* Segment: the format of a journal file, written and read. (essay: helper JOURNAL; see /work/plan) */
#pragma once
#include "core/buf.h"
#include "core/slice.h"
#include "core/status.h"

struct segment_header {
    uint64_t boot, first_batch;
    uint32_t shard, shards;
};
struct batch_header {
    uint64_t seq;
    uint32_t payload; /* bytes */
    uint32_t db;      /* selected where it begins */
};

void segment_write_header(struct buf *out, const struct segment_header *header);
void batch_write(struct buf *out, const struct batch_header *header, struct slice payload); /* with its checksum */

enum segment_end {
    SEGMENT_MORE,
    SEGMENT_SEALED,  /* the file ends after a whole batch */
    SEGMENT_OPEN,    /* a tail of zeros follows */
    SEGMENT_TORN,    /* what follows is the beginning of a batch that was not written to its end, then nothing valid */
    SEGMENT_DAMAGED, /* whole batches with later numbers follow what is broken */
};
struct segment_reader; /* reads a file in windows; memory is bounded by the largest batch */
NODISCARD enum status segment_open(struct segment_reader **out, const char *path, struct segment_header *header,
                                   struct error *error);
/* SEGMENT_MORE: fills header and payload (borrowed until the next call); else how it ended. */
enum segment_end segment_next(struct segment_reader *reader, struct batch_header *header, struct slice *payload);
uint64_t segment_offset(const struct segment_reader *reader); /* of the end of the last whole batch */
uint64_t segment_size(const struct segment_reader *reader);
void segment_close(struct segment_reader *reader);

/* What stands in a payload, one after the other: commands as argument slices, and lines. */
enum effect_item { EFFECT_END, EFFECT_COMMAND, EFFECT_TRANSACTION /* #T line */, EFFECT_BROKEN };
struct effect_reader {
    struct slice rest;
    struct slice *argv; /* owned, grown as needed; argc of them are valid */
    uint32_t argc, cap;
    uint64_t stamp, participants;
};
void effect_reader_init(struct effect_reader *reader, struct slice payload);
enum effect_item effect_reader_next(struct effect_reader *reader);
void effect_reader_deinit(struct effect_reader *reader);
