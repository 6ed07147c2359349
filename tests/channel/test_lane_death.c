/* SPDX-License-Identifier: MIT */
/*
 * The end of a peer in the lane, however it comes: at once, after everything that it had
 * published, and though somebody else holds its socket and its memory.
 */
#include "lanes.h"

#include "wire/native.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMES = 15, MEDIAN_US = 2000, MOST_US = 50000 };

/* What test and children share besides the lane. */
static struct {
    _Atomic uint64_t died_us;
    _Atomic int result;
    _Atomic bool go;
    _Atomic unsigned said;
} * board;

static void make_board(void)
{
    board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(board, MAP_FAILED);
}

_Noreturn static void die(void)
{
    board->died_us = now_us();
    kill(getpid(), SIGKILL);
    abort();
}

static bool is_dead(int pidfd)
{
    struct pollfd death = {.fd = pidfd, .events = POLLIN};

    return poll(&death, 1, 5) > 0;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *first = a;
    const uint64_t *second = b;

    return *first < *second ? -1 : *first > *second;
}

static void expect_prompt(uint64_t times[TIMES])
{
    uint64_t factor = (uint64_t)slowness();

    qsort(times, TIMES, sizeof(*times), compare);
    ck_assert_msg(times[TIMES / 2] <= MEDIAN_US * factor, "the median is %d us",
                  (int)times[TIMES / 2]);
    ck_assert_msg(times[TIMES - 1] <= MOST_US * factor, "the slowest took %d us",
                  (int)times[TIMES - 1]);
}

static int die_after(dx_channel *parent, void *context)
{
    (void)parent;
    usleep(*(unsigned *)context);
    die();
}

/* The child dies so long after the parent began to wait. */
static void measure_receive(dx_channel_type type, int spin_us, unsigned after_us)
{
    const dx_channel_options options = {.type = type, .spin_us = spin_us};
    uint64_t times[TIMES];

    make_board();
    for (int i = 0; i < TIMES; i++) {
        struct family family = start_family_with(&options, NULL, die_after, &after_us);

        expect_end(family.channel, 5000);
        times[i] = now_us() - board->died_us;
        bury_family(&family);
    }
    expect_prompt(times);
}

EACH_LANE(test_a_death_is_noticed_by_one_who_spins)
{
    measure_receive(type, 1000, 200);
}

EACH_LANE(test_a_death_is_noticed_by_one_who_sleeps)
{
    measure_receive(type, -1, 2000);
    measure_receive(type, 0, 5000);
}

EACH_LANE(test_a_death_is_noticed_by_one_who_waits_for_room)
{
    uint64_t times[TIMES];
    unsigned after_us = 20000;

    make_board();
    for (int i = 0; i < TIMES; i++) {
        struct family family = start_family(type, die_after, &after_us);
        int status;

        do
            status = dx_send(family.channel, pattern(MIB), MIB, 5000);
        while (status == 0);
        times[i] = now_us() - board->died_us;
        ck_assert_int_eq(status, -EPIPE);
        expect_end(family.channel, 1000);
        bury_family(&family);
    }
    expect_prompt(times);
}

/* Who never waits makes no system call that could tell; it notices after some messages. */
EACH_LANE(test_a_death_is_noticed_by_one_who_only_sends)
{
    unsigned after_us = 0;

    make_board();
    struct family family = start_family(type, die_after, &after_us);
    int status = 0;
    unsigned sent = 0;

    while (!is_dead(dx_process_fd(family.process)))
        continue;
    for (; status == 0 && sent < 2000; sent++)
        status = dx_send(family.channel, "x", 1, 1000);
    ck_assert_int_eq(status, -EPIPE);
    ck_assert_uint_lt(sent, 600);
    bury_family(&family);
}

static int say_and_die(dx_channel *parent, void *context)
{
    unsigned count = *(unsigned *)context;

    for (unsigned i = 0; i < count; i++)
        harness_child_assert(send_numbered(parent, i, i % 300, 5000) == 0);
    die();
}

EACH_LANE(test_what_was_published_before_a_death_is_received_first)
{
    make_board();
    for (unsigned count = 0; count < 800; count += 133) {
        struct family family = start_family(type, say_and_die, &count);

        while (!is_dead(dx_process_fd(family.process)))
            continue;
        for (unsigned i = 0; i < count; i++)
            expect_numbered(family.channel, i, i % 300, 1000);
        expect_end(family.channel, 1000);
        expect_end(family.channel, DX_FOREVER);
        ck_assert_int_eq(dx_send(family.channel, pattern(MIB), MIB, 1000), -EPIPE);
        bury_family(&family);
    }
}

static int say_half_and_die(dx_channel *parent, void *context)
{
    (void)context;
    harness_child_assert(send_numbered(parent, 1, 100, 1000) == 0);
    /* More than the ring holds: its rest is kept by who is about to die. */
    harness_child_assert(send_numbered(parent, 2, MIB, 50) == 0);
    die();
}

EACH_LANE(test_a_message_that_death_cut_is_told_as_such)
{
    make_board();
    struct family family = start_family(type, say_half_and_die, NULL);

    while (!is_dead(dx_process_fd(family.process)))
        continue;
    expect_numbered(family.channel, 1, 100, 1000);
    expect_error(family.channel, -EPIPE, "in the middle of a message", 1000);
    expect_error(family.channel, -EPIPE, NULL, 1000);
    bury_family(&family);
}

EACH_LANE(test_a_view_outlives_the_peer)
{
    const dx_channel_options options = {.type = type, .trust_peer = true};
    const dx_channel_options theirs = {0};
    unsigned count = 50;
    dx_message message;

    make_board();
    struct family family = start_family_with(&options, &theirs, say_and_die, &count);

    for (unsigned i = 0; i < count - 1; i++)
        expect_numbered(family.channel, i, i % 300, 1000);
    ck_assert_int_eq(dx_recv(family.channel, &message, 1000), 1);
    while (!is_dead(dx_process_fd(family.process)))
        continue;
    ck_assert(is_numbered(&message, count - 1, (count - 1) % 300));
    ck_assert_int_eq(dx_send(family.channel, pattern(MIB), MIB, 1000), -EPIPE);
    ck_assert(is_numbered(&message, count - 1, (count - 1) % 300));
    expect_end(family.channel, 1000);
    bury_family(&family);
}

/* The child has left its socket and its memory to somebody who talks on. */
static int bequeath(dx_channel *parent, void *context)
{
    bool talks = *(bool *)context;
    struct dxi_region *region = &parent->lane.region;

    harness_child_assert(madvise(region->control, region->mapped, MADV_DOFORK) == 0);
    harness_child_assert(send_numbered(parent, 0, 100, 1000) == 0);
    if (fork() == 0) {
        struct dxi_ring_out *out = &parent->lane.out;
        uint8_t frame[DXI_HEADER_SIZE + 100] = {0};

        alarm(60);
        dxi_native_plain_header(frame, 100, DXI_KIND_MESSAGE, 0);
        while (!board->go) {
            if (talks && dxi_ring_look_for_room(out) == 0 && dxi_ring_room(out) >= sizeof(frame)) {
                memcpy(dxi_ring_place(out), frame, sizeof(frame));
                out->tail += sizeof(frame);
                dxi_ring_publish(out);
                board->said++;
            }
            if (talks && board->said % 64 == 0)
                dxi_lane_wake(parent);
        }
        _exit(0);
    }
    usleep(10000);
    die();
}

/* work_us: what the parent does with each message. */
static void leave_a_bystander(dx_channel_type type, bool talks, unsigned work_us)
{
    dx_message message;
    int status;

    make_board();
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    struct family family = start_family(type, bequeath, &talks);

    expect_numbered(family.channel, 0, 100, 1000);
    uint64_t limit = now_us() + 15000000;

    do {
        uint64_t end = now_us() + work_us;

        status = dx_recv(family.channel, &message, 5000);
        while (now_us() < end)
            continue;
    } while (status == 1 && now_us() < limit);
    uint64_t took = now_us() - board->died_us;

    ck_assert_msg(status == 0 || (talks && status == -EPIPE), "%d: %s", status,
                  dx_channel_explain(family.channel));
    ck_assert_msg(took < 1000000 * (uint64_t)slowness(), "%d us after the death", (int)took);
    usleep(20000);
    ck_assert_int_eq(dx_recv(family.channel, &message, 50), status);
    ck_assert_int_eq(dx_send(family.channel, pattern(MIB), MIB, 1000), -EPIPE);
    ck_assert_uint_eq(board->said > 0, talks);
    board->go = true;
    bury_family(&family);
    ck_assert_int_gt(waitpid(-1, &status, 0), 0);
}

EACH_LANE(test_a_grandchild_that_holds_everything_cannot_hide_a_death)
{
    leave_a_bystander(type, false, 0);
}

EACH_LANE(test_a_grandchild_that_talks_on_is_not_believed)
{
    leave_a_bystander(type, true, 0);
}

/* Who does something with the messages never finds the ring empty. */
EACH_LANE(test_a_grandchild_that_talks_without_pause_cannot_hide_a_death)
{
    leave_a_bystander(type, true, 20);
}

/* What is published after a death was noticed is somebody else's. */
EACH_LANE(test_nothing_is_added_after_a_death)
{
    struct pair pair = open_lane(type);

    ck_assert_int_eq(send_numbered(pair.far, 1, 100, 0), 0);
    ck_assert_int_eq(send_numbered(pair.far, 2, 100, 0), 0);
    dxi_channel_mourn(pair.near);
    ck_assert_int_eq(send_numbered(pair.far, 3, 100, 0), 0);
    expect_numbered(pair.near, 1, 100, 1000);
    ck_assert_int_eq(send_numbered(pair.far, 4, 100, 0), 0);
    expect_numbered(pair.near, 2, 100, 1000);
    expect_end(pair.near, 1000);
    close_pair(&pair);
}

/* Without that, a forked child does not have the memory at all. */
EACH_LANE(test_a_forked_child_has_none_of_the_memory)
{
    struct pair pair = open_lane(type);
    int status;

    ck_assert_uint_gt(lane_mappings(), 0);
    pid_t pid = fork();

    if (pid == 0)
        _exit(lane_mappings() == 0 && dx_send(pair.near, "x", 1, 0) == -ECHILD ? 0 : 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    carry(pair.near, pair.far, 1, 1000);
    close_pair(&pair);
}

static int outlive(dx_channel *parent, void *context)
{
    dx_message message;

    (void)context;
    prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    board->go = true;
    board->result = dx_recv(parent, &message, 10000);
    if (dx_channel_is_fast(parent) != 1)
        board->result = -1000;
    if (dx_send(parent, pattern(MIB), MIB, 1000) != -EPIPE)
        board->result = -1001;
    _exit(0);
}

EACH_LANE(test_a_parents_death_is_seen_by_its_child)
{
    int status;

    make_board();
    board->result = 99;
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    pid_t pid = fork();

    if (pid == 0) {
        struct family family = start_family(type, outlive, NULL);

        (void)family;
        while (!board->go)
            continue;
        usleep(5000);
        die();
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_gt(waitpid(-1, &status, 0), 0);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(board->result, 0);
}

HARNESS_MAIN("lane_death", OF_EACH_LANE(test_a_death_is_noticed_by_one_who_spins),
             OF_EACH_LANE(test_a_death_is_noticed_by_one_who_sleeps),
             OF_EACH_LANE(test_a_death_is_noticed_by_one_who_waits_for_room),
             OF_EACH_LANE(test_a_death_is_noticed_by_one_who_only_sends),
             OF_EACH_LANE(test_what_was_published_before_a_death_is_received_first),
             OF_EACH_LANE(test_a_message_that_death_cut_is_told_as_such),
             OF_EACH_LANE(test_a_view_outlives_the_peer),
             OF_EACH_LANE(test_a_grandchild_that_holds_everything_cannot_hide_a_death),
             OF_EACH_LANE(test_a_grandchild_that_talks_on_is_not_believed),
             OF_EACH_LANE(test_a_grandchild_that_talks_without_pause_cannot_hide_a_death),
             OF_EACH_LANE(test_nothing_is_added_after_a_death),
             OF_EACH_LANE(test_a_forked_child_has_none_of_the_memory),
             OF_EACH_LANE(test_a_parents_death_is_seen_by_its_child))
