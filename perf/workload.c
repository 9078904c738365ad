/* See workload.h. Templates are compiled from text: the named operations are only shorthands for
 * raw commands, so there is one compiler and one encoder. */
#include "perf/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- text under construction --- */

struct text {
    char *bytes;
    size_t len, size;
};

static void text_append(struct text *t, const char *bytes, size_t len) {
    if (t->len + len + 1 > t->size) {
        t->size = (t->len + len + 1) * 2;
        t->bytes = realloc(t->bytes, t->size);
        if (t->bytes == NULL) abort();
    }
    memcpy(t->bytes + t->len, bytes, len);
    t->len += len;
    t->bytes[t->len] = '\0';
}

static void text_append_string(struct text *t, const char *string) {
    text_append(t, string, strlen(string));
}

/* --- keys and values --- */

static uint8_t digits_of(uint64_t limit) { /* of the largest number below limit */
    uint8_t digits = 1;
    for (uint64_t n = limit == 0 ? 0 : limit - 1; n >= 10; n /= 10) digits++;
    return digits;
}

static inline void digits_write(char *end, uint64_t number, uint8_t digits) {
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    for (; digits >= 2; digits = (uint8_t)(digits - 2), number /= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (number % 100), 2);
    }
    if (digits > 0) end[-1] = (char)('0' + number % 10);
}

/* What a value has at `offset`. Noise: a byte of a hash of the offset (splitmix64's last steps). */
static inline char value_pattern(const struct workload *w, uint64_t offset) {
    if (!w->shape.noise) return (char)('a' + offset % 26);
    uint64_t mixed = (offset + 1) * 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    return (char)(mixed >> 56);
}

static void key_append(const struct workload *w, struct text *t) {
    for (uint32_t i = 0; i < w->shape.key_len; i++) {
        size_t prefix = strlen(w->shape.key_prefix);
        text_append(t, i < prefix ? w->shape.key_prefix + i : "0", 1);
    }
}

static bool value_holds_key(const struct workload *w) {
    return w->shape.value_len >= w->shape.key_len;
}

/* --- compiling one request --- */

struct compiler {
    struct text argument, command, request; /* being collected; each is appended to the next when it is complete */
    struct patch *patches;                  /* `end` counts from the start of what its bytes are in */
    uint32_t patch_count, argument_patches, command_patches;
    uint32_t arguments, commands, keys, reads;
};

static void compiler_patch(struct compiler *c, enum patch_kind kind, uint64_t limit, uint8_t digits) {
    c->patches = realloc(c->patches, (c->patch_count + 1) * sizeof *c->patches);
    if (c->patches == NULL) abort();
    c->patches[c->patch_count++] =
        (struct patch){.end = (uint32_t)c->argument.len, .digits = digits, .kind = kind, .limit = limit};
    c->argument_patches++;
}

/* The last `count` patches move with their bytes, which are appended to something that has `by` bytes. */
static void compiler_shift(struct compiler *c, uint32_t count, size_t by) {
    for (uint32_t i = c->patch_count - count; i < c->patch_count; i++) c->patches[i].end += (uint32_t)by;
}

static void compile_key(const struct workload *w, struct compiler *c, enum patch_kind kind) {
    key_append(w, &c->argument);
    compiler_patch(c, kind, 0, w->key_digits);
    c->patches[c->patch_count - 1].read = true; /* as far as this argument knows */
    c->keys++;
}

static void compile_value(const struct workload *w, struct compiler *c) {
    size_t start = c->argument.len;
    if (value_holds_key(w)) {
        key_append(w, &c->argument);
        if (c->keys > 0) compiler_patch(c, PATCH_SAME_KEY, 0, w->key_digits);
    }
    for (size_t i = c->argument.len - start; i < w->shape.value_len; i++) {
        char letter = value_pattern(w, i);
        text_append(&c->argument, &letter, 1);
    }
}

/* Compiles a placeholder at `p` and returns what follows it; NULL: there is none here. */
static const char *compile_placeholder(const struct workload *w, struct compiler *c, const char *p) {
    if (strncmp(p, "__key__", 7) == 0) {
        compile_key(w, c, PATCH_KEY);
        return p + 7;
    }
    if (strncmp(p, "__same__", 8) == 0 && c->keys > 0) {
        compile_key(w, c, PATCH_SAME_KEY);
        return p + 8;
    }
    if (strncmp(p, "__value__", 9) == 0) {
        compile_value(w, c);
        return p + 9;
    }
    uint64_t limit = w->shape.keys;
    char *end = NULL;
    if (strncmp(p, "__rand__", 8) == 0)
        end = (char *)(uintptr_t)p + 6;
    else if (strncmp(p, "__rand:", 7) == 0)
        limit = strtoull(p + 7, &end, 10);
    if (end == NULL || strncmp(end, "__", 2) != 0 || limit == 0) return NULL;
    uint8_t digits = digits_of(limit);
    for (uint8_t i = 0; i < digits; i++) text_append(&c->argument, "0", 1);
    compiler_patch(c, PATCH_RANDOM, limit, digits);
    return end + 2;
}

static void text_append_text(struct text *t, const struct text *piece) {
    if (piece->len > 0) text_append(t, piece->bytes, piece->len);
}

static void argument_close(struct compiler *c) {
    char head[32];
    (void)snprintf(head, sizeof head, "$%zu\r\n", c->argument.len);
    text_append_string(&c->command, head);
    compiler_shift(c, c->argument_patches, c->command.len);
    text_append_text(&c->command, &c->argument);
    text_append_string(&c->command, "\r\n");
    c->command_patches += c->argument_patches;
    c->argument.len = 0;
    c->argument_patches = 0;
    c->arguments++;
}

/* Compiles one argument at `p` and returns what follows it. */
static const char *compile_argument(const struct workload *w, struct compiler *c, const char *p) {
    bool quoted = false;
    for (; *p != '\0' && (quoted || (*p != ' ' && *p != ';' && *p != '&'));) {
        if (*p == '"') {
            quoted = !quoted;
            p++;
            continue;
        }
        const char *after = compile_placeholder(w, c, p);
        if (after == NULL) {
            text_append(&c->argument, p, 1);
            after = p + 1;
        }
        p = after;
    }
    argument_close(c);
    return p;
}

static void command_close(struct compiler *c) {
    const char *bytes = c->command.bytes;
    bool reads = strncasecmp(bytes, "$3\r\nGET\r", 8) == 0 || strncasecmp(bytes, "$4\r\nMGET\r", 9) == 0;
    for (uint32_t i = c->patch_count - c->command_patches; i < c->patch_count; i++) {
        c->patches[i].read &= reads;
        c->reads += c->patches[i].read;
    }
    char head[32];
    (void)snprintf(head, sizeof head, "*%u\r\n", c->arguments);
    text_append_string(&c->request, head);
    compiler_shift(c, c->command_patches, c->request.len);
    text_append_text(&c->request, &c->command);
    c->command.len = 0;
    c->command_patches = c->arguments = 0;
    c->commands++;
}

/* Compiles one command at `p` up to '&', ';' or the end, and returns that place; NULL when there is no command. */
static const char *compile_command(const struct workload *w, struct compiler *c, const char *p) {
    while (*p != '\0' && *p != ';' && *p != '&') {
        if (*p == ' ')
            p++;
        else
            p = compile_argument(w, c, p);
    }
    if (c->arguments == 0) return NULL;
    command_close(c);
    return p;
}

/* Compiles one request at `p` up to ';' or the end, and returns that place; NULL when it is none. */
static const char *compile_request(struct workload *w, const char *p) {
    struct compiler c = {0};
    p = compile_command(w, &c, p);
    while (p != NULL && *p == '&') p = compile_command(w, &c, p + 1);
    w->templates[w->template_count++] = (struct template){.bytes = c.request.bytes,
                                                          .len = (uint32_t)c.request.len,
                                                          .commands = c.commands,
                                                          .patches = c.patches,
                                                          .patch_count = c.patch_count};
    if (c.request.len > w->longest) w->longest = (uint32_t)c.request.len;
    if (c.reads > w->drawn_per_request) w->drawn_per_request = c.reads;
    free(c.argument.bytes);
    free(c.command.bytes);
    return p;
}

/* --- the named operations, as raw commands --- */

static bool expand_many(const char *op, struct text *raw) {
    bool set = op[1] == 's';
    char *end = NULL;
    unsigned long count = strtoul(op + 5, &end, 10);
    if (count == 0 || count > 10000 || *end != '\0') return false;
    text_append_string(raw, set ? "MSET" : "MGET");
    for (unsigned long i = 0; i < count; i++) text_append_string(raw, set ? " __key__ __value__" : " __key__");
    return true;
}

static bool expand(struct workload *w, const char *op, struct text *raw) {
    static const struct {
        const char *name, *raw;
    } named[] = {{"get", "GET __key__"}, {"set", "SET __key__ __value__"}, {"incr", "INCR __key__"}, {"ping", "PING"}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (strcmp(op, named[i].name) != 0) continue;
        text_append_string(raw, named[i].raw);
        return true;
    }
    if (strncmp(op, "mget:", 5) == 0 || strncmp(op, "mset:", 5) == 0) return expand_many(op, raw);
    if (strncmp(op, "setget:", 7) == 0) {
        char *end = NULL;
        double share = strtod(op + 7, &end);
        if (!(share >= 0 && share <= 1) || *end != '\0') return false;
        /* 2^64 itself does not fit: a share of 1 loses one request in 2^53. */
        w->set_below = share >= 1 ? UINT64_MAX : (uint64_t)(share * 18446744073709551616.0) + 1;
        text_append_string(raw, "GET __key__ ; SET __key__ __value__");
        return true;
    }
    text_append_string(raw, op);
    return true;
}

static bool shape_fits(struct workload *w, const char **why) {
    struct workload_shape *s = &w->shape;
    if (s->keys == 0 || s->key_len == 0 || s->key_len > 65536) {
        *why = "--keys and --key-len must be positive";
        return false;
    }
    w->key_digits = digits_of(s->keys);
    if (w->key_digits + strlen(s->key_prefix) > s->key_len) {
        *why = "--key-len is too short for the prefix and the digits of --keys";
        return false;
    }
    w->key_text = malloc(s->key_len);
    if (w->key_text == NULL) abort();
    struct text t = {0};
    key_append(w, &t);
    memcpy(w->key_text, t.bytes, s->key_len);
    free(t.bytes);
    return true;
}

static bool commands_agree(struct workload *w, const char **why) {
    w->commands = w->templates[0].commands;
    for (uint32_t i = 1; i < w->template_count; i++) {
        if (w->templates[i].commands == w->commands) continue;
        *why = "requests that take turns (;) must have equally many commands (&)";
        return false;
    }
    return true;
}

bool workload_init(struct workload *w, const char *op, const struct workload_shape *shape, const char *dist,
                   uint64_t seed, const char **why) {
    *w = (struct workload){.shape = *shape};
    if (!shape_fits(w, why) || !keydist_init(&w->dist, dist, shape->keys, seed, why)) return false;
    struct text raw = {0};
    *why = "cannot read the operation (get set incr ping mget:N mset:N setget:RATIO or a raw command)";
    bool fine = expand(w, op, &raw) && raw.len > 0;
    for (const char *p = raw.bytes; fine && *p != '\0';) {
        p = w->template_count < WORKLOAD_TEMPLATES_MAX ? compile_request(w, p) : NULL;
        fine = p != NULL;
        if (fine && *p == ';') p++;
    }
    free(raw.bytes);
    return fine && commands_agree(w, why);
}

void workload_deinit(struct workload *w) {
    for (uint32_t i = 0; i < w->template_count; i++) {
        free(w->templates[i].bytes);
        free(w->templates[i].patches);
    }
    free(w->key_text);
    keydist_deinit(&w->dist);
}

/* --- encoding --- */

size_t workload_bytes(const struct workload *w, uint32_t count) {
    return (size_t)w->longest * count;
}

void workload_prefill(const struct workload *w, char *buf, uint32_t count) {
    const struct template *only = &w->templates[0];
    for (uint32_t i = 0; i < count && w->template_count == 1; i++)
        memcpy(buf + (size_t)i * only->len, only->bytes, only->len);
}

static inline void template_patch(struct workload *w, const struct template *template, char *at) {
    uint64_t key = 0;
    for (uint32_t i = 0; i < template->patch_count; i++) {
        const struct patch *patch = &template->patches[i];
        uint64_t number = key;
        if (patch->kind == PATCH_KEY) {
            number = key = keydist_next(&w->dist);
        } else if (patch->kind == PATCH_RANDOM) {
            number = keydist_below(&w->dist, patch->limit);
        }
        if (patch->read && w->drawn != NULL) w->drawn[w->drawn_count++] = key;
        digits_write(at + patch->end, number, patch->digits);
    }
}

static uint32_t template_choose(struct workload *w) {
    if (w->set_below > 0) return keydist_random(&w->dist) < w->set_below ? 1 : 0;
    uint32_t chosen = w->turn++;
    if (w->turn == w->template_count) w->turn = 0;
    return chosen;
}

size_t workload_encode(struct workload *w, char *buf, uint32_t count) {
    w->drawn_count = 0;
    if (w->template_count == 1) {
        const struct template *only = &w->templates[0];
        for (uint32_t i = 0; i < count; i++) template_patch(w, only, buf + (size_t)i * only->len);
        return (size_t)only->len * count;
    }
    char *at = buf;
    for (uint32_t i = 0; i < count; i++) {
        const struct template *template = &w->templates[template_choose(w)];
        memcpy(at, template->bytes, template->len);
        template_patch(w, template, at);
        at += template->len;
    }
    return (size_t)(at - buf);
}

bool workload_value_matches(struct workload *w, uint64_t key, const char *piece, size_t len, uint64_t offset,
                            int64_t total) {
    if (total != (int64_t)w->shape.value_len) return false;
    uint32_t key_bytes = value_holds_key(w) ? w->shape.key_len : 0;
    if (key_bytes > 0 && offset < key_bytes) digits_write(w->key_text + w->shape.key_len, key, w->key_digits);
    for (size_t i = 0; i < len; i++) {
        uint64_t at = offset + i;
        if (piece[i] != (at < key_bytes ? w->key_text[at] : value_pattern(w, at))) return false;
    }
    return true;
}
