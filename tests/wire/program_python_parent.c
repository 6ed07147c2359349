/* SPDX-License-Identifier: MIT */
/*
 * The parent of the Python client of docs/wire.md: program_python_parent TYPE PROGRAM [ARGUMENT...]
 * starts it on a socket of that type, says messages of many sizes, and checks that each comes back.
 */
#include <duplex.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 60000, AHEAD = 100, AHEAD_SIZE = 5000 };

static const size_t sizes[] = {0,     1,     2,       15,     16,     17,      4096,
                               65535, 65536, 65537,   131072, 262127, 262128,  262129,
                               0,     1000,  1 << 20, 5,      0,      3000001, 1};

static void fill(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(rand_r(&seed) >> 5);
}

static int fail(dx_channel *channel, const char *what, size_t size)
{
    fprintf(stderr, "%s, %zu bytes: %s\n", what, size, dx_channel_explain(channel));
    return -1;
}

static int hear(dx_channel *channel, unsigned char *expected, size_t size, unsigned seed)
{
    dx_message message;

    fill(expected, size, seed);
    if (dx_recv(channel, &message, PATIENCE_MS) != 1)
        return fail(channel, "nothing came back", size);
    if (message.size != size || memcmp(message.data, expected, size) != 0)
        return fail(channel, "something else came back", message.size);
    return 0;
}

static int converse(dx_channel *channel, unsigned char *bytes)
{
    dx_message message;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        fill(bytes, sizes[i], (unsigned)i);
        if (dx_send(channel, bytes, sizes[i], PATIENCE_MS) < 0)
            return fail(channel, "cannot send", sizes[i]);
        if (hear(channel, bytes, sizes[i], (unsigned)i) < 0)
            return -1;
    }
    /* Many before the first answer is looked at: more than the socket holds, both ways at once. */
    for (unsigned i = 0; i < AHEAD; i++) {
        fill(bytes, AHEAD_SIZE + i, i);
        if (dx_send(channel, bytes, AHEAD_SIZE + i, PATIENCE_MS) < 0)
            return fail(channel, "cannot send ahead", AHEAD_SIZE + i);
    }
    if (dx_channel_end(channel, PATIENCE_MS) < 0)
        return fail(channel, "cannot end", 0);
    for (unsigned i = 0; i < AHEAD; i++)
        if (hear(channel, bytes, AHEAD_SIZE + i, i) < 0)
            return -1;
    if (dx_recv(channel, &message, PATIENCE_MS) != 0)
        return fail(channel, "the end did not come", 0);
    return 0;
}

static int type_of(const char *name)
{
    static const char *const names[] = {"stream", "seqpacket", "dgram"};

    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

int main(int argc, char **argv)
{
    dx_failure failure = {0};
    dx_process_options options = {.failure = &failure};
    unsigned char *bytes = malloc(4 << 20);
    dx_process *process;
    dx_exit end = {0};

    if (argc < 3 || type_of(argv[1]) < 0 || !bytes)
        return 2;
    options.channel.type = (dx_channel_type)type_of(argv[1]);
    if (dx_spawn(&process, argv + 2, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    int result = converse(dx_process_channel(process), bytes);

    if (result == 0 && dx_process_wait(process, &end, PATIENCE_MS) < 0)
        fprintf(stderr, "%s\n", dx_process_explain(process));
    else if (result == 0 && (end.kind != DX_EXIT_CODE || end.code != 0))
        fprintf(stderr, "the child: %s\n", end.text);
    dx_process_close(process);
    free(bytes);
    return result == 0 && end.kind == DX_EXIT_CODE && end.code == 0 ? 0 : 1;
}
