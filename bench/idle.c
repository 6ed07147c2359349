/* SPDX-License-Identifier: MIT */
/*
 * What an open conversation costs while nobody speaks. Going to wait costs something once, which an
 * hour of silence would multiply: the parent waits twice, for a moment and for long, and what counts
 * is the difference; the child, which waits all the time, is looked at after the moment only.
 */
#include "bench.h"
#include "peers/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const double moment = 0.1;

static double cpu_of(pid_t process)
{
    struct timespec used;
    clockid_t clock;

    if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &used) < 0)
        return 0;
    return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
}

/* The processor time of all children so far: a peer does not say which one serves. */
static double cpu_of_children(void)
{
    char path[64];
    char numbers[256] = "";
    char *place = numbers;
    double sum = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    file = fopen(path, "re");
    if (!file)
        return 0;
    if (!fgets(numbers, sizeof(numbers), file))
        numbers[0] = '\0';
    fclose(file);
    for (;;) {
        char *end;
        long process = strtol(place, &end, 10);

        if (end == place)
            return sum;
        sum += cpu_of((pid_t)process);
        place = end;
    }
}

int idle_measure(const struct peer *peer, void *pair, double seconds, struct figures *ret)
{
    double begun = side_cpu();
    int error = peer->idle(pair, moment);
    double once = side_cpu() - begun;
    double children = cpu_of_children();
    double spent;

    /* It has worked before: no time at all means that it could not be looked at. */
    if (error == 0 && children <= 0)
        error = -ENOTSUP;
    begun = side_cpu();
    if (error == 0)
        error = peer->idle(pair, seconds);
    spent = side_cpu() - begun - once;
    ret->idle_parent = spent > 0 ? spent / (seconds - moment) : 0;
    ret->idle_child = (cpu_of_children() - children) / seconds;
    return error;
}
