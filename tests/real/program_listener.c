/* SPDX-License-Identifier: MIT */
/*
 * A service as systemd starts them, which never heard of duplex: it finds its connection with
 * sd_listen_fds_with_names(3) of libsystemd, which must be called NAME and be a connected socket of
 * the type, and answers each read with the same bytes until the end. program_listener NAME TYPE
 *
 * Exits with 77 where there is no libsystemd, which is loaded by hand: the build does not need it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTEN_FDS_START = 3, NOT_HERE = 77 };

struct sd {
    int (*listen_fds_with_names)(int unset_environment, char ***ret_names);
    int (*is_socket)(int fd, int family, int type, int listening);
};

static void *symbol(void *library, const char *name)
{
    void *found = dlsym(library, name);

    if (found == NULL) {
        fprintf(stderr, "libsystemd has no %s\n", name);
        exit(1);
    }
    return found;
}

static struct sd load(void)
{
    void *library = dlopen("libsystemd.so.0", RTLD_NOW);
    struct sd sd;

    if (library == NULL)
        exit(NOT_HERE);
    *(void **)&sd.listen_fds_with_names = symbol(library, "sd_listen_fds_with_names");
    *(void **)&sd.is_socket = symbol(library, "sd_is_socket");
    return sd;
}

static void demand(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "program_listener: %s\n", what);
        exit(1);
    }
}

static void echo(int fd)
{
    char bytes[65536];
    ssize_t size;

    while ((size = read(fd, bytes, sizeof(bytes))) > 0)
        for (ssize_t done = 0; done < size;) {
            ssize_t written = send(fd, bytes + done, (size_t)(size - done), MSG_NOSIGNAL);

            demand(written > 0, strerror(errno));
            done += written;
        }
    demand(size == 0, strerror(errno));
}

int main(int argc, char *argv[])
{
    struct sd sd = load();
    char **names = NULL;

    demand(argc == 3, "usage: program_listener NAME TYPE");
    int count = sd.listen_fds_with_names(1, &names);

    demand(count == 1, count < 0 ? strerror(-count) : "there is not one descriptor");
    demand(strcmp(names[0], argv[1]) == 0, names[0]);
    demand(sd.is_socket(LISTEN_FDS_START, AF_UNIX, (int)strtol(argv[2], NULL, 10), 0) > 0,
           "it is no connected socket of this type");
    demand(fcntl(LISTEN_FDS_START, F_GETFD) == FD_CLOEXEC, "it is not close-on-exec");
    demand(fcntl(LISTEN_FDS_START + 1, F_GETFD) < 0, "there is another descriptor");
    demand(getenv("LISTEN_FDS") == NULL, "the promise is still there");
    demand(sd.listen_fds_with_names(0, NULL) == 0, "the promise is believed twice");
    free(names[0]);
    free(names);
    echo(LISTEN_FDS_START);
    return 0;
}
