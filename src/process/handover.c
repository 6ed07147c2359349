/* SPDX-License-Identifier: MIT */
/*
 * See handover.h. Start.h says what each handover promises to the program.
 */
#include "process/handover.h"

#include "channel/channel.h"
#include "os/os.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    NUMBER_DEFAULT = 3,
    WRITE_NUMBER_DEFAULT = 4,
    NUMBER_SIZE = sizeof("2147483647"),
};

/* What stands in an argument in place of the number. */
#define PLACE "{fd}"

static bool needs_pipes(dx_handover handover)
{
    return handover == DX_HANDOVER_PIPES || handover == DX_HANDOVER_FDS;
}

/* NULL if the handover needs none. */
static const char *variable_of(const struct dxi_recipe *recipe)
{
    const dx_process_options *options = recipe->options;

    if (recipe->handover == DX_HANDOVER_LISTEN)
        return options->handover_variable ? options->handover_variable : "duplex";
    if (recipe->handover != DX_HANDOVER_ENV)
        return NULL;
    if (options->handover_variable)
        return options->handover_variable;
    return options->channel.framing == DX_FRAMING_NODE ? "NODE_CHANNEL_FD" : "DUPLEX_FD";
}

static int check_number(const struct dxi_recipe *recipe, int number)
{
    if (number == INT_MAX)
        return dxi_recipe_refuse(recipe, -EINVAL, "there is no descriptor number %d", INT_MAX);
    if (number != 0 && number < NUMBER_DEFAULT)
        return dxi_recipe_refuse(recipe, -EINVAL, "the channel's number must be 3 or greater");
    return 0;
}

static int choose_numbers(struct dxi_recipe *recipe)
{
    const dx_process_options *options = recipe->options;
    int error = check_number(recipe, options->channel_target);

    recipe->channel_number = options->channel_target ? options->channel_target : NUMBER_DEFAULT;
    recipe->channel_write_number = recipe->channel_number;
    switch (recipe->handover) {
    case DX_HANDOVER_STDIO:
    case DX_HANDOVER_PIPES:
        recipe->channel_number = 0;
        recipe->channel_write_number = 1;
        break;
    case DX_HANDOVER_FDS:
        if (error == 0)
            error = check_number(recipe, options->channel_write_target);
        recipe->channel_write_number =
            options->channel_write_target ? options->channel_write_target : WRITE_NUMBER_DEFAULT;
        if (error == 0 && recipe->channel_number == recipe->channel_write_number)
            return dxi_recipe_refuse(recipe, -EINVAL,
                                     "it cannot read and write two pipes under one number, %d",
                                     recipe->channel_number);
        break;
    case DX_HANDOVER_LISTEN:
        if (error == 0 && recipe->channel_number != NUMBER_DEFAULT)
            return dxi_recipe_refuse(recipe, -EINVAL,
                                     "sd_listen_fds(3) has the channel as number 3, and not %d",
                                     recipe->channel_number);
        break;
    default:
        break;
    }
    return error;
}

/* A colon separates the names; and systemd takes no control characters, nor more than this. */
static bool is_listen_name(const char *name)
{
    for (const char *at = name; *at; at++) {
        if (*at < ' ' || *at == 0x7f || *at == ':')
            return false;
    }
    return name[0] != '\0' && strlen(name) <= 255;
}

static int check_variable(const struct dxi_recipe *recipe)
{
    const char *name = variable_of(recipe);

    if (!name)
        return 0;
    if (recipe->handover == DX_HANDOVER_LISTEN && !is_listen_name(name))
        return dxi_recipe_refuse(recipe, -EINVAL, "'%.100s' cannot name a passed descriptor", name);
    if (recipe->handover == DX_HANDOVER_ENV && (name[0] == '\0' || strchr(name, '=')))
        return dxi_recipe_refuse(recipe, -EINVAL, "'%.100s' cannot name an environment variable",
                                 name);
    if (strcmp(name, "NODE_CHANNEL_FD") == 0 && recipe->options->channel.type != DX_STREAM)
        return dxi_recipe_refuse(recipe, -EINVAL, "Node takes a stream and nothing else");
    return 0;
}

int dxi_handover_check(struct dxi_recipe *recipe, bool is_program)
{
    const dx_channel_options *channel = &recipe->options->channel;

    recipe->handover = is_program ? recipe->options->handover : DX_HANDOVER_ENV;
    int error = choose_numbers(recipe);

    if (error == 0 && is_program)
        error = check_variable(recipe);
    if (error < 0 || !needs_pipes(recipe->handover))
        return error;
    if (channel->type != DX_STREAM)
        return dxi_recipe_refuse(recipe, -EINVAL,
                                 "pipes are streams: they keep no packets whole, so the channel's "
                                 "type must be DX_STREAM");
    if (channel->descriptor_limit > 0)
        return dxi_recipe_refuse(recipe, -EOPNOTSUPP,
                                 "pipes carry no descriptors: descriptor_limit must be 0");
    return 0;
}

static int make_pipes(struct dxi_recipe *recipe)
{
    struct dxi_ends *ends = &recipe->parent_ends;
    int to_child[2], to_parent[2];
    int error = dxi_os->pipe(to_child);

    if (error < 0)
        return error;
    recipe->child_ends[0] = to_child[0];
    ends->write_fd = to_child[1];
    error = dxi_os->pipe(to_parent);
    if (error < 0)
        return error;
    ends->read_fd = to_parent[0];
    recipe->child_ends[1] = to_parent[1];
    ends->read_medium = ends->write_medium = DXI_MEDIUM_PIPE;
    return 0;
}

int dxi_handover_make(struct dxi_recipe *recipe)
{
    bool pipes = needs_pipes(recipe->handover);
    int fds[2];
    int error =
        pipes ? make_pipes(recipe)
              : dxi_os->socketpair(dxi_channel_socket_type(recipe->options->channel.type), fds);

    if (error < 0)
        return dxi_recipe_refuse(recipe, error, "cannot make %s: %s",
                                 pipes ? "two pipes" : "a socketpair", dx_error_text(error));
    if (!pipes) {
        recipe->parent_ends = dxi_ends_of_socket(fds[0]);
        recipe->parent_ends.is_makers = true;
        recipe->child_ends[0] = fds[1];
    }
    return 0;
}

int dxi_handover_name(struct dxi_recipe *recipe)
{
    static char mode_of_node[] = "NODE_CHANNEL_SERIALIZATION_MODE=json";
    static char one_passed[] = "LISTEN_FDS=1";
    const char *name = variable_of(recipe);
    char **handed = recipe->handed;

    if (!name)
        return 0;
    size_t size = strlen(name) + NUMBER_SIZE + sizeof("LISTEN_FDNAMES=") + sizeof("LISTEN_PID=") +
                  DXI_PID_TEXT;
    char *room = dxi_os->allocate(size);

    if (!room)
        return -ENOMEM;
    recipe->handed_text = room;
    if (recipe->handover == DX_HANDOVER_ENV) {
        snprintf(room, size, "%s=%d", name, recipe->channel_number);
        *handed++ = room;
        if (recipe->options->channel.framing == DX_FRAMING_NODE)
            *handed++ = mode_of_node;
        return 0;
    }
    int length = snprintf(room, size, "LISTEN_FDNAMES=%s", name);

    *handed++ = one_passed;
    *handed++ = room;
    room += length + 1;
    *handed++ = room;
    /* The child writes its number there. */
    recipe->start.pid_text = room + snprintf(room, sizeof("LISTEN_PID="), "LISTEN_PID=");
    return 0;
}

/* How often the place for the number occurs. */
static size_t count_places(const char *text)
{
    size_t count = 0;

    while ((text = strstr(text, PLACE))) {
        text += strlen(PLACE);
        count++;
    }
    return count;
}

static char *fill_in(char *room, const char *text, const char *number, size_t length)
{
    for (const char *place; (place = strstr(text, PLACE)); text = place + strlen(PLACE)) {
        memcpy(room, text, (size_t)(place - text));
        room += place - text;
        memcpy(room, number, length);
        room += length;
    }
    memcpy(room, text, strlen(text) + 1);
    return room + strlen(text) + 1;
}

int dxi_handover_fill_in(struct dxi_recipe *recipe, char *const *arguments)
{
    char number[NUMBER_SIZE];
    size_t places = 0;
    size_t size = 0;
    size_t count = 0;

    /* The name of the program is not the program's to read. */
    for (; arguments[count]; count++) {
        size_t here = count > 0 ? count_places(arguments[count]) : 0;

        places += here;
        size += strlen(arguments[count]) + 1 + here * sizeof(number);
    }
    if (places == 0)
        return dxi_recipe_refuse(recipe, -EINVAL,
                                 "none of its arguments has a " PLACE
                                 " for the number of its descriptor");
    char **list = dxi_os->allocate((count + 1) * sizeof(*list) + size);

    if (!list)
        return dxi_recipe_refuse(recipe, -ENOMEM, "%s", dx_error_text(-ENOMEM));
    char *room = (char *)(list + count + 1);

    size_t length = (size_t)snprintf(number, sizeof(number), "%d", recipe->channel_number);

    list[0] = arguments[0];
    for (size_t i = 1; i < count; i++) {
        list[i] = room;
        room = fill_in(room, arguments[i], number, length);
    }
    list[count] = NULL;
    recipe->arguments = list;
    return 0;
}
