/* SPDX-License-Identifier: MIT */
/*
 * Start a server of the Model Context Protocol, list its tools and call one:
 *
 *     mcp_client TOOL ARGUMENTS SERVER [ARGUMENT...]
 *     mcp_client echo '{"message": "i am your father"}' mcp-server-everything
 *
 * Its "stdio transport" is a line for each message (DX_FRAMING_LINE), on pipes (DX_HANDOVER_PIPES).
 * There is no goodbye: dx_process_close() ends the server's input, then sends SIGTERM, then SIGKILL,
 * as the protocol asks of clients; to the whole group, since npx and the like start the server.
 */
#include "json_rpc.h"

#include <duplex.h>
#include <jansson.h>

#include <stdbool.h>
#include <stdio.h>

#define PROTOCOL_VERSION "2025-06-18"

static bool open_session(dx_channel *server)
{
    json_t *result = rpc_call(server, 1, "initialize",
                              json_pack("{s:s, s:{}, s:{s:s, s:s}}", "protocolVersion",
                                        PROTOCOL_VERSION, "capabilities", "clientInfo", "name",
                                        "duplex-example", "version", DX_VERSION));
    const char *name = "somebody";

    if (!result)
        return false;
    json_unpack(result, "{s:{s:s}}", "serverInfo", "name", &name);
    printf("the server is %s\n", name);
    json_decref(result);
    return rpc_notify(server, "notifications/initialized", NULL);
}

static bool list_tools(dx_channel *server)
{
    json_t *result = rpc_call(server, 2, "tools/list", json_object());
    json_t *tool;
    size_t i;

    if (!result)
        return false;
    json_array_foreach(json_object_get(result, "tools"), i, tool)
        printf("tool %s\n", json_string_value(json_object_get(tool, "name")));
    json_decref(result);
    return true;
}

/* Call a tool and print what it says in text. */
static bool call_tool(dx_channel *server, const char *name, json_t *arguments)
{
    json_t *result = rpc_call(server, 3, "tools/call",
                              json_pack("{s:s, s:O}", "name", name, "arguments", arguments));
    json_t *content;
    bool good = result && !json_is_true(json_object_get(result, "isError"));
    size_t i;

    json_array_foreach(json_object_get(result, "content"), i, content)
    {
        const char *text = json_string_value(json_object_get(content, "text"));

        if (text)
            printf("%s: %s\n", name, text);
    }
    json_decref(result);
    return good;
}

static int converse(char *const server_argv[], const char *tool, json_t *arguments)
{
    dx_failure failure = {0};
    dx_process_options options = {
        .channel = {.framing = DX_FRAMING_LINE},
        .handover = DX_HANDOVER_PIPES,
        .group = DX_GROUP_NEW,
        .failure = &failure,
    };
    dx_process *process;
    dx_channel *server;
    bool good;

    if (dx_spawn(&process, server_argv, &options) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    server = dx_process_channel(process);
    good = open_session(server) && list_tools(server) && call_tool(server, tool, arguments);
    if (!good)
        fprintf(stderr, "the conversation failed: %s\n", dx_channel_explain(server));
    dx_process_close(process);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    json_t *arguments;
    int status;

    if (argc < 4) {
        fprintf(stderr, "usage: %s TOOL ARGUMENTS SERVER [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    arguments = json_loads(argv[2], 0, NULL);
    if (!json_is_object(arguments)) {
        fprintf(stderr, "the arguments must be a JSON object, not '%s'\n", argv[2]);
        json_decref(arguments);
        return 2;
    }
    status = converse(argv + 3, argv[1], arguments);
    json_decref(arguments);
    return status;
}
