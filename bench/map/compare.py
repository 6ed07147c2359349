#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Race `duplex map` against GNU parallel and xargs, on the names of this machine's files.

All get the same names on standard input, the same unmodified worker programs and the same file for
their output, and take turns. Whoever loses or changes a line is found out. A second race kills one
worker, once it works, and counts what is missing from the output.
"""

import argparse
import collections
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import select
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BATCH = 1000
SUBSET = 20  # lines for who would take hours
KILL_AT = 0.5  # of the time that is left to the contender when its workers have started
TIME_LIMIT = 300


@dataclasses.dataclass
class Contender:
    """One way to have two workers do it."""

    name: str
    command: list
    per_line: bool = False  # a process for each line: done for some, and said so


@dataclasses.dataclass
class Run:
    """What one run showed."""

    seconds: float = 0.0
    cpu: float = 0.0
    status: int = 0
    missing: int = 0
    alien: int = 0  # lines that nobody should have written
    in_order: bool = True
    killed: bool = False


def find_names(root, count):
    """The first names of files below a folder, on its file system, in the order of their bytes."""
    device = os.lstat(root).st_dev
    names = []
    folders = [os.fsencode(root)]
    while folders and len(names) < count:
        folder = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        names.extend(entry.path for entry in entries if b"\n" not in entry.path)
        for entry in reversed(entries):
            if entry.is_dir(follow_symlinks=False) and os.lstat(entry.path).st_dev == device:
                folders.append(entry.path)
    return names[:count]


def contenders_of(duplex, worker):
    """Everybody, with this worker."""
    parallel = ["parallel", "--will-cite", "-j2", "--pipe"]
    text = shlex.join(worker)
    batch = ["sh", "-c", f'printf "%s\\n" "$@" | {text}', "sh"]
    xargs = ["xargs", "-d", "\\n", "-P2"]
    found = [
        Contender("duplex map -j2", [duplex, "map", "-j2", "--", *worker]),
        Contender(
            "duplex map -j2 --unordered", [duplex, "map", "-j2", "--unordered", "--", *worker]
        ),
    ]
    if is_gnu_parallel():
        found += [
            Contender("parallel -j2 --pipe --round-robin", [*parallel, "--round-robin", text]),
            Contender("parallel -j2 --pipe", [*parallel, text]),
        ]
    if shutil.which("xargs"):
        found += [
            Contender("xargs -P2, as many names as fit", [*xargs, "-s2000000", *batch]),
            Contender(f"xargs -P2 -n{BATCH}", [*xargs, f"-n{BATCH}", *batch]),
            Contender("xargs -P2 -n1", [*xargs, "-n1", *batch], per_line=True),
        ]
    return found


def is_gnu_parallel():
    """Another program has that name too."""
    if not shutil.which("parallel"):
        return False
    said = subprocess.run(["parallel", "--version"], capture_output=True, check=False).stdout
    return said.startswith(b"GNU parallel")


def descendants(root):
    """The pids of all processes below one."""
    found, level = [], [root]
    while level:
        pid = level.pop()
        try:
            text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        except OSError:
            continue
        level += [int(word) for word in text.split()]
        found.append(pid)
    return found[1:]


def kill_worker(root, worker):
    """Kill one process that runs the worker. Whether there was one."""
    wanted = b"\0".join(os.fsencode(word) for word in worker) + b"\0"
    for pid in sorted(descendants(root)):
        try:
            if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() == wanted:
                os.kill(pid, signal.SIGKILL)
                return True
        except OSError:
            pass
    return False


def wait(process, deadline):
    """Reap it. Status and processor time, that of the children which it reaped too."""
    watch = os.pidfd_open(process.pid)
    ended, _, _ = select.select([watch], [], [], max(0, deadline - time.monotonic()))
    os.close(watch)
    if not ended:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise TimeoutError(f"{shlex.join(process.args)} was not done in {TIME_LIMIT} s")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def judge(run, output, expected):
    """Hold the output against what should have come."""
    got = output.read_bytes().split(b"\n")
    got.pop()
    run.in_order = got == expected
    if run.in_order:
        return
    difference = collections.Counter(expected)
    difference.subtract(got)
    run.missing = sum(count for count in difference.values() if count > 0)
    run.alien = -sum(count for count in difference.values() if count < 0)


class Race:
    """All turns with one worker."""

    def __init__(self, title, worker, arguments, work):
        self.title = title
        self.worker = worker
        self.work = work
        self.names = work / "names"
        self.few = work / "few"
        self.contenders = contenders_of(arguments.duplex, worker)
        self.runs = {contender.name: [] for contender in self.contenders}
        self.killed = {}
        self.expected = self.answers(self.names)
        self.expected_few = self.answers(self.few)
        start = [self.time_of_start() for _ in range(5)]
        self.start = statistics.median(start)

    def answers(self, names):
        """What one worker makes of it."""
        with open(names, "rb") as source:
            said = subprocess.run(self.worker, stdin=source, capture_output=True, check=True)
        return said.stdout.split(b"\n")[:-1]

    def time_of_start(self):
        """Seconds until a worker has seen that there is nothing to do."""
        before = time.monotonic()
        subprocess.run(self.worker, stdin=subprocess.DEVNULL, check=True)
        return time.monotonic() - before

    def run(self, contender, kill_after=None):
        """One turn."""
        run = Run()
        output = self.work / "output"
        names = self.few if contender.per_line else self.names
        with open(names, "rb") as source, open(output, "wb") as sink, open(
            self.work / "errors", "ab"
        ) as errors:
            before = time.monotonic()
            process = subprocess.Popen(
                contender.command,
                stdin=source,
                stdout=sink,
                stderr=errors,
                start_new_session=True,
                env=os.environ | {"PARALLEL_SHELL": "/bin/sh"},
            )
            if kill_after is not None:
                time.sleep(kill_after)
                run.killed = kill_worker(process.pid, self.worker)
            run.status, run.cpu = wait(process, before + TIME_LIMIT)
            run.seconds = time.monotonic() - before
        judge(run, output, self.expected_few if contender.per_line else self.expected)
        return run

    def take_turns(self, passes):
        """Everybody once in each pass; who takes a process for each line, in the first."""
        for number in range(passes):
            for contender in self.contenders:
                if number > 0 and contender.per_line:
                    continue
                run = self.run(contender)
                if contender.per_line:
                    factor = len(self.expected) / len(self.expected_few)
                    run.seconds *= factor
                    run.cpu *= factor
                self.runs[contender.name].append(run)

    def kill_in_turn(self):
        """Kill a worker of each, once it has begun to answer."""
        for contender in self.contenders:
            if contender.per_line:
                continue
            usual = statistics.median(run.seconds for run in self.runs[contender.name])
            at = self.start + max(0, usual - self.start) * KILL_AT
            self.killed[contender.name] = self.run(contender, at)

    def rows(self):
        """The figures of each, as the table and the JSON have them."""
        first = self.runs[self.contenders[0].name]
        for contender in self.contenders:
            runs = self.runs[contender.name]
            seconds = [run.seconds for run in runs]
            killed = self.killed.get(contender.name)
            yield {
                "name": contender.name,
                "extrapolated": contender.per_line,
                "median": statistics.median(seconds),
                "passes": seconds,
                "cpu": statistics.median(run.cpu for run in runs),
                "ratio": statistics.median(
                    run.seconds / other.seconds for run, other in zip(runs, first)
                ),
                "in_order": all(run.in_order for run in runs),
                "missing": max(run.missing for run in runs),
                "alien": max(run.alien for run in runs),
                "statuses": sorted({run.status for run in runs}),
                "killed": dataclasses.asdict(killed) if killed else None,
            }


def text_of_seconds(seconds):
    """For people."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"


def text_of_status(status):
    """An exit status, or the signal that ended it."""
    return f"status {status}" if status >= 0 else f"died of {signal.Signals(-status).name}"


def text_of_output(row):
    """Whether what came out is what should have."""
    if row["missing"] or row["alien"]:
        return f"**wrong**: {row['missing']} lines missing, {row['alien']} torn"
    if any(row["statuses"]):
        return f"complete, {text_of_status(row['statuses'][-1])}"
    return "in order" if row["in_order"] else "complete, in another order"


def text_of_killed(row):
    """What became of everybody's jobs when one worker was killed."""
    run = row["killed"]
    if not run or not run["killed"]:
        return ""
    if run["missing"] == 0 and run["alien"] == 0:
        return f"0, {text_of_status(run['status'])}"
    return f"**{run['missing']:,}**, {text_of_status(run['status'])}"


def write_markdown(out, race, lines):
    """A table of one race."""
    with_killed = bool(race.killed)
    print(f"\n## {race.title}\n", file=out)
    print(
        f"{lines:,} names of files; a worker alone takes {text_of_seconds(race.start)} to start "
        "and end.\n",
        file=out,
    )
    killed = " a worker killed: lines missing |" if with_killed else ""
    print(f"| | wall clock | × duplex map | CPU | output |{killed}", file=out)
    print("|---|--:|--:|--:|---|" + ("--:|" if with_killed else ""), file=out)
    for row in race.rows():
        about = "about " if row["extrapolated"] else ""
        cells = [
            f"`{row['name']}`",
            about + text_of_seconds(row["median"]),
            f"{row['ratio']:.3g}",
            about + text_of_seconds(row["cpu"]),
            "" if row["extrapolated"] else text_of_output(row),
        ]
        if with_killed:
            cells.append(text_of_killed(row))
        print("| " + " | ".join(cells) + " |", file=out)


def write_summary(out, races):
    """One table of all races."""
    titles = [f"{race.title} ({text_of_seconds(race.start)} to start)" for race in races]
    print("\n| | " + " | ".join(titles) + " | a worker killed: lines missing |", file=out)
    print("|---|" + "--:|" * (len(races) + 1), file=out)
    for rows in zip(*(race.rows() for race in races)):
        cells = []
        for row in rows:
            about = "about " if row["extrapolated"] else ""
            wrong = " **torn lines**" if row["missing"] or row["alien"] else ""
            cells.append(about + text_of_seconds(row["median"]) + wrong)
        cells.append(text_of_killed(rows[0]))
        print(f"| `{rows[0]['name']}` | " + " | ".join(cells) + " |", file=out)


def write_report(out, races, arguments, lines):
    """All tables, and what they mean."""
    memory = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n")
    model = [line.split(":")[1].strip() for line in memory if line.startswith("model name")]
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    print(
        "# `duplex map` beside GNU parallel and xargs\n\n"
        f"Written by `./dev benchmap` on {date}. Linux {platform.release()}, "
        f"{model[0] if model else platform.machine()}, {len(os.sched_getaffinity(0))} CPUs "
        "allowed. "
        f"Medians of {arguments.passes} interleaved passes; × is the median of the ratios within "
        "each pass. All have two workers, the same input file and the same output file; their own "
        f"start and that of the workers counts. `-n1` was done for {SUBSET} names, once, and "
        "multiplied.",
        file=out,
    )
    write_summary(out, races)
    for race in races:
        write_markdown(out, race, lines)


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build", type=pathlib.Path, help="the folder where duplex was built")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--lines", type=int, default=100000)
    parser.add_argument("--input", type=pathlib.Path, help="a file of lines, instead of names")
    parser.add_argument("--worker", help="only the workers whose names begin so")
    parser.add_argument("--results", type=pathlib.Path, help="a folder for map.md and map.json")
    arguments = parser.parse_args()
    arguments.duplex = str((arguments.build / "duplex").resolve())
    arguments.filter = str((arguments.build / "bench" / "bench_line_filter").resolve())
    return arguments


def main():
    """Run all races."""
    arguments = parse_arguments()
    workers = {
        "Python": (
            "Python, slugs of names",
            [sys.executable, str(HERE / "slugs.py")],
        ),
        "C": ("C, capital letters", [arguments.filter]),
        "sed": ("`sed -u`, last parts of names", ["sed", "-u", "s|.*/||"]),
    }
    if arguments.input:
        names = arguments.input.read_bytes().split(b"\n")[: arguments.lines]
    else:
        names = find_names("/usr", arguments.lines)
        if len(names) < arguments.lines:
            names = find_names("/", arguments.lines)
    races = []
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        (work / "names").write_bytes(b"".join(name + b"\n" for name in names))
        (work / "few").write_bytes(b"".join(name + b"\n" for name in names[:SUBSET]))
        for name, (title, worker) in workers.items():
            if arguments.worker and not name.lower().startswith(arguments.worker.lower()):
                continue
            race = Race(title, worker, arguments, work)
            race.take_turns(arguments.passes)
            if name == "Python":
                race.kill_in_turn()
            races.append(race)
        errors = (work / "errors").read_text(encoding="utf-8", errors="replace")
    write_report(sys.stdout, races, arguments, len(names))
    if errors.strip():
        print("\nThey said on standard error:\n" + errors, file=sys.stderr)
    if arguments.results:
        with open(arguments.results / "map.md", "w", encoding="utf-8") as out:
            write_report(out, races, arguments, len(names))
        with open(arguments.results / "map.json", "w", encoding="utf-8") as out:
            figures = {
                race.title: {"start": race.start, "rows": list(race.rows())} for race in races
            }
            json.dump({"lines": len(names), "races": figures}, out, indent=2)
            out.write("\n")


if __name__ == "__main__":
    main()
