/* Workload: the requests of a run, encoded once and patched with keys.
 *
 * A command becomes a template: its RESP bytes, and where the digits of a key go. Encoding a
 * request is writing six digits into place; when a run has one template, a connection's buffer is
 * filled with copies of it once and a whole pipeline is rewritten by patching alone.
 *
 * Specifications (--op): get set incr ping setget:RATIO (RATIO = share of SETs, 0..1) mget:N
 * mset:N, or a raw command with placeholders. Several separated by ';' take turns, one request each.
 * Several joined by '&' are one request: they always leave together, on one connection, and count
 * as one operation when all their replies are there.
 *
 *     "hset h:__rand:1000__ f __value__"      "lpush l __value__ ; lpop l"
 *     "multi & set {__key__}a __value__ & get {__same__}a & exec"
 *
 *     __key__     prefix and zero-padded number of the next key of the distribution, --key-len
 * bytes in all
 *     __same__    the last key before it in the same request, once more
 *     __value__   --value-len bytes: the last key before it, then a fixed pattern; so a reader can
 * verify it
 *     __rand:N__  a zero-padded random number below N (uniform, from the same seed)
 *     __rand__    the same below --keys
 *     "..."       quotes keep spaces inside one argument
 *
 * One owner, no threads. */
#pragma once
#include "perf/keydist.h"
#include <stddef.h>

enum { WORKLOAD_TEMPLATES_MAX = 16 };

enum patch_kind { PATCH_KEY, PATCH_SAME_KEY, PATCH_RANDOM };

struct patch {
    uint32_t end; /* the digits are written backwards from here */
    uint8_t digits;
    bool read; /* a key of GET or MGET: the reply brings its value */
    enum patch_kind kind;
    uint64_t limit; /* PATCH_RANDOM */
};

struct template { /* one request */
    char *bytes;
    uint32_t len;
    uint32_t commands;
    uint32_t patch_count;
    struct patch *patches;
};

struct workload_shape { /* what the options say about keys and values */
    const char *key_prefix;
    uint64_t keys;
    uint32_t key_len, value_len;
    bool noise; /* values that nothing compresses, instead of the alphabet */
};

struct workload {
    struct template templates[WORKLOAD_TEMPLATES_MAX];
    uint32_t template_count;
    uint32_t commands;  /* of a request, and so its replies: the same for all templates */
    uint32_t turn;      /* whose turn it is, templates taking turns */
    uint64_t set_below; /* setget: a random number below this means template 1 (SET), else 0; 0:
                           take turns */
    uint32_t longest;   /* bytes of the longest template */
    uint8_t key_digits; /* digits of a key that ever change */
    struct workload_shape shape;
    struct keydist dist;
    /* For verify: if not NULL, encode puts the keys here whose values the replies bring. */
    uint64_t *drawn;
    uint32_t drawn_count, drawn_per_request;
    char *key_text; /* scratch of value checking: prefix and digits */
};

/* False, with a sentence in *why, when the specification or the shape makes no sense; deinit then
 * too. */
bool workload_init(struct workload *w, const char *op, const struct workload_shape *shape, const char *dist,
                   uint64_t seed, const char **why);
void workload_deinit(struct workload *w);

/* Room for `count` requests. */
size_t workload_bytes(const struct workload *w, uint32_t count);

/* Once per buffer, before encode: lays the copies out, if there is one template only. */
void workload_prefill(const struct workload *w, char *buf, uint32_t count);

/* Writes the next `count` requests into a prefilled buffer and returns their bytes. */
size_t workload_encode(struct workload *w, char *buf, uint32_t count);

/* Is `piece` what the value of `key` has at `offset`? Does the length fit? */
bool workload_value_matches(struct workload *w, uint64_t key, const char *piece, size_t len, uint64_t offset,
                            int64_t total);
