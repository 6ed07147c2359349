/* SPDX-License-Identifier: MIT */
/*
 * Numbers in network byte order, at any alignment.
 */
#ifndef DUPLEX_WIRE_BYTES_H
#define DUPLEX_WIRE_BYTES_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t dxi_load16(const uint8_t *from)
{
    uint16_t value;

    memcpy(&value, from, sizeof(value));
    return be16toh(value);
}

static inline uint32_t dxi_load32(const uint8_t *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof(value));
    return be32toh(value);
}

static inline uint64_t dxi_load64(const uint8_t *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof(value));
    return be64toh(value);
}

static inline void dxi_store16(uint8_t *to, uint16_t value)
{
    value = htobe16(value);
    memcpy(to, &value, sizeof(value));
}

static inline void dxi_store32(uint8_t *to, uint32_t value)
{
    value = htobe32(value);
    memcpy(to, &value, sizeof(value));
}

static inline void dxi_store64(uint8_t *to, uint64_t value)
{
    value = htobe64(value);
    memcpy(to, &value, sizeof(value));
}

/* Apart, so that whoever copies nothing of the kind need not save his registers for a call. */
static __attribute__((noinline, unused)) void dxi_copy_other(uint8_t *to, const void *data,
                                                             size_t size)
{
    if (size > 0)
        memcpy(to, data, size);
}

/*
 * memcpy() for what most messages are, from 16 to 128 bytes: as many moves as it takes, the last of which
 * may overlap the one before. A call, of the library's or of this, costs as much as the copy.
 */
static inline __attribute__((always_inline)) void dxi_copy(uint8_t *to, const void *data,
                                                           size_t size)
{
    const uint8_t *from = data;

    if (__builtin_expect(size < 16 || size > 128, 0)) {
        dxi_copy_other(to, data, size);
    } else if (size > 64) {
        uint8_t last[64];

        memcpy(last, from + size - 64, 64);
        memcpy(to, from, 64);
        memcpy(to + size - 64, last, 64);
    } else if (size > 32) {
        uint8_t last[32];

        memcpy(last, from + size - 32, 32);
        memcpy(to, from, 32);
        memcpy(to + size - 32, last, 32);
    } else {
        uint8_t last[16];

        memcpy(last, from + size - 16, 16);
        memcpy(to, from, 16);
        memcpy(to + size - 16, last, 16);
    }
}

#endif
