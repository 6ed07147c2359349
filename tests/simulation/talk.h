/* SPDX-License-Identifier: MIT */
/*
 * A conversation at random, and the book that is kept of it: who said what, what was acknowledged, what
 * has come. The book is memory outside the world, which both sides write.
 */
#ifndef DUPLEX_TESTS_SIMULATION_TALK_H
#define DUPLEX_TESTS_SIMULATION_TALK_H

#include "world.h"

#include <duplex.h>

enum {
    NOTES_MAX = 256,
    ASKS_MAX = 64,
    NOTE_FILES = 4,
    PATTERN_SIZE = 1 << 20,
};

/* A message, from when it is tried on. */
struct note {
    size_t size;
    unsigned file_count;
    uint64_t files[NOTE_FILES];
};

enum ask_state {
    ASK_TRIED,
    ASK_OPEN,
    ASK_ENDED, /* with whatever */
};

/* A request. Its first bytes are its place in the book. */
struct ask {
    enum ask_state state;
    bool started; /* by dx_call_start(): dx_recv() brings the answer */
    bool timed;   /* it ends by itself at some time, and the peer may learn it first */
    bool heard;   /* by the peer */
    bool answer_tried, answered, as_error;
    bool cancelled; /* or given up at its deadline, by the asker */
    uint64_t id;
    uint64_t their_id;
    size_t size, answer_size;
};

/* What one side says to the other. */
struct speech {
    struct note notes[NOTES_MAX];
    unsigned said;      /* acknowledged */
    bool trying;        /* one more is being said */
    unsigned committed; /* of those acknowledged, out of the speaker's hands */
    unsigned heard;
    bool ending;   /* dx_channel_end() is under way */
    bool ended;    /* it has succeeded */
    bool over;     /* the speaker has let go of the channel, or is about to */
    bool finished; /* the listener has come to the end */
    struct ask asks[ASKS_MAX];
    unsigned asked;
};

struct side {
    const char *name;
    struct randomness plan;
    dx_channel *channel;
    dx_channel_options options;
    struct speech *mine, *theirs;
    unsigned steps;
    bool leaves_early;
    bool handles; /* requests by a handler */
    size_t largest;
    bool lossy; /* datagrams, of which a closed end loses some */
};

/* Make what all messages are made of, once in a process. */
void talk_prepare(void);
const uint8_t *talk_pattern(uint64_t number, size_t size);

/* Have the side do what its plan says, to the end of the conversation or of its interest in it. */
void talk(struct side *side);

/* hear.c: one receive, and what has come compared with the book. Returns what dx_recv() did. */
int talk_hear(struct side *side, int timeout_ms);
void talk_hear_message(struct side *side, dx_message *message);
void talk_check_answer(struct side *side, struct ask *ask, int status, const dx_message *reply);
void talk_check_end(struct side *side, int status);
int talk_handle(dx_channel *channel, const dx_message *request, void *context);

/* ask.c: requests and their answers. */
void talk_call(struct side *side);
void talk_start(struct side *side);
void talk_cancel(struct side *side);
void talk_answer(struct side *side);
int talk_answer_one(struct side *side, struct ask *ask, int timeout_ms);

/* What a send may answer; fails the world otherwise. */
void talk_check_send(struct side *side, const char *what, int status, int timeout_ms);

int talk_timeout(struct side *side);

/* The whole scenario, as a root function of a world. */
void conversation(void *context);

/* The programs that it starts. */
const struct world_program *conversation_programs(void);

#endif
