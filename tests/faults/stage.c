/* SPDX-License-Identifier: MIT */
/*
 * See stage.h.
 */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Long enough for a child that leaves at the end of the conversation. */
enum { GRACE_MS = 1000, VAGUE_MS = 200 };

struct stage *stage;

void complain(const char *format, ...)
{
    va_list arguments;

    if (atomic_exchange(&stage->complained, true))
        return;
    va_start(arguments, format);
    vsnprintf(stage->complaint, sizeof(stage->complaint), format, arguments);
    va_end(arguments);
}

static bool may_come(int error, int besides)
{
    const struct fault *fault = &stage->faults.fault;

    if ((besides != 0 && error == besides) || (error == ETIMEDOUT && stage->vague))
        return true;
    if (stage->faults.met == 0 || fault_is_harmless(fault) || error == EINTR)
        return false;
    /* The other way is not refused, and fails. */
    if (error == ENOSYS && stage->faults.filtered)
        return true;
    /* A number that cannot be had, says the child, whichever way the kernel put it. */
    if (error == EMFILE && (fault->call == CALL_SYS_DUP3 || fault->call == CALL_SYS_CHILD_FCNTL))
        return true;
    /* One place of many where the program might be. */
    if (error == ENOENT && fault->call == CALL_SYS_EXECVE)
        return true;
    /* A socket without a peer is none to attach. */
    if (error == EINVAL && fault->error == ENOTCONN)
        return true;
    /* What fails at one end is a peer that has gone to the other. */
    return error == fault->error || error == EPIPE;
}

void not_told(void)
{
    if (fault_tells_of_death(&stage->faults.fault))
        run_out();
}

void run_out(void)
{
    stage->vague = true;
    stage->patience_ms = VAGUE_MS;
}

bool went(int status, const char *what, const char *sentence, int besides)
{
    if (status >= 0)
        return true;
    if (!may_come(-status, besides))
        complain("%s answered %d (%s): %s", what, status, strerror(-status), sentence);
    else if (sentence == NULL || sentence[0] == '\0')
        complain("%s answered %d (%s) without a sentence", what, status, strerror(-status));
    return false;
}

bool is_passing(int status)
{
    return status < 0 && status != -EPIPE && status != -EPROTO;
}

/* A string: the number, the size, and letters. */
static const void *json_words(unsigned number, size_t size)
{
    static char text[MESSAGE_MAX];
    char head[18];

    memset(text, 'x', size);
    snprintf(head, sizeof(head), "\"%08x%08x", number, (unsigned)size);
    memcpy(text, head, sizeof(head) - 1);
    text[size - 1] = '"';
    return text;
}

/* What the message is that should have come as one; false: none. */
static bool read_head(uint32_t ret[2], const void *data, size_t size)
{
    char head[18] = "";
    unsigned number, length;

    if (!stage->json) {
        if (size >= 8)
            memcpy(ret, data, 8);
        return size >= 8;
    }
    if (size < sizeof(head))
        return false;
    memcpy(head, data, sizeof(head) - 1);
    if (sscanf(head, "\"%8x%8x", &number, &length) != 2)
        return false;
    ret[0] = number;
    ret[1] = length;
    return true;
}

const void *words(unsigned number, size_t size)
{
    if (stage->json)
        return json_words(number, size);

    static uint8_t bytes[MESSAGE_MAX];
    static size_t filled;

    if (filled == 0)
        for (; filled < sizeof(bytes); filled++)
            bytes[filled] = (uint8_t)(filled * 31 + (filled >> 8));
    uint32_t head[2] = {number, (uint32_t)size};

    memcpy(bytes, head, sizeof(head));
    return bytes;
}

void check_words(struct talk *talk, const void *data, size_t size)
{
    uint32_t head[2];
    long which = talk - stage->talks;

    if (!read_head(head, data, size)) {
        complain("talk %ld: a message of %zu bytes arrived that nobody sent", which, size);
        return;
    }
    if (head[0] < talk->heard)
        complain("talk %ld: message %u arrived twice", which, head[0]);
    else if (head[0] > talk->heard)
        complain("talk %ld: message %u arrived, and %u did not", which, head[0], talk->heard);
    else if (head[1] != size || memcmp(data, words(head[0], size), size) != 0)
        complain("talk %ld: message %u arrived with %zu bytes, not as it was sent", which, head[0],
                 size);
    talk->heard = head[0] + 1;
}

/* Send with this, up to twice. */
static int tell_message(dx_channel *channel, struct talk *talk, const dx_message *message)
{
    int status = -EPIPE;

    for (int tries = 0; tries < 2 && (tries == 0 || is_passing(status)); tries++) {
        talk->saying = true;
        status = message->descriptor_count > 0
                     ? dx_send_message(channel, message, stage->patience_ms)
                     : dx_send(channel, message->data, message->size, stage->patience_ms);
        (void)went(status, "dx_send()", dx_channel_explain(channel), 0);
        if (status == 0)
            talk->said++;
        talk->saying = false;
        if (status >= 0)
            return status;
    }
    talk->gave_up = true;
    return status;
}

int tell(dx_channel *channel, struct talk *talk, size_t size)
{
    dx_message message = {.data = words(talk->said, size), .size = size};

    return tell_message(channel, talk, &message);
}

int tell_with(dx_channel *channel, struct talk *talk, size_t size, int *descriptors, size_t count)
{
    dx_message message = {.data = words(talk->said, size),
                          .size = size,
                          .descriptors = descriptors,
                          .descriptor_count = count};
    int status = tell_message(channel, talk, &message);

    for (size_t i = 0; i < count; i++) {
        bool gone = descriptors[i] == -1;

        if (gone != (status == 0))
            complain("dx_send_message() answered %d, and the descriptors are %s", status,
                     gone ? "gone" : "still here");
        fault_mute();
        if (!gone)
            close(descriptors[i]);
        fault_unmute();
    }
    return status;
}

int hear(dx_channel *channel, struct talk *talk, dx_message *ret)
{
    int status = -EPIPE;

    for (int tries = 0; tries < 2 && (tries == 0 || is_passing(status)); tries++) {
        status = dx_recv(channel, ret, stage->patience_ms);
        (void)went(status, "dx_recv()", dx_channel_explain(channel), 0);
        if (status == 0)
            talk->end_seen = true;
        if (status == 1 && ret->kind == DX_MESSAGE)
            check_words(talk, ret->data, ret->size);
        if (status >= 0)
            break;
    }
    return status;
}

void finish(dx_channel *channel, struct talk *talk)
{
    int status = -EPIPE;

    for (int tries = 0; tries < 2 && (tries == 0 || is_passing(status)); tries++) {
        status = dx_channel_end(channel, stage->patience_ms);
        (void)went(status, "dx_channel_end()", dx_channel_explain(channel), 0);
        if (status == 0) {
            talk->ended = !talk->gave_up;
            return;
        }
    }
}

int hear_out(dx_channel *channel, struct talk *talk)
{
    dx_message message;
    int status;

    while ((status = hear(channel, talk, &message)) > 0)
        continue;
    return status;
}

/* Whether everything must have gone well. */
static bool is_undisturbed(void)
{
    return stage->faults.met == 0 || fault_is_harmless(&stage->faults.fault);
}

void part(dx_process *process, bool orderly)
{
    dx_exit exit = {0};
    int status = -EAGAIN;

    /* What this side took for the end was none for the other. */
    orderly = orderly && !stage->vague;
    for (int tries = 0; tries < 2 && status < 0; tries++) {
        status = orderly ? dx_process_wait(process, &exit, stage->patience_ms)
                         : dx_process_stop(process, GRACE_MS, &exit);
        (void)went(status, orderly ? "dx_process_wait()" : "dx_process_stop()",
                   dx_process_explain(process), 0);
    }
    if (status < 0)
        complain("the child's end was waited for twice, and that is %d", status);
    else if (exit.text[0] == '\0' || exit.kind == DX_EXIT_UNKNOWN)
        complain("nothing tells how the child ended: '%s'", exit.text);
    else if (is_undisturbed() && (exit.kind != DX_EXIT_CODE || exit.code != 0))
        complain("the child %s", exit.text);
    if (dx_process_close(process) != NULL)
        complain("dx_process_close() answered something");
}

void check_talks(void)
{
    const struct fault *fault = &stage->faults.fault;

    for (long i = 0; i < TALKS; i++) {
        const struct talk *talk = &stage->talks[i];

        if (talk->heard > talk->said + talk->saying)
            complain("talk %ld: %u messages arrived, and only %u were acknowledged", i, talk->heard,
                     talk->said);
        if (talk->end_seen && talk->ended && talk->heard < talk->said &&
            !fault_tells_of_death(fault))
            complain("talk %ld: %u messages were acknowledged, and then an orderly end, and "
                     "%u arrived",
                     i, talk->said, talk->heard);
        if (is_undisturbed() && (talk->gave_up || (talk->heard != talk->said && !talk->saying)))
            complain("talk %ld: of %u messages %u arrived", i, talk->said, talk->heard);
    }
}

uint64_t open_descriptors(void)
{
    uint64_t open = 0;

    fault_mute();
    for (int fd = 0; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            open |= UINT64_C(1) << fd;
    fault_unmute();
    return open;
}

int make_note(uint8_t note)
{
    int ends[2] = {-1, -1};

    fault_mute();
    /* Node makes handles of both. */
    int error = note % 2 == 1 ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)
                              : pipe2(ends, O_CLOEXEC);

    if (error < 0 || write(ends[1], &note, 1) != 1)
        complain("no pipe can be made for the scenario itself: %s", strerror(errno));
    close(ends[1]);
    fault_unmute();
    return ends[0];
}

bool is_note(int fd, uint8_t note)
{
    uint8_t byte;

    fault_mute();
    bool is = read(fd, &byte, 1) == 1 && byte == note && read(fd, &byte, 1) == 0;

    fault_unmute();
    return is;
}
