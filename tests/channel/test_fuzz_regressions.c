/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzer of tests/fuzz has found, once more with the kernel's own sockets.
 */
#include "lanes.h"

#include "os/os.h"

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

HARNESS_MAIN("fuzz_regressions", TEST(test_descriptors_on_an_empty_packet_in_the_lane_are_closed))
