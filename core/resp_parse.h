/* RESP parser: commands out of bytes; multibulk and inline, as Redis reads them. Pure: no sockets, no clock.
 *
 * The common case, a command that lies complete in the bytes, is parsed in one pass into an argv that the caller
 * provides, with slices that point into the bytes: nothing is copied or allocated. A command that is not complete
 * costs a parse from its start when more bytes are there, so the parser says how many bytes it needs at least
 * (need), and commands with many arguments keep their progress in the parser (slow path) instead.
 *
 * Ownership the caller owns the bytes and the argv storage. A parser owns its slow path's memory, if it has any.
 * Validity  argv is valid as long as the bytes; when `command.kept` is set the slices or their array belong to the
 *           parser and are valid until its next call, so such a command is executed before the next is parsed.
 * Limits    argument count INT_MAX, bulk length limits.bulk_max, inline and header lines 64 KiB; error texts are
 *           Redis's. After PARSE_ERROR the connection is to be closed. */
#pragma once
#include "core/alloc.h"
#include "core/slice.h"

enum parse_result {
    PARSE_OK,    /* one command */
    PARSE_EMPTY, /* bytes consumed, but no command in them (an empty line, *0) */
    PARSE_MORE,  /* not complete: command.need bytes are the least that can help */
    PARSE_ARGV,  /* argv_cap is too small for what is complete here: come back with an empty argv array */
    PARSE_ERROR, /* hostile or torn: command.error is the text, without "-ERR " */
};

struct parse_limits {
    uint64_t bulk_max;    /* proto-max-bulk-len */
    bool unauthenticated; /* strangers get 10 arguments of 16 KiB */
};

struct parsed_command {
    struct slice *argv;
    uint32_t argc;
    bool kept;
    size_t size; /* bytes consumed, PARSE_OK and PARSE_EMPTY */
    size_t need; /* PARSE_MORE */
    char error[64];
};

#define PARSE_LINE_MAX (64 * 1024) /* Redis's PROTO_INLINE_MAX_SIZE */

struct resp_slow; /* progress of a large command, or unquoted inline arguments */

struct resp_parser {
    struct heap *heap;
    struct resp_slow *slow; /* NULL until the slow path was needed; freed by resp_parser_reset */
};

void resp_parser_init(struct resp_parser *parser, struct heap *heap);
void resp_parser_reset(struct resp_parser *parser); /* forgets progress, frees memory */

/* bytes start at a command. After PARSE_MORE the next call passes the same bytes, perhaps moved, with more behind. */
enum parse_result resp_parse(struct resp_parser *parser, struct slice bytes, const struct parse_limits *limits,
                             struct slice *argv, uint32_t argv_cap, struct parsed_command *out);
