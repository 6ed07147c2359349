/* SPDX-License-Identifier: MIT */
/*
 * What the tests of calls share.
 */
#ifndef DUPLEX_TESTS_CHANNEL_CALLERS_H
#define DUPLEX_TESTS_CHANNEL_CALLERS_H

#include "support.h"

#include <duplex/call.h>

enum { PATIENCE_MS = 10000 };

/* Receive a message, which must be of this kind. */
static inline void receive(dx_channel *channel, dx_message *ret, dx_kind kind)
{
    int status = dx_recv(channel, ret, PATIENCE_MS);

    ck_assert_msg(status == 1, "%d: %s", status, dx_channel_explain(channel));
    ck_assert_int_eq(ret->kind, kind);
}

static inline bool says(const dx_message *message, const char *text)
{
    return message->size == strlen(text) && memcmp(message->data, text, message->size) == 0;
}

static inline uint64_t start(dx_channel *channel, const char *text, int timeout_ms)
{
    uint64_t id = 0;

    ck_assert_int_eq(dx_call_start(channel, text, strlen(text), &id, timeout_ms), 0);
    ck_assert_uint_ne(id, 0);
    return id;
}

#endif
