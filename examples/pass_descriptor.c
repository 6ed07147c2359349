/* SPDX-License-Identifier: MIT */
/*
 * A parent that may open files does it for a child that need not: the child asks for a file by
 * name, the parent decides, opens it and passes the descriptor with its answer. A receiver of
 * descriptors must say so beforehand, with a number (descriptor_limit); here only the child does,
 * so nothing that the child sends can put a descriptor into the parent.
 */
#include <duplex.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATIENCE_MS 5000

/* Ask for a file and print its first line, or why there is none. */
static int read_file(dx_channel *parent, const char *name)
{
    dx_message answer;
    char text[128];
    ssize_t size;
    int fd;

    if (dx_send(parent, name, strlen(name), PATIENCE_MS) < 0 ||
        dx_recv(parent, &answer, PATIENCE_MS) != 1)
        return -1;
    if (answer.descriptor_count == 0) {
        printf("child: %s: %.*s\n", name, (int)answer.size, (const char *)answer.data);
        return 0;
    }
    fd = dx_message_take(&answer, 0); /* ours from now on; the library closes what is not taken */
    size = pread(fd, text, sizeof(text), 0);
    close(fd);
    if (size < 0)
        return -1;
    printf("child: %s: read %.*s\n", name, (int)size, text);
    return 0;
}

static int child(dx_channel *parent, void *arg)
{
    (void)arg;
    if (read_file(parent, "letter") < 0 || read_file(parent, "diary") < 0) {
        fprintf(stderr, "child: %s\n", dx_channel_explain(parent));
        return 1;
    }
    return 0;
}

/* A file that has no name anywhere, so that nobody could open it by himself. */
static int open_letter(void)
{
    static const char text[] = "dear child, all is well";
    int fd = memfd_create("letter", MFD_CLOEXEC);

    if (fd >= 0 && write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Answer one request: with the descriptor, or with the reason why not. */
static int answer_request(dx_channel *channel, const dx_message *request)
{
    int fd;
    dx_message answer = {
        .data = "here it is", .size = 10, .descriptors = &fd, .descriptor_count = 1};
    int result;

    if (request->size != 6 || memcmp(request->data, "letter", 6) != 0)
        return dx_send(channel, "not for you", 11, PATIENCE_MS);
    fd = open_letter();
    if (fd < 0)
        return dx_send(channel, "cannot be opened", 16, PATIENCE_MS);
    result = dx_send_message(channel, &answer, PATIENCE_MS);
    if (result < 0)
        close(fd); /* on success it is gone: the child has it */
    return result;
}

int main(void)
{
    dx_channel_options child_channel = {.descriptor_limit = 1};
    dx_process_options options = {.child_channel = &child_channel, .no_new_privileges = true};
    dx_process *process;
    dx_channel *channel;
    dx_message request;
    dx_exit end = {.code = 1};
    int result = dx_fork(&process, child, NULL, &options);

    if (result < 0) {
        fprintf(stderr, "no child: %s\n", dx_error_text(result));
        return 1;
    }
    channel = dx_process_channel(process);
    while ((result = dx_recv(channel, &request, PATIENCE_MS)) == 1) {
        result = answer_request(channel, &request);
        if (result < 0)
            break;
    }
    if (result < 0)
        fprintf(stderr, "parent: %s\n", dx_channel_explain(channel));
    dx_process_wait(process, &end, PATIENCE_MS);
    dx_process_close(process);
    return result < 0 ? 1 : end.code;
}
