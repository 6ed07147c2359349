/* SPDX-License-Identifier: MIT */
/*
 * duplex: a parent process and its children converse, in whole messages, both ways at once, over
 * one socketpair(2). This header is the whole interface; the headers below it explain their parts.
 */
#ifndef DUPLEX_H
#define DUPLEX_H

#include <duplex/call.h>
#include <duplex/channel.h>
#include <duplex/error.h>
#include <duplex/message.h>
#include <duplex/options.h>
#include <duplex/pool.h>
#include <duplex/process.h>
#include <duplex/start.h>
#include <duplex/workers.h>

#endif
