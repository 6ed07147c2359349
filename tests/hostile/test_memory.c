/* SPDX-License-Identifier: MIT */
/*
 * Children that do to the shared memory what can be done to memory.
 */
#include "common.h"

#define SCRIBBLER .program = "child_scribbler", .over = BY_LANE

#define NONSENSE .answer = -EPROTO, .says = "the peer wrote nonsense into the shared memory"

MISDEED(test_memory_that_is_truncated, SCRIBBLER,
        .does = "truncates the shared memory, and is refused by the kernel", .act = "truncate",
        .answer = 0, .messages = 1)

MISDEED(test_memory_that_is_made_smaller, SCRIBBLER,
        .does = "makes the shared memory smaller, and is refused by the kernel", .act = "shrink",
        .answer = 0, .messages = 1)

MISDEED(test_memory_that_is_made_larger, SCRIBBLER,
        .does = "makes the shared memory larger, and is refused by the kernel", .act = "grow",
        .answer = 0, .messages = 1)

MISDEED(test_memory_that_is_sealed, SCRIBBLER,
        .does = "seals the shared memory, and is refused by the kernel", .act = "seal", .answer = 0,
        .messages = 1)

MISDEED(test_a_hole_in_the_memory, SCRIBBLER,
        .does = "punches a hole as large as the shared memory", .needs = needs_no_valgrind,
        .act = "punch", .messages = 1, NONSENSE)

MISDEED(test_words_that_are_scribbled_over, SCRIBBLER, .does = "scribbles over its words",
        .act = "scribble-words", NONSENSE)

MISDEED(test_memory_that_is_scribbled_over, SCRIBBLER,
        .does = "scribbles over all of the shared memory", .act = "scribble-all", NONSENSE)

MISDEED(test_frames_that_are_scribbled_over, SCRIBBLER, .does = "publishes what is no frame",
        .act = "scribble-frames", .answer = -EPROTO,
        .says = "the peer sent a frame of the unknown kind 165")

MISDEED(test_a_tail_that_is_flipped, SCRIBBLER, .does = "flips its tail while it is read",
        .act = "flip-tail", .stirs = true, NONSENSE)

MISDEED(test_a_head_that_is_flipped, SCRIBBLER, .does = "flips its head while it is read",
        .act = "flip-head", .manner = SENDS, .stirs = true, NONSENSE)

MISDEED(test_a_base_that_is_flipped, SCRIBBLER,
        .does = "flips the place of its ring while frames are read from it", .act = "flip-base",
        .leaves = 1, .messages = UNTIL_IT_ENDS, .answer = -EPROTO, .says = "the peer …")

MISDEED(test_a_length_that_is_flipped, SCRIBBLER,
        .does = "flips the length of a frame while it is read", .act = "flip-length", .leaves = 1,
        .messages = UNTIL_IT_ENDS, .answer = -EPROTO, .says = "the peer …")

MISDEED(test_words_of_sleep_that_are_flipped, SCRIBBLER,
        .does = "says that it sleeps, and that its parent does not, all the time",
        .act = "flip-sleep", .stirs = true, .answer = -ETIMEDOUT,
        .says = "the peer said nothing until the deadline")

MISDEED(
    test_words_of_sleep_that_are_flipped_under_a_sender, SCRIBBLER,
    .does = "says that it sleeps, and that its parent does not, all the time, and reads nothing",
    .act = "flip-sleep", .manner = SENDS, .stirs = true, .answer = -ETIMEDOUT,
    .says = "the peer took nothing until the deadline")

HOSTILE_MAIN("Memory")
