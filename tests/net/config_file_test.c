/* Config file: reading, including and rewriting real files, in a directory of its own under /tmp. A
 * rewrite replaces the file in one step, keeps its mode, and leaves it alone when it fails. Log
 * files are tested here too: lines go to the file, and to the new one after a rename. Debian's
 * redis.conf is accepted where it is installed. */
#include "net/config_file.h"
#include "net/log_file.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char home[64];

static int enter(void **state) {
    (void)state;
    snprintf(home, sizeof(home), "/tmp/sherd-config-XXXXXX");
    return mkdtemp(home) && chdir(home) == 0 ? 0 : -1;
}

static int leave(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", home);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

static void put(const char *name, const char *text) {
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static const char *content(const char *name) {
    static char text[16384];
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    return text;
}

static unsigned files_here(void) {
    unsigned count = 0;
    FILE *list = popen("ls -A", "r");
    assert_non_null(list);
    for (int c = fgetc(list); c != EOF; c = fgetc(list)) count += c == '\n';
    pclose(list);
    return count;
}

static void loads_file_then_options(void **state) {
    (void)state;
    static struct config config;
    struct error error = {0};
    enum config_action action;
    char path[CONFIG_PATH_MAX], expected[128];
    put("a.conf", "port 1\nhz 20\ninclude b.conf\ninclude conf.d/*.conf\ninclude none/*.conf\n");
    put("b.conf", "timeout 5\n");
    assert_int_equal(mkdir("conf.d", 0700), 0);
    put("conf.d/2.conf", "maxclients 2\n");
    put("conf.d/1.conf", "maxclients 1\ndatabases 3\n");
    char *argv[] = {"sherd", "a.conf", "--port", "7000", NULL};
    if (config_load(&config, 4, argv, &action, path, &error) != ST_OK) fail_msg("%s", error.text);
    assert_int_equal(action, CONFIG_RUN);
    assert_int_equal(config.port, 7000);
    assert_int_equal(config.hz, 20);
    assert_int_equal(config.timeout, 5);
    assert_int_equal(config.maxclients, 2);
    assert_int_equal(config.databases, 3);
    snprintf(expected, sizeof(expected), "%s/a.conf", home);
    assert_string_equal(path, expected);
    char *ask[] = {"sherd", "--version", NULL};
    assert_int_equal(config_load(&config, 2, ask, &action, path, &error), ST_OK);
    assert_int_equal(action, CONFIG_VERSION);
    assert_string_equal(path, "");
}

static void reads_standard_input(void **state) {
    (void)state;
    static struct config config;
    struct error error = {0};
    enum config_action action;
    char path[CONFIG_PATH_MAX];
    int ends[2], saved = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "port 12", 7), 7);
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    char *argv[] = {"sherd", "-", "--hz", "3", NULL};
    enum status status = config_load(&config, 4, argv, &action, path, &error);
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(ends[0]);
    assert_int_equal(status, ST_OK);
    assert_int_equal(config.port, 12);
    assert_string_equal(path, "");
}

static void errors_name_file_and_line(void **state) {
    (void)state;
    static struct config config;
    struct error error;
    put("a.conf", "# x\ninclude b.conf\n");
    put("b.conf", "\n\napendonly yes\n");
    assert_int_equal(config_file_read(&config, "a.conf", &error), ST_INVALID);
    assert_string_equal(error.text, "b.conf:3: unknown option 'apendonly'; did you mean 'appendonly'?");
    assert_int_equal(config_file_read(&config, "nosuch.conf", &error), ST_NOT_FOUND);
    assert_string_equal(error.text, "can't read configuration file 'nosuch.conf': No such file or directory");
    put("a.conf", "include nosuch.conf\n");
    assert_int_equal(config_file_read(&config, "a.conf", &error), ST_NOT_FOUND);
    put("a.conf", "include a.conf\n");
    assert_int_equal(config_file_read(&config, "a.conf", &error), ST_INVALID);
    assert_int_equal(config_file_read(&config, ".", &error), ST_IO);
    put("a.conf", "");
    assert_int_equal(truncate("a.conf", CONFIG_FILE_BYTES_MAX), 0);
    assert_int_equal(config_file_read(&config, "a.conf", &error), ST_TOO_LARGE);
}

static void rewrite_replaces_the_file(void **state) {
    (void)state;
    static struct config config;
    struct error error = {0};
    struct stat before, after;
    put("a.conf", "# keep me\nhz 20\nport 7\n");
    assert_int_equal(chmod("a.conf", 0640), 0);
    assert_int_equal(stat("a.conf", &before), 0);
    config_init(&config);
    assert_int_equal(config_file_read(&config, "a.conf", &error), ST_OK);
    assert_int_equal(config_set(&config, SLICE("hz"), SLICE("30"), &error), ST_OK);
    assert_int_equal(config_set(&config, SLICE("requirepass"), SLICE("s"), &error), ST_OK);
    if (config_file_rewrite(&config, "a.conf", &error) != ST_OK) fail_msg("%s", error.text);
    assert_string_equal(content("a.conf"),
                        "# keep me\nhz 30\nport 7\n\n# Generated by CONFIG REWRITE\nrequirepass \"s\"\n");
    assert_int_equal(stat("a.conf", &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_not_equal(after.st_ino, before.st_ino);
    assert_int_equal(files_here(), 1);
    assert_int_equal(config_file_rewrite(&config, "new.conf", &error), ST_OK);
    assert_int_equal(stat("new.conf", &after), 0);
    assert_int_equal(after.st_mode & 0777, 0600);
}

static void rewrite_fails_without_harm(void **state) {
    (void)state;
    static struct config config;
    struct error error = {0};
    char path[CONFIG_PATH_MAX + 8];
    config_init(&config);
    assert_int_equal(config_file_rewrite(&config, "", &error), ST_NOT_FOUND);
    assert_string_equal(error.text, "The server is running without a config file");
    assert_int_equal(config_file_rewrite(&config, "nosuch/a.conf", &error), ST_IO);
    assert_int_equal(mkdir("dir", 0700), 0);
    assert_int_equal(config_file_rewrite(&config, "dir", &error), ST_IO);
    memset(path, 'a', sizeof(path));
    path[sizeof(path) - 1] = 0;
    assert_int_equal(config_file_rewrite(&config, path, &error), ST_IO);
    assert_int_equal(files_here(), 1);
}

static void ignore(void *ctx, struct slice text) {
    (void)text;
    ++*(int *)ctx;
}

static void debian_s_redis_conf_is_accepted(void **state) {
    (void)state;
    static struct config config;
    struct error error = {0};
    int warnings = 0;
    if (access("/etc/redis/redis.conf", R_OK) != 0) skip();
    config_init(&config);
    if (config_file_read(&config, "/etc/redis/redis.conf", &error) != ST_OK) fail_msg("%s", error.text);
    config_check(&config);
    config_warnings(&config, ignore, &warnings);
    assert_true(warnings > 0);
    /* A rewrite that changes nothing keeps every byte. */
    char command[64];
    snprintf(command, sizeof(command), "cp /etc/redis/redis.conf r.conf");
    assert_int_equal(system(command), 0);
    assert_int_equal(config_file_rewrite(&config, "r.conf", &error), ST_OK);
    assert_int_equal(system("cmp /etc/redis/redis.conf r.conf"), 0);
}

static void log_lines_reach_the_file(void **state) {
    (void)state;
    static struct log_file file;
    struct error error = {0};
    assert_int_equal(log_file_open(&file, "nosuch/log", &error), ST_IO);
    assert_string_equal(error.text, "can't open log file 'nosuch/log': No such file or directory");
    put("log", "old\n");
    assert_int_equal(log_file_open(&file, "log", &error), ST_OK);
    log_file_write(&file, "one\n", 4);
    assert_string_equal(content("log"), "old\none\n");
    assert_int_equal(rename("log", "log.1"), 0);
    log_file_write(&file, "two\n", 4);
    assert_int_equal(log_file_reopen(&file, &error), ST_OK);
    log_file_write(&file, "three\n", 6);
    assert_string_equal(content("log.1"), "old\none\ntwo\n");
    assert_string_equal(content("log"), "three\n");
    log_file_close(&file);
    log_file_write(&file, "lost\n", 5);
    assert_int_equal(atomic_load(&file.lost), 1);
    assert_int_equal(log_file_open(&file, "", &error), ST_OK);
    assert_int_equal(file.fd, STDOUT_FILENO);
    assert_int_equal(log_file_reopen(&file, &error), ST_OK);
    log_file_close(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(loads_file_then_options, enter, leave),
        cmocka_unit_test_setup_teardown(reads_standard_input, enter, leave),
        cmocka_unit_test_setup_teardown(errors_name_file_and_line, enter, leave),
        cmocka_unit_test_setup_teardown(rewrite_replaces_the_file, enter, leave),
        cmocka_unit_test_setup_teardown(rewrite_fails_without_harm, enter, leave),
        cmocka_unit_test_setup_teardown(debian_s_redis_conf_is_accepted, enter, leave),
        cmocka_unit_test_setup_teardown(log_lines_reach_the_file, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
