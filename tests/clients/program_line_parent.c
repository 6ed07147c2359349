/* SPDX-License-Identifier: MIT */
/*
 * The parent of clients/bash/child.bash: program_line_parent PROGRAM [ARGUMENT...] starts it, over a
 * socket and over pipes, and converses with it in lines.
 */
#include <duplex.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 60000 };

static void expect(dx_channel *child, int status, const dx_message *message, const char *text)
{
    if (status >= 0 && message->size == strlen(text) &&
        memcmp(message->data, text, message->size) == 0)
        return;
    fprintf(stderr, "'%s' did not come: %d, %s\n", text, status, dx_channel_explain(child));
    exit(1);
}

static void hear(dx_channel *child, const char *text)
{
    dx_message message;
    int status = dx_recv(child, &message, PATIENCE_MS);

    expect(child, status == 1 ? status : -1, &message, text);
}

static void ask(dx_channel *child, const char *question, const char *answer)
{
    dx_message reply;
    int status = dx_call(child, question, strlen(question), &reply, PATIENCE_MS);

    expect(child, status, &reply, answer);
}

static int converse(char *const *argv, dx_handover handover)
{
    dx_failure failure;
    dx_process_options options = {
        .channel = {.framing = DX_FRAMING_LINE},
        .handover = handover,
        .failure = &failure,
    };
    dx_process *process;
    dx_message message;
    dx_exit report;

    if (dx_spawn(&process, argv, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return -1;
    }
    dx_channel *child = dx_process_channel(process);

    hear(child, "i am your child");
    ask(child, "add 3 4", "7");
    ask(child, "upper the  words \\n", "THE WORDS \\N");
    ask(child, "", "what is nothing?");
    ask(child, "*", "what is *?");
    dx_send(child, "add 1 1", 7, PATIENCE_MS);
    dx_send(child, "add 2 2", 7, PATIENCE_MS);
    dx_channel_end(child, PATIENCE_MS);
    hear(child, "2");
    hear(child, "4");
    hear(child, "goodbye");
    if (dx_recv(child, &message, PATIENCE_MS) != 0 ||
        dx_process_wait(process, &report, PATIENCE_MS) < 0 || report.code != 0) {
        fprintf(stderr, "it does not end well\n");
        return -1;
    }
    dx_process_close(process);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: program_line_parent PROGRAM [ARGUMENT...]\n", stderr);
        return 2;
    }
    return converse(argv + 1, DX_HANDOVER_STDIO) < 0 || converse(argv + 1, DX_HANDOVER_PIPES) < 0;
}
