/* SPDX-License-Identifier: MIT */
/*
 * See meter.h.
 */
#include "meter.h"

#include "os/os.h"

#include <errno.h>
#include <limits.h>
#include <stdalign.h>
#include <stdbool.h>

struct meter meter;

static struct dxi_os table;

/* What stands before each block, so that its size is known when it is released. */
struct block {
    alignas(max_align_t) size_t size;
};

/* Whether this call is one that fails. */
static bool counted(enum call call)
{
    meter.count[call]++;
    if (meter.fail != call || meter.fail_at == LONG_MAX)
        return false;
    long left = --meter.fail_at;

    if (left > 0 || left <= -meter.fail_times)
        return false;
    meter.failed++;
    return true;
}

static void account(size_t before, size_t after)
{
    meter.bytes += after;
    meter.bytes -= before;
    if (meter.bytes > meter.peak)
        meter.peak = meter.bytes;
}

static void *allocate(size_t size)
{
    if (counted(CALL_ALLOCATE))
        return NULL;
    struct block *block = dxi_linux.allocate(sizeof(*block) + size);

    if (block == NULL)
        return NULL;
    block->size = size;
    meter.blocks++;
    account(0, size);
    return block + 1;
}

static void *resize(void *memory, size_t size)
{
    if (counted(CALL_RESIZE))
        return NULL;
    struct block *block = memory != NULL ? (struct block *)memory - 1 : NULL;
    size_t before = block != NULL ? block->size : 0;

    block = dxi_linux.resize(block, sizeof(*block) + size);
    if (block == NULL)
        return NULL;
    if (memory == NULL)
        meter.blocks++;
    block->size = size;
    account(before, size);
    return block + 1;
}

static void release(void *memory)
{
    if (memory == NULL)
        return;
    struct block *block = (struct block *)memory - 1;

    meter.blocks--;
    account(block->size, 0);
    dxi_linux.release(block);
}

static uint64_t now_ns(void)
{
    counted(CALL_NOW);
    return dxi_linux.now_ns();
}

static int make_socketpair(int type, int ret[2])
{
    return counted(CALL_SOCKETPAIR) ? meter.fail_error : dxi_linux.socketpair(type, ret);
}

/* The parts cut to what this kernel takes. Returns how many they are. */
static size_t fewer_bytes(const struct iovec **parts, size_t part_count, struct iovec fewer[8])
{
    size_t left = meter.send_at_most;
    size_t count = 0;

    if (left == 0)
        return part_count;
    for (; count < part_count && left > 0; count++) {
        fewer[count] = (*parts)[count];
        if (fewer[count].iov_len > left)
            fewer[count].iov_len = left;
        left -= fewer[count].iov_len;
    }
    *parts = fewer;
    return count;
}

static ssize_t send_parts(int fd, const struct iovec *parts, size_t part_count,
                          const int *descriptors, size_t descriptor_count)
{
    struct iovec fewer[8];

    if (counted(CALL_SEND))
        return meter.fail_error;
    part_count = fewer_bytes(&parts, part_count, fewer);
    ssize_t sent = dxi_linux.send(fd, parts, part_count, descriptors, descriptor_count);

    if (sent > 0)
        meter.sent += (size_t)sent;
    return sent;
}

static ssize_t receive(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    if (counted(CALL_RECEIVE)) {
        arrival->count = 0;
        arrival->lost = arrival->cut = false;
        return meter.fail_error;
    }
    if (meter.receive_at_most > 0 && size > meter.receive_at_most)
        size = meter.receive_at_most;
    return dxi_linux.receive(fd, bytes, size, arrival);
}

static int shut_down(int fd, int how)
{
    return counted(CALL_SHUTDOWN) ? meter.fail_error : dxi_linux.shutdown(fd, how);
}

static int socket_get(int fd, int name, int *ret)
{
    return counted(CALL_SOCKET_GET) ? meter.fail_error : dxi_linux.socket_get(fd, name, ret);
}

static int socket_set(int fd, int name, int value)
{
    return counted(CALL_SOCKET_SET) ? meter.fail_error : dxi_linux.socket_set(fd, name, value);
}

static int socket_connected(int fd)
{
    return counted(CALL_CONNECTED) ? meter.fail_error : dxi_linux.socket_connected(fd);
}

static ssize_t queued(int fd)
{
    return counted(CALL_QUEUED) ? meter.fail_error : dxi_linux.queued(fd);
}

static int examine(int fd, struct dxi_nature *ret)
{
    return counted(CALL_EXAMINE) ? meter.fail_error : dxi_linux.examine(fd, ret);
}

static ssize_t read_bytes(int fd, void *bytes, size_t size, bool waits)
{
    if (counted(CALL_READ))
        return meter.fail_error;
    if (meter.receive_at_most > 0 && size > meter.receive_at_most)
        size = meter.receive_at_most;
    return dxi_linux.read(fd, bytes, size, waits);
}

static ssize_t write_parts(int fd, const struct iovec *parts, size_t part_count, bool waits)
{
    struct iovec fewer[8];

    if (counted(CALL_WRITE))
        return meter.fail_error;
    part_count = fewer_bytes(&parts, part_count, fewer);
    ssize_t written = dxi_linux.write(fd, parts, part_count, waits);

    if (written > 0)
        meter.sent += (size_t)written;
    return written;
}

static int poll_until(struct pollfd *descriptors, size_t count, uint64_t deadline_ns)
{
    return counted(CALL_POLL) ? meter.fail_error : dxi_linux.poll(descriptors, count, deadline_ns);
}

static int close_descriptor(int fd)
{
    /* A failed close(2) has closed the descriptor all the same. */
    bool failing = counted(CALL_CLOSE);
    int status = dxi_linux.close(fd);

    return failing ? meter.fail_error : status;
}

static int discard_descriptor(int fd)
{
    bool failing = counted(CALL_CLOSE);
    int status = dxi_linux.discard(fd);

    return failing ? meter.fail_error : status;
}

static int set_cloexec(int fd, bool on)
{
    return counted(CALL_CLOEXEC) ? meter.fail_error : dxi_linux.set_cloexec(fd, on);
}

void meter_restart(void)
{
    for (int i = 0; i < CALLS; i++)
        meter.count[i] = 0;
    meter.sent = 0;
    meter.peak = meter.bytes;
    meter_fail_no_more();
}

void meter_install(void)
{
    meter = (struct meter){.fail_at = LONG_MAX};
    table = dxi_linux;
    table.allocate = allocate;
    table.resize = resize;
    table.release = release;
    table.now_ns = now_ns;
    table.socketpair = make_socketpair;
    table.send = send_parts;
    table.receive = receive;
    table.shutdown = shut_down;
    table.socket_get = socket_get;
    table.socket_set = socket_set;
    table.socket_connected = socket_connected;
    table.queued = queued;
    table.examine = examine;
    table.read = read_bytes;
    table.write = write_parts;
    table.poll = poll_until;
    table.close = close_descriptor;
    table.discard = discard_descriptor;
    table.set_cloexec = set_cloexec;
    dxi_os = &table;
}

void meter_fail(enum call call, long at, long times, int error)
{
    meter.fail_at = LONG_MAX;
    meter.fail = call;
    meter.fail_times = times;
    meter.fail_error = error;
    meter.failed = 0;
    meter.fail_at = at;
}

void meter_fail_no_more(void)
{
    meter.fail_at = LONG_MAX;
}

unsigned long meter_system_calls(void)
{
    unsigned long sum = 0;

    for (int i = CALL_NOW; i < CALLS; i++)
        sum += meter.count[i];
    return sum;
}

unsigned long meter_allocations(void)
{
    return meter.count[CALL_ALLOCATE] + meter.count[CALL_RESIZE];
}
