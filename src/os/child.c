/* SPDX-License-Identifier: MIT */
/*
 * What a child does to itself between its birth and its program.
 *
 * It may be sharing its memory with a parent whose other threads run on, so it makes bare system
 * calls and nothing else: no lock, no allocation, no handler. The C library's wrappers will not do.
 * Those of the set…id family would tell the parent's threads to follow, others are points of
 * cancellation, and sigaction(3) keeps books. The errno that is written here is the waiting
 * thread's, which restores it.
 */
#include "os/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* Linux 5.9; the same number everywhere */
#endif

/* 32-bit systems that once had 16-bit ids have the calls for real ids under other names. */
#ifdef SYS_setresuid32
enum { CALL_SETGROUPS = SYS_setgroups32, CALL_SETGID = SYS_setresgid32 };
enum { CALL_SETUID = SYS_setresuid32 };
#else
enum { CALL_SETGROUPS = SYS_setgroups, CALL_SETGID = SYS_setresgid, CALL_SETUID = SYS_setresuid };
#endif

/*
 * Without close_range(2) and without /proc, descriptors are closed one by one up to here at most.
 */
enum { DESCRIPTORS_TRIED = 1 << 20 };

DXI_IN_CHILD static int outcome(long value)
{
    return value < 0 ? -errno : (int)value;
}

DXI_IN_CHILD _Noreturn void dxi_child_exit(int status)
{
    for (;;)
        syscall(SYS_exit_group, status);
}

/*
 * The C library has signals of its own below SIGRTMIN. It installs their handlers once for each
 * program, so a child that stays in this program must keep them: pthread_cancel(3) would kill it.
 */
DXI_IN_CHILD static bool is_the_librarys(const struct dxi_start *start, int number)
{
    return start->run != NULL && number >= 32 && number < SIGRTMIN;
}

/*
 * Signals that the parent ignores would stay ignored across exec, and until exec its handlers would
 * run here, in its memory. All are blocked while this happens. A disposition that is the default
 * already reads as zeros, whatever the order of the fields on this machine.
 */
DXI_IN_CHILD static int reset_signals(const struct dxi_start *start)
{
    static const unsigned long by_default[16];
    unsigned long action[16];

    for (int number = 1; number < _NSIG; number++) {
        if (number == SIGKILL || number == SIGSTOP || is_the_librarys(start, number))
            continue;
        for (size_t i = 0; i < 16; i++)
            action[i] = 0;
        /* An emulator may keep a signal for itself: what it does not show, it does not pass on. */
        if (syscall(SYS_rt_sigaction, number, NULL, action, _NSIG / 8) < 0)
            continue;
        bool is_default = true;

        for (size_t i = 0; i < 16; i++)
            is_default = is_default && action[i] == 0;
        if (!is_default && syscall(SYS_rt_sigaction, number, by_default, NULL, _NSIG / 8) < 0)
            return -errno;
    }
    return 0;
}

DXI_IN_CHILD void dxi_child_unblock_signals(void)
{
    struct dxi_signal_set none;

    for (size_t i = 0; i < sizeof(none.bits) / sizeof(none.bits[0]); i++)
        none.bits[i] = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none.bits));
}

/*
 * The parent waits until this is done, so from its first moment on the handle can signal the group.
 */
DXI_IN_CHILD static int join_group(const struct dxi_start *start)
{
    switch (start->group) {
    case DXI_GROUP_NEW:
        return outcome(syscall(SYS_setpgid, 0, 0));
    case DXI_GROUP_SESSION:
        return outcome(syscall(SYS_setsid));
    case DXI_GROUP_INHERIT:
        break;
    }
    return 0;
}

DXI_IN_CHILD static int duplicate_above(int fd, int highest)
{
    return outcome(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, highest + 1));
}

/*
 * Put one descriptor where it belongs. dup2(n, n) would leave FD_CLOEXEC as it is, so a descriptor
 * that has its number already is told to stay in another way.
 */
DXI_IN_CHILD static int place(const struct dxi_descriptor_move *move)
{
    if (move->fd == move->target)
        return outcome(syscall(SYS_fcntl, move->fd, F_SETFD, 0));
    int error;

    /* Both mean that nothing has happened, and that it may go well now: dup(2). */
    do
        error = outcome(syscall(SYS_dup3, move->fd, move->target, 0));
    while (error == -EINTR || error == -EBUSY);
    /* EBADF is said of a target over RLIMIT_NOFILE too; the source tells which it was. */
    if (error == -EBADF && syscall(SYS_fcntl, move->fd, F_GETFD) >= 0)
        return -EMFILE;
    return error < 0 ? error : 0;
}

/*
 * Sources that a target could overwrite go above all targets first; then nothing that is still to
 * be copied can be hit, and the order of the copies does not matter.
 */
DXI_IN_CHILD static int move_descriptors(const struct dxi_start *start, int highest,
                                         size_t *ret_index)
{
    struct dxi_descriptor_move *moves = start->descriptors;

    for (size_t i = 0; i < start->descriptor_count; i++) {
        *ret_index = i;
        if (moves[i].fd > highest || moves[i].fd == moves[i].target)
            continue;
        int fd = duplicate_above(moves[i].fd, highest);

        /* EINVAL: no number above the targets is within RLIMIT_NOFILE. */
        if (fd < 0)
            return fd == -EINVAL ? -EMFILE : fd;
        moves[i].fd = fd;
    }
    for (size_t i = 0; i < start->descriptor_count; i++) {
        int error = place(&moves[i]);

        *ret_index = i;
        if (error < 0)
            return error;
    }
    return 0;
}

DXI_IN_CHILD static bool is_kept(const struct dxi_start *start, int kept, int fd)
{
    for (size_t i = 0; i < start->descriptor_count; i++) {
        if (start->descriptors[i].target == fd)
            return true;
    }
    return fd == kept;
}

/* Close first to last, both included. */
DXI_IN_CHILD static int close_between(int first, unsigned last)
{
    if ((unsigned)first > last)
        return 0;
    return outcome(syscall(SYS_close_range, (unsigned)first, last, 0));
}

DXI_IN_CHILD static int close_ranges(const struct dxi_start *start, int kept)
{
    int first = 0;
    int error = 0;

    for (size_t i = 0; i < start->descriptor_count && error == 0; i++) {
        int target = start->descriptors[i].target;

        if (target > first)
            error = close_between(first, (unsigned)target - 1);
        first = target + 1;
    }
    if (error == 0 && kept > first)
        error = close_between(first, (unsigned)kept - 1);
    return error < 0 ? error : close_between(kept + 1, UINT_MAX);
}

/* What getdents64(2) writes. */
struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

DXI_IN_CHILD static int number_of(const char *name)
{
    int number = 0;

    for (; *name >= '0' && *name <= '9'; name++)
        number = number * 10 + (*name - '0');
    return *name == '\0' ? number : -1;
}

/* For kernels before 5.9 and for filters that refuse close_range(2). */
DXI_IN_CHILD static int close_listed(const struct dxi_start *start, int kept)
{
    _Alignas(struct directory_entry) char buffer[2048];
    int list =
        outcome(syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int size = list;

    /* The kernel walks by number, so what is closed on the way does not disturb the walk. */
    while (size >= 0) {
        size = outcome(syscall(SYS_getdents64, list, buffer, sizeof(buffer)));
        if (size <= 0)
            break;
        for (int at = 0; at < size;) {
            const struct directory_entry *entry = (const void *)(buffer + at);
            int fd = entry->name[0] == '.' ? -1 : number_of(entry->name);

            if (fd >= 0 && fd != list && !is_kept(start, kept, fd))
                syscall(SYS_close, fd);
            at += entry->size;
        }
    }
    if (list >= 0)
        syscall(SYS_close, list);
    return size;
}

DXI_IN_CHILD static void close_counted(const struct dxi_start *start, int kept)
{
    uint64_t limit[2] = {DESCRIPTORS_TRIED, 0};

    syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, limit);
    if (limit[0] > DESCRIPTORS_TRIED)
        limit[0] = DESCRIPTORS_TRIED;
    for (int fd = 0; fd < (int)limit[0]; fd++) {
        if (!is_kept(start, kept, fd))
            syscall(SYS_close, fd);
    }
}

DXI_IN_CHILD static int arrange_descriptors(const struct dxi_start *start, int *kept,
                                            size_t *ret_index)
{
    size_t count = start->descriptor_count;
    int highest = count > 0 ? start->descriptors[count - 1].target : -1;

    if (*kept <= highest) {
        int fd = duplicate_above(*kept, highest);

        if (fd < 0)
            return fd == -EINVAL ? -EMFILE : fd;
        *kept = fd;
    }
    int error = move_descriptors(start, highest, ret_index);

    if (error < 0)
        return error;
    if (close_ranges(start, *kept) < 0 && close_listed(start, *kept) < 0)
        close_counted(start, *kept);
    return 0;
}

/* The kernel's struct rlimit64 is two 64-bit numbers everywhere, and RLIM_INFINITY all ones. */
DXI_IN_CHILD static int set_limits(const struct dxi_start *start, size_t *ret_index)
{
    for (size_t i = 0; i < start->limit_count; i++) {
        const uint64_t limit[2] = {start->limits[i].soft, start->limits[i].hard};

        *ret_index = i;
        if (syscall(SYS_prlimit64, 0, start->limits[i].resource, limit, NULL) < 0)
            return -errno;
    }
    return 0;
}

/* Groups first: once the user has changed, the right to change them is gone. */
DXI_IN_CHILD static int change_identity(const struct dxi_start *start)
{
    if (!start->change_identity)
        return 0;
    int error = outcome(syscall(CALL_SETGROUPS, start->group_count, start->groups));

    if (error == 0)
        error = outcome(syscall(CALL_SETGID, start->gid, start->gid, start->gid));
    if (error == 0)
        error = outcome(syscall(CALL_SETUID, start->user, start->user, start->user));
    return error;
}

/*
 * The kernel tells of deaths from now on only; a parent that died before is seen by its absence. In
 * another pid namespace the parent has no number, 0, and this look shows nothing.
 */
DXI_IN_CHILD static int follow_parent(const struct dxi_start *start, pid_t parent)
{
    if (!start->die_with_parent)
        return 0;
    int error = outcome(syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));

    if (error < 0)
        return error;
    pid_t now = (pid_t)syscall(SYS_getppid);

    if (now != parent && now != 0)
        dxi_child_exit(127);
    return 0;
}

DXI_IN_CHILD static int take_step(const struct dxi_start *start, enum dxi_step step, pid_t parent,
                                  int *kept, size_t *ret_index)
{
    switch (step) {
    case DXI_STEP_SIGNALS:
        return reset_signals(start);
    case DXI_STEP_GROUP:
        return join_group(start);
    case DXI_STEP_DESCRIPTORS:
        return arrange_descriptors(start, kept, ret_index);
    case DXI_STEP_LIMITS:
        /* After the descriptors, which a lower RLIMIT_NOFILE would refuse; with the parent's
         * privileges still, which it takes to raise a limit. */
        return set_limits(start, ret_index);
    case DXI_STEP_IDENTITY:
        return change_identity(start);
    case DXI_STEP_PARENT_DEATH:
        /* The change of identity would have cleared it. */
        return follow_parent(start, parent);
    case DXI_STEP_DIRECTORY:
        /* With the child's own rights: it starts nowhere that it could not have gone by itself,
         * and a directory that only its user may enter (a home on NFS) is not refused to it. */
        return start->directory ? outcome(syscall(SYS_chdir, start->directory)) : 0;
    case DXI_STEP_PRIVILEGES:
        return start->no_new_privileges
                   ? outcome(syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
                   : 0;
    default:
        return 0;
    }
}

DXI_IN_CHILD int dxi_child_become_clean(const struct dxi_start *start, pid_t parent, int *kept,
                                        struct dxi_report *ret)
{
    ret->error = 0;
    if (start->noted_pid)
        *start->noted_pid = (pid_t)syscall(SYS_getpid);
    for (int step = DXI_STEP_SIGNALS; step <= DXI_STEP_PRIVILEGES; step++) {
        ret->step = (enum dxi_step)step;
        ret->index = 0;
        int error = take_step(start, ret->step, parent, kept, &ret->index);

        if (error < 0) {
            ret->error = error;
            return error;
        }
    }
    return 0;
}

/* ENOENT is said of a script whose interpreter is missing as well; note which it was. */
DXI_IN_CHILD static int execute_file(const struct dxi_start *start, const char *path,
                                     struct dxi_report *ret)
{
    int error = outcome(syscall(SYS_execve, path, start->arguments, start->environment));

    ret->index = 0;
    if (error == -ENOENT && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0)
        ret->index = DXI_INDEX_INTERPRETER;
    return error;
}

/* As execvp(3) searches: an empty element is the working directory, and a refusal is remembered. */
DXI_IN_CHILD static int execute_found(const struct dxi_start *start, struct dxi_report *ret)
{
    size_t name_size = strlen(start->program) + 1;
    int remembered = -ENOENT;

    for (const char *element = start->search;; element++) {
        const char *end = element;
        char *path = start->path_buffer;

        while (*end != ':' && *end != '\0')
            end++;
        while (element < end)
            *path++ = *element++;
        if (path > start->path_buffer)
            *path++ = '/';
        memcpy(path, start->program, name_size);

        int error = execute_file(start, start->path_buffer, ret);

        if (error == -EACCES)
            remembered = error;
        else if (error != -ENOENT && error != -ENOTDIR && error != -ESTALE && error != -ENODEV &&
                 error != -ETIMEDOUT)
            return error;
        if (*end == '\0')
            return remembered;
    }
}

/* Nobody else knows it in time, and it must be what the child itself sees in its namespace. */
DXI_IN_CHILD static void write_pid(char *text)
{
    char digits[DXI_PID_TEXT];
    int pid = (int)syscall(SYS_getpid);
    int count = 0;

    for (; pid > 0; pid /= 10)
        digits[count++] = (char)('0' + pid % 10);
    while (count > 0)
        *text++ = digits[--count];
    *text = '\0';
}

DXI_IN_CHILD int dxi_child_execute(const struct dxi_start *start, struct dxi_report *ret)
{
    if (start->pid_text)
        write_pid(start->pid_text);
    ret->step = DXI_STEP_EXEC;
    ret->index = 0;
    /* An empty name would be looked up as the elements of the search themselves. */
    if (start->program[0] == '\0')
        ret->error = -ENOENT;
    else if (start->search == NULL)
        ret->error = execute_file(start, start->program, ret);
    else
        ret->error = execute_found(start, ret);
    return ret->error;
}
