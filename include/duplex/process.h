/* SPDX-License-Identifier: MIT */
/*
 * A child: started, conversed with, and ended with the truth about how.
 *
 *   1. dx_fork() runs a function in a child, dx_spawn() runs a program. The child starts clean:
 *      only descriptors 0, 1, 2, its channel and those asked for are open, signals have their
 *      default dispositions, none is blocked.
 *   2. dx_process_channel() is the parent's end of the conversation.
 *   3. dx_process_wait() waits for the child's end; dx_process_stop() brings it about.
 *   4. dx_process_close() stops and reaps what still runs, and lets go.
 *
 * The library leaves the parent alone: it installs no signal handler, changes no disposition, waits
 * for no child but its own, starts no thread, and never writes the parent's environment.
 */
#ifndef DUPLEX_PROCESS_H
#define DUPLEX_PROCESS_H

#include <duplex/channel.h>
#include <duplex/error.h>
#include <duplex/start.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dx_process dx_process;

typedef enum dx_exit_kind {
    DX_EXIT_UNKNOWN = 0, /* the host program ignores SIGCHLD, or reaped the child itself */
    DX_EXIT_CODE,        /* it exited; see `code` */
    DX_EXIT_SIGNAL       /* a signal ended it; see `signal` */
} dx_exit_kind;

/*
 * How a child ended. Times and memory include those of the children that it waited for. To Linux
 * the child begins with its parent's memory: the largest size is never below the parent's own.
 */
typedef struct dx_exit {
    dx_exit_kind kind;
    int code;   /* 0 to 255 */
    int signal; /* SIG… */
    bool core_dumped;
    int stop_signal;     /* the last signal that dx_process_stop() sent: 0, SIGTERM or SIGKILL */
    uint64_t elapsed_us; /* from the start to when the end was seen */
    uint64_t user_us;    /* processor time in user mode; 0 if unknown, and so the next two */
    uint64_t system_us;  /* processor time in the kernel */
    uint64_t peak_memory_bytes; /* the largest resident size */
    char text[DX_TEXT_SIZE];    /* for people: "killed by SIGSEGV (core dumped)" */
} dx_exit;

/*
 * Start a child that runs a function.
 *
 * The child is a copy of the calling thread, as with fork(2): in a program with threads it may do
 * only what is safe after fork(2). It converses by `parent`, which belongs to the library. What it
 * returns is its exit status (the low 8 bits); standard output is flushed then. Handlers of
 * atexit(3) do not run, and nothing that the parent had buffered in stdout is written twice.
 *
 * Ownership: the process is the caller's, to close. Blocking: until the child exists; the cost
 * grows with the parent's memory, see dx_spawn(). Handlers of pthread_atfork(3) do run.
 * Returns 0, in the parent only. Errors: -EAGAIN, -ENOMEM, -EMFILE, -EINVAL, and what a step in the
 * child met (a directory, a limit, an identity); options->failure says which.
 */
DX_API int dx_fork(dx_process **ret, int (*child)(dx_channel *parent, void *arg), void *arg,
                   const dx_process_options *options);

/*
 * Start a child that runs a program. argv[0] names it; argv ends with NULL; no shell is involved.
 *
 * Ownership: argv and everything in options are the caller's and are not needed afterwards; the
 * process is the caller's, to close. Blocking: until the program runs or could not; the cost does
 * not grow with the parent's memory. Handlers of pthread_atfork(3) do not run.
 * Returns 0 when the program runs. Errors: the real errno of the step that failed, -ENOENT, -EACCES
 * and -ENOEXEC of execve(2) among them; no child is left. options->failure names the step.
 */
DX_API int dx_spawn(dx_process **ret, char *const argv[], const dx_process_options *options);

/* The parent's end of the conversation. Owned by the process, and closed with it. */
DX_API dx_channel *dx_process_channel(dx_process *process);

/* The child's pid, for people to read. Do not signal it: once reaped, it may be somebody else's. */
DX_API pid_t dx_process_pid(const dx_process *process);

/*
 * Take the parent's end of standard input, output or error (0, 1, 2) made by DX_STDIO_PIPE.
 * Ownership: the descriptor is the caller's from now on, and close-on-exec. Those not taken are
 * closed with the process. Errors: -EINVAL if it is no pipe or was taken before.
 */
DX_API int dx_process_take_stdio(dx_process *process, int number);

/*
 * Wait for the child's end, and reap it. Sends what is still to be sent and takes in what the child
 * says meanwhile, up to the channel's backlog, to be received afterwards.
 * Returns 0 and the report, the same each time; ret may be NULL. Errors: -ETIMEDOUT.
 */
DX_API int dx_process_wait(dx_process *process, dx_exit *ret, int timeout_ms);

/*
 * Send the child a signal, by its pidfd; its whole process group, if it was given one.
 * Returns 0. Errors: -ESRCH when it has ended, -EPERM, -EINVAL.
 */
DX_API int dx_process_signal(dx_process *process, int signal);

#define DX_GRACE_DEFAULT (-1) /* for dx_process_stop(): the times of the options */

/*
 * Stop the child: end the conversation, and standard input if that is a pipe nobody took, and wait
 * grace_ms; SIGTERM, then SIGCONT for a child that is stopped, and wait grace_ms; SIGKILL. Takes in
 * what the child still says, up to the backlog, to be received afterwards.
 * Blocking: up to twice grace_ms, plus what the kernel takes to kill.
 * Returns 0 and the report, also when it had ended before; ret may be NULL. Errors: -ETIMEDOUT if
 * it could not be killed within 10 seconds (a process in uninterruptible sleep), -EPERM.
 */
DX_API int dx_process_stop(dx_process *process, int grace_ms, dx_exit *ret);

/*
 * For an event loop: the pidfd, readable (POLLIN) when the child has ended. It stays the process's.
 * Poll it beside dx_channel_fd(): only it tells of a death that a grandchild hides by holding the
 * channel open. Returns a descriptor or a negative errno value.
 */
DX_API int dx_process_fd(const dx_process *process);

/* For an event loop: POLLIN while the child is not reaped, then 0. And how long: DX_FOREVER. */
DX_API int dx_process_events(const dx_process *process);
DX_API int dx_process_timeout_ms(const dx_process *process);

/*
 * For an event loop: reap the child if it has ended. Its conversation then ends behind what it had said,
 * whoever else holds its end and talks on. Returns 1 if it has, else 0. Never blocks.
 */
DX_API int dx_process_process(dx_process *process);

/* Explain the last failure on this process; see dx_channel_explain(). Never NULL. */
DX_API const char *dx_process_explain(const dx_process *process);

/*
 * Let go of a child: if it still runs, stop it as dx_process_stop() with DX_GRACE_DEFAULT does;
 * close its channel and pipes. Returns NULL. NULL is fine. In a forked child it touches nothing.
 */
DX_API dx_process *dx_process_close(dx_process *process);

#ifdef __cplusplus
}
#endif
#endif
