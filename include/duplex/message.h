/* SPDX-License-Identifier: MIT */
/*
 * A message: bytes that arrive whole, the descriptors that travel with them, and what it is.
 */
#ifndef DUPLEX_MESSAGE_H
#define DUPLEX_MESSAGE_H

#include <duplex/error.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most descriptors that one message carries (SCM_MAX_FD of Linux). */
#define DX_DESCRIPTORS_MAX 253

/* What a message is. A conversation without calls and without git has DX_MESSAGE only. */
typedef enum dx_kind {
    DX_MESSAGE = 0,

    /* Calls, see <duplex/call.h>. They have an id. */
    DX_REQUEST, /* the peer calls: answer it with dx_reply() or dx_reply_error() */
    DX_REPLY,   /* the answer to dx_call_start() */
    DX_ERROR,   /* the same: the peer refused. `code` is the peer's, the data its text */
    DX_FAILED,  /* the same: no answer will come. `code` is why: -ETIMEDOUT, -EPIPE, -EPROTO */
    DX_CANCEL,  /* the peer no longer waits for the answer to this id, which is open no longer */

    /* DX_FRAMING_PKT_LINE only. They have no data; send them with dx_send_message(). */
    DX_FLUSH,       /* 0000 */
    DX_DELIMITER,   /* 0001 */
    DX_RESPONSE_END /* 0002 */
} dx_kind;

/*
 * One message, to be sent or as received. All-zero is the empty message.
 *
 * Received: `data` and `descriptors` point into the channel and are borrowed until the next receive
 * on that channel, or its close; sending in between does not disturb them. `data` is aligned to
 * nothing in particular and is not NUL-terminated; it is never NULL. A descriptor that was not
 * taken with dx_message_take() by then is closed by the library. Descriptors arrive close-on-exec.
 *
 * Sent: the library copies the bytes and moves the descriptors, see dx_send_message().
 */
typedef struct dx_message {
    const void *data;
    size_t size; /* bytes; 0 is a message like any other */

    int *descriptors;
    size_t descriptor_count;

    /*
     * How many descriptors the peer sent with this message that this process could not accept
     * because it is at its limit of open files (RLIMIT_NOFILE). When it is not 0, the receive
     * before returned -EMFILE (dx_call() passes over that), and descriptor_count is 0. Ignored when
     * sending.
     */
    size_t descriptors_lost;

    dx_kind kind;
    int code;    /* of DX_ERROR and DX_FAILED, else 0 */
    uint64_t id; /* which request it is, or answers; 0 if it has to do with none */
} dx_message;

/*
 * Take a descriptor out of a received message.
 *
 * Ownership: the descriptor is the caller's from now on, to close; its place in the message holds
 * -1. Returns the descriptor, which is close-on-exec. Errors: -EINVAL if there is no such place,
 * -EBADF if it was taken before.
 */
DX_API int dx_message_take(dx_message *message, size_t index);

#ifdef __cplusplus
}
#endif
#endif
