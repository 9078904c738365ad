/* Between model.c and its handlers: one operation being carried out. */
#pragma once
#include "tests/sim/model.h"

struct run {
    struct model *model;
    struct values *values;
    struct model_state *state;
    const struct model_operation *operation;
    const struct model_command *command;
    struct model_choice choice;
    bool changed;
};

typedef void (*model_run)(struct run *run);

struct model_row {
    const char *name;
    /* The words behind the name: K key, K* the other keys, KV* pairs of key and value, V value, V* the other values, #
     * how many keys, N number, A number as Unix time, S timeout in seconds, F and T ends of lists;
     * the rest is literal. */
    const char *words;
    model_run run;
    unsigned flags;
};

enum model_flag {
    READS = 1 << 0,   /* never changes anything */
    WIDE = 1 << 1,    /* all keys of a database, or of all */
    BLOCKS = 1 << 2,  /* waits outside of a transaction */
    SEVERAL = 1 << 3, /* waits for the first of its keys; others that wait have one to wait for */
    SESSION = 1 << 4, /* about the client's WATCH */
};

extern const struct model_row model_rows[MODEL_CODES]; /* model_commands.c */

/* --- of model_lists.c --- */
void run_push_left(struct run *run);
void run_push_right(struct run *run);
void run_push_if_there(struct run *run);
void run_pop_left(struct run *run);
void run_pop_right(struct run *run);
void run_list_length(struct run *run);
void run_list_range(struct run *run);
void run_list_remove(struct run *run);
void run_move(struct run *run);
void run_move_waiting(struct run *run);
void run_pop_first_left(struct run *run); /* of several keys */
void run_pop_first_right(struct run *run);
void run_pop_first_many(struct run *run);

/* --- for handlers --- */
uint32_t run_key(const struct run *run, uint32_t i); /* the place of the command's i-th key */
uint32_t run_value(const struct run *run, uint32_t i);
bool run_is_list(const struct run *run, uint32_t i);
/* False when the i-th key holds a list, or a string, after saying so. */
bool run_want_text(struct run *run, uint32_t i);
bool run_want_list(struct run *run, uint32_t i);
struct slice run_key_name(const struct run *run, uint32_t place);
uint32_t run_key_in_order(const struct run *run, uint32_t i);  /* the i-th key when they are sorted by name */
void run_touch(struct run *run, uint32_t place);               /* it was modified: whoever watches it is told */
void run_set(struct run *run, uint32_t place, uint32_t value); /* and touches; the deadline stays unless it is gone */
void run_drop(struct run *run, uint32_t place);                /* value and deadline; touches if it was there */
void run_forget_watches(struct run *run);                      /* of the operation's client */
void run_expect(struct run *run, const char *format, ...) PRINTF_LIKE(2, 3); /* appends to the reply */
void run_expect_bulk(struct run *run, struct slice bytes);
void run_expect_value(struct run *run, uint32_t value); /* a text, or nil */
