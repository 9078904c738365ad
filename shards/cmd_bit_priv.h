/* What the commands on bits of a string share. */
#pragma once
#include "core/num.h"
#include "shards/exec.h"

/* argv[at] as a position in bits. With a width, "#2" is that of the third field so wide. False: the
 * error was replied. */
NODISCARD bool exec_bit_offset(struct exec *x, uint32_t at, unsigned width, uint64_t *offset);
/* The string at argv[1], made or lengthened with zeros to this many bytes at least, to be written to. NULL: it is none,
 * or there is no memory; that was replied. grew: it is longer than before. The caller calls exec_changed. */
unsigned char *exec_edit_bits(struct exec *x, struct key_ref *ref, size_t bytes, bool *grew);
/* For a row's .grows: argv[1] is written to up to this bit. */
uint64_t exec_bits_grow(const struct exec *x, uint64_t end);
