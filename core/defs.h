/* Defs: attributes and small facts about the machine that every module may use. No functions. */
#pragma once
#include <assert.h> /* static_assert only; our own ASSERT is core/assert.h */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODISCARD                     __attribute__((warn_unused_result))
#define NORETURN                      __attribute__((noreturn))
#define COLD                          __attribute__((cold, noinline))
#define NOINLINE                      __attribute__((noinline)) /* keeps its registers out of a hot caller */
#define HOT_INLINE                    static inline __attribute__((always_inline))
#define PRINTF_LIKE(f, a)             __attribute__((format(printf, f, a)))
#define LIKELY(x)                     __builtin_expect(!!(x), 1)
#define UNLIKELY(x)                   __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a)                  (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* The smaller and the larger of two. Each is evaluated once, so that a call with effects may stand there; where a
 * constant is needed (array sizes, static_assert) they cannot. */
#define MIN(a, b)            CHOOSE(a, b, <, PASTE(left_, __COUNTER__), PASTE(right_, __COUNTER__))
#define MAX(a, b)            CHOOSE(a, b, >, PASTE(left_, __COUNTER__), PASTE(right_, __COUNTER__))
#define PASTE(a, b)          PASTE_EXPANDED(a, b)
#define PASTE_EXPANDED(a, b) a##b
/* The names are new ones each time, so that one may stand inside another. */
#define CHOOSE(a, b, than, left, right)                                                                                \
    __extension__({                                                                                                    \
        __auto_type left = (a);                                                                                        \
        __auto_type right = (b);                                                                                       \
        left than right ? left : right;                                                                                \
    })

/* One cache line on every x86-64 and most arm64 servers. Shared structures keep writers this far apart. */
#define CACHE_LINE 64

/* The most threads, and so shards, that one server runs: one bit each in a mailbox's wake word. */
#define SHARDS_MAX 64
