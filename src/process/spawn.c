/* SPDX-License-Identifier: MIT */
/*
 * Starting a child, by function or by program: the recipe is made, the channel opened, the child
 * started, and only then does a handle come to be. Whatever fails on the way, nothing is left of
 * it.
 */
#include "process/process.h"

#include "channel/channel.h"
#include "process/recipe.h"

#include <errno.h>
#include <string.h>

enum { STOP_MS_DEFAULT = 1000 };

static int stop_time(int chosen_ms)
{
    return chosen_ms == 0 ? STOP_MS_DEFAULT : chosen_ms;
}

/* A process that has yet to be started, or NULL. */
static dx_process *open_process(struct dxi_recipe *recipe, int *ret_error)
{
    dx_process *process = dxi_os->allocate(sizeof(*process));
    int error = -ENOMEM;

    if (process) {
        memset(process, 0, sizeof(*process));
        error = dxi_channel_open(&process->channel, &recipe->parent_ends, &recipe->channel);
    }
    if (error < 0) {
        dxi_os->release(process);
        *ret_error = dxi_recipe_refuse(recipe, error, "%s", dx_error_text(error));
        return NULL;
    }
    recipe->parent_ends.read_fd = recipe->parent_ends.write_fd = -1;
    dxi_channel_claim(process->channel);
    process->generation = dxi_generation();
    process->pidfd = -1;
    process->leads_group = recipe->options->group != DX_GROUP_INHERIT;
    process->noted_pid = recipe->options->noted_pid;
    process->stop_end_ms = stop_time(recipe->options->stop_end_ms);
    process->stop_term_ms = stop_time(recipe->options->stop_term_ms);
    return process;
}

/* start is one of the two of dxi_os. */
static int launch(dx_process **ret, struct dxi_recipe *recipe,
                  int (*start)(const struct dxi_start *start, struct dxi_started *ret))
{
    struct dxi_started started;
    int error;
    dx_process *process = open_process(recipe, &error);

    if (!process)
        return error;
    process->started_ns = dxi_os->now_ns();
    error = start(&recipe->start, &started);
    if (error < 0) {
        dxi_process_forget_pid(recipe->start.noted_pid);
        dxi_channel_destroy(process->channel);
        dxi_os->release(process);
        return dxi_explain_start(recipe, error, &started);
    }
    process->pid = started.pid;
    process->pidfd = started.pidfd;
    /* What the child wrote may have gone into a copy of our memory. */
    if (process->noted_pid)
        *process->noted_pid = started.pid;
    dxi_channel_watch(process->channel, process->pidfd, false);
    for (int i = 0; i < 3; i++) {
        process->stdio[i] = recipe->parent_stdio[i];
        recipe->parent_stdio[i] = -1;
    }
    *ret = process;
    return 0;
}

int dx_spawn(dx_process **ret, char *const argv[], const dx_process_options *options)
{
    struct dxi_recipe recipe;

    if (!ret || !argv)
        return dxi_fail(options ? options->failure : NULL, -EINVAL,
                        "dx_spawn() needs a program and a place for the process");
    int error = dxi_recipe_open(&recipe, options, argv);

    if (error == 0)
        error = launch(ret, &recipe, dxi_os->start);
    dxi_recipe_close(&recipe);
    return error;
}

/* What the child of a fork brings along. */
struct upbringing {
    int (*child)(dx_channel *parent, void *arg);
    void *arg;
    int channel_number;
    dx_channel_options channel_options;
    pid_t parent;
    dx_channel *channel;
};

/*
 * In the child: open its end, and watch the parent. Its pidfd is the parent's if it still is our
 * parent when we have the pidfd; else it has died, and the channel shows its end.
 */
static int open_childs_channel(void *context)
{
    struct upbringing *self = context;
    int number = self->channel_number;
    const struct dxi_ends ends = dxi_ends_of_socket(number);
    int error = dxi_os->set_cloexec(number, true);

    if (error == 0)
        error = dxi_channel_open(&self->channel, &ends, &self->channel_options);
    if (error < 0)
        return error;
    dxi_channel_claim(self->channel);
    int pidfd = dxi_os->pidfd_open(self->parent);

    if (pidfd >= 0 && dxi_os->parent_pid() == self->parent)
        dxi_channel_watch(self->channel, pidfd, true);
    else if (pidfd >= 0)
        dxi_os->close(pidfd);
    return 0;
}

static int run_child(void *context)
{
    struct upbringing *self = context;
    int status = self->child(self->channel, self->arg);

    dxi_channel_destroy(self->channel);
    return status;
}

/* The child's end has the type of the parent's, and must speak the same. */
static int choose_channel(const struct dxi_recipe *recipe, dx_channel_options *ret)
{
    const dx_channel_options *own = recipe->options->child_channel;

    *ret = own ? *own : recipe->channel;
    ret->type = recipe->channel.type;
    ret->failure = recipe->channel.failure;
    if (ret->framing != recipe->channel.framing)
        return dxi_recipe_refuse(recipe, -EINVAL, "the two ends have different framings");
    return dxi_channel_check_options(ret);
}

int dx_fork(dx_process **ret, int (*child)(dx_channel *parent, void *arg), void *arg,
            const dx_process_options *options)
{
    struct upbringing self = {.child = child, .arg = arg, .parent = dxi_os->pid()};
    struct dxi_recipe recipe;

    if (!ret || !child)
        return dxi_fail(options ? options->failure : NULL, -EINVAL,
                        "dx_fork() needs a function and a place for the process");
    int error = dxi_recipe_open(&recipe, options, NULL);

    if (error == 0)
        error = choose_channel(&recipe, &self.channel_options);
    if (error == 0) {
        self.channel_number = recipe.channel_number;
        self.channel_options.failure = NULL;
        recipe.start.prepare = open_childs_channel;
        recipe.start.run = run_child;
        recipe.start.context = &self;
        error = launch(ret, &recipe, dxi_os->fork);
    }
    dxi_recipe_close(&recipe);
    return error;
}
