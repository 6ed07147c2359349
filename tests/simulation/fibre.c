/* SPDX-License-Identifier: MIT */
/*
 * Fibres by makecontext(3), and from then on by _setjmp(3): swapcontext(3) makes a system call each
 * time, for a signal mask that is the same everywhere here.
 */
/* The checked longjmp(3) takes another stack for an error. */
#undef _FORTIFY_SOURCE
#define _FORTIFY_SOURCE 0

#include "fibre.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if HARNESS_ASAN
void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **bottom, size_t *size);
#endif

enum {
    STACK_SIZE = 256 << 10,
    /* valgrind takes a stack pointer that moves by more than 2 MiB for another stack. */
    STACK_SPACING = 4 << 20,
};

static struct fibre_stack *free_stacks;
static struct fibre *current;
static struct fibre *previous;

static struct fibre_stack *take_stack(void)
{
    struct fibre_stack *stack = free_stacks;

    if (stack != NULL) {
        free_stacks = stack->next;
        return stack;
    }
    char *space = mmap(NULL, STACK_SPACING, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    stack = malloc(sizeof(*stack));
    if (space == MAP_FAILED || stack == NULL ||
        mprotect(space + STACK_SPACING - STACK_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE) < 0) {
        fprintf(stderr, "simulation: no memory for a stack\n");
        abort();
    }
    stack->bottom = space + STACK_SPACING - STACK_SIZE;
    stack->size = STACK_SIZE;
    return stack;
}

static void finish_switch(void)
{
#if HARNESS_ASAN
    __sanitizer_finish_switch_fiber(current->fake_stack, &previous->bottom, &previous->size);
#endif
}

static void begin(void)
{
    finish_switch();
    current->entry();
    abort();
}

void fibre_open(struct fibre *fibre, void (*entry)(void))
{
    fibre->stack = take_stack();
    fibre->entry = entry;
    fibre->begun = false;
    fibre->fake_stack = NULL;
    fibre->bottom = fibre->stack->bottom;
    fibre->size = fibre->stack->size;
    getcontext(&fibre->context);
    fibre->context.uc_stack.ss_sp = fibre->stack->bottom;
    fibre->context.uc_stack.ss_size = fibre->stack->size;
    fibre->context.uc_link = NULL;
    makecontext(&fibre->context, begin, 0);
    /* The sanitizer would wipe its notes on the whole stack at each switch to it. */
    fibre->context.uc_stack.ss_size = 0;
}

void fibre_close(struct fibre *fibre)
{
    if (fibre->stack == NULL)
        return;
    fibre->stack->next = free_stacks;
    free_stacks = fibre->stack;
    fibre->stack = NULL;
}

void fibre_switch(struct fibre *from, struct fibre *to, bool ends)
{
    bool begun = to->begun;

    previous = from;
    current = to;
    to->begun = true;
    from->begun = true;
#if HARNESS_ASAN
    __sanitizer_start_switch_fiber(ends ? NULL : &from->fake_stack, to->bottom, to->size);
    (void)begun;
    swapcontext(&from->context, &to->context);
#else
    (void)ends;
    if (_setjmp(from->place) == 0) {
        if (begun)
            _longjmp(to->place, 1);
        setcontext(&to->context);
    }
#endif
    finish_switch();
}
