/* SPDX-License-Identifier: MIT */
/*
 * What a fault has brought to light, by its scenario. See test_points.c.
 */
#include "run.h"

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

FAULT_PROGRAMS

/* Each of the first places fails so, and all is well. */
static void expect(const char *scenario, const char *function, const char *error, long places)
{
    ck_assert_msg(run_places(scenario, function, error, places) > 0, "%s of %s in '%s'", error,
                  function, scenario);
}

START_TEST(test_an_interrupted_call_is_no_error)
{
    expect("fork", "sys.send", "EINTR", 4);
    expect("fork", "sys.sendmsg", "EINTR", 1);
    expect("fork", "sys.recv", "EINTR", 4);
    expect("fork", "child:sys.recvmsg", "EINTR", 4);
    expect("fork", "sys.waitid_pidfd", "EINTR", 2);
    expect("pipes", "sys.preadv2", "EINTR", 3);
    expect("pipes", "sys.pwritev2", "EINTR", 3);
}
END_TEST

START_TEST(test_an_interrupted_start_goes_on)
{
    expect("fork", "child:sys.send", "EINTR", 2);
    expect("fork", "child:sys.recv", "EINTR", 1);
    expect("spawn", "child:sys.dup3", "EINTR", 1);
    expect("spawn", "child:sys.dup3", "EBUSY", 1);
}
END_TEST

START_TEST(test_an_interrupted_call_does_not_cost_the_lane)
{
    expect("lane", "sys.fallocate", "EINTR", 1);
    expect("lane", "sys.ftruncate", "EINTR", 1);
    expect("lane", "child:sys.fstatfs", "EINTR", 1);
}
END_TEST

/* As by a timer that ticks faster than the memory can be made. */
START_TEST(test_a_call_that_is_always_interrupted_costs_the_lane_and_no_more)
{
    expect("lane", "sys.fallocate", "EINTR+", 1);
}
END_TEST

START_TEST(test_an_end_that_cannot_be_said_is_explained)
{
    expect("fork", "shutdown", "ENOBUFS", 1);
}
END_TEST

START_TEST(test_a_child_that_could_not_start_is_reaped_by_number)
{
    expect("nothing", "sys.waitid_pidfd", "EINVAL", 1);
}
END_TEST

/* Who waited for the child's report, and could not, took it for one that had started. */
START_TEST(test_a_child_is_not_started_before_it_has_said_so)
{
    expect("nowhere", "sys.ppoll", "ENOMEM", 2);
    expect("nowhere", "sys.ppoll", "EINVAL", 2);
    expect("nowhere", "sys.recv", "EAGAIN", 1);
    expect("nowhere", "sys.recv", "ENOMEM", 1);
}
END_TEST

START_TEST(test_a_wake_up_that_was_refused_leaves_later)
{
    expect("lane", "send", "ENOBUFS", 24);
    expect("packet-lane", "child:send", "ENOMEM", 24);
}
END_TEST

START_TEST(test_a_word_that_comes_in_part_hides_no_descriptors)
{
    expect("lane", "child:receive", "short", 24);
}
END_TEST

START_TEST(test_a_socket_that_cannot_be_asked_is_not_called_unconnected)
{
    expect("attach", "socket_connected", "ENOBUFS", 2);
}
END_TEST

START_TEST(test_a_descriptor_that_cannot_be_looked_at_is_not_called_closed)
{
    expect("node", "examine", "EFAULT", 3);
    expect("node", "socket_get", "ENOPROTOOPT", 6);
}
END_TEST

START_TEST(test_a_wait_that_fails_does_not_press_a_child_that_leaves)
{
    expect("stop", "poll", "ENOMEM", 6);
    expect("stop", "reap", "EINVAL", 3);
}
END_TEST

START_TEST(test_a_signal_that_fails_is_not_waited_for)
{
    expect("kill", "signal", "EINVAL", 4);
    expect("kill-group", "signal", "EINVAL", 1);
}
END_TEST

START_TEST(test_a_close_leaves_no_child_because_something_failed_once)
{
    expect("close-by-force", "signal", "EINVAL", 2);
    expect("close-by-force", "reap", "EINVAL", 3);
}
END_TEST

START_TEST(test_a_pool_that_cannot_wait_is_closed_all_the_same)
{
    expect("pool", "watched", "EFAULT", 24);
}
END_TEST

START_TEST(test_a_worker_is_told_to_leave_until_it_has_been)
{
    expect("pool", "shutdown", "ENOBUFS", 3);
}
END_TEST

START_TEST(test_a_job_that_ended_with_its_worker_has_an_exit)
{
    expect("pool-programs", "allocate", "ENOMEM", 48);
}
END_TEST

START_TEST(test_a_worker_that_cannot_be_watched_has_not_broken_the_protocol)
{
    expect("pool-programs", "watch", "ENOENT", 32);
}
END_TEST

static const struct harness_test tests[] = {
    TEST(test_an_interrupted_call_is_no_error),
    TEST(test_an_interrupted_start_goes_on),
    TEST(test_an_interrupted_call_does_not_cost_the_lane),
    TEST(test_a_call_that_is_always_interrupted_costs_the_lane_and_no_more),
    TEST(test_an_end_that_cannot_be_said_is_explained),
    TEST(test_a_child_that_could_not_start_is_reaped_by_number),
    TEST(test_a_child_is_not_started_before_it_has_said_so),
    TEST(test_a_wake_up_that_was_refused_leaves_later),
    TEST(test_a_word_that_comes_in_part_hides_no_descriptors),
    TEST(test_a_socket_that_cannot_be_asked_is_not_called_unconnected),
    TEST(test_a_descriptor_that_cannot_be_looked_at_is_not_called_closed),
    TEST(test_a_wait_that_fails_does_not_press_a_child_that_leaves),
    TEST(test_a_signal_that_fails_is_not_waited_for),
    TEST(test_a_close_leaves_no_child_because_something_failed_once),
    TEST(test_a_pool_that_cannot_wait_is_closed_all_the_same),
    TEST_WITHIN(test_a_worker_is_told_to_leave_until_it_has_been, 60),
    TEST(test_a_job_that_ended_with_its_worker_has_an_exit),
    TEST(test_a_worker_that_cannot_be_watched_has_not_broken_the_protocol)};

int main(void)
{
    return FAULT_MAIN("faults: regressions", tests);
}
