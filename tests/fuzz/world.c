/* SPDX-License-Identifier: MIT */
/*
 * See world.h.
 */
#include "world.h"

#include "targets.h"

#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CALLS_MAX = 200000, /* of one call of the user's: it goes on for ever */
    PAGE = 4096,
    NS_EACH = 150, /* of a system call */
};

struct world world;

uint8_t world_byte(void)
{
    return world.at < world.end ? *world.at++ : 0;
}

/* Each system call begins so. A fault is for one call. */
int world_call(enum world_call call)
{
    require(++world.calls < CALLS_MAX);
    world.now_ns += NS_EACH;
    if (world.armed > 0 && --world.armed == 0)
        (void)world.act();
    if (call == WORLD_CALLS)
        return 0;
    int fault = world.faults[call];

    world.faults[call] = 0;
    return fault;
}

/* Memory. */

static bool fails(void)
{
    if (world.allocation == 0 || --world.allocation > 0)
        return false;
    if (world.failing > 0) {
        world.failing--;
        world.allocation = 1;
    }
    return true;
}

static void *count_in(void *memory)
{
    require(memory != NULL);
    world.memory += malloc_usable_size(memory);
    world.pieces++;
    if (world.memory > world.memory_peak)
        world.memory_peak = world.memory;
    return memory;
}

static void count_out(void *memory)
{
    world.memory -= malloc_usable_size(memory);
    world.pieces--;
}

static void *world_allocate(size_t size)
{
    return fails() ? NULL : count_in(malloc(size));
}

static void *world_resize(void *memory, size_t size)
{
    if (fails())
        return NULL;
    if (memory != NULL)
        count_out(memory);
    return count_in(realloc(memory, size));
}

static void world_release(void *memory)
{
    if (memory != NULL)
        count_out(memory);
    free(memory);
}

/* Time and place. */

static uint64_t world_now_ns(void)
{
    (void)world_call(WORLD_CALLS);
    return world.now_ns;
}

static bool world_several_processors(void)
{
    return !world.one_processor;
}

static unsigned world_processor(void)
{
    (void)world_call(WORLD_CALLS);
    return world.cpu;
}

/* Descriptors. */

int world_open(enum world_sort sort)
{
    for (int i = 0; i < WORLD_FDS; i++)
        if (world.fds[i] == WORLD_CLOSED) {
            world.fds[i] = (uint8_t)sort;
            return WORLD_FIRST_FD + i;
        }
    return -1;
}

static enum world_sort sort_of(int fd)
{
    return fd >= WORLD_FIRST_FD && fd < WORLD_FIRST_FD + WORLD_FDS
               ? (enum world_sort)world.fds[fd - WORLD_FIRST_FD]
               : WORLD_CLOSED;
}

bool world_is_open(int fd)
{
    return sort_of(fd) != WORLD_CLOSED;
}

size_t world_count_open(void)
{
    size_t count = 0;

    for (int i = 0; i < WORLD_FDS; i++)
        count += world.fds[i] != WORLD_CLOSED;
    return count;
}

static int world_close(int fd)
{
    (void)world_call(WORLD_CALLS);
    if (fd >= WORLD_READ_FD && fd <= WORLD_PIDFD) {
        unsigned bit = 1U << (fd - WORLD_READ_FD);

        require((world.closed_ends & bit) == 0);
        world.closed_ends |= bit;
        return 0;
    }
    require(world_is_open(fd));
    world.fds[fd - WORLD_FIRST_FD] = WORLD_CLOSED;
    return 0;
}

static int world_duplicate(int fd, int at_least)
{
    int fault = world_call(WORLD_DUPLICATE);

    (void)at_least;
    if (fault < 0)
        return fault;
    require(world_is_open(fd));
    int copy = world_open(sort_of(fd));

    return copy < 0 ? -EMFILE : copy;
}

static int world_examine(int fd, struct dxi_nature *ret)
{
    int fault = world_call(WORLD_EXAMINE);
    enum world_sort sort = sort_of(fd);

    if (fault < 0 || sort == WORLD_CLOSED)
        return fault < 0 ? fault : -EBADF;
    *ret = (struct dxi_nature){
        .sort = sort == WORLD_FIFO                           ? DXI_SORT_PIPE
                : sort == WORLD_FILE || sort == WORLD_MEMORY ? DXI_SORT_FILE
                                                             : DXI_SORT_SOCKET,
        .is_fifo = sort == WORLD_FIFO,
        .readable = true,
        .writable = true,
    };
    return 0;
}

static int world_socket_get(int fd, int name, int *ret)
{
    int fault = world_call(WORLD_SOCKET_GET);
    enum world_sort sort = sort_of(fd);
    bool datagrams = sort == WORLD_UDP4 || sort == WORLD_UDP6 || sort == WORLD_DATAGRAM;

    if (fault < 0)
        return fault;
    switch (name) {
    case SO_SNDBUF:
        *ret = world.cpu % 2 == 0 ? 212992 : 500 + 100 * world.cpu;
        break;
    case SO_DOMAIN:
        *ret = sort == WORLD_UDP6                               ? AF_INET6
               : sort == WORLD_STREAM || sort == WORLD_DATAGRAM ? AF_UNIX
                                                                : AF_INET;
        break;
    case SO_TYPE:
        *ret = datagrams ? SOCK_DGRAM : SOCK_STREAM;
        break;
    case SO_ACCEPTCONN:
        *ret = sort == WORLD_LISTENER;
        break;
    default:
        break;
    }
    return 0;
}

static int world_socket_set(int fd, int name, int value)
{
    (void)fd;
    if (name == SO_SNDBUF && value > 0)
        world.room += (size_t)value;
    return world_call(WORLD_CALLS);
}

static int world_set_nonblock(int fd, bool on)
{
    int fault = world_call(WORLD_NONBLOCK);

    require(world_is_open(fd));
    /* One that blocked before, each other time. */
    return fault < 0 ? fault : on && fd % 2 == 0;
}

/* Shared memory: mapped once, each ring twice in a row, with nothing behind what belongs to it. */

static struct dxi_region regions[2];

static void map_region(struct dxi_region *region, size_t ring)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    size_t size = PAGE + 4 * ring + 4 * PAGE;
    uint8_t *start = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *at = start + PAGE;

    require(fd >= 0 && start != MAP_FAILED && ftruncate(fd, (off_t)(PAGE + 2 * ring)) == 0);
    *region = (struct dxi_region){.control = at, .ring_size = ring, .mapped = size};
    require(mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == at);
    at += 2 * PAGE;
    for (int i = 0; i < 2; i++) {
        off_t offset = (off_t)(PAGE + (size_t)i * ring);

        region->rings[i] = at;
        for (int half = 0; half < 2; half++, at += ring)
            require(mmap(at, ring, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset) ==
                    at);
        at += PAGE;
    }
    close(fd);
}

void world_have_region(bool large)
{
    struct dxi_region *region = &regions[large];

    if (region->control == NULL)
        map_region(region, large ? WORLD_RING_LARGE : WORLD_RING_SMALL);
    memset(region->control, 0, sizeof(struct dxi_ring_control));
    world.region = *region;
}

static int world_region_map(int fd, size_t ring_size, struct dxi_region *ret)
{
    int fault = world_call(WORLD_REGION);

    (void)ring_size;
    require(sort_of(fd) == WORLD_MEMORY && world.mapped == 0);
    if (fault < 0 || world.region.control == NULL)
        return fault < 0 ? fault : -EINVAL;
    world.mapped++;
    *ret = world.region;
    return 0;
}

static int world_region_create(size_t ring_size, struct dxi_region *ret, int *ret_fd)
{
    int fd = world_open(WORLD_MEMORY);
    int error = fd < 0 ? -EMFILE : world_region_map(fd, ring_size, ret);

    if (error < 0 && fd >= 0)
        (void)world_close(fd);
    *ret_fd = error < 0 ? *ret_fd : fd;
    return error;
}

static void world_region_unmap(struct dxi_region *region)
{
    if (region->control != NULL) {
        require(world.mapped == 1);
        world.mapped = 0;
    }
    *region = (struct dxi_region){0};
}

static bool world_single_threaded(void)
{
    return dxi_single_threaded();
}

void world_begin(const uint8_t *script, size_t size)
{
    static struct dxi_os table;

    if (table.send == NULL) {
        /* Large pieces would be system calls. */
        mallopt(M_MMAP_THRESHOLD, 32 << 20);
        mallopt(M_TRIM_THRESHOLD, 64 << 20);
        table = dxi_linux;
        table.allocate = world_allocate;
        table.resize = world_resize;
        table.release = world_release;
        table.now_ns = world_now_ns;
        table.several_processors = world_several_processors;
        table.processor = world_processor;
        table.single_threaded = world_single_threaded;
        table.send = world_send;
        table.receive = world_receive;
        table.shutdown = world_shutdown;
        table.socket_get = world_socket_get;
        table.socket_set = world_socket_set;
        table.queued = world_queued;
        table.examine = world_examine;
        table.read = world_read;
        table.write = world_write_once;
        table.region_create = world_region_create;
        table.region_map = world_region_map;
        table.region_unmap = world_region_unmap;
        table.poll = world_poll;
        table.close = world_close;
        table.discard = world_close;
        table.set_nonblock = world_set_nonblock;
        table.duplicate = world_duplicate;
    }
    dxi_os = &table;
    /* The bytes are written before they are read: all but those. */
    size_t in_at = offsetof(struct world, in), in_end = offsetof(struct world, in_size);
    size_t out_at = offsetof(struct world, out), out_end = offsetof(struct world, out_size);

    memset(&world, 0, in_at);
    memset((uint8_t *)&world + in_end, 0, out_at - in_end);
    memset((uint8_t *)&world + out_end, 0, sizeof(world) - out_end);
    world.at = script;
    world.end = script + size;
    world.now_ns = 1000000000;
    world.room = 212992;
    world.type = SOCK_STREAM;
}

void world_end(void)
{
    dxi_os = &dxi_linux;
    require(world.pieces == 0 && world.memory == 0);
    require(world.mapped == 0);
    require(world_count_open() == 0);
    require(!world.words_wrong);
}
