/* Xxh3: the digest of the reference implementation (libxxhash 0.8.1) for every way by length and its edges, wherever
 * the bytes lie in memory. */
#include "core/defs.h"
#include "core/xxh3.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Of the first len bytes of i * 7 modulo 256. */
static const struct {
    size_t len;
    uint64_t digest;
} known[] = {
    {0, 0x2d06800538d394c2},    {1, 0xc44bdff4074eecdb},    {3, 0xc3489259e968ad9e},    {4, 0xd3d60c1519014e89},
    {8, 0xb88dee77f6bf6980},    {9, 0x03688dcad730d826},    {16, 0x9da23836adf2be1e},   {17, 0xf34c3c9cf5a112d1},
    {32, 0x99cb9ad0f1a11fbe},   {33, 0xc077b45492d29cde},   {64, 0x6efb76ff16f37561},   {65, 0x2640848e9137156b},
    {96, 0x764d2d5db92942df},   {97, 0x077acb7e5f4fd940},   {128, 0x65f3c2c00fa93185},  {129, 0x28065c6ec25f5b25},
    {144, 0x600e8d345ff9620d},  {240, 0x4917a75c0ef8eed7},  {241, 0x541b19226f0052e8},  {256, 0xff5a1cefade75bb9},
    {1024, 0xdc5acf0b043c445b}, {1025, 0xe1d9cd946277ae26}, {1088, 0x4a9c221912b93194}, {3000, 0x6168bb188259cccf},
};

static void is_the_reference(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        for (size_t shift = 0; shift < 8; shift++) {
            char *bytes = malloc(shift + known[i].len + !known[i].len); /* its own block: nothing is read behind it */
            assert_non_null(bytes);
            for (size_t k = 0; k < known[i].len; k++) bytes[shift + k] = (char)(k * 7);
            assert_int_equal(xxh3_64(slice_of(bytes + shift, known[i].len)), known[i].digest);
            free(bytes);
        }
    }
    assert_int_equal(xxh3_64(SLICE("Hello world")), 0xb6acb9d84a38ff74); /* as Redis's documentation of DIGEST has it */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
