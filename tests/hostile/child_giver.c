/* SPDX-License-Identifier: MIT */
/*
 * A child that sends descriptors, or says that it does: other ones than it announced, too many, its own
 * end of the conversation, or one that hangs whoever closes it.
 */
#include "actor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>

static int many[HAND_DESCRIPTORS_MAX];

/* So many times the same file; the parent gets as many descriptors. */
static const int *some(size_t count)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    for (size_t i = 0; i < count; i++)
        many[i] = null;
    return many;
}

static void give(unsigned announced, const int *descriptors, size_t count)
{
    struct hand_frame frame = {.length = 4, .kind = MESSAGE, .descriptors = (uint16_t)announced};

    hand_say(&frame, "gift", 4, descriptors, count);
}

static void undeclared(void)
{
    if (hand.out_fast) {
        const struct hand_frame word = {.kind = WAKE};
        uint8_t header[HAND_HEADER];

        hand_encode(header, &word);
        hand_say_bytes(header, sizeof(header), some(1), 1);
        return;
    }
    give(0, some(1), 1);
}

static void too_few(void)
{
    give(2, some(1), 1);
}

static void none(void)
{
    give(1, NULL, 0);
}

static void too_many(void)
{
    give(1, some(2), 2);
}

static void over_the_limit(void)
{
    give(3, some(3), 3);
}

static void as_many_as_can_be(void)
{
    give(HAND_DESCRIPTORS_MAX, some(HAND_DESCRIPTORS_MAX), HAND_DESCRIPTORS_MAX);
}

static void flood(void)
{
    const int *descriptors = some(HAND_DESCRIPTORS_MAX);

    for (;;)
        give(HAND_DESCRIPTORS_MAX, descriptors, HAND_DESCRIPTORS_MAX);
}

/* Tell in a message how it went, and end. */
static void report(const char *text)
{
    hand_say_text(MESSAGE, 0, text);
    hand_say_end();
    if (!hand.out_fast)
        shutdown(hand.fd, SHUT_WR);
}

/* The parent has the kernel refuse them: the sender learns it. */
static void unwelcome(void)
{
    uint8_t byte = 0;
    struct iovec part = {&byte, 1};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.align = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};

    memcpy(CMSG_DATA(&control.align), some(1), sizeof(int));
    hand_demand(sendmsg(hand.fd, &message, MSG_NOSIGNAL) < 0, 50);
    report(strerrorname_np(errno));
}

/* Nobody sees an end now, but by the pidfd. */
static void own_end(void)
{
    give(1, &hand.fd, 1);
    _exit(0);
}

/*
 * A connection whose last close waits until its bytes have been read, which nobody does: SO_LINGER.
 * What is sent of it is the last.
 */
static int make_hanging_descriptor(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger linger = {1, 30};
    socklen_t size = sizeof(address);
    static char bytes[65536];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int hanging = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    hand_demand(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0, 51);
    hand_demand(listen(listener, 1) == 0, 52);
    hand_demand(getsockname(listener, (struct sockaddr *)&address, &size) == 0, 53);
    hand_demand(connect(hanging, (struct sockaddr *)&address, sizeof(address)) == 0, 54);
    hand_demand(accept4(listener, NULL, NULL, SOCK_CLOEXEC) >= 0, 55);
    for (int quiet = 0; quiet < 3; pause_ms(1)) {
        while (send(hanging, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            quiet = 0;
        quiet++;
    }
    hand_demand(setsockopt(hanging, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0, 56);
    return hanging;
}

static void give_hanging(unsigned announced, size_t count)
{
    int hanging[4] = {-1, -1, -1, -1};

    for (size_t i = 0; i < count; i++)
        hanging[i] = make_hanging_descriptor();
    give(announced, hanging, count);
    for (size_t i = 0; i < count; i++)
        close(hanging[i]);
}

/* In a message, which the parent leaves untaken. */
static void hanging(void)
{
    give_hanging(1, 1);
    report("it is yours");
}

static void hanging_undeclared(void)
{
    give_hanging(0, 1);
}

/* More than the parent has room for: those that it never sees hang, too. */
static void hanging_surplus(void)
{
    give_hanging(4, 4);
}

/*
 * More messages than wait in the parent, and packets of nothing among them, which look like the end. An
 * accomplice outlives this child, so that its death frees nobody.
 */
static void hanging_flood(void)
{
    enum { MESSAGES = 12 };
    int hanging[MESSAGES];

    for (int i = 0; i < MESSAGES; i++)
        hanging[i] = make_hanging_descriptor();
    if (fork() == 0) {
        for (int i = 0; i < MESSAGES; i++)
            close(hanging[i]);
        close(hand.fd);
        sit();
    }
    for (int i = 0; i < MESSAGES; i++) {
        give(1, &hanging[i], 1);
        close(hanging[i]);
        if (!hand.out_fast)
            send(hand.fd, "", 0, MSG_NOSIGNAL);
    }
}

/* As many packets of nothing as a buffer of the usual greatest size holds, and more than others do. */
static void hanging_behind_nothing(void)
{
    enum { PACKETS = 500, BUFFER = 1 << 20 };
    int hanging = make_hanging_descriptor();
    int size = BUFFER;

    if (fork() == 0) {
        close(hanging);
        close(hand.fd);
        sit();
    }
    hand_demand(setsockopt(hand.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0, 57);
    for (int i = 0; i < PACKETS; i++)
        hand_demand(send(hand.fd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) == 0, 58);
    give(1, &hanging, 1);
    close(hanging);
}

ACTOR_MAIN({"hanging-behind-nothing", hanging_behind_nothing, false},
           {"hanging-flood", hanging_flood, false}, {"undeclared", undeclared, false},
           {"too-few", too_few, false}, {"none", none, false}, {"too-many", too_many, false},
           {"over-the-limit", over_the_limit, false},
           {"as-many-as-can-be", as_many_as_can_be, false}, {"flood", flood, false},
           {"unwelcome", unwelcome, false}, {"own-end", own_end, false},
           {"hanging", hanging, false}, {"hanging-undeclared", hanging_undeclared, false},
           {"hanging-surplus", hanging_surplus, false})
