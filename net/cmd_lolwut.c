/* LOLWUT: potsherds. The server's name is a broken piece of pottery, so it draws a shelf of them: each piece is a random
 * walk of its upper and lower edge, glazed with a pattern. LOLWUT VERSION n [pieces] draws so many. */
#include "net/cmd_server_priv.h"
#include "net/runtime.h"
#include "shards/shard.h"

#define ROWS       7
#define COLUMNS    14
#define PIECES     4
#define PIECES_MAX 8

struct canvas {
    char cell[ROWS][COLUMNS * PIECES_MAX];
    uint32_t columns;
};

/* A step of -1, 0 or 1 that stays between low and high. */
static int wander(struct prng *prng, int at, int low, int high) {
    int next = at + (int)prng_below(prng, 3) - 1;
    return MAX(low, MIN(high, next));
}

static char glaze(struct prng *prng, uint64_t pattern, int row, int column) {
    switch (pattern) {
    case 0: return (row + column) % 3 == 0 ? '/' : '.';
    case 1: return row % 2 ? '~' : '-';
    case 2: return (row ^ column) & 1 ? 'o' : ' ';
    case 3: return column % 4 == 0 ? '|' : ':';
    default: return prng_below(prng, 4) == 0 ? '*' : '\'';
    }
}

static void draw_piece(struct canvas *canvas, struct prng *prng, uint32_t left) {
    int top = 1 + (int)prng_below(prng, 2), bottom = ROWS - 2 - (int)prng_below(prng, 2);
    uint64_t pattern = prng_below(prng, 5);
    uint32_t width = COLUMNS - 3 - (uint32_t)prng_below(prng, 3);
    for (uint32_t x = 0; x < width; x++) {
        bool side = x == 0 || x == width - 1;
        for (int y = top; y <= bottom; y++) {
            bool edge = y == top || y == bottom;
            char inside = glaze(prng, pattern, y, (int)x);
            canvas->cell[y][left + x] = edge ? '_' : side ? (x == 0 ? '(' : ')') : inside;
        }
        top = wander(prng, top, 0, 2);
        bottom = wander(prng, bottom, ROWS - 3, ROWS - 1);
    }
}

static void write_canvas(const struct canvas *canvas, struct buf *text) {
    for (int row = 0; row < ROWS; row++) {
        uint32_t end = canvas->columns;
        while (end > 0 && canvas->cell[row][end - 1] == ' ') end--;
        buf_append(text, canvas->cell[row], end);
        buf_append_literal(text, "\n");
    }
}

void cmd_lolwut(struct exec *x) {
    int64_t version, pieces = PIECES;
    if (x->argc >= 3 && arg_is(x, 1, "version")) {
        if (!exec_int(x, 2, &version)) return;
        if (x->argc >= 4 && !exec_int(x, 3, &pieces)) return;
        pieces = MAX((int64_t)1, MIN(pieces, (int64_t)PIECES_MAX));
    }
    struct canvas canvas = {.columns = COLUMNS * (uint32_t)pieces};
    memset(canvas.cell, ' ', sizeof canvas.cell);
    for (uint32_t i = 0; i < pieces; i++) draw_piece(&canvas, &x->shard->prng, i * COLUMNS);
    struct buf text;
    buf_init(&text, x->shard->heap, MEM_CLIENT_OUT);
    write_canvas(&canvas, &text);
    buf_printf(&text, "\nSherds. Redis ver. %s, sherd ver. %s\n", SPOKEN_REDIS_VERSION, SHERD_VERSION);
    resp_verbatim(x->out, x->resp, "txt", buf_slice(&text));
    buf_deinit(&text);
}
