/* SPDX-License-Identifier: MIT */
/*
 * The recipe by which a child becomes what its parent asked for: everything prepared by the parent,
 * so that the child only makes system calls between clone and exec.
 */
#ifndef DUPLEX_OS_START_H
#define DUPLEX_OS_START_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One descriptor of the child: a copy of the parent's `fd` under the number `target`. */
struct dxi_descriptor_move {
    int fd;
    int target;
};

struct dxi_resource_limit {
    int resource;
    uint64_t soft, hard;
};

enum dxi_group_choice { DXI_GROUP_INHERIT, DXI_GROUP_NEW, DXI_GROUP_SESSION };

/*
 * Where a start failed: the steps in the order in which they are taken. child.c says why this one.
 */
enum dxi_step {
    DXI_STEP_CLONE,
    DXI_STEP_SIGNALS,
    DXI_STEP_GROUP,
    DXI_STEP_DESCRIPTORS,
    DXI_STEP_LIMITS,
    DXI_STEP_IDENTITY,
    DXI_STEP_PARENT_DEATH,
    DXI_STEP_DIRECTORY,
    DXI_STEP_PRIVILEGES,
    DXI_STEP_PREPARE,
    DXI_STEP_EXEC
};

/* For DXI_STEP_EXEC: the program's file is there, and what is missing is its interpreter. */
enum { DXI_INDEX_INTERPRETER = 1 };

/* A pid in decimal, and NUL. */
enum { DXI_PID_TEXT = 12 };

struct dxi_start {
    /*
     * The child's descriptors, all of them, each target once, by rising target; all others close.
     * The child writes its own copies into `fd`, and its memory may be the parent's: after a start
     * the sources are no longer to be read here.
     */
    struct dxi_descriptor_move *descriptors;
    size_t descriptor_count;

    const char *directory; /* or NULL */
    enum dxi_group_choice group;
    const struct dxi_resource_limit *limits;
    size_t limit_count;
    bool change_identity;
    uid_t user;
    gid_t gid;
    const gid_t *groups;
    size_t group_count;
    bool no_new_privileges;
    bool die_with_parent;
    volatile pid_t *noted_pid; /* where the child writes its own, or NULL */

    /* start(): the program. search is NULL if program holds '/', else a PATH to look along. */
    const char *program;
    const char *search;
    char *path_buffer; /* room for the longest element of search, '/', program and NUL */
    char *const *arguments;
    char *const *environment;
    char *pid_text; /* DXI_PID_TEXT bytes within environment for the child's own pid, or NULL */

    /*
     * fork(): what the child runs when it has become clean. What prepare answers below 0 fails the
     * start; what run answers is the exit status.
     */
    int (*prepare)(void *context);
    int (*run)(void *context);
    void *context;
};

struct dxi_started {
    pid_t pid;
    int pidfd;          /* close-on-exec */
    enum dxi_step step; /* on failure: where */
    size_t step_index;  /* on failure: which limit or descriptor, or DXI_INDEX_… */
};

#endif
