/* SPDX-License-Identifier: MIT */
/* The smallest whole program: a father and a child, each saying its sentence and hearing the
 * other's. */
#include <duplex.h>

#include <stdio.h>

static int child(dx_channel *father, void *arg)
{
    dx_message heard;

    (void)arg;
    if (dx_send(father, "i am your child", 15, 5000) < 0 || dx_recv(father, &heard, 5000) != 1)
        return 1;
    printf("father-->child:%.*s\n", (int)heard.size, (const char *)heard.data);
    return 0;
}

int main(void)
{
    dx_process *process;
    dx_channel *channel;
    dx_message heard;
    dx_exit end = {.code = 1};
    int result = dx_fork(&process, child, NULL, NULL);

    if (result < 0) {
        fprintf(stderr, "no child: %s\n", dx_error_text(result));
        return 1;
    }
    channel = dx_process_channel(process);
    if (dx_recv(channel, &heard, 5000) == 1) {
        printf("child-->father:%.*s\n", (int)heard.size, (const char *)heard.data);
        fflush(stdout); /* before the child hears, and prints, what comes now */
        dx_send(channel, "i am your father", 16, 5000);
    }
    dx_process_wait(process, &end, 5000);
    dx_process_close(process);
    return end.code;
}
