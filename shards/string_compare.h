/* String compare: what SET and DELEX ask of a value before they do anything: IFEQ, IFNE with a value, IFDEQ, IFDNE with
 * a digest (XXH3, 64 bits, as clients compute it), sixteen hexadecimal digits, in whichever case.
 *
 * Thread    the key's owner. Cost: O(bytes of the value); the digest of a long one is made over several turns. */
#pragma once
#include "core/value.h"
#include "shards/exec.h"

enum string_compare { COMPARE_NOTHING, COMPARE_EQUAL, COMPARE_UNEQUAL, COMPARE_DIGEST, COMPARE_OTHER_DIGEST };

enum string_compare string_compare_of(struct slice word); /* COMPARE_NOTHING: it is no such word */
/* A digest has sixteen characters. Redis looks at their number alone, and only where there is a value to compare with:
 * so do we, and what is no number fits no value. False: the error was replied. */
bool string_compare_makes_sense(struct exec *x, enum string_compare how, const struct entry *entry,
                                struct slice operand);
/* The digest of what argv[1] holds is needed. True: that is long and takes turns, and there is no reply yet; when it is
 * made the handler is called once more, and is told false. The row says takes_turns. */
NODISCARD bool string_compare_takes_turns(struct exec *x, enum string_compare how, const struct entry *entry);
NODISCARD bool string_digest_takes_turns(struct exec *x, const struct entry *entry);
/* entry: a string, or NULL: an absent key is unlike everything. */
bool string_compare_holds(const struct exec *x, enum string_compare how, const struct entry *entry,
                          struct slice operand);

#define STRING_DIGEST_BYTES 16
