/* SPDX-License-Identifier: MIT */
/*
 * The environment of a child: a list of its own, so that the parent's is never written.
 *
 * A variable that hands over a descriptor is a promise to one program. A parent to whom it was made
 * may still have it, and a child that is handed nothing must not believe it. What the caller writes
 * into an environment itself is meant, and stays.
 */
#include "process/environment.h"

#include "os/os.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static const char *const promises[] = {
    "DUPLEX_FD",      "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE",
    "WAYLAND_SOCKET", "LISTEN_FDS",      "LISTEN_PID",
    "LISTEN_FDNAMES", "LISTEN_PIDFDID",
};

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

int dxi_environment_make(char ***ret, char *const *base, char *const *changes, char *const *handed)
{
    bool inherited = base == NULL;

    if (inherited)
        base = environ;
    size_t length = count(base);
    char **list = dxi_os->allocate((length + count(changes) + count(handed) + 1) * sizeof(*list));

    if (!list)
        return -ENOMEM;
    if (length > 0)
        memcpy(list, base, length * sizeof(*list));
    for (size_t i = 0; inherited && i < sizeof(promises) / sizeof(promises[0]); i++)
        length = without(list, length, promises[i], strlen(promises[i]));
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
    for (; *handed; handed++) {
        length = without(list, length, *handed, name_length(*handed));
        list[length++] = *handed;
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
