/* Config help: what --help prints, all of it from the table, so that it cannot be wrong about a
 * range or a default. */
#include "core/config_priv.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

static const char usage[] =
    "sherd " SHERD_VERSION ": a cache server that speaks Redis's protocol and uses every core\n"
    "\n"
    "Usage: sherd [FILE|-] [--name value ...]\n"
    "       sherd check DIR\n"
    "       sherd export --rdb FILE | --aof FILE [--recovery-damage MODE] [--databases N] DIR\n"
    "       sherd doctor [FILE] [--name value ...]\n"
    "       sherd -h | --help\n"
    "       sherd -v | --version\n"
    "\n"
    "FILE has the grammar of redis.conf, - reads it from standard input, and options after it "
    "win.\n"
    "  sherd --port 6380 --threads 4\n"
    "  sherd /etc/sherd.conf --save '' --loglevel verbose\n"
    "  echo 'requirepass secret' | sherd -\n"
    "\n"
    "check reads all of a data directory and says what is wrong with it; export writes what it holds as one file "
    "that Redis reads; doctor looks whether this machine, with these options, lets the server keep its promises.\n"
    "\n"
    "Sizes take a unit: 1k is 1000 bytes, 1kb is 1024, and so on with m, mb, g and gb.\n"
    "[start] can only be set at start, [later] is accepted but has no effect in this version.\n";

static const char *const group_titles[] = {
#define OPTION_GROUP_TITLE(id, title) title,
    OPTION_GROUPS(OPTION_GROUP_TITLE)
#undef OPTION_GROUP_TITLE
};

/* snprintf onto the end; what does not fit is cut. */
static PRINTF_LIKE(2, 3) void add(char line[static CONFIG_TEXT_MAX], const char *format, ...) {
    size_t len = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + len, CONFIG_TEXT_MAX - len, format, args);
    va_end(args);
}

/* Limits that only say what the type can hold are not worth reading. */
static void add_range(char *line, const struct config_option *option) {
    bool has_min = option->min != INT_MIN, has_max = option->max != INT_MAX && option->max != INT64_MAX;
    add(line, "%s", option->type == OPTION_MEMORY ? "size" : option->type == OPTION_TIME ? "time" : "number");
    if (has_min && has_max)
        add(line, " %lld..%lld", (long long)option->min, (long long)option->max);
    else if (has_min)
        add(line, " from %lld", (long long)option->min);
}

static void add_type(char *line, const struct config_option *option) {
    switch (option->type) {
    case OPTION_BOOL: add(line, "yes|no"); break;
    case OPTION_ENUM:
        for (const struct option_name *n = option->names; n->name; n++)
            add(line, "%s%s", n == option->names ? "" : "|", n->name);
        break;
    case OPTION_INT:
    case OPTION_I64:
    case OPTION_TIME:
    case OPTION_MEMORY: add_range(line, option); break;
    case OPTION_OCTAL:
        add(line, "number %llo..%llo", (unsigned long long)option->min, (unsigned long long)option->max);
        break;
    case OPTION_MEMORY_OR_PERCENT: add(line, "size"); break;
    case OPTION_STRING: add(line, "text"); break;
    case OPTION_EVENTS: add(line, "letters"); break;
    default: add(line, "list"); break;
    }
    if (option->unit) add(line, ", %s", option->unit);
}

static void help_option(const struct config_option *option, config_emit *emit, void *ctx) {
    char line[CONFIG_TEXT_MAX] = "";
    add(line, "\n  --%s", option->name);
    if (option->alias) add(line, ", --%s", option->alias);
    add(line, "  (");
    add_type(line, option);
    add(line, "; default %s)", option->preset[0] ? option->preset : "\"\"");
    if (option->change == CHANGE_AT_START) add(line, " [start]");
    if (option->status == OPTION_LATER) add(line, " [later]");
    add(line, "\n");
    emit(ctx, slice_of_cstr(line));
    line[0] = 0;
    add(line, "      %s\n", option->doc);
    emit(ctx, slice_of_cstr(line));
}

static void help_unused(config_emit *emit, void *ctx) {
    size_t column = 0;
    emit(ctx, SLICE("\nAccepted from files for Redis and Valkey, with a warning, and not used:\n"));
    for (unsigned i = 0; i < config_unused_options_count; i++) {
        struct slice name = slice_of_cstr(config_unused_options[i].name);
        bool wrap = column == 0 || column + name.len + 1 > 98;
        emit(ctx, !wrap ? SLICE(" ") : column == 0 ? SLICE("  ") : SLICE("\n  "));
        emit(ctx, name);
        column = wrap ? 2 + name.len : column + 1 + name.len;
    }
    emit(ctx, SLICE("\n"));
}

void config_help(config_emit *emit, void *ctx) {
    emit(ctx, slice_of_cstr(usage));
    for (unsigned group = 0; group < GROUP_COUNT; group++) {
        emit(ctx, SLICE("\n"));
        emit(ctx, slice_of_cstr(group_titles[group]));
        emit(ctx, SLICE(":\n"));
        for (unsigned i = 0; i < config_options_count; i++)
            if (config_options[i].group == group) help_option(&config_options[i], emit, ctx);
    }
    help_unused(emit, ctx);
}
