/* The manifest is lines of pairs: file NAME seq NUMBER type b|i|h. History (h) is on its way out and not read. */
#include "persist/aof_files.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_MAX_BYTES 1024

static bool starts_with_rdb(const char *path) {
    char magic[5] = {0};
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    size_t got = fread(magic, 1, sizeof magic, file);
    fclose(file);
    return got == sizeof magic && memcmp(magic, "REDIS", sizeof magic) == 0;
}

static enum status add(struct aof_files *files, const char *path, struct error *error) {
    struct stat facts;
    if (stat(path, &facts) != 0) return error_set(error, ST_IO, errno, "Cannot read '%s', a part of the log", path);
    if (files->count == AOF_PARTS_MAX)
        return error_set(error, ST_TOO_LARGE, 0, "The log has more than %d parts: rewrite it with Redis first",
                         AOF_PARTS_MAX);
    struct aof_part *parts = realloc(files->parts, (files->count + 1) * sizeof *parts);
    if (!parts) return error_set(error, ST_NO_MEMORY, 0, "No memory for the parts of the log");
    files->parts = parts;
    struct aof_part *part = &parts[files->count++];
    snprintf(part->path, sizeof part->path, "%s", path);
    part->has_rdb = starts_with_rdb(path);
    if (part->has_rdb && files->count > 1)
        return error_set(error, ST_INVALID, 0, "'%s' begins with an RDB file, which only the first part of a log can",
                         path);
    return ST_OK;
}

bool aof_files_manifest(const char *dir, char out[CONFIG_PATH_MAX]) {
    DIR *open = opendir(dir);
    if (!open) return false;
    const struct dirent *entry;
    bool found = false;
    while (!found && (entry = readdir(open))) {
        size_t len = strlen(entry->d_name);
        if (len < 10 || strcmp(entry->d_name + len - 9, ".manifest") != 0) continue;
        found = (size_t)snprintf(out, CONFIG_PATH_MAX, "%s/%s", dir, entry->d_name) < CONFIG_PATH_MAX;
    }
    closedir(open);
    return found;
}

/* The file that a line names; ST_NOT_FOUND: none that is to be read. Names with blanks stand in double quotes. */
static enum status parse_line(char *line, char name[LINE_MAX_BYTES], char *type) {
    char *rest = line, *word;
    name[0] = *type = 0;
    while (*(rest += strspn(rest, " \t\r\n"))) {
        char *key = rest;
        rest += strcspn(rest, " \t\r\n");
        if (*rest) *rest++ = 0;
        rest += strspn(rest, " \t\r\n");
        word = rest;
        if (*rest == '"') {
            word = ++rest;
            rest += strcspn(rest, "\"");
        } else {
            rest += strcspn(rest, " \t\r\n");
        }
        if (*rest) *rest++ = 0;
        if (strcmp(key, "file") == 0)
            snprintf(name, LINE_MAX_BYTES, "%s", word);
        else if (strcmp(key, "type") == 0)
            *type = word[0];
    }
    if (!name[0] || strchr(name, '/') || !strchr("bih", *type) || !*type) return ST_INVALID;
    return *type == 'h' ? ST_NOT_FOUND : ST_OK;
}

static enum status read_manifest(struct aof_files *files, FILE *file, const char *dir, const char *manifest,
                                 struct error *error) {
    char line[LINE_MAX_BYTES], name[LINE_MAX_BYTES], path[CONFIG_PATH_MAX], type;
    for (unsigned number = 1; fgets(line, sizeof line, file); number++) {
        if (line[0] == '#' || line[strspn(line, " \t\r\n")] == 0) continue;
        enum status status = parse_line(line, name, &type);
        if (status == ST_NOT_FOUND) continue;
        if (status != ST_OK)
            return error_set(error, ST_INVALID, 0, "%s, line %u: expected: file NAME seq NUMBER type b or i", manifest,
                             number);
        if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
            return error_set(error, ST_TOO_LARGE, 0, "%s, line %u: the path is too long", manifest, number);
        if ((status = add(files, path, error)) != ST_OK) return status;
    }
    if (files->count == 0) return error_set(error, ST_INVALID, 0, "%s names no files", manifest);
    return ST_OK;
}

static enum status find(struct aof_files *out, const char *path, struct error *error) {
    struct stat facts;
    if (stat(path, &facts) != 0) return error_set(error, ST_IO, errno, "Cannot read '%s'", path);
    if (!S_ISDIR(facts.st_mode)) return add(out, path, error);
    char manifest[CONFIG_PATH_MAX];
    if (!aof_files_manifest(path, manifest))
        return error_set(error, ST_NOT_FOUND, 0, "'%s' holds no *.manifest, so it is no log of Redis 7", path);
    FILE *file = fopen(manifest, "r");
    if (!file) return error_set(error, ST_IO, errno, "Cannot read '%s'", manifest);
    enum status status = read_manifest(out, file, path, manifest, error);
    fclose(file);
    return status;
}

enum status aof_files_find(struct aof_files *out, const char *path, struct error *error) {
    *out = (struct aof_files){0};
    enum status status = find(out, path, error);
    if (status != ST_OK) aof_files_free(out);
    return status;
}

void aof_files_free(struct aof_files *files) {
    free(files->parts);
    *files = (struct aof_files){0};
}
