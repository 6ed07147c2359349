/* SPDX-License-Identifier: MIT */
/*
 * Descriptors, and the open files that they name.
 */
#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Those that are free, for reuse. */
static struct file *spare;

struct file *file_make(enum file_kind kind)
{
    struct file *file = spare;

    if (file != NULL)
        spare = file->next;
    else
        file = malloc(sizeof(*file));
    if (file == NULL)
        world_fail("no memory for a file");
    memset(file, 0, sizeof(*file));
    file->kind = kind;
    file->number = ++kernel.files_made;
    file->next = kernel.files;
    if (kernel.files)
        kernel.files->before = file;
    kernel.files = file;
    kernel.file_count++;
    return file;
}

void file_hold(struct file *file)
{
    file->references++;
}

void file_let_go(struct file *file)
{
    if (--file->references > 0)
        return;
    kernel_stir();
    if (file->next)
        file->next->before = file->before;
    if (file->before)
        file->before->next = file->next;
    else
        kernel.files = file->next;
    kernel.file_count--;
    switch (file->kind) {
    case FILE_SOCKET:
        sockets_close(file);
        break;
    case FILE_PIPE:
        pipes_close(file);
        break;
    case FILE_WATCH:
        waits_close(file);
        break;
    case FILE_MEMORY:
        memory_close(file);
        break;
    case FILE_PIDFD:
    case FILE_NULL:
        break;
    }
    file->next = spare;
    spare = file;
}

struct file *file_of(struct process *process, int fd)
{
    return fd >= 0 && fd < (int)process->highest ? process->slots[fd].file : NULL;
}

/* How many descriptors the process may have. */
static int limit(void)
{
    unsigned chosen = kernel.options.descriptors;

    return chosen > 0 && chosen < DESCRIPTORS ? (int)chosen : DESCRIPTORS;
}

/* A file that finds no place, and has no other, is closed. */
int file_place(struct process *process, struct file *file, int at_least, bool cloexec)
{
    int most = limit();

    file_hold(file);
    for (int fd = at_least; fd < most; fd++) {
        if (process->slots[fd].file != NULL)
            continue;
        process->slots[fd] = (struct slot){.file = file, .cloexec = cloexec};
        if ((unsigned)fd >= process->highest)
            process->highest = (unsigned)fd + 1;
        return fd;
    }
    file_let_go(file);
    return -EMFILE;
}

int file_close(struct process *process, int fd)
{
    struct file *file = file_of(process, fd);

    if (file == NULL)
        return -EBADF;
    process->slots[fd].file = NULL;
    while (process->highest > 0 && process->slots[process->highest - 1].file == NULL)
        process->highest--;
    file_let_go(file);
    return 0;
}

unsigned file_events(const struct file *file)
{
    switch (file->kind) {
    case FILE_SOCKET:
        return sockets_events(file);
    case FILE_PIPE:
        return pipes_events(file);
    case FILE_PIDFD:
        return process_events(file);
    case FILE_WATCH:
        return waits_events(file);
    case FILE_MEMORY:
    case FILE_NULL:
        break;
    }
    return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

int files_examine(int fd, struct dxi_nature *ret)
{
    static const enum dxi_sort sorts[] = {
        [FILE_SOCKET] = DXI_SORT_SOCKET, [FILE_PIPE] = DXI_SORT_PIPE,
        [FILE_PIDFD] = DXI_SORT_NONE,    [FILE_WATCH] = DXI_SORT_NONE,
        [FILE_MEMORY] = DXI_SORT_FILE,   [FILE_NULL] = DXI_SORT_PIPE,
    };
    const struct file *file = file_of(kernel.running, fd);

    if (file == NULL)
        return -EBADF;
    *ret = (struct dxi_nature){
        .sort = sorts[file->kind],
        .readable = file->kind != FILE_PIPE || !file->writes,
        .writable = file->kind != FILE_PIPE || file->writes,
        .cloexec = kernel.running->slots[fd].cloexec,
        .is_fifo = file->kind == FILE_PIPE,
        .device = file->kind,
        .inode = file->number,
    };
    if (file->kind == FILE_PIPE)
        ret->inode = (uint64_t)(uintptr_t)file->pipe;
    return 0;
}

int files_duplicate(int fd, int at_least)
{
    struct file *file = file_of(kernel.running, fd);

    if (file == NULL)
        return -EBADF;
    if (at_least < 0 || at_least >= limit())
        return -EINVAL;
    return file_place(kernel.running, file, at_least, true);
}

int files_replace(int fd, int number)
{
    struct file *file = file_of(kernel.running, fd);

    if (fd == number)
        return 0;
    if (file == NULL || number < 0 || number >= limit())
        return -EBADF;
    file_hold(file);
    if (file_of(kernel.running, number) != NULL)
        file_close(kernel.running, number);
    file_place(kernel.running, file, number, false);
    file_let_go(file);
    return 0;
}

int files_set_cloexec(int fd, bool on)
{
    if (file_of(kernel.running, fd) == NULL)
        return -EBADF;
    kernel.running->slots[fd].cloexec = on;
    return 0;
}

int files_set_nonblock(int fd, bool on)
{
    struct file *file = file_of(kernel.running, fd);

    if (file == NULL)
        return -EBADF;
    bool changes = file->nonblocking != on;

    file->nonblocking = on;
    return changes;
}

int files_open(const char *path, int flags)
{
    (void)flags;
    if (strcmp(path, "/dev/null") != 0)
        return -ENOENT;
    return file_place(kernel.running, file_make(FILE_NULL), 0, true);
}
