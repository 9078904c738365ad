#include "perf/procstat.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool file_read(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    size_t len = fread(text, 1, size - 1, file);
    text[len] = '\0';
    (void)fclose(file);
    return len > 0;
}

static uint64_t field(const char *text, const char *name) {
    const char *found = strstr(text, name);
    return found == NULL ? 0 : strtoull(found + strlen(name), NULL, 10);
}

static void task_add(int pid, const char *task, struct procstat *out) {
    char path[96], text[4096];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%.16s/schedstat", pid, task);
    if (file_read(path, text, sizeof text))
        out->cpu_ns += strtoull(text, NULL, 10);
    else
        out->cpu_is_ticks = true;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%.16s/status", pid, task);
    if (file_read(path, text, sizeof text)) {
        out->switches_voluntary += field(text, "\nvoluntary_ctxt_switches:");
        out->switches_involuntary += field(text, "\nnonvoluntary_ctxt_switches:");
    }
    out->threads++;
}

bool procstat_read(int pid, struct procstat *out) {
    *out = (struct procstat){0};
    char path[64], text[4096];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!file_read(path, text, sizeof text)) return false;
    /* Fields are counted after the name, which is in parentheses and may hold anything: utime and
     * stime are 12 and 13. */
    const char *rest = strrchr(text, ')');
    uint64_t user = 0, system = 0;
    if (rest == NULL ||
        sscanf(rest + 1, " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64, /* NOLINT */
               &user, &system) != 2)
        return false;
    out->tick_ns = (user + system) * (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK));

    (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (file_read(path, text, sizeof text)) out->rss_bytes = field(text, "\nVmRSS:") * 1024;

    (void)snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL) return false;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) /* NOLINT(concurrency-mt-unsafe): one thread */
        if (entry->d_name[0] != '.') task_add(pid, entry->d_name, out);
    (void)closedir(tasks);
    if (out->cpu_is_ticks) out->cpu_ns = out->tick_ns;
    return true;
}
