/* Spool: one new file, written from its start to its end through two fixed buffers, and read back.
 *
 *      bytes -> [ buffer being filled ] -> write (asynchronous) -> file
 *               [ buffer at the disk  ]
 *
 * Who writes gives bytes and is told how many were taken; none are while both buffers are at the disk. So memory is
 * bounded whatever the disk does, and nobody waits. Buffers, lengths and offsets are multiples of 4 KiB, so that the
 * file can be written past the page cache (O_DIRECT) where the filesystem accepts that: what is written once and never
 * read need not push out what is read, nor be charged to the container.
 *
 * What counts is what the disk gives back, not what it was given. All of it is read back after a sync that covers it,
 * past the page cache, or after that was told to forget it; so that little is left to do in the end, while a log grows,
 * this follows the writing at a distance of a piece (eight buffers):
 *
 *      | read back: its CRC64 is known | being read | synced | written | at the disk |
 *      0                            checked      read_to   synced    landed       offset
 *
 * Then the file is cut to its size, synced, and the rest is read. It is DONE when the CRC is that of the bytes taken.
 * Names are durable only when the directory is synced, which is the caller's.
 *
 *      OPENING -> WRITING -> ENDING -> CHECKING -> CLOSING -> DONE
 *         '----------'----------'----------'-----------'----> FAILED       each -> (spool_discard) -> GONE
 *
 * Owner     the caller's memory; buffers come from the heap and go with spool_deinit. The descriptor is closed when it
 *           is DONE or GONE. Thread: the shard's own, but for the jobs, which touch only what is theirs meanwhile. */
#pragma once
#include "core/alloc.h"
#include "core/config.h"
#include "core/slice.h"
#include "persist/datadir.h"
#include "persist/disk.h"

#define SPOOL_BLOCK  4096u
#define SPOOL_BUFFER (1024u * 1024) /* what production gives each of the two */

enum spool_state {
    SPOOL_OPENING,
    SPOOL_WRITING,
    SPOOL_ENDING,   /* the last bytes are on their way */
    SPOOL_CHECKING, /* it is cut, synced, and the rest of it read back */
    SPOOL_CLOSING,
    SPOOL_DONE,
    SPOOL_FAILED,
    SPOOL_LEAVING, /* the file is being removed */
    SPOOL_GONE,
};

struct spool;
struct spool_buffer { /* private */
    struct spool *spool;
    char *bytes;
    size_t len;
    uint64_t offset; /* in the file */
    bool away;       /* at the disk */
};

struct spool_read { /* private; of what was written */
    struct spool *spool;
    char *bytes;
    uint64_t offset;
    size_t expected; /* bytes; 0: it is free */
    bool away;       /* at the disk */
};

struct spool { /* read by the owner: state, os_errno, size, crc; the rest is private */
    enum spool_state state;
    int os_errno;  /* why it failed */
    uint64_t size; /* bytes taken */
    uint64_t crc;  /* CRC64 of all of them */
    struct heap *heap;
    struct disk disk;
    size_t buffer_bytes;
    struct spool_buffer buffers[2];
    unsigned filling;
    struct spool_read reads[2]; /* of half a buffer each */
    uint64_t offset;            /* in the file, of what is written next */
    uint64_t synced, syncing_to, read_to, checked, checked_crc;
    uint32_t pending; /* operations and jobs at the disk */
    bool syncing;     /* a sync, or what belongs to it */
    bool discarded;
    /* --- the job's while one is under way --- */
    int fd; /* -1: closed */
    bool direct;
    char path[CONFIG_PATH_MAX + DATADIR_NAME_MAX];
};

/* Creates the file, or empties one that is there. buffer_bytes is a multiple of SPOOL_BLOCK. */
void spool_open(struct spool *spool, struct heap *heap, struct disk disk, const char *path, size_t buffer_bytes);
/* How many of the bytes were taken: all, some, or none. O(bytes). */
size_t spool_take(struct spool *spool, struct slice bytes);
void spool_end(struct spool *spool); /* all bytes were taken (WRITING) */
/* The file goes away, whatever has become of it; GONE follows when the disk has given everything back. */
void spool_discard(struct spool *spool);
bool spool_idle(const struct spool *spool); /* nothing is at the disk */
void spool_deinit(struct spool *spool);     /* idle */
