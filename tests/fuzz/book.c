/* SPDX-License-Identifier: MIT */
/*
 * The book of what the user has sent, and the comparison with what has left. See play.h.
 *
 * A message's bytes are digits, which every framing carries and which are a number in JSON; each
 * message begins with another one.
 */
#include "play.h"

#include "targets.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { DIGITS = 9 };

static uint8_t digits[DIGITS + PLAY_SIZE_MAX];

const uint8_t *book_bytes(const struct play_send *send)
{
    if (digits[0] == 0)
        for (size_t i = 0; i < sizeof(digits); i++)
            digits[i] = (uint8_t)('1' + i % DIGITS);
    return digits + send->seed % DIGITS;
}

struct play_send *book_begin(enum dxi_kind kind, size_t size, unsigned descriptors)
{
    static struct play_send beyond;
    struct play_send *send = &beyond;

    if (play.send_count < PLAY_SENDS_MAX)
        send = &play.sends[play.send_count++];
    else
        play.unbooked = true;
    *send = (struct play_send){
        .kind = (uint8_t)kind,
        .became = PLAY_SENDING,
        .size = size,
        .seed = (unsigned)play.send_count,
        .descriptors = descriptors,
    };
    return send;
}

int book_end(struct play_send *send, int status)
{
    send->became = status == 0 ? PLAY_SENT : PLAY_REFUSED;
    return status;
}

/* Whether a message that has left is the one that was sent. */
static bool is_that(const struct play_send *send, const struct dxi_frame *frame,
                    const uint8_t *bytes, size_t size)
{
    uint8_t kind = frame->kind == DXI_KIND_NODE_HANDLE ? (uint8_t)DXI_KIND_MESSAGE : frame->kind;

    return send->became != PLAY_REFUSED && send->kind == kind && send->size == size &&
           memcmp(book_bytes(send), bytes, size) == 0;
}

/*
 * So many of the sends may be behind what has left so far. More than one number is possible where it is
 * not known whether a message has left, as of a call without an answer.
 */
struct places {
    bool can[PLAY_SENDS_MAX + 1];
};

/* A message has left: it is one of those that follow, and none between that was sent. */
static void pass(struct places *places, const struct dxi_frame *frame, const uint8_t *bytes,
                 size_t size)
{
    struct places after = {{false}};
    bool found = false;

    /* A handle that was refused is sent once more. It may also be another with the same bytes. */
    for (size_t i = 0; frame->kind == DXI_KIND_NODE_HANDLE && i < play.send_count; i++)
        if (places->can[i + 1] && is_that(&play.sends[i], frame, bytes, size))
            found = after.can[i + 1] = true;
    for (size_t i = 0; i < play.send_count; i++) {
        const struct play_send *send = &play.sends[i];

        if (!places->can[i])
            continue;
        if (is_that(send, frame, bytes, size))
            found = after.can[i + 1] = true;
        if (send->became != PLAY_SENT)
            places->can[i + 1] = true;
    }
    require(found);
    *places = after;
}

static bool is_booked(uint8_t kind)
{
    return (kind >= DXI_KIND_MESSAGE && kind <= DXI_KIND_REPLY) || kind == DXI_KIND_NODE_HANDLE ||
           (kind >= DXI_KIND_FLUSH && kind <= DXI_KIND_RESPONSE_END);
}

void book_compare(void)
{
    static uint8_t whole[PLAY_SIZE_MAX];
    struct dxi_decoder decoder = {.message_limit = PLAY_SIZE_MAX,
                                  .descriptor_limit = DX_DESCRIPTORS_MAX,
                                  .words = UINT16_MAX};
    struct dxi_frame frame;
    struct places places = {{true}};
    size_t at = 0, assembled = 0;

    /* Of these nobody can say where one message ends. */
    if (play.framing->has_no_borders)
        return;
    for (;;) {
        memset(&frame, 0, sizeof(frame));
        int status = play.framing->decode(&decoder, world.out + at, world.out_size - at, &frame);

        /* In the ring any byte may be another by now. */
        if (play.unbooked)
            return;
        require(status >= 0);
        if (status == 0)
            return;
        if (is_booked(frame.kind)) {
            memcpy(whole + assembled, world.out + at + frame.header, frame.size);
            assembled += frame.size;
            if (!frame.more)
                pass(&places, &frame, whole, assembled);
            if (!frame.more)
                assembled = 0;
        }
        play.framing->consume(&decoder, &frame);
        at += dxi_frame_total(&frame);
    }
}

/* Receiving. */

/* A message as it is remembered. It may come in pieces. */
static void add_piece(struct play_got *got, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        got->sum = (got->sum ^ bytes[i]) * 0x100000001b3;
    got->size += size;
}

void book_receive(const dx_message *message)
{
    if (message->kind != DX_MESSAGE)
        return;
    if (play.got_count < PLAY_SENDS_MAX) {
        play.got[play.got_count] = (struct play_got){0};
        add_piece(&play.got[play.got_count], message->data, message->size);
    }
    play.got_count++;
}

/* Whether what was received in this place is this. More than the book holds is not compared. */
static void expect(size_t place, const struct play_got *wanted)
{
    if (place >= play.got_count || place >= PLAY_SENDS_MAX)
        return;
    require(play.got[place].sum == wanted->sum && play.got[place].size == wanted->size);
}

/* Go on to the next message that was said. False: there is none, or nobody can say what it is for. */
static bool next_said(struct dxi_decoder *decoder, size_t *at, struct play_got *ret,
                      bool *ret_clean)
{
    struct dxi_frame frame;

    *ret = (struct play_got){0};
    for (;;) {
        const uint8_t *bytes = world.in + *at;
        size_t left = world.in_size - *at;

        memset(&frame, 0, sizeof(frame));
        int status = play.framing->decode(decoder, bytes, left, &frame);

        if (status == 0 && !play.worker)
            status = play.framing->decode_last(decoder, bytes, left, &frame);
        /* What follows comes by the ring, or may not be welcome. */
        *ret_clean = status == 0;
        if (status != 1 || frame.kind == DXI_KIND_ACCEPT || frame.kind == DXI_KIND_SWITCH ||
            frame.kind == DXI_KIND_NODE_HANDLE) {
            play.unheard = status == 1;
            return false;
        }
        if (frame.kind == DXI_KIND_MESSAGE)
            add_piece(ret, bytes + frame.header, frame.size);
        play.framing->consume(decoder, &frame);
        *at += dxi_frame_total(&frame);
        if (frame.kind == DXI_KIND_MESSAGE && !frame.more)
            return true;
    }
}

void book_compare_received(void)
{
    struct dxi_decoder decoder = {
        .message_limit = play.channel->message_limit,
        .descriptor_limit = play.channel->descriptor_limit,
        .strip_cr = play.options.strip_cr,
        .words = UINT16_MAX,
    };
    struct play_got said;
    size_t at = 0, place = 0;
    bool clean;

    /* Where there are no ids, a message may be an answer, and what was cut by a death a last line. */
    if (play.framing->has_no_borders ||
        (!play.framing->has_ids && (play.channel->calls.last_id > 0 || world.dead)))
        return;
    while (next_said(&decoder, &at, &said, &clean))
        expect(place++, &said);
    if (play.unheard)
        return;
    require(play.got_count <= place);
    /* An end that is in order comes behind all that was said. */
    if (play.over_status == 0 && clean && world.type == SOCK_STREAM && !world.dead && !play.failed)
        require(play.got_count == place);
}
