/* SPDX-License-Identifier: MIT */
/*
 * Descriptors travel with their message and arrive with it: moved on success, still the caller's on
 * failure, closed if nobody takes them.
 */
#include "support.h"

#include "meter.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pair open_pair_for(dx_channel_type type, unsigned descriptor_limit)
{
    return open_pair_with(&(dx_channel_options){.type = type,
                                                .descriptor_limit = descriptor_limit});
}

static void make_notes(int *ret, unsigned first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ret[i] = make_note(first + (unsigned)i);
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

/* A numbered message with so many notes, counted from its number. */
static int send_notes(dx_channel *channel, unsigned number, size_t size, size_t count,
                      int timeout_ms)
{
    int notes[DX_DESCRIPTORS_MAX];

    make_notes(notes, number, count);
    dx_message message = with_descriptors(numbered_payload(number, size), size, notes, count);
    int status = dx_send_message(channel, &message, timeout_ms);

    if (status < 0)
        close_all(notes, count);
    return status;
}

static void check_notes(const dx_message *message, unsigned number, size_t size, size_t count)
{
    ck_assert_msg(is_numbered(message, number, size), "message %u is another", number);
    ck_assert_uint_eq(message->descriptor_count, count);
    for (size_t i = 0; i < count; i++) {
        ck_assert(is_note(message->descriptors[i], number + (unsigned)i));
        ck_assert(is_cloexec(message->descriptors[i]));
    }
}

static void expect_notes(dx_channel *channel, unsigned number, size_t size, size_t count)
{
    dx_message message;
    int status = dx_recv(channel, &message, 1000);

    ck_assert_msg(status == 1, "message %u: %d: %s", number, status, dx_channel_explain(channel));
    check_notes(&message, number, size, count);
}

EACH_TYPE(test_any_number_of_descriptors_arrives_in_order)
{
    static const size_t counts[] = {1, 2, 3, 4, 5, 63, 64, 65, 100, 252, 253};
    struct pair pair = open_pair_for(type, DX_DESCRIPTORS_MAX);
    size_t open_before = harness_open_descriptors();

    for (unsigned i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        ck_assert_int_eq(send_notes(pair.near, i * 1000, i * 100, counts[i], DX_NOW), 0);
        expect_notes(pair.far, i * 1000, i * 100, counts[i]);
    }
    expect_silence(pair.far);
    ck_assert_uint_eq(harness_open_descriptors(), open_before);
    close_pair(&pair);
}

EACH_TYPE(test_a_descriptor_is_the_same_file_at_the_other_end)
{
    struct pair pair = open_pair_for(type, 1);
    int note = make_note(7);
    int mine = dup(note);
    dx_message message = with_descriptors("x", 1, &note, 1);

    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), 0);
    ck_assert(!is_open(note));
    ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
    int taken = dx_message_take(&message, 0);

    ck_assert(same_file(taken, mine));
    close(taken);
    close(mine);
    close_pair(&pair);
}

EACH_TYPE(test_what_is_not_taken_is_closed_with_the_next_receive)
{
    struct pair pair = open_pair_for(type, 3);
    dx_message message;

    ck_assert_int_eq(send_notes(pair.near, 1, 5, 3, DX_NOW), 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
    int kept = dx_message_take(&message, 1);
    int left[2] = {message.descriptors[0], message.descriptors[2]};

    ck_assert_int_ge(kept, 0);
    ck_assert_int_eq(message.descriptors[1], -1);
    ck_assert_int_eq(dx_message_take(&message, 1), -EBADF);
    ck_assert_int_eq(dx_message_take(&message, 3), -EINVAL);
    ck_assert_int_eq(dx_message_take(&message, SIZE_MAX), -EINVAL);
    ck_assert(is_open(left[0]) && is_open(left[1]));

    /* Also when that receive has nothing to say. */
    expect_silence(pair.far);
    ck_assert(!is_open(left[0]) && !is_open(left[1]));
    ck_assert(is_note(kept, 2));
    close(kept);
    close_pair(&pair);
}

EACH_TYPE(test_what_is_not_taken_is_closed_with_the_channel)
{
    struct pair pair = open_pair_for(type, 4);
    dx_message message;
    size_t open_before = harness_open_descriptors();

    ck_assert_int_eq(send_notes(pair.near, 1, 5, 2, DX_NOW), 0);
    ck_assert_int_eq(send_notes(pair.near, 4, 5, 4, DX_NOW), 0);
    ck_assert_int_eq(send_notes(pair.near, 9, 5, 1, DX_NOW), 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
    int kept = dx_message_take(&message, 0);

    /* One message is the user's, others have been taken in, or lie in the kernel. */
    ck_assert_int_eq(dx_channel_process(pair.far), 1);
    close_pair(&pair);
    ck_assert(is_note(kept, 1));
    close(kept);
    ck_assert_uint_eq(harness_open_descriptors(), open_before - 2);
}

EACH_TYPE(test_descriptors_keep_to_their_message_among_others)
{
    struct pair pair = open_pair_for(type, 10);

    srandom(2);
    for (unsigned round = 0; round < 60; round++) {
        size_t sizes[8], counts[8];

        for (unsigned i = 0; i < 8; i++) {
            sizes[i] = (size_t)random() % 200;
            counts[i] = random() % 2 ? (size_t)random() % 11 : 0;
            ck_assert_int_eq(send_notes(pair.near, i * 100, sizes[i], counts[i], 1000), 0);
        }
        for (unsigned i = 0; i < 8; i++)
            expect_notes(pair.far, i * 100, sizes[i], counts[i]);
    }
    close_pair(&pair);
}

EACH_TYPE(test_descriptors_keep_to_their_message_when_corked)
{
    struct pair pair = open_pair_for(type, 2);

    ck_assert_int_eq(dx_cork(pair.near), 0);
    for (unsigned i = 0; i < 30; i++)
        ck_assert_int_eq(send_notes(pair.near, i, 40, i % 7 == 3 ? 2 : 0, DX_NOW), 0);
    ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
    for (unsigned i = 0; i < 30; i++)
        expect_notes(pair.far, i, 40, i % 7 == 3 ? 2 : 0);
    close_pair(&pair);
}

/* Taken in while it waits to send: bound when received, not when read. */
EACH_TYPE(test_descriptors_that_a_sender_took_in_keep_to_their_message)
{
    struct pair pair = open_pair_for(type, 5);

    for (unsigned i = 0; i < 6; i++)
        ck_assert_int_eq(send_notes(pair.far, i * 10, 300, i % 2 ? 5 : 0, DX_NOW), 0);
    fill_outgoing(pair.near, 0, 50000);
    for (unsigned i = 0; i < 6; i++)
        expect_notes(pair.near, i * 10, 300, i % 2 ? 5 : 0);
    close_pair(&pair);
}

/* On a stream the descriptors ride on the first segment, and sending them again would double them. */
EACH_TYPE(test_descriptors_of_a_large_message_come_once)
{
    struct pair pair = open_pair_for(type, 3);
    size_t open_before = harness_open_descriptors();

    for (unsigned i = 0; i < 4; i++) {
        size_t size = MIB + i;
        dx_message message;
        int status;

        ck_assert_int_eq(send_notes(pair.near, i, size, 3, DX_NOW), 0);
        while ((status = dx_recv(pair.far, &message, DX_NOW)) == -ETIMEDOUT)
            (void)dx_flush(pair.near, DX_NOW);
        ck_assert_int_eq(status, 1);
        check_notes(&message, i, size, 3);
        carry(pair.near, pair.far, i, 10);
    }
    ck_assert_uint_eq(harness_open_descriptors(), open_before);
    close_pair(&pair);
}

START_TEST(test_descriptors_come_once_if_the_kernel_takes_a_byte_at_a_time)
{
    meter_install();
    struct pair pair = open_pair_for(DX_STREAM, 3);

    meter.send_at_most = 1;
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(send_notes(pair.near, i, 20, i % 4, 1000), 0);
    for (unsigned i = 0; i < 5; i++)
        expect_notes(pair.far, i, 20, i % 4);
    expect_silence(pair.far);
    close_pair(&pair);
}
END_TEST

START_TEST(test_descriptors_keep_to_their_message_if_the_kernel_gives_little_at_a_time)
{
    meter_install();
    struct pair pair = open_pair_for(DX_STREAM, 3);

    for (size_t piece = 1; piece < 40; piece++) {
        meter.receive_at_most = piece;
        if (piece % 2)
            ck_assert_int_eq(dx_cork(pair.near), 0);
        for (unsigned i = 0; i < 8; i++)
            ck_assert_int_eq(send_notes(pair.near, i, i * 5, i % 4, DX_NOW), 0);
        ck_assert_int_eq(dx_flush(pair.near, DX_NOW), 0);
        for (unsigned i = 0; i < 8; i++)
            expect_notes(pair.far, i, i * 5, i % 4);
    }
    close_pair(&pair);
}
END_TEST

EACH_TYPE(test_descriptors_stay_the_callers_when_the_message_is_not_sent)
{
    struct pair pair = open_pair_for(type, 2);
    int notes[3];

    make_notes(notes, 1, 3);
    dx_message message = with_descriptors("x", 1, notes, 2);

    expect_silence(pair.near);
    fill_outgoing(pair.near, 0, 1000);
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -ETIMEDOUT);
    message.descriptor_count = 3;
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -EMSGSIZE);
    expect_explained(pair.near, "3 descriptors; the peer accepts at most 2 with a message");
    message.descriptor_count = 1;
    message.size = DX_MESSAGE_LIMIT_DEFAULT + 1;
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -EMSGSIZE);
    message.size = 1;
    pair.far = dx_channel_close(pair.far);
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -EPIPE);
    for (unsigned i = 0; i < 3; i++)
        ck_assert(is_note(notes[i], i + 1));
    close_all(notes, 3);
    close_pair(&pair);
}

EACH_TYPE(test_more_descriptors_than_the_kernel_carries_are_refused)
{
    struct pair pair = open_pair_for(type, DX_DESCRIPTORS_MAX);
    int note = make_note(1);
    int many[DX_DESCRIPTORS_MAX + 1];

    for (size_t i = 0; i < DX_DESCRIPTORS_MAX + 1; i++)
        many[i] = note;
    dx_message message = with_descriptors("x", 1, many, DX_DESCRIPTORS_MAX + 1);

    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -EMSGSIZE);
    expect_explained(pair.near, "254 descriptors; a message carries at most 253");
    message.descriptor_count = 70000;
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -EMSGSIZE);
    expect_silence(pair.far);
    ck_assert(is_open(note));
    close(note);
    close_pair(&pair);
}

EACH_TYPE(test_a_descriptor_that_is_not_open_is_refused)
{
    struct pair pair = open_pair_for(type, 4);
    int notes[3] = {make_note(1), 1000, make_note(2)};
    dx_message message = with_descriptors("x", 1, notes, 3);

    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -EBADF);
    expect_explained(pair.near, "is not open");
    notes[1] = -1;
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -EBADF);
    ck_assert(is_note(notes[0], 1) && is_note(notes[2], 2));
    expect_silence(pair.far);
    carry(pair.near, pair.far, 1, 100);
    close(notes[0]);
    close(notes[2]);
    close_pair(&pair);
}

EACH_TYPE(test_a_peer_that_accepts_no_descriptors_is_not_sent_any)
{
    struct pair pair = open_pair(type);
    int note = make_note(1);
    dx_message message = with_descriptors("x", 1, &note, 1);

    expect_silence(pair.near);
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -EPERM);
    expect_explained(pair.near, "the peer accepts no descriptors");
    ck_assert(is_note(note, 1));
    expect_silence(pair.far);
    carry(pair.near, pair.far, 1, 100);
    close(note);
    close_pair(&pair);
}

/* The greeting that forbids it lies in the kernel already: the sender looks before it sends. */
EACH_TYPE(test_a_first_message_with_descriptors_meets_the_greeting)
{
    struct pair pair = open_pair(type);
    int note = make_note(1);
    dx_message message = with_descriptors("x", 1, &note, 1);

    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -EPERM);
    ck_assert(is_note(note, 1));
    carry(pair.near, pair.far, 1, 100);
    close(note);
    close_pair(&pair);
}

EACH_TYPE(test_too_many_references_leave_the_descriptors_with_the_caller)
{
    meter_install();
    struct pair pair = open_pair_for(type, 4);
    int note = make_note(1);
    dx_message message = with_descriptors("x", 1, &note, 1);

    meter_fail(CALL_SEND, 1, 1, -ETOOMANYREFS);
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), -ETOOMANYREFS);
    expect_explained(pair.near, "in flight");
    ck_assert(is_note(note, 1));
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), 0);
    ck_assert(!is_open(note));
    ck_assert_int_eq(dx_recv(pair.far, &message, DX_NOW), 1);
    ck_assert(is_note(message.descriptors[0], 1));
    close_pair(&pair);
}

EACH_TYPE(test_an_end_of_a_channel_can_be_passed_through_a_channel)
{
    struct pair outer = open_pair_for(type, 1);
    int fds[2];
    dx_channel *inner[2];

    raw_pair(type, fds);
    dx_message message = with_descriptors("an end", 6, &fds[1], 1);

    ck_assert_int_eq(dx_send_message(outer.near, &message, DX_NOW), 0);
    ck_assert_int_eq(dx_recv(outer.far, &message, DX_NOW), 1);
    int end = dx_message_take(&message, 0);

    ck_assert_int_eq(dx_channel_attach(&inner[0], fds[0], fds[0], NULL), 0);
    ck_assert_int_eq(dx_channel_attach(&inner[1], end, end, NULL), 0);
    carry(inner[0], inner[1], 5, 300000);
    dx_channel_close(inner[0]);
    expect_end(inner[1], DX_NOW);
    dx_channel_close(inner[1]);
    close_pair(&outer);
}

EACH_TYPE(test_fragments_bring_their_descriptors_with_the_first)
{
    struct pair pair = open_pair_with(&(dx_channel_options){
        .type = type, .descriptor_limit = 2, .socket_buffer = 4096});

    for (unsigned i = 0; i < 10; i++) {
        dx_message message;
        int status;

        ck_assert_int_eq(send_notes(pair.near, i, 50000 + i, i % 3, DX_NOW), 0);
        while ((status = dx_recv(pair.far, &message, DX_NOW)) == -ETIMEDOUT)
            (void)dx_flush(pair.near, DX_NOW);
        ck_assert_int_eq(status, 1);
        check_notes(&message, i, 50000 + i, i % 3);
    }
    close_pair(&pair);
}

/* Another thread may have got the number by the second time. */
static unsigned closed_in_vain;

static int close_counted(int fd)
{
    int status = dxi_linux.close(fd);

    closed_in_vain += status == -EBADF;
    return status;
}

START_TEST(test_a_descriptor_that_is_given_twice_is_closed_once)
{
    struct pair pair = open_pair_for(DX_STREAM, 4);
    struct dxi_os counting = dxi_linux;
    int note = make_note(7);
    int twice[] = {note, note};
    dx_message message = with_descriptors("x", 1, twice, 2);

    counting.close = close_counted;
    dxi_os = &counting;
    ck_assert_int_eq(dx_send_message(pair.near, &message, DX_NOW), 0);
    ck_assert_uint_eq(closed_in_vain, 0);
    ck_assert(twice[0] == -1 && twice[1] == -1 && !is_open(note));
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert_uint_eq(message.descriptor_count, 2);
    ck_assert(is_note(message.descriptors[0], 7) &&
              same_file(message.descriptors[0], message.descriptors[1]));
    close_pair(&pair);
    ck_assert_uint_eq(closed_in_vain, 0);
    dxi_os = &dxi_linux;
}
END_TEST

HARNESS_MAIN("descriptors", OF_EACH_TYPE(test_any_number_of_descriptors_arrives_in_order),
             OF_EACH_TYPE(test_a_descriptor_is_the_same_file_at_the_other_end),
             OF_EACH_TYPE(test_what_is_not_taken_is_closed_with_the_next_receive),
             OF_EACH_TYPE(test_what_is_not_taken_is_closed_with_the_channel),
             OF_EACH_TYPE(test_descriptors_keep_to_their_message_among_others),
             OF_EACH_TYPE(test_descriptors_keep_to_their_message_when_corked),
             OF_EACH_TYPE(test_descriptors_that_a_sender_took_in_keep_to_their_message),
             OF_EACH_TYPE(test_descriptors_of_a_large_message_come_once),
             TEST(test_descriptors_come_once_if_the_kernel_takes_a_byte_at_a_time),
             TEST(test_descriptors_keep_to_their_message_if_the_kernel_gives_little_at_a_time),
             OF_EACH_TYPE(test_descriptors_stay_the_callers_when_the_message_is_not_sent),
             OF_EACH_TYPE(test_more_descriptors_than_the_kernel_carries_are_refused),
             OF_EACH_TYPE(test_a_descriptor_that_is_not_open_is_refused),
             TEST(test_a_descriptor_that_is_given_twice_is_closed_once),
             OF_EACH_TYPE(test_a_peer_that_accepts_no_descriptors_is_not_sent_any),
             OF_EACH_TYPE(test_a_first_message_with_descriptors_meets_the_greeting),
             OF_EACH_TYPE(test_too_many_references_leave_the_descriptors_with_the_caller),
             OF_EACH_TYPE(test_an_end_of_a_channel_can_be_passed_through_a_channel),
             OF_EACH_TYPE(test_fragments_bring_their_descriptors_with_the_first))
