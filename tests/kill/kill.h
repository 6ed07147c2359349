/* SPDX-License-Identifier: MIT */
/*
 * The kill matrix: scenarios of a parent and its children, run again and again, and in each run one
 * of them is killed at another point of its life: at the n-th time that it makes a system call,
 * before or after it, at a birth, after so many instructions, or after so much time. What the others
 * have to say of it afterwards must be true, and nothing may stay behind.
 *
 *   scenario   what parent and child do; its round varies sizes, sockets, the lane and the rest
 *   point      where in which scenario who is killed, as text: "calls@3/parent/child/entry/sendmsg/2"
 *   board      memory that all of them share, so that what the dead had done is known
 *
 * cast.c is what the scenarios are made of, tracer.c runs a point, judge.c says what is wrong with
 * its outcome, matrix.c lists the points and runs them side by side.
 */
#ifndef DUPLEX_TESTS_KILL_H
#define DUPLEX_TESTS_KILL_H

#include <duplex.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    CHILDREN_MAX = 16, /* births in one run that are watched */
    JOBS_MAX = 32,
    WAIT_MS = 5000,   /* how long a survivor waits for anything; to need it is a failure */
    RUN_MS = 12000,   /* after which a run is said to hang */
    PROMPT_MS = 3000, /* how long after a death all must have ended */
    BOARD_FD = 9,     /* the board in a spawned program */
    STEPS_MAX = 800,  /* instructions after a mark at which somebody is killed */
    MARKS_MAX = 16,
    OUTPUT_MAX = 8192,
};

/* Who is watched or killed: the parent, or a child by the order of births, from 1. */
enum { PARENT = 0, CHILD = 1 };

enum life { UNBORN = 0, BEGUN, LEAVING };

/* What one process has done, for the others to compare with when it is no more. */
struct side {
    _Atomic int life;
    _Atomic unsigned begun; /* sends that were begun */
    _Atomic unsigned sent;  /* sends that have succeeded, and that the kernel has */
    _Atomic unsigned received;
    _Atomic bool over;    /* it has seen the end of the conversation */
    _Atomic bool in_vain; /* it may have sent to the dead, by datagrams */
};

struct board {
    _Atomic pid_t parent;    /* while it is there, nobody else has this number */
    _Atomic bool go;         /* the parent may begin */
    _Atomic unsigned killed; /* 1 << who; set before it is done */
    _Atomic int complained;
    char complaint[320];

    struct side sides[2]; /* of a conversation of two */
    _Atomic bool exit_known;
    dx_exit exit;            /* what the parent was told of the child's end */
    _Atomic bool crashed;    /* a worker has ended by its own fault */
    _Atomic bool complete;   /* the parent did all that there was to do */
    char output[OUTPUT_MAX]; /* of the command */
};

/* What a round of a scenario is like. */
struct variation {
    unsigned round;
    bool spawned; /* a program, else a function */
    dx_channel_type type;
    bool lane;
    bool trust;
    int spin_us;
    unsigned count;  /* messages, calls, jobs */
    unsigned window; /* under way at a time */
    size_t size;     /* of the largest */
    size_t socket_buffer;
    dx_handover handover;
    bool die_with_parent;
    dx_group group;
    unsigned manner; /* what the scenario makes of it, from 0 */
    unsigned workers, depth, retries;
    bool ordered;
};

struct play;
struct point;
struct outcome;

struct scenario {
    const char *name;
    void (*parent)(struct play *play);
    void (*child)(struct play *play, dx_channel *channel);
    unsigned children; /* how many may be watched and killed, 1 to CHILDREN_MAX */
    unsigned manners;
    void (*settle)(struct variation *is); /* what the scenario needs, whatever was drawn; or NULL */
    bool marked;                          /* there are marks, from which instructions are counted */
};

/* A run, as those who take part in it see it. */
struct play {
    const struct scenario *scenario;
    struct variation is;
    struct board *board;
    int board_fd;
    dx_process *process;
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* cast.c */

void vary(struct variation *ret, const struct scenario *scenario, unsigned round);
/* Say what is wrong; the first complaint counts. Always false. */
bool complain(struct play *play, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool was_killed(const struct play *play, int who);

/* A place in a process from which instructions are counted. */
void mark(unsigned number);
enum { MARK_CALL = 0x6d61726b }; /* the first argument of the system call that is a mark */
enum { MARK_BEGIN = 100, MARK_END = 101 }; /* the parent's time in which points lie */

dx_channel_options channel_of(const struct variation *is);
/* Start the child. NULL after a complaint. */
dx_channel *raise_child(struct play *play);
/* Wait for the child's end, note what is said of it, let go. */
void bury_child(struct play *play);
size_t size_of(const struct play *play, unsigned number);
void write_message(const struct play *play, unsigned number, uint8_t *bytes);
/* Send the message of this number; what comes of it is the caller's to judge. */
int tell(struct play *play, dx_channel *channel, unsigned number, int timeout_ms);
/* Send the message of this number. False if the peer has gone. */
bool say(struct play *play, dx_channel *channel, int self, unsigned number);
/*
 * A send has succeeded. What the channel keeps of it, when nothing moved for a while in its middle,
 * would die with us: then it counts later.
 */
void note_sent(struct play *play, dx_channel *channel, int self);
/*
 * Something was sent, and maybe to one who was no more: with datagrams the kernel then throws away
 * what that one had said and nobody has received.
 */
void note_in_vain(struct play *play, int self);
/* End our direction, and complain if that is refused without a reason. */
void say_end(struct play *play, dx_channel *channel, int self);
/* Check that this is the message of this number. */
bool is_message(struct play *play, const dx_message *message, unsigned number);
/* Receive the next message. False at the end. */
bool hear(struct play *play, dx_channel *channel, int self, dx_message *ret);
/* The end has come: was it true, and has everything come that the other had said? */
void check_end(struct play *play, int self, int status);
/* Run as a spawned child; the exit status. */
int be_program(char *const argv[]);

/* scenarios_talk.c, scenarios_ways.c, scenarios_calls.c, scenarios_pool.c */

void talk_parent(struct play *play);
/* The echoes up to this number. False at the end. */
bool hear_echoes(struct play *play, dx_channel *channel, unsigned up_to, unsigned *got);
/* Say the end, hear what the child still has to say, and bury it. */
void hear_to_the_end(struct play *play, dx_channel *channel, unsigned got);
void talk_in_a_loop(struct play *play, dx_channel *channel);
void talk_late(struct play *play, dx_channel *channel);
void talk_in_threads(struct play *play, dx_channel *channel);
void talk_child(struct play *play, dx_channel *channel);
void grandchild_child(struct play *play, dx_channel *channel);
void lane_parent(struct play *play);
void lane_child(struct play *play, dx_channel *channel);
void descriptors_parent(struct play *play);
void descriptors_child(struct play *play, dx_channel *channel);
void calls_parent(struct play *play);
void calls_child(struct play *play, dx_channel *channel);
void stop_parent(struct play *play);
void stop_child(struct play *play, dx_channel *channel);
void pool_parent(struct play *play);
void pool_child(struct play *play, dx_channel *channel);

/* scenarios_command.c */

/* Where the command is; and whether it is there. */
extern const char kill_command[];
bool has_command(void);
void command_parent(struct play *play);
void command_child(struct play *play, dx_channel *channel);
/* What is wrong with a run of it. */
void judge_command(const struct point *point, const struct board *board,
                   const struct outcome *outcome, char *text, size_t size);

/* run.c */

enum stop {
    AT_ENTRY = 0, /* of a system call, which is then not made */
    AT_EXIT,      /* of one */
    AT_STEP,      /* so many instructions after a mark */
    AT_BIRTH,     /* of the n-th child, before it has done anything */
    AT_TIME,      /* so many microseconds after the child's birth */
    STOPS
};

struct point {
    const struct scenario *scenario;
    unsigned round;
    int watched, victim;
    enum stop stop;
    unsigned call; /* the system call or the mark */
    unsigned nth;  /* from 1: which time, step or microsecond */
};

/* What a watched process did in a run in which nobody is killed, in its order. */
struct sighting {
    enum stop stop;
    unsigned call, nth;
    bool other_lives; /* the first child, or for a child the parent */
};

struct sightings {
    struct sighting *items;
    size_t count, room;
};

struct outcome {
    bool reached; /* somebody was killed */
    bool hung;
    bool was_leaving;  /* the victim was about to end by itself */
    bool victim_began; /* it was in its function or program */
    int parent_status; /* of waitpid(2) */
    unsigned left;     /* processes that the parent left */
    unsigned killed;   /* of these, ended by SIGKILL */
    unsigned early;    /* of these, ended with 127: not begun when the parent died */
    unsigned bad;      /* of these, ended otherwise than they should */
    int bad_status;    /* of the last of them */
    uint64_t took_ms;  /* from the death to the end of all */
};

/* Run a point, or if `list` is not NULL the scenario without a death, and note what is seen. */
void run_point(const struct point *point, struct board *board, int board_fd, struct sightings *list,
               struct outcome *ret);
/* NULL, or why no process can be traced here. */
const char *tracing_forbidden(void);

/* judge.c: what is wrong with a run, "" if nothing is. */
void judge(const struct point *point, const struct board *board, const struct outcome *outcome,
           char *text, size_t size);
/* Have /tmp and /dev/shm to ourselves. False if this process may not. */
bool folders_make_private(void);
/* The name of what lies there, "" if nothing does. */
void folders_look(char *text, size_t size);

/* names.c */
void point_print(const struct point *point, char *text, size_t size);
bool point_parse(struct point *ret, const char *text);

/* matrix.c */

struct ask {
    size_t points;
    unsigned jobs;
    unsigned first_round;
    const char *scenario; /* NULL: all */
    unsigned factor;      /* times are so many times as long */
};

struct totals {
    _Atomic size_t run, failed, missed, next;
    _Atomic size_t late; /* took too long once, and not when it was run again */
    _Atomic size_t by_victim[2];
    _Atomic size_t by_stop[STOPS];
    _Atomic uint64_t slowest_ms;
    _Atomic bool blind; /* nobody could look whether files were left */
};

extern unsigned slowness;

/* Print the points of the first round. */
void matrix_list(const struct ask *ask, struct totals *totals);
/* Run points until so many were reached. */
void matrix_run(const struct ask *ask, struct totals *totals);
/* Run one point, so often, and print what is wrong. True if nothing is. */
bool matrix_repeat(const struct point *point, unsigned times);

#endif
