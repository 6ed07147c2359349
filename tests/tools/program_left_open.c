/* SPDX-License-Identifier: MIT */
/*
 * Tests whose children leave open what the library opened, or read what nobody wrote. The harness looks
 * at the test's own process and finds nothing; valgrind.sh sees what tests/under_valgrind says.
 */
#include "harness.h"

#include "os/os.h"

#include <duplex.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int leave_open(void)
{
    int fds[2];

    return dxi_os->socketpair(SOCK_STREAM, fds);
}

static void run(int (*child)(dx_channel *parent, void *unused))
{
    dx_process *process;
    dx_exit exit;

    ck_assert_int_eq(dx_fork(&process, child, NULL, NULL), 0);
    ck_assert_int_eq(dx_process_wait(process, &exit, DX_FOREVER), 0);
    ck_assert_int_eq(exit.code, 0);
    dx_process_close(process);
}

static int leave_open_and_return(dx_channel *parent, void *unused)
{
    (void)parent;
    (void)unused;
    return leave_open() != 0;
}

START_TEST(test_a_function_leaves_a_descriptor_open)
{
    run(leave_open_and_return);
}
END_TEST

static int leave_open_and_leave(dx_channel *parent, void *unused)
{
    (void)parent;
    (void)unused;
    _exit(leave_open() != 0);
}

START_TEST(test_a_function_leaves_at_once)
{
    run(leave_open_and_leave);
}
END_TEST

static int read_what_nobody_wrote(dx_channel *parent, void *unused)
{
    char *volatile byte = malloc(1);

    (void)parent;
    (void)unused;
    if (*byte != 0)
        abort();
    free(byte);
    return 0;
}

START_TEST(test_a_function_reads_what_nobody_wrote)
{
    run(read_what_nobody_wrote);
}
END_TEST

HARNESS_MAIN("left open", TEST(test_a_function_leaves_a_descriptor_open),
             TEST(test_a_function_leaves_at_once), TEST(test_a_function_reads_what_nobody_wrote))
