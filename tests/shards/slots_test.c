/* Which slots are whose: for every number of shards the ranges of shard_first_slot are those of shard_of_slot, without
 * gaps, none of them empty, and of sizes that differ by one at most. */
#include "shards/shard.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void ranges_are_what_routing_computes(void **state) {
    (void)state;
    for (uint32_t count = 1; count <= SHARDS_MAX; count++) {
        uint32_t slot = 0;
        for (uint32_t shard = 0; shard < count; shard++) {
            assert_int_equal(shard_first_slot(shard, count), slot);
            uint32_t size = 0;
            for (; slot < HASH_SLOTS && shard_of_slot(slot, count) == shard; slot++) size++;
            assert_in_range(size, HASH_SLOTS / count, HASH_SLOTS / count + 1);
        }
        assert_int_equal(slot, HASH_SLOTS);
        assert_int_equal(shard_first_slot(count, count), HASH_SLOTS);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranges_are_what_routing_computes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
