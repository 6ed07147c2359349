/* SPDX-License-Identifier: MIT */
/*
 * A child that does to its socket what can be done to a socket, and to its parent's if it can get at it.
 */
#include "actor.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* One byte out of band, and nothing else. */
static void urgent(void)
{
    send(hand.fd, "!", 1, MSG_OOB | MSG_NOSIGNAL);
    sit();
}

/* A message whose last byte is out of band: a reader of the stream does not get it. */
static void urgent_in_message(void)
{
    const struct hand_frame frame = {.length = 3, .kind = MESSAGE};
    uint8_t bytes[HAND_HEADER + 2] = {0};

    hand_encode(bytes, &frame);
    hand_say_bytes(bytes, sizeof(bytes), NULL, 0);
    send(hand.fd, "!", 1, MSG_OOB | MSG_NOSIGNAL);
    sit();
}

static void urgent_flood(void)
{
    for (;;)
        send(hand.fd, "!", 1, MSG_OOB | MSG_NOSIGNAL);
}

static void shut_reading(void)
{
    shutdown(hand.fd, SHUT_RD);
    hand_say_text(MESSAGE, 0, "shut");
    sit();
}

static void shut_reading_late(void)
{
    pause_ms(50);
    shutdown(hand.fd, SHUT_RD);
    sit();
}

static void shut_writing(void)
{
    shutdown(hand.fd, SHUT_WR);
    sit();
}

static void shut_both(void)
{
    shutdown(hand.fd, SHUT_RDWR);
    sit();
}

static void shut_in_message(void)
{
    const struct hand_frame frame = {.length = 100, .kind = MESSAGE};

    hand_say(&frame, "so far", 6, NULL, 0);
    shutdown(hand.fd, SHUT_RDWR);
    sit();
}

/* Close it, and live on. */
static void close_end(void)
{
    close(hand.fd);
    sit();
}

static void flip(int fd)
{
    struct stat file;

    if (fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode))
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) ^ O_NONBLOCK);
}

/*
 * The flag belongs to what the parent has open, not to its descriptor: whoever gets a copy of that can
 * flip it. A child of the same user gets one by pidfd_getfd(2), if the system lets it.
 */
static void flip_blocking(void)
{
    enum { LOOKED_AT = 64 };
    int parent = (int)syscall(SYS_pidfd_open, getppid(), 0);
    int copies[LOOKED_AT];

    for (int fd = 0; fd < LOOKED_AT; fd++)
        copies[fd] = (int)syscall(SYS_pidfd_getfd, parent, fd, 0);
    for (;;) {
        for (int fd = 0; fd < LOOKED_AT; fd++)
            flip(copies[fd]);
        flip(hand.fd);
        pause_ms(1);
    }
}

/*
 * Have as many descriptors on their way as this user may: nobody reads those. It tells when no more go,
 * or when there are twice as many as its parent may have.
 */
static void exhaust(void)
{
    enum { EACH = 250, PAIRS = 4 };
    static int many[EACH];
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(many))];
    } control = {.align = {CMSG_LEN(sizeof(many)), SOL_SOCKET, SCM_RIGHTS}};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    for (int i = 0; i < EACH; i++)
        many[i] = null;
    memcpy(CMSG_DATA(&control.align), many, sizeof(many));
    for (int i = 0; i < PAIRS; i++) {
        struct iovec part = {"x", 1};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};
        int ends[2];

        hand_demand(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, 50);
        sendmsg(ends[0], &message, MSG_NOSIGNAL);
    }
    hand_say_text(MESSAGE, 0, "full");
    sit();
}

ACTOR_MAIN({"urgent", urgent, false}, {"urgent-in-message", urgent_in_message, false},
           {"urgent-flood", urgent_flood, false}, {"shut-reading", shut_reading, false},
           {"shut-reading-late", shut_reading_late, false}, {"shut-writing", shut_writing, false},
           {"shut-both", shut_both, false}, {"shut-in-message", shut_in_message, false},
           {"close", close_end, false}, {"flip-blocking", flip_blocking, false},
           {"exhaust", exhaust, false})
