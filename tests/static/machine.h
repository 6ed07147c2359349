/* SPDX-License-Identifier: MIT */
/*
 * For Frama-C, what its C library lacks: the byte order functions of endian.h, which
 * src/wire/bytes.h uses, in C that it can follow.
 */
#include <stdint.h>

static inline uint16_t swap16(uint16_t value)
{
    return (uint16_t)(value >> 8 | (value & 0xff) << 8);
}

static inline uint32_t swap32(uint32_t value)
{
    return value >> 24 | (value >> 8 & 0xff00) | (value << 8 & 0xff0000) | value << 24;
}

static inline uint64_t swap64(uint64_t value)
{
    return (uint64_t)swap32((uint32_t)value) << 32 | swap32((uint32_t)(value >> 32));
}

#define be16toh swap16
#define be32toh swap32
#define be64toh swap64
#define htobe16 swap16
#define htobe32 swap32
#define htobe64 swap64

/* It knows no alignment, and no place here depends on one. */
#define _Alignas(size)
