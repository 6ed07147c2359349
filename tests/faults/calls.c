/* SPDX-License-Identifier: MIT */
/*
 * See calls.h.
 */
#include "calls.h"

#include <errno.h>
#include <string.h>

#define DESCRIBE(id, name, errors, source) {name, errors, source},

const struct fault_kind fault_kinds[FAULT_CALLS] = {FAULT_OF_TABLE(DESCRIBE)
                                                        FAULT_OF_KERNEL(DESCRIBE)};

/* strerrorname_np(3) would do in the other direction, and only glibc has it. */
static const struct {
    const char *name;
    int number;
} errors[] = {
    {"short", FAULT_SHORT},
#define ERROR(name)                                                                                \
    {                                                                                              \
#name, name                                                                                \
    }
    ERROR(E2BIG),           ERROR(EACCES),       ERROR(EAFNOSUPPORT),
    ERROR(EAGAIN),          ERROR(EALREADY),     ERROR(EBADF),
    ERROR(EBUSY),           ERROR(ECHILD),       ERROR(ECONNREFUSED),
    ERROR(ECONNRESET),      ERROR(EDESTADDRREQ), ERROR(EDQUOT),
    ERROR(EEXIST),          ERROR(EFAULT),       ERROR(EFBIG),
    ERROR(EINTR),           ERROR(EINVAL),       ERROR(EIO),
    ERROR(EISCONN),         ERROR(EISDIR),       ERROR(ELIBBAD),
    ERROR(ELOOP),           ERROR(EMFILE),       ERROR(EMSGSIZE),
    ERROR(ENAMETOOLONG),    ERROR(ENFILE),       ERROR(ENOBUFS),
    ERROR(ENODATA),         ERROR(ENODEV),       ERROR(ENOENT),
    ERROR(ENOEXEC),         ERROR(ENOMEM),       ERROR(ENOPKG),
    ERROR(ENOPROTOOPT),     ERROR(ENOSPC),       ERROR(ENOSYS),
    ERROR(ENOTCONN),        ERROR(ENOTDIR),      ERROR(ENOTSOCK),
    ERROR(ENOTTY),          ERROR(ENXIO),        ERROR(EOPNOTSUPP),
    ERROR(EOVERFLOW),       ERROR(EPERM),        ERROR(EPIPE),
    ERROR(EPROTONOSUPPORT), ERROR(ESRCH),        ERROR(ETOOMANYREFS),
    ERROR(ETXTBSY),         ERROR(EUSERS),
#undef ERROR
};

static int is_word(const char *word, const char *text, size_t length)
{
    return strlen(word) == length && memcmp(word, text, length) == 0;
}

int fault_call_by_name(const char *name, size_t length)
{
    for (int call = 0; call < FAULT_CALLS; call++)
        if (is_word(fault_kinds[call].name, name, length))
            return call;
    return -1;
}

int fault_error_by_name(const char *name, size_t length)
{
    if (length > 0 && name[length - 1] == '+')
        length--;
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
        if (is_word(errors[i].name, name, length))
            return errors[i].number;
    return 0;
}
