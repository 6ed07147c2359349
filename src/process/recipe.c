/* SPDX-License-Identifier: MIT */
/*
 * From options to a recipe that the system floor can follow without a further thought.
 *
 * Whatever it acquires is close-on-exec, and lies in the recipe until somebody takes it out:
 * closing the recipe gives back the rest, so a start that fails anywhere leaves nothing.
 */
#include "process/recipe.h"

#include "channel/channel.h"
#include "os/os.h"
#include "process/environment.h"
#include "process/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where a program is looked for when the environment has no PATH; execvp(3) leaves it open. */
#define SEARCH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

static const dx_process_options defaults;

int dxi_recipe_refuse(const struct dxi_recipe *recipe, int error, const char *format, ...)
{
    char reason[DX_TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    return dxi_fail(recipe->options->failure, error, "cannot start %s: %s", recipe->subject,
                    reason);
}

static int no_memory(const struct dxi_recipe *recipe)
{
    return dxi_recipe_refuse(recipe, -ENOMEM, "%s", dx_error_text(-ENOMEM));
}

static int check_enums(const struct dxi_recipe *recipe)
{
    const dx_process_options *options = recipe->options;

    if ((unsigned)options->handover > DX_HANDOVER_ARGV)
        return dxi_recipe_refuse(recipe, -EINVAL, "there is no handover %d",
                                 (int)options->handover);
    if ((unsigned)options->group > DX_GROUP_SESSION)
        return dxi_recipe_refuse(recipe, -EINVAL, "there is no group choice %d",
                                 (int)options->group);
    for (int i = 0; i < 3; i++) {
        if ((unsigned)options->stdio[i].mode > DX_STDIO_PIPE)
            return dxi_recipe_refuse(recipe, -EINVAL, "there is no stdio mode %d",
                                     (int)options->stdio[i].mode);
    }
    return 0;
}

static int check(struct dxi_recipe *recipe, bool is_program)
{
    const dx_process_options *options = recipe->options;
    int error = check_enums(recipe);

    if (error < 0)
        return error;
    if (is_program && options->child_channel)
        return dxi_recipe_refuse(recipe, -EINVAL,
                                 "child_channel is for dx_fork(): a program chooses its own");
    error = dxi_handover_check(recipe, is_program);
    if (error < 0)
        return error;
    if ((options->descriptor_count > 0 && !options->descriptors) ||
        (options->limit_count > 0 && !options->limits) ||
        (options->identity && options->identity->group_count > 0 && !options->identity->groups))
        return dxi_recipe_refuse(recipe, -EINVAL, "a list of its options is missing");
    for (size_t i = 0; i < options->descriptor_count; i++) {
        if (options->descriptors[i].target == INT_MAX)
            return dxi_recipe_refuse(recipe, -EINVAL, "there is no descriptor number %d", INT_MAX);
        if (options->descriptors[i].target < 3)
            return dxi_recipe_refuse(recipe, -EINVAL,
                                     "descriptor %d cannot become number %d: the numbers below 3 "
                                     "are the stdio options'",
                                     options->descriptors[i].fd, options->descriptors[i].target);
    }
    return dxi_channel_check_options(&recipe->channel);
}

/* Keep the list in the order of its targets. */
static int add_move(struct dxi_recipe *recipe, int fd, int target)
{
    struct dxi_descriptor_move *moves = recipe->moves;
    size_t count = recipe->start.descriptor_count;
    size_t at = count;

    while (at > 0 && moves[at - 1].target > target)
        at--;
    if (at > 0 && moves[at - 1].target == target)
        return dxi_recipe_refuse(recipe, -EINVAL, "it is given two descriptors with the number %d",
                                 target);
    memmove(moves + at + 1, moves + at, (count - at) * sizeof(*moves));
    moves[at] = (struct dxi_descriptor_move){.fd = fd, .target = target};
    recipe->start.descriptor_count++;
    return 0;
}

/*
 * Which of our 0, 1 and 2 are open. Asked before anything is acquired, which may get these numbers.
 */
static int find_open(bool ret[3])
{
    struct pollfd sources[3];
    int error;

    for (int i = 0; i < 3; i++)
        sources[i] = (struct pollfd){.fd = i};
    error = dxi_os->poll(sources, 3, 0);
    for (int i = 0; i < 3; i++)
        ret[i] = (sources[i].revents & POLLNVAL) == 0;
    return error < 0 ? error : 0;
}

static int open_null(struct dxi_recipe *recipe)
{
    if (recipe->null < 0)
        recipe->null = dxi_os->open("/dev/null", O_RDWR);
    if (recipe->null < 0)
        return dxi_recipe_refuse(recipe, recipe->null, "cannot open /dev/null: %s",
                                 dx_error_text(recipe->null));
    return recipe->null;
}

static int open_pipe(struct dxi_recipe *recipe, int number)
{
    int ends[2];
    int error = dxi_os->pipe(ends);

    if (error < 0)
        return dxi_recipe_refuse(recipe, error, "cannot make a pipe: %s", dx_error_text(error));
    recipe->child_stdio[number] = number == 0 ? ends[0] : ends[1];
    recipe->parent_stdio[number] = number == 0 ? ends[1] : ends[0];
    return recipe->child_stdio[number];
}

/* The descriptor that becomes this number of the child's, or an error. */
static int choose_stdio(struct dxi_recipe *recipe, int number, bool is_open)
{
    const dx_stdio *choice = &recipe->options->stdio[number];

    if (recipe->handover == DX_HANDOVER_STDIO && number < 2)
        return recipe->child_ends[0];
    if (recipe->handover == DX_HANDOVER_PIPES && number < 2)
        return recipe->child_ends[number];
    switch (choice->mode) {
    case DX_STDIO_INHERIT:
        return is_open ? number : open_null(recipe);
    case DX_STDIO_NULL:
        return open_null(recipe);
    case DX_STDIO_DESCRIPTOR:
        if (choice->fd < 0)
            return dxi_recipe_refuse(recipe, -EBADF, "there is no descriptor %d", choice->fd);
        return choice->fd;
    case DX_STDIO_PIPE:
        return open_pipe(recipe, number);
    }
    return -EINVAL;
}

static int arrange_descriptors(struct dxi_recipe *recipe)
{
    const dx_process_options *options = recipe->options;
    bool is_open[3];
    int error = find_open(is_open);

    if (error < 0)
        return dxi_recipe_refuse(recipe, error, "cannot look at its descriptors: %s",
                                 dx_error_text(error));
    error = dxi_handover_make(recipe);
    if (error < 0)
        return error;
    recipe->moves = dxi_os->allocate((options->descriptor_count + 5) * sizeof(*recipe->moves));
    if (!recipe->moves)
        return no_memory(recipe);
    recipe->start.descriptors = recipe->moves;
    for (int i = 0; i < 3; i++) {
        int fd = choose_stdio(recipe, i, is_open[i]);

        error = fd < 0 ? fd : add_move(recipe, fd, i);
        if (error < 0)
            return error;
    }
    if (recipe->channel_number > 2)
        error = add_move(recipe, recipe->child_ends[0], recipe->channel_number);
    if (error == 0 && recipe->handover == DX_HANDOVER_FDS)
        error = add_move(recipe, recipe->child_ends[1], recipe->channel_write_number);
    for (size_t i = 0; i < options->descriptor_count && error == 0; i++)
        error = add_move(recipe, options->descriptors[i].fd, options->descriptors[i].target);
    return error;
}

static int copy_attributes(struct dxi_recipe *recipe)
{
    static const enum dxi_group_choice groups[] = {
        [DX_GROUP_INHERIT] = DXI_GROUP_INHERIT,
        [DX_GROUP_NEW] = DXI_GROUP_NEW,
        [DX_GROUP_SESSION] = DXI_GROUP_SESSION,
    };
    const dx_process_options *options = recipe->options;
    struct dxi_start *start = &recipe->start;

    start->directory = options->directory;
    start->group = groups[options->group];
    start->no_new_privileges = options->no_new_privileges;
    start->die_with_parent = options->die_with_parent;
    start->noted_pid = options->noted_pid;
    if (options->identity) {
        start->change_identity = true;
        start->user = options->identity->user;
        start->gid = options->identity->group;
        start->groups = options->identity->groups;
        start->group_count = options->identity->group_count;
    }
    if (options->limit_count == 0)
        return 0;
    recipe->limits = dxi_os->allocate(options->limit_count * sizeof(*recipe->limits));
    if (!recipe->limits)
        return no_memory(recipe);
    for (size_t i = 0; i < options->limit_count; i++)
        recipe->limits[i] = (struct dxi_resource_limit){
            .resource = options->limits[i].resource,
            .soft = options->limits[i].soft,
            .hard = options->limits[i].hard,
        };
    start->limits = recipe->limits;
    start->limit_count = options->limit_count;
    return 0;
}

static int describe_program(struct dxi_recipe *recipe, char *const *arguments)
{
    struct dxi_start *start = &recipe->start;
    int error = dxi_handover_name(recipe);

    if (error == 0)
        error = dxi_environment_make(&recipe->environment, recipe->options->environment,
                                     recipe->options->environment_changes, recipe->handed);
    if (error == -EINVAL)
        return dxi_recipe_refuse(recipe, error, "a change of its environment has no name");
    if (error < 0)
        return no_memory(recipe);
    start->program = arguments[0];
    start->arguments = arguments;
    if (recipe->handover == DX_HANDOVER_ARGV) {
        error = dxi_handover_fill_in(recipe, arguments);
        if (error < 0)
            return error;
        start->arguments = recipe->arguments;
    }
    start->environment = recipe->environment;
    if (strchr(start->program, '/'))
        return 0;
    start->search = dxi_environment_get(recipe->environment, "PATH");
    if (!start->search)
        start->search = SEARCH_DEFAULT;
    recipe->path_buffer = dxi_os->allocate(strlen(start->search) + strlen(start->program) + 2);
    if (!recipe->path_buffer)
        return no_memory(recipe);
    start->path_buffer = recipe->path_buffer;
    return 0;
}

int dxi_recipe_open(struct dxi_recipe *ret, const dx_process_options *options,
                    char *const *arguments)
{
    *ret = (struct dxi_recipe){
        .options = options ? options : &defaults,
        .parent_ends = {.read_fd = -1, .write_fd = -1},
        .child_ends = {-1, -1},
        .parent_stdio = {-1, -1, -1},
        .child_stdio = {-1, -1, -1},
        .null = -1,
    };
    options = ret->options;
    ret->channel = options->channel;
    ret->channel.failure = options->failure;
    if (!arguments)
        snprintf(ret->subject, sizeof(ret->subject), "the child");
    else if (!arguments[0])
        snprintf(ret->subject, sizeof(ret->subject), "a program without a name");
    else
        snprintf(ret->subject, sizeof(ret->subject), "'%.120s'%s", arguments[0],
                 strlen(arguments[0]) > 120 ? "…" : "");

    int error = check(ret, arguments != NULL);

    if (error == 0 && arguments && !arguments[0])
        return dxi_recipe_refuse(ret, -EINVAL, "argv is empty");
    if (error == 0)
        error = arrange_descriptors(ret);
    if (error == 0)
        error = copy_attributes(ret);
    if (error == 0 && arguments)
        error = describe_program(ret, arguments);
    return error;
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0)
            dxi_os->close(fds[i]);
    }
}

void dxi_recipe_close(struct dxi_recipe *recipe)
{
    const struct dxi_ends *ends = &recipe->parent_ends;

    close_all(&ends->read_fd, 1);
    if (ends->write_fd != ends->read_fd)
        close_all(&ends->write_fd, 1);
    close_all(recipe->child_ends, 2);
    close_all(recipe->parent_stdio, 3);
    close_all(recipe->child_stdio, 3);
    close_all(&recipe->null, 1);
    dxi_os->release(recipe->moves);
    dxi_os->release(recipe->limits);
    dxi_os->release(recipe->handed_text);
    dxi_os->release(recipe->environment);
    dxi_os->release(recipe->arguments);
    dxi_os->release(recipe->path_buffer);
}
