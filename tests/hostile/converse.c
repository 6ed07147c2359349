/* SPDX-License-Identifier: MIT */
/*
 * See common.h. How the parent converses with a child that misbehaves, and at the same time with one that
 * does not; and who was late.
 */
#include "common.h"

#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PENDING = 1 << 16, /* no answer yet */
    STEP_MAX = 64,     /* messages in one turn of the loop, so that others have theirs */
    REST_MS = 2,       /* between two questions to the bystander */
};

int wait_ms_of(const struct scene *scene)
{
    /* Who waits in vain need not wait longer where everything takes longer. */
    return scene->misdeed->answer == -ETIMEDOUT ? (int)WAIT_MS : LONG_WAIT_MS * slowness();
}

/*
 * How long this process, or a child, was ready to run and had no processor: that is the machine's doing. 0
 * where the kernel does not say.
 */
static uint64_t starved_ms(pid_t pid)
{
    unsigned long long ran = 0, waited = 0;
    char path[64];

    if (pid == 0)
        snprintf(path, sizeof(path), "/proc/thread-self/schedstat");
    else
        snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &ran, &waited) != 2)
        waited = 0;
    fclose(file);
    return waited / 1000000;
}

/* Where no more files can be opened the later one is 0. */
static int grown_ms(uint64_t before_ms, uint64_t after_ms)
{
    return after_ms > before_ms ? (int)(after_ms - before_ms) : 0;
}

/* How long it takes just now to make a process and to see its end, several times more than it should. */
static int measure_machine(void)
{
    uint64_t begun = now_ms();

    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(0);
        waitpid(pid, NULL, 0);
    }
    return (int)(now_ms() - begun);
}

static void note_late(struct scene *scene, const char *what, uint64_t took_ms, int allowed_ms)
{
    int late = (int)took_ms - allowed_ms;

    if (late <= LATE_MS * slowness() || late <= scene->late_ms)
        return;
    late -= 4 * measure_machine();
    if (late <= LATE_MS * slowness())
        return;
    scene->late_ms = late;
    scene->late = what;
}

static uint64_t starved_before_ms;

uint64_t begin_call(void)
{
    starved_before_ms = starved_ms(0);
    return now_ms();
}

void end_call(struct scene *scene, const char *call, uint64_t begun, int timeout_ms)
{
    note_late(scene, call, now_ms() - begun,
              timeout_ms + grown_ms(starved_before_ms, starved_ms(0)));
}

/* The bystander's answer: both of us may have been kept from it. */
static uint64_t both_starved_ms(const struct scene *scene)
{
    return starved_ms(0) + starved_ms(dx_process_pid(scene->bystander));
}

static void note_answer(struct scene *scene)
{
    note_late(scene, "the bystander", now_ms() - scene->asked_ms,
              grown_ms(scene->starved_ms, both_starved_ms(scene)));
}

int keep_answer(struct scene *scene, int answer, const char *text)
{
    scene->answer = answer;
    snprintf(scene->text, sizeof(scene->text), "%s",
             answer >= 0 ? ""
             : text      ? text
                         : dx_channel_explain(scene->channel));
    return answer;
}

/* The bystander. */

static void ask(struct scene *scene)
{
    int status = send_numbered(scene->beside, scene->rounds, 100, DX_NOW);

    ck_assert_msg(status == 0, "the bystander cannot be asked: %d: %s", status,
                  dx_channel_explain(scene->beside));
    scene->asked_ms = now_ms();
    scene->starved_ms = both_starved_ms(scene);
}

static void take_answer(struct scene *scene)
{
    dx_message message;
    int status = dx_recv(scene->beside, &message, DX_NOW);

    ck_assert_msg(status == 1 || status == -ETIMEDOUT, "the bystander: %d: %s", status,
                  dx_channel_explain(scene->beside));
    if (status != 1 && (scene->asked_ms == 0 || now_ms() - scene->asked_ms <= LATE_MS))
        return;
    note_answer(scene);
    if (status != 1)
        return;
    ck_assert(is_numbered(&message, scene->rounds, 100));
    scene->rounds++;
    scene->asked_ms = 0;
    scene->rested_ms = now_ms();
}

void rally(struct scene *scene)
{
    if (scene->asked_ms == 0)
        ask(scene);
    expect_numbered(scene->beside, scene->rounds, 100, PATIENCE_MS);
    note_answer(scene);
    scene->rounds++;
    scene->asked_ms = 0;
}

/* The event loop, of the misbehaving child and the bystander. */

enum { READ, WRITE, LIFE, BESIDE, PLACES };

/* Where to poll, and for how long at most. */
static int prepare(struct scene *scene, struct pollfd fds[PLACES], int left_ms)
{
    int events = dx_channel_events(scene->channel);
    int timeout_ms = dx_channel_timeout_ms(scene->channel);

    fds[READ] = (struct pollfd){-1, POLLIN, 0};
    fds[WRITE] = (struct pollfd){-1, POLLOUT, 0};
    fds[LIFE] = (struct pollfd){-1, POLLIN, 0};
    fds[BESIDE] =
        (struct pollfd){dx_channel_fd(scene->beside), (short)dx_channel_events(scene->beside), 0};
    if ((events & POLLIN) != 0)
        fds[READ].fd = dx_channel_fd(scene->channel);
    if ((events & POLLOUT) != 0)
        fds[WRITE].fd = dx_channel_write_fd(scene->channel);
    if (dx_process_events(scene->process) != 0)
        fds[LIFE].fd = dx_process_fd(scene->process);
    if (timeout_ms < 0 || timeout_ms > left_ms)
        timeout_ms = left_ms;
    return timeout_ms > REST_MS ? (int)REST_MS : timeout_ms;
}

/* One turn. True if something was there from the child. */
static bool turn(struct scene *scene, int left_ms)
{
    struct pollfd fds[PLACES];
    uint64_t begun = begin_call();

    if (scene->asked_ms == 0 && now_ms() - scene->rested_ms >= REST_MS)
        ask(scene);
    int timeout_ms = prepare(scene, fds, left_ms);

    end_call(scene, "what the loop is to poll", begun, 0);
    ck_assert_int_ge(poll(fds, PLACES, timeout_ms), 0);
    begun = begin_call();
    if (fds[LIFE].revents != 0)
        ck_assert_int_ge(dx_process_process(scene->process), 0);
    end_call(scene, "dx_process_process()", begun, 0);
    begun = begin_call();
    ck_assert_int_ge(dx_channel_process(scene->channel), 0);
    end_call(scene, "dx_channel_process()", begun, 0);
    ck_assert_int_ge(dx_channel_process(scene->beside), 0);
    take_answer(scene);
    return fds[READ].revents != 0 || fds[WRITE].revents != 0;
}

/* Each step makes calls that must not wait. An answer, or PENDING. */
typedef int step_function(struct scene *scene);

static int loop(struct scene *scene, step_function *step)
{
    int wait_ms = scene->misdeed->answer == 1 ? moment_ms(WAIT_MS) : wait_ms_of(scene);
    uint64_t end = now_ms() + (uint64_t)wait_ms;

    for (;;) {
        int before = scene->messages;
        int status = step(scene);
        uint64_t now = now_ms();

        if (status != PENDING)
            return status;
        if (now >= end && scene->misdeed->answer == 1 && scene->messages > 0)
            return keep_answer(scene, 1, NULL);
        /* The child, or a sender that is to be refused, may not have come so far yet. */
        if (now >= end && (is_as_documented(scene) || now >= end + PATIENCE_MS))
            return scene->answer;
        int left = now < end ? (int)(end - now) : 0;
        if (turn(scene, left) && scene->messages == before)
            scene->stirred++;
    }
}

/* What a received message means to who calls. */
static int judge_answer(struct scene *scene, const dx_message *message)
{
    char text[DX_TEXT_SIZE];
    dx_message again;

    scene->messages++;
    if (message->id == 0 || message->id != scene->call_id)
        return PENDING;
    /* Why the conversation is over the next receive says. */
    if (message->code == -EPROTO)
        return keep_answer(scene, dx_recv(scene->channel, &again, DX_NOW), NULL);
    snprintf(text, sizeof(text), "%.*s", (int)message->size, (const char *)message->data);
    return keep_answer(scene, message->kind == DX_FAILED ? message->code : 1, text);
}

static int step_receive(struct scene *scene)
{
    dx_message message;

    for (int i = 0; i < STEP_MAX; i++) {
        uint64_t begun = begin_call();
        int status = dx_recv(scene->channel, &message, DX_NOW);

        end_call(scene, "dx_recv()", begun, 0);
        keep_answer(scene, status, NULL);
        if (status == -ETIMEDOUT)
            return PENDING;
        if (status != 1)
            return status;
        if (judge_answer(scene, &message) != PENDING)
            return scene->answer;
    }
    return PENDING;
}

static int step_send(struct scene *scene)
{
    for (int i = 0; i < STEP_MAX; i++) {
        uint64_t begun = begin_call();
        int status = send_numbered(scene->channel, 0, 1000, DX_NOW);

        end_call(scene, "dx_send()", begun, 0);
        keep_answer(scene, status, NULL);
        if (status != 0)
            return status == -ETIMEDOUT ? PENDING : status;
    }
    return PENDING;
}

int pass(struct scene *scene, int timeout_ms)
{
    int note = make_note(1);
    dx_message message = with_descriptors("x", 1, &note, 1);
    uint64_t begun = begin_call();
    int status = dx_send_message(scene->channel, &message, timeout_ms);

    end_call(scene, "dx_send_message()", begun, timeout_ms);
    /* It moves on success only. */
    ck_assert_int_eq(note >= 0, status < 0);
    if (note >= 0)
        close(note);
    return keep_answer(scene, status, NULL);
}

static int step_pass(struct scene *scene)
{
    for (int i = 0; i < STEP_MAX; i++) {
        int status = pass(scene, DX_NOW);

        if (status != 0)
            return status == -ETIMEDOUT ? PENDING : status;
    }
    return PENDING;
}

static int call_looping(struct scene *scene)
{
    int wait_ms = wait_ms_of(scene);
    int status = dx_call_start(scene->channel, "?", 1, &scene->call_id, wait_ms / 2);

    ck_assert_msg(status == 0, "%d: %s", status, dx_channel_explain(scene->channel));
    return loop(scene, step_receive);
}

/* The same by calls that wait. */

static int receive_waiting(struct scene *scene)
{
    int wait_ms = wait_ms_of(scene);
    uint64_t end = now_ms() + (uint64_t)moment_ms(WAIT_MS);
    uint64_t patience = now_ms() + PATIENCE_MS;
    dx_message message;

    for (;;) {
        uint64_t begun = begin_call();
        int status = dx_recv(scene->channel, &message, wait_ms);

        end_call(scene, "dx_recv()", begun, wait_ms);
        keep_answer(scene, status, NULL);
        /* The child may not have begun yet. */
        if (status == -ETIMEDOUT && !is_as_documented(scene) && now_ms() < patience)
            continue;
        if (status != 1 || judge_answer(scene, &message) != PENDING)
            return scene->answer;
        if (scene->misdeed->answer == 1 && now_ms() >= end)
            return 1;
    }
}

int receive_all(struct scene *scene)
{
    return scene->looping ? loop(scene, step_receive) : receive_waiting(scene);
}

static int send_waiting(struct scene *scene)
{
    int wait_ms = wait_ms_of(scene);
    int status = 0;

    while (status == 0) {
        uint64_t begun = begin_call();

        status = send_numbered(scene->channel, 0, 1000, wait_ms);
        end_call(scene, "dx_send()", begun, wait_ms);
    }
    return keep_answer(scene, status, NULL);
}

static int pass_waiting(struct scene *scene)
{
    int status = 0;

    while (status == 0)
        status = pass(scene, wait_ms_of(scene));
    return status;
}

static int call_waiting(struct scene *scene)
{
    int wait_ms = wait_ms_of(scene);
    dx_message reply;
    uint64_t begun = begin_call();
    int status = dx_call(scene->channel, "?", 1, &reply, wait_ms);

    end_call(scene, "dx_call()", begun, wait_ms);
    return keep_answer(scene, status, NULL);
}

void converse(struct scene *scene)
{
    const struct misdeed *misdeed = scene->misdeed;

    if (misdeed->meet != NULL) {
        misdeed->meet(scene);
        return;
    }
    switch (misdeed->manner) {
    case RECEIVES:
        receive_all(scene);
        return;
    case SENDS:
        scene->looping ? loop(scene, step_send) : send_waiting(scene);
        return;
    case PASSES:
        scene->looping ? loop(scene, step_pass) : pass_waiting(scene);
        return;
    case ASKS:
        scene->looping ? call_looping(scene) : call_waiting(scene);
        return;
    }
}
