/* SPDX-License-Identifier: MIT */
/*
 * How a simulated child begins. It has copies of all its parent's descriptors at first, as after
 * clone(2), and gives them up when it is first let run; its parent sleeps until the child has told how
 * its start went, or has died.
 */
#include "kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A fork copies the memory; of that, what follows its context on the parent's stack is enough. */
enum { CONTEXT_SIZE = 512 };

/* Give up what is not wanted, and put the rest in its place. */
static void arrange(struct process *self)
{
    const struct birth *birth = self->birth;
    struct file *kept[DESCRIPTORS] = {NULL};

    for (size_t i = 0; i < birth->move_count; i++) {
        struct file *file = file_of(self, birth->moves[i].fd);

        if (file == NULL)
            world_fail("a child is to get descriptor %d, which is not open", birth->moves[i].fd);
        file_hold(file);
        kept[birth->moves[i].target] = file;
    }
    for (int fd = (int)self->highest - 1; fd >= 0; fd--)
        file_close(self, fd);
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        if (kept[fd] == NULL)
            continue;
        self->slots[fd] = (struct slot){.file = kept[fd]};
        self->highest = (unsigned)fd + 1;
    }
}

/* What the first function of a process runs into at its end. */
static void come_to_an_end(int status)
{
    world_exit(status);
}

/* Everything that it had is to be given back by now, but for the standard numbers. */
static void check_left(const struct process *self)
{
    for (unsigned fd = 3; fd < self->highest; fd++) {
        if (self->slots[fd].file != NULL)
            world_fail("process #%u ends and has left descriptor %u open", self->number, fd);
    }
    if (self->blocks > 0)
        world_fail("process #%u ends and has left %zu blocks of memory", self->number,
                   self->blocks);
}

static void live(void)
{
    struct process *self = kernel.running;
    struct birth *birth = self->birth;
    int status;

    kernel_enter();
    arrange(self);
    kernel_enter();
    if (birth->prepare) {
        birth->error = birth->prepare(birth->context);
        birth->step = DXI_STEP_PREPARE;
    }
    birth->told = true;
    kernel_stir();
    if (birth->error < 0)
        world_exit(127);
    kernel_enter();
    status = birth->program ? birth->program() : birth->run(birth->context);
    if (self->life == LIFE_RUNS)
        check_left(self);
    come_to_an_end(status);
}

/* Byte by byte, because what lies there is more than one object. */
__attribute__((no_sanitize("address", "undefined"))) static void *copy_context(const void *context)
{
    const struct fibre_stack *stack = kernel.running->fibre.stack;
    const volatile char *from = context;
    size_t left = (size_t)(stack->bottom + stack->size - (const char *)context);
    char *copy = malloc(CONTEXT_SIZE);

    if (copy == NULL)
        world_fail("no memory for a context");
    for (size_t i = 0; i < CONTEXT_SIZE && i < left; i++)
        copy[i] = from[i];
    return copy;
}

/* An environment in one block: the pointers, and behind them the text. */
static char **copy_environment(char *const *environment)
{
    size_t count = 0;
    size_t text = 0;

    for (; environment && environment[count]; count++)
        text += strlen(environment[count]) + 1;
    char **copy = malloc((count + 1) * sizeof(*copy) + text);

    if (copy == NULL)
        world_fail("no memory for an environment");
    char *to = (char *)(copy + count + 1);

    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(environment[i]) + 1;

        copy[i] = memcpy(to, environment[i], size);
        to += size;
    }
    copy[count] = NULL;
    return copy;
}

static bool has_told(struct process *self)
{
    const struct process *child = process_by_pid((pid_t)self->polled_count);

    return child == NULL || child->life == LIFE_ZOMBIE || child->birth->told;
}

/* Wait for the child's word. A child that has died says nothing; its end will say it. */
static int hear(struct process *child, struct dxi_started *ret)
{
    struct process *self = kernel.running;
    bool promised = self->promised;

    /* To wait for a start is no sleep that anybody promised to end. */
    self->promised = false;
    while (child->life != LIFE_ZOMBIE && !child->birth->told) {
        self->polled_count = (size_t)child->pid;
        self->awaits = has_told;
        kernel_sleep(UINT64_MAX);
    }
    self->awaits = NULL;
    self->polled_count = 0;
    self->promised = promised;
    if (!child->birth->told || child->birth->error == 0)
        return 0;
    int error = child->birth->error;

    ret->step = child->birth->step;
    while (child->life != LIFE_ZOMBIE) {
        self->polled_count = (size_t)child->pid;
        self->awaits = has_told;
        child->birth->told = false;
        kernel_sleep(UINT64_MAX);
    }
    self->awaits = NULL;
    self->polled_count = 0;
    process_forget(child);
    return error;
}

static struct process *bear(const struct dxi_start *start)
{
    struct process *self = kernel.running;
    struct process *child = process_make(self, live);
    struct birth *birth = calloc(1, sizeof(*birth));

    if (birth == NULL)
        world_fail("no memory for a birth");
    child->birth = birth;
    birth->move_count = start->descriptor_count;
    memcpy(birth->moves, start->descriptors, birth->move_count * sizeof(*birth->moves));
    child->dies_with_parent = start->die_with_parent;
    child->group = start->group == DXI_GROUP_INHERIT ? self->group : child->pid;
    for (unsigned fd = 0; fd < self->highest; fd++) {
        if (self->slots[fd].file == NULL)
            continue;
        child->slots[fd] = self->slots[fd];
        file_hold(child->slots[fd].file);
    }
    child->highest = self->highest;
    return child;
}

static int settle(struct process *child, struct dxi_started *ret)
{
    *ret = (struct dxi_started){.pid = child->pid, .pidfd = -1, .step = DXI_STEP_CLONE};
    int pidfd = processes_pidfd(child);

    if (pidfd < 0) {
        process_end(child, 0, 9);
        child->parent = NULL;
        return pidfd;
    }
    int error = hear(child, ret);

    if (error < 0) {
        file_close(kernel.running, pidfd);
        return error;
    }
    ret->pidfd = pidfd;
    return 0;
}

int birth_fork(const struct dxi_start *start, struct dxi_started *ret)
{
    struct process *child = bear(start);

    child->birth->prepare = start->prepare;
    child->birth->run = start->run;
    child->birth->context = copy_context(start->context);
    return settle(child, ret);
}

int birth_start(const struct dxi_start *start, struct dxi_started *ret)
{
    const struct world_program *program = kernel.options.programs;

    while (program != NULL && program->name != NULL && strcmp(program->name, start->program) != 0)
        program++;
    *ret = (struct dxi_started){.pid = -1, .pidfd = -1, .step = DXI_STEP_EXEC};
    if (program == NULL || program->name == NULL)
        return -ENOENT;
    struct process *child = bear(start);

    if (start->pid_text)
        snprintf(start->pid_text, DXI_PID_TEXT, "%d", (int)child->pid);
    child->environment = copy_environment(start->environment);
    child->birth->program = program->run;
    return settle(child, ret);
}
