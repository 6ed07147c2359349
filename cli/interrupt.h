/* SPDX-License-Identifier: MIT */
/*
 * The signals by which a person or a supervisor asks the command to stop, as a descriptor that can
 * be polled: so no signal falls between a check and a wait, and no handler runs anywhere.
 */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

/*
 * Block SIGINT, SIGTERM and SIGHUP from here on and return a descriptor that is readable when one
 * has come. One that the caller of the command ignores (nohup, a shell's background job) stays
 * ignored. Children that duplex starts are not affected. Returns a negative errno value on failure.
 */
int interrupt_open(void);

/* Ignore a signal from here on. Children that duplex starts have its default action again. */
void interrupt_ignore(int signal_number);

/* Take a signal that has come. Returns its number, or 0. Never blocks. */
int interrupt_take(int interrupt_fd);

#endif
