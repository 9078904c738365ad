/* Config loading: a file's lines and the words of a command line become the same calls.
 *
 * A file is read from top to bottom and the last word wins, except that lines of `save` and of
 * client classes add up. The command line comes after the file. Errors name the file and the line,
 * and end with what might have been meant. */
#include "core/assert.h"
#include "core/config_priv.h"
#include <stdio.h>

static enum status unknown_option(const char *where, struct slice name, struct error *error) {
    const char *near = config_suggest(name);
    int len = (int)MIN(name.len, (size_t)64);
    if (near)
        return error_set(error, ST_INVALID, 0, "%sunknown option '%.*s'; did you mean '%s'?", where, len, name.ptr,
                         near);
    return error_set(error, ST_INVALID, 0, "%sunknown option '%.*s'", where, len, name.ptr);
}

/* One directive and its arguments, from wherever; `where` is "file:line: " or "command line: ". */
static enum status apply(struct config *config, const char *where, struct slice name, const struct slice *words,
                         unsigned count, struct error *error) {
    unsigned index;
    char why[CONFIG_TEXT_MAX];
    if (!option_find(name, &index)) return unknown_option(where, name, error);
    if (option_apply(index, config, words, count, ORIGIN_LINE, why)) return ST_OK;
    return error_set(error, ST_INVALID, 0, "%s'%s': %s", where, option_at(index)->name, why);
}

static enum status include(struct config *config, const char *where, const struct slice *words, unsigned count,
                           const struct config_source *source, struct error *error) {
    char pattern[CONFIG_PATH_MAX];
    if (count != 1 || words[0].len == 0 || words[0].len >= sizeof(pattern) || memchr(words[0].ptr, 0, words[0].len))
        return error_set(error, ST_INVALID, 0, "%s'include' needs one path", where);
    if (!source->include) return error_set(error, ST_INVALID, 0, "%s'include' is not possible here", where);
    if (source->depth + 1 >= CONFIG_INCLUDE_DEPTH)
        return error_set(error, ST_INVALID, 0, "%sfiles include each other more than %d deep", where,
                         CONFIG_INCLUDE_DEPTH);
    memcpy(pattern, words[0].ptr, words[0].len);
    pattern[words[0].len] = 0;
    return source->include(source->ctx, config, pattern, source->depth + 1, error);
}

static enum status parse_line(struct config *config, struct slice line, unsigned number,
                              const struct config_source *source, struct error *error) {
    char where[160]; /* of a long path, the end tells more */
    size_t len = strlen(source->file);
    snprintf(where, sizeof(where), "%s%s:%u: ", len > 128 ? "..." : "", source->file + (len > 128 ? len - 128 : 0),
             number);
    struct line_words split;
    const char *why = line_split(line, &split);
    if (why) return error_set(error, ST_INVALID, 0, "%s%s", where, why);
    if (split.count == 0) return ST_OK; /* the line was "" in quotes */
    if (slice_is(split.words[0], "include"))
        return include(config, where, split.words + 1, split.count - 1, source, error);
    return apply(config, where, split.words[0], split.words + 1, split.count - 1, error);
}

enum status config_parse_text(struct config *config, struct slice text, const struct config_source *source,
                              struct error *error) {
    struct slice line;
    for (unsigned number = 1; line_next(&text, &line); number++) {
        line = line_trim(line);
        if (line_is_blank(line)) continue;
        enum status status = parse_line(config, line, number, source, error);
        if (status != ST_OK) return status;
    }
    return ST_OK;
}

/* --- the command line --- */

static bool is_name(const char *arg) {
    return arg[0] == '-' && arg[1] == '-' && arg[2] != 0;
}

enum status config_scan_arguments(int argc, char *const argv[], struct config_arguments *out, struct error *error) {
    *out = (struct config_arguments){.action = CONFIG_RUN, .options_begin = 1};
    if (argc < 2) return ST_OK;
    bool help = strcmp(argv[1], "-h") == 0, version = strcmp(argv[1], "-v") == 0;
    for (int i = 1; i < argc; i++) {
        help |= strcmp(argv[i], "--help") == 0;
        version |= strcmp(argv[i], "--version") == 0;
    }
    if (help || version) {
        out->action = help ? CONFIG_HELP : CONFIG_VERSION;
        return ST_OK;
    }
    if (!is_name(argv[1])) {
        if (argv[1][0] == '-' && argv[1][1] != 0)
            return error_set(error, ST_INVALID, 0, "command line: unknown option '%.64s'; try --help", argv[1]);
        out->file = argv[1];
        out->options_begin = 2;
    }
    if (out->options_begin < argc && !is_name(argv[out->options_begin]))
        return error_set(error, ST_INVALID, 0,
                         "command line: '%.64s' is neither an option (--name value) nor the file, "
                         "which comes first",
                         argv[out->options_begin]);
    return ST_OK;
}

/* How many of the words after --name are its values: up to the next --name, but the first one may
 * look like a name (a password may start with --), as in Redis. Only `save` may have none: --save
 * --port 1. */
static int count_values(struct slice name, int left, char *const *words) {
    bool may_be_empty = slice_is(name, "save");
    int count = 0;
    while (count < left && (!is_name(words[count]) || (count == 0 && !may_be_empty))) count++;
    return count;
}

static enum status parse_option(struct config *config, struct slice name, int count, char *const *values,
                                struct error *error) {
    struct slice words[LINE_WORDS_MAX];
    if (count > LINE_WORDS_MAX)
        return error_set(error, ST_INVALID, 0, "command line: '%.*s' has more than %d values",
                         (int)MIN(name.len, (size_t)64), name.ptr, LINE_WORDS_MAX);
    for (int i = 0; i < count; i++) words[i] = slice_of_cstr(values[i]);
    if (count == 0 && slice_is(name, "save")) words[count++] = SLICE("");
    return apply(config, "command line: ", name, words, (unsigned)count, error);
}

enum status config_parse_arguments(struct config *config, int argc, char *const argv[], int options_begin,
                                   struct error *error) {
    for (int i = options_begin; i < argc;) {
        ASSERT(is_name(argv[i])); /* scan saw to the first; each step below stops at a name or the end */
        struct slice name = slice_of_cstr(argv[i] + 2);
        const char *equals = strchr(name.ptr, '=');
        int count = equals ? 1 : count_values(name, argc - i - 1, argv + i + 1);
        char *const *values = argv + i + 1;
        char *const inline_value[] = {equals ? argv[i] + (equals + 1 - argv[i]) : NULL};
        if (equals) {
            name.len = (size_t)(equals - name.ptr);
            values = inline_value;
        }
        enum status status = parse_option(config, name, count, values, error);
        if (status != ST_OK) return status;
        i += equals ? 1 : count + 1;
        if (i < argc && !is_name(argv[i]))
            return error_set(error, ST_INVALID, 0, "command line: '%.64s' belongs to no option", argv[i]);
    }
    return ST_OK;
}

/* --- what was meant? --- */

enum { SUGGEST_LEN_MAX = 48 };

/* Insertions, deletions, substitutions and swaps of neighbours, as a person mistypes. O(a.len *
 * b.len) */
static unsigned edit_distance(struct slice a, struct slice b) {
    unsigned rows[3][SUGGEST_LEN_MAX + 1];
    for (unsigned k = 0; k <= b.len; k++) rows[0][k] = k;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = i;
        for (unsigned k = 1; k <= b.len; k++) {
            bool same = (a.ptr[i - 1] | 32) == (b.ptr[k - 1] | 32);
            now[k] = MIN(MIN(last[k], now[k - 1]) + 1, last[k - 1] + !same);
            if (i > 1 && k > 1 && (a.ptr[i - 1] | 32) == (b.ptr[k - 2] | 32) &&
                (a.ptr[i - 2] | 32) == (b.ptr[k - 1] | 32))
                now[k] = MIN(now[k], before[k - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

static void keep_nearest(struct slice name, const char *candidate, const char **best, unsigned *best_distance) {
    struct slice text = slice_of_cstr(candidate);
    if (text.len > SUGGEST_LEN_MAX) return;
    unsigned distance = edit_distance(name, text);
    if (distance >= *best_distance) return;
    *best = candidate;
    *best_distance = distance;
}

const char *config_suggest(struct slice name) {
    const char *best = NULL;
    unsigned limit = (unsigned)MIN(name.len / 3 + 1, (size_t)4) + 1; /* farther away it is a guess, not a suggestion */
    if (name.len == 0 || name.len > SUGGEST_LEN_MAX) return NULL;
    for (unsigned i = 0; i < option_count(); i++) {
        const struct config_option *option = option_at(i);
        keep_nearest(name, option->name, &best, &limit);
        if (option->alias) keep_nearest(name, option->alias, &best, &limit);
    }
    return best;
}
