/* SPDX-License-Identifier: MIT */
/*
 * A child that was written by docs/wire.md and docs/lane.md alone: it takes part in a fast lane as the
 * acceptor, sends each message and its descriptors back, and says the end when it hears it. It knows
 * nothing of src/. It leaves with another status than 0 at anything that it did not expect.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HELLO = 1, MESSAGE, OFFER = 7, ACCEPT, SWITCH = 10, WAKE, DESCRIPTORS, END };
enum { PACKET_MAX = 262144, ARRIVED_MAX = 32 << 20, KEPT = 64, PIECE = 64 << 10 };

/* The table of docs/lane.md; the acceptor's words lie 128 bytes behind the maker's. */
struct words {
    _Alignas(128) _Atomic uint64_t tail;
    _Atomic uint64_t base, head;
    _Atomic uint32_t asleep, starved, cpu;
};

static int parent;
static uint8_t arrived[ARRIVED_MAX];
static size_t arrived_from, arrived_to;
static int kept[KEPT]; /* descriptors that belong to nothing yet */
static size_t kept_count;
static uint64_t words_said;

static struct words *maker, *mine;
static uint8_t *ring[2];
static uint64_t ring_size, taken, written, peer_tail, peer_head, base;
static bool in_fast, out_fast, over;

static _Noreturn void leave(int status)
{
    _exit(status);
}

static void demand(bool rule, int status)
{
    if (!rule)
        leave(status);
}

static void encode(uint8_t *header, uint32_t size, uint8_t kind, uint8_t flags, unsigned count,
                   uint64_t id)
{
    uint32_t length = htonl(size);
    uint16_t descriptors = htons((uint16_t)count);

    id = htobe64(id);
    memcpy(header, &length, 4);
    header[4] = kind;
    header[5] = flags;
    memcpy(header + 6, &descriptors, 2);
    memcpy(header + 8, &id, 8);
}

/* By the socket; the descriptors are closed. */
static void send_bytes(const void *bytes, size_t size, const int *descriptors, size_t count)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(KEPT * sizeof(int))];
    } control = {0};

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
        ssize_t sent = sendmsg(parent, &message, MSG_NOSIGNAL);

        demand(sent > 0, 10);
        for (; count > 0; count--)
            close(descriptors[count - 1]);
        bytes = (const uint8_t *)bytes + sent;
        size -= (size_t)sent;
    }
}

static void say_word(uint8_t kind, const int *descriptors, size_t count)
{
    uint8_t header[16];

    encode(header, 0, kind, 0, (unsigned)count, kind == DESCRIPTORS ? ++words_said : 0);
    send_bytes(header, sizeof(header), descriptors, count);
}

static void wake(void)
{
    uint8_t header[16];

    encode(header, 0, WAKE, 0, 0, 0);
    (void)!send(parent, header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* One read of the socket. False: nothing is there, or it is over. */
static bool receive(int flags)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(KEPT * sizeof(int))];
    } control;
    struct iovec part = {arrived + arrived_to, PACKET_MAX};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};

    if (arrived_from == arrived_to)
        part.iov_base = arrived + (arrived_from = arrived_to = 0);
    demand(arrived_to <= ARRIVED_MAX - PACKET_MAX, 11);
    ssize_t size = recvmsg(parent, &message, flags | MSG_CMSG_CLOEXEC);

    over = over || size == 0;
    if (size <= 0)
        return false;
    arrived_to += (size_t)size;
    for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
        size_t count = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        demand(kept_count + count <= KEPT, 12);
        memcpy(kept + kept_count, CMSG_DATA(one), count * sizeof(int));
        kept_count += count;
    }
    return true;
}

/* Words by the socket after the switch: their descriptors are kept, and the rest is a wake-up. */
static void attend(void)
{
    for (;;) {
        while (arrived_to - arrived_from >= 16) {
            uint8_t kind = arrived[arrived_from + 4];

            demand(kind == WAKE || kind == DESCRIPTORS, 13);
            arrived_from += 16;
        }
        if (over || !receive(MSG_DONTWAIT))
            return;
    }
}

static void sleep_by_the_socket(void)
{
    struct pollfd polled = {.fd = parent, .events = POLLIN};

    demand(poll(&polled, 1, 20000) == 1, 14);
    if (in_fast)
        attend();
    else /* frames still, and the switch; they are taken in, as the peer must get on */
        receive(MSG_DONTWAIT);
}

static void give_back(void)
{
    atomic_store_explicit(&mine->head, taken, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&maker->starved) != 0 && atomic_exchange(&maker->starved, 0) != 0)
        wake();
}

/* Bytes that can be taken from the ring, at least one. 0 at the end. */
static uint64_t await_bytes(void)
{
    while (peer_tail == taken) {
        bool last = over;

        peer_tail = atomic_load_explicit(&maker->tail, memory_order_acquire);
        demand(peer_tail - taken <= ring_size, 15);
        if (peer_tail != taken || last)
            break;
        give_back();
        atomic_store(&mine->asleep, 1);
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(&maker->tail) == peer_tail)
            sleep_by_the_socket();
        atomic_store(&mine->asleep, 0);
    }
    return peer_tail - taken;
}

/* The next bytes of the conversation. False at its end. */
static bool take(void *to, size_t size)
{
    uint8_t *bytes = to;

    while (size > 0) {
        size_t part = arrived_to - arrived_from;
        const uint8_t *from = arrived + arrived_from;

        if (in_fast) {
            part = await_bytes();
            if (part == 0)
                return false;
            uint64_t offset = (taken - atomic_load(&maker->base)) & (ring_size - 1);

            if (part > ring_size - offset)
                part = ring_size - offset;
            from = ring[0] + offset;
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
        if (in_fast)
            taken += part;
        else
            arrived_from += part;
    }
    return true;
}

static void publish(void)
{
    atomic_store_explicit(&mine->tail, written, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&maker->asleep) != 0 && atomic_exchange(&maker->asleep, 0) != 0)
        wake();
}

static void look_for_room(void)
{
    uint64_t head = atomic_load_explicit(&maker->head, memory_order_acquire);

    demand(head - peer_head <= written - peer_head, 16);
    peer_head = head;
}

static void put(const void *bytes, size_t size)
{
    const uint8_t *from = bytes;

    while (size > 0) {
        look_for_room();
        if (peer_head == written && base != written)
            atomic_store(&mine->base, base = written);
        uint64_t room = ring_size - (written - peer_head);
        uint64_t offset = (written - base) & (ring_size - 1);
        size_t part = size < room ? size : room;

        if (part > ring_size - offset)
            part = ring_size - offset;
        memcpy(ring[1] + offset, from, part);
        written += part;
        from += part;
        size -= part;
        publish();
        if (room > 0)
            continue;
        atomic_store(&mine->starved, 1);
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(&maker->head) == peer_head)
            sleep_by_the_socket();
        atomic_store(&mine->starved, 0);
    }
}

static void say_message(const uint8_t *message, size_t size, const int *descriptors, size_t count)
{
    static uint8_t frame[16 + PIECE];

    if (out_fast) {
        encode(frame, (uint32_t)size, MESSAGE, 0, (unsigned)count, 0);
        if (count > 0)
            say_word(DESCRIPTORS, descriptors, count);
        put(frame, 16);
        put(message, size);
        return;
    }
    for (size_t start = 0; start == 0 || start < size; start += PIECE) {
        size_t part = size - start < PIECE ? size - start : PIECE;

        encode(frame, (uint32_t)part, MESSAGE, start + part < size,
               start == 0 ? (unsigned)count : 0, 0);
        memcpy(frame + 16, message + start, part);
        send_bytes(frame, 16 + part, descriptors, start == 0 ? count : 0);
    }
}

static void hear_offer(const uint8_t *payload, int memory)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint32_t version;
    struct stat file;

    memcpy(&version, payload, 4);
    memcpy(&ring_size, payload + 8, 8);
    ring_size = be64toh(ring_size);
    demand(ntohl(version) == 1, 17);
    demand((fcntl(memory, F_GET_SEALS) & (seals | F_SEAL_WRITE)) == seals, 18);
    demand(fstat(memory, &file) == 0 && (uint64_t)file.st_size == page + 2 * ring_size, 19);
    uint8_t *start =
        mmap(NULL, page + 2 * ring_size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);

    demand(start != MAP_FAILED, 20);
    close(memory);
    maker = (struct words *)(void *)start;
    mine = maker + 1;
    ring[0] = start + page;
    ring[1] = ring[0] + ring_size;
    say_word(ACCEPT, NULL, 0);
    out_fast = true;
}

int main(void)
{
    static const uint8_t hello[20] = {0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0};
    static uint8_t message[16 << 20];
    size_t size = 0, count = 0;
    uint8_t header[16], greeting[16 + sizeof(hello)];

    const char *number = getenv("DUPLEX_FD");

    demand(number != NULL, 26);
    parent = (int)strtol(number, NULL, 10);
    encode(greeting, sizeof(hello), HELLO, 0, 0, 0);
    memcpy(greeting + 16, hello, sizeof(hello));
    send_bytes(greeting, sizeof(greeting), NULL, 0);
    while (take(header, sizeof(header)) && header[4] != END) {
        size_t length = (size_t)header[0] << 24 | header[1] << 16 | header[2] << 8 | header[3];

        demand(size + length <= sizeof(message), 21);
        demand(take(message + size, length), 22);
        size += length;
        count += (size_t)header[6] << 8 | header[7];
        /* They were sent before the frame was published. */
        if (in_fast && count > kept_count)
            attend();
        demand(count <= kept_count, 23);
        if (header[4] == OFFER)
            hear_offer(message, kept[0]);
        else if (header[4] == SWITCH)
            in_fast = true;
        else if (header[4] == MESSAGE && header[5] != 0)
            continue;
        else if (header[4] == MESSAGE)
            say_message(message, size, kept, count);
        else
            demand(header[4] == HELLO, 24);
        kept_count -= count;
        memmove(kept, kept + count, kept_count * sizeof(int));
        size = count = 0;
        if (in_fast)
            give_back();
    }
    if (!out_fast)
        return 25;
    encode(header, 0, END, 0, 0, 0);
    put(header, sizeof(header));
    return 0;
}
