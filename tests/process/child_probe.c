/* SPDX-License-Identifier: MIT */
/*
 * Says on standard output how it was born. Usage: child_probe QUESTION..., each answered by a line.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

/* The open descriptors, but for those that valgrind keeps beyond the limit that it shows. */
static void descriptors(void)
{
    struct rlimit limit;
    DIR *directory = opendir("/proc/self/fd");
    int open[4096] = {0};

    getrlimit(RLIMIT_NOFILE, &limit);
    for (struct dirent *entry; (entry = readdir(directory));) {
        int fd = atoi(entry->d_name);

        if (entry->d_name[0] != '.' && fd != dirfd(directory) && (rlim_t)fd < limit.rlim_cur &&
            fd < 4096)
            open[fd] = 1;
    }
    closedir(directory);
    for (int fd = 0, count = 0; fd < 4096; fd++) {
        if (open[fd])
            printf("%s%d", count++ ? " " : "", fd);
    }
    printf("\n");
}

/* What a descriptor is: its file's device and number, so that two can be compared. */
static void identity_of(int fd)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        printf("%d: %s\n", fd, strerror(errno));
    else
        printf("%d: %llu/%llu%s\n", fd, (unsigned long long)status.st_dev,
               (unsigned long long)status.st_ino,
               fcntl(fd, F_GETFD) & FD_CLOEXEC ? " close-on-exec" : "");
}

static void read_line(void)
{
    char line[4096];

    printf("read: %s\n", fgets(line, sizeof(line), stdin) ? line : "the end");
}

static void limit(int resource)
{
    struct rlimit limit;

    getrlimit((__typeof__(RLIMIT_NOFILE))resource, &limit);
    printf("%llu %llu\n", (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
}

/* What was handed to it. The instrument of ./dev coverage adds a variable of its own. */
static void environment(void)
{
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, "__LLVM_PROFILE", strlen("__LLVM_PROFILE")) != 0)
            printf("%s\n", *entry);
}

static void answer(const char *question, const char *rest)
{
    char path[4096];

    if (strcmp(question, "descriptors") == 0)
        descriptors();
    else if (strcmp(question, "directory") == 0)
        printf("%s\n", getcwd(path, sizeof(path)));
    else if (strcmp(question, "variable") == 0)
        printf("%s=%s\n", rest, getenv(rest) ? getenv(rest) : "(none)");
    else if (strcmp(question, "environment") == 0)
        environment();
    else if (strcmp(question, "file") == 0)
        identity_of(atoi(rest));
    else if (strcmp(question, "read") == 0)
        read_line();
    else if (strcmp(question, "complain") == 0)
        fprintf(stderr, "a complaint\n");
    else if (strcmp(question, "group") == 0)
        printf("%s %s\n", getpgrp() == getpid() ? "leader" : "member",
               getsid(0) == getpid() ? "session" : "no session");
    else if (strcmp(question, "limit") == 0)
        limit(atoi(rest));
    else if (strcmp(question, "no-new-privileges") == 0)
        printf("%d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    else
        exit(2);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    /* A question with a colon has its object behind it: "limit:7". */
    for (int i = 1; i < argc; i++) {
        char *rest = strchr(argv[i], ':');

        if (rest)
            *rest++ = '\0';
        answer(argv[i], rest);
    }
    return 0;
}
