/* SPDX-License-Identifier: MIT */
/*
 * Channels of descriptors that somebody else made. Each direction is looked at for itself: what it
 * is, whether it was opened for that, and what it can carry.
 */
#include "channel/attach.h"

#include "os/os.h"

#include <errno.h>
#include <sys/socket.h>

static const dx_channel_options defaults;

/* A connected socket; learns its type. */
static int examine_socket(int fd, enum dxi_medium *ret, int *ret_type, dx_failure *failure)
{
    int domain = 0;
    int error = dxi_os->socket_get(fd, SO_DOMAIN, &domain);

    if (error == 0)
        error = dxi_os->socket_get(fd, SO_TYPE, ret_type);
    if (error == 0) {
        error = dxi_os->socket_connected(fd);
        if (error == -ENOTCONN)
            return dxi_fail(failure, -EINVAL, "the socket %d is not connected", fd);
    }
    if (error < 0)
        return dxi_fail(failure, error, "cannot examine descriptor %d: %s", fd,
                        dx_error_text(error));
    if (domain != AF_UNIX && *ret_type != SOCK_STREAM)
        return dxi_fail(failure, -EINVAL,
                        "the socket %d is neither a stream nor a socket of AF_UNIX", fd);
    *ret = domain == AF_UNIX ? DXI_MEDIUM_UNIX : DXI_MEDIUM_SOCKET;
    return 0;
}

static int examine(int fd, bool reading, enum dxi_medium *ret, int *ret_type, dx_failure *failure)
{
    struct dxi_nature nature;
    int error = dxi_os->examine(fd, &nature);

    if (error == -EBADF)
        return dxi_fail(failure, error, "descriptor %d is not open", fd);
    if (error < 0)
        return dxi_fail(failure, error, "cannot examine descriptor %d: %s", fd,
                        dx_error_text(error));
    if (reading ? !nature.readable : !nature.writable)
        return dxi_fail(failure, -EINVAL, "descriptor %d is not open for %s", fd,
                        reading ? "reading" : "writing");
    *ret_type = SOCK_STREAM;
    switch (nature.sort) {
    case DXI_SORT_SOCKET:
        return examine_socket(fd, ret, ret_type, failure);
    case DXI_SORT_PIPE:
        *ret = DXI_MEDIUM_PIPE;
        return 0;
    case DXI_SORT_FILE:
        *ret = DXI_MEDIUM_FILE;
        return 0;
    case DXI_SORT_NONE:
        break;
    }
    return dxi_fail(failure, -EINVAL, "descriptor %d is no socket, pipe or file", fd);
}

int dxi_attach_examine(struct dxi_ends *ret, int read_fd, int write_fd, dx_channel_options *options)
{
    int type = SOCK_STREAM;
    int write_type = SOCK_STREAM;

    *ret = (struct dxi_ends){.read_fd = read_fd, .write_fd = write_fd};
    int error = examine(read_fd, true, &ret->read_medium, &type, options->failure);

    if (error == 0)
        error = examine(write_fd, false, &ret->write_medium, &write_type, options->failure);
    if (error < 0)
        return error;
    if (type != write_type)
        return dxi_fail(options->failure, -EINVAL, "the two %s are of different types",
                        ret->read_medium == DXI_MEDIUM_UNIX && ret->write_medium == DXI_MEDIUM_UNIX
                            ? "sockets"
                            : "directions");
    options->type = type == SOCK_STREAM      ? DX_STREAM
                    : type == SOCK_SEQPACKET ? DX_SEQPACKET
                                             : DX_DGRAM;
    error = dxi_channel_check_options(options);
    if (error == 0 && options->descriptor_limit > 0 && ret->read_medium != DXI_MEDIUM_UNIX)
        return dxi_fail(options->failure, -EOPNOTSUPP,
                        "descriptors travel over sockets of AF_UNIX only, and descriptor %d is "
                        "none: descriptor_limit must be 0",
                        read_fd);
    return error;
}

int dxi_attach_open(dx_channel **ret, const struct dxi_ends *ends,
                    const dx_channel_options *options)
{
    int error = dxi_channel_open(ret, ends, options);

    if (error < 0)
        return error;
    /* Whatever else could come along would take the place of descriptors. */
    if (ends->read_medium == DXI_MEDIUM_UNIX) {
        (void)dxi_os->socket_set(ends->read_fd, SO_PASSCRED, 0);
        (void)dxi_os->socket_set(ends->read_fd, SO_PASSSEC, 0);
    }
    (void)dxi_os->set_cloexec(ends->read_fd, true);
    (void)dxi_os->set_cloexec(ends->write_fd, true);
    return 0;
}

int dx_channel_attach(dx_channel **ret, int read_fd, int write_fd,
                      const dx_channel_options *options)
{
    dx_channel_options own = options != NULL ? *options : defaults;
    struct dxi_ends ends;

    if (ret == NULL)
        return dxi_fail(own.failure, -EINVAL, "dx_channel_attach() needs a place for the channel");
    int error = dxi_attach_examine(&ends, read_fd, write_fd, &own);

    return error < 0 ? error : dxi_attach_open(ret, &ends, &own);
}
