/* SPDX-License-Identifier: MIT */
/*
 * The frame of all misdeeds. A misdeed is what a child does to its parent, and what the parent is told.
 * The child is a program that speaks the protocol by hand (by_hand.h), as whoever was given untrusted
 * code would start it.
 *
 *     MISDEED(test_a_second_greeting, .does = "greets twice", .act = "greet-twice", .over = ANY_WAY,
 *             .answer = -EPROTO, .says = "the peer greeted twice");
 *
 *     HOSTILE_MAIN("frames")
 *
 * Each is met over each of its ways, once by calls that wait and once in an event loop, and each time
 * this must hold:
 *
 *   - the parent is told exactly this, and in these words, and goes on living;
 *   - a child that behaves, of the same parent and in the same event loop, is answered all the while;
 *   - no call takes longer than its deadline and LATE_MS;
 *   - what the child can cost in memory is bounded; and after it was stopped no descriptor, memory,
 *     mapping, child or grandchild is left;
 *   - docs/hostile.md says the same of it, and of no misdeed that is not tried.
 *
 * A machine that is busy with something else may be late for us. The time that a process was ready to run
 * and could not does not count, nor what an empty process takes just then; and only who is late in each of
 * TRIES has failed. Whatever else does not hold fails at once.
 */
#ifndef DUPLEX_TESTS_HOSTILE_COMMON_H
#define DUPLEX_TESTS_HOSTILE_COMMON_H

#include "channel/support.h"

#include <duplex.h>

/* COST_MAX: an inbox has room for packets of the greatest size. */
enum {
    LATE_MS = 100,
    TRIES = 3,
    WAIT_MS = 150,
    LONG_WAIT_MS = 5000,
    PATIENCE_MS = 10000,
    SMALL_LIMIT = 65536,
    COST_MAX = 6 * 262144,
    TEST_SECONDS = 60
};

/* Over what they converse when the child begins. */
enum way {
    BY_STREAM = 1,
    BY_PACKETS = 2,
    BY_SOCKET = BY_STREAM | BY_PACKETS,
    BY_FAST_STREAM = 4, /* in the fast lane, which a STREAM socket accompanies */
    BY_FAST_PACKETS = 8,
    BY_LANE = BY_FAST_STREAM | BY_FAST_PACKETS,
    ANY_WAY = BY_SOCKET | BY_LANE
};

/* How the parent converses. */
enum manner {
    RECEIVES = 0,
    SENDS, /* messages without end */
    ASKS,
    PASSES /* messages with a descriptor, without end */
};

enum { AT_WAITING = 1, AT_LOOPING = 2, UNTIL_IT_ENDS = -1 };

struct scene;

struct misdeed {
    const char *does; /* what the child does, for docs/hostile.md */
    const char *act;  /* what it is told to do: the program's argument */
    const char *program;
    unsigned over; /* enum way */
    enum manner manner;

    /* What the parent is told in the end: 1 if it receives as long as it likes, 0, or an error. */
    int answer;
    const char *says; /* the sentence. One "…" in it stands for anything */
    int messages;     /* how many come before. UNTIL_IT_ENDS: any number */
    bool at_once;     /* the child does not wait until it is greeted and told to begin */
    bool stirs;       /* it wakes the event loop for nothing as often as it likes */
    unsigned descriptor_limit;
    unsigned at;      /* AT_WAITING, AT_LOOPING; 0: both */
    unsigned leaves;  /* descendants that may outlive the child, for the test to end */
    const char *ends; /* how the child must have ended by itself; NULL: it is stopped */

    /* Why it cannot be tried here, or NULL. */
    const char *(*needs)(void);
    void (*prepare)(dx_process_options *options);
    /* Instead of a manner; answers as the call that it makes. */
    int (*meet)(struct scene *scene);
    /* After the answer. */
    void (*then)(struct scene *scene);

    /* Instead of the child and all of the above: begins and ends what it needs. And the call's name. */
    void (*play)(struct scene *scene);
    const char *call;
};

struct misdeed_test {
    const struct misdeed *misdeed;
    const TTest **test;
    const char *name;
    double seconds;
    struct misdeed_test *next;
};

void register_misdeed(struct misdeed_test *test);
void meet(const struct misdeed *misdeed);

#define MISDEED(name, ...)                                                                         \
    static const struct misdeed name##_misdeed = {__VA_ARGS__};                                    \
    START_TEST(name)                                                                               \
    {                                                                                              \
        meet(&name##_misdeed);                                                                     \
    }                                                                                              \
    END_TEST                                                                                       \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        static struct misdeed_test test = {&name##_misdeed, &name, #name, TEST_SECONDS, NULL};     \
        register_misdeed(&test);                                                                   \
    }

/* The chapter of docs/hostile.md that has these and no others. */
#define HOSTILE_MAIN(chapter)                                                                      \
    int main(void)                                                                                 \
    {                                                                                              \
        return hostile_main(chapter);                                                              \
    }

int hostile_main(const char *chapter);

/* A line of the document must be this row. */
void expect_in_document(const char *does, const char *over, const char *call, int answer,
                        const char *says);

struct scene {
    const struct misdeed *misdeed;
    enum way way;
    dx_process *process;
    dx_channel *channel;
    dx_process *bystander;
    dx_channel *beside;

    int messages;            /* that came */
    int answer;              /* of the last call */
    char text[DX_TEXT_SIZE]; /* and its sentence */
    uint64_t call_id;
    unsigned rounds;   /* of the bystander */
    uint64_t asked_ms; /* when it was asked; 0: it was answered */
    uint64_t rested_ms;
    uint64_t starved_ms;
    unsigned stirred; /* turns of the loop that brought nothing */
    int late_ms;      /* how late the latest call or answer of the bystander was */
    const char *late; /* which */
    bool looping;
};

/* For meet() and then(): the deadline, and time a call that has it. */
int wait_ms_of(const struct scene *scene);
uint64_t begin_call(void);
void end_call(struct scene *scene, const char *call, uint64_t begun, int timeout_ms);

/* Receive until something else than a message comes, or time has passed, in which the bystander is
 * served if the scene is looping. */
int receive_all(struct scene *scene);

/* For what valgrind keeps from the kernel, or for a child that must not be so much faster. */
static inline const char *needs_no_valgrind(void)
{
    return harness_valgrind() ? "valgrind has limits and a pace of its own" : NULL;
}

/* In which a child does what takes it a moment: longer where everything takes longer. */
static inline int moment_ms(int natively_ms)
{
    return natively_ms + 50 * (slowness() - 1);
}

/* Send a message with a descriptor, or be refused and still have it. */
int pass(struct scene *scene, int timeout_ms);

/* Keep a call's answer, with its sentence. */
int keep_answer(struct scene *scene, int answer, const char *text);

/* Whether the last one, and its sentence, are what they should be. */
bool is_as_documented(const struct scene *scene);

/* Have the parent converse with the child in its manner, until there is an answer. */
void converse(struct scene *scene);

/* The bystander is asked and must answer. */
void rally(struct scene *scene);

#endif
