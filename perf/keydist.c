/* Building Walker's alias table (Vose's way): every column holds 1/n of the probability; a rank
 * poorer than that fills its column up with a part of a richer one. Two stacks, each rank moved
 * once: O(n). */
#include "perf/keydist.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t gcd(uint64_t a, uint64_t b) {
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* A multiplier that makes rank -> rank * m mod count a permutation. Near the golden ratio:
 * neighbours land far apart. */
static uint64_t scatter_multiplier(uint64_t count) {
    uint64_t m = (uint64_t)((double)count * 0.6180339887498949) | 1;
    while (gcd(m, count) != 1) m++;
    return m;
}

static bool zipf_build(struct keydist *d, double skew) {
    uint64_t n = d->count;
    double *weight = malloc(n * sizeof *weight);
    uint32_t *stack = malloc(n * sizeof *stack); /* poor ranks grow from the front, rich from the back */
    d->columns = malloc(n * sizeof *d->columns);
    if (weight == NULL || stack == NULL || d->columns == NULL) {
        free(weight);
        free(stack);
        return false;
    }
    double sum = 0;
    for (uint64_t i = 0; i < n; i++) sum += weight[i] = pow((double)(i + 1), -skew);
    uint64_t poor = 0, rich = n, m = scatter_multiplier(n);
    for (uint64_t i = 0; i < n; i++) {
        weight[i] *= (double)n / sum;
        if (weight[i] < 1.0)
            stack[poor++] = (uint32_t)i;
        else
            stack[--rich] = (uint32_t)i;
        uint32_t id = (uint32_t)((unsigned __int128)i * m % n);
        d->columns[i] = (struct keydist_column){.threshold = UINT32_MAX, .id = {id, id}};
    }
    while (poor > 0 && rich < n) {
        uint32_t from = stack[--poor], to = stack[rich];
        d->columns[from].threshold = (uint32_t)(weight[from] * 4294967295.0);
        d->columns[from].id[1] = d->columns[to].id[0];
        weight[to] -= 1.0 - weight[from];
        if (weight[to] < 1.0) {
            rich++;
            stack[poor++] = to;
        }
    }
    free(weight);
    free(stack);
    return true;
}

bool keydist_init(struct keydist *d, const char *spec, uint64_t count, uint64_t seed, const char **why) {
    *d = (struct keydist){.count = count, .state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    if (strcmp(spec, "uniform") == 0) {
        d->kind = KEYDIST_UNIFORM;
        return true;
    }
    if (strcmp(spec, "seq") == 0) {
        d->kind = KEYDIST_SEQ;
        return true;
    }
    *why = "a distribution is uniform, seq or zipf:SKEW (zipf:0.99)";
    if (strncmp(spec, "zipf", 4) != 0 || (spec[4] != ':' && spec[4] != '\0')) return false;
    char *end = NULL;
    double skew = spec[4] == ':' ? strtod(spec + 5, &end) : 0.99;
    if (!(skew > 0 && skew < 10) || (end != NULL && *end != '\0')) return false;
    *why = "zipf needs 1 to 2^32 - 1 keys and memory for 24 bytes of each";
    if (count > UINT32_MAX) return false;
    d->kind = KEYDIST_ZIPF;
    for (int i = 0; i < KEYDIST_AHEAD; i++) d->ahead[i] = keydist_random(d);
    return zipf_build(d, skew);
}

void keydist_deinit(struct keydist *d) {
    free(d->columns);
    d->columns = NULL;
}
