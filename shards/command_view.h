/* Command view: a row as COMMAND INFO and COMMAND DOCS show it. Pure functions of the registry. */
#pragma once
#include "core/buf.h"
#include "shards/command.h"

/* One of COMMAND's arrays of ten; subcommands nested in it. */
void command_write_info(struct buf *out, int resp, const struct command_registry *registry,
                        const struct command_slot *slot);
/* Name and documentation: two elements of COMMAND DOCS's map. */
void command_write_docs(struct buf *out, int resp, const struct command_registry *registry,
                        const struct command_slot *slot);
/* The names of the bits, as a set of simple strings. */
void command_write_key_flags(struct buf *out, int resp, uint32_t access);
/* The category of a name ("read", no @), any case; 0 when there is none. */
uint32_t command_acl_category(struct slice name);

/* "config|get" or "get", any case; NULL for unknown and internal ones. */
const struct command_slot *command_find_full(const struct command_registry *registry, struct slice name);
/* Those that clients may know: neither internal nor, unless subs is true, subcommands. */
HOT_INLINE bool command_is_public(const struct command_slot *slot, bool subs) {
    if (slot->parent && (!subs || slot->parent->flags & CMD_INTERNAL)) return false;
    return !(slot->row->flags & CMD_INTERNAL);
}
