/* Config: the table as a whole. What each row means is in config_value.c, how text becomes words in
 * config_line.c, where words come from in config_load.c and where they go in config_rewrite.c and
 * config_help.c.
 *
 * A change is always tried on a copy: a struct config has no pointers, so all-or-nothing is one
 * assignment. */
#include "core/config.h"
#include "core/assert.h"
#include "core/config_priv.h"
#include "core/glob.h"
#include <limits.h>
#include <stdio.h>

unsigned option_count(void) {
    return config_options_count + config_unused_options_count;
}

const struct config_option *option_at(unsigned index) {
    ASSERT(index < option_count());
    if (index < config_options_count) return &config_options[index];
    return &config_unused_options[index - config_options_count];
}

static bool has_name(const struct config_option *option, struct slice name) {
    if (slice_equal_nocase(name, slice_of_cstr(option->name))) return true;
    return option->alias && slice_equal_nocase(name, slice_of_cstr(option->alias));
}

bool option_find(struct slice name, unsigned *index) {
    for (unsigned i = 0; i < option_count(); i++) {
        if (!has_name(option_at(i), name)) continue;
        *index = i;
        return true;
    }
    return false;
}

bool option_given(const struct config *config, unsigned index) {
    return (config->given[index / 64] >> (index % 64)) & 1;
}

bool option_apply(unsigned index, struct config *config, const struct slice *words, unsigned count,
                  enum option_origin origin, char why[static CONFIG_TEXT_MAX]) {
    bool first = !option_given(config, index);
    if (!option_parse(option_at(index), config, words, count, origin, first, why)) return false;
    config->given[index / 64] |= UINT64_C(1) << (index % 64);
    return true;
}

void config_init(struct config *config) {
    char why[CONFIG_TEXT_MAX];
    memset(config, 0, sizeof(*config));
    for (unsigned i = 0; i < config_options_count; i++) {
        struct slice preset = slice_of_cstr(config_options[i].preset);
        ASSERT(option_parse(&config_options[i], config, &preset, 1, ORIGIN_SET, true, why));
    }
}

/* --- CONFIG SET --- */

static const char *refuse_change(const struct config_option *option, const struct config *config, bool local) {
    if (option->change == CHANGE_ANY_TIME) return NULL;
    if (option->change == CHANGE_AT_START) return "can't set immutable config";
    enum config_permission permission = config->enable_protected_configs;
    if (permission == PERMIT_YES || (permission == PERMIT_LOCAL && local)) return NULL;
    return "can't set protected config";
}

static enum status set_failed(struct error *error, struct slice name, const char *why) {
    return error_set(error, ST_INVALID, 0, "CONFIG SET failed (possibly related to argument '%.*s') - %s",
                     (int)MIN(name.len, (size_t)64), name.ptr, why);
}

bool config_is_given(const struct config *config, struct slice name) {
    unsigned index = 0;
    ASSERT(option_find(name, &index));
    return option_given(config, index);
}

static bool is_parameter(unsigned index) {
    return option_at(index)->type != OPTION_DIRECTIVE;
}

static enum status check_pairs(const struct config *config, const struct config_pair *pairs, unsigned count, bool local,
                               struct error *error) {
    for (unsigned i = 0; i < count; i++) {
        unsigned index;
        if (!option_find(pairs[i].name, &index) || !is_parameter(index))
            return error_set(error, ST_NOT_FOUND, 0, "Unknown option or number of arguments for CONFIG SET - '%.*s'",
                             (int)MIN(pairs[i].name.len, (size_t)128), pairs[i].name.ptr);
        const char *why = refuse_change(option_at(index), config, local);
        if (why) return set_failed(error, pairs[i].name, why);
        for (unsigned k = 0; k < i; k++)
            if (slice_equal_nocase(pairs[i].name, pairs[k].name))
                return set_failed(error, pairs[i].name, "duplicate parameter");
    }
    return ST_OK;
}

enum status config_set_many(struct config *config, const struct config_pair *pairs, unsigned count,
                            bool client_is_local, struct error *error) {
    enum status status = check_pairs(config, pairs, count, client_is_local, error);
    if (status != ST_OK) return status;
    struct config next = *config;
    for (unsigned i = 0; i < count; i++) {
        unsigned index = 0;
        char why[CONFIG_TEXT_MAX];
        ASSERT(option_find(pairs[i].name, &index));
        if (!option_apply(index, &next, &pairs[i].value, 1, ORIGIN_SET, why))
            return set_failed(error, slice_of_cstr(option_at(index)->name), why);
    }
    *config = next;
    return ST_OK;
}

enum status config_set(struct config *config, struct slice name, struct slice value, struct error *error) {
    return config_set_many(config, &(struct config_pair){name, value}, 1, true, error);
}

/* --- CONFIG GET --- */

/* The pattern that asks for name, or NULL. */
static const struct slice *find_pattern(const struct slice *patterns, unsigned count, struct slice name) {
    for (unsigned i = 0; i < count; i++) {
        bool match =
            glob_is_literal(patterns[i]) ? slice_equal_nocase(patterns[i], name) : glob_match(patterns[i], name, true);
        if (match) return &patterns[i];
    }
    return NULL;
}

static unsigned get_name(const struct config *config, const struct config_option *option, const char *name,
                         const struct slice *patterns, unsigned count, config_get_emit *emit, void *ctx) {
    struct slice text = slice_of_cstr(name);
    const struct slice *pattern = find_pattern(patterns, count, text);
    if (!pattern) return 0;
    if (!emit) return 1;
    char value[CONFIG_VALUE_MAX];
    size_t len = option_render(option, config, value);
    emit(ctx, glob_is_literal(*pattern) ? *pattern : text, slice_of(value, len));
    return 1;
}

unsigned config_get(const struct config *config, const struct slice *patterns, unsigned count, config_get_emit *emit,
                    void *ctx) {
    unsigned found = 0;
    for (unsigned i = 0; i < option_count(); i++) {
        const struct config_option *option = option_at(i);
        if (!is_parameter(i)) continue;
        found += get_name(config, option, option->name, patterns, count, emit, ctx);
        if (option->alias) found += get_name(config, option, option->alias, patterns, count, emit, ctx);
    }
    return found;
}

/* --- warnings --- */

/* What was set says the same as saying nothing. */
static bool is_preset(const struct config_option *option, const struct config *config, const char *value) {
    char why[CONFIG_TEXT_MAX];
    if (option->type == OPTION_DIRECTIVE) return false;
    if (option->type == OPTION_UNUSED) return strcmp(value, option->preset) == 0;
    struct config preset = *config;
    struct slice word = slice_of_cstr(option->preset);
    ASSERT(option_parse(option, &preset, &word, 1, ORIGIN_SET, true, why));
    return option_same(option, config, &preset);
}

static bool warning_at(const struct config *config, unsigned index, char out[static CONFIG_TEXT_MAX]) {
    const struct config_option *option = option_at(index);
    char value[CONFIG_VALUE_MAX];
    if (!option_given(config, index) || option->status == OPTION_LIVE) return false;
    option_render(option, config, value);
    if (is_preset(option, config, value)) return false;
    if (option->status == OPTION_IGNORED) {
        snprintf(out, CONFIG_TEXT_MAX, "option '%s' is accepted but not used: %s", option->name, option->doc);
        return true;
    }
    if (!option->missing) return false;
    snprintf(out, CONFIG_TEXT_MAX, "option '%s' is set to '%.80s' but has no effect in this version: %s", option->name,
             value, option->missing);
    return true;
}

bool config_warning(const struct config *config, struct slice name, char out[static CONFIG_TEXT_MAX]) {
    unsigned index;
    return option_find(name, &index) && warning_at(config, index, out);
}

void config_warnings(const struct config *config, config_emit *emit, void *ctx) {
    char text[CONFIG_TEXT_MAX];
    for (unsigned i = 0; i < option_count(); i++)
        if (warning_at(config, i, text)) emit(ctx, slice_of_cstr(text));
}

/* --- invariants --- */

static void check_option(unsigned index, const struct config *config) {
    const struct config_option *option = option_at(index);
    unsigned found;
    ASSERT(option_find(slice_of_cstr(option->name), &found) && found == index);
    ASSERT(!option->alias || (option_find(slice_of_cstr(option->alias), &found) && found == index));
    ASSERT(option->doc && option->doc[0]);
    ASSERT((option->type == OPTION_ENUM) == (option->names != NULL));
    ASSERT(option->type != OPTION_INT || (option->min >= INT_MIN && option->max <= INT_MAX));
    ASSERT((index >= config_options_count) == (option->status == OPTION_IGNORED));
    char value[CONFIG_VALUE_MAX];
    ASSERT(option_render(option, config, value) < CONFIG_VALUE_MAX);
}

void config_check(const struct config *config) {
    ASSERT(option_count() <= CONFIG_OPTIONS_MAX);
    ASSERT(config->bind.count <= CONFIG_BIND_MAX && config->save.count <= CONFIG_SAVE_MAX);
    ASSERT(config->latency_tracking_info_percentiles.count <= CONFIG_PERCENTILES_MAX);
    ASSERT(config->unused.used_bytes <= CONFIG_UNUSED_BYTES);
    for (unsigned i = 0; i < option_count(); i++) check_option(i, config);
}
