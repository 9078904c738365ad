/* A list that is searched from the front: the few codes that matter are met first and so stand first. */
#include "shards/error_stats.h"
#include <stdlib.h>

static const struct error_count other = {.code = "OTHER"};

static struct error_count *find(struct error_stats *stats, const struct error_count *like) {
    for (uint64_t i = 0; i < stats->used; i++)
        if (memcmp(stats->codes[i].code, like->code, ERROR_CODE_MAX) == 0) return &stats->codes[i];
    bool is_other = memcmp(like->code, other.code, ERROR_CODE_MAX) == 0;
    if (stats->used >= ERROR_CODES_MAX && !is_other) return find(stats, &other);
    struct error_count *fresh = &stats->codes[stats->used++];
    memcpy(fresh->code, like->code, ERROR_CODE_MAX);
    return fresh;
}

/* A line of INFO is "errorstat_CODE:count=N", so what would end or split it is replaced, as Redis does. */
static char shown(char c) {
    return c <= ' ' || c == ':' || c == '#' || c == '=' || c == 127 ? '_' : c;
}

void error_stats_count(struct error_stats *stats, struct slice text) {
    struct error_count one = {.count = 1};
    size_t len = 0;
    for (; len < MIN(text.len, (size_t)ERROR_CODE_MAX); len++) {
        char c = text.ptr[len];
        if (c == ' ' || c == '\r' || c == '\n') break;
        one.code[len] = shown(c);
    }
    if (len == 0) one = (struct error_count){.code = "ERR", .count = 1};
    error_stats_add(stats, &one);
}

void error_stats_add(struct error_stats *stats, const struct error_count *count) {
    find(stats, count)->count += count->count;
}

static int by_code(const void *a, const void *b) {
    const struct error_count *x = a, *y = b;
    return memcmp(x->code, y->code, ERROR_CODE_MAX);
}

void error_stats_sort(struct error_stats *stats) {
    qsort(stats->codes, stats->used, sizeof *stats->codes, by_code);
}
