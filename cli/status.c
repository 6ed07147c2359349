/* SPDX-License-Identifier: MIT */
/* Exit statuses; see status.h. */
#include "status.h"

#include <errno.h>

int status_of_start(int result)
{
    switch (result) {
    case -ENOENT:
        return STATUS_NOT_FOUND;
    case -EAGAIN:
    case -EINVAL:
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EOPNOTSUPP:
        return STATUS_FAILURE;
    default:
        return STATUS_CANNOT_EXECUTE;
    }
}
