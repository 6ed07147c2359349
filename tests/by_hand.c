/* SPDX-License-Identifier: MIT */
/*
 * See by_hand.h.
 */
#include "by_hand.h"

#include <arpa/inet.h>
#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PACKET_MAX = 262144, ARRIVED_MAX = 32 << 20, FRAME_MAX = 16 << 20 };

struct hand hand = {.fd = -1, .memory = -1};
bool hand_keeps_memory;

static uint8_t arrived[ARRIVED_MAX];
static size_t arrived_from, arrived_to;
static uint64_t words_said, peer_tail, peer_head, base;

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(HAND_DESCRIPTORS_MAX * sizeof(int))];
};

void hand_leave(int status)
{
    _exit(status);
}

void hand_demand(bool rule, int status)
{
    if (!rule)
        hand_leave(status);
}

void hand_find(void)
{
    const char *number = getenv("DUPLEX_FD");

    hand_demand(number != NULL, 26);
    hand.fd = (int)strtol(number, NULL, 10);
}

void hand_encode(uint8_t ret[HAND_HEADER], const struct hand_frame *frame)
{
    uint32_t length = htonl(frame->length);
    uint16_t descriptors = htons(frame->descriptors);
    uint64_t id = htobe64(frame->id);

    memcpy(ret, &length, 4);
    ret[4] = frame->kind;
    ret[5] = frame->flags;
    memcpy(ret + 6, &descriptors, 2);
    memcpy(ret + 8, &id, 8);
}

void hand_greet(uint16_t version, uint32_t features)
{
    /* Accepts 8 descriptors, 16 MiB and 1024 requests. */
    uint8_t hello[HAND_HELLO] = {0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0};
    struct hand_frame frame = {.length = HAND_HELLO, .kind = HELLO};

    version = htons(version);
    features = htonl(features);
    memcpy(hello, &version, 2);
    memcpy(hello + 4, &features, 4);
    hand_say(&frame, hello, sizeof(hello), NULL, 0);
}

void hand_say_bytes(const void *bytes, size_t size, const int *descriptors, size_t count)
{
    union control control = {0};

    hand_demand(count <= HAND_DESCRIPTORS_MAX, 27);
    while (size > 0) {
        struct iovec part = {(void *)bytes, size};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

        if (count > 0) {
            message.msg_control = &control;
            message.msg_controllen = CMSG_SPACE(count * sizeof(int));
            control.align.cmsg_len = CMSG_LEN(count * sizeof(int));
            control.align.cmsg_level = SOL_SOCKET;
            control.align.cmsg_type = SCM_RIGHTS;
            memcpy(CMSG_DATA(&control.align), descriptors, count * sizeof(int));
        }
        ssize_t sent = sendmsg(hand.fd, &message, MSG_NOSIGNAL);

        hand_demand(sent > 0, 10);
        count = 0;
        bytes = (const uint8_t *)bytes + sent;
        size -= (size_t)sent;
    }
}

void hand_say_word(enum hand_kind kind, const int *descriptors, size_t count)
{
    struct hand_frame word = {.kind = (uint8_t)kind, .descriptors = (uint16_t)count};
    uint8_t header[HAND_HEADER];

    if (kind == DESCRIPTORS)
        word.id = ++words_said;
    hand_encode(header, &word);
    hand_say_bytes(header, sizeof(header), descriptors, count);
}

static void wake(void)
{
    const struct hand_frame word = {.kind = WAKE};
    uint8_t header[HAND_HEADER];

    hand_encode(header, &word);
    (void)!send(hand.fd, header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* One read of the socket. False: nothing is there, or it is over. */
static bool receive(int flags)
{
    union control control;
    struct iovec part = {arrived + arrived_to, PACKET_MAX};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};

    if (arrived_from == arrived_to)
        part.iov_base = arrived + (arrived_from = arrived_to = 0);
    hand_demand(arrived_to <= ARRIVED_MAX - PACKET_MAX, 11);
    ssize_t size = recvmsg(hand.fd, &message, flags | MSG_CMSG_CLOEXEC);

    hand.over = hand.over || size == 0;
    if (size <= 0)
        return false;
    arrived_to += (size_t)size;
    for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
        size_t count = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        hand_demand(hand.kept_count + count <= HAND_KEPT, 12);
        memcpy(hand.kept + hand.kept_count, CMSG_DATA(one), count * sizeof(int));
        hand.kept_count += count;
    }
    return true;
}

/* Words by the socket after the switch: their descriptors are kept, and the rest is a wake-up. */
static void attend(void)
{
    for (;;) {
        while (arrived_to - arrived_from >= HAND_HEADER) {
            uint8_t kind = arrived[arrived_from + 4];

            hand_demand(kind == WAKE || kind == DESCRIPTORS, 13);
            arrived_from += HAND_HEADER;
        }
        if (hand.over || !receive(MSG_DONTWAIT))
            return;
    }
}

static void sleep_by_the_socket(void)
{
    struct pollfd polled = {.fd = hand.fd, .events = POLLIN};

    hand_demand(poll(&polled, 1, 20000) == 1, 14);
    if (hand.in_fast)
        attend();
    else /* frames still, and the switch; they are taken in, as the peer must get on */
        receive(MSG_DONTWAIT);
}

static void give_back(void)
{
    atomic_store_explicit(&hand.mine->head, hand.taken, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&hand.maker->starved) != 0 && atomic_exchange(&hand.maker->starved, 0) != 0)
        wake();
}

/* Bytes that can be taken from the ring, at least one. 0 at the end. */
static uint64_t await_bytes(void)
{
    while (peer_tail == hand.taken) {
        bool last = hand.over;

        peer_tail = atomic_load_explicit(&hand.maker->tail, memory_order_acquire);
        hand_demand(peer_tail - hand.taken <= hand.ring_size, 15);
        if (peer_tail != hand.taken || last)
            break;
        give_back();
        atomic_store(&hand.mine->asleep, 1);
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(&hand.maker->tail) == peer_tail)
            sleep_by_the_socket();
        atomic_store(&hand.mine->asleep, 0);
    }
    return peer_tail - hand.taken;
}

/* The next bytes of the conversation. False at its end. */
static bool take(void *to, size_t size)
{
    uint8_t *bytes = to;

    while (size > 0) {
        size_t part = arrived_to - arrived_from;
        const uint8_t *from = arrived + arrived_from;

        if (hand.in_fast) {
            part = await_bytes();
            if (part == 0)
                return false;
            uint64_t offset = (hand.taken - atomic_load(&hand.maker->base)) & (hand.ring_size - 1);

            if (part > hand.ring_size - offset)
                part = hand.ring_size - offset;
            from = hand.ring[0] + offset;
        } else if (part == 0) {
            if (!receive(0))
                return false;
            continue;
        }
        if (part > size)
            part = size;
        memcpy(bytes, from, part);
        bytes += part;
        size -= part;
        if (hand.in_fast)
            hand.taken += part;
        else
            arrived_from += part;
    }
    return true;
}

static void publish(void)
{
    atomic_store_explicit(&hand.mine->tail, hand.written, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&hand.maker->asleep) != 0 && atomic_exchange(&hand.maker->asleep, 0) != 0)
        wake();
}

static void look_for_room(void)
{
    uint64_t head = atomic_load_explicit(&hand.maker->head, memory_order_acquire);

    hand_demand(head - peer_head <= hand.written - peer_head, 16);
    peer_head = head;
}

void hand_put(const void *bytes, size_t size)
{
    const uint8_t *from = bytes;

    while (size > 0) {
        look_for_room();
        if (peer_head == hand.written && base != hand.written)
            atomic_store(&hand.mine->base, base = hand.written);
        uint64_t room = hand.ring_size - (hand.written - peer_head);
        uint64_t offset = (hand.written - base) & (hand.ring_size - 1);
        size_t part = size < room ? size : room;

        if (part > hand.ring_size - offset)
            part = hand.ring_size - offset;
        memcpy(hand.ring[1] + offset, from, part);
        hand.written += part;
        from += part;
        size -= part;
        publish();
        if (room > 0)
            continue;
        hand_demand(!hand.over, 17);
        atomic_store(&hand.mine->starved, 1);
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(&hand.maker->head) == peer_head)
            sleep_by_the_socket();
        atomic_store(&hand.mine->starved, 0);
    }
}

void hand_say(const struct hand_frame *frame, const void *payload, size_t size,
              const int *descriptors, size_t count)
{
    static uint8_t bytes[HAND_HEADER + FRAME_MAX];

    hand_demand(size <= FRAME_MAX, 18);
    hand_encode(bytes, frame);
    if (size > 0)
        memcpy(bytes + HAND_HEADER, payload, size);
    if (hand.out_fast) {
        if (count > 0)
            hand_say_word(DESCRIPTORS, descriptors, count);
        hand_put(bytes, HAND_HEADER + size);
        return;
    }
    hand_say_bytes(bytes, HAND_HEADER + size, descriptors, count);
}

void hand_say_text(enum hand_kind kind, uint64_t id, const char *text)
{
    struct hand_frame frame = {.length = (uint32_t)strlen(text), .kind = (uint8_t)kind, .id = id};

    hand_say(&frame, text, frame.length, NULL, 0);
}

static void accept_offer(const uint8_t *payload)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int memory = hand.kept[0];
    uint32_t version;
    struct stat file;

    hand_demand(hand.kept_count >= 1, 23);
    memcpy(&version, payload, 4);
    memcpy(&hand.ring_size, payload + 8, 8);
    hand.ring_size = be64toh(hand.ring_size);
    hand_demand(ntohl(version) == 1, 28);
    hand_demand((fcntl(memory, F_GET_SEALS) & (seals | F_SEAL_WRITE)) == seals, 29);
    hand_demand(fstat(memory, &file) == 0 && (uint64_t)file.st_size == page + 2 * hand.ring_size,
                19);
    uint8_t *start =
        mmap(NULL, page + 2 * hand.ring_size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);

    hand_demand(start != MAP_FAILED, 20);
    if (hand_keeps_memory)
        hand.memory = memory;
    else
        close(memory);
    hand_forget(1);
    hand.maker = (struct hand_words *)(void *)start;
    hand.mine = hand.maker + 1;
    hand.ring[0] = start + page;
    hand.ring[1] = hand.ring[0] + hand.ring_size;
    hand_say_word(ACCEPT, NULL, 0);
    hand.out_fast = true;
}

static void decode(const uint8_t header[HAND_HEADER], struct hand_frame *ret)
{
    memcpy(&ret->length, header, 4);
    memcpy(&ret->descriptors, header + 6, 2);
    memcpy(&ret->id, header + 8, 8);
    ret->length = ntohl(ret->length);
    ret->kind = header[4];
    ret->flags = header[5];
    ret->descriptors = ntohs(ret->descriptors);
    ret->id = be64toh(ret->id);
}

bool hand_hear(struct hand_frame *ret)
{
    static uint8_t payload[FRAME_MAX];
    uint8_t header[HAND_HEADER];

    for (;;) {
        /* What was heard before is done with. */
        if (hand.in_fast)
            give_back();
        if (!take(header, sizeof(header)))
            return false;
        decode(header, ret);
        ret->payload = payload;
        hand_demand(ret->length <= sizeof(payload), 21);
        hand_demand(take(payload, ret->length), 22);
        /* They were sent before the frame was published. */
        if (hand.in_fast && ret->descriptors > hand.kept_count)
            attend();
        hand_demand(ret->descriptors <= hand.kept_count, 24);
        if (ret->kind == OFFER)
            accept_offer(payload);
        else if (ret->kind == SWITCH)
            hand.in_fast = true;
        else
            return true;
    }
}

void hand_forget(size_t count)
{
    hand.kept_count -= count;
    memmove(hand.kept, hand.kept + count, hand.kept_count * sizeof(int));
}

void hand_say_end(void)
{
    const struct hand_frame end = {.kind = END};

    if (hand.out_fast)
        hand_say(&end, NULL, 0, NULL, 0);
}
