/* SPDX-License-Identifier: MIT */
/* Python's pools of processes: see python_pool.py. */
#include "peers/script.h"

#define WAY(name)                                                                                  \
    .argument = &(const struct script)                                                             \
    {                                                                                              \
        "python3", "python_pool.py", "there is no program python3: install it", name               \
    }

const struct peer peer_python_imap = {
    .name = "python_imap",
    .about = "Python's multiprocessing.Pool.imap_unordered(), chunksize=1",
    WAY("imap_1"),
    .unavailable = script_unavailable,
    .open = script_open,
    .jobs = script_jobs,
    .close = script_close,
};

const struct peer peer_python_imap_chunks = {
    .name = "python_imap_64",
    .about = "the same with chunksize=64",
    WAY("imap_64"),
    .unavailable = script_unavailable,
    .open = script_open,
    .jobs = script_jobs,
    .close = script_close,
};

const struct peer peer_python_executor = {
    .name = "python_executor",
    .about = "Python's concurrent.futures.ProcessPoolExecutor: submit() and as_completed()",
    WAY("executor"),
    .unavailable = script_unavailable,
    .open = script_open,
    .jobs = script_jobs,
    .close = script_close,
};
