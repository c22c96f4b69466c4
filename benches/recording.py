#!/usr/bin/env python3
"""What recording costs over running, and replaying over recording.

    benches/recording.py                          all workloads of guests/bench, 6 rounds
    benches/recording.py --only sha256sum         a boot and some workloads
    benches/recording.py --write                  also puts the table into docs/performance.md

The costs are below the noise of a shared host, so the two that are compared run
at the same time and on the same processor, in turns of milliseconds: what slows
one slows the other. A round is such a pair of record and run, and one of replay
and record, each on a processor of its own if there are two. A pair's ratio is
that of its CPU seconds (user and system, all threads; "total" is of the whole
process, closing the log included). Two that share a processor also share its
caches, so the seconds are longer than those of engines.py.

The table gives the median of the rounds' ratios and, from 6 rounds on, an
interval that holds the true median with a confidence of at least 95 %, whatever
the noise is distributed like: that between the k-th smallest and the k-th
largest, k by the binomial distribution.

Exit status 1 when a run failed.
"""

import argparse
import concurrent.futures
import math
import os
import statistics
import sys
import tempfile

from engines import FLOORS, PLACES, bail, side, workloads

ROOT = side.ROOT


def held(processor, command, timeout):
    """CPU seconds of a command, by workload, on one processor, which it inherits from this thread."""
    os.sched_setaffinity(0, {processor})
    r = side.run(command, timeout)
    return {"total": r["cpu"], "boot": r["boot cpu"], **r["jobs"]}


def one_round(pairs, processors, timeout):
    """CPU seconds of pairs of commands, all at the same time, those of a pair on the same processor."""
    with concurrent.futures.ThreadPoolExecutor(2 * len(pairs)) as pool:
        started = [[pool.submit(held, processors[n % len(processors)], command, timeout) for command in pair]
                   for n, pair in enumerate(pairs)]
        return [[run.result() for run in pair] for pair in started]


def interval(values):
    """Bounds of the median with a confidence of at least 95 %, by the order of the values."""
    n, values = len(values), sorted(values)
    outside, k = 0.0, 0
    while (outside := outside + math.comb(n, k) / 2**n) <= 0.025:
        k += 1
    return (values[k - 1], values[n - k]) if k else None


def cell(values):
    """Median and interval."""
    text = f"{statistics.median(values):.3f}"
    if bounds := interval(values):
        text += f" ({bounds[0]:.3f} to {bounds[1]:.3f})"
    return text


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--guest", choices=FLOORS, default="amd64")
    p.add_argument("--rounds", type=int, default=6, metavar="N", help="rounds (default 6)")
    p.add_argument("--only", action="append", metavar="NAME", help="only this workload, may be repeated")
    p.add_argument("--engine", default="jit")
    p.add_argument("--cpu", help="CPU model (default qemu64, cortex-a57)")
    p.add_argument("--memory", type=int, default=512, metavar="MIB")
    p.add_argument("--dejavm", default=os.path.join(ROOT, "target", "release", "dejavm"), metavar="PATH")
    p.add_argument("--images", default=os.path.join(ROOT, "guests", "build"), metavar="DIR")
    p.add_argument("--timeout", type=float, default=1800, metavar="S", help="for one run (default 1800)")
    p.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    a = p.parse_args()
    if a.rounds < 1:
        bail("--rounds must be at least 1")
    processors = sorted(os.sched_getaffinity(0))
    place, without = PLACES[a.guest]
    folder = os.path.join(a.images, place)
    chosen = [name for name, _ in workloads(a.only, without)]
    a.run, a.engine, a.only = "bench dejavm.bench=" + ",".join(chosen), [a.engine], ["DejaVM"]
    ratios = {"record / run": [], "replay / record": []}
    seconds = []
    with tempfile.TemporaryDirectory(prefix="recording-") as work:
        modes = side.modes(a, folder, work)
        if not modes:
            bail(f"no {a.dejavm} (cargo build --release)")
        (_, run, _, _), (_, record, log, _), (_, replay, _, _) = modes
        beside = {what: log + f".{n}" for n, what in enumerate(ratios)}
        recording = {what: [beside[what] if word == log else word for word in record] for what in ratios}
        try:
            print("what is replayed ...", file=sys.stderr)
            side.run(record, a.timeout)
            for n in range(a.rounds):
                for f in beside.values():
                    if os.path.exists(f):
                        os.remove(f)
                pairs = [(recording["record / run"], run), (replay, recording["replay / record"])]
                # Neither is always the first to start, nor on the same processor.
                turned = [pair[::-1] for pair in pairs] if n % 2 else pairs
                got = one_round(turned, processors[::-1] if n // 2 % 2 else processors, a.timeout)
                got = [pair[::-1] for pair in got] if n % 2 else got
                for of, (over, under) in zip(ratios.values(), got):
                    # Clocks tick: what takes less than a tick has no ratio.
                    of.append({job: over[job] / under[job] for job in over if under.get(job)})
                seconds.append(got[0][1])
                last = ", ".join(f"{what} {of[-1]['total']:.3f}" for what, of in ratios.items())
                print(f"round {n + 1} of {a.rounds}: {last}", file=sys.stderr)
        except (side.Failed, OSError) as e:
            print(f"recording.py: {e}", file=sys.stderr)
            return 1
    lines = ["| workload | run, CPU s | " + " | ".join(ratios) + " |", "|---|---:|" + "---:|" * len(ratios)]
    for job in ["total", "boot", *chosen]:
        cells = [cell([r[job] for r in of if job in r]) for of in ratios.values()]
        lines.append(f"| {job} | {statistics.median(s[job] for s in seconds):.2f} | " + " | ".join(cells) + " |")
    text = "\n".join([f"Guest {a.guest}, {a.memory} MiB, {a.engine[0]}, medians of {a.rounds}.", "", *lines])
    print(text)
    if a.write:
        block = "recording" if a.guest == "amd64" else f"recording {a.guest}"
        side.put(os.path.join(ROOT, "docs", "performance.md"), block, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
