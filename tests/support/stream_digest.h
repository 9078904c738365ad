/* A number for all that a stream holds: entries, what is known of ids, groups and what is pending. Where blocks end
 * counts, too, since clients see it; when consumers were seen only if asked. */
#pragma once
#include "core/hash.h"
#include "core/stream_group.h"

static inline uint64_t stream_digest_add(uint64_t digest, struct slice bytes) {
    static const struct hash_seed seed = {13, 14};
    return digest * 0x9E3779B97F4A7C15u + hash_bytes(&seed, bytes.ptr, bytes.len);
}

static inline uint64_t stream_digest_number(uint64_t digest, uint64_t number) {
    return stream_digest_add(digest, slice_of((const char *)&number, sizeof number));
}

static inline uint64_t stream_digest_id(uint64_t digest, struct stream_id id) {
    return stream_digest_number(stream_digest_number(digest, id.ms), id.seq);
}

static inline uint64_t stream_digest_group(uint64_t digest, const struct stream_group *group, bool seen) {
    struct idtree_iter iter = idtree_begin(&group->pending);
    const struct pending *pending;
    digest = stream_digest_add(digest, group->name);
    digest = stream_digest_number(stream_digest_id(digest, group->last), (uint64_t)group->read);
    while ((pending = idtree_next(&iter))) {
        digest = stream_digest_add(stream_digest_id(digest, pending->id), pending->consumer->name);
        digest = stream_digest_number(stream_digest_number(digest, pending->delivered_ms), pending->deliveries);
    }
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        const struct stream_consumer *consumer = stream_consumer_at(group, i);
        digest = stream_digest_number(stream_digest_add(digest, consumer->name), consumer->pending.count);
        if (seen) digest = stream_digest_number(digest, consumer->seen_ms);
    }
    return digest;
}

static inline uint64_t stream_digest(const struct stream *stream, bool seen) {
    struct stream_entry entry;
    struct packed_value name, value;
    char scratch[PACKED_SCRATCH];
    struct stream_iter iter = stream_seek(stream, STREAM_ID_MIN, STREAM_ID_MAX, false);
    uint64_t digest = stream_digest_number(1, stream->blocks.count);
    while (stream_next(&iter, &entry)) {
        digest = stream_digest_id(digest, entry.id);
        for (uint64_t i = 0; i < entry.fields; i++) {
            stream_entry_field(&entry, &name, &value);
            digest = stream_digest_add(digest, packed_text(&name, scratch));
            digest = stream_digest_add(digest, packed_text(&value, scratch));
        }
    }
    digest = stream_digest_number(stream_digest_number(digest, stream->length), stream->added);
    digest = stream_digest_id(stream_digest_id(digest, stream->last), stream->max_deleted);
    digest = stream_digest_id(digest, stream->first);
    for (uint32_t i = 0; i < stream->groups.count; i++)
        digest = stream_digest_group(digest, stream_group_at(stream, i), seen);
    return digest;
}
