/* SPDX-License-Identifier: MIT */
/*
 * One thread sends while another receives on the same channel, and neither waits for the other.
 * Threads do not assert: they count, and the test looks.
 */
#include "stranger.h"

#include "os/os.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* What a thread is to do and what became of it. */
struct work {
    dx_channel *channel;
    unsigned count;
    size_t (*size_of)(unsigned number);
    int timeout_ms;
    int pause_ms; /* before it begins */
    _Atomic unsigned done;
    _Atomic int status; /* of the call that ended it */
    uint64_t ended_ms;
};

static pthread_t begin(void *(*run)(void *), struct work *work)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, run, work), 0);
    return thread;
}

static void *send_all(void *context)
{
    struct work *work = context;

    sleep_ms(work->pause_ms);
    while (work->done < work->count) {
        unsigned number = work->done;

        work->status =
            send_numbered(work->channel, number, work->size_of(number), work->timeout_ms);
        if (work->status < 0)
            break;
        work->done++;
    }
    work->ended_ms = now_ms();
    return NULL;
}

static void *receive_all(void *context)
{
    struct work *work = context;
    dx_message message;

    sleep_ms(work->pause_ms);
    while (work->done < work->count) {
        unsigned number = work->done;

        work->status = dx_recv(work->channel, &message, work->timeout_ms);
        if (work->status != 1 || !is_numbered(&message, number, work->size_of(number)))
            break;
        work->done++;
    }
    work->ended_ms = now_ms();
    return NULL;
}

static void *echo(void *context)
{
    struct work *work = context;
    dx_message message;
    int status;

    while ((status = dx_recv(work->channel, &message, DX_FOREVER)) == 1) {
        status = dx_send(work->channel, message.data, message.size, DX_FOREVER);
        if (status < 0)
            break;
        work->done++;
    }
    work->status = status;
    return NULL;
}

static size_t small(unsigned number)
{
    return number * 31 % 2000;
}

static size_t mixed(unsigned number)
{
    return number % 200 == 3 ? 300000 + number : number * 31 % 2000;
}

static size_t large(unsigned number)
{
    return MIB - number % 100;
}

/* Memory that both threads read is made by one. */
static void prepare(void)
{
    (void)pattern(2 * MIB);
}

static void send_and_receive_at_once(dx_channel_type type, unsigned count,
                                     size_t (*size_of)(unsigned))
{
    prepare();
    struct pair pair = open_pair(type);
    struct work sending = {
        .channel = pair.near, .count = count, .size_of = size_of, .timeout_ms = DX_FOREVER};
    struct work receiving = {
        .channel = pair.near, .count = count, .size_of = size_of, .timeout_ms = DX_FOREVER};
    struct work echoing = {.channel = pair.far};
    pthread_t threads[3] = {begin(echo, &echoing), begin(receive_all, &receiving),
                            begin(send_all, &sending)};

    pthread_join(threads[2], NULL);
    pthread_join(threads[1], NULL);
    ck_assert_int_eq(dx_channel_end(pair.near, DX_FOREVER), 0);
    pthread_join(threads[0], NULL);
    ck_assert_int_eq(sending.status, 0);
    ck_assert_uint_eq(sending.done, count);
    ck_assert_uint_eq(receiving.done, count);
    ck_assert_uint_eq(echoing.done, count);
    ck_assert_int_eq(echoing.status, 0);
    expect_silence(pair.near);
    close_pair(&pair);
}

/* valgrind runs one thread at a time, and seldom lets another have its turn. */
static unsigned often(unsigned count)
{
    return harness_valgrind() ? count / 8 : count;
}

EACH_TYPE(test_one_thread_sends_while_another_receives)
{
    send_and_receive_at_once(type, often(20000), small);
}

EACH_TYPE(test_one_thread_sends_while_another_receives_messages_of_all_sizes)
{
    send_and_receive_at_once(type, often(4000), mixed);
}

EACH_TYPE(test_one_thread_sends_while_another_receives_large_messages)
{
    send_and_receive_at_once(type, 60, large);
}

/* Two threads at each end, all at once, neither end waiting for the other. */
EACH_TYPE(test_four_threads_converse)
{
    prepare();
    struct pair pair = open_pair(type);
    struct work works[4];
    pthread_t threads[4];

    for (int i = 0; i < 4; i++) {
        works[i] = (struct work){.channel = i < 2 ? pair.near : pair.far,
                                 .count = 3000,
                                 .size_of = mixed,
                                 .timeout_ms = DX_FOREVER};
        threads[i] = begin(i % 2 ? receive_all : send_all, &works[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(works[i].done, 3000);
    close_pair(&pair);
}

/* Hear a message, then say one so that whoever sleeps at the other end wakes. */
static void *hear_and_answer(void *context)
{
    struct work *work = context;
    uint64_t start;
    dx_message message;

    sleep_ms(work->pause_ms);
    start = now_ms();
    work->status = dx_recv(work->channel, &message, 2000 * slowness());
    work->ended_ms = now_ms() - start;
    if (work->status == 1 && is_numbered(&message, 0, work->size_of(0)))
        work->done++;
    (void)dx_send(work->channel, numbered_payload(0, 0), 0, DX_FOREVER);
    return NULL;
}

/* The last that a thread which sent and is no more may have left: its name, for another to take. */
static void send_from_a_thread(struct pair *pair)
{
    struct work work = {.channel = pair->near, .count = 1, .size_of = small, .timeout_ms = DX_NOW};

    pthread_join(begin(send_all, &work), NULL);
    expect_numbered(pair->far, 0, small(0), DX_NOW);
}

/*
 * A sender's deadline passes in the middle of a message, while the receiver sleeps: the rest leaves all
 * the same, whoever sent before, and whoever opened the channel.
 */
static void leave_a_rest(dx_channel_type type, bool sent_before, bool opener_receives)
{
    prepare();
    struct pair pair = open_pair(type);
    struct work sending = {
        .channel = pair.near, .count = 1, .size_of = large, .timeout_ms = DX_NOW, .pause_ms = 50};
    struct work receiving = {
        .channel = pair.near, .count = 1, .size_of = small, .timeout_ms = DX_FOREVER};
    struct work hearing = {.channel = pair.far, .size_of = large, .pause_ms = 100};
    pthread_t threads[3];

    if (sent_before)
        send_from_a_thread(&pair);
    if (!opener_receives)
        threads[2] = begin(receive_all, &receiving);
    threads[0] = begin(send_all, &sending);
    threads[1] = begin(hear_and_answer, &hearing);
    if (opener_receives)
        receive_all(&receiving);
    else
        pthread_join(threads[2], NULL);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    ck_assert_int_eq(sending.status, 0);
    ck_assert_uint_eq(receiving.done, 1);
    ck_assert_msg(hearing.done == 1, "the rest does not leave: %d", hearing.status);
    ck_assert_uint_le(hearing.ended_ms, 300 * (uint64_t)slowness());
    close_pair(&pair);
}

EACH_TYPE(test_a_sleeping_receiver_sends_what_a_deadline_has_left)
{
    leave_a_rest(type, false, false);
}

EACH_TYPE(test_a_sleeping_receiver_that_opened_the_channel_sends_what_a_deadline_has_left)
{
    leave_a_rest(type, false, true);
}

EACH_TYPE(test_a_sleeping_receiver_with_the_name_of_a_former_sender_sends_what_a_deadline_has_left)
{
    leave_a_rest(type, true, false);
}

/* While the receiver does something else, the sender takes in for it; then it finds everything. */
EACH_TYPE(test_a_sender_takes_in_while_the_receiver_is_busy)
{
    prepare();
    struct pair pair = open_pair(type);
    struct work works[4];
    pthread_t threads[4];

    for (int i = 0; i < 4; i++) {
        works[i] = (struct work){.channel = i < 2 ? pair.near : pair.far,
                                 .count = 10,
                                 .size_of = large,
                                 .timeout_ms = DX_FOREVER,
                                 .pause_ms = i % 2 ? 50 * i : 0};
        threads[i] = begin(i % 2 ? receive_all : send_all, &works[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(works[i].done, 10);
    close_pair(&pair);
}

/* A sender that waits and a receiver that waits, and then the peer breaks the protocol. */
EACH_TYPE(test_a_violation_ends_both_waits)
{
    prepare();
    struct stranger stranger = meet_greeted(type, NULL);
    struct header header = {.kind = 99};
    struct work sending = {
        .channel = stranger.channel, .count = 1000000, .size_of = small, .timeout_ms = DX_FOREVER};
    struct work receiving = {
        .channel = stranger.channel, .count = 1, .size_of = small, .timeout_ms = DX_FOREVER};
    pthread_t threads[2] = {begin(receive_all, &receiving), begin(send_all, &sending)};

    sleep_ms(100);
    uint64_t start = now_ms();

    ck_assert_int_eq(say_frame(&stranger, &header, NULL, 0, NULL, 0), 0);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    ck_assert_int_eq(receiving.status, -EPROTO);
    ck_assert_msg(sending.status == -EPROTO || sending.status == -EPIPE, "%d", sending.status);
    ck_assert_uint_le(sending.ended_ms - start, 300 * (uint64_t)slowness());
    ck_assert_uint_le(receiving.ended_ms - start, 300 * (uint64_t)slowness());
    ck_assert_int_eq(dx_send(stranger.channel, "x", 1, DX_NOW), -EPROTO);
    expect_explained(stranger.channel, NULL);
    part(&stranger);
}

static atomic_uint waits_for_room;

static int note_a_wait(struct pollfd *sources, size_t count, uint64_t deadline_ns)
{
    for (size_t i = 0; i < count; i++)
        if ((sources[i].events & POLLOUT) != 0)
            waits_for_room++;
    return dxi_linux.poll(sources, count, deadline_ns);
}

static atomic_int deaf;

/* A sender of datagrams reads first what has come, and so makes room for more: this one must not. */
static ssize_t queued_but_for_the_deaf(int fd)
{
    return fd == deaf ? 0 : dxi_linux.queued(fd);
}

/*
 * Until a sender has filled the kernel's buffer. Of datagrams the kernel would throw away what is said
 * between a sender's look at what has come and its send: it must have come to the wait behind that.
 */
static void wait_until_it_waits(struct work *sending, dx_channel_type type)
{
    struct pollfd room = {.fd = dx_channel_write_fd(sending->channel), .events = POLLOUT};
    unsigned before;

    do {
        before = sending->done;
        sleep_ms(5 * slowness());
    } while (poll(&room, 1, 0) != 0 || sending->done != before ||
             (type == DX_DGRAM && waits_for_room == 0));
}

static void end_both_waits(dx_channel_type type)
{
    struct pair pair = open_pair(type);
    struct work sending = {
        .channel = pair.near, .count = 1000000, .size_of = small, .timeout_ms = DX_FOREVER};
    struct work receiving = {
        .channel = pair.near, .count = 3, .size_of = small, .timeout_ms = DX_FOREVER};
    struct dxi_os table = dxi_linux;

    table.poll = note_a_wait;
    deaf = dx_channel_write_fd(pair.far);
    table.queued = queued_but_for_the_deaf;
    dxi_os = &table;
    waits_for_room = 0;
    pthread_t threads[2] = {begin(receive_all, &receiving), begin(send_all, &sending)};

    wait_until_it_waits(&sending, type);
    uint64_t start = now_ms();

    ck_assert_int_eq(send_numbered(pair.far, 0, small(0), DX_NOW), 0);
    ck_assert_int_eq(send_numbered(pair.far, 1, small(1), DX_NOW), 0);
    pair.far = dx_channel_close(pair.far);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    dxi_os = &dxi_linux;
    ck_assert_int_eq(receiving.status, 0);
    ck_assert_uint_eq(receiving.done, 2);
    ck_assert_int_eq(sending.status, -EPIPE);
    ck_assert_uint_le(sending.ended_ms - start, 300 * (uint64_t)slowness());
    ck_assert_uint_le(receiving.ended_ms - start, 300 * (uint64_t)slowness());
    close_pair(&pair);
}

/* Once is not enough: of datagrams the sender's failure must not take from the receiver what came. */
EACH_TYPE(test_an_end_of_the_peer_ends_both_waits)
{
    prepare();
    for (int i = 0; i < (harness_valgrind() ? 6 : 20); i++)
        end_both_waits(type);
}

static pthread_t awake;
static atomic_bool may_wake_up;

/* Who sleeps, of the other threads, is late to wake up. */
static int oversleep(struct pollfd *sources, size_t count, uint64_t deadline_ns)
{
    int ready = dxi_linux.poll(sources, count, deadline_ns);

    while (count > 0 && !pthread_equal(pthread_self(), awake) && !may_wake_up)
        sleep_ms(1);
    return ready;
}

/* The kernel would throw away what a receiver has not read, who gets no processor. */
START_TEST(test_a_sender_of_datagrams_takes_in_what_a_late_receiver_would_lose)
{
    struct dxi_os table = dxi_linux;

    prepare();
    table.poll = oversleep;
    awake = pthread_self();
    for (int i = 0; i < 5; i++) {
        struct pair pair = open_pair(DX_DGRAM);
        struct work receiving = {
            .channel = pair.near, .count = 3, .size_of = small, .timeout_ms = DX_FOREVER};

        may_wake_up = false;
        dxi_os = &table;
        pthread_t thread = begin(receive_all, &receiving);

        sleep_ms(20 * slowness());
        ck_assert_int_eq(send_numbered(pair.far, 0, small(0), DX_NOW), 0);
        ck_assert_int_eq(send_numbered(pair.far, 1, small(1), DX_NOW), 0);
        pair.far = dx_channel_close(pair.far);
        ck_assert_int_eq(dx_send(pair.near, "?", 1, DX_FOREVER), -EPIPE);
        may_wake_up = true;
        pthread_join(thread, NULL);
        dxi_os = &dxi_linux;
        ck_assert_int_eq(receiving.status, 0);
        ck_assert_uint_eq(receiving.done, 2);
        close_pair(&pair);
    }
}
END_TEST

static void *explain_often(void *context)
{
    struct work *work = context;

    for (unsigned i = 0; i < 3000; i++) {
        const char *text = dx_channel_explain(work->channel);

        if (text[0] != '\0' && strncmp(text, "the peer ", 9) != 0)
            work->status = 1;
        work->done++;
    }
    return NULL;
}

/* The sentence is the thread's own; asking for it disturbs nobody. */
EACH_TYPE(test_failures_in_two_threads_are_explained_whole)
{
    prepare();
    struct pair pair = open_pair(type);
    struct work explaining = {.channel = pair.near};

    fill_outgoing(pair.near, 0, 10000);
    expect_silence(pair.near);
    pthread_t thread = begin(explain_often, &explaining);

    for (unsigned i = 0; i < 1000; i++) {
        expect_silence(pair.near);
        ck_assert_int_eq(send_numbered(pair.near, 0, 10000, DX_NOW), -ETIMEDOUT);
    }
    pthread_join(thread, NULL);
    ck_assert_int_eq(explaining.status, 0);
    close_pair(&pair);
}

static void *explain_once(void *context)
{
    struct work *work = context;
    dx_message message;

    work->status = dx_recv(work->channel, &message, DX_NOW);
    if (strstr(dx_channel_explain(work->channel), "said nothing") != NULL)
        work->done++;
    return NULL;
}

EACH_TYPE(test_a_sentence_lasts_until_the_thread_asks_again)
{
    struct pair pair = open_pair(type);
    struct work other = {.channel = pair.far};

    ck_assert_int_eq(dx_send(pair.near, NULL, 1, DX_NOW), -EINVAL);
    const char *mine = dx_channel_explain(pair.near);

    pthread_join(begin(explain_once, &other), NULL);
    ck_assert_int_eq(other.status, -ETIMEDOUT);
    ck_assert_uint_eq(other.done, 1);
    ck_assert_ptr_nonnull(strstr(mine, "without its bytes"));
    close_pair(&pair);
}

HARNESS_MAIN(
    "threads", OF_EACH_TYPE_WITHIN(test_one_thread_sends_while_another_receives, 30),
    OF_EACH_TYPE_WITHIN(test_one_thread_sends_while_another_receives_messages_of_all_sizes, 30),
    OF_EACH_TYPE_WITHIN(test_one_thread_sends_while_another_receives_large_messages, 30),
    OF_EACH_TYPE_WITHIN(test_four_threads_converse, 30),
    OF_EACH_TYPE(test_a_sleeping_receiver_sends_what_a_deadline_has_left),
    OF_EACH_TYPE(test_a_sleeping_receiver_that_opened_the_channel_sends_what_a_deadline_has_left),
    OF_EACH_TYPE(
        test_a_sleeping_receiver_with_the_name_of_a_former_sender_sends_what_a_deadline_has_left),
    OF_EACH_TYPE(test_a_sender_takes_in_while_the_receiver_is_busy),
    OF_EACH_TYPE(test_a_violation_ends_both_waits),
    OF_EACH_TYPE(test_an_end_of_the_peer_ends_both_waits),
    TEST(test_a_sender_of_datagrams_takes_in_what_a_late_receiver_would_lose),
    OF_EACH_TYPE(test_failures_in_two_threads_are_explained_whole),
    OF_EACH_TYPE(test_a_sentence_lasts_until_the_thread_asks_again))
