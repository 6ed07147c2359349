/* SPDX-License-Identifier: MIT */
/*
 * Failed starts in a person's words: which step it was, and of what by its name.
 */
#include "process/recipe.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

static const struct {
    int resource;
    const char *name;
} limit_names[] = {
    {RLIMIT_AS, "RLIMIT_AS"},         {RLIMIT_CORE, "RLIMIT_CORE"},
    {RLIMIT_CPU, "RLIMIT_CPU"},       {RLIMIT_DATA, "RLIMIT_DATA"},
    {RLIMIT_FSIZE, "RLIMIT_FSIZE"},   {RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"},
    {RLIMIT_NICE, "RLIMIT_NICE"},     {RLIMIT_NOFILE, "RLIMIT_NOFILE"},
    {RLIMIT_NPROC, "RLIMIT_NPROC"},   {RLIMIT_RSS, "RLIMIT_RSS"},
    {RLIMIT_RTPRIO, "RLIMIT_RTPRIO"}, {RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING"},
    {RLIMIT_STACK, "RLIMIT_STACK"},   {RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"},
};

static int explain_limit(const struct dxi_recipe *recipe, int error, size_t index, const char *why)
{
    int resource = recipe->limits[index].resource;

    for (size_t i = 0; i < sizeof(limit_names) / sizeof(limit_names[0]); i++) {
        if (limit_names[i].resource == resource)
            return dxi_recipe_refuse(recipe, error, "cannot set its %s: %s", limit_names[i].name,
                                     why);
    }
    return dxi_recipe_refuse(recipe, error, "cannot set its resource limit %d: %s", resource, why);
}

/* The list of moves is the child's notes by now: the parent's numbers are in the options. */
static int explain_descriptor(const struct dxi_recipe *recipe, int error, size_t index,
                              const char *why)
{
    const dx_process_options *options = recipe->options;

    if (index >= recipe->start.descriptor_count)
        return dxi_recipe_refuse(recipe, error, "cannot arrange its descriptors: %s", why);
    int target = recipe->moves[index].target;
    int highest = recipe->moves[recipe->start.descriptor_count - 1].target;

    /* Those in the way are moved above the highest first. */
    if (error == -EMFILE)
        return dxi_recipe_refuse(recipe, error,
                                 "cannot arrange its descriptors, of which the highest is number "
                                 "%d: %s",
                                 highest, why);
    if (target < 3 && options->stdio[target].mode == DX_STDIO_DESCRIPTOR)
        return dxi_recipe_refuse(recipe, error, "cannot give it descriptor %d as its number %d: %s",
                                 options->stdio[target].fd, target, why);
    for (size_t i = 0; i < options->descriptor_count; i++) {
        if (options->descriptors[i].target == target)
            return dxi_recipe_refuse(recipe, error,
                                     "cannot give it descriptor %d as its number %d: %s",
                                     options->descriptors[i].fd, target, why);
    }
    return dxi_recipe_refuse(recipe, error, "cannot give it its descriptor %d: %s", target, why);
}

int dxi_explain_start(const struct dxi_recipe *recipe, int error, const struct dxi_started *started)
{
    const struct dxi_start *start = &recipe->start;
    const char *why = dx_error_text(error);

    switch (started->step) {
    case DXI_STEP_SIGNALS:
        return dxi_recipe_refuse(recipe, error, "cannot reset its signals: %s", why);
    case DXI_STEP_GROUP:
        return dxi_recipe_refuse(recipe, error, "cannot make its process group: %s", why);
    case DXI_STEP_DESCRIPTORS:
        return explain_descriptor(recipe, error, started->step_index, why);
    case DXI_STEP_LIMITS:
        return explain_limit(recipe, error, started->step_index, why);
    case DXI_STEP_IDENTITY:
        return dxi_recipe_refuse(recipe, error, "cannot become user %u and group %u: %s",
                                 (unsigned)start->user, (unsigned)start->gid, why);
    case DXI_STEP_PARENT_DEATH:
        return dxi_recipe_refuse(recipe, error, "cannot bind its life to its parent's: %s", why);
    case DXI_STEP_DIRECTORY:
        return dxi_recipe_refuse(recipe, error, "cannot enter the directory '%.100s': %s",
                                 start->directory, why);
    case DXI_STEP_PRIVILEGES:
        return dxi_recipe_refuse(recipe, error, "cannot renounce privileges: %s", why);
    case DXI_STEP_PREPARE:
        return dxi_recipe_refuse(recipe, error, "cannot open its channel: %s", why);
    case DXI_STEP_EXEC:
        if (started->step_index == DXI_INDEX_INTERPRETER)
            return dxi_recipe_refuse(recipe, error, "the program that interprets it is missing: %s",
                                     why);
        break;
    case DXI_STEP_CLONE:
        break;
    }
    return dxi_recipe_refuse(recipe, error, "%s", why);
}
