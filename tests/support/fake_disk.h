/* Fake disk: the port persist/disk.h filled by a disk whose every whim comes from a seed.
 *
 * Operations lie in wait until fake_disk_step completes one of them, any one; jobs run in their order, on the caller's
 * thread, and on real files. Of every file that is written to, the disk knows two states: what programs see (the real
 * file), and what would be left after a power cut: what was synced, and of everything else any sectors of 512 bytes,
 * new ones without older ones, those of operations under way included. fake_disk_crash writes that state to another
 * directory, and whatever uses the disk goes on, so one run can crash many times.
 *
 * Jobs sync what they change before they end; so what a job changed counts as durable when it has run.
 *
 * It asserts what the port promises its disk: memory that does not change while a write is under way, no two writes
 * under way that share a sector, and alignment where a file was opened with O_DIRECT. */
#pragma once
#include "core/prng.h"
#include "persist/disk.h"

struct fake_disk;
enum fake_kind { FAKE_WRITE = 1, FAKE_SYNC = 2, FAKE_JOB = 4, FAKE_READ = 8 };

/* dir: where the files are; only files directly in it are known. */
struct fake_disk *fake_disk_new(const char *dir, uint64_t seed);
void fake_disk_delete(struct fake_disk *disk); /* nothing under way */
struct disk fake_disk_port(struct fake_disk *disk);

/* Completes one operation; false: there is none. */
bool fake_disk_step(struct fake_disk *disk);
/* From here on, operations of these kinds fail with this errno, `permille` of them. A write that fails may have written
 * any sectors. A sync that fails forgets what it was to sync: a part of it is there, and no later
 * sync brings the rest. */
void fake_disk_fail(struct fake_disk *disk, unsigned kinds, int error, unsigned permille);
/* A power cut at this moment: the files go to `to`, an empty directory, as it would leave them. */
void fake_disk_crash(struct fake_disk *disk, const char *to);
