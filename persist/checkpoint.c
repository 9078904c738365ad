/* Checkpoint: the slice, its pace, and the file's beginning and end. The way through the keys is checkpoint_walk.c. */
#include "persist/checkpoint.h"
#include "core/num.h"
#include "core/probe.h"
#include "persist/checkpoint_walk.h"
#include "persist/frontier.h"
#include "persist/haste.h"
#include "persist/spool.h"
#include "shards/shard.h"
#include <endian.h>

#define LEAST_US   20   /* a slice that is not worth that much waits for the next turn */
#define LONGEST_US 2000 /* and none is longer, however long the turn was */
#define IDLE_US    1000 /* so long without commands, and the thread has nothing better to do */

struct checkpoint {
    struct checkpoint_options options;
    struct shard *shard;
    enum checkpoint_state state;
    struct checkpoint_facts facts; /* but for what is counted elsewhere */
    struct walk walk;
    struct spool spool;
    bool walking; /* walk is in use */
    bool ended;   /* the checksum is in walk.out or in the file */
    uint64_t log_before;
    /* pace, in ticks */
    uint64_t credit, slice_ended, busy_until;
};

struct checkpoint *checkpoint_new(const struct checkpoint_options *options) {
    struct checkpoint *self = heap_alloc_zero(options->shard->heap, MEM_STATS, sizeof *self);
    self->options = *options;
    self->shard = options->shard;
    return self;
}

void checkpoint_delete(struct checkpoint *self) {
    ASSERT(self->state == CHECKPOINT_IDLE);
    heap_free(self->shard->heap, MEM_STATS, self, sizeof *self);
}

/* --- begin --- */

static void write_aux_number(struct buf *out, const char *name, uint64_t value) {
    char text[NUM_U64_MAX];
    size_t len = num_format_u64(text, value);
    rdb_write_aux(out, slice_of_cstr(name), slice_of(text, len));
}

static void write_header(struct checkpoint *self) {
    struct shard *shard = self->shard;
    struct buf *out = &self->walk.out;
    char text[FRONTIER_TEXT_MAX];
    uint64_t used = 0;
    for (int i = 0; i < MEM_CLASSES; i++) used += (uint64_t)heap_used(shard->heap, (enum mem_class)i);
    rdb_write_header(out);
    rdb_write_aux(out, SLICE("redis-ver"), slice_of_cstr(self->options.redis_version));
    write_aux_number(out, "redis-bits", sizeof(void *) * 8);
    write_aux_number(out, "ctime", shard->now_ms / 1000);
    write_aux_number(out, "used-mem", used);
    size_t len = frontier_write_shard(text, shard->id, shard->count);
    rdb_write_aux(out, SLICE(FRONTIER_AUX_SHARD), slice_of(text, len));
    len = frontier_write_seed(text, &shard->shared.seed);
    rdb_write_aux(out, SLICE(FRONTIER_AUX_SEED), slice_of(text, len));
}

static uint64_t count_keys(const struct shard *shard) {
    uint64_t keys = 0;
    for (uint32_t i = 0; i < shard->db_used; i++)
        if (shard->db[i]) keys += keyspace_count(shard->db[i]);
    return keys;
}

void checkpoint_begin(struct checkpoint *self, uint64_t number, uint64_t log_before) {
    ASSERT(self->state == CHECKPOINT_IDLE);
    struct shard *shard = self->shard;
    char name[DATADIR_NAME_MAX], path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
    datadir_checkpoint_name(name, shard->id, number);
    datadir_path(self->options.dir, name, path);
    self->state = CHECKPOINT_SAVING;
    self->facts = (struct checkpoint_facts){.number = number, .keys_total = count_keys(shard)};
    self->ended = false;
    self->credit = 0;
    self->log_before = log_before;
    self->slice_ended = self->busy_until = shard->host.ticks(shard->host.ctx);
    walk_begin(&self->walk, shard, self->options.stretch_keys);
    self->walking = true;
    write_header(self);
    spool_open(&self->spool, shard->heap, self->options.disk, path, self->options.buffer_bytes);
}

/* --- end --- */

static void stop_walking(struct checkpoint *self) {
    if (self->walking) walk_end(&self->walk);
    self->walking = false;
}

static bool is_under_way(const struct checkpoint *self) {
    return self->state == CHECKPOINT_SAVING || self->state == CHECKPOINT_ENDING;
}

static void leave_saving(struct checkpoint *self, enum checkpoint_state state) {
    self->facts.keys = self->walk.keys;
    self->facts.bytes = self->spool.size;
    self->facts.os_errno = self->spool.os_errno;
    stop_walking(self);
    self->state = state;
}

void checkpoint_keep(struct checkpoint *self) {
    ASSERT(self->state == CHECKPOINT_SAVED);
    spool_deinit(&self->spool);
    self->state = CHECKPOINT_IDLE;
}

void checkpoint_drop(struct checkpoint *self) {
    if (self->state == CHECKPOINT_IDLE || self->state == CHECKPOINT_LEAVING) return;
    if (is_under_way(self)) leave_saving(self, CHECKPOINT_LEAVING);
    self->state = CHECKPOINT_LEAVING;
    spool_discard(&self->spool);
}

bool checkpoint_idle(const struct checkpoint *self) {
    return self->state == CHECKPOINT_IDLE || spool_idle(&self->spool);
}

enum checkpoint_state checkpoint_state(const struct checkpoint *self) {
    return self->state;
}

struct disk checkpoint_disk(const struct checkpoint *self) {
    return self->options.disk;
}

void checkpoint_read_facts(const struct checkpoint *self, struct checkpoint_facts *out) {
    *out = self->facts;
    out->state = self->state;
    if (!is_under_way(self)) return;
    out->keys = self->walk.keys;
    out->bytes = self->spool.size;
}

/* --- bytes on their way --- */

/* True: all of them were taken. */
static bool pour(struct checkpoint *self) {
    struct buf *out = &self->walk.out;
    out->read += spool_take(&self->spool, buf_slice(out));
    if (buf_readable(out) > 0) return false;
    buf_reset(out, SPOOL_BUFFER);
    return true;
}

/* Everything is in the file but its end. */
static void end_file(struct checkpoint *self) {
    if (!self->ended) {
        struct buf *out = &self->walk.out;
        rdb_write_end(out, self->spool.crc);
        uint64_t crc;
        memcpy(&crc, out->data + out->len - sizeof crc, sizeof crc);
        self->facts.crc = le64toh(crc);
        self->ended = true;
    }
    if (pour(self)) spool_end(&self->spool);
}

/* --- the slice --- */

static uint64_t ticks_of_us(const struct shard *shard, uint64_t us) {
    return (uint64_t)((double)us * 1000 / shard->host.tick_ns);
}

static double haste(const struct checkpoint *self, uint64_t log) {
    struct haste_input input = {.keys = self->walk.keys,
                                .keys_total = self->facts.keys_total,
                                .saved = self->spool.size,
                                .log_before = self->log_before,
                                .log = log};
    return haste_of(&input);
}

/* How long this slice may be, in ticks; 0: not now. What a busy turn is too short for adds up over several. A turn
 * without commands may just be the time in which clients read their replies; they ask again before a long slice is
 * over, and a pause between two busy turns gives no more than it lasts. */
static uint64_t budget(struct checkpoint *self, uint64_t now, const struct checkpoint_turn *turn) {
    uint64_t most = ticks_of_us(self->shard, self->options.slice_us), passed = now - self->slice_ended;
    if (turn->busy) self->busy_until = now + ticks_of_us(self->shard, IDLE_US);
    if (now >= self->busy_until) return most;
    if (turn->busy) {
        double part = haste(self, turn->log);
        passed = (uint64_t)((double)passed * part);
        if (part > HASTE_LEAST) most = MAX(most, MIN(passed, ticks_of_us(self->shard, LONGEST_US)));
    }
    self->credit = MIN(self->credit + passed, most);
    return self->credit >= ticks_of_us(self->shard, LEAST_US) ? self->credit : 0;
}

/* Steps until time or bytes are used up, or there is something to wait for. True: the next slice has work at once. */
static bool run_steps(struct checkpoint *self, uint64_t until) {
    const struct shard_host *host = &self->shard->host;
    uint64_t full = self->spool.size + self->options.slice_bytes;
    while (pour(self) && self->spool.size < full) {
        switch (walk_step(&self->walk)) {
        case WALK_MORE: break;
        case WALK_WAITING: return false;
        case WALK_YIELD: return true;
        case WALK_END:
            self->facts.last_batch = self->walk.batch;
            self->state = CHECKPOINT_ENDING;
            pour(self);
            return true;
        case WALK_OVERTAKEN: leave_saving(self, CHECKPOINT_OVERTAKEN); return false;
        }
        if (host->ticks(host->ctx) >= until) return true;
    }
    return buf_readable(&self->walk.out) == 0; /* else the disk has to give a buffer back first */
}

static bool slice(struct checkpoint *self, const struct checkpoint_turn *turn) {
    const struct shard_host *host = &self->shard->host;
    uint64_t now = host->ticks(host->ctx), length = budget(self, now, turn);
    bool more = true;
    if (length > 0 && pour(self) && self->spool.state == SPOOL_WRITING) {
        more = walk_slice(&self->walk, turn->batch) && run_steps(self, now + length);
        uint64_t used = host->ticks(host->ctx) - now;
        self->credit -= MIN(self->credit, used);
    } else if (length > 0) {
        more = false;
    }
    self->slice_ended = host->ticks(host->ctx);
    PROBE3(checkpoint_slice, self->shard->id, (uint64_t)((double)(self->slice_ended - now) * host->tick_ns),
           self->spool.size);
    shard_note_ticks(self->shard, SPIKE_CHECKPOINT, self->slice_ended - now);
    return more;
}

static bool save(struct checkpoint *self, const struct checkpoint_turn *turn) {
    bool more = false;
    if (self->spool.state == SPOOL_FAILED)
        leave_saving(self, CHECKPOINT_FAILED);
    else if (self->spool.state == SPOOL_DONE)
        leave_saving(self, CHECKPOINT_SAVED);
    else if (self->state == CHECKPOINT_SAVING)
        more = slice(self, turn);
    else if (self->spool.state == SPOOL_WRITING && pour(self))
        end_file(self);
    return more;
}

bool checkpoint_turn(struct checkpoint *self, const struct checkpoint_turn *turn) {
    if (LIKELY(self->state == CHECKPOINT_IDLE)) return false;
    if (is_under_way(self)) return save(self, turn);
    if (self->state == CHECKPOINT_LEAVING && self->spool.state == SPOOL_GONE) {
        spool_deinit(&self->spool);
        self->state = CHECKPOINT_IDLE;
    }
    return false;
}
