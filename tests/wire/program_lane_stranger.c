/* SPDX-License-Identifier: MIT */
/*
 * A child that was written by docs/wire.md and docs/lane.md alone: it takes part in a fast lane as the
 * acceptor, sends each message and its descriptors back, and says the end when it hears it. It knows
 * nothing of src/. It leaves with another status than 0 at anything that it did not expect.
 */
#include "by_hand.h"

#include <string.h>
#include <unistd.h>

enum { PIECE = 64 << 10 };

/* The descriptors are those of the message: they are gone then. */
static void say_message(const uint8_t *message, size_t size, size_t count)
{
    size_t piece = hand.out_fast && size > PIECE ? size : (size_t)PIECE;

    for (size_t start = 0; start == 0 || start < size; start += piece) {
        size_t part = size - start < piece ? size - start : piece;
        size_t passed = start == 0 ? count : 0;
        struct hand_frame frame = {
            .length = (uint32_t)part,
            .kind = MESSAGE,
            .flags = start + part < size ? HAND_MORE : 0,
            .descriptors = (uint16_t)passed,
        };

        hand_say(&frame, message + start, part, hand.kept, passed);
    }
    for (size_t i = 0; i < count; i++)
        close(hand.kept[i]);
    hand_forget(count);
}

int main(void)
{
    static uint8_t message[16 << 20];
    size_t size = 0, count = 0;
    struct hand_frame frame;

    hand_find();
    hand_greet(1, 1);
    while (hand_hear(&frame) && frame.kind != END) {
        if (frame.kind == HELLO)
            continue;
        hand_demand(frame.kind == MESSAGE, 30);
        hand_demand(size + frame.length <= sizeof(message), 31);
        memcpy(message + size, frame.payload, frame.length);
        size += frame.length;
        count += frame.descriptors;
        if ((frame.flags & HAND_MORE) != 0)
            continue;
        say_message(message, size, count);
        size = count = 0;
    }
    if (!hand.out_fast)
        return 25;
    hand_say_end();
    return 0;
}
