/* SPDX-License-Identifier: MIT */
/* What the figures were measured on. */
#include "bench.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

static void read_processor(char *ret, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];

    snprintf(ret, size, "unknown processor");
    while (file && fgets(line, sizeof(line), file)) {
        char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(ret, size, "%.*s", (int)size - 1, colon + 2);
            break;
        }
    }
    if (file)
        fclose(file);
}

void machine_describe(struct machine *ret)
{
    time_t now = time(NULL);
    struct utsname system;
    cpu_set_t allowed;
    struct tm parts;

    memset(ret, 0, sizeof(*ret));
    if (uname(&system) == 0)
        snprintf(ret->kernel, sizeof(ret->kernel), "%.*s %.*s", 20, system.sysname, 64,
                 system.release);
    read_processor(ret->processor, sizeof(ret->processor));
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
        ret->cpus = (unsigned)CPU_COUNT(&allowed);
    if (getloadavg(&ret->load, 1) != 1)
        ret->load = 0;
    if (gmtime_r(&now, &parts))
        strftime(ret->date, sizeof(ret->date), "%Y-%m-%dT%H:%M:%SZ", &parts);
}
