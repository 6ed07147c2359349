/* SPDX-License-Identifier: MIT */
/*
 * A filter of lines: capital letters for small ones. It answers what has come before it reads on, as
 * each filter must that somebody waits for, and knows of no library but libc.
 */
#include <errno.h>
#include <unistd.h>

static int write_all(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, size);

        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
    return 0;
}

int main(void)
{
    static char buffer[64 * 1024];

    /* Where a line ends is no matter to letters: a part of one may leave as well. */
    for (;;) {
        ssize_t got = read(STDIN_FILENO, buffer, sizeof(buffer));

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0;
        for (ssize_t i = 0; i < got; i++) {
            if (buffer[i] >= 'a' && buffer[i] <= 'z')
                buffer[i] = (char)(buffer[i] - 'a' + 'A');
        }
        if (write_all(buffer, (size_t)got) < 0)
            return 1;
    }
}
