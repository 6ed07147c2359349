/* SPDX-License-Identifier: MIT */
/*
 * What every function of duplex has in common: how it fails, how long it may wait, who may call it.
 *
 * Errors. A function that can fail returns a negative errno value; errno itself is no part of the
 * contract. These have one meaning everywhere:
 *
 *   -ETIMEDOUT   the deadline passed; nothing was lost, the call may be made again
 *   -EPIPE       the peer has gone, or no longer takes anything
 *   -EPROTO      the peer broke the protocol; the channel is over, what came before is delivered
 *   -EMSGSIZE    the message is over a limit; nothing was sent
 *   -EDEADLK     both sides send and neither receives; nothing was sent, receive and try again
 *   -EREMOTEIO   the peer answered a call with an error
 *   -EBUSY       too many requests are open, or a message is being written in place
 *   -EMFILE      this process is at its limit of open descriptors
 *   -ECHILD      the handle was made before a fork and this is the forked child; nothing was done
 *   -EINVAL      the call makes no sense: a programming error
 *   -ENOMEM      memory ran out
 *
 * The library never prints, exits or aborts. dx_channel_explain() and dx_process_explain() give the
 * last failure of a handle as a sentence; a dx_failure does it where no handle came to be.
 *
 * Deadlines. Every call that can wait takes timeout_ms: milliseconds on the monotonic clock,
 * DX_NOW, or DX_FOREVER. Signals that interrupt a wait do not shorten or lengthen it.
 *
 * Threads and fork. A handle may be used by one thread at a time, with one exception: on a channel
 * one thread may send while another receives. Handles are not inherited: in a child of fork(2) they
 * answer -ECHILD.
 */
#ifndef DUPLEX_ERROR_H
#define DUPLEX_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#define DX_API __attribute__((visibility("default")))

#define DX_VERSION "0.1.0"

/* Values for timeout_ms. */
#define DX_FOREVER (-1) /* and any other negative number */
#define DX_NOW 0

/* Room for the longest sentence of the library, its final NUL included. */
#define DX_TEXT_SIZE 320

/*
 * Why something could not be made. Point an options struct's `failure` at one to have it filled
 * when the call that takes the options fails; it is left alone when the call succeeds.
 */
typedef struct dx_failure {
    int error;               /* the negative errno value that the call returned */
    char text[DX_TEXT_SIZE]; /* one sentence without a final full stop, for people */
} dx_failure;

/*
 * Return the version of the library that is running, for example "0.1.0"; DX_VERSION is the one
 * that was compiled against. Never fails.
 */
DX_API const char *dx_version(void);

/*
 * Describe an error code in a few words ("the peer has gone"). Takes negative and positive errno
 * values alike. The text is static for the codes listed above; for others it is the C library's,
 * and lasts until the thread's next call. Never NULL.
 */
DX_API const char *dx_error_text(int error);

#ifdef __cplusplus
}
#endif
#endif
