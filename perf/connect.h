/* Connect: a blocking, greeted socket (AUTH, HELLO 3, SELECT done), ready to be handed to the
 * engine. */
#pragma once
#include "perf/engine.h"

/* The descriptor, or -1 with a sentence in `why`. */
int connect_open(const struct engine_target *target, char *why, size_t why_size);
