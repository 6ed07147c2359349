/* SPDX-License-Identifier: MIT */
/*
 * See targets.h.
 */
#include "targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct target targets[] = {
    {.name = "native", .run = run_decoder, .framings = {&dxi_framing_native}},
    {.name = "ended",
     .run = run_decoder,
     .framings = {&dxi_framing_line, &dxi_framing_nul, &dxi_framing_raw}},
    {.name = "sized",
     .run = run_decoder,
     .framings = {&dxi_framing_netstring, &dxi_framing_u8, &dxi_framing_u16, &dxi_framing_u32,
                  &dxi_framing_python, &dxi_framing_pkt_line}},
    {.name = "content-length", .run = run_decoder, .framings = {&dxi_framing_content_length}},
    {.name = "node", .run = run_decoder, .framings = {&dxi_framing_node}},
    {.name = "channel", .run = run_channel},
    {.name = "conversation", .run = run_conversation},
    {.name = "lane", .run = run_lane},
};

const size_t target_count = sizeof(targets) / sizeof(*targets);

static const struct target *chosen;

_Noreturn void require_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: '%s' does not hold\n", file, line, condition);
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("DUPLEX_FUZZ_TARGET");

    (void)argc;
    (void)argv;
    for (size_t i = 0; name != NULL && i < target_count; i++)
        if (strcmp(targets[i].name, name) == 0)
            chosen = &targets[i];
    if (chosen != NULL)
        return 0;
    fprintf(stderr, "DUPLEX_FUZZ_TARGET has to be one of:");
    for (size_t i = 0; i < target_count; i++)
        fprintf(stderr, " %s", targets[i].name);
    fprintf(stderr, "\n");
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    chosen->run(chosen, data, size);
    return 0;
}
