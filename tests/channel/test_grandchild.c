/* SPDX-License-Identifier: MIT */
/*
 * A grandchild that holds the child's end cannot hide the child's death: the pidfd tells of it, what
 * the child said is received, and then it is the end.
 */
#include "support.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAID = 20 };

/* What was taken in before the death was seen is still received: little, here. */
static const dx_channel_options narrow = {.message_limit = 16 * KIB};

/* What a child leaves behind, for the test to end. */
struct family {
    volatile pid_t grandchild;
    volatile bool floods;   /* the grandchild talks on, as fast as it can */
    volatile int linger_ms; /* how long the child lives */
};

/* What a child dies with, so that nobody takes it for forgotten. */
static dx_channel *volatile kept;

static struct family *new_family(bool floods)
{
    struct family *family =
        mmap(NULL, sizeof(*family), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(family, MAP_FAILED);
    family->floods = floods;
    /* The orphan becomes a child of the test, to be reaped by it. */
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    return family;
}

static void end_family(struct family *family)
{
    kill(family->grandchild, SIGKILL);
    ck_assert_int_eq(waitpid(family->grandchild, NULL, 0), family->grandchild);
    munmap(family, sizeof(*family));
}

/* Speak, leave a grandchild with the end, and exit. */
static int leave_a_grandchild(int fd, void *context)
{
    struct family *family = context;
    dx_channel *channel = child_channel(fd, NULL);

    kept = channel;
    for (unsigned i = 0; i < SAID; i++)
        harness_child_assert(send_numbered(channel, i, 1000, DX_FOREVER) == 0);
    /* The frames of the grandchild begin where those of the child end, so that they are frames. */
    pid_t grandchild = fork();

    harness_child_assert(grandchild >= 0);
    if (grandchild == 0) {
        uint8_t frame[16 + 100] = {[3] = 100, [4] = 2};

        while (family->floods && write(fd, frame, sizeof(frame)) == sizeof(frame))
            ;
        for (;;)
            pause();
    }
    family->grandchild = grandchild;
    sleep_ms(family->linger_ms);
    return 0;
}

/* All that the child said, then what the grandchild may add, then the end, in time. */
static void hear_to_the_end(dx_channel *channel, bool floods)
{
    uint64_t start = now_ms();
    unsigned heard = 0;
    dx_message message;
    int status;

    for (unsigned i = 0; i < SAID; i++)
        expect_numbered(channel, i, 1000, DX_FOREVER);
    while ((status = dx_recv(channel, &message, DX_FOREVER)) == 1) {
        ck_assert(floods);
        ck_assert_uint_eq(message.size, 100);
        /* One who does something with the messages never finds the socket empty. */
        if (++heard % 10 != 0)
            continue;
        sleep_ms(1);
        ck_assert_msg(now_ms() - start < 8000 * (uint64_t)slowness(),
                      "the child is long dead, and its channel goes on");
    }
    /* A frame of the grandchild may be cut where the child's conversation is. */
    ck_assert_msg(status == 0 || (floods && status == -EPIPE), "%d: %s", status,
                  dx_channel_explain(channel));
    ck_assert_int_eq(dx_recv(channel, &message, DX_FOREVER), status);
}

static void wait_for_death(const struct child *child)
{
    struct pollfd death = {.fd = child->pidfd, .events = POLLIN};

    ck_assert_int_eq(poll(&death, 1, 10000), 1);
}

static void check_end(dx_channel_type type, bool floods, bool dead_before)
{
    struct family *family = new_family(floods);
    struct child child;

    start_child(&child, type, leave_a_grandchild, family);
    dx_channel *channel = channel_to_child(&child, &narrow);

    dxi_channel_watch(channel, child.pidfd, false);
    if (dead_before)
        wait_for_death(&child);
    hear_to_the_end(channel, floods);
    ck_assert_int_eq(send_numbered(channel, 0, 10, DX_FOREVER), -EPIPE);
    dx_channel_close(channel);
    child_ended(&child);
    end_family(family);
}

EACH_TYPE(test_a_grandchild_cannot_hide_the_end_of_its_parent)
{
    check_end(type, false, false);
    check_end(type, false, true);
}

EACH_TYPE(test_a_grandchild_that_talks_on_cannot_hide_the_end_of_its_parent)
{
    check_end(type, true, false);
    check_end(type, true, true);
}

EACH_TYPE(test_a_sender_is_not_left_waiting_for_a_grandchild)
{
    struct family *family = new_family(false);
    struct child child;
    int status = 0;

    start_child(&child, type, leave_a_grandchild, family);
    dx_channel *channel = channel_to_child(&child, NULL);

    dxi_channel_watch(channel, child.pidfd, false);
    while (status == 0)
        status = send_numbered(channel, 0, 10000, DX_FOREVER);
    ck_assert_int_eq(status, -EPIPE);
    expect_explained(channel, "the peer has died");
    hear_to_the_end(channel, false);
    dx_channel_close(channel);
    child_ended(&child);
    end_family(family);
}

/*
 * The loop's way: poll both descriptors, process, and receive only what that has told of. An end that
 * it does not tell of is never heard.
 */
static void loop_to_the_end(dx_channel_type type, bool floods)
{
    struct family *family = new_family(floods);
    struct child child;
    unsigned got = 0;
    int status = -ETIMEDOUT;
    uint64_t start = now_ms();

    start_child(&child, type, leave_a_grandchild, family);
    dx_channel *channel = channel_to_child(&child, &narrow);

    dxi_channel_watch(channel, child.pidfd, false);
    while (status == -ETIMEDOUT || status == 1) {
        struct pollfd polled[2] = {
            {.fd = dx_channel_fd(channel), .events = (short)dx_channel_events(channel)},
            {.fd = child.pidfd, .events = POLLIN},
        };
        dx_message message;

        ck_assert_int_ge(poll(polled, 2, dx_channel_timeout_ms(channel)), 0);
        int ready = dx_channel_process(channel);

        for (int i = 0; ready == 1 && i < 10; i++) {
            status = dx_recv(channel, &message, DX_NOW);
            ck_assert(i > 0 || status != -ETIMEDOUT);
            if (status != 1)
                break;
            if (got < SAID)
                ck_assert(is_numbered(&message, got, 1000));
            got++;
        }
        sleep_ms(floods);
        ck_assert_msg(now_ms() - start < 8000 * (uint64_t)slowness(), "the end does not come");
    }
    ck_assert_uint_ge(got, SAID);
    ck_assert(status == 0 || (floods && status == -EPIPE));
    ck_assert_int_eq(dx_channel_events(channel), 0);
    dx_channel_close(channel);
    child_ended(&child);
    end_family(family);
}

EACH_TYPE(test_an_event_loop_learns_of_a_death_that_a_grandchild_hides)
{
    loop_to_the_end(type, false);
}

EACH_TYPE(test_an_event_loop_learns_of_a_death_that_a_grandchild_talks_over)
{
    loop_to_the_end(type, true);
}

/* What could not be sent to a child that died is no reason to stay in the loop. */
EACH_TYPE(test_nothing_is_left_to_poll_for_when_the_child_is_dead)
{
    struct family *family = new_family(false);
    struct child child;
    dx_message message;

    family->linger_ms = 50 * slowness();
    start_child(&child, type, leave_a_grandchild, family);
    dx_channel *channel = channel_to_child(&child, NULL);

    dxi_channel_watch(channel, child.pidfd, false);
    while (send_numbered(channel, 1, MIB, DX_NOW) == 0)
        ;
    ck_assert(is_pending(channel));
    wait_for_death(&child);
    for (int i = 0; i < 100; i++) {
        dx_channel_process(channel);
        while (dx_recv(channel, &message, DX_NOW) == 1)
            ;
    }
    expect_end(channel, DX_NOW);
    ck_assert_int_eq(dx_channel_events(channel), 0);
    ck_assert_int_eq(dx_channel_timeout_ms(channel), DX_FOREVER);
    dx_channel_close(channel);
    child_ended(&child);
    end_family(family);
}

static int pass_my_end(int fd, void *context)
{
    dx_channel *channel = child_channel(fd, NULL);
    int mine = dup(fd);
    dx_message message = with_descriptors("mine", 4, &mine, 1);

    (void)context;
    kept = channel;
    harness_child_assert(dx_send_message(channel, &message, DX_FOREVER) == 0);
    harness_child_assert(send_numbered(channel, 1, 10, DX_FOREVER) == 0);
    return 0;
}

/* The end lies in our own receive queue, or is ours: the socket never ends. */
EACH_TYPE(test_a_child_that_passed_its_end_to_us_and_died_has_ended)
{
    for (int taken = 0; taken < 2; taken++) {
        dx_channel_options options = {.descriptor_limit = 1};
        struct child child;
        dx_message message;
        int end = -1;

        start_child(&child, type, pass_my_end, NULL);
        dx_channel *channel = channel_to_child(&child, &options);

        dxi_channel_watch(channel, child.pidfd, false);
        ck_assert_int_eq(dx_recv(channel, &message, DX_FOREVER), 1);
        ck_assert_uint_eq(message.descriptor_count, 1);
        if (taken)
            end = dx_message_take(&message, 0);
        expect_numbered(channel, 1, 10, DX_FOREVER);
        expect_end(channel, DX_FOREVER);
        if (end >= 0)
            close(end);
        dx_channel_close(channel);
        child_ended(&child);
    }
}

EACH_TYPE(test_a_pidfd_that_is_owned_is_closed_with_the_channel)
{
    for (int owned = 0; owned < 2; owned++) {
        struct pair pair = open_pair(type);
        struct child child;

        start_child(&child, type, pass_my_end, NULL);
        int pidfd = dup(child.pidfd);

        dxi_channel_watch(pair.near, pidfd, owned);
        close_pair(&pair);
        ck_assert_int_eq(is_open(pidfd), !owned);
        if (!owned)
            close(pidfd);
        kill_child(&child);
    }
}

HARNESS_MAIN(
    "grandchild", OF_EACH_TYPE(test_a_grandchild_cannot_hide_the_end_of_its_parent),
    OF_EACH_TYPE_WITHIN(test_a_grandchild_that_talks_on_cannot_hide_the_end_of_its_parent, 40),
    OF_EACH_TYPE(test_a_sender_is_not_left_waiting_for_a_grandchild),
    OF_EACH_TYPE(test_an_event_loop_learns_of_a_death_that_a_grandchild_hides),
    OF_EACH_TYPE_WITHIN(test_an_event_loop_learns_of_a_death_that_a_grandchild_talks_over, 40),
    OF_EACH_TYPE(test_nothing_is_left_to_poll_for_when_the_child_is_dead),
    OF_EACH_TYPE(test_a_child_that_passed_its_end_to_us_and_died_has_ended),
    OF_EACH_TYPE(test_a_pidfd_that_is_owned_is_closed_with_the_channel))
