/* LCS: the longest common subsequence of two strings, as the LCS command answers it.
 *
 * Pure: bytes in, a reply out. Time is O(N*M) and not sliced, as in Redis; memory is 4 bytes times N*M while it runs
 * (with LEN alone only 4 times the shorter length), and inputs for which the former exceeds memory_max are refused,
 * which bounds the time, too: 2^27 steps at Redis's default of 512 MiB. */
#pragma once
#include "core/buf.h"

struct lcs_options {
    bool len, idx, with_match_len;
    int64_t min_match_len; /* with idx: shorter matches are not listed */
    uint64_t memory_max;   /* bytes; the caller sets it, lcs_parse_options does not */
};

/* The words behind the two keys. Returns an error with its code, NULL when all is well. */
const char *lcs_parse_options(const struct slice *words, uint32_t count, struct lcs_options *out);

/* Writes the reply in protocol 2 or 3. Returns an error with its code instead, out is untouched then. */
const char *lcs_reply(struct heap *heap, struct slice a, struct slice b, const struct lcs_options *options, int resp,
                      struct buf *out);
