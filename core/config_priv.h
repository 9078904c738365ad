/* Config, private: the option row and what the config_*.c files share. Tests look in here too. */
#pragma once
#include "core/config.h"

enum option_type {
    OPTION_BOOL,
    OPTION_INT,
    OPTION_I64,
    OPTION_OCTAL,
    OPTION_TIME, /* milliseconds; written as 500, 500ms, 2s or 5m */
    OPTION_MEMORY,
    OPTION_MEMORY_OR_PERCENT,
    OPTION_STRING,
    OPTION_ENUM,
    OPTION_BIND,
    OPTION_SAVE,
    OPTION_LIMITS,
    OPTION_PERCENTILES,
    OPTION_EVENTS,
    OPTION_UNUSED,    /* any text, kept in config->unused */
    OPTION_DIRECTIVE, /* a line in a file that is no parameter: CONFIG GET and SET do not know it */
};

enum option_status { OPTION_LIVE, OPTION_LATER, OPTION_IGNORED };

enum option_change {
    CHANGE_AT_START, /* "can't set immutable config" */
    CHANGE_ANY_TIME,
    CHANGE_PROTECTED, /* needs enable-protected-configs */
};

/* In the order of --help. */
#define OPTION_GROUPS(X)                                                                                               \
    X(GROUP_NETWORK, "Network")                                                                                        \
    X(GROUP_GENERAL, "General")                                                                                        \
    X(GROUP_SECURITY, "Security")                                                                                      \
    X(GROUP_OBSERVATION, "Observation")                                                                                \
    X(GROUP_MEMORY, "Memory, expiry and eviction")                                                                     \
    X(GROUP_ENCODING, "Encodings")                                                                                     \
    X(GROUP_PERSISTENCE, "Persistence")                                                                                \
    X(GROUP_REPLICATION, "Replication, cluster and scripts")

enum option_group {
#define OPTION_GROUP_ENUM(id, title) id,
    OPTION_GROUPS(OPTION_GROUP_ENUM)
#undef OPTION_GROUP_ENUM
        GROUP_COUNT
};

struct option_name {
    const char *name;
    unsigned value;
};

struct config_option {
    const char *name, *alias;                 /* lower case; alias NULL when there is none */
    const char *preset;                       /* the default, as text */
    const char *unit;                         /* NULL when it counts things or has none */
    const char *doc;                          /* one sentence for a user; why not, when it is ignored */
    const char *missing;                      /* later: what sherd does not do yet; NULL: not worth a warning */
    const struct option_name *names;          /* OPTION_ENUM, ends with a NULL name */
    const char *(*refuse)(const void *field); /* a reason to refuse a parsed value, or NULL */
    int64_t min, max;                         /* numbers; sizes are refused outside them too */
    size_t offset, size;                      /* of the field */
    enum option_type type;
    enum option_status status;
    enum option_change change;
    enum option_group group;
    bool clamp; /* out of range means the nearest limit */
};

/* Both tables as one: index < option_count(). */
extern const struct config_option config_options[];
extern const unsigned config_options_count;
extern const struct config_option config_unused_options[];
extern const unsigned config_unused_options_count;

unsigned option_count(void);
const struct config_option *option_at(unsigned index);
bool option_find(struct slice name, unsigned *index); /* by name or alias, case ignored */

/* --- values (config_value.c) --- */

/* File lines of `save` and of a client class add to each other; CONFIG SET replaces the whole
 * value. */
enum option_origin { ORIGIN_LINE, ORIGIN_SET };

/* Sets the field from words. False: `why` says it as Redis does, and the field may be half-changed.
 */
bool option_parse(const struct config_option *option, struct config *config, const struct slice *words, unsigned count,
                  enum option_origin origin, bool first, char why[static CONFIG_TEXT_MAX]);

/* The value as CONFIG GET shows it, terminated; returns its length. */
size_t option_render(const struct config_option *option, const struct config *config,
                     char out[static CONFIG_VALUE_MAX]);

/* True when both say the same. */
bool option_same(const struct config_option *option, const struct config *a, const struct config *b);

/* The text of an unused option, its preset when nobody set it. */
const char *unused_get(const struct config_unused *unused, const struct config_option *option);

/* One line of a file, with lines of lists set; see option_parse. Marks the option as given. */
bool option_apply(unsigned index, struct config *config, const struct slice *words, unsigned count,
                  enum option_origin origin, char why[static CONFIG_TEXT_MAX]);
bool option_given(const struct config *config, unsigned index);

/* --- lines (config_line.c) --- */
enum { LINE_BYTES_MAX = 16384, LINE_WORDS_MAX = 512 };

struct line_words {
    unsigned count;
    struct slice words[LINE_WORDS_MAX]; /* into bytes */
    char bytes[LINE_BYTES_MAX];
};

/* Splits as Redis's configuration does: blanks between words, "..." with \n \r \t \b \a \xHH, '...'
 * with \'. NULL, or why not. O(length) */
const char *line_split(struct slice line, struct line_words *out);

/* The next line without its end; false at the end of the text. */
bool line_next(struct slice *rest, struct slice *line);

/* The line without blanks around it; is it empty or a comment? */
struct slice line_trim(struct slice line);
bool line_is_blank(struct slice trimmed);

/* Writes text so that line_split reads one word back; quotes only where needed unless `always`. */
void line_emit_word(struct slice word, bool always, config_emit *emit, void *ctx);
