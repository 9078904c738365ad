/* Glob: the patterns of KEYS, SCAN MATCH, PSUBSCRIBE, CONFIG GET and ACL, read byte for byte as
 * Redis 7.0 reads them.
 *
 *   *        any bytes, also none           [abc]   one of these
 *   ?        any one byte                   [a-z]   one in the range, either end first
 *   \x       x itself                       [^abc]  one that is none of these
 *
 * No pattern is an error. What other globs refuse or read differently, and this one has from Redis:
 *   - Inside [] a backslash quotes too. "[]" holds nothing and never matches, "[^]" always does.
 *   - A class without ']' goes on to the end of the pattern; "[a-" is a class of 'a' and '-'.
 *   - A range takes its right end as it stands: "[a-]" starts a class with the range 'a' to ']'.
 *   - Bytes from 128 up count as negative in a range, as in Redis on x86.
 *   - A backslash at the end is a backslash.
 *   - Empty text is matched by the empty pattern only, not even by "*"; KEYS and SCAN treat a
 *     lone "*" as "everything" before they ask here.
 *   - nocase folds ASCII letters, except one quoted inside [].
 *
 * Bytes are binary: NUL and invalid UTF-8 are ordinary, and '?' is a byte, not a character.
 * Cost: O(pattern) for most, O(pattern * text) at worst, whatever the number of '*'; no recursion,
 * no allocation. */
#pragma once
#include "core/slice.h"

bool glob_match(struct slice pattern, struct slice text, bool nocase);

/* No special bytes: it matches itself and nothing else, so a look-up can replace a walk. */
bool glob_is_literal(struct slice pattern);
