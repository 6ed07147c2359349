/* SPDX-License-Identifier: MIT */
/*
 * Scripts of calls on sockets, pipes and watches. A call is made of Linux first, then of the simulated
 * kernel; all that it answers is compared.
 */
#include "script.h"

#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

enum {
    SLOTS = 24,
    STEPS = 60,
    BYTES_MAX = 300000,
    ROOMY_SENDS = 20,
    CAPACITY_MAX = 5,
};

enum thing { THING_NONE, THING_SOCKET, THING_PIPE_IN, THING_PIPE_OUT, THING_WATCH };

/* The same descriptor of both kernels. */
struct pair_of {
    enum thing thing;
    int real, made;
    unsigned family; /* of sockets: a number for each pair, rising */
    int type;
    unsigned sends;
    unsigned watched; /* the events, by the one watch there is */
};

static struct pair_of slots[SLOTS];
static struct randomness plan;
static struct script_kernel at_hand;
static unsigned families;
static uint8_t bytes_real[BYTES_MAX], bytes_made[BYTES_MAX], bytes_sent[BYTES_MAX];

static void same(const char *what, long real, long made)
{
    world_say("%s: %ld", what, real);
    world_check(real == made, "%s: Linux says %ld, and the simulation %ld", what, real, made);
}

static struct pair_of *free_slot(void)
{
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].thing == THING_NONE)
            return &slots[i];
    }
    return NULL;
}

/* One of this kind, or NULL. */
static struct pair_of *any(enum thing thing)
{
    unsigned from = (unsigned)random_below(&plan, SLOTS);

    for (unsigned i = 0; i < SLOTS; i++) {
        struct pair_of *slot = &slots[(from + i) % SLOTS];

        if (slot->thing == thing)
            return slot;
    }
    return NULL;
}

static void keep(enum thing thing, int real, int made, unsigned family, int type)
{
    struct pair_of *slot = free_slot();

    if (slot == NULL || real < 0 || made < 0) {
        if (real >= 0)
            dxi_linux.close(real);
        if (made >= 0)
            simulated_os.close(made);
        return;
    }
    *slot = (struct pair_of){
        .thing = thing, .real = real, .made = made, .family = family, .type = type};
}

static void make_sockets(void)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    int type = types[random_below(&plan, 3)];
    int real[2], made[2];

    same("socketpair", dxi_linux.socketpair(type, real), simulated_os.socketpair(type, made));
    families++;
    for (int i = 0; i < 2; i++)
        keep(THING_SOCKET, real[i], made[i], families, type);
}

static void make_pipe(void)
{
    int real[2], made[2];

    same("pipe", dxi_linux.pipe(real), simulated_os.pipe(made));
    keep(THING_PIPE_IN, real[0], made[0], 0, 0);
    keep(THING_PIPE_OUT, real[1], made[1], 0, 0);
}

static void make_watch(void)
{
    if (any(THING_WATCH) == NULL)
        keep(THING_WATCH, dxi_linux.watch_open(), simulated_os.watch_open(), 0, 0);
}

/*
 * Descriptors to send along: none whose socket could then lie in itself, which only a collector of
 * garbage would find.
 */
static size_t choose_descriptors(const struct pair_of *socket, int *real, int *made)
{
    size_t count = 0;

    if (!random_one_in(&plan, 4))
        return 0;
    for (size_t i = random_below(&plan, CAPACITY_MAX) + 1; i > 0; i--) {
        const struct pair_of *slot = &slots[random_below(&plan, SLOTS)];

        if (slot->thing == THING_NONE || slot->thing == THING_WATCH ||
            (slot->thing == THING_SOCKET && slot->family <= socket->family))
            continue;
        real[count] = slot->real;
        made[count++] = slot->made;
    }
    return count;
}

static void send_something(void)
{
    struct pair_of *slot = any(THING_SOCKET);
    int real[CAPACITY_MAX + 1], made[CAPACITY_MAX + 1];

    if (slot == NULL || (!at_hand.exact && slot->sends == ROOMY_SENDS))
        return;
    size_t size = random_size(&plan, at_hand.exact ? BYTES_MAX : 100);
    struct iovec parts[2] = {{.iov_base = bytes_sent, .iov_len = size / 3},
                             {.iov_base = bytes_sent + size / 3, .iov_len = size - size / 3}};
    size_t count = choose_descriptors(slot, real, made);

    /* Whether an empty packet that nobody read is a loss depends on the kernel's age. */
    if (slot->type == SOCK_SEQPACKET && size == 0)
        return;
    for (size_t i = 0; i < size; i += 97)
        bytes_sent[i] = (uint8_t)random_next(&plan);
    slot->sends++;
    ssize_t sent = dxi_linux.send(slot->real, parts, 2, real, count);
    ssize_t sent_made = simulated_os.send(slot->made, parts, 2, made, count);

    /* An older kernel looks first whether there is a peer at all. */
    if (at_hand.old && sent == -ENOTCONN && sent_made < 0)
        return;
    same(count > 0 ? "send with descriptors" : "send", sent, sent_made);
}

/* Which of the slots this descriptor is another name of, as this kernel sees it; or -1. */
static int known_as(const struct dxi_os *os, int fd)
{
    struct dxi_nature self, other;

    if (os->examine(fd, &self) < 0)
        return -2;
    for (int i = 0; i < SLOTS; i++) {
        int there = os == &dxi_linux ? slots[i].real : slots[i].made;

        if (slots[i].thing == THING_NONE || os->examine(there, &other) < 0)
            continue;
        if (self.device == other.device && self.inode == other.inode &&
            self.readable == other.readable && self.writable == other.writable)
            return i;
    }
    return -1;
}

/* One that is known by no other name is closed: nobody here knows the family of its socket. */
static void take_descriptor(int real, int made)
{
    int known = known_as(&dxi_linux, real);

    same("a received descriptor", known, known_as(&simulated_os, made));
    if (known >= 0)
        keep(slots[known].thing, real, made, slots[known].family, slots[known].type);
    else
        same("close", dxi_linux.close(real), simulated_os.close(made));
}

static void receive_something(void)
{
    struct pair_of *slot = any(THING_SOCKET);
    int real_fds[CAPACITY_MAX], made_fds[CAPACITY_MAX];

    if (slot == NULL)
        return;
    size_t size = 1 + random_size(&plan, BYTES_MAX - 1);
    struct dxi_arrival real = {.descriptors = real_fds,
                               .capacity = random_below(&plan, CAPACITY_MAX),
                               .packets = slot->type != SOCK_STREAM,
                               .barred = random_one_in(&plan, 8)};
    struct dxi_arrival made = real;

    made.descriptors = made_fds;
    ssize_t got = dxi_linux.receive(slot->real, bytes_real, size, &real);

    same("receive", got, simulated_os.receive(slot->made, bytes_made, size, &made));
    if (got < 0)
        return;
    same("bytes that are the same", 0, memcmp(bytes_real, bytes_made, (size_t)got));
    same("descriptors", (long)real.count, (long)made.count);
    same("lost", real.lost, made.lost);
    same("cut", real.cut, made.cut);
    same("says who sent it", real.has_sender, made.has_sender);
    for (size_t i = 0; i < real.count; i++)
        take_descriptor(real.descriptors[i], made.descriptors[i]);
}

static unsigned choose_events(void)
{
    static const unsigned all[] = {POLLIN, POLLOUT, POLLRDHUP, POLLPRI};
    unsigned events = 0;

    for (int i = 0; i < 4; i++) {
        if (random_one_in(&plan, 2))
            events |= all[i];
    }
    return at_hand.exact ? events : events & ~(unsigned)POLLOUT;
}

static void poll_some(void)
{
    struct pollfd real[6], made[6];
    size_t count = random_below(&plan, 6);

    for (size_t i = 0; i < count; i++) {
        const struct pair_of *slot = &slots[random_below(&plan, SLOTS)];

        real[i] = (struct pollfd){.fd = slot->thing == THING_NONE ? -1 : slot->real,
                                  .events = (short)choose_events()};
        made[i] = real[i];
        made[i].fd = slot->thing == THING_NONE ? -1 : slot->made;
    }
    same("poll", dxi_linux.poll(real, count, 0), simulated_os.poll(made, count, 0));
    for (size_t i = 0; i < count; i++)
        same("its events", real[i].revents, made[i].revents);
}

static void watch_one(struct pair_of *slot, unsigned events)
{
    const struct pair_of *watch = any(THING_WATCH);

    if (watch == NULL || slot->thing == THING_NONE || slot->thing == THING_WATCH)
        return;
    uint64_t key = (uint64_t)(slot - slots);

    same("watch", dxi_linux.watch(watch->real, slot->real, slot->watched, events, key),
         simulated_os.watch(watch->made, slot->made, slot->watched, events, key));
    slot->watched = events;
}

static void look_at_watch(void)
{
    const struct pair_of *watch = any(THING_WATCH);
    struct dxi_event real[SLOTS], made[SLOTS];
    unsigned real_events[SLOTS] = {0}, made_events[SLOTS] = {0};

    if (watch == NULL)
        return;
    int count = dxi_linux.watched(watch->real, real, SLOTS, 0);

    same("watched", count, simulated_os.watched(watch->made, made, SLOTS, 0));
    for (int i = 0; i < count; i++) {
        real_events[real[i].key] = real[i].events;
        made_events[made[i].key] = made[i].events;
    }
    for (int i = 0; i < SLOTS; i++)
        same("what was watched", (long)real_events[i], (long)made_events[i]);
}

static void let_go(struct pair_of *slot)
{
    if (slot->thing == THING_NONE)
        return;
    if (slot->watched != 0)
        watch_one(slot, 0);
    for (int i = 0; i < SLOTS && slot->thing == THING_WATCH; i++)
        slots[i].watched = 0;
    same("close", dxi_linux.close(slot->real), simulated_os.close(slot->made));
    slot->thing = THING_NONE;
}

static void read_or_write(void)
{
    struct pair_of *slot = any(random_one_in(&plan, 2) ? THING_PIPE_IN : THING_PIPE_OUT);
    size_t size = 1 + random_size(&plan, 70000);

    if (slot == NULL)
        return;
    if (slot->thing == THING_PIPE_OUT) {
        const struct iovec part = {.iov_base = bytes_sent, .iov_len = size};

        same("write", dxi_linux.write(slot->real, &part, 1, true),
             simulated_os.write(slot->made, &part, 1, true));
        return;
    }
    ssize_t got = dxi_linux.read(slot->real, bytes_real, size, true);

    same("read", got, simulated_os.read(slot->made, bytes_made, size, true));
    if (got > 0)
        same("bytes that are the same", 0, memcmp(bytes_real, bytes_made, (size_t)got));
}

static void ask_and_set(struct pair_of *slot)
{
    static const int names[] = {SO_TYPE, SO_ERROR, SO_DOMAIN, SO_ACCEPTCONN, SO_SNDBUF};
    int name = names[random_below(&plan, at_hand.exact ? 5 : 4)];
    int real = 0, made = 0;
    int value = (int)random_below(&plan, 100000);

    switch (random_below(&plan, 6)) {
    case 0:
        same("socket_get", dxi_linux.socket_get(slot->real, name, &real),
             simulated_os.socket_get(slot->made, name, &made));
        same("its value", real, made);
        break;
    case 1:
        if (at_hand.exact)
            same("a send buffer", dxi_linux.socket_set(slot->real, SO_SNDBUF, value),
                 simulated_os.socket_set(slot->made, SO_SNDBUF, value));
        break;
    case 2:
        value = random_one_in(&plan, 2);
        same("SO_PASSRIGHTS", dxi_linux.socket_set(slot->real, SO_PASSRIGHTS, value),
             simulated_os.socket_set(slot->made, SO_PASSRIGHTS, value));
        break;
    case 3:
        /* On a stream it would also part what different senders have said. */
        if (slot->type != SOCK_STREAM)
            same("SO_PASSCRED", dxi_linux.socket_set(slot->real, SO_PASSCRED, value & 1),
                 simulated_os.socket_set(slot->made, SO_PASSCRED, value & 1));
        break;
    case 4:
        same("queued", dxi_linux.queued(slot->real), simulated_os.queued(slot->made));
        break;
    default:
        same("socket_connected", dxi_linux.socket_connected(slot->real),
             simulated_os.socket_connected(slot->made));
        break;
    }
}

static void examine(struct pair_of *slot)
{
    struct dxi_nature real = {0}, made = {0};
    bool on = random_one_in(&plan, 2);

    same("examine", dxi_linux.examine(slot->real, &real), simulated_os.examine(slot->made, &made));
    same("its sort", real.sort, made.sort);
    same("its modes", real.readable * 4 + real.writable * 2 + real.cloexec,
         made.readable * 4 + made.writable * 2 + made.cloexec);
    same("is_fifo", real.is_fifo, made.is_fifo);
    same("set_cloexec", dxi_linux.set_cloexec(slot->real, on),
         simulated_os.set_cloexec(slot->made, on));
    same("set_nonblock", dxi_linux.set_nonblock(slot->real, !on),
         simulated_os.set_nonblock(slot->made, !on));
}

static void shut(struct pair_of *slot, int how)
{
    same("shutdown", dxi_linux.shutdown(slot->real, how), simulated_os.shutdown(slot->made, how));
}

static void step(void)
{
    struct pair_of *slot = &slots[random_below(&plan, SLOTS)];

    switch (random_below(&plan, 24)) {
    case 0:
    case 1:
        make_sockets();
        break;
    case 2:
        make_pipe();
        break;
    case 3:
        make_watch();
        break;
    case 4:
        let_go(slot);
        break;
    case 5:
        if (slot->thing != THING_NONE && slot->thing != THING_WATCH)
            keep(slot->thing, dxi_linux.duplicate(slot->real, 3),
                 simulated_os.duplicate(slot->made, 3), slot->family, slot->type);
        break;
    case 6:
        slot = any(THING_SOCKET);
        if (slot != NULL && random_one_in(&plan, 2))
            shut(slot, (int)random_below(&plan, 3));
        break;
    case 7:
        watch_one(slot, choose_events());
        break;
    case 8:
        look_at_watch();
        break;
    case 9:
    case 10:
        read_or_write();
        break;
    case 11:
    case 12:
        slot = any(THING_SOCKET);
        if (slot != NULL)
            ask_and_set(slot);
        break;
    case 13:
        if (slot->thing != THING_NONE && slot->thing != THING_WATCH)
            examine(slot);
        break;
    case 14:
    case 15:
        poll_some();
        break;
    case 16:
    case 17:
    case 18:
        receive_something();
        break;
    default:
        send_something();
        break;
    }
}

static void perform(void *context)
{
    (void)context;
    make_sockets();
    for (int i = 0; i < STEPS; i++)
        step();
    for (int i = 0; i < SLOTS; i++)
        let_go(&slots[i]);
}

/* Linux must not keep what a script left that failed. */
static void close_real(void)
{
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].thing != THING_NONE)
            dxi_linux.close(slots[i].real);
    }
}

const char *script_run(uint64_t seed, const struct script_kernel *linux_kernel, bool traced)
{
    struct world_options calm = {.old = linux_kernel->old};

    at_hand = *linux_kernel;
    plan.state = seed;
    families = 0;
    memset(slots, 0, sizeof(slots));
    struct world_history history = world_run(seed, &calm, perform, NULL, traced);

    if (history.failure)
        close_real();
    return history.failure;
}
