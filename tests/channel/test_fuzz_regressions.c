/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzer of tests/fuzz has found, once more with the kernel's own sockets.
 */
#include "lanes.h"
#include "meter.h"

#include "os/os.h"
#include "wire/native.h"

#include <errno.h>
#include <stdatomic.h>
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

/* A word is due, and has to wait for what is being written in place; the peer has gone. */
START_TEST(test_a_receive_sleeps_while_a_message_is_written_in_place_to_a_peer_that_has_gone)
{
    dxi_lane_worth = 0;
    struct pair pair = open_lane_with(NULL);
    dx_message message;
    uint64_t id;
    void *place;

    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, &id, 10), 0);
    ck_assert_int_eq(dx_reserve(pair.near, 100, &place, DX_NOW), 0);
    ck_assert_int_eq(dx_recv(pair.near, &message, 1000), 1);
    ck_assert_int_eq(message.kind, DX_FAILED);
    ck_assert_uint_eq(message.id, id);
    atomic_store(&pair.near->peer_gone, true);

    ck_assert_int_eq(dx_recv(pair.near, &message, 200), -ETIMEDOUT);
    close_pair(&pair);
}
END_TEST

/* The same, when the last descriptors had found the socket full: room in it is nothing to wait for. */
START_TEST(
    test_a_receive_sleeps_while_a_message_is_written_in_place_after_descriptors_found_no_room)
{
    static const uint8_t wake[DXI_HEADER_SIZE] = {[4] = DXI_KIND_WAKE};
    struct iovec word = {.iov_base = (void *)wake, .iov_len = sizeof(wake)};
    uint8_t bytes[4096];

    dxi_lane_worth = 0;
    meter_install();
    struct pair pair = open_lane_with(&(dx_channel_options){.descriptor_limit = 1});
    int note = make_note(1);
    dx_message message = {.data = "!", .size = 1, .descriptors = &note, .descriptor_count = 1};
    uint64_t id;
    void *place;

    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, &id, 10), 0);
    while (dxi_linux.send(pair.near->write_fd, &word, 1, NULL, 0) > 0)
        continue;
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -ETIMEDOUT);
    close(note);
    while (recv(pair.far->read_fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
    ck_assert_int_eq(dx_reserve(pair.near, 100, &place, DX_NOW), 0);
    ck_assert_int_eq(dx_recv(pair.near, &message, 1000), 1);
    ck_assert_int_eq(message.kind, DX_FAILED);

    meter_restart();
    ck_assert_int_eq(dx_recv(pair.near, &message, 200), -ETIMEDOUT);
    ck_assert_uint_le(meter.count[CALL_POLL], 50);
    expect_rest(pair.near, "while a message is being written");
    close_pair(&pair);
}
END_TEST

/* What stands behind half a message is taken for the rest of it. */
EACH_LANE(test_nothing_is_said_behind_a_message_that_was_cut_off)
{
    dxi_lane_worth = 0;
    meter_install();
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type});

    uint64_t id;
    dx_message message;

    ck_assert_int_eq(dx_call_start(pair.near, "?", 1, &id, 10), 0);
    meter_fail(CALL_RESIZE, 1, 1, 0);
    ck_assert_int_eq(send_numbered(pair.near, 1, 4 * MIB, DX_NOW), -ENOMEM);
    uint64_t tail = pair.near->lane.out.tail;

    /* That the call is over is a word for the peer, too; there is room for it. */
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert_int_eq(message.kind, DX_REQUEST);
    expect_error(pair.far, -EPIPE, NULL, 1000);
    ck_assert_int_eq(dx_recv(pair.near, &message, 1000), 1);
    ck_assert_int_eq(message.kind, DX_FAILED);
    ck_assert_int_eq(dx_recv(pair.near, &message, 50), -ETIMEDOUT);
    ck_assert_uint_eq(pair.near->lane.out.tail, tail);
    expect_rest(pair.near, "behind half a message");

    ck_assert_int_eq(dx_channel_end(pair.near, 1000), -ENOMEM);
    expect_explained(pair.near, "cut off");
    dxi_channel_end_now(pair.near);
    ck_assert_uint_eq(pair.near->lane.out.tail, tail);
    ck_assert_int_eq(dx_send(pair.near, "more", 4, DX_NOW), -ENOMEM);
    expect_explained(pair.near, "cut off");
    pair.near = dx_channel_close(pair.near);
    expect_error(pair.far, -EPIPE, NULL, 1000);
    close_pair(&pair);
}

/* The receiver found the death out, and what was to be sent is given up. */
START_TEST(test_who_sends_after_a_receiver_has_found_the_death_is_told_why)
{
    struct pair pair = open_pair_with(&(dx_channel_options){.socket_only = true});
    dx_message message;

    ck_assert_int_eq(dx_send(pair.near, "unread", 6, DX_NOW), 0);
    ck_assert_int_eq(dx_cork(pair.near), 0);
    ck_assert_int_eq(dx_send(pair.near, "collected", 9, DX_NOW), 0);
    pair.far = dx_channel_close(pair.far);
    ck_assert_int_le(dx_recv(pair.near, &message, 1000), 0);
    dx_channel_process(pair.near);
    /* Another thing is explained last. */
    ck_assert_int_lt(dx_cancel(pair.near, 99), 0);
    ck_assert_int_eq(dx_send(pair.near, "more", 4, DX_NOW), -EPIPE);
    ck_assert_msg(strstr(dx_channel_explain(pair.near), "the peer has gone") != NULL, "'%s'",
                  dx_channel_explain(pair.near));
    close_pair(&pair);
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

HARNESS_MAIN(
    "fuzz_regressions",
    TEST(test_a_receive_sleeps_while_a_message_is_written_in_place_to_a_peer_that_has_gone),
    TEST(test_a_receive_sleeps_while_a_message_is_written_in_place_after_descriptors_found_no_room),
    TEST(test_who_sends_after_a_receiver_has_found_the_death_is_told_why),
    TEST(test_descriptors_on_an_empty_packet_in_the_lane_are_closed),
    TEST(test_an_end_that_cannot_be_said_is_explained),
    TEST(test_a_delimiter_with_a_descriptor_is_nothing_for_node),
    OF_EACH_LANE(test_nothing_is_said_behind_a_message_that_was_cut_off),
    OF_EACH_LANE(test_an_end_that_was_received_stays_the_end))
