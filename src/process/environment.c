/* SPDX-License-Identifier: MIT */
/*
 * The environment of a child: a list of its own, so that the parent's is never written.
 *
 * DUPLEX_FD is a promise to one program. A parent that was itself started by duplex may still have
 * it, and a child that is handed nothing must not believe it.
 */
#include "process/environment.h"

#include "os/os.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HANDOVER_NAME "DUPLEX_FD"

enum { HANDOVER_SIZE = sizeof(HANDOVER_NAME "=2147483647") };

static size_t count(char *const *list)
{
    size_t length = 0;

    while (list && list[length])
        length++;
    return length;
}

static size_t name_length(const char *entry)
{
    return strcspn(entry, "=");
}

static bool same_name(const char *entry, const char *name, size_t length)
{
    return name_length(entry) == length && memcmp(entry, name, length) == 0;
}

/* Take a variable out wherever it stands: some programs write one twice. */
static size_t without(char **list, size_t length, const char *name, size_t name_size)
{
    size_t kept = 0;

    for (size_t i = 0; i < length; i++) {
        if (!same_name(list[i], name, name_size))
            list[kept++] = list[i];
    }
    return kept;
}

int dxi_environment_make(char ***ret, char *const *base, char *const *changes, int channel)
{
    if (!base)
        base = environ;
    size_t most = count(base) + count(changes) + 2;
    char **list = dxi_os->allocate(most * sizeof(*list) + HANDOVER_SIZE);
    size_t length = count(base);

    if (!list)
        return -ENOMEM;
    if (length > 0)
        memcpy(list, base, length * sizeof(*list));
    length = without(list, length, HANDOVER_NAME, strlen(HANDOVER_NAME));
    for (; changes && *changes; changes++) {
        size_t size = name_length(*changes);

        if (size == 0) {
            dxi_os->release(list);
            return -EINVAL;
        }
        length = without(list, length, *changes, size);
        if ((*changes)[size] == '=')
            list[length++] = *changes;
    }
    if (channel >= 0) {
        char *handover = (char *)(list + most);

        snprintf(handover, HANDOVER_SIZE, HANDOVER_NAME "=%d", channel);
        length = without(list, length, HANDOVER_NAME, strlen(HANDOVER_NAME));
        list[length++] = handover;
    }
    list[length] = NULL;
    *ret = list;
    return 0;
}

const char *dxi_environment_get(char *const *environment, const char *name)
{
    size_t length = strlen(name);

    for (; *environment; environment++) {
        if (same_name(*environment, name, length) && (*environment)[length] == '=')
            return *environment + length + 1;
    }
    return NULL;
}
