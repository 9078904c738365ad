/* Recovery: groups of effects that were written in pieces (shards/effect.h). A piece counts when the end of its group
 * is in what counts of the journal; a crash between two pieces leaves some that never end, and so does a cut.
 *
 * VERIFY notes the ends as it meets them, each segment its own. JOIN, when it knows where the journal ends, puts the
 * names of those that count in order. LOAD asks once per piece. No checkpoint begins or ends between two pieces, since
 * the command holds a lock until its last, so pieces and end are always in the same journal.
 *
 * Memory    24 bytes per group that was longer than a piece, so less than a thousandth of the journal. */
#include "core/alloc.h"
#include "core/assert.h"
#include "persist/recover_priv.h"
#include <stdlib.h>

bool recovery_note_end(struct recovery_segment *segment, const struct recovery_end *end) {
    struct recovery_end *ends =
        recovery_make_room(segment->ends, segment->end_count, &segment->end_cap, sizeof *segment->ends);
    if (!ends) return false;
    segment->ends = ends;
    ends[segment->end_count++] = *end;
    return true;
}

static bool is_before_end(const struct recovery_chain *chain, const struct recovery_end *end) {
    return end->seq <= chain->end_seq || (end->seq == chain->end_seq + 1 && end->offset < chain->end_part);
}

static int by_stamp(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

bool recovery_join_ends(const struct recovery *recovery, struct recovery_chain *chain) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < chain->count; i++) count += recovery->segments[chain->first + i].end_count;
    if (count == 0) return true;
    chain->whole = count <= UINT32_MAX ? shared_alloc(count * sizeof *chain->whole) : NULL;
    if (!chain->whole) return false;
    for (uint32_t i = 0; i < chain->count; i++) {
        const struct recovery_segment *segment = &recovery->segments[chain->first + i];
        for (uint32_t e = 0; e < segment->end_count; e++)
            if (is_before_end(chain, &segment->ends[e])) chain->whole[chain->whole_count++] = segment->ends[e].stamp;
    }
    qsort(chain->whole, chain->whole_count, sizeof *chain->whole, by_stamp);
    return true;
}

bool recovery_is_whole(const struct recovery_chain *chain, uint64_t stamp) {
    return chain->whole_count &&
           bsearch(&stamp, chain->whole, chain->whole_count, sizeof *chain->whole, by_stamp) != NULL;
}
