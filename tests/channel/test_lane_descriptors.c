/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in the lane go by the socket while their messages go by the ring: they find each
 * other, whichever comes first, fills up first, or is lost.
 */
#include "lanes.h"

#include <duplex/call.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXCHANGED = 1500 };

/* How many descriptors a message has, and how large it is: none and small, mostly. */
static size_t notes_of(unsigned number)
{
    return number % 5 == 0 ? number % 4 : number % 211 == 7 ? 8 : 0;
}

static size_t size_of(unsigned number)
{
    return number % 97 == 0 ? 400000 : number * 31 % 3000;
}

/* As make_note(), in a child too, where an assertion of the test's would go astray. */
static int note(unsigned number)
{
    int fd = memfd_create("note", MFD_CLOEXEC);

    if (fd < 0 || write(fd, &number, sizeof(number)) != sizeof(number))
        harness_child_fail(__FILE__, __LINE__, "memfd_create");
    return fd;
}

static int send_with_notes(dx_channel *channel, unsigned number, int timeout_ms)
{
    int notes[8];
    size_t count = notes_of(number);
    dx_message message =
        with_descriptors(numbered_payload(number, size_of(number)), size_of(number), notes, count);

    for (size_t i = 0; i < count; i++)
        notes[i] = note(number + (unsigned)i);
    int status = dx_send_message(channel, &message, timeout_ms);

    for (size_t i = 0; status < 0 && i < count; i++)
        close(notes[i]);
    return status;
}

static bool is_with_notes(const dx_message *message, unsigned number)
{
    if (!is_numbered(message, number, size_of(number)) ||
        message->descriptor_count != notes_of(number))
        return false;
    for (size_t i = 0; i < message->descriptor_count; i++)
        if (!is_note(message->descriptors[i], number + (unsigned)i))
            return false;
    return true;
}

static bool exchange(dx_channel *channel, unsigned count, unsigned ahead)
{
    unsigned sent = 0;
    dx_message message;

    for (unsigned heard = 0; heard < count; heard++) {
        for (; sent < count && sent < heard + ahead; sent++)
            if (send_with_notes(channel, sent, 20000) < 0)
                return false;
        if (dx_recv(channel, &message, 20000) != 1 || !is_with_notes(&message, heard))
            return false;
    }
    return true;
}

struct plan {
    unsigned count, ahead;
};

static int exchange_in_child(dx_channel *channel, void *context)
{
    const struct plan *plan = context;

    harness_child_assert(exchange(channel, plan->count, plan->ahead));
    return 0;
}

EACH_LANE(test_two_processes_exchange_descriptors)
{
    for (unsigned ahead = 1; ahead < 40; ahead += 12) {
        struct plan plan = {EXCHANGED / (unsigned)slowness(), ahead};
        struct family family = start_family(type, exchange_in_child, &plan);

        ck_assert_msg(exchange(family.channel, plan.count, ahead), "%u ahead: %s", ahead,
                      dx_channel_explain(family.channel));
        end_family(&family);
    }
}

/* The socket is full of them before the ring is full of messages. */
EACH_LANE(test_a_send_with_descriptors_waits_for_the_socket)
{
    struct pair pair = open_lane_with(&(dx_channel_options){
        .type = type, .descriptor_limit = DX_DESCRIPTORS_MAX, .socket_buffer = 4096});
    unsigned sent = 0;
    int status;

    for (;; sent++) {
        int note = make_note(sent);
        dx_message message = with_descriptors("m", 1, &note, 1);

        status = dx_send_message(pair.near, &message, 50);
        if (status < 0) {
            close(note);
            break;
        }
        ck_assert_uint_lt(sent, 10000);
    }
    ck_assert_msg(status == -ETIMEDOUT || status == -ETOOMANYREFS, "%d", status);
    ck_assert_uint_gt(sent, 3);
    /* What has none would find room in the ring, and finds it. */
    ck_assert_int_eq(dx_send(pair.near, "plain", 5, 1000), 0);
    for (unsigned i = 0; i < sent; i++) {
        dx_message message;

        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
        ck_assert_uint_eq(message.descriptor_count, 1);
        ck_assert(is_note(message.descriptors[0], i));
    }
    dx_message message;

    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert_uint_eq(message.size, 5);
    int note = make_note(7);
    dx_message last = with_descriptors("last", 4, &note, 1);

    ck_assert_int_eq(dx_send_message(pair.near, &last, 1000), 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert_uint_eq(message.descriptor_count, 1);
    close_pair(&pair);
}

/*
 * More of them than may wait here to be received: the rest waits in the socket, and nothing
 * breaks.
 */
EACH_LANE(test_many_messages_with_descriptors_wait_to_be_received)
{
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type, .descriptor_limit = 2});
    unsigned sent = 0;

    for (; sent < 60; sent++) {
        int notes[2] = {make_note(sent), make_note(sent + 1)};
        dx_message message = with_descriptors(numbered_payload(sent, 100), 100, notes, 2);

        if (dx_send_message(pair.near, &message, 0) < 0) {
            close(notes[0]);
            close(notes[1]);
            break;
        }
        ck_assert_int_ge(dx_channel_process(pair.far), 0);
    }
    ck_assert_uint_gt(sent, 20);
    for (unsigned i = 0; i < sent; i++) {
        dx_message message;

        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
        ck_assert(is_numbered(&message, i, 100));
        ck_assert_uint_eq(message.descriptor_count, 2);
        ck_assert(is_note(message.descriptors[1], i + 1));
    }
    expect_silence(pair.far);
    close_pair(&pair);
}

EACH_LANE(test_a_full_table_of_descriptors_costs_them_and_no_message)
{
    if (harness_valgrind())
        HARNESS_SKIP("valgrind has descriptors of its own beyond the limit");
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type, .descriptor_limit = 2});
    struct rlimit limit;
    struct rlimit none;
    dx_message message;

    for (unsigned i = 0; i < 3; i++) {
        int note = make_note(i);

        message = with_descriptors(numbered_payload(i, 50), 50, &note, 1);
        ck_assert_int_eq(send_numbered(pair.near, 100 + i, 10, 1000), 0);
        ck_assert_int_eq(dx_send_message(pair.near, &message, 1000), 0);
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    for (unsigned i = 0; i < 3; i++) {
        expect_numbered(pair.far, 100 + i, 10, 1000);
        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), -EMFILE);
        ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
        ck_assert(is_numbered(&message, i, 50));
        ck_assert_uint_eq(message.descriptor_count, 0);
        ck_assert_uint_eq(message.descriptors_lost, 1);
    }
    setrlimit(RLIMIT_NOFILE, &limit);
    int note = make_note(9);

    message = with_descriptors("x", 1, &note, 1);
    ck_assert_int_eq(dx_send_message(pair.near, &message, 1000), 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert(is_note(message.descriptors[0], 9));
    close_pair(&pair);
}

/* One that was taken outlives its message, as by the socket. */
EACH_LANE(test_a_descriptor_is_taken_or_closed)
{
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type, .descriptor_limit = 2});
    int notes[2] = {make_note(1), make_note(2)};
    dx_message message = with_descriptors("x", 1, notes, 2);

    ck_assert_int_eq(dx_send_message(pair.near, &message, 1000), 0);
    ck_assert_int_eq(notes[0], -1);
    ck_assert_int_eq(notes[1], -1);
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    int left = message.descriptors[0];
    int taken = dx_message_take(&message, 1);

    expect_silence(pair.far);
    ck_assert(!is_open(left));
    ck_assert(is_note(taken, 2));
    close(taken);
    close_pair(&pair);
}

/* What is not open is refused, and nothing of the message has left. */
EACH_LANE(test_what_is_no_descriptor_is_refused)
{
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type, .descriptor_limit = 4});
    int note = make_note(1);
    int wrong[2] = {note, 999};
    dx_message message = with_descriptors("x", 1, wrong, 2);

    ck_assert_int_eq(dx_send_message(pair.near, &message, 1000), -EBADF);
    ck_assert(is_note(note, 1));
    expect_silence(pair.far);
    carry(pair.near, pair.far, 1, 100);
    message = with_descriptors("x", 1, &note, 1);
    ck_assert_int_eq(dx_send_message(pair.near, &message, 1000), 0);
    ck_assert_int_eq(dx_recv(pair.far, &message, 1000), 1);
    ck_assert(is_note(message.descriptors[0], 1));
    close_pair(&pair);
}

/* With requests and replies, as with messages. */
static int answer_with_note(dx_channel *channel, const dx_message *request, void *context)
{
    int fd = note(77);
    dx_message reply = with_descriptors("r", 1, &fd, 1);

    (void)context;
    harness_child_assert(request->descriptor_count == 1);
    harness_child_assert(is_note(request->descriptors[0], 55));
    return dx_reply_message(channel, request->id, &reply, 5000);
}

static int serve(dx_channel *channel, void *context)
{
    dx_message message;

    (void)context;
    dx_channel_on_request(channel, answer_with_note, NULL);
    while (dx_recv(channel, &message, DX_FOREVER) == 1)
        continue;
    return 0;
}

EACH_LANE(test_calls_carry_descriptors_both_ways)
{
    struct family family = start_family(type, serve, NULL);

    for (unsigned i = 0; i < 300; i++) {
        int note = make_note(55);
        dx_message request = with_descriptors("q", 1, &note, 1);
        dx_message reply;

        ck_assert_int_eq(dx_call_message(family.channel, &request, &reply, 5000), 0);
        ck_assert_uint_eq(reply.descriptor_count, 1);
        ck_assert(is_note(reply.descriptors[0], 77));
    }
    end_family(&family);
}

/* Who sends as many as he can between two looks of the receiver: at the ring, and at the socket. */
static dx_channel *sender;
static unsigned sent_between;

static ssize_t receive_after_many(int fd, void *bytes, size_t size, struct dxi_arrival *arrival)
{
    dx_channel *channel = sender;

    sender = NULL;
    while (channel) {
        int notes[8];
        dx_message message = with_descriptors("x", 1, notes, 8);

        for (unsigned i = 0; i < 8; i++)
            notes[i] = make_note(sent_between * 8 + i);
        if (dx_send_message(channel, &message, DX_NOW) == 0) {
            sent_between++;
            continue;
        }
        for (unsigned i = 0; i < 8; i++)
            close(notes[i]);
        channel = NULL;
    }
    return dxi_linux.receive(fd, bytes, size, arrival);
}

EACH_LANE(test_descriptors_that_come_between_two_looks_are_not_too_many)
{
    struct pair pair = open_lane_with(&(dx_channel_options){.type = type, .descriptor_limit = 8});
    struct dxi_os table = dxi_linux;
    dx_message message;

    table.receive = receive_after_many;
    dxi_os = &table;
    sender = pair.near;
    sent_between = 0;
    for (unsigned i = 0; i == 0 || i < sent_between; i++) {
        ck_assert_msg(dx_recv(pair.far, &message, 1000) == 1, "%u of %u: %s", i, sent_between,
                      dx_channel_explain(pair.far));
        ck_assert_uint_eq(message.descriptor_count, 8);
        for (unsigned k = 0; k < 8; k++)
            ck_assert(is_note(message.descriptors[k], i * 8 + k));
    }
    ck_assert_uint_gt(sent_between, 16);
    dxi_os = &dxi_linux;
    close_pair(&pair);
}

HARNESS_MAIN("lane_descriptors", OF_EACH_LANE_WITHIN(test_two_processes_exchange_descriptors, 60),
             OF_EACH_LANE(test_a_send_with_descriptors_waits_for_the_socket),
             OF_EACH_LANE(test_many_messages_with_descriptors_wait_to_be_received),
             OF_EACH_LANE(test_a_full_table_of_descriptors_costs_them_and_no_message),
             OF_EACH_LANE(test_a_descriptor_is_taken_or_closed),
             OF_EACH_LANE(test_what_is_no_descriptor_is_refused),
             OF_EACH_LANE(test_calls_carry_descriptors_both_ways),
             OF_EACH_LANE(test_descriptors_that_come_between_two_looks_are_not_too_many))
