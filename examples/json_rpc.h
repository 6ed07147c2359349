/* SPDX-License-Identifier: MIT */
/*
 * JSON-RPC 2.0 as a client speaks it, for language_server.c and mcp_client.c: a message of the
 * channel is one JSON text. Replies have the id of their request. What else the server says comes
 * in between: notifications, which have no id, and requests of its own, which want an answer.
 */
#ifndef EXAMPLES_JSON_RPC_H
#define EXAMPLES_JSON_RPC_H

#include <duplex.h>
#include <jansson.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RPC_PATIENCE_MS 30000
#define RPC_METHOD_NOT_FOUND (-32601)

/* Say a message, whose reference is taken over. Returns false if it could not be said. */
static inline bool rpc_say(dx_channel *server, json_t *message)
{
    bool made = message && json_object_set_new(message, "jsonrpc", json_string("2.0")) == 0;
    char *text = made ? json_dumps(message, JSON_COMPACT) : NULL;
    int result = text ? dx_send(server, text, strlen(text), RPC_PATIENCE_MS) : -1;

    free(text);
    json_decref(message);
    return result == 0;
}

/* Answer a request of the server: we are there, and can do nothing. */
static inline bool rpc_answer(dx_channel *server, const char *method, json_t *id)
{
    if (strcmp(method, "ping") == 0)
        return rpc_say(server, json_pack("{s:O, s:{}}", "id", id, "result"));
    return rpc_say(server, json_pack("{s:O, s:{s:i, s:s}}", "id", id, "error", "code",
                                     RPC_METHOD_NOT_FOUND, "message", "method not found"));
}

/*
 * Hear the next message that is for us: a notification or a reply. Returns a reference, or NULL when
 * the server says nothing more, or nothing in time.
 */
static inline json_t *rpc_hear(dx_channel *server)
{
    dx_message heard;

    while (dx_recv(server, &heard, RPC_PATIENCE_MS) == 1) {
        json_t *message = json_loadb(heard.data, heard.size, 0, NULL);
        const char *method = json_string_value(json_object_get(message, "method"));
        json_t *id = json_object_get(message, "id");

        if (!message)
            fprintf(stderr, "this is no JSON: %.*s\n", (int)heard.size, (const char *)heard.data);
        else if (!method || !id)
            return message;
        else
            rpc_answer(server, method, id);
        json_decref(message);
    }
    return NULL;
}

/*
 * Call a method, with params whose reference is taken over, and hear what comes until its result.
 * Returns a reference to the result, or NULL after saying why there is none.
 */
static inline json_t *rpc_call(dx_channel *server, int id, const char *method, json_t *params)
{
    json_t *reply;
    json_t *result;

    if (!rpc_say(server,
                 json_pack("{s:i, s:s, s:o*}", "id", id, "method", method, "params", params)))
        return NULL;
    while ((reply = rpc_hear(server))) {
        if (json_integer_value(json_object_get(reply, "id")) == id)
            break;
        json_decref(reply);
    }
    result = json_incref(json_object_get(reply, "result"));
    if (reply && !result)
        fprintf(stderr, "%s was refused: %s\n", method,
                json_string_value(json_object_get(json_object_get(reply, "error"), "message")));
    json_decref(reply);
    return result;
}

/* Notify the server of something, with params whose reference is taken over; NULL for none. */
static inline bool rpc_notify(dx_channel *server, const char *method, json_t *params)
{
    return rpc_say(server, json_pack("{s:s, s:o*}", "method", method, "params", params));
}

#endif
