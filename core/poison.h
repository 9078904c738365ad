/* Poison: what an allocator of ours keeps free is forbidden to touch, as far as the address sanitizer can see; without
 * it both are nothing.
 *
 * POISON(p, n) and UNPOISON(p, n): n bytes, from a multiple of 8 on. Any thread; O(n / 8) under the sanitizer. */
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONING 1
#endif
#endif
#ifdef POISONING
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region(p, n)
#define UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif
