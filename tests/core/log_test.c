/* Log: a line has Redis's shape, is one call of the sink, is never longer than it may be and never
 * more than one line; the threshold is obeyed. The clock is manual and the zone is UTC, so lines
 * are compared as text. */
#include "core/log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct lines {
    int count;
    size_t len;
    char last[LOG_LINE_MAX + 1];
};

static void keep(void *ctx, const char *line, size_t len) {
    struct lines *lines = ctx;
    assert_in_range(len, 1, LOG_LINE_MAX);
    memcpy(lines->last, line, len);
    lines->last[len] = 0;
    lines->len = len;
    lines->count++;
}

static const char *message_of(const struct lines *lines) {
    const char *at = lines->last;
    for (int i = 0; i < 6; i++) at = strchr(at, ' ') + 1;
    return at;
}

static struct clock_manual manual;

static void start(struct log *log, struct lines *lines, enum log_level level) {
    *lines = (struct lines){0};
    clock_manual_init(&manual, 0, UINT64_C(1795382703607000)); /* 22 Nov 2026, from a line of redis-server */
    log_init(log, keep, lines, clock_manual_port(&manual), level, 'C');
}

static void a_line_looks_like_redis_s(void **state) {
    (void)state;
    struct log log;
    struct lines lines;
    char expected[128];
    start(&log, &lines, LOG_LEVEL_NOTICE);
    log_set_role(&log, 'M');
    log_line(&log, LOG_LEVEL_NOTICE, "Ready to accept %s", "connections");
    snprintf(expected, sizeof(expected), "%d:M 22 Nov 2026 21:25:03.607 * Ready to accept connections\n", getpid());
    assert_string_equal(lines.last, expected);
    assert_int_equal(lines.count, 1);
}

static void levels_have_marks_and_a_threshold(void **state) {
    (void)state;
    struct log log;
    struct lines lines;
    for (int threshold = LOG_LEVEL_DEBUG; threshold <= LOG_LEVEL_NOTHING; threshold++) {
        start(&log, &lines, (enum log_level)threshold);
        for (int level = LOG_LEVEL_DEBUG; level < LOG_LEVEL_NOTHING; level++) {
            int before = lines.count;
            log_line(&log, (enum log_level)level, "x");
            assert_int_equal(lines.count - before, level >= threshold);
            assert_int_equal(log_wants(&log, (enum log_level)level), level >= threshold);
            if (level >= threshold) assert_int_equal(message_of(&lines)[-2], ".-*#"[level]);
        }
    }
    log_set_level(&log, LOG_LEVEL_DEBUG);
    log_line(&log, LOG_LEVEL_DEBUG, "now");
    assert_int_equal(lines.count, 1);
}

static void long_and_hostile_messages_stay_one_line(void **state) {
    (void)state;
    struct log log;
    struct lines lines;
    char text[3000];
    start(&log, &lines, LOG_LEVEL_DEBUG);
    log_line(&log, LOG_LEVEL_WARNING, "%s", "a\nb\r\033[31m\177 \xc3\xa9");
    assert_string_equal(message_of(&lines), "a?b??[31m? \xc3\xa9\n");
    for (size_t len = 900; len < sizeof(text); len++) {
        memset(text, 'y', len);
        text[len] = 0;
        log_line(&log, LOG_LEVEL_WARNING, "%s", text);
        assert_int_equal(lines.last[lines.len - 1], '\n');
        assert_null(memchr(lines.last, '\n', lines.len - 1));
        assert_int_equal(strlen(lines.last), lines.len);
        bool cut = strstr(lines.last, "...\n") != NULL;
        assert_int_equal(cut, strlen(message_of(&lines)) != len + 1);
        assert_true(!cut || lines.len == LOG_LINE_MAX);
    }
    log_line(&log, LOG_LEVEL_WARNING, "%s", "");
    assert_string_equal(message_of(&lines), "\n");
}

int main(void) {
    setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_looks_like_redis_s),
        cmocka_unit_test(levels_have_marks_and_a_threshold),
        cmocka_unit_test(long_and_hostile_messages_stay_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
