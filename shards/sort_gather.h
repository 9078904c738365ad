/* Sort gather: SORT as steps of a gather; the essay is in sort_gather.c. */
#pragma once
#include "shards/gather.h"

void sort_gather(struct gather *g);
