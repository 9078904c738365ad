/* Round: one simulated run, which follows from its seed alone, and what became of it. */
#pragma once
#include "core/defs.h"
#include <stdio.h>

struct round {
    uint64_t seed;
    int planted;  /* enum planted_bug */
    FILE *report; /* where a failure is described; not NULL */
};

struct round_result {
    bool failed;
    uint64_t steps, operations;
    uint64_t nodes; /* of the checker's search */
    bool crashed;   /* the machine, at the end */
};
