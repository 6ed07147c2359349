# SPDX-License-Identifier: MIT
"""The parent of the benchmark's peers python_imap and python_executor, asked by script.c.

The workers are started, and have answered, before the first run. The jobs of a run are made before
it begins: ten different ones by turns, each with a digit of its number at both ends.
"""

import concurrent.futures
import itertools
import multiprocessing
import os
import sys
import time


def echo(job):
    """Be the work."""
    if job[0] != job[-1]:
        raise ValueError("another job came than was sent")
    return job


def whoami(_):
    """Say who the worker is, and have the others get a job meanwhile."""
    time.sleep(0.05)
    return os.getpid()


def check(results, size, count):
    """Raise unless as many results came back as jobs with each digit were sent."""
    digits = [0] * 256
    for result in results:
        if len(result) != size or result[0] != result[-1]:
            raise ValueError("another result came than was sent")
        digits[result[0]] += 1
    for digit in range(10):
        if digits[ord("0") + digit] != (count + 9 - digit) // 10:
            raise ValueError("results are missing")


def run_imap(context, workers, chunksize):
    """Yield the workers, then a function that does jobs."""
    with context.Pool(workers) as pool:
        yield set(pool.map(whoami, range(4 * workers), chunksize=1))
        while True:
            yield lambda jobs: pool.imap_unordered(echo, jobs, chunksize=chunksize)


def run_executor(context, workers):
    """As run_imap()."""
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as executor:
        yield set(executor.map(whoami, range(4 * workers)))

        def run(jobs):
            futures = [executor.submit(echo, job) for job in jobs]
            return (future.result() for future in concurrent.futures.as_completed(futures))

        while True:
            yield run


def lead(size, way, workers):
    """Be the parent."""
    context = multiprocessing.get_context("fork")
    if way == "executor":
        pool = run_executor(context, workers)
    else:
        pool = run_imap(context, workers, int(way.removeprefix("imap_")))
    made = [b"%d%s%d" % (digit, b"x" * (size - 2), digit) for digit in range(10)]
    print("ready", *next(pool), flush=True)
    run = next(pool)
    for line in sys.stdin:
        count = int(line)
        check(run(itertools.islice(itertools.cycle(made), count)), size, count)
        print("ok", flush=True)
    pool.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(lead(int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
    except (OSError, EOFError, ValueError) as error:
        print(error, flush=True)
        sys.exit(1)
