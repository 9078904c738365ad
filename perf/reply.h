/* Reply: counts RESP replies in a stream of bytes without building them.
 *
 * A generator only wants to know how many replies came, how many were errors or nil, and (with
 * --verify) whether the values are the right ones. Aggregates need no stack for that: an array of n
 * just means n more elements before the reply is over, however deep they are. Bytes may be cut
 * anywhere; the state carries over.
 *
 * Speed comes from sameness: replies of one workload look alike, so the shape of the last bulk
 * ("$64\r\n", 64 bytes,
 * "\r\n") is compared as one masked word and skipped whole, about 2 ns each. Anything else goes
 * through the byte-by-byte path.
 *
 * RESP2 and RESP3 (+ - : $ * _ # , ( ! = % ~ > |). A push ('>') is not a reply and is not counted;
 * attributes ('|') belong to the reply that follows. One state per connection, no threads, no
 * memory of its own. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sees the values of bulk strings, for --verify: a piece of `len` bytes at `offset` of a bulk of
 * `total` bytes; `total` is -1 for nil, then there is no piece. */
typedef void reply_value_fn(void *context, const char *piece, size_t len, uint64_t offset, int64_t total);

struct reply_state {
    /* where we are */
    uint64_t pending; /* elements missing of the current reply; 0 between replies */
    uint64_t skip;    /* bytes of a bulk, with its CRLF, still to come */
    uint64_t number;  /* of the header line being read */
    bool in_line, negative, malformed, push;
    char type; /* of the line being read */
    /* the shape of the last bulk */
    uint64_t shape_mask, shape_head;
    size_t shape_size; /* of the whole element; 0: none */
    /* results, counted up forever */
    uint64_t errors, nils;
    char error_text[120]; /* the first one */
    /* verify; NULL: off */
    reply_value_fn *value_fn;
    void *value_context;
    uint64_t bulk_size;
};

void reply_init(struct reply_state *s, reply_value_fn *value_fn, void *value_context);

/* Reads all of `bytes` and returns how many replies ended in it; -1: this is not RESP. O(len). */
int64_t reply_skip(struct reply_state *s, const char *bytes, size_t len);
