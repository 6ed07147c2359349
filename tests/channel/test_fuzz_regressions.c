/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzer of tests/fuzz has found, once more with the kernel's own sockets.
 */
#include "lanes.h"

#include "os/os.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The end that an empty packet is, with descriptors on it, which are nobody's. */
START_TEST(test_descriptors_on_an_empty_packet_in_the_lane_are_closed)
{
    dx_channel_options options = {.type = DX_SEQPACKET, .descriptor_limit = 4};

    dxi_lane_worth = 0;
    for (int role = 0; role < 2; role++) {
        struct pair pair = open_lane_with(&options);
        dx_channel *villain = role == 0 ? pair.far : pair.near;
        dx_channel *victim = role == 0 ? pair.near : pair.far;
        size_t before = harness_open_descriptors();
        int notes[2] = {make_note(1), make_note(2)};

        ck_assert_int_eq(dxi_linux.send(villain->write_fd, NULL, 0, notes, 2), 0);
        close(notes[0]);
        close(notes[1]);
        expect_end(victim, 1000);
        ck_assert_uint_eq(harness_open_descriptors(), before);
        close_pair(&pair);
    }
}
END_TEST

static int refuse_to_shut(int fd, int how)
{
    (void)fd;
    (void)how;
    return -ENOBUFS;
}

START_TEST(test_an_end_that_cannot_be_said_is_explained)
{
    struct dxi_os table = dxi_linux;
    struct pair pair = open_pair(DX_STREAM);

    table.shutdown = refuse_to_shut;
    dxi_os = &table;
    int status = dx_channel_end(pair.near, 1000);

    dxi_os = &dxi_linux;
    ck_assert_int_eq(status, -ENOBUFS);
    ck_assert_msg(strstr(dx_channel_explain(pair.near), "cannot say the end") != NULL, "'%s'",
                  dx_channel_explain(pair.near));
    /* It can be said later. */
    ck_assert_int_eq(dx_channel_end(pair.near, 1000), 0);
    expect_end(pair.far, 1000);
    close_pair(&pair);
}
END_TEST

/* It went as a message, because that is what bears a descriptor. */
START_TEST(test_a_delimiter_with_a_descriptor_is_nothing_for_node)
{
    dx_channel_options options = {.framing = DX_FRAMING_NODE, .descriptor_limit = 1};
    struct pair pair = open_pair_with(&options);
    int fds[2];

    ck_assert_int_eq(dxi_linux.socketpair(SOCK_STREAM, fds), 0);
    dx_message message = {
        .data = "1", .size = 1, .descriptors = fds, .descriptor_count = 1, .kind = DX_DELIMITER};

    ck_assert_int_eq(dx_send_message(pair.near, &message, 1000), -EINVAL);
    expect_silence(pair.far);
    close(fds[0]);
    close(fds[1]);
    close_pair(&pair);
}
END_TEST

/* What the peer says by the socket after its end in the ring is for who still sends to find. */
EACH_LANE(test_an_end_that_was_received_stays_the_end)
{
    for (int role = 0; role < 2; role++) {
        struct pair pair = open_lane(type);
        dx_channel *villain = role == 0 ? pair.far : pair.near;
        dx_channel *victim = role == 0 ? pair.near : pair.far;

        ck_assert_int_eq(dx_channel_end(villain, 1000), 0);
        expect_end(victim, 1000);
        forge_by_socket(villain, DXI_KIND_MESSAGE, 0, 0, NULL, 0);
        dx_channel_process(victim);
        ck_assert_int_eq(dx_send(victim, "a", 1, 1000), -EPROTO);
        expect_end(victim, 1000);
        close_pair(&pair);
    }
}

HARNESS_MAIN("fuzz_regressions", TEST(test_descriptors_on_an_empty_packet_in_the_lane_are_closed),
             TEST(test_an_end_that_cannot_be_said_is_explained),
             TEST(test_a_delimiter_with_a_descriptor_is_nothing_for_node),
             OF_EACH_LANE(test_an_end_that_was_received_stays_the_end))
