/* Config values: from words to a typed field and back, one pair of functions per type.
 *
 * Parsing words a refusal exactly as Redis does, because clients show it to people and test suites
 * compare it. Rendering is what CONFIG GET shows, and two values are the same when they render the
 * same: CONFIG REWRITE needs no other comparison. A field is reached by its offset; the table takes
 * type and size from the field itself, so a row cannot disagree with the struct. */
#include "core/assert.h"
#include "core/config_priv.h"
#include "core/num.h"
#include <stdarg.h>
#include <stdio.h>

/* --- text that grows in a fixed buffer --- */

struct text {
    char *ptr;
    size_t len, cap;
};

static PRINTF_LIKE(2, 3) void text_add(struct text *text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text->ptr + text->len, text->cap - text->len, format, args);
    va_end(args);
    ASSERT(n >= 0 && (size_t)n < text->cap - text->len); /* CONFIG_VALUE_MAX holds the longest value */
    text->len += (size_t)n;
}

static PRINTF_LIKE(2, 3) bool refuse(char *why, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(why, CONFIG_TEXT_MAX, format, args);
    va_end(args);
    return false;
}

static void *field_of(const struct config_option *option, struct config *config) {
    return (char *)config + option->offset;
}

static const void *field_of_const(const struct config_option *option, const struct config *config) {
    return (const char *)config + option->offset;
}

/* --- scalars --- */

static bool parse_bool(bool *field, struct slice word, char *why) {
    bool yes = slice_is(word, "yes");
    if (!yes && !slice_is(word, "no")) return refuse(why, "argument must be 'yes' or 'no'");
    *field = yes;
    return true;
}

static bool in_range(const struct config_option *option, int64_t *value, char *why) {
    if (*value >= option->min && *value <= option->max) return true;
    if (option->clamp) {
        *value = *value < option->min ? option->min : option->max;
        return true;
    }
    if (option->type == OPTION_OCTAL)
        return refuse(why, "argument must be between %llo and %llo inclusive", (unsigned long long)option->min,
                      (unsigned long long)option->max);
    return refuse(why, "argument must be between %lld and %lld inclusive", (long long)option->min,
                  (long long)option->max);
}

static bool parse_i64(const struct config_option *option, int64_t *value, struct slice word, char *why) {
    if (!num_parse_i64(word, value)) return refuse(why, "argument couldn't be parsed into an integer");
    return in_range(option, value, why);
}

/* A bare number is milliseconds. */
static bool parse_time(const struct config_option *option, int64_t *field, struct slice word, char *why) {
    static const struct {
        struct slice name;
        int64_t ms;
    } units[] = {{SLICE_INIT(""), 1}, {SLICE_INIT("ms"), 1}, {SLICE_INIT("s"), 1000}, {SLICE_INIT("m"), 60000}};
    size_t digits = 0;
    while (digits < word.len && word.ptr[digits] >= '0' && word.ptr[digits] <= '9') digits++;
    struct slice unit = slice_of(word.ptr + digits, word.len - digits);
    for (size_t i = 0; i < ARRAY_LEN(units) && digits > 0; i++) {
        int64_t value;
        if (!slice_equal_nocase(unit, units[i].name) || !num_parse_i64(slice_of(word.ptr, digits), &value)) continue;
        if (value > INT64_MAX / units[i].ms) break;
        *field = value * units[i].ms;
        return in_range(option, field, why);
    }
    return refuse(why, "argument must be a time: a number with ms, s or m");
}

static bool parse_octal(const struct config_option *option, int64_t *value, struct slice word, char *why) {
    *value = 0;
    bool ok = word.len > 0 && word.len <= 8;
    for (size_t i = 0; ok && i < word.len; i++) {
        ok = word.ptr[i] >= '0' && word.ptr[i] <= '7';
        *value = *value * 8 + (word.ptr[i] - '0');
    }
    if (!ok) return refuse(why, "argument couldn't be parsed as an octal number");
    return in_range(option, value, why);
}

static bool parse_memory(const struct config_option *option, uint64_t *field, struct slice word, char *why) {
    uint64_t bytes;
    if (!num_parse_memory(word, &bytes)) return refuse(why, "argument must be a memory value");
    if (bytes < (uint64_t)option->min || bytes > (uint64_t)option->max)
        return refuse(why, "argument must be between %lld and %lld inclusive", (long long)option->min,
                      (long long)option->max);
    *field = bytes;
    return true;
}

/* "5%" is -5, as in Redis: bytes and shares have one field. */
static bool parse_memory_or_percent(int64_t *field, struct slice word, char *why) {
    uint64_t bytes;
    int64_t percent;
    if (word.len > 1 && word.ptr[word.len - 1] == '%') {
        if (!num_parse_i64(slice_of(word.ptr, word.len - 1), &percent) || percent < 0)
            return refuse(why, "argument must be a memory or percent value");
        if (percent > 100) return refuse(why, "percentage argument must be less or equal to 100");
        *field = -percent;
        return true;
    }
    if (!num_parse_memory(word, &bytes) || bytes > INT64_MAX)
        return refuse(why, "argument must be a memory or percent value");
    *field = (int64_t)bytes;
    return true;
}

static bool parse_string(const struct config_option *option, char *field, struct slice word, char *why) {
    if (word.len >= option->size) return refuse(why, "argument is longer than %zu bytes", option->size - 1);
    if (word.len > 0 && memchr(word.ptr, 0, word.len)) return refuse(why, "argument has a zero byte in it");
    memset(field, 0, option->size);
    if (word.len > 0) memcpy(field, word.ptr, word.len);
    return true;
}

static bool parse_enum(const struct config_option *option, unsigned *field, struct slice word, char *why) {
    for (const struct option_name *n = option->names; n->name; n++) {
        if (slice_equal_nocase(word, slice_of_cstr(n->name))) {
            *field = n->value;
            return true;
        }
    }
    struct text text = {why, 0, CONFIG_TEXT_MAX};
    text_add(&text, "argument(s) must be one of the following: ");
    for (const struct option_name *n = option->names; n->name; n++)
        text_add(&text, "%s%s", n == option->names ? "" : ", ", n->name);
    return false;
}

/* --- keyspace events --- */

static const struct {
    char letter;
    unsigned bits;
} event_letters[] = {
    /* Redis's order when it shows them; A first, because it stands for those that follow it. */
    {'A', NOTIFY_ALL},    {'g', NOTIFY_GENERIC}, {'$', NOTIFY_STRING},   {'l', NOTIFY_LIST},     {'s', NOTIFY_SET},
    {'h', NOTIFY_HASH},   {'z', NOTIFY_ZSET},    {'x', NOTIFY_EXPIRED},  {'e', NOTIFY_EVICTED},  {'t', NOTIFY_STREAM},
    {'d', NOTIFY_MODULE}, {'n', NOTIFY_NEW},     {'K', NOTIFY_KEYSPACE}, {'E', NOTIFY_KEYEVENT}, {'m', NOTIFY_KEY_MISS},
};

static bool parse_events(unsigned *field, struct slice word, char *why) {
    unsigned bits = 0;
    for (size_t i = 0; i < word.len; i++) {
        unsigned add = 0;
        for (size_t k = 0; k < ARRAY_LEN(event_letters); k++)
            if (event_letters[k].letter == word.ptr[i]) add = event_letters[k].bits;
        if (!add) return refuse(why, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        bits |= add;
    }
    *field = bits;
    return true;
}

/* Redis 7.0 forgets 'n' beside 'A'; here every bit that is on is shown, so that the text parses
 * back to the same. */
static void render_events(unsigned bits, struct text *text) {
    for (size_t k = 0; k < ARRAY_LEN(event_letters); k++) {
        if ((bits & event_letters[k].bits) != event_letters[k].bits) continue;
        text_add(text, "%c", event_letters[k].letter);
        bits &= ~event_letters[k].bits;
    }
}

/* --- lists --- */

static bool parse_bind(struct config_bind *field, const struct slice *words, unsigned count, char *why) {
    if (count > CONFIG_BIND_MAX) return refuse(why, "Too many bind addresses specified.");
    memset(field, 0, sizeof(*field));
    for (unsigned i = 0; i < count; i++) {
        struct slice word = words[i];
        field->entries[i].optional = word.len > 0 && word.ptr[0] == '-';
        if (field->entries[i].optional) word = slice_of(word.ptr + 1, word.len - 1);
        if (word.len == 0 || word.len >= CONFIG_NAME_MAX || memchr(word.ptr, 0, word.len))
            return refuse(why, "Invalid bind address specified.");
        memcpy(field->entries[i].address, word.ptr, word.len);
    }
    field->count = count;
    return true;
}

static bool parse_save(struct config_save *field, const struct slice *words, unsigned count, bool fresh, char *why) {
    if (fresh || count == 0) memset(field, 0, sizeof(*field)); /* `save ""` takes all earlier lines back */
    if (count % 2 != 0) return refuse(why, "Invalid save parameters");
    for (unsigned i = 0; i < count; i += 2) {
        int64_t seconds, changes;
        if (!num_parse_i64(words[i], &seconds) || !num_parse_i64(words[i + 1], &changes))
            return refuse(why, "Invalid save parameters");
        if (seconds < 1 || changes < 0) return refuse(why, "Invalid save parameters");
        if (field->count == CONFIG_SAVE_MAX) return refuse(why, "more than %d save rules", CONFIG_SAVE_MAX);
        field->rules[field->count].seconds = seconds;
        field->rules[field->count++].changes = changes;
    }
    return true;
}

static int client_class(struct slice word) {
    if (slice_is(word, "normal")) return CLIENT_CLASS_NORMAL;
    if (slice_is(word, "slave") || slice_is(word, "replica")) return CLIENT_CLASS_REPLICA;
    if (slice_is(word, "pubsub")) return CLIENT_CLASS_PUBSUB;
    return -1;
}

/* Classes that are not named keep their limits, in a file and in CONFIG SET alike. */
static bool parse_limits(struct config_output_limits *field, const struct slice *words, unsigned count, char *why) {
    if (count % 4 != 0) return refuse(why, "Wrong number of arguments in buffer limit configuration.");
    for (unsigned i = 0; i < count; i += 4) {
        int class = client_class(words[i]);
        uint64_t hard, soft;
        int64_t seconds;
        if (class < 0) return refuse(why, "Invalid client class specified in buffer limit configuration.");
        if (!num_parse_memory(words[i + 1], &hard) || !num_parse_memory(words[i + 2], &soft) ||
            !num_parse_i64(words[i + 3], &seconds) || seconds < 0)
            return refuse(why, "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
        field->classes[class].hard_bytes = hard;
        field->classes[class].soft_bytes = soft;
        field->classes[class].soft_seconds = seconds;
    }
    return true;
}

static bool parse_percentiles(struct config_percentiles *field, const struct slice *words, unsigned count, char *why) {
    memset(field, 0, sizeof(*field));
    if (count > CONFIG_PERCENTILES_MAX) return refuse(why, "more than %d percentiles", CONFIG_PERCENTILES_MAX);
    for (unsigned i = 0; i < count; i++) {
        double percent;
        if (!num_parse_double(words[i], &percent))
            return refuse(why, "Invalid latency-tracking-info-percentiles parameters");
        if (!(percent >= 0.0 && percent <= 100.0))
            return refuse(why, "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
        field->percent[field->count++] = percent;
    }
    return true;
}

static void render_bind(const struct config_bind *field, struct text *text) {
    for (unsigned i = 0; i < field->count; i++)
        text_add(text, "%s%s%s", i ? " " : "", field->entries[i].optional ? "-" : "", field->entries[i].address);
}

static void render_save(const struct config_save *field, struct text *text) {
    for (unsigned i = 0; i < field->count; i++)
        text_add(text, "%s%lld %lld", i ? " " : "", (long long)field->rules[i].seconds,
                 (long long)field->rules[i].changes);
}

static void render_limits(const struct config_output_limits *field, struct text *text) {
    static const char *const names[] = {"normal", "slave", "pubsub"};
    for (unsigned i = 0; i < CLIENT_CLASS_COUNT; i++)
        text_add(text, "%s%s %llu %llu %lld", i ? " " : "", names[i], (unsigned long long)field->classes[i].hard_bytes,
                 (unsigned long long)field->classes[i].soft_bytes, (long long)field->classes[i].soft_seconds);
}

/* --- options that sherd does not use --- */

/* The value of name, or NULL; *entry is where its name stands. */
static const char *unused_find(const struct config_unused *unused, const char *name, size_t *entry) {
    for (size_t at = 0; at < unused->used_bytes;) {
        const char *key = unused->text + at, *value = key + strlen(key) + 1;
        *entry = at;
        if (strcmp(key, name) == 0) return value;
        at = (size_t)(value - unused->text) + strlen(value) + 1;
    }
    return NULL;
}

const char *unused_get(const struct config_unused *unused, const struct config_option *option) {
    size_t entry;
    const char *value = unused_find(unused, option->name, &entry);
    return value ? value : option->preset;
}

static void unused_remove(struct config_unused *unused, const char *name) {
    size_t entry;
    const char *value = unused_find(unused, name, &entry);
    if (!value) return;
    size_t after = (size_t)(value - unused->text) + strlen(value) + 1;
    memmove(unused->text + entry, unused->text + after, unused->used_bytes - after);
    unused->used_bytes -= (unsigned)(after - entry);
}

static bool parse_unused(const struct config_option *option, struct config_unused *unused, const struct slice *words,
                         unsigned count, char *why) {
    unused_remove(unused, option->name);
    size_t bytes = strlen(option->name) + 2;
    for (unsigned i = 0; i < count; i++) {
        if (words[i].len > 0 && memchr(words[i].ptr, 0, words[i].len))
            return refuse(why, "argument has a zero byte in it");
        bytes += words[i].len + (i > 0);
    }
    if (bytes > sizeof(unused->text) - unused->used_bytes)
        return refuse(why, "no room left to remember the options that sherd does not use");
    char *to = stpcpy(unused->text + unused->used_bytes, option->name) + 1;
    for (unsigned i = 0; i < count; i++) {
        if (i > 0) *to++ = ' ';
        if (words[i].len > 0) to = mempcpy(to, words[i].ptr, words[i].len);
    }
    *to = 0;
    unused->used_bytes += (unsigned)bytes;
    return true;
}

/* --- by type --- */

static bool parse_word(const struct config_option *option, struct config *config, struct slice word, char *why) {
    void *field = field_of(option, config);
    int64_t number;
    switch (option->type) {
    case OPTION_BOOL: return parse_bool(field, word, why);
    case OPTION_I64: return parse_i64(option, field, word, why);
    case OPTION_TIME: return parse_time(option, field, word, why);
    case OPTION_MEMORY: return parse_memory(option, field, word, why);
    case OPTION_MEMORY_OR_PERCENT: return parse_memory_or_percent(field, word, why);
    case OPTION_STRING: return parse_string(option, field, word, why);
    case OPTION_ENUM: return parse_enum(option, field, word, why);
    case OPTION_EVENTS: return parse_events(field, word, why);
    case OPTION_INT:
    case OPTION_OCTAL:
        if (!(option->type == OPTION_INT ? parse_i64 : parse_octal)(option, &number, word, why)) return false;
        *(int *)field = (int)number; /* the row's range fits an int: config_check */
        return true;
    default: panic(__FILE__, __LINE__, "an option with one word has an unknown type");
    }
}

static bool takes_list(const struct config_option *option) {
    return option->type >= OPTION_BIND && option->type <= OPTION_PERCENTILES;
}

/* A list that came as one word ("900 1 300 10", as in CONFIG SET) is split at its blanks; "" is the
 * empty list. */
static unsigned split_list(struct slice word, struct slice *out, unsigned max) {
    unsigned count = 0;
    for (struct slice rest = line_trim(word); rest.len > 0 && count < max; rest = line_trim(rest)) {
        const char *blank = memchr(rest.ptr, ' ', rest.len);
        size_t len = blank ? (size_t)(blank - rest.ptr) : rest.len;
        out[count++] = slice_of(rest.ptr, len);
        rest = slice_of(rest.ptr + len, rest.len - len);
    }
    return count;
}

static bool parse_list(const struct config_option *option, struct config *config, const struct slice *words,
                       unsigned count, bool fresh, char *why) {
    struct slice split[2 * CONFIG_SAVE_MAX + 2]; /* one word more than any list holds, so that too many is noticed */
    void *field = field_of(option, config);
    if (count == 1) {
        count = split_list(words[0], split, ARRAY_LEN(split));
        words = split;
    }
    switch (option->type) {
    case OPTION_BIND: return parse_bind(field, words, count, why);
    case OPTION_SAVE: return parse_save(field, words, count, fresh, why);
    case OPTION_LIMITS: return parse_limits(field, words, count, why);
    default: return parse_percentiles(field, words, count, why);
    }
}

bool option_parse(const struct config_option *option, struct config *config, const struct slice *words, unsigned count,
                  enum option_origin origin, bool first, char why[static CONFIG_TEXT_MAX]) {
    if (count == 0) return refuse(why, "wrong number of arguments");
    if (option->type == OPTION_DIRECTIVE) return true;
    if (option->type == OPTION_UNUSED) return parse_unused(option, &config->unused, words, count, why);
    if (takes_list(option)) return parse_list(option, config, words, count, first || origin == ORIGIN_SET, why);
    if (count != 1) return refuse(why, "wrong number of arguments");
    if (!parse_word(option, config, words[0], why)) return false;
    const char *reason = option->refuse ? option->refuse(field_of(option, config)) : NULL;
    return reason ? refuse(why, "%s", reason) : true;
}

static const char *name_of_enum(const struct config_option *option, unsigned value) {
    for (const struct option_name *n = option->names; n->name; n++)
        if (n->value == value) return n->name;
    panic(__FILE__, __LINE__, "an option's value has no name");
}

static void render_percentiles(const struct config_percentiles *field, struct text *text) {
    for (unsigned i = 0; i < field->count; i++) text_add(text, "%s%.10g", i ? " " : "", field->percent[i]);
}

static void render_memory_or_percent(int64_t value, struct text *text) {
    text_add(text, value < 0 ? "%lld%%" : "%lld", value < 0 ? -(long long)value : (long long)value);
}

size_t option_render(const struct config_option *option, const struct config *config,
                     char out[static CONFIG_VALUE_MAX]) {
    struct text text = {out, 0, CONFIG_VALUE_MAX};
    const void *field = field_of_const(option, config);
    out[0] = 0;
    switch (option->type) {
    case OPTION_BOOL: text_add(&text, "%s", *(const bool *)field ? "yes" : "no"); break;
    case OPTION_INT: text_add(&text, "%d", *(const int *)field); break;
    case OPTION_I64:
    case OPTION_TIME: text_add(&text, "%lld", (long long)*(const int64_t *)field); break;
    case OPTION_OCTAL: text_add(&text, "%o", (unsigned)*(const int *)field); break;
    case OPTION_MEMORY: text_add(&text, "%llu", (unsigned long long)*(const uint64_t *)field); break;
    case OPTION_MEMORY_OR_PERCENT: render_memory_or_percent(*(const int64_t *)field, &text); break;
    case OPTION_STRING: text_add(&text, "%s", (const char *)field); break;
    case OPTION_ENUM: text_add(&text, "%s", name_of_enum(option, *(const unsigned *)field)); break;
    case OPTION_BIND: render_bind(field, &text); break;
    case OPTION_SAVE: render_save(field, &text); break;
    case OPTION_LIMITS: render_limits(field, &text); break;
    case OPTION_PERCENTILES: render_percentiles(field, &text); break;
    case OPTION_EVENTS: render_events(*(const unsigned *)field, &text); break;
    case OPTION_UNUSED: text_add(&text, "%s", unused_get(&config->unused, option)); break;
    case OPTION_DIRECTIVE: break;
    }
    return text.len;
}

bool option_same(const struct config_option *option, const struct config *a, const struct config *b) {
    char x[CONFIG_VALUE_MAX], y[CONFIG_VALUE_MAX];
    option_render(option, a, x);
    option_render(option, b, y);
    return strcmp(x, y) == 0;
}
