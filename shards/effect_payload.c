/* The payload is made as dump_write makes it, with its footer behind the last part; the checksum goes along. */
#include "shards/effect_payload.h"
#include "core/crc.h"
#include "shards/dump.h"
#include "shards/effect_add.h"
#include "shards/shard.h"
#include <endian.h>

/* Of an entry of the stream that is longer than a part. */
static void add_rest(struct effect_payload *payload, struct buf *out) {
    struct slice *rest = &payload->dump.rest;
    size_t len = MIN(rest->len, EFFECT_PAYLOAD_PIECE);
    buf_append(out, rest->ptr, len);
    *rest = slice_of(rest->ptr + len, rest->len - len);
    if (rest->len == 0) buf_append(out, &(char){(char)DUMP_NODE_END}, 1);
}

static void add_footer(struct effect_payload *payload, struct buf *out) {
    uint16_t version = htole16(DUMP_VERSION);
    buf_append(out, &version, sizeof version);
    uint64_t crc = htole64(crc64(payload->crc, out->data, out->len));
    buf_append(out, &crc, sizeof crc);
}

/* False: out has the end. */
static bool add_parts(struct effect_payload *payload, struct buf *out) {
    while (out->len < EFFECT_PAYLOAD_PIECE) {
        if (payload->dump.rest.len > 0) {
            add_rest(payload, out);
        } else if (!dump_stream_next(&payload->dump, out, true)) {
            add_footer(payload, out);
            return false;
        }
    }
    payload->crc = crc64(payload->crc, out->data, out->len);
    return true;
}

bool effect_payload_some(struct effect_payload *payload, struct exec *x, uint32_t db, const struct entry *entry) {
    struct slice key = entry_key(entry);
    struct buf out;
    buf_init(&out, x->shard->heap, MEM_MESSAGE);
    if (!payload->begun) {
        dump_stream_begin(&payload->dump, entry);
        buf_append(&out, &(char){(char)dump_type_of(entry)}, 1);
        payload->begun = true;
    }
    bool more = add_parts(payload, &out);
    effect_add(x, db, (struct slice[]){SLICE("APPEND"), key, buf_slice(&out)}, 3);
    buf_deinit(&out);
    if (!more) effect_add(x, db, (struct slice[]){SLICE("EVAL"), SLICE(EFFECT_PAYLOAD_SCRIPT), SLICE("1"), key}, 4);
    return more;
}
