/* SPDX-License-Identifier: MIT */
/*
 * The server that `git fetch` converses with: git upload-pack, in gitprotocol-pack(5) and
 * gitprotocol-v2(5). What it sends as a pack another git must take.
 */
#include "partner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ID_SIZE 40

static char folder[] = "/tmp/duplex-git-XXXXXX";

static void run(const char *command)
{
    ck_assert_msg(system(command) == 0, "this failed: %s", command);
}

/* What a command prints, up to its first line's end. */
static void ask(const char *command, char *ret, size_t size)
{
    FILE *pipe = popen(command, "re");

    ck_assert_ptr_nonnull(pipe);
    ck_assert_ptr_nonnull(fgets(ret, (int)size, pipe));
    ret[strcspn(ret, "\n")] = '\0';
    ck_assert_int_eq(pclose(pipe), 0);
}

/* A folder with a repository of two commits, a tag, and one file of more than a packet's bytes. */
static void make_repository(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    setenv("HOME", folder, 1);
    setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
    setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
    run("git init -q -b main repository && cd repository && "
        "git config user.name father && git config user.email father@example.org && "
        "echo i am your father >said && git add said && git commit -q -m first && "
        "head -c 300000 /dev/urandom >noise && git add noise && git commit -q -m second && "
        "git tag -a -m 'a tag' v1");
    run("git init -q --bare copy");
}

static void remove_repository(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    /* Only what mkdtemp(3) made. */
    setenv("duplex_folder", folder, 1);
    run("rm -rf -- \"$duplex_folder\"");
}

static dx_process *start_server(const char *protocol, dx_handover handover,
                                dx_stdio_mode complaints)
{
    char *changes[] = {(char *)protocol, NULL};
    const dx_process_options options = {.channel = {.framing = DX_FRAMING_PKT_LINE},
                                        .handover = handover,
                                        .environment_changes = changes,
                                        .stdio[2].mode = complaints};

    return start(ARGV("git", "upload-pack", "repository"), &options);
}

static void send_kind(dx_channel *channel, dx_kind kind)
{
    const dx_message message = {.kind = kind};

    ck_assert_int_eq(dx_send_message(channel, &message, PATIENCE_MS), 0);
}

/* Receive a packet of text without its '\n', or its kind as a word. Lasts until the next call. */
static const char *receive_line(dx_channel *channel)
{
    static char line[1024];
    dx_message packet = receive(channel);

    switch (packet.kind) {
    case DX_FLUSH:
        return "(flush)";
    case DX_DELIMITER:
        return "(delimiter)";
    case DX_RESPONSE_END:
        return "(response end)";
    default:
        ck_assert_int_eq(packet.kind, DX_MESSAGE);
    }
    ck_assert_uint_lt(packet.size, sizeof(line));
    memcpy(line, packet.data, packet.size);
    line[packet.size] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static void expect_line(dx_channel *channel, const char *expected)
{
    ck_assert_str_eq(receive_line(channel), expected);
}

static void send_want(dx_channel *channel, const char *id, const char *capabilities)
{
    char line[256];

    snprintf(line, sizeof(line), "want %s%s\n", id, capabilities);
    send_text(channel, line);
}

/*
 * Receive a pack, by packets whose first byte is the band, and give it to the other repository. That
 * has then the commit, with `depth` commits before and with it.
 */
static void receive_pack(dx_channel *channel, const char *id, int depth)
{
    FILE *pack = fopen("received.pack", "we");
    char command[256];
    char count[16];
    size_t size = 0;

    ck_assert_ptr_nonnull(pack);
    for (;;) {
        dx_message packet = receive(channel);
        const char *bytes = packet.data;

        if (packet.kind == DX_FLUSH)
            break;
        ck_assert_int_eq(packet.kind, DX_MESSAGE);
        ck_assert_uint_gt(packet.size, 0);
        ck_assert_msg(bytes[0] == 1 || bytes[0] == 2, "band %d", bytes[0]);
        if (bytes[0] == 1) {
            size += packet.size - 1;
            ck_assert_uint_eq(fwrite(bytes + 1, 1, packet.size - 1, pack), packet.size - 1);
        }
    }
    ck_assert_int_eq(fclose(pack), 0);
    ck_assert_uint_gt(size, 300000);
    run("git -C copy index-pack --stdin <received.pack >index");
    if (depth == 1) {
        snprintf(command, sizeof(command), "echo %s >copy/shallow", id);
        run(command);
    }
    snprintf(command, sizeof(command), "git -C copy rev-list --count --objects %s", id);
    ask(command, count, sizeof(count));
    /* A commit and a tree each; the blob of the first is in the second's tree too. */
    ck_assert_int_eq(atoi(count), depth == 1 ? 4 : 6);
}

static void fetch_in_version_0(dx_handover handover)
{
    char id[ID_SIZE + 1];
    char first[ID_SIZE + 8];

    make_repository();
    ask("git -C repository rev-parse main", id, sizeof(id));
    dx_process *process = start_server("GIT_PROTOCOL", handover, DX_STDIO_INHERIT);
    dx_channel *channel = dx_process_channel(process);
    dx_message packet = receive(channel);
    const char *zero = memchr(packet.data, '\0', packet.size);

    /* "id HEAD", a NUL byte and what the server can do; then the others, and the tag's commit. */
    snprintf(first, sizeof(first), "%s HEAD", id);
    ck_assert_ptr_nonnull(zero);
    ck_assert_str_eq(packet.data, first);
    ck_assert_ptr_nonnull(memmem(zero, packet.size - strlen(first), "side-band-64k", 13));
    ck_assert_ptr_nonnull(strstr(receive_line(channel), " refs/heads/main"));
    ck_assert_ptr_nonnull(strstr(receive_line(channel), " refs/tags/v1"));
    ck_assert_ptr_nonnull(strstr(receive_line(channel), " refs/tags/v1^{}"));
    expect_line(channel, "(flush)");

    send_want(channel, id, " side-band-64k ofs-delta no-progress");
    send_kind(channel, DX_FLUSH);
    send_text(channel, "done\n");
    expect_line(channel, "NAK");
    receive_pack(channel, id, 2);
    expect_end(channel);
    expect_exit(process, 0);
    remove_repository();
}

START_TEST(test_a_pack_is_fetched_in_version_0_on_a_socket)
{
    NEED("git");
    fetch_in_version_0(DX_HANDOVER_STDIO);
}
END_TEST

START_TEST(test_a_pack_is_fetched_in_version_0_on_pipes)
{
    NEED("git");
    fetch_in_version_0(DX_HANDOVER_PIPES);
}
END_TEST

/* What the server says of itself first in version 2. */
static void expect_capabilities(dx_channel *channel)
{
    bool lists = false, fetches = false;
    const char *line;

    expect_line(channel, "version 2");
    while (strcmp(line = receive_line(channel), "(flush)") != 0) {
        lists = lists || strncmp(line, "ls-refs", 7) == 0;
        fetches = fetches || strncmp(line, "fetch=", 6) == 0;
    }
    ck_assert(lists && fetches);
}

static void list_refs(dx_channel *channel, const char *id)
{
    char line[128];

    send_text(channel, "command=ls-refs\n");
    send_text(channel, "object-format=sha1");
    send_kind(channel, DX_DELIMITER);
    send_text(channel, "peel\n");
    send_text(channel, "symrefs\n");
    send_text(channel, "ref-prefix HEAD\n");
    send_text(channel, "ref-prefix refs/heads/\n");
    send_kind(channel, DX_FLUSH);
    snprintf(line, sizeof(line), "%s HEAD symref-target:refs/heads/main", id);
    expect_line(channel, line);
    snprintf(line, sizeof(line), "%s refs/heads/main", id);
    expect_line(channel, line);
    expect_line(channel, "(flush)");
}

/* A shallow fetch is answered in two sections, between which there is a delimiter. */
static void fetch_shallow(dx_channel *channel, const char *id)
{
    char line[128];

    send_text(channel, "command=fetch");
    send_kind(channel, DX_DELIMITER);
    send_text(channel, "no-progress\n");
    send_text(channel, "deepen 1\n");
    send_want(channel, id, "");
    send_text(channel, "done\n");
    send_kind(channel, DX_FLUSH);
    expect_line(channel, "shallow-info");
    snprintf(line, sizeof(line), "shallow %s", id);
    expect_line(channel, line);
    expect_line(channel, "(delimiter)");
    expect_line(channel, "packfile");
    receive_pack(channel, id, 1);
}

static void fetch_in_version_2(dx_handover handover)
{
    char id[ID_SIZE + 1];

    make_repository();
    ask("git -C repository rev-parse main", id, sizeof(id));
    dx_process *process = start_server("GIT_PROTOCOL=version=2", handover, DX_STDIO_INHERIT);
    dx_channel *channel = dx_process_channel(process);

    expect_capabilities(channel);
    list_refs(channel, id);
    list_refs(channel, id);
    fetch_shallow(channel, id);
    /* A flush where a command is expected is the end. */
    send_kind(channel, DX_FLUSH);
    expect_end(channel);
    expect_exit(process, 0);
    remove_repository();
}

START_TEST(test_a_pack_is_fetched_in_version_2_on_a_socket)
{
    NEED("git");
    fetch_in_version_2(DX_HANDOVER_STDIO);
}
END_TEST

START_TEST(test_a_pack_is_fetched_in_version_2_on_pipes)
{
    NEED("git");
    fetch_in_version_2(DX_HANDOVER_PIPES);
}
END_TEST

/* Only proxies of git send it; a server says by its complaint what it took it for. */
START_TEST(test_git_knows_our_response_end)
{
    NEED("git");
    make_repository();
    dx_process *process = start_server("GIT_PROTOCOL=version=2", DX_HANDOVER_STDIO, DX_STDIO_PIPE);
    int complaints = dx_process_take_stdio(process, 2);
    dx_exit end;

    expect_capabilities(dx_process_channel(process));
    send_kind(dx_process_channel(process), DX_RESPONSE_END);
    expect_end(dx_process_channel(process));
    ck_assert_int_eq(dx_process_wait(process, &end, PATIENCE_MS), 0);
    ck_assert(end.kind == DX_EXIT_SIGNAL || end.code != 0);
    dx_process_close(process);
    ck_assert_ptr_nonnull(strcasestr(read_to_end(complaints), "response end"));
    remove_repository();
}
END_TEST

/* The sentence of a server that refuses comes whole, before its end. */
START_TEST(test_a_refusal_of_git_is_heard)
{
    static const char unknown[] = "1234567890123456789012345678901234567890";
    const char *line;

    NEED("git");
    make_repository();
    dx_process *process = start_server("GIT_PROTOCOL", DX_HANDOVER_PIPES, DX_STDIO_NULL);
    dx_channel *channel = dx_process_channel(process);

    while (strcmp(receive_line(channel), "(flush)") != 0)
        continue;
    /* Git leaves after the first packet that it does not like, so that the next may come too late. */
    send_want(channel, unknown, " side-band-64k");
    int sent = dx_send_message(channel, &(dx_message){.kind = DX_FLUSH}, PATIENCE_MS);

    ck_assert(sent == 0 || sent == -EPIPE);
    line = receive_line(channel);
    ck_assert_msg(strncmp(line, "ERR upload-pack: not our ref ", 29) == 0, "git said: %s", line);
    expect_end(channel);
    expect_exit(process, 128);
    remove_repository();
}
END_TEST

HARNESS_MAIN("real_git_upload_pack",
             TEST_WITHIN(test_a_pack_is_fetched_in_version_0_on_a_socket, 60),
             TEST_WITHIN(test_a_pack_is_fetched_in_version_0_on_pipes, 60),
             TEST_WITHIN(test_a_pack_is_fetched_in_version_2_on_a_socket, 60),
             TEST_WITHIN(test_a_pack_is_fetched_in_version_2_on_pipes, 60),
             TEST_WITHIN(test_git_knows_our_response_end, 60),
             TEST_WITHIN(test_a_refusal_of_git_is_heard, 60))
