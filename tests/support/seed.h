/* The seed of a random test: the environment variable SHERD_SEED, or SEED for short, repeats what a failure printed. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static inline const char *seed_text(void) { /* NULL: none was given */
    const char *text = getenv("SHERD_SEED");
    if (!text || !*text) text = getenv("SEED");
    return text && *text ? text : NULL;
}

static inline bool seed_given(void) {
    return seed_text() != NULL;
}

static inline uint64_t seed_or(uint64_t otherwise) {
    const char *text = seed_text();
    return text ? strtoull(text, NULL, 0) : otherwise;
}
