/* SPDX-License-Identifier: MIT */
/*
 * Simulated processes: how they come to be, are signalled, end and are reaped.
 *
 * One that ends lets go of its descriptors one by one, and others may get on meanwhile; only then its
 * pidfd tells of the end, as on Linux.
 */
#include "kernel.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INIT_PID = 1, FIRST_PID = 1000 };

struct process *process_make(struct process *parent, void (*entry)(void))
{
    struct process *process;

    if (kernel.process_count == PROCESSES)
        world_fail("there are %d processes", PROCESSES);
    process = calloc(1, sizeof(*process));
    if (process == NULL)
        world_fail("no memory for a process");
    if (kernel.born == 0)
        kernel.next_pid = FIRST_PID;
    kernel.processes[kernel.process_count++] = process;
    process->life = LIFE_RUNS;
    process->pid = kernel.next_pid++;
    process->number = ++kernel.born;
    process->generation = ++kernel.generations;
    process->parent = parent;
    process->group = parent ? parent->group : process->pid;
    process->watched = -1;
    if (kernel.options.victim == process->number)
        process->death_at = kernel.options.death_at;
    if (entry != NULL)
        fibre_open(&process->fibre, entry);
    return process;
}

struct process *process_by_pid(pid_t pid)
{
    for (unsigned i = 0; i < kernel.process_count; i++) {
        if (kernel.processes[i]->pid == pid)
            return kernel.processes[i];
    }
    return NULL;
}

void process_forget(struct process *process)
{
    for (unsigned i = 0; i < kernel.process_count; i++) {
        if (kernel.processes[i] == process) {
            memmove(kernel.processes + i, kernel.processes + i + 1,
                    (kernel.process_count - i - 1) * sizeof(struct process *));
            kernel.process_count--;
            break;
        }
    }
    if (process == kernel.root)
        kernel.root = NULL;
    fibre_close(&process->fibre);
    memory_unmap_all(process);
    memory_free_all(process);
    if (process->birth)
        free(process->birth->context);
    free(process->birth);
    free(process->environment);
    free(process);
    kernel_stir();
}

/* Its children are init's now, who reaps them. */
static void orphan_children(struct process *process)
{
    for (unsigned i = 0; i < kernel.process_count;) {
        struct process *child = kernel.processes[i];

        if (child->parent != process) {
            i++;
            continue;
        }
        child->parent = NULL;
        if (child->life == LIFE_ZOMBIE)
            process_forget(child);
        else if (child->dies_with_parent)
            process_end(child, 0, SIGKILL);
    }
}

void process_end(struct process *process, int code, int signal)
{
    if (process->life != LIFE_RUNS)
        return;
    process->life = LIFE_DYING;
    process->exit_code = code;
    process->exit_signal = signal;
    process->asleep = false;
    if (process != kernel.running)
        fibre_close(&process->fibre);
    memory_unmap_all(process);
    kernel_stir();
}

void process_die_further(struct process *process)
{
    for (unsigned fd = 0; fd < process->highest; fd++) {
        if (process->slots[fd].file != NULL) {
            file_close(process, (int)fd);
            return;
        }
    }
    fibre_close(&process->fibre);
    memory_free_all(process);
    process->life = LIFE_ZOMBIE;
    orphan_children(process);
    kernel_stir();
    kernel.hash = kernel.hash * 31 + (unsigned)process->number;
    if (kernel.traced)
        world_say("process #%u is no more: code %d, signal %d", process->number, process->exit_code,
                  process->exit_signal);
    if (process->parent == NULL)
        process_forget(process);
}

void process_signal(struct process *process, int signal)
{
    if (process->life != LIFE_RUNS)
        return;
    switch (signal) {
    case 0:
        break;
    case SIGSTOP:
        process->stopped = true;
        break;
    case SIGCONT:
        process->stopped = false;
        if (process->term_pending)
            process_end(process, 0, SIGTERM);
        break;
    case SIGTERM:
        if (process->ignores_term)
            break;
        if (process->stopped)
            process->term_pending = true;
        else
            process_end(process, 0, signal);
        break;
    default:
        process_end(process, 0, signal);
        break;
    }
    kernel_stir();
}

void world_exit(int status)
{
    kernel_enter();
    process_end(kernel.running, status & 0xff, 0);
    kernel_yield(true);
    abort();
}

void world_raise(int signal)
{
    struct process *self = kernel_enter();

    process_signal(self, signal);
    if (self->life != LIFE_RUNS || self->stopped) {
        kernel_yield(self->life != LIFE_RUNS);
    }
}

void world_ignore(int signal)
{
    if (signal == SIGTERM)
        kernel.running->ignores_term = true;
}

/* A pidfd names one process for ever; its place in memory may be another's by now. */
static struct process *named_by(const struct file *pidfd)
{
    for (unsigned i = 0; i < kernel.process_count; i++) {
        if (kernel.processes[i]->generation == pidfd->pidfd.generation)
            return kernel.processes[i];
    }
    return NULL;
}

unsigned process_events(const struct file *pidfd)
{
    const struct process *process = named_by(pidfd);

    if (process == NULL)
        return POLLIN | POLLRDNORM | POLLHUP;
    return process->life == LIFE_ZOMBIE ? POLLIN | POLLRDNORM : 0;
}

int processes_pidfd(struct process *process)
{
    struct file *file = file_make(FILE_PIDFD);

    file->pidfd.process = process;
    file->pidfd.generation = process->generation;
    return file_place(kernel.running, file, 0, true);
}

int processes_pidfd_open(pid_t pid)
{
    struct process *process = process_by_pid(pid);

    return process ? processes_pidfd(process) : -ESRCH;
}

static int find(int pidfd, struct process **ret)
{
    struct file *file = file_of(kernel.running, pidfd);

    if (file == NULL || file->kind != FILE_PIDFD)
        return -EBADF;
    *ret = named_by(file);
    return 0;
}

int processes_signal(int pidfd, pid_t pid, int signal)
{
    struct process *process;
    int error = find(pidfd, &process);

    if (error < 0)
        return error;
    if (process == NULL)
        return -ESRCH;
    if (process->pid != pid)
        world_fail("a signal for %d is sent to %d", (int)pid, (int)process->pid);
    process_signal(process, signal);
    return 0;
}

int processes_signal_group(int pidfd, pid_t leader, int signal)
{
    struct process *process;
    int error = find(pidfd, &process);
    int found = -ESRCH;

    if (error < 0)
        return error;
    if (process == NULL)
        return -ESRCH;
    for (unsigned i = 0; i < kernel.process_count; i++) {
        if (kernel.processes[i]->group != leader)
            continue;
        found = 0;
        process_signal(kernel.processes[i], signal);
    }
    return found;
}

int processes_reap(int pidfd, struct dxi_ended *ret)
{
    struct process *process;
    int error = find(pidfd, &process);

    if (error < 0)
        return error;
    *ret = (struct dxi_ended){0};
    if (process == NULL)
        return 0;
    if (process->life != LIFE_ZOMBIE)
        return -EAGAIN;
    if (process->parent != kernel.running)
        return 0;
    ret->known = true;
    ret->wait_code = process->exit_signal ? CLD_KILLED : CLD_EXITED;
    ret->wait_status = process->exit_signal ? process->exit_signal : process->exit_code;
    ret->user_us = 1;
    ret->system_us = 1;
    ret->peak_memory_bytes = 1 << 20;
    process_forget(process);
    return 0;
}

int processes_resident(pid_t pid, uint64_t *ret)
{
    const struct process *process = process_by_pid(pid);

    if (process == NULL)
        return -ENOENT;
    *ret = 1 << 20;
    for (const struct block *block = process->memory; block; block = block->next)
        *ret += block->size;
    return 0;
}
