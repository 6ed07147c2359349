/* SPDX-License-Identifier: MIT */
/*
 * The table of Linux, and the table in force.
 */
#include "os/linux.h"

const struct dxi_os dxi_linux = {
    .allocate = dxi_linux_allocate,
    .resize = dxi_linux_resize,
    .release = dxi_linux_release,
    .now_ns = dxi_linux_now_ns,
    .processors = dxi_linux_processors,
    .several_processors = dxi_linux_several_processors,
    .processor = dxi_linux_processor,
    .single_threaded = dxi_linux_single_threaded,

    .socketpair = dxi_linux_socketpair,
    .send = dxi_linux_send,
    .receive = dxi_linux_receive,
    .shutdown = dxi_linux_shutdown,
    .socket_get = dxi_linux_socket_get,
    .socket_set = dxi_linux_socket_set,
    .socket_connected = dxi_linux_socket_connected,
    .queued = dxi_linux_queued,
    .examine = dxi_linux_examine,
    .read = dxi_linux_read,
    .write = dxi_linux_write,
    .region_create = dxi_linux_region_create,
    .region_map = dxi_linux_region_map,
    .region_unmap = dxi_linux_region_unmap,

    .poll = dxi_linux_poll,
    .watch_open = dxi_linux_watch_open,
    .watch = dxi_linux_watch,
    .watched = dxi_linux_watched,
    .close = dxi_linux_close,
    .discard = dxi_linux_discard,
    .set_cloexec = dxi_linux_set_cloexec,
    .set_nonblock = dxi_linux_set_nonblock,
    .duplicate = dxi_linux_duplicate,
    .replace = dxi_linux_replace,
    .pipe = dxi_linux_pipe,
    .open = dxi_linux_open,

    .pid = dxi_linux_pid,
    .parent_pid = dxi_linux_parent_pid,
    .resident = dxi_linux_resident,
    .pidfd_open = dxi_linux_pidfd_open,
    .peer_pidfd = dxi_linux_peer_pidfd,
    .signal = dxi_linux_signal,
    .signal_group = dxi_linux_signal_group,
    .reap = dxi_linux_reap,
    .start = dxi_linux_start,
    .fork = dxi_linux_fork,
};

const struct dxi_os *dxi_os = &dxi_linux;
