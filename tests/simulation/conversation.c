/* SPDX-License-Identifier: MIT */
/*
 * A parent and a child that converse at random, from the child's start to the report of its end.
 */
#include "talk.h"

#include "channel/lane.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* The book, and the two who write it. */
static struct speech speeches[2];
static struct side parent, child;
static int child_status;

static void clear_speech(struct speech *speech)
{
    memset(speech->asks, 0, speech->asked * sizeof(speech->asks[0]));
    *speech = (struct speech){0};
}

static void plan_side(struct side *side, const char *name)
{
    static const size_t largest[] = {100, 100, 5000, 70000, 200000};
    bool descriptors = random_one_in(&world_plan, 2);

    *side = (struct side){.name = name, .plan.state = random_next(&world_plan)};
    side->steps = (unsigned)random_from(&world_plan, 0, 20);
    side->leaves_early = random_one_in(&world_plan, 5);
    side->handles = random_one_in(&world_plan, 3);
    side->largest = largest[random_below(&world_plan, 5)];
    side->options.spin_us = random_one_in(&world_plan, 2) ? -1 : 0;
    side->options.message_limit = 1 << 20;
    side->options.descriptor_limit = descriptors ? 8 : 0;
    side->options.socket_only = random_one_in(&world_plan, 4);
    side->options.ring_size = DX_RING_SIZE_MIN;
    side->options.trust_peer = random_one_in(&world_plan, 4);
    if (random_one_in(&world_plan, 4))
        side->options.socket_buffer = 1024 << random_below(&world_plan, 6);
}

static int live_as_child(dx_channel *channel, void *context)
{
    (void)context;
    child.channel = channel;
    talk(&child);
    return child_status;
}

static int program(void)
{
    dx_channel *channel;
    int status = dx_channel_to_parent(&channel, &child.options);

    if (status < 0)
        world_fail("a child finds no channel: %d", status);
    live_as_child(channel, NULL);
    dx_channel_close(channel);
    return child_status;
}

static void check_report(const dx_exit *exit)
{
    world_say("the child %s", exit->text);
    if (exit->kind == DX_EXIT_CODE)
        world_check(exit->code == child_status || exit->code == 127,
                    "the child exited with %d, and says %d", child_status, exit->code);
    else
        world_check(exit->kind == DX_EXIT_SIGNAL && (exit->stop_signal != 0 || world_had_death()),
                    "nobody killed the child, and it %s", exit->text);
}

static void end_child(dx_process *process)
{
    dx_exit exit;
    int status = 0;

    switch (random_below(&world_plan, 3)) {
    case 0:
        world_promise(DX_FOREVER, 0);
        status = dx_process_stop(process, 20, &exit);
        break;
    case 1:
        world_promise(50, 0);
        status = dx_process_wait(process, &exit, 50);
        break;
    default:
        return;
    }
    world_kept();
    world_say("waits for the child: %d", status);
    world_check(status == 0 || status == -ETIMEDOUT, "to wait for a child says %d", status);
    if (status == 0)
        check_report(&exit);
}

static void plan(dx_process_options *ret)
{
    clear_speech(&speeches[0]);
    clear_speech(&speeches[1]);
    plan_side(&parent, "parent");
    plan_side(&child, "child");
    parent.mine = child.theirs = &speeches[0];
    parent.theirs = child.mine = &speeches[1];
    if (random_one_in(&world_plan, 2))
        child.options.descriptor_limit = parent.options.descriptor_limit;
    /* Nobody sends more descriptors than the other takes: that is another test. */
    if (parent.options.descriptor_limit != child.options.descriptor_limit)
        parent.options.descriptor_limit = child.options.descriptor_limit = 0;
    parent.options.type = random_one_in(&world_plan, 2)   ? DX_STREAM
                          : random_one_in(&world_plan, 2) ? DX_SEQPACKET
                                                          : DX_DGRAM;
    parent.lossy = child.lossy = parent.options.type == DX_DGRAM;
    child_status = (int)random_below(&world_plan, 100);
    *ret = (dx_process_options){.channel = parent.options, .stop_end_ms = 30, .stop_term_ms = 30};
    if (random_one_in(&world_plan, 4))
        ret->group = DX_GROUP_NEW;
    ret->die_with_parent = random_one_in(&world_plan, 4);
    dxi_lane_worth =
        random_one_in(&world_plan, 3) ? 1000000 : (unsigned)random_below(&world_plan, 6);
}

void conversation(void *context)
{
    dx_process_options options;
    dx_process *process;
    int status;

    (void)context;
    plan(&options);
    /* Before Linux 6.5 a program cannot know of a parent that died before it began; datagrams are silent. */
    bool tells = options.channel.type != DX_DGRAM || !world_is_old();

    if (random_one_in(&world_plan, 2) && tells) {
        char *const arguments[] = {"/bin/child", NULL};

        status = dx_spawn(&process, arguments, &options);
    } else {
        options.child_channel = &child.options;
        status = dx_fork(&process, live_as_child, NULL, &options);
    }
    world_say("the child is started: %d", status);
    world_check(status == 0, "the child is not started: %d", status);
    parent.channel = dx_process_channel(process);
    talk(&parent);
    end_child(process);
    dx_process_close(process);
}

static const struct world_program programs[] = {{"/bin/child", program}, {NULL, NULL}};

const struct world_program *conversation_programs(void)
{
    return programs;
}
