/* SPDX-License-Identifier: MIT */
/*
 * See common.h. A scene from its beginning to its end, and what must hold of it.
 */
#include "common.h"

#include "channel/lanes.h"
#include "channel/meter.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    STIRRED_MAX = 2000, /* turns of the loop for nothing */
    ORPHAN_MS = 500,    /* what was killed is dead by then */
};

/* What must be the same afterwards. */
struct footprint {
    size_t descriptors;
    size_t mappings;
    long blocks;
};

static struct footprint look_around(void)
{
    return (struct footprint){harness_open_descriptors(), lane_mappings(), meter.blocks};
}

/* A scene, from its beginning to its end. */

static void spawn(dx_process **ret, const char *program, const char *act, const char *more,
                  dx_process_options *options)
{
    dx_failure failure = {0};
    char path[256];
    char *argv[] = {path, (char *)act, (char *)more, NULL};

    options->failure = &failure;
    snprintf(path, sizeof(path), "%s/%s", DUPLEX_TEST_PROGRAMS, program);
    int status = dx_spawn(ret, argv, options);

    ck_assert_msg(status == 0, "%d: %s", status, failure.text);
}

static void open_bystander(struct scene *scene)
{
    /* On the socket, so that no mapping comes and goes. */
    dx_process_options options = {.channel = {.socket_only = true}};

    spawn(&scene->bystander, "child_bystander", NULL, NULL, &options);
    scene->beside = dx_process_channel(scene->bystander);
    rally(scene);
}

/* It must still behave, and be able to leave. */
static void close_bystander(struct scene *scene)
{
    dx_exit exit;

    rally(scene);
    ck_assert_int_eq(dx_channel_end(scene->beside, PATIENCE_MS), 0);
    ck_assert_int_eq(dx_process_wait(scene->bystander, &exit, PATIENCE_MS), 0);
    ck_assert_msg(exit.kind == DX_EXIT_CODE && exit.code == 0, "the bystander: %s", exit.text);
    scene->bystander = dx_process_close(scene->bystander);
}

/* Start the child, and have it begin when it is where it is to misbehave. */
static void open_scene(struct scene *scene)
{
    const struct misdeed *misdeed = scene->misdeed;
    bool fast = (scene->way & BY_LANE) != 0;
    dx_process_options options = {
        .channel = {.type =
                        (scene->way & (BY_STREAM | BY_FAST_STREAM)) != 0 ? DX_STREAM : DX_SEQPACKET,
                    .message_limit = SMALL_LIMIT,
                    .descriptor_limit = misdeed->descriptor_limit,
                    .request_limit = 16},
    };

    dxi_lane_worth = 0;
    if (misdeed->prepare != NULL)
        misdeed->prepare(&options);
    spawn(&scene->process, misdeed->program ? misdeed->program : "child_speaker", misdeed->act,
          fast ? "lane" : NULL, &options);
    scene->channel = dx_process_channel(scene->process);
    if (misdeed->at_once)
        return;
    for (uint64_t end = now_ms() + PATIENCE_MS; fast && now_ms() < end;) {
        dx_message message;

        if (dx_channel_is_fast(scene->channel) == 1)
            break;
        /* A lane is offered in a conversation that goes on. */
        ck_assert_int_eq(dx_send(scene->channel, "", 0, PATIENCE_MS), 0);
        ck_assert_int_eq(dx_recv(scene->channel, &message, 10), -ETIMEDOUT);
    }
    ck_assert_int_eq(dx_channel_is_fast(scene->channel), fast);
    ck_assert_int_eq(dx_send(scene->channel, "begin", 5, PATIENCE_MS), 0);
}

/* The next child of this process but for the bystander; 0: there is none. */
static pid_t find_child(const struct scene *scene)
{
    pid_t bystander = dx_process_pid(scene->bystander);
    FILE *list = fopen("/proc/thread-self/children", "re");
    int found = 0;

    if (list == NULL)
        return 0;
    while (fscanf(list, "%d", &found) == 1 && found == bystander)
        found = 0;
    fclose(list);
    return found == bystander ? 0 : found;
}

/*
 * Descendants of the child that outlived it are ours now. Those of a group that was killed are dead, or
 * will be at once.
 */
static void end_orphans(struct scene *scene)
{
    unsigned left = 0;
    pid_t orphan;

    while ((orphan = find_child(scene)) > 0) {
        bool dead = false;

        for (int i = 0; i < ORPHAN_MS && !dead; i += 5) {
            dead = waitpid(orphan, NULL, WNOHANG) == orphan;
            if (!dead && scene->misdeed->leaves > 0)
                break;
            if (!dead)
                sleep_ms(5);
        }
        if (dead)
            continue;
        left++;
        kill(orphan, SIGKILL);
        ck_assert_int_eq(waitpid(orphan, NULL, 0), orphan);
    }
    ck_assert_msg(left <= scene->misdeed->leaves, "the child left %u descendants", left);
}

static void close_scene(struct scene *scene)
{
    const char *ends = scene->misdeed->ends;
    dx_exit exit;
    uint64_t begun;

    if (ends != NULL) {
        ck_assert_int_eq(dx_process_wait(scene->process, &exit, PATIENCE_MS), 0);
        ck_assert_str_eq(exit.text, ends);
    }
    begun = begin_call();
    int stopped = dx_process_stop(scene->process, 0, &exit);

    end_call(scene, "dx_process_stop()", begun, 0);
    ck_assert_msg(stopped == 0, "%d: %s", stopped, dx_process_explain(scene->process));
    ck_assert_int_ne(exit.kind, DX_EXIT_UNKNOWN);
    begun = begin_call();
    scene->process = dx_process_close(scene->process);
    end_call(scene, "dx_process_close()", begun, 0);
    end_orphans(scene);
}

/* Whether a sentence is what it should be; "…" stands for anything. */
static bool is_said(const char *text, const char *wanted)
{
    static const char anything[] = "…";
    const char *gap = strstr(wanted, anything);

    if (gap == NULL)
        return strcmp(text, wanted) == 0;
    size_t head = (size_t)(gap - wanted);
    size_t tail = strlen(gap) - strlen(anything);

    return strlen(text) >= head + tail && strncmp(text, wanted, head) == 0 &&
           strcmp(text + strlen(text) - tail, gap + strlen(anything)) == 0;
}

static const char *sentence_of(const struct scene *scene)
{
    return scene->misdeed->says ? scene->misdeed->says : "";
}

bool is_as_documented(const struct scene *scene)
{
    return scene->answer == scene->misdeed->answer && is_said(scene->text, sentence_of(scene));
}

static void judge(struct scene *scene, size_t cost)
{
    const struct misdeed *misdeed = scene->misdeed;
    const char *says = sentence_of(scene);

    ck_assert_msg(scene->answer == misdeed->answer, "by %d, %s: %d instead of %d: %s",
                  (int)scene->way, scene->looping ? "in a loop" : "waiting", scene->answer,
                  misdeed->answer, scene->text);
    ck_assert_msg(is_said(scene->text, says), "'%s' instead of '%s'", scene->text, says);
    ck_assert_msg(misdeed->messages == UNTIL_IT_ENDS || misdeed->messages == scene->messages,
                  "%d messages came instead of %d", scene->messages, misdeed->messages);
    ck_assert_msg(cost <= COST_MAX, "it took %zu bytes of memory", cost);
    ck_assert_msg(misdeed->stirs || scene->stirred < STIRRED_MAX,
                  "the loop was woken %u times for nothing", scene->stirred);
}

static void compare(const struct footprint *before)
{
    struct footprint after = look_around();

    ck_assert_uint_eq(after.descriptors, before->descriptors);
    ck_assert_uint_eq(after.mappings, before->mappings);
    ck_assert_int_eq(after.blocks, before->blocks);
}

static struct scene play(const struct scene *frame)
{
    struct scene scene = *frame;

    meter_restart();
    struct footprint before = look_around();
    size_t bytes = meter.bytes;

    if (scene.misdeed->play != NULL) {
        scene.misdeed->play(&scene);
        judge(&scene, meter.peak - bytes);
        rally(&scene);
        compare(&before);
        return scene;
    }
    open_scene(&scene);
    if (!scene.looping)
        rally(&scene);
    converse(&scene);
    judge(&scene, meter.peak - bytes);
    if (scene.misdeed->then != NULL)
        scene.misdeed->then(&scene);
    rally(&scene);
    close_scene(&scene);
    compare(&before);
    return scene;
}

static void meet_over(struct scene *frame, enum way way, bool looping)
{
    struct scene last = {0};

    for (int i = 0; i < TRIES; i++) {
        frame->way = way;
        frame->looping = looping;
        last = play(frame);
        frame->rounds = last.rounds;
        frame->rested_ms = last.rested_ms;
        if (last.late == NULL)
            return;
    }
    ck_abort_msg("%s was %d ms late", last.late, last.late_ms);
}

static const char *const ways[] = {"STREAM", "SEQPACKET", "lane by STREAM", "lane by SEQPACKET"};

/* In words. */
static const char *describe_ways(unsigned over)
{
    static char text[80];

    text[0] = '\0';
    if (over == ANY_WAY)
        return "any";
    if (over == BY_SOCKET || over == BY_LANE)
        return over == BY_SOCKET ? "socket" : "lane";
    for (int i = 0; i < 4; i++) {
        if ((over & 1U << i) != 0) {
            if (text[0] != '\0')
                strcat(text, ", ");
            strcat(text, ways[i]);
        }
    }
    return text;
}

static const char *const calls[] = {
    [RECEIVES] = "dx_recv",
    [SENDS] = "dx_send",
    [ASKS] = "dx_call",
    [PASSES] = "dx_send_message",
};

void meet(const struct misdeed *misdeed)
{
    struct scene frame = {.misdeed = misdeed};
    unsigned at = misdeed->at > 0 ? misdeed->at : AT_WAITING | AT_LOOPING;

    expect_in_document(misdeed->does, describe_ways(misdeed->over),
                       misdeed->call ? misdeed->call : calls[misdeed->manner], misdeed->answer,
                       misdeed->says);
    const char *reason = misdeed->needs != NULL ? misdeed->needs() : NULL;

    if (reason != NULL)
        HARNESS_SKIP(reason);
    meter_install();
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    open_bystander(&frame);
    for (int i = 0; i < 4; i++) {
        if ((misdeed->over & 1U << i) == 0)
            continue;
        if ((at & AT_WAITING) != 0)
            meet_over(&frame, (enum way)(1 << i), false);
        if ((at & AT_LOOPING) != 0)
            meet_over(&frame, (enum way)(1 << i), true);
    }
    close_bystander(&frame);
    ck_assert_int_eq(meter.blocks, 0);
}
