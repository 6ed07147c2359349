/* SPDX-License-Identifier: MIT */
/*
 * Fibres: several courses of execution in one thread, each with a stack of its own. One runs until it
 * switches to another.
 */
#ifndef DUPLEX_TESTS_SIMULATION_FIBRE_H
#define DUPLEX_TESTS_SIMULATION_FIBRE_H

#include "harness.h"

#include <setjmp.h>
#include <stddef.h>
#include <ucontext.h>

/* The sanitizer follows swapcontext(3) and not longjmp(3), which makes no system call. */
#define FIBRE_PLAIN (!HARNESS_ASAN)

struct fibre_stack {
    struct fibre_stack *next;
    char *bottom;
    size_t size;
};

struct fibre {
    struct fibre_stack *stack; /* NULL: the thread's own */
    void (*entry)(void);
    bool begun;
    jmp_buf place;
    ucontext_t context;
    void *fake_stack;
    const void *bottom;
    size_t size;
};

/* Make a fibre that runs entry, which must not return, when it is switched to first. */
void fibre_open(struct fibre *fibre, void (*entry)(void));

/* Give the stack back. Who runs on it may go on until it switches. */
void fibre_close(struct fibre *fibre);

/* From the fibre that runs to another. ends: it will never be switched to again. */
void fibre_switch(struct fibre *from, struct fibre *to, bool ends);

#endif
