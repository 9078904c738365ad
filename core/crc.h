/* CRC: the two checksums that Redis puts on the wire and on disk, and ours. Pure functions of borrowed bytes.
 *
 * crc16  CRC-16/XMODEM (CCITT polynomial 0x1021, not reflected, start 0): Redis Cluster's key slot.
 *        crc16("123456789") = 0x31c3.
 * crc64  CRC-64 with Jones's polynomial, reflected, start 0, no final inversion: the tail of an RDB
 *        file and of a DUMP payload. crc64(0, "123456789") = 0xe9c6d914c4b8d9ca. It chains: the
 *        CRC of a then b is crc64(crc64(0, a), b).
 *
 * crc32c CRC-32 with Castagnoli's polynomial, reflected, inverted before and after, as iSCSI (RFC 3720) and many
 *        file systems have it: the journal's. crc32c(0, "123456789") = 0xe3069283. It chains as crc64 does.
 *
 * They find accidents, not attacks. Cost: eight bytes a step (over 1 GB/s), 4, 16 and 8 KB of constant tables. Where
 * the CPU has them, crc32c uses the instruction of SSE 4.2 (eight bytes in three cycles) and crc64 carry-less
 * multiplication (over 10 GB/s from 128 bytes on). Algorithm: slicing-by-8, Kounavis
 * and Berry, "A Systematic Approach to Building High Performance Software-based CRC Generators" (2005). */
#pragma once
#include <stddef.h>
#include <stdint.h>

uint16_t crc16(const void *bytes, size_t len);                        /* len 0 is 0 */
uint64_t crc64(uint64_t crc, const void *bytes, size_t len);          /* crc: 0, or what came before */
uint64_t crc64_by_table(uint64_t crc, const void *bytes, size_t len); /* the same on any CPU; public for the tests */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t len); /* the same on any CPU; public for the tests */
