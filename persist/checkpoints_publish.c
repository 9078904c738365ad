/* Checkpoints: there is a manifest before there are files, and in the end it says that they are the truth. What it
 * replaces is deleted only when that is certain; when it is not (the write failed, perhaps after the rename), both
 * stay, and the next checkpoint or the next start clears. */
#include "persist/checkpoints_priv.h"
#include "shards/shard.h"
#include <unistd.h>

struct publication {
    struct checkpoints_member *member;
    publish_done done;
    struct manifest manifest;
    uint64_t old_number; /* the checkpoint before: its files go */
    uint32_t old_shards;
    struct checkpoint_sequel sequel;
    struct error error;
};

static void name_files(const struct checkpoints *all, struct manifest_checkpoint *checkpoint, struct hash_seed seed) {
    *checkpoint = (struct manifest_checkpoint){.number = all->number, .boot = all->boot, .shards = all->shards};
    for (uint32_t i = 0; i < all->shards; i++) {
        const struct checkpoint_facts *facts = &all->seats[i].facts;
        checkpoint->files[i] =
            (struct manifest_file){.bytes = facts->bytes, .crc64 = facts->crc, .last = facts->last_batch, .seed = seed};
    }
}

/* Of all generations only the one that is being written is left, from the cut on. */
static struct manifest_generation *keep_generation(struct manifest *manifest, uint64_t boot) {
    for (uint32_t i = manifest->generation_count; i-- > 0;)
        if (manifest->generations[i].boot != boot) manifest_remove_generation(manifest, i);
    return manifest->generation_count ? &manifest->generations[0] : manifest_add_generation(manifest);
}

static bool fill(struct publication *self, const struct checkpoints *all, struct hash_seed seed) {
    struct manifest *manifest = &self->manifest;
    if (!manifest_copy(manifest, all->manifest)) return false;
    self->old_number = manifest->checkpoint.number;
    self->old_shards = manifest->checkpoint.shards;
    name_files(all, &manifest->checkpoint, seed);
    manifest->import = (struct manifest_import){0};
    manifest->next = MAX(manifest->next, all->number + 1);
    struct manifest_generation *generation = keep_generation(manifest, all->boot);
    if (!generation) return false;
    generation->boot = all->boot;
    generation->shards = all->shards;
    generation->over = !all->seats[0].end.on;
    for (uint32_t i = 0; i < all->shards; i++) {
        const struct seat *seat = &all->seats[i];
        generation->ranges[i] = (struct manifest_range){.first_segment = seat->begin.segment,
                                                        .first_seq = seat->begin.batch + 1,
                                                        .last_segment = seat->end.segment,
                                                        .last_seq = seat->end.batch};
        manifest->next = MAX(manifest->next, seat->end.segment + 1);
    }
    return true;
}

/* Of generations that are over; those of a journal that goes on are its own to remove or to use again. Between the last
 * one and ours there may be some of checkpoints that were given up. */
static void remove_segments(const struct publication *self, const struct datadir *dir,
                            const struct manifest_generation *old) {
    const struct manifest_generation *now = &self->manifest.generations[0];
    for (uint32_t i = 0; old->over && i < old->shards; i++) {
        uint64_t end = old->ranges[i].last_segment + 1;
        if (old->boot == now->boot) end = now->ranges[i].first_segment;
        for (uint64_t number = old->ranges[i].first_segment; number < end; number++) {
            char name[DATADIR_NAME_MAX];
            datadir_segment_name(name, i, number);
            unlinkat(dir->fd, name, 0);
        }
    }
}

static void remove_old(const struct publication *self, const struct datadir *dir) {
    const struct manifest *old = self->member->all->manifest; /* nobody changes it before we are finished */
    for (uint32_t i = 0; i < old->generation_count; i++) remove_segments(self, dir, &old->generations[i]);
    if (self->old_number == 0 || self->old_number == self->manifest.checkpoint.number) return;
    for (uint32_t i = 0; i < self->old_shards; i++) {
        char name[DATADIR_NAME_MAX];
        datadir_checkpoint_name(name, i, self->old_number);
        unlinkat(dir->fd, name, 0); /* what stays is swept at the next start */
    }
}

/* With a manifest in which the journal is over at the second cut. The lock is not needed: nobody else reads it. */
static void do_sequel(struct publication *self) {
    struct manifest_generation *generation = &self->manifest.generations[0];
    bool over = generation->over;
    generation->over = true;
    self->sequel.work(self->sequel.ctx, &self->manifest);
    generation->over = over;
}

static int work(void *job) {
    struct publication *self = job;
    const struct datadir *dir = self->member->all->dir;
    if (manifest_save(&self->manifest, dir, &self->error) != ST_OK) return -1;
    if (self->sequel.work) do_sequel(self);
    remove_old(self, dir);
    return 0;
}

static void finished(void *owner, int64_t result) {
    struct publication *self = owner;
    struct checkpoints_member *member = self->member;
    struct manifest *current = member->all->manifest;
    if (result == 0) {
        struct manifest old = *current;
        *current = self->manifest;
        self->manifest = old;
    }
    self->done(member, result == 0, &self->error);
    manifest_deinit(&self->manifest);
    heap_free(member->shard->heap, MEM_STATS, self, sizeof *self);
}

/* Called without the lock. What it reads of the seats does not change in this phase. */
void checkpoints_publish(struct checkpoints_member *member, publish_done done) {
    struct checkpoints *all = member->all;
    struct publication *self = heap_alloc_zero(member->shard->heap, MEM_STATS, sizeof *self);
    struct disk disk = checkpoint_disk(member->checkpoint);
    self->member = member;
    self->done = done;
    manifest_init(&self->manifest);
    pthread_mutex_lock(&all->lock);
    bool filled = fill(self, all, member->shard->shared.seed);
    self->sequel = all->now.sequel;
    pthread_mutex_unlock(&all->lock);
    if (filled) {
        disk.job(disk.ctx, work, self, finished);
        return;
    }
    error_set(&self->error, ST_NO_MEMORY, 0, "No memory for the manifest");
    finished(self, -1);
}

static int work_prepare(void *job) {
    struct publication *self = job;
    const struct datadir *dir = self->member->all->dir;
    bool is_known =
        faccessat(dir->fd, DATADIR_MANIFEST, F_OK, 0) == 0 || faccessat(dir->fd, DATADIR_IMPORTING, F_OK, 0) == 0;
    return is_known || manifest_save(&self->manifest, dir, &self->error) == ST_OK ? 0 : -1;
}

static void prepare_finished(void *owner, int64_t result) {
    struct publication *self = owner;
    struct checkpoints_member *member = self->member;
    self->done(member, result == 0, &self->error);
    manifest_deinit(&self->manifest);
    heap_free(member->shard->heap, MEM_STATS, self, sizeof *self);
}

/* Called without the lock. A server without a log has no manifest until it saves; and a crash that left files without
 * one would keep it from starting, as nobody could tell that from a manifest that was lost. */
void checkpoints_prepare(struct checkpoints_member *member, publish_done done) {
    struct publication *self = heap_alloc_zero(member->shard->heap, MEM_STATS, sizeof *self);
    struct disk disk = checkpoint_disk(member->checkpoint);
    self->member = member;
    self->done = done;
    manifest_init(&self->manifest);
    if (manifest_copy(&self->manifest, member->all->manifest)) {
        disk.job(disk.ctx, work_prepare, self, prepare_finished);
        return;
    }
    error_set(&self->error, ST_NO_MEMORY, 0, "No memory for the manifest");
    prepare_finished(self, -1);
}
