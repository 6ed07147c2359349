/* SPDX-License-Identifier: MIT */
/*
 * Failures in a person's words: who did what, and which limit it met.
 */
#include "channel/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *dx_version(void)
{
    return DX_VERSION;
}

const char *dx_error_text(int error)
{
    switch (error < 0 ? -error : error) {
    case 0:
        return "no error";
    case ETIMEDOUT:
        return "the deadline passed";
    case EPIPE:
        return "the peer has gone";
    case EPROTO:
        return "the peer broke the protocol";
    case EMSGSIZE:
        return "the message is over a limit";
    case EDEADLK:
        return "both sides send and neither receives";
    case EREMOTEIO:
        return "the peer answered with an error";
    case EBUSY:
        return "too many requests are open, or a message is being written in place";
    case EMFILE:
        return "too many open files in this process";
    case ECHILD:
        return "the handle belongs to the process that forked this one";
    case ESHUTDOWN:
        return "this direction was ended before";
    case ENOMEM:
        return "memory ran out";
    default:
        /* Thread-safe in musl always and in glibc since 2.32: the text is the thread's own. */
        return strerror(error < 0 ? -error : error);
    }
}

int dxi_fail(dx_failure *failure, int error, const char *format, ...)
{
    if (failure != NULL) {
        va_list arguments;

        va_start(arguments, format);
        failure->error = error;
        vsnprintf(failure->text, sizeof(failure->text), format, arguments);
        va_end(arguments);
    }
    return error;
}

int dxi_channel_fail(dx_channel *channel, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    dxi_lock(&channel->text_lock);
    vsnprintf(channel->text, sizeof(channel->text), format, arguments);
    dxi_unlock(&channel->text_lock);
    va_end(arguments);
    return error;
}

/* A sentence for each violation; the two numbers are the fault's value and limit, in this order. */
static const char *const violations[] = {
    [DXI_VIOLATION_NONE] = "the peer broke the protocol",
    [DXI_VIOLATION_LENGTH] =
        "the peer announced a message of %" PRIu64 " bytes; the limit is %" PRIu64,
    [DXI_VIOLATION_KIND] = "the peer sent a frame of the unknown kind %" PRIu64,
    [DXI_VIOLATION_FLAGS] = "the peer sent a frame with the unknown flags %" PRIu64,
    [DXI_VIOLATION_ID] = "the peer sent the id %" PRIu64 " in a frame that has none",
    [DXI_VIOLATION_VERSION] =
        "the peer speaks version %" PRIu64 " of the protocol; this end speaks %" PRIu64,
    [DXI_VIOLATION_NO_HELLO] =
        "the peer began with a frame of kind %" PRIu64 " instead of a greeting",
    [DXI_VIOLATION_SECOND_HELLO] = "the peer greeted twice",
    [DXI_VIOLATION_HELLO_SIZE] = "the peer sent a greeting of %" PRIu64 " bytes",
    [DXI_VIOLATION_EMPTY_FRAGMENT] = "the peer sent an empty piece of a message",
    [DXI_VIOLATION_FRAGMENT_DESCRIPTORS] =
        "the peer announced %" PRIu64 " descriptors in the middle of a message",
    [DXI_VIOLATION_DESCRIPTOR_LIMIT] =
        "the peer announced %" PRIu64 " descriptors with a message; this end accepts %" PRIu64,
    [DXI_VIOLATION_DESCRIPTORS_MISSING] =
        "the peer announced %" PRIu64 " descriptors with a message and sent %" PRIu64,
    [DXI_VIOLATION_DESCRIPTORS_SURPLUS] = "the peer sent descriptors that it had not announced",
    [DXI_VIOLATION_LINE] =
        "the peer sent a line of more than %" PRIu64 " bytes, which is the limit",
    [DXI_VIOLATION_PACKET] =
        "the peer sent a packet of more than %" PRIu64 " bytes, which is the limit",
    [DXI_VIOLATION_NO_ID] = "the peer sent a frame of kind %" PRIu64 " without an id",
    [DXI_VIOLATION_FRAGMENT_KIND] = "the peer began another message in the middle of one",
    [DXI_VIOLATION_ERROR_SIZE] = "the peer sent an error of %" PRIu64 " bytes",
    [DXI_VIOLATION_CANCEL] = "the peer sent a cancel with something in it",
    [DXI_VIOLATION_REQUEST_LIMIT] =
        "the peer has more than %" PRIu64 " requests open, which is the limit",
    [DXI_VIOLATION_DUPLICATE_REQUEST] = "the peer used the id %" PRIu64 " for two requests at once",
    [DXI_VIOLATION_UNKNOWN_REPLY] =
        "the peer answered a request with the id %" PRIu64 ", which was never made",

    [DXI_VIOLATION_LANE_WORD] =
        "the peer sent a frame of kind %" PRIu64 " with something wrong in it",
    [DXI_VIOLATION_LANE_OUTSIDE] =
        "the peer sent a frame of kind %" PRIu64 " by the socket after it had left it",
    [DXI_VIOLATION_RING] = "the peer wrote nonsense into the shared memory",

    [DXI_VIOLATION_TERMINATED] =
        "the peer sent a message of more than %" PRIu64 " bytes, which is the limit",
    [DXI_VIOLATION_NETSTRING_LENGTH] =
        "the peer sent the byte %" PRIu64 " where the length of a netstring should be",
    [DXI_VIOLATION_NETSTRING_COMMA] =
        "the peer sent the byte %" PRIu64 " where the comma behind a netstring should be",
    [DXI_VIOLATION_NEGATIVE_LENGTH] = "the peer announced a message of -%" PRIu64 " bytes",
    [DXI_VIOLATION_SMALL_LONG_LENGTH] =
        "the peer announced a message of %" PRIu64 " bytes in the form for more than 2147483647",
    [DXI_VIOLATION_HEADER_SIZE] =
        "the peer sent headers of more than %" PRIu64 " bytes, which is the limit",
    [DXI_VIOLATION_HEADER_LINE] =
        "the peer sent a line that is no header, line %" PRIu64 " of a message's headers",
    [DXI_VIOLATION_HEADER_LENGTH] = "the peer sent a Content-Length that is no number",
    [DXI_VIOLATION_HEADER_MISSING] = "the peer sent a message without a Content-Length",
    [DXI_VIOLATION_HEADER_DOUBLE] = "the peer sent two Content-Lengths with one message",
    [DXI_VIOLATION_PKT_LENGTH] =
        "the peer sent a packet that begins with the bytes %08" PRIx64 ", which are no length",
    [DXI_VIOLATION_JSON] =
        "the peer sent a line that is no JSON text: its byte %" PRIu64 " is wrong",
    [DXI_VIOLATION_EMPTY_LINE] = "the peer sent an empty line instead of a JSON text",
    [DXI_VIOLATION_NODE_HANDLE] =
        "the peer sent a NODE_HANDLE without a msg, or of an unknown type",
};

int dxi_channel_fail_fault(dx_channel *channel, const struct dxi_fault *fault)
{
    const char *format = violations[fault->violation];

    dxi_lock(&channel->text_lock);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(channel->text, sizeof(channel->text), format, fault->value, fault->limit);
#pragma GCC diagnostic pop
    dxi_unlock(&channel->text_lock);
    return -EPROTO;
}

const char *dx_channel_explain(const dx_channel *channel)
{
    static _Thread_local char text[DX_TEXT_SIZE];
    dx_channel *mine = (dx_channel *)channel;
    int error = dxi_channel_check(channel);

    if (error < 0)
        return channel == NULL ? "there is no channel" : dx_error_text(error);
    dxi_lock(&mine->text_lock);
    memcpy(text, mine->text, sizeof(text));
    dxi_unlock(&mine->text_lock);
    return text;
}
