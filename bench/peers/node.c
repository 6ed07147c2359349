/* SPDX-License-Identifier: MIT */
/* Node and its child_process.fork(): see node.mjs. */
#include "peers/script.h"

const struct peer peer_node = {
    .name = "node",
    .about = "Node to Node by child_process.fork(); messages are JSON strings",
    .argument = &(const struct script){"node", "node.mjs",
                                       "there is no program node: install nodejs", NULL},
    .unavailable = script_unavailable,
    .open = script_open,
    .round_trip = script_round_trip,
    .one_way = script_one_way,
    .calls = script_calls,
    .close = script_close,
};
