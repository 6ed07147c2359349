/* SPDX-License-Identifier: MIT */
/*
 * See listen.h. The variables name this process, so its children do not believe them; they can stay
 * while a part of what they promise is unclaimed.
 */
#include "channel/listen.h"

#include "channel/channel.h"
#include "os/os.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLE_PID "LISTEN_PID"
#define VARIABLE_COUNT "LISTEN_FDS"
#define VARIABLE_NAMES "LISTEN_FDNAMES"
#define VARIABLE_PIDFD "LISTEN_PIDFDID"

/* What a descriptor is called that has no name, and one that is somebody's already. */
#define NAME_NONE "unknown"
#define NAME_CLAIMED "claimed"

enum { FIRST = 3, PASSED_MAX = 65536 };

/* A number above 0, or -EINVAL. */
static long parse(const char *text)
{
    char *end;

    if (*text < '1' || *text > '9')
        return -EINVAL;
    errno = 0;
    long number = strtol(text, &end, 10);

    return *end != '\0' || errno != 0 || number > INT_MAX ? -EINVAL : number;
}

/* How many descriptors were passed to this program. 0: none to this one. */
static long count_passed(dx_failure *failure)
{
    const char *pid = getenv(VARIABLE_PID);
    const char *count = getenv(VARIABLE_COUNT);

    if (pid == NULL || count == NULL)
        return dxi_fail(failure, -ENOENT,
                        "no descriptors were passed to this program: %s is not in its environment",
                        pid == NULL ? VARIABLE_PID : VARIABLE_COUNT);
    if (parse(pid) < 0)
        return dxi_fail(failure, -EINVAL, VARIABLE_PID " holds '%.64s', which is no process", pid);
    if (parse(pid) != (long)dxi_os->pid())
        return dxi_fail(failure, -ENOENT,
                        "descriptors were passed to the process %.64s, which is not this one", pid);
    long passed = parse(count);

    if (passed < 0 || passed > PASSED_MAX)
        return dxi_fail(failure, -EINVAL,
                        VARIABLE_COUNT " holds '%.64s', which is no number of descriptors", count);
    return passed;
}

/* The next name in a list, which is at least one name long. Moves the list on, NULL at its end. */
static size_t next_name(const char **list, const char **ret)
{
    size_t size = strcspn(*list, ":");

    *ret = *list;
    *list = (*list)[size] == ':' ? *list + size + 1 : NULL;
    return size;
}

static bool is_name(const char *name, size_t size, const char *wanted)
{
    return strlen(wanted) == size && memcmp(name, wanted, size) == 0;
}

int dxi_listen_find(const char *name, dx_failure *failure, size_t *ret_index)
{
    const char *list = getenv(VARIABLE_NAMES);
    long passed = count_passed(failure);
    long names = 0;
    long found = -1;

    if (passed < 0)
        return (int)passed;
    if (list == NULL) {
        found = name == NULL ? 0 : -1;
    } else {
        while (list != NULL) {
            const char *entry;
            size_t size = next_name(&list, &entry);
            bool wanted =
                name != NULL ? is_name(entry, size, name) : !is_name(entry, size, NAME_CLAIMED);

            if (wanted && found < 0)
                found = names;
            names++;
        }
        if (names != passed)
            return dxi_fail(failure, -EINVAL,
                            "%ld descriptors were passed to this program, with %ld names", passed,
                            names);
    }
    if (found < 0)
        return dxi_fail(failure, -ENOENT, "no descriptor was passed to this program%s%.64s%s",
                        name ? " with the name '" : " that is not claimed already",
                        name ? name : "", name ? "'" : "");
    *ret_index = (size_t)found;
    return FIRST + (int)found;
}

/* The names with this one taken out, or NULL if none remains or memory does not suffice. */
static char *names_without(size_t index)
{
    const char *list = getenv(VARIABLE_NAMES);
    const char *count = getenv(VARIABLE_COUNT);
    long passed = count ? parse(count) : 0;
    size_t each =
        sizeof(NAME_CLAIMED) > sizeof(NAME_NONE) ? sizeof(NAME_CLAIMED) : sizeof(NAME_NONE);
    char *text = dxi_os->allocate((list ? strlen(list) : (size_t)passed * each) + each);
    char *end = text;
    bool remain = false;

    for (long i = 0; text != NULL && i < passed; i++) {
        const char *entry = NAME_NONE;
        size_t size = list != NULL ? next_name(&list, &entry) : strlen(entry);

        if ((size_t)i == index) {
            entry = NAME_CLAIMED;
            size = strlen(entry);
        }
        remain = remain || !is_name(entry, size, NAME_CLAIMED);
        if (i > 0)
            *end++ = ':';
        memcpy(end, entry, size);
        end += size;
        *end = '\0';
    }
    if (!remain) {
        dxi_os->release(text);
        return NULL;
    }
    return text;
}

void dxi_listen_forget(size_t index)
{
    char *names = names_without(index);
    bool kept = names != NULL && setenv(VARIABLE_NAMES, names, 1) == 0;

    dxi_os->release(names);
    if (kept)
        return;
    unsetenv(VARIABLE_PID);
    unsetenv(VARIABLE_COUNT);
    unsetenv(VARIABLE_NAMES);
    unsetenv(VARIABLE_PIDFD);
}
