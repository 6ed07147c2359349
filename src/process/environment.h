/* SPDX-License-Identifier: MIT */
/*
 * The environment of a child, and where it looks for its program.
 */
#ifndef DUPLEX_PROCESS_ENVIRONMENT_H
#define DUPLEX_PROCESS_ENVIRONMENT_H

/*
 * Make a child's environment: base (NULL: this process's) without DUPLEX_FD, then the changes
 * (NULL: none), then DUPLEX_FD=channel unless channel is negative. One allocation, to be released
 * with dxi_os->release(); it borrows the strings. 0, -ENOMEM, or -EINVAL for a change without a
 * name.
 */
int dxi_environment_make(char ***ret, char *const *base, char *const *changes, int channel);

/* The value of a variable, or NULL. */
const char *dxi_environment_get(char *const *environment, const char *name);

#endif
