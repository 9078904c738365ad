/* Names: the directories of the filesystem, in two states like the bytes of its files.
 *
 * Creating, renaming and removing are seen at once, and durable when the directory is synced: what was done since then
 * is a list of changes, of which a power cut may leave none, all, the first ones or any. A rename is one change. A file
 * that has no name left in either state, and that nobody holds, is gone.
 *
 * Errors are -errno. Threads: one at a time. */
#pragma once
#include "tests/support/powerfs/image.h"
#include <sys/types.h>
#include <time.h>

struct node { /* a file or a directory */
    struct node *next, **prev;
    bool is_directory;
    mode_t mode; /* permissions only */
    time_t changed;
    uint64_t holds, names;
    struct image image;
    struct entry *entries; /* of a directory */
};

struct entry {
    struct entry *next;
    char *name;
    struct node *seen, *durable; /* NULL: it has no such name */
};

struct names {
    struct node *root, *nodes;
    struct change *changes, **changes_end;
};

void names_init(struct names *names);

struct node *names_find(const struct node *dir, const char *name); /* NULL: there is none */
int names_create(struct names *names, struct node *dir, const char *name, bool is_directory, mode_t mode,
                 struct node **out);
int names_remove(struct names *names, struct node *dir, const char *name, bool is_directory);
int names_rename(struct names *names, struct node *from, const char *from_name, struct node *to, const char *to_name,
                 bool replaces);
void names_sync(struct names *names, const struct node *dir);

/* A node that is held stays. */
void node_hold(struct node *node);
void node_release(struct node *node, uint64_t holds);

uint64_t names_bytes(const struct names *names); /* of all files, as their sizes are */
uint64_t names_dirty_sectors(const struct names *names);
/* The power is cut: what is left is durable, and what is seen. */
void names_cut(struct names *names, enum cut_kind kind, struct prng *prng, struct toll *toll);
