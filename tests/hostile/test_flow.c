/* SPDX-License-Identifier: MIT */
/*
 * Children that say too much, or take too little.
 */
#include "common.h"

MISDEED(test_a_flood_of_small_messages, .does = "floods with messages of 1 byte", .act = "flood",
        .over = ANY_WAY, .answer = 1, .messages = UNTIL_IT_ENDS)

MISDEED(test_a_flood_and_a_sender, .does = "floods with messages of 1 byte and reads nothing",
        .act = "flood", .over = ANY_WAY, .manner = SENDS, .at = AT_WAITING, .answer = -EDEADLK,
        .says = "both sides send and neither receives: … bytes wait here to be received, the limit "
                "is 131072")

MISDEED(test_a_flood_and_a_caller, .does = "floods with messages of 1 byte and answers nothing",
        .act = "flood", .over = ANY_WAY, .manner = ASKS, .at = AT_WAITING, .answer = -EDEADLK,
        .says = "… bytes wait here to be received, the limit is 131072: what a call waits for is "
                "behind them")

MISDEED(test_a_message_without_end, .does = "sends pieces of 1 byte, of a message without end",
        .act = "flood-of-pieces", .over = ANY_WAY, .stirs = true, .answer = -EPROTO,
        .says = "the peer announced a message of 65537 bytes; the limit is 65536")

MISDEED(test_a_flood_of_wake_ups, .does = "floods with wake-ups beside the ring",
        .act = "flood-of-wakes", .over = BY_LANE, .stirs = true, .answer = -ETIMEDOUT,
        .says = "the peer … until the deadline")

MISDEED(test_a_child_that_never_reads, .does = "never reads", .act = "never-read", .over = ANY_WAY,
        .manner = SENDS, .answer = -ETIMEDOUT, .says = "the peer took nothing until the deadline")

MISDEED(test_a_child_that_never_reads_is_called, .does = "never reads, and is called",
        .act = "never-read", .over = ANY_WAY, .manner = ASKS, .answer = -ETIMEDOUT,
        .messages = UNTIL_IT_ENDS, .says = "the peer … until the deadline")

HOSTILE_MAIN("Flow")
