/* Packed: elements are encoded byte for byte as the listpack specification says, a run reads the same both ways and
 * agrees with a plain array of strings under random edits, and no bytes that packed_valid accepts lead a reader outside
 * of them.
 *
 * Runs under test lie in heap blocks of exactly their size, so that the address sanitizer sees a step too far. */
#include "core/num.h"
#include "core/packed.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct prng seeded(void) {
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    return prng;
}

/* --- the encoding --- */

static void assert_encoded(struct slice text, struct slice expected) {
    struct packed_value value = packed_value_of(text), back;
    char *exact = malloc(packed_size(&value)), scratch[PACKED_SCRATCH];
    assert_int_equal(packed_size(&value), expected.len);
    assert_ptr_equal(packed_write(exact, &value), exact + expected.len);
    assert_memory_equal(exact, expected.ptr, expected.len);
    assert_ptr_equal(packed_read(exact, &back), exact + expected.len);
    assert_ptr_equal(packed_next(exact), exact + expected.len);
    assert_ptr_equal(packed_prev(exact + expected.len), exact);
    assert_true(packed_equal(&back, &value));
    assert_true(slice_equal(packed_text(&back, scratch), text));
    free(exact);
}

static void integers_as_the_specification_says(void **state) {
    (void)state;
    assert_encoded(SLICE("0"), SLICE("\x00\x01"));
    assert_encoded(SLICE("127"), SLICE("\x7f\x01"));
    assert_encoded(SLICE("128"), SLICE("\xc0\x80\x02"));
    assert_encoded(SLICE("-1"), SLICE("\xdf\xff\x02"));
    assert_encoded(SLICE("4095"), SLICE("\xcf\xff\x02"));
    assert_encoded(SLICE("-4096"), SLICE("\xd0\x00\x02"));
    assert_encoded(SLICE("4096"), SLICE("\xf1\x00\x10\x03"));
    assert_encoded(SLICE("-32768"), SLICE("\xf1\x00\x80\x03"));
    assert_encoded(SLICE("32768"), SLICE("\xf2\x00\x80\x00\x04"));
    assert_encoded(SLICE("-8388608"), SLICE("\xf2\x00\x00\x80\x04"));
    assert_encoded(SLICE("8388608"), SLICE("\xf3\x00\x00\x80\x00\x05"));
    assert_encoded(SLICE("-2147483648"), SLICE("\xf3\x00\x00\x00\x80\x05"));
    assert_encoded(SLICE("2147483648"), SLICE("\xf4\x00\x00\x00\x80\x00\x00\x00\x00\x09"));
    assert_encoded(SLICE("-9223372036854775808"), SLICE("\xf4\x00\x00\x00\x00\x00\x00\x00\x80\x09"));
}

static void text_as_the_specification_says(void **state) {
    (void)state;
    static const size_t lens[] = {0, 1, 62, 63, 64, 125, 126, 4094, 4095, 4096, 16378, 16379, 2097146, 2097147};
    assert_encoded(SLICE(""), SLICE("\x80\x01"));
    assert_encoded(SLICE("a"), SLICE("\x81\x61\x02"));
    assert_encoded(SLICE("-0"), SLICE("\x82\x2d\x30\x03"));
    assert_encoded(SLICE("9223372036854775808"), SLICE("\x93"
                                                       "9223372036854775808"
                                                       "\x14"));
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        size_t len = lens[i], head = len < 64 ? 1 : len < 4096 ? 2 : 5, body = head + len;
        if (len > 4u << 20) abort(); /* gcc's analysis of sizes wants to hear it */
        size_t tail = body <= 127 ? 1 : body < 16383 ? 2 : body < 2097151 ? 3 : 4;
        char *text = malloc(len + 1), *expected = malloc(body + tail);
        memset(text, 'x', len);
        if (head == 1) {
            expected[0] = (char)(0x80 | len);
        } else if (head == 2) {
            expected[0] = (char)(0xe0 | len >> 8);
            expected[1] = (char)(len & 255);
        } else {
            uint32_t wire = (uint32_t)len;
            expected[0] = (char)0xf0;
            memcpy(expected + 1, &wire, 4);
        }
        memcpy(expected + head, text, len);
        for (size_t j = 0; j < tail; j++)
            expected[body + tail - 1 - j] = (char)((body >> 7 * j & 127) | (j + 1 < tail ? 128 : 0));
        assert_encoded(slice_of(text, len), slice_of(expected, body + tail));
        free(text);
        free(expected);
    }
}

/* --- the model --- */

#define MODEL_MAX 200
#define TEXT_MAX  5000

struct text {
    char *bytes;
    size_t len;
};

struct model {
    struct prng prng;
    struct text texts[MODEL_MAX]; /* the twin */
    uint32_t count;
    char *bytes; /* the run, a block of its size */
    size_t len;
};

/* Few distinct ones, so that searches find something; numbers of every width. */
static struct text random_text(struct prng *prng) {
    struct text text = {.bytes = malloc(TEXT_MAX)};
    uint64_t kind = prng_below(prng, 20);
    if (kind < 8) {
        text.len = num_format_i64(text.bytes, (int64_t)prng_below(prng, 6) - 2);
    } else if (kind < 12) {
        text.len = num_format_i64(text.bytes, (int64_t)prng_next(prng) >> prng_below(prng, 64));
    } else {
        uint64_t longest = kind < 18 ? 4 : kind < 19 ? 200 : TEXT_MAX;
        text.len = prng_below(prng, longest + 1);
        memset(text.bytes, (int)('a' + prng_below(prng, 2)), text.len);
    }
    return text;
}

static struct slice text_slice(const struct text *text) {
    return slice_of(text->bytes, text->len);
}

static struct packed model_run(const struct model *model) {
    return (struct packed){model->bytes, model->bytes + model->len, model->count};
}

/* The run with `remove` bytes at `at` replaced by a new element or nothing. */
static void splice(struct model *model, size_t at, size_t remove, const struct text *text) {
    struct packed_value value = packed_value_of(text ? text_slice(text) : SLICE(""));
    size_t insert = text ? packed_size(&value) : 0, len = model->len - remove + insert;
    char *fresh = malloc(len + 1); /* one more: never 0 */
    memcpy(fresh, model->bytes, at);
    if (text) packed_write(fresh + at, &value);
    memcpy(fresh + at + insert, model->bytes + at + remove, model->len - at - remove);
    free(model->bytes);
    model->bytes = malloc(len ? len : 1);
    memcpy(model->bytes, fresh, len);
    model->len = len;
    free(fresh);
}

static void twin_insert(struct model *model, uint32_t at, struct text text) {
    memmove(&model->texts[at + 1], &model->texts[at], (model->count - at) * sizeof text);
    model->texts[at] = text;
    model->count++;
}

static void twin_remove(struct model *model, uint32_t at) {
    free(model->texts[at].bytes);
    model->count--;
    memmove(&model->texts[at], &model->texts[at + 1], (model->count - at) * sizeof *model->texts);
}

static void purge(struct model *model) {
    struct text text = random_text(&model->prng);
    struct packed_value sought = packed_value_of(text_slice(&text));
    struct packed run = model_run(model);
    uint32_t skip = (uint32_t)prng_below(&model->prng, 3), gone, equal = 0, expected = 0;
    uint64_t max = prng_below(&model->prng, 4);
    if (prng_below(&model->prng, 2)) max = UINT64_MAX;
    for (uint32_t i = 0; i < model->count; i++) equal += slice_equal(text_slice(&model->texts[i]), text_slice(&text));
    assert_int_equal(packed_count_equal(&run, &sought), equal);
    model->len =
        (size_t)(packed_purge(model->bytes, model->bytes + model->len, &sought, skip, max, &gone) - model->bytes);
    for (uint32_t i = 0; i < model->count && expected < max;) {
        bool matches = slice_equal(text_slice(&model->texts[i]), text_slice(&text));
        if (matches && skip == 0) {
            twin_remove(model, i);
            expected++;
            continue;
        }
        skip -= matches;
        i++;
    }
    assert_int_equal(gone, expected);
    free(text.bytes);
}

static void step(struct model *model) {
    struct packed run = model_run(model);
    uint32_t at = (uint32_t)prng_below(&model->prng, model->count + 1);
    size_t offset = (size_t)(packed_at(&run, at) - run.begin), size = 0;
    if (at < model->count) size = (size_t)(packed_next(run.begin + offset) - run.begin) - offset;
    uint64_t what = prng_below(&model->prng, 10);
    if (what == 0) {
        purge(model);
    } else if (what < 6 && model->count < MODEL_MAX) {
        struct text text = random_text(&model->prng);
        splice(model, offset, 0, &text);
        twin_insert(model, at, text);
    } else if (at < model->count && what < 8) {
        splice(model, offset, size, NULL);
        twin_remove(model, at);
    } else if (at < model->count) {
        struct text text = random_text(&model->prng);
        splice(model, offset, size, &text);
        free(model->texts[at].bytes);
        model->texts[at] = text;
    }
}

static void assert_same_element(const char *at, const struct text *text) {
    char scratch[PACKED_SCRATCH];
    struct packed_value value;
    (void)packed_read(at, &value);
    assert_true(slice_equal(packed_text(&value, scratch), text_slice(text)));
}

static void assert_same(const struct model *model) {
    struct packed run = model_run(model);
    uint64_t elements;
    assert_true(packed_valid(slice_of(model->bytes, model->len), &elements));
    assert_int_equal(elements, model->count);
    const char *at = run.begin;
    for (uint32_t i = 0; i < model->count; at = packed_next(at), i++) assert_same_element(at, &model->texts[i]);
    assert_ptr_equal(at, run.end);
    for (uint32_t i = model->count; i-- > 0;) {
        at = packed_prev(at);
        assert_same_element(at, &model->texts[i]);
    }
    assert_ptr_equal(at, run.begin);
}

/* In strides from a random start. */
static void assert_finds(struct model *model) {
    struct packed run = model_run(model);
    unsigned stride = 1 + (unsigned)prng_below(&model->prng, 3);
    uint32_t from = (uint32_t)prng_below(&model->prng, model->count + 1), i = from;
    struct text text = random_text(&model->prng);
    struct packed_value sought = packed_value_of(text_slice(&text));
    const char *found = packed_find(&run, packed_at(&run, from), &sought, stride);
    while (i < model->count && !slice_equal(text_slice(&model->texts[i]), text_slice(&text))) i += stride;
    if (i < model->count)
        assert_ptr_equal(found, packed_at(&run, i));
    else
        assert_null(found);
    free(text.bytes);
}

static void agrees_with_an_array(void **state) {
    (void)state;
    struct model model = {.prng = seeded(), .bytes = malloc(1)};
    for (int i = 0; i < 30000; i++) {
        step(&model);
        if (i % 7 == 0) assert_same(&model);
        assert_finds(&model);
    }
    while (model.count > 0) twin_remove(&model, 0);
    free(model.bytes);
}

/* --- bytes from outside --- */

/* What is accepted can be read from both ends, and nothing outside is touched. */
static bool try_bytes(struct slice bytes) {
    char *exact = malloc(bytes.len ? bytes.len : 1);
    uint64_t count, seen = 0;
    if (bytes.len) memcpy(exact, bytes.ptr, bytes.len);
    bool valid = packed_valid(slice_of(exact, bytes.len), &count);
    if (valid) {
        struct packed_value value;
        const char *at = exact, *end = exact + bytes.len;
        for (; at < end; seen++) at = packed_read(at, &value);
        assert_true(at == end && seen == count);
        for (; at > exact; seen--) at = packed_prev(at);
        assert_true(at == exact && seen == 0);
    }
    free(exact);
    return valid;
}

static void hostile_bytes_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "a",
        "12",
        "-5000",
        "123456",
        "12345678",
        "1234567890123",
        "one that needs a head of two bytes, because it is longer than sixty-three bytes",
    };
    char bytes[400];
    size_t len = 0, borders = 0;
    bool is_border[sizeof bytes] = {true};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct packed_value value = packed_value_of(slice_of_cstr(texts[i]));
        len = (size_t)(packed_write(bytes + len, &value) - bytes);
        is_border[len] = true;
    }
    for (size_t cut = 0; cut <= len; cut++) { /* cut short, it is a run only between elements */
        bool valid = try_bytes(slice_of(bytes, cut));
        assert_int_equal(valid, is_border[cut]);
        borders += valid;
    }
    assert_int_equal(borders, ARRAY_LEN(texts) + 1);
    for (size_t at = 0; at < len; at++) { /* every byte to every other */
        char kept = bytes[at];
        for (unsigned byte = 0; byte < 256; byte++) {
            bytes[at] = (char)byte;
            (void)try_bytes(slice_of(bytes, len));
        }
        bytes[at] = kept;
    }
    assert_false(try_bytes(SLICE("\xf5\x01")));
    assert_false(try_bytes(SLICE("\xff")));
    assert_false(try_bytes(SLICE("\xf0\xff\xff\xff\xff\x01")));
    assert_false(try_bytes(SLICE("\x81\x61\x82"))); /* says that there is more in front */
    assert_true(try_bytes(SLICE("")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_as_the_specification_says),
        cmocka_unit_test(text_as_the_specification_says),
        cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(hostile_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
