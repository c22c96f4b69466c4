#!/usr/bin/env python3
"""Runs the workloads of guests/bench under every engine, and compares.

    benches/engines.py                        all workloads, 3 rounds
    benches/engines.py --quick                one workload, one round: does it work?
    benches/engines.py --only vm --only sort  some workloads
    benches/engines.py --guest arm64          under 64-bit ARM's kernel
    benches/engines.py --write                also puts the tables into docs/performance.md
    benches/engines.py --state DIR --minutes 9   as much as fits into nine minutes

A round is: every workload natively, then one boot under each of QEMU plain TCG,
QEMU -icount, QEMU rr=record, QEMU rr=replay, DejaVM run, record and replay. In
a boot the guest runs all workloads, each between two marker lines that it waits
to see out of the serial port; the figure is the CPU time, user and system, all
threads, of the emulator's process between their arrivals. So neither the boot
nor the making of data counts. "boot" is the time to the first line of /init.

The table of seconds gives medians; the ratios are medians of the ratios of each
round, whose runs lay close together. A ratio below the floor that is set for it
is printed with the floor.

With --state every run is kept in a folder as soon as it ends, and the same
command goes on from there: exit status 3 says that it has to be given again.
Needs guests/build.sh bench, Debian's
qemu-system-x86 and a release build of dejavm (cargo build --release); for ARM
guests/build.sh bench-arm64 and qemu-system-arm. ARM's workloads are the same
but those about x86's instructions, and have no native run where the host is no
ARM. Exit status 1 when a mode or a workload failed.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BENCH = os.path.join(ROOT, "guests", "bench")
spec = importlib.util.spec_from_file_location("side_by_side", os.path.join(HERE, "side-by-side.py"))
side = importlib.util.module_from_spec(spec)
spec.loader.exec_module(side)
bail = side.bail

NATIVE = "native"
# What each mode of DejaVM is held against.
AGAINST = {"run": "QEMU tcg", "record": "QEMU record", "replay": "QEMU replay"}
# The least of those ratios, by guest: against record, replay and run. "*": of every other workload.
FLOORS = {
    "amd64": {
        "boot": (1.7, 4, 1.2), "integer": (2.5, 4, 1.5), "memory": (1.2, 1.5, 1.1), "rep": (10, 10, 2),
        "vm": (3, 4, 2), "nbody": (6, 8, 5), "sse": (6, 8, 5), "x87": (5, 6, 2), "syscalls": (2, 3, 1.2),
        "forks": (2, 3, 1.2), "*": (0, 0, 0),
    },
    "arm64": {
        "boot": (1.3, 2, 1.2), "integer": (1.5, 2, 1.2), "vm": (2, 2, 1.7), "nbody": (4, 4, 3),
        "syscalls": (3, 20, 2), "*": (0, 0, 1),
    },
}
# Where the workloads are built, and those that are left out: they are about instructions of another guest.
PLACES = {"amd64": ("bench", []), "arm64": ("bench-arm64", ["rep", "sse", "x87"])}
# Guests whose programs the host runs itself.
NATIVES = {"x86_64": "amd64", "aarch64": "arm64"}


def floor(guest, job, mode):
    """The least ratio of QEMU's time over ours."""
    record, replay, run = FLOORS[guest].get(job, FLOORS[guest]["*"])
    return {"record": record, "replay": replay, "run": run}[mode]


def workloads(only, without):
    """Names and commands, in the guest's order."""
    with open(os.path.join(BENCH, "list")) as f:
        lines = [line.strip().partition(" ") for line in f if line.strip()]
    lines = [line for line in lines if line[0] not in without]
    known = [name for name, _, _ in lines]
    for name in only or []:
        if name not in known:
            bail(f"no workload '{name}' (there are: {' '.join(known)})")
    return [(name, command) for name, _, command in lines if not only or name in only]


def shell(folder, work, command):
    """Runs a command with the guest's programs on the host."""
    programs = os.path.join(folder, "bin")
    busybox = os.path.join(programs, "busybox")
    # The shell of busybox runs its own applets before it looks at PATH.
    environment = {"PATH": f"{programs}:/nowhere", "LC_ALL": "C"}
    return subprocess.Popen([busybox, "sh", "-e", "-c", command], cwd=work, env=environment,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def native(folder, work, list_of_workloads):
    """CPU seconds of each workload on the host, with all its children."""
    if shell(folder, work, f". {shlex.quote(os.path.join(BENCH, 'setup'))}").wait() != 0:
        raise side.Failed("the data could not be made")
    jobs = {}
    for name, command in list_of_workloads:
        process = shell(folder, work, command)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise side.Failed(f"{name}: exit status {process.returncode}")
        jobs[name] = usage.ru_utime + usage.ru_stime
    return {"jobs": jobs}


class State:
    """What was measured so far, in a folder if it is to be kept."""

    def __init__(self, folder, key):
        self.file = os.path.join(folder, "results.json") if folder else None
        self.key, self.rounds, self.failed, self.longest = key, [], {}, 0
        if self.file and os.path.exists(self.file):
            with open(self.file) as f:
                kept = json.load(f)
            if kept["key"] != key:
                wrong = ", ".join(k for k in key if kept["key"].get(k) != key[k])
                bail(f"{self.file} is of other runs ({wrong}): use another folder")
            self.rounds, self.failed, self.longest = kept["rounds"], kept["failed"], kept["longest"]

    def keep(self):
        if not self.file:
            return
        kept = {"key": self.key, "rounds": self.rounds, "failed": self.failed, "longest": self.longest}
        with open(self.file + ".new", "w") as f:
            json.dump(kept, f, indent=1)
        os.replace(self.file + ".new", self.file)


def one_round(a, todo, folder, list_of_workloads, state, results, deadline):
    """One run of each mode that has none yet. False when time is up."""
    failed = state.failed
    for name, command, leaves, needs in todo:
        if name in results:
            continue
        if needs and (needs not in results or not os.path.exists(next(m[2] for m in todo if m[0] == needs))):
            failed.setdefault(name, "its record failed")
            continue
        if deadline and time.monotonic() + state.longest > deadline:
            return False
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        if leaves and os.path.exists(leaves):
            os.remove(leaves)
        start = time.monotonic()
        try:
            if name == NATIVE:
                with tempfile.TemporaryDirectory(prefix="engines-native-") as work:
                    r = native(folder, work, list_of_workloads)
            else:
                r = side.run(command, a.timeout)
                missing = [w for w, _ in list_of_workloads if w not in r["jobs"]]
                if missing:
                    raise side.Failed(f"no figures for {' '.join(missing)}")
                r["jobs"]["boot"] = r["boot cpu"]
        except (side.Failed, OSError) as e:
            failed[name] = str(e)
            state.keep()
            print(f"failed: {e}", file=sys.stderr)
            continue
        results[name] = r["jobs"]
        failed.pop(name, None)
        state.longest = max(state.longest, time.monotonic() - start)
        state.keep()
        print(f"{sum(r['jobs'].values()):.2f} CPU s", file=sys.stderr)
    return True


def ratio(rounds, job, over, under):
    """The median of a ratio of two modes, round by round."""
    values = []
    for r in rounds:
        x, y = r.get(over, {}).get(job), r.get(under, {}).get(job)
        if x is not None and y:
            values.append(x / y)
    return statistics.median(values) if values else None


def tables(guest, rounds, modes, jobs, engines):
    """Seconds, then ratios, in Markdown."""
    show = lambda v, form: "" if v is None else format(v, form)
    lines = ["| CPU s | " + " | ".join(modes) + " |", "|---|" + "---:|" * len(modes)]
    for job in jobs:
        cells = []
        for mode in modes:
            values = [r[mode][job] for r in rounds if job in r.get(mode, {})]
            cells.append(show(statistics.median(values) if values else None, ".2f"))
        lines.append(f"| {job} | " + " | ".join(cells) + " |")
    for engine in engines:
        columns = [f"{AGAINST[m]} / {m}" for m in AGAINST]
        columns += [f"{m} / native" for m in AGAINST] if NATIVE in modes else []
        columns += ["record / run", "replay / record"]
        lines += ["", f"| {engine} | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
        name = lambda mode: f"DejaVM {mode}, {engine}"
        for job in jobs:
            values = [ratio(rounds, job, AGAINST[m], name(m)) for m in AGAINST]
            values += [ratio(rounds, job, name(m), NATIVE) for m in AGAINST] if NATIVE in modes else []
            values += [ratio(rounds, job, name("record"), name("run")),
                       ratio(rounds, job, name("replay"), name("record"))]
            cells = [show(v, ".2f") for v in values]
            for n, mode in enumerate(AGAINST):
                if values[n] is not None and values[n] < floor(guest, job, mode):
                    cells[n] += f" (floor {floor(guest, job, mode)})"
            lines.append(f"| {job} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def digest(path):
    """What names a build."""
    try:
        with open(path, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()
    except OSError:
        return ""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--guest", choices=FLOORS, default="amd64")
    p.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds (default 3)")
    p.add_argument("--only", action="append", metavar="NAME", help="only this workload, may be repeated")
    p.add_argument("--quick", action="store_true", help="the integer workload, one round")
    p.add_argument("--modes", action="append", metavar="TEXT", help="only modes whose name has this, may be repeated")
    p.add_argument("--engine", action="append", metavar="E", help="engine of DejaVM, may be repeated (default jit)")
    p.add_argument("--cpu", help="CPU model (default qemu64, cortex-a57)")
    p.add_argument("--memory", type=int, default=512, metavar="MIB")
    p.add_argument("--dejavm", default=os.path.join(ROOT, "target", "release", "dejavm"), metavar="PATH")
    p.add_argument("--images", default=os.path.join(ROOT, "guests", "build"), metavar="DIR")
    p.add_argument("--timeout", type=float, default=1800, metavar="S", help="for one boot (default 1800)")
    p.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    p.add_argument("--state", metavar="DIR", help="keep every run there and go on from what is there")
    p.add_argument("--minutes", type=float, metavar="M", help="begin no run that may end later than that")
    p.add_argument("--json", metavar="FILE", help="write every round's figures there")
    a = p.parse_args()
    a.engine = a.engine or ["jit"]
    if a.quick:
        a.rounds, a.only = 1, a.only or ["integer"]
    if a.rounds < 1:
        bail("--rounds must be at least 1")
    place, without = PLACES[a.guest]
    folder = os.path.join(a.images, place)
    for f in ("vmlinuz", "initrd.img", "bin/busybox"):
        if not os.path.exists(os.path.join(folder, f)):
            bail(f"{os.path.join(folder, f)} is missing; run guests/build.sh {place}")
    chosen = workloads(a.only, without)
    # What side-by-side.py's list of modes asks for.
    a.run = "bench"
    if a.only or without:
        a.run += " dejavm.bench=" + ",".join(name for name, _ in chosen)
    a.only = a.modes
    deadline = time.monotonic() + 60 * a.minutes if a.minutes else None
    if a.minutes and not a.state:
        bail("--minutes needs --state, or what was measured would be lost")
    with tempfile.TemporaryDirectory(prefix="engines-") as scratch:
        work = a.state or scratch
        os.makedirs(work, exist_ok=True)
        todo = side.modes(a, folder, work)
        if NATIVES.get(platform.machine()) == a.guest:
            todo.insert(0, (NATIVE, None, None, None))
        key = {"guest": a.guest, "workloads": [c[0] for c in chosen], "modes": [m[0] for m in todo], "cpu": a.cpu or "",
               "memory": a.memory, "dejavm": digest(a.dejavm)}
        state = State(a.state, key)
        for n in range(a.rounds):
            print(f"round {n + 1} of {a.rounds}: ", end="", file=sys.stderr)
            if n == len(state.rounds):
                state.rounds.append({})
            if not one_round(a, todo, folder, chosen, state, state.rounds[n], deadline):
                done = sum(len(r) for r in state.rounds)
                print(f"time is up with {done} of {a.rounds * len(todo)} runs: the same command goes on",
                      file=sys.stderr)
                return 3
            print("complete", file=sys.stderr)
    rounds, failed = state.rounds, state.failed
    modes = [m[0] for m in todo]
    jobs = (["boot"] if any(m != NATIVE for m in modes) else []) + [name for name, _ in chosen]
    version = ""
    if qemu := shutil.which(side.GUESTS[a.guest][0]):
        version = "; " + subprocess.run([qemu, "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    note = (f"Guest {a.guest}, {a.memory} MiB, CPU {a.cpu or side.GUESTS[a.guest][1]}, medians of {a.rounds}.\n"
            f"Host: {os.cpu_count()} CPUs, {platform.machine()}{version}.")
    text = f"{note}\n\n{tables(a.guest, rounds, modes, jobs, a.engine)}"
    for name, why in failed.items():
        text += f"\n\n{name} failed: {why}"
    print(text)
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"rounds": rounds, "failed": failed}, f, indent=1)
    if a.write:
        block = "engines" if a.guest == "amd64" else f"engines {a.guest}"
        side.put(os.path.join(ROOT, "docs", "performance.md"), block, text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
