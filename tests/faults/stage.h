/* SPDX-License-Identifier: MIT */
/*
 * Where a scenario is played: in a process of its own, with at most one fault. Each answer of the library
 * is looked at as it comes; what was said and heard, and what is left behind, at the end.
 *
 * What a scenario does after an error is what a careful program would do: once more, and if that fails,
 * too, it gives up that conversation and closes what it has.
 */
#ifndef DUPLEX_TESTS_FAULTS_STAGE_H
#define DUPLEX_TESTS_FAULTS_STAGE_H

#include "injector.h"

#include <duplex.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TALKS = 8,
    TALK_MAX = 512,       /* messages in one direction */
    MESSAGE_MAX = 700000, /* bytes */
    COMPLAINT_SIZE = 600,
};

/* One direction of a conversation: messages numbered from 0, each sent until it is acknowledged. */
struct talk {
    unsigned said;  /* acknowledged */
    bool saying;    /* one more is being sent, and if the sender is killed then nobody knows */
    unsigned heard; /* received, in order and none twice */
    bool gave_up;   /* the sender has, after an error */
    bool ended;     /* the sender has said the end, and that was acknowledged */
    bool end_seen;  /* by the receiver, who met no error before */
};

/* In memory that the children share. */
struct stage {
    struct fault_state faults;
    struct talk talks[TALKS];
    unsigned flags[8]; /* for the scenario's own use */
    int patience_ms;
    bool vague; /* a deadline may be met: see not_told(), run_out() */
    bool json;  /* messages are JSON texts, of 18 bytes at least */
    atomic_bool complained;
    char complaint[COMPLAINT_SIZE];
};

extern struct stage *stage;

struct scenario {
    const char *name;
    void (*play)(void);
    const char *only; /* it is there for this function, and takes long; NULL: for all */
};

extern const struct scenario scenarios_of_conversation[], scenarios_of_channels[],
    scenarios_of_calls[], scenarios_of_processes[], scenarios_of_pools[];

/* The program of child_partner.c, and an environment's PATH with its folder. */
extern char fault_partner[], fault_path[];

/* Something is not as promised. The first is kept. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Look at what a function of the library answered: no error, or one that may come of the fault and has a
 * sentence. besides is one that is documented besides, 0: none. Returns whether it succeeded.
 */
bool went(int status, const char *what, const char *sentence, int besides);

/* Whether it is worth to do it once more. */
bool is_passing(int status);

/* Say the next message of a talk, of so many bytes, 8 at least. 0 or an error, after a second try. */
int tell(dx_channel *channel, struct talk *talk, size_t size);

/* The same with descriptors, which are gone afterwards in any case. */
int tell_with(dx_channel *channel, struct talk *talk, size_t size, int *descriptors, size_t count);

/*
 * For sockets and pipes whose peer does not learn of it when a fault says that the peer has gone: then
 * deadlines are met, and soon.
 */
void not_told(void);

/* Memory that never comes back: who waits for it meets his deadline, and soon. */
void run_out(void);

/* Hear the next. 1 and the message, 0 at the end, or an error after a second try. */
int hear(dx_channel *channel, struct talk *talk, dx_message *ret);

/* A message as tell() makes them; and whether it is the next one. */
const void *words(unsigned number, size_t size);
void check_words(struct talk *talk, const void *data, size_t size);

/* Say the end, with a second try. */
void finish(dx_channel *channel, struct talk *talk);

/* Hear all that comes, up to the end. Returns as hear(). */
int hear_out(dx_channel *channel, struct talk *talk);

/*
 * See to the child's end, with a second try, and close it. Wait for it if the conversation had an orderly
 * end, else stop it.
 */
void part(dx_process *process, bool orderly);

/* Look at the talks: nothing lost, nothing doubled. */
void check_talks(void);

/* Everything that is open, up to a number that no scenario reaches. */
uint64_t open_descriptors(void);

/* A pipe, or of odd ones a socket, with a byte in it, its reading end; and whether this is one. */
int make_note(uint8_t note);
bool is_note(int fd, uint8_t note);

#endif
