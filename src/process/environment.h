/* SPDX-License-Identifier: MIT */
/*
 * The environment of a child, and where it looks for its program.
 */
#ifndef DUPLEX_PROCESS_ENVIRONMENT_H
#define DUPLEX_PROCESS_ENVIRONMENT_H

/*
 * Make a child's environment: base, or if that is NULL this process's without what was handed to it
 * alone; then the changes (NULL: none); then what is handed to the child. One allocation, to be
 * released with dxi_os->release(); it borrows the strings. 0, -ENOMEM, or -EINVAL for a change
 * without a name.
 */
int dxi_environment_make(char ***ret, char *const *base, char *const *changes, char *const *handed);

/* The value of a variable, or NULL. */
const char *dxi_environment_get(char *const *environment, const char *name);

#endif
