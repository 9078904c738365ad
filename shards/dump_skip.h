/* Dump, passed over: how long an object is, and whether its frame is sound, without unpacking or keeping anything.
 *
 * For objects that lie in a file and are read in windows: the bytes may come in any number of stretches. What is inside
 * of strings (listpacks, compressed text) is not looked at. Also knows the types that nothing here can build yet.
 *
 * Threads   pure functions. Cost: O(strings); the bytes of a string are not touched. Memory: none. */
#pragma once
#include "core/slice.h"

#define DUMP_SKIP_LOOPS    4u  /* nested */
#define DUMP_SKIP_HEAD_MAX 32u /* bytes of the longest thing that has to be seen whole: kind and head of a string, 28 */

struct dump_skip { /* all private but pass */
    const char *at;
    uint64_t pass; /* bytes that are to be passed before anything else is looked at */
    unsigned loops;
    struct {
        const char *begin;
        uint64_t left;
    } loop[DUMP_SKIP_LOOPS];
};

enum dump_skipped { DUMP_SKIP_DONE, DUMP_SKIP_MORE, DUMP_SKIP_BROKEN };

/* What stands behind a type byte; false when no object of this type can be passed over. */
NODISCARD bool dump_skip_object(struct dump_skip *skip, unsigned type);
/* Anything else, in the language of dump_skip.c. The program stays where it is. */
void dump_skip_program(struct dump_skip *skip, const char *program);
/* Moves *rest over what could be passed. MORE: go on with what follows, in front of which the unused bytes of rest stay
 * (fewer than DUMP_SKIP_HEAD_MAX, and only while pass is 0). */
enum dump_skipped dump_skip_some(struct dump_skip *skip, struct slice *rest);

/* For people: "sorted set", "stream"; NULL when there is no such type. */
const char *dump_type_name(unsigned type);
bool dump_type_is_built(unsigned type);   /* dump_read_object reads it */
bool dump_type_is_counted(unsigned type); /* its object begins with the number of its elements */
