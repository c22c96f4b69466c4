#!/usr/bin/env python3
"""Goes back in time in one recorded boot, under DejaVM and under QEMU, and compares.

    benches/time-travel.py                     records a Debian amd64 boot with both, then measures
    benches/time-travel.py --recording a.dvm   takes a recording that there is, of the same guest
    benches/time-travel.py --write             also puts the table into docs/performance.md

Times are wall seconds from a packet of gdb's protocol to its answer, over TCP,
with the read of all registers that gdb does after a stop; gdb's own time is not
in them. QEMU keeps one snapshot, at the start, as its manual shows it; what
does not answer within --limit seconds is reported as that. A busy host makes
all of it slower; the load average is printed with the table. Searches and
replays therefore also have CPU seconds, of all threads: these hardly depend on
what else the host does, and two jobs are faster than one by at most twice the
ratio of one job's CPU seconds to theirs.

Needs guests/build.sh amd64 and a release build of dejavm. QEMU's column needs
qemu-system-x86 and qemu-utils (Debian); without them it says so and is empty.
"""

import argparse
import json
import os
import platform
import random
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from rsp import NoAnswer, Rsp, connect

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
# Kernel variables whose last writer is asked for: some written all the time, some once.
VARIABLES = [("jiffies_64", 8), ("total_forks", 8), ("nr_threads", 4), ("system_state", 4),
             ("saved_command_line", 8), ("tick_next_period", 8), ("printk_time", 1), ("init_uts_ns", 8)]


def bail(text):
    print(f"time-travel.py: {text}", file=sys.stderr)
    sys.exit(2)


def say(text):
    print(text, file=sys.stderr, flush=True)


def timed(call):
    """What a call gives, and its seconds."""
    start = time.monotonic()
    out = call()
    return out, time.monotonic() - start


def show(seconds):
    if seconds is None:
        return ""
    if isinstance(seconds, str):
        return seconds
    return f"{seconds * 1000:.2g} ms" if seconds < 0.01 else \
        f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def cpu_of(pid):
    """CPU seconds that a process has used, all threads."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def both(wall, cpu):
    return f"{show(wall)} ({cpu:.1f} CPU s)"


def median(values):
    return statistics.median(values)


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]


class Dejavm:
    """A `dejavm replay --gdb` process, and a connection to it."""

    def __init__(self, a, recording, *options, env=None):
        self.start = time.monotonic()
        self.process = subprocess.Popen(
            [a.dejavm, "replay", recording, "--gdb", "127.0.0.1:0", "--serial", "none", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})})
        said = ""
        for text in self.process.stderr:
            said += text
            if where := re.search(r"127\.0\.0\.1:(\d+)", text):
                break
        else:
            raise NoAnswer(f"dejavm replay --gdb: {said.strip()}")
        self.rsp = Rsp(where[0], a.limit)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.rsp.close()
        self.process.terminate()
        self.process.communicate()

    def when(self):
        return int(re.search(r"\d+", self.rsp.monitor("when"))[0])


def symbols(path):
    with open(path) as f:
        return {name: int(address, 16) for address, _, name in (line.split() for line in f)}


def step_back(rsp):
    """One reverse-stepi as gdb does it."""
    rsp.go("bs")
    rsp.ask("g")


def dejavm_part(a, recording, names):
    """Every figure of DejaVM: name → seconds or list of seconds."""
    out = {}
    info = json.loads(subprocess.run([a.dejavm, "info", recording, "--json"], capture_output=True, text=True,
                                     check=True).stdout)
    steps = out["steps"] = info["icount"]
    rng = random.Random(1)

    say("opening at the end")
    opened = []
    for _ in range(5):
        with Dejavm(a, recording) as d:
            d.rsp.monitor("seek end")
            d.rsp.ask("g")
            opened.append(time.monotonic() - d.start)
            if d.when() != steps:
                bail(f"the end is step {d.when()}, not {steps}")
    out["open"] = opened

    say(f"{a.steps} steps back")
    with Dejavm(a, recording) as d:
        d.rsp.monitor("seek end")
        first = d.when()
        out["repeated"] = [timed(lambda: step_back(d.rsp))[1] for _ in range(a.steps)]
        if d.when() != first - a.steps:
            bail(f"{a.steps} steps back from {first} came to {d.when()}")

    say(f"{a.places} places at random")
    with Dejavm(a, recording) as d:
        cold = []
        for _ in range(a.places):
            place = rng.randrange(1, steps)

            def visit():
                d.rsp.monitor(f"seek {place}")
                step_back(d.rsp)
            cold.append(timed(visit)[1])
            if d.when() != place - 1:
                bail(f"a step back from {place} came to {d.when()}")
        out["cold"] = cold

    say("last writers")
    with Dejavm(a, recording) as d:
        d.rsp.monitor("seek end")
        asked = {}
        for name, length in VARIABLES:
            if name not in names:
                continue
            where = f"0x{names[name]:x}:{length}"
            asked[name] = timed(lambda: d.rsp.monitor(f"last {where}"))
        out["last, monitor"] = [s for _, s in asked.values()]
        out["last answers"] = {name: text.strip() for name, (text, _) in asked.items()}
    command = []
    for name in asked:
        where = f"0x{names[name]:x}:{dict(VARIABLES)[name]}"
        r, seconds = timed(lambda: subprocess.run([a.dejavm, "query", recording, "last-write", where, "--json"],
                                                  capture_output=True, text=True))
        if r.returncode != 0:
            bail(f"query last-write {where}: {r.stderr.strip()}")
        command.append(seconds)
    out["last, command"] = command

    # In turns, because what else the host does changes from second to second.
    rounds = {}
    for turn in range(a.searches):
        for jobs in (1, 2):
            say(f"a search through all of it, {jobs} jobs, {turn + 1} of {a.searches}")
            with Dejavm(a, recording, "--jobs", str(jobs)) as d:
                d.rsp.monitor("seek end")
                d.rsp.ask(f"Z1,{names['panic']:x},1")
                cpu = cpu_of(d.process.pid)
                reply, seconds = timed(lambda: d.rsp.go("bc", a.limit))
                if "replaylog:begin" not in reply or d.when() != 0:
                    bail(f"a search for what is not there ended with {reply} at step {d.when()}")
                rounds.setdefault(f"search, {jobs}", []).append(seconds)
                rounds.setdefault(f"search CPU, {jobs}", []).append(cpu_of(d.process.pid) - cpu)
        say("forwards")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        _, seconds = timed(lambda: subprocess.run([a.dejavm, "replay", recording, "--serial", "none"],
                                                  check=True, capture_output=True))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        rounds.setdefault("forward", []).append(seconds)
        rounds.setdefault("forward CPU", []).append(
            after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime)
    out.update({name: median(values) for name, values in rounds.items()})
    out["back to forward"] = median([b / f for b, f in zip(rounds["search, 1"], rounds["forward"])])
    for name in a.functions:
        say(f"reverse-continue to {name}")
        with Dejavm(a, recording) as d:
            d.rsp.monitor("seek end")
            d.rsp.ask(f"Z1,{names[name]:x},1")
            _, out[f"back to {name}"] = timed(lambda: d.rsp.go("bc", a.limit))
    return out


class Qemu:
    """A QEMU that replays, with its gdb stub and its QMP socket."""

    def __init__(self, a, work):
        self.sockets = [os.path.join(work, f) for f in ("gdb.sock", "qmp.sock")]
        gdb, qmp = self.sockets
        self.process = subprocess.Popen(
            machine(a, work, "replay") + ["-S", "-qmp", f"unix:{qmp},server=on,wait=off", "-chardev",
                                          f"socket,path={gdb},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.qmp = connect(qmp, 60).makefile("rw")
            self.qmp.readline()
            self.command("qmp_capabilities")
            self.rsp = Rsp(gdb, 60)
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for path in self.sockets:
            if os.path.exists(path):
                os.remove(path)

    def command(self, name, **arguments):
        self.qmp.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.qmp.flush()
        while True:
            answer = json.loads(self.qmp.readline())
            if "error" in answer:
                raise NoAnswer(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def icount(self):
        return self.command("query-replay")["icount"]

    def go_to(self, icount, patience):
        self.command("replay-break", icount=icount)
        self.rsp.go("c", patience)
        if self.icount() != icount:
            raise NoAnswer(f"asked for instruction {icount}, it stands at {self.icount()}")


def machine(a, work, mode):
    """QEMU's command line."""
    folder = os.path.join(a.images, "amd64")
    return ["qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-cpu", "qemu64", "-m", str(a.memory),
            "-display", "none", "-monitor", "none", "-serial", "null", "-net", "none", "-no-reboot",
            "-kernel", os.path.join(folder, "vmlinuz"), "-initrd", os.path.join(folder, "initrd.img"),
            "-append", APPEND, "-drive", f"file={work}/disk.qcow2,if=none,id=rr",
            "-icount", f"shift=3,rr={mode},rrfile={work}/qemu.rr,rrsnapshot=init"]


APPEND = "console=ttyS0 nokaslr panic=-1 dejavm.run=boot"


def qemu_part(a, work, steps, names):
    """The same figures of QEMU where it has the operation: name → seconds, or what happened instead."""
    out = {}
    limit = f"no answer in {a.limit:.0f} s"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", f"{work}/disk.qcow2", "128M"], check=True)
    say("QEMU records")
    try:
        _, out["record"] = timed(lambda: subprocess.run(machine(a, work, "record"), check=True, timeout=900,
                                                        stdin=subprocess.DEVNULL, capture_output=True))
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
        out["failed"] = f"its record failed: {e}"
        return out
    # QEMU counts a little differently, so nearly the end, where the guest has not powered off yet.
    places = [steps // 6, steps // 2, steps * 95 // 100]
    for place in places:
        say(f"QEMU steps back at {place}")
        with Qemu(a, work) as q:
            try:
                _, out[f"forward {place}"] = timed(lambda: q.go_to(place, 900))
                seconds = []
                for _ in range(2):
                    seconds.append(timed(lambda: q.rsp.go("bs", a.limit))[1])
                if q.icount() != place - 2:
                    raise NoAnswer(f"two steps back from {place} came to {q.icount()}")
                out[f"back {place}"] = seconds
            except NoAnswer as e:
                out[f"back {place}"] = limit if "in time" in str(e) else str(e)
    for name in a.functions:
        say(f"QEMU goes back to {name}")
        with Qemu(a, work) as q:
            try:
                q.go_to(places[-1], 900)
                q.rsp.ask(f"Z1,{names[name]:x},1")
                _, out[f"back to {name}"] = timed(lambda: q.rsp.go("bc", a.limit))
            except NoAnswer as e:
                out[f"back to {name}"] = limit if "in time" in str(e) else str(e)
    out["places"] = places
    return out


def table(a, d, q):
    """The Markdown table."""
    steps = d["steps"]

    def line(name, mine, theirs=""):
        return f"| {name} | {mine} | {theirs} |"

    def spread(values):
        return f"{show(median(values))} (max {show(max(values))}, n {len(values)})"

    def backs(place):
        found = q.get(f"back {place}")
        return found if found is None or isinstance(found, str) else show(median(found))

    places = q.get("places", [])
    stepping = "; ".join(f"{backs(p)} at {p / 1e9:.1f} G" for p in places if backs(p))
    one, two = (both(d[f"search, {n}"], d[f"search CPU, {n}"]) for n in (1, 2))
    faster = f"{d['search, 1'] / d['search, 2']:.2f}"
    most = 2 * d["search CPU, 1"] / d["search CPU, 2"]
    rows = [
        "| operation | DejaVM | QEMU |", "|---|---:|---:|",
        line("reverse-stepi, repeated, at the end: median", show(median(d["repeated"])), stepping),
        line(f"the same, 99th percentile of {len(d['repeated'])}", show(percentile(d["repeated"], 99))),
        line("seek to a random place and reverse-stepi", spread(d["cold"])),
        line("process start to standing at the end", spread(d["open"]),
             show(q.get(f"forward {places[-1]}")) if places else ""),
        line("last writer of a kernel variable, monitor", spread(d["last, monitor"])),
        line("last writer of a kernel variable, command", spread(d["last, command"])),
        line("reverse-continue from the end, nothing to hit, 1 job", one),
        line("the same with 2 jobs", two),
        line("2 jobs to 1: as measured, and by CPU seconds at most", f"x{faster}, x{most:.2f}"),
        line("replay forwards, for comparison", both(d["forward"], d["forward CPU"])),
        line("the search with 1 job to that, in the same turn", f"x{d['back to forward']:.2f}"),
    ]
    for name in a.functions:
        rows.append(line(f"reverse-continue from the end to `{name}`", show(d[f"back to {name}"]),
                         show(q.get(f"back to {name}"))))
    note = f"Guest amd64, boot and power off, {a.memory} MiB, {steps:,} steps."
    version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True).stdout \
        .split("\n")[0] if q else "no QEMU"
    load = " ".join(f"{x:.1f}" for x in os.getloadavg())
    note += f"\nHost: {os.cpu_count()} CPUs, {platform.machine()}, load average {load}; {version}."
    if "failed" in q:
        note += f"\nQEMU: {q['failed']}."
    return note + "\n\n" + "\n".join(rows)


def put(path, key, text):
    """Replaces what is between a pair of marker comments; adds the pair if there is none."""
    begin, end = f"<!-- {key}: begin -->", f"<!-- {key}: end -->"
    with open(path) as f:
        old = f.read()
    block = f"{begin}\n{text}\n{end}"
    if begin in old and end in old:
        new = old[:old.index(begin)] + block + old[old.index(end) + len(end):]
    else:
        new = old.rstrip("\n") + f"\n\n{block}\n"
    with open(path, "w") as f:
        f.write(new)


def record(a, path):
    folder = os.path.join(a.images, "amd64")
    say("recording")
    subprocess.run([a.dejavm, "record", "--cpu", "qemu64", "--memory", f"{a.memory}M", "--kernel",
                    os.path.join(folder, "vmlinuz"), "--initrd", os.path.join(folder, "initrd.img"),
                    "--append", APPEND, "--no-reboot", "--seed", "1", "--rtc", "base=2026-01-01T00:00:00,clock=vm",
                    "--serial", "none", "-o", path], check=True, stdin=subprocess.DEVNULL, capture_output=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--recording", metavar="FILE", help="of the amd64 guest with nokaslr; made if not given")
    p.add_argument("--steps", type=int, default=2000, metavar="N", help="steps back (default 2000)")
    p.add_argument("--places", type=int, default=50, metavar="N", help="random places (default 50)")
    p.add_argument("--searches", type=int, default=5, metavar="N", help="searches through all of it (default 5)")
    p.add_argument("--functions", nargs="*", default=["rest_init", "vfs_read"], metavar="F",
                   help="kernel functions to go back to (default rest_init vfs_read)")
    p.add_argument("--limit", type=float, default=150, metavar="S", help="patience for one answer (default 150)")
    p.add_argument("--memory", type=int, default=512, metavar="MIB")
    p.add_argument("--no-qemu", action="store_true", help="leave QEMU out")
    p.add_argument("--dejavm", default=os.path.join(ROOT, "target", "release", "dejavm"), metavar="PATH")
    p.add_argument("--images", default=os.path.join(ROOT, "guests", "build"), metavar="DIR")
    p.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    p.add_argument("--json", metavar="FILE", help="write every figure there")
    a = p.parse_args()
    a.images = os.path.abspath(a.images)
    if not os.access(a.dejavm, os.X_OK):
        bail(f"no dejavm at {a.dejavm} (cargo build --release)")
    for f in ("vmlinuz", "initrd.img", "System.map"):
        if not os.path.exists(os.path.join(a.images, "amd64", f)):
            bail(f"{os.path.join(a.images, 'amd64', f)} is missing; run guests/build.sh amd64")
    names = symbols(os.path.join(a.images, "amd64", "System.map"))
    for name in [*a.functions, "panic"]:
        if name not in names:
            bail(f"the kernel has no symbol '{name}'")
    with tempfile.TemporaryDirectory(prefix="time-travel-") as work:
        recording = a.recording or os.path.join(work, "amd64.dvm")
        if not a.recording:
            record(a, recording)
        say("indexing")
        subprocess.run([a.dejavm, "index", recording], check=True, capture_output=True)
        d = dejavm_part(a, recording, names)
        q = {}
        missing = [c for c in ("qemu-system-x86_64", "qemu-img") if not shutil.which(c)]
        if a.no_qemu or missing:
            say("QEMU is left out" + (f": {' and '.join(missing)} not found" if missing else ""))
        else:
            q = qemu_part(a, work, d["steps"], names)
    text = table(a, d, q)
    print(text)
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"dejavm": d, "qemu": q}, f, indent=1)
    if a.write:
        put(os.path.join(ROOT, "docs", "performance.md"), "time-travel amd64", text)


if __name__ == "__main__":
    try:
        main()
    except (NoAnswer, OSError) as e:
        bail(str(e))
