/* SPDX-License-Identifier: MIT */
/*
 * A child that says the wrong thing: frames that are none, at the wrong time, or never to their end.
 */
#include "actor.h"

enum { LIMIT = 65536 };

static const uint8_t letters[LIMIT + 1];

static void say_end(void)
{
    hand_say_end();
    if (!hand.out_fast)
        shutdown(hand.fd, SHUT_WR);
}

static void say_length(uint32_t length)
{
    hand_say(&(struct hand_frame){.length = length, .kind = MESSAGE}, letters, length, NULL, 0);
}

/* A header that promises so much, and nothing behind it. */
static void promise(uint32_t length)
{
    hand_say(&(struct hand_frame){.length = length, .kind = MESSAGE}, NULL, 0, NULL, 0);
}

static void length_none(void)
{
    say_length(0);
    say_end();
}

static void length_one(void)
{
    say_length(1);
    say_end();
}

static void length_limit(void)
{
    say_length(LIMIT);
    say_end();
}

static void length_over(void)
{
    promise(LIMIT + 1);
}

static void length_greatest(void)
{
    promise(UINT32_MAX);
}

static void pieces_over(void)
{
    struct hand_frame piece = {.length = LIMIT, .kind = MESSAGE, .flags = HAND_MORE};

    hand_say(&piece, letters, LIMIT, NULL, 0);
    say_length(1);
}

static void piece_empty(void)
{
    hand_say(&(struct hand_frame){.kind = MESSAGE, .flags = HAND_MORE}, NULL, 0, NULL, 0);
}

static void kind_none(void)
{
    hand_say(&(struct hand_frame){.kind = 0}, NULL, 0, NULL, 0);
}

static void kind_unknown(void)
{
    hand_say(&(struct hand_frame){.kind = 200}, NULL, 0, NULL, 0);
}

static void flags(void)
{
    hand_say(&(struct hand_frame){.kind = MESSAGE, .flags = 0x80}, NULL, 0, NULL, 0);
}

static void id(void)
{
    hand_say(&(struct hand_frame){.kind = MESSAGE, .id = 7}, NULL, 0, NULL, 0);
}

static void version(void)
{
    hand_greet(2, 0);
}

static void greet_twice(void)
{
    hand_greet(1, 0);
}

static void greet_never(void)
{
    say_length(1);
}

static void greet_late(void)
{
    sit();
}

static void greet_and_leave(void)
{
    _exit(0);
}

static void speak_http(void)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";

    hand_say_bytes(request, sizeof(request) - 1, NULL, 0);
}

/* Half of a header by itself: on packets that is a packet. */
static void header_half(void)
{
    static const uint8_t half[HAND_HEADER / 2] = {[3] = 1, [4] = MESSAGE};

    if (hand.out_fast)
        hand_put(half, sizeof(half));
    else
        hand_say_bytes(half, sizeof(half), NULL, 0);
}

static void header_only(void)
{
    promise(1000);
}

static void leave_in_the_middle(void)
{
    hand_say(&(struct hand_frame){.length = 1000, .kind = MESSAGE}, letters, 400, NULL, 0);
    _exit(0);
}

/* A message that would take minutes. */
static void byte_by_byte(void)
{
    promise(1000);
    for (;;) {
        if (hand.out_fast)
            hand_put("x", 1);
        else
            hand_say_bytes("x", 1, NULL, 0);
        pause_ms(10);
    }
}

/* As fast as the parent takes them, and without a look at what it says. */
static void flood(void)
{
    struct hand_frame frame = {.length = 1, .kind = MESSAGE};

    for (;;)
        hand_say(&frame, "x", 1, NULL, 0);
}

/* A message that never ends: pieces of one byte, always one more. */
static void flood_of_pieces(void)
{
    struct hand_frame frame = {.length = 1, .kind = MESSAGE, .flags = HAND_MORE};

    for (;;)
        hand_say(&frame, "x", 1, NULL, 0);
}

/* Words by the socket that mean nothing. */
static void flood_of_wakes(void)
{
    for (;;)
        hand_say_word(WAKE, NULL, 0);
}

static void never_read(void)
{
    sit();
}

static void read_and_be_silent(void)
{
    struct hand_frame frame;

    while (hand_hear(&frame))
        continue;
}

/* A packet that is larger than any may be. */
static void packet_large(void)
{
    static uint8_t packet[300000];
    int room = 1 << 20;

    setsockopt(hand.fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
    setsockopt(hand.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    for (size_t at = 0; at < sizeof(packet); at += HAND_HEADER)
        packet[at + 4] = hand.out_fast ? WAKE : MESSAGE;
    hand_say_bytes(packet, sizeof(packet), NULL, 0);
}

/* An empty packet looks like the end. */
static void packet_empty(void)
{
    send(hand.fd, "", 0, MSG_NOSIGNAL);
}

/* A frame by the socket, where it belongs into the ring. */
static void frame_outside(void)
{
    static const uint8_t header[HAND_HEADER] = {[4] = MESSAGE};

    hand_say_bytes(header, sizeof(header), NULL, 0);
}

ACTOR_MAIN({"length-none", length_none, false}, {"length-one", length_one, false},
           {"length-limit", length_limit, false}, {"length-over", length_over, false},
           {"length-greatest", length_greatest, false}, {"pieces-over", pieces_over, false},
           {"piece-empty", piece_empty, false}, {"kind-none", kind_none, false},
           {"kind-unknown", kind_unknown, false}, {"flags", flags, false}, {"id", id, false},
           {"version", version, true}, {"greet-twice", greet_twice, false},
           {"greet-never", greet_never, true}, {"greet-late", greet_late, true},
           {"greet-and-leave", greet_and_leave, true}, {"speak-http", speak_http, true},
           {"header-half", header_half, false}, {"header-only", header_only, false},
           {"leave-in-the-middle", leave_in_the_middle, false},
           {"byte-by-byte", byte_by_byte, false}, {"flood", flood, false},
           {"flood-of-pieces", flood_of_pieces, false}, {"flood-of-wakes", flood_of_wakes, false},
           {"never-read", never_read, false}, {"read-and-be-silent", read_and_be_silent, false},
           {"packet-large", packet_large, false}, {"packet-empty", packet_empty, false},
           {"frame-outside", frame_outside, false})
