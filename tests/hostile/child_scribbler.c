/* SPDX-License-Identifier: MIT */
/*
 * A child in the lane that does to the shared memory what can be done to memory.
 */
#include "actor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t memory_size(void)
{
    return page_size() + 2 * hand.ring_size;
}

/* Say that it could not be done, and end; done, it is not a thing to go on after. */
static void report_refused(int status)
{
    hand_demand(status < 0 && errno == EPERM, 50);
    hand_say_text(MESSAGE, 0, "refused");
    hand_say_end();
}

static void truncate_memory(void)
{
    report_refused(ftruncate(hand.memory, 0));
}

static void shrink_memory(void)
{
    report_refused(ftruncate(hand.memory, (off_t)page_size()));
}

static void grow_memory(void)
{
    report_refused(ftruncate(hand.memory, (off_t)memory_size() * 2));
}

static void seal_memory(void)
{
    report_refused(fcntl(hand.memory, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
}

static void wake_parent(void)
{
    hand_say_word(WAKE, NULL, 0);
}

/* All of it reads as zeros then, the parent's own words too. */
static void punch(void)
{
    hand_say_text(MESSAGE, 0, "before");
    pause_ms(30);
    hand_demand(fallocate(hand.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                          (off_t)memory_size()) == 0,
                51);
    wake_parent();
    sit();
}

static void scribble_words(void)
{
    memset(hand.mine, 0xff, sizeof(*hand.mine));
    wake_parent();
    sit();
}

static void scribble_all(void)
{
    memset(hand.maker, 0xa5, memory_size());
    wake_parent();
    sit();
}

/* Bytes that are no frame, published as if they were. */
static void scribble_frames(void)
{
    uint8_t bytes[256];

    memset(bytes, 0xa5, sizeof(bytes));
    hand_put(bytes, sizeof(bytes));
    sit();
}

/* Between what can be and what cannot, as fast as it goes. */
static void flip_tail(void)
{
    for (uint64_t i = 0;; i++) {
        atomic_store(&hand.mine->tail,
                     i % 2 == 0 ? hand.written : hand.written + (UINT64_C(1) << 40));
        if (i % 1023 == 0)
            wake_parent();
    }
}

static void flip_head(void)
{
    for (uint64_t i = 0;; i++) {
        atomic_store(&hand.mine->head, i % 2 == 0 ? hand.taken : hand.taken + (UINT64_C(1) << 40));
        if (i % 1023 == 0)
            wake_parent();
    }
}

/* Where the ring's bytes lie, while there are some to read. */
static void flip_base(void)
{
    const struct hand_frame frame = {.length = 100, .kind = MESSAGE};
    static const uint8_t zeros[100];

    if (fork() == 0) {
        alarm(LIFE_SECONDS);
        for (uint64_t i = 0;; i++)
            atomic_store(&hand.mine->base, i * 7);
    }
    for (;;)
        hand_say(&frame, zeros, sizeof(zeros), NULL, 0);
}

/* Who is asleep and who waits for room, said wrongly all the time. */
static void flip_sleep(void)
{
    for (uint32_t i = 0;; i++) {
        atomic_store(&hand.mine->asleep, i);
        atomic_store(&hand.mine->starved, i);
        atomic_store(&hand.maker->asleep, 0);
        atomic_store(&hand.maker->starved, 0);
        atomic_store(&hand.mine->cpu, i);
    }
}

/* The length of a frame that was published, while it is read: 1, or far too much. */
static void flip_length(void)
{
    static const struct hand_frame small = {.length = 1, .kind = MESSAGE};
    static const struct hand_frame large = {.length = UINT32_MAX, .kind = MESSAGE};
    uint8_t right[HAND_HEADER], wrong[HAND_HEADER];

    hand_encode(right, &small);
    hand_encode(wrong, &large);
    if (fork() == 0) {
        alarm(LIFE_SECONDS);
        for (uint64_t i = 0;; i++)
            memcpy(hand.ring[1] + i % 16 * 17, i / 16 % 2 == 0 ? right : wrong, 4);
    }
    for (;;)
        hand_say(&small, "x", 1, NULL, 0);
}

ACTOR_MAIN({"truncate", truncate_memory, false}, {"shrink", shrink_memory, false},
           {"grow", grow_memory, false}, {"seal", seal_memory, false}, {"punch", punch, false},
           {"scribble-words", scribble_words, false}, {"scribble-all", scribble_all, false},
           {"scribble-frames", scribble_frames, false}, {"flip-tail", flip_tail, false},
           {"flip-head", flip_head, false}, {"flip-base", flip_base, false},
           {"flip-sleep", flip_sleep, false}, {"flip-length", flip_length, false})
