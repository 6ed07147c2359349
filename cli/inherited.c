/* SPDX-License-Identifier: MIT */
/* Descriptors to be passed on; see inherited.h. */
#include "inherited.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int add(inherited *self, int fd)
{
    dx_descriptor *list = realloc(self->list, (self->count + 1) * sizeof(*list));

    if (!list)
        return -ENOMEM;
    self->list = list;
    self->list[self->count++] = (dx_descriptor){.fd = fd, .target = fd};
    return 0;
}

int inherited_find(inherited *self)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    int result = 0;

    *self = (inherited){0};
    while (directory && result == 0 && (entry = readdir(directory))) {
        int fd = (int)strtol(entry->d_name, NULL, 10); /* 0 for "." and ".." */
        int flags = fd > STDERR_FILENO ? fcntl(fd, F_GETFD) : -1;

        /* What this program itself has open is close-on-exec. */
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            result = add(self, fd);
    }
    if (directory)
        closedir(directory);
    return result;
}

void inherited_close(inherited *self)
{
    size_t i;

    for (i = 0; i < self->count; i++)
        close(self->list[i].fd);
    free(self->list);
    *self = (inherited){0};
}
