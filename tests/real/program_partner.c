/* SPDX-License-Identifier: MIT */
/*
 * A child of parents that never heard of duplex: program_partner FRAMING HANDOVER [TEXT] claims its
 * end of the conversation, and until the parent has said everything it
 *
 *   answers "exit N" by exiting with N, "twice WORD" with "WORDWORD", or with "refused" if that is
 *   more than the framing carries, "claim" with what a second claim says, and "pid" with its pid;
 *   answers any other message with the same bytes in reverse.
 *
 * Exits with 0 then, having written "ended" to the file that PARTNER_RECORD names, if it does.
 */
#include <duplex.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const handovers[] = {"env", "stdio", "pipes", "fds", "listen", "argv"};

static bool starts_with(const dx_message *message, const char *word)
{
    return message->size >= strlen(word) && memcmp(message->data, word, strlen(word)) == 0;
}

static int answer_twice(dx_channel *parent, const char *word, size_t size)
{
    char *twice = malloc(2 * size + 1);

    if (twice == NULL)
        return -ENOMEM;
    memcpy(twice, word, size);
    memcpy(twice + size, word, size);
    int error = dx_send(parent, twice, 2 * size, DX_FOREVER);

    free(twice);
    return error == -EMSGSIZE ? dx_send(parent, "refused", 7, DX_FOREVER) : error;
}

static int answer_reversed(dx_channel *parent, const unsigned char *data, size_t size)
{
    unsigned char *reversed = malloc(size + 1);

    if (reversed == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < size; i++)
        reversed[i] = data[size - 1 - i];
    int error = dx_send(parent, reversed, size, DX_FOREVER);

    free(reversed);
    return error;
}

static int answer(dx_channel *parent, const dx_claim *claim, const dx_channel_options *options,
                  const dx_message *message)
{
    char text[DX_TEXT_SIZE] = "";
    dx_channel *again;

    if (starts_with(message, "exit ") && message->size < sizeof(text)) {
        memcpy(text, message->data, message->size);
        exit((int)strtol(text + 5, NULL, 10));
    }
    if (starts_with(message, "twice "))
        return answer_twice(parent, (const char *)message->data + 6, message->size - 6);
    if (starts_with(message, "claim")) {
        int error = dx_channel_claim(&again, claim, options);
        return dx_send(parent, dx_error_text(error), strlen(dx_error_text(error)), DX_FOREVER);
    }
    if (starts_with(message, "pid")) {
        snprintf(text, sizeof(text), "%d", (int)getpid());
        return dx_send(parent, text, strlen(text), DX_FOREVER);
    }
    return answer_reversed(parent, message->data, message->size);
}

static int converse(dx_channel *parent, const dx_claim *claim, const dx_channel_options *options)
{
    dx_message message;
    int got;

    while ((got = dx_recv(parent, &message, DX_FOREVER)) == 1) {
        got = answer(parent, claim, options, &message);
        if (got < 0)
            break;
    }
    if (got < 0)
        fprintf(stderr, "program_partner: %s\n", dx_channel_explain(parent));
    return got;
}

static int record_the_end(void)
{
    const char *path = getenv("PARTNER_RECORD");
    FILE *file = path ? fopen(path, "we") : NULL;

    if (file == NULL)
        return path ? 1 : 0;
    fputs("ended\n", file);
    return fclose(file) == 0 ? 0 : 1;
}

int main(int argc, char *argv[])
{
    dx_failure failure = {0};
    dx_claim claim = {.text = argc > 3 ? argv[3] : NULL, .read_fd = 3, .write_fd = 4};
    dx_channel_options options = {.failure = &failure};
    size_t known = sizeof(handovers) / sizeof(*handovers);
    size_t number = 0;
    dx_channel *parent;

    if (argc < 3 || dx_framing_by_name(&options.framing, argv[1]) < 0)
        return 2;
    while (number < known && strcmp(handovers[number], argv[2]) != 0)
        number++;
    if (number == known)
        return 2;
    claim.handover = (dx_handover)number;
    if (dx_channel_claim(&parent, &claim, &options) < 0) {
        fprintf(stderr, "program_partner: %s\n", failure.text);
        return 1;
    }
    int status = converse(parent, &claim, &options);

    dx_channel_close(parent);
    return status == 0 ? record_the_end() : 1;
}
