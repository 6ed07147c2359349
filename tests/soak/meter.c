/* SPDX-License-Identifier: MIT */
/*
 * What this process has: descriptors, children, memory. The library's blocks are counted by a table of
 * the system that allocates as the real one does, and is the real one else.
 */
#include "soak.h"

#include "os/os.h"

#include <dirent.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DESCRIPTORS_WATCHED = 1000 };

static struct dxi_os counting;
static size_t blocks;

static void *allocate(size_t size)
{
    void *memory = dxi_linux.allocate(size);

    blocks += memory != NULL;
    return memory;
}

static void *resize(void *memory, size_t size)
{
    void *resized = dxi_linux.resize(memory, size);

    blocks += memory == NULL && resized != NULL;
    return resized;
}

static void release(void *memory)
{
    blocks -= memory != NULL;
    dxi_linux.release(memory);
}

void soak_meter_open(void)
{
    counting = dxi_linux;
    counting.allocate = allocate;
    counting.resize = resize;
    counting.release = release;
    blocks = 0;
    dxi_os = &counting;
}

void soak_meter_close(void)
{
    dxi_os = &dxi_linux;
}

size_t soak_resident(pid_t pid)
{
    char path[64];
    unsigned long pages = 0;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");

    if (!file)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static bool is_ours(const char *name)
{
    char path[300], text[400];
    int parent = 0;

    snprintf(path, sizeof(path), "/proc/%s/stat", name);
    FILE *file = fopen(path, "re");

    if (!file)
        return false;
    size_t size = fread(text, 1, sizeof(text) - 1, file);

    fclose(file);
    text[size] = '\0';
    /* The name in parentheses may hold anything. */
    const char *end = strrchr(text, ')');

    return end && sscanf(end, ") %*c %d", &parent) == 1 && parent == getpid();
}

size_t soak_count_children(void)
{
    DIR *directory = opendir("/proc");
    size_t count = 0;

    if (!directory)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && is_ours(entry->d_name);
    closedir(directory);
    return count;
}

size_t soak_count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;

    if (!directory)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        int fd = atoi(entry->d_name);

        /* Those of valgrind are high. */
        count += entry->d_name[0] != '.' && fd != dirfd(directory) && fd < DESCRIPTORS_WATCHED;
    }
    closedir(directory);
    return count;
}

void soak_measure(struct soak_figures *ret)
{
    /* What lies free between what is used is the C library's affair, and is given back. */
    malloc_trim(0);
    *ret = (struct soak_figures){
        .descriptors = soak_count_descriptors(),
        .children = soak_count_children(),
        .blocks = blocks,
        .resident = soak_resident(getpid()),
    };
}
