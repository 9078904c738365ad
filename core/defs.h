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
#define MIN(a, b)                     ((a) < (b) ? (a) : (b))
#define MAX(a, b)                     ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* One cache line on every x86-64 and most arm64 servers. Shared structures keep writers this far apart. */
#define CACHE_LINE 64

/* The most threads, and so shards, that one server runs: one bit each in a mailbox's wake word. */
#define SHARDS_MAX 64
