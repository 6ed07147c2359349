/* SPDX-License-Identifier: MIT */
/*
 * The inside of the simulated kernel, for the files of this folder that are it.
 */
#ifndef DUPLEX_TESTS_SIMULATION_KERNEL_H
#define DUPLEX_TESTS_SIMULATION_KERNEL_H

#include "fibre.h"
#include "world.h"

#include "os/os.h"

#include <poll.h>

enum {
    DESCRIPTORS = 256,
    PROCESSES = 512,
    PACKET_FILES = 253,
    PIPE_PAGES = 16,
    PAGE = 4096,
    DEFAULT_SEND_BUFFER = 212992,
    FAILURE_SIZE = 1024,
};

struct process;
struct file;

enum file_kind { FILE_SOCKET, FILE_PIPE, FILE_PIDFD, FILE_WATCH, FILE_MEMORY, FILE_NULL };

/* Bytes that lie in a socket, and the files that travel with them. */
struct packet {
    struct packet *next;
    size_t size, consumed;
    size_t charge; /* to the sender's buffer */
    struct file **files;
    size_t file_count;
    uint8_t bytes[];
};

struct socket {
    struct pair *pair;
    struct packet *first, *last;
    unsigned shut; /* SHUT_IN and SHUT_OUT */
    int error;     /* what the next call says once; positive */
    size_t charged;
    int send_buffer;
    bool closed;
    bool disconnected; /* a datagram socket that found its peer closed */
    bool barred;       /* SO_PASSRIGHTS is 0 */
    bool asks_who;     /* SO_PASSCRED */
};

enum { SHUT_IN = 1, SHUT_OUT = 2 };

struct pair {
    int type;
    struct process *maker;
    uint64_t maker_generation;
    struct socket ends[2];
};

struct pipe {
    struct {
        unsigned offset, size;
    } pages[PIPE_PAGES];
    unsigned first, count;
    unsigned readers, writers;
    uint8_t bytes[PIPE_PAGES][PAGE];
};

struct interest {
    int fd;
    struct file *file;
    unsigned events;
    uint64_t key;
};

struct watch_set {
    struct interest *interests;
    size_t count, capacity;
};

/* An open file description. */
struct file {
    struct file *next, *before; /* of all that are open, or the free ones */
    enum file_kind kind;
    unsigned references;
    uint64_t number;
    bool nonblocking;
    bool writes; /* of a pipe: which end */
    union {
        struct socket *socket;
        struct pipe *pipe;
        struct {
            struct process *process;
            uint64_t generation;
        } pidfd;
        struct watch_set set;
        struct memory *memory;
    };
};

enum life {
    LIFE_NONE,
    LIFE_RUNS,
    LIFE_DYING,  /* its descriptors are being closed */
    LIFE_ZOMBIE, /* nobody has reaped it */
};

struct slot {
    struct file *file;
    bool cloexec;
};

struct block {
    struct block *next, **link;
    size_t size;
    max_align_t bytes[];
};

/* What a child is to become; a copy of what its parent asked for. */
struct birth {
    struct dxi_descriptor_move moves[DESCRIPTORS];
    size_t move_count;
    int (*prepare)(void *context);
    int (*run)(void *context);
    void *context;
    int (*program)(void);
    char **environment;
    bool told;
    int error;
    enum dxi_step step;
};

struct process {
    enum life life;
    pid_t pid;
    unsigned number;
    uint64_t generation;
    struct process *parent;
    pid_t group;
    bool dies_with_parent;
    struct slot slots[DESCRIPTORS];
    unsigned highest; /* no descriptor at or above */
    struct fibre fibre;
    struct birth *birth;
    char **environment;
    struct block *memory;
    size_t blocks;
    uint64_t calls;
    uint64_t death_at;
    bool stopped, term_pending, ignores_term;
    bool hangs;
    bool was_killed; /* by the kernel's own choice */
    int exit_code, exit_signal;

    /* A sleep: until something of these is there, or until the time has come. */
    bool asleep;
    bool willing; /* false: kept from running */
    struct pollfd *polled;
    size_t polled_count;
    int watched; /* a watch descriptor, or -1 */
    bool (*awaits)(struct process *self);
    uint64_t until_ns;
    uint64_t since_ns;
    uint64_t seen; /* kernel.changes when it was last looked at */

    bool promised;
    uint64_t promise_ns; /* so long it may still be asleep */
};

struct kernel {
    struct world_options options;
    struct randomness choices;
    bool traced;
    uint64_t now_ns;
    uint64_t changes;
    uint64_t calls;
    uint64_t hash;
    uint64_t files_made;
    uint64_t generations;
    struct file *files; /* open */
    size_t file_count;
    struct process *running;
    struct process *processes[PROCESSES];
    unsigned process_count; /* in the table */
    unsigned born;
    unsigned deaths, refusals;
    pid_t next_pid;
    struct process *root;
    bool root_killed;
    struct fibre host;
    char failure[FAILURE_SIZE];
    bool failed;
};

extern struct kernel kernel;

/* Something changed that may wake somebody. */
static inline void kernel_stir(void)
{
    kernel.changes++;
}

/* schedule.c */

/* A call begins: time passes, and others may. Returns who makes it. */
struct process *kernel_enter(void);

/* A call ends with this. Printed if the world is traced. */
long kernel_leave(const char *name, int fd, long argument, long result);

/* Run the first process, and return when all have ended, or the world has failed. */
void world_begin(void);

/* A place within a call where others may get on. */
void kernel_interrupt(void);

/* Have another process get on. ends: who runs never will again. */
void kernel_yield(bool ends);

/* Whether a read or a write moves less; and how much. */
size_t kernel_cut(size_t size);
bool kernel_refuses(void);

/* Sleep as polled, watched or awaits of the process that runs say. */
void kernel_sleep(uint64_t until_ns);

/* files.c */

struct file *file_make(enum file_kind kind);
void file_hold(struct file *file);
void file_let_go(struct file *file);
struct file *file_of(struct process *process, int fd);
int file_place(struct process *process, struct file *file, int at_least, bool cloexec);
int file_close(struct process *process, int fd);
unsigned file_events(const struct file *file);

int files_examine(int fd, struct dxi_nature *ret);
int files_duplicate(int fd, int at_least);
int files_replace(int fd, int number);
int files_set_cloexec(int fd, bool on);
int files_set_nonblock(int fd, bool on);
int files_open(const char *path, int flags);

/* pipes.c */

int pipes_make(int ret[2]);
void pipes_close(struct file *file);
unsigned pipes_events(const struct file *file);
ssize_t pipes_read(int fd, void *bytes, size_t size);
ssize_t pipes_write(int fd, const struct iovec *parts, size_t count);
ssize_t pipes_queued(const struct file *file);

/* sockets.c */

int sockets_make(int type, int ret[2]);
void sockets_close(struct file *file);
unsigned sockets_events(const struct file *file);
ssize_t sockets_send(int fd, const struct iovec *parts, size_t count, const int *descriptors,
                     size_t descriptor_count);
int sockets_shutdown(int fd, int how);
int sockets_get(int fd, int name, int *ret);
int sockets_set(int fd, int name, int value);
int sockets_connected(int fd);
ssize_t sockets_queued(int fd);
int sockets_peer_pidfd(int fd);
struct socket *sockets_peer(const struct socket *self);

/* receive.c */

ssize_t sockets_receive(int fd, void *bytes, size_t size, struct dxi_arrival *arrival);
void packets_drop(struct socket *owner);

/* waits.c */

int waits_poll(struct pollfd *descriptors, size_t count, uint64_t deadline_ns);
int waits_watch_open(void);
int waits_watch(int watch_fd, int fd, unsigned before, unsigned events, uint64_t key);
int waits_watched(int watch_fd, struct dxi_event *ret, size_t count, uint64_t deadline_ns);
bool waits_ready(struct process *process);
unsigned waits_events(const struct file *file);
void waits_close(struct file *file);

/* processes.c */

struct process *process_make(struct process *parent, void (*entry)(void));
struct process *process_by_pid(pid_t pid);
void process_end(struct process *process, int code, int signal);
void process_die_further(struct process *process);
void process_forget(struct process *process);
void process_signal(struct process *process, int signal);
bool process_gone(const struct file *pidfd);
unsigned process_events(const struct file *pidfd);
int processes_pidfd(struct process *process);
int processes_pidfd_open(pid_t pid);
int processes_signal(int pidfd, pid_t pid, int signal);
int processes_signal_group(int pidfd, pid_t leader, int signal);
int processes_reap(int pidfd, struct dxi_ended *ret);
int processes_resident(pid_t pid, uint64_t *ret);

/* birth.c */

int birth_start(const struct dxi_start *start, struct dxi_started *ret);
int birth_fork(const struct dxi_start *start, struct dxi_started *ret);

/* memory.c */

void *memory_allocate(size_t size);
void *memory_resize(void *memory, size_t size);
void memory_release(void *memory);
void memory_free_all(struct process *process);
int memory_create(size_t ring_size, struct dxi_region *ret, int *ret_fd);
int memory_map(int fd, size_t ring_size, struct dxi_region *ret);
void memory_unmap(struct dxi_region *region);
void memory_close(struct file *file);
size_t memory_count(void); /* of what is shared */
void memory_unmap_all(struct process *process);
void memory_sweep(void);

/* table.c */

extern const struct dxi_os simulated_os;

#endif
