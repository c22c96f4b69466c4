#!/usr/bin/env python3
"""Looks for cliffs of the compiler: guests that make compiling worth nothing.

    benches/cliffs.py                 all of them, 5 rounds
    benches/cliffs.py --only faults   some of them
    benches/cliffs.py --write         also puts the table into docs/performance.md

Each guest of guests/cliffs is run by both engines at the same time on the same
processor: what slows one slows the other. The table gives the medians of the
processes' CPU seconds (user and system) and of the ratios of each round. Both
engines must end at the same step with the same output. Exit status 1 when the
compiler takes more than --slack times what the interpreter takes.
"""

import argparse
import importlib.util
import os
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
spec = importlib.util.spec_from_file_location("side_by_side", os.path.join(HERE, "side-by-side.py"))
side = importlib.util.module_from_spec(spec)
spec.loader.exec_module(side)

GUESTS = {
    "rewrite": "rewrites its own code in a loop",
    "straight": "100 MB of straight-line code",
    "spaces": "10,000 address-space switches a virtual second",
    "faults": "nothing but page faults",
}


ENGINES = ("interp", "jit")


def start(dejavm, guest, engine):
    """A run that has begun."""
    kernel = os.path.join(ROOT, "guests", "cliffs", guest + ".elf")
    command = [dejavm, "run", "--engine", engine, "--kernel", kernel, "--memory", "256M", "--seed", "1",
               "--rtc", "base=2026-01-01T00:00:00,clock=vm", "--serial", "none", "--debugcon", "stdio"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end(process, what):
    """CPU seconds, steps and output of a run."""
    out, err = process.stdout.read(), process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    steps = re.search(r"the guest exited with code \d+ at step (\d+)", err)
    if not steps:
        sys.exit(f"cliffs.py: {what}: {err.strip() or process.returncode}")
    return usage.ru_utime + usage.ru_stime, int(steps[1]), out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5, metavar="N")
    p.add_argument("--only", action="append", choices=GUESTS, help="only this guest, may be repeated")
    p.add_argument("--slack", type=float, default=1.05, metavar="X", help="what noise is allowed (default 1.05)")
    p.add_argument("--dejavm", default=os.path.join(ROOT, "target", "release", "dejavm"), metavar="PATH")
    p.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    a = p.parse_args()
    lines = ["| guest | steps | interp CPU s | jit CPU s | interp / jit |", "|---|---:|---:|---:|---:|"]
    cliffs = []
    # The runs inherit it.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for guest in a.only or GUESTS:
        rounds = []
        for n in range(a.rounds):
            # Neither is always the first to start.
            order = ENGINES[::-1] if n % 2 else ENGINES
            begun = {e: start(a.dejavm, guest, e) for e in order}
            interp, jit = (end(begun[e], f"{guest} on {e}") for e in ENGINES)
            if interp[1:] != jit[1:]:
                sys.exit(f"cliffs.py: {guest}: the engines differ: {interp[1:]} and {jit[1:]}")
            rounds.append((interp[0], jit[0]))
            print(f"{guest}, round {n + 1}: interp {interp[0]:.2f}, jit {jit[0]:.2f} CPU s", file=sys.stderr)
        ratio = statistics.median(i / j for i, j in rounds)
        seconds = [statistics.median(r[n] for r in rounds) for n in range(2)]
        if ratio * a.slack < 1:
            cliffs.append(guest)
        lines.append(f"| {GUESTS[guest]} | {interp[1]:,} | {seconds[0]:.2f} | {seconds[1]:.2f} | {ratio:.2f} |")
    text = "\n".join(lines)
    print(text)
    if a.write:
        side.put(os.path.join(ROOT, "docs", "performance.md"), "cliffs", f"Medians of {a.rounds}.\n\n{text}")
    if cliffs:
        print(f"cliffs.py: slower than the interpreter: {' '.join(cliffs)}", file=sys.stderr)
    return 1 if cliffs else 0


if __name__ == "__main__":
    sys.exit(main())
