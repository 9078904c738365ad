/* RDB: what stands in a file where the type of a value might. */
#pragma once

enum rdb_opcode {
    RDB_OP_SLOT_INFO = 244,     /* slot, keys, keys with a deadline: sizes for a cluster's tables */
    RDB_OP_FUNCTION = 245,      /* a function library's code */
    RDB_OP_FUNCTION_OLD = 246,  /* the same, of a release candidate of Redis 7.0 */
    RDB_OP_MODULE_AUX = 247,    /* what a module keeps outside of keys */
    RDB_OP_IDLE = 248,          /* seconds, as a length; of the key that follows */
    RDB_OP_FREQ = 249,          /* LFU counter, 1 byte; of the key that follows */
    RDB_OP_AUX = 250,           /* name and content, strings */
    RDB_OP_RESIZEDB = 251,      /* keys, keys with a deadline: lengths */
    RDB_OP_EXPIRETIME_MS = 252, /* unix time, 8 bytes, little-endian; of the key that follows */
    RDB_OP_EXPIRETIME = 253,    /* the same in seconds, 4 bytes */
    RDB_OP_SELECTDB = 254,      /* number, a length */
    RDB_OP_EOF = 255,           /* checksum, 8 bytes, from version 5 on */
};
