/* SPDX-License-Identifier: MIT */
/*
 * A peer in the lane who misuses on purpose what it can write to: the words of the shared memory,
 * frames in the ring, words by the socket. Each is tried by the side that made the lane and by
 * the other. The channel says so within its deadline, and never does more for it than it would
 * for a bare socket.
 */
#include "lanes.h"

#include "wire/native.h"

#include <duplex/call.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* A conversation in the lane, and which of its ends is the hostile one. */
struct scene {
    struct pair pair;
    dx_channel *victim;
    dx_channel *villain;
};

static struct scene set_scene(dx_channel_type type, int maker_is_hostile)
{
    struct scene scene = {
        .pair = open_lane_with(&(dx_channel_options){.type = type, .descriptor_limit = 4}),
    };

    scene.victim = maker_is_hostile ? scene.pair.far : scene.pair.near;
    scene.villain = maker_is_hostile ? scene.pair.near : scene.pair.far;
    return scene;
}

static void end_scene(struct scene *scene)
{
    close_pair(&scene->pair);
}

/* Whoever receives is told, once and for all, and whoever sends, too. */
static void expect_broken_by(struct scene *scene, const char *what)
{
    uint64_t start = now_ms();

    expect_error(scene->victim, -EPROTO, what, 1000);
    expect_error(scene->victim, -EPROTO, NULL, DX_FOREVER);
    ck_assert_int_eq(dx_send(scene->victim, "x", 1, 1000), -EPROTO);
    ck_assert_uint_lt(now_ms() - start, 500 * (uint64_t)slowness());
    end_scene(scene);
}

static void expect_broken(struct scene *scene)
{
    expect_broken_by(scene, NULL);
}

EACH_LANE(test_a_tail_that_cannot_be_breaks_the_protocol)
{
    const uint64_t steps[] = {(uint64_t)1 << 20, (uint64_t)1 << 40, (uint64_t)1 << 63, UINT64_MAX,
                              (256 << 10) + 1};

    for (int role = 0; role < 2; role++)
        for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
            struct scene scene = set_scene(type, role);

            atomic_fetch_add(&words_of(scene.villain)->tail, steps[i]);
            expect_broken_by(&scene, "shared memory");
        }
}

EACH_LANE(test_what_was_said_before_a_lie_is_received_first)
{
    for (int role = 0; role < 2; role++) {
        struct scene scene = set_scene(type, role);

        ck_assert_int_eq(send_numbered(scene.villain, 1, 100, 0), 0);
        ck_assert_int_eq(send_numbered(scene.villain, 2, 100, 0), 0);
        expect_numbered(scene.victim, 1, 100, 1000);
        words_of(scene.villain)->tail--;
        expect_numbered(scene.victim, 2, 100, 1000);
        expect_broken(&scene);
    }
}

EACH_LANE(test_a_head_that_cannot_be_breaks_the_protocol)
{
    const uint64_t steps[] = {1, (uint64_t)1 << 20, (uint64_t)1 << 40, (uint64_t)1 << 63};

    for (int role = 0; role < 2; role++)
        for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
            struct scene scene = set_scene(type, role);

            atomic_store(&words_of(scene.villain)->head,
                         scene.victim->lane.out.published + steps[i]);
            ck_assert_int_eq(send_numbered(scene.victim, 1, 100, 1000), -EPROTO);
            expect_broken(&scene);
        }
}

/* Who sends a lot is told in the middle of it. */
EACH_LANE(test_a_head_that_goes_back_ends_a_send_that_waits)
{
    for (int role = 0; role < 2; role++) {
        struct scene scene = set_scene(type, role);

        ck_assert_int_eq(send_numbered(scene.victim, 1, 10, 1000), 0);
        atomic_store(&words_of(scene.villain)->head, scene.victim->lane.out.head - 1);
        ck_assert_int_eq(send_numbered(scene.victim, 2, MIB, 5000), -EPROTO);
        expect_broken(&scene);
    }
}

/* The base only says where in the ring the bytes lie: others, then, which are judged as any are. */
EACH_LANE(test_any_base_is_a_place_in_the_ring)
{
    for (int role = 0; role < 2; role++)
        for (unsigned bit = 0; bit < 64; bit++) {
            struct scene scene = set_scene(type, role);
            dx_message message;

            ck_assert_int_eq(send_numbered(scene.villain, 1, 64, 0), 0);
            words_of(scene.villain)->base ^= (uint64_t)1 << bit;
            int status = dx_recv(scene.victim, &message, 20);

            ck_assert_msg(status == 1 || status == -EPROTO || status == -ETIMEDOUT, "%d", status);
            end_scene(&scene);
        }
}

/* Requests for wake-ups that are there again at once cost a word each, and no more. */
EACH_LANE(test_a_peer_that_always_asks_for_wake_ups_gets_them)
{
    for (int role = 0; role < 2; role++) {
        struct scene scene = set_scene(type, role);

        for (unsigned i = 0; i < 5000; i++) {
            words_of(scene.villain)->asleep = 1 + i;
            words_of(scene.villain)->starved = UINT32_MAX - i;
            words_of(scene.villain)->cpu = i;
            ck_assert_int_eq(send_numbered(scene.victim, i, 100, 1000), 0);
            if (i % 3 == 0)
                carry(scene.villain, scene.victim, i, 3000);
            /* The words fill the socket, as nobody reads it; a send goes on all the same. */
            if (i % 100 == 99)
                for (unsigned j = i - 99; j <= i; j++)
                    expect_numbered(scene.villain, j, 100, 1000);
        }
        end_scene(&scene);
    }
}

/* Frames by the ring. */

EACH_LANE(test_frames_that_are_wrong_break_the_protocol_in_the_ring_too)
{
    const struct {
        uint32_t length;
        uint8_t kind;
        uint16_t descriptors;
        uint64_t id;
    } frames[] = {
        {0, 0, 0, 0},
        {0, 99, 0, 0},
        {UINT32_MAX, DXI_KIND_MESSAGE, 0, 0},
        {(16 << 20) + 1, DXI_KIND_MESSAGE, 0, 0},
        {0, DXI_KIND_MESSAGE, 0, 1},
        {0, DXI_KIND_MESSAGE, 5, 0},
        {0, DXI_KIND_REQUEST, 0, 0},
        {20, DXI_KIND_HELLO, 0, 0},
        {0, DXI_KIND_ACCEPT, 0, 0},
        {0, DXI_KIND_SWITCH, 0, 0},
        {0, DXI_KIND_DECLINE, 0, 0},
        {16, DXI_KIND_OFFER, 1, 0},
        {0, DXI_KIND_WAKE, 0, 0},
        {0, DXI_KIND_DESCRIPTORS, 1, 1},
        {4, DXI_KIND_END, 0, 0},
        {0, DXI_KIND_END, 1, 0},
        {0, DXI_KIND_END, 0, 1},
    };

    for (int role = 0; role < 2; role++)
        for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++) {
            struct scene scene = set_scene(type, role);

            forge_frame(scene.villain, frames[i].length, frames[i].kind, frames[i].descriptors,
                        frames[i].id);
            expect_broken(&scene);
        }
}

/* A length that changes between the look and the copy would be believed twice. */
EACH_LANE(test_a_frame_that_changes_while_it_is_read_is_one_or_the_other)
{
    for (int role = 0; role < 2; role++) {
        struct scene scene = set_scene(type, role);
        uint8_t *header = dxi_ring_place(&scene.villain->lane.out);
        dx_message message;

        forge_frame(scene.villain, 40, DXI_KIND_MESSAGE, 0, 0);
        expect_silence(scene.victim);
        /* It was copied: what stands there now is of no consequence. */
        dxi_store32(header, UINT32_MAX);
        forge(scene.villain, pattern(40), 40);
        ck_assert_int_eq(dx_recv(scene.victim, &message, 1000), 1);
        ck_assert_uint_eq(message.size, 40);
        dxi_store32(header, 0);
        memset(header + 16, 0, 40);
        ck_assert_mem_eq(message.data, pattern(40), 40);
        end_scene(&scene);
    }
}

EACH_LANE(test_a_frame_that_announces_descriptors_which_do_not_come)
{
    for (int role = 0; role < 2; role++) {
        struct scene scene = set_scene(type, role);

        forge_frame(scene.villain, 0, DXI_KIND_MESSAGE, 1, 0);
        expect_broken(&scene);
    }
}

/* Words by the socket. */

EACH_LANE(test_frames_by_the_socket_after_the_switch_break_the_protocol)
{
    for (int role = 0; role < 2; role++)
        for (uint8_t kind = 0; kind <= DXI_KIND_END + 1; kind++) {
            struct scene scene = set_scene(type, role);

            if (kind == DXI_KIND_WAKE) {
                end_scene(&scene);
                continue;
            }
            forge_by_socket(scene.villain, kind, 0, 0, NULL, 0);
            expect_broken(&scene);
        }
}

EACH_LANE(test_words_with_something_wrong_in_them_break_the_protocol)
{
    for (int role = 0; role < 2; role++)
        for (int which = 0; which < 8; which++) {
            struct scene scene = set_scene(type, role);
            int notes[2] = {make_note(1), make_note(2)};

            switch (which) {
            case 0: /* an id on WAKE */
                forge_by_socket(scene.villain, DXI_KIND_WAKE, 0, 1, NULL, 0);
                break;
            case 1: /* descriptors on WAKE */
                forge_by_socket(scene.villain, DXI_KIND_WAKE, 0, 0, notes, 1);
                break;
            case 2:
                forge_by_socket(scene.villain, DXI_KIND_WAKE, 1, 0, notes, 1);
                break;
            case 3: /* a number that is not the next one */
                forge_by_socket(scene.villain, DXI_KIND_DESCRIPTORS, 1, 2, notes, 1);
                break;
            case 4:
                forge_by_socket(scene.villain, DXI_KIND_DESCRIPTORS, 1, 0, notes, 1);
                break;
            case 5: /* none announced */
                forge_by_socket(scene.villain, DXI_KIND_DESCRIPTORS, 0, 1, notes, 1);
                break;
            case 6: /* none come */
                forge_by_socket(scene.villain, DXI_KIND_DESCRIPTORS, 1, 1, NULL, 0);
                break;
            default: /* more than are welcome */
                forge_by_socket(scene.villain, DXI_KIND_DESCRIPTORS, 5, 1, notes, 2);
                break;
            }
            close(notes[0]);
            close(notes[1]);
            expect_broken(&scene);
        }
}

/* More or less than announced, and a frame that says otherwise. */
EACH_LANE(test_descriptors_that_do_not_agree_with_their_frame_break_the_protocol)
{
    for (int role = 0; role < 2; role++)
        for (int which = 0; which < 4; which++) {
            struct scene scene = set_scene(type, role);
            int notes[2] = {make_note(1), make_note(2)};
            uint16_t announced = which == 0 ? 2 : 1;
            size_t passed = which == 1 ? 2 : 1;
            uint16_t framed = which == 2 ? 2 : which == 3 ? 4 : announced;

            forge_by_socket(scene.villain, DXI_KIND_DESCRIPTORS, announced, 1, notes, passed);
            forge_frame(scene.villain, 0, DXI_KIND_MESSAGE, framed, 0);
            close(notes[0]);
            close(notes[1]);
            expect_broken(&scene);
        }
}

/* Descriptors for which no frame comes are bounded, and closed. */
EACH_LANE(test_descriptors_without_a_frame_are_bounded)
{
    for (int role = 0; role < 2; role++) {
        struct scene scene = set_scene(type, role);
        size_t before = harness_open_descriptors();
        int note = make_note(1);
        uint64_t start = now_ms();
        int status = -ETIMEDOUT;

        for (uint64_t i = 1; i < 200 && status == -ETIMEDOUT; i++) {
            dx_message message;

            forge_by_socket(scene.villain, DXI_KIND_DESCRIPTORS, 1, i, &note, 1);
            status = dx_recv(scene.victim, &message, DX_NOW);
            ck_assert_uint_le(harness_open_descriptors(), before + 4 * 4 + 4);
        }
        ck_assert_int_eq(status, -EPROTO);
        ck_assert_uint_lt(now_ms() - start, 5000);
        close(note);
        end_scene(&scene);
    }
}

/* The kernel may cut a word anywhere; what is none is so however it is cut. */
EACH_LANE(test_a_word_in_pieces_is_a_word)
{
    for (int role = 0; role < 2; role++)
        for (size_t cut = 1; cut < DXI_HEADER_SIZE; cut++)
            for (int wrong = 0; wrong < 2; wrong++) {
                struct scene scene = set_scene(type, role);
                int fd = scene.villain->write_fd;
                uint8_t bytes[DXI_HEADER_SIZE] = {[4] = DXI_KIND_WAKE, [15] = (uint8_t)wrong};
                ssize_t rest = (ssize_t)(sizeof(bytes) - cut);

                ck_assert_int_eq(send(fd, bytes, cut, MSG_DONTWAIT), (ssize_t)cut);
                expect_silence(scene.victim);
                ck_assert_int_eq(send(fd, bytes + cut, (size_t)rest, MSG_DONTWAIT), rest);
                if (wrong) {
                    expect_broken(&scene);
                    continue;
                }
                carry(scene.villain, scene.victim, 1, 100);
                carry(scene.victim, scene.villain, 1, 100);
                end_scene(&scene);
            }
}

/* Each word of it is right: what is wrong is its size, and that is what is said. */
START_TEST(test_a_packet_of_words_that_is_too_large_is_called_so)
{
    static uint8_t packet[2048];

    dxi_lane_worth = 0;
    for (size_t at = 0; at < sizeof(packet); at += DXI_HEADER_SIZE)
        packet[at + 4] = DXI_KIND_WAKE;
    for (int role = 0; role < 2; role++) {
        struct scene scene = set_scene(DX_SEQPACKET, role);

        ck_assert_int_eq(send(scene.villain->write_fd, packet, sizeof(packet), MSG_DONTWAIT),
                         sizeof(packet));
        expect_broken_by(&scene, "a packet of more than 1024 bytes");
    }
}
END_TEST

EACH_LANE(test_a_socket_that_is_shut_ends_the_conversation)
{
    for (int role = 0; role < 2; role++) {
        struct scene scene = set_scene(type, role);

        ck_assert_int_eq(send_numbered(scene.villain, 1, 100, 0), 0);
        shutdown(scene.villain->write_fd, SHUT_RDWR);
        expect_numbered(scene.victim, 1, 100, 1000);
        expect_end(scene.victim, 1000);
        ck_assert_int_eq(dx_send(scene.victim, pattern(MIB), MIB, 1000), -EPIPE);
        end_scene(&scene);
    }
}

/* What nobody asked for is read and means nothing. */
struct flood {
    int fd;
    _Atomic bool over;
    _Atomic unsigned long sent;
};

static void *flood_with_wake_ups(void *context)
{
    static const uint8_t wake[DXI_HEADER_SIZE] = {[4] = DXI_KIND_WAKE};
    struct flood *flood = context;

    while (!flood->over) {
        if (send(flood->fd, wake, sizeof(wake), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            flood->sent++;
        else
            sched_yield();
    }
    return NULL;
}

EACH_LANE(test_a_flood_of_wake_ups_holds_nobody_past_a_deadline)
{
    for (int role = 0; role < 2; role++) {
        struct scene scene = set_scene(type, role);
        struct flood flood = {.fd = scene.villain->write_fd};
        pthread_t thread;
        dx_message message;
        uint64_t start = now_ms();

        ck_assert_int_eq(pthread_create(&thread, NULL, flood_with_wake_ups, &flood), 0);
        int status = dx_recv(scene.victim, &message, 200);

        ck_assert_int_eq(status, -ETIMEDOUT);
        ck_assert_int_eq(dx_recv(scene.victim, &message, DX_NOW), -ETIMEDOUT);
        ck_assert_int_eq(dx_channel_process(scene.victim), 0);
        /* More than the ring holds: waits for room in the flood. */
        ck_assert_int_eq(dx_send(scene.victim, pattern(MIB), MIB, 200), 0);
        ck_assert_int_eq(dx_send(scene.victim, "x", 1, 200), -ETIMEDOUT);
        ck_assert_int_eq(dx_call(scene.victim, "x", 1, &message, 200), -ETIMEDOUT);
        ck_assert_uint_lt(now_ms() - start, 800 + 1000 * (uint64_t)slowness());
        flood.over = true;
        pthread_join(thread, NULL);
        ck_assert_uint_gt(flood.sent, 100);
        end_scene(&scene);
    }
}

/* Another conversation of this process goes on, whatever becomes of the one. */
EACH_LANE(test_a_broken_lane_is_nobody_elses)
{
    struct pair other = open_lane(type);

    for (int role = 0; role < 2; role++) {
        struct scene scene = set_scene(type, role);

        memset(words_of(scene.villain), 0xff, sizeof(struct dxi_ring_side));
        carry(other.near, other.far, 1, 5000);
        expect_broken(&scene);
        carry(other.far, other.near, 1, 5000);
    }
    close_pair(&other);
}

HARNESS_MAIN("lane_hostile", OF_EACH_LANE(test_a_tail_that_cannot_be_breaks_the_protocol),
             OF_EACH_LANE(test_what_was_said_before_a_lie_is_received_first),
             OF_EACH_LANE(test_a_head_that_cannot_be_breaks_the_protocol),
             OF_EACH_LANE(test_a_head_that_goes_back_ends_a_send_that_waits),
             OF_EACH_LANE(test_any_base_is_a_place_in_the_ring),
             OF_EACH_LANE(test_a_peer_that_always_asks_for_wake_ups_gets_them),
             OF_EACH_LANE(test_frames_that_are_wrong_break_the_protocol_in_the_ring_too),
             OF_EACH_LANE(test_a_frame_that_changes_while_it_is_read_is_one_or_the_other),
             OF_EACH_LANE(test_a_frame_that_announces_descriptors_which_do_not_come),
             OF_EACH_LANE(test_frames_by_the_socket_after_the_switch_break_the_protocol),
             OF_EACH_LANE(test_words_with_something_wrong_in_them_break_the_protocol),
             OF_EACH_LANE(test_descriptors_that_do_not_agree_with_their_frame_break_the_protocol),
             OF_EACH_LANE(test_descriptors_without_a_frame_are_bounded),
             OF_EACH_LANE(test_a_word_in_pieces_is_a_word),
             TEST(test_a_packet_of_words_that_is_too_large_is_called_so),
             OF_EACH_LANE(test_a_socket_that_is_shut_ends_the_conversation),
             OF_EACH_LANE(test_a_flood_of_wake_ups_holds_nobody_past_a_deadline),
             OF_EACH_LANE(test_a_broken_lane_is_nobody_elses))
