/* The command line of check, export and doctor; the work is in persist/check.c, persist/export.c and net/doctor.c. */
#include "net/tool.h"
#include "core/alloc.h"
#include "net/config_file.h"
#include "net/doctor.h"
#include "net/server.h"
#include "persist/check.h"
#include "persist/export.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const char usage[] =
    "usage: sherd check DIR\n"
    "       sherd export --rdb FILE | --aof FILE [--recovery-damage MODE] [--databases N] [--background yes] DIR\n"
    "  --background yes   with the lowest priority, and no longer than the process that started it\n"
    "       sherd doctor [FILE] [--name value ...]\n";

static int not_understood(void) {
    fputs(usage, stderr);
    return 2;
}

static int fail(const struct error *error) {
    fprintf(stderr, "sherd: %s\n", error->text);
    return 1;
}

static void print_line(void *ctx, const char *line) {
    FILE *file = ctx;
    fprintf(file, "%s\n", line);
    fflush(file);
}

static void print_progress(void *ctx, const char *line) {
    (void)ctx;
    fprintf(stderr, "%s\n", line);
}

/* --- check --- */

static int run_check(int argc, char *const argv[]) {
    if (argc != 3) return not_understood();
    struct error error = {0};
    struct check_options options = {
        .path = argv[2], .print = print_line, .progress = print_progress, .ctx = stdout, .clock = clock_system()};
    if (check_directory(&options, &error) != ST_OK) return fail(&error);
    printf("%s is as it should be\n", argv[2]);
    return 0;
}

/* --- export --- */

static void log_to_stderr(void *ctx, const char *line, size_t len) {
    (void)ctx;
    fwrite(line, 1, len, stderr);
}

/* An option that goes to the config under its own name. False: told. */
static bool set_option(struct config *config, const char *name, const char *value) {
    struct error error = {0};
    char *const words[] = {(char *)(uintptr_t) "sherd", (char *)(uintptr_t)name, (char *)(uintptr_t)value};
    if (config_parse_arguments(config, 3, words, 1, &error) == ST_OK) return true;
    (void)fail(&error);
    return false;
}

/* A server exports so: whoever has clients goes first, and nobody is left alone with the work of a server that died. */
static void go_to_background(void) {
    setpriority(PRIO_PROCESS, 0, 19);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Fills dir, file and form from pairs of words and the directory at the end; false: not understood, and told. */
static bool parse_export(int argc, char *const argv[], struct export_options *options, struct config *config) {
    if (argc < 5 || argc % 2 == 0) return not_understood() == 0;
    for (int i = 2; i + 1 < argc; i += 2) {
        bool rdb = strcmp(argv[i], "--rdb") == 0, aof = strcmp(argv[i], "--aof") == 0;
        bool to_config = strcmp(argv[i], "--recovery-damage") == 0 || strcmp(argv[i], "--databases") == 0;
        if (to_config) {
            if (!set_option(config, argv[i], argv[i + 1])) return false;
        } else if (strcmp(argv[i], "--background") == 0 && strcmp(argv[i + 1], "yes") == 0) {
            go_to_background();
        } else if ((rdb || aof) && !options->file) {
            options->file = argv[i + 1];
            options->form = rdb ? EXPORT_RDB : EXPORT_AOF;
        } else {
            return not_understood() == 0;
        }
    }
    options->dir = argv[argc - 1];
    return options->file || not_understood() == 0;
}

static int export_now(struct export_options *options) {
    struct error error = {0};
    struct export_result result;
    struct heap *heap = heap_new();
    if (!heap) return 1;
    struct command_registry *registry = command_registry_new(heap, server_command_tables());
    options->registry = registry;
    enum status status = export_directory(options, &result, &error);
    command_registry_delete(registry, heap);
    heap_delete(heap);
    if (status != ST_OK) return fail(&error);
    printf("%s: %" PRIu64 " keys, %" PRIu64 " bytes\n", options->file, result.keys, result.bytes);
    return 0;
}

static int run_export(int argc, char *const argv[]) {
    struct config *config = malloc(sizeof *config); /* too large for comfort on the stack */
    if (!config) return 1;
    config_init(config);
    struct log log;
    log_init(&log, log_to_stderr, NULL, clock_system(), LOG_LEVEL_NOTICE, 'C');
    struct export_options options = {.config = config, .clock = clock_system(), .log = &log};
    int code = parse_export(argc, argv, &options, config) ? export_now(&options) : 2;
    free(config);
    return code;
}

/* --- doctor --- */

static void print_finding(void *ctx, enum doctor_verdict verdict, const char *line) {
    static const char *const words[] = {[DOCTOR_OK] = "ok  ", [DOCTOR_WARN] = "warn", [DOCTOR_BAD] = "BAD "};
    fprintf(ctx, "%s  %s\n", words[verdict], line);
    fflush(ctx);
}

static int run_doctor(int argc, char *const argv[]) {
    struct config *config = malloc(sizeof *config);
    char *config_path = malloc(CONFIG_PATH_MAX);
    enum config_action action = CONFIG_RUN;
    struct error error = {0};
    int code = 2;
    if (config && config_path && config_load(config, argc - 1, argv + 1, &action, config_path, &error) != ST_OK)
        (void)fail(&error);
    else if (!config || !config_path || action != CONFIG_RUN)
        (void)not_understood();
    else {
        struct doctor doctor = {.config = config, .print = print_finding, .ctx = stdout};
        doctor_look(&doctor);
        printf("%u ok, %u to look at, %u bad\n", doctor.count[DOCTOR_OK], doctor.count[DOCTOR_WARN],
               doctor.count[DOCTOR_BAD]);
        code = doctor.count[DOCTOR_BAD] ? 1 : 0;
    }
    free(config);
    free(config_path);
    return code;
}

/* --- which --- */

static const struct {
    const char *name;
    int (*run)(int argc, char *const argv[]);
} tools[] = {{"check", run_check}, {"export", run_export}, {"doctor", run_doctor}};

bool tool_is_asked(int argc, char *const argv[]) {
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(tools); i++)
        if (strcmp(argv[1], tools[i].name) == 0) return true;
    return false;
}

int tool_run(int argc, char *const argv[]) {
    for (size_t i = 0; i < ARRAY_LEN(tools); i++)
        if (strcmp(argv[1], tools[i].name) == 0) return tools[i].run(argc, argv);
    return not_understood();
}
