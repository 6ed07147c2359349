/* SPDX-License-Identifier: MIT */
/* The descriptors that many workers take; see map_limit.h. */
#include "map_limit.h"

#include "console.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

enum {
    PER_WORKER = 4, /* its pidfd, its standard error, and two pipes at most */
    OWN = 32
};

int map_limit_raise(const map_options *options, dx_limit *ret)
{
    rlim_t needed = (rlim_t)options->workers * PER_WORKER + OWN;
    struct rlimit limit;
    rlim_t soft;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        complain("cannot learn how many descriptors may be open: %s", strerror(errno));
        return -EINVAL;
    }
    soft = limit.rlim_cur;
    *ret = (dx_limit){.resource = RLIMIT_NOFILE, .soft = soft, .hard = limit.rlim_max};
    if (soft == RLIM_INFINITY || soft >= needed)
        return 0;
    limit.rlim_cur =
        limit.rlim_max == RLIM_INFINITY || limit.rlim_max > needed ? needed : limit.rlim_max;
    if (limit.rlim_cur < needed) {
        complain("%u workers need %llu descriptors, and %llu may be open; see 'ulimit -Hn'",
                 options->workers, (unsigned long long)needed, (unsigned long long)limit.rlim_cur);
        return -EMFILE;
    }
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return 0;
    complain("cannot raise the limit of open descriptors: %s", strerror(errno));
    return -EINVAL;
}
