/* SPDX-License-Identifier: MIT */
/*
 * A soak: for a given time, whatever a program may do with duplex, chosen by a seed: conversations by
 * every type, framing and lane, calls, descriptors, programs and functions as children, kills, stops,
 * peers that break the protocol, pools whose workers die. Each message that comes is compared with what
 * was sent. Now and then everything is brought to an end, and what is left is measured: no descriptor,
 * child or block of memory may be there that was not there at the beginning.
 *
 * The seed determines what is tried, and not how the kernel schedules it.
 */
#ifndef DUPLEX_TESTS_SOAK_H
#define DUPLEX_TESTS_SOAK_H

#include <duplex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    SOAK_SLOTS = 8,     /* activities at a time */
    SOAK_POOLS_MAX = 2, /* of these */
    SOAK_WORKERS_MAX = 3,
    /* The most children at a time: the veteran, one of each activity, and the pools' others. A pool may
     * have a worker that leaves beside the one that takes its place. */
    SOAK_CHILDREN_MAX = 1 + SOAK_SLOTS + SOAK_POOLS_MAX * (2 * SOAK_WORKERS_MAX - 1),
    SOAK_MESSAGE_MAX = 512 << 10,
    SOAK_CHILD_SECONDS = 120, /* a child that hears nothing for so long ends */
};

/* For the test of the test: something is done wrong now and then. */
enum soak_plant {
    SOAK_PLANT_NOTHING = 0,
    SOAK_PLANT_DESCRIPTOR, /* one is left open */
    SOAK_PLANT_CHILD,      /* one is not reaped */
    SOAK_PLANT_MEMORY,     /* one of the library's blocks is not released */
    SOAK_PLANT_RESIDENT,   /* memory grows that is not the library's */
    SOAK_PLANT_LOSS,       /* a message is awaited that was not sent */
    SOAK_PLANT_CHANGE      /* another message is awaited than was sent */
};

/* What is there, of this process. */
struct soak_figures {
    size_t descriptors, children;
    size_t blocks;   /* of the library's memory */
    size_t resident; /* bytes */
    size_t veteran;  /* resident bytes of the child that lives through all of it */
};

struct soak {
    uint64_t seed, state;
    const char *about; /* what is being done, for people */
    uint64_t operations, messages, started, pools;
    struct soak_figures begin; /* before the first child */
    struct soak_figures first, warm, last, most;
    unsigned failures;
    enum soak_plant plant;
    int planted_fd;
    pid_t planted_pid;
    void *planted_memory;
    bool quiet; /* say nothing of failures */
    bool warmed;
};

/* What takes longer has hung. */
extern int soak_patience_ms;

/* Where child_soak lies. */
extern const char *const soak_program;

/* Run for so long. True if nothing failed. The struct holds the seed and the plant before. */
bool soak_run(struct soak *soak, double seconds, double report_seconds);

/* True once SIGINT or SIGTERM has come, for which soak_catch_signals() listens. */
bool soak_interrupted(void);
void soak_catch_signals(void);

/* Something is not as it must be. After a signal that went to the children too, nothing is. */
void soak_fail(struct soak *soak, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A number below `below`. */
unsigned soak_random(struct soak *soak, unsigned below);
bool soak_one_in(struct soak *soak, unsigned many);

/* The size of a message: mostly small, seldom up to `most`. */
size_t soak_size(struct soak *soak, size_t most);

/* Letters from a..z, of which every message is a part. At least SOAK_MESSAGE_MAX behind any offset. */
enum { SOAK_OFFSETS = 4096 };
const char *soak_letters(void);

/* meter.c */
void soak_meter_open(void);
void soak_meter_close(void);
void soak_measure(struct soak_figures *ret);
size_t soak_resident(pid_t pid); /* 0: unknown */
size_t soak_count_children(void);
size_t soak_count_descriptors(void);

/* talk.c: a conversation with a child, or between two ends of this process. */
struct soak_talk;
struct soak_talk *soak_talk_open(struct soak *soak);
struct soak_talk *soak_talk_veteran(struct soak *soak);
void soak_talk_step(struct soak *soak, struct soak_talk *talk);
void soak_talk_rest(struct soak *soak, struct soak_talk *talk); /* until everything was answered */
void soak_talk_end(struct soak *soak, struct soak_talk *talk, bool orderly);
pid_t soak_talk_pid(const struct soak_talk *talk);

/* partner.c: what is at the other end. Sends back what comes, and answers requests with the same. */
enum soak_manner {
    SOAK_ECHO = 0,
    SOAK_DIES,     /* after some messages, by SIGKILL */
    SOAK_EXITS,    /* after some messages, with 7 */
    SOAK_STUBBORN, /* does not end with the conversation, and ignores SIGTERM */
    SOAK_STOPS,    /* itself, by SIGSTOP, after some messages */
    SOAK_GARBAGE,  /* after some messages: bytes that are no frame */
    SOAK_CUT,      /* after some messages: the beginning of one, and its end */
    SOAK_MANNERS
};
int soak_partner(dx_channel *parent, enum soak_manner manner, unsigned patience);
bool soak_echo(dx_channel *channel, const dx_message *message, int timeout_ms);
#define SOAK_REFUSED_CODE 77
/* Requests of such sizes are answered with an error. */
static inline bool soak_is_refused(size_t size)
{
    return size % 16 == 3;
}

/* pools.c */
struct soak_pool;
struct soak_pool *soak_pool_open(struct soak *soak);
void soak_pool_step(struct soak *soak, struct soak_pool *pool);
void soak_pool_end(struct soak *soak, struct soak_pool *pool, bool orderly);
int soak_work(dx_channel *parent, void *context);

/* starts.c: starts that fail, and children that never were partners. */
void soak_start(struct soak *soak);

#endif
