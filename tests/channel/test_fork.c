/* SPDX-License-Identifier: MIT */
/*
 * A handle that a forked child has inherited answers -ECHILD and touches nothing, however the child
 * was made; the parent's conversation goes on as if there were no child.
 */
#include "support.h"

#include "meter.h"

#include <duplex/call.h>

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every public function of the floor, in the child. */
static void every_function_answers_echild(dx_channel *channel)
{
    dx_message message = {.data = "x", .size = 1};
    uint64_t id;
    void *place;

    harness_child_assert(dx_send(channel, "x", 1, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_send_message(channel, &message, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_recv(channel, &message, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_cork(channel) == -ECHILD);
    harness_child_assert(dx_flush(channel, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_channel_end(channel, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_channel_fd(channel) == -ECHILD);
    harness_child_assert(dx_channel_write_fd(channel) == -ECHILD);
    harness_child_assert(dx_channel_events(channel) == -ECHILD);
    harness_child_assert(dx_channel_timeout_ms(channel) == -ECHILD);
    harness_child_assert(dx_channel_process(channel) == -ECHILD);
    harness_child_assert(dx_channel_is_fast(channel) == -ECHILD);
    harness_child_assert(dx_reserve(channel, 1, &place, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_commit(channel, 1) == -ECHILD);
    harness_child_assert(dx_call(channel, "x", 1, &message, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_call_start(channel, "x", 1, &id, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_call_deadline(channel, 1, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_cancel(channel, 1) == -ECHILD);
    harness_child_assert(dx_reply(channel, 1, "x", 1, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_reply_message(channel, 1, &message, DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_reply_error(channel, 1, 1, "x", DX_FOREVER) == -ECHILD);
    harness_child_assert(dx_channel_on_request(channel, NULL, NULL) == -ECHILD);
    harness_child_assert(strcmp(dx_channel_explain(channel), dx_error_text(-ECHILD)) == 0);
    harness_child_assert(dx_channel_close(channel) == NULL);
    harness_child_assert(dx_channel_close(channel) == NULL);
    harness_child_assert(dx_recv(channel, &message, DX_FOREVER) == -ECHILD);
}

/* It asked the system for nothing, wrote nothing, and closed nothing. */
static int check_in_child(struct pair *pair, int fd)
{
    meter_restart();
    every_function_answers_echild(pair->near);
    every_function_answers_echild(pair->far);
    harness_child_assert(meter_system_calls() == 0);
    harness_child_assert(meter_allocations() == 0);
    harness_child_assert(is_open(fd));

    /* And the child is free to have channels of its own, which are not its children's. */
    dx_channel *own[2];
    dx_message message;

    harness_child_assert(dx_channel_pair(own, NULL) == 0);
    harness_child_assert(dx_send(own[0], "own", 3, DX_NOW) == 0);
    harness_child_assert(dx_recv(own[1], &message, DX_NOW) == 1);
    pid_t grandchild = fork();

    if (grandchild == 0) {
        every_function_answers_echild(own[0]);
        every_function_answers_echild(pair->near);
        _exit(0);
    }
    int status;

    harness_child_assert(waitpid(grandchild, &status, 0) == grandchild && status == 0);
    harness_child_assert(dx_send(own[1], "still", 5, DX_NOW) == 0);
    harness_child_assert(dx_recv(own[0], &message, DX_NOW) == 1);
    dx_channel_close(own[0]);
    dx_channel_close(own[1]);
    return 0;
}

static pid_t by_fork(void)
{
    return fork();
}

static pid_t by_underscore_fork(void)
{
    return _Fork();
}

/* As other runtimes do it: no handler of pthread_atfork(3) runs. */
static pid_t by_clone(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* In the middle of everything: a message lent, one taken in, some collected, one cut in two. */
static void check_across(dx_channel_type type, pid_t (*make_child)(void))
{
    meter_install();
    dx_channel_options options = {.type = type, .descriptor_limit = 2};
    struct pair pair = open_pair_with(&options);
    int notes[2] = {make_note(1), make_note(2)};
    dx_message lent, message = with_descriptors(numbered_payload(1, 100), 100, notes, 2);

    ck_assert_int_eq(dx_send_message(pair.far, &message, DX_NOW), 0);
    ck_assert_int_eq(send_numbered(pair.far, 2, 100, DX_NOW), 0);
    ck_assert_int_eq(dx_recv(pair.near, &lent, DX_NOW), 1);
    unsigned sent = fill_outgoing(pair.near, 10, 100000);

    ck_assert_int_eq(dx_cork(pair.far), 0);
    ck_assert_int_eq(send_numbered(pair.far, 3, 100, DX_NOW), 0);
    int fd = dx_channel_fd(pair.near);
    pid_t child = make_child();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(check_in_child(&pair, fd));
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x",
                  (unsigned)status);

    ck_assert(is_numbered(&lent, 1, 100));
    ck_assert(is_note(lent.descriptors[0], 1) && is_note(lent.descriptors[1], 2));
    expect_numbered(pair.near, 2, 100, DX_NOW);
    expect_silence(pair.near);
    ck_assert_int_eq(dx_flush(pair.far, DX_NOW), 0);
    expect_numbered(pair.near, 3, 100, DX_NOW);
    for (unsigned i = 0; i < sent; i++) {
        (void)dx_flush(pair.near, DX_NOW);
        expect_numbered(pair.far, 10 + i, 100000, DX_NOW);
    }
    carry(pair.near, pair.far, 4, 500000);
    close_pair(&pair);
    ck_assert_int_eq(meter.blocks, 0);
}

EACH_TYPE(test_a_handle_is_nothing_to_a_child_of_fork)
{
    check_across(type, by_fork);
}

EACH_TYPE(test_a_handle_is_nothing_to_a_child_that_no_handler_saw)
{
    check_across(type, by_underscore_fork);
    check_across(type, by_clone);
}

/* A child that leaves by exit(3) or closes what it inherited ends no conversation. */
EACH_TYPE(test_the_death_of_a_forked_child_ends_nothing)
{
    struct pair pair = open_pair(type);

    for (int i = 0; i < 3; i++) {
        pid_t child = fork();

        if (child == 0) {
            dx_channel_close(pair.near);
            dx_channel_close(pair.far);
            if (i == 1)
                raise(SIGKILL);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        expect_silence(pair.near);
        carry(pair.near, pair.far, 1, 300000);
        carry(pair.far, pair.near, 2, 300000);
    }
    close_pair(&pair);
}

HARNESS_MAIN("fork", OF_EACH_TYPE(test_a_handle_is_nothing_to_a_child_of_fork),
             OF_EACH_TYPE(test_a_handle_is_nothing_to_a_child_that_no_handler_saw),
             OF_EACH_TYPE(test_the_death_of_a_forked_child_ends_nothing))
