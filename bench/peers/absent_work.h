/* SPDX-License-Identifier: MIT */
/* Besides absent.h, for a peer that has its own functions for the work. */
static int round_trip(void *pair, size_t size, uint64_t count)
{
    (void)pair;
    (void)size;
    (void)count;
    return -ENOTSUP;
}

static int one_way(void *pair, size_t size, uint64_t count, bool corked)
{
    (void)corked;
    return round_trip(pair, size, count);
}

static int calls(void *pair, size_t size, uint64_t count, bool corked)
{
    (void)corked;
    return round_trip(pair, size, count);
}
