/* SPDX-License-Identifier: MIT */
/*
 * Descriptors within bounds: what a peer sends beyond what was announced or allowed, what this process
 * has no room for, and what lies in messages that nobody receives.
 */
#include "stranger.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LIMIT = 4 };

static dx_channel_options accepting(dx_channel_type type, unsigned limit)
{
    return (dx_channel_options){.type = type, .descriptor_limit = limit};
}

/*
 * A greeted stranger sends a good message and then this frame with that many descriptors: the message
 * arrives, then the violation is told, for good, and no descriptor stays.
 */
static void violates(dx_channel_type type, unsigned limit, const struct header *header,
                     size_t bearing, const char *text)
{
    dx_channel_options options = accepting(type, limit);
    struct stranger stranger = meet_greeted(type, &options);
    int note = make_note(1);
    int notes[DX_DESCRIPTORS_MAX];
    size_t open_before = harness_open_descriptors();

    for (size_t i = 0; i < bearing; i++)
        notes[i] = note;
    say_message(&stranger, "good");
    int said =
        say_frame(&stranger, header, pattern(header->length), header->length, notes, bearing);

    expect_text(stranger.channel, "good");
    if (said == -EPERM) {
        /* Since Linux 6.16 the kernel itself refuses what no descriptor is welcome for. */
        ck_assert_uint_eq(limit, 0);
        expect_silence(stranger.channel);
    } else {
        ck_assert_int_eq(said, 0);
        expect_error(stranger.channel, -EPROTO, text, 1000);
        expect_error(stranger.channel, -EPROTO, text, 1000);
        ck_assert_int_eq(dx_send(stranger.channel, "x", 1, DX_NOW), -EPROTO);
        expect_explained(stranger.channel, text);
    }
    ck_assert_uint_eq(harness_open_descriptors(), open_before);
    close(note);
    part(&stranger);
}

static struct header message_header(uint32_t length, uint16_t descriptors)
{
    return (struct header){.length = length, .kind = DXI_KIND_MESSAGE, .descriptors = descriptors};
}

EACH_TYPE(test_descriptors_that_were_not_announced_break_the_protocol)
{
    struct header header = message_header(5, 0);

    violates(type, LIMIT, &header, 1, "the peer sent descriptors that it had not announced");
    violates(type, LIMIT, &header, LIMIT, "descriptors that it had not announced");
    violates(type, LIMIT, &header, DX_DESCRIPTORS_MAX, "descriptors that it had not announced");
    violates(type, DX_DESCRIPTORS_MAX, &header, DX_DESCRIPTORS_MAX, "it had not announced");
}

EACH_TYPE(test_more_descriptors_than_announced_break_the_protocol)
{
    struct header header = message_header(5, 1);

    violates(type, LIMIT, &header, 2, "the peer sent descriptors that it had not announced");
    violates(type, 1, &header, 2, "the peer sent descriptors that it had not announced");
    violates(type, 1, &header, 3, "the peer sent descriptors that it had not announced");
    violates(type, 1, &header, DX_DESCRIPTORS_MAX, "descriptors that it had not announced");
    header.descriptors = LIMIT;
    violates(type, LIMIT, &header, LIMIT + 1, "descriptors that it had not announced");
    violates(type, LIMIT, &header, LIMIT + 2, "descriptors that it had not announced");
}

EACH_TYPE(test_fewer_descriptors_than_announced_break_the_protocol)
{
    struct header header = message_header(5, 3);

    violates(type, LIMIT, &header, 0, "the peer announced 3 descriptors with a message and sent 0");
    violates(type, LIMIT, &header, 2, "the peer announced 3 descriptors with a message and sent 2");
}

EACH_TYPE(test_more_descriptors_than_the_limit_break_the_protocol)
{
    struct header header = message_header(5, LIMIT + 1);

    violates(type, LIMIT, &header, LIMIT + 1,
             "the peer announced 5 descriptors with a message; this end accepts 4");
    header.descriptors = UINT16_MAX;
    violates(type, DX_DESCRIPTORS_MAX, &header, 1,
             "the peer announced 65535 descriptors with a message; this end accepts 253");
}

EACH_TYPE(test_descriptors_where_none_is_welcome_break_the_protocol_or_are_not_let_through)
{
    struct header header = message_header(5, 0);

    violates(type, 0, &header, 1, "the peer sent descriptors that it had not announced");
    violates(type, 0, &header, DX_DESCRIPTORS_MAX, "descriptors that it had not announced");
    header.descriptors = 1;
    violates(type, 0, &header, 1,
             "the peer announced 1 descriptors with a message; this end accepts 0");
    violates(type, 0, &header, 0,
             "the peer announced 1 descriptors with a message; this end accepts 0");
}

EACH_TYPE(test_descriptors_with_the_greeting_break_the_protocol)
{
    dx_channel_options options = accepting(type, LIMIT);
    struct dxi_hello hello = {.version = DXI_VERSION, .message_limit = 1000};
    struct header header = {.length = DXI_HELLO_SIZE, .kind = DXI_KIND_HELLO};
    uint8_t payload[DXI_HELLO_SIZE];
    int note = make_note(1);

    dxi_hello_encode(&hello, payload);
    for (uint16_t announced = 0; announced < 2; announced++) {
        struct stranger stranger = meet_stranger(type, &options);

        header.descriptors = announced;
        ck_assert_int_eq(say_frame(&stranger, &header, payload, sizeof(payload), &note, 1), 0);
        expect_error(stranger.channel, -EPROTO, announced ? "announced 1" : "had not announced",
                     DX_NOW);
        part(&stranger);
    }
    close(note);
}

START_TEST(test_descriptors_in_the_middle_of_a_payload_break_the_protocol)
{
    dx_channel_options options = accepting(DX_STREAM, LIMIT);
    struct header header = message_header(100, 0);
    int note = make_note(1);

    for (uint16_t announced = 0; announced < 2; announced++) {
        struct stranger stranger = meet_greeted(DX_STREAM, &options);

        header.descriptors = announced;
        ck_assert_int_eq(say_frame(&stranger, &header, pattern(50), 50, NULL, 0), 0);
        /* Read what is there, or the two would merge into one read. */
        expect_silence(stranger.channel);
        ck_assert_int_eq(say_with(&stranger, pattern(50), 50, &note, 1), 0);
        expect_error(stranger.channel, -EPROTO, announced ? "sent 0" : "had not announced", DX_NOW);
        part(&stranger);
    }
    close(note);
}
END_TEST

/* More of them than there are places for: the violation is noticed, nothing overflows. */
START_TEST(test_descriptors_with_every_byte_break_the_protocol)
{
    dx_channel_options options = accepting(DX_STREAM, 1);
    struct stranger stranger = meet_greeted(DX_STREAM, &options);
    uint8_t bytes[DXI_HEADER_SIZE];
    struct header header = message_header(100000, 1);
    int note = make_note(1);
    size_t open_before = harness_open_descriptors();

    encode_header(&header, bytes);
    ck_assert_int_eq(say_with(&stranger, bytes, sizeof(bytes), &note, 1), 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(say_with(&stranger, "x", 1, &note, 1), 0);
    expect_error(stranger.channel, -EPROTO, "had not announced", DX_NOW);
    stranger.channel = dx_channel_close(stranger.channel);
    ck_assert_uint_eq(harness_open_descriptors(), open_before - 1);
    close(note);
    part(&stranger);
}
END_TEST

EACH_TYPE(test_descriptors_come_with_the_first_fragment_or_break_the_protocol)
{
    dx_channel_options options = accepting(type, LIMIT);
    int notes[2] = {make_note(1), make_note(2)};

    for (uint16_t announced = 0; announced < 2; announced++) {
        struct stranger stranger = meet_greeted(type, &options);
        struct header header = message_header(10, 2);

        header.flags = DXI_FLAG_MORE;
        ck_assert_int_eq(say_frame(&stranger, &header, pattern(10), 10, notes, 2), 0);
        header = message_header(10, announced);
        ck_assert_int_eq(say_frame(&stranger, &header, pattern(10), 10, notes, 1), 0);
        expect_error(stranger.channel, -EPROTO,
                     announced ? "the peer announced 1 descriptors in the middle of a message"
                               : "had not announced",
                     DX_NOW);
        part(&stranger);
    }
    close(notes[0]);
    close(notes[1]);
}

/* As a client would that writes plain frames together, and those with descriptors on their own. */
EACH_TYPE(test_a_stranger_that_does_it_right_is_understood)
{
    dx_channel_options options = accepting(type, LIMIT);
    struct stranger stranger = meet_greeted(type, &options);
    struct header header = message_header(3, LIMIT);
    int notes[LIMIT];
    dx_message message;

    for (unsigned i = 0; i < LIMIT; i++)
        notes[i] = make_note(i);
    for (int round = 0; round < 3; round++) {
        say_message(&stranger, "plain before");
        say_message(&stranger, "and more");
        ck_assert_int_eq(say_frame(&stranger, &header, "abc", 3, notes, LIMIT), 0);
        say_message(&stranger, "plain after");
        expect_text(stranger.channel, "plain before");
        expect_text(stranger.channel, "and more");
        ck_assert_int_eq(dx_recv(stranger.channel, &message, DX_NOW), 1);
        ck_assert_uint_eq(message.descriptor_count, LIMIT);
        for (unsigned i = 0; i < LIMIT; i++)
            ck_assert(same_file(message.descriptors[i], notes[i]));
        expect_text(stranger.channel, "plain after");
    }
    for (unsigned i = 0; i < LIMIT; i++)
        close(notes[i]);
    part(&stranger);
}

/* Take every descriptor but so many that this process may have. Returns how many were taken. */
static size_t use_up_descriptors(int *ret, size_t size, size_t but)
{
    struct rlimit limit;
    size_t count = 0;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = size;
    setrlimit(RLIMIT_NOFILE, &limit);
    while ((ret[count] = dup(STDERR_FILENO)) >= 0)
        count++;
    while (but-- > 0)
        close(ret[--count]);
    return count;
}

/* An empty packet is the end, whatever became of the descriptors on it, and what lies behind it is none's. */
START_TEST(test_descriptors_on_the_end_are_nobodys_whether_there_is_room_or_not)
{
    dx_channel_options options = accepting(DX_SEQPACKET, LIMIT);

    if (harness_valgrind())
        HARNESS_SKIP("valgrind has descriptors of its own beyond the limit");
    for (size_t room = 0; room < 2; room++) {
        struct stranger stranger = meet_greeted(DX_SEQPACKET, &options);
        int note = make_note(1), used[200];

        ck_assert_int_eq(say_with(&stranger, NULL, 0, &note, 1), 0);
        say_message(&stranger, "behind");
        close(note);
        size_t used_count = use_up_descriptors(used, sizeof(used) / sizeof(*used), room);
        int status = dx_recv(stranger.channel, &(dx_message){0}, 1000);

        while (used_count-- > 0)
            close(used[used_count]);
        ck_assert_int_eq(status, 0);
        expect_end(stranger.channel, DX_NOW);
        part(&stranger);
    }
}
END_TEST

static void lose_descriptors(dx_channel_type type, size_t size, size_t room)
{
    if (harness_valgrind())
        HARNESS_SKIP("valgrind has descriptors of its own beyond the limit");
    dx_channel_options options = accepting(type, LIMIT);
    struct pair pair = open_pair_with(&options);
    int notes[3], used[200];
    dx_message message;
    int status;

    for (unsigned i = 0; i < 3; i++)
        notes[i] = make_note(i);
    ck_assert_int_eq(send_numbered(pair.near, 1, 10, DX_NOW), 0);
    message = with_descriptors(numbered_payload(2, size), size, notes, 3);
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), 0);
    size_t count = use_up_descriptors(used, 200, room);

    expect_numbered(pair.far, 1, 10, DX_NOW);
    while ((status = dx_recv(pair.far, &message, DX_NOW)) == -ETIMEDOUT)
        (void)dx_flush(pair.near, DX_NOW);
    ck_assert_int_eq(status, -EMFILE);
    expect_explained(pair.far, "3 descriptors came with a message and were lost");
    /* Those that did find a place are closed again. */
    for (size_t i = 0; i < room; i++)
        ck_assert_int_ge(used[count++] = dup(STDERR_FILENO), 0);
    ck_assert_int_lt(dup(STDERR_FILENO), 0);
    while ((status = dx_recv(pair.far, &message, DX_NOW)) == -ETIMEDOUT)
        (void)dx_flush(pair.near, DX_NOW);
    ck_assert_int_eq(status, 1);
    ck_assert(is_numbered(&message, 2, size));
    ck_assert_uint_eq(message.descriptors_lost, 3);
    ck_assert_uint_eq(message.descriptor_count, 0);
    while (count > 0)
        close(used[--count]);

    /* What follows is untouched, its own descriptors included. */
    for (unsigned i = 0; i < 3; i++)
        notes[i] = make_note(i + 10);
    message = with_descriptors("next", 4, notes, 3);
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), 0);
    ck_assert_int_eq(send_numbered(pair.near, 4, 10, DX_NOW), 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
    ck_assert_uint_eq(message.descriptors_lost, 0);
    ck_assert_uint_eq(message.descriptor_count, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert(is_note(message.descriptors[i], i + 10));
    expect_numbered(pair.far, 4, 10, DX_NOW);
    expect_silence(pair.far);
    close_pair(&pair);
}

EACH_TYPE(test_descriptors_without_room_in_this_process_are_lost_and_it_is_said)
{
    lose_descriptors(type, 10, 0);
}

EACH_TYPE(test_descriptors_with_too_little_room_in_this_process_are_all_lost)
{
    lose_descriptors(type, 0, 1);
    lose_descriptors(type, 1000, 2);
}

EACH_TYPE(test_a_large_message_that_loses_its_descriptors_arrives_whole)
{
    lose_descriptors(type, 700000, 0);
    lose_descriptors(type, 700000, 2);
}

EACH_TYPE(test_two_messages_in_a_row_may_lose_their_descriptors)
{
    if (harness_valgrind())
        HARNESS_SKIP("valgrind has descriptors of its own beyond the limit");
    dx_channel_options options = accepting(type, LIMIT);
    struct pair pair = open_pair_with(&options);
    int used[200];
    dx_message message;

    for (unsigned i = 0; i < 2; i++) {
        int note = make_note(i);

        message = with_descriptors("x", 1, &note, 1);
        ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), 0);
    }
    size_t count = use_up_descriptors(used, 200, 0);

    /* Taken in, as by a sender; told when it is received. */
    dx_channel_process(pair.far);
    while (count > 0)
        close(used[--count]);
    for (unsigned i = 0; i < 2; i++) {
        expect_error(pair.far, -EMFILE, "1 descriptors came", DX_NOW);
        ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
        ck_assert_uint_eq(message.descriptors_lost, 1);
    }
    expect_silence(pair.far);
    close_pair(&pair);
}

EACH_TYPE(test_descriptors_in_messages_not_received_are_bounded)
{
    dx_channel_options options = accepting(type, LIMIT);
    struct pair pair = open_pair_with(&options);
    dx_message message;

    for (unsigned i = 0; i < 40; i++) {
        int notes[LIMIT];

        for (unsigned j = 0; j < LIMIT; j++)
            notes[j] = make_note(i * LIMIT + j);
        message = with_descriptors("x", 1, notes, 1 + i % LIMIT);
        ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), 0);
        for (unsigned j = 1 + i % LIMIT; j < LIMIT; j++)
            close(notes[j]);
    }
    size_t before = harness_open_descriptors();

    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(dx_channel_process(pair.far), 1);
    ck_assert_uint_le(harness_open_descriptors(), before + 4 * LIMIT);
    fill_outgoing(pair.far, 0, 50000);
    ck_assert_uint_le(harness_open_descriptors(), before + 4 * LIMIT);
    for (unsigned i = 0; i < 40; i++) {
        ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
        ck_assert_uint_eq(message.descriptor_count, 1 + i % LIMIT);
        for (unsigned j = 0; j < message.descriptor_count; j++)
            ck_assert(is_note(message.descriptors[j], i * LIMIT + j));
    }
    expect_silence(pair.far);
    close_pair(&pair);
}

/* The kernel tells that a packet was larger than the buffer, and has brought its descriptors. */
START_TEST(test_descriptors_of_a_packet_over_the_limit_are_closed)
{
    dx_channel_options options = accepting(DX_SEQPACKET, LIMIT);
    struct stranger stranger = meet_greeted(DX_SEQPACKET, &options);
    uint8_t *packet = calloc(1, DXI_PACKET_MAX + 1);
    int notes[LIMIT];
    int buffer = 2 * DXI_PACKET_MAX;

    ck_assert_ptr_nonnull(packet);
    ck_assert_int_eq(setsockopt(stranger.fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)), 0);
    for (unsigned i = 0; i < LIMIT; i++)
        notes[i] = make_note(i);
    size_t open_before = harness_open_descriptors();
    int said = say_with(&stranger, packet, DXI_PACKET_MAX + 1, notes, LIMIT);

    free(packet);
    for (unsigned i = 0; i < LIMIT; i++)
        close(notes[i]);
    if (said == -EMSGSIZE) {
        part(&stranger);
        HARNESS_SKIP("net.core.wmem_max lets no packet be so large");
    }
    ck_assert_int_eq(said, 0);
    expect_error(stranger.channel, -EPROTO, "packet", DX_NOW);
    ck_assert_uint_eq(harness_open_descriptors(), open_before - LIMIT);
    part(&stranger);
}
END_TEST

HARNESS_MAIN(
    "descriptor_limits", OF_EACH_TYPE(test_descriptors_that_were_not_announced_break_the_protocol),
    OF_EACH_TYPE(test_more_descriptors_than_announced_break_the_protocol),
    OF_EACH_TYPE(test_fewer_descriptors_than_announced_break_the_protocol),
    OF_EACH_TYPE(test_more_descriptors_than_the_limit_break_the_protocol),
    OF_EACH_TYPE(test_descriptors_where_none_is_welcome_break_the_protocol_or_are_not_let_through),
    OF_EACH_TYPE(test_descriptors_with_the_greeting_break_the_protocol),
    TEST(test_descriptors_in_the_middle_of_a_payload_break_the_protocol),
    TEST(test_descriptors_with_every_byte_break_the_protocol),
    OF_EACH_TYPE(test_descriptors_come_with_the_first_fragment_or_break_the_protocol),
    OF_EACH_TYPE(test_a_stranger_that_does_it_right_is_understood),
    OF_EACH_TYPE(test_descriptors_without_room_in_this_process_are_lost_and_it_is_said),
    OF_EACH_TYPE(test_descriptors_with_too_little_room_in_this_process_are_all_lost),
    OF_EACH_TYPE(test_a_large_message_that_loses_its_descriptors_arrives_whole),
    OF_EACH_TYPE(test_two_messages_in_a_row_may_lose_their_descriptors),
    TEST(test_descriptors_on_the_end_are_nobodys_whether_there_is_room_or_not),
    TEST(test_descriptors_of_a_packet_over_the_limit_are_closed),
    OF_EACH_TYPE(test_descriptors_in_messages_not_received_are_bounded))
