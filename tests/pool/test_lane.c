/* SPDX-License-Identifier: MIT */
/*
 * Native pools move onto the fast lane, and are the same there.
 */
#include "common.h"

static unsigned lane_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    unsigned count = 0;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps))
        count += strstr(line, "/memfd:duplex") != NULL;
    fclose(maps);
    return count;
}

static void exchange(dx_pool *pool, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (i % 8 == 0)
            for (unsigned burst = 0; burst < 8; burst++)
                submit(pool, "a job like any other");
        expect_answer(pool, 0, "a job like any other");
    }
}

static void check_lane(bool program, bool socket_only, bool trust)
{
    dx_pool_options options = {
        .workers = 2,
        .depth = 4,
        .process.channel.socket_only = socket_only,
        .process.channel.trust_peer = trust,
    };
    dx_pool *pool = program ? open_program(ARGV(WORKER), &options) : open_obedient(&options);
    unsigned before = lane_mappings();

    exchange(pool, scaled(4000, 800));
    if (socket_only)
        ck_assert_uint_eq(lane_mappings(), before);
    else
        ck_assert_uint_ge(lane_mappings(), before + 1);
    /* Death in the lane, and large answers. */
    submit(pool, "!raise 9");
    expect_failure(pool, 0, -EPIPE);
    submit(pool, "!size 1500000");
    ck_assert_uint_eq(next(pool).message.size, 1500000);
    exchange(pool, 400);
    dx_pool_statistics end = finish(pool);

    ck_assert_uint_eq(end.deaths, 1);
    ck_assert_uint_eq(lane_mappings(), before);
}

START_TEST(test_workers_move_onto_the_fast_lane)
{
    check_lane(false, false, false);
    check_lane(true, false, false);
}
END_TEST

START_TEST(test_workers_that_are_trusted)
{
    check_lane(false, false, true);
}
END_TEST

START_TEST(test_workers_that_stay_on_the_socket)
{
    check_lane(false, true, false);
}
END_TEST

/* Who always finds a result at hand never waits, and must see the rest all the same. */
START_TEST(test_a_death_is_seen_while_results_are_always_at_hand)
{
    dx_pool_options options = {.workers = 2, .depth = 4, .retries = 1};
    dx_pool *pool = open_obedient(&options);
    unsigned open = 64;

    exchange(pool, scaled(4000, 800));
    for (unsigned i = 0; i < open; i++)
        submit(pool, "a job like any other");
    kill(worker_of(pool, 1).pid, SIGKILL);
    uint64_t begun = now_ms();

    while (statistics(pool).deaths == 0) {
        ck_assert_uint_lt(now_ms() - begun, is_slow() ? 10000 : 2000);
        expect_answer(pool, 0, "a job like any other");
        submit(pool, "a job like any other");
        pause_ms(1);
    }
    while (open-- > 0)
        expect_answer(pool, 0, "a job like any other");
    ck_assert_uint_eq(finish(pool).deaths, 1);
}
END_TEST

HARNESS_MAIN("pool: lane", TEST(test_workers_move_onto_the_fast_lane),
             TEST(test_workers_that_are_trusted), TEST(test_workers_that_stay_on_the_socket),
             TEST(test_a_death_is_seen_while_results_are_always_at_hand))
