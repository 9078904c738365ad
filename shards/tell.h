/* Tell: what a command says of a large value that the journal is to hear of over several turns (shards/tell_work.h). */
#pragma once
#include "core/slice.h"

/* Positions are those in the command's argv. */
struct tell {
    uint32_t key_at;      /* of the key whose value is told */
    uint32_t drop_at;     /* of one that it was taken from, told as deleted at the end; 0: none */
    uint16_t db, drop_db; /* theirs */
    uint64_t from, end;   /* only these bytes of a string, as SETRANGE; 0, 0: the whole value, as a new one */
    /* private */
    uint64_t deadline_ms; /* of the value, which gets it back when all was told */
    uint64_t ticks;       /* that the command took */
    uint16_t number;      /* of its row in the registry */
};

/* A shard's: from the handler that asks to the place in line. */
struct telling {
    struct tell tell;
    struct slice argv[5]; /* of the stand-in */
};
