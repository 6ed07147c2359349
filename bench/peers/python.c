/* SPDX-License-Identifier: MIT */
/* Python and its multiprocessing.Pipe(): see python.py. */
#include "peers/script.h"

const struct peer peer_python = {
    .name = "python",
    .about = "Python to Python by multiprocessing.Pipe(): send_bytes() and recv_bytes()",
    .argument = &(const struct script){"python3", "python.py",
                                       "there is no program python3: install it", NULL},
    .unavailable = script_unavailable,
    .open = script_open,
    .round_trip = script_round_trip,
    .one_way = script_one_way,
    .calls = script_calls,
    .close = script_close,
};
