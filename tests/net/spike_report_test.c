/* The graph of LATENCY GRAPH, in the shape that redis-server 7.0.15 draws for the same samples, and what the doctor
 * says. */
#include "net/spike_report.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define RULER "--------------------------------------------------------------------------------\n"

static struct heap *heap;
static struct spikes spikes;
static struct buf text;

static int setup(void **state) {
    (void)state;
    heap = heap_new();
    spikes_init(&spikes, heap);
    buf_init(&text, heap, MEM_STATS);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    buf_deinit(&text);
    spikes_deinit(&spikes);
    heap_delete(heap);
    return 0;
}

static const char *graph(uint32_t now_s) {
    buf_reset(&text, 0);
    spike_graph(&text, SPIKE_COMMAND, spikes.series[SPIKE_COMMAND], now_s);
    buf_append(&text, "", 1);
    return text.data;
}

static void test_one_sample(void **state) {
    (void)state;
    spikes_add(&spikes, SPIKE_COMMAND, 1000, 5);
    assert_string_equal(graph(1000),
                        "command - high 5 ms, low 5 ms (all time high 5 ms)\n" RULER " \n \n \n_\n \n0\ns\n");
}

static void test_heights_and_ages(void **state) {
    (void)state;
    static const uint32_t ms[] = {18, 50, 30, 24, 11};
    for (uint32_t i = 0; i < ARRAY_LEN(ms); i++) spikes_add(&spikes, SPIKE_COMMAND, 1000 + i, ms[i]);
    assert_string_equal(graph(1005), "command - high 50 ms, low 11 ms (all time high 50 ms)\n" RULER " #   \n"
                                     " |   \n"
                                     " |#o \n"
                                     "#|||_\n"
                                     "     \n"
                                     "54321\n"
                                     "sssss\n");
}

static void test_old_samples_and_a_clock_set_back(void **state) {
    (void)state;
    uint32_t now = 10 * 24 * 3600;
    spikes_add(&spikes, SPIKE_COMMAND, now - 3 * 24 * 3600, 1);
    spikes_add(&spikes, SPIKE_COMMAND, now - 5 * 3600, 1);
    spikes_add(&spikes, SPIKE_COMMAND, now - 61 * 10, 1);
    spikes_add(&spikes, SPIKE_COMMAND, now + 100, 1);
    assert_string_equal(graph(now), "command - high 1 ms, low 1 ms (all time high 1 ms)\n" RULER "    \n"
                                    "    \n"
                                    "    \n"
                                    "____\n"
                                    "    \n"
                                    "3510\n"
                                    "dh0s\n"
                                    "  m \n");
}

static void test_more_than_a_line(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 200; i++) spikes_add(&spikes, SPIKE_COMMAND, 1000 + i, 1 + i);
    const char *drawn = graph(1200), *second = strstr(drawn, "\n\n");
    assert_non_null(second);
    assert_null(strstr(second + 2, "\n\n"));
    assert_non_null(strstr(drawn, "high 200 ms, low 41 ms (all time high 200 ms)"));
    for (const char *line = drawn; *line; line = strchr(line, '\n') + 1) assert_true(strcspn(line, "\n") <= 80);
}

static const char *doctor(int64_t threshold_ms, int64_t slowlog_us) {
    struct spike_series series[SPIKE_EVENTS] = {0};
    struct config config = {.latency_monitor_threshold = threshold_ms, .slowlog_log_slower_than = slowlog_us};
    for (int i = 0; i < SPIKE_EVENTS; i++)
        if (spikes.series[i]) series[i] = *spikes.series[i];
    buf_reset(&text, 0);
    spike_doctor(&text, series, &config, 1100);
    buf_append(&text, "", 1);
    return text.data;
}

static void test_doctor(void **state) {
    (void)state;
    assert_non_null(strstr(doctor(0, 10000), "switched off"));
    assert_non_null(strstr(doctor(10, 10000), "no latency spike"));
    spikes_add(&spikes, SPIKE_COMMAND, 1000, 10);
    spikes_add(&spikes, SPIKE_COMMAND, 1001, 30);
    spikes_add(&spikes, SPIKE_SYNC, 1050, 700);
    const char *said = doctor(5, 10000);
    assert_non_null(strstr(said, "1. command: 2 latency spikes (average 20ms, mean deviation 10ms, period 50.00 sec). "
                                 "Longest of all 30ms.\n"));
    assert_non_null(strstr(said, "2. aof-fsync: 1 latency spikes"));
    assert_non_null(strstr(said, "CONFIG SET slowlog-log-slower-than 5000 "));
    assert_null(strstr(doctor(5, 5000), "CONFIG SET slowlog"));
    assert_non_null(strstr(doctor(5, -1), "CONFIG SET slowlog"));
    assert_non_null(strstr(doctor(0, 5000), "command")); /* switched off since; what was seen is still told */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_sample, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heights_and_ages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_samples_and_a_clock_set_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_doctor, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
