/* SPDX-License-Identifier: MIT */
/*
 * Children that say what is no frame, or at the wrong time.
 */
#include "common.h"

MISDEED(test_a_message_of_no_bytes, .does = "sends a message of 0 bytes and ends",
        .act = "length-none", .over = ANY_WAY, .answer = 0, .messages = 1)

MISDEED(test_a_message_of_one_byte, .does = "sends a message of 1 byte and ends",
        .act = "length-one", .over = ANY_WAY, .answer = 0, .messages = 1)

MISDEED(test_a_message_of_the_greatest_size, .does = "sends a message of just the limit and ends",
        .act = "length-limit", .over = ANY_WAY, .answer = 0, .messages = 1)

MISDEED(test_a_length_of_one_more_than_the_limit, .does = "announces one byte more than the limit",
        .act = "length-over", .over = ANY_WAY, .answer = -EPROTO,
        .says = "the peer announced a message of 65537 bytes; the limit is 65536")

MISDEED(test_the_greatest_length_that_can_be_written, .does = "announces 2^32-1 bytes",
        .act = "length-greatest", .over = ANY_WAY, .answer = -EPROTO,
        .says = "the peer announced a message of 4294967295 bytes; the limit is 65536")

MISDEED(test_pieces_that_are_too_much_together,
        .does = "sends pieces that are over the limit together", .act = "pieces-over",
        .over = ANY_WAY, .answer = -EPROTO,
        .says = "the peer announced a message of 65537 bytes; the limit is 65536")

MISDEED(test_a_piece_of_nothing, .does = "sends an empty piece, and could go on for ever",
        .act = "piece-empty", .over = ANY_WAY, .answer = -EPROTO,
        .says = "the peer sent an empty piece of a message")

MISDEED(test_the_kind_that_there_is_not, .does = "sends a frame of kind 0", .act = "kind-none",
        .over = ANY_WAY, .answer = -EPROTO, .says = "the peer sent a frame of the unknown kind 0")

MISDEED(test_a_kind_that_nobody_knows, .does = "sends a frame of kind 200", .act = "kind-unknown",
        .over = ANY_WAY, .answer = -EPROTO, .says = "the peer sent a frame of the unknown kind 200")

MISDEED(test_flags_that_nobody_knows, .does = "sends a frame with the flags 128", .act = "flags",
        .over = ANY_WAY, .answer = -EPROTO,
        .says = "the peer sent a frame with the unknown flags 128")

MISDEED(test_an_id_in_a_message, .does = "gives a message an id", .act = "id", .over = ANY_WAY,
        .answer = -EPROTO, .says = "the peer sent the id 7 in a frame that has none")

MISDEED(test_another_version, .does = "greets with version 2", .act = "version", .over = BY_SOCKET,
        .at_once = true, .answer = -EPROTO,
        .says = "the peer speaks version 2 of the protocol; this end speaks 1")

MISDEED(test_a_second_greeting, .does = "greets twice", .act = "greet-twice", .over = BY_SOCKET,
        .answer = -EPROTO, .says = "the peer greeted twice")

MISDEED(test_a_second_greeting_in_the_lane, .does = "greets again by the ring",
        .act = "greet-twice", .over = BY_LANE, .answer = -EPROTO, .says = "the peer greeted twice")

MISDEED(test_no_greeting, .does = "begins without a greeting", .act = "greet-never",
        .over = BY_SOCKET, .at_once = true, .answer = -EPROTO,
        .says = "the peer began with a frame of kind 2 instead of a greeting")

MISDEED(test_silence_instead_of_a_greeting, .does = "says nothing, not even a greeting",
        .act = "greet-late", .over = BY_SOCKET, .at_once = true, .answer = -ETIMEDOUT,
        .says = "the peer said nothing until the deadline")

MISDEED(test_an_exit_before_the_greeting, .does = "exits before it has greeted",
        .act = "greet-and-leave", .over = BY_SOCKET, .at_once = true, .answer = -EPIPE,
        .ends = "exited with status 0",
        .says = "the peer ended before it had greeted; does it speak the native protocol?")

MISDEED(test_another_protocol, .does = "speaks HTTP", .act = "speak-http", .over = BY_SOCKET,
        .at_once = true, .answer = -EPROTO, .says = "the peer sent a frame of the unknown kind 47")

MISDEED(test_silence_in_the_middle_of_a_header, .does = "falls silent in the middle of a header",
        .act = "header-half", .over = ANY_WAY, .answer = -ETIMEDOUT,
        .says = "the peer has not finished a message until the deadline")

MISDEED(test_silence_after_a_header, .does = "falls silent after a header", .act = "header-only",
        .over = ANY_WAY, .answer = -ETIMEDOUT,
        .says = "the peer has not finished a message until the deadline")

MISDEED(test_an_end_in_the_middle_of_a_message, .does = "exits in the middle of a message",
        .act = "leave-in-the-middle", .over = ANY_WAY, .answer = -EPIPE,
        .ends = "exited with status 0",
        .says = "the conversation ended in the middle of a message: 416 of 1016 bytes came")

MISDEED(test_a_byte_now_and_then, .does = "sends a message a byte at a time, slowly",
        .act = "byte-by-byte", .over = ANY_WAY, .stirs = true, .answer = -ETIMEDOUT,
        .says = "the peer has not finished a message until the deadline")

MISDEED(test_a_packet_that_is_too_large, .does = "sends a packet of 300,000 bytes",
        .act = "packet-large", .over = BY_PACKETS, .answer = -EPROTO,
        .says = "the peer sent a packet of more than 262144 bytes, which is the limit")

MISDEED(test_a_packet_that_is_too_large_beside_the_lane,
        .does = "sends a packet of 300,000 bytes, each word of them right, beside the ring",
        .act = "packet-large", .over = BY_FAST_PACKETS, .answer = -EPROTO,
        .says = "the peer sent a packet of more than 1024 bytes, which is the limit")

MISDEED(test_a_packet_of_nothing, .does = "sends an empty packet, which looks like the end",
        .act = "packet-empty", .over = BY_PACKETS, .answer = 0)

MISDEED(test_a_frame_outside_of_the_lane, .does = "sends a frame by the socket, beside the ring",
        .act = "frame-outside", .over = BY_LANE, .answer = -EPROTO,
        .says = "the peer sent a frame of kind 2 by the socket after it had left it")

HOSTILE_MAIN("Frames")
