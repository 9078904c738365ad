/* Fuzz: the RESP parser gives the same commands, and the same error, whether a stream comes whole or in pieces.
 *
 * The first 8 bytes of the input seed the sizes of the pieces and the room for arguments, the rest is the stream. Each
 * call's bytes lie in a block of exactly their size, so that a sanitizer sees each byte read too many.
 *
 * With libFuzzer (SHERD_FUZZ, clang) this is a target; without it main plays streams from a seeded generator:
 *
 *    resp_parse_fuzz [seconds [seed]]        default: 2 seconds of seed 1; `smoke` in ctest */
#include "core/assert.h"
#include "core/buf.h"
#include "core/prng.h"
#include "core/resp_parse.h"
#include "core/resp_write.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ARGV_CAP   64
#define SEED_BYTES 8
/* Longer lines are refused when they come in pieces and read when they come whole, as in Redis. */
#define STREAM_MAX (60 * 1024)

struct reading {
    struct resp_parser parser;
    struct parse_limits limits;
    struct buf *seen; /* commands as RESP, and the error if there was one */
    size_t consumed, need;
    bool failed;
};

/* Parses what is complete in stream[consumed .. available). */
static void read_available(struct reading *r, const uint8_t *stream, size_t available, struct prng *prng) {
    bool room = true;
    while (!r->failed) {
        size_t len = available - r->consumed;
        char *moved = malloc(len + (len == 0));
        ASSERT(moved);
        memcpy(moved, stream + r->consumed, len);
        struct slice argv[ARGV_CAP];
        struct parsed_command command;
        uint32_t cap = room && prng ? (uint32_t)prng_below(prng, ARGV_CAP + 1) : ARGV_CAP;
        enum parse_result result = resp_parse(&r->parser, slice_of(moved, len), &r->limits, argv, cap, &command);
        if (result == PARSE_OK) {
            ASSERT(command.argc > 0);
            resp_command(r->seen, command.argv, command.argc);
        }
        free(moved);
        room = result != PARSE_ARGV;
        if (!room) {
            ASSERT(cap < ARGV_CAP);
            continue;
        }
        if (result == PARSE_MORE) {
            ASSERT(command.need > len);
            r->need = r->consumed + command.need;
            return;
        }
        ASSERT(available >= r->need); /* less than was asked for never helps */
        if (result == PARSE_ERROR) {
            resp_error(r->seen, slice_of_cstr(command.error));
            r->failed = true;
            return;
        }
        ASSERT(command.size > 0 && command.size <= len);
        r->consumed += command.size;
        r->need = 0;
    }
}

/* prng NULL: whole. */
static size_t read_stream(struct heap *heap, const uint8_t *stream, size_t len, struct prng *prng, bool stranger,
                          struct buf *seen) {
    struct reading r = {.limits = {.bulk_max = 4096, .unauthenticated = stranger}, .seen = seen};
    resp_parser_init(&r.parser, heap);
    size_t available = 0;
    uint64_t piece_max = prng ? (uint64_t)1 << prng_below(prng, 12) : 0;
    while (available < len) {
        size_t piece = prng ? 1 + prng_below(prng, piece_max) : len;
        available += MIN(piece, len - available);
        read_available(&r, stream, available, prng);
    }
    resp_parser_reset(&r.parser);
    ASSERT(heap_used(heap, MEM_CLIENT_IN) == 0);
    return r.failed ? 0 : r.consumed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < SEED_BYTES || size > STREAM_MAX) return 0;
    static struct heap *heap;
    if (!heap) heap = heap_new();
    uint64_t seed;
    memcpy(&seed, data, SEED_BYTES);
    struct prng prng;
    prng_init(&prng, seed);
    bool stranger = prng_below(&prng, 4) == 0;
    struct buf whole, pieces;
    buf_init(&whole, heap, MEM_MESSAGE);
    buf_init(&pieces, heap, MEM_MESSAGE);
    size_t a = read_stream(heap, data + SEED_BYTES, size - SEED_BYTES, NULL, stranger, &whole);
    size_t b = read_stream(heap, data + SEED_BYTES, size - SEED_BYTES, &prng, stranger, &pieces);
    ASSERT(a == b);
    ASSERT(whole.len == pieces.len);
    ASSERT(whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0);
    buf_deinit(&whole);
    buf_deinit(&pieces);
    return 0;
}

#ifndef SHERD_LIBFUZZER

/* Mostly commands, some inline, now and then a byte of damage. */
static size_t generate(struct prng *prng, char *out, size_t cap) {
    static const char *const pieces[] = {
        "PING\r\n", "set a \"b\\x41 c\"\r\n", "\r\n", "get 'a b'\n", "*0\r\n", "*-1\r\n", "x \"un\r\n", " a\vb\f \n"};
    size_t len = 0;
    uint64_t commands = 1 + prng_below(prng, 12);
    while (commands-- > 0 && len + 8192 < cap) {
        if (prng_below(prng, 5) == 0) {
            const char *piece = pieces[prng_below(prng, ARRAY_LEN(pieces))];
            memcpy(out + len, piece, strlen(piece));
            len += strlen(piece);
            continue;
        }
        uint64_t argc = 1 + prng_below(prng, prng_below(prng, 6) ? 5 : 150);
        len += resp_header(out + len, '*', (int64_t)argc);
        while (argc-- > 0) {
            size_t bytes = prng_below(prng, prng_below(prng, 60) ? 20 : 400);
            if (len + bytes + 64 > cap) return len;
            len += resp_header(out + len, '$', (int64_t)bytes);
            for (size_t i = 0; i < bytes; i++) out[len++] = (char)prng_next(prng);
            out[len++] = '\r';
            out[len++] = '\n';
        }
    }
    for (uint64_t damage = prng_below(prng, 3); damage > 0 && len > 0; damage--)
        if (prng_below(prng, 3) == 0) out[prng_below(prng, len)] = "\r\n$*0-9\"'\\x"[prng_below(prng, 12)];
    return len;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    static char stream[STREAM_MAX];
    struct prng prng;
    prng_init(&prng, seed);
    uint64_t runs = 0;
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    for (; clock() < end; runs++) {
        uint64_t pieces = prng_next(&prng);
        memcpy(stream, &pieces, SEED_BYTES);
        size_t len = generate(&prng, stream + SEED_BYTES, sizeof stream - SEED_BYTES);
        LLVMFuzzerTestOneInput((const uint8_t *)stream, SEED_BYTES + len);
    }
    printf("%llu streams of seed %llu\n", (unsigned long long)runs, (unsigned long long)seed);
    return 0;
}

#endif
