/* Lists: what the commands on them do to a state. */
#include "core/assert.h"
#include "tests/sim/model_priv.h"

static uint32_t length(const struct run *run, uint32_t i) {
    uint32_t count;
    (void)value_items(run->values, run_value(run, i), &count);
    return count;
}

/* Copies the i-th key's items, since making a value moves them. */
static uint32_t take_items(const struct run *run, uint32_t i, uint32_t *items) {
    uint32_t count;
    const uint32_t *old = value_items(run->values, run_value(run, i), &count);
    if (count) memcpy(items, old, count * sizeof *items);
    return count;
}

static void push_one(struct run *run, uint32_t i, uint32_t item, bool right) {
    uint32_t items[VALUE_ITEMS_MAX + 1];
    uint32_t count = take_items(run, i, items + !right);
    items[right ? count : 0] = item;
    run_set(run, run_key(run, i), value_of_items(run->values, items, count + 1));
}

static void push(struct run *run, bool right) {
    if (!run_want_list(run, 0)) return;
    for (uint32_t v = 0; v < run->command->value_count; v++) push_one(run, 0, run->command->values[v], right);
    run_expect(run, ":%u\r\n", length(run, 0));
}

void run_push_left(struct run *run) {
    push(run, false);
}

void run_push_right(struct run *run) {
    push(run, true);
}

void run_push_if_there(struct run *run) {
    if (run_value(run, 0) == VALUE_NONE)
        run_expect(run, ":0\r\n");
    else
        push(run, true);
}

/* The i-th key is a list. */
static uint32_t pop_one(struct run *run, uint32_t i, bool right) {
    uint32_t items[VALUE_ITEMS_MAX];
    uint32_t count = take_items(run, i, items);
    ASSERT(count > 0);
    uint32_t item = items[right ? count - 1 : 0];
    run_set(run, run_key(run, i), value_of_items(run->values, items + !right, count - 1));
    return item;
}

static void pop(struct run *run, bool right) {
    if (!run_want_list(run, 0)) return;
    run_expect_value(run, run_is_list(run, 0) ? pop_one(run, 0, right) : VALUE_NONE);
}

void run_pop_left(struct run *run) {
    pop(run, false);
}

void run_pop_right(struct run *run) {
    pop(run, true);
}

void run_list_length(struct run *run) {
    if (run_want_list(run, 0)) run_expect(run, ":%u\r\n", length(run, 0));
}

void run_list_range(struct run *run) {
    if (!run_want_list(run, 0)) return;
    uint32_t count;
    const uint32_t *items = value_items(run->values, run_value(run, 0), &count);
    run_expect(run, "*%u\r\n", count);
    for (uint32_t i = 0; i < count; i++) run_expect_bulk(run, value_text(run->values, items[i]));
}

void run_list_remove(struct run *run) {
    if (!run_want_list(run, 0)) return;
    uint32_t items[VALUE_ITEMS_MAX], kept = 0;
    uint32_t count = take_items(run, 0, items);
    for (uint32_t i = 0; i < count; i++)
        if (items[i] != run->command->values[0]) items[kept++] = items[i];
    if (kept < count) run_set(run, run_key(run, 0), value_of_items(run->values, items, kept));
    run_expect(run, ":%u\r\n", count - kept);
}

static const char *null_of(const struct run *run, const char *null) {
    return run->operation->transaction ? null : "*-1\r\n"; /* giving up is told as a null array */
}

/* From one end of a list to an end of the same: the key is never gone in between, so that it keeps its deadline. */
static uint32_t rotate(struct run *run) {
    uint32_t items[VALUE_ITEMS_MAX + 2];
    uint32_t count = take_items(run, 0, items + 1);
    bool from_right = run->command->from_right, to_right = run->command->to_right;
    uint32_t item = items[from_right ? count : 1];
    if (!from_right && to_right) memmove(items + 1, items + 2, (count - 1) * sizeof *items);
    if (from_right && !to_right) memmove(items + 2, items + 1, (count - 1) * sizeof *items);
    items[to_right ? count : 1] = item;
    run_set(run, run_key(run, 0), value_of_items(run->values, items + 1, count));
    return item;
}

static void move(struct run *run, bool blocking) {
    if (!run_want_list(run, 0)) return;
    if (!run_is_list(run, 0)) {
        run_expect(run, "%s", blocking ? null_of(run, "$-1\r\n") : "$-1\r\n");
        return;
    }
    if (!run_want_list(run, 1)) return;
    if (run_key(run, 0) == run_key(run, 1)) {
        run_expect_value(run, rotate(run));
        return;
    }
    uint32_t item = pop_one(run, 0, run->command->from_right);
    push_one(run, 1, item, run->command->to_right);
    run_expect_value(run, item);
}

void run_move(struct run *run) {
    move(run, false);
}

void run_move_waiting(struct run *run) {
    move(run, true);
}

/* The first key that is a list, in order; one of another type before it is an error. -1: none. */
static int first_list(struct run *run) {
    if (run->choice.event == MODEL_SERVED) return run->choice.served_by;
    for (uint32_t i = 0; i < run->command->key_count; i++) {
        if (!run_want_list(run, i)) return -2;
        if (run_is_list(run, i)) return (int)i;
    }
    return -1;
}

static void pop_several(struct run *run, bool right, uint32_t most) {
    int from = first_list(run);
    if (from == -1) run_expect(run, "*-1\r\n");
    if (from < 0) return;
    uint32_t i = (uint32_t)from, count = MIN(most, length(run, i));
    run_expect(run, "*2\r\n");
    run_expect_bulk(run, run_key_name(run, run_key(run, i)));
    if (run->command->code == DO_LMPOP || run->command->code == DO_BLMPOP) run_expect(run, "*%u\r\n", count);
    for (; count; count--) run_expect_value(run, pop_one(run, i, right));
}

void run_pop_first_left(struct run *run) {
    pop_several(run, false, 1);
}

void run_pop_first_right(struct run *run) {
    pop_several(run, true, 1);
}

void run_pop_first_many(struct run *run) {
    pop_several(run, run->command->from_right, (uint32_t)run->command->number);
}
