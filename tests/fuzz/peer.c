/* SPDX-License-Identifier: MIT */
/*
 * What the peer and the kernel do, by the script. See play.h.
 */
#include "play.h"

#include "targets.h"

#include "wire/native.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* By the socket. */

static void say_frame(uint8_t kind, uint8_t flags, size_t size, uint16_t descriptors, uint64_t id,
                      unsigned passed)
{
    static uint8_t bytes[DXI_HEADER_SIZE + 4096];

    if (size > sizeof(bytes) - DXI_HEADER_SIZE)
        size = sizeof(bytes) - DXI_HEADER_SIZE;
    dxi_store32(bytes, (uint32_t)size);
    bytes[4] = kind;
    bytes[5] = flags;
    dxi_store16(bytes + 6, descriptors);
    dxi_store64(bytes + 8, id);
    memset(bytes + DXI_HEADER_SIZE, '5', size);
    (void)world_say(bytes, DXI_HEADER_SIZE + size, passed);
}

/* The next bytes of the script as they are. */
static void say_raw(void)
{
    size_t size = world_byte();
    unsigned passed = size >= 192 ? size % 4 : 0;
    size_t left = (size_t)(world.end - world.at);

    size %= 64;
    size = size < left ? size : left;
    (void)world_say(world.at, size, passed);
    world.at += size;
}

static size_t choose_size(void)
{
    size_t byte = world_byte();

    return byte < 192 ? byte : (byte - 191) * 64;
}

/* A message as the framing has it, with what Node says besides. */
static void say_message(void)
{
    static uint8_t bytes[8192];
    static const uint8_t kinds[] = {DXI_KIND_MESSAGE,      DXI_KIND_MESSAGE,   DXI_KIND_NODE_HANDLE,
                                    DXI_KIND_NODE_ACK,     DXI_KIND_NODE_NACK, DXI_KIND_FLUSH,
                                    DXI_KIND_RESPONSE_END, DXI_KIND_REQUEST};
    uint8_t what = world_byte();
    struct dxi_letter letter = {.kind = kinds[what % sizeof(kinds)], .handle_type = "net.Socket"};
    struct dxi_envelope envelope;
    bool answer = letter.kind == DXI_KIND_NODE_ACK || letter.kind == DXI_KIND_NODE_NACK;
    size_t size = choose_size();

    letter.size = answer || letter.kind == DXI_KIND_FLUSH ? 0 : size % 4096;
    letter.data = bytes + 100;
    letter.id = letter.kind == DXI_KIND_REQUEST ? ++play.last_id : 0;
    memset(bytes, '5', sizeof(bytes));
    letter.descriptors =
        play.framing == &dxi_framing_native ? what >> 4 & 3 : letter.kind == DXI_KIND_NODE_HANDLE;
    if (play.framing->encode(&letter, &envelope) < 0)
        return;
    memcpy(bytes, envelope.header, envelope.header_size);
    memset(bytes + envelope.header_size, '5', letter.size);
    memcpy(bytes + envelope.header_size + letter.size, envelope.trailer, envelope.trailer_size);
    size = envelope.header_size + letter.size + envelope.trailer_size;
    size_t cut = what >= 128 ? 1 + what % 32 : 0;

    if (cut > 0 && cut < size && world.type == SOCK_STREAM) {
        (void)world_say(bytes, cut, letter.descriptors);
        (void)world_say(bytes + cut, size - cut, 0);
    } else {
        (void)world_say(bytes, size, letter.descriptors);
    }
}

/* A native frame, right or wrong. */
static uint64_t choose_id(void)
{
    uint8_t id = world_byte();

    return id < 128 ? id : id < 192 ? ++play.last_id : play.ours[id % PLAY_IDS];
}

static void say_any_frame(void)
{
    uint8_t kind = world_byte(), flags = world_byte();
    size_t size = choose_size();
    uint64_t id = choose_id();
    uint8_t descriptors = world_byte();

    say_frame(kind % 32, flags % 8 == 7 ? flags : flags & 1, size, descriptors & 7, id,
              descriptors >> 4 & 7);
}

static void answer(void)
{
    uint64_t id = play.ours[world_byte() % PLAY_IDS];
    uint8_t kind = world_byte();

    say_frame(kind % 2 == 0 ? DXI_KIND_REPLY : DXI_KIND_ERROR, 0, choose_size(), 0, id, 0);
}

static void cancel(void)
{
    say_frame(DXI_KIND_CANCEL, 0, 0, 0, play.theirs[world_byte() % PLAY_IDS], 0);
}

void peer_greet(uint32_t features)
{
    uint8_t bytes[DXI_HEADER_SIZE + DXI_HELLO_SIZE];
    uint8_t limits = world_byte();
    struct dxi_hello hello = {
        .version = DXI_VERSION,
        .descriptor_limit = limits & 3,
        .message_limit = limits & 4 ? 100 : 1 << 20,
        .request_limit = limits >> 3 & 3,
        .features = features,
    };

    dxi_native_plain_header(bytes, DXI_HELLO_SIZE, DXI_KIND_HELLO, 0);
    dxi_hello_encode(&hello, bytes + DXI_HEADER_SIZE);
    (void)world_say(bytes, sizeof(bytes), 0);
}

static void greet(void)
{
    peer_greet(world_byte() % 4);
}

static void offer(void)
{
    uint8_t bytes[DXI_HEADER_SIZE + DXI_OFFER_SIZE];
    uint8_t how = world_byte();
    struct dxi_offer made = {
        .version = how % 16 == 15 ? 2 : DXI_LANE_VERSION,
        .control_size = sizeof(struct dxi_ring_control),
        .ring_size = how % 16 == 14   ? 12345
                     : how % 16 == 13 ? 1 << 27
                                      : WORLD_RING_LARGE,
    };

    dxi_native_plain_header(bytes, DXI_OFFER_SIZE, DXI_KIND_OFFER, 0);
    dxi_store16(bytes + 6, 1);
    dxi_offer_encode(&made, bytes + DXI_HEADER_SIZE);
    (void)world_say(bytes, sizeof(bytes), how % 16 == 12 ? 0 : how % 16 == 11 ? 2 : 1);
}

static void end(void)
{
    world.ended = true;
    world.closed = world_byte() % 2 == 0;
}

static void die(void)
{
    world.dead = true;
    /* A grandchild may hold its end. */
    world.closed = world.closed || world_byte() % 2 == 0;
    world.ended = world.ended || world.closed;
}

/* By the ring. */

static void say_word(uint8_t kind, uint16_t descriptors, uint64_t id, unsigned passed)
{
    say_frame(kind, 0, 0, descriptors, id, passed);
}

static void enter_lane(void)
{
    if (play.in_lane || world.mapped == 0)
        return;
    play.out = dxi_ring_out_end(world.region.control, world.region.rings, world.region.ring_size,
                                !play.maker);
    play.in = dxi_ring_in_end(world.region.control, world.region.rings, world.region.ring_size,
                              !play.maker);
    play.in_lane = true;
}

/* The channel is the maker: its OFFER is answered; the acceptor: it is made one. */
static void say_switch(void)
{
    say_word(play.maker ? DXI_KIND_ACCEPT : DXI_KIND_SWITCH, 0, 0, 0);
    enter_lane();
}

static void decline(void)
{
    say_word(DXI_KIND_DECLINE, 0, 0, 0);
}

static void publish(void)
{
    dxi_ring_publish(&play.out);
    if (dxi_ring_wakes_consumer(&play.out))
        say_word(DXI_KIND_WAKE, 0, 0, 0);
}

static void put(const uint8_t *bytes, size_t size)
{
    uint64_t room;

    if (!play.in_lane)
        return;
    (void)dxi_ring_look_for_room(&play.out);
    dxi_ring_rewind(&play.out);
    room = dxi_ring_room(&play.out);
    if (room > play.out.size)
        room = 0;
    if (size > room)
        size = (size_t)room;
    if (size > 0)
        memcpy(dxi_ring_place(&play.out), bytes, size);
    play.out.tail += size;
    publish();
}

static void put_frame(void)
{
    static uint8_t bytes[DXI_HEADER_SIZE + 8192];
    uint8_t kind = world_byte(), flags = world_byte();
    size_t size = choose_size();

    dxi_store32(bytes, (uint32_t)size);
    bytes[4] = kind < 128 ? 2 + kind % 4 : kind % 32;
    bytes[5] = flags % 16 == 15 ? flags : flags & 1;
    dxi_store16(bytes + 6, flags >> 4 == 1 || flags >> 4 == 2 ? (uint16_t)(flags >> 4) : 0);
    dxi_store64(bytes + 8, bytes[4] == DXI_KIND_MESSAGE ? 0 : choose_id());
    memset(bytes + DXI_HEADER_SIZE, '6', size);
    put(bytes, DXI_HEADER_SIZE + size);
}

static void put_raw(void)
{
    size_t size = world_byte() % 64, left = (size_t)(world.end - world.at);

    size = size < left ? size : left;
    put(world.at, size);
    world.at += size;
}

void peer_take(size_t most)
{
    struct dxi_ring_in *in = &play.in;

    if (!play.in_lane || dxi_ring_look(in) < 0)
        return;
    size_t size = dxi_ring_filled(in) < most ? (size_t)dxi_ring_filled(in) : most;

    world_hear(dxi_ring_bytes(in), size);
    in->head += size;
    dxi_ring_give_back(in);
    if (dxi_ring_wants_room(in))
        say_word(DXI_KIND_WAKE, 0, 0, 0);
}

static void take(void)
{
    uint8_t most = world_byte();

    peer_take(most == 255 ? SIZE_MAX : most * 16U);
}

static void pass_descriptors(void)
{
    uint8_t count = world_byte();
    uint16_t announced = count & 3;

    say_word(DXI_KIND_DESCRIPTORS, announced, count < 192 ? ++play.descriptors_said : count,
             count & 64 ? count >> 3 & 3 : announced);
}

static void wake(void)
{
    say_word(DXI_KIND_WAKE, 0, 0, 0);
}

static void doze(void)
{
    if (play.in_lane)
        (void)(world_byte() % 2 ? dxi_ring_doze(&play.in) : dxi_ring_starve(&play.out));
}

/* A word that it may write, or may not. */
static uint64_t choose_value(uint64_t near)
{
    uint8_t how = world_byte();
    uint64_t by = world_byte(), size = world.region.ring_size;

    switch (how % 8) {
    case 0:
        return near + by;
    case 1:
        return near - by;
    case 2:
        return near + size;
    case 3:
        return near + size + 1;
    case 4:
        return (uint64_t)1 << by % 64;
    case 5:
        return near + by * 64;
    case 6:
        return by;
    default:
        return ~by;
    }
}

static void scribble_word(void)
{
    uint8_t which = world_byte();
    struct dxi_ring_control *control = world.region.control;

    if (control == NULL)
        return;
    struct dxi_ring_side *side = (which & 8) != 0 ? &control->maker : &control->acceptor;

    play.unbooked = true;
    switch (which % 8) {
    case 0:
        side->tail = choose_value(side->tail);
        break;
    case 1:
        side->head = choose_value(side->head);
        break;
    case 2:
        side->base = choose_value(side->base);
        break;
    case 3:
        side->asleep = (uint32_t)choose_value(0);
        break;
    case 4:
        side->starved = (uint32_t)choose_value(0);
        break;
    case 5:
        side->cpu = world_byte() % 4;
        break;
    case 6:
        side->left = world_byte() % 4;
        break;
    default:
        memset(side, world_byte(), sizeof(*side));
        break;
    }
}

static void scribble_bytes(void)
{
    uint8_t which = world_byte();
    size_t at = (size_t)world_byte() << (which & 4), count = 1 + (which >> 3 & 15);

    if (world.region.control == NULL)
        return;
    play.unbooked = true;
    for (size_t i = 0; i < count; i++)
        world.region.rings[which & 1][(at + i) % world.region.ring_size] = world_byte();
}

void peer_begin_lane(bool large)
{
    world_have_region(large);
    if (play.maker) {
        peer_greet(DXI_FEATURE_LANE);
        user_receive(DX_NOW);
        (void)dx_channel_process(play.channel);
        say_switch();
        user_receive(DX_NOW);
        (void)dx_channel_process(play.channel);
        return;
    }
    peer_greet(DXI_FEATURE_LANE);
    offer();
    user_receive(DX_NOW);
    (void)dx_channel_process(play.channel);
    say_switch();
}

/* The kernel. */

static void refuse_memory(void)
{
    uint8_t which = world_byte();

    world.allocation = 1 + (which & 7);
    world.failing = which >> 3 & 3;
    play.failed = true;
}

static void refuse_call(void)
{
    static const int errors[] = {
        EAGAIN,    EPIPE, ECONNRESET, ECONNREFUSED, ENOTCONN, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH,
        ENETRESET, EPERM, EBADF,      ETOOMANYREFS, ENOBUFS,  ENOMEM,    EIO,          EMFILE};
    uint8_t which = world_byte() % WORLD_CALLS, error = world_byte() % 16;

    /* What no kernel answers to these; of a terminal EIO is its end, behind all that was said. */
    if (which == WORLD_RECEIVE &&
        (errors[error] == EPIPE ||
         (errors[error] == EIO && play.channel->read_medium == DXI_MEDIUM_PIPE)))
        error = 2;
    if (which == WORLD_POLL)
        error = 13;
    world.faults[which] = -errors[error];
    play.failed = true;
}

static void give_room(void)
{
    uint8_t room = world_byte();

    world.room = room == 255 ? 212992 : room * 64U;
    world.portion = room % 8 == 7 ? 1 + room / 8U : 0;
}

static void arm(void)
{
    world.armed = 1 + world_byte() % 8;
}

static void move(void)
{
    world.cpu = world_byte() % 4;
}

static void pass_time(void)
{
    uint64_t time_ns = (uint64_t)world_byte() << 20;

    world.now_ns += time_ns;
    world.passed_ns += time_ns;
}

bool peer_act(void)
{
    static const struct play_act acts[] = {
        ACT(say_raw),
        ACT(say_message),
        ACT(say_any_frame),
        ACT(answer),
        ACT(cancel),
        ACT(greet),
        ACT(offer),
        ACT(end),
        ACT(die),
        ACT(give_room),
        ACT(refuse_memory),
        ACT(refuse_call),
        ACT(arm),
        ACT(move),
        ACT(pass_time),
        ACT(wake),
        ACT(doze),
        ACT(say_switch),
        ACT(decline),
        ACT(put_frame),
        ACT(put_raw),
        ACT(take),
        ACT(pass_descriptors),
        ACT(scribble_word),
        ACT(scribble_bytes),
    };

    if (world.at == world.end || *world.at < PLAY_PEERS)
        return false;
    play_do("peer", &acts[world_byte() % (sizeof(acts) / sizeof(*acts))]);
    return true;
}
