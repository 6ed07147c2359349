/* SPDX-License-Identifier: MIT */
/*
 * Shared memory by memfd_create(2).
 *
 * A process that touches a mapping behind the end of its file is killed by SIGBUS, so the file's size
 * is sealed (F_SEAL_SHRINK, F_SEAL_GROW), and the seals too. A file made without MFD_ALLOW_SEALING
 * answers F_GET_SEALS as well, with F_SEAL_SEAL alone: each seal that is needed is looked for. Holes
 * may still be punched, and read as zeros. A forked child gets no copy of the mapping (MADV_DONTFORK):
 * it would be a second producer.
 */
#include "os/region.h"

#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Linux 6.3; the headers of Debian 12 lack it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

enum { NEEDED_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

/* Pages are made in pieces of so many bytes, each of which may be interrupted so often. */
enum { FILL_PIECE = 1 << 20, INTERRUPTIONS_MAX = 100 };

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Map size bytes of the file at this place of the reserved space. */
static bool place(uint8_t *at, size_t size, int fd, size_t offset)
{
    return mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
                (off_t)offset) == at;
}

static int map(int fd, size_t ring_size, struct dxi_region *ret)
{
    size_t page = page_size();
    size_t mapped = page + 4 * ring_size;
    uint8_t *start =
        mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (start == MAP_FAILED)
        return -errno;
    uint8_t *first = start + page;
    uint8_t *second = first + 2 * ring_size;

    if (!place(start, page, fd, 0) || !place(first, ring_size, fd, page) ||
        !place(first + ring_size, ring_size, fd, page) ||
        !place(second, ring_size, fd, page + ring_size) ||
        !place(second + ring_size, ring_size, fd, page + ring_size) ||
        madvise(start, mapped, MADV_DONTFORK) < 0) {
        int error = -errno;

        munmap(start, mapped);
        return error;
    }
    *ret = (struct dxi_region){
        .control = start,
        .rings = {first, second},
        .ring_size = ring_size,
        .mapped = mapped,
    };
    return 0;
}

/* The limit on the size of files is for this one, too, and to go over it kills (SIGXFSZ). */
static bool may_have(size_t size)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= size);
}

static bool was_interrupted(int status)
{
    return status < 0 && errno == EINTR;
}

static bool set_size(int fd, size_t size)
{
    int status;

    do
        status = ftruncate(fd, (off_t)size);
    while (was_interrupted(status));
    return status == 0;
}

/*
 * Older kernels take back the pages of a call that a signal interrupts. A timer may send one all the time,
 * and a large ring take longer than it pauses: so the pages are made in pieces, and not for ever.
 */
static bool fill(int fd, size_t size)
{
    int interruptions = 0;

    for (size_t done = 0; done < size;) {
        size_t piece = size - done < FILL_PIECE ? size - done : (size_t)FILL_PIECE;

        if (fallocate(fd, 0, (off_t)done, (off_t)piece) == 0) {
            done += piece;
            interruptions = 0;
        } else if (errno != EINTR) {
            return false;
        } else if (++interruptions == INTERRUPTIONS_MAX) {
            errno = EAGAIN;
            return false;
        }
    }
    return true;
}

static int make_memory(size_t size)
{
    if (!may_have(size))
        return -EFBIG;
    int fd = memfd_create("duplex", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("duplex", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    /* Memory that is not there when it is touched would be another SIGBUS. */
    if (set_size(fd, size) && fill(fd, size) && fcntl(fd, F_ADD_SEALS, NEEDED_SEALS) == 0)
        return fd;
    int error = -errno;

    close(fd);
    return error;
}

int dxi_linux_region_create(size_t ring_size, struct dxi_region *ret, int *ret_fd)
{
    int fd = make_memory(page_size() + 2 * ring_size);

    if (fd < 0)
        return fd;
    int error = map(fd, ring_size, ret);

    if (error < 0)
        close(fd);
    else
        *ret_fd = fd;
    return error;
}

int dxi_linux_region_map(int fd, size_t ring_size, struct dxi_region *ret)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat file;
    struct statfs system;
    int status;

    if (seals < 0)
        return -EINVAL;
    if ((seals & NEEDED_SEALS) != NEEDED_SEALS || (seals & F_SEAL_WRITE) != 0)
        return -EPERM;
    do
        status = fstatfs(fd, &system);
    while (was_interrupted(status));
    if (status < 0 || fstat(fd, &file) < 0)
        return -errno;
    if (system.f_type != TMPFS_MAGIC || file.st_size < 0 ||
        (size_t)file.st_size != page_size() + 2 * ring_size)
        return -EINVAL;
    return map(fd, ring_size, ret);
}

void dxi_linux_region_unmap(struct dxi_region *region)
{
    if (region->control != NULL)
        munmap(region->control, region->mapped);
    *region = (struct dxi_region){0};
}
