/* Main: wiring only. Options, build, start, wait for a signal, tear down in reverse. */
#include "core/assert.h"
#include "net/config_file.h"
#include "net/server.h"
#include "net/start_report.h"
#include "net/tool.h"
#include "persist/persist.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print(void *ctx, struct slice text) {
    fwrite(text.ptr, 1, text.len, ctx);
}

static int fail(const struct error *error) {
    fprintf(stderr, "sherd: %s\n", error->text);
    return 1;
}

/* SIGSEGV and friends: report, then die of the same signal, so that a core dump and the exit code stay true. */
static void on_crash(int number) {
    crash_report(number == SIGSEGV  ? "SIGSEGV: invalid memory access"
                 : number == SIGBUS ? "SIGBUS: bad memory access"
                 : number == SIGFPE ? "SIGFPE: arithmetic error"
                                    : "SIGILL: illegal instruction");
    signal(number, SIG_DFL);
    raise(number);
}

/* Option crash-log-enabled. Without it a crash says nothing and leaves all to the core dump. */
static void catch_crashes(void) {
    crash_report_prepare();
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_NODEFER | SA_ONSTACK};
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) sigaction(signals[i], &action, NULL);
}

/* Blocked in all threads; only sigwait below takes them. */
static void block_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

/* True: SIGTERM or SIGINT came within this time. SIGHUP opens the log file again (logrotate). */
static bool stop_signal(struct server *server, const sigset_t *set, unsigned ms) {
    struct timespec wait = {.tv_nsec = (long)ms * 1000000};
    struct error error;
    int number = sigtimedwait(set, NULL, &wait);
    if (number == SIGHUP && log_file_reopen(&server->log_file, &error) != ST_OK)
        log_line(&server->log, LOG_LEVEL_WARNING, "%s", error.text);
    if (number != SIGTERM && number != SIGINT) return false;
    log_line(&server->log, LOG_LEVEL_WARNING, "Received %s: finishing replies, then closing",
             number == SIGINT ? "SIGINT" : "SIGTERM");
    return true;
}

/* Until the data are loaded, or it is to stop (true). */
static bool wait_for_data(struct server *server, const sigset_t *set) {
    while (server_loaded(server) == SERVER_LOADING)
        if (stop_signal(server, set, 5)) return true;
    return false;
}

/* Until all that is to be saved before the end is saved; a second signal ends it without. False: it failed, the server
 * goes on. */
static bool stop(struct server *server, const sigset_t *set) {
    enum status status;
    server_stop(server, false);
    while ((status = server_may_stop(server)) == ST_FULL)
        if (stop_signal(server, set, 2)) server_stop(server, true);
    return status == ST_OK;
}

/* From its start to its end. */
static void live(struct server *server, const struct config *config, const sigset_t *set) {
    bool asked = wait_for_data(server, set);
    if (server_loaded(server) == SERVER_LOADED) start_report_ready(server, config);
    do {
        unsigned wait_ms = 0;
        while (!asked && server_loaded(server) != SERVER_NOT_LOADED) {
            asked = stop_signal(server, set, wait_ms);
            wait_ms = ceiling_watch(server);
        }
        asked = false;
    } while (!stop(server, set));
}

static enum status enter_directory(struct config *config, struct error *error) {
    if (chdir(config->dir) != 0)
        return error_set(error, ST_IO, errno, "Cannot use the data directory '%s' (option dir)", config->dir);
    if (!getcwd(config->dir, sizeof config->dir)) return error_set(error, ST_IO, errno, "The data directory is gone");
    return ST_OK;
}

static void write_pid_file(const struct config *config) {
    if (!config->pidfile[0]) return;
    FILE *file = fopen(config->pidfile, "w");
    if (!file) return;
    fprintf(file, "%d\n", getpid());
    fclose(file);
}

static int serve(const struct config *config, const char *config_path) {
    struct error error = {0};
    struct server *server = NULL;
    sigset_t signals;
    block_signals(&signals);
    if (server_new(&server, config, config_path, &error) != ST_OK) {
        if (server) server_delete(server);
        return fail(&error);
    }
    start_report_before(server);
    if (server_start(server, &error) != ST_OK) {
        log_line(&server->log, LOG_LEVEL_WARNING, "%s", error.text);
        server_delete(server);
        return fail(&error);
    }
    write_pid_file(config);
    live(server, config, &signals);
    server_join(server);
    if (config->pidfile[0]) unlink(config->pidfile);
    bool failed = server_loaded(server) == SERVER_NOT_LOADED;
    if (failed) error = *persist_error(server->persist);
    log_line(&server->log, LOG_LEVEL_WARNING, "%s", failed ? error.text : "sherd is now ready to exit, bye bye...");
    server_delete(server);
    return failed ? fail(&error) : 0;
}

int main(int argc, char **argv) {
    static struct config config; /* too large for comfort on the stack; main's alone */
    static char config_path[CONFIG_PATH_MAX];
    enum config_action action = CONFIG_RUN;
    struct error error = {0};
    signal(SIGPIPE, SIG_IGN);
    if (tool_is_asked(argc, argv)) return tool_run(argc, argv);
    if (config_load(&config, argc, argv, &action, config_path, &error) != ST_OK) return fail(&error);
    if (action == CONFIG_HELP) {
        config_help(print, stdout);
        return 0;
    }
    if (action == CONFIG_VERSION) {
        printf("sherd %s (speaks the commands of Redis 7)\n", SHERD_VERSION);
        return 0;
    }
    if (config.crash_log_enabled) catch_crashes();
    if (enter_directory(&config, &error) != ST_OK) return fail(&error);
    return serve(&config, config_path);
}
