/* SPDX-License-Identifier: MIT */
/*
 * What the user does, by the script. See play.h.
 */
#include "play.h"

#include "targets.h"

#include "channel/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    HANDLERS = 3,
    MESSAGES = 100000, /* more than one look brings: each takes a byte at least */
    SLACK_MS = 120,    /* a deadlock is seen after 100 ms */
    NS_PER_MS = 1000000,
    NS_PER_CALL = 300,
};

static int choose_timeout(void)
{
    static const int timeouts[] = {DX_NOW, 1, 20, 150, DX_FOREVER, DX_NOW, 5, 1000};

    return timeouts[world_byte() % 8];
}

static size_t choose_size(void)
{
    size_t byte = world_byte();

    return byte < 192 ? byte : byte < 240 ? (byte - 191) * 64 : (byte - 239) * 4500;
}

/* The time, but for what the script has let pass by itself. */
static uint64_t clock_ns(void)
{
    return world.now_ns - world.passed_ns;
}

/* What a call may answer, and when. A handler takes as long as it takes. */
static void check(int status, uint64_t began_ns, int timeout_ms)
{
    if (timeout_ms >= 0 && play.depth == 0 && !play.handled)
        require(clock_ns() - began_ns <=
                ((uint64_t)timeout_ms + SLACK_MS) * NS_PER_MS + world.calls * NS_PER_CALL);
    if (status >= 0) {
        require(status <= 1);
        return;
    }
    if (dx_channel_explain(play.channel)[0] == '\0')
        fprintf(stderr, "the status %d is not explained\n", status);
    require(dx_channel_explain(play.channel)[0] != '\0');
    switch (status) {
    case -ETIMEDOUT:
    case -EPIPE:
    case -EPROTO:
    case -EMSGSIZE:
    case -EDEADLK:
    case -EINVAL:
    case -ESHUTDOWN:
    case -EBUSY:
    case -EPERM:
    case -EOPNOTSUPP:
    case -EREMOTEIO:
    case -ECOMM:
    case -ENOENT:
    case -EMFILE:
    case -EBADF:
        return;
    default:
        if (!play.failed)
            fprintf(stderr, "the status %d: %s\n", status, dx_channel_explain(play.channel));
        require(play.failed);
    }
}

/* What was promised of the inside, whatever the other side writes. */
static void check_inside(void)
{
    const struct dxi_lane *lane = &play.channel->lane;
    size_t limit = play.channel->message_limit;

    if (lane->in_is_fast) {
        require(dxi_ring_filled(&lane->in) <= lane->in.size);
        /* What a trusted peer has written over while it was lent is its own affair. */
        require(lane->lent || lane->in.head - lane->in.given <= lane->in.size);
    }
    if (lane->course == DXI_COURSE_RING)
        require(dxi_ring_room(&lane->out) <= lane->out.size);
    require(play.channel->in.descriptor_count <= 4 * 4 + 1);
    /* Twice what is lent and what comes, the backlog and what is kept, and what every channel has. */
    require(world.memory_peak <= 8 * (limit + (64 << 10)) + (4U << 20));
}

static void note_id(uint64_t ids[PLAY_IDS], uint64_t id)
{
    memmove(ids + 1, ids, (PLAY_IDS - 1) * sizeof(*ids));
    ids[0] = id;
}

/* Look at a message that was received, at all of it. */
static void look(const dx_message *message)
{
    static volatile uint8_t seen;

    require(message->data != NULL);
    require(message->size <= play.channel->message_limit || message->kind == DX_ERROR ||
            message->kind == DX_FAILED);
    require(message->descriptor_count <= (play.options.descriptor_limit));
    for (size_t i = 0; i < message->size; i++)
        seen = (uint8_t)(seen + ((const uint8_t *)message->data)[i]);
    for (size_t i = 0; i < message->descriptor_count; i++)
        require(world_is_open(message->descriptors[i]));
    if (message->kind == DX_REQUEST)
        note_id(play.theirs, message->id);
}

static void received(int status, const dx_message *message)
{
    play.has_message = status == 1;
    if (status == 1) {
        play.message = *message;
        book_receive(message);
        look(message);
    }
}

void user_receive(int timeout_ms)
{
    dx_message message = {0};
    uint64_t began = clock_ns();
    int status = dx_recv(play.channel, &message, timeout_ms);

    received(status, &message);
    check(status, began, timeout_ms);
    if (status == 0 || status == -EPIPE || status == -EPROTO) {
        if (play.over && play.over_status != status)
            fprintf(stderr, "the status %d, and before %d\n", status, play.over_status);
        require(!play.over || play.over_status == status);
        play.over = true;
        play.over_status = status;
    } else {
        /* What is told after the end are requests of ours that it has ended. */
        require(!play.over || status != 1 || message.kind == DX_FAILED);
    }
}

static void receive(void)
{
    user_receive(choose_timeout());
}

static void receive_all(void)
{
    unsigned count = 0;

    do {
        user_receive(DX_NOW);
        require(++count < MESSAGES);
    } while (play.has_message);
}

static void send_plain(void)
{
    struct play_send *send = book_begin(DXI_KIND_MESSAGE, choose_size(), 0);
    uint64_t began = clock_ns();
    int timeout_ms = choose_timeout();

    check(book_end(send, dx_send(play.channel, book_bytes(send), send->size, timeout_ms)), began,
          timeout_ms);
}

/* Descriptors of any sort; those that were not taken are closed again. */
static size_t open_some(int fds[4])
{
    uint8_t which = world_byte();
    size_t count = which & 3;

    for (size_t i = 0; i < count; i++)
        fds[i] = world_open(1 + (which >> 2) % (WORLD_SORTS - 1));
    if ((which & 64) != 0 && count > 1 && fds[0] >= 0) {
        dxi_os->close(fds[1]);
        fds[1] = fds[0];
    }
    return count;
}

static void close_some(const int fds[4], size_t count, int status)
{
    for (size_t i = 0; i < count; i++) {
        require(status < 0 || fds[i] == -1);
        if (world_is_open(fds[i]))
            dxi_os->close(fds[i]);
    }
}

static void send_message(void)
{
    static const dx_kind kinds[] = {DX_MESSAGE, DX_FLUSH, DX_DELIMITER, DX_RESPONSE_END};
    uint8_t kind = world_byte();
    int fds[4], timeout_ms = choose_timeout();
    dx_message message = {.kind = kind < 192 ? DX_MESSAGE : kinds[kind % 4], .descriptors = fds};
    uint64_t began = clock_ns();

    if (kind == 255)
        message.kind = DX_REQUEST;
    message.descriptor_count = open_some(fds);
    message.size = message.kind == DX_MESSAGE ? choose_size() : kind % 3 == 0;
    struct play_send *send =
        book_begin(message.kind == DX_MESSAGE ? DXI_KIND_MESSAGE
                                              : (enum dxi_kind)(DXI_KIND_FLUSH + kind % 4 - 1),
                   message.size, (unsigned)message.descriptor_count);

    message.data = book_bytes(send);
    int status = book_end(send, dx_send_message(play.channel, &message, timeout_ms));

    close_some(fds, message.descriptor_count, status);
    check(status, began, timeout_ms);
}

static enum dxi_kind request_kind(void)
{
    return play.framing->has_ids ? DXI_KIND_REQUEST : DXI_KIND_MESSAGE;
}

static void call(void)
{
    /* The pool that leads a worker keeps the books, and waits for no answer so. */
    if (play.worker)
        return;
    struct play_send *send = book_begin(request_kind(), choose_size(), 0);
    int timeout_ms = choose_timeout();
    dx_message reply = {0};
    uint64_t began = clock_ns();
    int status = dx_call(play.channel, book_bytes(send), send->size, &reply, timeout_ms);

    /* It may have been sent although no answer came. */
    send->became = status == 0 || status == -EREMOTEIO ? PLAY_SENT : PLAY_SENDING;
    play.has_message = status == 0 || status == -EREMOTEIO;
    if (play.has_message) {
        play.message = reply;
        look(&reply);
    }
    check(status, began, timeout_ms);
}

static void start_call(void)
{
    struct play_send *send = book_begin(request_kind(), choose_size(), 0);
    int timeout_ms = choose_timeout();
    uint64_t id = 0, began = clock_ns();

    int status = dx_call_start(play.channel, book_bytes(send), send->size, &id, timeout_ms);

    check(book_end(send, status), began, timeout_ms);
    if (status == 0)
        note_id(play.ours, id);
}

static uint64_t choose_id(const uint64_t ids[PLAY_IDS])
{
    uint8_t which = world_byte();

    return which < 200 ? ids[which % PLAY_IDS] : which % 4;
}

static void reply(void)
{
    uint64_t id = choose_id(play.theirs), began = clock_ns();
    struct play_send *send =
        book_begin(play.framing->has_ids ? DXI_KIND_REPLY : DXI_KIND_MESSAGE, choose_size(), 0);
    int timeout_ms = choose_timeout();

    check(book_end(send, dx_reply(play.channel, id, book_bytes(send), send->size, timeout_ms)),
          began, timeout_ms);
}

static void reply_error(void)
{
    uint64_t id = choose_id(play.theirs), began = clock_ns();
    int timeout_ms = choose_timeout();

    check(dx_reply_error(play.channel, id, -(int)world_byte(), world_byte() % 2 ? "no" : NULL,
                         timeout_ms),
          began, timeout_ms);
}

static void cancel(void)
{
    check(dx_cancel(play.channel, choose_id(play.ours)), clock_ns(), DX_NOW);
}

static void set_deadline(void)
{
    uint64_t id = choose_id(play.ours);

    check(dx_call_deadline(play.channel, id, choose_timeout()), clock_ns(), DX_NOW);
}

static void cork(void)
{
    check(dx_cork(play.channel), clock_ns(), DX_NOW);
}

static void flush(void)
{
    uint64_t began = clock_ns();
    int timeout_ms = choose_timeout();

    check(dx_flush(play.channel, timeout_ms), began, timeout_ms);
}

static void say_end(void)
{
    uint64_t began = clock_ns();
    int timeout_ms = choose_timeout();

    check(dx_channel_end(play.channel, timeout_ms), began, timeout_ms);
    play.reserved = NULL;
}

static void process(void)
{
    int events = dx_channel_events(play.channel);
    int timeout_ms = dx_channel_timeout_ms(play.channel);

    require(events >= 0 && timeout_ms >= -1);
    check(dx_channel_process(play.channel), clock_ns(), DX_NOW);
    require(dx_channel_is_fast(play.channel) >= 0);
}

static void reserve(void)
{
    int timeout_ms = choose_timeout();
    uint64_t began = clock_ns();
    size_t size = choose_size();
    int status = dx_reserve(play.channel, size, &play.reserved, timeout_ms);

    check(status, began, timeout_ms);
    play.reserved_size = size;
    if (status < 0)
        play.reserved = NULL;
}

static void commit(void)
{
    size_t most = play.reserved != NULL ? play.reserved_size : 10;
    uint8_t part = world_byte() % 8;
    size_t size = part == 7 ? most + 1 : part == 6 ? most : most * part / 6;
    struct play_send *send = book_begin(DXI_KIND_MESSAGE, size, 0);

    if (play.reserved != NULL && size <= most)
        memcpy(play.reserved, book_bytes(send), size);
    check(book_end(send, dx_commit(play.channel, size)), clock_ns(), DX_NOW);
    if (size <= most)
        play.reserved = NULL;
}

/* A handler answers, or asks in its turn, or does something else that the script says. */
static int handle(dx_channel *channel, const dx_message *request, void *context)
{
    (void)context;
    require(channel == play.channel);
    play.handled = true;
    /* Whatever calls it is behind the message that was received before. */
    play.has_message = false;
    look(request);
    uint8_t how = world_byte();

    if (how % 4 == 0)
        return -(int)how;
    play.depth++;
    if (how % 4 == 1 && play.depth <= HANDLERS)
        user_act();
    play.depth--;
    return 0;
}

static void set_handler(void)
{
    check(dx_channel_on_request(play.channel, world_byte() % 4 != 0 ? handle : NULL, NULL),
          clock_ns(), DX_NOW);
}

static void take_descriptor(void)
{
    size_t index = world_byte() % 4;

    if (!play.has_message || play.message.descriptors == NULL)
        return;
    int fd = dx_message_take(&play.message, index);

    require(fd >= 0 || fd == -EINVAL || fd == -EBADF);
    if (fd >= 0)
        dxi_os->close(fd);
}

/* What the process floor asks. */
static void serve(void)
{
    struct pollfd polled[2];
    bool idle;
    size_t count = dxi_channel_poll_set(play.channel, polled, &idle);

    require(count <= 2);
    dxi_channel_serve(play.channel);
}

static void end_now(void)
{
    (void)dxi_channel_end_now(play.channel);
    play.reserved = NULL;
}

/* What the pool asks. */
static void post(void)
{
    struct play_send *send = book_begin(request_kind(), choose_size() % 5000, 0);
    dx_message message = {.data = book_bytes(send), .size = send->size};
    unsigned open = world_byte() % 4;
    uint64_t id;

    send->became = PLAY_REFUSED;
    if (!play.worker)
        return;
    send->became = PLAY_SENDING;
    if (world_byte() % 2 == 0 &&
        dxi_channel_post_quick(play.channel, message.data, message.size, open, &id))
        send->became = PLAY_SENT;
    else
        (void)book_end(send, dxi_channel_post(play.channel, &message, open, &id));
    if (send->became == PLAY_SENT)
        note_id(play.ours, id);
}

static void take_reply(void)
{
    dx_message message = {0};

    (void)dxi_channel_left_unread(play.channel);
    (void)dxi_channel_greeted(play.channel);
    (void)dxi_channel_stirs(play.channel);
    if (dxi_channel_hears_ring(play.channel))
        (void)dxi_channel_peer(play.channel);
    if (!play.worker)
        return;
    if (world_byte() % 2 == 0) {
        (void)dxi_channel_send_collected(play.channel);
        return;
    }
    bool taken = dxi_channel_take_reply(play.channel, &message);

    if (taken)
        received(1, &message);
}

void user_act(void)
{
    static const struct play_act acts[] = {
        ACT(send_plain),  ACT(send_message),    ACT(receive),    ACT(receive_all),
        ACT(call),        ACT(start_call),      ACT(reply),      ACT(reply_error),
        ACT(cancel),      ACT(set_deadline),    ACT(cork),       ACT(flush),
        ACT(say_end),     ACT(process),         ACT(reserve),    ACT(commit),
        ACT(set_handler), ACT(take_descriptor), ACT(serve),      ACT(end_now),
        ACT(post),        ACT(take_reply),      ACT(send_plain), ACT(receive_all),
    };
    uint8_t which = world_byte();

    if (play.depth == 0) {
        world.calls = world.idle = 0;
        play.handled = false;
    }
    play_do("user", &acts[which % (sizeof(acts) / sizeof(*acts))]);
    check_inside();
}
