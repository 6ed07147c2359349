/* SPDX-License-Identifier: MIT */
/*
 * Simulated memory: what a process has is noted, so that it goes with the process, and so that a leak is
 * seen. Memory to share is real, mapped as the library expects it, and used again in the next world.
 */
#include "kernel.h"

#include "os/linux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAPPERS = 8 };

struct memory {
    struct memory *next;
    struct dxi_region region;
    bool open;                        /* by a descriptor, of whomever */
    struct process *mappers[MAPPERS]; /* one may map it twice */
    unsigned mapped;
};

static struct memory *memories;

void *memory_allocate(size_t size)
{
    struct process *self = kernel.running;
    struct block *block = malloc(sizeof(*block) + size);

    if (block == NULL)
        return NULL;
    block->size = size;
    block->next = self->memory;
    block->link = &self->memory;
    if (block->next)
        block->next->link = &block->next;
    self->memory = block;
    self->blocks++;
    return block->bytes;
}

static struct block *block_of(void *memory)
{
    return (struct block *)((char *)memory - offsetof(struct block, bytes));
}

void memory_release(void *memory)
{
    if (memory == NULL)
        return;
    struct block *block = block_of(memory);

    *block->link = block->next;
    if (block->next)
        block->next->link = block->link;
    kernel.running->blocks--;
    free(block);
}

void *memory_resize(void *memory, size_t size)
{
    if (memory == NULL)
        return memory_allocate(size);
    struct block *block = realloc(block_of(memory), sizeof(*block) + size);

    if (block == NULL)
        return NULL;
    block->size = size;
    *block->link = block;
    if (block->next)
        block->next->link = &block->next;
    return block->bytes;
}

void memory_free_all(struct process *process)
{
    while (process->memory != NULL) {
        struct block *block = process->memory;

        process->memory = block->next;
        free(block);
    }
    process->blocks = 0;
}

static void map(struct memory *memory, struct dxi_region *ret)
{
    if (memory->mapped == MAPPERS)
        world_fail("memory is mapped %d times", MAPPERS);
    memory->mappers[memory->mapped++] = kernel.running;
    *ret = memory->region;
}

/* As new: unused memory of that size, or more of it from the real kernel. */
static struct memory *find_unused(size_t ring_size)
{
    struct memory *memory = memories;
    int fd;

    while (memory && (memory->open || memory->mapped > 0 || memory->region.ring_size != ring_size))
        memory = memory->next;
    if (memory != NULL) {
        memset(memory->region.control, 0, PAGE);
        memset(memory->region.rings[0], 0, ring_size);
        memset(memory->region.rings[1], 0, ring_size);
        return memory;
    }
    memory = calloc(1, sizeof(*memory));
    if (memory == NULL || dxi_linux_region_create(ring_size, &memory->region, &fd) < 0)
        world_fail("no memory to share");
    dxi_linux_close(fd);
    memory->next = memories;
    memories = memory;
    return memory;
}

int memory_create(size_t ring_size, struct dxi_region *ret, int *ret_fd)
{
    if (kernel_refuses())
        return -ENOMEM;
    struct memory *memory = find_unused(ring_size);
    struct file *file = file_make(FILE_MEMORY);

    file->memory = memory;
    memory->open = true;
    int fd = file_place(kernel.running, file, 0, true);

    if (fd < 0)
        return fd;
    map(memory, ret);
    *ret_fd = fd;
    return 0;
}

int memory_map(int fd, size_t ring_size, struct dxi_region *ret)
{
    const struct file *file = file_of(kernel.running, fd);

    if (file == NULL || file->kind != FILE_MEMORY || file->memory->region.ring_size != ring_size)
        return -EINVAL;
    if (kernel_refuses())
        return -ENOMEM;
    map(file->memory, ret);
    return 0;
}

static void forget_mapper(struct memory *memory, const struct process *process)
{
    for (unsigned i = 0; i < memory->mapped; i++) {
        if (memory->mappers[i] != process)
            continue;
        memory->mappers[i] = memory->mappers[--memory->mapped];
        return;
    }
    world_fail("memory is unmapped that was not mapped");
}

void memory_unmap(struct dxi_region *region)
{
    struct memory *memory = memories;

    if (region->control == NULL)
        return;
    while (memory && memory->region.control != region->control)
        memory = memory->next;
    if (memory == NULL)
        world_fail("memory is unmapped that there never was");
    forget_mapper(memory, kernel.running);
    *region = (struct dxi_region){0};
}

void memory_unmap_all(struct process *process)
{
    for (struct memory *memory = memories; memory; memory = memory->next) {
        for (unsigned i = 0; i < memory->mapped;) {
            if (memory->mappers[i] == process)
                memory->mappers[i] = memory->mappers[--memory->mapped];
            else
                i++;
        }
    }
}

void memory_close(struct file *file)
{
    file->memory->open = false;
}

size_t memory_count(void)
{
    size_t count = 0;

    for (const struct memory *memory = memories; memory; memory = memory->next)
        count += memory->mapped + memory->open;
    return count;
}

void memory_sweep(void)
{
    for (struct memory *memory = memories; memory; memory = memory->next) {
        memory->open = false;
        memory->mapped = 0;
    }
}
