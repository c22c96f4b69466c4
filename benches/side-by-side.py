#!/usr/bin/env python3
"""Boots one kernel and initramfs under QEMU and under DejaVM, and compares.

    benches/side-by-side.py                          amd64, boot and power off, 3 runs
    benches/side-by-side.py --guest i386 --run work  the workloads of the initramfs
    benches/side-by-side.py --guest arm64            64-bit ARM's kernel on its virt board
    benches/side-by-side.py --write                  also puts the table into docs/performance.md

Each mode is run N times, the modes in turn, so that a busy host disturbs all
alike; the table gives medians. CPU seconds are those of the emulator's process
(user and system, all threads); they are the figure to compare with, wall
seconds move with whatever else the host does. "boot" ends at the first line of
the guest's /init, "total" when the emulator's process ends.

Needs guests/build.sh GUEST, Debian's qemu-system-x86 or qemu-system-arm and a
release build of dejavm (cargo build --release). A mode that fails is reported as such in its
row and makes the exit status 1; the other rows stand.
"""

import argparse
import json
import os
import platform
import re
import selectors
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TICKS = os.sysconf("SC_CLK_TCK")
READY = b"DejaVM guest: ready"
OFF = b"DejaVM guest: power off"
TROUBLE = re.compile(rb"BUG:|Oops|Call Trace|unchecked MSR|Kernel panic|overrun")

# What a guest runs on, the same in QEMU and in DejaVM: QEMU's program, CPU model, --arch, board, console.
GUESTS = {
    "amd64": ("qemu-system-x86_64", "qemu64", "x86_64", "pc", "ttyS0"),
    "i386": ("qemu-system-i386", "qemu32", "i386", "pc", "ttyS0"),
    "arm64": ("qemu-system-aarch64", "cortex-a57", "aarch64", "virt", "ttyAMA0"),
}


def bail(text):
    print(f"{os.path.basename(sys.argv[0])}: {text}", file=sys.stderr)
    sys.exit(2)


def cpu_seconds(pid):
    """User and system time of a living process, all its threads."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS


class Failed(Exception):
    """A run did not come to its end."""


def run(command, timeout):
    """Runs an emulator to its end; its times, and the console's bytes."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    out, jobs, open_job, ready = b"", {}, None, None
    seen = 0
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ)
    timed_out = False
    while True:
        left = start + timeout - time.monotonic()
        if left <= 0 or not selector.select(left):
            os.killpg(process.pid, signal.SIGKILL)
            timed_out = True
            break
        piece = os.read(process.stdout.fileno(), 65536)
        if not piece:
            break
        out += piece
        # Whole lines only; what a marker line says happened just now.
        while (end := out.find(b"\n", seen)) >= 0:
            line, seen = out[seen:end].strip(), end + 1
            if READY in line and ready is None:
                ready = (cpu_seconds(process.pid), time.monotonic() - start)
            elif line.startswith(b"[[ "):
                open_job = (line[3:].decode(errors="replace"), cpu_seconds(process.pid))
            elif line == b"]]" and open_job:
                now = cpu_seconds(process.pid)
                if now is not None and open_job[1] is not None:
                    jobs[open_job[0]] = now - open_job[1]
                open_job = None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    tail = out.strip().rpartition(b"\n")[2].decode(errors="replace")[:100]
    if timed_out:
        raise Failed(f"no end after {timeout} s; last line: {tail}")
    if OFF not in out:
        raise Failed(f"exit status {process.returncode}, the guest did not power off; last line: {tail}")
    if process.returncode != 0:
        raise Failed(f"exit status {process.returncode}; last line: {tail}")
    if trouble := TROUBLE.search(out):
        raise Failed(f"the guest said '{trouble[0].decode()}'")
    if ready is None or ready[0] is None:
        raise Failed("the guest's first line was not seen")
    return {"boot cpu": ready[0], "boot wall": ready[1], "cpu": usage.ru_utime + usage.ru_stime,
            "wall": wall, "jobs": jobs}


def modes(a, folder, work):
    """Every mode: name, command, the file it leaves, the mode whose file it needs."""
    qemu, cpu, arch, machine, console = GUESTS[a.guest]
    cpu = a.cpu or cpu
    kernel, initrd = os.path.join(folder, "vmlinuz"), os.path.join(folder, "initrd.img")
    append = f"console={console} nokaslr panic=-1 dejavm.run={a.run}"
    out = []
    if shutil.which(qemu):
        base = [qemu, "-machine", machine, "-accel", "tcg", "-cpu", cpu, "-m", str(a.memory), "-display",
                "none", "-serial", "stdio", "-net", "none", "-no-reboot", "-kernel", kernel, "-initrd",
                initrd, "-append", append]
        log = os.path.join(work, "qemu.rr")
        # With sleep=off QEMU 10.0 made almost no progress recording, so there it sleeps.
        out += [
            ("QEMU tcg", base, None, None),
            ("QEMU icount", base + ["-icount", "shift=3,sleep=off"], None, None),
            ("QEMU record", base + ["-icount", f"shift=3,rr=record,rrfile={log}"], log, None),
            ("QEMU replay", base + ["-icount", f"shift=3,rr=replay,rrfile={log}"], None, "QEMU record"),
        ]
    else:
        package = "qemu-system-arm" if arch == "aarch64" else "qemu-system-x86"
        print(f"{qemu} is not installed (Debian: {package}): its rows are left out", file=sys.stderr)
    if a.dejavm and os.access(a.dejavm, os.X_OK):
        options = ["--arch", arch, "--machine", machine, "--cpu", cpu, "--memory", f"{a.memory}M", "--kernel",
                   kernel, "--initrd", initrd, "--append", append, "--no-reboot", "--seed", "1",
                   "--rtc", "base=2026-01-01T00:00:00,clock=vm"]
        for engine in a.engine:
            e = ["--engine", engine]
            log = os.path.join(work, f"{engine}.dvm")
            out += [
                (f"DejaVM run, {engine}", [a.dejavm, "run", *options, *e], None, None),
                (f"DejaVM record, {engine}", [a.dejavm, "record", *options, *e, "-o", log], log, None),
                (f"DejaVM replay, {engine}", [a.dejavm, "replay", log, *e], None, f"DejaVM record, {engine}"),
            ]
    else:
        print(f"no dejavm at {a.dejavm} (cargo build --release): its rows are left out", file=sys.stderr)
    if a.only:
        out = [m for m in out if any(o.lower() in m[0].lower() for o in a.only)]
    # A replay cannot stand without its record.
    names = {m[0] for m in out}
    return [m for m in out if m[3] is None or m[3] in names]


def table(rows, steps):
    """The Markdown table; ratios are of CPU seconds of the total."""
    base = {name: r["cpu"] for name, r in rows.items() if not isinstance(r, str)}
    lines = [
        "| mode | boot CPU s | boot wall s | total CPU s | total wall s | MIPS (CPU) | to QEMU tcg | to same in QEMU | log bytes |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    same = {"run": "QEMU tcg", "record": "QEMU record", "replay": "QEMU replay"}
    for name, r in rows.items():
        if isinstance(r, str):
            lines.append(f"| {name} | failed: {r.replace('|', '/')} | | | | | | | |")
            continue
        ratio = lambda other: f"x{r['cpu'] / base[other]:.2f}" if base.get(other) else ""
        kind = name.split()[1].rstrip(",") if name.startswith("DejaVM") else None
        mips = f"{steps / r['cpu'] / 1e6:.0f}" if steps else ""
        log = f"{r['log']:,}" if r.get("log") is not None else ""
        lines.append(f"| {name} | {r['boot cpu']:.2f} | {r['boot wall']:.2f} | {r['cpu']:.2f} | {r['wall']:.2f} "
                     f"| {mips} | {ratio('QEMU tcg')} | {ratio(same[kind]) if kind else ''} | {log} |")
    return "\n".join(lines)


def job_table(rows):
    """CPU milliseconds between the markers of each workload."""
    good = {n: r for n, r in rows.items() if not isinstance(r, str) and r["jobs"]}
    if not good:
        return ""
    names = list(next(iter(good.values()))["jobs"])
    lines = ["| CPU ms | " + " | ".join(good) + " |", "|---|" + "---:|" * len(good)]
    for job in names:
        cells = [f"{r['jobs'][job] * 1000:.0f}" if job in r["jobs"] else "" for r in good.values()]
        lines.append(f"| {job} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


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


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--guest", choices=GUESTS, default="amd64")
    p.add_argument("--run", default="boot", help="script of the initramfs: boot, work, tour (default boot)")
    p.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each mode (default 3)")
    p.add_argument("--engine", action="append", metavar="E", help="engine of DejaVM, may be repeated (default interp)")
    p.add_argument("--only", action="append", metavar="TEXT", help="only modes whose name has this, may be repeated")
    p.add_argument("--cpu", help="CPU model (default qemu64, qemu32, cortex-a57)")
    p.add_argument("--memory", type=int, default=512, metavar="MIB")
    p.add_argument("--dejavm", default=os.path.join(ROOT, "target", "release", "dejavm"), metavar="PATH")
    p.add_argument("--images", default=os.path.join(ROOT, "guests", "build"), metavar="DIR")
    p.add_argument("--timeout", type=float, default=900, metavar="S", help="for one run (default 900)")
    p.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    p.add_argument("--json", metavar="FILE", help="write every run's figures there")
    a = p.parse_args()
    a.engine = a.engine or ["interp"]
    if a.runs < 1:
        bail("--runs must be at least 1")
    folder = os.path.join(a.images, a.guest)
    for f in ("vmlinuz", "initrd.img"):
        if not os.path.exists(os.path.join(folder, f)):
            bail(f"{os.path.join(folder, f)} is missing; run guests/build.sh {a.guest}")
    results = {}
    steps = None
    with tempfile.TemporaryDirectory(prefix="side-by-side-") as work:
        todo = modes(a, folder, work)
        if not todo:
            bail("nothing to run")
        for n in range(a.runs):
            for name, command, leaves, needs in todo:
                got = results.setdefault(name, [])
                if isinstance(got, str):
                    continue
                if needs and isinstance(results[needs], str):
                    results[name] = "its record failed"
                    continue
                print(f"run {n + 1} of {a.runs}: {name} ...", end=" ", file=sys.stderr, flush=True)
                if leaves and os.path.exists(leaves):
                    os.remove(leaves)
                try:
                    r = run(command, a.timeout)
                except (Failed, OSError) as e:
                    results[name] = str(e)
                    print(f"failed: {e}", file=sys.stderr)
                    continue
                if leaves:
                    r["log"] = os.path.getsize(leaves)
                    if name.startswith("DejaVM"):
                        info = subprocess.run([a.dejavm, "info", leaves, "--json"], capture_output=True, text=True)
                        try:
                            steps = json.loads(info.stdout)["icount"]
                        except (ValueError, KeyError, TypeError):
                            print("(dejavm info --json gave no icount)", end=" ", file=sys.stderr)
                got.append(r)
                print(f"{r['cpu']:.2f} CPU s, {r['wall']:.2f} wall s", file=sys.stderr)
    rows = {}
    for name, runs in results.items():
        if isinstance(runs, str):
            rows[name] = runs
            continue
        median = lambda key: statistics.median(r[key] for r in runs)
        rows[name] = {k: median(k) for k in ("boot cpu", "boot wall", "cpu", "wall")}
        rows[name]["log"] = runs[-1].get("log")
        rows[name]["jobs"] = {j: statistics.median(r["jobs"][j] for r in runs if j in r["jobs"])
                              for j in runs[0]["jobs"]}
    note = f"Guest {a.guest}, script `{a.run}`, {a.memory} MiB, medians of {a.runs}"
    if steps:
        note += f"; {steps:,} steps by DejaVM's count, used for the MIPS of every row"
    version = ""
    if qemu := shutil.which(GUESTS[a.guest][0]):
        version = subprocess.run([qemu, "--version"], capture_output=True, text=True).stdout.split("\n")[0]
        version = "; " + version
    note += f".\nHost: {os.cpu_count()} CPUs, {platform.machine()}{version}."
    text = f"{note}\n\n{table(rows, steps)}"
    if jobs := job_table(rows):
        text += f"\n\n{jobs}"
    print(text)
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"guest": a.guest, "run": a.run, "steps": steps, "results": results}, f, indent=1)
    if a.write:
        put(os.path.join(ROOT, "docs", "performance.md"), f"side-by-side {a.guest} {a.run}", text)
    return 1 if any(isinstance(r, str) for r in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
