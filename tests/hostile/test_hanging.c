/* SPDX-License-Identifier: MIT */
/*
 * Children that send a descriptor whose last close waits for 30 seconds: a connection with SO_LINGER, to
 * somebody who reads nothing. Whatever the parent does not take it closes itself.
 */
#include "common.h"

/* The child has closed its own by then, so the parent's is the last. */
static int receive_the_last(struct scene *scene)
{
    sleep_ms(moment_ms(150));
    return receive_all(scene);
}

#define HANGER .program = "child_giver", .descriptor_limit = 2, .meet = receive_the_last

MISDEED(test_a_descriptor_whose_close_hangs, HANGER,
        .does = "sends a connection whose close hangs (SO_LINGER), which the parent does not take",
        .act = "hanging", .over = ANY_WAY, .answer = 0, .messages = 2)

MISDEED(test_a_descriptor_that_was_not_announced_and_hangs, HANGER,
        .does = "sends a connection whose close hangs without having announced it",
        .act = "hanging-undeclared", .over = BY_SOCKET, .answer = -EPROTO,
        .says = "the peer sent descriptors that it had not announced")

MISDEED(test_more_descriptors_than_welcome_that_hang, HANGER,
        .does = "sends 4 connections whose close hangs, to a parent that accepts 2",
        .act = "hanging-surplus", .over = ANY_WAY, .answer = -EPROTO,
        .says = "the peer announced 4 descriptors with a message; this end accepts 2")

/* Whatever the parent never reads is closed with its socket. */
static int receive_nothing(struct scene *scene)
{
    sleep_ms(moment_ms(400));
    return keep_answer(scene, 1, NULL);
}

MISDEED(test_a_descriptor_that_nobody_reads_and_hangs, .program = "child_giver",
        .descriptor_limit = 2, .meet = receive_nothing, .call = "dx_process_close",
        .does = "sends connections whose close hangs, which the parent does not even receive, and "
                "leaves a grandchild",
        .act = "hanging-flood", .leaves = 1, .over = ANY_WAY, .answer = 1)

MISDEED(
    test_a_descriptor_behind_packets_of_nothing_that_hangs, .program = "child_giver",
    .descriptor_limit = 2, .meet = receive_nothing, .call = "dx_process_close",
    .does =
        "sends a connection whose close hangs behind 500 empty packets, which the parent does not "
        "even receive, and leaves a grandchild",
    .act = "hanging-behind-nothing", .leaves = 1, .over = BY_PACKETS, .answer = 1)

HOSTILE_MAIN("Descriptors that hang")
