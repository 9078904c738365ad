/* Values: what a key of the model may hold, each kept once and named by a small number.
 *
 * The checker visits many states that differ in one key. With every value interned a state is a few numbers: it is
 * copied with one assignment, and two states are equal when their bytes are.
 *
 * Ownership the values live as long as the store. What value_text and value_items return is valid until the next value
 * is
 *           made.
 * Cost      making a value: a hash and, when it is new, its bytes. */
#pragma once
#include "core/slice.h"

struct values;

#define VALUE_NONE      0   /* no key, an empty list */
#define VALUE_ITEMS_MAX 512 /* elements of a list */

struct values *values_new(void);
void values_delete(struct values *values);

uint32_t value_of_text(struct values *values, struct slice text);
uint32_t value_of_int(struct values *values, int64_t number);
uint32_t value_of_items(struct values *values, const uint32_t *items, uint32_t count); /* items are texts */

bool value_is_list(const struct values *values, uint32_t value); /* false for VALUE_NONE */
struct slice value_text(const struct values *values, uint32_t value);
const uint32_t *value_items(const struct values *values, uint32_t value, uint32_t *count);
