/* SPDX-License-Identifier: MIT */
/*
 * The parent of the clients: program_parent SCENE TYPE PROGRAM [ARGUMENT...] starts a child that
 * does what child.py describes, and converses with it. The scenes: "all"; "plain", which is all but
 * descriptors, of which the child must say that it takes none; "die", to be killed in the middle;
 * "example", for those of clients/README.md.
 */
#include <duplex.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, OUTSTANDING = 64, NEST = 6, TOO_LARGE = 8 << 20 };

static const size_t sizes[] = {0,      1,      2,       16,      4096,    65535,  65536,
                               65537,  131072, 262127,  262128,  262129,  0,      1000,
                               212944, 212945, 1 << 20, 3000001, 5 << 20, 5000000};

struct family {
    dx_channel *child;
    unsigned seed;
    uint64_t slots[OUTSTANDING]; /* requests of the child that wait for all to be there */
    int slot_numbers[OUTSTANDING];
    size_t slot_count;
    unsigned never;
};

static _Noreturn void fail(const struct family *family, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, dx_channel_explain(family->child));
    exit(1);
}

static void demand(const struct family *family, bool holds, const char *what)
{
    if (!holds)
        fail(family, what);
}

static void shuffle(struct family *family)
{
    for (size_t i = family->slot_count; i > 1; i--) {
        size_t j = (size_t)rand_r(&family->seed) % i;
        uint64_t id = family->slots[j];
        int number = family->slot_numbers[j];

        family->slots[j] = family->slots[i - 1];
        family->slot_numbers[j] = family->slot_numbers[i - 1];
        family->slots[i - 1] = id;
        family->slot_numbers[i - 1] = number;
    }
}

/* Hold the child's requests until all are open, then answer in another order. */
static int hold_slot(struct family *family, uint64_t id, int number)
{
    family->slots[family->slot_count] = id;
    family->slot_numbers[family->slot_count++] = number;
    if (family->slot_count < OUTSTANDING)
        return 0;
    shuffle(family);
    for (size_t i = 0; i < OUTSTANDING; i++) {
        char text[32];
        int size = snprintf(text, sizeof(text), "slot %d", family->slot_numbers[i]);
        int error = dx_reply(family->child, family->slots[i], text, (size_t)size, PATIENCE_MS);

        if (error < 0)
            return error;
    }
    family->slot_count = 0;
    return 0;
}

static int nest(dx_channel *child, uint64_t id, int depth)
{
    char text[128];
    dx_message reply;

    if (depth == 0)
        return dx_reply(child, id, "leaf", 4, PATIENCE_MS);
    int size = snprintf(text, sizeof(text), "nest %d", depth - 1);
    int error = dx_call(child, text, (size_t)size, &reply, PATIENCE_MS);

    if (error < 0)
        return error;
    size = snprintf(text, sizeof(text), "[%.*s]", (int)reply.size, (const char *)reply.data);
    return dx_reply(child, id, text, (size_t)size, PATIENCE_MS);
}

static int serve(dx_channel *child, const dx_message *request, void *context)
{
    struct family *family = context;
    char text[64] = {0};
    int number;

    memcpy(text, request->data, request->size < 63 ? request->size : 63);
    if (sscanf(text, "slot %d", &number) == 1)
        return hold_slot(family, request->id, number);
    if (sscanf(text, "nest %d", &number) == 1)
        return nest(child, request->id, number);
    if (sscanf(text, "fail %d", &number) == 1)
        return dx_reply_error(child, request->id, number, "no", PATIENCE_MS);
    if (strcmp(text, "never") == 0)
        family->never++;
    if (strcmp(text, "name?") == 0)
        return dx_reply(child, request->id, "anna", 4, PATIENCE_MS);
    return 0;
}

/* Receive a message; cancels are passed over. */
static void expect(struct family *family, const char *text)
{
    dx_message message;

    do
        demand(family, dx_recv(family->child, &message, PATIENCE_MS) == 1, text);
    while (message.kind == DX_CANCEL);
    if (message.kind != DX_MESSAGE || message.size != strlen(text) ||
        memcmp(message.data, text, message.size) != 0) {
        fprintf(stderr, "'%.*s' came instead\n", (int)(message.size < 60 ? message.size : 60),
                (const char *)message.data);
        fail(family, text);
    }
}

static void say(struct family *family, const char *text)
{
    demand(family, dx_send(family->child, text, strlen(text), PATIENCE_MS) == 0, text);
}

static void say_and_expect(struct family *family, const char *text, const char *answer)
{
    say(family, text);
    expect(family, answer);
}

static void call(struct family *family, const char *text, int status, const char *answer)
{
    dx_message reply = {0};
    int result = dx_call(family->child, text, strlen(text), &reply, PATIENCE_MS);

    demand(family, result == status, text);
    demand(family, reply.size >= strlen(answer), answer);
    demand(family, memcmp(reply.data, answer, strlen(answer)) == 0, answer);
}

static void exchange_messages(struct family *family, unsigned char *bytes)
{
    dx_message message;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        size_t size = sizes[i] + 5;

        memcpy(bytes, "echo ", 5);
        for (size_t j = 5; j < size; j++)
            bytes[j] = (unsigned char)(j * 31 + i);
        demand(family, dx_send(family->child, bytes, size, PATIENCE_MS) == 0, "cannot send");
        demand(family, dx_recv(family->child, &message, PATIENCE_MS) == 1, "nothing came back");
        demand(family, message.size == size && memcmp(message.data, bytes, size) == 0,
               "something else came back");
        demand(family, dx_call(family->child, bytes, size, &message, PATIENCE_MS) == 0, "no reply");
        demand(family, message.size == size - 5 && memcmp(message.data, bytes + 5, size - 5) == 0,
               "another reply came");
    }
    /* Much more than the socket holds, before anything is received. */
    for (int i = 0; i < 200; i++)
        demand(family, dx_send(family->child, bytes, 20000, PATIENCE_MS) == 0, "cannot send ahead");
    for (int i = 0; i < 200; i++)
        demand(family, dx_recv(family->child, &message, PATIENCE_MS) == 1 && message.size == 20000,
               "what was sent ahead");
}

/* Requests that the child holds, and answers in another order. The fourth part is cancelled. */
static void keep_many_open(struct family *family)
{
    uint64_t ids[OUTSTANDING];
    bool answered[OUTSTANDING] = {false};
    dx_message reply;

    for (int i = 0; i < OUTSTANDING; i++) {
        char text[32];
        int size = snprintf(text, sizeof(text), "hold %d", i);

        demand(family, dx_call_start(family->child, text, (size_t)size, &ids[i], PATIENCE_MS) == 0,
               text);
        if (i % 4 == 0)
            demand(family, dx_cancel(family->child, ids[i]) == 0, "cannot cancel");
    }
    say(family, "release");
    for (int left = OUTSTANDING - OUTSTANDING / 4; left > 0;) {
        char text[32];
        int i = 0;

        demand(family, dx_recv(family->child, &reply, PATIENCE_MS) == 1, "no reply came");
        if (reply.kind == DX_MESSAGE) { /* Node answers in a later turn than it was asked to */
            demand(family, memcmp(reply.data, "released 48", 11) == 0, "not 48 were released");
            say(family, "echo released");
            continue;
        }
        demand(family, reply.kind == DX_REPLY, "this is no reply");
        while (i < OUTSTANDING && ids[i] != reply.id)
            i++;
        demand(family, i < OUTSTANDING && i % 4 != 0 && !answered[i], "an id that was not open");
        snprintf(text, sizeof(text), "hold %d", i);
        demand(family, reply.size == strlen(text) && memcmp(reply.data, text, reply.size) == 0,
               text);
        answered[i] = true;
        left--;
    }
}

static void end_of_many(struct family *family)
{
    dx_message message;

    /* Whether "released 48" came before the replies or behind them. */
    demand(family, dx_recv(family->child, &message, PATIENCE_MS) == 1, "released");
    if (memcmp(message.data, "released 48", 11) == 0)
        return;
    demand(family, memcmp(message.data, "echo released", 13) == 0, "released, early");
}

static void read_pipe(struct family *family, int fd, const char *text)
{
    char bytes[64] = {0};

    demand(family, read(fd, bytes, sizeof(bytes) - 1) == (ssize_t)strlen(text), text);
    demand(family, strcmp(bytes, text) == 0, text);
}

static void exchange_descriptors(struct family *family)
{
    int fds[2], back;
    dx_message request = {
        .data = "pipes", .size = 5, .descriptors = &fds[1], .descriptor_count = 1};
    dx_message reply;

    demand(family, pipe(fds) == 0, "pipe");
    demand(family, dx_call_message(family->child, &request, &reply, PATIENCE_MS) == 0, "pipes");
    demand(family, reply.descriptor_count == 1, "a descriptor in the reply");
    back = dx_message_take(&reply, 0);
    read_pipe(family, fds[0], "through the pipe");
    read_pipe(family, back, "and back");
    close(back);
    close(fds[0]);

    /* In a message of several pieces, four of them. */
    static char large[200000] = "echo ";
    int four[4];

    for (int i = 0; i < 4; i++)
        demand(family, (four[i] = dup(2)) >= 0, "dup");
    request = (dx_message){
        .data = large, .size = sizeof(large), .descriptors = four, .descriptor_count = 4};
    demand(family, dx_send_message(family->child, &request, PATIENCE_MS) == 0, "four descriptors");
    demand(family, dx_recv(family->child, &reply, PATIENCE_MS) == 1, "four descriptors back");
    demand(family, reply.descriptor_count == 4 && reply.size == sizeof(large), "not four");
}

static void be_refused_descriptors(struct family *family)
{
    int fd = dup(2);
    dx_message message = {.descriptors = &fd, .descriptor_count = 1};

    demand(family, dx_send_message(family->child, &message, PATIENCE_MS) == -EPERM, "not refused");
    close(fd);
}

static void converse(struct family *family, bool descriptors)
{
    unsigned char *bytes = malloc(TOO_LARGE);

    exchange_messages(family, bytes);
    free(bytes);
    call(family, "fail 33 by zero", -EREMOTEIO, "by zero");
    call(family, "fail -5 ", -EREMOTEIO, "");
    call(family, "break", -EREMOTEIO, descriptors ? "KeyError" : "");
    call(family, "nest 0", 0, "leaf");
    call(family, "nest 6", 0, "([([([leaf])])])");
    say_and_expect(family, "error", "failed 7 no");
    say_and_expect(family, "ask 64", "asked 64");
    say_and_expect(family, "give-up", "gave up");
    demand(family, family->never == 1, "the request that is never answered");
    say_and_expect(family, "large", "refused");
    keep_many_open(family);
    end_of_many(family);
    if (descriptors)
        exchange_descriptors(family);
    else
        be_refused_descriptors(family);
    say_and_expect(family, "ask 64", "asked 64");
}

/* What the examples of clients/README.md are a child for. */
static void be_the_parent_of_an_example(struct family *family)
{
    expect(family, "i am your child");
    say(family, "well done");
    call(family, "hi", 0, "HI");
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
    int type = argc > 3 ? type_of(argv[2]) : -1;
    struct family family = {.seed = 7};
    dx_failure failure;
    dx_process *process;
    dx_message message;
    dx_exit report;

    if (type < 0) {
        fputs("usage: program_parent all|plain|die|example TYPE PROGRAM [ARGUMENT...]\n", stderr);
        return 2;
    }
    dx_process_options options = {
        .channel = {.type = (dx_channel_type)type,
                    .descriptor_limit = 4,
                    .message_limit = TOO_LARGE},
        .failure = &failure,
    };

    if (dx_spawn(&process, argv + 3, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    family.child = dx_process_channel(process);
    dx_channel_on_request(family.child, serve, &family);
    if (strcmp(argv[1], "die") == 0) {
        say_and_expect(&family, "echo alive", "echo alive");
        say(&family, "echo unread");
        raise(SIGKILL);
    }
    if (strcmp(argv[1], "example") == 0)
        be_the_parent_of_an_example(&family);
    else
        converse(&family, strcmp(argv[1], "all") == 0);
    demand(&family, dx_channel_end(family.child, PATIENCE_MS) == 0, "cannot end");
    if (strcmp(argv[1], "example") != 0)
        expect(&family, "bye");
    demand(&family, dx_recv(family.child, &message, PATIENCE_MS) == 0, "the end did not come");
    demand(&family, dx_process_wait(process, &report, PATIENCE_MS) == 0, "the child did not end");
    fprintf(stderr, "the child: %s\n", report.text);
    dx_process_close(process);
    return report.kind == DX_EXIT_CODE ? report.code : 1;
}
