/* The textbook dynamic programme. Cell (i, j) is the length of the LCS of the first i bytes of a and the first j of b:
 *
 *    a[i-1] == b[j-1]:  cell(i-1, j-1) + 1
 *    otherwise:         the larger of cell(i-1, j) and cell(i, j-1)
 *
 * Walking back from the last cell spells the sequence from its end; a run of equal bytes in both strings is a match.
 * Where both neighbours are equal the walk shortens b, as Redis's does: which of several answers is given depends on
 * that. */
#include "shards/string_lcs.h"
#include "core/num.h"
#include "core/resp_write.h"

const char *lcs_parse_options(const struct slice *words, uint32_t count, struct lcs_options *out) {
    *out = (struct lcs_options){0};
    for (uint32_t i = 0; i < count; i++) {
        if (slice_is(words[i], "idx")) {
            out->idx = true;
        } else if (slice_is(words[i], "len")) {
            out->len = true;
        } else if (slice_is(words[i], "withmatchlen")) {
            out->with_match_len = true;
        } else if (slice_is(words[i], "minmatchlen") && i + 1 < count) {
            if (!num_parse_i64(words[++i], &out->min_match_len)) return "ERR value is not an integer or out of range";
        } else {
            return "ERR syntax error";
        }
    }
    if (out->idx && out->len) return "ERR If you want both the length and indexes, please just use IDX.";
    return NULL;
}

struct table {
    struct slice a, b;
    size_t width; /* cells of a row: b.len + 1 */
    uint32_t *cells;
};

static uint32_t cell(const struct table *table, size_t i, size_t j) {
    return table->cells[i * table->width + j];
}

static void fill(struct table *table) {
    memset(table->cells, 0, table->width * sizeof *table->cells);
    for (size_t i = 1; i <= table->a.len; i++) {
        const uint32_t *above = table->cells + (i - 1) * table->width;
        uint32_t *row = table->cells + i * table->width;
        char byte = table->a.ptr[i - 1];
        row[0] = 0;
        for (size_t j = 1; j < table->width; j++)
            row[j] = byte == table->b.ptr[j - 1] ? above[j - 1] + 1 : MAX(above[j], row[j - 1]);
    }
}

/* The length alone needs the row above only; it is overwritten as the new one grows. */
static uint32_t length_in_one_row(struct slice a, struct slice b, uint32_t *row) {
    memset(row, 0, (b.len + 1) * sizeof *row);
    for (size_t i = 0; i < a.len; i++) {
        uint32_t diagonal = 0; /* of the row above */
        for (size_t j = 1; j <= b.len; j++) {
            uint32_t above = row[j];
            row[j] = a.ptr[i] == b.ptr[j - 1] ? diagonal + 1 : MAX(above, row[j - 1]);
            diagonal = above;
        }
    }
    return row[b.len];
}

/* One step of the walk back; true when it was over a common byte. */
static bool step_back(const struct table *table, size_t *i, size_t *j) {
    if (table->a.ptr[*i - 1] == table->b.ptr[*j - 1]) {
        (*i)--;
        (*j)--;
        return true;
    }
    if (cell(table, *i - 1, *j) > cell(table, *i, *j - 1))
        (*i)--;
    else
        (*j)--;
    return false;
}

/* The bulk string, filled from its end. */
static void reply_sequence(const struct table *table, struct buf *out) {
    size_t i = table->a.len, j = table->b.len, left = cell(table, i, j);
    char *at = buf_reserve(out, left + RESP_HEADER_MAX + 2);
    size_t head = resp_header(at, '$', (int64_t)left);
    out->len += head + left + 2;
    at += head;
    memcpy(at + left, "\r\n", 2);
    while (i > 0 && j > 0)
        if (step_back(table, &i, &j)) at[--left] = table->a.ptr[i];
}

/* A match of len bytes that starts at i in a and at j in b. */
static void reply_match(struct buf *out, size_t i, size_t j, size_t len, bool with_len) {
    resp_array(out, with_len ? 3 : 2);
    for (int side = 0; side < 2; side++) {
        size_t start = side == 0 ? i : j;
        resp_array(out, 2);
        resp_int(out, (int64_t)start);
        resp_int(out, (int64_t)(start + len - 1));
    }
    if (with_len) resp_int(out, (int64_t)len);
}

/* Matches from the last to the first, then the length. */
static void reply_matches(const struct table *table, const struct lcs_options *options, int resp, struct buf *out) {
    size_t i = table->a.len, j = table->b.len, run = 0;
    uint64_t matches = 0;
    resp_map(out, resp, 2);
    resp_bulk(out, SLICE("matches"));
    size_t mark = resp_array_open(out);
    while (i > 0 && j > 0) {
        size_t run_i = i, run_j = j; /* where a run that ends with this step starts */
        bool common = step_back(table, &i, &j);
        if (common) {
            run++;
            if (i > 0 && j > 0) continue;
            run_i = i;
            run_j = j;
        }
        if (run && (int64_t)run >= options->min_match_len) {
            reply_match(out, run_i, run_j, run, options->with_match_len);
            matches++;
        }
        run = 0;
    }
    resp_array_close(out, mark, matches);
    resp_bulk(out, SLICE("len"));
    resp_int(out, cell(table, table->a.len, table->b.len));
}

const char *lcs_reply(struct heap *heap, struct slice a, struct slice b, const struct lcs_options *options, int resp,
                      struct buf *out) {
    if (a.len >= UINT32_MAX - 1 || b.len >= UINT32_MAX - 1) return "ERR String too long for LCS";
    uint64_t rows = a.len + 1, width = b.len + 1; /* each below 2^32: the product fits */
    if (rows * width > options->memory_max / sizeof(uint32_t))
        return "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";

    bool len_only = options->len;
    if (len_only && a.len < b.len) {
        struct slice shorter = a;
        a = b;
        b = shorter;
    }
    struct table table = {a, b, b.len + 1, NULL};
    size_t size = (len_only ? table.width : (a.len + 1) * table.width) * sizeof *table.cells;
    table.cells = heap_try_alloc(heap, MEM_CLIENT_OUT, size);
    if (!table.cells) return "ERR Insufficient memory, failed allocating transient memory for LCS";
    if (len_only) {
        resp_int(out, length_in_one_row(a, b, table.cells));
    } else {
        fill(&table);
        if (options->idx)
            reply_matches(&table, options, resp, out);
        else
            reply_sequence(&table, out);
    }
    heap_free(heap, MEM_CLIENT_OUT, table.cells, size);
    return NULL;
}
