/* CRC: the two checksums that Redis puts on the wire and on disk. Pure functions of borrowed bytes.
 *
 * crc16  CRC-16/XMODEM (CCITT polynomial 0x1021, not reflected, start 0): Redis Cluster's key slot.
 *        crc16("123456789") = 0x31c3.
 * crc64  CRC-64 with Jones's polynomial, reflected, start 0, no final inversion: the tail of an RDB
 *        file and of a DUMP payload. crc64(0, "123456789") = 0xe9c6d914c4b8d9ca. It chains: the
 *        CRC of a then b is crc64(crc64(0, a), b).
 *
 * They find accidents, not attacks. Cost: eight bytes a step (over 1 GB/s), 4 KB and 16 KB of
 * constant tables. Algorithm: slicing-by-8, Kounavis and Berry, "A Systematic Approach to Building
 * High Performance Software-based CRC Generators" (2005). */
#pragma once
#include <stddef.h>
#include <stdint.h>

uint16_t crc16(const void *bytes, size_t len);               /* len 0 is 0 */
uint64_t crc64(uint64_t crc, const void *bytes, size_t len); /* crc: 0, or what came before */
