/* Config: every option's default parses and prints back the same; every type refuses bad values in
 * Redis's words (as observed from redis-server 7.0.15); files, command lines and CONFIG SET mean
 * what Redis makes of them; a rewrite keeps what is true and changes what is not. Text only: files
 * are in tests/net/config_file_test.c. */
#include "core/config.h"
#include "core/config_priv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- helpers --- */

struct sink {
    size_t len, count;
    char text[65536];
};

static void collect(void *ctx, struct slice text) {
    struct sink *sink = ctx;
    assert_true(sink->len + text.len < sizeof(sink->text));
    if (text.len > 0) memcpy(sink->text + sink->len, text.ptr, text.len);
    sink->len += text.len;
    sink->text[sink->len] = 0;
    sink->count++;
}

static void collect_line(void *ctx, struct slice text) {
    collect(ctx, text);
    collect(ctx, SLICE("\n"));
    ((struct sink *)ctx)->count--;
}

static void collect_pair(void *ctx, struct slice name, struct slice value) {
    collect(ctx, name);
    collect(ctx, SLICE("="));
    collect(ctx, value);
    collect(ctx, SLICE("\n"));
}

static struct config fresh(void) {
    struct config config;
    config_init(&config);
    return config;
}

static enum status parse(struct config *config, const char *text, struct error *error) {
    struct config_source source = {.file = "t.conf"};
    *error = (struct error){0};
    return config_parse_text(config, slice_of_cstr(text), &source, error);
}

static void accepts(struct config *config, const char *text) {
    struct error error;
    if (parse(config, text, &error) != ST_OK) fail_msg("'%s': %s", text, error.text);
}

static void refuses(const char *text, const char *why) {
    struct config config = fresh();
    struct error error;
    assert_int_equal(parse(&config, text, &error), ST_INVALID);
    assert_string_equal(error.text, why);
}

static void set(struct config *config, const char *name, const char *value) {
    struct error error = {0};
    if (config_set(config, slice_of_cstr(name), slice_of_cstr(value), &error) != ST_OK) fail_msg("%s", error.text);
}

static void set_refuses(const char *name, const char *value, const char *why) {
    struct config config = fresh(), before = config;
    struct error error = {0};
    char text[512];
    assert_int_not_equal(config_set(&config, slice_of_cstr(name), slice_of_cstr(value), &error), ST_OK);
    snprintf(text, sizeof(text), "CONFIG SET failed (possibly related to argument '%s') - %s", name, why);
    assert_string_equal(error.text, text);
    assert_memory_equal(&config, &before, sizeof(config));
}

static void gets(const struct config *config, const char *pattern, const char *expected) {
    static struct sink sink;
    struct slice p = slice_of_cstr(pattern);
    sink = (struct sink){0};
    config_get(config, &p, 1, collect_pair, &sink);
    assert_string_equal(sink.text, expected);
}

static const char *warnings_of(const struct config *config, size_t *count) {
    static struct sink sink;
    sink = (struct sink){0};
    config_warnings(config, collect_line, &sink);
    *count = sink.count;
    return sink.text;
}

static void rewrites(const struct config *config, const char *old_text, const char *expected) {
    static struct sink sink, again;
    sink = again = (struct sink){0};
    config_rewrite_text(config, slice_of_cstr(old_text), collect, &sink);
    assert_string_equal(sink.text, expected);
    config_rewrite_text(config, slice_of(sink.text, sink.len), collect, &again);
    assert_string_equal(again.text, expected);
}

/* --- the table --- */

static void defaults_parse_and_print_back(void **state) {
    (void)state;
    struct config config = fresh();
    config_check(&config);
    for (unsigned i = 0; i < option_count(); i++) {
        const struct config_option *option = option_at(i);
        char value[CONFIG_VALUE_MAX], why[CONFIG_TEXT_MAX] = "";
        struct config copy = config;
        if (option->type == OPTION_DIRECTIVE) continue;
        size_t len = option_render(option, &config, value);
        struct slice word = slice_of(value, len);
        if (!option_parse(option, &copy, &word, 1, ORIGIN_SET, true, why))
            fail_msg("%s '%s': %s", option->name, value, why);
        assert_true(option_same(option, &config, &copy));
        if (option->type != OPTION_MEMORY && option->type != OPTION_LIMITS) assert_string_equal(value, option->preset);
    }
}

static void defaults_are_redis_s(void **state) {
    (void)state;
    struct config config = fresh();
    assert_int_equal(config.port, 6379);
    assert_int_equal(config.bind.count, 2);
    assert_string_equal(config.bind.entries[1].address, "::*");
    assert_true(config.bind.entries[1].optional && !config.bind.entries[0].optional);
    assert_true(config.protected_mode);
    assert_int_equal(config.enable_debug_command, PERMIT_LOCAL); /* differs from Redis, on purpose */
    gets(&config, "save", "save=3600 1 300 100 60 10000\n");
    gets(&config, "proto-max-bulk-len", "proto-max-bulk-len=536870912\n");
    gets(&config, "client-output-buffer-limit",
         "client-output-buffer-limit=normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 "
         "8388608 60\n");
    gets(&config, "latency-tracking-info-percentiles", "latency-tracking-info-percentiles=50 99 99.9\n");
}

static void every_bool_and_number_takes_its_limits(void **state) {
    (void)state;
    struct config config = fresh();
    for (unsigned i = 0; i < config_options_count; i++) {
        const struct config_option *option = &config_options[i];
        char value[32], out[CONFIG_VALUE_MAX], why[CONFIG_TEXT_MAX];
        bool number = option->type == OPTION_INT || option->type == OPTION_I64 || option->type == OPTION_MEMORY ||
                      option->type == OPTION_TIME;
        if (!number) continue;
        for (int high = 0; high < 2; high++) {
            snprintf(value, sizeof(value), "%lld", (long long)(high ? option->max : option->min));
            struct slice word = slice_of_cstr(value);
            assert_true(option_parse(option, &config, &word, 1, ORIGIN_SET, true, why));
            option_render(option, &config, out);
            assert_string_equal(out, value);
        }
        struct slice bad = SLICE("12abc"), empty = SLICE("");
        assert_false(option_parse(option, &config, &bad, 1, ORIGIN_SET, true, why));
        assert_false(option_parse(option, &config, &empty, 1, ORIGIN_SET, true, why));
    }
}

static void times_have_units(void **state) {
    (void)state;
    struct config config = fresh();
    gets(&config, "max-staleness", "max-staleness=2000\n");
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0}, {"500", 500}, {"500ms", 500}, {"3s", 3000}, {"2M", 120000}, {"86400s", 86400000}};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        set(&config, "max-staleness", good[i].text);
        assert_int_equal(config.max_staleness, good[i].ms);
    }
    static const char *const bad[] = {
        "", "s", "-1", "1h", "1.5s", "5 s", "99999999999999999999s", "9223372036854775807m"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        set_refuses("max-staleness", bad[i], "argument must be a time: a number with ms, s or m");
    set_refuses("client-homing-ms", "61m", "argument must be between 0 and 3600000 inclusive");
    set_refuses("persist-timeout", "86401s", "argument must be between 100 and 86400000 inclusive");
}

/* --- CONFIG SET --- */

static void set_refuses_in_redis_s_words(void **state) {
    (void)state;
    set_refuses("tcp-keepalive", "2147483648", "argument must be between 0 and 2147483647 inclusive");
    set_refuses("timeout", "-1", "argument must be between 0 and 2147483647 inclusive");
    set_refuses("maxclients", "0", "argument must be between 1 and 4294967295 inclusive");
    set_refuses("slowlog-log-slower-than", "-2", "argument must be between -1 and 9223372036854775807 inclusive");
    set_refuses("databases", "17", "can't set immutable config");
    set_refuses("maxmemory", "abc", "argument must be a memory value");
    set_refuses("maxmemory", "-1", "argument must be a memory value");
    set_refuses("proto-max-bulk-len", "100", "argument must be between 1048576 and 536870912 inclusive");
    set_refuses("proto-max-bulk-len", "536870913", "argument must be between 1048576 and 536870912 inclusive");
    set_refuses("client-query-buffer-limit", "4gb", "argument must be between 1048576 and 3221225472 inclusive");
    set_refuses("appendfsync", "foo", "argument(s) must be one of the following: everysec, always, no");
    set_refuses("maxmemory-policy", "foo",
                "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, "
                "volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction, allkeys-lrfu, volatile-lrfu");
    set_refuses("appendonly", "maybe", "argument must be 'yes' or 'no'");
    set_refuses("hash-max-listpack-entries", "", "argument couldn't be parsed into an integer");
    set_refuses("lfu-log-factor", "1kb", "argument couldn't be parsed into an integer");
    set_refuses("save", "900 1 300", "Invalid save parameters");
    set_refuses("save", "0 1", "Invalid save parameters");
    set_refuses("save", "900 a", "Invalid save parameters");
    set_refuses("client-output-buffer-limit", "normal 0 0", "Wrong number of arguments in buffer limit configuration.");
    set_refuses("client-output-buffer-limit", "master 0 0 0",
                "Invalid client class specified in buffer limit configuration.");
    set_refuses("client-output-buffer-limit", "normal 1mb 0 -1",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    set_refuses("notify-keyspace-events", "KEQ", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    set_refuses("latency-tracking-info-percentiles", "50 101",
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
    set_refuses("latency-tracking-info-percentiles", "a", "Invalid latency-tracking-info-percentiles parameters");
    set_refuses("maxmemory-clients", "500%", "percentage argument must be less or equal to 100");
    set_refuses("maxmemory-clients", "-1", "argument must be a memory or percent value");
    set_refuses("DIR", "/tmp", "can't set protected config");
    set_refuses("rdbchecksum", "no", "can't set immutable config");
}

static void set_knows_parameters_only(void **state) {
    (void)state;
    static const char *const names[] = {"nosuch", "user", "rename-command", "loadmodule", "include", ""};
    struct config config = fresh();
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct error error;
        char text[512];
        assert_int_equal(config_set(&config, slice_of_cstr(names[i]), SLICE("x"), &error), ST_NOT_FOUND);
        snprintf(text, sizeof(text), "Unknown option or number of arguments for CONFIG SET - '%s'", names[i]);
        assert_string_equal(error.text, text);
    }
}

static void set_is_all_or_nothing(void **state) {
    (void)state;
    struct config config = fresh(), before = config;
    struct error error;
    struct config_pair bad[] = {{SLICE("hz"), SLICE("7")}, {SLICE("Timeout"), SLICE("x")}};
    assert_int_equal(config_set_many(&config, bad, 2, false, &error), ST_INVALID);
    assert_memory_equal(&config, &before, sizeof(config));
    assert_string_equal(error.text, "CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't "
                                    "be parsed into an integer");
    struct config_pair twice[] = {{SLICE("hz"), SLICE("7")}, {SLICE("hz"), SLICE("8")}};
    assert_int_equal(config_set_many(&config, twice, 2, false, &error), ST_INVALID);
    assert_string_equal(error.text, "CONFIG SET failed (possibly related to argument 'hz') - duplicate parameter");
    struct config_pair good[] = {{SLICE("hz"), SLICE("7")},
                                 {SLICE("hash-max-listpack-value"), SLICE("1")},
                                 {SLICE("hash-max-ziplist-value"), SLICE("2kb")}};
    assert_int_equal(config_set_many(&config, good, 3, false, &error), ST_OK);
    assert_int_equal(config.hz, 7);
    assert_int_equal(config.hash_max_listpack_value, 2048);
}

static void protected_options_follow_permission(void **state) {
    (void)state;
    struct config config = fresh();
    struct error error;
    struct config_pair pair = {SLICE("dbfilename"), SLICE("a.rdb")};
    accepts(&config, "enable-protected-configs local");
    assert_int_equal(config_set_many(&config, &pair, 1, false, &error), ST_INVALID);
    assert_int_equal(config_set_many(&config, &pair, 1, true, &error), ST_OK);
    assert_string_equal(config.dbfilename, "a.rdb");
    pair.value = SLICE("a/b");
    assert_int_equal(config_set_many(&config, &pair, 1, true, &error), ST_INVALID);
    assert_non_null(strstr(error.text, "dbfilename can't be a path, just a filename"));
    assert_string_equal(config.dbfilename, "a.rdb");
}

static void values_print_as_redis_prints_them(void **state) {
    (void)state;
    struct config config = fresh();
    set(&config, "maxmemory", "1gb");
    gets(&config, "maxmemory", "maxmemory=1073741824\n");
    set(&config, "maxmemory-clients", "5%");
    gets(&config, "maxmemory-clients", "maxmemory-clients=5%\n");
    assert_int_equal(config.maxmemory_clients, -5);
    assert_true(config_is_given(&config, SLICE("maxmemory")));
    assert_false(config_is_given(&config, SLICE("maxmemory-samples")));
    set(&config, "client-output-buffer-limit", "replica 1mb 10kb 20 normal 1 2 3");
    gets(&config, "client-output-buffer-limit",
         "client-output-buffer-limit=normal 1 2 3 slave 1048576 10240 20 pubsub 33554432 8388608 "
         "60\n");
    set(&config, "notify-keyspace-events", "KEA");
    gets(&config, "notify-keyspace-events", "notify-keyspace-events=AKE\n");
    set(&config, "notify-keyspace-events", "mnxE");
    gets(&config, "notify-keyspace-events", "notify-keyspace-events=xnEm\n");
    set(&config, "latency-tracking-info-percentiles", "50 99.99 12.345");
    gets(&config, "latency-tracking-info-percentiles", "latency-tracking-info-percentiles=50 99.99 12.345\n");
    set(&config, "latency-tracking-info-percentiles", "");
    gets(&config, "latency-tracking-info-percentiles", "latency-tracking-info-percentiles=\n");
    set(&config, "save", "");
    gets(&config, "save", "save=\n");
    set(&config, "hz", "1000");
    gets(&config, "hz", "hz=500\n");
    set(&config, "hz", "0");
    gets(&config, "hz", "hz=1\n");
    accepts(&config, "unixsocketperm 0770");
    assert_int_equal(config.unixsocketperm, 0770);
    gets(&config, "unixsocketperm", "unixsocketperm=770\n");
}

static void too_much_is_refused_not_cut(void **state) {
    (void)state;
    struct config config = fresh();
    struct error error;
    static char word[CONFIG_UNUSED_BYTES + 10];
    memset(word, 'x', sizeof(word) - 1);
    assert_int_equal(config_set(&config, SLICE("requirepass"), slice_of_cstr(word), &error), ST_INVALID);
    assert_non_null(strstr(error.text, "argument is longer than 511 bytes"));
    assert_int_equal(config_set(&config, SLICE("masterauth"), slice_of_cstr(word), &error), ST_INVALID);
    assert_int_equal(config_set(&config, SLICE("requirepass"), slice_of("a\0b", 3), &error), ST_INVALID);
    refuses("bind a b c d e f g h i j k l m n o p q", "t.conf:1: 'bind': Too many bind addresses specified.");
    for (int i = 0; i < CONFIG_SAVE_MAX; i++) accepts(&config, "save 1 1");
    assert_int_equal(parse(&config, "save 1 1", &error), ST_INVALID);
}

/* --- CONFIG GET --- */

static void get_takes_globs_and_aliases(void **state) {
    (void)state;
    struct config config = fresh();
    gets(&config, "hash-max-*value", "hash-max-listpack-value=64\nhash-max-ziplist-value=64\n");
    gets(&config, "slave-read-only", "slave-read-only=yes\n");
    gets(&config, "HZ", "HZ=10\n");
    gets(&config, "h?", "hz=10\n");
    gets(&config, "H[z]", "hz=10\n");
    gets(&config, "nosuch", "");
    gets(&config, "user", "");
    struct slice patterns[] = {SLICE("hz"), SLICE("h?"), SLICE("nosuch"), SLICE("port")};
    assert_int_equal(config_get(&config, patterns, 4, NULL, NULL), 2);
    struct slice all = SLICE("*");
    assert_true(config_get(&config, &all, 1, NULL, NULL) > 200);
}

static void unused_options_are_remembered(void **state) {
    (void)state;
    struct config config = fresh();
    gets(&config, "rdbchecksum", "rdbchecksum=yes\n");
    accepts(&config, "oom-score-adj-values 1 2 3\nmasterauth a\nrdbchecksum no");
    gets(&config, "oom-score-adj-values", "oom-score-adj-values=1 2 3\n");
    set(&config, "masterauth", "longer than before");
    gets(&config, "masterauth", "masterauth=longer than before\n");
    gets(&config, "primaryauth", "primaryauth=longer than before\n");
    gets(&config, "rdbchecksum", "rdbchecksum=no\n");
    for (int i = 0; i < 2000; i++) set(&config, "masterauth", i % 2 ? "short" : "a longer one again");
    config_check(&config);
}

/* --- lines and files --- */

static void lines_split_as_in_redis(void **state) {
    (void)state;
    struct config config = fresh();
    accepts(&config, "  # comment\n\n\t\r\n  TIMEOUT   7\t\r\n\"requirepass\" \"a\\x41\\n\\\"\\q\"");
    assert_int_equal(config.timeout, 7);
    assert_string_equal(config.requirepass, "aA\n\"q");
    accepts(&config, "requirepass 'it\\'s \\n'");
    assert_string_equal(config.requirepass, "it's \\n");
    accepts(&config, "requirepass a#b");
    assert_string_equal(config.requirepass, "a#b");
    accepts(&config, "logfile \"\"");
    refuses("hz 1\nport \"7 1", "t.conf:2: Unbalanced quotes in configuration line");
    refuses("requirepass \"a\"b", "t.conf:1: Unbalanced quotes in configuration line");
    refuses("requirepass \"a\\", "t.conf:1: Unbalanced quotes in configuration line");
    refuses("requirepass '", "t.conf:1: Unbalanced quotes in configuration line");
    refuses("port 1 2", "t.conf:1: 'port': wrong number of arguments");
    refuses("maxmemory", "t.conf:1: 'maxmemory': wrong number of arguments");
    refuses("port 70000", "t.conf:1: 'port': argument must be between 0 and 65535 inclusive");
    refuses("unixsocketperm 999", "t.conf:1: 'unixsocketperm': argument couldn't be parsed as an octal number");
    refuses("databases 0", "t.conf:1: 'databases': argument must be between 1 and 65536 inclusive");
    refuses("threads 65", "t.conf:1: 'threads': argument must be between 0 and 64 inclusive");
    refuses("cluster-enabled yes",
            "t.conf:1: 'cluster-enabled': argument must be 'no': this version has no cluster mode");
    refuses("include x", "t.conf:1: 'include' is not possible here");
}

static void a_word_survives_writing_and_reading(void **state) {
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        static struct sink sink;
        static struct line_words split;
        char word[3] = {(char)c, 'x', (char)c};
        sink = (struct sink){0};
        line_emit_word(slice_of(word, 3), c % 2, collect, &sink);
        assert_null(line_split(slice_of(sink.text, sink.len), &split));
        assert_int_equal(split.count, 1);
        assert_true(slice_equal(split.words[0], slice_of(word, 3)));
    }
}

static void hostile_lines_do_no_harm(void **state) {
    (void)state;
    static const char alphabet[] = "\"'\\x4 \t#aport\0\n";
    static struct line_words split;
    unsigned seed = 1;
    for (int i = 0; i < 50000; i++) {
        char *line = malloc(12); /* exact size, so that a sanitizer sees a read too far */
        size_t len = (size_t)(i % 12) + 1;
        line = realloc(line, len);
        for (size_t k = 0; k < len; k++) line[k] = alphabet[(seed = seed * 1103515245 + 12345) / 65536 % 15];
        if (!line_split(slice_of(line, len), &split)) assert_true(split.count <= len);
        free(line);
    }
    static char big[LINE_BYTES_MAX + 1];
    memset(big, 'a', sizeof(big));
    assert_non_null(line_split(slice_of(big, sizeof(big)), &split));
    for (size_t i = 0; i < sizeof(big); i += 2) big[i] = ' ';
    assert_non_null(line_split(slice_of(big, LINE_BYTES_MAX), &split));
}

static void repeated_lines_add_or_replace(void **state) {
    (void)state;
    struct config config = fresh();
    accepts(&config, "save 900 1\nsave 300 10 60 5\nbind 1.1.1.1\nbind 127.0.0.1 -::1\n"
                     "client-output-buffer-limit normal 1 2 3\nclient-output-buffer-limit pubsub 1mb 2 3");
    gets(&config, "save", "save=900 1 300 10 60 5\n");
    gets(&config, "bind", "bind=127.0.0.1 -::1\n");
    gets(&config, "client-output-buffer-limit",
         "client-output-buffer-limit=normal 1 2 3 slave 268435456 67108864 60 pubsub 1048576 2 3\n");
    accepts(&config, "save \"\"\nsave 60 5");
    gets(&config, "save", "save=60 5\n");
    accepts(&config, "bind \"\"");
    assert_int_equal(config.bind.count, 0);
}

static void unknown_words_get_a_suggestion(void **state) {
    (void)state;
    refuses("hz 10\n\napendonly yes", "t.conf:3: unknown option 'apendonly'; did you mean 'appendonly'?");
    refuses("prot 1", "t.conf:1: unknown option 'prot'; did you mean 'port'?");
    refuses("slave-readonly yes", "t.conf:1: unknown option 'slave-readonly'; did you mean 'slave-read-only'?");
    refuses("completely-different 1", "t.conf:1: unknown option 'completely-different'");
    assert_null(config_suggest(SLICE("")));
    assert_string_equal(config_suggest(SLICE("MAXMEMROY")), "maxmemory");
    assert_null(config_suggest(SLICE("an-option-that-is-very-much-longer-than-any-option-is")));
}

static enum status include_itself(void *ctx, struct config *config, const char *pattern, int depth,
                                  struct error *error) {
    struct config_source source = {.file = pattern, .depth = depth, .include = include_itself, .ctx = ctx};
    ++*(int *)ctx;
    return config_parse_text(config, SLICE("timeout 3\ninclude again"), &source, error);
}

static void includes_have_an_end(void **state) {
    (void)state;
    struct config config = fresh();
    struct error error;
    int calls = 0;
    struct config_source source = {.file = "t.conf", .include = include_itself, .ctx = &calls};
    assert_int_equal(config_parse_text(&config, SLICE("include 'a b'"), &source, &error), ST_INVALID);
    assert_int_equal(calls, CONFIG_INCLUDE_DEPTH - 1);
    assert_string_equal(error.text, "again:2: files include each other more than 16 deep");
}

static void one_warning_per_idle_option(void **state) {
    (void)state;
    struct config config = fresh();
    size_t count;
    warnings_of(&config, &count);
    assert_int_equal(count, 0);
    accepts(&config, "appendonly no\nsave \"\"\nmaxmemory 0\nappendfsync always\nport 1\nreplica-read-only yes\n"
                     "maxmemory-policy allkeys-lru\nmaxmemory-samples 10\nlazyfree-lazy-user-del yes\n"
                     "set-proc-title no\nrdbchecksum yes\noom-score-adj-values 0 200 800");
    warnings_of(&config, &count);
    assert_int_equal(count, 0);
    /* The default, said aloud. */
    accepts(&config, "save 3600 1 300 100 60 10000");
    for (unsigned i = 0; i < option_count(); i++) {
        const struct config_option *option = option_at(i);
        char why[CONFIG_TEXT_MAX];
        struct slice word = slice_of_cstr(option->preset);
        if (option->type == OPTION_DIRECTIVE) continue;
        assert_true(option_apply(i, &config, &word, 1, ORIGIN_SET, why));
    }
    warnings_of(&config, &count);
    assert_int_equal(count, 0);
    accepts(&config, "appendonly yes\nsave 900 1\nsave 60 1\nmaxmemory 1gb\ndaemonize yes\nrdbchecksum yes\n"
                     "rdbchecksum no\nloadmodule a.so\nloadmodule b.so\nuser alice on\nuser bob off\n"
                     "rename-command FLUSHALL \"\"\ntls-port 6380\nreplicaof 1.2.3.4 6379");
    const char *text = warnings_of(&config, &count);
    assert_int_equal(count, 7);
    assert_non_null(strstr(text, "option 'daemonize' is set to 'yes' but has no effect in this version: "));
    assert_non_null(strstr(text, "option 'rdbchecksum' is accepted but not used: "));
    char warning[CONFIG_TEXT_MAX];
    assert_true(config_warning(&config, SLICE("slaveof"), warning));
    assert_false(config_warning(&config, SLICE("port"), warning));
    /* Every unused word, alone. */
    for (unsigned i = 0; i < config_unused_options_count; i++) {
        struct config other = fresh();
        char line[128];
        snprintf(line, sizeof(line), "%s a", config_unused_options[i].name);
        accepts(&other, line);
        warnings_of(&other, &count);
        assert_int_equal(count, 1);
    }
}

/* --- the command line --- */

static enum status run_line(struct config *config, struct config_arguments *arguments, struct error *error,
                            const char *const *argv) {
    int argc = 0;
    while (argv[argc]) argc++;
    char **words = (char **)(uintptr_t)argv;
    *error = (struct error){0};
    config_init(config);
    enum status status = config_scan_arguments(argc, words, arguments, error);
    if (status != ST_OK || arguments->action != CONFIG_RUN) return status;
    return config_parse_arguments(config, argc, words, arguments->options_begin, error);
}

#define COMMAND_LINE(...) run_line(&config, &arguments, &error, (const char *const[]){"sherd", __VA_ARGS__})

static void command_line_as_in_redis(void **state) {
    (void)state;
    static struct config config;
    struct config_arguments arguments;
    struct error error;
    assert_int_equal(COMMAND_LINE(NULL), ST_OK);
    assert_null(arguments.file);
    assert_int_equal(COMMAND_LINE("f.conf", "--save", "", "--port", "6380", "--appendonly", "no", NULL), ST_OK);
    assert_string_equal(arguments.file, "f.conf");
    assert_int_equal(config.port, 6380);
    gets(&config, "save", "save=\n");
    assert_int_equal(COMMAND_LINE("-", "--save", "900", "1", "300", "10", NULL), ST_OK);
    assert_string_equal(arguments.file, "-");
    gets(&config, "save", "save=900 1 300 10\n");
    assert_int_equal(COMMAND_LINE("--save", "900 1", "--save", "300 10", NULL), ST_OK);
    gets(&config, "save", "save=900 1 300 10\n");
    assert_int_equal(COMMAND_LINE("--save", "--port", "1", NULL), ST_OK);
    gets(&config, "save", "save=\n");
    assert_int_equal(config.port, 1);
    assert_int_equal(COMMAND_LINE("--port=7", "--requirepass=", "--bind=127.0.0.1 ::1", NULL), ST_OK);
    assert_int_equal(config.port, 7);
    gets(&config, "bind", "bind=127.0.0.1 ::1\n");
    assert_int_equal(COMMAND_LINE("--requirepass", "--foo=1", "--port", "8", NULL), ST_OK);
    assert_string_equal(config.requirepass, "--foo=1");
    assert_int_equal(COMMAND_LINE("--slowlog-log-slower-than", "-1", NULL), ST_OK);
    assert_int_equal(config.slowlog_log_slower_than, -1);
}

static void command_line_mistakes_are_named(void **state) {
    (void)state;
    static struct config config;
    struct config_arguments arguments;
    struct error error;
    assert_int_equal(COMMAND_LINE("--prot", "1", NULL), ST_INVALID);
    assert_string_equal(error.text, "command line: unknown option 'prot'; did you mean 'port'?");
    assert_int_equal(COMMAND_LINE("--port", NULL), ST_INVALID);
    assert_string_equal(error.text, "command line: 'port': wrong number of arguments");
    assert_int_equal(COMMAND_LINE("--port", "abc", NULL), ST_INVALID);
    assert_string_equal(error.text, "command line: 'port': argument couldn't be parsed into an integer");
    assert_int_equal(COMMAND_LINE("--port=1", "x", NULL), ST_INVALID);
    assert_string_equal(error.text, "command line: 'x' belongs to no option");
    assert_int_equal(COMMAND_LINE("a.conf", "b.conf", NULL), ST_INVALID);
    assert_int_equal(COMMAND_LINE("-p", "1", NULL), ST_INVALID);
    assert_string_equal(error.text, "command line: unknown option '-p'; try --help");
    assert_int_equal(COMMAND_LINE("--", NULL), ST_INVALID);
    assert_int_equal(COMMAND_LINE("", NULL), ST_OK); /* an empty file name: the reader will say so */
}

static void help_and_version_are_actions(void **state) {
    (void)state;
    static struct config config;
    static struct sink sink;
    struct config_arguments arguments;
    struct error error;
    assert_int_equal(COMMAND_LINE("--port", "1", "--help", NULL), ST_OK);
    assert_int_equal(arguments.action, CONFIG_HELP);
    assert_int_equal(COMMAND_LINE("-v", "--port", "x", NULL), ST_OK);
    assert_int_equal(arguments.action, CONFIG_VERSION);
    config_help(collect, &sink);
    for (unsigned i = 0; i < option_count(); i++) assert_non_null(strstr(sink.text, option_at(i)->name));
    assert_non_null(strstr(sink.text, "--threads  (number 0..64; default 0) [start]\n"));
    assert_non_null(strstr(sink.text, "--loglevel  (debug|verbose|notice|warning|nothing; default notice)\n"));
}

/* --- CONFIG REWRITE --- */

static void rewrite_keeps_what_is_true(void **state) {
    (void)state;
    const char *text = "# my server\n  hz   20  \n\nmaxmemory 1024mb\nsave 900 1\nsave 300 10\ninclude "
                       "other.conf\n"
                       "user alice on\nnosuch thing\nrdbcompression no\n# end without newline\nport 7000";
    struct config config = fresh();
    accepts(&config, "hz 20\nmaxmemory 1gb\nsave 900 1\nsave 300 10\nrdbcompression no\nport 7000");
    rewrites(&config, text, text);
    struct config untouched = fresh();
    rewrites(&untouched, "", "");
}

static void rewrite_changes_in_place_and_appends(void **state) {
    (void)state;
    struct config config = fresh();
    accepts(&config, "hz 20\nport 7391\nsave 900 1\nsave 300 10\nclient-output-buffer-limit normal 1 2 3\n"
                     "hash-max-ziplist-entries 100\nloglevel debug");
    set(&config, "hz", "12");
    set(&config, "save", "60 5");
    set(&config, "hash-max-listpack-entries", "101");
    set(&config, "loglevel", "warning");
    set(&config, "maxmemory", "1gb");
    set(&config, "client-output-buffer-limit", "replica 1mb 0 0");
    set(&config, "masterauth", "a \"b\"");
    set(&config, "requirepass", "p w\n");
    set(&config, "maxmemory-clients", "5%");
    set(&config, "latency-tracking-info-percentiles", "");
    rewrites(&config,
             "hz 20\n# comment here\nport 7391\nsave 900 1\nsave 300 "
             "10\n\nhash-max-ziplist-entries 100\n"
             "client-output-buffer-limit normal 1 2 3\nhz 21\nloglevel debug",
             "hz 12\n# comment here\nport 7391\nsave 60 5\n\nhash-max-listpack-entries 101\n"
             "client-output-buffer-limit normal 1 2 3\nclient-output-buffer-limit replica 1mb 0 0\n"
             "client-output-buffer-limit pubsub 32mb 8mb 60\nloglevel warning\n"
             "\n# Generated by CONFIG REWRITE\nrequirepass \"p "
             "w\\n\"\nlatency-tracking-info-percentiles \"\"\n"
             "maxmemory 1gb\nmaxmemory-clients 5%\nmasterauth \"a \\\"b\\\"\"\n");
    set(&config, "save", "");
    rewrites(&config, "save 1 1\n",
             "save \"\"\n"
             "\n# Generated by CONFIG REWRITE\nport 7391\nclient-output-buffer-limit normal 1 2 3\n"
             "client-output-buffer-limit replica 1mb 0 0\n"
             "client-output-buffer-limit pubsub 32mb 8mb 60\nhz 12\nloglevel warning\n"
             "requirepass \"p w\\n\"\nlatency-tracking-info-percentiles \"\"\n"
             "maxmemory 1gb\nmaxmemory-clients 5%\nhash-max-listpack-entries 101\n"
             "masterauth \"a \\\"b\\\"\"\n");
}

static void rewrite_heals_broken_lines(void **state) {
    (void)state;
    struct config config = fresh();
    rewrites(&config, "port abc\nhz 10 10\n\"\ntimeout 'x\n", "port 6379\nhz 10\n\"\ntimeout 'x\n");
}

/* Whatever was set, the rewritten text reads back to the same values. */
static void rewrite_reads_back(void **state) {
    (void)state;
    static struct sink sink;
    struct config config = fresh();
    for (unsigned i = 0; i < option_count(); i++) {
        const struct config_option *option = option_at(i);
        const char *value = "x y";
        char number[32], why[CONFIG_TEXT_MAX];
        snprintf(number, sizeof(number), "%lld", (long long)option->max - 1);
        if (option->type == OPTION_DIRECTIVE || option->refuse) continue;
        switch (option->type) {
        case OPTION_BOOL: value = strcmp(option->preset, "yes") == 0 ? "no" : "yes"; break;
        case OPTION_INT:
        case OPTION_I64:
        case OPTION_TIME:
        case OPTION_MEMORY: value = number; break;
        case OPTION_OCTAL: value = "755"; break;
        case OPTION_MEMORY_OR_PERCENT: value = "7%"; break;
        case OPTION_ENUM: value = option->names[0].name; break;
        case OPTION_SAVE: value = "1 2"; break;
        case OPTION_LIMITS: value = "replica 1 2 3"; break;
        case OPTION_PERCENTILES: value = "1.5"; break;
        case OPTION_EVENTS: value = "Kn"; break;
        default: break;
        }
        struct slice word = slice_of_cstr(value);
        if (!option_apply(i, &config, &word, 1, ORIGIN_SET, why)) fail_msg("%s: %s", option->name, why);
    }
    config_rewrite_text(&config, SLICE("# old\nport 1\n"), collect, &sink);
    struct config back = fresh();
    accepts(&back, sink.text);
    for (unsigned i = 0; i < option_count(); i++)
        if (!option_same(option_at(i), &config, &back)) fail_msg("%s", option_at(i)->name);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_parse_and_print_back),
        cmocka_unit_test(defaults_are_redis_s),
        cmocka_unit_test(every_bool_and_number_takes_its_limits),
        cmocka_unit_test(times_have_units),
        cmocka_unit_test(set_refuses_in_redis_s_words),
        cmocka_unit_test(set_knows_parameters_only),
        cmocka_unit_test(set_is_all_or_nothing),
        cmocka_unit_test(protected_options_follow_permission),
        cmocka_unit_test(values_print_as_redis_prints_them),
        cmocka_unit_test(too_much_is_refused_not_cut),
        cmocka_unit_test(get_takes_globs_and_aliases),
        cmocka_unit_test(unused_options_are_remembered),
        cmocka_unit_test(lines_split_as_in_redis),
        cmocka_unit_test(a_word_survives_writing_and_reading),
        cmocka_unit_test(hostile_lines_do_no_harm),
        cmocka_unit_test(repeated_lines_add_or_replace),
        cmocka_unit_test(unknown_words_get_a_suggestion),
        cmocka_unit_test(includes_have_an_end),
        cmocka_unit_test(one_warning_per_idle_option),
        cmocka_unit_test(command_line_as_in_redis),
        cmocka_unit_test(command_line_mistakes_are_named),
        cmocka_unit_test(help_and_version_are_actions),
        cmocka_unit_test(rewrite_keeps_what_is_true),
        cmocka_unit_test(rewrite_changes_in_place_and_appends),
        cmocka_unit_test(rewrite_heals_broken_lines),
        cmocka_unit_test(rewrite_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
