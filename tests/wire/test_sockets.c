/* SPDX-License-Identifier: MIT */
/*
 * Every vector over real sockets of each type: a peer that is written by hand sends what the vector
 * says, send by send and with its descriptors, and a channel receives it.
 */
#include "harness.h"
#include "vectors.h"

#include "channel/internal.h"

#include <duplex.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000 };

/* A row of the table of violations in docs/wire.md. */
struct quote {
    char name[32];
    char sentence[DX_TEXT_SIZE];
    bool said; /* by a channel, for this violation */
};

struct scene {
    int type;
    dx_framing framing;
    dx_channel *channel;
    int peer;
    size_t count;
    struct quote *quotes; /* or NULL */
    size_t quote_count;
};

static void open_scene(struct scene *scene, const struct vector *vector)
{
    dx_channel_options options = {
        .framing = scene->framing,
        .message_limit = vector->limit,
        .descriptor_limit = vector->accepts,
        .request_limit = vector->requests,
        .strip_cr = vector->strip_cr,
        .socket_only = !vector->lane,
    };
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, scene->type | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(dx_channel_attach(&scene->channel, fds[0], fds[0], &options), 0);
    scene->peer = fds[1];
    for (size_t i = 0; i < vector->made_count; i++) {
        uint64_t id;

        ck_assert_int_eq(dx_call_start(scene->channel, NULL, 0, &id, DX_FOREVER), 0);
        ck_assert_uint_eq(id, vector->made[i].id);
        if (vector->made[i].closed)
            ck_assert_int_eq(dx_cancel(scene->channel, id), 0);
    }
}

/*
 * One send with copies of standard input. false if the kernel refused it for the receiver, which
 * may have told it to (SO_PASSRIGHTS, Linux 6.16).
 */
static bool send_with(int socket, const struct bytes *bytes, unsigned descriptors)
{
    static int copies[DX_DESCRIPTORS_MAX];
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(copies))];
    } control;
    struct iovec part = {.iov_base = bytes->data, .iov_len = bytes->size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (descriptors > 0) {
        size_t size = sizeof(int) * descriptors;

        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(header), copies, size); /* all are 0, standard input */
    }
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);

    if (sent < 0 && errno == EPERM && descriptors > 0)
        return false;
    ck_assert_int_eq(sent, (ssize_t)bytes->size);
    return true;
}

static void say_the_end(const struct scene *scene)
{
    if (scene->type == SOCK_DGRAM)
        ck_assert_int_eq(send(scene->peer, "", 0, MSG_NOSIGNAL), 0);
    else
        ck_assert_int_eq(shutdown(scene->peer, SHUT_WR), 0);
}

static void see_message(const struct vector *vector, const struct sight *sight,
                        const dx_message *message)
{
    static const dx_kind kinds[] = {
        [DXI_KIND_MESSAGE] = DX_MESSAGE,     [DXI_KIND_REQUEST] = DX_REQUEST,
        [DXI_KIND_REPLY] = DX_REPLY,         [DXI_KIND_ERROR] = DX_ERROR,
        [DXI_KIND_CANCEL] = DX_CANCEL,       [DXI_KIND_FLUSH] = DX_FLUSH,
        [DXI_KIND_DELIMITER] = DX_DELIMITER, [DXI_KIND_RESPONSE_END] = DX_RESPONSE_END,
        [DXI_KIND_NODE_HANDLE] = DX_MESSAGE,
    };

    ck_assert_msg(message->size == sight->message.size &&
                      memcmp(message->data, sight->message.data, message->size) == 0,
                  "'%s': a message differs", vector->name);
    ck_assert_int_eq(message->kind, kinds[sight->kind]);
    ck_assert_uint_eq(message->id, sight->id);
    ck_assert_int_eq(message->code, sight->code);
    ck_assert_uint_eq(message->descriptor_count, sight->descriptors);
    for (size_t i = 0; i < message->descriptor_count; i++)
        ck_assert_int_eq(fcntl(message->descriptors[i], F_GETFD), FD_CLOEXEC);
}

/* What the channel says now is the sentence for this violation. */
static void see_sentence(const struct scene *scene, enum dxi_violation violation)
{
    const char *sentence = dx_channel_explain(scene->channel);

    ck_assert_str_ne(sentence, "");
    for (size_t i = 0; i < scene->quote_count; i++)
        if (strcmp(scene->quotes[i].name, violation_name(violation)) == 0 &&
            strcmp(scene->quotes[i].sentence, sentence) == 0)
            scene->quotes[i].said = true;
}

static void see_violation(const struct scene *scene, const struct vector *vector)
{
    const struct dxi_fault *fault = &scene->channel->in.decoder.fault;

    ck_assert_str_eq(violation_name(fault->violation), violation_name(vector->violation));
    if (vector->has_numbers) {
        ck_assert_uint_eq(fault->value, vector->value);
        ck_assert_uint_eq(fault->limit, vector->value_limit);
    }
    see_sentence(scene, fault->violation);
}

/* Requests that are open when the conversation ends: each ends, too. */
static void see_failures(const struct scene *scene, const struct vector *vector, int why)
{
    size_t open = 0;
    dx_message message;

    for (size_t i = 0; i < vector->made_count; i++)
        open += !vector->made[i].closed;
    for (size_t i = 0; i < vector->sight_count; i++)
        if (!vector->sights[i].dropped &&
            (vector->sights[i].kind == DXI_KIND_REPLY || vector->sights[i].kind == DXI_KIND_ERROR))
            open--;
    for (; open > 0; open--) {
        ck_assert_int_eq(dx_recv(scene->channel, &message, PATIENCE_MS), 1);
        ck_assert_msg(message.kind == DX_FAILED && message.code == why, "'%s': kind %d, code %d",
                      vector->name, message.kind, message.code);
    }
}

/* Node's own words: those between the ends that a user never sees. */
static bool is_private(const struct vector *vector)
{
    for (size_t i = 0; i < vector->sight_count; i++)
        if (vector->sights[i].kind > DXI_KIND_NODE_HANDLE)
            return true;
    return false;
}

static void perform(const struct vector *vector, void *context)
{
    struct scene *scene = context;
    dx_message message;
    bool sent = true;
    int end = vector->outcome == GOOD ? 0 : vector->outcome == BAD ? -EPROTO : -EPIPE;

    /* Datagrams have no fast lane. */
    if (vector->outcome == REFUSED || is_private(vector) ||
        (vector->lane && scene->type == SOCK_DGRAM))
        return;
    open_scene(scene, vector);
    for (size_t i = 0; i < vector->send_count && sent; i++)
        sent = send_with(scene->peer, &vector->sends[i].bytes, vector->sends[i].came);
    if (sent) {
        say_the_end(scene);
        for (size_t i = 0; i < vector->sight_count; i++) {
            if (vector->sights[i].kind == DXI_KIND_HELLO ||
                vector->sights[i].kind == DXI_KIND_OFFER || vector->sights[i].dropped)
                continue;
            int status = dx_recv(scene->channel, &message, PATIENCE_MS);

            ck_assert_msg(status == 1, "'%s': %d, %s", vector->name, status,
                          dx_channel_explain(scene->channel));
            see_message(vector, &vector->sights[i], &message);
        }
        see_failures(scene, vector, end == 0 ? -EPIPE : end);
        /* The end stays, whatever it is. */
        for (int i = 0; i < 3; i++) {
            int status = dx_recv(scene->channel, &message, PATIENCE_MS);

            ck_assert_msg(status == end, "'%s': it ended with %d: %s", vector->name, status,
                          dx_channel_explain(scene->channel));
        }
        if (end == -EPROTO)
            see_violation(scene, vector);
        scene->count++;
    }
    dx_channel_close(scene->channel);
    close(scene->peer);
}

static void perform_native(int type)
{
    struct scene scene = {.type = type};

    vectors_each(DUPLEX_TEST_SOURCE, "native.txt", perform, &scene);
    ck_assert_uint_gt(scene.count, 80);
    if (type == SOCK_DGRAM)
        return;
    scene.count = 0;
    vectors_each(DUPLEX_TEST_SOURCE, "lane.txt", perform, &scene);
    ck_assert_uint_gt(scene.count, 20);
}

START_TEST(test_each_native_vector_means_the_same_over_a_stream)
{
    perform_native(SOCK_STREAM);
}
END_TEST

START_TEST(test_each_native_vector_means_the_same_over_packets)
{
    perform_native(SOCK_SEQPACKET);
}
END_TEST

START_TEST(test_each_native_vector_means_the_same_over_datagrams)
{
    perform_native(SOCK_DGRAM);
}
END_TEST

/* All vectors of the framings of other programs; their sentences, if quotes are given. */
static void perform_framings(struct quote *quotes, size_t quote_count)
{
    for (int i = DX_FRAMING_LINE; i < DX_FRAMING_RAW; i++) {
        struct scene scene = {
            .type = SOCK_STREAM,
            .framing = (dx_framing)i,
            .quotes = quotes,
            .quote_count = quote_count,
        };
        char file[64];

        snprintf(file, sizeof(file), "%s.txt", dx_framing_name(scene.framing));
        vectors_each(DUPLEX_TEST_SOURCE, file, perform, &scene);
        ck_assert_uint_gt(scene.count, 5);
    }
}

START_TEST(test_each_vector_of_other_framings_means_the_same_over_a_stream)
{
    perform_framings(NULL, 0);
}
END_TEST

/* "| `name` | what | sentence |" */
static bool read_quote(const char *line, struct quote *ret)
{
    const char *last = strrchr(line, '|');
    const char *begin = last;

    if (sscanf(line, "| `%31[a-z-]` |", ret->name) != 1 || last == line)
        return false;
    do
        begin--;
    while (*begin != '|');
    snprintf(ret->sentence, sizeof(ret->sentence), "%.*s", (int)(last - begin) - 3, begin + 2);
    return true;
}

/* What is wrong in the fast lane only: one end of it does it to the other. */
static void break_lane(struct scene *scene, enum dxi_violation violation)
{
    static const uint8_t header[DXI_HEADER_SIZE] = {[4] = DXI_KIND_MESSAGE};
    dx_channel *ends[2];
    dx_message message;

    dxi_lane_worth = 0;
    ck_assert_int_eq(dx_channel_pair(ends, NULL), 0);
    while (dx_channel_is_fast(ends[0]) != 1 || dx_channel_is_fast(ends[1]) != 1)
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(dx_send(ends[i], "x", 1, PATIENCE_MS), 0);
            ck_assert_int_eq(dx_recv(ends[1 - i], &message, PATIENCE_MS), 1);
        }
    if (violation == DXI_VIOLATION_RING)
        atomic_store(&ends[0]->lane.out.mine->tail, UINT64_MAX);
    else
        ck_assert_int_eq(send(dx_channel_fd(ends[0]), header, sizeof(header), MSG_NOSIGNAL),
                         sizeof(header));
    ck_assert_int_eq(dx_recv(ends[1], &message, PATIENCE_MS), -EPROTO);
    scene->channel = ends[1];
    see_sentence(scene, violation);
    dx_channel_close(ends[0]);
    dx_channel_close(ends[1]);
}

START_TEST(test_the_document_quotes_what_a_channel_says)
{
    enum { QUOTES_MAX = DXI_VIOLATION_RING };
    struct quote quotes[QUOTES_MAX + 1] = {0};
    struct scene scene = {.type = SOCK_STREAM, .quotes = quotes};
    char line[1024];
    FILE *document = fopen(DUPLEX_TEST_SOURCE "/docs/wire.md", "re");

    ck_assert_ptr_nonnull(document);
    while (scene.quote_count < QUOTES_MAX && fgets(line, sizeof(line), document))
        scene.quote_count += read_quote(line, &quotes[scene.quote_count]);
    fclose(document);
    /* All but that of lines, which are another framing. */
    ck_assert_uint_eq(scene.quote_count, QUOTES_MAX - 1);
    vectors_each(DUPLEX_TEST_SOURCE, "native.txt", perform, &scene);
    vectors_each(DUPLEX_TEST_SOURCE, "lane.txt", perform, &scene);
    break_lane(&scene, DXI_VIOLATION_LANE_OUTSIDE);
    break_lane(&scene, DXI_VIOLATION_RING);
    for (size_t i = 0; i < scene.quote_count; i++)
        ck_assert_msg(quotes[i].said || strcmp(quotes[i].name, "packet") == 0,
                      "nothing is said like '%s' for '%s'", quotes[i].sentence, quotes[i].name);
}
END_TEST

START_TEST(test_the_document_of_framings_quotes_what_a_channel_says)
{
    enum { QUOTES_MAX = 100 };
    struct quote quotes[QUOTES_MAX] = {0};
    size_t count = 0;
    bool seen[DXI_VIOLATION_NODE_HANDLE + 1] = {false};
    char line[1024];
    FILE *document = fopen(DUPLEX_TEST_SOURCE "/docs/framings.md", "re");

    ck_assert_ptr_nonnull(document);
    while (count < QUOTES_MAX && fgets(line, sizeof(line), document))
        count += read_quote(line, &quotes[count]);
    fclose(document);
    perform_framings(quotes, count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(quotes[i].said, "nothing is said like '%s' for '%s'", quotes[i].sentence,
                      quotes[i].name);
        for (int j = 0; j <= DXI_VIOLATION_NODE_HANDLE; j++)
            seen[j] = seen[j] || strcmp(violation_name((enum dxi_violation)j), quotes[i].name) == 0;
    }
    for (int j = DXI_VIOLATION_TERMINATED; j <= DXI_VIOLATION_NODE_HANDLE; j++)
        ck_assert_msg(seen[j], "docs/framings.md does not know %s",
                      violation_name((enum dxi_violation)j));
}
END_TEST

static const struct vector plain = {.limit = (size_t)1 << 20};

static void expect_next(struct scene *scene, size_t size)
{
    dx_message message;

    ck_assert_int_eq(dx_recv(scene->channel, &message, PATIENCE_MS), 1);
    ck_assert_uint_eq(message.size, size);
}

/* A frame of the kind, all in one: hello, or a message of zero bytes. */
static void fill_frame(uint8_t *place, size_t payload, uint8_t kind)
{
    memset(place, 0, DXI_HEADER_SIZE + payload);
    dxi_store32(place, (uint32_t)payload);
    place[4] = kind;
    if (kind == DXI_KIND_HELLO)
        dxi_hello_encode(&(struct dxi_hello){.version = 1, .message_limit = 1 << 20},
                         place + DXI_HEADER_SIZE);
}

START_TEST(test_a_packet_holds_several_whole_frames)
{
    static const int types[] = {SOCK_SEQPACKET, SOCK_DGRAM};

    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        struct scene scene = {.type = types[i]};
        uint8_t packet[36 + 16 + 21 + 17];

        open_scene(&scene, &plain);
        fill_frame(packet, DXI_HELLO_SIZE, DXI_KIND_HELLO);
        fill_frame(packet + 36, 0, DXI_KIND_MESSAGE);
        fill_frame(packet + 52, 5, DXI_KIND_MESSAGE);
        fill_frame(packet + 73, 1, DXI_KIND_MESSAGE);
        ck_assert(send_with(scene.peer, &(struct bytes){packet, sizeof(packet)}, 0));
        expect_next(&scene, 0);
        expect_next(&scene, 5);
        expect_next(&scene, 1);
        dx_channel_close(scene.channel);
        close(scene.peer);
    }
}
END_TEST

START_TEST(test_a_packet_is_as_large_as_the_limit_and_no_larger)
{
    static const int types[] = {SOCK_SEQPACKET, SOCK_DGRAM};
    static uint8_t packet[DXI_PACKET_MAX + 1];
    int room = 2 * DXI_PACKET_MAX;

    for (size_t i = 0; i < 4; i++) {
        size_t size = DXI_PACKET_MAX + i % 2;
        struct scene scene = {.type = types[i / 2]};
        dx_message message;
        uint8_t greeting[DXI_HEADER_SIZE + DXI_HELLO_SIZE];

        open_scene(&scene, &plain);
        setsockopt(scene.peer, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
        fill_frame(greeting, DXI_HELLO_SIZE, DXI_KIND_HELLO);
        ck_assert(send_with(scene.peer, &(struct bytes){greeting, sizeof(greeting)}, 0));
        fill_frame(packet, size - DXI_HEADER_SIZE, DXI_KIND_MESSAGE);
        if (send(scene.peer, packet, size, MSG_NOSIGNAL) < 0) {
            ck_assert_int_eq(errno, EMSGSIZE);
            dx_channel_close(scene.channel);
            close(scene.peer);
            HARNESS_SKIP("net.core.wmem_max does not let a packet be that large");
        }
        if (size == DXI_PACKET_MAX) {
            expect_next(&scene, size - DXI_HEADER_SIZE);
        } else {
            ck_assert_int_eq(dx_recv(scene.channel, &message, PATIENCE_MS), -EPROTO);
            ck_assert_str_eq(
                dx_channel_explain(scene.channel),
                "the peer sent a packet of more than 262144 bytes, which is the limit");
        }
        dx_channel_close(scene.channel);
        close(scene.peer);
    }
}
END_TEST

START_TEST(test_what_a_channel_sends_is_what_the_document_says)
{
    static const uint8_t expected[] = {
        0,   0,   0, 20, 1, 0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* the header of the greeting */
        0,   1,   0, 3,  0, 0,    0, 1,                         /* version, descriptors, features */
        0,   0,   0, 0,  0, 0x10, 0, 0,                         /* limit */
        0,   0,   4, 0,                                         /* requests */
        0,   0,   0, 2,  2, 0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* the header of a message */
        'h', 'i', 0, 0,  0, 0,    2, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0,   0, /* its bytes, and an empty one */
    };
    struct scene scene = {.type = SOCK_STREAM};
    uint8_t bytes[sizeof(expected) + 1];

    open_scene(&scene, &(struct vector){.limit = (size_t)1 << 20, .accepts = 3, .lane = true});
    ck_assert_int_eq(dx_send(scene.channel, "hi", 2, DX_NOW), 0);
    ck_assert_int_eq(dx_send(scene.channel, NULL, 0, DX_NOW), 0);
    ck_assert_int_eq(dx_channel_end(scene.channel, DX_NOW), 0);
    ck_assert_int_eq(recv(scene.peer, bytes, sizeof(bytes), MSG_WAITALL), sizeof(expected));
    ck_assert_mem_eq(bytes, expected, sizeof(expected));
    dx_channel_close(scene.channel);
    close(scene.peer);
}
END_TEST

HARNESS_MAIN("wire sockets", TEST(test_each_native_vector_means_the_same_over_a_stream),
             TEST(test_each_native_vector_means_the_same_over_packets),
             TEST(test_each_native_vector_means_the_same_over_datagrams),
             TEST(test_each_vector_of_other_framings_means_the_same_over_a_stream),
             TEST(test_the_document_quotes_what_a_channel_says),
             TEST(test_the_document_of_framings_quotes_what_a_channel_says),
             TEST(test_a_packet_holds_several_whole_frames),
             TEST(test_a_packet_is_as_large_as_the_limit_and_no_larger),
             TEST(test_what_a_channel_sends_is_what_the_document_says))
