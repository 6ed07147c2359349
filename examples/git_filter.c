/* SPDX-License-Identifier: MIT */
/*
 * A filter process for git, see gitattributes(5): what is stored has each letter moved by 13 places,
 * what is checked out has it moved back.
 *
 *     git config filter.rot13.process /path/to/git_filter
 *     git config filter.rot13.required true
 *     echo '*.txt filter=rot13' >.gitattributes
 *
 * Git starts it once for all files of a command and converses by standard input and output, two
 * pipes, in packets (DX_FRAMING_PKT_LINE). A flush packet ends each list and each file.
 */
#include <duplex.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_MAX 65516

/* The words of a list that matter here. */
enum {
    WORD_CLIENT = 1 << 0,
    WORD_VERSION = 1 << 1,
    CAN_CLEAN = 1 << 2,
    CAN_SMUDGE = 1 << 3,
    DO_CLEAN = 1 << 4,
    DO_SMUDGE = 1 << 5
};

static const struct word {
    const char *text;
    unsigned flag;
} words[] = {
    {"git-filter-client", WORD_CLIENT}, {"version=2", WORD_VERSION},
    {"capability=clean", CAN_CLEAN},    {"capability=smudge", CAN_SMUDGE},
    {"command=clean", DO_CLEAN},        {"command=smudge", DO_SMUDGE},
};

/* Which word a packet of text is, with or without '\n' at its end; 0 for none of those. */
static unsigned word_of(const dx_message *packet)
{
    const char *text = packet->data;
    size_t size = packet->size;
    size_t i;

    if (size > 0 && text[size - 1] == '\n')
        size--;
    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].text) == size && memcmp(words[i].text, text, size) == 0)
            return words[i].flag;
    }
    return 0;
}

/* Receive a list up to its flush. Returns 1 and which words it had; 0 at the end; or an error. */
static int recv_list(dx_channel *git, unsigned *ret_words)
{
    dx_message packet;
    int result;

    *ret_words = 0;
    while ((result = dx_recv(git, &packet, DX_FOREVER)) == 1) {
        if (packet.kind == DX_FLUSH)
            return 1;
        *ret_words |= word_of(&packet);
    }
    return result;
}

static int send_flush(dx_channel *git)
{
    return dx_send_message(git, &(dx_message){.kind = DX_FLUSH}, DX_FOREVER);
}

static int send_word(dx_channel *git, const char *text)
{
    return dx_send(git, text, strlen(text), DX_FOREVER);
}

/* Who are we, in which version, and what can we do. Returns 0, or -1 if git is somebody else. */
static int greet(dx_channel *git)
{
    unsigned heard;

    if (recv_list(git, &heard) != 1 || heard != (WORD_CLIENT | WORD_VERSION) ||
        send_word(git, "git-filter-server\n") < 0 || send_word(git, "version=2\n") < 0 ||
        send_flush(git) < 0 || recv_list(git, &heard) != 1)
        return -1;
    if ((heard & CAN_CLEAN && send_word(git, "capability=clean\n") < 0) ||
        (heard & CAN_SMUDGE && send_word(git, "capability=smudge\n") < 0))
        return -1;
    return send_flush(git);
}

/* Add a file's bytes up to the flush behind them to a stream. Returns 0 or -1. */
static int recv_file(dx_channel *git, FILE *stream)
{
    dx_message packet;

    while (dx_recv(git, &packet, DX_FOREVER) == 1) {
        if (packet.kind == DX_FLUSH)
            return 0;
        if (fwrite(packet.data, 1, packet.size, stream) != packet.size)
            return -1;
    }
    return -1;
}

/* Send a file in packets. One without bytes has no packets: git allows none that are empty. */
static int send_file(dx_channel *git, const char *data, size_t size)
{
    size_t sent;

    for (sent = 0; sent < size; sent += PACKET_MAX) {
        size_t part = size - sent < PACKET_MAX ? size - sent : PACKET_MAX;

        if (dx_send(git, data + sent, part, DX_FOREVER) < 0)
            return -1;
    }
    return send_flush(git);
}

/* It is its own reverse, for clean and smudge alike. */
static void rotate(char *data, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++) {
        char small = (char)(data[i] | 0x20);

        if (small >= 'a' && small <= 'z')
            data[i] = (char)(data[i] + (small < 'n' ? 13 : -13));
    }
}

/* Answer one command, whose list has been heard. Git speaks first: all of it is taken in before. */
static int answer(dx_channel *git, unsigned heard)
{
    bool known = heard & (DO_CLEAN | DO_SMUDGE);
    char *data = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&data, &size);
    int result = -1;

    if (stream) {
        result = recv_file(git, stream);
        if (fclose(stream) != 0)
            result = -1;
    }
    if (result == 0) {
        dx_cork(git); /* few large writes */
        result = send_word(git, known ? "status=success\n" : "status=error\n");
    }
    if (result == 0)
        result = send_flush(git);
    if (result == 0 && known) {
        rotate(data, size);
        result = send_file(git, data, size);
        /* What stands after a file's bytes could change the status: nothing does. */
        if (result == 0)
            result = send_flush(git);
    }
    free(data);
    return result == 0 ? dx_flush(git, DX_FOREVER) : result;
}

int main(void)
{
    dx_failure failure = {0};
    dx_channel_options options = {.framing = DX_FRAMING_PKT_LINE, .failure = &failure};
    dx_channel *git;
    unsigned heard;
    int result;

    if (dx_channel_claim(&git, &(dx_claim){.handover = DX_HANDOVER_PIPES}, &options) < 0) {
        fprintf(stderr, "git_filter: %s\n", failure.text);
        return 1;
    }
    result = greet(git);
    /* Git has no word for the end but the end. */
    while (result == 0 && (result = recv_list(git, &heard)) == 1)
        result = answer(git, heard);
    if (result < 0) {
        const char *why = dx_channel_explain(git);

        fprintf(stderr, "git_filter: git was not understood: %s\n",
                why[0] ? why : "these are not its words");
    }
    dx_channel_close(git);
    return result < 0 ? 1 : 0;
}
