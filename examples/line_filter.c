/* SPDX-License-Identifier: MIT */
/*
 * Converse with a program that has never heard of duplex: a filter, here sed(1), that reads lines
 * on standard input and writes lines on standard output. Both are one socket (DX_HANDOVER_STDIO),
 * and a line is a message (DX_FRAMING_LINE). The filter must write each line at once: `sed -u`
 * does; for others there is stdbuf(1).
 */
#include <duplex.h>

#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 5000

int main(void)
{
    static const char *const questions[] = {"i am your father", "", "you are my father"};
    char *argv[] = {"sed", "-u", "s/father/child/; s/^$/(nothing)/; $s/$/!/", NULL};
    dx_failure failure = {0};
    dx_process_options options = {
        .channel = {.framing = DX_FRAMING_LINE},
        .handover = DX_HANDOVER_STDIO,
        .failure = &failure,
    };
    dx_process *process;
    dx_channel *channel;
    dx_message answer;
    dx_exit end = {.code = 1};
    size_t i;
    int result;

    if (dx_spawn(&process, argv, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    channel = dx_process_channel(process);
    for (i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
        dx_send(channel, questions[i], strlen(questions[i]), PATIENCE_MS);
    /* sed learns only from the end of its input which line is the last, so it answers late. */
    dx_channel_end(channel, PATIENCE_MS);
    while ((result = dx_recv(channel, &answer, PATIENCE_MS)) == 1)
        printf("%.*s\n", (int)answer.size, (const char *)answer.data);
    if (result < 0)
        fprintf(stderr, "%s\n", dx_channel_explain(channel));
    else
        dx_process_wait(process, &end, PATIENCE_MS);
    dx_process_close(process);
    return end.code;
}
