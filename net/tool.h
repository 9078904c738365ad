/* Tool: what the program does instead of serving.
 *
 *      sherd check DIR
 *      sherd export --rdb FILE | --aof FILE [--recovery-damage refuse|truncate|skip] [--databases N] DIR
 *      sherd doctor [FILE] [--name value ...]      the words that a server would be started with
 *
 * Main thread only, before there is any other. */
#pragma once
#include <stdbool.h>

bool tool_is_asked(int argc, char *const argv[]); /* by the first argument */
/* Prints what it finds; returns the exit code: 0: all is well, 1: it is not, 2: it was not understood. */
int tool_run(int argc, char *const argv[]);
