/* SPDX-License-Identifier: MIT */
/*
 * The exit statuses of the command, which are those of env(1), timeout(1) and the shells, so that a
 * script needs to learn nothing new. A child's own status is passed through as it is.
 */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

enum {
    STATUS_DEADLINE = 124,       /* a deadline passed */
    STATUS_FAILURE = 125,        /* duplex itself failed, or was called wrongly */
    STATUS_CANNOT_EXECUTE = 126, /* the program was found and could not be executed */
    STATUS_NOT_FOUND = 127,      /* the program was not found */
    STATUS_SIGNAL = 128          /* plus the number of the signal that ended it */
};

/* The status for a program that did not start, with this negative errno value. */
int status_of_start(int result);

#endif
