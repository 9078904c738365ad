/* A directory is a list of entries, each with the node that programs find there and the one that a power cut would
 * leave. What was done to names is a change: a node went from one place to another, either of which may be nowhere. */
#include "tests/support/powerfs/names.h"
#include "core/assert.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct place {
    struct node *dir; /* NULL: nowhere */
    char *name;
};
struct change {
    struct change *next;
    struct node *what;
    struct place from, to;
};

static void *must(void *block) {
    ASSERT(block);
    return block;
}

/* --- nodes --- */

static struct node *node_new(struct names *names, bool is_directory, mode_t mode) {
    struct node *node = must(calloc(1, sizeof *node));
    node->is_directory = is_directory;
    node->mode = mode & 07777;
    node->changed = time(NULL);
    image_init(&node->image);
    node->next = names->nodes;
    node->prev = &names->nodes;
    if (node->next) node->next->prev = &node->next;
    names->nodes = node;
    return node;
}

static void delete_if_unused(struct node *node) {
    if (node->holds || node->names || node->entries) return;
    image_deinit(&node->image);
    *node->prev = node->next;
    if (node->next) node->next->prev = node->prev;
    free(node);
}

void node_hold(struct node *node) {
    node->holds++;
}

void node_release(struct node *node, uint64_t holds) {
    ASSERT(node->holds >= holds);
    node->holds -= holds;
    delete_if_unused(node);
}

static void set(struct node **at, struct node *node) {
    struct node *old = *at;
    if (node) node->names++;
    *at = node;
    if (!old) return;
    old->names--;
    delete_if_unused(old);
}

void names_init(struct names *names) {
    *names = (struct names){.changes_end = &names->changes};
    names->root = node_new(names, true, 0755);
    node_hold(names->root);
}

/* --- entries --- */

static struct entry **find(const struct node *dir, const char *name) {
    struct entry **at = (struct entry **)&dir->entries;
    while (*at && strcmp((*at)->name, name) != 0) at = &(*at)->next;
    return at;
}

static struct entry *entry_at(struct node *dir, const char *name) {
    struct entry **at = find(dir, name);
    if (!*at) {
        *at = must(calloc(1, sizeof **at));
        (*at)->name = must(strdup(name));
    }
    return *at;
}

static void remove_if_empty(struct node *dir, const char *name) {
    struct entry **at = find(dir, name), *entry = *at;
    if (!entry || entry->seen || entry->durable) return;
    *at = entry->next;
    free(entry->name);
    free(entry);
}

struct node *names_find(const struct node *dir, const char *name) {
    const struct entry *entry = *find(dir, name);
    return entry ? entry->seen : NULL;
}

static bool is_empty(const struct node *dir) {
    for (const struct entry *entry = dir->entries; entry; entry = entry->next)
        if (entry->seen) return false;
    return true;
}

/* --- changes --- */

static void place_set(struct place *place, struct node *dir, const char *name) {
    if (!dir) return;
    *place = (struct place){dir, must(strdup(name))};
    node_hold(dir);
}

static void place_clear(struct place *place) {
    if (!place->dir) return;
    node_release(place->dir, 1);
    free(place->name);
}

/* What programs see changes now, and a change is noted. */
static void move(struct names *names, struct node *what, struct node *from, const char *from_name, struct node *to,
                 const char *to_name) {
    struct change *change = must(calloc(1, sizeof *change));
    change->what = what;
    node_hold(what);
    place_set(&change->from, from, from_name);
    place_set(&change->to, to, to_name);
    *names->changes_end = change;
    names->changes_end = &change->next;
    if (from) set(&entry_at(from, from_name)->seen, NULL);
    if (to) set(&entry_at(to, to_name)->seen, what);
    if (from) remove_if_empty(from, from_name);
}

static void make_durable(const struct change *change) {
    struct node *from = change->from.dir, *to = change->to.dir;
    if (from && (*find(from, change->from.name)) && (*find(from, change->from.name))->durable == change->what)
        set(&entry_at(from, change->from.name)->durable, NULL);
    if (to) set(&entry_at(to, change->to.name)->durable, change->what);
    if (from) remove_if_empty(from, change->from.name);
}

/* Takes it out of the list. */
static void change_delete(struct names *names, struct change **at) {
    struct change *change = *at;
    *at = change->next;
    if (!*at) names->changes_end = at;
    place_clear(&change->from);
    place_clear(&change->to);
    node_release(change->what, 1);
    free(change);
}

int names_create(struct names *names, struct node *dir, const char *name, bool is_directory, mode_t mode,
                 struct node **out) {
    if (!dir->is_directory) return -ENOTDIR;
    if (names_find(dir, name)) return -EEXIST;
    *out = node_new(names, is_directory, mode);
    move(names, *out, NULL, NULL, dir, name);
    return 0;
}

static int may_go(const struct node *node, bool is_directory) {
    if (!node) return -ENOENT;
    if (node->is_directory && !is_directory) return -EISDIR;
    if (!node->is_directory && is_directory) return -ENOTDIR;
    return is_empty(node) ? 0 : -ENOTEMPTY;
}

int names_remove(struct names *names, struct node *dir, const char *name, bool is_directory) {
    struct node *node = names_find(dir, name);
    int error = may_go(node, is_directory);
    if (error == 0) move(names, node, dir, name, NULL, NULL);
    return error;
}

int names_rename(struct names *names, struct node *from, const char *from_name, struct node *to, const char *to_name,
                 bool replaces) {
    struct node *node = names_find(from, from_name), *old = names_find(to, to_name);
    if (!node) return -ENOENT;
    if (old == node) return 0;
    if (old && !replaces) return -EEXIST;
    int error = old ? may_go(old, node->is_directory) : 0;
    if (error == 0) move(names, node, from, from_name, to, to_name);
    return error;
}

void names_sync(struct names *names, const struct node *dir) {
    for (struct change **at = &names->changes; *at;) {
        if ((*at)->from.dir == dir || (*at)->to.dir == dir) {
            make_durable(*at);
            change_delete(names, at);
        } else {
            at = &(*at)->next;
        }
    }
}

/* --- all of it --- */

uint64_t names_bytes(const struct names *names) {
    uint64_t bytes = 0;
    for (const struct node *node = names->nodes; node; node = node->next) bytes += node->image.size;
    return bytes;
}

uint64_t names_dirty_sectors(const struct names *names) {
    uint64_t count = 0;
    for (const struct node *node = names->nodes; node; node = node->next) count += image_dirty_sectors(&node->image);
    return count;
}

/* Many filesystems keep the order of changes, and some do not: either the first ones are left, or any. */
static void cut_changes(struct names *names, enum cut_kind kind, struct prng *prng, struct toll *toll) {
    bool in_order = prng_below(prng, 2);
    uint64_t permille = kind == CUT_TORN ? prng_below(prng, 1001) : kind == CUT_KEEP ? 1000 : 0;
    bool over = false;
    while (names->changes) {
        bool stays = prng_below(prng, 1000) < permille && !over;
        over = in_order && !stays;
        toll->names++;
        if (stays)
            make_durable(names->changes);
        else
            toll->names_lost++;
        change_delete(names, &names->changes);
    }
}

static struct entry *first_that_differs(const struct node *dir) {
    struct entry *entry = dir->entries;
    while (entry && entry->seen == entry->durable) entry = entry->next;
    return entry;
}

static void begin_again(struct node *dir) {
    for (struct entry *entry; (entry = first_that_differs(dir));) {
        set(&entry->seen, entry->durable);
        remove_if_empty(dir, entry->name);
    }
}

void names_cut(struct names *names, enum cut_kind kind, struct prng *prng, struct toll *toll) {
    uint32_t grain = prng_below(prng, 2) ? 1 : 8; /* sectors of 512 or 4096 bytes */
    for (struct node *node = names->nodes; node; node = node->next) node_hold(node);
    cut_changes(names, kind, prng, toll);
    for (struct node *node = names->nodes; node; node = node->next) {
        begin_again(node);
        image_cut(&node->image, kind, grain, prng, toll);
    }
    for (struct node *next, *node = names->nodes; node; node = next) {
        next = node->next;
        node_release(node, 1);
    }
}
