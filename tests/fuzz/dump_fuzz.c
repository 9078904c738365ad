/* Fuzz: RESTORE payloads. Proves that no bytes make the reader step outside its input or reserve out of proportion, and
 * that whatever it accepts is written and read back as the same value.
 *
 * With libFuzzer (SHERD_FUZZ, clang) this is a target; without it main plays mutations of good payloads:
 *
 *    dump_fuzz [seconds [seed]]        default: 2 seconds of seed 1; `smoke` in ctest */
#include "core/assert.h"
#include "core/crc.h"
#include "core/prng.h"
#include "shards/dump.h"
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    struct heap *heap;
    struct buf scratch, out, again;
};

/* One heap for all inputs of the process; a fuzzer has one thread. */
static struct fuzz *fuzz_get(void) {
    static struct fuzz fuzz;
    if (fuzz.heap) return &fuzz;
    fuzz.heap = heap_new();
    ASSERT(fuzz.heap);
    buf_init(&fuzz.scratch, fuzz.heap, MEM_DATA);
    buf_init(&fuzz.out, fuzz.heap, MEM_DATA);
    buf_init(&fuzz.again, fuzz.heap, MEM_DATA);
    return &fuzz;
}

static void write_and_read_back(struct fuzz *fuzz, struct slice value, bool compress) {
    fuzz->out.len = 0;
    dump_write_string(&fuzz->out, value, compress);
    struct slice rest = buf_slice(&fuzz->out), back;
    bool fits = dump_read_string(&rest, &fuzz->again, &back);
    ASSERT(fits && slice_equal(value, back) && rest.len == 0);
}

static void read_body(struct fuzz *fuzz, struct slice bytes) {
    struct slice rest = bytes, value;
    bool fits = dump_read_body(&rest, &fuzz->scratch, &value);
    ASSERT(fuzz->scratch.cap <= 128 * bytes.len + 4096); /* LZF unpacks to 88 times its size at most; bufs double */
    if (!fits) return;
    ASSERT(rest.len < bytes.len && rest.ptr + rest.len == bytes.ptr + bytes.len);
    write_and_read_back(fuzz, value, false);
    write_and_read_back(fuzz, value, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz *fuzz = fuzz_get();
    struct slice bytes = slice_of((const char *)data, size);
    (void)dump_footer_fits(bytes);
    read_body(fuzz, bytes);
    uint64_t len;
    struct slice rest = bytes;
    if (dump_read_length(&rest, &len)) ASSERT(rest.len < size);
    buf_reset(&fuzz->scratch, 0); /* so that its size says what this input asked for */
    return 0;
}

#ifndef SHERD_LIBFUZZER

#define INPUT_MAX 4096

/* A string between one repeated byte and noise, or a number, in one of the forms of RDB. */
static size_t good_body(struct prng *prng, struct fuzz *fuzz, char *out) {
    char text[INPUT_MAX / 4];
    size_t len = prng_below(prng, prng_below(prng, 4) ? 64 : sizeof text);
    uint64_t alphabet = 1ull << prng_below(prng, 9);
    for (size_t i = 0; i < len; i++) text[i] = (char)('0' + prng_below(prng, alphabet));
    if (prng_below(prng, 4) == 0) {
        len = (size_t)snprintf(text, sizeof text, "%lld", (long long)prng_next(prng) >> prng_below(prng, 64));
    }
    fuzz->out.len = 0;
    buf_append_literal(&fuzz->out, "\0");
    dump_write_string(&fuzz->out, slice_of(text, len), prng_below(prng, 4) != 0);
    memcpy(out, fuzz->out.data, fuzz->out.len);
    return fuzz->out.len;
}

static size_t mutate(struct prng *prng, char *bytes, size_t len) {
    for (uint64_t changes = prng_below(prng, 5); changes > 0 && len > 1; changes--) {
        size_t at = prng_below(prng, prng_below(prng, 2) ? len : MIN(len, (size_t)8));
        switch (prng_below(prng, 5)) {
        case 0: bytes[at] = (char)prng_next(prng); break;
        case 1: bytes[at] = (char)((unsigned char)bytes[at] ^ 1u << prng_below(prng, 8)); break;
        case 2: len = at + 1; break;
        case 3: /* a head that starts another form */
            bytes[at] = "\x3f\x7f\x80\x81\xc0\xc1\xc2\xc3\xc4\xe0\xff"[prng_below(prng, 11)];
            break;
        default: /* one byte fewer */ memmove(bytes + at, bytes + at + 1, len - at - 1); len--;
        }
    }
    return len;
}

static void play_round(struct prng *prng) {
    char bytes[INPUT_MAX];
    size_t len = mutate(prng, bytes, good_body(prng, fuzz_get(), bytes));
    bool with_footer = prng_below(prng, 2);
    size_t size = len + (with_footer ? DUMP_FOOTER : 0);
    uint8_t *exact = malloc(size); /* a block of its size, for AddressSanitizer */
    ASSERT(exact);
    memcpy(exact, bytes, len);
    if (with_footer) {
        uint16_t version = htole16((uint16_t)prng_below(prng, 16));
        memcpy(exact + len, &version, 2);
        uint64_t crc = htole64(crc64(0, exact, len + 2));
        memcpy(exact + len + 2, &crc, 8);
    }
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct prng prng;
    prng_init(&prng, seed);
    uint64_t rounds = 0;
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    for (; clock() < end; rounds++) play_round(&prng);
    printf("%llu payloads of seed %llu\n", (unsigned long long)rounds, (unsigned long long)seed);
    return 0;
}

#endif
