/* SPDX-License-Identifier: MIT */
/*
 * Ask a language server, here clangd, what is wrong with a file: language_server [FILE]. Each
 * message has a "Content-Length" header (DX_FRAMING_CONTENT_LENGTH), on one socket that is the
 * server's standard input and output (DX_HANDOVER_STDIO). Without a file it is a line with a fault.
 */
#include "json_rpc.h"

#include <duplex.h>
#include <jansson.h>

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_PATIENCE_MS 10000

/* The whole of a file, or NULL. */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;

    if (!file)
        return NULL;
    /* Up to a NUL byte, of which a source file has none. */
    if (getdelim(&text, &size, '\0', file) < 0 && !text)
        text = strdup("");
    fclose(file);
    return text;
}

static bool open_session(dx_channel *server)
{
    json_t *result =
        rpc_call(server, 1, "initialize",
                 json_pack("{s:n, s:n, s:{}}", "processId", "rootUri", "capabilities"));

    if (!result)
        return false;
    json_decref(result);
    return rpc_notify(server, "initialized", json_object());
}

static bool open_document(dx_channel *server, const char *uri, const char *text)
{
    return rpc_notify(server, "textDocument/didOpen",
                      json_pack("{s:{s:s, s:s, s:i, s:s}}", "textDocument", "uri", uri,
                                "languageId", "c", "version", 1, "text", text));
}

static void print_diagnostic(const char *path, json_t *diagnostic)
{
    int line = 0, column = 0;
    const char *text = "";

    json_unpack(diagnostic, "{s:s, s:{s:{s:i, s:i}}}", "message", &text, "range", "start", "line",
                &line, "character", &column);
    printf("%s:%d:%d: %s\n", path, line + 1, column + 1, text);
}

/* Hear the diagnostics of the document, which come when the server has read it. */
static bool print_diagnostics(dx_channel *server, const char *path)
{
    json_t *message;
    json_t *diagnostic;
    size_t i;

    while ((message = rpc_hear(server))) {
        const char *method = json_string_value(json_object_get(message, "method"));
        json_t *list = json_object_get(json_object_get(message, "params"), "diagnostics");
        bool awaited = method && strcmp(method, "textDocument/publishDiagnostics") == 0;

        if (awaited) {
            json_array_foreach(list, i, diagnostic) print_diagnostic(path, diagnostic);
        }
        json_decref(message);
        if (awaited)
            return true;
    }
    return false;
}

/* A server that hears no "exit" before the end of its input says so by status 1. */
static bool close_session(dx_channel *server)
{
    json_t *result = rpc_call(server, 2, "shutdown", NULL);

    if (!result)
        return false;
    json_decref(result);
    return rpc_notify(server, "exit", NULL);
}

static int ask(const char *path, const char *uri, const char *text)
{
    char *argv[] = {"clangd", "--log=error", "--background-index=0", NULL};
    dx_failure failure = {0};
    dx_process_options options = {
        .channel = {.framing = DX_FRAMING_CONTENT_LENGTH},
        .handover = DX_HANDOVER_STDIO,
        .failure = &failure,
    };
    dx_process *process;
    dx_channel *server;
    dx_exit end = {.code = 1};

    if (dx_spawn(&process, argv, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    server = dx_process_channel(process);
    if (open_session(server) && open_document(server, uri, text) &&
        print_diagnostics(server, path) && close_session(server)) {
        if (dx_process_wait(process, &end, EXIT_PATIENCE_MS) == 0)
            printf("the server: %s\n", end.text);
    } else {
        fprintf(stderr, "the conversation failed: %s\n", dx_channel_explain(server));
    }
    dx_process_close(process);
    return end.code;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "/example.c";
    char *full_path = argc > 1 ? realpath(path, NULL) : strdup(path);
    char *text = argc > 1 ? read_file(path) : strdup("int answer = question;\n");
    char uri[PATH_MAX + sizeof("file://")];
    int status = 1;

    if (full_path && text) {
        snprintf(uri, sizeof(uri), "file://%s", full_path);
        status = ask(path, uri, text);
    } else {
        fprintf(stderr, "cannot read '%s'\n", path);
    }
    free(full_path);
    free(text);
    return status;
}
