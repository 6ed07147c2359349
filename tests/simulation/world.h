/* SPDX-License-Identifier: MIT */
/*
 * A world: a simulated kernel with its processes, in one process and one thread.
 *
 *   1. world_run() replaces dxi_os by a table of simulated calls and runs a function as the first
 *      process. It and its children use the library as any program does.
 *   2. Each call of the table is a place where another process may get on, where time passes, and where
 *      the caller may be delayed or killed. The seed decides. Nothing else does: no clock, no address, no
 *      order of a real scheduler. The same seed is the same history.
 *   3. When the last process has ended, nothing may be left: no descriptor, no memory, no process.
 *
 * What is not simulated: between two calls a process runs alone, so the words of shared memory are
 * interleaved as far as the calls around them are (tests/models has each store); and memory of the
 * children is the parent's, so that a function finds nothing copied but its context. README.md has the
 * rest.
 */
#ifndef DUPLEX_TESTS_SIMULATION_WORLD_H
#define DUPLEX_TESTS_SIMULATION_WORLD_H

#include "random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a program does, by its name as dx_spawn() knows it. It returns its exit status. */
struct world_program {
    const char *name;
    int (*run)(void);
};

/* How rough the kernel is. All-zero: it does everything at once, and switches where one waits. */
struct world_options {
    unsigned switch_one_in; /* calls at which another process may get on */
    unsigned delay_one_in;  /* calls before which the caller is kept from running for a while */
    uint64_t delay_ns;      /* for so long at most */
    unsigned cut_one_in;    /* writes that move less than they could; Linux never reads so */
    unsigned refuse_one_in; /* sends, and makings of memory to share, that find no memory */
    int send_buffer;        /* of each socket; 0: Linux's */
    unsigned processors;    /* 0: 1 */
    bool threads;           /* processes may have had other threads */
    bool old;               /* neither SO_PASSRIGHTS nor SO_PEERPIDFD */
    unsigned descriptors;   /* that a process may have open; 0: all there are */
    unsigned victim;        /* the process, from 1 in the order of birth, that is killed; 0: none */
    uint64_t death_at;      /* at this call of its */
    const struct world_program *programs; /* the last has no name */
};

/* What happened in a world. */
struct world_history {
    const char *failure; /* NULL: all was well */
    uint64_t hash;       /* of each call, its result and its time */
    uint64_t calls;
    uint64_t lasted_ns;
    unsigned processes;
    unsigned deaths;
};

/* Run root(context) in a new world. traced: print each call. */
struct world_history world_run(uint64_t seed, const struct world_options *options,
                               void (*root)(void *context), void *context, bool traced);

/* For the processes of a world. */

/* Choices of the scenario, which do not depend on what the kernel chose. */
extern struct randomness world_plan;

/* End the world as failed, because of this. */
_Noreturn __attribute__((format(printf, 1, 2))) void world_fail(const char *format, ...);

#define world_check(condition, ...) ((condition) ? (void)0 : world_fail(__VA_ARGS__))

/* Add a line to the trace, if there is one. */
__attribute__((format(printf, 1, 2))) void world_say(const char *format, ...);
bool world_is_traced(void);

/*
 * From now on the caller promises to be asleep no later than in timeout_ms (as the library's own), and
 * slack_ns after that; then it keeps the promise. Being kept from running is not being asleep.
 */
void world_promise(int timeout_ms, uint64_t slack_ns);
void world_kept(void);

void world_sleep(uint64_t ns);
_Noreturn void world_exit(int status);
void world_raise(int signal);
void world_ignore(int signal);

/* Sleep for ever, by the scenario's own will. */
_Noreturn void world_hang(void);

/* Which of all files that ever were in this world lies under a descriptor; 0: none. */
uint64_t world_file(int fd);

/* The number of the process that runs, from 1 in the order of birth; how many have been born. */
unsigned world_number(void);

/* Whether somebody was killed at a seeded moment. */
bool world_had_death(void);

/* Whether the kernel is old: see the options. */
bool world_is_old(void);

/* Whether a call found no memory. */
bool world_had_refusal(void);

#endif
