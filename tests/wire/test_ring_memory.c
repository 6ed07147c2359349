/* SPDX-License-Identifier: MIT */
/*
 * The memory that rings lie in: mapped twice in a row, of a size that nobody can change, and not
 * there in a forked child.
 */
#include "harness.h"

#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RING = 64 << 10 };

static bool is_mapped(const void *place)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    bool found = false;

    while (maps != NULL && fgets(line, sizeof(line), maps)) {
        unsigned long start, end;

        if (sscanf(line, "%lx-%lx", &start, &end) == 2 && (unsigned long)place >= start &&
            (unsigned long)place < end)
            found = true;
    }
    if (maps != NULL)
        fclose(maps);
    return found;
}

START_TEST(test_each_ring_lies_there_twice_in_a_row)
{
    struct dxi_region made, mapped;
    int fd;

    ck_assert_int_eq(dxi_linux.region_create(RING, &made, &fd), 0);
    ck_assert_int_eq(dxi_linux.region_map(fd, RING, &mapped), 0);
    close(fd);
    ck_assert_uint_eq(made.ring_size, RING);
    for (int ring = 0; ring < 2; ring++)
        for (size_t at = 0; at < RING; at += 1021) {
            made.rings[ring][at] = (uint8_t)(at + (size_t)ring);
            ck_assert_uint_eq(made.rings[ring][at + RING], (uint8_t)(at + (size_t)ring));
            ck_assert_uint_eq(mapped.rings[ring][at], (uint8_t)(at + (size_t)ring));
            mapped.rings[ring][at + RING]++;
            ck_assert_uint_eq(made.rings[ring][at], (uint8_t)(at + (size_t)ring + 1));
        }
    memset(made.control, 7, 4096);
    ck_assert_mem_eq(mapped.control, made.control, 4096);
    ck_assert_uint_ne(made.rings[0][0], 7);
    dxi_linux.region_unmap(&mapped);
    dxi_linux.region_unmap(&made);
    dxi_linux.region_unmap(&made);
}
END_TEST

START_TEST(test_its_size_is_sealed)
{
    struct dxi_region region;
    struct stat before, after;
    int fd;

    ck_assert_int_eq(dxi_linux.region_create(RING, &region, &fd), 0);
    ck_assert_int_eq(fstat(fd, &before), 0);
    ck_assert_int_eq(before.st_size, sysconf(_SC_PAGESIZE) + 2 * RING);
    ck_assert_int_lt(ftruncate(fd, 0), 0);
    ck_assert_int_lt(ftruncate(fd, before.st_size + 1), 0);
    ck_assert_int_lt(fallocate(fd, 0, before.st_size, 4096), 0);
    ck_assert_int_lt(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    ck_assert_int_lt(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fstat(fd, &after), 0);
    ck_assert_int_eq(after.st_size, before.st_size);
    /* All of it is there: memory that is not would be missed when it is touched. */
    ck_assert_int_ge(after.st_blocks * 512, after.st_size);
    close(fd);
    dxi_linux.region_unmap(&region);
}
END_TEST

START_TEST(test_a_forked_child_does_not_have_it)
{
    struct dxi_region region;
    int status;
    int fd;

    ck_assert_int_eq(dxi_linux.region_create(RING, &region, &fd), 0);
    close(fd);
    void *places[] = {region.control, region.rings[0], region.rings[1],
                      region.rings[1] + 2 * RING - 1};

    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        ck_assert(is_mapped(places[i]));
    pid_t pid = fork();

    if (pid == 0) {
        bool found = false;

        for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
            found |= is_mapped(places[i]);
        _exit(found);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    dxi_linux.region_unmap(&region);
    ck_assert(!is_mapped(places[1]));
}
END_TEST

START_TEST(test_memory_that_is_not_so_is_refused)
{
    off_t size = sysconf(_SC_PAGESIZE) + 2 * RING;
    struct dxi_region region;
    int fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int unsealable = memfd_create("other", MFD_CLOEXEC);

    ck_assert_int_eq(ftruncate(fd, size), 0);
    ck_assert_int_eq(ftruncate(unsealable, size), 0);
    /* It has the seal against seals, and no other. */
    ck_assert_int_eq(dxi_linux.region_map(unsealable, RING, &region), -EPERM);
    ck_assert_int_eq(dxi_linux.region_map(fd, RING, &region), -EPERM);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    ck_assert_int_eq(dxi_linux.region_map(fd, RING, &region), -EPERM);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    ck_assert_int_eq(dxi_linux.region_map(fd, RING / 2, &region), -EINVAL);
    ck_assert_int_eq(dxi_linux.region_map(fd, RING * 2, &region), -EINVAL);
    ck_assert_int_eq(dxi_linux.region_map(fd, RING, &region), 0);
    dxi_linux.region_unmap(&region);
    close(fd);
    close(unsealable);
    ck_assert_int_lt(dxi_linux.region_map(-1, RING, &region), 0);
}
END_TEST

/* The kernel would kill this process for it (SIGXFSZ). */
START_TEST(test_it_is_not_made_over_the_limit_on_files)
{
    struct rlimit limit = {.rlim_cur = RING, .rlim_max = RING};
    struct dxi_region region;
    int fd;

    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(dxi_linux.region_create(RING, &region, &fd), -EFBIG);
}
END_TEST

HARNESS_MAIN("ring_memory", TEST(test_it_is_not_made_over_the_limit_on_files),
             TEST(test_each_ring_lies_there_twice_in_a_row), TEST(test_its_size_is_sealed),
             TEST(test_a_forked_child_does_not_have_it),
             TEST(test_memory_that_is_not_so_is_refused))
