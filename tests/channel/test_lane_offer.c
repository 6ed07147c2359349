/* SPDX-License-Identifier: MIT */
/*
 * The words by which a lane begins, and the memory that comes with them, from a stranger who says
 * them by hand. Memory that could kill whoever touches it is declined, and the conversation goes
 * on.
 */
#include "lanes.h"
#include "meter.h"
#include "stranger.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RING = 64 << 10 };

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static off_t region_size(void)
{
    return (off_t)(page_size() + 2 * (size_t)RING);
}

/* A stranger that can take part in a lane. */
static struct stranger meet_maker(dx_channel_type type, const dx_channel_options *options)
{
    struct stranger stranger = meet_stranger(type, options);
    struct dxi_hello hello = {
        .version = DXI_VERSION,
        .features = DXI_FEATURE_LANE,
        .descriptor_limit = 8,
        .message_limit = MIB,
        .request_limit = 8,
    };
    uint8_t payload[DXI_HELLO_SIZE];

    dxi_hello_encode(&hello, payload);
    ck_assert_int_eq(say_frame(&stranger, &(struct header){DXI_HELLO_SIZE, DXI_KIND_HELLO, 0, 0, 0},
                               payload, sizeof(payload), NULL, 0),
                     0);
    return stranger;
}

static void say_offer(struct stranger *stranger, int fd, uint32_t version, uint64_t ring_size)
{
    struct dxi_offer offer = {version, sizeof(struct dxi_ring_control), ring_size};
    uint8_t payload[DXI_OFFER_SIZE];

    dxi_offer_encode(&offer, payload);
    ck_assert_int_eq(say_frame(stranger, &(struct header){DXI_OFFER_SIZE, DXI_KIND_OFFER, 0, 1, 0},
                               payload, sizeof(payload), &fd, 1),
                     0);
}

static void say_word(struct stranger *stranger, uint8_t kind)
{
    ck_assert_int_eq(say_frame(stranger, &(struct header){0, kind, 0, 0, 0}, NULL, 0, NULL, 0), 0);
}

/* What the channel says next. */
static void expect_word(struct stranger *stranger, uint8_t kind)
{
    struct header header;
    uint8_t payload[1024];

    expect_silence(stranger->channel);
    ck_assert_int_ge(hear(stranger, &header, payload, sizeof(payload)), 0);
    ck_assert_uint_eq(header.kind, kind);
    ck_assert_uint_eq(header.length, 0);
}

static void expect_conversation(struct stranger *stranger)
{
    struct header header;
    uint8_t payload[1024];

    for (int i = 0; i < 50; i++) {
        say_message(stranger, "to you");
        expect_text(stranger->channel, "to you");
        ck_assert_int_eq(dx_send(stranger->channel, "to me", 5, 1000), 0);
        ck_assert_int_eq(hear(stranger, &header, payload, sizeof(payload)), 5);
        ck_assert_uint_eq(header.kind, DXI_KIND_MESSAGE);
    }
    ck_assert_int_eq(dx_channel_is_fast(stranger->channel), 0);
    ck_assert_uint_eq(lane_mappings(), 0);
}

/* This memory is declined; takes the descriptor. */
static void expect_declined(dx_channel_type type, int fd, uint32_t version, uint64_t ring_size)
{
    struct stranger stranger = meet_maker(type, &(dx_channel_options){0});

    say_offer(&stranger, fd, version, ring_size);
    close(fd);
    expect_word(&stranger, DXI_KIND_DECLINE);
    expect_conversation(&stranger);
    part(&stranger);
}

static int make_memfd(unsigned flags, off_t size, int seals)
{
    int fd = memfd_create("other", MFD_CLOEXEC | flags);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, size), 0);
    if (seals != 0)
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

EACH_LANE(test_memory_that_is_not_sealed_is_declined)
{
    const int seals[] = {0,
                         F_SEAL_SHRINK,
                         F_SEAL_GROW,
                         F_SEAL_SEAL,
                         F_SEAL_SHRINK | F_SEAL_GROW,
                         F_SEAL_GROW | F_SEAL_SEAL,
                         F_SEAL_SHRINK | F_SEAL_SEAL,
                         SEALS | F_SEAL_WRITE};

    for (size_t i = 0; i < sizeof(seals) / sizeof(*seals); i++)
        expect_declined(type, make_memfd(MFD_ALLOW_SEALING, region_size(), seals[i]),
                        DXI_LANE_VERSION, RING);
    expect_declined(type, make_memfd(0, region_size(), 0), DXI_LANE_VERSION, RING);
}

EACH_LANE(test_memory_of_another_size_is_declined)
{
    const off_t sizes[] = {0,
                           1,
                           region_size() - 1,
                           region_size() + 1,
                           region_size() - (off_t)page_size(),
                           region_size() + (off_t)page_size(),
                           RING};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        expect_declined(type, make_memfd(MFD_ALLOW_SEALING, sizes[i], SEALS), DXI_LANE_VERSION,
                        RING);
}

EACH_LANE(test_sizes_that_cannot_be_are_declined)
{
    const uint64_t sizes[] = {0,
                              1,
                              RING - 1,
                              RING + 1,
                              RING / 2,
                              RING * 3,
                              DX_RING_SIZE_MAX * 2,
                              (uint64_t)1 << 62,
                              (uint64_t)1 << 63,
                              UINT64_MAX};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        expect_declined(type, make_memfd(MFD_ALLOW_SEALING, region_size(), SEALS), DXI_LANE_VERSION,
                        sizes[i]);
    /* Nor with memory that is as large as that. */
    expect_declined(type,
                    make_memfd(MFD_ALLOW_SEALING, (off_t)(page_size() + 6 * (size_t)RING), SEALS),
                    DXI_LANE_VERSION, RING * 3);
    expect_declined(type, make_memfd(MFD_ALLOW_SEALING, (off_t)(page_size() + RING), SEALS),
                    DXI_LANE_VERSION, RING / 2);
    expect_declined(type, make_memfd(MFD_ALLOW_SEALING, region_size(), SEALS), DXI_LANE_VERSION + 1,
                    RING);
    expect_declined(type, make_memfd(MFD_ALLOW_SEALING, region_size(), SEALS), 0, RING);
}

EACH_LANE(test_what_is_no_such_memory_is_declined)
{
    char name[] = "/tmp/duplex-test-XXXXXX";
    int pipes[2];
    int fd = mkostemp(name, O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    unlink(name);
    ck_assert_int_eq(ftruncate(fd, region_size()), 0);
    expect_declined(type, fd, DXI_LANE_VERSION, RING);
    expect_declined(type, open("/dev/zero", O_RDWR | O_CLOEXEC), DXI_LANE_VERSION, RING);
    expect_declined(type, open("/", O_RDONLY | O_CLOEXEC), DXI_LANE_VERSION, RING);
    expect_declined(type, open("/", O_PATH | O_CLOEXEC), DXI_LANE_VERSION, RING);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    expect_declined(type, pipes[0], DXI_LANE_VERSION, RING);
    expect_declined(type, pipes[1], DXI_LANE_VERSION, RING);
    raw_pair(DX_STREAM, pipes);
    expect_declined(type, pipes[0], DXI_LANE_VERSION, RING);
    close(pipes[1]);
}

EACH_LANE(test_memory_that_can_only_be_read_is_declined)
{
    int fd = make_memfd(MFD_ALLOW_SEALING, region_size(), SEALS);
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    expect_declined(type, open(path, O_RDONLY | O_CLOEXEC), DXI_LANE_VERSION, RING);
    close(fd);
}

EACH_LANE(test_huge_pages_which_may_be_absent_are_declined)
{
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

    if (fd < 0)
        HARNESS_SKIP("this kernel has no memfd of huge pages");
    ck_assert_int_eq(ftruncate(fd, 2 << 20), 0);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
    expect_declined(type, fd, DXI_LANE_VERSION, RING);
}

/* The stranger's own view of a region that it made by hand, as docs/wire.md has it. */
struct own {
    int fd;
    uint8_t *memory;
    struct dxi_ring_side *mine, *peer;
};

static struct own make_own(void)
{
    struct own own = {.fd = make_memfd(MFD_ALLOW_SEALING, region_size(), SEALS)};

    own.memory = mmap(NULL, (size_t)region_size(), PROT_READ | PROT_WRITE, MAP_SHARED, own.fd, 0);
    ck_assert_ptr_ne(own.memory, MAP_FAILED);
    own.mine = &((struct dxi_ring_control *)(void *)own.memory)->maker;
    own.peer = &((struct dxi_ring_control *)(void *)own.memory)->acceptor;
    return own;
}

static void free_own(struct own *own)
{
    munmap(own->memory, (size_t)region_size());
    close(own->fd);
}

/* A stranger in the lane. */
static struct stranger meet_in_lane(dx_channel_type type, struct own *own)
{
    struct stranger stranger = meet_maker(type, &(dx_channel_options){.descriptor_limit = 2});

    *own = make_own();
    say_offer(&stranger, own->fd, DXI_LANE_VERSION, RING);
    expect_word(&stranger, DXI_KIND_ACCEPT);
    say_word(&stranger, DXI_KIND_SWITCH);
    expect_silence(stranger.channel);
    ck_assert_int_eq(dx_channel_is_fast(stranger.channel), 1);
    return stranger;
}

EACH_LANE(test_a_stranger_can_take_part_by_the_document)
{
    struct own own;
    struct stranger stranger = meet_in_lane(type, &own);
    uint8_t *to = own.memory + page_size();
    const uint8_t *from = to + RING;
    uint8_t frame[DXI_HEADER_SIZE];

    encode_header(&(struct header){5, DXI_KIND_MESSAGE, 0, 0, 0}, frame);
    memcpy(to, frame, sizeof(frame));
    memcpy(to + sizeof(frame), "hello", 5);
    atomic_store(&own.mine->tail, sizeof(frame) + 5);
    expect_text(stranger.channel, "hello");
    ck_assert_int_eq(dx_send(stranger.channel, "to me", 5, 1000), 0);
    ck_assert_uint_eq(own.peer->tail, sizeof(frame) + 5);
    ck_assert_mem_eq(from, frame, sizeof(frame));
    ck_assert_mem_eq(from + sizeof(frame), "to me", 5);
    part(&stranger);
    free_own(&own);
}

/* What it may still do with the file takes nothing away. Holes read as zeros. */
EACH_LANE(test_nothing_can_be_done_to_memory_that_was_accepted)
{
    struct own own;
    struct stranger stranger = meet_in_lane(type, &own);

    ck_assert_int_lt(ftruncate(own.fd, 0), 0);
    ck_assert_int_lt(ftruncate(own.fd, region_size() * 2), 0);
    ck_assert_int_lt(fcntl(own.fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    ck_assert_int_eq(
        fallocate(own.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, region_size()), 0);
    /* All words are zero again, and so is what was sent. */
    ck_assert_int_eq(dx_send(stranger.channel, "x", 1, 100), 0);
    expect_silence(stranger.channel);
    ck_assert_int_eq(
        fallocate(own.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, region_size()), 0);
    atomic_store(&own.mine->tail, 16);
    /* A frame of zeros has no kind. */
    expect_error(stranger.channel, -EPROTO, NULL, 1000);
    part(&stranger);
    free_own(&own);
}

static void expect_violation(struct stranger *stranger)
{
    expect_error(stranger->channel, -EPROTO, NULL, 1000);
    part(stranger);
    ck_assert_uint_eq(lane_mappings(), 0);
}

EACH_LANE(test_words_at_the_wrong_time_break_the_protocol)
{
    const uint8_t kinds[] = {DXI_KIND_ACCEPT, DXI_KIND_DECLINE, DXI_KIND_SWITCH,
                             DXI_KIND_WAKE,   DXI_KIND_END,     DXI_KIND_END + 1};

    for (size_t i = 0; i < sizeof(kinds); i++) {
        struct stranger stranger = meet_maker(type, &(dx_channel_options){0});

        say_word(&stranger, kinds[i]);
        expect_violation(&stranger);
    }
    /* Of a channel that has said that it takes part in none, an offer is one too. */
    struct stranger stranger = meet_maker(type, &(dx_channel_options){.socket_only = true});

    say_frame(&stranger, &(struct header){DXI_OFFER_SIZE, DXI_KIND_OFFER, 0, 0, 0},
              pattern(DXI_OFFER_SIZE), DXI_OFFER_SIZE, NULL, 0);
    expect_violation(&stranger);
}

EACH_LANE(test_an_offer_that_is_none_breaks_the_protocol)
{
    const struct header headers[] = {
        {DXI_OFFER_SIZE, DXI_KIND_OFFER, 0, 0, 0},
        {DXI_OFFER_SIZE, DXI_KIND_OFFER, 0, 2, 0},
        {DXI_OFFER_SIZE, DXI_KIND_OFFER, DXI_FLAG_MORE, 1, 0},
        {DXI_OFFER_SIZE, DXI_KIND_OFFER, 0, 1, 7},
        {DXI_OFFER_SIZE - 1, DXI_KIND_OFFER, 0, 1, 0},
        {DXI_OFFER_SIZE_MAX + 1, DXI_KIND_OFFER, 0, 1, 0},
        {0, DXI_KIND_OFFER, 0, 1, 0},
    };

    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
        struct stranger stranger = meet_maker(type, &(dx_channel_options){0});
        int notes[2] = {make_note(1), make_note(2)};

        ck_assert_int_eq(say_frame(&stranger, &headers[i], pattern(headers[i].length),
                                   headers[i].length, notes, headers[i].descriptors),
                         0);
        close(notes[0]);
        close(notes[1]);
        expect_violation(&stranger);
    }
}

/* It says that a descriptor comes along, and none does. */
EACH_LANE(test_an_offer_of_nothing_breaks_the_protocol)
{
    struct stranger stranger = meet_maker(type, &(dx_channel_options){0});

    say_frame(&stranger, &(struct header){DXI_OFFER_SIZE, DXI_KIND_OFFER, 0, 1, 0},
              pattern(DXI_OFFER_SIZE), DXI_OFFER_SIZE, NULL, 0);
    expect_violation(&stranger);
}

EACH_LANE(test_an_offer_comes_once)
{
    struct own own = make_own();
    struct stranger stranger = meet_maker(type, &(dx_channel_options){0});

    say_offer(&stranger, own.fd, DXI_LANE_VERSION, RING);
    say_offer(&stranger, own.fd, DXI_LANE_VERSION, RING);
    expect_violation(&stranger);
    /* Nor after it was declined. Where no descriptor is welcome, a new kernel lets none come. */
    stranger = meet_maker(type, &(dx_channel_options){.descriptor_limit = 1});
    say_offer(&stranger, own.fd, DXI_LANE_VERSION + 1, RING);
    expect_word(&stranger, DXI_KIND_DECLINE);
    say_offer(&stranger, own.fd, DXI_LANE_VERSION, RING);
    expect_violation(&stranger);
    free_own(&own);
}

EACH_LANE(test_the_switch_comes_once)
{
    for (int by_ring = 0; by_ring < 2; by_ring++) {
        struct own own;
        struct stranger stranger = meet_in_lane(type, &own);

        if (by_ring) {
            encode_header(&(struct header){0, DXI_KIND_SWITCH, 0, 0, 0}, own.memory + page_size());
            atomic_store(&own.mine->tail, DXI_HEADER_SIZE);
        } else {
            say_word(&stranger, DXI_KIND_SWITCH);
        }
        expect_violation(&stranger);
        free_own(&own);
    }
}

/* A message before the switch is in order, and one by the socket after it is not. */
EACH_LANE(test_the_socket_goes_on_until_the_switch_and_no_longer)
{
    struct own own = make_own();
    struct stranger stranger = meet_maker(type, &(dx_channel_options){0});

    say_offer(&stranger, own.fd, DXI_LANE_VERSION, RING);
    say_message(&stranger, "one");
    say_message(&stranger, "two");
    say_word(&stranger, DXI_KIND_SWITCH);
    say_message(&stranger, "three");
    expect_text(stranger.channel, "one");
    expect_text(stranger.channel, "two");
    expect_violation(&stranger);
    free_own(&own);
}

/*
 * The channel hears the offer while it says its end, when the socket takes no more for a moment: the end
 * was said all the same, and the answer never left. Whoever sent afterwards was told that the peer had gone.
 */
EACH_LANE(test_an_end_waits_for_the_answer_to_an_offer)
{
    meter_install();
    struct own own = make_own();
    struct stranger stranger = meet_maker(type, &(dx_channel_options){0});
    struct header header;
    uint8_t payload[DXI_HELLO_SIZE];

    ck_assert_int_eq(dx_cork(stranger.channel), 0);
    ck_assert_int_eq(dx_send(stranger.channel, "last", 4, 1000), 0);
    say_offer(&stranger, own.fd, DXI_LANE_VERSION, RING);
    /* Before it sends once more, it looks for an offer. */
    atomic_store(&stranger.channel->lane.moves, 15);
    meter_fail(CALL_SEND, 2, 1, -EAGAIN);
    ck_assert_int_eq(dx_channel_end(stranger.channel, 1000), 0);
    ck_assert_uint_eq(meter.failed, 1);
    ck_assert_int_eq(hear(&stranger, &header, payload, sizeof(payload)), 4);
    ck_assert_mem_eq(payload, "last", 4);
    expect_word(&stranger, DXI_KIND_ACCEPT);
    ck_assert_uint_eq(own.memory[page_size() + RING + 4], DXI_KIND_END);
    ck_assert_int_eq(dx_send(stranger.channel, "x", 1, 100), -ESHUTDOWN);
    part(&stranger);
    free_own(&own);
}

HARNESS_MAIN("lane_offer", OF_EACH_LANE(test_memory_that_is_not_sealed_is_declined),
             OF_EACH_LANE(test_memory_of_another_size_is_declined),
             OF_EACH_LANE(test_sizes_that_cannot_be_are_declined),
             OF_EACH_LANE(test_what_is_no_such_memory_is_declined),
             OF_EACH_LANE(test_memory_that_can_only_be_read_is_declined),
             OF_EACH_LANE(test_huge_pages_which_may_be_absent_are_declined),
             OF_EACH_LANE(test_a_stranger_can_take_part_by_the_document),
             OF_EACH_LANE(test_nothing_can_be_done_to_memory_that_was_accepted),
             OF_EACH_LANE(test_words_at_the_wrong_time_break_the_protocol),
             OF_EACH_LANE(test_an_offer_that_is_none_breaks_the_protocol),
             OF_EACH_LANE(test_an_offer_of_nothing_breaks_the_protocol),
             OF_EACH_LANE(test_an_offer_comes_once), OF_EACH_LANE(test_the_switch_comes_once),
             OF_EACH_LANE(test_the_socket_goes_on_until_the_switch_and_no_longer),
             OF_EACH_LANE(test_an_end_waits_for_the_answer_to_an_offer))
