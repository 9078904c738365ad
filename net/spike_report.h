/* Spike report: what LATENCY says to people about the spikes of the whole server (shards/spikes.h). Pure functions.
 *
 * The graph has Redis's shape: a column per sample, the oldest left, four rows high, the smallest an underscore at the
 * bottom and the largest a hash mark at the top; under each column, read downwards, how long ago it was. A row of text
 * has 80 columns at most. */
#pragma once
#include "core/buf.h"
#include "core/config.h"
#include "shards/spikes.h"

void spike_graph(struct buf *out, enum spike_event event, const struct spike_series *series, uint32_t now_s);

/* What was seen, and what can be done about it. series: of SPIKE_EVENTS, count 0 where there were none. */
void spike_doctor(struct buf *out, const struct spike_series *series, const struct config *config, uint32_t now_s);
